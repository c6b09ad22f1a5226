//! What a proposal is made from: hosts and their conversations, in a compact form.
//!
//! Conversations are distinct by client, server, transport and port. Bounds: [`HOSTS_MAX`] hosts, [`TALKS_MAX`]
//! conversations; beyond them an error says so, since a proposal from a part would cut the rest.

use std::collections::HashMap;
use std::net::IpAddr;

use smol_str::SmolStr;

use domain::net::{Mac, Transport};
use domain::{Conversation, Criticality, DeviceId, DeviceProfile, Timestamp};

/// Most hosts of a world.
pub const HOSTS_MAX: usize = 4_000_000;
/// Most distinct conversations of a world.
pub const TALKS_MAX: usize = 40_000_000;

/// A host's number: its place in [`World::hosts`].
pub type HostId = u32;

/// A device, or somebody outside who is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// The inventory's identifier, or the address of a flow file.
    pub id: DeviceId,
    /// What people call it.
    pub name: SmolStr,
    /// Its type; absent: unknown.
    pub kind: Option<SmolStr>,
    /// Ward or department.
    pub unit: Option<SmolStr>,
    /// Network segment.
    pub segment: Option<SmolStr>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// MAC addresses.
    pub macs: Vec<Mac>,
    /// How much harm a cut does.
    pub criticality: Criticality,
    /// Whether its evidence contradicts itself.
    pub contradictory: bool,
    /// Whether it is outside the hospital.
    pub outside: bool,
}

impl Host {
    /// Somebody known by a name only.
    pub fn nameless(id: &str) -> Self {
        Self {
            id: DeviceId::new(id),
            name: id.into(),
            kind: None,
            unit: None,
            segment: None,
            addresses: id.parse().ok().into_iter().collect(),
            macs: Vec::new(),
            criticality: Criticality::LifeCritical,
            contradictory: false,
            outside: false,
        }
    }

    /// Whether it counts as life-critical: by its class, or because its class is unknown or contradictory.
    pub fn is_life_critical(&self) -> bool {
        !self.outside
            && (self.criticality == Criticality::LifeCritical
                || self.contradictory
                || self.kind.is_none())
    }
}

/// What tells conversations apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TalkKey {
    /// Who opens it.
    pub client: HostId,
    /// Who is asked.
    pub server: HostId,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
}

/// What is known of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often, at least.
    pub flows: u32,
    /// On how many days, at least.
    pub days: u16,
    /// Whether the inventory folded several ports into it; its ports are then not known.
    pub folded: bool,
}

/// A world is larger than can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} {what}: propose for a part of the network, by segment or by site")]
pub struct TooLarge {
    /// What there is too much of.
    pub what: &'static str,
    /// The bound.
    pub limit: usize,
}

/// Hosts and their conversations.
#[derive(Clone, Debug, Default)]
pub struct World {
    hosts: Vec<Host>,
    index: HashMap<DeviceId, HostId>,
    talks: HashMap<TalkKey, Talk>,
}

impl World {
    /// Everything that the inventory knows.
    ///
    /// # Errors
    /// When there is more than can be judged.
    pub fn of(devices: &[DeviceProfile], conversations: &[Conversation]) -> Result<Self, TooLarge> {
        let mut world = Self::default();
        for device in devices {
            world.put_device(device)?;
        }
        for conversation in conversations {
            world.put_conversation(conversation)?;
        }
        Ok(world)
    }

    /// Adds a device, or learns what has changed of it.
    ///
    /// # Errors
    /// When there are too many.
    pub fn put_device(&mut self, device: &DeviceProfile) -> Result<HostId, TooLarge> {
        self.put_host(Host {
            id: device.id.clone(),
            name: device
                .names
                .first()
                .cloned()
                .or_else(|| device.addresses.first().map(|a| a.to_string().into()))
                .unwrap_or_else(|| device.id.as_str().into()),
            kind: device.kind.clone().filter(|_| !device.abstained),
            unit: device.unit.as_ref().map(|u| u.as_str().into()),
            segment: device.segment.clone(),
            addresses: device.addresses.clone(),
            macs: device.macs.clone(),
            criticality: device.criticality,
            contradictory: device.contradictory,
            outside: false,
        })
    }

    /// Adds a host, or replaces what is known of it.
    ///
    /// # Errors
    /// When there are too many.
    pub fn put_host(&mut self, host: Host) -> Result<HostId, TooLarge> {
        if let Some(&number) = self.index.get(&host.id) {
            if let Some(place) = self.hosts.get_mut(number as usize) {
                *place = host;
            }
            return Ok(number);
        }
        if self.hosts.len() >= HOSTS_MAX {
            return Err(TooLarge {
                what: "devices",
                limit: HOSTS_MAX,
            });
        }
        let number = self.hosts.len() as HostId;
        self.index.insert(host.id.clone(), number);
        self.hosts.push(host);
        Ok(number)
    }

    /// The number of a host; somebody not known yet is added. `outside`: it is no device of the hospital.
    ///
    /// # Errors
    /// When there are too many.
    pub fn host_or_new(&mut self, id: &DeviceId, outside: bool) -> Result<HostId, TooLarge> {
        match self.index.get(id) {
            Some(&number) => Ok(number),
            None => self.put_host(Host {
                outside,
                ..Host::nameless(id.as_str())
            }),
        }
    }

    /// Adds a conversation of the inventory. An end that is no device is somebody outside.
    ///
    /// # Errors
    /// When there are too many.
    pub fn put_conversation(&mut self, conversation: &Conversation) -> Result<(), TooLarge> {
        let client = self.host_or_new(&conversation.client, true)?;
        let server = self.host_or_new(&conversation.server, true)?;
        let many = conversation.ports > 1;
        self.put_talk(
            TalkKey {
                client,
                server,
                transport: conversation.transport,
                port: conversation.port,
            },
            Talk {
                first: conversation.first,
                last: conversation.last,
                flows: u32::try_from(conversation.flows).unwrap_or(u32::MAX),
                days: u16::try_from(conversation.days).unwrap_or(u16::MAX),
                folded: many,
            },
        )
    }

    /// Adds what was seen of a conversation.
    ///
    /// # Errors
    /// When there are too many.
    pub fn put_talk(&mut self, key: TalkKey, seen: Talk) -> Result<(), TooLarge> {
        let full = self.talks.len() >= TALKS_MAX;
        match self.talks.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let talk = entry.get_mut();
                let day = |at: Timestamp| at.as_secs().div_euclid(86_400);
                // Days that both saw count once where that can be told: at the seam of the two stretches.
                let shared = u16::from(
                    day(seen.first) == day(talk.last) || day(talk.first) == day(seen.last),
                );
                talk.days = talk.days.saturating_add(seen.days).saturating_sub(shared);
                talk.first = talk.first.min(seen.first);
                talk.last = talk.last.max(seen.last);
                talk.flows = talk.flows.saturating_add(seen.flows);
                talk.folded |= seen.folded;
                Ok(())
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                if full {
                    return Err(TooLarge {
                        what: "distinct conversations",
                        limit: TALKS_MAX,
                    });
                }
                entry.insert(seen);
                Ok(())
            }
        }
    }

    /// Every host, in order of numbers.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A host by its number.
    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id as usize)
    }

    /// The number of a device.
    pub fn find(&self, id: &DeviceId) -> Option<HostId> {
        self.index.get(id).copied()
    }

    /// The host that goes by this identifier, name or address.
    pub fn find_by_text(&self, text: &str) -> Option<HostId> {
        self.find(&DeviceId::new(text)).or_else(|| {
            let address: Option<IpAddr> = text.parse().ok();
            self.hosts
                .iter()
                .position(|h| {
                    h.name.eq_ignore_ascii_case(text)
                        || address.is_some_and(|a| h.addresses.contains(&a))
                })
                .map(|n| n as HostId)
        })
    }

    /// Every conversation, in no order.
    pub fn talks(&self) -> impl Iterator<Item = (&TalkKey, &Talk)> {
        self.talks.iter()
    }

    /// How many conversations there are.
    pub fn talk_count(&self) -> usize {
        self.talks.len()
    }

    /// One conversation.
    pub fn talk(&self, key: &TalkKey) -> Option<&Talk> {
        self.talks.get(key)
    }

    /// Every conversation, sorted.
    pub fn sorted(&self) -> Vec<(TalkKey, Talk)> {
        let mut all: Vec<_> = self.talks.iter().map(|(k, t)| (*k, *t)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// What was known before an instant: conversations that had begun, and the hosts in them.
    ///
    /// A conversation's later days are not taken off its counts; only whether it had begun matters to rules.
    pub fn before(&self, cut: Timestamp) -> Self {
        let mut world = Self::default();
        for (key, talk) in self.sorted() {
            if talk.first >= cut {
                continue;
            }
            let (Some(client), Some(server)) = (self.host(key.client), self.host(key.server))
            else {
                continue;
            };
            // A part of a world that fits, fits.
            let (Ok(client), Ok(server)) = (world.keep_host(client), world.keep_host(server))
            else {
                continue;
            };
            let own = TalkKey {
                client,
                server,
                ..key
            };
            let seen = Talk {
                last: talk.last.min(Timestamp::from_millis(cut.as_millis() - 1)),
                ..talk
            };
            world.talks.insert(own, seen);
        }
        world
    }

    fn keep_host(&mut self, host: &Host) -> Result<HostId, TooLarge> {
        match self.index.get(&host.id) {
            Some(&number) => Ok(number),
            None => self.put_host(host.clone()),
        }
    }

    /// From the first to the last that was seen; none: nothing was.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.talks.values().map(|t| t.first).min()?;
        let last = self.talks.values().map(|t| t.last).max()?;
        Some((first, last))
    }

    /// SHA-256 of everything that decides a proposal: devices with class and place, and which conversations there are.
    /// It does not depend on the order in which they came.
    pub fn digest(&self) -> [u8; 32] {
        use aws_lc_rs::digest::{Context, SHA256};
        let mut rows: Vec<Vec<u8>> = self
            .hosts
            .iter()
            .map(|h| {
                let mut addresses: Vec<String> =
                    h.addresses.iter().map(ToString::to_string).collect();
                addresses.sort();
                format!(
                    "{}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{}\u{1f}{}",
                    h.id.as_str(),
                    h.kind,
                    h.unit,
                    h.segment,
                    h.criticality,
                    h.contradictory,
                    addresses.join(" ")
                )
                .into_bytes()
            })
            .collect();
        rows.sort_unstable();
        let mut order: Vec<u32> = (0..self.hosts.len() as u32).collect();
        order.sort_by_key(|n| self.hosts[*n as usize].id.as_str());
        let mut rank = vec![0_u32; order.len()];
        for (place, n) in order.iter().enumerate() {
            rank[*n as usize] = place as u32;
        }
        let mut keys: Vec<[u8; 11]> = self
            .talks
            .keys()
            .map(|k| {
                let [a, b, c, d] = rank[k.client as usize].to_be_bytes();
                let [e, f, g, h] = rank[k.server as usize].to_be_bytes();
                let [i, j] = k.port.to_be_bytes();
                [
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h,
                    crate::service::protocol(k.transport),
                    i,
                    j,
                ]
            })
            .collect();
        keys.sort_unstable();
        let mut digest = Context::new(&SHA256);
        for row in rows {
            digest.update(&(row.len() as u64).to_be_bytes());
            digest.update(&row);
        }
        for key in keys {
            digest.update(&key);
        }
        let mut out = [0; 32];
        out.copy_from_slice(digest.finish().as_ref());
        out
    }
}
