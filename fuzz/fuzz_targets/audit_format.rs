//! The bytes of the audit log: every reader is total, and what it accepts is written back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::audit_format::run(data));
