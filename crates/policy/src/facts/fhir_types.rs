//! FHIR R4 resource types, grouped by what they mean to a hospital.
//!
//! Types that no group names (`Bundle`, `Subscription`, `Parameters` …) and names that are no R4 type lie in
//! none, so that no policy about a group reaches them.

/// Types in the order of their names, each with its groups.
///
/// `chart`: what those who care for a patient need. `medication`: what a pharmacy needs. `financial`: accounts
/// and claims. `demographic`: who the patient is. `scheduling`: appointments and stays. `directory`: describes
/// staff, places, products and codes, and names no patient. `access`: decides who may see what. `oversight`: who
/// did what. `attachment`: bytes of any kind. What each calling writes: `care_entry` (physicians), `nursing_entry`,
/// `dispensing_entry`, `registration`.
const GROUPS: &[(&str, &[&str])] = &[
    ("Account", &["financial", "registration"]),
    ("ActivityDefinition", &["directory"]),
    ("AdverseEvent", &["chart", "care_entry", "nursing_entry"]),
    (
        "AllergyIntolerance",
        &["chart", "medication", "care_entry", "nursing_entry"],
    ),
    (
        "Appointment",
        &["chart", "scheduling", "care_entry", "registration"],
    ),
    (
        "AppointmentResponse",
        &["chart", "scheduling", "care_entry", "registration"],
    ),
    ("AuditEvent", &["oversight"]),
    ("Binary", &["chart", "attachment", "care_entry"]),
    ("BodyStructure", &["chart", "care_entry"]),
    ("CapabilityStatement", &["directory"]),
    ("CarePlan", &["chart", "care_entry", "nursing_entry"]),
    ("CareTeam", &["chart", "access", "care_entry"]),
    ("CatalogEntry", &["directory"]),
    ("ChargeItem", &["financial"]),
    ("ChargeItemDefinition", &["directory"]),
    ("Claim", &["financial"]),
    ("ClaimResponse", &["financial"]),
    ("ClinicalImpression", &["chart", "care_entry"]),
    ("CodeSystem", &["directory"]),
    ("Communication", &["chart", "care_entry", "nursing_entry"]),
    (
        "CommunicationRequest",
        &["chart", "care_entry", "nursing_entry"],
    ),
    ("CompartmentDefinition", &["directory"]),
    ("Composition", &["chart", "care_entry"]),
    ("ConceptMap", &["directory"]),
    ("Condition", &["chart", "care_entry"]),
    ("Consent", &["chart", "access", "oversight"]),
    ("Coverage", &["financial", "registration"]),
    ("CoverageEligibilityRequest", &["financial"]),
    ("CoverageEligibilityResponse", &["financial"]),
    (
        "DetectedIssue",
        &["chart", "medication", "care_entry", "dispensing_entry"],
    ),
    ("Device", &["chart", "directory"]),
    ("DeviceDefinition", &["directory"]),
    ("DeviceMetric", &["chart", "care_entry"]),
    ("DeviceRequest", &["chart", "care_entry"]),
    (
        "DeviceUseStatement",
        &["chart", "care_entry", "nursing_entry"],
    ),
    ("DiagnosticReport", &["chart", "care_entry"]),
    ("DocumentManifest", &["chart", "care_entry"]),
    (
        "DocumentReference",
        &["chart", "care_entry", "nursing_entry"],
    ),
    (
        "Encounter",
        &["chart", "scheduling", "care_entry", "registration"],
    ),
    ("Endpoint", &["directory"]),
    ("EnrollmentRequest", &["financial"]),
    ("EnrollmentResponse", &["financial"]),
    (
        "EpisodeOfCare",
        &["chart", "scheduling", "care_entry", "registration"],
    ),
    ("ExplanationOfBenefit", &["financial"]),
    ("FamilyMemberHistory", &["chart", "care_entry"]),
    ("Flag", &["chart", "care_entry", "nursing_entry"]),
    ("Goal", &["chart", "care_entry", "nursing_entry"]),
    ("Group", &["chart", "access"]),
    ("GuidanceResponse", &["chart", "care_entry"]),
    ("HealthcareService", &["directory"]),
    ("ImagingStudy", &["chart", "care_entry"]),
    (
        "Immunization",
        &["chart", "medication", "care_entry", "nursing_entry"],
    ),
    ("ImmunizationEvaluation", &["chart", "care_entry"]),
    ("ImmunizationRecommendation", &["chart", "care_entry"]),
    ("ImplementationGuide", &["directory"]),
    ("InsurancePlan", &["directory"]),
    ("Invoice", &["financial"]),
    ("Library", &["directory"]),
    ("List", &["chart", "care_entry"]),
    ("Location", &["directory"]),
    ("Measure", &["directory"]),
    ("Media", &["chart", "attachment", "care_entry"]),
    ("Medication", &["medication", "directory"]),
    (
        "MedicationAdministration",
        &["chart", "medication", "care_entry", "nursing_entry"],
    ),
    (
        "MedicationDispense",
        &["chart", "medication", "dispensing_entry"],
    ),
    ("MedicationKnowledge", &["directory"]),
    ("MedicationRequest", &["chart", "medication", "care_entry"]),
    (
        "MedicationStatement",
        &["chart", "medication", "care_entry"],
    ),
    ("MolecularSequence", &["chart", "care_entry"]),
    ("NamingSystem", &["directory"]),
    ("NutritionOrder", &["chart", "care_entry"]),
    ("Observation", &["chart", "care_entry", "nursing_entry"]),
    ("ObservationDefinition", &["directory"]),
    ("OperationDefinition", &["directory"]),
    ("Organization", &["directory"]),
    ("OrganizationAffiliation", &["directory"]),
    ("Patient", &["chart", "demographic", "registration"]),
    ("PaymentNotice", &["financial"]),
    ("PaymentReconciliation", &["financial"]),
    ("Person", &["demographic", "registration"]),
    ("PlanDefinition", &["directory"]),
    ("Practitioner", &["directory"]),
    ("PractitionerRole", &["directory"]),
    ("Procedure", &["chart", "care_entry", "nursing_entry"]),
    (
        "Provenance",
        &["chart", "oversight", "care_entry", "nursing_entry"],
    ),
    ("Questionnaire", &["directory"]),
    (
        "QuestionnaireResponse",
        &["chart", "care_entry", "nursing_entry"],
    ),
    ("RelatedPerson", &["chart", "demographic", "registration"]),
    ("RequestGroup", &["chart", "care_entry"]),
    ("RiskAssessment", &["chart", "care_entry"]),
    ("Schedule", &["scheduling", "directory", "registration"]),
    ("SearchParameter", &["directory"]),
    ("ServiceRequest", &["chart", "care_entry"]),
    ("Slot", &["scheduling", "directory", "registration"]),
    ("Specimen", &["chart", "care_entry", "nursing_entry"]),
    ("SpecimenDefinition", &["directory"]),
    ("StructureDefinition", &["directory"]),
    ("StructureMap", &["directory"]),
    ("Substance", &["directory"]),
    ("SupplyDelivery", &["chart", "care_entry"]),
    ("SupplyRequest", &["chart", "care_entry"]),
    ("Task", &["chart", "care_entry", "nursing_entry"]),
    ("ValueSet", &["directory"]),
    ("VisionPrescription", &["chart", "care_entry"]),
];

/// The groups of a resource type.
pub(crate) fn groups(resource_type: &str) -> &'static [&'static str] {
    GROUPS
        .binary_search_by(|(name, _)| (*name).cmp(resource_type))
        .map_or(&[], |at| GROUPS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found() {
        assert!(GROUPS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, expected) in GROUPS {
            assert_eq!(groups(name), *expected);
        }
        assert!(groups("Subscription").is_empty());
        assert!(groups("*").is_empty());
        assert!(groups("observation").is_empty());
    }
}
