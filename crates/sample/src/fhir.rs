//! A small FHIR R4 server over an in-memory store with versions. JSON only.
//!
//! Offered are the interactions `capabilities`, `read`, `vread`, `history` (instance, type, system), `search` (`GET`
//! and `POST`, also in a patient's compartment), `create`, `update`, `patch` (JSON Patch), `delete`, `batch` and
//! `transaction`. What it keeps and can search by stands in its module `parameters`; everything is bounded by [`Options`].
//!
//! It trusts whoever passes its [`Verifier`]: who may do what is decided in front of it.

mod bundle;
mod capability;
mod date;
mod fault;
mod interaction;
mod paging;
mod parameters;
mod patch;
mod query;
mod read;
mod search;
mod store;
mod write;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use domain::Timestamp;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use self::fault::Fault;
use self::interaction::{Call, Interaction, Prefer, Reply};
use self::paging::Pages;
use self::store::{Bounds, Store};
use crate::hospital::Hospital;

/// Header with the gateway's signed assertion of who asks.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-asepsis-assertion");

/// Says whether an assertion is one of the gateway's, for this application and still valid.
pub type Verifier = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a server is set up.
#[derive(Clone)]
pub struct Options {
    /// Path under which FHIR is served, such as `/fhir`.
    pub base: String,
    /// If set, each request needs an assertion that this accepts: going around the gateway is refused.
    pub verifier: Option<Verifier>,
    /// What stamps new versions.
    pub clock: Clock,
    /// Versions kept at most; writes beyond are refused.
    pub versions_max: usize,
    /// Bytes of resources kept at most; writes beyond are refused.
    pub bytes_max: usize,
    /// Bytes of a request's body at most.
    pub body_max: usize,
}

impl Options {
    /// FHIR under `/fhir`, no verifier, room for several times the sample hospital.
    pub fn new(clock: Clock) -> Self {
        Self {
            base: "/fhir".into(),
            verifier: None,
            clock,
            versions_max: 60_000,
            bytes_max: 48 << 20,
            body_max: 2 << 20,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("base", &self.base)
            .field("verifier", &self.verifier.is_some())
            .field("versions_max", &self.versions_max)
            .field("bytes_max", &self.bytes_max)
            .field("body_max", &self.body_max)
            .finish_non_exhaustive()
    }
}

/// The server. Reads run side by side; a write waits for none but other requests under way.
pub struct FhirServer {
    options: Options,
    store: RwLock<Store>,
    pages: Mutex<Pages>,
}

impl fmt::Debug for FhirServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirServer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl FhirServer {
    /// A server that starts with the hospital's records.
    ///
    /// # Panics
    ///
    /// If `options` leave no room for them.
    pub fn new(hospital: &Hospital, options: Options) -> Self {
        let mut store = Store::new(Bounds {
            versions_max: options.versions_max,
            bytes_max: options.bytes_max,
        });
        let mut order: Vec<_> = hospital.resources().iter().collect();
        // In the order in which they would have been written, so that histories read like it.
        order.sort_by_key(|r| r.updated);
        for resource in order {
            let kept = parameters::type_named(resource.resource_type)
                .expect("the generator writes only types that the server keeps");
            let json: Value =
                serde_json::from_slice(&resource.json).expect("the generator writes JSON");
            store
                .put(kept, &resource.id, Some(json), resource.updated)
                .expect("the bounds have room for the hospital");
        }
        Self {
            options,
            store: RwLock::new(store),
            pages: Mutex::new(Pages::default()),
        }
    }

    /// How it is set up.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a path is FHIR's.
    pub fn serves(&self, path: &str) -> bool {
        path.strip_prefix(self.options.base.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether the request comes with an assertion that the verifier accepts, or none is asked for.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(verifier) = &self.options.verifier else {
            return true;
        };
        let mut all = headers.get_all(ASSERTION).iter();
        // Two assertions are none: which of them would count?
        match (all.next().map(HeaderValue::to_str), all.next()) {
            (Some(Ok(assertion)), None) => verifier(assertion),
            _ => false,
        }
    }

    /// Answers one request. Never panics; whatever is wrong becomes an `OperationOutcome`.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let reply = if self.admits(request.headers()) {
            self.answer(request).unwrap_or_else(Reply::from)
        } else {
            let text = "the request does not come from the gateway";
            Reply::from(Fault::new(StatusCode::UNAUTHORIZED, "login", text))
        };
        let mut response = Response::new(reply.body);
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        if !response_is_empty(reply.status) {
            let json = HeaderValue::from_static("application/fhir+json; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, json);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let mut set = |name: HeaderName, value: Option<String>| {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        };
        set(header::ETAG, reply.version.map(|v| format!("W/\"{v}\"")));
        set(
            header::LAST_MODIFIED,
            reply.modified.map(interaction::http_date),
        );
        set(header::LOCATION, reply.location);
        set(header::ALLOW, reply.allow.map(str::to_owned));
        response
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Reply, Fault> {
        let headers = request.headers();
        let path = request
            .uri()
            .path()
            .strip_prefix(self.options.base.as_str())
            .ok_or_else(Fault::not_found)?;
        let query = request.uri().query().unwrap_or("");
        if request.body().len() > self.options.body_max {
            return Err(Fault::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-long",
                "the body is larger than this server takes",
            ));
        }
        interaction::acceptable(headers, query)?;
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            other => other,
        };
        let mut call = Call {
            method: method.clone(),
            path: path.strip_prefix('/').unwrap_or(path),
            query,
            form: None,
            resource: None,
            patch: None,
            if_match: text(headers, &header::IF_MATCH),
            if_none_match: text(headers, &header::IF_NONE_MATCH),
            if_modified_since: text(headers, &header::IF_MODIFIED_SINCE),
            if_none_exist: text(headers, &HeaderName::from_static("if-none-exist")),
            prefer: Prefer::read(headers),
            preset_id: None,
        };
        let interaction = Interaction::parse(&call.method, call.path, call.query)?;
        interaction::take_body(&mut call, &interaction, headers, request.body())?;
        let desk = Desk {
            prefix: interaction::prefix(headers, &self.options.base),
            pages: &self.pages,
            now: (self.options.clock)(),
        };
        if interaction.only_reads() {
            read::perform(&self.store.read(), &desk, &call, &interaction)
        } else if matches!(interaction, Interaction::Bundle) {
            bundle::perform(&mut self.store.write(), &desk, &call)
        } else {
            write::perform(&mut self.store.write(), &desk, &call, &interaction)
        }
    }
}

/// What every interaction needs beside the store.
pub(crate) struct Desk<'a> {
    /// What stands before `/Type/id` in links.
    pub(crate) prefix: String,
    pub(crate) pages: &'a Mutex<Pages>,
    pub(crate) now: Timestamp,
}

fn response_is_empty(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
