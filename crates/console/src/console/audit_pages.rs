//! The audit pages: the state of the log, its verification, its checkpoint, proofs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use audit::State;
use domain::RecordId;
use gateway::Clock;
use http::StatusCode;
use parking_lot::Mutex;

use super::views::{self, AuditPage, Verification};
use super::{Request, Shared, blocking, number, page};
use crate::reply::{self, Answer, Refused};

/// Runs one verification of the log at a time, on a thread of its own, and remembers what came of it.
#[derive(Debug)]
pub(super) struct Verifier {
    state: Mutex<Verification>,
    done: AtomicU64,
    all: AtomicU64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            state: Mutex::new(Verification::None),
            done: AtomicU64::new(0),
            all: AtomicU64::new(0),
        }
    }
}

impl Verifier {
    /// How it stands.
    pub(super) fn state(&self) -> Verification {
        match &*self.state.lock() {
            Verification::Running(_, _) => Verification::Running(
                self.done.load(Ordering::Relaxed),
                self.all.load(Ordering::Relaxed),
            ),
            other => other.clone(),
        }
    }

    /// Starts one unless one runs.
    fn start(self: &Arc<Self>, dir: PathBuf, clock: Clock) -> Result<(), Refused> {
        let before = {
            let mut state = self.state.lock();
            if matches!(*state, Verification::Running(_, _)) {
                return Ok(());
            }
            self.done.store(0, Ordering::Relaxed);
            self.all.store(0, Ordering::Relaxed);
            std::mem::replace(&mut *state, Verification::Running(0, 0))
        };
        let this = self.clone();
        // A thread of its own: the program may end while it still reads.
        let started = std::thread::Builder::new()
            .name("audit-verify".to_owned())
            .spawn(move || this.run(&dir, &clock));
        if started.is_err() {
            *self.state.lock() = before;
            return Err(Refused::Unavailable);
        }
        Ok(())
    }

    fn run(&self, dir: &std::path::Path, clock: &Clock) {
        // However this thread ends, the next verification must be able to begin.
        let mut guard = Unfinished {
            of: self,
            result: Some(Verification::Fault {
                place: "the verification itself".to_owned(),
                what: "it broke off before it was done; start it again and report it if it breaks off again"
                    .to_owned(),
                at: clock(),
            }),
        };
        let outcome = audit::verify(dir, None, &mut |done, all| {
            self.done.store(done, Ordering::Relaxed);
            self.all.store(all, Ordering::Relaxed);
        });
        guard.result = Some(match outcome {
            Ok(sound) => Verification::Sound {
                size: sound.size,
                root: sound.root,
                pruned: sound.pruned,
                at: clock(),
            },
            Err(fault) => Verification::Fault {
                place: fault.place,
                what: fault.what,
                at: clock(),
            },
        });
    }
}

struct Unfinished<'a> {
    of: &'a Verifier,
    result: Option<Verification>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            *self.of.state.lock() = result;
        }
    }
}

pub(super) async fn route(
    shared: &Arc<Shared>,
    request: &Request,
    rest: &[&str],
) -> Result<Answer, Refused> {
    match rest {
        [] => Ok(overview(shared, request, None, StatusCode::OK)),
        ["verification"] => Ok(reply::page(
            StatusCode::OK,
            views::verification(&request.setting(), &shared.verifier.state()),
            &[],
        )),
        ["verify"] => {
            // Looking is all it does, but it takes the disk for a while: only our own page may ask.
            let whom = request.session.as_ref().map_or("", |s| s.as_str());
            shared.tokens.check(whom, request.fields.get("token"))?;
            shared
                .verifier
                .start(shared.parts.log_dir.clone(), shared.parts.clock.clone())?;
            Ok(reply::see_other("/audit"))
        }
        ["checkpoint"] => {
            let checkpoint = shared.parts.log.checkpoint();
            let name = format!("asepsis-checkpoint-{}.txt", checkpoint.size);
            Ok(reply::text(
                checkpoint.note,
                "text/plain; charset=utf-8",
                Some(&name),
            ))
        }
        ["proof"] => {
            let record = request.fields.get("record").unwrap_or_default().trim();
            match number(record) {
                Ok(record) => proof(shared, request, record, false).await,
                Err(_) => Ok(overview(
                    shared,
                    request,
                    Some("A record number consists of digits only."),
                    StatusCode::BAD_REQUEST,
                )),
            }
        }
        ["proof", record] => proof(shared, request, number(record)?, false).await,
        ["proof", record, "text"] => proof(shared, request, number(record)?, true).await,
        _ => Err(Refused::NotFound),
    }
}

fn overview(shared: &Shared, request: &Request, told: Option<&str>, status: StatusCode) -> Answer {
    let checkpoint = shared.parts.log.checkpoint();
    let failing = match shared.parts.log.state() {
        State::Ok => None,
        State::Failing(why) => Some(why),
    };
    let mut answer = page(views::audit(
        &request.setting(),
        &AuditPage {
            size: shared.parts.log.size(),
            origin: &checkpoint.origin,
            checkpoint_size: checkpoint.size,
            root: &checkpoint.root,
            failing: failing.as_deref(),
            verification: &shared.verifier.state(),
            told,
        },
    ));
    *answer.status_mut() = status;
    answer
}

async fn proof(
    shared: &Arc<Shared>,
    request: &Request,
    record: u64,
    as_file: bool,
) -> Result<Answer, Refused> {
    let dir = shared.parts.log_dir.clone();
    let proven = blocking(move || audit::prove(&dir, RecordId(record))).await?;
    match proven {
        Ok(proof) if as_file => Ok(reply::text(
            proof.text,
            "text/plain; charset=utf-8",
            Some(&format!("asepsis-record-{record}.tlog-proof")),
        )),
        Ok(proof) => Ok(page(views::proof(
            &request.setting(),
            RecordId(record),
            &proof.text,
        ))),
        Err(error) => Ok(overview(
            shared,
            request,
            Some(&format!("No proof of record {record}: {error}.")),
            StatusCode::NOT_FOUND,
        )),
    }
}
