//! A learnt pack as text: TOML that a person can read, correct and share.
//!
//! ```toml
//! format = "asepsis learnt fingerprints 1"
//!
//! [calibration]
//! factors = [-9.0, 1.0, 0.5, 4.0, 5.0, 1.0, -4.0, -1.0]  # constant, then one a figure
//! highest = 0.9                                    # highest probability that its examples support
//! name_from = 0.6                                  # probability from which a label is named
//! explain_from = 0.4                               # share of what is seen that a label must explain to be named
//!
//! [[label]]
//! name = "infusion_pump"
//! examples = 12
//! [label.seen]            # kind of evidence -> value -> in how many of them
//! "dhcp.parameters" = { "1,3,6,12,15,28,42" = 12 }
//! ```
//!
//! A label that comes in several variants stands there once for each.

use std::collections::BTreeMap;

use domain::EvidenceKind;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::calibrate::{Calibration, FIGURES};
use super::feature::Feature;
use super::model::{Label, Learned, Variant};
use super::{FEATURES_MAX, LABELS_MAX, VARIANTS_MAX};

const FORMAT: &str = "asepsis learnt fingerprints 1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    calibration: Figures,
    #[serde(default)]
    label: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    factors: [f64; FIGURES + 1],
    highest: f64,
    name_from: f64,
    explain_from: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: SmolStr,
    examples: u32,
    #[serde(default)]
    seen: BTreeMap<String, BTreeMap<SmolStr, u32>>,
}

impl Learned {
    /// Reads a learnt pack.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|why| {
            format!("neither a fingerprint pack in XML nor a learnt one in TOML: {why}")
        })?;
        if file.format != FORMAT {
            return Err(format!(
                "unknown format `{}`: this program reads `{FORMAT}`",
                file.format
            ));
        }
        let figures = &file.calibration;
        let share = 0.0..=1.0;
        if !share.contains(&figures.highest)
            || !share.contains(&figures.name_from)
            || !share.contains(&figures.explain_from)
            || !figures.factors.iter().all(|factor| factor.is_finite())
        {
            return Err("`calibration` holds a figure that is no probability".to_owned());
        }
        let mut labels: BTreeMap<SmolStr, Vec<Variant>> = BTreeMap::new();
        for row in file.label {
            let mut seen = BTreeMap::new();
            for (kind, values) in row.seen {
                let kind = EvidenceKind::parse(&kind).ok_or_else(|| {
                    format!("label `{}`: unknown kind of evidence `{kind}`", row.name)
                })?;
                for (value, count) in values {
                    seen.insert(Feature { kind, value }, count.min(row.examples));
                }
            }
            if row.examples == 0 || seen.len() > FEATURES_MAX {
                return Err(format!(
                    "label `{}`: it needs an example, and at most {FEATURES_MAX} values",
                    row.name
                ));
            }
            let variants = labels.entry(row.name.clone()).or_default();
            if variants.len() >= VARIANTS_MAX {
                return Err(format!(
                    "label `{}`: more than {VARIANTS_MAX} variants",
                    row.name
                ));
            }
            variants.push(Variant {
                examples: row.examples,
                seen,
            });
        }
        if labels.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} labels"));
        }
        if labels.is_empty() {
            return Err("it holds no label".to_owned());
        }
        let labels = labels
            .into_iter()
            .map(|(name, variants)| Label { name, variants })
            .collect();
        let calibration = Calibration {
            factors: figures.factors,
            highest: figures.highest,
            name_from: figures.name_from,
            explain_from: figures.explain_from,
        };
        Ok(Self::new(labels, calibration))
    }

    /// The pack as text.
    pub fn to_toml(&self) -> String {
        let file = File {
            format: FORMAT.to_owned(),
            calibration: Figures {
                factors: self.calibration.factors,
                highest: self.calibration.highest,
                name_from: self.calibration.name_from,
                explain_from: self.calibration.explain_from,
            },
            label: self
                .labels
                .iter()
                .flat_map(|label| {
                    label.variants.iter().map(|variant| {
                        let mut seen: BTreeMap<String, BTreeMap<SmolStr, u32>> = BTreeMap::new();
                        for (feature, count) in &variant.seen {
                            seen.entry(feature.kind.as_str().to_owned())
                                .or_default()
                                .insert(feature.value.clone(), *count);
                        }
                        Row {
                            name: label.name.clone(),
                            examples: variant.examples,
                            seen,
                        }
                    })
                })
                .collect(),
        };
        toml::to_string(&file).expect("strings and numbers make TOML")
    }
}
