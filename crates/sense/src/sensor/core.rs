//! The way of a packet: frame, network packet, payload; and of time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::Timestamp;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind, SourceId};

use super::services::Services;
use crate::application::{DATAGRAMS, cdp, lldp, profinet};
use crate::counters::{Counters, Parser};
use crate::findings::Outbox;
use crate::flow::{Table, flag, spoken};
use crate::hash::Keyed;
use crate::limits::Limits;
use crate::link::{self, Carries, Frame, LinkType, Unread};
use crate::network::fragments::{Fragments, Outcome};
use crate::network::ip::{self, Packet, protocol};
use crate::network::tunnel::{self, Inner};
use crate::network::{arp, neighbour};
use crate::remembered::Remembered;
use crate::text::Text;
use crate::transport::streams::Pool;

/// Tunnels within tunnels that are followed.
const DEPTH_MAX: u8 = 3;

/// Flows looked at before what is ready is handed over.
const STEP: usize = 256;

/// Milliseconds that time may run backwards before it counts as set back.
const BACKWARDS_MS: i64 = 60_000;

/// A time of last packet that lies so far ahead is of another clock.
const AHEAD_MS: i64 = 3_600_000;

/// Everything that a sensor holds, apart from the sink.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) out: Outbox,
    pub(super) flows: Table,
    pub(super) streams: Pool,
    pub(super) services: Services,
    pub(super) keyed: Keyed,
    pub(super) settle: i64,
    /// Row of the datagram protocol tried first at each port, plus one.
    pub(super) ports: Box<[u8]>,
    fragments: Fragments,
    idle: i64,
    report_every: i64,
}

/// What is known of a packet below its transport.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) at: Timestamp,
    pub(super) source: Option<Mac>,
    pub(super) destination: Option<Mac>,
    pub(super) vlan: Option<u16>,
    pub(super) depth: u8,
}

/// A payload of IP: a packet's, or that of a datagram put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) hops: u8,
    /// Captured octets.
    pub(super) octets: &'a [u8],
    /// Octets on the wire.
    pub(super) length: usize,
    /// Packets that carried it, and their octets with IP headers.
    pub(super) packets: u32,
    pub(super) bytes: u64,
}

impl Core {
    pub(super) fn new(source: SourceId, limits: Limits, keyed: Keyed) -> Self {
        let ms = |duration: std::time::Duration| {
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
        };
        let mut ports = vec![0_u8; 1 << 16].into_boxed_slice();
        for (row, protocol) in DATAGRAMS.iter().enumerate().rev() {
            for port in protocol.ports {
                ports[usize::from(*port)] = row as u8 + 1;
            }
        }
        Self {
            out: Outbox {
                source,
                keyed,
                remembered: Remembered::new(limits.remembered_max, ms(limits.remember)),
                observations: Vec::new(),
                flows: Vec::new(),
                text: Text::new(),
                counters: Counters::default(),
            },
            flows: Table::new(limits.flows_max),
            streams: Pool::new(limits.reassembly_bytes_max, limits.stream_bytes_max),
            services: Services::new(limits.services_max),
            keyed,
            ports,
            fragments: Fragments::new(limits.fragments_max, limits.fragment_bytes_max),
            idle: ms(limits.idle),
            settle: ms(limits.settle),
            report_every: ms(limits.report_every),
        }
    }

    /// Whether time has come to look at flows.
    #[inline]
    pub(super) fn is_time(&mut self, at: Timestamp) -> bool {
        let now = at.as_millis();
        let second = self.flows.second();
        if second == i64::MIN || now.saturating_add(BACKWARDS_MS) < second.saturating_mul(1000) {
            self.flows.turn_back(now);
        }
        self.flows.is_time(now)
    }

    #[inline]
    pub(super) fn packet(&mut self, at: Timestamp, link: LinkType, octets: &[u8], length: usize) {
        let counters = &mut self.out.counters;
        counters.packets += 1;
        counters.bytes = counters.bytes.saturating_add(length as u64);
        let length = length.max(octets.len());
        counters.truncated += u64::from(length > octets.len());
        match link::frame(link, octets) {
            Ok(frame) => {
                let header = octets.len() - frame.payload.len();
                self.frame(at, &frame, length.saturating_sub(header), 0);
            }
            Err(unread) => self.unread(unread),
        }
    }

    #[cold]
    fn unread(&mut self, unread: Unread) {
        let counters = &mut self.out.counters;
        match unread {
            Unread::Malformed => counters.malformed.count(Parser::Link),
            Unread::LinkType => counters.link_unknown += 1,
            Unread::Encrypted => counters.wireless_encrypted += 1,
        }
    }

    #[inline]
    fn frame(&mut self, at: Timestamp, frame: &Frame<'_>, length: usize, depth: u8) {
        let hop = Hop {
            at,
            source: frame.source,
            destination: frame.destination,
            vlan: frame.vlan,
            depth,
        };
        match frame.carries {
            Carries::Ip => self.ip(&hop, frame.payload, length),
            Carries::Ethernet => self.inner(&hop, link::frame(LinkType::Ethernet, frame.payload)),
            other => self.below_ip(&hop, other, frame.payload),
        }
    }

    /// A frame within a packet or frame.
    fn inner(&mut self, hop: &Hop, read: Result<Frame<'_>, Unread>) {
        if hop.depth >= DEPTH_MAX {
            return;
        }
        match read {
            Ok(mut frame) => {
                // The outermost VLAN counts where the inner frame has none.
                frame.vlan = frame.vlan.or(hop.vlan);
                let length = frame.payload.len();
                self.frame(hop.at, &frame, length, hop.depth + 1);
            }
            Err(unread) => self.unread(unread),
        }
    }

    fn below_ip(&mut self, hop: &Hop, carries: Carries, octets: &[u8]) {
        let speaker = Party {
            mac: hop.source.filter(|mac| mac.is_unicast()),
            addr: None,
            vlan: hop.vlan,
        };
        if speaker.mac.is_some() {
            self.out.seen(hop.at, &speaker);
        }
        let counters = &mut self.out.counters;
        match carries {
            Carries::Arp => match arp::read(octets) {
                Some(arp) => self.arp(hop, &arp),
                None => counters.malformed.count(Parser::Arp),
            },
            Carries::Lldp => lldp::frame(hop.at, &speaker, octets, &mut self.out),
            Carries::Cdp => cdp::frame(hop.at, &speaker, octets, &mut self.out),
            Carries::Profinet => profinet::frame(hop.at, &speaker, octets, &mut self.out),
            Carries::Unknown => counters.network_unknown += 1,
            Carries::Nothing | Carries::Ip | Carries::Ethernet => {}
        }
    }

    fn arp(&mut self, hop: &Hop, arp: &arp::Arp) {
        let Some(address) = arp.address else {
            return;
        };
        if !arp.mac.is_unicast() {
            return;
        }
        let party = Party {
            mac: Some(arp.mac),
            addr: Some(IpAddr::V4(address)),
            vlan: hop.vlan,
        };
        self.out.seen(hop.at, &party);
        self.out.address(hop.at, &party, AddressSource::Arp, None);
    }

    fn ip(&mut self, hop: &Hop, octets: &[u8], length: usize) {
        let packet = match ip::read(octets, length) {
            Ok(packet) => packet,
            Err(parser) => {
                self.out.counters.malformed.count(parser);
                return;
            }
        };
        if packet.fragment.is_some() {
            self.fragment(hop, &packet);
            return;
        }
        let payload = Payload {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            hops: packet.hops,
            octets: packet.payload,
            length: packet.payload_length,
            packets: 1,
            bytes: packet.length as u64,
        };
        self.payload(hop, &payload);
    }

    #[cold]
    fn fragment(&mut self, hop: &Hop, packet: &Packet<'_>) {
        let outcome = self.fragments.take(hop.at, packet);
        self.datagrams(hop, &outcome);
    }

    fn datagrams(&mut self, hop: &Hop, outcome: &Outcome) {
        self.out.counters.fragments_dropped += outcome.dropped;
        for datagram in &outcome.datagrams {
            let payload = Payload {
                source: datagram.source,
                destination: datagram.destination,
                protocol: datagram.protocol,
                hops: datagram.hops,
                octets: &datagram.octets,
                length: datagram.length,
                packets: datagram.packets,
                bytes: datagram.bytes,
            };
            self.payload(hop, &payload);
        }
    }

    #[inline]
    fn payload(&mut self, hop: &Hop, payload: &Payload<'_>) {
        match payload.protocol {
            protocol::TCP => self.tcp(hop, payload),
            protocol::UDP => self.udp(hop, payload),
            _ => self.other_transport(hop, payload),
        }
    }

    fn other_transport(&mut self, hop: &Hop, payload: &Payload<'_>) {
        match payload.protocol {
            protocol::ICMP | protocol::ICMPV6 => self.icmp(hop, payload),
            protocol::IGMP => {
                self.presence(hop, payload.source);
                self.groups(hop, payload, neighbour::igmp);
            }
            protocol::IPV4 | protocol::IPV6 => {
                self.portless(hop, payload);
                self.tunnelled(hop, Inner::Ip(payload.octets));
            }
            protocol::GRE => {
                self.portless(hop, payload);
                match tunnel::gre(payload.octets) {
                    Some(inner) => self.tunnelled(hop, inner),
                    None => self.out.counters.malformed.count(Parser::Tunnel),
                }
            }
            protocol::SCTP => self.sctp(hop, payload),
            // Reserved.
            u8::MAX => self.out.counters.transport_unknown += 1,
            _ => {
                self.out.counters.transport_unknown += 1;
                self.portless(hop, payload);
            }
        }
    }

    /// What a tunnel carries. The outer MAC addresses are not those of the inner parties.
    pub(super) fn tunnelled(&mut self, hop: &Hop, inner: Inner<'_>) {
        match inner {
            Inner::Ip(octets) if hop.depth < DEPTH_MAX && !octets.is_empty() => {
                let within = Hop {
                    source: None,
                    destination: None,
                    depth: hop.depth + 1,
                    ..*hop
                };
                self.ip(&within, octets, octets.len());
            }
            Inner::Ethernet(octets) => self.inner(hop, link::frame(LinkType::Ethernet, octets)),
            Inner::Ieee80211(octets) => self.inner(hop, link::frame(LinkType::Ieee80211, octets)),
            Inner::Ieee80211Swapped(octets) => self.inner(hop, link::swapped_wireless(octets)),
            Inner::Ip(_) | Inner::Nothing => {}
        }
    }

    /// Neighbour discovery and joins; true: nothing else is in it.
    pub(super) fn housekeeping(&mut self, hop: &Hop, payload: &Payload<'_>) -> bool {
        let (IpAddr::V6(source), Some(kind)) = (payload.source, payload.octets.first()) else {
            return false;
        };
        if !neighbour::is_housekeeping(*kind) {
            return false;
        }
        self.presence(hop, payload.source);
        match kind {
            131 | 143 => self.groups(hop, payload, neighbour::mld),
            // A neighbour is on the link: a message that passed a router (RFC 4861 section 7.1) proves nothing.
            133..=136 if payload.hops == 255 => self.binding(hop, source, payload.octets),
            _ => {}
        }
        true
    }

    fn binding(&mut self, hop: &Hop, source: Ipv6Addr, octets: &[u8]) {
        if let Some(binding) = neighbour::binding(source, octets) {
            let party = Party {
                mac: Some(binding.mac),
                addr: Some(IpAddr::V6(binding.address)),
                vlan: hop.vlan,
            };
            self.out.seen(hop.at, &party);
            self.out
                .address(hop.at, &party, AddressSource::NeighbourDiscovery, None);
        }
    }

    fn groups(
        &mut self,
        hop: &Hop,
        payload: &Payload<'_>,
        read: fn(&[u8], &mut dyn FnMut(IpAddr)) -> bool,
    ) {
        let party = self.sender(hop, payload.source);
        let out = &mut self.out;
        let whole = read(payload.octets, &mut |group| {
            let kind = EvidenceKind::MulticastGroup;
            out.evidence(hop.at, &party, None, kind, format_args!("{group}"));
        });
        if !whole {
            out.counters.malformed.count(Parser::Icmp);
        }
    }

    /// The party that sent this packet.
    pub(super) fn sender(&self, hop: &Hop, address: IpAddr) -> Party {
        Party {
            mac: hop.source.filter(|mac| mac.is_unicast()),
            addr: Some(address).filter(is_somebody),
            vlan: hop.vlan,
        }
    }

    /// Says that the sender of this packet is there.
    pub(super) fn presence(&mut self, hop: &Hop, address: IpAddr) {
        let party = self.sender(hop, address);
        self.out.present(hop.at, &party);
    }

    /// Looks at flows that are due; true: there may be more.
    pub(super) fn pass_time(&mut self, now: Timestamp) -> bool {
        let now = now.as_millis();
        if now < self.flows.second().saturating_mul(1000) {
            return false;
        }
        for _ in 0..STEP {
            match self.flows.due(now) {
                Some(place) => self.look_at(place, now),
                None => return false,
            }
        }
        true
    }

    /// Ends some flows; false: none is left.
    pub(super) fn end_some(&mut self) -> bool {
        let outcome = self.fragments.drain();
        if outcome.dropped > 0 {
            let at = Timestamp::from_millis(self.flows.second().saturating_mul(1000));
            let hop = Hop {
                at,
                source: None,
                destination: None,
                vlan: None,
                depth: 0,
            };
            self.datagrams(&hop, &outcome);
            return true;
        }
        for _ in 0..STEP {
            match self.flows.drain() {
                Some(place) => self.end_flow(place),
                None => return false,
            }
        }
        true
    }

    fn look_at(&mut self, place: u32, now: i64) {
        let flow = self.flows.flow_mut(place);
        let silent = now - flow.last;
        let patience = if flow.has(flag::CLOSED) {
            1000
        } else if flow.is_brief() {
            self.settle
        } else {
            self.idle
        };
        if silent >= patience || silent < -AHEAD_MS {
            self.end_flow(place);
            return;
        }
        let old = now - flow.first
            >= if flow.has(flag::REPORTED) {
                self.report_every
            } else {
                self.settle
            };
        let recognised = !flow.has(flag::REPORTED) && flow.protocol < spoken::UNKNOWN;
        if flow.has_news() && (old || recognised) {
            self.report(place);
        }
        let flow = self.flows.flow(place);
        let next_report = if flow.has_news() {
            flow.first
                + if flow.has(flag::REPORTED) {
                    self.report_every
                } else {
                    self.settle
                }
        } else {
            now + self.report_every
        };
        self.flows
            .schedule(place, next_report.min(flow.last + patience).max(now + 1));
    }

    fn report(&mut self, place: u32) {
        let flow = self.flows.flow_mut(place);
        let at = Timestamp::from_millis(flow.last);
        for low in [true, false] {
            if flow.packets[usize::from(!low)] > 0 {
                self.out.present(at, &flow.party(low));
            }
        }
        let report = flow.report(self.out.source);
        self.out.flows.push(report);
        self.out.counters.reports += 1;
    }

    /// Reports a flow for the last time and forgets it.
    pub(super) fn end_flow(&mut self, place: u32) {
        self.wind_up(place);
        self.flows.remove(place);
    }

    /// Takes the last from a flow's stream and reports it.
    pub(super) fn wind_up(&mut self, place: u32) {
        let flow = self.flows.flow_mut(place);
        let at = Timestamp::from_millis(flow.last);
        self.streams.end(at, flow, &mut self.out);
        if flow.has_news() || !flow.notes.meanings.is_empty() {
            self.report(place);
        }
    }
}

/// Whether an address can be somebody's.
pub(super) fn is_somebody(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && *v4 != Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    }
}
