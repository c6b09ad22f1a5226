//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/authzen_request.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod authzen_request;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;

#[test]
fn the_corpus_of_authzen_request_does_no_harm() {
    replay::corpus("authzen_request", authzen_request::run);
}
