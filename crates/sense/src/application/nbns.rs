//! NetBIOS name service and datagram service (RFC 1001, RFC 1002).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::dns::Message;
use super::dns::name::Name;
use super::{DatagramProtocol, Findings, Scene};
use crate::counters::Parser;
use crate::cursor::Cursor;

/// Records of one message, and names of one status, that are read.
const RECORDS_MAX: usize = 16;
const NAMES_MAX: u8 = 32;

pub(crate) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "nbns",
    ports: &[137],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: names,
};

pub(crate) static DATAGRAMS: DatagramProtocol = DatagramProtocol {
    service: "nbdgm",
    ports: &[138],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: datagrams,
};

/// Fifteen letters, padded with blanks, and a suffix that says what kind of name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NetbiosName([u8; 16]);

impl NetbiosName {
    /// Each octet is two letters from `A` (RFC 1001 section 14.1).
    fn decode(label: &[u8]) -> Option<Self> {
        let label: &[u8; 32] = label.try_into().ok()?;
        let mut name = [0; 16];
        for (octet, pair) in name.iter_mut().zip(label.chunks_exact(2)) {
            let (high, low) = (pair[0].wrapping_sub(b'A'), pair[1].wrapping_sub(b'A'));
            if high > 15 || low > 15 {
                return None;
            }
            *octet = high << 4 | low;
        }
        Some(Self(name))
    }

    fn of(name: &Name) -> Option<Self> {
        Self::decode(name.labels().next()?)
    }

    const fn suffix(&self) -> u8 {
        self.0[15]
    }

    /// Whether the name can be a device's own: not the browsers' meeting place, not a wildcard, and printable.
    fn is_own(&self) -> bool {
        self.suffix() != 1
            && self.0[0] != b'*'
            && self.letters().next().is_some()
            && self.letters().all(|octet| octet >= b' ')
    }

    fn letters(&self) -> impl Iterator<Item = u8> {
        let end = self.0[..15]
            .iter()
            .rposition(|octet| !matches!(octet, b' ' | 0))
            .map_or(0, |last| last + 1);
        self.0[..end].iter().copied()
    }
}

impl fmt::Display for NetbiosName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.letters() {
            write!(f, "{}", char::from(octet))?;
        }
        write!(f, "<{:02x}>", self.suffix())
    }
}

/// Says that a name is the speaker's. Of group names only those with a suffix that shows it.
fn own(name: &NetbiosName, group: bool, findings: &mut Findings<'_>) {
    let tells = !group || matches!(name.suffix(), 0x1b..=0x1e);
    if name.is_own() && tells {
        findings.about_speaker(EvidenceKind::NbnsName, format_args!("{name}"));
    }
}

fn names(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(mut message) = Message::read(payload) else {
        return false;
    };
    let header = message.header;
    // Query, registration, release, wait, refresh (both its numbers), multi-homed registration.
    if !matches!(header.operation(), 0 | 5..=9 | 15) || header.questions > 1 {
        return false;
    }
    for _ in 0..header.questions {
        if message.question().is_none() {
            findings.malformed(Parser::Netbios);
            return true;
        }
    }
    for _ in 0..message.records().min(RECORDS_MAX) {
        let Some(record) = message.record() else {
            findings.malformed(Parser::Netbios);
            return true;
        };
        let Some(name) = NetbiosName::of(&record.name) else {
            continue;
        };
        match record.kind {
            // NB: pairs of flags and address; an answer may name another than the speaker.
            0x20 => {
                let mut cursor = Cursor::new(record.data);
                while let (Some(flags), Some(address)) = (cursor.be16(), cursor.array::<4>()) {
                    let address = Some(IpAddr::V4(Ipv4Addr::from(address)));
                    let registers = !header.is_response();
                    if registers || address == scene.speaker().addr {
                        own(&name, flags & 0x8000 != 0, findings);
                    }
                }
            }
            // NBSTAT: all its names.
            0x21 => {
                let mut cursor = Cursor::new(record.data);
                let count = cursor.u8().unwrap_or(0);
                for _ in 0..count.min(NAMES_MAX) {
                    let (Some(name), Some(flags)) = (cursor.array::<16>(), cursor.be16()) else {
                        findings.malformed(Parser::Netbios);
                        break;
                    };
                    own(&NetbiosName(name), flags & 0x8000 != 0, findings);
                }
            }
            _ => {}
        }
    }
    true
}

/// The datagram service (RFC 1002 section 4.4): the source name is the speaker's.
fn datagrams(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let mut cursor = Cursor::new(payload);
    let mut read = || {
        let kind = cursor.u8()?;
        cursor.skip(3)?;
        let address = Ipv4Addr::from(cursor.array::<4>()?);
        cursor.skip(2)?;
        // Direct unique, direct group, broadcast.
        if !matches!(kind, 0x10..=0x12) {
            return None;
        }
        cursor.skip(4)?;
        let length = cursor.u8()?;
        let name = cursor.take(usize::from(length))?;
        Some((address, NetbiosName::decode(name)?))
    };
    match read() {
        Some((address, name)) => {
            if scene.speaker().addr == Some(IpAddr::V4(address)) {
                own(&name, false, findings);
            }
            true
        }
        // Errors and queries of the service.
        None => matches!(payload.first(), Some(0x13..=0x16)),
    }
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{datagram, scene};

    fn encoded(name: &str, suffix: u8) -> Vec<u8> {
        let mut octets = [b' '; 16];
        octets[..name.len()].copy_from_slice(name.as_bytes());
        octets[15] = suffix;
        octets
            .iter()
            .flat_map(|octet| [b'A' + (octet >> 4), b'A' + (octet & 15)])
            .collect()
    }

    #[test]
    fn a_registration_names_the_speaker() {
        let name = [&[32][..], &encoded("PACS01", 0x20), &[0]].concat();
        let octets = [
            &[0, 1, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1][..],
            &name,
            &[
                0, 0x20, 0, 1, 0xc0, 12, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6, 0, 0,
            ],
            &[10, 0, 0, 1],
        ]
        .concat();
        let (recognised, heard, _) = datagram(names, &scene(Transport::Udp, 137), &octets);
        assert!(recognised);
        assert_eq!(heard, ["nbns.name PACS01<20>"]);
    }

    #[test]
    fn a_status_lists_names_without_plain_groups() {
        let mut data = vec![3];
        for (name, suffix, flags) in [
            ("WS07", 0, 4_u16),
            ("WARD", 0, 0x8400),
            ("WARD", 0x1e, 0x8400),
        ] {
            let mut padded = [b' '; 16];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            padded[15] = suffix;
            data.extend_from_slice(&padded);
            data.extend_from_slice(&flags.to_be_bytes());
        }
        let octets = [
            &[0, 1, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 32][..],
            &encoded("*", 0),
            &[0, 0, 0x21, 0, 1, 0, 0, 0, 0],
            &(data.len() as u16).to_be_bytes(),
            &data,
        ]
        .concat();
        let (_, heard, _) = datagram(names, &scene(Transport::Udp, 137), &octets);
        assert_eq!(heard, ["nbns.name WS07<00>", "nbns.name WARD<1e>"]);
    }

    #[test]
    fn a_datagram_names_its_source() {
        let octets = [
            &[0x11, 2, 0, 1, 10, 0, 0, 1, 0, 138, 0, 0, 0, 0, 32][..],
            &encoded("NURSE-STATION", 0),
            &[0],
        ]
        .concat();
        let (recognised, heard, _) = datagram(datagrams, &scene(Transport::Udp, 138), &octets);
        assert!(recognised);
        assert_eq!(heard, ["nbns.name NURSE-STATION<00>"]);
    }
}
