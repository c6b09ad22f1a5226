//! NetFlow, IPFIX and sFlow: any sequence of datagrams is taken, whatever templates came before.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::flow_records::run(data));
