//! Whatever is sent, the server answers and goes on.

mod common;

use common::{World, ids};
use http::Method;
use serde_json::{Value, json};

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.roll(items.len())]
    }
}

const PARTS: &[&str] = &[
    "Patient",
    "Observation",
    "Bundle",
    "_search",
    "_history",
    "*",
    "$everything",
    "metadata",
    "",
    ".",
    "..",
    "1",
    "%00",
    "%2F",
    "a%20b",
    "\u{7f}",
    "+",
    "-",
    "_page=x",
    "Patient:x",
    "~unknown",
];
const PARAMETERS: &[&str] = &[
    "_id",
    "date",
    "code",
    "patient",
    "subject:Patient",
    "_count",
    "_sort",
    "_include",
    "_revinclude:iterate",
    "_elements",
    "_lastUpdated",
    "_type",
    "_total",
    "_page",
    "name:contains",
    "birthdate",
    "_summary",
    "_format",
];
const VALUES: &[&str] = &[
    "",
    ",",
    "\\",
    "|",
    "\\|",
    "ge",
    "ge2026-02-30",
    "-1",
    "99999999999999999999",
    "9999",
    "9999-12-31",
    "0000",
    "-date",
    "Patient:*",
    "Observation:subject:Patient",
    "a,b,,c\\,d",
    "%C3%28",
    "\u{1F600}",
    "Patient/",
    "/",
    "true",
    "2026-11-22T10:00:00.123456789+14:00",
    "ap2026",
    "sa0001-01-01",
];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => json!(dice.roll(9)),
        2 => json!(true),
        3 => json!(dice.pick(VALUES)),
        4 => json!(format!("Patient/{}", dice.pick(VALUES))),
        5 => (0..dice.roll(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => {
            let names = [
                "resourceType",
                "id",
                "meta",
                "security",
                "subject",
                "reference",
                "code",
                "coding",
                "name",
                "period",
                "start",
                "entry",
                "request",
                "url",
                "method",
                "resource",
                "fullUrl",
                "op",
                "path",
                "value",
            ];
            let members = 1 + dice.roll(5);
            Value::Object(
                (0..members)
                    .map(|_| (dice.pick(&names).to_owned(), value(dice, depth - 1)))
                    .collect(),
            )
        }
    }
}

#[test]
fn random_requests_are_answered_and_change_nothing_that_was_not_theirs() {
    let world = World::new();
    let mut dice = Dice(1);
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::TRACE,
    ];
    let mut answered = 0;
    for _ in 0..6_000 {
        let path: Vec<&str> = (0..dice.roll(5)).map(|_| dice.pick(PARTS)).collect();
        let query: Vec<String> = (0..dice.roll(4))
            .map(|_| format!("{}={}", dice.pick(PARAMETERS), dice.pick(VALUES)))
            .collect();
        let uri = format!("/fhir/{}?{}", path.join("/"), query.join("&"));
        // Not everything of this is an address at all.
        if uri.parse::<http::Uri>().is_err() {
            continue;
        }
        let method = methods[dice.roll(methods.len())].clone();
        let body = value(&mut dice, 4).to_string();
        let answer = world.write(
            method,
            &uri,
            &[("if-match", dice.pick(VALUES).trim_matches('\u{1F600}'))],
            &body,
        );
        assert!(answer.status.as_u16() < 500, "{uri}: {}", answer.body);
        answered += 1;
    }
    assert!(answered > 2_000, "{answered}");
    let patient = world.hospital.patients()[0].id.as_str();
    assert_eq!(
        ids(&world.search(&format!("/fhir/Patient?_id={patient}"))),
        [patient]
    );
}

#[test]
fn random_resources_and_bundles_are_taken_or_refused() {
    let world = World::new();
    let mut dice = Dice(7);
    for _ in 0..1_500 {
        let mut resource = value(&mut dice, 5);
        if let Some(object) = resource.as_object_mut() {
            let kind = dice.pick(&["Patient", "Observation", "Encounter", "Bundle"]);
            object.insert("resourceType".into(), kind.into());
            object.insert("status".into(), "final".into());
            object.insert("code".into(), value(&mut dice, 2));
            object.insert("class".into(), value(&mut dice, 2));
            if kind == "Bundle" {
                object.insert("type".into(), dice.pick(&["batch", "transaction"]).into());
                object.insert("entry".into(), (0..3).map(|_| json!({
                    "fullUrl": dice.pick(VALUES),
                    "request": {"method": dice.pick(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
                        "url": format!("{}/{}", dice.pick(PARTS), dice.pick(VALUES))},
                    "resource": value(&mut dice, 3),
                })).collect());
            }
            let path = if kind == "Bundle" {
                "/fhir".to_owned()
            } else {
                format!("/fhir/{kind}")
            };
            let answer = world.write(Method::POST, &path, &[], &resource.to_string());
            assert!(answer.status.as_u16() < 500, "{resource}: {}", answer.body);
        }
    }
    world.search("/fhir?_count=500");
    world.search("/fhir/Patient?_sort=name,-birthdate&_revinclude=Observation:*");
}
