//! `batch` and `transaction`.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::fault::Fault;
use super::interaction::{Call, Interaction, Prefer, Reply, Return};
use super::store::Store;
use super::{Desk, read, write};

/// Entries in one bundle.
const ENTRIES_MAX: usize = 500;

/// One entry, understood as far as its own text tells.
struct Entry {
    method: Method,
    path: String,
    query: String,
    interaction: Interaction,
    full_url: Option<String>,
    resource: Option<Value>,
    patch: Option<Value>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_none_exist: Option<String>,
    preset_id: Option<SmolStr>,
}

/// Performs the bundle in `call`.
pub(crate) fn perform(store: &mut Store, desk: &Desk<'_>, call: &Call<'_>) -> Result<Reply, Fault> {
    let bundle = call
        .resource
        .as_ref()
        .filter(|r| r.get("resourceType").and_then(Value::as_str) == Some("Bundle"))
        .ok_or_else(|| Fault::invalid("the body is not a Bundle"))?;
    let atomic = match bundle.get("type").and_then(Value::as_str) {
        Some("transaction") => true,
        Some("batch") => false,
        _ => {
            return Err(
                Fault::invalid("the bundle is neither a `batch` nor a `transaction`")
                    .at("Bundle.type"),
            );
        }
    };
    let none = Vec::new();
    let entries = match bundle.get("entry") {
        None => &none,
        Some(entries) => entries
            .as_array()
            .ok_or_else(|| Fault::invalid("`entry` is not a list").at("Bundle.entry"))?,
    };
    if entries.len() > ENTRIES_MAX {
        return Err(Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-costly",
            format!("more than `{ENTRIES_MAX}` entries"),
        ));
    }
    let parsed = entries.iter().map(|entry| parse(desk, entry));
    let answers = if atomic {
        let parsed = parsed
            .enumerate()
            .map(|(at, entry)| entry.map_err(|fault| in_entry(fault, at)))
            .collect::<Result<Vec<_>, Fault>>()?;
        let mark = store.mark();
        match transact(store, desk, call.prefer, parsed) {
            Ok(answers) => answers,
            Err(fault) => {
                store.undo(mark);
                return Err(fault);
            }
        }
    } else {
        parsed
            .map(|entry| {
                let reply = entry.and_then(|entry| run(store, desk, call.prefer, &entry));
                answer(reply.unwrap_or_else(Reply::from))
            })
            .collect()
    };
    let kind = if atomic {
        "transaction-response"
    } else {
        "batch-response"
    };
    let body = json!({"resourceType": "Bundle", "type": kind, "entry": answers});
    Ok(Reply::new(StatusCode::OK, body.to_string()))
}

fn in_entry(fault: Fault, at: usize) -> Fault {
    let place = match &fault.place {
        Some(place) => format!("Bundle.entry[{at}].resource.{place}"),
        None => format!("Bundle.entry[{at}]"),
    };
    fault.at(place)
}

fn parse(desk: &Desk<'_>, entry: &Value) -> Result<Entry, Fault> {
    let request = entry
        .get("request")
        .ok_or_else(|| Fault::invalid("an entry has no `request`"))?;
    let text = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
    let method = match text("method").as_deref() {
        Some("GET" | "HEAD") => Method::GET,
        Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some("PATCH") => Method::PATCH,
        Some("DELETE") => Method::DELETE,
        _ => return Err(Fault::invalid("the method of an entry is unknown")),
    };
    let url = text("url").ok_or_else(|| Fault::invalid("an entry has no `request.url`"))?;
    let below = url.strip_prefix(desk.prefix.as_str()).unwrap_or(&url);
    let below = below.strip_prefix('/').unwrap_or(below);
    let (path, query) = below.split_once('?').unwrap_or((below, ""));
    let interaction = Interaction::parse(&method, path, query)?;
    if matches!(interaction, Interaction::Bundle) {
        return Err(Fault::invalid(
            "a bundle cannot hold a bundle to be performed",
        ));
    }
    let mut resource = entry.get("resource").cloned();
    let mut patch = None;
    if matches!(interaction, Interaction::Patch { .. }) {
        patch = Some(carried_patch(resource.take().as_ref())?);
    }
    Ok(Entry {
        path: path.to_owned(),
        query: query.to_owned(),
        interaction,
        full_url: entry
            .get("fullUrl")
            .and_then(Value::as_str)
            .map(str::to_owned),
        resource,
        patch,
        if_match: text("ifMatch"),
        if_none_match: text("ifNoneMatch"),
        if_none_exist: text("ifNoneExist"),
        preset_id: None,
        method,
    })
}

/// A JSON Patch travels in a `Binary`.
fn carried_patch(resource: Option<&Value>) -> Result<Value, Fault> {
    let text = |name: &str| resource?.get(name)?.as_str();
    let is_patch = text("resourceType") == Some("Binary")
        && text("contentType") == Some("application/json-patch+json");
    is_patch
        .then(|| text("data"))
        .flatten()
        .and_then(|data| base64::engine::general_purpose::STANDARD.decode(data).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Fault::invalid("a patch in a bundle is a Binary with a JSON Patch"))
}

fn run(store: &mut Store, desk: &Desk<'_>, prefer: Prefer, entry: &Entry) -> Result<Reply, Fault> {
    let call = Call {
        method: entry.method.clone(),
        path: &entry.path,
        query: &entry.query,
        form: None,
        resource: entry.resource.clone(),
        patch: entry.patch.clone(),
        if_match: entry.if_match.as_deref(),
        if_none_match: entry.if_none_match.as_deref(),
        if_modified_since: None,
        if_none_exist: entry.if_none_exist.as_deref(),
        prefer: Prefer {
            // In a bundle, what was sent comes back only if asked for.
            wanted: Some(prefer.wanted.unwrap_or(Return::Minimal)),
            ..prefer
        },
        preset_id: entry.preset_id.clone(),
    };
    if entry.interaction.only_reads() {
        read::perform(store, desk, &call, &entry.interaction)
    } else {
        write::perform(store, desk, &call, &entry.interaction)
    }
}

fn answer(reply: Reply) -> Value {
    let mut response = json!({"status": reply.status.to_string()});
    if let Some(version) = reply.version {
        response["etag"] = format!("W/\"{version}\"").into();
    }
    if let Some(at) = reply.modified {
        response["lastModified"] = at.to_string().into();
    }
    if let Some(location) = reply.location {
        response["location"] = location.into();
    }
    let mut entry = json!({});
    // Our own answers are JSON or empty.
    if let Ok(resource) = serde_json::from_slice::<Value>(&reply.body) {
        if resource["resourceType"] == "OperationOutcome" {
            response["outcome"] = resource;
        } else {
            entry["resource"] = resource;
        }
    }
    entry["response"] = response;
    entry
}

/// Performs all entries or fails; what it did is then taken back by the caller.
fn transact(
    store: &mut Store,
    desk: &Desk<'_>,
    prefer: Prefer,
    mut entries: Vec<Entry>,
) -> Result<Vec<Value>, Fault> {
    refuse_overlaps(&entries)?;
    let names = promise_ids(store, desk, &mut entries)?;
    if !names.is_empty() {
        for entry in &mut entries {
            if let Some(resource) = &mut entry.resource {
                resolve(resource, &names);
            }
            if let Some(patch) = &mut entry.patch {
                resolve(patch, &names);
            }
        }
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    // R4, section 3.1.0.11.2: deletes, creates, updates and patches, reads.
    order.sort_by_key(|&at| match entries[at].method {
        Method::DELETE => 0,
        Method::POST if !entries[at].interaction.only_reads() => 1,
        Method::PUT | Method::PATCH => 2,
        _ => 3,
    });
    let mut answers = vec![Value::Null; entries.len()];
    for at in order {
        let reply = run(store, desk, prefer, &entries[at]).map_err(|fault| in_entry(fault, at))?;
        answers[at] = answer(reply);
    }
    Ok(answers)
}

/// A transaction touches each resource once, else its result would hang on the order.
fn refuse_overlaps(entries: &[Entry]) -> Result<(), Fault> {
    let mut touched = HashSet::new();
    let mut names = HashSet::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Interaction::Update { kept, id }
        | Interaction::Patch { kept, id }
        | Interaction::Delete { kept, id } = &entry.interaction
            && !touched.insert((kept.name, id.clone()))
        {
            return Err(in_entry(
                Fault::invalid("a transaction touches one resource twice"),
                at,
            ));
        }
        if let Some(url) = entry
            .full_url
            .as_deref()
            .filter(|url| url.starts_with("urn:"))
            && !names.insert(url)
        {
            return Err(in_entry(
                Fault::invalid("two entries have the same `fullUrl`"),
                at,
            ));
        }
    }
    Ok(())
}

/// Decides the ids of what will be created, so that other entries can refer to it by `fullUrl`.
fn promise_ids(
    store: &mut Store,
    desk: &Desk<'_>,
    entries: &mut [Entry],
) -> Result<HashMap<String, String>, Fault> {
    let mut names = HashMap::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        let (kept, id) = match &entry.interaction {
            Interaction::Create { kept } => {
                let found = match &entry.if_none_exist {
                    Some(condition) => write::existing(store, desk, kept, condition)
                        .map_err(|fault| in_entry(fault, at))?,
                    None => None,
                };
                let id = match found {
                    Some((_, id)) => id,
                    None => {
                        let id = store.fresh_id(kept);
                        entry.preset_id = Some(id.clone());
                        id
                    }
                };
                (kept, id)
            }
            Interaction::Update { kept, id } => (kept, id.clone()),
            _ => continue,
        };
        if let Some(url) = entry.full_url.clone().filter(|url| url.starts_with("urn:")) {
            names.insert(url, format!("{}/{id}", kept.name));
        }
    }
    Ok(names)
}

/// Replaces every string that is exactly the name of an entry, as references and links are.
fn resolve(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                text.clone_from(name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, names)),
        Value::Object(object) => object.values_mut().for_each(|item| resolve(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
