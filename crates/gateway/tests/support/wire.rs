//! Raw clients: bytes out, bytes in, and certificates to speak TLS with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate authority for one test.
pub struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    server: (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>),
}

impl Authority {
    pub fn new(hosts: &[&str]) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params =
            rcgen::CertificateParams::new(Vec::<String>::new()).expect("no names, no fault");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, key).expect("a self-signed root");
        let server = leaf(&issuer, hosts);
        Self { issuer, server }
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate and its key for a client.
    pub fn client(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (chain, key) = leaf(&self.issuer, &[name]);
        (chain, key.into())
    }

    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let (chain, key) = &self.server;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key().into())
            .expect("a certificate that fits its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// A server that asks clients for certificates of this authority, and takes those without too.
    pub fn asking_server_config(&self) -> Arc<rustls::ServerConfig> {
        let (chain, key) = &self.server;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root()).expect("a root");
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider(),
        )
        .allow_unauthenticated()
        .build()
        .expect("a verifier");
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key().into())
            .expect("a certificate that fits its key");
        Arc::new(config)
    }

    pub fn client_config(&self, alpn: &[&str]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root()).expect("a root");
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        config
    }

    pub async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
        alpn: &[&str],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        self.connect_with(address, host, self.client_config(alpn))
            .await
    }

    pub async fn connect_with(
        &self,
        address: SocketAddr,
        host: &str,
        config: rustls::ClientConfig,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = TcpStream::connect(address).await.expect("a listener");
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake")
    }
}

pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn leaf(
    issuer: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    hosts: &[&str],
) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).expect("host names");
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.signed_by(&key, issuer).expect("a signature");
    (
        vec![certificate.der().clone()],
        PrivatePkcs8KeyDer::from(key.serialize_der()),
    )
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// How long a test waits for bytes that should come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client connection of raw bytes.
pub struct Raw<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl Raw<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a listener"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that has closed already is seen in its answer.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => false,
            Ok(Ok(n)) => {
                self.buffer.extend_from_slice(&piece[..n]);
                true
            }
            Err(_) => panic!(
                "nothing came; so far: {}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }

    /// Reads one answer; `None` if the connection ended without one.
    pub async fn reply(&mut self) -> Option<Reply> {
        self.reply_to("GET").await
    }

    pub async fn reply_to(&mut self, method: &str) -> Option<Reply> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()))
            .collect();
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        if status == 101 || status == 204 || status == 304 || method == "HEAD" {
            return Some(reply);
        }
        if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().expect("a length");
            while self.buffer.len() < length {
                if !self.more().await {
                    break;
                }
            }
            let length = length.min(self.buffer.len());
            reply.body = self.buffer.drain(..length).collect();
        } else if reply.header("transfer-encoding").is_some() {
            while let Some(piece) = self.chunk().await {
                reply.body.extend(piece);
            }
        } else {
            while self.more().await {}
            reply.body = std::mem::take(&mut self.buffer);
        }
        Some(reply)
    }

    /// Reads only the head of an answer whose body goes on.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Some(head);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads one chunk of a chunked body; `None` at its end or if it broke off.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
        self.buffer.drain(..end + 2);
        while self.buffer.len() < size + 2 {
            if !self.more().await {
                return None;
            }
        }
        let piece: Vec<u8> = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        (size > 0).then_some(piece)
    }

    /// Bytes that came and were not read as an answer.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Some bytes of a stream.
    pub async fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..n).collect())
    }

    /// Whether the gateway has closed the connection.
    pub async fn is_closed(&mut self) -> bool {
        let mut piece = [0; 64];
        match tokio::time::timeout(Duration::from_millis(1500), self.stream.read(&mut piece)).await
        {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(_)) | Err(_) => false,
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// Sends one request on a connection of its own and reads its answer.
pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let method = request
        .as_ref()
        .split(|b| *b == b' ')
        .next()
        .map(|m| String::from_utf8_lossy(m).into_owned())
        .unwrap_or_default();
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.reply_to(&method)
        .await
        .expect("an answer before the connection ends")
}

/// A plain `GET`.
pub fn get(host: &str, path: &str, cookie: &str) -> String {
    with(host, &format!("GET {path}"), cookie, &[], "")
}

/// A request with headers and a body.
pub fn with(host: &str, line: &str, cookie: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n");
    if !cookie.is_empty() {
        request.push_str(&format!("Cookie: {cookie}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    request
}
