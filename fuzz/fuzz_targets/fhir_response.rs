//! The response check: total, what is withheld leaves no trace, and what passed once passes again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::fhir_response::run(data));
