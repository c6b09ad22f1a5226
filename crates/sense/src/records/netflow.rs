//! NetFlow v5, NetFlow v9 (RFC 3954) and IPFIX (RFC 7011) datagrams, with biflows (RFC 5103) and sampling.
//!
//! A record is one direction of a flow. Which end opened it is told by a biflow, by its initiator's counters, or guessed:
//! the end with the better known port is the server; a key whose other direction came before keeps its orientation. A
//! record of the direction from the server is reported with its volume as received, so that the two meet in one
//! conversation.
//!
//! Volumes of sampled flows are multiplied by the sampling interval where the exporter tells it.
//!
//! Bounds: [`EXPORTERS_MAX`] observation domains, [`TEMPLATES_MAX`] templates in all, [`FIELDS_MAX`] fields in each,
//! and two generations of [`KEYS_MAX`] flow keys.

mod direction;
mod field;
mod template;

use std::net::IpAddr;
use std::time::Duration;

use domain::Timestamp;
use domain::observation::Sink;

use super::emit::{Counts, Emit, Emitter};
use super::{Context, Problem};
pub(crate) use direction::{Seen, guess, transport};
use field::Record;
use template::Templates;

pub use template::{FIELDS_MAX, TEMPLATES_MAX};

/// Observation domains whose sampling and clock are remembered.
pub const EXPORTERS_MAX: usize = 1024;

/// Flow keys in one generation of the memory for directions.
pub const KEYS_MAX: usize = direction::GENERATION;

/// What a datagram held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Flow records that were told.
    pub flows: u32,
    /// Templates learnt.
    pub templates: u32,
    /// Sets whose template is not known (yet).
    pub without_template: u32,
    /// Octets of the message: where the next one begins in a file.
    pub octets: usize,
}

/// Takes the datagrams of any number of exporters.
#[derive(Debug)]
pub struct Collector {
    emitter: Emitter,
    templates: Templates,
    directions: Seen,
}

impl Collector {
    /// A collector that speaks as `source`.
    pub fn new(context: Context) -> Self {
        Self {
            emitter: Emitter::new(context),
            templates: Templates::default(),
            directions: Seen::default(),
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.emitter.counts
    }

    /// Takes one datagram that `exporter` sent, `at` the time it arrived.
    ///
    /// # Errors
    ///
    /// When the datagram is none of the three, or ends too early; what came before the damage is told.
    pub fn datagram(
        &mut self,
        at: Timestamp,
        exporter: Option<IpAddr>,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Count, Problem> {
        self.emitter.context.at = at;
        self.emitter.counts.lines += 1;
        let mut emit = Emit {
            emitter: &mut self.emitter,
            sink,
        };
        let mut message = Message {
            at,
            exporter,
            templates: &mut self.templates,
            directions: &mut self.directions,
            emit: &mut emit,
            count: Count::default(),
        };
        let read = match bytes {
            [0, 5, ..] => message.version5(bytes),
            [0, 9, ..] => message.version9(bytes),
            [0, 10, ..] => message.ipfix(bytes),
            _ => Err(Problem::new(
                "neither NetFlow v5, v9 nor IPFIX",
                "set the exporter to one of them; sFlow has a socket of its own",
            )),
        };
        let count = message.count;
        match read {
            Ok(octets) => {
                self.emitter.counts.rows += 1;
                Ok(Count { octets, ..count })
            }
            Err(problem) => {
                self.emitter.counts.damaged += 1;
                Err(problem)
            }
        }
    }
}

struct Message<'m, 's> {
    at: Timestamp,
    exporter: Option<IpAddr>,
    templates: &'m mut Templates,
    directions: &'m mut Seen,
    emit: &'m mut Emit<'s>,
    count: Count,
}

impl Message<'_, '_> {
    /// NetFlow v5: a header of 24 octets, then up to 30 records of 48 (Cisco "NetFlow Export Datagram Format").
    fn version5(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        let header = bytes.get(..24).ok_or_else(short)?;
        let records = usize::from(be16(header, 2));
        if records > 30 {
            return Err(Problem::new(
                "a NetFlow v5 header with more than 30 records",
                "the datagram is damaged or not NetFlow",
            ));
        }
        let clock = Clock::new(be32(header, 4), be32(header, 8), be32(header, 12));
        // The upper two bits are the mode, the rest the interval.
        let sampling = u64::from(be16(header, 22) & 0x3fff).max(1);
        for place in 0..records {
            let from = 24 + place * 48;
            let row = bytes.get(from..from + 48).ok_or_else(short)?;
            let v4 = |at: usize| IpAddr::V4(be32(row, at).into());
            let record = Record {
                source: Some(v4(0)),
                destination: Some(v4(4)),
                packets: Some(u64::from(be32(row, 16))),
                octets: Some(u64::from(be32(row, 20))),
                first: Some(clock.at(be32(row, 24))),
                last: Some(clock.at(be32(row, 28))),
                source_port: be16(row, 32),
                destination_port: be16(row, 34),
                protocol: row.get(38).copied(),
                ..Record::default()
            };
            self.tell(&record, sampling);
        }
        Ok(24 + records * 48)
    }

    /// NetFlow v9: a header of 20 octets, then flow sets (RFC 3954, 5).
    fn version9(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        let header = bytes.get(..20).ok_or_else(short)?;
        let clock = Clock::new(be32(header, 4), be32(header, 8), 0);
        let domain = (self.exporter, 9, be32(header, 16));
        // The header counts records, not octets: in a file of messages, the next begins where a set would be none.
        let mut from = 20;
        while let Some(set) = bytes.get(from..).filter(|rest| rest.len() >= 4) {
            let (id, length) = (be16(set, 0), usize::from(be16(set, 2)));
            // A set identifier of 9 or below 256 other than 0 and 1 is none; then another message begins.
            if !(id <= 1 || id >= 256) {
                break;
            }
            if length < 4 {
                return Err(Problem::new(
                    "a flow set shorter than its header",
                    "the datagram is damaged",
                ));
            }
            let body = set.get(4..length).ok_or_else(short)?;
            self.set(domain, id, body, Some(clock), false)?;
            from += length;
        }
        Ok(from.min(bytes.len()))
    }

    /// IPFIX: a header of 16 octets with the message's length, then sets (RFC 7011, 3).
    fn ipfix(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        let header = bytes.get(..16).ok_or_else(short)?;
        let length = usize::from(be16(header, 2));
        if length < 16 {
            return Err(Problem::new(
                "an IPFIX message shorter than its header",
                "the datagram is damaged",
            ));
        }
        let whole = bytes.len() >= length;
        let message = bytes.get(..length.min(bytes.len())).unwrap_or_default();
        let domain = (self.exporter, 10, be32(header, 12));
        let exported = Clock::new(0, be32(header, 4), 0);
        let mut from = 16;
        while let Some(set) = message.get(from..).filter(|rest| rest.len() >= 4) {
            let (id, length) = (be16(set, 0), usize::from(be16(set, 2)));
            if length < 4 {
                return Err(Problem::new(
                    "a set shorter than its header",
                    "the datagram is damaged",
                ));
            }
            let body = set.get(4..length).ok_or_else(short)?;
            self.set(domain, id, body, Some(exported), true)?;
            from += length;
        }
        if whole { Ok(length) } else { Err(short()) }
    }

    fn set(
        &mut self,
        domain: template::Domain,
        id: u16,
        body: &[u8],
        clock: Option<Clock>,
        ipfix: bool,
    ) -> Result<(), Problem> {
        match (id, ipfix) {
            (0, false) | (2, true) => {
                self.count.templates += self.templates.learn(domain, body, false, ipfix)?
            }
            (1, false) | (3, true) => {
                self.count.templates += self.templates.learn(domain, body, true, ipfix)?
            }
            (256.., _) => {
                let Some(template) = self.templates.get(domain, id) else {
                    self.count.without_template += 1;
                    self.emit.counts().unknown += 1;
                    return Ok(());
                };
                let mut rest = body;
                while rest.len() >= template.octets_min.max(1) {
                    let Some((record, used)) = field::read(&template, rest, clock) else {
                        return Err(short());
                    };
                    rest = rest.get(used..).unwrap_or_default();
                    if template.options {
                        self.templates.options(domain, &record);
                    } else {
                        let sampling = record
                            .sampling
                            .unwrap_or_else(|| self.templates.sampling(domain));
                        self.tell(&record, sampling);
                    }
                }
            }
            // Reserved sets.
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, record: &Record, sampling: u64) {
        if direction::tell(
            record,
            sampling.clamp(1, 1 << 20),
            self.at,
            self.directions,
            self.emit,
        ) {
            self.count.flows += 1;
        } else {
            self.emit.counts().silent += 1;
        }
    }
}

/// When the exporter was started, by its own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The instant at which its uptime was 0.
    start_ms: i64,
    /// When the message was exported.
    pub(crate) exported_ms: i64,
}

impl Clock {
    fn new(uptime_ms: u32, secs: u32, nanos: u32) -> Self {
        let exported_ms = i64::from(secs) * 1000 + i64::from(nanos / 1_000_000).min(999);
        Self {
            start_ms: exported_ms - i64::from(uptime_ms),
            exported_ms,
        }
    }

    /// The instant of an uptime. Uptimes wrap after 49.7 days: one that lies ahead of the export is from before.
    pub(crate) fn at(self, uptime_ms: u32) -> Timestamp {
        let ms = self.start_ms + i64::from(uptime_ms);
        let ahead = ms > self.exported_ms + 60_000;
        Timestamp::from_millis(if ahead { ms - (1 << 32) } else { ms })
    }

    /// An exporter that tells its start itself (`systemInitTimeMilliseconds`).
    pub(crate) const fn started(self, start_ms: i64) -> Self {
        Self { start_ms, ..self }
    }
}

fn short() -> Problem {
    Problem::new(
        "a datagram that ends inside a record",
        "it was cut on the way; lower the exporter's datagram size below the path's MTU",
    )
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_be_bytes)
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

/// Whether octets can be the beginning of such a message: its every header field is plausible.
pub fn plausible(head: &[u8]) -> bool {
    // Between 1990 and 2100.
    let secs_fit = |at: usize| (631_152_000..4_102_444_800).contains(&be32(head, at));
    match head {
        [0, 5, ..] => {
            let records = be16(head, 2);
            head.len() >= 24 + 48
                && (1..=30).contains(&records)
                && secs_fit(8)
                && be32(head, 12) < 1_000_000_000
                && be16(head, 24 + 46) == 0
        }
        [0, 9, ..] => {
            let (set, length) = (be16(head, 20), be16(head, 22));
            head.len() >= 24
                && (1..=4096).contains(&be16(head, 2))
                && secs_fit(8)
                && (set <= 1 || set >= 256)
                && length >= 4
        }
        [0, 10, ..] => {
            let (length, set, set_length) = (be16(head, 2), be16(head, 16), be16(head, 18));
            head.len() >= 20
                && length >= 20
                && secs_fit(4)
                && (matches!(set, 2 | 3) || set >= 256)
                && set_length >= 4
                && set_length <= length - 16
        }
        _ => false,
    }
}

/// Whether an address is in a range that hospitals use inside (RFC 1918, 6598, 3927, 4193, 4291).
pub(crate) const fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The length of time that may pass between two reports of one flow before it counts as a new one.
const SAME_FLOW: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
