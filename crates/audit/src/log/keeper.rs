//! The keeper thread: moves durable records from the write-ahead segments into tiles, publishes checkpoints, removes
//! segments that are no longer needed and prepares the next one.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::book::{BookSegment, Job};
use super::health::Part;
use super::tiles::{Tiles, WriteFault};
use super::writer::{RETRY, cannot_write, make_segment};
use crate::format::wal::{BLOCK, Batch, BatchHead};

/// Segments are read in steps of this size.
const STEP_BYTES: u64 = 2 << 20;

/// Up to where records were moved.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    order: u64,
    offset: u64,
}

/// The keeper's own state.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    tiles: Tiles,
    cursor: Cursor,
    /// The cursor as of the newest checkpoint.
    published: Cursor,
    reading: Option<(u64, File)>,
    rest_until: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, tiles: Tiles) -> Self {
        Self {
            shared,
            tiles,
            cursor: Cursor::default(),
            published: Cursor::default(),
            reading: None,
            rest_until: None,
        }
    }

    /// Works until the writer is gone and a last checkpoint is published or has failed.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let job = shared
                .book
                .next_job(shared.options.checkpoint_every, self.rest_until);
            self.rest_until = None;
            match job {
                Job::Spare(bytes) => self.prepare_spare(bytes),
                Job::Digest => {
                    if let Err(reason) = self.digest() {
                        self.fail(&reason);
                    }
                }
                Job::Publish => self.publish(),
                Job::Finish => {
                    self.publish();
                    self.clear();
                    return;
                }
            }
        }
    }

    fn prepare_spare(&mut self, bytes: u64) {
        {
            let mut book = self.shared.book.lock();
            if book.wal_bytes + bytes > self.shared.options.wal_bytes_max {
                // The writer makes one of its own when it needs it, and waits for room.
                book.spare_wanted = None;
                return;
            }
        }
        match make_segment(&self.shared, bytes) {
            Ok(spare) => {
                let mut book = self.shared.book.lock();
                book.spare = Some(spare);
                book.spare_wanted = None;
                drop(book);
                self.shared.health.works(Part::Spare);
            }
            Err(reason) => {
                self.shared.health.fails(Part::Spare, &reason);
                self.rest_until = Some(Instant::now() + RETRY);
            }
        }
    }

    fn publish(&mut self) {
        let asked = self.shared.book.lock().asked;
        let outcome = self
            .digest()
            .and_then(|()| self.tiles.publish().map_err(|e| self.reason(&e)));
        match outcome {
            Ok(checkpoint) => {
                let size = checkpoint.size;
                *self.shared.checkpoint.lock() = Arc::new(checkpoint);
                self.published = self.cursor;
                let removed = {
                    let mut book = self.shared.book.lock();
                    book.published = size;
                    book.waiting_since = (book.durable > size).then(Instant::now);
                    book.answered = asked;
                    book.last_fault = None;
                    take_finished(&mut book.segments, size)
                };
                let mut freed = 0;
                for segment in removed {
                    // A segment that stays behind is found and removed when the log is opened the next time.
                    let _ = self
                        .shared
                        .disk
                        .remove(&self.shared.dir.join(&segment.name));
                    freed += segment.bytes;
                }
                self.shared.book.lock().wal_bytes -= freed;
                self.shared.health.works(Part::Tiles);
            }
            Err(reason) => {
                self.fail(&reason);
                let mut book = self.shared.book.lock();
                book.answered = asked;
                book.last_fault = Some(reason);
            }
        }
        self.shared.book.wake_others();
    }

    fn fail(&mut self, reason: &Arc<str>) {
        self.shared.health.fails(Part::Tiles, reason);
        self.tiles.roll_back();
        self.cursor = self.published;
        self.rest_until = Some(Instant::now() + RETRY);
    }

    fn reason(&self, fault: &WriteFault) -> Arc<str> {
        let name = fault
            .place
            .strip_prefix(&self.shared.dir)
            .unwrap_or(&fault.place);
        cannot_write(&name.to_string_lossy(), &fault.source)
    }

    /// Moves all durable records into tiles, without making them durable there.
    fn digest(&mut self) -> Result<(), Arc<str>> {
        let segments: Vec<BookSegment> = {
            let mut book = self.shared.book.lock();
            book.undigested_bytes = 0;
            book.segments
                .iter()
                .filter(|s| s.order >= self.cursor.order)
                .cloned()
                .collect()
        };
        for segment in segments {
            if segment.order > self.cursor.order {
                self.cursor = Cursor {
                    order: segment.order,
                    offset: BLOCK as u64,
                };
            }
            while self.cursor.offset < segment.end_offset {
                self.step(&segment)?;
            }
        }
        Ok(())
    }

    /// Moves some whole batches of a segment.
    fn step(&mut self, segment: &BookSegment) -> Result<(), Arc<str>> {
        let cannot_read = |e: io::Error| Arc::from(format!("cannot read `{}`: {e}", segment.name));
        let bad = || cannot_read(io::Error::from(io::ErrorKind::InvalidData));
        if self
            .reading
            .as_ref()
            .is_none_or(|(order, _)| *order != segment.order)
        {
            let file = File::open(self.shared.dir.join(&segment.name)).map_err(cannot_read)?;
            self.reading = Some((segment.order, file));
        }
        let Some((_, file)) = &self.reading else {
            return Err(bad());
        };
        let left = segment.end_offset - self.cursor.offset;
        let mut bytes = vec![0; usize::try_from(left.min(STEP_BYTES)).map_err(|_| bad())?];
        file.read_exact_at(&mut bytes, self.cursor.offset)
            .map_err(cannot_read)?;
        let first_span = BatchHead::parse(&bytes).ok_or_else(bad)?.span();
        if first_span > bytes.len() {
            if first_span as u64 > left {
                return Err(bad());
            }
            bytes.resize(first_span, 0);
            file.read_exact_at(&mut bytes, self.cursor.offset)
                .map_err(cannot_read)?;
        }
        let mut rest = bytes.as_slice();
        while let Some(batch) = Batch::parse_own(rest) {
            let Some(tail) = rest.get(batch.head.span()..) else {
                break;
            };
            // After a failure the cursor starts at a segment's first batch, which may lie below the checkpoint.
            for (index, frame) in (batch.head.first..).zip(batch.frames()) {
                match index.cmp(&self.tiles.size()) {
                    Ordering::Less => {}
                    Ordering::Equal => self.tiles.take(&frame).map_err(|e| self.reason(&e))?,
                    Ordering::Greater => return Err(bad()),
                }
            }
            self.cursor.offset += batch.head.span() as u64;
            rest = tail;
        }
        Ok(())
    }

    /// Removes all segments after a last publication that covers them.
    fn clear(&mut self) {
        let mut book = self.shared.book.lock();
        if book.last_fault.is_none() && book.published == book.durable {
            let spare = book.spare.take().map(|s| s.name);
            let names: Vec<String> = book
                .segments
                .drain(..)
                .map(|s| s.name)
                .chain(spare)
                .collect();
            drop(book);
            for name in names {
                let _ = self.shared.disk.remove(&self.shared.dir.join(name));
            }
        }
    }
}

/// Says that the keeper is gone, however it went.
#[derive(Debug)]
pub(super) struct Farewell(pub(super) Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let mut book = self.0.book.lock();
        book.keeper_gone = true;
        if std::thread::panicking() {
            self.0
                .health
                .fails(Part::Tiles, &"the keeper of the audit log stopped".into());
        }
        drop(book);
        self.0.book.wake_others();
    }
}

/// Takes the segments that hold nothing beyond `published`, but for the one being written.
fn take_finished(
    segments: &mut std::collections::VecDeque<BookSegment>,
    published: u64,
) -> Vec<BookSegment> {
    let mut finished = Vec::new();
    while segments.len() > 1 && segments.front().is_some_and(|s| s.end <= published) {
        finished.extend(segments.pop_front());
    }
    finished
}
