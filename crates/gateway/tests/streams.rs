//! Streams: WebSockets and event streams, opened on record, cut when their session ends.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use audit::Kind;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use hyper_util::rt::TokioIo;
use support::wire::{Raw, ask, get};
use support::{ADMIN, CONSOLE, PHYSICIAN, WEB, World, events, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn upgrade(path: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {WEB}\r\nCookie: {cookie}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Makes the upstream switch protocols and echo every byte in upper case.
fn echo(world: &World) {
    world.upstream.answer_upgrade(|_, upgrade| async move {
        let Some(upgrade) = upgrade else {
            return text(StatusCode::BAD_REQUEST, "no upgrade");
        };
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut stream = TokioIo::new(upgraded);
            let mut piece = [0; 1024];
            while let Ok(n) = stream.read(&mut piece).await {
                let said = piece[..n].to_ascii_uppercase();
                if n == 0 || stream.write_all(&said).await.is_err() {
                    return;
                }
            }
        });
        let mut response = Response::new(gateway::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert(
            "sec-websocket-accept",
            HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        );
        response
    });
}

async fn open(world: &World, cookie: &str) -> Raw<TcpStream> {
    let mut raw = Raw::connect(world.http).await;
    raw.send(upgrade("/ws", cookie)).await;
    let head = raw.head().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("sec-websocket-accept"),
        "{head}"
    );
    raw.send("hello").await;
    assert_eq!(raw.exactly(5).await.as_deref(), Some(&b"HELLO"[..]));
    raw
}

#[tokio::test]
async fn a_websocket_is_recorded_before_it_opens_and_when_it_closes() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    let raw = open(&world, &cookie).await;
    let seen = world.upstream.seen();
    assert!(seen[0].durable > 0, "opened before its record was on disk");
    let opened = world.records_of(Kind::StreamOpened);
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].header["session"], session.as_str());
    assert_eq!(opened[0].header["stream"], "upgrade");
    assert_eq!(world.gateway.open_streams(), 1);
    drop(raw);
    let closed = world.await_records(Kind::StreamClosed, 1).await;
    assert_eq!(closed[0].header["end"], "closed");
    assert_eq!(closed[0].header["bytes_in"], 5);
    assert_eq!(closed[0].header["bytes_out"], 5);
    assert_eq!(world.gateway.open_streams(), 0);
}

#[tokio::test]
async fn a_websocket_is_cut_when_its_session_ends() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (_, other_cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    let mut raw = open(&world, &cookie).await;
    let mut other = open(&world, &other_cookie).await;
    let ended = std::time::Instant::now();
    world.sessions.end(&session);
    assert!(raw.rest().await.is_empty());
    assert!(
        ended.elapsed() < Duration::from_millis(500),
        "{:?}",
        ended.elapsed()
    );
    let closed = world.await_records(Kind::StreamClosed, 1).await;
    assert_eq!(closed[0].header["end"], "session-ended");
    other.send("still").await;
    assert_eq!(other.exactly(5).await.as_deref(), Some(&b"STILL"[..]));
    // Sign-out through the gateway does the same.
    let request = support::wire::with(WEB, "POST /.asepsis/sign-out", &other_cookie, &[], "");
    assert_eq!(ask(world.http, request).await.status, 204);
    assert!(other.rest().await.is_empty());
}

#[tokio::test]
async fn a_websocket_is_cut_when_the_sessions_time_is_over() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    let mut raw = open(&world, &cookie).await;
    world.ahead.store(13 * 3600 * 1000, Ordering::SeqCst);
    assert!(raw.rest().await.is_empty());
    let closed = world.await_records(Kind::StreamClosed, 1).await;
    assert!(
        closed[0].header["end"] == "expired" || closed[0].header["end"] == "session-ended",
        "{:?}",
        closed[0].header
    );
}

#[tokio::test]
async fn a_raised_epoch_cuts_a_stream() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    let mut raw = open(&world, &cookie).await;
    world.sessions.raise_epoch(&session);
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn a_websocket_that_nobody_uses_is_closed() {
    let world = World::with(gateway::Limits {
        upstream_idle: Duration::from_millis(300),
        ..support::quick()
    })
    .await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    let mut raw = open(&world, &cookie).await;
    assert!(raw.rest().await.is_empty());
    let closed = world.await_records(Kind::StreamClosed, 1).await;
    assert_eq!(closed[0].header["end"], "idle");
}

#[tokio::test]
async fn an_upgrade_without_a_permit_or_a_log_opens_nothing() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    echo(&world);
    for (request, status) in [
        (upgrade("/ws", ""), 401),
        (upgrade("/admin/ws", &cookie), 403),
    ] {
        assert_eq!(ask(world.http, request).await.status, status);
    }
    world.fail_log();
    assert_eq!(ask(world.http, upgrade("/ws", &cookie)).await.status, 503);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn event_streams_flow_as_they_come_and_end_with_their_session() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let (sender, receiver) =
        tokio::sync::mpsc::unbounded_channel::<tokio::sync::mpsc::Sender<Bytes>>();
    let mut receiver = receiver;
    world.upstream.answer(move |_| {
        let sender = sender.clone();
        async move {
            let (feed, body) = events();
            sender.send(feed).expect("a test that waits");
            let mut response = Response::new(body);
            response.headers_mut().insert(
                "content-type",
                HeaderValue::from_static("text/event-stream; charset=utf-8"),
            );
            response
        }
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/events", &cookie)).await;
    let head = raw.head().await.expect("a head before any event");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let feed = receiver.recv().await.expect("an open stream");
    for n in 0..3 {
        let event = format!("data: {n}\n\n");
        feed.send(Bytes::from(event.clone())).await.expect("read");
        assert_eq!(raw.chunk().await.as_deref(), Some(event.as_bytes()));
    }
    assert_eq!(world.records_of(Kind::StreamOpened).len(), 1);
    world.sessions.end(&session);
    assert_eq!(raw.chunk().await, None);
    let closed = world.await_records(Kind::StreamClosed, 1).await;
    assert_eq!(closed[0].header["end"], "session-ended");
    assert_eq!(closed[0].header["bytes_out"], 27);
}

#[tokio::test]
async fn event_streams_of_the_console_end_with_their_session() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(ADMIN, "console");
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(CONSOLE, "/decisions/live", &cookie)).await;
    let head = raw.head().await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(raw.chunk().await.as_deref(), Some(&b"data: 0\n\n"[..]));
    world.sessions.end(&session);
    let mut pieces = 0;
    while raw.chunk().await.is_some() {
        pieces += 1;
        assert!(pieces < 20, "the stream goes on without its session");
    }
}

#[tokio::test]
async fn a_long_download_stops_when_its_session_ends() {
    let world = World::new().await;
    let (session, cookie) = world.sign_in(PHYSICIAN, "intranet");
    world.upstream.answer(|_| async {
        let (feed, body) = events();
        tokio::spawn(async move {
            for _ in 0..200 {
                if feed.send(Bytes::from_static(&[b'x'; 1000])).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Response::new(body)
    });
    let mut raw = Raw::connect(world.http).await;
    raw.send(get(WEB, "/image", &cookie)).await;
    raw.head().await.expect("a head");
    raw.chunk().await.expect("a piece");
    world.sessions.end(&session);
    let mut pieces = 0;
    while raw.chunk().await.is_some() {
        pieces += 1;
    }
    assert!(pieces < 20, "{pieces} pieces after the session's end");
}
