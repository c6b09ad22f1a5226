//! Batches on disk until the centre has them.
//!
//! One file a batch, `NUMBER.json`, put there whole by renaming, and `spool`, which holds the spool's name. When the
//! folder holds more than its bound, the oldest batches go and are counted: a sensor that is cut off for weeks must not
//! fill its disk, and what is new matters more. A batch stays until the centre has it in its file, not only in memory.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;

use super::batch::is_spool_name;

/// The spool of one sensor.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    name: String,
    bytes_max: u64,
    held: Mutex<Held>,
    /// The claim on the folder against another sensor.
    _label: File,
}

#[derive(Debug, Default)]
struct Held {
    /// Number and size, oldest first.
    batches: VecDeque<(u64, u64)>,
    bytes: u64,
    next: u64,
    lost: u64,
}

impl Spool {
    /// Opens the spool in this folder, which is created if there is none.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> anyhow::Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("cannot create the spool `{shown}`"))?;
        let (name, label) = claim(&folder.join("spool"))?;
        let mut batches = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{shown}`"))? {
            let path = entry?.path();
            let number: Option<u64> = path
                .file_stem()
                .and_then(|s| s.to_str())
                .and_then(|s| s.parse().ok());
            match (number, path.extension().and_then(|e| e.to_str())) {
                (Some(number), Some("json")) => batches.push((number, fs::metadata(&path)?.len())),
                // What a killed program was about to write.
                (Some(_), Some("new")) => fs::remove_file(&path)?,
                _ => {}
            }
        }
        batches.sort_unstable();
        // Numbers never come again, or the centre would take a new batch for one it has.
        let kept: u64 = fs::read_to_string(folder.join("kept"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        Ok(Self {
            folder: folder.to_owned(),
            name,
            bytes_max,
            held: Mutex::new(Held {
                bytes: batches.iter().map(|(_, bytes)| bytes).sum(),
                next: batches
                    .last()
                    .map_or(0, |(n, _)| n.saturating_add(1))
                    .max(kept.saturating_add(1)),
                batches: batches.into(),
                lost: 0,
            }),
            _label: label,
        })
    }

    /// Its name, which no other spool has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many batches were thrown away since this was last asked.
    pub(crate) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.held.lock().lost)
    }

    /// Keeps a batch, at the cost of the oldest ones if there is no room.
    pub(crate) fn put(&self, body: &[u8]) -> anyhow::Result<()> {
        let mut held = self.held.lock();
        let number = held.next;
        held.next = held.next.saturating_add(1);
        let fresh = self.folder.join(format!("{number}.new"));
        while let Err(error) = write_whole(&fresh, &self.file(number), body) {
            remove(&fresh);
            // What is new matters more, also where others have filled the disk.
            if error.kind() != ErrorKind::StorageFull || !self.drop_oldest(&mut held) {
                return Err(error).with_context(|| {
                    format!("cannot write into the spool `{}`", self.folder.display())
                });
            }
        }
        held.batches.push_back((number, body.len() as u64));
        held.bytes += body.len() as u64;
        while held.bytes > self.bytes_max && held.batches.len() > 1 {
            self.drop_oldest(&mut held);
        }
        Ok(())
    }

    /// Throws the oldest batch away; answers whether there was one.
    fn drop_oldest(&self, held: &mut Held) -> bool {
        let Some((oldest, bytes)) = held.batches.pop_front() else {
            return false;
        };
        held.bytes -= bytes;
        held.lost += 1;
        remove(&self.file(oldest));
        true
    }

    /// The oldest batch after this number.
    pub(crate) fn after(&self, last: u64) -> Option<(u64, Vec<u8>)> {
        loop {
            let number = {
                let held = self.held.lock();
                let place = held.batches.partition_point(|(number, _)| *number <= last);
                held.batches.get(place)?.0
            };
            match fs::read(self.file(number)) {
                Ok(body) => return Some((number, body)),
                Err(error) => {
                    tracing::warn!(%error, number, "a batch in the spool cannot be read");
                    self.lose(number);
                }
            }
        }
    }

    /// The centre has every batch up to this one in its file.
    pub(crate) fn kept(&self, number: u64) {
        let mut held = self.held.lock();
        // A disk that was restored: what comes must not bear numbers that the centre knows.
        held.next = held.next.max(number.saturating_add(1));
        let mut gone = Vec::new();
        while let Some((oldest, bytes)) = held.batches.front().copied() {
            if oldest > number {
                break;
            }
            held.batches.pop_front();
            held.bytes -= bytes;
            gone.push(oldest);
        }
        if gone.is_empty() {
            return;
        }
        let fresh = self.folder.join("kept.new");
        let label = self.folder.join("kept");
        if let Err(error) = write_whole(&fresh, &label, number.to_string().as_bytes()) {
            tracing::warn!(%error, "the spool cannot say how far it was taken");
        }
        for number in gone {
            remove(&self.file(number));
        }
    }

    /// This batch is of no use: the centre does not understand it, or the disk has lost it.
    pub(crate) fn lose(&self, number: u64) {
        let mut held = self.held.lock();
        if let Some(place) = held.batches.iter().position(|(n, _)| *n == number)
            && let Some((_, bytes)) = held.batches.remove(place)
        {
            held.bytes -= bytes;
            held.lost += 1;
            remove(&self.file(number));
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }
}

/// The spool's name, and the file that holds it, which nobody else may hold.
fn claim(path: &Path) -> anyhow::Result<(String, File)> {
    let shown = path.display();
    let mut label = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open `{shown}`"))?;
    match label.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another sensor uses the spool of `{shown}` (hint: give each sensor a `spool` of its own)"
        ),
        Err(TryLockError::Error(e)) => {
            return Err(e).with_context(|| format!("cannot lock `{shown}`"));
        }
    }
    let mut text = String::new();
    (&label)
        .take(1024)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read `{shown}`"))?;
    if text.is_empty() {
        text = identity::Secret::generate().reveal();
        label
            .write_all(text.as_bytes())
            .and_then(|()| label.sync_all())
            .with_context(|| format!("cannot write `{shown}`"))?;
    }
    let name = text.trim().to_owned();
    ensure!(
        is_spool_name(&name),
        "`{shown}` does not hold a spool's name (hint: is this folder another program's?)"
    );
    Ok((name, label))
}

/// Writes a file under another name first, so that it is there whole or not at all, also after a power failure.
fn write_whole(fresh: &Path, path: &Path, body: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(fresh)?;
    file.write_all(body)?;
    file.sync_data()?;
    fs::rename(fresh, path)
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file cannot be removed from the spool");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(spool: &Spool, mut last: u64) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((number, body)) = spool.after(last) {
            all.push(String::from_utf8(body).expect("text"));
            last = number;
        }
        all
    }

    #[test]
    fn batches_come_out_in_order_and_after_a_restart_with_numbers_never_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Spool::open(folder.path(), 1 << 20).expect("opens");
        let spool = open();
        spool.put(b"one").expect("kept");
        spool.put(b"two").expect("kept");
        assert_eq!(bodies(&spool, 0), ["one", "two"]);
        let (first, _) = spool.after(0).expect("a batch");
        assert_eq!(first, 1);
        spool.kept(first);
        let name = spool.name().to_owned();
        drop(spool);
        let spool = open();
        assert_eq!(spool.name(), name);
        let (second, body) = spool.after(0).expect("a batch");
        assert_eq!(body, b"two");
        spool.kept(second);
        assert!(spool.after(0).is_none());
        drop(spool);
        let spool = open();
        spool.put(b"three").expect("kept");
        let (third, _) = spool.after(0).expect("a batch");
        assert!(first < second && second < third, "{first} {second} {third}");
    }

    #[test]
    fn what_was_sent_and_is_not_in_the_centres_file_is_there_to_be_sent_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        for body in ["one", "two", "three"] {
            spool.put(body.as_bytes()).expect("kept");
        }
        spool.kept(1);
        assert_eq!(bodies(&spool, 3), [""; 0]);
        assert_eq!(bodies(&spool, 1), ["two", "three"]);
    }

    #[test]
    fn a_full_spool_loses_the_oldest_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 10).expect("opens");
        for body in [b"aaaa", b"bbbb", b"cccc"] {
            spool.put(body).expect("kept");
        }
        assert_eq!(bodies(&spool, 0), ["bbbb", "cccc"]);
        assert_eq!((spool.take_lost(), spool.take_lost()), (1, 0));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error_and_works_again_when_it_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("spool");
        let spool = Spool::open(&inside, 1 << 20).expect("opens");
        spool.put(b"one").expect("kept");
        fs::rename(&inside, folder.path().join("away")).expect("moved");
        let error = spool.put(b"two").expect_err("no folder");
        assert!(error.to_string().contains("spool"), "{error}");
        assert_eq!(spool.after(0), None, "what cannot be read is lost");
        assert_eq!(spool.take_lost(), 1);
        fs::create_dir(&inside).expect("a folder");
        spool.put(b"three").expect("kept");
        assert_eq!(bodies(&spool, 0), ["three"]);
    }

    #[test]
    fn a_full_disk_costs_the_oldest_batch_and_not_the_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        spool.put(b"one").expect("kept");
        spool.put(b"two").expect("kept");
        // Writing to it fails as on a full disk, once: the attempt is removed.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("3.new")).expect("linked");
        spool.put(b"three").expect("kept");
        assert_eq!(bodies(&spool, 0), ["two", "three"]);
        assert_eq!(spool.take_lost(), 1);
    }

    #[test]
    fn a_centre_that_knows_more_than_a_restored_disk_gets_fresh_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        spool.kept(500);
        spool.put(b"new").expect("kept");
        assert_eq!(spool.after(0).expect("a batch").0, 501);
    }

    #[test]
    fn a_folder_of_another_program_or_of_another_sensor_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("spool"), "two words\nand lines").expect("written");
        let error = Spool::open(folder.path(), 10).expect_err("refused");
        assert!(error.to_string().contains("hint"), "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let _first = Spool::open(folder.path(), 10).expect("opens");
        let error = Spool::open(folder.path(), 10).expect_err("refused");
        assert!(error.to_string().contains("another sensor"), "{error}");
    }
}
