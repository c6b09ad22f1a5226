//! Who talks to whom: flows folded into one record for each client, server, transport, port and service.
//!
//! Folding is a sum, a union, a minimum or a maximum, so that the order in which sources report does not matter. Bounds:
//! records in all, records of one client, ports, meanings and names of one record; what falls beyond one is counted. A
//! flow that two sources report counts twice: volumes say what was reported.

mod record;
mod rhythm;

pub(crate) use record::{Key, Record, SavedRecord};

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use domain::net::Transport;
use domain::{Conversation, DeviceId, Flow};

use crate::ledger::{Interner, Text};
use crate::slab::Slab;

/// Who is not a device here: the internet at large.
pub const INTERNET: &str = "internet";
/// Everybody in the same network.
pub const BROADCAST: &str = "broadcast";
/// The servers of a client that has too many to keep apart.
pub const MANY: &str = "many";

/// Most records of one client; its further servers are [`MANY`].
const PER_CLIENT_MAX: u32 = 4_096;
/// Most records of one client beyond which remote servers are no longer kept apart by name.
const NAMED_PER_CLIENT_MAX: u32 = 256;

/// One end of a conversation: a node, or a remote party by the text of its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint(u32);

const REMOTE: u32 = 1 << 31;

impl Endpoint {
    pub(crate) const fn node(number: u32) -> Self {
        Self(number & !REMOTE)
    }

    pub(crate) const fn remote(text: Text) -> Self {
        Self(text.number() | REMOTE)
    }

    /// The node, unless it is remote.
    pub(crate) const fn as_node(self) -> Option<u32> {
        if self.0 & REMOTE == 0 {
            Some(self.0)
        } else {
            None
        }
    }

    /// The text of a remote party's identifier.
    pub(crate) const fn as_remote(self) -> Option<Text> {
        if self.0 & REMOTE == 0 {
            None
        } else {
            Some(Text::raw(self.0 & !REMOTE))
        }
    }
}

/// Records that differ in their port only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Class {
    client: Endpoint,
    server: Endpoint,
    transport: Transport,
    service: Option<Text>,
}

impl Class {
    const fn of(key: &Key) -> Self {
        Self {
            client: key.client,
            server: key.server,
            transport: key.transport,
            service: key.service,
        }
    }
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    slab: Slab<Record>,
    by_key: HashTable<u32>,
    /// Ports of classes with more than one, until folded; folded: none.
    ports: HashMap<Class, Vec<u16>>,
    per_client: HashMap<Endpoint, u32>,
    seed: RandomState,
    /// Records given up for lack of room.
    pub(crate) evicted: u64,
    /// Flow reports that went to [`MANY`] or to [`INTERNET`] for lack of room.
    pub(crate) folded: u64,
}

impl Conversations {
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.slab.iter()
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let hash = self.seed.hash_one(key);
        self.by_key
            .find(hash, |&n| self.slab.get(n).is_some_and(|r| r.key == *key))
            .copied()
    }

    /// How many records a client has.
    fn of_client(&self, client: Endpoint) -> u32 {
        self.per_client.get(&client).copied().unwrap_or(0)
    }

    /// Whether a remote server of this client is still kept apart by its name.
    pub(crate) fn has_room_for_names(&self, client: Endpoint) -> bool {
        self.of_client(client) < NAMED_PER_CLIENT_MAX
    }

    /// Adds a flow report between two endpoints; the caller holds their texts. `limits`: most records, and most ports of a
    /// class that stay apart. `round` becomes [`Record::changed`].
    pub(crate) fn add(
        &mut self,
        client: Endpoint,
        server: Endpoint,
        flow: &Flow,
        texts: &mut Interner,
        limits: (usize, usize),
        round: u32,
    ) {
        // Held until the end: making room may take away a text's last other holder.
        let service = flow.service.as_deref().map(|text| texts.hold(text));
        let many = texts.hold(MANY);
        let mut key = Key {
            client,
            server,
            transport: flow.transport,
            port: flow.port,
            many_ports: false,
            service,
        };
        let mut number = self.place(&key);
        if number.is_none()
            && self.of_client(client) >= PER_CLIENT_MAX
            && server != Endpoint::remote(many)
        {
            self.folded += 1;
            key.server = Endpoint::remote(many);
            number = self.place(&key);
        }
        let number = match number {
            Some(number) => number,
            None => self.insert(key, texts, limits),
        };
        if let Some(record) = self.slab.get_mut(number) {
            record.add(flow, texts);
            record.changed = round;
        }
        texts.release(many);
        if let Some(service) = service {
            texts.release(service);
        }
    }

    /// The record that this key's flows go to, if there is one.
    fn place(&self, key: &Key) -> Option<u32> {
        self.find(key).or_else(|| {
            self.find(&Key {
                port: 0,
                many_ports: true,
                ..*key
            })
        })
    }

    /// Makes a record. Its key's texts get a holder.
    fn insert(&mut self, key: Key, texts: &mut Interner, limits: (usize, usize)) -> u32 {
        let (conversations_max, ports_max) = limits;
        if self.slab.len() >= conversations_max.max(1) {
            self.evict(texts);
        }
        let number = self.put(Record::new(key), texts);
        let class = Class::of(&key);
        let with_ports = matches!(
            key.transport,
            Transport::Tcp | Transport::Udp | Transport::Sctp
        );
        if !with_ports || key.many_ports {
            return number;
        }
        let ports = self.ports.entry(class).or_default();
        ports.push(key.port);
        if ports.len() <= ports_max.max(1) {
            return number;
        }
        let ports = self.ports.remove(&class).unwrap_or_default();
        self.fold(class, &ports, texts)
    }

    /// Puts the records of a class into one.
    fn fold(&mut self, class: Class, ports: &[u16], texts: &mut Interner) -> u32 {
        let key = |port, many_ports| Key {
            client: class.client,
            server: class.server,
            transport: class.transport,
            port,
            many_ports,
            service: class.service,
        };
        let all = self.put(Record::new(key(0, true)), texts);
        for port in ports {
            let Some(number) = self.find(&key(*port, false)) else {
                continue;
            };
            if let Some(mut record) = self.take(number, texts) {
                if let Some(all) = self.slab.get_mut(all) {
                    all.ports.insert(*port);
                    all.merge(&mut record, texts);
                }
                record.release(texts);
            }
        }
        all
    }

    fn put(&mut self, record: Record, texts: &mut Interner) -> u32 {
        record.key.hold(texts);
        let key = record.key;
        *self.per_client.entry(key.client).or_default() += 1;
        let number = self.slab.insert(record);
        let (slab, seed) = (&self.slab, &self.seed);
        self.by_key.insert_unique(seed.hash_one(key), number, |&n| {
            slab.get(n).map_or(0, |record| seed.hash_one(record.key))
        });
        number
    }

    /// Takes a record out; its key's texts lose their holder.
    fn take(&mut self, number: u32, texts: &mut Interner) -> Option<Record> {
        let key = self.slab.get(number)?.key;
        let hash = self.seed.hash_one(key);
        if let Ok(found) = self.by_key.find_entry(hash, |&n| n == number) {
            found.remove();
        }
        if let Some(count) = self.per_client.get_mut(&key.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&key.client);
            }
        }
        if let Some(ports) = self.ports.get_mut(&Class::of(&key)) {
            ports.retain(|port| *port != key.port || key.many_ports);
            if ports.is_empty() {
                self.ports.remove(&Class::of(&key));
            }
        }
        let record = self.slab.remove(number)?;
        key.release(texts);
        Some(record)
    }

    fn remove(&mut self, number: u32, texts: &mut Interner) {
        if let Some(record) = self.take(number, texts) {
            record.release(texts);
        }
    }

    /// Gives up the least valuable sixteenth.
    pub(crate) fn evict(&mut self, texts: &mut Interner) {
        let mut worth: Vec<((u64, bool, i64), u32)> = self
            .slab
            .iter()
            .map(|(number, r)| ((r.flows.min(16), !r.meanings.is_empty(), r.last), number))
            .collect();
        let share = (worth.len() / 16).max(1).min(worth.len());
        if share == 0 {
            return;
        }
        worth.select_nth_unstable(share - 1);
        for (_, number) in worth.into_iter().take(share) {
            self.remove(number, texts);
            self.evicted += 1;
        }
    }

    /// Gives up what was said with nodes that are gone. `gone` is sorted.
    pub(crate) fn forget(&mut self, gone: &[u32], texts: &mut Interner) {
        let is_gone = |end: Endpoint| {
            end.as_node()
                .is_some_and(|n| gone.binary_search(&n).is_ok())
        };
        let numbers: Vec<u32> = self
            .slab
            .iter()
            .filter(|(_, r)| is_gone(r.key.client) || is_gone(r.key.server))
            .map(|(number, _)| number)
            .collect();
        for number in numbers {
            self.remove(number, texts);
            self.evicted += 1;
        }
    }

    /// Puts a record back that was saved. It replaces what is there.
    pub(crate) fn restore(&mut self, record: Record, texts: &mut Interner) {
        if let Some(number) = self.find(&record.key) {
            self.remove(number, texts);
        }
        let key = record.key;
        self.put(record, texts);
        let with_ports = matches!(
            key.transport,
            Transport::Tcp | Transport::Udp | Transport::Sctp
        );
        if with_ports && !key.many_ports {
            self.ports
                .entry(Class::of(&key))
                .or_default()
                .push(key.port);
        }
    }

    /// Octets that records and indexes take, texts apart.
    pub(crate) fn octets(&self) -> usize {
        self.slab
            .iter()
            .map(|(_, record)| size_of::<Record>() + record.octets())
            .sum::<usize>()
            + self.by_key.capacity() * 5
            + self.ports.capacity() * (size_of::<(Class, Vec<u16>)>() + 1)
            + self.per_client.capacity() * 9
    }
}

/// By what rows between devices are kept apart: client, server, transport, port, whether many ports, service.
type DeviceLevel = (DeviceId, DeviceId, Transport, u16, bool, Option<Text>);

/// The rows between devices that the chosen records make. `who` says whose an endpoint was at an instant.
pub(crate) fn between_devices<'a>(
    records: impl Iterator<Item = &'a Record>,
    texts: &Interner,
    who: impl Fn(Endpoint, i64) -> Option<DeviceId>,
) -> Vec<Conversation> {
    let mut merged: BTreeMap<DeviceLevel, Record> = BTreeMap::new();
    for record in records {
        let (Some(client), Some(server)) = (
            who(record.key.client, record.last),
            who(record.key.server, record.last),
        ) else {
            continue;
        };
        if client == server {
            continue;
        }
        let key = record.key;
        let place = (
            client,
            server,
            key.transport,
            key.port,
            key.many_ports,
            key.service,
        );
        match merged.entry(place) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(record.clone());
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().merge_view(record);
            }
        }
    }
    name_services(&mut merged);
    merged
        .into_iter()
        .map(|((client, server, ..), record)| record.conversation(client, server, texts))
        .collect()
}

/// A flow's first report may come before its service is recognised: rows without one join the only row with one.
fn name_services(merged: &mut BTreeMap<DeviceLevel, Record>) {
    let nameless: Vec<DeviceLevel> = merged
        .keys()
        .filter(|(.., service)| service.is_none())
        .cloned()
        .collect();
    for key in nameless {
        let (client, server, transport, port, many, _) = key.clone();
        let from = (client, server, transport, port, many, Some(Text::raw(0)));
        let named: Vec<DeviceLevel> = merged
            .range(from..)
            .map(|(k, _)| k)
            .take_while(|k| (&k.0, &k.1, k.2, k.3, k.4) == (&key.0, &key.1, key.2, key.3, key.4))
            .take(2)
            .cloned()
            .collect();
        if let [only] = named.as_slice()
            && let Some(record) = merged.remove(&key)
            && let Some(to) = merged.get_mut(only)
        {
            to.merge_view(&record);
        }
    }
}

#[cfg(test)]
mod tests;
