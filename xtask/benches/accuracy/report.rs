//! What is measured, and how it is printed.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use xtask::workspace::say;

use crate::captures::{self, Labelled};
use crate::recog::Examples;
use crate::score::{Answered, Score, rounded, share};
use crate::trial::{self, Answers};
use crate::view::{View, group};

/// What is aimed at, on captures never used.
const AIMS: &str = "aims: 95 % right at 90 % coverage, at most 0.5 % wrong of those above 0.9, calibration error at \
     most 0.03, 95 % of unseen types left unnamed";

/// How answers about types that were never learnt came out.
#[derive(Clone, Debug)]
struct Unseen {
    /// Share of captures left unnamed.
    unnamed: f64,
    /// The same, each type counted once.
    unnamed_by_type: f64,
    /// Share named with a confidence above 0.9.
    surely_named: f64,
    /// Those that were named, with the names given.
    taken_for: BTreeMap<(SmolStr, SmolStr), usize>,
}

/// How one way to show devices came out.
struct Way {
    view: View,
    known: Score,
    /// Another unit of the type was learnt, not this one.
    other_unit: Score,
    unseen: Unseen,
    /// What was taken for what, or not named, of the learnt types.
    missed: BTreeMap<(SmolStr, Option<SmolStr>), usize>,
}

/// What one protocol says alone.
struct Alone {
    protocol: &'static str,
    captures: usize,
    score: Score,
}

/// All that is measured.
pub(crate) struct Report {
    seeds: Vec<u64>,
    folds: usize,
    ways: Vec<Way>,
    alone: Vec<Alone>,
    recog: Option<Examples>,
}

impl Report {
    pub(crate) fn measure(
        labelled: &[Labelled],
        seeds: &[u64],
        folds: usize,
        ablation: bool,
        recog: Option<Examples>,
    ) -> Result<Self> {
        let protocols = if ablation {
            protocols(labelled)
        } else {
            Vec::new()
        };
        let mut views = vec![
            View::AsItCame,
            View::Rewritten,
            View::Updated,
            View::OtherServices,
        ];
        views.extend(protocols.iter().copied().map(View::Without));
        let mut known = Answers::new();
        for seed in seeds {
            say(&format!("seed {seed}: {folds} folds"));
            for (view, answers) in trial::run(&trial::folds(labelled, *seed, folds), &views)? {
                known.entry(view).or_default().extend(answers);
            }
        }
        let types = captures::types(labelled);
        say(&format!("{} types left out in turn", types.len()));
        let mut unseen = trial::run(&trial::types_left_out(labelled, types.iter()), &views)?;
        let units = captures::units(labelled);
        say(&format!("{} units left out in turn", units.len()));
        let trials: Vec<_> = units
            .iter()
            .map(|(_, unit)| trial::left_out(labelled, |one| one.unit == *unit))
            .collect();
        let mut other_units = trial::run(&trials, &views)?;
        let ways = views
            .into_iter()
            .map(|view| {
                let known = known.remove(&view).unwrap_or_default();
                let other_units = other_units.remove(&view).unwrap_or_default();
                let unseen = unseen.remove(&view).unwrap_or_default();
                Way {
                    view,
                    known: Score::of(&known),
                    other_unit: Score::of(&other_units),
                    unseen: Unseen::of(&unseen),
                    missed: missed(&known),
                }
            })
            .collect();
        let mut alone = Vec::new();
        for protocol in protocols {
            say(&format!("alone: {protocol}"));
            alone.push(Alone::measure(labelled, protocol, seeds[0])?);
        }
        Ok(Self {
            seeds: seeds.to_vec(),
            folds,
            ways,
            alone,
            recog,
        })
    }

    pub(crate) fn print(&self, details: bool) {
        say("");
        say(&format!(
            "{AIMS}; seeds {:?}, {} folds",
            self.seeds, self.folds
        ));
        say("");
        say(
            "                  coverage   right  wrong>0.9  calibration  other unit: coverage, right  unseen: unnamed, by type, >0.9",
        );
        for way in &self.ways {
            say(&format!(
                "{:<17} {:>8} {:>7} {:>10} {:>12.3} {:>21} {:>6} {:>16} {:>8} {:>5}",
                way.view.name(),
                percent(way.known.coverage),
                percent(way.known.right),
                percent(way.known.surely_wrong),
                way.known.calibration_error,
                percent(way.other_unit.coverage),
                percent(way.other_unit.right),
                percent(way.unseen.unnamed),
                percent(way.unseen.unnamed_by_type),
                percent(way.unseen.surely_named),
            ));
        }
        if details {
            for way in &self.ways {
                for ((truth, named), count) in &way.missed {
                    let named = named.as_deref().unwrap_or("nothing");
                    say(&format!(
                        "  {}: {truth} taken for {named} {count} times",
                        way.view.name()
                    ));
                }
                for ((truth, named), count) in &way.unseen.taken_for {
                    say(&format!(
                        "  {}: {truth}, never learnt, taken for {named} {count} times",
                        way.view.name()
                    ));
                }
            }
        }
        if !self.alone.is_empty() {
            say("");
            say("alone     captures  coverage   right");
        }
        for one in &self.alone {
            say(&format!(
                "{:<10} {:>7} {:>9} {:>7}",
                one.protocol,
                one.captures,
                percent(one.score.coverage),
                percent(one.score.right),
            ));
        }
        if let Some(recog) = self.recog {
            say("");
            say(&format!(
                "recog: {} fingerprints, {} of {} examples pass",
                recog.fingerprints, recog.passed, recog.examples
            ));
        }
    }

    pub(crate) fn json(&self) -> Value {
        let ways: Map<String, Value> = self
            .ways
            .iter()
            .map(|way| {
                let mut value = way.known.json();
                value["other_unit"] = way.other_unit.json();
                value["unseen_unnamed"] = json!(rounded(way.unseen.unnamed));
                value["unseen_unnamed_by_type"] = json!(rounded(way.unseen.unnamed_by_type));
                value["unseen_above_0.9"] = json!(rounded(way.unseen.surely_named));
                (way.view.name(), value)
            })
            .collect();
        let alone: Map<String, Value> = self
            .alone
            .iter()
            .map(|one| (one.protocol.to_owned(), one.score.json()))
            .collect();
        json!({
            "seeds": self.seeds,
            "folds": self.folds,
            "ways": ways,
            "alone": alone,
            "recog": self.recog.map(|recog| json!({
                "fingerprints": recog.fingerprints,
                "examples": recog.examples,
                "passed": recog.passed,
            })),
        })
    }
}

impl Unseen {
    fn of(answers: &[Answered]) -> Self {
        let mut by_type: BTreeMap<&SmolStr, (usize, usize)> = BTreeMap::new();
        let mut taken_for = BTreeMap::new();
        for answer in answers {
            let (all, unnamed) = by_type.entry(&answer.truth).or_default();
            *all += 1;
            match &answer.named {
                None => *unnamed += 1,
                Some(named) => {
                    *taken_for
                        .entry((answer.truth.clone(), named.clone()))
                        .or_default() += 1;
                }
            }
        }
        let unnamed = answers.iter().filter(|a| a.named.is_none()).count();
        let surely = answers
            .iter()
            .filter(|answer| answer.named.is_some() && answer.confidence > 0.9)
            .count();
        let shares: Vec<f64> = by_type
            .values()
            .map(|(all, unnamed)| share(*unnamed, *all))
            .collect();
        Self {
            unnamed: share(unnamed, answers.len()),
            unnamed_by_type: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
            surely_named: share(surely, answers.len()),
            taken_for,
        }
    }
}

impl Alone {
    fn measure(labelled: &[Labelled], protocol: &'static str, seed: u64) -> Result<Self> {
        let mut only = labelled.to_vec();
        for one in &mut only {
            one.evidence.retain(|piece| group(piece.kind) == protocol);
        }
        // Of names nothing is left when they are rewritten.
        let view = View::AsItCame;
        let answers = trial::run(&trial::folds(&only, seed, 3), &[view])?;
        Ok(Self {
            protocol,
            captures: only.iter().filter(|one| !one.evidence.is_empty()).count(),
            score: Score::of(answers.get(&view).map_or(&[][..], Vec::as_slice)),
        })
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn missed(answers: &[Answered]) -> BTreeMap<(SmolStr, Option<SmolStr>), usize> {
    let mut out = BTreeMap::new();
    for answer in answers.iter().filter(|answer| !answer.right()) {
        *out.entry((answer.truth.clone(), answer.named.clone()))
            .or_default() += 1;
    }
    out
}

/// The protocols that are seen, the most frequent first. An address block is never learnt.
fn protocols(labelled: &[Labelled]) -> Vec<&'static str> {
    let mut count: BTreeMap<&'static str, usize> = BTreeMap::new();
    for one in labelled {
        for piece in &one.evidence {
            *count.entry(group(piece.kind)).or_default() += 1;
        }
    }
    let mut protocols: Vec<_> = count
        .into_iter()
        .filter(|(_, count)| *count >= 30)
        .collect();
    protocols.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    protocols.into_iter().map(|(name, _)| name).collect()
}
