//! The sample hospital's network under the eyes of a real sensor: last week's packets at once, then those of each second.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use capture::{Input, Job};
use console::estate::SensorState;
use domain::observation::{Sink, Source, SourceKind};
use domain::{Flow, Observation, SourceId, Timestamp};
use sample::{Hospital, Network};
use sense::{Limits, LinkType, Sensor};

use crate::clock;
use crate::estate::Estate;

/// How far back the sample hospital's packets go.
const PAST: Duration = Duration::from_secs(7 * 86_400);
/// How much of the past is made at a time.
const STRETCH: Duration = Duration::from_secs(6 * 3600);
/// Name of the sensor and of its source.
const MIRROR: &str = "core-mirror";
/// Name of the hospital's register as a source.
const REGISTER: &str = "hospital register";

/// Gives the register a name for people: the file lies in a folder that goes with the demo.
struct Named<S>(S);

impl<S: Sink> Sink for Named<S> {
    fn observe(&mut self, observation: Observation) {
        self.0.observe(observation);
    }

    fn flow(&mut self, flow: Flow) {
        self.0.flow(flow);
    }

    fn source(&mut self, source: Source) -> SourceId {
        self.0.source(Source {
            name: REGISTER.into(),
            ..source
        })
    }
}

/// The sensor at the sample hospital's mirror port. It ends when this goes.
pub(super) struct Wire {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wire {
    /// Reads the hospital's register, then begins to listen.
    pub(super) fn begin(
        hospital: &Arc<Hospital>,
        estate: &Estate,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let network = Network::of(hospital);
        let register = data.join("register.csv");
        std::fs::write(&register, network.register().csv)
            .with_context(|| format!("cannot write `{}`", register.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, estate) = (Arc::clone(&stop), estate.clone());
        let thread = std::thread::Builder::new()
            .name("core-mirror".to_owned())
            .spawn(move || {
                let job = Job::new(
                    vec![Input::File(register)],
                    capture::Options::new(clock::now),
                );
                job.run(&mut Named(estate.sink()), &mut |_| {});
                listen(&network, &estate, &told);
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A fault in it was told when it happened.
            let _ = thread.join();
        }
    }
}

fn listen(network: &Network, estate: &Estate, stop: &AtomicBool) {
    let mut sink = estate.sink();
    let source: SourceId = sink.source(Source {
        name: MIRROR.into(),
        kind: SourceKind::Packets,
    });
    let mut sensor = Sensor::new(source, Limits::default());
    let mut from = clock::now().minus(PAST);
    let mut packets = 0;
    while !stop.load(Ordering::Acquire) {
        let now = clock::now();
        let until = from.plus(STRETCH).min(now);
        let is_past = until < now;
        packets += hear(network, &mut sensor, from, until, &mut sink, stop);
        from = until;
        sensor.tick(until, &mut sink);
        estate.set_sensor(SensorState {
            name: MIRROR.to_owned(),
            words: if is_past {
                "catching up on last week"
            } else {
                "mirror port of core-sw"
            }
            .to_owned(),
            good: true,
            packets,
            lost: 0,
        });
        if !is_past {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    sensor.finish(&mut sink);
}

/// Gives the sensor the packets of a stretch of time, and says how many.
fn hear(
    network: &Network,
    sensor: &mut Sensor,
    from: Timestamp,
    until: Timestamp,
    sink: &mut impl Sink,
    stop: &AtomicBool,
) -> u64 {
    let mut count = 0;
    for packet in network.packets(from, until) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        sensor.packet(
            packet.at,
            LinkType::Ethernet,
            &packet.bytes,
            packet.bytes.len(),
            sink,
        );
        count += 1;
    }
    count
}
