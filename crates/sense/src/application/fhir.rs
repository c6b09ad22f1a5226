//! FHIR over cleartext HTTP (R4 and R5, "RESTful API"): which interaction a request is, which software the server
//! runs, which devices its Device resources describe. Identifiers in paths, queries and every other resource are left
//! alone.

use domain::net::Party;
use domain::observation::{Asset, EvidenceKind};
use smol_str::SmolStr;

use super::markup::{Node, attribute};
use super::{Findings, json, markup};
use crate::text::Printable;

/// What was asked for, so that the answer can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    meaning: &'static str,
    /// Whether the request alone shows that it is FHIR.
    sure: bool,
}

/// The resource types of R4 and R5, sorted.
const TYPES: [&str; 178] = [
    "Account",
    "ActivityDefinition",
    "ActorDefinition",
    "AdministrableProductDefinition",
    "AdverseEvent",
    "AllergyIntolerance",
    "Appointment",
    "AppointmentResponse",
    "ArtifactAssessment",
    "AuditEvent",
    "Basic",
    "Binary",
    "BiologicallyDerivedProduct",
    "BiologicallyDerivedProductDispense",
    "BodyStructure",
    "Bundle",
    "CapabilityStatement",
    "CarePlan",
    "CareTeam",
    "CatalogEntry",
    "ChargeItem",
    "ChargeItemDefinition",
    "Citation",
    "Claim",
    "ClaimResponse",
    "ClinicalImpression",
    "ClinicalUseDefinition",
    "CodeSystem",
    "Communication",
    "CommunicationRequest",
    "CompartmentDefinition",
    "Composition",
    "ConceptMap",
    "Condition",
    "ConditionDefinition",
    "Consent",
    "Contract",
    "Coverage",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "DetectedIssue",
    "Device",
    "DeviceAssociation",
    "DeviceDefinition",
    "DeviceDispense",
    "DeviceMetric",
    "DeviceRequest",
    "DeviceUsage",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "EffectEvidenceSynthesis",
    "Encounter",
    "EncounterHistory",
    "Endpoint",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "EpisodeOfCare",
    "EventDefinition",
    "Evidence",
    "EvidenceReport",
    "EvidenceVariable",
    "ExampleScenario",
    "ExplanationOfBenefit",
    "FamilyMemberHistory",
    "Flag",
    "FormularyItem",
    "GenomicStudy",
    "Goal",
    "GraphDefinition",
    "Group",
    "GuidanceResponse",
    "HealthcareService",
    "ImagingSelection",
    "ImagingStudy",
    "Immunization",
    "ImmunizationEvaluation",
    "ImmunizationRecommendation",
    "ImplementationGuide",
    "Ingredient",
    "InsurancePlan",
    "InventoryItem",
    "InventoryReport",
    "Invoice",
    "Library",
    "Linkage",
    "List",
    "Location",
    "ManufacturedItemDefinition",
    "Measure",
    "MeasureReport",
    "Media",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationKnowledge",
    "MedicationRequest",
    "MedicationStatement",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductDefinition",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "MessageDefinition",
    "MessageHeader",
    "MolecularSequence",
    "NamingSystem",
    "NutritionIntake",
    "NutritionOrder",
    "NutritionProduct",
    "Observation",
    "ObservationDefinition",
    "OperationDefinition",
    "OperationOutcome",
    "Organization",
    "OrganizationAffiliation",
    "PackagedProductDefinition",
    "Parameters",
    "Patient",
    "PaymentNotice",
    "PaymentReconciliation",
    "Permission",
    "Person",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "Questionnaire",
    "QuestionnaireResponse",
    "RegulatedAuthorization",
    "RelatedPerson",
    "RequestGroup",
    "RequestOrchestration",
    "Requirements",
    "ResearchDefinition",
    "ResearchElementDefinition",
    "ResearchStudy",
    "ResearchSubject",
    "RiskAssessment",
    "RiskEvidenceSynthesis",
    "Schedule",
    "SearchParameter",
    "ServiceRequest",
    "Slot",
    "Specimen",
    "SpecimenDefinition",
    "StructureDefinition",
    "StructureMap",
    "Subscription",
    "SubscriptionStatus",
    "SubscriptionTopic",
    "Substance",
    "SubstanceDefinition",
    "SubstanceNucleicAcid",
    "SubstancePolymer",
    "SubstanceProtein",
    "SubstanceReferenceInformation",
    "SubstanceSourceMaterial",
    "SubstanceSpecification",
    "SupplyDelivery",
    "SupplyRequest",
    "Task",
    "TerminologyCapabilities",
    "TestPlan",
    "TestReport",
    "TestScript",
    "Transport",
    "ValueSet",
    "VerificationResult",
    "VisionPrescription",
];

fn is_type(segment: &[u8]) -> bool {
    segment.first().is_some_and(u8::is_ascii_uppercase)
        && TYPES
            .binary_search_by(|known| known.as_bytes().cmp(segment))
            .is_ok()
}

/// Whether a segment of the base says FHIR: `fhir`, `fhir-server`, `baseR4`, `r4`, `stu3`.
fn names_fhir(segment: &[u8]) -> bool {
    let lower = |b: &u8| b.to_ascii_lowercase();
    let mut buffer = [0_u8; 16];
    let length = segment.len().min(buffer.len());
    buffer[..length]
        .iter_mut()
        .zip(segment)
        .for_each(|(to, from)| *to = lower(from));
    let text = &buffer[..length];
    text.starts_with(b"fhir")
        || matches!(
            text,
            b"r4"
                | b"r4b"
                | b"r5"
                | b"dstu2"
                | b"stu3"
                | b"baser4"
                | b"baser5"
                | b"basedstu2"
                | b"basedstu3"
        )
}

/// What a request is, if it is FHIR's: `Some(None)` when its answer is of no interest.
pub(super) fn request(
    method: &[u8],
    target: &[u8],
    media: bool,
    findings: &mut Findings<'_>,
) -> Option<Option<Asked>> {
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let path = match path.strip_prefix(b"http://") {
        // The absolute form, as for a proxy.
        Some(rest) => &rest[memchr::memchr(b'/', rest)?..],
        None => path,
    };
    let mut segments = path
        .split(|b| *b == b'/')
        .filter(|segment| !segment.is_empty())
        .take(16);
    let mut sure = media;
    let mut kind: Option<&[u8]> = None;
    let mut after = [&[][..]; 3];
    let mut count = 0;
    for segment in &mut segments {
        if kind.is_some() {
            if count < 3 {
                after[count] = segment;
            }
            count += 1;
        } else if is_type(segment) {
            kind = Some(segment);
        } else if segment == b"metadata" {
            kind = Some(b"CapabilityStatement");
            after[0] = segment;
            count = 1;
        } else if segment.first() == Some(&b'$') && sure {
            kind = Some(b"");
            after[0] = segment;
            count = 1;
        } else {
            sure |= names_fhir(segment);
        }
    }
    let operation = after.iter().any(|segment| segment.first() == Some(&b'$'));
    let meaning = match (method, kind, count) {
        (b"POST", None, _) if sure => "FHIR batch",
        (_, None, _) => return None,
        _ if operation => "FHIR operation",
        (b"GET", _, 1) if after[0] == b"metadata" => "FHIR capabilities",
        (b"POST", _, 1) if after[0] == b"_search" => "FHIR search",
        (b"GET" | b"HEAD", _, 0) => "FHIR search",
        (b"GET" | b"HEAD", _, 1) if after[0] == b"_history" => "FHIR history",
        (b"GET" | b"HEAD", _, 1) => "FHIR read",
        (b"GET" | b"HEAD", _, 2) if after[1] == b"_history" => "FHIR history",
        (b"GET" | b"HEAD", _, 2) => "FHIR search",
        (b"GET" | b"HEAD", _, 3) if after[1] == b"_history" => "FHIR read",
        (b"POST", _, 0) => "FHIR create",
        (b"PUT", _, 0 | 1) => "FHIR update",
        (b"PATCH", _, 0 | 1) => "FHIR patch",
        (b"DELETE", _, 0 | 1) => "FHIR delete",
        _ => return None,
    };
    if sure {
        findings.service("fhir");
        findings.meaning(meaning);
        findings.about_client(EvidenceKind::FhirRole, "client");
    }
    Some(Some(Asked { meaning, sure }))
}

/// Who said a document.
fn speaker(findings: &Findings<'_>, from_client: bool) -> Party {
    if from_client {
        findings.scene.client
    } else {
        findings.scene.server
    }
}

fn note(asked: Option<Asked>, from_client: bool, findings: &mut Findings<'_>) {
    if from_client {
        return;
    }
    findings.service("fhir");
    findings.about_server(EvidenceKind::FhirRole, "server");
    if let Some(asked) = asked.filter(|asked| !asked.sure) {
        findings.meaning(asked.meaning);
        findings.about_client(EvidenceKind::FhirRole, "client");
    }
}

/// The facts of one Device resource.
#[derive(Default)]
struct Device<'a> {
    manufacturer: &'a [u8],
    model: &'a [u8],
    serial: &'a [u8],
    udi: &'a [u8],
    carrier: &'a [u8],
    name: &'a [u8],
    version: &'a [u8],
    kind: &'a [u8],
}

impl Device<'_> {
    fn say(&self, party: &Party, findings: &mut Findings<'_>) {
        let asset = if let Some(udi) = wire::udi(self.carrier).or_else(|| wire::udi(self.udi)) {
            let mut text = udi.to_string();
            if udi.serial.is_none() && !self.serial.is_empty() {
                text = format!("{text}(21){}", Printable(self.serial));
            }
            Asset::Udi(SmolStr::new(cut(&text)))
        } else if !self.serial.is_empty()
            && (!self.manufacturer.is_empty() || !self.model.is_empty())
        {
            let text = format!(
                "{} {} {}",
                Printable(self.manufacturer),
                Printable(self.model),
                Printable(self.serial)
            );
            Asset::Serial(SmolStr::new(cut(&text)))
        } else if !self.udi.is_empty() {
            Asset::Udi(SmolStr::new(cut(&Printable(self.udi).to_string())))
        } else {
            return;
        };
        for (name, value) in [
            ("manufacturer", self.manufacturer),
            ("modelNumber", self.model),
            ("serialNumber", self.serial),
            ("udi", self.udi),
            ("deviceName", self.name),
            ("version", self.version),
            ("type", self.kind),
        ] {
            if !value.is_empty() {
                let value = format_args!("{name}={}", Printable(value));
                findings.asset_of(party, &asset, EvidenceKind::FhirDevice, value);
            }
        }
    }
}

/// Assets are keys: long ones are cut.
fn cut(text: &str) -> &str {
    let text = text.trim();
    &text[..text.floor_char_boundary(200)]
}

/// Reads a JSON document, as far as it came.
pub(super) fn json(
    document: &[u8],
    asked: Option<Asked>,
    from_client: bool,
    findings: &mut Findings<'_>,
) {
    let party = speaker(findings, from_client);
    let mut kind: &[u8] = b"";
    let mut is_fhir = false;
    let mut level = 0;
    let mut device = Device::default();
    // deviceName is a pair of name and type in any order.
    let (mut name, mut named): (&[u8], bool) = (b"", false);
    json::walk(document, |path, value| {
        if value.len() > 256 {
            return true;
        }
        if path.last() == Some(&&b"resourceType"[..]) {
            if kind == b"Device" {
                device.say(&party, findings);
            }
            (device, name, named) = (Device::default(), b"", false);
            let own = matches!(
                path,
                [_] | [b"entry", b"resource", _]
                    | [b"contained", _]
                    | [b"entry", b"resource", b"contained", _]
            );
            (kind, level) = if own {
                (value, path.len() - 1)
            } else {
                (&b""[..], 0)
            };
            is_fhir |= own && is_type(value);
            return true;
        }
        let Some(inside) = path.get(level..) else {
            return true;
        };
        match (kind, inside) {
            (
                b"CapabilityStatement" | b"Conformance",
                [b"software", key @ (b"name" | b"version")] | [key @ b"fhirVersion"],
            ) if !from_client => {
                let value = format_args!("{}={}", Printable(key), Printable(value));
                findings.about_server(EvidenceKind::FhirSoftware, value);
            }
            // What follows describes resources; nothing of it is needed.
            (b"CapabilityStatement" | b"Conformance", [b"rest", ..]) => return false,
            (b"Device", [b"manufacturer"]) => device.manufacturer = value,
            (b"Device", [b"modelNumber" | b"model"]) => device.model = value,
            (b"Device", [b"serialNumber"]) => device.serial = value,
            (b"Device", [b"udiCarrier" | b"udi", b"deviceIdentifier"]) => device.udi = value,
            (b"Device", [b"udiCarrier" | b"udi", b"carrierHRF"]) => device.carrier = value,
            (b"Device", [b"version", b"value"] | [b"version"]) => device.version = value,
            (b"Device", [b"type", b"coding", b"display"]) => device.kind = value,
            // A user-friendly or patient-reported name may be a person's: only the maker's names are taken.
            (b"Device", [b"deviceName" | b"name", b"name" | b"value"]) => {
                if named {
                    device.name = value;
                    named = false;
                } else {
                    name = value;
                }
            }
            (b"Device", [b"deviceName" | b"name", b"type"]) => {
                let makers = matches!(
                    value,
                    b"udi-label-name" | b"manufacturer-name" | b"model-name" | b"registered-name"
                );
                if makers && !name.is_empty() {
                    device.name = name;
                } else {
                    named = makers;
                }
                name = b"";
            }
            _ => {}
        }
        true
    });
    if kind == b"Device" {
        device.say(&party, findings);
    }
    if is_fhir {
        note(asked, from_client, findings);
    }
}

/// Reads an XML document, as far as it came: the software of a CapabilityStatement. Other resources are left alone.
pub(super) fn xml(
    document: &[u8],
    asked: Option<Asked>,
    from_client: bool,
    findings: &mut Findings<'_>,
) {
    let mut depth = 0_usize;
    let mut in_software = false;
    let mut is_fhir = false;
    let mut capabilities = false;
    markup::walk(document, |node| {
        match node {
            Node::Open(name, attributes) => {
                match depth {
                    0 => {
                        is_fhir = is_type(name.as_bytes());
                        capabilities = matches!(name, "CapabilityStatement" | "Conformance");
                        if !capabilities {
                            return false;
                        }
                    }
                    1 => {
                        in_software = name == "software";
                        if name == "rest" {
                            return false;
                        }
                    }
                    2 if in_software && matches!(name, "name" | "version") && !from_client => {
                        if let Some(value) = attribute(attributes, "value") {
                            let value = format_args!("{name}={value}");
                            findings.about_server(EvidenceKind::FhirSoftware, value);
                        }
                    }
                    _ => {}
                }
                depth += 1;
            }
            Node::Text(_) => {}
            Node::Close => depth = depth.saturating_sub(1),
        }
        true
    });
    if is_fhir {
        note(asked, from_client, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_sorted_so_that_they_are_found() {
        assert!(TYPES.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            is_type(b"Patient") && is_type(b"Device") && !is_type(b"patient") && !is_type(b"Jane")
        );
    }
}
