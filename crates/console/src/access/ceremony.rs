//! The ceremonies that a decision asked for: step-up and break-glass.

use audit::Kind;
use domain::{Aal, Authentication, GrantId, Requirement, Timestamp};
use http::StatusCode;
use identity::{Ceremony, CeremonyKind, Live, NoCeremony};
use policy::{fulfil, grant};
use serde_json::json;

use super::passkeys::OWN;
use super::sign_in::told;
use super::views::{self, BreakGlassPage, EMERGENCIES, Me, REASON_CHARS, StepUpPage};
use super::{BROWSER_COOKIE, Call, Message, SESSION_COOKIE, Shared, Trouble};
use crate::form::Fields;
use crate::reply::{self, Answer, Refused};

/// What has to be done next in a ceremony.
enum Next {
    StepUp(Requirement),
    BreakGlass(domain::Eligibility),
}

fn next(ceremony: &Ceremony, live: &Live, now: Timestamp) -> Next {
    match &ceremony.kind {
        CeremonyKind::StepUp(requirement) => Next::StepUp(requirement.clone()),
        CeremonyKind::BreakGlass(eligibility) => match &eligibility.step_up {
            Some(requirement) if !meets(requirement, &live.authentication(), now) => {
                Next::StepUp(requirement.clone())
            }
            Some(_) | None => Next::BreakGlass(eligibility.clone()),
        },
    }
}

/// Whether an authentication is enough.
fn meets(requirement: &Requirement, authentication: &Authentication, now: Timestamp) -> bool {
    authentication.level >= requirement.level
        && (authentication.phishing_resistant || !requirement.phishing_resistant)
        && now.since(authentication.at).as_secs() <= requirement.max_age_secs
}

impl Shared {
    /// The page of a ceremony.
    pub(super) fn ceremony_page(&self, call: &Call, handle: &str) -> Answer {
        let Some(live) = &call.live else {
            return self.sign_in(call, StatusCode::OK, None, call.path(), None);
        };
        match self.parts.ceremonies.get(handle, live.id(), call.now()) {
            Ok(ceremony) => self.draw(call, live, handle, &ceremony, StatusCode::OK, None),
            Err(no) => over(call, no),
        }
    }

    fn draw(
        &self,
        call: &Call,
        live: &Live,
        handle: &str,
        ceremony: &Ceremony,
        status: StatusCode,
        form: Option<(&Fields, &'static str)>,
    ) -> Answer {
        let name = self.name_of(live.person());
        let token = self.token(call);
        let me = Me {
            name: &name,
            token: &token,
        };
        let application = self
            .entrance(&ceremony.application)
            .map_or("your account", |a| a.name.as_str());
        let page = match next(ceremony, live, call.now()) {
            Next::StepUp(requirement) => views::step_up(&StepUpPage {
                me,
                handle,
                application,
                requirement: &requirement,
                has_passkey: self
                    .parts
                    .passkeys
                    .of(live.person())
                    .iter()
                    .any(|k| k.suspended.is_none()),
                sample: self.parts.options.sample.is_some(),
                emergency: matches!(ceremony.kind, CeremonyKind::BreakGlass(_)),
                trouble: form.map(|(_, words)| words),
            }),
            Next::BreakGlass(eligibility) => views::break_glass(&BreakGlassPage {
                me,
                handle,
                application,
                minutes: eligibility
                    .duration_secs
                    .min(policy::ceremony::GRANT_SECS_MAX)
                    / 60,
                back: &self.back(call, ceremony),
                kind: form.and_then(|(f, _)| f.get("kind")).unwrap_or_default(),
                reason: form.and_then(|(f, _)| f.get("reason")).unwrap_or_default(),
                trouble: form.map(|(_, words)| words),
            }),
        };
        call.ceremony_page(status, page)
    }

    /// The requirement of the step-up that a ceremony needs now.
    fn required(
        &self,
        call: &Call,
        handle: Option<&str>,
    ) -> Result<(Ceremony, Requirement), Trouble> {
        let live = call.live()?;
        let ceremony = self
            .parts
            .ceremonies
            .get(handle.ok_or(Refused::Malformed)?, live.id(), call.now())
            .map_err(|_| Trouble::Told(OVER))?;
        match next(&ceremony, live, call.now()) {
            Next::StepUp(requirement) => Ok((ceremony, requirement)),
            Next::BreakGlass(_) => Err(Trouble::Told(
                "You have confirmed already. Reload the page.",
            )),
        }
    }

    pub(super) fn step_up_options(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        self.required(call, message.ceremony.as_deref())?;
        let options = self
            .parts
            .passkeys
            .start_step_up(&call.browser_hash()?, call.live()?.person(), call.now())
            .map_err(|error| Trouble::Told(told(&error)))?;
        Ok(reply::json(StatusCode::OK, &options))
    }

    pub(super) async fn step_up_with_passkey(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let now = call.now();
        let handle = message.ceremony.as_deref().unwrap_or_default();
        let (ceremony, requirement) = self.required(call, Some(handle))?;
        let live = call.live()?;
        let proven = self.parts.passkeys.finish_step_up(
            &call.browser_hash()?,
            live.person(),
            message.credential()?,
            now,
        );
        let proven = match proven {
            Ok(proven) => proven,
            Err(error) => {
                self.passkey_failed(call, &error, Some(live.person()))
                    .await?;
                return Err(Trouble::Told(told(&error)));
            }
        };
        self.keep_passkey(&proven.passkey).await?;
        if !meets(&requirement, &proven.authentication, now) {
            return Err(Trouble::Told(
                "This needs a passkey that cannot leave its device, such as a security key.",
            ));
        }
        let (secret, onward) = self
            .stepped_up(
                call,
                live,
                handle,
                &ceremony,
                proven.authentication,
                "passkey",
            )
            .await?;
        let mut answer = reply::json(StatusCode::OK, &json!({ "continue": onward }));
        reply::set_cookie(&mut answer, SESSION_COOKIE, Some(&secret));
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        Ok(answer)
    }

    /// The demo's step-up.
    pub(super) async fn sample_step_up(
        &self,
        call: &Call,
        fields: &Fields,
    ) -> Result<Answer, Refused> {
        if self.parts.options.sample.is_none() {
            return Err(Refused::NotFound);
        }
        self.attempt(call)?;
        let live = call.live()?;
        let handle = fields.get("handle").ok_or(Refused::Malformed)?;
        let now = call.now();
        let ceremony = match self.parts.ceremonies.get(handle, live.id(), now) {
            Ok(ceremony) => ceremony,
            Err(no) => return Ok(over(call, no)),
        };
        let Next::StepUp(requirement) = next(&ceremony, live, now) else {
            return Ok(reply::see_other(&format!("/ceremony/{handle}")));
        };
        // What the sample button stands for: a passkey of the usual kind, whatever is asked.
        let sample = Requirement {
            level: Aal::Aal2,
            phishing_resistant: true,
            max_age_secs: requirement.max_age_secs,
        };
        let authentication = fulfil(&sample, &live.authentication(), now);
        if !meets(&requirement, &authentication, now) {
            let words = "This needs a real passkey; the sample confirmation is not strong enough.";
            return Ok(self.draw(
                call,
                live,
                handle,
                &ceremony,
                StatusCode::FORBIDDEN,
                Some((fields, words)),
            ));
        }
        let (secret, onward) = self
            .stepped_up(call, live, handle, &ceremony, authentication, "sample")
            .await?;
        let mut answer = reply::see_other(&onward);
        reply::set_cookie(&mut answer, SESSION_COOKIE, Some(&secret));
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        Ok(reply::sealed(answer, &call.targets))
    }

    /// Records a step-up, then renews the session's secrets. Returns the new one and where the person goes on.
    async fn stepped_up(
        &self,
        call: &Call,
        live: &Live,
        handle: &str,
        ceremony: &Ceremony,
        authentication: Authentication,
        method: &str,
    ) -> Result<(String, String), Refused> {
        let now = call.now();
        // A step-up is done with here; a break-glass goes on with its form.
        let onward = match &ceremony.kind {
            CeremonyKind::StepUp(_) => {
                self.parts
                    .ceremonies
                    .take(handle, live.id(), now)
                    .map_err(|_| Refused::StaleForm)?;
                self.back(call, ceremony)
            }
            CeremonyKind::BreakGlass(_) => format!("/ceremony/{handle}"),
        };
        self.record(
            now,
            Kind::StepUp,
            json!({
                "session": live.id().as_str(), "application": ceremony.application.as_str(),
                "method": method, "aal": u8::from(authentication.level),
                "phishing_resistant": authentication.phishing_resistant,
            }),
            json!({ "person": live.person(), "device": live.device() }),
        )
        .await?;
        let secret = self
            .parts
            .sessions
            .step_up(live.id(), authentication, now)
            .map_err(|_| Refused::StaleForm)?;
        self.parts.signer.forget(live.id());
        Ok((secret.reveal(), onward))
    }

    /// Declares an emergency: recorded first, then in force.
    pub(super) async fn break_glass(
        &self,
        call: &Call,
        handle: &str,
        fields: &Fields,
    ) -> Result<Answer, Refused> {
        self.attempt(call)?;
        let live = call.live()?;
        let now = call.now();
        let ceremony = match self.parts.ceremonies.get(handle, live.id(), now) {
            Ok(ceremony) => ceremony,
            Err(no) => return Ok(over(call, no)),
        };
        let Next::BreakGlass(eligibility) = next(&ceremony, live, now) else {
            return Ok(reply::see_other(&format!("/ceremony/{handle}")));
        };
        let kind = fields.get("kind").unwrap_or_default();
        let reason = fields.get("reason").unwrap_or_default().trim();
        let length = reason.chars().count();
        let trouble = if !EMERGENCIES.iter().any(|(code, _)| *code == kind) {
            Some("Choose what kind of emergency it is.")
        } else if length < REASON_CHARS.0 {
            Some("Say why in at least ten characters.")
        } else if length > REASON_CHARS.1 {
            Some("Say why in at most five hundred characters.")
        } else if !says_something(reason) {
            Some("Say why in words that somebody else can understand.")
        } else {
            None
        };
        if let Some(words) = trouble {
            return Ok(self.draw(
                call,
                live,
                handle,
                &ceremony,
                StatusCode::UNPROCESSABLE_ENTITY,
                Some((fields, words)),
            ));
        }
        // From here on the handle is spent: an emergency is declared once.
        let ceremony = match self.parts.ceremonies.take(handle, live.id(), now) {
            Ok(ceremony) => ceremony,
            Err(no) => return Ok(over(call, no)),
        };
        let id = GrantId::new(grant_name());
        let granted = grant(&eligibility, &live.subject(), reason, id.clone(), now);
        self.record(
            now,
            Kind::BreakGlass,
            json!({
                "session": live.id().as_str(), "application": ceremony.application.as_str(),
                "grant": id.as_str(), "emergency": kind, "expires": granted.expires,
                "obligations": ["notify_privacy_officer"],
            }),
            json!({
                "person": granted.person, "device": granted.device, "patient": granted.patient,
                "reason": granted.reason, "emergency": kind,
            }),
        )
        .await?;
        self.parts
            .sessions
            .attach_grant(live.id(), granted, now)
            .map_err(|_| Refused::StaleForm)?;
        tracing::warn!(grant = %id, "an emergency was declared");
        let answer = reply::see_other(&self.back(call, &ceremony));
        Ok(reply::sealed(answer, &call.targets))
    }

    /// Where a person goes on after a ceremony: the place it was opened from.
    fn back(&self, call: &Call, ceremony: &Ceremony) -> String {
        if ceremony.application.as_str() == OWN {
            return ceremony.return_path.as_str().to_owned();
        }
        let Some(entrance) = self.entrance(&ceremony.application) else {
            return "/".to_owned();
        };
        let origin = call.visit.origin.sibling(&entrance.host);
        let path = ceremony.return_path.as_str();
        // A host has one sign-in for all its applications; the one that the path belongs to says whether it has pages.
        let there = self
            .parts
            .options
            .applications
            .iter()
            .filter(|a| a.host == entrance.host && covers(&a.path, path))
            .max_by_key(|a| a.path.len());
        // Nobody wants to land on bare data.
        let path = if there.is_none_or(|a| a.pages) {
            path
        } else {
            "/"
        };
        format!("{origin}{path}")
    }
}

/// Whether a path with query lies at or below `prefix`, on a segment boundary.
fn covers(prefix: &str, path: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// Whether a reason holds at least three different letters or digits: ten dots are no reason.
fn says_something(reason: &str) -> bool {
    let mut letters: Vec<char> = reason
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() >= 3
}

fn grant_name() -> String {
    let secret = identity::Secret::generate().reveal();
    format!("g-{}", secret.get(..16).unwrap_or(&secret))
}

const OVER: &str = "This page is over. Go back to the application and try again.";

fn over(call: &Call, no: NoCeremony) -> Answer {
    let words = match no {
        NoCeremony::OtherSession => {
            "It was opened in another session than this one. Go back to the application and try again."
        }
        NoCeremony::Malformed | NoCeremony::Unknown | NoCeremony::Expired => {
            "It was used, or it is older than ten minutes. Go back to the application and try again."
        }
    };
    call.page(
        StatusCode::GONE,
        views::notice("This page is over", words, Some(("/", "My applications"))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authentication(level: Aal, phishing_resistant: bool, at: i64) -> Authentication {
        Authentication {
            level,
            phishing_resistant,
            at: Timestamp::from_millis(at),
            last_active: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn a_proof_is_enough_only_if_strong_bound_and_fresh() {
        let requirement = Requirement {
            level: Aal::Aal2,
            phishing_resistant: true,
            max_age_secs: 300,
        };
        let now = Timestamp::from_millis(1_000_000);
        let check = |level, bound, at| meets(&requirement, &authentication(level, bound, at), now);
        assert!(check(Aal::Aal2, true, 1_000_000));
        assert!(check(Aal::Aal3, true, 700_000));
        assert!(!check(Aal::Aal2, true, 698_000));
        assert!(!check(Aal::Aal2, false, 1_000_000));
        assert!(!check(Aal::Aal1, true, 1_000_000));
    }

    #[test]
    fn a_path_belongs_to_whole_segments() {
        assert!(covers("/", "/anything?x=1"));
        assert!(covers("/fhir", "/fhir/Patient/1"));
        assert!(covers("/fhir", "/fhir?x=1"));
        assert!(covers("/fhir", "/fhir"));
        assert!(!covers("/fhir", "/fhirs"));
    }

    #[test]
    fn dots_are_no_reason() {
        assert!(!says_something(".........."));
        assert!(!says_something("aaaaaaaaaaaa"));
        assert!(!says_something("          "));
        assert!(says_something("Sturz im Flur, bewusstlos"));
        assert!(says_something("意識不明の患者です"));
    }
}
