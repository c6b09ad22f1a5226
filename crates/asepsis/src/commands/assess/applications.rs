//! The list of all the hospital's applications, as people keep it: CSV.
//!
//! Columns: `name`, `criticality` (life_critical, clinical, business, administrative) and, where known, `single_sign_on`,
//! `logged`, `pipeline` (yes or no), `security_tested`, `backed_up`, `restore_tested`, `emergency_tested` (a day). An empty
//! cell is not known. A name that the configuration has too means the application behind the gateway.

use std::path::Path;

use ::assess::Facts;
use ::assess::facts::{Application, Sourced};
use anyhow::{Context, bail, ensure};
use domain::{Criticality, Timestamp};

use crate::failure::{Blame, Failure};

/// Applications read at most.
const APPLICATIONS_MAX: usize = 10_000;

const COLUMNS: &[&str] = &[
    "name",
    "criticality",
    "single_sign_on",
    "logged",
    "pipeline",
    "security_tested",
    "backed_up",
    "restore_tested",
    "emergency_tested",
];

/// Puts the list beside what the configuration says.
pub(super) fn add(facts: &mut Facts, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).input(format!("cannot read the applications `{shown}`"))?;
    let as_of = std::fs::metadata(path)
        .ok()
        .and_then(|m| m.modified().ok())
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .map_or(facts.now, Timestamp::from_millis);
    let mut all = parse(&text).input(format!("the applications `{shown}`"))?;
    let behind = facts.applications.take().map(|s| s.facts);
    for known in behind.unwrap_or_default() {
        match all.iter_mut().find(|a| a.name == known.name) {
            Some(listed) => {
                listed.brokered = known.brokered;
                listed.mode = known.mode;
                listed.upstream_tls = known.upstream_tls;
                listed.bypassed = known.bypassed;
            }
            None => all.push(known),
        }
    }
    facts.applications_partly = false;
    facts.applications = Some(Sourced {
        source: format!("{shown} and configuration").into(),
        as_of: as_of.min(facts.now),
        facts: all,
    });
    Ok(())
}

fn parse(text: &str) -> anyhow::Result<Vec<Application>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers()?.clone();
    let unknown = header.iter().find(|column| !COLUMNS.contains(column));
    if let Some(column) = unknown {
        bail!(
            "unknown column `{column}` (hint: the columns are {})",
            COLUMNS.join(",")
        );
    }
    for column in ["name", "criticality"] {
        ensure!(
            header.iter().any(|c| c == column),
            "no column `{column}` (hint: the columns are {})",
            COLUMNS.join(",")
        );
    }
    let mut all: Vec<Application> = Vec::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |column: &str| {
            let place = header.iter().position(|c| c == column)?;
            row.get(place).filter(|text| !text.is_empty())
        };
        let application = read(&cell).with_context(|| format!("line {line}"))?;
        ensure!(
            all.iter().all(|a| a.name != application.name),
            "line {line}: the application `{}` is listed twice",
            application.name
        );
        ensure!(
            all.len() < APPLICATIONS_MAX,
            "more than {APPLICATIONS_MAX} applications"
        );
        all.push(application);
    }
    ensure!(!all.is_empty(), "it lists no application");
    Ok(all)
}

fn read<'a>(cell: &impl Fn(&str) -> Option<&'a str>) -> anyhow::Result<Application> {
    let truth = |column: &str| match cell(column).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("yes" | "true") => Ok(Some(true)),
        Some("no" | "false") => Ok(Some(false)),
        Some(other) => {
            bail!("column `{column}`: `{other}` is neither yes nor no (hint: empty if not known)")
        }
    };
    let day = |column: &str| {
        match cell(column) {
        None => Ok(None),
        Some(text) => Timestamp::parse(text).map(Some).with_context(|| {
            format!("column `{column}`: `{text}` is not a day such as 2026-11-22 (hint: empty if not known)")
        }),
    }
    };
    let text = cell("criticality").context("column `criticality` is empty")?;
    let criticality = match text {
        "life_critical" => Criticality::LifeCritical,
        "clinical" => Criticality::Clinical,
        "business" => Criticality::Business,
        "administrative" => Criticality::Administrative,
        other => bail!(
            "column `criticality`: unknown `{other}` (hint: life_critical, clinical, business or administrative)"
        ),
    };
    Ok(Application {
        name: cell("name").context("column `name` is empty")?.into(),
        criticality,
        brokered: false,
        mode: None,
        upstream_tls: None,
        bypassed: None,
        single_sign_on: truth("single_sign_on")?,
        logged: truth("logged")?,
        security_tested: day("security_tested")?,
        backed_up: day("backed_up")?,
        restore_tested: day("restore_tested")?,
        emergency_tested: day("emergency_tested")?,
        pipeline: truth("pipeline")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cell_is_not_known_and_no_row_is_behind_the_gateway_by_itself() {
        let all = parse(
            "name,criticality,logged,backed_up\nehr,clinical,yes,2026-11-21\nbilling,business,,\n",
        )
        .expect("readable");
        assert_eq!((all[0].logged, all[1].logged), (Some(true), None));
        assert!(all[0].backed_up.is_some() && all[1].backed_up.is_none());
        assert!(all.iter().all(|a| !a.brokered));
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_a_remedy() {
        for (text, words) in [
            ("", "no column `name`"),
            ("name,criticality\n", "no application"),
            ("name,criticality,color\nehr,clinical,red\n", "`color`"),
            ("name,criticality\nehr,vital\n", "`vital`"),
            ("name,criticality\nehr,clinical\nehr,clinical\n", "line 3"),
            (
                "name,criticality,logged\nehr,clinical,perhaps\n",
                "`perhaps`",
            ),
            ("name,criticality,backed_up\nehr,clinical,soon\n", "`soon`"),
            ("name,criticality\n,clinical\n", "line 2"),
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
