//! What one row says of one thing.

use std::fmt::Write as _;

use smol_str::SmolStr;

use super::index::Product;
use crate::risk::names::{Likeness, likeness, product_words, vendor_key};
use crate::risk::row::{Affected, Name, Part, Vulnerability};
use crate::risk::subject::{Subject, Thing};
use crate::risk::version::VersionRange;

/// What of the device is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Its model and firmware.
    Model,
    /// Its operating system.
    System,
    /// A program's banner.
    Program,
    /// A component of its bill of materials.
    Component,
}

/// What a row says.
#[derive(Clone, Debug)]
pub(super) enum Verdict<'a> {
    /// It applies.
    Yes {
        row: &'a Vulnerability,
        confidence: f32,
        /// Why, as the beginning of a sentence.
        says: SmolStr,
    },
    /// It names the thing; whether this version is affected cannot be told.
    Unknown,
    /// The version is outside its ranges, or it needs another platform.
    No,
    /// It says that this is not affected.
    Exonerated,
}

impl Verdict<'_> {
    /// Two rows about one vulnerability. A statement that it is not affected is the last word; a certain answer beats
    /// an uncertain one; of two that apply the surer is kept.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exonerated, _) | (_, Self::Exonerated) => Self::Exonerated,
            (
                Self::Yes {
                    row,
                    confidence,
                    says,
                },
                Self::Yes {
                    row: r,
                    confidence: c,
                    says: s,
                },
            ) => {
                if c > confidence {
                    Self::Yes {
                        row: r,
                        confidence: c,
                        says: s,
                    }
                } else {
                    Self::Yes {
                        row,
                        confidence,
                        says,
                    }
                }
            }
            // A row that does not know the version gives way to one that leaves it out.
            (Self::Yes { confidence, .. }, Self::No) | (Self::No, Self::Yes { confidence, .. })
                if confidence < UNSURE =>
            {
                Self::No
            }
            (yes @ Self::Yes { .. }, _) | (_, yes @ Self::Yes { .. }) => yes,
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }

    /// One row about two versions of one thing, of which it is not known which runs.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Yes {
                    row,
                    confidence,
                    says,
                },
                Self::Yes { confidence: c, .. },
            ) => Self::Yes {
                row,
                confidence: confidence.min(c),
                says,
            },
            (
                Self::Yes {
                    row,
                    confidence,
                    says,
                },
                _,
            )
            | (
                _,
                Self::Yes {
                    row,
                    confidence,
                    says,
                },
            ) => Self::Yes {
                row,
                confidence: (confidence * 0.45).min(UNSURE - 0.005),
                says: format!("{says}, but other versions are reported of it too").into(),
            },
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Exonerated, Self::Exonerated) => Self::Exonerated,
            _ => Self::No,
        }
    }
}

/// Above any confidence that a row without a matching version can give.
const UNSURE: f32 = 0.44;

/// How sure it is that a row's product is the thing, by name alone.
fn by_name(alike: Likeness, makers_known: bool) -> f32 {
    let base = match alike {
        Likeness::Same => 0.95,
        Likeness::Family => 0.85,
        Likeness::Narrower => 0.5,
        Likeness::Different => 0.0,
    };
    if makers_known { base } else { base * 0.6 }
}

/// How sure it is that a document's product is a model; `None`: it is not.
pub(super) fn likely(document: &Thing, model: &Thing) -> Option<f32> {
    let known = !document.vendor.is_empty() && !model.vendor.is_empty();
    if known && document.vendor != model.vendor {
        return None;
    }
    let alike = likeness(&document.words, &model.words);
    let telling = model.words.iter().any(|w| crate::risk::names::tells(w));
    if alike == Likeness::Different || (!known && (alike != Likeness::Same || !telling)) {
        return None;
    }
    Some(by_name(alike, known))
}

enum Version {
    Inside(SmolStr),
    All,
    Outside,
    NotAffected,
    Unknown,
}

fn version(affected: &Affected, thing: &Thing, builds: &[&str]) -> Version {
    let ours: Vec<&str> = match &thing.version {
        Some(version) => vec![version.as_str()],
        None => builds.to_vec(),
    };
    let all = |ranges: &[VersionRange]| ranges.contains(&VersionRange::ALL);
    if all(&affected.unaffected) && affected.ranges.is_empty() {
        return Version::NotAffected;
    }
    for v in &ours {
        if affected
            .unaffected
            .iter()
            .any(|r| r.contains(v) == Some(true))
        {
            return Version::NotAffected;
        }
    }
    if all(&affected.ranges) && affected.unaffected.is_empty() {
        return Version::All;
    }
    if affected.ranges.is_empty() || ours.is_empty() {
        return if affected.ranges.is_empty() && affected.versions_stated {
            Version::Outside
        } else {
            Version::Unknown
        };
    }
    let answers: Vec<Option<bool>> = ours
        .iter()
        .map(|v| {
            let each: Vec<Option<bool>> = affected.ranges.iter().map(|r| r.contains(v)).collect();
            if each.contains(&Some(true)) {
                Some(true)
            } else if affected.versions_stated && each.iter().all(|a| *a == Some(false)) {
                Some(false)
            } else {
                None
            }
        })
        .collect();
    if answers.iter().all(|a| *a == Some(true)) {
        Version::Inside(ours[0].into())
    } else if answers.iter().all(|a| *a == Some(false)) {
        Version::Outside
    } else {
        Version::Unknown
    }
}

/// Whether something that the row needs beside the product is here: `None`: not known.
fn platform(on: &[Name], subject: &Subject) -> Option<bool> {
    if on.is_empty() {
        return Some(true);
    }
    let mut unknown = false;
    for name in on {
        let things = match name.part {
            Part::Hardware => &subject.models,
            Part::System => {
                // Firmware is a system too: it belongs to the model.
                let key = (
                    vendor_key(&name.vendor),
                    product_words(&name.vendor, &name.product),
                );
                let here = subject.models.iter().chain(&subject.systems).any(|t| {
                    (t.vendor.is_empty() || key.0.is_empty() || t.vendor == key.0)
                        && likeness(&key.1, &t.words) > Likeness::Narrower
                });
                if here {
                    return Some(true);
                }
                unknown |= subject.systems.is_empty();
                continue;
            }
            Part::Program | Part::Unknown => {
                unknown = true;
                continue;
            }
        };
        unknown |= things.is_empty();
        let vendor = vendor_key(&name.vendor);
        let words = product_words(&name.vendor, &name.product);
        if things.iter().any(|t| {
            (t.vendor.is_empty() || vendor.is_empty() || t.vendor == vendor)
                && likeness(&words, &t.words) > Likeness::Different
        }) {
            return Some(true);
        }
    }
    if unknown { None } else { Some(false) }
}

/// Judges one row.
pub(super) fn judge<'a>(
    row: &'a Vulnerability,
    affected: &'a Affected,
    thing: &Thing,
    product: &Product<'_>,
    alike: Likeness,
    ground: Ground,
    subject: &Subject,
) -> Verdict<'a> {
    let makers_known = !product.vendor.is_empty() && !thing.vendor.is_empty();
    let mut confidence = by_name(alike, makers_known);
    match platform(&affected.on, subject) {
        Some(true) => {}
        Some(false) => return Verdict::No,
        None => confidence *= 0.7,
    }
    let builds: Vec<&str> = if ground == Ground::System && thing.vendor == "microsoft" {
        subject.builds.iter().map(SmolStr::as_str).collect()
    } else {
        Vec::new()
    };
    let mut says = String::new();
    match version(affected, thing, &builds) {
        // What is said of a family or of one of several products exonerates nothing.
        Version::NotAffected if alike == Likeness::Same => return Verdict::Exonerated,
        Version::NotAffected | Version::Outside => return Verdict::No,
        Version::Unknown if ground != Ground::Model => return Verdict::Unknown,
        Version::Unknown => {
            confidence = (confidence * 0.45).min(UNSURE - 0.005);
            let why = if affected.ranges.is_empty() {
                "which versions is not stated"
            } else {
                "this device's version is not known exactly enough"
            };
            let _ = write!(
                says,
                "{} is named, but {why}, so it may be affected",
                thing.shown
            );
        }
        Version::All => {
            confidence *= 0.95;
            let _ = write!(says, "every version of {} is affected", thing.shown);
        }
        Version::Inside(version) => {
            let _ = write!(says, "{} {version} is an affected version", thing.shown);
        }
    }
    match ground {
        Ground::Model => confidence = confidence.min(subject.confidence),
        Ground::System => confidence = confidence.min(0.9).min(subject.confidence.max(0.5)),
        Ground::Program => {
            confidence = confidence.min(0.5);
            says.push_str(
                " by its banner (a distribution may have mended it without changing the version)",
            );
        }
        Ground::Component => confidence = confidence.min(0.8),
    }
    if alike == Likeness::Narrower {
        let _ = write!(
            says,
            ", if it is the {}",
            affected.name.product.replace('_', " ")
        );
    }
    Verdict::Yes {
        row,
        confidence,
        says: says.into(),
    }
}
