//! Hostile framing, path, host and header attacks over raw sockets. Numbers are those of the attack list in the
//! gateway survey: framing 1 to 20, path and host 21 to 30, headers and identity 31 to 40.

mod support;

use std::time::Duration;

use support::wire::{Raw, Reply, ask, get, with};
use support::{PHYSICIAN, WEB, World};

/// A signed-in client's request that must be refused, never reach the upstream, be recorded and close its connection.
async fn refused(world: &World, request: impl AsRef<[u8]>, statuses: &[u16]) -> Reply {
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    let before = world.upstream.count();
    let records = world.records_of(audit::Kind::Malformed).len();
    let mut raw = Raw::connect(world.http).await;
    raw.send(request).await;
    let reply = raw
        .reply()
        .await
        .unwrap_or_else(|| panic!("no answer to {shown:?}"));
    assert!(
        statuses.contains(&reply.status),
        "{} for {shown:?}: {}",
        reply.status,
        reply.text()
    );
    assert!(
        raw.is_closed().await,
        "the connection stays open after {shown:?}"
    );
    assert_eq!(
        world.upstream.count(),
        before,
        "reached the upstream: {shown:?}"
    );
    let after = world
        .await_records(audit::Kind::Malformed, records + 1)
        .await;
    assert_eq!(after.len(), records + 1, "not recorded once: {shown:?}");
    reply
}

fn post(cookie: &str, headers: &str, body: &str) -> String {
    format!("POST /form HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn attacks_1_to_5_ambiguous_lengths_and_encodings_are_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: intranet.test\r\n\r\n";
    for (headers, body) in [
        // 1 CL.TE and 2 TE.CL
        (
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            smuggled,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
            smuggled,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
            smuggled,
        ),
        // 3 duplicate and conflicting lengths
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ("Content-Length: 5, 5\r\n", "hello"),
        // 4 lengths that are no plain number
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: 0x5\r\n", "hello"),
        ("Content-Length: 5_0\r\n", "hello"),
        ("Content-Length: \r\n", "hello"),
        ("Content-Length: -5\r\n", "hello"),
        ("Content-Length: 18446744073709551621\r\n", "hello"),
        // 5 encodings that are not `chunked`
        ("Transfer-Encoding: ,chunked\r\n", smuggled),
        ("Transfer-Encoding: xchunked\r\n", smuggled),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            smuggled,
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", smuggled),
        ("Transfer-Encoding: identity, chunked\r\n", smuggled),
        ("Transfer-Encoding: gzip, chunked\r\n", smuggled),
        (
            "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
            smuggled,
        ),
        ("Transfer-Encoding:\x0bchunked\r\n", smuggled),
    ] {
        refused(&world, post(&cookie, headers, body), &[400, 501]).await;
    }
}

#[tokio::test]
async fn attack_6_chunked_on_http_1_0_is_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let request = format!(
        "POST /form HTTP/1.0\r\nHost: {WEB}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    refused(&world, request, &[400]).await;
}

#[tokio::test]
async fn attack_7_bytes_behind_a_refused_upgrade_are_no_request() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world
        .upstream
        .answer(|_| async { support::text(http::StatusCode::OK, "no upgrade here") });
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\n\r\n"
    );
    let mut raw = Raw::connect(world.http).await;
    raw.send(request).await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 200);
    assert!(raw.is_closed().await);
    assert!(
        world.upstream.seen().iter().all(|s| s.uri == "/ws"),
        "{:?}",
        world.upstream.seen()
    );
}

#[tokio::test]
async fn attacks_8_and_9_connect_opens_no_tunnel() {
    let world = World::new().await;
    for request in [
        format!("CONNECT {WEB}:443 HTTP/1.1\r\nHost: {WEB}:443\r\n\r\nearly data"),
        format!("TRACE / HTTP/1.1\r\nHost: {WEB}\r\n\r\n"),
    ] {
        refused(&world, request, &[400, 405, 501]).await;
    }
}

#[tokio::test]
async fn attack_10_an_unread_body_closes_the_connection() {
    let world = World::new().await;
    // Nobody is signed in: the answer comes before the body was read.
    let mut raw = Raw::connect(world.http).await;
    raw.send(format!(
        "POST /form HTTP/1.1\r\nHost: {WEB}\r\nContent-Length: 100000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {WEB}\r\n\r\n"
    ))
    .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(raw.is_closed().await);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn attacks_11_and_12_bad_chunks_never_complete_a_request() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for body in [
        // 11 sizes that overflow, or have a prefix or sign
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        // 12 bare line ends in an extension or around the data
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
    ] {
        let before = world.upstream.count();
        let mut raw = Raw::connect(world.http).await;
        raw.send(post(&cookie, "Transfer-Encoding: chunked\r\n", body))
            .await;
        if let Some(reply) = raw.reply().await {
            assert!(reply.status >= 400, "{} for {body:?}", reply.status);
        }
        assert!(raw.is_closed().await, "{body:?}");
        assert_eq!(world.upstream.count(), before, "completed with {body:?}");
    }
}

#[tokio::test]
async fn attacks_13_to_15_and_20_malformed_header_lines_are_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for line in [
        // 13 folded lines
        "X-A: b\r\n c\r\n",
        "X-A: b\r\n\tc\r\n",
        // 14 a space before the colon
        "X-A : b\r\n",
        "Transfer-Encoding : chunked\r\n",
        // 15 control bytes in values
        "X-A: b\0c\r\n",
        "X-A: b\rc\r\n",
        "X-A: b\nX-Asepsis-Assertion: forged\r\n",
        // 20 an empty name
        ": b\r\n",
        "\r: b\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\n{line}\r\n");
        refused(&world, request, &[400]).await;
    }
    refused(
        &world,
        format!("GET / HTTP/1.1\nHost: {WEB}\nCookie: {cookie}\n\n"),
        &[400],
    )
    .await;
}

#[tokio::test]
async fn attack_16_trailers_reach_nobody() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let body =
        "5\r\nhello\r\n0\r\nAuthorization: Bearer forged\r\nX-Asepsis-Assertion: forged\r\n\r\n";
    let mut raw = Raw::connect(world.http).await;
    raw.send(post(
        &cookie,
        "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n",
        body,
    ))
    .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 400);
    assert!(
        world
            .upstream
            .seen()
            .iter()
            .all(|s| !s.headers.contains_key("authorization")),
    );
}

#[tokio::test]
async fn attack_19_expectations_are_met_or_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    refused(
        &world,
        post(
            &cookie,
            "Content-Length: 5\r\nExpect: y 100-continue\r\n",
            "hello",
        ),
        &[400, 417],
    )
    .await;
    // A refusal is not preceded by `100 Continue`, and the body that was announced is not waited for.
    let mut raw = Raw::connect(world.http).await;
    raw.send(format!(
        "POST /form HTTP/1.1\r\nHost: {WEB}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 401);
    assert!(raw.is_closed().await);
    // An admitted one is.
    let mut raw = Raw::connect(world.http).await;
    raw.send(post(
        &cookie,
        "Content-Length: 5\r\nExpect: 100-continue\r\n",
        "",
    ))
    .await;
    let head = raw.head().await.expect("an interim answer");
    assert!(head.starts_with("HTTP/1.1 100"), "{head}");
    raw.send("hello").await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 200);
    let seen = world.upstream.seen();
    assert_eq!(seen.last().map(|s| s.body.as_ref()), Some(&b"hello"[..]));
    assert!(seen.iter().all(|s| !s.headers.contains_key("expect")));
}

#[tokio::test]
async fn attacks_21_to_26_ambiguous_paths_are_refused_and_rules_see_the_canonical_one() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let before = world.upstream.count();
    for path in [
        "//admin",
        "/x//admin",
        "/%2Fadmin",
        "/x%2F..%2Fadmin",
        "/x%5Cadmin",
        "/x\\admin",
        "/..;/admin",
        "/x/..;/admin",
        "/x/../admin",
        "/./admin",
        "/x/%2e%2e/admin",
        "/admin%00",
        "/%61dmin/secret",
        "/admin;x=y",
        "/admin#fragment",
        "/admin?skip=/public",
        "/%252e%252e/admin",
        "/admi%6E",
        "/admin/",
        "/admin\u{ff0f}x",
    ] {
        let reply = ask(world.http, get(WEB, path, &cookie)).await;
        assert!(
            matches!(reply.status, 400 | 403 | 404),
            "{} for {path}: {}",
            reply.status,
            reply.text()
        );
    }
    assert_eq!(world.upstream.count(), before);
}

#[tokio::test]
async fn attacks_27_and_28_one_host_in_one_spelling() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for request in [
        "GET / HTTP/1.1\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {WEB}\r\nHost: chart.test\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WEB}, chart.test\r\n"),
        format!("GET http://chart.test/ HTTP/1.1\r\nHost: {WEB}\r\n"),
        "GET / HTTP/1.1\r\nHost: user@intranet.test\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: intranet.test:80:81\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: intran\u{e9}t.test\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: unknown.test\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x.intranet.test\r\n".to_owned(),
    ] {
        let reply = ask(world.http, format!("{request}Cookie: {cookie}\r\n\r\n")).await;
        assert!(
            matches!(reply.status, 400 | 421),
            "{} for {request}",
            reply.status
        );
    }
    assert_eq!(world.upstream.count(), 0);
    // The same host in another case is the same host.
    let reply = ask(world.http, get("INTRANET.Test", "/", &cookie)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn attack_30_the_tls_name_must_be_the_host() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let stream = world
        .authority
        .connect(world.https, "chart.test", &[])
        .await;
    let mut raw = Raw::over(stream);
    raw.send(get(WEB, "/", &cookie)).await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 421, "{}", reply.text());
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn attacks_31_to_37_only_the_gateway_says_who_asks() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let forged = [
        ("X-Asepsis-Assertion", "forged"),
        ("x_asepsis_assertion", "forged"),
        ("X-Asepsis_Assertion", "forged"),
        ("X-ASEPSIS-ASSERTION", "forged"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X_Forwarded_For", "10.0.0.1"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Remote-User", "root"),
        ("Remote-User", "root"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "not an address"),
        ("User-Agent", "GoogleHC/1.0"),
    ];
    let reply = ask(world.http, with(WEB, "GET /", &cookie, &forged, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.upstream.seen();
    let headers = &seen.last().expect("forwarded").headers;
    let assertions: Vec<_> = headers.get_all("x-asepsis-assertion").iter().collect();
    assert_eq!(assertions.len(), 1);
    let token = assertions[0].to_str().expect("text");
    let claims = identity::assertion::verify(
        token,
        &world.signer.jwks(),
        &format!("https://{}", support::ACCESS),
        &domain::ApplicationId::from("intranet"),
        world.now(),
    )
    .expect("our own signature");
    assert_eq!(claims.sub.as_str(), PHYSICIAN);
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], WEB);
    for (name, value) in headers {
        let text = value.to_str().unwrap_or("");
        assert!(
            ![
                "forged",
                "10.0.0.1",
                "gopher",
                "/evil",
                "root",
                "not an address"
            ]
            .contains(&text),
            "{name}: {text} got through"
        );
        assert!(!name.as_str().contains("x_"), "{name} got through");
    }
    for name in [
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-forwarded-uri",
        "forwarded",
        "x-real-ip",
    ] {
        assert!(!headers.contains_key(name), "{name} got through");
    }
    // 36: of two values nobody chooses.
    let twice = [
        ("Authorization", "Bearer one"),
        ("Authorization", "Bearer two"),
    ];
    let reply = ask(world.http, with(WEB, "GET /", &cookie, &twice, "")).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    // 33: a client that lists our header as hop-by-hop does not strip it.
    let reply = ask(
        world.http,
        with(
            WEB,
            "GET /",
            &cookie,
            &[("Connection", "x-asepsis-assertion, X-Forwarded-For")],
            "",
        ),
    )
    .await;
    let last = world.upstream.seen().last().cloned().expect("seen");
    assert!(
        reply.status == 400 || last.headers.contains_key("x-asepsis-assertion"),
        "stripped by the client's Connection header"
    );
    // 37: nobody passes for being a health check.
    let reply = ask(
        world.http,
        with(WEB, "GET /", "", &[("User-Agent", "kube-probe/1.30")], ""),
    )
    .await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn attack_38_the_gateways_cookies_stay_with_the_gateway() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let cookies = format!("theirs=1; {cookie}; __Host-asepsis-tx=abc; other=2");
    let reply = ask(world.http, get(WEB, "/", &cookies)).await;
    assert_eq!(reply.status, 200);
    let seen = world.upstream.seen();
    let got = seen.last().expect("forwarded").headers["cookie"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(!got.contains("asepsis"), "{got}");
    assert!(got.contains("theirs=1") && got.contains("other=2"), "{got}");
}

#[tokio::test]
async fn attack_39_a_connection_that_logged_somebody_in_serves_nobody_else() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for _ in 0..3 {
        let request = with(
            WEB,
            "GET /",
            &cookie,
            &[("Authorization", "NTLM TlRMTVNTUAAB")],
            "",
        );
        assert_eq!(ask(world.http, request).await.status, 200);
    }
    let connections: Vec<_> = world.upstream.seen().iter().map(|s| s.connection).collect();
    assert_eq!(connections, [0, 1, 2], "a logged-in connection was reused");
}

#[tokio::test]
async fn attack_41_malformed_cookies_open_nothing() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let value = cookie.split_once('=').expect("name=value").1;
    for bad in [
        "__Host-asepsis=".to_owned(),
        "__Host-asepsis".to_owned(),
        format!("__Host-asepsis={value}x"),
        format!("__Host-asepsis=\"{value}\"x"),
        format!("__host-asepsis={value}"),
        format!("asepsis={value}"),
        format!("{cookie}; __Host-asepsis=other"),
        format!("{cookie}; {cookie}"),
        format!("__Host-asepsis={}", "A".repeat(43)),
    ] {
        let reply = ask(world.http, get(WEB, "/", &bad)).await;
        assert!(
            matches!(reply.status, 400 | 401),
            "{} for {bad}",
            reply.status
        );
    }
    // The cookie of one application opens no other.
    let reply = ask(world.http, get(support::CHART, "/", &cookie)).await;
    assert_eq!(reply.status, 401);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn attacks_73_and_74_slow_heads_are_cut_and_bodies_wait_for_a_session() {
    let world = World::new().await;
    let mut raw = Raw::connect(world.http).await;
    raw.send("GET / HTTP/1.1\r\nHost: intr").await;
    let cut = tokio::time::timeout(Duration::from_secs(4), raw.rest()).await;
    assert!(cut.is_ok(), "a head may take as long as it likes");
    // A TLS handshake that never comes is cut too.
    let mut raw = Raw::connect(world.https).await;
    let cut = tokio::time::timeout(Duration::from_secs(5), raw.rest()).await;
    assert!(cut.is_ok(), "a handshake may take as long as it likes");
    // Nothing of a body is read for somebody who is not signed in.
    let mut raw = Raw::connect(world.http).await;
    raw.send(
        "POST /fhir/Observation HTTP/1.1\r\nHost: chart.test\r\nContent-Type: application/fhir+json\r\nContent-Length: 4000000\r\n\r\n"
    )
    .await;
    let reply = raw.reply().await.expect("an answer without a body");
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn too_large_heads_are_refused() {
    let world = World::new().await;
    let long = "a".repeat(100_000);
    let request = format!("GET / HTTP/1.1\r\nHost: {WEB}\r\nX-Long: {long}\r\n\r\n");
    let mut raw = Raw::connect(world.http).await;
    raw.send(request).await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 431);
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let mut raw = Raw::connect(world.http).await;
    raw.send(format!("GET / HTTP/1.1\r\nHost: {WEB}\r\n{many}\r\n"))
        .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 431);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_flood_of_hostile_requests_is_counted_and_not_written_one_by_one() {
    let world = World::with(gateway::Limits {
        refusals_recorded_per_sec: 5,
        ..support::quick()
    })
    .await;
    for _ in 0..60 {
        let reply = ask(world.http, get("unknown.test", "/", "")).await;
        assert_eq!(reply.status, 421);
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let singly = world.records_of(audit::Kind::Malformed).len() as u64;
    let counted: u64 = world
        .records_of(audit::Kind::Gap)
        .iter()
        .filter_map(|r| r.header.get("count").and_then(serde_json::Value::as_u64))
        .sum();
    assert_eq!(singly + counted, 60, "{singly} singly, {counted} counted");
    assert!(counted > 0 && singly >= 5);
}
