//! `asepsis report`: what the record says in sum.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use audit::{Kind, Reader};
use serde_json::{Value, json};

use crate::cli;
use crate::clock;
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output};

pub(crate) fn run(command: &cli::Report, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Report::Shadow { log, days } => shadow(log, *days, output),
    }
}

/// One line of the shadow report.
#[derive(Default)]
struct Would {
    requests: u64,
    people: std::collections::BTreeSet<String>,
}

fn shadow(dir: &Path, days: u32, output: Output) -> Result<ExitCode, Failure> {
    let reader = Reader::open(dir).input(format!("cannot open the log `{}`", dir.display()))?;
    let since = clock::now().minus(Duration::from_secs(u64::from(days) * 86_400));
    let mut passed = 0_u64;
    let mut erased = 0_u64;
    let mut would: BTreeMap<(String, String, String, String), Would> = BTreeMap::new();
    for stored in reader.records(0..reader.len()) {
        let stored = stored.input(format!("reading `{}`", dir.display()))?;
        if stored.kind != Kind::Decision || stored.at < since {
            continue;
        }
        let text = |key: &str| {
            stored
                .header
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let Some(outcome) = stored.header.get("shadowed").and_then(Value::as_str) else {
            if stored.header.get("mode").and_then(Value::as_str) == Some("shadow") {
                passed += 1;
            }
            continue;
        };
        let slot = would
            .entry((
                text("application"),
                text("unit"),
                outcome.to_owned(),
                text("reason"),
            ))
            .or_default();
        slot.requests += 1;
        match &stored.payload {
            None => erased += 1,
            Some(bytes) => {
                let person = serde_json::from_slice::<Value>(bytes).ok().and_then(|v| {
                    v.pointer("/subject/person")
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                });
                slot.people.extend(person);
            }
        }
    }
    let stopped: u64 = would.values().map(|w| w.requests).sum();
    if output.is_json() {
        for ((application, unit, outcome, reason), w) in &would {
            output.json(&json!({
                "application": application, "unit": unit, "outcome": outcome, "reason": reason,
                "requests": w.requests, "people": w.people.len(),
            }))?;
        }
        output.json(&json!({
            "days": days, "would_be_stopped": stopped, "would_pass": passed, "payloads_erased": erased,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if would.is_empty() {
        output.line(&format!(
            "In the last {days} days nobody would have been stopped ({passed} requests in shadow mode)."
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.table(
        &[
            "application",
            "ward",
            "would be",
            "why",
            "requests",
            "people",
        ],
        would
            .iter()
            .map(|((application, unit, outcome, reason), w)| {
                vec![
                    application.clone(),
                    if unit.is_empty() {
                        "not known".to_owned()
                    } else {
                        unit.clone()
                    },
                    outcome.clone(),
                    reason.clone(),
                    w.requests.to_string(),
                    w.people.len().to_string(),
                ]
            }),
    )?;
    output.line(&format!(
        "{DIM}{stopped} of {} requests in shadow mode would have been stopped in the last {days} days{DIM:#}",
        stopped + passed
    ))?;
    Ok(ExitCode::SUCCESS)
}
