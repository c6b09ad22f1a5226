//! What to do next: the steps that take away the most risk for the least work, with tools that are already there.
//!
//! ```toml
//! [[step]]
//! id = "leases"
//! title = "Give Asepsis the lease files of your DHCP servers"
//! how = "copy …, then run `asepsis discover …`"
//! kind = "show"                     # show: brings figures that are missing; mend: raises figures that are too low
//! uses = ["dhcp"]                   # one of these tools has to be there
//! moves = ["devices.identified"]    # measures; a show step is done as soon as the first of them is there
//! effort = 1                        # 1 to 5
//! ```
//!
//! # Ranking
//!
//! A row weighs its risk (1 to 5) times how far it is from its highest level (1 at the lowest, 0 at the highest). A
//! measure that holds rows back weighs, over the frameworks, the sum of the heaviest row that it holds back in each, so
//! that many rows about one thing do not outshout a grave one. Of that weight a step takes away what is lacking: for a
//! step that mends, the part of the needed share that is missing (farthest need first); for a step that shows, a half,
//! since nobody knows how bad it is. Its rank is the sum over its measures for each unit of effort. A show step counts
//! only measures that are missing and a mend step only figures that are too low, so that nothing is proposed that is
//! already done. Equal ranks go by risk, then by identifier.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::criteria::{CriteriaError, line_of};
use crate::evaluate::{Figures, Hold, Row};
use crate::measures::Measure;
use crate::tools::{OwnedTool, Tool};

/// Most steps in an assessment.
pub const STEPS_MAX: usize = 10;

/// What a step does to figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// It brings figures that are missing.
    Show,
    /// It raises figures that are too low.
    Mend,
}

/// A possible step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its identifier.
    pub id: SmolStr,
    /// What to do, in one sentence.
    pub title: SmolStr,
    /// How.
    pub how: SmolStr,
    /// What it does.
    pub kind: StepKind,
    /// Tools, one of which has to be there.
    pub uses: Vec<Tool>,
    /// Measures that it brings or raises.
    pub moves: Vec<&'static Measure>,
    /// How much work it is, 1 to 5.
    pub effort: u8,
}

/// A step worth taking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextStep {
    /// Its place, from 1.
    pub rank: u32,
    /// Its identifier.
    pub id: SmolStr,
    /// What to do.
    pub title: SmolStr,
    /// How.
    pub how: SmolStr,
    /// What it does.
    pub kind: StepKind,
    /// Why it is worth it, with the figures.
    pub why: String,
    /// How much risk it takes away, in the weights of the criteria.
    pub risk_removed: f64,
    /// How much work it is, 1 to 5.
    pub effort: u8,
    /// The tool that serves, by the name it goes by here.
    pub uses: SmolStr,
    /// How it is known that the tool is there.
    pub known_by: SmolStr,
    /// The rows it would move, `framework/id`.
    pub rows: Vec<SmolStr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    step: Vec<toml::Spanned<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    id: String,
    title: String,
    how: String,
    kind: StepKind,
    uses: Vec<Tool>,
    moves: Vec<String>,
    effort: u8,
}

/// Reads steps.
///
/// # Errors
/// If the text is not of the form above; the error names line and remedy.
pub fn parse(file: &str, text: &str) -> Result<Vec<Step>, CriteriaError> {
    let fail = |offset: usize, what: String, hint: &str| CriteriaError {
        file: file.into(),
        line: line_of(text, offset),
        what,
        hint: hint.to_owned(),
    };
    let raw: RawFile = toml::from_str(text).map_err(|e| {
        fail(
            e.span().map_or(0, |s| s.start),
            e.message().to_owned(),
            "compare with `packs/frameworks/steps.toml`",
        )
    })?;
    let mut ids = BTreeSet::new();
    let mut out = Vec::with_capacity(raw.step.len());
    for spanned in raw.step {
        let at = spanned.span().start;
        let step = spanned.into_inner();
        if !ids.insert(step.id.clone()) {
            return Err(fail(
                at,
                format!("`{}` is there twice", step.id),
                "give each step its own `id`",
            ));
        }
        if !(1..=5).contains(&step.effort) || step.uses.is_empty() || step.moves.is_empty() {
            return Err(fail(
                at,
                format!(
                    "`{}` needs an effort of 1 to 5, a tool and a measure",
                    step.id
                ),
                "a step without a tool or a measure moves nothing",
            ));
        }
        let mut moves = Vec::new();
        for name in &step.moves {
            moves.push(Measure::named(name).ok_or_else(|| {
                fail(
                    at,
                    format!("`{}`: there is no measure `{name}`", step.id),
                    "see `assess::MEASURES` for the names",
                )
            })?);
        }
        out.push(Step {
            id: step.id.into(),
            title: step.title.into(),
            how: step.how.into(),
            kind: step.kind,
            uses: step.uses,
            moves,
            effort: step.effort,
        });
    }
    Ok(out)
}

/// What a measure holds back.
#[derive(Default)]
struct Held {
    /// The heaviest row of each framework.
    heaviest: BTreeMap<SmolStr, f64>,
    /// The farthest share needed; zero: the figure is missing.
    needed: f64,
    rows: BTreeSet<SmolStr>,
}

impl Held {
    fn weight(&self) -> f64 {
        self.heaviest.values().sum()
    }
}

/// A row's risk times how far it is from its highest level.
fn weight(row: &Row, levels: &BTreeMap<SmolStr, u8>) -> f64 {
    let top = f64::from(levels.get(&row.framework).copied().unwrap_or(1).max(1));
    let reached = f64::from(row.level.as_ref().map_or(0, |l| l.rank));
    f64::from(row.risk) * (1.0 - reached / top).max(0.0)
}

/// The steps worth taking. `levels`: each framework's highest rank.
pub(crate) fn next(
    steps: &[Step],
    rows: &[Row],
    figures: &Figures,
    tools: &[OwnedTool],
    levels: &BTreeMap<SmolStr, u8>,
) -> Vec<NextStep> {
    let mut low: BTreeMap<SmolStr, Held> = BTreeMap::new();
    let mut missing: BTreeMap<SmolStr, Held> = BTreeMap::new();
    let mut vouch = Held::default();
    for row in rows {
        for hold in row.next.iter().flat_map(|n| &n.held_by) {
            let (into, needed) = match hold {
                Hold::TooLow {
                    measure, needed, ..
                } => (low.entry(measure.clone()).or_default(), *needed),
                Hold::Unknown { measure, .. } => (missing.entry(measure.clone()).or_default(), 0.0),
                Hold::NotVouched { .. } => (&mut vouch, 0.0),
            };
            let heaviest = into.heaviest.entry(row.framework.clone()).or_default();
            *heaviest = heaviest.max(weight(row, levels));
            into.needed = into.needed.max(needed);
            into.rows.insert(row.name().into());
        }
    }
    let mut out: Vec<NextStep> = steps
        .iter()
        .filter_map(|step| worth(step, &low, &missing, figures, tools))
        .collect();
    out.extend(vouching(&vouch, tools));
    out.sort_by(|a, b| {
        let rate = |s: &NextStep| s.risk_removed / f64::from(s.effort);
        rate(b)
            .total_cmp(&rate(a))
            .then_with(|| b.risk_removed.total_cmp(&a.risk_removed))
            .then_with(|| a.id.cmp(&b.id))
    });
    out.truncate(STEPS_MAX);
    for (step, rank) in out.iter_mut().zip(1..) {
        step.rank = rank;
    }
    out
}

fn worth(
    step: &Step,
    low: &BTreeMap<SmolStr, Held>,
    missing: &BTreeMap<SmolStr, Held>,
    figures: &Figures,
    tools: &[OwnedTool],
) -> Option<NextStep> {
    let tool = step
        .uses
        .iter()
        .find_map(|t| tools.iter().find(|o| o.tool == *t))?;
    // A source that gives the first of its figures is there already, even if it lacks others.
    if step.kind == StepKind::Show
        && step
            .moves
            .first()
            .is_some_and(|m| matches!(figures.get(m.name), Some(Ok(_))))
    {
        return None;
    }
    let mut risk = 0.0;
    let mut rows: BTreeSet<SmolStr> = BTreeSet::new();
    let mut reasons: Vec<(f64, String)> = Vec::new();
    for measure in &step.moves {
        let (held, lacking, words) = match step.kind {
            StepKind::Show => {
                let Some(held) = missing.get(measure.name) else {
                    continue;
                };
                (
                    held,
                    0.5,
                    format!("not counted yet: {}", brief(measure.counts)),
                )
            }
            StepKind::Mend => {
                let (Some(held), Some(Ok(reading))) =
                    (low.get(measure.name), figures.get(measure.name))
                else {
                    continue;
                };
                let lacking =
                    ((held.needed - reading.share()) / held.needed.max(0.01)).clamp(0.0, 1.0);
                let words = if reading.denominator == 1 {
                    format!("no {}", brief(measure.counts))
                } else {
                    format!(
                        "{} of {} {}",
                        grouped(reading.numerator),
                        grouped(reading.denominator),
                        brief(measure.counts)
                    )
                };
                (held, lacking, words)
            }
        };
        let weight = held.weight() * lacking;
        risk += weight;
        rows.extend(held.rows.iter().cloned());
        reasons.push((weight, words));
    }
    if rows.is_empty() {
        return None;
    }
    reasons.sort_by(|a, b| b.0.total_cmp(&a.0));
    let more = reasons.len().saturating_sub(2);
    let mut why = reasons
        .into_iter()
        .take(2)
        .map(|(_, w)| w)
        .collect::<Vec<_>>()
        .join("; ");
    if more > 0 {
        why = format!(
            "{why}; and {more} more {}",
            if more == 1 { "figure" } else { "figures" }
        );
    }
    Some(NextStep {
        rank: 0,
        id: step.id.clone(),
        title: step.title.clone(),
        how: step.how.clone(),
        kind: step.kind,
        why,
        risk_removed: round(risk),
        effort: step.effort,
        uses: tool.name.clone(),
        known_by: tool.known_by.clone(),
        rows: rows.into_iter().collect(),
    })
}

/// Rows that wait for nothing but somebody's word are one step together.
fn vouching(vouch: &Held, tools: &[OwnedTool]) -> Option<NextStep> {
    let tool = tools.iter().find(|o| o.tool == Tool::People)?;
    if vouch.rows.is_empty() {
        return None;
    }
    let count = vouch.rows.len();
    Some(NextStep {
        rank: 0,
        id: "vouch".into(),
        title: format!("Name who answers for the {count} {} that only people can speak for", if count == 1 { "row" } else { "rows" }).into(),
        how: "write an [[attestation]] for each into `attestations.toml`: the statement, a name with office, a date and an expiry".into(),
        kind: StepKind::Show,
        why: format!("{count} {} for a person's word, and nobody has given it", if count == 1 { "row waits" } else { "rows wait" }),
        // What nobody answers for is a quarter of what is measured and bad: the work itself may well be done.
        risk_removed: round(vouch.weight() * 0.25),
        // Ten conversations for each point of effort.
        effort: u8::try_from(1 + count / 10).unwrap_or(5).min(5),
        uses: tool.name.clone(),
        known_by: tool.known_by.clone(),
        rows: vouch.rows.iter().cloned().collect(),
    })
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// What is counted, without the "of all …" behind it.
fn brief(counts: &str) -> &str {
    counts.split(", of ").next().unwrap_or(counts)
}

/// A number with thin groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, c) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}
