//! Batches and transactions: each entry is an interaction of its own.

use std::collections::HashSet;

use ::http::Method;

use super::classify::{Asked, Content, Request};
use super::facts::{array, names_of, type_of};
use super::json::{Document, Kind, Value};
use super::reference::{self, Names, Target};
use super::{Malformed, ResponseShape, Write, unserved};
use crate::http::{check_query, path};

/// Entries of a batch or transaction.
const ENTRIES_MAX: usize = 4_096;

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

/// Classifies each entry. Entries are judged as if they stood alone, but for the names that `fullUrl` gives to what
/// the same bundle creates.
pub(super) fn classify(asked: &mut Asked<'_>, body: &[u8]) -> Result<ResponseShape, Malformed> {
    let document = Document::parse(body)?;
    let bundle = document.root();
    if type_of(bundle)? != "Bundle" {
        return Err(bad("not-a-bundle"));
    }
    only(
        bundle,
        &[
            "resourceType",
            "id",
            "meta",
            "language",
            "identifier",
            "type",
            "timestamp",
            "entry",
        ],
        "bundle-member",
    )?;
    if !matches!(
        bundle.text("type").as_deref(),
        Some("batch" | "transaction")
    ) {
        return Ok(asked.unclassified("Bundle"));
    }
    if bundle.get("entry").is_some_and(|e| e.kind() != Kind::Array) {
        return Err(bad("bundle-entry"));
    }
    let mut shapes = Vec::new();
    for entry in bundle.get("entry").into_iter().flat_map(Value::items) {
        if shapes.len() >= ENTRIES_MAX {
            return Err(Malformed {
                status: 413,
                code: "bundle-too-large",
            });
        }
        only(entry, &["fullUrl", "resource", "request"], "bundle-entry")?;
        shapes.push(ResponseShape::Opaque);
    }
    if shapes.is_empty() {
        return Err(bad("bundle-empty"));
    }
    unique_names(bundle)?;
    let names = names_of(bundle);
    let writes_before = asked.writes.len();
    for (entry, shape) in array(bundle, "entry").zip(&mut shapes) {
        *shape = classify_entry(asked, entry, &names)?;
    }
    unique_writes(&asked.writes[writes_before..])?;
    Ok(ResponseShape::Batch(shapes))
}

fn classify_entry(
    asked: &mut Asked<'_>,
    entry: Value<'_>,
    names: &Names<'_>,
) -> Result<ResponseShape, Malformed> {
    let request = entry.get("request").ok_or(bad("bundle-request"))?;
    only(
        request,
        &[
            "method",
            "url",
            "ifMatch",
            "ifNoneExist",
            "ifNoneMatch",
            "ifModifiedSince",
        ],
        "bundle-request",
    )?;
    let text = |name: &str| match request.get(name) {
        None => Ok(None),
        Some(value) => value.string().map(Some).ok_or(bad("bundle-request")),
    };
    let method = text("method")?.ok_or(bad("bundle-request"))?;
    let url = text("url")?.ok_or(bad("bundle-request"))?;
    let if_none_exist = text("ifNoneExist")?;
    text("ifMatch")?;
    let resource = entry.get("resource");
    let method = match &*method {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        // A patch in a bundle is a `Parameters` or a Binary; neither is judged.
        "PATCH" | "HEAD" => {
            return Ok(asked.not_served("Bundle", Some(unserved::PATCH_IN_BUNDLE)));
        }
        _ => return Err(bad("bundle-request")),
    };
    let writes = matches!(method, Method::POST | Method::PUT);
    if resource.is_some() && !writes {
        return Err(bad("bundle-request"));
    }
    let (path, query) = relative(&url)?;
    full_url(entry, resource, &method)?;
    // `304 Not Modified` tells of a resource that was not judged.
    if text("ifNoneMatch")?.is_some() || text("ifModifiedSince")?.is_some() {
        return Ok(asked.not_served("Bundle", Some(unserved::CONDITIONAL_IN_BUNDLE)));
    }
    if if_none_exist.is_some() && method != Method::POST {
        return Err(bad("bundle-request"));
    }
    let entry_request = Request {
        method: &method,
        path,
        query,
        if_none_exist: if_none_exist.as_deref(),
        content: Content::Entry(resource),
    };
    if path.is_empty() {
        return Err(bad("bundle-url"));
    }
    asked.interaction(&entry_request, names)
}

/// Splits a relative url; absolute ones, and any that is not in canonical form, are refused.
fn relative(url: &str) -> Result<(&str, Option<&str>), Malformed> {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let rooted = format!("/{path}");
    let canonical = path::canonical(&rooted).map_err(|_| bad("bundle-url"))?;
    if canonical != rooted || path.contains(':') {
        return Err(bad("bundle-url"));
    }
    if let Some(query) = query {
        check_query(query).map_err(|_| bad("bundle-url"))?;
    }
    Ok((path, query.filter(|q| !q.is_empty())))
}

/// What an entry is called must not contradict what it is.
fn full_url(
    entry: Value<'_>,
    resource: Option<Value<'_>>,
    method: &Method,
) -> Result<(), Malformed> {
    let Some(name) = entry.get("fullUrl") else {
        return Ok(());
    };
    let name = name.string().ok_or(bad("bundle-full-url"))?;
    if name.starts_with("urn:uuid:") || name.starts_with("urn:oid:") {
        return Ok(());
    }
    // The server gives a created resource another id and rewrites references to this one.
    if *method == Method::POST {
        return Err(bad("bundle-full-url"));
    }
    match (reference::parse(name, &Names::default()), resource) {
        (Target::Resource(..), None) => Ok(()),
        (Target::Resource(resource_type, id), Some(resource)) => {
            let agrees = resource.text("resourceType").as_deref() == Some(resource_type)
                && resource.text("id").as_deref() == Some(&*id);
            if agrees {
                Ok(())
            } else {
                Err(bad("bundle-full-url"))
            }
        }
        _ => Err(bad("bundle-full-url")),
    }
}

fn unique_names(bundle: Value<'_>) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    let unique = array(bundle, "entry")
        .filter_map(|e| e.text("fullUrl"))
        .all(|name| seen.insert(name));
    if unique {
        Ok(())
    } else {
        Err(bad("bundle-full-url"))
    }
}

fn unique_writes(writes: &[Write]) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    let unique = writes.iter().all(|write| match write {
        Write::Create { .. } | Write::Many(_) => true,
        Write::Update {
            resource_type, id, ..
        }
        | Write::Patch {
            resource_type, id, ..
        }
        | Write::Delete { resource_type, id } => seen.insert((resource_type, id)),
    });
    if unique {
        Ok(())
    } else {
        Err(bad("bundle-writes-twice"))
    }
}

/// Refuses an object with members that are not known, or something that is no object.
fn only(value: Value<'_>, known: &[&str], code: &'static str) -> Result<(), Malformed> {
    let fits = value.kind() == Kind::Object && value.members().all(|(key, _)| known.contains(&key));
    if fits { Ok(()) } else { Err(bad(code)) }
}
