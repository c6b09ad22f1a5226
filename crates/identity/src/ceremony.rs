//! Ceremonies that a decision asked for: a step-up, or the declaration of an emergency.
//!
//! What is asked for, and for which patient, stays here; the browser carries an opaque handle that means something only
//! in the session for which it was opened.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::{ApplicationId, Eligibility, Requirement, SessionId, Timestamp};
use parking_lot::Mutex;

use crate::expiring::{Expiring, Gone};
use crate::{ReturnPath, Secret, SecretHash};

/// How long a ceremony waits for its person.
pub const CEREMONY_LIFETIME: Duration = Duration::from_secs(600);

const CEREMONIES_MAX: usize = 65_536;

/// An API client that is refused again and again opens one ceremony each time: the newest of a session are kept.
const PER_SESSION_MAX: usize = 16;

/// What is asked of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CeremonyKind {
    /// Authenticate again, this strongly.
    StepUp(Requirement),
    /// Declare an emergency.
    BreakGlass(Eligibility),
}

/// A ceremony that waits for its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremony {
    /// What is asked.
    pub kind: CeremonyKind,
    /// The session in which it was opened.
    pub session: SessionId,
    /// The application that the person was using.
    pub application: ApplicationId,
    /// Where in it the person goes on.
    pub return_path: ReturnPath,
    /// When it was opened.
    pub opened: Timestamp,
}

/// Why a handle leads to no ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCeremony {
    /// Not the text of a handle of ours.
    #[error("malformed ceremony handle")]
    Malformed,
    /// Never opened, done already, or pushed out by newer ones.
    #[error("unknown ceremony")]
    Unknown,
    /// Older than [`CEREMONY_LIFETIME`].
    #[error("expired ceremony")]
    Expired,
    /// Opened in another session.
    #[error("ceremony of another session")]
    OtherSession,
}

/// Ceremonies that wait. Bounded in all and for each session.
#[derive(Debug)]
pub struct Ceremonies {
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    open: Expiring<SecretHash, Ceremony>,
    /// Handles of each session, oldest first; those included that are over and were not swept yet.
    of_session: HashMap<SessionId, VecDeque<SecretHash>>,
}

impl Default for Ceremonies {
    fn default() -> Self {
        Self::new()
    }
}

impl Ceremonies {
    /// None yet.
    pub fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                open: Expiring::new(CEREMONY_LIFETIME, CEREMONIES_MAX),
                of_session: HashMap::new(),
            }),
        }
    }

    /// Opens a ceremony in a session and returns its handle.
    pub fn open(
        &self,
        session: &SessionId,
        kind: CeremonyKind,
        application: &ApplicationId,
        return_path: &ReturnPath,
        now: Timestamp,
    ) -> String {
        let handle = Secret::generate();
        let hash = handle.hash();
        let ceremony = Ceremony {
            kind,
            session: session.clone(),
            application: application.clone(),
            return_path: return_path.clone(),
            opened: now,
        };
        let mut table = self.table.lock();
        // INVARIANT: a session's list is as short as its limit, and sessions are listed only while they have one
        // that may still be open; `sweep` drops the rest.
        if table.of_session.len() >= CEREMONIES_MAX {
            table.sweep(now);
        }
        let handles = table.of_session.entry(session.clone()).or_default();
        handles.push_back(hash);
        let surplus = (handles.len() > PER_SESSION_MAX)
            .then(|| handles.pop_front())
            .flatten();
        if let Some(oldest) = surplus {
            let _ = table.open.take(&oldest, now);
        }
        table.open.insert(hash, ceremony, now);
        handle.reveal()
    }

    /// The ceremony behind a handle, for the session that a cookie opened. It goes on waiting.
    pub fn get(
        &self,
        handle: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Ceremony, NoCeremony> {
        let hash = Secret::parse(handle).ok_or(NoCeremony::Malformed)?.hash();
        let table = self.table.lock();
        let ceremony = table.open.get(&hash, now)?;
        if ceremony.session != *session {
            return Err(NoCeremony::OtherSession);
        }
        Ok(ceremony.clone())
    }

    /// The same, and done with it: to be called right before the ceremony takes effect, so that it does so once.
    pub fn take(
        &self,
        handle: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Ceremony, NoCeremony> {
        let hash = Secret::parse(handle).ok_or(NoCeremony::Malformed)?.hash();
        let mut table = self.table.lock();
        // Another session's attempt must not spend it.
        if table.open.get(&hash, now)?.session != *session {
            return Err(NoCeremony::OtherSession);
        }
        if let Some(handles) = table.of_session.get_mut(session) {
            handles.retain(|other| *other != hash);
            if handles.is_empty() {
                table.of_session.remove(session);
            }
        }
        Ok(table.open.take(&hash, now)?)
    }

    /// Forgets what a session left open.
    pub fn forget(&self, session: &SessionId, now: Timestamp) {
        let mut table = self.table.lock();
        for hash in table.of_session.remove(session).into_iter().flatten() {
            let _ = table.open.take(&hash, now);
        }
    }

    /// Forgets ceremonies whose time is over.
    pub fn sweep(&self, now: Timestamp) {
        self.table.lock().sweep(now);
    }

    /// Number of ceremonies that wait.
    pub fn len(&self) -> usize {
        self.table.lock().open.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    fn sweep(&mut self, now: Timestamp) {
        self.open.sweep(now);
        let open = &self.open;
        self.of_session.retain(|_, handles| {
            handles.retain(|hash| open.get(hash, now).is_ok());
            !handles.is_empty()
        });
    }
}

impl From<Gone> for NoCeremony {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Absent => Self::Unknown,
            Gone::Expired => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Aal, PatientId};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn kind() -> CeremonyKind {
        CeremonyKind::BreakGlass(Eligibility {
            patient: PatientId::new("p-17"),
            duration_secs: 3600,
            step_up: Some(Requirement {
                level: Aal::Aal2,
                phishing_resistant: true,
                max_age_secs: 300,
            }),
        })
    }

    fn open(ceremonies: &Ceremonies, session: &SessionId) -> String {
        let path = ReturnPath::or_root("/fhir/Patient/17");
        ceremonies.open(session, kind(), &ApplicationId::new("chart"), &path, NOW)
    }

    #[test]
    fn a_ceremony_is_seen_often_and_done_once_by_its_own_session() {
        let ceremonies = Ceremonies::new();
        let (mine, other) = (SessionId::new("s-1"), SessionId::new("s-2"));
        let handle = open(&ceremonies, &mine);
        assert_eq!(
            ceremonies.get(&handle, &mine, NOW).expect("open").kind,
            kind()
        );
        assert_eq!(
            ceremonies.get(&handle, &other, NOW),
            Err(NoCeremony::OtherSession)
        );
        assert_eq!(
            ceremonies.take(&handle, &other, NOW),
            Err(NoCeremony::OtherSession)
        );
        assert_eq!(
            ceremonies.take(&handle, &mine, NOW).expect("open").session,
            mine
        );
        assert_eq!(
            ceremonies.take(&handle, &mine, NOW),
            Err(NoCeremony::Unknown)
        );
        assert!(ceremonies.is_empty());
    }

    #[test]
    fn a_ceremony_waits_ten_minutes() {
        let ceremonies = Ceremonies::new();
        let mine = SessionId::new("s-1");
        let handle = open(&ceremonies, &mine);
        let later = NOW.plus(CEREMONY_LIFETIME);
        assert_eq!(
            ceremonies.get(&handle, &mine, later),
            Err(NoCeremony::Expired)
        );
        ceremonies.sweep(later);
        assert!(ceremonies.is_empty() && ceremonies.table.lock().of_session.is_empty());
    }

    #[test]
    fn a_session_keeps_its_newest_ceremonies_only() {
        let ceremonies = Ceremonies::new();
        let (mine, other) = (SessionId::new("s-1"), SessionId::new("s-2"));
        let kept = open(&ceremonies, &other);
        let first = open(&ceremonies, &mine);
        let handles: Vec<String> = (0..PER_SESSION_MAX)
            .map(|_| open(&ceremonies, &mine))
            .collect();
        assert_eq!(ceremonies.get(&first, &mine, NOW), Err(NoCeremony::Unknown));
        assert!(
            handles
                .iter()
                .all(|h| ceremonies.get(h, &mine, NOW).is_ok())
        );
        assert!(
            ceremonies.get(&kept, &other, NOW).is_ok(),
            "others are not pushed out"
        );
        ceremonies.forget(&mine, NOW);
        assert_eq!(ceremonies.len(), 1);
    }

    #[test]
    fn malformed_handles_and_debug_output_tell_nothing() {
        let ceremonies = Ceremonies::new();
        let mine = SessionId::new("s-1");
        open(&ceremonies, &mine);
        assert_eq!(
            ceremonies.get("p-17", &mine, NOW),
            Err(NoCeremony::Malformed)
        );
        let shown = format!("{ceremonies:?}");
        assert!(
            !shown.contains("17\"") && !shown.contains("p-17") && !shown.contains("/fhir"),
            "{shown}"
        );
    }
}
