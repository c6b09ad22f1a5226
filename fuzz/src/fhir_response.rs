//! The response check: total, what is withheld leaves no trace, and what passed once passes again.
//!
//! The first byte chooses the shape of the answer that is expected, the second which resources may pass.

use clinical::fhir::{ResponseShape, Verdict, judge_response, safe_outcome};
use domain::ApplicationId;

/// A name that the corpus gives to what shall be withheld.
const SECRET: &str = "withheld-";

/// The body of the target.
pub fn run(data: &[u8]) {
    let [shape, mercy, body @ ..] = data else {
        return;
    };
    let single = || ResponseShape::Single {
        resource_type: "Observation".into(),
        id: "o".into(),
    };
    let written = || ResponseShape::Written {
        resource_type: "Observation".into(),
        id: None,
    };
    let shape = match shape % 8 {
        0 => single(),
        1 => ResponseShape::Set,
        2 => written(),
        3 => ResponseShape::Batch(vec![
            single(),
            ResponseShape::Set,
            written(),
            ResponseShape::Outcome,
        ]),
        4 => ResponseShape::Batch(vec![ResponseShape::Opaque]),
        5 => ResponseShape::Capabilities,
        6 => ResponseShape::Outcome,
        _ => ResponseShape::Opaque,
    };
    let application = ApplicationId::new("fhir");
    let judge = |body: &[u8]| {
        judge_response(&application, &shape, body, &mut |resource| {
            let secret = resource
                .id
                .as_deref()
                .is_some_and(|id| id.starts_with(SECRET));
            if secret || mercy % 2 == 1 {
                Verdict::Withhold
            } else {
                Verdict::Release
            }
        })
    };
    let Ok(judged) = judge(body) else { return };
    if mercy % 2 == 1 {
        assert!(judged.released.is_empty());
    }
    if judged.body.is_empty() {
        return;
    }
    serde_json::from_slice::<serde_json::Value>(&judged.body).expect("what passes is JSON");
    let again = judge(&judged.body).expect("what passed can be judged");
    assert_eq!(
        again.released, judged.released,
        "what passed once passes again"
    );
    assert!(again.withheld.is_empty(), "something passed that may not");
    let _ = safe_outcome(body);
}
