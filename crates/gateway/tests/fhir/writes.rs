//! What is written: judged on what is there and on what would be there, and sent against the version that was judged.

use audit::Kind;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::comparable;
use super::server::{labelled, observation, serve, write};
use super::support::wire::{Reply, ask, with};
use super::support::{self, BILLING, CHART, OTHER_PATIENT, OWN_PATIENT, PHYSICIAN, World, fhir};

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
