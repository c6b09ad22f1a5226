//! What a fingerprint that matched says of a device.

use smol_str::{SmolStr, format_smolstr};

use super::UNVERIFIED_MAX;
use super::database::Match;
use crate::registry::maker;
use crate::taxonomy;

/// What one piece of evidence says of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its type: a name of the taxonomy, or one of somebody's own.
    pub kind: Option<SmolStr>,
    /// Its category, where that is surer than the type or no type is named.
    pub category: Option<SmolStr>,
    /// Its maker.
    pub vendor: Option<SmolStr>,
    /// Its model.
    pub model: Option<SmolStr>,
    /// Its operating system or firmware.
    pub os: Option<SmolStr>,
    /// Probability that the type is right where this is all that is known; of the maker too.
    pub certainty: f32,
    /// Probability that the category is right where this is all that is known.
    pub category_certainty: f32,
    /// Whether the fingerprint has a verified source.
    pub verified: bool,
}

impl Claim {
    /// What a match says.
    pub fn of(found: &Match<'_>) -> Self {
        let get = |name: &str| {
            found
                .get(name)
                .map(str::trim)
                .filter(|value| !value.is_empty() && *value != "-")
        };
        let first = |names: &[&str]| names.iter().find_map(|name| get(name));
        let ours = found.fingerprint.source.is_some();
        let kind = ["hw.device", "os.device", "service.device"]
            .iter()
            .filter_map(|name| get(name))
            .find_map(|text| match taxonomy::from_text(text) {
                Some(kind) => Some(SmolStr::new_static(kind.id)),
                // A type of somebody's own; recog's further words ("Device") name no type.
                None => ours.then(|| SmolStr::new(text)),
            });
        let category = get("hw.category")
            .and_then(taxonomy::category)
            .map(|category| SmolStr::new_static(category.id));
        let os = first(&["os.product", "os.family"]).map(|product| {
            let named = match get("os.vendor") {
                Some(vendor)
                    if vendor.eq_ignore_ascii_case("microsoft")
                        && !product.to_ascii_lowercase().contains("microsoft") =>
                {
                    format_smolstr!("{vendor} {product}")
                }
                _ => product.into(),
            };
            match get("os.version") {
                Some(version) => format_smolstr!("{named} {version}"),
                None => named,
            }
        });
        let stated = first(&["hw.certainty", "os.certainty"])
            .and_then(|text| text.parse::<f32>().ok())
            .filter(|number| (0.0..=1.0).contains(number));
        let certainty = stated.unwrap_or(found.fingerprint.certainty);
        let bounded = |certainty: f32| {
            if found.fingerprint.verified {
                certainty
            } else {
                certainty.min(UNVERIFIED_MAX)
            }
        };
        Self {
            kind,
            category,
            vendor: get("hw.vendor").map(maker),
            model: first(&["hw.product", "hw.model"]).map(SmolStr::new),
            os,
            certainty: bounded(certainty),
            category_certainty: bounded(found.fingerprint.certainty),
            verified: found.fingerprint.verified,
        }
    }

    /// Whether it says nothing about the device.
    pub fn is_empty(&self) -> bool {
        self.kind.is_none()
            && self.category.is_none()
            && self.vendor.is_none()
            && self.model.is_none()
            && self.os.is_none()
    }

    /// It in the pack's words: `type=infusion_pump vendor=B. Braun`.
    pub fn says(&self) -> SmolStr {
        let mut out = String::new();
        let parts = [
            ("type", &self.kind),
            ("category", &self.category),
            ("vendor", &self.vendor),
            ("model", &self.model),
            ("os", &self.os),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(name);
                out.push('=');
                out.push_str(value);
            }
        }
        out.into()
    }
}
