//! From a reader to the sink: each fact once in a while, values cleaned and bounded, everything counted.

use domain::Timestamp;
use domain::conversation::Flow;
use domain::net::{Mac, Party};
use domain::observation::{About, AddressSource, Asset, EvidenceKind, Fact, Observation, Sink};
use serde::Serialize;
use smol_str::SmolStr;

use super::Context;
use crate::hash::Keyed;
use crate::owner;
use crate::remembered::Remembered;
use crate::text::{Text, Value};

/// Facts that a reader remembers as said: 8 octets each.
const REMEMBERED: usize = 1 << 17;

/// How long a fact that was said is not said again, in milliseconds: an hour.
const REMEMBER_MS: i64 = 3_600_000;

/// What a reader has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines, or rows of a table.
    pub lines: u64,
    /// Rows understood.
    pub rows: u64,
    /// Headers, comments, blank lines, and rows that say nothing about devices.
    pub silent: u64,
    /// Rows of logs that are not known here.
    pub unknown: u64,
    /// Rows that could not be read.
    pub damaged: u64,
    /// Values longer than an observation may hold, cut.
    pub values_cut: u64,
    /// Observations made.
    pub observations: u64,
    /// Flow reports made.
    pub flows: u64,
}

impl Counts {
    /// Adds the counts of another reader.
    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.rows += other.rows;
        self.silent += other.silent;
        self.unknown += other.unknown;
        self.damaged += other.damaged;
        self.values_cut += other.values_cut;
        self.observations += other.observations;
        self.flows += other.flows;
    }
}

/// What is kept between records.
#[derive(Debug)]
pub(crate) struct Emitter {
    pub(crate) context: Context,
    pub(crate) counts: Counts,
    remembered: Remembered,
    keyed: Keyed,
    text: Option<Text>,
}

impl Emitter {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            counts: Counts::default(),
            remembered: Remembered::new(REMEMBERED, REMEMBER_MS),
            keyed: Keyed::random(),
            text: None,
        }
    }
}

/// An [`Emitter`] with the sink it speaks into.
pub(crate) struct Emit<'s> {
    pub(crate) emitter: &'s mut Emitter,
    pub(crate) sink: &'s mut dyn Sink,
}

impl Emit<'_> {
    /// The time of a record that carries none.
    pub(crate) fn at(&self) -> Timestamp {
        self.emitter.context.at
    }

    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.emitter.counts
    }

    /// It is there.
    pub(crate) fn seen(&mut self, at: Timestamp, about: impl Into<About>) {
        let about = about.into();
        if self.is_new(at, &about, 1, 0, b"") {
            self.say(at, about, Fact::Seen);
        }
    }

    /// Its MAC holds its address.
    pub(crate) fn address(
        &mut self,
        at: Timestamp,
        about: impl Into<About>,
        how: AddressSource,
        until: Option<Timestamp>,
    ) {
        let about = about.into();
        let end = until.map_or(0, |until| until.as_millis() as u64);
        if self.is_new(at, &about, 2, end, &[how as u8]) {
            self.say(at, about, Fact::Address { how, until });
        }
    }

    /// It gave its address back.
    pub(crate) fn released(&mut self, at: Timestamp, about: impl Into<About>) {
        let about = about.into();
        self.say(at, about, Fact::Released);
    }

    /// A piece of evidence; without anything printable in it, nothing is said.
    pub(crate) fn evidence(
        &mut self,
        at: Timestamp,
        about: impl Into<About>,
        kind: EvidenceKind,
        value: impl Value,
    ) {
        let about = about.into();
        let mut text = self.emitter.text.take().unwrap_or_else(Text::new);
        if text.set(value) {
            if text.was_cut() {
                self.emitter.counts.values_cut += 1;
            }
            if self.is_new(at, &about, 3, kind as u64, text.as_str().as_bytes()) {
                // Only what is said is looked at for a name: nothing else leaves.
                if owner::may_name_one(kind) {
                    text.forget_owner();
                }
                let value = SmolStr::new(text.as_str());
                self.say(at, about, Fact::Evidence { kind, value });
            }
        }
        self.emitter.text = Some(text);
    }

    /// A flow.
    pub(crate) fn flow(&mut self, flow: Flow) {
        self.emitter.counts.flows += 1;
        self.sink.flow(flow);
    }

    fn say(&mut self, at: Timestamp, about: About, fact: Fact) {
        self.emitter.counts.observations += 1;
        self.sink.observe(Observation {
            at,
            source: self.emitter.context.source,
            about,
            fact,
        });
    }

    fn is_new(&mut self, at: Timestamp, about: &About, tag: u64, word: u64, octets: &[u8]) -> bool {
        let keyed = self.emitter.keyed;
        let mut state = keyed.mix2(tag, about.party.mac.map_or(0, Mac::bits), word);
        state = match about.party.addr {
            None => keyed.mix(state, 0),
            Some(std::net::IpAddr::V4(v4)) => keyed.mix2(state, 4, u64::from(v4.to_bits())),
            Some(std::net::IpAddr::V6(v6)) => keyed.octets(state, &v6.octets()),
        };
        state = keyed.mix(state, u64::from(about.party.vlan.unwrap_or(0)));
        state = match &about.asset {
            None => state,
            Some(Asset::Eui64(id)) => keyed.mix2(state, 1, *id),
            Some(Asset::Bacnet(id)) => keyed.mix2(state, 2, u64::from(*id)),
            Some(Asset::ModbusUnit(id)) => keyed.mix2(state, 3, u64::from(*id)),
            Some(Asset::Udi(id)) => keyed.octets(state ^ 4, id.as_bytes()),
            Some(Asset::Endpoint(id)) => keyed.octets(state ^ 5, id.as_bytes()),
            Some(Asset::Serial(id)) => keyed.octets(state ^ 6, id.as_bytes()),
            Some(Asset::Register(id)) => keyed.octets(state ^ 7, id.as_bytes()),
        };
        let hash = keyed.octets(state, octets);
        self.emitter.remembered.is_new(hash, at)
    }
}

/// The party with only this address.
pub(crate) fn at_address(addr: std::net::IpAddr) -> Party {
    Party {
        addr: Some(addr),
        ..Party::default()
    }
}
