//! SSH, FTP, SMTP, Telnet, POP3, IMAP, RTSP, SIP, raw printing: the first octet chooses the port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::lines(data));
