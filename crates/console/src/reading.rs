//! Reading records of the log: what they say, in words, without anything about a patient.

use audit::{Kind, Stored};
use domain::{Outcome, PersonId};
use policy::{Reason, Snapshot};
use serde::Deserialize;

use crate::console::views::Row;
use crate::look;

/// The parts of a decision's payload that a row needs. The rest is skipped, unread.
#[derive(Debug, Deserialize)]
struct DecisionOutline {
    #[serde(default)]
    subject: Option<SubjectOutline>,
    #[serde(default)]
    reason: Option<Reason>,
}

#[derive(Debug, Deserialize)]
struct SubjectOutline {
    person: PersonId,
}

/// The payload of records about people: sign-in, step-up and the like.
#[derive(Debug, Deserialize)]
struct EventOutline {
    #[serde(default)]
    person: Option<PersonId>,
}

/// A text of the header.
pub(crate) fn header_text<'a>(stored: &'a Stored, name: &str) -> Option<&'a str> {
    stored.header.get(name)?.as_str()
}

fn named(text: &str) -> Option<Outcome> {
    [
        Outcome::Permit,
        Outcome::StepUp,
        Outcome::BreakGlass,
        Outcome::Deny,
    ]
    .into_iter()
    .find(|o| o.as_str() == text)
}

/// The outcome of a decision.
pub(crate) fn outcome(stored: &Stored) -> Option<Outcome> {
    (stored.kind == Kind::Decision)
        .then(|| header_text(stored, "outcome").and_then(named))
        .flatten()
}

/// What a shadowed request would have been.
pub(crate) fn shadowed(stored: &Stored) -> Option<Outcome> {
    header_text(stored, "shadowed").and_then(named)
}

/// Who it was about.
pub(crate) fn person(stored: &Stored) -> Option<PersonId> {
    let payload = stored.payload.as_deref()?;
    if stored.kind == Kind::Decision {
        serde_json::from_slice::<DecisionOutline>(payload)
            .ok()?
            .subject
            .map(|s| s.person)
    } else {
        serde_json::from_slice::<EventOutline>(payload).ok()?.person
    }
}

/// Whether a record is one of looking at this console.
pub(crate) fn is_console(stored: &Stored) -> bool {
    header_text(stored, "action").is_some_and(|a| a.starts_with("console:"))
}

/// Whether a record belongs to another one and would only repeat it in a stream.
pub(crate) fn is_companion(stored: &Stored) -> bool {
    match stored.kind {
        Kind::Disclosure | Kind::StreamOpened | Kind::StreamClosed => true,
        Kind::Started
        | Kind::Stopped
        | Kind::Decision
        | Kind::Malformed
        | Kind::SignIn
        | Kind::SignInFailed
        | Kind::SignOut
        | Kind::StepUp
        | Kind::BreakGlass
        | Kind::SessionEnded
        | Kind::PolicyLoaded
        | Kind::Administration
        | Kind::Gap => false,
    }
}

/// What kind of record it is.
pub(crate) fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "Started",
        Kind::Stopped => "Stopped",
        Kind::Decision => "Decision",
        Kind::Disclosure => "Disclosed",
        Kind::StreamOpened => "Stream opened",
        Kind::StreamClosed => "Stream closed",
        Kind::Malformed => "Not clear",
        Kind::SignIn => "Signed in",
        Kind::SignInFailed => "Sign-in failed",
        Kind::SignOut => "Signed out",
        Kind::StepUp => "Stepped up",
        Kind::BreakGlass => "Glass broken",
        Kind::SessionEnded => "Session ended",
        Kind::PolicyLoaded => "Policy loaded",
        Kind::Administration => "Administration",
        Kind::Gap => "Gap",
    }
}

/// The colour of such a record: an outcome's name where it calls for attention.
pub(crate) fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::BreakGlass => "break_glass",
        Kind::StepUp => "step_up",
        Kind::SignInFailed | Kind::Malformed | Kind::Gap => "deny",
        Kind::Started
        | Kind::Stopped
        | Kind::Decision
        | Kind::Disclosure
        | Kind::StreamOpened
        | Kind::StreamClosed
        | Kind::SignIn
        | Kind::SignOut
        | Kind::SessionEnded
        | Kind::PolicyLoaded
        | Kind::Administration => "event",
    }
}

/// A sentence for a record that is no decision.
pub(crate) fn event_sentence(stored: &Stored) -> String {
    let text = |name: &str| header_text(stored, name).map(look::plain);
    let number = |name: &str| stored.header.get(name).and_then(serde_json::Value::as_u64);
    match stored.kind {
        Kind::Started => "The program began to record.".to_owned(),
        Kind::Stopped => "The program stopped in good order.".to_owned(),
        Kind::Decision => String::new(),
        Kind::Disclosure => format!(
            "Released {}, withheld {}.",
            number("released").map_or("–".to_owned(), look::number),
            number("withheld").map_or("–".to_owned(), look::number)
        ),
        Kind::StreamOpened => "A stream was opened.".to_owned(),
        Kind::StreamClosed => match text("code").or_else(|| text("end")) {
            Some(why) => format!("A stream was closed: {why}."),
            None => "A stream was closed.".to_owned(),
        },
        Kind::Malformed => match text("code") {
            Some(code) => {
                format!("A request was refused because its meaning was in doubt: {code}.")
            }
            None => "A request was refused because its meaning was in doubt.".to_owned(),
        },
        Kind::SignIn => format!(
            "Signed in with {}.",
            text("method").unwrap_or_else(|| "a passkey".to_owned())
        ),
        Kind::SignInFailed => format!(
            "An attempt to sign in failed: {}.",
            text("code").unwrap_or_else(|| "not said why".to_owned())
        ),
        Kind::SignOut => "Signed out everywhere.".to_owned(),
        Kind::StepUp => format!(
            "Confirmed with {}.",
            text("method").unwrap_or_else(|| "a passkey".to_owned())
        ),
        Kind::BreakGlass => {
            "Declared an emergency for one patient's chart; the privacy officer is to look at it."
                .to_owned()
        }
        Kind::SessionEnded => format!(
            "The session was ended: {}.",
            text("cause").unwrap_or_else(|| "not said why".to_owned())
        ),
        Kind::PolicyLoaded => "A policy pack came into force.".to_owned(),
        Kind::Administration => text("what").map_or_else(
            || "Something was changed.".to_owned(),
            |what| format!("Changed: {what}."),
        ),
        Kind::Gap => format!(
            "{} refused requests came too fast to record each.",
            number("count").map_or("Some".to_owned(), look::number)
        ),
    }
}

/// A person's name as pages show it.
pub(crate) fn name_of(world: &Snapshot, person: &PersonId) -> String {
    match world.person(person) {
        Some(p) if !p.name.is_empty() => p.name.to_string(),
        Some(_) | None => person.as_str().to_owned(),
    }
}

/// The row of a record: who, where, what, why. Nothing in it names a patient.
pub(crate) fn row(stored: &Stored, world: &Snapshot) -> Row {
    let outline = (stored.kind == Kind::Decision)
        .then(|| {
            serde_json::from_slice::<DecisionOutline>(stored.payload.as_deref().unwrap_or_default())
                .ok()
        })
        .flatten();
    let sentence = outline
        .as_ref()
        .and_then(|o| o.reason.as_ref())
        .map(|r| r.sentence.to_string());
    let person = match &outline {
        Some(o) => o.subject.as_ref().map(|s| s.person.clone()),
        None => person(stored),
    };
    Row {
        record: stored.id,
        at: stored.at,
        outcome: outcome(stored),
        kind: kind_words(stored.kind),
        kind_class: kind_class(stored.kind),
        times: 1,
        shadowed: shadowed(stored),
        person: person.map(|p| name_of(world, &p)).unwrap_or_default(),
        application: header_text(stored, "application")
            .unwrap_or_default()
            .to_owned(),
        action: header_text(stored, "action").unwrap_or_default().to_owned(),
        sentence: match sentence {
            Some(sentence) => sentence,
            None if stored.kind == Kind::Decision => header_text(stored, "code")
                .map(look::plain)
                .unwrap_or_default(),
            None => event_sentence(stored),
        },
    }
}
