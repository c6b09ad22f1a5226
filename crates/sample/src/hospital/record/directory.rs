//! Who works where: organizations, locations, practitioners and the hospital's own devices.

use std::time::Duration;

use domain::UnitId;
use serde_json::json;

use super::Writer;
use super::write::{reference, text_concept};
use crate::hospital::staff;
use crate::hospital::{Unit, UnitKind};

/// Id of the hospital's `Organization`.
pub(super) const HOSPITAL: &str = "larkfield";
/// The hospital's name.
pub(super) const HOSPITAL_NAME: &str = "Larkfield General Hospital (sample)";
/// System of staff numbers.
pub(super) const STAFF_SYSTEM: &str = "https://asepsis.health/fhir/sample/staff";
/// Payers: id of the `Organization` and name.
pub(super) const PAYERS: &[(&str, &str)] = &[
    ("payer-meridian", "Meridian Health Plan"),
    ("payer-northlight", "Northlight Mutual"),
];

/// The name of a unit, empty if there is none such.
pub(super) fn unit_name(unit: &UnitId) -> &'static str {
    staff::units()
        .iter()
        .find(|u| u.id == *unit)
        .map_or("", |u| u.name)
}

pub(super) fn write(writer: &mut Writer<'_>, units: &[Unit]) {
    let since = writer.now.minus(Duration::from_secs(86_400 * 400));
    writer.file(
        "Organization",
        HOSPITAL,
        since,
        json!({"active": true, "name": HOSPITAL_NAME, "type": [text_concept("Hospital")]}),
    );
    for (id, name) in PAYERS {
        writer.file(
            "Organization",
            id,
            since,
            json!({"active": true, "name": name, "type": [text_concept("Payer")]}),
        );
    }
    for unit in units {
        writer.file(
            "Organization",
            unit.id.as_str(),
            since,
            json!({
                "active": true,
                "name": unit.name,
                "type": [text_concept("Department")],
                "partOf": reference("Organization", HOSPITAL, HOSPITAL_NAME),
            }),
        );
        let kind = match unit.kind {
            UnitKind::Ward => "Ward",
            UnitKind::Clinic => "Clinic",
            UnitKind::Programme => "Programme",
            UnitKind::Office => "Office",
        };
        writer.file(
            "Location",
            unit.id.as_str(),
            since,
            json!({
                "status": "active",
                "mode": "instance",
                "name": unit.name,
                "type": [text_concept(kind)],
                "managingOrganization": reference("Organization", unit.id.as_str(), unit.name),
            }),
        );
    }
    people(writer, since);
    writer.file(
        "Device",
        staff::PUMP_GATEWAY,
        since,
        json!({
            "status": "active",
            "deviceName": [{"name": "Infusion-pump gateway", "type": "user-friendly-name"}],
            "type": text_concept("Infusion-pump gateway"),
            "owner": reference("Organization", HOSPITAL, HOSPITAL_NAME),
            "location": reference("Location", "alder", unit_name(&"alder".into())),
        }),
    );
}

fn people(writer: &mut Writer<'_>, since: domain::Timestamp) {
    let staff = writer.staff;
    for member in &staff.members {
        let id = member.person.id.as_str();
        let clinical = matches!(
            member.person.roles.first().map(domain::Role::as_str),
            Some("physician" | "nurse" | "pharmacist")
        );
        // Offices do not treat anybody: they are people of the directory, not practitioners.
        if !clinical {
            continue;
        }
        let mut name = json!({"family": member.family, "given": [member.given]});
        if member.person.name.starts_with("Dr ") {
            name["prefix"] = json!(["Dr"]);
        }
        writer.file(
            "Practitioner",
            id,
            since,
            json!({
                "active": true,
                "identifier": [{"system": STAFF_SYSTEM, "value": id}],
                "name": [name],
                "gender": member.gender.code(),
            }),
        );
        for unit in &member.person.units {
            writer.file(
                "PractitionerRole",
                &format!("{id}-{}", unit.as_str()),
                since,
                json!({
                    "active": true,
                    "practitioner": reference("Practitioner", id, &member.person.name),
                    "organization": reference("Organization", unit.as_str(), unit_name(unit)),
                    "code": [text_concept(member.person.roles.first().map_or("", domain::Role::as_str))],
                    "specialty": [text_concept(member.specialty)],
                    "location": [reference("Location", unit.as_str(), unit_name(unit))],
                }),
            );
        }
    }
}
