//! Putting the program together: from a plan to a gateway that can serve.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use audit::{Entry, Kind, Log, Reader};
use console::{
    Access, AccessOptions, AccessParts, Console, ConsoleParts, Entrance, Health, Live, Notices,
    SampleSignIn, ShownApplication,
};
use domain::relation::Feed;
use domain::resource::ConsoleArea;
use domain::{
    Action, ApplicationId, Criticality, EnforcementMode, Person, PersonId, Resource, Role, Target,
    Timestamp,
};
use gateway::{
    AccessOrigin, Application, ApplicationKind, Clock, Gateway, HttpUpstream, Parts, Upstream,
    UpstreamTls,
};
use identity::assertion::Signer;
use identity::relations::Relations;
use identity::{
    Ceremonies, Codes, EndCause, InvitationKind, Invitations, Limits, Passkeys, RelyingParty,
    Sessions,
};
use policy::{ApplicationFacts, PolicyPack, Snapshot};
use rustls::ClientConfig;
use serde_json::{Map, Value, json};
use store::{ErrorKind, ImportMode, Setting, Store, StoreError};

use crate::clock;
use crate::config::{self, Config};
use crate::device;
use crate::failure::{Blame, Failure};
use crate::inbox::{Inbox, Letter};
use crate::world::World;

/// How long a one-time link holds.
pub(crate) const INVITATION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Name of the console among the applications.
const CONSOLE: &str = "console";

/// What is to be put together: the same for `up` and `demo`.
pub(crate) struct Plan {
    /// Folder of store, keys and log.
    pub(crate) data: PathBuf,
    /// Host of the sign-in origin.
    pub(crate) access_host: String,
    /// Host of the console.
    pub(crate) console_host: String,
    /// Passkeys' relying party.
    pub(crate) relying_party: RelyingParty,
    /// Name of the log, and issuer of assertions.
    pub(crate) issuer: String,
    /// Session lifetimes.
    pub(crate) sessions: Limits,
    /// Policies in force.
    pub(crate) pack: Arc<PolicyPack>,
    /// What to protect.
    pub(crate) applications: Vec<Protected>,
    /// Sign-in of sample people, in the demo only.
    pub(crate) sample: Option<SampleSignIn>,
    /// Feeds whose age matters, stale until first renewed.
    pub(crate) feeds: Vec<Feed>,
    /// Who may administer before anybody has a passkey.
    pub(crate) administrator: Option<PersonId>,
    /// For how many seconds browsers shall come over TLS only; absent: not said.
    pub(crate) transport_security_secs: Option<u64>,
    /// The devices, if anybody looks at the network.
    pub(crate) estate: Option<Arc<dyn console::estate::Estate>>,
}

/// An application to protect.
pub(crate) struct Protected {
    /// Its identifier.
    pub(crate) id: ApplicationId,
    /// Its name for people.
    pub(crate) name: String,
    /// Its host.
    pub(crate) host: String,
    /// Path below which it lies.
    pub(crate) path: String,
    /// How its requests are understood.
    pub(crate) kind: ApplicationKind,
    /// Where they go.
    pub(crate) upstream: HttpUpstream,
    /// What stops if it stops.
    pub(crate) criticality: Criticality,
    /// Shadow or enforce.
    pub(crate) mode: EnforcementMode,
}

/// The program put together.
pub(crate) struct Assembly {
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// The world it decides in.
    pub(crate) world: World,
    /// The record.
    pub(crate) log: Log,
    store: Store,
    sessions: Arc<Sessions>,
    codes: Arc<Codes>,
    ceremonies: Arc<Ceremonies>,
    passkeys: Arc<Passkeys>,
    invitations: Arc<Invitations>,
    health: Arc<Mutex<BTreeMap<ApplicationId, Health>>>,
    upstreams: Vec<(ApplicationId, String)>,
    inbox: Inbox,
    signer: Arc<Signer>,
    /// A one-time link for the first administrator, if nobody has a passkey yet.
    pub(crate) first_link: Option<String>,
}

/// Path of the log below the data folder.
pub(crate) fn log_dir(data: &Path) -> PathBuf {
    data.join("audit")
}

pub(crate) fn store_path(data: &Path) -> PathBuf {
    data.join("store.sqlite")
}

impl Assembly {
    /// Opens store and log and puts the parts together. Binds nothing.
    pub(crate) fn build(plan: Plan) -> Result<Self, Failure> {
        let now = clock::now();
        create_private_folder(&plan.data).input(format!(
            "cannot use the data folder `{}`",
            plan.data.display()
        ))?;
        let log_dir = log_dir(&plan.data);
        let inbox = Inbox::of(&plan.data);
        let log = Log::open(
            &log_dir,
            audit::Options {
                origin: format!("{}/audit", plan.issuer),
                ..audit::Options::default()
            },
        )
        .input("opening the audit log")?;
        let store = Store::open(store_path(&plan.data)).input("opening the store")?;
        hold_relying_party(&store, &plan.relying_party.id)?;

        let kept = store.load().wait().input("reading the store")?;
        let mut snapshot = Snapshot::new(Arc::clone(&plan.pack));
        publish(
            &mut snapshot,
            Relations {
                people: kept.people,
                devices: kept.devices,
                patients: kept.patients,
                vendor_windows: kept.vendor_windows,
            },
        );
        for feed in &plan.feeds {
            snapshot.set_feed(feed.clone());
        }
        for application in &plan.applications {
            let facts = ApplicationFacts {
                mode: application.mode,
                criticality: application.criticality,
            };
            snapshot.set_application(application.id.clone(), facts);
        }
        snapshot.set_application(
            ApplicationId::new(CONSOLE),
            ApplicationFacts {
                mode: EnforcementMode::Enforce,
                criticality: Criticality::Administrative,
            },
        );
        if let Some(administrator) = &plan.administrator
            && snapshot.person(administrator).is_none()
        {
            snapshot.set_person(first_administrator(administrator));
        }
        let world = World::new(snapshot);

        let sessions = Arc::new(Sessions::new(plan.sessions));
        sessions.import(store.sessions().wait().input("reading sessions")?, now);
        let passkeys = Arc::new(Passkeys::new(&plan.relying_party).input("the relying party")?);
        passkeys.load(kept.passkeys);
        let invitations = Arc::new(Invitations::new());
        invitations.import(kept.invitations, now);
        let codes = Arc::new(Codes::new());
        let ceremonies = Arc::new(Ceremonies::new());
        let signer = Arc::new(signer(&plan.data, &plan.issuer)?);
        let clock: Clock = Arc::new(clock::now);
        let first_link =
            first_link(&plan, &passkeys, &invitations, &store, now).map_err(Failure::Running)?;

        // An ended session must not come back with the next start, and an end that nobody asked for is recorded here:
        // whoever ends one on purpose records it with the reason.
        let (ended_store, ended_log) = (store.clone(), log.clone());
        let ending = Arc::downgrade(&sessions);
        sessions.on_end(move |ended| {
            if let Some(sessions) = ending.upgrade() {
                ended_store.keep_sessions(&sessions).forget();
            }
            if matches!(
                ended.cause,
                EndCause::Idle | EndCause::Expired | EndCause::Displaced
            ) {
                let header = json!({ "session": ended.session, "cause": ended.cause.as_str() });
                drop(ended_log.append(entry(clock::now(), Kind::SessionEnded, header)));
            }
        });

        let live = Live::new(world.cell());
        live.recall(&Reader::open(&log_dir).input("reading the audit log")?);
        let feeding = live.clone();
        log.subscribe(Box::new(move |fresh| feeding.feed(fresh)));
        let health: Arc<Mutex<BTreeMap<ApplicationId, Health>>> = Arc::default();
        let looked_up = Arc::clone(&health);
        let shown: Vec<ShownApplication> = plan
            .applications
            .iter()
            .map(|a| ShownApplication {
                id: a.id.clone(),
                name: a.name.clone(),
                place: if a.path == "/" {
                    a.host.clone()
                } else {
                    format!("{}{}", a.host, a.path)
                },
            })
            .collect();
        let mut entrances: Vec<Entrance> =
            plan.applications.iter().map(Protected::entrance).collect();
        entrances.push(Entrance {
            id: ApplicationId::new(CONSOLE),
            name: "Console".to_owned(),
            about: "Decisions as they are made, sessions, and the record.".to_owned(),
            host: plan.console_host.clone(),
            path: "/".to_owned(),
            pages: true,
            opens: Some(Target {
                action: Action::ConsoleView,
                resource: Resource::Console(ConsoleArea {
                    area: "decisions".into(),
                }),
            }),
        });
        let console = Console::new(ConsoleParts {
            world: world.cell(),
            sessions: Arc::clone(&sessions),
            passkeys: Arc::clone(&passkeys),
            log: log.clone(),
            log_dir,
            live,
            applications: shown,
            access_host: plan.access_host.clone(),
            health: Some(Arc::new(move |id| {
                looked_up
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(id)
                    .cloned()
            })),
            estate: plan.estate.clone(),
            clock: Arc::clone(&clock),
        });
        let access = Arc::new(Access::new(AccessParts {
            world: world.cell(),
            sessions: Arc::clone(&sessions),
            codes: Arc::clone(&codes),
            ceremonies: Arc::clone(&ceremonies),
            passkeys: Arc::clone(&passkeys),
            invitations: Arc::clone(&invitations),
            signer: Arc::clone(&signer),
            store: store.clone(),
            log: log.clone(),
            options: AccessOptions {
                applications: entrances,
                sample: plan.sample,
            },
        }));

        let upstreams = plan
            .applications
            .iter()
            .map(|a| (a.id.clone(), a.upstream.address.clone()))
            .collect();
        let mut applications: Vec<Application> = plan
            .applications
            .into_iter()
            .map(Protected::into_application)
            .collect();
        applications.push(Application {
            id: ApplicationId::new(CONSOLE),
            name: "Console".to_owned(),
            host: plan.console_host,
            path: "/".to_owned(),
            criticality: Criticality::Administrative,
            kind: ApplicationKind::Console,
            upstream: Upstream::Internal(Arc::new(console)),
        });
        let inventory = world.cell();
        let gateway = Gateway::new(Parts {
            applications,
            access: AccessOrigin {
                host: plan.access_host,
                endpoint: access.clone(),
            },
            world: world.cell(),
            sessions: Arc::clone(&sessions),
            codes: Arc::clone(&codes),
            ceremonies: Arc::clone(&ceremonies),
            log: log.clone(),
            signer: Arc::clone(&signer),
            pages: Arc::new(Notices),
            devices: Some(Arc::new(move |certificate| {
                device::named_by(&certificate.der, &inventory.load())
            })),
            forwarded_headers: true,
            transport_security_secs: plan.transport_security_secs,
            limits: gateway::Limits::default(),
            clock,
        })
        .input("the applications")?;
        record_start(&log, &plan.pack, now);
        Ok(Self {
            gateway,
            world,
            log,
            store,
            sessions,
            codes,
            ceremonies,
            passkeys,
            invitations,
            health,
            upstreams,
            inbox,
            signer,
            first_link,
        })
    }

    /// Who signs what the gateway says to upstreams.
    pub(crate) fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// Stores and publishes relations.
    pub(crate) async fn import(&self, relations: Relations) -> Result<(), StoreError> {
        self.take_over(Letter::Relations(relations)).await
    }

    /// Keeps everything up to date while the gateway serves; never returns.
    pub(crate) async fn keep(&self) {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beats = 0_u64;
        let mut was_failing = false;
        loop {
            beat.tick().await;
            self.save_sessions().await;
            self.open_letters().await;
            self.watch_log(&mut was_failing);
            if beats.is_multiple_of(10) {
                self.sweep();
                self.look_at_upstreams().await;
            }
            beats += 1;
        }
    }

    async fn save_sessions(&self) {
        if let Err(error) = self.store.keep_sessions(&self.sessions).await {
            tracing::warn!(%error, "sessions were not saved; trying again");
        }
    }

    /// What `asepsis import` and `asepsis invite` left while the store was ours.
    async fn open_letters(&self) {
        for letter in self.inbox.take() {
            let what = letter.to_string();
            match self.take_over(letter).await {
                Ok(()) => tracing::info!(%what, "took over what was left in the inbox"),
                Err(error) => {
                    tracing::error!(%what, %error, "what was left in the inbox could not be stored")
                }
            }
        }
    }

    /// Stores and publishes.
    async fn take_over(&self, letter: Letter) -> Result<(), StoreError> {
        match letter {
            Letter::Relations(relations) => {
                self.store
                    .import(relations.clone(), ImportMode::Merge)
                    .await?;
                self.world.update(|snapshot| publish(snapshot, relations));
            }
            Letter::Invitation(invitation) => {
                self.store.put_invitation(invitation.clone()).await?;
                self.invitations.import([invitation], clock::now());
            }
        }
        Ok(())
    }

    fn watch_log(&self, was_failing: &mut bool) {
        match self.log.state() {
            audit::State::Failing(reason) if !*was_failing => {
                *was_failing = true;
                tracing::error!(%reason, "the audit log cannot be written: requests are refused until it can");
            }
            audit::State::Ok if *was_failing => {
                *was_failing = false;
                tracing::warn!("the audit log can be written again");
            }
            _ => {}
        }
    }

    fn sweep(&self) {
        let now = clock::now();
        self.sessions.sweep(now);
        self.codes.sweep(now);
        self.ceremonies.sweep(now);
        self.passkeys.sweep(now);
        let gone = self.invitations.sweep(now);
        if !gone.is_empty() {
            self.store.remove_invitations(gone).forget();
        }
    }

    async fn look_at_upstreams(&self) {
        for (id, address) in &self.upstreams {
            let connecting = tokio::net::TcpStream::connect(address.as_str());
            let health = match tokio::time::timeout(Duration::from_secs(2), connecting).await {
                Ok(Ok(_)) => Health {
                    good: true,
                    words: "answers".to_owned(),
                },
                Ok(Err(_)) => Health {
                    good: false,
                    words: "not reachable".to_owned(),
                },
                Err(_) => Health {
                    good: false,
                    words: "does not answer".to_owned(),
                },
            };
            let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            if all
                .insert(id.clone(), health.clone())
                .is_none_or(|h| h.good)
                && !health.good
            {
                tracing::warn!(application = %id, upstream = %address, health = health.words, "an upstream is away");
            }
        }
    }

    /// Writes what is still in memory and closes the log.
    pub(crate) async fn close(self) {
        if let Err(error) = self.store.keep_all_sessions(&self.sessions).await {
            tracing::warn!(%error, "sessions were not saved");
        }
        let stopped = entry(clock::now(), Kind::Stopped, json!({}));
        if let Err(error) = self.log.append(stopped).await {
            tracing::warn!(%error, "the stop was not recorded");
        }
        let log = self.log;
        // Joins a thread that fsyncs; not for the runtime's workers.
        if tokio::task::spawn_blocking(move || log.close())
            .await
            .is_err()
        {
            tracing::error!("closing the audit log failed");
        }
    }
}

impl Protected {
    /// How the sign-in origin lists it: pages are entered at their front, data services are not listed.
    fn entrance(&self) -> Entrance {
        let opens = match &self.kind {
            ApplicationKind::Web(rules) => {
                Some(rules.classify(&self.id, &http::Method::GET, "/", false))
            }
            ApplicationKind::Fhir { .. } | ApplicationKind::Console => None,
        };
        Entrance {
            id: self.id.clone(),
            name: self.name.clone(),
            about: String::new(),
            host: self.host.clone(),
            path: self.path.clone(),
            pages: opens.is_some(),
            opens,
        }
    }

    fn into_application(self) -> Application {
        Application {
            id: self.id,
            name: self.name,
            host: self.host,
            path: self.path,
            criticality: self.criticality,
            kind: self.kind,
            upstream: Upstream::Http(self.upstream),
        }
    }
}

/// The upstream that a configuration names, in the gateway's terms.
pub(crate) fn http_upstream(upstream: &config::Upstream) -> Result<HttpUpstream, Failure> {
    let tls = match &upstream.tls {
        None => None,
        Some(roots) => {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .running("preparing TLS")?
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth();
            Some(UpstreamTls {
                server_name: upstream.host.clone(),
                config: Arc::new(config),
            })
        }
    };
    let host = if upstream.host.contains(':') {
        format!("[{}]", upstream.host)
    } else {
        upstream.host.clone()
    };
    Ok(HttpUpstream {
        address: format!("{host}:{}", upstream.port),
        host: None,
        tls,
    })
}

/// The world as the store holds it, for commands that judge while nothing runs.
pub(crate) fn world_at_rest(config: &Config) -> Result<Snapshot, Failure> {
    let mut snapshot = Snapshot::new(Arc::clone(&config.pack));
    let path = store_path(&config.data);
    if path.exists() {
        let kept = store::read(&path).input("reading the store")?;
        publish(
            &mut snapshot,
            Relations {
                people: kept.people,
                devices: kept.devices,
                patients: kept.patients,
                vendor_windows: kept.vendor_windows,
            },
        );
    }
    for application in &config.applications {
        let facts = ApplicationFacts {
            mode: application.mode,
            criticality: application.criticality,
        };
        snapshot.set_application(application.id.clone(), facts);
    }
    Ok(snapshot)
}

/// Hands something to the store of a configuration: directly, or through the inbox of the Asepsis that holds it.
/// Returns whether it went through the inbox.
pub(crate) fn deliver(config: &Config, letter: Letter) -> Result<bool, Failure> {
    create_private_folder(&config.data).input(format!(
        "cannot use the data folder `{}`",
        config.data.display()
    ))?;
    let store = match Store::open(store_path(&config.data)) {
        Ok(store) => store,
        Err(error) if matches!(error.kind, ErrorKind::Locked) => {
            let inbox = Inbox::of(&config.data);
            inbox
                .put(&letter)
                .running("leaving it for the running Asepsis")?;
            return Ok(true);
        }
        Err(error) => return Err(error).input("opening the store"),
    };
    hold_relying_party(&store, &config.rp_id)?;
    match letter {
        Letter::Relations(relations) => {
            store
                .import(relations, ImportMode::Merge)
                .wait()
                .running("writing the store")?;
        }
        Letter::Invitation(invitation) => {
            store
                .put_invitation(invitation)
                .wait()
                .running("writing the store")?;
        }
    }
    Ok(false)
}

/// The person that `[access] administrator` names, before any import does.
pub(crate) fn first_administrator(id: &PersonId) -> Person {
    Person {
        id: id.clone(),
        name: "First administrator".into(),
        kind: domain::subject::SubjectKind::Workforce,
        roles: vec![Role::new("it_administrator")],
        units: Vec::new(),
        active: true,
        patient: None,
        device: None,
    }
}

fn publish(snapshot: &mut Snapshot, relations: Relations) {
    for person in relations.people {
        if snapshot
            .person(&person.id)
            .is_none_or(|known| **known != person)
        {
            snapshot.set_person(person);
        }
    }
    for device in relations.devices {
        if snapshot
            .device(&device.id)
            .is_none_or(|known| **known != device)
        {
            snapshot.set_device(device);
        }
    }
    for (patient, facts) in relations.patients {
        snapshot.set_patient(patient, facts);
    }
    if !relations.vendor_windows.is_empty() {
        snapshot.set_vendor_windows(relations.vendor_windows);
    }
}

/// Passkeys of one relying party are worthless to another: the store stays with the first.
fn hold_relying_party(store: &Store, rp_id: &str) -> Result<(), Failure> {
    store
        .fix_setting(Setting::RelyingPartyId, rp_id)
        .wait()
        .input("changing the relying party would orphan every passkey")?;
    Ok(())
}

fn first_link(
    plan: &Plan,
    passkeys: &Passkeys,
    invitations: &Invitations,
    store: &Store,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let Some(administrator) = &plan.administrator else {
        return Ok(None);
    };
    if !passkeys.is_empty() {
        return Ok(None);
    }
    let (secret, invitation) = invitations.issue(
        InvitationKind::FirstAdministrator,
        administrator.clone(),
        INVITATION_LIFETIME,
        now,
    );
    store
        .put_invitation(invitation)
        .wait()
        .context("storing the invitation")?;
    Ok(Some(secret.reveal()))
}

fn signer(data: &Path, issuer: &str) -> Result<Signer, Failure> {
    let folder = data.join("keys");
    let path = folder.join("assertion.p8");
    if !path.exists() {
        create_private_folder(&folder).running(format!("creating `{}`", folder.display()))?;
        write_private(&path, &Signer::generate_pkcs8())
            .running(format!("writing `{}`", path.display()))?;
    }
    let key = std::fs::read(&path).input(format!("cannot read the key `{}`", path.display()))?;
    Signer::from_pkcs8(&key, issuer).input(format!("the key `{}`", path.display()))
}

fn create_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let fresh = path.with_extension("new");
    // What an interrupted start may have left.
    match std::fs::remove_file(&fresh) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

fn record_start(log: &Log, pack: &PolicyPack, now: Timestamp) {
    // A log that cannot take these refuses every request too, and says so.
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    drop(log.append(entry(now, Kind::Started, version)));
    let loaded =
        json!({ "pack": pack.name(), "policies": pack.policy_count(), "policy_hash": pack.hash() });
    drop(log.append(entry(now, Kind::PolicyLoaded, loaded)));
    // What was never acknowledged was dropped; that something was under way is said all the same.
    let torn = log.recovery().torn_bytes;
    if torn > 0 {
        let gap = json!({ "code": "unfinished-batch-dropped", "bytes": torn });
        drop(log.append(entry(now, Kind::Gap, gap)));
    }
}

/// An entry without payload. `header` is an object.
fn entry(at: Timestamp, kind: Kind, header: Value) -> Entry {
    let header = match header {
        Value::Object(header) => header,
        _ => Map::new(),
    };
    Entry {
        at,
        kind,
        header,
        payload: Vec::new(),
    }
}
