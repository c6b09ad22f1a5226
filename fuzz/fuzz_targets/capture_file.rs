//! pcap and pcapng: any octets are framed the same however they are cut, and nothing is left behind.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::capture_file::run(data));
