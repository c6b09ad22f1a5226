//! The product reads the sample records as they are meant: whose they are, how sensitive, who wrote and keeps them.

use clinical::fhir::{facts, is_patient_compartment};
use domain::{ApplicationId, Sensitivity, Timestamp};
use sample::{Example, Hospital};
use serde_json::Value;

#[test]
fn every_record_is_understood_and_belongs_to_its_patient() {
    let now = Timestamp::parse("2026-11-22T10:00:00Z").expect("valid");
    let hospital = Hospital::generate(4, now);
    let application = ApplicationId::new("fhir");
    for stored in hospital.resources() {
        let judged = facts(&application, &stored.json)
            .unwrap_or_else(|error| panic!("{error:?}: {}", String::from_utf8_lossy(&stored.json)));
        let json: Value = serde_json::from_slice(&stored.json).expect("JSON");
        let named = ["subject", "patient", "beneficiary", "securityContext"]
            .iter()
            .find_map(|name| json[*name]["reference"].as_str()?.strip_prefix("Patient/"));
        let whose: Vec<&str> = judged.patients.iter().map(|p| p.as_str()).collect();
        match (stored.resource_type, named) {
            ("Patient", _) => assert_eq!(whose, [stored.id.as_str()]),
            (_, Some(patient)) => assert_eq!(whose, [patient], "{json}"),
            (kind, None) => {
                assert!(whose.is_empty(), "{json}");
                assert!(!is_patient_compartment(kind), "{json}");
            }
        }
        assert!(!judged.labels.contains(Sensitivity::Unknown), "{json}");
        if judged.labels.contains(Sensitivity::SubstanceUse) && stored.resource_type != "Consent" {
            assert_eq!(
                judged.unit.as_ref().map(|u| u.as_str()),
                Some("harbour"),
                "{json}"
            );
        }
        if judged.labels.contains(Sensitivity::PsychotherapyNote) {
            assert_eq!(judged.authors.len(), 1, "{json}");
        }
    }
    let cast = hospital.example(Example::ControlledMedicine);
    let (kind, id) = cast.resource.expect("about a prescription");
    let stored = hospital.resource(&kind, &id).expect("known");
    assert!(
        facts(&application, &stored.json)
            .expect("understood")
            .controlled
    );
}
