//! The generator: the same seed makes the same hospital, every hospital can show what the demo needs, and what the
//! feeds say of a patient is what the FHIR resources say.

use std::collections::{BTreeMap, BTreeSet};

use domain::relation::{ConsentEffect, PatientFacts};
use domain::{PatientId, PersonId, Sensitivity, Timestamp};
use sample::{Example, Hospital, UnitKind};
use serde_json::Value;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T10:00:00Z").expect("valid")
}

fn hospital(seed: u64) -> Hospital {
    Hospital::generate(seed, now())
}

fn resources<'h>(
    hospital: &'h Hospital,
    resource_type: &'h str,
) -> impl Iterator<Item = Value> + 'h {
    hospital
        .resources()
        .iter()
        .filter(move |r| r.resource_type == resource_type)
        .map(|r| serde_json::from_slice(&r.json).expect("JSON"))
}

fn id_of(reference: &Value, resource_type: &str) -> String {
    let text = reference["reference"].as_str().expect("a reference");
    let prefix = format!("{resource_type}/");
    text.strip_prefix(&prefix).expect(text).to_owned()
}

#[test]
fn one_seed_makes_one_hospital_and_another_makes_another() {
    assert_eq!(hospital(7), hospital(7));
    let (one, other) = (hospital(7), hospital(8));
    assert_ne!(one.patients(), other.patients());
    let names = |h: &Hospital| {
        h.people()
            .iter()
            .map(|p| p.name.clone())
            .collect::<Vec<_>>()
    };
    assert_ne!(names(&one), names(&other));
    assert_ne!(
        one.example(Example::CareTeam),
        other.example(Example::CareTeam)
    );
    // Another day is the same hospital later: whoever knows the seed knows every id and every example.
    let later = Hospital::generate(7, Timestamp::parse("2027-03-01T23:10:07Z").expect("valid"));
    assert_eq!(names(&one), names(&later));
    let keys = |h: &Hospital| {
        h.resources()
            .iter()
            .map(|r| r.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&one), keys(&later));
    for example in Example::ALL {
        assert_eq!(
            one.example(*example),
            later.example(*example),
            "{example:?}"
        );
    }
}

#[test]
fn sizes_are_what_the_demo_promises() {
    let hospital = hospital(1);
    assert!((190..=210).contains(&hospital.patients().len()));
    assert!((30..=45).contains(&hospital.people().len()));
    let wards = hospital
        .units()
        .iter()
        .filter(|u| u.kind == UnitKind::Ward)
        .count();
    assert_eq!(wards, 6);
    let bytes: usize = hospital.resources().iter().map(|r| r.json.len()).sum();
    assert!(bytes < 12 << 20, "{bytes}");
    let mut counts = BTreeMap::new();
    for resource in hospital.resources() {
        *counts.entry(resource.resource_type).or_insert(0) += 1;
    }
    for wanted in [
        "AllergyIntolerance",
        "Binary",
        "CareTeam",
        "Claim",
        "Condition",
        "Consent",
        "Coverage",
        "Device",
        "DocumentReference",
        "Encounter",
        "Location",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    ] {
        assert!(counts.contains_key(wanted), "{wanted}");
    }
}

#[test]
fn every_hospital_can_show_every_example() {
    for seed in 0..25 {
        let hospital = hospital(seed);
        for example in Example::ALL {
            let casts = hospital.casts(*example);
            assert!(!casts.is_empty(), "{example:?} with seed {seed}");
            let cast = hospital.example(*example);
            assert!(casts.contains(&cast));
            assert!(hospital.person(&cast.person).is_some_and(|p| p.active));
            assert!(hospital.device(&cast.device).is_some());
            if let Some(patient) = &cast.patient {
                assert!(hospital.patient(patient).is_some());
            }
            if let Some((resource_type, id)) = &cast.resource {
                assert!(hospital.resource(resource_type, id).is_some());
            }
        }
    }
}

#[test]
fn casts_are_what_their_examples_say() {
    let hospital = hospital(3);
    let facts = |id: &Option<PatientId>| -> PatientFacts {
        let id = id.as_ref().expect("about a patient");
        hospital.patient(id).expect("known").facts.clone()
    };
    for cast in hospital.casts(Example::CareTeam) {
        assert!(facts(&cast.patient).care_team.contains(&cast.person));
    }
    for cast in hospital.casts(Example::Unrelated) {
        let facts = facts(&cast.patient);
        let device = hospital.device(&cast.device).expect("known");
        assert!(!facts.care_team.contains(&cast.person));
        assert_ne!(
            device.unit, facts.unit,
            "the workstation would be a relation"
        );
        assert!(!facts.vip && !facts.employee);
    }
    for cast in hospital.casts(Example::SameWard) {
        let device = hospital.device(&cast.device).expect("known");
        assert_eq!(device.unit, facts(&cast.patient).unit);
    }
    let ended = |cast: &sample::Cast| {
        let facts = facts(&cast.patient);
        let own = facts.encounters.iter().filter(|e| e.person == cast.person);
        own.filter_map(|e| e.ended)
            .max()
            .map(|at| now().since(at).as_secs() / 86_400)
    };
    for cast in hospital.casts(Example::RecentEncounter) {
        assert!(ended(&cast).expect("ended") < 30);
    }
    for cast in hospital.casts(Example::OldEncounter) {
        assert!(ended(&cast).expect("ended") >= 31);
    }
    for cast in hospital.casts(Example::OwnChart) {
        let person = hospital.person(&cast.person).expect("known");
        assert_eq!(person.patient, cast.patient);
        assert!(facts(&cast.patient).employee);
    }
    let label = |cast: &sample::Cast| {
        let (resource_type, id) = cast.resource.clone().expect("about a resource");
        let stored = hospital.resource(&resource_type, &id).expect("known");
        let resource: Value = serde_json::from_slice(&stored.json).expect("JSON");
        let security = resource["meta"]["security"]
            .as_array()
            .expect("labelled")
            .clone();
        security
            .iter()
            .map(|c| c["code"].as_str().expect("code").to_owned())
            .collect::<BTreeSet<_>>()
    };
    for cast in hospital.casts(Example::SubstanceUseNoConsent) {
        assert!(label(&cast).contains("ETH"));
        assert!(
            facts(&cast.patient)
                .consents
                .iter()
                .all(|c| c.effect == ConsentEffect::Deny)
        );
    }
    for cast in hospital.casts(Example::PsychotherapyOther) {
        assert_eq!(label(&cast), ["PSYTHPN".to_owned(), "V".to_owned()].into());
    }
    for cast in hospital.casts(Example::ConsentDenied) {
        assert!(label(&cast).contains("HIV"));
        let consents = facts(&cast.patient).consents;
        assert!(consents.iter().any(|c| c.people.contains(&cast.person)
            && c.labels.contains(Sensitivity::Hiv)
            && c.effect == ConsentEffect::Deny));
    }
}

#[test]
fn feeds_and_fhir_resources_say_the_same() {
    let hospital = hospital(11);
    let mut from_fhir: BTreeMap<String, PatientFacts> = BTreeMap::new();
    for patient in resources(&hospital, "Patient") {
        let facts = from_fhir
            .entry(patient["id"].as_str().expect("id").to_owned())
            .or_default();
        for label in patient["meta"]["security"].as_array().into_iter().flatten() {
            facts.vip |= label["code"] == "VIP";
            facts.employee |= label["code"] == "EMP";
        }
    }
    for encounter in resources(&hospital, "Encounter") {
        let facts = from_fhir
            .get_mut(&id_of(&encounter["subject"], "Patient"))
            .expect("a patient");
        let ended = encounter["period"]["end"]
            .as_str()
            .map(|t| Timestamp::parse(t).expect("instant"));
        assert_eq!(ended.is_none(), encounter["status"] == "in-progress");
        for participant in encounter["participant"].as_array().expect("participants") {
            facts.encounters.push(domain::relation::Encounter {
                person: PersonId::new(id_of(&participant["individual"], "Practitioner")),
                ended,
            });
        }
        if ended.is_none() {
            facts.unit = Some(id_of(&encounter["location"][0]["location"], "Location").into());
        }
    }
    for team in resources(&hospital, "CareTeam") {
        let facts = from_fhir
            .get_mut(&id_of(&team["subject"], "Patient"))
            .expect("a patient");
        for participant in team["participant"].as_array().expect("participants") {
            facts
                .care_team
                .push(PersonId::new(id_of(&participant["member"], "Practitioner")));
        }
    }
    let order = |facts: &PatientFacts| {
        let mut team: Vec<PersonId> = facts.care_team.clone();
        team.sort();
        team.dedup();
        let mut met: Vec<(PersonId, Option<Timestamp>)> = facts
            .encounters
            .iter()
            .map(|e| (e.person.clone(), e.ended))
            .collect();
        met.sort();
        (facts.vip, facts.employee, facts.unit.clone(), team, met)
    };
    assert_eq!(from_fhir.len(), hospital.patients().len());
    for patient in hospital.patients() {
        let told = &from_fhir[patient.id.as_str()];
        assert!(
            order(told) == order(&patient.facts),
            "of {}",
            patient.id.as_str()
        );
    }
}

#[test]
fn references_lead_somewhere_and_ids_are_unique() {
    let hospital = hospital(5);
    let mut known = BTreeSet::new();
    for resource in hospital.resources() {
        assert!(known.insert(format!("{}/{}", resource.resource_type, resource.id)));
        assert!(resource.updated <= now());
    }
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    if let (true, Some(text)) =
                        (name == "reference" || name == "url", value.as_str())
                    {
                        found.push(text.to_owned());
                    }
                    visit(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
            _ => {}
        }
    }
    for resource in hospital.resources() {
        let value: Value = serde_json::from_slice(&resource.json).expect("JSON");
        let mut found = Vec::new();
        visit(&value, &mut found);
        for reference in found.iter().filter(|r| !r.starts_with("https://")) {
            assert!(known.contains(reference), "{reference}");
        }
    }
}

#[test]
fn protected_records_carry_their_labels() {
    let hospital = hospital(9);
    let codes = |resource: &Value| -> Vec<String> {
        let security = resource["meta"]["security"].as_array();
        security
            .into_iter()
            .flatten()
            .map(|c| c["code"].as_str().expect("code").to_owned())
            .collect()
    };
    let mut seen = BTreeSet::new();
    for stored in hospital.resources() {
        let resource: Value = serde_json::from_slice(&stored.json).expect("JSON");
        let codes = codes(&resource);
        let unit = resource["extension"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|e| {
                (e["url"] == sample::hospital::UNIT_EXTENSION).then(|| e["valueCode"].clone())
            });
        // What the programme keeps is labelled, and the other way round, but for consents.
        if stored.resource_type != "Consent" {
            assert_eq!(
                unit.is_some(),
                codes.iter().any(|c| c == "ETH"),
                "{resource}"
            );
        }
        // Text that somebody could fetch by itself names its patient.
        if stored.resource_type == "Binary" {
            assert!(
                resource["securityContext"]["reference"]
                    .as_str()
                    .expect("text")
                    .starts_with("Patient/")
            );
        }
        seen.extend(codes);
    }
    for wanted in [
        "EMP", "ETH", "HIV", "PSY", "PSYTHPN", "R", "SDV", "SEX", "V", "VIP",
    ] {
        assert!(seen.contains(wanted), "{wanted}");
    }
    let controlled = resources(&hospital, "MedicationRequest")
        .filter(|r| {
            r["extension"].as_array().into_iter().flatten().any(|e| {
                e["url"] == sample::hospital::CONTROLLED_EXTENSION && e["valueBoolean"] == true
            })
        })
        .count();
    assert!(controlled > 3);
}
