//! The store's methods.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::relation::{Feed, PatientFacts, VendorWindow};
use domain::{Device, DeviceId, PatientId, Person, PersonId, Timestamp};
use identity::relations::Relations;
use identity::{Invitation, PasskeyRecord};
use rusqlite::{Connection, OptionalExtension};

use crate::tables::{self, execute};
use crate::worker::Worker;
use crate::{Call, ErrorKind, StoreError, open};

/// A store that is open. Clones share one thread and one file; the last one to go closes it, after everything that was
/// called is done.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    worker: Worker,
    /// Held while changes of sessions are taken and queued.
    session_order: Mutex<()>,
}

/// What decisions are made from, as the store keeps it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// People and workloads.
    pub people: Vec<Person>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Patients.
    pub patients: Vec<(PatientId, PatientFacts)>,
    /// Vendors' windows.
    pub vendor_windows: Vec<VendorWindow>,
    /// Feeds and their age.
    pub feeds: Vec<Feed>,
    /// Passkeys of everybody.
    pub passkeys: Vec<PasskeyRecord>,
    /// Invitations outstanding.
    pub invitations: Vec<Invitation>,
    /// Administrators and since when, the first one first.
    pub administrators: Vec<(PersonId, Timestamp)>,
}

/// What an import does with what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Adds, and replaces objects of the same identifier. Vendors' windows of people named in the import are replaced.
    Merge,
    /// Removes everything of each kind that the import brings at least one object of.
    Replace,
}

/// How many objects an import wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// People and workloads.
    pub people: usize,
    /// Devices.
    pub devices: usize,
    /// Patients.
    pub patients: usize,
    /// Vendors' windows.
    pub vendor_windows: usize,
}

/// Settings that belong to the store's content and not to the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The relying party id that every passkey is bound to.
    RelyingPartyId,
    /// The origin that the audit log names itself by.
    LogOrigin,
}

impl Setting {
    /// Its name: `rp_id`, `log_origin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RelyingPartyId => "rp_id",
            Self::LogOrigin => "log_origin",
        }
    }
}

/// What fixing a setting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// It had no value, and has this one from now on.
    Now,
    /// It had this value already.
    Before,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in this file, creating it if there is none, and brings it to this program's version. A file that
    /// is not ours, newer than we are, or open elsewhere is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let opened = open::open(path, &tables::STORE)?;
        Ok(Self {
            inner: Arc::new(Inner {
                worker: Worker::start(path, opened)?,
                session_order: Mutex::new(()),
            }),
        })
    }

    /// The store's file.
    pub fn path(&self) -> PathBuf {
        self.worker().path().to_owned()
    }

    /// Everything that decisions and sign-ins are made from, in one consistent reading.
    pub fn load(&self) -> Call<World> {
        self.worker().call(|tx| world(tx))
    }

    /// Writes an import, whole or not at all.
    pub fn import(&self, relations: Relations, mode: ImportMode) -> Call<Counts> {
        self.worker().call(move |tx| import(tx, &relations, mode))
    }

    /// People and workloads.
    pub fn people(&self) -> Call<Vec<Person>> {
        self.worker().call(|tx| tables::read_all(tx, "people"))
    }

    /// Adds a person or replaces what was known.
    pub fn put_person(&self, person: Person) -> Call<()> {
        self.worker()
            .call(move |tx| tables::put(tx, "people", person.id.as_str(), &person))
    }

    /// Removes a person with passkeys, sessions and administration. False if there is none.
    pub fn remove_person(&self, person: PersonId) -> Call<bool> {
        self.worker().call(move |tx| {
            let id = person.as_str();
            execute(tx, "DELETE FROM passkeys WHERE person = ?1", [id])?;
            execute(tx, "DELETE FROM sessions WHERE person = ?1", [id])?;
            execute(tx, "DELETE FROM vendor_windows WHERE person = ?1", [id])?;
            tables::remove(tx, "administrators", id)?;
            tables::remove(tx, "people", id)
        })
    }

    /// Devices.
    pub fn devices(&self) -> Call<Vec<Device>> {
        self.worker().call(|tx| tables::read_all(tx, "devices"))
    }

    /// Adds a device or replaces what was known.
    pub fn put_device(&self, device: Device) -> Call<()> {
        self.worker()
            .call(move |tx| tables::put(tx, "devices", device.id.as_str(), &device))
    }

    /// Removes a device. False if there is none.
    pub fn remove_device(&self, device: DeviceId) -> Call<bool> {
        self.worker()
            .call(move |tx| tables::remove(tx, "devices", device.as_str()))
    }

    /// Patients and who is related to them.
    pub fn patients(&self) -> Call<Vec<(PatientId, PatientFacts)>> {
        self.worker().call(|tx| tables::read_keyed(tx, "patients"))
    }

    /// Writes what a poll of a feed changed, and the feed's new age, together.
    pub fn put_feed(&self, feed: Feed, changed: Vec<(PatientId, PatientFacts)>) -> Call<()> {
        self.worker().call(move |tx| {
            for (patient, facts) in &changed {
                tables::put(tx, "patients", patient.as_str(), facts)?;
            }
            tables::put(tx, "feeds", &feed.name, &feed)
        })
    }

    /// Feeds and their age.
    pub fn feeds(&self) -> Call<Vec<Feed>> {
        self.worker().call(|tx| tables::read_all(tx, "feeds"))
    }

    /// Vendors' windows.
    pub fn vendor_windows(&self) -> Call<Vec<VendorWindow>> {
        self.worker()
            .call(|tx| tables::read_all(tx, "vendor_windows"))
    }

    /// Replaces all vendors' windows.
    pub fn set_vendor_windows(&self, windows: Vec<VendorWindow>) -> Call<()> {
        self.worker().call(move |tx| {
            tables::clear(tx, "vendor_windows")?;
            put_windows(tx, &windows)
        })
    }

    /// Passkeys of everybody.
    pub fn passkeys(&self) -> Call<Vec<PasskeyRecord>> {
        self.worker().call(|tx| tables::read_all(tx, "passkeys"))
    }

    /// Writes a passkey as it is now: after its registration and after each use.
    pub fn put_passkey(&self, passkey: Arc<PasskeyRecord>) -> Call<()> {
        self.worker().call(move |tx| put_passkey(tx, &passkey))
    }

    /// Removes a passkey. False if there is none.
    pub fn remove_passkey(&self, id: String) -> Call<bool> {
        self.worker()
            .call(move |tx| tables::remove(tx, "passkeys", id))
    }

    /// Ends an enrolment: writes the passkey and removes the invitation that led to it, together.
    pub fn enrol(&self, passkey: Arc<PasskeyRecord>, invitation: Option<String>) -> Call<()> {
        self.worker().call(move |tx| {
            put_passkey(tx, &passkey)?;
            if let Some(invitation) = invitation {
                tables::remove(tx, "invitations", invitation)?;
            }
            Ok(())
        })
    }

    /// Makes a person the first administrator: person, passkey and administration are written together, and every
    /// invitation to become the first one is removed. False, and nothing changes, if there is an administrator.
    pub fn first_administrator(
        &self,
        person: Person,
        passkey: Arc<PasskeyRecord>,
        now: Timestamp,
    ) -> Call<bool> {
        self.worker().call(move |tx| {
            if !administrators(tx)?.is_empty() {
                return Ok(false);
            }
            tables::put(tx, "people", person.id.as_str(), &person)?;
            put_passkey(tx, &passkey)?;
            add_administrator(tx, &person.id, now)?;
            for invitation in tables::read_all::<Invitation>(tx, "invitations")? {
                if invitation.kind == identity::InvitationKind::FirstAdministrator {
                    tables::remove(tx, "invitations", invitation.id)?;
                }
            }
            Ok(true)
        })
    }

    /// Administrators and since when, the first one first.
    pub fn administrators(&self) -> Call<Vec<(PersonId, Timestamp)>> {
        self.worker().call(|tx| administrators(tx))
    }

    /// Makes a person an administrator.
    pub fn add_administrator(&self, person: PersonId, now: Timestamp) -> Call<()> {
        self.worker()
            .call(move |tx| add_administrator(tx, &person, now))
    }

    /// Ends a person's administration. False if the person is no administrator or the last one: there is always one.
    pub fn remove_administrator(&self, person: PersonId) -> Call<bool> {
        self.worker().call(move |tx| {
            if administrators(tx)?.len() < 2 {
                return Ok(false);
            }
            tables::remove(tx, "administrators", person.as_str())
        })
    }

    /// Invitations outstanding.
    pub fn invitations(&self) -> Call<Vec<Invitation>> {
        self.worker().call(|tx| tables::read_all(tx, "invitations"))
    }

    /// Writes an invitation. Older ones of the same kind for the same person are removed, as they are void.
    pub fn put_invitation(&self, invitation: Invitation) -> Call<()> {
        self.worker().call(move |tx| {
            for old in tables::read_all::<Invitation>(tx, "invitations")? {
                if old.kind == invitation.kind && old.person == invitation.person {
                    tables::remove(tx, "invitations", old.id)?;
                }
            }
            tables::put(tx, "invitations", &invitation.id, &invitation)
        })
    }

    /// Removes invitations by their handles.
    pub fn remove_invitations(&self, ids: Vec<String>) -> Call<()> {
        self.worker().call(move |tx| {
            for id in ids {
                tables::remove(tx, "invitations", id)?;
            }
            Ok(())
        })
    }

    /// A setting's value.
    pub fn setting(&self, setting: Setting) -> Call<Option<String>> {
        self.worker().call(move |tx| value_of(tx, setting))
    }

    /// Gives a setting its value for ever: an error if it has another one already.
    pub fn fix_setting(&self, setting: Setting, value: impl Into<String>) -> Call<Fixed> {
        let asked = value.into();
        self.worker().call(move |tx| match value_of(tx, setting)? {
            Some(kept) if kept == asked => Ok(Fixed::Before),
            Some(kept) => Err(ErrorKind::Fixed {
                setting: setting.as_str(),
                kept,
                asked,
            }),
            None => {
                let sql = "INSERT INTO settings (name, value) VALUES (?1, ?2)";
                execute(tx, sql, (setting.as_str(), asked))?;
                Ok(Fixed::Now)
            }
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.inner.worker
    }

    pub(crate) fn session_order(&self) -> MutexGuard<'_, ()> {
        self.inner
            .session_order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a store that this process does not hold: nothing in it changes, and whoever holds it does not notice.
pub fn read(path: impl AsRef<Path>) -> Result<World, StoreError> {
    open::read(path.as_ref(), &tables::STORE, world)
}

fn world(tx: &Connection) -> Result<World, ErrorKind> {
    Ok(World {
        people: tables::read_all(tx, "people")?,
        devices: tables::read_all(tx, "devices")?,
        patients: tables::read_keyed(tx, "patients")?,
        vendor_windows: tables::read_all(tx, "vendor_windows")?,
        feeds: tables::read_all(tx, "feeds")?,
        passkeys: tables::read_all(tx, "passkeys")?,
        invitations: tables::read_all(tx, "invitations")?,
        administrators: administrators(tx)?,
    })
}

fn import(tx: &Connection, relations: &Relations, mode: ImportMode) -> Result<Counts, ErrorKind> {
    if mode == ImportMode::Replace {
        for (table, brought) in [
            ("people", !relations.people.is_empty()),
            ("devices", !relations.devices.is_empty()),
            ("patients", !relations.patients.is_empty()),
            ("vendor_windows", !relations.vendor_windows.is_empty()),
        ] {
            if brought {
                tables::clear(tx, table)?;
            }
        }
    }
    for person in &relations.people {
        tables::put(tx, "people", person.id.as_str(), person)?;
    }
    for device in &relations.devices {
        tables::put(tx, "devices", device.id.as_str(), device)?;
    }
    for (patient, facts) in &relations.patients {
        tables::put(tx, "patients", patient.as_str(), facts)?;
    }
    for window in &relations.vendor_windows {
        execute(
            tx,
            "DELETE FROM vendor_windows WHERE person = ?1",
            [window.person.as_str()],
        )?;
    }
    put_windows(tx, &relations.vendor_windows)?;
    Ok(Counts {
        people: relations.people.len(),
        devices: relations.devices.len(),
        patients: relations.patients.len(),
        vendor_windows: relations.vendor_windows.len(),
    })
}

fn put_windows(tx: &Connection, windows: &[VendorWindow]) -> Result<(), ErrorKind> {
    for window in windows {
        let row = tables::encode(window)?;
        let sql = "INSERT INTO vendor_windows (person, row) VALUES (?1, ?2)";
        execute(tx, sql, (window.person.as_str(), row))?;
    }
    Ok(())
}

fn put_passkey(tx: &Connection, passkey: &PasskeyRecord) -> Result<(), ErrorKind> {
    tables::put_of_person(
        tx,
        "passkeys",
        &passkey.id,
        passkey.person.as_str(),
        passkey,
    )
}

fn add_administrator(tx: &Connection, person: &PersonId, now: Timestamp) -> Result<(), ErrorKind> {
    let sql = "INSERT INTO administrators (id, since) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING";
    execute(tx, sql, (person.as_str(), now.as_millis()))?;
    Ok(())
}

fn administrators(tx: &Connection) -> Result<Vec<(PersonId, Timestamp)>, ErrorKind> {
    let mut statement =
        tx.prepare_cached("SELECT id, since FROM administrators ORDER BY since, id")?;
    let rows = statement.query_map([], |row| {
        Ok((
            PersonId::from(row.get::<_, String>(0)?),
            Timestamp::from_millis(row.get(1)?),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn value_of(tx: &Connection, setting: Setting) -> Result<Option<String>, ErrorKind> {
    let sql = "SELECT value FROM settings WHERE name = ?1";
    Ok(tx
        .query_row(sql, [setting.as_str()], |row| row.get(0))
        .optional()?)
}

#[cfg(test)]
mod tests;
