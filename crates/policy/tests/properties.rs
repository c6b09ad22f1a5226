//! What must hold for every request in every hospital.

mod common;

use std::time::Duration;

use common::{Dice, NOW, hospital, request};
use domain::{
    CanonicalRequest, Confidentiality, GrantId, Grants, Outcome, PatientId, Resource,
    SensitivitySet, Target, Timestamp,
};
use policy::{
    Concealed, Decision, DecisionRecord, PolicyPack, UNKNOWN_PATIENT, conceal, decide, explain,
    fulfil, grant, replay, shadow,
};
use proptest::prelude::*;

fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        cases: n,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Requests tried for each hospital.
const REQUESTS: usize = 40;

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn every_offer_once_fulfilled_permits(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let asked = request(&mut dice);
            let mut fulfilled = asked.clone();
            match decide(&world, asked, NOW) {
                Decision::Permit(_) | Decision::Deny(_) => continue,
                Decision::StepUp(offer) => {
                    let held = &fulfilled.context.authentication;
                    let met = held.level >= offer.requirement.level
                        && (held.phishing_resistant || !offer.requirement.phishing_resistant)
                        && NOW.since(held.at).as_secs() <= offer.requirement.max_age_secs
                        && held.at <= NOW
                        && held.last_active == held.at;
                    prop_assert!(!met, "a step-up asks for what is already there");
                    fulfilled.context.authentication = fulfil(&offer.requirement, held, NOW);
                }
                Decision::BreakGlass(offer) => {
                    if let Some(requirement) = &offer.eligibility.step_up {
                        fulfilled.context.authentication =
                            fulfil(requirement, &fulfilled.context.authentication, NOW);
                    }
                    let given = grant(
                        &offer.eligibility,
                        &fulfilled.subject,
                        "somebody collapsed",
                        GrantId::new("g-1"),
                        NOW,
                    );
                    let mut held = fulfilled.context.grants.as_slice().to_vec();
                    held.push(given);
                    fulfilled.context.grants = Grants::Held(held);
                }
            }
            let after = decide(&world, fulfilled, NOW);
            prop_assert_eq!(after.outcome(), Outcome::Permit, "{:?}", after.ruling().reason());
        }
    }

    #[test]
    fn more_risk_never_permits_more(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let mut asked = request(&mut dice);
            let mut least = Outcome::Permit;
            for risk in [0, 20, 50, 69, 70, 71, 90, 100] {
                asked.context.risk = risk;
                let outcome = decide(&world, asked.clone(), NOW).outcome();
                prop_assert!(outcome >= least, "risk {risk} turned {least} into {outcome}");
                least = outcome;
            }
        }
    }

    #[test]
    fn an_unknown_resource_answers_exactly_as_a_strangers_ordinary_one(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut world = hospital(&mut dice);
        world.set_patient(PatientId::new("stranger"), domain::relation::PatientFacts {
            unit: Some("ward-far-away".into()),
            care_team: vec!["somebody-else".into()],
            ..Default::default()
        });
        for _ in 0..REQUESTS {
            let mut asked = request(&mut dice);
            asked.context.grants = Grants::default();
            let of = |patient: &str| {
                let mut asked = asked.clone();
                for target in &mut asked.targets {
                    rename(target, &PatientId::new(patient));
                }
                decide(&world, asked, NOW)
            };
            let (stranger, absent, nowhere) = (of("stranger"), of(UNKNOWN_PATIENT), of("no-such-id"));
            for other in [&absent, &nowhere] {
                prop_assert_eq!(stranger.outcome(), other.outcome());
                prop_assert_eq!(stranger.ruling().reason(), other.ruling().reason());
                prop_assert_eq!(stranger.ruling().obligations(), other.ruling().obligations());
                prop_assert_eq!(stranger.requirement(), other.requirement());
                let terms = |d: &Decision| d.eligibility().map(|e| (e.duration_secs, e.step_up.clone()));
                prop_assert_eq!(terms(&stranger), terms(other));
            }
        }
    }

    #[test]
    fn what_is_concealed_is_answered_like_what_does_not_exist(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let asked = request(&mut dice);
            let decision = decide(&world, asked.clone(), NOW);
            match conceal(&world, &decision) {
                None => {}
                Some(Concealed::Answer(answer)) => {
                    prop_assert_ne!(answer.outcome(), Outcome::Permit);
                    prop_assert_eq!(decision.outcome(), Outcome::Deny);
                }
                Some(Concealed::NotFound) => prop_assert_eq!(decision.outcome(), Outcome::Deny),
            }
        }
    }

    #[test]
    fn what_nobody_classified_is_never_permitted(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let mut asked = request(&mut dice);
            match &mut asked.targets[0].resource {
                Resource::FhirEndpoint(r) => r.resource_type = "Observatoin".into(),
                Resource::FhirResource(r) => r.resource_type = "Observatoin".into(),
                _ => asked.targets[0].action = domain::Action::Unclassified,
            }
            if asked.targets[0].action == domain::Action::FhirCapabilities {
                continue;
            }
            // A compartment search over all types is the one that names no type.
            let outcome = decide(&world, asked.clone(), NOW).outcome();
            prop_assert_eq!(outcome, Outcome::Deny, "{:?}", asked.targets);
        }
    }

    #[test]
    fn a_permit_holds_until_the_instant_it_says(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let asked = request(&mut dice);
            let Decision::Permit(permit) = decide(&world, asked.clone(), NOW) else { continue };
            let until = permit.valid_until();
            prop_assert!(until >= NOW);
            let span = until.as_millis() - NOW.as_millis();
            for part in [span, span / 2, span / 3, 1.min(span), (span - 1).max(0)] {
                let then = Timestamp::from_millis(NOW.as_millis() + part);
                let again = decide(&world, asked.clone(), then);
                prop_assert_eq!(again.outcome(), Outcome::Permit, "{} ms of {} ms", part, span);
                prop_assert_eq!(again.ruling().obligations(), permit.ruling().obligations());
            }
            if until < asked.subject.session_ends {
                let after = decide(&world, asked, until.plus(Duration::from_millis(1)));
                prop_assert!(
                    after.outcome() != Outcome::Permit
                        || after.ruling().obligations() != permit.ruling().obligations(),
                    "ended for nothing: {:?} {:?} {:?}", after.ruling().record(), until, permit.ruling().policies()
                );
            }
        }
    }

    #[test]
    fn a_record_replays_bit_for_bit(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        let pack = PolicyPack::hospital();
        for _ in 0..REQUESTS {
            let decision = decide(&world, request(&mut dice), NOW);
            let decision = match shadow(&world, decision) {
                Ok(permit) => Decision::Permit(permit),
                Err(decision) => decision,
            };
            let record = decision.ruling().record();
            let text = serde_json::to_string(&record).expect("a record is JSON");
            let read: DecisionRecord = serde_json::from_str(&text).expect("what was written");
            let again = replay(&read, &pack).ruling().record();
            prop_assert_eq!(&text, &serde_json::to_string(&again).expect("a record is JSON"));
            let explanation = explain(&record, &pack);
            prop_assert!(!explanation.text.is_empty());
            for target in &record.targets {
                for patient in target.resource.patients() {
                    let told = serde_json::to_string(&explanation).expect("JSON");
                    prop_assert!(!told.contains(patient.as_str()), "{told}");
                }
            }
        }
    }

    #[test]
    fn several_targets_are_permitted_only_if_each_is(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..REQUESTS {
            let asked = request(&mut dice);
            let whole = decide(&world, asked.clone(), NOW).outcome();
            // A presented grant is checked against the whole request.
            if matches!(asked.context.grants, Grants::Presented(_)) {
                continue;
            }
            let each: Vec<Outcome> = asked
                .targets
                .iter()
                .map(|t| {
                    let one = CanonicalRequest { targets: vec![t.clone()], ..asked.clone() };
                    decide(&world, one, NOW).outcome()
                })
                .collect();
            let weakest = each.iter().copied().max().expect("a request has a target");
            prop_assert!(whole >= weakest, "{whole} of {each:?}");
            prop_assert_eq!(whole == Outcome::Permit, weakest == Outcome::Permit);
        }
    }

    #[test]
    fn our_evaluator_and_cedar_agree_on_the_hospital(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = hospital(&mut dice);
        for _ in 0..4 {
            let asked = request(&mut dice);
            for (query, ours) in policy::engine_questions(&world, &asked, NOW) {
                prop_assert_eq!(ours, world.pack().engine().reference(&query));
            }
        }
    }
}

/// The same target about another patient, with nothing special about it.
fn rename(target: &mut Target, patient: &PatientId) {
    match &mut target.resource {
        Resource::FhirResource(r) => {
            r.patients = vec![patient.clone()];
            r.labels = SensitivitySet::EMPTY;
            r.confidentiality = Confidentiality::N;
            r.authors.clear();
            r.unit = None;
            r.change = None;
        }
        Resource::FhirEndpoint(r) if !r.patients.is_empty() => r.patients = vec![patient.clone()],
        Resource::DicomNode(r) if r.patient.is_some() => r.patient = Some(patient.clone()),
        Resource::FhirEndpoint(_)
        | Resource::WebPage(_)
        | Resource::DicomNode(_)
        | Resource::Hl7Interface(_)
        | Resource::NetworkService(_)
        | Resource::Console(_) => {}
    }
}
