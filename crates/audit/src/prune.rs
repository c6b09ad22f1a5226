//! Erasing payloads without breaking a root.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{RecordId, Timestamp};

use crate::disk::{Disk, RealDisk, replace_by_way_of};
use crate::format::folder::{UNFINISHED, payload_path};
use crate::format::leaf::commitment;
use crate::format::note::SigningKey;
use crate::format::payload::{Slot, prune_statement, split_slot};
use crate::format::tile::{Shelf, WIDTH, decode_entries};
use crate::log::{OpenError, Options, open_for_pruning};
use crate::reader::{ReadError, read_key};
use crate::shelf::{PAYLOAD_FILE_BYTES_MAX, read_bounded, read_bundle, tile_in};

/// Why payloads could not be erased.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The log could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A payload file could not be replaced. Files replaced before it stay replaced.
    #[error("cannot write `{}`: {source}", place.display())]
    Io {
        /// The file.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Payloads erased now.
    pub erased: u64,
    /// Payloads that had been erased before.
    pub already: u64,
}

/// Erases the payloads of `ids` and their salts; the log must not be in use. Leaves, roots and checkpoints stay as they
/// are, and the log's key signs each erasure. Nothing is erased if one of the ids does not exist.
///
/// The files are replaced by shorter ones: what the file system and its backups keep of the old ones is theirs to erase.
pub fn prune(
    dir: &Path,
    options: &Options,
    ids: &[RecordId],
    now: Timestamp,
) -> Result<Pruned, PruneError> {
    // A folder that is no log is not made one.
    read_key(dir)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    // Opening also empties the write-ahead segments, which hold payloads too.
    let log = open_for_pruning(dir, options, &disk)?;
    let mut by_file: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for id in ids {
        if id.0 >= log.size {
            return Err(ReadError::Absent(*id).into());
        }
        by_file.entry(id.0 / WIDTH).or_default().insert(id.0);
    }
    let mut pruned = Pruned::default();
    for (index, records) in by_file {
        let (bytes, done) = rewrite(dir, &log.key, log.size, index, &records, now)?;
        if done.erased > 0 {
            let place = dir.join(payload_path(index));
            let unfinished = dir.join(format!("payload{UNFINISHED}"));
            replace_by_way_of(disk.as_ref(), &unfinished, &place, &bytes)
                .map_err(|source| PruneError::Io { place, source })?;
        }
        pruned.erased += done.erased;
        pruned.already += done.already;
    }
    Ok(pruned)
}

/// The new contents of a payload file.
fn rewrite(
    dir: &Path,
    key: &SigningKey,
    size: u64,
    index: u64,
    records: &BTreeSet<u64>,
    now: Timestamp,
) -> Result<(Vec<u8>, Pruned), ReadError> {
    let name = payload_path(index);
    let changed = |what: &str| ReadError::Changed {
        place: name.clone(),
        what: what.into(),
    };
    let tile = tile_in(Shelf::Entries, index, size);
    let bundle = read_bundle(dir, &tile)?;
    let old = read_bounded(dir, &name, PAYLOAD_FILE_BYTES_MAX)?;
    let (mut rest, mut new, mut pruned) = (
        old.as_slice(),
        Vec::with_capacity(old.len()),
        Pruned::default(),
    );
    for (record, leaf) in
        (index * WIDTH..).zip(decode_entries(&bundle, tile.width).unwrap_or_default())
    {
        let (slot, tail) = split_slot(rest).ok_or_else(|| changed("it is cut off"))?;
        rest = tail;
        match slot {
            Slot::Kept { .. } if records.contains(&record) => {
                let commitment =
                    commitment(leaf).ok_or_else(|| changed("an entry has no commitment"))?;
                let signature = key.sign_bytes(&prune_statement(
                    key.verifier().name(),
                    record,
                    now,
                    &commitment,
                ));
                Slot::Pruned {
                    at: now,
                    signature: &signature,
                }
                .encode(&mut new);
                pruned.erased += 1;
            }
            Slot::Pruned { .. } => {
                pruned.already += u64::from(records.contains(&record));
                slot.encode(&mut new);
            }
            Slot::Kept { .. } => slot.encode(&mut new),
        }
    }
    Ok((new, pruned))
}
