//! What waits for the writer: frames gathered into batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Unavailable;
use super::ack::{Acks, Pending};
use crate::format::wal::BLOCK;

/// A batch that has grown to this many bytes is closed and the next one begun, which bounds the time that a commit
/// takes on a slow disk.
const BATCH_BYTES: usize = 1 << 20;
/// Emptied buffers kept for the next batches.
const SPARE_BUFFERS: usize = 4;

/// A batch being gathered: room for its head, then frames.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
    pub(super) acks: Arc<Acks>,
}

/// Bounds on what may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Gathered>,
    buffers: Vec<Vec<u8>>,
    /// Records and bytes from `push` until `done`.
    records: usize,
    bytes: usize,
    /// Set while the writer sleeps for want of work, so that the next `push` wakes it.
    idle: bool,
    closed: bool,
    /// Set while the disk takes nothing: appends are refused at once instead of waiting for the next attempt.
    refusing: Option<Arc<str>>,
}

/// The queue between those who append and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    bounds: Bounds,
}

/// What the writer is woken for.
#[derive(Debug)]
pub(super) enum Work {
    /// A batch to commit.
    Batch(Gathered),
    /// The time given has passed without one.
    Timeout,
    /// The queue is closed and empty.
    Closed,
}

/// How the writer waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// No commit before this instant, unless a batch is full.
    pub(super) not_before: Option<Instant>,
    /// Return without work after this long.
    pub(super) at_most: Option<Duration>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            waiting: Mutex::default(),
            work: Condvar::new(),
            bounds,
        }
    }

    /// Adds one frame.
    pub(super) fn push(&self, frame: &[u8]) -> Pending {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Pending::refused(Unavailable::Closed);
        }
        if let Some(reason) = &waiting.refusing {
            return Pending::refused(Unavailable::Storage(Arc::clone(reason)));
        }
        if waiting.records >= self.bounds.records
            || waiting.bytes.saturating_add(frame.len()) > self.bounds.bytes
        {
            return Pending::refused(Unavailable::QueueFull);
        }
        waiting.records += 1;
        waiting.bytes += frame.len();
        let begin = waiting
            .batches
            .back()
            .is_none_or(|last| last.bytes.len() >= BATCH_BYTES);
        if begin {
            let mut bytes = waiting.buffers.pop().unwrap_or_default();
            bytes.clear();
            bytes.resize(BLOCK, 0);
            waiting.batches.push_back(Gathered {
                bytes,
                count: 0,
                acks: Arc::default(),
            });
        }
        // INVARIANT: a batch was pushed just now if there was none.
        let Some(last) = waiting.batches.back_mut() else {
            return Pending::refused(Unavailable::Closed);
        };
        last.bytes.extend_from_slice(frame);
        let pending = Pending::waiting(Arc::clone(&last.acks), last.count);
        last.count += 1;
        let full = last.bytes.len() >= BATCH_BYTES;
        if std::mem::take(&mut waiting.idle) || full {
            drop(waiting);
            self.work.notify_one();
        }
        pending
    }

    /// Waits for the next batch.
    pub(super) fn take(&self, patience: Patience) -> Work {
        let deadline = patience.at_most.map(|d| Instant::now() + d);
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(first) = waiting.batches.front() {
                let hurry = waiting.closed || first.bytes.len() >= BATCH_BYTES;
                match patience.not_before {
                    Some(instant) if !hurry && Instant::now() < instant => {
                        // Appends do not wake the writer here, which is what makes them cheap under load.
                        self.work.wait_until(&mut waiting, instant);
                        continue;
                    }
                    Some(_) | None => {}
                }
                if let Some(batch) = waiting.batches.pop_front() {
                    return Work::Batch(batch);
                }
            }
            if waiting.closed {
                return Work::Closed;
            }
            waiting.idle = true;
            match deadline {
                None => self.work.wait(&mut waiting),
                Some(deadline) => {
                    if self.work.wait_until(&mut waiting, deadline).timed_out()
                        && waiting.batches.is_empty()
                    {
                        waiting.idle = false;
                        return Work::Timeout;
                    }
                }
            }
        }
    }

    /// Ends a batch's time in the queue, and keeps its buffer if there is one.
    pub(super) fn done(&self, records: u32, frame_bytes: usize, buffer: Option<Vec<u8>>) {
        let mut waiting = self.waiting.lock();
        waiting.records = waiting
            .records
            .saturating_sub(usize::try_from(records).unwrap_or(usize::MAX));
        waiting.bytes = waiting.bytes.saturating_sub(frame_bytes);
        if let Some(buffer) = buffer
            && waiting.buffers.len() < SPARE_BUFFERS
            && buffer.capacity() <= 4 * BATCH_BYTES
        {
            waiting.buffers.push(buffer);
        }
    }

    /// From now on refuses appends with this reason, or takes them again.
    pub(super) fn refuse(&self, reason: Option<Arc<str>>) {
        self.waiting.lock().refusing = reason;
    }

    /// Takes no more appends; those that wait are still committed.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_all();
    }

    /// Takes no more appends and resolves those that wait: the writer is gone.
    pub(super) fn abandon(&self, reason: &Arc<str>) {
        let batches = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.batches)
        };
        for batch in batches {
            batch
                .acks
                .resolve(Err(Unavailable::Storage(Arc::clone(reason))));
        }
    }
}
