//! Tables with a header: separated by comma, semicolon, tab or bar, with quoted values that may hold line ends (RFC 4180).
//!
//! A quote that is never closed would swallow the rest of the file. A row is therefore at most [`ROW_MAX`] octets; beyond
//! that its first line is named as damaged and what was read ahead is taken line by line without quotes. Columns are at
//! most [`COLUMNS_MAX`].

use std::borrow::Cow;

use super::emit::Emit;
use super::register::{Mapping, Register};
use super::text::utf8;
use super::{Format, Problem, leases, moment};

/// Longest row, in octets.
const ROW_MAX: usize = 1 << 18;

/// Most columns.
const COLUMNS_MAX: usize = 1024;

/// Rows that are looked at before a mapping is guessed and the order of day and month is settled.
const SAMPLE: usize = 200;

/// Octets of them.
const SAMPLE_OCTETS: usize = 1 << 20;

/// One row: values by the names of their columns.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    names: &'a [String],
    fields: &'a [String],
}

impl Row<'_> {
    /// The value under a header, given in lower case; absent when empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let place = self.names.iter().position(|known| known == name)?;
        let value = self.fields.get(place)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

/// Reads one table.
#[derive(Debug)]
pub(crate) struct Reader {
    format: Format,
    given: Option<Mapping>,
    rows: Rows,
    /// Headers in lower case.
    names: Option<Vec<String>>,
    register: Option<Register>,
    order: Option<moment::Dates>,
    /// Rows held back until enough are seen, with their lines.
    sample: Vec<(u64, Vec<String>)>,
    sample_octets: usize,
    sampled: bool,
}

impl Reader {
    pub(crate) fn new(format: Format, mapping: Option<Mapping>) -> Self {
        Self {
            format,
            rows: Rows::new(mapping.as_ref().and_then(|mapping| mapping.separator)),
            given: mapping,
            names: None,
            register: None,
            order: None,
            sample: Vec::new(),
            sample_octets: 0,
            sampled: false,
        }
    }

    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        self.register.as_ref().map(Register::mapping)
    }

    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        emit: &mut Emit<'_>,
        note: &mut dyn FnMut(Problem),
    ) {
        self.rows.held.extend_from_slice(bytes);
        self.drain(false, emit, note);
    }

    pub(crate) fn finish(&mut self, emit: &mut Emit<'_>, note: &mut dyn FnMut(Problem)) {
        self.drain(true, emit, note);
        self.settle(emit, note);
    }

    fn drain(&mut self, end: bool, emit: &mut Emit<'_>, note: &mut dyn FnMut(Problem)) {
        let mut start = 0;
        while let Some(step) = self.rows.next(&mut start, end) {
            emit.counts().lines += 1;
            match step {
                Step::Row(line, fields) => self.row(line, fields, emit, note),
                Step::Damaged(line, what, remedy) => {
                    emit.counts().damaged += 1;
                    note(Problem {
                        line: Some(line),
                        ..Problem::new(what, remedy)
                    });
                }
            }
        }
        self.rows.drop_front(start);
    }

    fn row(
        &mut self,
        line: u64,
        fields: Vec<String>,
        emit: &mut Emit<'_>,
        note: &mut dyn FnMut(Problem),
    ) {
        let blank = fields.iter().all(|field| field.trim().is_empty());
        let first = fields.first().map(String::as_str).unwrap_or_default();
        if blank
            || first.starts_with("#TYPE ")
            || (self.names.is_none() && first.to_ascii_lowercase().starts_with("sep="))
        {
            emit.counts().silent += 1;
            return;
        }
        let Some(names) = &self.names else {
            emit.counts().silent += 1;
            if self.format == Format::Csv {
                match Register::new(self.given.clone(), &fields, self.rows.separator()) {
                    Ok(register) => self.register = Some(register),
                    Err(mut problem) => {
                        problem.line = Some(line);
                        note(problem);
                    }
                }
            }
            self.names = Some(
                fields
                    .iter()
                    .map(|name| name.trim().to_lowercase())
                    .collect(),
            );
            return;
        };
        // A header that comes again, where exports were put one behind the other.
        let again = fields.len() == names.len()
            && fields
                .iter()
                .zip(names)
                .all(|(field, name)| field.trim().to_lowercase() == *name);
        if again {
            emit.counts().silent += 1;
            return;
        }
        if fields
            .iter()
            .skip(names.len())
            .any(|field| !field.trim().is_empty())
        {
            emit.counts().damaged += 1;
            note(Problem {
                line: Some(line),
                ..Problem::new(
                    format!(
                        "{} values where the header has {} columns",
                        fields.len(),
                        names.len()
                    ),
                    "a value with a separator in it has to stand in double quotes; export the file again as CSV",
                )
            });
            return;
        }
        if self.sampled {
            self.tell(line, &fields, emit, note);
            return;
        }
        self.sample_octets += fields.iter().map(|field| field.len() + 24).sum::<usize>();
        self.sample.push((line, fields));
        if self.sample.len() >= SAMPLE || self.sample_octets >= SAMPLE_OCTETS {
            self.settle(emit, note);
        }
    }

    /// Decides what the rows seen so far allow to decide, then tells them.
    fn settle(&mut self, emit: &mut Emit<'_>, note: &mut dyn FnMut(Problem)) {
        if std::mem::replace(&mut self.sampled, true) {
            return;
        }
        let sample = std::mem::take(&mut self.sample);
        let rows: Vec<&[String]> = sample.iter().map(|(_, fields)| fields.as_slice()).collect();
        if let Some(register) = &mut self.register
            && let Err(mut problem) = register.settle(&rows)
        {
            problem.line.get_or_insert(1);
            note(problem);
        }
        if self.format == Format::WindowsLeases {
            let names = self.names.as_deref().unwrap_or_default();
            let column = names
                .iter()
                .position(|name| matches!(name.as_str(), "leaseexpirytime" | "lease expiration"));
            self.order = column.and_then(|column| {
                rows.iter()
                    .find_map(|row| moment::order_shown(row.get(column)?))
            });
        }
        for (line, fields) in &sample {
            self.tell(*line, fields, emit, note);
        }
    }

    fn tell(
        &mut self,
        line: u64,
        fields: &[String],
        emit: &mut Emit<'_>,
        note: &mut dyn FnMut(Problem),
    ) {
        let row = Row {
            names: self.names.as_deref().unwrap_or_default(),
            fields,
        };
        let told = match self.format {
            Format::KeaLeases => leases::kea::row(&row).map(|lease| lease.tell(emit)),
            Format::WindowsLeases => {
                leases::windows::row(&row, self.order).map(|lease| lease.tell(emit))
            }
            _ => match &mut self.register {
                Some(register) => register.row(fields, emit),
                None => Ok(false),
            },
        };
        match told {
            Ok(true) => emit.counts().rows += 1,
            Ok(false) => emit.counts().silent += 1,
            Err(mut problem) => {
                emit.counts().damaged += 1;
                problem.line = Some(line);
                note(problem);
            }
        }
    }
}

/// The separator that a header shows: the one of `,` `;` tab `|` that stands most often outside quotes.
pub(crate) fn separator(header: &str) -> Option<char> {
    let mut counts = [0_usize; 4];
    let mut quoted = false;
    for c in header.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            ',' => counts[0] += 1,
            ';' => counts[1] += 1,
            '\t' => counts[2] += 1,
            '|' => counts[3] += 1,
            _ => {}
        }
    }
    let most = counts.iter().copied().max().filter(|most| *most > 0)?;
    let place = counts.iter().position(|count| *count == most)?;
    [',', ';', '\t', '|'].get(place).copied()
}

/// The headers of a table that begins with these octets, in whatever encoding.
pub(super) fn headers(head: &[u8]) -> Vec<String> {
    let decoded = super::text::Decoder::default().decode(head).into_owned();
    let mut rows = Rows::new(None);
    rows.held = decoded;
    let mut start = 0;
    while let Some(step) = rows.next(&mut start, false) {
        match step {
            Step::Row(_, fields) => {
                let first = fields.first().map(String::as_str).unwrap_or_default();
                let blank = fields.iter().all(|field| field.trim().is_empty());
                if !blank
                    && !first.starts_with("#TYPE ")
                    && !first.to_ascii_lowercase().starts_with("sep=")
                {
                    return fields;
                }
            }
            Step::Damaged(..) => break,
        }
    }
    Vec::new()
}

enum Step {
    Row(u64, Vec<String>),
    Damaged(u64, String, &'static str),
}

/// Cuts octets into rows.
struct Rows {
    core: Option<csv_core::Reader>,
    separator: Option<char>,
    held: Vec<u8>,
    /// Octets of `held`, from its start, that are taken line by line without quotes.
    plain: usize,
    output: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("line", &self.line)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Rows {
    fn new(separator: Option<char>) -> Self {
        Self {
            core: None,
            separator: separator.filter(char::is_ascii),
            held: Vec::new(),
            plain: 0,
            output: Vec::new(),
            ends: Vec::new(),
            line: 1,
        }
    }

    fn separator(&self) -> Option<char> {
        self.separator
    }

    /// Forgets the octets that were taken.
    fn drop_front(&mut self, taken: usize) {
        self.held.drain(..taken);
        self.plain = self.plain.saturating_sub(taken);
    }

    /// The next row from `start` on, which moves behind it; absent when more octets are needed.
    fn next(&mut self, start: &mut usize, end: bool) -> Option<Step> {
        // The separator shows in the first line that is not `sep=` or `#TYPE`.
        if self.core.is_none() {
            self.prepare(*start, end)?;
        }
        let rest = self.held.get(*start..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        if *start < self.plain {
            return self.plain_line(start);
        }
        let separator = self
            .separator
            .and_then(|c| u8::try_from(c).ok())
            .unwrap_or(b',');
        let core = self.core.as_mut()?;
        core.reset();
        self.output.resize(ROW_MAX + 64, 0);
        self.ends.resize(COLUMNS_MAX + 1, 0);
        let window = rest.get(..rest.len().min(ROW_MAX + 1)).unwrap_or_default();
        let (mut result, mut read, mut written, mut columns) =
            core.read_record(window, &mut self.output, &mut self.ends);
        if matches!(result, csv_core::ReadRecordResult::InputEmpty)
            && window.len() == rest.len()
            && end
        {
            // An empty piece tells the end of the file.
            let (last, more, wrote, found) = core.read_record(
                &[],
                self.output.get_mut(written..).unwrap_or_default(),
                self.ends.get_mut(columns..).unwrap_or_default(),
            );
            (result, read, written, columns) =
                (last, read + more, written + wrote, columns + found);
            let _ = written;
            if open_quote(window, separator) {
                return self.unclosed(start);
            }
        }
        match result {
            csv_core::ReadRecordResult::Record => {
                let line = self.line;
                let raw = rest.get(..read).unwrap_or_default();
                // Blank lines in front of the row belong to its count of lines.
                let before = raw
                    .iter()
                    .take_while(|b| matches!(b, b'\r' | b'\n'))
                    .filter(|b| **b == b'\n')
                    .count();
                self.line += memchr::memchr_iter(b'\n', raw).count() as u64;
                *start += read;
                let mut fields = Vec::with_capacity(columns);
                let mut from = 0;
                for to in self.ends.iter().take(columns) {
                    fields.push(utf8(self.output.get(from..*to).unwrap_or_default()).into_owned());
                    from = *to;
                }
                Some(Step::Row(line + before as u64, fields))
            }
            csv_core::ReadRecordResult::End => {
                *start += read;
                None
            }
            csv_core::ReadRecordResult::InputEmpty if window.len() <= ROW_MAX => None,
            csv_core::ReadRecordResult::OutputEndsFull => {
                let line = self.line;
                let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                self.line += 1;
                *start += length;
                Some(Step::Damaged(
                    line,
                    format!("a row of more than {COLUMNS_MAX} columns"),
                    "check the separator; a mapping file can name it",
                ))
            }
            csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::OutputFull => {
                self.unclosed(start)
            }
        }
    }

    /// A row without end: its first line is given up, what was read ahead is taken without quotes.
    fn unclosed(&mut self, start: &mut usize) -> Option<Step> {
        let rest = self.held.get(*start..).unwrap_or_default();
        let line = self.line;
        let ahead = rest.len().min(ROW_MAX + 1);
        let length =
            memchr::memchr(b'\n', rest.get(..ahead).unwrap_or_default()).map_or(ahead, |at| at + 1);
        self.line += 1;
        *start += length;
        // Whole lines only: the last one goes on beyond what was read ahead.
        let last = memchr::memrchr(b'\n', rest.get(..ahead).unwrap_or_default())
            .map_or(ahead, |at| at + 1);
        self.plain = *start + (last - length);
        Some(Step::Damaged(
            line,
            "a quote that is never closed, or a row too long to be one".to_owned(),
            "a double quote inside a value has to be doubled; export the file again as CSV",
        ))
    }

    fn plain_line(&mut self, start: &mut usize) -> Option<Step> {
        let separator = self.separator.unwrap_or(',');
        let rest = self
            .held
            .get(*start..self.plain.min(self.held.len()))
            .unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let text = utf8(rest.get(..length).unwrap_or_default());
        let fields: Vec<String> = text
            .trim_end_matches(['\r', '\n'])
            .split(separator)
            .take(COLUMNS_MAX)
            .map(|field| field.trim_matches('"').to_owned())
            .collect();
        let line = self.line;
        self.line += 1;
        *start += length;
        Some(Step::Row(line, fields))
    }

    fn prepare(&mut self, start: usize, end: bool) -> Option<()> {
        let rest = self.held.get(start..).unwrap_or_default();
        let mut found = self.separator;
        if found.is_none() {
            let mut from = 0;
            loop {
                let tail = rest.get(from..).unwrap_or_default();
                let length = match memchr::memchr(b'\n', tail) {
                    Some(length) => length,
                    None if end || tail.len() > ROW_MAX => tail.len(),
                    None => return None,
                };
                let line: Cow<'_, str> = utf8(tail.get(..length).unwrap_or_default());
                let line = line.trim();
                if let Some(named) = line
                    .strip_prefix("sep=")
                    .and_then(|rest| rest.chars().next())
                {
                    found = Some(named);
                    break;
                }
                let skip = line.is_empty() || line.starts_with("#TYPE ");
                if !skip || length == tail.len() {
                    found = separator(line);
                    break;
                }
                from += length + 1;
            }
        }
        let separator = found.filter(char::is_ascii).unwrap_or(',');
        self.separator = Some(separator);
        self.core = Some(
            csv_core::ReaderBuilder::new()
                .delimiter(u8::try_from(separator).unwrap_or(b','))
                .build(),
        );
        Some(())
    }
}

/// Whether the octets end inside quotes. A quote opens only where a field begins (RFC 4180, 2.5).
fn open_quote(octets: &[u8], separator: u8) -> bool {
    let (mut begins, mut quoted) = (true, false);
    let mut rest = octets.iter().peekable();
    while let Some(octet) = rest.next() {
        if quoted {
            if *octet == b'"' && rest.next_if(|next| **next == b'"').is_none() {
                quoted = false;
            }
            continue;
        }
        quoted = begins && *octet == b'"';
        begins = *octet == separator || matches!(octet, b'\r' | b'\n');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pieces: &[&[u8]]) -> Vec<Result<(u64, Vec<String>), u64>> {
        let mut rows = Rows::new(None);
        let mut out = Vec::new();
        let mut take = |rows: &mut Rows, end| {
            let mut start = 0;
            while let Some(step) = rows.next(&mut start, end) {
                out.push(match step {
                    Step::Row(line, fields) => Ok((line, fields)),
                    Step::Damaged(line, ..) => Err(line),
                });
            }
            rows.drop_front(start);
        };
        for piece in pieces {
            rows.held.extend_from_slice(piece);
            take(&mut rows, false);
        }
        take(&mut rows, true);
        out
    }

    #[test]
    fn rows_are_the_same_however_the_file_is_cut() {
        let text = b"a;b;c\r\n1;\"two\nlines\";3\r\n\r\n4;\"say \"\"hi\"\"\";6\n7;5\" screen;9";
        let whole = rows(&[text]);
        assert_eq!(whole.len(), 4);
        assert_eq!(
            whole[1],
            Ok((2, vec!["1".into(), "two\nlines".into(), "3".into()]))
        );
        assert_eq!(
            whole[2],
            Ok((5, vec!["4".into(), "say \"hi\"".into(), "6".into()]))
        );
        assert_eq!(
            whole[3],
            Ok((6, vec!["7".into(), "5\" screen".into(), "9".into()]))
        );
        for cut in 1..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(rows(&[a, b]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_unclosed_quote_costs_one_row() {
        let mut text = b"a,b\n1,\"never closed\n".to_vec();
        for number in 0..40_000 {
            text.extend_from_slice(format!("{number},x\n").as_bytes());
        }
        let found = rows(&[&text]);
        assert_eq!(found.iter().filter(|row| row.is_err()).count(), 1);
        assert_eq!(found[1], Err(2));
        assert_eq!(found.len(), 40_002);
        assert_eq!(
            found[40_001],
            Ok((40_002, vec!["39999".into(), "x".into()]))
        );
    }

    #[test]
    fn the_separator_shows_in_the_header() {
        assert_eq!(separator("a,b;c,d"), Some(','));
        assert_eq!(separator("\"a,b\";c"), Some(';'));
        assert_eq!(separator("a\tb"), Some('\t'));
        assert_eq!(separator("nothing"), None);
    }
}
