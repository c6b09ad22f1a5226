//! A person's answer with the knowledge that ships: it becomes a fingerprint that reads, is tested, names others and is undone.

mod support;

use domain::{DeviceId, EvidenceKind, PersonId};
use inventory::{Inventory, Options, Pack};
use support::{at, mac, party, says, take, taken};

const CLASS: &str = "ACME-BEDSIDE 2.1 (x+y) <\"&'é>";

fn name_of(inventory: &Inventory, n: u32) -> Option<String> {
    let id = DeviceId::from(format!("mac-{:012x}", mac([0x02, 0x77, 0x77], n).bits()));
    Some(inventory.device(&id)?.kind?.to_string())
}

fn devices(from: u32, to: u32) -> Vec<support::Said> {
    (from..to)
        .flat_map(|n| {
            let party = party(Some(mac([0x02, 0x77, 0x77], n)), None);
            [
                says(i64::from(n), 0, party, EvidenceKind::DhcpVendorClass, CLASS),
                says(
                    i64::from(n),
                    0,
                    party,
                    EvidenceKind::DhcpHostname,
                    &format!("bed-{n:04}"),
                ),
            ]
        })
        .collect()
}

#[test]
fn a_preview_tells_what_the_answer_then_does_and_changes_nothing() {
    let mut inventory = taken(Options::default(), &devices(0, 40));
    let queue = inventory.queue();
    let preview = inventory
        .preview(&queue[0].id, "Infusion pump")
        .expect("an open question");
    assert_eq!(inventory.queue(), queue, "nothing is changed");
    assert!(inventory.rules().is_empty());
    assert!(preview.also.is_empty(), "everybody is asked about");
    let rule = inventory
        .answer(&queue[0].id, "Infusion pump", PersonId::new("s-1"), at(100))
        .expect("taken");
    assert_eq!(
        (&preview.kind, &preview.devices),
        (&rule.kind, &rule.devices)
    );
    assert_eq!(preview.shared, rule.shared);
    assert!(!rule.shared.is_empty());
    assert!(inventory.preview(&queue[0].id, "x").is_err(), "answered");
}

#[test]
fn a_preview_names_the_unknown_devices_that_share_what_is_asked_about() {
    // The others differ in the maker's block, which puts them into a question of their own.
    let mut said = devices(0, 3);
    let other = party(Some(mac([0x00, 0x0a, 0x95], 9)), None);
    said.push(says(9, 0, other, EvidenceKind::DhcpVendorClass, CLASS));
    let inventory = taken(Options::default(), &said);
    let queue = inventory.queue();
    let ours = queue
        .iter()
        .find(|q| q.devices.len() == 3)
        .expect("a question about three");
    let preview = inventory
        .preview(&ours.id, "infusion_pump")
        .expect("an open question");
    let id = DeviceId::from(format!("mac-{:012x}", mac([0x00, 0x0a, 0x95], 9).bits()));
    assert_eq!(preview.also, [id]);
}

#[test]
fn an_answer_becomes_a_fingerprint_of_the_pack_format() {
    let mut inventory = taken(Options::default(), &devices(0, 40));
    let queue = inventory.queue();
    assert_eq!(queue.len(), 1, "{queue:#?}");
    assert_eq!(queue[0].devices.len(), 40);
    let rule = inventory
        .answer(
            &queue[0].id,
            "infusion pump",
            PersonId::new("s-17"),
            at(100),
        )
        .expect("the knowledge takes the rule");
    let text = rule
        .pack
        .clone()
        .expect("the vendor class is shared and telling");
    let pack = Pack::parse(&rule.id, text.as_bytes()).expect("reads");
    let results = pack.test();
    assert_eq!(results.len(), 1);
    assert!(
        results.iter().all(|one| one.failure.is_none()),
        "{results:?}"
    );
    assert_eq!(name_of(&inventory, 3).as_deref(), Some("infusion_pump"));
    assert!(inventory.queue().is_empty());

    // One that comes later is known by the rule alone.
    take(&mut inventory, &devices(40, 41));
    assert_eq!(
        name_of(&inventory, 40).as_deref(),
        Some("infusion_pump"),
        "{text}"
    );

    // The rule and the answers survive a restart.
    let all = inventory.everything();
    let mut again = Inventory::new(inventory::Knowledge::hospital(), Options::default());
    support::sources(&mut again);
    again
        .restore(
            all.rules.expect("told"),
            all.devices.into_iter().map(|row| row.ledger),
            all.conversations.into_iter().map(|row| row.ledger),
        )
        .expect("restores");
    assert_eq!(
        again.devices().collect::<Vec<_>>(),
        inventory.devices().collect::<Vec<_>>()
    );

    // Undone: everything is as it was, and is asked about again.
    again.undo(&rule.id).expect("there");
    assert_eq!(name_of(&again, 3), None);
    assert_eq!(name_of(&again, 40), None);
    assert_eq!(again.queue()[0].devices.len(), 41);
    assert!(again.rules().is_empty());
}

#[test]
fn the_same_inventory_and_answer_give_the_same_rule() {
    let answered = || {
        let mut inventory = taken(Options::default(), &devices(0, 7));
        let question = inventory.queue().remove(0);
        inventory
            .answer(&question.id, "ventilator", PersonId::new("s-17"), at(100))
            .expect("taken")
    };
    assert_eq!(answered(), answered());
}

#[test]
fn an_answer_about_one_device_names_no_other() {
    let mut inventory = taken(Options::default(), &devices(0, 3));
    let one = DeviceId::from(format!("mac-{:012x}", mac([0x02, 0x77, 0x77], 1).bits()));
    let rule = inventory
        .confirm(
            std::slice::from_ref(&one),
            "Bed scale",
            PersonId::new("s-17"),
            at(9),
        )
        .expect("taken");
    assert_eq!((rule.kind.as_str(), rule.pack), ("bed_scale", None));
    assert_eq!(name_of(&inventory, 1).as_deref(), Some("bed_scale"));
    assert_eq!(name_of(&inventory, 2), None);
    let why = inventory.detail(&one).expect("a device").why();
    assert!(
        why.sentence.contains("a person said so"),
        "{}",
        why.sentence
    );
}
