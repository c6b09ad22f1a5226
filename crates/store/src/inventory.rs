//! The file of the inventory: sources, devices with their evidence, conversations, local rules, risk feeds, register,
//! and how far each sensor's spool was taken.
//!
//! Apart from the [`crate::Store`], so that `asepsis discover` can work while `asepsis up` holds the other file. What a
//! row holds is the inventory's matter; here it is JSON under an identifier.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tables::{self, INVENTORY};
use crate::worker::Worker;
use crate::{Call, ErrorKind, StoreError, open};

/// Kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Where observations come from.
    Sources,
    /// Devices with their evidence.
    Devices,
    /// Who talks to whom.
    Conversations,
    /// Answers of people, as rules.
    Rules,
    /// Lists of known risks.
    Feeds,
    /// Rows of a register kept by people.
    Register,
    /// How far the spools of sensors on other hosts were taken.
    Spools,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Devices => "devices",
            Self::Conversations => "conversations",
            Self::Rules => "rules",
            Self::Feeds => "feeds",
            Self::Register => "register",
            Self::Spools => "spools",
        }
    }
}

/// Rows to write and to remove, all of them or none.
#[derive(Clone, Debug, Default)]
pub struct Change {
    cleared: Vec<Table>,
    rows: Vec<(Table, String, String)>,
    removed: Vec<(Table, String)>,
}

impl Change {
    /// Adds a row or replaces the one of this identifier.
    ///
    /// # Errors
    /// The object cannot be written as JSON.
    pub fn put(
        &mut self,
        table: Table,
        id: impl Into<String>,
        object: &impl Serialize,
    ) -> Result<(), serde_json::Error> {
        self.rows
            .push((table, id.into(), serde_json::to_string(object)?));
        Ok(())
    }

    /// Removes a row, if there is one.
    pub fn remove(&mut self, table: Table, id: impl Into<String>) {
        self.removed.push((table, id.into()));
    }

    /// Removes every row of a table, before anything is added.
    pub fn clear(&mut self, table: Table) {
        self.cleared.push(table);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.cleared.is_empty() && self.rows.is_empty() && self.removed.is_empty()
    }
}

/// The rows of a table with their identifiers, in the identifiers' order.
pub type Rows<T> = Vec<(String, T)>;

/// An inventory's file that is open. Clones share one thread; the last one to go closes it, after everything that was
/// called is done.
#[derive(Clone)]
pub struct InventoryStore {
    worker: Arc<Worker>,
}

impl std::fmt::Debug for InventoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InventoryStore")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl InventoryStore {
    /// Opens the inventory in this file, creating it if there is none, under the same rules as [`crate::Store::open`].
    ///
    /// # Errors
    /// The file is not ours, newer than we are, open elsewhere, or cannot be used; it is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let opened = open::open(path, &INVENTORY)?;
        Ok(Self {
            worker: Arc::new(Worker::start(path, opened)?),
        })
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.worker.path().to_owned()
    }

    /// Every row of a table.
    pub fn rows<T: DeserializeOwned + Send + 'static>(&self, table: Table) -> Call<Rows<T>> {
        self.worker
            .call(move |tx| tables::read_keyed(tx, table.name()))
    }

    /// Writes a change, whole or not at all.
    pub fn write(&self, change: Change) -> Call<()> {
        self.worker.call(move |tx| apply(tx, &change))
    }
}

/// Reads one table of an inventory that this process does not hold; whoever holds it does not notice.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn read_inventory<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    table: Table,
) -> Result<Rows<T>, StoreError> {
    open::read(path.as_ref(), &INVENTORY, |c| {
        tables::read_keyed(c, table.name())
    })
}

fn apply(tx: &Connection, change: &Change) -> Result<(), ErrorKind> {
    for table in &change.cleared {
        tables::clear(tx, table.name())?;
    }
    for (table, id) in &change.removed {
        tables::remove(tx, table.name(), id)?;
    }
    for (table, id, row) in &change.rows {
        tables::put_text(tx, table.name(), id, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_there_again_and_a_reader_does_not_disturb() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inventory.db");
        let store = InventoryStore::open(&path).expect("opens");
        let mut change = Change::default();
        change.put(Table::Devices, "b", &2).expect("JSON");
        change.put(Table::Devices, "a", &1).expect("JSON");
        change.put(Table::Rules, "r", &"text").expect("JSON");
        store.write(change).wait().expect("written");
        let mut second = Change::default();
        second.remove(Table::Devices, "b");
        second.clear(Table::Rules);
        second.put(Table::Rules, "s", &"more").expect("JSON");
        store.write(second).wait().expect("written");
        let read: Rows<u8> = read_inventory(&path, Table::Devices).expect("readable");
        assert_eq!(read, [("a".to_owned(), 1)]);
        let rules: Rows<String> = store.rows(Table::Rules).wait().expect("readable");
        assert_eq!(rules, [("s".to_owned(), "more".to_owned())]);
    }

    #[test]
    fn the_two_kinds_of_files_are_not_taken_for_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        drop(crate::Store::open(&path).expect("opens"));
        let error = InventoryStore::open(&path).expect_err("refused");
        assert!(matches!(error.kind, ErrorKind::Foreign), "{error}");
    }
}
