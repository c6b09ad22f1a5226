//! Batches and transactions.

mod common;

use base64::Engine as _;
use common::{PATIENT, World, entries};
use http::{Method, StatusCode};
use serde_json::{Value, json};

fn bundle(kind: &str, entries: &[Value]) -> String {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    let mut entry = json!({"request": {"method": method, "url": url}});
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

fn patient(family: &str) -> Value {
    json!({"resourceType": "Patient", "name": [{"family": family}]})
}

fn statuses(answer: &Value) -> Vec<String> {
    let status = |e: &Value| e["response"]["status"].as_str().expect("status")[..3].to_owned();
    entries(answer).iter().map(status).collect()
}

#[test]
fn entries_of_a_batch_stand_alone() {
    let world = World::new();
    let answer = world.write(
        Method::POST,
        "/fhir",
        &[],
        &bundle(
            "batch",
            &[
                entry("POST", "Patient", patient("One")),
                entry("GET", "Patient/absent", Value::Null),
                entry("POST", "Patient", json!({"resourceType": "Device"})),
                entry("GET", "Organization?name=lark&_count=1", Value::Null),
                entry("EXPLODE", "Patient", Value::Null),
                json!({"resource": patient("no request")}),
                entry(
                    "POST",
                    "",
                    json!({"resourceType": "Bundle", "type": "batch"}),
                ),
                entry("GET", "/fhir/Location/maple", Value::Null),
            ],
        ),
    );
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["type"], "batch-response");
    assert_eq!(
        statuses(&answer.body),
        ["201", "404", "400", "200", "400", "400", "400", "200"]
    );
    let all = entries(&answer.body);
    assert_eq!(
        all[1]["response"]["outcome"]["resourceType"],
        "OperationOutcome"
    );
    assert_eq!(all[3]["resource"]["type"], "searchset");
    assert_eq!(all[7]["resource"]["id"], "maple");
    assert_eq!(
        all[0].get("resource"),
        None,
        "what was sent is not sent back unasked"
    );
    let location = all[0]["response"]["location"].as_str().expect("location");
    assert_eq!(world.get(location).status, StatusCode::OK);
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let world = World::new();
    let id = world.create(PATIENT);
    let count = || world.get("/fhir?_summary=count").body["total"].clone();
    let versions = || world.get("/fhir/_history?_count=1").body["total"].clone();
    let before = (count(), versions());
    let changed = json!({"resourceType": "Patient", "id": id, "active": true});
    let answer = world.write(
        Method::POST,
        "/fhir",
        &[],
        &bundle(
            "transaction",
            &[
                entry("POST", "Patient", patient("New")),
                entry("PUT", &format!("Patient/{id}"), changed.clone()),
                entry("DELETE", "Patient/absent", Value::Null),
            ],
        ),
    );
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(
        answer.body["issue"][0]["expression"],
        json!(["Bundle.entry[2]"])
    );
    assert_eq!((count(), versions()), before);
    assert_eq!(
        world.get(&format!("/fhir/Patient/{id}")).body["meta"]["versionId"],
        "1"
    );
    assert_eq!(world.search("/fhir/Patient?family=New")["total"], 0);
    // The same with a late failure: a write that is refused when everything else is done.
    let answer = world.write(Method::POST, "/fhir", &[], &bundle("transaction", &[
        entry("POST", "Patient", patient("New")),
        json!({"request": {"method": "PUT", "url": format!("Patient/{id}"), "ifMatch": "W/\"7\""}, "resource": changed}),
    ]));
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!((count(), versions()), before);
    let answer = world.write(Method::POST, "/fhir", &[], &bundle("transaction", &[
        entry("POST", "Patient", patient("New")),
        json!({"request": {"method": "PUT", "url": format!("Patient/{id}"), "ifMatch": "W/\"1\""}, "resource": changed}),
        entry("GET", "Patient?family=New", Value::Null),
    ]));
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["type"], "transaction-response");
    assert_eq!(statuses(&answer.body), ["201", "200", "200"]);
    let read = &entries(&answer.body)[2]["resource"];
    assert_eq!(read["total"], 1, "reads come last");
}

#[test]
fn entries_refer_to_each_other_by_urn() {
    let world = World::new();
    let urn = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a";
    let mut mother = entry("POST", "Patient", patient("Mother"));
    mother["fullUrl"] = urn.into();
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": urn},
        "subject": {"reference": urn}, "note": [{"text": format!("see {urn}")}]});
    // It refers forward, too.
    let answer = world.write(
        Method::POST,
        "/fhir",
        &[("prefer", "return=representation")],
        &bundle(
            "transaction",
            &[entry("POST", "Observation", observation), mother.clone()],
        ),
    );
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let all = entries(&answer.body);
    let id = all[1]["resource"]["id"].as_str().expect("id").to_owned();
    assert_eq!(
        all[0]["resource"]["subject"]["reference"],
        format!("Patient/{id}")
    );
    assert_eq!(
        all[0]["resource"]["note"][0]["text"],
        format!("see {urn}"),
        "only whole values are references"
    );
    let found = world.search(&format!("/fhir/Patient/{id}/Observation"));
    assert_eq!(found["total"], 1);
    // A conditional create resolves to what exists.
    mother["request"]["ifNoneExist"] = "family=Mother".into();
    let again = json!({"resourceType": "Observation", "status": "final", "code": {}, "subject": {"reference": urn}});
    let answer = world.write(
        Method::POST,
        "/fhir",
        &[],
        &bundle(
            "transaction",
            &[mother.clone(), entry("POST", "Observation", again)],
        ),
    );
    assert_eq!(statuses(&answer.body), ["200", "201"]);
    assert_eq!(
        world.search(&format!("/fhir/Patient/{id}/Observation"))["total"],
        2
    );
    let mut twin = entry("POST", "Patient", patient("Twin"));
    twin["fullUrl"] = urn.into();
    let clash = bundle("transaction", &[mother, twin]);
    world.check(Method::POST, "/fhir", &clash, 400);
}

#[test]
fn patches_travel_as_binaries() {
    let world = World::new();
    let id = world.create(PATIENT);
    let patch = json!([{"op": "add", "path": "/active", "value": true}]).to_string();
    let binary = json!({"resourceType": "Binary", "contentType": "application/json-patch+json",
        "data": base64::engine::general_purpose::STANDARD.encode(patch)});
    let url = format!("Patient/{id}");
    let answer = world.write(
        Method::POST,
        "/fhir",
        &[],
        &bundle("transaction", &[entry("PATCH", &url, binary)]),
    );
    assert_eq!(statuses(&answer.body), ["200"]);
    assert_eq!(world.get(&format!("/fhir/{url}")).body["active"], true);
    for broken in [
        Value::Null,
        patient("x"),
        json!({"resourceType": "Binary", "contentType": "text/plain", "data": ""}),
    ] {
        let answer = world.write(
            Method::POST,
            "/fhir",
            &[],
            &bundle("batch", &[entry("PATCH", &url, broken)]),
        );
        assert_eq!(statuses(&answer.body), ["400"]);
    }
}

#[test]
fn what_is_no_bundle_is_refused() {
    let world = World::new();
    world.check(Method::POST, "/fhir", PATIENT, 400);
    world.check(Method::POST, "/fhir", &bundle("collection", &[]), 400);
    world.check(
        Method::POST,
        "/fhir",
        r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#,
        400,
    );
    world.check(Method::POST, "/fhir/", &bundle("batch", &[]), 200);
    let twice = [
        entry("DELETE", "Patient/a", Value::Null),
        entry(
            "PUT",
            "Patient/a",
            json!({"resourceType": "Patient", "id": "a"}),
        ),
    ];
    world.check(Method::POST, "/fhir", &bundle("transaction", &twice), 400);
    let many = vec![entry("GET", "metadata", Value::Null); 501];
    world.check(Method::POST, "/fhir", &bundle("batch", &many), 413);
}
