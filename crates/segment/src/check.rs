//! Proof that two forms of a policy permit the same, or conversations on which they differ.
//!
//! [`compare`] is set algebra on address × address × protocol × port. A [`Ruleset`] is an ordered list of rules of which the
//! first that matches decides: access lists are that as they stand, and maps with one value for a key are that in any order,
//! so whatever a target was given can be read back into one. Addresses that no rule tells apart form one class, ports that no
//! rule tells apart one interval; both rulesets are constant on each (class, class, protocol, interval), and one probe
//! from each decides the whole.
//!
//! [`against_cedar`] compares a matrix with the policy text by asking Cedar's own authoriser, not our compiler. Segmentation
//! policies compare ports with constants only, so that one port from each interval between constants decides all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet, Request,
};
use serde_json::{Value, json};

use crate::cedar::{self, Clause, CompileError, DeviceRow, GroupRow, Side, Tree};
use crate::matrix::{Cell, Matrix, Outcome, Probe};
use crate::service;

/// A set of addresses: ranges of one family each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Every address of both families.
    Any,
    /// First and last address of each range, both in it, of the same family.
    Ranges(Vec<(IpAddr, IpAddr)>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Clients.
    pub from: Addresses,
    /// Servers.
    pub to: Addresses,
    /// The IP protocol (ICMPv6 counts as 1); absent: any.
    pub protocol: Option<u8>,
    /// The server's ports.
    pub ports: RangeInclusive<u16>,
    /// What becomes of what matches.
    pub outcome: Outcome,
}

/// Rules of which the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// In order.
    pub rules: Vec<Rule>,
    /// What becomes of what no rule matches.
    pub otherwise: Outcome,
}

/// A conversation that two forms judge differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The conversation.
    pub probe: Probe,
    /// What the first form says.
    pub one: Outcome,
    /// What the second form says.
    pub other: Outcome,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Probe {
            client,
            server,
            transport,
            port,
        } = self.probe;
        write!(
            f,
            "{client} → {server} {transport}/{port}: {:?} against {:?}",
            self.one, self.other
        )
    }
}

/// Most differences that are given back; there may be more.
pub const DIFFERENCES_MAX: usize = 16;

/// Addresses as numbers: IPv4 below, IPv6 above 2^32 is not enough, so the family comes first.
type Point = (bool, u128);

fn point(address: IpAddr) -> Point {
    match address {
        IpAddr::V4(a) => (false, u128::from(a.to_bits())),
        IpAddr::V6(a) => (true, a.to_bits()),
    }
}

fn address((six, bits): Point) -> IpAddr {
    if six {
        IpAddr::V6(bits.into())
    } else {
        IpAddr::V4((u32::try_from(bits).unwrap_or(u32::MAX)).into())
    }
}

const fn last_of(six: bool) -> u128 {
    if six { u128::MAX } else { u32::MAX as u128 }
}

/// Which rules of both sets match an address on one side, as a set of places.
type Signature = Vec<u32>;

/// One address for each class that the rules tell apart, with the rules that match it.
fn classes(sides: &[&Addresses]) -> Vec<(IpAddr, Signature)> {
    let mut events: BTreeMap<Point, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
    let mut always: Vec<u32> = Vec::new();
    for (n, side) in sides.iter().enumerate() {
        let n = n as u32;
        match side {
            Addresses::Any => always.push(n),
            Addresses::Ranges(ranges) => {
                for (first, last) in merged(ranges) {
                    events.entry(first).or_default().0.push(n);
                    if last.1 < last_of(last.0) {
                        events.entry((last.0, last.1 + 1)).or_default().1.push(n);
                    }
                }
            }
        }
    }
    for six in [false, true] {
        events.entry((six, 0)).or_default();
    }
    let mut seen: HashMap<Signature, ()> = HashMap::new();
    let mut out = Vec::new();
    let mut on: BTreeSet<u32> = BTreeSet::new();
    let mut family = false;
    for (at, (begins, ends)) in events {
        if at.0 != family {
            // What reaches the last IPv4 address ends there.
            on.clear();
            family = at.0;
        }
        for n in ends {
            on.remove(&n);
        }
        on.extend(begins);
        let mut signature: Signature = on.iter().copied().collect();
        signature.extend(&always);
        signature.sort_unstable();
        if seen.insert(signature.clone(), ()).is_none() {
            out.push((address(at), signature));
        }
    }
    out
}

/// Ranges in order and apart.
fn merged(ranges: &[(IpAddr, IpAddr)]) -> Vec<(Point, Point)> {
    let mut points: Vec<(Point, Point)> = ranges
        .iter()
        .map(|(a, b)| (point(*a), point(*b)))
        .filter(|(a, b)| a <= b && a.0 == b.0)
        .collect();
    points.sort_unstable();
    let mut out: Vec<(Point, Point)> = Vec::with_capacity(points.len());
    for (first, last) in points {
        match out.last_mut() {
            Some(before) if before.1.0 == first.0 && first.1 <= before.1.1.saturating_add(1) => {
                before.1 = before.1.max(last);
            }
            Some(_) | None => out.push((first, last)),
        }
    }
    out
}

/// Compares two rulesets: nothing comes back if and only if they judge every conversation alike, else some on which they
/// differ.
pub fn compare(one: &Ruleset, other: &Ruleset) -> Vec<Difference> {
    let split = one.rules.len();
    let rules: Vec<&Rule> = one.rules.iter().chain(&other.rules).collect();
    let froms = classes(&rules.iter().map(|r| &r.from).collect::<Vec<_>>());
    let tos = classes(&rules.iter().map(|r| &r.to).collect::<Vec<_>>());
    let protocols: BTreeSet<u8> = rules.iter().filter_map(|r| r.protocol).collect();
    // One protocol that no rule names stands for all such.
    let unnamed = (0..=u8::MAX).find(|p| !protocols.contains(p) && *p != 58);
    let mut differences = Vec::new();
    for (client, from_rules) in &froms {
        for (server, to_rules) in &tos {
            let both: Vec<u32> = intersect(from_rules, to_rules);
            for protocol in protocols.iter().copied().chain(unnamed) {
                let live: Vec<(usize, &Rule)> = both
                    .iter()
                    .filter_map(|n| rules.get(*n as usize).map(|r| (*n as usize, *r)))
                    .filter(|(_, r)| {
                        r.protocol.is_none_or(|p| p == protocol) && !r.ports.is_empty()
                    })
                    .collect();
                let mut cuts: BTreeSet<u16> = BTreeSet::from([0]);
                for (_, rule) in &live {
                    cuts.insert(*rule.ports.start());
                    if let Some(after) = rule.ports.end().checked_add(1) {
                        cuts.insert(after);
                    }
                }
                for port in cuts {
                    let first = |range: std::ops::Range<usize>, otherwise: Outcome| {
                        live.iter()
                            .find(|(n, r)| range.contains(n) && r.ports.contains(&port))
                            .map_or(otherwise, |(_, r)| r.outcome)
                    };
                    let says = first(0..split, one.otherwise);
                    let answers = first(split..rules.len(), other.otherwise);
                    if says != answers {
                        differences.push(Difference {
                            probe: Probe {
                                client: *client,
                                server: *server,
                                transport: service::transport(protocol),
                                port,
                            },
                            one: says,
                            other: answers,
                        });
                        if differences.len() >= DIFFERENCES_MAX {
                            return differences;
                        }
                    }
                }
            }
        }
    }
    differences
}

fn intersect(one: &[u32], other: &[u32]) -> Vec<u32> {
    let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
    let mut out = Vec::new();
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => {
                a.next();
            }
            std::cmp::Ordering::Greater => {
                b.next();
            }
            std::cmp::Ordering::Equal => {
                out.push(**x);
                a.next();
                b.next();
            }
        }
    }
    out
}

impl Ruleset {
    /// What becomes of a conversation.
    pub fn judges(&self, probe: &Probe) -> Outcome {
        let protocol = service::protocol(probe.transport);
        let within = |side: &Addresses, address: IpAddr| match side {
            Addresses::Any => true,
            Addresses::Ranges(ranges) => ranges.iter().any(|(first, last)| {
                (point(*first)..=point(*last)).contains(&point(address))
                    && first.is_ipv4() == address.is_ipv4()
            }),
        };
        self.rules
            .iter()
            .find(|r| {
                r.protocol.is_none_or(|p| p == protocol)
                    && r.ports.contains(&probe.port)
                    && within(&r.from, probe.client)
                    && within(&r.to, probe.server)
            })
            .map_or(self.otherwise, |r| r.outcome)
    }
}

impl Matrix {
    /// The matrix as a ruleset: what its cells permit, then what becomes of the rest of each.
    pub fn ruleset(&self) -> Ruleset {
        let sides = self.sides();
        let mut rules = Vec::new();
        for cell in &self.cells {
            let (Some(from), Some(to)) = (
                sides.get(usize::from(cell.from.0)),
                sides.get(usize::from(cell.to.0)),
            ) else {
                continue;
            };
            let mut push = |protocol, ports, outcome| {
                rules.push(Rule {
                    from: Addresses::Ranges(from.clone()),
                    to: Addresses::Ranges(to.clone()),
                    protocol,
                    ports,
                    outcome,
                });
            };
            for s in &cell.services {
                push(
                    Some(service::protocol(s.transport)),
                    s.ports.clone(),
                    Outcome::Permit,
                );
            }
            push(None, 0..=u16::MAX, rest(cell.mode));
        }
        Ruleset {
            rules,
            otherwise: rest(self.default_mode),
        }
    }

    /// The addresses of each group, apart from each other, the unknown group holding all others.
    fn sides(&self) -> Vec<Vec<(IpAddr, IpAddr)>> {
        let mut cuts: BTreeSet<Point> = BTreeSet::from([(false, 0), (true, 0)]);
        let mut cut = |first: IpAddr, last: IpAddr| {
            cuts.insert(point(first));
            let (six, bits) = point(last);
            if bits < last_of(six) {
                cuts.insert((six, bits + 1));
            }
        };
        for group in &self.groups {
            for a in &group.addresses {
                cut(*a, *a);
            }
            for p in &group.prefixes {
                cut(p.address(), p.last());
            }
        }
        let directory = self.directory();
        let mut sides: Vec<Vec<(IpAddr, IpAddr)>> = vec![Vec::new(); self.groups.len().max(1)];
        let cuts: Vec<Point> = cuts.into_iter().collect();
        for (n, at) in cuts.iter().enumerate() {
            let end = match cuts.get(n + 1) {
                Some(next) if next.0 == at.0 => (at.0, next.1 - 1),
                Some(_) | None => (at.0, last_of(at.0)),
            };
            let group = directory.group_of(address(*at));
            if let Some(side) = sides.get_mut(usize::from(group.0)) {
                side.push((address(*at), address(end)));
            }
        }
        sides
    }
}

const fn rest(mode: crate::matrix::Mode) -> Outcome {
    match mode {
        crate::matrix::Mode::Observe => Outcome::WouldDrop,
        crate::matrix::Mode::Enforce => Outcome::Drop,
    }
}

/// A pair of groups and a service on which Cedar and the matrix differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDifference {
    /// The client's group.
    pub from: String,
    /// The server's group.
    pub to: String,
    /// The service: `tcp/104`.
    pub service: String,
    /// Whether Cedar permits it.
    pub cedar: bool,
    /// Whether the matrix does.
    pub matrix: bool,
}

/// Asks Cedar about every pair of groups and every interval of ports that its policies tell apart, and compares with the
/// matrix. Nothing comes back if and only if both permit the same; at most [`DIFFERENCES_MAX`] differences.
///
/// # Errors
/// When the policy does not read.
pub fn against_cedar(
    policy: &str,
    groups: &[GroupRow],
    devices: &[DeviceRow],
    matrix: &Matrix,
) -> Result<Vec<PolicyDifference>, CompileError> {
    let clauses = cedar::clauses(policy)?;
    let tree = Tree::of(groups)?;
    let of_device: HashMap<smol_str::SmolStr, &str> = devices
        .iter()
        .map(|d| (d.entity(), d.group.as_str()))
        .collect();
    // Every group that a device of this group of the matrix is in.
    let line = |entity: &str| -> Vec<String> {
        let mut line: Vec<String> = Vec::new();
        let group = match of_device.get(entity) {
            Some(group) => {
                line.push(entity.to_owned());
                group
            }
            None => entity,
        };
        line.extend(tree.line(group).iter().map(|g| (*g).to_owned()));
        // Whoever is in no group may what everyone may.
        if entity == crate::groups::UNKNOWN && line.is_empty() {
            line = vec![entity.to_owned(), crate::groups::EVERYONE.to_owned()];
        }
        line
    };
    let lines: Vec<Vec<String>> = matrix.groups.iter().map(|g| line(&g.entity)).collect();
    let mut by_scope: HashMap<(Option<&str>, Option<&str>), Vec<&Clause>> = HashMap::new();
    for clause in &clauses {
        by_scope
            .entry((scope(&clause.from), scope(&clause.to)))
            .or_default()
            .push(clause);
    }
    let mut out = Vec::new();
    for (from, from_line) in matrix.groups.iter().zip(&lines) {
        for (to, to_line) in matrix.groups.iter().zip(&lines) {
            let mut live: Vec<&Clause> = Vec::new();
            for f in from_line.iter().map(|s| Some(s.as_str())).chain([None]) {
                for t in to_line.iter().map(|s| Some(s.as_str())).chain([None]) {
                    live.extend(by_scope.get(&(f, t)).into_iter().flatten());
                }
            }
            if live.is_empty() {
                // No scope matches: Cedar denies. The matrix must permit nothing either.
                if let Some(cell) = matrix.cell(from.id, to.id)
                    && let Some(s) = cell.services.first()
                {
                    out.push(PolicyDifference {
                        from: from.name.clone(),
                        to: to.name.clone(),
                        service: s.name.to_string(),
                        cedar: false,
                        matrix: true,
                    });
                }
                continue;
            }
            let question = Question::new(&live, from_line, to_line)?;
            let mut named: BTreeSet<u8> = BTreeSet::new();
            for clause in &live {
                constants(&clause.json, &mut BTreeSet::new(), &mut named);
            }
            let unnamed = (0..=u8::MAX)
                .find(|p| !named.contains(p) && service::protocol(service::transport(*p)) == *p)
                .unwrap_or(u8::MAX);
            let mut answers: HashMap<(u8, u16), bool> = HashMap::new();
            for (protocol, port) in points(&live, matrix.cell(from.id, to.id)) {
                let transport = service::transport(protocol);
                // Protocols that no constant names are all alike to Cedar: one is asked for all.
                let asked = if named.contains(&protocol) {
                    protocol
                } else {
                    unnamed
                };
                let says = match answers.get(&(asked, port)) {
                    Some(says) => *says,
                    None => {
                        let says = question.ask(&service::transport(asked).to_string(), port)?;
                        answers.insert((asked, port), says);
                        says
                    }
                };
                let holds = matrix
                    .judges_between(from.id, to.id, transport, port)
                    .outcome
                    == Outcome::Permit;
                if says != holds {
                    out.push(PolicyDifference {
                        from: from.name.clone(),
                        to: to.name.clone(),
                        service: format!("{transport}/{port}"),
                        cedar: says,
                        matrix: holds,
                    });
                }
            }
            if out.len() >= DIFFERENCES_MAX {
                out.truncate(DIFFERENCES_MAX);
                return Ok(out);
            }
        }
    }
    Ok(out)
}

fn scope(side: &Side) -> Option<&str> {
    match side {
        Side::Anybody => None,
        Side::Group(name) => Some(name.as_str()),
    }
}

/// A port from each interval that constants of the policies or edges of the cell tell apart, for each protocol that either
/// names and one that neither does.
fn points(clauses: &[&Clause], cell: Option<&Cell>) -> Vec<(u8, u16)> {
    let mut ports: BTreeSet<u16> = BTreeSet::from([0, u16::MAX]);
    let mut protocols: BTreeSet<u8> = BTreeSet::new();
    for clause in clauses {
        constants(&clause.json, &mut ports, &mut protocols);
    }
    for offered in cell.iter().flat_map(|c| &c.services) {
        protocols.insert(service::protocol(offered.transport));
        let (first, last) = (*offered.ports.start(), *offered.ports.end());
        ports.extend([first.saturating_sub(1), first, last, last.saturating_add(1)]);
    }
    let other = (0..=u8::MAX)
        .find(|p| !protocols.contains(p) && service::protocol(service::transport(*p)) == *p);
    protocols.extend(other);
    protocols
        .into_iter()
        .flat_map(|protocol| ports.iter().map(move |port| (protocol, *port)))
        .collect()
}

fn constants(json: &Value, ports: &mut BTreeSet<u16>, protocols: &mut BTreeSet<u8>) {
    match json {
        Value::Number(n) => {
            if let Some(n) = n.as_i64() {
                for near in [n.saturating_sub(1), n, n.saturating_add(1)] {
                    ports.extend(u16::try_from(near).ok());
                }
            }
        }
        Value::String(text) => protocols.extend(
            service::read_transport(text)
                .filter(|t| t.to_string() == *text)
                .map(service::protocol),
        ),
        Value::Array(list) => list.iter().for_each(|v| constants(v, ports, protocols)),
        Value::Object(map) => map.values().for_each(|v| constants(v, ports, protocols)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The policies that concern a pair of groups, ready to be asked.
struct Question {
    set: PolicySet,
    groups: Vec<Value>,
    authorizer: Authorizer,
    from: Vec<String>,
    to: Vec<String>,
}

impl Question {
    fn new(live: &[&Clause], from: &[String], to: &[String]) -> Result<Self, CompileError> {
        let invalid = |e: String| CompileError::Invalid(e);
        let mut set = PolicySet::new();
        for clause in live {
            let policy =
                Policy::from_json(Some(PolicyId::new(clause.id.as_str())), clause.json.clone())
                    .map_err(|e| invalid(e.to_string()))?;
            set.add(policy).map_err(|e| invalid(e.to_string()))?;
        }
        let names: BTreeSet<&String> = from.iter().chain(to).collect();
        let groups = names
            .into_iter()
            .map(|name| {
                json!({"uid": {"type": "NetworkGroup", "id": name}, "attrs": {}, "parents": []})
            })
            .collect();
        Ok(Self {
            set,
            groups,
            authorizer: Authorizer::new(),
            from: from.to_vec(),
            to: to.to_vec(),
        })
    }

    fn ask(&self, protocol: &str, port: u16) -> Result<bool, CompileError> {
        let invalid = |e: String| CompileError::Invalid(e);
        let parents = |line: &[String]| -> Vec<Value> {
            line.iter()
                .map(|name| json!({"type": "NetworkGroup", "id": name}))
                .collect()
        };
        let mut entities = self.groups.clone();
        entities.push(json!({
            "uid": {"type": "NetworkDevice", "id": "client"},
            "attrs": {}, "parents": parents(&self.from),
        }));
        entities.push(json!({
            "uid": {"type": "NetworkService", "id": "service"},
            "attrs": {"protocol": protocol, "port": port}, "parents": parents(&self.to),
        }));
        let entities = Entities::from_json_value(Value::Array(entities), None)
            .map_err(|e| invalid(e.to_string()))?;
        let uid = |text: &str| EntityUid::from_str(text).map_err(|e| invalid(e.to_string()));
        let request = Request::new(
            uid("NetworkDevice::\"client\"")?,
            uid("Action::\"net:connect\"")?,
            uid("NetworkService::\"service\"")?,
            Context::empty(),
            None,
        )
        .map_err(|e| invalid(e.to_string()))?;
        let response = self
            .authorizer
            .is_authorized(&request, &self.set, &entities);
        Ok(response.decision() == Decision::Allow)
    }
}

#[cfg(test)]
mod tests;
