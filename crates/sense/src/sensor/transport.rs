//! From a payload of IP to its flow, and to the application protocols.

use std::net::{IpAddr, Ipv4Addr};

use domain::Timestamp;
use domain::conversation::Protection;
use domain::net::Mac;
use domain::observation::EvidenceKind;

use super::core::{Core, Hop, Payload};
use super::services::Role;
use crate::application::{DATAGRAMS, DatagramProtocol};
use crate::counters::Parser;
use crate::findings::Findings;
use crate::flow::{Flow, Key, NOWHERE, flag, protection_of, spoken};
use crate::network::ip::protocol;
use crate::network::tunnel;
use crate::transport::header::{self, Tcp, tcp_flag};
use crate::transport::shape::Shape;
use crate::transport::streams::{Segment, scene};

/// Datagrams of a flow in which a protocol is looked for.
const ATTEMPTS: u16 = 4;

/// Milliseconds after its close in which a TCP flow still takes packets.
const LINGER_MS: i64 = 2000;

/// Lowest port that clients are commonly given (RFC 6335: 49152, Linux: 32768).
const EPHEMERAL: u16 = 32_768;

/// Who is the client of a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// The sender, as the packet itself shows.
    Sender,
    /// The receiver, as the packet itself shows.
    Receiver,
    /// The sender, by its port.
    SenderPerhaps,
    /// The receiver, by its port.
    ReceiverPerhaps,
}

impl Core {
    #[inline]
    pub(super) fn tcp(&mut self, hop: &Hop, payload: &Payload<'_>) {
        let Some(tcp) = header::tcp(payload.octets, payload.length) else {
            self.out.counters.malformed.count(Parser::Tcp);
            return;
        };
        let ports = (tcp.source_port, tcp.destination_port);
        let (place, low) = self.touch(hop, payload, ports, |core| core.tcp_client(&tcp));
        let now = hop.at.as_millis();
        let control = tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST;
        if tcp.flags & control != 0 {
            self.tcp_control(hop, payload, &tcp, place, low);
        }
        let flow = self.flows.flow_mut(place);
        let undecided = flow.protocol == spoken::UNDECIDED;
        if tcp.length > 0 {
            if undecided || flow.stream != NOWHERE || flow.protocol == spoken::UNKNOWN {
                let segment = Segment {
                    low,
                    // A SYN takes a number before the payload.
                    sequence: tcp
                        .sequence
                        .wrapping_add(u32::from(tcp.flags & tcp_flag::SYN != 0)),
                    octets: tcp.payload,
                    length: tcp.length,
                };
                let victim = self
                    .streams
                    .take(hop.at, place, flow, &segment, &mut self.out);
                if let Some(victim) = victim {
                    let flow = self.flows.flow_mut(victim);
                    self.streams.close(flow);
                    flow.protocol = spoken::UNKNOWN;
                    flow.tries = u16::MAX;
                }
            }
            let flow = self.flows.flow(place);
            if !flow.has(flag::SERVICE_SAID) && flow.answered() {
                self.tcp_service(hop.at, place);
            }
        }
        let flow = self.flows.flow_mut(place);
        if flow.stream != NOWHERE && tcp.flags & tcp_flag::ACK != 0 {
            self.streams
                .acknowledged(hop.at, flow, !low, tcp.acknowledgement, &mut self.out);
        }
        if undecided {
            let flow = self.flows.flow(place);
            if flow.protocol < spoken::UNKNOWN && !flow.has(flag::REPORTED) {
                self.flows.schedule(place, now + 1000);
            }
        }
    }

    /// SYN, FIN and RST.
    fn tcp_control(
        &mut self,
        hop: &Hop,
        payload: &Payload<'_>,
        tcp: &Tcp<'_>,
        place: u32,
        low: bool,
    ) {
        let end = usize::from(!low);
        if tcp.flags & tcp_flag::SYN != 0 {
            let flow = self.flows.flow_mut(place);
            let synced = flag::LOW_SYNCED << end;
            if flow.stream == NOWHERE {
                flow.starts[end] = tcp.sequence.wrapping_add(1);
                flow.flags |= synced;
            }
            let kind = if tcp.flags & tcp_flag::ACK == 0 {
                EvidenceKind::TcpSyn
            } else {
                flow.flags |= flag::ACCEPTED;
                EvidenceKind::TcpSynAck
            };
            let accepted = flow.has(flag::ACCEPTED) && !flow.has(flag::SERVICE_SAID);
            let party = flow.party(low);
            let shape = Shape::of(tcp, payload.hops);
            // Writing the shape out costs more than a look whether it was said.
            let hash = self
                .keyed
                .mix(self.out.party(&party), 5 | (kind as u64) << 8);
            let hash = self.keyed.octets(hash, &shape.octets());
            if self.out.remembered.is_new(hash, hop.at) {
                self.out
                    .evidence(hop.at, &party, None, kind, format_args!("{shape}"));
            }
            if accepted {
                self.tcp_service(hop.at, place);
            }
        }
        if tcp.flags & (tcp_flag::FIN | tcp_flag::RST) != 0 {
            let flow = self.flows.flow_mut(place);
            if tcp.flags & tcp_flag::FIN != 0 {
                flow.flags |= flag::LOW_FIN << end;
            }
            let both = flag::LOW_FIN | flag::HIGH_FIN;
            let closed = tcp.flags & tcp_flag::RST != 0 || flow.flags & both == both;
            if closed && !flow.has(flag::CLOSED) {
                flow.flags |= flag::CLOSED;
                let due = hop.at.as_millis() + LINGER_MS;
                self.flows.schedule(place, due);
            }
        }
    }

    fn tcp_client(&self, tcp: &Tcp<'_>) -> Client {
        match (
            tcp.flags & tcp_flag::SYN != 0,
            tcp.flags & tcp_flag::ACK != 0,
        ) {
            (true, false) => Client::Sender,
            (true, true) => Client::Receiver,
            _ => by_ports(tcp.source_port, tcp.destination_port, |port| {
                self.streams.knows_port(port)
            }),
        }
    }

    /// Says what the server serves and the client uses, once for each flow.
    fn tcp_service(&mut self, at: Timestamp, place: u32) {
        let flow = self.flows.flow(place);
        let port = flow.port(!flow.client_low());
        // Of a connection that was open before it was seen, only ports handed out by the system tell the client
        // (RFC 6335 section 6).
        let by_ports = !flow.has(flag::OPENING_SEEN)
            && port < EPHEMERAL
            && flow.port(flow.client_low()) >= EPHEMERAL;
        let known = flow.has(flag::ACCEPTED)
            || by_ports
            || flow.protocol < spoken::UNKNOWN
            || (flow.has(flag::OPENING_SEEN) && !flow.has(flag::CLOSED))
            || port < 1024
            || self.streams.knows_port(port);
        if known {
            self.service(at, place, true);
        }
    }

    fn service(&mut self, at: Timestamp, place: u32, served: bool) {
        let flow = self.flows.flow_mut(place);
        flow.flags |= flag::SERVICE_SAID;
        let client_low = flow.client_low();
        let (client, server) = (flow.party(client_low), flow.party(!client_low));
        let (transport, port) = (flow.transport(), flow.port(!client_low));
        let hour = at.as_secs().div_euclid(3600);
        let sides = [
            (client, Role::Uses, EvidenceKind::Uses),
            (server, Role::Serves, EvidenceKind::Serves),
        ];
        for (party, role, kind) in sides {
            if role == Role::Serves && !served {
                continue;
            }
            let hash = self.out.party(&party);
            let fact = self.keyed.mix2(
                hash,
                6 | (kind as u64) << 8,
                u64::from(flow.key.number()) << 16 | u64::from(port),
            );
            if !self.out.remembered.is_new(fact, at) {
                continue;
            }
            if self.services.count(hash, role, hour) {
                self.out
                    .evidence(at, &party, None, kind, format_args!("{transport}/{port}"));
            } else {
                self.out.counters.services_left_out += 1;
            }
        }
    }

    #[inline]
    pub(super) fn udp(&mut self, hop: &Hop, payload: &Payload<'_>) {
        let Some(udp) = header::udp(payload.octets) else {
            self.out.counters.malformed.count(Parser::Udp);
            return;
        };
        let ports = (udp.source_port, udp.destination_port);
        let (place, low) = self.touch(hop, payload, ports, |core| {
            if is_group(payload.destination, hop.destination) {
                return Client::Sender;
            }
            let knows = |port: u16| core.ports[usize::from(port)] != 0;
            match by_ports(ports.0, ports.1, knows) {
                // The first datagram of a flow is the request, unless its ports say otherwise.
                Client::SenderPerhaps => Client::Sender,
                other => other,
            }
        });
        if !udp.payload.is_empty() {
            self.datagram(hop.at, place, low, udp.payload);
        }
        let flow = self.flows.flow(place);
        if !flow.has(flag::SERVICE_SAID) {
            let to_group = flow.has(flag::TO_GROUP);
            let port = flow.port(!flow.client_low());
            let known = port < EPHEMERAL || flow.protocol < spoken::UNKNOWN;
            if (to_group || flow.answered()) && known {
                self.service(hop.at, place, !to_group);
            }
        }
        if let Some(port) = tunnel::port(udp.source_port, udp.destination_port)
            && let Some(inner) = tunnel::udp(port, udp.payload)
        {
            self.tunnelled(hop, inner);
        }
    }

    fn datagram(&mut self, at: Timestamp, place: u32, low: bool, payload: &[u8]) {
        let flow = self.flows.flow_mut(place);
        let decided = DATAGRAMS.get(usize::from(flow.protocol));
        if let Some(protocol) = decided {
            if flow.tries < protocol.depth {
                flow.tries = flow
                    .tries
                    .saturating_add(u16::from(protocol.depth < u16::MAX));
                self.dissect(at, place, low, protocol, payload);
            }
            return;
        }
        if flow.protocol != spoken::UNDECIDED {
            return;
        }
        let scene = scene(at, flow, low);
        flow.tries += 1;
        if flow.tries >= ATTEMPTS {
            flow.protocol = spoken::UNKNOWN;
        }
        let first = [scene.server_port, scene.client_port]
            .map(|port| usize::from(self.ports[usize::from(port)]).wrapping_sub(1));
        for row in first {
            if let Some(protocol) = DATAGRAMS.get(row)
                && self.dissect(at, place, low, protocol, payload)
            {
                self.decide(place, row);
                return;
            }
        }
        for (row, protocol) in DATAGRAMS.iter().enumerate() {
            if !first.contains(&row)
                && protocol
                    .recognise
                    .is_some_and(|recognise| recognise(&scene, payload))
                && self.dissect(at, place, low, protocol, payload)
            {
                self.decide(place, row);
                return;
            }
        }
    }

    fn dissect(
        &mut self,
        at: Timestamp,
        place: u32,
        low: bool,
        protocol: &DatagramProtocol,
        payload: &[u8],
    ) -> bool {
        let flow = self.flows.flow_mut(place);
        let scene = scene(at, flow, low);
        let mut findings = Findings {
            scene,
            out: &mut self.out,
            notes: &mut flow.notes,
        };
        let known = (protocol.dissect)(&scene, payload, &mut findings);
        if std::mem::take(&mut flow.notes.asks) {
            flow.asked_by(low);
        }
        known
    }

    fn decide(&mut self, place: u32, row: usize) {
        let protocol = &DATAGRAMS[row];
        let flow = self.flows.flow_mut(place);
        flow.protocol = row as u8;
        flow.tries = 1;
        flow.notes.service.get_or_insert(protocol.service);
        if flow.notes.protection == Protection::Unknown {
            flow.notes.protection = protocol.protection;
        }
    }

    pub(super) fn sctp(&mut self, hop: &Hop, payload: &Payload<'_>) {
        let Some(&[s0, s1, d0, d1]) = payload.octets.first_chunk::<4>() else {
            self.out.counters.transport_unknown += 1;
            return;
        };
        let ports = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        // The first chunk of an association is INIT (RFC 9260 section 3.3.2).
        let init = payload.octets.get(12) == Some(&1);
        self.touch(hop, payload, ports, |_| {
            if init {
                Client::Sender
            } else {
                by_ports(ports.0, ports.1, |_| false)
            }
        });
    }

    pub(super) fn icmp(&mut self, hop: &Hop, payload: &Payload<'_>) {
        let Some(kind) = payload.octets.first().copied() else {
            self.out.counters.malformed.count(Parser::Icmp);
            return;
        };
        if payload.protocol == protocol::ICMPV6 && self.housekeeping(hop, payload) {
            return;
        }
        // A reply belongs to its request.
        let (kind, client) = match (payload.protocol, kind) {
            (protocol::ICMP, 0) => (8, Client::ReceiverPerhaps),
            (protocol::ICMP, 14) => (13, Client::ReceiverPerhaps),
            (protocol::ICMPV6, 129) => (128, Client::ReceiverPerhaps),
            (_, kind) => (kind, Client::Sender),
        };
        let ports = (u16::from(kind), u16::from(kind));
        self.touch(hop, payload, ports, |_| client);
    }

    /// A protocol without ports.
    pub(super) fn portless(&mut self, hop: &Hop, payload: &Payload<'_>) {
        self.touch(hop, payload, (0, 0), |_| Client::Sender);
    }

    /// Counts a packet into its flow, which is made when it is new. Answers its place, and whether its lower end sent
    /// the packet.
    #[inline]
    fn touch(
        &mut self,
        hop: &Hop,
        payload: &Payload<'_>,
        ports: (u16, u16),
        client: impl FnOnce(&Self) -> Client,
    ) -> (u32, bool) {
        let (mut key, low) = Key::of(
            payload.source,
            payload.destination,
            ports,
            payload.protocol,
            hop.vlan,
        );
        if let (IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(mac)) = (payload.source, hop.source) {
            key.set_nameless(low, mac);
        }
        let hash = key.hash(&self.keyed);
        let now = hop.at.as_millis();
        let place = match self.flows.find(&key, hash) {
            Some(place) => {
                if self.flows.flow(place).has(flag::CLOSED) && is_new_opening(payload) {
                    self.wind_up(place);
                    let client = client(self);
                    self.flows.renew(place);
                    self.begin(hop, payload, place, low, client);
                }
                place
            }
            None => {
                let client = client(self);
                if self.flows.is_full() {
                    self.make_room();
                }
                let place = self.flows.insert(key, hash);
                self.begin(hop, payload, place, low, client);
                place
            }
        };
        let end = usize::from(!low);
        let flow = self.flows.flow_mut(place);
        if flow.packets == [0; 2] {
            flow.first = now;
        }
        flow.last = flow.last.max(now);
        flow.packets[end] = flow.packets[end].saturating_add(payload.packets);
        flow.bytes[end] += payload.bytes;
        let sent = flag::LOW_SENT << end;
        let same_mac = match hop.source {
            Some(mac) => flow.macs[end] == mac,
            None => true,
        };
        if !flow.has(sent) || !same_mac {
            self.sender_changed(hop, payload.source, place, end);
        }
        (place, low)
    }

    /// The first packet of one end, or one with another MAC address than before.
    fn sender_changed(&mut self, hop: &Hop, address: IpAddr, place: u32, end: usize) {
        let flow = self.flows.flow_mut(place);
        let sent = flag::LOW_SENT << end;
        if !flow.has(sent) {
            flow.flags |= sent;
            // What it sends from itself says more than where others sent to.
            if let Some(mac) = hop.source.filter(|mac| mac.is_unicast()) {
                flow.macs[end] = mac;
                flow.flags |= flag::LOW_MAC << end;
            }
        }
        self.presence(hop, address);
    }

    fn begin(&mut self, hop: &Hop, payload: &Payload<'_>, place: u32, low: bool, client: Client) {
        self.out.counters.flows += 1;
        let now = hop.at.as_millis();
        let flow = self.flows.flow_mut(place);
        flow.first = now;
        flow.last = now;
        let sender = matches!(client, Client::Sender | Client::SenderPerhaps);
        if sender == low {
            flow.flags |= flag::CLIENT_LOW;
        }
        if matches!(client, Client::Sender | Client::Receiver) {
            flow.flags |= flag::OPENING_SEEN;
        }
        if is_group(payload.destination, hop.destination) {
            flow.flags |= flag::TO_GROUP;
        }
        if let Some(mac) = hop.destination.filter(|mac| *mac != Mac([0; 6])) {
            let other = usize::from(low);
            flow.macs[other] = mac;
            flow.flags |= flag::LOW_MAC << other;
        }
        flow.notes.protection = protection_of(payload.protocol);
        self.flows.schedule(place, now + self.settle);
    }

    #[cold]
    fn make_room(&mut self) {
        if let Some(victim) = self.flows.victim() {
            self.out.counters.flows_evicted += 1;
            self.end_flow(victim);
        }
    }
}

/// Whether a packet opens a TCP connection.
fn is_new_opening(payload: &Payload<'_>) -> bool {
    payload.protocol == protocol::TCP
        && payload
            .octets
            .get(13)
            .is_some_and(|flags| flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN)
}

/// Who is the client, as far as ports say.
fn by_ports(source: u16, destination: u16, knows: impl Fn(u16) -> bool) -> Client {
    let rank = |port: u16| match port {
        port if knows(port) => 0,
        1..1024 => 1,
        1024..EPHEMERAL => 2,
        _ => 3,
    };
    match rank(source).cmp(&rank(destination)) {
        std::cmp::Ordering::Less => Client::ReceiverPerhaps,
        _ => Client::SenderPerhaps,
    }
}

/// Whether a packet goes to more than one.
fn is_group(address: IpAddr, mac: Option<Mac>) -> bool {
    let by_address = match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    // The broadcast address of a subnet shows by the frame.
    by_address || mac.is_some_and(Mac::is_group)
}

impl Flow {
    /// Whether it is likely over after a short silence: a few datagrams, or a connection never answered.
    pub(super) fn is_brief(&self) -> bool {
        match self.transport() {
            domain::net::Transport::Tcp => !self.answered(),
            _ => self.packets[0].saturating_add(self.packets[1]) <= 8,
        }
    }
}
