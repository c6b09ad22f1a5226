//! What is asked for.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    ApplicationId, Confidentiality, DeviceId, PatientId, PersonId, SensitivitySet, UnitId,
};

/// A resource of any protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resource {
    /// What the URL of a FHIR request tells before anything was read.
    FhirEndpoint(FhirEndpoint),
    /// One FHIR resource whose content is known.
    FhirResource(Box<FhirResource>),
    /// A place in a plain web application.
    WebPage(WebPage),
    /// A DICOM node.
    DicomNode(DicomNode),
    /// An HL7 v2 interface.
    Hl7Interface(Hl7Interface),
    /// A network service of a device.
    NetworkService(NetworkService),
    /// A part of the console.
    Console(ConsoleArea),
}

/// A FHIR interaction's address. Whose data it will touch is known only as far as the URL says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FhirEndpoint {
    /// The FHIR application.
    pub application: ApplicationId,
    /// Resource type; `*` for the whole system; anything else than an R4 type is unclassified.
    pub resource_type: SmolStr,
    /// Logical id, if the URL names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SmolStr>,
    /// Patients whom the URL names (compartment search, `patient=`, `Patient/1`); empty: not known from the URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<PatientId>,
    /// Name of the operation, without `$`, for `fhir:operation` and `fhir:export`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<SmolStr>,
    /// `category` that a search is restricted to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<SmolStr>,
}

/// A FHIR resource as its content shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FhirResource {
    /// The FHIR application.
    pub application: ApplicationId,
    /// Resource type.
    pub resource_type: SmolStr,
    /// Logical id; absent for one that is about to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SmolStr>,
    /// Patients in whose compartment it lies (R4 CompartmentDefinition), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<PatientId>,
    /// `meta.security`: confidentiality.
    #[serde(default)]
    pub confidentiality: Confidentiality,
    /// `meta.security`: sensitivities.
    #[serde(default)]
    pub labels: SensitivitySet,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<PersonId>,
    /// The device it reports of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The unit or programme that keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// `category` codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<SmolStr>,
    /// A controlled medicine.
    #[serde(default)]
    pub controlled: bool,
    /// Part of a de-identified data set.
    #[serde(default)]
    pub deidentified: bool,
    /// What a write would change, for create, update, patch and delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// What a write does beyond its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Labels that the stored resource has and the new one lacks.
    pub removes_labels: SensitivitySet,
    /// The new confidentiality is lower than the stored one.
    pub lowers_confidentiality: bool,
    /// The resource moves to another patient's compartment.
    pub moves_patient: bool,
    /// People to whom the new state gives access (care team members, group members, consent actors).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub benefits: Vec<PersonId>,
}

/// A place in a plain web application, named by the rule that matched the canonical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebPage {
    /// The application.
    pub application: ApplicationId,
    /// Name of the path rule that matched; `*` when none did.
    pub area: SmolStr,
    /// The canonical path.
    pub path: SmolStr,
    /// Roles that the matching rule admits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<crate::Role>,
}

/// A DICOM application entity, and what an operation on it would reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DicomNode {
    /// Its AE title.
    pub ae_title: SmolStr,
    /// C-MOVE: where the images would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<SmolStr>,
    /// Whether the destination is one the hospital listed.
    #[serde(default)]
    pub destination_listed: bool,
    /// C-FIND: whether the query asks for everybody.
    #[serde(default)]
    pub wildcard: bool,
    /// Patient named by the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientId>,
}

/// An HL7 v2 interface and the message sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hl7Interface {
    /// Its name.
    pub name: SmolStr,
    /// MSH-9.1, such as `ORU`.
    pub message_code: SmolStr,
    /// MSH-9.2, such as `R01`.
    pub trigger: SmolStr,
}

/// A network service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkService {
    /// The device that offers it.
    pub device: DeviceId,
    /// `tcp` or `udp`.
    pub protocol: SmolStr,
    /// Port number.
    pub port: u16,
}

/// A part of the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleArea {
    /// `decisions`, `applications`, `people`, `sessions`, `audit`.
    pub area: SmolStr,
}

impl Resource {
    /// The application that holds it, where there is one.
    pub fn application(&self) -> Option<&ApplicationId> {
        match self {
            Self::FhirEndpoint(r) => Some(&r.application),
            Self::FhirResource(r) => Some(&r.application),
            Self::WebPage(r) => Some(&r.application),
            Self::DicomNode(_)
            | Self::Hl7Interface(_)
            | Self::NetworkService(_)
            | Self::Console(_) => None,
        }
    }

    /// Patients known to be concerned.
    pub fn patients(&self) -> &[PatientId] {
        match self {
            Self::FhirEndpoint(r) => &r.patients,
            Self::FhirResource(r) => &r.patients,
            Self::DicomNode(r) => r.patient.as_slice(),
            Self::WebPage(_)
            | Self::Hl7Interface(_)
            | Self::NetworkService(_)
            | Self::Console(_) => &[],
        }
    }
}
