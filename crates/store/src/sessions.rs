//! Sessions, written through in the order in which they changed.

use identity::{Changes, SessionRow, Sessions};
use rusqlite::Connection;

use crate::{Call, ErrorKind, Store, tables};

impl Store {
    /// Sessions as they were last kept; they go to [`Sessions::import`] at start.
    pub fn sessions(&self) -> Call<Vec<SessionRow>> {
        self.worker().call(|tx| tables::read_all(tx, "sessions"))
    }

    /// Writes what has changed since the last call, if anything has.
    ///
    /// To be called after every sign-in, step-up and grant, and from the listener of [`Sessions::on_end`], so that no
    /// restart brings back a session that was ended.
    pub fn keep_sessions(&self, sessions: &Sessions) -> Call<()> {
        // INVARIANT: changes are taken and queued under one lock, so that they reach the file in the order in which
        // they happened; a row must never overtake the end of its session.
        let _order = self.session_order();
        let changes = sessions.take_changes();
        if changes.is_empty() {
            return self.worker().call(|_| Ok(()));
        }
        self.write_sessions(sessions, changes)
    }

    /// Writes every session, with the instant of its last use. To be called now and then, and at shutdown.
    pub fn keep_all_sessions(&self, sessions: &Sessions) -> Call<()> {
        let _order = self.session_order();
        sessions.loss_flag().raise(); // has everything taken
        let changes = sessions.take_changes();
        self.write_sessions(sessions, changes)
    }

    fn write_sessions(&self, sessions: &Sessions, changes: Changes) -> Call<()> {
        let lost = sessions.loss_flag();
        self.worker().call_or_else(
            move |tx| write(tx, &changes),
            // Whatever this call was to write is written by the next.
            move || lost.raise(),
        )
    }
}

fn write(connection: &Connection, changes: &Changes) -> Result<(), ErrorKind> {
    if changes.full {
        tables::clear(connection, "sessions")?;
    }
    for row in &changes.saved {
        tables::put_of_person(
            connection,
            "sessions",
            row.id.as_str(),
            row.person.as_str(),
            row,
        )?;
    }
    for id in &changes.ended {
        tables::remove(connection, "sessions", id.as_str())?;
    }
    Ok(())
}
