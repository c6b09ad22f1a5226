//! LLDP (IEEE 802.1AB-2016) and the inventory of LLDP-MED (ANSI/TIA-1057).

use std::net::IpAddr;

use domain::Timestamp;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind};

use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::findings::Outbox;
use crate::text::Printable;

/// Type-length-values of one frame that are read.
const VALUES_MAX: usize = 64;

/// Names of the capability bits (section 8.5.8.1), the lowest first.
const CAPABILITIES: [&str; 11] = [
    "other",
    "repeater",
    "bridge",
    "wlan-ap",
    "router",
    "telephone",
    "docsis",
    "station",
    "c-vlan",
    "s-vlan",
    "two-port-relay",
];

/// Takes what `speaker` says of itself.
pub(crate) fn frame(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) {
    if read(at, speaker, octets, out).is_none() {
        out.counters.malformed.count(Parser::Lldp);
    }
}

fn read(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) -> Option<()> {
    let mut cursor = Cursor::new(octets);
    let mut chassis = *speaker;
    for _ in 0..VALUES_MAX {
        if cursor.is_empty() {
            // The end marker may be cut off with the padding.
            return Some(());
        }
        let head = cursor.be16()?;
        let (kind, length) = (head >> 9, usize::from(head & 0x1ff));
        let value = cursor.take(length)?;
        match kind {
            0 => return Some(()),
            // Chassis: a MAC address names the device where the frame's own names a port.
            1 => {
                if let [4, mac @ ..] = value
                    && let Ok(mac) = <[u8; 6]>::try_from(mac)
                    && speaker.mac.is_none()
                    && Mac(mac).is_unicast()
                {
                    chassis.mac = Some(Mac(mac));
                }
            }
            5 => out.evidence(at, &chassis, None, EvidenceKind::LldpName, value),
            6 => out.evidence(at, &chassis, None, EvidenceKind::LldpDescription, value),
            7 => {
                let enabled = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]);
                capabilities(at, &chassis, enabled, out);
            }
            8 => management(at, &chassis, value, out),
            127 => inventory(at, &chassis, value, out),
            _ => {}
        }
    }
    Some(())
}

fn capabilities(at: Timestamp, speaker: &Party, enabled: u16, out: &mut Outbox) {
    let mut text = String::new();
    for (bit, name) in CAPABILITIES.iter().enumerate() {
        if enabled & 1 << bit != 0 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
        }
    }
    let kind = EvidenceKind::LldpCapabilities;
    out.evidence(at, speaker, None, kind, text.as_str());
}

/// A management address of the speaker itself (section 8.5.9).
fn management(at: Timestamp, speaker: &Party, value: &[u8], out: &mut Outbox) {
    let mut cursor = Cursor::new(value);
    let address = match (cursor.u8(), cursor.u8()) {
        (Some(5), Some(1)) => cursor.array::<4>().map(IpAddr::from),
        (Some(17), Some(2)) => cursor.array::<16>().map(IpAddr::from),
        _ => None,
    };
    let usable = |address: &IpAddr| {
        !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
    };
    if let Some(address) = address.filter(usable)
        && speaker.mac.is_some()
    {
        let party = Party {
            addr: Some(address),
            ..*speaker
        };
        out.address(at, &party, AddressSource::Table, None);
    }
}

/// Organisation 00-12-BB: LLDP-MED.
fn inventory(at: Timestamp, speaker: &Party, value: &[u8], out: &mut Outbox) {
    let [0x00, 0x12, 0xbb, subtype, text @ ..] = value else {
        return;
    };
    let name = match subtype {
        5 => "hardware",
        6 => "firmware",
        7 => "software",
        8 => "serial",
        9 => "manufacturer",
        10 => "model",
        11 => "asset",
        _ => return,
    };
    if text.iter().all(|octet| matches!(octet, 0 | b' ')) {
        return;
    }
    let kind = EvidenceKind::LldpInventory;
    out.evidence(
        at,
        speaker,
        None,
        kind,
        format_args!("{name}={}", Printable(text)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::{heard, outbox};

    fn value(kind: u16, value: &[u8]) -> Vec<u8> {
        let head = kind << 9 | value.len() as u16;
        [&head.to_be_bytes()[..], value].concat()
    }

    #[test]
    fn a_telephone_says_what_it_is() {
        let octets = [
            value(1, &[4, 2, 0, 0, 0, 0, 1]),
            value(2, &[3, 2, 0, 0, 0, 0, 1]),
            value(3, &[0, 120]),
            value(5, b"SEP001122334455"),
            value(7, &[0, 0x24, 0, 0x24]),
            value(127, b"\x00\x12\xbb\x09Acme\0"),
            value(127, b"\x00\x12\xbb\x0aPhone 7"),
            value(8, &[5, 1, 10, 0, 0, 9, 2, 0, 0, 0, 1, 0]),
            value(0, &[]),
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
                "lldp.name SEP001122334455",
                "lldp.capabilities bridge,telephone",
                "lldp.inventory manufacturer=Acme",
                "lldp.inventory model=Phone 7",
                "address 10.0.0.9",
            ]
        );
        assert_eq!(out.counters.malformed.total(), 0);
        frame(Timestamp::from_millis(1), &speaker, &octets[..20], &mut out);
        assert_eq!(out.counters.malformed.of(Parser::Lldp), 1);
    }
}
