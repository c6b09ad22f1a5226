//! Records instead of packets: logs, leases, tables, scans, exports and flow records, in and out of order.
//!
//! [`recognise`] says from the first octets what a file is; a [`Reader`] takes it in pieces of any size and speaks
//! into a [`Sink`]. Flow records come as datagrams: [`netflow::Collector`] and [`sflow::Collector`].
//!
//! Bounds of one reader: a line or row of at most [`LINE_MAX`] octets, [`PROBLEMS_MAX`] problems, and a fixed table of
//! what was said already; longer lines are skipped and counted.
//!
//! INVARIANT: columns and fields are taken by allow-list; a problem never quotes the value that caused it, so that
//! nothing about a patient leaves by way of an error message.

mod emit;
pub mod leases;
mod moment;
pub mod neighbours;
pub mod netflow;
pub mod nmap;
mod party;
mod recognise;
pub mod register;
pub mod sflow;
mod table;
mod text;
pub mod zeek;

use domain::Timestamp;
use domain::observation::{Sink, SourceId, SourceKind};
use serde::Serialize;

pub use emit::Counts;
pub use recognise::{Format, recognise};
pub use register::{Column, Mapping};
pub use zeek::Joins;

use emit::{Emit, Emitter};

/// Longest line or row, in octets.
pub const LINE_MAX: usize = 1 << 20;

/// Problems that a reader describes; beyond that it only counts them.
pub const PROBLEMS_MAX: usize = 32;

/// What a record gets that carries neither a time nor a source of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who says it.
    pub source: SourceId,
    /// When it was said: for a file, when it was last changed; for standard input, now.
    pub at: Timestamp,
}

/// Something that could not be read: where, what, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Name of the column or field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong, in lower case.
    pub what: String,
    /// What would help.
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            line: None,
            column: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn in_column(mut self, column: &str) -> Self {
        self.column = Some(shorten(column));
        self
    }
}

/// A header or field name as a message may show it.
fn shorten(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Reads one file of records, given in pieces.
#[derive(Debug)]
pub struct Reader {
    decoder: text::Decoder,
    lines: text::Lines,
    body: Body,
    emitter: Emitter,
    problems: Vec<Problem>,
}

#[derive(Debug)]
enum Body {
    Zeek(Box<zeek::Reader>),
    Isc(Box<leases::isc::Reader>),
    Dnsmasq(leases::dnsmasq::Reader),
    Netsh(leases::windows::Reader),
    Neighbours(neighbours::Reader),
    Nmap(Box<nmap::Reader>),
    Table(Box<table::Reader>),
}

impl Reader {
    /// A reader for a format of lines, rows or XML. Absent: packets, compressed data and flow records are not read
    /// here, and unknown formats not at all.
    ///
    /// `name` is the file's: Zeek's JSON logs do not say which log they are. `mapping` applies to [`Format::Csv`]; by
    /// default it is guessed from the header and the first rows.
    pub fn new(
        format: Format,
        name: &str,
        context: Context,
        mapping: Option<Mapping>,
    ) -> Option<Self> {
        let body = match format {
            Format::ZeekTsv | Format::ZeekJson => Body::Zeek(Box::new(zeek::Reader::new(name))),
            Format::IscLeases => Body::Isc(Box::default()),
            Format::DnsmasqLeases => Body::Dnsmasq(leases::dnsmasq::Reader::default()),
            Format::WindowsNetsh => Body::Netsh(leases::windows::Reader::default()),
            Format::ArpTable | Format::IpNeighbour | Format::MacTable => {
                Body::Neighbours(neighbours::Reader::new(format))
            }
            Format::NmapXml => Body::Nmap(Box::default()),
            Format::KeaLeases | Format::WindowsLeases | Format::Csv => {
                Body::Table(Box::new(table::Reader::new(format, mapping)))
            }
            Format::Pcap
            | Format::PcapNg
            | Format::Gzip
            | Format::Zstd
            | Format::NetFlow
            | Format::SFlow
            | Format::Empty
            | Format::Foreign(_)
            | Format::Unknown => return None,
        };
        Some(Self {
            decoder: text::Decoder::default(),
            lines: text::Lines::default(),
            body,
            emitter: Emitter::new(context),
            problems: Vec::new(),
        })
    }

    /// Takes over what earlier logs of the same folder said of certificates (Zeek's ssl and x509 logs refer to one
    /// another); has no effect for other formats.
    #[must_use]
    pub fn with_joins(mut self, joins: Joins) -> Self {
        if let Body::Zeek(zeek) = &mut self.body {
            zeek.joins = joins;
        }
        self
    }

    /// Gives back what [`Reader::with_joins`] took, with what this file added.
    pub fn take_joins(&mut self) -> Option<Joins> {
        match &mut self.body {
            Body::Zeek(zeek) => Some(std::mem::take(&mut zeek.joins)),
            _ => None,
        }
    }

    /// Takes the next octets.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let decoded = self.decoder.decode(bytes);
        let (body, problems) = (&mut self.body, &mut self.problems);
        let emit = &mut Emit {
            emitter: &mut self.emitter,
            sink,
        };
        match body {
            Body::Table(table) => table.push(&decoded, emit, &mut |p| note(problems, p)),
            Body::Nmap(nmap) => nmap.push(&decoded, emit, &mut |p| note(problems, p)),
            _ => self.lines.push(&decoded, &mut |line| {
                one_line(body, line, emit, problems);
            }),
        }
    }

    /// Takes the end of the file: a last line without its end, rows held back.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        let (body, problems) = (&mut self.body, &mut self.problems);
        let emit = &mut Emit {
            emitter: &mut self.emitter,
            sink,
        };
        match body {
            Body::Table(table) => table.finish(emit, &mut |p| note(problems, p)),
            Body::Nmap(nmap) => nmap.finish(emit, &mut |p| note(problems, p)),
            _ => {
                self.lines
                    .finish(&mut |line| one_line(body, line, emit, problems));
                match body {
                    Body::Isc(isc) => isc.finish(emit, &mut |p| note(problems, p)),
                    Body::Zeek(zeek) => zeek.finish(emit, &mut |p| note(problems, p)),
                    _ => {}
                }
            }
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.emitter.counts
    }

    /// Problems met since the last call; at most [`PROBLEMS_MAX`] in all.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        let shown = self.problems.iter().take(PROBLEMS_MAX).cloned().collect();
        // The number of those described stays bounded over all calls.
        self.problems.truncate(PROBLEMS_MAX);
        for problem in &mut self.problems {
            *problem = Problem::default();
        }
        let shown: Vec<Problem> = shown;
        shown
            .into_iter()
            .filter(|problem| !problem.what.is_empty())
            .collect()
    }

    /// The mapping that a CSV file is read with, once its header was seen, for whoever remembers it.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.body {
            Body::Table(table) => table.mapping(),
            _ => None,
        }
    }
}

fn note(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < PROBLEMS_MAX {
        problems.push(problem);
    }
}

fn one_line(
    body: &mut Body,
    line: text::Line<'_>,
    emit: &mut Emit<'_>,
    problems: &mut Vec<Problem>,
) {
    emit.counts().lines += 1;
    if line.cut {
        emit.counts().damaged += 1;
        note(
            problems,
            Problem {
                line: Some(line.number),
                ..Problem::new(
                    format!("a line of more than {LINE_MAX} octets was skipped"),
                    "check whether the file is the text it claims to be",
                )
            },
        );
        return;
    }
    let taken = match body {
        Body::Zeek(zeek) => zeek.line(line.text, emit),
        Body::Isc(isc) => isc.line(line.text, emit),
        Body::Dnsmasq(dnsmasq) => dnsmasq.line(line.text, emit),
        Body::Netsh(netsh) => netsh.line(line.text, emit),
        Body::Neighbours(neighbours) => neighbours.line(line.text, emit),
        Body::Table(_) | Body::Nmap(_) => Ok(Taken::Nothing),
    };
    match taken {
        Ok(Taken::Row) => emit.counts().rows += 1,
        Ok(Taken::Nothing) => emit.counts().silent += 1,
        Err(mut problem) => {
            emit.counts().damaged += 1;
            problem.line.get_or_insert(line.number);
            note(problems, problem);
        }
    }
}

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A row that was understood.
    Row,
    /// A header, a comment, a blank line, or something that says nothing about devices.
    Nothing,
}

/// The headers of a table ([`Format::Csv`]), from its first octets: to see which [`Mapping`] fits.
pub fn headers(head: &[u8]) -> Vec<String> {
    table::headers(head)
}

impl Format {
    /// What kind of source a file of this format is; absent for those that are none by themselves.
    pub const fn source_kind(self) -> Option<SourceKind> {
        Some(match self {
            Self::Pcap | Self::PcapNg => SourceKind::Packets,
            Self::NetFlow | Self::SFlow => SourceKind::FlowRecords,
            Self::ZeekTsv | Self::ZeekJson => SourceKind::Zeek,
            Self::IscLeases
            | Self::KeaLeases
            | Self::WindowsLeases
            | Self::WindowsNetsh
            | Self::DnsmasqLeases => SourceKind::Leases,
            Self::ArpTable | Self::IpNeighbour | Self::MacTable => SourceKind::Neighbours,
            Self::NmapXml => SourceKind::Scan,
            Self::Csv => SourceKind::Register,
            Self::Gzip | Self::Zstd | Self::Empty | Self::Foreign(_) | Self::Unknown => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests;
