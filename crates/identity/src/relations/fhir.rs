//! Relations from a FHIR server: pages of searches for `Encounter`, `CareTeam` and `Patient`, in any order.
//!
//! [`Reader`] takes the pages of one poll as they come, follows references among them at the end, and gives an
//! [`Update`]: what the server says now of every patient it mentioned. A resource that cannot be understood gives no
//! relation and is counted; a bundle that cannot be read is an error, and the poll has failed: the caller then leaves
//! the feed's age as it was, so that it is seen to grow stale. Nothing here repeats what a resource holds.
//!
//! What counts: a care team with status `active` within its period; an encounter that is going on or finished (never
//! one that was only planned, cancelled or entered in error); in both, members that are practitioners. The patient's
//! unit is the active location of an encounter that is going on.

mod resource;

use std::collections::{BTreeMap, BTreeSet};

use domain::relation::{Encounter, PatientFacts};
use domain::{PatientId, PersonId, Sensitivity, Timestamp, UnitId};
use serde::Deserialize;
use serde_json::value::RawValue;

use resource::{CareTeam, Encounter as FhirEncounter, Patient, Practitioner, PractitionerRole};

/// The largest page that is read.
pub const PAGE_LEN_MAX: usize = 64 * 1024 * 1024;

/// Relations of one poll; a server that sends more is not answered.
const RELATIONS_MAX: usize = 20_000_000;

/// Which parts of a patient's facts a poll asks for. Parts that it does not ask for stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covers {
    /// `CareTeam`: the care team.
    pub care_teams: bool,
    /// `Encounter`: encounters and the unit.
    pub encounters: bool,
    /// `Patient`: VIP and employee labels, and whether the patient is adolescent.
    pub patients: bool,
}

/// How to read a server's pages.
#[derive(Clone, Debug)]
pub struct Options {
    /// What was asked for.
    pub covers: Covers,
    /// `identifier.system` of a practitioner's staff number. Absent: the `Practitioner`'s logical id is the person.
    pub staff_system: Option<String>,
    /// The instant of the poll.
    pub now: Timestamp,
}

/// What a page brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The next page's address, as the server gave it. Absent: this was the last.
    pub next: Option<String>,
    /// Resources understood.
    pub read: usize,
    /// Resources that could not be understood.
    pub skipped: usize,
}

/// Why a page cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPage {
    /// Larger than [`PAGE_LEN_MAX`].
    #[error("the page is larger than {PAGE_LEN_MAX} bytes")]
    TooLarge,
    /// Not JSON, or not a bundle.
    #[error("the page is not a FHIR bundle in JSON")]
    NotABundle,
    /// Not the answer to a search: a `searchset` or, from a file, a `collection`.
    #[error("the bundle is neither a `searchset` nor a `collection`")]
    WrongType,
    /// The poll has brought more relations than are taken.
    #[error("the server sends more relations than are taken")]
    TooMany,
}

/// Takes the pages of one poll.
#[derive(Debug)]
pub struct Reader {
    options: Options,
    /// Members as the resources name them, before references are followed.
    members: Vec<Member>,
    units: BTreeMap<PatientId, BTreeMap<Timestamp, UnitId>>,
    patients: BTreeMap<PatientId, OfPatient>,
    /// Logical id of a practitioner to the staff number; absent in it: no number of the system asked for.
    practitioners: BTreeMap<String, Option<PersonId>>,
    /// Logical id of a role to the logical id of its practitioner; none: not active.
    roles: BTreeMap<String, Option<String>>,
    /// `fullUrl` of entries that are named by URN, to their type and id.
    urns: BTreeMap<String, String>,
    skipped: usize,
}

#[derive(Debug)]
struct Member {
    patient: PatientId,
    reference: String,
    relation: Relation,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    CareTeam,
    Encounter { ended: Option<Timestamp> },
}

#[derive(Clone, Copy, Debug, Default)]
struct OfPatient {
    vip: bool,
    employee: bool,
    adolescent: bool,
}

/// What a poll says of every patient it mentioned.
#[derive(Clone, Debug)]
pub struct Update {
    covers: Covers,
    facts: BTreeMap<PatientId, PatientFacts>,
    /// Resources that could not be understood.
    pub skipped: usize,
    /// Members who are no known practitioner.
    pub unresolved: usize,
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    link: Vec<Link>,
    #[serde(default, borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    relation: String,
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, rename = "fullUrl")]
    full_url: Option<String>,
    #[serde(default, borrow)]
    resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    id: Option<String>,
}

impl Reader {
    /// A poll that has brought nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            members: Vec::new(),
            units: BTreeMap::new(),
            patients: BTreeMap::new(),
            practitioners: BTreeMap::new(),
            roles: BTreeMap::new(),
            urns: BTreeMap::new(),
            skipped: 0,
        }
    }

    /// Takes one page.
    pub fn add(&mut self, page: &[u8]) -> Result<Page, BadPage> {
        if page.len() > PAGE_LEN_MAX {
            return Err(BadPage::TooLarge);
        }
        let bundle: Bundle<'_> = serde_json::from_slice(page).map_err(|_| BadPage::NotABundle)?;
        if bundle.resource_type != "Bundle" {
            return Err(BadPage::NotABundle);
        }
        if !matches!(bundle.kind.as_str(), "searchset" | "collection") {
            return Err(BadPage::WrongType);
        }
        let mut taken = Page {
            next: bundle
                .link
                .into_iter()
                .find(|link| link.relation == "next" && !link.url.is_empty())
                .map(|link| link.url),
            ..Page::default()
        };
        // First all names, because an entry may refer to a later one.
        for entry in &bundle.entry {
            self.name(entry);
        }
        for entry in &bundle.entry {
            match self.entry(entry) {
                Some(()) => taken.read += 1,
                None => taken.skipped += 1,
            }
            if self.members.len() > RELATIONS_MAX {
                return Err(BadPage::TooMany);
            }
        }
        self.skipped += taken.skipped;
        Ok(taken)
    }

    /// Follows the references and says what the whole poll means.
    pub fn finish(self) -> Update {
        let mut care: BTreeMap<PatientId, BTreeSet<PersonId>> = BTreeMap::new();
        let mut met: BTreeMap<PatientId, BTreeMap<PersonId, Option<Timestamp>>> = BTreeMap::new();
        let mut unresolved = 0;
        for member in &self.members {
            let Some(person) = self.person(&member.reference) else {
                unresolved += 1;
                continue;
            };
            match member.relation {
                Relation::CareTeam => {
                    care.entry(member.patient.clone())
                        .or_default()
                        .insert(person);
                }
                Relation::Encounter { ended } => {
                    // Of several encounters with one person the one that goes on counts, else the last to end.
                    met.entry(member.patient.clone())
                        .or_default()
                        .entry(person)
                        .and_modify(|known| *known = known.zip(ended).map(|(a, b)| a.max(b)))
                        .or_insert(ended);
                }
            }
        }
        let mentioned: BTreeSet<PatientId> = care
            .keys()
            .chain(met.keys())
            .chain(self.units.keys())
            .chain(self.patients.keys())
            .cloned()
            .collect();
        let facts = mentioned
            .into_iter()
            .map(|patient| {
                let of = self.patients.get(&patient).copied().unwrap_or_default();
                let facts = PatientFacts {
                    vip: of.vip,
                    employee: of.employee,
                    adolescent: of.adolescent,
                    // Of several encounters that go on, the one that began last says where the patient lies.
                    unit: self
                        .units
                        .get(&patient)
                        .and_then(|units| units.last_key_value())
                        .map(|(_, unit)| unit.clone()),
                    care_team: care.remove(&patient).into_iter().flatten().collect(),
                    encounters: met
                        .remove(&patient)
                        .into_iter()
                        .flatten()
                        .map(|(person, ended)| Encounter { person, ended })
                        .collect(),
                    ..PatientFacts::default()
                };
                (patient, facts)
            })
            .collect();
        Update {
            covers: self.options.covers,
            facts,
            skipped: self.skipped,
            unresolved,
        }
    }

    /// Remembers an entry that others name by its URN.
    fn name(&mut self, entry: &Entry<'_>) -> Option<()> {
        let url = entry
            .full_url
            .as_ref()
            .filter(|url| url.starts_with("urn:"))?;
        let head: Head = serde_json::from_str(entry.resource?.get()).ok()?;
        self.urns
            .insert(url.clone(), format!("{}/{}", head.resource_type, head.id?));
        Some(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Option<()> {
        let text = entry.resource?.get();
        let head: Head = serde_json::from_str(text).ok()?;
        let covers = self.options.covers;
        match head.resource_type.as_str() {
            "CareTeam" if covers.care_teams => self.care_team(&serde_json::from_str(text).ok()?),
            "Encounter" if covers.encounters => self.encounter(&serde_json::from_str(text).ok()?),
            "Patient" if covers.patients => self.patient(&serde_json::from_str(text).ok()?),
            "Practitioner" => self.practitioner(serde_json::from_str(text).ok()?),
            "PractitionerRole" => self.role(serde_json::from_str(text).ok()?),
            _ => Some(()), // not asked for: included resources, outcomes
        }
    }

    fn care_team(&mut self, team: &CareTeam) -> Option<()> {
        let now = self.options.now;
        let patient = self.patient_of(team.subject.as_ref()?)?;
        if team.status != "active" || !resource::holds(team.period.as_ref(), now)? {
            return Some(());
        }
        for participant in &team.participant {
            if !resource::holds(participant.period.as_ref(), now)? {
                continue;
            }
            if let Some(reference) = participant
                .member
                .as_ref()
                .and_then(|m| m.reference.as_ref())
            {
                self.members.push(Member {
                    patient: patient.clone(),
                    reference: reference.clone(),
                    relation: Relation::CareTeam,
                });
            }
        }
        Some(())
    }

    fn encounter(&mut self, encounter: &FhirEncounter) -> Option<()> {
        let now = self.options.now;
        let patient = self.patient_of(encounter.subject.as_ref()?)?;
        let goes_on = match encounter.status.as_str() {
            "arrived" | "triaged" | "in-progress" | "onleave" => true,
            "finished" => false,
            // `planned`, `cancelled`, `entered-in-error`, `unknown`: nobody met anybody yet.
            _ => return Some(()),
        };
        let (begins, ends) = match &encounter.period {
            Some(period) => (resource::begin(period)?, resource::end(period)?),
            None => (None, None),
        };
        // A finished encounter without an end ended when it began: it must never look as if it went on.
        let over = if goes_on {
            ends.filter(|end| *end <= now)
        } else {
            Some(ends.or(begins)?)
        };
        for participant in &encounter.participant {
            let left = match &participant.period {
                Some(period) => resource::end(period)?.filter(|end| *end <= now),
                None => None,
            };
            let ended = match (left, over) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, other) => one.or(other),
            };
            if let Some(reference) = participant
                .individual
                .as_ref()
                .and_then(|i| i.reference.as_ref())
            {
                self.members.push(Member {
                    patient: patient.clone(),
                    reference: reference.clone(),
                    relation: Relation::Encounter { ended },
                });
            }
        }
        if goes_on && over.is_none() {
            let here = encounter
                .location
                .iter()
                .rev()
                .filter(|place| place.status.is_empty() || place.status == "active")
                .find_map(|place| self.id_of(place.location.reference.as_ref()?, "Location"));
            if let Some(unit) = here {
                let since = begins.unwrap_or(Timestamp::from_millis(i64::MIN));
                self.units
                    .entry(patient)
                    .or_default()
                    .insert(since, UnitId::new(unit));
            }
        }
        Some(())
    }

    fn patient(&mut self, patient: &Patient) -> Option<()> {
        let labels = || {
            patient
                .meta
                .security
                .iter()
                .filter_map(|s| Sensitivity::from_code(&s.code))
        };
        let of = OfPatient {
            vip: labels().any(|label| label == Sensitivity::Vip),
            employee: labels().any(|label| label == Sensitivity::Employee),
            adolescent: match &patient.birth_date {
                Some(date) => (12..18).contains(&resource::age(date, self.options.now)?),
                None => false,
            },
        };
        self.patients
            .insert(PatientId::new(checked_id(&patient.id)?), of);
        Some(())
    }

    fn practitioner(&mut self, practitioner: Practitioner) -> Option<()> {
        let number = match &self.options.staff_system {
            None => None,
            Some(system) => practitioner
                .identifier
                .iter()
                .find(|i| i.system == *system && !i.value.is_empty())
                .map(|i| PersonId::new(i.value.as_str())),
        };
        self.practitioners
            .insert(checked_id(&practitioner.id)?.to_owned(), number);
        Some(())
    }

    fn role(&mut self, role: PractitionerRole) -> Option<()> {
        let in_force =
            role.active.unwrap_or(true) && resource::holds(role.period.as_ref(), self.options.now)?;
        let practitioner = role
            .practitioner
            .and_then(|p| p.reference)
            .filter(|_| in_force);
        self.roles
            .insert(checked_id(&role.id)?.to_owned(), practitioner);
        Some(())
    }

    /// The person behind a reference to a `Practitioner` or `PractitionerRole`.
    fn person(&self, reference: &str) -> Option<PersonId> {
        let id = match self.id_of(reference, "Practitioner") {
            Some(id) => id,
            None => {
                let role = self.id_of(reference, "PractitionerRole")?;
                let practitioner = self.roles.get(&role)?.as_ref()?;
                self.id_of(practitioner, "Practitioner")?
            }
        };
        match &self.options.staff_system {
            None => Some(PersonId::new(id)),
            Some(_) => self.practitioners.get(&id)?.clone(),
        }
    }

    fn patient_of(&self, subject: &resource::Reference) -> Option<PatientId> {
        self.id_of(subject.reference.as_ref()?, "Patient")
            .map(PatientId::new)
    }

    /// The logical id in a reference to a resource of this type: relative, absolute, or the URN of another entry.
    fn id_of(&self, reference: &str, resource_type: &str) -> Option<String> {
        let reference = self.urns.get(reference).map_or(reference, String::as_str);
        let reference = reference.split("/_history/").next()?;
        let mut parts = reference.rsplit('/');
        let id = checked_id(parts.next()?)?;
        (parts.next()? == resource_type).then(|| id.to_owned())
    }
}

impl Update {
    /// Patients mentioned.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether no patient was mentioned.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// What becomes of the facts known so far: every patient whose facts differ now, with the new ones. Parts that the
    /// poll did not cover stay; in covered parts the poll has the only word, so that whoever is no longer mentioned
    /// loses the relation.
    pub fn changes<'a>(
        &self,
        known: impl IntoIterator<Item = (&'a PatientId, &'a PatientFacts)>,
    ) -> Vec<(PatientId, PatientFacts)> {
        let nothing = PatientFacts::default();
        let mut changed = Vec::new();
        let mut seen = BTreeSet::new();
        for (patient, before) in known {
            seen.insert(patient);
            let after = self.merged(before, self.facts.get(patient).unwrap_or(&nothing));
            if after != *before {
                changed.push((patient.clone(), after));
            }
        }
        for (patient, said) in &self.facts {
            if !seen.contains(patient) {
                changed.push((patient.clone(), self.merged(&nothing, said)));
            }
        }
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        changed
    }

    fn merged(&self, before: &PatientFacts, said: &PatientFacts) -> PatientFacts {
        let mut after = before.clone();
        if self.covers.care_teams {
            after.care_team.clone_from(&said.care_team);
        }
        if self.covers.encounters {
            after.encounters.clone_from(&said.encounters);
            after.unit.clone_from(&said.unit);
        }
        if self.covers.patients {
            after.vip = said.vip;
            after.employee = said.employee;
            after.adolescent = said.adolescent;
        }
        after
    }
}

/// A FHIR logical id: 1 to 64 of letters, digits, `-` and `.`.
fn checked_id(id: &str) -> Option<&str> {
    let good = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    good.then_some(id)
}

#[cfg(test)]
mod tests;
