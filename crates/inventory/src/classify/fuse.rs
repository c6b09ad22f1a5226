//! Adds claims up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use domain::EvidenceKind;
use smol_str::{SmolStr, format_smolstr};

use super::settle;
use crate::fingerprint::{Claim, UNVERIFIED_MAX};
use crate::identification::{Contradiction, Identification};
use crate::learn::{self, Answer};
use crate::taxonomy::{self, DeviceType};

/// Thousandths of a bit.
type Millibits = i64;

/// Most bits for one hypothesis.
const SUM_MAX: Millibits = 20_000;
/// Odds, in bits, of something not in any pack where the packs explain nothing of what is seen.
const STRANGER: f64 = 1.5;
/// Bits from which two claims that cannot both be right are a contradiction.
const STRONG: Millibits = 2_400;
/// Bits by which the answer must lead the next one.
const MARGIN: Millibits = 1_000;
/// Bits by which the answer must lead a contradicting one.
const MARGIN_CONTRADICTED: Millibits = 3_000;
/// Bits from which a special type is preferred over the general one it runs on.
const SPECIAL: Millibits = 550;
/// Least probability of an answer.
const ANSWER_MIN: f32 = 0.5;
/// Certainty from which one model's name is as good as another.
const SURE: f32 = 0.85;
/// Least certainty of a maker's claim that is shown where it is all there is.
const VENDOR_MIN: f32 = 0.6;

/// Claims about one device.
#[derive(Default)]
pub(super) struct Fusion {
    seen: BTreeMap<usize, EvidenceKind>,
    claims: Vec<Said>,
    learnt: Vec<(Answer, Vec<usize>)>,
}

/// A claim with where it comes from.
struct Said {
    at: Option<usize>,
    group: &'static str,
    confirmed: bool,
    claim: Claim,
}

/// Bits for one hypothesis, by protocol.
#[derive(Default)]
struct Tally {
    all: BTreeMap<&'static str, Vec<Millibits>>,
    verified: BTreeMap<&'static str, Vec<Millibits>>,
    rows: BTreeSet<usize>,
    confirmed: bool,
}

impl Tally {
    fn add(&mut self, said: &Said, certainty: f32) {
        let bits = millibits(certainty);
        self.all.entry(said.group).or_default().push(bits);
        if said.claim.verified {
            self.verified.entry(said.group).or_default().push(bits);
        }
        self.rows.extend(said.at);
        self.confirmed |= said.confirmed;
    }
}

/// Bits of a certainty: log2 of its odds.
fn millibits(certainty: f32) -> Millibits {
    let certainty = f64::from(certainty.clamp(0.51, 0.999));
    // INVARIANT: the clamp keeps it below 10,000.
    (1_000.0 * (certainty / (1.0 - certainty)).log2()).round() as Millibits
}

/// Bits of what goes together: the whole of the strongest, half of the next, a third of the one after it.
fn sum(groups: &BTreeMap<&'static str, Vec<Millibits>>) -> Millibits {
    let mut total = 0;
    for bits in groups.values() {
        let mut bits = bits.clone();
        bits.sort_unstable_by_key(|bits| Reverse(*bits));
        total += (1..)
            .zip(bits)
            .map(|(rank, bits)| bits / rank)
            .sum::<Millibits>();
    }
    total.min(SUM_MAX)
}

fn odds(bits: Millibits) -> f64 {
    // INVARIANT: at most `SUM_MAX`.
    (bits as f64 / 1_000.0).exp2()
}

/// A probability in steps of 1/1000, so that it is the same everywhere.
fn rounded(probability: f64) -> f32 {
    ((probability * 1_000.0).round() / 1_000.0) as f32
}

/// How much a kind of evidence matters for the share that is explained.
fn matters(kind: EvidenceKind) -> u32 {
    use EvidenceKind as E;
    match kind {
        E::Uses | E::TcpSyn | E::TcpSynAck | E::MulticastGroup | E::TlsServer => 1,
        E::DnsQuery
        | E::Serves
        | E::TlsServerName
        | E::HttpHost
        | E::MdnsQuery
        | E::SsdpSearch
        | E::TlsJa4 => 2,
        E::DhcpClientId
        | E::DhcpOptions
        | E::DhcpSubnet
        | E::DicomOperation
        | E::Hl7Message
        | E::Hl7Facility
        | E::RegisterId
        | E::RegisterName
        | E::RegisterPlace
        | E::RegisterSerial
        | E::RegisterState
        | E::RegisterUdi
        | E::SnmpRole
        | E::NtlmDomain
        | E::WsdEndpoint
        | E::Dhcp6Duid
        | E::BacnetInstance => 0,
        _ => 4,
    }
}

fn can_be_one(one: &str, other: &str) -> bool {
    match (taxonomy::device_type(one), taxonomy::device_type(other)) {
        (Some(one), Some(other)) => taxonomy::compatible(one, other),
        _ => one == other,
    }
}

/// Whether evidence for a type leaves room for a category: it is the type's own, or devices of it run on such a type.
fn leaves_room(kind: &DeviceType, category: &str) -> bool {
    kind.category == category
        || taxonomy::TYPES
            .iter()
            .any(|other| other.category == category && taxonomy::is_platform_of(kind, other))
}

impl Fusion {
    pub(super) fn seen(&mut self, at: usize, kind: EvidenceKind) {
        self.seen.insert(at, kind);
    }

    pub(super) fn add(&mut self, at: usize, kind: EvidenceKind, claim: Claim) {
        self.claims.push(Said {
            at: Some(at),
            group: learn::group(kind),
            confirmed: kind == EvidenceKind::Confirmed,
            claim,
        });
    }

    /// Adds what a learnt pack answers; `order` lists the evidence as it was given to it.
    pub(super) fn learnt(&mut self, answer: Answer, order: &[usize]) {
        self.learnt.push((answer, order.to_vec()));
    }

    fn explained(&self) -> f32 {
        let explained: BTreeSet<usize> = self
            .claims
            .iter()
            .filter(|said| !said.claim.is_empty())
            .filter_map(|said| said.at)
            .collect();
        let weigh = |of: &dyn Fn(&usize) -> bool| -> u32 {
            self.seen
                .iter()
                .filter(|(at, _)| of(at))
                .map(|(_, kind)| matters(*kind))
                .sum()
        };
        let all = weigh(&|_| true);
        if all == 0 {
            return 0.0;
        }
        rounded(f64::from(weigh(&|at| explained.contains(at))) / f64::from(all))
    }

    /// What it all makes of the device.
    pub(super) fn answer(mut self, own_words: bool) -> Identification {
        if !own_words {
            for (answer, _) in &self.learnt {
                if answer.named {
                    self.claims.push(Said {
                        at: None,
                        group: "learnt",
                        confirmed: false,
                        claim: Claim {
                            kind: Some(answer.label.clone()),
                            certainty: answer.confidence as f32,
                            category_certainty: answer.confidence as f32,
                            verified: true,
                            ..Claim::default()
                        },
                    });
                }
            }
        }
        let explained = self.explained();
        let stranger = (STRANGER * f64::from(1.0 - explained)).exp2();
        let kinds = self.kinds();
        let categories = self.categories();
        let choice = choose(&kinds, stranger);
        let (mut kind, mut confidence) = match &choice {
            Some(choice) => (
                choice.named.then(|| choice.kind.clone()),
                choice.probability,
            ),
            None => (None, 0.0),
        };
        let mut contradictions = contradictions(&kinds, &categories, choice.as_ref());
        let own = own_words.then(|| self.own_words()).flatten();
        if own_words {
            (kind, confidence) = match &own {
                Some(answer) if answer.named => {
                    (Some(answer.label.clone()), answer.confidence as f32)
                }
                _ => (None, 0.0),
            };
            // The types of other packs are not what is asked for here.
            contradictions.retain(|contradiction| contradiction.about != "type");
        }
        let known = kind.as_deref().and_then(taxonomy::device_type);
        let category = match known {
            Some(kind) => Some((SmolStr::new_static(kind.category), confidence)),
            None => best_category(&categories, stranger),
        };
        if kind.is_none() {
            confidence = category
                .as_ref()
                .map_or(0.0, |(_, probability)| *probability);
        }
        let category = category.map(|(category, _)| category);
        let explained = self
            .learnt
            .iter()
            .map(|(answer, _)| rounded(answer.explained))
            .fold(explained, f32::max);
        let vendor = self.vendor();
        let model = self.fullest(
            |claim| claim.model.as_ref(),
            |certainty| Millibits::from(certainty >= SURE),
        );
        let os = self.fullest(|claim| claim.os.as_ref(), millibits);
        let rows = self.rows(kind.as_deref(), category.as_deref(), own_words);
        // What nobody has checked never says how things around a device may fail: without this it counts as unknown.
        let checked = confidence > UNVERIFIED_MAX;
        let named = kind.is_some() || category.is_some();
        let criticality = if checked && named && contradictions.is_empty() {
            Some(taxonomy::criticality(
                kind.as_deref(),
                category.as_deref(),
                false,
            ))
        } else {
            None
        };
        let settle = settle::settle(&settle::Open {
            seen: &self.seen,
            kind: kind.as_deref(),
            category: category.as_deref(),
            confidence,
            unverified: choice.as_ref().is_some_and(|choice| choice.unverified),
            rival: match &own {
                Some(answer) => answer.rival.clone(),
                None => choice.as_ref().and_then(|choice| choice.rival.clone()),
            },
            near: own
                .as_ref()
                .filter(|answer| !answer.named && answer.conflicting)
                .map(|answer| answer.label.clone()),
            contradictions: &contradictions,
        });
        Identification {
            abstained: kind.is_none(),
            category,
            kind,
            vendor,
            model,
            os,
            confidence,
            contradictions,
            explained,
            rows,
            settle,
            criticality,
        }
    }

    /// The best answer of the learnt packs.
    fn own_words(&self) -> Option<Answer> {
        self.learnt
            .iter()
            .map(|(answer, _)| answer)
            .max_by(|a, b| {
                (a.named, a.confidence)
                    .partial_cmp(&(b.named, b.confidence))
                    .unwrap_or(std::cmp::Ordering::Equal)
                    .then_with(|| b.label.cmp(&a.label))
            })
            .cloned()
    }

    fn kinds(&self) -> BTreeMap<SmolStr, Tally> {
        let mut kinds: BTreeMap<SmolStr, Tally> = BTreeMap::new();
        for said in &self.claims {
            if let Some(kind) = &said.claim.kind {
                kinds
                    .entry(kind.clone())
                    .or_default()
                    .add(said, said.claim.certainty);
            }
        }
        kinds
    }

    /// Bits for each category; those of general types count for `computer` and the like without speaking against others.
    fn categories(&self) -> BTreeMap<SmolStr, (Tally, Vec<&'static DeviceType>)> {
        let mut categories: BTreeMap<SmolStr, (Tally, Vec<&'static DeviceType>)> = BTreeMap::new();
        for said in &self.claims {
            let kind = said.claim.kind.as_deref().and_then(taxonomy::device_type);
            let named = match (&said.claim.category, kind) {
                (Some(category), _) => Some((category.clone(), said.claim.category_certainty)),
                (None, Some(kind)) => {
                    Some((SmolStr::new_static(kind.category), said.claim.certainty))
                }
                (None, None) => None,
            };
            if let Some((category, certainty)) = named {
                let (tally, types) = categories.entry(category).or_default();
                tally.add(said, certainty);
                types.extend(kind);
            }
        }
        categories
    }

    fn vendor(&self) -> Option<SmolStr> {
        let mut vendors: BTreeMap<&SmolStr, (Tally, f32)> = BTreeMap::new();
        for said in &self.claims {
            if let Some(vendor) = &said.claim.vendor {
                let (tally, most) = vendors.entry(vendor).or_default();
                // What a device or a register calls its maker is surer than who made the interface.
                let certainty = match said.group {
                    "mac" => said.claim.category_certainty.min(0.8),
                    _ => said.claim.certainty.max(0.85),
                };
                tally.add(said, certainty);
                *most = most.max(certainty);
            }
        }
        vendors
            .into_iter()
            .filter(|(_, (_, most))| *most >= VENDOR_MIN)
            .max_by_key(|(name, (tally, _))| (sum(&tally.all), Reverse((*name).clone())))
            .map(|(name, _)| name.clone())
    }

    /// The surest value, among equals the longest.
    fn fullest(
        &self,
        of: impl Fn(&Claim) -> Option<&SmolStr>,
        sure: impl Fn(f32) -> Millibits,
    ) -> Option<SmolStr> {
        self.claims
            .iter()
            .filter_map(|said| {
                let value = of(&said.claim)?;
                Some((
                    said.confirmed,
                    sure(said.claim.certainty),
                    value.len(),
                    Reverse(value),
                ))
            })
            .max()
            .map(|(_, _, _, Reverse(value))| value.clone())
    }

    fn rows(
        &self,
        kind: Option<&str>,
        category: Option<&str>,
        own_words: bool,
    ) -> Vec<(usize, SmolStr, f32)> {
        let mut rows: BTreeMap<usize, (Vec<SmolStr>, f64)> = BTreeMap::new();
        for said in &self.claims {
            let Some(at) = said.at else { continue };
            let (says, weight) = rows.entry(at).or_default();
            let text = said.claim.says();
            if !text.is_empty() && !says.contains(&text) {
                says.push(text);
            }
            if !own_words {
                *weight += weight_for(&said.claim, kind, category);
            }
        }
        for (answer, order) in &self.learnt {
            for (at, bits) in order.iter().zip(&answer.weights) {
                if bits.abs() < 0.1 {
                    continue;
                }
                let (says, weight) = rows.entry(*at).or_default();
                let text = if *bits > 0.0 {
                    format_smolstr!("type={}", answer.label)
                } else {
                    format_smolstr!("unlike type={}", answer.label)
                };
                if !says.contains(&text) {
                    says.push(text);
                }
                if own_words || kind == Some(answer.label.as_str()) {
                    *weight += bits;
                }
            }
        }
        rows.into_iter()
            .filter(|(_, (says, _))| !says.is_empty())
            .map(|(at, (says, weight))| {
                let weight = (weight * 1_000.0).round() / 1_000.0;
                (at, SmolStr::from(says.join("; ")), weight as f32)
            })
            .collect()
    }
}

/// Bits of one claim for an answer.
fn weight_for(claim: &Claim, kind: Option<&str>, category: Option<&str>) -> f64 {
    let bits = |certainty: f32| millibits(certainty) as f64 / 1_000.0;
    match (&claim.kind, kind) {
        (Some(said), Some(answer)) if said == answer => bits(claim.certainty),
        (Some(said), Some(answer)) if can_be_one(said, answer) => 0.0,
        (Some(_), Some(_)) => -bits(claim.certainty),
        _ => {
            let said = claim.category.as_deref().or_else(|| {
                claim
                    .kind
                    .as_deref()
                    .and_then(taxonomy::device_type)
                    .map(|kind| kind.category)
            });
            match (said, category) {
                (Some(said), Some(answer)) if said == answer => bits(claim.category_certainty),
                (Some(said), Some(_)) if said != "computer" => -bits(claim.category_certainty),
                _ => 0.0,
            }
        }
    }
}

/// The type that fits best.
struct Choice {
    kind: SmolStr,
    probability: f32,
    named: bool,
    unverified: bool,
    rival: Option<SmolStr>,
}

fn choose(kinds: &BTreeMap<SmolStr, Tally>, stranger: f64) -> Option<Choice> {
    let sums: BTreeMap<&SmolStr, (Millibits, Millibits)> = kinds
        .iter()
        .map(|(kind, tally)| (kind, (sum(&tally.all), sum(&tally.verified))))
        .collect();
    let probability = |kind: &SmolStr, own: Millibits| {
        let rivals: f64 = sums
            .iter()
            .filter(|(other, _)| !can_be_one(kind, other))
            .map(|(_, (bits, _))| odds(*bits))
            .sum();
        odds(own) / (odds(own) + stranger + rivals)
    };
    let best_of = |allowed: &dyn Fn(&str) -> bool| {
        sums.iter()
            .filter(|(kind, (bits, _))| allowed(kind) && *bits > 0)
            .max_by_key(|(kind, (bits, _))| (*bits, Reverse((**kind).clone())))
            .map(|(kind, (bits, verified))| ((*kind).clone(), *bits, *verified))
    };
    let (mut kind, mut bits, mut verified) = best_of(&|_| true)?;
    // What runs on the best type is preferred to it, as long as anything speaks for it.
    for _ in 0..4 {
        let Some(general) = taxonomy::device_type(&kind) else {
            break;
        };
        let special = best_of(&|other: &str| {
            taxonomy::device_type(other)
                .is_some_and(|other| taxonomy::is_platform_of(general, other))
        });
        match special {
            Some((special, special_bits, special_verified)) if special_bits >= SPECIAL => {
                (kind, bits, verified) = (special, special_bits, special_verified);
            }
            _ => break,
        }
    }
    let rival = best_of(&|other: &str| !can_be_one(&kind, other));
    let all = rounded(probability(&kind, bits));
    let sure = if verified > 0 {
        rounded(probability(&kind, verified))
    } else {
        0.0
    };
    let probability = sure.max(all.min(UNVERIFIED_MAX));
    let lead = rival
        .as_ref()
        .map_or(Millibits::MAX, |(_, other, _)| bits - other);
    let confirmed = kinds.get(&kind).is_some_and(|tally| tally.confirmed);
    let opposed = rival
        .as_ref()
        .and_then(|(other, _, _)| kinds.get(other).zip(kinds.get(&kind)))
        .is_some_and(|(other, own)| contradicts(own, other));
    let margin = if opposed { MARGIN_CONTRADICTED } else { MARGIN };
    Some(Choice {
        named: confirmed || (probability >= ANSWER_MIN && lead >= margin),
        unverified: sure < all && sure < UNVERIFIED_MAX,
        rival: rival.filter(|_| lead < margin).map(|(kind, _, _)| kind),
        kind,
        probability,
    })
}

/// Whether strong verified claims of different protocols stand on both sides.
fn contradicts(one: &Tally, other: &Tally) -> bool {
    if one.confirmed || other.confirmed {
        return false;
    }
    let strong = |tally: &Tally| sum(&tally.verified) >= STRONG;
    strong(one)
        && strong(other)
        && other
            .verified
            .keys()
            .any(|group| !one.verified.contains_key(group))
}

fn contradictions(
    kinds: &BTreeMap<SmolStr, Tally>,
    categories: &BTreeMap<SmolStr, (Tally, Vec<&'static DeviceType>)>,
    choice: Option<&Choice>,
) -> Vec<Contradiction> {
    let mut out = Vec::new();
    let contradiction =
        |about: &'static str, one: &str, other: &str, ours: &Tally, theirs: &Tally| Contradiction {
            about: SmolStr::new_static(about),
            one: one.into(),
            other: other.into(),
            one_rows: ours.rows.iter().copied().collect(),
            other_rows: theirs.rows.iter().copied().collect(),
        };
    if let Some(choice) = choice
        && let Some(own) = kinds.get(&choice.kind)
    {
        for (other, tally) in kinds {
            if !can_be_one(&choice.kind, other) && contradicts(own, tally) {
                out.push(contradiction("type", &choice.kind, other, own, tally));
            }
        }
    }
    // A category that only a maker's name claims, against a type of another.
    for (one, (own, own_types)) in categories {
        if own.confirmed {
            return Vec::new();
        }
        for (other, (tally, types)) in categories {
            let stands_apart = one != other
                && !types.is_empty()
                && types.iter().all(|kind| !leaves_room(kind, one))
                && own_types.iter().all(|kind| !leaves_room(kind, other));
            let told = out.iter().any(|known| {
                known.about == "type" && known.other_rows.iter().any(|row| own.rows.contains(row))
            });
            if stands_apart && !told && contradicts(own, tally) {
                let already = out
                    .iter()
                    .any(|known: &Contradiction| known.one == *other && known.other == *one);
                if !already {
                    out.push(contradiction("category", one, other, own, tally));
                }
            }
        }
    }
    out.truncate(8);
    out
}

/// The category that fits best.
fn best_category(
    categories: &BTreeMap<SmolStr, (Tally, Vec<&'static DeviceType>)>,
    stranger: f64,
) -> Option<(SmolStr, f32)> {
    categories
        .iter()
        .map(|(category, (tally, _))| {
            let rivals: f64 = categories
                .iter()
                .filter(|(other, (_, types))| {
                    *other != category
                        && (types.is_empty()
                            || types.iter().any(|kind| !leaves_room(kind, category)))
                })
                .map(|(_, (tally, _))| odds(sum(&tally.all)))
                .sum();
            let probability = |bits: Millibits| {
                let own = odds(bits);
                rounded(own / (own + stranger + rivals))
            };
            let verified = sum(&tally.verified);
            let sure = if verified > 0 {
                probability(verified)
            } else {
                0.0
            };
            let all = probability(sum(&tally.all)).min(UNVERIFIED_MAX);
            // Where a general type's category and a special one fit, the special one says more.
            let general = category == "computer";
            (category.clone(), sure.max(all), general)
        })
        .filter(|(_, probability, _)| *probability >= ANSWER_MIN)
        .max_by(|a, b| {
            (!a.2)
                .cmp(&!b.2)
                .then(a.1.total_cmp(&b.1))
                .then_with(|| b.0.cmp(&a.0))
        })
        .map(|(category, probability, _)| (category, probability))
}
