//! The answer to a request: one of four, each with its ruling.

use std::sync::Arc;

use domain::{CanonicalRequest, Context, Eligibility, Outcome, Requirement, Target, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::record::{DecisionRecord, Shown, Slice};

/// Why, in one stable code and one plain sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable, kebab-case.
    pub code: SmolStr,
    /// One sentence that a clinician understands. It never carries an identifier of a patient.
    pub sentence: SmolStr,
}

/// Something that whoever enforces a decision has to do with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Obligation {
    /// Its name, such as `notify_privacy_officer` or `no_download`.
    pub name: SmolStr,
}

/// The decision on one request.
#[derive(Debug)]
#[must_use = "a decision that is not enforced protects nobody"]
pub enum Decision {
    /// Go on.
    Permit(Permit),
    /// Possible after stronger or fresher authentication.
    StepUp(StepUp),
    /// Possible after declaring an emergency.
    BreakGlass(BreakGlass),
    /// No.
    Deny(Refusal),
}

impl Decision {
    /// Which of the four it is.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Permit(_) => Outcome::Permit,
            Self::StepUp(_) => Outcome::StepUp,
            Self::BreakGlass(_) => Outcome::BreakGlass,
            Self::Deny(_) => Outcome::Deny,
        }
    }

    /// What was ruled and why.
    pub fn ruling(&self) -> &Ruling {
        match self {
            Self::Permit(d) => &d.ruling,
            Self::StepUp(d) => &d.ruling,
            Self::BreakGlass(d) => &d.ruling,
            Self::Deny(d) => &d.ruling,
        }
    }

    /// The authentication that would be enough, for a step-up.
    pub fn requirement(&self) -> Option<&Requirement> {
        match self {
            Self::StepUp(d) => Some(&d.requirement),
            Self::Permit(_) | Self::BreakGlass(_) | Self::Deny(_) => None,
        }
    }

    /// The emergency grant that would be enough, for a break-glass.
    pub fn eligibility(&self) -> Option<&Eligibility> {
        match self {
            Self::BreakGlass(d) => Some(&d.eligibility),
            Self::Permit(_) | Self::StepUp(_) | Self::Deny(_) => None,
        }
    }
}

/// Proof that policy allowed one request, which it owns. Not `Clone`; recording and then forwarding consume it.
#[derive(Debug)]
pub struct Permit {
    pub(crate) ruling: Box<Ruling>,
    pub(crate) response: ResponseCondition,
}

/// What must be true of the response before it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseCondition {
    /// Nothing: the request was judged in full.
    AsIs,
    /// Each resource in it must be judged by itself.
    JudgeEach,
}

impl Permit {
    /// The request that may be forwarded.
    pub fn request(&self) -> &CanonicalRequest {
        &self.ruling.request
    }

    /// The same, for whoever forwards it and is done with the rest.
    pub fn into_request(self) -> CanonicalRequest {
        self.ruling.request
    }

    /// What was ruled and why.
    pub fn ruling(&self) -> &Ruling {
        &self.ruling
    }

    /// What must be true of the response.
    pub fn response(&self) -> ResponseCondition {
        self.response
    }

    /// The last instant at which the permit is known to hold; streams end there.
    pub fn valid_until(&self) -> Timestamp {
        self.ruling.valid_until
    }

    /// A question about something that came up while serving this request: same subject, same circumstances.
    pub fn about(&self, target: Target) -> CanonicalRequest {
        CanonicalRequest {
            subject: self.ruling.request.subject.clone(),
            targets: vec![target],
            context: Context::clone(&self.ruling.request.context),
            message: None,
        }
    }
}

/// Possible after stronger or fresher authentication.
#[derive(Debug)]
pub struct StepUp {
    pub(crate) ruling: Box<Ruling>,
    /// The authentication that is enough.
    pub requirement: Requirement,
}

/// Possible after declaring an emergency.
#[derive(Debug)]
pub struct BreakGlass {
    pub(crate) ruling: Box<Ruling>,
    /// The grant that is enough.
    pub eligibility: Eligibility,
}

/// Not possible.
#[derive(Debug)]
pub struct Refusal {
    pub(crate) ruling: Box<Ruling>,
}

/// What was ruled on a request, and why.
#[derive(Debug)]
pub struct Ruling {
    pub(crate) request: CanonicalRequest,
    pub(crate) outcome: Outcome,
    pub(crate) requirement: Option<Requirement>,
    pub(crate) eligibility: Option<Eligibility>,
    pub(crate) response: Option<ResponseCondition>,
    pub(crate) reason: Reason,
    pub(crate) policies: Vec<SmolStr>,
    pub(crate) obligations: Vec<Obligation>,
    pub(crate) alarms: Vec<SmolStr>,
    pub(crate) at: Timestamp,
    pub(crate) valid_until: Timestamp,
    pub(crate) policy_hash: Arc<str>,
    pub(crate) data_epoch: u64,
    pub(crate) shadowed: Option<Outcome>,
    pub(crate) slice: Slice,
}

impl Ruling {
    /// The request that was judged.
    pub fn request(&self) -> &CanonicalRequest {
        &self.request
    }

    /// Which of the four answers it is; for a shadowed request, `Permit`.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The policies that determined it, in the pack's order.
    pub fn policies(&self) -> &[SmolStr] {
        &self.policies
    }

    /// What must be done with it: of a permit, the union over the satisfied permits; of a denial, over the
    /// forbids that caused it.
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// Whether an obligation of this name is among them.
    pub fn obliges(&self, name: &str) -> bool {
        self.obligations.iter().any(|o| o.name == name)
    }

    /// What a human must look at: a policy that failed, a decision that panicked.
    pub fn alarms(&self) -> &[SmolStr] {
        &self.alarms
    }

    /// The instant for which it was judged.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The last instant at which this answer is known to hold.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// The policy pack it was judged by: SHA-256 of its source, in hex.
    pub fn policy_hash(&self) -> &str {
        &self.policy_hash
    }

    /// The state of the snapshot it was judged in.
    pub fn data_epoch(&self) -> u64 {
        self.data_epoch
    }

    /// For a request that was forwarded only because its application is in shadow mode: what it would have been.
    pub fn shadowed(&self) -> Option<Outcome> {
        self.shadowed
    }

    /// Everything that is needed to judge it again.
    pub fn record(&self) -> DecisionRecord {
        DecisionRecord::of(self)
    }

    /// The same as JSON, appended to `out`: what a log keeps.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // A record is plain data with text keys; it cannot fail to serialise.
        if serde_json::to_writer(&mut *out, &Shown::of(self)).is_err() {
            out.truncate(start);
        }
    }
}
