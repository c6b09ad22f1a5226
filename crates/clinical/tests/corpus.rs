//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/fhir_request.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod fhir_request;
#[path = "../../../fuzz/src/fhir_response.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod fhir_response;
#[path = "../../../fuzz/src/http_canonical.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod http_canonical;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;
#[path = "../../../fuzz/src/request.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod request;

#[test]
fn the_corpus_of_fhir_request_does_no_harm() {
    replay::corpus("fhir_request", fhir_request::run);
}

#[test]
fn the_corpus_of_fhir_response_does_no_harm() {
    replay::corpus("fhir_response", fhir_response::run);
}

#[test]
fn the_corpus_of_http_canonical_does_no_harm() {
    replay::corpus("http_canonical", http_canonical::run);
}
