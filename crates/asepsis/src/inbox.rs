//! What other commands leave for a running Asepsis, which alone holds the store.
//!
//! `DATA/inbox` takes one file a letter, put there whole by renaming; the running program takes each within a second.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use domain::relation::{PatientFacts, VendorWindow};
use domain::{Device, PatientId, Person};
use identity::Invitation;
use identity::relations::Relations;
use serde::{Deserialize, Serialize};

use crate::clock;

/// Something for the store.
#[derive(Clone, Debug)]
pub(crate) enum Letter {
    /// People, devices, relations.
    Relations(Relations),
    /// A one-time link.
    Invitation(Invitation),
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relations(r) => write!(
                f,
                "{} people, {} devices, {} patients, {} vendor windows",
                r.people.len(),
                r.devices.len(),
                r.patients.len(),
                r.vendor_windows.len()
            ),
            Self::Invitation(_) => f.write_str("an invitation"),
        }
    }
}

/// A letter on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Relations {
        people: Vec<Person>,
        devices: Vec<Device>,
        patients: Vec<(PatientId, PatientFacts)>,
        vendor_windows: Vec<VendorWindow>,
    },
    Invitation(Invitation),
}

/// The folder of letters.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    folder: PathBuf,
}

impl Inbox {
    /// The inbox of a data folder.
    pub(crate) fn of(data: &Path) -> Self {
        Self {
            folder: data.join("inbox"),
        }
    }

    /// Leaves a letter, whole or not at all.
    pub(crate) fn put(&self, letter: &Letter) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create `{}`", self.folder.display()))?;
        let written = match letter {
            Letter::Relations(r) => Written::Relations {
                people: r.people.clone(),
                devices: r.devices.clone(),
                patients: r.patients.clone(),
                vendor_windows: r.vendor_windows.clone(),
            },
            Letter::Invitation(invitation) => Written::Invitation(invitation.clone()),
        };
        let name = format!("{:020}-{}", clock::now().as_millis(), std::process::id());
        let fresh = self.folder.join(format!("{name}.new"));
        let mut file = std::fs::File::create(&fresh)
            .with_context(|| format!("cannot write `{}`", fresh.display()))?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.folder.join(format!("{name}.json")))?;
        Ok(())
    }

    /// Takes every letter, oldest first. One that cannot be read is put aside and said.
    pub(crate) fn take(&self) -> Vec<Letter> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        paths.sort();
        paths.into_iter().filter_map(|path| take(&path)).collect()
    }
}

fn take(path: &Path) -> Option<Letter> {
    let read = std::fs::read(path)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| Ok(serde_json::from_slice::<Written>(&bytes)?));
    match read {
        Ok(written) => {
            // A letter that cannot be removed would be taken again each second; taking it twice changes nothing.
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(%error, path = %path.display(), "a letter could not be removed");
            }
            Some(match written {
                Written::Relations {
                    people,
                    devices,
                    patients,
                    vendor_windows,
                } => Letter::Relations(Relations {
                    people,
                    devices,
                    patients,
                    vendor_windows,
                }),
                Written::Invitation(invitation) => Letter::Invitation(invitation),
            })
        }
        Err(error) => {
            let aside = path.with_extension("unreadable");
            let moved = std::fs::rename(path, &aside).is_ok();
            tracing::error!(
                error = format!("{error:#}"), path = %path.display(), moved,
                "a letter in the inbox is not one of ours"
            );
            None
        }
    }
}
