//! Zeek's logs, in its own tab-separated form and as JSON lines (docs.zeek.org, "Zeek Log Formats and Inspection").
//!
//! A log is known by its `#path`, by `_path` in JSON, by the name of its file, or by its fields. Known logs are read by
//! an allow-list of fields; other fields are never looked at, so that user names, URIs, file names and mail addresses do
//! not enter. Other logs are counted as unknown, row by row.
//!
//! ssl.log names certificates by fingerprint, x509.log says what is in them: [`Joins`] carries the one to the other over
//! the files of a folder, in either order, for at most 2 × 16,384 certificates.

mod logs;
mod row;

use std::borrow::Cow;
use std::collections::HashMap;

use domain::Timestamp;
use domain::net::Party;
use domain::observation::EvidenceKind;
use smol_str::SmolStr;

use super::emit::Emit;
use super::text::utf8;
use super::{Problem, Taken, moment};
use logs::Log;
pub(crate) use row::{Field, Values};

pub(crate) use logs::path_of_name;

/// Certificates waiting for the other log.
const JOINS_MAX: usize = 1 << 14;

/// Servers that are remembered for one certificate.
const SHARED_MAX: usize = 64;

/// What the logs of one folder say of the same certificates.
#[derive(Debug, Default)]
pub struct Joins {
    /// Who presented the certificate of this fingerprint.
    presented: HashMap<SmolStr, Vec<Party>>,
    /// Subject and issuer of the certificate of this fingerprint.
    content: HashMap<SmolStr, (SmolStr, SmolStr)>,
}

impl Joins {
    fn presented(&mut self, at: Timestamp, fingerprint: &str, party: Party, emit: &mut Emit<'_>) {
        if let Some((subject, issuer)) = self.content.get(fingerprint) {
            certificate(at, party, subject, issuer, emit);
            return;
        }
        if self.presented.len() >= JOINS_MAX || fingerprint.len() > 128 {
            return;
        }
        let parties = self.presented.entry(SmolStr::new(fingerprint)).or_default();
        if parties.len() < SHARED_MAX && !parties.contains(&party) {
            parties.push(party);
        }
    }

    fn content(
        &mut self,
        at: Timestamp,
        fingerprint: &str,
        subject: &str,
        issuer: &str,
        emit: &mut Emit<'_>,
    ) {
        for party in self.presented.remove(fingerprint).unwrap_or_default() {
            certificate(at, party, subject, issuer, emit);
        }
        if self.content.len() < JOINS_MAX && fingerprint.len() <= 128 {
            self.content
                .insert(SmolStr::new(fingerprint), (brief(subject), brief(issuer)));
        }
    }
}

/// A distinguished name as it is held while its host is not known.
fn brief(text: &str) -> SmolStr {
    let mut end = text.len().min(256);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    SmolStr::new(text.get(..end).unwrap_or_default())
}

fn certificate(at: Timestamp, party: Party, subject: &str, issuer: &str, emit: &mut Emit<'_>) {
    emit.evidence(at, party, EvidenceKind::TlsSubject, subject);
    emit.evidence(at, party, EvidenceKind::TlsIssuer, issuer);
}

#[derive(Debug)]
struct Header {
    separator: u8,
    set_separator: u8,
    empty: String,
    unset: String,
    path: Option<String>,
    columns: Vec<Option<Field>>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separator: b'\t',
            set_separator: b',',
            empty: "(empty)".to_owned(),
            unset: "-".to_owned(),
            path: None,
            columns: Vec::new(),
        }
    }
}

/// Reads one log.
#[derive(Debug)]
pub(crate) struct Reader {
    header: Header,
    /// The log as far as the header or the file's name tells.
    log: Option<Log>,
    by_name: Option<Log>,
    pub(crate) joins: Joins,
    unknown_named: bool,
    closed: bool,
    rows: bool,
}

impl Reader {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            header: Header::default(),
            log: None,
            by_name: path_of_name(name).map(Log::of),
            joins: Joins::default(),
            unknown_named: false,
            closed: false,
            rows: false,
        }
    }

    pub(crate) fn line(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        match line.first() {
            None => Ok(Taken::Nothing),
            Some(b'#') => self.directive(line),
            Some(b'{') => self.json(line, emit),
            Some(_) => self.tsv(line, emit),
        }
    }

    pub(crate) fn finish(&mut self, _emit: &mut Emit<'_>, _note: &mut dyn FnMut(Problem)) {}

    fn directive(&mut self, line: &[u8]) -> Result<Taken, Problem> {
        let text = utf8(line);
        if let Some(separator) = text.strip_prefix("#separator ") {
            let octet = unescape(separator.trim());
            let mut octets = octet.bytes();
            // A new header begins a new log, where logs were put one behind the other.
            self.header = Header {
                separator: octets.next().unwrap_or(b'\t'),
                ..Header::default()
            };
            self.log = None;
            self.closed = false;
            return Ok(Taken::Nothing);
        }
        let separator = char::from(self.header.separator);
        let (name, value) = text.split_once(separator).unwrap_or((&text, ""));
        match name {
            "#set_separator" => {
                self.header.set_separator = unescape(value).bytes().next().unwrap_or(b',')
            }
            "#empty_field" => self.header.empty = value.chars().take(64).collect(),
            "#unset_field" => self.header.unset = value.chars().take(64).collect(),
            "#path" => {
                self.header.path = Some(value.chars().take(64).collect());
                self.log = Some(Log::of(value));
            }
            "#fields" => {
                self.header.columns = value.split(separator).take(1024).map(Field::of).collect();
            }
            "#close" => self.closed = true,
            _ => {}
        }
        Ok(Taken::Nothing)
    }

    fn tsv(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        if self.header.columns.is_empty() {
            return Err(Problem::new(
                "a row before the `#fields` header",
                "the beginning of the log is missing; give the whole log",
            ));
        }
        let log = self.log.or(self.by_name);
        if matches!(log, Some(Log::Unknown)) {
            return self.unknown(emit);
        }
        let text = utf8(line);
        let mut values = Values::default();
        let mut found = 0;
        for (place, cell) in text.split(char::from(self.header.separator)).enumerate() {
            found += 1;
            let Some(Some(field)) = self.header.columns.get(place) else {
                continue;
            };
            if cell == self.header.unset || cell == self.header.empty || cell.is_empty() {
                continue;
            }
            values.set(*field, unescape(cell), self.header.set_separator);
        }
        if found != self.header.columns.len() {
            return Err(Problem::new(
                format!(
                    "{found} values where the header has {} fields",
                    self.header.columns.len()
                ),
                "the row was cut or has another separator; the rest of the log is read",
            ));
        }
        self.rows = true;
        self.row(log, &values, emit)
    }

    fn json(&mut self, line: &[u8], emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        let text = utf8(line);
        let values = Values::from_json(&text).map_err(|error| {
            Problem::new(
                format!("not a JSON object, at column {}", error.column()),
                "the row was cut; the rest of the log is read",
            )
        })?;
        let log = values.get(Field::Path).map(Log::of).or(self.by_name);
        self.row(log, &values, emit)
    }

    fn row(
        &mut self,
        log: Option<Log>,
        values: &Values<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<Taken, Problem> {
        let log = log.or_else(|| Log::by_fields(values));
        let Some(log) = log.filter(|log| *log != Log::Unknown) else {
            return self.unknown(emit);
        };
        if log == Log::Silent {
            return Ok(Taken::Nothing);
        }
        let at = match values.get(Field::Ts) {
            Some(text) => moment::epoch(text)
                .or_else(|| Timestamp::parse(text))
                .ok_or_else(|| {
                    Problem::new(
                        "not an instant",
                        "Zeek writes seconds since 1970, or ISO 8601 in JSON",
                    )
                    .in_column("ts")
                })?,
            None => emit.at(),
        };
        logs::tell(log, at, values, &mut self.joins, emit)
    }

    /// A row of a log that is not known here: counted; the first one is named.
    fn unknown(&mut self, emit: &mut Emit<'_>) -> Result<Taken, Problem> {
        emit.counts().unknown += 1;
        self.unknown_named = true;
        Ok(Taken::Nothing)
    }
}

/// Zeek writes octets that would disturb as `\xHH`.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains("\\x") {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if let [b'\\', b'x', high, low, after @ ..] = rest {
            let digit = |b: u8| char::from(b).to_digit(16);
            if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                out.push((high * 16 + low) as u8);
                rest = after;
                continue;
            }
        }
        out.push(*first);
        rest = tail;
    }
    Cow::Owned(utf8(&out).into_owned())
}

#[cfg(test)]
mod tests;
