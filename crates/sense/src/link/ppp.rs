//! PPP (RFC 1661), PPPoE sessions (RFC 2516), Cisco HDLC.

use super::{Carries, Frame, ethernet};
use crate::cursor::Cursor;

/// PPP with or without the HDLC-like address and control octets (RFC 1662). Captures of a serial line under this link type
/// may be of Cisco HDLC instead: its address octet, unicast or broadcast, is no protocol of PPP with a control octet of 0.
pub(super) fn frame(octets: &[u8]) -> Option<Frame<'_>> {
    if let [0x0f | 0x8f, 0, ..] = octets {
        return cisco_hdlc(octets);
    }
    let octets = octets.strip_prefix(&[0xff, 0x03]).unwrap_or(octets);
    let mut cursor = Cursor::new(octets);
    let first = cursor.u8()?;
    // The upper octet of the protocol may be left out when it is zero (RFC 1661 section 6.5).
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        u16::from(first) << 8 | u16::from(cursor.u8()?)
    };
    let carries = match protocol {
        0x0021 | 0x0057 => Carries::Ip,
        0x0031 => Carries::Ethernet,
        // Control protocols.
        0x8000..=0xffff => Carries::Nothing,
        _ => Carries::Unknown,
    };
    Some(Frame::bare(carries, cursor.rest()))
}

/// A PPPoE session packet.
pub(super) fn pppoe(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    let (version, code, _session, length) =
        (cursor.u8()?, cursor.u8()?, cursor.be16()?, cursor.be16()?);
    if version != 0x11 || code != 0 {
        return Some(Frame::bare(Carries::Nothing, cursor.rest()));
    }
    frame(cursor.take_up_to(usize::from(length)))
}

/// Cisco HDLC: address, control, Ethertype.
pub(super) fn cisco_hdlc(octets: &[u8]) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(octets);
    cursor.skip(2)?;
    match cursor.be16()? {
        0x8035 => Some(Frame::bare(Carries::Nothing, cursor.rest())),
        0x2000 => Some(Frame::bare(Carries::Cdp, cursor.rest())),
        kind => ethernet::typed(kind, cursor.rest()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cisco_hdlc_is_read_under_the_link_type_of_ppp() {
        let ip = [0x45, 0, 0, 20];
        for head in [
            &[0xff, 3, 0, 0x21][..],
            &[0x21],
            &[0x0f, 0, 8, 0],
            &[0x8f, 0, 8, 0],
        ] {
            let octets = [head, &ip].concat();
            let read = frame(&octets).expect("a frame");
            assert_eq!(
                (read.carries, read.payload),
                (Carries::Ip, &ip[..]),
                "{head:x?}"
            );
        }
    }
}
