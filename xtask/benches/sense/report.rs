//! What was measured, as a table for people and one line for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use xtask::statistics::{median, spread};

use crate::cost::Cost;
use crate::traffic::Mix;

/// Who reads the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Ours,
    Ndpi,
    P0f,
    Tshark,
    /// Where it is installed.
    Suricata,
}

impl Side {
    pub(crate) const ALL: [Self; 5] = [
        Self::Ours,
        Self::Ndpi,
        Self::P0f,
        Self::Tshark,
        Self::Suricata,
    ];

    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Ours => "asepsis",
            Self::Ndpi => "ndpiReader",
            Self::P0f => "p0f",
            Self::Tshark => "tshark",
            Self::Suricata => "suricata",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Ours => "asepsis",
            Self::Ndpi => "ndpi",
            Self::P0f => "p0f",
            Self::Tshark => "tshark",
            Self::Suricata => "suricata",
        }
    }
}

/// Memory with so many devices.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    devices: u32,
    before: u64,
    busy: u64,
    after: u64,
    flows: u64,
    evicted: u64,
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn read(devices: u32, said: &Value) -> Result<Self> {
        let number = |name: &str| said[name].as_u64().with_context(|| format!("no `{name}`"));
        Ok(Self {
            devices,
            before: number("before")?,
            busy: number("busy")?,
            after: number("after")?,
            flows: number("flows")?,
            evicted: said["counters"]["flows_evicted"].as_u64().unwrap_or(0),
            peak: 0,
        })
    }

    fn each(&self) -> f64 {
        self.after.saturating_sub(self.before) as f64 / f64::from(self.devices)
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    mix: Mix,
    pub(crate) runs: BTreeMap<Side, Vec<Run>>,
    /// Other traffic, by its name.
    pub(crate) others: Vec<(String, Report)>,
    /// What our sensor printed.
    pub(crate) found: Option<Value>,
    pub(crate) scaling: Option<Scaling>,
    pub(crate) idle: Vec<Memory>,
    pub(crate) flood: Vec<Memory>,
}

/// One run of one side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    cpu_pps: f64,
    wall_pps: f64,
    peak_bytes: u64,
}

impl Run {
    /// A run that read so many packets.
    pub(crate) fn new(cost: Cost, packets: u64) -> Self {
        let packets = packets as f64;
        Self {
            cpu_pps: packets / cost.cpu_seconds,
            wall_pps: packets / cost.wall_seconds,
            peak_bytes: cost.peak_bytes,
        }
    }

    pub(crate) fn progress(&self, side: Side) -> String {
        format!(
            "  {:<11} {:>9.0} packets/s of CPU, {:>9.0} packets/s, {} MiB",
            side.program(),
            self.cpu_pps,
            self.wall_pps,
            self.peak_bytes >> 20
        )
    }
}

/// Packets a second from memory with one thread and with two: of wall time, and of the busier thread's CPU time, which
/// is what two cores of our own would give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaling {
    pub(crate) wall: [f64; 2],
    pub(crate) cpu: [f64; 2],
}

/// The medians of one side.
struct Middle {
    cpu_pps: f64,
    wall_pps: f64,
    spread: f64,
    peak: u64,
}

impl Report {
    pub(crate) fn new(mix: Mix) -> Self {
        Self {
            mix,
            runs: BTreeMap::new(),
            others: Vec::new(),
            found: None,
            scaling: None,
            idle: Vec::new(),
            flood: Vec::new(),
        }
    }

    /// Packets of the merged capture.
    pub(crate) const fn packets(&self) -> u64 {
        self.mix.packets
    }

    fn middle(&self, side: Side) -> Option<Middle> {
        let runs = self.runs.get(&side)?;
        let cpu: Vec<f64> = runs.iter().map(|run| run.cpu_pps).collect();
        let wall: Vec<f64> = runs.iter().map(|run| run.wall_pps).collect();
        Some(Middle {
            cpu_pps: median(&cpu)?,
            wall_pps: median(&wall)?,
            spread: spread(&cpu)?,
            peak: runs.iter().map(|run| run.peak_bytes).max()?,
        })
    }

    /// The table.
    pub(crate) fn table(&self) -> Result<String> {
        let mut text = String::new();
        let mix = &self.mix;
        writeln!(
            text,
            "\n{} packets, {:.0} MB, {:.0} s of traffic: {} captures, {} copies of each with addresses of their own",
            mix.packets,
            mix.bytes as f64 / 1e6,
            mix.seconds,
            mix.captures,
            mix.copies
        )?;
        let shares: Vec<String> = mix
            .protocols
            .iter()
            .map(|(name, count)| {
                format!("{name} {:.1} %", *count as f64 * 100.0 / mix.packets as f64)
            })
            .collect();
        writeln!(text, "mix: {}\n", shares.join(", "))?;
        writeln!(
            text,
            "{:<12} {:>14} {:>14} {:>8} {:>10} {:>8}",
            "one thread", "packets/CPU s", "packets/s", "spread", "peak", "ours is"
        )?;
        let ours = self.middle(Side::Ours).context("ours did not run")?;
        for side in Side::ALL {
            let Some(middle) = self.middle(side) else {
                continue;
            };
            writeln!(
                text,
                "{:<12} {:>14.0} {:>14.0} {:>7.0}% {:>6} MiB {:>7.2}x",
                side.program(),
                middle.cpu_pps,
                middle.wall_pps,
                middle.spread * 100.0,
                middle.peak >> 20,
                ours.cpu_pps / middle.cpu_pps
            )?;
        }
        for (name, other) in &self.others {
            let ours = other.middle(Side::Ours).context("ours did not run")?;
            let rival = other.middle(Side::Ndpi);
            let ratio = rival.map_or(String::new(), |rival| {
                format!(
                    ", ndpiReader {:.0} (ours is {:.2}x)",
                    rival.cpu_pps,
                    ours.cpu_pps / rival.cpu_pps
                )
            });
            writeln!(
                text,
                "only {name} ({} packets of {:.0} octets): {:.0} packets/CPU s{ratio}",
                other.mix.packets,
                other.mix.bytes as f64 / other.mix.packets as f64,
                ours.cpu_pps
            )?;
        }
        if let Some(Scaling { wall, cpu }) = self.scaling {
            for (name, [one, two]) in [("wall time", wall), ("the busier thread's CPU time", cpu)] {
                writeln!(
                    text,
                    "from memory, {name}: {one:.0} packets/s with one thread, {two:.0} with two ({:.2}x)",
                    two / one
                )?;
            }
        }
        for memory in &self.idle {
            writeln!(
                text,
                "{} idle devices: {:.0} octets each ({} MiB resident, {} MiB while they spoke)",
                memory.devices,
                memory.each(),
                memory.after >> 20,
                memory.busy >> 20
            )?;
        }
        for memory in &self.flood {
            writeln!(
                text,
                "flood of {} spoofed MAC addresses: {} MiB resident, peak {} MiB, {} flows held, {} gave way",
                memory.devices,
                memory.after >> 20,
                memory.peak >> 20,
                memory.flows,
                memory.evicted
            )?;
        }
        if let Some(found) = &self.found {
            writeln!(
                text,
                "ours found {} flows ({} recognised) and said {} observations",
                found["flows"], found["flows_recognised"], found["counters"]["observations"]
            )?;
        }
        Ok(text)
    }

    /// One line.
    pub(crate) fn json(&self) -> Result<String> {
        let ours = self.middle(Side::Ours).context("ours did not run")?;
        let mut sides = Map::new();
        let mut ratios = Map::new();
        for side in Side::ALL {
            let Some(middle) = self.middle(side) else {
                continue;
            };
            sides.insert(
                side.key().to_owned(),
                json!({
                    "pps": middle.cpu_pps,
                    "pps_wall": middle.wall_pps,
                    "spread": middle.spread,
                    "peak_bytes": middle.peak,
                }),
            );
            if side != Side::Ours {
                ratios.insert(
                    format!("pps_vs_{}", side.key()),
                    json!(ours.cpu_pps / middle.cpu_pps),
                );
            }
        }
        if let Some(Scaling { wall, cpu }) = self.scaling {
            ratios.insert("two_threads_wall".to_owned(), json!(wall[1] / wall[0]));
            ratios.insert("two_threads".to_owned(), json!(cpu[1] / cpu[0]));
        }
        let flood = |memory: &Memory| {
            json!({
                "devices": memory.devices,
                "resident_bytes": memory.after,
                "peak_bytes": memory.peak,
                "flows": memory.flows,
            })
        };
        let mut others = Map::new();
        for (name, other) in &self.others {
            let ours = other.middle(Side::Ours).context("ours did not run")?;
            let rival = other.middle(Side::Ndpi);
            let row = json!({
                "pps": ours.cpu_pps,
                "pps_vs_ndpi": rival.map(|rival| ours.cpu_pps / rival.cpu_pps),
                "packets": other.mix.packets,
            });
            others.insert(name.clone(), row);
        }
        let idle = self.idle.iter().map(Memory::each).fold(0.0, f64::max);
        Ok(json!({
            "pps": ours.cpu_pps,
            "ratios": ratios,
            "peak_bytes": ours.peak,
            "idle_device_bytes": idle,
            "flood": self.flood.iter().map(flood).collect::<Vec<_>>(),
            "sides": sides,
            "mixes": others,
            "packets": self.mix.packets,
            "found": self.found,
        })
        .to_string())
    }
}
