//! Published FHIR data: every R4 example and every record of the Synthea sample is read as what it is.
//!
//! The data folder is `ASEPSIS_DATA`, or `../shared/data` beside the workspace; without it these tests say so and
//! pass.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::path::PathBuf;

use clinical::fhir::{
    self, ResponseShape, Service, UNKNOWN_PATIENT, Verdict, Write, classify, facts, judge_response,
};
use domain::{ApplicationId, PatientId};
use http::{HeaderMap, HeaderValue, Method};

fn files(below: &str) -> Vec<(String, Vec<u8>)> {
    let root = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let Ok(folder) = fs::read_dir(root.join(below)) else {
        eprintln!("SKIPPED: no `{below}` in the data folder; set ASEPSIS_DATA");
        return Vec::new();
    };
    let mut found: Vec<_> = folder
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            name.ends_with(".json")
                .then(|| (name, fs::read(&path).expect("readable data")))
        })
        .collect();
    found.sort();
    found
}

fn application() -> ApplicationId {
    ApplicationId::new("chart")
}

#[test]
fn every_r4_example_is_read() {
    let files = files("fhir/r4");
    let mut with_patient = 0;
    for (name, bytes) in &files {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("json");
        let found = facts(&application(), bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            value["resourceType"],
            found.resource_type.as_str(),
            "{name}"
        );
        assert_eq!(value["id"].as_str(), found.id.as_deref(), "{name}");
        if found.resource_type == "Patient" {
            let id = found.id.as_deref().unwrap_or(UNKNOWN_PATIENT);
            assert!(found.patients.contains(&PatientId::new(id)), "{name}");
        }
        // What says `subject` or `patient` with a plain reference is in that patient's compartment.
        for key in ["subject", "patient", "beneficiary"] {
            let reference = value[key]["reference"]
                .as_str()
                .and_then(|r| r.strip_prefix("Patient/"));
            if let (Some(id), true) = (
                reference,
                fhir::is_patient_compartment(&found.resource_type),
            ) {
                assert!(found.patients.contains(&PatientId::new(id)), "{name}");
                with_patient += 1;
            }
        }
    }
    assert!(
        files.is_empty() || with_patient > 80,
        "{with_patient} examples with a patient"
    );
}

#[test]
fn every_r4_example_passes_or_stays_as_a_whole() {
    for (name, bytes) in files("fhir/r4") {
        let found = facts(&application(), &bytes).expect("read before");
        let resource_type = found.resource_type.clone();
        let shape = match found.id.clone() {
            Some(id) => ResponseShape::Single { resource_type, id },
            None => ResponseShape::Written {
                resource_type,
                id: None,
            },
        };
        let all = judge_response(&application(), &shape, &bytes, &mut |_| Verdict::Release)
            .expect("judged");
        let trimmed: &[u8] = bytes.trim_ascii();
        if found.resource_type == "OperationOutcome" {
            assert!(all.body.len() <= trimmed.len());
        } else {
            assert!(all.body[..] == *trimmed, "{name}");
            assert_eq!(all.released.len(), 1);
        }
        let none = judge_response(&application(), &shape, &bytes, &mut |_| Verdict::Withhold)
            .expect("judged");
        if found.resource_type != "OperationOutcome" {
            assert!(none.body.is_empty() && none.withheld.len() == 1, "{name}");
        }
    }
}

fn patient_of(bundle: &serde_json::Value) -> String {
    let entries = bundle["entry"].as_array().expect("entries");
    let patient = entries
        .iter()
        .find(|e| e["resource"]["resourceType"] == "Patient")
        .expect("a patient");
    patient["resource"]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[test]
fn the_patient_of_each_synthea_record_is_found_in_all_of_it() {
    for (name, bytes) in files("fhir/synthea") {
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        let id = patient_of(&bundle);
        let unborn = format!("urn:uuid:{id}");
        let mut members = 0;
        for entry in bundle["entry"].as_array().expect("entries") {
            let text = entry["resource"].to_string();
            let found =
                facts(&application(), text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
            if found.resource_type == "Patient" {
                assert_eq!(found.patients, [PatientId::new(id.as_str())]);
            } else if fhir::is_patient_compartment(&found.resource_type) {
                members += 1;
                let ours = found.patients.contains(&PatientId::new(unborn.as_str()));
                // A Provenance points at what it signs; one that signs a patient's record names that patient.
                assert!(
                    ours || found.resource_type == "Provenance",
                    "{name}: {}",
                    found.resource_type
                );
            }
        }
        assert!(members > 20, "{name}: {members}");
    }
}

#[test]
fn each_synthea_record_classifies_as_a_transaction_of_its_parts() {
    let service = Service {
        application: application(),
        base: "/fhir".to_owned(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        HeaderValue::from_static("application/fhir+json"),
    );
    for (name, bytes) in files("fhir/synthea") {
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        let count = bundle["entry"].as_array().expect("entries").len();
        let unborn = PatientId::new(format!("urn:uuid:{}", patient_of(&bundle)));
        let classified = classify(&service, &Method::POST, "/fhir", None, &headers, &bytes)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let ResponseShape::Batch(shapes) = &classified.response else {
            panic!("{name}: no batch")
        };
        assert_eq!(shapes.len(), count, "{name}");
        let Some(Write::Many(writes)) = &classified.write else {
            panic!("{name}: no writes")
        };
        assert_eq!(writes.len(), count, "{name}");
        for write in writes {
            let Write::Create {
                resource, content, ..
            } = write
            else {
                panic!("{name}: not a create")
            };
            assert_eq!(bytes[content.start], b'{');
            assert_eq!(resource.id, None, "the server chooses the id");
            if fhir::is_patient_compartment(&resource.resource_type)
                && !matches!(&*resource.resource_type, "Patient" | "Provenance")
            {
                assert!(
                    resource.patients.contains(&unborn),
                    "{name}: {}",
                    resource.resource_type
                );
            }
        }
    }
}

/// The record as a server would answer a search with it.
fn searchset(bundle: &serde_json::Value) -> Vec<u8> {
    let id = patient_of(bundle);
    let entries: Vec<_> = bundle["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|e| serde_json::json!({"fullUrl": e["fullUrl"], "resource": e["resource"], "search": {"mode": "match"}}))
        .collect();
    let set = serde_json::json!({"resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries});
    set.to_string()
        .replace(&format!("urn:uuid:{id}"), &format!("Patient/{id}"))
        .into_bytes()
}

#[test]
fn what_is_cut_from_a_synthea_record_leaves_valid_json_and_no_trace() {
    for (name, bytes) in files("fhir/synthea") {
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        let body = searchset(&bundle);
        let mut seen = 0;
        let judged = judge_response(
            &application(),
            &ResponseShape::Set,
            &body,
            &mut |resource| {
                seen += 1;
                assert!(
                    !resource
                        .patients
                        .iter()
                        .any(|p| p.as_str() == UNKNOWN_PATIENT)
                        || resource.resource_type == "Provenance"
                );
                if resource.resource_type == "Observation" {
                    Verdict::Withhold
                } else {
                    Verdict::Release
                }
            },
        )
        .unwrap_or_else(|e| panic!("{name}: {e}"));
        let count = bundle["entry"].as_array().expect("entries").len();
        assert!(seen >= count, "{name}: every resource is judged");
        assert_eq!(judged.released.len() + judged.withheld.len(), count);
        let answer: serde_json::Value = serde_json::from_slice(&judged.body).expect("valid json");
        assert_eq!(answer["total"], judged.released.len());
        assert_eq!(
            answer["entry"].as_array().map(Vec::len),
            Some(judged.released.len())
        );
        assert!(
            answer["entry"]
                .as_array()
                .expect("entries")
                .iter()
                .all(|e| e["resource"]["resourceType"] != "Observation")
        );
        assert!(
            judged
                .withheld
                .iter()
                .all(|d| d.resource_type == "Observation")
        );
    }
}
