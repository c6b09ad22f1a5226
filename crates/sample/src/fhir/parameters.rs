//! Which types the server keeps, by what they can be searched, and the values found for it.

use domain::Timestamp;
use serde_json::Value;
use smol_str::SmolStr;

use super::date::Range;

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Text,
    Reference,
    Date,
}

impl Kind {
    /// The FHIR name of the search parameter type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Text => "string",
            Self::Reference => "reference",
            Self::Date => "date",
        }
    }
}

/// A search parameter of one type.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Elements that it looks at; through arrays.
    paths: &'static [&'static str],
    /// Types that a reference may lead to; empty: any.
    pub(crate) targets: &'static [&'static str],
    /// Whether it makes the resource part of a patient's compartment (R4 CompartmentDefinition).
    pub(crate) compartment: bool,
}

/// A type that the server keeps.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// Elements without which a resource is refused; `a|b` means one of them.
    pub(crate) required: &'static [&'static str],
}

const fn token(name: &'static str, paths: &'static [&'static str]) -> Parameter {
    parameter(name, Kind::Token, paths, &[], false)
}

const fn text(name: &'static str, paths: &'static [&'static str]) -> Parameter {
    parameter(name, Kind::Text, paths, &[], false)
}

const fn date(name: &'static str, paths: &'static [&'static str]) -> Parameter {
    parameter(name, Kind::Date, paths, &[], false)
}

const fn to(
    name: &'static str,
    paths: &'static [&'static str],
    targets: &'static [&'static str],
) -> Parameter {
    parameter(name, Kind::Reference, paths, targets, false)
}

const fn member(
    name: &'static str,
    paths: &'static [&'static str],
    targets: &'static [&'static str],
) -> Parameter {
    parameter(name, Kind::Reference, paths, targets, true)
}

const fn parameter(
    name: &'static str,
    kind: Kind,
    paths: &'static [&'static str],
    targets: &'static [&'static str],
    compartment: bool,
) -> Parameter {
    Parameter {
        name,
        kind,
        paths,
        targets,
        compartment,
    }
}

const PATIENT: &[&str] = &["Patient"];
const ENCOUNTER: &[&str] = &["Encounter"];
const PRACTITIONER: &[&str] = &["Practitioner"];
const ANY: &[&str] = &[];

/// Every type that the server keeps, sorted.
pub(crate) const TYPES: &[Type] = &[
    Type {
        name: "AllergyIntolerance",
        required: &["patient"],
        parameters: &[
            member("patient", &["patient"], PATIENT),
            member("recorder", &["recorder"], ANY),
            member("asserter", &["asserter"], ANY),
            token("code", &["code"]),
            token("clinical-status", &["clinicalStatus"]),
            token("criticality", &["criticality"]),
            date("date", &["recordedDate"]),
        ],
    },
    Type {
        name: "Binary",
        required: &["contentType"],
        parameters: &[],
    },
    Type {
        name: "CareTeam",
        required: &[],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            to("subject", &["subject"], ANY),
            member("participant", &["participant.member"], ANY),
            to("encounter", &["encounter"], ENCOUNTER),
            token("status", &["status"]),
            token("category", &["category"]),
            token("identifier", &["identifier"]),
            date("date", &["period"]),
        ],
    },
    Type {
        name: "Claim",
        required: &[
            "status",
            "type",
            "use",
            "patient",
            "created",
            "provider",
            "priority",
            "insurance",
        ],
        parameters: &[
            member("patient", &["patient"], PATIENT),
            member("payee", &["payee.party"], ANY),
            to("provider", &["provider"], ANY),
            to("insurer", &["insurer"], ANY),
            to("encounter", &["item.encounter"], ENCOUNTER),
            token("status", &["status"]),
            token("use", &["use"]),
            token("identifier", &["identifier"]),
            date("created", &["created"]),
        ],
    },
    Type {
        name: "Condition",
        required: &["subject"],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            to("subject", &["subject"], ANY),
            member("asserter", &["asserter"], ANY),
            to("encounter", &["encounter"], ENCOUNTER),
            token("code", &["code"]),
            token("category", &["category"]),
            token("clinical-status", &["clinicalStatus"]),
            token("verification-status", &["verificationStatus"]),
            token("identifier", &["identifier"]),
            date("onset-date", &["onsetDateTime", "onsetPeriod"]),
            date("recorded-date", &["recordedDate"]),
        ],
    },
    Type {
        name: "Consent",
        required: &["status", "scope", "category"],
        parameters: &[
            member("patient", &["patient"], PATIENT),
            to("actor", &["provision.actor.reference"], ANY),
            to("organization", &["organization"], ANY),
            token("status", &["status"]),
            token("scope", &["scope"]),
            token("category", &["category"]),
            token("security-label", &["provision.securityLabel"]),
            date("date", &["dateTime"]),
            date("period", &["provision.period"]),
        ],
    },
    Type {
        name: "Coverage",
        required: &["status", "beneficiary", "payor"],
        parameters: &[
            member("patient", &["beneficiary"], PATIENT),
            member("beneficiary", &["beneficiary"], PATIENT),
            member("subscriber", &["subscriber"], ANY),
            member("policy-holder", &["policyHolder"], ANY),
            member("payor", &["payor"], ANY),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
        ],
    },
    Type {
        name: "Device",
        required: &[],
        parameters: &[
            to("patient", &["patient"], PATIENT),
            to("location", &["location"], ANY),
            to("organization", &["owner"], ANY),
            text("device-name", &["deviceName.name"]),
            token("type", &["type"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
        ],
    },
    Type {
        name: "DocumentReference",
        required: &["status", "content"],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            to("subject", &["subject"], ANY),
            member("author", &["author"], ANY),
            to("custodian", &["custodian"], ANY),
            to("encounter", &["context.encounter"], ENCOUNTER),
            token("type", &["type"]),
            token("category", &["category"]),
            token("status", &["status"]),
            token("security-label", &["securityLabel"]),
            token("identifier", &["masterIdentifier", "identifier"]),
            date("date", &["date"]),
        ],
    },
    Type {
        name: "Encounter",
        required: &["status", "class"],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            to("subject", &["subject"], ANY),
            to("participant", &["participant.individual"], ANY),
            to("practitioner", &["participant.individual"], PRACTITIONER),
            to("location", &["location.location"], ANY),
            to("service-provider", &["serviceProvider"], ANY),
            token("class", &["class"]),
            token("type", &["type"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
            date("date", &["period"]),
        ],
    },
    Type {
        name: "Location",
        required: &[],
        parameters: &[
            text("name", &["name", "alias"]),
            token("type", &["type"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
            to("organization", &["managingOrganization"], ANY),
            to("partof", &["partOf"], ANY),
        ],
    },
    Type {
        name: "MedicationAdministration",
        required: &[
            "status",
            "medicationCodeableConcept|medicationReference",
            "subject",
            "effectiveDateTime|effectivePeriod",
        ],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            member("subject", &["subject"], ANY),
            member("performer", &["performer.actor"], ANY),
            to("request", &["request"], ANY),
            to("context", &["context"], ANY),
            token("code", &["medicationCodeableConcept"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
            date("effective-time", &["effectiveDateTime", "effectivePeriod"]),
        ],
    },
    Type {
        name: "MedicationDispense",
        required: &["status", "medicationCodeableConcept|medicationReference"],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            member("subject", &["subject"], ANY),
            member("receiver", &["receiver"], ANY),
            to("performer", &["performer.actor"], ANY),
            to("prescription", &["authorizingPrescription"], ANY),
            to("context", &["context"], ANY),
            token("code", &["medicationCodeableConcept"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
            date("whenhandedover", &["whenHandedOver"]),
        ],
    },
    Type {
        name: "MedicationRequest",
        required: &[
            "status",
            "intent",
            "medicationCodeableConcept|medicationReference",
            "subject",
        ],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            member("subject", &["subject"], ANY),
            to("requester", &["requester"], ANY),
            to("encounter", &["encounter"], ENCOUNTER),
            token("code", &["medicationCodeableConcept"]),
            token("category", &["category"]),
            token("status", &["status"]),
            token("intent", &["intent"]),
            token("identifier", &["identifier"]),
            date("authoredon", &["authoredOn"]),
            date("date", &["authoredOn"]),
        ],
    },
    Type {
        name: "Observation",
        required: &["status", "code"],
        parameters: &[
            member("patient", &["subject"], PATIENT),
            member("subject", &["subject"], ANY),
            member("performer", &["performer"], ANY),
            to("encounter", &["encounter"], ENCOUNTER),
            to("device", &["device"], ANY),
            token("code", &["code"]),
            token("category", &["category"]),
            token("status", &["status"]),
            token("identifier", &["identifier"]),
            date(
                "date",
                &["effectiveDateTime", "effectivePeriod", "effectiveInstant"],
            ),
        ],
    },
    Type {
        name: "Organization",
        required: &["identifier|name"],
        parameters: &[
            text("name", &["name", "alias"]),
            token("type", &["type"]),
            token("active", &["active"]),
            token("identifier", &["identifier"]),
            to("partof", &["partOf"], ANY),
        ],
    },
    Type {
        name: "Patient",
        required: &[],
        parameters: &[
            text("name", &["name"]),
            text("family", &["name.family"]),
            text("given", &["name.given"]),
            text("address", &["address"]),
            text("address-city", &["address.city"]),
            token("identifier", &["identifier"]),
            token("gender", &["gender"]),
            token("active", &["active"]),
            token("telecom", &["telecom"]),
            date("birthdate", &["birthDate"]),
            to("general-practitioner", &["generalPractitioner"], ANY),
            to("organization", &["managingOrganization"], ANY),
            member("link", &["link.other"], PATIENT),
        ],
    },
    Type {
        name: "Practitioner",
        required: &[],
        parameters: &[
            text("name", &["name"]),
            text("family", &["name.family"]),
            text("given", &["name.given"]),
            token("identifier", &["identifier"]),
            token("gender", &["gender"]),
            token("active", &["active"]),
        ],
    },
    Type {
        name: "PractitionerRole",
        required: &[],
        parameters: &[
            to("practitioner", &["practitioner"], ANY),
            to("organization", &["organization"], ANY),
            to("location", &["location"], ANY),
            token("role", &["code"]),
            token("specialty", &["specialty"]),
            token("active", &["active"]),
            token("identifier", &["identifier"]),
        ],
    },
    Type {
        name: "RelatedPerson",
        required: &["patient"],
        parameters: &[
            member("patient", &["patient"], PATIENT),
            text("name", &["name"]),
            token("identifier", &["identifier"]),
            token("relationship", &["relationship"]),
            token("active", &["active"]),
        ],
    },
];

/// The type of this name, if the server keeps it.
pub(crate) fn type_named(name: &str) -> Option<&'static Type> {
    TYPES
        .binary_search_by(|t| t.name.cmp(name))
        .ok()
        .map(|at| &TYPES[at])
}

impl Type {
    /// The number of the parameter `name` among this type's.
    pub(crate) fn parameter(&self, name: &str) -> Option<(u8, &'static Parameter)> {
        let at = self.parameters.iter().position(|p| p.name == name)?;
        Some((u8::try_from(at).ok()?, &self.parameters[at]))
    }
}

/// A value that a resource has for a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    Token {
        system: SmolStr,
        code: SmolStr,
    },
    Text {
        folded: SmolStr,
        exact: SmolStr,
    },
    /// `Type/id`, or an absolute URL of somewhere else.
    Reference(SmolStr),
    Date(Range),
}

/// What a resource can be found by: number of the parameter and value, in the order of the numbers.
pub(crate) fn index(kept: &'static Type, resource: &Value) -> Vec<(u8, Found)> {
    let mut values = Vec::new();
    for (number, parameter) in (0_u8..).zip(kept.parameters) {
        for path in parameter.paths {
            walk(resource, path, &mut |element| {
                collect(parameter, element, &mut |found| {
                    values.push((number, found));
                });
            });
        }
    }
    values.shrink_to_fit();
    values
}

/// The labels of `meta.security` as tokens, for `_security`.
pub(crate) fn tokens_at(resource: &Value, path: &str) -> Vec<Found> {
    let mut values = Vec::new();
    walk(resource, path, &mut |element| {
        token_values(element, &mut |found| values.push(found));
    });
    values
}

/// Ids of the patients in whose compartment a resource lies.
pub(crate) fn compartments(kept: &'static Type, id: &str, index: &[(u8, Found)]) -> Vec<SmolStr> {
    let mut patients: Vec<SmolStr> = index
        .iter()
        .filter(|(number, _)| kept.parameters[usize::from(*number)].compartment)
        .filter_map(|(_, found)| match found {
            Found::Reference(to) => to.strip_prefix("Patient/").map(SmolStr::from),
            _ => None,
        })
        .collect();
    if kept.name == "Patient" {
        patients.push(id.into());
    }
    patients.sort_unstable();
    patients.dedup();
    patients
}

fn walk(value: &Value, path: &str, found: &mut dyn FnMut(&Value)) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(element) = value.get(name) else {
        return;
    };
    let mut visit = |item: &Value| match rest {
        Some(rest) => walk(item, rest, found),
        None => found(item),
    };
    match element.as_array() {
        Some(items) => items.iter().for_each(visit),
        None => visit(element),
    }
}

fn collect(parameter: &Parameter, element: &Value, add: &mut dyn FnMut(Found)) {
    match parameter.kind {
        Kind::Token => token_values(element, add),
        Kind::Text => text_values(element, add),
        Kind::Reference => {
            if let Some(to) = element.get("reference").and_then(Value::as_str) {
                let fits = parameter.targets.is_empty()
                    || parameter
                        .targets
                        .iter()
                        .any(|t| to.strip_prefix(t).is_some_and(|id| id.starts_with('/')));
                // A reference to a version counts as one to the resource.
                let to = to.split_once("/_history/").map_or(to, |(to, _)| to);
                if fits {
                    add(Found::Reference(to.into()));
                }
            }
        }
        Kind::Date => date_value(element, add),
    }
}

fn token_values(element: &Value, add: &mut dyn FnMut(Found)) {
    let part = |value: &Value, name: &str| -> SmolStr {
        value.get(name).and_then(Value::as_str).unwrap_or("").into()
    };
    match element {
        Value::String(code) => add(Found::Token {
            system: SmolStr::default(),
            code: code.as_str().into(),
        }),
        Value::Bool(flag) => add(Found::Token {
            system: SmolStr::default(),
            code: if *flag { "true".into() } else { "false".into() },
        }),
        Value::Object(object) => {
            // CodeableConcept, Identifier or ContactPoint, Coding.
            if let Some(codings) = object.get("coding").and_then(Value::as_array) {
                for coding in codings {
                    add(Found::Token {
                        system: part(coding, "system"),
                        code: part(coding, "code"),
                    });
                }
            } else if object.contains_key("value") {
                add(Found::Token {
                    system: part(element, "system"),
                    code: part(element, "value"),
                });
            } else if object.contains_key("code") {
                add(Found::Token {
                    system: part(element, "system"),
                    code: part(element, "code"),
                });
            }
        }
        Value::Null | Value::Number(_) | Value::Array(_) => {}
    }
}

/// A string, or the strings of a HumanName or Address.
fn text_values(element: &Value, add: &mut dyn FnMut(Found)) {
    match element {
        Value::String(text) => add(Found::Text {
            folded: fold(text).into(),
            exact: text.into(),
        }),
        Value::Object(object) => {
            for (key, value) in object {
                if matches!(key.as_str(), "use" | "period" | "extension" | "id") {
                    continue;
                }
                match value {
                    Value::String(_) => text_values(value, add),
                    Value::Array(items) => items
                        .iter()
                        .filter(|item| item.is_string())
                        .for_each(|item| text_values(item, add)),
                    _ => {}
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
}

fn date_value(element: &Value, add: &mut dyn FnMut(Found)) {
    let range = match element {
        Value::String(text) => Range::parse(text),
        Value::Object(period) => {
            let end = |name: &str| period.get(name).and_then(Value::as_str).map(Range::parse);
            match (end("start"), end("end")) {
                (None, None) | (Some(None), _) | (_, Some(None)) => None,
                (start, stop) => Some(Range {
                    from: start.flatten().map_or(Range::ALWAYS.from, |r| r.from),
                    to: stop.flatten().map_or(Range::ALWAYS.to, |r| r.to),
                }),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    if let Some(range) = range {
        add(Found::Date(range));
    }
}

/// Text as it is compared: lower case.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// The range that `meta.lastUpdated` covers.
pub(crate) fn instant(at: Timestamp) -> Range {
    Range {
        from: at.as_millis(),
        to: at.as_millis() + 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_sorted_and_parameters_are_few_enough_to_number() {
        assert!(TYPES.windows(2).all(|w| w[0].name < w[1].name));
        assert!(TYPES.iter().all(|t| t.parameters.len() < 64));
        assert!(type_named("Observation").is_some());
        assert!(type_named("observation").is_none());
    }

    #[test]
    fn values_are_found_through_arrays_and_data_types() {
        let kept = type_named("Observation").expect("kept");
        let found = index(
            kept,
            &json!({
                "code": {"coding": [{"system": "s", "code": "a"}, {"code": "b"}]},
                "status": "final",
                "subject": {"reference": "Patient/1/_history/2"},
                "performer": [{"reference": "Practitioner/x"}, {"reference": "Patient/2"}],
                "effectivePeriod": {"start": "2026-11-22"},
            }),
        );
        let of = |name: &str| {
            let (number, _) = kept.parameter(name).expect("known");
            found.iter().filter(|(n, _)| *n == number).count()
        };
        assert_eq!(
            (
                of("code"),
                of("status"),
                of("patient"),
                of("performer"),
                of("date")
            ),
            (2, 1, 1, 2, 1)
        );
        assert_eq!(compartments(kept, "o", &found), ["1", "2"]);
    }

    #[test]
    fn broken_elements_give_no_values() {
        let kept = type_named("Encounter").expect("kept");
        let broken = json!({
            "period": {"start": "soon"}, "status": 5, "subject": "Patient/1", "participant": {"individual": []},
            "class": null, "location": [[{"location": {"reference": 3}}]],
        });
        assert_eq!(index(kept, &broken), []);
    }
}
