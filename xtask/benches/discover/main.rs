//! `asepsis discover` on a capture of a gigabyte, on a terminal: how soon the first devices are on the screen, how long all of
//! it takes, whether the bar tells rate and remaining time.
//!
//! The program runs under `script`, which gives it a terminal and hands on every octet that it draws. The file was
//! written just before, so that it is read from memory: what is measured is the program.
//!
//! Started by `cargo xtask bench discover`.

#[path = "../../../crates/sense/tests/support/packets.rs"]
#[allow(unreachable_pub, reason = "shared with the tests of `sense`")]
mod packets;
mod screen;
#[path = "../sense/traffic.rs"]
#[allow(dead_code, reason = "shared with the benchmark of the sensor")]
mod traffic;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use xtask::packages::program;
use xtask::process::Process;
use xtask::statistics::median;
use xtask::workspace::{cargo, say};

use crate::screen::Screen;

#[derive(Debug, Parser)]
#[command(name = "discover", about = "How soon `discover` shows devices")]
struct Arguments {
    /// Size of the capture in megabytes, about
    #[arg(long, default_value_t = 1000)]
    megabytes: usize,

    /// Runs, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: u64,

    /// Use this asepsis instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --benches` starts benchmarks too.
        say("this is a benchmark: run `cargo xtask bench discover`");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        program("script").is_some(),
        "`script` is missing; hint: it comes with Debian's package bsdutils"
    );
    let asepsis = match &arguments.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let data = packets::data_folder().context(
        "no shared test data; hint: set `ASEPSIS_DATA` to the folder with `captures` and `devices`",
    )?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("large.pcap");
    say("merging captures");
    let folders = ["captures", "devices"].map(|folder| data.join(folder));
    let captures = traffic::read(&folders)?;
    let all: usize = captures.iter().map(Vec::len).sum();
    let octets: usize = captures
        .iter()
        .flatten()
        .map(|packet| packet.octets.len() + 16)
        .sum();
    let wanted = arguments.megabytes * 1_000_000 / (octets / all).max(1);
    let mix = traffic::merge(&captures, wanted, &file)?;
    let size = std::fs::metadata(&file)
        .context("cannot see the capture")?
        .len();
    let mut looks = Vec::new();
    for round in 1..=arguments.rounds {
        let look = look(&asepsis, &file)?;
        say(&format!(
            "round {round}: first device after {:.0} ms, all after {:.1} s",
            look.first_ms, look.seconds
        ));
        looks.push(look);
    }
    let middle = |value: fn(&Look) -> f64| {
        median(&looks.iter().map(value).collect::<Vec<f64>>()).context("no round")
    };
    let (first_ms, seconds) = (middle(|look| look.first_ms)?, middle(|look| look.seconds)?);
    let bar = looks.iter().all(|look| look.rate && look.remaining);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n{:.0} MB, {} packets: the first device is on the screen after {first_ms:.0} ms, all is read after {seconds:.1} s \
         ({:.0} MB/s); the bar tells rate and remaining time: {}",
        size as f64 / 1e6,
        mix.packets,
        size as f64 / 1e6 / seconds,
        if bar { "yes" } else { "no" }
    )?;
    if arguments.format == Format::Json {
        let line = json!({
            "first_device_ms": first_ms,
            "seconds": seconds,
            "bytes": size,
            "packets": mix.packets,
            "pps_wall": mix.packets as f64 / seconds,
            "progress_bar": bar,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Builds the program with the bench profile and returns where it is.
fn build() -> Result<PathBuf> {
    say("building asepsis with the bench profile");
    let output = cargo()
        .args(["build", "--profile", "bench", "--package", "asepsis"])
        .args([
            "--bin",
            "asepsis",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "asepsis does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "asepsis")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not name the program that it built")
}

/// What somebody saw who looked on.
#[derive(Debug)]
struct Look {
    first_ms: f64,
    seconds: f64,
    rate: bool,
    remaining: bool,
}

/// Runs `discover` on a terminal and looks at what it draws.
fn look(asepsis: &Path, file: &Path) -> Result<Look> {
    // `script` passes a line to the shell: a path of ours holds no quote.
    let line = format!(
        "stty cols 160 rows 50; exec '{}' discover '{}'",
        asepsis.display(),
        file.display()
    );
    let start = Instant::now();
    let mut process = Process::start(
        "asepsis discover",
        Command::new("script")
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )?;
    let mut pipe = process.child().stdout.take().context("no output")?;
    let mut screen = Screen::default();
    let mut first = None;
    let mut octets = [0; 4096];
    loop {
        let count = pipe.read(&mut octets).context("cannot look")?;
        if count == 0 {
            break;
        }
        screen.draw(&octets[..count]);
        if first.is_none() && screen.devices > 0 {
            first = Some(start.elapsed());
        }
    }
    let status = process.child().wait().context("cannot wait")?;
    ensure!(status.success(), "discover ended with {status}");
    Ok(Look {
        first_ms: first.context("no device was shown")?.as_secs_f64() * 1000.0,
        seconds: start.elapsed().as_secs_f64(),
        rate: screen.rate,
        remaining: screen.remaining,
    })
}
