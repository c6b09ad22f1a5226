//! Every protocol over TCP, by port and by content.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::stream(data));
