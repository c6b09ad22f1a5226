//! The conversations behind each rule.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::{Criticality, DeviceId, Timestamp, Transport};

use super::Rule;
use crate::cedar;
use crate::groups::{Groups, NodeId};
use crate::propose::{Origin, Proposal};
use crate::words;
use crate::world::World;

/// What was seen of a rule's conversations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Distinct conversations.
    pub conversations: u64,
    /// Flows of them, at least.
    pub flows: u64,
    /// Clients.
    pub clients: u32,
    /// Servers.
    pub servers: u32,
    /// When the oldest was first seen.
    pub first: Timestamp,
    /// When the latest was last seen.
    pub last: Timestamp,
    /// New conversations of a past period, on average, that only this rule foretold.
    pub foretells: f64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Who opened it.
    pub client: DeviceId,
    /// Who was asked.
    pub server: DeviceId,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
    /// When it was last seen.
    pub last: Timestamp,
}

/// Examples of a rule.
const EXAMPLES: usize = 3;

struct Gathered {
    evidence: Evidence,
    last_client: u32,
    servers: HashSet<u32>,
}

/// The rules of a proposal with their evidence, in order of their groups.
pub(super) fn rules(world: &World, groups: &Groups, proposal: &Proposal) -> Vec<Rule> {
    let mut gathered: BTreeMap<(NodeId, NodeId), Gathered> = BTreeMap::new();
    // Sorted by client, so that a client that comes again is the last one.
    for (key, talk) in world.sorted() {
        if proposal.left_out.contains(&key) {
            continue;
        }
        let (client, server) = (groups.chain(key.client), groups.chain(key.server));
        let port = if talk.folded { u16::MAX } else { key.port };
        let Some(pair) = proposal
            .allow
            .rule_for(&client, &server, key.transport, port)
        else {
            continue;
        };
        let at = gathered.entry(pair).or_insert_with(|| Gathered {
            evidence: Evidence {
                conversations: 0,
                flows: 0,
                clients: 0,
                servers: 0,
                first: talk.first,
                last: talk.last,
                foretells: 0.0,
                examples: Vec::new(),
            },
            last_client: u32::MAX,
            servers: HashSet::new(),
        });
        let e = &mut at.evidence;
        e.conversations += 1;
        e.flows = e.flows.saturating_add(u64::from(talk.flows));
        e.first = e.first.min(talk.first);
        e.last = e.last.max(talk.last);
        if at.last_client != key.client {
            at.last_client = key.client;
            e.clients += 1;
        }
        if at.servers.insert(key.server) {
            e.servers += 1;
        }
        if e.examples.len() < EXAMPLES
            && let (Some(c), Some(s)) = (world.host(key.client), world.host(key.server))
        {
            e.examples.push(Example {
                client: c.id.clone(),
                server: s.id.clone(),
                transport: key.transport,
                port: key.port,
                last: talk.last,
            });
        }
    }
    let mut origins: BTreeMap<(NodeId, NodeId), (Origin, f64)> = BTreeMap::new();
    for choice in &proposal.choices {
        let entry = origins
            .entry((choice.from, choice.to))
            .or_insert((choice.origin, 0.0));
        entry.0 = entry.0.max(choice.origin);
        entry.1 += choice.foretells;
    }
    let mut out = Vec::new();
    for (n, (from, to, ports)) in proposal.allow.sorted().into_iter().enumerate() {
        let (origin, foretells) = origins
            .get(&(from, to))
            .map_or((Origin::Seen, 0.0), |(o, f)| (*o, super::rounded(*f)));
        let end = |node: NodeId| End::of(world, groups, node);
        let (one, other) = (end(from), end(to));
        let services = cedar::services(ports);
        let mut names: Vec<SmolStr> = services.iter().map(|s| s.name.clone()).collect();
        names.dedup();
        let more = names.len().saturating_sub(4);
        names.truncate(4);
        let mut list = names.join(", ");
        if more > 0 {
            list = format!("{list} and {more} more");
        }
        let evidence = gathered.remove(&(from, to)).map_or_else(
            || Evidence {
                conversations: 0,
                flows: 0,
                clients: 0,
                servers: 0,
                first: Timestamp::from_millis(0),
                last: Timestamp::from_millis(0),
                foretells,
                examples: Vec::new(),
            },
            |g| Evidence {
                foretells,
                ..g.evidence
            },
        );
        // A range wholly permitted by a wider rule says nothing of its own.
        if evidence.conversations == 0 && foretells == 0.0 {
            continue;
        }
        out.push(Rule {
            id: format!("seg-{:05}", n + 1),
            from: one.entity,
            to: other.entity,
            says: format!("{} may open {list} to {}.", one.name, other.name),
            services,
            origin,
            evidence,
            confirm: words::confirmer(one.kind.as_deref().or(other.kind.as_deref())).to_owned(),
            life_critical: one.vital || other.vital,
        });
    }
    out
}

struct End {
    entity: SmolStr,
    name: String,
    kind: Option<SmolStr>,
    vital: bool,
}

impl End {
    fn of(world: &World, groups: &Groups, node: NodeId) -> Self {
        let host = node.as_device().and_then(|h| world.host(h));
        match (host, groups.get(node)) {
            (Some(host), _) => Self {
                entity: cedar::device_entity(&host.id),
                name: host.name.to_string(),
                kind: host.kind.clone(),
                vital: host.is_life_critical(),
            },
            (None, group) => Self {
                entity: group.map(|g| g.entity.clone()).unwrap_or_default(),
                name: group.map(|g| g.name.clone()).unwrap_or_default(),
                kind: group.and_then(|g| g.kind.clone()),
                vital: group.is_some_and(|g| g.criticality == Criticality::LifeCritical),
            },
        }
    }
}
