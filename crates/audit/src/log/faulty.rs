//! A disk for tests: it fails on demand, and it knows what a power cut would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, RealDisk};

/// What shall fail, asked before each change with its name and place.
type Rule = Box<dyn Fn(Change, &Path) -> Option<io::Error> + Send>;

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Write,
    Sync,
    Other,
}

const SECTOR: usize = 512;

/// A file as the disk holds it, apart from what the page cache holds.
#[derive(Clone, Debug, Default)]
struct Image {
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<(usize, Vec<u8>)>,
    /// Lengths set since the last sync.
    cut: Option<usize>,
}

/// A change of names that may or may not have reached the disk.
#[derive(Clone, Debug)]
enum Naming {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl Naming {
    fn parent(&self) -> &Path {
        let path = match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _) => path,
        };
        path.parent().unwrap_or(path)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Default)]
struct Model {
    images: BTreeMap<u64, Image>,
    /// Names as programs see them, and as the disk holds them.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    namings: Vec<Naming>,
    dirs: BTreeSet<PathBuf>,
    next_inode: u64,
    rule: Option<Rule>,
    /// Whether a failed sync drops what it should have written, as kernels do.
    forgetful: bool,
}

/// The disk. All changes go to a real folder as well, which is what the log reads.
#[derive(Clone)]
pub(super) struct FaultyDisk(Arc<Mutex<Model>>);

impl std::fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultyDisk")
    }
}

impl FaultyDisk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Model {
            forgetful: true,
            ..Model::default()
        })))
    }

    /// From now on fails what the rule says.
    pub(super) fn fail(&self, rule: impl Fn(Change, &Path) -> Option<io::Error> + Send + 'static) {
        self.0.lock().rule = Some(Box::new(rule));
    }

    /// From now on nothing fails.
    pub(super) fn heal(&self) {
        self.0.lock().rule = None;
    }

    fn check(&self, change: Change, path: &Path) -> io::Result<()> {
        let model = self.0.lock();
        model
            .rule
            .as_ref()
            .and_then(|rule| rule(change, path))
            .map_or(Ok(()), Err)
    }

    /// Writes into `out` what the disk might hold if the power went now: all that was synced, and of the rest whatever
    /// `chance` lets through, sector by sector and name by name.
    pub(super) fn power_cut(&self, root: &Path, out: &Path, chance: &mut dyn FnMut() -> bool) {
        let model = self.0.lock();
        let mut names = model.durable_names.clone();
        // A journal keeps the order of changes of names: a beginning of them survives.
        let pending: Vec<&Naming> = model.namings.iter().collect();
        for naming in pending {
            if !chance() {
                break;
            }
            naming.apply(&mut names);
        }
        for dir in &model.dirs {
            fs::create_dir_all(out.join(dir.strip_prefix(root).expect("within"))).expect("made");
        }
        for (path, inode) in names {
            let image = &model.images[&inode];
            let mut bytes = image.durable.clone();
            if let Some(length) = image.cut.filter(|_| chance()) {
                bytes.resize(length, 0);
            }
            for (offset, written) in &image.pending {
                let mut at = 0;
                while at < written.len() {
                    let end = (at + SECTOR - (offset + at) % SECTOR).min(written.len());
                    if chance() {
                        if bytes.len() < offset + end {
                            bytes.resize(offset + end, 0);
                        }
                        bytes[offset + at..offset + end].copy_from_slice(&written[at..end]);
                    }
                    at = end;
                }
            }
            let target = out.join(path.strip_prefix(root).expect("within"));
            fs::create_dir_all(target.parent().expect("within")).expect("made");
            fs::write(target, bytes).expect("written");
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    inode: u64,
    real: Box<dyn DiskFile>,
}

impl FaultyFile {
    fn image<T>(&self, change: impl FnOnce(&mut Image) -> T) -> T {
        change(
            self.disk
                .0
                .lock()
                .images
                .get_mut(&self.inode)
                .expect("open files exist"),
        )
    }
}

impl Image {
    fn settle(&mut self) {
        if let Some(length) = self.cut.take() {
            self.durable.resize(length, 0);
        }
        for (offset, written) in self.pending.drain(..) {
            let end = offset + written.len();
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[offset..end].copy_from_slice(&written);
        }
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.check(Change::Write, &self.path)?;
        let place = usize::try_from(offset).expect("small");
        self.image(|i| i.pending.push((place, bytes.to_vec())));
        self.real.write_at(offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.check(Change::Write, &self.path)?;
        let length = usize::try_from(bytes).expect("small");
        self.image(|i| {
            i.settle();
            i.cut = Some(length);
        });
        self.real.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Err(e) = self.disk.check(Change::Sync, &self.path) {
            let forgetful = self.disk.0.lock().forgetful;
            if forgetful {
                self.image(|i| i.pending.clear());
            }
            return Err(e);
        }
        self.image(Image::settle);
        Ok(())
    }

    fn check_linked(&self) -> io::Result<()> {
        self.real.check_linked()
    }
}

impl Disk for FaultyDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Change::Other, path)?;
        self.0.lock().dirs.insert(path.to_owned());
        RealDisk.make_dir(path)
    }

    fn open(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn DiskFile>> {
        self.check(Change::Other, path)?;
        let real = RealDisk.open(path, truncate)?;
        let mut model = self.0.lock();
        let inode = match model.names.get(path) {
            Some(inode) => *inode,
            None => {
                model.next_inode += 1;
                let inode = model.next_inode;
                model.names.insert(path.to_owned(), inode);
                model.images.insert(inode, Image::default());
                model.namings.push(Naming::Link(path.to_owned(), inode));
                inode
            }
        };
        if truncate {
            let image = model.images.get_mut(&inode).expect("just looked up");
            // Cutting a file off may reach the disk before what is written after it.
            image.pending.clear();
            image.durable.clear();
        }
        drop(model);
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            inode,
            real,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Change::Other, to)?;
        RealDisk.rename(from, to)?;
        let mut model = self.0.lock();
        let inode = model.names.remove(from).expect("it exists");
        model.names.insert(to.to_owned(), inode);
        model
            .namings
            .push(Naming::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Change::Other, path)?;
        RealDisk.remove(path)?;
        let mut model = self.0.lock();
        model.names.remove(path);
        model.namings.push(Naming::Unlink(path.to_owned()));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Change::Sync, path)?;
        let mut model = self.0.lock();
        let Model {
            namings,
            durable_names,
            ..
        } = &mut *model;
        // A folder's sync carries its own names; those of other folders may stay behind.
        namings.retain(|naming| {
            let here = naming.parent() == path;
            if here {
                naming.apply(durable_names);
            }
            !here
        });
        Ok(())
    }

    fn sync_everything(&self, root: &Path) -> io::Result<()> {
        self.check(Change::Sync, root)?;
        let mut model = self.0.lock();
        let Model {
            namings,
            durable_names,
            images,
            ..
        } = &mut *model;
        for naming in namings.drain(..) {
            naming.apply(durable_names);
        }
        images.values_mut().for_each(Image::settle);
        Ok(())
    }
}
