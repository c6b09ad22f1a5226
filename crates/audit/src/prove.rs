//! Proofs that a record is in the log, and their offline check.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::RecordId;

use crate::format::folder::CHECKPOINT;
use crate::format::note::{Checkpoint, NOTE_BYTES_MAX, VerifierKey};
use crate::format::proof::ProofText;
use crate::format::tile::{Shelf, WIDTH, decode_entries};
use crate::format::tree::{Hash, consistency, continues, includes, inclusion, leaf_hash};
use crate::reader::{ReadError, read_key, read_text};
use crate::shelf::{TileNodes, read_bundle, tile_in};

/// A proof that one record is in the log, in the C2SP `tlog-proof` text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record.
    pub id: RecordId,
    /// The leaf that the proof is about.
    pub leaf: Vec<u8>,
    /// The proof with its checkpoint.
    pub text: String,
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A proof that one checkpoint continues another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The newer checkpoint, a signed note.
    pub checkpoint: String,
    /// The hashes of RFC 6962, section 2.1.2.
    pub path: Vec<Hash>,
}

/// Why no proof could be made.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No checkpoint covers the record.
    #[error(
        "record {id} is not under the newest checkpoint, which covers {size} records (a running log publishes one every second)"
    )]
    NotCovered {
        /// The record.
        id: RecordId,
        /// Records that the checkpoint covers.
        size: u64,
    },
    /// The proof that was made does not hold.
    #[error("the log does not prove what its checkpoint says (`audit verify` shows the extent)")]
    Contradiction,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not hold: {0}")]
pub struct ProofFault(pub String);

/// What a proof that holds has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The record.
    pub id: RecordId,
    /// The log's name.
    pub origin: String,
    /// Records under the checkpoint.
    pub size: u64,
    /// The checkpoint's root, in base64.
    pub root: String,
}

fn newest(dir: &Path) -> Result<(VerifierKey, Checkpoint, String), ReadError> {
    let key = read_key(dir)?;
    let note = read_text(dir, CHECKPOINT, NOTE_BYTES_MAX as u64)?;
    let checkpoint = key.open_checkpoint(&note).map_err(|e| ReadError::Changed {
        place: CHECKPOINT.into(),
        what: e.to_string(),
    })?;
    Ok((key, checkpoint, note))
}

/// Proves that a record is under the newest checkpoint of the folder. The log may be in use.
pub fn prove(dir: &Path, id: RecordId) -> Result<InclusionProof, ProveError> {
    retrying(dir, |checkpoint, note| prove_in(dir, id, checkpoint, note))
}

/// Proves that the newest checkpoint continues the log of `old` records.
pub fn prove_consistency(dir: &Path, old: u64) -> Result<ConsistencyProof, ProveError> {
    retrying(dir, |checkpoint, note| {
        if old > checkpoint.size {
            return Err(ProveError::NotCovered {
                id: RecordId(old),
                size: checkpoint.size,
            });
        }
        let mut nodes = TileNodes::new(dir, checkpoint.size);
        let path = consistency(&mut nodes, old, checkpoint.size).map_err(ReadError::from)?;
        Ok(ConsistencyProof {
            checkpoint: note.to_owned(),
            path,
        })
    })
}

/// Works on the newest checkpoint, and anew if the writer publishes another meanwhile.
fn retrying<T>(
    dir: &Path,
    work: impl Fn(&Checkpoint, &str) -> Result<T, ProveError>,
) -> Result<T, ProveError> {
    let (_, mut checkpoint, mut note) = newest(dir)?;
    loop {
        let error = match work(&checkpoint, &note) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let (_, now, now_note) = newest(dir)?;
        if now.size <= checkpoint.size {
            return Err(error);
        }
        (checkpoint, note) = (now, now_note);
    }
}

fn prove_in(
    dir: &Path,
    id: RecordId,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<InclusionProof, ProveError> {
    let size = checkpoint.size;
    if id.0 >= size {
        return Err(ProveError::NotCovered { id, size });
    }
    let mut nodes = TileNodes::new(dir, size);
    let path = inclusion(&mut nodes, id.0, size).map_err(ReadError::from)?;
    let tile = tile_in(Shelf::Entries, id.0 / WIDTH, size);
    let bundle = read_bundle(dir, &tile).map_err(ReadError::from)?;
    let entries = decode_entries(&bundle, tile.width).unwrap_or_default();
    let leaf = usize::try_from(id.0 % WIDTH)
        .ok()
        .and_then(|i| entries.get(i))
        .ok_or(ProveError::Contradiction)?;
    if !includes(&leaf_hash(leaf), id.0, size, &path, &checkpoint.root) {
        return Err(ProveError::Contradiction);
    }
    let text = ProofText {
        index: id.0,
        path,
        checkpoint: note.to_owned(),
    }
    .encode();
    Ok(InclusionProof {
        id,
        leaf: leaf.to_vec(),
        text,
    })
}

fn trusted(vkey: &str) -> Result<VerifierKey, ProofFault> {
    VerifierKey::parse(vkey.trim_end())
        .map_err(|e| ProofFault(format!("the trusted key cannot be used: {e}")))
}

/// Checks a proof without the log: its text, the leaf it is about, and the verifier key that is trusted.
pub fn verify_proof(text: &str, leaf: &[u8], vkey: &str) -> Result<Proven, ProofFault> {
    let key = trusted(vkey)?;
    let proof =
        ProofText::parse(text).ok_or_else(|| ProofFault("it is not a tlog-proof".into()))?;
    let checkpoint = key
        .open_checkpoint(&proof.checkpoint)
        .map_err(|e| ProofFault(format!("its checkpoint is refused: {e}")))?;
    if !includes(
        &leaf_hash(leaf),
        proof.index,
        checkpoint.size,
        &proof.path,
        &checkpoint.root,
    ) {
        return Err(ProofFault(
            "the hashes do not lead from the record to the checkpoint's root".into(),
        ));
    }
    Ok(Proven {
        id: RecordId(proof.index),
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: STANDARD.encode(checkpoint.root),
    })
}

/// Checks without the log that the checkpoint in `proof` continues the checkpoint `old`, both signed with `vkey`.
pub fn verify_consistency(
    old: &str,
    proof: &ConsistencyProof,
    vkey: &str,
) -> Result<(), ProofFault> {
    let key = trusted(vkey)?;
    let open = |note: &str| {
        key.open_checkpoint(note)
            .map_err(|e| ProofFault(format!("a checkpoint is refused: {e}")))
    };
    let (old, new) = (open(old)?, open(&proof.checkpoint)?);
    if continues(old.size, &old.root, new.size, &new.root, &proof.path) {
        Ok(())
    } else {
        Err(ProofFault(
            "the newer checkpoint does not continue the older one".into(),
        ))
    }
}
