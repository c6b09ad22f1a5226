//! Flows: who talks to whom, how much, and when to say so.

mod index;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::Timestamp;
use domain::conversation::{Flow as Report, Opening, Protection, Volume};
use domain::net::{Mac, Party, Transport};
use domain::observation::SourceId;

use crate::findings::Notes;
use crate::hash::Keyed;

pub(crate) use table::Table;

/// No place in a table.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Which packets belong together: both directions have one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    low: u128,
    high: u128,
    low_port: u16,
    high_port: u16,
    vlan: u16,
    protocol: u8,
    v6: bool,
}

impl Key {
    /// The key of a packet, and whether its sender is the lower of the two ends.
    #[inline]
    pub(crate) fn of(
        source: IpAddr,
        destination: IpAddr,
        ports: (u16, u16),
        protocol: u8,
        vlan: Option<u16>,
    ) -> (Self, bool) {
        let (from, to, v6) = match (source, destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (u128::from(from.to_bits()), u128::from(to.to_bits()), false)
            }
            (from, to) => (wide(from), wide(to), true),
        };
        let from_low = (from, ports.0) <= (to, ports.1);
        let ((low, low_port), (high, high_port)) = if from_low {
            ((from, ports.0), (to, ports.1))
        } else {
            ((to, ports.1), (from, ports.0))
        };
        let key = Self {
            low,
            high,
            low_port,
            high_port,
            vlan: vlan.unwrap_or(0),
            protocol,
            v6,
        };
        (key, from_low)
    }

    /// Tells senders apart that have no IPv4 address yet, as DHCP's clients have none: by their MAC address, which stands
    /// in the octets that an IPv4 address leaves free.
    pub(crate) fn set_nameless(&mut self, low: bool, mac: Mac) {
        let end = if low { &mut self.low } else { &mut self.high };
        *end |= mac
            .0
            .iter()
            .fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet))
            << 32;
    }

    #[inline]
    pub(crate) fn hash(&self, keyed: &Keyed) -> u64 {
        let small = u64::from(self.low_port)
            | u64::from(self.high_port) << 16
            | u64::from(self.vlan) << 32
            | u64::from(self.protocol) << 48
            | u64::from(self.v6) << 56;
        if self.v6 {
            let state = keyed.mix2(small, (self.low >> 64) as u64, self.low as u64);
            keyed.mix2(state, (self.high >> 64) as u64, self.high as u64)
        } else {
            keyed.mix(
                keyed.mix(0, (self.low as u64) << 32 | u64::from(self.high as u32)),
                small ^ (self.low >> 32) as u64 ^ (self.high >> 32) as u64,
            )
        }
    }

    fn address(&self, low: bool) -> IpAddr {
        let bits = if low { self.low } else { self.high };
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
        }
    }

    const fn port(&self, low: bool) -> u16 {
        if low { self.low_port } else { self.high_port }
    }

    /// The IP protocol number.
    pub(crate) const fn number(&self) -> u8 {
        self.protocol
    }

    const fn transport(&self) -> Transport {
        match self.protocol {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            132 => Transport::Sctp,
            1 | 58 => Transport::Icmp,
            other => Transport::Other(other),
        }
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// What is known of a flow's state, one bit each. `LOW` and `HIGH` are its two ends.
pub(crate) mod flag {
    /// The lower end is the client.
    pub(crate) const CLIENT_LOW: u16 = 1;
    /// It was reported before.
    pub(crate) const REPORTED: u16 = 1 << 1;
    /// The opening was captured.
    pub(crate) const OPENING_SEEN: u16 = 1 << 2;
    /// The lower end sent packets; the higher end's bit follows.
    pub(crate) const LOW_SENT: u16 = 1 << 3;
    pub(crate) const HIGH_SENT: u16 = 1 << 4;
    /// The lower end's MAC is known; the higher end's bit follows.
    pub(crate) const LOW_MAC: u16 = 1 << 5;
    pub(crate) const HIGH_MAC: u16 = 1 << 6;
    /// TCP: where the octets of the lower end begin is known; the higher end's bit follows.
    pub(crate) const LOW_SYNCED: u16 = 1 << 7;
    pub(crate) const HIGH_SYNCED: u16 = 1 << 8;
    /// TCP: the lower end sent FIN; the higher end's bit follows.
    pub(crate) const LOW_FIN: u16 = 1 << 9;
    pub(crate) const HIGH_FIN: u16 = 1 << 10;
    /// TCP: closed by both, or reset.
    pub(crate) const CLOSED: u16 = 1 << 11;
    /// Served and used service were said.
    pub(crate) const SERVICE_SAID: u16 = 1 << 12;
    /// It goes to a group: no answer is expected from its address.
    pub(crate) const TO_GROUP: u16 = 1 << 13;
    /// TCP: a SYN-ACK was captured.
    pub(crate) const ACCEPTED: u16 = 1 << 14;
    /// One end asked the other, and is the client by that.
    pub(crate) const ASKED: u16 = 1 << 15;
}

/// Which protocol a flow speaks, as far as dispatch knows.
pub(crate) mod spoken {
    /// Not decided: more payload is needed.
    pub(crate) const UNDECIDED: u8 = 0xff;
    /// None that we know.
    pub(crate) const UNKNOWN: u8 = 0xfe;
}

/// A flow in the table.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: Key,
    /// Newest packet, in ms.
    pub(crate) last: i64,
    /// Octets from the lower and the higher end since the last report.
    pub(crate) bytes: [u64; 2],
    /// Packets from the lower and the higher end since the last report.
    pub(crate) packets: [u32; 2],
    pub(crate) flags: u16,
    /// Row in the dispatch table, or one of [`spoken`].
    pub(crate) protocol: u8,
    /// Datagrams dissected, or attempts to recognise a stream in its middle.
    pub(crate) tries: u16,
    /// Where its stream is, if its octets are of interest.
    pub(crate) stream: u32,
    /// TCP: sequence number of the first octet of the lower and of the higher end, once `SYNCED`.
    pub(crate) starts: [u32; 2],
    /// First packet since the last report, in ms.
    pub(crate) first: i64,
    pub(crate) macs: [Mac; 2],
    pub(crate) notes: Notes,
    // Owned by the table.
    hash: u32,
    next: u32,
    previous: u32,
    bucket: u16,
}

impl Flow {
    /// One end asks the other. Between equal ports nothing else tells who is the client; who asked first stays it.
    pub(crate) fn asked_by(&mut self, low: bool) {
        let equal = self.key.low_port == self.key.high_port;
        if !equal || self.has(flag::ASKED) || self.has(flag::TO_GROUP) {
            return;
        }
        self.flags |= flag::ASKED;
        if low {
            self.flags |= flag::CLIENT_LOW;
        } else {
            self.flags &= !flag::CLIENT_LOW;
        }
    }

    fn empty() -> Self {
        Self {
            key: Key::default(),
            last: 0,
            bytes: [0; 2],
            packets: [0; 2],
            flags: 0,
            protocol: spoken::UNDECIDED,
            tries: 0,
            stream: NOWHERE,
            starts: [0; 2],
            first: 0,
            macs: [Mac([0; 6]); 2],
            notes: Notes::default(),
            hash: 0,
            next: NOWHERE,
            previous: NOWHERE,
            bucket: table::NO_BUCKET,
        }
    }

    #[inline]
    pub(crate) const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether the lower end is the client.
    #[inline]
    pub(crate) const fn client_low(&self) -> bool {
        self.has(flag::CLIENT_LOW)
    }

    /// One end as a party.
    pub(crate) fn party(&self, low: bool) -> Party {
        let (end, known) = if low {
            (0, flag::LOW_MAC)
        } else {
            (1, flag::HIGH_MAC)
        };
        Party {
            mac: self.has(known).then_some(self.macs[end]),
            addr: Some(self.key.address(low)).filter(|address| !address.is_unspecified()),
            vlan: (self.key.vlan != 0).then_some(self.key.vlan),
        }
    }

    pub(crate) const fn port(&self, low: bool) -> u16 {
        self.key.port(low)
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.key.transport()
    }

    /// Both ends sent packets.
    pub(crate) const fn answered(&self) -> bool {
        self.flags & (flag::LOW_SENT | flag::HIGH_SENT) == flag::LOW_SENT | flag::HIGH_SENT
    }

    /// Turns client and server round.
    pub(crate) const fn reverse(&mut self) {
        self.flags ^= flag::CLIENT_LOW;
    }

    pub(crate) const fn opening(&self) -> Opening {
        if self.has(flag::OPENING_SEEN) {
            Opening::Seen
        } else {
            Opening::Guessed
        }
    }

    /// Whether anything happened since the last report.
    pub(crate) const fn has_news(&self) -> bool {
        self.packets[0] > 0 || self.packets[1] > 0
    }

    /// What was added since the last report; counting starts again.
    pub(crate) fn report(&mut self, source: SourceId) -> Report {
        let client_low = self.client_low();
        let volume = |end: usize| Volume {
            packets: u64::from(self.packets[end]),
            bytes: self.bytes[end],
        };
        let (sent, received) = if client_low {
            (volume(0), volume(1))
        } else {
            (volume(1), volume(0))
        };
        let has_ports = matches!(self.key.protocol, 6 | 17 | 132);
        let server_port = self.port(!client_low);
        let client_port = self.port(client_low);
        let report = Report {
            source,
            first: Timestamp::from_millis(self.first),
            last: Timestamp::from_millis(self.last),
            client: self.party(client_low),
            server: self.party(!client_low),
            transport: self.transport(),
            // ICMP: both ports of the key are the message type.
            port: server_port,
            client_port: if has_ports { client_port } else { 0 },
            opening: self.opening(),
            begins: !self.has(flag::REPORTED),
            service: self.notes.service.map(smol_str::SmolStr::new_static),
            protection: self.notes.protection,
            meanings: std::mem::take(&mut self.notes.meanings),
            server_name: self.notes.server_name.clone(),
            sent,
            received,
        };
        self.flags |= flag::REPORTED;
        self.packets = [0; 2];
        self.bytes = [0; 2];
        self.first = self.last;
        report
    }

    /// Forgets what was found in it, for a new flow in its place.
    fn clear(&mut self) {
        let Self {
            hash,
            next,
            previous,
            bucket,
            ..
        } = *self;
        *self = Self {
            hash,
            next,
            previous,
            bucket,
            ..Self::empty()
        };
    }
}

/// Whether a protocol of this number is unreadable by its nature: ESP (RFC 4303).
pub(crate) const fn protection_of(protocol: u8) -> Protection {
    match protocol {
        50 => Protection::Encrypted,
        _ => Protection::Unknown,
    }
}
