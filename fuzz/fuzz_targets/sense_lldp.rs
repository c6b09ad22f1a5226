//! LLDP frames. Pieces as `sensor::pieces` reads them.
#![no_main]

use asepsis_fuzz::sensor::frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| frames([1, 0x80, 0xc2, 0, 0, 0x0e], &[0x88, 0xcc], data));
