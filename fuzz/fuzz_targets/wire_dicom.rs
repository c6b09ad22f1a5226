//! DICOM: PDUs, command sets, device attributes and streams. A stream says the same however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::wire_dicom::run(data));
