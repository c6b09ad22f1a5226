//! How those who append learn that their record is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use domain::RecordId;
use parking_lot::{Condvar, Mutex};

use super::Unavailable;

/// The fate of all records of one batch.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// The id of the batch's first record, once it is durable.
    outcome: OnceLock<Result<u64, Unavailable>>,
    waiting: Mutex<Waiting>,
    blocked: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Waker>,
    blocked: usize,
}

impl Acks {
    /// Tells everybody who waits. Only the first call counts.
    pub(super) fn resolve(&self, outcome: Result<u64, Unavailable>) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let (wakers, blocked) = {
            let mut waiting = self.waiting.lock();
            (std::mem::take(&mut waiting.wakers), waiting.blocked)
        };
        if blocked > 0 {
            self.blocked.notify_all();
        }
        for waker in wakers {
            waker.wake();
        }
    }

    fn outcome(&self, position: u32) -> Option<Result<RecordId, Unavailable>> {
        let outcome = self.outcome.get()?;
        Some(
            outcome
                .clone()
                .map(|first| RecordId(first + u64::from(position))),
        )
    }
}

/// Sees to it that a batch is resolved even if the thread that carries it dies.
#[derive(Debug)]
pub(super) struct AckGuard(pub(super) Arc<Acks>);

impl Drop for AckGuard {
    fn drop(&mut self) {
        self.0
            .resolve(Err(Unavailable::Storage("the writer stopped".into())));
    }
}

/// An append under way. Resolves to the record's id once the record is durable, as a future of any runtime or by
/// [`Pending::wait`].
#[derive(Debug)]
#[must_use = "a record counts only once this has resolved"]
pub struct Pending(Kind);

#[derive(Debug)]
enum Kind {
    Refused(Unavailable),
    Waiting {
        acks: Arc<Acks>,
        position: u32,
        /// Where the waker of an earlier poll stands.
        registered: Option<usize>,
    },
}

impl Pending {
    pub(super) fn refused(why: Unavailable) -> Self {
        Self(Kind::Refused(why))
    }

    pub(super) fn waiting(acks: Arc<Acks>, position: u32) -> Self {
        Self(Kind::Waiting {
            acks,
            position,
            registered: None,
        })
    }

    /// Why there will be no record, if that is known already.
    pub fn fault(&self) -> Option<Unavailable> {
        match &self.0 {
            Kind::Refused(why) => Some(why.clone()),
            Kind::Waiting { acks, .. } => acks.outcome.get()?.as_ref().err().cloned(),
        }
    }

    /// Blocks until the record is durable or refused.
    pub fn wait(self) -> Result<RecordId, Unavailable> {
        let (acks, position) = match self.0 {
            Kind::Refused(why) => return Err(why),
            Kind::Waiting { acks, position, .. } => (acks, position),
        };
        let mut waiting = acks.waiting.lock();
        waiting.blocked += 1;
        loop {
            // Looked at under the lock: `resolve` sets the outcome before it takes the lock to wake.
            if let Some(outcome) = acks.outcome(position) {
                waiting.blocked -= 1;
                return outcome;
            }
            acks.blocked.wait(&mut waiting);
        }
    }
}

impl Future for Pending {
    type Output = Result<RecordId, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (acks, position, registered) = match &mut self.0 {
            Kind::Refused(why) => return Poll::Ready(Err(why.clone())),
            Kind::Waiting {
                acks,
                position,
                registered,
            } => (acks, *position, registered),
        };
        if let Some(outcome) = acks.outcome(position) {
            return Poll::Ready(outcome);
        }
        let mut waiting = acks.waiting.lock();
        if let Some(outcome) = acks.outcome(position) {
            return Poll::Ready(outcome);
        }
        match registered.and_then(|place| waiting.wakers.get_mut(place)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                *registered = Some(waiting.wakers.len());
                waiting.wakers.push(cx.waker().clone());
            }
        }
        Poll::Pending
    }
}
