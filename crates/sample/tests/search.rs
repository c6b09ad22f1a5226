//! Search semantics of R4, checked against what the sample hospital is known to hold.

mod common;

use std::collections::BTreeSet;

use common::{PATIENT, World, entries, ids, next};
use http::{Method, StatusCode};
use sample::Example;
use serde_json::Value;

/// Every resource of a type, by following pages.
fn all(world: &World, first: &str) -> Vec<Value> {
    let mut bundle = world.search(first);
    let total = bundle["total"].as_u64().expect("total");
    let mut found = entries(&bundle);
    while let Some(url) = next(&bundle) {
        bundle = world.search(&url);
        found.extend(entries(&bundle));
    }
    let found: Vec<Value> = found.into_iter().map(|e| e["resource"].clone()).collect();
    assert_eq!(found.len() as u64, total);
    found
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().expect("id").to_owned()
}

/// A search must find exactly the resources of the type for which `holds`.
fn check(world: &World, resource_type: &str, query: &str, holds: impl Fn(&Value) -> bool) -> usize {
    let everything = all(world, &format!("/fhir/{resource_type}?_count=500"));
    let expected: BTreeSet<String> = everything.iter().filter(|r| holds(r)).map(id).collect();
    let found = all(world, &format!("/fhir/{resource_type}?_count=500&{query}"));
    let found_ids: BTreeSet<String> = found.iter().map(id).collect();
    assert_eq!(found_ids.len(), found.len(), "twice the same in {query}");
    assert!(
        found_ids == expected,
        "{query}: {} found, {} expected",
        found_ids.len(),
        expected.len()
    );
    expected.len()
}

fn inpatient(world: &World) -> String {
    let cast = world.hospital.example(Example::CareTeam);
    cast.patient.expect("about a patient").as_str().to_owned()
}

#[test]
fn references_tokens_and_dates_select_what_they_say() {
    let world = World::new();
    let patient = inpatient(&world);
    let of_patient = |r: &Value| r["subject"]["reference"] == format!("Patient/{patient}");
    for form in [
        format!("patient={patient}"),
        format!("patient=Patient/{patient}"),
        format!("subject=Patient/{patient}"),
        format!("subject:Patient={patient}"),
        format!("subject=https://elsewhere.example/fhir/Patient/{patient}"),
    ] {
        assert!(
            check(&world, "Observation", &form, of_patient) > 10,
            "{form}"
        );
    }
    let pulse = |r: &Value| r["code"]["coding"][0]["code"] == "8867-4";
    let both = format!("patient={patient}&code=http://loinc.org|8867-4");
    assert!(check(&world, "Observation", &both, |r| of_patient(r) && pulse(r)) > 0);
    for (code, holds) in [
        ("8867-4", true),
        ("http://loinc.org%7C8867-4", true),
        ("%7C8867-4", false),
        ("http://other|8867-4", false),
    ] {
        check(&world, "Observation", &format!("code={code}"), |r| {
            holds && pulse(r)
        });
    }
    check(&world, "Observation", "code=8867-4,9279-1", |r| {
        pulse(r) || r["code"]["coding"][0]["code"] == "9279-1"
    });
    check(&world, "Observation", "code=http://loinc.org|", |r| {
        r["code"]["coding"][0]["system"] == "http://loinc.org"
    });
    check(&world, "Observation", "code:not=8867-4", |r| !pulse(r));
    check(
        &world,
        "Observation",
        "category=laboratory&code=718-7",
        |r| r["code"]["coding"][0]["code"] == "718-7",
    );
    check(
        &world,
        "Observation",
        "category=laboratory&category=vital-signs",
        |_| false,
    );
    let at = |r: &Value| r["effectiveDateTime"].as_str().expect("date").to_owned();
    for (query, test) in [
        (
            "date=ge2026-11-22",
            Box::new(|at: &str| at >= "2026-11-22") as Box<dyn Fn(&str) -> bool>,
        ),
        ("date=lt2026-11-22", Box::new(|at: &str| at < "2026-11-22")),
        (
            "date=2026-11-21",
            Box::new(|at: &str| at.starts_with("2026-11-21")),
        ),
        (
            "date=ge2026-11-20&date=lt2026-11-21T12:00:00Z",
            Box::new(|at: &str| ("2026-11-20".."2026-11-21T12:00").contains(&at)),
        ),
        ("date=2026", Box::new(|at: &str| at.starts_with("2026"))),
        ("date=sa2026-11-21", Box::new(|at: &str| at >= "2026-11-22")),
        ("date=eb2026-11-22", Box::new(|at: &str| at < "2026-11-22")),
    ] {
        assert!(
            check(&world, "Observation", query, |r| test(&at(r))) > 0,
            "{query}"
        );
    }
}

#[test]
fn names_birth_dates_and_identifiers_find_patients() {
    let world = World::new();
    let some = world
        .get(&format!("/fhir/Patient/{}", inpatient(&world)))
        .body;
    let family = some["name"][0]["family"]
        .as_str()
        .expect("family")
        .to_owned();
    let given = some["name"][0]["given"][0]
        .as_str()
        .expect("given")
        .to_owned();
    let has = |r: &Value, part: &str, text: &str| {
        r["name"][0]
            .get(part)
            .is_some_and(|v| v.to_string().to_lowercase().contains(&text.to_lowercase()))
    };
    let lower = family.to_lowercase();
    check(&world, "Patient", &format!("name={lower}"), |r| {
        has(r, "family", &lower)
    });
    check(&world, "Patient", &format!("family:exact={family}"), |r| {
        r["name"][0]["family"] == family
    });
    check(&world, "Patient", &format!("family:exact={lower}"), |_| {
        false
    });
    let middle = &lower[2..5];
    assert!(
        check(
            &world,
            "Patient",
            &format!("family:contains={middle}"),
            |r| has(r, "family", middle)
        ) > 0
    );
    check(
        &world,
        "Patient",
        &format!("name={}&name={given}", &family[..3]),
        |r| {
            let starts = |v: &Value, t: &str| v.as_str().is_some_and(|v| v.starts_with(t));
            starts(&r["name"][0]["family"], &family[..3])
                && starts(&r["name"][0]["given"][0], &given)
        },
    );
    let born = some["birthDate"].as_str().expect("date");
    check(&world, "Patient", &format!("birthdate={born}"), |r| {
        r["birthDate"] == born
    });
    assert!(
        check(&world, "Patient", "birthdate=lt1960", |r| r["birthDate"]
            .as_str()
            < Some("1960"))
            > 0
    );
    let number = some["identifier"][0]["value"].as_str().expect("number");
    let system = sample::hospital::RECORD_NUMBER_SYSTEM;
    check(
        &world,
        "Patient",
        &format!("identifier={system}|{number}"),
        |r| r["id"] == some["id"],
    );
    check(&world, "Patient", &format!("_id={},none", id(&some)), |r| {
        r["id"] == some["id"]
    });
    check(&world, "Patient", "gender=female", |r| {
        r["gender"] == "female"
    });
    check(
        &world,
        "Patient",
        "general-practitioner:missing=false",
        |r| r.get("generalPractitioner").is_some(),
    );
    check(
        &world,
        "Patient",
        "general-practitioner:missing=true",
        |r| r.get("generalPractitioner").is_none(),
    );
    let labelled = check(&world, "Patient", "_security=VIP", |r| {
        r["meta"]["security"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["code"] == "VIP")
    });
    assert_eq!(labelled, 2);
}

#[test]
fn encounters_and_teams_are_found_by_who_where_and_when() {
    let world = World::new();
    let cast = world.hospital.example(Example::CareTeam);
    let me = format!("Practitioner/{}", cast.person.as_str());
    let in_list = |list: &Value, path: &str, wanted: &str| {
        list.as_array()
            .into_iter()
            .flatten()
            .any(|p| p[path]["reference"] == wanted)
    };
    let query = format!("participant={me}&status=in-progress");
    assert!(
        check(&world, "Encounter", &query, |r| {
            r["status"] == "in-progress" && in_list(&r["participant"], "individual", &me)
        }) > 0
    );
    assert!(
        check(
            &world,
            "CareTeam",
            &format!("participant={me}&status=active"),
            |r| { in_list(&r["participant"], "member", &me) }
        ) > 0
    );
    check(
        &world,
        "Encounter",
        "location=Location/maple&status=in-progress",
        |r| r["status"] == "in-progress" && in_list(&r["location"], "location", "Location/maple"),
    );
    // A stay that goes on reaches past any date.
    assert!(
        check(&world, "Encounter", "date=ge2026-11-23", |r| r["status"]
            == "in-progress")
            > 0
    );
}

#[test]
fn compartments_hold_what_is_about_the_patient() {
    let world = World::new();
    let patient = inpatient(&world);
    let by_parameter = all(
        &world,
        &format!("/fhir/Observation?patient={patient}&_count=500"),
    );
    let by_path = all(
        &world,
        &format!("/fhir/Patient/{patient}/Observation?_count=500"),
    );
    assert_eq!(by_parameter, by_path);
    let labs = world.search(&format!(
        "/fhir/Patient/{patient}/Observation?category=laboratory"
    ));
    assert!(
        entries(&labs)
            .iter()
            .all(|e| e["resource"]["category"][0]["coding"][0]["code"] == "laboratory")
    );
    let everything = all(&world, &format!("/fhir/Patient/{patient}/*?_count=500"));
    let types: BTreeSet<&str> = everything
        .iter()
        .map(|r| r["resourceType"].as_str().expect("type"))
        .collect();
    for wanted in [
        "Patient",
        "Encounter",
        "CareTeam",
        "Condition",
        "Observation",
        "DocumentReference",
    ] {
        assert!(types.contains(wanted), "{wanted}");
    }
    assert!(!types.contains("Binary") && !types.contains("Practitioner"));
    let needle = format!("Patient/{patient}");
    for resource in everything.iter().filter(|r| r["resourceType"] != "Patient") {
        assert!(resource.to_string().contains(&needle));
    }
    assert_eq!(world.search("/fhir/Patient/absent/Observation")["total"], 0);
    world.check(
        Method::GET,
        &format!("/fhir/Patient/{patient}/Spaceship"),
        "",
        404,
    );
}

#[test]
fn a_posted_search_joins_form_and_query() {
    let world = World::new();
    let patient = inpatient(&world);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let posted = world.send(
        Method::POST,
        &format!("/fhir/Observation/_search?patient={patient}"),
        &form,
        "category=laboratory&_count=5",
    );
    assert_eq!(posted.status, StatusCode::OK);
    let same = world.search(&format!(
        "/fhir/Observation?patient={patient}&category=laboratory&_count=5"
    ));
    assert_eq!(ids(&posted.body), ids(&same));
    let inside = world.send(
        Method::POST,
        &format!("/fhir/Patient/{patient}/Observation/_search"),
        &form,
        "category=laboratory&_count=5",
    );
    assert_eq!(ids(&inside.body), ids(&same));
    let wrong = world.write(Method::POST, "/fhir/Observation/_search", &[], "{}");
    assert_eq!(wrong.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[test]
fn pages_cover_everything_once_and_their_tokens_say_nothing() {
    let world = World::new();
    let patient = inpatient(&world);
    let first = world.search(&format!(
        "/fhir/Patient/{patient}/Observation?_count=4&_sort=-date"
    ));
    let total = first["total"].as_u64().expect("total");
    let mut seen = ids(&first);
    let mut page = first.clone();
    let mut pages = 1;
    while let Some(url) = next(&page) {
        assert!(
            url.starts_with("/fhir?_page=") && !url.contains(&patient),
            "{url}"
        );
        page = world.search(&url);
        assert_eq!(page["total"].as_u64(), Some(total));
        seen.extend(ids(&page));
        pages += 1;
    }
    assert_eq!(seen.len() as u64, total);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len() as u64, total);
    assert_eq!(pages, total.div_ceil(4));
    // The pages of an answer do not shift when something is added.
    let second = next(&first).expect("more");
    world.create(&format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"effectiveDateTime":"2027-01-01","subject":{{"reference":"Patient/{patient}"}}}}"#
    ));
    assert_eq!(ids(&world.search(&second)), seen[4..8]);
    world.check(Method::GET, "/fhir?_page=guessed", "", 410);
    world.pass(601);
    world.check(Method::GET, &second, "", 410);
}

#[test]
fn order_count_total_and_elements_shape_the_answer() {
    let world = World::new();
    let patient = inpatient(&world);
    let base = format!("/fhir/Patient/{patient}/Observation");
    let dates = |sort: &str| -> Vec<String> {
        let bundle = world.search(&format!("{base}?_sort={sort}&_count=500"));
        let of = |e: &Value| {
            e["resource"]["effectiveDateTime"]
                .as_str()
                .expect("date")
                .to_owned()
        };
        entries(&bundle).iter().map(of).collect()
    };
    let (up, down) = (dates("date"), dates("-date"));
    assert!(up.windows(2).all(|w| w[0] <= w[1]) && up.first() != up.last());
    assert!(down.windows(2).all(|w| w[0] >= w[1]));
    let by_change = world.search("/fhir/Patient?_sort=-_lastUpdated&_count=2");
    world.pass(5);
    let newest = world.create(PATIENT);
    assert!(!ids(&by_change).contains(&newest));
    assert_eq!(
        ids(&world.search("/fhir/Patient?_sort=-_lastUpdated&_count=1")),
        [newest.as_str()]
    );
    let families = entries(&world.search("/fhir/Patient?_sort=family,given&_count=500"))
        .iter()
        .map(|e| {
            e["resource"]["name"][0]["family"]
                .as_str()
                .expect("family")
                .to_lowercase()
        })
        .collect::<Vec<_>>();
    assert!(families.is_sorted());
    for query in ["_summary=count", "_count=0"] {
        let counted = world.search(&format!("{base}?{query}"));
        assert!(counted["total"].as_u64() > Some(10));
        assert_eq!(counted.get("entry"), None);
    }
    let untold = world.search(&format!("{base}?_total=none&_count=3"));
    assert_eq!((untold.get("total"), entries(&untold).len()), (None, 3));
    let few = world.search(&format!(
        "{base}?_elements=valueQuantity&_count=3&code=8867-4"
    ));
    let resource = &entries(&few)[0]["resource"];
    assert!(resource.get("valueQuantity").is_some() && resource.get("status").is_some());
    assert_eq!(resource.get("subject"), None);
    assert_eq!(resource["meta"]["tag"][0]["code"], "SUBSETTED");
    let since = world.search("/fhir/Patient?_lastUpdated=ge2026-11-22T10:00:05Z");
    assert_eq!(ids(&since), [newest]);
}

#[test]
fn includes_come_along_marked_and_once() {
    let world = World::new();
    let cast = world.hospital.example(Example::CareTeam);
    let me = cast.person.as_str();
    let bundle = world.search(&format!(
        "/fhir/CareTeam?participant=Practitioner/{me}&_include=CareTeam:subject"
    ));
    let modes = |mode: &str, resource_type: &str| {
        let is = |e: &&Value| {
            e["search"]["mode"] == mode && e["resource"]["resourceType"] == resource_type
        };
        entries(&bundle).iter().filter(is).count()
    };
    assert!(modes("match", "CareTeam") > 0);
    assert_eq!(
        modes("match", "CareTeam") as u64,
        bundle["total"].as_u64().expect("total")
    );
    assert_eq!(modes("include", "Patient"), modes("match", "CareTeam"));
    let patient = cast.patient.expect("about a patient");
    let reverse = world.search(&format!(
        "/fhir/Patient?_id={}&_revinclude=Observation:patient&_revinclude=Condition:subject",
        patient.as_str()
    ));
    assert_eq!(reverse["total"], 1);
    let types: BTreeSet<String> = entries(&reverse)
        .iter()
        .map(|e| {
            e["resource"]["resourceType"]
                .as_str()
                .expect("type")
                .to_owned()
        })
        .collect();
    assert_eq!(
        types,
        ["Condition", "Observation", "Patient"]
            .map(str::to_owned)
            .into()
    );
    let onward = world.search(&format!(
        "/fhir/Encounter?patient={}&_include=Encounter:location&_include:iterate=Location:organization",
        patient.as_str()
    ));
    assert!(
        entries(&onward)
            .iter()
            .any(|e| e["resource"]["resourceType"] == "Organization")
    );
    let wild = world.search(&format!(
        "/fhir/Encounter?patient={}&_include=Encounter:*",
        patient.as_str()
    ));
    assert!(
        entries(&wild)
            .iter()
            .any(|e| e["resource"]["resourceType"] == "Practitioner")
    );
}

#[test]
fn what_is_not_understood_is_refused_rather_than_left_out() {
    let world = World::new();
    for query in [
        "colour=red",
        "patient.name=x",
        "_has:Observation:patient:code=1",
        "_filter=x",
        "subject:Spaceship=1",
        "code:text=x",
        "date=yesterday",
        "date=",
        "code=",
        "_sort=colour",
        "_count=many",
        "_include=Observation",
        "_include=Spaceship:x",
        "_include=Observation:colour",
        "_summary=text",
        "_total=perhaps",
        "code:missing=perhaps",
        "_type=Patient",
        "patient:identifier=x",
        "date:missing=",
    ] {
        world.check(Method::GET, &format!("/fhir/Observation?{query}"), "", 400);
    }
    let lenient = [("prefer", "handling=lenient")];
    let answer = world.send(
        Method::GET,
        "/fhir/Observation?colour=red&_count=1",
        &lenient,
        "",
    );
    assert_eq!(answer.status, StatusCode::OK);
    let this = answer.body["link"][0]["url"].as_str().expect("self");
    assert!(
        !this.contains("colour"),
        "the self link tells what was understood: {this}"
    );
    let many = vec!["code=x"; 101].join("&");
    world.check(Method::GET, &format!("/fhir/Observation?{many}"), "", 400);
    let values = vec!["x"; 201].join(",");
    world.check(
        Method::GET,
        &format!("/fhir/Observation?code={values}"),
        "",
        400,
    );
}

#[test]
fn the_whole_system_is_searched_by_common_parameters() {
    let world = World::new();
    let labelled = all(&world, "/fhir?_security=PSYTHPN&_count=500");
    assert!(
        labelled
            .iter()
            .all(|r| r["resourceType"] == "DocumentReference")
            && !labelled.is_empty()
    );
    let two = all(&world, "/fhir?_type=Location,Organization&_count=500");
    let types: BTreeSet<&str> = two
        .iter()
        .map(|r| r["resourceType"].as_str().expect("type"))
        .collect();
    assert_eq!(types, ["Location", "Organization"].into());
    world.check(Method::GET, "/fhir?_type=Spaceship", "", 400);
    world.check(Method::GET, "/fhir?code=1", "", 400);
}

#[test]
fn escaped_separators_belong_to_the_value() {
    let world = World::new();
    let patient = r#"{"resourceType":"Patient","identifier":[{"system":"s","value":"a,b|c"}]}"#;
    let id = world.create(patient);
    assert_eq!(
        ids(&world.search("/fhir/Patient?identifier=s%7Ca%5C,b%5C%7Cc")),
        [id]
    );
    assert_eq!(world.search("/fhir/Patient?identifier=s%7Ca,b")["total"], 0);
}
