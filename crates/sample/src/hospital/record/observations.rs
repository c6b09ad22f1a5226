//! What is measured: vital signs, laboratory, and tests that are sensitive.

use std::time::Duration;

use domain::{PersonId, Timestamp};
use serde_json::{Value, json};

use super::write::{LOINC, SNOMED, concept, quantity};
use super::{Writer, protect};
use crate::hospital::catalogue::{self, Measure};
use crate::hospital::patient::{Listed, Model, Visit};
use crate::hospital::staff;

impl Writer<'_> {
    pub(super) fn vital_signs(&mut self, patient: &Model, visit: &Visit) {
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

    pub(super) fn last_vital_signs(&mut self, patient: &Model) {
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

    pub(super) fn laboratory(&mut self, patient: &Model) {
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

    pub(super) fn hiv_tests(&mut self, patient: &Model, listed: &Listed) {
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

    pub(super) fn ethanol(&mut self, patient: &Model, listed: &Listed) {
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
}

fn vital_category() -> Value {
    concept(
        "http://terminology.hl7.org/CodeSystem/observation-category",
        "vital-signs",
        "Vital Signs",
    )
}
