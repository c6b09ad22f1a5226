//! Patients' records as FHIR R4 resources.

mod directory;
mod write;

use std::time::Duration;

use domain::relation::{Consent, ConsentEffect};
use domain::{PatientId, PersonId, Timestamp};
use serde_json::{Value, json};
use smol_str::SmolStr;

use self::write::{
    LOINC, RXNORM, SNOMED, concept, controlled_mark, day, kept_by, labels, quantity, reference,
    text_concept,
};
use super::catalogue::{self, Measure, Medicine};
use super::notes::{self, Note};
use super::patient::{Listed, Model, Visit};
use super::staff::{self, Staff};
use super::{RECORD_NUMBER_SYSTEM, SampleResource, Unit};
use crate::random::Random;

/// A resource that an [`Example`](super::Example) may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) patient: PatientId,
    pub(super) resource_type: &'static str,
    pub(super) id: SmolStr,
    /// Sensitivity label, if it has one.
    pub(super) label: Option<&'static str>,
    pub(super) author: Option<PersonId>,
}

/// Writes everybody's records, and the directory they refer to.
pub(super) fn write(
    seed: u64,
    now: Timestamp,
    units: &[Unit],
    staff: &Staff,
    patients: &[Model],
) -> (Vec<SampleResource>, Vec<Mark>) {
    let mut writer = Writer {
        now,
        random: Random::new(seed, "records"),
        staff,
        resources: Vec::with_capacity(10_000),
        marks: Vec::new(),
    };
    directory::write(&mut writer, units);
    for patient in patients {
        writer.patient(patient);
    }
    (writer.resources, writer.marks)
}

struct Writer<'a> {
    now: Timestamp,
    random: Random,
    staff: &'a Staff,
    resources: Vec<SampleResource>,
    marks: Vec<Mark>,
}

impl Writer<'_> {
    /// Files `resource` under its `resourceType` and `id`.
    fn file(
        &mut self,
        resource_type: &'static str,
        id: &str,
        updated: Timestamp,
        mut resource: Value,
    ) {
        if let Some(object) = resource.as_object_mut() {
            object.insert("resourceType".into(), resource_type.into());
            object.insert("id".into(), id.into());
        }
        self.resources.push(SampleResource {
            resource_type,
            id: id.into(),
            updated: updated.min(self.now),
            json: resource.to_string().into(),
        });
    }

    fn mark(
        &mut self,
        patient: &Model,
        resource_type: &'static str,
        id: &str,
        label: Option<&'static str>,
        author: Option<&PersonId>,
    ) {
        self.marks.push(Mark {
            patient: patient.id.clone(),
            resource_type,
            id: id.into(),
            label,
            author: author.cloned(),
        });
    }

    fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.random.code(8))
    }

    fn subject(patient: &Model) -> Value {
        reference("Patient", patient.id.as_str(), &patient.name())
    }

    fn person(&self, id: &PersonId) -> Value {
        let name = self.staff.member(id).map_or("", |m| m.person.name.as_str());
        reference("Practitioner", id.as_str(), name)
    }

    fn patient(&mut self, patient: &Model) {
        self.demographics(patient);
        self.coverage(patient);
        for visit in &patient.visits {
            self.encounter(patient, visit);
        }
        self.care_teams(patient);
        for consent in &patient.consents {
            self.consent(patient, consent);
        }
        self.allergies(patient);
        for listed in &patient.problems {
            self.problem(patient, listed);
        }
        if let Some(visit) = patient.current() {
            self.vital_signs(patient, visit);
        } else {
            self.last_vital_signs(patient);
        }
        self.laboratory(patient);
        self.documents(patient);
        if patient
            .current()
            .is_some_and(|v| v.unit.as_str() == "alder")
        {
            self.pump(patient);
        }
    }

    fn demographics(&mut self, patient: &Model) {
        let mut codes = Vec::new();
        if patient.vip {
            codes.push("VIP");
        }
        if patient.employee.is_some() {
            codes.push("EMP");
        }
        let mut meta = labels(None, &codes);
        // HL7 v3 ActReason: whoever exports this by mistake can see that it is not about a person.
        meta["tag"] = json!([{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
            "code": "HTEST",
            "display": "test health data",
        }]);
        let house = self.random.between(1, 240);
        let mut resource = json!({
            "meta": meta,
            "active": true,
            "identifier": [{
                "use": "usual",
                "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number"),
                "system": RECORD_NUMBER_SYSTEM,
                "value": patient.record_number,
            }],
            "name": [{"use": "official", "family": patient.family, "given": [patient.given]}],
            "gender": patient.gender.code(),
            "birthDate": day(patient.born),
            "address": [{"use": "home", "line": [format!("{house} Invented Road")], "city": "Larkfield"}],
            "managingOrganization": reference("Organization", directory::HOSPITAL, directory::HOSPITAL_NAME),
        });
        if patient.current().is_none()
            && let Some(first) = patient.team.first()
        {
            resource["generalPractitioner"] = json!([self.person(first)]);
        }
        let updated = self.now.minus(Duration::from_secs(86_400 * 30));
        self.file("Patient", patient.id.as_str(), updated, resource);
        for proxy in &patient.proxies {
            let id = self.id("rp");
            let parent = self.staff.proxies.iter().find(|m| m.person.id == *proxy);
            let (given, family) = parent.map_or(("", ""), |m| (m.given, m.family.as_str()));
            self.file(
                "RelatedPerson",
                &id,
                updated,
                json!({
                    "active": true,
                    "identifier": [{"system": directory::STAFF_SYSTEM, "value": proxy.as_str()}],
                    "patient": Self::subject(patient),
                    "relationship": [concept(
                        "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "PRN", "parent",
                    )],
                    "name": [{"family": family, "given": [given]}],
                }),
            );
        }
    }

    fn coverage(&mut self, patient: &Model) {
        if self.random.chance(8) {
            return;
        }
        let (payer, name) = *self.random.pick(directory::PAYERS);
        let id = self.id("cov");
        let subscriber = format!("SYN-{}", self.random.between(10_000_000, 99_999_999));
        let updated = self.now.minus(Duration::from_secs(86_400 * 60));
        self.file(
            "Coverage",
            &id,
            updated,
            json!({
                "status": "active",
                "beneficiary": Self::subject(patient),
                "subscriberId": subscriber,
                "payor": [reference("Organization", payer, name)],
            }),
        );
        let Some(visit) = patient.visits.iter().find(|v| v.ends.is_some()) else {
            return;
        };
        let Some(ended) = visit.ends else { return };
        // A claim of the programme would tell that the patient is known there: those are billed on paper.
        if visit.unit.as_str() == staff::PROGRAMME {
            return;
        }
        let claim = self.id("clm");
        let amount = self.random.between(90, 9_800);
        let provider = visit.people.first().map(|p| self.person(p));
        self.file(
            "Claim",
            &claim,
            ended.plus(Duration::from_secs(86_400)),
            json!({
                "status": "active",
                "type": concept(
                    "http://terminology.hl7.org/CodeSystem/claim-type",
                    if visit.inpatient { "institutional" } else { "professional" },
                    if visit.inpatient { "Institutional" } else { "Professional" },
                ),
                "use": "claim",
                "patient": Self::subject(patient),
                "created": day(ended),
                "insurer": reference("Organization", payer, name),
                "provider": provider,
                "priority": concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal", "Normal"),
                "insurance": [{"sequence": 1, "focal": true, "coverage": {"reference": format!("Coverage/{id}")}}],
                "item": [{
                    "sequence": 1,
                    "productOrService": text_concept(if visit.inpatient { "Hospital stay" } else { "Office visit" }),
                    "encounter": [{"reference": format!("Encounter/{}", visit.id)}],
                }],
                "total": {"value": amount, "currency": "USD"},
            }),
        );
        self.mark(patient, "Claim", &claim, None, None);
    }

    fn encounter(&mut self, patient: &Model, visit: &Visit) {
        let of_programme = visit.unit.as_str() == staff::PROGRAMME;
        let mut resource = json!({
            "status": if visit.ends.is_some() { "finished" } else { "in-progress" },
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": if visit.inpatient { "IMP" } else { "AMB" },
                "display": if visit.inpatient { "inpatient encounter" } else { "ambulatory" },
            },
            "subject": Self::subject(patient),
            "participant": visit.people.iter().map(|p| json!({
                "individual": self.person(p),
            })).collect::<Vec<_>>(),
            "period": {"start": visit.starts.to_string()},
            "location": [{
                "location": reference("Location", visit.unit.as_str(), directory::unit_name(&visit.unit)),
                "status": if visit.ends.is_some() { "completed" } else { "active" },
            }],
            "serviceProvider": reference("Organization", directory::HOSPITAL, directory::HOSPITAL_NAME),
        });
        if let Some(ends) = visit.ends {
            resource["period"]["end"] = ends.to_string().into();
        }
        if let Some(reason) = visit.reason
            && (reason.label.is_none() || of_programme)
        {
            resource["reasonCode"] = json!([concept(SNOMED, reason.code, reason.text)]);
        }
        if of_programme {
            resource["meta"] = labels(Some("R"), &["ETH"]);
            kept_by(&mut resource, staff::PROGRAMME);
            self.mark(patient, "Encounter", &visit.id, Some("ETH"), None);
        }
        let updated = visit.ends.unwrap_or(visit.starts);
        self.file("Encounter", &visit.id, updated, resource);
    }

    fn care_teams(&mut self, patient: &Model) {
        let since = patient
            .current()
            .map_or(self.now.minus(Duration::from_secs(86_400 * 200)), |v| {
                v.starts
            });
        for (team, of_programme) in [(&patient.team, false), (&patient.programme_team, true)] {
            if team.is_empty() {
                continue;
            }
            let id = self.id("ct");
            let mut resource = json!({
                "status": "active",
                "name": if of_programme { "Programme team" } else { "Care team" },
                "subject": Self::subject(patient),
                "period": {"start": since.to_string()},
                "participant": team.iter().map(|p| json!({
                    "role": [text_concept(self.staff.member(p).map_or("", |m| m.specialty))],
                    "member": self.person(p),
                })).collect::<Vec<_>>(),
            });
            if of_programme {
                resource["meta"] = labels(Some("R"), &["ETH"]);
                kept_by(&mut resource, staff::PROGRAMME);
            }
            self.file("CareTeam", &id, since, resource);
        }
    }

    fn consent(&mut self, patient: &Model, consent: &Consent) {
        let id = self.id("con");
        let given = self.now.minus(Duration::from_secs(86_400 * 20));
        let mut provision = json!({
            "type": match consent.effect {
                ConsentEffect::Permit => "permit",
                ConsentEffect::Deny => "deny",
            },
            "securityLabel": consent.labels.iter().map(|l| json!({
                "system": super::ACT_CODE_SYSTEM, "code": l.code(),
            })).collect::<Vec<_>>(),
        });
        if consent.ends != Timestamp::FOREVER {
            provision["period"] =
                json!({"start": given.to_string(), "end": consent.ends.to_string()});
        }
        if !consent.people.is_empty() {
            provision["actor"] = consent
                .people
                .iter()
                .map(|p| {
                    json!({
                        "role": concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP",
                            "information recipient"),
                        "reference": self.person(p),
                    })
                })
                .collect();
        }
        let codes: Vec<&str> = consent.labels.iter().map(|l| l.code()).collect();
        self.file(
            "Consent",
            &id,
            given,
            json!({
                "meta": labels(Some("R"), &codes),
                "status": "active",
                "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy",
                    "Privacy Consent"),
                "category": [concept("http://loinc.org", "59284-0", "Patient Consent")],
                "patient": Self::subject(patient),
                "dateTime": given.to_string(),
                "organization": [reference("Organization", directory::HOSPITAL, directory::HOSPITAL_NAME)],
                "policyRule": concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN", "opt-in"),
                "provision": provision,
            }),
        );
    }

    fn allergies(&mut self, patient: &Model) {
        if !self.random.chance(30) {
            return;
        }
        let (code, text) = *self.random.pick(catalogue::ALLERGENS);
        let id = self.id("al");
        let criticality = if self.random.chance(40) {
            "high"
        } else {
            "low"
        };
        let recorded = self.now.minus(Duration::from_secs(86_400 * 150));
        self.file(
            "AllergyIntolerance",
            &id,
            recorded,
            json!({
                "clinicalStatus": concept(
                    "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active",
                ),
                "code": concept(SNOMED, code, text),
                "patient": Self::subject(patient),
                "recordedDate": day(recorded),
                "criticality": criticality,
            }),
        );
    }

    fn problem(&mut self, patient: &Model, listed: &Listed) {
        let problem = listed.problem;
        let id = self.id("c");
        let keeper = (problem.label == Some("ETH")).then_some(staff::PROGRAMME);
        let mut resource = json!({
            "clinicalStatus": concept(
                "http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active",
            ),
            "verificationStatus": concept(
                "http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed", "Confirmed",
            ),
            "category": [concept(
                "http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item", "Problem List Item",
            )],
            "code": concept(SNOMED, problem.code, problem.text),
            "subject": Self::subject(patient),
            "onsetDateTime": day(listed.since),
            "recordedDate": listed.since.to_string(),
            "recorder": self.person(&listed.recorder),
        });
        protect(&mut resource, problem.label, keeper);
        self.file("Condition", &id, listed.since, resource);
        self.mark(
            patient,
            "Condition",
            &id,
            problem.label,
            Some(&listed.recorder),
        );
        for medicine in problem.medicines {
            self.prescription(patient, listed, medicine, keeper);
        }
        match problem.label {
            Some("HIV") => self.hiv_tests(patient, listed),
            Some("ETH") => self.ethanol(patient, listed),
            _ => {}
        }
        if let (Some(label), Some(author)) = (problem.label, self.staff.member(&listed.recorder)) {
            let note = notes::sensitive(patient, author, problem.text);
            self.document(
                patient,
                &note,
                &listed.recorder,
                listed.since,
                Some(("R", label)),
                keeper,
            );
        }
    }

    fn prescription(
        &mut self,
        patient: &Model,
        listed: &Listed,
        medicine: &Medicine,
        keeper: Option<&str>,
    ) {
        let label = listed.problem.label;
        let id = self.id("mr");
        let authored = listed
            .since
            .plus(Duration::from_secs(self.random.below(3_600) as u64))
            .min(self.now);
        let mut resource = json!({
            "status": "active",
            "intent": "order",
            "category": [concept(
                "http://terminology.hl7.org/CodeSystem/medicationrequest-category",
                if patient.current().is_some() { "inpatient" } else { "outpatient" },
                if patient.current().is_some() { "Inpatient" } else { "Outpatient" },
            )],
            "medicationCodeableConcept": concept(RXNORM, medicine.code, medicine.text),
            "subject": Self::subject(patient),
            "authoredOn": authored.to_string(),
            "requester": self.person(&listed.recorder),
            "dosageInstruction": [{"text": medicine.dose}],
        });
        protect(&mut resource, label, keeper);
        if medicine.controlled {
            controlled_mark(&mut resource);
        }
        self.file("MedicationRequest", &id, authored, resource);
        self.mark(
            patient,
            "MedicationRequest",
            &id,
            label,
            Some(&listed.recorder),
        );
        let pharmacists: Vec<PersonId> = self
            .staff
            .with_role("pharmacist")
            .map(|m| m.person.id.clone())
            .collect();
        if self.random.chance(45) {
            let pharmacist = self.random.pick(&pharmacists).clone();
            let dispense = self.id("md");
            let handed = authored.plus(Duration::from_secs(3_600)).min(self.now);
            let mut resource = json!({
                "status": "completed",
                "medicationCodeableConcept": concept(RXNORM, medicine.code, medicine.text),
                "subject": Self::subject(patient),
                "performer": [{"actor": self.person(&pharmacist)}],
                "authorizingPrescription": [{"reference": format!("MedicationRequest/{id}")}],
                "whenHandedOver": handed.to_string(),
            });
            protect(&mut resource, label, keeper);
            self.file("MedicationDispense", &dispense, handed, resource);
        }
        if let (Some(visit), true) = (patient.current(), self.random.chance(50))
            && let Some(nurse) = visit.people.last()
        {
            let given_id = self.id("ma");
            let given = self
                .now
                .minus(Duration::from_secs(self.random.below(20_000) as u64))
                .max(authored);
            let mut resource = json!({
                "status": "completed",
                "medicationCodeableConcept": concept(RXNORM, medicine.code, medicine.text),
                "subject": Self::subject(patient),
                "context": {"reference": format!("Encounter/{}", visit.id)},
                "effectiveDateTime": given.to_string(),
                "performer": [{"actor": self.person(nurse)}],
                "request": {"reference": format!("MedicationRequest/{id}")},
            });
            protect(&mut resource, label, keeper);
            self.file("MedicationAdministration", &given_id, given, resource);
        }
    }

    fn vital_signs(&mut self, patient: &Model, visit: &Visit) {
        let nurse = visit.people.last().cloned();
        let rounds = if visit.inpatient { 5 } else { 1 };
        for round in 0..rounds {
            let at = self.now.minus(Duration::from_secs(
                round * 21_600 + 900 + self.random.below(1_800) as u64,
            ));
            if round > 0 && at < visit.starts {
                break;
            }
            self.vital_round(patient, Some(visit), nurse.as_ref(), at);
        }
    }

    fn last_vital_signs(&mut self, patient: &Model) {
        let last = patient
            .visits
            .iter()
            .filter(|v| v.unit.as_str() != staff::PROGRAMME)
            .max_by_key(|v| v.starts);
        if let Some(visit) = last {
            let nurse = visit.people.last().cloned();
            self.vital_round(
                patient,
                Some(visit),
                nurse.as_ref(),
                visit.starts.plus(Duration::from_secs(600)),
            );
        }
    }

    fn vital_round(
        &mut self,
        patient: &Model,
        visit: Option<&Visit>,
        by: Option<&PersonId>,
        at: Timestamp,
    ) {
        for measure in catalogue::VITALS {
            self.measurement(patient, measure, "vital-signs", visit, by, at);
        }
        let id = self.id("o");
        let systolic = self
            .random
            .around(if patient.age < 13 { 102.0 } else { 128.0 }, 16.0);
        let diastolic = systolic * 0.6 + self.random.around(4.0, 4.0);
        let mut resource = json!({
            "status": "final",
            "category": [vital_category()],
            "code": concept(LOINC, "85354-9", "Blood pressure"),
            "subject": Self::subject(patient),
            "effectiveDateTime": at.to_string(),
            "component": [
                {"code": concept(LOINC, "8480-6", "Systolic blood pressure"),
                 "valueQuantity": quantity(systolic, 0, "mmHg", "mm[Hg]")},
                {"code": concept(LOINC, "8462-4", "Diastolic blood pressure"),
                 "valueQuantity": quantity(diastolic, 0, "mmHg", "mm[Hg]")},
            ],
        });
        self.attribute(&mut resource, visit, by);
        self.file("Observation", &id, at, resource);
    }

    fn attribute(&self, resource: &mut Value, visit: Option<&Visit>, by: Option<&PersonId>) {
        if let Some(visit) = visit {
            resource["encounter"] = json!({"reference": format!("Encounter/{}", visit.id)});
        }
        if let Some(by) = by {
            resource["performer"] = json!([self.person(by)]);
        }
    }

    fn measurement(
        &mut self,
        patient: &Model,
        measure: &Measure,
        category: &'static str,
        visit: Option<&Visit>,
        by: Option<&PersonId>,
        at: Timestamp,
    ) {
        let id = self.id("o");
        let ceiling = if measure.ucum == "%" { 100.0 } else { f64::MAX };
        let value = self
            .random
            .around(measure.mean, measure.spread)
            .clamp(measure.low * 0.6, ceiling)
            .max(0.1);
        let interpretation = if value < measure.low {
            ("L", "Low")
        } else if value > measure.high {
            ("H", "High")
        } else {
            ("N", "Normal")
        };
        let mut resource = json!({
            "status": "final",
            "category": [concept(
                "http://terminology.hl7.org/CodeSystem/observation-category",
                category,
                if category == "laboratory" { "Laboratory" } else { "Vital Signs" },
            )],
            "code": concept(LOINC, measure.code, measure.text),
            "subject": Self::subject(patient),
            "effectiveDateTime": at.to_string(),
            "valueQuantity": quantity(value, measure.decimals, measure.unit, measure.ucum),
            "interpretation": [concept(
                "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                interpretation.0,
                interpretation.1,
            )],
            "referenceRange": [{
                "low": quantity(measure.low, measure.decimals, measure.unit, measure.ucum),
                "high": quantity(measure.high, measure.decimals, measure.unit, measure.ucum),
            }],
        });
        self.attribute(&mut resource, visit, by);
        self.file("Observation", &id, at, resource);
        self.mark(patient, "Observation", &id, None, by);
    }

    fn laboratory(&mut self, patient: &Model) {
        let visit = patient.current().or_else(|| {
            patient
                .visits
                .iter()
                .find(|v| v.unit.as_str() != staff::PROGRAMME)
        });
        let Some(visit) = visit else { return };
        let rounds = if patient.current().is_some_and(|v| v.inpatient) {
            2
        } else {
            1
        };
        for round in 0..rounds {
            let at = match visit.ends {
                Some(_) => visit.starts.plus(Duration::from_secs(1_800)),
                None => self.now.minus(Duration::from_secs(
                    round * 86_400 + 7_200 + self.random.below(3_600) as u64,
                )),
            };
            if round > 0 && at < visit.starts {
                break;
            }
            for measure in catalogue::LABORATORY {
                if self.random.chance(75) {
                    self.measurement(patient, measure, "laboratory", Some(visit), None, at);
                }
            }
        }
    }

    fn hiv_tests(&mut self, patient: &Model, listed: &Listed) {
        let viral_load = self.random.between(20, 200) as f64;
        let recent = self.now.minus(Duration::from_secs(86_400 * 12));
        let tests = [
            (
                "56888-1",
                "HIV 1+2 antibody and HIV 1 p24 antigen",
                listed.since,
                json!({"valueCodeableConcept": concept(SNOMED, "10828004", "Positive")}),
            ),
            (
                "20447-9",
                "HIV 1 RNA, viral load",
                recent,
                json!({"valueQuantity": quantity(viral_load, 0, "copies/mL", "{copies}/mL")}),
            ),
        ];
        for (code, text, at, value) in tests {
            self.sensitive_test(
                patient,
                (code, text),
                at,
                value,
                "HIV",
                None,
                &listed.recorder,
            );
        }
    }

    fn ethanol(&mut self, patient: &Model, listed: &Listed) {
        let at = self.now.minus(Duration::from_secs(86_400 * 3));
        let value = self.random.between(0, 30) as f64;
        self.sensitive_test(
            patient,
            ("5643-2", "Ethanol in serum"),
            at,
            json!({"valueQuantity": quantity(value, 0, "mg/dL", "mg/dL")}),
            "ETH",
            Some(staff::PROGRAMME),
            &listed.recorder,
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each; a struct would only rename the arguments"
    )]
    fn sensitive_test(
        &mut self,
        patient: &Model,
        (code, text): (&str, &str),
        at: Timestamp,
        value: Value,
        label: &'static str,
        keeper: Option<&str>,
        by: &PersonId,
    ) {
        let id = self.id("o");
        let mut resource = value;
        resource["status"] = "final".into();
        resource["category"] = json!([concept(
            "http://terminology.hl7.org/CodeSystem/observation-category",
            "laboratory",
            "Laboratory",
        )]);
        resource["code"] = concept(LOINC, code, text);
        resource["subject"] = Self::subject(patient);
        resource["effectiveDateTime"] = at.to_string().into();
        resource["performer"] = json!([self.person(by)]);
        protect(&mut resource, Some(label), keeper);
        self.file("Observation", &id, at, resource);
        self.mark(patient, "Observation", &id, Some(label), Some(by));
    }

    fn documents(&mut self, patient: &Model) {
        for visit in &patient.visits {
            if visit.unit.as_str() == staff::PROGRAMME {
                continue;
            }
            let Some(author) = visit.people.first() else {
                continue;
            };
            let Some(member) = self.staff.member(author) else {
                continue;
            };
            let psychiatric = (visit.unit.as_str() == "linden").then_some(("R", "PSY"));
            if let Some(ends) = visit.ends {
                let note = notes::letter(patient, member, visit.inpatient);
                self.document(patient, &note, author, ends, psychiatric, None);
            } else if visit.inpatient {
                let days = self.now.since(visit.starts).as_secs() / 86_400;
                for day in 0..=days.min(2) {
                    let at = visit.starts.plus(Duration::from_secs(day * 86_400 + 1_800));
                    let note = notes::progress(patient, visit, member, day as usize);
                    self.document(patient, &note, author, at, psychiatric, None);
                }
            }
        }
        if let Some(therapist) = &patient.psychotherapist
            && let Some(member) = self.staff.member(therapist)
        {
            let note = notes::psychotherapy(patient, member);
            let at = self.now.minus(Duration::from_secs(86_400));
            self.document(patient, &note, therapist, at, Some(("V", "PSYTHPN")), None);
        }
    }

    fn document(
        &mut self,
        patient: &Model,
        note: &Note,
        author: &PersonId,
        at: Timestamp,
        label: Option<(&'static str, &'static str)>,
        keeper: Option<&str>,
    ) {
        use base64::Engine as _;

        let id = self.id("doc");
        let code = label.map(|(_, code)| code);
        let custodian = match keeper {
            Some(unit) => reference("Organization", unit, directory::unit_name(&unit.into())),
            None => reference(
                "Organization",
                directory::HOSPITAL,
                directory::HOSPITAL_NAME,
            ),
        };
        let mut attachment = json!({
            "contentType": "text/plain; charset=utf-8",
            "size": note.text.len(),
            "title": note.title,
        });
        let data = base64::engine::general_purpose::STANDARD.encode(&note.text);
        let meta = label.map(|(confidentiality, code)| labels(Some(confidentiality), &[code]));
        // A Binary cannot say who wrote it or which programme keeps it. Where that decides who may read, the text
        // stays inside the document; elsewhere it lies apart under the same labels.
        if keeper.is_some() || code == Some("PSYTHPN") {
            attachment["data"] = data.into();
        } else {
            let binary = self.id("bin");
            let mut content = json!({
                "contentType": "text/plain; charset=utf-8",
                "securityContext": {"reference": format!("Patient/{}", patient.id.as_str())},
                "data": data,
            });
            if let Some(meta) = &meta {
                content["meta"] = meta.clone();
            }
            attachment["url"] = format!("Binary/{binary}").into();
            self.file("Binary", &binary, at, content);
            self.mark(patient, "Binary", &binary, code, Some(author));
        }
        let mut resource = json!({
            "status": "current",
            "type": concept(LOINC, note.code, note.title),
            "category": [concept(
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "clinical-note",
                "Clinical Note",
            )],
            "subject": Self::subject(patient),
            "date": at.to_string(),
            "author": [self.person(author)],
            "custodian": custodian,
            "content": [{"attachment": attachment}],
        });
        if let Some(meta) = meta {
            resource["meta"] = meta;
        }
        if let Some(unit) = keeper {
            kept_by(&mut resource, unit);
        }
        self.file("DocumentReference", &id, at, resource);
        self.mark(patient, "DocumentReference", &id, code, Some(author));
    }

    /// An infusion pump at the bedside, and what its gateway reports.
    fn pump(&mut self, patient: &Model) {
        let pump = self.id("pump");
        let at = self.now.minus(Duration::from_secs(1_200));
        self.file(
            "Device",
            &pump,
            at,
            json!({
                "status": "active",
                "deviceName": [{"name": "Infusion pump", "type": "user-friendly-name"}],
                "type": text_concept("Infusion pump"),
                "patient": Self::subject(patient),
                "location": reference("Location", "alder", directory::unit_name(&"alder".into())),
                "parent": {"reference": format!("Device/{}", staff::PUMP_GATEWAY)},
            }),
        );
        let id = self.id("o");
        let rate = self.random.around(6.0, 3.0).max(0.5);
        self.file(
            "Observation",
            &id,
            at,
            json!({
                "status": "final",
                "category": [concept(
                    "http://terminology.hl7.org/CodeSystem/observation-category", "therapy", "Therapy",
                )],
                "code": text_concept("Infusion rate"),
                "subject": Self::subject(patient),
                "effectiveDateTime": at.to_string(),
                "device": {"reference": format!("Device/{}", staff::PUMP_GATEWAY)},
                "valueQuantity": quantity(rate, 1, "mL/h", "mL/h"),
            }),
        );
    }
}

fn vital_category() -> Value {
    concept(
        "http://terminology.hl7.org/CodeSystem/observation-category",
        "vital-signs",
        "Vital Signs",
    )
}

/// Labels a resource and names who keeps it, where there is reason to.
fn protect(resource: &mut Value, label: Option<&'static str>, keeper: Option<&str>) {
    if let Some(label) = label {
        resource["meta"] = labels(Some("R"), &[label]);
    }
    if let Some(unit) = keeper {
        kept_by(resource, unit);
    }
}
