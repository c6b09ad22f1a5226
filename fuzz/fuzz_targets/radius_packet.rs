//! RADIUS packets: what reads is written back as it was, and nobody's signature is believed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::radius_packet::run(data));
