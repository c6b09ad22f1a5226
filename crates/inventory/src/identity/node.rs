//! Nodes: where observations are kept, one for each way a party was seen.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use domain::observation::{AddressSource, Asset, SourceKind};
use domain::{Mac, Timestamp};

use super::key::{DeviceKey, Gateway};
use crate::ledger::{Ledger, seconds};
use crate::slab::Slab;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// How a party was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeKey {
    /// A MAC address, with or without an address.
    Mac(Mac, Option<IpAddr>),
    /// An address without a MAC address.
    Address(IpAddr),
    /// An asset.
    Asset(Box<(Asset, Option<Gateway>)>),
}

impl NodeKey {
    pub(crate) fn mac(&self) -> Option<Mac> {
        match self {
            Self::Mac(mac, _) => Some(*mac),
            Self::Address(_) | Self::Asset(_) => None,
        }
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Mac(_, address) => *address,
            Self::Address(address) => Some(*address),
            Self::Asset(_) => None,
        }
    }

    /// The device it makes when it stands alone.
    pub(crate) fn device(&self) -> DeviceKey {
        match self {
            Self::Mac(mac, _) => DeviceKey::Mac(*mac),
            Self::Address(address) => DeviceKey::Address(*address),
            Self::Asset(asset) => DeviceKey::Asset {
                asset: asset.0.clone(),
                at: asset.1,
            },
        }
    }
}

/// A set of ways in which an address came to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(pub(crate) u8);

impl Claims {
    pub(crate) fn bit(how: AddressSource) -> Self {
        Self(match how {
            AddressSource::Arp => 1,
            AddressSource::NeighbourDiscovery => 2,
            AddressSource::Dhcp => 4,
            AddressSource::Lease => 8,
            AddressSource::Table => 16,
            AddressSource::Register => 32,
            AddressSource::Packet => 64,
        })
    }

    pub(crate) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether somebody said that the MAC address holds the address; packets do not say so, and
    /// registers are often out of date.
    pub(crate) const fn any(self) -> bool {
        self.0 & 0b01_1111 != 0
    }

    /// Whether a DHCP server said so.
    pub(crate) const fn by_server(self) -> bool {
        self.0 & 0b00_1100 != 0
    }

    /// Whether only ARP or a table made of ARP said so.
    pub(crate) const fn only_arp(self) -> bool {
        let said = self.0 & 0b01_1111;
        said != 0 && said & !0b01_0001 == 0
    }
}

/// The bit of a kind of source.
pub(crate) const fn source_bit(kind: SourceKind) -> u8 {
    match kind {
        SourceKind::Packets => 1,
        SourceKind::FlowRecords => 2,
        SourceKind::Zeek => 4,
        SourceKind::Leases => 8,
        SourceKind::Neighbours => 16,
        SourceKind::Scan => 32,
        SourceKind::Register => 64,
        SourceKind::Gateway => 128,
    }
}

/// The bit of registers: who is only there was never seen.
pub(crate) const REGISTER: u8 = source_bit(SourceKind::Register);

/// Most claimants of one address that are looked at, the newest first: more are an attack.
const CLAIMANTS_MAX: usize = 64;

/// One node. Times are milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) ledger: Ledger,
    /// First and last time it was seen, registers apart. `i64::MAX` and `i64::MIN`: never.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// When a register first named it. `i64::MAX`: none does.
    pub(crate) noted: i64,
    /// First time somebody said that the MAC address holds the address. `i64::MAX`: nobody.
    pub(crate) claimed: i64,
    /// Last time somebody said so, in seconds.
    pub(crate) claimed_last: u32,
    /// When the lease ends and when the address was given back, in seconds; 0: not known.
    pub(crate) until: u32,
    pub(crate) released: u32,
    /// For an asset: the node through which it was last heard.
    pub(crate) via: u32,
    pub(crate) via_at: u32,
    /// Next node that claims the same address.
    next: u32,
    /// In which round it last changed.
    pub(crate) changed: u32,
    /// What [`Node::last`] was, in seconds, when it was last told.
    pub(crate) told: u32,
    vlan_at: u32,
    pub(crate) vlan: u16,
    pub(crate) claims: Claims,
    pub(crate) seen_by: u8,
    /// On a MAC address without an address: whether it sends from many outside addresses.
    pub(crate) outside: u8,
}

impl Node {
    /// It sends from more than one outside IPv4 address.
    pub(crate) const MANY_V4: u8 = 1;
    /// It sends from more than one outside IPv6 network.
    pub(crate) const MANY_V6: u8 = 2;

    fn new(key: NodeKey) -> Self {
        Self {
            key,
            ledger: Ledger::default(),
            first: i64::MAX,
            last: i64::MIN,
            noted: i64::MAX,
            claimed: i64::MAX,
            claimed_last: 0,
            until: 0,
            released: 0,
            via: NONE,
            via_at: 0,
            next: NONE,
            changed: 0,
            told: 0,
            vlan_at: 0,
            vlan: 0,
            claims: Claims::default(),
            seen_by: 0,
            outside: 0,
        }
    }

    /// It was there, or a register names it. Answers whether more than its last time changed.
    pub(crate) fn touch(&mut self, at: Timestamp, seen_by: u8) -> bool {
        let ms = at.as_millis();
        let mut changed = self.seen_by & seen_by != seen_by;
        self.seen_by |= seen_by;
        if seen_by == REGISTER {
            changed |= ms < self.noted;
            self.noted = self.noted.min(ms);
        } else {
            changed |= ms < self.first;
            self.first = self.first.min(ms);
            self.last = self.last.max(ms);
        }
        changed
    }

    /// It was on this VLAN: the latest counts.
    pub(crate) fn on_vlan(&mut self, vlan: u16, at: Timestamp) -> bool {
        let at = seconds(at);
        if vlan == 0 || at < self.vlan_at || (at == self.vlan_at && vlan <= self.vlan) {
            return false;
        }
        self.vlan_at = at;
        std::mem::replace(&mut self.vlan, vlan) != vlan
    }

    /// When the VLAN was seen, in seconds.
    pub(crate) const fn vlan_at(&self) -> u32 {
        self.vlan_at
    }

    /// When it was first known, by a register if nobody saw it.
    pub(crate) fn begins(&self) -> i64 {
        self.first.min(self.noted)
    }

    /// Whether anything but a register knows it.
    pub(crate) const fn was_seen(&self) -> bool {
        self.seen_by & !REGISTER != 0
    }

    /// How much would be lost without it: told by people or servers, evidence, a long life.
    fn value(&self, is_confirmed: bool) -> (u32, i64) {
        let known_by = self.seen_by & (source_bit(SourceKind::Leases) | REGISTER | 16 | 32 | 128);
        let life = self.last.saturating_sub(self.first);
        let score = u32::from(is_confirmed) * 64
            + u32::from(known_by != 0) * 8
            + u32::try_from(self.ledger.rows().len().min(8)).unwrap_or(8)
            + u32::from(life >= 3_600_000) * 8
            + u32::from(life >= 60_000) * 4
            + u32::from(self.claims.any());
        (score, self.last.max(self.noted.min(self.last)))
    }
}

/// All nodes, found by their keys and by the addresses they claim.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    slab: Slab<Node>,
    by_key: HashTable<u32>,
    claims: HashTable<u32>,
    seed: RandomState,
}

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Node> {
        self.slab.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Node> {
        self.slab.get_mut(number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.slab.iter()
    }

    pub(crate) fn find(&self, key: &NodeKey) -> Option<u32> {
        let hash = self.seed.hash_one(key);
        self.by_key
            .find(hash, |&n| {
                self.slab.get(n).is_some_and(|node| node.key == *key)
            })
            .copied()
    }

    /// The node with this key, made if absent. Answers its number and whether it was made.
    pub(crate) fn ensure(&mut self, key: NodeKey) -> (u32, bool) {
        if let Some(number) = self.find(&key) {
            return (number, false);
        }
        let hash = self.seed.hash_one(&key);
        let number = self.slab.insert(Node::new(key));
        let (slab, seed) = (&self.slab, &self.seed);
        self.by_key.insert_unique(hash, number, |&n| {
            slab.get(n).map_or(0, |node| seed.hash_one(&node.key))
        });
        (number, true)
    }

    /// Somebody says that the node's MAC address holds its address. Answers whether that is news.
    pub(crate) fn claim(
        &mut self,
        number: u32,
        how: Claims,
        at: Timestamp,
        until: Option<Timestamp>,
    ) -> bool {
        let Some(node) = self.slab.get_mut(number) else {
            return false;
        };
        let (Some(_), Some(address)) = (node.key.mac(), node.key.address()) else {
            return false;
        };
        let before = (node.claims, node.claimed, node.until);
        node.claims.insert(how);
        if how.any() {
            node.claimed = node.claimed.min(at.as_millis());
            node.claimed_last = node.claimed_last.max(seconds(at));
        }
        if let Some(until) = until {
            node.until = node.until.max(seconds(until));
        }
        let news = before != (node.claims, node.claimed, node.until);
        if how.any() && !before.0.any() {
            self.link(number, address);
        }
        news
    }

    fn hash_address(seed: &RandomState, address: IpAddr) -> u64 {
        seed.hash_one(address)
    }

    fn link(&mut self, number: u32, address: IpAddr) {
        let hash = Self::hash_address(&self.seed, address);
        let head = self.claims.find_mut(hash, |&n| {
            self.slab.get(n).and_then(|node| node.key.address()) == Some(address)
        });
        match head {
            Some(head) => {
                let next = std::mem::replace(head, number);
                if let Some(node) = self.slab.get_mut(number) {
                    node.next = next;
                }
            }
            None => {
                let (slab, seed) = (&self.slab, &self.seed);
                self.claims.insert_unique(hash, number, |&n| {
                    slab.get(n)
                        .and_then(|node| node.key.address())
                        .map_or(0, |a| Self::hash_address(seed, a))
                });
            }
        }
    }

    /// The nodes whose MAC address was said to hold this address.
    pub(crate) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = (u32, &Node)> {
        let hash = Self::hash_address(&self.seed, address);
        let head = self.claims.find(hash, |&n| {
            self.slab.get(n).and_then(|node| node.key.address()) == Some(address)
        });
        let mut at = head.copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let node = self.slab.get(at)?;
            Some((std::mem::replace(&mut at, node.next), node))
        })
    }

    /// Who held `address` at `at`: the last to begin before that did not give it back since. A whole lease counts, and so does
    /// a claim until somebody else makes one.
    pub(crate) fn holder(&self, address: IpAddr, at: Timestamp) -> Option<u32> {
        let ms = at.as_millis();
        self.claimants(address)
            .take(CLAIMANTS_MAX)
            .filter(|(_, node)| node.claimed <= ms && !has_ended(node, seconds(at)))
            .max_by(|(_, a), (_, b)| (a.claimed, &b.key).cmp(&(b.claimed, &a.key)))
            .map(|(number, _)| number)
    }

    /// Removes the least valuable sixteenth, but never `keep`; what a person confirmed goes last. Answers what was removed.
    pub(crate) fn evict(
        &mut self,
        keep: u32,
        is_confirmed: impl Fn(u32) -> bool,
    ) -> Vec<(u32, Node)> {
        let mut worth: Vec<((u32, i64), u32)> = self
            .slab
            .iter()
            .filter(|(number, _)| *number != keep)
            .map(|(number, node)| (node.value(is_confirmed(number)), number))
            .collect();
        let share = (worth.len() / 16).max(1).min(worth.len());
        if share == 0 {
            return Vec::new();
        }
        worth.select_nth_unstable(share - 1);
        worth.truncate(share);
        let gone: Vec<(u32, Node)> = worth
            .into_iter()
            .filter_map(|(_, number)| Some((number, self.remove(number)?)))
            .collect();
        let mut numbers: Vec<u32> = gone.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        for (_, node) in self.slab.iter_mut() {
            if node.via != NONE && numbers.binary_search(&node.via).is_ok() {
                node.via = NONE;
                node.via_at = 0;
            }
        }
        self.relink();
        gone
    }

    /// Builds the index of claims anew: chains could be long where somebody made them so, hence nothing is unlinked.
    fn relink(&mut self) {
        self.claims = HashTable::new();
        let claiming: Vec<(u32, IpAddr)> = self
            .slab
            .iter_mut()
            .filter(|(_, node)| node.claims.any())
            .filter_map(|(number, node)| {
                node.next = NONE;
                Some((number, node.key.address()?))
            })
            .collect();
        for (number, address) in claiming {
            self.link(number, address);
        }
    }

    fn remove(&mut self, number: u32) -> Option<Node> {
        let node = self.slab.get(number)?;
        let hash = self.seed.hash_one(&node.key);
        if let Ok(found) = self.by_key.find_entry(hash, |&n| n == number) {
            found.remove();
        }
        self.slab.remove(number)
    }

    /// Octets that nodes with their ledgers and indexes take.
    pub(crate) fn octets(&self) -> usize {
        self.slab.octets()
            + self
                .slab
                .iter()
                .map(|(_, n)| n.ledger.octets())
                .sum::<usize>()
            + (self.by_key.capacity() + self.claims.capacity()) * 5
    }

    /// Sets when the VLAN was seen, when a node is read back.
    pub(crate) fn restore_vlan(&mut self, number: u32, vlan: u16, at: u32) {
        if let Some(node) = self.slab.get_mut(number) {
            (node.vlan, node.vlan_at) = (vlan, at);
        }
    }
}

/// Whether the holding had ended by `at` (in seconds): given back, or the lease ran out and nobody saw it since.
pub(crate) fn has_ended(node: &Node, at: u32) -> bool {
    let given_back =
        node.released != 0 && node.released <= at && node.released >= node.claimed_last;
    let ran_out = node.until != 0
        && node.until < at
        && node.claimed_last < node.until
        && seconds(Timestamp::from_millis(node.last)) < node.until;
    given_back || ran_out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(octet: u8, address: &str) -> NodeKey {
        let address = address.parse().expect("an address");
        NodeKey::Mac(Mac([0, 1, 2, 3, 4, octet]), Some(address))
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn an_address_is_held_by_the_last_who_claimed_it() {
        let mut nodes = Nodes::default();
        let address: IpAddr = "10.0.0.5".parse().expect("an address");
        let (one, _) = nodes.ensure(key(1, "10.0.0.5"));
        let (two, _) = nodes.ensure(key(2, "10.0.0.5"));
        let arp = Claims::bit(AddressSource::Arp);
        assert!(nodes.claim(one, arp, at(10), None));
        assert!(!nodes.claim(one, arp, at(20), None));
        assert!(nodes.claim(two, arp, at(100), None));
        assert_eq!(nodes.holder(address, at(5)), None);
        assert_eq!(nodes.holder(address, at(50)), Some(one));
        assert_eq!(nodes.holder(address, at(100)), Some(two));
        nodes.remove(two);
        nodes.relink();
        assert_eq!(nodes.holder(address, at(100)), Some(one));
        nodes.remove(one);
        nodes.relink();
        assert_eq!(nodes.claimants(address).count(), 0);
    }

    #[test]
    fn a_packet_claims_nothing() {
        let mut nodes = Nodes::default();
        let (one, _) = nodes.ensure(key(1, "10.0.0.5"));
        nodes.claim(one, Claims::bit(AddressSource::Packet), at(1), None);
        assert_eq!(
            nodes
                .claimants("10.0.0.5".parse().expect("an address"))
                .count(),
            0
        );
    }

    #[test]
    fn the_least_valuable_go_first() {
        let mut nodes = Nodes::default();
        for n in 0..32_u8 {
            let (number, _) = nodes.ensure(NodeKey::Mac(Mac([2, 0, 0, 0, 0, n]), None));
            let node = nodes.get_mut(number).expect("just made");
            node.touch(at(i64::from(n)), 1);
            if n < 8 {
                node.touch(at(i64::from(n) + 7200), 1);
            }
        }
        let gone: Vec<Option<Mac>> = nodes
            .evict(NONE, |_| false)
            .iter()
            .map(|(_, n)| n.key.mac())
            .collect();
        assert_eq!(gone.len(), 2);
        assert!(gone.contains(&Some(Mac([2, 0, 0, 0, 0, 8]))));
        assert!(gone.contains(&Some(Mac([2, 0, 0, 0, 0, 9]))));
        assert_eq!(nodes.len(), 30);
    }

    #[test]
    fn a_node_is_compact() {
        assert_eq!((size_of::<NodeKey>(), size_of::<Node>()), (24, 128));
    }
}
