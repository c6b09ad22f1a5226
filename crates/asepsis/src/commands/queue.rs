//! `asepsis queue`: what nobody could name, in groups; one answer labels a group.

use std::path::Path;
use std::process::ExitCode;

use console::estate::{Estate as _, Reply};
use domain::PersonId;
use serde_json::json;

use crate::cli;
use crate::clock;
use crate::config::InventoryConfig;
use crate::estate::{self, Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG};

/// Pieces of shared evidence shown of a question.
const SHARED_SHOWN: usize = 6;

pub(crate) fn run(command: cli::Queue, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Queue::List { data } => list(&open(&data)?, output)?,
        cli::Queue::Answer {
            question,
            kind,
            by,
            data,
        } => {
            let reply = Reply {
                question,
                kind,
                by: PersonId::new(by),
                at: clock::now(),
            };
            let rule = open(&data)?.answer(reply).map_err(Failure::input)?;
            if output.is_json() {
                output.json(&json!({ "rule": rule.id, "says": rule.words }))?;
            } else {
                output.line(&format!(
                    "{}: {}\n{DIM}asepsis queue undo {} takes it back{DIM:#}",
                    rule.id, rule.words, rule.id
                ))?;
            }
        }
        cli::Queue::Rules { data } => rules(&open(&data)?, output)?,
        cli::Queue::Share {
            rule,
            output: path,
            data,
        } => share(&open(&data)?, &rule, &path, output)?,
        cli::Queue::Undo { rule, data } => {
            open(&data)?.undo(&rule).map_err(Failure::input)?;
            if output.is_json() {
                output.json(&json!({ "undone": rule }))?;
            } else {
                output.line(&format!("{rule} is taken back"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(data: &Path) -> Result<Estate, Failure> {
    if !estate::path_in(data).exists() {
        return Err(Failure::input(format!(
            "`{}` holds no inventory (hint: `asepsis discover … --data {}` makes one)",
            data.display(),
            data.display()
        )));
    }
    Estate::open(Some(data), Settings::new(&InventoryConfig::default())?)
}

fn rules(estate: &Estate, output: Output) -> Result<(), Failure> {
    let rules = estate.rules();
    if output.is_json() {
        return rules.iter().try_for_each(|rule| {
            output.json(&json!({
                "rule": rule.id, "says": rule.words, "by": rule.by, "at": rule.at, "devices": rule.devices,
                "shared": rule.shared, "pack": rule.pack,
            }))
        });
    }
    if rules.is_empty() {
        return output.line("No rule is in force.");
    }
    for rule in &rules {
        output.line(&format!(
            "{STRONG}{}{STRONG:#}  {} ({}, {})",
            rule.id, rule.words, rule.by, rule.at
        ))?;
        for line in rule.shared.iter().take(SHARED_SHOWN) {
            output.line(&format!("    {line}"))?;
        }
    }
    output.line(&format!(
        "{DIM}asepsis queue share RULE -o PACK writes one for others; asepsis queue undo RULE takes one back{DIM:#}"
    ))
}

fn share(estate: &Estate, rule: &str, path: &Path, output: Output) -> Result<(), Failure> {
    let found = estate.rules().into_iter().find(|r| r.id == rule);
    let found = found.ok_or_else(|| {
        Failure::input(format!(
            "no rule `{rule}` is in force (hint: `asepsis queue rules` lists them)"
        ))
    })?;
    let pack = found.pack.ok_or_else(|| {
        Failure::input(format!(
            "`{rule}` names single devices, and nothing tells these from others: there is no fingerprint to share"
        ))
    })?;
    std::fs::write(path, pack).input(format!("cannot write `{}`", path.display()))?;
    if output.is_json() {
        return output.json(&json!({ "rule": rule, "pack": path }));
    }
    output.line(&format!(
        "{STRONG}{}{STRONG:#} names neither person nor device\n{DIM}asepsis fingerprint test {} checks it; \
         asepsis discover --fingerprints {} SOURCE… uses it{DIM:#}",
        path.display(),
        path.display(),
        path.display()
    ))
}

fn list(estate: &Estate, output: Output) -> Result<(), Failure> {
    let questions = estate.questions();
    if output.is_json() {
        for q in questions.iter() {
            let devices: Vec<&str> = q.devices.iter().map(domain::DeviceId::as_str).collect();
            let suggestions: Vec<&str> = q
                .suggestions
                .iter()
                .map(|(kind, _)| kind.as_str())
                .collect();
            output.json(&json!({
                "question": q.id, "sentence": q.words, "cause": q.cause, "devices": devices, "shared": q.shared,
                "suggestions": suggestions, "settle": q.settle,
            }))?;
        }
        return Ok(());
    }
    if questions.is_empty() {
        return output.line("No question is open.");
    }
    for q in questions.iter() {
        output.line(&format!(
            "{STRONG}{}{STRONG:#}  {} ({})",
            q.id, q.words, q.cause
        ))?;
        for line in q.shared.iter().take(SHARED_SHOWN) {
            output.line(&format!("    {line}"))?;
        }
        for (kind, why) in &q.suggestions {
            output.line(&format!("    perhaps {STRONG}{kind}{STRONG:#}: {why}"))?;
        }
        for line in &q.settle {
            output.line(&format!("    {DIM}would settle it: {line}{DIM:#}"))?;
        }
    }
    output.line(&format!(
        "{DIM}asepsis queue answer QUESTION TYPE --by NAME answers one for all its devices{DIM:#}"
    ))
}
