//! libpcap's format (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds, Kuznetzov's longer records.

use domain::Timestamp;
use sense::LinkType;

use super::{Packet, RECORD_MAX, Step};

/// Octets of the file's header.
const HEADER: usize = 24;

/// libpcap's largest snapshot length; some writers put 0 or nonsense into the header.
const SNAPLEN_MAX: usize = 262_144;

#[derive(Debug, Default)]
pub(super) struct Pcap {
    pub(super) header: Option<Header>,
    last: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    big: bool,
    nanos: bool,
    /// Octets of a record's header.
    record: usize,
    caplen_max: usize,
    link: LinkType,
    lengths: Lengths,
}

/// In which order a record has its two lengths (libpcap, savefile.c: by the version of the format).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// Captured, then on the wire: since 2.4.
    Captured,
    /// On the wire, then captured: before 2.3.
    Swapped,
    /// Either: 2.3. What was captured is the smaller.
    Either,
}

struct Record {
    secs: u32,
    fraction: u32,
    captured: usize,
    length: usize,
}

impl Header {
    fn parse(octets: &[u8]) -> Option<Self> {
        let magic = octets.get(..4)?;
        let (big, nanos, record) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false, 16),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true, 16),
            [0xa1, 0xb2, 0xcd, 0x34] => (true, false, 24),
            [0x34, 0xcd, 0xb2, 0xa1] => (false, false, 24),
            _ => return None,
        };
        let snaplen = word(octets, 16, big)? as usize;
        Some(Self {
            big,
            nanos,
            record,
            caplen_max: snaplen.clamp(SNAPLEN_MAX, RECORD_MAX - 64),
            link: LinkType::from_number(word(octets, 20, big)?),
            lengths: match half(octets, 6, big)? {
                0..=2 => Lengths::Swapped,
                3 => Lengths::Either,
                _ => Lengths::Captured,
            },
        })
    }

    fn record(&self, octets: &[u8]) -> Option<Record> {
        let (first, second) = (
            word(octets, 8, self.big)? as usize,
            word(octets, 12, self.big)? as usize,
        );
        let (captured, length) = match self.lengths {
            Lengths::Captured => (first, second),
            Lengths::Swapped => (second, first),
            Lengths::Either => (first.min(second), first.max(second)),
        };
        octets.get(self.record - 1)?;
        Some(Record {
            secs: word(octets, 0, self.big)?,
            fraction: word(octets, 4, self.big)?,
            captured,
            // Some writers put the snapshot length into both, or leave the second empty.
            length: length.max(captured),
        })
    }

    /// Whether a record can stand among others of this file: used to find the way back after damage.
    fn is_likely(&self, record: &Record, last: Option<u32>) -> bool {
        let fraction_max = if self.nanos { 1_000_000_000 } else { 1_000_000 };
        record.captured <= self.caplen_max
            && record.captured > 0
            && record.length <= SNAPLEN_MAX
            && record.fraction < fraction_max
            && match last {
                Some(last) => last.abs_diff(record.secs) <= 7 * 86_400,
                None => (631_152_000..4_102_444_800).contains(&record.secs),
            }
    }
}

impl Pcap {
    pub(super) fn step<'a>(&mut self, octets: &'a [u8]) -> Step<'a> {
        let Some(header) = self.header else {
            if octets.len() < HEADER {
                return Step::More;
            }
            self.header = Header::parse(octets);
            return match self.header {
                Some(_) => Step::Other(HEADER),
                None => Step::Wrong("no header of a capture"),
            };
        };
        let Some(record) = header.record(octets) else {
            return Step::More;
        };
        // Captures put one behind the other: a header where a record should be.
        if (record.captured == 0 || record.captured > header.caplen_max) && begins(octets) {
            // What looks like a header and is none yet has not come whole.
            let Some(next) = Header::parse(octets) else {
                return Step::More;
            };
            self.header = Some(next);
            return Step::Other(HEADER);
        }
        if record.captured > header.caplen_max {
            return Step::Wrong("a record that claims an impossible length");
        }
        let Some(bytes) = octets.get(header.record..header.record + record.captured) else {
            return Step::More;
        };
        self.last = Some(record.secs);
        let ms = if header.nanos {
            record.fraction / 1_000_000
        } else {
            record.fraction / 1000
        };
        let packet = Packet {
            at: Timestamp::from_millis(i64::from(record.secs) * 1000 + i64::from(ms)),
            link: header.link,
            bytes,
            length: record.length,
        };
        Step::Packet(header.record + record.captured, packet)
    }

    /// Where three likely records follow one another, or fewer up to the end.
    pub(super) fn seek(&self, octets: &[u8], end: bool) -> Option<usize> {
        let header = self.header?;
        (1..octets.len().saturating_sub(header.record)).find(|start| {
            let mut at = *start;
            let mut last = self.last;
            for seen in 0..3 {
                let Some(record) = octets.get(at..).and_then(|rest| header.record(rest)) else {
                    // Exactly at the end, or beyond what there is after a good one.
                    return seen > 0 && (at == octets.len() || !end);
                };
                if !header.is_likely(&record, last) {
                    return false;
                }
                last = Some(record.secs);
                at += header.record + record.captured;
                if at > octets.len() {
                    // A last record that is cut at the end is as good as none.
                    return seen > 0;
                }
            }
            true
        })
    }
}

/// Whether these are the first octets of a header of the usual version.
fn begins(octets: &[u8]) -> bool {
    let magic = matches!(
        octets.get(..4),
        Some(
            [0xa1, 0xb2, 0xc3, 0xd4]
                | [0xd4, 0xc3, 0xb2, 0xa1]
                | [0xa1, 0xb2, 0x3c, 0x4d]
                | [0x4d, 0x3c, 0xb2, 0xa1]
                | [0xa1, 0xb2, 0xcd, 0x34]
                | [0x34, 0xcd, 0xb2, 0xa1]
        )
    );
    magic && matches!(octets.get(4..8), Some([0, 2, 0, 4] | [2, 0, 4, 0]))
}

fn half(octets: &[u8], at: usize, big: bool) -> Option<u16> {
    let half: [u8; 2] = octets.get(at..at + 2)?.try_into().ok()?;
    Some(if big {
        u16::from_be_bytes(half)
    } else {
        u16::from_le_bytes(half)
    })
}

fn word(octets: &[u8], at: usize, big: bool) -> Option<u32> {
    let word: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
    Some(if big {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    })
}
