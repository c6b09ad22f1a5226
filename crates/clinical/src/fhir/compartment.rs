//! Whose patient's data a resource holds: the Patient compartment of R4, and rules for what lies outside it.
//!
//! [`MEMBERSHIP`] is HL7's CompartmentDefinition for Patient with its search parameters resolved to element
//! paths; a test holds the two together. 66 types have membership; the others hold no patient's data, except those in
//! [`OUTSIDE`], which can and therefore have rules of their own.

use super::json::Value;

/// A type and the elements that refer to the patients in whose compartment it lies. The first path is the one
/// that says whom the resource is about.
pub(crate) type Row = (&'static str, &'static [&'static str]);

/// Types with membership, sorted.
pub(crate) const MEMBERSHIP: &[Row] = &[
    ("Account", &["subject"]),
    ("AdverseEvent", &["subject"]),
    ("AllergyIntolerance", &["patient", "recorder", "asserter"]),
    ("Appointment", &["participant.actor"]),
    ("AppointmentResponse", &["actor"]),
    ("AuditEvent", &["agent.who", "entity.what"]),
    ("Basic", &["subject", "author"]),
    ("BodyStructure", &["patient"]),
    ("CarePlan", &["subject", "activity.detail.performer"]),
    ("CareTeam", &["subject", "participant.member"]),
    ("ChargeItem", &["subject"]),
    ("Claim", &["patient", "payee.party"]),
    ("ClaimResponse", &["patient"]),
    ("ClinicalImpression", &["subject"]),
    ("Communication", &["subject", "sender", "recipient"]),
    (
        "CommunicationRequest",
        &["subject", "sender", "recipient", "requester"],
    ),
    ("Composition", &["subject", "author", "attester.party"]),
    ("Condition", &["subject", "asserter"]),
    ("Consent", &["patient"]),
    (
        "Coverage",
        &["beneficiary", "policyHolder", "subscriber", "payor"],
    ),
    ("CoverageEligibilityRequest", &["patient"]),
    ("CoverageEligibilityResponse", &["patient"]),
    ("DetectedIssue", &["patient"]),
    ("DeviceRequest", &["subject", "performer"]),
    ("DeviceUseStatement", &["subject"]),
    ("DiagnosticReport", &["subject"]),
    ("DocumentManifest", &["subject", "author", "recipient"]),
    ("DocumentReference", &["subject", "author"]),
    ("Encounter", &["subject"]),
    ("EnrollmentRequest", &["candidate"]),
    ("EpisodeOfCare", &["patient"]),
    ("ExplanationOfBenefit", &["patient", "payee.party"]),
    ("FamilyMemberHistory", &["patient"]),
    ("Flag", &["subject"]),
    ("Goal", &["subject"]),
    ("Group", &["member.entity"]),
    ("ImagingStudy", &["subject"]),
    ("Immunization", &["patient"]),
    ("ImmunizationEvaluation", &["patient"]),
    ("ImmunizationRecommendation", &["patient"]),
    ("Invoice", &["subject", "recipient"]),
    ("List", &["subject", "source"]),
    ("MeasureReport", &["subject"]),
    ("Media", &["subject"]),
    ("MedicationAdministration", &["subject", "performer.actor"]),
    ("MedicationDispense", &["subject", "receiver"]),
    ("MedicationRequest", &["subject"]),
    ("MedicationStatement", &["subject"]),
    ("MolecularSequence", &["patient"]),
    ("NutritionOrder", &["patient"]),
    ("Observation", &["subject", "performer"]),
    ("Patient", &["link.other"]),
    ("Person", &["link.target"]),
    ("Procedure", &["subject", "performer.actor"]),
    ("Provenance", &["target"]),
    ("QuestionnaireResponse", &["subject", "author"]),
    ("RelatedPerson", &["patient"]),
    ("RequestGroup", &["subject", "action.participant"]),
    ("ResearchSubject", &["individual"]),
    ("RiskAssessment", &["subject"]),
    ("Schedule", &["actor"]),
    ("ServiceRequest", &["subject", "performer"]),
    ("Specimen", &["subject"]),
    ("SupplyDelivery", &["patient"]),
    ("SupplyRequest", &["deliverTo"]),
    ("VisionPrescription", &["patient"]),
];

/// Types without membership that can hold a patient's data all the same. A path that is empty: the patient can
/// never be told from the resource alone.
pub(crate) const OUTSIDE: &[Row] = &[
    ("Binary", &["securityContext"]),
    ("BiologicallyDerivedProduct", &["collection.source"]),
    ("Contract", &["subject", "signer.party"]),
    ("Device", &["patient"]),
    ("EnrollmentResponse", &["request"]),
    ("GuidanceResponse", &["subject"]),
    ("Linkage", &["item.resource"]),
    ("MessageHeader", &["focus"]),
    ("PaymentNotice", &["request", "response"]),
    ("PaymentReconciliation", &["detail.request", "request"]),
    ("Subscription", &[""]),
    ("Task", &["for", "requester", "owner"]),
    ("VerificationResult", &["target"]),
];

/// Types that are about nobody when they name nobody; every other type of the two tables is then about a patient
/// who is not told.
const ABOUT_NOBODY_IF_SILENT: &[&str] = &["Device", "Group", "Patient", "Schedule"];

/// What a type's name says of a reference to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A patient.
    Patient,
    /// Several patients, perhaps; they cannot be told.
    Group,
    /// Something that is about a patient.
    Clinical,
    /// Nothing about a patient: staff, organisations, places, devices, definitions.
    Neutral,
}

fn row(table: &'static [Row], resource_type: &str) -> Option<&'static [&'static str]> {
    let at = table
        .binary_search_by(|(name, _)| (*name).cmp(resource_type))
        .ok()?;
    Some(table[at].1)
}

/// Whether resources of this type can lie in a patient's compartment (R4 CompartmentDefinition).
pub fn is_patient_compartment(resource_type: &str) -> bool {
    row(MEMBERSHIP, resource_type).is_some()
}

/// The elements that tell whose data a resource of this type holds, the one that says whom it is about first.
pub(crate) fn paths(resource_type: &str) -> &'static [&'static str] {
    row(MEMBERSHIP, resource_type)
        .or_else(|| row(OUTSIDE, resource_type))
        .unwrap_or(&[])
}

/// Whether a resource of this type that names nobody is about nobody.
pub(crate) fn silent_is_nobody(resource_type: &str) -> bool {
    ABOUT_NOBODY_IF_SILENT.contains(&resource_type) || paths(resource_type).is_empty()
}

/// What a reference to this type means.
pub(crate) fn class(resource_type: &str) -> Class {
    match resource_type {
        "Patient" => Class::Patient,
        "Group" => Class::Group,
        "Device" => Class::Neutral,
        _ if paths(resource_type).is_empty() => Class::Neutral,
        _ => Class::Clinical,
    }
}

/// Calls `found` with each value at `path` (names separated by `.`) below `value`, through arrays.
pub(crate) fn walk<'d>(value: Value<'d>, path: &str, found: &mut dyn FnMut(Value<'d>)) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(member) = value.get(name) else {
        return;
    };
    for item in member.items() {
        match rest {
            Some(rest) => walk(item, rest, found),
            None => found(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_apart() {
        for table in [MEMBERSHIP, OUTSIDE] {
            assert!(table.windows(2).all(|w| w[0].0 < w[1].0));
        }
        assert_eq!(MEMBERSHIP.len(), 66);
        assert!(OUTSIDE.iter().all(|(t, _)| !is_patient_compartment(t)));
        assert!(is_patient_compartment("Observation") && !is_patient_compartment("Location"));
    }

    /// Reads HL7's definition as the table should read it, from the published files.
    fn published() -> Option<Vec<(String, Vec<String>)>> {
        let root = std::env::var_os("ASEPSIS_DATA").map_or_else(
            || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            std::path::PathBuf::from,
        );
        let read = |name: &str| -> Option<serde_json::Value> {
            let text = std::fs::read(root.join("fhir/r4").join(name)).ok()?;
            Some(serde_json::from_slice(&text).expect("json"))
        };
        let definition = read("compartmentdefinition-patient.json")?;
        let parameters = read("search-parameters.json")?;
        let expression = |base: &str, code: &str| -> String {
            parameters["entry"]
                .as_array()
                .expect("entries")
                .iter()
                .map(|entry| &entry["resource"])
                .find(|p| {
                    p["code"] == code
                        && p["base"]
                            .as_array()
                            .is_some_and(|b| b.iter().any(|b| b == base))
                })
                .and_then(|p| p["expression"].as_str())
                .expect("a parameter of R4")
                .to_owned()
        };
        let mut rows = Vec::new();
        for resource in definition["resource"].as_array().expect("resources") {
            let base = resource["code"].as_str().expect("code");
            let mut paths = Vec::new();
            for code in resource["param"].as_array().into_iter().flatten() {
                for part in expression(base, code.as_str().expect("text")).split('|') {
                    let part = part
                        .trim()
                        .trim_start_matches('(')
                        .replace(".where(resolve() is Patient)", "");
                    if let Some(path) = part.trim_end_matches(')').strip_prefix(&format!("{base}."))
                    {
                        paths.push(path.to_owned());
                    }
                }
            }
            paths.sort();
            paths.dedup();
            if !paths.is_empty() {
                rows.push((base.to_owned(), paths));
            }
        }
        rows.sort();
        Some(rows)
    }

    #[test]
    fn the_table_is_the_published_compartment_definition() {
        let Some(published) = published() else {
            eprintln!("SKIPPED: no FHIR definitions; set ASEPSIS_DATA");
            return;
        };
        let ours: Vec<_> = MEMBERSHIP
            .iter()
            .map(|(name, paths)| {
                let mut paths: Vec<_> = paths.iter().map(|p| (*p).to_owned()).collect();
                paths.sort();
                ((*name).to_owned(), paths)
            })
            .collect();
        assert_eq!(ours, published);
    }
}
