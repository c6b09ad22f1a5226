//! What is asked to be done.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! actions {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        /// An action, in the vocabulary of the protocol that carries it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action { $($(#[$meta])* $name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The action's name, such as `fhir:read`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for Action {
            type Err = UnknownAction;

            fn from_str(text: &str) -> Result<Self, UnknownAction> {
                match text { $($text => Ok(Self::$name),)* _ => Err(UnknownAction(text.to_owned())) }
            }
        }
    };
}

actions! {
    /// FHIR `read`: the current version of one resource.
    FhirRead = "fhir:read";
    /// FHIR `vread`: one stated version of one resource.
    FhirVread = "fhir:vread";
    /// FHIR `history` of an instance, a type or the system.
    FhirHistory = "fhir:history";
    /// FHIR `search`, in any of its forms.
    FhirSearch = "fhir:search";
    /// FHIR `create`, conditional or not, and an update that creates.
    FhirCreate = "fhir:create";
    /// FHIR `update`.
    FhirUpdate = "fhir:update";
    /// FHIR `patch`.
    FhirPatch = "fhir:patch";
    /// FHIR `delete`.
    FhirDelete = "fhir:delete";
    /// A FHIR operation (`$name`) other than bulk export.
    FhirOperation = "fhir:operation";
    /// FHIR bulk export and its files.
    FhirExport = "fhir:export";
    /// FHIR `capabilities`: the server's own description, which names no patient.
    FhirCapabilities = "fhir:capabilities";
    /// Reading a page or file of a plain web application (`GET`, `HEAD`, `OPTIONS`).
    WebGet = "web:get";
    /// Sending to a plain web application (`POST`, `PUT`, `PATCH`).
    WebSubmit = "web:submit";
    /// Deleting in a plain web application.
    WebDelete = "web:delete";
    /// Opening a WebSocket or another upgraded stream.
    WebConnect = "web:connect";
    /// DICOM C-ECHO.
    DicomEcho = "dicom:echo";
    /// DICOM C-FIND.
    DicomFind = "dicom:find";
    /// DICOM C-GET.
    DicomGet = "dicom:get";
    /// DICOM C-MOVE.
    DicomMove = "dicom:move";
    /// DICOM C-STORE.
    DicomStore = "dicom:store";
    /// Sending an HL7 v2 message to an interface.
    Hl7Send = "hl7:send";
    /// Opening a network conversation.
    NetConnect = "net:connect";
    /// Looking at a part of the console.
    ConsoleView = "console:view";
    /// Changing something through the console.
    ConsoleChange = "console:change";
    /// Something no classifier recognised. No policy permits it.
    Unclassified = "unclassified";
}

impl Action {
    /// Whether the action only reads, so that its record may become durable while the upstream works.
    pub fn is_safe(self) -> bool {
        matches!(
            self,
            Self::FhirRead
                | Self::FhirVread
                | Self::FhirHistory
                | Self::FhirSearch
                | Self::FhirCapabilities
                | Self::WebGet
                | Self::DicomEcho
                | Self::DicomFind
                | Self::ConsoleView
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown action `{0}`")]
pub struct UnknownAction(pub String);

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
