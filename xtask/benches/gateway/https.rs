//! A visitor that speaks HTTPS as a script would: cookies kept by host, redirections followed, the certificate checked.
//!
//! Every name leads to 127.0.0.1, because the resolver of Debian does not know `*.localhost`; the name itself is in the
//! TLS greeting and in `Host`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Redirections that one visit may take.
const REDIRECTIONS_MAX: usize = 10;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What was agreed in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) version: String,
    pub(crate) suite: String,
    pub(crate) group: String,
    pub(crate) chain: usize,
}

/// A visitor of one server.
#[derive(Debug)]
pub(crate) struct Visitor {
    port: u16,
    tls: Arc<ClientConfig>,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// What the last connection agreed on.
    pub(crate) handshake: Option<Handshake>,
}

impl Visitor {
    /// A visitor of the server at `port` that trusts the authority in the file `authority`.
    pub(crate) fn new(port: u16, authority: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(authority)
            .with_context(|| format!("cannot read the authority `{}`", authority.display()))?;
        for certificate in certificates {
            let certificate = certificate
                .with_context(|| format!("`{}` is no certificate", authority.display()))?;
            roots
                .add(certificate)
                .with_context(|| format!("`{}` is no authority", authority.display()))?;
        }
        // The order in which OpenSSL, and so `wrk`, offers key exchange groups: what we see is what `wrk` gets.
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups = vec![
            rustls::crypto::aws_lc_rs::kx_group::X25519,
            rustls::crypto::aws_lc_rs::kx_group::SECP256R1,
        ];
        let tls = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            port,
            tls: Arc::new(tls),
            cookies: BTreeMap::new(),
            handshake: None,
        })
    }

    /// The cookies held for `host`, as a `Cookie` header carries them.
    pub(crate) fn cookies(&self, host: &str) -> String {
        let held = self.cookies.get(host).into_iter().flatten();
        held.map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Opens `path` on `host` as a person in a browser and follows redirections; returns where it ended and the answer.
    pub(crate) async fn open(&mut self, host: &str, path: &str) -> Result<(String, Answer)> {
        let answer = self.send(host, Method::GET, path, None).await?;
        self.follow(host.to_owned(), answer).await
    }

    /// Submits a form to `path` on `host` and follows redirections.
    pub(crate) async fn submit(
        &mut self,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<(String, Answer)> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let answer = self.send(host, Method::POST, path, Some(body)).await?;
        self.follow(host.to_owned(), answer).await
    }

    /// Opens `path` once, with this `Cookie` header and no other, following nothing.
    pub(crate) async fn fetch(
        &mut self,
        host: &str,
        path: &str,
        cookie: Option<&str>,
    ) -> Result<Answer> {
        self.cookies.clear();
        let pair = cookie.and_then(|cookie| cookie.split_once('='));
        if let Some((name, value)) = pair {
            self.cookies.insert(
                host.to_owned(),
                BTreeMap::from([(name.to_owned(), value.to_owned())]),
            );
        }
        self.send(host, Method::GET, path, None).await
    }

    async fn follow(&mut self, mut host: String, mut answer: Answer) -> Result<(String, Answer)> {
        for _ in 0..REDIRECTIONS_MAX {
            if !answer.status.is_redirection() {
                return Ok((host, answer));
            }
            let location = answer
                .headers
                .get(header::LOCATION)
                .context("a redirection without a location")?;
            let location: Uri = location
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .context("an unreadable location")?;
            if let Some(next) = location.host() {
                ensure!(
                    location.port_u16() == Some(self.port),
                    "redirected away from the server, to `{location}`"
                );
                next.clone_into(&mut host);
            }
            let path = location
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned();
            answer = self.send(&host, Method::GET, &path, None).await?;
        }
        bail!("more than {REDIRECTIONS_MAX} redirections")
    }

    async fn send(
        &mut self,
        host: &str,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Answer> {
        let origin = format!("https://{host}:{}", self.port);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("{host}:{}", self.port))
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        let cookies = self.cookies(host);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        if form.is_some() {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::ORIGIN, &origin)
                .header("sec-fetch-site", "same-origin");
        }
        let request = request
            .body(Full::new(Bytes::from(form.unwrap_or_default())))
            .context("an impossible request")?;

        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .context("cannot connect")?;
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("`{host}` is no name"))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .context("TLS failed")?;
        self.handshake = Some(handshake(stream.get_ref().1)?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .context("HTTP failed")?;
        let connection = tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .with_context(|| format!("no answer from {origin}"))?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .context("the answer broke off")?
            .to_bytes();
        connection.abort();
        self.keep(host, &head.headers);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn keep(&mut self, host: &str, headers: &HeaderMap) {
        let held = self.cookies.entry(host.to_owned()).or_default();
        for value in headers.get_all(header::SET_COOKIE) {
            let text = value.to_str().unwrap_or_default();
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            if value.is_empty() || attributes.to_ascii_lowercase().contains("max-age=0") {
                held.remove(name.trim());
            } else {
                held.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

fn handshake(connection: &rustls::ClientConnection) -> Result<Handshake> {
    let version = connection.protocol_version().context("no TLS version")?;
    let suite = connection
        .negotiated_cipher_suite()
        .context("no cipher suite")?
        .suite();
    let group = connection
        .negotiated_key_exchange_group()
        .context("no key exchange group")?
        .name();
    let chain = connection
        .peer_certificates()
        .map_or(0, <[CertificateDer<'_>]>::len);
    Ok(Handshake {
        version: format!("{version:?}"),
        suite: format!("{suite:?}"),
        group: format!("{group:?}"),
        chain,
    })
}
