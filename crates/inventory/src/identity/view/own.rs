//! Which of the addresses under a MAC address are its own, and which it only carries.

use std::net::IpAddr;

use domain::Mac;

use super::{Build, Element, Marks, marks_of};
use crate::identity::address::{is_link_local, mac_in, usual_network, virtual_router};
use crate::identity::marks::Mark;
use crate::identity::node::{Node, NodeKey};
use crate::options::Network;

/// More IPv4 addresses than this, claimed by ARP alone within a day, are claimed for others.
const ARP_CLAIMS_MAX: usize = 16;

/// A day in seconds.
const DAY: u32 = 86_400;

impl Build<'_> {
    /// Elements of MAC addresses with what is their own. Nodes of what they carry stay without an element.
    pub(super) fn own(&mut self) {
        let mut start = 0;
        while let Some(mac) = self.order.get(start).and_then(|n| self.node(*n).key.mac()) {
            let len = self.order[start..]
                .iter()
                .take_while(|n| self.node(**n).key.mac() == Some(mac))
                .count();
            let run: Vec<u32> = self.order[start..start + len].to_vec();
            self.own_of(mac, &run);
            start += len;
        }
    }

    fn own_of(&mut self, mac: Mac, run: &[u32]) {
        let nodes: Vec<&Node> = run.iter().map(|n| self.node(*n)).collect();
        let (own, found) = sort_out(mac, &nodes, &|node| self.is_shared_claim(node));
        let mut first = None;
        for (number, _) in run.iter().zip(&own).filter(|(_, own)| **own) {
            let element = self.element(Element {
                node: *number,
                by_address: false,
                whole: true,
            });
            match first {
                None => first = Some(element),
                Some(first) => self.union(first, element),
            }
        }
        // A MAC address that only carries is a device as well.
        let element = match (first, run.first()) {
            (Some(first), _) => first,
            (None, Some(node)) => self.element(Element {
                node: *node,
                by_address: false,
                whole: false,
            }),
            (None, None) => return,
        };
        let begins = nodes.iter().map(|node| node.begins()).min();
        self.macs.push((mac, element, begins.unwrap_or(i64::MAX)));
        for mark in found.iter().chain(marks_of(mac).iter()) {
            self.mark(element, mark);
        }
    }

    /// Whether another MAC address claims the same address at the same time.
    fn is_shared_claim(&self, node: &Node) -> bool {
        const CLAIMANTS_MAX: usize = 64;
        let Some(address) = node.key.address() else {
            return false;
        };
        self.nodes
            .claimants(address)
            .take(CLAIMANTS_MAX)
            .any(|(_, other)| {
                other.key.mac() != node.key.mac()
                    && other
                        .key
                        .mac()
                        .is_some_and(|mac| virtual_router(mac).is_none())
                    && other.claimed <= super::millis(node.claimed_last)
                    && node.claimed <= super::millis(other.claimed_last)
            })
    }
}

/// Says of each node under one MAC address whether it is its own, and what that makes of the MAC address.
fn sort_out(
    mac: Mac,
    nodes: &[&Node],
    is_shared_claim: &dyn Fn(&Node) -> bool,
) -> (Vec<bool>, Marks) {
    let mut marks = Marks::default();
    let own_flags = nodes
        .iter()
        .find(|n| matches!(n.key, NodeKey::Mac(_, None)))
        .map_or(0, |n| n.outside);
    let is_v4 = |node: &Node| node.key.address().is_some_and(|a| a.is_ipv4());

    let arp_only: Vec<&&Node> = nodes
        .iter()
        .filter(|n| is_v4(n) && n.claims.only_arp())
        .collect();
    let latest = arp_only.iter().map(|n| n.claimed_last).max().unwrap_or(0);
    let at_once = arp_only
        .iter()
        .filter(|n| n.claimed_last.saturating_add(DAY) >= latest)
        .count();
    let proxy = at_once > ARP_CLAIMS_MAX
        || (arp_only.len() >= 4 && arp_only.iter().filter(|n| is_shared_claim(n)).count() >= 2);
    if proxy {
        marks.insert(Mark::ProxyArp);
        marks.insert(Mark::Router);
    }
    let claims =
        |node: &Node| node.claims.any() && !(proxy && is_v4(node) && node.claims.only_arp());

    // IPv4: with a claimed address, all others are carried; without, a single one is its own.
    let claims_v4 = proxy || nodes.iter().any(|n| is_v4(n) && claims(n));
    let sends_from: Vec<&&Node> = nodes
        .iter()
        .filter(|n| is_v4(n) && !claims(n) && !is_link_local_of(n) && n.was_seen())
        .collect();
    let single = !claims_v4
        && sends_from.len() == 1
        && own_flags & Node::MANY_V4 == 0
        && virtual_router(mac).is_none();
    let mut routes = own_flags & Node::MANY_V4 != 0 || (!single && !sends_from.is_empty());

    // IPv6: its own are link-local ones, claimed ones, those made of its MAC address, and privacy addresses in the same
    // network as a claimed one (RFC 8981) or, when it claims none, in the only network it sends from.
    let mut claimed_v6: Vec<Network> = Vec::new();
    let mut sent_v6: Vec<Network> = Vec::new();
    for node in nodes {
        if let Some(address @ IpAddr::V6(_)) = node.key.address() {
            if is_link_local(address) {
                continue;
            }
            if !node.was_seen() {
                continue;
            }
            let list = if claims(node) {
                &mut claimed_v6
            } else {
                &mut sent_v6
            };
            list.push(usual_network(address));
        }
    }
    sent_v6.sort_unstable();
    sent_v6.dedup();
    let one_v6 = claimed_v6.is_empty()
        && sent_v6.len() == 1
        && own_flags & Node::MANY_V6 == 0
        && !routes
        && virtual_router(mac).is_none();

    let own = nodes
        .iter()
        .map(|node| match node.key.address() {
            None => true,
            Some(address) if is_link_local(address) || only_registered(node) => true,
            Some(IpAddr::V4(_)) => claims(node) || (single && node.was_seen()),
            Some(address @ IpAddr::V6(a)) => {
                claims(node)
                    || (one_v6 && node.was_seen())
                    || mac_in(a) == Some(mac)
                    || claimed_v6.contains(&usual_network(address))
            }
        })
        .collect::<Vec<bool>>();
    // What was asked through it and never heard says nothing.
    let carries = |(own, node): (&bool, &&Node)| !own && node.was_seen();
    routes |= own_flags & Node::MANY_V6 != 0 || own.iter().zip(nodes).any(carries);
    if routes {
        marks.insert(Mark::Router);
    }
    (own, marks)
}

fn is_link_local_of(node: &Node) -> bool {
    node.key.address().is_some_and(is_link_local)
}

/// Whether nothing but a register says that the MAC address has this address.
fn only_registered(node: &Node) -> bool {
    !node.was_seen() && node.noted != i64::MAX
}
