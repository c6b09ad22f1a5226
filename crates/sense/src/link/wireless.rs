//! IEEE 802.11 data frames, with the headers that monitors put in front.

use domain::net::Mac;

use super::{Carries, Frame, Unread, ethernet};
use crate::cursor::Cursor;

/// A frame as on the air (IEEE 802.11-2020 section 9.2).
pub(super) fn frame(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let mut cursor = Cursor::new(octets);
    let control = cursor.le16().ok_or(Unread::Malformed)?;
    controlled(control, cursor)
}

/// A frame with its frame control field in network order.
pub(super) fn swapped(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let mut cursor = Cursor::new(octets);
    let control = cursor.be16().ok_or(Unread::Malformed)?;
    controlled(control, cursor)
}

fn controlled(control: u16, mut cursor: Cursor<'_>) -> Result<Frame<'_>, Unread> {
    let (kind, subtype) = (control >> 2 & 3, control >> 4 & 15);
    // Management, control and extension frames, and data frames without data.
    if kind != 2 || subtype & 4 != 0 {
        return Ok(Frame::bare(Carries::Nothing, &[]));
    }
    let (to_ds, from_ds, protected, order) = (
        control & 0x0100 != 0,
        control & 0x0200 != 0,
        control & 0x4000 != 0,
        control & 0x8000 != 0,
    );
    // Duration.
    cursor.skip(2).ok_or(Unread::Malformed)?;
    let mut address = || cursor_mac(&mut cursor).ok_or(Unread::Malformed);
    let (one, two, three) = (address()?, address()?, address()?);
    cursor.skip(2).ok_or(Unread::Malformed)?;
    let (destination, source) = match (to_ds, from_ds) {
        (false, false) => (one, two),
        (true, false) => (three, two),
        (false, true) => (one, three),
        (true, true) => (three, cursor_mac(&mut cursor).ok_or(Unread::Malformed)?),
    };
    let mut aggregated = false;
    if subtype & 8 != 0 {
        let quality = cursor.le16().ok_or(Unread::Malformed)?;
        aggregated = quality & 0x80 != 0;
        if order {
            cursor.skip(4).ok_or(Unread::Malformed)?;
        }
    }
    if protected {
        return Err(Unread::Encrypted);
    }
    if aggregated {
        // The first frame of an aggregate: its own addresses and length, then LLC.
        let destination = cursor_mac(&mut cursor);
        let source = cursor_mac(&mut cursor);
        let length = usize::from(cursor.be16().ok_or(Unread::Malformed)?);
        let inner = ethernet::llc(cursor.take_up_to(length)).ok_or(Unread::Malformed)?;
        return Ok(Frame {
            source,
            destination,
            ..inner
        });
    }
    let inner = ethernet::llc(cursor.rest()).ok_or(Unread::Malformed)?;
    Ok(Frame {
        source: Some(source),
        destination: Some(destination),
        ..inner
    })
}

fn cursor_mac(cursor: &mut Cursor<'_>) -> Option<Mac> {
    cursor.array().map(Mac)
}

/// Radiotap: version, padding, length, what is present; a bit of the flags says that a check sequence follows.
pub(super) fn radiotap(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let mut cursor = Cursor::new(octets);
    let (version, _pad) = (cursor.u8(), cursor.u8());
    let length = usize::from(cursor.le16().ok_or(Unread::Malformed)?);
    let mut present = cursor.le32().ok_or(Unread::Malformed)?;
    if version != Some(0) {
        return Err(Unread::Malformed);
    }
    let (has_timer, has_flags) = (present & 1 != 0, present & 2 != 0);
    while present & 1 << 31 != 0 {
        present = cursor.le32().ok_or(Unread::Malformed)?;
    }
    let at = octets.len() - cursor.len();
    // The timer is aligned to its eight octets.
    let at = if has_timer {
        at.next_multiple_of(8) + 8
    } else {
        at
    };
    let flags = octets.get(at).copied().unwrap_or(0);
    let body = octets.get(length..).ok_or(Unread::Malformed)?;
    let check = if has_flags && flags & 0x10 != 0 { 4 } else { 0 };
    frame(&body[..body.len().saturating_sub(check)])
}

/// Prism or AVS: both may stand at either link type; AVS begins with `0x80211`.
pub(super) fn monitor(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let mut cursor = Cursor::new(octets);
    let (magic, length) = (cursor.be32(), cursor.be32());
    let (Some(magic), Some(mut length)) = (magic, length) else {
        return Err(Unread::Malformed);
    };
    // AVS writes in network order, Prism in the order of the machine that captured.
    if magic & 0xffff_f000 != 0x8021_1000 && length > 0xffff {
        length = length.swap_bytes();
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    frame(octets.get(length..).ok_or(Unread::Malformed)?)
}

/// Per-packet information: version, flags, length, data link type.
pub(super) fn ppi(octets: &[u8]) -> Result<Frame<'_>, Unread> {
    let mut cursor = Cursor::new(octets);
    cursor.skip(2).ok_or(Unread::Malformed)?;
    let length = usize::from(cursor.le16().ok_or(Unread::Malformed)?);
    let inner = cursor.le32().ok_or(Unread::Malformed)?;
    let body = octets.get(length..).ok_or(Unread::Malformed)?;
    match super::LinkType::from_number(inner) {
        // No header within a header of the same kind.
        super::LinkType::Ppi => Err(Unread::LinkType),
        link => super::frame(link, body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO_ACCESS_POINT: &[u8] = &[
        0x08, 0x01, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3, 0, 0, 0xaa, 0xaa,
        3, 0, 0, 0, 8, 0, 0x45,
    ];

    #[test]
    fn addresses_depend_on_the_direction() {
        let frame = frame(TO_ACCESS_POINT).expect("a frame");
        assert_eq!(frame.source, Some(Mac([2, 0, 0, 0, 0, 2])));
        assert_eq!(frame.destination, Some(Mac([2, 0, 0, 0, 0, 3])));
        assert_eq!(
            (frame.carries, frame.payload),
            (Carries::Ip, [0x45].as_slice())
        );
    }

    #[test]
    fn radiotap_says_whether_a_check_sequence_follows() {
        let mut octets = vec![0, 0, 9, 0, 2, 0, 0, 0, 0x10];
        octets.extend_from_slice(TO_ACCESS_POINT);
        octets.extend_from_slice(&[1, 2, 3, 4]);
        let frame = radiotap(&octets).expect("a frame");
        assert_eq!(frame.payload, [0x45]);
    }

    #[test]
    fn encrypted_and_management_frames_are_told_apart() {
        let mut encrypted = TO_ACCESS_POINT.to_vec();
        encrypted[1] |= 0x40;
        assert_eq!(frame(&encrypted), Err(Unread::Encrypted));
        assert_eq!(frame(&[0x80, 0]).map(|f| f.carries), Ok(Carries::Nothing));
    }
}
