//! Headers of IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::counters::Parser;
use crate::cursor::Cursor;

/// Extension headers that are followed.
const EXTENSIONS_MAX: usize = 8;

/// IP protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const SCTP: u8 = 132;
}

/// A fragment of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) identification: u32,
    /// Where its payload belongs, in octets.
    pub(crate) offset: u32,
    /// Others follow.
    pub(crate) more: bool,
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Protocol of the payload, behind extension headers.
    pub(crate) protocol: u8,
    /// Time to live, hop limit.
    pub(crate) hops: u8,
    /// Octets of the whole packet on the wire, header included.
    pub(crate) length: usize,
    /// What was captured of the payload, without padding of the frame.
    pub(crate) payload: &'a [u8],
    /// The payload on the wire.
    pub(crate) payload_length: usize,
    pub(crate) fragment: Option<Fragment>,
}

/// Reads an IP packet of either version; `frame_length` is what was on the wire behind the link header.
#[inline]
pub(crate) fn read(octets: &[u8], frame_length: usize) -> Result<Packet<'_>, Parser> {
    match octets.first().map(|first| first >> 4) {
        Some(4) => v4(octets, frame_length).ok_or(Parser::Ipv4),
        Some(6) => v6(octets, frame_length).ok_or(Parser::Ipv6),
        _ => Err(Parser::Ipv4),
    }
}

#[inline]
fn v4(octets: &[u8], frame_length: usize) -> Option<Packet<'_>> {
    let header = octets.first_chunk::<20>()?;
    let header_length = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Segmentation offload leaves the length 0: then the frame says it.
    let length = if total == 0 { frame_length } else { total };
    if header_length < 20 || length < header_length || octets.len() < header_length {
        return None;
    }
    let payload = &octets[header_length..length.min(octets.len())];
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let fragment = (flags & 0x3fff != 0).then(|| Fragment {
        identification: u32::from(u16::from_be_bytes([header[4], header[5]])),
        offset: u32::from(flags & 0x1fff) * 8,
        more: flags & 0x2000 != 0,
    });
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    Some(Packet {
        source: IpAddr::V4(source),
        destination: IpAddr::V4(destination),
        protocol: header[9],
        hops: header[8],
        length,
        payload,
        payload_length: length - header_length,
        fragment,
    })
}

fn v6(octets: &[u8], frame_length: usize) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(octets);
    cursor.skip(4)?;
    let announced = usize::from(cursor.be16()?);
    let (mut next, hops) = (cursor.u8()?, cursor.u8()?);
    let source = Ipv6Addr::from(cursor.array::<16>()?);
    let destination = Ipv6Addr::from(cursor.array::<16>()?);
    // 0: a jumbogram or segmentation offload.
    let mut payload_length = if announced == 0 {
        frame_length.saturating_sub(40)
    } else {
        announced
    };
    let length = payload_length + 40;
    let captured = cursor.take_up_to(payload_length);
    let mut cursor = Cursor::new(captured);
    let mut fragment = None;
    for _ in 0..EXTENSIONS_MAX {
        let before = cursor.len();
        match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => {
                let (following, words) = (cursor.u8()?, cursor.u8()?);
                cursor.skip(usize::from(words) * 8 + 6)?;
                next = following;
            }
            44 => {
                let (following, _) = (cursor.u8()?, cursor.u8()?);
                let place = cursor.be16()?;
                let identification = cursor.be32()?;
                next = following;
                // An atomic fragment (RFC 6946) is whole.
                if place & 0xfff9 != 0 {
                    fragment = Some(Fragment {
                        identification,
                        offset: u32::from(place & 0xfff8),
                        more: place & 1 != 0,
                    });
                }
            }
            // Authentication: what follows is readable.
            51 => {
                let (following, words) = (cursor.u8()?, cursor.u8()?);
                cursor.skip(usize::from(words) * 4 + 6)?;
                next = following;
            }
            _ => break,
        }
        payload_length = payload_length.checked_sub(before - cursor.len())?;
        if fragment.is_some_and(|fragment| fragment.offset > 0) {
            break;
        }
    }
    Some(Packet {
        source: IpAddr::V6(source),
        destination: IpAddr::V6(destination),
        protocol: next,
        hops,
        length,
        payload: cursor.rest(),
        payload_length,
        fragment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_of_the_frame_is_no_payload() {
        let mut octets = vec![
            0x45, 0, 0, 22, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        octets.extend_from_slice(&[1, 2, 0, 0, 0, 0]);
        let packet = read(&octets, octets.len()).expect("a packet");
        assert_eq!(packet.payload, [1, 2]);
        assert_eq!(
            (packet.protocol, packet.length, packet.fragment),
            (17, 22, None)
        );
    }

    #[test]
    fn extension_headers_are_passed() {
        let mut octets = vec![0x60, 0, 0, 0, 0, 18, 0, 1];
        octets.extend_from_slice(&[0; 32]);
        octets.extend_from_slice(&[44, 0, 0, 0, 0, 0, 0, 0]);
        octets.extend_from_slice(&[58, 0, 0x01, 0x01, 0, 0, 0, 9]);
        octets.extend_from_slice(&[143, 0]);
        let packet = read(&octets, octets.len()).expect("a packet");
        assert_eq!(packet.protocol, 58);
        assert_eq!(packet.payload_length, 2);
        assert_eq!(
            packet.fragment,
            Some(Fragment {
                identification: 9,
                offset: 256,
                more: true
            })
        );
        assert_eq!(read(&octets[..50], 50), Err(Parser::Ipv6));
    }

    #[test]
    fn a_header_longer_than_the_packet_is_malformed() {
        let mut octets = vec![0x4f, 0, 0, 22];
        octets.extend_from_slice(&[0; 30]);
        assert_eq!(read(&octets, octets.len()), Err(Parser::Ipv4));
    }
}
