//! The changes that the writer makes to the file system, behind a trait so that tests can let them fail.
//!
//! Reading goes to the file system directly.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// A file being written.
pub(crate) trait DiskFile: Send + Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes the contents durable, and the metadata needed to read them.
    fn sync_data(&self) -> io::Result<()>;
    /// Fails if nobody can find the file any more because its name was removed.
    fn check_linked(&self) -> io::Result<()>;
}

/// What changes files.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Makes one folder; it may exist.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for writing, makes it if need be, and empties it if `truncate`.
    fn open(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Puts one file in the place of another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything durable on the file system that holds `root`.
    fn sync_everything(&self, root: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug)]
pub(crate) struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn check_linked(&self) -> io::Result<()> {
        if self.0.metadata()?.nlink() > 0 {
            Ok(())
        } else {
            Err(io::Error::other("somebody removed it"))
        }
    }
}

impl Disk for RealDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn open(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(truncate)
            .open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_everything(&self, root: &Path) -> io::Result<()> {
        rustix::fs::syncfs(File::open(root)?).map_err(io::Error::from)
    }
}

/// Writes a small file so that after a crash either the old or the new one is there.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(crate::format::folder::UNFINISHED);
    replace_by_way_of(disk, Path::new(&unfinished), path, bytes)
}

/// The same, with the place where the new file is written at first.
pub(crate) fn replace_by_way_of(
    disk: &dyn Disk,
    unfinished: &Path,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    let file = disk.open(unfinished, true)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(unfinished, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
        Some(_) | None => disk.sync_dir(Path::new(".")),
    }
}
