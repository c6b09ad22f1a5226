//! Fingerprints and packs of them: what a value of evidence says about a device.
//!
//! # The format
//!
//! A pack is XML in the format of Rapid7's *recog*, whose files load unchanged. One `fingerprints` element holds the
//! fingerprints of one or more kinds of evidence; any element may enclose several of them:
//!
//! ```xml
//! <fingerprints matches="dicom.implementation_version" source="…" verified="true">
//!   <fingerprint pattern="^ACME_PUMP_(\d+)$" certainty="0.9">
//!     <description>Pumps of Acme</description>
//!     <example hw.version="12">ACME_PUMP_12</example>
//!     <param pos="0" name="hw.vendor" value="Acme"/>
//!     <param pos="0" name="hw.device" value="infusion_pump"/>
//!     <param pos="1" name="hw.version"/>
//!   </fingerprint>
//! </fingerprints>
//! ```
//!
//! - `matches`: kinds of evidence by their stable text ([`domain::EvidenceKind`]), separated by blanks, or one of recog's
//!   keys; without it the file's name counts as the key.
//! - `pattern`, `flags`: a regular expression in the syntax that both Ruby and Rust's `regex` read; `^` and `$` stand at
//!   lines, as in Ruby. The first fingerprint of an element that matches counts.
//! - `param`: position 0 gives `value`, others a group of the pattern. `hw.device`, else `os.device`, else
//!   `service.device` is the type (see [`crate::taxonomy`]), `hw.category` a category alone, `hw.vendor` the maker,
//!   `hw.product` or `hw.model` the model, `os.product` with `os.version` the system.
//! - Ours beyond recog's: `source` (the public source of what a fingerprint says) and `verified` (whether somebody
//!   checked it), on an element or inherited from the one around it. A fingerprint without a verified source never
//!   counts above [`UNVERIFIED_MAX`] and never drives enforcement: an answer that is no surer has no criticality, and the
//!   device counts as one of unknown class.
//!
//! # Bounds
//!
//! A pack has at most [`PACK_BYTES_MAX`] octets and [`FINGERPRINTS_MAX`] fingerprints, a pattern [`PATTERN_MAX`] octets;
//! a compiled pattern takes at most [`COMPILED_BYTES_MAX`]. Patterns are compiled when a value first needs them: a value
//! is first searched for letters that a pattern cannot match without.

mod claim;
mod database;
mod keys;
mod pattern;
mod xml;

use std::sync::Arc;

use smol_str::SmolStr;

pub use claim::Claim;
pub use database::{Database, Fingerprint, Match};

use crate::learn::Learned;

/// Highest probability that a fingerprint without a verified source is given.
pub const UNVERIFIED_MAX: f32 = 0.6;

/// Most octets of a pack.
pub const PACK_BYTES_MAX: usize = 16 << 20;

/// Most fingerprints in a pack.
pub const FINGERPRINTS_MAX: usize = 50_000;

/// Most octets of a pattern.
pub const PATTERN_MAX: usize = 4_096;

/// Most octets that a compiled pattern takes.
pub const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Why a text is not a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pack}`{}: {what}", .line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct PackError {
    /// The pack.
    pub pack: SmolStr,
    /// Line in it, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong, with a hint.
    pub what: String,
}

/// How one example of a fingerprint came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleResult {
    /// Line of the fingerprint in its file, from 1.
    pub line: usize,
    /// Description of the fingerprint.
    pub fingerprint: SmolStr,
    /// The example's text; empty for a fingerprint that could not be tried at all.
    pub example: String,
    /// What went wrong; absent: it matched and gave what it should.
    pub failure: Option<String>,
}

/// A pack of fingerprints: written by people, or learnt from labelled devices.
#[derive(Clone, Debug)]
pub struct Pack {
    name: SmolStr,
    databases: Vec<Arc<Database>>,
    learned: Option<Arc<Learned>>,
}

impl Pack {
    /// Reads a pack: XML in recog's format, or a pack that [`crate::learn::learn`] wrote (TOML). `name` is its file's
    /// name, for messages and for recog files that do not say what they match.
    ///
    /// Patterns are not compiled here; [`Pack::test`] does so and runs the examples.
    ///
    /// # Errors
    /// When it is neither, or breaks a bound.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, PackError> {
        let error = |what: String| PackError {
            pack: name.into(),
            line: None,
            what,
        };
        if bytes.len() > PACK_BYTES_MAX {
            return Err(error(format!(
                "{} octets are too many: a pack has at most {PACK_BYTES_MAX}",
                bytes.len()
            )));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|why| error(format!("not UTF-8 text: {why}; save it as UTF-8")))?;
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('<') {
            let databases = xml::read(name, text)?;
            if databases.is_empty() {
                return Err(error(
                    "no `fingerprints` element in it: is this a fingerprint pack?".to_owned(),
                ));
            }
            return Ok(Self {
                name: name.into(),
                databases: databases.into_iter().map(Arc::new).collect(),
                learned: None,
            });
        }
        let learned = Learned::parse(text).map_err(error)?;
        Ok(Self {
            name: name.into(),
            databases: Vec::new(),
            learned: Some(Arc::new(learned)),
        })
    }

    /// A pack of what was learnt.
    pub fn learned(name: &str, learned: Learned) -> Self {
        Self {
            name: name.into(),
            databases: Vec::new(),
            learned: Some(Arc::new(learned)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of fingerprints; of a learnt pack: number of labels.
    pub fn len(&self) -> usize {
        let written: usize = self.databases.iter().map(|d| d.fingerprints().len()).sum();
        written + self.learned.as_ref().map_or(0, |l| l.labels().count())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its written fingerprints, by kind of evidence.
    pub fn databases(&self) -> &[Arc<Database>] {
        &self.databases
    }

    /// What was learnt, if that is what it holds.
    pub fn learnt(&self) -> Option<&Arc<Learned>> {
        self.learned.as_ref()
    }

    /// Compiles every pattern and runs every example: each must match its fingerprint and give the values it names.
    /// A pattern that does not compile is one failure.
    pub fn test(&self) -> Vec<ExampleResult> {
        self.databases
            .iter()
            .flat_map(|database| database.test())
            .collect()
    }

    /// The pack as text, when it was learnt: what [`Pack::parse`] reads.
    pub fn to_text(&self) -> Option<String> {
        self.learned.as_ref().map(|learned| learned.to_toml())
    }
}

#[cfg(test)]
mod tests;
