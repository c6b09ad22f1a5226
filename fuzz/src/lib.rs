//! The bodies of the targets. `fuzz_targets/` hands them to libFuzzer; ordinary tests take these files in by their paths
//! and replay `corpus/` with them, so that no change waits for a fuzzer to learn that it broke an old finding.
//!
//! A file here names only the crate under test, `std` and its neighbours (as `super`).

pub mod audit_format;
pub mod authzen_request;
pub mod capture_file;
pub mod configuration;
pub mod fhir_request;
pub mod fhir_response;
pub mod flow_records;
pub mod http_canonical;
pub mod netlink_answer;
pub mod parsers;
pub mod radius_packet;
pub mod records;
pub mod replay;
pub mod request;
pub mod sensor;
pub mod wire_dicom;
pub mod wire_hl7;
