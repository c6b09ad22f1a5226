//! FHIR: judged on the address, then on the content, in both directions.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::Kind;
use domain::Aal;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use support::wire::{Raw, Reply, ask, get, with};
use support::{
    BILLING, CHART, NURSE, OTHER_PATIENT, OWN_PATIENT, PHONE, PHYSICIAN, World, fhir, text,
};

type Store = Arc<Mutex<BTreeMap<String, Value>>>;

fn observation(id: &str, patient: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "meta": { "versionId": "3" },
        "status": "final",
        "code": { "text": "weight" },
        "subject": { "reference": format!("Patient/{patient}") },
        "valueQuantity": { "value": 71.5 },
    })
}

fn labelled(mut resource: Value, code: &str) -> Value {
    resource["meta"]["security"] = json!([
        { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code },
        { "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R" },
    ]);
    resource
}

/// A small FHIR server: reads, a search over everything, and writes with versions.
async fn serve(world: &World) -> Store {
    let mut resources = BTreeMap::new();
    let mut put = |resource: Value| {
        let key = format!(
            "{}/{}",
            resource["resourceType"].as_str().expect("a type"),
            resource["id"].as_str().expect("an id")
        );
        resources.insert(key, resource);
    };
    for patient in [OWN_PATIENT, OTHER_PATIENT] {
        put(json!({ "resourceType": "Patient", "id": patient, "meta": { "versionId": "1" } }));
    }
    put(observation("own", OWN_PATIENT));
    put(observation("own-2", OWN_PATIENT));
    put(observation("other", OTHER_PATIENT));
    put(labelled(observation("other-psy", OTHER_PATIENT), "PSY"));
    put(json!({
        "resourceType": "Binary", "id": "scan", "contentType": "application/pdf", "data": "QUJD",
        "securityContext": { "reference": format!("Patient/{OWN_PATIENT}") },
    }));
    let store: Store = Arc::new(Mutex::new(resources));
    let held = store.clone();
    world.upstream.answer(move |seen| {
        let store = held.clone();
        async move { answer(&store, &seen) }
    });
    store
}

fn answer(store: &Store, seen: &support::Seen) -> http::Response<gateway::Body> {
    let path = seen.uri.split('?').next().unwrap_or_default();
    let place = path.trim_start_matches("/fhir/").to_owned();
    let mut store = store.lock();
    let missing = || {
        fhir(
            StatusCode::NOT_FOUND,
            &json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "not-found", "diagnostics": format!("upstream knows no {path}") }] }),
        )
    };
    let stale = |stored: Option<&Value>| {
        let tag = stored
            .and_then(|s| s.pointer("/meta/versionId"))
            .and_then(Value::as_str)
            .map(|v| format!("W/\"{v}\""));
        seen.headers
            .get("if-match")
            .is_some_and(|m| Some(m.to_str().unwrap_or("")) != tag.as_deref())
    };
    match (&seen.method, place.matches('/').count()) {
        (&Method::GET, 1) => match store.get(&place) {
            Some(resource) => fhir(StatusCode::OK, resource),
            None => missing(),
        },
        (&Method::GET, 0) | (&Method::POST, 1) => {
            let query = seen.uri.split_once('?').map_or("", |(_, query)| query);
            let identifier = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("identifier="));
            let fits = |resource: &Value| {
                identifier.is_none_or(|wanted| resource["identifier"][0]["value"] == wanted)
            };
            let of_type = format!("{}/", place.split('/').next().unwrap_or_default());
            let entries: Vec<Value> = store
                .iter()
                .filter(|(key, resource)| key.starts_with(&of_type) && fits(resource))
                .map(|(key, resource)| {
                    json!({ "fullUrl": format!("http://upstream/fhir/{key}"), "resource": resource, "search": { "mode": "match" } })
                })
                .collect();
            fhir(
                StatusCode::OK,
                &json!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries }),
            )
        }
        (&Method::PUT, 1) => {
            if stale(store.get(&place)) {
                return text(StatusCode::PRECONDITION_FAILED, "");
            }
            let mut resource: Value = serde_json::from_slice(&seen.body).expect("JSON");
            resource["meta"]["versionId"] = json!("4");
            store.insert(place, resource.clone());
            fhir(StatusCode::OK, &resource)
        }
        (&Method::POST, 0) => {
            let mut resource: Value = serde_json::from_slice(&seen.body).expect("JSON");
            resource["id"] = json!("new");
            resource["meta"]["versionId"] = json!("1");
            let mut response = fhir(StatusCode::CREATED, &resource);
            response.headers_mut().insert(
                "location",
                http::HeaderValue::from_static(
                    "http://10.1.1.1:80/fhir/Observation/new/_history/1",
                ),
            );
            response
        }
        (&Method::DELETE, 1) => {
            if stale(store.get(&place)) {
                return text(StatusCode::PRECONDITION_FAILED, "");
            }
            store.remove(&place);
            text(StatusCode::NO_CONTENT, "")
        }
        _ => missing(),
    }
}

async fn read(world: &World, cookie: &str, path: &str) -> Reply {
    ask(world.http, get(CHART, path, cookie)).await
}

async fn write(world: &World, cookie: &str, line: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let kind = [("Content-Type", "application/fhir+json")];
    ask(world.http, with(CHART, line, cookie, &kind, &body)).await
}

#[tokio::test]
async fn a_resource_in_ones_care_is_released_with_a_disclosure_record() {
    let world = World::new().await;
    serve(&world).await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "chart");
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["id"], "own");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("etag"), Some("W/\"3\""));
    let disclosures = world.records_of(Kind::Disclosure);
    let disclosure = disclosures.last().expect("recorded before it came here");
    assert_eq!(disclosure.header["released"], 1);
    assert_eq!(disclosure.header["withheld"], 0);
    assert_eq!(disclosure.header["session"], session.as_str());
    let payload: Value =
        serde_json::from_slice(disclosure.payload.as_ref().expect("kept")).expect("JSON");
    assert_eq!(payload["released"][0]["patients"][0], OWN_PATIENT);
    // No patient in what cannot be erased.
    for record in world.records() {
        let header = Value::Object(record.header).to_string();
        assert!(
            !header.contains(OWN_PATIENT) && !header.contains("\"own\""),
            "{header}"
        );
    }
    let upstream = world.upstream.seen();
    assert_eq!(upstream[0].headers["accept-encoding"], "identity");
    assert_eq!(upstream[0].headers["accept"], "application/fhir+json");
    assert!(!upstream[0].headers.contains_key("cookie"));
}

#[tokio::test]
async fn a_strangers_resource_is_refused_with_the_offer_of_an_emergency() {
    let world = World::new().await;
    serve(&world).await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "chart");
    let reply = read(&world, &cookie, "/fhir/Observation/other").await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let problem = reply.json();
    assert_eq!(problem["outcome"], "break_glass");
    assert!(!reply.text().contains(OTHER_PATIENT));
    let url = problem["continue"].as_str().expect("a way on");
    let handle = url.rsplit('/').next().expect("a handle");
    let ceremony = world
        .ceremonies
        .get(handle, &session, world.now())
        .expect("open");
    let identity::CeremonyKind::BreakGlass(eligibility) = &ceremony.kind else {
        panic!("{:?}", ceremony.kind);
    };
    assert_eq!(eligibility.patient.as_str(), OTHER_PATIENT);
    // With the grant that the ceremony gives, the chart opens.
    let now = world.now();
    let subject = domain::Subject {
        person: PHYSICIAN.into(),
        session: Some(session.clone()),
        device: Some(support::WORKSTATION.into()),
        session_ends: domain::Timestamp::FOREVER,
    };
    let grant = policy::grant(
        eligibility,
        &subject,
        "unconscious in bay 2",
        "g-1".into(),
        now,
    );
    world
        .sessions
        .attach_grant(&session, grant, now)
        .expect("one's own grant");
    let reply = read(&world, &cookie, "/fhir/Observation/other").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// What must be the same of two answers: all but the record's number, the ceremony's handle and the date.
fn comparable(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| {
            !["date", "x-asepsis-record"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n))
        })
        .map(|(name, value)| {
            // The length differs only by the number of digits of the record.
            let value = if name.eq_ignore_ascii_case("content-length") {
                String::new()
            } else {
                value.clone()
            };
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    headers.sort();
    let mut body = reply.text();
    if let Ok(mut json) = serde_json::from_slice::<Value>(&reply.body) {
        if let Some(object) = json.as_object_mut() {
            if object.contains_key("record") {
                object.insert("record".to_owned(), json!("n"));
            }
            if let Some(Value::String(url)) = object.get_mut("continue") {
                let end = url.rfind('/').expect("a handle");
                url.truncate(end);
            }
        }
        body = json.to_string();
    }
    (reply.status, headers, body)
}

#[tokio::test]
async fn what_is_absent_and_what_is_withheld_look_the_same() {
    let world = World::new().await;
    serve(&world).await;
    for person in [PHYSICIAN, NURSE, BILLING, support::ADMIN] {
        let (_, cookie) = world.sign_in(person, "chart");
        for (there, absent) in [
            ("/fhir/Observation/other", "/fhir/Observation/nosuch"),
            ("/fhir/Observation/other-psy", "/fhir/Observation/nosuch"),
            ("/fhir/Patient/p-other", "/fhir/Patient/p-nobody"),
            (
                "/fhir/Observation/other/_history/1",
                "/fhir/Observation/nosuch/_history/1",
            ),
            (
                "/fhir/Observation?patient=p-other",
                "/fhir/Observation?patient=p-nobody",
            ),
            (
                "/fhir/Patient/p-other/Observation",
                "/fhir/Patient/p-nobody/Observation",
            ),
        ] {
            let withheld = read(&world, &cookie, there).await;
            let nothing = read(&world, &cookie, absent).await;
            if ![PHYSICIAN, NURSE].contains(&person) && withheld.status == 200 {
                continue; // an office that may see this of anybody
            }
            assert_ne!(withheld.status, 200, "{person} {there}");
            assert_eq!(
                comparable(&withheld),
                comparable(&nothing),
                "{person} {there}"
            );
            // Conditions do not tell them apart either.
            let conditional = |path: &str| {
                with(
                    CHART,
                    &format!("GET {path}"),
                    &cookie,
                    &[
                        ("If-None-Match", "W/\"3\""),
                        ("If-Modified-Since", "Sun, 22 Nov 2026 08:00:00 GMT"),
                    ],
                    "",
                )
            };
            let withheld = ask(world.http, conditional(there)).await;
            let nothing = ask(world.http, conditional(absent)).await;
            assert_eq!(
                comparable(&withheld),
                comparable(&nothing),
                "{person} {there}"
            );
        }
    }
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| !s.headers.contains_key("if-none-match")
                && !s.headers.contains_key("if-modified-since"))
    );
}

#[tokio::test]
async fn a_search_shows_only_what_one_may_see() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let reply = read(&world, &cookie, "/fhir/Observation").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bundle = reply.json();
    let ids: Vec<&str> = bundle["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|e| e.pointer("/resource/id").and_then(Value::as_str))
        .collect();
    assert_eq!(ids, ["own", "own-2"]);
    assert!(!reply.text().contains(OTHER_PATIENT));
    assert!(
        bundle["total"].as_u64().is_none_or(|n| n == 2),
        "{}",
        bundle["total"]
    );
    let disclosures = world.records_of(Kind::Disclosure);
    let header = &disclosures.last().expect("recorded").header;
    assert_eq!(header["released"], 2);
    assert_eq!(header["withheld"], 2);
    // The same by POST.
    let request = with(
        CHART,
        "POST /fhir/Observation/_search",
        &cookie,
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "status=final",
    );
    let reply = ask(world.http, request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        world
            .upstream
            .seen()
            .last()
            .map(|s| s.body.clone())
            .as_deref(),
        Some(&b"status=final"[..])
    );
}

#[tokio::test]
async fn unclassified_requests_are_refused_and_never_forwarded() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    for (line, statuses) in [
        ("GET /fhir/NoSuchType/1", &[400, 403, 404][..]),
        ("GET /fhir/$export", &[403]),
        ("GET /fhir/Patient/p-own/$unknown-operation", &[403]),
        ("GET /fhir/Observation/own?_format=xml", &[400, 403, 406]),
        ("OPTIONS /fhir/Observation/own", &[400, 403, 405]),
        ("GET /fhir/", &[400, 403, 404]),
        ("PROPFIND /fhir/Observation/own", &[400, 403, 405, 501]),
    ] {
        let reply = ask(world.http, with(CHART, line, &cookie, &[], "")).await;
        assert!(
            statuses.contains(&reply.status),
            "{} for {line}",
            reply.status
        );
    }
    let body = with(
        CHART,
        "DELETE /fhir/Observation/own",
        &cookie,
        &[],
        "unexpected",
    );
    assert_eq!(ask(world.http, body).await.status, 400);
    let body = with(
        CHART,
        "GET /fhir/Observation/own",
        &cookie,
        &[],
        "unexpected",
    );
    assert_eq!(ask(world.http, body).await.status, 400);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn answers_that_cannot_be_judged_are_not_passed_on() {
    let world = World::with(gateway::Limits {
        fhir_response_max: 50_000,
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    world
        .upstream
        .answer(|_| async { text(StatusCode::OK, "secret in plain text") });
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 502);
    assert!(!reply.text().contains("secret"));
    world.upstream.answer(|_| async {
        fhir(
            StatusCode::OK,
            &json!({ "resourceType": "Secret", "secret": true }),
        )
    });
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_ne!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains("Secret"));
    world.upstream.answer(|_| async {
        let mut large = observation("own", OWN_PATIENT);
        large["note"] = json!([{ "text": "secret".repeat(20_000) }]);
        fhir(StatusCode::OK, &large)
    });
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 502);
    assert_eq!(reply.json()["code"], "response-too-large");
    let disclosures = world.records_of(Kind::Disclosure);
    assert_eq!(
        disclosures.last().expect("recorded").header["code"],
        "response-too-large"
    );
    // An upstream's words about a failed read are not judged and stay behind.
    world.upstream.answer(|_| async {
        fhir(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "resourceType": "OperationOutcome", "issue": [{ "diagnostics": "secret of p-other" }] }),
        )
    });
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 500);
    assert!(!reply.text().contains("secret"));
}

#[tokio::test]
async fn attack_77_compressed_answers_are_not_unpacked() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    world.upstream.answer(|_| async {
        let mut response = fhir(StatusCode::OK, &observation("own", OWN_PATIENT));
        response
            .headers_mut()
            .insert("content-encoding", http::HeaderValue::from_static("gzip"));
        response
    });
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
}

#[tokio::test]
async fn an_update_is_judged_on_both_versions_and_sent_against_the_stored_one() {
    let world = World::new().await;
    let store = serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let mut changed = observation("own", OWN_PATIENT);
    changed["status"] = json!("amended");
    let reply = write(&world, &cookie, "PUT /fhir/Observation/own", &changed).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (&seen[0].method, seen[0].uri.as_str()),
        (&Method::GET, "/fhir/Observation/own")
    );
    assert_eq!(seen[1].method, Method::PUT);
    assert_eq!(seen[1].headers["if-match"], "W/\"3\"");
    assert_eq!(store.lock()["Observation/own"]["status"], "amended");
    // Somebody else's record is neither changed nor taken over, whatever the new content says.
    let mut stolen = observation("other", OWN_PATIENT);
    stolen["status"] = json!("amended");
    let reply = write(&world, &cookie, "PUT /fhir/Observation/other", &stolen).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    // A record is not moved to another patient.
    let moved = observation("own-2", OTHER_PATIENT);
    let reply = write(&world, &cookie, "PUT /fhir/Observation/own-2", &moved).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(
        store.lock()["Observation/own-2"]["subject"]["reference"],
        "Patient/p-own"
    );
    // Labels are not lost.
    store.lock().insert(
        "Observation/own-2".to_owned(),
        labelled(observation("own-2", OWN_PATIENT), "SEX"),
    );
    let plain = observation("own-2", OWN_PATIENT);
    let reply = write(&world, &cookie, "PUT /fhir/Observation/own-2", &plain).await;
    assert_ne!(reply.status, 200, "{}", reply.text());
    let writes = world
        .upstream
        .seen()
        .iter()
        .filter(|s| s.method == Method::PUT)
        .count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn a_write_against_another_version_than_the_client_meant_is_not_sent() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let body = observation("own", OWN_PATIENT).to_string();
    let put = |tag: &str| {
        with(
            CHART,
            "PUT /fhir/Observation/own",
            &cookie,
            &[("Content-Type", "application/fhir+json"), ("If-Match", tag)],
            &body,
        )
    };
    let reply = ask(world.http, put("W/\"2\"")).await;
    assert_eq!(reply.status, 412, "{}", reply.text());
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| s.method == Method::GET)
    );
    let reply = ask(world.http, put("W/\"3\"")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_creation_is_judged_on_its_content() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let mut new = observation("x", OWN_PATIENT);
    new.as_object_mut().expect("an object").remove("id");
    let reply = write(&world, &cookie, "POST /fhir/Observation", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(
        reply.header("location"),
        Some("/fhir/Observation/new/_history/1")
    );
    assert_eq!(reply.json()["id"], "new");
    let seen = world.upstream.seen();
    assert_eq!(seen.len(), 1);
    let decided = world.records_of(Kind::Decision).len() as u64;
    assert!(seen[0].durable >= decided, "sent before it was on disk");
    let mut other = observation("x", OTHER_PATIENT);
    other.as_object_mut().expect("an object").remove("id");
    let reply = write(&world, &cookie, "POST /fhir/Observation", &other).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let reply = write(
        &world,
        &cookie,
        "POST /fhir/Observation",
        &json!("no resource"),
    )
    .await;
    assert!(matches!(reply.status, 400 | 422), "{}", reply.status);
    assert_eq!(world.upstream.count(), 1);
}

#[tokio::test]
async fn head_is_judged_like_get_and_tells_the_length_of_what_would_be_released() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    for path in [
        "/fhir/Observation/own",
        "/fhir/Observation/other",
        "/fhir/Observation/nosuch",
        "/fhir/Observation",
        "/fhir/Patient?_elements=id",
    ] {
        let got = read(&world, &cookie, path).await;
        let mut raw = Raw::connect(world.http).await;
        raw.send(with(CHART, &format!("HEAD {path}"), &cookie, &[], ""))
            .await;
        let head = raw.reply_to("HEAD").await.expect("an answer");
        assert_eq!(head.status, got.status, "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
        // The ceremony's handle and the record's number have a fixed length but for the number's digits.
        let length = |reply: &Reply| -> i64 {
            reply
                .header("content-length")
                .and_then(|l| l.parse().ok())
                .expect("a length")
        };
        assert!((length(&head) - length(&got)).abs() <= 2, "{path}");
        // Nothing follows the head: the connection goes on with the next answer.
        raw.send(get(CHART, "/fhir/Observation/own", &cookie)).await;
        let next = raw.reply().await.expect("an answer");
        assert_eq!(next.json()["id"], "own", "{path}");
    }
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| s.method == Method::GET),
        "an answer without content cannot be judged"
    );
}

#[tokio::test]
async fn what_is_not_served_is_refused_with_what_is() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    for (line, word) in [
        (
            "GET /fhir/Patient?_has:Observation:patient:code=x",
            "`_has`",
        ),
        ("GET /fhir/Observation?subject.name=x", "Chained search"),
        ("GET /fhir/Observation?_summary=count", "`_summary`"),
        ("DELETE /fhir/Observation?identifier=x", "Conditional"),
    ] {
        let reply = ask(world.http, with(CHART, line, &cookie, &[], "")).await;
        assert_eq!(reply.status, 403, "{line}");
        assert!(
            reply
                .header("content-type")
                .is_some_and(|t| t.starts_with("application/fhir+json"))
        );
        assert!(reply.header("x-asepsis-record").is_some());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let issue = &reply.json()["issue"][0];
        assert_eq!(issue["code"], "not-supported");
        assert!(
            issue["diagnostics"]
                .as_str()
                .is_some_and(|d| d.contains(word)),
            "{issue}"
        );
    }
    assert_eq!(world.upstream.count(), 0);
}

fn identified(mut resource: Value, value: &str) -> Value {
    resource["identifier"] = json!([{ "system": "urn:x", "value": value }]);
    resource
}

#[tokio::test]
async fn a_conditional_create_finds_only_what_one_may_see() {
    let world = World::new().await;
    let store = serve(&world).await;
    for (id, patient, value) in [
        ("once", OWN_PATIENT, "one"),
        ("twice-a", OWN_PATIENT, "two"),
        ("twice-b", OWN_PATIENT, "two"),
        ("hidden", OTHER_PATIENT, "secret"),
    ] {
        let resource = identified(observation(id, patient), value);
        store.lock().insert(format!("Observation/{id}"), resource);
    }
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let create = async |value: &str, patient: &str| {
        let mut new = identified(observation("x", patient), value);
        new.as_object_mut().expect("an object").remove("id");
        let criteria = format!("identifier={value}");
        let headers = [
            ("Content-Type", "application/fhir+json"),
            ("If-None-Exist", criteria.as_str()),
        ];
        let line = "POST /fhir/Observation";
        let reply = ask(
            world.http,
            with(CHART, line, &cookie, &headers, &new.to_string()),
        )
        .await;
        let posted = world
            .upstream
            .seen()
            .into_iter()
            .filter(|s| s.method == Method::POST);
        (reply, posted.collect::<Vec<_>>())
    };
    // It is there and may be seen: it is the answer, and nothing is created.
    let (reply, posted) = create("one", OWN_PATIENT).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["id"], "once");
    assert_eq!(
        reply.header("location"),
        Some("/fhir/Observation/once/_history/3")
    );
    assert_eq!(reply.header("etag"), Some("W/\"3\""));
    assert!(posted.is_empty());
    let disclosed = world.records_of(Kind::Disclosure);
    assert_eq!(disclosed.last().expect("recorded").header["released"], 1);
    let (reply, posted) = create("two", OWN_PATIENT).await;
    assert_eq!((reply.status, posted.len()), (412, 0), "{}", reply.text());
    // Nothing is there: the upstream still looks, in case that changes meanwhile.
    let (nothing, posted) = create("none", OWN_PATIENT).await;
    assert_eq!(nothing.status, 201, "{}", nothing.text());
    assert_eq!(posted[0].headers["if-none-exist"], "identifier=none");
    // Something is there that may not be seen: as if it were not.
    let (hidden, posted) = create("secret", OWN_PATIENT).await;
    assert_eq!(hidden.status, 201, "{}", hidden.text());
    assert!(!posted[1].headers.contains_key("if-none-exist"));
    let told = |reply: &Reply, value: &str| {
        let (status, headers, body) = comparable(reply);
        (status, headers, body.replace(value, "#"))
    };
    assert_eq!(told(&nothing, "none"), told(&hidden, "secret"));
    // Who may not create learns nothing from the criteria.
    for value in ["one", "two", "none", "secret"] {
        let (reply, posted) = create(value, OTHER_PATIENT).await;
        assert_eq!((reply.status, posted.len()), (403, 2), "{value}");
    }
}

#[tokio::test]
async fn a_conditional_create_that_comes_second_tells_nothing_of_the_first() {
    let world = World::new().await;
    world.upstream.answer(|seen| async move {
        if seen.method == Method::GET {
            let nothing = json!({ "resourceType": "Bundle", "type": "searchset", "total": 0 });
            return fhir(StatusCode::OK, &nothing);
        }
        let mut found = fhir(StatusCode::OK, &observation("other", OTHER_PATIENT));
        let place = http::HeaderValue::from_static("/fhir/Observation/other/_history/3");
        found.headers_mut().insert("location", place);
        found
    });
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let mut new = observation("x", OWN_PATIENT);
    new.as_object_mut().expect("an object").remove("id");
    let headers = [
        ("Content-Type", "application/fhir+json"),
        ("If-None-Exist", "identifier=x"),
    ];
    let request = with(
        CHART,
        "POST /fhir/Observation",
        &cookie,
        &headers,
        &new.to_string(),
    );
    let reply = ask(world.http, request).await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert_eq!(reply.header("location"), None);
    assert!(!reply.text().contains("other"), "{}", reply.text());
}

#[tokio::test]
async fn a_bundle_that_puts_what_is_not_there_yet_is_asked_to_create_it() {
    let world = World::new().await;
    serve(&world).await;
    let bundle = |id: &str, resource: Value| {
        let kind = resource["resourceType"]
            .as_str()
            .expect("a type")
            .to_owned();
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            { "resource": resource, "request": { "method": "PUT", "url": format!("{kind}/{id}") } },
            { "resource": observation("own", OWN_PATIENT), "request": { "method": "PUT", "url": "Observation/own" } },
        ] })
    };
    // A stranger's place may be taken or free: a physician is told the same.
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let free = write(
        &world,
        &cookie,
        "POST /fhir",
        &bundle("nosuch", observation("nosuch", OWN_PATIENT)),
    )
    .await;
    let taken = write(
        &world,
        &cookie,
        "POST /fhir",
        &bundle("other", observation("other", OTHER_PATIENT)),
    )
    .await;
    assert_eq!(free.status, 403, "{}", free.text());
    assert_eq!(comparable(&free), comparable(&taken));
    // Accounts are billing's work, whoever's they are: new ones are put only where nothing is.
    let (_, cookie) = world.sign_in(BILLING, "chart");
    let claim = |id: &str| json!({ "resourceType": "Claim", "id": id, "patient": { "reference": format!("Patient/{OTHER_PATIENT}") } });
    let two = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": claim("a"), "request": { "method": "PUT", "url": "Claim/a" } },
        { "resource": claim("b"), "request": { "method": "PUT", "url": "Claim/b" } },
    ] });
    let put = write(&world, &cookie, "POST /fhir", &two).await;
    assert_ne!(put.status, 403, "{}", put.text());
    let seen = world.upstream.seen();
    let sent = seen
        .last()
        .filter(|s| s.method == Method::POST)
        .expect("sent");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    for entry in sent["entry"].as_array().expect("entries") {
        assert_eq!(entry["request"]["ifNoneMatch"], "*");
    }
}

#[tokio::test]
async fn writing_over_the_absent_and_over_a_strangers_look_the_same() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    for method in ["PUT", "DELETE"] {
        let send = async |id: &str| {
            if method == "DELETE" {
                let request = with(
                    CHART,
                    &format!("DELETE /fhir/Observation/{id}"),
                    &cookie,
                    &[],
                    "",
                );
                ask(world.http, request).await
            } else {
                let body = observation(id, OTHER_PATIENT);
                write(
                    &world,
                    &cookie,
                    &format!("PUT /fhir/Observation/{id}"),
                    &body,
                )
                .await
            }
        };
        let (there, absent) = (send("other").await, send("nosuch").await);
        assert_eq!(comparable(&there), comparable(&absent), "{method}");
        assert_ne!(there.status, 200);
    }
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| s.method == Method::GET)
    );
}

#[tokio::test]
async fn a_private_device_looks_and_does_not_keep() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in_on(PHYSICIAN, Some(PHONE), "chart", Aal::Aal2);
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-disposition"), Some("inline"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let reply = read(&world, &cookie, "/fhir/Binary/scan").await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(!reply.text().contains("QUJD"));
}

#[tokio::test]
async fn a_bundle_is_permitted_only_as_a_whole() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let entry = |id: &str, patient: &str| {
        json!({
            "resource": observation(id, patient),
            "request": { "method": "PUT", "url": format!("Observation/{id}") },
        })
    };
    let bundle = |entries: Vec<Value>| json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let mixed = bundle(vec![
        entry("own", OWN_PATIENT),
        entry("other", OTHER_PATIENT),
    ]);
    let reply = write(&world, &cookie, "POST /fhir", &mixed).await;
    assert_ne!(reply.status, 200, "{}", reply.text());
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| s.method == Method::GET)
    );
    let own = bundle(vec![entry("own", OWN_PATIENT), entry("own-2", OWN_PATIENT)]);
    let reply = write(&world, &cookie, "POST /fhir", &own).await;
    assert_ne!(reply.status, 403, "{}", reply.text());
    let seen = world.upstream.seen();
    let sent = seen.last().expect("sent");
    assert_eq!(sent.method, Method::POST);
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    for entry in sent["entry"].as_array().expect("entries") {
        assert_eq!(entry["request"]["ifMatch"], "W/\"3\"");
    }
}

#[tokio::test]
async fn too_large_writes_are_refused_before_they_are_read() {
    let world = World::with(gateway::Limits {
        fhir_request_max: 10_000,
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let mut large = observation("x", OWN_PATIENT);
    large["note"] = json!([{ "text": "x".repeat(20_000) }]);
    let reply = write(&world, &cookie, "POST /fhir/Observation", &large).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn the_notice_goes_with_the_records_it_belongs_to() {
    let world = World::new().await;
    let store = serve(&world).await;
    store.lock().insert(
        "Observation/own".to_owned(),
        labelled(observation("own", OWN_PATIENT), "ETH"),
    );
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 403, "without consent: {}", reply.text());
    let mut consenting = (**world.world.load()).clone();
    let mut facts = (**consenting.patient(&OWN_PATIENT.into()).expect("known")).clone();
    facts.consents.push(domain::relation::Consent {
        effect: domain::relation::ConsentEffect::Permit,
        people: Vec::new(),
        labels: [domain::Sensitivity::SubstanceUse].into_iter().collect(),
        ends: domain::Timestamp::FOREVER,
    });
    consenting.set_patient(OWN_PATIENT.into(), facts);
    world.world.store(Arc::new(consenting));
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let notice = reply.header("x-asepsis-notice").expect("a notice");
    assert!(notice.contains("42 CFR part 2"), "{notice}");
    let disclosures = world.records_of(Kind::Disclosure);
    let obligations = disclosures.last().expect("recorded").header["obligations"].to_string();
    assert!(
        obligations.contains("attach_consent_notice"),
        "{obligations}"
    );
    // Other records come without it.
    let reply = read(&world, &cookie, "/fhir/Observation/own-2").await;
    assert_eq!(
        (reply.status, reply.header("x-asepsis-notice")),
        (200, None)
    );
}

#[tokio::test]
async fn without_a_log_nothing_of_a_chart_is_released_or_changed() {
    let world = World::new().await;
    serve(&world).await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    world.fail_log();
    let reply = read(&world, &cookie, "/fhir/Observation/own").await;
    assert_eq!(reply.status, 503);
    assert!(!reply.text().contains("weight"));
    let body = observation("own", OWN_PATIENT);
    let reply = write(&world, &cookie, "PUT /fhir/Observation/own", &body).await;
    assert_eq!(reply.status, 503);
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| s.method == Method::GET)
    );
}
