//! Link layer: from a captured frame to its parties and its network packet.

mod cooked;
mod ethernet;
mod ppp;
mod wireless;

use domain::net::Mac;

/// How the frames of a capture begin (libpcap's link-layer header types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// BSD loopback: address family in the byte order of the machine (0 `NULL`, 108 `LOOP`).
    Loopback,
    /// Ethernet (1).
    Ethernet,
    /// PPP, with or without HDLC framing (9, 50).
    Ppp,
    /// PPP with a direction in front (204).
    PppWithDirection,
    /// Cisco HDLC (104).
    CiscoHdlc,
    /// IP without a link header (12, 14, 101, 228, 229).
    RawIp,
    /// IEEE 802.11 (105).
    Ieee80211,
    /// Radiotap, then IEEE 802.11 (127).
    Radiotap,
    /// Prism monitor header, then IEEE 802.11 (119).
    Prism,
    /// AVS monitor header, then IEEE 802.11 (163).
    Avs,
    /// Per-packet information, then what it says (192).
    Ppi,
    /// Linux "cooked" capture (113).
    LinuxSll,
    /// Linux "cooked" capture, version 2 (276).
    LinuxSll2,
    /// PPPoE session (51).
    PppoeSession,
    /// Anything else, by its number; frames are counted, not read.
    Other(u32),
}

impl LinkType {
    /// The link type of libpcap's `LINKTYPE_` number (the upper half of the word, which may carry an FCS length, is
    /// ignored).
    pub const fn from_number(number: u32) -> Self {
        match number & 0xffff {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            51 => Self::PppoeSession,
            104 => Self::CiscoHdlc,
            105 => Self::Ieee80211,
            113 => Self::LinuxSll,
            119 => Self::Prism,
            127 => Self::Radiotap,
            163 => Self::Avs,
            192 => Self::Ppi,
            204 => Self::PppWithDirection,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// IPv4 or IPv6; the first four bits say which.
    Ip,
    /// ARP (RFC 826).
    Arp,
    /// LLDP (IEEE 802.1AB).
    Lldp,
    /// CDP (Cisco).
    Cdp,
    /// PROFINET: discovery and process data.
    Profinet,
    /// A frame within the frame, without its check sequence.
    Ethernet,
    /// Something known that says nothing about devices: spanning tree, EAPOL, pause, management frames.
    Nothing,
    /// A protocol that is not known.
    Unknown,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) source: Option<Mac>,
    pub(crate) destination: Option<Mac>,
    /// Outermost VLAN.
    pub(crate) vlan: Option<u16>,
    pub(crate) carries: Carries,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame without addresses.
    const fn bare(carries: Carries, payload: &'a [u8]) -> Self {
        Self {
            source: None,
            destination: None,
            vlan: None,
            carries,
            payload,
        }
    }
}

/// Why a frame was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It ends within its header.
    Malformed,
    /// Its link type is not known.
    LinkType,
    /// It is encrypted on the air.
    Encrypted,
}

/// Reads an 802.11 header whose frame control field is in network order.
pub(crate) fn swapped_wireless(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    wireless::swapped(octets)
}

/// Reads a frame's header.
#[inline]
pub(crate) fn frame(link: LinkType, octets: &[u8]) -> Result<Frame<'_>, Unread> {
    match link {
        LinkType::Ethernet => ethernet::frame(octets).ok_or(Unread::Malformed),
        other => uncommon(other, octets),
    }
}

fn uncommon(link: LinkType, octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let read = match link {
        LinkType::Ethernet => ethernet::frame(octets),
        LinkType::RawIp => Some(Frame::bare(Carries::Ip, octets)),
        LinkType::Loopback => cooked::loopback(octets),
        LinkType::LinuxSll => cooked::sll(octets),
        LinkType::LinuxSll2 => cooked::sll2(octets),
        LinkType::Ppp => ppp::frame(octets),
        LinkType::PppWithDirection => octets.get(1..).and_then(ppp::frame),
        LinkType::PppoeSession => ppp::pppoe(octets),
        LinkType::CiscoHdlc => ppp::cisco_hdlc(octets),
        LinkType::Ieee80211 => return wireless::frame(octets),
        LinkType::Radiotap => return wireless::radiotap(octets),
        LinkType::Prism | LinkType::Avs => return wireless::monitor(octets),
        LinkType::Ppi => return wireless::ppi(octets),
        LinkType::Other(_) => return Err(Unread::LinkType),
    };
    read.ok_or(Unread::Malformed)
}
