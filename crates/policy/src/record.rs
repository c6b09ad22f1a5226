//! Decision records: what was asked, what was known, what was answered; enough to judge it again.
//!
//! A record holds the *slice* of the world that its request concerned, not the world. Judging reads nothing but
//! the slice, the request, the time and the pack, so that the same pack gives the same record again, bit for bit,
//! and another pack shows what would change.

use std::sync::Arc;

use domain::relation::{Encounter, Feed, PatientFacts, VendorWindow};
use domain::subject::SubjectKind;
use domain::{
    ApplicationId, CanonicalRequest, Context, Device, DeviceId, Eligibility, Outcome, PatientId,
    Person, PersonId, Requirement, Role, Subject, Target, Timestamp, UnitId,
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::decide::{judge, shadow_in};
use crate::decision::{Decision, Obligation, Reason, ResponseCondition, Ruling};
use crate::facts::FEEDS;
use crate::pack::PolicyPack;
use crate::snapshot::{ApplicationFacts, Snapshot};

/// The part of the world that one request concerns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Who asks, if the directory knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Arc<Person>>,
    /// The device asked from, if the inventory knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Arc<Device>>,
    /// The patients concerned, as far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<(PatientId, Arc<PatientFacts>)>,
    /// The vendor windows of whoever asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<VendorWindow>,
    /// The sources of relations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<Arc<Feed>>,
    /// The applications concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<(ApplicationId, ApplicationFacts)>,
}

impl Slice {
    pub(crate) fn of(snapshot: &Snapshot, request: &CanonicalRequest) -> Self {
        let person = snapshot.person(&request.subject.person).cloned();
        let device = request
            .subject
            .device
            .as_ref()
            .or_else(|| person.as_ref().and_then(|p| p.device.as_ref()))
            .and_then(|d| snapshot.device(d))
            .cloned();
        let mut patients: Vec<(PatientId, Arc<PatientFacts>)> = Vec::new();
        let mut applications: Vec<(ApplicationId, ApplicationFacts)> = Vec::new();
        for target in &request.targets {
            for patient in target.resource.patients() {
                if let Some(facts) = snapshot.patient(patient)
                    && !patients.iter().any(|(p, _)| p == patient)
                {
                    patients.push((patient.clone(), facts.clone()));
                }
            }
            if let Some(application) = target.resource.application()
                && let Some(facts) = snapshot.application(application)
                && !applications.iter().any(|(a, _)| a == application)
            {
                applications.push((application.clone(), *facts));
            }
        }
        let windows = snapshot
            .vendor_windows(&request.subject.person)
            .map(|w| w.to_vec())
            .unwrap_or_default();
        let feeds = FEEDS
            .iter()
            .filter_map(|name| snapshot.feed(name))
            .cloned()
            .collect();
        Self {
            person,
            device,
            patients,
            windows,
            feeds,
            applications,
        }
    }

    pub(crate) fn patient(&self, patient: &PatientId) -> Option<&PatientFacts> {
        self.patients
            .iter()
            .find(|(p, _)| p == patient)
            .map(|(_, facts)| &**facts)
    }

    pub(crate) fn application(&self, application: &ApplicationId) -> Option<&ApplicationFacts> {
        self.applications
            .iter()
            .find(|(a, _)| a == application)
            .map(|(_, facts)| facts)
    }

    /// What of it a record shows; the same as [`Slice::slim`], borrowed as far as possible.
    fn shown<'a>(&'a self, person: &'a PersonId) -> ShownSlice<'a> {
        ShownSlice {
            person: self.person.as_deref().map(ShownPerson::of),
            device: self.device.as_deref().map(ShownDevice::of),
            patients: self
                .patients
                .iter()
                .map(|(id, facts)| (id, slim_facts(facts, person)))
                .collect(),
            windows: &self.windows,
            feeds: &self.feeds,
            applications: &self.applications,
        }
    }

    /// What of it can matter to `person`: a record names no other member of a care team.
    fn slim(&self, person: &PersonId) -> Self {
        let mut slim = self.clone();
        if let Some(person) = &mut slim.person {
            Arc::make_mut(person).name = SmolStr::default();
        }
        if let Some(device) = &mut slim.device {
            Arc::make_mut(device).name = SmolStr::default();
        }
        for (_, facts) in &mut slim.patients {
            *facts = Arc::new(slim_facts(facts, person));
        }
        slim
    }
}

fn slim_facts(facts: &PatientFacts, person: &PersonId) -> PatientFacts {
    let only = |all: &[PersonId]| -> Vec<PersonId> {
        all.iter()
            .filter(|p| *p == person)
            .take(1)
            .cloned()
            .collect()
    };
    PatientFacts {
        vip: facts.vip,
        employee: facts.employee,
        adolescent: facts.adolescent,
        unit: facts.unit.clone(),
        care_team: only(&facts.care_team),
        encounters: facts
            .encounters
            .iter()
            .filter(|e: &&Encounter| e.person == *person)
            .cloned()
            .collect(),
        consents: facts
            .consents
            .iter()
            .filter(|c| c.people.is_empty() || c.people.contains(person))
            .map(|c| {
                let mut c = c.clone();
                c.people = only(&c.people);
                c
            })
            .collect(),
        proxies: only(&facts.proxies),
    }
}

/// Everything that is needed to judge a request again, and how it was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// Who asked.
    pub subject: Subject,
    /// What was asked for.
    pub targets: Vec<Target>,
    /// Under which circumstances.
    pub context: Context,
    /// For which instant it was judged.
    pub at: Timestamp,
    /// The answer.
    pub outcome: Outcome,
    /// In shadow mode: what the answer would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed: Option<Outcome>,
    /// Why.
    pub reason: Reason,
    /// The policies that determined it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<SmolStr>,
    /// What must be done with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
    /// What a human must look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<SmolStr>,
    /// For a step-up: the authentication that would have been enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<Requirement>,
    /// For a break-glass: the grant that would have been enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligibility: Option<Eligibility>,
    /// For a permit: what had to be true of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseCondition>,
    /// Until when the answer was known to hold.
    pub valid_until: Timestamp,
    /// The policies' hash.
    pub policy_hash: SmolStr,
    /// The state of the world.
    pub data_epoch: u64,
    /// The facts used.
    pub slice: Slice,
}

impl DecisionRecord {
    pub(crate) fn of(ruling: &Ruling) -> Self {
        Self {
            subject: ruling.request.subject.clone(),
            targets: ruling.request.targets.clone(),
            context: ruling.request.context.clone(),
            at: ruling.at,
            outcome: ruling.outcome,
            shadowed: ruling.shadowed,
            reason: ruling.reason.clone(),
            policies: ruling.policies.clone(),
            obligations: ruling.obligations.clone(),
            alarms: ruling.alarms.clone(),
            requirement: ruling.requirement.clone(),
            eligibility: ruling.eligibility.clone(),
            response: ruling.response,
            valid_until: ruling.valid_until,
            policy_hash: (&*ruling.policy_hash).into(),
            data_epoch: ruling.data_epoch,
            slice: ruling.slice.slim(&ruling.request.subject.person),
        }
    }

    /// The request as it was, without the message it came in.
    pub fn request(&self) -> CanonicalRequest {
        CanonicalRequest {
            subject: self.subject.clone(),
            targets: self.targets.clone(),
            context: self.context.clone(),
            message: None,
        }
    }
}

/// A [`DecisionRecord`] to be written and nothing else: the same bytes without the copies. Every request that is
/// answered writes one. The tests hold the two together.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    subject: &'a Subject,
    targets: &'a [Target],
    context: &'a Context,
    at: Timestamp,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadowed: Option<Outcome>,
    reason: &'a Reason,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policies: &'a [SmolStr],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    obligations: &'a [Obligation],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    alarms: &'a [SmolStr],
    #[serde(skip_serializing_if = "Option::is_none")]
    requirement: Option<&'a Requirement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligibility: Option<&'a Eligibility>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseCondition>,
    valid_until: Timestamp,
    policy_hash: &'a str,
    data_epoch: u64,
    slice: ShownSlice<'a>,
}

#[derive(Serialize)]
struct ShownSlice<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<ShownPerson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<ShownDevice<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patients: Vec<(&'a PatientId, PatientFacts)>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    windows: &'a [VendorWindow],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    feeds: &'a [Arc<Feed>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    applications: &'a [(ApplicationId, ApplicationFacts)],
}

/// A person without the name.
#[derive(Serialize)]
struct ShownPerson<'a> {
    id: &'a PersonId,
    name: &'static str,
    kind: SubjectKind,
    roles: &'a [Role],
    units: &'a [UnitId],
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a PatientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a DeviceId>,
}

impl<'a> ShownPerson<'a> {
    fn of(person: &'a Person) -> Self {
        let Person {
            id,
            name: _,
            kind,
            roles,
            units,
            active,
            patient,
            device,
        } = person;
        Self {
            id,
            name: "",
            kind: *kind,
            roles,
            units,
            active: *active,
            patient: patient.as_ref(),
            device: device.as_ref(),
        }
    }
}

/// A device without the name.
#[derive(Serialize)]
struct ShownDevice<'a> {
    id: &'a DeviceId,
    name: &'static str,
    class: &'a str,
    managed: bool,
    shared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    compliant: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a UnitId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ae_title: Option<&'a str>,
}

impl<'a> ShownDevice<'a> {
    fn of(device: &'a Device) -> Self {
        let Device {
            id,
            name: _,
            class,
            managed,
            shared,
            compliant,
            unit,
            ae_title,
        } = device;
        Self {
            id,
            name: "",
            class,
            managed: *managed,
            shared: *shared,
            compliant: *compliant,
            unit: unit.as_ref(),
            ae_title: ae_title.as_deref(),
        }
    }
}

impl<'a> Shown<'a> {
    pub(crate) fn of(ruling: &'a Ruling) -> Self {
        let CanonicalRequest {
            subject,
            targets,
            context,
            message: _,
        } = &ruling.request;
        Self {
            subject,
            targets,
            context,
            at: ruling.at,
            outcome: ruling.outcome,
            shadowed: ruling.shadowed,
            reason: &ruling.reason,
            policies: &ruling.policies,
            obligations: &ruling.obligations,
            alarms: &ruling.alarms,
            requirement: ruling.requirement.as_ref(),
            eligibility: ruling.eligibility.as_ref(),
            response: ruling.response,
            valid_until: ruling.valid_until,
            policy_hash: &ruling.policy_hash,
            data_epoch: ruling.data_epoch,
            slice: ruling.slice.shown(&subject.person),
        }
    }
}

/// Judges a recorded request again, under `pack`. The pack of the record gives the record again, bit for bit.
///
/// A permit that comes out carries no message: nothing can be forwarded with it.
pub fn replay(record: &DecisionRecord, pack: &Arc<PolicyPack>) -> Decision {
    let decision = judge(
        pack,
        record.slice.clone(),
        record.request(),
        record.at,
        record.data_epoch,
    );
    if record.shadowed.is_none() {
        return decision;
    }
    match shadow_in(decision) {
        Ok(permit) => Decision::Permit(permit),
        Err(decision) => decision,
    }
}
