//! The whole sensor: frames of any link type, at times that may jump.
//!
//! The first octet chooses the link type; then pieces as `sensor::pieces` reads them, of which the first octet says how
//! many seconds pass.
#![no_main]

use asepsis_fuzz::sensor::{Subject, pieces};
use libfuzzer_sys::fuzz_target;
use sense::{LinkType, lane};

const LINKS: [u32; 16] = [
    1, 0, 9, 12, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 276,
];

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let link = LinkType::from_number(LINKS[usize::from(*choice) % LINKS.len()]);
    let mut subject = Subject::default();
    for (back, piece) in pieces(rest) {
        let [seconds, frame @ ..] = piece else { continue };
        let after = i64::from(*seconds) * if back { -1000 } else { 1000 };
        assert!(lane(link, frame, 3) < 3);
        subject.packet(link, frame, after);
    }
    subject.finish();
});
