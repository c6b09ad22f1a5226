//! An AuthZEN request: read without panic, answered in form, the same each time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::authzen_request::run(data));
