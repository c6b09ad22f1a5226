//! Assertions signed a moment ago.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use domain::{Aal, ApplicationId, PersonId, Role, SessionId, Timestamp};
use parking_lot::Mutex;

use super::ASSERTION_REUSE;

const SHARDS: usize = 16;

/// Sessions in one shard; a full one drops what is too old, and everything if nothing is.
const SESSIONS_PER_SHARD_MAX: usize = 4096;

/// Applications of one session.
const PER_SESSION_MAX: usize = 64;

/// What the text of an assertion depends on, besides session, audience and time.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) person: PersonId,
    pub(super) level: Aal,
    pub(super) phishing_resistant: bool,
    pub(super) at: Timestamp,
    pub(super) epoch: (u64, u64),
    pub(super) roles: Vec<Role>,
}

struct Made {
    audience: ApplicationId,
    about: About,
    at: Timestamp,
    token: Arc<str>,
}

type Shard = Mutex<HashMap<SessionId, Vec<Made>>>;

pub(super) struct Cache {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Shard::default()),
        }
    }

    pub(super) fn get_or_make(
        &self,
        session: &SessionId,
        audience: &ApplicationId,
        about: About,
        now: Timestamp,
        make: impl FnOnce(&About) -> Arc<str>,
    ) -> Arc<str> {
        let shard = self.shard(session);
        if let Some(made) = shard
            .lock()
            .get(session)
            .and_then(|of| of.iter().find(|made| made.audience == *audience))
            && made.fresh(now)
            && made.about == about
        {
            return Arc::clone(&made.token);
        }
        // Signed without the lock: two requests at once may both sign, which costs less than one waiting for the other.
        let token = make(&about);
        let mut held = shard.lock();
        if held.len() >= SESSIONS_PER_SHARD_MAX && !held.contains_key(session) {
            held.retain(|_, of| of.iter().any(|made| made.fresh(now)));
            if held.len() >= SESSIONS_PER_SHARD_MAX {
                held.clear();
            }
        }
        let of = held.entry(session.clone()).or_default();
        of.retain(|made| made.audience != *audience && made.fresh(now));
        if of.len() >= PER_SESSION_MAX {
            of.remove(0);
        }
        of.push(Made {
            audience: audience.clone(),
            about,
            at: now,
            token: Arc::clone(&token),
        });
        token
    }

    pub(super) fn forget(&self, session: &SessionId) {
        self.shard(session).lock().remove(session);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, session: &SessionId) -> &Shard {
        let hash = self.hasher.hash_one(session);
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

impl Made {
    /// A clock that went back makes it stale: its `iat` would lie ahead.
    fn fresh(&self, now: Timestamp) -> bool {
        now >= self.at && now.since(self.at) < ASSERTION_REUSE
    }
}
