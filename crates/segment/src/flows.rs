//! Conversations from a flow file: CSV with a heading `client,server,transport,port,first,last[,count]`.
//!
//! Columns may stand in any order. Instants are RFC 3339 text or seconds since the Unix epoch. Rows that say nothing are
//! counted, with the line of the first; a file in which no row reads is an error. A row is at most [`ROW_MAX`] octets.

use std::io::Read;

use domain::net::Transport;
use domain::{DeviceId, Timestamp};

use crate::service;
use crate::world::{Talk, TalkKey, TooLarge, World};

/// Most octets of a field; longer ones do not read.
pub const FIELD_MAX: usize = 256;
/// Most octets of a row.
pub const ROW_MAX: usize = 4_096;

/// One row of a flow file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// Who opened it.
    pub client: DeviceId,
    /// Who was asked.
    pub server: DeviceId,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
    /// When it began.
    pub first: Timestamp,
    /// When it ended.
    pub last: Timestamp,
    /// How many flows it stands for.
    pub count: u32,
}

/// Why a flow file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A column is missing.
    #[error(
        "the flow file has no column `{0}`: its heading must name client, server, transport, port, first and last"
    )]
    Column(&'static str),
    /// No row reads.
    #[error("no row of the flow file reads; the first that does not is on line {line}: {why}")]
    Nothing {
        /// Its line.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// It is no CSV.
    #[error("the flow file is not CSV: {0}")]
    Csv(#[from] csv::Error),
    /// It holds more than can be judged.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// What a flow file held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Rows that read.
    pub rows: u64,
    /// Rows that did not.
    pub unread: u64,
    /// Line of the first that did not.
    pub first_unread: Option<(u64, &'static str)>,
}

/// Reads rows and gives each to `take`.
///
/// # Errors
/// See [`FlowError`].
pub fn read(
    input: impl Read,
    mut take: impl FnMut(FlowRow) -> Result<(), TooLarge>,
) -> Result<Reading, FlowError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(input);
    let heading = reader.byte_headers()?.clone();
    let find = |name: &'static str| {
        heading
            .iter()
            .position(|h| h.eq_ignore_ascii_case(name.as_bytes()))
    };
    let need = |name: &'static str| find(name).ok_or(FlowError::Column(name));
    let columns = Columns {
        client: need("client")?,
        server: need("server")?,
        transport: need("transport")?,
        port: need("port")?,
        first: need("first")?,
        last: need("last")?,
        count: find("count"),
    };
    let mut reading = Reading::default();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        match columns.row(&record) {
            Ok(row) => {
                reading.rows += 1;
                take(row)?;
            }
            Err(why) => {
                reading.unread += 1;
                let line = record.position().map_or(0, csv::Position::line);
                reading.first_unread.get_or_insert((line, why));
            }
        }
    }
    match reading.first_unread {
        Some((line, why)) if reading.rows == 0 => Err(FlowError::Nothing { line, why }),
        Some(_) | None => Ok(reading),
    }
}

/// A world of hosts without classes, from a flow file.
///
/// # Errors
/// See [`FlowError`].
pub fn world(input: impl Read) -> Result<(World, Reading), FlowError> {
    let mut world = World::default();
    let reading = read(input, |row| add(&mut world, &row))?;
    Ok((world, reading))
}

/// Adds a row to a world.
///
/// # Errors
/// When there are too many hosts or conversations.
pub fn add(world: &mut World, row: &FlowRow) -> Result<(), TooLarge> {
    let client = world.host_or_new(&row.client, false)?;
    let server = world.host_or_new(&row.server, false)?;
    let days = row.last.as_secs().div_euclid(86_400) - row.first.as_secs().div_euclid(86_400);
    world.put_talk(
        TalkKey {
            client,
            server,
            transport: row.transport,
            port: row.port,
        },
        Talk {
            first: row.first,
            last: row.last,
            flows: row.count,
            days: u16::try_from(days.max(0) + 1)
                .unwrap_or(u16::MAX)
                .min(u16::try_from(row.count).unwrap_or(u16::MAX)),
            folded: false,
        },
    )
}

struct Columns {
    client: usize,
    server: usize,
    transport: usize,
    port: usize,
    first: usize,
    last: usize,
    count: Option<usize>,
}

impl Columns {
    fn row(&self, record: &csv::ByteRecord) -> Result<FlowRow, &'static str> {
        if record.as_slice().len() > ROW_MAX {
            return Err("it is longer than 4,096 octets");
        }
        let text = |column: usize| {
            record
                .get(column)
                .and_then(|field| str::from_utf8(field).ok())
                .filter(|field| field.len() <= FIELD_MAX)
                .unwrap_or("")
        };
        let end = |column: usize| {
            let text = text(column);
            (!text.is_empty()).then(|| DeviceId::new(text))
        };
        let first = instant(text(self.first)).ok_or("`first` is not an instant")?;
        let last = instant(text(self.last)).ok_or("`last` is not an instant")?;
        if last < first {
            return Err("`last` lies before `first`");
        }
        let client = end(self.client).ok_or("`client` is empty or too long")?;
        let server = end(self.server).ok_or("`server` is empty or too long")?;
        if client == server {
            return Err("`client` and `server` are the same");
        }
        let count = match self.count.map(text) {
            None | Some("") => 1,
            Some(text) => text.parse().map_err(|_| "`count` is not a number")?,
        };
        Ok(FlowRow {
            client,
            server,
            transport: service::read_transport(text(self.transport))
                .ok_or("`transport` is neither a name nor a number of a protocol")?,
            port: text(self.port)
                .parse()
                .map_err(|_| "`port` is not between 0 and 65535")?,
            first,
            last,
            count: u32::max(count, 1),
        })
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    if text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-') {
        return Timestamp::parse(text);
    }
    let seconds: f64 = text.parse().ok()?;
    // Up to the year 5138.
    (seconds.is_finite() && (0.0..1e11).contains(&seconds))
        .then(|| Timestamp::from_millis((seconds * 1_000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_any_order_and_bad_rows_are_counted() {
        let text = "port,client,server,transport,first,last,count\n\
            104,10.0.0.1,pacs,tcp,2026-01-01T00:00:00Z,2026-01-03T00:00:00Z,9\n\
            x,10.0.0.1,pacs,tcp,0,1,1\n\
            53,10.0.0.1,dns,17,1767225600,1767225601.5,\n";
        let (world, reading) = world(text.as_bytes()).expect("reads");
        assert_eq!((reading.rows, reading.unread), (2, 1));
        assert_eq!(
            reading.first_unread,
            Some((3, "`port` is not between 0 and 65535"))
        );
        assert_eq!((world.hosts().len(), world.talk_count()), (3, 2));
    }

    #[test]
    fn a_file_without_a_column_or_a_good_row_is_refused_by_name() {
        let missing = world("client,server\na,b\n".as_bytes()).expect_err("no column");
        assert!(missing.to_string().contains("no column `transport`"));
        let bad = "client,server,transport,port,first,last\na,a,tcp,1,0,1\n";
        let bad = world(bad.as_bytes()).expect_err("no row");
        assert!(bad.to_string().contains("line 2"), "{bad}");
    }
}
