//! The world that decisions are made in.
//!
//! Maps share their structure: a clone costs a few reference counts, and a changed device costs the path to it,
//! however many there are. Whoever changes the world clones the current snapshot, changes the clone and swaps
//! the pointer; decisions that run meanwhile keep theirs.

use std::sync::Arc;

use domain::relation::{Feed, PatientFacts, VendorWindow};
use domain::{
    ApplicationId, Criticality, Device, DeviceId, EnforcementMode, PatientId, Person, PersonId,
};
use imbl::HashMap;
use serde::{Deserialize, Serialize};

use crate::pack::PolicyPack;

/// What decisions know of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationFacts {
    /// Whether a refusal stops a request.
    pub mode: EnforcementMode,
    /// What stops if it stops.
    pub criticality: Criticality,
}

/// People, devices, relations and the policies that judge them, at one moment.
#[derive(Clone)]
pub struct Snapshot {
    pack: Arc<PolicyPack>,
    people: HashMap<PersonId, Arc<Person>>,
    devices: HashMap<DeviceId, Arc<Device>>,
    patients: HashMap<PatientId, Arc<PatientFacts>>,
    windows: HashMap<PersonId, Arc<[VendorWindow]>>,
    /// A handful, of which every decision wants the same few.
    feeds: Vec<Arc<Feed>>,
    applications: HashMap<ApplicationId, ApplicationFacts>,
    epoch: u64,
}

impl Snapshot {
    /// An empty world under `pack`.
    pub fn new(pack: Arc<PolicyPack>) -> Self {
        Self {
            pack,
            people: HashMap::new(),
            devices: HashMap::new(),
            patients: HashMap::new(),
            windows: HashMap::new(),
            feeds: Vec::new(),
            applications: HashMap::new(),
            epoch: 0,
        }
    }

    /// Adds or replaces a person.
    pub fn set_person(&mut self, person: Person) {
        self.people.insert(person.id.clone(), Arc::new(person));
        self.epoch += 1;
    }

    /// Removes a person.
    pub fn remove_person(&mut self, person: &PersonId) {
        self.people.remove(person);
        self.epoch += 1;
    }

    /// Adds or replaces a device.
    pub fn set_device(&mut self, device: Device) {
        self.devices.insert(device.id.clone(), Arc::new(device));
        self.epoch += 1;
    }

    /// Removes a device.
    pub fn remove_device(&mut self, device: &DeviceId) {
        self.devices.remove(device);
        self.epoch += 1;
    }

    /// Adds or replaces what the feeds say of a patient.
    pub fn set_patient(&mut self, patient: PatientId, facts: PatientFacts) {
        self.patients.insert(patient, Arc::new(facts));
        self.epoch += 1;
    }

    /// Removes a patient.
    pub fn remove_patient(&mut self, patient: &PatientId) {
        self.patients.remove(patient);
        self.epoch += 1;
    }

    /// Replaces all vendor windows.
    pub fn set_vendor_windows(&mut self, windows: Vec<VendorWindow>) {
        let mut by_person: std::collections::HashMap<PersonId, Vec<VendorWindow>> =
            std::collections::HashMap::new();
        for window in windows {
            by_person
                .entry(window.person.clone())
                .or_default()
                .push(window);
        }
        self.windows = by_person.into_iter().map(|(p, w)| (p, w.into())).collect();
        self.epoch += 1;
    }

    /// Adds or replaces what is known of a source of relations.
    pub fn set_feed(&mut self, feed: Feed) {
        let feed = Arc::new(feed);
        match self.feeds.iter_mut().find(|known| known.name == feed.name) {
            Some(known) => *known = feed,
            None => self.feeds.push(feed),
        }
        self.epoch += 1;
    }

    /// Adds or replaces an application.
    pub fn set_application(&mut self, application: ApplicationId, facts: ApplicationFacts) {
        self.applications.insert(application, facts);
        self.epoch += 1;
    }

    /// Replaces the policies. Only a pack that compiled can come here.
    pub fn set_pack(&mut self, pack: Arc<PolicyPack>) {
        self.pack = pack;
        self.epoch += 1;
    }

    /// A person.
    pub fn person(&self, person: &PersonId) -> Option<&Arc<Person>> {
        self.people.get(person)
    }

    /// Everybody.
    pub fn people(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.people.values()
    }

    /// A device.
    pub fn device(&self, device: &DeviceId) -> Option<&Arc<Device>> {
        self.devices.get(device)
    }

    /// Every device.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.devices.values()
    }

    /// What is known of a patient.
    pub fn patient(&self, patient: &PatientId) -> Option<&Arc<PatientFacts>> {
        self.patients.get(patient)
    }

    /// Every patient.
    pub fn patients(&self) -> impl Iterator<Item = (&PatientId, &Arc<PatientFacts>)> {
        self.patients.iter()
    }

    /// A person's vendor windows.
    pub fn vendor_windows(&self, person: &PersonId) -> Option<&Arc<[VendorWindow]>> {
        self.windows.get(person)
    }

    /// A source of relations.
    pub fn feed(&self, name: &str) -> Option<&Arc<Feed>> {
        self.feeds.iter().find(|feed| feed.name == name)
    }

    /// Every source of relations.
    pub fn feeds(&self) -> impl Iterator<Item = &Arc<Feed>> {
        self.feeds.iter()
    }

    /// An application.
    pub fn application(&self, application: &ApplicationId) -> Option<&ApplicationFacts> {
        self.applications.get(application)
    }

    /// A number that rises with each change.
    pub fn data_epoch(&self) -> u64 {
        self.epoch
    }

    /// The policies.
    pub fn pack(&self) -> &Arc<PolicyPack> {
        &self.pack
    }
}
