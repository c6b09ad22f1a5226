//! Replays the corpus of a target in an ordinary test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Gives every file of `corpus/NAME` to the body of that target.
///
/// # Panics
/// If the corpus is missing or empty, and with the name of the file when the body panics.
pub fn corpus(name: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("no corpus of `{name}`: {error}"))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of `{name}` is empty");
    for file in files {
        let octets = std::fs::read(&file).expect("a readable file");
        if catch_unwind(AssertUnwindSafe(|| body(&octets))).is_err() {
            panic!("`{name}` fell over `{}`", file.display());
        }
    }
}
