use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::tables::STORE;
use crate::{Store, read};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asepsis.db");
    (folder, path)
}

/// Every file in a folder with its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).unwrap_or_default();
            (path, bytes)
        })
        .collect()
}

/// Opening fails with this, its message has a place and a hint, and not a byte changes.
#[track_caller]
fn check_refused(folder: &Path, path: &Path, expected: fn(&ErrorKind) -> bool) {
    let before = content(folder);
    let error = Store::open(path).expect_err("refused");
    assert!(expected(&error.kind), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&path.display().to_string()) && text.contains("hint:"),
        "{text}"
    );
    assert!(content(folder) == before, "files changed");
}

#[test]
fn a_new_store_is_ours_private_and_in_wal_mode() {
    let (folder, path) = folder();
    let store = Store::open(&path).expect("opens");
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(store);
    assert_eq!(
        content(folder.path()).len(),
        1,
        "nothing else is left behind"
    );
    let plain = Connection::open(&path).expect("opens");
    let number = |pragma: &str| -> i64 {
        plain
            .pragma_query_value(None, pragma, |row| row.get(0))
            .expect("a number")
    };
    assert_eq!(number("application_id"), i64::from(STORE.application_id));
    assert_eq!(number("user_version"), STORE.version());
    let mode: String = plain
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .expect("a mode");
    assert_eq!(mode, "wal");
}

#[test]
fn a_missing_folder_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("absent").join("asepsis.db");
    check_refused(folder.path(), &path, |kind| {
        matches!(kind, ErrorKind::NoFolder)
    });
}

#[test]
fn what_is_not_a_database_is_left_alone() {
    let (folder, path) = folder();
    let long = [b"SQLite format 4\0".as_slice(), &[7; 4096]].concat();
    for bytes in [&b"x"[..], b"SQLite format 3\0", &long] {
        std::fs::write(&path, bytes).expect("writes");
        check_refused(folder.path(), &path, |kind| {
            matches!(kind, ErrorKind::NotADatabase)
        });
    }
    std::fs::remove_file(&path).expect("removes");
    std::fs::create_dir(&path).expect("a folder in its place");
    check_refused(folder.path(), &path, |kind| {
        matches!(kind, ErrorKind::NotADatabase)
    });
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_folder, path) = folder();
    std::fs::write(&path, b"").expect("writes");
    let store = Store::open(&path).expect("opens");
    assert_eq!(store.people().wait().expect("reads"), []);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let (folder, path) = folder();
    let other = Connection::open(&path).expect("opens");
    other
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);")
        .expect("writes");
    // A copy, as if its program had been killed: with a log that SQLite would replay on opening.
    let copied = folder.path().join("copy");
    std::fs::create_dir(&copied).expect("a folder");
    let copy = copied.join("asepsis.db");
    for end in ["", "-wal"] {
        let from = folder.path().join(format!("asepsis.db{end}"));
        std::fs::copy(from, copied.join(format!("asepsis.db{end}"))).expect("copies");
    }
    check_refused(&copied, &copy, |kind| matches!(kind, ErrorKind::Foreign));
    let before = content(&copied);
    assert!(matches!(
        read(&copy).expect_err("refused").kind,
        ErrorKind::Foreign
    ));
    assert!(content(&copied) == before);
    drop(other);
    for script in [
        "PRAGMA application_id = 1;",
        "PRAGMA application_id = 0; PRAGMA user_version = 7;",
    ] {
        Connection::open(&path)
            .expect("opens")
            .execute_batch(script)
            .expect("writes");
        check_refused(folder.path(), &path, |kind| {
            matches!(kind, ErrorKind::Foreign)
        });
    }
}

#[test]
fn a_newer_store_is_left_alone() {
    let (folder, path) = folder();
    drop(Store::open(&path).expect("opens"));
    let newer = Connection::open(&path).expect("opens");
    newer
        .execute_batch("PRAGMA user_version = 99; CREATE TABLE future (a);")
        .expect("writes");
    drop(newer);
    check_refused(folder.path(), &path, |kind| {
        matches!(
            kind,
            ErrorKind::TooNew {
                found: 99,
                known: 1
            }
        )
    });
    assert!(matches!(
        read(&path).expect_err("refused").kind,
        ErrorKind::TooNew { .. }
    ));
}

#[test]
fn a_newer_store_whose_version_is_only_in_its_log_is_left_alone() {
    let (folder, path) = folder();
    drop(Store::open(&path).expect("opens"));
    let newer = Connection::open(&path).expect("opens");
    newer
        .execute_batch("PRAGMA user_version = 99; CREATE TABLE future (a);")
        .expect("writes");
    let copied = folder.path().join("copy");
    std::fs::create_dir(&copied).expect("a folder");
    for end in ["", "-wal"] {
        let from = folder.path().join(format!("asepsis.db{end}"));
        std::fs::copy(from, copied.join(format!("asepsis.db{end}"))).expect("copies");
    }
    let copy = copied.join("asepsis.db");
    let before = content(&copied);
    let error = Store::open(&copy).expect_err("refused");
    assert!(
        matches!(error.kind, ErrorKind::TooNew { found: 99, .. }),
        "{error}"
    );
    for (file, bytes) in before {
        assert_eq!(
            std::fs::read(&file).expect("still there"),
            bytes,
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_store_that_is_open_is_locked_and_can_be_read() {
    let (folder, path) = folder();
    let store = Store::open(&path).expect("opens");
    let error = Store::open(&path).expect_err("locked");
    assert!(matches!(error.kind, ErrorKind::Locked), "{error}");
    assert!(
        error.to_string().contains("hint: stop the other"),
        "{error}"
    );
    // The refused attempt and the reading must not have cost the first store its own locks.
    read(&path).expect("reads");
    let person = serde_json::from_str(r#"{"id": "n-1"}"#).expect("a person");
    store.put_person(person).wait().expect("writes");
    assert_eq!(read(&path).expect("reads").people.len(), 1);
    assert!(matches!(
        Store::open(&path).expect_err("locked").kind,
        ErrorKind::Locked
    ));
    drop(store);
    assert_eq!(
        Store::open(&path)
            .expect("free again")
            .people()
            .wait()
            .expect("reads")
            .len(),
        1
    );
    assert_eq!(content(folder.path()).len(), 1);
}

#[test]
fn a_store_that_may_not_be_written_says_so() {
    let (_folder, path) = folder();
    let error = read(&path).expect_err("missing");
    assert!(matches!(error.kind, ErrorKind::Missing), "{error}");
    drop(Store::open(&path).expect("opens"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("sets");
    if OpenOptions::new().write(true).open(&path).is_ok() {
        eprintln!("skipped in part: this user may write every file");
        return;
    }
    let error = Store::open(&path).expect_err("denied");
    assert!(matches!(error.kind, ErrorKind::Denied), "{error}");
}

#[test]
fn a_damaged_store_is_refused_by_name_not_by_content() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("opens");
    drop(store);
    let plain = Connection::open(&path).expect("opens");
    plain
        .execute(
            "INSERT INTO people (id, row) VALUES ('n-1', '{\"id\": \"n-1\", \"shoe\": 3}')",
            [],
        )
        .expect("writes");
    drop(plain);
    let store = Store::open(&path).expect("opens");
    let error = store.load().wait().expect_err("damaged");
    let text = error.to_string();
    assert!(
        text.contains("row 1 of table `people`") && !text.contains("n-1"),
        "{text}"
    );
    drop(store);
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).expect("writes");
    let failed = Store::open(&path).and_then(|store| store.load().wait());
    let error = failed.expect_err("damaged");
    assert!(matches!(error.kind, ErrorKind::Damaged(_)), "{error:?}");
}

#[test]
fn an_older_store_is_upgraded() {
    // There is one version so far: an older one is a database with our mark and nothing in it.
    let (_folder, path) = folder();
    let older = Connection::open(&path).expect("opens");
    older
        .pragma_update(None, "application_id", STORE.application_id)
        .expect("writes");
    drop(older);
    assert!(matches!(
        read(&path).expect_err("old").kind,
        ErrorKind::TooOld { found: 0 }
    ));
    let store = Store::open(&path).expect("opens");
    assert_eq!(store.people().wait().expect("reads"), []);
}
