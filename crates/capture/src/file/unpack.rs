//! Decompression in passing: gzip with several members, Zstandard with several frames, one inside the other.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sense::records::{Format, recognise};

/// Octets that are looked at to say what something is.
const HEAD: usize = 4096;

/// Compressions inside one another.
const DEPTH_MAX: usize = 3;

/// Octets that a file may expand to whatever it was before.
const FREE: u64 = 64 << 20;

/// Largest window of a Zstandard frame, in octets: what `zstd --long` writes.
const WINDOW_MAX: u64 = 128 << 20;

/// Counts what is read.
pub(crate) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R, count: Arc<AtomicU64>) -> Self {
        Self { inner, count }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What is inside a file, whatever it is compressed with.
pub(crate) struct Unpacked {
    /// Its format.
    pub(crate) format: Format,
    /// Its octets, from the first on.
    pub(crate) reader: Box<dyn Read + Send>,
    /// Whether it was compressed.
    pub(crate) compressed: bool,
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Unpacks `reader`, which counts into `raw`; `expansion_max` bounds how much larger the outcome may be.
pub(crate) fn unpack(
    reader: Box<dyn Read + Send>,
    raw: &Arc<AtomicU64>,
    expansion_max: u32,
    name: &str,
) -> io::Result<Unpacked> {
    let mut reader = reader;
    for depth in 0..=DEPTH_MAX {
        let mut head = Vec::with_capacity(HEAD);
        // What the beginning of a damaged file still gives is looked at all the same.
        let failed = (&mut reader).take(HEAD as u64).read_to_end(&mut head).err();
        let format = recognise(&head, name);
        let rest: Box<dyn Read + Send> = match failed {
            Some(error) if head.is_empty() => return Err(error),
            Some(error) => Box::new(Failing(Some(error))),
            None => reader,
        };
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(rest));
        if depth == DEPTH_MAX {
            return Ok(Unpacked {
                format,
                reader: whole,
                compressed: true,
            });
        }
        let unpacked: Box<dyn Read + Send> = match format {
            Format::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                1 << 16,
                whole,
            ))),
            Format::Zstd => Box::new(Zstandard::new(BufReader::with_capacity(1 << 16, whole))),
            _ => {
                return Ok(Unpacked {
                    format,
                    reader: whole,
                    compressed: depth > 0,
                });
            }
        };
        reader = Box::new(Bounded {
            inner: unpacked,
            raw: Arc::clone(raw),
            before: raw.load(Ordering::Relaxed),
            given: 0,
            expansion_max: u64::from(expansion_max),
        });
    }
    Err(io::Error::other("it is compressed too many times"))
}

/// Gives an error that came up earlier, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Refuses to expand without bound.
struct Bounded<R> {
    inner: R,
    raw: Arc<AtomicU64>,
    /// What was counted before this file; its first octets may be among them.
    before: u64,
    given: u64,
    expansion_max: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.given += read as u64;
        let taken = self.raw.load(Ordering::Relaxed).saturating_sub(self.before) + HEAD as u64;
        if self.given > FREE && self.given - FREE > taken.saturating_mul(self.expansion_max) {
            return Err(io::Error::other(format!(
                "it expands more than {} times: this is no capture or log, but made to fill a disk",
                self.expansion_max
            )));
        }
        Ok(read)
    }
}

/// Several Zstandard frames, and skippable ones between them.
struct Zstandard<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
    /// What went wrong, kept until everything from before it was given.
    failed: Option<io::Error>,
}

impl<R: BufRead> Zstandard<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self {
            source,
            decoder,
            in_frame: false,
            failed: None,
        }
    }

    /// Decodes the next block.
    fn block(&mut self) -> io::Result<()> {
        let (decoder, source) = (&mut self.decoder, &mut self.source);
        // The decoder is a stranger's: a panic in it is damage of this file, not of the program.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            decoder.decode_blocks(source, BlockDecodingStrategy::UptoBlocks(1))
        }));
        match decoded {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(io::Error::other(error.to_string())),
            Err(_) => {
                self.decoder = FrameDecoder::new();
                Err(io::Error::other("it cannot be decoded"))
            }
        }
    }

    /// Ends the frame, so that the decoder gives what it keeps back for blocks that will not come.
    fn give_up(&mut self, error: io::Error) {
        self.failed = Some(error);
        // An empty last block, and a checksum in case one is expected.
        let mut last: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
        if self
            .decoder
            .decode_blocks(&mut last, BlockDecodingStrategy::All)
            .is_err()
        {
            self.decoder = FrameDecoder::new();
        }
    }
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame {
                let ready = self.decoder.read(into)?;
                if ready > 0 || into.is_empty() {
                    return Ok(ready);
                }
                if let Some(error) = self.failed.take() {
                    self.in_frame = false;
                    return Err(error);
                }
                if self.decoder.is_finished() {
                    self.in_frame = false;
                } else if let Err(error) = self.block() {
                    self.give_up(error);
                }
                continue;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => self.in_frame = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(
                        &mut (&mut self.source).take(u64::from(length)),
                        &mut io::sink(),
                    )?;
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn all(bytes: Vec<u8>) -> (Format, Vec<u8>, Option<io::Error>) {
        let raw = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(Cursor::new(bytes), Arc::clone(&raw));
        let mut unpacked = unpack(Box::new(counted), &raw, 500, "x").expect("memory can be read");
        let mut out = Vec::new();
        let error = unpacked.reader.read_to_end(&mut out).err();
        (unpacked.format, out, error)
    }

    #[test]
    fn members_frames_and_nesting_are_unpacked() {
        let text = "Name;MAC\npump;00:1a:2b:3c:4d:5e\n"
            .repeat(500)
            .into_bytes();
        let (head, tail) = text.split_at(700);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for packed in [
            text.clone(),
            gzip(&text),
            [gzip(head), gzip(tail)].concat(),
            zstd(&text),
            [zstd(head), skippable.to_vec(), zstd(tail)].concat(),
            [skippable.to_vec(), zstd(&text)].concat(),
            gzip(&zstd(&text)),
        ] {
            let (format, out, error) = all(packed);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(format, Format::Csv);
            assert!(out == text);
        }
    }

    #[test]
    fn what_came_before_the_damage_is_kept() {
        let text = (0..20_000)
            .map(|n| format!("{n};{}\n", n * 7919))
            .collect::<String>()
            .into_bytes();
        for packed in [gzip(&text), zstd(&text)] {
            let (_, out, error) = all(packed[..packed.len() * 3 / 4].to_vec());
            assert!(error.is_some());
            assert!(
                out.len() > text.len() / 4,
                "{} of {}",
                out.len(),
                text.len()
            );
            assert!(text.starts_with(&out));
        }
    }

    #[test]
    fn a_bomb_is_defused() {
        let zeroes = vec![0; 256 << 20];
        let raw = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(Cursor::new(gzip(&zeroes)), Arc::clone(&raw));
        let mut unpacked = unpack(Box::new(counted), &raw, 20, "x").expect("memory can be read");
        let error = io::copy(&mut unpacked.reader, &mut io::sink()).expect_err("it is a bomb");
        assert!(error.to_string().contains("20 times"), "{error}");
    }
}
