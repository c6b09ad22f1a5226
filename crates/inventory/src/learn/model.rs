//! What was learnt, and how well a device's evidence fits it.

use std::collections::{BTreeMap, BTreeSet};

use domain::EvidenceKind;
use smol_str::SmolStr;

use super::calibrate::{Calibration, Shape};
use super::feature::{self, Feature, Part, common, group, slot};
use crate::evidence::Evidence;

/// Bits that one feature counts at most for a label, and against it.
const FEATURE_FOR: f64 = 6.0;
const FEATURE_AGAINST: f64 = 4.0;
/// The same where an update may have changed it, or nobody has shown it before.
const CHANGED_AGAINST: f64 = 1.5;
/// Bits that all that an update replaces counts at most against a label: one update replaces it all at once.
const UPDATE_AGAINST: f64 = 4.0;
/// Weight, in bits, that values of the system which nobody has shown have at most among what was seen: likewise.
const UPDATE_SEEN: f64 = 3.0;
/// Bits that the absence of one expected feature counts at most against a label.
const ABSENT_AGAINST: f64 = 2.0;
/// Bits that the features of one protocol count at most, for they go together; and against a label.
const GROUP_BOUND: f64 = 8.0;
const GROUP_AGAINST: f64 = 5.0;
/// Bits that a second model in a slot counts against a label.
const CONFLICT: f64 = 8.0;
/// Labels that everything not learnt counts as, when a feature's share among strangers is estimated.
const STRANGERS: f64 = 4.0;
/// Share of devices of a label above which a feature is expected of the next one.
const EXPECTED: f64 = 0.5;
/// How much less an expected feature's absence counts where nothing of its kind was seen at all.
const UNSEEN_KIND: f64 = 0.3;
/// Letters that two names begin with in common before they count as names of two models of one maker.
const NAME_START: usize = 4;

/// Labelled devices of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) name: SmolStr,
    pub(super) variants: Vec<Variant>,
}

/// Devices of one label that behave alike: one hardware or firmware version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Variant {
    /// Number of labelled examples.
    pub(super) examples: u32,
    /// In how many of them a feature was seen.
    pub(super) seen: BTreeMap<Feature, u32>,
}

impl Label {
    fn examples(&self) -> u32 {
        self.variants.iter().map(|variant| variant.examples).sum()
    }
}

/// What was learnt from labelled devices.
#[derive(Clone, Debug)]
pub struct Learned {
    pub(super) labels: Vec<Label>,
    pub(super) calibration: Calibration,
    /// Sum over labels of the share of their examples that show a feature.
    sums: BTreeMap<Feature, f64>,
    /// Per label: the share of its examples that show a feature.
    shares: Vec<BTreeMap<Feature, f64>>,
    /// Per label: the features that fill its slots.
    slots: Vec<BTreeMap<Slot, BTreeSet<Feature>>>,
    /// Per label: the names that its devices go by.
    names: Vec<BTreeMap<EvidenceKind, Vec<SmolStr>>>,
    /// Which labels show a feature.
    shown_by: BTreeMap<Feature, Vec<usize>>,
}

type Slot = (EvidenceKind, SmolStr);

/// How well evidence fits one label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) label: usize,
    /// Log-odds in bits against a stranger.
    pub(super) bits: f64,
    /// Share of what was seen that the label explains, 0 to 1.
    pub(super) explained: f64,
    /// Share of what the label leads to expect that was seen, 0 to 1.
    pub(super) fulfilled: f64,
    /// Weight of what was seen, in bits.
    pub(super) seen: f64,
    /// Whether the label's devices name their model, and this one names none.
    pub(super) unconfirmed: bool,
    /// Number of slots that hold another model than the label's.
    pub(super) conflicts: u32,
}

/// What the learnt pack answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The label that fits best.
    pub label: SmolStr,
    /// Calibrated probability, 0 to 1, that it is right.
    pub confidence: f64,
    /// Whether that is enough to name it.
    pub named: bool,
    /// Share of what was seen that the label explains, 0 to 1.
    pub explained: f64,
    /// The label that fits second best, where it comes near.
    pub rival: Option<SmolStr>,
    /// Whether the evidence names another model than the label's.
    pub conflicting: bool,
    /// Per piece of evidence, in the order given: bits for the label.
    pub weights: Vec<f64>,
}

impl Learned {
    pub(super) fn new(labels: Vec<Label>, calibration: Calibration) -> Self {
        let mut sums: BTreeMap<Feature, f64> = BTreeMap::new();
        let mut shares = Vec::with_capacity(labels.len());
        let mut slots = Vec::with_capacity(labels.len());
        let mut names = Vec::with_capacity(labels.len());
        let mut shown_by: BTreeMap<Feature, Vec<usize>> = BTreeMap::new();
        for (at, label) in labels.iter().enumerate() {
            let examples = f64::from(label.examples().max(1));
            let mut share: BTreeMap<Feature, f64> = BTreeMap::new();
            for variant in &label.variants {
                for (feature, seen) in &variant.seen {
                    *share.entry(feature.clone()).or_default() += f64::from(*seen) / examples;
                }
            }
            let mut filled: BTreeMap<Slot, BTreeSet<Feature>> = BTreeMap::new();
            let mut named: BTreeMap<EvidenceKind, Vec<SmolStr>> = BTreeMap::new();
            for (feature, part) in &share {
                *sums.entry(feature.clone()).or_default() += part;
                shown_by.entry(feature.clone()).or_default().push(at);
                if feature::part(feature.kind) == Part::Name {
                    named
                        .entry(feature.kind)
                        .or_default()
                        .push(feature.value.clone());
                }
                if let Some(slot) = slot(feature) {
                    filled.entry(slot).or_default().insert(feature.clone());
                }
            }
            shares.push(share);
            slots.push(filled);
            names.push(named);
        }
        Self {
            labels,
            calibration,
            sums,
            shares,
            slots,
            names,
            shown_by,
        }
    }

    /// The labels, with the number of examples of each.
    pub fn labels(&self) -> impl Iterator<Item = (&SmolStr, u32)> {
        self.labels
            .iter()
            .map(|label| (&label.name, label.examples()))
    }

    /// Whether this value of evidence says anything to the pack.
    pub fn knows(&self, evidence: &Evidence) -> bool {
        let mut features = BTreeSet::new();
        feature::of_one(evidence, &mut features);
        features
            .iter()
            .any(|feature| self.sums.contains_key(feature))
    }

    /// Which label fits the evidence, and how surely. `None`: nothing to go by.
    pub fn answer(&self, evidence: &[Evidence]) -> Option<Answer> {
        let features = feature::features(evidence);
        let fits = self.fits(&features);
        let shape = Shape::of(&fits)?;
        let best = fits.first()?;
        let confidence = self.calibration.probability(&shape);
        let named = self.calibration.names(confidence);
        let weights = evidence
            .iter()
            .map(|one| {
                let mut own = BTreeSet::new();
                feature::of_one(one, &mut own);
                let bits: f64 = own
                    .iter()
                    .map(|feature| self.bits(best.label, feature))
                    .sum();
                bits.clamp(-GROUP_BOUND, GROUP_BOUND)
            })
            .collect();
        Some(Answer {
            label: self.labels[best.label].name.clone(),
            confidence,
            named,
            explained: best.explained,
            rival: fits
                .get(1)
                .filter(|second| second.bits > 0.0 && best.bits - second.bits < 4.0)
                .map(|second| self.labels[second.label].name.clone()),
            conflicting: best.conflicts > 0,
            weights,
        })
    }

    /// Probability that a device of none of a label's kind shows a feature.
    fn stranger(&self, label: usize, feature: &Feature) -> f64 {
        let all = self.sums.get(feature).copied().unwrap_or(0.0);
        let own = self.shares[label].get(feature).copied().unwrap_or(0.0);
        let others = self.labels.len().saturating_sub(1) as f64;
        ((all - own).max(0.0) + STRANGERS * common(feature)) / (others + STRANGERS)
    }

    /// Probability that a device of a label shows a feature: its variant's share, drawn towards the label's, and that
    /// towards a stranger's.
    fn own(&self, label: usize, variant: &Variant, feature: &Feature, stranger: f64) -> f64 {
        let examples = f64::from(self.labels[label].examples());
        let share = self.shares[label].get(feature).copied().unwrap_or(0.0);
        let of_label = (share * examples + stranger) / (examples + 1.0);
        let seen = f64::from(variant.seen.get(feature).copied().unwrap_or(0));
        (seen + of_label) / (f64::from(variant.examples) + 1.0)
    }

    /// Bits that one feature counts for a label, over all its variants.
    fn bits(&self, label: usize, feature: &Feature) -> f64 {
        if !self.counts(feature) {
            return 0.0;
        }
        let stranger = self.stranger(label, feature);
        let examples = f64::from(self.labels[label].examples());
        let share = self.shares[label].get(feature).copied().unwrap_or(0.0);
        let own = (share * examples + stranger) / (examples + 1.0);
        self.counted(feature, own, stranger)
    }

    fn counted(&self, feature: &Feature, own: f64, stranger: f64) -> f64 {
        let against = if feature::of_system(feature.kind) || !self.sums.contains_key(feature) {
            CHANGED_AGAINST
        } else {
            FEATURE_AGAINST
        };
        (own / stranger).log2().clamp(-against, FEATURE_FOR)
    }

    /// Whether a feature counts where it was never seen before: a new name or address says nothing.
    fn counts(&self, feature: &Feature) -> bool {
        self.sums.contains_key(feature) || feature::part(feature.kind) == Part::Conduct
    }

    /// Weight of a feature among what was seen, in bits: rare ones weigh more.
    fn weight(&self, feature: &Feature) -> f64 {
        if feature::part(feature.kind) != Part::Conduct {
            return 0.0;
        }
        use EvidenceKind as E;
        match self.sums.get(feature) {
            Some(sum) => self.rarity(*sum, feature),
            None => match feature.kind {
                E::Serves | E::Uses => 0.7,
                E::DnsQuery | E::HttpHost | E::TlsServerName => 2.0,
                kind if feature::of_system(kind) => 2.0,
                _ => FEATURE_FOR.min(-common(feature).log2()),
            },
        }
    }

    fn rarity(&self, sum: f64, feature: &Feature) -> f64 {
        let share = (sum + STRANGERS * common(feature)) / (self.labels.len() as f64 + STRANGERS);
        (-share.log2()).clamp(0.0, FEATURE_FOR)
    }

    /// How well features fit each label that shows any of them, the best first.
    pub(super) fn fits(&self, features: &BTreeSet<Feature>) -> Vec<Fit> {
        let candidates: BTreeSet<usize> = features
            .iter()
            .filter_map(|feature| self.shown_by.get(feature))
            .flatten()
            .copied()
            .collect();
        let kinds: BTreeSet<_> = features.iter().map(|feature| feature.kind).collect();
        let mut filled: BTreeMap<Slot, Vec<&Feature>> = BTreeMap::new();
        for feature in features {
            if let Some(slot) = slot(feature) {
                filled.entry(slot).or_default().push(feature);
            }
        }
        let mut weights: Vec<(&Feature, f64)> = features
            .iter()
            .map(|feature| (feature, self.weight(feature)))
            .collect();
        let updated: f64 = weights
            .iter()
            .filter(|(feature, _)| self.is_update(feature))
            .map(|(_, weight)| weight)
            .sum();
        if updated > UPDATE_SEEN {
            for (feature, weight) in &mut weights {
                if self.is_update(feature) {
                    *weight *= UPDATE_SEEN / updated;
                }
            }
        }
        let seen: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut fits: Vec<Fit> = candidates
            .into_iter()
            .map(|label| {
                let conflicts = self.conflicts(label, features, &filled);
                let unconfirmed = !self.slots[label].is_empty()
                    && !self.slots[label]
                        .keys()
                        .any(|slot| filled.contains_key(slot));
                let mut best: Option<Fit> = None;
                for variant in &self.labels[label].variants {
                    let (bits, fulfilled) = self.variant(label, variant, features, &kinds);
                    let explained: f64 = weights
                        .iter()
                        .map(|(feature, weight)| {
                            let share = variant.seen.get(*feature).map_or(0.0, |seen| {
                                f64::from(*seen) / f64::from(variant.examples.max(1))
                            });
                            weight * (share * 1.5).min(1.0)
                        })
                        .sum();
                    let fit = Fit {
                        label,
                        bits: bits - CONFLICT * f64::from(conflicts),
                        explained: if seen > 0.0 { explained / seen } else { 0.0 },
                        fulfilled,
                        seen,
                        unconfirmed,
                        conflicts,
                    };
                    if best.as_ref().is_none_or(|old| fit.bits > old.bits) {
                        best = Some(fit);
                    }
                }
                best.unwrap_or(Fit {
                    label,
                    bits: -GROUP_BOUND,
                    explained: 0.0,
                    fulfilled: 0.0,
                    seen,
                    unconfirmed,
                    conflicts,
                })
            })
            .collect();
        fits.sort_by(|a, b| b.bits.total_cmp(&a.bits).then(a.label.cmp(&b.label)));
        fits
    }

    /// Whether a value of the system was never shown before, as after an update.
    fn is_update(&self, feature: &Feature) -> bool {
        feature::of_system(feature.kind) && !self.sums.contains_key(feature)
    }

    /// Bits for a variant of a label, and the share of what it leads to expect that was seen.
    fn variant(
        &self,
        label: usize,
        variant: &Variant,
        features: &BTreeSet<Feature>,
        kinds: &BTreeSet<EvidenceKind>,
    ) -> (f64, f64) {
        let mut groups: BTreeMap<&'static str, f64> = BTreeMap::new();
        let mut system = 0.0;
        for feature in features {
            if !self.counts(feature) {
                continue;
            }
            let stranger = self.stranger(label, feature);
            let own = self.own(label, variant, feature, stranger);
            let bits = self.counted(feature, own, stranger);
            if bits < 0.0 && feature::of_system(feature.kind) {
                system += bits;
            } else {
                *groups.entry(group(feature.kind)).or_default() += bits;
            }
        }
        let updated: BTreeSet<EvidenceKind> = features
            .iter()
            .filter(|feature| self.is_update(feature))
            .map(|feature| feature.kind)
            .collect();
        let (mut expected, mut missed) = (0.0, 0.0);
        for (feature, seen) in &variant.seen {
            let share = f64::from(*seen) / f64::from(variant.examples.max(1));
            if share < EXPECTED || feature::part(feature.kind) != Part::Conduct {
                continue;
            }
            // What an update put in its place is counted already.
            if updated.contains(&feature.kind) && !features.contains(feature) {
                continue;
            }
            let shown = if kinds.contains(&feature.kind) {
                1.0
            } else {
                UNSEEN_KIND
            };
            let sum = self.sums.get(feature).copied().unwrap_or(0.0);
            let weight = self.rarity(sum, feature) * share * shown;
            expected += weight;
            if features.contains(feature) {
                continue;
            }
            missed += weight;
            let stranger = self.stranger(label, feature);
            let own = self.own(label, variant, feature, stranger);
            let bits = shown
                * ((1.0 - own) / (1.0 - stranger))
                    .log2()
                    .clamp(-ABSENT_AGAINST, 0.0);
            *groups.entry(group(feature.kind)).or_default() += bits;
        }
        let bits: f64 = groups
            .values()
            .map(|bits| bits.clamp(-GROUP_AGAINST, GROUP_BOUND))
            .sum();
        let bits = bits + system.max(-UPDATE_AGAINST);
        let fulfilled = if expected > 0.0 {
            1.0 - missed / expected
        } else {
            0.0
        };
        (bits, fulfilled)
    }

    /// Number of slots in which a device names another model than all of a label's do, its names included.
    fn conflicts(
        &self,
        label: usize,
        features: &BTreeSet<Feature>,
        filled: &BTreeMap<Slot, Vec<&Feature>>,
    ) -> u32 {
        let mut conflicts = 0;
        for (slot, own) in &self.slots[label] {
            if let Some(found) = filled.get(slot)
                && !found.iter().any(|feature| own.contains(*feature))
            {
                conflicts += 1;
            }
        }
        for (kind, own) in &self.names[label] {
            let found: Vec<&str> = features
                .iter()
                .filter(|feature| feature.kind == *kind)
                .map(|feature| feature.value.as_str())
                .collect();
            let same = found
                .iter()
                .any(|name| own.iter().any(|other| other == name));
            let alike = found
                .iter()
                .any(|name| own.iter().any(|other| alike(name, other)));
            if !same && alike {
                conflicts += 1;
            }
        }
        conflicts
    }
}

/// Whether two names begin alike, as those of two models of one maker do: `dch-s150` and `dch-s220`.
fn alike(one: &str, other: &str) -> bool {
    let start = one
        .chars()
        .zip(other.chars())
        .take_while(|(a, b)| a == b && *a != '#')
        .count();
    start >= NAME_START && one.chars().chain(other.chars()).any(|c| c.is_ascii_digit())
}
