//! Interactions that only read.

use std::sync::Arc;

use http::StatusCode;
use smol_str::SmolStr;

use super::fault::Fault;
use super::interaction::{self, Call, Interaction, Reply};
use super::paging::Rest;
use super::parameters::{self, Type};
use super::query::{self, Search, Shape};
use super::search::{self, BundleText};
use super::store::{Entry, Key, Store, Version};
use super::{Desk, capability};

/// Performs an interaction for which [`Interaction::only_reads`] holds.
pub(crate) fn perform(
    store: &Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    interaction: &Interaction,
) -> Result<Reply, Fault> {
    match interaction {
        Interaction::Capabilities => Ok(Reply::new(
            StatusCode::OK,
            capability::statement(desk.now).to_string(),
        )),
        Interaction::Read { kept, id } => {
            let entry = store.entry(kept, id).ok_or_else(Fault::not_found)?;
            let version = entry.current().ok_or_else(Fault::not_found)?;
            one(version, call)
        }
        Interaction::Vread { kept, id, version } => {
            let entry = store.entry(kept, id).ok_or_else(Fault::not_found)?;
            let version = entry
                .versions
                .iter()
                .find(|v| v.number.to_string() == *version)
                .ok_or_else(Fault::not_found)?;
            one(version, call)
        }
        Interaction::History { kept, id } => history(store, desk, call, *kept, id.as_ref()),
        Interaction::Search { kept, compartment } => {
            let mut pairs = query::pairs(call.query)?;
            if let Some(form) = call.form {
                pairs.extend(query::pairs(form)?);
            }
            let search =
                query::understand(*kept, compartment.clone(), &pairs, call.prefer.lenient)?;
            Ok(found(store, desk, &search))
        }
        Interaction::Page { token } => {
            let rest = desk.pages.lock().get(token, desk.now);
            let rest = rest.ok_or_else(|| {
                Fault::new(
                    StatusCode::GONE,
                    "expired",
                    "the rest of that answer is no longer kept; search again",
                )
            })?;
            let this = format!("{}?_page={token}", desk.prefix);
            Ok(page(store, desk, rest, this))
        }
        Interaction::Create { .. }
        | Interaction::Update { .. }
        | Interaction::Patch { .. }
        | Interaction::Delete { .. }
        | Interaction::Bundle => Err(Fault::method("GET, HEAD")),
    }
}

fn one(version: &Version, call: &Call<'_>) -> Result<Reply, Fault> {
    let Some(body) = &version.body else {
        return Err(Fault::gone());
    };
    let unchanged = match (call.if_none_match, call.if_modified_since) {
        (Some(tags), _) => interaction::names_version(tags, version.number),
        // Only the date that we gave ourselves counts: nobody has another.
        (None, Some(date)) => date == interaction::http_date(version.at),
        (None, None) => false,
    };
    let mut reply = if unchanged {
        Reply::new(StatusCode::NOT_MODIFIED, "")
    } else {
        Reply::new(StatusCode::OK, body.clone())
    };
    reply.version = Some(version.number);
    reply.modified = Some(version.at);
    Ok(reply)
}

fn found(store: &Store, desk: &Desk<'_>, search: &Search) -> Reply {
    let keys = search::run(store, search, desk.now);
    let this = self_link(desk, search);
    let mut shape = search.shape.clone();
    shape.total = shape.total.map(|_| keys.len());
    if search.count_only {
        let mut bundle = BundleText::new("searchset", desk.now);
        bundle.total(keys.len());
        bundle.links(&[("self", this)]);
        return Reply::new(StatusCode::OK, bundle.finish());
    }
    let rest = Rest {
        keys: keys.into_iter().map(|key| (key, None)).collect(),
        offset: 0,
        shape: Arc::new(shape),
    };
    page(store, desk, rest, this)
}

fn self_link(desk: &Desk<'_>, search: &Search) -> String {
    let mut path = desk.prefix.clone();
    if let Some(patient) = &search.compartment {
        path.push_str(&format!("/Patient/{patient}"));
    }
    match (search.types.as_slice(), &search.compartment) {
        ([one], _) => path.push_str(&format!("/{}", one.name)),
        (_, Some(_)) => path.push_str("/*"),
        (_, None) => {}
    }
    let query: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&search.understood)
        .finish();
    if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    }
}

fn history(
    store: &Store,
    desk: &Desk<'_>,
    call: &Call<'_>,
    kept: Option<&'static Type>,
    id: Option<&SmolStr>,
) -> Result<Reply, Fault> {
    let mut shape = Shape {
        history: true,
        count: query::COUNT_DEFAULT,
        ..Shape::default()
    };
    let mut since = i64::MIN;
    for (name, value) in query::pairs(call.query)? {
        match name.as_str() {
            "_count" => {
                let count: usize = value
                    .parse()
                    .map_err(|_| Fault::invalid("`_count` is not a number"))?;
                shape.count = count.clamp(1, query::COUNT_MAX);
            }
            "_since" => {
                since = super::date::Range::parse(&value)
                    .ok_or_else(|| Fault::invalid("`_since` is not an instant"))?
                    .from;
            }
            "_format" | "_pretty" => {}
            _ if call.prefer.lenient => {}
            _ => return Err(Fault::not_supported("histories know `_count` and `_since`")),
        }
    }
    let keys: Vec<(Key, Option<u32>)> = match (kept, id) {
        (Some(kept), Some(id)) => {
            let entry = store.entry(kept, id).ok_or_else(Fault::not_found)?;
            entry
                .versions
                .iter()
                .rev()
                .filter(|v| v.at.as_millis() >= since)
                .map(|v| ((kept.name, id.clone()), Some(v.number)))
                .collect()
        }
        _ => store
            .changes()
            .filter(|(key, version)| {
                kept.is_none_or(|t| t.name == key.0) && version.at.as_millis() >= since
            })
            .map(|(key, version)| (key.clone(), Some(version.number)))
            .collect(),
    };
    shape.total = Some(keys.len());
    let mut this = format!("{}/{}", desk.prefix, call.path);
    if !call.query.is_empty() {
        this.push_str(&format!("?{}", call.query));
    }
    let rest = Rest {
        keys: keys.into(),
        offset: 0,
        shape: Arc::new(shape),
    };
    Ok(page(store, desk, rest, this))
}

/// One page of an answer, with a link to the next.
fn page(store: &Store, desk: &Desk<'_>, rest: Rest, this: String) -> Reply {
    let shape = Arc::clone(&rest.shape);
    let kind = if shape.history {
        "history"
    } else {
        "searchset"
    };
    let mut bundle = BundleText::new(kind, desk.now);
    if let Some(total) = shape.total {
        bundle.total(total);
    }
    let end = rest.offset.saturating_add(shape.count).min(rest.keys.len());
    let here = rest.keys.get(rest.offset..end).unwrap_or_default().to_vec();
    let mut links = vec![("self", this)];
    if end < rest.keys.len() {
        let rest = Rest {
            offset: end,
            ..rest
        };
        // Without a token the answer ends here; its total tells that there was more.
        if let Some(token) = desk.pages.lock().keep(rest, desk.now) {
            links.push(("next", format!("{}?_page={token}", desk.prefix)));
        }
    }
    bundle.links(&links);
    if shape.history {
        for (key, number) in &here {
            let version = entry(store, key)
                .and_then(|e| e.versions.iter().find(|v| Some(v.number) == *number));
            if let Some(version) = version {
                bundle.version(&url(desk, key), key, version);
            }
        }
    } else {
        let matches: Vec<Key> = here.into_iter().map(|(key, _)| key).collect();
        let included = search::included(store, &shape, &matches);
        for (keys, mode) in [(&matches, "match"), (&included, "include")] {
            for key in keys {
                // What was deleted since the first page is left out.
                let body = entry(store, key).and_then(Entry::body);
                let Some(body) = body.and_then(|b| std::str::from_utf8(b).ok()) else {
                    continue;
                };
                let reduced = if shape.elements.is_empty() {
                    None
                } else {
                    search::reduced(body, &shape.elements)
                };
                bundle.found(&url(desk, key), reduced.as_deref().unwrap_or(body), mode);
            }
        }
    }
    Reply::new(StatusCode::OK, bundle.finish())
}

fn entry<'s>(store: &'s Store, key: &Key) -> Option<&'s Entry> {
    store.entry(parameters::type_named(key.0)?, &key.1)
}

fn url(desk: &Desk<'_>, key: &Key) -> String {
    format!("{}/{}/{}", desk.prefix, key.0, key.1)
}
