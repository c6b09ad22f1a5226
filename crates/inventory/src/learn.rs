//! Learning a pack from labelled devices.
//!
//! What is learnt of a label is which features its devices show (see `feature`), per variant of hardware or firmware.
//! An answer is the label that fits best, and a probability that it is right: log-odds of what was seen and of what was
//! expected and not seen, each protocol's share bounded since its parts go together; the share of what was seen that the
//! label explains; the distance to the next label; and whether the device names another model. How these make a
//! probability is measured by holding out devices and, in turn, whole labels (`calibrate`), as they came, without the
//! names of single units, and with other firmware. So a stranger is left unnamed rather than given the nearest name.
//!
//! An address, its block, a serial number and the network of the house are never learnt.
//!
//! A pack holds at most [`LABELS_MAX`] labels, [`VARIANTS_MAX`] variants of each and [`FEATURES_MAX`] features of each.

mod calibrate;
mod feature;
mod file;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::evidence::Evidence;
use crate::fingerprint::Pack;
use calibrate::{Calibration, Shape, Trial};
use feature::Part;
use model::{Label, Variant};

pub use feature::Feature;
pub(crate) use feature::group;
pub use model::{Answer, Learned};

/// Most labels of a pack.
pub const LABELS_MAX: usize = 2_000;

/// Most variants of a label.
pub const VARIANTS_MAX: usize = 8;

/// Most features of a variant.
pub const FEATURES_MAX: usize = 400;

/// Most labels that are left out in turn to see how strangers look.
const LEFT_OUT_MAX: usize = 64;

/// How to learn.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of the pack.
    pub name: SmolStr,
    /// Parts that devices are divided into to measure how sure an answer is.
    pub folds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: SmolStr::new_static("learnt"),
            folds: 5,
        }
    }
}

/// Why nothing can be learnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// Nothing labelled shows anything that could be learnt.
    #[error(
        "nothing to learn from: no labelled device shows evidence; do the addresses in the labels occur in the captures?"
    )]
    Nothing,
    /// Too many labels.
    #[error(
        "{0} labels are too many: a pack has at most {LABELS_MAX}; label by type rather than by unit"
    )]
    TooManyLabels(usize),
}

/// Learns a pack from labelled devices: a label and the evidence of one device each. The same devices in any order make
/// the same pack.
///
/// # Errors
/// When there is nothing to learn from.
pub fn learn(
    labelled: impl Iterator<Item = (SmolStr, Vec<Evidence>)>,
    options: &Options,
) -> Result<Pack, LearnError> {
    let mut examples: Vec<Example> = labelled
        .map(|(label, evidence)| Example {
            label,
            features: feature::features(&evidence),
        })
        .filter(|example| !example.features.is_empty())
        .collect();
    if examples.is_empty() {
        return Err(LearnError::Nothing);
    }
    examples.sort_unstable();
    let labels: BTreeSet<&SmolStr> = examples.iter().map(|example| &example.label).collect();
    if labels.len() > LABELS_MAX {
        return Err(LearnError::TooManyLabels(labels.len()));
    }
    let calibration = Calibration::fit(&trials(&examples, &labels, options.folds.clamp(2, 50)));
    let learned = model(examples.iter(), calibration);
    Ok(Pack::learned(&options.name, learned))
}

/// A labelled device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Example {
    label: SmolStr,
    features: BTreeSet<Feature>,
}

impl Example {
    /// It as it would look elsewhere, each with its weight among the trials: as it came; without the names and the
    /// address of this unit; with other firmware (another DHCP client, TCP stack and TLS library); and seen only in
    /// part, in two halves.
    fn elsewhere(&self) -> Vec<(BTreeSet<Feature>, f64)> {
        let conduct: BTreeSet<Feature> = self
            .features
            .iter()
            .filter(|feature| feature::part(feature.kind) == Part::Conduct)
            .cloned()
            .collect();
        let updated: BTreeSet<Feature> = conduct
            .iter()
            .map(|feature| match feature::of_system(feature.kind) {
                true => Feature {
                    kind: feature.kind,
                    value: SmolStr::new_static(feature::NEW),
                },
                false => feature.clone(),
            })
            .collect();
        let half = |parity: usize| -> BTreeSet<Feature> {
            conduct
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 2 == parity)
                .map(|(_, feature)| feature.clone())
                .collect()
        };
        vec![
            (self.features.clone(), 1.0),
            (updated, 0.5),
            (half(0), 0.05),
            (half(1), 0.05),
            (conduct, 1.0),
        ]
    }
}

/// Tries what examples teach on others: each held out once, and each label left out once.
fn trials(examples: &[Example], labels: &BTreeSet<&SmolStr>, folds: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut tried = |learned: &Learned, example: &Example, known: bool| {
        for (features, weight) in example.elsewhere() {
            let fits = learned.fits(&features);
            let Some(shape) = Shape::of(&fits) else {
                continue;
            };
            let right = fits
                .first()
                .is_some_and(|fit| learned.labels[fit.label].name == example.label);
            trials.push(Trial {
                shape,
                right: known && right,
                known,
                weight,
            });
        }
    };
    for fold in 0..folds {
        let learned = model(
            examples
                .iter()
                .enumerate()
                .filter(|(at, _)| at % folds != fold)
                .map(|(_, example)| example),
            Calibration::default(),
        );
        for example in examples.iter().skip(fold).step_by(folds) {
            let known = learned.labels().any(|(name, _)| *name == example.label);
            tried(&learned, example, known);
        }
    }
    let every = labels.len().div_ceil(LEFT_OUT_MAX).max(1);
    for label in labels.iter().step_by(every) {
        if labels.len() < 3 {
            break;
        }
        let learned = model(
            examples.iter().filter(|example| example.label != **label),
            Calibration::default(),
        );
        for example in examples.iter().filter(|example| example.label == **label) {
            tried(&learned, example, false);
        }
    }
    trials
}

/// What examples teach. They come sorted.
fn model<'a>(examples: impl Iterator<Item = &'a Example>, calibration: Calibration) -> Learned {
    let mut by_label: BTreeMap<&SmolStr, Vec<&BTreeSet<Feature>>> = BTreeMap::new();
    for example in examples {
        by_label
            .entry(&example.label)
            .or_default()
            .push(&example.features);
    }
    let labels = by_label
        .into_iter()
        .map(|(name, examples)| Label {
            name: name.clone(),
            variants: variants(examples),
        })
        .collect();
    Learned::new(labels, calibration)
}

/// Divides examples of one label into those that behave alike.
fn variants(mut examples: Vec<&BTreeSet<Feature>>) -> Vec<Variant> {
    // The fullest first, so that a short capture joins the variant of a long one.
    examples.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    let mut variants: Vec<Variant> = Vec::new();
    for example in examples {
        let best = variants
            .iter()
            .enumerate()
            .map(|(at, variant)| (overlap(variant, example), at))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let at = match best {
            Some((overlap, at)) if overlap >= 0.6 || variants.len() >= VARIANTS_MAX => at,
            _ => {
                variants.push(Variant::default());
                variants.len() - 1
            }
        };
        let variant = &mut variants[at];
        variant.examples += 1;
        for feature in example {
            *variant.seen.entry(feature.clone()).or_default() += 1;
        }
    }
    for variant in &mut variants {
        prune(variant);
    }
    variants
}

/// How much of an example a variant shows, of what is shorter.
fn overlap(variant: &Variant, example: &BTreeSet<Feature>) -> f64 {
    let weight = |feature: &Feature| match feature::part(feature.kind) {
        Part::Conduct => 1.0 - feature::common(feature),
        _ => 0.0,
    };
    let typical: Vec<&Feature> = variant
        .seen
        .iter()
        .filter(|(_, seen)| **seen * 2 >= variant.examples)
        .map(|(feature, _)| feature)
        .collect();
    let both: f64 = typical
        .iter()
        .filter(|feature| example.contains(**feature))
        .map(|feature| weight(feature))
        .sum();
    let one: f64 = typical.iter().map(|feature| weight(feature)).sum();
    let other: f64 = example.iter().map(weight).sum();
    let shorter = one.min(other);
    if shorter > 0.0 { both / shorter } else { 0.0 }
}

/// Leaves out what one example of many showed by chance, and the rarest beyond the bound.
fn prune(variant: &mut Variant) {
    if variant.examples >= 5 {
        variant
            .seen
            .retain(|feature, seen| *seen > 1 || feature::slot(feature).is_some());
    }
    if variant.seen.len() > FEATURES_MAX {
        let mut order: Vec<(u32, Feature)> = variant
            .seen
            .iter()
            .map(|(feature, seen)| (*seen, feature.clone()))
            .collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        order.truncate(FEATURES_MAX);
        variant.seen = order
            .into_iter()
            .map(|(seen, feature)| (feature, seen))
            .collect();
    }
}

#[cfg(test)]
mod tests;
