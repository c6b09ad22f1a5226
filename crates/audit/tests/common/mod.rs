//! What the tests of a log folder share.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::{Entry, Kind, Log, Options, Verified, verify};
use domain::Timestamp;
use serde_json::{Map, Value};

/// An entry that can be told from others by its number.
pub(crate) fn entry(n: u64) -> Entry {
    let mut header = Map::new();
    header.insert("n".into(), Value::from(n));
    header.insert("outcome".into(), Value::from("permit"));
    let payload = format!(
        "payload of {n} {}",
        "x".repeat(usize::try_from(n % 97).expect("small"))
    )
    .into_bytes();
    Entry {
        at: Timestamp::from_millis(1_795_336_200_000 + i64::try_from(n).expect("small")),
        kind: Kind::Decision,
        header,
        payload,
    }
}

/// Options that make small files and publish only when told to.
pub(crate) fn quiet() -> Options {
    Options {
        checkpoint_every: Duration::from_secs(3600),
        segment_bytes: 64 << 10,
        ..Options::default()
    }
}

/// Appends entries `range` and waits for the last.
pub(crate) fn append(log: &Log, range: std::ops::Range<u64>) {
    let pending: Vec<_> = range.clone().map(|n| (n, log.append(entry(n)))).collect();
    for (n, pending) in pending {
        assert_eq!(pending.wait().expect("durable").0, n);
    }
}

/// Verifies a folder.
pub(crate) fn check(dir: &Path) -> Verified {
    match verify(dir, None, &mut |_, _| ()) {
        Ok(verified) => verified,
        Err(fault) => panic!("{fault}"),
    }
}

/// Every file of a folder, by its path within it.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).expect("within").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().expect("within")).expect("made");
        fs::copy(from.join(&file), target).expect("copied");
    }
}
