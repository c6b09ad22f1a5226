//! pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces with clocks of their own,
//! enhanced, simple and obsolete packet blocks; other blocks are passed over.

use domain::Timestamp;
use sense::LinkType;

use super::{Packet, RECORD_MAX, Step};

/// Most interfaces of a section; packets of further ones have an unknown link type.
const INTERFACES_MAX: usize = 4096;

const SECTION: u32 = 0x0a0d_0d0a;

#[derive(Debug)]
pub(super) struct PcapNg {
    big: bool,
    in_section: bool,
    interfaces: Vec<Interface>,
    dropped_before: u64,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    /// Units of the clock in a second.
    units: u64,
    /// Seconds to add.
    offset: i64,
    dropped: u64,
}

impl PcapNg {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self {
            big: false,
            in_section: false,
            interfaces: Vec::new(),
            dropped_before: 0,
            last: at,
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped_before
            + self
                .interfaces
                .iter()
                .map(|interface| interface.dropped)
                .sum::<u64>()
    }

    pub(super) fn step<'a>(&mut self, octets: &'a [u8]) -> Step<'a> {
        let Some(head) = octets.get(..12) else {
            return Step::More;
        };
        // A section's type reads the same in both orders; its magic number tells the order.
        let is_section = head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
        if is_section {
            match head.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => self.big = true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => self.big = false,
                _ => return Step::Wrong("a section without its byte order mark"),
            }
        } else if !self.in_section {
            return Step::Wrong("a block before the first section");
        }
        let (kind, length) = (
            self.word(octets, 0).unwrap_or(0),
            self.word(octets, 4).unwrap_or(0) as usize,
        );
        if length < 12 || length % 4 != 0 {
            return Step::Wrong("a block that claims an impossible length");
        }
        if length > RECORD_MAX {
            return Step::Wrong("a block that claims more than 4 MiB");
        }
        let Some(block) = octets.get(..length) else {
            return Step::More;
        };
        if self.word(block, length - 4) != Some(length as u32) {
            return Step::Wrong("a block whose two lengths differ");
        }
        let body = block.get(8..length - 4).unwrap_or_default();
        match kind {
            SECTION => {
                self.dropped_before = self.dropped();
                self.interfaces.clear();
                self.in_section = true;
            }
            1 => self.interface(body),
            5 => self.statistics(body),
            6 => {
                if let Some(packet) = self.enhanced(body, self.word(body, 0)) {
                    return Step::Packet(length, packet);
                }
                return Step::Wrong("a packet that is longer than its block");
            }
            2 => {
                let interface = self.half(body, 0).map(u32::from);
                if let Some(packet) = self.enhanced(body, interface) {
                    return Step::Packet(length, packet);
                }
                return Step::Wrong("a packet that is longer than its block");
            }
            3 => {
                if let Some(packet) = self.simple(body) {
                    return Step::Packet(length, packet);
                }
                return Step::Wrong("a packet that is longer than its block");
            }
            _ => {}
        }
        Step::Other(length)
    }

    /// Where a block of a known type begins whose two lengths agree.
    pub(super) fn seek(&self, octets: &[u8]) -> Option<usize> {
        (1..octets.len().saturating_sub(12)).find(|start| {
            let Some(rest) = octets.get(*start..) else {
                return false;
            };
            let kind = self.word(rest, 0).unwrap_or(0);
            let length = self.word(rest, 4).unwrap_or(0) as usize;
            let known = matches!(kind, 1..=6 | 9 | 10)
                || (kind == SECTION
                    && matches!(
                        rest.get(8..12),
                        Some([0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a])
                    ));
            known
                && length >= 16
                && length.is_multiple_of(4)
                && length <= RECORD_MAX
                && self.word(rest, length - 4) == Some(length as u32)
        })
    }

    fn interface(&mut self, body: &[u8]) {
        if self.interfaces.len() >= INTERFACES_MAX {
            return;
        }
        let mut interface = Interface {
            link: LinkType::from_number(self.half(body, 0).map_or(0xffff, u32::from)),
            snaplen: self.word(body, 4).unwrap_or(0),
            units: 1_000_000,
            offset: 0,
            dropped: 0,
        };
        self.options(
            body.get(8..).unwrap_or_default(),
            |this, code, value| match (code, value) {
                // if_tsresol: a negative power of ten, or of two with the upper bit set.
                (9, [resolution, ..]) => {
                    let power = u32::from(resolution & 0x7f);
                    interface.units = if resolution & 0x80 == 0 {
                        10_u64.checked_pow(power)
                    } else {
                        1_u64.checked_shl(power)
                    }
                    .unwrap_or(1_000_000);
                }
                // if_tsoffset, in seconds.
                (14, _) => interface.offset = this.long(value, 0).map_or(0, |offset| offset as i64),
                _ => {}
            },
        );
        self.interfaces.push(interface);
    }

    fn statistics(&mut self, body: &[u8]) {
        let Some(number) = self.word(body, 0) else {
            return;
        };
        let (mut by_interface, mut by_system) = (0, 0);
        self.options(
            body.get(12..).unwrap_or_default(),
            |this, code, value| match code {
                5 => by_interface = this.long(value, 0).unwrap_or(0),
                7 => by_system = this.long(value, 0).unwrap_or(0),
                _ => {}
            },
        );
        if let Some(interface) = self.interfaces.get_mut(number as usize) {
            // Each block tells the count since the capture began.
            interface.dropped = interface
                .dropped
                .max(by_interface.saturating_add(by_system).min(1 << 48));
        }
    }

    fn options(&self, mut rest: &[u8], mut each: impl FnMut(&Self, u16, &[u8])) {
        while let (Some(code), Some(length)) = (self.half(rest, 0), self.half(rest, 2)) {
            if code == 0 {
                return;
            }
            let length = usize::from(length);
            let Some(value) = rest.get(4..4 + length) else {
                return;
            };
            each(self, code, value);
            rest = rest
                .get(4 + length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
    }

    /// An enhanced packet block, or an obsolete one, which keep everything but the interface in the same places.
    fn enhanced<'a>(&mut self, body: &'a [u8], interface: Option<u32>) -> Option<Packet<'a>> {
        let interface = self.interfaces.get(interface? as usize);
        let time = u64::from(self.word(body, 4)?) << 32 | u64::from(self.word(body, 8)?);
        let captured = self.word(body, 12)? as usize;
        let length = self.word(body, 16)? as usize;
        let bytes = body.get(20..)?.get(..captured)?;
        let at = instant(
            time,
            interface.map_or((1_000_000, 0), |interface| {
                (interface.units, interface.offset)
            }),
        );
        let link = interface.map_or(LinkType::Other(u32::MAX), |interface| interface.link);
        self.last = at;
        Some(Packet {
            at,
            link,
            bytes,
            length: length.max(captured),
        })
    }

    fn simple<'a>(&self, body: &'a [u8]) -> Option<Packet<'a>> {
        let interface = self.interfaces.first();
        let length = self.word(body, 0)? as usize;
        let rest = body.get(4..)?;
        let snaplen = interface.map_or(0, |interface| interface.snaplen as usize);
        let captured = if snaplen == 0 {
            length
        } else {
            length.min(snaplen)
        };
        // Up to three octets pad the block.
        let bytes = rest.get(..captured.min(rest.len()))?;
        if captured > rest.len() {
            return None;
        }
        Some(Packet {
            at: self.last,
            link: interface.map_or(LinkType::Other(u32::MAX), |interface| interface.link),
            bytes,
            length,
        })
    }

    fn half(&self, octets: &[u8], at: usize) -> Option<u16> {
        let half: [u8; 2] = octets.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big {
            u16::from_be_bytes(half)
        } else {
            u16::from_le_bytes(half)
        })
    }

    fn word(&self, octets: &[u8], at: usize) -> Option<u32> {
        let word: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        })
    }

    fn long(&self, octets: &[u8], at: usize) -> Option<u64> {
        let long: [u8; 8] = octets.get(at..at + 8)?.try_into().ok()?;
        Some(if self.big {
            u64::from_be_bytes(long)
        } else {
            u64::from_le_bytes(long)
        })
    }
}

fn instant(time: u64, (units, offset): (u64, i64)) -> Timestamp {
    let ms = u128::from(time) * 1000 / u128::from(units.max(1));
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let at = Timestamp::from_millis(ms.saturating_add(offset.saturating_mul(1000)));
    // An instant that no calendar writes is as good as none.
    at.min(Timestamp::FOREVER)
}
