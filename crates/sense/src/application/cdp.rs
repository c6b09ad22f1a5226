//! Cisco Discovery Protocol, versions 1 and 2.

use std::net::IpAddr;

use domain::Timestamp;
use domain::net::Party;
use domain::observation::{AddressSource, EvidenceKind};

use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::findings::Outbox;

/// Type-length-values of one packet that are read.
const VALUES_MAX: usize = 64;

/// Addresses of one packet that are read.
const ADDRESSES_MAX: u32 = 8;

/// Names of the capability bits, the lowest first.
const CAPABILITIES: [&str; 10] = [
    "router",
    "transparent-bridge",
    "source-route-bridge",
    "switch",
    "host",
    "igmp",
    "repeater",
    "telephone",
    "remotely-managed",
    "cvta",
];

/// Takes what `speaker` says of itself.
pub(crate) fn frame(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) {
    if read(at, speaker, octets, out).is_none() {
        out.counters.malformed.count(Parser::Cdp);
    }
}

fn read(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) -> Option<()> {
    let mut cursor = Cursor::new(octets);
    // Version, time to live, checksum.
    let version = cursor.u8()?;
    cursor.skip(3)?;
    if !matches!(version, 1 | 2) {
        return None;
    }
    for _ in 0..VALUES_MAX {
        if cursor.is_empty() {
            return Some(());
        }
        let (kind, length) = (cursor.be16()?, usize::from(cursor.be16()?));
        let value = cursor.take(length.checked_sub(4)?)?;
        let text = match kind {
            1 => EvidenceKind::CdpName,
            5 => EvidenceKind::CdpVersion,
            6 => EvidenceKind::CdpPlatform,
            2 | 22 => {
                addresses(at, speaker, value, out);
                continue;
            }
            4 => {
                let bits = Cursor::new(value).be32()?;
                capabilities(at, speaker, bits, out);
                continue;
            }
            _ => continue,
        };
        out.evidence(at, speaker, None, text, value);
    }
    Some(())
}

fn capabilities(at: Timestamp, speaker: &Party, bits: u32, out: &mut Outbox) {
    let mut text = String::new();
    for (bit, name) in CAPABILITIES.iter().enumerate() {
        if bits & 1 << bit != 0 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
        }
    }
    out.evidence(
        at,
        speaker,
        None,
        EvidenceKind::CdpCapabilities,
        text.as_str(),
    );
}

/// Addresses: protocol type and its length, protocol, address length, address.
fn addresses(at: Timestamp, speaker: &Party, value: &[u8], out: &mut Outbox) {
    let mut cursor = Cursor::new(value);
    let mut read = || {
        let count = cursor.be32()?;
        for _ in 0..count.min(ADDRESSES_MAX) {
            cursor.skip(1)?;
            let length = usize::from(cursor.u8()?);
            let protocol = cursor.take(length)?;
            let length = usize::from(cursor.be16()?);
            let octets = cursor.take(length)?;
            let address = match (protocol, octets.len()) {
                ([0xcc], 4) => octets.first_chunk::<4>().map(|o| IpAddr::from(*o)),
                ([.., 0x86, 0xdd], 16) => octets.first_chunk::<16>().map(|o| IpAddr::from(*o)),
                _ => None,
            };
            if let Some(address) = address.filter(|a| !a.is_unspecified() && !a.is_multicast())
                && speaker.mac.is_some()
            {
                let party = Party {
                    addr: Some(address),
                    ..*speaker
                };
                out.address(at, &party, AddressSource::Table, None);
            }
        }
        Some(())
    };
    // An address list that is cut does not make the rest worthless.
    let _ = read();
}

#[cfg(test)]
mod tests {
    use domain::net::Mac;

    use super::*;
    use crate::application::testing::{heard, outbox};

    #[test]
    fn a_switch_says_what_it_is() {
        let value = |kind: u16, value: &[u8]| {
            let length = value.len() as u16 + 4;
            [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
        };
        let octets = [
            vec![2, 180, 0, 0],
            value(1, b"switch-3-west"),
            value(2, &[0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 10, 0, 0, 2]),
            value(4, &[0, 0, 0, 0x28]),
            value(5, b"Software 12.2\nbuild 4"),
            value(6, b"WS-C2950-12"),
        ]
        .concat();
        let mut out = outbox();
        let speaker = Party {
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            ..Party::default()
        };
        frame(Timestamp::from_millis(1), &speaker, &octets, &mut out);
        assert_eq!(
            heard(&out),
            [
                "cdp.name switch-3-west",
                "address 10.0.0.2",
                "cdp.capabilities switch,igmp",
                "cdp.version Software 12.2 build 4",
                "cdp.platform WS-C2950-12",
            ]
        );
        frame(
            Timestamp::from_millis(1),
            &speaker,
            &[2, 180, 0, 0, 0, 1, 0, 3],
            &mut out,
        );
        assert_eq!(out.counters.malformed.of(Parser::Cdp), 1);
    }
}
