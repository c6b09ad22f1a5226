//! Deciding: four outcomes from an engine that knows two answers.
//!
//! First the question as it is. If the answer is no, the same question under the strongest authentication that a
//! step-up could give; then under an emergency grant for the one patient concerned; then under both. What the
//! ceremonies would really produce is what is tried, so that an offer that is made can be kept.

mod judge;
mod reasons;
mod validity;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::resource::FhirResource;
use domain::{
    Action, CanonicalRequest, EnforcementMode, Outcome, PatientId, Resource, Target, Timestamp,
};

use crate::decision::{
    BreakGlass, Decision, Permit, Reason, Refusal, ResponseCondition, Ruling, StepUp,
};
use crate::engine::{Query, Verdict};
use crate::facts::relation::Relation;
use crate::facts::{Stage, is_fhir};
use crate::pack::PolicyPack;
use crate::record::Slice;
use crate::snapshot::Snapshot;
use judge::{Finding, Judge};

pub(crate) use judge::nearest;
pub(crate) use reasons::phrase;

/// Judges one request. Pure; a panic inside is caught and denies.
///
/// With several targets the request is permitted only if each target is, and the outcome is the weakest of
/// theirs. An emergency grant is for one patient: if several patients would each need one, the answer is no, with
/// a reason that says so.
pub fn decide(snapshot: &Snapshot, request: CanonicalRequest, now: Timestamp) -> Decision {
    let slice = catch_unwind(AssertUnwindSafe(|| Slice::of(snapshot, &request)));
    // Without a slice nobody is known, and an unknown person is refused.
    let slice = slice.unwrap_or_default();
    judge(snapshot.pack(), slice, request, now, snapshot.data_epoch())
}

/// Judges one request from its slice of the world.
pub(crate) fn judge(
    pack: &Arc<PolicyPack>,
    slice: Slice,
    request: CanonicalRequest,
    now: Timestamp,
    data_epoch: u64,
) -> Decision {
    let finding = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        tests::trip();
        Judge::new(pack, &slice, &request, now).find()
    }));
    let finding = finding.unwrap_or_else(|_| Box::new(Finding::panicked(now)));
    let response = (finding.outcome == Outcome::Permit).then(|| condition(&request));
    let ruling = Box::new(Ruling {
        request,
        outcome: finding.outcome,
        requirement: finding.requirement.clone(),
        eligibility: finding.eligibility.clone(),
        response,
        reason: finding.reason,
        policies: finding.policies,
        obligations: finding.obligations,
        alarms: finding.alarms,
        at: now,
        valid_until: finding.valid_until,
        policy_hash: pack.shared_hash().clone(),
        data_epoch,
        shadowed: None,
        slice,
    });
    match (
        finding.outcome,
        response,
        finding.requirement,
        finding.eligibility,
    ) {
        (Outcome::Permit, Some(response), _, _) => Decision::Permit(Permit { ruling, response }),
        (Outcome::StepUp, _, Some(requirement), _) => Decision::StepUp(StepUp {
            ruling,
            requirement,
        }),
        (Outcome::BreakGlass, _, _, Some(eligibility)) => Decision::BreakGlass(BreakGlass {
            ruling,
            eligibility,
        }),
        (Outcome::Permit | Outcome::StepUp | Outcome::BreakGlass | Outcome::Deny, ..) => {
            Decision::Deny(Refusal { ruling })
        }
    }
}

/// The engine's questions for a request, each with our evaluator's answer, so that Cedar's can be set beside it.
/// Empty for a request that is refused before any policy is asked.
pub fn engine_questions(
    snapshot: &Snapshot,
    request: &CanonicalRequest,
    now: Timestamp,
) -> Vec<(Query, Verdict)> {
    let slice = Slice::of(snapshot, request);
    let Some(person) = slice.person.as_deref() else {
        return Vec::new();
    };
    let stage = Stage {
        slice: &slice,
        person,
        subject: &request.subject,
        now,
    };
    let pack = snapshot.pack();
    request
        .targets
        .iter()
        .map(|target| {
            let query = pack.vocabulary().query(&stage, target, &request.context);
            let verdict = pack.engine().evaluate(&query);
            (query, verdict)
        })
        .collect()
}

/// What must be true of the response to a permitted request.
fn condition(request: &CanonicalRequest) -> ResponseCondition {
    let judged_by_address = |target: &Target| match &target.resource {
        Resource::FhirEndpoint(_) => target.action != Action::FhirCapabilities,
        // A write may return what is stored, which is more than what was sent.
        Resource::FhirResource(_) => !target.action.is_safe(),
        Resource::WebPage(_)
        | Resource::DicomNode(_)
        | Resource::Hl7Interface(_)
        | Resource::NetworkService(_)
        | Resource::Console(_) => false,
    };
    if request.targets.iter().any(judged_by_address) {
        ResponseCondition::JudgeEach
    } else {
        ResponseCondition::AsIs
    }
}

/// For a refusal on an application in shadow mode: the permit under which it is forwarded all the same.
///
/// Every target must be of an application in shadow mode. The permit keeps what the answer would have been
/// ([`Ruling::shadowed`]) and why.
pub fn shadow(snapshot: &Snapshot, decision: Decision) -> Result<Permit, Decision> {
    let in_shadow = |target: &Target| {
        target
            .resource
            .application()
            .and_then(|a| snapshot.application(a))
            .is_some_and(|a| a.mode == EnforcementMode::Shadow)
    };
    let targets = &decision.ruling().request.targets;
    if targets.is_empty() || !targets.iter().all(in_shadow) {
        return Err(decision);
    }
    shadow_in(decision)
}

/// As [`shadow`], for a decision on an application that is known to be in shadow mode.
pub(crate) fn shadow_in(decision: Decision) -> Result<Permit, Decision> {
    let would_be = decision.outcome();
    let mut ruling = match decision {
        Decision::Permit(_) => return Err(decision),
        Decision::StepUp(d) => d.ruling,
        Decision::BreakGlass(d) => d.ruling,
        Decision::Deny(d) => d.ruling,
    };
    let response = condition(&ruling.request);
    ruling.outcome = Outcome::Permit;
    ruling.shadowed = Some(would_be);
    ruling.response = Some(response);
    Ok(Permit { ruling, response })
}

/// What somebody without relation is told in place of a refusal that rests on a resource's content.
#[derive(Debug)]
pub enum Concealed {
    /// That it does not exist.
    NotFound,
    /// What anybody would be told of an ordinary resource of a stranger. It is never a permit.
    Answer(Decision),
}

/// The patient of a resource that does not exist: nobody has any relation to it.
pub const UNKNOWN_PATIENT: &str = "~unknown";

/// If `decision` refuses because of what the resource holds and the subject has no relation to its patient: the
/// answer that an absent resource would get, to be given in its place so that nothing shows that it exists.
///
/// `None` means that the decision may be told as it is.
pub fn conceal(snapshot: &Snapshot, decision: &Decision) -> Option<Concealed> {
    let ruling = decision.ruling();
    if decision.outcome() != Outcome::Deny
        || !ruling.request.targets.iter().any(|t| is_fhir(&t.resource))
    {
        return None;
    }
    let person = ruling.slice.person.as_deref()?;
    let stage = Stage {
        slice: &ruling.slice,
        person,
        subject: &ruling.request.subject,
        now: ruling.at,
    };
    let related = ruling
        .request
        .targets
        .iter()
        .filter(|t| !t.resource.patients().is_empty())
        .any(|t| Relation::of(&stage, t, &ruling.request.context).is_any());
    if related {
        return None;
    }
    let targets = ruling.request.targets.iter().map(absent).collect();
    let request = CanonicalRequest {
        subject: ruling.request.subject.clone(),
        targets,
        context: ruling.request.context.clone(),
        message: None,
    };
    let slice = Slice {
        patients: Vec::new(),
        ..ruling.slice.clone()
    };
    let answer = judge(
        snapshot.pack(),
        slice,
        request,
        ruling.at,
        ruling.data_epoch,
    );
    if answer.outcome() == decision.outcome() && answer.ruling().reason == ruling.reason {
        return None;
    }
    Some(match answer {
        Decision::Permit(_) => Concealed::NotFound,
        other @ (Decision::StepUp(_) | Decision::BreakGlass(_) | Decision::Deny(_)) => {
            Concealed::Answer(other)
        }
    })
}

/// The same target if what it names did not exist.
fn absent(target: &Target) -> Target {
    let Resource::FhirResource(r) = &target.resource else {
        return target.clone();
    };
    let own = r.resource_type == "Patient";
    let patients = match &r.id {
        Some(id) if own => vec![PatientId::new(id.clone())],
        _ => vec![PatientId::new(UNKNOWN_PATIENT)],
    };
    let resource = FhirResource {
        application: r.application.clone(),
        resource_type: r.resource_type.clone(),
        id: r.id.clone(),
        patients,
        confidentiality: domain::Confidentiality::N,
        labels: domain::SensitivitySet::EMPTY,
        authors: Vec::new(),
        device: None,
        unit: None,
        categories: Vec::new(),
        controlled: false,
        deidentified: false,
        change: None,
    };
    Target {
        action: target.action,
        resource: Resource::FhirResource(Box::new(resource)),
    }
}

/// A reason of the engine's own.
pub(crate) fn reason(code: &'static str, sentence: &'static str) -> Reason {
    Reason {
        code: smol_str::SmolStr::new_static(code),
        sentence: smol_str::SmolStr::new_static(sentence),
    }
}

#[cfg(test)]
mod tests;
