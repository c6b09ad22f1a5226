//! From method, path and query to interactions.

use ::http::{HeaderMap, Method};
use domain::resource::{FhirEndpoint, Resource};
use domain::{Action, PatientId, Target};
use smol_str::SmolStr;

use super::facts::{Identity, read, type_of};
use super::json::Document;
use super::query::{self, Query};
use super::reference::{Names, is_id};
use super::types::r4_type;
use super::{
    Classified, Malformed, ResponseShape, Service, Unserved, Write, bundle, change, patch, unserved,
};

/// Header fields with which servers do more than the request says; with one of them nothing is classified.
const SIDE_EFFECTS: &[&str] = &[
    "x-provenance",
    "x-cascade",
    "x-security-context",
    "x-upsert-extistence-check",
    "x-upsert-existence-check",
    "x-rewrite-history",
];

/// Targets of a request.
const TARGETS_MAX: usize = 8_192;

/// What a request asks for. `path` and `query` are those of [`Head`](crate::http::Head).
///
/// | form | becomes |
/// |---|---|
/// | `GET T/id`, `T/id/_history/v`, `T/id/_history`, `T/_history`, `_history` | read, vread, history |
/// | `GET T?…`, `POST T/_search`, `GET /?_type=…`, `POST /_search` | search of each type and each included type |
/// | `GET Patient/1/T`, `Patient/1/*`, `POST Patient/1/T/_search`, `Patient/1/$everything` | search in that patient's compartment |
/// | `GET T?_page=…`, `_page/…` | search of nobody in particular |
/// | `POST T`, with `If-None-Exist` | create, and search; in a bundle unclassified |
/// | `PUT T/id`, `PATCH T/id`, `DELETE T/id` | update, patch, delete |
/// | `POST /` | each entry of the batch or transaction |
/// | `GET metadata` | capabilities |
/// | `$export`; other `$name` | export; operation |
///
/// Everything else, conditional update, patch and delete among it, becomes `unclassified`, which nobody is
/// permitted. `HEAD` counts as `GET`: forward it as one, since an answer without body cannot be judged.
///
/// Targets say what the address tells; contents are judged in a second step, by [`Classified::write`] and by
/// [`judge_response`](super::judge_response).
pub fn classify(
    service: &Service,
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Classified, Malformed> {
    accept(headers)?;
    let mut asked = Asked {
        service,
        targets: Vec::new(),
        writes: Vec::new(),
        unserved: None,
    };
    let base = service.base.trim_end_matches('/');
    let rest = path
        .strip_prefix(base)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let with_effects = if SIDE_EFFECTS.iter().any(|name| headers.contains_key(*name)) {
        Some(unserved::SIDE_EFFECTS)
    } else {
        asynchronous(headers).then_some(unserved::ASYNCHRONOUS)
    };
    let response = match rest {
        Some(rest) if with_effects.is_none() => {
            let if_none_exist = one(headers, "if-none-exist")?;
            let content = Content::Message { headers, body };
            let request = Request {
                method,
                path: rest.strip_prefix('/').unwrap_or(rest),
                query,
                if_none_exist,
                content,
            };
            asked.interaction(&request, &Names::default())?
        }
        _ => {
            asked.unserved = with_effects;
            asked.unclassified("")
        }
    };
    if asked.targets.len() > TARGETS_MAX {
        return Err(Malformed {
            status: 413,
            code: "too-many-targets",
        });
    }
    let mut writes = asked.writes;
    let write = match writes.len() {
        0 => None,
        1 if !matches!(response, ResponseShape::Batch(_)) => writes.pop(),
        _ => Some(Write::Many(writes)),
    };
    Ok(Classified {
        targets: asked.targets,
        response,
        write,
        unserved: asked.unserved,
    })
}

/// One interaction: the request itself, or an entry of a bundle.
pub(super) struct Request<'r> {
    pub(super) method: &'r Method,
    /// Below the service base, without leading slash.
    pub(super) path: &'r str,
    pub(super) query: Option<&'r str>,
    pub(super) if_none_exist: Option<&'r str>,
    pub(super) content: Content<'r>,
}

/// What comes with an interaction.
#[derive(Clone, Copy)]
pub(super) enum Content<'r> {
    /// A message of its own.
    Message {
        headers: &'r HeaderMap,
        body: &'r [u8],
    },
    /// The resource of a bundle's entry.
    Entry(Option<super::json::Value<'r>>),
}

/// What was found so far.
pub(super) struct Asked<'s> {
    pub(super) service: &'s Service,
    pub(super) targets: Vec<Target>,
    pub(super) writes: Vec<Write>,
    /// Why something is unclassified; the first reason found.
    pub(super) unserved: Option<Unserved>,
}

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

impl Asked<'_> {
    pub(super) fn interaction(
        &mut self,
        request: &Request<'_>,
        names: &Names<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let mut segments = [""; 5];
        let mut count = 0;
        for segment in request.path.split('/') {
            if count == segments.len() {
                return Ok(self.unclassified(segments[0]));
            }
            segments[count] = segment;
            count += 1;
        }
        let segments = &segments[..count];
        // After canonicalisation only what had to be encoded still is, and no FHIR name has to be.
        if request.path.contains('%') {
            return Ok(self.unclassified(""));
        }
        let reads = matches!(*request.method, Method::GET | Method::HEAD);
        let posts = *request.method == Method::POST;
        let typed = |name: &str| r4_type(name);
        match *segments {
            [""] if posts => match request.content {
                Content::Message { headers, body } if request.query.is_none() => {
                    json_content(headers)?;
                    bundle::classify(self, body)
                }
                _ => Ok(self.unclassified("*")),
            },
            [""] if reads => {
                let query = query::read(None, request.query.as_slice())?;
                Ok(self.search(None, &[], query))
            }
            ["metadata"] if reads => self.capabilities(request),
            ["_search"] if posts => self.posted_search(None, &[], request),
            ["_history"] if reads => self.history("*", None, request),
            ["_page", token] if reads && !token.is_empty() => {
                let query = query::read(None, request.query.as_slice())?;
                let plain =
                    !query.searches && !query.paged && query.types.is_empty() && !query.dated;
                Ok(self.search(
                    None,
                    &[],
                    Query {
                        paged: true,
                        opaque: query.opaque || !plain,
                        ..Query::default()
                    },
                ))
            }
            [name] if name.starts_with('$') => self.operation("*", None, name, request),
            [name] if typed(name).is_some() => {
                let resource_type = typed(name).unwrap_or_default();
                if reads {
                    let query = query::read(Some(resource_type), request.query.as_slice())?;
                    Ok(self.search(Some(resource_type), &[], query))
                } else if posts {
                    self.create(resource_type, request, names)
                } else {
                    Ok(self.not_served(resource_type, Some(unserved::CONDITIONAL_WRITE)))
                }
            }
            [name, "_search"] if posts && typed(name).is_some() => {
                self.posted_search(typed(name), &[], request)
            }
            [name, "_history"] if reads && typed(name).is_some() => {
                self.history(name, None, request)
            }
            [name, op] if op.starts_with('$') && typed(name).is_some() => {
                self.operation(name, None, op, request)
            }
            [name, id] if typed(name).is_some() && is_id(id) => {
                self.instance(typed(name).unwrap_or_default(), id, request, names)
            }
            [name, id, "_history"] if reads && typed(name).is_some() && is_id(id) => {
                self.history(name, Some(id), request)
            }
            [name, id, "_history", version]
                if reads && typed(name).is_some() && is_id(id) && is_id(version) =>
            {
                self.read(
                    Action::FhirVread,
                    typed(name).unwrap_or_default(),
                    id,
                    request,
                )
            }
            [name, id, op] if op.starts_with('$') && typed(name).is_some() && is_id(id) => {
                self.operation(name, Some(id), op, request)
            }
            ["Patient", id, inner]
                if reads && is_id(id) && (inner == "*" || typed(inner).is_some()) =>
            {
                let base = typed(inner);
                let query = query::read(base, request.query.as_slice())?;
                Ok(self.search(base, &[PatientId::new(id)], query))
            }
            ["Patient", id, inner, "_search"] if posts && is_id(id) && typed(inner).is_some() => {
                self.posted_search(typed(inner), &[PatientId::new(id)], request)
            }
            [first, ..] => Ok(self.unclassified(first)),
            [] => Ok(self.unclassified("")),
        }
    }

    /// Adds what nobody is permitted.
    pub(super) fn unclassified(&mut self, resource_type: &str) -> ResponseShape {
        let name = match resource_type {
            "*" => "*",
            other => r4_type(other).unwrap_or("~"),
        };
        self.push(Action::Unclassified, self.endpoint(name, None, &[]));
        ResponseShape::Opaque
    }

    /// Adds what nobody is permitted, and why.
    pub(super) fn not_served(
        &mut self,
        resource_type: &str,
        why: Option<Unserved>,
    ) -> ResponseShape {
        self.unserved = self.unserved.or(why);
        self.unclassified(resource_type)
    }

    fn endpoint(
        &self,
        resource_type: &'static str,
        id: Option<&str>,
        patients: &[PatientId],
    ) -> FhirEndpoint {
        FhirEndpoint {
            application: self.service.application.clone(),
            resource_type: SmolStr::new_static(resource_type),
            id: id.map(SmolStr::new),
            patients: patients.to_vec(),
            operation: None,
            categories: Vec::new(),
        }
    }

    fn push(&mut self, action: Action, endpoint: FhirEndpoint) {
        let target = Target {
            action,
            resource: Resource::FhirEndpoint(endpoint),
        };
        // One more than the most shows that there were too many.
        if self.targets.len() > TARGETS_MAX {
            return;
        }
        // Repetition costs a decision each; beyond a few it is harmless.
        if !self.targets.iter().rev().take(64).any(|t| *t == target) {
            self.targets.push(target);
        }
    }

    fn search(
        &mut self,
        base: Option<&'static str>,
        compartment: &[PatientId],
        query: Query,
    ) -> ResponseShape {
        let Query {
            mut patients,
            categories,
            included,
            types,
            paged,
            dated,
            opaque,
            unserved,
            ..
        } = query;
        let by_type = base.is_none() && compartment.is_empty();
        if opaque || dated || (!types.is_empty() && !by_type) {
            return self.not_served(base.unwrap_or("*"), unserved);
        }
        // What a page token stands for is its maker's secret; the address then names nobody.
        if paged {
            patients.clear();
        } else {
            patients.extend_from_slice(compartment);
            patients.sort_unstable();
            patients.dedup();
        }
        let searched = match base {
            Some(base) => vec![base],
            None if types.is_empty() => vec!["*"],
            None => types,
        };
        for resource_type in searched {
            let endpoint = self.endpoint(resource_type, None, &patients);
            self.push(
                Action::FhirSearch,
                FhirEndpoint {
                    categories: categories.clone(),
                    ..endpoint
                },
            );
        }
        for resource_type in included {
            self.push(
                Action::FhirSearch,
                self.endpoint(resource_type, None, &patients),
            );
        }
        ResponseShape::Set
    }

    fn posted_search(
        &mut self,
        base: Option<&'static str>,
        compartment: &[PatientId],
        request: &Request<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let Content::Message { headers, body } = request.content else {
            return Ok(self.unclassified(base.unwrap_or("*")));
        };
        not_encoded(headers)?;
        if media_type(headers)?.as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(Malformed {
                status: 415,
                code: "search-content-type",
            });
        }
        let form = std::str::from_utf8(body).map_err(|_| bad("query-not-utf-8"))?;
        // A line end after the last parameter is common; anything else that is not visible is not.
        let form = form.trim_end_matches(['\r', '\n']);
        if form.bytes().any(|b| b <= 0x20 || b == 0x7f) {
            return Err(bad("query-character"));
        }
        // Both count, so that neither place can hide a parameter from the other.
        let query = query::read(base, &[request.query.unwrap_or_default(), form])?;
        Ok(self.search(base, compartment, query))
    }

    fn capabilities(&mut self, request: &Request<'_>) -> Result<ResponseShape, Malformed> {
        let harmless = request.query.is_none_or(|q| {
            q.split('&').all(|p| {
                p.starts_with("mode=") || p.starts_with("_format=") || p.starts_with("_pretty=")
            })
        });
        if !harmless {
            return Ok(self.unclassified("*"));
        }
        if let Some(query) = request.query {
            let format: Vec<_> = query
                .split('&')
                .filter(|p| p.starts_with("_format="))
                .collect();
            query::read(None, &[&format.join("&")])?;
        }
        self.push(
            Action::FhirCapabilities,
            self.endpoint("CapabilityStatement", None, &[]),
        );
        Ok(ResponseShape::Capabilities)
    }

    fn history(
        &mut self,
        name: &str,
        id: Option<&str>,
        request: &Request<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let query = query::read(None, request.query.as_slice())?;
        if query.opaque || query.searches || !query.types.is_empty() {
            return Ok(self.not_served(name, query.unserved));
        }
        let resource_type = r4_type(name).unwrap_or("*");
        let endpoint = self.endpoint(resource_type, id, &own(resource_type, id));
        self.push(Action::FhirHistory, endpoint);
        Ok(ResponseShape::Set)
    }

    fn instance(
        &mut self,
        resource_type: &'static str,
        id: &str,
        request: &Request<'_>,
        names: &Names<'_>,
    ) -> Result<ResponseShape, Malformed> {
        match *request.method {
            Method::GET | Method::HEAD => self.read(Action::FhirRead, resource_type, id, request),
            Method::PUT => self.update(resource_type, id, request, names),
            Method::PATCH => self.patch(resource_type, id, request),
            Method::DELETE if request.query.is_none() => {
                self.push(
                    Action::FhirDelete,
                    self.endpoint(resource_type, Some(id), &own(resource_type, Some(id))),
                );
                self.writes.push(Write::Delete {
                    resource_type: resource_type.into(),
                    id: id.into(),
                });
                Ok(ResponseShape::Outcome)
            }
            _ => Ok(self.unclassified(resource_type)),
        }
    }

    fn read(
        &mut self,
        action: Action,
        resource_type: &'static str,
        id: &str,
        request: &Request<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let query = query::read(Some(resource_type), request.query.as_slice())?;
        if query.opaque || query.searches || query.paged || query.dated || !query.types.is_empty() {
            return Ok(self.not_served(resource_type, query.unserved));
        }
        self.push(
            action,
            self.endpoint(resource_type, Some(id), &own(resource_type, Some(id))),
        );
        Ok(ResponseShape::Single {
            resource_type: resource_type.into(),
            id: id.into(),
        })
    }

    fn create(
        &mut self,
        resource_type: &'static str,
        request: &Request<'_>,
        names: &Names<'_>,
    ) -> Result<ResponseShape, Malformed> {
        if !only_format(request)? {
            return Ok(self.unclassified(resource_type));
        }
        let application = self.service.application.clone();
        let (mut facts, content) = with_resource(request, resource_type, |value| {
            let mut facts = read(&application, value, names, Identity::Unborn)?;
            facts.change = Some(change::of(None, Some(value), names));
            Ok(facts)
        })?;
        facts.id = None;
        self.push(Action::FhirCreate, self.endpoint(resource_type, None, &[]));
        let criteria = request
            .if_none_exist
            .map(|criteria| criteria.strip_prefix('?').unwrap_or(criteria));
        if let Some(criteria) = criteria {
            // What a transaction found would show in its answer before it could be judged.
            if matches!(request.content, Content::Entry(_)) {
                return Ok(self.not_served(resource_type, Some(unserved::CONDITIONAL_IN_BUNDLE)));
            }
            let query = query::read(Some(resource_type), &[criteria])?;
            if !query.searches || query.controlled {
                return Ok(self.not_served(resource_type, Some(unserved::CRITERIA)));
            }
            crate::http::check_query(criteria).map_err(|_| bad("query-character"))?;
            if self.search(Some(resource_type), &[], query) == ResponseShape::Opaque {
                return Ok(ResponseShape::Opaque);
            }
        }
        self.writes.push(Write::Create {
            resource: Box::new(facts),
            content,
            if_none_exist: criteria.map(str::to_owned),
        });
        Ok(ResponseShape::Written {
            resource_type: resource_type.into(),
            id: None,
        })
    }

    fn update(
        &mut self,
        resource_type: &'static str,
        id: &str,
        request: &Request<'_>,
        names: &Names<'_>,
    ) -> Result<ResponseShape, Malformed> {
        if !only_format(request)? {
            return Ok(self.unclassified(resource_type));
        }
        let application = self.service.application.clone();
        let (facts, content) = with_resource(request, resource_type, |value| {
            let facts = read(&application, value, names, Identity::Own)?;
            if facts.id.as_deref() != Some(id) {
                return Err(bad("resource-id-differs"));
            }
            Ok(facts)
        })?;
        self.push(
            Action::FhirUpdate,
            self.endpoint(resource_type, Some(id), &own(resource_type, Some(id))),
        );
        self.writes.push(Write::Update {
            resource_type: resource_type.into(),
            id: id.into(),
            resource: Box::new(facts),
            content,
        });
        Ok(ResponseShape::Written {
            resource_type: resource_type.into(),
            id: Some(id.into()),
        })
    }

    fn patch(
        &mut self,
        resource_type: &'static str,
        id: &str,
        request: &Request<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let Content::Message { headers, body } = request.content else {
            return Ok(self.unclassified(resource_type));
        };
        if !only_format(request)? {
            return Ok(self.unclassified(resource_type));
        }
        not_encoded(headers)?;
        let format = media_type(headers)?.unwrap_or_default();
        patch::check(body, &format)?;
        self.push(
            Action::FhirPatch,
            self.endpoint(resource_type, Some(id), &own(resource_type, Some(id))),
        );
        self.writes.push(Write::Patch {
            resource_type: resource_type.into(),
            id: id.into(),
            format: format.into(),
            content: 0..body.len(),
        });
        Ok(ResponseShape::Written {
            resource_type: resource_type.into(),
            id: Some(id.into()),
        })
    }

    fn operation(
        &mut self,
        name: &str,
        id: Option<&str>,
        operation: &str,
        request: &Request<'_>,
    ) -> Result<ResponseShape, Malformed> {
        let resource_type = r4_type(name).unwrap_or("*");
        let operation = operation.trim_start_matches('$');
        let plain = (1..=64).contains(&operation.len())
            && operation
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let reads = matches!(*request.method, Method::GET | Method::HEAD);
        if !plain || !(reads || *request.method == Method::POST) {
            return Ok(self.unclassified(resource_type));
        }
        if let ("Patient", Some(id), "everything", true) = (resource_type, id, operation, reads) {
            let query = query::read(None, request.query.as_slice())?;
            if query.opaque || query.searches {
                return Ok(self.unclassified(resource_type));
            }
            let patient = [PatientId::new(id)];
            let types = if query.types.is_empty() {
                vec!["*"]
            } else {
                query.types
            };
            let patients = if query.paged { &[][..] } else { &patient };
            for resource_type in types {
                self.push(
                    Action::FhirSearch,
                    self.endpoint(resource_type, None, patients),
                );
            }
            return Ok(ResponseShape::Set);
        }
        let action = if operation == "export" {
            Action::FhirExport
        } else {
            Action::FhirOperation
        };
        let endpoint = self.endpoint(resource_type, id, &own(resource_type, id));
        self.push(
            action,
            FhirEndpoint {
                operation: Some(operation.into()),
                ..endpoint
            },
        );
        Ok(ResponseShape::Opaque)
    }
}

/// The patient that the address of an instance names.
fn own(resource_type: &str, id: Option<&str>) -> Vec<PatientId> {
    id.filter(|_| resource_type == "Patient")
        .map(PatientId::new)
        .into_iter()
        .collect()
}

/// Whether the query of a write asks for nothing but a format.
fn only_format(request: &Request<'_>) -> Result<bool, Malformed> {
    let query = query::read(None, request.query.as_slice())?;
    let asks =
        query.opaque || query.searches || query.paged || query.dated || !query.types.is_empty();
    Ok(!asks)
}

/// Hands the resource of a write to `read` and tells where it stands.
fn with_resource<T>(
    request: &Request<'_>,
    resource_type: &str,
    read: impl FnOnce(super::json::Value<'_>) -> Result<T, Malformed>,
) -> Result<(T, std::ops::Range<usize>), Malformed> {
    let agree = |found: &str| {
        if found == resource_type {
            Ok(())
        } else {
            Err(bad("resource-type-differs"))
        }
    };
    match request.content {
        Content::Message { headers, body } => {
            json_content(headers)?;
            let document = Document::parse(body)?;
            let root = document.root();
            agree(type_of(root)?)?;
            Ok((read(root)?, root.span()))
        }
        Content::Entry(value) => {
            let value = value.ok_or(bad("bundle-entry-without-resource"))?;
            agree(type_of(value)?)?;
            Ok((read(value)?, value.span()))
        }
    }
}

/// The answer must be JSON, since nothing else can be judged.
fn accept(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut any = false;
    for value in headers.get_all("accept") {
        for range in value.to_str().unwrap_or_default().split(',') {
            any = true;
            let range = range.split(';').next().unwrap_or_default().trim();
            let json = [
                "*/*",
                "application/*",
                "application/json",
                "application/fhir+json",
                "text/json",
            ]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(range));
            if json {
                return Ok(());
            }
        }
    }
    if any {
        Err(Malformed {
            status: 406,
            code: "accept-not-json",
        })
    } else {
        Ok(())
    }
}

/// `Prefer: respond-async` moves the answer to where it is not judged.
fn asynchronous(headers: &HeaderMap) -> bool {
    headers.get_all("prefer").iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',' || *b == b';')
            .any(|p| {
                p.trim_ascii()
                    .to_ascii_lowercase()
                    .starts_with(b"respond-async")
            })
    })
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| bad("header-value")),
        (Some(_), Some(_)) => Err(bad("header-repeated")),
    }
}

/// Media type of the body in lower case, without parameters; a charset other than UTF-8 is refused.
fn media_type(headers: &HeaderMap) -> Result<Option<String>, Malformed> {
    let Some(text) = one(headers, "content-type")? else {
        return Ok(None);
    };
    let mut parts = text.split(';');
    let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let utf8 = value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8");
        if name.trim().eq_ignore_ascii_case("charset") && !utf8 {
            return Err(Malformed {
                status: 415,
                code: "charset",
            });
        }
    }
    Ok(Some(media))
}

fn not_encoded(headers: &HeaderMap) -> Result<(), Malformed> {
    match one(headers, "content-encoding")? {
        None => Ok(()),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Malformed {
            status: 415,
            code: "content-encoding",
        }),
    }
}

fn json_content(headers: &HeaderMap) -> Result<(), Malformed> {
    not_encoded(headers)?;
    match media_type(headers)?.as_deref() {
        Some("application/fhir+json" | "application/json") => Ok(()),
        _ => Err(Malformed {
            status: 415,
            code: "content-not-json",
        }),
    }
}
