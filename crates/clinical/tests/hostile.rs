//! Whatever bytes come, nothing panics.

use clinical::fhir::{
    ResponseShape, Service, Verdict, apply_patch, change, classify, facts, judge_response,
    safe_outcome,
};
use domain::ApplicationId;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

/// JSON-like text made of the words that the readers look for.
fn fhirish() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "resourceType",
        "Patient",
        "Observation",
        "Bundle",
        "Parameters",
        "Consent",
        "entry",
        "resource",
        "request",
        "response",
        "method",
        "url",
        "GET",
        "POST",
        "PUT",
        "status",
        "type",
        "batch",
        "searchset",
        "batch-response",
        "history",
        "subject",
        "reference",
        "Patient/1",
        "contained",
        "#a",
        "id",
        "1",
        "meta",
        "security",
        "code",
        "HIV",
        "fullUrl",
        "urn:uuid:a",
        "total",
        "link",
        "relation",
        "next",
        "parameter",
        "part",
        "provision",
        "actor",
        "participant",
        "member",
        "op",
        "path",
        "/id",
        "value",
        "extension",
        "valueCoding",
        "location",
        "200",
        "issue",
        "OperationOutcome",
        "Mystery",
        "",
    ]);
    let leaf = prop_oneof![
        4 => word.clone().prop_map(|w| format!("{w:?}")),
        1 => Just("null".to_owned()),
        1 => Just("-1.5e3".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("\"\\ud83d\\ude00\"".to_owned()),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            3 => prop::collection::vec((word.clone(), inner.clone()), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            1 => prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn shape() -> impl Strategy<Value = ResponseShape> {
    let single = ResponseShape::Single {
        resource_type: "Patient".into(),
        id: "1".into(),
    };
    let written = ResponseShape::Written {
        resource_type: "Observation".into(),
        id: None,
    };
    let batch = ResponseShape::Batch(vec![
        single.clone(),
        written.clone(),
        ResponseShape::Set,
        ResponseShape::Outcome,
    ]);
    prop::sample::select(vec![
        single,
        written,
        batch,
        ResponseShape::Set,
        ResponseShape::Capabilities,
        ResponseShape::Outcome,
        ResponseShape::Opaque,
    ])
}

fn read_all(bytes: &[u8], other: &[u8], shape: &ResponseShape) -> Result<(), TestCaseError> {
    let application = ApplicationId::new("chart");
    let _ = facts(&application, bytes);
    let _ = change(bytes, other);
    let _ = apply_patch(other, bytes, "application/json-patch+json");
    let _ = safe_outcome(bytes);
    for verdict in [Verdict::Release, Verdict::Withhold] {
        if let Ok(judged) = judge_response(&application, shape, bytes, &mut |_| verdict) {
            // What goes out is JSON, and holds no more than was judged.
            let empty = judged.body.is_empty();
            prop_assert!(
                empty || serde_json::from_slice::<serde_json::Value>(&judged.body).is_ok()
            );
            prop_assert!(verdict == Verdict::Release || judged.released.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), shape in shape()) {
        read_all(&bytes, b"{}", &shape)?;
    }

    #[test]
    fn bodies_of_fhir_words_never_panic(text in fhirish(), other in fhirish(), shape in shape()) {
        read_all(text.as_bytes(), other.as_bytes(), &shape)?;
        // As the entries of each kind of bundle, too.
        for kind in ["searchset", "history", "batch-response", "document"] {
            let bundle = format!("{{\"resourceType\":\"Bundle\",\"type\":\"{kind}\",\"entry\":[{{\"resource\":{text}}},{other},{{\"response\":{text}}},{text}]}}");
            read_all(bundle.as_bytes(), other.as_bytes(), &shape)?;
            read_all(bundle.as_bytes(), other.as_bytes(), &ResponseShape::Set)?;
        }
    }

    #[test]
    fn arbitrary_requests_never_panic(
        method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]),
        path in "(/(fhir|Patient|Observation|_search|_history|\\$export|\\*|[ -~]{0,8})){0,6}",
        query in prop::option::of("((patient|subject|_include|_type|_page|category|[!-~]{0,6})=[!-~]{0,10}&?){0,4}"),
        content_type in prop::sample::select(vec!["application/fhir+json", "application/x-www-form-urlencoded", "application/json-patch+json", "text/plain"]),
        body in prop_oneof![fhirish(), "[ -~]{0,60}"],
    ) {
        let service = Service { application: ApplicationId::new("chart"), base: "/fhir".to_owned() };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        if let Ok(classified) = classify(&service, &method, &path, query.as_deref(), &headers, body.as_bytes()) {
            prop_assert!(!classified.targets.is_empty());
        }
        let bundle = format!("{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{{\"resource\":{body},\"request\":{{\"method\":\"PUT\",\"url\":\"Patient/1\"}}}}]}}");
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let _ = classify(&service, &Method::POST, "/fhir", None, &headers, bundle.as_bytes());
    }
}
