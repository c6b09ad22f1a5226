//! How much a sensor may hold.

use std::time::Duration;

/// Bounds of one [`Sensor`](crate::Sensor). Everything that traffic can grow is bounded here.
///
/// With the default a sensor holds at most about 200 MiB, and far less while traffic is ordinary: tables grow with
/// what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows at once. About 220 octets each; when full, one of the longest silent gives way and is reported.
    pub flows_max: usize,
    /// Octets that all TCP reassembly may hold together.
    pub reassembly_bytes_max: usize,
    /// First octets of each direction of a TCP stream that a parser may hold at once.
    pub stream_bytes_max: usize,
    /// IP datagrams in reassembly at once, each at most 64 KiB; together at most `fragment_bytes_max`.
    pub fragments_max: usize,
    /// Octets that all fragments may hold together.
    pub fragment_bytes_max: usize,
    /// Facts remembered as said. 8 octets each.
    pub remembered_max: usize,
    /// How long a fact that was said is not said again.
    pub remember: Duration,
    /// Silence after which a flow has ended.
    pub idle: Duration,
    /// Silence after which a datagram flow of a few packets, or a TCP flow that was closed, has ended, and the age at
    /// which a flow that nothing was recognised in is first reported.
    pub settle: Duration,
    /// How often a flow that goes on is reported.
    pub report_every: Duration,
    /// Services that a party is said to serve, and as many that it is said to use, before it counts as "many".
    pub services_max: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows_max: 1 << 18,
            reassembly_bytes_max: 64 << 20,
            stream_bytes_max: 32 << 10,
            fragments_max: 256,
            fragment_bytes_max: 4 << 20,
            remembered_max: 1 << 20,
            remember: Duration::from_secs(3600),
            idle: Duration::from_secs(120),
            settle: Duration::from_secs(5),
            report_every: Duration::from_secs(60),
            services_max: 32,
        }
    }
}
