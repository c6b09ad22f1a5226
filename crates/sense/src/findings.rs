//! What parsers find: said once, annotated on the flow, never more than is bounded.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use domain::Timestamp;
use domain::conversation::{Flow, Protection};
use domain::net::Party;
use domain::observation::{About, AddressSource, Asset, EvidenceKind, Fact, Observation, SourceId};
use smol_str::SmolStr;

use crate::application::Scene;
use crate::counters::{Counters, Parser};
use crate::hash::Keyed;
use crate::owner;
use crate::remembered::Remembered;
use crate::text::{Text, Value};

/// Meanings kept of one flow between two reports; further ones are dropped.
pub(crate) const MEANINGS_MAX: usize = 16;

/// Longest meaning, in octets.
const MEANING_OCTETS_MAX: usize = 64;

/// Longest server name, in octets (RFC 1035: 253 without the last dot).
const SERVER_NAME_OCTETS_MAX: usize = 253;

/// What is on its way out of the sensor, and what was said before.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) source: SourceId,
    pub(crate) keyed: Keyed,
    pub(crate) remembered: Remembered,
    pub(crate) observations: Vec<Observation>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) text: Text,
    pub(crate) counters: Counters,
}

impl Outbox {
    /// Says `value` of `party`, unless it was said.
    pub(crate) fn evidence(
        &mut self,
        at: Timestamp,
        party: &Party,
        asset: Option<&Asset>,
        kind: EvidenceKind,
        value: impl Value,
    ) {
        if !self.text.set(value) {
            return;
        }
        if self.text.was_cut() {
            self.counters.values_cut += 1;
        }
        let mut hash = self
            .keyed
            .mix(self.party(party), u64::from(kind as u8) << 8 | 1);
        if let Some(asset) = asset {
            hash = self.keyed.mix(hash, self.asset(asset));
        }
        hash = self.keyed.octets(hash, self.text.as_str().as_bytes());
        if self.remembered.is_new(hash, at) {
            // Only what is said is looked at for a name: nothing else leaves.
            if owner::may_name_one(kind) {
                self.text.forget_owner();
            }
            let value = SmolStr::new(self.text.as_str());
            self.say(at, party, asset.cloned(), Fact::Evidence { kind, value });
        }
    }

    /// Says that `party` is there, unless that was said.
    #[inline]
    pub(crate) fn seen(&mut self, at: Timestamp, party: &Party) {
        let hash = self.keyed.mix(self.party(party), 2);
        if self.remembered.is_new(hash, at) {
            self.say(at, party, None, Fact::Seen);
        }
    }

    /// Says that `party`, which sent an IP packet, is there and has its address.
    pub(crate) fn present(&mut self, at: Timestamp, party: &Party) {
        if party.mac.is_none() && party.addr.is_none() {
            return;
        }
        self.seen(at, party);
        if party.mac.is_some() && party.addr.is_some() {
            self.address(at, party, AddressSource::Packet, None);
        }
    }

    /// Says that the MAC of `party` holds its address, unless that was said in the same way and with the same end.
    pub(crate) fn address(
        &mut self,
        at: Timestamp,
        party: &Party,
        how: AddressSource,
        until: Option<Timestamp>,
    ) {
        // The end of a lease moves with each renewal; one minute is fine enough to tell renewals apart.
        let end = until.map_or(0, |until| until.as_millis() / 60_000) as u64;
        let hash = self
            .keyed
            .mix2(self.party(party), 3 | (how as u64) << 8, end);
        if self.remembered.is_new(hash, at) {
            self.say(at, party, None, Fact::Address { how, until });
        }
    }

    /// Says that `party` gave its address back.
    pub(crate) fn released(&mut self, at: Timestamp, party: &Party) {
        let hash = self
            .keyed
            .mix2(self.party(party), 4, (at.as_millis() / 60_000) as u64);
        if self.remembered.is_new(hash, at) {
            self.say(at, party, None, Fact::Released);
        }
    }

    fn say(&mut self, at: Timestamp, party: &Party, asset: Option<Asset>, fact: Fact) {
        self.counters.observations += 1;
        self.observations.push(Observation {
            at,
            source: self.source,
            about: About {
                party: *party,
                asset,
            },
            fact,
        });
    }

    /// A hash of `party`.
    #[inline]
    pub(crate) fn party(&self, party: &Party) -> u64 {
        let mac = party.mac.map_or(u64::MAX, |mac| mac.bits());
        let vlan = u64::from(party.vlan.unwrap_or(0));
        let (high, low) = match party.addr {
            None => (0, 1),
            Some(IpAddr::V4(addr)) => (2, u64::from(addr.to_bits())),
            Some(IpAddr::V6(addr)) => ((addr.to_bits() >> 64) as u64, addr.to_bits() as u64),
        };
        let state = self.keyed.mix(vlan, mac);
        self.keyed.mix2(state, high, low)
    }

    fn asset(&self, asset: &Asset) -> u64 {
        let mut hasher = KeyedHasher(self.keyed, 0);
        asset.hash(&mut hasher);
        hasher.finish()
    }
}

/// The standard's interface to the keyed hash, for types that derive `Hash`.
struct KeyedHasher(Keyed, u64);

impl Hasher for KeyedHasher {
    fn write(&mut self, octets: &[u8]) {
        self.1 = self.0.octets(self.1, octets);
    }

    fn finish(&self) -> u64 {
        self.1
    }
}

/// What was recognised in a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) service: Option<&'static str>,
    pub(crate) protection: Protection,
    pub(crate) server_name: Option<SmolStr>,
    pub(crate) meanings: Vec<SmolStr>,
    /// The speaker of the present message asks the other end.
    pub(crate) asks: bool,
}

/// Where a parser puts what it found in one flow.
///
/// A *value* is anything that [`Value`] is implemented for. It is made printable and cut to
/// [`VALUE_MAX`](domain::observation::VALUE_MAX); empty values are ignored; a value said about the same party within
/// [`Limits::remember`](crate::Limits) is not said again and costs no allocation.
pub(crate) struct Findings<'a> {
    pub(crate) scene: Scene,
    pub(crate) out: &'a mut Outbox,
    pub(crate) notes: &'a mut Notes,
}

#[allow(dead_code, reason = "one interface for every protocol")]
impl Findings<'_> {
    /// Something about the client.
    pub(crate) fn about_client(&mut self, kind: EvidenceKind, value: impl Value) {
        self.out
            .evidence(self.scene.at, &self.scene.client, None, kind, value);
    }

    /// Something about the server.
    pub(crate) fn about_server(&mut self, kind: EvidenceKind, value: impl Value) {
        self.out
            .evidence(self.scene.at, &self.scene.server, None, kind, value);
    }

    /// Something about whoever sent the newest packet.
    pub(crate) fn about_speaker(&mut self, kind: EvidenceKind, value: impl Value) {
        let speaker = self.scene.speaker();
        self.out
            .evidence(self.scene.at, &speaker, None, kind, value);
    }

    /// Something about another party that the words name.
    pub(crate) fn about(&mut self, party: &Party, kind: EvidenceKind, value: impl Value) {
        self.out.evidence(self.scene.at, party, None, kind, value);
    }

    /// Something about an asset that speaks through the speaker's address.
    pub(crate) fn asset(&mut self, asset: &Asset, kind: EvidenceKind, value: impl Value) {
        let speaker = self.scene.speaker();
        self.out
            .evidence(self.scene.at, &speaker, Some(asset), kind, value);
    }

    /// Something about an asset behind another party, for parsers that know better who speaks.
    pub(crate) fn asset_of(
        &mut self,
        party: &Party,
        asset: &Asset,
        kind: EvidenceKind,
        value: impl Value,
    ) {
        self.out
            .evidence(self.scene.at, party, Some(asset), kind, value);
    }

    /// `party` (with MAC and address) holds its address.
    pub(crate) fn address(&mut self, party: &Party, how: AddressSource, until: Option<Timestamp>) {
        self.out.address(self.scene.at, party, how, until);
    }

    /// `party` gave its address back.
    pub(crate) fn released(&mut self, party: &Party) {
        self.out.released(self.scene.at, party);
    }

    /// Names the application protocol of the flow, in place of the dispatch table's name.
    pub(crate) const fn service(&mut self, name: &'static str) {
        self.notes.service = Some(name);
    }

    /// Says whether the payload can be read, in place of the dispatch table's word.
    pub(crate) const fn protection(&mut self, protection: Protection) {
        self.notes.protection = protection;
    }

    /// The speaker asks the other end for something. Where both ends have the same port, it is the client by that.
    pub(crate) fn asks(&mut self) {
        self.notes.asks = true;
    }

    /// Adds a clinical or technical meaning of the flow: `C-STORE`, `ORU^R01`, `FHIR read`. Few and short.
    pub(crate) fn meaning(&mut self, meaning: &str) {
        let meaning = clipped(meaning, MEANING_OCTETS_MAX);
        let known = self.notes.meanings.iter().any(|held| held == meaning);
        if !known && !meaning.is_empty() && self.notes.meanings.len() < MEANINGS_MAX {
            self.notes.meanings.push(SmolStr::new(meaning));
        }
    }

    /// The name under which the client asks for the server; lower case, without a port.
    pub(crate) fn server_name(&mut self, name: &str) {
        if name.is_empty()
            || name.len() > SERVER_NAME_OCTETS_MAX
            || self.notes.server_name.is_some()
        {
            return;
        }
        if name.bytes().all(|b| b.is_ascii_graphic()) {
            self.notes.server_name = Some(if name.bytes().any(|b| b.is_ascii_uppercase()) {
                SmolStr::new(name.to_ascii_lowercase())
            } else {
                SmolStr::new(name)
            });
        }
    }

    /// Counts something that `parser` could not read.
    pub(crate) const fn malformed(&mut self, parser: Parser) {
        self.out.counters.malformed.count(parser);
    }
}

fn clipped(text: &str, octets_max: usize) -> &str {
    &text[..text.floor_char_boundary(octets_max)]
}
