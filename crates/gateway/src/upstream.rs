//! Connections to upstreams: HTTP/1.1, kept alive in a pool that all workers share.
//!
//! A connection is driven by whoever uses it, inside the request's own task: there is no task for each connection and
//! no hand-over between threads. That also makes the pool's safety a matter of ownership: a connection goes back
//! only from the end of a response body, when hyper says that it waits for the next request; whatever is dropped earlier
//! (a client that hung up, a body that broke off, an answer that came before the request was sent whole) is closed.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::application::HttpUpstream;
use crate::body::{BodyFault, BoxError, Budget, Outgoing, Patience, Reserved};
use crate::forward::Unforwardable;
use crate::limits::Limits;

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("no connection to the upstream")]
    Connect(#[source] io::Error),
    #[error("no connection to the upstream in time")]
    ConnectTimeout,
    #[error("too many connections to the upstream are in use")]
    Crowded,
    #[error("the upstream did not answer in time")]
    FirstByteTimeout,
    #[error("the upstream closed the connection before it answered")]
    Closed,
    #[error("the upstream broke the protocol")]
    Protocol(#[source] hyper::Error),
    #[error("the upstream switched protocols unasked")]
    UnaskedUpgrade,
    #[error("the client's request body failed")]
    Body(#[source] hyper::Error),
    #[error("the request cannot be written for the upstream")]
    Unforwardable(#[from] Unforwardable),
    #[error("the upstream answered with status {0} where content was needed")]
    Unusable(StatusCode),
}

impl UpstreamError {
    /// The status that tells the client.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout | Self::FirstByteTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Connect(_)
            | Self::Closed
            | Self::Protocol(_)
            | Self::UnaskedUpgrade
            | Self::Unforwardable(_)
            | Self::Unusable(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// A stable name for logs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "upstream-unreachable",
            Self::ConnectTimeout => "upstream-connect-timeout",
            Self::Crowded => "upstream-crowded",
            Self::FirstByteTimeout => "upstream-timeout",
            Self::Closed => "upstream-closed",
            Self::Protocol(_) => "upstream-protocol",
            Self::UnaskedUpgrade => "upstream-unasked-upgrade",
            Self::Body(_) => "request-body-failed",
            Self::Unforwardable(_) => "unforwardable",
            Self::Unusable(_) => "upstream-unusable-answer",
        }
    }
}

/// The socket to an upstream.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! on_wire {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Wire::Plain(stream) => {
                let $io = Pin::new(stream);
                $call
            }
            Wire::Tls(stream) => {
                let $io = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_wire!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_wire!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_wire!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, io => io.poll_shutdown(cx))
    }
}

type Driver = http1::Connection<TokioIo<Wire>, Outgoing>;

/// One connection, with the place it holds among those its upstream may have.
struct Connection {
    sender: http1::SendRequest<Outgoing>,
    driver: Driver,
    finished: bool,
    reusable: bool,
    /// Waits for the first byte of each answer. Kept, because moving a timer on costs less than a new one.
    alarm: Pin<Box<Sleep>>,
    _place: Held,
}

impl Connection {
    /// Lets the connection do what it can.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.finished && Pin::new(&mut self.driver).poll(cx).is_ready() {
            // An error of the driver reaches whoever waits for the response or its body.
            self.finished = true;
        }
    }

    /// Whether it waits for a next request.
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.finished && self.reusable && self.sender.is_ready()
    }
}

/// The places that an upstream's connections may hold, in use and idle together.
struct Places {
    taken: AtomicUsize,
    max: usize,
    /// Told when a place becomes free and when a connection comes back: either serves whoever waits.
    freed: Notify,
}

/// One place, freed when dropped.
struct Held(Arc<Places>);

impl Places {
    fn try_take(self: &Arc<Self>) -> Option<Held> {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.max).then_some(taken + 1)
            })
            .ok()
            .map(|_| Held(self.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// The connections to one upstream.
pub(crate) struct Pool {
    upstream: HttpUpstream,
    limits: Arc<Limits>,
    idle: Mutex<Vec<Idle>>,
    places: Arc<Places>,
}

impl Pool {
    pub(crate) fn new(upstream: HttpUpstream, limits: Arc<Limits>) -> Arc<Self> {
        let places = Arc::new(Places {
            taken: AtomicUsize::new(0),
            max: limits.upstream_connections_max.max(1),
            freed: Notify::new(),
        });
        Arc::new(Self {
            upstream,
            limits,
            idle: Mutex::new(Vec::new()),
            places,
        })
    }

    /// Sends the request that `build` makes and waits for the head of the response.
    ///
    /// `build` is called again for a second try, which happens only if `may_repeat` (a safe method without a body)
    /// and only if the first went out on a connection that had been idle and died without a byte of an answer.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        mut build: impl FnMut() -> Result<Request<Outgoing>, Unforwardable>,
        may_repeat: bool,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut request = build()?;
        let mut tried = false;
        loop {
            let (connection, reused) = if tried {
                (self.connect(self.place().await?).await?, false)
            } else {
                self.take().await?
            };
            match self.converse(connection, request).await {
                Ok(response) => return Ok(response),
                Err(Failed::Unsent(unsent)) if !tried => request = *unsent,
                Err(Failed::Unsent(_)) => return Err(UpstreamError::Closed),
                Err(Failed::Broken(UpstreamError::Closed)) if reused && may_repeat && !tried => {
                    request = build()?;
                }
                Err(Failed::Broken(error)) => return Err(error),
            }
            tried = true;
        }
    }

    async fn converse(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        request: Request<Outgoing>,
    ) -> Result<Response<UpstreamBody>, Failed> {
        let connection_bound = carries_connection_login(request.headers());
        let head = {
            let mut answer = pin!(connection.sender.try_send_request(request));
            let (driver, alarm) = (&mut connection.driver, &mut connection.alarm);
            let deadline = tokio::time::Instant::now() + self.limits.upstream_first_byte;
            alarm.as_mut().reset(deadline);
            let mut finished = false;
            let answered = std::future::poll_fn(|cx| {
                if !finished && Pin::new(&mut *driver).poll(cx).is_ready() {
                    finished = true;
                }
                // Only the driver, polled just now with this task's waker, can complete the answer: a waker of its own
                // would wake this task a second time for each response.
                let mut quiet = Context::from_waker(Waker::noop());
                match answer.as_mut().poll(&mut quiet) {
                    Poll::Ready(answer) => Poll::Ready(Some(answer)),
                    Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
                }
            })
            .await;
            connection.finished = finished;
            match answered {
                None => return Err(UpstreamError::FirstByteTimeout.into()),
                Some(Err(mut failed)) => {
                    if let Some(message) = failed.take_message() {
                        return Err(Failed::Unsent(Box::new(message)));
                    }
                    return Err(classify(failed.into_error()).into());
                }
                Some(Ok(response)) => response,
            }
        };
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::UnaskedUpgrade.into());
        }
        if connection_bound || offers_connection_login(head.headers()) {
            // NTLM and Negotiate log a connection in, not a request: the next request on it would be somebody else's.
            connection.reusable = false;
        }
        let idle = self.limits.upstream_idle;
        let pool = self.clone();
        Ok(head.map(|body| UpstreamBody {
            body,
            connection: Some(connection),
            pool,
            patience: Patience::new(idle),
        }))
    }

    /// A connection that waited in the pool, if one still stands, else a new one; if there may be no more, the first
    /// that comes back.
    async fn take(&self) -> Result<(Box<Connection>, bool), UpstreamError> {
        if let Some(connection) = self.idle() {
            return Ok((connection, true));
        }
        if let Some(place) = self.places.try_take() {
            return Ok((self.connect(place).await?, false));
        }
        let waiting = async {
            loop {
                self.places.freed.notified().await;
                if let Some(connection) = self.idle() {
                    return Ok((connection, true));
                }
                if let Some(place) = self.places.try_take() {
                    return Ok((self.connect(place).await?, false));
                }
            }
        };
        tokio::time::timeout(self.limits.upstream_connect, waiting)
            .await
            .unwrap_or(Err(UpstreamError::Crowded))
    }

    /// A place for a connection of one's own.
    async fn place(&self) -> Result<Held, UpstreamError> {
        let waiting = async {
            loop {
                if let Some(place) = self.places.try_take() {
                    return place;
                }
                // An idle connection holds a place that is better used.
                if self.idle.lock().pop().is_none() {
                    self.places.freed.notified().await;
                }
            }
        };
        tokio::time::timeout(self.limits.upstream_connect, waiting)
            .await
            .map_err(|_elapsed| UpstreamError::Crowded)
    }

    /// The newest idle connection that still stands.
    fn idle(&self) -> Option<Box<Connection>> {
        loop {
            let Idle {
                mut connection,
                since,
            } = self.idle.lock().pop()?;
            if since.elapsed() > self.limits.upstream_keep_alive {
                // The newest lies on top: all below are older.
                let old = std::mem::take(&mut *self.idle.lock());
                drop(old);
                return None;
            }
            // This look finds a connection that the upstream closed meanwhile, or on which it sent a byte unasked.
            if connection.is_idle(&mut Context::from_waker(Waker::noop())) {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, connection: Box<Connection>) {
        {
            let mut idle = self.idle.lock();
            if idle.len() < self.limits.upstream_idle_max {
                idle.push(Idle {
                    connection,
                    since: Instant::now(),
                });
            }
        }
        self.places.freed.notify_one();
    }

    /// Closes connections that nobody used for long. Called from time to time.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let old: Vec<Idle> = {
            let mut idle = self.idle.lock();
            // Oldest first: the pool is a stack.
            let keep_from = idle
                .iter()
                .position(|i| now.duration_since(i.since) <= self.limits.upstream_keep_alive)
                .unwrap_or(idle.len());
            idle.drain(..keep_from).collect()
        };
        drop(old);
    }

    async fn connect(&self, place: Held) -> Result<Box<Connection>, UpstreamError> {
        let connecting = async {
            let wire = self.wire().await?;
            let (sender, driver) = http1::Builder::new()
                .max_headers(self.limits.headers_max.max(128))
                .max_header_size(self.limits.upstream_head_bytes_max)
                .handshake(TokioIo::new(wire))
                .await
                .map_err(UpstreamError::Protocol)?;
            Ok(Box::new(Connection {
                sender,
                driver,
                finished: false,
                reusable: true,
                alarm: Box::pin(tokio::time::sleep(self.limits.upstream_first_byte)),
                _place: place,
            }))
        };
        tokio::time::timeout(self.limits.upstream_connect, connecting)
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout))
    }

    async fn wire(&self) -> Result<Wire, UpstreamError> {
        let stream = TcpStream::connect(&self.upstream.address)
            .await
            .map_err(UpstreamError::Connect)?;
        stream.set_nodelay(true).map_err(UpstreamError::Connect)?;
        let Some(tls) = &self.upstream.tls else {
            return Ok(Wire::Plain(stream));
        };
        let name = ServerName::try_from(tls.server_name.clone()).map_err(|_invalid| {
            UpstreamError::Connect(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the upstream's TLS name is not a host name",
            ))
        })?;
        let stream = tokio_rustls::TlsConnector::from(tls.config.clone())
            .connect(name, stream)
            .await
            .map_err(UpstreamError::Connect)?;
        Ok(Wire::Tls(Box::new(stream)))
    }

    /// Opens a connection of its own for an upgrade and asks for it. The connection never joins the pool.
    pub(crate) async fn upgrade(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let place = self.place().await?;
        let connecting = async {
            let wire = self.wire().await?;
            let (sender, driver) = http1::Builder::new()
                .max_headers(self.limits.headers_max.max(128))
                .max_header_size(self.limits.upstream_head_bytes_max)
                .handshake::<_, Outgoing>(TokioIo::new(wire))
                .await
                .map_err(UpstreamError::Protocol)?;
            Ok((sender, driver))
        };
        let (mut sender, driver) = tokio::time::timeout(self.limits.upstream_connect, connecting)
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout))?;
        // An upgraded stream outlives its request, so this driver needs a task; it holds the place until the end.
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "upgraded upstream connection ended");
            }
        });
        tokio::time::timeout(
            self.limits.upstream_first_byte,
            sender.send_request(request),
        )
        .await
        .map_err(|_elapsed| UpstreamError::FirstByteTimeout)?
        .map_err(classify)
    }
}

enum Failed {
    /// Not a byte of it was sent.
    Unsent(Box<Request<Outgoing>>),
    Broken(UpstreamError),
}

impl From<UpstreamError> for Failed {
    fn from(error: UpstreamError) -> Self {
        Self::Broken(error)
    }
}

fn classify(error: hyper::Error) -> UpstreamError {
    if error.is_user() {
        return UpstreamError::Body(error);
    }
    let reset = std::error::Error::source(&error)
        .and_then(|s| s.downcast_ref::<io::Error>())
        .is_some_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::NotConnected
            )
        });
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() || reset {
        UpstreamError::Closed
    } else {
        UpstreamError::Protocol(error)
    }
}

fn names_connection_login(value: &http::HeaderValue) -> bool {
    let value = value.as_bytes();
    ["ntlm", "negotiate"].iter().any(|scheme| {
        value
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

fn carries_connection_login(headers: &http::HeaderMap) -> bool {
    headers
        .get_all(http::header::AUTHORIZATION)
        .iter()
        .any(names_connection_login)
}

fn offers_connection_login(headers: &http::HeaderMap) -> bool {
    headers
        .get_all(http::header::WWW_AUTHENTICATE)
        .iter()
        .any(names_connection_login)
}

/// The body of an upstream's response. It drives the connection while it is read, and gives it back at its end.
pub(crate) struct UpstreamBody {
    body: Incoming,
    connection: Option<Box<Connection>>,
    pool: Arc<Pool>,
    patience: Patience,
}

impl UpstreamBody {
    /// An event stream may be silent for long.
    pub(crate) fn without_idle_limit(&mut self) {
        self.patience = Patience::new(Duration::from_secs(365 * 24 * 3600));
    }

    fn finish(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // One more turn lets hyper see that the exchange is over; whatever is not idle after it is closed.
            if connection.is_idle(&mut Context::from_waker(Waker::noop())) {
                self.pool.give_back(connection);
            }
        }
    }

    /// Reads the body whole, up to `max` bytes; an empty rest of the budget counts as too large.
    pub(crate) async fn read_whole(
        mut self,
        max: usize,
        budget: &Arc<Budget>,
    ) -> Result<(Bytes, Reserved), BodyFault> {
        if self
            .body
            .size_hint()
            .exact()
            .is_some_and(|n| n > max as u64)
        {
            return Err(BodyFault::TooLarge(max));
        }
        let mut reserved = Reserved::none(budget);
        let mut all = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await;
            match frame {
                None => return Ok((all.freeze(), reserved)),
                Some(Err(error)) => return Err(BodyFault::Upstream(error)),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if all.len() + data.len() > max {
                        return Err(BodyFault::TooLarge(max));
                    }
                    if !reserved.grow(data.len()) {
                        return Err(BodyFault::Crowded);
                    }
                    all.extend_from_slice(&data);
                }
            }
        }
    }
}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            // As in `converse`: only the driver feeds the body, so the body needs no waker of its own.
            let mut quiet = Context::from_waker(Waker::noop());
            let mut polled = Pin::new(&mut this.body).poll_frame(&mut quiet);
            if polled.is_pending()
                && let Some(connection) = &mut this.connection
            {
                connection.drive(cx);
                polled = Pin::new(&mut this.body).poll_frame(&mut quiet);
            }
            return match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    this.patience.renew();
                    if !frame.is_data() {
                        // Trailers are judged by nobody and forwarded to nobody.
                        continue;
                    }
                    if this.body.is_end_stream() {
                        this.finish();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(error))) => {
                    this.connection = None;
                    Poll::Ready(Some(Err(error.into())))
                }
                Poll::Ready(None) => {
                    this.finish();
                    Poll::Ready(None)
                }
                Poll::Pending if this.patience.poll_exhausted(cx) => {
                    this.connection = None;
                    Poll::Ready(Some(Err("the upstream stopped sending".into())))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // A response without content (204, 304, HEAD) is never polled.
        if self.body.is_end_stream() {
            self.finish();
        }
    }
}
