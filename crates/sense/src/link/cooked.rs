//! Captures without the real link header: Linux cooked modes and BSD loopback.

use domain::net::Mac;

use super::ethernet::{ethertype, llc, typed};
use super::{Carries, Frame};
use crate::cursor::Cursor;

/// `ARPHRD_ETHER`, and `ARPHRD_LOOPBACK`, whose address is all zeroes.
const HARDWARE_ETHERNET: u16 = 1;

/// Linux cooked capture: packet type, hardware type, address length, address (8), protocol.
pub(super) fn sll(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    let (direction, hardware, length) = (cursor.be16()?, cursor.be16()?, cursor.be16()?);
    let address = cursor.array::<8>()?;
    let protocol = cursor.be16()?;
    cooked(
        direction,
        hardware,
        length,
        address,
        protocol,
        cursor.rest(),
    )
}

/// Linux cooked capture, version 2.
pub(super) fn sll2(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    let protocol = cursor.be16()?;
    cursor.skip(6)?;
    let (hardware, direction, length) = (cursor.be16()?, cursor.u8()?, cursor.u8()?);
    let address = cursor.array::<8>()?;
    cooked(
        u16::from(direction),
        hardware,
        u16::from(length),
        address,
        protocol,
        cursor.rest(),
    )
}

fn cooked(
    _direction: u16,
    hardware: u16,
    length: u16,
    address: [u8; 8],
    protocol: u16,
    payload: &[u8],
) -> Option<Frame<'_>> {
    let mut frame = match (hardware, protocol) {
        // A tunnel: what follows is IP whatever the protocol field says (ARPHRD_TUNNEL, TUNNEL6, SIT, IPGRE, NONE).
        (768 | 769 | 776 | 778 | 0xfffe, 0) => Frame::bare(Carries::Ip, payload),
        (_, 1 | 4) => llc(payload)?,
        (_, kind) => typed(kind, payload)?,
    };
    // The address is the sender's, whatever the direction.
    let [a, b, c, d, e, f, ..] = address;
    let mac = Mac([a, b, c, d, e, f]);
    if hardware == HARDWARE_ETHERNET && length == 6 && mac.is_unicast() {
        frame.source = Some(mac);
    }
    Some(frame)
}

/// BSD loopback: an address family in the byte order of whoever captured.
pub(super) fn loopback(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    let family = cursor.array::<4>()?;
    let number = match u32::from_le_bytes(family) {
        small @ 0..=0xffff => small,
        _ => u32::from_be_bytes(family),
    };
    let carries = match number {
        // AF_INET, and AF_INET6 of the BSDs, macOS, Linux, Windows.
        2 | 24 | 28 | 30 | 10 | 23 => Carries::Ip,
        kind if kind == u32::from(ethertype::IPV4) || kind == u32::from(ethertype::IPV6) => {
            Carries::Ip
        }
        _ => Carries::Unknown,
    };
    Some(Frame::bare(carries, cursor.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooked_headers_name_the_sender() {
        let mut octets = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0, 0x45];
        let frame = sll(&octets).expect("a frame");
        assert_eq!(frame.source, Some(Mac([2, 0, 0, 0, 0, 9])));
        assert_eq!(
            (frame.carries, frame.payload),
            (Carries::Ip, [0x45].as_slice())
        );
        octets = vec![8, 6, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 8, 0, 0];
        let frame = sll2(&octets).expect("a frame");
        assert_eq!(frame.source, Some(Mac([2, 0, 0, 0, 0, 8])));
        assert_eq!(frame.carries, Carries::Arp);
    }

    #[test]
    fn loopback_reads_either_byte_order() {
        for family in [[2, 0, 0, 0], [0, 0, 0, 2], [30, 0, 0, 0], [0, 0, 0, 24]] {
            assert_eq!(loopback(&family).map(|f| f.carries), Some(Carries::Ip));
        }
        assert_eq!(loopback(&[1, 2, 3]), None);
    }
}
