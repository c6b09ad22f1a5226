//! Every protocol over TCP: the first octet chooses the port, and what does not fit there is recognised by content.
//!
//! The second octet: whether the opening is seen, whether segments come out of order, whether some come twice. Then
//! pieces as `sensor::pieces` reads them.
#![no_main]

use asepsis_fuzz::sensor::{Subject, pieces};
use libfuzzer_sys::fuzz_target;

const PORTS: [u16; 32] = [
    21, 23, 25, 53, 80, 88, 102, 104, 110, 135, 139, 143, 389, 443, 445, 502, 554, 631, 1080, 1883, 2404, 2575, 3306,
    3389, 4840, 5060, 5432, 5900, 9100, 11112, 44818, 50_000,
];
const SYN: u8 = 2;
const ACK: u8 = 16;

fuzz_target!(|data: &[u8]| {
    let [choice, how, rest @ ..] = data else { return };
    let port = PORTS[usize::from(*choice) % PORTS.len()];
    let mut subject = Subject::default();
    if how & 1 != 0 {
        subject.segment(port, u32::MAX, SYN, &[], false);
        subject.segment(port, u32::MAX, SYN | ACK, &[], true);
    }
    let mut next = [0_u32; 2];
    let mut held = None;
    for (back, piece) in pieces(rest) {
        let sequence = &mut next[usize::from(back)];
        let segment = (*sequence, piece, back);
        *sequence = sequence.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
        let mut give = |(sequence, piece, back): (u32, &[u8], bool)| {
            subject.segment(port, sequence, ACK, piece, back);
        };
        match (how & 2 != 0, held.take()) {
            (true, None) => held = Some(segment),
            (_, before) => {
                give(segment);
                if let Some(before) = before {
                    give(before);
                }
                if how & 4 != 0 {
                    give(segment);
                }
            }
        }
    }
    subject.finish();
});
