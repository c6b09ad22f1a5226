//! What is appended and what is read back.

use std::fmt;

use domain::{RecordId, Timestamp};
use serde::{Deserialize, Serialize};

/// One thing that happened, to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What sort of thing it is.
    pub kind: Kind,
    /// Small facts that stay for as long as the log does. Never anything about a patient: it cannot be erased.
    pub header: serde_json::Map<String, serde_json::Value>,
    /// Everything else. The log commits to it, yet it can be pruned without breaking a root. May be empty.
    pub payload: Vec<u8>,
}

/// The sorts of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The program began to record.
    Started,
    /// The program stopped in good order.
    Stopped,
    /// A request was judged.
    Decision,
    /// A response released or withheld resources.
    Disclosure,
    /// A stream or tunnel was opened.
    StreamOpened,
    /// A stream or tunnel was closed.
    StreamClosed,
    /// A request was refused because its meaning was in doubt.
    Malformed,
    /// A person signed in.
    SignIn,
    /// An attempt to sign in failed.
    SignInFailed,
    /// A person signed out.
    SignOut,
    /// A person proved their presence again, more strongly.
    StepUp,
    /// A person opened a chart in an emergency, giving a reason.
    BreakGlass,
    /// A session was ended by time, by an administrator or by a signal.
    SessionEnded,
    /// A policy pack came into force.
    PolicyLoaded,
    /// Somebody changed the configuration or the record itself.
    Administration,
    /// Records are known to be missing, and why.
    Gap,
}

impl Kind {
    /// The kind's name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Decision => "decision",
            Self::Disclosure => "disclosure",
            Self::StreamOpened => "stream_opened",
            Self::StreamClosed => "stream_closed",
            Self::Malformed => "malformed",
            Self::SignIn => "sign_in",
            Self::SignInFailed => "sign_in_failed",
            Self::SignOut => "sign_out",
            Self::StepUp => "step_up",
            Self::BreakGlass => "break_glass",
            Self::SessionEnded => "session_ended",
            Self::PolicyLoaded => "policy_loaded",
            Self::Administration => "administration",
            Self::Gap => "gap",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record as it lies in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its place in the log.
    pub id: RecordId,
    /// When it happened.
    pub at: Timestamp,
    /// What sort of thing it is.
    pub kind: Kind,
    /// The facts that stay.
    pub header: serde_json::Map<String, serde_json::Value>,
    /// The payload; `None` once it has been pruned.
    pub payload: Option<Vec<u8>>,
}

/// A record that has just become durable, as subscribers are told of it: not read yet, since most of them keep a few
/// facts of it and the rest only until somebody looks.
#[derive(Clone, Copy, Debug)]
pub struct Fresh<'a> {
    /// Its place in the log.
    pub id: RecordId,
    /// Its leaf: JSON, as [`format::leaf`](crate::format::leaf) describes it.
    pub leaf: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl Fresh<'_> {
    /// The record, read. `None` if its leaf does not read, which for one of our own means a fault.
    pub fn stored(&self) -> Option<Stored> {
        let leaf = crate::format::leaf::decode(self.leaf).ok()?;
        Some(Stored {
            id: self.id,
            at: leaf.at,
            kind: leaf.kind,
            header: leaf.header,
            payload: Some(self.payload.to_vec()),
        })
    }
}

/// Why an entry can never be recorded as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecordable {
    /// The leaf would exceed its bound.
    #[error(
        "the header makes a leaf of {leaf_bytes} bytes; at most {max} fit (move detail into the payload)"
    )]
    HeaderTooBig {
        /// Size of the leaf that the header would make.
        leaf_bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The payload exceeds its bound.
    #[error("a payload of {bytes} bytes is too big; at most {max} fit")]
    PayloadTooBig {
        /// Size of the payload.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The instant lies outside what RFC 3339 text can hold.
    #[error("the instant lies outside the years 1970 to 9999")]
    InstantOutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_prints_as_it_serialises() {
        for kind in [
            Kind::Started,
            Kind::StreamOpened,
            Kind::SignInFailed,
            Kind::BreakGlass,
            Kind::Gap,
        ] {
            let json = serde_json::to_string(&kind).expect("plain enum");
            assert_eq!(json, format!("\"{kind}\""));
        }
    }
}
