//! The sign-in origin: where people become somebody who can be judged.
//!
//! Its requests are not judged by policy, so it offers nothing beyond that: signing in and out, the ceremonies that a
//! decision asked for, and looking after one's own passkeys. Nothing is done before it is on record. No page, address
//! or answer here tells who a patient is: what a ceremony is about stays behind its opaque handle.

mod ceremony;
mod passkeys;
mod sign_in;
pub(crate) mod views;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use audit::{Entry, Kind, Log};
use domain::{
    ApplicationId, CanonicalRequest, DeviceId, Outcome, PersonId, RecordId, Target, Timestamp,
};
use gateway::{Body, Endpoint, Visit};
use http::header::CONTENT_TYPE;
use http::{Method, Response, StatusCode};
use identity::assertion::Signer;
use identity::{
    Audience, BrowserHash, Ceremonies, Codes, Invitations, Live, Passkeys, Secret, Sessions,
};
use policy::Snapshot;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use store::Store;

use crate::assets;
use crate::form::{Fields, relative};
use crate::guard::{Tokens, same_origin};
use crate::reading;
use crate::reply::{self, Answer, Refused};
use crate::throttle::Throttle;

pub(crate) use views::strength;

/// Cookie of the session at the sign-in origin.
const SESSION_COOKIE: &str = "__Host-asepsis-access";
/// Cookie that binds a ceremony to one browser.
const BROWSER_COOKIE: &str = "__Host-asepsis-signin";

/// An application as the sign-in origin knows it.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Its identifier.
    pub id: ApplicationId,
    /// Its name for people to read.
    pub name: String,
    /// One sentence about it; may be empty.
    pub about: String,
    /// Public host name.
    pub host: String,
    /// Path below which it lies.
    pub path: String,
    /// Whether people look at its pages. One that only serves data is not listed, and who comes back to it from a
    /// ceremony comes to the front page of its host.
    pub pages: bool,
    /// What opening it means: it is listed for those to whom policy does not simply refuse this.
    pub opens: Option<Target>,
}

/// The sample sign-in of the demo: anybody may come as one of these people, on one of these devices.
#[derive(Clone, Debug)]
pub struct SampleSignIn {
    /// The people.
    pub people: Vec<PersonId>,
    /// The devices.
    pub devices: Vec<DeviceId>,
}

/// What the sign-in origin is told.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    /// The applications behind the gateway.
    pub applications: Vec<Entrance>,
    /// The sample sign-in; only ever for a demo.
    pub sample: Option<SampleSignIn>,
}

/// What the sign-in origin is made of.
pub struct AccessParts {
    /// The world that decisions are made in.
    pub world: Arc<ArcSwap<Snapshot>>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Codes that carry a sign-in to an application.
    pub codes: Arc<Codes>,
    /// Step-ups and emergencies that were offered.
    pub ceremonies: Arc<Ceremonies>,
    /// Passkeys.
    pub passkeys: Arc<Passkeys>,
    /// Invitations.
    pub invitations: Arc<Invitations>,
    /// Signs who asks; its public keys are served here.
    pub signer: Arc<Signer>,
    /// The record.
    pub log: Log,
    /// Where passkeys and invitations are kept.
    pub store: Store,
    /// What it is told.
    pub options: AccessOptions,
}

/// The sign-in origin. An [`Endpoint`] for the gateway's access host.
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    parts: AccessParts,
    tokens: Tokens,
    /// Attempts by address: generous, because a whole hospital may come from one.
    by_address: Throttle<IpAddr>,
    /// Attempts by browser.
    by_browser: Throttle<[u8; 8]>,
}

impl Access {
    /// Puts the parts together.
    pub fn new(parts: AccessParts) -> Self {
        Self {
            shared: Arc::new(Shared {
                parts,
                tokens: Tokens::new(),
                by_address: Throttle::new(100, 100, 10_000),
                by_browser: Throttle::new(20, 3_000, 50_000),
            }),
        }
    }
}

impl Endpoint for Access {
    fn call(&self, visit: Visit) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.answer(visit).await.map(gateway::full) })
    }
}

/// One request and what is known of who sent it.
struct Call {
    visit: Visit,
    /// The session at this origin, if there is one.
    live: Option<Live>,
    /// Text of the browser's transaction cookie: the one it sent, or a fresh one that the answer sets.
    browser: String,
    /// Whether the browser has to be given its cookie.
    fresh_browser: bool,
    /// Origins of the applications, where forms may lead.
    targets: Vec<String>,
}

impl Call {
    fn now(&self) -> Timestamp {
        self.visit.now
    }

    fn path(&self) -> &str {
        self.visit.request.uri().path()
    }

    fn query(&self) -> Result<Fields, Refused> {
        Fields::parse(
            self.visit
                .request
                .uri()
                .query()
                .unwrap_or_default()
                .as_bytes(),
        )
    }

    /// The session, for what only somebody signed in may do.
    fn live(&self) -> Result<&Live, Refused> {
        self.live.as_ref().ok_or(Refused::StaleForm)
    }

    fn browser_hash(&self) -> Result<BrowserHash, Refused> {
        BrowserHash::of_cookie(&self.browser).ok_or(Refused::StaleForm)
    }

    /// What a form's token belongs to: the session, or before there is one, the browser.
    fn whom(&self) -> String {
        match &self.live {
            Some(live) => format!("session {}", live.id().as_str()),
            None => format!("browser {}", self.browser),
        }
    }

    fn page(&self, status: StatusCode, body: maud::Markup) -> Answer {
        reply::page(status, body, &self.targets)
    }

    /// A page that begins a ceremony: the browser is given its cookie.
    fn ceremony_page(&self, status: StatusCode, body: maud::Markup) -> Answer {
        let mut answer = self.page(status, body);
        if self.fresh_browser {
            reply::set_cookie(&mut answer, BROWSER_COOKIE, Some(&self.browser));
        }
        answer
    }
}

/// What scripts of ours send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    token: Option<String>,
    r#return: Option<String>,
    ceremony: Option<String>,
    invitation: Option<String>,
    name: Option<String>,
    credential: Option<Box<RawValue>>,
}

impl Message {
    fn credential(&self) -> Result<&[u8], Refused> {
        self.credential
            .as_ref()
            .map(|c| c.get().as_bytes())
            .ok_or(Refused::Malformed)
    }
}

/// Why a script's request was not served.
enum Trouble {
    Refused(Refused),
    /// A sentence for the person.
    Told(&'static str),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, visit: Visit) -> Answer {
        // Browsers ask for it by this name where a page is no page of ours.
        let path = match visit.request.uri().path() {
            "/favicon.ico" => assets::ICON,
            path => path,
        };
        if matches!(*visit.request.method(), Method::GET | Method::HEAD)
            && let Some(file) =
                assets::serve(path, visit.request.uri().query(), visit.request.headers())
        {
            return file;
        }
        let scripted = is_json(&visit);
        let targets = self.targets(&visit);
        match self.clone().route(visit, targets.clone()).await {
            Ok(answer) => answer,
            Err(refused) if scripted => reply::json_refused(refused),
            Err(refused) => {
                let page = reply::page(refused.status(), views::refused(refused), &targets);
                reply::with_hints(page, refused)
            }
        }
    }

    async fn route(self: Arc<Self>, visit: Visit, targets: Vec<String>) -> Result<Answer, Refused> {
        let method = visit.request.method().clone();
        let path = visit.request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let call = self.call(visit, targets);
        if matches!(method, Method::GET | Method::HEAD) {
            return match segments.as_slice() {
                [] => Ok(self.home(&call)),
                ["enter"] => self.enter(&call),
                ["sign-in"] => self.sign_in_page(&call, StatusCode::OK, None),
                ["signed-out"] => Ok(match &call.live {
                    Some(_) => reply::see_other("/"),
                    None => call.page(StatusCode::OK, views::signed_out()),
                }),
                ["passkeys"] => Ok(self.passkeys_page(&call)),
                ["passkeys", "confirm"] => self.confirm_first(&call),
                ["invitation", link] => self.invitation_page(&call, link),
                ["ceremony", handle] => Ok(self.ceremony_page(&call, handle)),
                [".well-known", "asepsis", "jwks.json"] => Ok(self.jwks()),
                _ if is_posted(&segments) => Err(Refused::Method("POST")),
                _ => Err(Refused::NotFound),
            };
        }
        if method != Method::POST {
            return Err(Refused::Method("GET, HEAD, POST"));
        }
        if !is_posted(&segments) {
            return Err(match segments.as_slice() {
                [] | ["enter" | "sign-in" | "signed-out" | "passkeys"] => {
                    Refused::Method("GET, HEAD")
                }
                _ => Refused::NotFound,
            });
        }
        same_origin(call.visit.request.headers(), &call.visit.origin.to_string())?;
        if is_json(&call.visit) {
            let message: Message = read_json(&call)?;
            self.tokens.check(&call.whom(), message.token.as_deref())?;
            let done = self.scripted(&call, &segments, &message).await;
            return match done {
                Ok(answer) => Ok(answer),
                Err(Trouble::Refused(refused)) => Err(refused),
                Err(Trouble::Told(words)) => Ok(reply::json(
                    StatusCode::FORBIDDEN,
                    &json!({ "error": words }),
                )),
            };
        }
        let fields = Fields::parse(call.visit.request.body())?;
        self.tokens.check(&call.whom(), fields.get("token"))?;
        match segments.as_slice() {
            ["sample", "sign-in"] => self.sample_sign_in(&call, &fields).await,
            ["sample", "step-up"] => self.sample_step_up(&call, &fields).await,
            ["ceremony", handle] => self.break_glass(&call, handle, &fields).await,
            ["passkeys", "remove"] => self.remove_passkey(&call, &fields).await,
            ["passkeys", "rename"] => self.rename_passkey(&call, &fields).await,
            ["sign-out"] => self.sign_out(&call, &fields).await,
            _ => Err(Refused::Malformed),
        }
    }

    async fn scripted(
        &self,
        call: &Call,
        segments: &[&str],
        message: &Message,
    ) -> Result<Answer, Trouble> {
        match segments {
            ["sign-in", "options"] => self.sign_in_options(call),
            ["sign-in", "passkey"] => self.sign_in_with_passkey(call, message).await,
            ["step-up", "options"] => self.step_up_options(call, message),
            ["step-up", "passkey"] => self.step_up_with_passkey(call, message).await,
            ["passkeys", "options"] => self.registration_options(call),
            ["passkeys", "add"] => self.add_passkey(call, message).await,
            ["invitation", "options"] => self.invitation_options(call, message),
            ["invitation", "finish"] => self.finish_invitation(call, message).await,
            _ => Err(Refused::Malformed.into()),
        }
    }

    fn call(&self, visit: Visit, targets: Vec<String>) -> Call {
        let cookie = |name: &str| {
            let mut found = visit.cookies.iter().filter(|(n, _)| n == name);
            // Of two cookies of one name nobody could say which is ours.
            found
                .next()
                .filter(|_| found.next().is_none())
                .map(|(_, v)| v.clone())
        };
        let live = visit.session.clone().or_else(|| {
            let secret = cookie(SESSION_COOKIE)?;
            self.parts
                .sessions
                .resolve(&secret, &Audience::Access, visit.now)
                .ok()
        });
        let known = cookie(BROWSER_COOKIE).filter(|c| Secret::parse(c).is_some());
        Call {
            live,
            fresh_browser: known.is_none(),
            browser: known.unwrap_or_else(|| Secret::generate().reveal()),
            targets,
            visit,
        }
    }

    /// Origins of the applications on the scheme and port that the browser uses.
    fn targets(&self, visit: &Visit) -> Vec<String> {
        let mut hosts: Vec<&str> = self
            .parts
            .options
            .applications
            .iter()
            .map(|a| a.host.as_str())
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
            .into_iter()
            .map(|h| visit.origin.sibling(h).to_string())
            .collect()
    }

    fn token(&self, call: &Call) -> String {
        self.tokens.make(&call.whom())
    }

    fn entrance(&self, id: &ApplicationId) -> Option<&Entrance> {
        self.parts.options.applications.iter().find(|a| a.id == *id)
    }

    fn name_of(&self, person: &PersonId) -> String {
        reading::name_of(&self.parts.world.load(), person)
    }

    /// Counts an attempt, by address and by browser.
    fn attempt(&self, call: &Call) -> Result<(), Refused> {
        let address = match call.visit.peer.ip() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            // Whoever has one address of IPv6 has a whole /64.
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            },
        };
        self.by_address
            .take(address, call.now())
            .map_err(Refused::TooOften)?;
        if let Some(bytes) = call.browser.as_bytes().first_chunk::<8>() {
            self.by_browser
                .take(*bytes, call.now())
                .map_err(Refused::TooOften)?;
        }
        Ok(())
    }

    /// Writes a record and waits for the disk. Nothing is done before.
    async fn record(
        &self,
        at: Timestamp,
        kind: Kind,
        header: Value,
        payload: Value,
    ) -> Result<RecordId, Refused> {
        let header = match header {
            Value::Object(header) => header,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        self.parts
            .log
            .append(Entry {
                at,
                kind,
                header,
                payload: payload.to_string().into_bytes(),
            })
            .await
            .map_err(|error| {
                tracing::error!(%error, "a record of the sign-in origin could not be written");
                Refused::LogFailing
            })
    }

    fn jwks(&self) -> Answer {
        let mut answer = reply::json(StatusCode::OK, &self.parts.signer.jwks());
        answer.headers_mut().insert(
            http::header::CACHE_CONTROL,
            http::HeaderValue::from_static("public, max-age=300"),
        );
        answer
    }

    /// Whether `person` may come in at all.
    fn is_welcome(&self, person: &PersonId) -> bool {
        self.parts
            .world
            .load()
            .person(person)
            .is_some_and(|p| p.active)
    }

    /// Whether policy would simply refuse to open an application to whoever is signed in. Only for drawing a list:
    /// the request itself is judged and recorded when it comes.
    fn is_open_to(&self, live: &Live, entrance: &Entrance, now: Timestamp) -> bool {
        let Some(target) = &entrance.opens else {
            return true;
        };
        let request = CanonicalRequest {
            subject: live.subject(),
            targets: vec![target.clone()],
            context: live.context(now),
            message: None,
        };
        policy::decide(&self.parts.world.load(), request, now).outcome() != Outcome::Deny
    }
}

/// Addresses that take `POST`.
fn is_posted(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["sample", "sign-in" | "step-up"]
            | ["ceremony", _]
            | ["passkeys", "options" | "add" | "remove" | "rename"]
            | ["sign-in" | "step-up", "options" | "passkey"]
            | ["invitation", "options" | "finish"]
            | ["sign-out"]
    )
}

fn is_json(visit: &Visit) -> bool {
    visit
        .request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| {
            let kind = v.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        })
}

fn read_json(call: &Call) -> Result<Message, Refused> {
    let body = call.visit.request.body();
    if body.len() > crate::form::FORM_BYTES_MAX {
        return Err(Refused::TooLarge);
    }
    serde_json::from_slice(body).map_err(|_| Refused::Malformed)
}

/// Where a person goes on at this origin: an address of ours, or home.
fn onward(address: Option<&str>) -> &str {
    address.and_then(relative).unwrap_or("/")
}
