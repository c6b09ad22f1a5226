//! What a plan would do, before anything is enforced.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;
use smol_str::SmolStr;

use domain::Timestamp;

use crate::backtest::{self, Score};
use crate::cedar::CompileError;
use crate::groups::{Basis, Groups};
use crate::matrix::{Matrix, Outcome};
use crate::plan::Plan;
use crate::reach::Network;
use crate::service;
use crate::words;
use crate::world::{Talk, World};

/// A forecast. Every share has its count beside it.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// The same method, learned without the last period and scored on it: what to expect of the next.
    pub held_out: Option<HeldOut>,
    /// Tuples permitted for each that was seen, by the plan itself.
    pub over_permission: f64,
    /// Conversations of the snapshot that the plan's policy does not permit.
    pub cut: CutNow,
    /// How far a compromised device of each class gets, now and under the plan.
    pub blast: Vec<Blast>,
    /// Rare and seasonal conversations.
    pub rare: Vec<Rare>,
    /// Devices seen for too short a time to judge, by class.
    pub too_little_history: BTreeMap<String, u32>,
    /// What each kind of enforcement point sees.
    pub enforceability: Vec<Point>,
    /// What would have to change for more to be seen.
    pub changes: Vec<SegmentChange>,
}

/// The held-out estimate.
#[derive(Clone, Debug, Serialize)]
pub struct HeldOut {
    /// Where history was cut.
    pub cut: Timestamp,
    /// How rules from before did after.
    pub score: Score,
}

/// What the plan does to the conversations it was made from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CutNow {
    /// Conversations.
    pub conversations: u64,
    /// Those that no policy permits.
    pub not_permitted: u64,
    /// Those of life-critical devices among them.
    pub life_critical: u64,
    /// Those of life-critical devices that would be dropped: pairs that somebody said yes to.
    pub life_critical_dropped: u64,
}

/// How far one compromised device gets; means over devices of the class.
#[derive(Clone, Debug, Serialize)]
pub struct Blast {
    /// The class in hospital words.
    pub class: String,
    /// Devices of it.
    pub devices: u32,
    /// How many of them were followed.
    pub followed: u32,
    /// Devices reached directly on a flat network.
    pub direct_before: f64,
    /// Devices reached directly under the plan.
    pub direct_after: f64,
    /// Devices reached within two hops under the plan.
    pub two_hops_after: f64,
    /// Devices reached within three hops under the plan.
    pub three_hops_after: f64,
}

/// How often a conversation comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// On one day only, more than a month ago.
    Once,
    /// About every month.
    Monthly,
    /// More rarely than that.
    Yearly,
}

/// Conversations of a rhythm that a short observation would have missed.
#[derive(Clone, Debug, Serialize)]
pub struct Rare {
    /// How often.
    pub rhythm: Rhythm,
    /// For which clinical service.
    pub service: SmolStr,
    /// How many.
    pub conversations: u64,
    /// How many of them the plan permits.
    pub permitted: u64,
    /// How many concern a life-critical device.
    pub life_critical: u64,
    /// One of them.
    pub example: String,
}

/// What an enforcement point sees.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Which.
    pub point: &'static str,
    /// Conversations that pass it.
    pub sees: u64,
    /// All conversations.
    pub of: u64,
    /// Those of which it is not known, because a segment is not.
    pub unknown: u64,
    /// What that means.
    pub says: &'static str,
}

/// A segment within which conversations pass no router.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentChange {
    /// The segment.
    pub segment: SmolStr,
    /// Conversations that stay within it.
    pub conversations: u64,
    /// The class to move out, and how many of them become visible.
    pub advice: String,
}

/// Devices of a class that are followed; a mean over more says no more.
const FOLLOWED: usize = 24;

impl Forecast {
    /// The forecast of a plan for the world it was made for.
    ///
    /// # Errors
    /// When its policy does not compile.
    pub fn of(plan: &Plan, world: &World) -> Result<Self, CompileError> {
        let matrix = plan.matrix()?;
        let network = Network::of(plan, &matrix);
        let held_out = backtest::cut(world, &plan.options).map(|cut| HeldOut {
            cut,
            score: backtest::backtest(world, &plan.options, cut).score,
        });
        let judged = Judged::new(world, &matrix, &network);
        let (points, changes) = enforceability(world);
        Ok(Self {
            held_out,
            over_permission: plan.over_permission,
            cut: judged.cut(),
            blast: blast(plan, &network),
            rare: judged.rare(),
            too_little_history: too_little(world, plan.options.horizon),
            enforceability: points,
            changes,
        })
    }
}

/// The conversations of a world with the matrix's judgement.
struct Judged<'a> {
    world: &'a World,
    outcomes: Vec<(crate::world::TalkKey, Talk, Outcome)>,
}

impl<'a> Judged<'a> {
    fn new(world: &'a World, matrix: &Matrix, network: &Network<'_>) -> Self {
        let place: Vec<_> = world
            .hosts()
            .iter()
            .map(|h| {
                network
                    .find(&h.id)
                    .and_then(|n| network.group_of(n))
                    .unwrap_or_default()
            })
            .collect();
        let of = |host: u32| place.get(host as usize).copied().unwrap_or_default();
        let outcomes = world
            .sorted()
            .into_iter()
            .map(|(key, talk)| {
                let port = if talk.folded { u16::MAX } else { key.port };
                let verdict =
                    matrix.judges_between(of(key.client), of(key.server), key.transport, port);
                (key, talk, verdict.outcome)
            })
            .collect();
        Self { world, outcomes }
    }

    fn vital(&self, key: &crate::world::TalkKey) -> bool {
        [key.client, key.server].into_iter().any(|h| {
            self.world
                .host(h)
                .is_some_and(crate::world::Host::is_life_critical)
        })
    }

    fn cut(&self) -> CutNow {
        let mut cut = CutNow::default();
        for (key, _, outcome) in &self.outcomes {
            cut.conversations += 1;
            if *outcome == Outcome::Permit {
                continue;
            }
            cut.not_permitted += 1;
            let vital = self.vital(key);
            cut.life_critical += u64::from(vital);
            cut.life_critical_dropped += u64::from(vital && *outcome == Outcome::Drop);
        }
        cut
    }

    fn rare(&self) -> Vec<Rare> {
        let Some((_, now)) = self.world.span() else {
            return Vec::new();
        };
        let mut rare: BTreeMap<(Rhythm, &'static str), Rare> = BTreeMap::new();
        for (key, talk, outcome) in &self.outcomes {
            let Some(rhythm) = rhythm(talk, now) else {
                continue;
            };
            let (Some(client), Some(server)) =
                (self.world.host(key.client), self.world.host(key.server))
            else {
                continue;
            };
            let service = service::clinical_service(
                client.kind.as_deref(),
                server.kind.as_deref(),
                key.transport,
                key.port,
            );
            let entry = rare.entry((rhythm, service)).or_insert_with(|| Rare {
                rhythm,
                service: SmolStr::new_static(service),
                conversations: 0,
                permitted: 0,
                life_critical: 0,
                example: format!(
                    "{} → {}, {}",
                    client.name,
                    server.name,
                    service::name(key.transport, &(key.port..=key.port))
                ),
            });
            entry.conversations += 1;
            entry.permitted += u64::from(*outcome == Outcome::Permit);
            entry.life_critical += u64::from(self.vital(key));
        }
        rare.into_values().collect()
    }
}

/// How often a conversation comes, if rarely.
fn rhythm(talk: &Talk, now: Timestamp) -> Option<Rhythm> {
    const DAY: u64 = 86_400;
    if talk.days <= 1 {
        return (now.since(talk.last).as_secs() > 30 * DAY).then_some(Rhythm::Once);
    }
    let gap = talk.last.since(talk.first).as_secs() / u64::from(talk.days - 1);
    match gap / DAY {
        0..20 => None,
        20..45 => Some(Rhythm::Monthly),
        45.. => Some(Rhythm::Yearly),
    }
}

fn blast(plan: &Plan, network: &Network<'_>) -> Vec<Blast> {
    let outside = |n: usize| {
        plan.devices
            .get(n)
            .is_some_and(|d| d.group == crate::groups::OUTSIDE)
    };
    let inside = (0..plan.devices.len()).filter(|n| !outside(*n)).count();
    let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, device) in plan.devices.iter().enumerate() {
        if outside(n) {
            continue;
        }
        let class = device.group.split('/').next().unwrap_or_default();
        classes.entry(class).or_default().push(n);
    }
    let name = |entity: &str| {
        plan.groups
            .iter()
            .find(|g| g.entity == entity)
            .map_or_else(|| words::plural(entity), |g| g.name.clone())
    };
    classes
        .into_iter()
        .map(|(class, members)| {
            let step = members.len().div_ceil(FOLLOWED).max(1);
            let followed: Vec<usize> = members.iter().copied().step_by(step).collect();
            let mut reached = [0_u64; 3];
            for &device in &followed {
                let hops = network.spread(device, 3, |_| true, |n| !outside(n));
                for hop in hops.into_iter().flatten().filter(|hop| *hop > 0) {
                    for (limit, count) in reached.iter_mut().enumerate() {
                        *count += u64::from(hop as usize <= limit + 1);
                    }
                }
            }
            let mean = |n: u64| n as f64 / followed.len().max(1) as f64;
            Blast {
                class: name(class),
                devices: members.len() as u32,
                followed: followed.len() as u32,
                direct_before: inside.saturating_sub(1) as f64,
                direct_after: mean(reached[0]),
                two_hops_after: mean(reached[1]),
                three_hops_after: mean(reached[2]),
            }
        })
        .collect()
}

/// Devices first seen less than two periods before the end, or with fewer than three conversations, by class.
fn too_little(world: &World, horizon: Duration) -> BTreeMap<String, u32> {
    let Some((_, now)) = world.span() else {
        return BTreeMap::new();
    };
    let mut first: HashMap<u32, (Timestamp, u32)> = HashMap::new();
    for (key, talk) in world.talks() {
        for host in [key.client, key.server] {
            let entry = first.entry(host).or_insert((talk.first, 0));
            entry.0 = entry.0.min(talk.first);
            entry.1 += 1;
        }
    }
    let mut out = BTreeMap::new();
    for (number, host) in world.hosts().iter().enumerate() {
        if host.outside {
            continue;
        }
        let known = first.get(&(number as u32));
        let enough =
            known.is_some_and(|(first, count)| now.since(*first) >= horizon * 2 && *count >= 3);
        if !enough {
            let class = host
                .kind
                .as_deref()
                .map_or_else(|| "Devices of unknown kind".to_owned(), words::plural);
            *out.entry(class).or_default() += 1;
        }
    }
    out
}

fn enforceability(world: &World) -> (Vec<Point>, Vec<SegmentChange>) {
    let (mut all, mut routed, mut within, mut unknown, mut edge) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut by_segment: BTreeMap<SmolStr, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for (key, _) in world.talks() {
        let (Some(client), Some(server)) = (world.host(key.client), world.host(key.server)) else {
            continue;
        };
        all += 1;
        if client.outside || server.outside {
            routed += 1;
            edge += 1;
            continue;
        }
        match (&client.segment, &server.segment) {
            (Some(a), Some(b)) if a != b => routed += 1,
            (Some(a), Some(_)) => {
                within += 1;
                let entry = by_segment.entry(a.clone()).or_default();
                entry.0 += 1;
                let (one, other) = (client.kind.as_deref(), server.kind.as_deref());
                if one != other {
                    for kind in [one, other].into_iter().flatten() {
                        *entry.1.entry(kind).or_default() += 1;
                    }
                }
            }
            _ => unknown += 1,
        }
    }
    let points = vec![
        Point {
            point: "router or gateway between segments",
            sees: routed,
            of: all,
            unknown,
            says: "conversations within one segment never pass it",
        },
        Point {
            point: "switch port or access point of the client (RADIUS, access list)",
            sees: routed + within,
            of: all,
            unknown,
            says: "sees everything that wired or wireless devices of the hospital say, if every port asks RADIUS",
        },
        Point {
            point: "internet edge",
            sees: edge,
            of: all,
            unknown: 0,
            says: "sees only what leaves the hospital or comes into it",
        },
    ];
    let mut changes: Vec<SegmentChange> = by_segment
        .into_iter()
        .map(|(segment, (conversations, kinds))| {
            let best = kinds
                .into_iter()
                .max_by_key(|(kind, count)| (*count, std::cmp::Reverse(*kind)));
            SegmentChange {
                advice: match best {
                    Some((kind, count)) => format!(
                        "give {} a segment of their own: {count} of these conversations then pass a router",
                        words::plural(kind)
                    ),
                    None => "all of them are between devices of one class: isolate ports, or enforce at the switch"
                        .to_owned(),
                },
                segment,
                conversations,
            }
        })
        .collect();
    changes.sort_by_key(|c| (std::cmp::Reverse(c.conversations), c.segment.clone()));
    changes.truncate(10);
    (points, changes)
}

/// How many groups a world has of each basis, for a first look.
pub fn bases(groups: &Groups) -> BTreeMap<Basis, u32> {
    let mut out = BTreeMap::new();
    for (_, node) in groups.nodes() {
        *out.entry(node.basis).or_default() += 1;
    }
    out
}
