//! Discovery protocols of vendors and of patient monitors: the first octet chooses the port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::discovery(data));
