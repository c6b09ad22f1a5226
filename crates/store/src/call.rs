//! The answer to a call, whether one awaits it or waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::StoreError;

/// Work handed to the store's thread. It is done even if nobody waits for it; a failure that nobody waits for is logged.
#[must_use = "wait for it, await it, or say with `forget` that only the log shall hear of a failure"]
pub struct Call<T> {
    slot: Arc<Slot<T>>,
}

struct Slot<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

struct State<T> {
    answer: Option<Result<T, StoreError>>,
    waker: Option<Waker>,
    /// Whether the call was dropped: nobody will look at the answer.
    forgotten: bool,
}

/// The worker's end of a call. Dropping it unanswered answers that the store was closed.
pub(crate) struct Reply<T> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Call<T> {
    pub(crate) fn new() -> (Self, Reply<T>) {
        let slot = Arc::new(Slot {
            state: Mutex::new(State {
                answer: None,
                waker: None,
                forgotten: false,
            }),
            answered: Condvar::new(),
        });
        let reply = Reply {
            slot: Some(Arc::clone(&slot)),
        };
        (Self { slot }, reply)
    }

    /// Waits on this thread. Not for async code.
    pub fn wait(self) -> Result<T, StoreError> {
        let mut state = self.slot.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            state = self
                .slot
                .answered
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leaves the work to itself.
    pub fn forget(self) {}
}

impl<T> Future for Call<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        state.forgotten = true;
        if let Some(Err(error)) = state.answer.take() {
            log_forgotten(&error);
        }
    }
}

impl<T> Reply<T> {
    pub(crate) fn send(mut self, answer: Result<T, StoreError>) {
        if let Some(slot) = self.slot.take() {
            slot.answer(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.answer(Err(closed()));
        }
    }
}

impl<T> Slot<T> {
    fn answer(&self, answer: Result<T, StoreError>) {
        let mut state = self.lock();
        match answer {
            Err(error) if state.forgotten => log_forgotten(&error),
            answer => state.answer = Some(answer),
        }
        let waker = state.waker.take();
        drop(state);
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing here panics while it holds the lock, and the state is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> StoreError {
    StoreError::new(std::path::Path::new(""), crate::ErrorKind::Closed)
}

fn log_forgotten(error: &StoreError) {
    tracing::error!(error = %error, "a write to the store failed and nobody waited for it");
}
