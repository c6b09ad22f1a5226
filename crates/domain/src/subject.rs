//! Who asks: people, workloads and the devices they use.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{DeviceId, PatientId, PersonId, Role, SessionId, Timestamp, UnitId};

/// The kind of a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// Employed by the hospital.
    #[default]
    Workforce,
    /// Employed by somebody else who services the hospital's systems.
    Vendor,
    /// A patient's representative, such as a parent.
    Proxy,
    /// A program or a device acting for itself.
    Workload,
}

/// A person or workload as the directory and the hospital's feeds describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Its identifier.
    pub id: PersonId,
    /// Name for people to read; it takes part in no decision.
    #[serde(default)]
    pub name: SmolStr,
    /// What kind of subject it is.
    #[serde(default)]
    pub kind: SubjectKind,
    /// Roles held.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Wards, departments and programmes the person works in.
    #[serde(default)]
    pub units: Vec<UnitId>,
    /// Whether the employment or contract is in force.
    #[serde(default = "yes")]
    pub active: bool,
    /// The person's own chart, if the person is a patient here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientId>,
    /// For a workload: the device it speaks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
}

fn yes() -> bool {
    true
}

/// A device as the inventory describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its identifier.
    pub id: DeviceId,
    /// Name for people to read.
    #[serde(default)]
    pub name: SmolStr,
    /// What it is: `workstation`, `laptop`, `phone`, `infusion_pump`, `modality` …
    #[serde(default)]
    pub class: SmolStr,
    /// Whether the hospital manages it.
    #[serde(default)]
    pub managed: bool,
    /// Whether several people use it in turn.
    #[serde(default)]
    pub shared: bool,
    /// Whether its last posture report was good (disk, system, endpoint protection); absent: never reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compliant: Option<bool>,
    /// The unit where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// DICOM application entity title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ae_title: Option<SmolStr>,
}

/// Whoever asks, in a session, on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The person or workload.
    pub person: PersonId,
    /// The session, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The device asked from, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// When the session ends whatever happens.
    #[serde(default = "forever")]
    pub session_ends: Timestamp,
}

fn forever() -> Timestamp {
    Timestamp::FOREVER
}
