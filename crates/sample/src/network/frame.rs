//! Ethernet, IPv4, UDP and TCP, as far as a sample hospital speaks them.

use std::net::Ipv4Addr;

use domain::{Mac, Timestamp};

use super::Packet;

/// One end, with the interface its frames are addressed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party {
    pub(super) mac: Mac,
    /// Where its frames to the other end go: the other end itself, or the gateway.
    pub(super) next_hop: Mac,
    pub(super) addr: Ipv4Addr,
    pub(super) vlan: u16,
    pub(super) ttl: u8,
}

/// Frames being collected.
#[derive(Debug, Default)]
pub(super) struct Packets {
    all: Vec<Packet>,
}

/// The longest TCP payload of one frame.
const SEGMENT_MAX: usize = 1400;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

impl Packets {
    pub(super) fn in_order(mut self) -> Vec<Packet> {
        self.all.sort_by_key(|p| p.at); // stable: what happens in one millisecond keeps its order
        self.all
    }

    /// A frame with an EtherType of its own, tagged with the segment.
    pub(super) fn ethernet(
        &mut self,
        at: Timestamp,
        from: Mac,
        to: Mac,
        vlan: u16,
        kind: u16,
        payload: &[u8],
    ) {
        let mut bytes = Vec::with_capacity(18 + payload.len().max(46));
        bytes.extend(to.0);
        bytes.extend(from.0);
        bytes.extend(0x8100_u16.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(payload);
        while bytes.len() < 60 {
            bytes.push(0);
        }
        self.all.push(Packet { at, bytes });
    }

    /// An IEEE 802.3 frame with a length, as LLC protocols have.
    pub(super) fn llc(&mut self, at: Timestamp, from: Mac, to: Mac, payload: &[u8]) {
        let mut bytes = Vec::new();
        bytes.extend(to.0);
        bytes.extend(from.0);
        bytes.extend(u16::try_from(payload.len()).unwrap_or(1500).to_be_bytes());
        bytes.extend(payload);
        while bytes.len() < 60 {
            bytes.push(0);
        }
        self.all.push(Packet { at, bytes });
    }

    /// A request or an answer of ARP (RFC 826).
    pub(super) fn arp(&mut self, at: Timestamp, from: &Party, asked: Ipv4Addr) {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
        body.extend(from.mac.0);
        body.extend(from.addr.octets());
        body.extend([0; 6]);
        body.extend(asked.octets());
        self.ethernet(at, from.mac, Mac::BROADCAST, from.vlan, ARP, &body);
    }

    /// A datagram.
    pub(super) fn udp(
        &mut self,
        at: Timestamp,
        from: &Party,
        from_port: u16,
        to: (Mac, Ipv4Addr),
        to_port: u16,
        payload: &[u8],
    ) {
        let mut segment = Vec::with_capacity(8 + payload.len());
        segment.extend(from_port.to_be_bytes());
        segment.extend(to_port.to_be_bytes());
        segment.extend(
            u16::try_from(8 + payload.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        segment.extend([0, 0]);
        segment.extend(payload);
        let sum = transport_checksum(from.addr, to.1, UDP, &segment);
        segment[6..8].copy_from_slice(&sum.to_be_bytes());
        let packet = ipv4(from.addr, to.1, UDP, from.ttl, &segment);
        self.ethernet(at, from.mac, to.0, from.vlan, IPV4, &packet);
    }

    /// A question and its answer in datagrams.
    pub(super) fn ask(
        &mut self,
        at: Timestamp,
        ends: (&Party, u16, &Party, u16),
        question: &[u8],
        answer: &[u8],
    ) {
        let (client, client_port, server, port) = ends;
        self.udp(
            at,
            client,
            client_port,
            (client.next_hop, server.addr),
            port,
            question,
        );
        let later = Timestamp::from_millis(at.as_millis() + 2);
        self.udp(
            later,
            server,
            port,
            (server.next_hop, client.addr),
            client_port,
            answer,
        );
    }

    /// A whole TCP connection: handshake, what is said in turn, close. `true` marks what the client says.
    pub(super) fn tcp(
        &mut self,
        at: Timestamp,
        ends: (&Party, u16, &Party, u16),
        said: &[(bool, Vec<u8>)],
    ) {
        let (client, client_port, server, port) = ends;
        let isn = (at.as_millis() as u32).wrapping_mul(2_654_435_761);
        let mut stream = Stream {
            packets: self,
            at: at.as_millis(),
            ends: [(*client, client_port), (*server, port)],
            next: [isn, isn ^ 0x5a5a_1234],
        };
        stream.send(0, SYN, &[]);
        stream.send(1, SYN | ACK, &[]);
        stream.send(0, ACK, &[]);
        for (by_client, words) in said {
            for piece in words.chunks(SEGMENT_MAX) {
                stream.send(usize::from(!by_client), PSH | ACK, piece);
            }
            stream.send(usize::from(*by_client), ACK, &[]);
        }
        stream.send(0, FIN | ACK, &[]);
        stream.send(1, FIN | ACK, &[]);
        stream.send(0, ACK, &[]);
    }

    /// A connection that is asked for and refused.
    pub(super) fn refused(&mut self, at: Timestamp, ends: (&Party, u16, &Party, u16)) {
        let (client, client_port, server, port) = ends;
        let mut stream = Stream {
            packets: self,
            at: at.as_millis(),
            ends: [(*client, client_port), (*server, port)],
            next: [(at.as_millis() as u32).wrapping_mul(2_654_435_761), 0],
        };
        stream.send(0, SYN, &[]);
        stream.send(1, RST | ACK, &[]);
    }
}

struct Stream<'a> {
    packets: &'a mut Packets,
    at: i64,
    ends: [(Party, u16); 2],
    next: [u32; 2],
}

impl Stream<'_> {
    fn send(&mut self, who: usize, flags: u8, payload: &[u8]) {
        let other = 1 - who;
        let (from, from_port) = self.ends[who];
        let (to, to_port) = self.ends[other];
        let syn = flags & SYN != 0;
        let mut segment = Vec::with_capacity(24 + payload.len());
        segment.extend(from_port.to_be_bytes());
        segment.extend(to_port.to_be_bytes());
        segment.extend(self.next[who].to_be_bytes());
        let acknowledged = if flags & ACK == 0 {
            0
        } else {
            self.next[other]
        };
        segment.extend(acknowledged.to_be_bytes());
        segment.push(if syn { 6 << 4 } else { 5 << 4 });
        segment.push(flags);
        segment.extend(64_240_u16.to_be_bytes());
        segment.extend([0; 4]); // checksum, urgent pointer
        if syn {
            segment.extend([2, 4, 0x05, 0xb4]); // maximum segment size 1460
        }
        segment.extend(payload);
        let sum = transport_checksum(from.addr, to.addr, TCP, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let taken = u32::try_from(payload.len()).unwrap_or(0) + u32::from(flags & (SYN | FIN) != 0);
        self.next[who] = self.next[who].wrapping_add(taken);
        let packet = ipv4(from.addr, to.addr, TCP, from.ttl, &segment);
        let at = Timestamp::from_millis(self.at);
        self.at += 1;
        self.packets
            .ethernet(at, from.mac, from.next_hop, from.vlan, IPV4, &packet);
    }
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(20 + payload.len());
    packet.extend([0x45, 0]);
    packet.extend(
        u16::try_from(20 + payload.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    packet.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(0, &packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn transport_checksum(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::with_capacity(12);
    pseudo.extend(from.octets());
    pseudo.extend(to.octets());
    pseudo.extend([0, protocol]);
    pseudo.extend(
        u16::try_from(segment.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    checksum(partial(0, &pseudo), segment)
}

/// The Internet checksum (RFC 1071) of `bytes`, continuing `sum`.
fn checksum(sum: u32, bytes: &[u8]) -> u16 {
    let mut sum = partial(sum, bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn partial(sum: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let word = u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum.wrapping_add(word)
    })
}
