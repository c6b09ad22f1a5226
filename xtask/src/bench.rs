//! `cargo xtask bench`: benchmarks, each a cargo bench target of the crate that it measures.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::packages::{self, Need, Presence};
use crate::workspace::{cargo, code, finish, say};

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

/// Run beside ours where it can be had.
const SURICATA: &[Need] = &[Need {
    presence: Presence::Program("suricata"),
    package: "suricata",
}];

/// A benchmark.
#[derive(Debug, Subcommand)]
pub enum Benchmark {
    /// How right device classes are, on labelled captures
    Accuracy(PassedOn),
    /// The gateway beside nginx as a TLS proxy and nginx with `auth_request`
    Gateway(GatewayOptions),
    /// The sensor beside ndpiReader, p0f, tshark and suricata
    Sense(SenseOptions),
    /// `asepsis discover` on a capture of a gigabyte: how soon the first devices are on the screen
    Discover(PassedOn),
    /// Decisions beside cedar-policy as it comes
    Decide(PassedOn),
    /// Durable audit records
    Audit(PassedOn),
    /// Segmentation proposed from some weeks and scored on the next, beside an exact allow-list and roles
    Segment(SegmentOptions),
    /// Quarantine, policy replacement and throughput of the packet filter, in namespaces (as root)
    Enforce(PassedOn),
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

    /// Merge the captures below this folder instead of the shared ones (may be given several times)
    #[arg(long, value_name = "FOLDER")]
    captures: Vec<PathBuf>,

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

/// How to measure segmentation.
#[derive(Debug, Args)]
pub struct SegmentOptions {
    /// What the synthetic hospital year is like (TOML; keys in `crates/sample/src/year/scenario.rs`)
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Seed of the synthetic year
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Conversations of a real network in place of the synthetic year: client,server,transport,port,first,last[,count]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "scale"])]
    flows: Option<PathBuf>,

    /// Show how cost grows up to 100,000 devices
    #[arg(long)]
    scale: bool,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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
        Benchmark::Accuracy(options) => passed_on("xtask", "accuracy", options),
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
                suricata(!options.no_install);
            }
            let (packets, rounds) = (options.packets.to_string(), options.rounds.to_string());
            let mut arguments = vec!["--packets", &packets, "--rounds", &rounds];
            let folders: Vec<_> = options
                .captures
                .iter()
                .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()))
                .collect();
            let folders: Vec<_> = folders
                .iter()
                .map(|folder| folder.to_string_lossy())
                .collect();
            for folder in &folders {
                arguments.extend(["--captures", folder]);
            }
            if options.alone {
                arguments.push("--alone");
            }
            arguments.extend(format_arguments(options.format));
            target("xtask", "sense", &arguments)
        }
        Benchmark::Discover(options) => passed_on("xtask", "discover", options),
        Benchmark::Decide(options) => passed_on("asepsis-policy", "decide", options),
        Benchmark::Audit(options) => passed_on("asepsis-audit", "append", options),
        Benchmark::Segment(options) => segment(options),
        Benchmark::Enforce(options) => passed_on("asepsis-enforce", "enforce", options),
    }
}

/// Installs suricata where a package of it is to be had; without, the benchmark goes without it.
fn suricata(install_allowed: bool) {
    let missing = packages::missing(SURICATA);
    if missing.is_empty() {
        return;
    }
    let installed =
        install_allowed && packages::may_install() && packages::install(&missing).is_ok();
    if !installed {
        say("no suricata here: measured without it");
    }
}

fn segment(options: &SegmentOptions) -> Result<ExitCode> {
    // The benchmark runs in its package's folder.
    let absolute = |path: &PathBuf| -> Result<String> {
        let path = std::path::absolute(path)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let mut arguments = vec!["--seed".to_owned(), options.seed.to_string()];
    for (flag, path) in [
        ("--scenario", &options.scenario),
        ("--flows", &options.flows),
    ] {
        if let Some(path) = path {
            arguments.extend([flag.to_owned(), absolute(path)?]);
        }
    }
    if options.scale {
        arguments.push("--scale".to_owned());
    }
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(format_arguments(options.format));
    target("asepsis-segment", "segment", &arguments)
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
