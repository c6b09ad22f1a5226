//! What the kernel might answer: rules, sets, elements, tables, counters, errors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::netlink_answer::run(data));
