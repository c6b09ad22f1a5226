//! The writer thread: commits batches to the write-ahead segment.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::Unavailable;
use super::ack::AckGuard;
use super::book::{BookSegment, Spare};
use super::health::Part;
use super::queue::{Gathered, Patience, Work};
use crate::disk::{Disk, DiskFile};
use crate::format::folder::{WAL, segment_path};
use crate::format::tree::Hash;
use crate::format::wal::{BLOCK, SegmentHead, seal_batch};

/// How long the disk is left alone after a failure.
pub(super) const RETRY: Duration = Duration::from_millis(200);
/// The size of a log's first segment.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// After a segment that was filled in less than this, the next one is twice as large, within the bound of the options.
const BUSY_SPAN: Duration = Duration::from_secs(10);
/// Zeros are written this many at a time.
const ZEROS: usize = 1 << 20;

/// The segment being written.
#[derive(Debug)]
struct Active {
    name: String,
    file: Box<dyn DiskFile>,
    bytes: u64,
    offset: u64,
}

/// Where the log continues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    /// The next record.
    pub(super) next: u64,
    /// The digest of the last batch.
    pub(super) digest: Hash,
    /// The order of the last segment.
    pub(super) order: u64,
}

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    tip: Tip,
    active: Option<Active>,
    /// Whether the last segment was given up because a write to it failed.
    abandoned: bool,
    segment_bytes: u64,
    segment_begun: Option<Instant>,
    /// Why the last commit failed, and when to try again.
    broken: Option<(Arc<str>, Instant)>,
}

impl Writer {
    /// A writer with its first segment in place.
    pub(super) fn new(shared: Arc<Shared>, tip: Tip) -> Result<Self, Arc<str>> {
        let segment_bytes = FIRST_SEGMENT_BYTES.min(shared.options.segment_bytes);
        let mut writer = Self {
            shared,
            tip,
            active: None,
            abandoned: false,
            segment_bytes,
            segment_begun: None,
            broken: None,
        };
        writer.start_segment(0)?;
        Ok(writer)
    }

    /// Commits batches until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut not_before = None;
        loop {
            let at_most = self.broken.is_some().then_some(RETRY);
            match shared.queue.take(Patience {
                not_before,
                at_most,
            }) {
                Work::Batch(batch) => {
                    let (started, company) = (Instant::now(), batch.count > 1);
                    self.handle(batch);
                    // A lone append is committed at once. Where several come at a time, commits keep a distance, so
                    // that each of them carries more.
                    not_before = company.then(|| started + shared.options.commit_window);
                }
                Work::Timeout => self.try_to_recover(),
                Work::Closed => return,
            }
        }
    }

    fn handle(&mut self, batch: Gathered) {
        let Gathered {
            mut bytes,
            count,
            acks,
        } = batch;
        let guard = AckGuard(acks);
        let frame_bytes = bytes.len() - BLOCK;
        let outcome = match &self.broken {
            Some((reason, retry_at)) if Instant::now() < *retry_at => Err(Arc::clone(reason)),
            Some(_) | None => self.commit(&mut bytes, count),
        };
        let buffer = match outcome {
            Ok(first) => {
                let buffer = self.shared.herald.offer(first, bytes);
                self.shared.queue.done(count, frame_bytes, buffer);
                guard.0.resolve(Ok(first));
                return;
            }
            Err(reason) => {
                guard.0.resolve(Err(Unavailable::Storage(reason)));
                Some(bytes)
            }
        };
        self.shared.queue.done(count, frame_bytes, buffer);
    }

    /// Makes a batch durable and returns its first record.
    fn commit(&mut self, bytes: &mut Vec<u8>, count: u32) -> Result<u64, Arc<str>> {
        let first = self.tip.next;
        let digest = seal_batch(bytes, first, count, &self.tip.digest);
        let mut written = self.write(bytes);
        if written.is_err() && self.active.is_none() && self.broken.is_none() {
            // The segment is given up; a fresh one may do. Nothing of this batch was acknowledged, so that it counts
            // once wherever it ends up.
            written = self.write(bytes);
        }
        match written {
            Ok(()) => {
                self.tip.next = first + u64::from(count);
                self.tip.digest = digest;
                self.abandoned = false;
                self.works();
                self.shared.committed(self.tip.next, bytes.len() as u64);
                Ok(first)
            }
            Err(reason) => {
                self.fails(&reason);
                Err(reason)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Arc<str>> {
        let span = bytes.len() as u64;
        if self
            .active
            .as_ref()
            .is_none_or(|a| a.offset + span > a.bytes)
        {
            self.start_segment(span)?;
        }
        let Some(active) = &mut self.active else {
            return Err("no write-ahead segment".into());
        };
        // A record in a file without a name would be gone with this process: looked at before it is acknowledged.
        let written = active
            .file
            .write_at(active.offset, bytes)
            .and_then(|()| active.file.sync_data())
            .and_then(|()| active.file.check_linked());
        match written {
            Ok(()) => {
                active.offset += span;
                Ok(())
            }
            Err(e) => {
                // After a failed sync the kernel may hold pages for clean that never reached the disk: nothing more
                // may be built on this file.
                let reason = cannot_write(&active.name, &e);
                self.active = None;
                self.abandoned = true;
                Err(reason)
            }
        }
    }

    /// Puts a fresh segment with room for `span` bytes in place.
    fn start_segment(&mut self, span: u64) -> Result<(), Arc<str>> {
        let needed = BLOCK as u64 + span;
        let spare = self.shared.book.lock().spare.take();
        let spare = match spare {
            Some(spare) if spare.bytes >= needed && spare.file.check_linked().is_ok() => spare,
            other => {
                if let Some(unfit) = other {
                    self.discard(unfit);
                }
                let bytes = self
                    .segment_bytes
                    .min(FIRST_SEGMENT_BYTES)
                    .max(needed.next_multiple_of(4096));
                self.wait_for_room(bytes)?;
                make_segment(&self.shared, bytes)?
            }
        };
        let head = SegmentHead {
            first: self.tip.next,
            previous: self.tip.digest,
            order: self.tip.order + 1,
            abandoned: self.abandoned,
        };
        // Not synced here: the first batch's sync covers it, and without that batch the segment says nothing.
        if let Err(e) = spare.file.write_at(0, &head.encode()) {
            let reason = cannot_write(&spare.name, &e);
            self.discard(spare);
            return Err(reason);
        }
        self.tip.order += 1;
        self.active = Some(Active {
            name: spare.name.clone(),
            file: spare.file,
            bytes: spare.bytes,
            offset: BLOCK as u64,
        });
        // Large segments for a busy log, small ones for a quiet one, where readers step over many small batches.
        let quick = self
            .segment_begun
            .replace(Instant::now())
            .is_some_and(|begun| begun.elapsed() < BUSY_SPAN);
        let bytes = if quick {
            self.segment_bytes * 2
        } else {
            self.segment_bytes / 2
        };
        self.segment_bytes = bytes
            .max(FIRST_SEGMENT_BYTES)
            .min(self.shared.options.segment_bytes);
        let mut book = self.shared.book.lock();
        book.segments.push_back(BookSegment {
            name: spare.name,
            order: head.order,
            bytes: spare.bytes,
            end: self.tip.next,
            end_offset: BLOCK as u64,
        });
        book.spare_wanted = Some(self.segment_bytes);
        drop(book);
        self.shared.book.wake_keeper();
        Ok(())
    }

    /// Waits until a segment of `bytes` may be made without passing the bound; that takes the keeper's help.
    fn wait_for_room(&self, bytes: u64) -> Result<(), Arc<str>> {
        let shared = &self.shared;
        let mut book = shared.book.lock();
        loop {
            // With nothing left to move, the bound is smaller than what a single batch needs.
            let last_resort = book.published == book.durable && book.segments.len() <= 1;
            if book.wal_bytes + bytes <= shared.options.wal_bytes_max || last_resort {
                return Ok(());
            }
            if let Some(reason) = shared.health.reason(Part::Tiles) {
                return Err(format!("the write-ahead segments are full: {reason}").into());
            }
            if book.keeper_gone {
                return Err("the write-ahead segments are full".into());
            }
            if book.asked == book.answered {
                book.asked += 1;
                shared.book.wake_keeper();
            }
            shared.book.wait(&mut book, RETRY);
        }
    }

    fn discard(&self, spare: Spare) {
        let gone = match self.shared.disk.remove(&self.shared.dir.join(&spare.name)) {
            Ok(()) => true,
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        if gone {
            self.shared.book.lock().wal_bytes -= spare.bytes;
        }
    }

    fn try_to_recover(&mut self) {
        // A fresh segment in any case: the old one is either given up or has no room.
        match self.start_segment(0) {
            Ok(()) => self.works(),
            Err(reason) => self.fails(&reason),
        }
    }

    fn fails(&mut self, reason: &Arc<str>) {
        self.shared.health.fails(Part::Commits, reason);
        self.shared.queue.refuse(Some(Arc::clone(reason)));
        self.broken = Some((Arc::clone(reason), Instant::now() + RETRY));
    }

    fn works(&mut self) {
        if self.broken.take().is_some() {
            self.shared.queue.refuse(None);
            self.shared.health.works(Part::Commits);
        }
    }
}

pub(super) fn cannot_write(name: &str, e: &io::Error) -> Arc<str> {
    format!("cannot write `{name}`: {e}").into()
}

/// Makes a segment filled with zeros that is durable, its name included.
pub(super) fn make_segment(shared: &Shared, bytes: u64) -> Result<Spare, Arc<str>> {
    let sequence = {
        let mut book = shared.book.lock();
        book.sequence += 1;
        book.wal_bytes += bytes;
        book.sequence
    };
    let name = segment_path(sequence);
    let path = shared.dir.join(&name);
    let made = fill(shared.disk.as_ref(), &path, bytes)
        .and_then(|file| shared.disk.sync_dir(&shared.dir.join(WAL)).map(|()| file));
    match made {
        Ok(file) => Ok(Spare { name, bytes, file }),
        Err(e) => {
            let _ = shared.disk.remove(&path);
            shared.book.lock().wal_bytes -= bytes;
            Err(cannot_write(&name, &e))
        }
    }
}

fn fill(disk: &dyn Disk, path: &std::path::Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(path, true)?;
    let zeros = vec![0; ZEROS.min(usize::try_from(bytes).unwrap_or(ZEROS))];
    let mut offset = 0;
    while offset < bytes {
        let step = (bytes - offset).min(zeros.len() as u64);
        file.write_at(offset, &zeros[..usize::try_from(step).unwrap_or(0)])?;
        offset += step;
    }
    file.sync_data()?;
    Ok(file)
}
