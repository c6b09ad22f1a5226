//! What is written down, and what machines report by themselves.

use std::time::Duration;

use base64::Engine as _;
use domain::{PersonId, Timestamp};
use serde_json::json;

use super::write::{LOINC, concept, kept_by, labels, quantity, reference, text_concept};
use super::{Writer, directory};
use crate::hospital::notes::{self, Note};
use crate::hospital::patient::Model;
use crate::hospital::staff;

impl Writer<'_> {
    pub(super) fn documents(&mut self, patient: &Model) {
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
            let psychiatric = (visit.unit.as_str() == staff::PSYCHIATRY).then_some(("R", "PSY"));
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

    pub(super) fn document(
        &mut self,
        patient: &Model,
        note: &Note,
        author: &PersonId,
        at: Timestamp,
        label: Option<(&'static str, &'static str)>,
        keeper: Option<&str>,
    ) {
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
    pub(super) fn pump(&mut self, patient: &Model) {
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
