//! A plan: a proposal written down, with the policy in Cedar, the evidence for each rule, and the snapshot it was made for.
//!
//! The file is JSON, `"format": "asepsis-segmentation-plan"`, `"version": 1`. Its truth is `policy`, Cedar text that people
//! may edit; `rules` says why each policy is there. `snapshot` is the digest ([`crate::world::World::digest`]) of the
//! devices and conversations it was made from, and a plan is refused for any other.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::{DeviceId, Timestamp};

use crate::cedar::{self, CompileError, DeviceRow, Enforced, GroupRow};
use crate::groups::{Basis, Groups};
use crate::matrix::{Matrix, Service};
use crate::propose::{Cause, Options, Origin, Proposal};
use crate::world::World;

pub use evidence::{Evidence, Example};

/// What the file says it is.
pub const FORMAT: &str = "asepsis-segmentation-plan";
/// The version that this program writes and reads.
pub const VERSION: u32 = 1;
/// Most octets of a plan.
pub const PLAN_MAX: usize = 1 << 30;

/// A rule of a plan: the Cedar policy with the same id, and why it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The id of its policy.
    pub id: String,
    /// Who opens: a Cedar group.
    pub from: SmolStr,
    /// Who is asked: a Cedar group.
    pub to: SmolStr,
    /// In hospital words.
    pub says: String,
    /// What was proposed.
    pub services: Vec<Service>,
    /// How it came to be; the widest origin of its services.
    pub origin: Origin,
    /// The conversations that justify it.
    pub evidence: Evidence,
    /// Who knows whether it is right.
    pub confirm: String,
    /// Whether it concerns a life-critical device.
    pub life_critical: bool,
}

/// A client that seems to have scanned, as a plan keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspectRow {
    /// Who.
    pub client: DeviceId,
    /// What people call it.
    pub name: SmolStr,
    /// Which service.
    pub service: SmolStr,
    /// How many servers it asked once.
    pub servers: u32,
    /// When.
    pub day: Timestamp,
    /// Whether its conversations stay permitted.
    pub kept: bool,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// SHA-256, in hex, of the snapshot that it was made for.
    pub snapshot: String,
    /// What it aimed at.
    pub options: Options,
    /// Its groups, parents first.
    pub groups: Vec<GroupRow>,
    /// Its devices.
    pub devices: Vec<DeviceRow>,
    /// Cedar text.
    pub policy: String,
    /// Why each policy is there.
    pub rules: Vec<Rule>,
    /// Pairs of groups that are enforced; all others are observed.
    pub enforced: Vec<Enforced>,
    /// Clients that seem to have scanned.
    pub suspects: Vec<SuspectRow>,
    /// Devices that behave unlike their class.
    pub departing: Vec<SmolStr>,
    /// What was new in past periods, by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Held-out estimate of the share of the next period's conversations that are permitted.
    pub expected_coverage: Option<f64>,
    /// Tuples permitted for each that was seen.
    pub over_permission: f64,
}

/// Why a plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is no plan.
    #[error("this is not a segmentation plan: {0}")]
    NotAPlan(String),
    /// It is too large.
    #[error("the plan is larger than {PLAN_MAX} octets")]
    TooLarge,
    /// It is of another version.
    #[error("the plan is of version {found}; this program reads version {VERSION}: propose again")]
    Version {
        /// Its version.
        found: u64,
    },
    /// It was made for another snapshot.
    #[error(
        "the plan was made on {made} for another snapshot of devices and conversations ({found}…, now {now}…): propose again and look at the difference"
    )]
    OtherSnapshot {
        /// When it was made.
        made: Timestamp,
        /// The first digits of its snapshot's digest.
        found: String,
        /// The first digits of the present one's.
        now: String,
    },
    /// Its policy does not compile.
    #[error(transparent)]
    Policy(#[from] CompileError),
}

/// A figure with six digits after the point, which reads back as it was written.
fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

/// Digits of a digest.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

impl Plan {
    /// Writes a proposal down. Rules of `before` that permit a life-critical device more stay, since taking them away needs
    /// a person's yes.
    pub fn of(
        world: &World,
        groups: &Groups,
        proposal: &Proposal,
        options: &Options,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let group_rows: Vec<GroupRow> = groups
            .nodes()
            .map(|(_, node)| GroupRow {
                entity: node.entity.clone(),
                name: node.name.clone(),
                parent: node
                    .parent
                    .and_then(|p| groups.get(p))
                    .map(|p| p.entity.clone()),
                basis: node.basis,
                criticality: node.criticality,
                devices: node.size,
                prefixes: Vec::new(),
            })
            .collect();
        let devices: Vec<DeviceRow> = world
            .hosts()
            .iter()
            .enumerate()
            .map(|(number, host)| DeviceRow {
                id: host.id.clone(),
                name: host.name.clone(),
                group: groups
                    .of_host(number as u32)
                    .and_then(|g| groups.get(g))
                    .map_or_else(SmolStr::default, |g| g.entity.clone()),
                criticality: if host.is_life_critical() {
                    domain::Criticality::LifeCritical
                } else {
                    host.criticality
                },
                addresses: host.addresses.clone(),
                macs: host.macs.clone(),
            })
            .collect();
        let mut rules = evidence::rules(world, groups, proposal);
        if let Some(before) = before {
            keep(&mut rules, before, &group_rows, &devices);
        }
        let policy = text(&rules);
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            made: now,
            snapshot: hex(&world.digest()),
            options: *options,
            groups: group_rows,
            devices,
            policy,
            rules,
            enforced: before.map(|b| b.enforced.clone()).unwrap_or_default(),
            suspects: proposal
                .suspects
                .iter()
                .filter_map(|s| {
                    let host = world.host(s.client)?;
                    Some(SuspectRow {
                        client: host.id.clone(),
                        name: host.name.clone(),
                        service: crate::service::name(s.transport, &(s.port..=s.port)),
                        servers: s.servers,
                        day: Timestamp::from_millis(s.day * 86_400_000),
                        kept: s.kept,
                    })
                })
                .collect(),
            departing: groups
                .nodes()
                .filter(|(_, n)| n.basis == Basis::Departs)
                .map(|(_, n)| n.name.as_str().into())
                .collect(),
            causes: proposal.causes.clone(),
            expected_coverage: proposal.expected_coverage.map(rounded),
            over_permission: rounded(proposal.over_permission()),
        }
    }

    /// Its text.
    pub fn to_json(&self) -> String {
        // Plain data with text keys always serialises.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads a plan, whatever snapshot it is for.
    ///
    /// # Errors
    /// When it is no plan, or one of another version.
    pub fn read(text: &str) -> Result<Self, PlanError> {
        if text.len() > PLAN_MAX {
            return Err(PlanError::TooLarge);
        }
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u64,
        }
        let head: Head =
            serde_json::from_str(text).map_err(|e| PlanError::NotAPlan(e.to_string()))?;
        if head.format != FORMAT {
            return Err(PlanError::NotAPlan(format!(
                "its format is `{}`",
                head.format
            )));
        }
        if head.version != u64::from(VERSION) {
            return Err(PlanError::Version {
                found: head.version,
            });
        }
        serde_json::from_str(text).map_err(|e| PlanError::NotAPlan(e.to_string()))
    }

    /// Reads a plan for a snapshot.
    ///
    /// # Errors
    /// When it is no plan or was made for another snapshot.
    pub fn open(text: &str, snapshot: &[u8; 32]) -> Result<Self, PlanError> {
        let plan = Self::read(text)?;
        plan.made_for(snapshot)?;
        Ok(plan)
    }

    /// Checks that it was made for a snapshot.
    ///
    /// # Errors
    /// When it was not.
    pub fn made_for(&self, snapshot: &[u8; 32]) -> Result<(), PlanError> {
        let now = hex(snapshot);
        if self.snapshot == now {
            return Ok(());
        }
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        Err(PlanError::OtherSnapshot {
            made: self.made,
            found: short(&self.snapshot),
            now: short(&now),
        })
    }

    /// Compiles its policy.
    ///
    /// # Errors
    /// When the policy does not compile.
    pub fn matrix(&self) -> Result<Matrix, CompileError> {
        let mut snapshot = [0_u8; 32];
        for (n, byte) in snapshot.iter_mut().enumerate() {
            let digits = self.snapshot.get(2 * n..2 * n + 2).unwrap_or("00");
            *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
        }
        cedar::compile(
            &self.policy,
            &self.groups,
            &self.devices,
            &self.enforced,
            &snapshot,
        )
    }

    /// What changes from this plan to a later one.
    pub fn diff(&self, later: &Self) -> Difference {
        Difference::between(self, later)
    }
}

/// The Cedar text of rules.
fn text(rules: &[Rule]) -> String {
    let mut text = String::from(
        "// Segmentation policy: who may open which service to whom. What no policy permits is observed or dropped, as the\n\
         // plan says for each pair of groups.\n",
    );
    for rule in rules {
        text.push('\n');
        let e = &rule.evidence;
        let day = |at: Timestamp| at.to_string().chars().take(10).collect::<String>();
        let comment = format!(
            "{} conversations of {} clients with {} servers, from {} to {}. To confirm: {}.",
            e.conversations,
            e.clients,
            e.servers,
            day(e.first),
            day(e.last),
            rule.confirm
        );
        text.push_str(&cedar::policy_text(
            &rule.id,
            &rule.says,
            &comment,
            &rule.from,
            &rule.to,
            &rule.services,
        ));
    }
    text
}

/// Adds what the plan before permitted to life-critical devices and this one would not.
fn keep(rules: &mut Vec<Rule>, before: &Plan, groups: &[GroupRow], devices: &[DeviceRow]) {
    let there: BTreeSet<SmolStr> = groups
        .iter()
        .map(|g| g.entity.clone())
        .chain(devices.iter().map(DeviceRow::entity))
        .collect();
    let now: BTreeMap<(SmolStr, SmolStr), usize> = rules
        .iter()
        .enumerate()
        .map(|(n, r)| ((r.from.clone(), r.to.clone()), n))
        .collect();
    for old in before.rules.iter().filter(|r| r.life_critical) {
        if !there.contains(&old.from) || !there.contains(&old.to) {
            continue;
        }
        let set = |services: &[Service]| {
            let mut set = crate::ports::PortSet::new();
            for s in services {
                set.insert(s.transport, &s.ports);
            }
            set
        };
        match now.get(&(old.from.clone(), old.to.clone())) {
            Some(&n) => {
                if let Some(rule) = rules.get_mut(n) {
                    let both = set(&rule.services).union(&set(&old.services));
                    if both != set(&rule.services) {
                        rule.services = cedar::services(&both);
                        rule.origin = Origin::Kept;
                    }
                }
            }
            None => rules.push(Rule {
                origin: Origin::Kept,
                ..old.clone()
            }),
        }
    }
}

/// What changes between two plans, in the order in which a person wants to know it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Permissions that end.
    pub taken: Vec<Change>,
    /// Permissions that begin.
    pub given: Vec<Change>,
    /// Groups that are new.
    pub groups_new: Vec<String>,
    /// Groups that are gone.
    pub groups_gone: Vec<String>,
    /// Devices that are new.
    pub devices_new: usize,
    /// Devices that are gone.
    pub devices_gone: usize,
    /// Devices that changed their group: name, from, to.
    pub moved: Vec<(SmolStr, SmolStr, SmolStr)>,
}

/// A permission that begins or ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Who opens.
    pub from: SmolStr,
    /// Who is asked.
    pub to: SmolStr,
    /// What.
    pub services: Vec<SmolStr>,
    /// In hospital words.
    pub says: String,
    /// Whether it concerns a life-critical device.
    pub life_critical: bool,
}

impl Difference {
    fn between(old: &Plan, new: &Plan) -> Self {
        let sets = |plan: &Plan| {
            let mut sets: BTreeMap<(SmolStr, SmolStr), (crate::ports::PortSet, String, bool)> =
                BTreeMap::new();
            for rule in &plan.rules {
                let entry = sets
                    .entry((rule.from.clone(), rule.to.clone()))
                    .or_insert_with(|| {
                        (
                            crate::ports::PortSet::new(),
                            rule.says.clone(),
                            rule.life_critical,
                        )
                    });
                for s in &rule.services {
                    entry.0.insert(s.transport, &s.ports);
                }
            }
            sets
        };
        let (before, after) = (sets(old), sets(new));
        let only = |one: &BTreeMap<_, (crate::ports::PortSet, String, bool)>,
                    other: &BTreeMap<(SmolStr, SmolStr), (crate::ports::PortSet, String, bool)>| {
            let mut changes: Vec<Change> = one
                .iter()
                .filter_map(|(pair, (ports, says, life_critical))| {
                    let pair: &(SmolStr, SmolStr) = pair;
                    let rest = other
                        .get(pair)
                        .map_or_else(|| ports.clone(), |(theirs, ..)| ports.minus(theirs));
                    (!rest.is_empty()).then(|| Change {
                        from: pair.0.clone(),
                        to: pair.1.clone(),
                        services: cedar::services(&rest).into_iter().map(|s| s.name).collect(),
                        says: says.clone(),
                        life_critical: *life_critical,
                    })
                })
                .collect();
            changes.sort_by_key(|c| !c.life_critical);
            changes
        };
        let names = |plan: &Plan| -> BTreeSet<String> {
            plan.groups.iter().map(|g| g.name.clone()).collect()
        };
        let (old_names, new_names) = (names(old), names(new));
        let places = |plan: &Plan| -> BTreeMap<String, (SmolStr, SmolStr)> {
            plan.devices
                .iter()
                .map(|d| (d.id.as_str().to_owned(), (d.name.clone(), d.group.clone())))
                .collect()
        };
        let (old_places, new_places) = (places(old), places(new));
        Self {
            taken: only(&before, &after),
            given: only(&after, &before),
            groups_new: new_names.difference(&old_names).cloned().collect(),
            groups_gone: old_names.difference(&new_names).cloned().collect(),
            devices_new: new_places
                .keys()
                .filter(|k| !old_places.contains_key(*k))
                .count(),
            devices_gone: old_places
                .keys()
                .filter(|k| !new_places.contains_key(*k))
                .count(),
            moved: new_places
                .iter()
                .filter_map(|(id, (name, to))| {
                    let (_, from) = old_places.get(id)?;
                    (from != to).then(|| (name.clone(), from.clone(), to.clone()))
                })
                .collect(),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As text for people, life-critical devices first.
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for (sign, list) in [("-", &self.taken), ("+", &self.given)] {
            for c in list {
                let mark = if c.life_critical {
                    " [life-critical]"
                } else {
                    ""
                };
                let _ = writeln!(
                    out,
                    "{sign} {} → {}: {}{mark}",
                    c.from,
                    c.to,
                    c.services.join(", ")
                );
            }
        }
        for (sign, list) in [("+", &self.groups_new), ("-", &self.groups_gone)] {
            for name in list {
                let _ = writeln!(out, "{sign} group {name}");
            }
        }
        for (name, from, to) in &self.moved {
            let _ = writeln!(out, "~ {name}: {from} → {to}");
        }
        if self.devices_new + self.devices_gone > 0 {
            let _ = writeln!(
                out,
                "{} devices came, {} went",
                self.devices_new, self.devices_gone
            );
        }
        if out.is_empty() {
            out.push_str("nothing changes\n");
        }
        out
    }
}
