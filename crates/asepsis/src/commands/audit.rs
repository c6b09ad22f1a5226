//! `asepsis audit`: a log's folder, offline.

use std::path::Path;
use std::process::ExitCode;

use audit::{Reader, Stored};
use domain::RecordId;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli;
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG};

pub(crate) fn run(command: cli::Audit, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Audit::Verify { dir, against } => verify(&dir, against.as_deref(), output),
        cli::Audit::Show {
            dir,
            record,
            last,
            kind,
        } => match record {
            Some(record) => show_one(&dir, RecordId(record), output),
            None => show(&dir, last, kind.as_deref(), output),
        },
        cli::Audit::Prove { record, log } => prove(&log, RecordId(record), output),
    }
}

fn verify(dir: &Path, against: Option<&Path>, output: Output) -> Result<ExitCode, Failure> {
    let kept = against
        .map(|path| {
            std::fs::read_to_string(path)
                .input(format!("cannot read the checkpoint `{}`", path.display()))
        })
        .transpose()?;
    // Fails with a plain sentence when the folder is no log at all.
    Reader::open(dir).input(format!("cannot open the log `{}`", dir.display()))?;
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} records, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let result = audit::verify(dir, kept.as_deref(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    match result {
        Ok(verified) => {
            if output.is_json() {
                output.json(&json!({
                    "verified": true, "size": verified.size, "root": verified.root,
                    "pruned": verified.pruned,
                    "against": kept.is_some(),
                }))?;
            } else {
                output.line(&format!(
                    "{STRONG}verified{STRONG:#}: {} records, every byte accounted for\nroot {}{}{}",
                    verified.size,
                    verified.root,
                    if verified.pruned > 0 {
                        format!(
                            "\n{} payloads were erased; their commitments stand",
                            verified.pruned
                        )
                    } else {
                        String::new()
                    },
                    if kept.is_some() {
                        "\nconsistent with the given checkpoint"
                    } else {
                        ""
                    },
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            if output.is_json() {
                output.json(&json!({
                    "verified": false, "place": fault.place.to_string(), "fault": fault.what.to_string(),
                }))?;
                Ok(ExitCode::FAILURE)
            } else {
                Err(Failure::Running(anyhow::anyhow!(
                    "the log does not verify: {fault}"
                )))
            }
        }
    }
}

fn whole(stored: &Stored) -> Value {
    json!({
        "record": stored.id, "at": stored.at, "kind": stored.kind, "header": stored.header,
        "payload": payload(stored),
    })
}

fn payload(stored: &Stored) -> Value {
    match &stored.payload {
        None => Value::Null,
        Some(bytes) => serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
    }
}

fn show_one(dir: &Path, id: RecordId, output: Output) -> Result<ExitCode, Failure> {
    let reader = Reader::open(dir).input(format!("cannot open the log `{}`", dir.display()))?;
    let stored = reader.record(id).input(format!("record {id}"))?;
    if output.is_json() {
        output.json(&whole(&stored))?;
    } else {
        let text = serde_json::to_string_pretty(&whole(&stored)).running("writing JSON")?;
        output.line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(dir: &Path, last: u64, kind: Option<&str>, output: Output) -> Result<ExitCode, Failure> {
    let reader = Reader::open(dir).input(format!("cannot open the log `{}`", dir.display()))?;
    let size = reader.len();
    let wanted = |stored: &Stored| {
        kind.is_none_or(|k| serde_json::to_value(stored.kind).is_ok_and(|v| v == k))
    };
    let mut found = Vec::new();
    let mut next = size;
    while next > 0 && (found.len() as u64) < last {
        let from = next.saturating_sub(256);
        let mut block = Vec::new();
        for stored in reader.records(from..next) {
            let stored = stored.input(format!("reading `{}`", dir.display()))?;
            if wanted(&stored) {
                block.push(stored);
            }
        }
        found.extend(block.into_iter().rev());
        next = from;
    }
    found.truncate(usize::try_from(last).unwrap_or(usize::MAX));
    found.reverse();
    if output.is_json() {
        for stored in &found {
            output.json(&whole(stored))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = |stored: &Stored, key: &str| {
        stored
            .header
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    output.table(
        &[
            "record",
            "at",
            "kind",
            "outcome",
            "application",
            "action",
            "reason",
        ],
        found.iter().map(|stored| {
            vec![
                stored.id.to_string(),
                stored.at.to_string(),
                serde_json::to_value(stored.kind)
                    .ok()
                    .and_then(|v| v.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                text(stored, "outcome"),
                text(stored, "application"),
                text(stored, "action"),
                text(stored, "code"),
            ]
        }),
    )?;
    output.line(&format!("{DIM}{} of {size} records{DIM:#}", found.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn prove(dir: &Path, id: RecordId, output: Output) -> Result<ExitCode, Failure> {
    let proof = audit::prove(dir, id).input(format!("record {id} of `{}`", dir.display()))?;
    if output.is_json() {
        output.json(&json!({ "record": id, "proof": proof.to_string() }))?;
    } else {
        output.line(proof.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
