//! Sensors: those of this host, and those on other hosts that send here.

mod batch;
mod host;
mod intake;
mod spool;
mod taken;
mod uplink;

use std::time::Duration;

use capture::{Input, Job, Watch};
use console::estate::SensorState;
use domain::observation::{Sink, Source, SourceId};
use domain::{Flow, Observation};

use crate::clock;
use crate::config::{Sees, SensorConfig};
use crate::estate::Estate;

pub(crate) use batch::Counts;
pub(crate) use host::run as run_host;
pub(crate) use intake::{Intake, Take};
pub(crate) use taken::{Places, Taken};

use batch::Batch;

/// After which time a sensor that ended, because its interface is gone or may not be opened, begins again.
const AGAIN: Duration = Duration::from_secs(15);

/// Sensors of this host at work. They end when this goes.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    watches: Vec<Watch>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Watching {
    /// Ends the sensors and waits for them.
    pub(crate) fn stop(self) {
        for watch in &self.watches {
            watch.cancel();
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a sensor ended by a fault in the program");
            }
        }
    }
}

/// Tells how a sensor is doing.
pub(crate) trait Observer: Clone + Send + 'static {
    /// Where its observations go.
    type Sink: Sink;

    /// A sink for one sensor.
    fn sink(&self) -> Self::Sink;
    /// What it is doing now.
    fn state(&self, state: SensorState);
}

impl Observer for Estate {
    type Sink = crate::estate::Intake;

    fn sink(&self) -> Self::Sink {
        Estate::sink(self)
    }

    fn state(&self, state: SensorState) {
        self.set_sensor(state);
    }
}

/// Puts this host's sensors to work, each on a thread of its own.
pub(crate) fn watch(
    sensors: &[SensorConfig],
    observer: &impl Observer,
) -> std::io::Result<Watching> {
    let mut watching = Watching::default();
    for sensor in sensors {
        let input = match &sensor.sees {
            Sees::Interface(name) => Input::Interface(name.clone()),
            Sees::NetFlow(address) => Input::NetFlowSocket(*address),
            Sees::SFlow(address) => Input::SFlowSocket(*address),
            Sees::Remote => continue,
        };
        // Cancelled from outside for good; each attempt has a watch of its own.
        let stop = Watch::default();
        watching.watches.push(stop.clone());
        let (name, observer) = (sensor.name.clone(), observer.clone());
        let thread = std::thread::Builder::new()
            .name(format!("sensor {name}"))
            .spawn(move || keep_watching(&name, &input, &stop, &observer))?;
        watching.threads.push(thread);
    }
    Ok(watching)
}

fn keep_watching(name: &str, input: &Input, stop: &Watch, observer: &impl Observer) {
    let (mut packets_before, mut lost_before) = (0, 0);
    while !stop.is_cancelled() {
        let job = Job::new(vec![input.clone()], capture::Options::new(clock::now));
        let watch = job.watch();
        let mut sink = observer.sink();
        let mut last = std::time::Instant::now();
        let mut packets_last = 0;
        let state = |words: String, good: bool, packets: u64, lost: u64| SensorState {
            name: name.to_owned(),
            words,
            good,
            packets,
            lost,
        };
        let outcome = job.run(&mut sink, &mut |progress| {
            if stop.is_cancelled() {
                watch.cancel();
            }
            for problem in &progress.news {
                tracing::warn!(sensor = name, %problem, "a sensor has a problem");
            }
            let passed = last.elapsed();
            if passed >= Duration::from_secs(1) {
                let seen = progress.packets + progress.records;
                let rate = (seen - packets_last) as f64 / passed.as_secs_f64();
                observer.state(state(
                    format!("{input}, {rate:.0} a second"),
                    true,
                    packets_before + seen,
                    lost_before + progress.dropped,
                ));
                (last, packets_last) = (std::time::Instant::now(), seen);
            }
        });
        packets_before += outcome.packets + outcome.records.rows;
        lost_before += outcome.dropped;
        if stop.is_cancelled() {
            return;
        }
        let words = outcome
            .problems
            .last()
            .map_or_else(|| format!("{input} ended"), ToString::to_string);
        tracing::warn!(
            sensor = name,
            problem = words,
            "a sensor does not see; it tries again"
        );
        observer.state(state(words, false, packets_before, lost_before));
        for _ in 0..AGAIN.as_millis() / 100 {
            if stop.is_cancelled() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Take for Estate {
    fn take(&self, name: &str, spool: &str, number: u64, batch: Batch) {
        let counts = batch.counts;
        let new = self.take_batch(name, spool, number, |inventory| {
            let numbers: Vec<SourceId> = batch
                .sources
                .into_iter()
                .map(|source| {
                    inventory.sources().add(Source {
                        name: format!("{name}: {}", source.name).into(),
                        kind: source.kind,
                    })
                })
                .collect();
            // A batch that names a source it did not bring says nothing that could be traced.
            let here = |source: SourceId| numbers.get(usize::from(source.0)).copied();
            for observation in batch.observations {
                if let Some(source) = here(observation.source) {
                    inventory.observe(Observation {
                        source,
                        ..observation
                    });
                }
            }
            for flow in batch.flows {
                if let Some(source) = here(flow.source) {
                    inventory.flow(Flow { source, ..flow });
                }
            }
        });
        if new {
            self.heard_of(name, counts);
        }
    }

    fn kept(&self, name: &str, spool: &str) -> u64 {
        self.heard_of(name, Counts::default());
        self.kept_of(name, spool)
    }
}
