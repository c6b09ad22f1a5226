//! `asepsis demo`: the real program around a sample hospital, on this machine only.

mod authority;
mod client;
mod tour;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clinical::web;
use console::SampleSignIn;
use domain::{ApplicationId, Criticality, EnforcementMode, PatientId, PersonId};
use gateway::{ApplicationKind, HttpUpstream, Listener};
use identity::assertion::{self, Signer};
use identity::relations::Relations;
use identity::{Limits, RelyingParty};
use policy::PolicyPack;
use sample::{Example, FhirServer, Hospital};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use self::authority::{Authority, DOMAIN};
use self::wire::Wire;
use crate::assembly::{self, Assembly, Plan, Protected};
use crate::cli::{self, Demo};
use crate::clock;
use crate::config::{self, InventoryConfig, RelationsFeed};
use crate::estate::{Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::feed;
use crate::output::{DIM, Output, STRONG};
use crate::server;

/// How often the sample hospital's relations are polled, and from which age on they are stale.
const POLL: Duration = Duration::from_secs(5);
const STALE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: Demo, output: Output) -> Result<ExitCode, Failure> {
    let runtime = server::runtime(args.workers)?;
    runtime.block_on(play(args, output))
}

async fn play(args: Demo, output: Output) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    // The tour may run beside a demo: it takes free ports unless told otherwise.
    let port = |port: u16, default: u16| {
        if args.tour && port == default {
            0
        } else {
            port
        }
    };
    let http = Reserved::new(port(args.http_port, 8080))?;
    let https = Reserved::new(port(args.https_port, 8443))?;
    let (http_port, https_port) = (http.port, https.port);

    let data = Data::open(args.data.as_deref())?;
    let seed = data.seed(args.seed)?;
    let hospital = Arc::new(Hospital::generate(seed, clock::now()));
    let hospital_socket = server::bind(SocketAddr::new(cli::LOOPBACK, 0))
        .await
        .map_err(Failure::Running)?;
    let hospital_address = hospital_socket.local_addr().running("reading an address")?;
    let authority = Authority::create().running("making the demo's certificates")?;
    let ca = data.path.join("ca.pem");

    let relations = RelationsFeed {
        base: config::upstream(&format!("http://{hospital_address}/fhir"), None)
            .map_err(Failure::Running)?,
        every: POLL,
        max_age: STALE,
    };
    let estate = Estate::open(
        Some(&data.path),
        Settings::new(&InventoryConfig::default())?,
    )?;
    let mut plan = plan(
        &args,
        &data.path,
        &hospital,
        hospital_address,
        http_port,
        https_port,
    )?;
    plan.estate = Some(Arc::new(estate.clone()));
    let assembly = tokio::task::spawn_blocking(move || Assembly::build(plan))
        .await
        .running("putting the demo together")??;
    let people = Relations {
        people: hospital.people().to_vec(),
        devices: hospital.devices().to_vec(),
        patients: Vec::new(),
        vendor_windows: hospital.vendor_windows().to_vec(),
    };
    let (leave, left) = watch::channel(false);
    serve_hospital(
        &hospital,
        hospital_socket,
        Arc::clone(assembly.signer()),
        left,
    );
    assembly
        .import(people)
        .await
        .running("writing the sample people")?;
    authority.write(&ca).map_err(Failure::Running)?;
    feed::poll(&relations, &assembly.world, assembly.signer())
        .await
        .map_err(Failure::Running)?;
    tokio::spawn(feed::keep_polling(
        relations,
        assembly.world.clone(),
        Arc::clone(assembly.signer()),
    ));

    // The tour tells of requests; nobody looks at the network meanwhile.
    let wire = if args.tour {
        None
    } else {
        Some(Wire::begin(&hospital, &estate, &data.path).map_err(Failure::Running)?)
    };

    // From here on somebody may come, and finds everything in place that the banner names.
    let listeners = vec![
        Listener {
            socket: http.listen()?,
            tls: None,
        },
        server::tls_listener(https.listen()?, Arc::clone(&authority.server), None)
            .running("preparing TLS")?,
    ];
    let (stop, mut stopped) = watch::channel(false);
    let until_stopped = async move {
        // An error means that the sender is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let story = async {
        if args.tour {
            let stage = tour::Stage {
                address: SocketAddr::new(cli::LOOPBACK, https_port),
                roots: Arc::clone(&authority.roots),
                hospital: &hospital,
                log: &assembly::log_dir(&data.path),
            };
            tour::tell(&stage, output, seed).await.map(Some)
        } else {
            let banner = Banner {
                http_port,
                https_port,
                seed,
                ca: &ca,
                hospital: &hospital,
                took: started.elapsed(),
            };
            banner
                .print(output)
                .map_err(|e| anyhow::anyhow!(e.sentence()))?;
            server::asked_to_stop().await;
            Ok(None)
        }
    };
    let story = async {
        let told = story.await;
        stop.send_replace(true);
        told
    };
    let (told, ()) = tokio::select! {
        both = async { tokio::join!(story, assembly.gateway.serve(listeners, until_stopped)) } => both,
        () = assembly.keep() => (Ok(None), ()),
        () = estate.keep() => (Ok(None), ()),
    };
    drop(wire);
    estate.save()?;
    write_stages(&data.path, &assembly);
    leave.send_replace(true);
    assembly.close().await;
    let told = told.map_err(Failure::Running)?;
    match told {
        None => Ok(ExitCode::SUCCESS),
        Some(told) => tour::conclude(&told, &assembly::log_dir(&data.path), output),
    }
}

/// A port that is ours and where nobody listens yet: whoever tries it is turned away instead of waiting for a demo that
/// is not ready.
struct Reserved {
    socket: TcpSocket,
    port: u16,
}

impl Reserved {
    fn new(port: u16) -> Result<Self, Failure> {
        let wanted = SocketAddr::new(cli::LOOPBACK, port);
        let socket = TcpSocket::new_v4().running("opening a socket")?;
        // As every listener does: the connections of a demo that just ended must not keep the next one away.
        socket.set_reuseaddr(true).running("opening a socket")?;
        socket.bind(wanted).input(format!(
            "cannot listen on {wanted} (hint: is another program listening there, or is the port below 1024?)"
        ))?;
        let port = socket.local_addr().running("reading an address")?.port();
        Ok(Self { socket, port })
    }

    fn listen(self) -> Result<TcpListener, Failure> {
        let port = self.port;
        self.socket
            .listen(1024)
            .input(format!("cannot listen on port {port}"))
    }
}

/// Starts the sample hospital's server. It answers only who shows an assertion of the gateway: going around is refused.
fn serve_hospital(
    hospital: &Hospital,
    socket: TcpListener,
    signer: Arc<Signer>,
    mut left: watch::Receiver<bool>,
) {
    let jwks = signer.jwks();
    let audiences = ["chart", "fhir", feed::AUDIENCE].map(ApplicationId::new);
    let mut options = sample::Options::new(Arc::new(clock::now));
    options.verifier = Some(Arc::new(move |assertion| {
        audiences
            .iter()
            .any(|a| assertion::verify(assertion, &jwks, signer.issuer(), a, clock::now()).is_ok())
    }));
    let fhir = Arc::new(FhirServer::new(hospital, options));
    tokio::spawn(async move {
        let leaving = async move {
            // An error means that the program is gone.
            let _ = left.wait_for(|gone| *gone).await;
        };
        sample::serve(fhir, socket, leaving).await;
    });
}

fn plan(
    args: &Demo,
    data: &Path,
    hospital: &Hospital,
    hospital_address: SocketAddr,
    http_port: u16,
    https_port: u16,
) -> Result<Plan, Failure> {
    let access_host = format!("access.{DOMAIN}");
    let chart_host = format!("chart.{DOMAIN}");
    let rule = |name: &str| web::Rule {
        name: name.into(),
        methods: Vec::new(),
        prefix: "/".to_owned(),
        roles: Vec::new(),
    };
    let upstream = HttpUpstream::plain(hospital_address.to_string());
    let mut applications = vec![
        Protected {
            id: ApplicationId::new("chart"),
            name: "Chart".to_owned(),
            host: chart_host.clone(),
            path: "/".to_owned(),
            kind: ApplicationKind::Web(
                web::Rules::new(vec![rule("chart")]).running("rules of the chart page")?,
            ),
            upstream: upstream.clone(),
            criticality: Criticality::Clinical,
            mode: EnforcementMode::Enforce,
        },
        Protected {
            id: ApplicationId::new("fhir"),
            name: "Health record".to_owned(),
            host: chart_host,
            path: "/fhir".to_owned(),
            kind: ApplicationKind::Fhir {
                base: "/fhir".to_owned(),
            },
            upstream,
            criticality: Criticality::Clinical,
            mode: EnforcementMode::Enforce,
        },
    ];
    for (name, url) in &args.applications {
        let place = format!("--application {name}={url}");
        let address = config::upstream(url, None).input(place.clone())?;
        if !address.path.is_empty() {
            return Err(Failure::input(format!(
                "{place}: give only scheme, host and port"
            )));
        }
        if ["access", "console", "chart", "fhir"].contains(&name.as_str()) {
            return Err(Failure::input(format!(
                "{place}: the sample hospital already has a `{name}`"
            )));
        }
        applications.push(Protected {
            id: ApplicationId::new(name.as_str()),
            name: name.clone(),
            host: format!("{name}.{DOMAIN}"),
            path: "/".to_owned(),
            kind: ApplicationKind::Web(web::Rules::new(vec![rule("everything")]).running("rules")?),
            upstream: assembly::http_upstream(&address)?,
            criticality: Criticality::Business,
            mode: EnforcementMode::Enforce,
        });
    }
    Ok(Plan {
        data: data.to_owned(),
        relying_party: RelyingParty {
            id: DOMAIN.to_owned(),
            name: "Asepsis sample hospital".to_owned(),
            origins: vec![
                format!("http://{access_host}:{http_port}"),
                format!("https://{access_host}:{https_port}"),
            ],
        },
        issuer: format!("https://{access_host}:{https_port}"),
        access_host,
        console_host: format!("console.{DOMAIN}"),
        sessions: Limits::default(),
        pack: PolicyPack::hospital(),
        applications,
        sample: Some(SampleSignIn {
            people: hospital.people().iter().map(|p| p.id.clone()).collect(),
            devices: hospital.devices().iter().map(|d| d.id.clone()).collect(),
        }),
        // The directory was imported, not polled: it cannot become stale.
        feeds: hospital
            .feeds()
            .into_iter()
            .filter(|f| feed::NAMES.contains(&f.name.as_str()))
            .collect(),
        administrator: None,
        estate: None,
        // Browsers also come by plain HTTP here, and a name that is theirs alone must not be spoilt for other programs.
        transport_security_secs: None,
    })
}

/// The folder of a demo: the operator's, or one that goes with the program.
struct Data {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Data {
    fn open(given: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = given {
            std::fs::create_dir_all(path)
                .input(format!("cannot use the data folder `{}`", path.display()))?;
            return Ok(Self {
                path: path.to_owned(),
                _temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix("asepsis-demo-")
            .tempdir()
            .running("making a temporary folder")?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        })
    }

    /// The seed of this folder's hospital: a store knows its people, so it stays with its seed.
    fn seed(&self, given: Option<u64>) -> Result<u64, Failure> {
        let path = self.path.join("seed");
        let kept = match std::fs::read_to_string(&path) {
            Ok(text) => Some(
                text.trim()
                    .parse::<u64>()
                    .input(format!("`{}` holds no number", path.display()))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).input(format!("cannot read `{}`", path.display())),
        };
        match (kept, given) {
            (Some(kept), Some(given)) if kept != given => Err(Failure::input(format!(
                "`{}` holds the sample hospital with seed {kept}, not {given} (hint: leave --seed away, or name another folder)",
                self.path.display()
            ))),
            (Some(kept), _) => Ok(kept),
            (None, given) => {
                let seed =
                    given.unwrap_or_else(|| clock::now().as_millis().unsigned_abs() % 100_000);
                std::fs::write(&path, seed.to_string())
                    .running(format!("writing `{}`", path.display()))?;
                Ok(seed)
            }
        }
    }
}

/// What a person sees when the demo is up.
struct Banner<'a> {
    http_port: u16,
    https_port: u16,
    seed: u64,
    ca: &'a Path,
    hospital: &'a Hospital,
    took: Duration,
}

impl Banner<'_> {
    fn url(&self, host: &str) -> String {
        format!("http://{host}.{DOMAIN}:{}", self.http_port)
    }

    fn name(&self, id: &PersonId) -> String {
        self.hospital
            .person(id)
            .map_or_else(|| id.as_str().to_owned(), |p| p.name.to_string())
    }

    fn patient(&self, id: Option<&PatientId>) -> String {
        id.and_then(|id| self.hospital.patient(id))
            .map_or_else(|| "a patient".to_owned(), |p| p.name.clone())
    }

    fn print(&self, output: Output) -> Result<(), Failure> {
        if output.is_json() {
            return output.json(&json!({
                "ready": true, "seed": self.seed,
                "chart": self.url("chart"), "console": self.url("console"), "access": self.url("access"),
                "https_port": self.https_port, "ca": self.ca,
            }));
        }
        let cast = |example| self.hospital.example(example);
        let (treating, stranger, own, drug) = (
            cast(Example::CareTeam),
            cast(Example::Unrelated),
            cast(Example::OwnChart),
            cast(Example::ControlledMedicine),
        );
        let it = cast(Example::ItAdministrator);
        output.line(&format!(
            "{STRONG}Asepsis{STRONG:#} guards a sample hospital (seed {}, everybody in it is invented). Ready in {:.1} s.\n\n  \
             chart    {STRONG}{}{STRONG:#}\n  console  {STRONG}{}{STRONG:#}\n  sign-in  {}\n\n\
             {DIM}The same over TLS at https://*.{DOMAIN}:{}, certificate authority: {}\n\
             From another machine: ssh -L {}:127.0.0.1:{} THIS-HOST, then open the same addresses there.{DIM:#}\n",
            self.seed,
            self.took.as_secs_f64(),
            self.url("chart"),
            self.url("console"),
            self.url("access"),
            self.https_port,
            self.ca.display(),
            self.http_port,
            self.http_port,
        ))?;
        output.line(&format!(
            "{STRONG}Five things to try{STRONG:#} (sign in with the first button, \"sample sign-in\")\n\
             1. As {} open the chart of {}: a permit.\n\
             2. As {} open the chart of {}: no relation; declare an emergency and see it told to the privacy officer.\n\
             3. As {} look up your own chart: a refusal, in one sentence.\n\
             4. As {} prescribe a controlled medicine for {}: confirm that it is you first.\n\
             5. As {} open the console: each decision as it is made, why, and the log verified. End somebody's session.\n\n\
             {DIM}Ctrl-C ends it.{DIM:#}",
            self.name(&treating.person),
            self.patient(treating.patient.as_ref()),
            self.name(&stranger.person),
            self.patient(stranger.patient.as_ref()),
            self.name(&own.person),
            self.name(&drug.person),
            self.patient(drug.patient.as_ref()),
            self.name(&it.person),
        ))
    }
}

/// Where the time of requests went, for the benchmark.
fn write_stages(data: &Path, assembly: &Assembly) {
    let stages: Vec<_> = assembly
        .gateway
        .stages()
        .iter()
        .map(|s| json!({ "stage": s.stage.as_str(), "samples": s.samples, "mean_us": s.mean_us }))
        .collect();
    let written = serde_json::to_string(&stages)
        .context("stages")
        .and_then(|text| std::fs::write(data.join("stages.json"), text).context("stages"));
    if let Err(error) = written {
        tracing::debug!(error = format!("{error:#}"), "stages were not written");
    }
}
