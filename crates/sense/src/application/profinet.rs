//! PROFINET discovery and configuration (DCP, IEC 61158-6-10): what a station answers to an identify request, or says
//! in its hello.

use domain::Timestamp;
use domain::net::Party;
use domain::observation::EvidenceKind;

use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::findings::Outbox;
use crate::text::Printable;

/// Blocks that are looked at in one frame.
const BLOCKS_MAX: usize = 32;

/// Takes what `speaker` says of itself. Frames of other kinds are process data and say nothing.
pub(crate) fn frame(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) {
    // Hello, and the answer to an identify request.
    if matches!(octets, [0xfe, 0xfc | 0xff, ..]) && read(at, speaker, octets, out).is_none() {
        out.counters.malformed.count(Parser::Other);
    }
}

fn read(at: Timestamp, speaker: &Party, octets: &[u8], out: &mut Outbox) -> Option<()> {
    let mut cursor = Cursor::new(octets);
    cursor.skip(2)?;
    let (service, kind) = (cursor.u8()?, cursor.u8()?);
    // Transaction, reserved.
    cursor.skip(4 + 2)?;
    let length = usize::from(cursor.be16()?);
    if !matches!((service, kind), (5, 1) | (6, 0)) {
        return Some(());
    }
    let mut blocks = Cursor::new(cursor.take_up_to(length));
    for _ in 0..BLOCKS_MAX {
        let (Some(option), Some(suboption)) = (blocks.u8(), blocks.u8()) else {
            return Some(());
        };
        let length = usize::from(blocks.be16()?);
        let mut block = blocks.sub(length)?;
        if length % 2 == 1 {
            blocks.take_up_to(1);
        }
        // Block information, then the value.
        block.skip(2)?;
        let value = block.rest();
        let mut say = |text: std::fmt::Arguments<'_>| {
            out.evidence(at, speaker, None, EvidenceKind::ProfinetDevice, text);
        };
        match (option, suboption, value) {
            (2, 1, text) if !text.is_empty() => say(format_args!("type={}", Printable(text))),
            (2, 2, text) if !text.is_empty() => say(format_args!("station={}", Printable(text))),
            (2, 3, &[a, b, c, d]) => {
                say(format_args!("vendor-id={:04x}", u16::from_be_bytes([a, b])));
                say(format_args!("device-id={:04x}", u16::from_be_bytes([c, d])));
            }
            (2, 4, &[roles, ..]) => {
                for (bit, role) in [
                    (1, "device"),
                    (2, "controller"),
                    (4, "multidevice"),
                    (8, "supervisor"),
                ] {
                    if roles & bit != 0 {
                        say(format_args!("role={role}"));
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::{heard, outbox, party};

    #[test]
    fn a_station_says_what_it_is() {
        let mut octets = vec![0xfe, 0xff, 5, 1, 0, 0, 0, 1, 0, 0, 0, 44];
        octets.extend([2, 1, 0, 9, 0, 0]);
        octets.extend(b"S7-1500\0");
        octets.extend([2, 2, 0, 8, 0, 0]);
        octets.extend(b"plc-01");
        octets.extend([2, 3, 0, 6, 0, 0, 0, 0x2a, 1, 0x0e]);
        octets.extend([2, 4, 0, 4, 0, 0, 2, 0]);
        let mut out = outbox();
        frame(Timestamp::from_millis(0), &party(1), &octets, &mut out);
        assert_eq!(
            heard(&out),
            [
                "profinet.device type=S7-1500",
                "profinet.device station=plc-01",
                "profinet.device vendor-id=002a",
                "profinet.device device-id=010e",
                "profinet.device role=controller",
            ]
        );
        for cut in 0..octets.len() {
            frame(
                Timestamp::from_millis(0),
                &party(2),
                &octets[..cut],
                &mut out,
            );
        }
    }
}
