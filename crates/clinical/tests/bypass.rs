//! The twelve ways around a FHIR gate, by their numbers in the survey of policy engines.

mod common;

use clinical::fhir::{
    Malformed, ResponseShape, UNKNOWN_PATIENT, Verdict, Write, apply_patch, change, facts,
    judge_response,
};
use common::*;
use domain::{PatientId, Sensitivity};
use serde_json::{Value, json};

#[test]
fn bypass_1_includes_that_leave_the_compartment() {
    check(
        "GET",
        "/Observation?patient=1&_include=Observation:performer:Practitioner",
        &[
            "fhir:search Observation [1]",
            "fhir:search Practitioner [1]",
        ],
    );
    check(
        "GET",
        "/Patient?_id=1&_revinclude=Provenance:target",
        &["fhir:search Patient [1]", "fhir:search Provenance [1]"],
    );
    check(
        "GET",
        "/Observation?patient=1&_include=Observation:encounter:Encounter&_include:iterate=Encounter:subject:Patient",
        &[
            "fhir:search Observation [1]",
            "fhir:search Encounter [1]",
            "fhir:search Patient [1]",
        ],
    );
    for url in [
        "/Observation?_include=*",
        "/Observation?_revinclude=*",
        "/Observation?_include:iterate=*",
        "/Observation?_include=Observation:*",
    ] {
        unclassified("GET", url, &[], "");
    }
    // And whatever comes back is judged one by one.
    let got = answer(
        &ResponseShape::Set,
        &set(&[
            resource("Observation", "a", "1", None),
            resource("Encounter", "b", "2", None),
        ]),
    );
    assert_eq!(got["entry"].as_array().map(Vec::len), Some(1));
    assert_eq!(got["total"], 1);
}

#[test]
fn bypass_2_searches_that_tell_of_what_they_do_not_return() {
    for query in [
        "_has:Observation:patient:code=x",
        "subject.name=x",
        "subject:Patient.name=x",
        "_filter=name%20eq%20x",
        "_query=x",
        "_summary=count",
        "_list=7",
        "_content=x",
        "_text=x",
        "_sort=subject.name",
        "code:oracle=1",
    ] {
        unclassified("GET", &format!("/Observation?{query}"), &[], "");
        unclassified("POST", "/Observation/_search", &[FORM], query);
        unclassified("GET", &format!("/Patient/1/Observation?{query}"), &[], "");
    }
    // `total` counts what is left, and says nothing where there are other pages.
    let mut paged = set(&[
        resource("Observation", "a", "1", None),
        resource("Observation", "b", "2", None),
    ]);
    paged["total"] = json!(57);
    paged["link"] = json!([
        {"relation": "next", "url": "http://upstream.internal:9090/fhir/Observation?_page=abc"},
        {"relation": "last", "url": "http://upstream.internal:9090/fhir/Observation?_page=57"},
        {"relation": "next", "url": "javascript:alert(1)"},
    ]);
    let got = answer(&ResponseShape::Set, &paged);
    assert_eq!(got.get("total"), None);
    assert_eq!(
        got["link"],
        json!([{"relation": "next", "url": "/fhir/Observation?_page=abc"}])
    );
}

#[test]
fn what_is_not_served_says_what_is() {
    let told = |method: &str, url: &str, headers: &[(&str, &str)], body: &str| {
        let classified = ask(method, url, headers, body).expect("classified");
        assert!(
            shown(&classified)
                .iter()
                .any(|t| t.starts_with("unclassified")),
            "{method} {url}"
        );
        assert!(classified.write.is_none() || classified.response == ResponseShape::Opaque);
        classified.unserved.map(|why| why.code)
    };
    let observation = r#"{"resourceType":"Observation","status":"final","code":{}}"#;
    let entry = |request: Value| {
        json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": {"resourceType": "Observation", "id": "o"}, "request": request},
        ]})
        .to_string()
    };
    for (url, code) in [
        ("/Observation?subject.name=x", "chained-search"),
        ("/Observation?subject:Patient.name=x", "chained-search"),
        (
            "/Patient?_has:Observation:patient:code=x",
            "reverse-chained-search",
        ),
        ("/Patient/1?_elements=id", "partial-answer"),
        ("/Observation?_summary=count", "partial-answer"),
        ("/Observation?_filter=x", "filter-expression"),
        ("/Observation?_include=*", "include-not-understood"),
        ("/Observation?_revinclude=*", "include-not-understood"),
        ("/Observation?patient:not=1", "patient-not-certain"),
        ("/Observation?_contained=true", "contained-search"),
        ("/Observation?_new=1", "parameter-not-understood"),
    ] {
        assert_eq!(told("GET", url, &[], ""), Some(code), "{url}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let body = if method == "PUT" { observation } else { "" };
        let why = told(method, "/Observation?identifier=x", &[JSON], body);
        assert_eq!(why, Some("conditional-write"), "{method}");
    }
    for criteria in [
        "_count=1",
        "code=x&_include=Observation:subject",
        "code=x&_sort=date",
        "_page=x",
        "",
    ] {
        let why = told(
            "POST",
            "/Observation",
            &[JSON, ("if-none-exist", criteria)],
            observation,
        );
        assert_eq!(why, Some("conditional-create-criteria"), "{criteria}");
    }
    let chained = [JSON, ("if-none-exist", "subject.name=x")];
    assert_eq!(
        told("POST", "/Observation", &chained, observation),
        Some("chained-search")
    );
    for (request, code) in [
        (
            json!({"method": "POST", "url": "Observation", "ifNoneExist": "identifier=1"}),
            "conditional-entry",
        ),
        (
            json!({"method": "PUT", "url": "Observation/o", "ifNoneMatch": "*"}),
            "conditional-entry",
        ),
        (
            json!({"method": "PUT", "url": "Observation?identifier=1"}),
            "conditional-write",
        ),
    ] {
        assert_eq!(told("POST", "/", &[JSON], &entry(request)), Some(code));
    }
    for (header, code) in [
        (("prefer", "respond-async"), "asynchronous"),
        (("x-cascade", "delete"), "header-with-side-effects"),
    ] {
        assert_eq!(told("GET", "/Observation/1", &[header], ""), Some(code));
    }
    assert_eq!(told("GET", "/Nonsense/1", &[], ""), None);
}

#[test]
fn a_conditional_create_asks_to_create_and_to_search() {
    let body = r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"}}"#;
    let headers = [JSON, ("if-none-exist", "?identifier=http://x|7&patient=1")];
    let classified = ask("POST", "/Observation", &headers, body).expect("classified");
    assert_eq!(
        shown(&classified),
        ["fhir:create Observation", "fhir:search Observation [1]"]
    );
    let Some(Write::Create { if_none_exist, .. }) = classified.write else {
        panic!("a create")
    };
    assert_eq!(
        if_none_exist.as_deref(),
        Some("identifier=http://x|7&patient=1")
    );
}

#[test]
fn bypass_3_bundle_entries_that_lose_their_context() {
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": "Observation?patient=2&_include=Observation:subject:Patient"}},
        {"request": {"method": "GET", "url": "Patient/1/Condition"}},
        {"fullUrl": "urn:uuid:a", "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Condition", "subject": {"reference": "urn:uuid:a"}}, "request": {"method": "POST", "url": "Condition"}},
        {"resource": {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/4"}}, "request": {"method": "PUT", "url": "Condition/c"}},
        {"request": {"method": "DELETE", "url": "Condition/d"}},
        {"request": {"method": "DELETE", "url": "Condition?patient=5"}},
        {"request": {"method": "GET", "url": "$export"}},
        {"request": {"method": "POST", "url": "Patient/_search"}},
    ]});
    let classified = ask("POST", "/", &[JSON], &bundle.to_string()).expect("classified");
    assert_eq!(
        shown(&classified),
        [
            "fhir:read Patient/1 [1]",
            "fhir:search Observation [2]",
            "fhir:search Patient [2]",
            "fhir:search Condition [1]",
            "fhir:create Patient",
            "fhir:create Condition",
            "fhir:update Condition/c",
            "fhir:delete Condition/d",
            "unclassified Condition",
            "fhir:export */$export",
            "unclassified Patient",
        ]
    );
    let ResponseShape::Batch(shapes) = &classified.response else {
        panic!("a batch")
    };
    assert_eq!(shapes.len(), 10);
    let Some(Write::Many(writes)) = &classified.write else {
        panic!("writes")
    };
    assert_eq!(writes.len(), 4);
    let Write::Create {
        resource: created,
        content,
        if_none_exist: None,
    } = &writes[1]
    else {
        panic!("a create")
    };
    assert_eq!(created.patients, [PatientId::new("urn:uuid:a")]);
    let text = bundle.to_string();
    assert_eq!(
        facts(&application(), &text.as_bytes()[content.clone()])
            .expect("a resource")
            .resource_type,
        "Condition"
    );

    // By position: a read that may not pass looks like one that found nothing.
    let response = json!({"resourceType": "Bundle", "type": "batch-response", "entry": [
        {"resource": {"resourceType": "Patient", "id": "1"}, "response": {"status": "200 OK", "etag": "W/\"1\""}},
        {"resource": set(&[resource("Observation", "x", "2", None), resource("Observation", "y", "1", None)]), "response": {"status": "200"}},
        {"resource": resource("Condition", "z", "2", None), "response": {"status": "200"}},
        {"response": {"status": "404", "outcome": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found", "diagnostics": "Patient Smith"}]}}},
    ]});
    let read = |t: &str, id: &str| single(t, id);
    let shapes = vec![
        read("Patient", "1"),
        ResponseShape::Set,
        read("Condition", "z"),
        read("Patient", "9"),
    ];
    let got = answer(&ResponseShape::Batch(shapes), &response);
    assert_eq!(got["entry"][0]["resource"]["id"], "1");
    assert_eq!(got["entry"][1]["resource"]["total"], 1);
    assert_eq!(got["entry"][2], got["entry"][3]);
    assert!(!got.to_string().contains("Smith"));
    // An answer that does not fit what was asked is not passed at all.
    assert_eq!(
        answer(&ResponseShape::Batch(vec![ResponseShape::Set]), &response),
        Value::Null
    );
}

#[test]
fn bypass_4_page_tokens_of_somebody_else() {
    check(
        "GET",
        "/Observation?_page=abc",
        &["fhir:search Observation"],
    );
    check("GET", "/?_page=abc", &["fhir:search *"]);
    check("GET", "/_page/abc", &["fhir:search *"]);
    check("GET", "/_page/abc?_count=5", &["fhir:search *"]);
    // What stands beside a token may not hold, and names nobody.
    check(
        "GET",
        "/Patient/1/Observation?_page=abc",
        &["fhir:search Observation"],
    );
    unclassified("GET", "/Observation?_page=abc&patient=1", &[], "");
    unclassified("GET", "/_page/abc?patient=1", &[], "");
    unclassified("GET", "/?_getpages=abc&_getpagesoffset=20", &[], "");
    unclassified("GET", "/_page/", &[], "");
}

#[test]
fn bypass_5_what_is_withheld_looks_like_what_is_not_there() {
    let hidden = set(&[resource("Observation", "a", "2", None)]);
    let empty = set(&[]);
    assert_eq!(
        answer(&ResponseShape::Set, &hidden),
        answer(&ResponseShape::Set, &empty)
    );
    assert_eq!(
        answer(
            &single("Observation", "a"),
            &resource("Observation", "a", "2", None)
        ),
        Value::Null
    );
    // A conditional create that found something does not tell what.
    let found = json!({"resourceType": "Bundle", "type": "transaction-response", "entry": [
        {"response": {"status": "200 OK", "location": "Patient/77/_history/1", "etag": "W/\"1\""}},
        {"response": {"status": "201 Created", "location": "http://upstream:9090/fhir/Patient/78/_history/1", "etag": "W/\"1\""}},
    ]});
    let written = ResponseShape::Written {
        resource_type: "Patient".into(),
        id: None,
    };
    let got = answer(
        &ResponseShape::Batch(vec![written.clone(), written]),
        &found,
    );
    assert_eq!(got["entry"][0], json!({"response": {"status": "200 OK"}}));
    assert_eq!(
        got["entry"][1]["response"]["location"],
        "/fhir/Patient/78/_history/1"
    );
    assert_eq!(got["entry"][1]["response"]["etag"], "W/\"1\"");
    // In bundles, `If-None-Match` would answer 304 for what was never judged.
    let conditional = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "Patient/1", "ifNoneMatch": "W/\"1\""}}]});
    unclassified("POST", "/", &[JSON], &conditional.to_string());
}

#[test]
fn bypass_6_graphql() {
    check(
        "GET",
        "/Patient/1/$graphql?query=x",
        &["fhir:operation Patient/1/$graphql [1]"],
    );
    check("POST", "/$graphql", &["fhir:operation */$graphql"]);
    assert_eq!(get("/$graphql").response, ResponseShape::Opaque);
    assert_eq!(
        answer(
            &ResponseShape::Opaque,
            &json!({"data": {"Patient": {"id": "1"}}})
        ),
        Value::Null
    );
}

#[test]
fn bypass_7_several_patients_where_only_the_first_is_looked_at() {
    for url in [
        "/Observation?patient=1,2",
        "/Observation?patient=1&patient=2",
        "/Observation?subject=Patient/1&patient=2",
        "/Patient/2/Observation?subject=Patient/1",
    ] {
        check("GET", url, &["fhir:search Observation [1 2]"]);
    }
    let both = ask(
        "POST",
        "/Observation/_search?patient=1",
        &[FORM],
        "patient=2&code=x",
    )
    .expect("classified");
    assert_eq!(shown(&both), ["fhir:search Observation [1 2]"]);
    let compartment = ask(
        "POST",
        "/Patient/1/Observation/_search",
        &[FORM],
        "subject=Patient/2",
    )
    .expect("classified");
    assert_eq!(shown(&compartment), ["fhir:search Observation [1 2]"]);
    unclassified("GET", "/Observation?patient=1,", &[], "");
    unclassified("GET", "/Observation?patient=1&patient=", &[], "");
    let both = json!({"resourceType": "Appointment", "id": "a", "participant": [{"actor": {"reference": "Patient/1"}}, {"actor": {"reference": "Patient/2"}}]});
    assert_eq!(answer(&single("Appointment", "a"), &both), Value::Null);
}

#[test]
fn bypass_8_documents_looked_at_from_outside_only() {
    let document = |inner: Value| json!({"resourceType": "Bundle", "id": "d", "type": "document", "entry": [{"resource": resource("Composition", "c", "1", None)}, {"resource": inner}]});
    let good = document(resource("Condition", "x", "1", None));
    assert_eq!(answer(&single("Bundle", "d"), &good), good);
    for inner in [
        resource("Condition", "x", "2", None),
        resource("Condition", "x", "1", Some("HIV")),
        json!({"resourceType": "Mystery"}),
        document(resource("Condition", "x", "2", None)),
    ] {
        assert_eq!(
            answer(&single("Bundle", "d"), &document(inner.clone())),
            Value::Null
        );
        let parameters = json!({"resourceType": "Parameters", "id": "p", "parameter": [{"name": "a", "part": [{"name": "b", "resource": inner}]}]});
        assert_eq!(answer(&single("Parameters", "p"), &parameters), Value::Null);
        assert_eq!(answer(&ResponseShape::Set, &set(&[parameters]))["total"], 0);
    }
    // Each inner resource is judged as what it is.
    let mut types = Vec::new();
    judge_response(
        &application(),
        &single("Bundle", "d"),
        good.to_string().as_bytes(),
        &mut |resource| {
            types.push(resource.resource_type.to_string());
            Verdict::Release
        },
    )
    .expect("judged");
    assert_eq!(types, ["Bundle", "Composition", "Condition"]);
}

#[test]
fn bypass_9_a_category_that_does_not_restrict() {
    // Scopes are policy's; what it compares them with must never promise more than the search keeps.
    let categories = |url: &str| endpoints(&get(url))[0].1.categories.to_vec();
    assert_eq!(
        categories("/Observation?patient=1&category=laboratory"),
        ["laboratory"]
    );
    assert_eq!(
        categories("/Observation?patient=1&category=laboratory,vital-signs"),
        ["laboratory", "vital-signs"]
    );
    assert!(categories("/Observation?patient=1&category:not=laboratory").is_empty());
    assert!(categories("/Observation?_page=x").is_empty());
    let included = get("/Observation?category=laboratory&_revinclude=DiagnosticReport:result");
    assert!(endpoints(&included)[1].1.categories.is_empty());
    assert_eq!(endpoints(&included)[1].1.resource_type, "DiagnosticReport");
}

#[test]
fn bypass_10_writes_that_read_or_move() {
    // `return=representation` is judged like a read.
    let written = ResponseShape::Written {
        resource_type: "Observation".into(),
        id: Some("o".into()),
    };
    assert_eq!(
        answer(&written, &resource("Observation", "o", "2", None)),
        Value::Null
    );
    assert_eq!(
        answer(&written, &resource("Observation", "other", "1", None)),
        Value::Null
    );
    assert_eq!(
        answer(&written, &resource("Observation", "o", "1", None))["id"],
        "o"
    );
    // A patch that moves the subject shows in the change.
    let stored = resource("Observation", "o", "1", None).to_string();
    let patch = br#"[{"op":"replace","path":"/subject/reference","value":"Patient/2"}]"#;
    let moved =
        apply_patch(stored.as_bytes(), patch, "application/json-patch+json").expect("applied");
    assert!(
        change(stored.as_bytes(), &moved)
            .expect("compared")
            .moves_patient
    );
    let patched = ask(
        "PATCH",
        "/Observation/o",
        &[PATCH],
        std::str::from_utf8(patch).expect("text"),
    )
    .expect("classified");
    assert!(matches!(patched.write, Some(Write::Patch { .. })));
    // What a create says its id is means nothing.
    let create = ask(
        "POST",
        "/Patient",
        &[JSON],
        r#"{"resourceType":"Patient","id":"victim"}"#,
    )
    .expect("classified");
    let Some(Write::Create {
        resource: created, ..
    }) = create.write
    else {
        panic!("a create")
    };
    assert!(created.id.is_none() && created.patients.is_empty());
    // Contained resources count, and one that may not pass holds its container back.
    let mut with_contained = resource("Observation", "o", "1", None);
    with_contained["contained"] =
        json!([{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/2"}}]);
    assert_eq!(
        answer(&single("Observation", "o"), &with_contained),
        Value::Null
    );
    // Entries that are called something else, and addresses that lead elsewhere.
    for (entry, code) in [
        (
            json!({"fullUrl": "http://x/fhir/Patient/1", "resource": {"resourceType": "Patient", "id": "2"}, "request": {"method": "PUT", "url": "Patient/2"}}),
            "bundle-full-url",
        ),
        (
            json!({"fullUrl": "http://x/fhir/Patient/1", "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}),
            "bundle-full-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "http://evil.example/Patient/1"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "/Patient/1"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "Patient/../Patient/2"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "Patient%2F1"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "%50atient/1"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "Patient/1#x"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": ""}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "POST", "url": ""}, "resource": {"resourceType": "Bundle", "type": "batch"}}),
            "bundle-url",
        ),
        (
            json!({"request": {"method": "GET", "url": "Patient/1", "x": 1}}),
            "bundle-request",
        ),
        (
            json!({"request": {"method": "get", "url": "Patient/1"}}),
            "bundle-request",
        ),
        (
            json!({"request": {"method": "GET", "url": ["Patient/1"]}}),
            "bundle-request",
        ),
        (
            json!({"request": {"method": "POST", "url": "Patient"}}),
            "bundle-entry-without-resource",
        ),
        (
            json!({"request": {"method": "PUT", "url": "Patient/2"}, "resource": {"resourceType": "Patient", "id": "1"}}),
            "resource-id-differs",
        ),
        (
            json!({"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Observation"}}),
            "resource-type-differs",
        ),
        (
            json!({"resource": {"resourceType": "Patient"}}),
            "bundle-request",
        ),
        (
            json!({"request": {"method": "GET", "url": "Patient/1"}, "link": []}),
            "bundle-entry",
        ),
        (json!([]), "bundle-entry"),
    ] {
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]});
        malformed("POST", "/", &[JSON], &bundle.to_string(), 400, code);
    }
    let twice = json!({"request": {"method": "DELETE", "url": "Patient/1"}});
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [twice, twice]});
    malformed(
        "POST",
        "/",
        &[JSON],
        &bundle.to_string(),
        400,
        "bundle-writes-twice",
    );
    let named = set(&[resource("Observation", "a", "1", None)]);
    let mut misnamed = named.clone();
    misnamed["entry"][0]["fullUrl"] = json!("http://x/fhir/Observation/b");
    assert_eq!(answer(&ResponseShape::Set, &misnamed)["total"], 0);
}

#[test]
fn bypass_11_what_two_parsers_read_differently() {
    let observation = r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"}}"#;
    for (headers, body, status, code) in [
        (
            vec![JSON],
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"},"subject":{"reference":"Patient/2"}}"#,
            400,
            "json-duplicate-key",
        ),
        (
            vec![JSON],
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"},"Subject":{"reference":"Patient/2"}}"#,
            400,
            "json-duplicate-key",
        ),
        (
            vec![JSON],
            r#"{"resourceType":"Observation","subjec\u0074":{"reference":"Patient/2"}}"#,
            400,
            "json-escaped-key",
        ),
        (
            vec![JSON],
            "\u{feff}{\"resourceType\":\"Observation\"}",
            400,
            "json-syntax",
        ),
        (
            vec![JSON],
            r#"{"resourceType":"Patient"}"#,
            400,
            "resource-type-differs",
        ),
        (vec![JSON], "<Observation/>", 400, "json-syntax"),
        (vec![], observation, 415, "content-not-json"),
        (
            vec![("content-type", "application/fhir+xml")],
            observation,
            415,
            "content-not-json",
        ),
        (
            vec![("content-type", "application/json; charset=utf-16")],
            observation,
            415,
            "charset",
        ),
        (
            vec![JSON, ("content-encoding", "gzip")],
            observation,
            415,
            "content-encoding",
        ),
        (
            vec![JSON, ("accept", "application/fhir+xml")],
            observation,
            406,
            "accept-not-json",
        ),
        (
            vec![JSON, ("if-none-exist", "a=1"), ("if-none-exist", "a=2")],
            observation,
            400,
            "header-repeated",
        ),
    ] {
        malformed("POST", "/Observation", &headers, body, status, code);
    }
    malformed(
        "GET",
        "/Patient?_format=xml",
        &[],
        "",
        406,
        "format-not-json",
    );
    malformed(
        "GET",
        "/Patient/1?_format=xml",
        &[],
        "",
        406,
        "format-not-json",
    );
    malformed(
        "GET",
        "/metadata?_format=xml",
        &[],
        "",
        406,
        "format-not-json",
    );
    malformed(
        "GET",
        "/Patient?_format=json&_format=xml",
        &[],
        "",
        400,
        "query-repeated",
    );
    malformed(
        "GET",
        "/Observation?patient=1;patient=2",
        &[],
        "",
        400,
        "query-semicolon",
    );
    malformed(
        "POST",
        "/Patient/_search",
        &[JSON],
        "{}",
        415,
        "search-content-type",
    );
    malformed(
        "PATCH",
        "/Patient/1",
        &[("content-type", "application/merge-patch+json")],
        "{}",
        415,
        "patch-content-type",
    );
    malformed(
        "PATCH",
        "/Patient/1",
        &[JSON],
        "{}",
        415,
        "patch-content-type",
    );
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    malformed("POST", "/Observation", &[JSON], &deep, 400, "json-too-deep");
    // Headers that make some servers do more than they were asked.
    for header in [
        ("x-provenance", "{}"),
        ("x-cascade", "delete"),
        ("prefer", "return=minimal, respond-async"),
        ("x-security-context", "Patient/1"),
    ] {
        unclassified("POST", "/Observation", &[JSON, header], observation);
    }
    assert!(
        ask(
            "POST",
            "/Observation",
            &[
                ("content-type", "application/json; charset=\"UTF-8\""),
                ("accept", "text/html, application/*;q=0.8")
            ],
            observation
        )
        .is_ok()
    );
    // The same in what the upstream answers.
    let answer = br#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/2"},"subject":{"reference":"Patient/1"}}"#;
    let refused = judge_response(
        &application(),
        &single("Observation", "o"),
        answer,
        &mut |_| Verdict::Release,
    );
    assert_eq!(
        refused,
        Err(Malformed {
            status: 502,
            code: "json-duplicate-key"
        })
    );
}

#[test]
fn bypass_12_labels_lowered_and_binaries_without_context() {
    let labelled = resource("Observation", "o", "1", Some("PSY")).to_string();
    let stripped = resource("Observation", "o", "1", None).to_string();
    assert!(
        change(labelled.as_bytes(), stripped.as_bytes())
            .expect("compared")
            .removes_labels
            .contains(Sensitivity::Psychiatry)
    );
    let patch = br#"[{"op":"remove","path":"/meta/security"}]"#;
    let patched =
        apply_patch(labelled.as_bytes(), patch, "application/json-patch+json").expect("applied");
    assert!(
        change(labelled.as_bytes(), &patched)
            .expect("compared")
            .removes_labels
            .contains(Sensitivity::Psychiatry)
    );
    let binary =
        json!({"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "AA=="});
    assert_eq!(
        facts(&application(), binary.to_string().as_bytes())
            .expect("a resource")
            .patients,
        [PatientId::new(UNKNOWN_PATIENT)]
    );
    assert_eq!(answer(&single("Binary", "b"), &binary), Value::Null);
    unclassified("GET", "/_async/42", &[], "");
    // An old version counts as sensitive as the newest in the same history.
    let history = json!({"resourceType": "Bundle", "type": "history", "total": 3, "entry": [
        {"fullUrl": "http://u/fhir/Observation/o", "resource": resource("Observation", "o", "1", Some("PSY")), "request": {"method": "PUT", "url": "Observation/o"}, "response": {"status": "200"}},
        {"fullUrl": "http://u/fhir/Observation/o", "resource": resource("Observation", "o", "1", None), "request": {"method": "POST", "url": "Observation"}, "response": {"status": "201"}},
        {"request": {"method": "DELETE", "url": "Observation/p"}, "response": {"status": "204"}},
    ]});
    let got = answer(&ResponseShape::Set, &history);
    assert_eq!(got["total"], 0);
    assert_eq!(got.get("entry"), None);
}

#[test]
fn outcomes_keep_severity_and_code_alone() {
    let outcome = json!({"resourceType": "OperationOutcome", "text": {"div": "secret"}, "issue": [
        {"severity": "warning", "code": "not-found", "diagnostics": "secret", "details": {"text": "secret"}, "expression": ["secret"]},
        {"severity": "secret", "code": "SECRET <b>"},
    ]});
    let reduced = json!({"resourceType": "OperationOutcome", "issue": [
        {"severity": "warning", "code": "not-found"}, {"severity": "error", "code": "processing"}]});
    for shape in [
        ResponseShape::Outcome,
        ResponseShape::Set,
        single("Patient", "1"),
    ] {
        assert_eq!(answer(&shape, &outcome), reduced);
    }
    let mut with_outcome = set(&[resource("Observation", "a", "1", None)]);
    with_outcome["entry"]
        .as_array_mut()
        .expect("entries")
        .push(json!({"resource": outcome, "search": {"mode": "outcome"}}));
    let got = answer(&ResponseShape::Set, &with_outcome);
    assert_eq!(
        got["entry"][1],
        json!({"resource": reduced, "search": {"mode": "outcome"}})
    );
    assert_eq!(got["total"], 1);
}

#[test]
fn entries_with_what_is_not_understood_are_withheld() {
    let good = json!({"resource": resource("Observation", "a", "1", None), "search": {"mode": "match", "score": 1.0}});
    for odd in [
        json!({"resource": resource("Observation", "b", "1", None), "extension": []}),
        json!({"resource": resource("Observation", "b", "1", None), "search": {"mode": {"resourceType": "Patient", "id": "2"}}}),
        json!({"resource": resource("Observation", "b", "1", None), "search": [{"resourceType": "Patient", "id": "2"}]}),
        json!({"resource": resource("Observation", "b", "1", None), "response": {"outcome": {}}}),
        json!({"resource": {"resourceType": "Mystery", "id": "b"}}),
        json!({"resource": {"id": "b"}}),
        json!({"fullUrl": "urn:uuid:x"}),
        json!("text"),
        json!(null),
    ] {
        let mut bundle = set(&[]);
        bundle["entry"] = json!([odd, good]);
        let got = answer(&ResponseShape::Set, &bundle);
        assert_eq!(got["entry"], json!([good]), "{odd}");
        assert_eq!(got["total"], 1);
    }
    for whole in [
        json!({"resourceType": "Bundle", "type": "collection", "entry": []}),
        json!({"resourceType": "Patient", "id": "1"}),
        json!([]),
        json!(1),
    ] {
        assert_eq!(answer(&ResponseShape::Set, &whole), Value::Null, "{whole}");
    }
    assert_eq!(
        answer(
            &single("Patient", "1"),
            &json!({"resourceType": "Patient", "id": "2"})
        ),
        Value::Null
    );
    assert_eq!(
        answer(
            &ResponseShape::Capabilities,
            &json!({"resourceType": "Patient", "id": "1"})
        ),
        Value::Null
    );
    let statement = json!({"resourceType": "CapabilityStatement", "status": "active"});
    assert_eq!(answer(&ResponseShape::Capabilities, &statement), statement);
}
