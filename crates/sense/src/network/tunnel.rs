//! Tunnels and mirrors: GRE (RFC 2784, 2890) with ERSPAN, VXLAN (RFC 7348), Geneve (RFC 8926), CAPWAP data (RFC 5415),
//! GTP-U (3GPP TS 29.281), TZSP.

use crate::cursor::Cursor;

/// UDP ports of tunnels (IANA; Linux's first VXLAN port; TaZmen Sniffer Protocol). Access points send CAPWAP data to
/// their controller's port and get them from it.
const PORTS: [u16; 6] = [4789, 8472, 6081, 37008, CAPWAP, GTP];

const CAPWAP: u16 = 5247;
const GTP: u16 = 2152;

/// The tunnel's port, if one of a datagram's ports is a tunnel's.
#[inline]
pub(crate) fn port(source: u16, destination: u16) -> Option<u16> {
    // Nearly every datagram has a lower and an ephemeral port.
    if PORTS.contains(&destination) {
        Some(destination)
    } else if matches!(source, CAPWAP | GTP) {
        Some(source)
    } else {
        None
    }
}

/// What is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// An IP packet.
    Ip(&'a [u8]),
    /// An Ethernet frame.
    Ethernet(&'a [u8]),
    /// An 802.11 frame.
    Ieee80211(&'a [u8]),
    /// An 802.11 frame whose first two octets stand in the other order, as Cisco's controllers write them.
    Ieee80211Swapped(&'a [u8]),
    /// Nothing that is read: control messages, other protocols.
    Nothing,
}

/// What a GRE packet carries; `None`: malformed.
pub(crate) fn gre(octets: &[u8]) -> Option<Inner<'_>> {
    let mut cursor = Cursor::new(octets);
    let (flags, protocol) = (cursor.be16()?, cursor.be16()?);
    let has = |bit: u16| flags & bit != 0;
    match flags & 7 {
        0 => {
            // Checksum or routing: checksum and offset; source routes (RFC 1701) are not followed.
            if has(0x8000) || has(0x4000) {
                cursor.skip(4)?;
            }
            if has(0x2000) {
                cursor.skip(4)?;
            }
            let sequence = has(0x1000);
            if sequence {
                cursor.skip(4)?;
            }
            if has(0x4000) {
                return Some(Inner::Nothing);
            }
            Some(match protocol {
                0x0800 | 0x86dd => Inner::Ip(cursor.rest()),
                0x6558 => Inner::Ethernet(cursor.rest()),
                // ERSPAN: type I has no header of its own and no sequence number, type II has eight octets.
                0x88be if !sequence => Inner::Ethernet(cursor.rest()),
                0x88be => {
                    cursor.skip(8)?;
                    Inner::Ethernet(cursor.rest())
                }
                // Type III: twelve octets; the last bit says that eight more follow.
                0x22eb => {
                    cursor.skip(8)?;
                    let last = cursor.be32()?;
                    if last & 1 != 0 {
                        cursor.skip(8)?;
                    }
                    Inner::Ethernet(cursor.rest())
                }
                _ => Inner::Nothing,
            })
        }
        // PPTP's version (RFC 2637): length and call, then PPP.
        1 if protocol == 0x880b => {
            cursor.skip(4)?;
            if has(0x1000) {
                cursor.skip(4)?;
            }
            if flags & 0x80 != 0 {
                cursor.skip(4)?;
            }
            let ppp = cursor.rest();
            let ppp = ppp.strip_prefix(&[0xff, 0x03]).unwrap_or(ppp);
            Some(match ppp {
                [0x21 | 0x57, ip @ ..] | [0, 0x21 | 0x57, ip @ ..] => Inner::Ip(ip),
                _ => Inner::Nothing,
            })
        }
        _ => Some(Inner::Nothing),
    }
}

/// What a UDP datagram to one of [`PORTS`] carries; `None`: not a tunnel after all.
pub(crate) fn udp(port: u16, octets: &[u8]) -> Option<Inner<'_>> {
    let mut cursor = Cursor::new(octets);
    match port {
        4789 | 8472 => {
            let (flags, _) = (cursor.be32()?, cursor.be32()?);
            // The identifier is valid, and the reserved bits of the first octet are zero.
            (flags >> 24 & 0xb7 == 0 && flags & 0x0800_0000 != 0).then_some(())?;
            Some(Inner::Ethernet(cursor.rest()))
        }
        6081 => {
            let (version, _, protocol, _) =
                (cursor.u8()?, cursor.u8()?, cursor.be16()?, cursor.be32()?);
            (version >> 6 == 0).then_some(())?;
            cursor.skip(usize::from(version & 0x3f) * 4)?;
            match protocol {
                0x6558 => Some(Inner::Ethernet(cursor.rest())),
                0x0800 | 0x86dd => Some(Inner::Ip(cursor.rest())),
                _ => None,
            }
        }
        CAPWAP => {
            // Preamble: version 0, clear. Header length in words, binding, and flags: native frame, fragment.
            let words = cursor.array::<4>()?;
            let head = u32::from_be_bytes(words);
            let length = (head >> 19 & 31) as usize * 4;
            let (native, fragment) = (head & 0x100 != 0, head & 0x80 != 0);
            (words[0] == 0 && length >= 8 && !fragment && head & 0x08 == 0).then_some(())?;
            cursor.skip(length - 4)?;
            let frame = cursor.rest();
            Some(match (native, frame) {
                (false, frame) => Inner::Ethernet(frame),
                // Type "data" in the second octet.
                (true, [first, second, ..]) if second & 0x0f == 8 && first & 0x0f != 8 => {
                    Inner::Ieee80211Swapped(frame)
                }
                (true, frame) => Inner::Ieee80211(frame),
            })
        }
        GTP => {
            let (flags, kind, length) = (cursor.u8()?, cursor.u8()?, usize::from(cursor.be16()?));
            cursor.skip(4)?;
            // Version 1, protocol GTP, a user's packet.
            (flags & 0xf0 == 0x30 && kind == 0xff && length <= cursor.len()).then_some(())?;
            if flags & 7 != 0 {
                cursor.skip(3)?;
                let mut next = cursor.u8()?;
                // Extension headers: length in words, content, next type.
                for _ in 0..4 {
                    if next == 0 {
                        break;
                    }
                    let words = usize::from(cursor.u8()?);
                    cursor.skip((words * 4).checked_sub(2)?)?;
                    next = cursor.u8()?;
                }
            }
            matches!(cursor.rest().first()? >> 4, 4 | 6).then_some(())?;
            Some(Inner::Ip(cursor.rest()))
        }
        37008 => {
            let (version, kind, protocol) = (cursor.u8()?, cursor.u8()?, cursor.be16()?);
            (version == 1 && kind <= 1).then_some(())?;
            // Tagged fields: 0 pads, 1 ends.
            for _ in 0..32 {
                match cursor.u8()? {
                    0 => {}
                    1 => {
                        return Some(match protocol {
                            1 => Inner::Ethernet(cursor.rest()),
                            18 => Inner::Ieee80211(cursor.rest()),
                            _ => Inner::Nothing,
                        });
                    }
                    _ => {
                        let length = usize::from(cursor.u8()?);
                        cursor.skip(length)?;
                    }
                }
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gre_fields_are_passed_by_their_flags() {
        assert_eq!(gre(&[0, 0, 8, 0, 0x45]), Some(Inner::Ip(&[0x45])));
        assert_eq!(
            gre(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0x45]),
            Some(Inner::Ip(&[0x45]))
        );
        assert_eq!(gre(&[0, 0, 0x88, 0xbe, 9]), Some(Inner::Ethernet(&[9])));
        let type_two = [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1][..], &[0; 8], &[9]].concat();
        assert_eq!(gre(&type_two), Some(Inner::Ethernet(&[9])));
        assert_eq!(gre(&[0x20, 0, 8, 0, 1]), None);
    }

    #[test]
    fn vxlan_needs_its_flag() {
        assert_eq!(
            udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0, 5]),
            Some(Inner::Ethernet(&[5]))
        );
        assert_eq!(udp(4789, &[0, 0, 0, 0, 0, 0, 1, 0, 5]), None);
        assert_eq!(
            udp(6081, &[1, 0, 8, 0, 0, 0, 0, 0, 7, 7, 7, 7, 0x45]),
            Some(Inner::Ip(&[0x45]))
        );
    }
}
