//! From people, devices, patients and circumstances to the facts that policies speak of.
//!
//! The names and types of these facts are the pack's schema; [`Vocabulary::specimens`] lets a pack be checked
//! against what is built here. Everything is computed from the slice of the world that a request concerns, so
//! that a recorded slice gives the same facts again.

pub(crate) mod fhir_types;
pub(crate) mod relation;
pub(crate) mod smart;

use domain::resource::{DicomNode, FhirEndpoint, FhirResource};
use domain::subject::{Person, SubjectKind};
use domain::{
    Action, ApplicationId, Authentication, CanonicalRequest, Criticality, Device, Purpose,
    Resource, Sensitivity, Subject, Target, Timestamp,
};
use smol_str::{SmolStr, format_smolstr};

use crate::engine::{Engine, Entity, Query, Record, Symbol, Uid, Value};
use crate::record::Slice;
use relation::Relation;

macro_rules! vocabulary {
    ($($field:ident = $name:literal,)*) => {
        /// The symbols of every name that facts use, in one pack.
        #[derive(Debug)]
        pub(crate) struct Vocabulary {
            $($field: Symbol,)*
            actions: Vec<(Action, Uid)>,
        }

        impl Vocabulary {
            /// Looks every name up, adding those that the pack's policies do not mention.
            pub(crate) fn of(engine: &mut Engine) -> Self {
                let action = engine.intern("Action");
                let actions = Action::ALL
                    .iter()
                    .map(|a| (*a, Uid { kind: action, id: a.as_str().into() }))
                    .collect();
                let vocabulary = Self { $($field: engine.intern($name),)* actions };
                vocabulary.watch(engine);
                vocabulary
            }
        }
    };
}

vocabulary! {
    role = "Role", unit_kind = "Unit", application_kind = "Application",
    type_group = "TypeGroup", fhir_type = "FhirType",
    workforce = "Workforce", vendor = "Vendor", proxy_kind = "Proxy", workload = "Workload",
    fhir_endpoint = "FhirEndpoint", fhir_resource = "FhirResource", web_page = "WebPage",
    dicom_node = "DicomNode", hl7_interface = "Hl7Interface", network_service = "NetworkService",
    console_area = "ConsoleArea",
    active = "active", speaks_for_device = "speaksForDevice",
    kind = "type", has_id = "hasId", names_patient = "namesPatient", operation = "operation",
    categories = "categories", confidentiality = "confidentiality",
    confidentiality_rank = "confidentialityRank", labels = "labels", controlled = "controlled",
    deidentified = "deidentified", unit = "unit", change = "change",
    removes_labels = "removesLabels", lowers_confidentiality = "lowersConfidentiality",
    moves_patient = "movesPatient",
    area = "area", path = "path", roles = "roles", ae_title = "aeTitle",
    destination = "destination", destination_listed = "destinationListed", wildcard = "wildcard",
    name = "name", code = "code", trigger = "trigger", protocol = "protocol", port = "port",
    purpose = "purpose", risk = "risk", authentication = "authentication", level = "level",
    phishing_resistant = "phishingResistant", age_secs = "ageSecs", idle_secs = "idleSecs",
    device = "device", class = "class", managed = "managed", shared = "shared",
    compliant = "compliant", relation = "relation", treating = "treating",
    care_team = "careTeam", ward = "ward", encounter_days = "encounterDays", proxy = "proxy",
    own = "self", vip = "vip", employee = "employee", adolescent = "adolescent",
    objection = "objection", consented = "consented", author = "author",
    own_device = "ownDevice", grant = "grant", grant_reauthenticated = "grantReauthenticated",
    vendor_window = "vendorWindow", benefits_self = "benefitsSelf",
    feeds = "feeds", stale = "stale", stale_hours = "staleHours", application = "application",
    criticality = "criticality", token = "token", covers = "covers",
}

/// Sources of relations whose age matters.
pub(crate) const FEEDS: [&str; 3] = ["care_team", "encounter", "directory"];

/// What is known of one question beside the circumstances: it stays the same when those are varied.
pub(crate) struct Stage<'a> {
    pub(crate) slice: &'a Slice,
    pub(crate) person: &'a Person,
    pub(crate) subject: &'a Subject,
    pub(crate) now: Timestamp,
}

/// Kinds of facts that change by themselves as time goes on, as bits.
pub(crate) mod clock {
    pub(crate) const AGE: u8 = 1;
    pub(crate) const IDLE: u8 = 1 << 1;
    pub(crate) const ENCOUNTERS: u8 = 1 << 2;
    pub(crate) const GRANTS: u8 = 1 << 3;
    pub(crate) const CONSENTS: u8 = 1 << 4;
    pub(crate) const WINDOWS: u8 = 1 << 5;
    pub(crate) const FEEDS: u8 = 1 << 6;
    pub(crate) const ALL: u8 = u8::MAX;
}

impl Vocabulary {
    fn watch(&self, engine: &mut Engine) {
        for (name, bits) in [
            (self.age_secs, clock::AGE),
            (self.idle_secs, clock::IDLE),
            (self.encounter_days, clock::ENCOUNTERS),
            (self.treating, clock::ENCOUNTERS | clock::FEEDS),
            (self.grant, clock::GRANTS),
            (self.grant_reauthenticated, clock::GRANTS),
            (self.consented, clock::CONSENTS),
            (self.objection, clock::CONSENTS),
            (self.vendor_window, clock::WINDOWS),
            (self.stale, clock::FEEDS),
            (self.stale_hours, clock::FEEDS),
        ] {
            engine.watch(name, bits);
        }
    }

    /// The action's identifier.
    pub(crate) fn action(&self, action: Action) -> &Uid {
        // Both lists are `Action::ALL` in order of declaration.
        &self.actions[action as usize].1
    }

    /// The person as the principal of a question.
    pub(crate) fn principal(&self, person: &Person) -> Entity {
        let kind = match person.kind {
            SubjectKind::Workforce => self.workforce,
            SubjectKind::Vendor => self.vendor,
            SubjectKind::Proxy => self.proxy_kind,
            SubjectKind::Workload => self.workload,
        };
        let mut ancestors = Vec::with_capacity(person.roles.len() + person.units.len());
        ancestors.extend(person.roles.iter().map(|r| Uid {
            kind: self.role,
            id: r.as_str().into(),
        }));
        ancestors.extend(person.units.iter().map(|u| Uid {
            kind: self.unit_kind,
            id: u.as_str().into(),
        }));
        let mut attributes = Record::with_capacity(2);
        attributes.push(self.active, Value::Bool(person.active));
        attributes.push(self.speaks_for_device, Value::Bool(person.device.is_some()));
        Entity {
            uid: Uid {
                kind,
                id: person.id.as_str().into(),
            },
            attributes,
            ancestors,
        }
    }

    /// The resource of a question.
    pub(crate) fn resource(&self, resource: &Resource) -> Entity {
        match resource {
            Resource::FhirEndpoint(r) => self.endpoint(r),
            Resource::FhirResource(r) => self.fhir_resource(r),
            Resource::WebPage(r) => {
                let roles = r.roles.iter().map(|role| {
                    Value::Entity(Uid {
                        kind: self.role,
                        id: role.as_str().into(),
                    })
                });
                let attributes = [
                    (self.area, text(&r.area)),
                    (self.path, text(&r.path)),
                    (self.roles, Value::Set(roles.collect())),
                ];
                self.entity(
                    self.web_page,
                    r.area.clone(),
                    attributes,
                    self.below(&r.application, None),
                )
            }
            Resource::DicomNode(r) => self.dicom(r),
            Resource::Hl7Interface(r) => {
                let attributes = [
                    (self.name, text(&r.name)),
                    (self.code, text(&r.message_code)),
                    (self.trigger, text(&r.trigger)),
                ];
                self.entity(self.hl7_interface, r.name.clone(), attributes, Vec::new())
            }
            Resource::NetworkService(r) => {
                let attributes = [
                    (self.protocol, text(&r.protocol)),
                    (self.port, Value::Long(i64::from(r.port))),
                ];
                let id = format_smolstr!("{}:{}/{}", r.device.as_str(), r.port, r.protocol);
                self.entity(self.network_service, id, attributes, Vec::new())
            }
            Resource::Console(r) => self.entity(
                self.console_area,
                r.area.clone(),
                [(self.area, text(&r.area))],
                Vec::new(),
            ),
        }
    }

    fn endpoint(&self, r: &FhirEndpoint) -> Entity {
        let mut attributes = Record::with_capacity(5);
        attributes.push(self.kind, text(&r.resource_type));
        attributes.push(self.has_id, Value::Bool(r.id.is_some()));
        attributes.push(self.names_patient, Value::Bool(!r.patients.is_empty()));
        if let Some(operation) = &r.operation {
            attributes.push(self.operation, text(operation));
        }
        attributes.push(self.categories, texts(&r.categories));
        Entity {
            uid: Uid {
                kind: self.fhir_endpoint,
                id: reference(&r.resource_type, r.id.as_deref()),
            },
            attributes,
            ancestors: self.below(&r.application, Some(&r.resource_type)),
        }
    }

    fn fhir_resource(&self, r: &FhirResource) -> Entity {
        let mut attributes = Record::with_capacity(10);
        attributes.push(self.kind, text(&r.resource_type));
        attributes.push(self.names_patient, Value::Bool(!r.patients.is_empty()));
        attributes.push(
            self.confidentiality,
            Value::Text(r.confidentiality.code().into()),
        );
        attributes.push(
            self.confidentiality_rank,
            Value::Long(r.confidentiality as i64),
        );
        attributes.push(self.labels, codes(r.labels.iter()));
        attributes.push(self.categories, texts(&r.categories));
        attributes.push(self.controlled, Value::Bool(r.controlled));
        attributes.push(self.deidentified, Value::Bool(r.deidentified));
        let mut ancestors = self.below(&r.application, Some(&r.resource_type));
        if let Some(unit) = &r.unit {
            let unit = Uid {
                kind: self.unit_kind,
                id: unit.as_str().into(),
            };
            attributes.push(self.unit, Value::Entity(unit.clone()));
            ancestors.push(unit);
        }
        if let Some(change) = &r.change {
            let fields = [
                (
                    self.removes_labels,
                    Value::Bool(!change.removes_labels.is_empty()),
                ),
                (
                    self.lowers_confidentiality,
                    Value::Bool(change.lowers_confidentiality),
                ),
                (self.moves_patient, Value::Bool(change.moves_patient)),
            ];
            attributes.push(self.change, Value::Record(fields.into_iter().collect()));
        }
        Entity {
            uid: Uid {
                kind: self.fhir_resource,
                id: reference(&r.resource_type, r.id.as_deref()),
            },
            attributes,
            ancestors,
        }
    }

    fn dicom(&self, r: &DicomNode) -> Entity {
        let mut attributes = Record::with_capacity(5);
        attributes.push(self.ae_title, text(&r.ae_title));
        if let Some(destination) = &r.destination {
            attributes.push(self.destination, text(destination));
        }
        attributes.push(self.destination_listed, Value::Bool(r.destination_listed));
        attributes.push(self.wildcard, Value::Bool(r.wildcard));
        attributes.push(self.names_patient, Value::Bool(r.patient.is_some()));
        let uid = Uid {
            kind: self.dicom_node,
            id: r.ae_title.clone(),
        };
        Entity {
            uid,
            attributes,
            ancestors: Vec::new(),
        }
    }

    fn entity<const N: usize>(
        &self,
        kind: Symbol,
        id: SmolStr,
        attributes: [(Symbol, Value); N],
        ancestors: Vec<Uid>,
    ) -> Entity {
        Entity {
            uid: Uid { kind, id },
            attributes: attributes.into_iter().collect(),
            ancestors,
        }
    }

    fn below(&self, application: &ApplicationId, resource_type: Option<&SmolStr>) -> Vec<Uid> {
        let mut above = Vec::with_capacity(6);
        above.push(Uid {
            kind: self.application_kind,
            id: application.as_str().into(),
        });
        if let Some(resource_type) = resource_type {
            above.push(Uid {
                kind: self.fhir_type,
                id: resource_type.clone(),
            });
            let groups = fhir_types::groups(resource_type).iter();
            above.extend(groups.map(|g| Uid {
                kind: self.type_group,
                id: SmolStr::new_static(g),
            }));
        }
        above
    }

    /// The circumstances of a question.
    pub(crate) fn context(
        &self,
        stage: &Stage<'_>,
        target: &Target,
        circumstances: &domain::Context,
    ) -> Record {
        let mut context = Record::with_capacity(9);
        let relation = Relation::of(stage, target, circumstances);
        context.push(self.purpose, purpose(&relation, circumstances));
        context.push(self.risk, Value::Long(i64::from(circumstances.risk)));
        context.push(
            self.authentication,
            Value::Record(self.authentication(&circumstances.authentication, stage.now)),
        );
        if let Some(device) = &stage.slice.device {
            context.push(self.device, Value::Record(self.device(device)));
        }
        context.push(self.relation, Value::Record(self.relation(&relation)));
        context.push(self.feeds, Value::Record(self.feeds(stage)));
        let application = target
            .resource
            .application()
            .and_then(|a| stage.slice.application(a));
        if let Some(application) = application {
            let name = match application.criticality {
                Criticality::LifeCritical => "life_critical",
                Criticality::Clinical => "clinical",
                Criticality::Business => "business",
                Criticality::Administrative => "administrative",
            };
            let criticality = Value::Text(SmolStr::new_static(name));
            context.push(
                self.application,
                Value::Record([(self.criticality, criticality)].into_iter().collect()),
            );
        }
        if let Some(scopes) = &circumstances.scopes {
            let covers = smart::covers(scopes, circumstances.launch_patient.as_ref(), target);
            context.push(
                self.token,
                Value::Record([(self.covers, Value::Bool(covers))].into_iter().collect()),
            );
        }
        context
    }

    /// Moves circumstances that were built for one instant to the instant of `stage`: the same as building them anew,
    /// since nothing else about the question may differ.
    pub(crate) fn move_to(
        &self,
        stage: &Stage<'_>,
        target: &Target,
        circumstances: &domain::Context,
        context: &mut Record,
    ) {
        let mut set = |name: Symbol, new: Value| {
            if let Some(value) = context.get_mut(name) {
                *value = new;
            }
        };
        set(
            self.authentication,
            Value::Record(self.authentication(&circumstances.authentication, stage.now)),
        );
        set(self.feeds, Value::Record(self.feeds(stage)));
        if Relation::may_change(target) {
            let relation = Relation::of(stage, target, circumstances);
            set(self.purpose, purpose(&relation, circumstances));
            set(self.relation, Value::Record(self.relation(&relation)));
        }
    }

    fn authentication(&self, authentication: &Authentication, now: Timestamp) -> Record {
        [
            (
                self.level,
                Value::Long(i64::from(u8::from(authentication.level))),
            ),
            (
                self.phishing_resistant,
                Value::Bool(authentication.phishing_resistant),
            ),
            (self.age_secs, Value::Long(age_secs(authentication.at, now))),
            (
                self.idle_secs,
                Value::Long(age_secs(authentication.last_active, now)),
            ),
        ]
        .into_iter()
        .collect()
    }

    fn device(&self, device: &Device) -> Record {
        let mut record = Record::with_capacity(5);
        record.push(self.class, text(&device.class));
        record.push(self.managed, Value::Bool(device.managed));
        record.push(self.shared, Value::Bool(device.shared));
        if let Some(compliant) = device.compliant {
            record.push(self.compliant, Value::Bool(compliant));
        }
        if let Some(unit) = &device.unit {
            let unit = Uid {
                kind: self.unit_kind,
                id: unit.as_str().into(),
            };
            record.push(self.unit, Value::Entity(unit));
        }
        record
    }

    fn relation(&self, relation: &Relation) -> Record {
        let mut record = Record::with_capacity(17);
        let flags = [
            (self.treating, relation.treating()),
            (self.care_team, relation.care_team),
            (self.ward, relation.ward),
            (self.proxy, relation.proxy),
            (self.own, relation.own),
            (self.vip, relation.vip),
            (self.employee, relation.employee),
            (self.adolescent, relation.adolescent),
            (self.objection, relation.objection),
            (self.author, relation.author),
            (self.own_device, relation.own_device),
            (self.grant, relation.grant),
            (self.grant_reauthenticated, relation.grant_reauthenticated),
            (self.vendor_window, relation.vendor_window),
            (self.benefits_self, relation.benefits_self),
        ];
        for (name, flag) in flags {
            record.push(name, Value::Bool(flag));
        }
        if let Some(days) = relation.encounter_days {
            record.push(self.encounter_days, Value::Long(days));
        }
        record.push(self.consented, codes(relation.consented.iter()));
        record
    }

    fn feeds(&self, stage: &Stage<'_>) -> Record {
        let over = overdue_secs(stage);
        [
            (self.stale, Value::Bool(over > 0)),
            (self.stale_hours, Value::Long(over / 3600)),
        ]
        .into_iter()
        .collect()
    }

    /// The names of facts that change as time goes on, and of risk.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks {
            risk: self.risk,
            age: self.age_secs,
            idle: self.idle_secs,
            relation: self.relation,
            feeds: self.feeds,
            encounter_days: self.encounter_days,
            stale_hours: self.stale_hours,
        }
    }

    /// Whether this is the name of a number that changes with time.
    pub(crate) fn is_timed(&self, name: Symbol) -> bool {
        [
            self.age_secs,
            self.idle_secs,
            self.encounter_days,
            self.stale_hours,
        ]
        .contains(&name)
    }

    /// Whether this is the name of a record in the circumstances.
    pub(crate) fn is_record(&self, name: Symbol) -> bool {
        [
            self.authentication,
            self.device,
            self.relation,
            self.feeds,
            self.application,
            self.token,
        ]
        .contains(&name)
    }

    /// One question of every kind, with all facts present and with as few as there can be.
    pub(crate) fn specimens(
        &self,
        mut check: impl FnMut(Query) -> Result<(), String>,
    ) -> Result<(), String> {
        for full in [true, false] {
            let slice = specimen::slice(full);
            let request = specimen::request(full);
            for target in specimen::targets(full) {
                for kind in [
                    SubjectKind::Workforce,
                    SubjectKind::Vendor,
                    SubjectKind::Proxy,
                    SubjectKind::Workload,
                ] {
                    let person = specimen::person(kind, full);
                    let stage = Stage {
                        slice: &slice,
                        person: &person,
                        subject: &request.subject,
                        now: Timestamp::from_millis(0),
                    };
                    check(self.query(&stage, &target, &request.context))?;
                }
            }
        }
        Ok(())
    }

    /// The whole question.
    pub(crate) fn query(
        &self,
        stage: &Stage<'_>,
        target: &Target,
        circumstances: &domain::Context,
    ) -> Query {
        Query {
            principal: self.principal(stage.person),
            action: self.action(target.action).clone(),
            resource: self.resource(&target.resource),
            context: self.context(stage, target, circumstances),
        }
    }
}

/// Symbols of facts that change by themselves as time goes on, and of risk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) risk: Symbol,
    pub(crate) age: Symbol,
    pub(crate) idle: Symbol,
    pub(crate) relation: Symbol,
    pub(crate) feeds: Symbol,
    pub(crate) encounter_days: Symbol,
    pub(crate) stale_hours: Symbol,
}

/// The purpose of use, as a fact.
fn purpose(relation: &Relation, circumstances: &domain::Context) -> Value {
    let purpose = relation.purpose(circumstances.purpose);
    Value::Text(SmolStr::new_static(purpose.code()))
}

/// Whole seconds since `then`. An instant that lies ahead by more than clocks differ counts as never.
pub(crate) fn age_secs(then: Timestamp, now: Timestamp) -> i64 {
    if then.since(now).as_secs() > CLOCK_SKEW_SECS_MAX {
        return NEVER_SECS;
    }
    i64::try_from(now.since(then).as_secs())
        .unwrap_or(NEVER_SECS)
        .min(NEVER_SECS)
}

/// By how much the clocks of two of our own machines may differ.
const CLOCK_SKEW_SECS_MAX: u64 = 60;

/// An age no limit reaches.
const NEVER_SECS: i64 = 1 << 40;

/// By how many seconds the source that is longest overdue is beyond its limit; 0 if none is.
pub(crate) fn overdue_secs(stage: &Stage<'_>) -> i64 {
    stage
        .slice
        .feeds
        .iter()
        .map(|f| stale_secs(f, stage.now))
        .max()
        .unwrap_or(0)
}

/// By how many seconds a source of relations is beyond its limit; 0 if it is not.
fn stale_secs(feed: &domain::relation::Feed, now: Timestamp) -> i64 {
    let age = i64::try_from(now.since(feed.as_of).as_secs()).unwrap_or(i64::MAX);
    let limit = i64::try_from(feed.max_age_secs).unwrap_or(i64::MAX);
    age.saturating_sub(limit).max(0)
}

fn text(text: &SmolStr) -> Value {
    Value::Text(text.clone())
}

fn texts(all: &[SmolStr]) -> Value {
    Value::Set(all.iter().map(text).collect())
}

fn codes(all: impl Iterator<Item = Sensitivity>) -> Value {
    Value::Set(
        all.map(|s| Value::Text(SmolStr::new_static(s.code())))
            .collect(),
    )
}

fn reference(resource_type: &SmolStr, id: Option<&str>) -> SmolStr {
    match id {
        Some(id) => format_smolstr!("{resource_type}/{id}"),
        None => resource_type.clone(),
    }
}

/// Whether a target is about clinical data, whose answer may not show what exists.
pub(crate) fn is_fhir(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::FhirEndpoint(_) | Resource::FhirResource(_)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pack::PolicyPack;

    #[test]
    fn circumstances_that_are_moved_are_those_built_anew() {
        let pack = PolicyPack::hospital();
        let vocabulary = pack.vocabulary();
        for full in [true, false] {
            let (slice, request) = (specimen::slice(full), specimen::request(full));
            let person = specimen::person(SubjectKind::Workforce, full);
            let at = |now| Stage {
                slice: &slice,
                person: &person,
                subject: &request.subject,
                now,
            };
            let start = Timestamp::from_millis(0);
            let later = [1, 700, 90_000, 40 * 86_400, 400 * 86_400]
                .map(|secs| start.plus(Duration::from_secs(secs)));
            for target in specimen::targets(full) {
                let build = |now| vocabulary.context(&at(now), &target, &request.context);
                let mut moved = build(start);
                for now in later.into_iter().chain([start]) {
                    vocabulary.move_to(&at(now), &target, &request.context, &mut moved);
                    assert_eq!(moved, build(now), "{:?}", target.action);
                }
            }
        }
    }
}

/// Made-up questions by which a schema is checked.
mod specimen {
    use std::sync::Arc;

    use domain::relation::{Encounter, Feed, PatientFacts};
    use domain::resource::{Change, ConsoleArea, Hl7Interface, NetworkService, WebPage};
    use domain::subject::SubjectKind;
    use domain::{Aal, Context, Device, EnforcementMode, Grants, PatientId, Person, PersonId};

    use super::*;
    use crate::snapshot::ApplicationFacts;

    pub(super) fn person(kind: SubjectKind, full: bool) -> Person {
        Person {
            id: PersonId::new("x"),
            name: SmolStr::default(),
            kind,
            roles: if full {
                vec!["nurse".into()]
            } else {
                Vec::new()
            },
            units: if full { vec!["u".into()] } else { Vec::new() },
            active: true,
            patient: None,
            device: full.then(|| "d".into()),
        }
    }

    pub(super) fn slice(full: bool) -> Slice {
        if !full {
            return Slice::default();
        }
        let device = Device {
            id: "d".into(),
            name: SmolStr::default(),
            class: "workstation".into(),
            managed: true,
            shared: true,
            compliant: Some(true),
            unit: Some("u".into()),
            ae_title: None,
        };
        let encounter = Encounter {
            person: "x".into(),
            ended: None,
        };
        let facts = PatientFacts {
            encounters: vec![encounter],
            ..PatientFacts::default()
        };
        let feed = Feed {
            name: "care_team".into(),
            as_of: Timestamp::from_millis(0),
            max_age_secs: 0,
        };
        let application = ApplicationFacts {
            mode: EnforcementMode::Enforce,
            criticality: Criticality::Clinical,
        };
        Slice {
            person: None,
            device: Some(Arc::new(device)),
            patients: vec![(PatientId::new("p"), Arc::new(facts))],
            windows: Vec::new(),
            feeds: vec![Arc::new(feed)],
            applications: vec![("a".into(), application)],
        }
    }

    pub(super) fn request(full: bool) -> CanonicalRequest {
        let never = Timestamp::from_millis(0);
        CanonicalRequest {
            subject: Subject {
                person: "x".into(),
                session: None,
                device: full.then(|| "d".into()),
                session_ends: Timestamp::FOREVER,
            },
            targets: Vec::new(),
            context: Context {
                purpose: Purpose::Treat,
                authentication: Authentication {
                    level: Aal::Aal1,
                    phishing_resistant: false,
                    at: never,
                    last_active: never,
                },
                risk: 0,
                grants: Grants::default(),
                scopes: full.then(|| vec!["user/*.rs".into()]),
                launch_patient: None,
                ticket: None,
            },
            message: None,
        }
    }

    pub(super) fn targets(full: bool) -> Vec<Target> {
        use Action as A;
        let endpoint = || {
            Resource::FhirEndpoint(FhirEndpoint {
                application: "a".into(),
                resource_type: "Observation".into(),
                id: full.then(|| "1".into()),
                patients: if full { vec!["p".into()] } else { Vec::new() },
                operation: full.then(|| "everything".into()),
                categories: vec!["laboratory".into()],
            })
        };
        let fhir = || {
            Resource::FhirResource(Box::new(FhirResource {
                application: "a".into(),
                resource_type: "Observation".into(),
                id: full.then(|| "1".into()),
                patients: if full { vec!["p".into()] } else { Vec::new() },
                confidentiality: domain::Confidentiality::N,
                labels: [Sensitivity::Hiv].into_iter().collect(),
                authors: Vec::new(),
                device: None,
                unit: full.then(|| "u".into()),
                categories: vec!["laboratory".into()],
                controlled: false,
                deidentified: false,
                change: full.then(Change::default),
            }))
        };
        let page = Resource::WebPage(WebPage {
            application: "a".into(),
            area: "*".into(),
            path: "/".into(),
            roles: vec!["nurse".into()],
        });
        let node = Resource::DicomNode(DicomNode {
            ae_title: "PACS".into(),
            destination: full.then(|| "WS1".into()),
            destination_listed: full,
            wildcard: false,
            patient: None,
        });
        let interface = Resource::Hl7Interface(Hl7Interface {
            name: "lab".into(),
            message_code: "ORU".into(),
            trigger: "R01".into(),
        });
        let service = Resource::NetworkService(NetworkService {
            device: "d".into(),
            protocol: "tcp".into(),
            port: 22,
        });
        let console = Resource::Console(ConsoleArea {
            area: "audit".into(),
        });
        let both = [
            A::FhirRead,
            A::FhirVread,
            A::FhirHistory,
            A::FhirSearch,
            A::FhirCreate,
            A::FhirUpdate,
            A::FhirPatch,
            A::FhirDelete,
            A::FhirOperation,
            A::FhirExport,
        ];
        let mut all = Vec::new();
        for action in both {
            all.push(Target {
                action,
                resource: endpoint(),
            });
            all.push(Target {
                action,
                resource: fhir(),
            });
        }
        all.push(Target {
            action: A::FhirCapabilities,
            resource: endpoint(),
        });
        for action in [A::WebGet, A::WebSubmit, A::WebDelete, A::WebConnect] {
            all.push(Target {
                action,
                resource: page.clone(),
            });
        }
        for action in [
            A::DicomEcho,
            A::DicomFind,
            A::DicomGet,
            A::DicomMove,
            A::DicomStore,
        ] {
            all.push(Target {
                action,
                resource: node.clone(),
            });
        }
        all.push(Target {
            action: A::Hl7Send,
            resource: interface,
        });
        all.push(Target {
            action: A::NetConnect,
            resource: service,
        });
        for action in [A::ConsoleView, A::ConsoleChange] {
            all.push(Target {
                action,
                resource: console.clone(),
            });
        }
        all
    }
}
