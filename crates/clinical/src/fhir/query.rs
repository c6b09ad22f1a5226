//! What a FHIR query asks for: whose data, which types it brings in, and whether it can be judged at all.
//!
//! A search that could tell something of resources it does not return is not classified: chained parameters,
//! `_has`, `_filter`, `_query`, `_list`, `_text` and `_content`, unknown modifiers and unknown parameters with `_`;
//! so are requests for less than the whole resource (`_elements`, `_summary`), since what is judged would be missing.

use std::borrow::Cow;

use domain::PatientId;
use smol_str::SmolStr;

use super::includes;
use super::reference::{Names, Target, is_id, parse};
use super::types::r4_type;
use super::unserved;
use super::{Malformed, Unserved};

/// Parameters of a request.
const PARAMETERS_MAX: usize = 200;
/// Bytes of a parameter.
const PARAMETER_MAX: usize = 64 << 10;
/// Patients, and categories, that a search may name.
const NAMED_MAX: usize = 256;

/// What the parameters of a request say.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// Patients named, in any parameter.
    pub(crate) patients: Vec<PatientId>,
    /// Categories that a search is restricted to.
    pub(crate) categories: Vec<SmolStr>,
    /// Types that includes bring in; `*`: any.
    pub(crate) included: Vec<&'static str>,
    /// `_type`.
    pub(crate) types: Vec<&'static str>,
    /// There are search criteria or includes.
    pub(crate) searches: bool,
    /// `_page`: an opaque token.
    pub(crate) paged: bool,
    /// `_since`, `_at`, `start`, `end` as `$everything` and history know them.
    pub(crate) dated: bool,
    /// It holds parameters that control the answer, includes among them.
    pub(crate) controlled: bool,
    /// Something in it cannot be judged.
    pub(crate) opaque: bool,
    /// Why not, as far as there is something to say; the first reason found.
    pub(crate) unserved: Option<Unserved>,
}

impl Query {
    fn refuse(&mut self, why: Unserved) {
        self.opaque = true;
        self.unserved = self.unserved.or(Some(why));
    }

    fn refuse_unless(&mut self, fine: bool, why: Unserved) {
        if !fine {
            self.refuse(why);
        }
    }
}

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

/// Reads queries that apply together (the one of the URL and the one of a form body). `base` is the searched
/// type; `None`: the whole system.
pub(crate) fn read(base: Option<&'static str>, queries: &[&str]) -> Result<Query, Malformed> {
    let mut query = Query::default();
    let mut control: Vec<String> = Vec::new();
    let mut beside_page = false;
    let mut count = 0;
    for pair in queries
        .iter()
        .flat_map(|q| q.split('&'))
        .filter(|p| !p.is_empty())
    {
        count += 1;
        if count > PARAMETERS_MAX || pair.len() > PARAMETER_MAX {
            return Err(bad("query-too-long"));
        }
        // Some servers split at `;` too.
        if pair.contains(';') {
            return Err(bad("query-semicolon"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let value = decode(value)?;
        if once(&name) {
            if control.iter().any(|c| *c == *name) {
                return Err(bad("query-repeated"));
            }
            control.push(name.to_string());
        }
        beside_page |= !matches!(&*name, "_page" | "_count" | "_format" | "_pretty");
        query.controlled |= once(&name) || name.contains("include");
        parameter(&mut query, base, &name, &value)?;
    }
    // A token says what it says; whatever stands beside it may or may not hold.
    query.opaque |= query.paged && beside_page;
    query.opaque |= query.patients.len() > NAMED_MAX || query.categories.len() > NAMED_MAX;
    query.patients.truncate(NAMED_MAX);
    query.categories.truncate(NAMED_MAX);
    query.patients.sort_unstable();
    query.patients.dedup();
    Ok(query)
}

/// Parameters that control the answer and have one value.
fn once(name: &str) -> bool {
    matches!(
        name,
        "_format"
            | "_pretty"
            | "_summary"
            | "_count"
            | "_sort"
            | "_total"
            | "_page"
            | "_contained"
            | "_type"
            | "_since"
            | "_at"
            | "start"
            | "end"
    )
}

fn parameter(
    query: &mut Query,
    base: Option<&'static str>,
    name: &str,
    value: &str,
) -> Result<(), Malformed> {
    let (head, modifier) = match name.split_once(':') {
        Some((head, modifier)) => (head, Some(modifier)),
        None => (name, None),
    };
    match (head, modifier) {
        ("", _) => return Err(bad("query-parameter")),
        ("_format", None) => format(value)?,
        ("_pretty" | "_count" | "_total", None) => {}
        ("_summary", None) => {
            query.refuse_unless(matches!(value, "false" | "data"), unserved::PARTIAL);
        }
        ("_elements", None) => query.refuse(unserved::PARTIAL),
        ("_sort", None) => query.refuse_unless(
            value
                .split(',')
                .all(|key| plain_name(key.strip_prefix('-').unwrap_or(key))),
            unserved::PARAMETER,
        ),
        ("_contained", None) => query.refuse_unless(value == "false", unserved::CONTAINED),
        ("_has", _) => query.refuse(unserved::REVERSE_CHAINED),
        ("_filter" | "_query" | "_text" | "_content" | "_list", _) => {
            query.refuse(unserved::FILTER)
        }
        ("_page", None) => query.paged = true,
        ("_since" | "_at", None) => query.dated = true,
        ("_type", None) => {
            for name in value.split(',') {
                match r4_type(name) {
                    Some(name) => query.types.push(name),
                    None => query.refuse(unserved::PARAMETER),
                }
            }
        }
        ("_include", None | Some("iterate" | "recurse")) => {
            query.searches = true;
            let iterates = modifier.is_some();
            match included(value) {
                // Each step is spelled out; without `iterate` the first starts at what is searched.
                Some((source, types)) if iterates || base.is_none_or(|b| b == source) => {
                    query.included.extend(types);
                }
                _ => query.refuse(unserved::INCLUDE),
            }
        }
        ("_revinclude", None | Some("iterate" | "recurse")) => {
            query.searches = true;
            match included(value) {
                Some((source, _)) => query.included.push(source),
                None => query.refuse(unserved::INCLUDE),
            }
        }
        ("_id", None) => {
            query.searches = true;
            if base == Some("Patient") {
                patients(query, head, None, value);
            }
        }
        ("_lastUpdated" | "_tag" | "_profile" | "_security" | "_source" | "_language", None) => {
            query.searches = true;
        }
        _ => criterion(query, head, modifier, value),
    }
    Ok(())
}

/// An ordinary search parameter.
fn criterion(query: &mut Query, head: &str, modifier: Option<&str>, value: &str) {
    query.searches = true;
    let known = modifier.is_none_or(|m| {
        r4_type(m).is_some()
            || matches!(
                m,
                "exact"
                    | "contains"
                    | "missing"
                    | "not"
                    | "text"
                    | "above"
                    | "below"
                    | "of-type"
                    | "in"
                    | "not-in"
                    | "identifier"
            )
    });
    // A dot is a chain; a leading underscore is something this reader would know if it could be judged.
    if !known || !plain_name(head) || head.starts_with('_') {
        let chained = head.contains('.') || modifier.is_some_and(|m| m.contains('.'));
        query.refuse(if chained {
            unserved::CHAINED
        } else if head.contains("include") {
            unserved::INCLUDE
        } else {
            unserved::PARAMETER
        });
        return;
    }
    if matches!(head, "patient" | "subject") || modifier == Some("Patient") {
        patients(query, head, modifier, value);
        return;
    }
    // Other parameters name patients too: `beneficiary=Patient/1`.
    for part in value.split(',') {
        if let Target::Resource("Patient", id) = parse(Cow::Borrowed(part), &Names::default()) {
            query.patients.push(PatientId::new(id.as_ref()));
        }
    }
    if head == "category" && modifier.is_none() {
        for part in value.split(',') {
            let code = part.rsplit('|').next().unwrap_or(part);
            if code.is_empty() || code.len() > 64 || part.contains('\\') {
                query.refuse(unserved::PARAMETER);
            } else {
                query.categories.push(SmolStr::new(code));
            }
        }
    }
}

/// A parameter whose values are patients: every value counts, and one that does not name a patient for certain
/// makes the search one that cannot be judged by its address.
fn patients(query: &mut Query, head: &str, modifier: Option<&str>, value: &str) {
    match modifier {
        None | Some("Patient") => {}
        // `subject:Device=7` is about no patient.
        Some(other) if head == "subject" && r4_type(other).is_some() => return,
        Some(other) => {
            query.refuse(if other.contains('.') {
                unserved::CHAINED
            } else {
                unserved::PATIENT
            });
            return;
        }
    }
    for part in value.split(',') {
        if is_id(part) {
            query.patients.push(PatientId::new(part));
            continue;
        }
        match parse(Cow::Borrowed(part), &Names::default()) {
            Target::Resource("Patient", id) if !part.contains('|') => {
                query.patients.push(PatientId::new(id.as_ref()));
            }
            Target::Resource(_, _) if head == "subject" && modifier.is_none() => {}
            _ => query.refuse(unserved::PATIENT),
        }
    }
}

/// Source type of an include and the types it may lead to.
fn included(value: &str) -> Option<(&'static str, Vec<&'static str>)> {
    let mut parts = value.split(':');
    let source = r4_type(parts.next()?)?;
    let targets = includes::targets(source, parts.next()?)?;
    let types = match parts.next() {
        None => targets.to_vec(),
        Some(name) => {
            let name = r4_type(name)?;
            (targets == ["*"] || targets.contains(&name)).then(|| vec![name])?
        }
    };
    parts.next().is_none().then_some((source, types))
}

fn plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `_format`: JSON in one of its names. A `+` that was not encoded reads as a blank.
fn format(value: &str) -> Result<(), Malformed> {
    match value {
        "json"
        | "application/json"
        | "application/fhir+json"
        | "application/fhir json"
        | "text/json" => Ok(()),
        _ => Err(Malformed {
            status: 406,
            code: "format-not-json",
        }),
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Malformed> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let byte = crate::http::path::decode(bytes, at).ok_or(bad("query-encoding"))?;
                if byte == 0 {
                    return Err(bad("query-nul"));
                }
                out.push(byte);
                at += 3;
            }
            b'+' => {
                out.push(b' ');
                at += 1;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| bad("query-not-utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        read(Some("Observation"), &[text]).expect("well formed")
    }

    #[test]
    fn every_patient_of_every_value_is_named() {
        for (text, expected) in [
            ("patient=1", &["1"][..]),
            ("patient=1,2", &["1", "2"]),
            ("patient=2&patient=1", &["1", "2"]),
            ("subject=Patient/1", &["1"]),
            ("subject%3APatient=1", &["1"]),
            ("subject=Patient%2F1,Patient/2", &["1", "2"]),
            ("subject=https://h/fhir/Patient/7", &["7"]),
            ("performer=Patient/3,Practitioner/1", &["3"]),
            ("performer:Patient=3", &["3"]),
            ("subject=Device/1", &[]),
            ("subject:Device=1", &[]),
            ("code=x", &[]),
        ] {
            let query = query(text);
            let found: Vec<_> = query.patients.iter().map(PatientId::as_str).collect();
            assert_eq!(
                (found.as_slice(), query.opaque),
                (expected, false),
                "{text}"
            );
        }
    }

    #[test]
    fn what_does_not_name_patients_for_certain_is_opaque() {
        for text in [
            "patient=",
            "patient=1,",
            "patient=1%7Cx",
            "patient=a%5C,b",
            "patient:not=1",
            "patient:missing=true",
            "patient:identifier=x",
            "patient=Group/1",
            "patient=Patient/1/x",
            "patient=urn:uuid:1",
            "subject=Patient?name=x",
            "patient=%20",
            "subject:above=1",
        ] {
            assert!(query(text).opaque, "{text}");
        }
    }

    #[test]
    fn oracles_and_partial_answers_are_opaque() {
        for text in [
            "subject.name=x",
            "patient.name=x",
            "subject:Patient.name=x",
            "_has:Provenance:target:agent=1",
            "_filter=x",
            "_query=x",
            "_list=1",
            "_text=x",
            "_content=x",
            "_elements=id",
            "_summary=count",
            "_summary=true",
            "_summary=text",
            "_contained=true",
            "_include=*",
            "_include=Observation:*",
            "_revinclude=*",
            "_include=Observation:nothing",
            "_include:all=Observation:subject",
            "_include=Encounter:subject",
            "_include=Observation:subject:Claim",
            "_getpages=1",
            "_new=1",
            "code:oracle=1",
            "code:Mystery=1",
            "_sort=patient.name",
            "_sort=_has:x",
            "_id:not=1",
            "_page=x&patient=1",
            "_include=Observation:subject:Patient:x",
            "_tag:not=x",
            "_type=Mystery",
        ] {
            assert!(query(text).opaque, "{text}");
        }
    }

    #[test]
    fn includes_bring_in_their_types() {
        let types = |text: &str| {
            let query = query(text);
            assert!(!query.opaque, "{text}");
            query.included
        };
        assert_eq!(types("_include=Observation:patient"), ["Patient"]);
        assert_eq!(types("_include=Observation:subject:Patient"), ["Patient"]);
        assert_eq!(
            types("_include=Observation:subject"),
            ["Device", "Group", "Location", "Patient"]
        );
        assert_eq!(types("_revinclude=Provenance:target"), ["Provenance"]);
        assert_eq!(
            types(
                "_include=Observation:encounter:Encounter&_include:iterate=Encounter:service-provider"
            ),
            ["Encounter", "Organization"]
        );
    }

    #[test]
    fn malformed_queries_are_refused() {
        for (text, code) in [
            ("a=%zz", "query-encoding"),
            ("a=%ff", "query-not-utf-8"),
            ("a=1;b=2", "query-semicolon"),
            ("=1", "query-parameter"),
            ("_count=1&_count=2", "query-repeated"),
            ("_format=json&_format=xml", "query-repeated"),
            ("_format=xml", "format-not-json"),
            ("_format=html/json", "format-not-json"),
        ] {
            assert_eq!(
                read(Some("Observation"), &[text])
                    .map(|_| ())
                    .map_err(|e| e.code),
                Err(code),
                "{text}"
            );
        }
        assert!(!query("_format=application/fhir%2Bjson&_count=5&_sort=-date,code&_summary=false&date=ge2020").opaque);
        assert_eq!(
            query("category=http://x|laboratory,vital-signs").categories,
            ["laboratory", "vital-signs"]
        );
    }
}
