//! Answers of a FHIR service that the gateway writes itself.

use bytes::Bytes;
use clinical::fhir::Unserved;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use serde_json::{Value, json};

use super::RETURNED;
use crate::body::{Body, empty, full};
use crate::road::Obliged;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");

/// A judged resource or bundle.
pub(super) fn resource(headers: &HeaderMap, body: Bytes, obliged: Obliged) -> Response<Body> {
    written(StatusCode::OK, headers, body, obliged)
}

/// The judged answer to a write.
pub(super) fn written(
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    obliged: Obliged,
) -> Response<Body> {
    let mut response = if body.is_empty() {
        Response::new(empty())
    } else {
        let mut response = Response::new(full(body));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, FHIR_JSON);
        response
    };
    *response.status_mut() = status;
    for name in RETURNED {
        if let Some(value) = headers.get(&name) {
            let value = if name == header::LOCATION {
                relative(value)
            } else {
                Some(value.clone())
            };
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
    }
    seal(response.headers_mut());
    obliged.apply(response.headers_mut());
    response
}

/// A location without scheme and authority: what the upstream calls itself is nobody's business.
fn relative(location: &HeaderValue) -> Option<HeaderValue> {
    let text = location.to_str().ok()?;
    let path = match text.find("://") {
        Some(scheme) => {
            let rest = text.get(scheme + 3..)?;
            rest.get(rest.find('/')?..)?
        }
        None => text,
    };
    HeaderValue::try_from(path).ok()
}

/// There is no such resource. The same bytes whether it is absent or must look so.
pub(super) fn not_found() -> Response<Body> {
    outcome(
        StatusCode::NOT_FOUND,
        "not-found",
        "There is no such resource.",
    )
}

/// The stored version is not the one that the client meant.
pub(super) fn changed_meanwhile() -> Response<Body> {
    outcome(
        StatusCode::PRECONDITION_FAILED,
        "conflict",
        "The resource has another version than the one named in `If-Match`.",
    )
}

/// What a conditional create would have created came into being after its criteria had found nothing.
pub(super) fn created_meanwhile() -> Response<Body> {
    outcome(
        StatusCode::CONFLICT,
        "conflict",
        "A resource that fits the criteria in `If-None-Exist` was created at the same moment; please send the request again.",
    )
}

/// More than one resource fits the criteria of a conditional create.
pub(super) fn several_match() -> Response<Body> {
    outcome(
        StatusCode::PRECONDITION_FAILED,
        "multiple-matches",
        "More than one resource fits the criteria in `If-None-Exist`, so nothing was created.",
    )
}

/// The refusal of an interaction that is not served, in FHIR's form: what is served instead. Status, record and hardening
/// stay those of the refusal.
pub(super) fn unserved(refused: Response<Body>, unserved: Unserved) -> Response<Body> {
    if refused.status() != StatusCode::FORBIDDEN {
        return refused;
    }
    let (mut head, _) = refused.into_parts();
    let told = outcome(head.status, "not-supported", unserved.sentence);
    head.headers.insert(header::CONTENT_TYPE, FHIR_JSON);
    Response::from_parts(head, told.into_body())
}

/// The same answer without its content, and with the length that this would have had.
pub(super) fn head_of(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, empty())
}

/// An upstream's refusal of a read, without its words: they were not judged.
pub(super) fn upstream_status(status: StatusCode) -> Response<Body> {
    // What the upstream demands of the gateway is no matter of the client's.
    let status = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StatusCode::BAD_GATEWAY,
        status if status.is_client_error() || status.is_server_error() => status,
        _ => StatusCode::BAD_GATEWAY,
    };
    outcome(
        status,
        "processing",
        "The FHIR service did not carry out this request.",
    )
}

/// An upstream's refusal of a write, with its words if they are an `OperationOutcome`: they are about what the client
/// sent, and that was judged.
pub(super) fn write_refused(status: StatusCode, body: &Bytes) -> Response<Body> {
    let is_outcome = serde_json::from_slice::<Value>(body)
        .is_ok_and(|v| v.get("resourceType").and_then(Value::as_str) == Some("OperationOutcome"));
    let passes = status.is_client_error()
        && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_outcome && passes {
        return written(status, &HeaderMap::new(), body.clone(), Obliged::default());
    }
    upstream_status(status)
}

pub(super) fn outcome(status: StatusCode, code: &str, text: &str) -> Response<Body> {
    let body = json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": "error", "code": code, "diagnostics": text }],
    });
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, FHIR_JSON);
    seal(response.headers_mut());
    response
}

fn seal(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// The document without the content of its attachments, for devices that may look but not keep. `None` if it is not
/// JSON.
pub(super) fn without_attachments(body: &Bytes) -> Option<Bytes> {
    let mut document: Value = serde_json::from_slice(body).ok()?;
    if !empty_attachments(&mut document) {
        return Some(body.clone());
    }
    serde_json::to_vec(&document).ok().map(Bytes::from)
}

/// Removes `data` from every `Attachment`; tells whether there was any.
fn empty_attachments(value: &mut Value) -> bool {
    let mut removed = false;
    match value {
        Value::Object(object) => {
            // `data` beside `contentType` is an Attachment; SampledData and Signature have other neighbours.
            if object.get("data").is_some_and(Value::is_string)
                && object.contains_key("contentType")
            {
                removed = object.remove("data").is_some();
            }
            for child in object.values_mut() {
                removed |= empty_attachments(child);
            }
        }
        Value::Array(children) => {
            for child in children {
                removed |= empty_attachments(child);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_lose_their_content_and_nothing_else() {
        let body = Bytes::from_static(
            br#"{"resourceType":"DocumentReference","content":[{"attachment":{"contentType":"application/pdf","data":"QUJD","title":"t"}}],"x":{"origin":{"value":1.50},"data":"1 2"}}"#,
        );
        let kept = without_attachments(&body).expect("JSON");
        let kept = std::str::from_utf8(&kept).expect("text");
        assert!(!kept.contains("QUJD"), "{kept}");
        assert!(kept.contains("\"t\"") && kept.contains("1 2"), "{kept}");
        let plain = Bytes::from_static(br#"{"value":1.50}"#);
        assert_eq!(without_attachments(&plain).as_ref(), Some(&plain));
        assert_eq!(without_attachments(&Bytes::from_static(b"<x/>")), None);
    }

    #[test]
    fn locations_do_not_name_the_upstream() {
        let location = |text: &'static str| {
            relative(&HeaderValue::from_static(text))
                .map(|v| v.to_str().map(str::to_owned).unwrap_or_default())
        };
        assert_eq!(
            location("http://10.0.0.7:8000/fhir/Observation/1/_history/1").as_deref(),
            Some("/fhir/Observation/1/_history/1")
        );
        assert_eq!(location("Observation/1").as_deref(), Some("Observation/1"));
        assert_eq!(location("http://10.0.0.7:8000"), None);
    }
}
