//! What kinds of devices there are: type, category, how much harm a cut does, and the words people use.
//!
//! A type that is unknown, or whose evidence contradicts itself, counts as [`Criticality::LifeCritical`]: nothing around
//! such a device is tightened without a person's yes.

mod types;

use domain::Criticality;

pub use types::TYPES;

/// A category of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its stable name.
    pub id: &'static str,
    /// What people call it.
    pub words: &'static str,
    /// How much harm a cut does when only the category is known.
    pub criticality: Criticality,
}

/// Every category.
pub const CATEGORIES: &[Category] = &[
    Category {
        id: "medical",
        words: "medical device",
        criticality: Criticality::LifeCritical,
    },
    Category {
        id: "clinical_system",
        words: "clinical system",
        criticality: Criticality::Clinical,
    },
    Category {
        id: "computer",
        words: "computer",
        criticality: Criticality::LifeCritical,
    },
    Category {
        id: "network",
        words: "network equipment",
        criticality: Criticality::Clinical,
    },
    Category {
        id: "building",
        words: "building equipment",
        criticality: Criticality::LifeCritical,
    },
    Category {
        id: "office",
        words: "office equipment",
        criticality: Criticality::Business,
    },
    Category {
        id: "consumer",
        words: "consumer device",
        criticality: Criticality::Administrative,
    },
];

/// A type of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType {
    /// Its stable name, as packs and policies use it: `infusion_pump`.
    pub id: &'static str,
    /// Its category.
    pub category: &'static str,
    /// How much harm a cut does.
    pub criticality: Criticality,
    /// What people call one, with its article: `an infusion pump`.
    pub words: &'static str,
    /// The more general type it may also look like, because it runs on one: a PACS on a `server`, a scanner's console on
    /// a `workstation`. Evidence for that one does not speak against this one.
    pub platform: Option<&'static str>,
    /// Other texts for it: recog's device strings, words in registers; lower case.
    pub aliases: &'static [&'static str],
}

/// The type with this stable name.
pub fn device_type(id: &str) -> Option<&'static DeviceType> {
    TYPES.iter().find(|kind| kind.id == id)
}

/// The type that a text names: its stable name, the words for it, or another text for it; case and the kind of gap
/// between words do not matter.
pub fn from_text(text: &str) -> Option<&'static DeviceType> {
    if text.len() > 64 {
        return None;
    }
    let plain = plain(text);
    TYPES.iter().find(|kind| {
        kind.id == plain
            || kind.aliases.contains(&plain.as_str())
            || bare(kind.words).replace([' ', '-', '/'], "_") == plain
    })
}

/// What people call a device of this type, with its article; a type of somebody's own is named as it is.
pub fn words(id: &str) -> String {
    device_type(id).map_or_else(|| format!("“{id}”"), |kind| kind.words.to_owned())
}

/// The category with this stable name.
pub fn category(id: &str) -> Option<&'static Category> {
    CATEGORIES.iter().find(|category| category.id == id)
}

/// How much harm a cut does to a device of this type, else of this category; unknown ones are life-critical, and so is
/// every contradictory one.
pub fn criticality(
    kind: Option<&str>,
    category_id: Option<&str>,
    contradictory: bool,
) -> Criticality {
    if contradictory {
        return Criticality::LifeCritical;
    }
    match (kind, category_id) {
        (Some(kind), _) => device_type(kind).map(|kind| kind.criticality),
        (None, Some(id)) => category(id).map(|category| category.criticality),
        (None, None) => None,
    }
    .unwrap_or(Criticality::LifeCritical)
}

/// Whether evidence for both can be about one device: they are the same, or one is the platform of the other.
pub fn compatible(one: &DeviceType, other: &DeviceType) -> bool {
    one.id == other.id || is_platform_of(one, other) || is_platform_of(other, one)
}

/// Whether `general` is what `special` runs on, directly or through another platform.
pub fn is_platform_of(general: &DeviceType, special: &DeviceType) -> bool {
    let mut at = special.platform;
    // INVARIANT: platforms form chains, which a test walks; the bound is for a table that breaks it.
    for _ in 0..8 {
        match at {
            Some(id) if id == general.id => return true,
            Some(id) => at = device_type(id).and_then(|kind| kind.platform),
            None => return false,
        }
    }
    false
}

fn bare(words: &str) -> &str {
    words
        .strip_prefix("an ")
        .or_else(|| words.strip_prefix("a "))
        .unwrap_or(words)
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_whitespace() || matches!(c, '-' | '/' | '_') {
            if !out.ends_with('_') {
                out.push('_');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_type_has_a_known_category_and_platform_and_no_name_means_two_types() {
        let mut names = BTreeSet::new();
        for kind in TYPES {
            assert!(category(kind.category).is_some(), "{}", kind.id);
            assert!(kind.words.starts_with('a'), "{}", kind.id);
            assert!(names.insert(kind.id), "{} twice", kind.id);
            for alias in kind.aliases {
                assert_eq!(plain(alias), *alias, "alias of {}", kind.id);
                assert!(names.insert(alias), "{alias} twice");
            }
            if let Some(platform) = kind.platform {
                let platform = device_type(platform).expect("the platform is a type");
                assert!(is_platform_of(platform, kind));
                assert!(
                    !is_platform_of(kind, platform),
                    "{} goes in a ring",
                    kind.id
                );
            }
        }
    }

    #[test]
    fn unknown_and_contradictory_devices_are_life_critical() {
        assert_eq!(criticality(None, None, false), Criticality::LifeCritical);
        assert_eq!(
            criticality(Some("something of ours"), None, false),
            Criticality::LifeCritical
        );
        assert_eq!(
            criticality(Some("printer"), None, true),
            Criticality::LifeCritical
        );
        assert_ne!(
            criticality(Some("printer"), None, false),
            Criticality::LifeCritical
        );
        assert_eq!(
            criticality(Some("infusion_pump"), None, false),
            Criticality::LifeCritical
        );
    }

    #[test]
    fn other_peoples_words_find_the_type() {
        for (text, id) in [
            ("IP Camera", "camera"),
            ("infusion pump", "infusion_pump"),
            ("Lights Out Management", "management_controller"),
            ("VoIP", "voip_phone"),
            ("WAP", "access_point"),
        ] {
            assert_eq!(from_text(text).map(|kind| kind.id), Some(id), "{text}");
        }
        assert_eq!(from_text("Device"), None);
    }
}
