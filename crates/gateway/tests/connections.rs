//! Connections of clients: TLS, HTTP/2, certificates, limits, draining.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{ClientCertificate, Limits};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::wire::{Raw, ask, get, with};
use support::{PHYSICIAN, WEB, World, text};

type Sender = http2::SendRequest<Full<Bytes>>;

async fn h2(world: &World) -> Sender {
    let stream = world.authority.connect(world.https, WEB, &["h2"]).await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("an HTTP/2 connection");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

fn request(method: Method, path: &str, cookie: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://{WEB}{path}"))
        .header("cookie", cookie)
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request")
}

#[tokio::test]
async fn http1_and_http2_over_tls_take_the_same_road() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let stream = world
        .authority
        .connect(world.https, WEB, &["http/1.1"])
        .await;
    let mut raw = Raw::over(stream);
    for _ in 0..3 {
        raw.send(get(WEB, "/a", &cookie)).await;
        assert_eq!(raw.reply().await.expect("an answer").text(), "GET /a");
    }
    let mut sender = h2(&world).await;
    for _ in 0..3 {
        let response = sender
            .send_request(request(Method::POST, "/b", &cookie, "body"))
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "POST /b");
    }
    let seen = world.upstream.seen();
    assert_eq!(
        seen.last().map(|s| s.body.clone()).as_deref(),
        Some(&b"body"[..])
    );
    assert_eq!(seen[0].headers["x-forwarded-proto"], "https");
    // Both refuse alike.
    let response = sender
        .send_request(request(Method::GET, "/admin", &cookie, ""))
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let response = sender
        .send_request(request(Method::GET, "/", "", ""))
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn cookies_split_over_http2_fields_are_one() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let mut sender = h2(&world).await;
    let request = Request::builder()
        .uri(format!("https://{WEB}/"))
        .header("cookie", "a=1")
        .header("cookie", cookie)
        .body(Full::new(Bytes::new()))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn attacks_17_and_18_http2_requests_that_do_not_add_up_are_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let stream = world.authority.connect(world.https, WEB, &["h2"]).await;
    let (mut sender, connection) = h2_raw(stream).await;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    // 17: a stated length that the body does not keep.
    let lying = Request::builder()
        .method(Method::POST)
        .uri(format!("https://{WEB}/x"))
        .header("cookie", &cookie)
        .header("content-length", "3")
        .body(())
        .expect("a request");
    let (response, mut body) = sender.send_request(lying, false).expect("sent");
    body.send_data(Bytes::from_static(b"much more than three"), true)
        .expect("sent");
    match response.await {
        Err(_) => {}
        Ok(response) => assert!(response.status().is_client_error(), "{}", response.status()),
    }
    assert!(
        world.upstream.seen().iter().all(|s| s.body.len() <= 3),
        "smuggled"
    );
    // 5 and 33 in HTTP/2: connection headers have no place there. 18: what `http` would not even build is left to
    // the library that both sides share.
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "x-asepsis-assertion"),
    ] {
        let request = Request::builder()
            .uri(format!("https://{WEB}/"))
            .header("cookie", &cookie)
            .header(name, value)
            .body(())
            .expect("a request");
        let before = world.upstream.count();
        let Ok((response, _)) = sender.send_request(request, true) else {
            continue;
        };
        if let Ok(response) = response.await {
            assert!(
                response.status().is_client_error(),
                "{name}: {}",
                response.status()
            );
        }
        assert_eq!(world.upstream.count(), before, "{name}");
    }
}

async fn h2_raw<S>(
    stream: S,
) -> (
    h2::client::SendRequest<Bytes>,
    h2::client::Connection<S, Bytes>,
)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    h2::client::handshake(stream).await.expect("a handshake")
}

#[tokio::test]
async fn attack_69_reset_floods_close_the_connection_and_nobody_else_notices() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        text(StatusCode::OK, "slow")
    });
    let stream = world.authority.connect(world.https, WEB, &["h2"]).await;
    let (mut sender, connection) = h2_raw(stream).await;
    let attacker = tokio::spawn(connection);
    for _ in 0..5000 {
        let request = Request::builder()
            .uri(format!("https://{WEB}/"))
            .header("cookie", &cookie)
            .body(())
            .expect("a request");
        match sender.clone().ready().await {
            Ok(ready) => sender = ready,
            Err(_) => break,
        }
        match sender.send_request(request, true) {
            Ok((response, mut stream)) => {
                drop(response);
                stream.send_reset(h2::Reason::CANCEL);
            }
            Err(_) => break,
        }
        tokio::task::yield_now().await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), attacker).await;
    assert!(ended.is_ok(), "the attacker's connection goes on");
    world
        .upstream
        .answer(|_| async { text(StatusCode::OK, "well") });
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.text(), "well");
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded() {
    let world = World::with(Limits {
        streams_max: 4,
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let mut sender = h2(&world).await;
    // The first answer brings the server's settings, which the client then keeps to.
    let response = sender
        .send_request(request(Method::GET, "/", &cookie, ""))
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (mut sender, cookie) = (sender.clone(), cookie.clone());
        tasks.spawn(async move {
            sender.ready().await.expect("a place");
            let response = sender
                .send_request(request(Method::GET, "/", &cookie, ""))
                .await
                .expect("an answer");
            response.status()
        });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.expect("no panic"), StatusCode::OK);
    }
}

#[tokio::test]
async fn attack_61_a_clients_certificate_names_its_device_and_a_foreign_cookie_does_not_fit_it() {
    let world = World::new().await;
    let (workstation, key) = world.authority.client("ward-7-3.devices.test");
    let (stranger, strange_key) = world.authority.client("other.devices.test");
    let fingerprint = hex(&workstation[0]);
    let (_gateway, front) = support::gateway_with_devices(
        &world,
        Arc::new(move |certificate: &ClientCertificate| {
            (certificate.sha256 == fingerprint).then(|| support::WORKSTATION.into())
        }),
    )
    .await;
    let with_certificate =
        |chain: Vec<rustls_pki_types::CertificateDer<'static>>,
         key: rustls_pki_types::PrivateKeyDer<'static>| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(world.authority.root()).expect("a root");
            rustls::ClientConfig::builder_with_provider(support::wire::provider())
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)
                .expect("a certificate that fits its key")
        };
    let status = async |config: rustls::ClientConfig, cookie: &str| {
        let stream = world.authority.connect_with(front, WEB, config).await;
        let mut raw = Raw::over(stream);
        raw.send(get(WEB, "/", cookie)).await;
        raw.reply().await.expect("an answer").status
    };
    let (_, bound) = world.sign_in(PHYSICIAN, "intranet");
    let (_, elsewhere) = world.sign_in_on(
        PHYSICIAN,
        Some(support::PHONE),
        "intranet",
        domain::Aal::Aal2,
    );
    let (_, unbound) = world.sign_in_on(PHYSICIAN, None, "intranet", domain::Aal::Aal2);
    let own = with_certificate(workstation.clone(), key.clone_key());
    assert_eq!(status(own.clone(), &bound).await, 200);
    assert_eq!(
        status(own.clone(), &elsewhere).await,
        401,
        "a cookie carried to another device"
    );
    assert_eq!(status(own.clone(), &unbound).await, 200);
    // The session without a device was judged on the proven one.
    let records = world.records_of(audit::Kind::Decision);
    let payload = records
        .last()
        .and_then(|r| r.payload.clone())
        .expect("kept");
    let decision: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(decision["subject"]["device"], support::WORKSTATION);
    // A certificate of nobody's device does not go with a session of a known one.
    let foreign = with_certificate(stranger.clone(), strange_key);
    assert_eq!(status(foreign, &bound).await, 401);
    // Only the leaf counts, whatever else is in the chain.
    let (third, third_key) = world.authority.client("third.devices.test");
    let chained = with_certificate(vec![third[0].clone(), workstation[0].clone()], third_key);
    assert_eq!(status(chained, &bound).await, 401);
    assert_eq!(
        status(world.authority.client_config(&[]), &bound).await,
        200
    );
}

fn hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let world = World::with(Limits {
        keep_alive: Duration::from_millis(400),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        text(StatusCode::OK, "late")
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/", &cookie)).await;
    assert_eq!(raw.reply().await.expect("an answer").text(), "late");
    let idle = std::time::Instant::now();
    assert!(raw.rest().await.is_empty());
    let idle = idle.elapsed();
    assert!(
        idle > Duration::from_millis(300) && idle < Duration::from_secs(3),
        "{idle:?}"
    );
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let mut raw = Raw::connect(world.http).await;
    raw.send(format!(
        "POST /x HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\nContent-Length: 100\r\n\r\nbegin"
    ))
    .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let world = World::with(Limits {
        write_stall: Duration::from_millis(500),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    world.upstream.answer(move |_| {
        let told = told.clone();
        async move {
            let (feed, body) = support::events();
            tokio::spawn(async move {
                while feed.send(Bytes::from_static(&[b'x'; 65_536])).await.is_ok() {}
                let _ = told.send(());
            });
            http::Response::new(body)
        }
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/endless", &cookie)).await;
    let given_up = tokio::time::timeout(Duration::from_secs(8), heard.recv()).await;
    assert!(
        given_up.is_ok(),
        "the response is held for a client that does not read"
    );
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_lets_nobody_in() {
    let mut world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        text(StatusCode::OK, "finished")
    });
    let mut busy = Raw::connect(world.http).await;
    let mut idle = Raw::connect(world.http).await;
    idle.send(get(WEB, "/", "")).await;
    assert_eq!(idle.reply().await.expect("an answer").status, 401);
    busy.send(get(WEB, "/", &cookie)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = std::time::Instant::now();
    world.shut_down();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        tokio::net::TcpStream::connect(world.http).await.is_err(),
        "somebody was let in"
    );
    let reply = busy.reply().await.expect("an answer");
    assert_eq!(reply.text(), "finished");
    assert!(idle.rest().await.is_empty());
    let served = world.served.take().expect("serving");
    tokio::time::timeout(Duration::from_secs(5), served)
        .await
        .expect("an end")
        .expect("no panic");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn draining_cuts_what_does_not_finish() {
    let mut world = World::with(Limits {
        drain: Duration::from_millis(300),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        text(StatusCode::OK, "never")
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/", &cookie)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.shut_down();
    let served = world.served.take().expect("serving");
    tokio::time::timeout(Duration::from_secs(4), served)
        .await
        .expect("an end")
        .expect("no panic");
    assert!(raw.reply().await.is_none());
}

#[tokio::test]
async fn connections_are_bounded_and_the_next_one_waits() {
    let world = World::with(Limits {
        connections_max: 2,
        keep_alive: Duration::from_millis(500),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let first = Raw::connect(world.http).await;
    let second = Raw::connect(world.http).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = Raw::connect(world.http).await;
    third.send(get(WEB, "/", &cookie)).await;
    let waits = tokio::time::timeout(Duration::from_millis(200), third.reply()).await;
    assert!(waits.is_err(), "a third connection was served");
    drop((first, second));
    let mut fourth = Raw::connect(world.http).await;
    fourth.send(get(WEB, "/", &cookie)).await;
    assert_eq!(fourth.reply().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn requests_in_a_row_on_one_connection_are_judged_one_by_one() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let mut raw = Raw::connect(world.http).await;
    let three = format!(
        "{}{}{}",
        get(WEB, "/one", &cookie),
        get(WEB, "/admin", &cookie),
        with(WEB, "POST /three", &cookie, &[], "x"),
    );
    raw.send(three).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(raw.reply().await.expect("an answer").status);
    }
    assert_eq!(statuses, [200, 403, 200]);
}
