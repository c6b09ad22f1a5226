//! For whom a cookie, code or assertion is meant.

use std::fmt;

use domain::ApplicationId;
use serde::{Deserialize, Serialize};

/// The origin for which a cookie holds. A cookie of one audience opens no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The access origin, where people sign in.
    Access,
    /// One application behind the gateway.
    Application(ApplicationId),
}

impl Audience {
    /// The audience of an application.
    pub fn application(id: &ApplicationId) -> Self {
        Self::Application(id.clone())
    }
}

impl From<&ApplicationId> for Audience {
    fn from(id: &ApplicationId) -> Self {
        Self::application(id)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access => f.write_str("access"),
            Self::Application(id) => id.fmt(f),
        }
    }
}
