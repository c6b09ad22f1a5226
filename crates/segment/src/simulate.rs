//! How far an attack gets from one device, now and under a plan: numbers and a picture.
//!
//! A simulation says what the *network* lets through. It assumes the worst of everything else: whatever can be reached over
//! a service that the attack uses, falls.

mod picture;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use domain::{Criticality, DeviceId, Transport};

use crate::cedar::CompileError;
use crate::groups::OUTSIDE;
use crate::matrix::Service;
use crate::plan::Plan;
use crate::reach::Network;
use crate::service;
use crate::world::World;

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// Spreads over every service that is known for it (file shares, remote desktops, remote execution) to whatever offers one
    /// or is a computer; encrypts what it reaches.
    Ransomware,
    /// Spreads by itself over one service to everything that offers it or is not known not to.
    Worm {
        /// Transport of the service.
        transport: Transport,
        /// Its port.
        port: u16,
    },
    /// A person with a stolen laptop tries every service that it may open, and from there once more.
    StolenLaptop,
}

impl Attack {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ransomware => "ransomware",
            Self::Worm { .. } => "worm",
            Self::StolenLaptop => "stolen laptop",
        }
    }

    /// How many hops it goes; a worm goes on.
    const fn hops(&self) -> u32 {
        match self {
            Self::Ransomware | Self::Worm { .. } => 16,
            Self::StolenLaptop => 2,
        }
    }

    fn uses(&self, offered: &Service) -> bool {
        match self {
            Self::Ransomware => service::spreading(offered.transport, &offered.ports),
            Self::Worm { transport, port } => {
                offered.transport == *transport && offered.ports.contains(port)
            }
            Self::StolenLaptop => true,
        }
    }
}

/// Computers: what ransomware runs on, and modalities and stations that are computers inside.
const COMPUTERS: &[&str] = &[
    "workstation",
    "laptop",
    "server",
    "computer",
    "thin_client",
    "domain_controller",
    "print_server",
    "database_server",
    "ehr_server",
    "pacs",
    "imaging_workstation",
    "lab_system",
    "integration_engine",
    "infusion_server",
    "central_monitor",
    "pharmacy_cabinet",
    "ct_scanner",
    "mri_scanner",
    "xray_system",
    "ultrasound_system",
    "storage",
    "video_recorder",
    "worklist_server",
];

/// Why a simulation was refused.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The plan's policy does not compile.
    #[error(transparent)]
    Policy(#[from] CompileError),
    /// The device is not in the plan.
    #[error(
        "the plan knows no device `{0}`: give an identifier, a name or an address of the inventory"
    )]
    NoSuchDevice(String),
}

/// How far it got.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reached {
    /// Devices that fell, the first not counted.
    pub devices: u32,
    /// Life-critical devices among them.
    pub life_critical: u32,
    /// By hop: how many fell at it.
    pub by_hop: BTreeMap<u32, u32>,
    /// By class, the first segment of the group's identifier: how many fell.
    pub by_class: BTreeMap<String, u32>,
}

/// A simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Simulation {
    /// The attack.
    pub attack: &'static str,
    /// From which device.
    pub from: String,
    /// Devices of the hospital that the attack could harm at all, the first not counted.
    pub exposed: u32,
    /// On a flat network.
    pub before: Reached,
    /// With the plan enforced everywhere.
    pub after: Reached,
    /// With the plan as it stands: pairs of groups that are only observed let everything through.
    pub as_it_stands: Reached,
    #[serde(skip)]
    names: BTreeMap<String, (String, Criticality)>,
}

impl Simulation {
    /// Simulates an attack from a device of the plan.
    ///
    /// # Errors
    /// When the plan does not compile or does not know the device.
    pub fn of(
        plan: &Plan,
        world: &World,
        attack: Attack,
        from: &str,
    ) -> Result<Self, SimulationError> {
        let matrix = plan.matrix()?;
        let network = Network::of(plan, &matrix);
        let missing = || SimulationError::NoSuchDevice(from.to_owned());
        let start = world
            .find_by_text(from)
            .and_then(|n| world.host(n))
            .and_then(|h| network.find(&h.id))
            .or_else(|| network.find(&DeviceId::new(from)))
            .ok_or_else(missing)?;
        let falls = exposed(plan, world, attack);
        let within = |at: Vec<Option<u32>>| reached(plan, start, &at);
        let after = network.spread(
            start,
            attack.hops(),
            |s| attack.uses(s),
            |n| falls.get(n).copied().unwrap_or(false),
        );
        let now = network.spread_now(
            start,
            attack.hops(),
            |s| attack.uses(s),
            |n| falls.get(n).copied().unwrap_or(false),
        );
        // On a flat network everything that can fall is one hop away.
        let flat: Vec<Option<u32>> = falls
            .iter()
            .enumerate()
            .map(|(n, falls)| match (n == start, falls) {
                (true, _) => Some(0),
                (false, true) => Some(1),
                (false, false) => None,
            })
            .collect();
        let mut names = BTreeMap::new();
        for group in plan.groups.iter().filter(|g| !g.entity.contains('/')) {
            names.insert(
                group.entity.to_string(),
                (group.name.clone(), group.criticality),
            );
        }
        let first = plan.devices.get(start).ok_or_else(missing)?;
        Ok(Self {
            attack: attack.name(),
            from: first.name.to_string(),
            exposed: falls
                .iter()
                .enumerate()
                .filter(|(n, falls)| **falls && *n != start)
                .count() as u32,
            before: within(flat),
            after: within(after),
            as_it_stands: within(now),
            names,
        })
    }

    /// The picture, as a self-contained SVG.
    pub fn svg(&self) -> String {
        picture::draw(self)
    }
}

/// Which devices of the plan the attack harms if it reaches them.
fn exposed(plan: &Plan, world: &World, attack: Attack) -> Vec<bool> {
    let mut offers: HashSet<DeviceId> = HashSet::new();
    for (key, _) in world.talks() {
        let uses = match attack {
            Attack::Ransomware => service::spreads(key.transport, key.port),
            Attack::Worm { transport, port } => key.transport == transport && key.port == port,
            Attack::StolenLaptop => true,
        };
        if uses && let Some(host) = world.host(key.server) {
            offers.insert(host.id.clone());
        }
    }
    plan.devices
        .iter()
        .map(|device| {
            if device.group == OUTSIDE {
                return false;
            }
            let host = world.find(&device.id).and_then(|n| world.host(n));
            let kind = host.and_then(|h| h.kind.as_deref());
            let computer = kind.is_none_or(|k| COMPUTERS.contains(&k));
            match attack {
                Attack::Ransomware | Attack::Worm { .. } => computer || offers.contains(&device.id),
                Attack::StolenLaptop => true,
            }
        })
        .collect()
}

fn reached(plan: &Plan, start: usize, at: &[Option<u32>]) -> Reached {
    let mut out = Reached::default();
    for (device, hop) in plan
        .devices
        .iter()
        .zip(at)
        .enumerate()
        .filter_map(|(n, (d, hop))| {
            (n != start).then_some(())?;
            hop.map(|hop| (d, hop))
        })
    {
        out.devices += 1;
        out.life_critical += u32::from(device.criticality == Criticality::LifeCritical);
        *out.by_hop.entry(hop).or_default() += 1;
        let class = device.group.split('/').next().unwrap_or_default();
        *out.by_class.entry(class.to_owned()).or_default() += 1;
    }
    out
}
