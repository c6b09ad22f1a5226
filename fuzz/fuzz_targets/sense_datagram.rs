//! Every protocol over UDP: the first octet chooses the port, and what does not fit there is recognised by content.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::datagram(data));
