//! A small browser for the tour: HTTPS to the demo's own listener, cookies by host, redirects followed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const REDIRECTS_MAX: usize = 10;
const BODY_MAX: usize = 16 << 20;

/// One person's browser.
pub(crate) struct Browser {
    address: SocketAddr,
    tls: TlsConnector,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    connections: BTreeMap<String, SendRequest<Full<Bytes>>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Address that finally answered.
    pub(crate) uri: Uri,
    /// Status.
    pub(crate) status: StatusCode,
    /// Headers.
    pub(crate) headers: http::HeaderMap,
    /// Body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "`{}` answered {} without JSON",
                self.uri.path(),
                self.status
            )
        })
    }
}

/// What to send.
pub(crate) struct Ask<'a> {
    method: Method,
    url: String,
    accept: &'a str,
    body: Option<(&'a str, Bytes)>,
}

impl<'a> Ask<'a> {
    /// A program's GET.
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            accept: "application/fhir+json",
            body: None,
        }
    }

    /// Method and path, for people to read.
    pub(crate) fn line(&self) -> String {
        let uri = self.url.parse::<Uri>().ok();
        let path = uri
            .as_ref()
            .and_then(|u| u.path_and_query())
            .map_or("/", |p| p.as_str());
        format!("{} {path}", self.method)
    }

    /// A person's GET in a browser.
    pub(crate) fn page(url: impl Into<String>) -> Self {
        Self {
            accept: "text/html",
            ..Self::get(url)
        }
    }

    /// A request with a body.
    pub(crate) fn send(
        method: Method,
        url: impl Into<String>,
        content_type: &'a str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            method,
            body: Some((content_type, body.into())),
            ..Self::get(url)
        }
    }

    /// A form that a person sends in a browser.
    pub(crate) fn form(url: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        Self {
            accept: "text/html",
            ..Self::send(
                Method::POST,
                url,
                "application/x-www-form-urlencoded",
                text.finish(),
            )
        }
    }
}

impl Browser {
    /// A browser that reaches every host at `address` and trusts `roots` only.
    pub(crate) fn new(address: SocketAddr, roots: Arc<RootCertStore>) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            cookies: BTreeMap::new(),
            connections: BTreeMap::new(),
        })
    }

    /// Sends a request and follows redirects, as a browser does.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let Ask {
            mut method,
            url,
            accept,
            mut body,
        } = ask;
        let mut uri: Uri = url.parse().with_context(|| format!("address `{url}`"))?;
        for _ in 0..REDIRECTS_MAX {
            let answer = self.once(&method, &uri, accept, body.as_ref()).await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            let location = answer
                .headers
                .get(LOCATION)
                .and_then(|l| l.to_str().ok())
                .context("a redirect without a location")?;
            uri = if location.starts_with('/') {
                format!("{}://{}{location}", scheme(&uri), authority(&uri)).parse()?
            } else {
                location.parse()?
            };
            if answer.status != StatusCode::TEMPORARY_REDIRECT
                && answer.status != StatusCode::PERMANENT_REDIRECT
            {
                method = Method::GET;
                body = None;
            }
        }
        bail!("more than {REDIRECTS_MAX} redirects")
    }

    async fn once(
        &mut self,
        method: &Method,
        uri: &Uri,
        accept: &str,
        body: Option<&(&str, Bytes)>,
    ) -> anyhow::Result<Answer> {
        let host = uri.host().context("an address without a host")?.to_owned();
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority(uri))
            .header(ACCEPT, accept);
        if accept == "text/html" {
            request = request
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-site", "same-origin");
        }
        if let Some(jar) = self.cookies.get(&host).filter(|jar| !jar.is_empty()) {
            let line = jar
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect::<Vec<_>>()
                .join("; ");
            request = request.header(COOKIE, line);
        }
        let payload = match body {
            Some((kind, bytes)) => {
                request = request
                    .header(CONTENT_TYPE, *kind)
                    .header(ORIGIN, format!("{}://{}", scheme(uri), authority(uri)));
                bytes.clone()
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(payload))?;
        let response = self.exchange(&host, request).await?;
        let (head, incoming) = response.into_parts();
        self.keep_cookies(&host, &head.headers);
        let body = Limited::new(incoming, BODY_MAX)
            .collect()
            .await
            .map_err(|e| anyhow::anyhow!("reading the answer of `{path}`: {e}"))?
            .to_bytes();
        Ok(Answer {
            uri: uri.clone(),
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn exchange(
        &mut self,
        host: &str,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        if let Some(connection) = self.connections.get_mut(host)
            && connection.ready().await.is_ok()
        {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    // The server had closed the idle connection: nothing was sent.
                    Some(request) => return self.connect_and_send(host, request).await,
                    None => bail!("the gateway broke off: {}", error.into_error()),
                },
            }
        }
        self.connect_and_send(host, request).await
    }

    async fn connect_and_send(
        &mut self,
        host: &str,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("connecting to the demo")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned())?;
        let tls = self
            .tls
            .connect(name, stream)
            .await
            .context("TLS to the demo")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        let response = sender.send_request(request).await?;
        self.connections.insert(host.to_owned(), sender);
        Ok(response)
    }

    fn keep_cookies(&mut self, host: &str, headers: &http::HeaderMap) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        for line in headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
        {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let gone = attributes
                .split(';')
                .any(|a| a.trim().eq_ignore_ascii_case("max-age=0"));
            if gone || value.is_empty() {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

fn scheme(uri: &Uri) -> &str {
    uri.scheme_str().unwrap_or("https")
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", |a| a.as_str())
}
