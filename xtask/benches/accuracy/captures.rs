//! Labelled captures, read as `asepsis discover` reads them: packets, observations, the device's evidence.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use domain::{Mac, Timestamp};
use inventory::{Evidence, Inventory, Knowledge};
use smol_str::SmolStr;

/// One labelled device in one capture.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    /// Name of its type.
    pub(crate) label: SmolStr,
    /// The physical unit that was set up.
    pub(crate) unit: SmolStr,
    /// What was seen of it.
    pub(crate) evidence: Vec<Evidence>,
}

/// Reads every capture that `labels.csv` names.
pub(crate) fn read(folder: &Path) -> Result<Vec<Labelled>> {
    let labels = std::fs::read_to_string(folder.join("labels.csv"))?;
    let knowledge = Knowledge::hospital();
    let mut out = Vec::new();
    for line in labels.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [file, unit, label, mac] = fields.as_slice() else {
            bail!("labels.csv: `{line}` has not four columns");
        };
        let mac: Mac = mac.parse().context("a MAC address in labels.csv")?;
        out.push(Labelled {
            label: (*label).into(),
            unit: (*unit).into(),
            evidence: evidence(&folder.join(file), mac, Arc::clone(&knowledge))
                .with_context(|| format!("`{file}`"))?,
        });
    }
    Ok(out)
}

/// What a capture shows of one device.
fn evidence(file: &Path, mac: Mac, knowledge: Arc<Knowledge>) -> Result<Vec<Evidence>> {
    let mut inventory = Inventory::new(knowledge, inventory::options::Options::default());
    let options = capture::Options::new(|| Timestamp::from_millis(0));
    let input = capture::Input::File(file.to_owned());
    let outcome = capture::read(input, options, &mut inventory, &mut |_| {});
    if !outcome.usable {
        bail!("nothing in it is usable");
    }
    Ok(inventory
        .devices()
        .filter(|device| device.macs.contains(&mac))
        .flat_map(|device| device.evidence)
        .map(|row| Evidence::new(row.kind, row.value))
        .collect())
}

/// The types in it.
pub(crate) fn types(labelled: &[Labelled]) -> BTreeSet<SmolStr> {
    labelled.iter().map(|one| one.label.clone()).collect()
}

/// The types of which more than one unit was set up, with their units.
pub(crate) fn units(labelled: &[Labelled]) -> BTreeSet<(SmolStr, SmolStr)> {
    let all: BTreeSet<(SmolStr, SmolStr)> = labelled
        .iter()
        .map(|one| (one.label.clone(), one.unit.clone()))
        .collect();
    all.iter()
        .filter(|(label, _)| all.iter().filter(|(other, _)| other == label).count() > 1)
        .cloned()
        .collect()
}
