//! The hospital: its units, people, devices, patients and their records, all invented from a seed.
//!
//! Identifiers agree everywhere: a `domain::Person` has the id of the FHIR `Practitioner`, a `UnitId` is the id of
//! the FHIR `Location` and `Organization`, a `PatientId` that of the `Patient`, a `DeviceId` that of the `Device`.

mod catalogue;
mod example;
mod names;
mod notes;
mod patient;
mod record;
mod staff;

use std::time::Duration;

use bytes::Bytes;
use domain::relation::{Feed, PatientFacts, VendorWindow};
use domain::{Device, DeviceId, PatientId, Person, PersonId, Timestamp, UnitId};
use smol_str::SmolStr;

pub use example::{Cast, Example};

/// Marks a `MedicationRequest` of a controlled medicine: `valueBoolean`.
pub const CONTROLLED_EXTENSION: &str = "https://asepsis.health/fhir/controlled";
/// Names the unit or programme that keeps a resource: `valueCode`, a unit's id.
pub const UNIT_EXTENSION: &str = "https://asepsis.health/fhir/unit";
/// HL7 v3 Confidentiality, a system of `meta.security`.
pub const CONFIDENTIALITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// HL7 v3 ActCode, the system of sensitivity labels in `meta.security`.
pub const ACT_CODE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// System of the medical record number, a `Patient.identifier`.
pub const RECORD_NUMBER_SYSTEM: &str = "https://asepsis.health/fhir/sample/record-number";

/// A ward, clinic, programme or office.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its identifier, also that of its FHIR `Location` and `Organization`.
    pub id: UnitId,
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: UnitKind,
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Patients lie here.
    Ward,
    /// Patients come and go.
    Clinic,
    /// A substance-use programme under 42 CFR Part 2.
    Programme,
    /// No patients: pharmacy, billing, the information technology department.
    Office,
}

/// A patient: who it is and how the staff relates to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplePatient {
    /// Logical id of the FHIR `Patient`; also what the wristband shows.
    pub id: PatientId,
    /// Name for people to read.
    pub name: String,
    /// What the hospital's feeds say; the FHIR resources say the same.
    pub facts: PatientFacts,
}

/// One FHIR resource, before it is in a server: it has an id, and no version yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleResource {
    /// Its type.
    pub resource_type: &'static str,
    /// Its logical id.
    pub id: SmolStr,
    /// When it was last changed.
    pub updated: Timestamp,
    /// The resource as JSON.
    pub json: Bytes,
}

/// A hospital of about 200 patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hospital {
    seed: u64,
    now: Timestamp,
    units: Vec<Unit>,
    people: Vec<Person>,
    devices: Vec<Device>,
    patients: Vec<SamplePatient>,
    vendor_windows: Vec<VendorWindow>,
    resources: Vec<SampleResource>,
    marks: Vec<record::Mark>,
}

impl Hospital {
    /// Invents a hospital. The same `seed` and `now` give the same hospital, to the byte.
    ///
    /// Stays and appointments lie around `now`, so that "current" and "in the last month" mean something.
    pub fn generate(seed: u64, now: Timestamp) -> Self {
        let units = staff::units();
        let mut names = names::Names::new(seed);
        let mut staff = staff::generate(&mut names);
        let models = patient::generate(seed, now, &mut names, &mut staff);
        let (resources, marks) = record::write(seed, now, &units, &staff, &models);
        let patients = models
            .iter()
            .map(|m| SamplePatient {
                id: m.id.clone(),
                name: m.name(),
                facts: m.facts(),
            })
            .collect();
        let vendor_windows = vec![VendorWindow {
            person: staff.vendor.person.id.clone(),
            device: staff::PUMP_GATEWAY.into(),
            ticket: "CHG-1042".into(),
            approved_by: staff
                .with_role("it_administrator")
                .next()
                .map(|m| m.person.id.clone()),
            starts: now.minus(Duration::from_secs(1_800)),
            ends: now.plus(Duration::from_secs(4 * 3_600)),
        }];
        Self {
            seed,
            now,
            units,
            people: staff.people(),
            devices: staff::devices(),
            patients,
            vendor_windows,
            resources,
            marks,
        }
    }

    /// The seed it came from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The instant around which its records lie.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Its wards, clinics, programmes and offices.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Staff, parents, the vendor and the workloads.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// One of them.
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.people.iter().find(|p| p.id == *id)
    }

    /// Workstations, laptops, the phone and the pump gateway.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// One of them.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.iter().find(|d| d.id == *id)
    }

    /// Its patients.
    pub fn patients(&self) -> &[SamplePatient] {
        &self.patients
    }

    /// One of them.
    pub fn patient(&self, id: &PatientId) -> Option<&SamplePatient> {
        self.patients.iter().find(|p| p.id == *id)
    }

    /// The vendor's approved window.
    pub fn vendor_windows(&self) -> &[VendorWindow] {
        &self.vendor_windows
    }

    /// The feeds that its relations come from, fresh at the instant of generation.
    pub fn feeds(&self) -> Vec<Feed> {
        ["directory", "encounter", "care_team"]
            .into_iter()
            .map(|name| Feed {
                name: name.into(),
                as_of: self.now,
                max_age_secs: 900,
            })
            .collect()
    }

    /// Every FHIR resource, for a server to start with.
    pub fn resources(&self) -> &[SampleResource] {
        &self.resources
    }

    /// One of them.
    pub fn resource(&self, resource_type: &str, id: &str) -> Option<&SampleResource> {
        self.resources
            .iter()
            .find(|r| r.resource_type == resource_type && r.id == id)
    }
}
