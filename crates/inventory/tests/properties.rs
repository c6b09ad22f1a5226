//! What must hold whatever is observed: order between sources does not matter, restoring equals going on, nothing said of one
//! device is said of another.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use domain::net::Mac;
use domain::observation::{AddressSource, Asset, Fact};
use domain::{DeviceProfile, EvidenceKind, Observation};
use inventory::inventory::{SavedConversation, SavedDevice};
use inventory::{Inventory, Knowledge, Options};
use proptest::prelude::*;
use support::{Said, about, flow, holds, says, sources, take, taken, ten};

/// A MAC address among few: two routers, some universal, some local.
fn any_mac() -> impl Strategy<Value = Option<Mac>> {
    prop_oneof![
        1 => Just(None),
        6 => (0_u8..6).prop_map(|n| Some(Mac([0x00, 0x1a, 0x2b, 0, 0, n]))),
        2 => (0_u8..3).prop_map(|n| Some(Mac([0xda, 0, 0, 0, 0, n]))),
    ]
}

fn any_party() -> impl Strategy<Value = domain::Party> {
    let addr = prop_oneof![
        2 => Just(None),
        8 => (0_u8..2, 1_u8..6).prop_map(|(net, host)| Some(ten(net, 0, host))),
        1 => (6_u8..8).prop_map(|n| Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, n)))),
        1 => (1_u16..4).prop_map(|n| Some(std::net::IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, n)))),
    ];
    (any_mac(), addr).prop_map(|(mac, addr)| support::party(mac, addr))
}

/// A party that can claim its address. Whether an outside address is one of ours is said in options: that a claim makes it
/// one from then on is the exception to the rule that order does not matter.
fn any_holder() -> impl Strategy<Value = domain::Party> {
    any_party().prop_filter("outside", |p| {
        !p.addr.is_some_and(|a| a.to_string().starts_with("203."))
    })
}

fn any_said() -> impl Strategy<Value = Said> {
    let kinds = prop_oneof![
        Just((EvidenceKind::DhcpHostname, "ws-icu-0815")),
        Just((EvidenceKind::DhcpHostname, "annes-tablet-17")),
        Just((EvidenceKind::DhcpVendorClass, "MSFT 5.0")),
        Just((EvidenceKind::DhcpClientId, "ff0011223344550001")),
        Just((EvidenceKind::LldpInventory, "serial=FCW2145L0AB")),
        Just((
            EvidenceKind::WsdEndpoint,
            "urn:uuid:4509f320-a4f2-11e8-9000"
        )),
        Just((EvidenceKind::HttpServer, "Boa/0.94")),
        Just((EvidenceKind::SnmpSysDescr, "HP LaserJet 4")),
        Just((EvidenceKind::Serves, "tcp/104")),
        Just((EvidenceKind::RegisterName, "ws-icu-0815")),
    ];
    let how = prop_oneof![
        Just(AddressSource::Arp),
        Just(AddressSource::Dhcp),
        Just(AddressSource::Packet),
        Just(AddressSource::NeighbourDiscovery),
    ];
    let asset = prop_oneof![
        Just(Asset::Eui64(0x0012_2118_3900_0001)),
        Just(Asset::Eui64(0x001a_2bff_fe00_0001)),
        Just(Asset::Bacnet(17)),
        Just(Asset::ModbusUnit(1)),
        Just(Asset::Register("7".into())),
    ];
    let secs = 0_i64..4_000;
    prop_oneof![
        2 => (secs.clone(), any_party()).prop_map(|(t, p)| about(t, 0, p, None, Fact::Seen)),
        6 => (secs.clone(), 0_u16..4, any_party(), kinds.clone())
            .prop_map(|(t, source, p, (kind, value))| says(t, source, p, kind, value)),
        3 => (secs.clone(), any_holder(), how, prop::option::of(0_i64..8_000))
            .prop_map(|(t, p, how, until)| holds(t, 0, p, how, until)),
        1 => (secs.clone(), any_party()).prop_map(|(t, p)| about(t, 0, p, None, Fact::Released)),
        2 => (secs, 0_u16..4, any_party(), asset, kinds).prop_map(|(t, source, p, asset, (kind, value))| {
            let fact = Fact::Evidence { kind, value: value.into() };
            about(t, source, p, Some(asset), fact)
        }),
    ]
}

fn devices(inventory: &Inventory) -> Vec<DeviceProfile> {
    inventory.devices().collect()
}

/// Through JSON, as a store does.
fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("serialises");
    serde_json::from_str(&text).expect("reads back")
}

fn restored(from: &mut Inventory) -> Inventory {
    let all = from.everything();
    let devices: Vec<SavedDevice> = all.devices.iter().map(|row| again(&row.ledger)).collect();
    let conversations: Vec<SavedConversation> = all
        .conversations
        .iter()
        .map(|row| again(&row.ledger))
        .collect();
    let mut inventory = Inventory::new(Knowledge::hospital(), Options::default());
    sources(&mut inventory);
    inventory
        .restore(all.rules.unwrap_or_default(), devices, conversations)
        .expect("restores");
    inventory
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_sources_are_read_does_not_matter(
        (said, shuffled) in prop::collection::vec(any_said(), 1..60)
            .prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle()))
    ) {
        let one = taken(Options::default(), &said);
        let other = taken(Options::default(), &shuffled);
        prop_assert_eq!(devices(&one), devices(&other));
    }

    #[test]
    fn restoring_equals_going_on(
        before in prop::collection::vec(any_said(), 1..50),
        flows in prop::collection::vec((0_i64..4_000, any_party(), any_party(), 0_u16..3), 0..10),
        after in prop::collection::vec(any_said(), 0..20),
    ) {
        let mut going_on = taken(Options::default(), &before);
        let said: Vec<Said> = flows
            .into_iter()
            .map(|(secs, client, server, port)| flow(secs, client, server, port + 100, None))
            .collect();
        take(&mut going_on, &said);
        let mut inventory = restored(&mut going_on);
        prop_assert_eq!(devices(&going_on), devices(&inventory));
        let talks = |inventory: &Inventory| inventory.conversations().collect::<Vec<_>>();
        prop_assert_eq!(talks(&going_on), talks(&inventory));
        for inventory in [&mut going_on, &mut inventory] {
            take(inventory, &after);
            // Last-seen times of a view that is kept may lag by a minute.
            inventory.settle(support::at(0));
        }
        prop_assert_eq!(devices(&going_on), devices(&inventory));
    }

    #[test]
    fn what_is_said_of_one_is_not_said_of_another(
        said in prop::collection::vec(any_said(), 1..60),
    ) {
        // Each piece of evidence gets a value of its own: then it may be a row of one device only.
        let mut said = said;
        for (n, one) in said.iter_mut().enumerate() {
            if let Said::Observation(Observation { fact: Fact::Evidence { kind, value }, .. }) = one {
                *value = format!("{value} {n}").into();
                *kind = EvidenceKind::HttpServer;
            }
        }
        let inventory = taken(Options::default(), &said);
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for device in inventory.devices() {
            for row in &device.evidence {
                if row.kind == EvidenceKind::HttpServer {
                    owners.entry(row.value.to_string()).or_default().insert(device.id.as_str().to_owned());
                }
            }
        }
        for (value, owners) in &owners {
            prop_assert_eq!(owners.len(), 1, "{} is said of {:?}", value, owners);
        }
        // And MAC addresses and assets belong to one device each.
        let mut macs = BTreeSet::new();
        for device in inventory.devices() {
            for mac in &device.macs {
                prop_assert!(macs.insert(*mac), "{} twice", mac);
            }
        }
    }

    #[test]
    fn the_same_ledger_gives_the_same_label_bit_for_bit(
        said in prop::collection::vec(any_said(), 1..60),
    ) {
        let mut inventory = taken(Options::default(), &said);
        let labels = |inventory: &Inventory| -> Vec<_> {
            inventory
                .devices()
                .map(|d| {
                    let weights: Vec<u32> = d.evidence.iter().map(|row| row.weight.to_bits()).collect();
                    (d.id, d.kind, d.category, d.vendor, d.model, d.confidence.to_bits(), d.contradictory, weights)
                })
                .collect()
        };
        let replayed = restored(&mut inventory);
        prop_assert_eq!(labels(&inventory), labels(&replayed));
    }
}
