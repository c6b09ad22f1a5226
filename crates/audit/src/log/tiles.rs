//! Moving records into tiles, bundles and payload files, and publishing checkpoints over them.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SignedCheckpoint;
use crate::disk::{Disk, DiskFile, replace};
use crate::format::folder::{CHECKPOINT, HISTORY, HISTORY_MAX, encode_history, payload_path};
use crate::format::note::{Checkpoint, SigningKey};
use crate::format::payload::Slot;
use crate::format::tile::{
    Edge, Shelf, Tile, WIDTH, encode_hashes, full_tiles, partial_bundle, partial_tiles, push_entry,
};
use crate::format::wal::Frame;

/// Files that are synced one by one; with more, the whole file system is synced at once, which costs one commit of its
/// journal instead of hundreds.
const SYNCED_SINGLY_MAX: usize = 32;
/// Payload bytes held back at most.
const PAYLOAD_BUFFER_BYTES: usize = 1 << 20;

/// Something that could not be written, and where.
#[derive(Debug)]
pub(super) struct WriteFault {
    pub(super) place: PathBuf,
    pub(super) source: io::Error,
}

impl WriteFault {
    fn at(place: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self {
            place: place.to_owned(),
            source,
        }
    }
}

/// The unfinished right edge: what a restart needs besides the files.
#[derive(Clone, Debug)]
pub(super) struct Front {
    /// The tree.
    pub(super) edge: Edge,
    /// The unfinished bundle.
    pub(super) bundle: Vec<u8>,
    /// Bytes of the unfinished payload file.
    pub(super) payload_bytes: u64,
}

/// A checkpoint and its size.
#[derive(Clone, Debug)]
pub(super) struct KeptNote {
    pub(super) size: u64,
    pub(super) note: String,
}

/// What was written since the last sync.
#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<(PathBuf, Box<dyn DiskFile>)>,
    dirs: BTreeSet<PathBuf>,
    too_many: bool,
}

/// The tiles of one folder.
#[derive(Debug)]
pub(super) struct Tiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: SigningKey,
    front: Front,
    /// `front` as of the newest published checkpoint: where to start again after a failure.
    published: Front,
    payload: Vec<u8>,
    /// Whether the payload file may hold bytes beyond `front.payload_bytes`.
    payload_ragged: bool,
    newest: KeptNote,
    history: Vec<KeptNote>,
    /// Partial tiles that are on disk.
    partials: BTreeSet<Tile>,
    /// Shelves and indices of tiles that became full since the last publication.
    filled: BTreeSet<(Shelf, u64)>,
    unsynced: Unsynced,
    known_dirs: HashSet<PathBuf>,
}

impl Tiles {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        key: SigningKey,
        front: Front,
        newest: KeptNote,
        history: Vec<KeptNote>,
    ) -> Self {
        let sizes = history.iter().map(|h| h.size).chain([newest.size]);
        let partials = sizes.flat_map(all_partials).collect();
        Self {
            disk,
            dir,
            key,
            published: front.clone(),
            front,
            payload: Vec::new(),
            payload_ragged: true,
            newest,
            history,
            partials,
            filled: BTreeSet::new(),
            unsynced: Unsynced::default(),
            known_dirs: HashSet::new(),
        }
    }

    /// Gives the signing key back.
    pub(super) fn into_key(self) -> SigningKey {
        self.key
    }

    /// Records taken, published or not.
    pub(super) fn size(&self) -> u64 {
        self.front.edge.size()
    }

    /// Takes the next record, and writes what it completes.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Result<(), WriteFault> {
        push_entry(&mut self.front.bundle, frame.leaf());
        Slot::Kept {
            salted: frame.salted,
        }
        .encode(&mut self.payload);
        let mut completed = Vec::new();
        self.front.edge.push(frame.leaf_hash, &mut |tile, hashes| {
            completed.push((tile, encode_hashes(hashes)))
        });
        for (tile, bytes) in &completed {
            self.write_tile(tile, bytes)?;
        }
        if !completed.is_empty() {
            let index = self.size() / WIDTH - 1;
            let bundle = std::mem::take(&mut self.front.bundle);
            self.write_tile(&Tile::full(Shelf::Entries, index), &bundle)?;
            self.flush_payload(index)?;
            self.front.payload_bytes = 0;
            self.front.bundle = bundle;
            self.front.bundle.clear();
        } else if self.payload.len() > PAYLOAD_BUFFER_BYTES {
            self.flush_payload(self.size() / WIDTH)?;
        }
        Ok(())
    }

    /// Makes everything taken durable, puts a checkpoint over it, and removes what it makes superfluous.
    pub(super) fn publish(&mut self) -> Result<SignedCheckpoint, WriteFault> {
        let size = self.size();
        if size > self.newest.size {
            self.write_front()?;
            self.sync()?;
            let checkpoint = Checkpoint {
                origin: self.key.verifier().name().to_owned(),
                size,
                root: self.front.edge.root(),
            };
            let note = self.key.sign(&checkpoint.to_string());
            let mut history = self.history.clone();
            // After a crash between the two files below, the newest checkpoint stands in the history already.
            if self.newest.size > history.last().map_or(0, |last| last.size) {
                history.push(self.newest.clone());
            }
            history.drain(..history.len().saturating_sub(HISTORY_MAX));
            let notes: Vec<String> = history.iter().map(|h| h.note.clone()).collect();
            self.replace(HISTORY, encode_history(&notes).as_bytes())?;
            self.replace(CHECKPOINT, note.as_bytes())?;
            self.history = history;
            self.newest = KeptNote { size, note };
            self.published = self.front.clone();
            self.remove_superfluous();
        }
        Ok(self.checkpoint())
    }

    /// The newest published checkpoint.
    pub(super) fn checkpoint(&self) -> SignedCheckpoint {
        SignedCheckpoint {
            origin: self.key.verifier().name().to_owned(),
            size: self.newest.size,
            root: STANDARD.encode(self.published.edge.root()),
            note: self.newest.note.clone(),
        }
    }

    /// Removes the partial tiles that a process left behind which was killed while it wrote beyond record `from`.
    pub(super) fn sweep(&mut self, from: u64) {
        let shelves = (0u8..8).map(Shelf::Level).chain([Shelf::Entries]);
        let needed = needed_partials(&self.kept_sizes().collect::<Vec<_>>(), self.newest.size);
        for shelf in shelves {
            for index in full_tiles(shelf, from)..=full_tiles(shelf, self.newest.size) {
                let folder = self.dir.join(partial_folder(shelf, index));
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let width = entry
                        .file_name()
                        .to_str()
                        .and_then(|name| name.parse().ok());
                    if !width.is_some_and(|width| {
                        needed.contains(&Tile {
                            shelf,
                            index,
                            width,
                        })
                    }) {
                        // What cannot be removed is reported by `verify`, and does no other harm.
                        let _ = self.disk.remove(&entry.path());
                    }
                }
                // Only an empty folder goes.
                let _ = self.disk.remove_dir(&folder);
            }
        }
    }

    /// Forgets what was taken since the last publication. After a failed write or sync nothing that was written may be
    /// trusted to reach the disk, so all of it is to be taken and written again.
    pub(super) fn roll_back(&mut self) {
        self.front = self.published.clone();
        self.payload.clear();
        self.payload_ragged = true;
        self.unsynced = Unsynced::default();
        self.known_dirs.clear();
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), WriteFault> {
        let path = self.dir.join(name);
        replace(self.disk.as_ref(), &path, bytes).map_err(WriteFault::at(&path))
    }

    fn write_front(&mut self) -> Result<(), WriteFault> {
        let size = self.size();
        // Files that a published checkpoint needs are never written again: what they hold could only be lost by it.
        let durable: BTreeSet<Tile> = self.kept_sizes().flat_map(all_partials).collect();
        for tile in partial_tiles(size).filter(|t| !durable.contains(t)) {
            let Shelf::Level(level) = tile.shelf else {
                continue;
            };
            let bytes = encode_hashes(self.front.edge.level(level));
            self.write_tile(&tile, &bytes)?;
        }
        if let Some(tile) = partial_bundle(size) {
            let bundle = std::mem::take(&mut self.front.bundle);
            let written = self.write_tile(&tile, &bundle);
            self.front.bundle = bundle;
            written?;
            self.flush_payload(tile.index)?;
        }
        Ok(())
    }

    /// The sizes of the kept checkpoints, the newest included.
    fn kept_sizes(&self) -> impl Iterator<Item = u64> {
        self.history
            .iter()
            .map(|h| h.size)
            .chain([self.newest.size])
    }

    fn write_tile(&mut self, tile: &Tile, bytes: &[u8]) -> Result<(), WriteFault> {
        if u64::from(tile.width) < WIDTH {
            self.partials.insert(*tile);
        } else {
            self.filled.insert((tile.shelf, tile.index));
        }
        let path = self.dir.join(tile.path());
        let file = self.open(&path, true)?;
        file.write_at(0, bytes).map_err(WriteFault::at(&path))?;
        self.written(path, file);
        Ok(())
    }

    fn flush_payload(&mut self, index: u64) -> Result<(), WriteFault> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let path = self.dir.join(payload_path(index));
        let file = self.open(&path, false)?;
        if std::mem::take(&mut self.payload_ragged) {
            file.set_len(self.front.payload_bytes)
                .map_err(WriteFault::at(&path))?;
        }
        file.write_at(self.front.payload_bytes, &self.payload)
            .map_err(WriteFault::at(&path))?;
        self.front.payload_bytes += self.payload.len() as u64;
        self.payload.clear();
        self.written(path, file);
        Ok(())
    }

    fn written(&mut self, path: PathBuf, file: Box<dyn DiskFile>) {
        if self.unsynced.too_many || self.unsynced.files.len() >= SYNCED_SINGLY_MAX {
            // The files are closed here; the sync of everything reaches them all the same.
            self.unsynced.too_many = true;
            self.unsynced.files.clear();
        } else {
            self.unsynced.files.push((path, file));
        }
    }

    /// Opens a file, making the folders on the way to it.
    fn open(&mut self, path: &Path, truncate: bool) -> Result<Box<dyn DiskFile>, WriteFault> {
        if let Some(parent) = path.parent() {
            self.make_dirs(parent)?;
            // A file may be new to its folder.
            self.unsynced.dirs.insert(parent.to_owned());
        }
        self.disk.open(path, truncate).map_err(WriteFault::at(path))
    }

    fn make_dirs(&mut self, path: &Path) -> Result<(), WriteFault> {
        if path == self.dir || self.known_dirs.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_dirs(parent)?;
            self.unsynced.dirs.insert(parent.to_owned());
        }
        self.disk.make_dir(path).map_err(WriteFault::at(path))?;
        self.known_dirs.insert(path.to_owned());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), WriteFault> {
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced.too_many || unsynced.files.len() + unsynced.dirs.len() > 2 * SYNCED_SINGLY_MAX {
            return self
                .disk
                .sync_everything(&self.dir)
                .map_err(WriteFault::at(&self.dir));
        }
        for (path, file) in &unsynced.files {
            file.sync_data().map_err(WriteFault::at(path))?;
        }
        for path in &unsynced.dirs {
            self.disk.sync_dir(path).map_err(WriteFault::at(path))?;
        }
        Ok(())
    }

    /// Removes partial tiles that no kept checkpoint needs. What cannot be removed does no harm.
    fn remove_superfluous(&mut self) {
        let kept: Vec<u64> = self.kept_sizes().collect();
        let needed = needed_partials(&kept, self.newest.size);
        let superfluous: Vec<Tile> = self.partials.difference(&needed).copied().collect();
        for tile in superfluous {
            let _ = self.disk.remove(&self.dir.join(tile.path()));
            self.partials.remove(&tile);
        }
        for (shelf, index) in std::mem::take(&mut self.filled) {
            let folder = self.dir.join(partial_folder(shelf, index));
            // Leftovers of a crash may lie here besides the partial tiles that were known.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let _ = self.disk.remove(&entry.path());
            }
            let _ = self.disk.remove_dir(&folder);
            self.known_dirs.remove(&folder);
        }
    }
}

/// The folder of the partial tiles with this index.
fn partial_folder(shelf: Shelf, index: u64) -> String {
    let mut name = Tile {
        shelf,
        index,
        width: 1,
    }
    .path();
    name.truncate(name.len() - "/1".len());
    name
}

/// The partial tiles and the partial bundle of a tree of `size` leaves.
pub(crate) fn all_partials(size: u64) -> impl Iterator<Item = Tile> {
    partial_tiles(size).chain(partial_bundle(size))
}

/// The partial tiles that kept checkpoints of these sizes need while the newest covers `newest` records: those whose full
/// tile does not exist yet.
pub(crate) fn needed_partials(kept: &[u64], newest: u64) -> BTreeSet<Tile> {
    kept.iter()
        .flat_map(|size| all_partials(*size))
        .filter(|tile| tile.index >= full_tiles(tile.shelf, newest))
        .collect()
}
