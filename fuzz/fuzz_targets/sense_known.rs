//! Protocols over TCP that are only recognised, and EtherNet/IP: the first octet chooses the port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::known(data));
