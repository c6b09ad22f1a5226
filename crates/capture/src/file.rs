//! Files and standard input: what there is, and its octets piece by piece.

mod unpack;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use sense::records::Format;

use crate::{PIECE, Place, Problem};
use unpack::{Counted, unpack};

/// Folders inside one another.
const DEPTH_MAX: usize = 32;

/// Files of one job.
const FILES_MAX: usize = 1 << 20;

/// A file to be read.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Absent: standard input.
    pub(crate) path: Option<PathBuf>,
    /// Its name for people.
    pub(crate) name: String,
    /// Octets as it lies on the disk; absent for pipes and devices.
    pub(crate) length: Option<u64>,
    /// The folder that was given and has it inside.
    pub(crate) folder: Option<PathBuf>,
}

impl Task {
    pub(crate) fn stdin() -> Self {
        Self {
            path: None,
            name: "standard input".to_owned(),
            length: None,
            folder: None,
        }
    }

    pub(crate) fn file(path: &Path) -> Result<Self, Problem> {
        let data = fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
        Ok(Self {
            path: Some(path.to_owned()),
            name: path.display().to_string(),
            length: data.is_file().then_some(data.len()),
            folder: None,
        })
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "check the name",
        io::ErrorKind::PermissionDenied => "give this user the right to read it",
        _ => "check the disk or the mount",
    };
    Problem::new(
        path.display().to_string(),
        Place::Whole,
        format!("cannot be opened: {error}"),
        remedy,
    )
}

/// All files in a folder and below, in the order of their names. Hidden ones are left out; a link to a folder is not
/// followed.
pub(crate) fn walk(folder: &Path, problems: &mut Vec<Problem>) -> Vec<Task> {
    let mut tasks = Vec::new();
    visit(folder, folder, 0, &mut tasks, problems);
    tasks
}

fn visit(
    root: &Path,
    folder: &Path,
    depth: usize,
    tasks: &mut Vec<Task>,
    problems: &mut Vec<Problem>,
) {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect(),
        Err(error) => {
            problems.push(cannot_open(folder, &error));
            return;
        }
    };
    paths.sort_unstable();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || tasks.len() >= FILES_MAX {
            continue;
        }
        let Ok(data) = fs::symlink_metadata(&path) else {
            continue;
        };
        if data.is_dir() {
            if depth < DEPTH_MAX {
                visit(root, &path, depth + 1, tasks, problems);
            }
            continue;
        }
        // Links to files are followed; pipes and sockets in a folder would block.
        if !fs::metadata(&path).is_ok_and(|data| data.is_file()) {
            continue;
        }
        match Task::file(&path) {
            Ok(task) => tasks.push(Task {
                folder: Some(root.to_owned()),
                ..task
            }),
            Err(problem) => problems.push(problem),
        }
    }
}

/// A file that was opened: its format, and its octets piece by piece.
pub(crate) struct Opened {
    pub(crate) format: Format,
    /// When it was last changed; absent for standard input.
    pub(crate) changed: Option<Timestamp>,
    pub(crate) compressed: bool,
    feed: Feed,
    raw: Arc<AtomicU64>,
}

enum Feed {
    /// Read where it is used.
    Direct(Box<dyn Read + Send>),
    /// Read and unpacked ahead by a thread of its own.
    Ahead(Receiver<io::Result<Vec<u8>>>),
}

/// What came of asking for the next piece.
pub(crate) enum Next {
    /// Octets were added.
    Data,
    /// Nothing yet.
    Wait,
    /// There is no more.
    End,
}

/// Pieces that are read ahead.
const AHEAD: usize = 4;

impl Opened {
    /// Opens a file. `ahead`: another thread reads and unpacks it; so it is for pipes and compressed files in any case.
    pub(crate) fn open(task: &Task, ahead: bool, expansion_max: u32) -> Result<Self, Problem> {
        let raw = Arc::new(AtomicU64::new(0));
        let Some(path) = &task.path else {
            return Self::piped(Box::new(io::stdin()), None, raw, expansion_max, &task.name);
        };
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        let data = file.metadata().ok();
        let changed = data
            .as_ref()
            .and_then(|data| data.modified().ok())
            .and_then(|at| {
                let since = at.duration_since(UNIX_EPOCH).ok()?;
                i64::try_from(since.as_millis())
                    .ok()
                    .map(Timestamp::from_millis)
            });
        if data.is_some_and(|data| data.is_dir()) {
            return Err(Problem::new(
                &task.name,
                Place::Whole,
                "is a folder",
                "give it as a folder",
            ));
        }
        let counted = Counted::new(file, Arc::clone(&raw));
        if task.length.is_none() {
            return Self::piped(Box::new(counted), None, raw, expansion_max, &task.name);
        }
        let unpacked = unpack(Box::new(counted), &raw, expansion_max, &task.name)
            .map_err(|error| cannot_open(path, &error))?;
        let feed = if ahead || unpacked.compressed {
            Feed::Ahead(read_ahead(unpacked.reader))
        } else {
            Feed::Direct(unpacked.reader)
        };
        Ok(Self {
            format: unpacked.format,
            changed,
            compressed: unpacked.compressed,
            feed,
            raw,
        })
    }

    /// A source that may keep one waiting: all reading is done by a thread.
    fn piped(
        reader: Box<dyn Read + Send>,
        changed: Option<Timestamp>,
        raw: Arc<AtomicU64>,
        expansion_max: u32,
        name: &str,
    ) -> Result<Self, Problem> {
        let counted: Box<dyn Read + Send> = Box::new(Counted::new(reader, Arc::clone(&raw)));
        let unpacked = unpack(counted, &raw, expansion_max, name).map_err(|error| {
            Problem::new(
                name,
                Place::Whole,
                format!("cannot be read: {error}"),
                "check the program that writes it",
            )
        })?;
        Ok(Self {
            format: unpacked.format,
            changed,
            compressed: unpacked.compressed,
            feed: Feed::Ahead(read_ahead(unpacked.reader)),
            raw,
        })
    }

    /// Octets read so far, as they lie on the disk.
    pub(crate) fn raw(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// Adds the next octets to `into`, about [`PIECE`] of them; waits at most `wait`, where that can be kept.
    pub(crate) fn next(&mut self, into: &mut Vec<u8>, wait: Duration) -> io::Result<Next> {
        match &mut self.feed {
            Feed::Direct(reader) => {
                let before = into.len();
                let read = reader.take(PIECE as u64).read_to_end(into)?;
                debug_assert_eq!(into.len(), before + read);
                Ok(if read == 0 { Next::End } else { Next::Data })
            }
            Feed::Ahead(pieces) => match pieces.recv_timeout(wait) {
                Ok(Ok(piece)) => {
                    into.extend_from_slice(&piece);
                    Ok(Next::Data)
                }
                Ok(Err(error)) => Err(error),
                Err(RecvTimeoutError::Timeout) => Ok(Next::Wait),
                Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
            },
        }
    }
}

/// Reads in a thread that ends with the source or with the receiver.
fn read_ahead(mut reader: Box<dyn Read + Send>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        loop {
            // A pipe gives what it has: whole pieces would keep a live capture waiting.
            let mut piece = vec![0; PIECE];
            match reader.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    if sender.send(Ok(piece)).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        }
    });
    receiver
}
