//! The stream of decisions: server-sent events, each a fragment of ready rows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use audit::Stored;
use bytes::Bytes;
use gateway::{Body, BoxError};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use policy::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Request, Shared, views};
use crate::form::Fields;
use crate::look;
use crate::reading;
use crate::reply::Refused;

/// Streams open at a time, over all people.
pub(super) const STREAMS_MAX: usize = 128;
/// Records on the first page.
pub(super) const ROWS_FIRST: usize = 120;
/// Records of one event; more in one beat are counted, not shown.
const ROWS_PER_BEAT: usize = 40;
/// The shortest time between two events, so that a busy hospital does not melt a browser.
const BEAT: Duration = Duration::from_millis(250);
/// Silence after which a comment says that the stream lives.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// That comment.
pub(super) const STILL_HERE: &[u8] = b": still here\n\n";
/// The event that says that the viewer may no longer look.
pub(super) const ENDED: &[u8] = b"event: ended\ndata: session\n\n";

/// Which records a viewer wants to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    outcome: String,
    application: String,
    unit: String,
}

impl Filter {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name: &str| {
            fields
                .get(name)
                .filter(|v| v.len() <= 200)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            outcome: text("outcome"),
            application: text("application"),
            unit: text("unit"),
        }
    }

    /// Whether a record is wanted.
    pub(super) fn keeps(&self, stored: &Stored, world: &Snapshot) -> bool {
        let outcome = reading::outcome(stored);
        let kind_fits = match self.outcome.as_str() {
            "" => !reading::is_companion(stored),
            "event" => outcome.is_none(),
            wanted => outcome.is_some_and(|o| o.as_str() == wanted),
        };
        let application_fits = match self.application.as_str() {
            "" => !reading::is_console(stored),
            "*" => true,
            wanted => reading::header_text(stored, "application") == Some(wanted),
        };
        kind_fits
            && application_fits
            && (self.unit.is_empty()
                || reading::person(stored)
                    .and_then(|p| world.person(&p).cloned())
                    .is_some_and(|p| p.units.iter().any(|u| u.as_str() == self.unit)))
    }

    pub(super) fn shown(
        self: &Filter,
        applications: Vec<String>,
        units: Vec<String>,
    ) -> views::Filters {
        views::Filters {
            outcome: self.outcome.clone(),
            application: self.application.clone(),
            unit: self.unit.clone(),
            applications,
            units,
        }
    }

    /// Where the stream of the same choice begins after `cursor`.
    pub(super) fn stream_address(&self, cursor: u64) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("outcome", &self.outcome)
            .append_pair("application", &self.application)
            .append_pair("unit", &self.unit)
            .append_pair("after", &cursor.to_string())
            .finish();
        format!("/decisions/stream?{query}")
    }
}

/// Opens a stream. It ends with the session, with the permit's time, and when the browser goes away.
pub(super) fn open(shared: &Arc<Shared>, request: &Request) -> Result<Response<Body>, Refused> {
    let seat = Seat::take(shared, request)?;
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<u64>().ok());
    // After an interruption the browser says itself what it saw last.
    let resumed = request
        .visit
        .request
        .headers()
        .get("last-event-id")
        .and_then(|v| v.to_str().ok());
    let cursor = number(resumed)
        .or_else(|| number(request.fields.get("after")))
        .unwrap_or(u64::MAX);
    let (sender, receiver) = mpsc::channel(4);
    let teller = Teller {
        filter: Filter::of(&request.fields),
        seat,
    };
    tokio::spawn(teller.tell(cursor, sender));
    Ok(respond(receiver))
}

/// The answer that carries events.
pub(super) fn respond(events: mpsc::Receiver<Bytes>) -> Response<Body> {
    let mut response = Response::new(Events(events).boxed_unsync());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A viewer of a stream, who may look for as long as the session and the permit last.
pub(super) struct Seat {
    shared: Arc<Shared>,
    session: Option<identity::Live>,
    until: Option<domain::Timestamp>,
    _slot: OwnedSemaphorePermit,
}

impl Seat {
    /// Takes one of [`STREAMS_MAX`] seats.
    pub(super) fn take(shared: &Arc<Shared>, request: &Request) -> Result<Self, Refused> {
        let slot = shared
            .streams
            .clone()
            .try_acquire_owned()
            .map_err(|_| Refused::TooOften(10))?;
        Ok(Self {
            shared: shared.clone(),
            session: request.visit.session.clone(),
            until: request
                .visit
                .permit
                .as_ref()
                .map(|p| p.permit().valid_until()),
            _slot: slot,
        })
    }

    /// Whether the viewer may no longer look.
    pub(super) fn over(&self) -> bool {
        let now = (self.shared.parts.clock)();
        self.session.as_ref().is_some_and(|s| !s.is_current(now))
            || self.until.is_some_and(|until| now > until)
    }
}

struct Teller {
    filter: Filter,
    seat: Seat,
}

impl Teller {
    async fn tell(self, cursor: u64, sender: mpsc::Sender<Bytes>) {
        let live = &self.seat.shared.parts.live;
        let mut news = live.watch();
        // A cursor from before a restart of this program lies ahead of everything there is.
        let mut cursor = cursor.min(live.since(u64::MAX).cursor);
        // The browser learns at once that the stream is open.
        if sender
            .send(Bytes::from_static(b"retry: 3000\n\n"))
            .await
            .is_err()
        {
            return;
        }
        loop {
            if self.seat.over() {
                let _ = sender.send(Bytes::from_static(ENDED)).await;
                return;
            }
            news.mark_unchanged();
            let batch = live.since(cursor);
            cursor = batch.cursor;
            if let Some(event) = self.event(&batch.seen, batch.missed, cursor)
                && sender.send(event).await.is_err()
            {
                return;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(BEAT) => {}
            }
            tokio::select! {
                () = sender.closed() => return,
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(SILENCE) => {
                    if sender.send(Bytes::from_static(STILL_HERE)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn event(&self, seen: &[Arc<Stored>], missed: u64, cursor: u64) -> Option<Bytes> {
        let world = self.seat.shared.parts.world.load();
        let wanted: Vec<&Arc<Stored>> = seen
            .iter()
            .filter(|s| self.filter.keeps(s, &world))
            .collect();
        let left_out = wanted.len().saturating_sub(ROWS_PER_BEAT);
        let skipped = missed + left_out as u64;
        if wanted.is_empty() && skipped == 0 {
            return None;
        }
        let rows = wanted[left_out..]
            .iter()
            .map(|s| reading::row(s, &world))
            .collect();
        let rows = look::joined(views::rows(rows, false).iter().map(views::row));
        // A line break would end the event's data.
        let data = rows.into_string().replace(['\n', '\r'], " ");
        let mut event = format!("id: {cursor}\nevent: rows\ndata: {data}\n\n");
        if skipped > 0 {
            event.push_str(&format!("event: skipped\ndata: {skipped}\n\n"));
        }
        Some(Bytes::from(event))
    }
}

/// The body that carries the events.
struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}
