//! From facts to levels.

use std::collections::BTreeMap;

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::attest::{Attestation, AttestationProblem, Attestations};
use crate::criteria::{Criteria, Criterion, Framework, Level, Need};
use crate::facts::Facts;
use crate::measures::{Counted, MEASURES, Measure, day, days_between};
use crate::steps::{self, NextStep};
use crate::tools::{self, OwnedTool};

/// How a row came by its level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Status {
    /// Everything that decided it was counted.
    Measured,
    /// Somebody vouches for a part of it.
    Attested {
        /// Who.
        owner: SmolStr,
        /// Since when.
        date: Timestamp,
        /// Until when.
        expires: Timestamp,
    },
    /// It cannot be said.
    NotEvaluable {
        /// What has to be supplied; each once.
        needs: Vec<String>,
    },
}

/// One figure behind a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The measure's name.
    pub measure: SmolStr,
    /// What is counted.
    pub counts: SmolStr,
    /// The good ones.
    pub numerator: u64,
    /// All; never zero.
    pub denominator: u64,
    /// Where it comes from.
    pub source: SmolStr,
    /// When it was true.
    pub as_of: Timestamp,
    /// How many days ago that was.
    pub age_days: u64,
    /// Who vouches for the figure; absent: it was counted by Asepsis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<SmolStr>,
    /// What stands out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Reading {
    /// The share, 0 to 1.
    pub fn share(&self) -> f64 {
        share(self.numerator, self.denominator)
    }
}

/// A share; exact enough for comparing with a percentage.
pub(crate) fn share(numerator: u64, denominator: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of devices and bytes; the last bits do not matter"
    )]
    let (n, d) = (numerator as f64, denominator as f64);
    if d > 0.0 { n / d } else { 0.0 }
}

/// A share as it is written: six places, rounded down, so that it never reads like more than it is, and reads back
/// as it was written.
fn shown(share: f64) -> f64 {
    (share * 1e6).floor() / 1e6
}

/// Why the next level is not reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Hold {
    /// A figure is too low.
    TooLow {
        /// The measure.
        measure: SmolStr,
        /// Its share, 0 to 1.
        is: f64,
        /// The share needed.
        needed: f64,
    },
    /// A figure is missing.
    Unknown {
        /// The measure.
        measure: SmolStr,
        /// The share needed.
        needed: f64,
        /// What has to be supplied.
        needs: String,
    },
    /// Nobody vouches for it.
    NotVouched {
        /// What for.
        statement: SmolStr,
    },
}

/// The next level of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// The level.
    pub level: Level,
    /// What it looks like.
    pub says: SmolStr,
    /// What holds it back.
    pub held_by: Vec<Hold>,
}

/// One row of the assessment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The framework's identifier.
    pub framework: SmolStr,
    /// The criterion's identifier.
    pub id: SmolStr,
    /// Its pillar.
    pub pillar: SmolStr,
    /// What it is called.
    pub function: SmolStr,
    /// What it asks.
    pub asks: SmolStr,
    /// The level; absent: not evaluable.
    pub level: Option<Level>,
    /// What that level looks like; empty: not evaluable.
    pub says: SmolStr,
    /// How it came by it.
    pub status: Status,
    /// The measure that decides: of the next level the one that is farthest away, else the weakest.
    pub measure: Option<SmolStr>,
    /// Its numerator.
    pub numerator: Option<u64>,
    /// Its denominator; never zero.
    pub denominator: Option<u64>,
    /// Its source.
    pub source: Option<SmolStr>,
    /// When it was true.
    pub as_of: Option<Timestamp>,
    /// Every figure that the row rests on, each once.
    pub readings: Vec<Reading>,
    /// The next level; absent: the highest is reached.
    pub next: Option<Next>,
    /// What the reader should know: an expired attestation, a figure that overrules somebody's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How much harm the gap lets happen, 1 to 5.
    pub risk: u8,
    /// How much work closing it is, 1 to 5.
    pub effort: u8,
}

impl Row {
    /// `framework/id`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.framework, self.id)
    }
}

/// A pillar's floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The framework's identifier.
    pub framework: SmolStr,
    /// The pillar.
    pub pillar: SmolStr,
    /// The level of its weakest evaluated function; absent: none is evaluable.
    pub level: Option<Level>,
    /// Whether that is the floor for certain. Otherwise it is at most that: a function that is not evaluable may be lower.
    pub certain: bool,
    /// The functions that decide.
    pub decided_by: Vec<SmolStr>,
    /// Functions decided by counting alone.
    pub measured: u32,
    /// Functions that somebody vouches for.
    pub attested: u32,
    /// Functions that are not evaluable.
    pub not_evaluable: Vec<SmolStr>,
}

/// A framework in the assessment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkSummary {
    /// Its identifier.
    pub id: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// A short name for lists.
    pub short: SmolStr,
    /// Where it is published.
    pub source: SmolStr,
    /// A remark.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub note: SmolStr,
    /// Its levels, worst first.
    pub levels: Vec<Level>,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Version of this form.
    pub schema: u32,
    /// The hospital.
    pub hospital: SmolStr,
    /// The moment it speaks of.
    pub at: Timestamp,
    /// How many days back counted things reach.
    pub window_days: u32,
    /// The frameworks.
    pub frameworks: Vec<FrameworkSummary>,
    /// The rows, in the frameworks' order.
    pub rows: Vec<Row>,
    /// The pillars.
    pub pillars: Vec<Floor>,
    /// What to do next, best first; at most ten.
    pub steps: Vec<NextStep>,
    /// Tools that the hospital has.
    pub tools: Vec<OwnedTool>,
    /// Every figure that could be counted.
    pub figures: Vec<Reading>,
    /// Entries of `attestations.toml` that cannot be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<AttestationProblem>,
}

/// A figure or what is missing.
pub(crate) type Figures = BTreeMap<&'static str, Result<Reading, String>>;

/// Assesses.
pub fn assess(criteria: &Criteria, facts: &Facts, attestations: &Attestations) -> Assessment {
    let figures = figures(facts, attestations);
    let tools = tools::owned(facts);
    let mut rows = Vec::new();
    for framework in &criteria.frameworks {
        for criterion in &framework.criteria {
            rows.push(row(framework, criterion, &figures, attestations, facts.now));
        }
    }
    let pillars = criteria
        .frameworks
        .iter()
        .flat_map(|f| f.pillars().into_iter().map(move |p| (f, p)))
        .map(|(f, p)| floor(f, p, &rows))
        .collect();
    let top = criteria
        .frameworks
        .iter()
        .map(|f| (f.id.clone(), f.levels.last().map_or(1, |l| l.rank)))
        .collect();
    let steps = steps::next(&criteria.steps, &rows, &figures, &tools, &top);
    Assessment {
        schema: 1,
        hospital: facts.hospital.clone(),
        at: facts.now,
        window_days: facts.window_days,
        frameworks: criteria
            .frameworks
            .iter()
            .map(|f| FrameworkSummary {
                id: f.id.clone(),
                name: f.name.clone(),
                short: f.short.clone(),
                source: f.source.clone(),
                note: f.note.clone(),
                levels: f.levels.clone(),
            })
            .collect(),
        rows,
        pillars,
        steps,
        tools,
        figures: figures.into_values().filter_map(Result::ok).collect(),
        problems: attestations.problems.clone(),
    }
}

fn figures(facts: &Facts, attestations: &Attestations) -> Figures {
    MEASURES
        .iter()
        .map(|m| (m.name, figure(m, facts, attestations)))
        .collect()
}

/// A counted figure; where there is none, one that somebody vouches for.
fn figure(
    measure: &Measure,
    facts: &Facts,
    attestations: &Attestations,
) -> Result<Reading, String> {
    let reading = |counted: Counted, attested_by: Option<SmolStr>| Reading {
        measure: SmolStr::new_static(measure.name),
        counts: SmolStr::new_static(measure.counts),
        numerator: counted.numerator,
        denominator: counted.denominator,
        source: counted.source,
        as_of: counted.as_of,
        age_days: days_between(counted.as_of, facts.now),
        attested_by,
        notes: counted.notes,
    };
    match measure.count(facts) {
        Ok(counted) => Ok(reading(counted, None)),
        Err(needs) => {
            let Some(figure) = attestations.for_measure(measure.name, facts.now) else {
                return Err(needs);
            };
            let counted = Counted {
                numerator: figure.numerator,
                denominator: figure.denominator,
                source: figure.source.clone(),
                as_of: figure.date,
                notes: Vec::new(),
            };
            if counted.denominator == 0 || counted.numerator > counted.denominator {
                return Err(needs);
            }
            // Its owner chose how long it holds; the measure's own freshness is for counted figures.
            Ok(reading(counted, Some(figure.owner.clone())))
        }
    }
}

/// On what a met need rests.
#[derive(Clone, Debug)]
enum By {
    /// A count.
    Count,
    /// A figure that somebody vouches for.
    Figure(SmolStr),
    /// The attestation of the row.
    Word,
}

enum Truth {
    Met(By),
    Failed(Hold),
    Unknown(Hold),
}

fn judge(need: &Need, rank: u8, figures: &Figures, word: Option<&Attestation>) -> Truth {
    let vouched = word.is_some_and(|a| a.rank >= rank);
    match need {
        Need::Measured { measure, at_least } => match figures.get(measure.name) {
            Some(Ok(reading)) => {
                // A hair's breadth, so that 95 of 100 is 95 %.
                if reading.share() + 1e-12 >= *at_least {
                    Truth::Met(reading.attested_by.clone().map_or(By::Count, By::Figure))
                } else {
                    Truth::Failed(Hold::TooLow {
                        measure: SmolStr::new_static(measure.name),
                        is: shown(reading.share()),
                        needed: *at_least,
                    })
                }
            }
            _ if vouched => Truth::Met(By::Word),
            missing => Truth::Unknown(Hold::Unknown {
                measure: SmolStr::new_static(measure.name),
                needed: *at_least,
                needs: match missing {
                    Some(Err(needs)) => needs.clone(),
                    _ => measure.needs.to_owned(),
                },
            }),
        },
        Need::Attested { .. } if vouched => Truth::Met(By::Word),
        Need::Attested { statement } => Truth::Unknown(Hold::NotVouched {
            statement: statement.clone(),
        }),
    }
}

fn row(
    framework: &Framework,
    criterion: &Criterion,
    figures: &Figures,
    attestations: &Attestations,
    now: Timestamp,
) -> Row {
    let name = format!("{}/{}", framework.id, criterion.id);
    let mut notes = Vec::new();
    let found = attestations.for_row(&name, now);
    let word = match found {
        Some((a, true)) => Some(a),
        Some((a, false)) => {
            notes.push(if a.date > now {
                format!(
                    "{} vouches for {} only from {}",
                    a.owner,
                    a.level,
                    day(a.date)
                )
            } else {
                format!(
                    "{} vouched for {} until {}; that is over",
                    a.owner,
                    a.level,
                    day(a.expires)
                )
            });
            None
        }
        None => None,
    };

    let mut reached = 0_u8;
    let mut rests_on: Vec<By> = Vec::new();
    let mut next = None;
    let mut failed = false;
    let mut unknown = Vec::new();
    for (reach, level) in criterion.reach.iter().zip(framework.levels.iter().skip(1)) {
        let mut held = Vec::new();
        let mut here = Vec::new();
        for need in &reach.needs {
            match judge(need, level.rank, figures, word) {
                Truth::Met(by) => here.push(by),
                Truth::Failed(hold) => {
                    failed = true;
                    held.push(hold);
                }
                Truth::Unknown(hold) => {
                    unknown.push(needs_of(&hold));
                    held.push(hold);
                }
            }
        }
        if held.is_empty() {
            reached = level.rank;
            rests_on.extend(here);
        } else {
            next = Some(Next {
                level: level.clone(),
                says: reach.says.clone(),
                held_by: held,
            });
            break;
        }
    }

    if let Some(a) = word
        && a.rank > reached
        && failed
    {
        notes.push(format!(
            "{} vouches for {}, but what was counted says less; the count stands",
            a.owner, a.level
        ));
    }

    // Nothing reached, and nothing counted that would show the lowest level: it cannot be said.
    let evaluable = reached > 0 || failed;
    let status = if !evaluable {
        unknown.sort();
        unknown.dedup();
        Status::NotEvaluable { needs: unknown }
    } else {
        vouched(&rests_on, word, attestations)
    };

    let readings = readings(criterion, figures);
    let deciding = deciding(next.as_ref(), &readings).cloned();
    let deciding = deciding.as_ref();
    let level = evaluable.then(|| framework.levels[usize::from(reached)].clone());
    let says = match (evaluable, reached) {
        (false, _) => SmolStr::default(),
        (true, 0) => criterion.bottom.clone(),
        (true, n) => criterion.reach[usize::from(n) - 1].says.clone(),
    };
    Row {
        framework: framework.id.clone(),
        id: criterion.id.clone(),
        pillar: criterion.pillar.clone(),
        function: criterion.function.clone(),
        asks: criterion.asks.clone(),
        level,
        says,
        status,
        measure: deciding.map(|r| r.measure.clone()),
        numerator: deciding.map(|r| r.numerator),
        denominator: deciding.map(|r| r.denominator),
        source: deciding.map(|r| r.source.clone()),
        as_of: deciding.map(|r| r.as_of),
        readings,
        next,
        notes,
        risk: criterion.risk,
        effort: criterion.effort,
    }
}

/// Who vouches for what the level rests on: the row's attestation, else the figure's owner, else nobody has to.
fn vouched(rests_on: &[By], word: Option<&Attestation>, attestations: &Attestations) -> Status {
    if let Some(a) = word.filter(|_| rests_on.iter().any(|b| matches!(b, By::Word))) {
        return Status::Attested {
            owner: a.owner.clone(),
            date: a.date,
            expires: a.expires,
        };
    }
    let owner = rests_on.iter().find_map(|b| match b {
        By::Figure(owner) => Some(owner),
        By::Count | By::Word => None,
    });
    let figure = owner.and_then(|o| {
        attestations
            .figures
            .iter()
            .filter(|f| f.owner == *o)
            .max_by_key(|f| f.date)
    });
    match figure {
        Some(f) => Status::Attested {
            owner: f.owner.clone(),
            date: f.date,
            expires: f.expires,
        },
        None => Status::Measured,
    }
}

fn needs_of(hold: &Hold) -> String {
    match hold {
        Hold::TooLow { measure, .. } => measure.to_string(),
        Hold::Unknown { needs, .. } => needs.clone(),
        Hold::NotVouched { statement } => format!("somebody who vouches: {statement}"),
    }
}

/// Every figure that the criterion names, each once, in its order.
fn readings(criterion: &Criterion, figures: &Figures) -> Vec<Reading> {
    let mut out: Vec<Reading> = Vec::new();
    for need in criterion.reach.iter().flat_map(|r| &r.needs) {
        if let Need::Measured { measure, .. } = need
            && let Some(Ok(reading)) = figures.get(measure.name)
            && !out.iter().any(|r| r.measure == reading.measure)
        {
            out.push(reading.clone());
        }
    }
    out
}

/// Of what holds the next level back the figure that is farthest away; else the weakest figure.
fn deciding<'r>(next: Option<&Next>, readings: &'r [Reading]) -> Option<&'r Reading> {
    let farthest = next.and_then(|n| {
        n.held_by
            .iter()
            .filter_map(|h| match h {
                Hold::TooLow {
                    measure,
                    is,
                    needed,
                } => Some((measure, needed - is)),
                _ => None,
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(measure, _)| measure)
    });
    match farthest {
        Some(measure) => readings.iter().find(|r| r.measure == *measure),
        None => readings
            .iter()
            .min_by(|a, b| a.share().total_cmp(&b.share())),
    }
}

fn floor(framework: &Framework, pillar: &SmolStr, rows: &[Row]) -> Floor {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|r| r.framework == framework.id && r.pillar == *pillar)
        .collect();
    let level = rows
        .iter()
        .filter_map(|r| r.level.clone())
        .min_by_key(|l| l.rank);
    let not_evaluable: Vec<SmolStr> = rows
        .iter()
        .filter(|r| r.level.is_none())
        .map(|r| r.id.clone())
        .collect();
    let count = |f: fn(&Status) -> bool| {
        u32::try_from(rows.iter().filter(|r| f(&r.status)).count()).unwrap_or(u32::MAX)
    };
    Floor {
        framework: framework.id.clone(),
        pillar: pillar.clone(),
        certain: not_evaluable.is_empty() || level.as_ref().is_some_and(|l| l.rank == 0),
        decided_by: rows
            .iter()
            .filter(|r| r.level.is_some() && r.level == level)
            .map(|r| r.id.clone())
            .collect(),
        measured: count(|s| matches!(s, Status::Measured)),
        attested: count(|s| matches!(s, Status::Attested { .. })),
        level,
        not_evaluable,
    }
}
