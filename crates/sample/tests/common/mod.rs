//! A server over a sample hospital with a clock that the test sets, and short ways to ask it.
#![allow(
    dead_code,
    reason = "each test program uses some of these helpers and not the others"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use domain::Timestamp;
use http::{Method, Request, StatusCode};
use sample::{FhirServer, Hospital, Options};
use serde_json::Value;

pub(crate) const PATIENT: &str =
    r#"{"resourceType":"Patient","name":[{"family":"Test","given":["Ann"]}]}"#;

pub(crate) struct World {
    pub(crate) hospital: Hospital,
    pub(crate) server: FhirServer,
    clock: Arc<AtomicI64>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) length: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let now = Timestamp::parse("2026-11-22T10:00:00Z").expect("valid");
        let hospital = Hospital::generate(1, now);
        let clock = Arc::new(AtomicI64::new(now.as_millis()));
        let read = Arc::clone(&clock);
        let mut options = Options::new(Arc::new(move || {
            Timestamp::from_millis(read.load(Ordering::Relaxed))
        }));
        change(&mut options);
        let server = FhirServer::new(&hospital, options);
        Self {
            hospital,
            server,
            clock,
        }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Bytes::from(body.to_owned()))
            .expect("a request");
        let response = self.server.handle(&request);
        let (head, body) = response.into_parts();
        if !body.is_empty() {
            assert_eq!(
                head.headers["content-type"],
                "application/fhir+json; charset=utf-8"
            );
        }
        assert_eq!(head.headers["cache-control"], "no-store");
        Answer {
            status: head.status,
            headers: head.headers,
            length: body.len(),
            body: if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).expect("JSON")
            },
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "")
    }

    /// A search that must succeed.
    pub(crate) fn search(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        assert_eq!(answer.body["type"], "searchset");
        answer.body
    }

    pub(crate) fn write(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let kind = if method == Method::PATCH {
            "application/json-patch+json"
        } else {
            "application/fhir+json"
        };
        let mut all = vec![("content-type", kind)];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body)
    }

    /// Creates a resource and returns its id.
    pub(crate) fn create(&self, resource: &str) -> String {
        let value: Value = serde_json::from_str(resource).expect("JSON");
        let path = format!("/fhir/{}", value["resourceType"].as_str().expect("type"));
        let answer = self.write(Method::POST, &path, &[], resource);
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().expect("id").to_owned()
    }

    pub(crate) fn check(&self, method: Method, path: &str, body: &str, status: u16) {
        let answer = self.write(method.clone(), path, &[], body);
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path}: {}",
            answer.body
        );
        if status >= 400 {
            assert_eq!(
                answer.body["resourceType"], "OperationOutcome",
                "{method} {path}"
            );
        }
    }
}

/// Ids of the entries of a bundle.
pub(crate) fn ids(bundle: &Value) -> Vec<String> {
    entries(bundle)
        .iter()
        .map(|e| e["resource"]["id"].as_str().expect("id").to_owned())
        .collect()
}

pub(crate) fn entries(bundle: &Value) -> Vec<Value> {
    bundle["entry"].as_array().cloned().unwrap_or_default()
}

pub(crate) fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array()?;
    let next = links.iter().find(|l| l["relation"] == "next")?;
    Some(next["url"].as_str().expect("url").to_owned())
}
