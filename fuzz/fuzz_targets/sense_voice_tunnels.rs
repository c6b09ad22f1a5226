//! SIP, DTLS, QUIC, STUN, WireGuard, IKE, NTP, RADIUS and others over UDP that are recognised: the first octet chooses the port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::voice_tunnels(data));
