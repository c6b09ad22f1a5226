//! The bytes of a log folder. Everything in here is pure: bytes go in, values and bytes come out.
//!
//! # The folder
//!
//! ```text
//! format                     what this folder is: two lines, see `marker`
//! vkey                       the verifier key, signed-note form: `NAME+HASH+KEY`
//! checkpoint                 the newest checkpoint, a C2SP tlog-checkpoint (signed note, Ed25519)
//! checkpoints                up to 32 older checkpoints, oldest first, see `history`
//! tile/<L>/<N>[.p/<W>]       C2SP tlog-tiles: hashes of level L
//! tile/entries/<N>[.p/<W>]   C2SP tlog-tiles: entry bundles, the leaves
//! payload/<N>                the payloads of 256 records, prunable, see `payload`
//! wal/<sequence>             write-ahead segments, see `wal`; none after a close in good order
//! lock                       empty; held with flock(2) by whoever writes
//! ```
//!
//! `<N>` is written in groups of three digits (`x001/x234/067`), as tlog-tiles demands. Partial tiles are kept for the
//! newest checkpoint and for the kept older ones; the others are removed. The signing key lies outside of the folder
//! (by default `../keys/FOLDER.key`, mode 0600), so that the folder can be handed to an auditor as it is.
//!
//! # A record
//!
//! A record is a leaf and a payload. The leaf is JSON of at most 4,096 bytes with a fixed order of members and sorted
//! header keys (see `leaf`):
//!
//! ```json
//! {"v":1,"kind":"decision","at":"2026-11-22T08:30:00.250Z","header":{},"commitment":"BASE64"}
//! ```
//!
//! `commitment` is SHA-256(salt || payload) with a random salt of 16 bytes that is stored beside the payload and erased
//! with it: after pruning, nobody can test a guess of the payload against the leaf. Leaves are hashed as RFC 6962 says:
//! SHA-256(0x00 || leaf), nodes SHA-256(0x01 || left || right).
//!
//! # Order of truth
//!
//! A record is acknowledged when its batch in `wal/` is durable. Tiles, bundles and payloads are written from there and
//! made durable before the checkpoint that covers them replaces its predecessor; a segment is removed only after a
//! durable checkpoint covers all of it. So `checkpoint` plus what the segments hold beyond it is always the whole log,
//! and files beyond the checkpoint are merely rebuilt after a crash.

pub mod folder;
pub mod leaf;
pub mod note;
pub mod payload;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod wal;
