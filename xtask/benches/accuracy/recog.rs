//! Rapid7's own fingerprints with their own examples.

use std::path::Path;

use anyhow::Result;
use inventory::Pack;

/// How the examples came out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Examples {
    pub(crate) fingerprints: usize,
    pub(crate) examples: usize,
    pub(crate) passed: usize,
}

/// Runs every example of every file in a folder, where there is one.
pub(crate) fn run(folder: &Path) -> Result<Option<Examples>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut out = Examples::default();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "xml") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let pack = Pack::parse(&name, &std::fs::read(&path)?)?;
        let results = pack.test();
        out.fingerprints += pack.len();
        out.examples += results.len();
        out.passed += results.iter().filter(|r| r.failure.is_none()).count();
    }
    Ok(Some(out))
}
