//! Who could show what: casts for the tour, the list of things to try, and tests.
//!
//! Each cast is found by looking at the facts, not remembered from how they were made, so that it stays true when
//! the generator changes.

use std::time::Duration;

use domain::relation::{ConsentEffect, PatientFacts};
use domain::{Device, DeviceId, PatientId, Person, PersonId, Sensitivity, UnitId};
use smol_str::SmolStr;

use super::record::Mark;
use super::{Hospital, SamplePatient, UnitKind, staff};
use crate::random::Random;

/// Encounters up to this many days ago tie a practitioner to a patient.
const ENCOUNTER_DAYS: u64 = 30;

/// A situation that the sample hospital can always show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Example {
    /// A physician of the patient's care team, at a workstation of the patient's ward.
    CareTeam,
    /// A nurse without any relation to the patient, at a workstation of the nurse's own ward.
    Unrelated,
    /// A ward nurse outside the patient's care team, at a workstation of the patient's ward.
    SameWard,
    /// The same kind of nurse and patient, at a workstation of another ward.
    OtherWard,
    /// A physician who met the patient in the last weeks, without being in the care team.
    RecentEncounter,
    /// A physician whose only encounter with the patient ended long ago.
    OldEncounter,
    /// A physician of the care team of a person of public interest.
    VipCareTeam,
    /// A nurse without relation to a person of public interest.
    VipUnrelated,
    /// An employee and the employee's own chart.
    OwnChart,
    /// A physician or nurse and the chart of a colleague whom they do not treat.
    Coworker,
    /// A physician of the substance-use programme and a record that the programme keeps.
    SubstanceUseProgramme,
    /// A ward physician in the care team, and the programme's record of a patient who consented.
    SubstanceUseConsent,
    /// The same without consent.
    SubstanceUseNoConsent,
    /// A physician in the care team to whom the patient objected, and what the objection is about.
    ConsentDenied,
    /// A psychotherapist and the therapist's own note.
    PsychotherapyAuthor,
    /// A nurse in the care team and that note.
    PsychotherapyOther,
    /// A physician in the care team and a psychiatric record.
    Psychiatry,
    /// A billing clerk and a claim.
    BillingClaim,
    /// A billing clerk and a clinical document.
    BillingNote,
    /// A pharmacist and a prescription.
    Pharmacist,
    /// A physician of the care team who is about to prescribe; the resource is an example of a controlled medicine.
    ControlledMedicine,
    /// A physician of the care team with a private phone; the resource is a text document's content.
    PrivatePhone,
    /// A physician of the care team with a laptop whose protection is off.
    PostureOff,
    /// The infusion-pump gateway, a patient in intensive care.
    PumpGateway,
    /// The outside vendor, with the vendor's own laptop; no patient.
    Vendor,
    /// A parent and a confidential record of an adolescent child.
    TeenProxy,
    /// A parent and a young child.
    Proxy,
    /// The registrar, at the registration desk.
    Registrar,
    /// The privacy officer, at the privacy office.
    PrivacyOfficer,
    /// The information technology administrator; no patient.
    ItAdministrator,
    /// The security analyst; no patient.
    SecurityAnalyst,
    /// The researcher.
    Researcher,
}

impl Example {
    /// Every example.
    pub const ALL: &'static [Self] = &[
        Self::CareTeam,
        Self::Unrelated,
        Self::SameWard,
        Self::OtherWard,
        Self::RecentEncounter,
        Self::OldEncounter,
        Self::VipCareTeam,
        Self::VipUnrelated,
        Self::OwnChart,
        Self::Coworker,
        Self::SubstanceUseProgramme,
        Self::SubstanceUseConsent,
        Self::SubstanceUseNoConsent,
        Self::ConsentDenied,
        Self::PsychotherapyAuthor,
        Self::PsychotherapyOther,
        Self::Psychiatry,
        Self::BillingClaim,
        Self::BillingNote,
        Self::Pharmacist,
        Self::ControlledMedicine,
        Self::PrivatePhone,
        Self::PostureOff,
        Self::PumpGateway,
        Self::Vendor,
        Self::TeenProxy,
        Self::Proxy,
        Self::Registrar,
        Self::PrivacyOfficer,
        Self::ItAdministrator,
        Self::SecurityAnalyst,
        Self::Researcher,
    ];
}

/// Who plays in an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Who asks.
    pub person: PersonId,
    /// On which device.
    pub device: DeviceId,
    /// About whom, where it is about a patient.
    pub patient: Option<PatientId>,
    /// Type and id of the resource that shows the point, where one does.
    pub resource: Option<(SmolStr, SmolStr)>,
}

impl Hospital {
    /// A cast for `example`, chosen at random and always the same for one seed.
    ///
    /// # Panics
    ///
    /// If the hospital cannot show the example. Every generated hospital can; a test tries many seeds.
    pub fn example(&self, example: Example) -> Cast {
        let casts = self.casts(example);
        let purpose = format!("example {example:?}");
        Random::new(self.seed, &purpose).pick(&casts).clone()
    }

    /// Every cast that fits `example`.
    pub fn casts(&self, example: Example) -> Vec<Cast> {
        match example {
            Example::CareTeam => self.in_care_team("physician", ordinary, At::Ward),
            Example::Unrelated => self.unrelated(ordinary),
            Example::SameWard => self.ward_nurses(true),
            Example::OtherWard => self.ward_nurses(false),
            Example::RecentEncounter => self.encounters(true),
            Example::OldEncounter => self.encounters(false),
            Example::VipCareTeam => self.in_care_team("physician", |p| p.facts.vip, At::Ward),
            Example::VipUnrelated => self.unrelated(|p| p.facts.vip),
            Example::OwnChart => self.own_charts(),
            Example::Coworker => self.unrelated(|p| p.facts.employee),
            Example::SubstanceUseProgramme => self.about(
                |hospital, mark, facts| {
                    mark.label == Some("ETH")
                        && !facts
                            .consents
                            .iter()
                            .any(|c| c.effect == ConsentEffect::Permit)
                        && mark.resource_type == "Condition"
                        && hospital.patient(&mark.patient).is_some()
                },
                |_, person, facts| {
                    person.units.iter().any(|u| u.as_str() == staff::PROGRAMME)
                        && has_role(person, "physician")
                        && facts.care_team.contains(&person.id)
                },
                At::Desk,
            ),
            Example::SubstanceUseConsent => self.outside_programme(true),
            Example::SubstanceUseNoConsent => self.outside_programme(false),
            Example::ConsentDenied => self.about(
                |_, mark, _| mark.label == Some("HIV") && mark.resource_type == "Observation",
                |_, person, facts| {
                    facts.care_team.contains(&person.id)
                        && facts.consents.iter().any(|c| {
                            c.effect == ConsentEffect::Deny
                                && c.labels.contains(Sensitivity::Hiv)
                                && c.people.contains(&person.id)
                        })
                },
                At::Ward,
            ),
            Example::PsychotherapyAuthor => self.psychotherapy(true),
            Example::PsychotherapyOther => self.psychotherapy(false),
            Example::Psychiatry => self.about(
                |_, mark, facts| {
                    mark.label == Some("PSY")
                        && mark.resource_type == "Condition"
                        && !facts.vip
                        && !facts.employee
                },
                |_, person, facts| {
                    has_role(person, "physician") && facts.care_team.contains(&person.id)
                },
                At::Ward,
            ),
            Example::BillingClaim => {
                self.by_role("billing", |m, _| m.resource_type == "Claim", At::Desk)
            }
            Example::BillingNote => self.by_role(
                "billing",
                |m, _| m.resource_type == "DocumentReference" && m.label.is_none(),
                At::Desk,
            ),
            Example::Pharmacist => self.by_role(
                "pharmacist",
                |m, _| m.resource_type == "MedicationRequest" && m.label.is_none(),
                At::Desk,
            ),
            Example::ControlledMedicine => self.about(
                |hospital, mark, facts| {
                    mark.resource_type == "MedicationRequest"
                        && mark.label.is_none()
                        && hospital.is_controlled(mark)
                        && facts.unit.is_some()
                        && ordinary_facts(facts)
                },
                |_, person, facts| {
                    has_role(person, "physician") && facts.care_team.contains(&person.id)
                },
                At::Ward,
            ),
            Example::PrivatePhone => self.about(
                |_, mark, facts| {
                    mark.resource_type == "Binary" && mark.label.is_none() && ordinary_facts(facts)
                },
                |_, person, facts| {
                    has_role(person, "physician") && facts.care_team.contains(&person.id)
                },
                At::Device("phone-private"),
            ),
            Example::PostureOff => {
                self.in_care_team("physician", ordinary, At::Device("laptop-unprotected"))
            }
            Example::PumpGateway => self
                .patients
                .iter()
                .filter(|p| p.facts.unit.as_ref().is_some_and(|u| u.as_str() == "alder"))
                .filter_map(|p| {
                    let gateway = self.people.iter().find(|w| w.device.is_some())?;
                    Some(Cast {
                        person: gateway.id.clone(),
                        device: gateway.device.clone()?,
                        patient: Some(p.id.clone()),
                        resource: Some(("Device".into(), staff::PUMP_GATEWAY.into())),
                    })
                })
                .collect(),
            Example::Vendor => self.alone("vendor", At::Device("laptop-vendor")),
            Example::TeenProxy => self.proxies(true),
            Example::Proxy => self.proxies(false),
            Example::Registrar => self.with_anybody("registrar"),
            Example::PrivacyOfficer => self.with_anybody("privacy_officer"),
            Example::Researcher => self.with_anybody("researcher"),
            Example::ItAdministrator => self.alone("it_administrator", At::Desk),
            Example::SecurityAnalyst => self.alone("security", At::Desk),
        }
    }

    /// A workstation of `unit`.
    pub fn workstation(&self, unit: &UnitId) -> Option<&Device> {
        self.devices
            .iter()
            .find(|d| d.class == "workstation" && d.unit.as_ref() == Some(unit))
    }

    /// Whether anything ties `person` to `patient`: care team, an encounter of the last thirty days, the ward, a
    /// parent's right, or being that patient.
    pub fn is_related(&self, person: &Person, patient: &SamplePatient) -> bool {
        let facts = &patient.facts;
        facts.care_team.contains(&person.id)
            || facts.proxies.contains(&person.id)
            || person.patient.as_ref() == Some(&patient.id)
            || facts
                .unit
                .as_ref()
                .is_some_and(|u| person.units.contains(u))
            || facts.encounters.iter().any(|e| {
                e.person == person.id
                    && e.ended.is_none_or(|ended| {
                        self.now.since(ended) <= Duration::from_secs(ENCOUNTER_DAYS * 86_400)
                    })
            })
    }

    fn is_controlled(&self, mark: &Mark) -> bool {
        self.resource(mark.resource_type, &mark.id)
            .is_some_and(|r| {
                let needle = super::CONTROLLED_EXTENSION.as_bytes();
                r.json.windows(needle.len()).any(|w| w == needle)
            })
    }

    fn device_for(&self, at: At, person: &Person, facts: &PatientFacts) -> Option<DeviceId> {
        let unit = match at {
            At::Device(id) => return Some(DeviceId::new(id)),
            At::Ward => facts.unit.as_ref().or(person.units.first())?,
            At::Desk => person.units.first()?,
        };
        self.workstation(unit).map(|d| d.id.clone())
    }

    /// Casts around one resource each.
    fn about(
        &self,
        is_resource: impl Fn(&Self, &Mark, &PatientFacts) -> bool,
        is_person: impl Fn(&Mark, &Person, &PatientFacts) -> bool,
        at: At,
    ) -> Vec<Cast> {
        let mut casts = Vec::new();
        for mark in &self.marks {
            let Some(patient) = self.patient(&mark.patient) else {
                continue;
            };
            if !is_resource(self, mark, &patient.facts) {
                continue;
            }
            for person in &self.people {
                if is_person(mark, person, &patient.facts)
                    && let Some(device) = self.device_for(at, person, &patient.facts)
                {
                    casts.push(Cast {
                        person: person.id.clone(),
                        device,
                        patient: Some(patient.id.clone()),
                        resource: Some((mark.resource_type.into(), mark.id.clone())),
                    });
                }
            }
        }
        casts
    }

    fn pairs(
        &self,
        is_pair: impl Fn(&Person, &SamplePatient) -> bool,
        device: impl Fn(&Person, &SamplePatient) -> Option<DeviceId>,
    ) -> Vec<Cast> {
        let mut casts = Vec::new();
        for patient in &self.patients {
            for person in &self.people {
                if is_pair(person, patient)
                    && let Some(device) = device(person, patient)
                {
                    casts.push(Cast {
                        person: person.id.clone(),
                        device,
                        patient: Some(patient.id.clone()),
                        resource: None,
                    });
                }
            }
        }
        casts
    }

    fn in_care_team(
        &self,
        role: &str,
        is_patient: fn(&SamplePatient) -> bool,
        at: At,
    ) -> Vec<Cast> {
        self.pairs(
            |person, patient| {
                is_patient(patient)
                    && self.lies_on_a_ward(patient)
                    && has_role(person, role)
                    && patient.facts.care_team.contains(&person.id)
            },
            |person, patient| self.device_for(at, person, &patient.facts),
        )
    }

    /// On a ward other than the psychiatric one, where most of a chart is sensitive.
    fn lies_on_a_ward(&self, patient: &SamplePatient) -> bool {
        self.units.iter().any(|u| {
            u.kind == UnitKind::Ward
                && u.id.as_str() != staff::PSYCHIATRY
                && Some(&u.id) == patient.facts.unit.as_ref()
        })
    }

    fn unrelated(&self, is_patient: fn(&SamplePatient) -> bool) -> Vec<Cast> {
        self.pairs(
            |person, patient| {
                is_patient(patient)
                    && has_role(person, "nurse")
                    // Whoever works for the programme has rights of their own.
                    && !person.units.iter().any(|u| u.as_str() == staff::PROGRAMME)
                    && person.patient.is_none()
                    && !self.is_related(person, patient)
            },
            |person, patient| self.device_for(At::Desk, person, &patient.facts),
        )
    }

    fn ward_nurses(&self, same_ward: bool) -> Vec<Cast> {
        self.pairs(
            |person, patient| {
                ordinary(patient)
                    && self.lies_on_a_ward(patient)
                    && has_role(person, "nurse")
                    && person.units.first() == patient.facts.unit.as_ref()
                    && !patient.facts.care_team.contains(&person.id)
                    && !patient
                        .facts
                        .encounters
                        .iter()
                        .any(|e| e.person == person.id)
            },
            |person, _| {
                let ward = person.units.first()?;
                self.units
                    .iter()
                    .find(|u| u.kind == UnitKind::Ward && (u.id == *ward) == same_ward)
                    .and_then(|u| self.workstation(&u.id))
                    .map(|d| d.id.clone())
            },
        )
    }

    fn encounters(&self, recent: bool) -> Vec<Cast> {
        self.pairs(
            |person, patient| {
                ordinary(patient)
                    && has_role(person, "physician")
                    && !patient.facts.care_team.contains(&person.id)
                    && patient
                        .facts
                        .encounters
                        .iter()
                        .any(|e| e.person == person.id)
                    && self.is_related(person, patient) == recent
            },
            |_, _| Some(DeviceId::new("laptop-managed")),
        )
    }

    fn own_charts(&self) -> Vec<Cast> {
        self.pairs(
            |person, patient| person.patient.as_ref() == Some(&patient.id),
            |person, patient| self.device_for(At::Desk, person, &patient.facts),
        )
    }

    fn outside_programme(&self, consented: bool) -> Vec<Cast> {
        self.about(
            |_, mark, facts| {
                mark.label == Some("ETH")
                    && mark.resource_type == "Condition"
                    && !facts.vip
                    && !facts.employee
                    && consented
                        == facts.consents.iter().any(|c| {
                            c.effect == ConsentEffect::Permit
                                && c.labels.contains(Sensitivity::SubstanceUse)
                        })
            },
            |_, person, facts| {
                has_role(person, "physician")
                    && facts.care_team.contains(&person.id)
                    && !person.units.iter().any(|u| u.as_str() == staff::PROGRAMME)
            },
            At::Ward,
        )
    }

    fn psychotherapy(&self, author: bool) -> Vec<Cast> {
        self.about(
            |_, mark, facts| {
                mark.label == Some("PSYTHPN")
                    && mark.resource_type == "DocumentReference"
                    && !facts.vip
                    && !facts.employee
            },
            |mark, person, facts| {
                facts.care_team.contains(&person.id)
                    && (mark.author.as_ref() == Some(&person.id)) == author
                    && has_role(person, if author { "physician" } else { "nurse" })
                    && !person.units.iter().any(|u| u.as_str() == staff::PROGRAMME)
            },
            At::Ward,
        )
    }

    fn by_role(
        &self,
        role: &'static str,
        is_resource: fn(&Mark, &PatientFacts) -> bool,
        at: At,
    ) -> Vec<Cast> {
        self.about(
            |_, mark, facts| ordinary_facts(facts) && is_resource(mark, facts),
            |_, person, _| has_role(person, role),
            at,
        )
    }

    fn with_anybody(&self, role: &'static str) -> Vec<Cast> {
        self.pairs(
            |person, patient| ordinary(patient) && has_role(person, role),
            |person, patient| self.device_for(At::Desk, person, &patient.facts),
        )
    }

    fn alone(&self, role: &str, at: At) -> Vec<Cast> {
        self.people
            .iter()
            .filter(|p| has_role(p, role))
            .filter_map(|p| {
                Some(Cast {
                    person: p.id.clone(),
                    device: self.device_for(at, p, &PatientFacts::default())?,
                    patient: None,
                    resource: None,
                })
            })
            .collect()
    }

    fn proxies(&self, teen: bool) -> Vec<Cast> {
        let mut casts = self.about(
            |_, mark, facts| {
                facts.adolescent == teen
                    && mark.resource_type == "Condition"
                    && (mark.label == Some("SEX")) == teen
            },
            |_, person, facts| facts.proxies.contains(&person.id),
            At::Device("phone-private"),
        );
        if !teen {
            casts.iter_mut().for_each(|c| c.resource = None);
            casts.dedup();
        }
        casts
    }
}

/// Where somebody asks from.
#[derive(Clone, Copy)]
enum At {
    /// A workstation where the patient lies, or else of the person's own unit.
    Ward,
    /// A workstation of the person's own unit.
    Desk,
    /// This device.
    Device(&'static str),
}

fn has_role(person: &Person, role: &str) -> bool {
    person.roles.iter().any(|r| r.as_str() == role)
}

fn ordinary(patient: &SamplePatient) -> bool {
    ordinary_facts(&patient.facts)
}

/// Nothing about the patient changes what a relation alone would decide.
fn ordinary_facts(facts: &PatientFacts) -> bool {
    !facts.vip
        && !facts.employee
        && !facts.adolescent
        && facts.consents.is_empty()
        && facts.proxies.is_empty()
}
