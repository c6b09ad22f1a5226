//! What goes to a store and comes back.
//!
//! A device's row holds its profile, for whoever reads, and its ledger, for [`Inventory::restore`]. Conversation rows are
//! those of the ledger: rows with the same ends, transport, port and service add up. Rows that the inventory gave up for
//! lack of room stay in the store until the store's own retention takes them.
//!
//! Restoring what was told and going on equals having gone on, except that last-seen times may lag by
//! [`crate::Options::last_seen_every`]; [`Inventory::everything`] tells them exactly.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use domain::{Conversation, DeviceId, DeviceProfile, EvidenceKind, Mac, Source, Timestamp};

use super::{Confirmation, Inventory, LocalRule, Standing};
use crate::conversations::{Endpoint, Record, SavedRecord, between_devices};
use crate::hysteresis::{self, SavedName};
use crate::identity::node::{Claims, NONE, Node, NodeKey};
use crate::identity::view::KeyNode;
use crate::ledger::{Row, seconds};

/// What changed since a generation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Ask with this the next time.
    pub generation: u64,
    /// Devices that are new or changed.
    pub devices: Vec<DeviceRow>,
    /// Devices that are no more: joined to another, or given up for lack of room.
    pub gone: Vec<DeviceId>,
    /// Conversation rows that are new or changed.
    pub conversations: Vec<ConversationRow>,
    /// All local rules, if one changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<LocalRule>>,
}

/// A device as a store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The device, to read.
    pub profile: DeviceProfile,
    /// Its ledger, to restore.
    pub ledger: SavedDevice,
}

/// A device's ledger as a store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedDevice {
    /// Sources that rows name by their place here.
    sources: Vec<Source>,
    nodes: Vec<SavedNode>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedNode {
    key: NodeKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<(i64, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noted: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed: Option<(i64, u32)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    until: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    released: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<(NodeKey, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vlan: Option<(u16, u32)>,
    claims: Claims,
    seen_by: u8,
    #[serde(default)]
    outside: u8,
    rows: Vec<SavedRow>,
    /// What stands for its MAC address or asset, and what for its address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    standing: Vec<SavedStanding>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedRow {
    kind: EvidenceKind,
    value: SmolStr,
    source: u16,
    first: i64,
    last: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedStanding {
    by_address: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<SavedName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed: Option<Confirmation>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A conversation row as a store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// Its key in the store: the same row has the same key after a restart.
    pub key: SmolStr,
    /// What it says, to read; rows with the same ends, transport, port and service add up.
    pub conversation: Conversation,
    /// The row, to restore.
    pub ledger: SavedConversation,
}

/// A conversation row of the ledger as a store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedConversation {
    client: SavedEnd,
    server: SavedEnd,
    record: SavedRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedEnd {
    Node(NodeKey),
    Remote(SmolStr),
}

impl Inventory {
    /// Publishes names: a device's name follows its evidence, or holds against it (see [`crate::Options::margin`]). The time that
    /// counts is that of the evidence; `now` is for devices that nothing was heard of since.
    pub fn settle(&mut self, now: Timestamp) {
        let groups = self.unsettled(now);
        let mut challenged = Vec::new();
        for group in groups {
            self.publish(group, &mut challenged);
        }
        self.challenged = challenged;
    }

    /// The devices whose name is to be looked at, by number. They count as settled from now on.
    fn unsettled(&mut self, now: Timestamp) -> Vec<u32> {
        self.latest = self.latest.max(now.as_millis());
        if self.aged {
            self.stale();
        }
        let mut groups: Vec<u32> = Vec::new();
        let view = self.view();
        for (number, node) in self.nodes.iter() {
            if node.changed > self.settled {
                groups.extend(view.group_at(number, i64::MAX));
            }
        }
        for number in &self.challenged {
            groups.extend(view.group_at(*number, i64::MAX));
        }
        groups.retain(|group| view.group(*group).is_some_and(|g| g.seen_by != 0));
        groups.sort_unstable();
        groups.dedup();
        self.settled = self.round.saturating_sub(1);
        groups
    }

    fn publish(&mut self, group: u32, challenged: &mut Vec<u32>) {
        let macs = self.macs_of(group);
        let evidence: Vec<_> = self
            .told(group, &macs)
            .into_iter()
            .map(|told| told.evidence)
            .collect();
        let answer = self.reading_of(&evidence);
        let Some((at, last)) = self.view().group(group).map(|g| (g.key_node(), g.last)) else {
            return;
        };
        let place = self.standing_place(group).unwrap_or(at);
        let old = self.standing.get_mut(&place).and_then(|s| s.name.take());
        let before = old.clone();
        let name = hysteresis::publish(old, &answer, &mut self.texts, last, &self.options);
        if name
            .as_ref()
            .is_some_and(hysteresis::Published::is_challenged)
        {
            challenged.push(place.0);
        }
        let changed = before != name;
        match name {
            Some(name) => {
                self.standing.entry(place).or_default().name = Some(name);
            }
            None => {
                if self
                    .standing
                    .get(&place)
                    .is_some_and(|s| s.confirmed.is_none())
                {
                    self.standing.remove(&place);
                }
            }
        }
        if changed {
            self.mark_changed(place.0);
        }
    }

    pub(super) fn mark_changed(&mut self, node: u32) {
        let round = self.round;
        if let Some(node) = self.nodes.get_mut(node) {
            node.changed = round;
        }
    }

    /// What changed since `generation`, which is 0 or what the last answer gave. Names are published first.
    pub fn changed_since(&mut self, generation: u64) -> Changes {
        self.changes(generation, false)
    }

    /// Everything, with exact last-seen times: for a last write before the program ends, and for a new store.
    pub fn everything(&mut self) -> Changes {
        self.changes(0, true)
    }

    fn changes(&mut self, generation: u64, all: bool) -> Changes {
        let since = if all {
            0
        } else {
            u32::try_from(generation).unwrap_or(u32::MAX)
        };
        let unsettled = self.unsettled(Timestamp::from_millis(self.latest));
        let mut challenged = Vec::new();
        self.gone.retain(|(round, _)| *round > since);
        let round = self.round;
        let mut told = std::mem::take(&mut self.told);
        let mut next: HashMap<SmolStr, (u32, u32)> = HashMap::with_capacity(told.len());
        let mut devices = Vec::new();
        let present: Vec<u32> = self.present().collect();
        for group in present {
            // One after the other, so that the answer is still at hand when the profile is made.
            if unsettled.binary_search(&group).is_ok() {
                self.publish(group, &mut challenged);
            }
            let id = self.id_of(group);
            let sum = self.composition(group);
            let mut changed = self
                .nodes_of(group)
                .map(|(_, node)| node.changed)
                .max()
                .unwrap_or(0);
            let key_node = self.view().group(group).map_or(NONE, |g| g.key_node().0);
            changed = changed.max(self.nodes.get(key_node).map_or(0, |n| n.changed));
            let name = SmolStr::new(id.as_str());
            changed = match told.remove(&name) {
                Some((old, at)) if old == sum => changed.max(at),
                _ => round,
            };
            next.insert(name, (sum, changed));
            if changed > since || all {
                devices.push(DeviceRow {
                    profile: self.profile(group),
                    ledger: self.save_device(group),
                });
            }
        }
        self.challenged = challenged;
        let mut gone: Vec<DeviceId> = told.into_keys().map(DeviceId::new).collect();
        gone.sort_unstable();
        self.gone.extend(gone.into_iter().map(|id| (round, id)));
        self.gone.retain(|(_, id)| !next.contains_key(id.as_str()));
        self.told = next;
        let conversations = self
            .conversations
            .iter()
            .filter(|(_, record)| record.changed > since || all)
            .filter_map(|(_, record)| self.save_conversation(record))
            .collect();
        let rules = (self.rules_changed > since || all).then(|| self.rules.clone());
        let generation = u64::from(round);
        self.round = self.round.saturating_add(1);
        Changes {
            generation,
            devices,
            gone: self.gone.iter().map(|(_, id)| id.clone()).collect(),
            conversations,
            rules,
        }
    }

    /// A check sum of what a device is made of, so that a change of who is who is told.
    fn composition(&self, group: u32) -> u32 {
        let view = self.view();
        let mut hasher = self.seed.build_hasher();
        if let Some(at) = view.group(group) {
            for number in view.nodes(at) {
                number.hash(&mut hasher);
            }
            for share in view.shares(at) {
                (share.node, share.from, share.to).hash(&mut hasher);
            }
            (at.behind, at.marks.bits()).hash(&mut hasher);
            if at.behind != NONE {
                self.id_of(at.behind).hash(&mut hasher);
            }
        }
        hasher.finish() as u32
    }

    fn save_device(&self, group: u32) -> SavedDevice {
        let view = self.view();
        let mut saved = SavedDevice::default();
        let Some(at) = view.group(group) else {
            return saved;
        };
        let mut places: HashMap<u16, u16> = HashMap::new();
        let mut numbers: Vec<u32> = view.nodes(at).to_vec();
        // A node that several share is kept with the last of them; so is one that only gives a key.
        numbers.extend(
            view.shares(at)
                .iter()
                .map(|share| share.node)
                .filter(|node| view.keeper(*node) == Some(group)),
        );
        if view.group_at(at.key_node().0, i64::MAX).is_none() {
            numbers.push(at.key_node().0);
        }
        numbers.extend(view.loose(group));
        for number in numbers {
            let Some(node) = self.nodes.get(number) else {
                continue;
            };
            let rows = node
                .ledger
                .rows()
                .iter()
                .map(|row| SavedRow {
                    kind: row.kind,
                    value: self.texts.get(row.value).into(),
                    source: *places.entry(row.source.0).or_insert_with(|| {
                        let place = u16::try_from(saved.sources.len()).unwrap_or(u16::MAX);
                        saved
                            .sources
                            .push(self.sources.get(row.source).cloned().unwrap_or(Source {
                                name: self.sources.name(row.source).into(),
                                kind: self.sources.kind(row.source),
                            }));
                        place
                    }),
                    first: row.first().as_millis(),
                    last: row.last_secs(),
                })
                .collect();
            saved.nodes.push(self.save_node(number, node, rows));
        }
        saved
    }

    fn save_node(&self, number: u32, node: &Node, rows: Vec<SavedRow>) -> SavedNode {
        let via = self
            .nodes
            .get(node.via)
            .map(|via| (via.key.clone(), node.via_at));
        let standing = [false, true]
            .into_iter()
            .filter_map(|by_address| {
                let standing = self.standing.get(&KeyNode(number, by_address))?;
                Some(SavedStanding {
                    by_address,
                    name: standing.name.as_ref().map(|name| name.save(&self.texts)),
                    confirmed: standing.confirmed.as_deref().cloned(),
                })
            })
            .collect();
        SavedNode {
            key: node.key.clone(),
            seen: (node.first != i64::MAX).then_some((node.first, node.last)),
            noted: (node.noted != i64::MAX).then_some(node.noted),
            claimed: (node.claimed != i64::MAX).then_some((node.claimed, node.claimed_last)),
            until: node.until,
            released: node.released,
            via,
            vlan: (node.vlan != 0).then_some((node.vlan, node.vlan_at())),
            claims: node.claims,
            seen_by: node.seen_by,
            outside: node.outside,
            rows,
            standing,
        }
    }

    fn save_conversation(&self, record: &Record) -> Option<ConversationRow> {
        let end = |end: Endpoint| match (end.as_remote(), end.as_node()) {
            (Some(text), _) => Some(SavedEnd::Remote(self.texts.get(text).into())),
            (None, Some(number)) => Some(SavedEnd::Node(self.nodes.get(number)?.key.clone())),
            (None, None) => None,
        };
        let client = end(record.key.client)?;
        let server = end(record.key.server)?;
        let mut rows = between_devices([record].into_iter(), &self.texts, |end, at| {
            self.who_is(end, at)
        });
        let conversation = rows.pop()?;
        let ledger = SavedConversation {
            client,
            server,
            record: record.save(&self.texts),
        };
        Some(ConversationRow {
            key: format_smolstr!(
                "{}>{}>{}:{}{}:{}",
                ledger.client.text(),
                ledger.server.text(),
                conversation.transport,
                conversation.port,
                if record.key.many_ports { "+" } else { "" },
                conversation.service.as_deref().unwrap_or("-"),
            ),
            conversation,
            ledger,
        })
    }

    /// Takes back what [`Inventory::changed_since`] or [`Inventory::everything`] gave: into an empty inventory, before anything
    /// else is taken. Bounds hold here as well. The next [`Inventory::changed_since`] tells every
    /// device once.
    ///
    /// # Errors
    /// When the knowledge does not take a local rule; then nothing was restored.
    pub fn restore(
        &mut self,
        rules: impl IntoIterator<Item = LocalRule>,
        devices: impl IntoIterator<Item = SavedDevice>,
        conversations: impl IntoIterator<Item = SavedConversation>,
    ) -> Result<(), super::AnswerError> {
        self.restore_rules(rules)?;
        let mut via = Vec::new();
        for device in devices {
            let sources: Vec<_> = device
                .sources
                .into_iter()
                .map(|source| self.sources.add(source))
                .collect();
            for node in device.nodes {
                self.restore_node(node, &sources, &mut via);
            }
        }
        for (asset, party, at) in via {
            if let (Some(number), Some(party)) = (self.nodes.find(&asset), self.nodes.find(&party))
                && let Some(node) = self.nodes.get_mut(number)
            {
                (node.via, node.via_at) = (party, at);
            }
        }
        for saved in conversations {
            let mut end = |end: &SavedEnd| match end {
                SavedEnd::Remote(text) => Some(Endpoint::remote(self.texts.hold(text))),
                SavedEnd::Node(key) => {
                    let (number, _) = self.nodes.ensure(key.clone());
                    Some(Endpoint::node(number))
                }
            };
            if let (Some(client), Some(server)) = (end(&saved.client), end(&saved.server)) {
                let record = saved.record.restore(client, server, &mut self.texts);
                let service = record.key.service;
                self.latest = self.latest.max(record.last);
                let full = self.conversations.len() >= self.options.conversations_max;
                if full {
                    record.release(&mut self.texts);
                } else {
                    self.conversations.restore(record, &mut self.texts);
                }
                // The table holds them now.
                let held = [client.as_remote(), server.as_remote(), service];
                held.into_iter()
                    .flatten()
                    .for_each(|text| self.texts.release(text));
            }
        }
        self.stale();
        Ok(())
    }

    fn restore_node(
        &mut self,
        saved: SavedNode,
        sources: &[domain::SourceId],
        via: &mut Vec<(NodeKey, NodeKey, u32)>,
    ) {
        let (number, made) = self.nodes.ensure(saved.key.clone());
        if made {
            self.make_room(number);
        }
        if let Some((claimed, last)) = saved.claimed {
            self.nodes
                .claim(number, saved.claims, Timestamp::from_millis(claimed), None);
            if let Some(node) = self.nodes.get_mut(number) {
                node.claimed_last = last;
            }
        }
        if let Some((vlan, at)) = saved.vlan {
            self.nodes.restore_vlan(number, vlan, at);
        }
        if let Some((party, at)) = saved.via {
            via.push((saved.key.clone(), party, at));
        }
        if let (Some(mac), Some(address)) = (saved.key.mac(), saved.key.address())
            && !saved.claims.any()
        {
            self.restore_outside(mac, address);
        }
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        if let Some((first, last)) = saved.seen {
            (node.first, node.last) = (first, last);
            node.told = seconds(Timestamp::from_millis(last));
            self.latest = self.latest.max(last);
        }
        node.noted = saved.noted.unwrap_or(i64::MAX);
        node.claims = saved.claims;
        (node.until, node.released) = (saved.until, saved.released);
        (node.seen_by, node.outside) = (saved.seen_by, saved.outside);
        for row in saved.rows {
            let Some(source) = sources.get(usize::from(row.source)) else {
                continue;
            };
            let value = self.texts.hold(&row.value);
            let row = Row::saved(row.kind, value, *source, row.first, row.last);
            if !node.ledger.restore(row) {
                self.texts.release(value);
            }
        }
        for standing in saved.standing {
            let name = standing.name.map(|name| name.restore(&mut self.texts));
            if name
                .as_ref()
                .is_some_and(hysteresis::Published::is_challenged)
            {
                self.challenged.push(number);
            }
            let place = KeyNode(number, standing.by_address);
            let standing = Standing {
                name,
                confirmed: standing.confirmed.map(Box::new),
            };
            self.standing.insert(place, Box::new(standing));
        }
    }

    /// Which outside address a MAC address sends from.
    fn restore_outside(&mut self, mac: Mac, address: std::net::IpAddr) {
        use crate::identity::address::{Reach, reach};
        if reach(address, &self.options.own_networks) != Reach::Outside {
            return;
        }
        let entry = self.outside.entry(mac).or_default();
        match address {
            std::net::IpAddr::V4(_) => entry.v4 = Some(address),
            std::net::IpAddr::V6(a) => entry.v6 = u64::try_from(a.to_bits() >> 64).ok(),
        }
    }
}

impl SavedEnd {
    fn text(&self) -> SmolStr {
        match self {
            Self::Remote(text) => text.clone(),
            Self::Node(NodeKey::Mac(mac, Some(address))) => format_smolstr!("{mac}/{address}"),
            Self::Node(NodeKey::Mac(mac, None)) => format_smolstr!("{mac}"),
            Self::Node(NodeKey::Address(address)) => format_smolstr!("{address}"),
            Self::Node(key @ NodeKey::Asset(_)) => SmolStr::new(key.device().id().as_str()),
        }
    }
}
