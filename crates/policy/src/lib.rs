//! The policy decision point: Cedar packs, the snapshot, decisions with four outcomes, explanation and replay.
//!
//! [`decide`] is pure: the world comes as a [`Snapshot`], the time as a parameter. Policies are Cedar, compiled
//! into an index ([`engine`]) that finds the few policies whose scope can match before anything is evaluated;
//! Cedar itself stays beside it as the reference. Cedar knows two answers; the other two of ours are
//! counterfactual: the same question under the authentication or the emergency grant that the ceremonies
//! ([`ceremony`]) would produce.
//!
//! Nothing here reads a clock, a file or a socket.

pub mod authzen;
pub mod ceremony;
mod decide;
pub mod decision;
pub mod engine;
pub mod explain;
mod facts;
pub mod pack;
pub mod record;
pub mod scenario;
pub mod snapshot;

pub use ceremony::{default_purpose, fulfil, grant};
pub use decide::{Concealed, UNKNOWN_PATIENT, conceal, decide, engine_questions, shadow};
pub use decision::{
    BreakGlass, Decision, Obligation, Permit, Reason, Refusal, ResponseCondition, Ruling, StepUp,
};
pub use domain::{Eligibility, Requirement};
pub use explain::{Explanation, explain};
pub use pack::{PackError, PackSource, PolicyPack};
pub use record::{DecisionRecord, replay};
pub use snapshot::{ApplicationFacts, Snapshot};
