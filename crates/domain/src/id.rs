//! Identifiers, each kind a type of its own.
//!
//! Those that name a human being or a machine print as `PatientId(…)` under `Debug`, so that a stray log line
//! never carries them; `as_str` is the deliberate way to read one.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $debug:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// Wraps the text of an identifier as its source wrote it.
            pub fn new(text: impl Into<SmolStr>) -> Self {
                Self(text.into())
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        text_id!(@$debug $name);
    };
    (@redacted $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
    (@plain $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A patient: the logical id of a FHIR `Patient`, without the `Patient/` prefix.
    PatientId, redacted
);
text_id!(
    /// A human or workload that can be a subject: the staff number or client id of its source.
    PersonId, redacted
);
text_id!(
    /// A device known to the inventory.
    DeviceId, redacted
);
text_id!(
    /// An application behind the gateway, by its name in the configuration.
    ApplicationId, plain
);
text_id!(
    /// An organisational unit: a ward, a department, a programme.
    UnitId, plain
);
text_id!(
    /// A role that a person holds, such as `physician`, `nurse` or `billing`.
    Role, plain
);
text_id!(
    /// The public handle of a session. It is never the secret that a cookie carries.
    SessionId, plain
);
text_id!(
    /// A break-glass grant.
    GrantId, plain
);

/// The place of a record in the audit log: the zero-based index of its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_people_do_not_print_themselves() {
        let shown = format!("{:?} {:?}", PatientId::new("p-17"), PersonId::new("s-9"));
        assert_eq!(shown, "PatientId(…) PersonId(…)");
    }
}
