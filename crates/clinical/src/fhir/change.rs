//! What a write does beyond its content: labels removed, a patient exchanged, somebody given access.

use domain::resource::Change;
use domain::{ApplicationId, PersonId};
use smol_str::SmolStr;

use super::Malformed;
use super::compartment::walk;
use super::facts::{Identity, array, read};
use super::json::{Document, Value};
use super::reference::{self, Names, Target};

/// A person who cannot be told: a role, a team, a conditional reference. Policy has to count it as anybody,
/// the writer included.
pub const UNKNOWN_PERSON: &str = "~unknown";

/// What replacing `stored` by `new` changes beyond content. Empty bytes mean that there is no resource: nothing
/// stored before a create, nothing left after a delete.
///
/// - *removes labels*, *lowers confidentiality*: compared over the whole resource; tagging as de-identified counts
///   as lowering.
/// - *moves patient*: the sets of patients differ.
/// - *benefits*: people in `CareTeam.participant`, `Group.member`, `Encounter.participant`,
///   `Patient.generalPractitioner`, `EpisodeOfCare.careManager`, `PractitionerRole.practitioner` who are new or
///   whose entry, or the resource's status or period, changed; for a `Consent` that changed in any way, every actor
///   of the old and the new state.
pub fn change(stored: &[u8], new: &[u8]) -> Result<Change, Malformed> {
    let names = Names::default();
    let stored = if stored.is_empty() {
        None
    } else {
        Some(Document::parse(stored)?)
    };
    let new = if new.is_empty() {
        None
    } else {
        Some(Document::parse(new)?)
    };
    let (before, after) = (
        stored.as_ref().map(Document::root),
        new.as_ref().map(Document::root),
    );
    let mut change = of(before, after, &names);
    if let (Some(before), Some(after)) = (before, after) {
        let nowhere = ApplicationId::new("");
        let before = read(&nowhere, before, &names, Identity::Own)?;
        let after = read(&nowhere, after, &names, Identity::Own)?;
        if before.resource_type != after.resource_type {
            return Err(Malformed {
                status: 400,
                code: "resource-type-differs",
            });
        }
        change.removes_labels = before.labels.without(after.labels);
        change.lowers_confidentiality = after.confidentiality < before.confidentiality
            || (after.deidentified && !before.deidentified);
        change.moves_patient = before.patients != after.patients;
    }
    Ok(change)
}

/// Whom a change gives access; the rest of the change stays empty.
pub(crate) fn of(stored: Option<Value<'_>>, new: Option<Value<'_>>, names: &Names<'_>) -> Change {
    let nobody = Names::default();
    let mut benefits = Vec::new();
    let mut steps = STEPS_MAX;
    let resource_type = new
        .or(stored)
        .and_then(|v| v.text("resourceType"))
        .unwrap_or_default();
    if resource_type == "Consent" {
        let unchanged = match (stored, new) {
            (Some(stored), Some(new)) => [
                "status",
                "provision",
                "dateTime",
                "patient",
                "policyRule",
                "scope",
            ]
            .iter()
            .all(|key| match (stored.get(key), new.get(key)) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b, &mut steps),
                _ => false,
            }),
            _ => false,
        };
        if !unchanged {
            for (consent, names) in [(stored, &nobody), (new, names)] {
                for provision in consent
                    .and_then(|c| c.get("provision"))
                    .into_iter()
                    .flat_map(Value::items)
                {
                    actors(provision, names, &mut benefits);
                }
            }
        }
    } else if let (Some(new), Some((entries, member))) = (new, members(&resource_type)) {
        let mut frame = |key: &str| match (stored.and_then(|s| s.get(key)), new.get(key)) {
            (None, None) => true,
            (Some(a), Some(b)) => a.same(b, &mut steps),
            _ => false,
        };
        let in_force = stored.is_some()
            && ["status", "period", "active", "subject", "patient"]
                .into_iter()
                .all(&mut frame);
        let before: Vec<_> = stored
            .and_then(|s| s.get(entries))
            .into_iter()
            .flat_map(Value::items)
            .take(ENTRIES_COMPARED)
            .collect();
        for entry in new.get(entries).into_iter().flat_map(Value::items) {
            if in_force && before.iter().any(|b| b.same(entry, &mut steps)) {
                continue;
            }
            if member.is_empty() {
                person(entry, names, &mut benefits);
            } else {
                walk(entry, member, &mut |element| {
                    person(element, names, &mut benefits)
                });
            }
        }
    }
    benefits.sort_unstable();
    benefits.dedup();
    Change {
        benefits,
        ..Change::default()
    }
}

/// Entries of the stored state that a new entry is compared with; beyond them an entry counts as new.
const ENTRIES_COMPARED: usize = 256;
/// Comparisons of values in all; beyond them an entry counts as new.
const STEPS_MAX: usize = 100_000;

/// Where a type lists people to whom it gives access: the repeated element and the reference in it.
fn members(resource_type: &str) -> Option<(&'static str, &'static str)> {
    Some(match resource_type {
        "CareTeam" => ("participant", "member"),
        "Group" => ("member", "entity"),
        "Encounter" => ("participant", "individual"),
        "Patient" => ("generalPractitioner", ""),
        "EpisodeOfCare" => ("careManager", ""),
        "PractitionerRole" => ("practitioner", ""),
        _ => return None,
    })
}

fn actors(provision: Value<'_>, names: &Names<'_>, found: &mut Vec<PersonId>) {
    for actor in array(provision, "actor") {
        if let Some(element) = actor.get("reference") {
            person(element, names, found);
        }
    }
    // Bounded: the document's depth is.
    for inner in array(provision, "provision") {
        actors(inner, names, found);
    }
}

fn person(element: Value<'_>, names: &Names<'_>, found: &mut Vec<PersonId>) {
    match reference::read(element, names) {
        Target::Resource("Practitioner" | "RelatedPerson" | "Person", id) => {
            found.push(PersonId::new(id.as_ref()))
        }
        // A patient or an organisation is nobody who asks; a text for people gives nobody access.
        Target::Resource(
            "Patient" | "Organization" | "Device" | "Location" | "Medication" | "Substance",
            _,
        )
        | Target::Some("Patient" | "Organization" | "Device" | "Location")
        | Target::Unborn(Some("Patient" | "Organization" | "Device" | "Location"), _)
        | Target::Silent => {}
        Target::Resource(..)
        | Target::Some(_)
        | Target::Unborn(..)
        | Target::Contained(_)
        | Target::Unknown => {
            found.push(PersonId::new(SmolStr::new_static(UNKNOWN_PERSON)));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Sensitivity;

    use super::*;

    fn check(stored: &str, new: &str) -> Change {
        change(stored.as_bytes(), new.as_bytes()).expect("comparable")
    }

    fn observation(security: &str, subject: &str) -> String {
        format!(
            r#"{{"resourceType":"Observation","id":"o","meta":{{"security":[{security}]}},"subject":{{"reference":"{subject}"}}}}"#
        )
    }

    #[test]
    fn removed_labels_lower_levels_and_moves_are_seen() {
        let hiv = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}"#;
        let restricted =
            r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}"#;
        let labelled = observation(&format!("{hiv},{restricted}"), "Patient/1");
        let plain = observation("", "Patient/1");
        let stripped = check(&labelled, &plain);
        assert!(
            stripped.removes_labels.contains(Sensitivity::Hiv) && stripped.lowers_confidentiality
        );
        assert_eq!(check(&plain, &labelled), Change::default());
        assert!(check(&plain, &observation("", "Patient/2")).moves_patient);
        assert_eq!(check(&plain, &plain), Change::default());
        let tagged = r#"{"resourceType":"Observation","id":"o","meta":{"tag":[{"system":"https://asepsis.health/fhir/tag","code":"deidentified"}]},"subject":{"reference":"Patient/1"}}"#;
        assert!(check(&plain, tagged).lowers_confidentiality);
        assert!(change(plain.as_bytes(), br#"{"resourceType":"Condition"}"#).is_err());
    }

    fn benefits(stored: &str, new: &str, expected: &[&str]) {
        let found = check(stored, new).benefits;
        let found: Vec<_> = found.iter().map(PersonId::as_str).collect();
        assert_eq!(found, expected, "{new}");
    }

    #[test]
    fn whoever_gets_access_is_named() {
        let team = |status: &str, members: &[&str]| {
            let members: Vec<_> = members
                .iter()
                .map(|m| format!(r#"{{"member":{{"reference":"{m}"}}}}"#))
                .collect();
            format!(
                r#"{{"resourceType":"CareTeam","status":"{status}","subject":{{"reference":"Patient/1"}},"participant":[{}]}}"#,
                members.join(",")
            )
        };
        let one = team("active", &["Practitioner/a"]);
        benefits(&one, &one, &[]);
        benefits(
            &one,
            &team("active", &["Practitioner/a", "Practitioner/b"]),
            &["b"],
        );
        benefits(&one, &team("active", &[]), &[]);
        benefits(&team("inactive", &["Practitioner/a"]), &one, &["a"]);
        benefits("", &one, &["a"]);
        benefits(&one, "", &[]);
        benefits(
            &one,
            &team(
                "active",
                &["PractitionerRole/r", "Organization/o", "CareTeam/t"],
            ),
            &[UNKNOWN_PERSON],
        );
        benefits(
            "",
            r#"{"resourceType":"Encounter","subject":{"reference":"Patient/1"},"participant":[{"individual":{"reference":"Practitioner/a"}}]}"#,
            &["a"],
        );
        benefits(
            "",
            r#"{"resourceType":"Group","member":[{"entity":{"reference":"Practitioner/a"}},{"entity":{"reference":"Patient/p"}}]}"#,
            &["a"],
        );
        benefits(
            "",
            r#"{"resourceType":"Patient","generalPractitioner":[{"reference":"Practitioner/a"}]}"#,
            &["a"],
        );

        let consent = |kind: &str| {
            format!(
                r#"{{"resourceType":"Consent","status":"active","patient":{{"reference":"Patient/1"}},"provision":{{"type":"permit","provision":[{{"type":"{kind}","actor":[{{"reference":{{"reference":"Practitioner/x"}}}}]}}]}}}}"#
            )
        };
        benefits(&consent("deny"), &consent("permit"), &["x"]);
        benefits(&consent("deny"), &consent("deny"), &[]);
        benefits(&consent("deny"), "", &["x"]);
        benefits("", &consent("permit"), &["x"]);
    }
}
