//! What the server says of itself.

use domain::Timestamp;
use serde_json::{Value, json};

use super::parameters::{Kind, TYPES};

/// The `CapabilityStatement`.
pub(crate) fn statement(now: Timestamp) -> Value {
    let interactions =
        |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"code": name})).collect() };
    let resources: Vec<Value> = TYPES
        .iter()
        .map(|kept| {
            let own = kept
                .parameters
                .iter()
                .map(|p| json!({"name": p.name, "type": p.kind.name()}));
            let common = [
                ("_id", Kind::Token),
                ("_lastUpdated", Kind::Date),
                ("_security", Kind::Token),
            ];
            let common = common.map(|(name, kind)| json!({"name": name, "type": kind.name()}));
            let includes: Vec<String> = kept
                .parameters
                .iter()
                .filter(|p| p.kind == Kind::Reference)
                .map(|p| format!("{}:{}", kept.name, p.name))
                .collect();
            let mut resource = json!({
                "type": kept.name,
                "interaction": interactions(&[
                    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create",
                    "search-type",
                ]),
                "versioning": "versioned-update",
                "readHistory": true,
                "updateCreate": true,
                "conditionalCreate": true,
                "conditionalRead": "full-support",
                "conditionalUpdate": false,
                "conditionalDelete": "not-supported",
                "searchParam": common.into_iter().chain(own).collect::<Vec<_>>(),
            });
            if !includes.is_empty() {
                resource["searchInclude"] = includes.into();
            }
            resource
        })
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "experimental": true,
        "date": now.to_string(),
        "kind": "instance",
        "software": {"name": "Asepsis sample hospital", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Larkfield General Hospital (sample). Nobody in it exists."},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "patchFormat": ["application/json-patch+json"],
        "rest": [{
            "mode": "server",
            "resource": resources,
            "interaction": interactions(&["transaction", "batch", "history-system", "search-system"]),
        }],
    })
}
