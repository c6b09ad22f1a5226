//! One session and the view of it that a request gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use domain::{
    Aal, Authentication, BreakGlassGrant, Context, DeviceId, Grants, PersonId, Purpose, SessionId,
    Subject, Timestamp,
};
use parking_lot::RwLock;
use smol_str::SmolStr;

use super::{EndCause, Limits, NoSession};

/// A session. Its cookies' entries, its index entry and every [`Live`] share one.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) person: PersonId,
    pub(super) device: Option<DeviceId>,
    pub(super) purpose: Purpose,
    pub(super) started: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) idle_ms: i64,
    /// Written by every request; never moves back.
    pub(super) last_active: AtomicI64,
    /// 0 while it lives, then the code of its [`EndCause`]. Written once.
    end: AtomicU8,
    /// Rises at every step-up; cookies of an older generation are dead.
    pub(super) generation: AtomicU64,
    /// Rises when something about this session has to be looked at again.
    pub(super) epoch: AtomicU64,
    /// The same for all sessions of the person, who owns it together with the index.
    pub(super) person_epoch: Arc<AtomicU64>,
    /// Written by ceremonies, read by every request: held only to swap or clone the pointer.
    pub(super) extras: RwLock<Arc<Extras>>,
}

/// What ceremonies attach to a session.
#[derive(Clone, Default)]
pub(super) struct Extras {
    pub(super) grants: Vec<BreakGlassGrant>,
    pub(super) ticket: Option<SmolStr>,
}

/// How the person proved to be the one, without the session's use since then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) level: Aal,
    pub(super) phishing_resistant: bool,
    pub(super) at: Timestamp,
}

impl Proof {
    pub(super) fn of(authentication: &Authentication) -> Self {
        Self {
            level: authentication.level,
            phishing_resistant: authentication.phishing_resistant,
            at: authentication.at,
        }
    }

    pub(super) fn authentication(self, last_active: Timestamp) -> Authentication {
        Authentication {
            level: self.level,
            phishing_resistant: self.phishing_resistant,
            at: self.at,
            last_active,
        }
    }
}

/// The parts that a new session is made of.
pub(super) struct Beginning {
    pub(super) id: SessionId,
    pub(super) person: PersonId,
    pub(super) device: Option<DeviceId>,
    pub(super) purpose: Purpose,
    pub(super) started: Timestamp,
    pub(super) last_active: Timestamp,
    pub(super) person_epoch: Arc<AtomicU64>,
    pub(super) extras: Extras,
}

impl Session {
    pub(super) fn new(from: Beginning, limits: &Limits) -> Self {
        Self {
            expires: from.started.plus(limits.absolute),
            idle_ms: i64::try_from(limits.idle.as_millis()).unwrap_or(i64::MAX),
            id: from.id,
            person: from.person,
            device: from.device,
            purpose: from.purpose,
            started: from.started,
            last_active: AtomicI64::new(from.last_active.as_millis()),
            end: AtomicU8::new(0),
            generation: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            person_epoch: from.person_epoch,
            extras: RwLock::new(Arc::new(from.extras)),
        }
    }

    pub(super) fn last_active(&self) -> Timestamp {
        Timestamp::from_millis(self.last_active.load(Ordering::Relaxed))
    }

    /// When it ends if it is not used again.
    pub(super) fn ends(&self) -> Timestamp {
        let idle = self.last_active().as_millis().saturating_add(self.idle_ms);
        self.expires.min(Timestamp::from_millis(idle))
    }

    /// Marks the end; false if it had ended before.
    pub(super) fn finish(&self, cause: EndCause) -> bool {
        self.end
            .compare_exchange(0, code(cause), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn end_cause(&self) -> Option<EndCause> {
        ALL_CAUSES
            .into_iter()
            .find(|cause| code(*cause) == self.end.load(Ordering::Acquire))
    }

    /// Whether it may be used at `now`. Its time limits end it for good, so that a clock set back revives nothing.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), NoSession> {
        match self.end.load(Ordering::Acquire) {
            0 => {}
            ended if ended == code(EndCause::Idle) => return Err(NoSession::Idle),
            ended if ended == code(EndCause::Expired) => return Err(NoSession::Expired),
            _ => return Err(NoSession::Ended),
        }
        if now >= self.expires {
            self.finish(EndCause::Expired);
            return Err(NoSession::Expired);
        }
        let idle = now
            .as_millis()
            .saturating_sub(self.last_active.load(Ordering::Relaxed));
        if idle > self.idle_ms {
            self.finish(EndCause::Idle);
            return Err(NoSession::Idle);
        }
        Ok(())
    }
}

const ALL_CAUSES: [EndCause; 6] = [
    EndCause::SignOut,
    EndCause::Administrator,
    EndCause::Person,
    EndCause::Idle,
    EndCause::Expired,
    EndCause::Displaced,
];

fn code(cause: EndCause) -> u8 {
    match cause {
        EndCause::SignOut => 1,
        EndCause::Administrator => 2,
        EndCause::Person => 3,
        EndCause::Idle => 4,
        EndCause::Expired => 5,
        EndCause::Displaced => 6,
    }
}

/// A session as one request found it.
#[derive(Clone)]
pub struct Live {
    pub(super) session: Arc<Session>,
    pub(super) proof: Proof,
    pub(super) last_active: Timestamp,
    pub(super) generation: u64,
    pub(super) epoch: (u64, u64),
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("session", &self.session.id)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// The session's handle.
    pub fn id(&self) -> &SessionId {
        &self.session.id
    }

    /// Who is signed in.
    pub fn person(&self) -> &PersonId {
        &self.session.person
    }

    /// On which device, if that is known.
    pub fn device(&self) -> Option<&DeviceId> {
        self.session.device.as_ref()
    }

    /// Purpose of use, as chosen at sign-in.
    pub fn purpose(&self) -> Purpose {
        self.session.purpose
    }

    /// When the person signed in.
    pub fn started(&self) -> Timestamp {
        self.session.started
    }

    /// When the session ends whatever happens.
    pub fn expires(&self) -> Timestamp {
        self.session.expires
    }

    /// How the person was authenticated, and when the session was used before this request.
    pub fn authentication(&self) -> Authentication {
        self.proof.authentication(self.last_active)
    }

    /// Who asks.
    pub fn subject(&self) -> Subject {
        Subject {
            person: self.session.person.clone(),
            session: Some(self.session.id.clone()),
            device: self.session.device.clone(),
            session_ends: self.session.expires,
        }
    }

    /// Emergency grants in force at `now`.
    pub fn grants(&self, now: Timestamp) -> Vec<BreakGlassGrant> {
        let extras = self.session.extras.read().clone();
        extras
            .grants
            .iter()
            .filter(|grant| now <= grant.expires)
            .cloned()
            .collect()
    }

    /// The circumstances in which this session asks.
    pub fn context(&self, now: Timestamp) -> Context {
        let extras = self.session.extras.read().clone();
        let held = extras
            .grants
            .iter()
            .filter(|grant| now <= grant.expires)
            .cloned()
            .collect();
        Context {
            purpose: self.session.purpose,
            authentication: self.authentication(),
            risk: 0,
            grants: Grants::Held(held),
            scopes: None,
            launch_patient: None,
            ticket: extras.ticket.clone(),
        }
    }

    /// The revocation epochs, of the session and of the person, that this request saw.
    pub fn epoch(&self) -> (u64, u64) {
        self.epoch
    }

    /// Whether what this request saw still holds: the session lives, no step-up has replaced its cookies and no
    /// epoch has moved. Cheap enough for every message of a stream.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.is_live(now) && self.epoch == epochs(&self.session)
    }

    /// Whether the session lives and its cookies are still those of this request.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.generation == self.session.generation.load(Ordering::Acquire)
            && self.session.check(now).is_ok()
    }

    /// Why the session ended, if it has.
    pub fn end_cause(&self) -> Option<EndCause> {
        self.session.end_cause()
    }
}

pub(super) fn epochs(session: &Session) -> (u64, u64) {
    (
        session.epoch.load(Ordering::Acquire),
        session.person_epoch.load(Ordering::Acquire),
    )
}
