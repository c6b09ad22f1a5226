//! A session in the form in which it outlives the program.

use domain::{Authentication, BreakGlassGrant, DeviceId, PersonId, Purpose, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{Audience, SecretHash};

/// A session as the store keeps it: hashes, no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRow {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Purpose of use.
    pub purpose: Purpose,
    /// How the person was authenticated, and when the session was last used.
    pub authentication: Authentication,
    /// When the person signed in.
    pub started: Timestamp,
    /// Hashes of its secrets and the origin for which each holds.
    pub secrets: Vec<(SecretHash, Audience)>,
    /// Emergency grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<BreakGlassGrant>,
    /// Service ticket under which a vendor comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SmolStr>,
}

/// What has changed since the store was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether `saved` holds every session there is and all other rows are to go.
    pub full: bool,
    /// Sessions to write.
    pub saved: Vec<SessionRow>,
    /// Sessions to remove.
    pub ended: Vec<SessionId>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.full && self.saved.is_empty() && self.ended.is_empty()
    }
}
