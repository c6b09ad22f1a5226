//! What the ceremonies produce: the one place where a stronger authentication or an emergency grant is made.
//!
//! The sign-in pages call these when a person has done what was asked; [`crate::decide`] calls the same ones to
//! find out what it may ask for. An offer that was made can therefore be kept.

use std::time::Duration;

use domain::subject::SubjectKind;
use domain::{
    Authentication, BreakGlassGrant, Eligibility, GrantId, Person, Purpose, Requirement, Subject,
    Timestamp,
};

/// How long an emergency grant holds unless the policy that offers it says less.
pub const GRANT_SECS: u64 = 3600;

/// The longest that any emergency grant may hold; a longer one is refused as invalid.
pub const GRANT_SECS_MAX: u64 = 4 * 3600;

/// The id of the grant that a decision supposes to find out what it may offer. No ceremony gives this one.
pub(crate) const HYPOTHETICAL: &str = "hypothetical";

/// The emergency grant that follows from an eligibility, once the subject has stated `reason`.
///
/// It is bound to the person, to the device if one is known, and to one patient.
pub fn grant(
    eligibility: &Eligibility,
    subject: &Subject,
    reason: &str,
    id: GrantId,
    now: Timestamp,
) -> BreakGlassGrant {
    let secs = eligibility.duration_secs.min(GRANT_SECS_MAX);
    BreakGlassGrant {
        id,
        person: subject.person.clone(),
        device: subject.device.clone(),
        patient: eligibility.patient.clone(),
        reason: reason.trim().into(),
        issued: now,
        expires: now.plus(Duration::from_secs(secs)),
    }
}

/// The authentication of a session whose subject has just met `requirement`.
///
/// It never weakens what was there.
pub fn fulfil(
    requirement: &Requirement,
    authentication: &Authentication,
    now: Timestamp,
) -> Authentication {
    Authentication {
        level: authentication.level.max(requirement.level),
        phishing_resistant: authentication.phishing_resistant || requirement.phishing_resistant,
        at: now,
        last_active: now,
    }
}

/// The purpose of use under which a person's session begins, from the roles held.
///
/// Only the break-glass ceremony and an explicit choice at sign-in say anything else; a client's header never does.
pub fn default_purpose(person: &Person) -> Purpose {
    let holds = |role: &str| person.roles.iter().any(|r| r.as_str() == role);
    if person.kind == SubjectKind::Proxy {
        return Purpose::Patrqt;
    }
    if ["physician", "nurse", "pharmacist"].into_iter().any(holds) {
        return Purpose::Treat;
    }
    if holds("billing") {
        return Purpose::Hpaymt;
    }
    if holds("researcher") {
        return Purpose::Hresch;
    }
    let office = [
        "registrar",
        "privacy_officer",
        "it_administrator",
        "security",
    ];
    if office.into_iter().any(holds) {
        return Purpose::Hoperat;
    }
    Purpose::Treat
}
