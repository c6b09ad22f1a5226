//! CDP frames. Pieces as `sensor::pieces` reads them.
#![no_main]

use asepsis_fuzz::sensor::frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| frames([1, 0, 0x0c, 0xcc, 0xcc, 0xcc], &[5, 0, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0], data));
