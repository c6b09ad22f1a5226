//! The road of a request: canonical form, application, session, decision, record, upstream, client.

mod inside;
mod obligation;
mod web;

use std::sync::Arc;
use std::time::Duration;

use audit::{Kind, Unavailable};
use clinical::http::{Head, Received, canonicalize};
use domain::request::Message;
use domain::{CanonicalRequest, RecordId, Target, Timestamp};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use identity::{Audience, CeremonyKind, Live, ReturnPath};
use policy::{Decision, Permit};
use serde_json::{Map, Value};

use crate::answer::{Answer, see_other, status_of};
use crate::body::{Body, BodyFault, ClientBody};
use crate::ceremony;
use crate::endpoint::Origin;
use crate::fhir;
use crate::forward::{CameFrom, Own};
use crate::gateway::{Place, PlaceKind, Shared};
use crate::guard::Active;
use crate::listener::Peer;
use crate::pages::NoticeKind;
use crate::stages::{Lap, Stage};
use crate::upstream::UpstreamError;

pub(crate) use obligation::{Obliged, oblige_of};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The session cookie of an application.
pub(crate) const SESSION_COOKIE: &str = "__Host-asepsis";

/// Takes one request down the road and returns what the client gets.
pub(crate) async fn travel(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let active = Active::new(&peer.watch);
    let http1 = request.version() <= Version::HTTP_11;
    let (mut parts, incoming) = request.into_parts();
    let client_upgrade = parts.extensions.remove::<OnUpgrade>();
    let (body, drained) = ClientBody::new(incoming, shared.limits.body_idle, &peer.watch);
    let (mut response, close) = match receive(shared, peer, &parts).await {
        Err(turned_away) => turned_away,
        Ok((head, lap)) => {
            let wants_upgrade = head.upgrade.is_some();
            let trip = Trip {
                shared,
                peer,
                origin: origin_of(peer, &head),
                wants_page: wants_page(&head.headers),
                head,
                now: lap.now,
                body,
                client_upgrade,
                active: Some(active),
                lap: lap.lap,
            };
            let response = trip.go().await;
            // Whatever the client sent behind a refused upgrade was meant for another protocol.
            let refused_upgrade =
                wants_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
            (response, refused_upgrade)
        }
    };
    transport_security(shared, peer, response.headers_mut());
    if http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let tainted = peer.watch.taint().is_some();
        if close || tainted || !drained.yes() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// Whether browsers may come without TLS is for whoever holds the TLS to say: an upstream's word on it does not pass.
fn transport_security(shared: &Shared, peer: &Peer, headers: &mut HeaderMap) {
    match &shared.transport_security {
        Some(ours) if peer.secure => {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, ours.clone());
        }
        Some(_) | None => {
            headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
    }
}

struct Start<'a> {
    lap: Lap<'a>,
    now: Timestamp,
}

/// Brings the request into canonical form, or turns it away. The flag asks for the connection to be closed.
async fn receive<'a>(
    shared: &'a Arc<Shared>,
    peer: &Arc<Peer>,
    parts: &http::request::Parts,
) -> Result<(Head, Start<'a>), (Response<Body>, bool)> {
    let mut lap = shared.stages.start();
    let now = shared.now();
    if let Some(taint) = peer.watch.taint() {
        let response = hostile(
            shared,
            now,
            StatusCode::BAD_REQUEST,
            taint.code(),
            &parts.headers,
        )
        .await;
        return Err((response, true));
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let response = hostile(shared, now, status, "method-not-served", &parts.headers).await;
        return Err((response, true));
    }
    let mut expectations = parts.headers.get_all(header::EXPECT).iter();
    if expectations.any(|e| !e.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let status = StatusCode::EXPECTATION_FAILED;
        let response = hostile(shared, now, status, "unknown-expectation", &parts.headers).await;
        return Err((response, true));
    }
    let received = Received {
        method: &parts.method,
        uri: &parts.uri,
        version: parts.version,
        headers: &parts.headers,
        sni: peer.sni.as_deref(),
        secure: peer.secure,
    };
    match canonicalize(&received) {
        Ok(mut head) => {
            head.headers.remove(header::EXPECT);
            lap.mark(Stage::Canonicalise);
            Ok((head, Start { lap, now }))
        }
        Err(ambiguous) => {
            let status = StatusCode::from_u16(ambiguous.status).unwrap_or(StatusCode::BAD_REQUEST);
            let response = hostile(shared, now, status, ambiguous.code, &parts.headers).await;
            Err((response, ambiguous.close))
        }
    }
}

/// Records bytes that hyper could not read as a request; hyper has answered them itself and closed the connection.
pub(crate) async fn unparsable(shared: &Arc<Shared>, peer: &Arc<Peer>, error: &hyper::Error) {
    let code = match peer.watch.taint() {
        Some(taint) => taint.code(),
        None if error.is_parse_too_large() => "head-too-large",
        None => "unparsable",
    };
    let recorded = shared
        .recorder
        .turned_away(shared.now(), Kind::Malformed, || {
            malformed_header(code, None)
        })
        .await;
    if let Err(error) = recorded {
        tracing::warn!(%error, "a refused request could not be recorded");
    }
}

fn malformed_header(code: &str, application: Option<&str>) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("code".to_owned(), code.into());
    if let Some(application) = application {
        header.insert("application".to_owned(), application.into());
    }
    header
}

/// Turns a request away whose meaning is in doubt.
async fn hostile(
    shared: &Arc<Shared>,
    now: Timestamp,
    status: StatusCode,
    code: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let recorded = shared
        .recorder
        .turned_away(now, Kind::Malformed, || malformed_header(code, None))
        .await;
    let pages = wants_page(headers).then_some(shared.pages.as_ref());
    let mut answer = Answer::new(
        NoticeKind::BadRequest,
        status,
        code,
        "This request cannot be understood in one way only, so it was not passed on.",
    );
    match recorded {
        Ok(record) => answer.record = record,
        Err(error) => return cannot_record(&error, pages),
    }
    answer.draw(pages, "/")
}

/// Says that nothing goes on because nothing can be recorded.
fn cannot_record(error: &Unavailable, pages: Option<&dyn crate::pages::Pages>) -> Response<Body> {
    tracing::error!(%error, "the audit log takes no record; requests are refused");
    let mut response = Answer::new(
        NoticeKind::CannotRecord,
        StatusCode::SERVICE_UNAVAILABLE,
        "cannot-record",
        "The record of who sees what cannot be written at the moment, so nothing is passed on. Please call the help desk.",
    )
    .draw(pages, "/");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Whether whoever asks would rather read a page than a document for programs.
fn wants_page(headers: &HeaderMap) -> bool {
    match headers.get(&SEC_FETCH_MODE) {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|a| a.to_str().is_ok_and(|a| a.contains("text/html"))),
    }
}

fn origin_of(peer: &Peer, head: &Head) -> Origin {
    let usual = if peer.secure { 443 } else { 80 };
    Origin {
        secure: peer.secure,
        host: head.host.clone(),
        port: head.port.filter(|p| *p != usual),
    }
}

/// One request on its way.
pub(crate) struct Trip<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) origin: Origin,
    pub(crate) head: Head,
    pub(crate) wants_page: bool,
    pub(crate) now: Timestamp,
    pub(crate) body: Option<ClientBody>,
    client_upgrade: Option<OnUpgrade>,
    active: Option<Active>,
    pub(crate) lap: Lap<'a>,
}

impl<'a> Trip<'a> {
    async fn go(mut self) -> Response<Body> {
        let shared = self.shared;
        if self.head.host == shared.access.host {
            return Box::pin(self.access()).await;
        }
        let Some(site) = shared.sites.get(&self.head.host) else {
            return self
                .malformed(StatusCode::MISDIRECTED_REQUEST, "unknown-host", None)
                .await;
        };
        if ceremony::is_ours(&self.head.path) {
            return Box::pin(ceremony::serve(self, site)).await;
        }
        let Some(place) = site.place(&self.head.path) else {
            return self
                .malformed(StatusCode::NOT_FOUND, "unknown-place", None)
                .await;
        };
        // A browser asks for the icon of a page by itself. Ours is the same everywhere and no secret: nothing to judge.
        if self.head.path == "/favicon.ico" && matches!(place.kind, PlaceKind::Console) {
            return see_other(&format!("{}/favicon.ico", self.access_url()));
        }
        let live = match self.session(&site.audience) {
            Some(live) => live,
            None => return Box::pin(ceremony::sign_in_first(self, site, place)).await,
        };
        self.lap.mark(Stage::Session);
        if let Some(refused) = self.misplaced(place).await {
            return refused;
        }
        match &place.kind {
            PlaceKind::Fhir(service) => Box::pin(fhir::serve(self, place, service, live)).await,
            PlaceKind::Web(rules) => {
                let target = rules.classify(
                    &place.id,
                    &self.head.method,
                    &self.head.path,
                    self.head.upgrade.is_some(),
                );
                self.page(place, live, target).await
            }
            PlaceKind::Console => {
                let target = inside::console_target(place, &self.head);
                self.page(place, live, target).await
            }
        }
    }

    /// The session that the request's cookie opens, if it is asked from the device that the session belongs to.
    pub(crate) fn session(&self, audience: &Audience) -> Option<Live> {
        let live = self.cookie(SESSION_COOKIE).and_then(|cookie| {
            self.shared
                .sessions
                .resolve(cookie, audience, self.now)
                .ok()
        })?;
        match (&self.peer.device, live.device()) {
            // A certificate is proven anew on each connection; a cookie that comes with another's was carried off.
            (Some(proven), Some(bound)) if proven != bound => None,
            (None, Some(_)) if self.peer.unknown_certificate => None,
            _ => Some(live),
        }
    }

    /// The one cookie of this name. Two would let whoever planted one choose which is looked at.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let mut found = self.head.cookies.iter().filter(|(n, _)| n == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// Refuses what no judged application gets: a body where none belongs, and writes from other sites.
    async fn misplaced(&mut self, place: &Place) -> Option<Response<Body>> {
        let safe = matches!(
            self.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        if safe && self.body.is_some() {
            let refused = self
                .malformed(StatusCode::BAD_REQUEST, "body-on-safe-method", Some(place))
                .await;
            return Some(refused);
        }
        let guarded = match place.kind {
            PlaceKind::Fhir(_) | PlaceKind::Console => true,
            // Some applications take forms from other sites (single sign-on); theirs is to tell which.
            PlaceKind::Web(_) => false,
        };
        if guarded && !safe && !self.same_origin() {
            let refused = self
                .malformed(StatusCode::FORBIDDEN, "cross-site", Some(place))
                .await;
            return Some(refused);
        }
        if self.head.upgrade.is_some() && !matches!(place.kind, PlaceKind::Web(_)) {
            let refused = self
                .malformed(StatusCode::BAD_REQUEST, "upgrade-not-served", Some(place))
                .await;
            return Some(refused);
        }
        None
    }

    /// Whether the request comes from the origin it goes to, as far as the client's program says where it comes from.
    pub(crate) fn same_origin(&self) -> bool {
        let site = self.head.headers.get(&SEC_FETCH_SITE);
        if site.is_some_and(|s| !matches!(s.as_bytes(), b"same-origin" | b"none")) {
            return false;
        }
        let own = self.origin.to_string();
        self.head
            .headers
            .get_all(header::ORIGIN)
            .iter()
            .all(|o| o.as_bytes() == own.as_bytes())
    }

    /// The sign-in origin's own URL, on the scheme and port that the client used.
    pub(crate) fn access_url(&self) -> String {
        self.origin.sibling(&self.shared.access.host).to_string()
    }

    pub(crate) fn pages(&self) -> Option<&'a dyn crate::pages::Pages> {
        self.wants_page.then_some(self.shared.pages.as_ref())
    }

    /// Turns the request away as malformed or misdirected, on record.
    pub(crate) async fn malformed(
        &self,
        status: StatusCode,
        code: &str,
        place: Option<&Place>,
    ) -> Response<Body> {
        let (kind, sentence) = match status {
            StatusCode::NOT_FOUND | StatusCode::MISDIRECTED_REQUEST => {
                (NoticeKind::NotFound, "There is nothing at this address.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => (
                NoticeKind::BadRequest,
                "This request is larger than it may be.",
            ),
            StatusCode::FORBIDDEN => (
                NoticeKind::BadRequest,
                "This request came from another site, so it was not passed on.",
            ),
            _ => (
                NoticeKind::BadRequest,
                "This request cannot be understood in one way only, so it was not passed on.",
            ),
        };
        let application = place.map(|p| p.id.as_str());
        let recorded = self
            .shared
            .recorder
            .turned_away(self.now, Kind::Malformed, || {
                malformed_header(code, application)
            })
            .await;
        let mut answer = Answer::new(kind, status, code, sentence);
        answer.application = place.map(|p| (&p.id, p.name.as_str()));
        match recorded {
            Ok(record) => answer.record = record,
            Err(error) => return self.cannot_record(&error),
        }
        answer.draw(self.pages(), &self.access_url())
    }

    pub(crate) fn cannot_record(&self, error: &Unavailable) -> Response<Body> {
        cannot_record(error, self.pages())
    }

    /// What reading the client's body failed with, as an answer.
    pub(crate) async fn body_failed(&self, fault: &BodyFault, place: &Place) -> Response<Body> {
        let (status, code) = match fault {
            BodyFault::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            BodyFault::Crowded => (StatusCode::SERVICE_UNAVAILABLE, "too-many-large-bodies"),
            BodyFault::Idle => (StatusCode::REQUEST_TIMEOUT, "body-too-slow"),
            BodyFault::Framing(code) => (StatusCode::BAD_REQUEST, *code),
            BodyFault::Broken(_) | BodyFault::Upstream(_) => {
                (StatusCode::BAD_REQUEST, "body-broke-off")
            }
        };
        self.malformed(status, code, Some(place)).await
    }

    /// The question put to policy.
    pub(crate) fn question(
        &self,
        live: &Live,
        targets: Vec<Target>,
        message: Message,
    ) -> CanonicalRequest {
        let mut subject = live.subject();
        if subject.device.is_none() {
            subject.device.clone_from(&self.peer.device);
        }
        CanonicalRequest {
            subject,
            targets,
            context: live.context(self.now),
            message: Some(message),
        }
    }

    /// Judges, under the application's mode. `Err` is what must be answered instead.
    pub(crate) fn judge(&self, question: CanonicalRequest) -> Result<Permit, Box<Decision>> {
        let snapshot = self.shared.world.load();
        match policy::decide(&snapshot, question, self.now) {
            Decision::Permit(permit) => Ok(permit),
            refused => policy::shadow(&snapshot, refused).map_err(Box::new),
        }
    }

    /// Records a refusal and answers it, with the way on if there is one.
    ///
    /// `answered` is what the client is told if that differs from what was decided.
    pub(crate) async fn refuse(
        &self,
        place: &Place,
        live: &Live,
        decision: &Decision,
        answered: Option<&Decision>,
        about: Option<RecordId>,
    ) -> Response<Body> {
        let record = match self.shared.recorder.refused(decision, about).await {
            Ok(record) => record,
            Err(error) => return self.cannot_record(&error),
        };
        self.tell(place, live, answered.unwrap_or(decision), record)
    }

    fn tell(
        &self,
        place: &Place,
        live: &Live,
        decision: &Decision,
        record: RecordId,
    ) -> Response<Body> {
        let kind = match decision {
            Decision::StepUp(step_up) => Some(CeremonyKind::StepUp(step_up.requirement.clone())),
            Decision::BreakGlass(glass) => {
                Some(CeremonyKind::BreakGlass(glass.eligibility.clone()))
            }
            Decision::Permit(_) | Decision::Deny(_) => None,
        };
        let continue_url = kind.map(|kind| {
            let handle = self.shared.ceremonies.open(
                live.id(),
                kind,
                &place.site,
                &self.return_path(),
                self.now,
            );
            format!("{}/ceremony/{handle}", self.access_url())
        });
        let ruling = decision.ruling();
        let outcome = decision.outcome();
        let mut answer = Answer::new(
            NoticeKind::Decision(outcome),
            status_of(outcome),
            &ruling.reason().code,
            &ruling.reason().sentence,
        );
        answer.application = Some((&place.id, place.name.as_str()));
        answer.record = Some(record);
        answer.continue_url = continue_url;
        answer.draw(self.pages(), &self.access_url())
    }

    /// Where a person comes back to after a ceremony. A form that was sent is not sent again.
    pub(crate) fn return_path(&self) -> ReturnPath {
        // A program's address is nothing that a person should land on.
        if self.head.method != Method::GET || !self.wants_page {
            return ReturnPath::root();
        }
        match &self.head.query {
            None => ReturnPath::or_root(&self.head.path),
            Some(query) => ReturnPath::or_root(&format!("{}?{query}", self.head.path)),
        }
    }

    /// What the gateway adds to a request for this place's upstream.
    pub(crate) fn own(
        &self,
        place: &Place,
        host: Option<&HeaderValue>,
        live: &Live,
    ) -> Result<Own, StatusCode> {
        let authority = match self.origin.port {
            None => HeaderValue::try_from(self.origin.host.as_str()),
            Some(port) => HeaderValue::try_from(format!("{}:{port}", self.origin.host)),
        }
        .map_err(|_invalid| StatusCode::BAD_REQUEST)?;
        let assertion = self
            .shared
            .assertion(live, &place.id, self.now)
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Own {
            host: host.unwrap_or(&authority).clone(),
            assertion,
            came_from: self.shared.forwarded_headers.then(|| CameFrom {
                address: self.peer.address_text.clone(),
                secure: self.peer.secure,
                authority: authority.clone(),
            }),
        })
    }

    /// Answers for an upstream that gave no answer.
    pub(crate) fn upstream_failed(&self, place: &Place, error: &UpstreamError) -> Response<Body> {
        tracing::warn!(application = %place.id, %error, "the upstream gave no answer");
        let mut answer = Answer::new(
            NoticeKind::UpstreamFailed,
            error.status(),
            error.code(),
            "The application does not answer at the moment.",
        );
        answer.application = Some((&place.id, place.name.as_str()));
        answer.draw(self.pages(), &self.access_url())
    }

    /// An answer of the gateway's own that needs no record: what it says was recorded with the permit.
    pub(crate) fn own_fault(
        &self,
        status: StatusCode,
        code: &str,
        sentence: &str,
    ) -> Response<Body> {
        Answer::new(NoticeKind::UpstreamFailed, status, code, sentence)
            .draw(self.pages(), &self.access_url())
    }
}

/// How long a browser has to come back from the sign-in page.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(600);

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|t| t.to_str().ok())
        .is_some_and(|t| {
            t.get(..17)
                .is_some_and(|t| t.eq_ignore_ascii_case("text/event-stream"))
        })
}
