//! What the rounds say, as a table for people and one line for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use xtask::statistics::{median, spread};

use crate::https::Handshake;

/// Who serves the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Ours,
    Nginx,
    AuthRequest,
    /// hyper and rustls with a pool, and nothing of ours.
    Bare,
}

impl Side {
    pub(crate) const ALL: [Self; 4] = [Self::Ours, Self::Nginx, Self::AuthRequest, Self::Bare];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Ours => "asepsis",
            Self::Nginx => "nginx",
            Self::AuthRequest => "auth_request",
            Self::Bare => "hyper",
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Ours => "asepsis",
            Self::Nginx => "nginx, TLS proxy",
            Self::AuthRequest => "nginx + auth_request",
            Self::Bare => "hyper alone, TLS proxy",
        }
    }
}

/// The kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    KeepAlive,
    NewConnections,
    /// Writes, whose records are durable before they are forwarded, at this many connections.
    Durable(u32),
}

impl Mode {
    fn key(self) -> String {
        match self {
            Self::KeepAlive => "keep_alive".into(),
            Self::NewConnections => "new_connections".into(),
            Self::Durable(connections) => format!("durable_{connections}"),
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Self::KeepAlive => "keep-alive".into(),
            Self::NewConnections => "new connections".into(),
            Self::Durable(1) => "durable writes, 1 at a time".into(),
            Self::Durable(connections) => format!("durable writes, {connections} at a time"),
        }
    }
}

/// One measured load.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    /// All processes of the side, for 100,000 requests.
    pub(crate) cpu_seconds: f64,
    /// The same by the names of the threads.
    pub(crate) threads: BTreeMap<String, f64>,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) machine: Map<String, Value>,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) samples: BTreeMap<(Mode, Side), Vec<Sample>>,
    /// Microseconds of each stage of ours, as the program counts them.
    pub(crate) stages: Option<Vec<(String, f64)>>,
    /// Records in our audit log after the load, verified, and the requests that we answered.
    pub(crate) records: Option<(u64, f64)>,
}

/// The medians of the rounds of one load.
#[derive(Debug)]
struct Middle {
    requests_per_second: f64,
    cpu_seconds: f64,
    cpu_spread: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Report {
    fn middle(&self, mode: Mode, side: Side) -> Result<Middle> {
        let samples = self
            .samples
            .get(&(mode, side))
            .map_or(&[][..], Vec::as_slice);
        let of = |read: fn(&Sample) -> f64| samples.iter().map(read).collect::<Vec<f64>>();
        let middle = |read| median(&of(read)).context("a load without a round");
        Ok(Middle {
            requests_per_second: middle(|sample| sample.requests_per_second)?,
            cpu_seconds: middle(|sample| sample.cpu_seconds)?,
            cpu_spread: spread(&of(|sample| sample.cpu_seconds)).unwrap_or(0.0),
            p50_us: middle(|sample| sample.p50_us)?,
            p99_us: middle(|sample| sample.p99_us)?,
        })
    }

    /// CPU of ours as a share of `other`'s.
    fn ratio(&self, mode: Mode, other: Side) -> Result<f64> {
        let ours = self.middle(mode, Side::Ours)?.cpu_seconds;
        let theirs = self.middle(mode, other)?.cpu_seconds;
        anyhow::ensure!(
            theirs > 0.0,
            "{} used no CPU time, which cannot be",
            other.words()
        );
        Ok(ours / theirs)
    }

    /// CPU seconds for 100,000 requests by thread of one side under the keep-alive load; idle threads left out.
    fn threads(&self, side: Side) -> BTreeMap<&str, f64> {
        let samples = self
            .samples
            .get(&(Mode::KeepAlive, side))
            .map_or(&[][..], Vec::as_slice);
        let mut threads: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, used) in samples.iter().flat_map(|sample| &sample.threads) {
            threads.entry(name).or_default().push(*used);
        }
        let middles = threads
            .into_iter()
            .filter_map(|(name, used)| Some((name, median(&used)?)));
        middles.filter(|(_, used)| *used >= 0.005).collect()
    }

    fn ratios(&self) -> Result<Vec<(&'static str, f64, &'static str)>> {
        Ok(vec![
            (
                "cpu_vs_nginx",
                self.ratio(Mode::KeepAlive, Side::Nginx)?,
                "nginx, keep-alive",
            ),
            (
                "cpu_vs_auth_request",
                self.ratio(Mode::KeepAlive, Side::AuthRequest)?,
                "nginx + auth_request, keep-alive",
            ),
            (
                "cpu_vs_nginx_new_connections",
                self.ratio(Mode::NewConnections, Side::Nginx)?,
                "nginx, new connections",
            ),
            (
                "cpu_vs_auth_request_new_connections",
                self.ratio(Mode::NewConnections, Side::AuthRequest)?,
                "nginx + auth_request, new connections",
            ),
            (
                "cpu_vs_hyper",
                self.ratio(Mode::KeepAlive, Side::Bare)?,
                "hyper alone, keep-alive",
            ),
        ])
    }

    /// The table for people.
    pub(crate) fn table(&self) -> Result<String> {
        let mut text = String::new();
        let mut line = |words: String| {
            text += words.trim_end();
            text.push('\n');
        };
        line(String::new());
        for (name, value) in &self.machine {
            line(format!(
                "{name}: {}",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            ));
        }
        if let Some(handshake) = &self.handshake {
            line(format!(
                "TLS of every side: {}, {}, {}",
                handshake.version, handshake.suite, handshake.group
            ));
        }
        let mut mode_before = None;
        for (mode, side) in self.samples.keys() {
            if mode_before.replace(*mode) != Some(*mode) {
                line(String::new());
                line(format!(
                    "{:<28} {:>12} {:>16} {:>7} {:>9} {:>9}",
                    mode.words(),
                    "requests/s",
                    "CPU s/100,000",
                    "spread",
                    "p50 ms",
                    "p99 ms"
                ));
            }
            let middle = self.middle(*mode, *side)?;
            line(format!(
                "  {:<26} {:>12.0} {:>16.2} {:>6.0}% {:>9.2} {:>9.2}",
                side.words(),
                middle.requests_per_second,
                middle.cpu_seconds,
                middle.cpu_spread * 100.0,
                middle.p50_us / 1e3,
                middle.p99_us / 1e3,
            ));
        }
        line(String::new());
        line("CPU of asepsis as a share of".into());
        for (_, ratio, words) in self.ratios()? {
            line(format!("  {words:<40} {ratio:>6.2}"));
        }
        line(String::new());
        line("CPU s/100,000 by thread, keep-alive".into());
        for side in Side::ALL {
            for (name, used) in self.threads(side) {
                line(format!("  {:<26} {name:<16} {used:>6.2}", side.words()));
            }
        }
        if let Some((records, requests)) = self.records {
            line(String::new());
            line(format!(
                "audit log of asepsis: {records} records for {requests:.0} requests, verified"
            ));
        }
        if let Some(stages) = &self.stages {
            line(String::new());
            line("stages of asepsis, microseconds a request".into());
            for (name, mean_us) in stages {
                line(format!("  {name:<40} {mean_us:>6.1}"));
            }
        }
        Ok(text)
    }

    /// The line for programs.
    pub(crate) fn json(&self) -> Result<Value> {
        let ratios: Map<String, Value> = self
            .ratios()?
            .into_iter()
            .map(|(name, ratio, _)| (name.to_owned(), rounded(ratio)))
            .collect();
        let mut sides = Map::new();
        let mut durable = Vec::new();
        for (mode, side) in self.samples.keys() {
            let middle = self.middle(*mode, *side)?;
            let mut figures = json!({
                "requests_per_second": rounded(middle.requests_per_second),
                "cpu_seconds_per_100k": rounded(middle.cpu_seconds),
                "cpu_spread": rounded(middle.cpu_spread),
                "p50_us": rounded(middle.p50_us),
                "p99_us": rounded(middle.p99_us),
            });
            if let Mode::Durable(connections) = mode {
                figures["connections"] = (*connections).into();
                durable.push(figures);
            } else {
                if *mode == Mode::KeepAlive {
                    let threads = self
                        .threads(*side)
                        .into_iter()
                        .map(|(name, used)| (name.to_owned(), rounded(used)));
                    figures["cpu_seconds_per_100k_by_thread"] =
                        threads.collect::<Map<String, Value>>().into();
                }
                let of_side = sides.entry(side.key()).or_insert_with(|| json!({}));
                of_side[mode.key()] = figures;
            }
        }
        let handshake = self.handshake.as_ref().map(|agreed| {
            json!({ "version": agreed.version, "suite": agreed.suite, "group": agreed.group })
        });
        let stages = self.stages.as_ref().map(|stages| {
            stages
                .iter()
                .map(|(name, mean_us)| (name.clone(), rounded(*mean_us)))
                .collect::<Map<String, Value>>()
        });
        Ok(json!({
            "ratios": ratios,
            "sides": sides,
            "durable": durable,
            "stages": stages,
            "audit": self.records.map(|(records, requests)| json!({ "records": records, "requests": requests })),
            "tls": handshake,
            "machine": self.machine,
        }))
    }

    /// One line a measured load, while it runs.
    pub(crate) fn progress(mode: Mode, side: Side, sample: &Sample) -> String {
        let mut text = format!("  {:<28} {:<22}", mode.words(), side.words());
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{:>9.0}/s {:>7.2} CPU s/100,000   p50 {:>7.2} ms   p99 {:>7.2} ms",
            sample.requests_per_second,
            sample.cpu_seconds,
            sample.p50_us / 1e3,
            sample.p99_us / 1e3
        );
        text
    }
}

/// Four decimals say all that the measurement knows.
fn rounded(value: f64) -> Value {
    json!((value * 1e4).round() / 1e4)
}
