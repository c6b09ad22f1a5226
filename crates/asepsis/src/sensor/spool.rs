//! Batches on disk until the centre has them.
//!
//! One file a batch, `NUMBER.json`, put there whole by renaming, and `spool`, which holds the spool's name. When the
//! folder holds more than its bound, the oldest batches go and are counted: a sensor that is cut off for weeks must not
//! fill its disk, and what is new matters more.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use parking_lot::Mutex;

/// The spool of one sensor.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    name: String,
    bytes_max: u64,
    held: Mutex<Held>,
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
        let label = folder.join("spool");
        let name = match fs::read_to_string(&label) {
            Ok(name) => name.trim().to_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let name = identity::Secret::generate().reveal();
                fs::write(&label, &name)
                    .with_context(|| format!("cannot write `{}`", label.display()))?;
                name
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read `{}`", label.display())),
        };
        ensure!(
            !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic()),
            "`{}` does not hold a spool's name (hint: is this folder another program's?)",
            label.display()
        );
        let mut batches = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{shown}`"))? {
            let path = entry?.path();
            let number = path
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
        let sent: u64 = fs::read_to_string(folder.join("sent"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        Ok(Self {
            folder: folder.to_owned(),
            name,
            bytes_max,
            held: Mutex::new(Held {
                bytes: batches.iter().map(|(_, bytes)| bytes).sum(),
                next: batches.last().map_or(0, |(n, _)| n + 1).max(sent + 1),
                batches: batches.into(),
                lost: 0,
            }),
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
        held.next += 1;
        let fresh = self.folder.join(format!("{number}.new"));
        fs::write(&fresh, body)
            .and_then(|()| fs::rename(&fresh, self.file(number)))
            .with_context(|| format!("cannot write into the spool `{}`", self.folder.display()))?;
        held.batches.push_back((number, body.len() as u64));
        held.bytes += body.len() as u64;
        while held.bytes > self.bytes_max && held.batches.len() > 1 {
            if let Some((oldest, bytes)) = held.batches.pop_front() {
                held.bytes -= bytes;
                held.lost += 1;
                remove(&self.file(oldest));
            }
        }
        Ok(())
    }

    /// The oldest batch that the centre does not have.
    pub(crate) fn oldest(&self) -> Option<(u64, Vec<u8>)> {
        loop {
            let (number, _) = *self.held.lock().batches.front()?;
            match fs::read(self.file(number)) {
                Ok(body) => return Some((number, body)),
                Err(error) => {
                    tracing::warn!(%error, number, "a batch in the spool cannot be read");
                    self.forget(number);
                    self.held.lock().lost += 1;
                }
            }
        }
    }

    /// The centre has this batch.
    pub(crate) fn sent(&self, number: u64) {
        let label = self.folder.join("sent");
        let fresh = self.folder.join("sent.fresh");
        if let Err(error) =
            fs::write(&fresh, number.to_string()).and_then(|()| fs::rename(&fresh, &label))
        {
            tracing::warn!(%error, "the spool cannot say how far it was sent");
        }
        self.forget(number);
    }

    fn forget(&self, number: u64) {
        let mut held = self.held.lock();
        if let Some(place) = held.batches.iter().position(|(n, _)| *n == number)
            && let Some((_, bytes)) = held.batches.remove(place)
        {
            held.bytes -= bytes;
            remove(&self.file(number));
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a batch cannot be removed from the spool");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_out_in_order_and_after_a_restart_with_numbers_never_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        spool.put(b"one").expect("kept");
        spool.put(b"two").expect("kept");
        let (first, body) = spool.oldest().expect("a batch");
        assert_eq!(body, b"one");
        spool.sent(first);
        let name = spool.name().to_owned();
        drop(spool);
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        assert_eq!(spool.name(), name);
        let (second, body) = spool.oldest().expect("a batch");
        assert_eq!(body, b"two");
        spool.sent(second);
        assert!(spool.oldest().is_none());
        drop(spool);
        let spool = Spool::open(folder.path(), 1 << 20).expect("opens");
        spool.put(b"three").expect("kept");
        let (third, _) = spool.oldest().expect("a batch");
        assert!(first < second && second < third, "{first} {second} {third}");
    }

    #[test]
    fn a_full_spool_loses_the_oldest_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 10).expect("opens");
        for body in [b"aaaa", b"bbbb", b"cccc"] {
            spool.put(body).expect("kept");
        }
        assert_eq!(spool.oldest().expect("a batch").1, b"bbbb");
        assert_eq!((spool.take_lost(), spool.take_lost()), (1, 0));
    }

    #[test]
    fn a_folder_of_another_program_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("spool"), "two words\nand lines").expect("written");
        let error = Spool::open(folder.path(), 10).expect_err("refused");
        assert!(error.to_string().contains("hint"), "{error}");
    }
}
