//! A disk that is really full: a small file system in memory, mounted if the tests run as root.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use audit::{Log, Options, Reader, State, Unavailable};
use common::{check, entry};
use domain::RecordId;
use tempfile::tempdir;

/// A mounted file system; unmounted when dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn small(at: &'a Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|s| s.success()).then_some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_file_system_loses_nothing_that_was_acknowledged() {
    let home = tempdir().expect("folder");
    let at = home.path().join("disk");
    fs::create_dir(&at).expect("made");
    let Some(_mount) = Mount::small(&at) else {
        eprintln!("skipped: a small file system can only be mounted by root");
        return;
    };
    let dir = at.join("audit");
    let options = Options {
        segment_bytes: 256 << 10,
        wal_bytes_max: 1 << 20,
        checkpoint_every: Duration::from_millis(20),
        key_file: Some(home.path().join("audit.key")),
        ..Options::default()
    };
    let log = Log::open(&dir, options.clone()).expect("made");
    let ballast = at.join("ballast");
    fs::write(&ballast, vec![1; 3 << 20]).expect("written");
    let mut acknowledged = Vec::new();
    let mut next = 0;
    let refused = loop {
        let pending: Vec<_> = (next..next + 100)
            .map(|n| (n, log.append(entry(n))))
            .collect();
        next += 100;
        let mut refused = None;
        for (n, pending) in pending {
            match pending.wait() {
                Ok(id) => acknowledged.push((id, n)),
                Err(why) => refused = Some(why),
            }
        }
        if let Some(refused) = refused {
            break refused;
        }
        assert!(next < 200_000, "the file system never filled up");
    };
    assert!(
        matches!(&refused, Unavailable::Storage(reason) if reason.contains("space")),
        "{refused}"
    );
    assert!(matches!(log.state(), State::Failing(_)));
    let demand = |acknowledged: &[(RecordId, u64)]| {
        let reader = Reader::open(&dir).expect("opened");
        for (id, n) in acknowledged {
            assert_eq!(reader.record(*id).expect("read").header, entry(*n).header);
        }
    };
    demand(&acknowledged);
    fs::remove_file(ballast).expect("removed");
    let start = Instant::now();
    while log.state() != State::Ok {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "no recovery: {:?}",
            log.state()
        );
        thread::sleep(Duration::from_millis(5));
    }
    for n in next..next + 50 {
        acknowledged.push((log.append(entry(n)).wait().expect("durable"), n));
    }
    log.close();
    demand(&acknowledged);
    assert_eq!(check(&dir).size, acknowledged.len() as u64);
    Log::open(&dir, options).expect("opened").close();
}
