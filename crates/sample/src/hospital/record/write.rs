//! The small parts that FHIR resources are put together from.

use domain::Timestamp;
use serde_json::{Value, json};

use crate::hospital::{
    ACT_CODE_SYSTEM, CONFIDENTIALITY_SYSTEM, CONTROLLED_EXTENSION, UNIT_EXTENSION,
};

pub(super) const SNOMED: &str = "http://snomed.info/sct";
pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";

pub(super) fn concept(system: &str, code: &str, text: &str) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": text}], "text": text})
}

pub(super) fn text_concept(text: &str) -> Value {
    json!({"text": text})
}

pub(super) fn reference(resource_type: &str, id: &str, display: &str) -> Value {
    json!({"reference": format!("{resource_type}/{id}"), "display": display})
}

/// A quantity rounded to `decimals`.
pub(super) fn quantity(value: f64, decimals: u8, unit: &str, ucum: &str) -> Value {
    let scale = 10_f64.powi(i32::from(decimals));
    let rounded = (value * scale).round() / scale;
    // Whole numbers are written without a fraction.
    let number = if decimals == 0 {
        json!(rounded as i64)
    } else {
        json!(rounded)
    };
    json!({"value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": ucum})
}

/// The `meta` of a labelled resource.
pub(super) fn labels(confidentiality: Option<&str>, codes: &[&str]) -> Value {
    let mut security: Vec<Value> = confidentiality
        .iter()
        .map(|code| json!({"system": CONFIDENTIALITY_SYSTEM, "code": code}))
        .collect();
    security.extend(
        codes
            .iter()
            .map(|code| json!({"system": ACT_CODE_SYSTEM, "code": code})),
    );
    if security.is_empty() {
        json!({})
    } else {
        json!({"security": security})
    }
}

/// The date of an instant, in UTC.
pub(super) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

pub(super) fn controlled_mark(resource: &mut Value) {
    extend(
        resource,
        json!({"url": CONTROLLED_EXTENSION, "valueBoolean": true}),
    );
}

pub(super) fn kept_by(resource: &mut Value, unit: &str) {
    extend(resource, json!({"url": UNIT_EXTENSION, "valueCode": unit}));
}

fn extend(resource: &mut Value, extension: Value) {
    match resource.get_mut("extension").and_then(Value::as_array_mut) {
        Some(list) => list.push(extension),
        None => resource["extension"] = json!([extension]),
    }
}
