//! The devices at an instant. What searching and sorting need is made when a device changes, not when somebody looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{DeviceId, DeviceProfile, Timestamp};

use crate::look;

/// Longest text that a search looks through, for one device, in octets.
const TEXT_MAX: usize = 4096;
/// What a device's category is called where it has none.
pub(crate) const NO_CATEGORY: &str = "unknown";

/// What lists of known risks say of a device, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskSummary {
    /// Known risks.
    pub known: u32,
    /// Those known to be exploited.
    pub exploited: u32,
}

/// A device as a list shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The device, without its evidence and risks: a page of one device asks for those.
    pub profile: DeviceProfile,
    /// Its known risks; absent: the lists were not asked yet.
    pub risk: Option<RiskSummary>,
    /// When it was first in a picture of this run of the program; absent: it was known before.
    pub appeared: Option<Timestamp>,
    name: String,
    order: String,
    text: String,
}

impl Listed {
    /// A device for the list.
    pub fn new(
        profile: DeviceProfile,
        risk: Option<RiskSummary>,
        appeared: Option<Timestamp>,
    ) -> Self {
        let profile = DeviceProfile {
            evidence: Vec::new(),
            risks: Vec::new(),
            ..profile
        };
        let name = called(&profile);
        Self {
            order: name.to_lowercase(),
            text: searched(&profile),
            name,
            profile,
            risk,
            appeared,
        }
    }

    /// The same device with other risks.
    pub fn with_risk(&self, risk: RiskSummary) -> Self {
        Self {
            risk: Some(risk),
            ..self.clone()
        }
    }

    /// What it is called: its first name, else its address, else its identifier.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what names are sorted.
    pub(crate) fn order(&self) -> &str {
        &self.order
    }

    /// Whether a word, in lower case, stands in what is known of it.
    pub(crate) fn holds(&self, word: &str) -> bool {
        self.text.contains(word)
    }

    /// Its category, or that it has none.
    pub(crate) fn category(&self) -> &str {
        self.profile.category.as_deref().unwrap_or(NO_CATEGORY)
    }

    /// Whether something is known to be wrong with it.
    pub(crate) fn at_risk(&self) -> bool {
        self.risk.is_some_and(|r| r.known > 0)
    }

    /// Whether attackers are known to use something that is wrong with it.
    pub(crate) fn exploited(&self) -> bool {
        self.risk.is_some_and(|r| r.exploited > 0)
    }
}

/// What a device is called. Text from the network: as it came, but for its length.
pub(crate) fn called(profile: &DeviceProfile) -> String {
    let name = profile.names.first().map(ToString::to_string);
    name.or_else(|| profile.addresses.first().map(ToString::to_string))
        .or_else(|| profile.macs.first().map(ToString::to_string))
        .unwrap_or_else(|| profile.id.as_str().to_owned())
        .chars()
        .take(look::TOLD_MAX + 1)
        .collect()
}

/// What a search looks through: each word of what is known, lines apart.
fn searched(profile: &DeviceProfile) -> String {
    let mut text = String::new();
    let mut add = |part: &str| {
        if text.len() + part.len() < TEXT_MAX {
            text.push_str(&part.to_lowercase());
            text.push('\n');
        }
    };
    // What is surest to be looked for comes first, so that a long name cannot push it out.
    profile.addresses.iter().for_each(|a| add(&a.to_string()));
    profile.macs.iter().for_each(|m| add(&m.to_string()));
    add(profile.id.as_str());
    for part in [
        &profile.vendor,
        &profile.model,
        &profile.os,
        &profile.segment,
        &profile.category,
    ] {
        add(part.as_deref().unwrap_or_default());
    }
    if let Some(kind) = &profile.kind {
        add(kind);
        add(&kind.replace('_', " "));
    }
    if let Some(unit) = &profile.unit {
        add(unit.as_str());
    }
    profile.names.iter().for_each(|n| add(n));
    text
}

/// How many devices are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Devices.
    pub all: usize,
    /// Devices of no known type.
    pub unknown: usize,
    /// Devices whose evidence contradicts itself.
    pub contradictory: usize,
    /// Devices with known risks.
    pub at_risk: usize,
    /// Devices with a risk that is known to be exploited.
    pub exploited: usize,
    /// Devices whose risks are not looked up yet.
    pub not_looked_up: usize,
}

/// The devices at an instant.
#[derive(Debug, Default)]
pub struct Picture {
    devices: Vec<Arc<Listed>>,
    totals: Totals,
    categories: BTreeMap<String, usize>,
    units: Vec<String>,
    by_name: Vec<u32>,
}

impl Picture {
    /// A picture of these devices.
    pub fn of(devices: impl IntoIterator<Item = Arc<Listed>>) -> Self {
        let mut devices: Vec<Arc<Listed>> = devices.into_iter().collect();
        // In order already where they come from an ordered map, which a sort finds out in one pass.
        devices.sort_by(|a, b| a.profile.id.cmp(&b.profile.id));
        let mut totals = Totals {
            all: devices.len(),
            ..Totals::default()
        };
        let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
        let mut units: Vec<&str> = Vec::new();
        for device in &devices {
            *categories.entry(device.category()).or_default() += 1;
            units.extend(device.profile.unit.as_ref().map(domain::UnitId::as_str));
            totals.unknown += usize::from(device.profile.kind.is_none());
            totals.contradictory += usize::from(device.profile.contradictory);
            totals.at_risk += usize::from(device.at_risk());
            totals.exploited += usize::from(device.exploited());
            totals.not_looked_up += usize::from(device.risk.is_none());
        }
        units.sort_unstable();
        units.dedup();
        let categories = categories
            .into_iter()
            .map(|(c, n)| (c.to_owned(), n))
            .collect();
        let units = units.into_iter().map(str::to_owned).collect();
        let mut by_name: Vec<u32> = (0..u32::try_from(devices.len()).unwrap_or(u32::MAX)).collect();
        // The sort is stable: what has the same name stays in the order of identifiers.
        by_name.sort_by(|a, b| {
            let order = |n: &u32| devices.get(*n as usize).map(|d| d.order());
            order(a).cmp(&order(b))
        });
        Self {
            totals,
            categories,
            units,
            by_name,
            devices,
        }
    }

    /// The devices, in the order of identifiers.
    pub fn devices(&self) -> &[Arc<Listed>] {
        &self.devices
    }

    /// One device.
    pub fn device(&self, id: &DeviceId) -> Option<&Arc<Listed>> {
        let at = self.devices.binary_search_by(|d| d.profile.id.cmp(id));
        self.devices.get(at.ok()?)
    }

    /// The devices, in the order of names.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &Arc<Listed>> {
        self.by_name
            .iter()
            .filter_map(|n| self.devices.get(*n as usize))
    }

    /// How many devices are in which state.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many devices came into the pictures after `since`.
    pub fn appeared_after(&self, since: Timestamp) -> usize {
        let is_new = |d: &&Arc<Listed>| d.appeared.is_some_and(|at| at > since);
        self.devices.iter().filter(is_new).count()
    }

    /// Categories with how many devices they have.
    pub(crate) fn categories(&self) -> &BTreeMap<String, usize> {
        &self.categories
    }

    /// Wards and departments.
    pub(crate) fn units(&self) -> &[String] {
        &self.units
    }

    /// What a device is called; who is no device is called by the identifier.
    pub(crate) fn name_of<'a>(&'a self, id: &'a DeviceId) -> &'a str {
        self.device(id).map_or(id.as_str(), |d| d.name())
    }
}
