use std::cell::Cell;

use domain::resource::FhirEndpoint;
use domain::{Aal, Authentication, Context, Criticality, Grants, Person, Purpose, Subject, Target};

use super::*;
use crate::snapshot::ApplicationFacts;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

thread_local! {
    static TRIPPED: Cell<bool> = const { Cell::new(false) };
}

/// Panics inside a decision of this thread, if a test asked for it.
pub(super) fn trip() {
    assert!(!TRIPPED.get(), "a decision that fails");
}

fn world(mode: EnforcementMode) -> Snapshot {
    let mut world = Snapshot::new(PolicyPack::hospital());
    let person = serde_json::json!({ "id": "nurse-x", "name": "X", "roles": ["nurse"] });
    let person: Person = serde_json::from_value(person).expect("a person");
    world.set_person(person);
    world.set_application(
        "fhir".into(),
        ApplicationFacts {
            mode,
            criticality: Criticality::Clinical,
        },
    );
    world
}

fn request(application: &str, patients: &[&str]) -> CanonicalRequest {
    CanonicalRequest {
        subject: Subject {
            person: "nurse-x".into(),
            session: None,
            device: None,
            session_ends: Timestamp::FOREVER,
        },
        targets: patients
            .iter()
            .map(|p| Target {
                action: Action::FhirRead,
                resource: Resource::FhirEndpoint(FhirEndpoint {
                    application: application.into(),
                    resource_type: "Patient".into(),
                    id: Some((*p).into()),
                    patients: vec![PatientId::new(*p)],
                    operation: None,
                    categories: Vec::new(),
                }),
            })
            .collect(),
        context: Context {
            purpose: Purpose::Treat,
            authentication: Authentication {
                level: Aal::Aal1,
                phishing_resistant: false,
                at: NOW,
                last_active: NOW,
            },
            risk: 0,
            grants: Grants::default(),
            scopes: None,
            launch_patient: None,
            ticket: None,
        },
        message: None,
    }
}

#[test]
fn a_panic_inside_a_decision_is_a_denial_with_an_alarm() {
    TRIPPED.set(true);
    let decision = decide(
        &world(EnforcementMode::Enforce),
        request("fhir", &["p"]),
        NOW,
    );
    TRIPPED.set(false);
    assert_eq!(decision.outcome(), Outcome::Deny);
    assert_eq!(decision.ruling().reason().code, "decision-failed");
    assert_eq!(decision.ruling().alarms(), ["decision-panicked"]);
}

#[test]
fn shadow_forwards_only_what_an_application_in_shadow_mode_would_have_refused() {
    let (shadowed, enforced) = (
        world(EnforcementMode::Shadow),
        world(EnforcementMode::Enforce),
    );
    let ask = |world: &Snapshot, application: &str| {
        shadow(world, decide(world, request(application, &["p"]), NOW))
    };
    let permit = ask(&shadowed, "fhir").expect("the application is in shadow mode");
    assert_eq!(permit.ruling().shadowed(), Some(Outcome::BreakGlass));
    assert_eq!(permit.ruling().outcome(), Outcome::Permit);
    assert_eq!(permit.ruling().reason().code, "no-treatment-relation");
    assert_eq!(permit.response(), ResponseCondition::JudgeEach);
    assert!(ask(&enforced, "fhir").is_err());
    // An application that nobody registered is enforced.
    assert!(ask(&shadowed, "other").is_err());
    let mut mixed = request("fhir", &["p"]);
    mixed.targets.extend(request("other", &["p"]).targets);
    assert!(shadow(&shadowed, decide(&shadowed, mixed, NOW)).is_err());
    let nothing = request("fhir", &[]);
    assert!(shadow(&shadowed, decide(&shadowed, nothing, NOW)).is_err());
}

#[test]
fn an_emergency_is_for_one_patient_of_a_batch() {
    let world = world(EnforcementMode::Enforce);
    let outcome = |patients: &[&str]| {
        let decision = decide(&world, request("fhir", patients), NOW);
        (decision.outcome(), decision.ruling().reason().code.clone())
    };
    assert_eq!(outcome(&["a", "a"]).0, Outcome::BreakGlass);
    let (several, code) = outcome(&["a", "b"]);
    assert_eq!(
        (several, code.as_str()),
        (Outcome::Deny, "emergency-covers-one-patient")
    );
}

#[test]
fn the_first_question_about_an_answer_keeps_subject_and_circumstances() {
    let mut world = world(EnforcementMode::Enforce);
    let facts = serde_json::json!({ "care_team": ["nurse-x"] });
    world.set_patient("p".into(), serde_json::from_value(facts).expect("facts"));
    let Decision::Permit(permit) = decide(&world, request("fhir", &["p"]), NOW) else {
        panic!("a nurse of the care team reads")
    };
    let next = permit.about(request("fhir", &["q"]).targets.remove(0));
    assert_eq!(next.subject, permit.request().subject);
    assert_eq!(next.context, permit.request().context);
    assert!(next.message.is_none());
    assert_eq!(decide(&world, next, NOW).outcome(), Outcome::BreakGlass);
}
