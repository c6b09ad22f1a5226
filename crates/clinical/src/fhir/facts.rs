//! What a resource's content says that decisions need: whose data it is, how sensitive, who wrote it.
//!
//! One pass parses the resource, a few look-ups gather its facts. What each fact is read from:
//!
//! - *patients*: the compartment elements of its type and, for `Patient`, its own id. Absolute references count by
//!   their tail, references into a bundle by the entry's `fullUrl`. A reference that must lead to a patient who
//!   cannot be told (a Group, a conditional reference, a contained Patient, text that is no reference) adds
//!   [`UNKNOWN_PATIENT`]; so does a type that is always about a patient when it names none, and one whose only
//!   references lead to other clinical resources. Stored bundles, `Parameters` and contained resources add those
//!   of what they hold.
//! - *labels, confidentiality*: `meta.security` of the resource and of all it holds, and DS4P inline labels.
//! - *authors*: `Practitioner` references in `author`, `recorder`, `asserter`, `performer`, `requester`.
//! - *device*: `device`, `source` of a `DeviceMetric`, a `subject` that is a Device; a `Device` itself.
//! - *unit*: extension [`UNIT_EXTENSION`] (`valueCode`, `valueString` or `valueReference`), else
//!   `serviceProvider`, `custodian`, `managingOrganization`, else the last `location.location`.
//! - *categories*: codes of `category`.
//! - *controlled*: a `Medication…` resource with extension [`CONTROLLED_EXTENSION`] (unless
//!   `valueBoolean` is false), or whose medicine is coded `DEASch` of v3-ActCode.
//! - *de-identified*: `meta.tag` `deidentified` of [`TAG_SYSTEM`], or `ANONYED` of v3-ObservationValue.

use std::borrow::Cow;

use domain::resource::FhirResource;
use domain::{
    ApplicationId, Confidentiality, DeviceId, PatientId, PersonId, SensitivitySet, UnitId,
};
use smol_str::SmolStr;

use super::compartment::{Class, class, paths, silent_is_nobody, walk};
use super::json::{Document, Kind, Value};
use super::labels::Labels;
use super::reference::{self, Names, Target, is_id};
use super::types::r4_type;
use super::{Malformed, UNKNOWN_PATIENT};

/// Extension that marks a controlled medicine: `valueBoolean`.
pub const CONTROLLED_EXTENSION: &str = "https://asepsis.health/fhir/controlled";
/// Extension that names the unit or programme that keeps a resource.
pub const UNIT_EXTENSION: &str = "https://asepsis.health/fhir/unit";
/// System of this project's tags in `meta.tag`.
pub const TAG_SYSTEM: &str = "https://asepsis.health/fhir/tag";

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// Categories kept; a resource has one to three.
const CATEGORIES_MAX: usize = 64;
/// Patients told by name; a resource about more is about some who are not told.
pub(super) const PATIENTS_MAX: usize = 1_024;
/// Contained resources in one resource.
const CONTAINED_MAX: usize = 256;

/// The judged facts of one resource.
pub fn facts(application: &ApplicationId, resource_json: &[u8]) -> Result<FhirResource, Malformed> {
    let document = Document::parse(resource_json)?;
    read(
        application,
        document.root(),
        &Names::default(),
        Identity::Own,
    )
}

/// Whether the id that a resource carries is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It is.
    Own,
    /// The server will choose another: what the client wrote means nothing.
    Unborn,
}

/// Reads the facts of a resource that stands in a document.
pub(crate) fn read(
    application: &ApplicationId,
    value: Value<'_>,
    names: &Names<'_>,
    identity: Identity,
) -> Result<FhirResource, Malformed> {
    let resource_type = type_of(value)?;
    let id = match (identity, value.get("id")) {
        (Identity::Unborn, _) | (Identity::Own, None) => None,
        (Identity::Own, Some(id)) => Some(
            id.string()
                .filter(|id| is_id(id))
                .ok_or(bad("resource-id"))?,
        ),
    };
    let mut gathered = Gathered::default();
    gather(value, resource_type, names, identity, &mut gathered)?;
    // An object that names a resource type where none belongs would be read past: nothing may hide there.
    if gathered.places != value.typed_objects() {
        return Err(bad("resource-in-odd-place"));
    }
    for extension in value.labelled() {
        if let Some(coding) = extension.get("valueCoding") {
            gathered.labels.add(coding);
        }
    }
    let mut patients = gathered.patients;
    patients.sort_unstable();
    patients.dedup();
    if gathered.unknown || patients.len() > PATIENTS_MAX {
        patients.truncate(PATIENTS_MAX);
        patients.push(PatientId::new(SmolStr::new_static(UNKNOWN_PATIENT)));
    }
    patients.sort_unstable();
    patients.dedup();
    Ok(FhirResource {
        application: application.clone(),
        resource_type: SmolStr::new_static(resource_type),
        patients,
        confidentiality: gathered.labels.confidentiality.unwrap_or_default(),
        labels: gathered.labels.sensitivities,
        authors: authors(value, names),
        device: device(value, resource_type, id.as_deref(), names),
        unit: unit(value, names),
        categories: categories(value),
        controlled: resource_type.starts_with("Medication") && controlled(value),
        deidentified: deidentified(value),
        id: id.map(SmolStr::from),
        change: None,
    })
}

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

/// The R4 type of a resource.
pub(crate) fn type_of(value: Value<'_>) -> Result<&'static str, Malformed> {
    let name = value.text("resourceType").ok_or(bad("not-a-resource"))?;
    r4_type(&name).ok_or(bad("unknown-resource-type"))
}

/// Whose data and how sensitive, summed over a resource and what it holds.
#[derive(Default)]
struct Gathered {
    patients: Vec<PatientId>,
    /// A patient is concerned who cannot be told.
    unknown: bool,
    labels: Labels,
    /// Places where a resource, or an element that is called like its type, belongs.
    places: usize,
}

fn gather<'d>(
    value: Value<'d>,
    resource_type: &'static str,
    names: &Names<'d>,
    identity: Identity,
    gathered: &mut Gathered,
) -> Result<(), Malformed> {
    gathered.places += 1;
    gathered.labels.add_meta(value.get("meta"));
    if resource_type == "Patient" && identity == Identity::Own {
        match value.text("id").filter(|id| is_id(id)) {
            Some(id) => gathered.patients.push(PatientId::new(id.as_ref())),
            None => gathered.unknown = true,
        }
    }
    whose(value, resource_type, value, names, Part::Whole, gathered);
    match resource_type {
        "Bundle" => {
            let names = names_of(value);
            for entry in array(value, "entry") {
                if let Some(resource) = entry.get("resource") {
                    gather(
                        resource,
                        type_of(resource)?,
                        &names,
                        Identity::Own,
                        gathered,
                    )?;
                }
                if let Some(outcome) = entry.get("response").and_then(|r| r.get("outcome")) {
                    gather(outcome, type_of(outcome)?, &names, Identity::Own, gathered)?;
                }
            }
        }
        "Parameters" => parameters(value, "parameter", names, gathered)?,
        // The one element of R4 that is called like the type of a resource.
        "ExampleScenario" => {
            gathered.places += array(value, "instance")
                .filter(|i| i.get("resourceType").is_some())
                .count();
        }
        _ => {}
    }
    for contained in array(value, "contained") {
        let inner = type_of(contained)?;
        gathered.places += 1;
        gathered.labels.add_meta(contained.get("meta"));
        gathered.unknown |= inner == "Patient";
        whose(contained, inner, value, names, Part::Contained, gathered);
    }
    Ok(())
}

fn parameters<'d>(
    value: Value<'d>,
    name: &str,
    names: &Names<'d>,
    gathered: &mut Gathered,
) -> Result<(), Malformed> {
    // Bounded: the document's depth is.
    for parameter in array(value, name) {
        if let Some(resource) = parameter.get("resource") {
            gather(resource, type_of(resource)?, names, Identity::Own, gathered)?;
        }
        parameters(parameter, "part", names, gathered)?;
    }
    Ok(())
}

/// The objects in the member `name`.
pub(crate) fn array<'d>(value: Value<'d>, name: &str) -> impl Iterator<Item = Value<'d>> {
    value
        .get(name)
        .into_iter()
        .flat_map(Value::items)
        .filter(|item| item.kind() == Kind::Object)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// A contained resource: it adds whom it names; who is missing is a matter of the whole.
    Contained,
}

fn whose<'d>(
    value: Value<'d>,
    resource_type: &str,
    container: Value<'d>,
    names: &Names<'d>,
    part: Part,
    gathered: &mut Gathered,
) {
    let before = gathered.patients.len();
    let mut unknown = false;
    let mut elsewhere = false;
    let mut about_nobody = silent_is_nobody(resource_type);
    for (place, path) in paths(resource_type).iter().enumerate() {
        walk(value, path, &mut |element| {
            let target = reference::read(element, names);
            let kind = match &target {
                Target::Resource("Patient", id) => {
                    gathered.patients.push(PatientId::new(id.as_ref()));
                    return;
                }
                Target::Unborn(None | Some("Patient"), urn) => {
                    // Never the id of a stored patient, since it holds colons.
                    if urn.len() <= 64 {
                        gathered.patients.push(PatientId::new(urn.as_ref()));
                    } else {
                        unknown = true;
                    }
                    return;
                }
                Target::Contained(local) if local.is_empty() => return,
                Target::Contained(local) => contained_class(container, local),
                Target::Silent => return,
                Target::Unknown => None,
                other => other.class(),
            };
            match kind {
                Some(Class::Neutral) => about_nobody |= place == 0,
                Some(Class::Clinical) => elsewhere = true,
                Some(Class::Group | Class::Patient) | None => unknown = true,
            }
        });
    }
    if part == Part::Whole && gathered.patients.len() == before && resource_type != "Patient" {
        unknown |= elsewhere || !about_nobody;
    }
    gathered.unknown |= unknown;
}

fn contained_class(container: Value<'_>, local: &str) -> Option<Class> {
    let found = array(container, "contained")
        .take(CONTAINED_MAX)
        .find(|c| c.text("id").as_deref() == Some(local))?;
    Some(class(r4_type(&found.text("resourceType")?)?))
}

/// What the entries of a bundle are called. Entries that a `POST` creates have no id yet.
pub(crate) fn names_of(bundle: Value<'_>) -> Names<'_> {
    let mut names = Names::default();
    for entry in array(bundle, "entry") {
        let Some(full_url) = entry.text("fullUrl").filter(|url| url.starts_with("urn:")) else {
            continue;
        };
        let Some(resource) = entry.get("resource") else {
            continue;
        };
        let Some(resource_type) = resource.text("resourceType").and_then(|t| r4_type(&t)) else {
            continue;
        };
        let born = entry
            .get("request")
            .and_then(|r| r.text("method"))
            .is_none_or(|method| method != "POST");
        let id = resource.text("id").filter(|id| born && is_id(id));
        names.0.insert(full_url, (resource_type, id));
    }
    names
}

fn authors(value: Value<'_>, names: &Names<'_>) -> Vec<PersonId> {
    let mut found = Vec::new();
    let mut add = |element: Value<'_>| {
        if let Some(id) = reference::read(element, names).id_of("Practitioner") {
            found.push(PersonId::new(id));
        }
    };
    for (key, member) in value.members() {
        if matches!(
            key,
            "author" | "recorder" | "asserter" | "performer" | "requester"
        ) {
            for item in member.items() {
                add(item);
                if let Some(actor) = item.get("actor") {
                    add(actor);
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn device(
    value: Value<'_>,
    resource_type: &str,
    id: Option<&str>,
    names: &Names<'_>,
) -> Option<DeviceId> {
    let named = |path: &str| {
        let mut found = None;
        walk(value, path, &mut |element| {
            if let Some(id) = reference::read(element, names).id_of("Device") {
                found.get_or_insert_with(|| DeviceId::new(id));
            }
        });
        found
    };
    match resource_type {
        "Device" => id.map(DeviceId::new),
        "DeviceMetric" => named("source"),
        _ => named("device").or_else(|| named("subject")),
    }
}

fn unit(value: Value<'_>, names: &Names<'_>) -> Option<UnitId> {
    if let Some(extension) =
        array(value, "extension").find(|e| e.text("url").as_deref() == Some(UNIT_EXTENSION))
    {
        let text = extension
            .text("valueCode")
            .or_else(|| extension.text("valueString"));
        return match text {
            Some(text) => is_id(&text).then(|| UnitId::new(text.as_ref())),
            None => tail(extension.get("valueReference")?, names),
        };
    }
    let mut found = None;
    for path in [
        "serviceProvider",
        "custodian",
        "managingOrganization",
        "location.location",
    ] {
        walk(value, path, &mut |element| {
            found = tail(element, names).or(found.take())
        });
        if found.is_some() {
            break;
        }
    }
    found
}

fn tail(element: Value<'_>, names: &Names<'_>) -> Option<UnitId> {
    match reference::read(element, names) {
        Target::Resource("Organization" | "Location", id) => Some(UnitId::new(id.as_ref())),
        _ => None,
    }
}

fn categories(value: Value<'_>) -> Vec<SmolStr> {
    let mut found: Vec<SmolStr> = Vec::new();
    let mut add = |code: Option<Cow<'_, str>>| {
        if let Some(code) = code
            && found.len() < CATEGORIES_MAX
            && !found.iter().any(|f| f.as_str() == code)
        {
            found.push(SmolStr::new(code));
        }
    };
    for category in value.get("category").into_iter().flat_map(Value::items) {
        match category.kind() {
            Kind::String => add(category.string()),
            Kind::Object => array(category, "coding").for_each(|coding| add(coding.text("code"))),
            _ => {}
        }
    }
    found
}

fn controlled(value: Value<'_>) -> bool {
    let marked = |resource: Value<'_>| {
        array(resource, "extension").any(|e| {
            e.text("url").as_deref() == Some(CONTROLLED_EXTENSION)
                && e.get("valueBoolean").is_none_or(|b| b.raw() != "false")
        })
    };
    let coded = |concept: Option<Value<'_>>| {
        concept.is_some_and(|concept| {
            array(concept, "coding").any(|coding| {
                coding.text("code").as_deref() == Some("DEASch")
                    && coding
                        .text("system")
                        .is_none_or(|s| s.starts_with(ACT_CODE))
            })
        })
    };
    std::iter::once(value)
        .chain(array(value, "contained"))
        .any(|r| marked(r) || coded(r.get("medicationCodeableConcept")) || coded(r.get("code")))
}

fn deidentified(value: Value<'_>) -> bool {
    value.get("meta").is_some_and(|meta| {
        array(meta, "tag").any(|tag| {
            matches!(
                (tag.text("system").as_deref(), tag.text("code").as_deref()),
                (Some(TAG_SYSTEM), Some("deidentified"))
                    | (Some(OBSERVATION_VALUE), Some("ANONYED"))
            )
        })
    })
}

/// A resource that is not there, as a stranger's ordinary one would look: what a `404` on a read is judged as, so
/// that it tells nobody more than a refusal would.
pub fn absent(application: &ApplicationId, resource_type: &str, id: &str) -> FhirResource {
    let patients = match resource_type {
        "Patient" => vec![PatientId::new(id)],
        other if silent_is_nobody(other) => Vec::new(),
        _ => vec![PatientId::new(SmolStr::new_static(UNKNOWN_PATIENT))],
    };
    FhirResource {
        application: application.clone(),
        resource_type: SmolStr::new(resource_type),
        id: Some(SmolStr::new(id)),
        patients,
        confidentiality: Confidentiality::default(),
        labels: SensitivitySet::EMPTY,
        authors: Vec::new(),
        device: None,
        unit: None,
        categories: Vec::new(),
        controlled: false,
        deidentified: false,
        change: None,
    }
}

/// Reads the facts of each resource that a resource contains, as parts of it: with its patients and labels.
pub(crate) fn contained(
    value: Value<'_>,
    whole: &FhirResource,
) -> Result<Vec<FhirResource>, Malformed> {
    if array(value, "contained").nth(CONTAINED_MAX).is_some() {
        return Err(bad("too-many-contained"));
    }
    array(value, "contained")
        .map(|inner| {
            Ok(FhirResource {
                resource_type: SmolStr::new_static(type_of(inner)?),
                id: None,
                categories: categories(inner),
                change: None,
                ..whole.clone()
            })
        })
        .collect()
}

/// The resources that a stored bundle or `Parameters` holds, in any depth of `part`.
pub(crate) fn held(value: Value<'_>) -> Vec<Value<'_>> {
    fn parts<'d>(value: Value<'d>, name: &str, found: &mut Vec<Value<'d>>) {
        for parameter in array(value, name) {
            found.extend(parameter.get("resource"));
            parts(parameter, "part", found);
        }
    }
    let mut found = Vec::new();
    match value.text("resourceType").as_deref() {
        Some("Bundle") => {
            for entry in array(value, "entry") {
                found.extend(entry.get("resource"));
            }
        }
        Some("Parameters") => parts(value, "parameter", &mut found),
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use domain::Sensitivity;

    use super::*;

    fn read(json: &str) -> FhirResource {
        facts(&ApplicationId::new("chart"), json.as_bytes()).expect("judged")
    }

    fn patients(json: &str, expected: &[&str]) {
        let facts = read(json);
        let found: Vec<_> = facts.patients.iter().map(PatientId::as_str).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn every_patient_of_the_compartment_elements_is_found() {
        patients(r#"{"resourceType":"Patient","id":"1"}"#, &["1"]);
        patients(
            r#"{"resourceType":"Patient","id":"1","link":[{"other":{"reference":"Patient/2"}}]}"#,
            &["1", "2"],
        );
        patients(
            r#"{"resourceType":"Observation","subject":{"reference":"Patient\/1"},"performer":[{"reference":"Patient/0"},{"reference":"Practitioner/9"}]}"#,
            &["0", "1"],
        );
        patients(
            r#"{"resourceType":"Observation","subject":{"reference":"https://ehr.example/fhir/Patient/7/_history/2"}}"#,
            &["7"],
        );
        patients(
            r#"{"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/1"}},{"actor":{"reference":"Practitioner/2"}},{"actor":{"reference":"Patient/3"}}]}"#,
            &["1", "3"],
        );
        patients(
            r#"{"resourceType":"Coverage","beneficiary":{"reference":"Patient/1"},"subscriber":{"reference":"Patient/2"}}"#,
            &["1", "2"],
        );
        patients(r#"{"resourceType":"Location","id":"w"}"#, &[]);
        patients(r#"{"resourceType":"Practitioner","id":"w"}"#, &[]);
    }

    #[test]
    fn a_patient_who_cannot_be_told_is_nobody_anyone_is_related_to() {
        for json in [
            r#"{"resourceType":"Observation"}"#,
            r#"{"resourceType":"Observation","subject":{"display":"P. Smith"}}"#,
            r#"{"resourceType":"Observation","subject":{"identifier":{"value":"1"}}}"#,
            r#"{"resourceType":"Observation","subject":{"type":"Patient","identifier":{"value":"1"}}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Group/1"}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient?identifier=1"}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"patient/1"}}"#,
            r##"{"resourceType":"Observation","subject":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]}"##,
            r#"{"resourceType":"Provenance","target":[{"reference":"Observation/1"}]}"#,
            r#"{"resourceType":"Binary","data":"AA=="}"#,
            r#"{"resourceType":"Binary","securityContext":{"reference":"DocumentReference/1"}}"#,
            r#"{"resourceType":"Task"}"#,
            r#"{"resourceType":"Subscription","criteria":"Observation?patient=1"}"#,
            r#"{"resourceType":"Communication","sender":{"reference":"Practitioner/1"}}"#,
        ] {
            patients(json, &[UNKNOWN_PATIENT]);
        }
        patients(
            r#"{"resourceType":"Group","member":[{"entity":{"reference":"Patient/1"}},{"entity":{"reference":"Group/2"}}]}"#,
            &["1", UNKNOWN_PATIENT],
        );
    }

    #[test]
    fn what_is_about_a_device_or_a_place_is_about_no_patient() {
        patients(
            r#"{"resourceType":"Observation","subject":{"reference":"Device/p"}}"#,
            &[],
        );
        patients(
            r#"{"resourceType":"Schedule","actor":[{"reference":"Location/1"}]}"#,
            &[],
        );
        patients(r#"{"resourceType":"Device","id":"d"}"#, &[]);
        patients(
            r#"{"resourceType":"Device","id":"d","patient":{"reference":"Patient/1"}}"#,
            &["1"],
        );
        patients(
            r#"{"resourceType":"Binary","securityContext":{"reference":"Patient/1"}}"#,
            &["1"],
        );
        patients(
            r#"{"resourceType":"Task","for":{"reference":"Patient/1"}}"#,
            &["1"],
        );
    }

    #[test]
    fn what_a_resource_holds_adds_its_patients_and_labels() {
        let facts = read(
            r##"{"resourceType":"List","subject":{"reference":"Patient/1"},"contained":[
                {"resourceType":"Condition","id":"c","subject":{"reference":"Patient/2"},
                 "meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}]}}],
                "entry":[{"item":{"reference":"#c"}}]}"##,
        );
        assert_eq!(facts.patients, [PatientId::new("1"), PatientId::new("2")]);
        assert!(facts.labels.contains(Sensitivity::Hiv));

        patients(
            r#"{"resourceType":"Bundle","type":"document","entry":[
                {"fullUrl":"urn:uuid:a","resource":{"resourceType":"Patient","id":"5"}},
                {"resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:a"}}},
                {"resource":{"resourceType":"Condition","subject":{"reference":"Patient/6"}}}]}"#,
            &["5", "6"],
        );
        patients(
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","resource":{"resourceType":"Patient","id":"5"}}]}]}"#,
            &["5"],
        );
    }

    #[test]
    fn labels_inside_elements_count_for_the_whole() {
        let facts = read(
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"},"valueString":"x",
                "_valueString":{"extension":[{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label",
                "valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"V"}}]}}"#,
        );
        assert_eq!(facts.confidentiality, Confidentiality::V);
    }

    #[test]
    fn a_resource_in_an_odd_place_is_refused() {
        let app = ApplicationId::new("chart");
        for json in [
            r#"{"resourceType":"Location","extension":[{"url":"x","valueThing":{"resourceType":"Patient","id":"1"}}]}"#,
            r#"{"resourceType":"List","subject":{"reference":"Patient/1"},"contained":[{"resourceType":"List","contained":[{"resourceType":"Patient"}]}]}"#,
        ] {
            assert_eq!(
                facts(&app, json.as_bytes()).map_err(|e| e.code),
                Err("resource-in-odd-place")
            );
        }
        for (json, code) in [
            (r#"{"resourceType":"patient"}"#, "unknown-resource-type"),
            (r#"{"resourceType":["Patient"]}"#, "not-a-resource"),
            (r#"{"id":"1"}"#, "not-a-resource"),
            (r#"[]"#, "not-a-resource"),
            (r#"{"resourceType":"Patient","id":"../1"}"#, "resource-id"),
            (r#"{"resourceType":"Patient","id":1}"#, "resource-id"),
            (
                r#"{"resourceType":"Location","contained":[{"resourceType":"Mystery"}]}"#,
                "unknown-resource-type",
            ),
        ] {
            assert_eq!(
                facts(&app, json.as_bytes()).map_err(|e| e.code),
                Err(code),
                "{json}"
            );
        }
    }

    #[test]
    fn authors_units_categories_devices_and_marks_are_read() {
        let note = read(
            r#"{"resourceType":"DocumentReference","subject":{"reference":"Patient/1"},
                "author":[{"reference":"Practitioner/n2"},{"reference":"Practitioner/n1"},{"reference":"Organization/o"}],
                "custodian":{"reference":"Organization/ward-3"},
                "category":[{"coding":[{"code":"clinical-note"},{"code":"psy"}]}],
                "meta":{"tag":[{"system":"https://asepsis.health/fhir/tag","code":"deidentified"}]}}"#,
        );
        assert_eq!(note.authors, [PersonId::new("n1"), PersonId::new("n2")]);
        assert_eq!(note.unit, Some(UnitId::new("ward-3")));
        assert_eq!(note.categories, ["clinical-note", "psy"]);
        assert!(note.deidentified);

        let order = read(
            r#"{"resourceType":"MedicationRequest","subject":{"reference":"Patient/1"},"requester":{"reference":"Practitioner/d"},
                "extension":[{"url":"https://asepsis.health/fhir/unit","valueCode":"programme-1"},{"url":"https://asepsis.health/fhir/controlled","valueBoolean":true}]}"#,
        );
        assert!(order.controlled);
        assert_eq!(order.unit, Some(UnitId::new("programme-1")));
        let coded = read(
            r#"{"resourceType":"MedicationRequest","subject":{"reference":"Patient/1"},
                "medicationCodeableConcept":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"DEASch"}]}}"#,
        );
        assert!(coded.controlled);
        assert!(!note.controlled);

        let pump = read(
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/1"},"device":{"reference":"Device/p7"},"performer":[{"actor":{"reference":"Practitioner/x"}}]}"#,
        );
        assert_eq!(pump.device, Some(DeviceId::new("p7")));
        assert_eq!(pump.authors, [PersonId::new("x")]);
        assert_eq!(read(r#"{"resourceType":"AllergyIntolerance","patient":{"reference":"Patient/1"},"category":["food"]}"#).categories, ["food"]);
        assert_eq!(
            read(r#"{"resourceType":"Encounter","subject":{"reference":"Patient/1"},"location":[{"location":{"reference":"Location/a"}},{"location":{"reference":"Location/b"}}]}"#).unit,
            Some(UnitId::new("b")),
        );
    }

    #[test]
    fn what_is_not_there_is_judged_like_a_strangers() {
        let application = ApplicationId::new("chart");
        let patients = |resource_type| absent(&application, resource_type, "7").patients;
        assert_eq!(patients("Patient"), [PatientId::new("7")]);
        assert_eq!(patients("Observation"), [PatientId::new(UNKNOWN_PATIENT)]);
        assert_eq!(patients("Binary"), [PatientId::new(UNKNOWN_PATIENT)]);
        assert!(patients("Location").is_empty());
    }
}
