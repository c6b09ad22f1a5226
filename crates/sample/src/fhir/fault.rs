//! Refusals of the server, as `OperationOutcome`.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// Why an interaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    /// FHIR issue type.
    pub(crate) code: &'static str,
    /// One plain sentence. It never repeats what the client sent, so that nothing of a patient gets into it.
    pub(crate) text: String,
    /// Element that is wrong, as a FHIRPath.
    pub(crate) place: Option<String>,
    /// `Allow`, for 405.
    pub(crate) allow: Option<&'static str>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            place: None,
            allow: None,
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    pub(crate) fn not_supported(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-supported", text)
    }

    pub(crate) fn unknown_type() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-supported",
            "this server does not keep resources of that type",
        )
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such resource",
        )
    }

    pub(crate) fn gone() -> Self {
        Self::new(StatusCode::GONE, "deleted", "the resource was deleted")
    }

    pub(crate) fn precondition(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "conflict", text)
    }

    pub(crate) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "not-supported",
                format!("the method is not allowed here; allowed are `{allow}`"),
            )
        }
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The fault as an `OperationOutcome`.
    pub(crate) fn outcome(&self) -> Value {
        let mut issue = json!({
            "severity": "error",
            "code": self.code,
            "diagnostics": self.text,
        });
        if let Some(place) = &self.place {
            issue["expression"] = json!([place]);
        }
        json!({"resourceType": "OperationOutcome", "issue": [issue]})
    }

    pub(crate) fn body(&self) -> Bytes {
        self.outcome().to_string().into()
    }
}

/// What `Prefer: return=OperationOutcome` gets when all went well.
pub(crate) fn success(text: &str) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "information", "code": "informational", "diagnostics": text}],
    })
}
