//! Every protocol over UDP: the first octet chooses the port, and what does not fit there is recognised by content.
//!
//! Then pieces as `sensor::pieces` reads them.
#![no_main]

use asepsis_fuzz::sensor::datagrams;
use libfuzzer_sys::fuzz_target;

const PORTS: [u16; 32] = [
    53, 67, 69, 88, 111, 123, 137, 138, 161, 162, 389, 500, 514, 546, 547, 1812, 1900, 2152, 3702, 4789, 5060, 5246,
    5247, 5353, 5355, 5683, 6081, 7000, 10001, 24105, 47808, 50_000,
];

fuzz_target!(|data: &[u8]| {
    if let [choice, rest @ ..] = data {
        datagrams(PORTS[usize::from(*choice) % PORTS.len()], rest);
    }
});
