//! Our sensor over a capture file, as the program uses it: read, sense, count what is said.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use domain::observation::{Fact, Observation, Sink};
use domain::{Flow, SourceId, Timestamp};
use sense::{Limits, LinkType, Sensor};
use serde_json::json;
use xtask::statistics::median;

use crate::report::Scaling;

/// Reads a classic capture (microseconds, little endian: what [`crate::traffic`] writes).
pub(crate) struct Reader<R> {
    input: R,
    octets: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(mut input: R) -> Result<Self> {
        input
            .read_exact(&mut [0; 24])
            .context("no capture header")?;
        Ok(Self {
            input,
            octets: Vec::new(),
        })
    }

    /// The next packet: time, octets, length on the wire.
    pub(crate) fn next(&mut self) -> Result<Option<(Timestamp, &[u8], usize)>> {
        let mut head = [0_u8; 16];
        match self.input.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error).context("cannot read"),
        }
        let [seconds, micros, captured, length] = std::array::from_fn(|at| {
            u32::from_le_bytes([
                head[at * 4],
                head[at * 4 + 1],
                head[at * 4 + 2],
                head[at * 4 + 3],
            ])
        });
        self.octets.resize(captured as usize, 0);
        self.input
            .read_exact(&mut self.octets)
            .context("cannot read")?;
        let at = Timestamp::from_millis(i64::from(seconds) * 1000 + i64::from(micros / 1000));
        Ok(Some((at, &self.octets, length as usize)))
    }
}

/// Counts what is said.
#[derive(Debug, Default)]
struct Counted {
    kinds: BTreeMap<&'static str, u64>,
    flows: u64,
    recognised: u64,
}

impl Sink for Counted {
    fn observe(&mut self, observation: Observation) {
        let kind = match &observation.fact {
            Fact::Seen => "seen",
            Fact::Address { .. } => "address",
            Fact::Released => "released",
            Fact::Evidence { kind, .. } => kind.as_str(),
        };
        *self.kinds.entry(kind).or_default() += 1;
    }

    fn flow(&mut self, flow: Flow) {
        self.flows += u64::from(flow.begins);
        self.recognised += u64::from(flow.begins && flow.service.is_some());
    }
}

/// The whole of `file` through one sensor; prints what was found as JSON.
pub(crate) fn run(file: &Path) -> Result<()> {
    let mut sensor = Sensor::new(SourceId(0), Limits::default());
    let mut counted = Counted::default();
    let input = File::open(file).context("cannot open the capture")?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 18, input))?;
    while let Some((at, octets, length)) = reader.next()? {
        sensor.packet(at, LinkType::Ethernet, octets, length, &mut counted);
    }
    sensor.finish(&mut counted);
    let found = json!({
        "counters": sensor.counters(),
        "observations": counted.kinds,
        "flows": counted.flows,
        "flows_recognised": counted.recognised,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{found}").context("cannot print")
}

/// Packets of one lane, in memory.
#[derive(Debug, Default)]
struct Lane {
    octets: Vec<u8>,
    /// Time, where it begins, octets captured, octets on the wire.
    packets: Vec<(Timestamp, usize, u32, u32)>,
}

impl Lane {
    /// Senses all of it; answers the CPU seconds of this thread.
    fn sense(&self) -> Result<f64> {
        let before = thread_cpu()?;
        let mut sensor = Sensor::new(SourceId(0), Limits::default());
        let mut counted = Counted::default();
        for (at, start, captured, length) in &self.packets {
            let octets = &self.octets[*start..*start + *captured as usize];
            sensor.packet(
                *at,
                LinkType::Ethernet,
                octets,
                *length as usize,
                &mut counted,
            );
        }
        sensor.finish(&mut counted);
        Ok(thread_cpu()? - before)
    }
}

/// CPU seconds of this thread.
fn thread_cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("no CPU time")?;
    let nanos: u64 = text
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .context("no CPU time")?;
    Ok(nanos as f64 / 1e9)
}

/// The capture from memory, with one thread and with two.
pub(crate) fn scaling(file: &Path, rounds: u64) -> Result<Scaling> {
    let input = File::open(file).context("cannot open the capture")?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, input))?;
    let (mut one, mut two) = (Lane::default(), [Lane::default(), Lane::default()]);
    while let Some((at, octets, length)) = reader.next()? {
        let side = sense::lane(LinkType::Ethernet, octets, 2);
        for lane in [&mut one, &mut two[side]] {
            lane.packets.push((
                at,
                lane.octets.len(),
                u32::try_from(octets.len()).context("a giant packet")?,
                u32::try_from(length).context("a giant packet")?,
            ));
            lane.octets.extend_from_slice(octets);
        }
    }
    let packets = one.packets.len() as f64;
    let (mut wall, mut cpu) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..rounds {
        let start = Instant::now();
        let used = one.sense()?;
        wall[0].push(packets / start.elapsed().as_secs_f64());
        cpu[0].push(packets / used);
        let start = Instant::now();
        let used = std::thread::scope(|scope| {
            let threads = two.each_ref().map(|lane| scope.spawn(|| lane.sense()));
            let used = threads.map(|thread| thread.join().unwrap_or_else(|_| Ok(f64::NAN)));
            let [first, second] = used;
            anyhow::Ok(first?.max(second?))
        })?;
        wall[1].push(packets / start.elapsed().as_secs_f64());
        cpu[1].push(packets / used);
    }
    let middle = |rates: &[f64]| median(rates).context("no round");
    Ok(Scaling {
        wall: [middle(&wall[0])?, middle(&wall[1])?],
        cpu: [middle(&cpu[0])?, middle(&cpu[1])?],
    })
}
