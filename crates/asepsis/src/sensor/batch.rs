//! What a sensor sends to the centre at a time.
//!
//! `POST /sensor/batches` brings a batch; `GET` of the same asks how far the centre has the spool, and tells that the
//! sensor is there. Both are answered with 204 and the number of the last batch of the spool that is in the centre's file.

use domain::{Flow, Observation, Source};
use serde::{Deserialize, Serialize};

/// Observations and flows since the last batch. `SourceId`s are places in `sources`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The sensor's sources so far.
    pub(crate) sources: Vec<Source>,
    /// What was observed.
    pub(crate) observations: Vec<Observation>,
    /// What was added to flows.
    pub(crate) flows: Vec<Flow>,
    /// What the sensor counted since the last batch.
    #[serde(default)]
    pub(crate) counts: Counts,
}

/// What a sensor counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// Packets and flow records seen.
    pub(crate) packets: u64,
    /// Packets lost in the kernel or for lack of room.
    pub(crate) lost_packets: u64,
    /// Batches that were thrown away because the spool was full, could not be written or was not understood.
    pub(crate) lost_batches: u64,
}

impl Counts {
    /// Adds others.
    pub(crate) fn add(&mut self, more: Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.lost_packets = self.lost_packets.saturating_add(more.lost_packets);
        self.lost_batches = self.lost_batches.saturating_add(more.lost_batches);
    }
}

impl Batch {
    /// Whether there is anything in it that the centre does not know.
    pub(crate) fn is_empty(&self) -> bool {
        self.observations.is_empty() && self.flows.is_empty() && self.counts == Counts::default()
    }
}

/// The longest batch that the centre reads, in octets of JSON.
pub(crate) const BATCH_BYTES_MAX: usize = 16 << 20;

/// Names the batch among those of one spool; the first is 1.
pub(crate) const SEQUENCE_HEADER: &str = "asepsis-sequence";
/// Names the spool: a sensor that lost its disk begins a new one.
pub(crate) const SPOOL_HEADER: &str = "asepsis-spool";
/// In answers: the last batch of the spool that is in the centre's file; 0: none.
pub(crate) const KEPT_HEADER: &str = "asepsis-kept";
/// Where batches go.
pub(crate) const BATCH_PATH: &str = "/sensor/batches";

/// Whether this may be a spool's name.
pub(crate) fn is_spool_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}
