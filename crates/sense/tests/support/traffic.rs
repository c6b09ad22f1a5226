//! Makes packets of conversations, for tests that need traffic which no capture has.

use domain::Timestamp;
use domain::observation::{Collected, SourceId};
use sense::{Counters, Limits, LinkType, Sensor};

/// One thing said in a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Whether the client says it.
    pub(crate) by_client: bool,
    /// What.
    pub(crate) octets: Vec<u8>,
}

/// What the client says.
pub(crate) fn client(octets: impl Into<Vec<u8>>) -> Said {
    Said {
        by_client: true,
        octets: octets.into(),
    }
}

/// What the server says.
pub(crate) fn server(octets: impl Into<Vec<u8>>) -> Said {
    Said {
        by_client: false,
        octets: octets.into(),
    }
}

const MACS: [[u8; 6]; 2] = [[0, 0x1a, 0x2b, 1, 2, 3], [0, 0x1a, 0x2b, 4, 5, 6]];

fn packet(by_client: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let (from, to) = if by_client { (0, 1) } else { (1, 0) };
    let mut out = Vec::new();
    out.extend(MACS[to]);
    out.extend(MACS[from]);
    out.extend([8, 0]);
    let length = u16::try_from(20 + transport.len()).expect("a packet is short");
    out.extend([0x45, 0]);
    out.extend(length.to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    let address = |end: usize| [10, 1, 1, if end == 0 { 10 } else { 20 }];
    out.extend(address(from));
    out.extend(address(to));
    out.extend(transport);
    out
}

/// A TCP conversation in segments of at most `segment` octets, opened and closed properly.
pub(crate) fn tcp(client_port: u16, port: u16, said: &[Said], segment: usize) -> Vec<Vec<u8>> {
    let mut numbers = [1000_u32, 9000];
    let mut out = Vec::new();
    let mut send = |by_client: bool, flags: u8, octets: &[u8], numbers: &mut [u32; 2]| {
        let (from, to) = if by_client { (0, 1) } else { (1, 0) };
        let ports = if by_client {
            [client_port, port]
        } else {
            [port, client_port]
        };
        let mut tcp = Vec::new();
        tcp.extend(ports[0].to_be_bytes());
        tcp.extend(ports[1].to_be_bytes());
        tcp.extend(numbers[from].to_be_bytes());
        tcp.extend(numbers[to].to_be_bytes());
        tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        tcp.extend(octets);
        let count = u32::try_from(octets.len()).expect("short") + u32::from(flags & 3 != 0);
        numbers[from] = numbers[from].wrapping_add(count);
        out.push(packet(by_client, 6, &tcp));
    };
    send(true, 2, &[], &mut numbers);
    send(false, 0x12, &[], &mut numbers);
    send(true, 0x10, &[], &mut numbers);
    for said in said {
        for part in said.octets.chunks(segment) {
            send(said.by_client, 0x18, part, &mut numbers);
        }
    }
    send(true, 0x11, &[], &mut numbers);
    send(false, 0x11, &[], &mut numbers);
    out
}

/// Datagrams.
pub(crate) fn udp(client_port: u16, port: u16, said: &[Said]) -> Vec<Vec<u8>> {
    said.iter()
        .map(|said| {
            let ports = if said.by_client {
                [client_port, port]
            } else {
                [port, client_port]
            };
            let mut udp = Vec::new();
            udp.extend(ports[0].to_be_bytes());
            udp.extend(ports[1].to_be_bytes());
            let length = u16::try_from(8 + said.octets.len()).expect("a datagram is short");
            udp.extend(length.to_be_bytes());
            udp.extend([0, 0]);
            udp.extend(&said.octets);
            packet(said.by_client, 17, &udp)
        })
        .collect()
}

/// What a sensor says of these packets, one millisecond apart.
pub(crate) fn sense(packets: &[Vec<u8>]) -> (Collected, Counters) {
    let mut sensor = Sensor::with_danger_known_seed(SourceId(0), Limits::default(), (3, 5));
    let mut sink = Collected::default();
    for (at, packet) in (1_700_000_000_000..).zip(packets) {
        let at = Timestamp::from_millis(at);
        sensor.packet(at, LinkType::Ethernet, packet, packet.len(), &mut sink);
    }
    sensor.finish(&mut sink);
    (sink, *sensor.counters())
}
