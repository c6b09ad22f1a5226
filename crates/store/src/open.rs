//! Opening a store: what is not ours, or newer than we are, is left exactly as it was found.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::tables::Schema;
use crate::{ErrorKind, StoreError};

/// How long a store that another process is about to release is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// Where the SQLite file format keeps the two numbers.
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// A store's file, open for writing, and the claim on it.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) claim: Claim,
}

pub(crate) fn open(path: &Path, schema: &Schema) -> Result<Opened, StoreError> {
    open_kind(path, schema).map_err(|kind| StoreError::new(path, kind))
}

fn open_kind(path: &Path, schema: &Schema) -> Result<Opened, ErrorKind> {
    create_if_absent(path, schema)?;
    let claim = Claim::take(path)?;
    inspect(&claim.file, schema)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_WAIT)?;
    // Until we know the version, closing must not move anything from the log into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    harden(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection, schema)?;
    // Only now, so that the numbers that mark the file as ours are in its first page and not in a log beside it.
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(ErrorKind::Other(
            format!("SQLite uses journal mode `{mode}`, not `wal`").into(),
        ));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(Opened { connection, claim })
}

/// Reads a store without changing it, even while another process has it open.
pub(crate) fn read<T>(
    path: &Path,
    schema: &Schema,
    work: impl FnOnce(&Connection) -> Result<T, ErrorKind>,
) -> Result<T, StoreError> {
    let read = || {
        if !path.exists() {
            return Err(ErrorKind::Missing);
        }
        // Held to the end: see `Claim`.
        let open = here();
        if !open.contains(&identity(path)?) {
            inspect(&File::open(path)?, schema)?;
        }
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_WAIT)?;
        harden(&connection)?;
        let transaction = connection.transaction()?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version.cmp(&schema.version()) {
            Ordering::Greater => known(version, schema)?,
            Ordering::Less => return Err(ErrorKind::TooOld { found: version }),
            Ordering::Equal => {}
        }
        work(&transaction)
    };
    read().map_err(|kind| StoreError::new(path, kind))
}

fn harden(connection: &Connection) -> Result<(), ErrorKind> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}

/// The claim of one [`crate::Store`] on its file: an advisory lock against other processes, and an entry in a list
/// against this one.
///
/// The list is needed because SQLite uses POSIX record locks, which a process loses on a file as soon as it closes any
/// descriptor of it: while a store is open, nothing else in the process may open its file except through SQLite.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
    identity: (u64, u64),
}

static OPEN_HERE: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

fn here() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    OPEN_HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(path: &Path) -> Result<(u64, u64), ErrorKind> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Claim {
    fn take(path: &Path) -> Result<Self, ErrorKind> {
        let identity = identity(path)?;
        let until = Instant::now() + BUSY_WAIT;
        loop {
            let mut open = here();
            if !open.contains(&identity) {
                let file = OpenOptions::new().read(true).write(true).open(path)?;
                match file.try_lock() {
                    Ok(()) => {
                        open.insert(identity);
                        return Ok(Self { file, identity });
                    }
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(e)) => return Err(e.into()),
                }
            }
            drop(open);
            if Instant::now() >= until {
                return Err(ErrorKind::Locked);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        here().remove(&self.identity);
    }
}

/// Creates the file if there is none: made whole under another name first, so that a program killed meanwhile leaves
/// nothing at this one that could be taken for damage.
fn create_if_absent(path: &Path, schema: &Schema) -> Result<(), ErrorKind> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(ErrorKind::NoFolder);
    }
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(ErrorKind::NotADatabase),
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let draft = path.with_file_name(name);
    let made = make(&draft, schema).and_then(|()| match std::fs::hard_link(&draft, path) {
        // Somebody else was faster: theirs it is.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => Ok(linked?),
    });
    let _ = std::fs::remove_file(&draft);
    made?;
    sync_folder(path)
}

fn make(draft: &Path, schema: &Schema) -> Result<(), ErrorKind> {
    // SQLite gives its own files beside it the same permissions.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)?;
    let mut connection = Connection::open_with_flags(
        draft,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection, schema)?;
    connection.close().map_err(|(_, e)| e.into())
}

/// Reads the head of the file as bytes: SQLite itself, asked to open it, might already replay a log or make files.
fn inspect(file: &File, schema: &Schema) -> Result<(), ErrorKind> {
    let mut head = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(()); // SQLite takes an empty file for an empty database, and so do we
    }
    if head.len() < 100 || !head.starts_with(b"SQLite format 3\0") {
        return Err(ErrorKind::NotADatabase);
    }
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&head[at..at + 4]);
        i32::from_be_bytes(bytes)
    };
    if number(APPLICATION_ID_AT) != schema.application_id {
        return Err(ErrorKind::Foreign);
    }
    known(i64::from(number(USER_VERSION_AT)), schema)
}

fn known(found: i64, schema: &Schema) -> Result<(), ErrorKind> {
    let known = schema.version();
    if found > known {
        return Err(ErrorKind::TooNew { found, known });
    }
    Ok(())
}

/// Brings the schema to our version, in one transaction.
fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), ErrorKind> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application: i32 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != schema.application_id && (application != 0 || version != 0 || objects != 0) {
        return Err(ErrorKind::Foreign);
    }
    known(version, schema)?;
    for (number, script) in schema.migrations.iter().enumerate() {
        if number as i64 >= version {
            transaction.execute_batch(script)?;
        }
    }
    if version < schema.version() || application != schema.application_id {
        transaction.pragma_update(None, "application_id", schema.application_id)?;
        transaction.pragma_update(None, "user_version", schema.version())?;
    }
    transaction.commit()?;
    Ok(())
}

/// Makes the new file's name durable.
fn sync_folder(path: &Path) -> Result<(), ErrorKind> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests;
