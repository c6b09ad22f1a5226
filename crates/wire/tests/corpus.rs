//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;
#[path = "../../../fuzz/src/wire_dicom.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod wire_dicom;
#[path = "../../../fuzz/src/wire_hl7.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod wire_hl7;

#[test]
fn the_corpus_of_wire_dicom_does_no_harm() {
    replay::corpus("wire_dicom", wire_dicom::run);
}

#[test]
fn the_corpus_of_wire_hl7_does_no_harm() {
    replay::corpus("wire_hl7", wire_hl7::run);
}
