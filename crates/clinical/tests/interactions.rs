//! What each form of FHIR request is classified as.

mod common;

use clinical::fhir::{ResponseShape, Service, classify};
use common::*;
use http::{HeaderMap, Method};

#[test]
fn every_interaction_is_told_apart() {
    check("GET", "/Patient/1", &["fhir:read Patient/1 [1]"]);
    check(
        "HEAD",
        "/Observation/o-1?_format=json",
        &["fhir:read Observation/o-1"],
    );
    check(
        "GET",
        "/Observation/o/_history/2",
        &["fhir:vread Observation/o"],
    );
    check(
        "GET",
        "/Patient/1/_history?_count=5",
        &["fhir:history Patient/1 [1]"],
    );
    check(
        "GET",
        "/Observation/_history?_since=2026-01-01",
        &["fhir:history Observation"],
    );
    check("GET", "/_history", &["fhir:history *"]);
    check("GET", "/Observation?code=x", &["fhir:search Observation"]);
    check("GET", "/Observation", &["fhir:search Observation"]);
    check(
        "GET",
        "/?_type=Patient,Observation&_lastUpdated=ge2026",
        &["fhir:search Patient", "fhir:search Observation"],
    );
    check("GET", "/", &["fhir:search *"]);
    check(
        "GET",
        "/Patient/1/Observation?code=x",
        &["fhir:search Observation [1]"],
    );
    check("GET", "/Patient/1/*", &["fhir:search * [1]"]);
    check(
        "GET",
        "/Patient/1/Observation?patient=2",
        &["fhir:search Observation [1 2]"],
    );
    check("GET", "/Patient/1/$everything", &["fhir:search * [1]"]);
    check(
        "GET",
        "/Patient/1/$everything?_type=Condition&start=2020",
        &["unclassified Patient"],
    );
    check(
        "GET",
        "/Patient/1/$everything?_type=Condition&_since=2020",
        &["fhir:search Condition [1]"],
    );
    check("GET", "/Patient?_id=1,2", &["fhir:search Patient [1 2]"]);
    check(
        "GET",
        "/metadata",
        &["fhir:capabilities CapabilityStatement"],
    );
    check("GET", "/$export", &["fhir:export */$export"]);
    check(
        "GET",
        "/Group/g/$export?_type=Patient",
        &["fhir:export Group/g/$export"],
    );
    check("POST", "/Patient/$export", &["fhir:export Patient/$export"]);
    check(
        "POST",
        "/Patient/1/$merge",
        &["fhir:operation Patient/1/$merge [1]"],
    );
    check(
        "GET",
        "/Patient/$everything",
        &["fhir:operation Patient/$everything"],
    );
    check("DELETE", "/Observation/o", &["fhir:delete Observation/o"]);
    let limited = get(
        "/Patient/1/Observation?category=laboratory,http://x|vital-signs&_include=Observation:subject:Patient",
    );
    assert_eq!(
        endpoints(&limited)[0].1.categories,
        ["laboratory", "vital-signs"]
    );
    assert_eq!(
        shown(&limited),
        ["fhir:search Observation [1]", "fhir:search Patient [1]"]
    );
    assert_eq!(
        get("/Patient/1").response,
        ResponseShape::Single {
            resource_type: "Patient".into(),
            id: "1".into()
        }
    );
    assert_eq!(get("/Observation").response, ResponseShape::Set);
}

#[test]
fn what_is_not_known_is_unclassified() {
    for (method, url) in [
        ("GET", "/patient/1"),
        ("GET", "/Mystery/1"),
        ("GET", "/Patient/1/"),
        ("GET", "/Patient/1/x/y/z/w"),
        ("GET", "/Patient/a_b"),
        ("GET", "/Encounter/1/Observation"),
        ("GET", "/Patient/_search?name=x"),
        ("GET", "/Patient/1/patient"),
        ("GET", "/Patient/1/Observation/2"),
        ("GET", "/Patient/1?_elements=id"),
        ("GET", "/Patient/1?_summary=true"),
        ("GET", "/_export/files/1"),
        ("GET", "/Patient/$"),
        ("GET", "/Patient/$a%20b"),
        ("PUT", "/Observation?code=x"),
        ("PATCH", "/Observation?code=x"),
        ("DELETE", "/Observation?patient=1"),
        ("DELETE", "/Observation/o?_cascade=delete"),
        ("DELETE", "/Observation/o/_history"),
        ("DELETE", "/"),
        ("OPTIONS", "/Patient"),
        ("PUT", "/Patient/$op"),
        ("DELETE", "/metadata"),
    ] {
        unclassified(method, url, &[JSON], "{}");
    }
    let service = Service {
        application: application(),
        base: "/fhir/".to_owned(),
    };
    for path in ["/", "/other", "/fhirx/Patient/1", "/FHIR/Patient/1"] {
        let classified = classify(&service, &Method::GET, path, None, &HeaderMap::new(), b"")
            .expect("classified");
        assert_eq!(shown(&classified), ["unclassified ~"], "{path}");
        assert_eq!(classified.response, ResponseShape::Opaque);
    }
}
