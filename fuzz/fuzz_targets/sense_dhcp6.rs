//! DHCPv6: datagrams in both directions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::dhcp6(data));
