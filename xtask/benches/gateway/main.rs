//! The gateway beside nginx as a plain TLS reverse proxy and beside nginx with `auth_request` and a real endpoint.
//!
//! A fourth side, hyper alone, shows the floor of the parts that ours is built from.
//!
//! One worker each, the same certificate type, the same upstream, the same load by `wrk`, turn by turn. What counts is
//! the CPU time of all processes of a side for 100,000 requests: throughput on a machine that also runs the load
//! generator and the upstream says less. Ours judges and records each request meanwhile; nginx does neither.
//!
//! Started by `cargo xtask bench gateway`.

mod bare;
mod endpoint;
mod https;
mod nginx;
mod ours;
mod page;
mod report;
mod running;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use xtask::packages::program;
use xtask::process::Process;
use xtask::workspace::say;
use xtask::wrk::{self, Load, Wrk};

use crate::https::{Handshake, Visitor};
use crate::nginx::{CONTENT_BYTES, Certificate, Nginx};
use crate::ours::{APPLICATION, Demo};
use crate::report::{Mode, Report, Sample, Side};
use crate::running::{free_ports, output, ready};

/// Connections at the same time, where nothing else is said.
const CONNECTIONS: u32 = 64;

/// How many writers wait for durable records.
const WRITERS: [u32; 3] = [1, 16, 64];

/// How long each side runs before the first measured round.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(name = "gateway", about = "The gateway beside nginx")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// Seconds of each measured load
    #[arg(long, default_value_t = 5)]
    seconds: u64,

    /// Rounds; each side has its turn in every round, and the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u64,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The endpoint that nginx asks
    #[command(hide = true)]
    AuthEndpoint {
        /// Where it listens
        #[arg(long)]
        port: u16,
        /// The session that may pass
        #[arg(long)]
        secret: String,
    },
    /// hyper and rustls alone
    #[command(hide = true)]
    BareProxy {
        /// Where it listens
        #[arg(long)]
        port: u16,
        /// The port of the upstream
        #[arg(long)]
        upstream: u16,
        /// The certificate
        #[arg(long)]
        chain: PathBuf,
        /// Its key
        #[arg(long)]
        key: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.part {
        Some(Part::AuthEndpoint { port, secret }) => endpoint::serve(*port, secret),
        Some(Part::BareProxy {
            port,
            upstream,
            chain,
            key,
        }) => bare::serve(*port, *upstream, chain, key),
        // `cargo test --benches` starts benchmarks too; a measurement of minutes is not what it wants.
        None if !arguments.bench => {
            say("this is a benchmark: run `cargo xtask bench gateway`");
            Ok(())
        }
        None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let report = runtime.block_on(async {
        // Whatever ends the measurement drops its guards, and they end every process that it started.
        tokio::select! {
            report = measure(arguments) => report,
            end = interrupted() => Err(end),
        }
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.table()?).context("cannot print")?;
    if arguments.format == Format::Json {
        writeln!(out, "{}", report.json()?).context("cannot print")?;
    }
    Ok(())
}

/// Returns when somebody wants the end: a signal, or the death of the cargo that started us.
async fn interrupted() -> anyhow::Error {
    let parent = rustix::process::getppid();
    let orphaned = async {
        while rustix::process::getppid() == parent {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (interrupt, terminate) = match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => {
            return anyhow::Error::new(error).context("cannot listen to signals");
        }
    };
    let (mut interrupt, mut terminate) = (interrupt, terminate);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = orphaned => {}
    }
    anyhow::anyhow!("interrupted")
}

/// One side, ready for its load.
#[derive(Debug)]
struct Ready<'a> {
    port: u16,
    authority: PathBuf,
    /// The session, as a `Cookie` header.
    cookie: String,
    /// Every process whose CPU time counts for this side.
    processes: Vec<&'a Process>,
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let nginx =
        program("nginx").context("`nginx` is missing; hint: run `cargo xtask bench gateway`")?;
    let wrk = program("wrk").context("`wrk` is missing; hint: run `cargo xtask bench gateway`")?;
    let asepsis = ours::build().await?;

    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let wrk = Wrk::new(wrk, folder.path())?;
    let host = format!("{APPLICATION}.asepsis.localhost");
    let certificate = Certificate::make(folder.path(), &host)?;
    let nginx = Nginx {
        program: &nginx,
        folder: folder.path(),
    };
    let [
        upstream_port,
        plain_port,
        asking_port,
        endpoint_port,
        bare_port,
        http_port,
        https_port,
    ] = free_ports()?;

    let mut upstream = nginx.upstream(upstream_port)?;
    ready(
        &mut upstream,
        upstream_port,
        || true,
        || nginx.log("upstream"),
    )
    .await?;
    let mut plain = nginx.proxy(plain_port, upstream_port, &certificate)?;
    ready(&mut plain, plain_port, || true, || nginx.log("nginx")).await?;
    let secret = secret()?;
    let mut endpoint = auth_endpoint(endpoint_port, &secret)?;
    ready(&mut endpoint, endpoint_port, || true, String::new).await?;
    let mut asking = nginx.asking_proxy(asking_port, upstream_port, endpoint_port, &certificate)?;
    ready(
        &mut asking,
        asking_port,
        || true,
        || nginx.log("nginx-auth-request"),
    )
    .await?;
    let mut bare = bare_proxy(bare_port, upstream_port, &certificate)?;
    ready(&mut bare, bare_port, || true, String::new).await?;
    let mut demo = Demo::start(
        &asepsis,
        folder.path(),
        (http_port, https_port),
        upstream_port,
    )?;
    let log = demo.log.clone();
    // It listens first and writes its authority then.
    let authority = demo.authority();
    ready(
        &mut demo.process,
        https_port,
        || authority.is_file(),
        || ours::read(&log),
    )
    .await?;
    let our_cookie = demo
        .sign_in(&host)
        .await
        .with_context(|| format!("asepsis said:\n{}", ours::read(&log).trim()))?;

    let their_cookie = format!("{}={secret}", endpoint::COOKIE);
    let their = |port, processes| Ready {
        port,
        authority: certificate.authority.clone(),
        cookie: their_cookie.clone(),
        processes,
    };
    let sides = BTreeMap::from([
        (Side::Nginx, their(plain_port, vec![&plain])),
        (
            Side::AuthRequest,
            their(asking_port, vec![&asking, &endpoint]),
        ),
        (Side::Bare, their(bare_port, vec![&bare])),
        (
            Side::Ours,
            Ready {
                port: https_port,
                authority,
                cookie: our_cookie,
                processes: vec![&demo.process],
            },
        ),
    ]);

    let mut report = Report {
        machine: machine(arguments),
        ..Report::default()
    };
    report.handshake = Some(same_handshake(&sides, &host).await?);
    let mut our_requests = 0.0;
    for round in 0..=arguments.rounds {
        let (duration, measured) = if round == 0 {
            (WARM_UP, false)
        } else {
            (Duration::from_secs(arguments.seconds), true)
        };
        say(&if measured {
            format!("round {round} of {}", arguments.rounds)
        } else {
            "warming up".to_owned()
        });
        for (mode, side) in schedule() {
            let ready = &sides[&side];
            let (sample, requests) = load(&wrk, mode, ready, &host, duration)
                .await
                .with_context(|| {
                    format!("{} failed under the load `{}`", side.words(), mode.words())
                })?;
            if side == Side::Ours {
                our_requests += requests;
            }
            if measured {
                say(&Report::progress(mode, side, &sample));
                report.samples.entry((mode, side)).or_default().push(sample);
            }
        }
    }
    drop(sides);

    report.stages = demo.stop();
    let records = demo.verify().await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "records of one benchmark are far below 2^52"
    )]
    let complete = records as f64 >= our_requests;
    ensure!(
        complete,
        "the audit log holds {records} records, fewer than the {our_requests} requests that were answered"
    );
    report.records = Some((records, our_requests));
    Ok(report)
}

/// The loads of one round. The sides take turns, so that a slower minute of the machine meets all of them.
fn schedule() -> Vec<(Mode, Side)> {
    let both = [Mode::KeepAlive, Mode::NewConnections]
        .into_iter()
        .flat_map(|mode| Side::ALL.map(|side| (mode, side)));
    both.chain(WRITERS.map(|connections| (Mode::Durable(connections), Side::Ours)))
        .collect()
}

async fn load(
    wrk: &Wrk,
    mode: Mode,
    side: &Ready<'_>,
    host: &str,
    duration: Duration,
) -> Result<(Sample, f64)> {
    let mut headers = vec![("Cookie".to_owned(), side.cookie.clone())];
    let (method, connections) = match mode {
        Mode::KeepAlive => ("GET", CONNECTIONS),
        Mode::NewConnections => {
            headers.push(("Connection".into(), "close".into()));
            ("GET", CONNECTIONS)
        }
        Mode::Durable(connections) => {
            // What a browser adds to a write by a page of the same origin.
            headers.push(("Origin".into(), format!("https://{host}:{}", side.port)));
            headers.push(("Sec-Fetch-Site".into(), "same-origin".into()));
            ("POST", connections)
        }
    };
    let load = Load {
        url: format!("https://{host}:{}/page", side.port),
        method,
        headers,
        connections,
        duration,
    };

    let (before, threads_before) = (cpu_seconds(side)?, by_thread(side)?);
    let (status, printed) = output("wrk", wrk.command(&load).stderr(Stdio::piped())).await?;
    let (used, threads) = (cpu_seconds(side)? - before, by_thread(side)?);
    ensure!(
        status.success(),
        "`wrk` ended with {status} and said: {}",
        printed.trim()
    );
    let figures = wrk::read(&printed)?;
    figures.check(CONTENT_BYTES)?;
    let sample = Sample {
        requests_per_second: figures.requests / figures.seconds,
        cpu_seconds: used / figures.requests * 1e5,
        threads: threads
            .into_iter()
            .map(|(name, after)| {
                let used = after - threads_before.get(&name).copied().unwrap_or_default();
                (name, used / figures.requests * 1e5)
            })
            .collect(),
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
    };
    Ok((sample, figures.requests))
}

fn cpu_seconds(side: &Ready<'_>) -> Result<f64> {
    side.processes
        .iter()
        .map(|process| process.cpu_seconds())
        .sum()
}

fn by_thread(side: &Ready<'_>) -> Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for process in &side.processes {
        for (name, seconds) in process.cpu_seconds_by_thread()? {
            *all.entry(name).or_default() += seconds;
        }
    }
    Ok(all)
}

/// Sees that every side serves the page to the session, that the guarded ones refuse it to a stranger, and that TLS
/// comes out the same.
async fn same_handshake(sides: &BTreeMap<Side, Ready<'_>>, host: &str) -> Result<Handshake> {
    let mut agreed: Option<(Side, Handshake)> = None;
    for (side, ready) in sides {
        let mut visitor = Visitor::new(ready.port, &ready.authority)?;
        let words = side.words();
        let page = visitor
            .fetch(host, "/page", Some(&ready.cookie))
            .await
            .with_context(|| format!("{words} failed"))?;
        ensure!(
            page.status == StatusCode::OK && page.body.len() == CONTENT_BYTES as usize,
            "{words} answered {} with {} bytes to the session of the load",
            page.status,
            page.body.len()
        );
        let stranger = visitor
            .fetch(host, "/page", None)
            .await
            .with_context(|| format!("{words} failed"))?;
        let open = stranger.status == StatusCode::OK;
        ensure!(
            open == matches!(side, Side::Nginx | Side::Bare),
            "{words} answered {} to a request without a session",
            stranger.status
        );
        let handshake = visitor.handshake.context("no handshake")?;
        match &agreed {
            None => agreed = Some((*side, handshake)),
            Some((first, before)) => ensure!(
                *before == handshake,
                "TLS differs: {} agrees on {before:?}, {words} on {handshake:?}",
                first.words()
            ),
        }
    }
    Ok(agreed.context("no side")?.1)
}

/// The endpoint that nginx asks: this program again, so built with the same profile.
fn auth_endpoint(port: u16, secret: &str) -> Result<Process> {
    let program = std::env::current_exe().context("cannot find this program")?;
    Process::start(
        "auth-endpoint",
        Command::new(program)
            .args(["auth-endpoint", "--port", &port.to_string()])
            // One argument: a secret may begin with a hyphen.
            .arg(format!("--secret={secret}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
}

/// hyper alone: this program once more.
fn bare_proxy(port: u16, upstream: u16, certificate: &Certificate) -> Result<Process> {
    let program = std::env::current_exe().context("cannot find this program")?;
    Process::start(
        "bare-proxy",
        Command::new(program)
            .args(["bare-proxy", "--port", &port.to_string()])
            .args(["--upstream", &upstream.to_string()])
            .arg("--chain")
            .arg(&certificate.chain)
            .arg("--key")
            .arg(&certificate.key)
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
}

/// A session secret as long as ours: 32 random bytes in base64url.
fn secret() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 43];
    let mut source = std::fs::File::open("/dev/urandom").context("no random bytes")?;
    source.read_exact(&mut bytes).context("no random bytes")?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]))
        .collect())
}

/// What the figures depend on.
fn machine(arguments: &Arguments) -> Map<String, Value> {
    let first = |text: String, key: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned();
        line.rsplit(": ")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let said = |program: &str, argument: &str| {
        let output = Command::new(program)
            .arg(argument)
            .stdin(Stdio::null())
            .output();
        output
            .map(|output| {
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            })
            .unwrap_or_default()
    };
    let nginx = said("nginx", "-V");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Map::from_iter([
        (
            "processor".to_owned(),
            first(ours::read(Path::new("/proc/cpuinfo")), "model name").into(),
        ),
        ("cores".to_owned(), cores.into()),
        (
            "nginx".to_owned(),
            format!(
                "{}, {}",
                first(nginx.clone(), "nginx version"),
                first(nginx, "built with")
            )
            .into(),
        ),
        (
            "load".to_owned(),
            format!("wrk, {CONNECTIONS} connections, {CONTENT_BYTES} bytes of content").into(),
        ),
        ("rounds".to_owned(), arguments.rounds.into()),
        ("seconds".to_owned(), arguments.seconds.into()),
    ])
}
