use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const ALL: Covers = Covers {
    care_teams: true,
    encounters: true,
    patients: true,
};

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T08:00:00Z").expect("valid")
}

fn reader(covers: Covers) -> Reader {
    Reader::new(Options {
        covers,
        staff_system: None,
        now: now(),
    })
}

fn page(resources: &[Value]) -> Vec<u8> {
    let entries: Vec<Value> = resources.iter().map(|r| json!({ "resource": r })).collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries })
        .to_string()
        .into_bytes()
}

/// What one page of resources says of patient `p-1`.
fn said(resources: &[Value]) -> PatientFacts {
    let mut reader = reader(ALL);
    reader.add(&page(resources)).expect("a bundle");
    reader
        .finish()
        .facts
        .remove(&PatientId::new("p-1"))
        .unwrap_or_default()
}

fn team(status: &str, members: &[&str]) -> Value {
    let participants: Vec<Value> = members
        .iter()
        .map(|m| json!({ "member": { "reference": m } }))
        .collect();
    json!({
        "resourceType": "CareTeam", "id": "ct-1", "status": status,
        "subject": { "reference": "Patient/p-1" }, "participant": participants,
    })
}

fn encounter(status: &str, member: &str, period: Value) -> Value {
    json!({
        "resourceType": "Encounter", "id": "e-1", "status": status,
        "subject": { "reference": "Patient/p-1" }, "period": period,
        "participant": [{ "individual": { "reference": member } }],
        "location": [{ "location": { "reference": "Location/ward-3" } }],
    })
}

fn people(ids: &[&str]) -> Vec<PersonId> {
    ids.iter().map(|&id| PersonId::new(id)).collect()
}

#[test]
fn an_active_care_team_counts_and_no_other() {
    assert_eq!(
        said(&[team(
            "active",
            &["Practitioner/b", "Practitioner/a", "Practitioner/a"]
        )])
        .care_team,
        people(&["a", "b"])
    );
    for status in [
        "proposed",
        "suspended",
        "inactive",
        "entered-in-error",
        "",
        "Active",
    ] {
        assert!(
            said(&[team(status, &["Practitioner/a"])])
                .care_team
                .is_empty(),
            "{status}"
        );
    }
}

#[test]
fn a_period_bounds_team_and_member_to_the_day() {
    let with = |path: &str, period: Value| {
        let mut team = team("active", &["Practitioner/a"]);
        *team.pointer_mut(path).expect("an object") = period;
        !said(&[team]).care_team.is_empty()
    };
    let team_with = |period: Value| {
        let mut team = team("active", &["Practitioner/a"]);
        team["period"] = period;
        !said(&[team]).care_team.is_empty()
    };
    assert!(team_with(json!({ "start": "2026-11-22" })));
    assert!(
        team_with(json!({ "end": "2026-11-22" })),
        "the last day belongs to it"
    );
    assert!(
        team_with(json!({ "end": "2026-11" })),
        "the last month belongs to it"
    );
    assert!(team_with(json!({ "end": "2026" })));
    assert!(!team_with(json!({ "end": "2026-11-21" })));
    assert!(!team_with(json!({ "end": "2026-11-22T08:00:00Z" })));
    assert!(!team_with(json!({ "start": "2026-11-22T08:00:01Z" })));
    assert!(!team_with(json!({ "end": "soon" })), "nobody can tell");
    let gone =
        json!({ "member": { "reference": "Practitioner/a" }, "period": { "end": "2026-11-21" } });
    assert!(!with("/participant/0", gone));
}

#[test]
fn an_encounter_goes_on_ended_or_never_was() {
    let ended = |status: &str, period: Value| -> Option<Option<Timestamp>> {
        let facts = said(&[encounter(status, "Practitioner/a", period)]);
        facts.encounters.first().map(|e| e.ended)
    };
    let morning = Timestamp::parse("2026-11-21T09:00:00Z");
    let began = json!({ "start": "2026-11-21T09:00:00Z" });
    for status in ["arrived", "triaged", "in-progress", "onleave"] {
        assert_eq!(ended(status, began.clone()), Some(None), "{status}");
    }
    for status in ["planned", "cancelled", "entered-in-error", "unknown", ""] {
        assert_eq!(ended(status, began.clone()), None, "{status}");
    }
    let over = json!({ "start": "2026-11-20", "end": "2026-11-21T09:00:00Z" });
    assert_eq!(ended("finished", over), Some(morning));
    assert_eq!(
        ended("finished", began),
        Some(morning),
        "no end: it must not look as if it went on"
    );
    assert_eq!(ended("finished", json!({})), None, "nobody can tell when");
    let stopped = json!({ "end": "2026-11-21T09:00:00Z" });
    assert_eq!(
        ended("in-progress", stopped),
        Some(morning),
        "its period says that it is over"
    );
}

#[test]
fn of_several_encounters_with_one_person_the_latest_counts() {
    let at = |end: &str| encounter("finished", "Practitioner/a", json!({ "end": end }));
    let going = encounter(
        "in-progress",
        "Practitioner/a",
        json!({ "start": "2026-11-22" }),
    );
    let (early, late) = (at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
    for resources in [[early.clone(), late.clone()], [late.clone(), early.clone()]] {
        assert_eq!(
            said(&resources).encounters[0].ended,
            Timestamp::parse("2026-02-01")
        );
    }
    for resources in [[going.clone(), late.clone()], [late, going]] {
        let facts = said(&resources);
        assert_eq!(
            (facts.encounters.len(), facts.encounters[0].ended),
            (1, None)
        );
    }
}

#[test]
fn the_unit_is_where_the_patient_lies_now() {
    let lies = |status: &str, start: &str, ward: &str| {
        let mut encounter = encounter(status, "Practitioner/a", json!({ "start": start }));
        encounter["location"] = json!([
            { "location": { "reference": "Location/left" }, "status": "completed" },
            { "location": { "reference": ward }, "status": "active" },
        ]);
        encounter
    };
    let unit = |resources: &[Value]| said(resources).unit.map(|u| u.as_str().to_owned());
    assert_eq!(
        unit(&[lies("in-progress", "2026-11-20", "Location/icu")]).as_deref(),
        Some("icu")
    );
    assert_eq!(
        unit(&[lies("finished", "2026-11-20", "Location/icu")]),
        None
    );
    let (old, new) = (
        lies("in-progress", "2026-11-20", "Location/er"),
        lies("in-progress", "2026-11-21", "Location/icu"),
    );
    for resources in [[old.clone(), new.clone()], [new, old]] {
        assert_eq!(
            unit(&resources).as_deref(),
            Some("icu"),
            "the one that began last"
        );
    }
}

#[test]
fn labels_and_age_come_from_the_patient() {
    let patient = |birth: &str, codes: &[&str]| {
        let security: Vec<Value> = codes.iter().map(|c| json!({ "code": c })).collect();
        said(&[json!({
            "resourceType": "Patient", "id": "p-1", "birthDate": birth, "meta": { "security": security },
        })])
    };
    let facts = patient("1980-01-01", &["VIP", "R"]);
    assert!(facts.vip && !facts.employee && !facts.adolescent);
    assert!(patient("1980", &["EMP"]).employee);
    for (birth, adolescent) in [
        ("2014-11-22", true),
        ("2014-11-23", false),
        ("2008-11-23", true),
        ("2008-11-22", false),
        ("2012", true),
        ("2012-06", true),
    ] {
        assert_eq!(patient(birth, &[]).adolescent, adolescent, "{birth}");
    }
}

#[test]
fn references_are_followed_across_pages_and_forms() {
    let mut reader = reader(ALL);
    let first = json!({
        "resourceType": "Bundle", "type": "searchset",
        "link": [{ "relation": "self", "url": "x" }, { "relation": "next", "url": "https://ehr.example/fhir?page=2" }],
        "entry": [
            { "resource": team("active", &[
                "https://ehr.example/fhir/Practitioner/a", "Practitioner/b/_history/3", "PractitionerRole/r-1",
                "PractitionerRole/r-2", "PractitionerRole/unknown", "Patient/p-1", "RelatedPerson/x", "#contained",
                "urn:uuid:77", "Practitioner/", "Practitioner/../x", "a", "",
            ]) },
            { "fullUrl": "urn:uuid:77", "resource": { "resourceType": "Practitioner", "id": "d" } },
        ],
    });
    let taken = reader.add(first.to_string().as_bytes()).expect("a bundle");
    assert_eq!(
        taken.next.as_deref(),
        Some("https://ehr.example/fhir?page=2")
    );
    assert_eq!((taken.read, taken.skipped), (2, 0));
    let second = page(&[
        json!({ "resourceType": "PractitionerRole", "id": "r-1", "practitioner": { "reference": "Practitioner/c" } }),
        json!({ "resourceType": "PractitionerRole", "id": "r-2", "active": false,
                "practitioner": { "reference": "Practitioner/gone" } }),
    ]);
    assert_eq!(reader.add(&second).expect("a bundle").next, None);
    let update = reader.finish();
    assert_eq!(
        update.facts[&PatientId::new("p-1")].care_team,
        people(&["a", "b", "c", "d"])
    );
    assert_eq!(update.unresolved, 9);
}

#[test]
fn a_staff_number_takes_the_place_of_the_logical_id() {
    let mut reader = Reader::new(Options {
        covers: ALL,
        staff_system: Some("urn:staff".to_owned()),
        now: now(),
    });
    reader
        .add(&page(&[
            team("active", &["Practitioner/a", "Practitioner/b", "Practitioner/c"]),
            json!({ "resourceType": "Practitioner", "id": "a", "identifier": [
                { "system": "urn:npi", "value": "9" }, { "system": "urn:staff", "value": "n-1" } ] }),
            json!({ "resourceType": "Practitioner", "id": "b", "identifier": [{ "system": "urn:npi", "value": "n-2" }] }),
        ]))
        .expect("a bundle");
    let update = reader.finish();
    assert_eq!(
        update.facts[&PatientId::new("p-1")].care_team,
        people(&["n-1"])
    );
    assert_eq!(update.unresolved, 2, "no number, no relation");
}

#[test]
fn an_update_has_the_only_word_in_what_it_covers_and_none_elsewhere() {
    let known = PatientFacts {
        vip: true,
        care_team: people(&["old"]),
        encounters: vec![Encounter {
            person: PersonId::new("met"),
            ended: None,
        }],
        proxies: people(&["mother"]),
        ..PatientFacts::default()
    };
    let (one, two, same) = (
        PatientId::new("p-1"),
        PatientId::new("p-2"),
        PatientId::new("p-3"),
    );
    let unrelated = PatientFacts::default();
    let mut reader = reader(Covers {
        care_teams: true,
        ..Covers::default()
    });
    reader
        .add(&page(&[
            team("active", &["Practitioner/new"]),
            encounter("in-progress", "Practitioner/ignored", json!({})),
        ]))
        .expect("a bundle");
    let update = reader.finish();
    let changes = update.changes([(&one, &known), (&two, &known), (&same, &unrelated)]);
    let expect = |care_team: Vec<PersonId>| PatientFacts {
        care_team,
        ..known.clone()
    };
    assert_eq!(
        changes,
        [
            (one.clone(), expect(people(&["new"]))),
            (two, expect(Vec::new()))
        ]
    );
    let after: Vec<_> = changes.iter().map(|(id, facts)| (id, facts)).collect();
    assert!(
        update.changes(after).is_empty(),
        "the same again changes nothing"
    );
    let unknown_before = update.changes([]);
    assert_eq!(unknown_before.len(), 1);
    assert_eq!(unknown_before[0].0, one);
}

#[test]
fn what_is_no_page_fails_and_what_is_no_resource_is_counted() {
    let mut reader = reader(ALL);
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "<Bundle/>",
        r#"{"resourceType": "OperationOutcome"}"#,
    ] {
        assert_eq!(
            reader.add(text.as_bytes()),
            Err(BadPage::NotABundle),
            "{text}"
        );
    }
    let history = r#"{"resourceType": "Bundle", "type": "history"}"#;
    assert_eq!(reader.add(history.as_bytes()), Err(BadPage::WrongType));
    let untyped = r#"{"resourceType": "Bundle"}"#;
    assert_eq!(reader.add(untyped.as_bytes()), Err(BadPage::WrongType));
    let mut no_subject = team("active", &["Practitioner/a"]);
    no_subject["subject"] = Value::Null;
    let mut odd_subject = team("active", &["Practitioner/a"]);
    odd_subject["subject"]["reference"] = json!("Group/p-1");
    let mut odd_member = team("active", &[]);
    odd_member["participant"] = json!("everybody");
    let bad = [
        no_subject,
        odd_subject,
        odd_member,
        json!({ "id": "x" }),
        json!(3),
    ];
    let taken = reader.add(&page(&bad)).expect("a bundle");
    assert_eq!((taken.read, taken.skipped), (0, 5));
    let empty = reader.add(br#"{"resourceType": "Bundle", "type": "searchset", "total": 0}"#);
    assert_eq!(empty, Ok(Page::default()));
    let update = reader.finish();
    assert!(update.is_empty());
    assert_eq!(update.skipped, 5);
}

#[test]
fn errors_and_debug_output_name_no_patient() {
    let mut reader = reader(ALL);
    reader
        .add(&page(&[team("active", &["Practitioner/n-99"])]))
        .expect("a bundle");
    let shown = format!("{:?} {:?}", BadPage::NotABundle, reader.finish());
    assert!(!shown.contains("p-1") && !shown.contains("n-99"), "{shown}");
}

#[test]
fn synthetic_patients_are_understood() {
    let folder = std::env::var("ASEPSIS_DATA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").to_owned()
    });
    let Ok(files) = std::fs::read_dir(format!("{folder}/fhir/synthea")) else {
        eprintln!("skipped: `ASEPSIS_DATA` has no `fhir/synthea`");
        return;
    };
    let mut reader = reader(ALL);
    let mut patients = 0;
    for file in files {
        let path = file.expect("an entry").path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let mut bundle: Value =
            serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
        bundle["type"] = json!("collection");
        let taken = reader.add(bundle.to_string().as_bytes()).expect("a bundle");
        assert_eq!(taken.skipped, 0, "{}", path.display());
        patients += 1;
    }
    let update = reader.finish();
    assert_eq!(update.len(), patients);
    assert_eq!(update.unresolved, 0);
    assert!(
        update
            .facts
            .values()
            .all(|facts| !facts.encounters.is_empty())
    );
    let long_ago = now().minus(Duration::from_secs(86_400));
    assert!(
        update
            .facts
            .values()
            .flat_map(|facts| &facts.encounters)
            .all(|e| e.ended.is_some_and(|end| end < long_ago)),
        "all of them are history"
    );
}
