//! What has to outlive the program, in SQLite files, each on a thread of its own: the [`Store`] of people, relations
//! and sessions, and the [`InventoryStore`] of devices and conversations.
//!
//! The hot path never comes here: at start everything is read into memory ([`Store::load`]), and later changes are
//! written through. Every method hands its work to the store's thread and returns a [`Call`], which can be awaited on
//! any runtime or waited for without one. A call that returns `Ok` is on disk.
//!
//! # The files
//!
//! SQLite databases with an `application_id` of ours ("ASEP" for the store, "ASIN" for the inventory) and the schema's version in `user_version`, in WAL
//! mode, `synchronous=FULL`, readable by its owner only. One process at a time holds it (an advisory lock on the file);
//! others may [`read`] it meanwhile. Tables hold one row an object: its identifier, what has to be searched for, and the
//! object as JSON. Nothing secret is in it: of sessions and invitations there are hashes, of passkeys public keys.

pub mod archive;
mod call;
mod error;
mod inventory;
mod open;
mod sessions;
mod store;
mod tables;
mod worker;

pub use call::Call;
pub use error::{ErrorKind, StoreError};
pub use inventory::{Change, InventoryStore, Rows, Table, read_inventory};
pub use store::{Counts, Fixed, ImportMode, Setting, Store, World, read};
