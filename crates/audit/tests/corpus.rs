//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/audit_format.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod audit_format;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;

#[test]
fn the_corpus_of_audit_format_does_no_harm() {
    replay::corpus("audit_format", audit_format::run);
}
