//! HTTP/2 floods, written frame by frame: each ends its connection, and other clients notice nothing.

mod support;

use std::time::Duration;

use support::wire::{ask, get};
use support::{PHYSICIAN, WEB, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Header fields in the plainest form of HPACK.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "lengths of one byte only");
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    block
}

async fn connect(world: &World) -> TlsStream<TcpStream> {
    let mut stream = world.authority.connect(world.https, WEB, &["h2"]).await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("a preface");
    stream
        .write_all(&frame(SETTINGS, 0, 0, &[]))
        .await
        .expect("settings");
    stream
}

/// Sends the frames until the gateway closes the connection.
async fn flood(world: &World, first: Vec<u8>, mut more: impl FnMut(u32) -> Vec<u8>) {
    let (mut read, mut write) = tokio::io::split(connect(world).await);
    let reading = tokio::spawn(async move {
        let mut piece = [0; 4096];
        while read.read(&mut piece).await.is_ok_and(|n| n > 0) {}
    });
    if write.write_all(&first).await.is_ok() {
        for n in 0..200_000 {
            if reading.is_finished() || write.write_all(&more(n)).await.is_err() {
                break;
            }
        }
        let _ = write.flush().await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(ended.is_ok(), "the connection outlives its flood");
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    assert_eq!(ask(world.http, get(WEB, "/", &cookie)).await.status, 200);
}

fn request(cookie: &str) -> Vec<u8> {
    fields(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", WEB),
        (":path", "/x"),
        ("cookie", cookie),
    ])
}

#[tokio::test]
async fn attack_70_endless_continuations_end_the_connection() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let first = frame(HEADERS, END_STREAM, 1, &request(&cookie));
    flood(&world, first, |n| {
        let name = format!("x-{n}");
        let value = "y".repeat(100);
        frame(CONTINUATION, 0, 1, &fields(&[(&name, &value)]))
    })
    .await;
}

#[tokio::test]
async fn attack_71_made_to_reset_the_gateway_closes_the_connection() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    flood(&world, Vec::new(), |n| {
        let stream = n * 2 + 1;
        let mut frames = frame(HEADERS, END_HEADERS, stream, &request(&cookie));
        // A window that grows by nothing is the stream's error, which the server answers with a reset.
        frames.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
        frames
    })
    .await;
}

#[tokio::test]
async fn attack_72_endless_empty_data_ends_the_connection() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    let first = frame(HEADERS, END_HEADERS, 1, &request(&cookie));
    flood(&world, first, |_| frame(DATA, 0, 1, &[])).await;
}

#[tokio::test]
async fn attack_18_control_bytes_in_pseudo_headers_are_refused() {
    let world = World::new().await;
    let (_, cookie) = world.sign_in(PHYSICIAN, "intranet");
    for (method, path) in [
        ("GET", "/x HTTP/1.1\r\nHost: chart.test\r\n\r\nGET /admin"),
        ("GET", "/x\r\ninjected: 1"),
        ("GET", "/x\0y"),
        ("GET / HTTP/1.1\r\nx: y", "/x"),
    ] {
        let mut stream = connect(&world).await;
        let block = fields(&[
            (":method", method),
            (":scheme", "https"),
            (":authority", WEB),
            (":path", path),
            ("cookie", &cookie),
        ]);
        stream
            .write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
            .await
            .expect("sent");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(world.upstream.count(), 0, "{method} {path:?}");
    }
    // Injected fields do not pass either.
    let mut stream = connect(&world).await;
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", WEB),
        (":path", "/x"),
        ("cookie", &cookie),
        ("x-a", "b\r\nx-asepsis-assertion: forged"),
    ]);
    stream
        .write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await
        .expect("sent");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.upstream.count(), 0);
}
