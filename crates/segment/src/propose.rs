//! From conversations to rules.
//!
//! Every conversation that was seen stays permitted, but for what looks like a scan. What remains to be decided is which
//! conversations *not yet seen* to permit. For that, the conversations that were new in each of the last weeks are asked
//! which wider rule would have foretold them: between which of the declared ancestors of client and server
//! ([`crate::groups`]), for its own port or for a range of moving ports. Each such candidate has a yield, the
//! new conversations that it foretells, and a price, the tuples that it permits and nobody ever used. The best yields are
//! bought first until the promised coverage is reached or the permitted excess is spent.
//!
//! The cause of a miss picks the generalisation: a known pair on a new high port buys a range of ports for the pair; a new
//! pair of known hosts buys a rule between groups; a host never seen is admitted only by the group of its class.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use domain::Timestamp;
use domain::net::Transport;

use crate::allow::Allow;
use crate::groups::{Basis, Chain, Groups, NodeId};
use crate::ports::Seen;
use crate::service;
use crate::world::{HostId, Talk, TalkKey, World};

/// What a proposal aims at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Share of the next period's conversations that rules shall permit. Wider rules are added until the held-out
    /// estimate says so.
    pub coverage: f64,
    /// Most tuples permitted for each that was seen.
    pub over_permission_max: f64,
    /// The period: a proposal is judged on the one that follows it.
    pub horizon: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            coverage: 0.9999,
            over_permission_max: 4.0,
            horizon: Duration::from_secs(7 * 86_400),
        }
    }
}

/// Most past periods that are asked what was new in them.
const PERIODS_MAX: i64 = 8;
/// Share of a group's possible conversations that were seen, from which on the group's rule replaces them.
const DENSE_CLASS: f64 = 0.4;
/// The same for groups that admit no unseen host, where only readability is won, and for everyone.
const DENSE_ROLE: f64 = 0.9;
/// Share of all devices that use a service before a rule for everyone may name it.
const UBIQUITOUS: f64 = 0.2;
/// Ports of a pair before they count as moving.
const MOVING_MIN: u32 = 4;
/// Clients, or days of one client, that make a high port without a name a service.
const STABLE_CLIENTS: u32 = 3;
/// See [`STABLE_CLIENTS`].
const STABLE_DAYS: u16 = 4;
/// Servers inside that a client asked once, on one day and port, before it looks like a scan.
const SCAN_SERVERS: usize = 48;

/// Why a conversation was not foretold by the conversations before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A known pair on a new high port.
    MovingPort,
    /// A known pair with a service new to it.
    NewService,
    /// A pair of known hosts that had not spoken.
    NewPeer,
    /// A host never seen before.
    NewHost,
}

/// A client that seems to have scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Who.
    pub client: HostId,
    /// Transport.
    pub transport: Transport,
    /// Port.
    pub port: u16,
    /// How many servers it asked once.
    pub servers: u32,
    /// On which day, counted from the Unix epoch.
    pub day: i64,
    /// Whether its conversations stay permitted all the same, because the client or all servers are life-critical.
    pub kept: bool,
}

/// How a rule came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// All of it was seen.
    Seen,
    /// Most of what the group could say was seen.
    Common,
    /// New conversations of past periods would have been foretold by it.
    Foretold,
    /// An earlier plan permitted it to life-critical devices.
    Kept,
}

/// A chosen generalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// From whom.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// Transport.
    pub transport: Transport,
    /// Ports.
    pub ports: RangeInclusive<u16>,
    /// How it came to be.
    pub origin: Origin,
    /// New conversations of a past period, on average, that it would have permitted beyond those chosen before it.
    pub foretells: f64,
    /// Tuples that it permits.
    pub permits: u64,
    /// Tuples of them that were seen.
    pub seen: u64,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What is permitted.
    pub allow: Allow,
    /// The wider rules, in the order in which they were chosen.
    pub choices: Vec<Choice>,
    /// Conversations that look like scans.
    pub suspects: Vec<Suspect>,
    /// What was new in the past periods, by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Held-out estimate of the share of the next period's conversations that are permitted; none: nothing to judge by.
    pub expected_coverage: Option<f64>,
    /// Tuples permitted.
    pub permitted: u64,
    /// Tuples seen, scans not included.
    pub seen: u64,
    /// How many past periods the estimate rests on.
    pub periods: u32,
    /// Conversations left out as scans.
    pub left_out: HashSet<TalkKey>,
}

impl Proposal {
    /// Tuples permitted for each that was seen.
    pub fn over_permission(&self) -> f64 {
        self.permitted as f64 / (self.seen.max(1)) as f64
    }
}

/// A service as candidates name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Svc {
    Port(u8, u16),
    /// Moving ports of a band: the place in [`BANDS`].
    Moving(u8, u8),
}

/// Where systems take moving ports from: IANA's range (RFC 6335 section 6), Linux's default, and the rest.
const BANDS: [(u16, u16); 3] = [(49_152, 65_535), (32_768, 49_151), (1_024, 32_767)];

fn band_of(port: u16) -> u8 {
    match port {
        49_152.. => 0,
        32_768.. => 1,
        _ => 2,
    }
}

type Key = (NodeId, NodeId, Svc);

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    /// Tuples seen in it.
    seen: u32,
    /// When the first of them was seen.
    earliest: Option<Timestamp>,
    /// New tuples that it would have permitted, those already permitted not counted any more, in quarters.
    value: u32,
}

/// A conversation that was new in a past period, or one that a protocol announces.
#[derive(Clone, Copy, Debug)]
struct News {
    key: TalkKey,
    /// When its period began.
    began: Timestamp,
    new_client: bool,
    new_server: bool,
    /// What foretelling it is worth, in quarters of a conversation.
    quarters: u32,
    /// Whether it was seen; else it is what the RPC endpoint mapper announces: another port of the same server.
    real: bool,
}

/// How many standard deviations of a count are not relied on.
const CHANCE: f64 = 0.8;
/// What foretelling one new conversation is worth.
const WHOLE: u32 = 4;

/// The observed range of moving ports, by server and band.
type Ranges = HashMap<(NodeId, u8, u8), (u16, u16, u32)>;

/// A candidate in the queue.
#[derive(Debug, PartialEq)]
struct Offer {
    ratio: f64,
    key: Key,
    value: u32,
}

impl Eq for Offer {}

impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ratio
            .total_cmp(&other.ratio)
            .then_with(|| other.key.cmp(&self.key))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Proposes rules for a world. The same world gives the same rules.
pub fn propose(world: &World, groups: &Groups, options: &Options) -> Proposal {
    Work::new(world, groups, options).run()
}

struct Work<'a> {
    groups: &'a Groups,
    options: &'a Options,
    talks: Vec<(TalkKey, Talk)>,
    chains: Vec<Chain>,
    first_seen: Vec<Timestamp>,
    ranges: Ranges,
    /// High ports without a name that are a service all the same: several clients use them, or one does for days.
    stable: HashSet<(HostId, u8, u16)>,
    seen: Seen,
    suspects: Vec<Suspect>,
    left_out: HashSet<TalkKey>,
}

impl<'a> Work<'a> {
    fn new(world: &'a World, groups: &'a Groups, options: &'a Options) -> Self {
        let mut talks = world.sorted();
        let (suspects, left_out) = scans(world, &talks, groups.classed());
        talks.retain(|(key, _)| !left_out.contains(key));
        let chains: Vec<Chain> = (0..world.hosts().len() as HostId)
            .map(|host| groups.chain(host))
            .collect();
        let mut first_seen = vec![Timestamp::FOREVER; world.hosts().len()];
        let mut ranges = Ranges::new();
        let mut users: HashMap<(HostId, u8, u16), u32> = HashMap::new();
        for (key, talk) in &talks {
            for host in [key.client, key.server] {
                if let Some(first) = first_seen.get_mut(host as usize) {
                    *first = (*first).min(talk.first);
                }
            }
            if !talk.folded && service::may_be_dynamic(key.transport, key.port) {
                let protocol = service::protocol(key.transport);
                let band = band_of(key.port);
                *users.entry((key.server, protocol, key.port)).or_default() +=
                    if talk.days >= STABLE_DAYS {
                        STABLE_CLIENTS
                    } else {
                        1
                    };
                let nodes = chains
                    .get(key.server as usize)
                    .map_or(&[][..], Chain::nodes);
                for node in nodes {
                    let range = ranges
                        .entry((*node, protocol, band))
                        .or_insert((key.port, key.port, 0));
                    *range = (range.0.min(key.port), range.1.max(key.port), range.2 + 1);
                }
            }
        }
        let seen = Seen::of(talks.iter().map(|(k, _)| (k.transport, k.port)));
        let stable = users
            .into_iter()
            .filter(|(_, count)| *count >= STABLE_CLIENTS)
            .map(|(key, _)| key)
            .collect();
        Self {
            groups,
            options,
            talks,
            chains,
            first_seen,
            ranges,
            stable,
            seen,
            suspects,
            left_out,
        }
    }

    fn chain(&self, host: HostId) -> &[NodeId] {
        self.chains.get(host as usize).map_or(&[], Chain::nodes)
    }

    /// The range that a service stands for at a server.
    fn ports(&self, to: NodeId, svc: Svc) -> RangeInclusive<u16> {
        match svc {
            Svc::Port(_, port) => port..=port,
            Svc::Moving(protocol, band) => {
                let (low, high) = BANDS.get(usize::from(band)).copied().unwrap_or((1, 0));
                let (first, last) = self
                    .ranges
                    .get(&(to, protocol, band))
                    .map_or((low, high), |r| (r.0, r.1));
                // What was seen of a range rarely holds its ends: round outward to multiples of 256.
                (first & !0xff).max(low)..=(last | 0xff).min(high)
            }
        }
    }

    fn permits(&self, key: &Key) -> u64 {
        let (from, to, svc) = *key;
        let ports = match svc {
            Svc::Port(..) => 1,
            Svc::Moving(protocol, _) => {
                let range = self.ports(to, svc);
                self.seen
                    .within(protocol, *range.start(), *range.end())
                    .max(1)
            }
        };
        self.groups
            .size(from)
            .saturating_mul(self.groups.size(to))
            .saturating_mul(ports)
    }

    fn run(self) -> Proposal {
        let total_seen = self.talks.len() as u64;
        let (periods, since, horizon) = self.periods();
        let mut news = self.news(periods, since, horizon);
        let mut candidates: HashMap<Key, Candidate> = HashMap::new();
        // Which candidates would permit which news.
        let ubiquity = self.ubiquity();
        news.extend(self.announced());
        let mut offers_of: Vec<Vec<Key>> = news.iter().map(|n| self.wider(n, &ubiquity)).collect();
        for key in offers_of.iter().flatten() {
            candidates.entry(*key).or_default();
        }
        self.common(&mut candidates);
        self.count_seen(&mut candidates);
        // A rule of which nothing was known when the period began would not have been proposed.
        for (n, keys) in news.iter().zip(&mut offers_of) {
            keys.retain(|key| {
                candidates
                    .get(key)
                    .and_then(|c| c.earliest)
                    .is_some_and(|first| first < n.began)
            });
        }
        let mut chosen: Vec<Choice> = Vec::new();
        let mut allow = Allow::default();
        let budget = (self.options.over_permission_max - 1.0).max(0.0) * total_seen as f64;
        let mut spent = self.choose_common(&mut candidates, &mut allow, &mut chosen);
        // News that are permitted by now are no one's yield.
        let mut by_key: HashMap<Key, Vec<u32>> = HashMap::new();
        let mut open = vec![false; news.len()];
        let mut missing = 0_u64;
        for (n, (new, keys)) in news.iter().zip(&offers_of).enumerate() {
            if self.permitted(&allow, &new.key) {
                continue;
            }
            if let Some(open) = open.get_mut(n) {
                *open = true;
            }
            missing += u64::from(new.real);
            for key in keys {
                by_key.entry(*key).or_default().push(n as u32);
                if let Some(c) = candidates.get_mut(key) {
                    c.value += new.quarters;
                }
            }
        }
        let mut heap: BinaryHeap<Offer> = by_key
            .keys()
            .filter_map(|key| {
                let value = candidates.get(key)?.value;
                (value > 0).then(|| self.offer(*key, value, &candidates))
            })
            .collect();
        let active = self.active(since, horizon, periods);
        let reached = |missing: u64| {
            let each = missing as f64 / f64::from(periods.max(1));
            1.0 - each / active.max(1.0) >= self.options.coverage
        };
        while let Some(offer) = heap.pop() {
            // What is left is not worth its price.
            if reached(missing) || offer.ratio <= 0.0 {
                break;
            }
            let Some(candidate) = candidates.get(&offer.key).copied() else {
                continue;
            };
            if candidate.value == 0 {
                continue;
            }
            if candidate.value != offer.value {
                heap.push(self.offer(offer.key, candidate.value, &candidates));
                continue;
            }
            let permits = self.permits(&offer.key);
            let price = permits.saturating_sub(u64::from(candidate.seen)) as f64;
            if spent + price > budget {
                continue;
            }
            spent += price;
            chosen.push(self.choice(&offer.key, &candidate, Origin::Foretold, periods));
            self.add(&mut allow, &offer.key);
            for n in by_key.get(&offer.key).into_iter().flatten() {
                let n = *n as usize;
                let (Some(new), Some(open)) = (news.get(n), open.get_mut(n)) else {
                    continue;
                };
                // A range may be narrower than its band.
                if !*open || !self.permitted(&allow, &new.key) {
                    continue;
                }
                *open = false;
                missing -= u64::from(new.real);
                for other in offers_of.get(n).into_iter().flatten() {
                    if let Some(c) = candidates.get_mut(other) {
                        c.value = c.value.saturating_sub(new.quarters);
                    }
                }
            }
        }
        let causes = self.causes(&news);
        for (key, talk) in &self.talks {
            if talk.folded {
                allow.insert(
                    NodeId::device(key.client),
                    NodeId::device(key.server),
                    key.transport,
                    &(1_024..=u16::MAX),
                );
            } else if !self.permitted(&allow, key) {
                allow.insert(
                    NodeId::device(key.client),
                    NodeId::device(key.server),
                    key.transport,
                    &(key.port..=key.port),
                );
            }
        }
        let permitted = allow.tuples(self.groups, &self.seen);
        let expected_coverage = (periods > 0 && active > 0.0)
            .then(|| (1.0 - missing as f64 / f64::from(periods) / active).clamp(0.0, 1.0));
        Proposal {
            allow,
            choices: chosen,
            suspects: self.suspects,
            causes,
            expected_coverage,
            permitted,
            seen: total_seen,
            periods,
            left_out: self.left_out,
        }
    }

    fn permitted(&self, allow: &Allow, key: &TalkKey) -> bool {
        match (
            self.chains.get(key.client as usize),
            self.chains.get(key.server as usize),
        ) {
            (Some(client), Some(server)) => allow.permits(client, server, key.transport, key.port),
            _ => false,
        }
    }

    /// How many past periods there are to learn from, where the oldest of them begins, and how long one is.
    fn periods(&self) -> (u32, Timestamp, i64) {
        let first = self.talks.iter().map(|(_, t)| t.first).min();
        let last = self.talks.iter().map(|(_, t)| t.last).max();
        let (Some(first), Some(last)) = (first, last) else {
            return (0, Timestamp::FOREVER, 1);
        };
        let span = last.as_millis() - first.as_millis() + 1;
        let mut horizon = i64::try_from(self.options.horizon.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        // Too short a history for whole periods: quarters of it.
        if span < 2 * horizon {
            horizon = (span / 4).max(1);
        }
        let whole = (span as f64 / horizon as f64).round() as i64;
        let periods = (whole - 1).min((whole / 2).max(2)).clamp(0, PERIODS_MAX);
        let since = Timestamp::from_millis(last.as_millis() + 1 - periods * horizon);
        (u32::try_from(periods).unwrap_or(0), since, horizon)
    }

    /// Conversations that began in the past periods.
    fn news(&self, periods: u32, since: Timestamp, horizon: i64) -> Vec<News> {
        if periods == 0 {
            return Vec::new();
        }
        let began = |at: Timestamp| {
            let into = (at.as_millis() - since.as_millis()).div_euclid(horizon);
            Timestamp::from_millis(since.as_millis() + into * horizon)
        };
        self.talks
            .iter()
            .filter(|(_, talk)| talk.first >= since && !talk.folded)
            .map(|(key, talk)| {
                let period = began(talk.first);
                let new = |host: HostId| {
                    self.first_seen
                        .get(host as usize)
                        .is_some_and(|first| *first >= period)
                };
                News {
                    key: *key,
                    began: period,
                    new_client: new(key.client),
                    new_server: new(key.server),
                    quarters: WHOLE,
                    real: true,
                }
            })
            .collect()
    }

    /// What protocols announce: who asks a server's RPC endpoint mapper will be sent to another port of IANA's dynamic range
    /// once the service has restarted (DCE 1.1 RPC, C706, section 6.2.2). Worth a quarter of a conversation that was seen.
    fn announced(&self) -> Vec<News> {
        const MAPPER: u16 = 135;
        self.talks
            .iter()
            .filter(|(key, _)| key.transport == Transport::Tcp && key.port == MAPPER)
            .filter_map(|(key, _)| {
                let to = NodeId::device(key.server);
                let protocol = service::protocol(key.transport);
                self.ranges.get(&(to, protocol, 0))?;
                let ports = self.ports(to, Svc::Moving(protocol, 0));
                // A port of the range that the pair has not used stands for the next.
                let port = ports.clone().find(|port| {
                    self.talks
                        .binary_search_by_key(
                            &TalkKey {
                                port: *port,
                                ..*key
                            },
                            |(k, _)| *k,
                        )
                        .is_err()
                })?;
                Some(News {
                    key: TalkKey { port, ..*key },
                    began: Timestamp::FOREVER,
                    new_client: false,
                    new_server: false,
                    quarters: 1,
                    real: false,
                })
            })
            .collect()
    }

    /// Distinct conversations that were active in a past period: those of the latest one, which alone is known exactly.
    fn active(&self, since: Timestamp, horizon: i64, periods: u32) -> f64 {
        let latest = since.as_millis() + (i64::from(periods) - 1) * horizon;
        self.talks
            .iter()
            .filter(|(_, t)| t.last.as_millis() >= latest)
            .count() as f64
    }

    /// Services that a large share of all devices use.
    fn ubiquity(&self) -> HashSet<(HostId, Svc)> {
        let mut clients: HashMap<(HostId, Svc), (u32, HostId)> = HashMap::new();
        let mut inside: HashSet<HostId> = HashSet::new();
        for (key, _) in &self.talks {
            inside.insert(key.client);
            let svc = Svc::Port(service::protocol(key.transport), key.port);
            let count = clients.entry((key.server, svc)).or_insert((0, HostId::MAX));
            if count.1 != key.client {
                *count = (count.0 + 1, key.client);
            }
        }
        let needed = (UBIQUITOUS * inside.len() as f64).max(3.0);
        clients
            .into_iter()
            .filter(|(_, (count, _))| f64::from(*count) >= needed)
            .map(|(key, _)| key)
            .collect()
    }

    /// The wider rules that would have foretold a conversation.
    fn wider(&self, new: &News, ubiquity: &HashSet<(HostId, Svc)>) -> Vec<Key> {
        let News {
            key,
            new_client,
            new_server,
            ..
        } = *new;
        let protocol = service::protocol(key.transport);
        let exact = Svc::Port(protocol, key.port);
        let moving = service::may_be_dynamic(key.transport, key.port)
            .then(|| Svc::Moving(protocol, band_of(key.port)));
        let fits = |node: NodeId, new: bool| match self.groups.get(node) {
            None => !new,
            Some(group) => group.lends() && (group.by_class() || !new),
        };
        let everyone = |node: NodeId| {
            self.groups
                .get(node)
                .is_some_and(|g| g.basis == Basis::Everyone)
        };
        let mut keys = Vec::new();
        for &from in self.chain(key.client) {
            if !fits(from, new_client) {
                continue;
            }
            if everyone(from) && !ubiquity.contains(&(key.server, exact)) {
                continue;
            }
            for &to in self.chain(key.server) {
                if !fits(to, new_server) || (everyone(from) && to.as_device().is_none()) {
                    continue;
                }
                let pair = from.as_device().is_some() && to.as_device().is_some();
                if !pair && new.real {
                    keys.push((from, to, exact));
                }
                if let Some(moving) = moving
                    && !everyone(from)
                    && !everyone(to)
                {
                    keys.push((from, to, moving));
                }
            }
        }
        keys
    }

    /// Adds the rules of whole groups that much of what was seen may come under.
    fn common(&self, candidates: &mut HashMap<Key, Candidate>) {
        for (key, talk) in &self.talks {
            let protocol = service::protocol(key.transport);
            let moves = service::may_be_dynamic(key.transport, key.port)
                && !self.stable.contains(&(key.server, protocol, key.port));
            if talk.folded || moves {
                continue;
            }
            let svc = Svc::Port(protocol, key.port);
            let lends = |node: &&NodeId| {
                self.groups
                    .get(**node)
                    .is_none_or(|g| g.lends() && g.basis != Basis::Everyone)
            };
            for &from in self.chain(key.client).iter().skip(1).filter(lends) {
                for &to in self.chain(key.server).iter().filter(lends) {
                    candidates.entry((from, to, svc)).or_default();
                }
            }
        }
    }

    fn count_seen(&self, candidates: &mut HashMap<Key, Candidate>) {
        for (key, talk) in &self.talks {
            if talk.folded {
                continue;
            }
            let protocol = service::protocol(key.transport);
            let exact = Svc::Port(protocol, key.port);
            let moving = service::may_be_dynamic(key.transport, key.port)
                .then(|| Svc::Moving(protocol, band_of(key.port)));
            for &from in self.chain(key.client) {
                for &to in self.chain(key.server) {
                    for svc in std::iter::once(exact).chain(moving) {
                        if let Some(candidate) = candidates.get_mut(&(from, to, svc)) {
                            candidate.seen += 1;
                            candidate.earliest = Some(
                                candidate
                                    .earliest
                                    .map_or(talk.first, |first| first.min(talk.first)),
                            );
                        }
                    }
                }
            }
        }
    }

    /// Chooses the rules of groups that were mostly seen; returns what they cost.
    fn choose_common(
        &self,
        candidates: &mut HashMap<Key, Candidate>,
        allow: &mut Allow,
        chosen: &mut Vec<Choice>,
    ) -> f64 {
        let mut dense: Vec<(u64, Key, Candidate)> = candidates
            .iter()
            .filter_map(|(key, candidate)| {
                let (from, to, svc) = *key;
                let group = self.groups.get(from)?;
                if !matches!(svc, Svc::Port(..)) || group.size < 2 || candidate.seen < 2 {
                    return None;
                }
                // What half of a hospital does is not what an unknown device may do.
                let by_class = group.by_class()
                    && group.basis != Basis::Everyone
                    && self.groups.get(to).is_none_or(|g| g.by_class());
                let least = if by_class { DENSE_CLASS } else { DENSE_ROLE };
                let permits = self.permits(key);
                (f64::from(candidate.seen) >= least * permits as f64)
                    .then_some((permits, *key, *candidate))
            })
            .collect();
        // The widest first: what it holds need not be said again.
        dense.sort_unstable_by_key(|(permits, key, _)| (std::cmp::Reverse(*permits), *key));
        let mut spent = 0.0;
        for (permits, key, candidate) in dense {
            let (from, to, svc) = key;
            let ports = self.ports(to, svc);
            let covered = {
                let chain = |node: NodeId| match node.as_device() {
                    Some(host) => self.groups.chain(host),
                    None => self
                        .groups
                        .chain_of(node, self.groups.get(node).and_then(|n| n.parent)),
                };
                let Svc::Port(protocol, port) = svc else {
                    continue;
                };
                debug_assert_eq!(ports, port..=port);
                allow.permits(&chain(from), &chain(to), service::transport(protocol), port)
            };
            if covered {
                continue;
            }
            spent += permits.saturating_sub(u64::from(candidate.seen)) as f64;
            chosen.push(self.choice(&key, &candidate, Origin::Common, 1));
            self.add(allow, &key);
        }
        spent
    }

    fn choice(&self, key: &Key, candidate: &Candidate, origin: Origin, periods: u32) -> Choice {
        let (from, to, svc) = *key;
        let (Svc::Port(protocol, _) | Svc::Moving(protocol, _)) = svc;
        Choice {
            from,
            to,
            transport: service::transport(protocol),
            ports: self.ports(to, svc),
            origin,
            foretells: match origin {
                Origin::Foretold => f64::from(candidate.value) / f64::from(WHOLE * periods.max(1)),
                Origin::Seen | Origin::Common | Origin::Kept => 0.0,
            },
            permits: self.permits(key),
            seen: u64::from(candidate.seen),
        }
    }

    fn add(&self, allow: &mut Allow, key: &Key) {
        let (from, to, svc) = *key;
        let (Svc::Port(protocol, _) | Svc::Moving(protocol, _)) = svc;
        allow.insert(from, to, service::transport(protocol), &self.ports(to, svc));
    }

    fn offer(&self, key: Key, value: u32, candidates: &HashMap<Key, Candidate>) -> Offer {
        let seen = candidates.get(&key).map_or(0, |c| c.seen);
        let price = self.permits(&key).saturating_sub(u64::from(seen));
        // A few ports of a pair do not make a moving one: a rule for all would permit what nobody does.
        let pair_of_few = matches!(key.2, Svc::Moving(..)) && seen < MOVING_MIN;
        // What happened once may not happen again: count what is left after one spread of chance.
        let certain = f64::from(value) - CHANCE * (f64::from(value) * f64::from(WHOLE)).sqrt();
        let ratio = if pair_of_few {
            0.0
        } else {
            certain.max(0.0) / (price as f64 + 1.0)
        };
        Offer { ratio, key, value }
    }

    fn causes(&self, news: &[News]) -> BTreeMap<Cause, u64> {
        let mut pairs: HashMap<(HostId, HostId), Timestamp> = HashMap::new();
        for (key, talk) in &self.talks {
            pairs
                .entry((key.client, key.server))
                .and_modify(|first| *first = (*first).min(talk.first))
                .or_insert(talk.first);
        }
        let mut causes = BTreeMap::new();
        for new in news.iter().filter(|n| n.real) {
            let known_pair = pairs
                .get(&(new.key.client, new.key.server))
                .is_some_and(|first| *first < new.began);
            let cause = cause(&new.key, known_pair, new.new_client || new.new_server);
            *causes.entry(cause).or_default() += 1;
        }
        causes
    }
}

/// Why a conversation could not be known from those before it.
pub fn cause(key: &TalkKey, known_pair: bool, new_host: bool) -> Cause {
    match (new_host, known_pair) {
        (true, _) => Cause::NewHost,
        (false, false) => Cause::NewPeer,
        (false, true) if service::may_be_dynamic(key.transport, key.port) => Cause::MovingPort,
        (false, true) => Cause::NewService,
    }
}

/// Clients that asked many servers of the hospital once, on one day and port, and which conversations that concerns.
/// Those of life-critical devices are named but stay permitted.
fn scans(
    world: &World,
    talks: &[(TalkKey, Talk)],
    classed: bool,
) -> (Vec<Suspect>, HashSet<TalkKey>) {
    let day = |at: Timestamp| at.as_secs().div_euclid(86_400);
    let span = talks.iter().map(|(_, t)| day(t.first)).max().unwrap_or(0)
        - talks.iter().map(|(_, t)| day(t.first)).min().unwrap_or(0);
    // In the first days everything is there once.
    if span < 14 {
        return (Vec::new(), HashSet::new());
    }
    let mut once: BTreeMap<(HostId, Transport, u16, i64), Vec<TalkKey>> = BTreeMap::new();
    for (key, talk) in talks {
        let inside = world.host(key.server).is_some_and(|h| !h.outside);
        if talk.days <= 1 && talk.flows <= 2 && inside && !talk.folded {
            once.entry((key.client, key.transport, key.port, day(talk.first)))
                .or_default()
                .push(*key);
        }
    }
    let (mut suspects, mut left_out) = (Vec::new(), HashSet::new());
    for ((client, transport, port, day), keys) in once {
        if keys.len() < SCAN_SERVERS {
            continue;
        }
        let vital = |id: HostId| {
            world
                .host(id)
                .is_some_and(crate::world::Host::is_life_critical)
        };
        let kept = classed && vital(client);
        suspects.push(Suspect {
            client,
            transport,
            port,
            servers: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            day,
            kept,
        });
        if !kept {
            left_out.extend(keys);
        }
    }
    (suspects, left_out)
}
