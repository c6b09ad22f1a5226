//! The tamper-evident record.
//!
//! Everything that Asepsis decides is appended to a Merkle log in a folder. A record counts once it is durable:
//! [`Log::append`] hands out a [`Pending`] that resolves after the write-ahead file has reached the disk. Behind that,
//! records move into C2SP `tlog-tiles` under a signed checkpoint, from which anybody can check, offline and with the
//! folder alone, that nothing was changed, dropped or reordered ([`verify`]) and that a given record is in the log
//! ([`prove`], [`verify_proof`]).
//!
//! [`format`](mod@format) documents every byte of the folder and holds the code that reads and writes those bytes; it
//! does no I/O. The rest of the crate is the shell around it: [`Log`] (the one writer), [`Reader`], [`verify`],
//! [`prove`] and [`prune`].

mod disk;
mod entry;
pub mod format;
mod log;
mod prove;
mod prune;
mod reader;
mod replay;
mod shelf;
mod verify;

pub use entry::{Entry, Fresh, Kind, Stored, Unrecordable};
pub use format::leaf::HeaderWriter;
pub use log::{
    Log, OpenError, Options, Pending, Recovery, SignedCheckpoint, State, SubscriptionId,
    Unavailable,
};
pub use prove::{
    ConsistencyProof, InclusionProof, ProofFault, ProveError, Proven, prove, prove_consistency,
    verify_consistency, verify_proof,
};
pub use prune::{PruneError, Pruned, prune};
pub use reader::{ReadError, Reader, Records};
pub use verify::{Fault, Verified, verify, verify_trusting};
