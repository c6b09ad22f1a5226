//! How long anything may take and how large it may be. Every queue, buffer and wait of the gateway has its bound here.

use std::time::Duration;

/// Bounds of the gateway. [`Limits::default`] is meant for production.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections open at once, over all listeners; further ones wait in the kernel's accept queue.
    pub connections_max: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time from the first byte of a request head to its last.
    pub head: Duration,
    /// Time that a kept-alive connection may wait for its next request.
    pub keep_alive: Duration,
    /// Time without a byte moving while a response is being written to a client that does not read.
    pub write_stall: Duration,
    /// Time between two pieces of a request body.
    pub body_idle: Duration,
    /// Request head, in bytes.
    pub head_bytes_max: usize,
    /// Request header fields.
    pub headers_max: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams_max: u32,
    /// HTTP/2 streams that a client may have reset before they were accepted.
    pub pending_resets_max: usize,
    /// HTTP/2 streams that the gateway may reset for a client's errors before it closes the connection.
    pub error_resets_max: usize,
    /// Request body of a FHIR write or a POST search, in bytes: it is read whole, because judging needs it.
    pub fhir_request_max: usize,
    /// FHIR response, in bytes: it is read whole, because each resource in it is judged.
    pub fhir_response_max: usize,
    /// Bytes that all FHIR bodies being read whole may occupy together.
    pub buffered_max: usize,
    /// Request body for an endpoint inside the program, in bytes.
    pub internal_request_max: usize,
    /// Connections to one upstream, in use and idle together.
    pub upstream_connections_max: usize,
    /// Idle connections kept for one upstream.
    pub upstream_idle_max: usize,
    /// How long an unused upstream connection is kept.
    pub upstream_keep_alive: Duration,
    /// Time to get an upstream connection, with TLS, and to wait for a free place.
    pub upstream_connect: Duration,
    /// Time from the end of the request to the first byte of the response.
    pub upstream_first_byte: Duration,
    /// Time between two pieces of a response body, or of an upgraded stream in both directions. Event streams are
    /// exempt: their silence is no fault.
    pub upstream_idle: Duration,
    /// Response head of an upstream, in bytes.
    pub upstream_head_bytes_max: usize,
    /// How long connections may finish after the shutdown signal before they are cut.
    pub drain: Duration,
    /// Hostile or anonymous requests that are recorded one by one each second; the rest are counted in one record.
    pub refusals_recorded_per_sec: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            head_bytes_max: 64 * 1024,
            headers_max: 100,
            streams_max: 128,
            pending_resets_max: 20,
            error_resets_max: 128,
            fhir_request_max: 4 * 1024 * 1024,
            fhir_response_max: 16 * 1024 * 1024,
            buffered_max: 512 * 1024 * 1024,
            internal_request_max: 1024 * 1024,
            upstream_connections_max: 1024,
            upstream_idle_max: 256,
            upstream_keep_alive: Duration::from_secs(30),
            upstream_connect: Duration::from_secs(5),
            upstream_first_byte: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(120),
            upstream_head_bytes_max: 64 * 1024,
            drain: Duration::from_secs(20),
            refusals_recorded_per_sec: 50,
        }
    }
}
