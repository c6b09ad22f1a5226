//! Whether the log can do its work, put together from what each of its parts reports.

use std::sync::Arc;

use parking_lot::Mutex;

/// Whether the log can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Ok,
    /// Something fails, and the text says what and where. Appends may still be acknowledged for as long as a prepared
    /// write-ahead segment has room: each [`super::Pending`] tells. The log goes on trying and returns to
    /// [`State::Ok`] by itself.
    Failing(Arc<str>),
}

/// The parts that can fail on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Committing batches.
    Commits,
    /// Writing tiles and checkpoints.
    Tiles,
    /// Preparing the next write-ahead segment.
    Spare,
}

#[derive(Debug, Default)]
struct Reasons {
    commits: Option<Arc<str>>,
    tiles: Option<Arc<str>>,
    spare: Option<Arc<str>>,
}

impl Reasons {
    fn of(&mut self, part: Part) -> &mut Option<Arc<str>> {
        match part {
            Part::Commits => &mut self.commits,
            Part::Tiles => &mut self.tiles,
            Part::Spare => &mut self.spare,
        }
    }
}

/// What fails at the moment.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Reasons>);

impl Health {
    pub(super) fn state(&self) -> State {
        let reasons = self.0.lock();
        let reason = reasons
            .commits
            .as_ref()
            .or(reasons.tiles.as_ref())
            .or(reasons.spare.as_ref());
        reason.map_or(State::Ok, |r| State::Failing(Arc::clone(r)))
    }

    /// Notes that a part fails; says it in the program's log once.
    pub(super) fn fails(&self, part: Part, reason: &Arc<str>) {
        let before = self.0.lock().of(part).replace(Arc::clone(reason));
        if before.as_ref() != Some(reason) {
            tracing::error!(?part, %reason, "the audit log is failing");
        }
    }

    /// Notes that a part works.
    pub(super) fn works(&self, part: Part) {
        let before = self.0.lock().of(part).take();
        if before.is_some() {
            tracing::info!(?part, "the audit log has recovered");
        }
    }

    /// Why a part fails, if it does.
    pub(super) fn reason(&self, part: Part) -> Option<Arc<str>> {
        self.0.lock().of(part).clone()
    }
}
