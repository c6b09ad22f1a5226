//! The page of one record: the why of a decision.
//!
//! For somebody who may not know who the patients are, the page is built from parts that cannot tell: it names what it
//! shows instead of striking out what it must not. Sentences that came from elsewhere are dropped if they hold any
//! identifier that the record holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use audit::{Kind, ReadError, Reader, Stored};
use domain::{DeviceId, PersonId, RecordId, Resource, Target};
use policy::{DecisionRecord, PolicyPack, Snapshot, explain, replay};
use serde_json::Value;

use super::views::{self, Detail, Facts};
use super::{Request, Shared, blocking, page as ok};
use crate::look;
use crate::reading;
use crate::reply::{Answer, Refused};

/// Targets listed; a bundle may hold hundreds.
const TARGETS_SHOWN_MAX: usize = 20;

pub(super) async fn page(
    shared: &Arc<Shared>,
    request: &Request,
    record: u64,
) -> Result<Answer, Refused> {
    let stored = match shared.parts.live.get(record) {
        Some(stored) => stored,
        None => {
            let dir = shared.parts.log_dir.clone();
            let read = blocking(move || Reader::open(&dir)?.record(RecordId(record))).await?;
            match read {
                Ok(stored) => Arc::new(stored),
                Err(ReadError::Absent(_)) => return Err(Refused::NotFound),
                Err(error) => {
                    tracing::error!(%error, "a record could not be read");
                    return Err(Refused::Unavailable);
                }
            }
        }
    };
    let world = shared.parts.world.load_full();
    let redacted = request.redacted;
    // Explaining evaluates policies again and again; it is no work for a thread that serves requests.
    let detail = blocking(move || detail(&stored, &world, redacted)).await?;
    Ok(ok(views::detail(&request.setting(), &detail)))
}

/// Draws up everything that the page may show.
pub(super) fn detail(stored: &Stored, world: &Snapshot, redacted: bool) -> Detail {
    let mut detail = Detail {
        record: stored.id.0,
        at: Some(stored.at),
        kind: reading::kind_words(stored.kind),
        kind_class: reading::kind_class(stored.kind),
        outcome: reading::outcome(stored),
        shadowed: reading::shadowed(stored),
        code: reading::header_text(stored, "code")
            .unwrap_or_default()
            .to_owned(),
        about: stored
            .header
            .get("about")
            .or_else(|| stored.header.get("decision"))
            .and_then(Value::as_u64),
        pruned: stored.payload.is_none(),
        ..Detail::default()
    };
    let record = (stored.kind == Kind::Decision)
        .then(|| serde_json::from_slice::<DecisionRecord>(stored.payload.as_deref()?).ok())
        .flatten();
    match record {
        Some(record) => decision(&mut detail, &record, world, redacted),
        None => event(&mut detail, stored, world, redacted),
    }
    detail
}

fn decision(detail: &mut Detail, record: &DecisionRecord, world: &Snapshot, redacted: bool) {
    let secret = Secret::of(record);
    let tellable = |line: &str| !redacted || !secret.is_in(line);
    let pack = world.pack();
    let explanation = explain(record, pack);
    let untold = explanation
        .text
        .iter()
        .chain(&explanation.missing)
        .any(|l| !tellable(l));
    detail.sentence = record.reason.sentence.to_string();
    detail.code = record.reason.code.to_string();
    detail.why = explanation
        .text
        .into_iter()
        .filter(|l| tellable(l) && *l != detail.sentence)
        .collect();
    detail.missing = explanation
        .missing
        .into_iter()
        .filter(|l| tellable(l))
        .collect();
    detail.nearest = explanation.nearest.map(|n| n.to_string());
    detail.policies = texts(&record.policies);
    detail.obligations = record
        .obligations
        .iter()
        .map(|o| look::plain(&o.name))
        .collect();
    detail.alarms = texts(&record.alarms);
    detail.who = who(record, world);
    detail.what = what(&record.targets, redacted);
    detail.how = how(record, redacted);
    detail.slice = slice(record, redacted);
    detail.left_out = redacted && (!secret.0.is_empty() || untold);
    detail.replay = Some(again(record, pack));
}

/// Judges the record again and says whether that is as it should be.
fn again(record: &DecisionRecord, pack: &Arc<PolicyPack>) -> (String, bool) {
    let decision = replay(record, pack);
    if record.policy_hash.as_str() == pack.hash() {
        return if decision.ruling().record() == *record {
            (
                "Judged again from these facts by the same policies: the same answer, bit for bit."
                    .to_owned(),
                true,
            )
        } else {
            (
                "Judged again from these facts by the same policies, the answer differs. That must not happen: report it."
                    .to_owned(),
                false,
            )
        };
    }
    let now = decision.outcome();
    if now == record.outcome {
        (
            "The policies have changed since; those of today give the same answer.".to_owned(),
            true,
        )
    } else {
        (
            format!(
                "The policies have changed since; those of today would say: {}.",
                look::outcome_words(now)
            ),
            true,
        )
    }
}

fn texts<T: AsRef<str>>(all: &[T]) -> Vec<String> {
    all.iter().map(|t| t.as_ref().to_owned()).collect()
}

fn device_name(world: &Snapshot, device: &DeviceId) -> String {
    match world.device(device) {
        Some(known) if !known.name.is_empty() => format!("{} ({})", known.name, device.as_str()),
        Some(_) | None => device.as_str().to_owned(),
    }
}

fn person_name(world: &Snapshot, person: &PersonId) -> String {
    match world.person(person) {
        Some(known) if !known.name.is_empty() => format!("{} ({})", known.name, person.as_str()),
        Some(_) | None => person.as_str().to_owned(),
    }
}

fn fact(facts: &mut Facts, name: &str, value: impl Into<String>) {
    let value = value.into();
    if !value.is_empty() {
        facts.push((name.to_owned(), value));
    }
}

fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn who(record: &DecisionRecord, world: &Snapshot) -> Facts {
    let mut facts = Facts::new();
    fact(
        &mut facts,
        "Person",
        person_name(world, &record.subject.person),
    );
    if let Some(person) = &record.slice.person {
        let roles: Vec<String> = person
            .roles
            .iter()
            .map(|r| look::plain(r.as_str()))
            .collect();
        let units: Vec<&str> = person.units.iter().map(|u| u.as_str()).collect();
        fact(&mut facts, "Roles", roles.join(", "));
        fact(&mut facts, "Units", units.join(", "));
        fact(&mut facts, "Active", yes_no(person.active));
    }
    let device = record.subject.device.as_ref();
    fact(
        &mut facts,
        "Device",
        device.map_or("not known".to_owned(), |d| device_name(world, d)),
    );
    if let Some(session) = &record.subject.session {
        fact(&mut facts, "Session", session.as_str());
    }
    facts
}

fn what(targets: &[Target], redacted: bool) -> Facts {
    let mut facts = Facts::new();
    for target in targets.iter().take(TARGETS_SHOWN_MAX) {
        fact(
            &mut facts,
            target.action.as_str(),
            resource(&target.resource, redacted),
        );
    }
    if targets.len() > TARGETS_SHOWN_MAX {
        let more = targets.len() - TARGETS_SHOWN_MAX;
        fact(&mut facts, "and", format!("{more} more"));
    }
    let patients: BTreeSet<&str> = targets
        .iter()
        .flat_map(|t| t.resource.patients())
        .map(|p| p.as_str())
        .collect();
    if redacted {
        fact(&mut facts, "Patients", patients.len().to_string());
    } else if !patients.is_empty() {
        let shown: Vec<&str> = patients.iter().take(TARGETS_SHOWN_MAX).copied().collect();
        fact(&mut facts, "Patients", shown.join(", "));
    }
    facts
}

fn resource(resource: &Resource, redacted: bool) -> String {
    let with_id = |kind: &str, id: Option<&str>| match id {
        Some(id) if !redacted => format!("{kind}/{id}"),
        Some(_) | None => kind.to_owned(),
    };
    let labelled = |text: String, labels: Vec<&str>| {
        if labels.is_empty() || redacted {
            text
        } else {
            format!("{text}, labelled {}", labels.join(" "))
        }
    };
    match resource {
        Resource::FhirEndpoint(r) => {
            let mut text = with_id(&r.resource_type, r.id.as_deref());
            if let Some(operation) = &r.operation {
                text.push_str(&format!(" ${operation}"));
            }
            format!("{text} in {}", r.application)
        }
        Resource::FhirResource(r) => {
            let mut labels: Vec<&str> = r.labels.iter().map(|l| l.code()).collect();
            if r.confidentiality != domain::Confidentiality::N {
                labels.insert(0, r.confidentiality.code());
            }
            let text = with_id(&r.resource_type, r.id.as_deref());
            labelled(format!("{text} in {}", r.application), labels)
        }
        Resource::WebPage(r) if redacted => format!("{} in {}", r.area, r.application),
        Resource::WebPage(r) => format!("{} ({}) in {}", r.path, r.area, r.application),
        Resource::DicomNode(r) => format!("DICOM node {}", r.ae_title),
        Resource::Hl7Interface(r) => {
            format!("HL7 interface {} {}^{}", r.name, r.message_code, r.trigger)
        }
        Resource::NetworkService(r) => {
            format!("{} port {} of {}", r.protocol, r.port, r.device.as_str())
        }
        Resource::Console(r) => format!("console, {}", r.area),
    }
}

fn how(record: &DecisionRecord, redacted: bool) -> Facts {
    let mut facts = Facts::new();
    let authentication = &record.context.authentication;
    fact(&mut facts, "Purpose of use", record.context.purpose.code());
    fact(
        &mut facts,
        "Proof",
        format!(
            "{}, {}",
            crate::access::strength(authentication.level, authentication.phishing_resistant),
            look::ago(authentication.at, record.at)
        ),
    );
    fact(&mut facts, "Risk", record.context.risk.to_string());
    let grants = record.context.grants.as_slice();
    if !grants.is_empty() {
        fact(
            &mut facts,
            "Emergency grants held",
            grants.len().to_string(),
        );
        if !redacted {
            for grant in grants.iter().take(TARGETS_SHOWN_MAX) {
                fact(
                    &mut facts,
                    "Emergency",
                    format!("patient {}: {}", grant.patient.as_str(), grant.reason),
                );
            }
        }
    }
    if let Some(scopes) = &record.context.scopes {
        fact(&mut facts, "Scopes", scopes.join(" "));
    }
    if let Some(ticket) = &record.context.ticket {
        fact(&mut facts, "Ticket", ticket.as_str());
    }
    if let Some(requirement) = &record.requirement {
        fact(
            &mut facts,
            "Would be enough",
            format!(
                "{}, at most {} minutes old",
                crate::access::strength(requirement.level, requirement.phishing_resistant),
                requirement.max_age_secs / 60
            ),
        );
    }
    if record.eligibility.is_some() {
        fact(&mut facts, "Would be enough", "a declared emergency");
    }
    fact(
        &mut facts,
        "Policies",
        record.policy_hash.get(..12).unwrap_or_default(),
    );
    fact(
        &mut facts,
        "State of the world",
        record.data_epoch.to_string(),
    );
    facts
}

/// The facts that the decision was made from.
fn slice(record: &DecisionRecord, redacted: bool) -> Facts {
    let mut facts = Facts::new();
    let slice = &record.slice;
    if slice.person.is_none() {
        fact(&mut facts, "Person", "not in the directory");
    }
    match &slice.device {
        Some(device) => {
            fact(&mut facts, "Device class", look::plain(&device.class));
            fact(&mut facts, "Device managed", yes_no(device.managed));
            fact(&mut facts, "Device shared", yes_no(device.shared));
            let compliant = device.compliant.map_or("never reported", yes_no);
            fact(&mut facts, "Device compliant", compliant);
            if let Some(unit) = &device.unit {
                fact(&mut facts, "Device stands in", unit.as_str());
            }
        }
        None => fact(&mut facts, "Device", "not in the inventory"),
    }
    for (application, known) in &slice.applications {
        let known = serde_json::to_value(known).unwrap_or_default();
        let text = |name: &str| known.get(name).and_then(Value::as_str).map(look::plain);
        let words: Vec<String> = [text("mode"), text("criticality")]
            .into_iter()
            .flatten()
            .collect();
        fact(
            &mut facts,
            &format!("Application {application}"),
            words.join(", "),
        );
    }
    for feed in &slice.feeds {
        let state = if feed.is_stale(record.at) {
            "stale"
        } else {
            "fresh"
        };
        fact(
            &mut facts,
            &format!("Source {}", look::plain(&feed.name)),
            format!("{state}, as of {}", feed.as_of),
        );
    }
    if redacted {
        return facts;
    }
    for window in &slice.windows {
        fact(
            &mut facts,
            "Vendor window",
            format!(
                "ticket {}, {} to {}",
                window.ticket, window.starts, window.ends
            ),
        );
    }
    for (patient, known) in slice.patients.iter().take(TARGETS_SHOWN_MAX) {
        let mut words = Vec::new();
        for (is, word) in [
            (known.vip, "of public interest"),
            (known.employee, "works here"),
            (known.adolescent, "adolescent"),
            (
                !known.care_team.is_empty(),
                "the person is in the care team",
            ),
            (!known.encounters.is_empty(), "the person met the patient"),
            (
                !known.proxies.is_empty(),
                "the person represents the patient",
            ),
            (!known.consents.is_empty(), "consents or objections apply"),
        ] {
            if is {
                words.push(word.to_owned());
            }
        }
        if let Some(unit) = &known.unit {
            words.push(format!("lies in {unit}"));
        }
        if words.is_empty() {
            words.push("no relation known".to_owned());
        }
        fact(
            &mut facts,
            &format!("Patient {}", patient.as_str()),
            words.join(", "),
        );
    }
    facts
}

/// Everything in a record that tells, or may tell, who a patient is.
struct Secret(BTreeSet<String>);

impl Secret {
    fn of(record: &DecisionRecord) -> Self {
        let mut words = BTreeSet::new();
        let mut keep = |text: &str| {
            if !text.is_empty() {
                words.insert(text.to_lowercase());
            }
        };
        for target in &record.targets {
            for patient in target.resource.patients() {
                keep(patient.as_str());
            }
            match &target.resource {
                Resource::FhirEndpoint(r) => keep(r.id.as_deref().unwrap_or_default()),
                Resource::FhirResource(r) => keep(r.id.as_deref().unwrap_or_default()),
                Resource::WebPage(r) => {
                    if r.path.len() > 1 {
                        keep(&r.path);
                    }
                }
                Resource::DicomNode(_)
                | Resource::Hl7Interface(_)
                | Resource::NetworkService(_)
                | Resource::Console(_) => {}
            }
        }
        for grant in record.context.grants.as_slice() {
            keep(grant.patient.as_str());
            keep(&grant.reason);
        }
        for patient in [
            record.context.launch_patient.as_ref(),
            record.eligibility.as_ref().map(|e| &e.patient),
            record
                .slice
                .person
                .as_ref()
                .and_then(|p| p.patient.as_ref()),
        ]
        .into_iter()
        .flatten()
        {
            keep(patient.as_str());
        }
        for (patient, _) in &record.slice.patients {
            keep(patient.as_str());
        }
        Self(words)
    }

    fn is_in(&self, line: &str) -> bool {
        let line = line.to_lowercase();
        self.0.iter().any(|word| line.contains(word))
    }
}

/// Fields of a payload that never tell who a patient is.
const TELLABLE: [&str; 5] = ["person", "by", "device", "purpose", "address"];

fn event(detail: &mut Detail, stored: &Stored, world: &Snapshot, redacted: bool) {
    if stored.kind != Kind::Decision {
        detail.sentence = reading::event_sentence(stored);
    } else {
        detail.sentence = look::plain(&detail.code);
    }
    for (name, value) in &stored.header {
        if !matches!(name.as_str(), "code" | "outcome" | "shadowed" | "about") {
            fact(&mut detail.what, &sentence_case(name), shown(value));
        }
    }
    let payload: Value = stored
        .payload
        .as_deref()
        .filter(|p| !p.is_empty())
        .and_then(|p| serde_json::from_slice(p).ok())
        .unwrap_or_default();
    let Value::Object(payload) = payload else {
        return;
    };
    for (name, value) in &payload {
        if stored.header.get(name) == Some(value) {
            continue;
        }
        if redacted && !TELLABLE.contains(&name.as_str()) {
            detail.left_out = true;
            continue;
        }
        let text = match (name.as_str(), value.as_str()) {
            ("person" | "by", Some(id)) => person_name(world, &PersonId::from(id)),
            ("device", Some(id)) => device_name(world, &DeviceId::from(id)),
            _ => shown(value),
        };
        fact(&mut detail.who, &sentence_case(name), text);
    }
}

fn sentence_case(name: &str) -> String {
    let plain = look::plain(name);
    let mut letters = plain.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => plain,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            look::plain(text)
        }
        Value::String(text) => text.clone(),
        Value::Bool(is) => yes_no(*is).to_owned(),
        Value::Number(n) => n.to_string(),
        Value::Array(all) => {
            let words: Vec<String> = all.iter().take(TARGETS_SHOWN_MAX).map(shown).collect();
            words.join(", ")
        }
        Value::Object(_) => value.to_string(),
    }
}
