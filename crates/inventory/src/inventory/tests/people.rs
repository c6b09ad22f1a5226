//! What people ask and answer, what is told to a store, and what a flood does.

use super::*;

#[test]
fn one_answer_names_all_alike_and_those_that_come_later() {
    let mut bench = Bench::new();
    let pump = |n: i64| format!("00:12:21:00:01:{n:02x}");
    for n in 0..40 {
        bench.says(
            n,
            &pump(n),
            "",
            EvidenceKind::DhcpVendorClass,
            "space-1.2 (x)",
        );
        bench.says(
            n,
            &pump(n),
            "",
            EvidenceKind::DhcpHostname,
            &format!("dev{n:04}"),
        );
    }
    bench.says(50, PC, "", EvidenceKind::DhcpVendorClass, "MSFT 5.0");
    let queue = bench.inventory.queue();
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(queue[0].devices.len(), 40);
    let rule = bench
        .inventory
        .answer(&queue[0].id, "Infusion pump", PersonId::new("s-1"), at(100))
        .expect("taken");
    assert_eq!(rule.kind, "infusion_pump");
    assert_eq!(rule.shared.len(), 1, "the maker alone is no rule");
    let pack = rule.pack.clone().expect("a pack");
    assert!(pack.contains(r#"pattern="^space\-1\.2 \(x\)$""#), "{pack}");
    assert!(!pack.contains("s-1"), "nobody is named");
    assert_eq!(bench.inventory.queue(), []);
    let first = bench.device("mac-001221000100");
    assert_eq!(
        (first.kind.as_deref(), first.contradictory),
        (Some("infusion_pump"), false)
    );
    bench.says(
        200,
        &pump(77),
        "",
        EvidenceKind::DhcpVendorClass,
        "space-1.2 (x)",
    );
    assert_eq!(
        bench.device("mac-00122100014d").kind.as_deref(),
        Some("infusion_pump")
    );
    bench.inventory.undo(&rule.id).expect("undone");
    assert_eq!(bench.device("mac-001221000100").kind, None);
    assert_eq!(bench.inventory.queue()[0].devices.len(), 41);
    let no = bench
        .inventory
        .answer("q-none", "x", PersonId::new("s-1"), at(1));
    assert!(matches!(no, Err(AnswerError::NoQuestion(_))));
}

#[test]
fn a_contradiction_is_asked_about_first() {
    let mut bench = Bench::new();
    bench.says(0, PC, "", EvidenceKind::DhcpVendorClass, "pump-os");
    bench.says(0, PC, "", EvidenceKind::DhcpVendorClass, "MSFT 5.0");
    bench.seen(0, ROUTER, "");
    let queue = bench.inventory.queue();
    assert_eq!(queue.len(), 2);
    assert_eq!(queue[0].devices, [DeviceId::from("mac-001a2b000002")]);
    let kinds: Vec<&str> = queue[0]
        .suggestions
        .iter()
        .map(|s| s.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        ["workstation", "infusion_pump"],
        "the stronger side first"
    );
    assert_eq!(
        bench.device("mac-001a2b000002").criticality,
        Criticality::LifeCritical
    );
}

#[test]
fn the_sensors_cannot_speak_for_people() {
    let mut bench = Bench::new();
    bench.says(0, PC, "", EvidenceKind::Confirmed, "infusion_pump");
    bench.says(0, PC, "", EvidenceKind::MacVendor, "B. Braun");
    assert_eq!(bench.values("mac-001a2b000002"), [""; 0]);
}

#[test]
fn what_changed_is_told_once() {
    let mut bench = Bench::new();
    bench.arp(0, PC, "10.0.0.2");
    bench.arp(0, PUMP, "10.0.0.5");
    bench.says(
        0,
        PUMP,
        "10.0.0.5",
        EvidenceKind::DhcpVendorClass,
        "pump-os",
    );
    bench.flow(1, party(PC, "10.0.0.2"), party(PUMP, "10.0.0.5"), 443);
    let first = bench.inventory.changed_since(0);
    assert_eq!((first.devices.len(), first.conversations.len()), (2, 1));
    let none = bench.inventory.changed_since(first.generation);
    assert_eq!((none.devices.len(), none.conversations.len()), (0, 0));
    bench.says(3, PC, "10.0.0.2", EvidenceKind::DhcpVendorClass, "MSFT 5.0");
    let second = bench.inventory.changed_since(none.generation);
    assert_eq!(second.devices.len(), 1, "{:?}", second.devices);
    assert_eq!(second.devices[0].profile.id.as_str(), "mac-001a2b000002");
    // What turns out to be somebody else's is gone.
    bench.says(4, "", "10.4.0.9", EvidenceKind::SshServer, "x");
    let third = bench.inventory.changed_since(second.generation);
    assert_eq!(third.devices.len(), 1);
    bench.arp(5, PUMP, "10.4.0.9");
    let fourth = bench.inventory.changed_since(third.generation);
    assert_eq!(fourth.gone, [DeviceId::from("ip-10.4.0.9")]);
    assert_eq!(fourth.devices.len(), 1);
}

#[test]
fn a_flood_of_spoofed_addresses_neither_grows_nor_crowds_out() {
    let mut bench = Bench::with(Options {
        nodes_max: 2_000,
        ..Options::default()
    });
    for n in 0..50_u8 {
        let m = format!("00:12:21:00:02:{n:02x}");
        bench.lease(0, &m, &format!("10.0.0.{}", n + 1), 90_000);
        bench.says(0, &m, "", EvidenceKind::DhcpVendorClass, "pump-os");
        bench.seen(7200, &m, "");
    }
    for n in 0..20_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        let m = Mac([2, 0x99, 7, b, c, d]).to_string();
        bench.seen(7300, &m, "");
        bench.says(
            7300,
            &m,
            "",
            EvidenceKind::DhcpHostname,
            &format!("host-{n:08}"),
        );
    }
    let counters = bench.inventory.counters();
    assert!(counters.nodes <= 2_000);
    assert!(counters.nodes_evicted >= 18_000);
    let pumps = bench
        .inventory
        .devices()
        .filter(|d| d.kind.as_deref() == Some("infusion_pump"));
    assert_eq!(pumps.count(), 50);
    assert!(counters.texts <= 2_100, "{counters:?}");
}

#[test]
fn what_is_found_is_what_was_meant() {
    let mut bench = Bench::new();
    bench.arp(0, PC, "10.0.0.2");
    bench.says(0, PC, "", EvidenceKind::NbnsName, "WS-ICU-07<20>");
    bench.says(0, PC, "", EvidenceKind::LldpInventory, "serial=FCW-2145");
    for text in [
        "10.0.0.2",
        "ws-icu-07",
        "fcw2145",
        "001A.2B00.0002",
        "mac-001a2b000002",
    ] {
        assert_eq!(
            bench.inventory.find(text),
            [DeviceId::from("mac-001a2b000002")],
            "{text}"
        );
    }
    assert_eq!(bench.inventory.find("nobody"), []);
    assert_eq!(bench.inventory.find(""), []);
}
