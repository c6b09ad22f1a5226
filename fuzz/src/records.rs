//! Logs, leases, tables, scans and registers: every reader takes any octets, cut anywhere, within its bounds.
//!
//! The first byte chooses the format (the last choice: whatever it looks like), the second where the octets are cut.

use domain::Timestamp;
use domain::observation::{Collected, Fact, SourceId, VALUE_MAX};
use sense::records::{Context, Format, PROBLEMS_MAX, Reader, headers, recognise};

const FORMATS: [Format; 12] = [
    Format::ZeekTsv,
    Format::ZeekJson,
    Format::IscLeases,
    Format::KeaLeases,
    Format::WindowsLeases,
    Format::WindowsNetsh,
    Format::DnsmasqLeases,
    Format::ArpTable,
    Format::IpNeighbour,
    Format::MacTable,
    Format::NmapXml,
    Format::Csv,
];

/// The body of the target.
pub fn run(data: &[u8]) {
    let [choice, cut, bytes @ ..] = data else {
        return;
    };
    let format = match FORMATS.get(usize::from(*choice) % (FORMATS.len() + 1)) {
        Some(format) => *format,
        None => recognise(bytes, "conn.log"),
    };
    let context = Context {
        source: SourceId(0),
        at: Timestamp::from_millis(1_795_336_205_000),
    };
    let _ = headers(bytes);
    let Some(mut reader) = Reader::new(format, "conn.log", context, None) else {
        return;
    };
    let mut sink = Collected::default();
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    reader.push(head, &mut sink);
    reader.push(tail, &mut sink);
    reader.finish(&mut sink);
    let problems = reader.take_problems();
    assert!(problems.len() <= PROBLEMS_MAX);
    assert!(problems.iter().all(|problem| !problem.what.is_empty()));
    for observation in &sink.observations {
        if let Fact::Evidence { value, .. } = &observation.fact {
            assert!(!value.is_empty() && value.len() <= VALUE_MAX);
            assert!(!value.chars().any(char::is_control));
        }
    }
}
