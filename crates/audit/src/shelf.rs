//! Reading tiles and bundles of a folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::format::leaf::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX, SALT_BYTES};
use crate::format::tile::{Shelf, Tile, WIDTH, decode_entries, decode_hashes};
use crate::format::tree::{Hash, Nodes, perfect_root};

/// The longest bundle.
pub(crate) const BUNDLE_BYTES_MAX: u64 = WIDTH * (2 + LEAF_BYTES_MAX as u64);
/// The longest payload file.
pub(crate) const PAYLOAD_FILE_BYTES_MAX: u64 =
    WIDTH * (4 + (SALT_BYTES + PAYLOAD_BYTES_MAX) as u64);
/// Tiles kept in memory while proofs are made.
const CACHED_TILES_MAX: usize = 64;

/// Why a file of the log could not be used.
#[derive(Debug)]
pub(crate) enum ShelfFault {
    /// It could not be read.
    Io(PathBuf, io::Error),
    /// It was changed: its name within the folder and what is wrong.
    Changed(String, String),
}

/// Reads a file of the log that is at most `max` bytes long.
pub(crate) fn read_bounded(dir: &Path, name: &str, max: u64) -> Result<Vec<u8>, ShelfFault> {
    let path = dir.join(name);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|f| {
        let expected = f.metadata()?.len().min(max);
        bytes.reserve_exact(usize::try_from(expected).unwrap_or(0));
        f.take(max + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(n) if n as u64 > max => Err(ShelfFault::Changed(
            name.to_owned(),
            format!("it is longer than {max} bytes"),
        )),
        Ok(_) => Ok(bytes),
        Err(e) => Err(ShelfFault::Io(path, e)),
    }
}

/// The name of the tile or bundle `index` in a log of `size` records, which reaches it.
pub(crate) fn tile_in(shelf: Shelf, index: u64, size: u64) -> Tile {
    let level = match shelf {
        Shelf::Entries => 0,
        Shelf::Level(level) => u32::from(level),
    };
    let at_level = size.checked_shr(8 * level).unwrap_or(0);
    let width = at_level
        .saturating_sub(index.saturating_mul(WIDTH))
        .min(WIDTH);
    Tile {
        shelf,
        index,
        width: u16::try_from(width).unwrap_or(256),
    }
}

/// The longest bytes that a tile or bundle may have.
pub(crate) fn tile_bytes_max(tile: &Tile) -> u64 {
    match tile.shelf {
        Shelf::Entries => BUNDLE_BYTES_MAX,
        Shelf::Level(_) => WIDTH * 32,
    }
}

/// Reads the hashes of one tile.
pub(crate) fn read_tile(dir: &Path, tile: &Tile) -> Result<Vec<Hash>, ShelfFault> {
    let name = tile.path();
    let bytes = read_bounded(dir, &name, tile_bytes_max(tile))?;
    decode_hashes(&bytes, tile.width).ok_or_else(|| {
        ShelfFault::Changed(
            name,
            format!("it is {} bytes long, not {}", bytes.len(), 32 * tile.width),
        )
    })
}

/// Reads a bundle and checks that it holds as many entries as it should.
pub(crate) fn read_bundle(dir: &Path, tile: &Tile) -> Result<Vec<u8>, ShelfFault> {
    let name = tile.path();
    let bytes = read_bounded(dir, &name, tile_bytes_max(tile))?;
    match decode_entries(&bytes, tile.width) {
        Some(_) => Ok(bytes),
        None => Err(ShelfFault::Changed(
            name,
            format!("it does not hold {} entries", tile.width),
        )),
    }
}

/// The hashes of the tree of `size` records in a folder, for making proofs.
#[derive(Debug)]
pub(crate) struct TileNodes<'a> {
    dir: &'a Path,
    size: u64,
    cache: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<'a> TileNodes<'a> {
    pub(crate) fn new(dir: &'a Path, size: u64) -> Self {
        Self {
            dir,
            size,
            cache: BTreeMap::new(),
        }
    }

    /// The hashes of one tile.
    pub(crate) fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], ShelfFault> {
        if self.cache.len() >= CACHED_TILES_MAX && !self.cache.contains_key(&(level, index)) {
            self.cache.clear();
        }
        match self.cache.entry((level, index)) {
            std::collections::btree_map::Entry::Occupied(tile) => Ok(tile.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let tile = tile_in(Shelf::Level(level), index, self.size);
                Ok(place.insert(read_tile(self.dir, &tile)?))
            }
        }
    }
}

impl Nodes for TileNodes<'_> {
    type Error = ShelfFault;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ShelfFault> {
        let (level, within) = (height / 8, height % 8);
        let width = 1u64 << within;
        let first = index * width;
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        let tile = self.tile(level, first / WIDTH)?;
        let start = usize::try_from(first % WIDTH).unwrap_or(0);
        let hashes = tile.get(start..start + usize::try_from(width).unwrap_or(256));
        // INVARIANT: the proofs ask for nodes within the tree only, and `tile` has the width that the tree gives it.
        hashes.map(perfect_root).ok_or_else(|| {
            ShelfFault::Changed(
                format!("tile/{level}"),
                format!("tile {} is too narrow", first / WIDTH),
            )
        })
    }
}
