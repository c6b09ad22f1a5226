//! What ties a subject to the patients that a target concerns.
//!
//! A target may concern several patients. A tie that helps holds only if it holds for each of them; what speaks
//! against the subject holds if it holds for any. A patient of whom nothing is known has no tie to anybody.

use domain::relation::{Consent, ConsentEffect, PatientFacts};
use domain::{
    Context, Grants, PatientId, PersonId, Purpose, Resource, Sensitivity, SensitivitySet, Target,
    Timestamp,
};

use super::{Stage, age_secs, overdue_secs};
use crate::ceremony::{GRANT_SECS_MAX, HYPOTHETICAL};

/// For how many whole days after an encounter's end its practitioner still counts as treating.
pub(crate) const ENCOUNTER_DAYS: i64 = 30;

/// For how many hours beyond its limit a source's last word on care relations still counts.
pub(crate) const LAST_KNOWN_HOURS: i64 = 72;

/// How long before an emergency grant the subject may last have proved presence.
pub(crate) const GRANT_AUTHENTICATION_SECS: i64 = 300;

const DAY_SECS: i64 = 86_400;

/// The ties of one subject to the patients of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) care_team: bool,
    pub(crate) ward: bool,
    pub(crate) encounter_days: Option<i64>,
    pub(crate) proxy: bool,
    pub(crate) own: bool,
    pub(crate) vip: bool,
    pub(crate) employee: bool,
    pub(crate) adolescent: bool,
    pub(crate) objection: bool,
    pub(crate) consented: SensitivitySet,
    pub(crate) author: bool,
    pub(crate) own_device: bool,
    pub(crate) grant: bool,
    pub(crate) grant_reauthenticated: bool,
    /// The grant is one that was really given: the ceremony has said that this is an emergency.
    pub(crate) emergency_declared: bool,
    pub(crate) vendor_window: bool,
    pub(crate) benefits_self: bool,
    /// The sources of relations are too old even for what they said last.
    pub(crate) lapsed: bool,
}

impl Relation {
    pub(crate) fn of(stage: &Stage<'_>, target: &Target, circumstances: &Context) -> Self {
        let mut relation = Self::default();
        let patients = target.resource.patients();
        relation.lapsed = overdue_secs(stage) >= LAST_KNOWN_HOURS * 3600;
        relation.own = stage
            .person
            .patient
            .as_ref()
            .is_some_and(|own| patients.contains(own));
        match &target.resource {
            Resource::FhirResource(r) => {
                relation.author = r.authors.contains(&stage.subject.person);
                relation.own_device = r.device.is_some() && r.device == stage.person.device;
                relation.benefits_self = r
                    .change
                    .as_ref()
                    .is_some_and(|c| c.benefits.contains(&stage.subject.person));
                relation.of_patients(stage, patients, r.labels, circumstances);
            }
            Resource::NetworkService(service) => {
                relation.vendor_window = stage.slice.windows.iter().any(|w| {
                    w.person == stage.subject.person
                        && w.device == service.device
                        && w.approved_by.as_ref().is_some_and(|by| *by != w.person)
                        && circumstances.ticket.as_ref() == Some(&w.ticket)
                        && w.starts <= stage.now
                        && stage.now <= w.ends
                });
            }
            Resource::FhirEndpoint(_)
            | Resource::WebPage(_)
            | Resource::DicomNode(_)
            | Resource::Hl7Interface(_)
            | Resource::Console(_) => {
                relation.of_patients(stage, patients, SensitivitySet::EMPTY, circumstances);
            }
        }
        relation
    }

    /// Whether the ties to what a target is about may come and go by themselves. Without patients there are none that
    /// could, but for a vendor's window.
    pub(crate) fn may_change(target: &Target) -> bool {
        match &target.resource {
            Resource::NetworkService(_) => true,
            Resource::FhirResource(_)
            | Resource::FhirEndpoint(_)
            | Resource::WebPage(_)
            | Resource::DicomNode(_)
            | Resource::Hl7Interface(_)
            | Resource::Console(_) => !target.resource.patients().is_empty(),
        }
    }

    /// Whether the subject takes part in the patients' care.
    pub(crate) fn treating(&self) -> bool {
        let recent = self
            .encounter_days
            .is_some_and(|days| days <= ENCOUNTER_DAYS);
        !self.lapsed && (self.care_team || self.ward || recent)
    }

    /// The purpose of use for these patients in a session that was opened for `purpose`.
    ///
    /// Treatment of a patient for whom an emergency was declared is emergency treatment (HL7 v3 ActReason `ETREAT`). A
    /// grant that is only supposed changes nothing here: what opens in emergencies only, such as records under 42 CFR
    /// Part 2, is not offered to whoever asks for it in the ordinary course.
    pub(crate) fn purpose(&self, purpose: Purpose) -> Purpose {
        match purpose {
            Purpose::Treat if self.emergency_declared => Purpose::Etreat,
            other => other,
        }
    }

    /// Whether anything ties the subject to the patients, so that nothing is given away by saying no plainly.
    pub(crate) fn is_any(&self) -> bool {
        self.treating() || self.proxy || self.own || self.author || self.own_device || self.grant
    }

    fn of_patients(
        &mut self,
        stage: &Stage<'_>,
        patients: &[PatientId],
        labels: SensitivitySet,
        circumstances: &Context,
    ) {
        if patients.is_empty() {
            return;
        }
        let subject = &stage.subject.person;
        let (mut care_team, mut ward, mut proxy, mut encounter) = (true, true, true, Some(0));
        let mut consented: Option<SensitivitySet> = None;
        for patient in patients {
            let Some(facts) = stage.slice.patient(patient) else {
                (care_team, ward, proxy, encounter) = (false, false, false, None);
                consented = Some(SensitivitySet::EMPTY);
                continue;
            };
            care_team = care_team && facts.care_team.contains(subject);
            proxy = proxy && facts.proxies.contains(subject);
            ward = ward && in_the_unit(stage, facts);
            encounter = match (encounter, encounter_days(facts, subject, stage.now)) {
                (Some(so_far), Some(this)) => Some(so_far.max(this)),
                _ => None,
            };
            self.vip = self.vip || facts.vip;
            self.employee = self.employee || facts.employee;
            self.adolescent = self.adolescent || facts.adolescent;
            self.objection = self.objection || objects(facts, subject, labels, stage.now);
            let this = consents(facts, subject, stage.now);
            consented = Some(consented.map_or(this, |so_far| so_far.without(so_far.without(this))));
        }
        self.care_team = care_team;
        self.ward = ward;
        self.proxy = proxy;
        self.encounter_days = encounter;
        self.consented = consented.unwrap_or_default();
        self.grants(stage, patients, circumstances);
    }

    fn grants(&mut self, stage: &Stage<'_>, patients: &[PatientId], circumstances: &Context) {
        let mut reauthenticated = true;
        let mut declared = true;
        let all = patients.iter().all(|patient| {
            let mut fitting = circumstances
                .grants
                .as_slice()
                .iter()
                .filter(|g| g.patient == *patient && flaw(g, stage).is_none())
                .peekable();
            let found = fitting.peek().is_some();
            declared = declared && fitting.clone().any(|g| g.id.as_str() != HYPOTHETICAL);
            reauthenticated = reauthenticated
                && fitting.any(|g| {
                    age_secs(circumstances.authentication.at, g.issued) <= GRANT_AUTHENTICATION_SECS
                        || circumstances.authentication.at > g.issued
                });
            found
        });
        self.grant = all;
        self.grant_reauthenticated = all && reauthenticated;
        self.emergency_declared = all && reauthenticated && declared;
    }
}

/// What is wrong with an emergency grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantFlaw {
    /// It was given to somebody else.
    Person,
    /// It was given on another device.
    Device,
    /// It is over, or has not begun.
    Time,
    /// It holds for longer than any may, or states no reason.
    Form,
}

/// What keeps a grant from holding for this subject now, whatever its patient.
pub(crate) fn flaw(grant: &domain::BreakGlassGrant, stage: &Stage<'_>) -> Option<GrantFlaw> {
    if grant.person != stage.subject.person {
        return Some(GrantFlaw::Person);
    }
    if grant.device.is_some() && grant.device != stage.subject.device {
        return Some(GrantFlaw::Device);
    }
    if grant.reason.trim().is_empty()
        || grant.expires < grant.issued
        || grant.expires.since(grant.issued).as_secs() > GRANT_SECS_MAX
    {
        return Some(GrantFlaw::Form);
    }
    if stage.now < grant.issued || grant.expires < stage.now {
        return Some(GrantFlaw::Time);
    }
    None
}

/// A presented grant must fit; whether it does, as far as a target's patients say.
pub(crate) fn presented_covers(grants: &Grants, target: &Target) -> bool {
    match grants {
        Grants::Held(_) => true,
        Grants::Presented(grant) => target
            .resource
            .patients()
            .iter()
            .all(|p| *p == grant.patient),
    }
}

fn in_the_unit(stage: &Stage<'_>, facts: &PatientFacts) -> bool {
    let device = stage.slice.device.as_ref().filter(|d| d.managed);
    let stands = device.and_then(|d| d.unit.as_ref());
    stands.is_some() && stands == facts.unit.as_ref()
}

fn encounter_days(facts: &PatientFacts, subject: &PersonId, now: Timestamp) -> Option<i64> {
    facts
        .encounters
        .iter()
        .filter(|e| e.person == *subject)
        .map(|e| {
            e.ended.map_or(0, |ended| {
                i64::try_from(now.since(ended).as_secs()).unwrap_or(i64::MAX) / DAY_SECS
            })
        })
        .min()
}

fn in_force(consent: &Consent, subject: &PersonId, now: Timestamp) -> bool {
    now <= consent.ends && (consent.people.is_empty() || consent.people.contains(subject))
}

fn objects(
    facts: &PatientFacts,
    subject: &PersonId,
    labels: SensitivitySet,
    now: Timestamp,
) -> bool {
    facts.consents.iter().any(|c| {
        c.effect == ConsentEffect::Deny
            && in_force(c, subject, now)
            && (c.labels.is_empty() || c.labels.without(labels) != c.labels)
    })
}

/// The sensitivities for which a consent is in force. One for the whole chart covers all but psychotherapy
/// notes, which need an authorisation of their own (45 CFR 164.508(a)(2)).
fn consents(facts: &PatientFacts, subject: &PersonId, now: Timestamp) -> SensitivitySet {
    let whole: SensitivitySet = Sensitivity::ALL
        .iter()
        .copied()
        .filter(|s| *s != Sensitivity::PsychotherapyNote)
        .collect();
    facts
        .consents
        .iter()
        .filter(|c| c.effect == ConsentEffect::Permit && in_force(c, subject, now))
        .map(|c| if c.labels.is_empty() { whole } else { c.labels })
        .fold(SensitivitySet::EMPTY, SensitivitySet::union)
}
