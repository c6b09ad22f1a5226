//! The centre's end: batches of sensors on other hosts.
//!
//! A sensor is known by its certificate alone. Each batch is taken once: the centre remembers how far it has taken each
//! spool, and answers a repeated batch like the first time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::batch::{BATCH_BYTES_MAX, BATCH_PATH, Batch, SEQUENCE_HEADER, SPOOL_HEADER};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Sensors connected at a time.
const CONNECTIONS_MAX: usize = 256;
/// Spools remembered for one sensor; the least advanced is forgotten first.
const SPOOLS_MAX: usize = 16;

/// Takes what sensors send.
pub(crate) trait Take: Send + Sync + 'static {
    /// Takes a batch of the sensor `name`. It blocks no longer than memory takes.
    fn take(&self, name: &str, batch: Batch);
}

/// Where sensors on other hosts connect.
pub(crate) struct Intake<T> {
    names: Vec<String>,
    take: T,
    taken: Mutex<BTreeMap<(String, String), u64>>,
}

impl<T: Take> Intake<T> {
    /// An intake for the sensors of these names, which their certificates show.
    pub(crate) fn new(names: Vec<String>, take: T) -> Arc<Self> {
        Arc::new(Self {
            names,
            take,
            taken: Mutex::default(),
        })
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
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = intake.answer(name, request).await;
            Ok::<_, Infallible>(response)
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(90))
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, sensor = %name, "a sensor's connection ended");
        }
    }

    async fn answer(&self, name: &str, request: Request<Incoming>) -> StatusCode {
        if request.uri().path() != BATCH_PATH {
            return StatusCode::NOT_FOUND;
        }
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let header = |key: &str| request.headers().get(key).and_then(|v| v.to_str().ok());
        let spool = header(SPOOL_HEADER)
            .filter(|s| (1..=64).contains(&s.len()))
            .map(str::to_owned);
        let number = header(SEQUENCE_HEADER).and_then(|n| n.parse::<u64>().ok());
        let (Some(spool), Some(number)) = (spool, number) else {
            return StatusCode::BAD_REQUEST;
        };
        let body = Limited::new(request.into_body(), BATCH_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Err(_) => return StatusCode::REQUEST_TIMEOUT,
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return StatusCode::PAYLOAD_TOO_LARGE;
            }
            Ok(Err(_)) => return StatusCode::BAD_REQUEST,
            Ok(Ok(body)) => body.to_bytes(),
        };
        let Ok(batch) = serde_json::from_slice::<Batch>(&body) else {
            return StatusCode::BAD_REQUEST;
        };
        if self.advance(name, spool, number) {
            self.take.take(name, batch);
        }
        StatusCode::NO_CONTENT
    }

    /// Whether this batch was not taken yet.
    fn advance(&self, name: &str, spool: String, number: u64) -> bool {
        let mut taken = self.taken.lock();
        let key = (name.to_owned(), spool);
        if taken.get(&key).is_some_and(|last| *last >= number) {
            return false;
        }
        taken.insert(key, number);
        let of_sensor = |key: &(String, String)| key.0 == name;
        if taken.keys().filter(|k| of_sensor(k)).count() > SPOOLS_MAX {
            let least = taken
                .iter()
                .filter(|(k, _)| of_sensor(k))
                .min_by_key(|(_, n)| **n)
                .map(|(k, _)| k.clone());
            if let Some(least) = least {
                taken.remove(&least);
            }
        }
        true
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
