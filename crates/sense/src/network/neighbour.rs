//! Neighbour discovery (RFC 4861), joins of multicast groups: IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::net::Mac;

use crate::cursor::Cursor;

/// Records of one membership report that are read.
const RECORDS_MAX: usize = 32;

/// Options of one message that are read.
const OPTIONS_MAX: usize = 16;

/// An address and the MAC that says it holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) address: Ipv6Addr,
    pub(crate) mac: Mac,
}

/// Whether an ICMPv6 type is housekeeping of the link rather than a conversation.
pub(crate) const fn is_housekeeping(kind: u8) -> bool {
    matches!(kind, 130..=137 | 143 | 151..=153)
}

/// The binding that an ICMPv6 message announces: solicitations name their sender, advertisements their target.
pub(crate) fn binding(source: Ipv6Addr, message: &[u8]) -> Option<Binding> {
    let mut cursor = Cursor::new(message);
    let (kind, code) = (cursor.u8()?, cursor.u8()?);
    cursor.skip(2)?;
    if code != 0 {
        return None;
    }
    let (address, wanted) = match kind {
        // Router solicitation, router advertisement, neighbour solicitation: source link-layer address.
        133 => {
            cursor.skip(4)?;
            (source, 1)
        }
        134 => {
            cursor.skip(12)?;
            (source, 1)
        }
        135 => {
            cursor.skip(20)?;
            (source, 1)
        }
        // Neighbour advertisement: target link-layer address.
        136 => {
            cursor.skip(4)?;
            (Ipv6Addr::from(cursor.array::<16>()?), 2)
        }
        _ => return None,
    };
    option(&mut cursor, wanted).and_then(|mac| usable(address, mac))
}

fn usable(address: Ipv6Addr, mac: Mac) -> Option<Binding> {
    let usable = !address.is_unspecified() && !address.is_multicast() && mac.is_unicast();
    usable.then_some(Binding { address, mac })
}

fn option(cursor: &mut Cursor<'_>, wanted: u8) -> Option<Mac> {
    for _ in 0..OPTIONS_MAX {
        let (kind, units) = (cursor.u8()?, cursor.u8()?);
        let octets = cursor.take((usize::from(units) * 8).checked_sub(2)?)?;
        if kind == wanted {
            return octets.first_chunk().copied().map(Mac);
        }
    }
    None
}

/// Gives `say` each group that an IGMP message joins; false: malformed.
pub(crate) fn igmp(message: &[u8], say: &mut dyn FnMut(IpAddr)) -> bool {
    let mut cursor = Cursor::new(message);
    let mut read = || {
        let kind = cursor.u8()?;
        cursor.skip(3)?;
        match kind {
            0x12 | 0x16 => say_v4(Ipv4Addr::from(cursor.array::<4>()?), say),
            0x22 => {
                cursor.skip(2)?;
                let records = usize::from(cursor.be16()?);
                for _ in 0..records.min(RECORDS_MAX) {
                    let (kind, words, sources) = (cursor.u8()?, cursor.u8()?, cursor.be16()?);
                    let group = Ipv4Addr::from(cursor.array::<4>()?);
                    cursor.skip(usize::from(sources) * 4 + usize::from(words) * 4)?;
                    if joins(kind, sources) {
                        say_v4(group, say);
                    }
                }
            }
            _ => {}
        }
        Some(())
    };
    read().is_some()
}

/// Gives `say` each group that an MLD message joins; false: malformed.
pub(crate) fn mld(message: &[u8], say: &mut dyn FnMut(IpAddr)) -> bool {
    let mut cursor = Cursor::new(message);
    let mut read = || {
        let kind = cursor.u8()?;
        cursor.skip(3)?;
        match kind {
            131 => {
                cursor.skip(4)?;
                say_v6(Ipv6Addr::from(cursor.array::<16>()?), say);
            }
            143 => {
                cursor.skip(2)?;
                let records = usize::from(cursor.be16()?);
                for _ in 0..records.min(RECORDS_MAX) {
                    let (kind, words, sources) = (cursor.u8()?, cursor.u8()?, cursor.be16()?);
                    let group = Ipv6Addr::from(cursor.array::<16>()?);
                    cursor.skip(usize::from(sources) * 16 + usize::from(words) * 4)?;
                    if joins(kind, sources) {
                        say_v6(group, say);
                    }
                }
            }
            _ => {}
        }
        Some(())
    };
    read().is_some()
}

/// Whether a record (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12) says that the group is listened to.
const fn joins(kind: u8, sources: u16) -> bool {
    match kind {
        // Include these sources: none of them is a leave.
        1 | 3 | 5 => sources > 0,
        // Exclude these sources.
        2 | 4 => true,
        _ => false,
    }
}

fn say_v4(group: Ipv4Addr, say: &mut dyn FnMut(IpAddr)) {
    if group.is_multicast() {
        say(IpAddr::V4(group));
    }
}

fn say_v6(group: Ipv6Addr, say: &mut dyn FnMut(IpAddr)) {
    // Solicited-node groups say no more than the address does.
    let solicited_node =
        group.segments()[..6] == [0xff02, 0, 0, 0, 0, 1] && group.octets()[12] == 0xff;
    if group.is_multicast() && !solicited_node {
        say(IpAddr::V6(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn link_address(kind: u8) -> Vec<u8> {
        let mut option = vec![kind, 1];
        option.extend_from_slice(&MAC.0);
        option
    }

    #[test]
    fn solicitations_name_the_sender_and_advertisements_the_target() {
        let sender = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let target = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let message = |kind: u8, between: &[u8], option: u8| {
            [&[kind, 0, 0, 0][..], between, &link_address(option)].concat()
        };
        let solicitation = [&[0; 4][..], &target.octets()].concat();
        assert_eq!(
            binding(sender, &message(135, &solicitation, 1)),
            Some(Binding {
                address: sender,
                mac: MAC
            })
        );
        assert_eq!(
            binding(sender, &message(136, &solicitation, 2)),
            Some(Binding {
                address: target,
                mac: MAC
            })
        );
        assert_eq!(
            binding(sender, &message(134, &[0; 12], 1)),
            Some(Binding {
                address: sender,
                mac: MAC
            })
        );
        assert_eq!(
            binding(sender, &message(133, &[0; 4], 1)),
            Some(Binding {
                address: sender,
                mac: MAC
            })
        );
        assert_eq!(
            binding(Ipv6Addr::UNSPECIFIED, &message(135, &solicitation, 1)),
            None
        );
    }

    fn groups(read: fn(&[u8], &mut dyn FnMut(IpAddr)) -> bool, message: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        assert!(read(message, &mut |group| found.push(group.to_string())));
        found
    }

    #[test]
    fn joins_are_read_and_leaves_are_not() {
        let report = [
            0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 224, 0, 0, 251, 3, 0, 0, 0, 239, 255, 255, 250,
        ];
        assert_eq!(groups(igmp, &report), ["224.0.0.251"]);
        assert_eq!(groups(igmp, &[0x16, 0, 0, 0, 239, 1, 2, 3]), ["239.1.2.3"]);
        let mut report = vec![143, 0, 0, 0, 0, 0, 0, 2];
        for group in [
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
        ] {
            report.extend_from_slice(&[4, 0, 0, 0]);
            report.extend_from_slice(&group.octets());
        }
        assert_eq!(groups(mld, &report), ["ff02::fb"]);
        assert!(!mld(&report[..20], &mut |_| {}));
    }
}
