//! FHIR R4: which interactions a request asks for, whose data a resource holds, what of a response may pass.
//!
//! 1. [`classify`] tells from address, headers and body what is asked for. What it does not know is
//!    `unclassified`; what has no single meaning is [`Malformed`].
//! 2. Writes are judged on content: [`facts`] of the new state, [`change`] against the stored one, [`apply_patch`]
//!    for the state that a patch would make.
//! 3. [`judge_response`] judges each resource of the answer and cuts out what may not pass.
//!
//! JSON alone is spoken. Not handled, and therefore unclassified or withheld: XML, FHIRPath Patch and patches in
//! bundles, conditional update, patch and delete, conditional entries of bundles, GraphQL, asynchronous answers,
//! compartments of others than patients, `_elements` and `_summary`, chained and reverse chained search. Where more can
//! be told than that, [`Classified::unserved`] tells it.
//!
//! What whoever forwards has to add, since it shows in no body: leave out the request headers of [`UNJUDGEABLE`],
//! send `HEAD` as `GET`, ask for `application/fhir+json` without content coding, drop `Location`, `ETag` and
//! `Last-Modified` where the body was withheld, and judge a `vread` also on the current version ([`strictest`]).

use std::ops::Range;

use ::http::Method;
use bytes::Bytes;
use domain::resource::FhirResource;
use domain::{ApplicationId, PatientId, Target};
use smol_str::SmolStr;

use crate::http::Head;

mod bundle;
mod change;
mod classify;
mod compartment;
mod facts;
mod includes;
mod json;
mod labels;
mod patch;
mod query;
mod reference;
mod response;
mod types;
mod unserved;

pub use change::{UNKNOWN_PERSON, change};
pub use classify::classify;
pub use compartment::is_patient_compartment;
pub use facts::{CONTROLLED_EXTENSION, TAG_SYSTEM, UNIT_EXTENSION, absent, facts};
pub use patch::{JSON_PATCH, apply_patch};
pub use response::{judge_response, safe_outcome, strictest};
pub use types::is_r4_type;
pub use unserved::Unserved;

/// A FHIR application: where its service base lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The application.
    pub application: ApplicationId,
    /// Path of the service base, such as `/fhir`.
    pub base: String,
}

/// The id of a patient who is nobody: what a resource gets whose patient exists but cannot be told.
/// No logical id of FHIR contains `~`, so no relation ever matches it.
pub const UNKNOWN_PATIENT: &str = "~unknown";

/// Header fields to leave out of a read whose response will be judged: with them the upstream may answer
/// without the content that has to be judged (304, 206), which tells that the resource exists.
pub const UNJUDGEABLE: &[&str] = &[
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "range",
    "if-range",
];

/// A request or resource that cannot be judged because it is not well formed. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {code}")]
pub struct Malformed {
    /// HTTP status to answer a request with (400, 406, 413, 415).
    pub status: u16,
    /// Stable code, kebab-case.
    pub code: &'static str,
}

/// What a request asks of a FHIR service.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// All that is asked for; at least one, without repetition. Permitted only if each is.
    pub targets: Vec<Target>,
    /// What a good answer looks like.
    pub response: ResponseShape,
    /// What it writes, to be judged on content in a second step.
    pub write: Option<Write>,
    /// Why something of it is `unclassified`, if there is more to say than that FHIR has no such thing.
    pub unserved: Option<Unserved>,
}

/// What a good answer looks like, and thus how to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseShape {
    /// One resource (read, vread).
    Single {
        /// Its type.
        resource_type: SmolStr,
        /// Its id.
        id: SmolStr,
    },
    /// Nothing, or the resource as written (create, update, patch). If it is withheld the body becomes empty.
    Written {
        /// Its type.
        resource_type: SmolStr,
        /// Its id, unless the server chooses it.
        id: Option<SmolStr>,
    },
    /// A Bundle of type `searchset` or `history`.
    Set,
    /// The server's own description.
    Capabilities,
    /// Nothing or an `OperationOutcome` (delete).
    Outcome,
    /// A `batch-response` or `transaction-response` with one entry for each of these.
    Batch(Vec<ResponseShape>),
    /// Unclassified: no answer can be judged; all is withheld.
    Opaque,
}

/// What a request writes.
///
/// `content` is where the new resource or the patch stands in the request's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new resource.
    Create {
        /// Its facts, to be judged as `fhir:create`.
        resource: Box<FhirResource>,
        /// Its bytes.
        content: Range<usize>,
        /// Criteria of a conditional create, as the query of a search of the resource's type.
        if_none_exist: Option<String>,
    },
    /// A new state of a resource, or a new resource under an id that the client chose.
    Update {
        /// Type.
        resource_type: SmolStr,
        /// Id.
        id: SmolStr,
        /// Facts of the new state, without `change`.
        resource: Box<FhirResource>,
        /// Bytes of the new state.
        content: Range<usize>,
    },
    /// A change to a resource.
    Patch {
        /// Type.
        resource_type: SmolStr,
        /// Id.
        id: SmolStr,
        /// Media type, the second argument of [`apply_patch`].
        format: SmolStr,
        /// Bytes of the patch.
        content: Range<usize>,
    },
    /// A deletion.
    Delete {
        /// Type.
        resource_type: SmolStr,
        /// Id.
        id: SmolStr,
    },
    /// The writes of a batch or transaction.
    Many(Vec<Write>),
}

/// Whether a resource may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Release,
    /// It may not, and shall leave no trace.
    Withhold,
}

/// A resource of a response, for the disclosure record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosed {
    /// Type; `~` if it could not be told.
    pub resource_type: SmolStr,
    /// Id, if it has one.
    pub id: Option<SmolStr>,
    /// Version, if it has one.
    pub version: Option<SmolStr>,
    /// Patients concerned.
    pub patients: Vec<PatientId>,
}

/// A response after judging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What may go to the client.
    pub body: Bytes,
    /// What it discloses.
    pub released: Vec<Disclosed>,
    /// What was taken out.
    pub withheld: Vec<Disclosed>,
}

/// Whether the body must be read whole before the request can be classified.
pub fn needs_body(_service: &Service, head: &Head) -> bool {
    matches!(head.method, Method::POST | Method::PUT | Method::PATCH)
}
