//! `asepsis report`: what the record says in sum.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use audit::{Kind, Reader, Stored};
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
    people: BTreeSet<String>,
}

/// Application, ward, what it would have been, why.
type Line = (String, String, String, String);

/// What the log says of shadow mode.
#[derive(Default)]
struct Found {
    would: BTreeMap<Line, Would>,
    /// Decisions by application.
    judged: BTreeMap<String, u64>,
    /// Records whose payload, and with it the person, was erased.
    erased: u64,
}

fn shadow(dir: &Path, days: u32, output: Output) -> Result<ExitCode, Failure> {
    let reader = Reader::open(dir).input(format!("cannot open the log `{}`", dir.display()))?;
    let since = clock::now().minus(Duration::from_secs(u64::from(days) * 86_400));
    let mut found = Found::default();
    for stored in reader.records(0..reader.len()) {
        let stored = stored.input(format!("reading `{}`", dir.display()))?;
        if stored.kind == Kind::Decision && stored.at >= since {
            found.count(&stored);
        }
    }
    let stopped: u64 = found.would.values().map(|w| w.requests).sum();
    let shadowed: BTreeSet<&str> = found.would.keys().map(|line| line.0.as_str()).collect();
    let judged: u64 = found
        .judged
        .iter()
        .filter(|(a, _)| shadowed.contains(a.as_str()))
        .map(|(_, n)| n)
        .sum();
    if output.is_json() {
        for ((application, unit, outcome, code), w) in &found.would {
            output.json(&json!({
                "application": application, "unit": unit, "outcome": outcome, "code": code,
                "requests": w.requests, "people": w.people.len(),
            }))?;
        }
        output.json(&json!({
            "days": days, "would_be_stopped": stopped, "judged": judged, "payloads_erased": found.erased,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.would.is_empty() {
        output.line(&format!(
            "In the last {days} days no request in shadow mode would have been stopped."
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
        found
            .would
            .iter()
            .map(|((application, unit, outcome, code), w)| {
                vec![
                    application.clone(),
                    unit.clone(),
                    outcome.clone(),
                    code.clone(),
                    w.requests.to_string(),
                    w.people.len().to_string(),
                ]
            }),
    )?;
    output.line(&format!(
        "{DIM}{stopped} of {judged} requests to these applications would have been stopped in the last {days} days{DIM:#}"
    ))?;
    Ok(ExitCode::SUCCESS)
}

impl Found {
    fn count(&mut self, stored: &Stored) {
        let text = |key: &str| {
            stored
                .header
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let application = text("application");
        *self.judged.entry(application.clone()).or_default() += 1;
        let Some(outcome) = stored.header.get("shadowed").and_then(Value::as_str) else {
            return;
        };
        let payload = stored
            .payload
            .as_deref()
            .and_then(|p| serde_json::from_slice::<Value>(p).ok());
        let units = payload
            .as_ref()
            .and_then(|p| p.pointer("/slice/person/units"))
            .and_then(Value::as_array)
            .map(|units| {
                units
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            })
            .filter(|units| !units.is_empty())
            .unwrap_or_else(|| "none".to_owned());
        let line = (application, units, outcome.to_owned(), text("code"));
        let slot = self.would.entry(line).or_default();
        slot.requests += 1;
        match payload
            .as_ref()
            .and_then(|p| p.pointer("/subject/person"))
            .and_then(Value::as_str)
        {
            Some(person) => {
                slot.people.insert(person.to_owned());
            }
            None => self.erased += 1,
        }
    }
}
