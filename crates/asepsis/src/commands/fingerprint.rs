//! `asepsis fingerprint`: learning packs and testing them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use capture::{Input, Job};
use domain::Mac;
use indicatif::{ProgressBar, ProgressStyle};
use inventory::learn;
use inventory::{Evidence, Inventory, Knowledge, options};
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;

use crate::cli;
use crate::clock;
use crate::failure::{Blame, Failure};
use crate::knowledge;
use crate::output::{Output, STRONG, aside};

/// Examples of failures shown of one pack.
const FAILURES_SHOWN: usize = 20;

pub(crate) fn run(command: &cli::Fingerprint, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Fingerprint::Learn {
            labels,
            output: pack,
            folder,
        } => learn_pack(labels, pack, folder, output),
        cli::Fingerprint::Test { pack } => test(pack, output),
    }
}

/// A row of the labels.
#[derive(Debug, Deserialize)]
struct Label {
    file: PathBuf,
    #[serde(rename = "device")]
    _device: String,
    type_family: SmolStr,
    mac: String,
}

fn learn_pack(
    labels: &Path,
    pack: &Path,
    folder: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    let labels = read_labels(labels).map_err(Failure::Input)?;
    let bar = ProgressBar::new(labels.len() as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} captures, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut labelled: Vec<(SmolStr, Vec<Evidence>)> = Vec::with_capacity(labels.len());
    let mut silent = 0;
    for (label, mac) in &labels {
        let path = folder.join(&label.file);
        let evidence = evidence_of(&path, *mac).input(format!("reading `{}`", path.display()))?;
        if evidence.is_empty() {
            silent += 1;
            bar.suspend(|| {
                aside(&format!("`{}` shows nothing of {mac}", path.display()));
            });
        }
        labelled.push((label.type_family.clone(), evidence));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let name = pack.file_stem().unwrap_or_default().to_string_lossy();
    let options = learn::Options {
        name: name.as_ref().into(),
        ..learn::Options::default()
    };
    let mut counts: BTreeMap<SmolStr, usize> = BTreeMap::new();
    for (label, _) in &labelled {
        *counts.entry(label.clone()).or_default() += 1;
    }
    let learned =
        learn::learn(labelled.into_iter(), &options).input("learning from these captures")?;
    let text = learned
        .to_text()
        .context("a learnt pack has a text")
        .running("writing the pack")?;
    std::fs::write(pack, text).input(format!("cannot write `{}`", pack.display()))?;
    if output.is_json() {
        output.json(&json!({ "pack": pack, "types": counts.len(), "captures": labels.len(), "silent": silent }))?;
    } else {
        output.line(&format!(
            "{STRONG}{}{STRONG:#}: {} types from {} captures\nasepsis discover --fingerprints {} SOURCE… uses it",
            pack.display(),
            counts.len(),
            labels.len(),
            pack.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read_labels(path: &Path) -> anyhow::Result<Vec<(Label, Mac)>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the labels `{shown}`"))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut labels = Vec::new();
    for (n, row) in reader.deserialize::<Label>().enumerate() {
        let place = || format!("line {} of `{shown}`", n + 2);
        let row = row.with_context(|| {
            format!(
                "{} (hint: the columns are file,device,type_family,mac)",
                place()
            )
        })?;
        let mac = row.mac.parse().with_context(place)?;
        labels.push((row, mac));
    }
    anyhow::ensure!(!labels.is_empty(), "`{shown}` holds no label");
    Ok(labels)
}

/// Everything that a capture says of the device with this MAC address.
fn evidence_of(path: &Path, mac: Mac) -> anyhow::Result<Vec<Evidence>> {
    let mut inventory = Inventory::new(Arc::new(Knowledge::empty()), options::Options::default());
    let job = Job::new(
        vec![Input::File(path.to_owned())],
        capture::Options::new(clock::now),
    );
    let mut problems = Vec::new();
    let outcome = job.run(&mut inventory, &mut |progress| {
        problems.extend(progress.news.iter().cloned())
    });
    if !outcome.usable {
        let why = problems
            .first()
            .map_or_else(|| "it holds no packets".to_owned(), ToString::to_string);
        anyhow::bail!("{why}");
    }
    let found = inventory.find(&mac.to_string());
    Ok(found
        .first()
        .and_then(|id| inventory.device(id))
        .map(|device| {
            device
                .evidence
                .into_iter()
                .map(|row| Evidence::new(row.kind, row.value))
                .collect()
        })
        .unwrap_or_default())
}

fn test(path: &Path, output: Output) -> Result<ExitCode, Failure> {
    let (mut examples, mut failed) = (0_u64, 0_u64);
    for file in knowledge::pack_files(path)? {
        let pack = knowledge::read_pack(&file)?;
        let results = pack.test();
        let failures: Vec<_> = results.iter().filter(|r| r.failure.is_some()).collect();
        examples += results.len() as u64;
        failed += failures.len() as u64;
        if output.is_json() {
            output.json(&json!({
                "pack": file, "fingerprints": pack.len(), "examples": results.len(), "failed": failures.len(),
                "failures": failures.iter().map(|r| json!({ "line": r.line, "fingerprint": r.fingerprint, "example": r.example, "failure": r.failure })).collect::<Vec<_>>(),
            }))?;
            continue;
        }
        let of = format!("{}: {} fingerprints", file.display(), pack.len());
        output.line(&match results.len() {
            0 => format!("{of}; it holds no example, so that nothing of it was tested"),
            n => format!("{of}, {n} examples, {} failed", failures.len()),
        })?;
        for r in failures.iter().take(FAILURES_SHOWN) {
            output.line(&format!(
                "  line {}: {}: {} (example `{}`)",
                r.line,
                r.fingerprint,
                r.failure.as_deref().unwrap_or_default(),
                r.example
            ))?;
        }
    }
    if output.is_json() {
        output.json(&json!({ "examples": examples, "failed": failed }))?;
    } else {
        output.line(&format!(
            "{STRONG}{examples} examples, {failed} failed{STRONG:#}"
        ))?;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
