//! The real program in small: gateway, policies, sessions, log and store on a real socket, and a plain browser.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod estate;
#[path = "../../../identity/tests/soft/mod.rs"]
pub(crate) mod soft;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use clinical::web::{Rule, Rules};
use console::{
    Access, AccessOptions, AccessParts, Console, ConsoleParts, Entrance, Live, Notices,
    SampleSignIn, ShownApplication,
};
use domain::relation::PatientFacts;
use domain::resource::ConsoleArea;
use domain::{
    Action, ApplicationId, Criticality, Device, DeviceId, EnforcementMode, PatientId, Person,
    PersonId, Resource, Target, Timestamp,
};
use gateway::{
    AccessOrigin, Application, ApplicationKind, Clock, Gateway, HttpUpstream, Limits, Listener,
    Parts, Upstream,
};
use identity::assertion::Signer;
use identity::{Ceremonies, Codes, Invitations, Passkeys, RelyingParty, Sessions};
use policy::{ApplicationFacts, PolicyPack, Snapshot};
use serde_json::{Value, json};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const RP_ID: &str = "asepsis.localhost";
pub(crate) const NURSE: &str = "n-1";
pub(crate) const ADMIN: &str = "it-1";
pub(crate) const PRIVACY: &str = "po-1";
pub(crate) const GONE: &str = "gone-1";
pub(crate) const WORKSTATION: &str = "ws-1";
/// Words that must never reach somebody who may not know who the patients are.
pub(crate) const PATIENT: &str = "zzpatientzz";
pub(crate) const REASON: &str = "Frau Qqnameqq liegt bewusstlos im Flur";

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) invitations: Arc<Invitations>,
    pub(crate) passkeys: Arc<Passkeys>,
    pub(crate) world: Arc<ArcSwap<Snapshot>>,
    pub(crate) store: Store,
    pub(crate) log: audit::Log,
    pub(crate) live: Live,
    pub(crate) network: Arc<estate::Network>,
    pub(crate) folder: tempfile::TempDir,
    /// Milliseconds that the clock is ahead.
    pub(crate) ahead: Arc<AtomicI64>,
}

fn person(id: &str, name: &str, roles: &[&str], units: &[&str], active: bool) -> Person {
    serde_json::from_value(json!({
        "id": id, "name": name, "roles": roles, "units": units, "active": active
    }))
    .expect("a person")
}

fn snapshot() -> Snapshot {
    let mut world = Snapshot::new(PolicyPack::hospital());
    let mut nurse = person(NURSE, "Nora Nurse <script>", &["nurse"], &["ward-3"], true);
    nurse.patient = Some(PatientId::from("zzownchartzz"));
    world.set_person(nurse);
    world.set_person(person(
        ADMIN,
        "Ada Admin",
        &["it_administrator"],
        &["it"],
        true,
    ));
    world.set_person(person(
        PRIVACY,
        "Pia Privacy",
        &["privacy_officer"],
        &["office"],
        true,
    ));
    world.set_person(person(GONE, "Gus Gone", &["nurse"], &["ward-3"], false));
    let device: Device = serde_json::from_value(json!({
        "id": WORKSTATION, "name": "Ward 3 desk", "class": "workstation", "managed": true,
        "shared": true, "compliant": true, "unit": "ward-3"
    }))
    .expect("a device");
    world.set_device(device);
    let facts: PatientFacts =
        serde_json::from_value(json!({ "unit": "ward-9" })).expect("facts of a patient");
    world.set_patient(PatientId::from(PATIENT), facts);
    for feed in ["care_team", "encounter", "directory"] {
        world.set_feed(domain::relation::Feed {
            name: feed.into(),
            as_of: now_ms().into_timestamp(),
            max_age_secs: 86_400,
        });
    }
    for (id, mode) in [
        ("chart", EnforcementMode::Enforce),
        ("fhir", EnforcementMode::Enforce),
        ("console", EnforcementMode::Enforce),
        ("old", EnforcementMode::Shadow),
    ] {
        let facts = ApplicationFacts {
            mode,
            criticality: Criticality::Clinical,
        };
        world.set_application(ApplicationId::from(id), facts);
    }
    world
}

trait IntoTimestamp {
    fn into_timestamp(self) -> Timestamp;
}

impl IntoTimestamp for i64 {
    fn into_timestamp(self) -> Timestamp {
        Timestamp::from_millis(self)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateway under test runs in real time"
)]
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

pub(crate) fn host(name: &str) -> String {
    format!("{name}.{RP_ID}")
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(true).await
    }

    pub(crate) async fn with(sample: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log_dir = folder.path().join("audit");
        let log = audit::Log::open(&log_dir, audit::Options::default()).expect("a new log");
        let store = Store::open(folder.path().join("store.db")).expect("a new store");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let world = Arc::new(ArcSwap::from_pointee(snapshot()));
        let sessions = Arc::new(Sessions::new(identity::Limits::default()));
        let codes = Arc::new(Codes::new());
        let ceremonies = Arc::new(Ceremonies::new());
        let invitations = Arc::new(Invitations::new());
        let passkeys = Arc::new(
            Passkeys::new(&RelyingParty {
                id: RP_ID.to_owned(),
                name: "Test hospital".to_owned(),
                origins: vec![format!("http://{}:{}", host("access"), address.port())],
            })
            .expect("a relying party"),
        );
        let key = Signer::generate_pkcs8();
        let signer = Arc::new(Signer::from_pkcs8(&key, "http://access").expect("a key"));
        let ahead = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let ahead = ahead.clone();
            Arc::new(move || (now_ms() + ahead.load(Ordering::SeqCst)).into_timestamp())
        };
        let live = Live::new(world.clone());
        let fed = live.clone();
        let _ = log.subscribe(Box::new(move |fresh| fed.feed(fresh)));
        let access = Access::new(AccessParts {
            world: world.clone(),
            sessions: sessions.clone(),
            codes: codes.clone(),
            ceremonies: ceremonies.clone(),
            passkeys: passkeys.clone(),
            invitations: invitations.clone(),
            signer: signer.clone(),
            log: log.clone(),
            store: store.clone(),
            options: AccessOptions {
                applications: entrances(),
                sample: sample.then(|| SampleSignIn {
                    people: [NURSE, ADMIN, PRIVACY, GONE].map(PersonId::from).to_vec(),
                    devices: vec![DeviceId::from(WORKSTATION)],
                }),
            },
        });
        let network = Arc::new(estate::Network::new());
        let console = Console::new(ConsoleParts {
            world: world.clone(),
            sessions: sessions.clone(),
            passkeys: passkeys.clone(),
            log: log.clone(),
            log_dir,
            live: live.clone(),
            applications: ["chart", "fhir", "console", "old"]
                .map(|id| ShownApplication {
                    id: ApplicationId::from(id),
                    name: format!("Application {id}"),
                    place: host(id),
                })
                .to_vec(),
            access_host: host("access"),
            health: Some(Arc::new(|id| {
                (id.as_str() == "chart").then(|| console::Health {
                    good: false,
                    words: "not reachable".to_owned(),
                })
            })),
            estate: Some(network.clone()),
            clock: clock.clone(),
        });
        let gateway = Gateway::new(Parts {
            applications: applications(Arc::new(console)),
            access: AccessOrigin {
                host: host("access"),
                endpoint: Arc::new(access),
            },
            world: world.clone(),
            sessions: sessions.clone(),
            codes,
            ceremonies,
            log: log.clone(),
            signer,
            pages: Arc::new(Notices),
            devices: None,
            forwarded_headers: false,
            transport_security_secs: None,
            limits: Limits::default(),
            clock,
        })
        .expect("parts that fit");
        tokio::spawn(async move {
            let listeners = vec![Listener { socket, tls: None }];
            gateway.serve(listeners, std::future::pending()).await;
        });
        Self {
            address,
            sessions,
            invitations,
            passkeys,
            world,
            store,
            log,
            live,
            network,
            folder,
            ahead,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (now_ms() + self.ahead.load(Ordering::SeqCst)).into_timestamp()
    }

    pub(crate) fn origin(&self, name: &str) -> String {
        format!("http://{}:{}", host(name), self.address.port())
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser {
            address: self.address,
            jars: BTreeMap::new(),
        }
    }

    /// A browser in which somebody is signed in with the sample sign-in.
    pub(crate) async fn signed_in(&self, person: &str) -> Browser {
        let mut browser = self.browser();
        let answer = self.sample(&mut browser, person, "/").await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub(crate) async fn sample(&self, browser: &mut Browser, person: &str, to: &str) -> Answer {
        let page = browser
            .get(&format!("{}/sign-in", self.origin("access")))
            .await;
        let token = page.token();
        let address = format!("{}/sample/sign-in", self.origin("access"));
        let fields = [
            ("token", token.as_str()),
            ("person", person),
            ("device", WORKSTATION),
            ("return", to),
        ];
        browser.post(&address, &fields).await
    }

    /// The answers about devices that are in force.
    pub(crate) fn network_rules(&self) -> Vec<console::estate::Rule> {
        console::estate::Estate::rules(&*self.network)
    }

    /// The newest records of the log.
    pub(crate) fn records(&self) -> Vec<audit::Stored> {
        let dir: PathBuf = self.folder.path().join("audit");
        let reader = audit::Reader::open(&dir).expect("the log's folder");
        let all = 0..reader.len();
        reader.records(all).map(|r| r.expect("readable")).collect()
    }

    pub(crate) fn records_of(&self, kind: audit::Kind) -> Vec<audit::Stored> {
        self.records()
            .into_iter()
            .filter(|r| r.kind == kind)
            .collect()
    }
}

fn area(name: &str) -> Target {
    Target {
        action: Action::ConsoleView,
        resource: Resource::Console(ConsoleArea { area: name.into() }),
    }
}

fn entrances() -> Vec<Entrance> {
    let entrance = |id: &str, at: &str, path: &str, pages: bool, opens| Entrance {
        id: ApplicationId::from(id),
        name: format!("Application {id}"),
        about: String::new(),
        host: host(at),
        path: path.to_owned(),
        pages,
        opens,
    };
    vec![
        entrance("chart", "chart", "/", true, None),
        entrance("fhir", "chart", "/fhir", false, None),
        entrance("console", "console", "/", true, Some(area("decisions"))),
    ]
}

fn applications(console: Arc<Console>) -> Vec<Application> {
    let nowhere = || Upstream::Http(HttpUpstream::plain("127.0.0.1:9"));
    let rules = || {
        Rules::new(vec![Rule {
            name: "all".into(),
            methods: Vec::new(),
            prefix: "/".to_owned(),
            roles: Vec::new(),
        }])
        .expect("one rule")
    };
    let application = |id: &str, at: &str, path: &str, kind, upstream| Application {
        id: ApplicationId::from(id),
        name: format!("Application {id}"),
        host: host(at),
        path: path.to_owned(),
        criticality: Criticality::Clinical,
        kind,
        upstream,
    };
    vec![
        application(
            "chart",
            "chart",
            "/",
            ApplicationKind::Web(rules()),
            nowhere(),
        ),
        application(
            "fhir",
            "chart",
            "/fhir",
            ApplicationKind::Fhir {
                base: "/fhir".to_owned(),
            },
            nowhere(),
        ),
        application(
            "console",
            "console",
            "/",
            ApplicationKind::Console,
            Upstream::Internal(console),
        ),
    ]
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no location: {} {}", self.status, self.body))
    }

    /// The value of the first hidden field `token`, or of the script's fields.
    pub(crate) fn token(&self) -> String {
        let plain = self.body.replace("&quot;", "\"");
        let after = plain
            .split_once("name=\"token\" value=\"")
            .or_else(|| plain.split_once("\"token\":\""))
            .unwrap_or_else(|| panic!("no token in: {plain}"))
            .1;
        after.split('"').next().expect("ends").to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// A browser: cookies by host, exact headers, no redirect followed unless asked.
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) jars: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        let headers = [
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("GET", url, &headers, "").await
    }

    /// Follows redirects, to other hosts as well.
    pub(crate) async fn visit(&mut self, url: &str) -> Answer {
        let mut url = url.to_owned();
        for _ in 0..10 {
            let answer = self.get(&url).await;
            if answer.status != 303 {
                return answer;
            }
            url = absolute(&url, answer.location());
        }
        panic!("too many redirects, the last to {url}");
    }

    pub(crate) async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = origin_of(url);
        let headers = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.post_as(url, fields, &headers).await
    }

    pub(crate) async fn post_as(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut all = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
        ];
        all.extend_from_slice(headers);
        self.send("POST", url, &all, &body).await
    }

    pub(crate) async fn post_json(&mut self, url: &str, body: &Value) -> Answer {
        let origin = origin_of(url);
        let headers = [
            ("content-type", "application/json"),
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", url, &headers, &body.to_string()).await
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut stream = self.open(method, url, headers, body).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes))
            .await
            .unwrap_or_else(|_| panic!("{method} {url} was not answered"))
            .expect("an answer");
        let answer = parse(&bytes);
        self.keep(url, &answer);
        answer
    }

    pub(crate) async fn open(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let origin = origin_of(url);
        let authority = origin.trim_start_matches("http://");
        let path = &url[origin.len()..];
        let path = if path.is_empty() { "/" } else { path };
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(jar) = self.jars.get(authority).filter(|j| !j.is_empty()) {
            let line: Vec<String> = jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
            text.push_str(&format!("cookie: {}\r\n", line.join("; ")));
        }
        if method != "GET" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("the gateway listens");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    fn keep(&mut self, url: &str, answer: &Answer) {
        let origin = origin_of(url);
        let jar = self
            .jars
            .entry(origin.trim_start_matches("http://").to_owned())
            .or_default();
        for (name, value) in &answer.headers {
            if name != "set-cookie" {
                continue;
            }
            let pair = value.split(';').next().unwrap_or_default();
            let (name, text) = pair.split_once('=').expect("a cookie");
            assert!(
                value.contains("HttpOnly") && value.contains("Secure"),
                "{value}"
            );
            if value.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), text.to_owned());
            }
        }
    }
}

pub(crate) fn origin_of(url: &str) -> String {
    let after = url.strip_prefix("http://").expect("plain HTTP in tests");
    let end = after.find('/').unwrap_or(after.len());
    format!("http://{}", &after[..end])
}

pub(crate) fn absolute(base: &str, location: &str) -> String {
    if location.starts_with('/') {
        format!("{}{location}", origin_of(base))
    } else {
        location.to_owned()
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|s| s.parse().ok())
        .expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(": ").or_else(|| l.split_once(':')))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers
        .iter()
        .any(|(n, v)| n == "transfer-encoding" && v.contains("chunked"));
    let body = if chunked {
        unchunked(body)
    } else {
        body.to_vec()
    };
    Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = String::from_utf8_lossy(&body[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}

/// What every page of ours must carry.
pub(crate) fn assert_sealed(answer: &Answer) {
    let policy = answer
        .header("content-security-policy")
        .unwrap_or_else(|| panic!("no policy: {} {:?}", answer.status, answer.headers));
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let html = &answer.body;
    assert!(
        !html.contains(" style=\"") && !html.contains("<style"),
        "inline style"
    );
    assert!(
        !html.contains("<script>") && !html.contains(" onclick"),
        "inline script"
    );
}
