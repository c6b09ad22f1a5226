//! One piece of evidence about a device, as the ledger gives it to whoever says what the device is.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::EvidenceKind;

/// A kind of evidence with its value. Who said it and when is the ledger's matter: an answer depends on neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of evidence the value is.
    pub kind: EvidenceKind,
    /// Its value, at most [`domain::observation::VALUE_MAX`] octets.
    pub value: SmolStr,
}

impl Evidence {
    /// The evidence that `kind` has `value`.
    pub fn new(kind: EvidenceKind, value: impl Into<SmolStr>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}
