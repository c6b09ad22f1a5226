//! Whatever comes: no panic, bounds kept, counted.

use std::time::Duration;

use domain::observation::{Observation, Sink, VALUE_MAX};
use domain::{Fact, Flow, SourceId, Timestamp};
use proptest::prelude::*;
use sense::{Limits, LinkType, Sensor};

#[path = "support/packets.rs"]
#[allow(unreachable_pub, reason = "shared with the benchmark")]
mod packets;

/// Sees that everything said keeps its promises.
#[derive(Default)]
struct Strict {
    flows: u64,
    packets: u64,
}

impl Sink for Strict {
    fn observe(&mut self, observation: Observation) {
        let party = observation.about.party;
        assert!(party.mac.is_some() || party.addr.is_some() || observation.about.asset.is_some());
        if let Fact::Evidence { value, .. } = &observation.fact {
            assert!(!value.is_empty() && value.len() <= VALUE_MAX);
            assert!(value.chars().all(|c| !c.is_control()), "{value:?}");
        }
    }

    fn flow(&mut self, flow: Flow) {
        assert!(flow.first <= flow.last);
        assert!(flow.meanings.len() <= 16);
        assert!(flow.meanings.iter().all(|meaning| meaning.len() <= 64));
        assert!(flow.server_name.is_none_or(|name| name.len() <= 253));
        self.flows += u64::from(flow.begins);
        self.packets += flow.sent.packets + flow.received.packets;
    }
}

fn small() -> Limits {
    Limits {
        flows_max: 32,
        reassembly_bytes_max: 64 << 10,
        stream_bytes_max: 4 << 10,
        fragments_max: 4,
        fragment_bytes_max: 64 << 10,
        remembered_max: 256,
        remember: Duration::from_secs(60),
        idle: Duration::from_secs(10),
        settle: Duration::from_secs(1),
        report_every: Duration::from_secs(5),
        services_max: 4,
    }
}

const LINKS: [u32; 16] = [
    0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 276,
];

proptest! {
    #[test]
    fn any_octets_at_any_time_on_any_link(
        packets in prop::collection::vec(
            (0_usize..LINKS.len(), prop::collection::vec(any::<u8>(), 0..200), any::<i32>(), any::<u16>()),
            1..60,
        )
    ) {
        let mut sensor = Sensor::with_danger_known_seed(SourceId(0), small(), (1, 2));
        let mut sink = Strict::default();
        for (link, octets, at, length) in packets {
            let at = Timestamp::from_millis(i64::from(at) * 1000);
            let link = LinkType::from_number(LINKS[link]);
            sensor.packet(at, link, &octets, usize::from(length), &mut sink);
        }
        sensor.finish(&mut sink);
        prop_assert_eq!(sensor.flows(), 0);
        prop_assert_eq!(sink.flows, sensor.counters().flows);
    }

    #[test]
    fn any_payload_to_any_port(
        steps in prop::collection::vec(
            (any::<bool>(), 0_usize..PORTS.len(), prop::collection::vec(any::<u8>(), 0..400), any::<bool>()),
            1..40,
        )
    ) {
        let mut sensor = Sensor::with_danger_known_seed(SourceId(0), small(), (1, 2));
        let mut sink = Strict::default();
        for (number, (is_tcp, port, payload, back)) in steps.into_iter().enumerate() {
            let octets = packet(is_tcp, PORTS[port], number as u32 % 3, &payload, back);
            let at = Timestamp::from_millis(1_750_000_000_000 + number as i64 * 100);
            sensor.packet(at, LinkType::RawIp, &octets, octets.len(), &mut sink);
        }
        sensor.finish(&mut sink);
        prop_assert_eq!(sink.flows, sensor.counters().flows);
    }
}

/// Ports of the protocols that are known.
const PORTS: [u16; 40] = [
    21, 23, 25, 53, 67, 68, 80, 102, 104, 110, 123, 135, 137, 138, 139, 143, 161, 389, 443, 445,
    502, 546, 547, 554, 631, 1080, 1883, 1900, 2152, 2575, 3389, 3702, 4789, 5060, 5247, 5353,
    5355, 9100, 11112, 47808,
];

fn packet(is_tcp: bool, port: u16, connection: u32, payload: &[u8], back: bool) -> Vec<u8> {
    let client = 40_000 + connection as u16;
    let (source, destination) = if back { (port, client) } else { (client, port) };
    let mut body = source.to_be_bytes().to_vec();
    body.extend_from_slice(&destination.to_be_bytes());
    if is_tcp {
        body.extend_from_slice(&connection.to_be_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 0x50, 16, 1, 1, 0, 0, 0, 0]);
    } else {
        body.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
    }
    body.extend_from_slice(payload);
    let [high, low] = ((20 + body.len()) as u16).to_be_bytes();
    let protocol = if is_tcp { 6 } else { 17 };
    let (from, to) = if back { (2, 1) } else { (1, 2) };
    let mut octets = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    octets.extend_from_slice(&[10, 0, 0, from, 10, 0, 0, to]);
    octets.extend_from_slice(&body);
    octets
}

/// The shared captures, with octets changed, packets cut, doubled and exchanged.
#[test]
#[allow(clippy::print_stderr, reason = "says why nothing is tested")]
fn damaged_captures_are_read_without_harm() {
    let Some(data) = packets::data_folder() else {
        eprintln!("skipped: no shared test data; hint: set `ASEPSIS_DATA`");
        return;
    };
    let mut files = packets::captures(&data.join("captures/medical"));
    files.extend(
        packets::captures(&data.join("captures/ndpi"))
            .into_iter()
            .step_by(2),
    );
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut given = 0_u64;
    for file in files {
        let all = packets::read(&std::fs::read(&file).expect("a capture"));
        let mut sensor = Sensor::new(SourceId(0), small());
        let mut sink = Strict::default();
        for (place, packet) in all.iter().enumerate().take(500) {
            let mut octets = packet.octets.clone();
            // Most stay as they are, so that the change meets a parser that is under way.
            if next().is_multiple_of(3) {
                for _ in 0..next() % 6 {
                    let at = (next() % octets.len().max(1) as u64) as usize;
                    if let Some(octet) = octets.get_mut(at) {
                        *octet = next() as u8;
                    }
                }
            }
            if next().is_multiple_of(7) {
                octets.truncate((next() % (octets.len() as u64 + 1)) as usize);
            }
            let at = Timestamp::from_millis(packet.at_us / 1000);
            let link = LinkType::from_number(packet.link);
            for _ in 0..1 + u64::from(next().is_multiple_of(9)) {
                sensor.packet(at, link, &octets, packet.length, &mut sink);
                given += 1;
            }
            if next().is_multiple_of(5) {
                let other = &all[(next() % (place as u64 + 1)) as usize];
                let link = LinkType::from_number(other.link);
                sensor.packet(at, link, &other.octets, other.length, &mut sink);
                given += 1;
            }
        }
        sensor.finish(&mut sink);
        assert_eq!(sink.flows, sensor.counters().flows, "{}", file.display());
    }
    assert!(given > 5000, "{given}");
}
