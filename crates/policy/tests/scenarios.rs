//! The hospital pack's own table: every row holds, is the golden file's, and replays bit for bit.

use std::fmt::Write;
use std::path::Path;

use policy::{DecisionRecord, PolicyPack, explain, replay, scenario};

const TABLE: &str = include_str!("../../../packs/hospital/scenarios.toml");
const GOLDEN: &str = "tests/golden/hospital.txt";

fn table() -> scenario::Table {
    scenario::parse(TABLE).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_row_of_the_hospital_table_holds() {
    let rows = scenario::run(&PolicyPack::hospital(), &table());
    let failed: Vec<String> = rows
        .iter()
        .filter(|r| !r.passed)
        .map(|r| {
            format!(
                "{}\n    expected {}\n    got      {}",
                r.scenario, r.expected, r.actual
            )
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} rows fail:\n{}",
        failed.len(),
        rows.len(),
        failed.join("\n")
    );
    for number in 1..=34 {
        let prefix = format!("{number:02} ");
        assert!(
            rows.iter().any(|r| r.scenario.starts_with(&prefix)),
            "no row for scenario {number}"
        );
    }
}

#[test]
fn what_is_told_for_each_row_is_what_was_reviewed() {
    let mut told = String::new();
    let mut last = String::new();
    for row in scenario::run(&PolicyPack::hospital(), &table()) {
        let (scenario, situation) = row.scenario.split_once(": ").unwrap_or((&row.scenario, ""));
        if scenario != last {
            last = scenario.to_owned();
            let _ = writeln!(told, "\n{scenario}");
        }
        let _ = writeln!(
            told,
            "  {situation}\n    {}\n    {}",
            row.actual, row.reason
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).expect("the golden file can be written");
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        reviewed == told,
        "what the table\'s rows are told has changed; look at the difference after running this test with \
         UPDATE_GOLDEN=1: {}",
        path.display()
    );
}

#[test]
fn every_row_replays_bit_for_bit_and_can_be_explained() {
    let pack = PolicyPack::hospital();
    for (name, decision) in scenario::judge(&pack, &table()) {
        let decision = decision.unwrap_or_else(|e| panic!("{e}"));
        let record = decision.ruling().record();
        if record.policy_hash != pack.hash() {
            // A row with a policy of its own is replayed under that.
            continue;
        }
        let bytes = serde_json::to_vec(&record).expect("a record is JSON");
        let mut written = Vec::new();
        decision.ruling().write_record(&mut written);
        assert_eq!(
            String::from_utf8(written),
            String::from_utf8(bytes.clone()),
            "{name}"
        );
        let read: DecisionRecord = serde_json::from_slice(&bytes).expect("what was written");
        assert_eq!(read, record, "{name}");
        let again = replay(&read, &pack);
        assert_eq!(again.outcome(), decision.outcome(), "{name}");
        let again = serde_json::to_vec(&again.ruling().record()).expect("a record is JSON");
        assert_eq!(again, bytes, "{name}");
        let explanation = explain(&record, &pack);
        assert_eq!(explanation.outcome, decision.outcome());
        assert!(!explanation.text.is_empty());
    }
}

#[test]
fn a_record_tells_what_would_change_under_other_policies() {
    let pack = PolicyPack::hospital();
    let mut source = pack.source().clone();
    source.policies.push((
        "lockdown.cedar".to_owned(),
        "@id(\"lockdown\") forbid (principal, action, resource);".to_owned(),
    ));
    let lockdown = std::sync::Arc::new(PolicyPack::compile(source).expect("valid"));
    for (name, decision) in scenario::judge(&pack, &table()) {
        let record = decision.unwrap_or_else(|e| panic!("{e}")).ruling().record();
        assert_eq!(
            replay(&record, &lockdown).outcome(),
            domain::Outcome::Deny,
            "{name}"
        );
    }
}
