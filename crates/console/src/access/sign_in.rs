//! Signing in and out, and the way on to an application.

use audit::Kind;
use domain::{Aal, Authentication, DeviceId, PersonId};
use http::StatusCode;
use identity::{BrowserHash, PasskeyError, ReturnPath};
use policy::default_purpose;
use serde_json::json;

use super::views::{self, Choice, Door, Me, SampleChoices, Standing};
use super::{BROWSER_COOKIE, Call, Message, SESSION_COOKIE, Shared, Trouble, onward};
use crate::form::Fields;
use crate::look;
use crate::reading;
use crate::reply::{self, Answer, Refused};

/// What a person is told when a passkey did not do, whatever the reason was: it goes to the record, not to whoever
/// tries.
const NOT_ACCEPTED: &str =
    "This passkey was not accepted. Try again, or ask for an invitation link.";

impl Shared {
    /// The first page: whoever is signed in sees where to go, everybody else signs in.
    pub(super) fn home(&self, call: &Call) -> Answer {
        let Some(live) = &call.live else {
            return reply::see_other("/sign-in");
        };
        let now = call.now();
        let world = self.parts.world.load();
        let person = world.person(live.person());
        let doors: Vec<Door> = self
            .parts
            .options
            .applications
            .iter()
            .filter(|a| a.pages && self.is_open_to(live, a, now))
            .map(|a| Door {
                name: a.name.clone(),
                about: a.about.clone(),
                address: format!("{}{}", call.visit.origin.sibling(&a.host), a.path),
            })
            .collect();
        let authentication = live.authentication();
        let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
        let standing = Standing {
            roles: texts(
                person.map_or(Vec::new(), |p| p.roles.iter().map(|r| r.as_str()).collect()),
            ),
            units: texts(
                person.map_or(Vec::new(), |p| p.units.iter().map(|u| u.as_str()).collect()),
            ),
            device: live.device().map(|d| match world.device(d) {
                Some(known) if !known.name.is_empty() => known.name.to_string(),
                Some(_) | None => d.as_str().to_owned(),
            }),
            level: authentication.level,
            phishing_resistant: authentication.phishing_resistant,
            proved: authentication.at,
            ends: live.expires(),
        };
        let name = reading::name_of(&world, live.person());
        let token = self.token(call);
        let me = Me {
            name: &name,
            token: &token,
        };
        let keys = self.parts.passkeys.of(live.person()).len();
        call.page(
            StatusCode::OK,
            views::home(&me, &standing, &doors, keys, now),
        )
    }

    /// The way from an application's host to its callback, with a sign-in between if there is no session.
    pub(super) fn enter(&self, call: &Call) -> Result<Answer, Refused> {
        let query = call.query()?;
        let application = query
            .get("application")
            .and_then(|id| self.entrance(&id.into()))
            .ok_or(Refused::NotFound)?;
        let browser = query
            .get("tx")
            .and_then(BrowserHash::parse)
            .ok_or(Refused::Malformed)?;
        let Some(live) = &call.live else {
            let again = call
                .visit
                .request
                .uri()
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            return Ok(self.sign_in(call, StatusCode::OK, Some(&application.name), again, None));
        };
        let path = ReturnPath::or_root(query.get("return").unwrap_or("/"));
        let code = self
            .parts
            .codes
            .issue(live, &application.id, &path, &browser, call.now());
        let origin = call.visit.origin.sibling(&application.host);
        let answer = reply::see_other(&format!("{origin}/.asepsis/callback?code={code}"));
        Ok(reply::sealed(answer, &call.targets))
    }

    /// The sign-in page at its own address.
    pub(super) fn sign_in_page(
        &self,
        call: &Call,
        status: StatusCode,
        trouble: Option<&str>,
    ) -> Result<Answer, Refused> {
        let query = call.query()?;
        let back = onward(query.get("return"));
        if call.live.is_some() {
            return Ok(reply::see_other(back));
        }
        Ok(self.sign_in(call, status, None, back, trouble))
    }

    pub(super) fn sign_in(
        &self,
        call: &Call,
        status: StatusCode,
        to: Option<&str>,
        back: &str,
        trouble: Option<&str>,
    ) -> Answer {
        let sample = self.sample_choices();
        let token = self.token(call);
        let page = views::sign_in(to, back, &token, sample.as_ref(), trouble);
        call.ceremony_page(status, page)
    }

    fn sample_choices(&self) -> Option<SampleChoices> {
        let sample = self.parts.options.sample.as_ref()?;
        let world = self.parts.world.load();
        let group = |word: Option<&str>, other: &str| {
            let plain = look::plain(word.unwrap_or(other));
            let mut letters = plain.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect()
            })
        };
        let people = sample
            .people
            .iter()
            .filter_map(|id| world.person(id))
            .map(|p| {
                let units: Vec<&str> = p.units.iter().map(|u| u.as_str()).collect();
                let name = reading::name_of(&world, &p.id);
                Choice {
                    id: p.id.as_str().to_owned(),
                    words: if units.is_empty() {
                        name
                    } else {
                        format!("{name} ({})", look::plain(&units.join(", ")))
                    },
                    group: group(p.roles.first().map(|r| r.as_str()), "other people"),
                    unit: units.first().copied().unwrap_or_default().to_owned(),
                }
            })
            .collect();
        let devices = sample
            .devices
            .iter()
            .filter_map(|id| world.device(id))
            .map(|d| Choice {
                id: d.id.as_str().to_owned(),
                words: if d.name.is_empty() {
                    d.id.as_str().to_owned()
                } else {
                    d.name.to_string()
                },
                group: group(
                    Some(d.class.as_str()).filter(|c| !c.is_empty()),
                    "other devices",
                ),
                unit: d.unit.as_ref().map_or("", |u| u.as_str()).to_owned(),
            })
            .collect();
        Some(SampleChoices { people, devices })
    }

    /// The demo's sign-in: one factor that nobody had to prove.
    pub(super) async fn sample_sign_in(
        &self,
        call: &Call,
        fields: &Fields,
    ) -> Result<Answer, Refused> {
        let sample = self
            .parts
            .options
            .sample
            .as_ref()
            .ok_or(Refused::NotFound)?;
        self.attempt(call)?;
        let person = PersonId::from(fields.get("person").ok_or(Refused::Malformed)?);
        let device = fields.get("device").map(DeviceId::from);
        let offered = sample.people.contains(&person)
            && device.as_ref().is_none_or(|d| sample.devices.contains(d));
        if !offered {
            return Err(Refused::Malformed);
        }
        if !self.is_welcome(&person) {
            self.failed(call, "person-not-active", Some(&person))
                .await?;
            return self.sign_in_page(
                call,
                StatusCode::FORBIDDEN,
                Some("This person may not sign in any more."),
            );
        }
        let now = call.now();
        let authentication = Authentication {
            level: Aal::Aal1,
            phishing_resistant: false,
            at: now,
            last_active: now,
        };
        let secret = self
            .begin(call, &person, device, authentication, "sample")
            .await?;
        let mut answer = reply::see_other(onward(fields.get("return")));
        reply::set_cookie(&mut answer, SESSION_COOKIE, Some(&secret));
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        Ok(reply::sealed(answer, &call.targets))
    }

    /// The challenge of a sign-in.
    pub(super) fn sign_in_options(&self, call: &Call) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let options = self
            .parts
            .passkeys
            .start_sign_in(&call.browser_hash()?, call.now())
            .map_err(|_| Refused::Unavailable)?;
        Ok(reply::json(StatusCode::OK, &options))
    }

    /// The end of a sign-in.
    pub(super) async fn sign_in_with_passkey(
        &self,
        call: &Call,
        message: &Message,
    ) -> Result<Answer, Trouble> {
        self.attempt(call)?;
        let now = call.now();
        let proven =
            self.parts
                .passkeys
                .finish_sign_in(&call.browser_hash()?, message.credential()?, now);
        let proven = match proven {
            Ok(proven) => proven,
            Err(error) => {
                self.passkey_failed(call, &error, None).await?;
                return Err(Trouble::Told(NOT_ACCEPTED));
            }
        };
        if !self.is_welcome(&proven.person) {
            self.failed(call, "person-not-active", Some(&proven.person))
                .await?;
            return Err(Trouble::Told(NOT_ACCEPTED));
        }
        self.keep_passkey(&proven.passkey).await?;
        let device = call.visit.device.clone();
        let secret = self
            .begin(
                call,
                &proven.person,
                device,
                proven.authentication,
                "passkey",
            )
            .await?;
        Ok(self.signed_in(&secret, onward(message.r#return.as_deref())))
    }

    /// The answer to a script that has signed somebody in.
    pub(super) fn signed_in(&self, secret: &str, onward: &str) -> Answer {
        let mut answer = reply::json(StatusCode::OK, &json!({ "continue": onward }));
        reply::set_cookie(&mut answer, SESSION_COOKIE, Some(secret));
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        answer
    }

    /// Begins a session once it is on record. A session that this browser had before ends: it is never taken over.
    pub(super) async fn begin(
        &self,
        call: &Call,
        person: &PersonId,
        device: Option<DeviceId>,
        authentication: Authentication,
        method: &str,
    ) -> Result<String, Refused> {
        let now = call.now();
        let purpose = {
            let world = self.parts.world.load();
            let person = world.person(person).ok_or(Refused::Unavailable)?;
            default_purpose(person)
        };
        let level = u8::from(authentication.level);
        let resistant = authentication.phishing_resistant;
        let (session, secret) =
            self.parts
                .sessions
                .start(person.clone(), device.clone(), authentication, purpose, now);
        let recorded = self
            .record(
                now,
                Kind::SignIn,
                json!({
                    "session": session.as_str(), "method": method, "aal": level,
                    "phishing_resistant": resistant,
                }),
                json!({
                    "person": person, "device": device, "purpose": purpose,
                    "address": call.visit.peer.ip().to_string(),
                }),
            )
            .await;
        // Nobody holds the secret yet: a session that is not on record never was.
        if let Err(refused) = recorded {
            self.parts.sessions.end(&session);
            return Err(refused);
        }
        if let Some(old) = &call.live {
            self.forget_session(old.id(), call);
        }
        Ok(secret.reveal())
    }

    /// Records that somebody was not let in.
    pub(super) async fn failed(
        &self,
        call: &Call,
        code: &str,
        person: Option<&PersonId>,
    ) -> Result<(), Refused> {
        self.record(
            call.now(),
            Kind::SignInFailed,
            json!({ "code": code }),
            json!({ "person": person, "address": call.visit.peer.ip().to_string() }),
        )
        .await
        .map(|_| ())
    }

    /// Records why a passkey did not do; a copied key raises the alarm and stays suspended.
    pub(super) async fn passkey_failed(
        &self,
        call: &Call,
        error: &PasskeyError,
        person: Option<&PersonId>,
    ) -> Result<(), Refused> {
        if let PasskeyError::CloneSuspected(passkey) = error {
            tracing::warn!("a passkey seems to exist twice; it is suspended");
            self.keep_passkey(passkey).await?;
            return self
                .failed(call, "passkey-clone-suspected", Some(&passkey.person))
                .await;
        }
        self.failed(call, code_of(error), person).await
    }

    /// Signs out everywhere: this session, or with `everywhere` all sessions of the person.
    pub(super) async fn sign_out(&self, call: &Call, fields: &Fields) -> Result<Answer, Refused> {
        let mut answer = reply::see_other("/signed-out");
        reply::set_cookie(&mut answer, SESSION_COOKIE, None);
        reply::set_cookie(&mut answer, BROWSER_COOKIE, None);
        let Some(live) = &call.live else {
            return Ok(answer);
        };
        let everywhere = fields.get("everywhere").is_some();
        let others = if everywhere {
            self.parts
                .sessions
                .list(call.now())
                .into_iter()
                .filter(|s| s.person == *live.person() && s.id != *live.id())
                .map(|s| s.id)
                .collect()
        } else {
            Vec::new()
        };
        for session in std::iter::once(live.id()).chain(&others) {
            // A session that should end, ends, whether or not the log can say so.
            self.forget_session(session, call);
        }
        // The refusal is logged where it happens.
        let _ = self
            .record(
                call.now(),
                Kind::SignOut,
                json!({ "session": live.id().as_str(), "sessions": 1 + others.len() }),
                json!({ "person": live.person() }),
            )
            .await;
        Ok(answer)
    }

    fn forget_session(&self, session: &domain::SessionId, call: &Call) {
        self.parts.sessions.end(session);
        self.parts.ceremonies.forget(session, call.now());
        self.parts.signer.forget(session);
    }
}

fn code_of(error: &PasskeyError) -> &'static str {
    match error {
        PasskeyError::Malformed(_) => "malformed-answer",
        PasskeyError::UnknownChallenge => "unknown-challenge",
        PasskeyError::Expired => "expired-challenge",
        PasskeyError::OtherBrowser => "challenge-of-another-browser",
        PasskeyError::OtherCeremony => "challenge-of-another-ceremony",
        PasskeyError::WrongOrigin => "wrong-origin",
        PasskeyError::WrongRelyingParty => "wrong-relying-party",
        PasskeyError::NotVerified => "user-not-verified",
        PasskeyError::UnknownPasskey => "unknown-passkey",
        PasskeyError::OtherPerson => "passkey-of-another-person",
        PasskeyError::Suspended => "passkey-suspended",
        PasskeyError::CloneSuspected(_) => "passkey-clone-suspected",
        PasskeyError::NoPasskey => "no-passkey",
        PasskeyError::NotDiscoverable => "passkey-not-stored",
        PasskeyError::AlreadyRegistered => "passkey-registered-already",
        PasskeyError::TooMany => "too-many-passkeys",
        PasskeyError::BadName => "bad-passkey-name",
        PasskeyError::Rejected(_) => "passkey-rejected",
    }
}

/// What a person is told when registering a passkey did not work.
pub(super) fn told(error: &PasskeyError) -> &'static str {
    match error {
        PasskeyError::TooMany => "You have as many passkeys as one may have. Remove one first.",
        PasskeyError::BadName => "Give the passkey a name of 1 to 60 characters.",
        PasskeyError::AlreadyRegistered => "This passkey is registered already.",
        PasskeyError::NotVerified => {
            "The device has to ask for a PIN, a finger or a face. Use one that does."
        }
        PasskeyError::NotDiscoverable => "This key cannot store a passkey. Use another one.",
        PasskeyError::Expired | PasskeyError::UnknownChallenge => "That took too long. Try again.",
        PasskeyError::NoPasskey => "You have no passkey here yet.",
        PasskeyError::Malformed(_)
        | PasskeyError::OtherBrowser
        | PasskeyError::OtherCeremony
        | PasskeyError::WrongOrigin
        | PasskeyError::WrongRelyingParty
        | PasskeyError::UnknownPasskey
        | PasskeyError::OtherPerson
        | PasskeyError::Suspended
        | PasskeyError::CloneSuspected(_)
        | PasskeyError::Rejected(_) => NOT_ACCEPTED,
    }
}
