//! What the targets of the sensor share: small limits, a sink that sees that promises are kept, packets round payloads.

use std::time::Duration;

use domain::observation::{Fact, Observation, Sink, VALUE_MAX};
use domain::{Flow, SourceId, Timestamp};
use sense::{Limits, LinkType, Sensor};

const START_MS: i64 = 1_795_336_205_000;

/// Limits that a few kilobytes of input reach.
fn limits() -> Limits {
    Limits {
        flows_max: 16,
        reassembly_bytes_max: 64 << 10,
        stream_bytes_max: 2 << 10,
        fragments_max: 4,
        fragment_bytes_max: 32 << 10,
        remembered_max: 256,
        remember: Duration::from_secs(60),
        idle: Duration::from_secs(10),
        settle: Duration::from_secs(1),
        report_every: Duration::from_secs(5),
        services_max: 4,
    }
}

/// Sees that whatever is said keeps its promises.
#[derive(Debug, Default)]
struct Strict {
    begun: u64,
}

impl Sink for Strict {
    fn observe(&mut self, observation: Observation) {
        if let Fact::Evidence { value, .. } = &observation.fact {
            assert!(!value.is_empty() && value.len() <= VALUE_MAX);
            assert!(!value.chars().any(char::is_control));
        }
    }

    fn flow(&mut self, flow: Flow) {
        assert!(flow.first <= flow.last);
        assert!(flow.meanings.len() <= 16);
        self.begun += u64::from(flow.begins);
    }
}

/// A sensor under test.
#[derive(Debug)]
pub struct Subject {
    sensor: Sensor,
    sink: Strict,
    now: i64,
}

impl Default for Subject {
    fn default() -> Self {
        Self {
            // Known words, so that an input that fails fails again.
            sensor: Sensor::with_danger_known_seed(SourceId(0), limits(), (3, 5)),
            sink: Strict::default(),
            now: START_MS,
        }
    }
}

impl Subject {
    /// Gives one packet, `after` milliseconds after the one before.
    pub fn packet(&mut self, link: LinkType, octets: &[u8], after: i64) {
        self.now = self.now.saturating_add(after);
        let at = Timestamp::from_millis(self.now);
        self.sensor
            .packet(at, link, octets, octets.len(), &mut self.sink);
        assert!(self.sensor.flows() <= limits().flows_max);
    }

    /// Gives a datagram from or to `port`.
    pub fn datagram(&mut self, port: u16, payload: &[u8], back: bool) {
        let mut body = ends(port, back);
        let length = u16::try_from(8 + payload.len()).unwrap_or(0);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(payload);
        self.packet(LinkType::Ethernet, &ethernet(17, &body, back), 10);
    }

    /// Gives a segment of one stream from or to `port`.
    pub fn segment(&mut self, port: u16, sequence: u32, flags: u8, payload: &[u8], back: bool) {
        let mut body = ends(port, back);
        body.extend_from_slice(&sequence.to_be_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 1, 1, 0, 0, 0, 0]);
        body.extend_from_slice(payload);
        self.packet(LinkType::Ethernet, &ethernet(6, &body, back), 10);
    }

    /// Ends it: every flow was begun once.
    pub fn finish(mut self) {
        self.sensor.finish(&mut self.sink);
        assert_eq!(self.sensor.flows(), 0);
        assert_eq!(self.sink.begun, self.sensor.counters().flows);
    }
}

fn ends(port: u16, back: bool) -> Vec<u8> {
    let (from, to) = if back { (port, 40_000) } else { (40_000, port) };
    let mut body = u16::to_be_bytes(from).to_vec();
    body.extend_from_slice(&u16::to_be_bytes(to));
    body
}

fn ethernet(protocol: u8, body: &[u8], back: bool) -> Vec<u8> {
    let (from, to) = if back { (2, 1) } else { (1, 2) };
    let [high, low] = u16::try_from(20 + body.len()).unwrap_or(0).to_be_bytes();
    let mut octets = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    octets.extend_from_slice(&[0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0]);
    octets.extend_from_slice(&[10, 0, 0, from, 10, 0, 0, to]);
    octets.extend_from_slice(body);
    octets
}

/// The pieces of an input: each behind two octets, of which the first bit says "from the server" and the rest how long
/// the piece is.
pub fn pieces(data: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high & 0x7f, *low])).min(tail.len());
        let (piece, after) = tail.split_at(length);
        rest = after;
        Some((high & 0x80 != 0, piece))
    })
}

/// A target for a protocol over UDP: datagrams in both directions.
pub fn datagrams(port: u16, data: &[u8]) {
    let mut subject = Subject::default();
    for (back, piece) in pieces(data) {
        subject.datagram(port, piece, back);
    }
    subject.finish();
}

/// A target for a protocol over TCP: one stream that is opened properly, then octets in both directions.
pub fn streams(port: u16, data: &[u8]) {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let mut subject = Subject::default();
    subject.segment(port, u32::MAX, SYN, &[], false);
    subject.segment(port, u32::MAX, SYN | ACK, &[], true);
    let mut next = [0_u32; 2];
    for (back, piece) in pieces(data) {
        let sequence = &mut next[usize::from(back)];
        subject.segment(port, *sequence, ACK, piece, back);
        *sequence = sequence.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
    }
    subject.finish();
}

/// A target for a protocol of the link layer: frames to its group with its Ethertype or, below 1501, a length.
pub fn frames(destination: [u8; 6], head: &[u8], data: &[u8]) {
    let mut subject = Subject::default();
    for (_, piece) in pieces(data) {
        let mut octets = destination.to_vec();
        octets.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
        octets.extend_from_slice(head);
        octets.extend_from_slice(piece);
        subject.packet(LinkType::Ethernet, &octets, 10);
    }
    subject.finish();
}
