//! HL7 v2: blocks, messages, devices and streams. A stream says the same however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::wire_hl7::run(data));
