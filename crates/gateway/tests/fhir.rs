//! FHIR: judged on the address, then on the content, in both directions.

#[path = "fhir/server.rs"]
mod server;
mod support;
#[path = "fhir/writes.rs"]
mod writes;

use std::sync::Arc;

use audit::Kind;
use domain::Aal;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use server::{labelled, observation, read, serve, write};
use support::wire::{Raw, Reply, ask, get, with};
use support::{
    BILLING, CHART, NURSE, OTHER_PATIENT, OWN_PATIENT, PHONE, PHYSICIAN, World, fhir, text,
};

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
