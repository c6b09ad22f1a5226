//! Opening a folder: creating it, or bringing it back to where its last acknowledged record left it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::tiles::{Front, KeptNote, Tiles, WriteFault};
use super::writer::Tip;
use super::{Options, Recovery};
use crate::disk::{Disk, replace};
use crate::format::folder::{
    CHECKPOINT, HISTORY, LOCK, MARKER, Marker, UNFINISHED, VKEY, WAL, encode_history,
    encode_marker, parse_history, parse_marker, payload_path,
};
use crate::format::note::{Checkpoint, NOTE_BYTES_MAX, SigningKey, VerifierKey, is_name};
use crate::format::payload::split_slot;
use crate::format::tile::{
    Edge, Shelf, WIDTH, decode_entries, full_tiles, partial_bundle, partial_tiles,
};
use crate::format::tree::{empty_root, leaf_hash, perfect_root};
use crate::replay::{Rigour, WalFault, list_segments, walk};
use crate::shelf::{
    PAYLOAD_FILE_BYTES_MAX, ShelfFault, TileNodes, read_bounded, read_bundle, read_tile,
};

/// How often, and how far apart, the lock is tried.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a folder could not be opened as a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading or writing failed.
    #[error("cannot use `{}`: {source}", place.display())]
    Io {
        /// The file or folder.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An option makes no sense.
    #[error("{0}")]
    BadOption(&'static str),
    /// The folder holds something else.
    #[error("`{}` is not an audit log: it holds `{found}` (name an empty folder or one that this program made)", place.display())]
    NotOurs {
        /// The folder.
        place: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The folder was written by a newer program.
    #[error("`{}` is an audit log of format {version}, which this program is too old for (use the newer program)", place.display())]
    Newer {
        /// The folder.
        place: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Another process writes the log.
    #[error("`{}` is in use by another process (stop it first; reading and verifying need no lock)", place.display())]
    Locked {
        /// The folder.
        place: PathBuf,
    },
    /// The folder is the log of another origin.
    #[error("`{}` is the log `{found}`, not `{wanted}` (correct the configured origin, or name another folder)", place.display())]
    OtherOrigin {
        /// The folder.
        place: PathBuf,
        /// The origin in the folder.
        found: String,
        /// The origin asked for.
        wanted: String,
    },
    /// The signing key is missing, unreadable or another one.
    #[error("the signing key `{}` {what}", place.display())]
    Key {
        /// The key file.
        place: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// The folder contradicts itself.
    #[error("the log in `{}` is damaged: {what} (keep the folder as it is; `audit verify` shows the extent; restore a copy or start a new folder)", place.display())]
    Damaged {
        /// The folder.
        place: PathBuf,
        /// The file and what is wrong with it.
        what: String,
    },
}

/// A folder brought in order.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) lock: File,
    pub(super) tiles: Tiles,
    pub(super) tip: Tip,
    pub(super) recovery: Recovery,
    pub(super) sequence: u64,
}

fn io_at(place: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    |source| OpenError::Io {
        place: place.to_owned(),
        source,
    }
}

struct Opening<'a> {
    dir: &'a Path,
    options: &'a Options,
    disk: &'a Arc<dyn Disk>,
}

/// Opens, creates or recovers the log in `dir`.
pub(super) fn open(
    dir: &Path,
    options: &Options,
    disk: &Arc<dyn Disk>,
) -> Result<Opened, OpenError> {
    if !is_name(&options.origin) {
        return Err(OpenError::BadOption(
            "the audit log's origin must not be empty nor hold spaces, control characters or `+`",
        ));
    }
    let opening = Opening { dir, options, disk };
    // Looked at before anything is made, so that a folder of somebody else stays untouched.
    opening.check_marker()?;
    let dirs_made = make_dirs(dir).map_err(io_at(dir))?;
    let lock = opening.lock()?;
    let fresh = opening.check_marker()?;
    opening.open_locked(lock, fresh, dirs_made)
}

/// Makes the folder, readable by its owner alone, and says whether it was new.
fn make_dirs(dir: &Path) -> io::Result<bool> {
    if dir.is_dir() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    Ok(true)
}

/// The file where the signing key lies.
fn key_file(dir: &Path, options: &Options) -> PathBuf {
    if let Some(file) = &options.key_file {
        return file.clone();
    }
    let mut name = dir.file_name().unwrap_or("audit".as_ref()).to_owned();
    name.push(".key");
    dir.parent()
        .unwrap_or(Path::new(""))
        .join("keys")
        .join(name)
}

impl Opening<'_> {
    fn damaged(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged {
            place: self.dir.to_owned(),
            what: what.into(),
        }
    }

    /// Whether the folder is empty or missing; an error if it is not ours.
    fn check_marker(&self) -> Result<bool, OpenError> {
        let path = self.dir.join(MARKER);
        match read_bounded(self.dir, MARKER, 1024) {
            Ok(bytes) => match parse_marker(&bytes) {
                Marker::Ours { origin } if origin == self.options.origin => Ok(false),
                Marker::Ours { origin } => Err(OpenError::OtherOrigin {
                    place: self.dir.to_owned(),
                    found: origin,
                    wanted: self.options.origin.clone(),
                }),
                Marker::Newer { version } => Err(OpenError::Newer {
                    place: self.dir.to_owned(),
                    version,
                }),
                Marker::Foreign => Err(self.not_ours(MARKER)),
            },
            Err(ShelfFault::Changed(..)) => Err(self.not_ours(MARKER)),
            Err(ShelfFault::Io(_, e)) if e.kind() == io::ErrorKind::NotFound => self.check_empty(),
            Err(ShelfFault::Io(_, e)) => Err(io_at(&path)(e)),
        }
    }

    fn not_ours(&self, found: impl Into<String>) -> OpenError {
        OpenError::NotOurs {
            place: self.dir.to_owned(),
            found: found.into(),
        }
    }

    fn check_empty(&self) -> Result<bool, OpenError> {
        let entries = match fs::read_dir(self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            other => other.map_err(io_at(self.dir))?,
        };
        for entry in entries {
            let name = entry.map_err(io_at(self.dir))?.file_name();
            // What a crash while creating leaves, and what a file system's own root holds.
            let harmless = name == LOCK
                || name == "lost+found"
                || name == format!("{MARKER}{UNFINISHED}").as_str();
            if !harmless {
                return Err(self.not_ours(name.to_string_lossy()));
            }
        }
        Ok(true)
    }

    fn lock(&self) -> Result<File, OpenError> {
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_at(&path))?;
        for attempt in 1.. {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                // Somebody who verifies takes the lock for a moment.
                Err(Errno::WOULDBLOCK) if attempt < LOCK_ATTEMPTS => thread::sleep(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => break,
                Err(e) => return Err(io_at(&path)(e.into())),
            }
        }
        Err(OpenError::Locked {
            place: self.dir.to_owned(),
        })
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), OpenError> {
        let path = self.dir.join(name);
        replace(self.disk.as_ref(), &path, bytes).map_err(io_at(&path))
    }

    fn open_locked(&self, lock: File, fresh: bool, dirs_made: bool) -> Result<Opened, OpenError> {
        if fresh {
            self.replace(MARKER, encode_marker(&self.options.origin).as_bytes())?;
            if dirs_made
                && let Some(parent) = self.dir.parent().filter(|p| !p.as_os_str().is_empty())
            {
                self.disk.sync_dir(parent).map_err(io_at(parent))?;
            }
        }
        let has_checkpoint = self.dir.join(CHECKPOINT).exists();
        if !has_checkpoint {
            self.check_unwritten()?;
        }
        let key = self.key(!has_checkpoint)?;
        self.check_vkey(&key, !has_checkpoint)?;
        if !has_checkpoint {
            self.replace(HISTORY, encode_history(&[]).as_bytes())?;
            let wal = self.dir.join(WAL);
            self.disk.make_dir(&wal).map_err(io_at(&wal))?;
            let empty = Checkpoint {
                origin: self.options.origin.clone(),
                size: 0,
                root: empty_root(),
            };
            // Last: from here on the folder is a log.
            self.replace(CHECKPOINT, key.sign(&empty.to_string()).as_bytes())?;
        }
        for name in [CHECKPOINT, HISTORY, VKEY, "payload"] {
            let _ = fs::remove_file(self.dir.join(format!("{name}{UNFINISHED}")));
        }
        let (newest, note) = self.checkpoint(key.verifier())?;
        let history = self.history(key.verifier())?;
        let front = self.front(&newest)?;
        let kept = KeptNote {
            size: newest.size,
            note,
        };
        let tiles = Tiles::new(
            Arc::clone(self.disk),
            self.dir.to_owned(),
            key,
            front,
            kept,
            history,
        );
        self.replay(lock, tiles, newest.size)
    }

    /// A folder without a checkpoint must be one whose creation was cut short.
    fn check_unwritten(&self) -> Result<(), OpenError> {
        let used = list_segments(self.dir).map_or(true, |s| !s.used.is_empty());
        if used || self.dir.join("tile").exists() || self.dir.join("payload").exists() {
            return Err(self.damaged(format!("`{CHECKPOINT}` is missing")));
        }
        Ok(())
    }

    fn key(&self, create: bool) -> Result<SigningKey, OpenError> {
        let path = key_file(self.dir, self.options);
        let fault = |what: String| OpenError::Key {
            place: path.clone(),
            what,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
                return create_key(&path, &self.options.origin).map_err(io_at(&path));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(fault(
                    "is missing (restore it from a copy; the log cannot be continued without it)"
                        .into(),
                ));
            }
            Err(e) => return Err(io_at(&path)(e)),
        };
        let mode = fs::metadata(&path)
            .map_err(io_at(&path))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                mode = format!("{:o}", mode & 0o777),
                "the audit signing key is open to others than its owner"
            );
        }
        let key = SigningKey::parse(text.trim_end_matches('\n'))
            .map_err(|e| fault(format!("cannot be read: {e}")))?;
        if key.verifier().name() != self.options.origin {
            return Err(fault(format!(
                "belongs to the log `{}`, not `{}` (name another key file)",
                key.verifier().name(),
                self.options.origin
            )));
        }
        Ok(key)
    }

    fn check_vkey(&self, key: &SigningKey, create: bool) -> Result<(), OpenError> {
        let expected = format!("{}\n", key.verifier());
        match fs::read(self.dir.join(VKEY)) {
            Ok(bytes) if bytes == expected.as_bytes() => Ok(()),
            Ok(_) => Err(OpenError::Key {
                place: key_file(self.dir, self.options),
                what: format!(
                    "is not the one of `{VKEY}` in the log (restore the right one from a copy)"
                ),
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
                self.replace(VKEY, expected.as_bytes())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(self.damaged(format!("`{VKEY}` is missing")))
            }
            Err(e) => Err(io_at(&self.dir.join(VKEY))(e)),
        }
    }

    fn read_text(&self, name: &str, max: u64) -> Result<String, OpenError> {
        let bytes = read_bounded(self.dir, name, max).map_err(|e| self.shelf_fault(e))?;
        String::from_utf8(bytes)
            .map_err(|_| self.damaged(format!("`{name}` was changed: it is not text")))
    }

    fn checkpoint(&self, key: &VerifierKey) -> Result<(Checkpoint, String), OpenError> {
        let note = self.read_text(CHECKPOINT, NOTE_BYTES_MAX as u64)?;
        let checkpoint = key
            .open_checkpoint(&note)
            .map_err(|e| self.damaged(format!("`{CHECKPOINT}` was changed: {e}")))?;
        Ok((checkpoint, note))
    }

    fn history(&self, key: &VerifierKey) -> Result<Vec<KeptNote>, OpenError> {
        let text = self.read_text(HISTORY, 1 << 20)?;
        let bad = |e: &dyn std::fmt::Display| self.damaged(format!("`{HISTORY}` was changed: {e}"));
        let notes = parse_history(&text).ok_or_else(|| bad(&"its hash does not match"))?;
        notes
            .into_iter()
            .map(|note| {
                let size = key.open_checkpoint(&note).map_err(|e| bad(&e))?.size;
                Ok(KeptNote { size, note })
            })
            .collect()
    }

    fn shelf_fault(&self, fault: ShelfFault) -> OpenError {
        match fault {
            ShelfFault::Io(place, e) if e.kind() == io::ErrorKind::NotFound => {
                let name = place
                    .strip_prefix(self.dir)
                    .unwrap_or(&place)
                    .display()
                    .to_string();
                self.damaged(format!("`{name}` is missing"))
            }
            ShelfFault::Io(place, e) => io_at(&place)(e),
            ShelfFault::Changed(name, what) => {
                self.damaged(format!("`{name}` was changed: {what}"))
            }
        }
    }

    /// Reads the right edge of the tree and holds it against the checkpoint.
    fn front(&self, newest: &Checkpoint) -> Result<Front, OpenError> {
        let size = newest.size;
        let mut partials = Vec::new();
        for tile in partial_tiles(size) {
            partials.push(read_tile(self.dir, &tile).map_err(|e| self.shelf_fault(e))?);
        }
        let edge = Edge::restore(size, partials)
            .ok_or_else(|| self.damaged("its tiles do not fit its size"))?;
        if edge.root() != newest.root {
            return Err(self.damaged(format!(
                "the tiles do not have the root that `{CHECKPOINT}` says"
            )));
        }
        let mut nodes = TileNodes::new(self.dir, size);
        for level in 0u8..7 {
            let Some(last) = full_tiles(Shelf::Level(level), size).checked_sub(1) else {
                break;
            };
            let below = nodes.tile(level, last).map_err(|e| self.shelf_fault(e))?;
            let below = perfect_root(below);
            let above = nodes
                .tile(level + 1, last / WIDTH)
                .map_err(|e| self.shelf_fault(e))?;
            if usize::try_from(last % WIDTH)
                .ok()
                .and_then(|i| above.get(i))
                != Some(&below)
            {
                return Err(self.damaged(format!(
                    "tile {last} of level {level} does not match the tile above it"
                )));
            }
        }
        let mut front = Front {
            edge,
            bundle: Vec::new(),
            payload_bytes: 0,
        };
        if let Some(tile) = partial_bundle(size) {
            front.bundle = read_bundle(self.dir, &tile).map_err(|e| self.shelf_fault(e))?;
            let entries = decode_entries(&front.bundle, tile.width).unwrap_or_default();
            if !entries
                .iter()
                .map(|e| leaf_hash(e))
                .eq(front.edge.level(0).iter().copied())
            {
                return Err(self.damaged(format!("`{}` does not match its hashes", tile.path())));
            }
            let name = payload_path(tile.index);
            let bytes = read_bounded(self.dir, &name, PAYLOAD_FILE_BYTES_MAX)
                .map_err(|e| self.shelf_fault(e))?;
            let mut rest = bytes.as_slice();
            for _ in 0..tile.width {
                (_, rest) = split_slot(rest)
                    .ok_or_else(|| self.damaged(format!("`{name}` was changed or cut off")))?;
            }
            front.payload_bytes = (bytes.len() - rest.len()) as u64;
        }
        Ok(front)
    }

    /// Moves what only the write-ahead segments hold into tiles, and clears the segments.
    fn replay(&self, lock: File, mut tiles: Tiles, checkpointed: u64) -> Result<Opened, OpenError> {
        let wal_fault = |fault: WalFault| match fault {
            WalFault::Io(place, e) => io_at(&place)(e),
            WalFault::Changed(name, what) => self.damaged(format!("`{name}`: {what}")),
        };
        let write_fault =
            |WriteFault { place, source }: WriteFault| OpenError::Io { place, source };
        let segments = list_segments(self.dir).map_err(wal_fault)?;
        let mut failed = None;
        let end = walk(
            self.dir,
            &segments,
            checkpointed,
            Rigour::Recover,
            &mut |index, frame| {
                if index < tiles.size() {
                    return Ok(());
                }
                tiles.take(frame).map_err(|fault| {
                    let place = fault.place.clone();
                    failed = Some(fault);
                    WalFault::Io(place, io::ErrorKind::Other.into())
                })
            },
        );
        if let Some(fault) = failed {
            return Err(write_fault(fault));
        }
        let end = end.map_err(wal_fault)?;
        tiles.publish().map_err(write_fault)?;
        tiles.sweep(checkpointed);
        let wal = self.dir.join(WAL);
        self.disk.make_dir(&wal).map_err(io_at(&wal))?;
        let mut sequence = 0;
        for name in segments
            .used
            .into_iter()
            .map(|s| s.name)
            .chain(segments.spare)
        {
            let number = name
                .rsplit('/')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            sequence = sequence.max(number);
            let path = self.dir.join(&name);
            self.disk.remove(&path).map_err(io_at(&path))?;
        }
        Ok(Opened {
            lock,
            tiles,
            tip: Tip {
                next: end.size,
                digest: end.digest,
                order: end.order,
            },
            recovery: Recovery {
                replayed: end.size - checkpointed,
                torn_bytes: end.torn_bytes,
            },
            sequence,
        })
    }
}

/// Makes a new signing key and writes it where only its owner can read it.
fn create_key(path: &Path, origin: &str) -> io::Result<SigningKey> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let text = SigningKey::encode(origin, &seed).map_err(io::Error::other)?;
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    // A leftover of another mode keeps it when opened.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(parent)?.sync_all()?;
    SigningKey::from_seed(origin, &seed).map_err(io::Error::other)
}
