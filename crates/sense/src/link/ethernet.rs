//! Ethernet II, IEEE 802.3 with LLC and SNAP (802.2), VLAN tags (802.1Q, 802.1ad), PPPoE (RFC 2516), MPLS (RFC 3032).

use domain::net::Mac;

use super::{Carries, Frame, ppp};
use crate::cursor::Cursor;

/// Tags within tags that are followed.
const TAGS_MAX: usize = 4;

/// MPLS labels that are followed.
const LABELS_MAX: usize = 8;

/// Ethertypes (IEEE registration authority).
pub(super) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
}

/// An Ethernet frame.
#[inline]
pub(super) fn frame(octets: &[u8]) -> Option<Frame<'_>> {
    let (header, payload) = octets.split_first_chunk::<14>()?;
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = header;
    let mut frame = Frame {
        source: Some(Mac([s0, s1, s2, s3, s4, s5])),
        destination: Some(Mac([d0, d1, d2, d3, d4, d5])),
        vlan: None,
        carries: Carries::Ip,
        payload,
    };
    match u16::from_be_bytes([t0, t1]) {
        ethertype::IPV4 | ethertype::IPV6 => {}
        other => {
            let carried = typed(other, payload)?;
            frame.vlan = carried.vlan;
            frame.carries = carried.carries;
            frame.payload = carried.payload;
        }
    }
    Some(frame)
}

/// What follows a type or length field. The answer has no addresses.
pub(super) fn typed(mut kind: u16, payload: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(payload);
    let mut vlan = None;
    for _ in 0..=TAGS_MAX {
        let carries = match kind {
            ethertype::IPV4 | ethertype::IPV6 => Carries::Ip,
            ethertype::ARP => Carries::Arp,
            // 802.1Q, 802.1ad, and the numbers in use before that.
            ethertype::VLAN | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                let tag = cursor.be16()? & 0x0fff;
                // 0 is a priority tag, 4095 is reserved.
                if vlan.is_none() && (1..4095).contains(&tag) {
                    vlan = Some(tag);
                }
                kind = cursor.be16()?;
                continue;
            }
            // Cisco metadata in front of the frame's own type.
            0x8909 => {
                let length = usize::from(*cursor.rest().get(1)?);
                cursor.skip(length.checked_mul(2)?.max(6))?;
                kind = cursor.be16()?;
                continue;
            }
            0x88cc => Carries::Lldp,
            0x8892 => Carries::Profinet,
            0x8847 | 0x8848 => {
                let inner = mpls(cursor.rest())?;
                return Some(Frame { vlan, ..inner });
            }
            0x8864 => {
                let inner = ppp::pppoe(cursor.rest())?;
                return Some(Frame { vlan, ..inner });
            }
            // Transparent Ethernet bridging.
            0x6558 => Carries::Ethernet,
            // PPPoE discovery, EAPOL, pause, slow protocols (LACP), MACsec, loopback test, PTP, link OAM, AVB.
            0x8863 | 0x888e | 0x8808 | 0x8809 | 0x88e5 | 0x9000 | 0x88f7 | 0x8902 | 0x22f0 => {
                Carries::Nothing
            }
            length if length <= 1500 => {
                let captured = cursor.len();
                let inner = cursor.take_up_to(usize::from(length).min(captured));
                let mut frame = llc(inner)?;
                frame.vlan = vlan;
                return Some(frame);
            }
            _ => Carries::Unknown,
        };
        let mut frame = Frame::bare(carries, cursor.rest());
        frame.vlan = vlan;
        return Some(frame);
    }
    Some(Frame::bare(Carries::Unknown, cursor.rest()))
}

/// Logical link control (IEEE 802.2).
pub(super) fn llc(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    let (destination, source, control) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
    match (destination, source, control) {
        (0xaa | 0xab, 0xaa | 0xab, 3) => {
            let (organisation, kind) = (cursor.be24()?, cursor.be16()?);
            match (organisation, kind) {
                (0x00_00_0c, 0x2000) => Some(Frame::bare(Carries::Cdp, cursor.rest())),
                // Cisco's spanning tree, VTP, DTP, UDLD, PAgP.
                (0x00_00_0c, _) => Some(Frame::bare(Carries::Nothing, cursor.rest())),
                (0 | 0x00_00_f8, kind) if kind > 1500 => typed(kind, cursor.rest()),
                _ => Some(Frame::bare(Carries::Unknown, cursor.rest())),
            }
        }
        (0x06, 0x06, 3) => Some(Frame::bare(Carries::Ip, cursor.rest())),
        // Spanning tree.
        (0x42, 0x42, 3) => Some(Frame::bare(Carries::Nothing, cursor.rest())),
        // The null address: link tests.
        (0, _, _) | (_, 0, _) => Some(Frame::bare(Carries::Nothing, cursor.rest())),
        _ => Some(Frame::bare(Carries::Unknown, cursor.rest())),
    }
}

/// MPLS labels, then what the first four bits say.
fn mpls(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    for _ in 0..LABELS_MAX {
        let label = cursor.be32()?;
        if label & 0x100 == 0 {
            continue;
        }
        let first = *cursor.rest().first()?;
        return Some(match first >> 4 {
            4 | 6 => Frame::bare(Carries::Ip, cursor.rest()),
            // A control word (RFC 4385), then an Ethernet frame.
            0 => {
                cursor.skip(4)?;
                Frame::bare(Carries::Ethernet, cursor.rest())
            }
            _ => Frame::bare(Carries::Ethernet, cursor.rest()),
        });
    }
    Some(Frame::bare(Carries::Unknown, cursor.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &[u8], payload: &[u8]) -> Frame<'static> {
        let mut octets = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        octets.extend_from_slice(kind);
        octets.extend_from_slice(payload);
        frame(Box::leak(octets.into_boxed_slice())).expect("a frame")
    }

    #[test]
    fn the_outermost_vlan_counts() {
        let frame = read(&[0x88, 0xa8, 0x20, 0x64, 0x81, 0, 0, 7, 8, 0], &[0x45, 1]);
        assert_eq!(frame.vlan, Some(100));
        assert_eq!(
            (frame.carries, frame.payload),
            (Carries::Ip, [0x45, 1].as_slice())
        );
    }

    #[test]
    fn a_priority_tag_is_no_vlan() {
        let frame = read(&[0x81, 0, 0xe0, 0, 8, 6], &[]);
        assert_eq!((frame.vlan, frame.carries), (None, Carries::Arp));
    }

    #[test]
    fn a_length_leads_to_llc_and_cuts_the_padding() {
        let frame = read(
            &[0, 10],
            &[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 1, 2, 9, 9, 9],
        );
        assert_eq!(
            (frame.carries, frame.payload),
            (Carries::Cdp, [1, 2].as_slice())
        );
        assert_eq!(read(&[0, 3], &[0x42, 0x42, 3]).carries, Carries::Nothing);
    }

    #[test]
    fn labels_end_at_the_bottom_of_the_stack() {
        let frame = read(&[0x88, 0x47], &[0, 1, 0, 64, 0, 1, 1, 64, 0x60, 9]);
        assert_eq!(
            (frame.carries, frame.payload),
            (Carries::Ip, [0x60, 9].as_slice())
        );
    }

    #[test]
    fn tags_without_end_are_not_followed() {
        let endless = [0x81, 0, 0, 1].repeat(40);
        assert_eq!(read(&[], &endless).carries, Carries::Unknown);
    }
}
