//! The packets of one capture over several sensors, each with its thread, merged in the order of the packets.
//!
//! A batch goes to all workers at once; each takes the packets of its lane. What the workers say of a batch is given to
//! the sink in the order of the packets before anything of the next batch, so that the outcome depends on the file and
//! the number of lanes, never on which thread was faster. A fact that several lanes see is said once by each.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use domain::Timestamp;
use domain::conversation::Flow;
use domain::observation::{Observation, Sink, SourceId};
use sense::{Counters, Limits, LinkType, Sensor};

/// Batches under way.
const DEPTH: usize = 4;

/// A packet inside a batch.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) octets: Range<usize>,
    pub(crate) at: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) length: usize,
    pub(crate) lane: u16,
}

/// Packets with the octets they lie in.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) octets: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

enum Said {
    Observation(Observation),
    Flow(Flow),
}

/// Keeps what is said with the number of the packet that it came with.
#[derive(Default)]
struct Numbered {
    packet: usize,
    said: Vec<(usize, Said)>,
}

impl Sink for Numbered {
    fn observe(&mut self, observation: Observation) {
        self.said
            .push((self.packet, Said::Observation(observation)));
    }

    fn flow(&mut self, flow: Flow) {
        self.said.push((self.packet, Said::Flow(flow)));
    }
}

struct Worker {
    batches: SyncSender<Arc<Batch>>,
    said: Receiver<Vec<(usize, Said)>>,
    thread: JoinHandle<Counters>,
}

/// Several sensors over one capture.
pub(crate) struct Spread {
    workers: Vec<Worker>,
    under_way: VecDeque<()>,
}

impl Spread {
    pub(crate) fn new(lanes: u16, source: SourceId, limits: Limits) -> Self {
        let workers = (0..lanes)
            .map(|lane| {
                let (batches, take) = sync_channel::<Arc<Batch>>(DEPTH + 1);
                let (give, said) = sync_channel(DEPTH + 2);
                let thread = std::thread::spawn(move || {
                    let mut sensor = Sensor::new(source, limits);
                    while let Ok(batch) = take.recv() {
                        let mut sink = Numbered::default();
                        for (number, item) in batch.items.iter().enumerate() {
                            if item.lane == lane {
                                sink.packet = number;
                                let octets =
                                    batch.octets.get(item.octets.clone()).unwrap_or_default();
                                sensor.packet(item.at, item.link, octets, item.length, &mut sink);
                            }
                        }
                        // Time passes for a lane without packets too.
                        if let Some(last) = batch.items.last() {
                            sink.packet = batch.items.len();
                            sensor.tick(last.at, &mut sink);
                        }
                        if give.send(sink.said).is_err() {
                            break;
                        }
                    }
                    let mut sink = Numbered::default();
                    sensor.finish(&mut sink);
                    let _ = give.send(sink.said);
                    *sensor.counters()
                });
                Worker {
                    batches,
                    said,
                    thread,
                }
            })
            .collect();
        Self {
            workers,
            under_way: VecDeque::new(),
        }
    }

    /// Gives a batch to the workers; takes back what is older than [`DEPTH`] batches.
    pub(crate) fn give(&mut self, batch: Batch, sink: &mut impl Sink) {
        let batch = Arc::new(batch);
        for worker in &self.workers {
            // A worker that died has its place in the outcome: `finish` notices.
            let _ = worker.batches.send(Arc::clone(&batch));
        }
        self.under_way.push_back(());
        if self.under_way.len() > DEPTH {
            self.merge(sink);
        }
    }

    /// Takes back the oldest batch of each worker.
    fn merge(&mut self, sink: &mut impl Sink) {
        self.under_way.pop_front();
        let mut all: Vec<(usize, Said)> = Vec::new();
        for worker in &self.workers {
            all.extend(worker.said.recv().unwrap_or_default());
        }
        // Stable: what two lanes say after the last packet stays in the order of the lanes.
        all.sort_by_key(|(packet, _)| *packet);
        for (_, said) in all {
            match said {
                Said::Observation(observation) => sink.observe(observation),
                Said::Flow(flow) => sink.flow(flow),
            }
        }
    }

    /// Takes back everything; answers the counters of all. Absent: a worker failed, which the sensors' promise to be
    /// total excludes.
    pub(crate) fn finish(mut self, sink: &mut impl Sink) -> Option<Counters> {
        while !self.under_way.is_empty() {
            self.merge(sink);
        }
        let mut counters = Counters::default();
        let mut whole = true;
        for worker in self.workers {
            drop(worker.batches);
            for (_, said) in worker.said.recv().unwrap_or_default() {
                match said {
                    Said::Observation(observation) => sink.observe(observation),
                    Said::Flow(flow) => sink.flow(flow),
                }
            }
            match worker.thread.join() {
                Ok(found) => counters.add(&found),
                Err(_) => whole = false,
            }
        }
        whole.then_some(counters)
    }
}
