//! The writer on disks that fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain::{RecordId, Timestamp};
use parking_lot::Mutex;
use rustix::io::Errno;
use serde_json::{Map, Value};
use tempfile::{TempDir, tempdir};

use super::faulty::{Change, FaultyDisk};
use super::{Log, Options, State, Unavailable};
use crate::disk::RealDisk;
use crate::entry::{Entry, Kind};
use crate::{Reader, Verified, verify};

fn entry(n: u64) -> Entry {
    let mut header = Map::new();
    header.insert("n".into(), Value::from(n));
    let payload = vec![b'p'; usize::try_from(n * 37 % 1500).expect("small")];
    Entry {
        at: Timestamp::from_millis(1_795_336_200_000),
        kind: Kind::Decision,
        header,
        payload,
    }
}

fn small() -> Options {
    Options {
        checkpoint_every: Duration::from_millis(4),
        commit_window: Duration::from_micros(200),
        segment_bytes: 64 << 10,
        wal_bytes_max: 512 << 10,
        ..Options::default()
    }
}

struct Rig {
    home: TempDir,
    dir: PathBuf,
    disk: FaultyDisk,
    log: Log,
}

fn rig(options: Options) -> Rig {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let disk = FaultyDisk::new();
    let log = Log::open_on(&dir, options, Arc::new(disk.clone())).expect("made");
    Rig {
        home,
        dir,
        disk,
        log,
    }
}

fn check(dir: &Path) -> Verified {
    match verify(dir, None, &mut |_, _| ()) {
        Ok(verified) => verified,
        Err(fault) => panic!("{fault}"),
    }
}

/// Demands that the folder holds these entries at these places.
fn demand(dir: &Path, acknowledged: &BTreeMap<u64, u64>) {
    let reader = Reader::open(dir).expect("opened");
    for (id, n) in acknowledged {
        let stored = reader
            .record(RecordId(*id))
            .unwrap_or_else(|e| panic!("record {id}: {e}"));
        assert_eq!(stored.header, entry(*n).header, "record {id}");
        assert_eq!(stored.payload, Some(entry(*n).payload), "record {id}");
    }
}

/// How often each entry is in the folder.
fn counts(dir: &Path) -> BTreeMap<u64, usize> {
    let reader = Reader::open(dir).expect("opened");
    let mut counts = BTreeMap::new();
    for stored in reader.records(0..u64::MAX) {
        let stored = stored.expect("read");
        *counts
            .entry(stored.header["n"].as_u64().expect("a number"))
            .or_insert(0) += 1;
    }
    counts
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn full() -> io::Error {
    Errno::NOSPC.into()
}

fn broken() -> io::Error {
    Errno::IO.into()
}

/// Appends entries, and returns the places of those that were acknowledged.
fn append(log: &Log, range: std::ops::Range<u64>) -> (BTreeMap<u64, u64>, Vec<Unavailable>) {
    let pending: Vec<_> = range.map(|n| (n, log.append(entry(n)))).collect();
    let (mut acknowledged, mut refused) = (BTreeMap::new(), Vec::new());
    for (n, pending) in pending {
        match pending.wait() {
            Ok(id) => assert_eq!(acknowledged.insert(id.0, n), None),
            Err(why) => refused.push(why),
        }
    }
    (acknowledged, refused)
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    for seed in 0..12u64 {
        let Rig {
            home,
            dir,
            disk,
            log,
        } = rig(small());
        let acknowledged = Mutex::new(BTreeMap::new());
        let stop = AtomicBool::new(false);
        let mut random = seed;
        let mut chance = move || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Some cuts lose nearly everything that was not synced, others hardly anything.
            random >> 33 & 7 > seed % 7
        };
        thread::scope(|scope| {
            for writer in 0..2u64 {
                let (log, acknowledged, stop) = (&log, &acknowledged, &stop);
                scope.spawn(move || {
                    for n in (writer..).step_by(2) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = log.append(entry(n)).wait().expect("durable");
                        acknowledged.lock().insert(id.0, n);
                    }
                });
            }
            for cut in 0..4 {
                thread::sleep(Duration::from_millis(3 + 7 * (seed + cut) % 40));
                let known = acknowledged.lock().clone();
                let out = home.path().join(format!("cut-{cut}/audit"));
                disk.power_cut(&dir, &out, &mut chance);
                let keys = home.path().join(format!("cut-{cut}/keys"));
                fs::create_dir_all(&keys).expect("made");
                fs::copy(home.path().join("keys/audit.key"), keys.join("audit.key"))
                    .expect("copied");
                let again = Log::open_on(&out, small(), Arc::new(RealDisk))
                    .unwrap_or_else(|e| panic!("seed {seed}, cut {cut}: {e}"));
                demand(&out, &known);
                again.close();
                check(&out);
                demand(&out, &known);
            }
            stop.store(true, Ordering::Relaxed);
        });
        log.close();
        check(&dir);
        demand(&dir, &acknowledged.lock());
    }
}

#[test]
fn a_disk_too_full_for_tiles_raises_an_alarm_while_commits_go_on() {
    let Rig {
        home,
        dir,
        disk,
        log,
    } = rig(Options {
        wal_bytes_max: 8 << 20,
        ..small()
    });
    let (mut all, _) = append(&log, 0..300);
    log.publish().expect("published");
    disk.fail(|change, path| {
        let tiles = path.to_string_lossy().contains("/tile/")
            || path.to_string_lossy().contains("/payload/");
        (change == Change::Write && tiles).then(full)
    });
    let (more, refused) = append(&log, 300..900);
    assert_eq!((more.len(), refused), (600, vec![]));
    all.extend(more);
    until("an alarm", || matches!(log.state(), State::Failing(_)));
    let State::Failing(reason) = log.state() else {
        panic!("failing")
    };
    assert!(
        reason.contains("space") && !reason.contains(&*home.path().to_string_lossy()),
        "{reason}"
    );
    assert!(matches!(log.publish(), Err(Unavailable::Storage(_))));
    demand(&dir, &all);
    assert_eq!(check(&dir).size, 900);
    disk.heal();
    until("recovery", || log.state() == State::Ok);
    assert_eq!(log.publish().expect("published").size, 900);
    log.close();
    assert_eq!(check(&dir).checkpointed, 900);
    demand(&dir, &all);
}

#[test]
fn a_full_disk_refuses_in_the_end_and_takes_records_again_afterwards() {
    let Rig {
        home: _home,
        dir,
        disk,
        log,
    } = rig(small());
    let (mut all, _) = append(&log, 0..100);
    disk.fail(|change, _| (change != Change::Sync).then(full));
    let mut refused = Vec::new();
    let mut next = 100;
    while refused.len() < 50 {
        let (more, no) = append(&log, next..next + 50);
        next += 50;
        all.extend(more);
        refused.extend(no);
    }
    assert!(
        refused
            .iter()
            .all(|why| matches!(why, Unavailable::Storage(_))),
        "{refused:?}"
    );
    assert!(matches!(log.state(), State::Failing(_)));
    demand(&dir, &all);
    disk.heal();
    until("recovery", || log.state() == State::Ok);
    let (more, refused) = append(&log, next..next + 100);
    assert_eq!((more.len(), refused), (100, vec![]));
    all.extend(more);
    log.close();
    demand(&dir, &all);
    assert_eq!(check(&dir).size, all.len() as u64);
    assert!(counts(&dir).values().all(|n| *n == 1));
}

#[test]
fn a_failed_sync_is_made_good_in_another_segment() {
    let Rig {
        home,
        dir,
        disk,
        log,
    } = rig(Options {
        checkpoint_every: Duration::from_secs(3600),
        ..small()
    });
    let (mut all, _) = append(&log, 0..20);
    for round in 1..6u64 {
        let failed = AtomicBool::new(false);
        disk.fail(move |change, path| {
            let wal = path.parent().is_some_and(|p| p.ends_with("wal"));
            (change == Change::Sync && wal && !failed.swap(true, Ordering::SeqCst)).then(broken)
        });
        let (more, refused) = append(&log, round * 20..round * 20 + 20);
        assert_eq!((more.len(), refused), (20, vec![]), "round {round}");
        all.extend(more);
        // The sync that failed may have been one of the keeper's, who tries again after a while.
        until("recovery", || log.state() == State::Ok);
    }
    // As a crash would leave it: the segment given up holds what another one holds as well.
    let out = home.path().join("crash/audit");
    disk.power_cut(&dir, &out, &mut || true);
    fs::create_dir_all(home.path().join("crash/keys")).expect("made");
    fs::copy(
        home.path().join("keys/audit.key"),
        home.path().join("crash/keys/audit.key"),
    )
    .expect("copied");
    assert_eq!(check(&out).size, 120);
    demand(&out, &all);
    Log::open_on(&out, small(), Arc::new(RealDisk))
        .expect("opened")
        .close();
    demand(&out, &all);
    assert!(counts(&out).values().all(|n| *n == 1));
    log.close();
    demand(&dir, &all);
    assert_eq!(check(&dir).size, 120);
}

#[test]
fn a_disk_that_syncs_nothing_refuses_and_recovers_by_itself() {
    let Rig {
        home,
        dir,
        disk,
        log,
    } = rig(small());
    let (mut all, _) = append(&log, 0..100);
    for round in 1..4u64 {
        disk.fail(|change, _| (change == Change::Sync).then(broken));
        let start = round * 1000;
        let (more, refused) = append(&log, start..start + 40);
        assert_eq!(more.len() + refused.len(), 40);
        assert!(!refused.is_empty());
        all.extend(more);
        assert!(matches!(log.state(), State::Failing(_)));
        let begun = Instant::now();
        assert!(matches!(
            log.append(entry(0)).wait(),
            Err(Unavailable::Storage(_))
        ));
        assert!(begun.elapsed() < Duration::from_secs(5), "refused at once");
        disk.heal();
        until("recovery", || log.state() == State::Ok);
        let (more, refused) = append(&log, start + 100..start + 140);
        assert_eq!((more.len(), refused), (40, vec![]));
        all.extend(more);
        let out = home.path().join(format!("cut-{round}/audit"));
        disk.power_cut(&dir, &out, &mut || round % 2 == 0);
        let keys = home.path().join(format!("cut-{round}/keys"));
        fs::create_dir_all(&keys).expect("made");
        fs::copy(home.path().join("keys/audit.key"), keys.join("audit.key")).expect("copied");
        Log::open_on(&out, small(), Arc::new(RealDisk))
            .expect("opened")
            .close();
        check(&out);
        demand(&out, &all);
    }
    log.close();
    demand(&dir, &all);
    check(&dir);
    assert!(
        counts(&dir).values().all(|n| *n == 1),
        "a refused record may stay out, an acknowledged one counts once"
    );
}

#[test]
fn write_ahead_segments_stay_within_their_bound() {
    let Rig {
        home: _home,
        dir,
        log,
        disk: _disk,
    } = rig(small());
    let peak = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let mut refused = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let sizes = fs::read_dir(dir.join("wal"))
                    .into_iter()
                    .flatten()
                    .flatten();
                let bytes = sizes
                    .filter_map(|e| e.metadata().ok())
                    .map(|m| m.len())
                    .sum();
                peak.fetch_max(bytes, Ordering::Relaxed);
            }
        });
        for start in (0..6000).step_by(40) {
            refused.extend(append(&log, start..start + 40).1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(refused, []);
    let peak = peak.load(Ordering::Relaxed);
    // More went through than the bound holds.
    assert!(peak > 64 << 10 && peak <= 512 << 10, "{peak}");
    log.close();
    assert_eq!(check(&dir).size, 6000);
}
