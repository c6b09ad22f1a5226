//! A job: inputs in, observations and flows out.

use std::io;
use std::path::Path;

use domain::Timestamp;
use domain::observation::{Sink, Source, SourceId, SourceKind};
use sense::records::{Context, Counts, Format, Joins, Mapping, Reader};
use sense::{Counters, LinkType, Parser, Sensor};
use serde::Serialize;
use smol_str::SmolStr;

use crate::exports::{self, Exports, MESSAGE_MAX};
use crate::file::{Next, Opened, Task, walk};
use crate::packets::{Damage, Framer};
use crate::progress::{EVERY, Meter};
use crate::spread::{Batch, Item, Spread};
use crate::{Input, Options, PIECE, Place, Problem, Progress, Watch, listen};

/// Problems that an outcome describes; beyond that it only counts.
const PROBLEMS_MAX: usize = 1000;

/// Problems of one file that are described.
const PROBLEMS_OF_FILE: usize = 32;

/// Files that have a source of their own; those beyond share one for their folder.
const SOURCES_MAX: usize = 4096;

/// Files whose reports are kept.
const REPORTS_MAX: usize = 100_000;

/// What came of one file, interface or socket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What it turned out to be; absent for interfaces and sockets.
    pub format: Option<Format>,
    /// Whether it was compressed.
    pub compressed: bool,
    /// Packets read.
    pub packets: u64,
    /// Lines, rows or flow records understood.
    pub rows: u64,
    /// Lines, rows or flow records of kinds that are not known.
    pub unknown: u64,
    /// Places that could not be read.
    pub damaged: u64,
}

/// What came of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether anything could be used. When not, a program ends with 2.
    pub usable: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Packets read.
    pub packets: u64,
    /// Packets that were lost: dropped by the kernel, or by the program that captured, as pcapng tells it.
    pub dropped: u64,
    /// Lines, rows and flow records.
    pub records: Counts,
    /// What the sensors saw.
    pub sensor: Counters,
    /// Problems; at most 1000.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub problems_omitted: u64,
    /// Each file, interface and socket.
    pub reports: Vec<Report>,
    /// The mapping that each register was read with, by the file's name, to be remembered.
    pub mappings: Vec<(String, Mapping)>,
}

/// Reads one input; see [`Job`] for several.
pub fn read(
    input: Input,
    options: Options,
    sink: &mut impl Sink,
    progress: &mut dyn FnMut(&Progress),
) -> Outcome {
    Job::new(vec![input], options).run(sink, progress)
}

/// Inputs and how to read them.
#[derive(Debug)]
pub struct Job {
    inputs: Vec<Input>,
    options: Options,
    watch: Watch,
}

impl Job {
    /// A job that has not begun.
    pub fn new(inputs: Vec<Input>, options: Options) -> Self {
        Self {
            inputs,
            options,
            watch: Watch::default(),
        }
    }

    /// Looks at the job, and cancels it, from anywhere.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Reads files first, in the order given, then listens to interfaces and sockets, all at once, until cancelled.
    ///
    /// `progress` is called at least every 100 ms, and once at the end. The sink is asked for the number of each source
    /// before anything of it. Nothing here fails as a whole: what went wrong is in [`Outcome::problems`].
    pub fn run(self, sink: &mut impl Sink, progress: &mut dyn FnMut(&Progress)) -> Outcome {
        let meter = Meter::new(self.watch.clone(), progress);
        let mut run = Run {
            options: self.options,
            meter,
            outcome: Outcome::default(),
            joins: Joins::default(),
            folder: None,
            shared: Vec::new(),
            sources: 0,
            bytes_before: 0,
            packets_before: 0,
            records_before: 0,
        };
        let (live, files): (Vec<Input>, Vec<Input>) =
            self.inputs.into_iter().partition(Input::is_live);
        let tasks = run.gather(&files);
        for task in &tasks {
            if run.meter.pulse() {
                break;
            }
            run.file(task, sink);
        }
        if !live.is_empty() && !run.meter.pulse() {
            listen::run(&live, &mut run, &self.watch, sink);
        }
        run.outcome.cancelled = self.watch.is_cancelled();
        run.outcome.packets = run.meter.now.packets;
        run.meter.show();
        run.outcome
    }
}

/// A job under way.
pub(crate) struct Run<'p> {
    pub(crate) options: Options,
    pub(crate) meter: Meter<'p>,
    pub(crate) outcome: Outcome,
    /// What the logs of one folder say of certificates.
    joins: Joins,
    folder: Option<std::path::PathBuf>,
    /// Sources of folders with very many files.
    shared: Vec<(Source, SourceId)>,
    sources: usize,
    bytes_before: u64,
    packets_before: u64,
    records_before: u64,
}

impl Run<'_> {
    pub(crate) fn problem(&mut self, problem: Problem) {
        self.meter.news(&problem);
        if self.outcome.problems.len() < PROBLEMS_MAX {
            self.outcome.problems.push(problem);
        } else {
            self.outcome.problems_omitted += 1;
        }
    }

    /// Problems that are counted without a description.
    fn omitted(&mut self, count: u64) {
        self.outcome.problems_omitted += count;
        self.meter.now.problems += count;
    }

    pub(crate) fn report(&mut self, report: Report) {
        if self.outcome.reports.len() < REPORTS_MAX {
            self.outcome.reports.push(report);
        }
    }

    fn gather(&mut self, inputs: &[Input]) -> Vec<Task> {
        let mut tasks = Vec::new();
        for input in inputs {
            let mut problems = Vec::new();
            match input {
                Input::File(path) if path.is_dir() => tasks.extend(walk(path, &mut problems)),
                Input::File(path) => match Task::file(path) {
                    Ok(task) => tasks.push(task),
                    Err(problem) => problems.push(problem),
                },
                Input::Folder(path) => {
                    let found = walk(path, &mut problems);
                    if found.is_empty() && problems.is_empty() {
                        problems.push(Problem::new(
                            path.display().to_string(),
                            Place::Whole,
                            "holds no files",
                            "check the name",
                        ));
                    }
                    tasks.extend(found);
                }
                Input::Stdin => tasks.push(Task::stdin()),
                Input::Interface(_) | Input::NetFlowSocket(_) | Input::SFlowSocket(_) => {}
            }
            for problem in problems {
                self.problem(problem);
            }
        }
        self.meter.now.files_total = tasks.len() as u64;
        let total: Option<u64> = tasks.iter().map(|task| task.length).sum();
        self.meter.now.bytes_total = total.filter(|_| !tasks.is_empty());
        tasks
    }

    pub(crate) fn source(
        &mut self,
        name: &str,
        kind: SourceKind,
        folder: Option<&Path>,
        sink: &mut impl Sink,
    ) -> SourceId {
        self.sources += 1;
        if self.sources <= SOURCES_MAX {
            return sink.source(Source {
                name: SmolStr::new(name),
                kind,
            });
        }
        let name = folder.map_or_else(
            || "further files".to_owned(),
            |folder| folder.display().to_string(),
        );
        let source = Source {
            name: SmolStr::new(name),
            kind,
        };
        if let Some((_, id)) = self.shared.iter().find(|(known, _)| *known == source) {
            return *id;
        }
        let id = sink.source(source.clone());
        self.shared.push((source, id));
        id
    }

    fn file(&mut self, task: &Task, sink: &mut impl Sink) {
        self.meter.now.source.clone_from(&task.name);
        // Certificates are joined within a folder, not between hospitals.
        if self.folder != task.folder || task.folder.is_none() {
            self.joins = Joins::default();
            self.folder.clone_from(&task.folder);
        }
        match Opened::open(task, self.options.cores > 1, self.options.expansion_max) {
            Ok(opened) => self.opened(task, opened, sink),
            Err(problem) => self.problem(problem),
        }
        self.bytes_before = match task.length {
            Some(length) => self.bytes_before + length,
            None => self.meter.now.bytes_done,
        };
        self.meter.now.bytes_done = self.meter.now.bytes_done.max(self.bytes_before);
        self.meter.now.files_done += 1;
        self.meter.pulse();
    }

    fn opened(&mut self, task: &Task, opened: Opened, sink: &mut impl Sink) {
        let (format, compressed) = (opened.format, opened.compressed);
        let Some(kind) = format.source_kind() else {
            let what = match format {
                Format::Empty => "is empty".to_owned(),
                Format::Foreign(name) => format!("is a {name}, which is not read"),
                Format::Gzip | Format::Zstd => "is compressed more than three times".to_owned(),
                _ => "is of no known format".to_owned(),
            };
            self.problem(Problem::new(
                &task.name,
                Place::Whole,
                what,
                format.remedy(),
            ));
            self.report(Report {
                name: task.name.clone(),
                format: Some(format),
                compressed,
                packets: 0,
                rows: 0,
                unknown: 0,
                damaged: u64::from(format != Format::Empty),
            });
            return;
        };
        let context = Context {
            source: self.source(&task.name, kind, task.folder.as_deref(), sink),
            at: opened.changed.unwrap_or_else(|| self.options.now()),
        };
        let mut report = Report {
            name: task.name.clone(),
            format: Some(format),
            compressed,
            packets: 0,
            rows: 0,
            unknown: 0,
            damaged: 0,
        };
        match format {
            Format::Pcap | Format::PcapNg => self.packets(task, opened, context, &mut report, sink),
            Format::NetFlow | Format::SFlow => {
                self.messages(task, opened, context, &mut report, sink)
            }
            _ => self.records(task, opened, context, &mut report, sink),
        }
        self.packets_before += report.packets;
        self.report(report);
    }

    /// The next piece; says whether it was the last. Absent: the job is cancelled.
    fn piece(
        &mut self,
        task: &Task,
        opened: &mut Opened,
        into: &mut Vec<u8>,
        wanted: usize,
    ) -> Option<bool> {
        let before = into.len();
        loop {
            let next = opened.next(into, EVERY / 2);
            // What is counted may run ahead of what is used: never beyond the file.
            let done = opened.raw().min(task.length.unwrap_or(u64::MAX));
            self.meter.now.bytes_done = self.bytes_before + done;
            if self.meter.pulse() {
                return None;
            }
            match next {
                Ok(Next::Data) if into.len() - before >= wanted => return Some(false),
                Ok(Next::Data | Next::Wait) => {
                    // A pipe that pauses gives what it has.
                    if into.len() > before && matches!(next, Ok(Next::Wait)) {
                        return Some(false);
                    }
                }
                Ok(Next::End) => return Some(true),
                Err(error) => {
                    let problem = unreadable(task, opened, &error);
                    self.problem(problem);
                    return Some(true);
                }
            }
        }
    }

    fn packets(
        &mut self,
        task: &Task,
        mut opened: Opened,
        context: Context,
        report: &mut Report,
        sink: &mut impl Sink,
    ) {
        let Some(mut framer) = Framer::new(opened.format, context.at) else {
            return;
        };
        let mut buffer = Vec::with_capacity(2 * PIECE);
        let mut end = match self.piece(task, &mut opened, &mut buffer, 1) {
            Some(end) => end,
            None => return,
        };
        let mut exports = exports::prevail(opened.format, &buffer).then(|| Exports::new(context));
        let lanes = if exports.is_some() {
            1
        } else {
            u16::try_from(self.options.cores.clamp(1, 64)).unwrap_or(1)
        };
        let mut spread =
            (lanes > 1).then(|| Spread::new(lanes, context.source, self.options.limits));
        let mut sensor = Sensor::new(context.source, self.options.limits);
        let mut damages: Vec<Damage> = Vec::new();
        let mut cancelled = false;
        // The first link type that nobody reads.
        let mut strange = None;
        loop {
            let mut at: Option<Timestamp> = None;
            let mut packets = 0;
            let mut damage = |found: Damage| {
                report.damaged += 1;
                if report.damaged <= PROBLEMS_OF_FILE as u64 {
                    damages.push(found);
                }
            };
            if let Some(spread) = &mut spread {
                let mut items = Vec::new();
                let base = buffer.as_ptr().addr();
                let used = framer.take(
                    &buffer,
                    end,
                    &mut |packet| {
                        let from = packet.bytes.as_ptr().addr() - base;
                        items.push(Item {
                            octets: from..from + packet.bytes.len(),
                            at: packet.at,
                            link: packet.link,
                            length: packet.length,
                            lane: u16::try_from(sense::lane(
                                packet.link,
                                packet.bytes,
                                usize::from(lanes),
                            ))
                            .unwrap_or(0),
                        });
                        strange = strange.or(unread(packet.link));
                        at = Some(packet.at);
                        packets += 1;
                    },
                    &mut damage,
                );
                let mut rest = Vec::with_capacity(2 * PIECE);
                rest.extend_from_slice(buffer.get(used..).unwrap_or_default());
                let octets = std::mem::replace(&mut buffer, rest);
                spread.give(Batch { octets, items }, sink);
            } else {
                let used = framer.take(
                    &buffer,
                    end,
                    &mut |packet| {
                        sensor.packet(packet.at, packet.link, packet.bytes, packet.length, sink);
                        if let Some(exports) = &mut exports {
                            // Counted by the collector itself.
                            let _ = exports.packet(packet.at, packet.link, packet.bytes, sink);
                        }
                        strange = strange.or(unread(packet.link));
                        at = Some(packet.at);
                        packets += 1;
                    },
                    &mut damage,
                );
                buffer.drain(..used);
            }
            report.packets += packets;
            self.meter.now.packets += packets;
            self.meter.now.at = at.or(self.meter.now.at);
            for damage in damages.drain(..) {
                let what = if opened.compressed {
                    format!("{} (counted in what was decompressed)", damage.what)
                } else {
                    damage.what
                };
                self.problem(Problem::new(
                    &task.name,
                    Place::Offset(damage.offset),
                    what,
                    damage.remedy,
                ));
            }
            if end {
                break;
            }
            match self.piece(task, &mut opened, &mut buffer, PIECE / 2) {
                Some(last) => end = last,
                None => {
                    cancelled = true;
                    break;
                }
            }
        }
        let omitted = report.damaged.saturating_sub(PROBLEMS_OF_FILE as u64);
        if omitted > 0 {
            self.omitted(omitted);
        }
        let counters = match spread {
            Some(spread) => spread.finish(sink).unwrap_or_else(|| {
                self.problem(Problem::new(
                    &task.name,
                    Place::Whole,
                    "a thread that read packets failed",
                    "this is a fault of the program: report it, with the capture if it may be shown",
                ));
                Counters::default()
            }),
            None => {
                sensor.finish(sink);
                *sensor.counters()
            }
        };
        self.outcome.sensor.add(&counters);
        self.without_frames(task, &counters, strange);
        if let Some(exports) = exports {
            let counts = exports.counts();
            self.outcome.records.add(&counts);
            report.rows += counts.flows;
            report.unknown += counts.unknown;
            self.without_template(task, counts);
        }
        let dropped = framer.dropped();
        self.outcome.dropped += dropped;
        self.meter.now.dropped += dropped;
        // A whole capture without a packet is a fine answer; a damaged one is none, nor is one without a frame.
        let said = counters.observations > 0 || counters.flows > 0;
        let frames = counters.packets == 0 || counters.packets > without_frame(&counters);
        let whole = report.damaged == 0 && !cancelled;
        self.outcome.usable |= said || report.rows > 0 || (frames && whole);
    }

    /// Says which packets hold nothing that is read.
    fn without_frames(&mut self, task: &Task, counters: &Counters, strange: Option<u32>) {
        let count = counters.link_unknown;
        if count > 0 {
            let (what, remedy) = match strange {
                Some(NO_INTERFACE) | None => (
                    format!("{count} packets of an interface that the file does not describe"),
                    "the beginning of the capture is missing: copy it again, or capture again",
                ),
                Some(number) => (
                    format!("{count} packets of link type {number}, which is not read"),
                    "Ethernet, Wi-Fi, PPP, `any` and loopback captures are",
                ),
            };
            self.problem(Problem::new(&task.name, Place::Whole, what, remedy));
        } else if counters.packets > 0 && counters.packets <= without_frame(counters) {
            self.problem(Problem::new(
                &task.name,
                Place::Whole,
                format!("none of {} packets holds a frame", counters.packets),
                "the file is damaged, or names a link type that is not its own",
            ));
        }
    }

    fn messages(
        &mut self,
        task: &Task,
        mut opened: Opened,
        context: Context,
        report: &mut Report,
        sink: &mut impl Sink,
    ) {
        let mut exports = Exports::new(context);
        let mut buffer: Vec<u8> = Vec::new();
        let (mut offset, mut start) = (0_u64, 0);
        let mut end = false;
        loop {
            if !end && buffer.len() - start < 2 * MESSAGE_MAX {
                buffer.drain(..start);
                start = 0;
                match self.piece(task, &mut opened, &mut buffer, 2 * MESSAGE_MAX) {
                    Some(last) => end = last,
                    None => break,
                }
                continue;
            }
            let Some(rest) = buffer.get(start..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let mut used = 0;
            if exports::begins(rest) {
                match exports.message(context.at, None, rest, sink) {
                    Ok(octets) if octets > 0 => used = octets,
                    Ok(_) => {}
                    Err(problem) => {
                        report.damaged += 1;
                        if report.damaged <= PROBLEMS_OF_FILE as u64 {
                            self.problem(Problem::new(
                                &task.name,
                                Place::Offset(offset),
                                problem.what,
                                problem.remedy,
                            ));
                        }
                    }
                }
            } else {
                report.damaged += 1;
                if report.damaged <= PROBLEMS_OF_FILE as u64 {
                    self.problem(Problem::new(
                        &task.name,
                        Place::Offset(offset),
                        "no message of flow records",
                        "the rest is read from the next good one on",
                    ));
                }
            }
            if used == 0 {
                used = (1..rest.len())
                    .find(|at| rest.get(*at..).is_some_and(exports::begins))
                    .unwrap_or(rest.len());
            }
            start += used;
            offset += used as u64;
            self.meter.now.records = self.records_before + exports.counts().flows;
        }
        let counts = exports.counts();
        report.rows = counts.flows;
        report.unknown = counts.unknown;
        self.records_done(counts);
        self.without_template(task, counts);
        self.outcome.usable |= counts.flows > 0;
    }

    /// Says why flow records could not be read for want of their layout.
    fn without_template(&mut self, task: &Task, counts: Counts) {
        if counts.unknown > 0 {
            self.problem(Problem::new(
                &task.name,
                Place::Whole,
                format!("{} sets of flow records came without their template", counts.unknown),
                "exporters repeat templates every few minutes: capture longer, or let the exporter send them more often",
            ));
        }
    }

    fn records(
        &mut self,
        task: &Task,
        mut opened: Opened,
        context: Context,
        report: &mut Report,
        sink: &mut impl Sink,
    ) {
        let mut buffer = Vec::with_capacity(PIECE);
        // The first piece has to show encoding and header.
        let Some(mut end) = self.piece(task, &mut opened, &mut buffer, 4096) else {
            return;
        };
        let mapping = self.mapping(&buffer, opened.format);
        let Some(reader) = Reader::new(opened.format, &task.name, context, mapping) else {
            return;
        };
        let mut reader = reader.with_joins(std::mem::take(&mut self.joins));
        loop {
            reader.push(&buffer, sink);
            buffer.clear();
            self.meter.now.records = self.records_before + reader.counts().lines;
            self.record_problems(task, &mut reader);
            if end {
                break;
            }
            match self.piece(task, &mut opened, &mut buffer, PIECE / 2) {
                Some(last) => end = last,
                None => break,
            }
        }
        reader.finish(sink);
        self.record_problems(task, &mut reader);
        self.joins = reader.take_joins().unwrap_or_default();
        let counts = reader.counts();
        let omitted = counts
            .damaged
            .saturating_sub(sense::records::PROBLEMS_MAX as u64);
        if omitted > 0 {
            self.omitted(omitted);
        }
        report.rows = counts.rows;
        report.unknown = counts.unknown;
        report.damaged = counts.damaged;
        if let Some(mapping) = reader
            .mapping()
            .filter(|mapping| !mapping.columns.is_empty())
            && self.outcome.mappings.len() < PROBLEMS_MAX
        {
            self.outcome
                .mappings
                .push((task.name.clone(), mapping.clone()));
        }
        self.records_done(counts);
        self.outcome.usable |= counts.rows > 0;
    }

    fn records_done(&mut self, counts: Counts) {
        self.outcome.records.add(&counts);
        self.records_before = self.meter.now.records;
    }

    fn record_problems(&mut self, task: &Task, reader: &mut Reader) {
        for problem in reader.take_problems() {
            self.problem(Problem::of_record(&task.name, problem));
        }
    }

    /// The first mapping whose columns this file's header has.
    fn mapping(&self, head: &[u8], format: Format) -> Option<Mapping> {
        if format != Format::Csv {
            return None;
        }
        match self.options.mappings.as_slice() {
            [] => None,
            // A lone one was given for this file: that it does not fit is worth a word.
            [only] => Some(only.clone()),
            several => {
                let headers = sense::records::headers(head);
                several
                    .iter()
                    .find(|mapping| mapping.fits(&headers))
                    .cloned()
            }
        }
    }
}

/// The link type of a packet whose interface the file does not describe.
const NO_INTERFACE: u32 = u32::MAX;

/// The number of a link type that is not read.
const fn unread(link: LinkType) -> Option<u32> {
    match link {
        LinkType::Other(number) => Some(number),
        _ => None,
    }
}

/// Packets that could not be read as frames.
fn without_frame(counters: &Counters) -> u64 {
    counters.link_unknown + counters.malformed.of(Parser::Link)
}

/// A file that stops being readable.
fn unreadable(task: &Task, opened: &Opened, error: &io::Error) -> Problem {
    let offset = opened.raw();
    if opened.compressed {
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the compressed data ends too early".to_owned(),
            _ => format!("the compressed data is damaged: {error}"),
        };
        return Problem::new(
            &task.name,
            Place::Offset(offset),
            what,
            "what could be decompressed is read; copy the file again if it is whole at its origin",
        );
    }
    Problem::new(
        &task.name,
        Place::Offset(offset),
        format!("cannot be read on: {error}"),
        "check the disk or the mount; what came before is read",
    )
}
