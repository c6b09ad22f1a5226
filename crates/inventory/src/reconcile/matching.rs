//! Which row is which device.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::observation::Asset;
use domain::{DeviceId, DeviceProfile, EvidenceKind};

use super::{Duplicate, RegisterRow};
use crate::identity::marks::Strength;
use crate::identity::strong::{is_telling_serial, plain_serial, serial_field};

/// By what a row and a device are the same, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A UDI with a serial number in it.
    Udi,
    /// A MAC address.
    Mac,
    /// A serial number.
    Serial,
    /// A host name.
    Name,
    /// An address, which another device may have held when the register was written.
    Address,
}

impl By {
    /// How well it tells devices apart.
    pub const fn strength(self) -> Strength {
        match self {
            Self::Udi | Self::Mac => Strength::Strong,
            Self::Serial => Strength::Good,
            Self::Name | Self::Address => Strength::Fair,
        }
    }
}

/// A row and its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The row.
    pub row: SmolStr,
    /// The device.
    pub device: DeviceId,
    /// By what.
    pub by: By,
    /// How well that tells devices apart.
    pub strength: Strength,
}

/// What was matched.
pub(super) struct Matched {
    pub(super) rows: BTreeMap<SmolStr, Match>,
    pub(super) duplicates: Vec<Duplicate>,
}

/// By what a row can be found.
pub(super) fn keys_of(row: &RegisterRow) -> impl Iterator<Item = (By, String)> {
    let mut keys: Vec<(By, String)> = Vec::new();
    if let Some(udi) = row.udi.as_deref().filter(|udi| udi.contains("(21)")) {
        keys.push((By::Udi, plain_udi(udi)));
    }
    keys.extend(row.macs.iter().map(|mac| (By::Mac, mac.to_string())));
    if let Some(serial) = &row.serial {
        let serial = plain_serial(serial);
        if is_telling_serial(&serial) {
            keys.push((By::Serial, serial));
        }
    }
    if let Some(name) = &row.name {
        keys.push((By::Name, plain_name(name)));
    }
    keys.extend(
        row.addresses
            .iter()
            .map(|a| (By::Address, a.to_canonical().to_string())),
    );
    keys.into_iter()
}

/// By what a device can be found. What only a register said of it is no key: the register would find itself.
fn keys_of_device(device: &DeviceProfile) -> BTreeSet<(By, String)> {
    let mut keys: BTreeSet<(By, String)> = BTreeSet::new();
    keys.extend(device.macs.iter().map(|mac| (By::Mac, mac.to_string())));
    keys.extend(device.names.iter().map(|name| (By::Name, plain_name(name))));
    keys.extend(
        device
            .addresses
            .iter()
            .map(|a| (By::Address, a.to_canonical().to_string())),
    );
    for row in &device.evidence {
        let serial = match row.kind {
            EvidenceKind::RegisterSerial => None,
            _ => serial_field(&row.value),
        };
        if let Some(serial) = serial.map(plain_serial).filter(|s| is_telling_serial(s)) {
            keys.insert((By::Serial, serial));
        }
        if row.kind == EvidenceKind::Hl7Udi && row.value.contains("(21)") {
            keys.insert((By::Udi, plain_udi(&row.value)));
        }
    }
    for asset in &device.assets {
        match asset {
            Asset::Udi(udi) if udi.contains("(21)") => {
                keys.insert((By::Udi, plain_udi(udi)));
            }
            Asset::Serial(text) => {
                // With its maker or model in front.
                let serial = text.rsplit([' ', '|', '/', ':']).next().unwrap_or(text);
                let serial = plain_serial(serial);
                if is_telling_serial(&serial) {
                    keys.insert((By::Serial, serial));
                }
            }
            _ => {}
        }
    }
    keys
}

fn plain_udi(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

fn plain_name(text: &str) -> String {
    text.trim().split('.').next().unwrap_or("").to_lowercase()
}

/// Matches rows with devices, by the strongest key first. A device goes to one row; further rows that fit it by a strong or
/// good key are duplicates, and so are several devices of one serial number or UDI.
pub(super) fn matches(devices: &[&DeviceProfile], register: &[&RegisterRow]) -> Matched {
    let mut by_key: BTreeMap<(By, String), Vec<&DeviceId>> = BTreeMap::new();
    for device in devices {
        for key in keys_of_device(device) {
            by_key.entry(key).or_default().push(&device.id);
        }
    }
    let mut wanted: BTreeMap<(By, String), Vec<&SmolStr>> = BTreeMap::new();
    for row in register {
        for key in keys_of(row) {
            let rows = wanted.entry(key).or_default();
            if rows.last() != Some(&&row.id) {
                rows.push(&row.id);
            }
        }
    }
    let mut rows: BTreeMap<SmolStr, Match> = BTreeMap::new();
    let mut taken: BTreeMap<DeviceId, SmolStr> = BTreeMap::new();
    let mut doubled: BTreeMap<(By, Vec<SmolStr>), BTreeSet<DeviceId>> = BTreeMap::new();
    // Keys come by kind, the strongest first.
    for (key, ids) in &wanted {
        let (by, _) = key;
        let found: &[&DeviceId] = by_key.get(key).map_or(&[], Vec::as_slice);
        let sure = by.strength() > Strength::Fair;
        if sure && ids.len() > 1 {
            let all: Vec<SmolStr> = ids.iter().map(|id| (*id).clone()).collect();
            let devices = found.iter().map(|id| (*id).clone());
            doubled.entry((*by, all)).or_default().extend(devices);
        }
        match found {
            [device] => {
                for id in ids {
                    if !sure && ids.len() > 1 {
                        // Several rows of one name or address: which of them it is cannot be told.
                        continue;
                    }
                    if rows.contains_key(*id) {
                        continue;
                    }
                    match taken.get(*device) {
                        None => {
                            taken.insert((*device).clone(), (*id).clone());
                        }
                        Some(first) if sure => {
                            let pair = [first.clone(), (*id).clone()];
                            let mut pair: Vec<SmolStr> = pair.to_vec();
                            pair.sort_unstable();
                            let seen = doubled
                                .keys()
                                .any(|(_, all)| pair.iter().all(|row| all.contains(row)));
                            if !seen {
                                doubled
                                    .entry((*by, pair))
                                    .or_default()
                                    .insert((*device).clone());
                            }
                        }
                        Some(_) => continue,
                    }
                    let one = Match {
                        row: (*id).clone(),
                        device: (*device).clone(),
                        by: *by,
                        strength: by.strength(),
                    };
                    rows.insert((*id).clone(), one);
                }
            }
            [first, ..] if sure => {
                let all: Vec<SmolStr> = ids.iter().map(|id| (*id).clone()).collect();
                let devices = found.iter().map(|id| (*id).clone());
                doubled.entry((*by, all)).or_default().extend(devices);
                if let [id] = ids.as_slice()
                    && !rows.contains_key(*id)
                {
                    let one = Match {
                        row: (*id).clone(),
                        device: (*first).clone(),
                        by: *by,
                        strength: Strength::Fair,
                    };
                    taken
                        .entry((*first).clone())
                        .or_insert_with(|| (*id).clone());
                    rows.insert((*id).clone(), one);
                }
            }
            _ => {}
        }
    }
    let duplicates = doubled
        .into_iter()
        .filter(|((_, rows), devices)| rows.len() > 1 || devices.len() > 1)
        .map(|((by, rows), devices)| Duplicate {
            rows,
            devices: devices.into_iter().collect(),
            by,
        })
        .collect();
    Matched { rows, duplicates }
}
