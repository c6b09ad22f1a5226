//! How far a job is, for a progress bar and for other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::Timestamp;
use serde::Serialize;

use crate::Problem;

/// Longest time between two calls of the callback while a job runs.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// A snapshot of a job's counters. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Octets read, as they lie on the disk (compressed) or came from the network.
    pub bytes_done: u64,
    /// Octets that there are; absent with live sources and standard input.
    pub bytes_total: Option<u64>,
    /// Packets read.
    pub packets: u64,
    /// Lines, rows and flow records read.
    pub records: u64,
    /// Packets that the kernel dropped because nobody fetched them in time.
    pub dropped: u64,
    /// Problems met.
    pub problems: u64,
    /// Files done.
    pub files_done: u64,
    /// Files that there are.
    pub files_total: u64,
    /// Time of the last packet.
    pub at: Option<Timestamp>,
    /// What is being read.
    pub source: String,
    /// Problems and events since the callback was last called; at most 64, the rest is only counted.
    pub news: Vec<Problem>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    progress: Mutex<Progress>,
}

/// Looks at a job, and ends it, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    /// Ends the job soon, within about a tenth of a second; what was read is reported.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Release);
    }

    /// Whether [`Watch::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    /// The last snapshot, without its news.
    pub fn progress(&self) -> Progress {
        let progress = self
            .shared
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Progress {
            news: Vec::new(),
            ..progress.clone()
        }
    }

    fn put(&self, progress: &Progress) {
        let mut held = self
            .shared
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.clone_from(progress);
    }
}

/// Calls the callback often enough, and not more often.
pub(crate) struct Meter<'p> {
    pub(crate) now: Progress,
    watch: Watch,
    callback: &'p mut dyn FnMut(&Progress),
    last: Instant,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(watch: Watch, callback: &'p mut dyn FnMut(&Progress)) -> Self {
        Self {
            now: Progress::default(),
            watch,
            callback,
            last: Instant::now(),
        }
    }

    /// Whether the job is to end. Calls the callback when it is time.
    pub(crate) fn pulse(&mut self) -> bool {
        // A quarter of the promise: a piece of work between two pulses takes time too.
        if self.last.elapsed() * 4 >= EVERY {
            self.show();
        }
        self.watch.is_cancelled()
    }

    /// Calls the callback.
    pub(crate) fn show(&mut self) {
        self.watch.put(&self.now);
        (self.callback)(&self.now);
        self.now.news.clear();
        self.last = Instant::now();
    }

    pub(crate) fn news(&mut self, problem: &Problem) {
        self.now.problems += 1;
        if self.now.news.len() < 64 {
            self.now.news.push(problem.clone());
        }
    }
}
