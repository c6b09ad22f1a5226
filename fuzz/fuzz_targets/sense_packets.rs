//! The whole sensor: frames of any link type, at times that jump.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::packets(data));
