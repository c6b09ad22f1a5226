//! The canonical request: what is judged is what is forwarded.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use crate::{Action, ApplicationId, Context, Resource, Subject};

/// One thing asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub resource: Resource,
}

/// A request in its one canonical form.
///
/// It may ask for several things at once (the entries of a FHIR bundle, a search and its includes); it is
/// permitted only if each of them is.
#[derive(Clone, Debug)]
pub struct CanonicalRequest {
    /// Who asks.
    pub subject: Subject,
    /// What is asked for; at least one.
    pub targets: Vec<Target>,
    /// Under which circumstances.
    pub context: Context,
    /// The HTTP message it came in, if it came in one.
    pub message: Option<Message>,
}

/// An HTTP request in canonical form: the only thing from which an upstream request is built.
#[derive(Clone, Debug)]
pub struct Message {
    /// The application it is addressed to.
    pub application: ApplicationId,
    /// Method.
    pub method: Method,
    /// Path in canonical form: one leading slash, no empty, `.` or `..` segment, percent-encoding only where
    /// needed and in upper case.
    pub path: String,
    /// Query as received, checked, without `?`.
    pub query: Option<String>,
    /// End-to-end headers, without credentials of ours, forwarding headers and any alias of our own headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// The body of a canonical message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// Read whole, because judging needed it.
    Whole(Bytes),
    /// Passed through as it comes; its length if the client stated one.
    Streamed(Option<u64>),
}
