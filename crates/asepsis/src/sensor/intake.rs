//! The centre's end: batches of sensors on other hosts.
//!
//! A sensor is known by its certificate alone. Each batch is taken once, also when the centre was killed in between: see
//! [`super::taken`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::batch::{
    BATCH_BYTES_MAX, BATCH_PATH, Batch, KEPT_HEADER, SEQUENCE_HEADER, SPOOL_HEADER, is_spool_name,
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// After which time a sensor has to show its certificate again, which may have run out.
const CONNECTION_LIFE: Duration = Duration::from_secs(3600);
/// Sensors connected at a time.
const CONNECTIONS_MAX: usize = 256;

/// Takes what sensors send. Neither call blocks longer than memory takes.
pub(crate) trait Take: Send + Sync + 'static {
    /// Takes a batch of the sensor `name`, unless it has taken this one of this spool.
    fn take(&self, name: &str, spool: &str, number: u64, batch: Batch);
    /// The sensor is there. Answers the number of the last batch of this spool that a power failure cannot take; 0: none.
    fn kept(&self, name: &str, spool: &str) -> u64;
}

/// Where sensors on other hosts connect.
pub(crate) struct Intake<T> {
    names: Vec<String>,
    take: T,
}

impl<T: Take> Intake<T> {
    /// An intake for the sensors of these names, which their certificates show.
    pub(crate) fn new(names: Vec<String>, take: T) -> Arc<Self> {
        Arc::new(Self { names, take })
    }

    /// Serves for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: &TcpListener, tls: TlsAcceptor) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let intake = Arc::clone(&self);
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        intake.connection(stream, tls).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a sensor's connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await
        else {
            tracing::debug!("a connection to the sensors' port was no sensor's");
            return;
        };
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let Some(name) = leaf.and_then(|leaf| self.sensor(leaf)) else {
            tracing::warn!("a certificate names no configured sensor, or several");
            return;
        };
        let intake = &self;
        let name = &name;
        let service = service_fn(move |request| async move {
            let (status, kept) = match intake.answer(name, request).await {
                Ok(kept) => (StatusCode::NO_CONTENT, kept),
                Err(status) => (status, 0),
            };
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(KEPT_HEADER, HeaderValue::from(kept));
            Ok::<_, Infallible>(response)
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(90))
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(CONNECTION_LIFE, serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, sensor = %name, "a sensor's connection ended");
            }
            Err(_) => tracing::debug!(sensor = %name, "a sensor shows its certificate again"),
        }
    }

    /// How far the spool is in the file, or why the request is refused.
    async fn answer(
        self: &Arc<Self>,
        name: &str,
        request: Request<Incoming>,
    ) -> Result<u64, StatusCode> {
        if request.uri().path() != BATCH_PATH {
            return Err(StatusCode::NOT_FOUND);
        }
        let header = |key: &str| request.headers().get(key).and_then(|v| v.to_str().ok());
        let spool = header(SPOOL_HEADER)
            .filter(|s| is_spool_name(s))
            .map(str::to_owned)
            .ok_or(StatusCode::BAD_REQUEST)?;
        match *request.method() {
            Method::GET => return Ok(self.take.kept(name, &spool)),
            Method::POST => {}
            _ => return Err(StatusCode::METHOD_NOT_ALLOWED),
        }
        let number = header(SEQUENCE_HEADER)
            .and_then(|n| n.parse::<u64>().ok())
            .filter(|n| (1..u64::MAX).contains(n))
            .ok_or(StatusCode::BAD_REQUEST)?;
        let body = Limited::new(request.into_body(), BATCH_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
            Ok(Ok(body)) => body.to_bytes(),
        };
        let (intake, name) = (Arc::clone(self), name.to_owned());
        // A large batch must not hold up what else this thread serves.
        let taking = tokio::task::spawn_blocking(move || {
            let batch = serde_json::from_slice::<Batch>(&body).ok()?;
            intake.take.take(&name, &spool, number, batch);
            Some(intake.take.kept(&name, &spool))
        });
        match taking.await {
            Ok(Some(kept)) => Ok(kept),
            Ok(None) => Err(StatusCode::BAD_REQUEST),
            Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The one configured sensor that a verified certificate names.
    fn sensor(&self, leaf: &[u8]) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let dns = alternative
            .iter()
            .flat_map(|names| names.value.general_names.iter())
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            });
        let common = certificate
            .subject()
            .iter_common_name()
            .filter_map(|n| n.as_str().ok());
        let mut found: Vec<&String> = dns
            .chain(common)
            .filter_map(|n| self.names.iter().find(|own| *own == n))
            .collect();
        found.sort();
        found.dedup();
        match found.as_slice() {
            [one] => Some((*one).clone()),
            _ => None,
        }
    }
}
