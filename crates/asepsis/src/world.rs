//! The snapshot in which decisions are made, and the one way to change it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use policy::Snapshot;

/// The current snapshot. Readers take a pointer; writers take turns, change a structure-sharing copy and swap it in.
#[derive(Clone)]
pub(crate) struct World {
    cell: Arc<ArcSwap<Snapshot>>,
    turn: Arc<Mutex<()>>,
}

impl World {
    /// Starts with `snapshot`.
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            cell: Arc::new(ArcSwap::from_pointee(snapshot)),
            turn: Arc::default(),
        }
    }

    /// The cell that enforcement points read.
    pub(crate) fn cell(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.cell)
    }

    /// Changes the world; the next decision sees it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        // A panic in an earlier change left the published snapshot untouched.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.cell.load());
        change(&mut next);
        self.cell.store(Arc::new(next));
    }
}
