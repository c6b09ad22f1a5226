//! Bodies on their way to the client: they end when the session does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use audit::Kind;
use bytes::Bytes;
use domain::{RecordId, Timestamp};
use http_body::{Body as HttpBody, Frame, SizeHint};
use identity::Live;

use crate::body::BoxError;
use crate::gateway::Shared;
use crate::guard::Active;
use crate::record::stream_header;
use crate::streams::{End, Lease, is_lost};

/// A response body of a judged application.
pub(crate) struct Released<B> {
    inner: B,
    shared: Arc<Shared>,
    live: Live,
    until: Timestamp,
    /// The first piece follows the decision at once; those after it look again.
    begun: bool,
    stream: Option<Stream>,
    /// Keeps the connection from counting as idle while the body lasts.
    _active: Active,
}

/// What an event stream has beyond an ordinary body: it is cut the moment its session ends, and its end is recorded.
struct Stream {
    lease: Lease,
    ending: Ending,
}

/// Writes the record of a stream's end when it is dropped.
pub(crate) struct Ending {
    shared: Arc<Shared>,
    live: Live,
    application: String,
    decision: RecordId,
    what: &'static str,
    end: End,
    bytes_in: u64,
    bytes_out: u64,
}

impl Ending {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        live: &Live,
        application: &str,
        decision: RecordId,
        what: &'static str,
    ) -> Self {
        Self {
            shared: shared.clone(),
            live: live.clone(),
            application: application.to_owned(),
            decision,
            what,
            end: End::Closed,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Records how the stream ended and how much it carried.
    pub(crate) fn finish(mut self, end: End, bytes_in: u64, bytes_out: u64) {
        self.end = end;
        self.bytes_in = bytes_in;
        self.bytes_out = bytes_out;
    }

    /// Records the opening; the stream may begin once this is durable.
    pub(crate) async fn opened(&self) -> Result<RecordId, audit::Unavailable> {
        let header = stream_header(
            Some(self.live.id()),
            &self.application,
            self.decision,
            self.what,
        );
        self.shared
            .recorder
            .append(self.shared.now(), Kind::StreamOpened, header, Vec::new())
            .await
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut header = stream_header(
            Some(self.live.id()),
            &self.application,
            self.decision,
            self.what,
        );
        header.insert("end".to_owned(), self.end.code().into());
        header.insert("bytes_in".to_owned(), self.bytes_in.into());
        header.insert("bytes_out".to_owned(), self.bytes_out.into());
        // The stream is over whether or not its end can be recorded; the log's own state tells of a failure.
        drop(self.shared.recorder.append(
            self.shared.now(),
            Kind::StreamClosed,
            header,
            Vec::new(),
        ));
    }
}

impl<B> Released<B> {
    pub(crate) fn new(
        inner: B,
        shared: &Arc<Shared>,
        live: &Live,
        until: Timestamp,
        active: Active,
    ) -> Self {
        Self {
            inner,
            shared: shared.clone(),
            live: live.clone(),
            until,
            begun: false,
            stream: None,
            _active: active,
        }
    }

    /// Makes it an event stream whose opening is on record.
    pub(crate) fn streaming(mut self, ending: Ending) -> Self {
        let lease = self
            .shared
            .streams
            .open(&self.live, self.until, self.shared.clock.clone());
        self.stream = Some(Stream { lease, ending });
        self
    }
}

impl<B> HttpBody for Released<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(stream) = &mut this.stream
            && let Poll::Ready(end) = stream.lease.poll_over(cx)
        {
            stream.ending.end = end;
            return Poll::Ready(Some(Err(
                "the session that opened this stream is over".into()
            )));
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if this.begun {
                    let now = this.shared.now();
                    if now >= this.until || is_lost(&this.live, now) {
                        return Poll::Ready(Some(Err("the session is over".into())));
                    }
                }
                this.begun = true;
                if let (Some(stream), Some(data)) = (&mut this.stream, frame.data_ref()) {
                    stream.ending.bytes_out += data.len() as u64;
                }
            }
            Poll::Ready(Some(Err(_))) => {
                if let Some(stream) = &mut this.stream {
                    stream.ending.end = End::Failed;
                }
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
