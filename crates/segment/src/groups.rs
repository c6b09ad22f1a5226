//! Groups of devices, as a tree: everyone, class, then ward or function; at the leaves single devices.
//!
//! The order of evidence is fixed: the class that the inventory gives comes first, ward and function second. Behaviour is
//! the third: a device that behaves unlike its class leaves it and is flagged, and where no device has a class (a plain
//! flow file) hosts are put together by what they serve and use. Unknown and contradictory devices never lend or
//! borrow a permission: their groups admit nobody.
//!
//! # How this differs from patented methods
//!
//! Published patents on grouping for segmentation cover minimum-description-length clustering of hosts (US 10,917,319),
//! and inferring roles from learned graph representations (US 12,445,362, US 2025/0373661); see also US 12,177,260 and
//! US 12,177,262. Nothing here learns a representation, scores a clustering, or searches for one. The tree is declared: a
//! table of attributes that somebody wrote down (class, ward), and, without them, a plain sort by listed services. What
//! data decide is elsewhere ([`crate::propose`]): which of a device's declared ancestors a rule may name, by counting how
//! many new conversations each would have foretold in weeks held out.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use domain::Criticality;

use crate::service;
use crate::words;
use crate::world::{Host, HostId, World};

/// A place in the tree: a group, or a single device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

const DEVICE: u32 = 1 << 31;

impl NodeId {
    /// A single device.
    pub const fn device(host: HostId) -> Self {
        Self(host | DEVICE)
    }

    const fn group(place: usize) -> Self {
        Self(place as u32)
    }

    /// The device, if it is one.
    pub const fn as_device(self) -> Option<HostId> {
        if self.0 & DEVICE == 0 {
            None
        } else {
            Some(self.0 & !DEVICE)
        }
    }
}

/// Why a group is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Every device of the hospital.
    Everyone,
    /// One class.
    Class,
    /// One class in one ward, or in one segment where no ward is known.
    Ward,
    /// One class with one function.
    Function,
    /// Hosts without classes that serve and use the same.
    Role,
    /// Devices of unknown class.
    Unknown,
    /// Devices whose evidence contradicts itself.
    Contradictory,
    /// A device that behaves unlike its class.
    Departs,
    /// Whoever is outside the hospital.
    Outside,
    /// A single device.
    Device,
}

/// A group of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its Cedar identifier: `infusion_pump/icu-3`.
    pub entity: SmolStr,
    /// Its name in hospital words.
    pub name: String,
    /// The group that it is part of.
    pub parent: Option<NodeId>,
    /// Why it is a group.
    pub basis: Basis,
    /// The class of its devices.
    pub kind: Option<SmolStr>,
    /// How much harm a cut does, at worst, to one of its devices.
    pub criticality: Criticality,
    /// How many devices it has, those of its parts included.
    pub size: u32,
}

impl Node {
    /// Whether a rule may name it: it stands for something that devices not seen yet can share.
    pub const fn lends(&self) -> bool {
        !matches!(
            self.basis,
            Basis::Unknown | Basis::Contradictory | Basis::Departs
        )
    }

    /// Whether membership is known without having seen a device talk.
    pub const fn by_class(&self) -> bool {
        matches!(
            self.basis,
            Basis::Everyone | Basis::Class | Basis::Ward | Basis::Function | Basis::Outside
        )
    }
}

/// Cedar identifier of the group of every device.
pub const EVERYONE: &str = "everyone";
/// Cedar identifier of the group of devices of unknown class.
pub const UNKNOWN: &str = "unknown";
/// Cedar identifier of the group of contradictory devices.
pub const CONTRADICTORY: &str = "contradictory";
/// Cedar identifier of whoever is outside.
pub const OUTSIDE: &str = "outside";

/// Types that say little about what a device is for; its function says more.
const GENERIC: &[&str] = &[
    "server",
    "computer",
    "database_server",
    "hypervisor",
    "storage",
];

/// Fewer devices than this have no usual behaviour to depart from.
const CLASS_MIN: u32 = 8;
/// Share of a class below which a habit is unusual.
const UNUSUAL: f64 = 0.05;
/// Unusual habits, at least, of a device that departs from its class.
const UNUSUAL_MIN: usize = 6;

/// The tree.
#[derive(Clone, Debug)]
pub struct Groups {
    nodes: Vec<Node>,
    by_entity: HashMap<SmolStr, NodeId>,
    /// The deepest group of each host.
    of_host: Vec<NodeId>,
    /// Whether the world has classes at all.
    classed: bool,
}

/// A device's groups from itself up; at most four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    nodes: [NodeId; 4],
    length: u8,
}

impl Chain {
    /// Its nodes, the device first.
    pub fn nodes(&self) -> &[NodeId] {
        self.nodes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

impl Groups {
    /// Whether a device that was never seen counts as life-critical, by the group it would come into.
    pub fn takes_for_life_critical(&self, chain: &Chain) -> bool {
        chain
            .nodes()
            .iter()
            .find_map(|node| self.get(*node))
            .is_none_or(|group| group.criticality == Criticality::LifeCritical)
    }

    /// Groups the hosts of a world.
    pub fn of(world: &World) -> Self {
        let mut groups = Self {
            nodes: Vec::new(),
            by_entity: HashMap::new(),
            of_host: Vec::new(),
            classed: world.hosts().iter().any(|h| h.kind.is_some()),
        };
        groups.node(Node {
            entity: EVERYONE.into(),
            name: "Every device of the hospital".to_owned(),
            parent: None,
            basis: Basis::Everyone,
            kind: None,
            criticality: Criticality::Administrative,
            size: 0,
        });
        let habits = Habits::of(world);
        groups.grow(world, &habits);
        if groups.classed {
            for host in groups.departing(world, &habits) {
                groups.depart(world, host);
            }
        }
        groups
    }

    /// Gives hosts that came since their group; the others stay where they are, unless class or ward changed.
    pub fn update(&mut self, world: &World) {
        let habits = if self.classed {
            Habits::default()
        } else {
            Habits::of(world)
        };
        for (number, host) in world.hosts().iter().enumerate() {
            let Some(&at) = self.of_host.get(number) else {
                break;
            };
            let departed = self.get(at).is_some_and(|n| n.basis == Basis::Departs);
            if departed || !self.classed {
                continue;
            }
            let to = self.place(number as HostId, host, &habits);
            if to != at {
                self.count(at, -1, host);
                self.count(to, 1, host);
                if let Some(place) = self.of_host.get_mut(number) {
                    *place = to;
                }
            }
        }
        self.grow(world, &habits);
    }

    fn grow(&mut self, world: &World, habits: &Habits) {
        for number in self.of_host.len()..world.hosts().len() {
            let Some(host) = world.host(number as HostId) else {
                continue;
            };
            let node = self.place(number as HostId, host, habits);
            self.count(node, 1, host);
            self.of_host.push(node);
        }
    }

    fn count(&mut self, from: NodeId, by: i32, host: &Host) {
        let mut at = Some(from);
        while let Some(id) = at {
            let Some(node) = self.nodes.get_mut(id.0 as usize) else {
                return;
            };
            node.size = node.size.saturating_add_signed(by);
            let own = if host.is_life_critical() {
                Criticality::LifeCritical
            } else {
                host.criticality
            };
            node.criticality = node.criticality.min(own);
            at = node.parent;
        }
    }

    fn node(&mut self, node: Node) -> NodeId {
        if let Some(&id) = self.by_entity.get(&node.entity) {
            return id;
        }
        let id = NodeId::group(self.nodes.len());
        self.by_entity.insert(node.entity.clone(), id);
        self.nodes.push(node);
        id
    }

    fn make(
        &mut self,
        entity: SmolStr,
        name: impl FnOnce() -> String,
        parent: Option<NodeId>,
        basis: Basis,
        kind: Option<&SmolStr>,
    ) -> NodeId {
        if let Some(&id) = self.by_entity.get(&entity) {
            return id;
        }
        self.node(Node {
            entity,
            name: name(),
            parent,
            basis,
            kind: kind.cloned(),
            criticality: Criticality::Administrative,
            size: 0,
        })
    }

    fn place(&mut self, number: HostId, host: &Host, habits: &Habits) -> NodeId {
        let root = Some(NodeId::group(0));
        if host.outside {
            return self.make(
                OUTSIDE.into(),
                || "Outside the hospital".to_owned(),
                None,
                Basis::Outside,
                None,
            );
        }
        if host.contradictory {
            return self.make(
                CONTRADICTORY.into(),
                || "Devices whose evidence contradicts itself".to_owned(),
                root,
                Basis::Contradictory,
                None,
            );
        }
        let Some(kind) = &host.kind else {
            if !self.classed {
                return self.role(number, habits);
            }
            return self.make(
                UNKNOWN.into(),
                || "Devices of unknown kind".to_owned(),
                root,
                Basis::Unknown,
                None,
            );
        };
        let plural = words::plural(kind);
        let class = words::slug(kind);
        let of_class = self.make(
            class.clone().into(),
            || plural.clone(),
            root,
            Basis::Class,
            Some(kind),
        );
        if let Some(unit) = &host.unit {
            return self.make(
                format_smolstr!("{class}/{}", words::slug(unit)),
                || format!("{plural}, {unit}"),
                Some(of_class),
                Basis::Ward,
                Some(kind),
            );
        }
        if GENERIC.contains(&kind.as_str())
            && let Some(function) = habits.main_service(number)
        {
            return self.make(
                format_smolstr!("{class}/{}", words::slug(&function)),
                || format!("{plural} for {function}"),
                Some(of_class),
                Basis::Function,
                Some(kind),
            );
        }
        match &host.segment {
            Some(segment) => self.make(
                format_smolstr!("{class}/{}", words::slug(segment)),
                || format!("{plural}, segment {segment}"),
                Some(of_class),
                Basis::Ward,
                Some(kind),
            ),
            None => of_class,
        }
    }

    /// The group of a host without a class in a world without classes: first by its main service, then by all main ones.
    fn role(&mut self, number: HostId, habits: &Habits) -> NodeId {
        let (served, used) = habits.main(number);
        let list = |keys: &[Habit]| {
            keys.iter()
                .map(|k| service::name(k.transport, &(k.port..=k.port)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let code = |keys: &[Habit]| {
            keys.iter()
                .map(|k| format!("{}-{}", k.transport, k.port))
                .collect::<Vec<_>>()
                .join("+")
        };
        let (coarse, coarse_name) = match (served.first(), used.first()) {
            (Some(_), _) => (
                format!("serves-{}", code(&served[..1])),
                format!("Hosts that serve {}", list(&served[..1])),
            ),
            (None, Some(_)) => (
                format!("uses-{}", code(&used[..1])),
                format!("Hosts that use {}", list(&used[..1])),
            ),
            (None, None) => ("silent".to_owned(), "Hosts that say little".to_owned()),
        };
        let role = self.make(
            coarse.clone().into(),
            || coarse_name.clone(),
            Some(NodeId::group(0)),
            Basis::Role,
            None,
        );
        let fine = format!("{coarse}/{}/{}", code(&served), code(&used));
        let name = match (served.is_empty(), used.is_empty()) {
            (false, false) => format!("Hosts that serve {} and use {}", list(&served), list(&used)),
            (false, true) => format!("Hosts that serve {}", list(&served)),
            (true, false) => format!("Hosts that use {}", list(&used)),
            (true, true) => return role,
        };
        self.make(fine.into(), || name, Some(role), Basis::Role, None)
    }

    /// Hosts whose habits their class does not share.
    fn departing(&self, world: &World, habits: &Habits) -> Vec<HostId> {
        // By class: how many of its devices have a habit.
        let mut shared: HashMap<(NodeId, NodeId, u8, u16), u32> = HashMap::new();
        let mut own: Vec<Vec<(NodeId, u8, u16)>> = vec![Vec::new(); world.hosts().len()];
        let mut seen = HashSet::new();
        for &(client, server, transport, port) in &habits.uses {
            let (Some(class), Some(peer)) = (self.class_of(client), self.top_of(server)) else {
                continue;
            };
            // Ports that move are one habit.
            let port = if service::may_be_dynamic(transport, port) {
                0
            } else {
                port
            };
            let key = (peer, service::protocol(transport), port);
            if seen.insert((client, key)) {
                *shared.entry((class, key.0, key.1, key.2)).or_default() += 1;
                if let Some(own) = own.get_mut(client as usize) {
                    own.push(key);
                }
            }
        }
        let mut departing = Vec::new();
        for (number, keys) in own.iter().enumerate() {
            let Some(class) = self.class_of(number as HostId) else {
                continue;
            };
            let Some(size) = self.get(class).map(|n| n.size).filter(|s| *s >= CLASS_MIN) else {
                continue;
            };
            let unusual = keys
                .iter()
                .filter(|(peer, protocol, port)| {
                    let others = shared
                        .get(&(class, *peer, *protocol, *port))
                        .map_or(0, |n| n - 1);
                    f64::from(others) < UNUSUAL * f64::from(size - 1)
                })
                .count();
            if unusual >= UNUSUAL_MIN && unusual * 2 > keys.len() {
                departing.push(number as HostId);
            }
        }
        departing
    }

    fn depart(&mut self, world: &World, number: HostId) {
        let Some(host) = world.host(number) else {
            return;
        };
        let before = self.of_host.get(number as usize).copied();
        let class = host.kind.as_deref().map(words::plural).unwrap_or_default();
        let node = self.make(
            format_smolstr!("departs/{}", words::slug(host.id.as_str())),
            || {
                format!(
                    "{} (behaves unlike other {})",
                    host.name,
                    class.to_lowercase()
                )
            },
            Some(NodeId::group(0)),
            Basis::Departs,
            host.kind.as_ref(),
        );
        if let Some(before) = before {
            self.count(before, -1, host);
        }
        self.count(node, 1, host);
        // What departs from its class contradicts it.
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            node.criticality = Criticality::LifeCritical;
        }
        if let Some(place) = self.of_host.get_mut(number as usize) {
            *place = node;
        }
    }

    fn class_of(&self, host: HostId) -> Option<NodeId> {
        let mut at = *self.of_host.get(host as usize)?;
        loop {
            let node = self.get(at)?;
            if node.basis == Basis::Class {
                return Some(at);
            }
            at = node.parent?;
        }
    }

    /// The class of a host, or what stands in its place.
    fn top_of(&self, host: HostId) -> Option<NodeId> {
        self.class_of(host)
            .or_else(|| self.of_host.get(host as usize).copied())
    }

    /// A group; none for a single device.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    /// Every group with its place, parents before their parts.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(place, node)| (NodeId::group(place), node))
    }

    /// The deepest group of a host.
    pub fn of_host(&self, host: HostId) -> Option<NodeId> {
        self.of_host.get(host as usize).copied()
    }

    /// The group with this Cedar identifier.
    pub fn find(&self, entity: &str) -> Option<NodeId> {
        self.by_entity.get(entity).copied()
    }

    /// Whether the world had classes.
    pub const fn classed(&self) -> bool {
        self.classed
    }

    /// The groups of a host, from itself up.
    pub fn chain(&self, host: HostId) -> Chain {
        let device = NodeId::device(host);
        let mut chain = Chain {
            nodes: [device; 4],
            length: 1,
        };
        let mut at = self.of_host(host);
        while let Some(id) = at {
            let Some(place) = chain.nodes.get_mut(usize::from(chain.length)) else {
                break;
            };
            *place = id;
            chain.length += 1;
            at = self.get(id).and_then(|n| n.parent);
        }
        chain
    }

    /// A group and those above it.
    pub fn up(&self, from: Option<NodeId>) -> impl Iterator<Item = NodeId> {
        let mut at = from;
        std::iter::from_fn(move || {
            let id = at?;
            at = self.get(id).and_then(|n| n.parent);
            Some(id)
        })
    }

    /// The groups above a node, itself not included.
    pub fn above(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let first = match node.as_device() {
            Some(host) => self.of_host(host),
            None => self.get(node).and_then(|n| n.parent),
        };
        self.up(first)
    }

    /// How many hosts each group has directly, not through its parts; groups without any are left out.
    pub fn direct(&self) -> Vec<(NodeId, u64)> {
        let mut counts: BTreeMap<NodeId, u64> = BTreeMap::new();
        for group in &self.of_host {
            *counts.entry(*group).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    /// How many devices a node stands for.
    pub fn size(&self, id: NodeId) -> u64 {
        match id.as_device() {
            Some(_) => 1,
            None => self.get(id).map_or(0, |n| u64::from(n.size)),
        }
    }

    /// Where a host that was not there when groups were made belongs: by its class and ward, else among those who may only
    /// what everyone may. None: it is outside, and nobody outside is known.
    pub fn by_class(&self, host: &Host) -> Option<NodeId> {
        if host.outside {
            return self.find(OUTSIDE);
        }
        let known = host.kind.as_ref().filter(|_| !host.contradictory);
        let placed = known.and_then(|kind| {
            let class = words::slug(kind);
            let within = host.unit.as_ref().or(host.segment.as_ref());
            within
                .and_then(|unit| self.find(&format!("{class}/{}", words::slug(unit))))
                .or_else(|| self.find(&class))
        });
        placed.or_else(|| self.find(EVERYONE))
    }

    /// The group's chain, as if a device stood in it.
    pub fn chain_of(&self, device: NodeId, group: Option<NodeId>) -> Chain {
        let mut chain = Chain {
            nodes: [device; 4],
            length: 1,
        };
        let mut at = group;
        while let Some(id) = at {
            let Some(place) = chain.nodes.get_mut(usize::from(chain.length)) else {
                break;
            };
            *place = id;
            chain.length += 1;
            at = self.get(id).and_then(|n| n.parent);
        }
        chain
    }
}

/// A service of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Habit {
    transport: domain::net::Transport,
    port: u16,
}

/// What hosts serve and use.
#[derive(Debug, Default)]
struct Habits {
    /// Client, server, transport and port, sorted.
    uses: Vec<(HostId, HostId, domain::net::Transport, u16)>,
    /// Services of each host with the number of their clients.
    served: HashMap<HostId, BTreeMap<Habit, u32>>,
    /// Services that each host uses with the number of their servers.
    used: HashMap<HostId, BTreeMap<Habit, u32>>,
}

impl Habits {
    fn of(world: &World) -> Self {
        let mut habits = Self::default();
        for (key, talk) in world.sorted() {
            if talk.folded {
                continue;
            }
            habits
                .uses
                .push((key.client, key.server, key.transport, key.port));
            let habit = Habit {
                transport: key.transport,
                port: key.port,
            };
            *habits
                .served
                .entry(key.server)
                .or_default()
                .entry(habit)
                .or_default() += 1;
            *habits
                .used
                .entry(key.client)
                .or_default()
                .entry(habit)
                .or_default() += 1;
        }
        habits
    }

    fn top(of: Option<&BTreeMap<Habit, u32>>, least: u32) -> Vec<Habit> {
        let mut all: Vec<(std::cmp::Reverse<u32>, Habit)> = of
            .into_iter()
            .flatten()
            .filter(|(habit, count)| {
                **count >= least && !service::may_be_dynamic(habit.transport, habit.port)
                    || **count >= least.max(4)
            })
            .map(|(habit, count)| (std::cmp::Reverse(*count), *habit))
            .collect();
        all.sort_unstable();
        let mut top: Vec<Habit> = all.into_iter().take(3).map(|(_, habit)| habit).collect();
        if let Some(rest) = top.get_mut(1..) {
            rest.sort_unstable();
        }
        top
    }

    /// The services that a host mainly serves and mainly uses, at most three each; the first is the most important.
    fn main(&self, host: HostId) -> (Vec<Habit>, Vec<Habit>) {
        (
            Self::top(self.served.get(&host), 2),
            Self::top(self.used.get(&host), 1),
        )
    }

    fn main_service(&self, host: HostId) -> Option<String> {
        Self::top(self.served.get(&host), 2)
            .first()
            .map(|h| service::name(h.transport, &(h.port..=h.port)).to_string())
    }
}

#[cfg(test)]
mod tests;
