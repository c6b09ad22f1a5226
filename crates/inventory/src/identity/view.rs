//! Which nodes are which device: a pure function of the nodes.
//!
//! Rules, in order:
//! 1. A MAC address and the addresses it claims (ARP, neighbour discovery, DHCP, tables) are one device. An address that it
//!    only sends from is its own if it is the only one; a MAC address that sends from several is a router ([`own`]).
//! 2. An address seen without a MAC address or through a router belongs to whoever held it at that time: from a claim to
//!    the next one's, to the end of a lease, to its release ([`float`]). Nobody: the address stands for a device.
//! 3. An asset is a device behind the party that last spoke for it; a register's row is joined to the parties it names.
//! 4. What shares a key that stays ([`super::strong`]) is joined, names only where they cannot be two ([`join`]).

mod float;
mod join;
mod own;

use std::net::IpAddr;

use domain::observation::Asset;
use domain::{EvidenceKind, Mac, SourceId, Timestamp};

use super::address::{hypervisor, is_directed_broadcast, mac_in_eui64, virtual_router};
use super::key::DeviceKey;
use super::marks::{Join, JoinKey, Mark};
use super::node::{NONE, Node, NodeKey, Nodes, REGISTER};
use crate::ledger::{Interner, Text};
use crate::options::{Network, Options};

/// A set of [`Mark`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

impl Marks {
    pub(crate) fn insert(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u16;
    }

    /// The set as bits.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn contains(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u16) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Mark> {
        [
            Mark::Router,
            Mark::VirtualRouter,
            Mark::ProxyArp,
            Mark::Nat,
            Mark::RandomisedMac,
            Mark::VirtualMachine,
            Mark::Gateway,
            Mark::AddressConflict,
            Mark::AddressOnly,
            Mark::NeverSeen,
        ]
        .into_iter()
        .filter(move |mark| self.contains(*mark))
    }
}

/// A node together with whether it stands for its MAC address or asset, or (true) for its address: a router that only
/// carries and what it carries share a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyNode(pub(crate) u32, pub(crate) bool);

/// A device: nodes that are wholly its, and shares in nodes of an address that several held in turn.
#[derive(Debug)]
pub(crate) struct Group {
    key_node: u32,
    by_address: bool,
    nodes: (u32, u32),
    shares: (u32, u32),
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The group through whose address it speaks.
    pub(crate) behind: u32,
    pub(crate) marks: Marks,
    pub(crate) seen_by: u8,
}

impl Group {
    /// What gives the key. The node need not be wholly the group's.
    pub(crate) const fn key_node(&self) -> KeyNode {
        KeyNode(self.key_node, self.by_address)
    }
}

/// What a group has of a node: what was seen from `from` until before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) node: u32,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) group: u32,
}

/// One row of a device's ledger, put together of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    pub(crate) kind: EvidenceKind,
    pub(crate) value: Text,
    pub(crate) source: SourceId,
    pub(crate) first: i64,
}

/// The devices that the nodes make.
#[derive(Debug, Default)]
pub(crate) struct View {
    at: i64,
    /// By key.
    groups: Vec<Group>,
    nodes: Vec<u32>,
    shares: Vec<Share>,
    /// By node number: its group, [`NONE`], or [`SHARED`].
    group_of: Vec<u32>,
    /// By node: who has which share.
    shared: Vec<Share>,
    joins: Vec<(u32, Join)>,
    /// By node number: whether a router carried it, or no MAC address was seen.
    carried: Vec<u64>,
    /// Nodes that belong to nobody, with the group of the MAC address that carried them: it is known as a router by them.
    loose: Vec<(u32, u32)>,
    /// Networks told or learnt, longest prefix first.
    networks: Vec<Network>,
}

/// Several groups share the node.
const SHARED: u32 = u32::MAX - 1;

/// Something that becomes part of a group: a node, or the idea of one.
#[derive(Clone, Copy, Debug)]
struct Element {
    /// The node that gives the key.
    node: u32,
    /// Whether the key is the node's address although it has a MAC address.
    by_address: bool,
    /// Whether the node itself belongs to the group.
    whole: bool,
}

/// A view being built.
struct Build<'a> {
    nodes: &'a Nodes,
    texts: &'a Interner,
    options: &'a Options,
    /// Node numbers by key.
    order: Vec<u32>,
    elements: Vec<Element>,
    /// Every MAC address with its element and when it was first known, in order.
    macs: Vec<(Mac, u32, i64)>,
    parent: Vec<u32>,
    marks: Vec<Marks>,
    /// By node number: its element if it is wholly one's, else [`NONE`].
    element_of: Vec<u32>,
    /// Shares, by node then time; `group` is an element.
    shares: Vec<Share>,
    joins: Vec<(u32, Join)>,
    networks: Vec<Network>,
}

impl View {
    /// The view of `nodes`, of which the newest time is `at`.
    pub(crate) fn build(nodes: &Nodes, texts: &Interner, options: &Options, at: i64) -> Self {
        let mut order: Vec<u32> = nodes.iter().map(|(number, _)| number).collect();
        order.sort_unstable_by(|a, b| key(nodes, *a).cmp(&key(nodes, *b)));
        let numbers = nodes.iter().map(|(number, _)| number as usize + 1).max();
        let mut build = Build {
            nodes,
            texts,
            options,
            order,
            elements: Vec::with_capacity(nodes.len()),
            macs: Vec::new(),
            parent: Vec::with_capacity(nodes.len()),
            marks: Vec::with_capacity(nodes.len()),
            element_of: vec![NONE; numbers.unwrap_or(0)],
            shares: Vec::new(),
            joins: Vec::new(),
            networks: Vec::new(),
        };
        build.learn_networks();
        build.own();
        build.float();
        let behind = build.assets();
        build.join();
        let mut view = build.finish(&behind);
        view.at = at;
        view
    }

    /// The newest time when it was built.
    pub(crate) const fn at(&self) -> i64 {
        self.at
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn group(&self, index: u32) -> Option<&Group> {
        self.groups.get(index as usize)
    }

    /// The nodes that are wholly the group's, by key.
    pub(crate) fn nodes(&self, group: &Group) -> &[u32] {
        let (start, len) = group.nodes;
        self.nodes
            .get(start as usize..(start + len) as usize)
            .unwrap_or_default()
    }

    /// The group's shares in nodes.
    pub(crate) fn shares(&self, group: &Group) -> &[Share] {
        let (start, len) = group.shares;
        self.shares
            .get(start as usize..(start + len) as usize)
            .unwrap_or_default()
    }

    /// Nodes of outside addresses that the group only carries.
    pub(crate) fn loose(&self, group: u32) -> impl Iterator<Item = u32> {
        let start = self.loose.partition_point(|(g, _)| *g < group);
        self.loose[start..]
            .iter()
            .take_while(move |(g, _)| *g == group)
            .map(|(_, node)| *node)
    }

    /// By what the group's parts were joined.
    pub(crate) fn joins(&self, group: u32) -> impl Iterator<Item = &Join> {
        let start = self.joins.partition_point(|(g, _)| *g < group);
        self.joins[start..]
            .iter()
            .take_while(move |(g, _)| *g == group)
            .map(|(_, join)| join)
    }

    /// By what the group is known.
    pub(crate) fn key(&self, nodes: &Nodes, group: &Group) -> DeviceKey {
        device_key(nodes, group.key_node, group.by_address).unwrap_or(DeviceKey::Mac(Mac([0; 6])))
    }

    /// The group with this key, or the one that a part of this name was joined to.
    pub(crate) fn find(&self, nodes: &Nodes, wanted: &DeviceKey) -> Option<u32> {
        if let Ok(index) = self
            .groups
            .binary_search_by(|group| self.key(nodes, group).cmp(wanted))
        {
            return u32::try_from(index).ok();
        }
        let part = match wanted {
            DeviceKey::Mac(mac) => match nodes.find(&NodeKey::Mac(*mac, None)) {
                Some(number) => number,
                None => self.nodes.iter().copied().find(|n| {
                    !self.is_carried(*n)
                        && nodes
                            .get(*n)
                            .is_some_and(|node| node.key.mac() == Some(*mac))
                })?,
            },
            DeviceKey::Asset { asset, at } => {
                nodes.find(&NodeKey::Asset(Box::new((asset.clone(), *at))))?
            }
            DeviceKey::Address(address) => nodes.find(&NodeKey::Address(*address))?,
        };
        self.group_at(part, i64::MAX)
    }

    /// Whether the MAC address of this node, if it has one, is a router's and not its device's.
    pub(crate) fn is_carried(&self, node: u32) -> bool {
        let word = self.carried.get(node as usize / 64).copied().unwrap_or(0);
        word & (1 << (node % 64)) != 0
    }

    /// Whose node this was at `at`.
    pub(crate) fn group_at(&self, node: u32, at: i64) -> Option<u32> {
        match self.group_of.get(node as usize).copied()? {
            NONE => None,
            SHARED => {
                let start = self.shared.partition_point(|s| s.node < node);
                let of_node = self.shared[start..].iter().take_while(|s| s.node == node);
                let mut last = None;
                for share in of_node {
                    if share.from <= at && at < share.to {
                        return Some(share.group);
                    }
                    last = Some(share.group);
                }
                last
            }
            group => Some(group),
        }
    }

    /// The group whose row of the store a node belongs to: the last to share it.
    pub(crate) fn keeper(&self, node: u32) -> Option<u32> {
        self.group_at(node, i64::MAX)
    }

    /// The rows of a group's ledger, by kind and text.
    pub(crate) fn rows(&self, nodes: &Nodes, texts: &Interner, group: &Group) -> Vec<DeviceRow> {
        let mut rows = Vec::new();
        for node in self.nodes(group).iter().filter_map(|n| nodes.get(*n)) {
            rows.extend(node.ledger.rows().iter().map(|row| DeviceRow {
                kind: row.kind,
                value: row.value,
                source: row.source,
                first: row.first().as_millis(),
            }));
        }
        for share in self.shares(group) {
            let Some(node) = nodes.get(share.node) else {
                continue;
            };
            let inside = |ms: i64| share.from <= ms && ms < share.to;
            for row in node.ledger.rows() {
                let (first, last) = (row.first().as_millis(), row.last().as_millis());
                // Both ends of a row were seen; between them nobody knows who said it.
                if inside(first) || inside(last) {
                    rows.push(DeviceRow {
                        kind: row.kind,
                        value: row.value,
                        source: row.source,
                        first: if inside(first) { first } else { last },
                    });
                }
            }
        }
        rows.sort_unstable_by(|a, b| {
            (a.kind, texts.get(a.value), a.first, a.source).cmp(&(
                b.kind,
                texts.get(b.value),
                b.first,
                b.source,
            ))
        });
        rows.dedup_by(|later, earlier| later.kind == earlier.kind && later.value == earlier.value);
        rows
    }

    /// The network that an address lies in, as told or learnt.
    pub(crate) fn network(&self, address: IpAddr) -> Option<Network> {
        self.networks
            .iter()
            .copied()
            .find(|network| network.contains(address))
    }

    /// Octets that the view takes, for the memory figures.
    pub(crate) fn octets(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
            + (self.nodes.capacity() + self.group_of.capacity()) * 4
            + self.carried.capacity() * 8
            + self.loose.capacity() * 8
            + (self.shares.capacity() + self.shared.capacity()) * size_of::<Share>()
            + self.joins.capacity() * size_of::<(u32, Join)>()
    }
}

fn key(nodes: &Nodes, number: u32) -> Option<&NodeKey> {
    nodes.get(number).map(|node| &node.key)
}

fn device_key(nodes: &Nodes, node: u32, by_address: bool) -> Option<DeviceKey> {
    let key = &nodes.get(node)?.key;
    match key.address() {
        Some(address) if by_address => Some(DeviceKey::Address(address)),
        _ => Some(key.device()),
    }
}

impl<'a> Build<'a> {
    fn node(&self, number: u32) -> &'a Node {
        self.nodes
            .get(number)
            .expect("the order holds the numbers of nodes that exist")
    }

    fn element(&mut self, element: Element) -> u32 {
        let number = u32::try_from(self.elements.len()).expect("bounded by the number of nodes");
        self.elements.push(element);
        self.parent.push(number);
        self.marks.push(Marks::default());
        if element.whole {
            self.element_of[element.node as usize] = number;
        }
        number
    }

    fn root(&mut self, element: u32) -> u32 {
        let mut at = element;
        while self.parent[at as usize] != at {
            let above = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = above;
            at = above;
        }
        at
    }

    fn union(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            let (low, high) = (one.min(other), one.max(other));
            self.parent[high as usize] = low;
            let marks = self.marks[high as usize].0;
            self.marks[low as usize].0 |= marks;
        }
    }

    fn mark(&mut self, element: u32, mark: Mark) {
        let root = self.root(element);
        self.marks[root as usize].insert(mark);
    }

    /// Networks that options name and DHCP servers told.
    fn learn_networks(&mut self) {
        let mut networks: Vec<Network> = self.options.segments.iter().map(|s| s.network).collect();
        let told = self.nodes.iter().flat_map(|(_, node)| node.ledger.rows());
        networks.extend(
            told.filter(|row| row.kind == EvidenceKind::DhcpSubnet)
                .filter_map(|row| self.texts.get(row.value).parse::<Network>().ok()),
        );
        // Nobody's network is half the world: a lie or a slip.
        networks.retain(|n: &Network| n.length() >= 8);
        networks.sort_unstable_by_key(|n| (std::cmp::Reverse(n.length()), *n));
        networks.dedup();
        self.networks = networks;
    }

    /// Whether nobody can be at `address`: it is a network's broadcast address.
    fn is_broadcast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => is_directed_broadcast(a, &self.networks),
            IpAddr::V6(_) => false,
        }
    }

    /// Who had `node` at `at`: an element.
    fn element_at(&self, node: u32, at: i64) -> Option<u32> {
        let element = self.element_of.get(node as usize).copied()?;
        if element != NONE {
            return Some(element);
        }
        let start = self.shares.partition_point(|s| s.node < node);
        let of_node = self.shares[start..].iter().take_while(|s| s.node == node);
        let mut last = None;
        for share in of_node {
            if share.from <= at && at < share.to {
                return Some(share.group);
            }
            last = Some(share.group);
        }
        last
    }

    /// Elements of assets. Answers pairs of asset and party it is behind.
    fn assets(&mut self) -> Vec<(u32, u32)> {
        let mut behind = Vec::new();
        let assets: Vec<u32> = self
            .order
            .iter()
            .copied()
            .filter(|n| matches!(self.node(*n).key, NodeKey::Asset(_)))
            .collect();
        for number in assets {
            let node = self.node(number);
            let element = self.element(Element {
                node: number,
                by_address: false,
                whole: true,
            });
            let NodeKey::Asset(asset) = &node.key else {
                continue;
            };
            if !node.was_seen() {
                // A register's row: its identifier stands in the ledgers of the parties that it names.
                continue;
            }
            let party = (node.via != NONE)
                .then(|| self.element_at(node.via, i64::from(node.via_at) * 1000))
                .flatten();
            match (&asset.0, party) {
                (Asset::Eui64(eui), party) => {
                    let embedded = mac_in_eui64(*eui).and_then(|mac| self.mac_element(mac));
                    match (embedded, party) {
                        (Some(own), _) => {
                            self.note(element, own, JoinKey::EmbeddedMac, &format!("{eui:016x}"));
                            self.union(element, own);
                        }
                        (None, Some(party)) => behind.push((element, party)),
                        (None, None) => {}
                    }
                }
                (_, Some(party)) => behind.push((element, party)),
                (_, None) => {}
            }
        }
        behind
    }

    /// The element of a MAC address, if it was seen.
    fn mac_element(&self, mac: Mac) -> Option<u32> {
        let place = self.macs.binary_search_by_key(&mac, |(m, ..)| *m).ok()?;
        Some(self.macs[place].1)
    }

    /// Keeps by what two elements are joined.
    fn note(&mut self, one: u32, other: u32, by: JoinKey, value: &str) {
        let key = |element: u32| {
            let element = self.elements[element as usize];
            device_key(self.nodes, element.node, element.by_address)
        };
        let (Some(a), Some(b)) = (key(one), key(other)) else {
            return;
        };
        if a != b {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            let join = Join {
                one: low,
                other: high,
                by,
                value: value.into(),
            };
            self.joins.push((one, join));
        }
    }

    /// First and last time of every root, and who saw it, by element number.
    fn spans(&mut self) -> Vec<(i64, i64, u8)> {
        let mut spans = vec![(i64::MAX, i64::MIN, 0_u8); self.elements.len()];
        for index in 0..self.elements.len() {
            let element = self.elements[index];
            if !element.whole {
                continue;
            }
            let root = self.root(u32::try_from(index).unwrap_or(NONE)) as usize;
            let node = self.node(element.node);
            let span = &mut spans[root];
            span.0 = span.0.min(node.first);
            span.1 = span.1.max(node.last);
            span.2 |= node.seen_by;
        }
        // A MAC address was seen whenever it carried something.
        let mut at = 0;
        for index in 0..self.macs.len() {
            let (mac, element, _) = self.macs[index];
            let root = self.root(element) as usize;
            while let Some(node) = self.order.get(at).map(|n| self.node(*n))
                && node.key.mac() == Some(mac)
            {
                let span = &mut spans[root];
                span.0 = span.0.min(node.first);
                span.1 = span.1.max(node.last);
                span.2 |= node.seen_by;
                at += 1;
            }
        }
        for index in 0..self.shares.len() {
            let share = self.shares[index];
            let root = self.root(share.group) as usize;
            let node = self.node(share.node);
            let span = &mut spans[root];
            let rows = node.ledger.rows().iter();
            let times = rows
                .flat_map(|row| [row.first().as_millis(), row.last().as_millis()])
                .chain([node.first, node.last]);
            for ms in times.filter(|ms| share.from <= *ms && *ms < share.to) {
                span.0 = span.0.min(ms);
                span.1 = span.1.max(ms);
                span.2 |= node.seen_by;
            }
        }
        spans
    }

    fn finish(mut self, behind: &[(u32, u32)]) -> View {
        let spans = self.spans();
        let count = self.elements.len();
        // By root: the element that gives the key, MAC addresses and assets before rows of registers before addresses.
        let mut best: Vec<u32> = vec![NONE; count];
        for index in 0..count {
            let number = u32::try_from(index).unwrap_or(NONE);
            let root = self.root(number) as usize;
            if best[root] == NONE || self.rank(number) < self.rank(best[root]) {
                best[root] = number;
            }
        }
        let mut roots: Vec<u32> = (0..count)
            .filter_map(|index| u32::try_from(index).ok())
            .filter(|n| self.parent[*n as usize] == *n)
            .collect();
        roots.sort_by_cached_key(|root| {
            let element = self.elements[best[*root as usize] as usize];
            device_key(self.nodes, element.node, element.by_address)
        });
        let mut group_of_root = vec![NONE; count];
        for (group, root) in roots.iter().enumerate() {
            group_of_root[*root as usize] = u32::try_from(group).unwrap_or(NONE);
        }
        let mut view = View {
            group_of: vec![NONE; self.element_of.len()],
            carried: vec![0; self.element_of.len().div_ceil(64)],
            networks: std::mem::take(&mut self.networks),
            ..View::default()
        };
        let mut whole: Vec<(u32, u32)> = Vec::with_capacity(self.order.len());
        for element in &self.elements {
            if element.by_address {
                view.carried[element.node as usize / 64] |= 1 << (element.node % 64);
            }
        }
        for position in 0..self.order.len() {
            let number = self.order[position];
            let element = self.element_of[number as usize];
            if element != NONE {
                let group = group_of_root[self.root(element) as usize];
                whole.push((group, number));
                view.group_of[number as usize] = group;
            }
        }
        whole.sort_by_key(|(group, _)| *group);
        for position in 0..self.order.len() {
            let number = self.order[position];
            let is_loose = self.element_of[number as usize] == NONE
                && self
                    .shares
                    .binary_search_by_key(&number, |s| s.node)
                    .is_err();
            let mac = self.node(number).key.mac();
            if let (true, Some(element)) = (is_loose, mac.and_then(|m| self.mac_element(m))) {
                let root = self.root(element);
                view.loose.push((group_of_root[root as usize], number));
            }
        }
        view.loose.sort_unstable();
        let mut shared: Vec<Share> = std::mem::take(&mut self.shares);
        for share in &mut shared {
            share.group = group_of_root[self.root(share.group) as usize];
            view.group_of[share.node as usize] = SHARED;
        }
        let mut shares = shared.clone();
        shares.sort_by_key(|share| (share.group, share.node, share.from));
        for (group, root) in roots.iter().enumerate() {
            let group = u32::try_from(group).unwrap_or(NONE);
            let element = self.elements[best[*root as usize] as usize];
            let (first, last, seen_by) = spans[*root as usize];
            let nodes = range(&whole, |(g, _)| *g, group);
            let mut first = first;
            for (_, number) in &whole[nodes.0 as usize..(nodes.0 + nodes.1) as usize] {
                if first == i64::MAX {
                    first = self.node(*number).noted;
                }
            }
            let mut marks = self.marks[*root as usize];
            if element.by_address || matches!(self.node(element.node).key, NodeKey::Address(_)) {
                marks.insert(Mark::AddressOnly);
            }
            if seen_by != 0 && seen_by & !REGISTER == 0 {
                marks.insert(Mark::NeverSeen);
            }
            view.groups.push(Group {
                key_node: element.node,
                by_address: element.by_address,
                nodes,
                shares: range(&shares, |s| s.group, group),
                first,
                last: last.max(first),
                behind: NONE,
                marks,
                seen_by,
            });
        }
        for (asset, party) in behind {
            let asset = group_of_root[self.root(*asset) as usize];
            let party = group_of_root[self.root(*party) as usize];
            if asset != party {
                view.groups[asset as usize].behind = party;
                view.groups[party as usize].marks.insert(Mark::Gateway);
            }
        }
        let mut joins = std::mem::take(&mut self.joins);
        for (element, _) in &mut joins {
            *element = group_of_root[self.root(*element) as usize];
        }
        joins.sort();
        joins.dedup();
        view.joins = joins;
        view.nodes = whole.into_iter().map(|(_, number)| number).collect();
        view.shares = shares;
        view.shared = shared;
        view.nodes.shrink_to_fit();
        view.groups.shrink_to_fit();
        view
    }

    /// What makes the better key: smaller is better. The one seen first stays the key when others join.
    fn rank(&self, element: u32) -> (u8, i64, Option<DeviceKey>) {
        let element = self.elements[element as usize];
        let key = device_key(self.nodes, element.node, element.by_address);
        let rank = match &key {
            Some(DeviceKey::Address(_)) | None => 2,
            Some(DeviceKey::Asset {
                asset: Asset::Register(_),
                ..
            }) => 1,
            Some(DeviceKey::Mac(_) | DeviceKey::Asset { .. }) => 0,
        };
        let begins = match key {
            Some(DeviceKey::Mac(mac)) => self
                .macs
                .binary_search_by_key(&mac, |(m, ..)| *m)
                .map_or(i64::MAX, |place| self.macs[place].2),
            _ => self.node(element.node).begins(),
        };
        (rank, begins, key)
    }
}

/// The run of `items`, sorted by `of`, that belongs to `group`: start and length.
fn range<T>(items: &[T], of: impl Fn(&T) -> u32, group: u32) -> (u32, u32) {
    let start = items.partition_point(|item| of(item) < group);
    let end = items.partition_point(|item| of(item) <= group);
    let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (short(start), short(end - start))
}

/// What a MAC address says by its block.
fn marks_of(mac: Mac) -> Marks {
    let mut marks = Marks::default();
    if virtual_router(mac).is_some() {
        marks.insert(Mark::VirtualRouter);
    } else if hypervisor(mac).is_some() {
        marks.insert(Mark::VirtualMachine);
    } else if mac.is_local() {
        marks.insert(Mark::RandomisedMac);
    }
    marks
}

/// The instant in whole seconds `secs` as milliseconds.
fn millis(secs: u32) -> i64 {
    Timestamp::from_millis(i64::from(secs) * 1000).as_millis()
}
