//! Interactions that change one resource.

use http::StatusCode;
use serde_json::Value;
use smol_str::SmolStr;

use super::fault::{self, Fault};
use super::interaction::{self, Call, Interaction, Reply, Return};
use super::parameters::Type;
use super::patch::{self, Broken};
use super::store::{Entry, Key, Store, Version};
use super::{Desk, query, search};

/// Performs a create, update, patch or delete.
pub(crate) fn perform(
    store: &mut Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    interaction: &Interaction,
) -> Result<Reply, Fault> {
    match interaction {
        Interaction::Create { kept } => create(store, desk, call, kept),
        Interaction::Update { kept, id } => update(store, desk, call, kept, id),
        Interaction::Patch { kept, id } => patched(store, desk, call, kept, id),
        Interaction::Delete { kept, id } => delete(store, desk, call, kept, id),
        Interaction::Capabilities
        | Interaction::Read { .. }
        | Interaction::Vread { .. }
        | Interaction::History { .. }
        | Interaction::Search { .. }
        | Interaction::Page { .. }
        | Interaction::Bundle => Err(Fault::method("POST, PUT, PATCH, DELETE")),
    }
}

fn create(
    store: &mut Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    kept: &'static Type,
) -> Result<Reply, Fault> {
    let resource = valid(call.resource.as_ref(), kept)?;
    if let Some(condition) = call.if_none_exist
        && let Some((_, id)) = existing(store, desk, kept, condition)?
    {
        let entry = store.entry(kept, &id).ok_or_else(Fault::not_found)?;
        let version = entry.current().cloned().ok_or_else(Fault::not_found)?;
        return Ok(written(desk, call, StatusCode::OK, kept, &id, &version));
    }
    let id = match &call.preset_id {
        Some(id) => id.clone(),
        None => store.fresh_id(kept),
    };
    let version = store.put(kept, &id, Some(resource.clone()), desk.now)?;
    Ok(written(
        desk,
        call,
        StatusCode::CREATED,
        kept,
        &id,
        &version,
    ))
}

/// The one resource that a conditional create finds, if there is one.
pub(crate) fn existing(
    store: &Store,
    desk: &Desk<'_>,
    kept: &'static Type,
    condition: &str,
) -> Result<Option<Key>, Fault> {
    let condition = condition.rsplit('?').next().unwrap_or("");
    let pairs = query::pairs(condition)?;
    let search = query::understand(Some(kept), None, &pairs, false)?;
    if search.criteria.is_empty() {
        return Err(Fault::precondition(
            "`If-None-Exist` says nothing to look for",
        ));
    }
    let mut found = search::run(store, &search, desk.now).into_iter();
    match (found.next(), found.next()) {
        (only, None) => Ok(only),
        _ => Err(Fault::precondition(
            "`If-None-Exist` fits more than one resource",
        )),
    }
}

fn update(
    store: &mut Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    kept: &'static Type,
    id: &SmolStr,
) -> Result<Reply, Fault> {
    let resource = valid(call.resource.as_ref(), kept)?;
    if resource.get("id").and_then(Value::as_str) != Some(id) {
        let place = format!("{}.id", kept.name);
        return Err(Fault::invalid("the `id` in the body is not the one in the address").at(place));
    }
    let before = store.entry(kept, id).and_then(Entry::current).cloned();
    check_match(call, before.as_ref())?;
    let is_there = matches!(before, Some(Version { body: Some(_), .. }));
    if is_there && call.if_none_match.is_some_and(|tags| tags.trim() == "*") {
        return Err(Fault::precondition(
            "there is a resource of this id already",
        ));
    }
    let version = store.put(kept, id, Some(resource.clone()), desk.now)?;
    let status = match before {
        Some(Version { body: Some(_), .. }) => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    Ok(written(desk, call, status, kept, id, &version))
}

fn patched(
    store: &mut Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    kept: &'static Type,
    id: &SmolStr,
) -> Result<Reply, Fault> {
    let entry = store.entry(kept, id).ok_or_else(Fault::not_found)?;
    let before = entry.current().ok_or_else(Fault::not_found)?;
    let body = before.body.as_ref().ok_or_else(Fault::gone)?;
    check_match(call, Some(before))?;
    let mut resource: Value = serde_json::from_slice(body).map_err(|_| Fault::not_found())?;
    let patch = call
        .patch
        .as_ref()
        .ok_or_else(|| Fault::invalid("the patch is missing"))?;
    patch::apply(&mut resource, patch).map_err(|broken| match broken {
        Broken::Malformed => Fault::invalid("the body is not a JSON Patch"),
        Broken::Unfit => unprocessable("the patch does not fit the resource"),
    })?;
    if resource.get("id").and_then(Value::as_str) != Some(id) {
        return Err(unprocessable("a patch cannot change the `id`"));
    }
    let resource = valid(Some(&resource), kept).map_err(|fault| Fault {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        ..fault
    })?;
    let version = store.put(kept, id, Some(resource.clone()), desk.now)?;
    Ok(written(desk, call, StatusCode::OK, kept, id, &version))
}

fn delete(
    store: &mut Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    kept: &'static Type,
    id: &SmolStr,
) -> Result<Reply, Fault> {
    let entry = store.entry(kept, id).ok_or_else(Fault::not_found)?;
    check_match(call, entry.current())?;
    let alive = entry.body().is_some();
    if alive && kept.name == "Patient" && store.compartment(id).count() > 1 {
        return Err(Fault::new(
            StatusCode::CONFLICT,
            "conflict",
            "other resources are about this patient",
        ));
    }
    let version = if alive {
        store.put(kept, id, None, desk.now)?.number
    } else {
        entry.current().map_or(0, |v| v.number)
    };
    let mut reply = match call.prefer.wanted {
        Some(Return::Outcome) => Reply::new(StatusCode::OK, fault::success("deleted").to_string()),
        _ => Reply::new(StatusCode::NO_CONTENT, ""),
    };
    reply.version = Some(version);
    Ok(reply)
}

/// `If-Match` against the current version; a resource that is not there matches nothing.
fn check_match(call: &Call<'_>, current: Option<&Version>) -> Result<(), Fault> {
    let Some(tags) = call.if_match else {
        return Ok(());
    };
    match current {
        Some(version) if interaction::names_version(tags, version.number) => Ok(()),
        _ => Err(Fault::precondition(
            "the resource has changed since; read it again",
        )),
    }
}

fn unprocessable(text: &str) -> Fault {
    Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "processing", text)
}

/// The resource, if it is of this type and has what it must have.
fn valid<'r>(resource: Option<&'r Value>, kept: &'static Type) -> Result<&'r Value, Fault> {
    let resource = resource.filter(|r| r.is_object()).ok_or_else(|| {
        Fault::new(
            StatusCode::BAD_REQUEST,
            "structure",
            "the body is not a resource",
        )
    })?;
    if resource.get("resourceType").and_then(Value::as_str) != Some(kept.name) {
        return Err(
            Fault::invalid("the resource is not of the type in the address").at("resourceType"),
        );
    }
    for required in kept.required {
        let present = required
            .split('|')
            .any(|name| resource.get(name).is_some_and(|v| !v.is_null()));
        if !present {
            let text = format!("`{required}` is required");
            let fault = Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "required", text);
            return Err(fault.at(format!("{}.{required}", kept.name)));
        }
    }
    if resource.get("meta").is_some_and(|m| !m.is_object()) {
        return Err(unprocessable("`meta` is not an object").at(format!("{}.meta", kept.name)));
    }
    if !references_are_text(resource) {
        return Err(unprocessable("a reference is not a string"));
    }
    Ok(resource)
}

/// Whether each `reference` of a Reference is a string. The one other element of that name, in `Consent`, holds a
/// Reference itself.
fn references_are_text(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().all(|(name, value)| {
            (name != "reference" || value.is_string() || value.is_object())
                && references_are_text(value)
        }),
        Value::Array(items) => items.iter().all(references_are_text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn written(
    desk: &Desk<'_>,
    call: &Call<'_>,
    status: StatusCode,
    kept: &'static Type,
    id: &SmolStr,
    version: &Version,
) -> Reply {
    let body = match call.prefer.wanted {
        None | Some(Return::Representation) => version.body.clone().unwrap_or_default(),
        Some(Return::Minimal) => bytes::Bytes::new(),
        Some(Return::Outcome) => fault::success("stored").to_string().into(),
    };
    let mut reply = Reply::new(status, body);
    reply.version = Some(version.number);
    reply.modified = Some(version.at);
    reply.location = Some(format!(
        "{}/{}/{id}/_history/{}",
        desk.prefix, kept.name, version.number
    ));
    reply
}
