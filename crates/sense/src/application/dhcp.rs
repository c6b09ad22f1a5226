//! DHCPv4 (RFC 2131, options RFC 2132): who asks in which words, who answers, which address is whose until when.
//!
//! The order of options is the client's handwriting, so it is kept.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use domain::conversation::Protection;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind};

use super::{DatagramProtocol, Findings, Scene};
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::{Hex, Printable};

/// Options of one message that are read.
const OPTIONS_MAX: usize = 128;

const COOKIE: [u8; 4] = [99, 130, 83, 99];

pub(crate) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "dhcp",
    ports: &[67, 68, 4011],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect,
};

/// A message.
struct Message<'a> {
    reply: bool,
    /// Client's own, offered, and relay's address.
    held: Ipv4Addr,
    offered: Ipv4Addr,
    relay: Ipv4Addr,
    hardware: Option<Mac>,
    options: &'a [u8],
    /// The fields for names, which may hold options as well (option 52).
    file: &'a [u8],
    name: &'a [u8],
}

fn read(payload: &[u8]) -> Option<Message<'_>> {
    let mut cursor = Cursor::new(payload);
    let (operation, hardware, length) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
    cursor.skip(9)?;
    let held = Ipv4Addr::from(cursor.array::<4>()?);
    let offered = Ipv4Addr::from(cursor.array::<4>()?);
    cursor.skip(4)?;
    let relay = Ipv4Addr::from(cursor.array::<4>()?);
    let address = cursor.array::<16>()?;
    let (name, file) = (cursor.take(64)?, cursor.take(128)?);
    let cookie = cursor.array::<4>()?;
    if !matches!(operation, 1 | 2) || cookie != COOKIE {
        return None;
    }
    let [a, b, c, d, e, f, ..] = address;
    let mac = Mac([a, b, c, d, e, f]);
    // Ethernet, IEEE 802, and 0 where a client does not say.
    let is_mac = matches!((hardware, length), (0 | 1 | 6, 6)) && mac.is_unicast();
    Some(Message {
        reply: operation == 2,
        held,
        offered,
        relay,
        hardware: is_mac.then_some(mac),
        options: cursor.rest(),
        file,
        name,
    })
}

/// Options in the order in which they stand, padding left out.
#[derive(Clone)]
struct Options<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Options<'a> {
    const fn new(octets: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(octets),
            left: OPTIONS_MAX,
        }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.cursor.u8()? {
                0 => {}
                255 => return None,
                code => {
                    self.left = self.left.checked_sub(1)?;
                    let length = usize::from(self.cursor.u8()?);
                    return Some((code, self.cursor.take(length)?));
                }
            }
        }
    }
}

/// The type of message and the codes of its options.
struct Handwriting<'a>(u8, Options<'a>);

impl fmt::Display for Handwriting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "discover",
            2 => "offer",
            3 => "request",
            4 => "decline",
            5 => "ack",
            6 => "nak",
            7 => "release",
            8 => "inform",
            0 => "bootp",
            _ => "other",
        })?;
        for (place, (code, _)) in self.1.clone().enumerate() {
            write!(f, "{}{code}", if place == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// Numbers with commas between them.
pub(super) struct Numbers<I>(pub(super) I);

impl<I: Iterator<Item: fmt::Display> + Clone> fmt::Display for Numbers<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.0.clone().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            write!(f, "{number}")?;
        }
        Ok(())
    }
}

/// What the options say that is used.
#[derive(Default)]
struct Said {
    kind: u8,
    lease: Option<u32>,
    server: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    overload: u8,
}

fn dissect(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(message) = read(payload) else {
        return false;
    };
    let mut said = Said::default();
    scan(message.options, &mut said);
    if said.overload & 1 != 0 {
        scan(message.file, &mut said);
    }
    if said.overload & 2 != 0 {
        scan(message.name, &mut said);
    }
    let speaker = scene.speaker();
    let client = Party {
        mac: message
            .hardware
            .or(if message.reply { None } else { speaker.mac }),
        addr: Some(message.held)
            .filter(|address| !address.is_unspecified())
            .map(IpAddr::V4),
        vlan: speaker.vlan,
    };
    if message.reply {
        reply(scene, &message, &said, client, findings);
    } else {
        request(&message, &said, &client, findings);
    }
    true
}

fn scan(options: &[u8], said: &mut Said) {
    for (code, value) in Options::new(options) {
        match (code, value) {
            (53, [kind]) => said.kind = *kind,
            (1, value) => said.mask = value.first_chunk().map(|four| Ipv4Addr::from(*four)),
            (51, value) => said.lease = value.first_chunk().map(|four| u32::from_be_bytes(*four)),
            (52, [which]) => said.overload = *which,
            (54, value) => said.server = value.first_chunk().map(|four| Ipv4Addr::from(*four)),
            _ => {}
        }
    }
}

fn request(message: &Message<'_>, said: &Said, client: &Party, findings: &mut Findings<'_>) {
    if client.mac.is_none() && client.addr.is_none() {
        return;
    }
    let handwriting = Handwriting(said.kind, Options::new(message.options));
    findings.about(
        client,
        EvidenceKind::DhcpOptions,
        format_args!("{handwriting}"),
    );
    let mut options = message.options;
    for overloaded in [1_u8, 2, 0] {
        for (code, value) in Options::new(options) {
            about_client(client, code, value, findings);
        }
        options = match overloaded {
            1 if said.overload & 1 != 0 => message.file,
            2 if said.overload & 2 != 0 => message.name,
            _ => &[],
        };
    }
    if said.kind == 7 && client.addr.is_some() {
        findings.released(client);
    }
}

fn about_client(client: &Party, code: u8, value: &[u8], findings: &mut Findings<'_>) {
    match code {
        12 => findings.about(client, EvidenceKind::DhcpHostname, value),
        60 => findings.about(client, EvidenceKind::DhcpVendorClass, value),
        55 => {
            let numbers = Numbers(value.iter());
            findings.about(
                client,
                EvidenceKind::DhcpParameters,
                format_args!("{numbers}"),
            );
        }
        61 => findings.about(client, EvidenceKind::DhcpClientId, Hex(value)),
        77 => user_class(client, value, findings),
        81 => fqdn(client, value, findings),
        _ => {}
    }
}

/// RFC 3004: each class with its length in front; Windows and others write text without.
fn user_class(client: &Party, value: &[u8], findings: &mut Findings<'_>) {
    let mut cursor = Cursor::new(value);
    let mut whole = false;
    while let Some(length) = cursor.u8() {
        whole = length > 0 && cursor.skip(usize::from(length)).is_some();
        if !whole {
            break;
        }
    }
    let kind = EvidenceKind::DhcpUserClass;
    if !whole {
        findings.about(client, kind, value);
        return;
    }
    let mut cursor = Cursor::new(value);
    while let Some(length) = cursor.u8() {
        let class = cursor.take_up_to(usize::from(length));
        findings.about(client, kind, class);
    }
}

/// RFC 4702: flags, two octets of the past, then text or (flag E) a name in wire format.
fn fqdn(client: &Party, value: &[u8], findings: &mut Findings<'_>) {
    let [flags, _, _, name @ ..] = value else {
        findings.malformed(Parser::Dhcp);
        return;
    };
    let kind = EvidenceKind::DhcpFqdn;
    if flags & 4 == 0 {
        findings.about(client, kind, name);
    } else {
        findings.about(client, kind, format_args!("{}", Labels(name)));
    }
}

/// A name in the wire format of DNS without compression.
pub(super) struct Labels<'a>(pub(super) &'a [u8]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cursor = Cursor::new(self.0);
        let mut first = true;
        while let Some(length @ 1..=63) = cursor.u8() {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            write!(f, "{}", Printable(cursor.take_up_to(usize::from(length))))?;
        }
        Ok(())
    }
}

fn reply(
    scene: &Scene,
    message: &Message<'_>,
    said: &Said,
    client: Party,
    findings: &mut Findings<'_>,
) {
    let speaker = scene.speaker();
    // Behind a relay the server's identifier names it, not the frame.
    let server = match said.server {
        Some(server) if speaker.addr != Some(IpAddr::V4(server)) && !server.is_unspecified() => {
            Party {
                mac: None,
                addr: Some(IpAddr::V4(server)),
                vlan: None,
            }
        }
        _ => speaker,
    };
    let relayed =
        !message.relay.is_unspecified() && speaker.addr == Some(IpAddr::V4(message.relay));
    if !relayed || said.server.is_some() {
        findings.about(&server, EvidenceKind::DhcpServer, "v4");
    }
    if client.mac.is_none() {
        return;
    }
    for (code, value) in Options::new(message.options) {
        // The name that the server knows it by.
        if code == 12 {
            let known = Party {
                addr: None,
                ..client
            };
            findings.about(&known, EvidenceKind::DhcpHostname, value);
        }
    }
    let address = if message.offered.is_unspecified() {
        message.held
    } else {
        message.offered
    };
    if said.kind == 5 && !address.is_unspecified() {
        let holder = Party {
            addr: Some(IpAddr::V4(address)),
            ..client
        };
        // All ones: for ever.
        let until = said
            .lease
            .filter(|seconds| *seconds != u32::MAX)
            .map(|seconds| scene.at.plus(Duration::from_secs(u64::from(seconds))));
        findings.address(&holder, AddressSource::Dhcp, until);
        if let Some(network) = said.mask.and_then(|mask| Network::of(address, mask)) {
            findings.about(&holder, EvidenceKind::DhcpSubnet, format_args!("{network}"));
        }
    }
}

/// The network of an address, from its mask (RFC 2132 section 3.3).
struct Network {
    base: Ipv4Addr,
    length: u32,
}

impl Network {
    /// `None` where the mask has holes, or leaves no room for a neighbour (a point-to-point link) or nothing else.
    fn of(address: Ipv4Addr, mask: Ipv4Addr) -> Option<Self> {
        let bits = mask.to_bits();
        let length = bits.leading_ones();
        let whole = bits.checked_shl(length).unwrap_or(0) == 0;
        (whole && (1..=30).contains(&length)).then(|| Self {
            base: Ipv4Addr::from_bits(address.to_bits() & bits),
            length,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{datagram, scene};

    fn message(operation: u8, offered: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut octets = vec![operation, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        octets.extend_from_slice(&offered);
        octets.extend_from_slice(&[0; 8]);
        octets.extend_from_slice(&[2, 0, 0, 0, 0, 9]);
        octets.extend_from_slice(&[0; 10 + 192]);
        octets.extend_from_slice(&COOKIE);
        octets.extend_from_slice(options);
        octets
    }

    #[test]
    fn a_client_is_known_by_its_words_and_their_order() {
        let options = [
            &[53, 1, 1, 0, 61, 7, 1, 2, 0, 0, 0, 0, 9, 12, 5][..],
            b"pump7",
            &[60, 8],
            b"MSFT 5.0",
            &[55, 3, 1, 3, 6, 77, 5, 4],
            b"kios",
            &[81, 7, 4, 0, 0, 3],
            b"abc",
            &[255, 12, 1, b'x'],
        ]
        .concat();
        let (recognised, heard, _) = datagram(
            dissect,
            &scene(Transport::Udp, 67),
            &message(1, [0; 4], &options),
        );
        assert!(recognised);
        assert_eq!(
            heard,
            [
                "dhcp.options discover:53,61,12,60,55,77,81",
                "dhcp.client_id 01020000000009",
                "dhcp.hostname pump7",
                "dhcp.vendor_class MSFT 5.0",
                "dhcp.parameters 1,3,6",
                "dhcp.user_class kios",
                "dhcp.fqdn abc",
            ]
        );
    }

    #[test]
    fn an_acknowledgement_binds_the_address() {
        let options = [53, 1, 5, 51, 4, 0, 0, 0, 60, 54, 4, 10, 0, 0, 1, 255];
        let (_, heard, _) = datagram(
            dissect,
            &scene(Transport::Udp, 67),
            &message(2, [10, 0, 0, 77], &options),
        );
        assert_eq!(heard, ["dhcp.server v4", "address 10.0.0.77"]);
        let (_, heard, _) = datagram(
            dissect,
            &scene(Transport::Udp, 67),
            &message(2, [10, 0, 0, 77], &[53, 1, 2, 255]),
        );
        assert_eq!(heard, ["dhcp.server v4"], "an offer binds nothing");
    }

    #[test]
    fn an_acknowledgement_tells_the_network() {
        let network = |kind: u8, mask: [u8; 4]| {
            let options = [&[53, 1, kind, 1, 4][..], &mask, &[255]].concat();
            let (_, heard, _) = datagram(
                dissect,
                &scene(Transport::Udp, 67),
                &message(2, [10, 2, 3, 77], &options),
            );
            let told = heard
                .iter()
                .find_map(|said| said.strip_prefix("dhcp.subnet "));
            told.map(str::to_owned)
        };
        assert_eq!(
            network(5, [255, 255, 252, 0]).as_deref(),
            Some("10.2.0.0/22")
        );
        assert_eq!(
            network(5, [255, 255, 255, 0]).as_deref(),
            Some("10.2.3.0/24")
        );
        assert_eq!(network(2, [255, 255, 255, 0]), None, "only offered");
        assert_eq!(network(5, [255, 0, 255, 0]), None, "a mask with a hole");
        assert_eq!(network(5, [0; 4]), None, "half the world");
        assert_eq!(network(5, [255; 4]), None, "one host");
    }

    #[test]
    fn options_cut_short_are_taken_as_far_as_they_go() {
        let (recognised, heard, _) = datagram(
            dissect,
            &scene(Transport::Udp, 67),
            &message(1, [0; 4], &[53, 1, 3, 12, 200, b'x']),
        );
        assert!(recognised);
        assert_eq!(heard, ["dhcp.options request:53"]);
        assert!(!datagram(dissect, &scene(Transport::Udp, 67), b"not dhcp").0);
    }
}
