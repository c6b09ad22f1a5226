//! A small FHIR server to stand behind the gateway, and how a client asks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::support::wire::{Reply, ask, get, with};
use super::support::{self, CHART, OTHER_PATIENT, OWN_PATIENT, World, fhir, text};

pub(crate) type Store = Arc<Mutex<BTreeMap<String, Value>>>;

pub(crate) fn observation(id: &str, patient: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "meta": { "versionId": "3" },
        "status": "final",
        "code": { "text": "weight" },
        "subject": { "reference": format!("Patient/{patient}") },
        "valueQuantity": { "value": 71.5 },
    })
}

pub(crate) fn labelled(mut resource: Value, code: &str) -> Value {
    resource["meta"]["security"] = json!([
        { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code },
        { "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R" },
    ]);
    resource
}

/// A small FHIR server: reads, a search over everything, and writes with versions.
pub(crate) async fn serve(world: &World) -> Store {
    let mut resources = BTreeMap::new();
    let mut put = |resource: Value| {
        let key = format!(
            "{}/{}",
            resource["resourceType"].as_str().expect("a type"),
            resource["id"].as_str().expect("an id")
        );
        resources.insert(key, resource);
    };
    for patient in [OWN_PATIENT, OTHER_PATIENT] {
        put(json!({ "resourceType": "Patient", "id": patient, "meta": { "versionId": "1" } }));
    }
    put(observation("own", OWN_PATIENT));
    put(observation("own-2", OWN_PATIENT));
    put(observation("other", OTHER_PATIENT));
    put(labelled(observation("other-psy", OTHER_PATIENT), "PSY"));
    put(json!({
        "resourceType": "Binary", "id": "scan", "contentType": "application/pdf", "data": "QUJD",
        "securityContext": { "reference": format!("Patient/{OWN_PATIENT}") },
    }));
    let store: Store = Arc::new(Mutex::new(resources));
    let held = store.clone();
    world.upstream.answer(move |seen| {
        let store = held.clone();
        async move { answer(&store, &seen) }
    });
    store
}

fn answer(store: &Store, seen: &support::Seen) -> http::Response<gateway::Body> {
    let path = seen.uri.split('?').next().unwrap_or_default();
    let place = path.trim_start_matches("/fhir/").to_owned();
    let mut store = store.lock();
    let missing = || {
        fhir(
            StatusCode::NOT_FOUND,
            &json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "not-found", "diagnostics": format!("upstream knows no {path}") }] }),
        )
    };
    let stale = |stored: Option<&Value>| {
        let tag = stored
            .and_then(|s| s.pointer("/meta/versionId"))
            .and_then(Value::as_str)
            .map(|v| format!("W/\"{v}\""));
        seen.headers
            .get("if-match")
            .is_some_and(|m| Some(m.to_str().unwrap_or("")) != tag.as_deref())
    };
    match (&seen.method, place.matches('/').count()) {
        (&Method::GET, 1) => match store.get(&place) {
            Some(resource) => fhir(StatusCode::OK, resource),
            None => missing(),
        },
        (&Method::GET, 0) | (&Method::POST, 1) => {
            let query = seen.uri.split_once('?').map_or("", |(_, query)| query);
            let identifier = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("identifier="));
            let fits = |resource: &Value| {
                identifier.is_none_or(|wanted| resource["identifier"][0]["value"] == wanted)
            };
            let of_type = format!("{}/", place.split('/').next().unwrap_or_default());
            let entries: Vec<Value> = store
                .iter()
                .filter(|(key, resource)| key.starts_with(&of_type) && fits(resource))
                .map(|(key, resource)| {
                    json!({ "fullUrl": format!("http://upstream/fhir/{key}"), "resource": resource, "search": { "mode": "match" } })
                })
                .collect();
            fhir(
                StatusCode::OK,
                &json!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries }),
            )
        }
        (&Method::PUT, 1) => {
            if stale(store.get(&place)) {
                return text(StatusCode::PRECONDITION_FAILED, "");
            }
            let mut resource: Value = serde_json::from_slice(&seen.body).expect("JSON");
            resource["meta"]["versionId"] = json!("4");
            store.insert(place, resource.clone());
            fhir(StatusCode::OK, &resource)
        }
        (&Method::POST, 0) => {
            let mut resource: Value = serde_json::from_slice(&seen.body).expect("JSON");
            resource["id"] = json!("new");
            resource["meta"]["versionId"] = json!("1");
            let mut response = fhir(StatusCode::CREATED, &resource);
            response.headers_mut().insert(
                "location",
                http::HeaderValue::from_static(
                    "http://10.1.1.1:80/fhir/Observation/new/_history/1",
                ),
            );
            response
        }
        (&Method::DELETE, 1) => {
            if stale(store.get(&place)) {
                return text(StatusCode::PRECONDITION_FAILED, "");
            }
            store.remove(&place);
            text(StatusCode::NO_CONTENT, "")
        }
        _ => missing(),
    }
}

pub(crate) async fn read(world: &World, cookie: &str, path: &str) -> Reply {
    ask(world.http, get(CHART, path, cookie)).await
}

pub(crate) async fn write(world: &World, cookie: &str, line: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let kind = [("Content-Type", "application/fhir+json")];
    ask(world.http, with(CHART, line, cookie, &kind, &body)).await
}
