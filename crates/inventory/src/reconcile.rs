//! The inventory against a register: what is missing, ghost, misplaced, duplicate, mislabelled, and out of how many.

mod matching;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::observation::{Asset, Fact};
use domain::{DeviceId, DeviceProfile, EvidenceKind, Mac, Observation};

use crate::registry::maker;
use crate::taxonomy;

pub use matching::{By, Match};

/// One row of a register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRow {
    /// Its identifier.
    pub id: SmolStr,
    /// Its name.
    pub name: Option<SmolStr>,
    /// MAC addresses.
    pub macs: Vec<Mac>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Serial number.
    pub serial: Option<SmolStr>,
    /// UDI.
    pub udi: Option<SmolStr>,
    /// Type, as the register writes it.
    pub kind: Option<SmolStr>,
    /// Maker.
    pub vendor: Option<SmolStr>,
    /// Model.
    pub model: Option<SmolStr>,
    /// Ward, room or department.
    pub place: Option<SmolStr>,
    /// State, as `in service`, `retired`.
    pub state: Option<SmolStr>,
}

impl RegisterRow {
    /// Whether the register says that it is not in use: such a row cannot be missing.
    pub fn is_retired(&self) -> bool {
        const WORDS: [&str; 12] = [
            "retired",
            "disposed",
            "scrapped",
            "decommission",
            "out of service",
            "inactive",
            "lost",
            "stolen",
            "ausgemustert",
            "ausser betrieb",
            "außer betrieb",
            "in stock",
        ];
        let state = self.state.as_deref().unwrap_or("").to_lowercase();
        WORDS.iter().any(|word| state.contains(word))
    }
}

/// The rows of a register in the observations that a reader made of it, in the order in which they come first.
pub fn rows<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Vec<RegisterRow> {
    let mut places: BTreeMap<SmolStr, usize> = BTreeMap::new();
    let mut rows: Vec<RegisterRow> = Vec::new();
    for observation in observations {
        let party = &observation.about.party;
        let id = match (&observation.about.asset, party.mac, party.addr) {
            (Some(Asset::Register(id) | Asset::Serial(id)), ..) => id.clone(),
            (Some(asset), ..) => {
                let key = crate::identity::DeviceKey::Asset {
                    asset: asset.clone(),
                    at: None,
                };
                SmolStr::new(key.id().as_str())
            }
            (None, Some(mac), _) => SmolStr::new(mac.to_string()),
            (None, None, Some(address)) => SmolStr::new(address.to_string()),
            (None, None, None) => continue,
        };
        let place = *places.entry(id.clone()).or_insert_with(|| {
            rows.push(RegisterRow {
                id,
                ..RegisterRow::default()
            });
            rows.len() - 1
        });
        let row = &mut rows[place];
        if let Some(mac) = party.mac.filter(|mac| !row.macs.contains(mac)) {
            row.macs.push(mac);
        }
        if let Some(address) = party.addr.filter(|a| !row.addresses.contains(a)) {
            row.addresses.push(address);
        }
        if let Fact::Evidence { kind, value } = &observation.fact {
            let field = match kind {
                EvidenceKind::RegisterName => &mut row.name,
                EvidenceKind::RegisterSerial => &mut row.serial,
                EvidenceKind::RegisterUdi => &mut row.udi,
                EvidenceKind::RegisterType => &mut row.kind,
                EvidenceKind::RegisterVendor => &mut row.vendor,
                EvidenceKind::RegisterModel => &mut row.model,
                EvidenceKind::RegisterPlace => &mut row.place,
                EvidenceKind::RegisterState => &mut row.state,
                _ => continue,
            };
            field.get_or_insert_with(|| value.clone());
        }
    }
    rows
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
}

/// A row that was never seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The row.
    pub row: SmolStr,
    /// Its name.
    pub name: Option<SmolStr>,
    /// By what it could have been found; empty: the register gives nothing that the network shows.
    pub looked_for: Vec<By>,
}

/// A device that the register gives another place than the network does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misplaced {
    /// The match.
    pub found: Match,
    /// The register's place.
    pub register: SmolStr,
    /// Where the network has it: ward, else segment.
    pub network: SmolStr,
}

/// A device that several rows name, or a row that several devices fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The rows.
    pub rows: Vec<SmolStr>,
    /// The devices.
    pub devices: Vec<DeviceId>,
    /// By what they are the same.
    pub by: By,
}

/// A device of which register and network say different things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mislabelled {
    /// The match.
    pub found: Match,
    /// What: `type`, `vendor` or `model`.
    pub what: SmolStr,
    /// What the register says.
    pub register: SmolStr,
    /// What the network says.
    pub network: SmolStr,
    /// How sure the inventory is.
    pub confidence: f32,
}

/// The inventory against a register.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Rows with a device, out of all rows.
    pub matched: Share,
    /// Each of them, and by what.
    pub matches: Vec<Match>,
    /// Rows never seen, out of those in use.
    pub missing: Share,
    /// Each of them.
    pub missing_rows: Vec<Missing>,
    /// Devices that no row names, out of all devices seen.
    pub ghost: Share,
    /// Each of them.
    pub ghost_devices: Vec<DeviceId>,
    /// Devices elsewhere than their row says, out of the matched with a place on both sides that means the same kind of thing.
    pub misplaced: Share,
    /// Each of them.
    pub misplaced_rows: Vec<Misplaced>,
    /// Rows that share a device or a key with another, out of all rows.
    pub duplicate: Share,
    /// Each group of them.
    pub duplicates: Vec<Duplicate>,
    /// Matched rows of which the network says something else, out of the matched of which both sides say something.
    pub mislabelled: Share,
    /// Each difference.
    pub mislabelled_rows: Vec<Mislabelled>,
}

/// Compares devices with a register. Devices that only a register names count as not seen. The result does not depend on
/// the order of either.
pub fn reconcile<'a>(
    devices: impl IntoIterator<Item = &'a DeviceProfile>,
    register: &[RegisterRow],
) -> Reconciliation {
    let mut devices: Vec<&DeviceProfile> = devices.into_iter().filter(|d| was_seen(d)).collect();
    devices.sort_by(|a, b| a.id.cmp(&b.id));
    let mut register: Vec<&RegisterRow> = register.iter().collect();
    register.sort_by(|a, b| a.id.cmp(&b.id));
    let found = matching::matches(&devices, &register);
    let mut out = Reconciliation {
        matched: Share {
            count: found.rows.len(),
            of: register.len(),
        },
        duplicates: found.duplicates,
        ..Reconciliation::default()
    };
    let by_id: BTreeMap<&DeviceId, &DeviceProfile> = devices.iter().map(|d| (&d.id, *d)).collect();
    let mut named: BTreeSet<&DeviceId> = BTreeSet::new();
    // A place names wards as the network does only where the network knows one of those names.
    let units: BTreeSet<String> = devices
        .iter()
        .filter_map(|d| d.unit.as_ref())
        .map(|unit| plain(unit.as_str()))
        .collect();
    for row in &register {
        let Some(one) = found.rows.get(&row.id) else {
            if !row.is_retired() {
                out.missing_rows.push(Missing {
                    row: row.id.clone(),
                    name: row.name.clone(),
                    looked_for: matching::keys_of(row).map(|(by, _)| by).collect(),
                });
            }
            continue;
        };
        out.matches.push(one.clone());
        let Some(device) = by_id.get(&one.device) else {
            continue;
        };
        compare_place(&mut out, row, device, one, &units);
        compare_labels(&mut out, row, device, one);
    }
    named.extend(found.rows.values().map(|one| &one.device));
    for group in &out.duplicates {
        named.extend(group.devices.iter());
    }
    out.ghost_devices = devices
        .iter()
        .map(|d| &d.id)
        .filter(|id| !named.contains(id))
        .cloned()
        .collect();
    out.missing.count = out.missing_rows.len();
    out.missing.of = register.iter().filter(|row| !row.is_retired()).count();
    // A retired row that is seen is in use.
    out.missing.of += register
        .iter()
        .filter(|row| row.is_retired() && found.rows.contains_key(&row.id))
        .count();
    out.ghost = Share {
        count: out.ghost_devices.len(),
        of: devices.len(),
    };
    let doubled: BTreeSet<&SmolStr> = out.duplicates.iter().flat_map(|d| &d.rows).collect();
    out.duplicate = Share {
        count: doubled.len(),
        of: register.len(),
    };
    out
}

/// Whether anything but a register says that a device is there.
pub fn was_seen(device: &DeviceProfile) -> bool {
    let of_register = |kind: EvidenceKind| kind.as_str().starts_with("register.");
    let derived = |kind| matches!(kind, EvidenceKind::MacVendor | EvidenceKind::Confirmed);
    let told: Vec<_> = device
        .evidence
        .iter()
        .filter(|row| !derived(row.kind))
        .collect();
    // What was seen but said nothing has no evidence at all.
    device.first_seen <= device.last_seen
        && (told.iter().any(|row| !of_register(row.kind))
            || !told.iter().any(|row| of_register(row.kind))
            || device.first_seen < device.last_seen)
}

fn compare_place(
    out: &mut Reconciliation,
    row: &RegisterRow,
    device: &DeviceProfile,
    one: &Match,
    units: &BTreeSet<String>,
) {
    // An address in a register says where it should be.
    let segment = device.segment.as_ref();
    if let (Some(place), Some(unit)) = (&row.place, &device.unit) {
        let (register, network) = (plain(place), plain(unit.as_str()));
        if register == network || units.contains(&register) || contains_word(&register, &network) {
            out.misplaced.of += 1;
            if register != network && !contains_word(&register, &network) {
                out.misplaced.count += 1;
                out.misplaced_rows.push(Misplaced {
                    found: one.clone(),
                    register: place.clone(),
                    network: unit.as_str().into(),
                });
            }
            return;
        }
    }
    if let (Some(segment), false, true) = (segment, row.addresses.is_empty(), one.by != By::Address)
        && let Ok(network) = segment.parse::<crate::options::Network>()
    {
        out.misplaced.of += 1;
        if !row.addresses.iter().any(|a| network.contains(*a)) {
            out.misplaced.count += 1;
            out.misplaced_rows.push(Misplaced {
                found: one.clone(),
                register: row.addresses[0].to_string().into(),
                network: segment.clone(),
            });
        }
    }
}

fn compare_labels(
    out: &mut Reconciliation,
    row: &RegisterRow,
    device: &DeviceProfile,
    one: &Match,
) {
    let mut compared = false;
    let mut differs = false;
    let mut compare = |what: &str, register: &str, network: &str, same: bool| {
        compared = true;
        if !same {
            differs = true;
            out.mislabelled_rows.push(Mislabelled {
                found: one.clone(),
                what: what.into(),
                register: register.into(),
                network: network.into(),
                confidence: device.confidence,
            });
        }
    };
    // The inventory's own answer must not rest on the register's word.
    let rests_on = |kind| {
        device
            .evidence
            .iter()
            .any(|r| r.kind == kind && r.weight > 0.0)
    };
    if let (Some(register), Some(network)) = (&row.kind, &device.kind)
        && !rests_on(EvidenceKind::RegisterType)
        && let Some(known) = taxonomy::from_text(register)
    {
        let same = taxonomy::device_type(network).map_or(known.id == network, |seen| {
            taxonomy::compatible(known, seen)
        });
        compare("type", register, network, same);
    }
    if let (Some(register), Some(network)) = (&row.vendor, &device.vendor)
        && !rests_on(EvidenceKind::RegisterVendor)
    {
        let same =
            plain(&maker(register)) == plain(&maker(network)) || shares_word(register, network);
        compare("vendor", register, network, same);
    }
    if let (Some(register), Some(network)) = (&row.model, &device.model)
        && !rests_on(EvidenceKind::RegisterModel)
    {
        let (a, b) = (letters(register), letters(network));
        let same = a.contains(&b) || b.contains(&a);
        compare("model", register, network, same);
    }
    out.mislabelled.of += usize::from(compared);
    out.mislabelled.count += usize::from(differs);
}

/// A text as it is compared: lower case, one blank between words.
fn plain(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn letters(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect()
}

/// Whether `whole` names `part` among other words: `icu 2 bed 4` names `icu 2`.
fn contains_word(whole: &str, part: &str) -> bool {
    !part.is_empty() && format!(" {whole} ").contains(&format!(" {part} "))
}

fn shares_word(one: &str, other: &str) -> bool {
    const COMMON: [&str; 12] = [
        "medical",
        "healthcare",
        "systems",
        "technologies",
        "international",
        "corporation",
        "company",
        "group",
        "electronics",
        "technology",
        "limited",
        "network",
    ];
    let words = |text: &str| -> BTreeSet<String> {
        plain(text)
            .split(' ')
            .filter(|w| w.chars().count() >= 3 && !COMMON.contains(w))
            .map(str::to_owned)
            .collect()
    };
    !words(one).is_disjoint(&words(other))
}

#[cfg(test)]
mod tests;
