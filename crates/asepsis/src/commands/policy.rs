//! `asepsis policy`: a pack's own scenarios, and its validity.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use policy::scenario;

use crate::cli;
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG, outcome_style};
use crate::pack;

pub(crate) fn run(command: &cli::Policy, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Policy::Test { dir } => test(dir, output),
        cli::Policy::Check { dir } => check(dir, output),
    }
}

fn check(dir: &Path, output: Output) -> Result<ExitCode, Failure> {
    let pack = pack::load(dir).map_err(Failure::Input)?;
    if output.is_json() {
        output.json(&serde_json::json!({
            "pack": pack.name(), "policies": pack.policy_count(), "hash": pack.hash(),
        }))?;
    } else {
        output.line(&format!(
            "{STRONG}{}{STRONG:#}: {} policies, valid\n{DIM}sha256 {}{DIM:#}",
            pack.name(),
            pack.policy_count(),
            pack.hash()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn test(dir: &Path, output: Output) -> Result<ExitCode, Failure> {
    let pack = Arc::new(pack::load(dir).map_err(Failure::Input)?);
    let path = dir.join("scenarios.toml");
    let text = std::fs::read_to_string(&path).input(format!(
        "cannot read the scenario table `{}`",
        path.display()
    ))?;
    let table = scenario::parse(&text).input(format!("in `{}`", path.display()))?;
    let rows = scenario::run(&pack, &table);
    let failed = rows.iter().filter(|row| !row.passed).count();
    if output.is_json() {
        for row in &rows {
            output.json(row)?;
        }
    } else {
        for row in &rows {
            let style = outcome_style(row.actual.outcome());
            let (mark, expected) = if row.passed {
                ("✓", String::new())
            } else {
                ("✗", format!("   expected {}", row.expected))
            };
            output.line(&format!(
                "{mark} {style}{:<12}{style:#} {}{expected}",
                row.actual.to_string(),
                row.scenario
            ))?;
        }
        output.line(&format!(
            "\n{STRONG}{}{STRONG:#}: {} scenarios, {} passed, {failed} failed",
            pack.name(),
            rows.len(),
            rows.len() - failed
        ))?;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
