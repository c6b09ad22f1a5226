//! Which end of a flow record opened it, and what is told of it.

use std::collections::HashMap;
use std::net::IpAddr;

use domain::Timestamp;
use domain::conversation::{Flow, Opening, Protection, Volume};
use domain::net::{Party, Transport};

use super::field::Record;
use super::{SAME_FLOW, is_private};
use crate::records::emit::Emit;
use crate::records::party::is_host;

/// Flow keys in one generation.
pub(crate) const GENERATION: usize = 1 << 16;

/// The two ends in order of their addresses and ports, with the transport.
type Key = ((IpAddr, u16), (IpAddr, u16), u8);

#[derive(Clone, Copy, Debug)]
struct Remembered {
    /// Whether the first of the key's ends is the client.
    first_is_client: bool,
    last: Timestamp,
}

/// Seen of recent flows: two generations, of which the older is dropped when the younger is full.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    young: HashMap<Key, Remembered>,
    old: HashMap<Key, Remembered>,
}

impl Seen {
    /// Whether `a`, who sent this record, is the client, and whether the flow is new. `told` is what is known of it; an
    /// earlier record of the flow comes before a guess.
    #[expect(clippy::too_many_arguments, reason = "one flow key")]
    pub(crate) fn judge(
        &mut self,
        a: (IpAddr, u16),
        b: (IpAddr, u16),
        protocol: u8,
        at: Timestamp,
        last: Timestamp,
        told: Option<bool>,
        guess: impl FnOnce() -> bool,
    ) -> (bool, bool) {
        let a_is_first = a <= b;
        let key: Key = if a_is_first {
            (a, b, protocol)
        } else {
            (b, a, protocol)
        };
        let before = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        let before = before.filter(|before| at.since(before.last) <= SAME_FLOW);
        let a_is_client = told
            .or_else(|| before.map(|before| before.first_is_client == a_is_first))
            .unwrap_or_else(guess);
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let remembered = Remembered {
            first_is_client: a_is_client == a_is_first,
            last: before.map_or(last, |before| before.last.max(last)),
        };
        self.young.insert(key, remembered);
        (a_is_client, before.is_none())
    }
}

/// Tells a record as a flow; says whether it was one between two addresses.
pub(crate) fn tell(
    record: &Record,
    sampling: u64,
    at: Timestamp,
    directions: &mut Seen,
    emit: &mut Emit<'_>,
) -> bool {
    let (Some(source), Some(destination)) = (record.source, record.destination) else {
        return false;
    };
    let transport = transport(record.protocol.unwrap_or(255));
    let mut source_port = record.source_port;
    let mut destination_port = record.destination_port;
    if transport == Transport::Icmp {
        // Exporters put type and code of ICMP into the destination port.
        let kind = record
            .icmp_type
            .unwrap_or((record.destination_port >> 8) as u8);
        (source_port, destination_port) = (0, u16::from(kind));
    }
    let first = record.first.unwrap_or(at);
    let last = record.last.unwrap_or(at).max(first);

    let told = match (record.opened_by_source, record.opened_by_destination) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    let (source_is_client, begins) = directions.judge(
        (source, source_port),
        (destination, destination_port),
        record.protocol.unwrap_or(255),
        first,
        last,
        told,
        || guess(transport, destination, source_port, destination_port),
    );

    let volume = |packets: Option<u64>, octets: Option<u64>| Volume {
        packets: packets.unwrap_or(0).saturating_mul(sampling),
        bytes: octets.unwrap_or(0).saturating_mul(sampling),
    };
    let forth = volume(record.packets, record.octets);
    let back = volume(record.reverse_packets, record.reverse_octets);
    let from = Party {
        mac: record.source_mac,
        addr: Some(source),
        vlan: record.vlan,
    };
    let to = Party {
        mac: record.destination_mac,
        addr: Some(destination),
        vlan: record.vlan,
    };
    for (party, sent) in [(from, forth), (to, back)] {
        if sent.packets > 0
            && party
                .addr
                .is_some_and(|addr| is_host(addr) && is_private(addr))
        {
            emit.seen(last, party);
        }
    }
    let emitted = emit.emitter.context.source;
    let (client, server, port, client_port, sent, received) = if source_is_client {
        (from, to, destination_port, source_port, forth, back)
    } else {
        (to, from, source_port, destination_port, back, forth)
    };
    emit.flow(Flow {
        source: emitted,
        first,
        last,
        client,
        server,
        transport,
        port,
        client_port,
        opening: if told.is_some() {
            Opening::Told
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
    true
}

pub(crate) const fn transport(protocol: u8) -> Transport {
    match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        132 => Transport::Sctp,
        1 | 58 => Transport::Icmp,
        other => Transport::Other(other),
    }
}

/// Whether the source is the client, by what ports and addresses suggest.
pub(crate) fn guess(
    transport: Transport,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
) -> bool {
    if !matches!(transport, Transport::Tcp | Transport::Udp | Transport::Sctp)
        || !is_host(destination)
    {
        // A group is never the one who asks.
        return true;
    }
    standing(destination_port) >= standing(source_port)
}

/// How much a port looks like a server's: services that hospitals know, then system ports, then registered ports, then
/// ports that systems hand out (RFC 6335, 6; Linux hands out from 32768).
fn standing(port: u16) -> u8 {
    match port {
        0 => 0,
        104 | 2575 | 2761 | 2762 | 11112 | 4242 | 8042 | 24005 | 24105 | 47808 | 502 | 1883
        | 8883 | 3389 | 1433 | 1521 | 3306 | 5432 | 5060 | 5061 | 8080 | 8443 | 9100 | 5353
        | 1900 | 3702 | 5355 => 4,
        1..=1023 => 3,
        1024..=32767 => 2,
        32768.. => 1,
    }
}
