//! What fuzzing knows is replayed on each change.

#[path = "../../../fuzz/src/netlink_answer.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod netlink_answer;
#[path = "../../../fuzz/src/radius_packet.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod radius_packet;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;

#[test]
fn the_corpus_of_radius_packet_does_no_harm() {
    replay::corpus("radius_packet", radius_packet::run);
}

#[test]
fn the_corpus_of_netlink_answer_does_no_harm() {
    replay::corpus("netlink_answer", netlink_answer::run);
}
