//! Real captures through the sensor into the inventory. Skipped with a printed line where `ASEPSIS_DATA` has none.

#![expect(
    clippy::print_stderr,
    reason = "figures, and why a test was skipped, are for whoever runs it"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Timestamp;
use domain::net::Mac;
use domain::observation::SourceKind;
use domain::{DeviceId, Source};
use inventory::{Inventory, Knowledge, Options};
use sense::{Limits, LinkType, Sensor};

/// The folder of the shared test data.
fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no `{folder}` below ASEPSIS_DATA");
    None
}

/// A packet of a capture: when, link type, what was captured, how long it was.
struct Packet<'a> {
    at: Timestamp,
    link: u32,
    octets: &'a [u8],
    length: usize,
}

/// The packets of a pcap file of microseconds or nanoseconds in either byte order; of another file, none.
fn packets(file: &[u8]) -> Vec<Packet<'_>> {
    let swap = match file.get(..4) {
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => false,
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => true,
        _ => return Vec::new(),
    };
    let nanoseconds = matches!(file[..4], [0x4d, ..] | [_, _, 0x3c, 0x4d]);
    let word = |at: usize| {
        let four: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        Some(if swap {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    };
    let Some(link) = word(20) else {
        return Vec::new();
    };
    let mut packets = Vec::new();
    let mut at = 24;
    while let (Some(secs), Some(part), Some(captured), Some(length)) =
        (word(at), word(at + 4), word(at + 8), word(at + 12))
    {
        let Some(octets) = file.get(at + 16..at + 16 + captured as usize) else {
            break;
        };
        let ms = i64::from(part) / if nanoseconds { 1_000_000 } else { 1_000 };
        packets.push(Packet {
            at: Timestamp::from_millis(i64::from(secs) * 1000 + ms),
            link,
            octets,
            length: length as usize,
        });
        at += 16 + captured as usize;
    }
    packets
}

/// An inventory of one capture.
fn inventory(name: &str, packets: &[Packet<'_>]) -> Inventory {
    let mut inventory = Inventory::new(Knowledge::hospital(), Options::default());
    let source = inventory.sources().add(Source {
        name: name.into(),
        kind: SourceKind::Packets,
    });
    let mut sensor = Sensor::new(source, Limits::default());
    for packet in packets {
        let link = LinkType::from_number(packet.link);
        sensor.packet(
            packet.at,
            link,
            packet.octets,
            packet.length,
            &mut inventory,
        );
    }
    sensor.finish(&mut inventory);
    inventory
}

/// The MAC addresses that frames come from, read here without the sensor.
fn senders(packets: &[Packet<'_>]) -> BTreeSet<Mac> {
    packets
        .iter()
        .filter(|p| p.link == 1)
        .filter_map(|p| Some(Mac(p.octets.get(6..12)?.try_into().ok()?)))
        .filter(|mac| mac.is_unicast())
        .collect()
}

#[test]
fn every_sender_is_listed_once_and_the_labelled_device_is_one_of_them() {
    let Some(folder) = data("devices/iot-sentinel") else {
        return;
    };
    let labels = std::fs::read_to_string(folder.join("labels.csv")).expect("labels");
    let (mut files, mut devices, mut observations) = (0, 0, 0);
    for line in labels.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [file, .., mac] = fields.as_slice() else {
            continue;
        };
        let octets = std::fs::read(folder.join(file)).expect("a labelled capture");
        let packets = packets(&octets);
        if packets.is_empty() {
            continue;
        }
        files += 1;
        let inventory = inventory(file, &packets);
        let mut listed: Vec<Mac> = Vec::new();
        for device in inventory.devices() {
            devices += 1;
            listed.extend(&device.macs);
            let own = device.macs.len() == 1;
            assert!(
                device.macs.len() <= 1,
                "{file}: {} joined",
                device.id.as_str()
            );
            for address in device.addresses.iter().filter(|a| !own && a.is_ipv4()) {
                let private = matches!(address, std::net::IpAddr::V4(a) if a.is_private() || a.is_link_local());
                assert!(private, "{file}: {address} is a device");
            }
        }
        let once: BTreeSet<Mac> = listed.iter().copied().collect();
        assert_eq!(once.len(), listed.len(), "{file}: a MAC address twice");
        let missing: Vec<Mac> = senders(&packets).difference(&once).copied().collect();
        assert!(missing.is_empty(), "{file}: {missing:?} not listed");
        let mac: Mac = mac.parse().expect("a MAC address");
        let id = DeviceId::from(format!("mac-{:012x}", mac.bits()));
        let device = inventory.device(&id).expect("the labelled device");
        assert_eq!(device.macs, [mac], "{file}");
        // Its addresses are private ones: what it talks to is not it.
        for address in &device.addresses {
            if let std::net::IpAddr::V4(a) = address {
                assert!(a.is_private() || a.is_link_local(), "{file}: {a}");
            }
        }
        observations += inventory.counters().observations;
    }
    eprintln!(
        "{files} captures, {devices} devices, {observations} observations: every sender listed once"
    );
    assert!(files > 200, "{files} captures read");
}

#[test]
fn medical_captures_show_both_ends_and_what_they_mean() {
    let Some(folder) = data("captures/medical/tapirx") else {
        return;
    };
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pcap"))
        .collect();
    entries.sort();
    let mut meant = 0;
    for path in &entries {
        let octets = std::fs::read(path).expect("a capture");
        let packets = packets(&octets);
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let inventory = inventory(&name, &packets);
        for talk in inventory.conversations() {
            eprintln!(
                "{name}: {} -> {} {}/{} {:?} {:?}",
                talk.client.as_str(),
                talk.server.as_str(),
                talk.transport,
                talk.port,
                talk.service,
                talk.meanings
            );
            meant += usize::from(!talk.meanings.is_empty());
        }
        for device in inventory.devices() {
            let detail = inventory.detail(&device.id).expect("a device");
            eprintln!("  {}: {}", device.id.as_str(), detail.why().sentence);
        }
    }
    assert!(
        entries.is_empty() || meant > 0,
        "no clinical meaning in {} captures",
        entries.len()
    );
}

#[test]
fn a_capture_replayed_gives_the_same_answers_bit_for_bit() {
    let Some(folder) = data("devices/iot-sentinel") else {
        return;
    };
    let labels = std::fs::read_to_string(folder.join("labels.csv")).expect("labels");
    let mut compared = 0;
    for line in labels.lines().skip(1).step_by(20) {
        let Some(file) = line.split(',').next() else {
            continue;
        };
        let octets = std::fs::read(folder.join(file)).expect("a labelled capture");
        let packets = packets(&octets);
        let mut first = inventory(file, &packets);
        let all = first.everything();
        let mut again = Inventory::new(Arc::clone(&Knowledge::hospital()), Options::default());
        let rows = all.devices.iter().map(|row| row.ledger.clone());
        let talks = all.conversations.iter().map(|row| row.ledger.clone());
        again.restore([], rows, talks).expect("restores");
        let devices = |inventory: &Inventory| {
            let all: Vec<_> = inventory.devices().collect();
            serde_json::to_string(&all).expect("serialises")
        };
        assert_eq!(devices(&first), devices(&again), "{file}");
        assert_eq!(
            first.conversations().collect::<Vec<_>>(),
            again.conversations().collect::<Vec<_>>(),
            "{file}"
        );
        compared += 1;
    }
    eprintln!("{compared} captures replayed from their ledgers");
}
