//! Runs a search and lays out its answer.

use std::collections::{BTreeSet, HashSet};

use domain::Timestamp;
use serde_json::Value;
use smol_str::SmolStr;

use super::parameters::{self, Found, Type};
use super::query::{Criterion, Field, Include, Search, Shape, Test, Wanted};
use super::store::{Cause, Entry, Key, Store, Version};

/// Resources that may come along with one page.
const INCLUDED_MAX: usize = 1_000;
/// Rounds of `:iterate`.
const ROUNDS_MAX: usize = 4;

/// Keys of all matches, in the order asked for; without one, the latest change first.
pub(crate) fn run(store: &Store, search: &Search, now: Timestamp) -> Vec<Key> {
    let now = now.as_millis();
    let mut found: Vec<(Key, &Entry)> = Vec::new();
    for kept in &search.types {
        for (id, entry) in candidates(store, kept, search) {
            if entry.body().is_some()
                && search
                    .criteria
                    .iter()
                    .all(|c| holds(c, kept, &id, entry, now))
            {
                found.push(((kept.name, id.clone()), entry));
            }
        }
    }
    let latest = |entry: &Entry| entry.current().map_or(0, |v| v.at.as_millis());
    found.sort_by(|(a_key, a), (b_key, b)| {
        for order in &search.sort {
            let by = compare(&order.field, order.descending, (a_key, a), (b_key, b));
            if by.is_ne() {
                return by;
            }
        }
        latest(b).cmp(&latest(a)).then_with(|| a_key.cmp(b_key))
    });
    found.into_iter().map(|(key, _)| key).collect()
}

/// Entries that may match: those of the named patients' compartments where the search names patients, else all.
fn candidates<'s>(
    store: &'s Store,
    kept: &'static Type,
    search: &Search,
) -> Box<dyn Iterator<Item = (SmolStr, &'s Entry)> + 's> {
    let patients: Option<BTreeSet<SmolStr>> = match &search.compartment {
        Some(patient) => Some([patient.clone()].into()),
        None => search.criteria.iter().find_map(|c| named_patients(kept, c)),
    };
    match patients {
        Some(patients) => {
            let keys: BTreeSet<Key> = patients
                .iter()
                .flat_map(|p| store.compartment(p))
                .filter(|(type_name, _)| *type_name == kept.name)
                .cloned()
                .collect();
            Box::new(keys.into_iter().filter_map(move |(_, id)| {
                let entry = store.entry(kept, &id)?;
                Some((id, entry))
            }))
        }
        None => Box::new(store.entries(kept).map(|(id, entry)| (id.clone(), entry))),
    }
}

/// The patients that a condition names, if it can be met only inside their compartments.
fn named_patients(kept: &'static Type, criterion: &Criterion) -> Option<BTreeSet<SmolStr>> {
    let (Field::Parameter(name), Test::Any(wanted)) = (&criterion.field, &criterion.test) else {
        return None;
    };
    let (_, parameter) = kept.parameter(name)?;
    if !parameter.compartment {
        return None;
    }
    wanted
        .iter()
        .map(|wanted| match wanted {
            Wanted::Reference(to) => to.strip_prefix("Patient/").map(SmolStr::from),
            Wanted::ReferenceId(id) if parameter.targets == ["Patient"] => Some(id.clone()),
            _ => None,
        })
        .collect()
}

fn holds(
    criterion: &Criterion,
    kept: &'static Type,
    id: &SmolStr,
    entry: &Entry,
    now: i64,
) -> bool {
    let any = |wanted: &[Wanted]| match &criterion.field {
        Field::Id => wanted
            .iter()
            .any(|w| matches!(w, Wanted::Id(wanted) if wanted == id)),
        Field::LastUpdated => entry.current().is_some_and(|v| {
            let at = Found::Date(parameters::instant(v.at));
            wanted.iter().any(|w| w.is(&at, now))
        }),
        Field::Security => entry
            .security
            .iter()
            .any(|f| wanted.iter().any(|w| w.is(f, now))),
        Field::Parameter(name) => {
            values(kept, name, entry).any(|found| wanted.iter().any(|w| w.is(found, now)))
        }
    };
    match &criterion.test {
        Test::Any(wanted) => any(wanted),
        Test::None(wanted) => !any(wanted),
        Test::Missing(missing) => {
            let present = match &criterion.field {
                Field::Id | Field::LastUpdated => true,
                Field::Security => !entry.security.is_empty(),
                Field::Parameter(name) => values(kept, name, entry).next().is_some(),
            };
            present != *missing
        }
    }
}

fn values<'e>(
    kept: &'static Type,
    name: &str,
    entry: &'e Entry,
) -> impl Iterator<Item = &'e Found> {
    let number = kept.parameter(name).map(|(number, _)| number);
    entry
        .index
        .iter()
        .filter(move |(n, _)| Some(*n) == number)
        .map(|(_, found)| found)
}

/// Missing values come last in either direction.
fn compare(
    field: &Field,
    descending: bool,
    (a_key, a): (&Key, &Entry),
    (b_key, b): (&Key, &Entry),
) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Equal, Greater, Less};

    let turned = |by: std::cmp::Ordering| if descending { by.reverse() } else { by };
    match field {
        Field::Id => turned(a_key.1.cmp(&b_key.1)),
        Field::LastUpdated => turned(a.current().map(|v| v.at).cmp(&b.current().map(|v| v.at))),
        Field::Security => Equal,
        Field::Parameter(name) => {
            let first = |key: &Key, entry: &Entry| {
                let kept = parameters::type_named(key.0)?;
                let mut all: Vec<Rank> = values(kept, name, entry).map(rank).collect();
                all.sort();
                if descending {
                    all.pop()
                } else {
                    all.into_iter().next()
                }
            };
            match (first(a_key, a), first(b_key, b)) {
                (Some(a), Some(b)) => turned(a.cmp(&b)),
                (Some(_), None) => Less,
                (None, Some(_)) => Greater,
                (None, None) => Equal,
            }
        }
    }
}

type Rank = (i64, SmolStr);

fn rank(found: &Found) -> Rank {
    match found {
        Found::Date(range) => (range.from, SmolStr::default()),
        Found::Text { folded, .. } => (0, folded.clone()),
        Found::Token { code, .. } => (0, code.clone()),
        Found::Reference(to) => (0, to.clone()),
    }
}

/// Resources that come along with `matches`: what they refer to and what refers to them.
pub(crate) fn included(store: &Store, shape: &Shape, matches: &[Key]) -> Vec<Key> {
    let mut seen: HashSet<Key> = matches.iter().cloned().collect();
    let mut all = Vec::new();
    let mut fresh: Vec<Key> = matches.to_vec();
    for round in 0..ROUNDS_MAX {
        let mut next = Vec::new();
        for key in &fresh {
            let applies = |i: &&Include| round == 0 || i.iterate;
            for include in shape.includes.iter().filter(applies) {
                follow(store, key, include, &mut next);
            }
            for include in shape.reverse.iter().filter(applies) {
                referrers(store, key, include, &mut next);
            }
        }
        next.retain(|key| seen.insert(key.clone()));
        if next.is_empty() || all.len() >= INCLUDED_MAX {
            break;
        }
        all.extend(next.iter().cloned());
        fresh = next;
    }
    all.truncate(INCLUDED_MAX);
    all
}

fn follow(store: &Store, key: &Key, include: &Include, found: &mut Vec<Key>) {
    if key.0 != include.source {
        return;
    }
    let Some(kept) = parameters::type_named(key.0) else {
        return;
    };
    let Some(entry) = store.entry(kept, &key.1) else {
        return;
    };
    for (number, value) in &entry.index {
        let parameter = &kept.parameters[usize::from(*number)];
        if (include.parameter == "*" || include.parameter == parameter.name)
            && let Found::Reference(to) = value
            && let Some((type_name, id)) = to.split_once('/')
            && include.target.as_ref().is_none_or(|t| t == type_name)
            && let Some(target) = parameters::type_named(type_name)
            && store.entry(target, id).is_some_and(|e| e.body().is_some())
        {
            found.push((target.name, id.into()));
        }
    }
}

fn referrers(store: &Store, key: &Key, include: &Include, found: &mut Vec<Key>) {
    let Some(kept) = parameters::type_named(include.source) else {
        return;
    };
    if include.target.as_ref().is_some_and(|t| t != key.0) {
        return;
    }
    let wanted = smol_str::format_smolstr!("{}/{}", key.0, key.1);
    let mut visit = |id: &SmolStr, entry: &Entry| {
        let refers = entry.index.iter().any(|(number, value)| {
            let parameter = &kept.parameters[usize::from(*number)];
            (include.parameter == "*" || include.parameter == parameter.name)
                && matches!(value, Found::Reference(to) if *to == wanted)
        });
        if refers && entry.body().is_some() {
            found.push((kept.name, id.clone()));
        }
    };
    // What refers to a patient through a compartment's parameter lies in that compartment.
    if key.0 == "Patient"
        && kept
            .parameter(&include.parameter)
            .is_some_and(|(_, p)| p.compartment)
    {
        for (type_name, id) in store.compartment(&key.1) {
            if *type_name == kept.name
                && let Some(entry) = store.entry(kept, id)
            {
                visit(id, entry);
            }
        }
    } else {
        store.entries(kept).for_each(|(id, entry)| visit(id, entry));
    }
}

/// Puts a bundle together as text, so that stored resources are copied and not parsed.
pub(crate) struct BundleText {
    text: String,
    entries: usize,
}

impl BundleText {
    pub(crate) fn new(kind: &str, at: Timestamp) -> Self {
        Self {
            text: format!(
                "{{\"resourceType\":\"Bundle\",\"type\":\"{kind}\",\"meta\":{{\"lastUpdated\":\"{at}\"}}"
            ),
            entries: 0,
        }
    }

    pub(crate) fn total(&mut self, total: usize) {
        self.text.push_str(&format!(",\"total\":{total}"));
    }

    pub(crate) fn links(&mut self, links: &[(&str, String)]) {
        let links: Vec<Value> = links
            .iter()
            .map(|(relation, url)| serde_json::json!({"relation": relation, "url": url}))
            .collect();
        self.text
            .push_str(&format!(",\"link\":{}", Value::from(links)));
    }

    fn open(&mut self) {
        self.text.push_str(if self.entries == 0 {
            ",\"entry\":["
        } else {
            ","
        });
        self.entries += 1;
    }

    /// A match or something that came along.
    pub(crate) fn found(&mut self, url: &str, resource: &str, mode: &str) {
        self.open();
        self.text.push_str(&format!(
            "{{\"fullUrl\":{},\"resource\":{resource},\"search\":{{\"mode\":\"{mode}\"}}}}",
            Value::from(url)
        ));
    }

    /// A version in a history.
    pub(crate) fn version(&mut self, url: &str, key: &Key, version: &Version) {
        self.open();
        let (method, status) = match version.cause {
            Cause::Create => ("POST", "201"),
            Cause::Update => ("PUT", "200"),
            Cause::Delete => ("DELETE", "204"),
        };
        let request = match version.cause {
            Cause::Create => key.0.to_owned(),
            Cause::Update | Cause::Delete => format!("{}/{}", key.0, key.1),
        };
        let resource = version
            .body
            .as_ref()
            .and_then(|body| std::str::from_utf8(body).ok())
            .map(|body| format!("\"resource\":{body},"))
            .unwrap_or_default();
        self.text.push_str(&format!(
            "{{\"fullUrl\":{},{resource}\"request\":{{\"method\":\"{method}\",\"url\":\"{request}\"}},\
             \"response\":{{\"status\":\"{status}\",\"etag\":\"W/\\\"{}\\\"\",\"lastModified\":\"{}\"}}}}",
            Value::from(url),
            version.number,
            version.at,
        ));
    }

    pub(crate) fn finish(mut self) -> String {
        self.text
            .push_str(if self.entries == 0 { "}" } else { "]}" });
        self.text
    }
}

/// A resource reduced to `elements` and what must not be missing.
pub(crate) fn reduced(body: &str, elements: &[SmolStr]) -> Option<String> {
    let mut resource: Value = serde_json::from_str(body).ok()?;
    let object = resource.as_object_mut()?;
    let kept = object
        .get("resourceType")
        .and_then(Value::as_str)
        .and_then(parameters::type_named);
    object.retain(|name, _| {
        matches!(name.as_str(), "resourceType" | "id" | "meta")
            || elements.iter().any(|e| e == name)
            || kept.is_some_and(|t| t.required.iter().any(|r| r.split('|').any(|r| r == name)))
    });
    let tag = serde_json::json!({
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "code": "SUBSETTED",
    });
    let meta = object.get_mut("meta")?.as_object_mut()?;
    match meta.get_mut("tag").and_then(Value::as_array_mut) {
        Some(tags) => tags.push(tag),
        None => {
            meta.insert("tag".into(), serde_json::json!([tag]));
        }
    }
    Some(resource.to_string())
}
