//! The sensor as its callers meet it: packets in, observations and flows out.

use std::net::IpAddr;
use std::time::Duration;

use domain::conversation::{Opening, Protection};
use domain::observation::{AddressSource, Collected, EvidenceKind, Fact};
use domain::{Flow, Mac, SourceId, Timestamp, Transport};
use sense::{Limits, LinkType, Sensor};

const START_MS: i64 = 1_750_000_000_000;

/// A frame from host `from` to host `to`: `02:00:00:00:00:n` with 10.0.0.n.
fn ethernet(from: u8, to: u8, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from];
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn ip(from: u8, to: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + body.len()) as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&[10, 0, 0, from, 10, 0, 0, to]);
    packet.extend_from_slice(body);
    packet
}

#[derive(Clone, Copy)]
struct Tcp {
    from: u8,
    to: u8,
    ports: (u16, u16),
    sequence: u32,
    acknowledged: u32,
    flags: u8,
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const PUSH: u8 = 8;

fn tcp(header: Tcp, payload: &[u8]) -> Vec<u8> {
    let mut segment = header.ports.0.to_be_bytes().to_vec();
    segment.extend_from_slice(&header.ports.1.to_be_bytes());
    segment.extend_from_slice(&header.sequence.to_be_bytes());
    segment.extend_from_slice(&header.acknowledged.to_be_bytes());
    let options: &[u8] = if header.flags & SYN == 0 {
        &[]
    } else {
        &[2, 4, 5, 0xb4]
    };
    segment.extend_from_slice(&[0x50 + (options.len() as u8 / 4) * 16, header.flags]);
    segment.extend_from_slice(&[0xfa, 0xf0, 0, 0, 0, 0]);
    segment.extend_from_slice(options);
    segment.extend_from_slice(payload);
    ethernet(
        header.from,
        header.to,
        0x0800,
        &ip(header.from, header.to, 6, &segment),
    )
}

fn udp(from: u8, to: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports.0.to_be_bytes().to_vec();
    datagram.extend_from_slice(&ports.1.to_be_bytes());
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    ethernet(from, to, 0x0800, &ip(from, to, 17, &datagram))
}

fn arp(from: u8) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, from, 10, 0, 0, from];
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 10, 0, 0, 254]);
    ethernet(from, 0xff, 0x0806, &body)
}

/// A sensor with what it said.
struct Bench {
    sensor: Sensor,
    said: Collected,
    now: i64,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            sensor: Sensor::with_danger_known_seed(SourceId(3), limits, (11, 13)),
            said: Collected::default(),
            now: START_MS,
        }
    }

    fn usual() -> Self {
        Self::new(Limits::default())
    }

    fn give(&mut self, frame: &[u8]) {
        self.now += 1;
        let at = Timestamp::from_millis(self.now);
        self.sensor
            .packet(at, LinkType::Ethernet, frame, frame.len(), &mut self.said);
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds * 1000;
        self.sensor
            .tick(Timestamp::from_millis(self.now), &mut self.said);
    }

    fn finish(mut self) -> Collected {
        self.sensor.finish(&mut self.said);
        self.said
    }

    /// A request over TCP from host 1 to host 2, answered and closed.
    fn exchange(&mut self, port: u16, request: &[u8], answer: &[u8]) {
        let there = Tcp {
            from: 1,
            to: 2,
            ports: (40_000, port),
            sequence: 100,
            acknowledged: 0,
            flags: SYN,
        };
        let back = Tcp {
            from: 2,
            to: 1,
            ports: (port, 40_000),
            sequence: 900,
            acknowledged: 101,
            flags: SYN | ACK,
        };
        let (asked, answered) = (request.len() as u32, answer.len() as u32);
        self.give(&tcp(there, &[]));
        self.give(&tcp(back, &[]));
        let there = Tcp {
            sequence: 101,
            acknowledged: 901,
            flags: ACK | PUSH,
            ..there
        };
        self.give(&tcp(there, request));
        let back = Tcp {
            sequence: 901,
            acknowledged: 101 + asked,
            flags: ACK | PUSH,
            ..back
        };
        self.give(&tcp(back, answer));
        self.give(&tcp(
            Tcp {
                sequence: 101 + asked,
                flags: FIN | ACK,
                ..there
            },
            &[],
        ));
        self.give(&tcp(
            Tcp {
                sequence: 901 + answered,
                flags: FIN | ACK,
                ..back
            },
            &[],
        ));
    }
}

fn values(said: &Collected, kind: EvidenceKind) -> Vec<&str> {
    said.observations
        .iter()
        .filter_map(|observation| match &observation.fact {
            Fact::Evidence { kind: found, value } if *found == kind => Some(value.as_str()),
            _ => None,
        })
        .collect()
}

fn addr(host: u8) -> Option<IpAddr> {
    Some(IpAddr::from([10, 0, 0, host]))
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: pacs.example\r\nUser-Agent: Acme/1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_device_is_there_from_its_first_frame_and_is_not_repeated() {
    let mut bench = Bench::usual();
    for _ in 0..50 {
        bench.give(&arp(7));
    }
    let said = bench.finish();
    let facts: Vec<_> = said
        .observations
        .iter()
        .map(|o| (o.about.party.addr, &o.fact))
        .collect();
    let address = Fact::Address {
        how: AddressSource::Arp,
        until: None,
    };
    assert_eq!(
        facts,
        [
            (None, &Fact::Seen),
            (addr(7), &Fact::Seen),
            (addr(7), &address)
        ]
    );
    assert!(
        said.observations
            .iter()
            .all(|o| o.about.party.mac == Some(Mac([2, 0, 0, 0, 0, 7])))
    );
    assert!(said.observations.iter().all(|o| o.source == SourceId(3)));
}

#[test]
fn a_connection_is_reported_once_with_its_direction_and_volumes() {
    let mut bench = Bench::usual();
    bench.exchange(80, REQUEST, ANSWER);
    bench.wait(10);
    let said = bench.finish();
    let [flow] = said.flows.as_slice() else {
        panic!("one report: {:#?}", said.flows);
    };
    assert_eq!((flow.client.addr, flow.server.addr), (addr(1), addr(2)));
    assert_eq!(
        (flow.transport, flow.port, flow.client_port),
        (Transport::Tcp, 80, 40_000)
    );
    assert_eq!((flow.opening, flow.begins), (Opening::Seen, true));
    assert_eq!(flow.service.as_deref(), Some("http"));
    assert_eq!(flow.protection, Protection::Cleartext);
    assert_eq!((flow.sent.packets, flow.received.packets), (3, 3));
    assert_eq!(flow.sent.bytes, (44 + 40 + 40 + REQUEST.len()) as u64);
    assert_eq!(values(&said, EvidenceKind::HttpUserAgent), ["Acme/1"]);
    assert_eq!(values(&said, EvidenceKind::HttpServer), ["nginx"]);
    assert_eq!(values(&said, EvidenceKind::Serves), ["tcp/80"]);
    assert_eq!(values(&said, EvidenceKind::Uses), ["tcp/80"]);
    assert_eq!(values(&said, EvidenceKind::TcpSyn), ["64:64240:mss:1460:-"]);
    assert_eq!(
        values(&said, EvidenceKind::TcpSynAck),
        ["64:64240:mss:1460:-"]
    );
}

#[test]
fn a_long_flow_is_reported_every_minute_and_its_volumes_add_up() {
    let mut bench = Bench::usual();
    let mut given = 0;
    for second in 0..600 {
        bench.give(&udp(1, 2, (5000, 6000), &[0; 100]));
        bench.give(&udp(2, 1, (6000, 5000), &[0; 50]));
        given += 1;
        bench.wait(1);
        let _ = second;
    }
    let said = bench.finish();
    assert!((9..=13).contains(&said.flows.len()), "{}", said.flows.len());
    assert_eq!(said.flows.iter().filter(|flow| flow.begins).count(), 1);
    let sum = |of: fn(&Flow) -> (u64, u64)| {
        let volumes = said.flows.iter().map(of);
        volumes.fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    };
    assert_eq!(
        sum(|flow| (flow.sent.packets, flow.sent.bytes)),
        (given, given * 128)
    );
    assert_eq!(
        sum(|flow| (flow.received.packets, flow.received.bytes)),
        (given, given * 78)
    );
    assert!(
        said.flows
            .windows(2)
            .all(|pair| pair[0].last <= pair[1].first)
    );
}

#[test]
fn a_flow_is_reported_early_and_ends_when_it_falls_silent() {
    let mut bench = Bench::usual();
    for _ in 0..20 {
        bench.give(&udp(1, 2, (5000, 6000), b"unknown"));
    }
    bench.wait(7);
    assert_eq!(bench.said.flows.len(), 1, "after some seconds");
    assert_eq!(bench.sensor.flows(), 1);
    bench.wait(130);
    assert_eq!(bench.sensor.flows(), 0);
    assert_eq!(bench.finish().flows.len(), 1, "nothing was added since");
}

#[test]
fn clients_without_an_address_have_conversations_of_their_own() {
    let mut bench = Bench::usual();
    for host in [1, 2] {
        let mut frame = udp(host, 9, (68, 67), &[0; 20]);
        frame[26..30].fill(0);
        frame[30..34].fill(255);
        bench.give(&frame);
        bench.give(&frame);
    }
    let said = bench.finish();
    let mut macs: Vec<_> = said.flows.iter().map(|f| f.client.mac).collect();
    macs.sort();
    macs.dedup();
    assert_eq!(macs.len(), 2, "{:#?}", said.flows);
    for flow in &said.flows {
        assert_eq!(flow.client.addr, None, "0.0.0.0 is nobody's");
        assert_eq!(flow.sent.packets, 2);
    }
}

#[test]
fn between_equal_ports_who_asks_is_the_client() {
    let bacnet = |body: &[u8]| {
        let length = u8::try_from(body.len() + 4).expect("short");
        [&[0x81, 0x0a, 0, length], body].concat()
    };
    let i_am = bacnet(&[
        1, 0, 0x10, 0, 0xc4, 2, 0, 4, 0xb1, 0x22, 5, 0xc4, 0x91, 0, 0x21, 7,
    ]);
    let read = bacnet(&[1, 4, 0, 5, 1, 12, 0x0c, 2, 0, 4, 0xb1, 0x19, 0x46]);
    let ports = (47_808, 47_808);
    let mut bench = Bench::usual();
    bench.give(&udp(2, 1, ports, &i_am));
    bench.give(&udp(1, 2, ports, &read));
    // Once it is known, a question back turns nothing round.
    bench.give(&udp(2, 1, ports, &read));
    let said = bench.finish();
    let [flow] = said.flows.as_slice() else {
        panic!("one report: {:#?}", said.flows);
    };
    assert_eq!((flow.client.addr, flow.server.addr), (addr(1), addr(2)));
    assert_eq!((flow.sent.packets, flow.received.packets), (1, 2));
    assert_eq!(flow.meanings, ["BACnet i-am", "BACnet read"]);
}

#[test]
fn a_connection_that_was_open_before_the_capture_is_guessed_by_its_ports() {
    let mut bench = Bench::usual();
    let header = Tcp {
        from: 2,
        to: 1,
        ports: (80, 40_000),
        sequence: 5,
        acknowledged: 6,
        flags: ACK,
    };
    bench.give(&tcp(header, ANSWER));
    let said = bench.finish();
    assert_eq!(said.flows[0].client.addr, addr(1));
    assert_eq!(said.flows[0].opening, Opening::Guessed);
    assert_eq!(values(&said, EvidenceKind::HttpServer), ["nginx"]);
}

#[test]
fn a_stream_cut_into_any_pieces_in_any_order_says_the_same() {
    for piece in [1, 3, 7, 20] {
        let mut bench = Bench::usual();
        let header = Tcp {
            from: 1,
            to: 2,
            ports: (40_000, 80),
            sequence: u32::MAX - 10,
            acknowledged: 0,
            flags: SYN,
        };
        bench.give(&tcp(header, &[]));
        let mut pieces: Vec<(usize, &[u8])> = REQUEST.chunks(piece).enumerate().collect();
        // Neighbours change places, and each piece comes twice.
        pieces.chunks_mut(2).for_each(|pair| pair.reverse());
        for (number, octets) in pieces.iter().chain(&pieces) {
            let sequence = header.sequence.wrapping_add(1 + (number * piece) as u32);
            let segment = Tcp {
                sequence,
                flags: ACK,
                ..header
            };
            bench.give(&tcp(segment, octets));
        }
        let said = bench.finish();
        assert_eq!(
            values(&said, EvidenceKind::HttpUserAgent),
            ["Acme/1"],
            "{piece}"
        );
    }
}

#[test]
fn a_datagram_in_fragments_is_read_whole() {
    let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04pump\x07example\0\0\x01\0\x01";
    let datagram = udp(1, 2, (5000, 53), query);
    let payload = &datagram[34..];
    let mut bench = Bench::usual();
    for (number, piece) in payload.chunks(16).enumerate() {
        let mut packet = ip(1, 2, 17, piece);
        let more = if (number + 1) * 16 < payload.len() {
            0x20
        } else {
            0
        };
        packet[6] = more;
        packet[7] = (number * 2) as u8;
        bench.give(&ethernet(1, 2, 0x0800, &packet));
    }
    let said = bench.finish();
    assert_eq!(values(&said, EvidenceKind::DnsQuery), ["pump.example"]);
    assert_eq!(said.flows[0].sent.packets, 3);
}

#[test]
fn what_a_tunnel_carries_is_seen_within_its_network() {
    let inner = udp(
        5,
        6,
        (5000, 53),
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01",
    );
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner].concat();
    let mut bench = Bench::usual();
    bench.give(&udp(1, 2, (50_000, 4789), &vxlan));
    let said = bench.finish();
    let asked = said.observations.iter().find(|o| {
        matches!(
            &o.fact,
            Fact::Evidence {
                kind: EvidenceKind::DnsQuery,
                ..
            }
        )
    });
    let party = asked.map(|o| o.about.party).expect("the query is found");
    assert_eq!(
        (party.mac, party.addr),
        (Some(Mac([2, 0, 0, 0, 0, 5])), addr(5))
    );
    assert_eq!(said.flows.len(), 2, "the tunnel is a conversation too");
}

#[test]
fn a_scan_makes_no_list_of_all_ports() {
    let mut bench = Bench::usual();
    for port in 1..5000 {
        let header = Tcp {
            from: 2,
            to: 1,
            ports: (port, 40_000),
            sequence: 1,
            acknowledged: 1,
            flags: SYN | ACK,
        };
        bench.give(&tcp(header, &[]));
    }
    let left_out = bench.sensor.counters().services_left_out;
    let said = bench.finish();
    let most = usize::from(Limits::default().services_max);
    assert_eq!(values(&said, EvidenceKind::Serves).len(), most);
    assert_eq!(values(&said, EvidenceKind::Uses).len(), most);
    assert!(left_out > 9000);
}

#[test]
fn a_full_table_lets_go_of_what_was_never_answered() {
    let limits = Limits {
        flows_max: 64,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    for _ in 0..5 {
        bench.give(&udp(1, 2, (5000, 6000), b"ask"));
        bench.give(&udp(2, 1, (6000, 5000), b"answer"));
    }
    for port in 10_000..20_000 {
        bench.give(&udp(9, 8, (port, 7777), b"flood"));
        assert!(bench.sensor.flows() <= 64);
    }
    bench.give(&udp(1, 2, (5000, 6000), b"ask"));
    assert_eq!(bench.sensor.counters().flows_evicted, 10_001 - 64);
    let said = bench.finish();
    let of_ours: Vec<_> = said.flows.iter().filter(|flow| flow.port == 6000).collect();
    assert_eq!(of_ours.iter().filter(|flow| flow.begins).count(), 1);
    let reported: u64 = said
        .flows
        .iter()
        .map(|flow| flow.sent.packets + flow.received.packets)
        .sum();
    assert_eq!(reported, 10_011, "nothing is lost from the volumes");
}

#[test]
fn time_that_jumps_neither_stops_nor_repeats_anything() {
    let mut bench = Bench::usual();
    bench.give(&udp(1, 2, (5000, 6000), b"one"));
    // A packet from the far future, then the present again.
    let present = bench.now;
    bench.now = present + 40 * 365 * 86_400_000;
    bench.give(&udp(1, 2, (5001, 6000), b"two"));
    bench.now = present;
    for _ in 0..300 {
        bench.give(&udp(1, 2, (5002, 6000), b"three"));
        bench.give(&udp(2, 1, (6000, 5002), b"four"));
        bench.wait(1);
    }
    assert!(bench.sensor.flows() <= 2, "{}", bench.sensor.flows());
    let said = bench.finish();
    let begun = said.flows.iter().filter(|flow| flow.begins).count();
    assert_eq!(begun, 3);
    let packets: u64 = said
        .flows
        .iter()
        .map(|f| f.sent.packets + f.received.packets)
        .sum();
    assert_eq!(packets, 602);
}

#[test]
fn the_ends_of_time_are_no_trap() {
    let mut bench = Bench::usual();
    for ms in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN] {
        let at = Timestamp::from_millis(ms);
        let frame = udp(1, 2, (5000, 53), b"x");
        bench
            .sensor
            .packet(at, LinkType::Ethernet, &frame, frame.len(), &mut bench.said);
        bench.sensor.tick(at, &mut bench.said);
    }
    let said = bench.finish();
    let packets: u64 = said.flows.iter().map(|flow| flow.sent.packets).sum();
    assert_eq!(packets, 5);
}

#[test]
fn what_was_said_is_said_again_after_a_while() {
    let limits = Limits {
        remember: Duration::from_secs(600),
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    for _ in 0..10 {
        bench.give(&arp(7));
        bench.wait(300);
    }
    let seen = bench
        .finish()
        .observations
        .iter()
        .filter(|o| o.fact == Fact::Seen)
        .count();
    assert!(
        (8..=12).contains(&seen),
        "{seen}: about each ten minutes, with and without address"
    );
}
