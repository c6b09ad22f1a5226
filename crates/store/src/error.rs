//! What can go wrong with a store, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A fault of the store, with its place. Its text says what to do.
#[derive(Debug)]
pub struct StoreError {
    /// The store's file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong with a store.
#[derive(Debug)]
pub enum ErrorKind {
    /// The folder that is to hold it does not exist.
    NoFolder,
    /// There is no such file.
    Missing,
    /// The file is not a SQLite database.
    NotADatabase,
    /// The file is a database of some other program.
    Foreign,
    /// A newer version of this program made it.
    TooNew {
        /// Its schema version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// An older version of this program made it, and it is only to be read.
    TooOld {
        /// Its schema version.
        found: i64,
    },
    /// Another process has it open.
    Locked,
    /// The file, or a row of it, cannot be read.
    Damaged(String),
    /// There is no room left on the disk.
    Full,
    /// The file may not be read or written.
    Denied,
    /// A setting that is fixed for ever has another value in the configuration.
    Fixed {
        /// The setting.
        setting: &'static str,
        /// Its value in the store.
        kept: String,
        /// The value asked for.
        asked: String,
    },
    /// More calls wait than are taken.
    Busy,
    /// The store was closed.
    Closed,
    /// Anything else that SQLite or the file system reports.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store `{}`: ", self.path.display())?;
        match &self.kind {
            ErrorKind::NoFolder => {
                f.write_str("its folder does not exist (hint: create the folder, or name another)")
            }
            ErrorKind::Missing => f.write_str("there is no such file (hint: check the data folder)"),
            ErrorKind::NotADatabase => f.write_str(
                "the file is not a database (hint: name another file, or move this one away)",
            ),
            ErrorKind::Foreign => f.write_str(
                "the file is a database of another program (hint: name another file)",
            ),
            ErrorKind::TooNew { found, known } => write!(
                f,
                "the store has version {found}, this program knows versions up to {known} \
                 (hint: run the newer program, or restore the copy made before the upgrade)"
            ),
            ErrorKind::TooOld { found } => write!(
                f,
                "the store has the older version {found} (hint: run `asepsis up` once, which upgrades it)"
            ),
            ErrorKind::Locked => f.write_str(
                "another process has the store open (hint: stop the other `asepsis`, or name another store)",
            ),
            ErrorKind::Damaged(what) => {
                write!(f, "the store is damaged: {what} (hint: restore it from a copy)")
            }
            ErrorKind::Full => f.write_str("the disk is full (hint: make room)"),
            ErrorKind::Denied => f.write_str(
                "the file may not be read and written (hint: check its owner and permissions)",
            ),
            ErrorKind::Fixed {
                setting,
                kept,
                asked,
            } => write!(
                f,
                "`{setting}` is `{kept}` in this store and cannot become `{asked}` \
                 (hint: set it back, or begin with a new store)"
            ),
            ErrorKind::Busy => f.write_str("too many calls wait for the store (hint: try again)"),
            ErrorKind::Closed => f.write_str("the store was closed"),
            ErrorKind::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Other(error) => error.source(),
            ErrorKind::NoFolder
            | ErrorKind::Missing
            | ErrorKind::NotADatabase
            | ErrorKind::Foreign
            | ErrorKind::TooNew { .. }
            | ErrorKind::TooOld { .. }
            | ErrorKind::Locked
            | ErrorKind::Damaged(_)
            | ErrorKind::Full
            | ErrorKind::Denied
            | ErrorKind::Fixed { .. }
            | ErrorKind::Busy
            | ErrorKind::Closed => None,
        }
    }
}

impl StoreError {
    pub(crate) fn new(path: &Path, kind: ErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }
}

impl From<rusqlite::Error> for ErrorKind {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Damaged("SQLite finds it malformed".to_owned())
            }
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(
                ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::AuthorizationForStatementDenied,
            ) => Self::Denied,
            Some(_) | None => Self::Other(Box::new(error)),
        }
    }
}

impl From<std::io::Error> for ErrorKind {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied
            }
            std::io::ErrorKind::StorageFull => Self::Full,
            _ => Self::Other(Box::new(error)),
        }
    }
}
