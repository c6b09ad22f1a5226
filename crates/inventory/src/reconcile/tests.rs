use super::*;
use domain::{Criticality, EvidenceRow, Timestamp, UnitId};

fn device(id: &str) -> DeviceProfile {
    DeviceProfile {
        id: DeviceId::from(id),
        macs: Vec::new(),
        addresses: Vec::new(),
        names: Vec::new(),
        category: None,
        kind: None,
        vendor: None,
        model: None,
        os: None,
        confidence: 0.9,
        abstained: false,
        contradictory: false,
        criticality: Criticality::LifeCritical,
        evidence: Vec::new(),
        first_seen: Timestamp::from_millis(0),
        last_seen: Timestamp::from_millis(1_000),
        unit: None,
        segment: None,
        behind: None,
        assets: Vec::new(),
        risks: Vec::new(),
    }
}

fn row(id: &str) -> RegisterRow {
    RegisterRow {
        id: id.into(),
        ..RegisterRow::default()
    }
}

fn mac(last: u8) -> Mac {
    Mac([0, 0x1a, 0x2b, 0, 0, last])
}

fn evidence(kind: EvidenceKind, value: &str) -> EvidenceRow {
    EvidenceRow {
        source: "sensor".into(),
        kind,
        value: value.into(),
        says: SmolStr::default(),
        weight: 0.0,
        at: Timestamp::from_millis(0),
    }
}

#[test]
fn each_figure_has_its_denominator() {
    let mut pump = device("pump");
    pump.macs = vec![mac(1)];
    pump.kind = Some("infusion_pump".into());
    pump.unit = Some(UnitId::from("ICU 2"));
    let mut monitor = device("monitor");
    monitor.evidence = vec![evidence(
        EvidenceKind::DicomDevice,
        "DeviceSerialNumber=DE-4711-A",
    )];
    monitor.unit = Some(UnitId::from("Ward 3"));
    let mut stranger = device("stranger");
    stranger.macs = vec![mac(9)];
    let devices = [pump, monitor, stranger];

    let register = [
        RegisterRow {
            macs: vec![mac(1)],
            kind: Some("workstation".into()),
            place: Some("icu-2 / bed 4".into()),
            ..row("a-1")
        },
        RegisterRow {
            serial: Some("DE4711A".into()),
            place: Some("ICU 2".into()),
            ..row("a-2")
        },
        RegisterRow {
            macs: vec![mac(77)],
            ..row("a-3")
        },
        RegisterRow {
            macs: vec![mac(78)],
            state: Some("Retired 2024".into()),
            ..row("a-4")
        },
    ];
    let out = reconcile(&devices, &register);
    assert_eq!(out.matched, Share { count: 2, of: 4 });
    assert_eq!(
        out.missing,
        Share { count: 1, of: 3 },
        "what is retired cannot be missing"
    );
    assert_eq!(out.missing_rows[0].row, "a-3");
    assert_eq!(out.missing_rows[0].looked_for, [By::Mac]);
    assert_eq!(out.ghost, Share { count: 1, of: 3 });
    assert_eq!(out.ghost_devices, [DeviceId::from("stranger")]);
    assert_eq!(out.misplaced, Share { count: 1, of: 2 });
    assert_eq!(out.misplaced_rows[0].found.row, "a-2");
    assert_eq!(out.misplaced_rows[0].found.by, By::Serial);
    assert_eq!(out.mislabelled, Share { count: 1, of: 1 });
    assert_eq!(out.mislabelled_rows[0].what, "type");
    assert_eq!(out.duplicate, Share { count: 0, of: 4 });
    let mut shuffled = register.to_vec();
    shuffled.reverse();
    assert_eq!(
        reconcile(devices.iter().rev(), &shuffled),
        out,
        "in any order"
    );
}

#[test]
fn two_rows_of_one_device_are_duplicates_and_so_are_two_devices_of_one_row() {
    let mut one = device("one");
    one.macs = vec![mac(1)];
    let mut two = device("two");
    two.macs = vec![mac(2)];
    let both = [
        RegisterRow {
            macs: vec![mac(1)],
            ..row("r-1")
        },
        RegisterRow {
            macs: vec![mac(1)],
            serial: Some("X-12345".into()),
            ..row("r-2")
        },
    ];
    let out = reconcile([&one, &two], &both);
    assert_eq!(out.duplicate, Share { count: 2, of: 2 });
    assert_eq!(out.duplicates[0].devices, [DeviceId::from("one")]);
    for device in [&mut one, &mut two] {
        device.evidence = vec![evidence(EvidenceKind::LldpInventory, "serial=X-12345")];
    }
    let out = reconcile(
        [&one, &two],
        &[RegisterRow {
            serial: Some("X12345".into()),
            ..row("r")
        }],
    );
    assert_eq!(out.duplicates[0].devices.len(), 2);
    assert_eq!(out.matches[0].strength, Strength::Fair);
}

use crate::identity::marks::Strength;

#[test]
fn an_address_alone_matches_weakly_and_never_twice() {
    let mut one = device("one");
    one.addresses = vec!["10.0.0.5".parse().expect("an address")];
    let rows: Vec<RegisterRow> = ["r-1", "r-2"]
        .iter()
        .map(|id| RegisterRow {
            addresses: one.addresses.clone(),
            ..row(id)
        })
        .collect();
    let out = reconcile([&one], &rows[..1]);
    assert_eq!(
        (out.matches[0].by, out.matches[0].strength),
        (By::Address, Strength::Fair)
    );
    assert_eq!(reconcile([&one], &rows).matched.count, 0);
}

#[test]
fn what_only_the_register_says_is_not_seen() {
    let mut only = device("register-1");
    only.last_seen = only.first_seen;
    only.evidence = vec![evidence(EvidenceKind::RegisterName, "PUMP-17")];
    let out = reconcile(
        [&only],
        &[RegisterRow {
            name: Some("PUMP-17".into()),
            ..row("1")
        }],
    );
    assert_eq!(
        (out.matched.count, out.missing.count, out.ghost.of),
        (0, 1, 0)
    );
}

#[test]
fn makers_are_compared_by_what_people_call_them() {
    assert!(
        shares_word("Dräger Medical", "Drägerwerk AG")
            || plain(&maker("Drägerwerk AG")) == plain(&maker("Dräger"))
    );
    assert!(!shares_word(
        "GE Medical Systems",
        "Philips Medical Systems"
    ));
    assert!(contains_word("icu 2 bed 4", "icu 2"));
    assert!(!contains_word("icu 23", "icu 2"));
}
