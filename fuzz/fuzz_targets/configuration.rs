//! `asepsis.toml`: read without panic, and a mistake is told with its place.
//!
//! The program has no library, so its modules are taken in by their files.
#![no_main]
#![allow(dead_code, unused_imports, reason = "only the configuration is used of what the program's modules hold")]

#[path = "../../crates/asepsis/src"]
mod program {
    pub(crate) mod clock;
    pub(crate) mod config;
    pub(crate) mod pack;
}

use program::{clock, pack};

libfuzzer_sys::fuzz_target!(|data: &[u8]| asepsis_fuzz::configuration::run(data, program::config::Config::parse));
