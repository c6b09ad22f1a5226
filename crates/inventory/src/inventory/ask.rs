//! Finding devices and conversations.

use smol_str::SmolStr;

use domain::{Conversation, DeviceId, EvidenceKind, Mac};

use super::Inventory;
use crate::conversations::{Endpoint, INTERNET, between_devices};
use crate::identity::DeviceKey;
use crate::identity::strong::{host_name, is_host_name, plain_serial, serial_field};
use crate::queue::Surveyed;

/// Most devices that a search gives.
const FOUND_MAX: usize = 1_000;

impl Inventory {
    /// The group with this identifier, or the one that a device of this name was joined to.
    pub(super) fn group_of_id(&self, id: &DeviceId) -> Option<u32> {
        let text = id.as_str();
        let view = self.view();
        if let Some(digits) = text.strip_prefix("mac-") {
            let mac: Mac = digits.parse().ok()?;
            return view.find(&self.nodes, &DeviceKey::Mac(mac));
        }
        if let Some(address) = text.strip_prefix("ip-") {
            return view.find(&self.nodes, &DeviceKey::Address(address.parse().ok()?));
        }
        if let Some((index, _)) = (0_u32..)
            .zip(view.groups())
            .find(|(_, group)| view.key(&self.nodes, group).id() == *id)
        {
            return Some(index);
        }
        self.nodes
            .iter()
            .find(|(_, node)| {
                let key = node.key.device();
                matches!(key, DeviceKey::Asset { .. }) && key.id() == *id
            })
            .and_then(|(number, _)| view.group_at(number, i64::MAX))
    }

    pub(super) fn find_devices(&self, text: &str) -> Vec<DeviceId> {
        let text = text.trim();
        if text.is_empty() {
            return Vec::new();
        }
        let view = self.view();
        let mut groups: Vec<u32> = Vec::new();
        if let Some(group) = self.group_of_id(&DeviceId::new(SmolStr::new(text))) {
            groups.push(group);
        } else if let Ok(address) = text.parse::<std::net::IpAddr>() {
            let address = address.to_canonical();
            for (number, node) in self.nodes.iter() {
                if node.key.address() == Some(address) {
                    groups.extend(view.group_at(number, i64::MAX));
                    groups.extend(view.group_at(number, node.first));
                }
            }
        } else if let Ok(mac) = text.parse::<Mac>() {
            groups.extend(view.find(&self.nodes, &DeviceKey::Mac(mac)));
        }
        if groups.is_empty() {
            let serial = plain_serial(text);
            for (number, node) in self.nodes.iter() {
                for row in node.ledger.rows() {
                    let value = self.texts.get(row.value);
                    let hit = if is_host_name(row.kind) || row.kind == EvidenceKind::RegisterName {
                        host_name(row.kind, value).eq_ignore_ascii_case(text)
                            || value.eq_ignore_ascii_case(text)
                    } else if row.kind == EvidenceKind::RegisterSerial {
                        !serial.is_empty() && plain_serial(value) == serial
                    } else if matches!(
                        row.kind,
                        EvidenceKind::RegisterId
                            | EvidenceKind::DicomAeTitle
                            | EvidenceKind::BacnetInstance
                    ) {
                        value.eq_ignore_ascii_case(text)
                    } else {
                        !serial.is_empty()
                            && serial_field(value).is_some_and(|s| plain_serial(s) == serial)
                    };
                    if hit {
                        groups.extend(view.group_at(number, row.last().as_millis()));
                    }
                }
            }
        }
        groups.retain(|group| view.group(*group).is_some_and(|g| g.seen_by != 0));
        groups.sort_unstable();
        groups.dedup();
        groups.truncate(FOUND_MAX);
        groups.into_iter().map(|group| self.id_of(group)).collect()
    }

    /// The identifier of whoever an endpoint was at `at`.
    pub(super) fn who_is(&self, end: Endpoint, at: i64) -> Option<DeviceId> {
        if let Some(text) = end.as_remote() {
            return Some(DeviceId::from(self.texts.get(text)));
        }
        let number = end.as_node()?;
        match self.view().group_at(number, at) {
            Some(group) => Some(self.id_of(group)),
            // An outside address that a router carries, or a network's broadcast address.
            None => {
                let node = self.nodes.get(number)?;
                let inside = node.key.address().is_some_and(|a| {
                    crate::identity::address::reach(a, &self.options.own_networks)
                        == crate::identity::address::Reach::Inside
                });
                let name = if inside {
                    crate::conversations::BROADCAST
                } else {
                    INTERNET
                };
                Some(DeviceId::from(name))
            }
        }
    }

    /// Rows between devices; of one device only, if given.
    pub(super) fn conversations_where(&self, group: Option<u32>) -> Vec<Conversation> {
        let view = self.view();
        let is_of =
            |end: Endpoint, at: i64| end.as_node().and_then(|n| view.group_at(n, at)) == group;
        let records = self
            .conversations
            .iter()
            .map(|(_, record)| record)
            .filter(|record| {
                group.is_none()
                    || is_of(record.key.client, record.last)
                    || is_of(record.key.server, record.last)
            });
        between_devices(records, &self.texts, |end, at| self.who_is(end, at))
    }

    /// Every device as the queue looks at it, by key.
    pub(crate) fn survey(&self) -> Vec<Surveyed> {
        let view = self.view();
        let mut outside: Vec<u32> = Vec::new();
        for (_, record) in self.conversations.iter() {
            let is_outside = |end: Endpoint| {
                end.as_remote()
                    .is_some_and(|text| self.texts.get(text).starts_with(INTERNET))
            };
            for (one, other) in [
                (record.key.client, record.key.server),
                (record.key.server, record.key.client),
            ] {
                if let (Some(node), true) = (one.as_node(), is_outside(other)) {
                    outside.extend(view.group_at(node, record.last));
                }
            }
        }
        outside.sort_unstable();
        outside.dedup();
        let oldest = self
            .present()
            .filter_map(|group| view.group(group))
            .map(|group| group.first)
            .min()
            .unwrap_or(i64::MAX);
        let new_for = i64::try_from(self.options.new_for.as_millis()).unwrap_or(i64::MAX);
        let new_from = self.latest.saturating_sub(new_for);
        self.present()
            .map(|group| {
                let macs = self.macs_of(group);
                let assembled = self.assemble(group, &macs);
                let answer = &assembled.answer;
                let shown = &assembled.shown;
                let mut disputed: Vec<SmolStr> = answer
                    .contradictions
                    .iter()
                    .filter(|c| c.about == "type")
                    .flat_map(|c| [c.one.clone(), c.other.clone()])
                    .chain(shown.instead_of.clone())
                    .collect();
                disputed.sort_unstable();
                disputed.dedup();
                let at = view.group(group);
                Surveyed {
                    id: self.id_of(group),
                    kind: shown.kind.clone(),
                    category: shown.category.clone(),
                    contradictory: shown.contradictory,
                    confirmed: self
                        .standing_of(group)
                        .is_some_and(|standing| standing.confirmed.is_some()),
                    is_new: oldest < new_from && at.is_some_and(|g| g.first >= new_from),
                    talks_outside: outside.binary_search(&group).is_ok(),
                    marks: at.map(|g| g.marks.iter().collect()).unwrap_or_default(),
                    disputed,
                    settle: answer.settle.clone(),
                    evidence: assembled.told.into_iter().map(|t| t.evidence).collect(),
                }
            })
            .collect()
    }
}
