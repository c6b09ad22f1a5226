//! The road of a request: permits, refusals, ceremonies, the order of record and effect.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use audit::Kind;
use domain::{Aal, ApplicationId};
use http::StatusCode;
use identity::{Audience, BrowserHash, ReturnPath, Secret};
use support::wire::{Raw, ask, get, with};
use support::{ACCESS, ADMIN, CHART, CONSOLE, FORMER, PHYSICIAN, SHADOW, WEB, World, text};

#[tokio::test]
async fn a_permitted_request_is_forwarded_recorded_and_answered() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let reply = ask(world.http, get(WEB, "/news?page=2", &cookie)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.text(), "GET /news?page=2");
    let records = world.records_of(Kind::Decision);
    let record = records.last().expect("recorded");
    let header = |key: &str| record.header.get(key).and_then(|v| v.as_str());
    assert_eq!(header("outcome"), Some("permit"));
    assert_eq!(header("application"), Some("intranet"));
    assert_eq!(header("action"), Some("web:get"));
    assert_eq!(header("session"), Some(session.as_str()));
    let world_now = world.world.load();
    assert_eq!(header("policy"), Some(world_now.pack().hash()));
    // The payload alone replays to the same decision.
    let payload = record.payload.as_ref().expect("not pruned");
    let decision: policy::DecisionRecord = serde_json::from_slice(payload).expect("a record");
    let again = policy::replay(&decision, world_now.pack());
    assert_eq!(again.outcome(), domain::Outcome::Permit);
    assert_eq!(
        serde_json::to_vec(&again.ruling().record()).expect("JSON"),
        *payload
    );
}

#[tokio::test]
async fn browsers_are_told_to_come_over_tls_by_the_gateway_and_by_nobody_else() {
    const NAME: &str = "strict-transport-security";
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async move {
        let mut answer = text(StatusCode::OK, "x");
        let theirs = http::HeaderValue::from_static("max-age=1; includeSubDomains; preload");
        answer.headers_mut().insert(NAME, theirs);
        answer
    });
    let ours = Some("max-age=31536000");
    for (host, path) in [
        (WEB, "/"),
        (WEB, "/admin"),
        (ACCESS, "/"),
        (WEB, "/.asepsis/x"),
    ] {
        let stream = world.authority.connect(world.https, host, &["http/1.1"]);
        let mut raw = Raw::over(stream.await);
        raw.send(get(host, path, &cookie)).await;
        let secure = raw.reply().await.expect("an answer");
        assert_eq!(secure.header(NAME), ours, "{host}{path}");
        let plain = ask(world.http, get(host, path, &cookie)).await;
        assert_eq!(plain.header(NAME), None, "{host}{path}");
    }
    // A gateway that was not told to say it keeps the upstream from saying it, too.
    let (_gateway, silent) = support::second_gateway(&world, world.upstream.address).await;
    let reply = ask(silent, get(WEB, "/", &cookie)).await;
    assert_eq!((reply.status, reply.header(NAME)), (200, None));
}

#[tokio::test]
async fn bodies_stream_to_the_upstream_and_back() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|seen| async move {
        text(StatusCode::CREATED, &format!("{} bytes", seen.body.len()))
    });
    let body = "x".repeat(300_000);
    let reply = ask(world.http, with(WEB, "POST /upload", &cookie, &[], &body)).await;
    assert_eq!((reply.status, reply.text().as_str()), (201, "300000 bytes"));
    let chunked = format!(
        "POST /upload HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    );
    let reply = ask(world.http, chunked).await;
    assert_eq!(reply.text(), "11 bytes");
}

#[tokio::test]
async fn a_refusal_is_told_to_programs_and_to_people() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let reply = ask(world.http, get(WEB, "/admin/users", &cookie)).await;
    assert_eq!(reply.status, 403);
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let problem = reply.json();
    assert_eq!(problem["outcome"], "deny");
    assert_eq!(problem["status"], 403);
    assert!(problem["reason"].as_str().is_some_and(|r| !r.is_empty()));
    let record = problem["record"].as_u64().expect("a record");
    let stored = &world.records()[usize::try_from(record).expect("small")];
    assert_eq!(stored.kind, Kind::Decision);
    assert_eq!(stored.header["outcome"], "deny");
    assert_eq!(stored.header["code"], problem["code"]);

    let page = ask(
        world.http,
        with(WEB, "GET /admin", &cookie, &[("Accept", "text/html")], ""),
    )
    .await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("<html"));
    assert!(page.header("content-security-policy").is_some());
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn attack_52_an_ended_session_and_an_ended_employment_open_nothing() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 200);
    world.sessions.end(&session);
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 401);
    let (_, cookie) = world.sign_in(FORMER, "intranet");
    let reply = ask(world.http, get(WEB, "/", &cookie)).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["outcome"], "deny");
    // 53: what the directory says now counts, not what it said at sign-in.
    let (_, cookie) = world.sign_in(ADMIN, "intranet");
    assert_eq!(
        ask(world.http, get(WEB, "/admin", &cookie)).await.status,
        200
    );
    let mut changed = (**world.world.load()).clone();
    changed.remove_person(&ADMIN.into());
    world.world.store(Arc::new(changed));
    assert_eq!(
        ask(world.http, get(WEB, "/admin", &cookie)).await.status,
        403
    );
}

#[tokio::test]
async fn shadow_forwards_what_it_would_have_refused_and_says_so_in_the_record() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "shadow");
    let reply = ask(world.http, get(SHADOW, "/admin", &cookie)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let records = world.records_of(Kind::Decision);
    let header = &records.last().expect("recorded").header;
    assert_eq!(header["outcome"], "permit");
    assert_eq!(header["shadowed"], "deny");
}

#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_comes_back_with_its_own_cookie() {
    let world = World::new().await;
    let reply = ask(
        world.http,
        with(
            CHART,
            "GET /patients?patient=p-own",
            "",
            &[("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")],
            "",
        ),
    )
    .await;
    assert_eq!(reply.status, 303);
    let location = reply.header("location").expect("a way to sign in");
    assert!(
        location.starts_with(&format!(
            "http://{ACCESS}/enter?application=chart&return=%2F&tx="
        )),
        "{location}"
    );
    assert!(!location.contains("p-own"), "a patient in a URL of ours");
    let cookies = reply.all("set-cookie");
    let value = |name: &str| {
        cookies
            .iter()
            .find_map(|c| c.strip_prefix(&format!("{name}=")))
            .and_then(|c| c.split(';').next())
            .map(str::to_owned)
    };
    for cookie in &cookies {
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    let tx = value("__Host-asepsis-tx").expect("a transaction");
    let back = value("__Host-asepsis-back").expect("a place to return to");
    let browser = BrowserHash::of_cookie(&tx).expect("a secret");
    assert!(location.ends_with(&browser.to_text()));

    // What the access origin does once the person has signed in.
    let issue = || {
        let now = world.now();
        let (_, secret) = world.sessions.start(
            PHYSICIAN.into(),
            None,
            domain::Authentication {
                level: Aal::Aal2,
                phishing_resistant: true,
                at: now,
                last_active: now,
            },
            domain::Purpose::Treat,
            now,
        );
        let live = world
            .sessions
            .resolve(&secret.reveal(), &Audience::Access, now)
            .expect("just begun");
        world.codes.issue(
            &live,
            &ApplicationId::from("chart"),
            &ReturnPath::root(),
            &browser,
            now,
        )
    };
    let callback = |code: &str| format!("/.asepsis/callback?code={code}");
    let jar = format!("__Host-asepsis-tx={tx}; __Host-asepsis-back={back}");

    // Another browser cannot use the code, and it is spent by the attempt.
    let code = issue();
    let thief = format!("__Host-asepsis-tx={}", Secret::generate().reveal());
    let reply = ask(world.http, get(CHART, &callback(&code), &thief)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.header("set-cookie").is_none());
    assert_eq!(
        ask(world.http, get(CHART, &callback(&code), &jar))
            .await
            .status,
        400
    );
    // Nor can another application.
    let code = issue();
    assert_eq!(
        ask(world.http, get(WEB, &callback(&code), &jar))
            .await
            .status,
        400
    );

    let code = issue();
    let reply = ask(world.http, get(CHART, &callback(&code), &jar)).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(reply.header("location"), Some("/patients?patient=p-own"));
    let set = reply.all("set-cookie");
    let own = set
        .iter()
        .find_map(|c| c.strip_prefix("__Host-asepsis="))
        .and_then(|c| c.split(';').next())
        .expect("a session");
    assert!(
        set.iter()
            .any(|c| c.starts_with("__Host-asepsis-tx=;") && c.contains("Max-Age=0"))
    );
    let reply = ask(
        world.http,
        get(CHART, "/patients", &format!("__Host-asepsis={own}")),
    )
    .await;
    assert_eq!(reply.status, 200);
    // 55: a code is good once.
    assert_eq!(
        ask(world.http, get(CHART, &callback(&code), &jar))
            .await
            .status,
        400
    );
    assert_eq!(world.upstream.count(), 1);
}

#[tokio::test]
async fn attack_44_the_way_back_stays_on_the_host() {
    let world = World::new().await;
    for path in ["//evil.example/x", "/\\evil.example"] {
        let reply = ask(
            world.http,
            with(
                CHART,
                &format!("GET {path}"),
                "",
                &[("Accept", "text/html")],
                "",
            ),
        )
        .await;
        assert_eq!(reply.status, 400, "{path}");
    }
    // A planted cookie names no other host either.
    use base64::Engine;
    let evil = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("//evil.example/");
    let tx = Secret::generate();
    let now = world.now();
    let (_, secret) = world.sessions.start(
        PHYSICIAN.into(),
        None,
        domain::Authentication {
            level: Aal::Aal2,
            phishing_resistant: true,
            at: now,
            last_active: now,
        },
        domain::Purpose::Treat,
        now,
    );
    let live = world
        .sessions
        .resolve(&secret.reveal(), &Audience::Access, now)
        .expect("just begun");
    let code = world.codes.issue(
        &live,
        &ApplicationId::from("chart"),
        &ReturnPath::root(),
        &BrowserHash::of_secret(&tx),
        now,
    );
    let jar = format!(
        "__Host-asepsis-tx={}; __Host-asepsis-back={evil}",
        tx.reveal()
    );
    let reply = ask(
        world.http,
        get(CHART, &format!("/.asepsis/callback?code={code}"), &jar),
    )
    .await;
    assert_eq!(reply.status, 303);
    assert_eq!(reply.header("location"), Some("/"));
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere_and_only_from_its_own_origin() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let own = format!("http://{WEB}");
    for headers in [
        [("Origin", "http://chart.test"), ("X-A", "b")],
        [("Origin", "null"), ("X-A", "b")],
        [("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-site")],
    ] {
        let request = with(WEB, "POST /.asepsis/sign-out", &cookie, &headers, "");
        assert_eq!(ask(world.http, request).await.status, 403, "{headers:?}");
    }
    assert_eq!(
        ask(world.http, get(WEB, "/.asepsis/sign-out", &cookie))
            .await
            .status,
        405
    );
    assert!(!world.sessions.ended(&session));
    let request = with(
        WEB,
        "POST /.asepsis/sign-out",
        &cookie,
        &[("Origin", &own), ("Sec-Fetch-Site", "same-origin")],
        "",
    );
    let reply = ask(world.http, request).await;
    assert_eq!(reply.status, 204);
    assert!(world.sessions.ended(&session));
    assert_eq!(world.records_of(Kind::SignOut).len(), 1);
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 401);
    assert_eq!(world.upstream.count(), 0, "our own addresses stay with us");
}

#[tokio::test]
async fn nothing_below_our_own_addresses_reaches_an_upstream() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for path in [
        "/.asepsis",
        "/.asepsis/",
        "/.asepsis/x",
        "/.ASEPSIS/callback",
        "/%2easepsis/x",
    ] {
        let reply = ask(world.http, get(WEB, path, &cookie)).await;
        assert!(
            matches!(reply.status, 400 | 404),
            "{} for {path}",
            reply.status
        );
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn endpoints_inside_get_the_recorded_permit() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(ADMIN, "console");
    let reply = ask(world.http, get(CONSOLE, "/sessions?x=1", &cookie)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["path"], "/sessions?x=1");
    assert_eq!(said["session"], session.as_str());
    assert_eq!(said["origin"], format!("http://{CONSOLE}"));
    let record = said["record"]
        .as_u64()
        .expect("recorded before it was called");
    let stored = &world.records()[usize::try_from(record).expect("small")];
    assert_eq!(stored.header["action"], "console:view");
    // A physician sees no console; a change from another site is none.
    let (_, other) = world.sign_in(PHYSICIAN, "console");
    assert_eq!(
        ask(world.http, get(CONSOLE, "/sessions", &other))
            .await
            .status,
        403
    );
    let request = with(
        CONSOLE,
        "POST /sessions/end",
        &cookie,
        &[("Origin", "http://evil.example")],
        "id=1",
    );
    assert_eq!(ask(world.http, request).await.status, 403);
    // The sign-in origin is not judged.
    let reply = ask(world.http, get(ACCESS, "/enter?application=chart", "a=b")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["record"], serde_json::Value::Null);
    assert_eq!(reply.json()["cookies"][0][0], "a");
}

#[tokio::test]
async fn an_unsafe_request_is_on_disk_before_the_upstream_sees_it() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for n in 1..=5 {
        let reply = ask(world.http, with(WEB, "POST /order", &cookie, &[], "x")).await;
        assert_eq!(reply.status, 200);
        let seen = world.upstream.seen();
        let last = seen.last().expect("forwarded");
        let decided = world
            .records()
            .iter()
            .enumerate()
            .filter(|(_, r)| r.kind == Kind::Decision)
            .map(|(n, _)| n as u64)
            .nth(n - 1)
            .expect("one decision each");
        assert!(
            last.durable > decided,
            "{} records on disk when record {decided} should have been",
            last.durable
        );
    }
}

#[tokio::test]
async fn a_safe_answer_is_released_only_when_its_record_is_on_disk() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for n in 0..20 {
        let reply = ask(world.http, get(WEB, &format!("/{n}"), &cookie)).await;
        assert_eq!(reply.status, 200);
        let decisions = world.records_of(Kind::Decision).len();
        assert!(
            decisions > n,
            "answer {n} came with {decisions} records on disk"
        );
    }
}

#[tokio::test]
async fn without_a_log_nothing_is_forwarded_or_released() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (_, admin) = world.sign_in(ADMIN, "console");
    world.fail_log();
    let reply = ask(world.http, with(WEB, "POST /order", &cookie, &[], "x")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["code"], "cannot-record");
    assert_eq!(
        world.upstream.count(),
        0,
        "an unsafe request went out unrecorded"
    );
    let reply = ask(world.http, get(WEB, "/secret", &cookie)).await;
    assert_eq!(reply.status, 503);
    assert!(!reply.text().contains("/secret"), "released unrecorded");
    assert_eq!(
        ask(world.http, get(CONSOLE, "/sessions", &admin))
            .await
            .status,
        503
    );
    let page = ask(
        world.http,
        with(WEB, "GET /", &cookie, &[("Accept", "text/html")], ""),
    )
    .await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("<html"));
    // Refusals are recorded too, so they are not told either.
    assert_eq!(
        ask(world.http, get(WEB, "/admin", &cookie)).await.status,
        503
    );
}

#[tokio::test]
async fn a_step_up_names_the_ceremony_and_no_more() {
    let world = World::new().await;
    // Changing the console from an unknown device needs a second factor.
    let (session, cookie) = world.sign_in_on(ADMIN, None, "console", Aal::Aal1);
    let own = format!("http://{CONSOLE}");
    let request = with(
        CONSOLE,
        "POST /sessions/end",
        &cookie,
        &[("Origin", &own)],
        "id=1",
    );
    let reply = ask(world.http, request).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
    let problem = reply.json();
    assert_eq!(problem["outcome"], "step_up");
    let url = problem["continue"].as_str().expect("a way on");
    let handle = url
        .strip_prefix(&format!("http://{ACCESS}/ceremony/"))
        .expect("on the access origin");
    let ceremony = world
        .ceremonies
        .get(handle, &session, world.now())
        .expect("it waits for this session");
    assert!(matches!(ceremony.kind, identity::CeremonyKind::StepUp(_)));
    assert_eq!(
        ceremony.return_path.as_str(),
        "/",
        "a form is not sent again"
    );
    let (other, _) = world.sign_in(PHYSICIAN, "console");
    assert!(world.ceremonies.get(handle, &other, world.now()).is_err());
}

#[tokio::test]
async fn attack_80_cross_site_writes_to_the_console_are_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(ADMIN, "console");
    let request = with(
        CONSOLE,
        "POST /sessions",
        &cookie,
        &[("Sec-Fetch-Site", "cross-site")],
        "x=1",
    );
    let reply = ask(world.http, request).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["code"], "cross-site");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let released = Arc::new(AtomicBool::new(false));
    let flag = released.clone();
    world.upstream.answer(move |_| {
        let flag = flag.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            flag.store(true, Ordering::SeqCst);
            text(StatusCode::OK, "late")
        }
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/slow", &cookie)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The abandoned connection was not given back with an answer in it.
    world
        .upstream
        .answer(|_| async { text(StatusCode::OK, "fresh") });
    let reply = ask(world.http, get(WEB, "/next", &cookie)).await;
    assert_eq!(reply.text(), "fresh");
    assert_eq!(world.upstream.seen().last().map(|s| s.connection), Some(1));
}

#[tokio::test]
async fn stages_are_measured_while_the_gateway_runs() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let mut raw = Raw::connect(world.http).await;
    for _ in 0..200 {
        raw.send(get(WEB, "/", &cookie)).await;
        assert_eq!(raw.reply().await.expect("an answer").status, 200);
    }
    let stages = world.gateway.stages();
    assert_eq!(stages.len(), gateway::Stage::ALL.len());
    assert!(stages.iter().all(|s| s.samples > 0), "{stages:?}");
}

#[tokio::test]
async fn attack_40_each_request_carries_its_own_persons_assertion() {
    let world = Arc::new(World::new().await);
    let people = [PHYSICIAN, support::NURSE, support::BILLING, ADMIN];
    world.upstream.answer(|seen| async move {
        let assertion = seen.headers["x-asepsis-assertion"].to_str().expect("text");
        text(StatusCode::OK, assertion)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let world = world.clone();
        tasks.spawn(async move {
            let person = people[n % people.len()];
            let (session, cookie) = world.sign_in(person, "intranet");
            let mut raw = Raw::connect(world.http).await;
            for _ in 0..10 {
                raw.send(get(WEB, "/", &cookie)).await;
                let reply = raw.reply().await.expect("an answer");
                let claims = identity::assertion::verify(
                    &reply.text(),
                    &world.signer.jwks(),
                    &format!("https://{ACCESS}"),
                    &ApplicationId::from("intranet"),
                    world.now(),
                )
                .expect("our own signature");
                assert_eq!(claims.sub.as_str(), person);
                assert_eq!(claims.sid, session);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("nobody else's identity");
    }
}

#[tokio::test]
async fn attack_42_cookies_from_before_a_step_up_are_dead() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 200);
    let now = world.now();
    world
        .sessions
        .step_up(
            &session,
            domain::Authentication {
                level: Aal::Aal2,
                phishing_resistant: true,
                at: now,
                last_active: now,
            },
            now,
        )
        .expect("a live session");
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 401);
}

#[tokio::test]
async fn attack_79_no_request_that_begins_after_a_sessions_end_is_permitted() {
    let world = Arc::new(World::new().await);
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let ended = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (world, cookie, ended) = (world.clone(), cookie.clone(), ended.clone());
        tasks.spawn(async move {
            let mut raw = Raw::connect(world.http).await;
            let mut refused = 0;
            while refused < 5 {
                let over = ended.load(Ordering::SeqCst);
                raw.send(get(WEB, "/", &cookie)).await;
                let status = raw.reply().await.expect("an answer").status;
                assert!(!over || status == 401, "{status} after the end");
                refused += usize::from(status == 401);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.sessions.end(&session);
    ended.store(true, Ordering::SeqCst);
    while let Some(done) = tasks.join_next().await {
        done.expect("no request after the end");
    }
}

#[tokio::test]
async fn an_upstream_says_nothing_in_the_gateways_name() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        let mut response = text(StatusCode::OK, "ok");
        for (name, value) in [
            ("set-cookie", "__Host-asepsis=planted; Path=/; Secure"),
            ("set-cookie", "theirs=1"),
            ("x-asepsis-notice", "forged"),
            ("alt-svc", "h3=\":443\""),
        ] {
            response
                .headers_mut()
                .append(name, http::HeaderValue::from_static(value));
        }
        response
    });
    let reply = ask(world.http, get(WEB, "/", &cookie)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.all("set-cookie"), ["theirs=1"]);
    assert_eq!(reply.header("x-asepsis-notice"), None);
    assert_eq!(reply.header("alt-svc"), None);
}

#[tokio::test]
async fn pages_shown_on_a_private_device_are_not_kept() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in_on(PHYSICIAN, Some(support::PHONE), "intranet", Aal::Aal2);
    world.upstream.answer(|_| async {
        let mut response = text(StatusCode::OK, "letter");
        response.headers_mut().insert(
            "content-disposition",
            http::HeaderValue::from_static("attachment; filename=letter.pdf"),
        );
        response
    });
    let reply = ask(world.http, get(WEB, "/letter", &cookie)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-disposition"), Some("inline"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_page_can_ask_who_is_signed_in_and_learns_no_more() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "chart");
    let reply = ask(world.http, get(CHART, "/.asepsis/whoami", &cookie)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["person"], PHYSICIAN);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(
        !reply.text().contains("s-"),
        "a session handle: {}",
        reply.text()
    );
    let (_, other) = world.sign_in(PHYSICIAN, "intranet");
    for cookie in ["", &other] {
        let reply = ask(world.http, get(CHART, "/.asepsis/whoami", cookie)).await;
        assert_eq!(reply.status, 401);
    }
}
