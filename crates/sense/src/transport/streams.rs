//! TCP streams under inspection: recognised by their first octets, then given to their dissector.

use domain::Timestamp;

use super::half::Half;
use crate::application::{
    First, Memory, Progress, STREAMS, Scene, StreamProtocol, Streams, Verdict,
};
use crate::findings::{Findings, Outbox};
use crate::flow::{Flow, NOWHERE, flag, spoken};

/// Octets of one direction that a recogniser may ask for.
const FIRST_MAX: usize = 2048;

/// Streams kept for use again, and the octets of each of their buffers.
const SPARE_MAX: usize = 256;
const SPARE_OCTETS: usize = 8 << 10;

/// Packets in the middle of an unrecognised stream at which protocols of long life are looked for.
const TRIES_MAX: u16 = 64;

/// Protocols within protocols of one stream.
const LAYERS_MAX: usize = 4;

const ALL_CANDIDATES: u128 = (1 << STREAMS.len()) - 1;

const _: () = assert!(STREAMS.len() < 128, "candidates are one bit each");

/// One segment with payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// Whether the lower end of the flow sent it.
    pub(crate) low: bool,
    /// Sequence number of its first octet.
    pub(crate) sequence: u32,
    /// What was captured of its payload.
    pub(crate) octets: &'a [u8],
    /// Its payload on the wire.
    pub(crate) length: usize,
}

/// A stream under inspection.
#[derive(Default)]
struct Stream {
    /// From the lower and from the higher end of the flow.
    halves: [Half; 2],
    memory: Memory,
    /// Protocols that it may still be, one bit each.
    candidates: u128,
    /// Place of its flow.
    owner: u32,
    in_use: bool,
    octets: usize,
}

/// All streams under inspection of one sensor.
pub(crate) struct Pool {
    streams: Vec<Stream>,
    free: Vec<u32>,
    held: usize,
    held_max: usize,
    stream_max: usize,
    hand: usize,
    /// Row of the protocol asked first at each server port, plus one.
    ports: Box<[u8]>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("streams", &self.streams.len())
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(held_max: usize, stream_max: usize) -> Self {
        let mut ports = vec![0_u8; 1 << 16].into_boxed_slice();
        for (row, protocol) in STREAMS.iter().enumerate().rev() {
            for port in protocol.ports {
                ports[usize::from(*port)] = row as u8 + 1;
            }
        }
        Self {
            streams: Vec::new(),
            free: Vec::new(),
            held: 0,
            held_max,
            stream_max: stream_max.max(1024),
            hand: 0,
            ports,
        }
    }

    /// Whether some stream protocol has its place at `port`.
    #[inline]
    pub(crate) fn knows_port(&self, port: u16) -> bool {
        self.ports[usize::from(port)] != 0
    }

    /// Takes a segment of the flow at `place`. Answers a stream's owner that had to give way, if one had to.
    pub(crate) fn take(
        &mut self,
        at: Timestamp,
        place: u32,
        flow: &mut Flow,
        segment: &Segment<'_>,
        out: &mut Outbox,
    ) -> Option<u32> {
        if flow.stream == NOWHERE {
            if flow.protocol == spoken::UNKNOWN {
                self.look_again(flow, segment);
            }
            if flow.protocol != spoken::UNDECIDED {
                return None;
            }
            self.open(place, flow);
        }
        let end = usize::from(!segment.low);
        let synced = flag::LOW_SYNCED << end;
        let stream = self.streams.get_mut(flow.stream as usize)?;
        let half = &mut stream.halves[end];
        if !flow.has(synced) {
            flow.flags |= synced;
            flow.starts[end] = segment.sequence;
            half.start(segment.sequence, false);
        }
        let taken = half.take(segment.sequence, segment.octets, segment.length);
        out.counters.overlaps_differing += u64::from(taken.differing);
        out.counters.streams_with_gaps += u64::from(taken.gap);
        if taken.gap {
            self.after_gap(flow, end);
        }
        self.account(flow.stream);
        if taken.news || taken.gap {
            self.advance(at, flow, segment.low, false, out);
        }
        (self.held > self.held_max)
            .then(|| self.give_way(place, out))
            .flatten()
    }

    /// The end that is not `low` acknowledged all octets of `low` before this number.
    #[inline]
    pub(crate) fn acknowledged(
        &mut self,
        at: Timestamp,
        flow: &mut Flow,
        low: bool,
        acknowledged: u32,
        out: &mut Outbox,
    ) {
        let end = usize::from(!low);
        let Some(stream) = self.streams.get_mut(flow.stream as usize) else {
            return;
        };
        if flow.has(flag::LOW_SYNCED << end) && stream.halves[end].acknowledged(acknowledged) {
            out.counters.streams_with_gaps += 1;
            self.after_gap(flow, end);
            self.advance(at, flow, low, false, out);
        }
    }

    /// The flow ends: takes what is there and lets the stream go.
    pub(crate) fn end(&mut self, at: Timestamp, flow: &mut Flow, out: &mut Outbox) {
        if flow.stream == NOWHERE {
            return;
        }
        for end in 0..2 {
            let stream = &mut self.streams[flow.stream as usize];
            if stream.halves[end].end() {
                self.after_gap(flow, end);
            }
        }
        let low = flow.client_low();
        self.advance(at, flow, low, true, out);
        self.close(flow);
    }

    /// Lets the stream of a flow go without another look.
    pub(crate) fn close(&mut self, flow: &mut Flow) {
        let place = std::mem::replace(&mut flow.stream, NOWHERE);
        let Some(stream) = self.streams.get_mut(place as usize) else {
            return;
        };
        self.held -= stream.octets;
        stream.in_use = false;
        stream.memory.clear();
        let keep = if self.free.len() < SPARE_MAX {
            SPARE_OCTETS
        } else {
            0
        };
        for half in &mut stream.halves {
            half.shrink(keep);
        }
        stream.octets = stream.halves.iter().map(Half::octets).sum();
        self.held += stream.octets;
        self.free.push(place);
    }

    fn open(&mut self, place: u32, flow: &mut Flow) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.streams.push(Stream::default());
            (self.streams.len() - 1) as u32
        });
        let stream = &mut self.streams[at as usize];
        stream.candidates = ALL_CANDIDATES;
        stream.owner = place;
        stream.in_use = true;
        for (end, half) in stream.halves.iter_mut().enumerate() {
            half.start(flow.starts[end], false);
        }
        flow.stream = at;
    }

    /// An unrecognised stream may carry a protocol of long life whose message begins with this segment.
    fn look_again(&mut self, flow: &mut Flow, segment: &Segment<'_>) {
        if flow.tries >= TRIES_MAX {
            return;
        }
        flow.tries += 1;
        let from_client = segment.low == flow.client_low();
        let octets = &segment.octets[..segment.octets.len().min(FIRST_MAX)];
        let server_port = flow.port(!flow.client_low());
        let found = STREAMS.iter().any(|protocol| {
            let first = First {
                to_server: if from_client { octets } else { &[] },
                to_client: if from_client { &[] } else { octets },
                server_port,
                port_fits: protocol.ports.contains(&server_port),
            };
            protocol.follows
                && matches!(
                    (protocol.recognise)(&first),
                    Verdict::Yes | Verdict::Reversed
                )
        });
        if found {
            flow.protocol = spoken::UNDECIDED;
            flow.flags &= !(flag::LOW_SYNCED | flag::HIGH_SYNCED);
        }
    }

    /// A loss in one direction: only a protocol that goes on can use what follows.
    fn after_gap(&mut self, flow: &Flow, end: usize) {
        let follows = STREAMS
            .get(usize::from(flow.protocol))
            .is_none_or(|protocol| protocol.follows);
        if !follows {
            let half = &mut self.streams[flow.stream as usize].halves[end];
            half.release(half.held().len() as u64);
            half.close();
        }
    }

    /// Gives what is held to the recognisers, then to the dissector; and again when it says that another protocol
    /// begins.
    fn advance(
        &mut self,
        at: Timestamp,
        flow: &mut Flow,
        low: bool,
        ended: bool,
        out: &mut Outbox,
    ) {
        for _ in 0..LAYERS_MAX {
            if !self.advance_once(at, flow, low, ended, out) {
                return;
            }
        }
        self.close(flow);
        flow.protocol = spoken::UNKNOWN;
    }

    fn advance_once(
        &mut self,
        at: Timestamp,
        flow: &mut Flow,
        low: bool,
        ended: bool,
        out: &mut Outbox,
    ) -> bool {
        if flow.protocol == spoken::UNDECIDED {
            self.recognise(flow, ended);
        }
        let Some(protocol) = STREAMS.get(usize::from(flow.protocol)) else {
            if flow.protocol == spoken::UNKNOWN {
                self.close(flow);
            }
            return false;
        };
        let stream = &mut self.streams[flow.stream as usize];
        let client_low = flow.client_low();
        let (to_server, to_client) = if client_low { (0, 1) } else { (1, 0) };
        let [from_low, from_high] = &stream.halves;
        let (sent, received) = if client_low {
            (from_low, from_high)
        } else {
            (from_high, from_low)
        };
        let scene = scene(at, flow, low);
        let streams = Streams {
            to_server: sent.held(),
            to_client: received.held(),
            gap_to_server: sent.gap(),
            gap_to_client: received.gap(),
            ended: ended || (sent.is_closed() && received.is_closed()),
        };
        let last = streams.ended;
        let mut findings = Findings {
            scene,
            out,
            notes: &mut flow.notes,
        };
        let progress = (protocol.dissect)(&scene, &streams, &mut stream.memory, &mut findings);
        match progress {
            Progress::Again {
                to_server: sent,
                to_client: received,
            } => {
                for (end, count) in [(to_server, sent), (to_client, received)] {
                    let half = &mut stream.halves[end];
                    half.gap_told();
                    // No further than what is there.
                    half.release(count.min(half.held().len()) as u64);
                }
                stream.memory.clear();
                stream.candidates = ALL_CANDIDATES & !(1 << flow.protocol);
                flow.protocol = spoken::UNDECIDED;
                return true;
            }
            Progress::Done => self.close(flow),
            Progress::More { .. } if last => self.close(flow),
            Progress::More {
                to_server: sent,
                to_client: received,
            } => {
                let follows = protocol.follows;
                for (end, count) in [(to_server, sent), (to_client, received)] {
                    let half = &mut stream.halves[end];
                    half.gap_told();
                    if count > 0 {
                        half.release(count);
                    }
                    if half.held().len() >= self.stream_max {
                        if follows {
                            // A message beyond what may be held: look for the next one.
                            half.lose_held();
                        } else {
                            half.close();
                        }
                    }
                }
            }
        }
        false
    }

    fn recognise(&mut self, flow: &mut Flow, ended: bool) {
        let stream = &mut self.streams[flow.stream as usize];
        let (sent, received) = if flow.client_low() { (0, 1) } else { (1, 0) };
        let to_server = stream.halves[sent].held();
        let to_client = stream.halves[received].held();
        if to_server.is_empty() && to_client.is_empty() && !ended {
            return;
        }
        let server_port = flow.port(!flow.client_low());
        let hint = usize::from(self.ports[usize::from(server_port)]).wrapping_sub(1);
        let first = First {
            to_server: &to_server[..to_server.len().min(FIRST_MAX)],
            to_client: &to_client[..to_client.len().min(FIRST_MAX)],
            server_port,
            port_fits: false,
        };
        let rows = std::iter::once(hint).chain(0..STREAMS.len());
        for row in rows {
            let Some(protocol) = STREAMS.get(row) else {
                continue;
            };
            if stream.candidates & 1 << row == 0 {
                continue;
            }
            let first = First {
                port_fits: protocol.ports.contains(&server_port),
                ..first
            };
            match (protocol.recognise)(&first) {
                Verdict::No => stream.candidates &= !(1 << row),
                Verdict::Perhaps => {}
                verdict => {
                    if verdict == Verdict::Reversed && !flow.has(flag::OPENING_SEEN) {
                        flow.reverse();
                    }
                    decide(flow, row, protocol);
                    return;
                }
            }
        }
        let enough = to_server.len() + to_client.len() >= 2 * FIRST_MAX;
        if stream.candidates == 0 || enough || ended {
            flow.protocol = spoken::UNKNOWN;
        }
    }

    /// Counts anew what the stream holds.
    fn account(&mut self, place: u32) {
        if let Some(stream) = self.streams.get_mut(place as usize) {
            let octets =
                size_of::<Stream>() + stream.halves.iter().map(Half::octets).sum::<usize>();
            self.held = self.held - stream.octets + octets;
            stream.octets = octets;
        }
    }

    /// Chooses a stream, not that of `except`, that has to be let go, and says whose it is.
    fn give_way(&mut self, except: u32, out: &mut Outbox) -> Option<u32> {
        out.counters.reassembly_dropped += 1;
        for _ in 0..self.streams.len() {
            self.hand = (self.hand + 1) % self.streams.len();
            let stream = &self.streams[self.hand];
            if stream.in_use && stream.owner != except {
                return Some(stream.owner);
            }
        }
        None
    }
}

fn decide(flow: &mut Flow, row: usize, protocol: &StreamProtocol) {
    flow.protocol = row as u8;
    // What goes on under TLS (STARTTLS) keeps its name.
    if flow.notes.service.is_none() || protocol.service != "tls" {
        flow.notes.service = Some(protocol.service);
    }
    flow.notes.protection = protocol.protection;
}

/// Who speaks in this flow.
pub(crate) fn scene(at: Timestamp, flow: &Flow, low: bool) -> Scene {
    let client_low = flow.client_low();
    Scene {
        at,
        client: flow.party(client_low),
        server: flow.party(!client_low),
        transport: flow.transport(),
        client_port: flow.port(client_low),
        server_port: flow.port(!client_low),
        to_server: low == client_low,
        opening: flow.opening(),
    }
}
