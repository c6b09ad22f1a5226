//! Criteria of frameworks, as data.
//!
//! ```toml
//! id = "cisa-ztmm-2"
//! name = "CISA Zero Trust Maturity Model 2.0"
//! short = "CISA ZTMM 2.0"
//! source = "https://…"
//! levels = ["Traditional", "Initial", "Advanced", "Optimal"]   # worst first
//!
//! [[criterion]]
//! id = "ID1"
//! pillar = "Identity"
//! function = "Authentication"
//! asks = "how surely it is known who asks"
//! risk = 5        # 1 to 5: how much harm the gap lets happen
//! effort = 3      # 1 to 5: how much work closing it is
//! bottom = "passwords alone"
//! reach = [       # one entry for each level above the lowest
//!   { says = "…", needs = ["signins.two_factor >= 50%"] },
//!   { says = "…", needs = ["signins.two_factor >= 95%", "attest: somebody vouches for …"] },
//!   { says = "…", needs = [] },          # not allowed: a level without needs would be given away
//! ]
//! ```
//!
//! A need is a measure with the least share, or something a named person has to vouch for. The words are ours.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::measures::{MEASURES, Measure};
use crate::steps::{self, Step};

/// A maturity or fulfilment level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Level {
    /// Its place, 0 the lowest.
    pub rank: u8,
    /// Its name in the framework.
    pub name: SmolStr,
}

/// What a level asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// A measure with the least share, 0 to 1.
    Measured {
        /// The measure.
        measure: &'static Measure,
        /// The least share.
        at_least: f64,
    },
    /// Something that a named person vouches for.
    Attested {
        /// What, as a statement.
        statement: SmolStr,
    },
}

impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A level of one criterion.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// What it looks like, in our words.
    pub says: SmolStr,
    /// What it asks for; all of them.
    pub needs: Vec<Need>,
}

/// One function, goal, standard or tenet.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// Its identifier within the framework.
    pub id: SmolStr,
    /// The pillar or section it belongs to.
    pub pillar: SmolStr,
    /// What it is called.
    pub function: SmolStr,
    /// What it asks, in our words.
    pub asks: SmolStr,
    /// How much harm the gap lets happen, 1 to 5.
    pub risk: u8,
    /// How much work closing it is, 1 to 5.
    pub effort: u8,
    /// What the lowest level looks like.
    pub bottom: SmolStr,
    /// The levels above the lowest, in order.
    pub reach: Vec<Reach>,
}

/// A framework.
#[derive(Clone, Debug, PartialEq)]
pub struct Framework {
    /// Its identifier: `cisa-ztmm-2`.
    pub id: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// A short name for lists; the identifier where none is given.
    pub short: SmolStr,
    /// Where it is published.
    pub source: SmolStr,
    /// A remark for the report; empty: none.
    pub note: SmolStr,
    /// Its levels, worst first.
    pub levels: Vec<Level>,
    /// Its criteria in order.
    pub criteria: Vec<Criterion>,
}

/// Frameworks and the steps that can raise their levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    /// The frameworks in order.
    pub frameworks: Vec<Framework>,
    /// Possible steps.
    pub steps: Vec<Step>,
}

/// Why criteria cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`, line {line}: {what} (hint: {hint})")]
pub struct CriteriaError {
    /// The file, as named by the caller.
    pub file: SmolStr,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

const SHIPPED: &[(&str, &str)] = &[
    (
        "cisa-ztmm-2.toml",
        include_str!("../../../packs/frameworks/cisa-ztmm-2.toml"),
    ),
    (
        "hph-cpg.toml",
        include_str!("../../../packs/frameworks/hph-cpg.toml"),
    ),
    (
        "hipaa-security-rule.toml",
        include_str!("../../../packs/frameworks/hipaa-security-rule.toml"),
    ),
    (
        "nist-800-207.toml",
        include_str!("../../../packs/frameworks/nist-800-207.toml"),
    ),
    (
        "hicp-2023.toml",
        include_str!("../../../packs/frameworks/hicp-2023.toml"),
    ),
];

const STEPS: &str = include_str!("../../../packs/frameworks/steps.toml");

impl Criteria {
    /// The frameworks and steps that ship.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn shipped() -> Self {
        let mut frameworks = Vec::new();
        for (file, text) in SHIPPED {
            let framework =
                Framework::parse(file, text).expect("the shipped criteria are read by a test");
            frameworks.push(framework);
        }
        let steps =
            steps::parse("steps.toml", STEPS).expect("the shipped steps are read by a test");
        Self { frameworks, steps }
    }

    /// Adds one's own framework, or replaces the one of the same identifier.
    ///
    /// # Errors
    /// If the text does not parse; the error names line and remedy.
    pub fn with(mut self, file: &str, text: &str) -> Result<Self, CriteriaError> {
        let framework = Framework::parse(file, text)?;
        match self.frameworks.iter_mut().find(|f| f.id == framework.id) {
            Some(old) => *old = framework,
            None => self.frameworks.push(framework),
        }
        Ok(self)
    }

    /// Only the frameworks with these identifiers, in this order; unknown ones are named in the error.
    ///
    /// # Errors
    /// The first identifier that names no framework.
    pub fn only(mut self, ids: &[&str]) -> Result<Self, String> {
        let mut kept = Vec::new();
        for id in ids {
            match self.frameworks.iter().find(|f| f.id == *id) {
                Some(framework) => kept.push(framework.clone()),
                None => {
                    let known: Vec<&str> = self.frameworks.iter().map(|f| f.id.as_str()).collect();
                    return Err(format!(
                        "unknown framework `{id}` (hint: choose among {})",
                        known.join(", ")
                    ));
                }
            }
        }
        self.frameworks = kept;
        Ok(self)
    }

    /// The criterion that `framework/id` names.
    pub fn row(&self, name: &str) -> Option<(&Framework, &Criterion)> {
        let (framework, id) = name.split_once('/')?;
        let framework = self.frameworks.iter().find(|f| f.id == framework)?;
        let criterion = framework.criteria.iter().find(|c| c.id == id)?;
        Some((framework, criterion))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFramework {
    id: String,
    name: String,
    #[serde(default)]
    short: Option<String>,
    source: String,
    #[serde(default)]
    note: String,
    levels: Vec<String>,
    criterion: Vec<toml::Spanned<RawCriterion>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCriterion {
    id: String,
    pillar: String,
    function: String,
    asks: String,
    risk: u8,
    effort: u8,
    bottom: String,
    reach: Vec<RawReach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReach {
    says: String,
    needs: Vec<toml::Spanned<String>>,
}

impl Framework {
    /// Reads one framework.
    ///
    /// # Errors
    /// If the text is not of the form above; the error names line and remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, CriteriaError> {
        let fail = |offset: usize, what: String, hint: &str| CriteriaError {
            file: file.into(),
            line: line_of(text, offset),
            what,
            hint: hint.to_owned(),
        };
        let raw: RawFramework = toml::from_str(text).map_err(|e| {
            fail(
                e.span().map_or(0, |s| s.start),
                e.message().to_owned(),
                "compare with a framework that ships, in `packs/frameworks`",
            )
        })?;
        if raw.levels.len() < 2 {
            return Err(fail(
                0,
                "fewer than two levels".into(),
                "name at least a lowest level and one above it",
            ));
        }
        let mut ids = BTreeSet::new();
        let mut criteria = Vec::with_capacity(raw.criterion.len());
        for spanned in raw.criterion {
            let at = spanned.span().start;
            let c = spanned.into_inner();
            if !ids.insert(c.id.clone()) {
                return Err(fail(
                    at,
                    format!("`{}` is there twice", c.id),
                    "give each criterion its own `id`",
                ));
            }
            if c.reach.len() + 1 != raw.levels.len() {
                return Err(fail(
                    at,
                    format!(
                        "`{}` has {} entries in `reach` for {} levels",
                        c.id,
                        c.reach.len(),
                        raw.levels.len()
                    ),
                    "one entry for each level above the lowest",
                ));
            }
            if !(1..=5).contains(&c.risk) || !(1..=5).contains(&c.effort) {
                return Err(fail(
                    at,
                    format!("`{}`: `risk` and `effort` are 1 to 5", c.id),
                    "5 is the most",
                ));
            }
            let mut reach = Vec::with_capacity(c.reach.len());
            for r in c.reach {
                if r.needs.is_empty() {
                    return Err(fail(
                        at,
                        format!("`{}`: a level without needs would be given away", c.id),
                        "name a measure, or `attest: …`",
                    ));
                }
                let mut needs = Vec::with_capacity(r.needs.len());
                for need in r.needs {
                    let at = need.span().start;
                    let parsed =
                        parse_need(need.get_ref()).map_err(|(what, hint)| fail(at, what, &hint))?;
                    needs.push(parsed);
                }
                reach.push(Reach {
                    says: r.says.into(),
                    needs,
                });
            }
            criteria.push(Criterion {
                id: c.id.into(),
                pillar: c.pillar.into(),
                function: c.function.into(),
                asks: c.asks.into(),
                risk: c.risk,
                effort: c.effort,
                bottom: c.bottom.into(),
                reach,
            });
        }
        Ok(Self {
            short: raw.short.unwrap_or_else(|| raw.id.clone()).into(),
            id: raw.id.into(),
            name: raw.name.into(),
            source: raw.source.into(),
            note: raw.note.into(),
            levels: raw
                .levels
                .into_iter()
                .zip(0..=u8::MAX)
                .map(|(name, rank)| Level {
                    rank,
                    name: name.into(),
                })
                .collect(),
            criteria,
        })
    }

    /// The pillars in the order of their first criterion.
    pub fn pillars(&self) -> Vec<&SmolStr> {
        let mut out: Vec<&SmolStr> = Vec::new();
        for c in &self.criteria {
            if !out.contains(&&c.pillar) {
                out.push(&c.pillar);
            }
        }
        out
    }
}

/// Reads `measure >= 95%` or `attest: statement`.
fn parse_need(text: &str) -> Result<Need, (String, String)> {
    if let Some(statement) = text.strip_prefix("attest:") {
        let statement = statement.trim();
        return if statement.is_empty() {
            Err((
                "an attestation without a statement".into(),
                "write what the person vouches for".into(),
            ))
        } else {
            Ok(Need::Attested {
                statement: statement.into(),
            })
        };
    }
    let form = || {
        (
            format!("`{text}` is not a need"),
            "write `measure >= 95%`, or `attest: statement`".to_owned(),
        )
    };
    let (name, share) = text.split_once(">=").ok_or_else(form)?;
    let name = name.trim();
    let percent: f64 = share
        .trim()
        .strip_suffix('%')
        .ok_or_else(form)?
        .trim()
        .parse()
        .map_err(|_| form())?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err((
            format!("`{text}`: the least share lies above 0 % and at most at 100 %"),
            "0 % would be given away".into(),
        ));
    }
    let measure = Measure::named(name).ok_or_else(|| {
        let near = MEASURES
            .iter()
            .map(|m| m.name)
            .filter(|n| n.split('.').next() == name.split('.').next())
            .collect::<Vec<_>>()
            .join(", ");
        (
            format!("there is no measure `{name}`"),
            if near.is_empty() {
                "see `assess::MEASURES` for the names".to_owned()
            } else {
                format!("near it: {near}")
            },
        )
    })?;
    Ok(Need::Measured {
        measure,
        at_least: percent / 100.0,
    })
}

/// The line on which an offset lies, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .get(..offset)
        .unwrap_or_default()
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "id = \"x\"\nname = \"X\"\nsource = \"https://example.org\"\nlevels = [\"no\", \"yes\"]\n\n[[criterion]]\nid = \"A\"\npillar = \"P\"\nfunction = \"F\"\nasks = \"q\"\nrisk = 3\neffort = 2\nbottom = \"b\"\nreach = [\n  { says = \"s\", needs = [\"signins.two_factor >= 50%\"] },\n]\n";

    #[test]
    fn a_framework_of_ones_own_is_read() {
        let framework = Framework::parse("own.toml", GOOD).expect("valid");
        assert_eq!(framework.levels[1].name, "yes");
        assert_eq!(framework.pillars(), ["P"]);
        let with = Criteria {
            frameworks: Vec::new(),
            steps: Vec::new(),
        }
        .with("own.toml", GOOD)
        .expect("valid");
        assert!(with.row("x/A").is_some());
        assert!(with.clone().only(&["x"]).is_ok());
        assert!(with.only(&["y"]).expect_err("unknown").contains("`y`"));
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_remedy() {
        let check = |from: &str, to: &str, line: usize, words: &str| {
            let error = Framework::parse("own.toml", &GOOD.replace(from, to)).expect_err(words);
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.hint.is_empty());
        };
        check(
            "signins.two_factor >= 50%",
            "signins.two_facter >= 50%",
            15,
            "signins.phishing_resistant",
        );
        check(">= 50%", ">= 0%", 15, "given away");
        check(">= 50%", "> 50%", 15, "is not a need");
        check("[\"signins.two_factor >= 50%\"]", "[]", 6, "given away");
        check(
            "[\"signins.two_factor >= 50%\"]",
            "[\"attest: \"]",
            15,
            "without a statement",
        );
        check("risk = 3", "risk = 9", 6, "1 to 5");
        check("risk = 3", "risc = 3", 11, "risc");
        check(
            "\"no\", \"yes\"",
            "\"no\", \"half\", \"yes\"",
            6,
            "entries in `reach`",
        );
        check("id = \"x\"", "id = ", 1, "own.toml");
    }
}
