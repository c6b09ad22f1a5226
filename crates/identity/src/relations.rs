//! Relations from the hospital's own sources: files written by hand or exported (CSV, JSON), and FHIR feeds.
//!
//! A file import is all or nothing: [`import`] reads every file to its end and returns everything or the first fault,
//! with its place and what to do about it. It never repeats an identifier or a cell of a patients' file in an error.

mod csv_rows;
pub mod fhir;
mod json_rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use domain::relation::{PatientFacts, VendorWindow};
use domain::{Device, PatientId, Person};

/// The largest file that is read.
pub const FILE_LEN_MAX: usize = 256 * 1024 * 1024;

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// People and workloads.
    People,
    /// Devices.
    Devices,
    /// Patients and who is related to them.
    Patients,
    /// Approved windows of vendors.
    VendorWindows,
}

impl Kind {
    /// Its name, which is also a JSON document's key: `people`, `devices`, `patients`, `vendor_windows`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Devices => "devices",
            Self::Patients => "patients",
            Self::VendorWindows => "vendor_windows",
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a heading line; several values in a cell are separated by `;`.
    Csv,
    /// A JSON array of objects, or an object that holds one under the kind's name.
    Json,
}

impl Format {
    /// By the end of a file's name: `.csv` or `.json`.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// One file to import.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// What its rows are.
    pub kind: Kind,
    /// How it is written.
    pub format: Format,
    /// Its content.
    pub bytes: &'a [u8],
}

/// Everything that was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    /// People and workloads.
    pub people: Vec<Person>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Patients.
    pub patients: Vec<(PatientId, PatientFacts)>,
    /// Vendors' windows.
    pub vendor_windows: Vec<VendorWindow>,
}

/// What is wrong with a file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The file.
    pub source: String,
    /// The line, counted from 1, if one is to blame.
    pub line: Option<u64>,
    /// The column: its heading in CSV, its field in JSON.
    pub column: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.source)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {} (hint: {})", self.what, self.hint)
    }
}

impl std::error::Error for ImportError {}

/// Reads files of any kinds and formats together.
pub fn import(sources: &[Source<'_>]) -> Result<Relations, ImportError> {
    let mut relations = Relations::default();
    let mut seen = Seen::default();
    for source in sources {
        let rows = read(source)?;
        for row in rows {
            check(source, &row, &mut seen)?;
            match row.value {
                Value::Person(person) => relations.people.push(person),
                Value::Device(device) => relations.devices.push(device),
                Value::Patient(id, facts) => relations.patients.push((id, *facts)),
                Value::Window(window) => relations.vendor_windows.push(window),
            }
        }
    }
    Ok(relations)
}

/// A row of any kind and the line it began on.
struct Row {
    line: u64,
    value: Value,
}

enum Value {
    Person(Person),
    Device(Device),
    Patient(PatientId, Box<PatientFacts>),
    Window(VendorWindow),
}

/// Where each identifier was first seen.
#[derive(Default)]
struct Seen(BTreeMap<(Kind, String), (String, u64)>);

fn read(source: &Source<'_>) -> Result<Vec<Row>, ImportError> {
    if source.bytes.len() > FILE_LEN_MAX {
        return Err(source.fault(
            None,
            None,
            format!(
                "the file is larger than {} MiB",
                FILE_LEN_MAX / (1024 * 1024)
            ),
            "split it",
        ));
    }
    // Spreadsheets begin UTF-8 files with a byte order mark.
    let bytes = source
        .bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(source.bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = line_of(bytes, e.valid_up_to());
        source.fault(
            Some(line),
            None,
            "the text is not UTF-8",
            "export it again as UTF-8",
        )
    })?;
    match source.format {
        Format::Csv => csv_rows::read(source, text),
        Format::Json => json_rows::read(source, text),
    }
}

/// What holds for a row whatever its format.
fn check(source: &Source<'_>, row: &Row, seen: &mut Seen) -> Result<(), ImportError> {
    let line = Some(row.line);
    let id = |column: &str, text: &str| {
        id_fault(text).map_or(Ok(()), |what| {
            Err(source.fault(
                line,
                Some(column),
                what,
                "write the identifier as its source writes it",
            ))
        })
    };
    let key = match &row.value {
        Value::Person(person) => {
            id("id", person.id.as_str())?;
            person
                .roles
                .iter()
                .try_for_each(|r| id("roles", r.as_str()))?;
            person
                .units
                .iter()
                .try_for_each(|u| id("units", u.as_str()))?;
            person
                .patient
                .iter()
                .try_for_each(|p| id("patient", p.as_str()))?;
            person
                .device
                .iter()
                .try_for_each(|d| id("device", d.as_str()))?;
            Some(person.id.as_str().to_owned())
        }
        Value::Device(device) => {
            id("id", device.id.as_str())?;
            device
                .unit
                .iter()
                .try_for_each(|u| id("unit", u.as_str()))?;
            Some(device.id.as_str().to_owned())
        }
        Value::Patient(patient, facts) => {
            id("id", patient.as_str())?;
            facts.unit.iter().try_for_each(|u| id("unit", u.as_str()))?;
            facts
                .care_team
                .iter()
                .try_for_each(|p| id("care_team", p.as_str()))?;
            facts
                .encounters
                .iter()
                .try_for_each(|e| id("encounters", e.person.as_str()))?;
            facts
                .proxies
                .iter()
                .try_for_each(|p| id("proxies", p.as_str()))?;
            facts
                .consents
                .iter()
                .flat_map(|c| &c.people)
                .try_for_each(|p| id("consents", p.as_str()))?;
            Some(patient.as_str().to_owned())
        }
        Value::Window(window) => {
            id("person", window.person.as_str())?;
            id("device", window.device.as_str())?;
            id("ticket", &window.ticket)?;
            window
                .approved_by
                .iter()
                .try_for_each(|p| id("approved_by", p.as_str()))?;
            if window.ends <= window.starts {
                return Err(source.fault(
                    line,
                    Some("ends"),
                    "the window ends before it starts",
                    "give a later `ends`",
                ));
            }
            if window.approved_by.as_ref() == Some(&window.person) {
                return Err(source.fault(
                    line,
                    Some("approved_by"),
                    "the vendor approves the window",
                    "name the employee who approved it, or leave it empty until somebody has",
                ));
            }
            None // a vendor may have many windows
        }
    };
    if let Some(key) = key {
        let here = (source.name.to_owned(), row.line);
        if let Some((file, first)) = seen.0.insert((source.kind, key), here) {
            let what = format!("the identifier was used before, in `{file}` line {first}");
            return Err(source.fault(line, Some("id"), what, "remove one of the two"));
        }
    }
    Ok(())
}

fn id_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("an identifier is empty")
    } else if text.len() > 128 {
        Some("an identifier is longer than 128 bytes")
    } else if text.chars().any(char::is_control) {
        Some("an identifier holds a control character")
    } else if text.trim() != text {
        Some("an identifier begins or ends with a space")
    } else {
        None
    }
}

impl Source<'_> {
    fn fault(
        &self,
        line: Option<u64>,
        column: Option<&str>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> ImportError {
        ImportError {
            source: self.name.to_owned(),
            line,
            column: column.map(str::to_owned),
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// The line, counted from 1, in which the byte at `offset` lies.
fn line_of(bytes: &[u8], offset: usize) -> u64 {
    let before = bytes.get(..offset).unwrap_or(bytes);
    1 + before.iter().filter(|b| **b == b'\n').count() as u64
}

/// Counts lines of a text from its beginning to its end, each byte once.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            line: 1,
        }
    }

    /// The line in which the byte at `offset` lies; offsets never go back.
    fn at(&mut self, offset: usize) -> u64 {
        let passed = self.bytes.get(self.at..offset).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.at = self.at.max(offset);
        self.line
    }

    /// The line of the first byte at or after `offset` that ends no line: where a row begins.
    fn of_row(&mut self, offset: usize) -> u64 {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let breaks = rest
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        self.at(offset + breaks)
    }
}
