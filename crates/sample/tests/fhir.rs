//! The FHIR server against the RESTful API of R4: reads, versions, histories and writes.

mod common;

use common::{PATIENT, World, entries, ids, next};
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[test]
fn capabilities_describe_the_server() {
    let world = World::new();
    let statement = world.get("/fhir/metadata").body;
    assert_eq!(statement["resourceType"], "CapabilityStatement");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    let resources = statement["rest"][0]["resource"]
        .as_array()
        .expect("resources");
    assert!(resources.iter().any(|r| r["type"] == "Observation"));
    // What is declared as searchable is.
    for resource in resources {
        let name = resource["type"].as_str().expect("type");
        for parameter in resource["searchParam"].as_array().expect("parameters") {
            let value = match parameter["type"].as_str().expect("type") {
                "date" => "2026",
                "reference" => "Patient/none",
                _ => "none",
            };
            world.search(&format!(
                "/fhir/{name}?{}={value}",
                parameter["name"].as_str().expect("name")
            ));
        }
    }
}

#[test]
fn reads_answer_with_version_and_honour_conditions() {
    let world = World::new();
    let patient = world.hospital.patients()[0].id.as_str();
    let path = format!("/fhir/Patient/{patient}");
    let read = world.get(&path);
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(read.body["id"], patient);
    assert_eq!(read.body["meta"]["versionId"], "1");
    assert_eq!(read.headers["etag"], "W/\"1\"");
    let date = read.headers["last-modified"]
        .to_str()
        .expect("text")
        .to_owned();
    for (name, value) in [("if-none-match", "W/\"1\""), ("if-modified-since", &date)] {
        let again = world.send(Method::GET, &path, &[(name, value)], "");
        assert_eq!(
            (again.status, again.length),
            (StatusCode::NOT_MODIFIED, 0),
            "{name}"
        );
    }
    let other = world.send(Method::GET, &path, &[("if-none-match", "W/\"2\"")], "");
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(
        world.send(Method::HEAD, &path, &[], "").headers["etag"],
        "W/\"1\""
    );
}

#[test]
fn absent_deleted_and_unknown_are_told_apart() {
    let world = World::new();
    let id = world.create(PATIENT);
    world.check(Method::GET, "/fhir/Patient/absent", "", 404);
    world.check(Method::GET, "/fhir/Spaceship/1", "", 404);
    world.check(Method::GET, "/fhir/patient/1", "", 404);
    world.check(
        Method::GET,
        &format!("/fhir/Patient/{}", "x".repeat(65)),
        "",
        404,
    );
    world.check(Method::GET, "/fhir/Patient/a%2Fb", "", 404);
    world.check(Method::GET, "/fhir//Patient", "", 404);
    world.check(Method::GET, "/fhir/Patient/1/Observation/2/3", "", 404);
    world.check(Method::GET, "/fhir/$export", "", 404);
    world.check(Method::POST, "/fhir/Patient/1/$everything", "{}", 404);
    let path = format!("/fhir/Patient/{id}");
    world.check(Method::DELETE, &path, "", 204);
    world.check(Method::GET, &path, "", 410);
    world.check(Method::DELETE, &path, "", 204);
    world.check(Method::DELETE, "/fhir/Patient/absent", "", 404);
    world.check(Method::GET, &format!("{path}/_history/1"), "", 200);
    world.check(Method::GET, &format!("{path}/_history/2"), "", 410);
    world.check(Method::GET, &format!("{path}/_history/3"), "", 404);
    world.check(Method::GET, &format!("{path}/_history/01"), "", 404);
}

#[test]
fn methods_and_media_types_that_do_not_fit_are_refused() {
    let world = World::new();
    for (method, path, allow) in [
        (Method::PUT, "/fhir/Patient", "GET, HEAD, POST"),
        (Method::DELETE, "/fhir/Patient?name=x", "GET, HEAD, POST"),
        (
            Method::POST,
            "/fhir/Patient/1",
            "GET, HEAD, PUT, PATCH, DELETE",
        ),
        (Method::POST, "/fhir/metadata", "GET, HEAD"),
        (Method::GET, "/fhir/Patient/_search", "POST"),
        (Method::DELETE, "/fhir", "GET, HEAD, POST"),
    ] {
        // `GET /Patient/_search` reads as a search address, not as a patient called `_search`.
        let answer = world.write(method.clone(), path, &[], "{}");
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(answer.headers["allow"], allow);
        assert_eq!(answer.body["issue"][0]["code"], "not-supported");
    }
    let posted = |kind: &str| {
        world
            .send(
                Method::POST,
                "/fhir/Patient",
                &[("content-type", kind)],
                PATIENT,
            )
            .status
            .as_u16()
    };
    assert_eq!(posted("application/fhir+xml"), 415);
    assert_eq!(posted("text/plain"), 415);
    assert_eq!(posted("application/json; charset=utf-8"), 201);
    let accepted = |accept: &str| {
        world
            .send(Method::GET, "/fhir/metadata", &[("accept", accept)], "")
            .status
            .as_u16()
    };
    assert_eq!(accepted("application/fhir+xml"), 406);
    assert_eq!(accepted("text/html, */*;q=0.8"), 200);
    assert_eq!(accepted("application/fhir+json;fhirVersion=4.0"), 200);
    world.check(Method::GET, "/fhir/metadata?_format=xml", "", 406);
    world.check(Method::GET, "/fhir/metadata?_format=json", "", 200);
}

#[test]
fn updates_make_versions_and_conflicts_are_found() {
    let world = World::new();
    let id = world.create(PATIENT);
    let path = format!("/fhir/Patient/{id}");
    world.pass(60);
    let changed = json!({"resourceType": "Patient", "id": id, "active": false}).to_string();
    let first = world.write(Method::PUT, &path, &[("if-match", "W/\"1\"")], &changed);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.headers["etag"], "W/\"2\"");
    assert_eq!(first.headers["location"], format!("{path}/_history/2"));
    assert_eq!(
        first.body["meta"]["lastUpdated"],
        "2026-11-22T10:01:00.000Z"
    );
    let second = world.write(Method::PUT, &path, &[("if-match", "W/\"1\"")], &changed);
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    let absent = world.write(
        Method::PUT,
        "/fhir/Patient/new-one",
        &[("if-match", "W/\"1\"")],
        "{}",
    );
    assert_eq!(absent.status, StatusCode::BAD_REQUEST);
    world.check(Method::PUT, &path, PATIENT, 400);
    world.check(Method::PUT, "/fhir/Patient/other", &changed, 400);
    let upsert = changed.replace(&id, "my-own-id");
    world.check(Method::PUT, "/fhir/Patient/my-own-id", &upsert, 201);
    let versions = world.get(&format!("{path}/_history")).body;
    assert_eq!(versions["type"], "history");
    assert_eq!(versions["total"], 2);
    let all = entries(&versions);
    assert_eq!(
        all[0]["request"],
        json!({"method": "PUT", "url": format!("Patient/{id}")})
    );
    assert_eq!(
        all[1]["request"],
        json!({"method": "POST", "url": "Patient"})
    );
    assert_eq!(all[1]["response"]["etag"], "W/\"1\"");
    assert_eq!(
        world.get(&format!("{path}/_history/1")).body["name"][0]["family"],
        "Test"
    );
    // Deleted, then written again: it lives on under the next version.
    world.check(Method::DELETE, &path, "", 204);
    let deleted = entries(&world.get(&format!("{path}/_history")).body)[0].clone();
    assert_eq!(deleted["request"]["method"], "DELETE");
    assert_eq!(deleted.get("resource"), None);
    world.check(Method::PUT, &path, &changed, 201);
    assert_eq!(world.get(&path).body["meta"]["versionId"], "4");
}

#[test]
fn clients_cannot_write_the_servers_part_of_a_resource() {
    let world = World::new();
    let sent = r#"{"resourceType":"Patient","id":"chosen","meta":{"versionId":"99","lastUpdated":"1999-01-01T00:00:00Z",
        "security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"VIP"}]}}"#;
    let answer = world.write(Method::POST, "/fhir/Patient", &[], sent);
    assert_ne!(answer.body["id"], "chosen");
    assert_eq!(answer.body["meta"]["versionId"], "1");
    assert_eq!(
        answer.body["meta"]["lastUpdated"],
        "2026-11-22T10:00:00.000Z"
    );
    assert_eq!(
        answer.body["meta"]["security"][0]["code"], "VIP",
        "labels stay"
    );
}

#[test]
fn prefer_chooses_what_comes_back() {
    let world = World::new();
    let post = |prefer: &str| {
        world.write(
            Method::POST,
            "/fhir/Patient",
            &[("prefer", prefer)],
            PATIENT,
        )
    };
    let minimal = post("return=minimal");
    assert_eq!((minimal.status.as_u16(), minimal.length), (201, 0));
    assert!(minimal.headers.contains_key("location"));
    assert_eq!(
        post("return=representation").body["resourceType"],
        "Patient"
    );
    assert_eq!(
        post("handling=strict, return=OperationOutcome").body["resourceType"],
        "OperationOutcome"
    );
}

#[test]
fn conditional_create_looks_first() {
    let world = World::new();
    let patient = &world.hospital.patients()[0].id;
    let stored = world
        .get(&format!("/fhir/Patient/{}", patient.as_str()))
        .body;
    let number = stored["identifier"][0]["value"].as_str().expect("number");
    let post = |condition: &str| {
        world.write(
            Method::POST,
            "/fhir/Patient",
            &[("if-none-exist", condition)],
            PATIENT,
        )
    };
    let found = post(&format!("identifier={number}"));
    assert_eq!(
        (found.status, &found.body["id"]),
        (StatusCode::OK, &stored["id"])
    );
    assert_eq!(post("active=true").status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(post("").status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(post("_count=1").status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(post("colour=red").status, StatusCode::BAD_REQUEST);
    assert_eq!(
        post("identifier=nobody-has-this").status,
        StatusCode::CREATED
    );
}

#[test]
fn patches_are_applied_whole_or_not_at_all() {
    let world = World::new();
    let id = world.create(PATIENT);
    let path = format!("/fhir/Patient/{id}");
    let patch = |operations: Value, status: u16| {
        world.check(Method::PATCH, &path, &operations.to_string(), status);
    };
    patch(
        json!([{"op": "replace", "path": "/name/0/family", "value": "Changed"}]),
        200,
    );
    assert_eq!(world.get(&path).body["name"][0]["family"], "Changed");
    patch(
        json!([{"op": "add", "path": "/active", "value": true}, {"op": "test", "path": "/active", "value": 1}]),
        422,
    );
    assert_eq!(world.get(&path).body.get("active"), None);
    patch(json!([{"op": "replace", "path": "/id", "value": "x"}]), 422);
    patch(
        json!([{"op": "replace", "path": "/resourceType", "value": "Device"}]),
        422,
    );
    patch(json!([{"op": "add", "path": "", "value": []}]), 422);
    patch(json!({}), 400);
    let stale = world.write(Method::PATCH, &path, &[("if-match", "W/\"1\"")], "[]");
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    world.check(Method::PATCH, "/fhir/Patient/absent", "[]", 404);
    let as_json = world.send(
        Method::PATCH,
        &path,
        &[("content-type", "application/json")],
        "[]",
    );
    assert_eq!(as_json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.get(&path).body["meta"]["versionId"], "2");
}

#[test]
fn broken_resources_are_refused_with_the_place() {
    let world = World::new();
    world.check(Method::POST, "/fhir/Patient", "{", 400);
    world.check(Method::POST, "/fhir/Patient", "[]", 400);
    world.check(
        Method::POST,
        "/fhir/Patient",
        "{\"resourceType\":\"Device\"}",
        400,
    );
    world.check(
        Method::POST,
        "/fhir/Patient",
        &format!("{}1{}", "[".repeat(500), "]".repeat(500)),
        400,
    );
    world.check(
        Method::POST,
        "/fhir/Patient",
        r#"{"resourceType":"Patient","meta":7}"#,
        422,
    );
    world.check(
        Method::POST,
        "/fhir/Observation",
        r#"{"resourceType":"Observation","status":"final","code":{},"subject":{"reference":5}}"#,
        422,
    );
    let answer = world.write(
        Method::POST,
        "/fhir/MedicationRequest",
        &[],
        r#"{"resourceType":"MedicationRequest","status":"active","intent":"order","subject":{"reference":"Patient/1"}}"#,
    );
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let issue = &answer.body["issue"][0];
    assert_eq!(issue["code"], "required");
    assert!(
        issue["expression"][0]
            .as_str()
            .expect("place")
            .starts_with("MedicationRequest.medication")
    );
}

#[test]
fn a_patient_with_records_cannot_be_deleted() {
    let world = World::new();
    let id = world.create(PATIENT);
    let observation = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/{id}"}}}}"#
    );
    let observation = world.create(&observation);
    world.check(Method::DELETE, &format!("/fhir/Patient/{id}"), "", 409);
    world.check(
        Method::DELETE,
        &format!("/fhir/Observation/{observation}"),
        "",
        204,
    );
    world.check(Method::DELETE, &format!("/fhir/Patient/{id}"), "", 204);
}

#[test]
fn histories_of_types_and_of_the_system_page_through_everything() {
    let world = World::new();
    world.pass(60);
    let id = world.create(PATIENT);
    let newest = world.get("/fhir/_history?_count=1").body;
    assert_eq!(ids(&newest), [id.as_str()]);
    assert!(newest["total"].as_u64().expect("total") > 4_000);
    let since = world
        .get("/fhir/Patient/_history?_since=2026-11-22T10:00:30Z")
        .body;
    assert_eq!(ids(&since), [id.as_str()]);
    let mut page = world.get("/fhir/Organization/_history?_count=7").body;
    let mut seen = ids(&page);
    while let Some(url) = next(&page) {
        page = world.get(&url).body;
        assert_eq!(page["type"], "history");
        seen.extend(ids(&page));
    }
    assert_eq!(seen.len() as u64, page["total"].as_u64().expect("total"));
    world.check(Method::GET, "/fhir/Patient/absent/_history", "", 404);
    world.check(Method::GET, "/fhir/_history?_since=soon", "", 400);
    world.check(Method::GET, "/fhir/_history?_list=1", "", 400);
}

#[test]
fn going_around_the_gateway_is_refused() {
    let world = World::with(|options| {
        options.verifier = Some(std::sync::Arc::new(|assertion| assertion == "signed"));
    });
    world.check(Method::GET, "/fhir/metadata", "", 401);
    let with = |headers: &[(&str, &str)]| {
        world
            .send(Method::GET, "/fhir/metadata", headers, "")
            .status
            .as_u16()
    };
    assert_eq!(with(&[("x-asepsis-assertion", "signed")]), 200);
    assert_eq!(with(&[("x-asepsis-assertion", "forged")]), 401);
    assert_eq!(
        with(&[
            ("x-asepsis-assertion", "signed"),
            ("x-asepsis-assertion", "signed")
        ]),
        401
    );
}

#[test]
fn memory_is_bounded() {
    let world = World::with(|options| options.versions_max = 10_000);
    let held = world.get("/fhir/_history?_count=1").body["total"]
        .as_u64()
        .expect("total");
    let many: Vec<Value> = (0..500)
        .map(|_| json!({"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient"}}))
        .collect();
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": many}).to_string();
    for _ in 0..=(10_000 - held) / 500 {
        world.check(Method::POST, "/fhir", &batch, 200);
    }
    world.check(Method::POST, "/fhir/Patient", PATIENT, 507);
    world.check(Method::GET, "/fhir/metadata", "", 200);
    let small = World::with(|options| options.body_max = 100);
    let long = PATIENT.replace("Ann", &"x".repeat(100));
    small.check(Method::POST, "/fhir/Patient", &long, 413);
}
