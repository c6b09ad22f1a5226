//! What devices are recognised by: the packs that ship, packs of one's own, the IEEE's registries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inventory::registry::Registry;
use inventory::{Knowledge, Pack};

use crate::failure::{Blame, Failure};

/// Where Debian's `ieee-data` puts the registries of MAC address blocks.
const IEEE_DATA: &str = "/usr/share/ieee-data";
/// The files in it: MA-L, MA-M, MA-S and the older individual blocks.
const IEEE_FILES: [&str; 4] = ["oui.csv", "mam.csv", "oui36.csv", "iab.csv"];

/// The shipped knowledge with these packs beside it. A folder stands for the packs in it.
pub(crate) fn with_packs(packs: &[PathBuf]) -> Result<Arc<Knowledge>, Failure> {
    let mut knowledge = Knowledge::hospital();
    if let Some(registry) = registries() {
        knowledge = Arc::new(knowledge.with_registry(registry));
    }
    for path in packs {
        for file in pack_files(path)? {
            knowledge = Arc::new(knowledge.with_pack(read_pack(&file)?));
        }
    }
    Ok(knowledge)
}

/// The built-in makers with the registries of this machine, if it has them.
fn registries() -> Option<Registry> {
    let mut registry = None;
    for name in IEEE_FILES {
        let path = Path::new(IEEE_DATA).join(name);
        if let Ok(text) = std::fs::read(&path) {
            let registry: &mut Registry = registry.get_or_insert_with(Registry::built_in);
            registry.read(&String::from_utf8_lossy(&text));
        }
    }
    registry
}

/// Reads one pack.
pub(crate) fn read_pack(path: &Path) -> Result<Pack, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).input(format!("cannot read the fingerprint pack `{shown}`"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Pack::parse(&name, &bytes).input(format!("the fingerprint pack `{shown}`"))
}

/// The packs that a path stands for: itself, or the XML and TOML files in the folder, in the order of their names.
pub(crate) fn pack_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = path.display();
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).input(format!("cannot read the folder `{shown}`"))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.extension().is_some_and(|e| e == "xml" || e == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::input(format!(
            "the folder `{shown}` holds no fingerprint pack (hint: packs are .xml or .toml files)"
        )));
    }
    Ok(files)
}
