//! Checking a whole folder.
//!
//! First a *snapshot* is taken of what a running writer may replace: the checkpoints, the unfinished tiles and what only
//! the write-ahead segments hold. Then all records are read and hashed in one pass, and every tile, bundle, payload and
//! checkpoint is held against what comes out. At last the folder is searched for files that belong to no log.

mod snapshot;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::snapshot::{Anchor, Snapshot, TailRecord};
use crate::format::folder::{parse_payload_path, payload_path};
use crate::format::leaf::commitment;
use crate::format::note::VerifierKey;
use crate::format::payload::{Slot, prune_statement, split_slot};
use crate::format::tile::{
    Edge, Shelf, Tile, WIDTH, decode_entries, encode_hashes, full_tiles, push_entry,
};
use crate::format::tree::{Hash, leaf_hash, perfect_root, sha256};
use crate::reader::ReadError;
use crate::shelf::{
    PAYLOAD_FILE_BYTES_MAX, ShelfFault, TileNodes, read_bounded, read_bundle, read_tile,
    tile_bytes_max,
};

/// What a sound log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The log's name.
    pub origin: String,
    /// Records, including those that no checkpoint covers yet.
    pub size: u64,
    /// Records under the newest checkpoint.
    pub checkpointed: u64,
    /// The root over all `size` records, in base64.
    pub root: String,
    /// Records whose payload was erased under the log's signature.
    pub pruned: u64,
    /// Checkpoints that were checked: the newest, the kept older ones and the one given.
    pub checkpoints: u64,
    /// Bytes of an unfinished, never acknowledged batch at the end of the write-ahead segments, as a killed process
    /// leaves it. Opening the log drops them.
    pub torn_bytes: u64,
}

/// What is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Fault {
    /// The file within the folder, with the record where it is known.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl Fault {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Changed { place, what } => Self { place, what },
            ReadError::Io { place, source } if source.kind() == io::ErrorKind::NotFound => {
                Self::new(place.display().to_string(), "it is missing")
            }
            ReadError::Io { place, source } => {
                Self::new(place.display().to_string(), source.to_string())
            }
            ReadError::NotOurs { ref place } | ReadError::Newer { ref place, .. } => {
                Self::new(place.display().to_string(), error.to_string())
            }
            ReadError::Absent(id) => Self::new(format!("record {id}"), "it is missing"),
        }
    }
}

impl From<ShelfFault> for Fault {
    fn from(fault: ShelfFault) -> Self {
        ReadError::from(fault).into()
    }
}

/// Checks every byte of the folder, and that the log continues the checkpoint `against` (a signed note that was kept
/// elsewhere) if one is given. `progress` is told records done and records in all. The log may be in use.
///
/// The verifier key is taken from the folder. Whoever can replace the whole folder can replace the key with it: keep the
/// key, or a checkpoint, elsewhere and use [`verify_trusting`] or `against`.
pub fn verify(
    dir: &Path,
    against: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, Fault> {
    verify_trusting(dir, None, against, progress)
}

/// Like [`verify`], trusting the verifier key `vkey` (signed-note form) and no other.
pub fn verify_trusting(
    dir: &Path,
    vkey: Option<&str>,
    against: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, Fault> {
    check(dir, vkey, against, progress).map_err(|mut fault| {
        // Places are told within the folder.
        let within = Path::new(&fault.place)
            .strip_prefix(dir)
            .ok()
            .filter(|p| !p.as_os_str().is_empty());
        if let Some(within) = within {
            fault.place = within.display().to_string();
        }
        fault
    })
}

fn check(
    dir: &Path,
    vkey: Option<&str>,
    against: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, Fault> {
    let snapshot = Snapshot::take(dir, vkey, against)?;
    let mut pass = Pass::new(dir, &snapshot);
    pass.read_full_bundles(progress)?;
    pass.read_edge()?;
    pass.read_tail()?;
    progress(snapshot.size(), snapshot.size());
    let verified = Verified {
        origin: snapshot.key.name().to_owned(),
        size: snapshot.size(),
        checkpointed: snapshot.checkpoint.size,
        root: STANDARD.encode(pass.edge.root()),
        pruned: pass.pruned,
        checkpoints: snapshot.anchors.len() as u64,
        torn_bytes: snapshot.torn_bytes,
    };
    let expected = pass.finish();
    search(dir, &snapshot, &expected)?;
    Ok(verified)
}

/// What the files beyond the checkpoint must hold, as far as they hold anything.
type Expected = BTreeMap<(Shelf, u64), Vec<u8>>;

/// One pass over all records.
struct Pass<'a> {
    dir: &'a Path,
    snapshot: &'a Snapshot,
    edge: Edge,
    /// Anchors not reached yet, by size.
    anchors: &'a [Anchor],
    /// Records of the segments that lie under the checkpoint and were not met yet.
    covered: &'a [(u64, Hash)],
    expected: Expected,
    pruned: u64,
}

impl<'a> Pass<'a> {
    fn new(dir: &'a Path, snapshot: &'a Snapshot) -> Self {
        Self {
            dir,
            snapshot,
            edge: Edge::default(),
            anchors: &snapshot.anchors,
            covered: &snapshot.covered,
            expected: Expected::new(),
            pruned: 0,
        }
    }

    fn read_full_bundles(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        self.check_anchors()?;
        for index in 0..full_tiles(Shelf::Entries, self.snapshot.checkpoint.size) {
            let tile = Tile::full(Shelf::Entries, index);
            let bundle = read_bundle(self.dir, &tile)?;
            self.read_bundle_of(&tile, &bundle)?;
            progress(self.edge.size(), self.snapshot.size());
        }
        Ok(())
    }

    /// Reads the unfinished bundle under the checkpoint, and checks that the whole tree is what the checkpoint says.
    fn read_edge(&mut self) -> Result<(), Fault> {
        if let Some((tile, bundle)) = &self.snapshot.bundle {
            self.read_bundle_of(tile, bundle)?;
        }
        for (tile, hashes) in &self.snapshot.partials {
            let Shelf::Level(level) = tile.shelf else {
                continue;
            };
            if hashes != self.edge.level(level) {
                return Err(self.hash_fault(tile, hashes, self.edge.level(level)));
            }
        }
        for (tile, bytes) in &self.snapshot.older {
            let newest = match (tile.shelf, &self.snapshot.bundle) {
                (Shelf::Level(level), _) => Some(encode_hashes(self.edge.level(level))),
                (Shelf::Entries, Some((_, bundle))) => Some(bundle.clone()),
                (Shelf::Entries, None) => None,
            };
            if newest.and_then(|newest| beginning(&newest, tile)).as_ref() != Some(bytes) {
                return Err(Fault::new(
                    tile.path(),
                    "it is not the beginning of the newest checkpoint's tile",
                ));
            }
        }
        Ok(())
    }

    fn read_bundle_of(&mut self, tile: &Tile, bundle: &[u8]) -> Result<(), Fault> {
        let leaves = decode_entries(bundle, tile.width).unwrap_or_default();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        self.check_leaf_hashes(tile, &hashes)?;
        let name = payload_path(tile.index);
        let read;
        let mut rest = match &self.snapshot.payloads {
            Some((index, bytes)) if *index == tile.index => bytes.as_slice(),
            Some(_) | None => {
                read = read_bounded(self.dir, &name, PAYLOAD_FILE_BYTES_MAX)?;
                read.as_slice()
            }
        };
        for (leaf, hash) in leaves.into_iter().zip(hashes) {
            let record = self.edge.size();
            let place = || format!("{name}, record {record}");
            let Some(commitment) = commitment(leaf) else {
                return Err(Fault::new(
                    format!("{}, record {record}", tile.path()),
                    "the entry has no commitment",
                ));
            };
            let Some((slot, tail)) = split_slot(rest) else {
                return Err(Fault::new(
                    place(),
                    "the payload is cut off or its length was changed",
                ));
            };
            rest = tail;
            self.check_slot(&slot, record, &commitment)
                .map_err(|what| Fault::new(place(), what))?;
            self.push(hash, tile)?;
        }
        self.check_payload_end(tile, &name, rest)
    }

    /// Holds the entries of a bundle against the tile of their hashes, and says which of the two was changed.
    fn check_leaf_hashes(&self, bundle: &Tile, computed: &[Hash]) -> Result<(), Fault> {
        let tile = Tile {
            shelf: Shelf::Level(0),
            ..*bundle
        };
        let read;
        let stored = match self.snapshot.partials.iter().find(|(t, _)| *t == tile) {
            Some((_, hashes)) => hashes,
            None => {
                read = read_tile(self.dir, &tile)?;
                &read
            }
        };
        let Some(differs) = stored.iter().zip(computed).position(|(a, b)| a != b) else {
            return Ok(());
        };
        let record = tile.index * WIDTH + differs as u64;
        if self.is_vouched_for(&tile, stored) {
            let what = format!(
                "the entry was changed: it does not match its hash in `{}`",
                tile.path()
            );
            return Err(Fault::new(
                format!("{}, record {record}", bundle.path()),
                what,
            ));
        }
        let what = format!(
            "the hash was changed: it does not match the entry in `{}`",
            bundle.path()
        );
        Err(Fault::new(
            format!("{}, record {record}", tile.path()),
            what,
        ))
    }

    /// Whether what lies above a tile of leaf hashes agrees with it.
    fn is_vouched_for(&self, tile: &Tile, stored: &[Hash]) -> bool {
        let size = self.snapshot.checkpoint.size;
        if u64::from(tile.width) == WIDTH {
            let mut nodes = TileNodes::new(self.dir, size);
            let above = nodes.tile(1, tile.index / WIDTH);
            let place = usize::try_from(tile.index % WIDTH).unwrap_or(usize::MAX);
            return above.is_ok_and(|above| above.get(place) == Some(&perfect_root(stored)));
        }
        let partials = self
            .snapshot
            .partials
            .iter()
            .map(|(_, hashes)| hashes.clone());
        Edge::restore(size, partials)
            .is_some_and(|edge| edge.root() == self.snapshot.checkpoint.root)
    }

    /// Behind the payloads under the checkpoint may follow what the segments hold, as far as a crash let it.
    fn check_payload_end(&self, tile: &Tile, name: &str, rest: &[u8]) -> Result<(), Fault> {
        let room = WIDTH - u64::from(tile.width);
        let mut expected = Vec::new();
        for record in self
            .snapshot
            .tail
            .iter()
            .take(usize::try_from(room).unwrap_or(0))
        {
            if expected.len() >= rest.len() {
                break;
            }
            Slot::Kept {
                salted: &record.salted,
            }
            .encode(&mut expected);
        }
        let beyond = rest.len() > expected.len() && self.snapshot.has_grown(self.dir);
        if expected.starts_with(rest) || (beyond && rest.starts_with(&expected)) {
            return Ok(());
        }
        Err(Fault::new(
            name,
            format!(
                "bytes follow the payload of record {}",
                self.edge.size() - 1
            ),
        ))
    }

    fn check_slot(
        &mut self,
        slot: &Slot<'_>,
        record: u64,
        commitment: &Hash,
    ) -> Result<(), &'static str> {
        match slot {
            Slot::Kept { salted } if sha256(salted) == *commitment => Ok(()),
            Slot::Kept { .. } => Err("the payload does not match the commitment of its entry"),
            Slot::Pruned { at, signature } => {
                let key: &VerifierKey = &self.snapshot.key;
                let statement = prune_statement(key.name(), record, *at, commitment);
                if !key.check(&statement, signature.as_slice()) {
                    return Err("the payload is erased without a signature of the log's key");
                }
                self.pruned += 1;
                Ok(())
            }
        }
    }

    /// Adds a leaf; `tile` is the bundle it came from.
    fn push(&mut self, hash: Hash, bundle: &Tile) -> Result<(), Fault> {
        let record = self.edge.size();
        if let Some(((index, covered), later)) = self.covered.split_first()
            && *index == record
        {
            self.covered = later;
            if *covered != hash {
                let place = format!("{}, record {record}", bundle.path());
                return Err(Fault::new(
                    place,
                    "the entry is not the one in the write-ahead segment",
                ));
            }
        }
        let mut completed = Vec::new();
        self.edge.push(hash, &mut |tile, hashes| {
            completed.push((tile, hashes.to_vec()))
        });
        for (tile, hashes) in completed {
            self.check_tile(&tile, &hashes)?;
        }
        self.check_anchors()
    }

    fn check_tile(&mut self, tile: &Tile, hashes: &[Hash]) -> Result<(), Fault> {
        if tile.index >= full_tiles(tile.shelf, self.snapshot.checkpoint.size) {
            self.expected
                .insert((tile.shelf, tile.index), encode_hashes(hashes));
            return Ok(());
        }
        let name = tile.path();
        let bytes = read_bounded(self.dir, &name, tile_bytes_max(tile))?;
        if bytes == encode_hashes(hashes) {
            return Ok(());
        }
        let (stored, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || stored.len() != hashes.len() {
            return Err(Fault::new(
                name,
                format!(
                    "it is {} bytes long, not {}",
                    bytes.len(),
                    32 * hashes.len()
                ),
            ));
        }
        Err(self.hash_fault(tile, stored, hashes))
    }

    /// Says which hash of a tile differs from what the tile below it gives.
    fn hash_fault(&self, tile: &Tile, stored: &[Hash], computed: &[Hash]) -> Fault {
        let differs = stored
            .iter()
            .zip(computed)
            .position(|(a, b)| a != b)
            .unwrap_or(0) as u64;
        let below = match tile.shelf {
            Shelf::Level(level @ 1..) => {
                Tile::full(Shelf::Level(level - 1), tile.index * WIDTH + differs).path()
            }
            Shelf::Level(0) | Shelf::Entries => Tile {
                shelf: Shelf::Entries,
                ..*tile
            }
            .path(),
        };
        Fault::new(
            format!("{}, hash {differs}", tile.path()),
            format!("the hash does not match `{below}`"),
        )
    }

    fn check_anchors(&mut self) -> Result<(), Fault> {
        while let Some((anchor, later)) = self.anchors.split_first()
            && anchor.size <= self.edge.size()
        {
            self.anchors = later;
            if anchor.root != self.edge.root() {
                return Err(Fault::new(
                    anchor.place.as_str(),
                    format!(
                        "the log's first {} records do not have the root that this checkpoint says",
                        anchor.size
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Hashes what only the segments hold, and notes what the files beyond the checkpoint must hold.
    fn read_tail(&mut self) -> Result<(), Fault> {
        let (mut index, mut bundle) = match &self.snapshot.bundle {
            Some((tile, bundle)) => (tile.index, bundle.clone()),
            None => (self.edge.size() / WIDTH, Vec::new()),
        };
        let snapshot = self.snapshot;
        for TailRecord { leaf, .. } in &snapshot.tail {
            push_entry(&mut bundle, leaf);
            self.push(leaf_hash(leaf), &Tile::full(Shelf::Entries, index))?;
            if self.edge.size().is_multiple_of(WIDTH) {
                self.expected
                    .insert((Shelf::Entries, index), std::mem::take(&mut bundle));
                index += 1;
            }
        }
        if !bundle.is_empty() {
            self.expected.insert((Shelf::Entries, index), bundle);
        }
        for level in 0u8..8 {
            let hashes = self.edge.level(level);
            if !hashes.is_empty() {
                let index = full_tiles(Shelf::Level(level), self.edge.size());
                self.expected
                    .insert((Shelf::Level(level), index), encode_hashes(hashes));
            }
        }
        Ok(())
    }

    fn finish(self) -> Expected {
        self.expected
    }
}

/// Searches the folder for files that the pass did not read.
fn search(dir: &Path, snapshot: &Snapshot, expected: &Expected) -> Result<(), Fault> {
    let mut folders = vec!["tile".to_owned(), "payload".to_owned()];
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|source| ReadError::Io {
                place: path.clone(),
                source,
            })?,
        };
        for entry in entries {
            let io_error = |source| ReadError::Io {
                place: path.clone(),
                source,
            };
            let entry = entry.map_err(io_error)?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(io_error)?;
            if kind.is_dir() {
                folders.push(name);
            } else {
                check_file(dir, snapshot, expected, &name, kind.is_file())?;
            }
        }
    }
    Ok(())
}

fn check_file(
    dir: &Path,
    snapshot: &Snapshot,
    expected: &Expected,
    name: &str,
    plain: bool,
) -> Result<(), Fault> {
    let covered = snapshot.checkpoint.size;
    let foreign = || Err(Fault::new(name, "it is not a file of the log"));
    if !plain {
        return foreign();
    }
    if let Some(index) = parse_payload_path(name) {
        return if index < covered.div_ceil(WIDTH)
            || beyond_payload_is_sound(dir, snapshot, name, index)
        {
            Ok(())
        } else {
            foreign()
        };
    }
    let Some(tile) = Tile::parse(name) else {
        return foreign();
    };
    let full = full_tiles(tile.shelf, covered);
    if tile.index < full && u64::from(tile.width) == WIDTH {
        return Ok(());
    }
    let read = |name: &str| match read_bounded(dir, name, tile_bytes_max(&tile)) {
        Ok(bytes) => Ok(Some(bytes)),
        // The writer has removed it meanwhile.
        Err(ShelfFault::Io(_, e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Fault::from(e)),
    };
    let Some(bytes) = read(name)? else {
        return Ok(());
    };
    let whole = match expected.get(&(tile.shelf, tile.index)) {
        Some(whole) => Some(whole.clone()),
        None if tile.index < full => read(&Tile::full(tile.shelf, tile.index).path())?,
        None => None,
    };
    let sound = whole
        .and_then(|whole| beginning(&whole, &tile))
        .is_some_and(|wanted| {
            // A file beyond the checkpoint may be unfinished: it is written again before it counts.
            let counts = tile.index < full || reaches_at_most(&tile, covered);
            bytes == wanted || (!counts && wanted.starts_with(&bytes))
        });
    if sound || snapshot.has_grown(dir) {
        return Ok(());
    }
    Err(Fault::new(name, "it does not match the records of the log"))
}

/// Whether a partial tile lies wholly within a tree of `size` leaves.
fn reaches_at_most(tile: &Tile, size: u64) -> bool {
    let level = match tile.shelf {
        Shelf::Entries => 0,
        Shelf::Level(level) => u32::from(level),
    };
    let at_level = size.checked_shr(8 * level).unwrap_or(0);
    tile.index
        .saturating_mul(WIDTH)
        .saturating_add(u64::from(tile.width))
        <= at_level
}

/// The first hashes or entries of a tile, as many as `tile` is wide.
fn beginning(whole: &[u8], tile: &Tile) -> Option<Vec<u8>> {
    let width = usize::from(tile.width);
    match tile.shelf {
        Shelf::Level(_) => whole.get(..32 * width).map(<[u8]>::to_vec),
        Shelf::Entries => {
            let mut end = 0;
            for _ in 0..width {
                let length = whole.get(end..end + 2)?;
                end += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
            whole.get(..end).map(<[u8]>::to_vec)
        }
    }
}

/// Whether a payload file beyond the checkpoint holds what the segments hold, as far as it goes.
fn beyond_payload_is_sound(dir: &Path, snapshot: &Snapshot, name: &str, index: u64) -> bool {
    if snapshot.has_grown(dir) {
        return true;
    }
    let first = index
        .saturating_mul(WIDTH)
        .checked_sub(snapshot.checkpoint.size);
    let Some(first) = first.and_then(|f| usize::try_from(f).ok()) else {
        return false;
    };
    let Some(records) = snapshot.tail.get(first..).filter(|r| !r.is_empty()) else {
        return false;
    };
    let mut wanted = Vec::new();
    for record in records.iter().take(256) {
        Slot::Kept {
            salted: &record.salted,
        }
        .encode(&mut wanted);
    }
    read_bounded(dir, name, PAYLOAD_FILE_BYTES_MAX).is_ok_and(|bytes| wanted.starts_with(&bytes))
}
