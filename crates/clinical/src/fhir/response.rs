//! The response check: each resource is judged, and what may not pass is cut out without a trace.
//!
//! What is understood, and what becomes of it:
//!
//! - *one resource*: judged, with each resource it contains as a part of it; a stored Bundle (document, message) or
//!   `Parameters` passes only if all it holds may.
//! - *searchset, history*: entries that may not pass are left out; `total` counts what is left, and is left out
//!   where there are more pages; links keep path and query of `self`, `first`, `next`, `previous`. In a history,
//!   every version counts with the labels and patients of all versions in the answer; entries without a resource
//!   (deletions) are left out.
//! - *batch-response, transaction-response*: by position, as each entry was asked for. A read that may not pass
//!   becomes `404`, like one that found nothing; a write keeps its status and loses its resource.
//! - *OperationOutcome*: only severity and code of each issue, since texts can tell what was withheld.
//! - *anything else*: withheld. That includes resources of unknown type, in odd places, under a `fullUrl` of
//!   another name, and entries with members this reader does not know.
//!
//! What stays is copied byte by byte from the upstream's answer. What a client may still infer: a page with fewer
//! entries than `_count` although another page follows.

use std::collections::HashMap;
use std::io::Write as _;

use bytes::Bytes;
use domain::resource::FhirResource;
use domain::{ApplicationId, PatientId};
use smol_str::SmolStr;

use super::facts::{Identity, PATIENTS_MAX, array, contained, held, names_of, read, type_of};
use super::json::{Document, Kind, Value};
use super::reference::{self, Names, Target};
use super::{Disclosed, Judged, Malformed, ResponseShape, UNKNOWN_PATIENT, Verdict};

/// Judges each resource of a response and leaves out what may not pass.
///
/// A body that is no JSON as this crate reads it is an error (502): nothing of it may pass.
pub fn judge_response(
    application: &ApplicationId,
    shape: &ResponseShape,
    body: &[u8],
    judge: &mut dyn FnMut(&FhirResource) -> Verdict,
) -> Result<Judged, Malformed> {
    let mut check = Check {
        application,
        judge,
        released: Vec::new(),
        withheld: Vec::new(),
    };
    let mut out = Vec::new();
    if !body.is_empty() {
        let document = Document::parse(body).map_err(|e| Malformed {
            status: 502,
            code: e.code,
        })?;
        out.reserve(body.len());
        if !check.whole(shape, document.root(), &mut out) {
            out.clear();
        }
    }
    Ok(Judged {
        body: out.into(),
        released: check.released,
        withheld: check.withheld,
    })
}

/// The `OperationOutcome` of an upstream error with nothing but severity and code of each issue; `None` if the
/// body is none.
pub fn safe_outcome(body: &[u8]) -> Option<Bytes> {
    let document = Document::parse(body).ok()?;
    let is_one = type_of(document.root()) == Ok("OperationOutcome");
    is_one.then(|| {
        let mut out = Vec::new();
        outcome(document.root(), &mut out);
        out.into()
    })
}

struct Check<'c> {
    application: &'c ApplicationId,
    judge: &'c mut dyn FnMut(&FhirResource) -> Verdict,
    released: Vec<Disclosed>,
    withheld: Vec<Disclosed>,
}

impl Check<'_> {
    /// Writes what may pass of a body; whether anything may.
    fn whole(&mut self, shape: &ResponseShape, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        let kind = type_of(value);
        let asked_for = match shape {
            ResponseShape::Single { resource_type, .. }
            | ResponseShape::Written { resource_type, .. } => Some(resource_type.as_str()),
            ResponseShape::Set
            | ResponseShape::Capabilities
            | ResponseShape::Outcome
            | ResponseShape::Batch(_)
            | ResponseShape::Opaque => None,
        };
        if kind == Ok("OperationOutcome") && asked_for != Some("OperationOutcome") {
            outcome(value, out);
            return true;
        }
        match shape {
            ResponseShape::Single { resource_type, id } => {
                self.resource(value, resource_type, Some(id), out)
            }
            ResponseShape::Written { resource_type, id } => {
                self.resource(value, resource_type, id.as_deref(), out)
            }
            ResponseShape::Set => self.set(value, out),
            ResponseShape::Capabilities => self.capabilities(value, out),
            ResponseShape::Batch(shapes) => self.batch(shapes, value, out),
            ResponseShape::Outcome | ResponseShape::Opaque => self.refuse(value),
        }
    }

    fn refuse(&mut self, value: Value<'_>) -> bool {
        self.withheld.push(Disclosed {
            resource_type: SmolStr::new_static(type_of(value).unwrap_or("~")),
            id: None,
            version: None,
            patients: Vec::new(),
        });
        false
    }

    fn resource(
        &mut self,
        value: Value<'_>,
        resource_type: &str,
        id: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let facts = match read(self.application, value, &Names::default(), Identity::Own) {
            Ok(facts) => facts,
            Err(_) => return self.refuse(value),
        };
        let is_it = facts.resource_type == resource_type
            && id.is_none_or(|id| facts.id.as_deref() == Some(id));
        if !is_it {
            return self.refuse(value);
        }
        let passes = self.judged(value, &facts);
        if passes {
            out.extend_from_slice(value.raw().as_bytes());
        }
        passes
    }

    /// Judges a resource with all it holds, and notes the result.
    fn judged(&mut self, value: Value<'_>, facts: &FhirResource) -> bool {
        let passes = self.passes(value, facts);
        let disclosed = Disclosed {
            resource_type: facts.resource_type.clone(),
            id: facts.id.clone(),
            version: value
                .get("meta")
                .and_then(|m| m.text("versionId"))
                .filter(|v| v.len() <= 64)
                .map(SmolStr::new),
            patients: facts.patients.clone(),
        };
        if passes {
            self.released.push(disclosed)
        } else {
            self.withheld.push(disclosed)
        }
        passes
    }

    fn passes(&mut self, value: Value<'_>, facts: &FhirResource) -> bool {
        if (self.judge)(facts) == Verdict::Withhold {
            return false;
        }
        let Ok(parts) = contained(value, facts) else {
            return false;
        };
        if parts
            .iter()
            .any(|part| (self.judge)(part) == Verdict::Withhold)
        {
            return false;
        }
        let inner = held(value);
        if inner.is_empty() {
            return true;
        }
        let names = names_of(value);
        // Bounded: the document's depth is.
        inner.into_iter().all(|inner| {
            read(self.application, inner, &names, Identity::Own)
                .is_ok_and(|facts| self.passes(inner, &facts))
        })
    }

    fn capabilities(&mut self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match read(self.application, value, &Names::default(), Identity::Own) {
            Ok(facts)
                if facts.resource_type == "CapabilityStatement" && facts.patients.is_empty() =>
            {
                out.extend_from_slice(value.raw().as_bytes());
                true
            }
            _ => self.refuse(value),
        }
    }

    fn set(&mut self, bundle: Value<'_>, out: &mut Vec<u8>) -> bool {
        let kind = bundle.text("type");
        let history = kind.as_deref() == Some("history");
        let is_set =
            type_of(bundle) == Ok("Bundle") && (history || kind.as_deref() == Some("searchset"));
        // `implicitRules` may change what everything else means.
        if !is_set || bundle.get("implicitRules").is_some() {
            return self.refuse(bundle);
        }
        let names = names_of(bundle);
        let entries: Vec<_> = bundle
            .get("entry")
            .into_iter()
            .flat_map(Value::items)
            .collect();
        let mut facts: Vec<_> = entries
            .iter()
            .map(|entry| self.entry_facts(*entry, &names))
            .collect();
        if history {
            over_all_versions(&mut facts);
        }
        let mut kept = Vec::new();
        let mut matches = 0usize;
        for (entry, facts) in entries.into_iter().zip(facts) {
            let resource = entry.get("resource");
            if let Some(outcome_of) = resource.filter(|r| type_of(*r) == Ok("OperationOutcome")) {
                if !history {
                    kept.push(Kept::Outcome(outcome_of));
                }
                continue;
            }
            match (resource, facts) {
                (Some(resource), Some(facts)) if self.judged(resource, &facts) => {
                    let mode = entry.get("search").and_then(|s| s.text("mode"));
                    matches += usize::from(mode.is_none_or(|m| m == "match"));
                    kept.push(Kept::Entry(entry));
                }
                (Some(_), Some(_)) => {}
                (resource, _) => {
                    self.refuse(resource.unwrap_or(entry));
                }
            }
        }
        write_set(bundle, &kept, matches, out);
        true
    }

    /// Facts of a set's entry, if it is one that this reader understands.
    fn entry_facts(&self, entry: Value<'_>, names: &Names<'_>) -> Option<FhirResource> {
        let resource = entry.get("resource")?;
        let facts = read(self.application, resource, names, Identity::Own).ok()?;
        let known = entry.members().all(|(key, value)| match key {
            "resource" => true,
            "fullUrl" => value
                .string()
                .is_some_and(|url| names_this(url.into_owned(), &facts)),
            "search" => scalars(value, &["mode", "score"]),
            "request" => {
                let url = value.text("url");
                let agrees =
                    |url: &str| url == facts.resource_type || names_this(url.to_owned(), &facts);
                scalars(value, &["method", "url"]) && url.is_none_or(|url| agrees(&url))
            }
            "response" => scalars(value, &["status", "etag", "lastModified", "location"]),
            _ => false,
        });
        known.then_some(facts)
    }

    fn batch(&mut self, shapes: &[ResponseShape], bundle: Value<'_>, out: &mut Vec<u8>) -> bool {
        let kind = bundle.text("type");
        let Some(kind @ ("batch-response" | "transaction-response")) = kind.as_deref() else {
            return self.refuse(bundle);
        };
        let count = bundle
            .get("entry")
            .into_iter()
            .flat_map(Value::items)
            .count();
        if type_of(bundle) != Ok("Bundle")
            || count != shapes.len()
            || bundle.get("implicitRules").is_some()
        {
            return self.refuse(bundle);
        }
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "{{\"resourceType\":\"Bundle\",\"type\":\"{kind}\",\"entry\":["
        );
        let entries = bundle.get("entry").into_iter().flat_map(Value::items);
        for (place, (entry, shape)) in entries.zip(shapes).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.batch_entry(shape, entry, out);
        }
        out.extend_from_slice(b"]}");
        true
    }

    fn batch_entry(&mut self, shape: &ResponseShape, entry: Value<'_>, out: &mut Vec<u8>) {
        let response = entry.get("response");
        let status = response
            .and_then(|r| r.text("status"))
            .and_then(|s| status(&s));
        let resource = entry.get("resource");
        match shape {
            ResponseShape::Single { .. } | ResponseShape::Set | ResponseShape::Capabilities => {
                let mut inner = Vec::new();
                let found = matches!(status, None | Some(200..=299));
                let passes = found
                    && resource.is_some_and(|r| {
                        type_of(r) != Ok("OperationOutcome") && self.whole(shape, r, &mut inner)
                    });
                if passes {
                    out.extend_from_slice(b"{\"resource\":");
                    out.extend_from_slice(&inner);
                    out.extend_from_slice(b",\"response\":{\"status\":\"200 OK\"}}");
                } else {
                    let status = status.filter(|s| *s >= 500).unwrap_or(404);
                    let _ = write!(
                        out,
                        "{{\"response\":{{\"status\":\"{}\"}}}}",
                        reason(status)
                    );
                }
            }
            ResponseShape::Written { id, .. } => {
                let status = status.unwrap_or(500);
                out.push(b'{');
                let mut inner = Vec::new();
                let ours = resource.filter(|r| type_of(*r) != Ok("OperationOutcome"));
                if ours.is_some_and(|r| self.whole(shape, r, &mut inner)) {
                    out.extend_from_slice(b"\"resource\":");
                    out.extend_from_slice(&inner);
                    out.push(b',');
                }
                let _ = write!(out, "\"response\":{{\"status\":\"{}\"", reason(status));
                // A conditional create that found something (200) would tell its id unjudged.
                if (200..300).contains(&status) && (id.is_some() || status == 201) {
                    for key in ["location", "etag", "lastModified"] {
                        if let Some(value) = response.and_then(|r| r.get(key)).filter(|v| plain(*v))
                        {
                            let value = value.string().unwrap_or_default();
                            let value = if key == "location" {
                                without_authority(&value)
                            } else {
                                Some(&*value)
                            };
                            if let Some(value) = value {
                                let _ =
                                    write!(out, ",\"{key}\":\"{}\"", value.replace('"', "\\\""));
                            }
                        }
                    }
                }
                if let Some(about) = response
                    .and_then(|r| r.get("outcome"))
                    .filter(|o| type_of(*o) == Ok("OperationOutcome"))
                {
                    out.extend_from_slice(b",\"outcome\":");
                    outcome(about, out);
                }
                out.extend_from_slice(b"}}");
            }
            ResponseShape::Outcome => {
                let _ = write!(
                    out,
                    "{{\"response\":{{\"status\":\"{}\"}}}}",
                    reason(status.unwrap_or(500))
                );
            }
            ResponseShape::Batch(_) | ResponseShape::Opaque => {
                if let Some(resource) = resource {
                    self.refuse(resource);
                }
                let _ = write!(out, "{{\"response\":{{\"status\":\"{}\"}}}}", reason(403));
            }
        }
    }
}

/// Whether a value is an object of texts and numbers with no other members than these.
fn scalars(value: Value<'_>, known: &[&str]) -> bool {
    value.kind() == Kind::Object
        && value.members().all(|(key, value)| {
            known.contains(&key) && matches!(value.kind(), Kind::String | Kind::Number)
        })
}

enum Kept<'d> {
    Entry(Value<'d>),
    Outcome(Value<'d>),
}

/// In a history each version counts as sensitive as any of them, and as about everybody any of them is about.
fn over_all_versions(facts: &mut [Option<FhirResource>]) {
    let mut all: HashMap<(SmolStr, Option<SmolStr>), FhirResource> = HashMap::new();
    for facts in facts.iter().flatten() {
        all.entry((facts.resource_type.clone(), facts.id.clone()))
            .and_modify(|sum| *sum = strictest(sum, facts))
            .or_insert_with(|| facts.clone());
    }
    for facts in facts.iter_mut().flatten() {
        if let Some(sum) = all.get(&(facts.resource_type.clone(), facts.id.clone())) {
            *facts = strictest(facts, sum);
        }
    }
}

/// The facts of `one`, with labels and patients of `other` added: as two versions of a resource are judged.
pub fn strictest(one: &FhirResource, other: &FhirResource) -> FhirResource {
    let mut sum = one.clone();
    sum.labels = sum.labels.union(other.labels);
    sum.confidentiality = sum.confidentiality.max(other.confidentiality);
    sum.controlled |= other.controlled;
    sum.deidentified &= other.deidentified;
    sum.patients.extend_from_slice(&other.patients);
    sum.patients.sort_unstable();
    sum.patients.dedup();
    if sum.patients.len() > PATIENTS_MAX {
        sum.patients = vec![PatientId::new(SmolStr::new_static(UNKNOWN_PATIENT))];
    }
    sum
}

/// Whether a `fullUrl` or `request.url` leads to the resource beside it.
fn names_this(url: String, facts: &FhirResource) -> bool {
    match reference::parse(url.into(), &Names::default()) {
        Target::Resource(resource_type, id) => {
            facts.resource_type == resource_type && facts.id.as_deref() == Some(&*id)
        }
        Target::Unborn(..) => true,
        Target::Some(_) | Target::Contained(_) | Target::Unknown | Target::Silent => false,
    }
}

fn write_set(bundle: Value<'_>, kept: &[Kept<'_>], matches: usize, out: &mut Vec<u8>) {
    let links: Vec<_> = array(bundle, "link").filter_map(link).collect();
    let more = array(bundle, "link")
        .filter_map(|l| l.text("relation"))
        .any(|relation| matches!(&*relation, "next" | "previous" | "prev"));
    out.extend_from_slice(b"{\"resourceType\":\"Bundle\"");
    for key in ["id", "type", "timestamp"] {
        if let Some(value) = bundle.get(key).filter(|v| plain(*v)) {
            let _ = write!(out, ",\"{key}\":{}", value.raw());
        }
    }
    if bundle.get("total").is_some() && !more {
        let _ = write!(out, ",\"total\":{matches}");
    }
    if !links.is_empty() {
        let _ = write!(out, ",\"link\":[{}]", links.join(","));
    }
    if !kept.is_empty() {
        out.extend_from_slice(b",\"entry\":[");
        for (place, kept) in kept.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            match kept {
                Kept::Entry(entry) => out.extend_from_slice(entry.raw().as_bytes()),
                Kept::Outcome(value) => {
                    out.extend_from_slice(b"{\"resource\":");
                    outcome(*value, out);
                    out.extend_from_slice(b",\"search\":{\"mode\":\"outcome\"}}");
                }
            }
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// A link that tells no more than where to go on: without the upstream's address, and none that tells how many
/// pages there are.
fn link(link: Value<'_>) -> Option<String> {
    let relation = link.text("relation")?;
    if !matches!(&*relation, "self" | "first" | "next" | "previous" | "prev") {
        return None;
    }
    let url = link.get("url").filter(|v| plain(*v))?.string()?;
    let url = without_authority(&url)?;
    Some(format!("{{\"relation\":\"{relation}\",\"url\":\"{url}\"}}"))
}

/// Path and query of a url. A relative one stays; one that no browser would read as relative is dropped.
fn without_authority(url: &str) -> Option<&str> {
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => &rest[rest.find('/')?..],
        _ => url,
    };
    let path = rest.split(['?', '/']).next().unwrap_or_default();
    let safe = rest
        .bytes()
        .all(|b| (0x21..=0x7e).contains(&b) && !b"\"<>\\^`{}".contains(&b))
        && !rest.starts_with("//")
        && !path.contains(':')
        && !rest.is_empty();
    safe.then_some(rest)
}

/// Whether a value is a short string of visible ASCII.
fn plain(value: Value<'_>) -> bool {
    value.kind() == Kind::String
        && value.raw().len() <= 4_096
        && value
            .string()
            .is_some_and(|s| s.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'\\'))
}

fn status(text: &str) -> Option<u16> {
    let code: u16 = text.get(..3)?.parse().ok()?;
    (100..600).contains(&code).then_some(code)
}

fn reason(status: u16) -> String {
    match ::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
    {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

/// Writes an `OperationOutcome` with nothing but severity and code of each issue.
fn outcome(value: Value<'_>, out: &mut Vec<u8>) {
    const ISSUES_MAX: usize = 32;
    out.extend_from_slice(b"{\"resourceType\":\"OperationOutcome\",\"issue\":[");
    let mut written = 0;
    for issue in array(value, "issue").take(ISSUES_MAX) {
        let severity = match issue.text("severity").as_deref() {
            Some("fatal") => "fatal",
            Some("warning") => "warning",
            Some("information") => "information",
            _ => "error",
        };
        let code = issue
            .text("code")
            .filter(|c| {
                (1..=32).contains(&c.len())
                    && c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            })
            .unwrap_or("processing".into());
        if written > 0 {
            out.push(b',');
        }
        written += 1;
        let _ = write!(out, "{{\"severity\":\"{severity}\",\"code\":\"{code}\"}}");
    }
    if written == 0 {
        out.extend_from_slice(b"{\"severity\":\"information\",\"code\":\"informational\"}");
    }
    out.extend_from_slice(b"]}");
}
