//! What a running writer may replace at any time, read at once.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::Fault;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::format::folder::{CHECKPOINT, HISTORY, LOCK, WAL, parse_history, payload_path};
use crate::format::note::{Checkpoint, NOTE_BYTES_MAX, VerifierKey};
use crate::format::tile::{Tile, WIDTH, partial_bundle, partial_tiles};
use crate::format::tree::Hash;
use crate::log::tiles::needed_partials;
use crate::reader::{ReadError, Reader, read_key, read_text};
use crate::replay::{Rigour, WalFault, list_segments, walk};
use crate::shelf::{PAYLOAD_FILE_BYTES_MAX, read_bounded, read_bundle, read_tile, tile_bytes_max};

/// Times that the folder is looked at anew because a writer changed it meanwhile.
const ATTEMPTS: u32 = 40;
/// The pause before a fault is looked at again; a commit that is being written is whole by then.
const PAUSE: Duration = Duration::from_millis(20);

/// A size at which the log must have a root that somebody vouched for.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) place: String,
}

/// A record that only the segments hold.
#[derive(Debug)]
pub(super) struct TailRecord {
    pub(super) leaf: Vec<u8>,
    pub(super) salted: Vec<u8>,
}

/// The changing part of a folder.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) key: VerifierKey,
    pub(super) checkpoint: Checkpoint,
    note: String,
    /// The newest checkpoint, the kept ones and the one given, by size.
    pub(super) anchors: Vec<Anchor>,
    /// The unfinished tiles under the checkpoint.
    pub(super) partials: Vec<(Tile, Vec<Hash>)>,
    /// The unfinished bundle under the checkpoint.
    pub(super) bundle: Option<(Tile, Vec<u8>)>,
    /// The unfinished tiles and bundles of the kept checkpoints, which must be beginnings of the newest's.
    pub(super) older: Vec<(Tile, Vec<u8>)>,
    /// The payload file that belongs to it.
    pub(super) payloads: Option<(u64, Vec<u8>)>,
    /// Records of the segments that the checkpoint covers, by their leaf hashes.
    pub(super) covered: Vec<(u64, Hash)>,
    /// Records that it does not cover.
    pub(super) tail: Vec<TailRecord>,
    pub(super) torn_bytes: u64,
}

impl Snapshot {
    /// Takes a snapshot. A fault that a writer at work may have caused is looked at again: it counts if it is still there
    /// while nothing has changed.
    pub(super) fn take(
        dir: &Path,
        vkey: Option<&str>,
        against: Option<&str>,
    ) -> Result<Self, Fault> {
        let mut seen = None;
        let mut attempt = 1;
        loop {
            let state = State::of(dir);
            match Self::look(dir, vkey, against) {
                Ok(snapshot) if attempt >= ATTEMPTS || !snapshot.is_outdated(dir) => {
                    return Ok(snapshot);
                }
                Ok(_) => seen = None,
                Err(fault) => {
                    let idle = !is_being_written(dir) && state == State::of(dir);
                    let now = Some((state, fault.clone()));
                    if idle || attempt >= ATTEMPTS || now == seen {
                        return Err(fault);
                    }
                    seen = now;
                    thread::sleep(PAUSE);
                }
            }
            attempt += 1;
        }
    }

    /// Records in the log.
    pub(super) fn size(&self) -> u64 {
        self.checkpoint.size + self.tail.len() as u64
    }

    /// Whether a writer has published another checkpoint since.
    pub(super) fn is_outdated(&self, dir: &Path) -> bool {
        let now = read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64);
        now.is_ok_and(|note| {
            note != self.note
                && self
                    .key
                    .open_checkpoint(&note)
                    .is_ok_and(|c| c.size > self.checkpoint.size)
        })
    }

    /// Whether the log has grown since: files may then hold what this snapshot does not know.
    pub(super) fn has_grown(&self, dir: &Path) -> bool {
        self.is_outdated(dir) || Reader::open(dir).is_ok_and(|now| now.len() > self.size())
    }

    fn look(dir: &Path, vkey: Option<&str>, against: Option<&str>) -> Result<Self, Fault> {
        let key = read_key(dir)?;
        if let Some(vkey) = vkey {
            let trusted = VerifierKey::parse(vkey.trim_end())
                .map_err(|e| Fault::new("the trusted key", e.to_string()))?;
            if trusted != key {
                return Err(Fault::new("vkey", "it is not the trusted key"));
            }
        }
        let note = read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64)?;
        let checkpoint = key
            .open_checkpoint(&note)
            .map_err(|e| Fault::new(CHECKPOINT, e.to_string()))?;
        let mut anchors = history(dir, &key, &checkpoint)?;
        let kept: Vec<u64> = anchors
            .iter()
            .map(|a| a.size)
            .chain([checkpoint.size])
            .collect();
        anchors.push(Anchor {
            size: checkpoint.size,
            root: checkpoint.root,
            place: CHECKPOINT.into(),
        });
        let mut snapshot = Self {
            key,
            note,
            anchors,
            partials: Vec::new(),
            bundle: None,
            older: Vec::new(),
            payloads: None,
            covered: Vec::new(),
            tail: Vec::new(),
            torn_bytes: 0,
            checkpoint,
        };
        snapshot.read_partials(dir, &kept)?;
        snapshot.read_segments(dir)?;
        if let Some(against) = against {
            snapshot.add_against(against)?;
        }
        snapshot.anchors.sort_by_key(|a| a.size);
        Ok(snapshot)
    }

    fn add_against(&mut self, note: &str) -> Result<(), Fault> {
        const PLACE: &str = "the checkpoint given";
        let given = self
            .key
            .open_checkpoint(note)
            .map_err(|e| Fault::new(PLACE, e.to_string()))?;
        if given.size > self.size() {
            return Err(Fault::new(
                CHECKPOINT,
                format!(
                    "the log was rolled back: it holds {} records, the checkpoint given covers {}",
                    self.size(),
                    given.size
                ),
            ));
        }
        self.anchors.push(Anchor {
            size: given.size,
            root: given.root,
            place: PLACE.into(),
        });
        Ok(())
    }

    /// Reads the unfinished tiles of the newest checkpoint and of the kept ones.
    fn read_partials(&mut self, dir: &Path, kept: &[u64]) -> Result<(), Fault> {
        let size = self.checkpoint.size;
        for tile in partial_tiles(size) {
            self.partials.push((tile, read_tile(dir, &tile)?));
        }
        if let Some(tile) = partial_bundle(size) {
            self.bundle = Some((tile, read_bundle(dir, &tile)?));
            self.payloads = Some((
                tile.index,
                read_bounded(dir, &payload_path(tile.index), PAYLOAD_FILE_BYTES_MAX)?,
            ));
        }
        for tile in needed_partials(kept, size) {
            self.older.push((
                tile,
                read_bounded(dir, &tile.path(), tile_bytes_max(&tile))?,
            ));
        }
        Ok(())
    }

    fn read_segments(&mut self, dir: &Path) -> Result<(), Fault> {
        let size = self.checkpoint.size;
        let segments = list_segments(dir).map_err(wal_fault)?;
        let (covered, tail) = (&mut self.covered, &mut self.tail);
        let end = walk(dir, &segments, size, Rigour::Verify, &mut |index, frame| {
            if index < size {
                covered.push((index, frame.leaf_hash));
            } else if index == size + tail.len() as u64 {
                tail.push(TailRecord {
                    leaf: frame.leaf().to_vec(),
                    salted: frame.salted.to_vec(),
                });
            }
            Ok(())
        });
        self.torn_bytes = end.map_err(wal_fault)?.torn_bytes;
        self.covered.sort_unstable();
        self.covered.dedup();
        debug_assert!(self.tail.is_empty() || size.is_multiple_of(WIDTH) || self.bundle.is_some());
        Ok(())
    }
}

/// Whether a writer holds the folder. Looking takes the lock for a moment, which [`crate::Log::open`] puts up with.
fn is_being_written(dir: &Path) -> bool {
    let Ok(lock) = fs::File::open(dir.join(LOCK)) else {
        return false;
    };
    flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// What changes when a writer works: the checkpoint, and the write-ahead segments with the times of their last change.
#[derive(Debug, PartialEq, Eq)]
struct State {
    checkpoint: Option<String>,
    segments: Vec<(OsString, Option<SystemTime>)>,
}

impl State {
    fn of(dir: &Path) -> Self {
        let segments = fs::read_dir(dir.join(WAL)).into_iter().flatten().flatten();
        let mut segments: Vec<_> = segments
            .map(|e| (e.file_name(), e.metadata().and_then(|m| m.modified()).ok()))
            .collect();
        segments.sort();
        Self {
            checkpoint: read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64).ok(),
            segments,
        }
    }
}

fn wal_fault(fault: WalFault) -> Fault {
    match fault {
        WalFault::Changed(place, what) => Fault { place, what },
        WalFault::Io(place, source) => ReadError::Io { place, source }.into(),
    }
}

fn history(dir: &Path, key: &VerifierKey, newest: &Checkpoint) -> Result<Vec<Anchor>, Fault> {
    let text = read_text(dir, HISTORY, 1 << 20)?;
    let notes = parse_history(&text)
        .ok_or_else(|| Fault::new(HISTORY, "it was changed: its hash does not match"))?;
    let mut anchors: Vec<Anchor> = Vec::new();
    for (i, note) in notes.iter().enumerate() {
        let place = format!("{HISTORY}, checkpoint {i}");
        let older = key
            .open_checkpoint(note)
            .map_err(|e| Fault::new(place.as_str(), e.to_string()))?;
        // After a crash between the two files the newest checkpoint stands in both.
        if older.size > newest.size || anchors.last().is_some_and(|last| last.size >= older.size) {
            return Err(Fault::new(place, "it is out of order"));
        }
        anchors.push(Anchor {
            size: older.size,
            root: older.root,
            place,
        });
    }
    Ok(anchors)
}
