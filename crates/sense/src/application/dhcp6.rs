//! DHCPv6 (RFC 8415).

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use domain::conversation::Protection;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind};

use super::dhcp::{Labels, Numbers};
use super::{DatagramProtocol, Findings, Scene};
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::{Hex, Printable};

/// Options of one message, and of one option within it, that are read.
const OPTIONS_MAX: usize = 64;

/// Relays round a message (RFC 8415 section 7.6 stops at 8).
const RELAYS_MAX: usize = 8;

pub(crate) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "dhcpv6",
    ports: &[546, 547],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect,
};

fn options(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut cursor = Cursor::new(octets);
    std::iter::from_fn(move || {
        let (code, length) = (cursor.be16()?, usize::from(cursor.be16()?));
        Some((code, cursor.take(length)?))
    })
    .take(OPTIONS_MAX)
}

fn dissect(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let mut message = payload;
    let mut behind_relay = None;
    // A relay's message: hops, link address, peer address, options; the client's message is one of them.
    for _ in 0..RELAYS_MAX {
        let [12 | 13, rest @ ..] = message else {
            break;
        };
        let Some(peer) = rest
            .get(17..33)
            .and_then(|peer| <[u8; 16]>::try_from(peer).ok())
        else {
            findings.malformed(Parser::Dhcp6);
            return false;
        };
        let mut party = Party {
            mac: None,
            addr: Some(IpAddr::V6(Ipv6Addr::from(peer))),
            vlan: None,
        };
        let mut inner = None;
        for (code, value) in options(&rest[33..]) {
            match (code, value) {
                (9, value) => inner = Some(value),
                // The client's link-layer address (RFC 6939).
                (79, [0, 1, mac @ ..]) => party.mac = mac.first_chunk().map(|mac| Mac(*mac)),
                _ => {}
            }
        }
        behind_relay = Some(party);
        match inner {
            Some(inner) => message = inner,
            None => return true,
        }
    }
    let [kind @ 1..=36, _, _, _, rest @ ..] = message else {
        return false;
    };
    match kind {
        1 | 3..=6 | 8 | 9 | 11 => {
            let client = behind_relay.unwrap_or_else(|| scene.speaker());
            ask(*kind, rest, &client, findings);
        }
        2 | 7 | 10 => {
            if behind_relay.is_none() {
                findings.about_speaker(EvidenceKind::DhcpServer, "v6");
            }
            if *kind == 7 {
                let client = behind_relay.unwrap_or_else(|| scene.listener());
                grant(scene, rest, &client, findings);
            }
        }
        _ => {}
    }
    true
}

fn ask(kind: u8, octets: &[u8], client: &Party, findings: &mut Findings<'_>) {
    for (code, value) in options(octets) {
        match code {
            1 => findings.about(client, EvidenceKind::Dhcp6Duid, Hex(value)),
            6 => {
                let codes = value
                    .chunks_exact(2)
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                let numbers = Numbers(codes);
                findings.about(
                    client,
                    EvidenceKind::Dhcp6Parameters,
                    format_args!("{numbers}"),
                );
            }
            16 => vendor_class(value, client, findings),
            39 => {
                if let [_, name @ ..] = value {
                    let kind = EvidenceKind::Dhcp6Fqdn;
                    findings.about(client, kind, format_args!("{}", Labels(name)));
                }
            }
            // Release and decline.
            3 | 4 if matches!(kind, 8 | 9) => {
                for address in addresses(code, value) {
                    let party = Party {
                        addr: Some(IpAddr::V6(address.0)),
                        ..*client
                    };
                    findings.released(&party);
                }
            }
            _ => {}
        }
    }
}

/// Enterprise number, then texts with their lengths in front.
fn vendor_class(value: &[u8], client: &Party, findings: &mut Findings<'_>) {
    let mut cursor = Cursor::new(value);
    let Some(enterprise) = cursor.be32() else {
        findings.malformed(Parser::Dhcp6);
        return;
    };
    let kind = EvidenceKind::Dhcp6VendorClass;
    let length = cursor.be16().unwrap_or(0);
    let text = Printable(cursor.take_up_to(usize::from(length)));
    findings.about(client, kind, format_args!("{enterprise} {text}"));
}

/// Addresses of an identity association with their valid lifetimes in seconds (sections 21.4 to 21.6).
fn addresses(code: u16, value: &[u8]) -> impl Iterator<Item = (Ipv6Addr, u32)> {
    let fixed = if code == 3 { 12 } else { 4 };
    options(value.get(fixed..).unwrap_or_default()).filter_map(|(code, value)| {
        let mut cursor = Cursor::new(value);
        let address = Ipv6Addr::from(cursor.array::<16>()?);
        cursor.skip(4)?;
        let valid = cursor.be32()?;
        let usable = code == 5 && !address.is_unspecified() && !address.is_multicast();
        usable.then_some((address, valid))
    })
}

fn grant(scene: &Scene, octets: &[u8], client: &Party, findings: &mut Findings<'_>) {
    for (code, value) in options(octets) {
        if !matches!(code, 3 | 4) {
            continue;
        }
        for (address, valid) in addresses(code, value) {
            let holder = Party {
                addr: Some(IpAddr::V6(address)),
                ..*client
            };
            if holder.mac.is_none_or(|mac| !mac.is_unicast()) || valid == 0 {
                continue;
            }
            let until =
                (valid != u32::MAX).then(|| scene.at.plus(Duration::from_secs(u64::from(valid))));
            findings.address(&holder, AddressSource::Dhcp, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{datagram, scene};

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let length = value.len() as u16;
        [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    }

    #[test]
    fn a_solicitation_says_who_asks() {
        let mut octets = vec![1, 0, 0, 1];
        octets.extend(option(1, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]));
        octets.extend(option(39, b"\x00\x05pump7\x04ward\x00"));
        octets.extend(option(16, b"\x00\x00\x01\x37\x00\x08MSFT 5.0"));
        octets.extend(option(6, &[0, 24, 0, 23]));
        let (recognised, heard, _) = datagram(dissect, &scene(Transport::Udp, 547), &octets);
        assert!(recognised);
        assert_eq!(
            heard,
            [
                "dhcp6.duid 00030001020000000001",
                "dhcp6.fqdn pump7.ward",
                "dhcp6.vendor_class 311 MSFT 5.0",
                "dhcp6.parameters 24,23",
            ]
        );
    }

    #[test]
    fn a_reply_binds_the_address_to_the_client() {
        let address = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[9],
            &[0, 0, 0, 60, 0, 0, 0, 120],
        ]
        .concat();
        let association = [vec![0; 12], option(5, &address)].concat();
        let octets = [vec![7, 0, 0, 1], option(3, &association)].concat();
        let mut scene = scene(Transport::Udp, 547);
        scene.to_server = false;
        let (_, heard, _) = datagram(dissect, &scene, &octets);
        assert_eq!(heard, ["@2 dhcp.server v6", "address 2001:db8::9"]);
    }

    #[test]
    fn a_relayed_message_is_the_clients() {
        let peer = [&[0xfe, 0x80][..], &[0; 13], &[5]].concat();
        let inner = [vec![1, 0, 0, 1], option(6, &[0, 23])].concat();
        let octets = [
            vec![12, 0],
            vec![0; 16],
            peer,
            option(79, &[0, 1, 2, 0, 0, 0, 0, 7]),
            option(9, &inner),
        ]
        .concat();
        let (_, heard, _) = datagram(dissect, &scene(Transport::Udp, 547), &octets);
        assert_eq!(heard, ["dhcp6.parameters 23"]);
    }
}
