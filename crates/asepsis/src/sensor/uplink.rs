//! From the spool to the centre, over mutual TLS, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::batch::{BATCH_PATH, SEQUENCE_HEADER, SPOOL_HEADER};
use super::spool::Spool;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Between attempts while the centre is away: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// How often an empty spool is looked at.
const IDLE: Duration = Duration::from_millis(500);

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
        match send_all(&centre, &spool).await {
            Ok(()) => {
                pause = PAUSE_FIRST;
                tokio::time::sleep(IDLE).await;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), again_in = ?pause, "the centre does not take observations");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LAST);
            }
        }
    }
}

/// Sends until the spool is empty.
async fn send_all(centre: &Centre, spool: &Spool) -> anyhow::Result<()> {
    let mut connection = None;
    while let Some((number, body)) = spool.oldest() {
        let mut sender = match connection.take() {
            Some(open) => open,
            None => connect(centre).await?,
        };
        let request = Request::post(BATCH_PATH)
            .header(HOST, &centre.host)
            .header(CONTENT_TYPE, "application/json")
            .header(SPOOL_HEADER, spool.name())
            .header(SEQUENCE_HEADER, number)
            .body(Full::new(Bytes::from(body)))?;
        let answer = tokio::time::timeout(TIMEOUT, sender.send_request(request))
            .await
            .context("the centre took too long")??;
        match answer.status() {
            StatusCode::NO_CONTENT => spool.sent(number),
            // It will never take this one; what comes after must not wait for it.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                tracing::error!(number, status = %answer.status(), "the centre refuses a batch; it is dropped");
                spool.sent(number);
            }
            status => bail!("the centre answered {status}"),
        }
        let finished = Limited::new(answer.into_body(), 4096)
            .collect()
            .await
            .is_ok();
        connection = (finished && !sender.is_closed()).then_some(sender);
    }
    Ok(())
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
