//! What the writer and the keeper tell each other about the write-ahead segments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::disk::DiskFile;

/// Durable bytes after which the keeper starts to move records without waiting for the next checkpoint.
const DIGEST_BYTES: u64 = 2 << 20;

/// A segment that holds records.
#[derive(Clone, Debug)]
pub(super) struct BookSegment {
    /// Its file within the folder.
    pub(super) name: String,
    /// Its place among the segments.
    pub(super) order: u64,
    /// Its size on disk.
    pub(super) bytes: u64,
    /// The record after its last durable one.
    pub(super) end: u64,
    /// The byte after its last durable batch.
    pub(super) end_offset: u64,
}

/// A segment filled with zeros and made durable, ready for use.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) file: Box<dyn DiskFile>,
}

/// The state that both threads share. The writer owns what commits change, the keeper what publications change.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// In order; the last is the one being written.
    pub(super) segments: VecDeque<BookSegment>,
    /// Bytes of all segments on disk, the spare one included.
    pub(super) wal_bytes: u64,
    pub(super) spare: Option<Spare>,
    /// The size of the spare segment that the writer would like next.
    pub(super) spare_wanted: Option<u64>,
    /// Number of the next segment file.
    pub(super) sequence: u64,
    /// Records that are durable.
    pub(super) durable: u64,
    /// Records under the newest checkpoint.
    pub(super) published: u64,
    /// Durable bytes that were not moved yet.
    pub(super) undigested_bytes: u64,
    /// When the oldest record became durable that no checkpoint covers.
    pub(super) waiting_since: Option<Instant>,
    /// Publications asked for and answered.
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// What became of the last publication.
    pub(super) last_fault: Option<Arc<str>>,
    /// Set when the writer is done and only a last publication is left.
    pub(super) writer_gone: bool,
    /// Set when the keeper is gone.
    pub(super) keeper_gone: bool,
}

/// What the keeper is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Prepare a segment of this size.
    Spare(u64),
    /// Move records into tiles.
    Digest,
    /// Move records into tiles and publish a checkpoint.
    Publish,
    /// The same, and then end.
    Finish,
}

/// The book, with the means to wait for its other side.
#[derive(Debug, Default)]
pub(super) struct SharedBook {
    book: Mutex<Book>,
    keeper: Condvar,
    others: Condvar,
}

impl SharedBook {
    pub(super) fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// Wakes the keeper.
    pub(super) fn wake_keeper(&self) {
        self.keeper.notify_one();
    }

    /// Wakes whoever waits for the keeper.
    pub(super) fn wake_others(&self) {
        self.others.notify_all();
    }

    /// Waits for the keeper to change something.
    pub(super) fn wait(&self, book: &mut MutexGuard<'_, Book>, at_most: Duration) {
        self.others.wait_for(book, at_most);
    }

    /// Notes a durable batch.
    pub(super) fn committed(&self, end: u64, bytes: u64, now: Instant) {
        let mut book = self.book.lock();
        book.durable = end;
        book.undigested_bytes += bytes;
        if let Some(segment) = book.segments.back_mut() {
            segment.end = end;
            segment.end_offset += bytes;
        }
        let first = book.waiting_since.is_none();
        if first {
            book.waiting_since = Some(now);
        }
        // The keeper sleeps without a deadline while nothing waits.
        if first
            || (book.undigested_bytes >= DIGEST_BYTES
                && book.undigested_bytes - bytes < DIGEST_BYTES)
        {
            drop(book);
            self.keeper.notify_one();
        }
    }

    /// Waits for the keeper's next job. Nothing is tried before `rest_until`, except to finish or to answer.
    pub(super) fn next_job(&self, every: Duration, rest_until: Option<Instant>) -> Job {
        let mut book = self.book.lock();
        loop {
            let now = Instant::now();
            let resting = rest_until.is_some_and(|until| now < until);
            if book.writer_gone {
                return Job::Finish;
            }
            if book.asked > book.answered {
                return Job::Publish;
            }
            let due = book.waiting_since.map(|since| since + every);
            if !resting {
                if let (Some(bytes), None) = (book.spare_wanted, &book.spare) {
                    return Job::Spare(bytes);
                }
                if due.is_some_and(|due| due <= now) {
                    return Job::Publish;
                }
                if book.undigested_bytes >= DIGEST_BYTES {
                    return Job::Digest;
                }
            }
            let wake = match (due, rest_until.filter(|_| resting)) {
                (_, Some(until)) => Some(until),
                (due, None) => due,
            };
            match wake {
                Some(instant) => {
                    self.keeper.wait_until(&mut book, instant);
                }
                None => self.keeper.wait(&mut book),
            }
        }
    }
}
