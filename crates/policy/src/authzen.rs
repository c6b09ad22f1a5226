//! AuthZEN Authorization API 1.0: evaluation and evaluations.
//!
//! The vocabulary (types, properties, context) is documented in `docs/decisions.md` and read in
//! `vocabulary`. Facts may come inline, by which a question can be put about a hospital that exists only in the
//! question; what is not given is looked up in the snapshot, and what neither knows counts as no.
//!
//! A property or circumstance that the vocabulary does not have is an error that names its place: a misspelt fact
//! would otherwise be silently absent. Beside them, in AuthZEN's own frame, unknown members are passed over, as the
//! standard has it, unless they can only be a slip. A type or an action that is not ours at all is a well-formed
//! question about something that no policy permits, and answered so.

mod reading;
mod vocabulary;

use domain::{CanonicalRequest, Timestamp};
use serde_json::{Map, Value, json};

use crate::decide::decide;
use crate::decision::Decision;
use crate::snapshot::Snapshot;
use reading::{Frame, object};
use vocabulary::{CIRCUMSTANCES, Question};

pub use reading::parse;

/// More questions than this in one request are refused.
pub const EVALUATIONS_MAX: usize = 10_000;

/// A request that is not well-formed, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct AuthzenError {
    /// Where, such as `resource.properties` or `evaluations[2].action.name`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl AuthzenError {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

/// Which questions of several are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// What a question consists of.
const PARTS: [&str; 4] = ["subject", "action", "resource", "context"];

/// Judges an evaluation request, or an evaluations request if it has a non-empty `evaluations`.
///
/// One of several questions that is not well-formed is answered no, with the mistake in `context.error`; the others
/// are judged. A single question, and what is a default for several, is an error as a whole.
pub fn evaluate(snapshot: &Snapshot, body: &Value, now: Timestamp) -> Result<Value, AuthzenError> {
    let known = [
        "subject",
        "action",
        "resource",
        "context",
        "evaluations",
        "options",
    ];
    Frame::new(body, "request", &known, &[("context", CIRCUMSTANCES)])?;
    let body = object(body, "request")?;
    let semantic = semantic(body.get("options"))?;
    let several = match body.get("evaluations") {
        None => &[],
        Some(Value::Array(all)) => all.as_slice(),
        Some(_) => {
            return Err(AuthzenError::new(
                "evaluations",
                "must be a list of questions",
            ));
        }
    };
    if several.is_empty() {
        return one(snapshot, body, now, "");
    }
    if several.len() > EVALUATIONS_MAX {
        return Err(AuthzenError::new(
            "evaluations",
            format!(
                "{} questions in one request; at most {EVALUATIONS_MAX}",
                several.len()
            ),
        ));
    }
    Question::check_defaults(body)?;
    let mut answers = Vec::with_capacity(several.len());
    for (at, item) in several.iter().enumerate() {
        let answer = one_of(snapshot, body, item, now, &format!("evaluations[{at}]"))
            .unwrap_or_else(|error| misunderstood(&error));
        let permitted = answer.get("decision") == Some(&Value::Bool(true));
        answers.push(answer);
        match semantic {
            Semantic::DenyOnFirstDeny if !permitted => break,
            Semantic::PermitOnFirstPermit if permitted => break,
            Semantic::ExecuteAll | Semantic::DenyOnFirstDeny | Semantic::PermitOnFirstPermit => {}
        }
    }
    Ok(json!({ "evaluations": answers }))
}

/// The mistakes in those questions of an answered request that were not well-formed.
pub fn mistakes(answer: &Value) -> impl Iterator<Item = &str> {
    let all = answer.get("evaluations").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(|one| one.pointer("/context/error/message")?.as_str())
}

/// One of several: what it does not say itself, the request says for all.
fn one_of(
    snapshot: &Snapshot,
    defaults: &Map<String, Value>,
    item: &Value,
    now: Timestamp,
    place: &str,
) -> Result<Value, AuthzenError> {
    Frame::new(item, place, &PARTS, &[("context", CIRCUMSTANCES)])?;
    let item = object(item, place)?;
    let merged = PARTS
        .into_iter()
        .filter_map(|part| {
            let value = item.get(part).or_else(|| defaults.get(part))?;
            Some((part.to_owned(), value.clone()))
        })
        .collect();
    one(snapshot, &merged, now, &format!("{place}."))
}

fn misunderstood(error: &AuthzenError) -> Value {
    let mut answer = refused(
        "malformed-question",
        "This question could not be understood, so the answer is no.",
    );
    answer["context"]["error"] = json!({ "status": 400, "message": error.to_string() });
    answer
}

/// The world and the request that one question describes. `None` if it is about something that is not ours.
pub(crate) fn question(
    snapshot: &Snapshot,
    body: &Map<String, Value>,
    now: Timestamp,
    place: &str,
) -> Result<Option<(Snapshot, CanonicalRequest, Timestamp)>, AuthzenError> {
    Question::read(body, place)?
        .map(|q| q.put(snapshot, now))
        .transpose()
}

fn one(
    snapshot: &Snapshot,
    body: &Map<String, Value>,
    now: Timestamp,
    place: &str,
) -> Result<Value, AuthzenError> {
    match question(snapshot, body, now, place)? {
        Some((world, request, now)) => Ok(answer(&decide(&world, request, now))),
        None => Ok(refused(
            "unclassified-request",
            "This kind of request is not one that the hospital has rules for.",
        )),
    }
}

/// A denial for which no policy was asked.
fn refused(code: &str, sentence: &str) -> Value {
    json!({
        "decision": false,
        "context": {
            "outcome": "deny",
            "reason": { "code": code, "sentence": sentence },
            "obligations": [],
            "policies": [],
            "valid_until": Timestamp::FOREVER.to_string(),
        },
    })
}

/// A decision in AuthZEN's form. Only a permit is `true`.
pub fn answer(decision: &Decision) -> Value {
    let ruling = decision.ruling();
    let mut context = json!({
        "outcome": decision.outcome().as_str(),
        "reason": { "code": ruling.reason().code, "sentence": ruling.reason().sentence },
        "obligations": ruling.obligations(),
        "policies": ruling.policies(),
        "valid_until": ruling.valid_until().to_string(),
    });
    if let Some(requirement) = decision.requirement() {
        context["requirement"] = json!(requirement);
    }
    if let Some(eligibility) = decision.eligibility() {
        context["eligibility"] = json!(eligibility);
    }
    if let Decision::Permit(permit) = decision {
        context["response"] = json!(permit.response());
    }
    if !ruling.alarms().is_empty() {
        context["alarms"] = json!(ruling.alarms());
    }
    json!({ "decision": matches!(decision, Decision::Permit(_)), "context": context })
}

fn semantic(options: Option<&Value>) -> Result<Semantic, AuthzenError> {
    let Some(options) = options else {
        return Ok(Semantic::ExecuteAll);
    };
    Frame::new(options, "options", &["evaluations_semantic"], &[])?;
    match options.get("evaluations_semantic") {
        None => Ok(Semantic::ExecuteAll),
        Some(Value::String(s)) if s == "execute_all" => Ok(Semantic::ExecuteAll),
        Some(Value::String(s)) if s == "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
        Some(Value::String(s)) if s == "permit_on_first_permit" => {
            Ok(Semantic::PermitOnFirstPermit)
        }
        Some(other) => Err(AuthzenError::new(
            "options.evaluations_semantic",
            format!("`{other}` is not execute_all, deny_on_first_deny or permit_on_first_permit"),
        )),
    }
}

#[cfg(test)]
mod tests;
