//! A device as everything above reads it.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use domain::observation::Asset;
use domain::{
    DeviceId, DeviceProfile, EvidenceKind, EvidenceRow, Mac, SourceId, Timestamp, UnitId,
};

use super::{Confirmation, Inventory, Standing};
use crate::evidence::Evidence;
use crate::hysteresis::{self, Shown};
use crate::identification::Identification;
use crate::identity::address::{hypervisor, is_link_local, virtual_router};
use crate::identity::marks::{Join, Mark};
use crate::identity::node::{Node, NodeKey};
use crate::identity::strong::{host_name, is_host_name};
use crate::identity::view::{Group, KeyNode};
use crate::options::Segment;

/// One device with how it was put together and what its evidence says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The device.
    pub profile: DeviceProfile,
    /// What the evidence says now; its rows refer to those of the profile.
    pub identification: Identification,
    /// What is particular about its identity.
    pub marks: Vec<Mark>,
    /// By what its parts were taken for one device.
    pub joins: Vec<Join>,
    /// A person's answer.
    pub confirmed: Option<Confirmation>,
    /// The answer the evidence gives now, where the name that people know is still shown.
    pub wants: Option<SmolStr>,
    /// Assets that speak through it.
    pub carries: Vec<DeviceId>,
}

/// One piece of evidence with where it came from.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) evidence: Evidence,
    pub(super) source: From,
    pub(super) first: i64,
}

/// Where evidence came from.
#[derive(Clone, Debug)]
pub(super) enum From {
    Source(SourceId),
    Registry,
    Person,
}

/// A device put together.
pub(super) struct Assembled {
    pub(super) told: Vec<Told>,
    pub(super) answer: Arc<Identification>,
    pub(super) shown: Shown,
    pub(super) is_nat: bool,
}

impl Inventory {
    fn view_group(&self, group: u32) -> &Group {
        self.view()
            .group(group)
            .expect("callers took the number from the same view")
    }

    pub(super) fn id_of(&self, group: u32) -> DeviceId {
        let view = self.view();
        view.key(&self.nodes, self.view_group(group)).id()
    }

    /// The group's own nodes.
    pub(super) fn nodes_of(&self, group: u32) -> impl Iterator<Item = (u32, &Node)> {
        let view = self.view();
        view.nodes(self.view_group(group))
            .iter()
            .filter_map(|number| Some((*number, self.nodes.get(*number)?)))
    }

    /// The MAC addresses of a group. A router that only carries has no node of its own, but its key.
    pub(super) fn macs_of(&self, group: u32) -> Vec<Mac> {
        let view = self.view();
        let mut macs: BTreeSet<Mac> = BTreeSet::new();
        if let crate::identity::DeviceKey::Mac(mac) = view.key(&self.nodes, self.view_group(group))
        {
            macs.insert(mac);
        }
        let whole = self.nodes_of(group);
        // What came through a router has the router's MAC address.
        macs.extend(
            whole
                .filter(|(n, _)| !self.view().is_carried(*n))
                .filter_map(|(_, n)| n.key.mac()),
        );
        macs.into_iter().collect()
    }

    /// The addresses that it holds now or held last, the newest first. One that another MAC address took over is not listed.
    fn addresses_of(&self, group: u32) -> Vec<IpAddr> {
        let view = self.view();
        let mut held: Vec<(i64, i64, IpAddr)> = Vec::new();
        for (number, node) in self.nodes_of(group) {
            let Some(address) = node.key.address() else {
                continue;
            };
            let last = node.last.max(i64::from(node.claimed_last) * 1000);
            let taken = self.nodes.claimants(address).take(64).any(|(_, other)| {
                other.claimed > node.begins()
                    && other.claimed > node.claimed.min(i64::MAX - 1)
                    && other.key.mac() != node.key.mac()
                    && i64::from(other.claimed_last) * 1000 >= last
                    && self
                        .nodes
                        .find(&other.key)
                        .and_then(|n| view.group_at(n, i64::MAX))
                        != view.group_at(number, i64::MAX)
            });
            let begins = if node.claims.any() {
                node.claimed
            } else {
                node.begins()
            };
            if !taken {
                held.push((last, begins, address));
            }
        }
        for share in view.shares(self.view_group(group)) {
            if let Some(node) = self.nodes.get(share.node)
                && share.to == i64::MAX
                && let Some(address) = node.key.address()
            {
                held.push((node.last, share.from.max(node.begins()), address));
            }
        }
        held.sort_unstable_by(|a, b| b.cmp(a));
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (index, (last, _, address)) in held.iter().enumerate() {
            // An address not used since a newer one of its network began was given up.
            let network = self.network_of(*address);
            let superseded = !is_link_local(*address)
                && address.is_ipv4()
                && held[..index].iter().any(|(_, begins, newer)| {
                    newer != address && begins > last && network.contains(*newer)
                });
            if !superseded && !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        addresses
    }

    /// Its evidence by kind and value, with what the inventory adds itself.
    pub(super) fn told(&self, group: u32, macs: &[Mac]) -> Vec<Told> {
        let view = self.view();
        let at = self.view_group(group);
        let mut told: Vec<Told> = view
            .rows(&self.nodes, &self.texts, at)
            .into_iter()
            .map(|row| Told {
                evidence: Evidence::new(row.kind, self.texts.get(row.value)),
                source: From::Source(row.source),
                first: row.first,
            })
            .collect();
        for mac in macs {
            let vendor = virtual_router(*mac)
                .or_else(|| hypervisor(*mac).filter(|_| mac.is_local()))
                .map(SmolStr::new_static)
                .or_else(|| self.knowledge.mac_vendor(*mac));
            if let Some(vendor) = vendor {
                told.push(Told {
                    evidence: Evidence::new(EvidenceKind::MacVendor, vendor),
                    source: From::Registry,
                    first: at.first,
                });
            }
        }
        if let Some(confirmed) = self.standing_of(group).and_then(|s| s.confirmed.as_ref()) {
            told.push(Told {
                evidence: Evidence::new(EvidenceKind::Confirmed, confirmed.kind.clone()),
                source: From::Person,
                first: confirmed.at.as_millis(),
            });
        }
        told.sort_by(|a, b| (&a.evidence, a.first).cmp(&(&b.evidence, b.first)));
        told.dedup_by(|later, earlier| later.evidence == earlier.evidence);
        told
    }

    /// What people and evidence made of a group.
    pub(super) fn standing_of(&self, group: u32) -> Option<&Standing> {
        let place = self.standing_place(group)?;
        self.standing.get(&place).map(|standing| &**standing)
    }

    /// Where that is kept: at what gives the group its key, else at the oldest of its nodes, a person's answer first.
    pub(super) fn standing_place(&self, group: u32) -> Option<KeyNode> {
        let at = self.view_group(group);
        if self.standing.contains_key(&at.key_node()) {
            return Some(at.key_node());
        }
        if self.standing.is_empty() {
            return None;
        }
        self.nodes_of(group)
            .flat_map(|(number, node)| [false, true].map(|by| (KeyNode(number, by), node)))
            .filter_map(|(at, node)| Some((self.standing.get(&at)?, at, node)))
            .min_by(|(a, _, m), (b, _, n)| {
                let rank = |s: &Standing| s.confirmed.is_none();
                (rank(a), m.begins(), &m.key).cmp(&(rank(b), n.begins(), &n.key))
            })
            .map(|(_, at, _)| at)
    }

    /// What the knowledge makes of evidence. Answers are kept by a check sum of the evidence.
    pub(super) fn reading_of(&self, evidence: &[Evidence]) -> Arc<Identification> {
        let sum = self.seed.hash_one(evidence);
        if let Some(known) = self.ready.lock().ok().and_then(|r| r.get(&sum).cloned()) {
            return known;
        }
        let answer = Arc::new(self.knowledge.identify(evidence));
        if self.options.answers_max > 0
            && let Ok(mut ready) = self.ready.lock()
        {
            if ready.len() >= self.options.answers_max {
                ready.clear();
            }
            ready.insert(sum, Arc::clone(&answer));
        }
        answer
    }

    pub(super) fn assemble(&self, group: u32, macs: &[Mac]) -> Assembled {
        let told = self.told(group, macs);
        let evidence: Vec<Evidence> = told.iter().map(|t| t.evidence.clone()).collect();
        let answer = self.reading_of(&evidence);
        let standing = self.standing_of(group);
        let is_nat = is_nat(&evidence);
        let mut shown = hysteresis::shown(
            standing.and_then(|s| s.name.as_ref()),
            standing.and_then(|s| s.confirmed.as_deref()),
            &answer,
            &self.texts,
            self.view_group(group).last,
            &self.options,
        );
        if is_nat && standing.is_none_or(|s| s.confirmed.is_none()) {
            shown.contradictory = true;
            shown.criticality = domain::Criticality::LifeCritical;
        }
        Assembled {
            told,
            answer,
            shown,
            is_nat,
        }
    }

    pub(super) fn profile(&self, group: u32) -> DeviceProfile {
        let macs = self.macs_of(group);
        let assembled = self.assemble(group, &macs);
        self.profile_of(group, macs, &assembled)
    }

    pub(super) fn detail_of(&self, group: u32) -> Detail {
        let macs = self.macs_of(group);
        let assembled = self.assemble(group, &macs);
        let view = self.view();
        let mut marks: Vec<Mark> = self.view_group(group).marks.iter().collect();
        if assembled.is_nat {
            marks.push(Mark::Nat);
            marks.sort_unstable();
        }
        let standing = self.standing_of(group);
        Detail {
            profile: self.profile_of(group, macs, &assembled),
            marks,
            joins: view.joins(group).cloned().collect(),
            confirmed: standing.and_then(|s| s.confirmed.as_deref().cloned()),
            wants: assembled.shown.instead_of.clone(),
            carries: (0_u32..)
                .zip(view.groups())
                .filter(|(_, other)| other.behind == group)
                .map(|(index, _)| self.id_of(index))
                .collect(),
            identification: Identification::clone(&assembled.answer),
        }
    }

    fn profile_of(&self, group: u32, macs: Vec<Mac>, assembled: &Assembled) -> DeviceProfile {
        let view = self.view();
        let at = self.view_group(group);
        let addresses = self.addresses_of(group);
        let segment = self.segment_of(group, &addresses);
        let place = self.unit_of(&addresses, &assembled.told);
        let Assembled {
            told,
            answer,
            shown,
            ..
        } = assembled;
        let mut evidence: Vec<EvidenceRow> = told
            .iter()
            .map(|told| EvidenceRow {
                source: match &told.source {
                    From::Source(id) => self.sources.name(*id).into(),
                    From::Registry => SmolStr::new_static("IEEE registry"),
                    From::Person => SmolStr::new_static("a person's answer"),
                },
                kind: told.evidence.kind,
                value: told.evidence.value.clone(),
                says: SmolStr::default(),
                weight: 0.0,
                at: Timestamp::from_millis(told.first),
            })
            .collect();
        for (index, says, weight) in &answer.rows {
            if let Some(row) = evidence.get_mut(*index) {
                if row.says.is_empty() {
                    row.says = says.clone();
                } else if !row.says.contains(says.as_str()) {
                    row.says = format_smolstr!("{} {says}", row.says);
                }
                row.weight += weight;
            }
        }
        let assets = self
            .nodes_of(group)
            .filter_map(|(_, node)| match &node.key {
                NodeKey::Asset(asset) => Some(asset.0.clone()),
                NodeKey::Mac(..) | NodeKey::Address(_) => None,
            })
            .collect::<Vec<Asset>>();
        DeviceProfile {
            id: view.key(&self.nodes, at).id(),
            macs,
            addresses,
            names: names(told),
            category: shown.category.clone(),
            kind: shown.kind.clone(),
            vendor: shown.vendor.clone(),
            model: shown.model.clone(),
            os: shown.os.clone(),
            confidence: shown.confidence,
            abstained: shown.abstained,
            contradictory: shown.contradictory,
            criticality: shown.criticality,
            evidence,
            first_seen: Timestamp::from_millis(at.first),
            last_seen: Timestamp::from_millis(at.last),
            unit: place,
            segment,
            behind: (at.behind != crate::identity::node::NONE).then(|| self.id_of(at.behind)),
            assets,
            risks: Vec::new(),
        }
    }

    /// The network's name, else its VLAN, else its addresses.
    fn segment_of(&self, group: u32, addresses: &[IpAddr]) -> Option<SmolStr> {
        let routed = addresses.iter().copied().find(|a| !is_link_local(*a));
        if let Some(name) = routed
            .and_then(|a| self.told_segment(a))
            .and_then(|s| s.name.clone())
        {
            return Some(name);
        }
        let vlan = self
            .nodes_of(group)
            .filter(|(number, node)| node.vlan != 0 && !self.view().is_carried(*number))
            .max_by_key(|(_, node)| (node.vlan_at(), std::cmp::Reverse(node.vlan)))
            .map(|(_, node)| node.vlan);
        if let Some(vlan) = vlan {
            return Some(format_smolstr!("vlan {vlan}"));
        }
        routed.map(|a| format_smolstr!("{}", self.network_of(a)))
    }

    /// The ward of the network it is in, else the place that a register gives.
    fn unit_of(&self, addresses: &[IpAddr], told: &[Told]) -> Option<UnitId> {
        let by_network = addresses
            .iter()
            .find_map(|a| self.told_segment(*a)?.unit.clone());
        by_network.or_else(|| {
            told.iter()
                .find(|t| t.evidence.kind == EvidenceKind::RegisterPlace)
                .map(|t| UnitId::new(t.evidence.value.clone()))
        })
    }

    /// The segment that options give for an address: the longest prefix.
    fn told_segment(&self, address: IpAddr) -> Option<&Segment> {
        self.options
            .segments
            .iter()
            .filter(|segment| segment.network.contains(address))
            .max_by_key(|segment| segment.network.length())
    }
}

/// The names in evidence: what it calls itself, then what a register calls it.
fn names(told: &[Told]) -> Vec<SmolStr> {
    let mut found: Vec<(bool, SmolStr)> = Vec::new();
    for told in told {
        let kind = told.evidence.kind;
        let register = kind == EvidenceKind::RegisterName;
        let name = if register || is_host_name(kind) {
            host_name(kind, &told.evidence.value)
        } else if matches!(
            kind,
            EvidenceKind::BacnetDevice | EvidenceKind::WsdDescription
        ) {
            let value = told.evidence.value.as_str();
            let after = |prefix| value.strip_prefix(prefix);
            after("object-name=")
                .or_else(|| after("FriendlyName="))
                .unwrap_or("")
        } else {
            ""
        };
        let known = found.iter().any(|(_, n)| n.eq_ignore_ascii_case(name));
        if !name.is_empty() && !known && found.len() < 16 {
            found.push((register, name.into()));
        }
    }
    found.sort_by_key(|(register, _)| *register);
    found.into_iter().map(|(_, name)| name).collect()
}

/// Families of operating systems that do not share a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Windows,
    Apple,
    Android,
    Unix,
}

/// Whether several hosts seem to speak from one address: browsers of at least two families whose TCP begins with
/// different times to live, of at least three families, or three computer names.
fn is_nat(evidence: &[Evidence]) -> bool {
    let mut families: BTreeSet<Family> = BTreeSet::new();
    let mut hops: BTreeSet<&str> = BTreeSet::new();
    let mut computers: BTreeSet<String> = BTreeSet::new();
    for Evidence { kind, value } in evidence {
        match kind {
            EvidenceKind::HttpUserAgent => families.extend(family(value)),
            EvidenceKind::DhcpVendorClass if value.starts_with("MSFT") => {
                families.insert(Family::Windows);
            }
            EvidenceKind::DhcpVendorClass if value.starts_with("android") => {
                families.insert(Family::Android);
            }
            EvidenceKind::TcpSyn => {
                hops.extend(
                    value
                        .split(':')
                        .next()
                        .filter(|ttl| matches!(*ttl, "64" | "128")),
                );
            }
            EvidenceKind::NtlmComputer | EvidenceKind::RdpClientName => {
                computers.insert(value.to_ascii_lowercase());
            }
            _ => {}
        }
    }
    families.len() >= 3 || (families.len() >= 2 && hops.len() >= 2) || computers.len() >= 3
}

/// The family of operating systems in a browser's User-Agent; other programs say what they like.
fn family(agent: &str) -> Option<Family> {
    let system = agent.strip_prefix("Mozilla/5.0 (")?;
    Some(if system.starts_with("Windows NT") {
        Family::Windows
    } else if system.starts_with("iPhone")
        || system.starts_with("iPad")
        || system.starts_with("Macintosh")
    {
        Family::Apple
    } else if system.starts_with("Linux; Android") || system.starts_with("Android") {
        Family::Android
    } else if system.starts_with("X11") {
        Family::Unix
    } else {
        return None;
    })
}
