//! Passkeys: registration, sign-in and step-up with WebAuthn.
//!
//! Every credential is discoverable (nobody types a name) and verifies its user (PIN or biometrics), so that one gesture
//! is two factors and bound to our origin. A challenge is random, used once, good for five minutes, and bound to the
//! browser that asked for it, to one kind of ceremony and, except at sign-in, to one person.
//!
//! Two checks are ours on top of the library's: the origin is compared as text, exactly, and a frame embedded by
//! another origin is refused for assertions too.

mod record;
mod relying_party;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Aal, Authentication, Person, PersonId, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Uuid, Webauthn, WebauthnError,
};

use crate::BrowserHash;
use crate::expiring::{Expiring, Gone};
use crate::secret::{fill_random, sha256};

pub use record::PasskeyRecord;
pub use relying_party::{RelyingParty, RelyingPartyError};

/// How long a challenge waits for its answer.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(300);

/// Challenges that wait at a time; one more pushes out the oldest.
const CHALLENGES_MAX: usize = 16_384;

/// Passkeys of one person.
const PER_PERSON_MAX: usize = 16;

/// The longest answer of a browser that is read.
const ANSWER_LEN_MAX: usize = 64 * 1024;

/// All passkeys and the challenges that wait for an answer.
pub struct Passkeys {
    webauthn: Webauthn,
    origins: Vec<String>,
    challenges: Mutex<Expiring<[u8; 32], Challenge>>,
    /// By credential id.
    records: RwLock<BTreeMap<String, Arc<PasskeyRecord>>>,
}

struct Challenge {
    browser: BrowserHash,
    task: Task,
}

enum Task {
    Register {
        state: PasskeyRegistration,
        person: PersonId,
        user_handle: Uuid,
    },
    SignIn(DiscoverableAuthentication),
    StepUp {
        state: DiscoverableAuthentication,
        person: PersonId,
    },
}

/// A person who has just proved to be the one.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who it is. Whether the person may sign in at all (still employed) is for the caller to see.
    pub person: PersonId,
    /// How strongly: AAL3 with a key that cannot leave its device, AAL2 with a synchronised one.
    pub authentication: Authentication,
    /// The passkey as it is now, to be stored: its counter and date of last use have moved.
    pub passkey: Arc<PasskeyRecord>,
}

/// Why a ceremony with a passkey failed.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The answer is not what a browser sends.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The challenge was never given, or was answered before.
    #[error("unknown or used challenge")]
    UnknownChallenge,
    /// The answer came too late.
    #[error("expired challenge")]
    Expired,
    /// The challenge was given to another browser.
    #[error("challenge of another browser")]
    OtherBrowser,
    /// The challenge was given for another ceremony, or for another person.
    #[error("challenge of another ceremony")]
    OtherCeremony,
    /// The answer was made on another origin or in a frame of one.
    #[error("answer was made on another origin")]
    WrongOrigin,
    /// The answer was made for another relying party.
    #[error("answer was made for another relying party")]
    WrongRelyingParty,
    /// The authenticator did not verify its user.
    #[error("the authenticator did not ask for a PIN, a finger or a face")]
    NotVerified,
    /// No such passkey, or not one of the person it claims.
    #[error("unknown passkey")]
    UnknownPasskey,
    /// The passkey belongs to somebody else than the person of the session.
    #[error("passkey of another person")]
    OtherPerson,
    /// The passkey was suspended, because it seems to exist twice.
    #[error("suspended passkey")]
    Suspended,
    /// The counter went back: a copy of the key is in use. The passkey is suspended from here on; an alarm is due.
    #[error("the passkey's counter went back: a copy of it seems to be in use")]
    CloneSuspected(Arc<PasskeyRecord>),
    /// The person has no passkey that could be used.
    #[error("the person has no passkey")]
    NoPasskey,
    /// The authenticator cannot keep a discoverable credential.
    #[error("the authenticator did not store the passkey")]
    NotDiscoverable,
    /// This passkey is registered already.
    #[error("passkey is registered already")]
    AlreadyRegistered,
    /// The person has as many passkeys as there may be.
    #[error("the person has {PER_PERSON_MAX} passkeys already; remove one first")]
    TooMany,
    /// A name is empty, too long, or holds control characters.
    #[error("a passkey's name has 1 to 64 characters")]
    BadName,
    /// Anything else that the library refused: a bad signature above all.
    #[error("the answer does not hold: {0}")]
    Rejected(WebauthnError),
}

impl From<Gone> for PasskeyError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Absent => Self::UnknownChallenge,
            Gone::Expired => Self::Expired,
        }
    }
}

impl From<WebauthnError> for PasskeyError {
    fn from(error: WebauthnError) -> Self {
        match error {
            WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => {
                Self::WrongOrigin
            }
            WebauthnError::InvalidRPIDHash => Self::WrongRelyingParty,
            WebauthnError::UserNotVerified | WebauthnError::UserNotPresent => Self::NotVerified,
            WebauthnError::CredentialNotFound | WebauthnError::InvalidUserUniqueId => {
                Self::UnknownPasskey
            }
            other => Self::Rejected(other),
        }
    }
}

impl std::fmt::Debug for Passkeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passkeys")
            .field("origins", &self.origins)
            .field("len", &self.records.read().len())
            .finish_non_exhaustive()
    }
}

impl Passkeys {
    /// Passkeys for this relying party; none yet.
    pub fn new(party: &RelyingParty) -> Result<Self, RelyingPartyError> {
        let (webauthn, origins) = party.resolve(CHALLENGE_LIFETIME)?;
        Ok(Self {
            webauthn,
            origins,
            challenges: Mutex::new(Expiring::new(CHALLENGE_LIFETIME, CHALLENGES_MAX)),
            records: RwLock::default(),
        })
    }

    /// Takes over passkeys that the store kept.
    pub fn load(&self, records: impl IntoIterator<Item = PasskeyRecord>) {
        let mut held = self.records.write();
        for record in records {
            held.insert(record.id.clone(), Arc::new(record));
        }
    }

    /// Begins the registration of one more passkey of a person; the options are for `navigator.credentials.create`.
    pub fn start_registration(
        &self,
        browser: &BrowserHash,
        person: &Person,
        now: Timestamp,
    ) -> Result<Value, PasskeyError> {
        let existing = self.of(&person.id);
        if existing.len() >= PER_PERSON_MAX {
            return Err(PasskeyError::TooMany);
        }
        // One opaque handle for all passkeys of a person, so that an authenticator knows them as one account.
        let user_handle = existing.first().map_or_else(random_uuid, |r| r.user_handle);
        let exclude: Vec<CredentialID> = existing
            .iter()
            .map(|r| r.credential.cred_id().clone())
            .collect();
        let account = person.id.as_str();
        let shown = if person.name.is_empty() {
            account
        } else {
            person.name.as_str()
        };
        let (options, state) =
            self.webauthn
                .start_passkey_registration(user_handle, account, shown, Some(exclude))?;
        let challenge = sha256(&options.public_key.challenge);
        let mut options = serde_json::to_value(options).map_err(unserialisable)?;
        // The library leaves storage to the authenticator's whim; without it nobody could sign in without a name.
        if let Some(selection) = options.pointer_mut("/publicKey/authenticatorSelection") {
            selection["residentKey"] = json!("required");
            selection["requireResidentKey"] = json!(true);
        }
        let task = Task::Register {
            state,
            person: person.id.clone(),
            user_handle,
        };
        self.remember(challenge, browser, task, now);
        Ok(options)
    }

    /// Ends a registration and returns the passkey, to be stored. `person` is whoever the browser's session or
    /// invitation belongs to.
    pub fn finish_registration(
        &self,
        browser: &BrowserHash,
        person: &PersonId,
        name: &str,
        answer: &[u8],
        now: Timestamp,
    ) -> Result<Arc<PasskeyRecord>, PasskeyError> {
        let name = checked_name(name)?;
        let answer: RegisterPublicKeyCredential = read_answer(answer)?;
        let task = self.answered(browser, &answer.response.client_data_json, now)?;
        let Task::Register {
            state,
            person: expected,
            user_handle,
        } = task
        else {
            return Err(PasskeyError::OtherCeremony);
        };
        if expected != *person {
            return Err(PasskeyError::OtherCeremony);
        }
        if answer.extensions.cred_props.as_ref().and_then(|p| p.rk) == Some(false) {
            return Err(PasskeyError::NotDiscoverable);
        }
        let credential = self.webauthn.finish_passkey_registration(&answer, &state)?;
        let id = URL_SAFE_NO_PAD.encode(credential.cred_id());
        let record = Arc::new(PasskeyRecord {
            id: id.clone(),
            person: expected,
            user_handle,
            name,
            created: now,
            last_used: None,
            suspended: None,
            backup_eligible: record::is_backup_eligible(&credential),
            credential,
        });
        let mut records = self.records.write();
        // A credential id that somebody else registered must not be taken over.
        if records.contains_key(&id) {
            return Err(PasskeyError::AlreadyRegistered);
        }
        if records
            .values()
            .filter(|r| r.person == record.person)
            .count()
            >= PER_PERSON_MAX
        {
            return Err(PasskeyError::TooMany);
        }
        records.insert(id, Arc::clone(&record));
        Ok(record)
    }

    /// Begins a sign-in by whoever holds a passkey; the options are for `navigator.credentials.get`.
    pub fn start_sign_in(
        &self,
        browser: &BrowserHash,
        now: Timestamp,
    ) -> Result<Value, PasskeyError> {
        let (options, challenge, state) = self.request(&[])?;
        self.remember(challenge, browser, Task::SignIn(state), now);
        Ok(options)
    }

    /// Ends a sign-in.
    pub fn finish_sign_in(
        &self,
        browser: &BrowserHash,
        answer: &[u8],
        now: Timestamp,
    ) -> Result<Proven, PasskeyError> {
        let answer: PublicKeyCredential = read_answer(answer)?;
        match self.answered(browser, &answer.response.client_data_json, now)? {
            Task::SignIn(state) => self.prove(&answer, state, None, now),
            Task::Register { .. } | Task::StepUp { .. } => Err(PasskeyError::OtherCeremony),
        }
    }

    /// Begins a step-up of a person who is signed in, with any of the person's own passkeys.
    pub fn start_step_up(
        &self,
        browser: &BrowserHash,
        person: &PersonId,
        now: Timestamp,
    ) -> Result<Value, PasskeyError> {
        let usable: Vec<String> = self
            .of(person)
            .iter()
            .filter(|r| r.suspended.is_none())
            .map(|r| r.id.clone())
            .collect();
        if usable.is_empty() {
            return Err(PasskeyError::NoPasskey);
        }
        let (options, challenge, state) = self.request(&usable)?;
        let task = Task::StepUp {
            state,
            person: person.clone(),
        };
        self.remember(challenge, browser, task, now);
        Ok(options)
    }

    /// Ends a step-up of the session's person.
    pub fn finish_step_up(
        &self,
        browser: &BrowserHash,
        person: &PersonId,
        answer: &[u8],
        now: Timestamp,
    ) -> Result<Proven, PasskeyError> {
        let answer: PublicKeyCredential = read_answer(answer)?;
        match self.answered(browser, &answer.response.client_data_json, now)? {
            Task::StepUp {
                state,
                person: expected,
            } if expected == *person => self.prove(&answer, state, Some(person), now),
            Task::Register { .. } | Task::SignIn(_) | Task::StepUp { .. } => {
                Err(PasskeyError::OtherCeremony)
            }
        }
    }

    /// A person's passkeys, the oldest first.
    pub fn of(&self, person: &PersonId) -> Vec<Arc<PasskeyRecord>> {
        let mut own: Vec<_> = self
            .records
            .read()
            .values()
            .filter(|r| r.person == *person)
            .cloned()
            .collect();
        own.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        own
    }

    /// Gives a person's passkey another name and returns it, to be stored.
    pub fn rename(
        &self,
        person: &PersonId,
        id: &str,
        name: &str,
    ) -> Result<Arc<PasskeyRecord>, PasskeyError> {
        let name = checked_name(name)?;
        let mut records = self.records.write();
        let record = records
            .get_mut(id)
            .filter(|r| r.person == *person)
            .ok_or(PasskeyError::UnknownPasskey)?;
        Arc::make_mut(record).name = name;
        Ok(Arc::clone(record))
    }

    /// Removes a person's passkey. False if the person has no such passkey.
    pub fn remove(&self, person: &PersonId, id: &str) -> bool {
        let mut records = self.records.write();
        let own = records.get(id).is_some_and(|r| r.person == *person);
        own && records.remove(id).is_some()
    }

    /// Number of passkeys of everybody.
    pub fn len(&self) -> usize {
        self.records.read().len()
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets challenges whose time is over.
    pub fn sweep(&self, now: Timestamp) {
        self.challenges.lock().sweep(now);
    }

    fn request(
        &self,
        allowed: &[String],
    ) -> Result<(Value, [u8; 32], DiscoverableAuthentication), PasskeyError> {
        let (mut options, state) = self.webauthn.start_discoverable_authentication()?;
        options.mediation = None; // the page asks when its button is pressed
        let challenge = sha256(&options.public_key.challenge);
        let mut options = serde_json::to_value(options).map_err(unserialisable)?;
        let allowed: Vec<Value> = allowed
            .iter()
            .map(|id| json!({ "type": "public-key", "id": id }))
            .collect();
        options["publicKey"]["allowCredentials"] = Value::Array(allowed);
        Ok((options, challenge, state))
    }

    fn remember(&self, challenge: [u8; 32], browser: &BrowserHash, task: Task, now: Timestamp) {
        let waiting = Challenge {
            browser: *browser,
            task,
        };
        self.challenges.lock().insert(challenge, waiting, now);
    }

    /// Finds what an answer belongs to, by the challenge that it repeats, and spends it.
    fn answered(
        &self,
        browser: &BrowserHash,
        client_data: &[u8],
        now: Timestamp,
    ) -> Result<Task, PasskeyError> {
        let client: ClientData = serde_json::from_slice(client_data)
            .map_err(|e| PasskeyError::Malformed(format!("`clientDataJSON`: {e}")))?;
        let challenge = URL_SAFE_NO_PAD
            .decode(&client.challenge)
            .map_err(|_| PasskeyError::Malformed("`challenge` is not base64url".to_owned()))?;
        let waiting = self.challenges.lock().take(&sha256(&challenge), now)?;
        if !waiting.browser.matches(browser) {
            return Err(PasskeyError::OtherBrowser);
        }
        if client.cross_origin || !self.origins.contains(&client.origin) {
            return Err(PasskeyError::WrongOrigin);
        }
        Ok(waiting.task)
    }

    fn prove(
        &self,
        answer: &PublicKeyCredential,
        state: DiscoverableAuthentication,
        expected: Option<&PersonId>,
        now: Timestamp,
    ) -> Result<Proven, PasskeyError> {
        let id = URL_SAFE_NO_PAD.encode(answer.get_credential_id());
        let record = self
            .records
            .read()
            .get(&id)
            .cloned()
            .ok_or(PasskeyError::UnknownPasskey)?;
        match (answer.get_user_unique_id(), expected) {
            // At sign-in the authenticator must name the account; at a step-up it may leave that out.
            (Some(handle), _) if handle == record.user_handle.as_bytes() => {}
            (None, Some(_)) => {}
            (Some(_), _) | (None, None) => return Err(PasskeyError::UnknownPasskey),
        }
        if expected.is_some_and(|person| *person != record.person) {
            return Err(PasskeyError::OtherPerson);
        }
        if record.suspended.is_some() {
            return Err(PasskeyError::Suspended);
        }
        let result = match self.webauthn.finish_discoverable_authentication_v2(
            answer,
            state,
            &record.credential,
        ) {
            Ok(result) => result,
            // The library says this only after the signature was found good: somebody does hold the key.
            Err(WebauthnError::CredentialPossibleCompromise) => {
                let suspended = self.change(&id, |r| r.suspended = Some(now))?;
                return Err(PasskeyError::CloneSuspected(suspended));
            }
            Err(other) => return Err(other.into()),
        };
        let passkey = self.change(&id, |r| {
            r.credential.update_credential(&result);
            r.last_used = r.last_used.max(Some(now));
        })?;
        // Another answer may have found the copy while this one was being checked.
        if passkey.suspended.is_some() {
            return Err(PasskeyError::Suspended);
        }
        let level = if passkey.backup_eligible || result.backup_eligible() {
            Aal::Aal2 // its key may be on several devices
        } else {
            Aal::Aal3
        };
        Ok(Proven {
            person: passkey.person.clone(),
            authentication: Authentication {
                level,
                phishing_resistant: true,
                at: now,
                last_active: now,
            },
            passkey,
        })
    }

    fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut PasskeyRecord),
    ) -> Result<Arc<PasskeyRecord>, PasskeyError> {
        let mut records = self.records.write();
        // Gone: it was removed while its answer was being checked.
        let record = records.get_mut(id).ok_or(PasskeyError::UnknownPasskey)?;
        change(Arc::make_mut(record));
        Ok(Arc::clone(record))
    }
}

/// The part of the client's data that we judge ourselves.
#[derive(Deserialize)]
struct ClientData {
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

fn read_answer<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, PasskeyError> {
    if answer.len() > ANSWER_LEN_MAX {
        return Err(PasskeyError::Malformed(format!(
            "longer than {ANSWER_LEN_MAX} bytes"
        )));
    }
    serde_json::from_slice(answer).map_err(|e| PasskeyError::Malformed(e.to_string()))
}

fn checked_name(name: &str) -> Result<String, PasskeyError> {
    let name = name.trim();
    let length = name.chars().count();
    if !(1..=64).contains(&length) || name.chars().any(char::is_control) {
        return Err(PasskeyError::BadName);
    }
    Ok(name.to_owned())
}

fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    Uuid::from_bytes(bytes)
}

fn unserialisable(error: serde_json::Error) -> PasskeyError {
    PasskeyError::Rejected(WebauthnError::ParseJSONFailure(error))
}
