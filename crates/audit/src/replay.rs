//! Walking the write-ahead segments of a folder in order, from whichever side one comes: recovery, reading, checking.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::format::folder::{WAL, parse_segment_name, segment_path};
use crate::format::tree::Hash;
use crate::format::wal::{
    BLOCK, Found, Frame, SegmentHead, SegmentStart, find_batch, parse_segment_start,
};

/// Segments larger than this are not ours.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// What is wrong with a write-ahead segment.
#[derive(Debug)]
pub(crate) enum WalFault {
    /// It could not be read.
    Io(PathBuf, io::Error),
    /// It was changed: the file within the folder and what is wrong.
    Changed(String, String),
}

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its file within the folder.
    pub(crate) name: String,
    /// Its head.
    pub(crate) head: SegmentHead,
}

/// What is under `wal/`.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Segments in use, in order.
    pub(crate) used: Vec<Segment>,
    /// Prepared segments that were never used.
    pub(crate) spare: Vec<String>,
}

/// Lists the segments of the log in `dir`. A missing folder holds none.
pub(crate) fn list_segments(dir: &Path) -> Result<Segments, WalFault> {
    let wal = dir.join(WAL);
    let io_fault = |e| WalFault::Io(wal.clone(), e);
    let entries = match fs::read_dir(&wal) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Segments::default()),
        other => other.map_err(io_fault)?,
    };
    let mut segments = Segments::default();
    for entry in entries {
        let entry = entry.map_err(io_fault)?;
        let name = entry.file_name();
        let sequence = name.to_str().and_then(parse_segment_name);
        let Some(name) = sequence.map(segment_path) else {
            let name = format!("{WAL}/{}", name.to_string_lossy());
            return Err(WalFault::Changed(
                name,
                "it is not a file of the log".into(),
            ));
        };
        let start = match read_start(&dir.join(&name)) {
            // The writer has just removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| WalFault::Io(dir.join(&name), e))?,
        };
        match parse_segment_start(&start) {
            SegmentStart::Unused => segments.spare.push(name),
            SegmentStart::Used(head) => segments.used.push(Segment { name, head }),
            SegmentStart::Changed => {
                return Err(WalFault::Changed(
                    name,
                    "the head of the segment was changed".into(),
                ));
            }
        }
    }
    segments.used.sort_by_key(|s| s.head.order);
    for pair in segments.used.windows(2) {
        if pair[0].head.order == pair[1].head.order {
            return Err(WalFault::Changed(
                pair[1].name.clone(),
                format!("it repeats `{}`", pair[0].name),
            ));
        }
    }
    segments.spare.sort();
    Ok(segments)
}

fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut start = Vec::with_capacity(BLOCK);
    fs::File::open(path)?
        .take(BLOCK as u64)
        .read_to_end(&mut start)?;
    Ok(start)
}

pub(crate) fn read_segment(dir: &Path, name: &str) -> Result<Vec<u8>, WalFault> {
    let path = dir.join(name);
    let io_fault = |e| WalFault::Io(path.clone(), e);
    let bytes = fs::metadata(&path).map_err(io_fault)?.len();
    if bytes > SEGMENT_BYTES_MAX {
        return Err(WalFault::Changed(
            name.into(),
            format!("it is {bytes} bytes long, longer than any segment"),
        ));
    }
    fs::read(&path).map_err(io_fault)
}

/// Where the write-ahead segments end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalEnd {
    /// Records in the log, under the checkpoint or in a segment.
    pub(crate) size: u64,
    /// The digest of the last batch; zeros if there is none.
    pub(crate) digest: Hash,
    /// The order of the last segment in use; 0 if there is none.
    pub(crate) order: u64,
    /// Bytes of an unfinished batch at the end.
    pub(crate) torn_bytes: u64,
}

/// How strictly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rigour {
    /// An unfinished last batch is dropped, whichever part of it is missing.
    Recover,
    /// An unfinished last batch passes only as what a killed process leaves, and unused parts must be empty.
    Verify,
}

/// Calls `visit` for each record that the segments hold, in order, and checks that with the checkpoint over
/// `checkpointed` records they make a log without gaps.
pub(crate) fn walk(
    dir: &Path,
    segments: &Segments,
    checkpointed: u64,
    rigour: Rigour,
    visit: &mut dyn FnMut(u64, &Frame<'_>) -> Result<(), WalFault>,
) -> Result<WalEnd, WalFault> {
    let mut at: Option<(u64, Hash)> = None;
    let mut end = WalEnd {
        size: checkpointed,
        ..WalEnd::default()
    };
    for (i, segment) in segments.used.iter().enumerate() {
        let changed = |what: String| Err(WalFault::Changed(segment.name.clone(), what));
        let head = &segment.head;
        let follows = at == Some((head.first, head.previous));
        if !follows && head.first > checkpointed {
            let have = at.map_or(checkpointed, |(next, _)| next.max(checkpointed));
            return changed(match head.first.checked_sub(have) {
                Some(missing @ 1..) => {
                    format!("{missing} records from record {have} on are missing before it")
                }
                Some(0) | None => "it does not follow the segment before it".to_owned(),
            });
        }
        let later = segments.used.get(i + 1).map(|s| s.head);
        let bytes = read_segment(dir, &segment.name)?;
        let (mut next, mut digest, mut offset) = (head.first, head.previous, BLOCK);
        loop {
            // From here on another segment has taken over; what still follows was never acknowledged.
            if later.is_some_and(|l| l.abandoned && l.first == next && l.previous == digest) {
                break;
            }
            match find_batch(&bytes, offset, next, &digest) {
                Found::Batch(batch) => {
                    for (index, frame) in (next..).zip(batch.frames()) {
                        visit(index, &frame)?;
                    }
                    digest = batch.head.digest;
                    offset += batch.head.span();
                    let Some(after) = next.checked_add(u64::from(batch.head.count)) else {
                        return changed("a batch counts too far".into());
                    };
                    next = after;
                }
                Found::End => break,
                Found::Torn {
                    bytes,
                    tail_missing,
                } if later.is_none() => {
                    if rigour == Rigour::Verify && !tail_missing {
                        return changed(format!(
                            "bytes that belong to no batch follow byte {offset} (a power cut leaves such; opening the log drops them)"
                        ));
                    }
                    end.torn_bytes = bytes;
                    break;
                }
                Found::Torn { .. } => {
                    return changed(format!(
                        "byte {offset}: a batch was erased though others follow"
                    ));
                }
                Found::Changed(what) => {
                    return changed(format!("byte {offset}, record {next}: {what}"));
                }
            }
        }
        at = Some((next, digest));
        end.size = end.size.max(next);
        end.digest = digest;
        end.order = head.order;
    }
    if rigour == Rigour::Verify {
        for name in &segments.spare {
            if read_segment(dir, name)?.iter().any(|b| *b != 0) {
                return Err(WalFault::Changed(
                    name.clone(),
                    "bytes follow an empty head".into(),
                ));
            }
        }
    }
    Ok(end)
}
