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

/// Puts `value` at a place of a good question.
fn with(place: &str, value: Value) -> Value {
    let mut body = question(care());
    let (parent, key) = place.rsplit_once('/').expect("a pointer");
    body.pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object")
        .insert(key.to_owned(), value);
    body
}

/// The message for `value` at a place of a good question.
fn told(place: &str, value: Value) -> String {
    let world = Snapshot::new(PolicyPack::hospital());
    match evaluate(&world, &with(place, value), NOW) {
        Ok(answer) => panic!("{place} was accepted: {answer}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_mistake_is_told_by_its_place_in_the_words_of_the_vocabulary() {
    let cases = [
        (
            "/subject",
            json!("alice"),
            "subject: must be an object (`{…}`), not a text",
        ),
        (
            "/subject",
            json!(["person", "x"]),
            "subject: must be an object (`{…}`), not a list",
        ),
        (
            "/subject",
            json!({ "type": "person" }),
            "subject.id: is missing; it must be a text",
        ),
        (
            "/subject",
            json!({ "type": "person", "id": "" }),
            "subject.id: must not be empty",
        ),
        (
            "/subject",
            json!({ "type": "person", "id": 7 }),
            "subject.id: must be a text, not a number",
        ),
        (
            "/subject",
            json!({ "type": "person", "id": "x", "roles": ["nurse"] }),
            "subject.roles: belongs into `subject.properties`",
        ),
        (
            "/subject",
            json!({ "type": "person", "id": "x", "Propertys": {} }),
            "subject.Propertys: unknown key `Propertys`; did you mean `properties`?",
        ),
        (
            "/subject/properties",
            json!([]),
            "subject.properties: must be an object (`{…}`), not a list",
        ),
        (
            "/subject/properties/roles",
            json!("nurse"),
            "subject.properties.roles: must be a list, not a text",
        ),
        (
            "/subject/properties/rols",
            json!([]),
            "subject.properties.rols: unknown key `rols`; did you mean `roles`?",
        ),
        (
            "/subject/properties/active",
            json!("yes"),
            "subject.properties.active: must be true or false, not a text",
        ),
        (
            "/subject/properties/kind",
            json!("robot"),
            "subject.properties.kind: unknown value `robot`; known are `workforce`, `vendor`, `proxy`, `workload`",
        ),
        (
            "/action",
            json!({ "name": 123 }),
            "action.name: must be a text, not a number",
        ),
        (
            "/action",
            json!({}),
            "action.name: is missing; it must be a text",
        ),
        (
            "/resource/properties/label",
            json!(["HIV"]),
            "resource.properties.label: unknown key `label`; did you mean `labels`?",
        ),
        (
            "/resource/properties/labels",
            json!(["HVI"]),
            "resource.properties.labels: unknown label `HVI`; known are PSY, ETH, HIV, SDV, STD, SEX, GDIS, PSYTHPN, VIP, EMP, UNKNOWN; write UNKNOWN for any other",
        ),
        (
            "/resource/properties/resource_type",
            json!("Condition"),
            "resource.properties.resource_type: `Condition` contradicts the id, which says `Observation`",
        ),
        (
            "/resource/id",
            json!("/7"),
            "resource.id: must be a resource type (`Observation`) or a type with an id (`Observation/17`)",
        ),
        (
            "/context",
            json!([]),
            "context: must be an object (`{…}`), not a list",
        ),
        (
            "/context/purpose",
            json!("TREET"),
            "context.purpose: unknown value `TREET`; did you mean `TREAT`?",
        ),
        (
            "/context/time",
            json!("yesterday"),
            "context.time: `yesterday` is not an RFC 3339 instant",
        ),
        (
            "/context/risk",
            json!(900),
            "context.risk: must be a whole number that fits, not `900`",
        ),
        (
            "/context/risk",
            json!(101),
            "context.risk: must be 0 to 100",
        ),
        (
            "/context/authentication/level",
            json!(9),
            "context.authentication.level: authentication assurance level `9` is not 1, 2 or 3",
        ),
        (
            "/context/authentication/levle",
            json!(2),
            "context.authentication.levle: unknown key `levle`; did you mean `level`?",
        ),
        (
            "/context/authentication/at",
            json!("2026-01-01"),
            "context.authentication: give `at` or `age_secs`, not both",
        ),
        (
            "/context/device",
            json!({ "class": "phone" }),
            "context.device: `id` is missing",
        ),
        (
            "/context/device",
            json!(7),
            "context.device: must be a device's id or an object that describes it, not `7`",
        ),
        (
            "/context/device/managd",
            json!(true),
            "context.device.managd: unknown key `managd`; did you mean `managed`?",
        ),
        (
            "/context/patients/p-1/careteam",
            json!([]),
            "context.patients.p-1.careteam: unknown key `careteam`; did you mean `care_team`?",
        ),
        (
            "/context/patients/p-1/encounters",
            json!([{ "persn": "x" }]),
            "context.patients.p-1.encounters[0].persn: unknown key `persn`; did you mean `person`?",
        ),
        (
            "/context/patients/p-1/consents",
            json!([{ "effect": "deny", "labels": ["HVI"] }]),
            "context.patients.p-1.consents[0].labels: unknown label `HVI`; known are PSY, ETH, HIV, SDV, STD, SEX, GDIS, PSYTHPN, VIP, EMP, UNKNOWN; write UNKNOWN for any other",
        ),
        (
            "/context/feeds",
            json!([{ "name": "weather", "as_of": "2026-01-01", "max_age_secs": 1 }]),
            "context.feeds: unknown feed `weather`; known are care_team, encounter, directory",
        ),
        (
            "/contxt",
            json!({}),
            "contxt: unknown key `contxt`; did you mean `context`?",
        ),
        (
            "/purpose",
            json!("TREAT"),
            "purpose: belongs into `context`",
        ),
        (
            "/evaluations",
            json!({}),
            "evaluations: must be a list of questions",
        ),
        (
            "/options",
            json!({ "evaluations_semantic": "all" }),
            "options.evaluations_semantic: `\"all\"` is not execute_all, deny_on_first_deny or permit_on_first_permit",
        ),
    ];
    for (place, value, expected) in cases {
        let told = told(place, value.clone());
        assert_eq!(told, expected, "{place} = {value}");
        assert!(!told.contains("struct") && !told.contains("Raw"), "{told}");
    }
    refuse(json!([]), "request");
    refuse(json!({}), "subject");
}

#[test]
fn the_names_of_the_circumstances_are_those_that_are_read() {
    let told = told("/context/qqqqqqqqqqqqqqqqq", json!(1));
    let known: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
    let mut sorted = known.clone();
    sorted.sort_unstable();
    let mut ours = CIRCUMSTANCES.to_vec();
    ours.sort_unstable();
    assert_eq!(sorted, ours, "{told}");
}

#[test]
fn what_the_frame_does_not_know_is_passed_over() {
    let mut body = question(care());
    body["foo"] = json!("bar");
    body["futureField"] = json!({ "nested": true });
    body["action"]["properties"] = json!({ "method": "GET" });
    body["subject"]["since"] = json!(1);
    assert_eq!(ask(body)["decision"], json!(true));
}

#[test]
fn of_several_questions_one_that_is_not_well_formed_is_answered_no() {
    let mut body = question(care());
    body.as_object_mut().expect("an object").remove("resource");
    body["evaluations"] = json!([
        {},
        { "resource": observation() },
        { "resource": "Observation/1" },
        { "resource": observation(), "contxt": {} },
        7,
    ]);
    let answer = ask(body.clone());
    let decisions: Vec<_> = answer["evaluations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| a["decision"] == json!(true))
        .collect();
    assert_eq!(decisions, [false, true, false, false, false]);
    let told: Vec<&str> = mistakes(&answer).collect();
    assert_eq!(
        told,
        [
            "evaluations[0].resource: is missing; a question has subject, action and resource",
            "evaluations[2].resource: must be an object (`{…}`), not a text",
            "evaluations[3].contxt: unknown key `contxt`; did you mean `context`?",
            "evaluations[4]: must be an object (`{…}`), not a number",
        ]
    );
    body["options"] = json!({ "evaluations_semantic": "deny_on_first_deny" });
    assert_eq!(
        ask(body.clone())["evaluations"].as_array().map(Vec::len),
        Some(1)
    );
    body["options"] = json!({ "evaluations_semantic": "permit_on_first_permit" });
    assert_eq!(
        ask(body.clone())["evaluations"].as_array().map(Vec::len),
        Some(2)
    );
    // What is said for all of them is a mistake of the whole, even where each replaces it.
    body["resource"] = json!("Observation/1");
    refuse(body, "resource");
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

/// The AuthZEN working group's data, or a line that says it is not there.
fn data(file: &str) -> Option<String> {
    let dir = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = dir.join("authzen").join(file);
    let text = std::fs::read_to_string(&path);
    if text.is_err() {
        eprintln!(
            "skipped: {} is not there; ASEPSIS_DATA names its folder",
            path.display()
        );
    }
    text.ok()
}

/// Checks an answer against what the standard says of its form; how many decisions it holds.
fn check_form(request: &Value, answer: &Value) -> usize {
    let decision = |one: &Value| {
        assert!(one["decision"].is_boolean(), "{one}");
        assert!(one["context"].is_object(), "{one}");
    };
    match request.get("evaluations").and_then(Value::as_array) {
        Some(asked) if !asked.is_empty() => {
            let given = answer["evaluations"].as_array().expect("a list");
            assert_eq!(given.len(), asked.len(), "{request}");
            assert!(answer.get("decision").is_none());
            given.iter().for_each(decision);
            given.len()
        }
        _ => {
            decision(answer);
            1
        }
    }
}

/// The interoperability vectors are about applications that are not ours, so that the answer is no; what counts is that
/// each is understood as a request and answered in form.
#[test]
fn the_shapes_of_the_interoperability_vectors_are_understood() {
    let mut seen = 0;
    for file in [
        "interop/authzen-todo-backend/test/decisions-authorization-api-1_0-02.json",
        "interop/authzen-api-gateways/test-harness/test/decisions.json",
    ] {
        let Some(text) = data(file) else { continue };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        for list in ["evaluation", "evaluations"] {
            let cases = vectors.get(list).and_then(Value::as_array);
            for case in cases.into_iter().flatten() {
                seen += check_form(&case["request"], &ask(case["request"].clone()));
            }
        }
    }
    eprintln!("{seen} decisions");
}

/// The certification scenario of Authorization API 1.0, as far as it is about evaluation and evaluations: each
/// request of its text is accepted and answered in form, or refused where the text demands a 400. Its eight mandated decisions
/// are about `record-1`, for which this hospital has no rules.
#[test]
fn the_certification_scenario_is_answered_in_form() {
    let Some(text) = data("certification/authorization-api-1_0-scenario.md") else {
        return;
    };
    let from = text.find("# Basic Certification").expect("a chapter");
    let to = text.find("# Search Certification").expect("a chapter");
    let (mut accepted, mut refused) = (0, 0);
    for block in text[from..to].split("~~~ json\n").skip(1) {
        let (request, after) = block.split_once("~~~").expect("a closed block");
        let request: Value = serde_json::from_str(request).expect("JSON");
        if request.get("decision").is_some() || request.pointer("/evaluations/0/decision").is_some()
        {
            continue; // An expected answer.
        }
        let world = Snapshot::new(PolicyPack::hospital());
        let answer = evaluate(&world, &request, NOW);
        let expected = after
            .lines()
            .find(|line| line.starts_with("**Expected:**"))
            .unwrap_or_default();
        if expected.contains("HTTP 400") {
            assert!(answer.is_err(), "accepted: {request}");
            refused += 1;
        } else {
            let answer = answer.unwrap_or_else(|e| panic!("{e}: {request}"));
            accepted += check_form(&request, &answer);
        }
    }
    assert!(
        accepted >= 20 && refused >= 10,
        "{accepted} accepted, {refused} refused"
    );
    for bad in [&b""[..], b"{\"subject\": {", b"not json"] {
        assert!(parse(bad).is_err());
    }
}

/// The scenario's own words with our resources in place of its records: defaults are inherited whole, replaced whole, in
/// order, the same each time.
#[test]
fn defaults_are_inherited_and_replaced_whole() {
    let strangers = json!({ "type": "fhir_resource", "id": "Observation/2", "properties": { "patients": ["p-2"] } });
    let mut body = question(care());
    body["evaluations"] = json!([
        {},
        { "resource": strangers },
        // Without properties nothing of the default's is left: the patient is not told.
        { "resource": { "type": "fhir_resource", "id": "Observation/1" } },
        { "context": {} },
        { "subject": { "type": "person", "id": "dr-x" } },
    ]);
    let first = ask(body.clone());
    let decisions: Vec<_> = first["evaluations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| a["decision"] == json!(true))
        .collect();
    assert_eq!(decisions, [true, false, false, false, false]);
    assert_eq!(ask(body), first);
}
