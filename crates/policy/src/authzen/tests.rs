use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::pack::PolicyPack;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn ask(body: Value) -> Value {
    let world = Snapshot::new(PolicyPack::hospital());
    evaluate(&world, &body, NOW).unwrap_or_else(|e| panic!("{e}"))
}

fn refuse(body: Value, place: &str) {
    let world = Snapshot::new(PolicyPack::hospital());
    match evaluate(&world, &body, NOW) {
        Ok(answer) => panic!("accepted: {answer}"),
        Err(e) => assert_eq!(e.place, place, "{e}"),
    }
}

fn physician() -> Value {
    json!({ "type": "person", "id": "dr-x", "properties": { "roles": ["physician"] } })
}

fn observation() -> Value {
    json!({ "type": "fhir_resource", "id": "Observation/1", "properties": { "patients": ["p-1"] } })
}

fn care() -> Value {
    json!({
        "device": { "id": "ws-1", "class": "workstation", "managed": true, "compliant": true },
        "authentication": { "level": 1, "age_secs": 100 },
        "patients": { "p-1": { "care_team": ["dr-x"] } },
    })
}

fn question(context: Value) -> Value {
    json!({ "subject": physician(), "action": { "name": "fhir:read" }, "resource": observation(), "context": context })
}

#[test]
fn a_question_with_all_its_facts_is_answered_with_reason_and_policies() {
    let answer = ask(question(care()));
    assert_eq!(answer["decision"], json!(true));
    assert_eq!(answer["context"]["outcome"], "permit");
    assert_eq!(
        answer["context"]["reason"]["code"],
        "treating-clinician-reads"
    );
    assert_eq!(
        answer["context"]["policies"],
        json!(["treating-clinician-reads"])
    );
    assert_eq!(answer["context"]["response"], "as_is");
}

#[test]
fn what_is_not_told_counts_as_no() {
    let answer = ask(question(json!({})));
    assert_eq!(answer["decision"], json!(false));
    assert_eq!(answer["context"]["outcome"], "break_glass");
    assert_eq!(answer["context"]["eligibility"]["patient"], "p-1");
    // Nobody said when the subject last proved presence, so that comes first.
    assert!(answer["context"]["eligibility"]["step_up"].is_object());
    let mut unknown = question(care());
    unknown["subject"] = json!({ "type": "person", "id": "dr-x" });
    let answer = ask(unknown);
    assert_eq!(answer["context"]["reason"]["code"], "unknown-person");
}

#[test]
fn people_devices_and_patients_of_the_snapshot_are_known_by_name() {
    let mut world = Snapshot::new(PolicyPack::hospital());
    let person = json!({ "id": "dr-x", "roles": ["physician"] });
    world.set_person(serde_json::from_value(person).expect("a person"));
    let device = json!({ "id": "ws-1", "managed": true, "compliant": true });
    world.set_device(serde_json::from_value(device).expect("a device"));
    let facts = json!({ "care_team": ["dr-x"] });
    world.set_patient("p-1".into(), serde_json::from_value(facts).expect("facts"));
    let body = json!({
        "subject": { "type": "user", "id": "dr-x" },
        "action": { "name": "fhir:read" },
        "resource": observation(),
        "context": { "device": "ws-1" },
    });
    let answer = evaluate(&world, &body, NOW).expect("well-formed");
    assert_eq!(answer["decision"], json!(true));
    assert_eq!(answer["context"]["obligations"], json!([]));
}

#[test]
fn a_key_that_means_nothing_is_an_error_that_names_its_place() {
    refuse(json!([]), "request");
    refuse(json!({}), "subject");
    let mut body = question(care());
    body["contxt"] = json!({});
    refuse(body, "contxt");
    let mut body = question(care());
    body["subject"]["properties"]["rols"] = json!([]);
    refuse(body, "subject.properties");
    let mut body = question(care());
    body["resource"]["properties"]["label"] = json!(["HIV"]);
    refuse(body, "resource.properties");
    let mut body = question(care());
    body["resource"]["properties"]["labels"] = json!(["HVI"]);
    refuse(body, "resource.properties.labels");
    let mut body = question(care());
    body["context"]["authentication"] = json!({ "levle": 2 });
    refuse(body, "context");
    let mut body = question(care());
    body["context"]["patients"]["p-1"]["careteam"] = json!([]);
    refuse(body, "context");
    let mut body = question(care());
    body["context"]["feeds"] =
        json!([{ "name": "weather", "as_of": "2026-01-01", "max_age_secs": 1 }]);
    refuse(body, "context.feeds");
    let mut body = question(care());
    body["context"]["authentication"] = json!({ "at": "2026-01-01", "age_secs": 3 });
    refuse(body, "context.authentication");
    let mut body = question(care());
    body["context"]["risk"] = json!(101);
    refuse(body, "context.risk");
    let mut body = question(care());
    body["subject"]["type"] = json!("martian");
    refuse(body, "subject.type");
    let mut body = question(care());
    body["action"]["properties"] = json!({ "soft": true });
    refuse(body, "action.properties.soft");
    let mut body = question(care());
    body["resource"]["properties"]["resource_type"] = json!("Condition");
    refuse(body, "resource.properties.resource_type");
    let mut body = question(care());
    body["options"] = json!({ "evaluations_semantic": "all" });
    refuse(body, "options.evaluations_semantic");
    let body =
        json!({ "subject": physician(), "evaluations": [{ "action": { "name": "fhir:read" } }] });
    refuse(body, "evaluations[0].resource");
}

#[test]
fn an_action_or_a_type_that_is_not_ours_is_denied() {
    let mut body = question(care());
    body["action"]["name"] = json!("fhir:frobnicate");
    assert_eq!(
        ask(body)["context"]["reason"]["code"],
        "unclassified-request"
    );
    let mut body = question(care());
    body["resource"] = json!({ "type": "todo", "id": "1", "properties": { "anything": 1 } });
    let answer = ask(body);
    assert_eq!(answer["decision"], json!(false));
    assert_eq!(answer["context"]["reason"]["code"], "unclassified-request");
}

#[test]
fn the_three_semantics_stop_where_they_say() {
    let with = |patient: &str| json!({ "resource": { "type": "fhir_resource", "id": "Observation/1", "properties": { "patients": [patient] } } });
    let body = |semantic: Option<&str>, order: &[&str]| {
        let mut body = json!({
            "subject": physician(),
            "action": { "name": "fhir:read" },
            "context": care(),
            "evaluations": order.iter().map(|p| with(p)).collect::<Vec<_>>(),
        });
        if let Some(semantic) = semantic {
            body["options"] = json!({ "evaluations_semantic": semantic });
        }
        body
    };
    let decisions = |body: Value| -> Vec<bool> {
        let answer = ask(body);
        let all = answer["evaluations"].as_array().expect("a list").clone();
        all.iter().map(|a| a["decision"] == json!(true)).collect()
    };
    let order = ["p-1", "p-2", "p-1", "p-2"];
    assert_eq!(decisions(body(None, &order)), [true, false, true, false]);
    assert_eq!(
        decisions(body(Some("execute_all"), &order)),
        [true, false, true, false]
    );
    assert_eq!(
        decisions(body(Some("deny_on_first_deny"), &order)),
        [true, false]
    );
    assert_eq!(
        decisions(body(Some("permit_on_first_permit"), &["p-2", "p-1", "p-2"])),
        [false, true]
    );
    // An empty list is a single question.
    let mut single = question(care());
    single["evaluations"] = json!([]);
    assert_eq!(ask(single)["decision"], json!(true));
}

#[test]
fn the_instant_can_be_given() {
    let mut body = question(care());
    body["context"]["patients"] =
        json!({ "p-1": { "encounters": [{ "person": "dr-x", "ended": "2026-01-01T00:00:00Z" }] } });
    body["context"]["time"] = json!("2026-01-20T00:00:00Z");
    assert_eq!(ask(body.clone())["decision"], json!(true));
    body["context"]["time"] = json!("2026-03-20T00:00:00Z");
    assert_eq!(ask(body)["decision"], json!(false));
}

/// Request shapes of the AuthZEN working group's interoperability vectors. Their applications are not ours, so the
/// answer is no; what counts is that each is understood as a request and answered in form.
#[test]
fn the_shapes_of_the_interoperability_vectors_are_understood() {
    let data = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let files = [
        "authzen/interop/authzen-todo-backend/test/decisions-authorization-api-1_0-02.json",
        "authzen/interop/authzen-api-gateways/test-harness/test/decisions.json",
    ];
    let mut seen = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(data.join(file)) else {
            eprintln!("skipped: {file} is not in {}", data.display());
            continue;
        };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        for list in ["evaluation", "evaluations"] {
            for case in vectors
                .get(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let answer = ask(case["request"].clone());
                let answers = match answer.get("evaluations").and_then(Value::as_array) {
                    Some(all) => all.clone(),
                    None => vec![answer],
                };
                let expected = case["request"].get("evaluations").and_then(Value::as_array);
                assert_eq!(answers.len(), expected.map_or(1, Vec::len));
                for answer in answers {
                    assert!(answer["decision"].is_boolean(), "{answer}");
                    assert!(answer["context"].is_object(), "{answer}");
                    seen += 1;
                }
            }
        }
    }
    eprintln!("{seen} vectors");
}
