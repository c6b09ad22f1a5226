//! Whatever is changed in a log folder, `verify` finds it and says where.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use audit::{Fault, Log, Reader, prove, prune, verify};
use common::{append, check, copy, files, quiet};
use domain::{RecordId, Timestamp};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

/// A closed log of 600 records in four checkpoints, with some payloads erased.
fn closed() -> (TempDir, PathBuf) {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    for range in [0..10, 10..300, 300..520, 520..600] {
        append(&log, range);
        log.publish().expect("published");
    }
    log.close();
    let ids = [RecordId(7), RecordId(290), RecordId(555)];
    prune(
        &dir,
        &quiet(),
        &ids,
        Timestamp::from_millis(1_800_000_000_000),
    )
    .expect("pruned");
    (home, dir)
}

/// A log whose process died: records under a checkpoint, and others in two segments only.
fn killed() -> (TempDir, PathBuf) {
    let home = tempdir().expect("folder");
    let dir = home.path().join("audit");
    let log = Log::open(&dir, quiet()).expect("made");
    append(&log, 0..300);
    log.publish().expect("published");
    append(&log, 300..420);
    let copied = home.path().join("copy");
    copy(&dir, &copied);
    log.close();
    assert_eq!(check(&copied).size, 420);
    (home, copied)
}

fn fault(dir: &Path) -> Option<Fault> {
    verify(dir, None, &mut |_, _| ()).err()
}

/// Flips bits of a file, all of them or a dense sample, and demands that each is found.
fn flip_all(dir: &Path, file: &Path, step: usize) -> usize {
    let path = dir.join(file);
    let whole = fs::read(&path).expect("read");
    let mut flipped = 0;
    for at in (0..whole.len())
        .step_by(step)
        .chain(whole.len().checked_sub(1))
    {
        let mut bent = whole.clone();
        bent[at] ^= 1 << (at % 8);
        fs::write(&path, &bent).expect("written");
        let Some(fault) = fault(dir) else {
            panic!("byte {at} of {} passes", file.display())
        };
        let named = file.to_string_lossy();
        let vague = ["format", "vkey", "checkpoint", "checkpoints"].contains(&&*named);
        assert!(
            vague || fault.place.contains(&*named),
            "byte {at} of {named} is reported as: {fault}"
        );
        flipped += 1;
    }
    fs::write(&path, &whole).expect("written");
    flipped
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_found() {
    let (_home, dir) = closed();
    assert_eq!(check(&dir).pruned, 3);
    let mut flipped = 0;
    for file in files(&dir) {
        let bytes = fs::metadata(dir.join(&file)).expect("there").len();
        // Small files byte by byte, the others in a dense sample with a step that meets every place of a record.
        let step = if bytes < 3000 { 1 } else { 97 };
        flipped += flip_all(&dir, &file, step);
    }
    assert!(flipped > 5000, "{flipped}");
    check(&dir);
}

#[test]
fn every_flipped_byte_of_a_killed_log_is_found() {
    let (_home, dir) = killed();
    let mut flipped = 0;
    for file in files(&dir).into_iter().filter(|f| f.starts_with("wal")) {
        flipped += flip_all(&dir, &file, 1999);
        // The beginning, where the head and the first batch are, byte by byte.
        let path = dir.join(&file);
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len().min(400) {
            let mut bent = whole.clone();
            bent[at] ^= 0x10;
            fs::write(&path, &bent).expect("written");
            assert!(
                fault(&dir).is_some(),
                "byte {at} of {} passes",
                file.display()
            );
        }
        fs::write(&path, &whole).expect("written");
    }
    assert!(flipped > 50, "{flipped}");
    check(&dir);
}

#[test]
fn every_dropped_or_cut_file_is_found() {
    let (_home, dir) = closed();
    for file in files(&dir).into_iter().filter(|f| !f.ends_with("lock")) {
        let path = dir.join(&file);
        let whole = fs::read(&path).expect("read");
        fs::remove_file(&path).expect("removed");
        assert!(fault(&dir).is_some(), "without {}", file.display());
        for keep in [
            0,
            1,
            whole.len() / 2,
            whole.len().saturating_sub(33),
            whole.len() - 1,
        ] {
            fs::write(&path, &whole[..keep]).expect("written");
            assert!(
                fault(&dir).is_some(),
                "{} bytes of {}",
                keep,
                file.display()
            );
        }
        fs::write(&path, [&whole[..], b"x"].concat()).expect("written");
        assert!(fault(&dir).is_some(), "a byte more in {}", file.display());
        fs::write(&path, &whole).expect("written");
    }
    check(&dir);
}

#[test]
fn exchanged_files_and_strange_ones_are_found() {
    let (_home, dir) = closed();
    let exchange = |a: &str, b: &str| {
        let (a, b) = (dir.join(a), dir.join(b));
        let (in_a, in_b) = (fs::read(&a).expect("read"), fs::read(&b).expect("read"));
        fs::write(&a, &in_b).expect("written");
        fs::write(&b, &in_a).expect("written");
        assert!(fault(&dir).is_some(), "{} and {}", a.display(), b.display());
        fs::write(&a, &in_a).expect("written");
        fs::write(&b, &in_b).expect("written");
    };
    exchange("tile/entries/000", "tile/entries/001");
    exchange("tile/0/000", "tile/0/001");
    exchange("payload/000", "payload/001");
    for strange in [
        "tile/entries/009",
        "tile/0/002.p/9",
        "tile/9/000",
        "tile/notes.txt",
        "payload/009",
        "payload/x",
        "wal/0000000007x",
    ] {
        let path = dir.join(strange);
        let made = path.parent().is_some_and(|p| !p.exists());
        fs::create_dir_all(path.parent().expect("within")).expect("made");
        fs::write(&path, b"strange").expect("written");
        let found = fault(&dir).unwrap_or_else(|| panic!("{strange} passes"));
        assert!(found.place.contains(strange), "{found}");
        fs::remove_file(&path).expect("removed");
        if made {
            fs::remove_dir(path.parent().expect("within")).expect("removed");
        }
    }
    check(&dir);
}

#[test]
fn exchanged_records_are_found_though_their_files_read_well() {
    let (_home, dir) = closed();
    // Two entries of the same length change places, with their payloads.
    let path = dir.join("tile/entries/000");
    let whole = fs::read(&path).expect("read");
    let mut places = Vec::new();
    let mut at = 0;
    while at < whole.len() {
        let length = usize::from(u16::from_be_bytes([whole[at], whole[at + 1]]));
        places.push(at..at + 2 + length);
        at += 2 + length;
    }
    let (a, b) = (places[20].clone(), places[21].clone());
    assert_eq!(a.len(), b.len());
    let mut bent = whole.clone();
    bent[a.clone()].copy_from_slice(&whole[b.clone()]);
    bent[b].copy_from_slice(&whole[a]);
    fs::write(&path, bent).expect("written");
    let fault = fault(&dir).expect("found");
    assert_eq!(fault.place, "tile/entries/000, record 20");
}

#[test]
fn an_erasure_that_the_log_did_not_sign_is_found() {
    let (_home, dir) = closed();
    let path = dir.join("payload/000");
    let whole = fs::read(&path).expect("read");
    // The first record's payload is replaced by another's signed erasure, as somebody without the key could.
    let length = 4 + 16 + u32::from_be_bytes([whole[0], whole[1], whole[2], whole[3]]) as usize;
    let erased = whole
        .windows(4)
        .position(|w| w == [0xFF; 4])
        .expect("record 7 is erased");
    let slot = whole[erased..erased + 4 + 8 + 64].to_vec();
    fs::write(&path, [&slot[..], &whole[length..]].concat()).expect("written");
    let fault = fault(&dir).expect("found");
    assert_eq!(fault.place, "payload/000, record 0");
    assert!(fault.what.contains("signature"), "{fault}");
}

#[test]
fn a_log_signed_by_another_key_is_found() {
    let (_home, dir) = closed();
    let (_other_home, other) = closed();
    for name in ["checkpoint", "vkey"] {
        let path = dir.join(name);
        let whole = fs::read(&path).expect("read");
        fs::copy(other.join(name), &path).expect("copied");
        assert!(fault(&dir).is_some(), "{name}");
        fs::write(&path, whole).expect("written");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Nothing that reads a folder panics, whatever lies in it.
    #[test]
    fn arbitrary_folders_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..300), any::<prop::sample::Index>(), 0u8..4), 1..6),
    ) {
        thread_local! {
            static LOGS: [(TempDir, PathBuf); 2] = [closed(), killed()];
        }
        LOGS.with(|logs| {
            for (_, original) in logs {
                let home = tempdir().expect("folder");
                let dir = home.path().join("audit");
                copy(original, &dir);
                for (file, bytes, place, how) in &changes {
                    let all = files(&dir);
                    let path = dir.join(&all[file.index(all.len())]);
                    let mut content = fs::read(&path).expect("read");
                    let at = place.index(content.len() + 1);
                    match how {
                        0 => content.clone_from(bytes),
                        1 => content.truncate(at),
                        2 => content.splice(at..at, bytes.iter().copied()).for_each(drop),
                        _ => {
                            for (old, new) in content[at..].iter_mut().zip(bytes) {
                                *old = *new;
                            }
                        }
                    }
                    fs::write(&path, content).expect("written");
                }
                let _ = verify(&dir, None, &mut |_, _| ());
                let _ = prove(&dir, RecordId(3));
                if let Ok(reader) = Reader::open(&dir) {
                    for stored in reader.records(0..reader.len().min(700)) {
                        let _ = stored;
                    }
                }
                fs::create_dir_all(home.path().join("keys")).expect("made");
                fs::copy(original.with_file_name("keys").join("audit.key"), home.path().join("keys/audit.key")).expect("copied");
                if let Ok(log) = Log::open(&dir, quiet()) {
                    log.close();
                }
            }
        });
    }
}
