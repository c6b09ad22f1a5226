//! Sessions: who is signed in, on which device, how strongly, until when.
//!
//! A session has one public handle, its [`SessionId`], which opens nothing and stays the same in every record from
//! sign-in to sign-out. What opens it are secrets: one for the access origin and one for each application, each bound
//! to its audience, all drawn anew at sign-in and again at every step-up, so that a secret planted or stolen before
//! has no use after (session fixation). Only their hashes are kept.

mod live;
mod row;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use domain::{Authentication, DeviceId, PersonId, Purpose, SessionId, Timestamp};

use crate::Audience;

pub use live::Live;
pub use row::{Changes, SessionRow};
pub use table::{LossFlag, Sessions};

/// How long sessions last and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A session ends when it was not used for longer than this.
    pub idle: Duration,
    /// A session ends this long after sign-in, whatever happens. A step-up does not extend it.
    pub absolute: Duration,
    /// Sessions of one person at a time; one more ends the one that was used longest ago.
    pub per_person_max: usize,
    /// Sessions in all; one more ends the one that was used longest ago.
    pub sessions_max: usize,
}

impl Limits {
    /// These times, with 16 sessions a person and 100,000 in all.
    pub const fn new(idle: Duration, absolute: Duration) -> Self {
        Self {
            idle,
            absolute,
            per_person_max: 16,
            sessions_max: 100_000,
        }
    }
}

impl Default for Limits {
    /// NIST SP 800-63B-4: 15 minutes idle and 12 hours in all, as AAL3 demands.
    fn default() -> Self {
        Self::new(Duration::from_secs(15 * 60), Duration::from_secs(12 * 3600))
    }
}

/// Why a cookie opens no session. Whoever sent it learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// Not the text of a secret of ours.
    #[error("malformed session cookie")]
    Malformed,
    /// No session has this secret, or has it no longer.
    #[error("unknown session")]
    Unknown,
    /// The secret belongs to another origin.
    #[error("session cookie of another audience")]
    ForeignAudience,
    /// Not used for too long.
    #[error("session idle for too long")]
    Idle,
    /// Its time is over.
    #[error("session has reached its end")]
    Expired,
    /// Ended by sign-out or from outside.
    #[error("session was ended")]
    Ended,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndCause {
    /// The person signed out.
    SignOut,
    /// Somebody ended this session: `end now` in the console.
    Administrator,
    /// All sessions of the person were ended.
    Person,
    /// Not used for too long.
    Idle,
    /// Its time was over.
    Expired,
    /// A newer session took its place, because a limit was reached.
    Displaced,
}

impl EndCause {
    /// Its name in records: `sign_out`, `administrator`, `person`, `idle`, `expired`, `displaced`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::Administrator => "administrator",
            Self::Person => "person",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Displaced => "displaced",
        }
    }
}

/// The end of a session, as listeners are told of it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub person: PersonId,
    /// Why it ended.
    pub cause: EndCause,
}

/// A session as the console shows it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Purpose of use.
    pub purpose: Purpose,
    /// How the person was authenticated, and when the session was last used.
    pub authentication: Authentication,
    /// When the person signed in.
    pub started: Timestamp,
    /// When it ends if it is not used again.
    pub ends: Timestamp,
    /// The origins that hold a cookie of it, sorted.
    pub audiences: Vec<Audience>,
    /// Emergency grants in force.
    pub grants: usize,
}

/// Why a grant was not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    /// There is no such session any more.
    #[error(transparent)]
    NoSession(#[from] NoSession),
    /// The grant was made out to another person or device.
    #[error("emergency grant belongs to another person or device")]
    Foreign,
    /// Its time is over.
    #[error("emergency grant has expired")]
    Expired,
    /// The session holds as many as it may.
    #[error("session holds too many emergency grants")]
    TooMany,
}
