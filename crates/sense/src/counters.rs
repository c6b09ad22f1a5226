//! What a sensor saw and what it could not use.

use std::fmt;

use serde::Serialize;

/// Counts since a sensor was made. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Packets given.
    pub packets: u64,
    /// Octets of them on the wire.
    pub bytes: u64,
    /// Packets of which fewer octets were captured than were on the wire.
    pub truncated: u64,
    /// Frames of a link type that is not understood.
    pub link_unknown: u64,
    /// Frames whose network protocol is not understood (neither IP nor ARP nor a link protocol).
    pub network_unknown: u64,
    /// IP packets whose transport is not understood; they are counted as flows all the same.
    pub transport_unknown: u64,
    /// Wireless frames that are encrypted on the air.
    pub wireless_encrypted: u64,
    /// Headers that contradict themselves or end too early, by parser.
    pub malformed: Malformed,
    /// Flows seen.
    pub flows: u64,
    /// Flows that gave way because the table was full.
    pub flows_evicted: u64,
    /// Streams whose octets could not be kept because reassembly was full.
    pub reassembly_dropped: u64,
    /// Streams with octets missing in the capture.
    pub streams_with_gaps: u64,
    /// TCP octets that came a second time with another content; the first is kept.
    pub overlaps_differing: u64,
    /// IP datagrams whose fragments did not all arrive or found no room.
    pub fragments_dropped: u64,
    /// Values longer than an observation may hold, cut.
    pub values_cut: u64,
    /// Services of a party left out because it has too many.
    pub services_left_out: u64,
    /// Observations made.
    pub observations: u64,
    /// Flow reports made.
    pub reports: u64,
}

macro_rules! parsers {
    ($($(#[$meta:meta])* $name:ident => $text:literal,)*) => {
        /// A parser that counts what it could not read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Parser { $($(#[$meta])* $name,)* }

        impl Parser {
            /// Every parser.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        const PARSERS: usize = [$($text,)*].len();
    };
}

parsers! {
    /// Link layer headers.
    Link => "link",
    /// ARP (RFC 826).
    Arp => "arp",
    /// IPv4 (RFC 791).
    Ipv4 => "ipv4",
    /// IPv6 (RFC 8200).
    Ipv6 => "ipv6",
    /// TCP (RFC 9293).
    Tcp => "tcp",
    /// UDP (RFC 768).
    Udp => "udp",
    /// ICMP, ICMPv6, IGMP, MLD.
    Icmp => "icmp",
    /// Tunnels: GRE, VXLAN, Geneve.
    Tunnel => "tunnel",
    /// LLDP (IEEE 802.1AB).
    Lldp => "lldp",
    /// CDP (Cisco).
    Cdp => "cdp",
    /// DHCPv4 (RFC 2131).
    Dhcp => "dhcp",
    /// DHCPv6 (RFC 8415).
    Dhcp6 => "dhcp6",
    /// DNS, mDNS, LLMNR (RFC 1035, 6762, 4795).
    Dns => "dns",
    /// NetBIOS name and datagram service (RFC 1002).
    Netbios => "netbios",
    /// Simple Service Discovery Protocol (UPnP).
    Ssdp => "ssdp",
    /// WS-Discovery and SDC (SOAP over UDP and HTTP).
    Wsd => "wsd",
    /// SNMP (RFC 3416).
    Snmp => "snmp",
    /// NTP (RFC 5905).
    Ntp => "ntp",
    /// HTTP/1 (RFC 9112).
    Http => "http",
    /// TLS, DTLS, QUIC.
    Tls => "tls",
    /// SSH (RFC 4253).
    Ssh => "ssh",
    /// RDP (MS-RDPBCGR).
    Rdp => "rdp",
    /// SMB (MS-SMB, MS-SMB2) and NTLM (MS-NLMP).
    Smb => "smb",
    /// IPP (RFC 8010).
    Ipp => "ipp",
    /// RTSP, SIP and other protocols of text lines.
    Lines => "lines",
    /// MQTT.
    Mqtt => "mqtt",
    /// DICOM upper layer (PS3.8).
    Dicom => "dicom",
    /// HL7 v2 over MLLP.
    Hl7 => "hl7",
    /// FHIR over cleartext HTTP.
    Fhir => "fhir",
    /// BACnet/IP (ASHRAE 135 annex J).
    Bacnet => "bacnet",
    /// Modbus/TCP.
    Modbus => "modbus",
    /// Anything else.
    Other => "other",
}

/// Counts by parser.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Malformed([u64; PARSERS]);

impl Malformed {
    /// How often `parser` could not read what it was given.
    pub const fn of(&self, parser: Parser) -> u64 {
        self.0[parser as usize]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn count(&mut self, parser: Parser) {
        self.0[parser as usize] += 1;
    }
}

impl Default for Malformed {
    fn default() -> Self {
        Self([0; PARSERS])
    }
}

impl fmt::Debug for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                Parser::ALL
                    .iter()
                    .map(|parser| (parser.as_str(), self.of(*parser)))
                    .filter(|(_, count)| *count > 0),
            )
            .finish()
    }
}

impl Serialize for Malformed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            Parser::ALL
                .iter()
                .map(|parser| (parser.as_str(), self.of(*parser)))
                .filter(|(_, count)| *count > 0),
        )
    }
}

impl Counters {
    /// Adds the counts of another sensor, for several threads over one source.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.packets, other.packets),
            (&mut self.bytes, other.bytes),
            (&mut self.truncated, other.truncated),
            (&mut self.link_unknown, other.link_unknown),
            (&mut self.network_unknown, other.network_unknown),
            (&mut self.transport_unknown, other.transport_unknown),
            (&mut self.wireless_encrypted, other.wireless_encrypted),
            (&mut self.flows, other.flows),
            (&mut self.flows_evicted, other.flows_evicted),
            (&mut self.reassembly_dropped, other.reassembly_dropped),
            (&mut self.streams_with_gaps, other.streams_with_gaps),
            (&mut self.overlaps_differing, other.overlaps_differing),
            (&mut self.fragments_dropped, other.fragments_dropped),
            (&mut self.values_cut, other.values_cut),
            (&mut self.services_left_out, other.services_left_out),
            (&mut self.observations, other.observations),
            (&mut self.reports, other.reports),
        ] {
            *mine += others;
        }
        for (mine, others) in self.malformed.0.iter_mut().zip(other.malformed.0) {
            *mine += others;
        }
    }
}
