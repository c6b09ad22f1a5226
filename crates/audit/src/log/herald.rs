//! The herald thread: tells subscribers of records that have become durable.
//!
//! It stands apart from the writer and the keeper, so that a slow subscriber delays nobody but the other subscribers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use domain::RecordId;
use parking_lot::{Condvar, Mutex};

use crate::entry::Fresh;
use crate::format::leaf::SALT_BYTES;
use crate::format::wal::Batch;

/// Bytes that may wait for slow subscribers; beyond them they miss records, which are in the log all the same.
const BACKLOG_BYTES: usize = 16 << 20;

/// Names one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(u64);

type Callback = Arc<dyn Fn(&Fresh<'_>) + Send + Sync>;

#[derive(Default)]
struct Waiting {
    batches: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    missed: u64,
    closed: bool,
}

/// The subscribers and what they are to be told.
#[derive(Default)]
pub(super) struct Herald {
    subscribers: Mutex<Vec<(SubscriptionId, Callback)>>,
    count: AtomicUsize,
    next_id: AtomicU64,
    waiting: Mutex<Waiting>,
    work: Condvar,
}

impl fmt::Debug for Herald {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Herald")
            .field("subscribers", &self.count)
            .finish_non_exhaustive()
    }
}

impl Herald {
    pub(super) fn subscribe(&self, callback: Callback) -> SubscriptionId {
        let id = SubscriptionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut subscribers = self.subscribers.lock();
        subscribers.push((id, callback));
        self.count.store(subscribers.len(), Ordering::Release);
        id
    }

    pub(super) fn unsubscribe(&self, id: SubscriptionId) {
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|(other, _)| *other != id);
        self.count.store(subscribers.len(), Ordering::Release);
    }

    /// Takes a durable batch if anybody wants it; gives its buffer back otherwise.
    pub(super) fn offer(&self, first: u64, batch: Vec<u8>) -> Option<Vec<u8>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Some(batch);
        }
        let mut waiting = self.waiting.lock();
        if waiting.closed || waiting.bytes + batch.len() > BACKLOG_BYTES {
            waiting.missed += 1;
            return Some(batch);
        }
        waiting.bytes += batch.len();
        waiting.batches.push_back((first, batch));
        drop(waiting);
        self.work.notify_one();
        None
    }

    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_one();
    }

    /// Tells subscribers until closed; what waits then is still told.
    pub(super) fn run(&self) {
        loop {
            let (first, batch, missed) = {
                let mut waiting = self.waiting.lock();
                loop {
                    if let Some((first, batch)) = waiting.batches.pop_front() {
                        waiting.bytes -= batch.len();
                        break (first, batch, std::mem::take(&mut waiting.missed));
                    }
                    if waiting.closed {
                        return;
                    }
                    self.work.wait(&mut waiting);
                }
            };
            if missed > 0 {
                tracing::warn!(
                    batches = missed,
                    "audit subscribers are too slow and missed records"
                );
            }
            let subscribers: Vec<Callback> = self
                .subscribers
                .lock()
                .iter()
                .map(|(_, f)| Arc::clone(f))
                .collect();
            let Some(batch) = Batch::parse_own(&batch) else {
                continue;
            };
            for (index, frame) in (first..).zip(batch.frames()) {
                let fresh = Fresh {
                    id: RecordId(index),
                    leaf: frame.leaf(),
                    payload: frame.salted.get(SALT_BYTES..).unwrap_or_default(),
                };
                for subscriber in &subscribers {
                    subscriber(&fresh);
                }
            }
        }
    }
}
