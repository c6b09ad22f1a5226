//! The sensor beside ndpiReader, p0f, tshark and, where it is installed, suricata on one merged capture: one thread each,
//! turn by turn; beside ndpiReader also on other mixes of traffic.
//!
//! What counts is packets for each second of CPU time of the whole process, file reading included: on a machine that
//! others use too, wall time says less. Ours extracts everything it knows meanwhile. Then: scaling over two threads,
//! resident octets for each idle device, and a flood of spoofed MAC addresses.
//!
//! Started by `cargo xtask bench sense`.

mod cost;
mod memory;
mod ours;
#[path = "../../../crates/sense/tests/support/packets.rs"]
#[allow(unreachable_pub, reason = "shared with the tests of `sense`")]
mod packets;
mod report;
mod rivals;
mod traffic;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use domain::Timestamp;
use sample::{Hospital, Network};
use xtask::packages::program;
use xtask::workspace::say;

use crate::cost::Cost;
use crate::packets::Packet;
use crate::report::{Memory, Report, Run, Side};

#[derive(Debug, Parser)]
#[command(name = "sense", about = "The sensor beside ndpiReader, p0f and tshark")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// Packets of the merged capture, about
    #[arg(long, default_value_t = 1_500_000)]
    packets: usize,

    /// Rounds; each side has its turn in every round, and the median counts (tshark runs once)
    #[arg(long, default_value_t = 3)]
    rounds: u64,

    /// Merge the captures below this folder instead of the shared ones (may be given several times)
    #[arg(long)]
    captures: Vec<PathBuf>,

    /// Leave the rivals out
    #[arg(long)]
    alone: bool,

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

#[derive(Debug, Subcommand)]
enum Part {
    /// Our sensor over one capture
    #[command(hide = true)]
    Ours {
        /// The capture
        file: PathBuf,
    },
    /// Our sensor with devices that fell silent
    #[command(hide = true)]
    Idle {
        /// Number of devices
        devices: u32,
    },
    /// Our sensor under a flood
    #[command(hide = true)]
    Flood {
        /// Number of spoofed MAC addresses
        devices: u32,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.part {
        Some(Part::Ours { file }) => ours::run(file),
        Some(Part::Idle { devices }) => memory::idle(*devices),
        Some(Part::Flood { devices }) => memory::flood(*devices),
        // `cargo test --benches` starts benchmarks too; a measurement of minutes is not what it wants.
        None if !arguments.bench => {
            say("this is a benchmark: run `cargo xtask bench sense`");
            Ok(())
        }
        None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut mixes = mixes(&arguments.captures)?.into_iter();
    let (name, captures) = mixes.next().context("no traffic")?;
    say(&format!("merging {name}"));
    let file = folder.path().join("merged.pcap");
    let mix = traffic::merge(&captures, arguments.packets, &file)?;
    let mut report = Report::new(mix);
    measure(&mut report, arguments, &Side::ALL, &file)?;
    for (name, captures) in mixes {
        say(&format!("only {name}"));
        let file = folder.path().join("other.pcap");
        let mix = traffic::merge(&captures, arguments.packets / 3, &file)?;
        let mut other = Report::new(mix);
        measure(&mut other, arguments, &[Side::Ours, Side::Ndpi], &file)?;
        report.others.push((name, other));
    }
    say("two threads");
    report.scaling = Some(ours::scaling(&file, arguments.rounds)?);
    say("idle devices and a flood");
    for devices in [50_000_u32, 100_000] {
        let (_, said) = myself(&["idle", &devices.to_string()])?;
        report.idle.push(Memory::read(devices, &said)?);
    }
    for devices in [250_000_u32, 1_000_000, 2_000_000] {
        let (cost, said) = myself(&["flood", &devices.to_string()])?;
        let mut memory = Memory::read(devices, &said)?;
        memory.peak = cost.peak_bytes;
        report.flood.push(memory);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.table()?).context("cannot print")?;
    if arguments.format == Format::Json {
        writeln!(out, "{}", report.json()?).context("cannot print")?;
    }
    Ok(())
}

/// Traffic to measure on, the merger of all of it first: one mix flatters, several do not.
fn mixes(folders: &[PathBuf]) -> Result<Vec<(String, Vec<Vec<Packet>>)>> {
    if !folders.is_empty() {
        return Ok(vec![(
            "the captures given".to_owned(),
            traffic::read(folders)?,
        )]);
    }
    let data = packets::data_folder().context(
        "no shared test data; hint: set `ASEPSIS_DATA` to the folder with `captures` and `devices`, or give `--captures`",
    )?;
    let shared = ["captures/ndpi", "captures/medical", "devices/iot-sentinel"];
    let mut mixes = vec![(
        "all captures".to_owned(),
        traffic::read(&shared.map(|folder| data.join(folder)))?,
    )];
    for folder in shared {
        mixes.push((folder.to_owned(), traffic::read(&[data.join(folder)])?));
    }
    mixes.push(("the sample hospital".to_owned(), vec![hospital()]));
    Ok(mixes)
}

/// A working day of the sample hospital's network.
fn hospital() -> Vec<Packet> {
    // Monday, 16 June 2025, 06:00 to 18:00 UTC.
    let from = Timestamp::from_millis(1_750_053_600_000);
    let until = Timestamp::from_millis(from.as_millis() + 12 * 3_600_000);
    let network = Network::of(&Hospital::generate(7, from));
    let frames = network.packets(from, until).into_iter();
    frames
        .map(|frame| Packet {
            at_us: frame.at.as_millis() * 1000,
            link: 1,
            length: frame.bytes.len(),
            octets: frame.bytes,
        })
        .collect()
}

/// Gives each side its turn in every round.
fn measure(report: &mut Report, arguments: &Arguments, sides: &[Side], file: &Path) -> Result<()> {
    let folder = file.parent().context("a file lies in a folder")?;
    for round in 1..=arguments.rounds {
        say(&format!("round {round} of {}", arguments.rounds));
        for side in sides {
            let once = *side == Side::Tshark && round > 1;
            let absent = *side == Side::Suricata && program(side.program()).is_none();
            let rival = *side != Side::Ours;
            if once || absent || (rival && arguments.alone) {
                continue;
            }
            let packets = report.packets();
            let (cost, read) = match side {
                Side::Ours => {
                    let (cost, said) = myself(&["ours", &file.to_string_lossy()])?;
                    report.found = Some(said);
                    (cost, packets)
                }
                rival => rivals::run(*rival, file, packets, folder)?,
            };
            let run = Run::new(cost, read);
            say(&run.progress(*side));
            report.runs.entry(*side).or_default().push(run);
        }
    }
    Ok(())
}

/// Runs a part of this program as a process of its own; answers its cost and what it printed.
fn myself(arguments: &[&str]) -> Result<(Cost, serde_json::Value)> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let (cost, printed) = cost::of(
        "asepsis",
        Command::new(program).args(arguments).stdout(Stdio::piped()),
    )?;
    let said = serde_json::from_str(printed.trim())
        .with_context(|| format!("not JSON: `{}`", printed.trim()))?;
    Ok((cost, said))
}
