//! sFlow version 5 datagrams (sflow.org, "sFlow Version 5", July 2004).
//!
//! A flow sample holds the first octets of one packet out of many: its parties and ports become a flow report whose
//! volume is multiplied by the sampling rate. Counter samples say nothing about devices. Bounds: as many samples and
//! records as a datagram can hold, and what is shared with NetFlow for directions.

use std::net::IpAddr;

use domain::Timestamp;
use domain::conversation::{Flow, Opening, Protection, Volume};
use domain::net::{Mac, Party, Transport};
use domain::observation::{AddressSource, Sink};

use super::emit::{Counts, Emit, Emitter, at_address};
use super::netflow::{be16, be32, is_private};
use super::party::is_host;
use super::{Context, Problem};

/// What a datagram held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Flow samples that were told.
    pub flows: u32,
    /// Samples of other kinds.
    pub others: u32,
    /// Octets read: where the next datagram begins in a file.
    pub octets: usize,
}

/// Takes the datagrams of any number of agents.
#[derive(Debug)]
pub struct Collector {
    emitter: Emitter,
    directions: super::netflow::Seen,
}

impl Collector {
    /// A collector that speaks as the context's source.
    pub fn new(context: Context) -> Self {
        Self {
            emitter: Emitter::new(context),
            directions: super::netflow::Seen::default(),
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.emitter.counts
    }

    /// Takes one datagram that arrived `at` this time.
    ///
    /// # Errors
    ///
    /// When it is no sFlow version 5, or ends too early; what came before the damage is told.
    pub fn datagram(
        &mut self,
        at: Timestamp,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Count, Problem> {
        self.emitter.context.at = at;
        self.emitter.counts.lines += 1;
        let mut emit = Emit {
            emitter: &mut self.emitter,
            sink,
        };
        let read = datagram(at, bytes, &mut self.directions, &mut emit);
        match read {
            Ok(count) => {
                self.emitter.counts.rows += 1;
                Ok(count)
            }
            Err(problem) => {
                self.emitter.counts.damaged += 1;
                Err(problem)
            }
        }
    }
}

/// Whether octets can be the beginning of such a datagram.
pub fn plausible(head: &[u8]) -> bool {
    let agent = match be32(head, 4) {
        1 => 4,
        2 => 16,
        _ => return false,
    };
    let samples = be32(head, 8 + agent + 12);
    let first = be32(head, 8 + agent + 16);
    head.len() >= 8 + agent + 24
        && be32(head, 0) == 5
        && (1..=1024).contains(&samples)
        && (first >> 12 != 0 || (1..=5).contains(&first))
        && (8..65_536).contains(&be32(head, 8 + agent + 20))
}

fn short() -> Problem {
    Problem::new(
        "an sFlow datagram that ends too early",
        "it was cut on the way; lower the agent's datagram size below the path's MTU",
    )
}

fn datagram(
    at: Timestamp,
    bytes: &[u8],
    directions: &mut super::netflow::Seen,
    emit: &mut Emit<'_>,
) -> Result<Count, Problem> {
    if be32(bytes, 0) != 5 || bytes.len() < 12 {
        return Err(Problem::new(
            "not sFlow version 5",
            "set the agent to version 5; NetFlow has a socket of its own",
        ));
    }
    let (agent, mut from) = match be32(bytes, 4) {
        1 => (
            bytes
                .get(8..12)
                .and_then(|b| <[u8; 4]>::try_from(b).ok())
                .map(IpAddr::from),
            12,
        ),
        2 => (
            bytes
                .get(8..24)
                .and_then(|b| <[u8; 16]>::try_from(b).ok())
                .map(IpAddr::from),
            24,
        ),
        _ => {
            return Err(Problem::new(
                "an sFlow agent without an address",
                "the datagram is damaged",
            ));
        }
    };
    if let Some(agent) = agent.filter(|agent| is_host(*agent)) {
        emit.seen(at, at_address(agent));
    }
    let samples = be32(bytes, from + 12);
    from += 16;
    let mut count = Count::default();
    for _ in 0..samples {
        let (kind, length) = match bytes.get(from..from + 8) {
            Some(head) => (be32(head, 0), be32(head, 4) as usize),
            None => return Err(short()),
        };
        let body = bytes
            .get(from + 8..)
            .and_then(|rest| rest.get(..length))
            .ok_or_else(short)?;
        // Enterprise 0: flow sample, counter sample, and both expanded.
        let layout = match kind {
            1 => Some((8, 28, 32)),
            3 => Some((12, 40, 44)),
            _ => None,
        };
        match layout {
            Some((rate, records, first)) => {
                let rate = u64::from(be32(body, rate)).clamp(1, 1 << 24);
                let records = be32(body, records);
                if sample(
                    at,
                    rate,
                    records,
                    body.get(first..).unwrap_or_default(),
                    directions,
                    emit,
                )? {
                    count.flows += 1;
                } else {
                    count.others += 1;
                }
            }
            None => count.others += 1,
        }
        from += 8 + length;
    }
    count.octets = from.min(bytes.len());
    Ok(count)
}

/// The records of a flow sample; says whether one of them was a packet between two addresses.
fn sample(
    at: Timestamp,
    rate: u64,
    records: u32,
    mut rest: &[u8],
    directions: &mut super::netflow::Seen,
    emit: &mut Emit<'_>,
) -> Result<bool, Problem> {
    let mut told = false;
    for _ in 0..records {
        let head = rest.get(..8).ok_or_else(short)?;
        let (kind, length) = (be32(head, 0), be32(head, 4) as usize);
        let body = rest
            .get(8..)
            .and_then(|rest| rest.get(..length))
            .ok_or_else(short)?;
        rest = rest.get(8 + length..).unwrap_or_default();
        if told {
            continue;
        }
        let packet = match kind {
            // A sampled header: protocol, length on the wire, octets stripped, octets of header.
            1 => {
                let (protocol, wire, octets) =
                    (be32(body, 0), be32(body, 4), be32(body, 12) as usize);
                let header = body.get(16..).unwrap_or_default();
                let header = header.get(..octets.min(header.len())).unwrap_or_default();
                match protocol {
                    1 => ethernet(header, at, emit).map(|packet| Packet {
                        octets: wire.saturating_sub(packet.link + 4),
                        ..packet
                    }),
                    11 | 12 => ip(header, Packet::default()).map(|packet| Packet {
                        octets: wire,
                        ..packet
                    }),
                    _ => None,
                }
            }
            // Sampled IPv4 and IPv6: length, protocol, addresses, ports.
            3 => addressed(body, 4),
            4 => addressed(body, 16),
            _ => None,
        };
        if let Some(packet) = packet {
            tell(at, rate, &packet, directions, emit);
            told = true;
        }
    }
    Ok(told)
}

#[derive(Clone, Copy, Debug, Default)]
struct Packet {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_mac: Option<Mac>,
    destination_mac: Option<Mac>,
    vlan: Option<u16>,
    protocol: u8,
    ports: (u16, u16),
    /// SYN without ACK, or SYN with ACK.
    opening: Option<bool>,
    octets: u32,
    /// Octets of the link layer.
    link: u32,
}

fn addressed(body: &[u8], width: usize) -> Option<Packet> {
    let addr = |from: usize| -> Option<IpAddr> {
        let octets = body.get(from..from + width)?;
        match width {
            4 => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
            _ => Some(<[u8; 16]>::try_from(octets).ok()?.into()),
        }
    };
    let ports = 8 + 2 * width;
    Some(Packet {
        source: Some(addr(8)?),
        destination: Some(addr(8 + width)?),
        protocol: u8::try_from(be32(body, 4)).ok()?,
        ports: (
            u16::try_from(be32(body, ports)).ok()?,
            u16::try_from(be32(body, ports + 4)).ok()?,
        ),
        octets: be32(body, 0),
        ..Packet::default()
    })
}

fn ethernet(header: &[u8], at: Timestamp, emit: &mut Emit<'_>) -> Option<Packet> {
    let mac = |from: usize| -> Option<Mac> {
        let mac = Mac(header.get(from..from + 6)?.try_into().ok()?);
        mac.is_unicast().then_some(mac)
    };
    let mut packet = Packet {
        destination_mac: mac(0),
        source_mac: mac(6),
        ..Packet::default()
    };
    let mut from = 12;
    let mut kind = be16(header, from);
    // At most a service tag and a customer tag (IEEE 802.1Q).
    for _ in 0..2 {
        if matches!(kind, 0x8100 | 0x88a8) {
            let id = be16(header, from + 2) & 0xfff;
            packet.vlan = packet
                .vlan
                .or(Some(id).filter(|id| (1..=4094).contains(id)));
            from += 4;
            kind = be16(header, from);
        }
    }
    from += 2;
    packet.link = from as u32;
    let rest = header.get(from..)?;
    match kind {
        0x0800 | 0x86dd => ip(rest, packet),
        0x0806 => {
            // ARP over Ethernet: the sender holds its address (RFC 826).
            let sender = Mac(rest.get(8..14)?.try_into().ok()?);
            let addr = IpAddr::from(<[u8; 4]>::try_from(rest.get(14..18)?).ok()?);
            if be16(rest, 2) == 0x0800 && sender.is_unicast() && is_host(addr) {
                let party = Party {
                    mac: Some(sender),
                    addr: Some(addr),
                    vlan: packet.vlan,
                };
                emit.address(at, party, AddressSource::Arp, None);
            }
            None
        }
        _ => None,
    }
}

fn ip(rest: &[u8], mut packet: Packet) -> Option<Packet> {
    let body = match rest.first()? >> 4 {
        4 => {
            let length = usize::from(rest.first()? & 0xf) * 4;
            packet.source = Some(<[u8; 4]>::try_from(rest.get(12..16)?).ok()?.into());
            packet.destination = Some(<[u8; 4]>::try_from(rest.get(16..20)?).ok()?.into());
            packet.protocol = *rest.get(9)?;
            // Only a first fragment has ports.
            if be16(rest, 6) & 0x1fff != 0 {
                &[]
            } else {
                rest.get(length.max(20)..).unwrap_or_default()
            }
        }
        6 => {
            packet.source = Some(<[u8; 16]>::try_from(rest.get(8..24)?).ok()?.into());
            packet.destination = Some(<[u8; 16]>::try_from(rest.get(24..40)?).ok()?.into());
            packet.protocol = *rest.get(6)?;
            rest.get(40..).unwrap_or_default()
        }
        _ => return None,
    };
    match packet.protocol {
        6 | 17 | 132 if body.len() >= 4 => {
            packet.ports = (be16(body, 0), be16(body, 2));
            if packet.protocol == 6 {
                let flags = body.get(13).copied().unwrap_or(0);
                packet.opening = (flags & 2 != 0).then_some(flags & 0x10 == 0);
            }
        }
        1 | 58 => packet.ports = (0, u16::from(body.first().copied().unwrap_or(0))),
        _ => {}
    }
    Some(packet)
}

fn tell(
    at: Timestamp,
    rate: u64,
    packet: &Packet,
    directions: &mut super::netflow::Seen,
    emit: &mut Emit<'_>,
) {
    let (Some(source), Some(destination)) = (packet.source, packet.destination) else {
        return;
    };
    let transport = super::netflow::transport(packet.protocol);
    let (a, b) = ((source, packet.ports.0), (destination, packet.ports.1));
    let (source_is_client, begins) =
        directions.judge(a, b, packet.protocol, at, at, packet.opening, || {
            super::netflow::guess(transport, destination, packet.ports.0, packet.ports.1)
        });
    let from = Party {
        mac: packet.source_mac,
        addr: Some(source),
        vlan: packet.vlan,
    };
    let to = Party {
        mac: packet.destination_mac,
        addr: Some(destination),
        vlan: packet.vlan,
    };
    if is_host(source) && is_private(source) {
        emit.seen(at, from);
    }
    let volume = Volume {
        packets: rate,
        bytes: u64::from(packet.octets).saturating_mul(rate),
    };
    let (client, server, ports, sent, received) = if source_is_client {
        (
            from,
            to,
            (packet.ports.1, packet.ports.0),
            volume,
            Volume::default(),
        )
    } else {
        (to, from, packet.ports, Volume::default(), volume)
    };
    let has_ports = matches!(
        transport,
        Transport::Tcp | Transport::Udp | Transport::Sctp | Transport::Icmp
    );
    let reporter = emit.emitter.context.source;
    emit.flow(Flow {
        source: reporter,
        first: at,
        last: at,
        client,
        server,
        transport,
        port: if has_ports { ports.0 } else { 0 },
        client_port: if has_ports { ports.1 } else { 0 },
        opening: if packet.opening.is_some() {
            Opening::Seen
        } else {
            Opening::Guessed
        },
        begins,
        service: None,
        protection: Protection::Unknown,
        meanings: Vec::new(),
        server_name: None,
        sent,
        received,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::observation::{Collected, SourceId};

    fn word(out: &mut Vec<u8>, value: u32) {
        out.extend_from_slice(&value.to_be_bytes());
    }

    fn datagram(samples: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [5, 1, 0x0a09_0909, 0, 1, 1000, samples.len() as u32] {
            word(&mut out, value);
        }
        out.extend(samples.concat());
        out
    }

    /// A flow sample at a rate of 400 with one Ethernet frame in it.
    fn sample(frame: &[u8]) -> Vec<u8> {
        let mut padded = frame.to_vec();
        padded.resize(frame.len().next_multiple_of(4), 0);
        let mut body = Vec::new();
        for value in [
            1,
            1,
            400,
            4000,
            0,
            1,
            2,
            1,
            1,
            16 + padded.len() as u32,
            1,
            1000,
            4,
            frame.len() as u32,
        ] {
            word(&mut body, value);
        }
        body.extend(padded);
        let mut out = Vec::new();
        word(&mut out, 1);
        word(&mut out, body.len() as u32);
        out.extend(body);
        out
    }

    fn frame(flags: u8, source: u8, ports: (u16, u16)) -> Vec<u8> {
        let mut out = vec![
            0, 0x1a, 0x2b, 0, 0, 9, 0, 0x1a, 0x2b, 0, 0, source, 0x81, 0, 0, 10, 8, 0,
        ];
        out.extend_from_slice(&[
            0x45, 0, 3, 0xd2, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, source, 10, 0, 0, 9,
        ]);
        out.extend_from_slice(&ports.0.to_be_bytes());
        out.extend_from_slice(&ports.1.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        out
    }

    #[test]
    fn a_sampled_packet_becomes_a_scaled_flow() {
        let bytes = datagram(&[
            sample(&frame(2, 5, (40_000, 30_000))),
            sample(&frame(0x10, 5, (40_000, 30_000))),
        ]);
        assert!(plausible(&bytes));
        let mut sink = Collected::default();
        let mut collector = Collector::new(Context {
            source: SourceId(0),
            at: Timestamp::from_millis(0),
        });
        let count = collector
            .datagram(Timestamp::from_millis(1000), &bytes, &mut sink)
            .expect("a datagram");
        assert_eq!((count.flows, count.octets), (2, bytes.len()));
        let flow = &sink.flows[0];
        assert_eq!(flow.client.addr, "10.0.0.5".parse().ok());
        assert_eq!(
            (flow.port, flow.client.vlan, flow.opening),
            (30_000, Some(10), Opening::Seen)
        );
        assert_eq!(
            (flow.sent.packets, flow.sent.bytes),
            (400, 400 * (1000 - 18 - 4))
        );
        assert_eq!((flow.begins, sink.flows[1].begins), (true, false));
        assert_eq!(sink.flows[1].client.addr, "10.0.0.5".parse().ok());
    }

    #[test]
    fn a_cut_datagram_keeps_what_came_before() {
        let bytes = datagram(&[
            sample(&frame(2, 5, (40_000, 443))),
            sample(&frame(2, 6, (40_000, 443))),
        ]);
        let mut sink = Collected::default();
        let mut collector = Collector::new(Context {
            source: SourceId(0),
            at: Timestamp::from_millis(0),
        });
        let error = collector.datagram(
            Timestamp::from_millis(0),
            &bytes[..bytes.len() - 20],
            &mut sink,
        );
        assert!(error.is_err());
        assert_eq!(sink.flows.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), cut in 0_usize..200) {
            let mut sink = Collected::default();
            let mut collector = Collector::new(Context { source: SourceId(0), at: Timestamp::from_millis(0) });
            let mut message = datagram(&[sample(&frame(2, 5, (1, 2)))]);
            message.truncate(message.len().saturating_sub(cut));
            message.extend_from_slice(&bytes);
            let _ = collector.datagram(Timestamp::from_millis(0), &message, &mut sink);
            let _ = collector.datagram(Timestamp::from_millis(0), &bytes, &mut sink);
            let _ = plausible(&bytes);
        }
    }
}
