//! The one writer of a log folder.
//!
//! Three threads share the work. The *writer* takes batches of frames off the queue, writes each to the write-ahead
//! segment, syncs it and acknowledges. The *keeper* moves durable records into tiles and publishes checkpoints. The
//! *herald* tells subscribers. Those who append encode and hash on their own thread and then only hold the queue's lock
//! for the time that it takes to copy a frame.

mod ack;
mod book;
#[cfg(test)]
mod faulty;
mod health;
mod herald;
mod keeper;
mod open;
mod queue;
#[cfg(test)]
mod tests;
pub(crate) mod tiles;
mod writer;

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use domain::Timestamp;
use parking_lot::Mutex;

pub use self::ack::Pending;
pub use self::health::State;
pub use self::herald::SubscriptionId;
pub use self::open::OpenError;

use self::book::SharedBook;
use self::health::{Health, Part};
use self::herald::Herald;
use self::keeper::{Farewell, Keeper};
use self::queue::{Bounds, Queue};
use self::writer::{RETRY, Writer};
use crate::disk::{Disk, RealDisk};
use crate::entry::{Entry, Fresh, Kind, Unrecordable};
use crate::format::leaf::{self, HeaderWriter, PAYLOAD_BYTES_MAX, SALT_BYTES, write_object};
use crate::format::note::SigningKey;
use crate::format::wal::{begin_frame, finish_frame};

/// How a log is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the log, the first line of its checkpoints; fixed when the folder is created.
    pub origin: String,
    /// Under load, the least time from one commit to the next. A lone append never waits.
    pub commit_window: Duration,
    /// Records that may wait for the disk; more are refused at once.
    pub queue_max: usize,
    /// Bytes that may wait for the disk; more are refused at once.
    pub queue_bytes_max: usize,
    /// The longest time from a record's durability to a signed checkpoint over it.
    pub checkpoint_every: Duration,
    /// Size of a write-ahead segment once the log is busy. Segments begin small and grow.
    pub segment_bytes: u64,
    /// Bytes that all write-ahead segments together may take. Commits wait, or fail, beyond it.
    pub wal_bytes_max: u64,
    /// Where the signing key lies; by default `keys/NAME.key` beside the folder called `NAME`.
    pub key_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origin: "asepsis.local/audit".to_owned(),
            commit_window: Duration::from_millis(2),
            queue_max: 65_536,
            queue_bytes_max: 32 << 20,
            checkpoint_every: Duration::from_secs(1),
            segment_bytes: 64 << 20,
            wal_bytes_max: 256 << 20,
            key_file: None,
        }
    }
}

/// Why an append was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too much waits for the disk already.
    #[error("the audit queue is full")]
    QueueFull,
    /// The disk does not take the record.
    #[error("the audit log cannot be written: {0}")]
    Storage(Arc<str>),
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// The entry itself cannot be recorded.
    #[error(transparent)]
    Unrecordable(#[from] Unrecordable),
}

/// What opening found and repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records taken from the write-ahead segments because no checkpoint covered them yet. Zero after a close in good
    /// order.
    pub replayed: u64,
    /// Bytes of an unfinished, never acknowledged batch that were dropped.
    pub torn_bytes: u64,
}

/// A checkpoint as published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The log's name.
    pub origin: String,
    /// Records covered.
    pub size: u64,
    /// The root hash, in base64.
    pub root: String,
    /// The whole signed note, to be kept elsewhere and given to [`crate::verify`] later.
    pub note: String,
}

/// What the threads and the handles share.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    options: Options,
    disk: Arc<dyn Disk>,
    queue: Queue,
    book: SharedBook,
    herald: Arc<Herald>,
    health: Health,
    size: AtomicU64,
    checkpoint: Mutex<Arc<SignedCheckpoint>>,
}

impl Shared {
    /// Notes a durable batch that ends before record `end`.
    fn committed(&self, end: u64, bytes: u64) {
        self.size.store(end, Ordering::Release);
        self.book.committed(end, bytes, Instant::now());
    }
}

/// A handle on the writer of one log folder; clones share it. When the last one is dropped the log closes.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

/// Joins the threads when the last handle goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    recovery: Recovery,
    threads: Mutex<Threads>,
    /// Apart from the others: a subscriber may subscribe another one while the log closes.
    herald: Mutex<HeraldThread>,
}

#[derive(Debug, Default)]
struct Threads {
    writer: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    /// Held until everything is written.
    lock: Option<File>,
}

#[derive(Debug)]
enum HeraldThread {
    /// Nobody has subscribed yet.
    Wanting,
    Running(JoinHandle<()>),
    /// The log is closed.
    Ended,
}

impl Log {
    /// Opens the log in `dir` for writing: creates it if the folder is empty or missing, otherwise recovers every record
    /// that was ever acknowledged.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(dir, options, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let opened = open::open(dir, &options, &disk)?;
        let checkpoint = opened.tiles.checkpoint();
        let bounds = Bounds {
            records: options.queue_max,
            bytes: options.queue_bytes_max,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            disk,
            queue: Queue::new(bounds),
            book: SharedBook::default(),
            herald: Arc::default(),
            health: Health::default(),
            size: AtomicU64::new(opened.tip.next),
            checkpoint: Mutex::new(Arc::new(checkpoint)),
        });
        {
            let mut book = shared.book.lock();
            book.durable = opened.tip.next;
            book.published = opened.tip.next;
            book.sequence = opened.sequence;
        }
        let cannot_start = |source| OpenError::Io {
            place: dir.to_owned(),
            source,
        };
        let writer = Writer::new(Arc::clone(&shared), opened.tip)
            .map_err(|reason| cannot_start(std::io::Error::other(reason.to_string())))?;
        let keeper = Keeper::new(Arc::clone(&shared), opened.tiles);
        let keeper = {
            let farewell = Farewell(Arc::clone(&shared));
            let run = move || {
                let _farewell = farewell;
                keeper.run();
            };
            thread::Builder::new()
                .name("audit-keeper".into())
                .spawn(run)
                .map_err(cannot_start)?
        };
        let writer = {
            // Made here, so that the keeper learns of it if the thread cannot be had.
            let leaves = WriterLeaves(Arc::clone(&shared));
            let run = move || {
                let _leaves = leaves;
                writer.run();
            };
            thread::Builder::new()
                .name("audit-writer".into())
                .spawn(run)
                .map_err(cannot_start)?
        };
        let threads = Threads {
            writer: Some(writer),
            keeper: Some(keeper),
            lock: Some(opened.lock),
        };
        let owner = Owner {
            shared: Arc::clone(&shared),
            recovery: opened.recovery,
            threads: Mutex::new(threads),
            herald: Mutex::new(HeraldThread::Wanting),
        };
        Ok(Self {
            shared,
            owner: Arc::new(owner),
        })
    }

    /// Hands an entry to the writer; never blocks. The [`Pending`] resolves to the record's id once the record is
    /// durable.
    pub fn append(&self, entry: Entry) -> Pending {
        self.append_frame(
            entry.at,
            entry.kind,
            |out| write_object(&entry.header, out),
            |out| out.extend_from_slice(&entry.payload),
        )
    }

    /// The same for what is recorded often: header and payload are written to where they are hashed. `payload` appends
    /// to what is there; neither of the two may append to a log itself.
    pub fn append_written(
        &self,
        at: Timestamp,
        kind: Kind,
        header: impl FnOnce(&mut HeaderWriter<'_>),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Pending {
        self.append_frame(at, kind, |out| HeaderWriter::write(header, out), payload)
    }

    fn append_frame(
        &self,
        at: Timestamp,
        kind: Kind,
        header: impl FnOnce(&mut Vec<u8>),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Pending {
        SCRATCH.with_borrow_mut(|scratch| match scratch.frame(at, kind, header, payload) {
            Ok(frame) => self.shared.queue.push(frame),
            Err(why) => Pending::refused(why),
        })
    }

    /// Whether the log can do its work.
    pub fn state(&self) -> State {
        self.shared.health.state()
    }

    /// Durable records.
    pub fn size(&self) -> u64 {
        self.shared.size.load(Ordering::Acquire)
    }

    /// The newest published checkpoint.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        SignedCheckpoint::clone(&self.shared.checkpoint.lock())
    }

    /// Puts all records that are durable now under a checkpoint, and blocks until that is published.
    pub fn publish(&self) -> Result<SignedCheckpoint, Unavailable> {
        let shared = &self.shared;
        let mut book = shared.book.lock();
        let target = book.durable;
        if book.keeper_gone && book.published < target {
            return Err(Unavailable::Closed);
        }
        if book.published < target {
            book.asked += 1;
            let ticket = book.asked;
            shared.book.wake_keeper();
            while book.answered < ticket && !book.keeper_gone {
                shared.book.wait(&mut book, RETRY);
            }
            if book.published < target {
                let reason = book.last_fault.clone();
                return Err(reason.map_or(Unavailable::Closed, Unavailable::Storage));
            }
        }
        drop(book);
        Ok(self.checkpoint())
    }

    /// What opening found and repaired.
    pub fn recovery(&self) -> Recovery {
        self.owner.recovery
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Calls `f` for each record after it has become durable, in order, on a thread of the log's own. Subscribers that
    /// are too slow for long miss records; nobody else waits for them.
    pub fn subscribe(&self, f: Box<dyn Fn(&Fresh<'_>) + Send + Sync>) -> SubscriptionId {
        let mut thread = self.owner.herald.lock();
        if matches!(*thread, HeraldThread::Wanting) {
            let herald = Arc::clone(&self.shared.herald);
            let spawned = thread::Builder::new()
                .name("audit-herald".into())
                .spawn(move || herald.run());
            match spawned {
                Ok(handle) => *thread = HeraldThread::Running(handle),
                Err(error) => {
                    tracing::error!(%error, "cannot start the thread that tells audit subscribers")
                }
            }
        }
        drop(thread);
        self.shared.herald.subscribe(Arc::from(f))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.shared.herald.unsubscribe(id);
    }

    /// Commits what waits, publishes a last checkpoint and stops. Other handles find the log closed.
    pub fn close(self) {
        self.owner.stop();
    }
}

/// A log that nobody writes, held against others.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its records, all under the checkpoint.
    pub(crate) size: u64,
    /// Its signing key.
    pub(crate) key: SigningKey,
    _lock: File,
}

/// Opens a log without starting to write it.
pub(crate) fn open_for_pruning(
    dir: &Path,
    options: &Options,
    disk: &Arc<dyn Disk>,
) -> Result<Held, OpenError> {
    let opened = open::open(dir, options, disk)?;
    Ok(Held {
        size: opened.tip.next,
        key: opened.tiles.into_key(),
        _lock: opened.lock,
    })
}

/// Tells everybody when the writer leaves, in good order or not.
#[derive(Debug)]
struct WriterLeaves(Arc<Shared>);

impl Drop for WriterLeaves {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason: Arc<str> = "the writer of the audit log stopped".into();
            self.0.health.fails(Part::Commits, &reason);
            self.0.queue.abandon(&reason);
        }
        self.0.book.lock().writer_gone = true;
        self.0.book.wake_keeper();
    }
}

impl Owner {
    fn stop(&self) {
        let mut threads = self.threads.lock();
        self.shared.queue.close();
        join(threads.writer.take());
        join(threads.keeper.take());
        threads.lock = None;
        drop(threads);
        self.shared.herald.close();
        let herald = std::mem::replace(&mut *self.herald.lock(), HeraldThread::Ended);
        if let HeraldThread::Running(handle) = herald {
            join(Some(handle));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(handle: Option<JoinHandle<()>>) {
    let Some(handle) = handle else { return };
    // A subscriber may hold the last handle: its thread cannot wait for itself.
    let own: ThreadId = thread::current().id();
    if handle.thread().id() != own {
        // The panic of a thread was reported where it happened, and its part of the state says that it is gone.
        let _ = handle.join();
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// Salts drawn at a time: random bytes cost mostly per call.
const SALTS: usize = 64;
/// A buffer that has grown beyond this is not kept.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// A thread's buffers for encoding.
struct Scratch {
    frame: Vec<u8>,
    salts: [[u8; SALT_BYTES]; SALTS],
    salts_left: usize,
}

impl Scratch {
    const fn new() -> Self {
        Self {
            frame: Vec::new(),
            salts: [[0; SALT_BYTES]; SALTS],
            salts_left: 0,
        }
    }

    fn salt(&mut self) -> Result<[u8; SALT_BYTES], Unavailable> {
        if self.salts_left == 0 {
            aws_lc_rs::rand::fill(self.salts.as_flattened_mut())
                .map_err(|_| Unavailable::Storage("the system gives no random bytes".into()))?;
            self.salts_left = SALTS;
        }
        self.salts_left -= 1;
        Ok(std::mem::take(&mut self.salts[self.salts_left]))
    }

    /// The write-ahead frame of a record.
    fn frame(
        &mut self,
        at: Timestamp,
        kind: Kind,
        header: impl FnOnce(&mut Vec<u8>),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<&[u8], Unavailable> {
        let salt = self.salt()?;
        if self.frame.capacity() > SCRATCH_BYTES_MAX {
            self.frame = Vec::new();
        }
        let salted = begin_frame(&mut self.frame, &salt, payload);
        let bytes = salted.len().saturating_sub(SALT_BYTES);
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Unrecordable::PayloadTooBig {
                bytes,
                max: PAYLOAD_BYTES_MAX,
            }
            .into());
        }
        let commitment = leaf::commitment_of_salted(salted);
        finish_frame(&mut self.frame, |out| {
            leaf::encode_with(at, kind, header, &commitment, out)
        })?;
        Ok(&self.frame)
    }
}
