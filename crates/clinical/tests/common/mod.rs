//! Asking the classifier and the response check in short.
#![allow(
    dead_code,
    missing_docs,
    reason = "each test program uses its own part"
)]

use clinical::fhir::{
    Classified, Malformed, ResponseShape, Service, Verdict, classify, judge_response,
};
use domain::resource::{FhirEndpoint, FhirResource};
use domain::{Action, ApplicationId, PatientId, Resource};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

pub(crate) fn application() -> ApplicationId {
    ApplicationId::new("chart")
}

pub(crate) fn ask(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Classified, Malformed> {
    let service = Service {
        application: application(),
        base: "/fhir".to_owned(),
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).expect("name"),
            HeaderValue::from_str(value).expect("value"),
        );
    }
    let (path, query) = url
        .split_once('?')
        .map_or((url, None), |(p, q)| (p, Some(q)));
    let method = Method::from_bytes(method.as_bytes()).expect("method");
    classify(
        &service,
        &method,
        &format!("/fhir{path}"),
        query,
        &map,
        body.as_bytes(),
    )
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/fhir+json");
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(crate) const PATCH: (&str, &str) = ("content-type", "application/json-patch+json");

pub(crate) fn get(url: &str) -> Classified {
    ask("GET", url, &[], "").unwrap_or_else(|e| panic!("{url}: {e}"))
}

pub(crate) fn endpoints(classified: &Classified) -> Vec<(Action, &FhirEndpoint)> {
    classified
        .targets
        .iter()
        .map(|target| match &target.resource {
            Resource::FhirEndpoint(endpoint) => (target.action, endpoint),
            other => panic!("an endpoint, not {other:?}"),
        })
        .collect()
}

/// `action type/id [patients]` of each target.
pub(crate) fn shown(classified: &Classified) -> Vec<String> {
    endpoints(classified)
        .iter()
        .map(|(action, endpoint)| {
            let mut text = format!("{action} {}", endpoint.resource_type);
            if let Some(id) = &endpoint.id {
                text += &format!("/{id}");
            }
            if let Some(operation) = &endpoint.operation {
                text += &format!("/${operation}");
            }
            if !endpoint.patients.is_empty() {
                let patients: Vec<_> = endpoint.patients.iter().map(PatientId::as_str).collect();
                text += &format!(" [{}]", patients.join(" "));
            }
            text
        })
        .collect()
}

#[track_caller]
pub(crate) fn check(method: &str, url: &str, expected: &[&str]) {
    let classified = ask(method, url, &[], "").unwrap_or_else(|e| panic!("{url}: {e}"));
    assert_eq!(shown(&classified), expected, "{method} {url}");
}

#[track_caller]
pub(crate) fn unclassified(method: &str, url: &str, headers: &[(&str, &str)], body: &str) {
    let classified = ask(method, url, headers, body).unwrap_or_else(|e| panic!("{url}: {e}"));
    assert!(
        classified
            .targets
            .iter()
            .any(|t| t.action == Action::Unclassified),
        "{method} {url}: {:?}",
        shown(&classified)
    );
}

#[track_caller]
pub(crate) fn malformed(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    status: u16,
    code: &str,
) {
    let refusal = ask(method, url, headers, body)
        .map(|c| shown(&c))
        .expect_err(url);
    assert_eq!(
        (refusal.status, refusal.code),
        (status, code),
        "{method} {url}"
    );
}

pub(crate) fn resource(resource_type: &str, id: &str, patient: &str, label: Option<&str>) -> Value {
    let security: Vec<_> = label
        .iter()
        .map(|code| json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}))
        .collect();
    json!({
        "resourceType": resource_type, "id": id, "meta": {"versionId": "1", "security": security},
        "subject": {"reference": format!("Patient/{patient}")},
    })
}

pub(crate) fn set(entries: &[Value]) -> Value {
    let entries: Vec<_> = entries
        .iter()
        .map(|r| json!({"resource": r, "search": {"mode": "match"}}))
        .collect();
    json!({"resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries})
}

/// Releases what is about patient 1 alone and carries no label.
pub(crate) fn only_patient_1(resource: &FhirResource) -> Verdict {
    let ours = resource.patients.iter().all(|p| p.as_str() == "1") && resource.labels.is_empty();
    if ours {
        Verdict::Release
    } else {
        Verdict::Withhold
    }
}

pub(crate) fn answer(shape: &ResponseShape, body: &Value) -> Value {
    let judged = judge_response(
        &application(),
        shape,
        body.to_string().as_bytes(),
        &mut only_patient_1,
    )
    .expect("judged");
    if judged.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&judged.body).expect("json")
    }
}

pub(crate) fn single(resource_type: &str, id: &str) -> ResponseShape {
    ResponseShape::Single {
        resource_type: resource_type.into(),
        id: id.into(),
    }
}
