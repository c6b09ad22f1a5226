//! The classification of a FHIR request: total, never silent, and what it writes lies within the body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::fhir_request::run(data));
