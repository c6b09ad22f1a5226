//! What an application behind the gateway means to care.

use serde::{Deserialize, Serialize};

/// What stops if an application or device stops. It chooses the direction in which things fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// A patient's life depends on it now.
    LifeCritical,
    /// Care depends on it.
    Clinical,
    /// The hospital's business depends on it.
    Business,
    /// Administration: it may stop for a day.
    Administrative,
}

/// Whether a refusal stops a request or is only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnforcementMode {
    /// Every request is forwarded under a recorded shadow policy; who would have been stopped is reported.
    Shadow,
    /// A refusal stops the request.
    Enforce,
}
