//! Learning from some captures and asking about others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use inventory::Knowledge;
use inventory::learn::{self, LearnError, Options};
use smol_str::SmolStr;

use crate::captures::Labelled;
use crate::score::Answered;
use crate::view::View;

/// One pack and what it is asked.
pub(crate) struct Trial<'a> {
    pub(crate) learnt_from: Vec<&'a Labelled>,
    pub(crate) asked: Vec<&'a Labelled>,
}

/// Answers by the way of showing.
pub(crate) type Answers = BTreeMap<View, Vec<Answered>>;

/// Every capture asked once, of a pack learnt from the other folds.
pub(crate) fn folds(labelled: &[Labelled], seed: u64, folds: usize) -> Vec<Trial<'_>> {
    let order = shuffled(labelled.len(), seed);
    (0..folds)
        .map(|fold| {
            let (mut learnt_from, mut asked) = (Vec::new(), Vec::new());
            for (at, index) in order.iter().enumerate() {
                if at % folds == fold {
                    asked.push(&labelled[*index]);
                } else {
                    learnt_from.push(&labelled[*index]);
                }
            }
            Trial { learnt_from, asked }
        })
        .collect()
}

/// What `apart` tells of each capture: those of which it is true are asked of a pack learnt from the others.
pub(crate) fn left_out(labelled: &[Labelled], apart: impl Fn(&Labelled) -> bool) -> Trial<'_> {
    let (asked, learnt_from) = labelled.iter().partition(|one| apart(one));
    Trial { learnt_from, asked }
}

/// Every type asked once, of a pack that never heard of it.
pub(crate) fn types_left_out<'a>(
    labelled: &'a [Labelled],
    types: impl Iterator<Item = &'a SmolStr>,
) -> Vec<Trial<'a>> {
    types
        .map(|label| left_out(labelled, |one| one.label == *label))
        .collect()
}

/// Runs trials, one on each core at a time, and gathers their answers in the order of the trials.
pub(crate) fn run(trials: &[Trial<'_>], views: &[View]) -> Result<Answers> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Answers>>>> =
        Mutex::new(trials.iter().map(|_| None).collect());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(trials.len()) {
            scope.spawn(|| {
                while let Some((at, trial)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    trials.get(at).map(|trial| (at, trial))
                } {
                    let answers = one(trial, views);
                    done.lock().expect("no trial panics with it")[at] = Some(answers);
                }
            });
        }
    });
    let mut all = Answers::new();
    let done = done.into_inner().expect("no trial panics with it");
    for answers in done.into_iter().flatten() {
        for (view, answers) in answers? {
            all.entry(view).or_default().extend(answers);
        }
    }
    Ok(all)
}

fn one(trial: &Trial<'_>, views: &[View]) -> Result<Answers> {
    let examples = trial
        .learnt_from
        .iter()
        .map(|one| (one.label.clone(), one.evidence.clone()));
    // As `asepsis discover --fingerprints PACK` knows it.
    let knowledge = match learn::learn(examples, &Options::default()) {
        Ok(pack) => Arc::new(Knowledge::hospital().with_pack(pack)),
        // An address block, for one, is never learnt: then only what ships with the program knows something.
        Err(LearnError::Nothing) => Knowledge::hospital(),
        Err(other) => return Err(other.into()),
    };
    let mut answers = Answers::new();
    for view in views {
        let of = (1..)
            .zip(&trial.asked)
            .map(|(seed, one)| {
                let found = knowledge.identify(&view.of(&one.evidence, seed));
                Answered {
                    truth: one.label.clone(),
                    named: found.kind,
                    confidence: f64::from(found.confidence),
                }
            })
            .collect();
        answers.insert(*view, of);
    }
    Ok(answers)
}

/// The numbers below `count` in an order that a seed decides (SplitMix64, Fisher-Yates).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // INVARIANT: the remainder is at most `at`.
        order.swap(at, (mixed % (at as u64 + 1)) as usize);
    }
    order
}
