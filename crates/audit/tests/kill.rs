//! Kills a process that appends, at random moments, and demands every acknowledged record back.
//!
//! 15 rounds by default; `ASEPSIS_KILL_ROUNDS=1000` for a long run, `ASEPSIS_KILL_SEED` to repeat one.

mod common;

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use audit::{Entry, Kind, Log, Options, Reader, prove, verify, verify_proof};
use common::check;
use domain::{RecordId, Timestamp};
use serde_json::{Map, Value};
use tempfile::tempdir;

const CHILD_DIR: &str = "ASEPSIS_KILL_CHILD_DIR";
const CHILD_SEED: &str = "ASEPSIS_KILL_CHILD_SEED";
const WRITERS: u64 = 4;

/// Small segments and frequent checkpoints, so that a kill meets every phase.
fn busy() -> Options {
    Options {
        checkpoint_every: Duration::from_millis(3),
        commit_window: Duration::from_micros(300),
        segment_bytes: 96 << 10,
        wal_bytes_max: 1 << 20,
        ..Options::default()
    }
}

/// A small generator of random numbers; the seed is printed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The entry that a child's writer appends as its `n`th.
fn entry(seed: u64, writer: u64, n: u64) -> Entry {
    let mut header = Map::new();
    for (key, value) in [("seed", seed), ("writer", writer), ("n", n)] {
        header.insert(key.into(), Value::from(value));
    }
    let length = Random(seed ^ writer << 32 ^ n).next();
    let length = if length.is_multiple_of(50) {
        40_000
    } else {
        length % 900
    };
    let payload = format!("{seed} {writer} {n} ").into_bytes();
    let payload = payload
        .into_iter()
        .cycle()
        .take(usize::try_from(length).expect("small"))
        .collect();
    Entry {
        at: Timestamp::from_millis(1_795_336_200_000),
        kind: Kind::Decision,
        header,
        payload,
    }
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let (Ok(dir), Ok(seed)) = (env::var(CHILD_DIR), env::var(CHILD_SEED)) else {
        return;
    };
    let seed: u64 = seed.parse().expect("a number");
    let log = Log::open(Path::new(&dir), busy()).expect("opened");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = log.clone();
            scope.spawn(move || {
                for first in (0..).step_by(8) {
                    let pending: Vec<_> = (first..first + 8)
                        .map(|n| (n, log.append(entry(seed, writer, n))))
                        .collect();
                    for (n, pending) in pending {
                        let id = pending.wait().expect("durable");
                        let line = format!("ack {id} {writer} {n}\n");
                        std::io::stdout()
                            .lock()
                            .write_all(line.as_bytes())
                            .expect("the parent reads");
                    }
                }
            });
        }
    });
}

/// Runs a child on the folder for a while, kills it, and returns what it acknowledged: ids with their writer and number.
fn run_and_kill(dir: &Path, seed: u64, lifetime: Duration) -> Vec<(u64, u64, u64)> {
    let mut child = Command::new(env::current_exe().expect("known"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let stdout = child.stdout.take().expect("piped");
    let acks = thread::spawn(move || {
        let mut acks = Vec::new();
        for line in BufReader::new(stdout).split(b'\n') {
            // The last line may be cut off: what it says was acknowledged, but its numbers may lack digits.
            let line = String::from_utf8(line.expect("read")).expect("text");
            let numbers: Option<Vec<u64>> = line
                .strip_prefix("ack ")
                .map(|l| l.split(' ').map(|n| n.parse().expect("a number")).collect());
            if let Some([id, writer, n]) = numbers.as_deref() {
                acks.push((*id, *writer, *n));
            }
        }
        acks
    });
    thread::sleep(lifetime);
    child.kill().expect("killed");
    let output = child.wait_with_output().expect("ended");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.contains("panicked"),
        "the child failed by itself: {stderr}"
    );
    acks.join().expect("read")
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let rounds: u64 = env::var("ASEPSIS_KILL_ROUNDS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(15);
    let seed = env::var("ASEPSIS_KILL_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0) & 0xFFFF_FFFF);
    eprintln!("ASEPSIS_KILL_SEED={seed}, {rounds} rounds");
    let mut random = Random(seed);
    let mut home = tempdir().expect("folder");
    let mut acknowledged: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    let (mut acks, mut replayed, mut torn) = (0usize, 0u64, 0u64);
    let mut newest: Option<String> = None;
    for round in 0..rounds {
        if round % 50 == 49 {
            home = tempdir().expect("folder");
            acknowledged.clear();
            newest = None;
        }
        let dir = home.path().join("audit");
        let child_seed = random.next() >> 16;
        // From before the log is open, through recovery, to well into its work.
        let lifetime = Duration::from_micros(random.next() % 120_000);
        let new = run_and_kill(&dir, child_seed, lifetime);
        acks += new.len();
        for (id, writer, n) in new {
            let before = acknowledged.insert(id, (child_seed, writer, n));
            assert_eq!(
                before, None,
                "round {round}: record {id} was acknowledged twice"
            );
        }
        let whole = acknowledged.last_key_value().map_or(0, |(id, _)| id + 1);
        if dir.join("checkpoint").exists() {
            // As it lies there after the kill, before anything is repaired.
            match verify(&dir, newest.as_deref(), &mut |_, _| ()) {
                Ok(verified) => assert!(
                    verified.size >= whole,
                    "round {round}: {} < {whole}",
                    verified.size
                ),
                Err(fault) => panic!("round {round}: {fault}"),
            }
            let reader = Reader::open(&dir).expect("opened");
            assert!(
                reader.len() >= whole,
                "round {round}: {} < {whole}",
                reader.len()
            );
        }
        let log = Log::open(&dir, busy()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        replayed += log.recovery().replayed;
        torn += log.recovery().torn_bytes;
        assert!(
            log.size() >= whole,
            "round {round}: {} < {whole}",
            log.size()
        );
        if random.next().is_multiple_of(3) {
            let id = log
                .append(entry(child_seed, 99, round))
                .wait()
                .expect("durable");
            assert_eq!(acknowledged.insert(id.0, (child_seed, 99, round)), None);
        }
        newest = Some(log.publish().expect("published").note);
        log.close();
        let verified = check(&dir);
        let reader = Reader::open(&dir).expect("opened");
        assert_eq!(reader.len(), verified.size);
        for (id, (seed, writer, n)) in &acknowledged {
            let stored = reader.record(RecordId(*id)).expect("read");
            let expected = entry(*seed, *writer, *n);
            assert_eq!(stored.header, expected.header, "round {round}: record {id}");
            assert_eq!(
                stored.payload.as_ref(),
                Some(&expected.payload),
                "round {round}: record {id}"
            );
        }
        if verified.size > 0 {
            let vkey = std::fs::read_to_string(dir.join("vkey")).expect("there");
            let proof = prove(&dir, RecordId(random.next() % verified.size)).expect("proven");
            verify_proof(&proof.text, &proof.leaf, &vkey).expect("holds");
        }
    }
    eprintln!("{acks} acknowledged, {replayed} replayed, {torn} torn bytes dropped");
    assert!(
        acks > 0 || rounds < 10,
        "no child lived long enough to append"
    );
}
