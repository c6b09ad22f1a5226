//! How right device classes are, on labelled captures: `ASEPSIS_DATA/devices/iot-sentinel`, 282 captures of devices
//! being set up.
//!
//! Captures are divided by this program, by printed seeds: every capture is answered once by a pack learnt from the
//! others (folds), every type once by a pack that never heard of it, and, where a type comes in several units, every unit
//! by a pack that knows only the others. Each is shown as it came, with its identity rewritten (no address block, other
//! host names), with other firmware, with services of other names, and without each protocol in turn (`view`). Then what
//! each protocol says alone, and the examples of Rapid7's *recog*.
//!
//! The same physical units are on both sides of a fold, so a fold tells nothing of other houses; the other ways to show a
//! device, the units and the types left out come nearer to that.
//!
//! Started by `cargo xtask bench accuracy`.

mod captures;
mod recog;
mod report;
mod score;
mod trial;
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use xtask::workspace::say;

#[derive(Debug, Parser)]
#[command(name = "accuracy", about = "How right device classes are")]
struct Arguments {
    /// Seeds; each divides the captures anew
    #[arg(long, value_delimiter = ',', default_values_t = [1_u64, 2, 3])]
    seeds: Vec<u64>,

    /// Folds of each division
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=20))]
    folds: u64,

    /// Leave the ablation out
    #[arg(long)]
    no_ablation: bool,

    /// Print what was taken for what
    #[arg(long)]
    details: bool,

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

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let data = data();
    let folder = data.join("devices/iot-sentinel");
    if !folder.join("labels.csv").is_file() {
        say(
            "skipped: no labelled captures; set ASEPSIS_DATA to the folder of the shared test data",
        );
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let labelled = captures::read(&folder)
        .with_context(|| format!("cannot read the captures in `{}`", folder.display()))?;
    say(&format!(
        "{} captures, {} types, read in {:.1} s",
        labelled.len(),
        captures::types(&labelled).len(),
        began.elapsed().as_secs_f64()
    ));
    let folds = usize::try_from(arguments.folds).context("folds")?;
    let recog = recog::run(&data.join("devices/recog"))?;
    let report = report::Report::measure(
        &labelled,
        &arguments.seeds,
        folds,
        !arguments.no_ablation,
        recog,
    )?;
    report.print(arguments.details);
    if arguments.format == Format::Json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &report.json())?;
        writeln!(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of the shared test data.
fn data() -> PathBuf {
    std::env::var_os("ASEPSIS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    )
}
