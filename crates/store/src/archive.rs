//! Conversations as a Parquet file, which DuckDB, pandas and every warehouse read.
//!
//! One row a conversation, Snappy-compressed, row groups of [`GROUP_ROWS`]. Columns:
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `client`, `server` | string | device identifiers; the client opened it |
//! | `transport` | string | `tcp`, `udp`, … |
//! | `port` | int32 | the server's port; 0: several, see `ports` |
//! | `ports` | int64 | distinct server ports in this row |
//! | `service` | string, optional | application protocol as seen in the payload |
//! | `meanings`, `server_names` | string | words separated by spaces; a space within a word is written `_` |
//! | `opening`, `protection` | string | how the direction is known; readable or not |
//! | `first`, `last` | timestamp (ms, UTC) | first and last packet |
//! | `flows` | int64 | number of flows |
//! | `sent_packets`, `sent_bytes`, `received_packets`, `received_bytes` | int64 | volumes, seen from the client |
//! | `days` | int64 | distinct days with activity |
//! | `hours` | string | 168 characters `0` or `1`, from Monday 00:00 UTC |
//! | `period_secs` | int64, optional | typical seconds between openings, where regular |

use std::io::Write;
use std::sync::Arc;

use domain::Conversation;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use smol_str::SmolStr;

/// Rows in a row group; what is held in memory at a time.
pub const GROUP_ROWS: usize = 65_536;

const SCHEMA: &str = "message conversations {
    REQUIRED BYTE_ARRAY client (STRING);
    REQUIRED BYTE_ARRAY server (STRING);
    REQUIRED BYTE_ARRAY transport (STRING);
    REQUIRED INT32 port;
    REQUIRED INT64 ports;
    OPTIONAL BYTE_ARRAY service (STRING);
    REQUIRED BYTE_ARRAY meanings (STRING);
    REQUIRED BYTE_ARRAY server_names (STRING);
    REQUIRED BYTE_ARRAY opening (STRING);
    REQUIRED BYTE_ARRAY protection (STRING);
    REQUIRED INT64 first (TIMESTAMP(MILLIS,true));
    REQUIRED INT64 last (TIMESTAMP(MILLIS,true));
    REQUIRED INT64 flows;
    REQUIRED INT64 sent_packets;
    REQUIRED INT64 sent_bytes;
    REQUIRED INT64 received_packets;
    REQUIRED INT64 received_bytes;
    REQUIRED INT64 days;
    REQUIRED BYTE_ARRAY hours (STRING);
    OPTIONAL INT64 period_secs;
}";

/// Writes conversations as a Parquet file and returns how many.
///
/// # Errors
/// What the writer underneath reports.
pub fn write_conversations(
    out: impl Write + Send,
    conversations: impl IntoIterator<Item = Conversation>,
) -> Result<u64, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut conversations = conversations.into_iter();
    let mut written = 0;
    loop {
        let rows: Vec<Conversation> = conversations.by_ref().take(GROUP_ROWS).collect();
        if rows.is_empty() {
            break;
        }
        let mut group = Columns {
            group: file.next_row_group()?,
            rows: &rows,
        };
        group.write()?;
        group.group.close()?;
        written += rows.len() as u64;
    }
    file.close()?;
    Ok(written)
}

/// One row group, written column by column in the schema's order.
struct Columns<'a, 'g, W: Write + Send> {
    group: SerializedRowGroupWriter<'g, W>,
    rows: &'a [Conversation],
}

impl<W: Write + Send> Columns<'_, '_, W> {
    fn write(&mut self) -> Result<(), ParquetError> {
        self.text(|c| c.client.as_str().to_owned())?;
        self.text(|c| c.server.as_str().to_owned())?;
        self.text(|c| c.transport.to_string())?;
        self.port()?;
        self.number(|c| c.ports.into())?;
        self.optional_text(|c| c.service.as_ref())?;
        self.text(|c| words(&c.meanings))?;
        self.text(|c| words(&c.server_names))?;
        self.text(|c| snake(&c.opening))?;
        self.text(|c| snake(&c.protection))?;
        self.number(|c| c.first.as_millis())?;
        self.number(|c| c.last.as_millis())?;
        self.number(|c| whole(c.flows))?;
        self.number(|c| whole(c.sent.packets))?;
        self.number(|c| whole(c.sent.bytes))?;
        self.number(|c| whole(c.received.packets))?;
        self.number(|c| whole(c.received.bytes))?;
        self.number(|c| c.days.into())?;
        self.text(|c| hours(c.hours))?;
        self.optional_number(|c| c.period_secs.map(i64::from))
    }

    fn text(&mut self, value: impl Fn(&Conversation) -> String) -> Result<(), ParquetError> {
        let values: Vec<ByteArray> = self
            .rows
            .iter()
            .map(|c| value(c).into_bytes().into())
            .collect();
        self.column::<ByteArrayType>(&values, None)
    }

    fn optional_text(
        &mut self,
        value: impl Fn(&Conversation) -> Option<&SmolStr>,
    ) -> Result<(), ParquetError> {
        let (values, present) = sparse(
            self.rows
                .iter()
                .map(|c| value(c).map(|text| ByteArray::from(text.as_bytes().to_vec()))),
        );
        self.column::<ByteArrayType>(&values, Some(&present))
    }

    fn number(&mut self, value: impl Fn(&Conversation) -> i64) -> Result<(), ParquetError> {
        let values: Vec<i64> = self.rows.iter().map(value).collect();
        self.column::<Int64Type>(&values, None)
    }

    fn optional_number(
        &mut self,
        value: impl Fn(&Conversation) -> Option<i64>,
    ) -> Result<(), ParquetError> {
        let (values, present) = sparse(self.rows.iter().map(value));
        self.column::<Int64Type>(&values, Some(&present))
    }

    fn port(&mut self) -> Result<(), ParquetError> {
        let values: Vec<i32> = self.rows.iter().map(|c| c.port.into()).collect();
        self.column::<Int32Type>(&values, None)
    }

    fn column<T: parquet::data_type::DataType>(
        &mut self,
        values: &[T::T],
        present: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        let mut column = self
            .group
            .next_column()?
            .ok_or_else(|| ParquetError::General("more columns than the schema has".to_owned()))?;
        column.typed::<T>().write_batch(values, present, None)?;
        column.close()
    }
}

/// The values that are there, and for each row its definition level: 1 there, 0 not.
fn sparse<T>(rows: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let mut values = Vec::new();
    let mut present = Vec::new();
    for row in rows {
        present.push(i16::from(row.is_some()));
        values.extend(row);
    }
    (values, present)
}

fn words(list: &[SmolStr]) -> String {
    let words: Vec<String> = list.iter().map(|w| w.replace(' ', "_")).collect();
    words.join(" ")
}

fn snake(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn hours(bits: [u64; 3]) -> String {
    (0..168)
        .map(|hour| {
            let word = bits.get(hour / 64).copied().unwrap_or_default();
            if word >> (hour % 64) & 1 == 1 {
                '1'
            } else {
                '0'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::conversation::{Opening, Protection, Volume};
    use domain::{DeviceId, Timestamp, Transport};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    fn conversation(n: u16) -> Conversation {
        Conversation {
            client: DeviceId::new(format!("pump-{n}")),
            server: DeviceId::new("pump-server"),
            transport: Transport::Tcp,
            port: 60_000 + n % 5000,
            ports: 1,
            service: (n.is_multiple_of(2)).then(|| "hl7".into()),
            meanings: vec!["ORU^R01".into(), "FHIR read".into()],
            opening: Opening::Seen,
            protection: Protection::Cleartext,
            server_names: Vec::new(),
            first: Timestamp::from_millis(1),
            last: Timestamp::from_millis(i64::from(n)),
            flows: 2,
            sent: Volume {
                packets: 3,
                bytes: u64::MAX,
            },
            received: Volume::default(),
            hours: [1, 0, 1 << 39],
            days: 1,
            period_secs: (n.is_multiple_of(3)).then_some(60),
        }
    }

    #[test]
    fn every_conversation_is_read_back_with_its_gaps() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        let rows = (0..10).map(conversation);
        let written = write_conversations(&mut file, rows).expect("written");
        assert_eq!(written, 10);
        let reader = SerializedFileReader::new(file).expect("a Parquet file");
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("readable");
        assert_eq!(rows.len(), 10);
        let row = &rows[3];
        assert_eq!(row.get_string(0).expect("client"), "pump-3");
        assert_eq!(row.get_int(3).expect("port"), 60_003);
        assert!(row.get_string(5).is_err(), "no service was seen");
        assert_eq!(row.get_string(6).expect("meanings"), "ORU^R01 FHIR_read");
        assert_eq!(row.get_long(14).expect("bytes"), i64::MAX);
        let hours = row.get_string(18).expect("hours");
        assert_eq!((hours.len(), &hours[..2], &hours[167..]), (168, "10", "1"));
        assert_eq!(row.get_long(19).expect("period"), 60);
        assert!(rows[4].get_long(19).is_err());
    }

    #[test]
    fn no_conversation_is_a_file_with_a_schema_all_the_same() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        assert_eq!(write_conversations(&mut file, []).expect("written"), 0);
        let reader = SerializedFileReader::new(file).expect("a Parquet file");
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
