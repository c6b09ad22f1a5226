//! Bodies: what endpoints answer with, what goes to an upstream, what comes from a client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::guard::Watch;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A body that is known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body without content.
pub fn empty() -> Body {
    http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Why reading a client's body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the request body stopped arriving")]
    Idle,
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the gateway is reading too many large bodies at once")]
    Crowded,
    #[error("the framing of the request body is in doubt: {0}")]
    Framing(&'static str),
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the response body broke off")]
    Upstream(#[source] BoxError),
}

/// A timer that is created when it is first needed and reset without work while its owner makes progress.
pub(crate) struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    /// Progress was made: the wait starts anew.
    pub(crate) fn renew(&mut self) {
        self.sleep = None;
    }

    /// Whether it is exhausted.
    pub(crate) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        self.sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)))
            .as_mut()
            .poll(cx)
            .is_ready()
    }
}

/// A request body as it comes from a client: bounded in idle time, checked for framing faults, without trailers.
pub(crate) struct ClientBody {
    inner: Incoming,
    patience: Patience,
    watch: Arc<Watch>,
    /// Told when the body has come to its end.
    drained: Arc<AtomicBool>,
}

/// Lets the road of a request know whether the client's body was read to its end.
pub(crate) struct Drained(Option<Arc<AtomicBool>>);

impl Drained {
    pub(crate) fn yes(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|drained| drained.load(Ordering::Acquire))
    }
}

impl ClientBody {
    /// The body of a request; `None` if it has none.
    pub(crate) fn new(
        inner: Incoming,
        idle: Duration,
        watch: &Arc<Watch>,
    ) -> (Option<Self>, Drained) {
        if inner.is_end_stream() {
            return (None, Drained(None));
        }
        let drained = Arc::new(AtomicBool::new(false));
        let body = Self {
            inner,
            patience: Patience::new(idle),
            watch: watch.clone(),
            drained: drained.clone(),
        };
        (Some(body), Drained(Some(drained)))
    }

    /// Reads the body whole, up to `max` bytes.
    pub(crate) async fn read_whole(
        mut self,
        max: usize,
        budget: &Arc<Budget>,
    ) -> Result<(Bytes, Option<Reserved>), BodyFault> {
        let known = HttpBody::size_hint(&self.inner).exact();
        if known.is_some_and(|n| n > max as u64) {
            return Err(BodyFault::TooLarge(max));
        }
        let mut reserved = Reserved::none(budget);
        let mut first: Option<Bytes> = None;
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > max {
                return Err(BodyFault::TooLarge(max));
            }
            if !reserved.grow(data.len()) {
                return Err(BodyFault::Crowded);
            }
            match first.take() {
                None if all.is_empty() => first = Some(data),
                None => all.extend_from_slice(&data),
                Some(one) => {
                    all.extend_from_slice(&one);
                    all.extend_from_slice(&data);
                }
            }
        }
        Ok((first.unwrap_or_else(|| all.freeze()), Some(reserved)))
    }
}

impl HttpBody for ClientBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        loop {
            if let Some(taint) = this.watch.taint() {
                return Poll::Ready(Some(Err(BodyFault::Framing(taint.code()))));
            }
            return match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.patience.renew();
                    if frame.is_trailers() {
                        // What comes after a body was not judged.
                        continue;
                    }
                    if this.inner.is_end_stream() {
                        this.drained.store(true, Ordering::Release);
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyFault::Broken(error)))),
                Poll::Ready(None) => {
                    this.drained.store(true, Ordering::Release);
                    Poll::Ready(None)
                }
                Poll::Pending if this.patience.poll_exhausted(cx) => {
                    Poll::Ready(Some(Err(BodyFault::Idle)))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a request to an upstream.
pub(crate) enum Outgoing {
    Empty,
    Whole(Option<Bytes>),
    Streamed(Box<ClientBody>),
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Streamed(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// How many bytes all bodies that are read whole may occupy together.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(max),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

/// A share of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reserved {
    pub(crate) fn none(budget: &Arc<Budget>) -> Self {
        Self {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// Takes more; `false` if the budget is exhausted.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}
