//! Durable records per second, beside SQLite in the same run.
//!
//! `cargo bench -p asepsis-audit --bench append [-- --seconds S] [--format json]`
//!
//! Each appender is a task that appends a record of 600 bytes, waits until it is durable, and begins again. SQLite runs
//! with `journal_mode=WAL` and `synchronous=FULL`, once with a transaction for each row and once with a thread that
//! commits whatever waits in one transaction. CPU time is that of the whole process, appenders included, kernel time on
//! their behalf included, the kernel's own writeback threads not.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::env;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use audit::{Entry, Kind, Log, Options, verify};
use domain::Timestamp;
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const CONCURRENCY: [usize; 4] = [1, 16, 64, 1024];
const RECORD_BYTES: usize = 600;
/// The load that the log is to bear with a p99 of at most 25 ms.
const OFFERED_PER_S: u32 = 50_000;

/// What one run showed.
struct Figures {
    records: usize,
    seconds: f64,
    latencies: Vec<u32>,
    cpu_seconds: f64,
}

impl Figures {
    fn per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// A percentile of the latency, in milliseconds.
    fn latency(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let place = ((last as f64) * share) as usize;
        self.latencies
            .get(place)
            .map_or(0.0, |us| f64::from(*us) / 1000.0)
    }

    fn cpu_per_record(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.records.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "records_per_s": self.per_second().round(),
            "p50_ms": self.latency(0.50),
            "p99_ms": self.latency(0.99),
            "cpu_us_per_record": (self.cpu_per_record() * 100.0).round() / 100.0,
        })
    }
}

/// CPU time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// A record like that of a decision: some facts in the header, the rest in the payload, 600 bytes together.
fn entry(n: u64) -> Entry {
    let mut header = Map::new();
    for (key, value) in [
        ("application", "chart"),
        ("outcome", "permit"),
        ("reason", "treating-relation"),
        ("session", "s-7f3a9c51"),
        ("subject", "staff-20417"),
        ("action", "fhir:read"),
    ] {
        header.insert(key.into(), Value::from(value));
    }
    header.insert("n".into(), Value::from(n));
    let header_bytes = serde_json::to_string(&header).map_or(0, |text| text.len());
    let payload = vec![b'd'; RECORD_BYTES - header_bytes];
    Entry {
        at: Timestamp::from_millis(1_795_336_200_000),
        kind: Kind::Decision,
        header,
        payload,
    }
}

/// Runs `appenders` tasks for `span` after a warm-up; `append` is one append, awaited. With a `pace`, each task begins an
/// append at most that often, all of them spread evenly.
fn drive<F, Fut>(
    runtime: &Runtime,
    appenders: usize,
    span: Duration,
    pace: Option<Duration>,
    append: F,
) -> Figures
where
    F: Fn(Entry) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let warm_up = Instant::now() + Duration::from_millis(300);
    let end = warm_up + span;
    let tasks: Vec<_> = (0..appenders)
        .map(|i| {
            let append = append.clone();
            let mut due = pace.map(|pace| {
                Instant::now()
                    + pace * u32::try_from(i).unwrap_or(0) / u32::try_from(appenders).unwrap_or(1)
            });
            runtime.spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 16);
                let mut n = 0;
                loop {
                    if let (Some(due), Some(pace)) = (&mut due, pace) {
                        tokio::time::sleep_until((*due).into()).await;
                        *due += pace;
                    }
                    let begun = Instant::now();
                    if begun >= end {
                        return latencies;
                    }
                    append(entry(n)).await;
                    n += 1;
                    if begun >= warm_up {
                        latencies
                            .push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
                    }
                }
            })
        })
        .collect();
    thread::sleep(warm_up.saturating_duration_since(Instant::now()));
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut latencies = Vec::new();
    runtime.block_on(async {
        for task in tasks {
            latencies.extend(task.await.expect("no appender fails"));
        }
    });
    let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    latencies.sort_unstable();
    Figures {
        records: latencies.len(),
        seconds,
        latencies,
        cpu_seconds,
    }
}

fn ours(
    runtime: &Runtime,
    dir: &Path,
    appenders: usize,
    span: Duration,
    pace: Option<Duration>,
) -> Figures {
    let log = Log::open(dir, Options::default()).expect("an empty folder");
    let figures = {
        let log = log.clone();
        drive(runtime, appenders, span, pace, move |entry| {
            let pending = log.append(entry);
            async move {
                pending.await.expect("the disk works");
            }
        })
    };
    log.close();
    figures
}

fn open_sqlite(dir: &Path) -> Connection {
    fs::create_dir_all(dir).expect("a folder");
    let connection = Connection::open(dir.join("log.sqlite")).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE record (id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, header TEXT, payload BLOB);",
        )
        .expect("set up");
    connection
}

const INSERT: &str = "INSERT INTO record (at, kind, header, payload) VALUES (?1, ?2, ?3, ?4)";

fn insert(connection: &Connection, entry: &Entry) {
    let header = serde_json::to_string(&entry.header).expect("plain");
    let mut statement = connection.prepare_cached(INSERT).expect("prepared");
    statement
        .execute((
            entry.at.as_millis(),
            entry.kind.as_str(),
            header,
            &entry.payload,
        ))
        .expect("inserted");
}

/// One transaction for each row.
fn sqlite_single(runtime: &Runtime, dir: &Path, appenders: usize, span: Duration) -> Figures {
    let connection = Arc::new(Mutex::new(open_sqlite(dir)));
    drive(runtime, appenders, span, None, move |entry| {
        let connection = Arc::clone(&connection);
        async move { insert(&connection.lock().expect("sound"), &entry) }
    })
}

/// One transaction for whatever waits.
fn sqlite_grouped(runtime: &Runtime, dir: &Path, appenders: usize, span: Duration) -> Figures {
    let connection = open_sqlite(dir);
    let (sender, receiver) = mpsc::channel::<(Entry, oneshot::Sender<()>)>();
    let writer = thread::spawn(move || {
        while let Ok(first) = receiver.recv() {
            let mut batch = vec![first];
            batch.extend(receiver.try_iter().take(4096));
            connection.execute_batch("BEGIN").expect("begun");
            for (entry, _) in &batch {
                insert(&connection, entry);
            }
            connection.execute_batch("COMMIT").expect("committed");
            for (_, done) in batch {
                let _ = done.send(());
            }
        }
    });
    let figures = drive(runtime, appenders, span, None, move |entry| {
        let (done, committed) = oneshot::channel();
        sender.send((entry, done)).expect("the writer lives");
        async move { committed.await.expect("the writer answers") }
    });
    writer.join().expect("no panic");
    figures
}

fn print(name: &str, appenders: usize, figures: &Figures) {
    println!(
        "{name:<34} {appenders:>9} {:>12.0} {:>9.2} {:>9.2} {:>12.2}",
        figures.per_second(),
        figures.latency(0.50),
        figures.latency(0.99),
        figures.cpu_per_record()
    );
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value_of = |name: &str| {
        arguments
            .iter()
            .position(|a| a == name)
            .and_then(|i| arguments.get(i + 1))
    };
    let seconds: f64 = value_of("--seconds")
        .and_then(|s| s.parse().ok())
        .unwrap_or(3.0);
    let span = Duration::from_secs_f64(seconds);
    let as_json = value_of("--format").is_some_and(|f| f == "json");
    let only_ours = arguments.iter().any(|a| a == "--only-ours");
    let parent =
        env::var("ASEPSIS_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    let home = tempfile::tempdir_in(&parent).expect("a folder to work in");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    println!("{RECORD_BYTES}-byte records, {seconds} s each, in {parent}");
    println!(
        "{:<34} {:>9} {:>12} {:>9} {:>9} {:>12}",
        "", "appenders", "records/s", "p50 ms", "p99 ms", "CPU us/rec"
    );
    // What making the entries, the tasks and the clock cost by themselves: contained in every row below.
    let harness = drive(
        &runtime,
        64,
        span.min(Duration::from_secs(1)),
        None,
        |entry| async move {
            std::hint::black_box(entry);
            tokio::task::yield_now().await;
        },
    );
    print("(the harness alone)", 64, &harness);
    let mut by_concurrency = Map::new();
    let mut rivals = Map::new();
    let mut last = None;
    for appenders in CONCURRENCY {
        let dir = home.path().join(format!("log-{appenders}"));
        let figures = ours(&runtime, &dir, appenders, span, None);
        print("asepsis audit", appenders, &figures);
        by_concurrency.insert(appenders.to_string(), figures.json());
        last = Some((dir, figures));
        if only_ours {
            continue;
        }
        for (name, run) in [
            (
                "sqlite, a transaction per row",
                sqlite_single as fn(&Runtime, &Path, usize, Duration) -> Figures,
            ),
            ("sqlite, group commit", sqlite_grouped),
        ] {
            let dir = home.path().join(format!("{name}-{appenders}"));
            let figures = run(&runtime, &dir, appenders, span);
            print(name, appenders, &figures);
            let rows = rivals.entry(name).or_insert_with(|| json!({}));
            rows[appenders.to_string()] = figures.json();
            let _ = fs::remove_dir_all(dir);
        }
    }
    let Some((dir, figures)) = last else { return };

    let pace = Duration::from_secs(1024) / OFFERED_PER_S;
    let offered = ours(
        &runtime,
        &home.path().join("offered"),
        1024,
        span,
        Some(pace),
    );
    print(
        &format!("asepsis audit, {OFFERED_PER_S}/s offered"),
        1024,
        &offered,
    );
    let begun = Instant::now();
    let verified = verify(&dir, None, &mut |_, _| ()).expect("a sound log");
    let verified_per_s = verified.size as f64 / begun.elapsed().as_secs_f64();
    println!(
        "verify: {} records, {verified_per_s:.0} records/s",
        verified.size
    );
    if as_json {
        println!(
            "{}",
            json!({
                "records_per_s": figures.per_second().round(),
                "p99_ms": figures.latency(0.99),
                "by_concurrency": by_concurrency,
                "offered_50000_per_s": offered.json(),
                "rivals": rivals,
                "harness_cpu_us_per_record": harness.cpu_per_record(),
                "verified_per_s": verified_per_s.round(),
            })
        );
    }
}
