//! What the inventory knows of a device, as everything above it reads it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::net::Mac;
use crate::observation::{Asset, EvidenceKind};
use crate::{Criticality, DeviceId, Timestamp, UnitId};

/// One row of a device's evidence ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// Name of the source.
    pub source: SmolStr,
    /// Kind of evidence.
    pub kind: EvidenceKind,
    /// Its value.
    pub value: SmolStr,
    /// What it says in the pack's words (`type=infusion_pump vendor=B. Braun`); empty: nothing known.
    pub says: SmolStr,
    /// Its weight in the answer: bits of evidence (log2 of the odds ratio) for the answer given; negative speaks against it.
    pub weight: f32,
    /// When it was first seen.
    pub at: Timestamp,
}

/// A device of the inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceProfile {
    /// Its identifier: stable over address changes.
    pub id: DeviceId,
    /// MAC addresses.
    pub macs: Vec<Mac>,
    /// IP addresses held now or last.
    pub addresses: Vec<IpAddr>,
    /// Names it goes by.
    pub names: Vec<SmolStr>,
    /// Category, such as `medical`, `computer`, `network`, `building`, `office`, `consumer`; absent: unknown.
    pub category: Option<SmolStr>,
    /// Type, such as `infusion_pump`; absent: unknown.
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
    /// Whether the inventory declines to name a type.
    pub abstained: bool,
    /// Whether its evidence contradicts itself; a device of contradictory class counts as life-critical.
    pub contradictory: bool,
    /// How much harm a cut does: unknown or contradictory is `life_critical`.
    pub criticality: Criticality,
    /// The evidence.
    pub evidence: Vec<EvidenceRow>,
    /// First seen.
    pub first_seen: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// Ward or department, where a register or a subnet says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// Network segment: VLAN or subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SmolStr>,
    /// The device through whose address it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<DeviceId>,
    /// How it is named beyond addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<Asset>,
    /// Known risks, joined offline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<RiskFact>,
}

/// A known risk of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskFact {
    /// Identifier: a CVE, an advisory, a recall number, `end-of-support`.
    pub id: SmolStr,
    /// Which feed says so.
    pub feed: SmolStr,
    /// One plain sentence.
    pub says: SmolStr,
    /// Whether it is known to be exploited (KEV).
    pub exploited: bool,
    /// Confidence, 0 to 1, that it applies to this device.
    pub confidence: f32,
    /// When the feed's row was published, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
}
