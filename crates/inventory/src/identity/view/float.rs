//! Whose is what was seen without a MAC address, or through a router.

use std::net::IpAddr;

use super::{Build, Element, Share, millis};
use crate::identity::address::{Reach, is_link_local, mac_in, reach};
use crate::identity::marks::{JoinKey, Mark};
use crate::identity::node::{NONE, Node, NodeKey};

/// A time in which somebody held an address.
struct Tenure {
    from: i64,
    to: i64,
    element: u32,
}

impl Build<'_> {
    /// Gives every node that has an address and no element to whoever held the address, or to the address itself.
    pub(super) fn float(&mut self) {
        let mut floating: Vec<(IpAddr, u32)> = Vec::new();
        let mut holding: Vec<(IpAddr, i64, u32)> = Vec::new();
        for number in &self.order {
            let node = self.node(*number);
            let Some(address) = node.key.address() else {
                continue;
            };
            if self.element_of[*number as usize] == NONE {
                let inside = reach(address, &self.options.own_networks) == Reach::Inside
                    || self.nodes.claimants(address).next().is_some();
                if inside && !is_link_local(address) && !self.is_broadcast(address) {
                    floating.push((address, *number));
                }
            } else if node.was_seen() || node.claims.any() {
                // Whoever sends from an address holds it, even before the claim that says so was seen.
                let from = match (node.claims.any(), node.was_seen()) {
                    (true, true) => node.claimed.min(node.first),
                    (true, false) => node.claimed,
                    (false, _) => node.first,
                };
                holding.push((address, from, *number));
            }
        }
        floating.sort_unstable_by_key(|(address, _)| *address);
        holding
            .sort_by(|a, b| (a.0, a.1, &self.node(a.2).key).cmp(&(b.0, b.1, &self.node(b.2).key)));
        self.conflicts(&holding);
        let mut rest = floating.as_slice();
        while let Some((address, _)) = rest.first() {
            let len = rest.partition_point(|(a, _)| a <= address);
            let (now, after) = rest.split_at(len);
            rest = after;
            let start = holding.partition_point(|(a, _, _)| a < address);
            let end = holding.partition_point(|(a, _, _)| a <= address);
            let held = holding[start..end].to_vec();
            let numbers: Vec<u32> = now.iter().map(|(_, n)| *n).collect();
            self.float_one(*address, &numbers, &held);
        }
        self.shares
            .sort_unstable_by_key(|share| (share.node, share.from));
    }

    fn float_one(&mut self, address: IpAddr, numbers: &[u32], held: &[(IpAddr, i64, u32)]) {
        let tenures = self.tenures(held);
        // The address itself, where nobody holds it: made when first needed.
        let mut itself = NONE;
        for number in numbers {
            if tenures.is_empty() {
                let embedded = match address {
                    IpAddr::V6(a) => mac_in(a).and_then(|mac| self.mac_element(mac)),
                    IpAddr::V4(_) => None,
                };
                let element = self.element(Element {
                    node: *number,
                    by_address: true,
                    whole: true,
                });
                if let Some(own) = embedded {
                    self.note(element, own, JoinKey::EmbeddedMac, &address.to_string());
                    self.union(element, own);
                } else if itself == NONE {
                    itself = element;
                } else {
                    self.union(itself, element);
                }
                continue;
            }
            self.divide(*number, &tenures, &mut itself);
        }
    }

    /// Divides a node between those who held its address in turn.
    fn divide(&mut self, number: u32, tenures: &[Tenure], itself: &mut u32) {
        let node = self.node(number);
        let mut hit: Vec<usize> = moments(node).map(|ms| slot(tenures, ms)).collect();
        hit.sort_unstable();
        hit.dedup();
        if hit.is_empty() {
            // It was asked and never heard: whoever holds the address now.
            hit.push(slot(tenures, i64::MAX - 1));
        }
        if let [only] = hit.as_slice() {
            let holder = only % 2 == 1;
            let element = self.element(Element {
                node: number,
                by_address: true,
                whole: true,
            });
            if holder {
                self.union(tenures[only / 2].element, element);
            } else if *itself == NONE {
                *itself = element;
            } else {
                self.union(*itself, element);
            }
            return;
        }
        for slot in hit {
            let index = slot / 2;
            let share = if slot % 2 == 1 {
                let tenure = &tenures[index];
                Share {
                    node: number,
                    from: tenure.from,
                    to: tenure.to,
                    group: tenure.element,
                }
            } else {
                if *itself == NONE {
                    *itself = self.element(Element {
                        node: number,
                        by_address: true,
                        whole: false,
                    });
                }
                Share {
                    node: number,
                    from: index.checked_sub(1).map_or(i64::MIN, |i| tenures[i].to),
                    to: tenures.get(index).map_or(i64::MAX, |t| t.from),
                    group: *itself,
                }
            };
            self.shares.push(share);
        }
    }

    /// Who held an address when, in order and apart.
    fn tenures(&mut self, held: &[(IpAddr, i64, u32)]) -> Vec<Tenure> {
        let mut tenures: Vec<Tenure> = Vec::with_capacity(held.len());
        for (index, (_, from, number)) in held.iter().enumerate() {
            let node = self.node(*number);
            // ARP is seen late; a lease says when it began.
            let from = if index == 0 && !node.claims.by_server() {
                i64::MIN
            } else {
                *from
            };
            let next = held.get(index + 1).map_or(i64::MAX, |(_, from, _)| *from);
            let to = next.min(end(node)).max(from);
            let element = self.element_of[*number as usize];
            tenures.push(Tenure { from, to, element });
        }
        tenures
    }

    /// Marks those who claimed one address at once, for a minute or more.
    fn conflicts(&mut self, holding: &[(IpAddr, i64, u32)]) {
        for pair in holding.windows(2) {
            let [(a, _, one), (b, from, other)] = pair else {
                continue;
            };
            let (one, other) = (*one, *other);
            let still = millis(self.node(one).claimed_last);
            let both = self.node(one).claims.any() && self.node(other).claims.any();
            if a == b && both && still > from.saturating_add(60_000) {
                let is_virtual = |n: &Node| {
                    n.key
                        .mac()
                        .is_some_and(|mac| crate::identity::address::virtual_router(mac).is_some())
                };
                if is_virtual(self.node(one)) || is_virtual(self.node(other)) {
                    continue;
                }
                for number in [one, other] {
                    let element = self.element_of[number as usize];
                    self.mark(element, Mark::AddressConflict);
                }
            }
        }
    }
}

/// When a node's holding ended: given back, or a lease that ran out unused; `i64::MAX`: it did not.
fn end(node: &Node) -> i64 {
    let given_back = node.released != 0 && node.released >= node.claimed_last;
    if given_back {
        return millis(node.released);
    }
    let ran_out = node.until != 0 && node.last < millis(node.until) && node.claims.by_server();
    if ran_out {
        millis(node.until)
    } else {
        i64::MAX
    }
}

/// Every time at which something of the node was seen.
fn moments(node: &Node) -> impl Iterator<Item = i64> {
    let ends = [node.first, node.last, node.noted];
    let kept = matches!(node.key, NodeKey::Mac(..) | NodeKey::Address(_));
    ends.into_iter()
        .filter(move |ms| kept && *ms != i64::MAX && *ms != i64::MIN)
        .chain(
            node.ledger
                .rows()
                .iter()
                .flat_map(|row| [row.first().as_millis(), row.last().as_millis()]),
        )
}

/// The place of an instant among tenures: odd in the tenure `slot / 2`, even in the gap before it.
fn slot(tenures: &[Tenure], ms: i64) -> usize {
    let index = tenures.partition_point(|tenure| tenure.to <= ms);
    match tenures.get(index) {
        Some(tenure) if tenure.from <= ms => index * 2 + 1,
        _ => index * 2,
    }
}
