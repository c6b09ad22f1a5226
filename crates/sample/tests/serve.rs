//! The upstream over real sockets: FHIR and the page at one address, bounds, and leaving in peace.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use sample::{FhirServer, Hospital, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

struct Upstream {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(change: impl FnOnce(&mut Options)) -> Upstream {
    let now = Timestamp::parse("2026-11-22T10:00:00Z").expect("valid");
    let hospital = Hospital::generate(2, now);
    let mut options = Options::new(Arc::new(move || now));
    change(&mut options);
    let server = Arc::new(FhirServer::new(&hospital, options));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(sample::serve(server, listener, async {
        let _ = stopped.await;
    }));
    Upstream {
        address,
        stop,
        task,
    }
}

/// Sends `request` and returns everything that comes back until the server closes.
async fn exchange(upstream: &Upstream, request: &str) -> String {
    let mut stream = TcpStream::connect(upstream.address)
        .await
        .expect("listening");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("answered in time")
        .expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(upstream: &Upstream, path: &str, more: &str) -> String {
    exchange(
        upstream,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n"),
    )
    .await
}

#[tokio::test]
async fn page_and_fhir_live_at_one_address() {
    let upstream = start(|_| {}).await;
    let page = get(&upstream, "/", "").await;
    assert!(page.starts_with("HTTP/1.1 200"));
    assert!(page.contains("content-security-policy: default-src 'self';"));
    assert!(
        get(&upstream, "/chart.js", "")
            .await
            .contains("content-type: text/javascript")
    );
    assert!(
        get(&upstream, "/fhir/metadata", "")
            .await
            .contains("CapabilityStatement")
    );
    // What only begins like the base is not FHIR.
    assert!(
        get(&upstream, "/fhirs", "")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let head = exchange(
        &upstream,
        "HEAD /fhir/metadata HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn without_the_gateways_assertion_nothing_is_served() {
    let upstream = start(|options| options.verifier = Some(Arc::new(|a| a == "signed"))).await;
    for path in ["/", "/chart.js", "/fhir/metadata", "/fhir/Patient"] {
        assert!(
            get(&upstream, path, "").await.starts_with("HTTP/1.1 401"),
            "{path}"
        );
        let signed = get(&upstream, path, "x-asepsis-assertion: signed\r\n").await;
        assert!(signed.starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let upstream = start(|options| options.body_max = 1_000).await;
    let post = |length: usize, body: &str| {
        format!(
            "POST /fhir/Patient HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/fhir+json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    };
    let fits = r#"{"resourceType":"Patient"}"#;
    assert!(
        exchange(&upstream, &post(fits.len(), fits))
            .await
            .starts_with("HTTP/1.1 201")
    );
    let long = " ".repeat(2_000);
    assert!(
        exchange(&upstream, &post(long.len(), &long))
            .await
            .starts_with("HTTP/1.1 413")
    );
}

#[tokio::test]
async fn shutdown_lets_idle_connections_go() {
    let upstream = start(|_| {}).await;
    let mut idle = TcpStream::connect(upstream.address)
        .await
        .expect("listening");
    idle.write_all(b"GET /icon.svg HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0_u8; 12];
    idle.read_exact(&mut first).await.expect("answered");
    assert_eq!(&first, b"HTTP/1.1 200");
    upstream.stop.send(()).expect("running");
    tokio::time::timeout(Duration::from_secs(4), upstream.task)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(TcpStream::connect(upstream.address).await.is_err());
}
