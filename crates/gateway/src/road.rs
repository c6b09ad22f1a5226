//! The road of a request: canonical form, application, session, decision, record, upstream, client.

use std::sync::Arc;
use std::time::Duration;

use audit::{Kind, Unavailable};
use clinical::http::{Head, Received, canonicalize, strip_cookies};
use domain::request::{Body as MessageBody, Message};
use domain::resource::ConsoleArea;
use domain::{Action, CanonicalRequest, RecordId, Resource, Target, Timestamp};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use identity::{Audience, CeremonyKind, Live, ReturnPath};
use policy::{Decision, Permit, Ruling};
use serde_json::{Map, Value};

use crate::answer::{self, Answer, bare, status_of};
use crate::body::{Body, BodyFault, BoxError, ClientBody};
use crate::ceremony;
use crate::endpoint::{Endpoint, Origin, Visit};
use crate::fhir;
use crate::forward::{CameFrom, NOTICE, Own, clean_response, is_own_cookie, request_of};
use crate::gateway::{Destination, Place, PlaceKind, Shared};
use crate::guard::{Active, Phase};
use crate::listener::Peer;
use crate::pages::NoticeKind;
use crate::record::Recorded;
use crate::response::{Ending, Released};
use crate::stages::{Lap, Stage};
use crate::upgrade;
use crate::upstream::{Pool, UpstreamBody, UpstreamError};

use http_body_util::BodyExt;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The session cookie of an application.
pub(crate) const SESSION_COOKIE: &str = "__Host-asepsis";
/// The session cookie of the access origin.
const ACCESS_COOKIE: &str = "__Host-asepsis-access";

/// The text that must accompany records of a substance use programme (42 CFR 2.32, short form).
const CONSENT_NOTICE: &str =
    "42 CFR part 2 prohibits unauthorized use or disclosure of these records.";

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
    let (body, drained) = ClientBody::new(incoming, shared.limits.body_idle, peer.watch.clone());
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
                body: Some(body),
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
        Err(error) => return cannot_record(shared, &error, pages),
    }
    answer.draw(pages, "/")
}

fn cannot_record(
    shared: &Shared,
    error: &Unavailable,
    pages: Option<&dyn crate::pages::Pages>,
) -> Response<Body> {
    tracing::error!(%error, "the audit log takes no record; requests are refused");
    let _ = shared;
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
                let target = console_target(place, &self.head);
                self.page(place, live, target).await
            }
        }
    }

    /// The session that the request's cookie opens, if it is asked from the device that the session belongs to.
    fn session(&self, audience: &Audience) -> Option<Live> {
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
        let has_body = self
            .body
            .as_ref()
            .is_some_and(|b| !http_body::Body::is_end_stream(b));
        if safe && has_body {
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
        cannot_record(self.shared, error, self.pages())
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
        if self.head.method != Method::GET {
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

    /// The road of a plain web application or the console: judged whole before it is forwarded.
    async fn page(mut self, place: &Place, live: Live, target: Target) -> Response<Body> {
        let shared = self.shared;
        let mut headers = std::mem::take(&mut self.head.headers);
        strip_cookies(&mut headers, is_own_cookie);
        if let Some(protocol) = &self.head.upgrade {
            match HeaderValue::try_from(protocol.as_str()) {
                Ok(protocol) => headers.insert(header::UPGRADE, protocol),
                Err(_) => return bare(StatusCode::BAD_REQUEST),
            };
        }
        let body = match (&place.target, self.body.take()) {
            (Destination::Internal(_), Some(body)) => {
                let max = shared.limits.internal_request_max;
                match body.read_whole(max, &shared.budget).await {
                    Ok((bytes, _)) if bytes.is_empty() => MessageBody::Empty,
                    Ok((bytes, _)) => MessageBody::Whole(bytes),
                    Err(fault) => {
                        self.head.headers = headers;
                        return self.body_failed(&fault, place).await;
                    }
                }
            }
            (_, Some(body)) if http_body::Body::is_end_stream(&body) => MessageBody::Empty,
            (Destination::Http { .. }, Some(body)) => {
                let length = http_body::Body::size_hint(&body).exact();
                self.body = Some(body);
                MessageBody::Streamed(length)
            }
            (_, None) => MessageBody::Empty,
        };
        let message = Message {
            application: place.id.clone(),
            method: self.head.method.clone(),
            path: self.head.path.clone(),
            query: self.head.query.clone(),
            headers,
            body,
        };
        let question = self.question(&live, vec![target], message);
        self.lap.mark(Stage::Classify);
        let permit = match self.judge(question) {
            Ok(permit) => permit,
            Err(decision) => {
                self.lap.mark(Stage::Decide);
                return self.refuse(place, &live, &decision, None, None).await;
            }
        };
        self.lap.mark(Stage::Decide);
        match &place.target {
            Destination::Internal(endpoint) => {
                Box::pin(self.inside(place, live, permit, endpoint)).await
            }
            Destination::Http { pool, host } if self.head.upgrade.is_some() => {
                Box::pin(self.switch(place, live, permit, pool, host.as_ref())).await
            }
            Destination::Http { pool, host } => {
                self.through(place, live, permit, pool, host.as_ref()).await
            }
        }
    }

    /// Forwards a permitted request and releases the response once the record is durable.
    async fn through(
        mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        pool: &Arc<Pool>,
        host: Option<&HeaderValue>,
    ) -> Response<Body> {
        let shared = self.shared;
        let mut streamed = self.body.take().map(Box::new);
        let own = match self.own(place, host, &live) {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let may_repeat = streamed.is_none()
            && matches!(
                self.head.method,
                Method::GET | Method::HEAD | Method::OPTIONS
            );
        let submitted = shared.recorder.submit(permit);
        self.lap.mark(Stage::Record);
        let forwarded = submitted
            .forward(async |forward| {
                pool.exchange(|| request_of(forward, &own, streamed.take()), may_repeat)
                    .await
            })
            .await;
        self.lap.mark(Stage::Upstream);
        let (recorded, response) = match forwarded {
            Err(error) => return self.cannot_record(&error),
            Ok((_, Err(error))) => return self.upstream_failed(place, &error),
            Ok((recorded, Ok(response))) => (recorded, response),
        };
        self.release(place, live, recorded, response).await
    }

    async fn release(
        mut self,
        place: &Place,
        live: Live,
        recorded: Recorded,
        response: Response<UpstreamBody>,
    ) -> Response<Body> {
        let shared = self.shared;
        let (mut head, mut body) = response.into_parts();
        clean_response(&mut head.headers);
        oblige(recorded.permit().ruling(), &mut head.headers);
        head.headers
            .insert(answer::RECORD, HeaderValue::from(recorded.id().0));
        let until = recorded.permit().valid_until().min(live.expires());
        let Some(active) = self.active.take() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let events = is_event_stream(&head.headers);
        if events {
            body.without_idle_limit();
        }
        let released = Released::new(body, shared, &live, until, active);
        let released = if events {
            match self.event_stream(place, &live, &recorded, released).await {
                Ok(released) => released,
                Err(error) => return self.cannot_record(&error),
            }
        } else {
            released
        };
        self.lap.mark(Stage::Filter);
        Response::from_parts(head, released.boxed_unsync())
    }

    async fn event_stream<B>(
        &self,
        place: &Place,
        live: &Live,
        recorded: &Recorded,
        released: Released<B>,
    ) -> Result<Released<B>, Unavailable> {
        let ending = Ending::new(
            self.shared,
            live,
            place.id.as_str(),
            recorded.id(),
            "events",
        );
        ending.opened().await?;
        Ok(released.streaming(ending))
    }

    /// Opens an upgraded connection: recorded first, opened second, carried third.
    async fn switch(
        mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        pool: &Arc<Pool>,
        host: Option<&HeaderValue>,
    ) -> Response<Body> {
        let shared = self.shared;
        let Some(client) = self.client_upgrade.take() else {
            return self
                .malformed(StatusCode::BAD_REQUEST, "upgrade-not-possible", Some(place))
                .await;
        };
        let own = match self.own(place, host, &live) {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let forwarded = shared
            .recorder
            .submit(permit)
            .forward(async |forward| {
                let request = request_of(forward, &own, None)?;
                pool.upgrade(request).await
            })
            .await;
        let (recorded, mut response) = match forwarded {
            Err(error) => return self.cannot_record(&error),
            Ok((_, Err(error))) => return self.upstream_failed(place, &error),
            Ok((recorded, Ok(response))) => (recorded, response),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut head, body) = response.into_parts();
            clean_response(&mut head.headers);
            let until = recorded.permit().valid_until().min(live.expires());
            let Some(active) = self.active.take() else {
                return bare(StatusCode::INTERNAL_SERVER_ERROR);
            };
            let body = body
                .map_frame(|frame| frame)
                .map_err(|error| -> BoxError { error.into() });
            let released = Released::new(body, shared, &live, until, active);
            return Response::from_parts(head, released.boxed_unsync());
        }
        let switched = response
            .headers()
            .get(header::UPGRADE)
            .and_then(|p| p.to_str().ok())
            .map(str::to_owned);
        if switched.as_deref().map(str::to_ascii_lowercase) != self.head.upgrade {
            return self.upstream_failed(place, &UpstreamError::UnaskedUpgrade);
        }
        let ending = Ending::new(shared, &live, place.id.as_str(), recorded.id(), "upgrade");
        if let Err(error) = ending.opened().await {
            return self.cannot_record(&error);
        }
        let until = recorded.permit().valid_until().min(live.expires());
        let lease = shared.streams.open(&live, until, shared.clock.clone());
        let upstream = hyper::upgrade::on(&mut response);
        self.peer.watch.enter(Phase::Tunnel);
        upgrade::carry(
            self.peer.clone(),
            client,
            upstream,
            lease,
            ending,
            shared.limits.upstream_idle,
        );
        let mut headers = std::mem::take(response.headers_mut());
        clean_response(&mut headers);
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(Ok(protocol)) = self.head.upgrade.as_deref().map(HeaderValue::try_from) {
            headers.insert(header::UPGRADE, protocol);
        }
        let mut answer = Response::new(crate::body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        answer
    }

    /// Answers from inside the program: the permit is on record before the endpoint sees the request.
    async fn inside(
        mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        endpoint: &Arc<dyn Endpoint>,
    ) -> Response<Body> {
        let shared = self.shared;
        let submitted = shared.recorder.submit(permit);
        self.lap.mark(Stage::Record);
        let recorded = match submitted.durable().await {
            Ok(recorded) => recorded,
            Err(error) => return self.cannot_record(&error),
        };
        let until = recorded.permit().valid_until().min(live.expires());
        let Some(message) = recorded.permit().request().message.as_ref() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let request = match visiting(message) {
            Ok(request) => request,
            Err(_) => return bare(StatusCode::BAD_REQUEST),
        };
        let about = (recorded.id(), oblige_of(recorded.permit().ruling()));
        let visit = Visit {
            request,
            cookies: Vec::new(),
            session: Some(live.clone()),
            device: self.peer.device.clone(),
            peer: self.peer.address,
            secure: self.peer.secure,
            origin: self.origin.clone(),
            now: self.now,
            permit: Some(recorded),
        };
        let mut response = answer::numbered(endpoint.call(visit).await, about.0);
        self.lap.mark(Stage::Upstream);
        about.1.apply(response.headers_mut());
        let Some(active) = self.active.take() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let events = is_event_stream(response.headers());
        let (head, body) = response.into_parts();
        let released = Released::new(body, shared, &live, until, active);
        let released = if events {
            let ending = Ending::new(shared, &live, place.id.as_str(), about.0, "events");
            if let Err(error) = ending.opened().await {
                return self.cannot_record(&error);
            }
            released.streaming(ending)
        } else {
            released
        };
        Response::from_parts(head, released.boxed_unsync())
    }

    /// The sign-in origin: not judged, because here people become somebody who can be judged.
    async fn access(mut self) -> Response<Body> {
        let shared = self.shared;
        let session = self.cookie(ACCESS_COOKIE).and_then(|cookie| {
            shared
                .sessions
                .resolve(cookie, &Audience::Access, self.now)
                .ok()
        });
        let body = match self.body.take() {
            None => MessageBody::Empty,
            Some(body) => {
                let max = shared.limits.internal_request_max;
                match body.read_whole(max, &shared.budget).await {
                    Ok((bytes, _)) => MessageBody::Whole(bytes),
                    Err(fault) => {
                        let (status, code) = match fault {
                            BodyFault::TooLarge(_) => {
                                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
                            }
                            BodyFault::Idle
                            | BodyFault::Crowded
                            | BodyFault::Framing(_)
                            | BodyFault::Broken(_)
                            | BodyFault::Upstream(_) => (StatusCode::BAD_REQUEST, "body-broke-off"),
                        };
                        return self.malformed(status, code, None).await;
                    }
                }
            }
        };
        let message = Message {
            application: domain::ApplicationId::from("access"),
            method: self.head.method.clone(),
            path: std::mem::take(&mut self.head.path),
            query: self.head.query.take(),
            headers: std::mem::take(&mut self.head.headers),
            body,
        };
        let Ok(request) = visiting(&message) else {
            return bare(StatusCode::BAD_REQUEST);
        };
        let visit = Visit {
            request,
            cookies: std::mem::take(&mut self.head.cookies),
            session,
            device: self.peer.device.clone(),
            peer: self.peer.address,
            secure: self.peer.secure,
            origin: self.origin.clone(),
            now: self.now,
            permit: None,
        };
        shared.access.endpoint.call(visit).await
    }
}

fn visiting(message: &Message) -> Result<Request<bytes::Bytes>, http::Error> {
    let uri = match &message.query {
        None => http::Uri::try_from(message.path.as_str())?,
        Some(query) => http::Uri::try_from(format!("{}?{query}", message.path))?,
    };
    let body = match &message.body {
        MessageBody::Whole(bytes) => bytes.clone(),
        MessageBody::Empty | MessageBody::Streamed(_) => bytes::Bytes::new(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = message.headers.clone();
    Ok(request)
}

fn console_target(place: &Place, head: &Head) -> Target {
    let below = head
        .path
        .strip_prefix(place.path.trim_end_matches('/'))
        .unwrap_or(&head.path);
    let area = below
        .split('/')
        .find(|segment| !segment.is_empty())
        .unwrap_or("decisions");
    let action = match head.method {
        Method::GET | Method::HEAD => Action::ConsoleView,
        _ => Action::ConsoleChange,
    };
    Target {
        action,
        resource: Resource::Console(ConsoleArea { area: area.into() }),
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|t| t.to_str().ok())
        .is_some_and(|t| {
            t.get(..17)
                .is_some_and(|t| t.eq_ignore_ascii_case("text/event-stream"))
        })
}

/// The obligations that are the gateway's to fulfil.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obliged {
    /// Content is shown, not kept.
    pub(crate) no_download: bool,
    /// A notice goes with it.
    pub(crate) consent_notice: bool,
}

/// What a ruling obliges the gateway to.
pub(crate) fn oblige_of(ruling: &Ruling) -> Obliged {
    Obliged {
        no_download: ruling.obliges("no_download"),
        consent_notice: ruling.obliges("attach_consent_notice"),
    }
}

impl Obliged {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            no_download: self.no_download || other.no_download,
            consent_notice: self.consent_notice || other.consent_notice,
        }
    }

    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if self.no_download {
            headers.insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("inline"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.consent_notice {
            headers.insert(NOTICE, HeaderValue::from_static(CONSENT_NOTICE));
        }
    }
}

fn oblige(ruling: &Ruling, headers: &mut HeaderMap) {
    if !ruling.obligations().is_empty() {
        oblige_of(ruling).apply(headers);
    }
}

/// How long a browser has to come back from the sign-in page.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(600);
