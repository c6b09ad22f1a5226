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

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use program::{clock, pack};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Files that a configuration names are opened. Those of the system do not belong to this test.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") || text.contains("..") {
        return;
    }
    let nowhere = Path::new("/nonexistent");
    if let Err(mistake) = program::config::Config::parse(text, nowhere) {
        assert!(!format!("{mistake:#}").is_empty());
    }
});
