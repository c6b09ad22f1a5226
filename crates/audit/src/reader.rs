//! Reading a log folder, whether or not it is being written.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::RecordId;
use parking_lot::Mutex;

use crate::entry::Stored;
use crate::format::folder::{CHECKPOINT, MARKER, Marker, VKEY, parse_marker, payload_path};
use crate::format::leaf;
use crate::format::note::{NOTE_BYTES_MAX, NoteError, VerifierKey};
use crate::format::payload::split_slot;
use crate::format::tile::{Shelf, WIDTH, decode_entries};
use crate::format::wal::{BLOCK, BatchHead, Found, find_batch};
use crate::replay::{Segments, WalFault, list_segments};
use crate::shelf::{PAYLOAD_FILE_BYTES_MAX, ShelfFault, read_bounded, read_bundle, tile_in};

/// Times that a folder is looked at anew because its writer changed it meanwhile.
const ATTEMPTS: usize = 8;
/// Bundles kept in memory.
const CACHED_BUNDLES: usize = 4;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("cannot read `{}`: {source}", place.display())]
    Io {
        /// The file or folder.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is not a log.
    #[error("`{}` is not an audit log (name the folder that holds its file `format`)", place.display())]
    NotOurs {
        /// The folder.
        place: PathBuf,
    },
    /// The folder was written by a newer program.
    #[error("`{}` is an audit log of format {version}, which this program is too old for (use the newer program)", place.display())]
    Newer {
        /// The folder.
        place: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The log has no such record.
    #[error("the log has no record {0}")]
    Absent(RecordId),
    /// The log was changed.
    #[error("`{place}` was changed: {what} (`audit verify` shows the extent)")]
    Changed {
        /// The file within the folder.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

impl From<ShelfFault> for ReadError {
    fn from(fault: ShelfFault) -> Self {
        match fault {
            ShelfFault::Io(place, source) => Self::Io { place, source },
            ShelfFault::Changed(place, what) => Self::Changed { place, what },
        }
    }
}

impl From<WalFault> for ReadError {
    fn from(fault: WalFault) -> Self {
        match fault {
            WalFault::Io(place, source) => Self::Io { place, source },
            WalFault::Changed(place, what) => Self::Changed { place, what },
        }
    }
}

impl ReadError {
    /// Whether a file was gone, as happens when the writer has just replaced it by another.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What the folder's marker and key say: the log's verifier key.
pub(crate) fn read_key(dir: &Path) -> Result<VerifierKey, ReadError> {
    let not_ours = || ReadError::NotOurs {
        place: dir.to_owned(),
    };
    let origin = match read_bounded(dir, MARKER, 1024) {
        Ok(bytes) => match parse_marker(&bytes) {
            Marker::Ours { origin } => origin,
            Marker::Newer { version } => {
                return Err(ReadError::Newer {
                    place: dir.to_owned(),
                    version,
                });
            }
            Marker::Foreign => return Err(not_ours()),
        },
        Err(ShelfFault::Io(_, e)) if e.kind() == io::ErrorKind::NotFound => return Err(not_ours()),
        Err(ShelfFault::Changed(..)) => return Err(not_ours()),
        Err(e) => return Err(e.into()),
    };
    let changed = |what: String| ReadError::Changed {
        place: VKEY.into(),
        what,
    };
    let bytes = read_bounded(dir, VKEY, 4096)?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|t| t.strip_suffix('\n'));
    let key = text
        .ok_or(NoteError::NotAKey)
        .and_then(VerifierKey::parse)
        .map_err(|e| changed(e.to_string()))?;
    if key.name() != origin {
        return Err(changed(format!(
            "the key belongs to `{}`, the log is `{origin}`",
            key.name()
        )));
    }
    Ok(key)
}

/// Reads a small text file of the folder.
pub(crate) fn read_text(dir: &Path, name: &str, max: u64) -> Result<String, ReadError> {
    String::from_utf8(read_bounded(dir, name, max)?).map_err(|_| ReadError::Changed {
        place: name.into(),
        what: "it is not text".into(),
    })
}

/// The leaf and the salted payload of a record.
#[derive(Debug)]
struct Raw {
    leaf: Vec<u8>,
    salted: Option<Vec<u8>>,
}

type Bundle = Arc<Vec<Raw>>;

/// A view of a log folder as it was when opened, up to its last durable record. Opening another one sees what was
/// appended since.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    /// Records under the checkpoint: these are read from bundles.
    checkpointed: u64,
    /// The unfinished bundle; the writer may replace its file at any time.
    last: Bundle,
    /// Records that only the write-ahead segments hold.
    tail: Vec<Raw>,
    cache: Mutex<VecDeque<(u64, Bundle)>>,
}

impl Reader {
    /// Opens the folder for reading. A writer may be at work.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let mut attempt = 1;
        loop {
            match Self::look(dir) {
                Err(e)
                    if attempt < ATTEMPTS
                        && (e.is_gone() || matches!(e, ReadError::Changed { .. })) =>
                {
                    attempt += 1
                }
                other => return other,
            }
        }
    }

    fn look(dir: &Path) -> Result<Self, ReadError> {
        let key = read_key(dir)?;
        let note = read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64)?;
        let checkpoint = key.open_checkpoint(&note).map_err(|e| ReadError::Changed {
            place: CHECKPOINT.into(),
            what: e.to_string(),
        })?;
        let segments = list_segments(dir)?;
        let tail = read_tail(dir, &segments, checkpoint.size)?;
        let last = match checkpoint.size % WIDTH {
            0 => Arc::default(),
            _ => Arc::new(read_raw(dir, checkpoint.size / WIDTH, checkpoint.size)?),
        };
        if read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64)? != note {
            // Segments may have been removed under the newer checkpoint before they were read.
            return Err(ReadError::Changed {
                place: CHECKPOINT.into(),
                what: "it is replaced too often".into(),
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
            checkpointed: checkpoint.size,
            last,
            tail,
            cache: Mutex::default(),
        })
    }

    /// Records in view, including those that no checkpoint covers yet.
    pub fn len(&self) -> u64 {
        self.checkpointed + self.tail.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records in view that a signed checkpoint covers.
    pub fn checkpointed(&self) -> u64 {
        self.checkpointed
    }

    /// One record.
    pub fn record(&self, id: RecordId) -> Result<Stored, ReadError> {
        self.with_raw(id, |raw| {
            leaf::stored(id, &raw.leaf, raw.salted.as_deref()).map_err(|what| ReadError::Changed {
                place: format!("record {id}"),
                what,
            })
        })?
    }

    /// The bytes of a record's leaf, as the tree hashes them.
    pub fn leaf(&self, id: RecordId) -> Result<Vec<u8>, ReadError> {
        self.with_raw(id, |raw| raw.leaf.clone())
    }

    /// Records of a range of ids, in order, or from the end with `rev()`. Ids beyond the end are left out.
    pub fn records(&self, ids: Range<u64>) -> Records<'_> {
        let end = ids.end.min(self.len());
        Records {
            reader: self,
            ids: ids.start.min(end)..end,
        }
    }

    fn with_raw<T>(&self, id: RecordId, use_it: impl FnOnce(&Raw) -> T) -> Result<T, ReadError> {
        let absent = || ReadError::Absent(id);
        if let Some(place) = id.0.checked_sub(self.checkpointed) {
            let raw = usize::try_from(place).ok().and_then(|i| self.tail.get(i));
            return raw.map(use_it).ok_or_else(absent);
        }
        let index = id.0 / WIDTH;
        let bundle = if index == self.checkpointed / WIDTH {
            Arc::clone(&self.last)
        } else {
            self.bundle(index)?
        };
        let raw = usize::try_from(id.0 % WIDTH)
            .ok()
            .and_then(|i| bundle.get(i));
        raw.map(use_it).ok_or_else(absent)
    }

    fn bundle(&self, index: u64) -> Result<Bundle, ReadError> {
        if let Some((_, bundle)) = self.cache.lock().iter().find(|(i, _)| *i == index) {
            return Ok(Arc::clone(bundle));
        }
        let bundle = Arc::new(read_raw(&self.dir, index, self.checkpointed)?);
        let mut cache = self.cache.lock();
        cache.truncate(CACHED_BUNDLES - 1);
        cache.push_front((index, Arc::clone(&bundle)));
        Ok(bundle)
    }
}

/// Reads the records of a bundle and of its payload file.
fn read_raw(dir: &Path, index: u64, size: u64) -> Result<Vec<Raw>, ReadError> {
    let tile = tile_in(Shelf::Entries, index, size);
    let bundle = read_bundle(dir, &tile)?;
    let name = payload_path(index);
    let payloads = read_bounded(dir, &name, PAYLOAD_FILE_BYTES_MAX)?;
    let mut rest = payloads.as_slice();
    let mut records = Vec::with_capacity(usize::from(tile.width));
    for leaf in decode_entries(&bundle, tile.width).unwrap_or_default() {
        let (slot, tail) = split_slot(rest).ok_or_else(|| ReadError::Changed {
            place: name.clone(),
            what: "it is cut off".into(),
        })?;
        records.push(Raw {
            leaf: leaf.to_vec(),
            salted: slot.salted().map(<[u8]>::to_vec),
        });
        rest = tail;
    }
    Ok(records)
}

/// Reads the records from `from` on out of the segments, stepping over the batches before.
fn read_tail(dir: &Path, segments: &Segments, from: u64) -> Result<Vec<Raw>, ReadError> {
    let mut tail: Vec<Raw> = Vec::new();
    for (i, segment) in segments.used.iter().enumerate() {
        let later = segments.used.get(i + 1).map(|s| s.head);
        if segment.head.first > from + tail.len() as u64 {
            return Err(missing(segment.name.clone()));
        }
        let path = dir.join(&segment.name);
        let io_error = |source| ReadError::Io {
            place: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(io_error)?;
        let bytes = file.metadata().map_err(io_error)?.len();
        let (mut next, mut digest, mut offset) =
            (segment.head.first, segment.head.previous, BLOCK as u64);
        loop {
            let given_up =
                later.is_some_and(|l| l.abandoned && l.first == next && l.previous == digest);
            if given_up || later.is_some_and(|l| next >= l.first) {
                break;
            }
            let Some((head, batch)) = read_batch(&file, offset, bytes, from).map_err(io_error)?
            else {
                break;
            };
            if head.first != next {
                break;
            }
            if let Some(batch) = batch {
                // What does not check out is the unfinished end of the log, or `audit verify` tells.
                let Found::Batch(batch) = find_batch(&batch, 0, next, &digest) else {
                    break;
                };
                for (index, frame) in (next..).zip(batch.frames()) {
                    if index == from + tail.len() as u64 {
                        tail.push(Raw {
                            leaf: frame.leaf().to_vec(),
                            salted: Some(frame.salted.to_vec()),
                        });
                    }
                }
            }
            next = next.saturating_add(u64::from(head.count));
            digest = head.digest;
            offset = offset.saturating_add(head.span() as u64);
        }
    }
    Ok(tail)
}

fn missing(place: String) -> ReadError {
    ReadError::Changed {
        place,
        what: "records before it are missing".into(),
    }
}

/// Reads the head of the batch at `offset`, and the whole batch if it reaches beyond record `from`.
fn read_batch(
    file: &File,
    offset: u64,
    segment_bytes: u64,
    from: u64,
) -> io::Result<Option<(BatchHead, Option<Vec<u8>>)>> {
    if offset.saturating_add(BLOCK as u64) > segment_bytes {
        return Ok(None);
    }
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, offset)?;
    let Some(head) = BatchHead::parse(&block) else {
        return Ok(None);
    };
    if offset.saturating_add(head.span() as u64) > segment_bytes {
        return Ok(None);
    }
    if head.first.saturating_add(u64::from(head.count)) <= from {
        return Ok(Some((head, None)));
    }
    let mut bytes = vec![0; head.span()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Some((head, Some(bytes))))
}

/// An iterator over records.
#[derive(Debug)]
pub struct Records<'a> {
    reader: &'a Reader,
    ids: Range<u64>,
}

impl Iterator for Records<'_> {
    type Item = Result<Stored, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.ids.next().map(|id| self.reader.record(RecordId(id)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl DoubleEndedIterator for Records<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.ids
            .next_back()
            .map(|id| self.reader.record(RecordId(id)))
    }
}
