//! `cargo xtask bench`: benchmarks, each a cargo bench target of the crate that it measures.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::packages::{self, Need, Presence};
use crate::workspace::{cargo, code, finish};

/// What the benchmark of the gateway runs beside ours.
const GATEWAY: &[Need] = &[
    Need {
        presence: Presence::Program("nginx"),
        package: "nginx",
    },
    Need {
        presence: Presence::Program("wrk"),
        package: "wrk",
    },
];

/// What the benchmark of the sensor runs beside ours.
const SENSE: &[Need] = &[
    Need {
        presence: Presence::Program("ndpiReader"),
        package: "libndpi-bin",
    },
    Need {
        presence: Presence::Program("p0f"),
        package: "p0f",
    },
    Need {
        presence: Presence::Program("tshark"),
        package: "tshark",
    },
];

/// A benchmark.
#[derive(Debug, Subcommand)]
pub enum Benchmark {
    /// The gateway beside nginx as a TLS proxy and nginx with `auth_request`
    Gateway(GatewayOptions),
    /// The sensor beside ndpiReader, p0f and tshark
    Sense(SenseOptions),
    /// Decisions beside cedar-policy as it comes
    Decide(PassedOn),
    /// Durable audit records
    Audit(PassedOn),
}

/// How the results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Text,
    /// A table, then one line of JSON.
    Json,
}

/// How to measure the gateway.
#[derive(Debug, Args)]
pub struct GatewayOptions {
    /// Seconds of each measured load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Rounds; each side has its turn in every round, and the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Install no package
    #[arg(long)]
    no_install: bool,
}

/// How to measure the sensor.
#[derive(Debug, Args)]
pub struct SenseOptions {
    /// Packets of the merged capture, about
    #[arg(long, default_value_t = 1_500_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    packets: u64,

    /// Rounds; each side has its turn in every round, and the median counts (tshark runs once)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,

    /// Leave the rivals out
    #[arg(long)]
    alone: bool,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Install no package
    #[arg(long)]
    no_install: bool,
}

/// Options for a benchmark that reads them itself.
#[derive(Debug, Args)]
pub struct PassedOn {
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Arguments for the benchmark itself
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs a benchmark and returns its exit code.
///
/// # Errors
/// When something that it needs is missing and may not be installed.
pub fn run(benchmark: &Benchmark) -> Result<ExitCode> {
    match benchmark {
        Benchmark::Gateway(options) => {
            packages::require(GATEWAY, !options.no_install)?;
            let (seconds, rounds) = (options.seconds.to_string(), options.rounds.to_string());
            let mut arguments = vec!["--seconds", &seconds, "--rounds", &rounds];
            arguments.extend(format_arguments(options.format));
            target("xtask", "gateway", &arguments)
        }
        Benchmark::Sense(options) => {
            if !options.alone {
                packages::require(SENSE, !options.no_install)?;
            }
            let (packets, rounds) = (options.packets.to_string(), options.rounds.to_string());
            let mut arguments = vec!["--packets", &packets, "--rounds", &rounds];
            if options.alone {
                arguments.push("--alone");
            }
            arguments.extend(format_arguments(options.format));
            target("xtask", "sense", &arguments)
        }
        Benchmark::Decide(options) => passed_on("asepsis-policy", "decide", options),
        Benchmark::Audit(options) => passed_on("asepsis-audit", "append", options),
    }
}

fn passed_on(package: &str, bench: &str, options: &PassedOn) -> Result<ExitCode> {
    let mut arguments = format_arguments(options.format);
    arguments.extend(options.arguments.iter().map(String::as_str));
    target(package, bench, &arguments)
}

fn format_arguments(format: Format) -> Vec<&'static str> {
    match format {
        Format::Text => Vec::new(),
        Format::Json => vec!["--format", "json"],
    }
}

fn target(package: &str, bench: &str, arguments: &[&str]) -> Result<ExitCode> {
    let mut command = cargo();
    command
        .args(["bench", "--package", package, "--bench", bench, "--"])
        .args(arguments);
    Ok(code(finish(&mut command)?))
}
