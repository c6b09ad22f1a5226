//! Listening, TLS, and the life of a client's connection.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use domain::DeviceId;
use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::gateway::{ClientCertificate, Shared};
use crate::guard::{Guarded, Phase, Watch};
use crate::limits::Limits;
use crate::road;

/// A socket to accept clients on.
pub struct Listener {
    /// The bound socket.
    pub socket: TcpListener,
    /// How to speak TLS on it; absent: plain text, for loopback only. ALPN names decide between HTTP/2 and HTTP/1.1;
    /// a client verifier in it makes client certificates known as devices.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// What is known of a client's connection.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The IP address as a header value.
    pub(crate) address_text: HeaderValue,
    pub(crate) secure: bool,
    /// Name given in the TLS handshake.
    pub(crate) sni: Option<String>,
    /// Device that the client's certificate belongs to.
    pub(crate) device: Option<DeviceId>,
    /// A verified certificate that belongs to no known device.
    pub(crate) unknown_certificate: bool,
    pub(crate) watch: Arc<Watch>,
    /// Held so that a shutdown waits for upgraded streams too, which outlive their connection's task.
    _alive: watch::Receiver<Stop>,
}

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    Run,
    Drain,
    Cut,
}

/// How often idle upstream connections and counted refusals are looked after.
const MAINTENANCE: Duration = Duration::from_secs(1);

pub(crate) async fn serve(
    shared: &Arc<Shared>,
    listeners: Vec<Listener>,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(Stop::Run);
    let places = Arc::new(Semaphore::new(shared.limits.connections_max));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(
            shared.clone(),
            listener,
            places.clone(),
            stopping.clone(),
        ));
    }
    let mut shutdown = pin!(shutdown);
    let mut tick = tokio::time::interval(MAINTENANCE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            _ = tick.tick() => shared.maintain(),
        }
    }
    // From here on nobody new is let in; what is under way may finish.
    stop.send_replace(Stop::Drain);
    drop(stopping);
    while accepting.join_next().await.is_some() {}
    if tokio::time::timeout(shared.limits.drain, stop.closed())
        .await
        .is_err()
    {
        tracing::info!("some connections did not finish in time and are cut");
        stop.send_replace(Stop::Cut);
        shared.streams.end_all();
        // Cut connections have nothing left to wait for; the bound is for a task that is starved.
        let _ = tokio::time::timeout(Duration::from_secs(5), stop.closed()).await;
    }
    shared.maintain();
}

async fn accept(
    shared: Arc<Shared>,
    listener: Listener,
    places: Arc<Semaphore>,
    mut stopping: watch::Receiver<Stop>,
) {
    loop {
        let place = tokio::select! {
            biased;
            _ = stopping.changed() => return,
            place = places.clone().acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            biased;
            _ = stopping.changed() => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let shared = shared.clone();
                let tls = listener.tls.clone();
                let stopping = stopping.clone();
                tokio::spawn(async move {
                    welcome(shared, stream, address, tls, stopping, place).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, or the client is gone already: neither may spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn welcome(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    stopping: watch::Receiver<Stop>,
    _place: OwnedSemaphorePermit,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(address_text) = HeaderValue::try_from(address.ip().to_canonical().to_string()) else {
        return;
    };
    let watch = Arc::new(Watch::new());
    let Some(config) = tls else {
        let peer = Arc::new(Peer {
            address,
            address_text,
            secure: false,
            sni: None,
            device: None,
            unknown_certificate: false,
            watch: watch.clone(),
            _alive: stopping.clone(),
        });
        http1(shared, Guarded::http1(stream, watch), peer, stopping).await;
        return;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
    let stream = match tokio::time::timeout(shared.limits.handshake, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_elapsed) => {
            tracing::debug!("TLS handshake took too long");
            return;
        }
    };
    let (_, connection) = stream.get_ref();
    let http2 = connection.alpn_protocol() == Some(b"h2".as_slice());
    let sni = connection.server_name().map(str::to_owned);
    // Only the first certificate's key was proven to be the client's; the rest of the chain is anybody's.
    let certificate = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| ClientCertificate {
            der: leaf.as_ref().to_vec(),
            sha256: hex(digest::digest(&digest::SHA256, leaf.as_ref()).as_ref()),
        });
    let device = match (&certificate, &shared.devices) {
        (Some(certificate), Some(resolve)) => resolve(certificate),
        (None, _) | (_, None) => None,
    };
    let peer = Arc::new(Peer {
        address,
        address_text,
        secure: true,
        sni,
        unknown_certificate: certificate.is_some() && device.is_none(),
        device,
        watch: watch.clone(),
        _alive: stopping.clone(),
    });
    if http2 {
        self::http2(shared, Guarded::http2(stream, watch), peer, stopping).await;
    } else {
        http1(shared, Guarded::http1(stream, watch), peer, stopping).await;
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

async fn http1<S>(
    shared: Arc<Shared>,
    stream: Guarded<S>,
    peer: Arc<Peer>,
    stopping: watch::Receiver<Stop>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (shared, peer) = (shared.clone(), peer.clone());
        service_fn(move |request| {
            let (shared, peer) = (shared.clone(), peer.clone());
            async move { Ok::<_, Infallible>(road::travel(&shared, &peer, request).await) }
        })
    };
    let limits = shared.limits.clone();
    let connection = hyper::server::conn::http1::Builder::new()
        .max_headers(limits.headers_max)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(64 * 1024))
        // The connection's own watch keeps the time.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let outcome = live(connection, &peer.watch, &limits, stopping, |c| {
        c.graceful_shutdown();
    })
    .await;
    if let Some(Err(error)) = outcome
        && error.is_parse()
    {
        road::unparsable(&shared, &peer, &error).await;
    }
}

async fn http2<S>(
    shared: Arc<Shared>,
    stream: Guarded<S>,
    peer: Arc<Peer>,
    stopping: watch::Receiver<Stop>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (shared, peer) = (shared.clone(), peer.clone());
        service_fn(move |request| {
            let (shared, peer) = (shared.clone(), peer.clone());
            async move { Ok::<_, Infallible>(road::travel(&shared, &peer, request).await) }
        })
    };
    let limits = shared.limits.clone();
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_pending_accept_reset_streams(limits.pending_resets_max)
        .max_local_error_reset_streams(limits.error_resets_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(stream), service);
    live(connection, &peer.watch, &limits, stopping, |c| {
        c.graceful_shutdown();
    })
    .await;
}

/// Drives a connection, keeps its time limits and lets it finish when the gateway stops. `None`: it was cut.
async fn live<C, E>(
    connection: C,
    watch: &Watch,
    limits: &Limits,
    mut stopping: watch::Receiver<Stop>,
    drain: impl Fn(Pin<&mut C>),
) -> Option<Result<(), E>>
where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(Instant::now() + limits.head));
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => return Some(outcome),
            () = alarm.as_mut() => match patience(watch, limits) {
                Some(left) => alarm.as_mut().reset(Instant::now() + left),
                None if watch.phase() == Phase::Idle && !draining => {
                    // A client that is about to ask is told that this connection takes no more.
                    draining = true;
                    drain(connection.as_mut());
                    alarm.as_mut().reset(Instant::now() + limits.head);
                }
                None => {
                    tracing::debug!(phase = ?watch.phase(), "a connection was too slow and is closed");
                    return None;
                }
            },
            changed = stopping.changed() => {
                let stop = match changed {
                    Ok(()) => *stopping.borrow_and_update(),
                    Err(_gateway_gone) => Stop::Cut,
                };
                match stop {
                    Stop::Run => {}
                    Stop::Drain if !draining => {
                        draining = true;
                        drain(connection.as_mut());
                    }
                    Stop::Drain => {}
                    Stop::Cut => return None,
                }
            }
        }
    }
}

/// How long the connection may be left alone before it has to be looked at again; `None`: it has used up its time.
fn patience(watch: &Watch, limits: &Limits) -> Option<Duration> {
    let blocked = Duration::from_millis(watch.write_blocked_ms());
    if blocked > limits.write_stall {
        return None;
    }
    let in_phase = Duration::from_millis(watch.phase_ms());
    let limit = match watch.phase() {
        Phase::Idle => limits.keep_alive,
        Phase::Head => limits.head,
        // The bodies of a request and its response keep their own time.
        Phase::Busy | Phase::Tunnel => return Some(limits.head.min(limits.write_stall)),
    };
    let left = limit.checked_sub(in_phase)?;
    Some(left.min(limits.head).max(Duration::from_millis(1)))
}
