//! Policy packs on disk.

use std::path::Path;

use anyhow::{Context, ensure};
use policy::{PackSource, PolicyPack};

/// Reads and compiles the pack in `dir`: `schema.cedarschema` and every `*.cedar` file in `policies/`.
pub(crate) fn load(dir: &Path) -> anyhow::Result<PolicyPack> {
    Ok(PolicyPack::compile(source(dir)?)?)
}

fn source(dir: &Path) -> anyhow::Result<PackSource> {
    ensure!(
        dir.is_dir(),
        "`{}` is not a folder with a policy pack",
        dir.display()
    );
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let schema = read(&dir.join("schema.cedarschema"))?;
    let folder = dir.join("policies");
    let mut files = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read the folder `{}`", folder.display()))?
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read the folder `{}`", folder.display()))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "cedar"))
        .collect::<Vec<_>>();
    files.sort();
    ensure!(
        !files.is_empty(),
        "`{}` holds no *.cedar file",
        folder.display()
    );
    let policies = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(dir).unwrap_or(path).display().to_string();
            Ok((name, read(path)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let name = dir
        .canonicalize()
        .ok()
        .and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "pack".to_owned());
    Ok(PackSource {
        name,
        schema,
        policies,
    })
}
