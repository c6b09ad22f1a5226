//! What has to outlive the program, in one SQLite file on a thread of its own.
//!
//! The hot path never comes here: at start everything is read into memory ([`Store::load`]), and later changes are
//! written through. Every method hands its work to the store's thread and returns a [`Call`], which can be awaited on
//! any runtime or waited for without one. A call that returns `Ok` is on disk.
//!
//! # The file
//!
//! A SQLite database with `application_id` `0x41534550` ("ASEP") and the schema's version in `user_version`, in WAL
//! mode, `synchronous=FULL`, readable by its owner only. One process at a time holds it (an advisory lock on the file);
//! others may [`read`] it meanwhile. Tables hold one row an object: its identifier, what has to be searched for, and the
//! object as JSON. Nothing secret is in it: of sessions and invitations there are hashes, of passkeys public keys.

mod call;
mod error;
mod open;
mod sessions;
mod store;
mod tables;
mod worker;

pub use call::Call;
pub use error::{ErrorKind, StoreError};
pub use store::{Counts, Fixed, ImportMode, Setting, Store, World, read};
