//! Patients as the generator thinks of them: who they are, where they were, who looked after them.

use std::time::Duration;

use domain::relation::{Consent, ConsentEffect, Encounter, PatientFacts};
use domain::{PatientId, PersonId, Sensitivity, Timestamp, UnitId};

use super::catalogue::{self, Problem};
use super::names::{Gender, Names};
use super::staff::{self, Staff};
use crate::random::Random;

/// Beds in use: unit, how many, what brings people there.
const WARDS: &[(&str, usize, &[Problem])] = &[
    ("maple", 18, catalogue::MEDICINE),
    ("birch", 14, catalogue::SURGERY),
    ("rowan", 12, catalogue::CARDIOLOGY),
    ("alder", 8, catalogue::CRITICAL),
    ("willow", 12, catalogue::PAEDIATRICS),
    (staff::PSYCHIATRY, 10, catalogue::PSYCHIATRY),
];
const CLINIC_PATIENTS: usize = 110;
const PROGRAMME_PATIENTS: usize = 14;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A stay or an appointment.
pub(super) struct Visit {
    pub(super) id: String,
    pub(super) unit: UnitId,
    pub(super) inpatient: bool,
    pub(super) starts: Timestamp,
    pub(super) ends: Option<Timestamp>,
    pub(super) people: Vec<PersonId>,
    pub(super) reason: Option<&'static Problem>,
}

/// A problem on the list, and who put it there when.
pub(super) struct Listed {
    pub(super) problem: &'static Problem,
    pub(super) since: Timestamp,
    pub(super) recorder: PersonId,
}

/// One patient.
pub(super) struct Model {
    pub(super) id: PatientId,
    pub(super) given: &'static str,
    pub(super) family: String,
    pub(super) gender: Gender,
    pub(super) age: i64,
    pub(super) born: Timestamp,
    pub(super) record_number: String,
    pub(super) visits: Vec<Visit>,
    pub(super) problems: Vec<Listed>,
    /// The ward's or the family physician's team.
    pub(super) team: Vec<PersonId>,
    /// The substance-use programme's team: kept apart, for its existence already tells.
    pub(super) programme_team: Vec<PersonId>,
    pub(super) psychotherapist: Option<PersonId>,
    pub(super) consents: Vec<Consent>,
    pub(super) proxies: Vec<PersonId>,
    pub(super) vip: bool,
    pub(super) employee: Option<PersonId>,
}

impl Model {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.given, self.family)
    }

    /// The visit that goes on now.
    pub(super) fn current(&self) -> Option<&Visit> {
        self.visits.iter().find(|v| v.ends.is_none())
    }

    pub(super) fn adolescent(&self) -> bool {
        (13..18).contains(&self.age)
    }

    /// What the feeds would say of the patient.
    pub(super) fn facts(&self) -> PatientFacts {
        let mut care_team: Vec<PersonId> = self
            .team
            .iter()
            .chain(&self.programme_team)
            .cloned()
            .collect();
        care_team.sort();
        care_team.dedup();
        PatientFacts {
            vip: self.vip,
            employee: self.employee.is_some(),
            adolescent: self.adolescent(),
            unit: self.current().map(|v| v.unit.clone()),
            care_team,
            encounters: self
                .visits
                .iter()
                .flat_map(|v| {
                    v.people.iter().map(|person| Encounter {
                        person: person.clone(),
                        ended: v.ends,
                    })
                })
                .collect(),
            consents: self.consents.clone(),
            proxies: self.proxies.clone(),
        }
    }

    fn list(&mut self, problem: &'static Problem, since: Timestamp, recorder: &PersonId) {
        if !self.problems.iter().any(|l| l.problem.code == problem.code) {
            self.problems.push(Listed {
                problem,
                since,
                recorder: recorder.clone(),
            });
        }
    }
}

/// Invents the patients and ties employees and parents to theirs.
pub(super) fn generate(
    seed: u64,
    now: Timestamp,
    names: &mut Names,
    staff: &mut Staff,
) -> Vec<Model> {
    let mut maker = Maker {
        now,
        random: Random::new(seed, "patients"),
        names,
        staff,
    };
    let mut patients = Vec::new();
    for (ward, beds, reasons) in WARDS {
        for bed in 0..*beds {
            patients.push(maker.inpatient(ward, bed, reasons));
        }
    }
    for index in 0..CLINIC_PATIENTS {
        patients.push(maker.outpatient(index));
    }
    for _ in 0..PROGRAMME_PATIENTS {
        patients.push(maker.programme_patient());
    }
    maker.give_hiv(&mut patients);
    maker.employ(&mut patients);
    maker.make_vips(&mut patients);
    maker.find_parents(&mut patients);
    // Their order shall not tell where they lie.
    maker.random.shuffle(&mut patients);
    patients
}

struct Maker<'a> {
    now: Timestamp,
    random: Random,
    names: &'a mut Names,
    staff: &'a mut Staff,
}

impl Maker<'_> {
    fn ago(&self, secs: u64) -> Timestamp {
        self.now.minus(Duration::from_secs(secs))
    }

    fn days_ago(&mut self, low: i64, high: i64) -> Timestamp {
        let days = self.random.between(low, high).unsigned_abs();
        let secs = self.random.below(8 * HOUR as usize) as u64;
        self.ago(days * DAY + secs)
    }

    fn one_of(&mut self, role: &'static str, unit: &str) -> PersonId {
        let all: Vec<PersonId> = self
            .staff
            .of(role, unit)
            .map(|m| m.person.id.clone())
            .collect();
        self.random.pick(&all).clone()
    }

    fn anybody(&mut self, ages: (i64, i64)) -> Model {
        let gender = self.names.gender();
        let age = self.random.between(ages.0, ages.1);
        // Between a birthday and the day before the next one.
        let days = age.unsigned_abs() * 36_525 / 100 + 1 + self.random.below(363) as u64;
        Model {
            id: PatientId::new(format!("p{}", self.random.code(6))),
            given: self.names.given(gender),
            family: self.names.family(),
            gender,
            age,
            born: self.ago(days * DAY),
            record_number: format!("SYN-{:06}", self.random.between(100_000, 999_999)),
            visits: Vec::new(),
            problems: Vec::new(),
            team: Vec::new(),
            programme_team: Vec::new(),
            psychotherapist: None,
            consents: Vec::new(),
            proxies: Vec::new(),
            vip: false,
            employee: None,
        }
    }

    fn visit(
        &mut self,
        unit: &str,
        inpatient: bool,
        starts: Timestamp,
        ends: Option<Timestamp>,
        people: Vec<PersonId>,
        reason: Option<&'static Problem>,
    ) -> Visit {
        Visit {
            id: format!("e{}", self.random.code(8)),
            unit: UnitId::new(unit),
            inpatient,
            starts,
            ends,
            people,
            reason,
        }
    }

    fn add_chronic(&mut self, patient: &mut Model, recorder: &PersonId) {
        let count = match patient.age {
            ..25 => 0,
            25..45 => self.random.below(2),
            _ => 1 + self.random.below(3),
        };
        for _ in 0..count {
            let problem = self.random.pick(catalogue::CHRONIC);
            let since = self.days_ago(400, 3_000);
            patient.list(problem, since, recorder);
        }
    }

    fn inpatient(&mut self, ward: &'static str, bed: usize, reasons: &'static [Problem]) -> Model {
        let ages = match ward {
            // The first beds are for young people, so that each hospital has some.
            "willow" if bed < 4 => (13, 17),
            "willow" => (1, 12),
            _ => (24, 91),
        };
        let mut patient = self.anybody(ages);
        let reason = self.random.pick(reasons);
        let stay = 2 * HOUR + self.random.below(9 * DAY as usize) as u64;
        let starts = self.ago(stay);
        let physician = self.one_of("physician", ward);
        let nurse = self.one_of("nurse", ward);
        patient.team = vec![physician.clone(), nurse.clone()];
        patient.list(reason, starts, &physician);
        self.add_chronic(&mut patient, &physician);
        let now_here = self.visit(
            ward,
            true,
            starts,
            None,
            vec![physician.clone(), nurse],
            Some(reason),
        );
        patient.visits.push(now_here);
        match ward {
            "maple" if bed < 4 => self.enter_programme(&mut patient, bed.is_multiple_of(2)),
            staff::PSYCHIATRY if bed < 2 => self.enter_programme(&mut patient, bed == 0),
            "willow" if bed < 2 => patient.list(&catalogue::SEXUAL_HEALTH, starts, &physician),
            "birch" if bed == 0 => patient.list(&catalogue::VIOLENCE, starts, &physician),
            _ => {}
        }
        if ward == staff::PSYCHIATRY && bed.is_multiple_of(2) {
            let therapist = self
                .staff
                .of("physician", staff::PSYCHIATRY)
                .find(|m| m.specialty == "Psychotherapy")
                .map(|m| m.person.id.clone());
            if let Some(therapist) = therapist {
                if !patient.team.contains(&therapist) {
                    patient.team.push(therapist.clone());
                }
                patient.psychotherapist = Some(therapist);
            }
        }
        patient
    }

    fn outpatient(&mut self, index: usize) -> Model {
        let mut patient = self.anybody((19, 92));
        let family_physician = self.one_of("physician", staff::CLINIC);
        self.add_chronic(&mut patient, &family_physician);
        // Four kinds in turn: seen lately by somebody outside the team; not seen for long and without a team;
        // in the clinic at this moment; looked after steadily.
        match index % 4 {
            0 => {
                let unit = *self.random.pick(&["rowan", "birch", "maple"]);
                let consultant = self.one_of("physician", unit);
                let starts = self.days_ago(3, 24);
                let ends = starts.plus(Duration::from_secs(HOUR));
                let visit = self.visit(
                    staff::CLINIC,
                    false,
                    starts,
                    Some(ends),
                    vec![consultant],
                    None,
                );
                patient.visits.push(visit);
                patient.team = vec![family_physician];
            }
            1 => {
                let unit = *self.random.pick(&["rowan", "birch", "maple"]);
                let physician = self.one_of("physician", unit);
                let starts = self.days_ago(45, 300);
                let stay = Duration::from_secs(self.random.between(1, 8).unsigned_abs() * DAY);
                let visit = self.visit(
                    unit,
                    true,
                    starts,
                    Some(starts.plus(stay)),
                    vec![physician],
                    None,
                );
                patient.visits.push(visit);
            }
            2 if index < 32 => {
                let nurse = self.one_of("nurse", staff::CLINIC);
                let waited = self.random.below(2 * HOUR as usize) as u64;
                let starts = self.ago(waited);
                let people = vec![family_physician.clone(), nurse];
                let visit = self.visit(staff::CLINIC, false, starts, None, people, None);
                patient.visits.push(visit);
                patient.team = vec![family_physician];
            }
            _ => {
                for _ in 0..=self.random.below(2) {
                    let starts = self.days_ago(20, 500);
                    let ends = starts.plus(Duration::from_secs(HOUR));
                    let visit = self.visit(
                        staff::CLINIC,
                        false,
                        starts,
                        Some(ends),
                        vec![family_physician.clone()],
                        None,
                    );
                    patient.visits.push(visit);
                }
                let nurse = self.one_of("nurse", staff::CLINIC);
                patient.team = vec![family_physician, nurse];
            }
        }
        patient
    }

    fn programme_patient(&mut self) -> Model {
        let mut patient = self.anybody((21, 68));
        let consents = self.random.chance(50);
        self.enter_programme(&mut patient, consents);
        patient
    }

    /// Adds care by the substance-use programme, with or without the consent that lets others see it.
    fn enter_programme(&mut self, patient: &mut Model, consents: bool) {
        let physician = self.one_of("physician", staff::PROGRAMME);
        let nurse = self.one_of("nurse", staff::PROGRAMME);
        let reason = self.random.pick(catalogue::SUBSTANCE_USE);
        let since = self.days_ago(40, 700);
        patient.list(reason, since, &physician);
        let starts = self.days_ago(2, 20);
        let ends = starts.plus(Duration::from_secs(HOUR));
        let people = vec![physician.clone(), nurse.clone()];
        let visit = self.visit(
            staff::PROGRAMME,
            false,
            starts,
            Some(ends),
            people,
            Some(reason),
        );
        patient.visits.push(visit);
        patient.programme_team = vec![physician, nurse];
        if consents {
            patient.consents.push(Consent {
                effect: ConsentEffect::Permit,
                people: Vec::new(),
                labels: [Sensitivity::SubstanceUse].into_iter().collect(),
                ends: self.now.plus(Duration::from_secs(300 * DAY)),
            });
        }
    }

    /// Some patients live with HIV; two of those in hospital object to their own physician seeing it.
    fn give_hiv(&mut self, patients: &mut [Model]) {
        let specialist = self
            .staff
            .of("physician", staff::CLINIC)
            .find(|m| m.specialty == "Infectious disease")
            .map(|m| m.person.id.clone());
        let Some(specialist) = specialist else { return };
        let mut candidates: Vec<usize> = (0..patients.len())
            .filter(|&i| {
                patients[i]
                    .current()
                    .is_some_and(|v| matches!(v.unit.as_str(), "rowan" | "birch"))
            })
            .collect();
        self.random.shuffle(&mut candidates);
        let outpatients: Vec<usize> = (0..patients.len())
            .filter(|&i| {
                patients[i].visits.iter().any(|v| v.ends.is_some()) && patients[i].team.len() == 1
            })
            .collect();
        let since = self.days_ago(300, 2_000);
        for (turn, &index) in candidates
            .iter()
            .take(4)
            .chain(outpatients.iter().take(4))
            .enumerate()
        {
            let patient = &mut patients[index];
            patient.list(&catalogue::HIV, since, &specialist);
            if turn < 2 {
                patient.consents.push(Consent {
                    effect: ConsentEffect::Deny,
                    people: patient.team.first().cloned().into_iter().collect(),
                    labels: [Sensitivity::Hiv].into_iter().collect(),
                    ends: Timestamp::FOREVER,
                });
            }
        }
    }

    /// Four employees are patients here: of a ward other than their own, or of the clinic.
    fn employ(&mut self, patients: &mut [Model]) {
        let posts = [
            ("nurse", "maple", "birch"),
            ("physician", "rowan", "maple"),
            ("pharmacist", "pharmacy", staff::CLINIC),
            ("billing", "billing", staff::CLINIC),
        ];
        for (role, unit, lies_in) in posts {
            let id = self.one_of(role, unit);
            let fits = |p: &Model| {
                p.employee.is_none()
                    && p.consents.is_empty()
                    && p.programme_team.is_empty()
                    && (24..70).contains(&p.age)
                    && p.visits.iter().all(|v| v.unit.as_str() == lies_in)
                    && !p.visits.iter().any(|v| v.people.contains(&id))
                    && !p.team.is_empty()
            };
            let Some(patient) = patients.iter_mut().find(|p| fits(p)) else {
                continue;
            };
            let Some(member) = self.staff.members.iter_mut().find(|m| m.person.id == id) else {
                continue;
            };
            patient.given = member.given;
            patient.family = member.family.clone();
            patient.gender = member.gender;
            patient.employee = Some(id);
            member.person.patient = Some(patient.id.clone());
        }
    }

    /// One person of public interest lies on a ward, another comes to the clinic.
    fn make_vips(&mut self, patients: &mut [Model]) {
        for inpatient in [true, false] {
            let candidates: Vec<usize> = (0..patients.len())
                .filter(|&i| {
                    let p = &patients[i];
                    p.age >= 30
                        && p.employee.is_none()
                        && p.consents.is_empty()
                        && !p.team.is_empty()
                        && p.problems.iter().all(|l| l.problem.label.is_none())
                        && p.current().is_some_and(|v| v.inpatient) == inpatient
                })
                .collect();
            if !candidates.is_empty() {
                patients[*self.random.pick(&candidates)].vip = true;
            }
        }
    }

    /// One parent for an adolescent with confidential care, one for a younger child.
    fn find_parents(&mut self, patients: &mut [Model]) {
        let confidential = |p: &Model| {
            p.problems
                .iter()
                .any(|l| l.problem.label == Some("SEX") && p.adolescent())
        };
        let young = |p: &Model| p.age < 13;
        let tests: [&dyn Fn(&Model) -> bool; 2] = [&confidential, &young];
        for (parent, fits) in self.staff.proxies.iter_mut().zip(tests) {
            if let Some(child) = patients
                .iter_mut()
                .find(|p| p.proxies.is_empty() && fits(p))
            {
                child.proxies.push(parent.person.id.clone());
                child.family = parent.family.clone();
            }
        }
    }
}
