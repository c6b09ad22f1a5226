//! A gateway with a real log, real policies and a real upstream, on real sockets.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses its own part of this"
)]

pub mod wire;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use domain::relation::PatientFacts;
use domain::subject::SubjectKind;
use domain::{
    Aal, ApplicationId, Authentication, Criticality, Device, DeviceId, EnforcementMode, PatientId,
    Person, PersonId, Purpose, SessionId, Timestamp,
};
use gateway::{
    AccessOrigin, Application, ApplicationKind, Body, Clock, Endpoint, Gateway, HttpUpstream,
    Limits, Listener, Parts, PlainPages, Upstream, Visit, full,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use identity::assertion::Signer;
use identity::{Audience, Ceremonies, Codes, Sessions};
use parking_lot::Mutex;
use policy::{ApplicationFacts, PolicyPack, Snapshot};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub const WEB: &str = "intranet.test";
pub const CHART: &str = "chart.test";
pub const CONSOLE: &str = "console.test";
pub const ACCESS: &str = "access.test";
pub const SHADOW: &str = "shadow.test";

pub const PHYSICIAN: &str = "dr-adams";
pub const NURSE: &str = "nurse-brown";
pub const BILLING: &str = "billing-clark";
pub const ADMIN: &str = "it-davis";
pub const FORMER: &str = "left-evans";

/// In the physician's care.
pub const OWN_PATIENT: &str = "p-own";
/// Nobody's here.
pub const OTHER_PATIENT: &str = "p-other";

pub const WORKSTATION: &str = "ward-7-3";
pub const PHONE: &str = "private-phone";

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Records in the log when the request arrived, with all that lay on disk.
    pub durable: u64,
    /// Which of the upstream's connections it came on.
    pub connection: usize,
}

type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Seen, Option<hyper::upgrade::OnUpgrade>) -> Answering + Send + Sync>;

/// An upstream that remembers what it saw.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<AtomicUsize>,
    handler: Arc<Mutex<Handler>>,
}

impl Server {
    pub async fn start(log_dir: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let handler: Handler = Arc::new(|seen, _| {
            Box::pin(async move { text(StatusCode::OK, &format!("{} {}", seen.method, seen.uri)) })
        });
        let handler = Arc::new(Mutex::new(handler));
        let (remember, count, answer) = (seen.clone(), connections.clone(), handler.clone());
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let connection = count.fetch_add(1, Ordering::SeqCst);
                let (remember, answer, log_dir) =
                    (remember.clone(), answer.clone(), log_dir.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let (remember, answer, log_dir) =
                        (remember.clone(), answer.clone(), log_dir.clone());
                    async move {
                        let upgrade = request
                            .extensions_mut()
                            .remove::<hyper::upgrade::OnUpgrade>();
                        let (parts, body) = request.into_parts();
                        let durable = records_on_disk(&log_dir);
                        let body = body
                            .collect()
                            .await
                            .map(http_body_util::Collected::to_bytes)
                            .unwrap_or_default();
                        let seen = Seen {
                            method: parts.method,
                            uri: parts.uri.to_string(),
                            headers: parts.headers,
                            body,
                            durable,
                            connection,
                        };
                        remember.lock().push(seen.clone());
                        let handler = answer.lock().clone();
                        Ok::<_, std::convert::Infallible>(handler(seen, upgrade).await)
                    }
                });
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self {
            address,
            seen,
            connections,
            handler,
        }
    }

    /// Answers from now on as `handler` says.
    pub fn answer<F>(&self, handler: impl Fn(Seen) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        *self.handler.lock() = Arc::new(move |seen, _| Box::pin(handler(seen)));
    }

    /// The same, for upgrades.
    pub fn answer_upgrade<F>(
        &self,
        handler: impl Fn(Seen, Option<hyper::upgrade::OnUpgrade>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        *self.handler.lock() = Arc::new(move |seen, upgrade| Box::pin(handler(seen, upgrade)));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }
}

pub fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    *response.status_mut() = status;
    response
}

pub fn fhir(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/fhir+json"),
    );
    if let Some(version) = body.pointer("/meta/versionId").and_then(|v| v.as_str()) {
        let tag = http::HeaderValue::try_from(format!("W/\"{version}\"")).expect("a tag");
        response.headers_mut().insert(http::header::ETAG, tag);
    }
    response
}

/// Records that lie on disk, as somebody else who opens the folder finds them.
pub fn records_on_disk(dir: &std::path::Path) -> u64 {
    audit::Reader::open(dir).map_or(0, |reader| reader.len())
}

/// Answers inside the program: says who came and with which permit.
struct Inside;

impl Endpoint for Inside {
    fn call(&self, visit: Visit) -> Answering {
        Box::pin(async move {
            if visit.request.uri().path() == "/decisions/live" {
                let (sender, body) = events();
                tokio::spawn(async move {
                    let mut n = 0;
                    while sender
                        .send(Bytes::from(format!("data: {n}\n\n")))
                        .await
                        .is_ok()
                    {
                        n += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
                let mut response = Response::new(body);
                response.headers_mut().insert(
                    http::header::CONTENT_TYPE,
                    http::HeaderValue::from_static("text/event-stream"),
                );
                return response;
            }
            let said = serde_json::json!({
                "path": visit.request.uri().to_string(),
                "method": visit.request.method().as_str(),
                "record": visit.permit.as_ref().map(|p| p.id()),
                "session": visit.session.as_ref().map(|s| s.id().clone()),
                "origin": visit.origin.to_string(),
                "cookies": visit.cookies,
                "body": String::from_utf8_lossy(visit.request.body()),
            });
            text(StatusCode::OK, &said.to_string())
        })
    }
}

/// A body fed through a channel.
pub fn events() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
    (sender, Fed { receiver }.boxed_unsync())
}

struct Fed {
    receiver: tokio::sync::mpsc::Receiver<Bytes>,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = gateway::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, gateway::BoxError>>> {
        self.get_mut()
            .receiver
            .poll_recv(cx)
            .map(|bytes| bytes.map(|b| Ok(http_body::Frame::data(b))))
    }
}

/// The whole scene.
pub struct World {
    pub gateway: Gateway,
    pub sessions: Arc<Sessions>,
    pub codes: Arc<Codes>,
    pub ceremonies: Arc<Ceremonies>,
    pub world: Arc<ArcSwap<Snapshot>>,
    pub log: audit::Log,
    pub log_dir: tempfile::TempDir,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub upstream: Server,
    pub authority: wire::Authority,
    /// Milliseconds that the gateway's clock is ahead of the real one.
    pub ahead: Arc<AtomicI64>,
    pub signer: Arc<Signer>,
    shutdown: Option<oneshot::Sender<()>>,
    pub served: Option<tokio::task::JoinHandle<()>>,
}

pub fn quick() -> Limits {
    Limits {
        handshake: Duration::from_secs(2),
        head: Duration::from_millis(600),
        keep_alive: Duration::from_secs(5),
        body_idle: Duration::from_millis(600),
        upstream_connect: Duration::from_secs(2),
        upstream_first_byte: Duration::from_secs(3),
        upstream_idle: Duration::from_secs(3),
        drain: Duration::from_secs(2),
        ..Limits::default()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(quick()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let log_dir = tempfile::tempdir().expect("a temporary folder");
        let dir = log_dir.path().join("audit");
        let log = audit::Log::open(&dir, audit::Options::default()).expect("a new log");
        let upstream = Server::start(dir).await;
        let world = Arc::new(ArcSwap::from_pointee(snapshot()));
        let sessions = Arc::new(Sessions::new(identity::Limits::default()));
        let codes = Arc::new(Codes::new());
        let ceremonies = Arc::new(Ceremonies::new());
        let key = Signer::generate_pkcs8();
        let signer = Arc::new(
            Signer::from_pkcs8(&key, format!("https://{ACCESS}")).expect("a key of its own"),
        );
        let ahead = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let ahead = ahead.clone();
            Arc::new(move || Timestamp::from_millis(real_ms() + ahead.load(Ordering::SeqCst)))
        };
        let authority = wire::Authority::new(&[WEB, CHART, CONSOLE, ACCESS, SHADOW]);
        let gateway = Gateway::new(Parts {
            applications: applications(&HttpUpstream::plain(upstream.address.to_string())),
            access: AccessOrigin {
                host: ACCESS.to_owned(),
                endpoint: Arc::new(Inside),
            },
            world: world.clone(),
            sessions: sessions.clone(),
            codes: codes.clone(),
            ceremonies: ceremonies.clone(),
            log: log.clone(),
            signer: signer.clone(),
            pages: Arc::new(PlainPages),
            devices: None,
            forwarded_headers: true,
            transport_security_secs: Some(31_536_000),
            limits,
            clock,
        })
        .expect("parts that fit");
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let secure = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (http, https) = (
            plain.local_addr().expect("bound"),
            secure.local_addr().expect("bound"),
        );
        let (shutdown, stop) = oneshot::channel::<()>();
        let listeners = vec![
            Listener {
                socket: plain,
                tls: None,
            },
            Listener {
                socket: secure,
                tls: Some(authority.server_config()),
            },
        ];
        let serving = gateway.clone();
        let served = tokio::spawn(async move {
            serving
                .serve(listeners, async {
                    let _ = stop.await;
                })
                .await;
        });
        Self {
            gateway,
            sessions,
            codes,
            ceremonies,
            world,
            log,
            log_dir,
            http,
            https,
            upstream,
            authority,
            ahead,
            signer,
            shutdown: Some(shutdown),
            served: Some(served),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(real_ms() + self.ahead.load(Ordering::SeqCst))
    }

    pub fn audit_dir(&self) -> PathBuf {
        self.log_dir.path().join("audit")
    }

    /// Signs somebody in at an application and returns the session and the `Cookie` header's value.
    pub fn sign_in(&self, person: &str, application: &str) -> (SessionId, String) {
        self.sign_in_on(person, Some(WORKSTATION), application, Aal::Aal2)
    }

    pub fn sign_in_on(
        &self,
        person: &str,
        device: Option<&str>,
        application: &str,
        level: Aal,
    ) -> (SessionId, String) {
        let now = self.now();
        let authentication = Authentication {
            level,
            phishing_resistant: level > Aal::Aal1,
            at: now,
            last_active: now,
        };
        let purpose = self
            .world
            .load()
            .person(&PersonId::from(person))
            .map_or(Purpose::Treat, |p| policy::default_purpose(p));
        let (session, _) = self.sessions.start(
            PersonId::from(person),
            device.map(DeviceId::from),
            authentication,
            purpose,
            now,
        );
        let audience = Audience::application(&ApplicationId::from(application));
        let secret = self
            .sessions
            .open_application(&session, &audience, now)
            .expect("a session just begun");
        (session, format!("__Host-asepsis={}", secret.reveal()))
    }

    /// The records in the log, oldest first.
    pub fn records(&self) -> VecDeque<audit::Stored> {
        let reader = audit::Reader::open(&self.audit_dir()).expect("a log");
        let len = reader.len();
        reader
            .records(0..len)
            .map(|r| r.expect("a readable record"))
            .collect()
    }

    pub fn records_of(&self, kind: audit::Kind) -> Vec<audit::Stored> {
        self.records()
            .into_iter()
            .filter(|r| r.kind == kind)
            .collect()
    }

    /// Waits until the log holds so many records of a kind.
    pub async fn await_records(&self, kind: audit::Kind, count: usize) -> Vec<audit::Stored> {
        for _ in 0..200 {
            let found = self.records_of(kind);
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {count} records of kind {kind}: {:?}", self.records());
    }

    /// Makes the log refuse everything from now on.
    pub fn fail_log(&self) {
        self.log.clone().close();
    }

    pub fn shut_down(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of a test is the real one"
)]
pub fn real_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("this side of the year 292 million")
}

fn applications(upstream: &HttpUpstream) -> Vec<Application> {
    let http = || Upstream::Http(upstream.clone());
    let rules = |roles: &[&str]| {
        let rule = |name: &str, prefix: &str, roles: Vec<domain::Role>| clinical::web::Rule {
            name: name.into(),
            methods: Vec::new(),
            prefix: prefix.to_owned(),
            roles,
        };
        let admitted = roles.iter().map(|r| domain::Role::from(*r)).collect();
        clinical::web::Rules::new(vec![
            rule("all", "/", Vec::new()),
            rule("admin", "/admin", admitted),
        ])
        .expect("rules that fit")
    };
    let application = |id: &str, host: &str, path: &str, kind, upstream| Application {
        id: ApplicationId::from(id),
        name: id.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        criticality: Criticality::Clinical,
        kind,
        upstream,
    };
    vec![
        application(
            "intranet",
            WEB,
            "/",
            ApplicationKind::Web(rules(&["it_administrator"])),
            http(),
        ),
        application(
            "chart",
            CHART,
            "/",
            ApplicationKind::Web(rules(&[])),
            http(),
        ),
        application(
            "fhir",
            CHART,
            "/fhir",
            ApplicationKind::Fhir {
                base: "/fhir".to_owned(),
            },
            http(),
        ),
        application(
            "shadow",
            SHADOW,
            "/",
            ApplicationKind::Web(rules(&["it_administrator"])),
            http(),
        ),
        application(
            "console",
            CONSOLE,
            "/",
            ApplicationKind::Console,
            Upstream::Internal(Arc::new(Inside)),
        ),
    ]
}

/// People, devices and patients.
pub fn snapshot() -> Snapshot {
    let mut world = Snapshot::new(PolicyPack::hospital());
    let person = |id: &str, role: &str, active: bool| Person {
        id: PersonId::from(id),
        name: id.into(),
        kind: SubjectKind::Workforce,
        roles: vec![domain::Role::from(role)],
        units: vec![domain::UnitId::from("ward-7")],
        active,
        patient: None,
        device: None,
    };
    world.set_person(person(PHYSICIAN, "physician", true));
    world.set_person(person(NURSE, "nurse", true));
    world.set_person(person(BILLING, "billing", true));
    world.set_person(person(ADMIN, "it_administrator", true));
    world.set_person(person(FORMER, "physician", false));
    let device = |id: &str, class: &str, managed: bool| Device {
        id: DeviceId::from(id),
        name: id.into(),
        class: class.into(),
        managed,
        shared: managed,
        compliant: managed.then_some(true),
        unit: managed.then(|| domain::UnitId::from("ward-7")),
        ae_title: None,
    };
    world.set_device(device(WORKSTATION, "workstation", true));
    world.set_device(device(PHONE, "phone", false));
    world.set_patient(
        PatientId::from(OWN_PATIENT),
        PatientFacts {
            unit: Some(domain::UnitId::from("ward-7")),
            care_team: vec![PersonId::from(PHYSICIAN)],
            ..PatientFacts::default()
        },
    );
    world.set_patient(
        PatientId::from(OTHER_PATIENT),
        PatientFacts {
            unit: Some(domain::UnitId::from("ward-9")),
            ..PatientFacts::default()
        },
    );
    for name in ["care_team", "encounter", "directory"] {
        world.set_feed(domain::relation::Feed {
            name: name.into(),
            as_of: Timestamp::from_millis(real_ms()),
            max_age_secs: 86_400,
        });
    }
    for (id, mode) in [
        ("intranet", EnforcementMode::Enforce),
        ("chart", EnforcementMode::Enforce),
        ("fhir", EnforcementMode::Enforce),
        ("console", EnforcementMode::Enforce),
        ("shadow", EnforcementMode::Shadow),
    ] {
        world.set_application(
            ApplicationId::from(id),
            ApplicationFacts {
                mode,
                criticality: Criticality::Clinical,
            },
        );
    }
    world
}

/// Another gateway over the same sessions and log, whose applications lie at `upstream`.
pub async fn second_gateway(world: &World, upstream: SocketAddr) -> (Gateway, SocketAddr) {
    another(world, HttpUpstream::plain(upstream.to_string()), None, None).await
}

/// Another gateway in front of this upstream.
pub async fn gateway_over(world: &World, upstream: HttpUpstream) -> (Gateway, SocketAddr) {
    another(world, upstream, None, None).await
}

/// Another gateway that asks clients for certificates and knows devices by them.
pub async fn gateway_with_devices(
    world: &World,
    devices: gateway::DeviceResolver,
) -> (Gateway, SocketAddr) {
    let tls = world.authority.asking_server_config();
    let upstream = HttpUpstream::plain(world.upstream.address.to_string());
    another(world, upstream, Some(devices), Some(tls)).await
}

async fn another(
    world: &World,
    upstream: HttpUpstream,
    devices: Option<gateway::DeviceResolver>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> (Gateway, SocketAddr) {
    let gateway = Gateway::new(Parts {
        applications: applications(&upstream),
        access: AccessOrigin {
            host: ACCESS.to_owned(),
            endpoint: Arc::new(Inside),
        },
        world: world.world.clone(),
        sessions: world.sessions.clone(),
        codes: world.codes.clone(),
        ceremonies: world.ceremonies.clone(),
        log: world.log.clone(),
        signer: world.signer.clone(),
        pages: Arc::new(PlainPages),
        devices,
        forwarded_headers: true,
        transport_security_secs: None,
        limits: quick(),
        clock: Arc::new(|| Timestamp::from_millis(real_ms())),
    })
    .expect("parts that fit");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    let serving = gateway.clone();
    tokio::spawn(async move {
        serving
            .serve(vec![Listener { socket, tls }], std::future::pending())
            .await;
    });
    (gateway, address)
}
