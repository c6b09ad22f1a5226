//! How a proposal made on one stretch of time does on the next: coverage, misses with their causes, what it permits beyond.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use smol_str::SmolStr;

use domain::{DeviceId, Timestamp, Transport};

use crate::allow::Allow;
use crate::groups::{Chain, Groups, NodeId};
use crate::ports::Seen;
use crate::propose::{self, Cause, Options, Proposal};
use crate::service;
use crate::world::{Host, HostId, TalkKey, World};

/// Conversations of a service, and how many of them no rule permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All.
    pub conversations: u64,
    /// Those that no rule permits.
    pub blocked: u64,
}

/// A conversation that no rule permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// Who opens it.
    pub client: SmolStr,
    /// Who is asked.
    pub server: SmolStr,
    /// Which service.
    pub service: SmolStr,
    /// Why it was not foretold.
    pub cause: Cause,
    /// Whether it concerns a life-critical device.
    pub life_critical: bool,
}

/// How rules did on conversations that they were not made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Distinct conversations of the later stretch.
    pub conversations: u64,
    /// Those that rules permit.
    pub permitted: u64,
    /// Share that is permitted; none: there were none.
    pub coverage: Option<f64>,
    /// Tuples permitted for each that was seen before.
    pub over_permission: f64,
    /// By clinical service.
    pub services: BTreeMap<SmolStr, Tally>,
    /// Misses by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Conversations of life-critical devices that would be dropped without anybody's yes.
    pub life_critical_cut: u64,
    /// Conversations of life-critical devices that no rule permits: counted, and let through until somebody says yes.
    pub life_critical_observed: u64,
    /// Some misses.
    pub misses: Vec<Miss>,
}

/// Most misses that are given by name.
const MISSES_MAX: usize = 32;

/// Whose groups: those of hosts that were there, and where hosts that were not belong by their class.
pub struct Placing<'a> {
    known: &'a World,
    groups: &'a Groups,
    cache: HashMap<DeviceId, Chain>,
}

impl<'a> Placing<'a> {
    /// For the groups of a world.
    pub fn new(known: &'a World, groups: &'a Groups) -> Self {
        Self {
            known,
            groups,
            cache: HashMap::new(),
        }
    }

    /// A host's groups.
    pub fn chain(&mut self, host: &Host) -> Chain {
        if let Some(number) = self.known.find(&host.id) {
            return self.groups.chain(number);
        }
        if let Some(chain) = self.cache.get(&host.id) {
            return *chain;
        }
        // A number that no host has: rules for single devices do not speak of it.
        let nobody = NodeId::device((1 << 31) - 1);
        let chain = self.groups.chain_of(nobody, self.groups.by_class(host));
        self.cache.insert(host.id.clone(), chain);
        chain
    }
}

/// Scores rules on conversations of `world`. `known`, with `groups`, is what the rules were made from.
pub fn score<'a>(
    allow: &Allow,
    known: &World,
    groups: &Groups,
    world: &World,
    later: impl Iterator<Item = &'a TalkKey>,
) -> Score {
    let mut placing = Placing::new(known, groups);
    let pairs: HashSet<(u32, u32)> = known.talks().map(|(k, _)| (k.client, k.server)).collect();
    let mut score = Score::default();
    for key in later {
        let (Some(client), Some(server)) = (world.host(key.client), world.host(key.server)) else {
            continue;
        };
        let (c, s) = (placing.chain(client), placing.chain(server));
        let permitted = allow.permits(&c, &s, key.transport, key.port);
        score.conversations += 1;
        let name = service::clinical_service(
            client.kind.as_deref(),
            server.kind.as_deref(),
            key.transport,
            key.port,
        );
        let tally = score.services.entry(SmolStr::new_static(name)).or_default();
        tally.conversations += 1;
        if permitted {
            score.permitted += 1;
            continue;
        }
        tally.blocked += 1;
        let (from, to) = (known.find(&client.id), known.find(&server.id));
        let known_pair = from.zip(to).is_some_and(|pair| pairs.contains(&pair));
        let cause = propose::cause(key, known_pair, from.is_none() || to.is_none());
        *score.causes.entry(cause).or_default() += 1;
        let life_critical = client.is_life_critical() || server.is_life_critical();
        if life_critical {
            // Pairs with a device that the plan takes for life-critical stay observed until somebody says yes. What it
            // takes for something else, and was one, would have been cut.
            let held = |host: Option<HostId>, chain: &Chain| {
                host.and_then(|id| known.host(id)).map_or_else(
                    || groups.takes_for_life_critical(chain),
                    Host::is_life_critical,
                )
            };
            if held(from, &c) || held(to, &s) {
                score.life_critical_observed += 1;
            } else {
                score.life_critical_cut += 1;
            }
        }
        if score.misses.len() < MISSES_MAX {
            score.misses.push(Miss {
                client: client.name.clone(),
                server: server.name.clone(),
                service: service::name(key.transport, &(key.port..=key.port)),
                cause,
                life_critical,
            });
        }
    }
    if score.conversations > 0 {
        score.coverage = Some(score.permitted as f64 / score.conversations as f64);
    }
    score
}

/// A proposal from everything before `cut`, scored on what was active from then on.
pub struct Backtest {
    /// What was known.
    pub known: World,
    /// Its groups.
    pub groups: Groups,
    /// The proposal.
    pub proposal: Proposal,
    /// How it did.
    pub score: Score,
}

/// Where to cut: the last period, or the last quarter of a history shorter than two.
pub fn cut(world: &World, options: &Options) -> Option<Timestamp> {
    let (first, last) = world.span()?;
    let span = last.as_millis() - first.as_millis() + 1;
    let horizon = i64::try_from(options.horizon.as_millis()).unwrap_or(i64::MAX);
    let back = if span < 2 * horizon {
        (span / 4).max(1)
    } else {
        horizon
    };
    Some(Timestamp::from_millis(last.as_millis() + 1 - back))
}

/// Learns before `cut` and scores what was active from then on.
pub fn backtest(world: &World, options: &Options, cut: Timestamp) -> Backtest {
    let known = world.before(cut);
    let groups = Groups::of(&known);
    let proposal = propose::propose(&known, &groups, options);
    let mut later: Vec<TalkKey> = world
        .talks()
        .filter(|(_, t)| t.last >= cut && !t.folded)
        .map(|(k, _)| *k)
        .collect();
    later.sort_unstable();
    let mut score = score(&proposal.allow, &known, &groups, world, later.iter());
    let seen = seen_in(world);
    score.over_permission =
        proposal.allow.tuples(&groups, &seen) as f64 / proposal.seen.max(1) as f64;
    Backtest {
        known,
        groups,
        proposal,
        score,
    }
}

/// Every port that occurs in a world.
pub fn seen_in(world: &World) -> Seen {
    Seen::of(world.talks().map(|(k, _)| (k.transport, k.port)))
}

/// The exact allow-list: what was seen, and nothing else.
pub fn exact(known: &World) -> Allow {
    let mut allow = Allow::default();
    for (key, _) in known.sorted() {
        allow.insert(
            NodeId::device(key.client),
            NodeId::device(key.server),
            key.transport,
            &(key.port..=key.port),
        );
    }
    allow
}

/// The role baseline: hosts with the same three main services form a role, and whatever a role said to a role it may say.
/// With `collapse`, a pair of roles with more than eight ports of a transport may use every port of it.
pub struct Roles {
    role_of: HashMap<DeviceId, u32>,
    sizes: Vec<u64>,
    allowed: HashMap<(u32, u32), HashMap<Transport, HashSet<u16>>>,
    collapse: bool,
}

/// Ports of a pair beyond which the collapsing baseline permits all.
const COLLAPSE: usize = 8;

impl Roles {
    /// Learns roles.
    pub fn of(known: &World, collapse: bool) -> Self {
        let mut uses: HashMap<u32, HashMap<(bool, Transport, u16), u32>> = HashMap::new();
        for (key, _) in known.talks() {
            for (host, serves) in [(key.client, false), (key.server, true)] {
                *uses
                    .entry(host)
                    .or_default()
                    .entry((serves, key.transport, key.port))
                    .or_default() += 1;
            }
        }
        let mut numbers: BTreeMap<Vec<(bool, Transport, u16)>, u32> = BTreeMap::new();
        let mut role_of = HashMap::new();
        let mut sizes = Vec::new();
        for number in 0..known.hosts().len() as u32 {
            let Some(host) = known.host(number) else {
                continue;
            };
            let mut top: Vec<_> = uses
                .get(&number)
                .into_iter()
                .flatten()
                .map(|(service, count)| (std::cmp::Reverse(*count), *service))
                .collect();
            top.sort_unstable();
            let mut role: Vec<_> = top.into_iter().take(3).map(|(_, s)| s).collect();
            role.sort_unstable();
            let next = numbers.len() as u32;
            let role = *numbers.entry(role).or_insert(next);
            if role == next {
                sizes.push(0);
            }
            if let Some(size) = sizes.get_mut(role as usize) {
                *size += 1;
            }
            role_of.insert(host.id.clone(), role);
        }
        let mut allowed: HashMap<(u32, u32), HashMap<Transport, HashSet<u16>>> = HashMap::new();
        for (key, _) in known.talks() {
            let role = |id| known.host(id).and_then(|h| role_of.get(&h.id)).copied();
            if let (Some(from), Some(to)) = (role(key.client), role(key.server)) {
                allowed
                    .entry((from, to))
                    .or_default()
                    .entry(key.transport)
                    .or_default()
                    .insert(key.port);
            }
        }
        Self {
            role_of,
            sizes,
            allowed,
            collapse,
        }
    }

    /// Coverage of later conversations, and tuples permitted.
    pub fn score<'a>(
        &self,
        world: &World,
        seen: &Seen,
        later: impl Iterator<Item = &'a TalkKey>,
    ) -> (f64, u64) {
        let (mut all, mut permitted) = (0_u64, 0_u64);
        for key in later {
            all += 1;
            let role = |id| {
                world
                    .host(id)
                    .and_then(|h| self.role_of.get(&h.id))
                    .copied()
            };
            let (Some(from), Some(to)) = (role(key.client), role(key.server)) else {
                continue;
            };
            let ports = self
                .allowed
                .get(&(from, to))
                .and_then(|t| t.get(&key.transport));
            let holds = ports.is_some_and(|ports| {
                ports.contains(&key.port) || (self.collapse && ports.len() > COLLAPSE)
            });
            permitted += u64::from(holds);
        }
        let size = |role: u32| self.sizes.get(role as usize).copied().unwrap_or(0);
        let tuples = self
            .allowed
            .iter()
            .map(|((from, to), by_transport)| {
                let ports: u64 = by_transport
                    .iter()
                    .map(|(transport, ports)| {
                        if self.collapse && ports.len() > COLLAPSE {
                            seen.within(service::protocol(*transport), 0, u16::MAX)
                        } else {
                            ports.len() as u64
                        }
                    })
                    .sum();
                size(*from).saturating_mul(size(*to)).saturating_mul(ports)
            })
            .fold(0, u64::saturating_add);
        (permitted as f64 / (all.max(1)) as f64, tuples)
    }
}
