//! A log from its making to its proofs, through the public interface.

mod common;

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use audit::{
    Entry, Kind, Log, OpenError, Options, ProveError, ReadError, Reader, State, Unavailable, prove,
    prove_consistency, prune, verify, verify_consistency, verify_proof, verify_trusting,
};
use common::{append, check, entry, files, quiet};
use domain::{RecordId, Timestamp};
use tempfile::tempdir;

#[test]
fn a_log_is_made_written_closed_and_continued() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("deep/audit");
    let log = Log::open(&dir, quiet()).expect("made");
    assert_eq!(
        (log.size(), log.checkpoint().size, log.state()),
        (0, 0, State::Ok)
    );
    append(&log, 0..700);
    assert_eq!(log.size(), 700);
    log.close();
    let verified = check(&dir);
    assert_eq!(
        (verified.size, verified.checkpointed, verified.torn_bytes),
        (700, 700, 0)
    );
    assert!(
        !files(&dir).iter().any(|f| f.starts_with("wal")),
        "nothing is left to replay"
    );

    let log = Log::open(&dir, quiet()).expect("opened");
    assert_eq!(log.recovery(), audit::Recovery::default());
    assert_eq!(log.checkpoint().root, verified.root);
    append(&log, 700..1400);
    log.close();
    assert_eq!(check(&dir).size, 1400);

    let reader = Reader::open(&dir).expect("opened");
    for (n, stored) in reader.records(0..u64::MAX).enumerate() {
        let stored = stored.expect("read");
        let n = n as u64;
        let Entry {
            at,
            kind,
            header,
            payload,
        } = entry(n);
        assert_eq!(
            (stored.id, stored.at, stored.kind, &stored.header),
            (RecordId(n), at, kind, &header)
        );
        assert_eq!(stored.payload, Some(payload));
    }
    assert_eq!(reader.records(1300..1500).rev().count(), 100);
    assert!(matches!(
        reader.record(RecordId(1400)),
        Err(ReadError::Absent(RecordId(1400)))
    ));
}

#[test]
fn the_folder_and_the_key_belong_to_their_owner_alone() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    Log::open(&dir, quiet()).expect("made").close();
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&home.path().join("keys/audit.key")), 0o600);
    assert!(
        !files(&dir)
            .iter()
            .any(|f| f.to_string_lossy().contains("key") && f.to_string_lossy() != "vkey")
    );
}

#[test]
fn records_count_before_any_checkpoint_covers_them() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..300);
    let covered = log.publish().expect("published");
    append(&log, 300..600);
    let reader = Reader::open(&dir).expect("opened");
    assert_eq!((reader.len(), reader.checkpointed()), (600, 300));
    assert_eq!(
        reader.record(RecordId(599)).expect("read").header,
        entry(599).header
    );
    let verified = check(&dir);
    assert_eq!((verified.size, verified.checkpointed), (600, 300));
    assert!(matches!(
        prove(&dir, RecordId(300)),
        Err(ProveError::NotCovered { size: 300, .. })
    ));
    assert!(prove(&dir, RecordId(299)).is_ok());
    assert_ne!(verified.root, covered.root);
    assert_eq!(log.publish().expect("published").root, verified.root);
    log.close();
}

#[test]
fn checkpoints_come_by_themselves() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let options = Options {
        checkpoint_every: Duration::from_millis(30),
        ..quiet()
    };
    let log = Log::open(&dir, options).expect("made");
    append(&log, 0..3);
    let start = Instant::now();
    while log.checkpoint().size < 3 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "no checkpoint came"
        );
        thread::sleep(Duration::from_millis(5));
    }
    assert!(prove(&dir, RecordId(2)).is_ok());
    log.close();
}

#[test]
fn every_record_is_proven_without_the_log() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..600);
    log.close();
    let vkey = fs::read_to_string(dir.join("vkey")).expect("there");
    let root = check(&dir).root;
    for id in (0..600).step_by(7).map(RecordId) {
        let proof = prove(&dir, id).expect("proven");
        let proven = verify_proof(&proof.text, &proof.leaf, &vkey).expect("holds");
        assert_eq!((proven.id, proven.size, &proven.root), (id, 600, &root));
        let mut other = proof.leaf.clone();
        other[20] ^= 1;
        assert!(verify_proof(&proof.text, &other, &vkey).is_err());
        let moved = proof.text.replacen(
            &format!("index {id}\n"),
            &format!("index {}\n", id.0 + 1),
            1,
        );
        assert!(verify_proof(&moved, &proof.leaf, &vkey).is_err());
    }
    let stranger = tempdir().expect("folder");
    Log::open(&stranger.path().join("audit"), quiet())
        .expect("made")
        .close();
    let foreign = fs::read_to_string(stranger.path().join("audit/vkey")).expect("there");
    let proof = prove(&dir, RecordId(5)).expect("proven");
    assert!(verify_proof(&proof.text, &proof.leaf, &foreign).is_err());
    assert!(verify_trusting(&dir, Some(&vkey), None, &mut |_, _| ()).is_ok());
    assert!(verify_trusting(&dir, Some(&foreign), None, &mut |_, _| ()).is_err());
}

#[test]
fn a_rolled_back_or_rewritten_log_is_found_by_an_older_checkpoint() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..300);
    let early = log.publish().expect("published");
    let backup = home.path().join("backup");
    log.close();
    common::copy(&dir, &backup);
    let log = Log::open(&dir, quiet()).expect("opened");
    append(&log, 300..800);
    let late = log.publish().expect("published");
    log.close();
    let against = |dir: &std::path::Path, note: &str| verify(dir, Some(note), &mut |_, _| ());
    assert!(against(&dir, &early.note).is_ok());
    assert!(against(&dir, &late.note).is_ok());
    let fault = against(&backup, &late.note).expect_err("rolled back");
    assert!(fault.what.contains("rolled back"), "{fault}");
    // The same key, another history.
    let log = Log::open(
        &backup,
        Options {
            key_file: Some(home.path().join("keys/audit.key")),
            ..quiet()
        },
    )
    .expect("opened");
    append(&log, 300..301);
    for n in 0..600 {
        log.append(entry(n)).wait().expect("durable");
    }
    log.close();
    assert!(check(&backup).size > 800);
    let fault = against(&backup, &late.note).expect_err("rewritten");
    assert!(fault.what.contains("root"), "{fault}");

    let vkey = fs::read_to_string(dir.join("vkey")).expect("there");
    let proof = prove_consistency(&dir, 300).expect("proven");
    assert_eq!(verify_consistency(&early.note, &proof, &vkey), Ok(()));
    assert!(verify_consistency(&late.note, &proof, &vkey).is_err());
}

#[test]
fn pruning_erases_payloads_and_keeps_the_root() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..600);
    assert!(matches!(
        prune(&dir, &quiet(), &[RecordId(1)], Timestamp::from_millis(0)),
        Err(audit::PruneError::Open(OpenError::Locked { .. }))
    ));
    log.close();
    let before = check(&dir);
    let ids = [RecordId(3), RecordId(255), RecordId(256), RecordId(599)];
    let now = Timestamp::from_millis(1_800_000_000_000);
    assert!(prune(&dir, &quiet(), &[RecordId(3), RecordId(600)], now).is_err());
    assert_eq!(check(&dir).pruned, 0);
    let pruned = prune(&dir, &quiet(), &ids, now).expect("pruned");
    assert_eq!((pruned.erased, pruned.already), (4, 0));
    let after = check(&dir);
    assert_eq!(
        (after.pruned, &after.root, after.size),
        (4, &before.root, 600)
    );
    let pruned = prune(&dir, &quiet(), &ids, now).expect("pruned");
    assert_eq!((pruned.erased, pruned.already), (0, 4));
    let reader = Reader::open(&dir).expect("opened");
    for n in 0..600 {
        let stored = reader.record(RecordId(n)).expect("read");
        assert_eq!(stored.payload.is_none(), ids.contains(&RecordId(n)));
        assert_eq!(stored.header, entry(n).header);
    }
    for file in files(&dir) {
        let bytes = fs::read(dir.join(&file)).expect("read");
        for id in ids {
            let needle = entry(id.0).payload;
            assert!(
                !bytes.windows(needle.len()).any(|w| w == needle),
                "{} still holds it",
                file.display()
            );
        }
    }
    // The log goes on, also in the bundle with erased payloads.
    let log = Log::open(&dir, quiet()).expect("opened");
    append(&log, 600..900);
    log.close();
    assert_eq!((check(&dir).pruned, check(&dir).size), (4, 900));
    assert!(prune(&home.path().join("nothing"), &quiet(), &[], now).is_err());
    assert!(!home.path().join("nothing").exists());
}

#[test]
fn what_cannot_be_opened_is_told_with_place_and_remedy_and_left_alone() {
    let home = tempdir().expect("folder");
    let refused = |dir: &std::path::Path, options: Options| -> OpenError {
        // The segments of a log in use change by themselves.
        let contents = || -> Vec<_> {
            let still = files(dir).into_iter().filter(|f| !f.starts_with("wal"));
            still
                .map(|f| (fs::read(dir.join(&f)).expect("read"), f))
                .collect()
        };
        let before = contents();
        let error = Log::open(dir, options).expect_err("refused");
        assert!(before == contents(), "{error}");
        let text = error.to_string();
        assert!(text.contains(&*home.path().to_string_lossy()), "{text}");
        assert!(text.contains('('), "no remedy: {text}");
        error
    };
    let foreign = home.path().join("foreign");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("letter.txt"), "dear").expect("written");
    assert!(matches!(
        refused(&foreign, quiet()),
        OpenError::NotOurs { .. }
    ));
    fs::write(foreign.join("format"), "hello\n").expect("written");
    assert!(matches!(
        refused(&foreign, quiet()),
        OpenError::NotOurs { .. }
    ));
    fs::write(
        foreign.join("format"),
        "asepsis-audit-log 7\nsomething new\n",
    )
    .expect("written");
    assert!(matches!(
        refused(&foreign, quiet()),
        OpenError::Newer { version: 7, .. }
    ));

    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    assert!(matches!(refused(&dir, quiet()), OpenError::Locked { .. }));
    append(&log, 0..300);
    log.close();
    assert!(matches!(
        refused(
            &dir,
            Options {
                origin: "other".into(),
                ..quiet()
            }
        ),
        OpenError::OtherOrigin { .. }
    ));
    let key = home.path().join("keys/audit.key");
    let text = fs::read(&key).expect("read");
    fs::remove_file(&key).expect("removed");
    assert!(matches!(refused(&dir, quiet()), OpenError::Key { .. }));
    fs::write(&key, "nonsense").expect("written");
    assert!(Log::open(&dir, quiet()).is_err());
    fs::write(&key, text).expect("written");
    assert!(matches!(
        Log::open(
            &dir,
            Options {
                origin: "a b".into(),
                ..quiet()
            }
        ),
        Err(OpenError::BadOption(_))
    ));
    for name in [
        "checkpoint",
        "checkpoints",
        "vkey",
        "tile/1/000.p/1",
        "tile/0/000",
        "tile/entries/001.p/44",
        "payload/001",
    ] {
        let path = dir.join(name);
        let whole = fs::read(&path).expect("read");
        fs::remove_file(&path).expect("removed");
        refused(&dir, quiet());
        let mut bent = whole.clone();
        bent[3] ^= 1;
        fs::write(&path, &bent).expect("written");
        refused(&dir, quiet());
        fs::write(&path, &whole).expect("written");
    }
    Log::open(&dir, quiet()).expect("whole again").close();
}

#[test]
fn an_entry_that_does_not_fit_is_refused_and_the_next_is_not() {
    let home = tempdir().expect("folder");
    let log = Log::open(&home.path().join("audit"), quiet()).expect("made");
    let mut wide = entry(1);
    wide.header.insert("text".into(), "y".repeat(5000).into());
    assert!(matches!(
        log.append(wide).wait(),
        Err(Unavailable::Unrecordable(_))
    ));
    let mut heavy = entry(1);
    heavy.payload = vec![0; (1 << 20) + 1];
    assert!(matches!(
        log.append(heavy).wait(),
        Err(Unavailable::Unrecordable(_))
    ));
    let mut early = entry(1);
    early.at = Timestamp::from_millis(-1);
    assert!(matches!(
        log.append(early).wait(),
        Err(Unavailable::Unrecordable(_))
    ));
    let mut largest = entry(0);
    largest.payload = vec![7; 1 << 20];
    assert_eq!(log.append(largest).wait(), Ok(RecordId(0)));
    append(&log, 1..2);
    let dir = log.dir().to_owned();
    log.close();
    assert_eq!(check(&dir).size, 2);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let home = tempdir().expect("folder");
    // Commits keep such a distance that the queue fills up in between.
    let options = Options {
        queue_max: 10,
        commit_window: Duration::from_secs(2),
        ..quiet()
    };
    let log = Log::open(&home.path().join("audit"), options).expect("made");
    let results: Vec<_> = (0..200).map(|n| log.append(entry(n))).collect();
    let results: Vec<_> = results.into_iter().map(audit::Pending::wait).collect();
    let taken = results.iter().filter(|r| r.is_ok()).count();
    assert!(results.contains(&Err(Unavailable::QueueFull)));
    assert!((10..190).contains(&taken), "{taken}");
    let other = log.clone();
    log.close();
    assert_eq!(other.append(entry(0)).wait(), Err(Unavailable::Closed));
    assert_eq!(other.size(), taken as u64);
}

/// Counts how often it is woken.
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_pending_is_a_future_of_no_particular_runtime() {
    let home = tempdir().expect("folder");
    let log = Log::open(&home.path().join("audit"), quiet()).expect("made");
    for n in 0..200 {
        let mut pending = pin!(log.append(entry(n)));
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let mut cx = Context::from_waker(&waker);
        let start = Instant::now();
        let mut polls = 0;
        let id = loop {
            let woken = counter.0.load(Ordering::SeqCst);
            polls += 1;
            if let Poll::Ready(outcome) = pending.as_mut().poll(&mut cx) {
                break outcome.expect("durable");
            }
            // Polled again only when woken, but for one needless time.
            while polls > 1 && counter.0.load(Ordering::SeqCst) == woken {
                assert!(start.elapsed() < Duration::from_secs(20), "never woken");
                thread::yield_now();
            }
        };
        assert_eq!(id, RecordId(n));
    }
    drop(log.append(entry(200)));
    log.close();
}

#[test]
fn subscribers_are_told_each_durable_record_in_order() {
    let home = tempdir().expect("folder");
    let log = Log::open(&home.path().join("audit"), quiet()).expect("made");
    let told = Arc::new(Mutex::new(Vec::new()));
    let others = Arc::new(AtomicU64::new(0));
    let first = {
        let told = Arc::clone(&told);
        log.subscribe(Box::new(move |fresh| {
            told.lock()
                .expect("sound")
                .push(fresh.stored().expect("reads"))
        }))
    };
    let second = {
        let others = Arc::clone(&others);
        // A subscriber may hold the log itself.
        let log = log.clone();
        log.clone().subscribe(Box::new(move |fresh| {
            assert!(log.size() > fresh.id.0, "told before it was durable");
            others.fetch_add(1, Ordering::SeqCst);
        }))
    };
    append(&log, 0..50);
    let start = Instant::now();
    while others.load(Ordering::SeqCst) < 50 {
        assert!(start.elapsed() < Duration::from_secs(20), "not told");
        thread::sleep(Duration::from_millis(2));
    }
    log.unsubscribe(second);
    append(&log, 50..80);
    log.clone().close();
    assert_eq!(others.load(Ordering::SeqCst), 50);
    let told = told.lock().expect("sound");
    assert_eq!(told.len(), 80);
    for (n, stored) in told.iter().enumerate() {
        let expected = entry(n as u64);
        assert_eq!(
            (stored.id, stored.kind),
            (RecordId(n as u64), Kind::Decision)
        );
        assert_eq!(
            (&stored.header, &stored.payload),
            (&expected.header, &Some(expected.payload))
        );
    }
    drop(told);
    log.unsubscribe(first);
}

#[test]
fn readers_and_verifiers_work_beside_a_busy_writer() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let options = Options {
        checkpoint_every: Duration::from_millis(5),
        ..quiet()
    };
    let log = Log::open(&dir, options).expect("made");
    let acknowledged = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..6000 {
                log.append(entry(n)).wait().expect("durable");
                acknowledged.store(n + 1, Ordering::SeqCst);
            }
            done.store(1, Ordering::SeqCst);
        });
        let mut rounds = 0;
        while done.load(Ordering::SeqCst) == 0 {
            let before = acknowledged.load(Ordering::SeqCst);
            let reader = Reader::open(&dir).expect("opened");
            assert!(reader.len() >= before, "{} < {before}", reader.len());
            for id in [0, before / 2, before.saturating_sub(1)]
                .into_iter()
                .filter(|n| *n < before)
            {
                assert_eq!(
                    reader.record(RecordId(id)).expect("read").header,
                    entry(id).header
                );
            }
            let verified = check(&dir);
            assert!(verified.size >= before);
            if log.checkpoint().size > 0 {
                let proof = prove(&dir, RecordId(log.checkpoint().size - 1)).expect("proven");
                assert!(!proof.leaf.is_empty());
            }
            rounds += 1;
        }
        assert!(
            rounds > 3,
            "the writer was too quick for the test: {rounds}"
        );
    });
    log.close();
    assert_eq!(check(&dir).size, 6000);
}

#[test]
fn a_segment_that_somebody_removes_takes_no_acknowledged_record_with_it() {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..10);
    log.publish().expect("published");
    for file in files(&dir).into_iter().filter(|f| f.starts_with("wal")) {
        fs::remove_file(dir.join(file)).expect("removed");
    }
    append(&log, 10..20);
    let copied = home.path().join("copy");
    common::copy(&dir, &copied);
    assert_eq!(check(&copied).size, 20);
    log.close();
    assert_eq!(check(&dir).size, 20);
    // Without its folder the log does not go on as if nothing had happened.
    let log = Log::open(&dir, quiet()).expect("opened");
    fs::remove_dir_all(&dir).expect("removed");
    assert!(matches!(
        log.append(entry(0)).wait(),
        Err(Unavailable::Storage(_))
    ));
    assert!(matches!(log.state(), State::Failing(_)));
}
