//! What a device is taken for, and the seam between the ledger and the knowledge that reads it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::{Criticality, Mac};

use crate::evidence::Evidence;

/// Two pieces of evidence that cannot both be right about one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// What they disagree about: `category`, `type`, `vendor`, `model` or `os`.
    pub about: SmolStr,
    /// What the stronger side says.
    pub one: SmolStr,
    /// What the weaker side says.
    pub other: SmolStr,
    /// Indexes into the evidence that say `one`.
    pub one_rows: Vec<usize>,
    /// Indexes into the evidence that say `other`.
    pub other_rows: Vec<usize>,
}

/// What a set of evidence makes of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    /// Category, such as `medical`; absent: unknown.
    pub category: Option<SmolStr>,
    /// Type, such as `infusion_pump`; absent: unknown or abstained.
    #[serde(rename = "type")]
    pub kind: Option<SmolStr>,
    /// Maker.
    pub vendor: Option<SmolStr>,
    /// Model.
    pub model: Option<SmolStr>,
    /// Operating system or firmware.
    pub os: Option<SmolStr>,
    /// Calibrated probability, 0 to 1, that `kind` (else `category`) is right.
    pub confidence: f32,
    /// Whether it declines to name a type.
    pub abstained: bool,
    /// What in the evidence contradicts itself.
    pub contradictions: Vec<Contradiction>,
    /// Share of the evidence that the packs explain, 0 to 1.
    pub explained: f32,
    /// Per piece of evidence that says something: its index, what it says in the pack's words, and its weight for the
    /// answer given in bits (log2 of the odds ratio); negative speaks against it.
    pub rows: Vec<(usize, SmolStr, f32)>,
    /// What would settle it, each a short phrase in the reader's words.
    pub settle: Vec<SmolStr>,
    /// How much harm a cut does, going by type; absent: unknown, and then it counts as life-critical.
    pub criticality: Option<Criticality>,
}

/// Says what a device is from its evidence. The shipped knowledge does; tests bring smaller ones.
pub trait Identify: Send + Sync {
    /// What `evidence` makes of a device. Pure: the same evidence in any order gives the same answer bit for bit
    /// (rows and contradictions refer to the order given).
    fn identify(&self, evidence: &[Evidence]) -> Identification;

    /// Who was assigned the block of a MAC address (IEEE MA-L, MA-M, MA-S); `None`: nobody, or a local address.
    fn mac_vendor(&self, mac: Mac) -> Option<SmolStr>;

    /// The same knowledge with fingerprints of one's own in addition: texts in the pack format (recog's XML).
    ///
    /// # Errors
    /// What is wrong with a text, for people.
    fn with_local(&self, packs: &[(&str, &str)]) -> Result<Arc<dyn Identify>, String>;
}
