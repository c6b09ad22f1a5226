//! HTTP/1 and what speaks through it (FHIR, DICOMweb, IPP, UPnP, SOAP): a stream in both directions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::parsers::http(data));
