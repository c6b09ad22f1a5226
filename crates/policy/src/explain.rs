//! Why, and why not: computed from a record when somebody asks.

use std::sync::Arc;

use domain::{Outcome, Resource};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::decide::{nearest, phrase};
use crate::decision::Reason;
use crate::facts::Stage;
use crate::pack::PolicyPack;
use crate::record::DecisionRecord;

/// Why a decision was what it was. It names no patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The answer.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: Reason,
    /// The policies that determined it.
    pub policies: Vec<SmolStr>,
    /// The permit that came nearest, where none was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<SmolStr>,
    /// What that permit lacked, in plain words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The whole, sentence by sentence.
    pub text: Vec<String>,
}

/// Explains a recorded decision by the policies of `pack`, which should be the record's own.
pub fn explain(record: &DecisionRecord, pack: &Arc<PolicyPack>) -> Explanation {
    let mut explanation = Explanation {
        outcome: record.outcome,
        reason: record.reason.clone(),
        policies: record.policies.clone(),
        nearest: None,
        missing: Vec::new(),
        text: vec![record.reason.sentence.to_string()],
    };
    if record.policy_hash != pack.hash() {
        explanation.text.push(
            "The policies have changed since; this explains them as they are now.".to_owned(),
        );
    }
    if let Some(would_be) = record.shadowed {
        explanation.text.push(format!(
            "The application is in shadow mode: the request went through, but would have been answered with {}.",
            name(would_be)
        ));
    }
    for policy in &record.policies {
        if let Some(sentence) = sentence_of(pack, policy) {
            explanation.text.push(format!("{policy}: {sentence}"));
        }
    }
    if record.outcome != Outcome::Permit || record.shadowed.is_some() {
        look_for_nearest(record, pack, &mut explanation);
    }
    let all: Vec<&str> = record.obligations.iter().map(|o| o.name.as_str()).collect();
    if !all.is_empty() {
        explanation
            .text
            .push(format!("It comes with the obligations {}.", all.join(", ")));
    }
    if let Some(requirement) = &record.requirement {
        explanation.text.push(format!(
            "It is possible after signing in again at level {}{}, no more than {} seconds before.",
            u8::from(requirement.level),
            if requirement.phishing_resistant {
                " with a passkey"
            } else {
                ""
            },
            requirement.max_age_secs
        ));
    }
    if let Some(eligibility) = &record.eligibility {
        explanation.text.push(format!(
            "It is possible for {} minutes after declaring an emergency{}.",
            eligibility.duration_secs / 60,
            if eligibility.step_up.is_some() {
                ", with a fresh sign-in first"
            } else {
                ""
            }
        ));
    }
    explanation
}

fn look_for_nearest(
    record: &DecisionRecord,
    pack: &Arc<PolicyPack>,
    explanation: &mut Explanation,
) {
    let Some(person) = record.slice.person.as_deref() else {
        explanation
            .missing
            .push("a person whom the directory knows".to_owned());
        return;
    };
    let stage = Stage {
        slice: &record.slice,
        person,
        subject: &record.subject,
        now: record.at,
    };
    let engine = pack.engine();
    for target in &record.targets {
        let query = pack.vocabulary().query(&stage, target, &record.context);
        let mut selected = Vec::new();
        engine.select(&query, &mut selected);
        let verdict = engine.evaluate_selected(&query, &selected);
        if verdict.allows() {
            continue;
        }
        if verdict.permits.is_empty() {
            match nearest(pack, &query, &selected) {
                None => {
                    explanation
                        .missing
                        .push("a role that includes this".to_owned());
                    explanation.text.push(format!(
                        "No rule lets this role do {} on {}.",
                        target.action,
                        kind(&target.resource)
                    ));
                }
                Some((policy, unmet)) => {
                    let conditions = engine.policies()[policy as usize].conditions.as_deref();
                    explanation.nearest = Some(pack.id(policy).clone());
                    explanation.missing = unmet
                        .iter()
                        .filter_map(|at| conditions.and_then(|c| c.get(*at)))
                        .map(|c| phrase(pack, c))
                        .collect();
                    explanation.text.push(format!(
                        "The rule that came nearest is {}. It lacked: {}.",
                        pack.id(policy),
                        explanation.missing.join("; ")
                    ));
                }
            }
        }
        return;
    }
}

fn sentence_of(pack: &PolicyPack, id: &str) -> Option<String> {
    let at = pack.engine().policies().iter().position(|p| p.id == id)?;
    let notes = pack.notes(u32::try_from(at).ok()?);
    notes.reason.as_ref().map(ToString::to_string)
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Permit => "a permit",
        Outcome::StepUp => "a request for stronger authentication",
        Outcome::BreakGlass => "an offer of emergency access",
        Outcome::Deny => "a refusal",
    }
}

fn kind(resource: &Resource) -> String {
    match resource {
        Resource::FhirEndpoint(r) => format!("{} resources", r.resource_type),
        Resource::FhirResource(r) => format!("a {} resource", r.resource_type),
        Resource::WebPage(r) => format!("the area `{}` of `{}`", r.area, r.application),
        Resource::DicomNode(r) => format!("the DICOM node `{}`", r.ae_title),
        Resource::Hl7Interface(r) => {
            format!(
                "the HL7 interface `{}` ({}^{})",
                r.name, r.message_code, r.trigger
            )
        }
        Resource::NetworkService(r) => format!("a {} service on port {}", r.protocol, r.port),
        Resource::Console(r) => format!("the console's area `{}`", r.area),
    }
}
