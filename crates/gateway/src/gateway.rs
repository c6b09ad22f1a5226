//! The gateway as a whole: its parts, its table of hosts, and what its requests share.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use clinical::fhir;
use domain::{ApplicationId, DeviceId, Timestamp};
use http::HeaderValue;
use identity::{Audience, Ceremonies, Codes, Live, Sessions, assertion::Signer};
use policy::Snapshot;

use crate::application::{AccessOrigin, Application, ApplicationKind, Upstream};
use crate::body::Budget;
use crate::endpoint::Endpoint;
use crate::limits::Limits;
use crate::listener::{self, Listener};
use crate::pages::Pages;
use crate::record::Recorder;
use crate::stages::{StageReport, Stages};
use crate::streams::Streams;
use crate::upstream::Pool;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Tells which device of the inventory a client's verified certificate belongs to.
pub type DeviceResolver = Arc<dyn Fn(&ClientCertificate) -> Option<DeviceId> + Send + Sync>;

/// The verified leaf certificate of a client.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The leaf in DER: the first certificate that the client sent, the one whose key it proved to hold.
    pub der: Vec<u8>,
    /// SHA-256 of the DER in lower-case hex.
    pub sha256: String,
}

/// Everything a gateway is made of.
pub struct Parts {
    /// What lies behind it.
    pub applications: Vec<Application>,
    /// The sign-in origin.
    pub access: AccessOrigin,
    /// The world that decisions are made in.
    pub world: Arc<ArcSwap<Snapshot>>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Codes that carry a sign-in from the access origin to an application.
    pub codes: Arc<Codes>,
    /// Step-ups and break-glass forms that were offered.
    pub ceremonies: Arc<Ceremonies>,
    /// The record.
    pub log: audit::Log,
    /// Signs who asks, for upstreams.
    pub signer: Arc<Signer>,
    /// Draws pages for people.
    pub pages: Arc<dyn Pages>,
    /// Knows the devices behind client certificates, if listeners ask for any.
    pub devices: Option<DeviceResolver>,
    /// Whether upstreams are told where a request came from (`X-Forwarded-*`).
    pub forwarded_headers: bool,
    /// For how many seconds browsers shall come over TLS only (`Strict-Transport-Security`, 0: forget it); absent: not said.
    pub transport_security_secs: Option<u64>,
    /// Bounds.
    pub limits: Limits,
    /// Time.
    pub clock: Clock,
}

/// Why the parts make no gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// Two applications would answer at one place.
    #[error(
        "applications `{first}` and `{second}` both lie at `{place}` (give each a host or path of its own)"
    )]
    DuplicatePlace {
        /// Host and path.
        place: String,
        /// The one that came first.
        first: ApplicationId,
        /// The other.
        second: ApplicationId,
    },
    /// Two applications have one name.
    #[error("application `{0}` is listed twice")]
    DuplicateId(ApplicationId),
    /// An application would hide the sign-in pages.
    #[error("application `{0}` has the host of the sign-in origin (give it another host)")]
    AccessHost(ApplicationId),
    /// A host that no request can name.
    #[error(
        "application `{application}`: host `{host}` is not a lower-case host name without port"
    )]
    Host {
        /// The application.
        application: ApplicationId,
        /// Its host.
        host: String,
    },
    /// A path that no canonical request has.
    #[error(
        "application `{application}`: path `{path}` must start with `/` and, but for `/` itself, not end with one"
    )]
    Path {
        /// The application.
        application: ApplicationId,
        /// Its path.
        path: String,
    },
}

/// The policy enforcement point for HTTP. Clones share it.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) sites: HashMap<String, Site>,
    pub(crate) access: AccessOrigin,
    pub(crate) world: Arc<ArcSwap<Snapshot>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) codes: Arc<Codes>,
    pub(crate) ceremonies: Arc<Ceremonies>,
    pub(crate) recorder: Recorder,
    pub(crate) signer: Arc<Signer>,
    pub(crate) pages: Arc<dyn Pages>,
    pub(crate) devices: Option<DeviceResolver>,
    pub(crate) forwarded_headers: bool,
    pub(crate) transport_security: Option<HeaderValue>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Clock,
    pub(crate) streams: Arc<Streams>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stages: Stages,
}

/// A host, and the applications that share it.
pub(crate) struct Site {
    /// The application that gives the host its name in ceremonies and its cookie its audience.
    pub(crate) id: ApplicationId,
    pub(crate) name: String,
    pub(crate) audience: Audience,
    /// Longest path first.
    pub(crate) places: Vec<Place>,
}

/// One application at its place.
pub(crate) struct Place {
    pub(crate) id: ApplicationId,
    /// The [`Site::id`] of its host.
    pub(crate) site: ApplicationId,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) kind: PlaceKind,
    pub(crate) target: Destination,
}

pub(crate) enum PlaceKind {
    Fhir(fhir::Service),
    Web(clinical::web::Rules),
    Console,
}

pub(crate) enum Destination {
    Http {
        pool: Arc<Pool>,
        /// `Host` to send, if it is not the public one.
        host: Option<HeaderValue>,
    },
    Internal(Arc<dyn Endpoint>),
}

impl Site {
    /// The application that a canonical path belongs to.
    pub(crate) fn place(&self, path: &str) -> Option<&Place> {
        self.places.iter().find(|p| covers(&p.path, path))
    }
}

/// Whether `path` lies at or below `prefix`, on a segment boundary.
fn covers(prefix: &str, path: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Result<Self, PartsError> {
        let limits = Arc::new(parts.limits);
        let sites = sites(parts.applications, &parts.access.host, &limits)?;
        let streams = Arc::new(Streams::default());
        let cut = streams.clone();
        parts.sessions.on_end(move |ended| cut.end(&ended.session));
        Ok(Self {
            shared: Arc::new(Shared {
                sites,
                access: parts.access,
                world: parts.world,
                sessions: parts.sessions,
                codes: parts.codes,
                ceremonies: parts.ceremonies,
                recorder: Recorder::new(parts.log, limits.refusals_recorded_per_sec),
                signer: parts.signer,
                pages: parts.pages,
                devices: parts.devices,
                forwarded_headers: parts.forwarded_headers,
                transport_security: parts
                    .transport_security_secs
                    .and_then(|secs| HeaderValue::try_from(format!("max-age={secs}")).ok()),
                budget: Budget::new(limits.buffered_max),
                limits,
                clock: parts.clock,
                streams,
                stages: Stages::default(),
            }),
        })
    }

    /// Serves until `shutdown` resolves, then lets connections finish for as long as the limits allow.
    pub async fn serve(&self, listeners: Vec<Listener>, shutdown: impl Future<Output = ()>) {
        listener::serve(&self.shared, listeners, shutdown).await;
    }

    /// Where the time of requests goes: one request in sixty-four is measured.
    pub fn stages(&self) -> Vec<StageReport> {
        self.shared.stages.report()
    }

    /// Upgraded connections and event streams that are open for signed-in people.
    pub fn open_streams(&self) -> usize {
        self.shared.streams.count()
    }
}

fn sites(
    applications: Vec<Application>,
    access_host: &str,
    limits: &Arc<Limits>,
) -> Result<HashMap<String, Site>, PartsError> {
    let mut sites: HashMap<String, Site> = HashMap::new();
    let mut seen: Vec<ApplicationId> = Vec::new();
    for application in applications {
        if seen.contains(&application.id) {
            return Err(PartsError::DuplicateId(application.id));
        }
        seen.push(application.id.clone());
        if application.host == access_host {
            return Err(PartsError::AccessHost(application.id));
        }
        if !is_host(&application.host) {
            return Err(PartsError::Host {
                application: application.id,
                host: application.host,
            });
        }
        let path = application.path.as_str();
        if !path.starts_with('/') || (path.len() > 1 && path.ends_with('/')) || path.contains("//")
        {
            return Err(PartsError::Path {
                application: application.id,
                path: application.path,
            });
        }
        let host = application.host.clone();
        let place = place(application, limits);
        match sites.entry(host) {
            Slot::Vacant(slot) => {
                slot.insert(Site {
                    id: place.id.clone(),
                    name: place.name.clone(),
                    audience: Audience::application(&place.id),
                    places: vec![place],
                });
            }
            Slot::Occupied(mut slot) => {
                let host = slot.key().clone();
                let site = slot.get_mut();
                if let Some(first) = site.places.iter().find(|p| p.path == place.path) {
                    return Err(PartsError::DuplicatePlace {
                        place: format!("{host}{}", place.path),
                        first: first.id.clone(),
                        second: place.id,
                    });
                }
                site.places.push(place);
                site.places
                    .sort_by(|a, b| b.path.len().cmp(&a.path.len()).then(a.id.cmp(&b.id)));
                if let Some(root) = site.places.last() {
                    site.id = root.id.clone();
                    site.name.clone_from(&root.name);
                    site.audience = Audience::application(&root.id);
                }
            }
        }
    }
    for site in sites.values_mut() {
        for place in &mut site.places {
            place.site = site.id.clone();
        }
    }
    Ok(sites)
}

fn place(application: Application, limits: &Arc<Limits>) -> Place {
    let kind = match application.kind {
        ApplicationKind::Fhir { base } => PlaceKind::Fhir(fhir::Service {
            application: application.id.clone(),
            base,
        }),
        ApplicationKind::Web(rules) => PlaceKind::Web(rules),
        ApplicationKind::Console => PlaceKind::Console,
    };
    let target = match application.upstream {
        Upstream::Http(upstream) => Destination::Http {
            host: upstream
                .host
                .as_deref()
                .and_then(|h| HeaderValue::try_from(h).ok()),
            pool: Pool::new(upstream, limits.clone()),
        },
        Upstream::Internal(endpoint) => Destination::Internal(endpoint),
    };
    Place {
        site: application.id.clone(),
        id: application.id,
        name: application.name,
        path: application.path,
        kind,
        target,
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && !host.ends_with('.')
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What an upstream is told of who asks. Signed anew once a minute.
    pub(crate) fn assertion(
        &self,
        live: &Live,
        application: &ApplicationId,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let world = self.world.load();
        let roles = world
            .person(live.person())
            .map_or(&[][..], |person| person.roles.as_slice());
        let text = self.signer.assertion(live, application, roles, now);
        HeaderValue::try_from(text.as_ref()).ok()
    }

    /// What has to be done from time to time.
    pub(crate) fn maintain(&self) {
        self.recorder.flush(self.now());
        for site in self.sites.values() {
            for place in &site.places {
                if let Destination::Http { pool, .. } = &place.target {
                    pool.sweep();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::HttpUpstream;
    use domain::Criticality;

    fn application(id: &str, host: &str, path: &str) -> Application {
        Application {
            id: ApplicationId::from(id),
            name: id.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            criticality: Criticality::Clinical,
            kind: ApplicationKind::Console,
            upstream: Upstream::Http(HttpUpstream::plain("127.0.0.1:1")),
        }
    }

    fn table(applications: Vec<Application>) -> Result<HashMap<String, Site>, PartsError> {
        sites(applications, "access.example", &Arc::new(Limits::default()))
    }

    #[test]
    fn applications_on_one_host_are_told_apart_by_whole_path_segments() {
        let sites = table(vec![
            application("fhir", "chart.example", "/fhir"),
            application("chart", "chart.example", "/"),
        ])
        .expect("distinct places");
        let site = &sites["chart.example"];
        assert_eq!(site.id.as_str(), "chart");
        let at = |path: &str| site.place(path).map(|p| p.id.as_str().to_owned());
        assert_eq!(at("/fhir/Patient"), Some("fhir".to_owned()));
        assert_eq!(at("/fhir"), Some("fhir".to_owned()));
        assert_eq!(at("/fhirs"), Some("chart".to_owned()));
        assert_eq!(at("/"), Some("chart".to_owned()));
    }

    #[test]
    fn parts_that_contradict_each_other_are_named() {
        let clash = table(vec![
            application("a", "x.example", "/"),
            application("b", "x.example", "/"),
        ]);
        assert!(matches!(clash, Err(PartsError::DuplicatePlace { .. })));
        let hidden = table(vec![application("a", "access.example", "/")]);
        assert!(matches!(hidden, Err(PartsError::AccessHost(_))));
        let host = table(vec![application("a", "X.example:80", "/")]);
        assert!(matches!(host, Err(PartsError::Host { .. })));
        let path = table(vec![application("a", "x.example", "fhir/")]);
        assert!(matches!(path, Err(PartsError::Path { .. })));
        let twice = table(vec![
            application("a", "x.example", "/"),
            application("a", "y.example", "/"),
        ]);
        assert!(matches!(twice, Err(PartsError::DuplicateId(_))));
    }
}
