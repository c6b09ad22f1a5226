//! `docs/decisions.md` says what is so: its examples are judged, its names are the program's.

use std::path::Path;

use domain::Timestamp;
use policy::{PolicyPack, Snapshot, authzen};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/decisions.md");
    std::fs::read_to_string(path).expect("the page is there")
}

#[test]
fn every_example_is_answered_as_the_page_says() {
    let page = page();
    let world = Snapshot::new(PolicyPack::hospital());
    let now = Timestamp::parse("2026-11-22T12:00:00Z").expect("an instant");
    let mut judged = 0;
    for block in page.split("```json\n").skip(1) {
        let (request, rest) = block.split_once("```").expect("a closed block");
        let expected = rest.lines().nth(1).and_then(|l| l.strip_prefix("Answer: "));
        let expected: Vec<&str> = expected
            .unwrap_or_else(|| panic!("no answer after\n{request}"))
            .split(' ')
            .map(|w| w.trim_matches('`'))
            .collect();
        let request = serde_json::from_str(request).unwrap_or_else(|e| panic!("{e}\n{request}"));
        let answer =
            authzen::evaluate(&world, &request, now).unwrap_or_else(|e| panic!("{e}\n{request}"));
        let all = match answer.get("evaluations").and_then(|e| e.as_array()) {
            Some(all) => all.clone(),
            None => vec![answer],
        };
        let outcomes: Vec<&str> = all
            .iter()
            .filter_map(|a| a["context"]["outcome"].as_str())
            .collect();
        assert_eq!(outcomes, expected, "{request}");
        judged += 1;
    }
    assert!(judged >= 6);
}

#[test]
fn every_obligation_and_every_action_is_on_the_page() {
    let page = page();
    let pack = PolicyPack::hospital();
    for (file, text) in &pack.source().policies {
        for line in text.lines().filter(|l| l.contains("@obligation(")) {
            let names = line
                .split('"')
                .nth(1)
                .unwrap_or_else(|| panic!("{file}: {line}"));
            for name in names.split(',') {
                assert!(
                    page.contains(&format!("`{name}`")),
                    "`{name}` is not documented"
                );
            }
        }
    }
    for action in domain::Action::ALL {
        assert!(
            page.contains(&format!("`{action}`")),
            "`{action}` is not documented"
        );
    }
    for sensitivity in domain::Sensitivity::ALL {
        assert!(
            page.contains(&format!("`{sensitivity}`")),
            "`{sensitivity}` is not documented"
        );
    }
}
