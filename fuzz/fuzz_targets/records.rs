//! Logs, leases, tables, scans and registers: every reader takes any octets, cut anywhere, within its bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::records::run(data));
