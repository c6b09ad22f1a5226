//! What was taken out of the inventory and is on its way: to the picture, to the file, to known risks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use anyhow::Context;
use console::estate::{Listed, Picture, RiskSummary};
use domain::{DeviceId, DeviceProfile, Source, Timestamp};
use inventory::Inventory;
use inventory::inventory::{ConversationRow, DeviceRow, LocalRule};
use smol_str::SmolStr;
use store::{Change, InventoryStore, Table};

use crate::sensor::Places;

/// Milliseconds of a day: dates at which support ends are passed by midnight.
const DAY_MS: i64 = 86_400_000;

/// Everything has one place here, so it holds no more than the inventory does.
pub(super) struct Ledger {
    /// Up to which generation the inventory was asked.
    generation: u64,
    devices: BTreeMap<DeviceId, Arc<Listed>>,
    /// Check sums of what known risks follow from.
    grounds: HashMap<DeviceId, u64>,
    /// Devices whose risks are to be looked up.
    unmatched: BTreeSet<DeviceId>,
    /// The day for which they were looked up.
    day: i64,
    hasher: RandomState,
    /// Absent: there is no file.
    unsaved: Option<Unsaved>,
}

/// What the file does not have yet.
#[derive(Default)]
struct Unsaved {
    devices: BTreeMap<DeviceId, DeviceRow>,
    gone: BTreeSet<DeviceId>,
    conversations: BTreeMap<SmolStr, ConversationRow>,
    rules: Option<Vec<LocalRule>>,
    places: Option<Places>,
    sources: Vec<Source>,
    /// How many sources the inventory had when it was looked at.
    sources_known: usize,
}

impl Ledger {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            generation: 0,
            devices: BTreeMap::new(),
            grounds: HashMap::new(),
            unmatched: BTreeSet::new(),
            day: i64::MIN,
            hasher: RandomState::new(),
            unsaved: keeps.then(Unsaved::default),
        }
    }

    /// Takes what changed. Devices that were not there before appeared at `appeared`. Returns whether a device changed.
    pub(super) fn take(
        &mut self,
        inventory: &mut Inventory,
        now: Timestamp,
        appeared: Option<Timestamp>,
    ) -> bool {
        inventory.settle(now);
        let changes = inventory.changed_since(self.generation);
        self.generation = changes.generation;
        let changed = !changes.devices.is_empty() || !changes.gone.is_empty();
        for id in &changes.gone {
            self.devices.remove(id);
            self.grounds.remove(id);
            self.unmatched.remove(id);
        }
        for row in &changes.devices {
            self.list(&row.profile, appeared);
        }
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.add(changes, inventory);
        }
        changed
    }

    fn list(&mut self, profile: &DeviceProfile, appeared: Option<Timestamp>) {
        let id = &profile.id;
        let grounds = grounds(&self.hasher, profile);
        if self.grounds.insert(id.clone(), grounds) != Some(grounds) {
            self.unmatched.insert(id.clone());
        }
        let (risk, appeared) = match self.devices.get(id) {
            Some(known) => (known.risk, known.appeared),
            None => (None, appeared),
        };
        let listed = Listed::new(profile.clone(), risk, appeared);
        self.devices.insert(id.clone(), Arc::new(listed));
    }

    /// The devices, to be drawn.
    pub(super) fn picture(&self) -> Picture {
        Picture::of(self.devices.values().cloned())
    }

    /// Devices whose risks are to be looked up, at most `most`; they count as looked up.
    pub(super) fn unmatched(&mut self, most: usize, now: Timestamp) -> Vec<DeviceId> {
        let today = now.as_millis().div_euclid(DAY_MS);
        if self.day != today {
            self.day = today;
            self.match_all_again();
        }
        std::iter::from_fn(|| self.unmatched.pop_first())
            .take(most)
            .collect()
    }

    /// These could not be looked up.
    pub(super) fn again(&mut self, ids: Vec<DeviceId>) {
        let known = ids.into_iter().filter(|id| self.devices.contains_key(id));
        self.unmatched.extend(known);
    }

    /// The lists are others now, or it is another day.
    pub(super) fn match_all_again(&mut self) {
        self.unmatched = self.devices.keys().cloned().collect();
    }

    /// What the lists say of a device.
    pub(super) fn matched(&mut self, id: &DeviceId, risk: RiskSummary) {
        if let Some(listed) = self.devices.get_mut(id)
            && listed.risk != Some(risk)
        {
            *listed = Arc::new(listed.with_risk(risk));
        }
    }

    /// How far the spools of sensors on other hosts were taken, together with what is taken of the inventory next.
    pub(super) fn taken(&mut self, places: Places) {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.places = Some(places);
        }
    }

    /// The places that the next writing brings into the file, if they changed.
    pub(super) fn places(&self) -> Option<Places> {
        self.unsaved.as_ref()?.places.clone()
    }

    /// Writes what the file does not have yet. What cannot be written is tried again the next time.
    pub(super) fn write(&mut self, store: &InventoryStore) -> anyhow::Result<()> {
        let Some(unsaved) = &mut self.unsaved else {
            return Ok(());
        };
        let change = unsaved.change().context("a row of the inventory")?;
        if !change.is_empty() {
            store.write(change).wait()?;
        }
        *unsaved = Unsaved {
            sources_known: unsaved.sources_known,
            ..Unsaved::default()
        };
        Ok(())
    }
}

impl Unsaved {
    fn add(&mut self, changes: inventory::inventory::Changes, inventory: &Inventory) {
        for id in changes.gone {
            self.devices.remove(&id);
            self.gone.insert(id);
        }
        for row in changes.devices {
            self.gone.remove(&row.profile.id);
            self.devices.insert(row.profile.id.clone(), row);
        }
        for row in changes.conversations {
            self.conversations.insert(row.key.clone(), row);
        }
        if changes.rules.is_some() {
            self.rules = changes.rules;
        }
        let sources = inventory.known_sources();
        let fresh = sources.iter().skip(self.sources_known);
        self.sources.extend(fresh.map(|(_, s)| s.clone()));
        self.sources_known = sources.iter().count();
    }

    fn change(&self) -> Result<Change, serde_json::Error> {
        let mut change = Change::default();
        for source in &self.sources {
            let key = format!("{:?} {}", source.kind, source.name);
            change.put(Table::Sources, key, source)?;
        }
        for id in &self.gone {
            change.remove(Table::Devices, id.as_str());
        }
        for row in self.devices.values() {
            change.put(Table::Devices, row.profile.id.as_str(), row)?;
        }
        for row in self.conversations.values() {
            change.put(Table::Conversations, row.key.as_str(), row)?;
        }
        if let Some(places) = &self.places {
            change.clear(Table::Spools);
            for (spool, place) in places {
                change.put(Table::Spools, spool.as_str(), place)?;
            }
        }
        if let Some(rules) = &self.rules {
            change.clear(Table::Rules);
            for rule in rules {
                change.put(Table::Rules, rule.id.as_str(), rule)?;
            }
        }
        Ok(change)
    }
}

/// A check sum of what known risks follow from: not of when the device was seen.
fn grounds(hasher: &RandomState, profile: &DeviceProfile) -> u64 {
    let evidence: Vec<(&str, &str)> = profile
        .evidence
        .iter()
        .map(|e| (e.kind.as_str(), e.value.as_str()))
        .collect();
    hasher.hash_one((
        &profile.vendor,
        &profile.model,
        &profile.os,
        profile.confidence.to_bits(),
        &profile.assets,
        evidence,
    ))
}

#[cfg(test)]
mod tests {
    use domain::net::Party;
    use domain::observation::{About, Fact, SourceKind};
    use domain::{EvidenceKind, Observation, Sink, SourceId};
    use inventory::{Knowledge, Options};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + secs * 1000)
    }

    fn empty() -> Inventory {
        let mut inventory = Inventory::new(Knowledge::hospital(), Options::default());
        inventory.sources().add(Source {
            name: "mirror".into(),
            kind: SourceKind::Packets,
        });
        inventory
    }

    /// Device number `n` is heard of at `secs`, and says this of itself.
    fn hear(inventory: &mut Inventory, n: u8, secs: i64, kind: EvidenceKind, value: &str) {
        let mac = format!("02:00:00:00:00:{n:02x}")
            .parse()
            .expect("an address");
        for fact in [
            Fact::Seen,
            Fact::Evidence {
                kind,
                value: value.into(),
            },
        ] {
            inventory.observe(Observation {
                at: at(secs),
                source: SourceId(0),
                about: About::from(Party {
                    mac: Some(mac),
                    addr: None,
                    vlan: None,
                }),
                fact,
            });
        }
    }

    #[test]
    fn what_changed_is_taken_once_and_shown_with_when_it_appeared() {
        let mut inventory = empty();
        hear(&mut inventory, 1, 0, EvidenceKind::DhcpHostname, "bed-1");
        let mut ledger = Ledger::new(false);
        assert!(ledger.take(&mut inventory, at(1), None));
        assert!(!ledger.take(&mut inventory, at(2), Some(at(2))));
        hear(&mut inventory, 2, 3, EvidenceKind::DhcpHostname, "bed-2");
        assert!(ledger.take(&mut inventory, at(4), Some(at(4))));
        let picture = ledger.picture();
        assert_eq!(picture.totals().all, 2);
        assert_eq!(
            picture.appeared_after(at(0)),
            1,
            "the first was there before"
        );
        let names: Vec<&str> = picture.devices().iter().map(|d| d.name()).collect();
        assert_eq!(names, ["bed-1", "bed-2"]);
    }

    #[test]
    fn risks_are_looked_up_again_when_their_grounds_change_and_each_day() {
        let mut inventory = empty();
        let mut ledger = Ledger::new(false);
        hear(&mut inventory, 1, 0, EvidenceKind::DhcpHostname, "bed-1");
        hear(&mut inventory, 2, 0, EvidenceKind::DhcpHostname, "bed-2");
        ledger.take(&mut inventory, at(1), None);
        assert_eq!(ledger.picture().totals().not_looked_up, 2);
        assert_eq!(ledger.unmatched(1, at(1)).len(), 1);
        let rest = ledger.unmatched(9, at(1));
        assert_eq!(rest.len(), 1);
        let risk = RiskSummary {
            known: 3,
            exploited: 1,
        };
        ledger.matched(&rest[0], risk);
        assert_eq!(ledger.picture().totals().at_risk, 1);
        // Two minutes later both are still there: nothing that a list could name has changed.
        for n in [1, 2] {
            hear(
                &mut inventory,
                n,
                120,
                EvidenceKind::DhcpHostname,
                &format!("bed-{n}"),
            );
        }
        assert!(
            ledger.take(&mut inventory, at(121), Some(at(121))),
            "last seen"
        );
        assert!(ledger.unmatched(9, at(121)).is_empty());
        assert_eq!(ledger.picture().totals().at_risk, 1, "what was found stays");
        hear(
            &mut inventory,
            2,
            130,
            EvidenceKind::SnmpSysDescr,
            "Test OS 1.0",
        );
        ledger.take(&mut inventory, at(131), Some(at(131)));
        assert_eq!(ledger.unmatched(9, at(131)), rest);
        assert_eq!(
            ledger.unmatched(9, at(131 + 86_400)).len(),
            2,
            "another day"
        );
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = InventoryStore::open(folder.path().join("i.db")).expect("a new file");
        let mut inventory = empty();
        let mut ledger = Ledger::new(true);
        hear(&mut inventory, 1, 0, EvidenceKind::DhcpHostname, "bed-1");
        ledger.take(&mut inventory, at(1), None);
        hear(&mut inventory, 2, 2, EvidenceKind::DhcpHostname, "bed-2");
        ledger.take(&mut inventory, at(3), None);
        ledger.write(&store).expect("written");
        let devices: store::Rows<DeviceRow> = store.rows(Table::Devices).wait().expect("read");
        assert_eq!(devices.len(), 2, "both looks are in one writing");
        let sources: store::Rows<Source> = store.rows(Table::Sources).wait().expect("read");
        assert_eq!(sources.len(), 1);
        assert!(
            ledger
                .unsaved
                .as_ref()
                .is_some_and(|u| u.devices.is_empty())
        );
    }
}
