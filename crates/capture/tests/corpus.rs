//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/capture_file.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod capture_file;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;

#[test]
fn the_corpus_of_capture_file_does_no_harm() {
    replay::corpus("capture_file", capture_file::run);
}
