//! Codes that carry a session from the access origin to an application's own origin.
//!
//! A code is good once, for a minute, for one application, and only in the browser whose transaction cookie that
//! application set before it sent the browser to sign in. A code seen in a history, a log or a forwarded link is
//! therefore worth nothing.

use std::time::Duration;

use domain::{ApplicationId, SessionId, Timestamp};
use parking_lot::Mutex;

use crate::expiring::{Expiring, Gone};
use crate::{BrowserHash, Live, ReturnPath, Secret, SecretHash};

/// How long a code is good.
pub const CODE_LIFETIME: Duration = Duration::from_secs(60);

const CODES_MAX: usize = 65_536;

/// Codes handed out and not redeemed yet.
#[derive(Debug)]
pub struct Codes {
    pending: Mutex<Expiring<SecretHash, Pending>>,
}

#[derive(Debug)]
struct Pending {
    live: Live,
    application: ApplicationId,
    return_path: ReturnPath,
    browser: BrowserHash,
}

/// Why a code opens nothing. Whoever sent it learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Not the text of a code of ours.
    #[error("malformed code")]
    Malformed,
    /// Never issued, or redeemed before.
    #[error("unknown or used code")]
    Unknown,
    /// Older than [`CODE_LIFETIME`].
    #[error("expired code")]
    Expired,
    /// Issued to another browser.
    #[error("code of another browser")]
    OtherBrowser,
    /// Issued for another application.
    #[error("code of another application")]
    OtherApplication,
    /// Its session ended, or changed its secrets, after the code was issued.
    #[error("the code's session has ended")]
    SessionEnded,
}

impl Default for Codes {
    fn default() -> Self {
        Self::new()
    }
}

impl Codes {
    /// None yet.
    pub fn new() -> Self {
        Self {
            pending: Mutex::new(Expiring::new(CODE_LIFETIME, CODES_MAX)),
        }
    }

    /// Issues a code for the session that the access origin's cookie opened (`live`), to be redeemed at
    /// `application` by the browser that `browser` (the `tx` parameter) names.
    pub fn issue(
        &self,
        live: &Live,
        application: &ApplicationId,
        return_path: &ReturnPath,
        browser: &BrowserHash,
        now: Timestamp,
    ) -> String {
        let code = Secret::generate();
        let pending = Pending {
            live: live.clone(),
            application: application.clone(),
            return_path: return_path.clone(),
            browser: *browser,
        };
        self.pending.lock().insert(code.hash(), pending, now);
        code.reveal()
    }

    /// Redeems a code, and spends it whatever comes of it.
    ///
    /// The session's handle goes to [`crate::Sessions::open_application`]; the return path is on the application's
    /// own host.
    pub fn redeem(
        &self,
        code: &str,
        application: &ApplicationId,
        browser: &BrowserHash,
        now: Timestamp,
    ) -> Result<(SessionId, String), BadCode> {
        let hash = Secret::parse(code).ok_or(BadCode::Malformed)?.hash();
        let pending = self
            .pending
            .lock()
            .take(&hash, now)
            .map_err(|gone| match gone {
                Gone::Absent => BadCode::Unknown,
                Gone::Expired => BadCode::Expired,
            })?;
        if pending.application != *application {
            return Err(BadCode::OtherApplication);
        }
        if !pending.browser.matches(browser) {
            return Err(BadCode::OtherBrowser);
        }
        // A code issued before a step-up must not open what came after it: it may be in a thief's hands.
        if !pending.live.is_live(now) {
            return Err(BadCode::SessionEnded);
        }
        Ok((pending.live.id().clone(), pending.return_path.into_string()))
    }

    /// Forgets codes whose time is over.
    pub fn sweep(&self, now: Timestamp) {
        self.pending.lock().sweep(now);
    }

    /// Number of codes outstanding.
    pub fn len(&self) -> usize {
        self.pending.lock().len()
    }

    /// Whether none is outstanding.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use domain::{Aal, Authentication, PersonId, Purpose};

    use super::*;
    use crate::{Audience, Limits, Sessions};

    struct Scene {
        sessions: Sessions,
        session: SessionId,
        live: Live,
        codes: Codes,
        chart: ApplicationId,
        browser: BrowserHash,
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn authentication() -> Authentication {
        Authentication {
            level: Aal::Aal2,
            phishing_resistant: true,
            at: NOW,
            last_active: NOW,
        }
    }

    fn scene() -> Scene {
        let sessions = Sessions::new(Limits::default());
        let (session, secret) = sessions.start(
            PersonId::new("n-1"),
            None,
            authentication(),
            Purpose::Treat,
            NOW,
        );
        let live = sessions
            .resolve(&secret.reveal(), &Audience::Access, NOW)
            .expect("just begun");
        Scene {
            sessions,
            session,
            live,
            codes: Codes::new(),
            chart: ApplicationId::new("chart"),
            browser: BrowserHash::of_secret(&Secret::generate()),
        }
    }

    impl Scene {
        fn issue(&self) -> String {
            let path = ReturnPath::parse("/chart?x=1").expect("relative");
            self.codes
                .issue(&self.live, &self.chart, &path, &self.browser, NOW)
        }
    }

    #[test]
    fn a_code_opens_its_application_once() {
        let s = scene();
        let code = s.issue();
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &s.browser, NOW),
            Ok((s.session.clone(), "/chart?x=1".to_owned()))
        );
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &s.browser, NOW),
            Err(BadCode::Unknown)
        );
        assert!(s.codes.is_empty());
    }

    #[test]
    fn a_code_from_another_browser_is_refused_and_spent() {
        let s = scene();
        let code = s.issue();
        let thief = BrowserHash::of_secret(&Secret::generate());
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &thief, NOW),
            Err(BadCode::OtherBrowser)
        );
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &s.browser, NOW),
            Err(BadCode::Unknown)
        );
    }

    #[test]
    fn a_code_for_another_application_is_refused() {
        let s = scene();
        let other = ApplicationId::new("billing");
        assert_eq!(
            s.codes.redeem(&s.issue(), &other, &s.browser, NOW),
            Err(BadCode::OtherApplication)
        );
    }

    #[test]
    fn a_code_is_good_for_a_minute() {
        let s = scene();
        let (a, b) = (s.issue(), s.issue());
        let last = NOW.plus(CODE_LIFETIME).minus(Duration::from_millis(1));
        assert!(s.codes.redeem(&a, &s.chart, &s.browser, last).is_ok());
        assert_eq!(
            s.codes
                .redeem(&b, &s.chart, &s.browser, NOW.plus(CODE_LIFETIME)),
            Err(BadCode::Expired)
        );
    }

    #[test]
    fn a_code_dies_with_its_session_and_at_its_step_up() {
        let s = scene();
        let code = s.issue();
        s.sessions
            .step_up(&s.session, authentication(), NOW)
            .expect("alive");
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &s.browser, NOW),
            Err(BadCode::SessionEnded)
        );
        let s = scene();
        let code = s.issue();
        assert!(s.sessions.end(&s.session));
        assert_eq!(
            s.codes.redeem(&code, &s.chart, &s.browser, NOW),
            Err(BadCode::SessionEnded)
        );
    }

    #[test]
    fn malformed_and_invented_codes_are_refused() {
        let s = scene();
        s.issue();
        for code in ["", "x", "../../etc", &"A".repeat(10_000)] {
            assert_eq!(
                s.codes.redeem(code, &s.chart, &s.browser, NOW),
                Err(BadCode::Malformed)
            );
        }
        let invented = Secret::generate().reveal();
        assert_eq!(
            s.codes.redeem(&invented, &s.chart, &s.browser, NOW),
            Err(BadCode::Unknown)
        );
    }
}
