//! The canonical form of a request: total, and a fixed point. What was judged is what is forwarded.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::http_canonical::run(data));
