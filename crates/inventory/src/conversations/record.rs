//! One record: all flows of one kind between two endpoints.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::conversation::{Opening, Protection, Volume};
use domain::net::Transport;
use domain::{Conversation, DeviceId, Flow, Timestamp};

use super::Endpoint;
use super::rhythm::Rhythm;
use crate::ledger::{Interner, Text, seconds};

/// Most meanings of one record.
const MEANINGS_MAX: usize = 32;
/// Most names under which the server was asked for.
const NAMES_MAX: usize = 16;
/// Most distinct ports that are told apart in a record of many.
const PORTS_MAX: usize = 1_024;
/// Most runs of days that are told apart.
const RUNS_MAX: usize = 64;

/// What records are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    pub(crate) many_ports: bool,
    pub(crate) service: Option<Text>,
}

impl Key {
    fn texts(&self) -> impl Iterator<Item = Text> {
        [
            self.client.as_remote(),
            self.server.as_remote(),
            self.service,
        ]
        .into_iter()
        .flatten()
    }

    pub(crate) fn hold(&self, texts: &mut Interner) {
        self.texts().for_each(|text| texts.hold_again(text));
    }

    pub(crate) fn release(&self, texts: &mut Interner) {
        self.texts().for_each(|text| texts.release(text));
    }
}

/// Distinct days since the epoch, as runs of first day and length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Days(Vec<(u32, u32)>);

impl Days {
    pub(crate) fn insert(&mut self, first: u32, last: u32) {
        if let [(start, len)] = self.0.as_mut_slice()
            && *start <= first
            && last < *start + *len
        {
            return;
        }
        self.0.push((first, last.saturating_sub(first) + 1));
        self.0.sort_unstable();
        let mut runs: Vec<(u32, u32)> = Vec::with_capacity(self.0.len());
        for (start, len) in self.0.drain(..) {
            match runs.last_mut() {
                Some((s, l)) if start <= *s + *l => *l = (*l).max(start + len - *s),
                _ => runs.push((start, len)),
            }
        }
        // Beyond the bound the two oldest runs become one: that counts the gap between them as well.
        while runs.len() > RUNS_MAX {
            let (start, len) = runs[1];
            runs[0].1 = start + len - runs[0].0;
            runs.remove(1);
        }
        runs.shrink_to_fit();
        self.0 = runs;
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|(_, len)| len).sum()
    }
}

/// Distinct ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ports(Vec<u16>);

impl Ports {
    pub(crate) fn insert(&mut self, port: u16) {
        if let Err(place) = self.0.binary_search(&port)
            && self.0.len() < PORTS_MAX
        {
            self.0.insert(place, port);
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// All flows of one kind between two endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) ports: Ports,
    pub(crate) meanings: Vec<Text>,
    pub(crate) server_names: Vec<Text>,
    pub(crate) opening: Opening,
    pub(crate) protection: Protection,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) flows: u64,
    sent: Volume,
    received: Volume,
    hours: [u64; 3],
    days: Days,
    rhythm: Rhythm,
    /// In which round it last changed.
    pub(crate) changed: u32,
}

impl Record {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            ports: Ports::default(),
            meanings: Vec::new(),
            server_names: Vec::new(),
            opening: Opening::Guessed,
            protection: Protection::Unknown,
            first: i64::MAX,
            last: i64::MIN,
            flows: 0,
            sent: Volume::default(),
            received: Volume::default(),
            hours: [0; 3],
            days: Days::default(),
            rhythm: Rhythm::default(),
            changed: 0,
        }
    }

    /// Adds a flow report.
    pub(crate) fn add(&mut self, flow: &Flow, texts: &mut Interner) {
        let (first, last) = (flow.first, flow.last.max(flow.first));
        self.first = self.first.min(first.as_millis());
        self.last = self.last.max(last.as_millis());
        self.flows += u64::from(flow.begins);
        self.opening = self.opening.min(flow.opening);
        self.protection = worse(self.protection, flow.protection);
        self.sent.add(flow.sent);
        self.received.add(flow.received);
        if self.key.many_ports {
            self.ports.insert(flow.port);
        }
        for meaning in &flow.meanings {
            add_text(&mut self.meanings, meaning, MEANINGS_MAX, texts);
        }
        if let Some(name) = &flow.server_name {
            add_text(&mut self.server_names, name, NAMES_MAX, texts);
        }
        let (from, to) = (first.as_secs().max(0) / 3600, last.as_secs().max(0) / 3600);
        for hour in from..=to.min(from + 167) {
            // The epoch was a Thursday.
            let of_week = usize::try_from((hour + 72) % 168).unwrap_or(0);
            self.hours[of_week / 64] |= 1 << (of_week % 64);
        }
        let day = |hour: i64| u32::try_from(hour / 24).unwrap_or(0);
        self.days.insert(day(from), day(to));
        if flow.begins {
            self.rhythm.insert(seconds(first));
        }
    }

    /// Adds another record's flows; its texts come along and leave the other.
    pub(crate) fn merge(&mut self, other: &mut Self, texts: &mut Interner) {
        let move_texts = |to: &mut Vec<Text>, from: &mut Vec<Text>, most, texts: &mut Interner| {
            for text in from.drain(..) {
                if to.len() < most && !to.contains(&text) {
                    to.push(text);
                } else {
                    texts.release(text);
                }
            }
        };
        move_texts(&mut self.meanings, &mut other.meanings, MEANINGS_MAX, texts);
        move_texts(
            &mut self.server_names,
            &mut other.server_names,
            NAMES_MAX,
            texts,
        );
        self.merge_view(other);
    }

    /// Adds another record's flows, for a view that holds no texts.
    pub(crate) fn merge_view(&mut self, other: &Self) {
        for (to, from) in [
            (&mut self.meanings, &other.meanings),
            (&mut self.server_names, &other.server_names),
        ] {
            for text in from {
                if !to.contains(text) {
                    to.push(*text);
                }
            }
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.flows = self.flows.saturating_add(other.flows);
        self.opening = self.opening.min(other.opening);
        self.protection = worse(self.protection, other.protection);
        self.sent.add(other.sent);
        self.received.add(other.received);
        for (hours, others) in self.hours.iter_mut().zip(other.hours) {
            *hours |= others;
        }
        for (start, len) in &other.days.0 {
            self.days.insert(*start, start + len - 1);
        }
        for port in &other.ports.0 {
            self.ports.insert(*port);
        }
        for secs in other.rhythm.openings() {
            self.rhythm.insert(*secs);
        }
        self.changed = self.changed.max(other.changed);
    }

    /// Gives its texts back; those of the key are the table's matter.
    pub(crate) fn release(self, texts: &mut Interner) {
        for text in self.meanings.into_iter().chain(self.server_names) {
            texts.release(text);
        }
    }

    /// As everything above reads it.
    pub(crate) fn conversation(
        self,
        client: DeviceId,
        server: DeviceId,
        texts: &Interner,
    ) -> Conversation {
        let read = |list: &[Text]| {
            let mut list: Vec<SmolStr> = list.iter().map(|t| texts.get(*t).into()).collect();
            list.sort_unstable();
            list
        };
        Conversation {
            client,
            server,
            transport: self.key.transport,
            port: self.key.port,
            ports: if self.key.many_ports {
                self.ports.count()
            } else {
                1
            },
            service: self.key.service.map(|text| texts.get(text).into()),
            meanings: read(&self.meanings),
            opening: self.opening,
            protection: self.protection,
            server_names: read(&self.server_names),
            first: Timestamp::from_millis(self.first),
            last: Timestamp::from_millis(self.last),
            flows: self.flows,
            sent: self.sent,
            received: self.received,
            hours: self.hours,
            days: self.days.count(),
            period_secs: self.rhythm.period(),
        }
    }

    /// Octets beyond the record itself.
    pub(crate) fn octets(&self) -> usize {
        self.ports.0.capacity() * 2
            + (self.meanings.capacity() + self.server_names.capacity()) * 4
            + self.days.0.capacity() * 8
            + self.rhythm.octets()
    }

    /// What is kept of it on disk, apart from its endpoints.
    pub(crate) fn save(&self, texts: &Interner) -> SavedRecord {
        let read = |list: &[Text]| {
            let mut list: Vec<SmolStr> = list.iter().map(|t| texts.get(*t).into()).collect();
            list.sort_unstable();
            list
        };
        SavedRecord {
            transport: self.key.transport,
            port: self.key.port,
            ports: self.key.many_ports.then(|| self.ports.clone()),
            service: self.key.service.map(|text| texts.get(text).into()),
            meanings: read(&self.meanings),
            server_names: read(&self.server_names),
            opening: self.opening,
            protection: self.protection,
            first: Timestamp::from_millis(self.first),
            last: Timestamp::from_millis(self.last),
            flows: self.flows,
            sent: self.sent,
            received: self.received,
            hours: self.hours,
            days: self.days.clone(),
            openings: self.rhythm.openings().to_vec(),
        }
    }
}

/// A record as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedRecord {
    transport: Transport,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ports: Option<Ports>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    meanings: Vec<SmolStr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    server_names: Vec<SmolStr>,
    opening: Opening,
    protection: Protection,
    first: Timestamp,
    last: Timestamp,
    flows: u64,
    sent: Volume,
    received: Volume,
    hours: [u64; 3],
    days: Days,
    openings: Vec<u32>,
}

impl SavedRecord {
    /// The record. The service of its key is held by nobody yet: [`Key::hold`] follows.
    pub(crate) fn restore(
        &self,
        client: Endpoint,
        server: Endpoint,
        texts: &mut Interner,
    ) -> Record {
        let key = Key {
            client,
            server,
            transport: self.transport,
            port: self.port,
            many_ports: self.ports.is_some(),
            service: self.service.as_deref().map(|text| texts.hold(text)),
        };
        let mut record = Record::new(key);
        record.ports = self.ports.clone().unwrap_or_default();
        record.ports.0.truncate(PORTS_MAX);
        let meanings = self.meanings.iter().take(MEANINGS_MAX);
        record.meanings = meanings.map(|text| texts.hold(text)).collect();
        let names = self.server_names.iter().take(NAMES_MAX);
        record.server_names = names.map(|text| texts.hold(text)).collect();
        record.opening = self.opening;
        record.protection = self.protection;
        record.first = self.first.as_millis();
        record.last = self.last.as_millis();
        record.flows = self.flows;
        record.sent = self.sent;
        record.received = self.received;
        record.hours = self.hours;
        for (start, len) in self
            .days
            .0
            .iter()
            .take(RUNS_MAX)
            .filter(|(_, len)| *len > 0)
        {
            record.days.insert(*start, start.saturating_add(len - 1));
        }
        self.openings
            .iter()
            .for_each(|secs| record.rhythm.insert(*secs));
        record
    }
}

fn add_text(list: &mut Vec<Text>, text: &str, most: usize, texts: &mut Interner) {
    if let Some(known) = texts.find(text)
        && list.contains(&known)
    {
        return;
    }
    if list.len() < most {
        list.reserve_exact(1);
        list.push(texts.hold(text));
    }
}

/// The worse of two: readable beats encrypted, and either beats not known.
fn worse(one: Protection, other: Protection) -> Protection {
    match (one, other) {
        (Protection::Cleartext, _) | (_, Protection::Cleartext) => Protection::Cleartext,
        (Protection::Encrypted, _) | (_, Protection::Encrypted) => Protection::Encrypted,
        (Protection::Unknown, Protection::Unknown) => Protection::Unknown,
    }
}
