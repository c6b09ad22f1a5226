//! The project's own chores, started as `cargo xtask`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::workspace::say;
use xtask::{bench, lab, test};

/// The chores of Asepsis.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run every test of the workspace, with the Debian packages that the end-to-end tests need
    Test(test::Options),
    /// Run a benchmark
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// A small hospital network of real programs in namespaces, with Asepsis on its mirror port
    Lab(lab::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Test(options) => test::run(&options),
        Chore::Bench(benchmark) => bench::run(&benchmark),
        Chore::Lab(options) => lab::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}
