//! Takes the bytes of one file, recognises what it is from its content and makes rows of it.

use std::fmt;

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::pieces::{Cutter, Event};
use super::row::Row;
use super::{csaf, cve, kev, mds2, nvd, recall, sbom, spdx, support, table};

/// Longest piece of input held at a time, in octets.
pub const ITEM_MAX: usize = 16 << 20;
/// Most rows kept of one file.
pub const ROWS_MAX: usize = 400_000;
/// Most problems listed; further ones are only counted.
pub const PROBLEMS_MAX: usize = 50;
/// How much of a file is looked at before its kind must be known.
const HEAD_MAX: usize = 4096;
/// Longest TOML table read.
const TOML_MAX: usize = 4 << 20;

/// What a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedKind {
    /// CISA's catalogue of known exploited vulnerabilities.
    Kev,
    /// NVD's CVE API 2.0 records.
    Nvd,
    /// CVE records, format 5.
    Cve,
    /// A security advisory, CSAF 2.0.
    Csaf,
    /// A bill of materials, CycloneDX.
    CycloneDx,
    /// A bill of materials, SPDX 2.
    Spdx,
    /// A maker's security disclosure, MDS2.
    Mds2,
    /// Recalls of medical devices, openFDA.
    Recalls,
    /// A table of dates at which support ends.
    EndOfSupport,
}

impl FeedKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Kev,
        Self::Nvd,
        Self::Cve,
        Self::Csaf,
        Self::CycloneDx,
        Self::Spdx,
        Self::Mds2,
        Self::Recalls,
        Self::EndOfSupport,
    ];

    /// Its name in the store and in risk facts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Nvd => "nvd",
            Self::Cve => "cve",
            Self::Csaf => "csaf",
            Self::CycloneDx => "cyclonedx",
            Self::Spdx => "spdx",
            Self::Mds2 => "mds2",
            Self::Recalls => "recalls",
            Self::EndOfSupport => "end-of-support",
        }
    }

    /// What it is called for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Kev => "known exploited vulnerabilities (CISA KEV)",
            Self::Nvd => "vulnerabilities (NVD)",
            Self::Cve => "vulnerabilities (CVE records)",
            Self::Csaf => "security advisory (CSAF)",
            Self::CycloneDx => "bill of materials (CycloneDX)",
            Self::Spdx => "bill of materials (SPDX)",
            Self::Mds2 => "security disclosure (MDS2)",
            Self::Recalls => "device recalls (FDA)",
            Self::EndOfSupport => "end of support",
        }
    }

    /// After how many days a feed of this kind is out of date; `None`: it speaks of one product and does not age by itself.
    pub const fn stale_days(self) -> Option<u32> {
        match self {
            Self::Kev => Some(7),
            Self::Nvd | Self::Cve | Self::Recalls => Some(30),
            Self::EndOfSupport => Some(366),
            Self::Csaf | Self::CycloneDx | Self::Spdx | Self::Mds2 => None,
        }
    }
}

impl fmt::Display for FeedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many rows a file had, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows met.
    pub read: u64,
    /// Rows kept.
    pub kept: u64,
    /// Rows that say nothing usable: rejected, withdrawn, without a product.
    pub passed_over: u64,
    /// Rows that could not be read.
    pub bad: u64,
    /// Rows beyond [`ROWS_MAX`].
    pub cut: u64,
}

/// Something in a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Line, from 1.
    pub line: u64,
    /// Offset in octets of where the row begins.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} (offset {}): {}",
            self.line, self.offset, self.what
        )
    }
}

/// What a file turned out to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// The file's name, as given.
    pub name: SmolStr,
    /// What it is.
    pub kind: FeedKind,
    /// When it was made, as it says itself, or its newest row; absent: it does not say.
    pub published: Option<Timestamp>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many.
    pub counts: Counts,
    /// What could not be read, at most [`PROBLEMS_MAX`] of them.
    pub problems: Vec<Problem>,
}

/// A file gave nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Its content is none of the known forms.
    #[error("`{name}` is none of the feeds that are read (hint: {hint})")]
    Unrecognised {
        /// The file's name.
        name: SmolStr,
        /// What to do.
        hint: &'static str,
    },
    /// It was recognised, but no row of it could be used.
    #[error(
        "`{name}` holds no usable row of {kind}: {bad} could not be read, {passed_over} say nothing usable{first}"
    )]
    NothingUsable {
        /// The file's name.
        name: SmolStr,
        /// What it was recognised as.
        kind: FeedKind,
        /// Rows that could not be read.
        bad: u64,
        /// Rows that say nothing usable.
        passed_over: u64,
        /// The first problem, with `; first: ` in front, or empty.
        first: String,
    },
}

const HINT_FORMS: &str = "KEV, NVD 2.0, CVE 5, CSAF 2.0, CycloneDX and SPDX as JSON, SPDX tag-value, MDS2 and recalls as CSV, \
     recalls as openFDA JSON, end of support as TOML";

/// Where rows and problems go while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Out {
    kind: Option<FeedKind>,
    published: Option<Timestamp>,
    newest: Option<Timestamp>,
    rows: Vec<Row>,
    counts: Counts,
    problems: Vec<Problem>,
}

impl Out {
    /// Says what kind of rows these are; the first word counts.
    pub(crate) fn is(&mut self, kind: FeedKind) {
        self.kind.get_or_insert(kind);
    }

    /// The file says when it was made.
    pub(crate) fn published(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.published = Some(self.published.map_or(at, |p| p.max(at)));
        }
    }

    /// Keeps a row.
    pub(crate) fn keep(&mut self, row: Row, at: Option<Timestamp>) {
        self.counts.read += 1;
        if let Some(at) = at {
            self.newest = Some(self.newest.map_or(at, |n| n.max(at)));
        }
        if self.rows.len() < ROWS_MAX {
            self.rows.push(row);
            self.counts.kept += 1;
        } else {
            self.counts.cut += 1;
        }
    }

    /// A row that says nothing usable.
    pub(crate) fn pass(&mut self) {
        self.counts.read += 1;
        self.counts.passed_over += 1;
    }

    /// A row that cannot be read.
    pub(crate) fn bad(&mut self, line: u64, offset: u64, what: impl fmt::Display) {
        self.counts.read += 1;
        self.counts.bad += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                line,
                offset,
                what: super::row::short(&what.to_string(), 200).to_string(),
            });
        }
    }
}

enum Form {
    Undecided,
    Json(Box<Cutter>, Box<Document>),
    Table(Box<table::Records>, Sheet),
    Tags(Box<spdx::Tags>),
    Toml(Vec<u8>),
    /// Not read; the hint says why.
    Refused(&'static str),
}

/// What a CSV file is; known after its header or, for a form, from its cells.
enum Sheet {
    Undecided(Vec<Vec<String>>),
    Kev(kev::Columns),
    Recalls(recall::Columns),
    Mds2(Box<mds2::Form>),
    Unknown,
}

/// Reads one file.
pub struct Reader {
    name: SmolStr,
    head: Vec<u8>,
    form: Form,
    out: Out,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("rows", &self.out.rows.len())
            .finish_non_exhaustive()
    }
}

/// Reads a whole file that is in memory.
///
/// # Errors
/// As [`Reader::finish`].
pub fn read(name: &str, bytes: &[u8]) -> Result<Import, FeedError> {
    let mut reader = Reader::new(name);
    reader.push(bytes);
    reader.finish()
}

impl Reader {
    /// A reader for the file `name`; the name is for messages only.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            head: Vec::new(),
            form: Form::Undecided,
            out: Out::default(),
        }
    }

    /// Takes the next bytes, in chunks of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.form, Form::Undecided) {
            self.take(bytes);
            return;
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() >= HEAD_MAX {
            self.decide();
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If the content is not recognised, or none of its rows is usable.
    pub fn finish(mut self) -> Result<Import, FeedError> {
        if matches!(self.form, Form::Undecided) {
            self.decide();
        }
        let out = &mut self.out;
        match self.form {
            Form::Undecided => {}
            Form::Refused(hint) => {
                return Err(FeedError::Unrecognised {
                    name: self.name,
                    hint,
                });
            }
            Form::Json(mut cutter, mut document) => {
                cutter.finish(&mut |event| document.take(event, out));
                document.end(out);
            }
            Form::Table(mut records, mut sheet) => {
                records.finish(&mut |record| sheet.take(record, out));
                sheet.end(out);
            }
            Form::Tags(tags) => tags.finish(out),
            Form::Toml(bytes) => support::read(&bytes, out),
        }
        let out = self.out;
        let Some(kind) = out.kind else {
            return Err(FeedError::Unrecognised {
                name: self.name,
                hint: HINT_FORMS,
            });
        };
        if out.rows.is_empty() {
            return Err(FeedError::NothingUsable {
                name: self.name,
                kind,
                bad: out.counts.bad,
                passed_over: out.counts.passed_over,
                first: out
                    .problems
                    .first()
                    .map_or_else(String::new, |p| format!("; first: {p}")),
            });
        }
        Ok(Import {
            name: self.name,
            kind,
            published: out.published.or(out.newest),
            rows: out.rows,
            counts: out.counts,
            problems: out.problems,
        })
    }

    fn decide(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.form = form(&head);
        self.take(&head);
    }

    fn take(&mut self, bytes: &[u8]) {
        let out = &mut self.out;
        match &mut self.form {
            Form::Undecided | Form::Refused(_) => {}
            Form::Json(cutter, document) => {
                cutter.push(bytes, &mut |event| document.take(event, out));
            }
            Form::Table(records, sheet) => {
                records.push(bytes, &mut |record| sheet.take(record, out));
            }
            Form::Tags(tags) => tags.push(bytes, out),
            Form::Toml(whole) => {
                if whole.len() + bytes.len() <= TOML_MAX {
                    whole.extend_from_slice(bytes);
                } else {
                    self.form = Form::Refused("a table of end-of-support dates has at most 4 MiB");
                }
            }
        }
    }
}

fn form(head: &[u8]) -> Form {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = text
        .iter()
        .position(|b| !b.is_ascii_whitespace() && *b != 0x1e)
        .unwrap_or(text.len());
    let text = &text[start..];
    if text.starts_with(b"\x1f\x8b")
        || text.starts_with(b"\x28\xb5\x2f\xfd")
        || text.starts_with(b"BZh")
    {
        return Form::Refused("it is compressed; unpack it first");
    }
    if text.starts_with(b"PK\x03\x04") {
        return Form::Refused(
            "it is a ZIP archive or a workbook; unpack the archive, or save the workbook's sheet as CSV",
        );
    }
    if text.starts_with(b"%PDF") {
        return Form::Refused(
            "it is a PDF; ask the maker for the MDS2 as a workbook and save the sheet as CSV",
        );
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Form::Refused("it is UTF-16; save it as UTF-8");
    }
    match text.first() {
        None => return Form::Refused("it is empty"),
        Some(b'<') => {
            return Form::Refused(
                "it is XML; take the JSON form of the same list (CycloneDX, CSAF and SPDX have one)",
            );
        }
        Some(b'{') => return Form::Json(Box::new(Cutter::new()), Box::default()),
        _ => {}
    }
    let has = |needle: &str| {
        text.split(|b| *b == b'\n')
            .any(|line| line.trim_ascii_start().starts_with(needle.as_bytes()))
    };
    if has("SPDXVersion:") {
        return Form::Tags(Box::new(spdx::Tags::new()));
    }
    if has("[[product]]") || has("[[ product ]]") {
        return Form::Toml(Vec::new());
    }
    if text.first() == Some(&b'[') {
        return Form::Json(Box::new(Cutter::new()), Box::default());
    }
    let first_line = text.split(|b| *b == b'\n').next().unwrap_or(text);
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|d| {
            (
                text.iter().filter(|b| *b == d).count(),
                first_line.iter().filter(|b| *b == d).count(),
            )
        })
        .unwrap_or(b',');
    if text.contains(&delimiter) {
        Form::Table(
            Box::new(table::Records::new(delimiter)),
            Sheet::Undecided(Vec::new()),
        )
    } else {
        Form::Refused(HINT_FORMS)
    }
}

/// How many records of a CSV file are looked at for a header or a form's questions.
const SHEET_HEAD: usize = 60;

impl Sheet {
    fn take(&mut self, record: table::Record, out: &mut Out) {
        match self {
            Self::Undecided(seen) => {
                if record.broken {
                    return;
                }
                let cells: Vec<String> = record.cells.clone();
                if let Some(columns) = kev::Columns::find(&cells) {
                    out.is(FeedKind::Kev);
                    *self = Self::Kev(columns);
                } else if let Some(columns) = recall::Columns::find(&cells) {
                    out.is(FeedKind::Recalls);
                    *self = Self::Recalls(columns);
                } else if mds2::question(&cells).is_some() {
                    out.is(FeedKind::Mds2);
                    let mut form = mds2::Form::default();
                    for earlier in seen.iter() {
                        form.take(earlier);
                    }
                    form.take(&cells);
                    *self = Self::Mds2(Box::new(form));
                } else if seen.len() < SHEET_HEAD {
                    seen.push(cells);
                } else {
                    *self = Self::Unknown;
                }
            }
            Self::Unknown => {}
            _ if record.broken => out.bad(
                record.line,
                record.offset,
                "a record is longer than is read",
            ),
            Self::Kev(columns) => columns.take(&record, out),
            Self::Recalls(columns) => columns.take(&record, out),
            Self::Mds2(form) => form.take(&record.cells),
        }
    }

    fn end(self, out: &mut Out) {
        if let Self::Mds2(form) = self {
            form.finish(out);
        }
    }
}

/// What a JSON document turns out to be while its pieces go by.
#[derive(Default)]
pub(crate) struct Document {
    kind: Option<FeedKind>,
    csaf: csaf::Parts,
    cve: cve::Parts,
    cyclone: sbom::CycloneParts,
    spdx: sbom::SpdxParts,
}

/// Members by which an element shows what it is.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "cveID", default)]
    kev: Option<serde::de::IgnoredAny>,
    #[serde(borrow, default)]
    cve: Option<&'a serde_json::value::RawValue>,
    #[serde(default)]
    product_status: Option<serde::de::IgnoredAny>,
    #[serde(rename = "cveMetadata", default)]
    cve_metadata: Option<serde::de::IgnoredAny>,
    #[serde(rename = "bom-ref", default)]
    bom_ref: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    analysis: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    reason_for_recall: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    product_description: Option<serde::de::IgnoredAny>,
    #[serde(rename = "bomFormat", default)]
    bom_format: Option<serde::de::IgnoredAny>,
    #[serde(rename = "spdxVersion", default)]
    spdx_version: Option<serde::de::IgnoredAny>,
    #[serde(rename = "vulnStatus", default)]
    vuln_status: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    document: Option<serde::de::IgnoredAny>,
}

impl Probe<'_> {
    fn kind(&self) -> Option<FeedKind> {
        let object = self.cve.is_some_and(|r| r.get().starts_with('{'));
        Some(if self.kev.is_some() {
            FeedKind::Kev
        } else if object || self.vuln_status.is_some() {
            FeedKind::Nvd
        } else if self.cve_metadata.is_some() {
            FeedKind::Cve
        } else if self.bom_format.is_some() || self.bom_ref.is_some() || self.analysis.is_some() {
            FeedKind::CycloneDx
        } else if self.spdx_version.is_some() {
            FeedKind::Spdx
        } else if self.product_status.is_some() || self.cve.is_some() || self.document.is_some() {
            FeedKind::Csaf
        } else if self.reason_for_recall.is_some() || self.product_description.is_some() {
            FeedKind::Recalls
        } else {
            return None;
        })
    }
}

impl Document {
    fn take(&mut self, event: Event<'_>, out: &mut Out) {
        match event {
            Event::Damage { what, line, offset } => {
                out.bad(line, offset, what);
            }
            Event::End => self.end(out),
            Event::Piece(piece) => {
                if piece.element {
                    self.element(&piece, out);
                } else {
                    self.member(&piece, out);
                }
            }
        }
    }

    /// A member of the outermost object.
    fn member(&mut self, piece: &super::pieces::Piece<'_>, out: &mut Out) {
        let text = || serde_json::from_slice::<String>(piece.raw).ok();
        let kind = match piece.key {
            "catalogVersion" | "dateReleased" => {
                if piece.key == "dateReleased" {
                    out.published(text().as_deref().and_then(super::row::moment));
                }
                Some(FeedKind::Kev)
            }
            "format" => text()
                .filter(|t| t.starts_with("NVD_CVE"))
                .map(|_| FeedKind::Nvd),
            "timestamp" => {
                out.published(text().as_deref().and_then(super::row::moment));
                None
            }
            "meta" => {
                recall::meta(piece.raw, out);
                None
            }
            "bomFormat" => text()
                .filter(|t| t.eq_ignore_ascii_case("CycloneDX"))
                .map(|_| FeedKind::CycloneDx),
            "metadata" => {
                self.cyclone.metadata(piece, out);
                None
            }
            "spdxVersion" => Some(FeedKind::Spdx),
            "name" | "creationInfo" | "SPDXID" => {
                self.spdx.member(piece);
                None
            }
            "dataType" => text().filter(|t| t == "CVE_RECORD").map(|_| FeedKind::Cve),
            "cveMetadata" | "containers" => {
                self.cve.member(piece);
                Some(FeedKind::Cve)
            }
            "document" | "product_tree" => {
                self.csaf.member(piece, out);
                (piece.key == "product_tree" || self.csaf.has_document()).then_some(FeedKind::Csaf)
            }
            _ => None,
        };
        if let Some(kind) = kind {
            self.kind.get_or_insert(kind);
            out.is(kind);
        }
    }

    /// An element of an outermost array.
    fn element(&mut self, piece: &super::pieces::Piece<'_>, out: &mut Out) {
        match piece.key {
            "" | "vulnerabilities" | "cve_items" | "results" => {}
            "components" => {
                self.cyclone.component(piece, out);
                return;
            }
            "packages" => {
                self.spdx.package(piece, out);
                return;
            }
            "documentDescribes" | "relationships" => {
                self.spdx.describes(piece);
                return;
            }
            _ => return,
        }
        // What the document is may only show in its rows; what the rows are never changes within a document.
        let kind = match self.kind.filter(|_| !piece.key.is_empty()) {
            Some(kind) => kind,
            None => {
                let probe: Probe<'_> = match serde_json::from_slice(piece.raw) {
                    Ok(probe) => probe,
                    Err(error) => {
                        out.bad(piece.line, piece.offset, Fault(&error));
                        return;
                    }
                };
                let Some(kind) = probe.kind() else {
                    out.pass();
                    return;
                };
                if !piece.key.is_empty() {
                    self.kind = Some(kind);
                }
                out.is(kind);
                kind
            }
        };
        match kind {
            FeedKind::Kev => kev::element(piece, out),
            FeedKind::Nvd => nvd::element(piece, out),
            FeedKind::Recalls => recall::element(piece, out),
            FeedKind::Csaf if !piece.key.is_empty() => self.csaf.vulnerability(piece, out),
            FeedKind::CycloneDx if !piece.key.is_empty() => self.cyclone.vulnerability(piece),
            FeedKind::Cve | FeedKind::Csaf | FeedKind::CycloneDx | FeedKind::Spdx
                if piece.key.is_empty() =>
            {
                // A list of whole documents: each is cut for itself.
                let mut inner = Self::default();
                let mut cutter = Cutter::new();
                cutter.push(piece.raw, &mut |event| inner.nested(event, out));
                cutter.finish(&mut |event| inner.nested(event, out));
            }
            _ => out.pass(),
        }
    }

    /// As [`Self::take`], for a document inside a list: lists inside it are not lists of documents again.
    fn nested(&mut self, event: Event<'_>, out: &mut Out) {
        if let Event::Piece(piece) = &event
            && piece.element
            && piece.key.is_empty()
        {
            return;
        }
        self.take(event, out);
    }

    /// The document is complete: what needed all of it becomes rows.
    fn end(&mut self, out: &mut Out) {
        let whole = std::mem::take(self);
        match whole.kind {
            Some(FeedKind::Csaf) => whole.csaf.finish(out),
            Some(FeedKind::Cve) => whole.cve.finish(out),
            Some(FeedKind::CycloneDx) => whole.cyclone.finish(out),
            Some(FeedKind::Spdx) => whole.spdx.finish(out),
            _ => {}
        }
    }
}

/// A parser's complaint without its position, which is relative to the piece.
pub(crate) struct Fault<'a>(pub(crate) &'a serde_json::Error);

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        write!(f, "a row cannot be read: {text}")
    }
}
