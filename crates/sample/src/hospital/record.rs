//! Patients' records as FHIR R4 resources.

mod directory;
mod documents;
mod observations;
mod write;

use std::time::Duration;

use domain::relation::{Consent, ConsentEffect};
use domain::{PatientId, PersonId, Timestamp};
use serde_json::{Value, json};
use smol_str::SmolStr;

use self::write::{
    RXNORM, SNOMED, concept, controlled_mark, day, kept_by, labels, reference, text_concept,
};
use super::catalogue::{self, Medicine};
use super::notes;
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
