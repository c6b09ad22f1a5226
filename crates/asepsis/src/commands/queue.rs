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
use crate::failure::Failure;
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

fn list(estate: &Estate, output: Output) -> Result<(), Failure> {
    let questions = estate.questions();
    if output.is_json() {
        for q in &questions {
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
    for q in &questions {
        output.line(&format!(
            "{STRONG}{}{STRONG:#}  {} ({}, {} devices)",
            q.id,
            q.words,
            q.cause,
            q.devices.len()
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
