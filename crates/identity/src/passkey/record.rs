//! A passkey as it is kept.

use domain::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{Passkey, Uuid};

/// A registered passkey: public key and counter, nothing secret. Serialises whole, for the store.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyRecord {
    /// The credential id in base64url.
    pub id: String,
    /// Whose it is.
    pub person: PersonId,
    /// The opaque account handle that the authenticator keeps; the same for all passkeys of a person.
    pub user_handle: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// When it was suspended, because a copy of it seems to exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Timestamp>,
    /// Whether its key may be synchronised to other devices; if so it never reaches AAL3.
    pub backup_eligible: bool,
    /// The library's part.
    pub(super) credential: Passkey,
}

impl std::fmt::Debug for PasskeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasskeyRecord")
            .field("person", &self.person)
            .field("created", &self.created)
            .field("suspended", &self.suspended)
            .finish_non_exhaustive()
    }
}

/// Whether a new credential says that it may be synchronised. The library shows this flag only in the stored form;
/// a form that it ever ceases to show counts as synchronised, the weaker of the two.
pub(super) fn is_backup_eligible(credential: &Passkey) -> bool {
    serde_json::to_value(credential)
        .ok()
        .and_then(|form| form.pointer("/cred/backup_eligible")?.as_bool())
        .unwrap_or(true)
}
