//! Connections to the upstream: reused when that is safe, never otherwise.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::Limits;
use http::StatusCode;
use support::wire::{Raw, ask, get, with};
use support::{PHYSICIAN, WEB, World, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn one_connection_serves_many_requests_of_many_clients() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for n in 0..20 {
        let reply = ask(world.http, get(WEB, &format!("/{n}"), &cookie)).await;
        assert_eq!(reply.text(), format!("GET /{n}"));
        let reply = ask(world.http, with(WEB, "POST /x", &cookie, &[], "body")).await;
        assert_eq!(reply.text(), "POST /x");
        // Answers without content give the connection back, too.
        let reply = ask(world.http, with(WEB, "HEAD /x", &cookie, &[], "")).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(world.upstream.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn concurrent_requests_are_not_mixed_up() {
    let world = Arc::new(World::new().await);
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|seen| async move {
        tokio::time::sleep(Duration::from_millis(u64::from(seen.uri.len() as u8 % 7))).await;
        text(StatusCode::OK, &seen.uri.repeat(200))
    });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (world, cookie) = (world.clone(), cookie.clone());
        tasks.spawn(async move {
            let mut raw = Raw::connect(world.http).await;
            for m in 0..10 {
                let path = format!("/{n}/{}", "x".repeat(m));
                raw.send(get(WEB, &path, &cookie)).await;
                let reply = raw.reply().await.expect("an answer");
                assert_eq!(reply.text(), path.repeat(200));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no mix-up");
    }
    assert!(world.upstream.connections.load(Ordering::SeqCst) <= 40);
}

/// An upstream that speaks raw bytes: each connection gets the next script.
async fn scripted(
    world: &World,
    scripts: Vec<&'static [u8]>,
    close_after_idle: bool,
) -> (gateway::Gateway, std::net::SocketAddr, Arc<AtomicUsize>) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = upstream.local_addr().expect("bound");
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    tokio::spawn(async move {
        let mut scripts = scripts.into_iter();
        loop {
            let Ok((mut stream, _)) = upstream.accept().await else {
                return;
            };
            let script = scripts.next().unwrap_or(b"");
            let count = count.clone();
            tokio::spawn(async move {
                let mut seen = [0; 8192];
                let mut first = true;
                loop {
                    match stream.read(&mut seen).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    if !first && close_after_idle {
                        return;
                    }
                    first = false;
                    if stream.write_all(script).await.is_err() {
                        return;
                    }
                    if script.is_empty() {
                        return;
                    }
                }
            });
        }
    });
    let (gateway, front) = support::second_gateway(world, address).await;
    (gateway, front, served)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_safe_request_on_a_connection_that_died_is_sent_once_more() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    // The first connection answers once and dies at the second request; the second one answers.
    let (_gateway, front, served) = scripted(&world, vec![OK, OK], true).await;
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    assert_eq!(served.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_unsafe_request_on_a_connection_that_died_is_never_repeated() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (_gateway, front, served) = scripted(&world, vec![OK, OK], true).await;
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    let reply = ask(front, with(WEB, "POST /order", &cookie, &[], "x")).await;
    assert_eq!(reply.status, 502);
    assert_eq!(served.load(Ordering::SeqCst), 2, "the order was sent twice");
}

#[tokio::test]
async fn a_connection_with_unasked_bytes_is_not_reused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    // Two answers to one request: the second must not become somebody else's.
    let twice: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let (_gateway, front, _) = scripted(&world, vec![twice, OK, OK], false).await;
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..3 {
        assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    }
}

#[tokio::test]
async fn broken_answers_are_a_bad_gateway_and_never_reused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for script in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"[..],
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"",
    ] {
        let (_gateway, front, _) = scripted(&world, vec![script, OK], false).await;
        let reply = ask(front, with(WEB, "POST /", &cookie, &[], "x")).await;
        assert_eq!(reply.status, 502, "{}", String::from_utf8_lossy(script));
        assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let short: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok";
    let (_gateway, front, _) = scripted(&world, vec![short, OK], true).await;
    let mut raw = Raw::connect(front).await;
    raw.send(get(WEB, "/", &cookie)).await;
    // The upstream stays silent and then is cut by the idle limit.
    let reply = raw.reply().await.expect("a head");
    assert_eq!(reply.body, b"ok", "nothing is made up");
    assert!(raw.is_closed().await);
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
}

#[tokio::test]
async fn an_early_answer_to_an_unfinished_request_costs_the_connection() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (_gateway, front, _) = scripted(
        &world,
        vec![
            b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n",
            OK,
        ],
        false,
    )
    .await;
    let mut raw = Raw::connect(front).await;
    raw.send(format!(
        "POST /upload HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\nContent-Length: 1000000\r\n\r\nbegin"
    ))
    .await;
    assert_eq!(raw.reply().await.expect("an answer").status, 413);
    assert!(
        raw.is_closed().await,
        "the rest of the body could pass for a request"
    );
    assert_eq!(ask(front, get(WEB, "/", &cookie)).await.text(), "ok");
}

#[tokio::test]
async fn silent_and_absent_upstreams_time_out() {
    let world = World::with(Limits {
        upstream_first_byte: Duration::from_millis(200),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        text(StatusCode::OK, "too late")
    });
    let reply = ask(world.http, get(WEB, "/", &cookie)).await;
    assert_eq!(reply.status, 504);
    assert_eq!(reply.json()["code"], "upstream-timeout");

    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = nobody.local_addr().expect("bound");
    drop(nobody);
    let (_gateway, front) = support::second_gateway(&world, address).await;
    let reply = ask(front, get(WEB, "/", &cookie)).await;
    assert_eq!(reply.status, 502);
    assert_eq!(reply.json()["code"], "upstream-unreachable");
}

#[tokio::test]
async fn the_connections_to_an_upstream_are_bounded() {
    let world = Arc::new(
        World::with(Limits {
            upstream_connections_max: 3,
            ..support::quick()
        })
        .await,
    );
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        text(StatusCode::OK, "ok")
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (world, cookie) = (world.clone(), cookie.clone());
        tasks.spawn(async move { ask(world.http, get(WEB, "/", &cookie)).await.status });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.expect("an answer"), 200);
    }
    assert!(world.upstream.connections.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn idle_connections_are_given_up() {
    let world = World::with(Limits {
        upstream_keep_alive: Duration::from_millis(100),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 200);
    assert_eq!(world.upstream.connections.load(Ordering::SeqCst), 2);
}

/// An upstream that speaks TLS under `authority` and is called `name`.
async fn tls_upstream(authority: &support::wire::Authority) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let acceptor = tokio_rustls::TlsAcceptor::from(authority.server_config());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut seen = [0; 8192];
                while stream.read(&mut seen).await.is_ok_and(|n| n > 0) {
                    if stream.write_all(OK).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_upstream_over_tls_must_prove_its_name() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let authority = support::wire::Authority::new(&["ehr.test"]);
    let stranger = support::wire::Authority::new(&["ehr.test"]);
    let address = tls_upstream(&authority).await;
    for (trusted, name, status) in [
        (&authority, "ehr.test", 200),
        (&authority, "other.test", 502),
        (&stranger, "ehr.test", 502),
    ] {
        let upstream = gateway::HttpUpstream {
            address: address.to_string(),
            host: Some("ehr.test".to_owned()),
            tls: Some(gateway::UpstreamTls {
                server_name: name.to_owned(),
                config: Arc::new(trusted.client_config(&[])),
            }),
        };
        let (_gateway, front) = support::gateway_over(&world, upstream).await;
        for _ in 0..2 {
            let reply = ask(front, get(WEB, "/", &cookie)).await;
            assert_eq!(reply.status, status, "{name}: {}", reply.text());
        }
    }
}
