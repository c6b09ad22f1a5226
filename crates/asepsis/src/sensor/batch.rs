//! What a sensor sends to the centre at a time.

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
    /// Packets that the sensor lost since the last batch, in the kernel or for lack of room.
    #[serde(default)]
    pub(crate) lost_packets: u64,
    /// Batches that the sensor threw away because its spool was full.
    #[serde(default)]
    pub(crate) lost_batches: u64,
}

impl Batch {
    /// Whether there is anything in it that the centre does not know.
    pub(crate) fn is_empty(&self) -> bool {
        self.observations.is_empty() && self.flows.is_empty() && self.lost_packets == 0
    }
}

/// The longest batch that the centre reads, in octets of JSON.
pub(crate) const BATCH_BYTES_MAX: usize = 16 << 20;

/// Names the batch among those of one spool.
pub(crate) const SEQUENCE_HEADER: &str = "asepsis-sequence";
/// Names the spool: a sensor that lost its disk begins a new one.
pub(crate) const SPOOL_HEADER: &str = "asepsis-spool";
/// Where batches go.
pub(crate) const BATCH_PATH: &str = "/sensor/batches";
