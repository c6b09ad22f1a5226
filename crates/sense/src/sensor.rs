//! The sensor: packets in, observations and flows out.

mod core;
mod services;
mod transport;

use domain::Timestamp;
use domain::observation::{Sink, SourceId};

use self::core::Core;
use crate::counters::Counters;
use crate::hash::Keyed;
use crate::limits::Limits;
use crate::link::LinkType;

/// Takes the packets of one source, one thread's share of them, and says what they show.
///
/// Give all packets between two addresses to one sensor ([`lane`](crate::lane) chooses one of several), in the order
/// of their capture. Memory stays within [`Limits`] whatever comes; steady traffic allocates nothing.
#[derive(Debug)]
pub struct Sensor {
    core: Core,
}

impl Sensor {
    /// A sensor that names `source` in what it says.
    pub fn new(source: SourceId, limits: Limits) -> Self {
        Self {
            core: Core::new(source, limits, Keyed::random()),
        }
    }

    /// The same with given secret words for its hash tables, so that two runs agree in everything, even in what gives
    /// way when a table is full. Whoever knows the words can fill one bucket at will.
    pub fn with_danger_known_seed(source: SourceId, limits: Limits, seed: (u64, u64)) -> Self {
        Self {
            core: Core::new(source, limits, Keyed::from_words(seed.0, seed.1)),
        }
    }

    /// Takes one packet: the octets captured, and how many there were on the wire.
    pub fn packet(
        &mut self,
        at: Timestamp,
        link: LinkType,
        bytes: &[u8],
        length: usize,
        sink: &mut impl Sink,
    ) {
        let at = sane(at);
        if self.core.is_time(at) {
            self.tick(at, sink);
        }
        self.core.packet(at, link, bytes, length);
        self.hand_over(sink);
    }

    /// Lets time pass: reports flows that are due and ends those that fell silent. Packets do this too, so that a
    /// capture file needs no tick; a live source calls it about once a second.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl Sink) {
        let now = sane(now);
        while self.core.pass_time(now) {
            self.hand_over(sink);
        }
        self.hand_over(sink);
    }

    /// Reports and ends everything that is left.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        while self.core.end_some() {
            self.hand_over(sink);
        }
        self.hand_over(sink);
    }

    /// Counts so far.
    pub const fn counters(&self) -> &Counters {
        &self.core.out.counters
    }

    /// Number of flows held now.
    pub const fn flows(&self) -> usize {
        self.core.flows.len()
    }

    #[inline]
    fn hand_over(&mut self, sink: &mut impl Sink) {
        let out = &mut self.core.out;
        if !out.observations.is_empty() {
            out.observations
                .drain(..)
                .for_each(|observation| sink.observe(observation));
        }
        if !out.flows.is_empty() {
            out.flows.drain(..).for_each(|flow| sink.flow(flow));
        }
    }
}

/// A time that arithmetic in milliseconds cannot carry over: within some hundred thousand years of 1970.
fn sane(at: Timestamp) -> Timestamp {
    const FAR_MS: i64 = 1 << 52;
    Timestamp::from_millis(at.as_millis().clamp(-FAR_MS, FAR_MS))
}
