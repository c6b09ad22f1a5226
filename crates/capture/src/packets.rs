//! From the octets of a capture file to packets: libpcap's format and pcapng.
//!
//! [`Framer`] takes octets in pieces and does no input or output, so that it can be tested and fuzzed by itself. It
//! survives damage: an impossible record is named with its offset, then the next place is sought from which records
//! follow one another again.

mod pcap;
mod pcapng;

use domain::Timestamp;
use sense::LinkType;
use sense::records::Format;

/// Longest record or block; a longer one is damage. Larger than any link's frames and than pcapng's usual blocks.
pub const RECORD_MAX: usize = 4 << 20;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// How its octets begin.
    pub link: LinkType,
    /// The octets that were captured.
    pub bytes: &'a [u8],
    /// How many there were on the wire.
    pub length: usize,
}

/// Octets that make no packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin, from the beginning of the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What would help.
    pub remedy: &'static str,
}

/// Cuts a capture file into packets.
#[derive(Debug)]
pub struct Framer {
    kind: Kind,
    /// Octets consumed so far.
    offset: u64,
    /// Whether the next good place is sought.
    lost: bool,
    /// Whether the header was damaged, so that nothing can be read.
    hopeless: bool,
}

#[derive(Debug)]
enum Kind {
    Pcap(pcap::Pcap),
    PcapNg(pcapng::PcapNg),
}

/// What a step through the octets came to.
enum Step<'a> {
    /// So many octets hold a packet.
    Packet(usize, Packet<'a>),
    /// So many octets hold something else.
    Other(usize),
    /// More octets are needed.
    More,
    /// They cannot be what they should be.
    Wrong(&'static str),
}

impl Framer {
    /// A framer for a capture format; absent for others. `at` is the time of packets that carry none.
    pub fn new(format: Format, at: Timestamp) -> Option<Self> {
        let kind = match format {
            Format::Pcap => Kind::Pcap(pcap::Pcap::default()),
            Format::PcapNg => Kind::PcapNg(pcapng::PcapNg::new(at)),
            _ => return None,
        };
        Some(Self {
            kind,
            offset: 0,
            lost: false,
            hopeless: false,
        })
    }

    /// Takes the octets that come next, gives away whole packets, and answers how many octets were used. The rest has
    /// to be given again, with more behind it; `end` says that there is no more. At most [`RECORD_MAX`] octets and a
    /// header are ever left.
    pub fn take<'a>(
        &mut self,
        octets: &'a [u8],
        end: bool,
        packet: &mut impl FnMut(Packet<'a>),
        damage: &mut impl FnMut(Damage),
    ) -> usize {
        let start = self.offset;
        if self.hopeless {
            self.offset += octets.len() as u64;
            return octets.len();
        }
        let mut used = 0;
        while let Some(rest) = octets.get(used..).filter(|rest| !rest.is_empty()) {
            let step = if self.lost {
                match self.seek(rest, end) {
                    Some(skipped) => {
                        used += skipped;
                        self.offset = start + used as u64;
                        // Not found in what there is.
                        if self.lost {
                            break;
                        }
                        continue;
                    }
                    None => break,
                }
            } else {
                match &mut self.kind {
                    Kind::Pcap(pcap) => pcap.step(rest),
                    Kind::PcapNg(pcapng) => pcapng.step(rest),
                }
            };
            match step {
                Step::Packet(length, found) => {
                    packet(found);
                    used += length;
                }
                Step::Other(length) => used += length,
                Step::More if end => {
                    damage(Damage {
                        offset: start + used as u64,
                        what: format!(
                            "the file ends inside a record, after {} octets of it",
                            rest.len()
                        ),
                        remedy: "the capture was stopped or copied while it was written; what came before is read",
                    });
                    used = octets.len();
                }
                Step::More => break,
                Step::Wrong(what) => {
                    if self.is_hopeless() {
                        damage(Damage {
                            offset: start + used as u64,
                            what: what.to_owned(),
                            remedy: "the file is damaged at its beginning; capture again or repair it with `pcapfix`",
                        });
                        self.hopeless = true;
                        used = octets.len();
                    } else {
                        self.lost = true;
                        damage(Damage {
                            offset: start + used as u64,
                            what: what.to_owned(),
                            remedy: "the rest is read from the next good record on",
                        });
                    }
                }
            }
            self.offset = start + used as u64;
        }
        self.offset = start + used as u64;
        used
    }

    /// Packets that the program which captured says it lost (pcapng's interface statistics).
    pub fn dropped(&self) -> u64 {
        match &self.kind {
            Kind::Pcap(_) => 0,
            Kind::PcapNg(pcapng) => pcapng.dropped(),
        }
    }

    /// Whether nothing can be read because the header was already damaged.
    fn is_hopeless(&self) -> bool {
        match &self.kind {
            Kind::Pcap(pcap) => pcap.header.is_none(),
            Kind::PcapNg(_) => false,
        }
    }

    /// Looks for the next good place. Answers how many octets to skip; `lost` is cleared when one was found. Absent:
    /// more octets are needed first.
    fn seek(&mut self, rest: &[u8], end: bool) -> Option<usize> {
        // Enough that three records of the usual size lie ahead.
        if rest.len() < SEEK && !end {
            return None;
        }
        let found = match &self.kind {
            Kind::Pcap(pcap) => pcap.seek(rest, end),
            Kind::PcapNg(pcapng) => pcapng.seek(rest),
        };
        match found {
            Some(skip) => {
                self.lost = false;
                Some(skip)
            }
            // The last octets may be the beginning of a good record.
            None if end => {
                self.lost = false;
                Some(rest.len())
            }
            None => Some(rest.len() - SEEK / 2),
        }
    }
}

/// Octets that are wanted before the next good place is sought.
const SEEK: usize = 1 << 19;

#[cfg(test)]
mod tests;
