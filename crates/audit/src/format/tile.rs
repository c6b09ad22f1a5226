//! Tiles and entry bundles of C2SP tlog-tiles: their names, their bytes, and the growing right edge of the tree.

use std::fmt::Write as _;

use super::tree::{Hash, empty_root, node_hash, peaks, perfect_root};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;

/// What a file under `tile/` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shelf {
    /// Entries.
    Entries,
    /// Hashes of this level.
    Level(u8),
}

/// The name of one tile or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub shelf: Shelf,
    /// Its index on that shelf.
    pub index: u64,
    /// How many hashes or entries it holds, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// A full tile or bundle.
    pub fn full(shelf: Shelf, index: u64) -> Self {
        Self {
            shelf,
            index,
            width: 256,
        }
    }

    /// Its path within the folder.
    pub fn path(&self) -> String {
        let mut path = match self.shelf {
            Shelf::Entries => "tile/entries/".to_owned(),
            Shelf::Level(level) => format!("tile/{level}/"),
        };
        path.push_str(&number_path(self.index));
        if u64::from(self.width) < WIDTH {
            // Writing to a string cannot fail.
            let _ = write!(path, ".p/{}", self.width);
        }
        path
    }

    /// Reads a path within the folder; `None` if it is not exactly one that [`Tile::path`] writes.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (shelf, rest) = rest.split_once('/')?;
        let shelf = if shelf == "entries" {
            Shelf::Entries
        } else {
            Shelf::Level(shelf.parse().ok()?)
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, 256),
        };
        let tile = Self {
            shelf,
            index: parse_number(number)?,
            width,
        };
        ((1..=256).contains(&width) && tile.path() == path).then_some(tile)
    }
}

/// `1234067` as `x001/x234/067`.
pub fn number_path(n: u64) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// Reads what [`number_path`] wrote.
pub fn parse_number(path: &str) -> Option<u64> {
    let mut n: u64 = 0;
    for element in path.split('/') {
        let digits = element.strip_prefix('x').unwrap_or(element);
        if digits.len() != 3 {
            return None;
        }
        n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    (number_path(n) == path).then_some(n)
}

/// The partial tiles, level by level, of a tree of `size` leaves, without its bundle.
pub fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0u8..8).filter_map(move |level| {
        let at_level = size >> (8 * u32::from(level));
        let width = u16::try_from(at_level % WIDTH).unwrap_or(0);
        (width > 0).then_some(Tile {
            shelf: Shelf::Level(level),
            index: at_level / WIDTH,
            width,
        })
    })
}

/// The partial bundle of a tree of `size` leaves.
pub fn partial_bundle(size: u64) -> Option<Tile> {
    let width = u16::try_from(size % WIDTH).unwrap_or(0);
    (width > 0).then_some(Tile {
        shelf: Shelf::Entries,
        index: size / WIDTH,
        width,
    })
}

/// How many full tiles a shelf holds in a tree of `size` leaves.
pub fn full_tiles(shelf: Shelf, size: u64) -> u64 {
    let level = match shelf {
        Shelf::Entries => 0,
        Shelf::Level(level) => u32::from(level),
    };
    size.checked_shr(8 * (level + 1)).unwrap_or(0)
}

/// The bytes of a tile.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes of a tile of this width; `None` if the length is wrong.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == usize::from(width)).then(|| hashes.to_vec())
}

/// Appends an entry to a bundle. `leaf` is at most 65,535 bytes; ours are far shorter.
pub fn push_entry(bundle: &mut Vec<u8>, leaf: &[u8]) {
    let length = u16::try_from(leaf.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(&leaf[..usize::from(length)]);
}

/// The entries of a bundle; `None` if they are not exactly `width`, or end early or late.
pub fn decode_entries(bytes: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = tail;
        if entries.len() > usize::from(width) {
            return None;
        }
    }
    (entries.len() == usize::from(width)).then_some(entries)
}

/// The right edge of a growing tree: for each level the hashes of its unfinished tile. All that is needed to append,
/// to write partial tiles and to know the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of the tree of `size` leaves from the hashes of its partial tiles, in the order of
    /// [`partial_tiles`]; `None` if they do not fit.
    pub fn restore(size: u64, partials: impl IntoIterator<Item = Vec<Hash>>) -> Option<Self> {
        let mut levels = Vec::new();
        let mut partials = partials.into_iter();
        for tile in partial_tiles(size) {
            let hashes = partials.next()?;
            if hashes.len() != usize::from(tile.width) {
                return None;
            }
            let Shelf::Level(level) = tile.shelf else {
                return None;
            };
            levels.resize(usize::from(level), Vec::new());
            levels.push(hashes);
        }
        partials.next().is_none().then_some(Self { size, levels })
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash; tells each tile that it completes.
    pub fn push(&mut self, leaf: Hash, completed: &mut impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0u8.. {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::with_capacity(256));
            }
            self.levels[place].push(hash);
            if self.levels[place].len() < 256 {
                return;
            }
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            completed(Tile::full(Shelf::Level(level), index), &self.levels[place]);
            hash = perfect_root(&self.levels[place]);
            self.levels[place].clear();
        }
    }

    /// The hashes of the unfinished tile of a level.
    pub fn level(&self, level: u8) -> &[Hash] {
        self.levels
            .get(usize::from(level))
            .map_or(&[], Vec::as_slice)
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for level in &self.levels {
            for peak in peaks(level).iter().rev() {
                root = Some(root.map_or(*peak, |right| node_hash(peak, &right)));
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::format::tree::{Nodes, leaf_hash, root};

    struct FromLeaves(Vec<Hash>);

    impl Nodes for FromLeaves {
        type Error = Infallible;
        fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let width = 1 << height;
            let start = usize::try_from(index).expect("small") * width;
            Ok(perfect_root(&self.0[start..start + width]))
        }
    }

    #[test]
    fn names_follow_the_specification() {
        let tile = Tile {
            shelf: Shelf::Level(0),
            index: 1_234_067,
            width: 256,
        };
        assert_eq!(tile.path(), "tile/0/x001/x234/067");
        let partial = Tile {
            shelf: Shelf::Entries,
            index: 273,
            width: 112,
        };
        assert_eq!(partial.path(), "tile/entries/273.p/112");
        for tile in [tile, partial] {
            assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
        for wrong in [
            "tile/0/1",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/0/001.p/01",
            "tile/0/+01",
            "tile/entries/x001/x001",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "payload/001",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_tiles_of_seventy_thousand_leaves_are_those_of_the_specification() {
        let tiles: Vec<_> = partial_tiles(70_000).map(|t| t.path()).collect();
        assert_eq!(
            tiles,
            ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
        );
        assert_eq!(full_tiles(Shelf::Level(0), 70_000), 273);
        assert_eq!(full_tiles(Shelf::Level(1), 70_000), 1);
        assert_eq!(full_tiles(Shelf::Level(7), u64::MAX), 0);
        let tiles: Vec<_> = partial_tiles(256).map(|t| t.path()).collect();
        assert_eq!(tiles, ["tile/1/000.p/1"]);
        assert_eq!(partial_bundle(256), None);
    }

    #[test]
    fn the_edge_gives_the_root_at_every_size_and_survives_a_restart() {
        let mut nodes = FromLeaves(Vec::new());
        let mut edge = Edge::default();
        let mut tiles = BTreeMap::new();
        for i in 0..70_000u64 {
            let hash = leaf_hash(&i.to_be_bytes());
            nodes.0.push(hash);
            edge.push(hash, &mut |tile, hashes| {
                assert!(tiles.insert(tile, hashes.to_vec()).is_none());
            });
            let size = i + 1;
            if size < 1000 || size % 4099 == 0 || size.is_multiple_of(256 * 64) || size % 65_536 < 3
            {
                let Ok(expected) = root(&mut nodes, size);
                assert_eq!(edge.root(), expected, "size {size}");
                let partials = partial_tiles(size).map(|tile| match tile.shelf {
                    Shelf::Level(level) => edge.level(level).to_vec(),
                    Shelf::Entries => Vec::new(),
                });
                let restored = Edge::restore(size, partials).expect("own partials");
                assert_eq!(restored.root(), expected);
                assert_eq!(restored.size(), size);
            }
        }
        assert_eq!(tiles.len(), 273 + 1);
        for (tile, hashes) in tiles {
            let Shelf::Level(level) = tile.shelf else {
                panic!("hashes only")
            };
            let Ok(first) = nodes.node(8 * u32::from(level), tile.index * WIDTH);
            assert_eq!(hashes[0], first);
        }
    }

    #[test]
    fn an_edge_is_not_restored_from_the_wrong_hashes() {
        assert_eq!(Edge::restore(3, [vec![[0; 32]; 2]]), None);
        assert_eq!(Edge::restore(256, []), None);
        assert_eq!(Edge::restore(0, [vec![[0; 32]]]), None);
        assert!(Edge::restore(0, []).is_some());
    }

    proptest! {
        #[test]
        fn bundles_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..40)) {
            let mut bundle = Vec::new();
            for entry in &entries {
                push_entry(&mut bundle, entry);
            }
            let width = u16::try_from(entries.len()).expect("small");
            let decoded = decode_entries(&bundle, width).expect("own bytes");
            prop_assert_eq!(decoded, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert!(decode_entries(&bundle, width + 1).is_none());
            prop_assert!(decode_entries(&bundle, width - 1).is_none());
            prop_assert!(decode_entries(&bundle[..bundle.len() - 1], width).is_none() || entries.last().is_some_and(Vec::is_empty));
        }

        #[test]
        fn arbitrary_names_and_bytes_never_panic(path in "[tile0-9x/.p]{0,40}", bytes: Vec<u8>, width: u16) {
            if let Some(tile) = Tile::parse(&path) {
                prop_assert_eq!(tile.path(), path);
            }
            let _ = decode_entries(&bytes, width);
            let _ = decode_hashes(&bytes, width);
        }
    }
}
