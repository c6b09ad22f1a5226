//! What a set of rules permits, and how much of it: rules between places of the group tree.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use domain::net::Transport;

use crate::groups::{Chain, Groups, NodeId};
use crate::ports::{PortSet, Seen};
use crate::world::HostId;

/// Rules: from whom, to whom, which ports.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    rules: HashMap<(NodeId, NodeId), PortSet>,
}

impl Allow {
    /// Adds a permission.
    pub fn insert(
        &mut self,
        from: NodeId,
        to: NodeId,
        transport: Transport,
        ports: &RangeInclusive<u16>,
    ) {
        self.rules
            .entry((from, to))
            .or_default()
            .insert(transport, ports);
    }

    /// How many pairs have a rule.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing is permitted.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Every rule, in order.
    pub fn sorted(&self) -> Vec<(NodeId, NodeId, &PortSet)> {
        let mut all: Vec<_> = self.rules.iter().map(|(k, p)| (k.0, k.1, p)).collect();
        all.sort_unstable_by_key(|(from, to, _)| (*from, *to));
        all
    }

    /// The rule that permits a conversation: the widest, if there are several.
    pub fn rule_for(
        &self,
        client: &Chain,
        server: &Chain,
        transport: Transport,
        port: u16,
    ) -> Option<(NodeId, NodeId)> {
        for &from in client.nodes().iter().rev() {
            for &to in server.nodes().iter().rev() {
                if let Some(ports) = self.rules.get(&(from, to))
                    && ports.contains(transport, port)
                {
                    return Some((from, to));
                }
            }
        }
        None
    }

    /// Whether a conversation is permitted.
    pub fn permits(&self, client: &Chain, server: &Chain, transport: Transport, port: u16) -> bool {
        self.rule_for(client, server, transport, port).is_some()
    }

    /// How many (client, server, service) tuples are permitted between the hosts of the tree, a range of ports counting as
    /// every port in it that occurs in data. Exact, but that a device's permission to speak to itself counts.
    pub fn tuples(&self, groups: &Groups, seen: &Seen) -> u64 {
        let mut by_from: HashMap<NodeId, HashMap<NodeId, &PortSet>> = HashMap::new();
        for ((from, to), ports) in &self.rules {
            by_from.entry(*from).or_default().insert(*to, ports);
        }
        // What the groups of a place permit together, and how much that is.
        let mut of_group: HashMap<NodeId, (HashMap<NodeId, PortSet>, u64)> = HashMap::new();
        let mut total = 0_u64;
        let mut with_own: HashMap<NodeId, u64> = HashMap::new();
        let empty = HashMap::new();
        let mut hosts: Vec<HostId> = by_from.keys().filter_map(|n| n.as_device()).collect();
        hosts.sort_unstable();
        let lists = |group: Option<NodeId>| {
            let mut all: HashMap<NodeId, PortSet> = HashMap::new();
            for node in groups.up(group) {
                for (to, ports) in by_from.get(&node).unwrap_or(&empty) {
                    all.entry(*to)
                        .and_modify(|p| *p = p.union(ports))
                        .or_insert_with(|| (*ports).clone());
                }
            }
            let count = size_of(&all, groups, seen);
            (all, count)
        };
        for host in hosts {
            let Some(group) = groups.of_host(host) else {
                continue;
            };
            *with_own.entry(group).or_default() += 1;
            let (shared, shared_count) =
                of_group.entry(group).or_insert_with(|| lists(Some(group)));
            let own = by_from.get(&NodeId::device(host)).unwrap_or(&empty);
            let devices_only = own.keys().all(|to| to.as_device().is_some());
            let count = if devices_only {
                let more: u64 = own
                    .iter()
                    .map(|(to, ports)| {
                        let chain = to.as_device().map(|h| groups.chain(h));
                        let rest = chain
                            .iter()
                            .flat_map(|c| c.nodes())
                            .filter_map(|node| shared.get(node))
                            .fold((*ports).clone(), |rest, other| rest.minus(other));
                        seen.count(&rest)
                    })
                    .sum();
                *shared_count + more
            } else {
                let mut all = shared.clone();
                for (to, ports) in own {
                    all.entry(*to)
                        .and_modify(|p| *p = p.union(ports))
                        .or_insert_with(|| (*ports).clone());
                }
                size_of(&all, groups, seen)
            };
            total = total.saturating_add(count);
        }
        // Hosts without rules of their own: as many as their group has directly.
        for (group, count) in groups.direct() {
            let rest = count.saturating_sub(with_own.get(&group).copied().unwrap_or(0));
            if rest > 0 {
                let (_, each) = of_group.entry(group).or_insert_with(|| lists(Some(group)));
                total = total.saturating_add(each.saturating_mul(rest));
            }
        }
        total
    }
}

/// How many (server, service) pairs permissions to several places of the tree are together.
fn size_of(all: &HashMap<NodeId, PortSet>, groups: &Groups, seen: &Seen) -> u64 {
    all.iter()
        .map(|(to, ports)| {
            // What a wider place already permits counts there.
            let rest = groups
                .above(*to)
                .filter_map(|node| all.get(&node))
                .fold(ports.clone(), |rest, wider| rest.minus(wider));
            groups.size(*to).saturating_mul(seen.count(&rest))
        })
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use domain::Criticality;

    use super::*;
    use crate::world::{Host, World};

    /// Three pumps in two wards and two servers; counted by brute force beside.
    #[test]
    fn the_count_of_overlapping_rules_is_that_of_asking_for_every_tuple() {
        let mut world = World::default();
        for (id, kind, unit) in [
            ("p1", "infusion_pump", "A"),
            ("p2", "infusion_pump", "A"),
            ("p3", "infusion_pump", "B"),
            ("s1", "server", "A"),
            ("s2", "server", "B"),
        ] {
            let host = Host {
                kind: Some(kind.into()),
                unit: Some(unit.into()),
                criticality: Criticality::Clinical,
                ..Host::nameless(id)
            };
            world.put_host(host).expect("room");
        }
        let groups = Groups::of(&world);
        let node = |name: &str| groups.find(name).expect("a group");
        let ports = [53, 80, 443, 5000, 50_001];
        let seen = Seen::of(ports.iter().map(|p| (Transport::Tcp, *p)));
        let sides = [
            NodeId::device(0),
            NodeId::device(2),
            NodeId::device(3),
            node("infusion_pump/a"),
            node("infusion_pump"),
            node("server"),
            node("everyone"),
        ];
        let mut random = 7_u64;
        for round in 0..400 {
            let mut allow = Allow::default();
            for _ in 0..=round % 6 {
                let mut next = |n: u64| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (random >> 33) % n
                };
                let from = sides[next(7) as usize];
                let to = sides[next(7) as usize];
                let low = ports[next(5) as usize];
                let high = low.max(ports[next(5) as usize]);
                allow.insert(from, to, Transport::Tcp, &(low..=high));
            }
            let mut asked = 0;
            for client in 0..5 {
                for server in 0..5 {
                    for port in ports {
                        let (c, s) = (groups.chain(client), groups.chain(server));
                        asked += u64::from(allow.permits(&c, &s, Transport::Tcp, port));
                    }
                }
            }
            assert_eq!(allow.tuples(&groups, &seen), asked, "{:?}", allow.sorted());
        }
    }
}
