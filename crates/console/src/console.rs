//! The console: what was decided and why, who is signed in, and whether the record is sound.
//!
//! The gateway judges and records every request for it, like one for any other application. A page comes with the
//! recorded permit, and its obligations bind what is drawn: under `redact_patients` no page holds anything that tells
//! who a patient is.

mod audit_pages;
mod detail;
mod devices;
mod stream;
pub(crate) mod views;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use audit::{Entry, Kind, Log};
use domain::{Action, ApplicationId, Outcome, PersonId, Resource, SessionId};
use gateway::{Body, Clock, Endpoint, Visit};
use http::{Method, Response, StatusCode};
use identity::{Audience, EndCause, Passkeys, Sessions};
use policy::Snapshot;
use serde_json::{Map, json};

use crate::console::audit_pages::Verifier;
use crate::console::views::{ApplicationCard, PersonRow, SessionRow, Setting, Stopped};
use crate::estate::Estate;
use crate::form::Fields;
use crate::guard::{Tokens, same_origin};
use crate::live::{Live, index};
use crate::look;
use crate::reading;
use crate::reply::{self, Answer, Refused};

/// The obligation that hides patients from a page.
const REDACT_PATIENTS: &str = "redact_patients";
/// People drawn on one page.
const PEOPLE_SHOWN_MAX: usize = 500;
/// Sessions drawn on one page.
const SESSIONS_SHOWN_MAX: usize = 500;

/// Whether an application's upstream answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it does.
    pub good: bool,
    /// In two or three words: `answers`, `not reachable` …
    pub words: String,
}

/// Asks for the health of an application; `None`: nobody has looked yet.
pub type HealthCheck = Arc<dyn Fn(&ApplicationId) -> Option<Health> + Send + Sync>;

/// An application as the console shows it.
#[derive(Clone, Debug)]
pub struct ShownApplication {
    /// Its identifier.
    pub id: ApplicationId,
    /// Its name for people to read.
    pub name: String,
    /// Host and path under which people reach it.
    pub place: String,
}

/// What a console is made of.
pub struct ConsoleParts {
    /// The world that decisions are made in.
    pub world: Arc<ArcSwap<Snapshot>>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Passkeys, to be counted.
    pub passkeys: Arc<Passkeys>,
    /// The record.
    pub log: Log,
    /// Its folder, for reading, proofs and verification.
    pub log_dir: PathBuf,
    /// The newest records.
    pub live: Live,
    /// What stands behind the gateway.
    pub applications: Vec<ShownApplication>,
    /// Host of the sign-in origin, which serves the static files.
    pub access_host: String,
    /// Health of upstreams, if somebody watches it.
    pub health: Option<HealthCheck>,
    /// The devices, if anybody looks at the network.
    pub estate: Option<Arc<dyn Estate>>,
    /// Time.
    pub clock: Clock,
}

/// The console. An [`Endpoint`] for an application of kind `Console`.
pub struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    parts: ConsoleParts,
    tokens: Tokens,
    verifier: Arc<Verifier>,
    streams: Arc<tokio::sync::Semaphore>,
    map: devices::Map,
    since: String,
}

impl Console {
    /// Puts the parts together.
    pub fn new(parts: ConsoleParts) -> Self {
        let since = format!("since {} UTC or a little before", words_of((parts.clock)()));
        Self {
            shared: Arc::new(Shared {
                parts,
                tokens: Tokens::new(),
                verifier: Arc::default(),
                streams: Arc::new(tokio::sync::Semaphore::new(stream::STREAMS_MAX)),
                map: devices::Map::default(),
                since,
            }),
        }
    }
}

fn words_of(at: domain::Timestamp) -> String {
    at.to_string()
        .get(..16)
        .unwrap_or_default()
        .replace('T', " ")
}

impl Endpoint for Console {
    fn call(&self, visit: Visit) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.answer(visit).await })
    }
}

/// One request, after it was found that its permit is for what it asks.
struct Request {
    visit: Visit,
    name: String,
    person: PersonId,
    session: Option<SessionId>,
    redacted: bool,
    files: String,
    token: String,
    fields: Fields,
}

impl Request {
    fn setting(&self) -> Setting<'_> {
        Setting {
            name: &self.name,
            files: &self.files,
            redacted: self.redacted,
            token: &self.token,
            now: self.visit.now,
        }
    }
}

/// What a page ends in.
enum Done {
    Whole(Answer),
    Streamed(Response<Body>),
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, visit: Visit) -> Response<Body> {
        let files = visit.origin.sibling(&self.parts.access_host).to_string();
        let mut response = match self.clone().route(visit, &files).await {
            Ok(Done::Whole(answer)) => answer.map(gateway::full),
            Ok(Done::Streamed(response)) => response,
            Err(refused) => {
                let setting = Setting {
                    name: "",
                    files: &files,
                    redacted: true,
                    token: "",
                    now: (self.parts.clock)(),
                };
                let (title, words) = refused.words();
                let page = views::notice(&setting, "", title, words);
                reply::with_hints(reply::page(refused.status(), page, &[]), refused)
                    .map(gateway::full)
            }
        };
        reply::seal_console(response.headers_mut(), &files);
        response
    }

    async fn route(self: Arc<Self>, visit: Visit, files: &str) -> Result<Done, Refused> {
        let path = visit.request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let area = segments.first().copied().unwrap_or("decisions").to_owned();
        let method = visit.request.method().clone();
        let looks = matches!(method, Method::GET | Method::HEAD);
        let request = self.admit(visit, &area, looks, files)?;
        match segments.as_slice() {
            [] | ["decisions"] if looks => Ok(self.decisions(&request).into()),
            ["decisions", "stream"] if looks => stream::open(&self, &request).map(Done::Streamed),
            ["decisions", record] if looks => {
                let record = number(record)?;
                detail::page(&self, &request, record).await.map(Done::Whole)
            }
            ["applications"] if looks => Ok(self.applications(&request).into()),
            ["people"] if looks => Ok(self.people(&request).into()),
            ["sessions"] if looks => Ok(self.sessions(&request).into()),
            ["sessions", "end"] if !looks => self.end_session(&request).await.map(Done::Whole),
            ["audit", rest @ ..] if looks => audit_pages::route(&self, &request, rest)
                .await
                .map(Done::Whole),
            ["devices", "stream"] if looks => devices::stream(&self, &request).map(Done::Streamed),
            ["devices", rest @ ..] if looks => {
                devices::look(&self, &request, rest).await.map(Done::Whole)
            }
            ["devices", rest @ ..] => devices::change(&self, &request, rest)
                .await
                .map(Done::Whole),
            ["sessions", "end"] => Err(Refused::Method("POST")),
            []
            | [
                "decisions" | "applications" | "people" | "sessions" | "audit",
                ..,
            ] if !looks => Err(Refused::Method("GET, HEAD")),
            _ => Err(Refused::NotFound),
        }
    }

    /// Takes a request only if its recorded permit is for this part of the console.
    ///
    /// The gateway has seen to that already; a mistake in how an application is configured must not open a page.
    fn admit(
        &self,
        visit: Visit,
        area: &str,
        looks: bool,
        files: &str,
    ) -> Result<Request, Refused> {
        let permit = visit.permit.as_ref().ok_or(Refused::NotFound)?.permit();
        let action = if looks {
            Action::ConsoleView
        } else {
            Action::ConsoleChange
        };
        let fits = !permit.request().targets.is_empty()
            && permit.request().targets.iter().all(|t| {
                t.action == action
                    && matches!(&t.resource, Resource::Console(place) if place.area == area)
            });
        if !fits {
            return Err(Refused::NotFound);
        }
        let subject = &permit.request().subject;
        let person = subject.person.clone();
        let session = subject.session.clone();
        let redacted = permit.ruling().obliges(REDACT_PATIENTS);
        let whom = session.as_ref().map_or("", SessionId::as_str);
        let fields = if looks {
            Fields::parse(visit.request.uri().query().unwrap_or_default().as_bytes())?
        } else {
            same_origin(visit.request.headers(), &visit.origin.to_string())?;
            let fields = Fields::parse(visit.request.body())?;
            self.tokens.check(whom, fields.get("token"))?;
            fields
        };
        Ok(Request {
            name: reading::name_of(&self.parts.world.load(), &person),
            token: self.tokens.make(whom),
            person,
            session,
            redacted,
            files: files.to_owned(),
            fields,
            visit,
        })
    }

    fn decisions(&self, request: &Request) -> Answer {
        let world = self.parts.world.load();
        let filter = stream::Filter::of(&request.fields);
        let (seen, cursor) = self
            .parts
            .live
            .newest(stream::ROWS_FIRST, |s| filter.keeps(s, &world));
        let rows = views::rows(seen.iter().map(|s| reading::row(s, &world)).collect(), true);
        let mut applications: Vec<String> = self
            .parts
            .applications
            .iter()
            .map(|a| a.id.as_str().to_owned())
            .collect();
        applications.sort();
        let mut units: Vec<String> = world
            .people()
            .flat_map(|p| p.units.iter().map(|u| u.as_str().to_owned()))
            .collect();
        units.sort();
        units.dedup();
        let filters = filter.shown(applications, units);
        let address = filter.stream_address(cursor);
        page(views::decisions(
            &request.setting(),
            &filters,
            &rows,
            &address,
        ))
    }

    fn applications(&self, request: &Request) -> Answer {
        let world = self.parts.world.load();
        let tally = self.parts.live.tally();
        let cards: Vec<ApplicationCard> = self
            .parts
            .applications
            .iter()
            .map(|application| {
                let counts = tally.applications.get(application.id.as_str());
                let facts = world.application(&application.id);
                let stopped = counts.map(|c| &c.stopped).into_iter().flatten();
                ApplicationCard {
                    name: application.name.clone(),
                    address: application.place.clone(),
                    // An application that the snapshot does not know is enforced: refusals stop it.
                    mode: facts.map_or(domain::EnforcementMode::Enforce, |f| f.mode),
                    criticality: facts
                        .and_then(|f| serde_json::to_value(f.criticality).ok())
                        .and_then(|v| v.as_str().map(str::to_owned))
                        .unwrap_or_else(|| "criticality not known".to_owned()),
                    health: self
                        .parts
                        .health
                        .as_ref()
                        .and_then(|check| check(&application.id))
                        .map(|h| (h.words, h.good)),
                    counts: [
                        Outcome::Permit,
                        Outcome::StepUp,
                        Outcome::BreakGlass,
                        Outcome::Deny,
                    ]
                    .into_iter()
                    .map(|o| (o, counts.map_or(0, |c| c.outcomes[index(o)])))
                    .collect(),
                    stopped: stopped
                        .map(|(unit, s)| Stopped {
                            unit: unit.clone(),
                            people: s.people(),
                            step_up: s.outcomes[index(Outcome::StepUp)],
                            break_glass: s.outcomes[index(Outcome::BreakGlass)],
                            deny: s.outcomes[index(Outcome::Deny)],
                        })
                        .collect(),
                }
            })
            .collect();
        page(views::applications(&request.setting(), &cards, &self.since))
    }

    fn people(&self, request: &Request) -> Answer {
        let world = self.parts.world.load();
        let query = request.fields.get("q").unwrap_or_default().trim();
        let wanted = query.to_lowercase();
        let sessions = self.parts.sessions.list(request.visit.now);
        let mut people: Vec<_> = world
            .people()
            .filter(|p| {
                wanted.is_empty()
                    || p.name.to_lowercase().contains(&wanted)
                    || p.id.as_str().to_lowercase() == wanted
                    || p.roles
                        .iter()
                        .any(|r| r.as_str().to_lowercase().contains(&wanted))
                    || p.units
                        .iter()
                        .any(|u| u.as_str().to_lowercase().contains(&wanted))
            })
            .collect();
        let total = people.len();
        people.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let rows: Vec<PersonRow> = people
            .into_iter()
            .take(PEOPLE_SHOWN_MAX)
            .map(|p| PersonRow {
                id: p.id.as_str().to_owned(),
                name: if p.name.is_empty() {
                    p.id.as_str().to_owned()
                } else {
                    p.name.to_string()
                },
                roles: joined(p.roles.iter().map(domain::Role::as_str)),
                units: joined(p.units.iter().map(domain::UnitId::as_str)),
                active: p.active,
                passkeys: self.parts.passkeys.of(&p.id).len(),
                sessions: sessions.iter().filter(|s| s.person == p.id).count(),
            })
            .collect();
        page(views::people(&request.setting(), &rows, total, query))
    }

    fn sessions(&self, request: &Request) -> Answer {
        let told = match request.fields.get("told") {
            Some("ended") => {
                Some("The session was ended. Whoever used it is signed out everywhere.")
            }
            Some("over") => Some("That session was over already."),
            _ => None,
        };
        let world = self.parts.world.load();
        let rows: Vec<SessionRow> = self
            .parts
            .sessions
            .list(request.visit.now)
            .into_iter()
            .take(SESSIONS_SHOWN_MAX)
            .map(|s| {
                let person = world.person(&s.person);
                let device = s.device.as_ref().map(|d| match world.device(d) {
                    Some(known) if !known.name.is_empty() => known.name.to_string(),
                    Some(_) | None => d.as_str().to_owned(),
                });
                SessionRow {
                    id: s.id.as_str().to_owned(),
                    name: reading::name_of(&world, &s.person),
                    roles: person
                        .map(|p| joined(p.roles.iter().map(domain::Role::as_str)))
                        .unwrap_or_default(),
                    device: device.unwrap_or_else(|| "unknown device".to_owned()),
                    strength: crate::access::strength(
                        s.authentication.level,
                        s.authentication.phishing_resistant,
                    )
                    .to_owned(),
                    proved: s.authentication.at,
                    last_active: s.authentication.last_active,
                    ends: s.ends,
                    emergency: s.grants > 0,
                    applications: s
                        .audiences
                        .iter()
                        .filter_map(|a| match a {
                            Audience::Access => None,
                            Audience::Application(id) => Some(id.as_str()),
                        })
                        .collect::<Vec<_>>()
                        .join(", "),
                    own: request.session.as_ref() == Some(&s.id),
                }
            })
            .collect();
        page(views::sessions(&request.setting(), &rows, told))
    }

    /// Ends a session: recorded first, then done, in effect with the very next request.
    async fn end_session(&self, request: &Request) -> Result<Answer, Refused> {
        let id = SessionId::new(request.fields.get("session").ok_or(Refused::Malformed)?);
        let now = request.visit.now;
        let Some(view) = self.parts.sessions.view(&id, now) else {
            return Ok(reply::see_other("/sessions?told=over"));
        };
        let mut header = Map::new();
        header.insert("session".to_owned(), id.as_str().into());
        header.insert("cause".to_owned(), EndCause::Administrator.as_str().into());
        if let Some(by) = &request.session {
            header.insert("by_session".to_owned(), by.as_str().into());
        }
        let payload = json!({ "person": view.person, "device": view.device, "by": request.person });
        self.parts
            .log
            .append(Entry {
                at: now,
                kind: Kind::SessionEnded,
                header,
                payload: payload.to_string().into_bytes(),
            })
            .await
            .map_err(|_| Refused::LogFailing)?;
        let was_there = self
            .parts
            .sessions
            .end_because(&id, EndCause::Administrator);
        Ok(reply::see_other(if was_there {
            "/sessions?told=ended"
        } else {
            "/sessions?told=over"
        }))
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = words.map(look::plain).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

fn number(text: &str) -> Result<u64, Refused> {
    let digits = !text.is_empty() && text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(Refused::NotFound)
}

fn page(body: maud::Markup) -> Answer {
    reply::page(StatusCode::OK, body, &[])
}

/// Runs work that reads files away from the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refused::Unavailable)
}
