//! What fuzzing knows is replayed on each change.
//!
//! The program has no library, so its modules are taken in by their files.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "only the configuration is used of what the program's modules hold; bodies are shared with the fuzz targets"
)]

#[path = "../../../fuzz/src/configuration.rs"]
mod configuration;
#[path = "../src"]
mod program {
    pub(crate) mod clock;
    pub(crate) mod config;
    pub(crate) mod pack;
}
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use program::{clock, pack};

#[test]
fn the_corpus_of_configuration_does_no_harm() {
    let body = |data: &[u8]| configuration::run(data, program::config::Config::parse);
    replay::corpus("configuration", body);
}
