//! Streams that outlive their request's decision: they end when the session does, or when the permit's time is over.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use domain::{SessionId, Timestamp};
use identity::Live;
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::Clock;

/// The streams that are open now, by session.
#[derive(Default)]
pub(crate) struct Streams {
    open: Mutex<HashMap<SessionId, Vec<Arc<Cut>>>>,
}

#[derive(Default)]
struct Cut {
    done: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cut {
    fn cut(&self) {
        self.done.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    fn poll_done(&self, cx: &mut Context<'_>) -> bool {
        if self.done.load(Ordering::Acquire) {
            return true;
        }
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // Whoever cut between the first look and the waker's arrival found no waker to wake.
        self.done.load(Ordering::Acquire)
    }
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// One of its sides closed it.
    Closed,
    /// The session ended.
    SessionEnded,
    /// The permit's time, or the session's, is over.
    Expired,
    /// Nothing moved for too long.
    Idle,
    /// A side failed.
    Failed,
}

impl End {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::SessionEnded => "session-ended",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::Failed => "failed",
        }
    }
}

impl Streams {
    /// Registers a stream of the session that may run until `until`.
    pub(crate) fn open(self: &Arc<Self>, live: &Live, until: Timestamp, clock: Clock) -> Lease {
        let cut = Arc::new(Cut::default());
        self.open
            .lock()
            .entry(live.id().clone())
            .or_default()
            .push(cut.clone());
        Lease {
            streams: self.clone(),
            live: live.clone(),
            cut,
            until,
            clock,
            tick: None,
        }
    }

    /// Cuts every stream of a session.
    pub(crate) fn end(&self, session: &SessionId) {
        let cuts = self.open.lock().remove(session);
        for cut in cuts.into_iter().flatten() {
            cut.cut();
        }
    }

    /// Cuts every stream.
    pub(crate) fn end_all(&self) {
        let all = std::mem::take(&mut *self.open.lock());
        for cut in all.into_values().flatten() {
            cut.cut();
        }
    }

    /// Streams open now.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().values().map(Vec::len).sum()
    }
}

/// A registered stream's right to go on.
pub(crate) struct Lease {
    streams: Arc<Streams>,
    live: Live,
    cut: Arc<Cut>,
    until: Timestamp,
    clock: Clock,
    tick: Option<Pin<Box<Sleep>>>,
}

/// The injected clock is looked at no less often than this, so that a clock that is set is noticed.
const TICK_MAX: Duration = Duration::from_secs(1);

impl Lease {
    /// Whether the stream must end now, and why.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.cut.poll_done(cx) {
            return Poll::Ready(End::SessionEnded);
        }
        loop {
            let now = (self.clock)();
            // The session may have ended before this lease was entered, and an epoch moves without telling anybody.
            if is_lost(&self.live, now) {
                return Poll::Ready(End::SessionEnded);
            }
            let left = self.until.since(now);
            if left.is_zero() {
                return Poll::Ready(End::Expired);
            }
            let tick = self.tick.get_or_insert_with(|| {
                Box::pin(tokio::time::sleep(
                    left.min(TICK_MAX).max(Duration::from_millis(1)),
                ))
            });
            if tick.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.tick = None;
        }
    }

    /// Waits until the stream must end.
    pub(crate) async fn over(&mut self) -> End {
        poll_fn(|cx| self.poll_over(cx)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session = self.live.id();
        let mut open = self.streams.open.lock();
        if let Some(cuts) = open.get_mut(session) {
            cuts.retain(|c| !Arc::ptr_eq(c, &self.cut));
            if cuts.is_empty() {
                open.remove(session);
            }
        }
    }
}

/// Whether a session no longer carries what was opened under it: it is over, or an epoch of it moved. A step-up only
/// replaces its cookies.
pub(crate) fn is_lost(live: &Live, now: Timestamp) -> bool {
    if live.is_current(now) {
        return false;
    }
    live.end_cause().is_some() || live.is_live(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Aal, Authentication, Purpose};
    use identity::{Audience, Sessions};

    fn at(ms: i64) -> Clock {
        Arc::new(move || Timestamp::from_millis(ms))
    }

    fn live(sessions: &Sessions) -> Live {
        let now = Timestamp::from_millis(0);
        let proof = Authentication {
            level: Aal::Aal2,
            phishing_resistant: true,
            at: now,
            last_active: now,
        };
        let (_, secret) = sessions.start("somebody".into(), None, proof, Purpose::Treat, now);
        sessions
            .resolve(&secret.reveal(), &Audience::Access, now)
            .expect("just started")
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_session_and_no_other() {
        let sessions = Sessions::new(identity::Limits::default());
        let streams = Arc::new(Streams::default());
        let cut = streams.clone();
        sessions.on_end(move |ended| cut.end(&ended.session));
        let (one, two) = (live(&sessions), live(&sessions));
        let mut first = streams.open(&one, Timestamp::FOREVER, at(0));
        let mut second = streams.open(&two, Timestamp::FOREVER, at(0));
        assert_eq!(streams.count(), 2);
        sessions.end(one.id());
        assert_eq!(first.over().await, End::SessionEnded);
        let still = tokio::time::timeout(Duration::from_millis(20), second.over()).await;
        assert!(still.is_err(), "the other session goes on");
        drop((first, second));
        assert_eq!(streams.count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn a_stream_that_opens_after_its_session_ended_ends_at_once() {
        let sessions = Sessions::new(identity::Limits::default());
        let streams = Arc::new(Streams::default());
        let live = live(&sessions);
        sessions.end(live.id());
        let mut lease = streams.open(&live, Timestamp::FOREVER, at(0));
        assert_eq!(lease.over().await, End::SessionEnded);
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_time_is_over() {
        let sessions = Sessions::new(identity::Limits::default());
        let streams = Arc::new(Streams::default());
        let mut lease = streams.open(&live(&sessions), Timestamp::from_millis(5), at(6));
        assert_eq!(lease.over().await, End::Expired);
    }
}
