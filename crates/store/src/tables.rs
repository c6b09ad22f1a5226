//! The schema, and how rows become objects.

use rusqlite::{Connection, Params, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ErrorKind;

/// A kind of database file of ours.
pub(crate) struct Schema {
    /// SQLite's `application_id`, which tells our files apart from others'.
    pub(crate) application_id: i32,
    /// Scripts that lead from each version to the next. A published one never changes.
    pub(crate) migrations: &'static [&'static str],
}

impl Schema {
    /// The version that the last script leads to.
    pub(crate) const fn version(&self) -> i64 {
        self.migrations.len() as i64
    }
}

/// The store of people, relations and sessions: "ASEP".
pub(crate) const STORE: Schema = Schema {
    application_id: 0x4153_4550,
    migrations: &[r"
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE people (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE devices (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE patients (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE vendor_windows (number INTEGER PRIMARY KEY, person TEXT NOT NULL, row TEXT NOT NULL) STRICT;
    CREATE TABLE feeds (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE passkeys (id TEXT PRIMARY KEY, person TEXT NOT NULL, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX passkeys_of_person ON passkeys (person);
    CREATE TABLE sessions (id TEXT PRIMARY KEY, person TEXT NOT NULL, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE invitations (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE administrators (id TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"],
};

/// The inventory of devices: "ASIN".
pub(crate) const INVENTORY: Schema = Schema {
    application_id: 0x4153_494E,
    migrations: &[
        r"
    CREATE TABLE sources (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE devices (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE conversations (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE rules (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE feeds (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE register (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
        r"
    CREATE TABLE spools (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
    ],
};

/// Reads every object of a table that keeps one as JSON in `row`.
pub(crate) fn read_all<T: DeserializeOwned>(
    connection: &Connection,
    table: &'static str,
) -> Result<Vec<T>, ErrorKind> {
    let order = if table == "vendor_windows" {
        "number"
    } else {
        "id"
    };
    let mut statement =
        connection.prepare_cached(&format!("SELECT row FROM {table} ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(decode(table, all.len(), row.get_ref(0)?.as_str().ok())?);
    }
    Ok(all)
}

/// The same with the identifier, where the object does not hold its own.
pub(crate) fn read_keyed<K: From<String>, T: DeserializeOwned>(
    connection: &Connection,
    table: &'static str,
) -> Result<Vec<(K, T)>, ErrorKind> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT id, row FROM {table} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        all.push((
            K::from(id),
            decode(table, all.len(), row.get_ref(1)?.as_str().ok())?,
        ));
    }
    Ok(all)
}

fn decode<T: DeserializeOwned>(
    table: &'static str,
    place: usize,
    text: Option<&str>,
) -> Result<T, ErrorKind> {
    // The row is named by its place, never by what is in it.
    text.and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| {
            ErrorKind::Damaged(format!(
                "row {} of table `{table}` cannot be read",
                place + 1
            ))
        })
}

/// The JSON of an object.
pub(crate) fn encode<T: Serialize>(object: &T) -> Result<String, ErrorKind> {
    serde_json::to_string(object).map_err(|e| ErrorKind::Other(Box::new(e)))
}

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize, ErrorKind> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// Inserts or replaces the object with this identifier.
pub(crate) fn put<T: Serialize>(
    connection: &Connection,
    table: &'static str,
    id: &str,
    object: &T,
) -> Result<(), ErrorKind> {
    put_text(connection, table, id, &encode(object)?)
}

/// The same with JSON that is written already.
pub(crate) fn put_text(
    connection: &Connection,
    table: &'static str,
    id: &str,
    row: &str,
) -> Result<(), ErrorKind> {
    let sql = format!(
        "INSERT INTO {table} (id, row) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET row = excluded.row"
    );
    execute(connection, &sql, (id, row))?;
    Ok(())
}

/// The same in a table that also names the person.
pub(crate) fn put_of_person<T: Serialize>(
    connection: &Connection,
    table: &'static str,
    id: &str,
    person: &str,
    object: &T,
) -> Result<(), ErrorKind> {
    let sql = format!(
        "INSERT INTO {table} (id, person, row) VALUES (?1, ?2, ?3) \
         ON CONFLICT (id) DO UPDATE SET person = excluded.person, row = excluded.row"
    );
    execute(connection, &sql, (id, person, encode(object)?))?;
    Ok(())
}

/// Whether there was such a row.
pub(crate) fn remove(
    connection: &Connection,
    table: &'static str,
    id: impl ToSql,
) -> Result<bool, ErrorKind> {
    let sql = format!("DELETE FROM {table} WHERE id = ?1");
    Ok(execute(connection, &sql, [id])? > 0)
}

pub(crate) fn clear(connection: &Connection, table: &'static str) -> Result<(), ErrorKind> {
    execute(connection, &format!("DELETE FROM {table}"), [])?;
    Ok(())
}
