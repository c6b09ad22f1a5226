//! NetBIOS datagram service: datagrams in both directions. Pieces as `sensor::pieces` reads them.
#![no_main]

use asepsis_fuzz::sensor::datagrams;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| datagrams(138, data));
