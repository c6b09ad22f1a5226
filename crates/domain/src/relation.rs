//! What ties people to patients and devices, and how old that knowledge is.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{DeviceId, PersonId, SensitivitySet, Timestamp, UnitId};

/// What the hospital's feeds say of one patient. Nothing clinical.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatientFacts {
    /// A person of public interest.
    pub vip: bool,
    /// Somebody who works here.
    pub employee: bool,
    /// Age band for proxy rules: an adolescent consents to some care alone.
    pub adolescent: bool,
    /// The unit where the patient lies now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// Members of the care team.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub care_team: Vec<PersonId>,
    /// Encounters with a practitioner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encounters: Vec<Encounter>,
    /// Consents and objections in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
    /// Representatives who may see the chart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<PersonId>,
}

/// A practitioner met the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encounter {
    /// The practitioner.
    pub person: PersonId,
    /// When it ended; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// A patient's consent or objection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// What it says.
    pub effect: ConsentEffect,
    /// Whom it names; empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    /// Which sensitivities it is about; empty: the whole chart.
    #[serde(default)]
    pub labels: SensitivitySet,
    /// When it ends.
    #[serde(default = "forever")]
    pub ends: Timestamp,
}

/// What a consent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentEffect {
    /// May be used for treatment, payment and operations (42 CFR 2.33).
    Permit,
    /// Shall not be shown to those named.
    Deny,
}

/// A vendor's approved window for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorWindow {
    /// Who may come.
    pub person: PersonId,
    /// To which device.
    pub device: DeviceId,
    /// Under which ticket.
    pub ticket: SmolStr,
    /// Who approved it; absent: not approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<PersonId>,
    /// First instant.
    pub starts: Timestamp,
    /// Last instant.
    pub ends: Timestamp,
}

/// A source of relations and its age, so that a stale one is seen as stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Its name: `care_team`, `encounter`, `directory`.
    pub name: SmolStr,
    /// When the source last answered in full.
    pub as_of: Timestamp,
    /// From which age on it counts as stale, in seconds.
    pub max_age_secs: u64,
}

impl Feed {
    /// Whether the source has not answered for longer than its limit.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.as_of).as_secs() > self.max_age_secs
    }
}

fn forever() -> Timestamp {
    Timestamp::FOREVER
}
