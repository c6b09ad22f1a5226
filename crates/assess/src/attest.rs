//! What named people vouch for: `attestations.toml`.
//!
//! ```toml
//! [[attestation]]
//! row = "hipaa-security-rule/164.308(a)(2)"
//! level = "Met"
//! statement = "The security officer is appointed in writing."
//! owner = "A. Example, CISO"
//! date = "2026-10-01"
//! expires = "2027-09-30"            # at most 13 months after `date`
//! evidence = "letter of 2026-10-01" # optional
//!
//! [[figure]]                        # a count that no source of Asepsis has
//! measure = "training.done"
//! numerator = 812
//! denominator = 900
//! source = "training records, export of 2026-10-01"
//! owner = "B. Example, head of training"
//! date = "2026-10-01"
//! expires = "2027-03-31"
//! ```
//!
//! One mistake costs one entry: the others are used, and each problem is named with line and remedy. An entry whose date
//! is past counts for nothing and is shown as such.

use std::time::Duration;

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::criteria::{Criteria, line_of};
use crate::measures::{Measure, day};

/// Longest time that an attestation holds.
const HOLDS_DAYS_MAX: u64 = 400;

/// Somebody vouches for a row at a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// `framework/row`.
    pub row: SmolStr,
    /// Rank of the level vouched for.
    pub rank: u8,
    /// The level's name.
    pub level: SmolStr,
    /// What is vouched for.
    pub statement: SmolStr,
    /// By whom: name and office.
    pub owner: SmolStr,
    /// Since when.
    pub date: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// Where it can be looked up; empty: not said.
    #[serde(default)]
    pub evidence: SmolStr,
}

/// Somebody vouches for a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// The measure.
    pub measure: SmolStr,
    /// The good ones.
    pub numerator: u64,
    /// All.
    pub denominator: u64,
    /// Where it was counted.
    pub source: SmolStr,
    /// By whom.
    pub owner: SmolStr,
    /// When it was true.
    pub date: Timestamp,
    /// Until when it may be used.
    pub expires: Timestamp,
}

/// An entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}: {what} (hint: {hint})")]
pub struct AttestationProblem {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// What was read of `attestations.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestations {
    /// Rows vouched for.
    pub rows: Vec<Attestation>,
    /// Counts vouched for.
    pub figures: Vec<Figure>,
    /// Entries that cannot be used.
    pub problems: Vec<AttestationProblem>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    attestation: Vec<toml::Spanned<toml::Value>>,
    #[serde(default)]
    figure: Vec<toml::Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttestation {
    row: String,
    level: String,
    statement: String,
    owner: String,
    date: String,
    expires: String,
    #[serde(default)]
    evidence: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFigure {
    measure: String,
    numerator: u64,
    denominator: u64,
    source: String,
    owner: String,
    date: String,
    expires: String,
}

type Fault = (String, String);

impl Attestations {
    /// Reads the file. Every problem is in [`Attestations::problems`]; what is right is used.
    pub fn parse(text: &str, criteria: &Criteria) -> Self {
        let mut out = Self::default();
        let raw: RawFile = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                out.problems.push(AttestationProblem {
                    line: line_of(text, error.span().map_or(0, |s| s.start)),
                    what: error.message().to_owned(),
                    hint: "the file holds [[attestation]] and [[figure]] tables; nothing of it is used until this is mended"
                        .to_owned(),
                });
                return out;
            }
        };
        for entry in raw.attestation {
            let at = entry.span().start;
            match attestation(entry.into_inner(), criteria) {
                Ok(a) => out.rows.push(a),
                Err(fault) => out.problem(text, at, fault),
            }
        }
        for entry in raw.figure {
            let at = entry.span().start;
            match figure(entry.into_inner()) {
                Ok(f) => out.figures.push(f),
                Err(fault) => out.problem(text, at, fault),
            }
        }
        out.problems.sort_by_key(|p| p.line);
        out
    }

    fn problem(&mut self, text: &str, offset: usize, (what, hint): Fault) {
        self.problems.push(AttestationProblem {
            line: line_of(text, offset),
            what,
            hint,
        });
    }

    /// The newest attestation for a row, and whether it holds at `now`.
    pub(crate) fn for_row(&self, row: &str, now: Timestamp) -> Option<(&Attestation, bool)> {
        let all = || self.rows.iter().filter(|a| a.row == row);
        // One that holds wins over a newer one that does not; of those that hold the highest level.
        all()
            .filter(|a| holds(a.date, a.expires, now))
            .max_by_key(|a| (a.rank, a.date))
            .map(|a| (a, true))
            .or_else(|| all().max_by_key(|a| a.date).map(|a| (a, false)))
    }

    /// The newest figure for a measure that holds at `now`.
    pub(crate) fn for_measure(&self, measure: &str, now: Timestamp) -> Option<&Figure> {
        self.figures
            .iter()
            .filter(|f| f.measure == measure && holds(f.date, f.expires, now))
            .max_by_key(|f| f.date)
    }
}

/// Whether an entry counts at `now`: a date ahead of us vouches for nothing yet.
pub(crate) fn holds(date: Timestamp, expires: Timestamp, now: Timestamp) -> bool {
    // `expires` names the last day.
    date <= now && now < expires.plus(Duration::from_secs(86_400))
}

fn read<T: serde::de::DeserializeOwned>(value: toml::Value, kind: &str) -> Result<T, Fault> {
    value.try_into().map_err(|e: toml::de::Error| {
        (
            e.message().to_owned(),
            format!("compare with the example of {kind} in the manual"),
        )
    })
}

fn dates(date: &str, expires: &str) -> Result<(Timestamp, Timestamp), Fault> {
    let parse = |key: &str, text: &str| {
        (text.len() == 10)
            .then(|| Timestamp::parse(text))
            .flatten()
            .ok_or_else(|| {
                (
                    format!("`{key}` is `{text}`, which is not a date"),
                    "write it like `2026-11-22`".to_owned(),
                )
            })
    };
    let (date, expires) = (parse("date", date)?, parse("expires", expires)?);
    if expires < date {
        return Err((
            format!(
                "`expires` ({}) lies before `date` ({})",
                day(expires),
                day(date)
            ),
            "an attestation holds from its date to its expiry".to_owned(),
        ));
    }
    if expires.since(date) > Duration::from_secs(HOLDS_DAYS_MAX * 86_400) {
        return Err((
            format!(
                "it would hold from {} to {}, longer than 13 months",
                day(date),
                day(expires)
            ),
            "choose an earlier `expires`, and ask the owner again then".to_owned(),
        ));
    }
    Ok((date, expires))
}

fn owner(text: &str) -> Result<SmolStr, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err((
            "`owner` is empty".to_owned(),
            "name the person who vouches, with their office".to_owned(),
        ));
    }
    Ok(text.into())
}

fn attestation(value: toml::Value, criteria: &Criteria) -> Result<Attestation, Fault> {
    let raw: RawAttestation = read(value, "[[attestation]]")?;
    let Some((framework, criterion)) = criteria.row(&raw.row) else {
        let hint = match raw.row.split_once('/') {
            Some((framework, _)) => match criteria.frameworks.iter().find(|f| f.id == framework) {
                Some(f) => format!(
                    "rows of {framework}: {}",
                    f.criteria
                        .iter()
                        .map(|c| c.id.as_str())
                        .take(60)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                None => format!(
                    "frameworks: {}",
                    criteria
                        .frameworks
                        .iter()
                        .map(|f| f.id.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            },
            None => "write it like `cisa-ztmm-2/DV7`".to_owned(),
        };
        return Err((format!("there is no row `{}`", raw.row), hint));
    };
    let level = framework
        .levels
        .iter()
        .find(|l| l.name.eq_ignore_ascii_case(raw.level.trim()));
    let Some(level) = level.filter(|l| l.rank > 0) else {
        let names: Vec<&str> = framework
            .levels
            .iter()
            .skip(1)
            .map(|l| l.name.as_str())
            .collect();
        return Err((
            format!(
                "`{}` is not a level that {} can be vouched for",
                raw.level, raw.row
            ),
            format!("choose {}", names.join(", ")),
        ));
    };
    if raw.statement.trim().is_empty() {
        return Err((
            format!("{} has no statement", raw.row),
            format!("write what holds; the row asks {}", criterion.asks),
        ));
    }
    let (date, expires) = dates(&raw.date, &raw.expires)?;
    Ok(Attestation {
        row: raw.row.into(),
        rank: level.rank,
        level: level.name.clone(),
        statement: raw.statement.trim().into(),
        owner: owner(&raw.owner)?,
        date,
        expires,
        evidence: raw.evidence.trim().into(),
    })
}

fn figure(value: toml::Value) -> Result<Figure, Fault> {
    let raw: RawFigure = read(value, "[[figure]]")?;
    if Measure::named(&raw.measure).is_none() {
        let names: Vec<&str> = crate::measures::MEASURES.iter().map(|m| m.name).collect();
        return Err((
            format!("there is no measure `{}`", raw.measure),
            format!("measures: {}", names.join(", ")),
        ));
    }
    if raw.denominator == 0 || raw.numerator > raw.denominator {
        return Err((
            format!(
                "`{}`: {} of {} is not a share",
                raw.measure, raw.numerator, raw.denominator
            ),
            "the numerator counts some of what the denominator counts, and that is at least one"
                .to_owned(),
        ));
    }
    if raw.source.trim().is_empty() {
        return Err((
            format!("`{}` has no source", raw.measure),
            "say which export or list was counted".to_owned(),
        ));
    }
    let (date, expires) = dates(&raw.date, &raw.expires)?;
    Ok(Figure {
        measure: raw.measure.into(),
        numerator: raw.numerator,
        denominator: raw.denominator,
        source: raw.source.trim().into(),
        owner: owner(&raw.owner)?,
        date,
        expires,
    })
}
