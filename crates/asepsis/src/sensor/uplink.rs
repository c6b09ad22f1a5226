//! From the spool to the centre, over mutual TLS, for as long as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::batch::{BATCH_PATH, KEPT_HEADER, SEQUENCE_HEADER, SPOOL_HEADER};
use super::spool::Spool;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Between attempts while the centre is away: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// How often a spool with nothing new is looked at.
const IDLE: Duration = Duration::from_millis(500);
/// How often the centre is asked how far it has the spool when there is nothing to send, so that it hears of the sensor.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// The centre, as a sensor reaches it.
#[derive(Clone)]
pub(crate) struct Centre {
    /// Host name, which its certificate has to show.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// The sensor's certificate and the centre's authorities.
    pub(crate) tls: Arc<ClientConfig>,
}

/// Sends what the spool holds, oldest first, for ever.
pub(crate) async fn keep_sending(centre: Centre, spool: Arc<Spool>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let mut heard = false;
        if let Err(error) = send(&centre, &spool, &mut heard).await {
            if heard {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(error = format!("{error:#}"), again_in = ?pause, "the centre does not take observations");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

/// Sends over one connection until it ends. `heard` tells whether the centre answered at all.
async fn send(centre: &Centre, spool: &Spool, heard: &mut bool) -> anyhow::Result<()> {
    let mut link = Link {
        sender: connect(centre).await?,
        host: &centre.host,
        spool,
    };
    // The centre may have lost what it had only in memory: it says where to go on.
    let (status, kept) = link.ask(None).await?;
    let mut last = match status {
        StatusCode::NO_CONTENT => kept,
        status => bail!("the centre answered {status}"),
    };
    *heard = true;
    let mut asked = Instant::now();
    loop {
        match spool.after(last) {
            Some((number, body)) => {
                let (status, _) = link.ask(Some((number, body))).await?;
                match status {
                    StatusCode::NO_CONTENT => {}
                    // It will never take this one; what comes after must not wait for it.
                    StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                        tracing::error!(number, %status, "the centre refuses a batch; it is dropped");
                        spool.lose(number);
                    }
                    status => bail!("the centre answered {status}"),
                }
                last = number;
                asked = Instant::now();
            }
            None if asked.elapsed() >= ASKED_EVERY => {
                link.ask(None).await?;
                asked = Instant::now();
            }
            None => tokio::time::sleep(IDLE).await,
        }
    }
}

/// An open connection to the centre.
struct Link<'a> {
    sender: SendRequest<Full<Bytes>>,
    host: &'a str,
    spool: &'a Spool,
}

impl Link<'_> {
    /// Sends a batch, or only asks. The answer is its status and how far the centre has the spool in its file; the spool is
    /// told.
    async fn ask(&mut self, batch: Option<(u64, Vec<u8>)>) -> anyhow::Result<(StatusCode, u64)> {
        let request = Request::builder()
            .uri(BATCH_PATH)
            .header(HOST, self.host)
            .header(SPOOL_HEADER, self.spool.name());
        let request = match batch {
            None => request.body(Full::default()),
            Some((number, body)) => request
                .method(Method::POST)
                .header(CONTENT_TYPE, "application/json")
                .header(SEQUENCE_HEADER, number)
                .body(Full::new(Bytes::from(body))),
        }?;
        let answering = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            let kept = answer
                .headers()
                .get(KEPT_HEADER)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            Limited::new(answer.into_body(), 4096)
                .collect()
                .await
                .map_err(|error| anyhow!(error))?;
            anyhow::Ok((status, kept))
        };
        let (status, kept) = tokio::time::timeout(TIMEOUT, answering)
            .await
            .context("the centre took too long")??;
        self.spool.kept(kept);
        Ok((status, kept))
    }
}

async fn connect(centre: &Centre) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let opening = async {
        let tcp = TcpStream::connect((centre.host.as_str(), centre.port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(centre.host.clone())?;
        let tls = TlsConnector::from(Arc::clone(&centre.tls))
            .connect(name, tcp)
            .await?;
        anyhow::Ok(http1::handshake(TokioIo::new(tls)).await?)
    };
    let (sender, connection) = tokio::time::timeout(TIMEOUT, opening)
        .await
        .context("connecting took too long")?
        .with_context(|| format!("cannot reach the centre at {}:{}", centre.host, centre.port))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the centre ended");
        }
    });
    Ok(sender)
}
