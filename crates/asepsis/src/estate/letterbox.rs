//! Lists of known risks that were imported while a running Asepsis holds the inventory's file: `DATA/inbox/feeds` takes
//! one file a list, put there whole by renaming, and the running program takes each within seconds.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use inventory::risk::Feed;

use crate::clock;

fn folder(data: &Path) -> PathBuf {
    data.join("inbox").join("feeds")
}

/// Under which name a store keeps a list: one of the same kind and file name is replaced.
pub(crate) fn key(feed: &Feed) -> String {
    format!("{} {}", feed.import.kind, feed.import.name)
}

/// Leaves a list, whole or not at all.
pub(crate) fn put(data: &Path, feed: &Feed) -> anyhow::Result<()> {
    let folder = folder(data);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create `{}`", folder.display()))?;
    let name = format!("{:020}-{}", clock::now().as_millis(), std::process::id());
    let fresh = folder.join(format!("{name}.new"));
    let mut file = std::fs::File::create(&fresh)
        .with_context(|| format!("cannot write `{}`", fresh.display()))?;
    file.write_all(&serde_json::to_vec(feed)?)?;
    file.sync_all()?;
    std::fs::rename(&fresh, folder.join(format!("{name}.json")))?;
    Ok(())
}

/// The lists that were left, oldest first, each with its file: remove it when the list is stored. One that cannot be
/// read is put aside and said.
pub(super) fn read(data: &Path) -> Vec<(PathBuf, Feed)> {
    let Ok(entries) = std::fs::read_dir(folder(data)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let read = std::fs::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(serde_json::from_slice::<Feed>(&bytes)?));
            match read {
                Ok(feed) => Some((path, feed)),
                Err(error) => {
                    let moved = std::fs::rename(&path, path.with_extension("unreadable")).is_ok();
                    tracing::error!(
                        error = format!("{error:#}"), path = %path.display(), moved,
                        "a list in the inbox is not one of ours"
                    );
                    None
                }
            }
        })
        .collect()
}
