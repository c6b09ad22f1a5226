//! Taking observations and flows.

use std::net::IpAddr;

use domain::net::Party;
use domain::observation::{Asset, Fact, SourceKind};
use domain::{EvidenceKind, Flow, Mac, Observation, Sink, SourceId, Timestamp};

use super::Inventory;
use crate::conversations::{BROADCAST, Endpoint, INTERNET};
use crate::identity::address::{Reach, canonical, reach, usual_network};
use crate::identity::key::Gateway;
use crate::identity::node::{Claims, NONE, Node, NodeKey, REGISTER, source_bit};
use crate::identity::strong::may_hold_key;
use crate::identity::view::{KeyNode, View};
use crate::ledger::{Added, seconds};

/// Who a party can be.
enum Who {
    /// A node of ours.
    Node(NodeKey),
    /// Somebody outside.
    Remote,
    /// Everybody in a network.
    Group(Option<IpAddr>),
    /// Nobody.
    Nobody,
}

impl Sink for Inventory {
    fn observe(&mut self, observation: Observation) {
        self.counters.observations += 1;
        let Observation {
            at,
            source,
            about,
            fact,
        } = observation;
        let kind = self.sources.kind(source);
        let bit = source_bit(kind);
        if kind != SourceKind::Register {
            self.latest = self.latest.max(at.as_millis());
        }
        let claims = match &fact {
            Fact::Address { how, .. } => Claims::bit(*how),
            _ => Claims::default(),
        };
        let who = self.who(&about.party, claims.any(), bit == REGISTER);
        let party = match who {
            Who::Node(key) => {
                let node = self.ensure(key);
                self.touch(node, at, bit);
                if let Some(vlan) = about.party.vlan {
                    self.on_vlan(node, vlan, at);
                }
                Some(node)
            }
            Who::Remote => {
                self.counters.about_remote += 1;
                self.carried_by(&about.party, at, at, bit);
                None
            }
            Who::Group(_) | Who::Nobody => None,
        };
        let Some(asset) = about.asset else {
            match party {
                Some(node) => self.fact(node, at, source, fact, claims),
                None => self.counters.about_nobody += 1,
            }
            return;
        };
        let number = self.asset(&asset, &about.party, party, at, bit);
        match (&fact, party) {
            (Fact::Address { .. } | Fact::Released, Some(node)) => {
                self.fact(node, at, source, fact, claims);
            }
            (Fact::Address { .. } | Fact::Released, None) => {}
            (Fact::Seen | Fact::Evidence { .. }, _) => {
                self.fact(number, at, source, fact, claims);
            }
        }
        // A register's row may name several parties: each bears its identifier.
        if let (REGISTER, Some(node), Asset::Register(id) | Asset::Serial(id)) =
            (bit, party, &asset)
        {
            self.row(node, EvidenceKind::RegisterId, id, source, at);
        }
    }

    fn flow(&mut self, flow: Flow) {
        self.counters.flows += 1;
        self.latest = self.latest.max(flow.last.as_millis());
        let bit = source_bit(self.sources.kind(flow.source));
        for (party, heard) in [
            (&flow.client, flow.sent.packets > 0),
            (&flow.server, flow.received.packets > 0),
        ] {
            if heard {
                self.carried_by(party, flow.first, flow.last, bit);
            }
        }
        let client = self.who(&flow.client, false, false);
        let server = self.who(&flow.server, false, false);
        let key = match &client {
            Who::Node(key) => Some(key.clone()),
            Who::Remote | Who::Group(_) | Who::Nobody => None,
        };
        let client = self.endpoint(client, &flow, bit, flow.sent.packets > 0, None);
        let Some((mut client, client_text)) = client else {
            self.counters.about_nobody += 1;
            return;
        };
        let named = self.conversations.has_room_for_names(client);
        if !named && flow.server_name.is_some() && matches!(server, Who::Remote) {
            self.conversations.folded += 1;
        }
        let name = flow.server_name.as_deref().filter(|_| named);
        let server = self.endpoint(server, &flow, bit, flow.received.packets > 0, name);
        if let Some((server, server_text)) = server {
            // Making room for one end may have taken the other.
            if let (Some(number), Some(key)) = (client.as_node(), key)
                && self.nodes.get(number).is_none()
            {
                client = Endpoint::node(self.holder_or(key, flow.first));
            }
            let limits = (self.options.conversations_max, self.options.ports_max);
            self.conversations
                .add(client, server, &flow, &mut self.texts, limits, self.round);
            if let Some(text) = server_text {
                self.texts.release(text);
            }
            if self.texts.octets() > self.options.text_octets_max {
                self.conversations.evict(&mut self.texts);
            }
        } else {
            self.counters.about_nobody += 1;
        }
        if let Some(text) = client_text {
            self.texts.release(text);
        }
    }
}

impl Inventory {
    /// Who `party` is. A claim makes an outside address one of ours; that a register names one says nothing of who sends
    /// from it.
    fn who(&mut self, party: &Party, claimed: bool, of_register: bool) -> Who {
        let mac = party.mac.filter(|mac| mac.is_unicast());
        let Some(address) = party.addr.map(canonical) else {
            return match (mac, party.mac) {
                (Some(mac), _) => Who::Node(NodeKey::Mac(mac, None)),
                (None, Some(group)) if group.is_group() => Who::Group(None),
                (None, _) => Who::Nobody,
            };
        };
        let key = |mac: Option<Mac>| match mac {
            Some(mac) => NodeKey::Mac(mac, Some(address)),
            None => NodeKey::Address(address),
        };
        match reach(address, &self.options.own_networks) {
            Reach::Group => Who::Group(Some(address)),
            Reach::Inside if mac.is_none() && party.mac.is_some_and(Mac::is_group) => {
                // A network's broadcast address, such as 10.2.3.255.
                Who::Group(Some(address))
            }
            Reach::Inside => Who::Node(key(mac)),
            Reach::Nobody => match mac {
                Some(mac) => Who::Node(NodeKey::Mac(mac, None)),
                None => Who::Nobody,
            },
            Reach::Outside if claimed && mac.is_some() => Who::Node(key(mac)),
            Reach::Outside if self.nodes.claimants(address).next().is_some() => Who::Node(key(mac)),
            Reach::Outside => match mac {
                Some(mac) if of_register => Who::Node(NodeKey::Mac(mac, None)),
                Some(mac) if self.is_only_outside(mac, address) => Who::Node(key(Some(mac))),
                Some(_) | None => Who::Remote,
            },
        }
    }

    /// Whether an address is outside and nobody here claims it.
    fn is_outside(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        reach(address, &self.options.own_networks) == Reach::Outside
            && self.nodes.claimants(address).next().is_none()
    }

    /// A MAC address that carries for an outside address is there itself.
    fn carried_by(&mut self, party: &Party, first: Timestamp, last: Timestamp, bit: u8) {
        let Some(mac) = party.mac.filter(|mac| mac.is_unicast()) else {
            return;
        };
        if party.addr.is_some_and(|address| self.is_outside(address)) {
            let number = self.ensure(NodeKey::Mac(mac, None));
            self.touch(number, first, bit);
            self.touch(number, last, bit);
        }
    }

    /// Whether a MAC address sends from this outside address and from no other: then it may be its own.
    fn is_only_outside(&mut self, mac: Mac, address: IpAddr) -> bool {
        let entry = self.outside.entry(mac).or_default();
        let (only, flag) = match address {
            IpAddr::V4(_) => {
                let only = *entry.v4.get_or_insert(address) == address;
                (only, Node::MANY_V4)
            }
            IpAddr::V6(a) => {
                let network = u64::try_from(a.to_bits() >> 64).unwrap_or(0);
                let only = *entry.v6.get_or_insert(network) == network;
                (only, Node::MANY_V6)
            }
        };
        let (number, made) = self.nodes.ensure(NodeKey::Mac(mac, None));
        if made {
            self.stale();
            self.make_room(number);
        }
        let round = self.round;
        let Some(node) = self.nodes.get_mut(number) else {
            return false;
        };
        if !only && node.outside & flag == 0 {
            node.outside |= flag;
            node.changed = round;
            self.stale();
        }
        only && self
            .nodes
            .get(number)
            .is_some_and(|node| node.outside & flag == 0)
    }

    fn ensure(&mut self, key: NodeKey) -> u32 {
        let (number, made) = self.nodes.ensure(key);
        if made {
            let round = self.round;
            if let Some(node) = self.nodes.get_mut(number) {
                node.changed = round;
            }
            self.stale();
            self.make_room(number);
        }
        number
    }

    /// Gives up the least valuable nodes when there are too many, but never `keep`.
    pub(super) fn make_room(&mut self, keep: u32) {
        if self.texts.octets() > self.options.text_octets_max {
            self.conversations.evict(&mut self.texts);
        }
        let full = self.nodes.len() > self.options.nodes_max.max(16)
            || self.texts.octets() > self.options.text_octets_max;
        if !full {
            return;
        }
        let standing = &self.standing;
        let gone = self.nodes.evict(keep, |n| {
            [false, true].into_iter().any(|by| {
                standing
                    .get(&KeyNode(n, by))
                    .is_some_and(|s| s.confirmed.is_some())
            })
        });
        let mut numbers: Vec<u32> = gone.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        self.conversations.forget(&numbers, &mut self.texts);
        for (number, mut node) in gone {
            self.counters.nodes_evicted += 1;
            for row in node.ledger.take() {
                self.texts.release(row.value);
            }
            if let NodeKey::Mac(mac, None) = node.key {
                self.outside.remove(&mac);
            }
            for by in [false, true] {
                if let Some(standing) = self.standing.remove(&KeyNode(number, by))
                    && let Some(name) = standing.name
                {
                    name.release(&mut self.texts);
                }
            }
        }
        self.stale();
    }

    fn touch(&mut self, number: u32, at: Timestamp, bit: u8) {
        let (round, every) = (self.round, self.options.last_seen_every.as_secs());
        if let Some(node) = self.nodes.get_mut(number) {
            let seen = node.was_seen();
            let later = u64::from(seconds(at).saturating_sub(node.told)) >= every.max(1);
            let last = node.last;
            let news = node.touch(at, bit);
            self.aged |= node.last != last;
            if news || later {
                node.changed = round;
                node.told = node.told.max(seconds(at));
            }
            if news || (!seen && node.was_seen()) {
                self.stale();
            }
        }
        self.age();
    }

    /// Joins and conflicts go by times: a view is not kept when they have moved on by a minute.
    fn age(&mut self) {
        const KEPT_MS: i64 = 60_000;
        let latest = self.latest;
        let is_old = |view: &View| latest.saturating_sub(view.at()) >= KEPT_MS;
        if self.aged && self.view.get().is_some_and(is_old) {
            self.stale();
        }
    }

    fn on_vlan(&mut self, number: u32, vlan: u16, at: Timestamp) {
        let round = self.round;
        if let Some(node) = self.nodes.get_mut(number)
            && node.on_vlan(vlan, at)
        {
            node.changed = round;
        }
    }

    /// The node of an asset, heard through `party`.
    fn asset(
        &mut self,
        asset: &Asset,
        named: &Party,
        party: Option<u32>,
        at: Timestamp,
        bit: u8,
    ) -> u32 {
        let gateway = match asset {
            Asset::ModbusUnit(_) => named
                .addr
                .map(|a| Gateway::Address(canonical(a)))
                .or(named.mac.map(Gateway::Mac)),
            _ => None,
        };
        let number = self.ensure(NodeKey::Asset(Box::new((asset.clone(), gateway))));
        self.touch(number, at, bit);
        // Behind an outside address is nobody of ours, even while it could be its own.
        let party = party.filter(|_| !named.addr.is_some_and(|a| self.is_outside(a)));
        let Some(party) = party else {
            return number;
        };
        let now = seconds(at);
        let Some(node) = self.nodes.get(number) else {
            return number;
        };
        // The latest counts; of two at once the one with the smaller key.
        let better = node.via == NONE
            || now > node.via_at
            || (now == node.via_at
                && self.nodes.get(party).map(|n| &n.key)
                    < self.nodes.get(node.via).map(|n| &n.key));
        if better && bit != REGISTER {
            let round = self.round;
            let mut moved = false;
            if let Some(node) = self.nodes.get_mut(number) {
                moved = node.via != party;
                (node.via, node.via_at) = (party, now);
                node.changed = round;
            }
            if moved {
                self.stale();
            }
        }
        number
    }

    fn fact(&mut self, number: u32, at: Timestamp, source: SourceId, fact: Fact, claims: Claims) {
        match fact {
            Fact::Seen => {}
            Fact::Address { until, .. } => {
                let before = self.nodes.get(number).map_or(0, |node| node.claimed_last);
                if self.nodes.claim(number, claims, at, until) {
                    self.stale();
                }
                let round = self.round;
                if let Some(node) = self.nodes.get_mut(number)
                    && (self.view.get().is_none() || node.claimed_last > before.saturating_add(60))
                {
                    node.changed = round;
                }
            }
            Fact::Released => {
                let round = self.round;
                if let Some(node) = self.nodes.get_mut(number) {
                    node.released = node.released.max(seconds(at));
                    node.changed = round;
                }
                self.stale();
            }
            Fact::Evidence { kind, value } => self.row(number, kind, &value, source, at),
        }
    }

    fn row(
        &mut self,
        number: u32,
        kind: EvidenceKind,
        value: &str,
        source: SourceId,
        at: Timestamp,
    ) {
        let value = value.trim();
        // What the inventory works out itself, and what only people say in its queue, no source can say.
        if value.is_empty() || matches!(kind, EvidenceKind::MacVendor | EvidenceKind::Confirmed) {
            return;
        }
        let text = self.texts.hold(value);
        let round = self.round;
        let Some(node) = self.nodes.get_mut(number) else {
            self.texts.release(text);
            return;
        };
        let added = node.ledger.add(kind, text, source, at, at);
        match added {
            Added::New | Added::Replaced(_) => {
                node.changed = round;
                if may_hold_key(kind)
                    || matches!(kind, EvidenceKind::RegisterId | EvidenceKind::DhcpSubnet)
                {
                    self.stale();
                }
            }
            Added::Earlier => {
                node.changed = round;
                self.texts.release(text);
            }
            Added::Again => self.texts.release(text),
            Added::Refused => {
                self.counters.rows_refused += 1;
                self.texts.release(text);
            }
        }
        if let Added::Replaced(gone) = added {
            self.counters.rows_refused += 1;
            self.texts.release(gone);
        }
        if added == Added::New {
            self.make_room(number);
        }
    }

    /// The end of a conversation, with the text of a remote party, which the caller holds and gives back.
    fn endpoint(
        &mut self,
        who: Who,
        flow: &Flow,
        bit: u8,
        heard: bool,
        name: Option<&str>,
    ) -> Option<(Endpoint, Option<crate::ledger::Text>)> {
        let remote = |texts: &mut crate::ledger::Interner, text: &str| {
            let text = texts.hold(text);
            Some((Endpoint::remote(text), Some(text)))
        };
        match who {
            Who::Node(key) => {
                // A server that is asked for by name at a public address is somebody else's.
                let public = key.address().is_some_and(|a| self.is_outside(a));
                if let (true, Some(name)) = (public, name) {
                    return remote(&mut self.texts, &format!("{INTERNET}:{name}"));
                }
                let number = self.holder_or(key, flow.first);
                if heard {
                    self.touch(number, flow.first, bit);
                    self.touch(number, flow.last, bit);
                }
                Some((Endpoint::node(number), None))
            }
            Who::Remote => match name {
                Some(name) => remote(&mut self.texts, &format!("{INTERNET}:{name}")),
                None => remote(&mut self.texts, INTERNET),
            },
            Who::Group(Some(IpAddr::V4(a))) if !a.is_multicast() => {
                remote(&mut self.texts, BROADCAST)
            }
            Who::Group(Some(address)) => remote(&mut self.texts, &format!("multicast:{address}")),
            Who::Group(None) => remote(&mut self.texts, BROADCAST),
            Who::Nobody => None,
        }
    }

    /// The node that a flow belongs to: whoever is known to hold the address at that time, else the party as it was seen.
    fn holder_or(&mut self, key: NodeKey, at: Timestamp) -> u32 {
        if let Some(number) = self.nodes.find(&key)
            && self.nodes.get(number).is_some_and(|n| n.claims.any())
        {
            return number;
        }
        if let Some(holder) = key.address().and_then(|a| self.nodes.holder(a, at)) {
            return holder;
        }
        self.ensure(key)
    }

    /// Whether an address of ours is in a network that was told or learnt; the usual one else.
    pub(super) fn network_of(&self, address: IpAddr) -> crate::options::Network {
        self.view()
            .network(address)
            .unwrap_or_else(|| usual_network(address))
    }
}
