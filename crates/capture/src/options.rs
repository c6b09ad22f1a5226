//! How a job reads.

use std::fmt;
use std::sync::Arc;

use domain::Timestamp;
use sense::Limits;
use sense::records::Mapping;

/// How a job reads.
#[derive(Clone)]
pub struct Options {
    /// Sensors that share the packets of a capture file; 1 by default. Packets between two addresses go to one of them,
    /// and what they say comes in the order of the packets, whatever the threads do.
    pub cores: usize,
    /// Bounds of each sensor.
    pub limits: Limits,
    /// Column mappings of registers; the first that fits a file's header is used, else one is guessed.
    pub mappings: Vec<Mapping>,
    /// How many times larger than its compressed form a file may become, beyond the first 64 MiB; 500 by default.
    pub expansion_max: u32,
    /// Queues of an interface, each with its thread and sensor; 1 by default.
    pub queues: usize,
    /// Octets of the ring of each queue; 32 MiB by default.
    pub ring_bytes: usize,
    /// Whether an interface also takes frames that are not for it, as a mirror port needs; true by default.
    pub promiscuous: bool,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Options {
    /// The default, with the program's clock. It is asked for the times of records without a time on standard input, of
    /// datagrams on sockets, and of ticks on silent interfaces.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            cores: 1,
            limits: Limits::default(),
            mappings: Vec::new(),
            expansion_max: 500,
            queues: 1,
            ring_bytes: 32 << 20,
            promiscuous: true,
            now: Arc::new(now),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cores", &self.cores)
            .field("limits", &self.limits)
            .field("mappings", &self.mappings.len())
            .field("expansion_max", &self.expansion_max)
            .field("queues", &self.queues)
            .field("ring_bytes", &self.ring_bytes)
            .field("promiscuous", &self.promiscuous)
            .finish_non_exhaustive()
    }
}
