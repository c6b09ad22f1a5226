//! The classification of a FHIR request: total, never silent, and what it writes lies within the body.

use super::request::request;
use clinical::fhir::{ResponseShape, Service, Write, apply_patch, classify, facts};
use domain::{Action, ApplicationId};

fn check(write: &Write, body: &[u8]) {
    match write {
        Write::Create { content, .. } | Write::Update { content, .. } => {
            let resource = body
                .get(content.clone())
                .expect("the content lies in the body");
            let application = ApplicationId::new("fhir");
            facts(&application, resource).expect("what was classified can be read");
        }
        Write::Patch {
            format, content, ..
        } => {
            let patch = body
                .get(content.clone())
                .expect("the content lies in the body");
            let stored =
                br#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"}}"#;
            let _ = apply_patch(stored, patch, format);
        }
        Write::Delete { .. } => {}
        Write::Many(writes) => writes.iter().for_each(|write| check(write, body)),
    }
}

/// The body of the target.
pub fn run(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let service = Service {
        application: ApplicationId::new("fhir"),
        base: "/fhir".to_owned(),
    };
    let ask = || {
        classify(
            &service,
            &request.method,
            request.uri.path(),
            request.uri.query(),
            &request.headers,
            request.body,
        )
    };
    let Ok(classified) = ask() else { return };
    assert!(!classified.targets.is_empty(), "somebody must be asked");
    let unclassified = classified
        .targets
        .iter()
        .any(|target| target.action == Action::Unclassified);
    let judged_as_whole = classified
        .targets
        .iter()
        .any(|target| matches!(target.action, Action::FhirOperation | Action::FhirExport));
    if classified.response == ResponseShape::Opaque {
        assert!(
            unclassified || judged_as_whole,
            "an answer that nobody can judge"
        );
    }
    if classified.unserved.is_some() {
        assert!(unclassified, "a reason without a refusal");
    }
    if let Some(write) = &classified.write {
        check(write, request.body);
    }
    assert_eq!(ask().as_ref(), Ok(&classified));
}
