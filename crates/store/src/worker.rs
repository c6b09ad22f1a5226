//! The thread that owns the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::open::Opened;
use crate::{Call, ErrorKind, StoreError};

/// Calls that wait at a time; one more is answered that the store is busy.
const QUEUE_MAX: usize = 4096;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub(crate) struct Worker {
    path: PathBuf,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(path: &Path, opened: Opened) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(opened, &queue))
            .map_err(|e| StoreError::new(path, e.into()))?;
        Ok(Self {
            path: path.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in a transaction of its own, which stands only if it returns `Ok`.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ErrorKind> + Send + 'static,
    ) -> Call<T> {
        self.call_or_else(work, || {})
    }

    /// The same, and runs `failed` before the answer is given unless the work is on disk.
    pub(crate) fn call_or_else<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ErrorKind> + Send + 'static,
        failed: impl FnOnce() + Send + 'static,
    ) -> Call<T> {
        let (call, reply) = Call::new();
        let path = self.path.clone();
        // A job that is never run, because the queue is full or the thread gone, has failed too.
        let mut failed = OnDrop(Some(failed));
        let job: Job = Box::new(move |connection| {
            let answer = attempt(connection, work);
            if answer.is_ok() {
                failed.0 = None;
            }
            drop(failed);
            reply.send(answer.map_err(|kind| StoreError::new(&path, kind)));
        });
        let sent = match &self.jobs {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        match sent {
            Ok(()) => call,
            Err(refused) => {
                let kind = match &refused {
                    TrySendError::Full(_) => ErrorKind::Busy,
                    TrySendError::Disconnected(_) => ErrorKind::Closed,
                };
                drop(refused);
                let (call, reply) = Call::new();
                reply.send(Err(StoreError::new(&self.path, kind)));
                call
            }
        }
    }
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

impl Drop for Worker {
    /// Everything that was called is done first.
    fn drop(&mut self) {
        drop(self.jobs.take());
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A job that drops the last handle runs on the thread itself, which cannot wait for its own end.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

fn run(opened: Opened, queue: &Receiver<Job>) {
    let Opened {
        mut connection,
        claim,
    } = opened;
    while let Ok(job) = queue.recv() {
        job(&mut connection);
    }
    if let Err((_, error)) = connection.close() {
        tracing::error!(error = %error, "the store was not closed cleanly");
    }
    drop(claim); // only after the connection, whose locks would go with it
}

fn attempt<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, ErrorKind>,
) -> Result<T, ErrorKind> {
    catch_unwind(AssertUnwindSafe(|| {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        let value = work(&transaction)?; // on `Err`, and on a panic, the transaction rolls back as it is dropped
        transaction.commit()?;
        Ok(value)
    }))
    .unwrap_or_else(|_| {
        Err(ErrorKind::Other(
            "a fault in the program; nothing was changed".into(),
        ))
    })
}
