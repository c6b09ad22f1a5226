//! The circumstances of a request.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{DeviceId, GrantId, PatientId, PersonId, Timestamp};

/// Purpose of use: HL7 v3 ActReason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Purpose {
    /// Treatment.
    #[default]
    Treat,
    /// Emergency treatment.
    Etreat,
    /// Break the glass.
    Btg,
    /// Healthcare payment.
    Hpaymt,
    /// Healthcare operations.
    Hoperat,
    /// Healthcare research.
    Hresch,
    /// At the patient's request.
    Patrqt,
    /// Public health.
    Pubhlth,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: &'static [Self] = &[
        Self::Treat,
        Self::Etreat,
        Self::Btg,
        Self::Hpaymt,
        Self::Hoperat,
        Self::Hresch,
        Self::Patrqt,
        Self::Pubhlth,
    ];

    /// The HL7 code, such as `TREAT`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Treat => "TREAT",
            Self::Etreat => "ETREAT",
            Self::Btg => "BTG",
            Self::Hpaymt => "HPAYMT",
            Self::Hoperat => "HOPERAT",
            Self::Hresch => "HRESCH",
            Self::Patrqt => "PATRQT",
            Self::Pubhlth => "PUBHLTH",
        }
    }
}

impl FromStr for Purpose {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        Self::ALL
            .iter()
            .copied()
            .find(|p| p.code() == text)
            .ok_or_else(|| UnknownPurpose(text.to_owned()))
    }
}

/// Text that names no purpose of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown purpose of use `{0}`")]
pub struct UnknownPurpose(pub String);

/// Authentication assurance level of NIST SP 800-63B-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Aal {
    /// One factor.
    Aal1,
    /// Two factors.
    Aal2,
    /// Two factors, phishing-resistant, with a key that cannot leave its device.
    Aal3,
}

impl From<Aal> for u8 {
    fn from(aal: Aal) -> Self {
        match aal {
            Aal::Aal1 => 1,
            Aal::Aal2 => 2,
            Aal::Aal3 => 3,
        }
    }
}

impl TryFrom<u8> for Aal {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        match level {
            1 => Ok(Self::Aal1),
            2 => Ok(Self::Aal2),
            3 => Ok(Self::Aal3),
            _ => Err(format!(
                "authentication assurance level `{level}` is not 1, 2 or 3"
            )),
        }
    }
}

/// How the subject was authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// Assurance reached.
    pub level: Aal,
    /// Whether the authenticator is bound to the origin (a passkey, a client certificate).
    pub phishing_resistant: bool,
    /// When the subject last proved presence.
    pub at: Timestamp,
    /// When the session was last used before this request.
    pub last_active: Timestamp,
}

/// An emergency grant: a person's stated reason to see one patient's chart for a short time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassGrant {
    /// Its identifier.
    pub id: GrantId,
    /// Who declared the emergency.
    pub person: PersonId,
    /// From which device, if that was known; the grant holds nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// For which patient.
    pub patient: PatientId,
    /// The reason given.
    pub reason: SmolStr,
    /// First instant.
    pub issued: Timestamp,
    /// Last instant.
    pub expires: Timestamp,
}

/// Emergency grants that come with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grants {
    /// What the session holds; those that do not fit the request are passed over.
    Held(Vec<BreakGlassGrant>),
    /// One that the caller presents for this very request; if it does not fit, the request is refused.
    Presented(BreakGlassGrant),
}

impl Default for Grants {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl Grants {
    /// All of them.
    pub fn as_slice(&self) -> &[BreakGlassGrant] {
        match self {
            Self::Held(all) => all,
            Self::Presented(one) => std::slice::from_ref(one),
        }
    }
}

/// The authentication that would be enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Assurance needed.
    pub level: Aal,
    /// Whether the authenticator must be bound to the origin.
    pub phishing_resistant: bool,
    /// How long ago the subject may have proved presence, in seconds.
    pub max_age_secs: u64,
}

/// The emergency grant that would be enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// For which patient it may be declared.
    pub patient: PatientId,
    /// How long the grant would hold, in seconds.
    pub duration_secs: u64,
    /// Stronger authentication that must come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_up: Option<Requirement>,
}

/// The circumstances of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Purpose of use, from the session or the break-glass ceremony, never from a client's header.
    pub purpose: Purpose,
    /// How the subject was authenticated.
    pub authentication: Authentication,
    /// Risk of this request, 0 (none seen) to 100.
    #[serde(default)]
    pub risk: u8,
    /// Emergency grants.
    #[serde(default)]
    pub grants: Grants,
    /// SMART on FHIR scopes of the token, if a token was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<SmolStr>>,
    /// The patient in context of the token's launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_patient: Option<PatientId>,
    /// Service ticket under which a vendor comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SmolStr>,
}

/// The four answers to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Go on.
    Permit,
    /// Possible after stronger or fresher authentication.
    StepUp,
    /// Possible after declaring an emergency.
    BreakGlass,
    /// No.
    Deny,
}

impl Outcome {
    /// Its name: `permit`, `step_up`, `break_glass`, `deny`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::StepUp => "step_up",
            Self::BreakGlass => "break_glass",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
