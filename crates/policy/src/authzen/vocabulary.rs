//! Our words in AuthZEN's frame: subjects, resources and context with their properties.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::relation::{Feed, PatientFacts, VendorWindow};
use domain::resource::{
    Change, ConsoleArea, DicomNode, FhirEndpoint, FhirResource, Hl7Interface, NetworkService,
    WebPage,
};
use domain::subject::SubjectKind;
use domain::{
    Aal, Action, ApplicationId, Authentication, BreakGlassGrant, CanonicalRequest, Confidentiality,
    Context, Device, DeviceId, GrantId, Grants, PatientId, Person, PersonId, Purpose, Resource,
    Role, SensitivitySet, SessionId, Subject, Target, Timestamp, UnitId,
};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::AuthzenError;
use super::reading::{Frame, object, read};
use crate::ceremony::default_purpose;
use crate::snapshot::{ApplicationFacts, Snapshot};

/// One well-formed question, not yet put to a world.
pub(super) struct Question {
    person: PersonId,
    inline: Option<Person>,
    action: Action,
    resource: Resource,
    context: RawContext,
    place: String,
}

const SUBJECTS: [&str; 6] = ["person", "user", "workforce", "vendor", "proxy", "workload"];

const RESOURCES: [&str; 7] = [
    "fhir_endpoint",
    "fhir_resource",
    "web_page",
    "dicom_node",
    "hl7_interface",
    "network_service",
    "console",
];

/// What belongs into a subject's `properties`.
const OF_SUBJECTS: &[&str] = &[
    "kind", "name", "roles", "units", "active", "patient", "device",
];

/// What belongs into a resource's `properties`.
const OF_RESOURCES: &[&str] = &[
    "patients",
    "operation",
    "categories",
    "application",
    "resource_type",
    "confidentiality",
    "labels",
    "authors",
    "device",
    "unit",
    "controlled",
    "deidentified",
    "change",
    "area",
    "roles",
    "destination",
    "destination_listed",
    "wildcard",
    "patient",
    "message_code",
    "trigger",
    "protocol",
    "port",
];

/// What belongs into `context`.
pub(super) const CIRCUMSTANCES: &[&str] = &[
    "time",
    "purpose",
    "authentication",
    "risk",
    "device",
    "session",
    "session_ends",
    "grants",
    "presented_grant",
    "scopes",
    "launch_patient",
    "ticket",
    "patients",
    "devices",
    "feeds",
    "vendor_windows",
    "applications",
];

/// A subject or a resource as AuthZEN frames it.
struct Entity {
    r#type: String,
    id: String,
    properties: Map<String, Value>,
}

impl Entity {
    fn read(value: &Value, place: &str, inside: &[&str]) -> Result<Self, AuthzenError> {
        let known = ["type", "id", "properties"];
        let frame = Frame::new(value, place, &known, &[("properties", inside)])?;
        Ok(Self {
            r#type: frame.text("type")?.to_owned(),
            id: frame.text("id")?.to_owned(),
            properties: frame.properties()?,
        })
    }

    fn subject(value: &Value, place: &str) -> Result<Self, AuthzenError> {
        Self::read(value, place, OF_SUBJECTS)
    }

    fn resource(value: &Value, place: &str) -> Result<Self, AuthzenError> {
        Self::read(value, place, OF_RESOURCES)
    }
}

/// An action's name. Its properties decide nothing here, whatever they are.
fn action_name(value: &Value, place: &str) -> Result<String, AuthzenError> {
    let frame = Frame::new(value, place, &["name", "properties"], &[])?;
    frame.properties()?;
    Ok(frame.text("name")?.to_owned())
}

impl Question {
    /// Reads a question. `None` if its subject or its resource is of a type that is not ours.
    pub(super) fn read(
        body: &Map<String, Value>,
        place: &str,
    ) -> Result<Option<Self>, AuthzenError> {
        let part = |name: &str| {
            body.get(name).ok_or_else(|| {
                AuthzenError::new(
                    format!("{place}{name}"),
                    "is missing; a question has subject, action and resource",
                )
            })
        };
        let subject = Entity::subject(part("subject")?, &format!("{place}subject"))?;
        let action = action_name(part("action")?, &format!("{place}action"))?;
        let resource = Entity::resource(part("resource")?, &format!("{place}resource"))?;
        let nothing = Value::Object(Map::new());
        let context = body.get("context").unwrap_or(&nothing);
        object(context, &format!("{place}context"))?;
        if !RESOURCES.contains(&resource.r#type.as_str())
            || !SUBJECTS.contains(&subject.r#type.as_str())
        {
            return Ok(None);
        }
        let kind = subject_kind(&subject.r#type);
        let inline = person(&subject, kind, &format!("{place}subject.properties"))?;
        check_consents(context, &format!("{place}context"))?;
        Ok(Some(Self {
            person: PersonId::new(subject.id),
            inline,
            action: action.parse().unwrap_or(Action::Unclassified),
            resource: resource_of(&resource, &format!("{place}resource"))?,
            context: read(context, &format!("{place}context"))?,
            place: place.to_owned(),
        }))
    }

    /// Checks the frame of what a request says for all its questions, whether or not one of them uses it.
    pub(super) fn check_defaults(body: &Map<String, Value>) -> Result<(), AuthzenError> {
        if let Some(subject) = body.get("subject") {
            Entity::subject(subject, "subject")?;
        }
        if let Some(action) = body.get("action") {
            action_name(action, "action")?;
        }
        if let Some(resource) = body.get("resource") {
            Entity::resource(resource, "resource")?;
        }
        if let Some(context) = body.get("context") {
            object(context, "context")?;
        }
        Ok(())
    }

    /// The world as the question describes it, the request, and the instant to judge it for.
    pub(super) fn put(
        self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<(Snapshot, CanonicalRequest, Timestamp), AuthzenError> {
        let raw = self.context;
        let place = format!("{}context", self.place);
        let now = raw.time.unwrap_or(now);
        let mut world = snapshot.clone();
        if let Some(person) = self.inline {
            world.set_person(person);
        }
        for device in raw.devices {
            world.set_device(device);
        }
        let device = match raw.device {
            None => None,
            Some(RawDevice::Known(id)) => Some(id),
            Some(RawDevice::Inline(device)) => {
                let id = device.id.clone();
                world.set_device(*device);
                Some(id)
            }
        };
        for (patient, facts) in raw.patients {
            world.set_patient(PatientId::new(patient), facts);
        }
        for feed in raw.feeds {
            if !crate::facts::FEEDS.contains(&feed.name.as_str()) {
                return Err(AuthzenError::new(
                    format!("{place}.feeds"),
                    format!(
                        "unknown feed `{}`; known are care_team, encounter, directory",
                        feed.name
                    ),
                ));
            }
            world.set_feed(feed);
        }
        if let Some(windows) = raw.vendor_windows {
            world.set_vendor_windows(windows);
        }
        for (application, facts) in raw.applications {
            world.set_application(ApplicationId::new(application), facts);
        }
        if raw.risk > 100 {
            return Err(AuthzenError::new(
                format!("{place}.risk"),
                "must be 0 to 100",
            ));
        }
        let grants = match (raw.presented_grant, raw.grants) {
            (None, held) => Grants::Held(held.into_iter().map(|g| g.grant(&self.person)).collect()),
            (Some(one), held) if held.is_empty() => Grants::Presented(one.grant(&self.person)),
            (Some(_), _) => {
                return Err(AuthzenError::new(
                    format!("{place}.presented_grant"),
                    "a request either presents a grant or holds some",
                ));
            }
        };
        let purpose = match raw.purpose {
            Some(purpose) => purpose,
            None => world
                .person(&self.person)
                .map_or(Purpose::Treat, |p| default_purpose(p)),
        };
        let context = Context {
            purpose,
            authentication: raw.authentication.at(now, &place)?,
            risk: raw.risk,
            grants,
            scopes: raw.scopes,
            launch_patient: raw.launch_patient,
            ticket: raw.ticket,
        };
        let subject = Subject {
            person: self.person,
            session: raw.session,
            device,
            session_ends: raw.session_ends.unwrap_or(Timestamp::FOREVER),
        };
        let targets = vec![Target {
            action: self.action,
            resource: self.resource,
        }];
        Ok((
            world,
            CanonicalRequest {
                subject,
                targets,
                context,
                message: None,
            },
            now,
        ))
    }
}

/// The kind that a subject's type says; `person` and `user` say none.
fn subject_kind(text: &str) -> Option<SubjectKind> {
    Some(match text {
        "workforce" => SubjectKind::Workforce,
        "vendor" => SubjectKind::Vendor,
        "proxy" => SubjectKind::Proxy,
        "workload" => SubjectKind::Workload,
        _ => return None,
    })
}

/// A label that a consent misspells would protect nothing.
fn check_consents(context: &Value, place: &str) -> Result<(), AuthzenError> {
    let patients = context.get("patients").and_then(Value::as_object);
    for (patient, facts) in patients.into_iter().flatten() {
        let consents = facts.get("consents").and_then(Value::as_array);
        for (at, consent) in consents.into_iter().flatten().enumerate() {
            let codes = consent.get("labels").and_then(Value::as_array);
            for code in codes.into_iter().flatten().filter_map(Value::as_str) {
                if domain::Sensitivity::from_code(code).is_none() {
                    let place = format!("{place}.patients.{patient}.consents[{at}].labels");
                    return Err(unknown_label(code, &place));
                }
            }
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPerson {
    #[serde(default)]
    name: SmolStr,
    kind: Option<SubjectKind>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    units: Vec<UnitId>,
    active: Option<bool>,
    patient: Option<PatientId>,
    device: Option<DeviceId>,
}

/// The person as described inline; `None` if only named.
fn person(
    frame: &Entity,
    kind: Option<SubjectKind>,
    place: &str,
) -> Result<Option<Person>, AuthzenError> {
    if frame.properties.is_empty() {
        return Ok(None);
    }
    let raw: RawPerson = read(&Value::Object(frame.properties.clone()), place)?;
    if let (Some(a), Some(b)) = (kind, raw.kind)
        && a != b
    {
        return Err(AuthzenError::new(
            format!("{place}.kind"),
            "contradicts the subject's type",
        ));
    }
    Ok(Some(Person {
        id: PersonId::new(frame.id.as_str()),
        name: raw.name,
        kind: kind.or(raw.kind).unwrap_or_default(),
        roles: raw.roles,
        units: raw.units,
        active: raw.active.unwrap_or(true),
        patient: raw.patient,
        device: raw.device,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoint {
    #[serde(default = "fhir")]
    application: ApplicationId,
    resource_type: Option<SmolStr>,
    #[serde(default)]
    patients: Vec<PatientId>,
    operation: Option<SmolStr>,
    #[serde(default)]
    categories: Vec<SmolStr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFhirResource {
    #[serde(default = "fhir")]
    application: ApplicationId,
    resource_type: Option<SmolStr>,
    #[serde(default)]
    patients: Vec<PatientId>,
    #[serde(default)]
    confidentiality: Confidentiality,
    #[serde(default)]
    labels: Vec<SmolStr>,
    #[serde(default)]
    authors: Vec<PersonId>,
    device: Option<DeviceId>,
    unit: Option<UnitId>,
    #[serde(default)]
    categories: Vec<SmolStr>,
    #[serde(default)]
    controlled: bool,
    #[serde(default)]
    deidentified: bool,
    change: Option<RawChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChange {
    #[serde(default)]
    removes_labels: Vec<SmolStr>,
    #[serde(default)]
    lowers_confidentiality: bool,
    #[serde(default)]
    moves_patient: bool,
    #[serde(default)]
    benefits: Vec<PersonId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPage {
    application: ApplicationId,
    area: SmolStr,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    destination: Option<SmolStr>,
    #[serde(default)]
    destination_listed: bool,
    #[serde(default)]
    wildcard: bool,
    patient: Option<PatientId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInterface {
    message_code: SmolStr,
    trigger: SmolStr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    protocol: SmolStr,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn fhir() -> ApplicationId {
    ApplicationId::new("fhir")
}

fn resource_of(frame: &Entity, place: &str) -> Result<Resource, AuthzenError> {
    let properties = Value::Object(frame.properties.clone());
    let inside = format!("{place}.properties");
    let id = SmolStr::new(&frame.id);
    Ok(match frame.r#type.as_str() {
        "fhir_endpoint" => {
            let raw: RawEndpoint = read(&properties, &inside)?;
            let (resource_type, logical) = reference(&id, raw.resource_type, place)?;
            Resource::FhirEndpoint(FhirEndpoint {
                application: raw.application,
                resource_type,
                id: logical,
                patients: sorted(raw.patients),
                operation: raw.operation,
                categories: raw.categories,
            })
        }
        "fhir_resource" => {
            let raw: RawFhirResource = read(&properties, &inside)?;
            let (resource_type, logical) = reference(&id, raw.resource_type, place)?;
            let change = match raw.change {
                None => None,
                Some(change) => Some(Change {
                    removes_labels: labels(
                        &change.removes_labels,
                        &format!("{inside}.change.removes_labels"),
                    )?,
                    lowers_confidentiality: change.lowers_confidentiality,
                    moves_patient: change.moves_patient,
                    benefits: change.benefits,
                }),
            };
            Resource::FhirResource(Box::new(FhirResource {
                application: raw.application,
                resource_type,
                id: logical,
                patients: sorted(raw.patients),
                confidentiality: raw.confidentiality,
                labels: labels(&raw.labels, &format!("{inside}.labels"))?,
                authors: raw.authors,
                device: raw.device,
                unit: raw.unit,
                categories: raw.categories,
                controlled: raw.controlled,
                deidentified: raw.deidentified,
                change,
            }))
        }
        "web_page" => {
            let raw: RawPage = read(&properties, &inside)?;
            Resource::WebPage(WebPage {
                application: raw.application,
                area: raw.area,
                path: id,
                roles: raw.roles,
            })
        }
        "dicom_node" => {
            let raw: RawNode = read(&properties, &inside)?;
            Resource::DicomNode(DicomNode {
                ae_title: id,
                destination: raw.destination,
                destination_listed: raw.destination_listed,
                wildcard: raw.wildcard,
                patient: raw.patient,
            })
        }
        "hl7_interface" => {
            let raw: RawInterface = read(&properties, &inside)?;
            Resource::Hl7Interface(Hl7Interface {
                name: id,
                message_code: raw.message_code,
                trigger: raw.trigger,
            })
        }
        "network_service" => {
            let raw: RawService = read(&properties, &inside)?;
            Resource::NetworkService(NetworkService {
                device: DeviceId::new(id),
                protocol: raw.protocol,
                port: raw.port,
            })
        }
        "console" => {
            let Nothing {} = read(&properties, &inside)?;
            Resource::Console(ConsoleArea { area: id })
        }
        other => {
            return Err(AuthzenError::new(
                format!("{place}.type"),
                format!(
                    "unknown resource type `{other}`; known are {}",
                    RESOURCES.join(", ")
                ),
            ));
        }
    })
}

/// `Observation/17`, or one of the parts with the type told by a property.
fn reference(
    id: &SmolStr,
    stated: Option<SmolStr>,
    place: &str,
) -> Result<(SmolStr, Option<SmolStr>), AuthzenError> {
    let present = |text: &str| {
        if text.is_empty() {
            None
        } else {
            Some(SmolStr::new(text))
        }
    };
    let (from_id, logical) = match id.split_once('/') {
        Some((resource_type, logical)) => (present(resource_type), present(logical)),
        None if stated.as_ref().is_none_or(|s| s == id) => (present(id), None),
        None => (None, present(id)),
    };
    match (from_id, stated) {
        (Some(a), Some(b)) if a != b => Err(AuthzenError::new(
            format!("{place}.properties.resource_type"),
            format!("`{b}` contradicts the id, which says `{a}`"),
        )),
        (Some(a), _) | (None, Some(a)) => Ok((a, logical)),
        (None, None) => Err(AuthzenError::new(
            format!("{place}.id"),
            "must be a resource type (`Observation`) or a type with an id (`Observation/17`)",
        )),
    }
}

fn sorted(mut patients: Vec<PatientId>) -> Vec<PatientId> {
    patients.sort();
    patients.dedup();
    patients
}

fn labels(codes: &[SmolStr], place: &str) -> Result<SensitivitySet, AuthzenError> {
    codes
        .iter()
        .map(|code| domain::Sensitivity::from_code(code).ok_or_else(|| unknown_label(code, place)))
        .collect()
}

fn unknown_label(code: &str, place: &str) -> AuthzenError {
    let known: Vec<&str> = domain::Sensitivity::ALL.iter().map(|s| s.code()).collect();
    AuthzenError::new(
        place,
        format!(
            "unknown label `{code}`; known are {}; write UNKNOWN for any other",
            known.join(", ")
        ),
    )
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawContext {
    time: Option<Timestamp>,
    purpose: Option<Purpose>,
    authentication: RawAuthentication,
    risk: u8,
    device: Option<RawDevice>,
    session: Option<SessionId>,
    session_ends: Option<Timestamp>,
    grants: Vec<RawGrant>,
    presented_grant: Option<RawGrant>,
    scopes: Option<Vec<SmolStr>>,
    launch_patient: Option<PatientId>,
    ticket: Option<SmolStr>,
    patients: BTreeMap<String, PatientFacts>,
    devices: Vec<Device>,
    feeds: Vec<Feed>,
    vendor_windows: Option<Vec<VendorWindow>>,
    applications: BTreeMap<String, ApplicationFacts>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawAuthentication {
    level: Option<Aal>,
    phishing_resistant: bool,
    at: Option<Timestamp>,
    age_secs: Option<u64>,
    last_active: Option<Timestamp>,
    idle_secs: Option<u64>,
}

impl RawAuthentication {
    /// What is not told counts as the weakest: one factor, long ago.
    fn at(self, now: Timestamp, place: &str) -> Result<Authentication, AuthzenError> {
        let either = |a: Option<Timestamp>, b: Option<u64>, names: &str| match (a, b) {
            (Some(_), Some(_)) => Err(AuthzenError::new(
                format!("{place}.authentication"),
                format!("give {names}, not both"),
            )),
            (Some(instant), None) => Ok(Some(instant)),
            (None, Some(secs)) => Ok(Some(now.minus(Duration::from_secs(secs)))),
            (None, None) => Ok(None),
        };
        let at = either(self.at, self.age_secs, "`at` or `age_secs`")?;
        let last_active = either(
            self.last_active,
            self.idle_secs,
            "`last_active` or `idle_secs`",
        )?;
        let never = Timestamp::from_millis(0);
        Ok(Authentication {
            level: self.level.unwrap_or(Aal::Aal1),
            phishing_resistant: self.phishing_resistant,
            at: at.unwrap_or(never),
            last_active: last_active.or(at).unwrap_or(never),
        })
    }
}

/// A device by name, or described.
enum RawDevice {
    Known(DeviceId),
    Inline(Box<Device>),
}

impl<'de> Deserialize<'de> for RawDevice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawDevice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a device's id or an object that describes it")
            }

            fn visit_str<E>(self, id: &str) -> Result<RawDevice, E> {
                Ok(RawDevice::Known(DeviceId::new(id)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawDevice, A::Error> {
                Device::deserialize(MapAccessDeserializer::new(map))
                    .map(|device| RawDevice::Inline(Box::new(device)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrant {
    id: Option<GrantId>,
    person: Option<PersonId>,
    device: Option<DeviceId>,
    patient: PatientId,
    reason: SmolStr,
    issued: Timestamp,
    expires: Timestamp,
}

impl RawGrant {
    fn grant(self, subject: &PersonId) -> BreakGlassGrant {
        BreakGlassGrant {
            id: self.id.unwrap_or_else(|| GrantId::new("inline")),
            person: self.person.unwrap_or_else(|| subject.clone()),
            device: self.device,
            patient: self.patient,
            reason: self.reason,
            issued: self.issued,
            expires: self.expires,
        }
    }
}
