//! `asepsis sensor`: a sensor on a host of its own. What it sees goes into the spool, and from there to the centre.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use console::estate::SensorState;
use domain::observation::{Sink, Source, SourceId};
use domain::{Flow, Observation};
use parking_lot::Mutex;
use serde_json::json;

use super::batch::{BATCH_BYTES_MAX, Batch, Counts};
use super::spool::Spool;
use super::uplink::{self, Centre};
use super::{Observer, watch};
use crate::cli;
use crate::config::SensorHost;
use crate::failure::{Blame, Failure};
use crate::output::Output;
use crate::server;

/// How often what was seen becomes a batch.
const EVERY: Duration = Duration::from_secs(1);
/// Observations and flows of a batch; more make a batch at once. Values are bounded, so that this many stay below
/// [`BATCH_BYTES_MAX`].
const ITEMS_MAX: usize = 5_000;

/// Collects batches for the spool. Clones share it.
#[derive(Clone)]
struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    spool: Arc<Spool>,
    open: Mutex<Batch>,
    /// Packets seen and lost so far, by sensor.
    seen: Mutex<Vec<(String, u64, u64)>>,
}

impl Collector {
    fn add(&self, add: impl FnOnce(&mut Batch)) {
        let mut batch = self.shared.open.lock();
        add(&mut batch);
        if batch.observations.len() + batch.flows.len() >= ITEMS_MAX {
            self.close(&mut batch);
        }
    }

    /// Puts the open batch into the spool.
    fn close(&self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let fresh = Batch {
            sources: batch.sources.clone(),
            ..Batch::default()
        };
        let mut full = std::mem::replace(batch, fresh);
        full.counts.lost_batches += self.shared.spool.take_lost();
        if let Err(error) = self.keep(&full) {
            tracing::error!(
                error = format!("{error:#}"),
                "a batch could not be kept and is lost"
            );
            // The next one tells of it.
            batch.counts.add(full.counts);
            batch.counts.lost_batches += 1;
        }
    }

    fn keep(&self, batch: &Batch) -> anyhow::Result<()> {
        let body = serde_json::to_vec(batch)?;
        anyhow::ensure!(
            body.len() <= BATCH_BYTES_MAX,
            "a batch has {} octets, more than the centre takes",
            body.len()
        );
        self.shared.spool.put(&body)
    }
}

impl Observer for Collector {
    type Sink = Self;

    fn sink(&self) -> Self {
        self.clone()
    }

    fn state(&self, state: SensorState) {
        let mut seen = self.shared.seen.lock();
        let (packets, lost) = match seen.iter_mut().find(|(name, _, _)| *name == state.name) {
            Some((_, packets, lost)) => (
                std::mem::replace(packets, state.packets),
                std::mem::replace(lost, state.lost),
            ),
            None => {
                seen.push((state.name, state.packets, state.lost));
                (0, 0)
            }
        };
        let more = Counts {
            packets: state.packets.saturating_sub(packets),
            lost_packets: state.lost.saturating_sub(lost),
            lost_batches: 0,
        };
        self.shared.open.lock().counts.add(more);
    }
}

impl Sink for Collector {
    fn observe(&mut self, observation: Observation) {
        self.add(|batch| batch.observations.push(observation));
    }

    fn flow(&mut self, flow: Flow) {
        self.add(|batch| batch.flows.push(flow));
    }

    fn source(&mut self, source: Source) -> SourceId {
        let mut batch = self.shared.open.lock();
        let place = batch
            .sources
            .iter()
            .position(|s| *s == source)
            .unwrap_or_else(|| {
                batch.sources.push(source);
                batch.sources.len() - 1
            });
        SourceId(u16::try_from(place).unwrap_or(u16::MAX))
    }
}

/// Runs until it is asked to stop.
pub(crate) fn run(args: &cli::SensorHost, output: Output) -> Result<ExitCode, Failure> {
    let config = SensorHost::load(&args.config).map_err(Failure::Input)?;
    let spool = Spool::open(&config.spool, config.spool_bytes_max).map_err(Failure::Input)?;
    let spool = Arc::new(spool);
    let collector = Collector {
        shared: Arc::new(Shared {
            spool: Arc::clone(&spool),
            open: Mutex::default(),
            seen: Mutex::default(),
        }),
    };
    let centre = Centre {
        host: config.centre.host.clone(),
        port: config.centre.port,
        tls: Arc::clone(&config.tls),
    };
    let runtime = server::runtime(Some(1))?;
    let watching = watch(&config.sensors, &collector).running("starting the sensors")?;
    let names: Vec<&str> = config.sensors.iter().map(|s| s.name.as_str()).collect();
    if output.is_json() {
        output.json(&json!({ "ready": true, "sensors": names, "centre": format!("{}:{}", centre.host, centre.port) }))?;
    } else {
        output.line(&format!(
            "{} sends to {}:{}. Ctrl-C stops it.",
            names.join(", "),
            centre.host,
            centre.port
        ))?;
    }
    runtime.block_on(async {
        let ticking = async {
            loop {
                tokio::time::sleep(EVERY).await;
                collector.close(&mut collector.shared.open.lock());
            }
        };
        tokio::select! {
            () = server::asked_to_stop() => {}
            () = uplink::keep_sending(centre, spool) => {}
            () = ticking => {}
        }
    });
    watching.stop();
    collector.close(&mut collector.shared.open.lock());
    Ok(ExitCode::SUCCESS)
}
