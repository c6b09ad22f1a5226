//! Datagrams in pieces, put together: bounded, the first copy of an octet wins (RFC 791, RFC 8200 section 4.5).

use std::net::IpAddr;

use domain::Timestamp;

use super::ip::Packet;

/// Longest datagram that is put together.
const DATAGRAM_MAX: usize = 65_535;

/// Pieces of one datagram.
const PIECES_MAX: usize = 64;

/// Milliseconds that a datagram may take to arrive (RFC 8200: at most 60 seconds).
const PATIENCE_MS: i64 = 30_000;

#[derive(Debug)]
struct Pending {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
    first_at: i64,
    octets: Vec<u8>,
    /// Ranges that are there, in order, without overlap.
    ranges: Vec<(u32, u32)>,
    /// Where the last piece ends.
    end: Option<u32>,
    packets: u32,
    bytes: u64,
    hops: u8,
}

/// A datagram put together.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    /// Its payload, from the beginning; the whole of it unless pieces are missing.
    pub(crate) octets: Vec<u8>,
    /// Payload on the wire, as far as known.
    pub(crate) length: usize,
    /// Packets that carried it and their octets.
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
}

/// Datagrams of which pieces are missing.
#[derive(Debug)]
pub(crate) struct Fragments {
    pending: Vec<Pending>,
    held: usize,
    count_max: usize,
    octets_max: usize,
}

/// What became of a piece.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Datagrams to go on with: the one that is whole now, and the beginnings of those given up.
    pub(crate) datagrams: Vec<Datagram>,
    /// Datagrams given up.
    pub(crate) dropped: u64,
}

impl Fragments {
    pub(crate) const fn new(count_max: usize, octets_max: usize) -> Self {
        Self {
            pending: Vec::new(),
            held: 0,
            count_max,
            octets_max,
        }
    }

    /// Takes a packet that is a fragment.
    pub(crate) fn take(&mut self, at: Timestamp, packet: &Packet<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(fragment) = packet.fragment else {
            return outcome;
        };
        let now = at.as_millis();
        let mut place = self.pending.iter().position(|pending| {
            pending.identification == fragment.identification
                && pending.source == packet.source
                && pending.destination == packet.destination
                && (pending.protocol == packet.protocol || matches!(packet.source, IpAddr::V6(_)))
        });
        if let Some(old) = place
            && now.saturating_sub(self.pending[old].first_at) > PATIENCE_MS
        {
            self.give_up(old, &mut outcome);
            place = None;
        }
        let place = place.unwrap_or_else(|| {
            while !self.pending.is_empty() && self.pending.len() >= self.count_max {
                self.give_up(0, &mut outcome);
            }
            self.pending.push(Pending {
                source: packet.source,
                destination: packet.destination,
                protocol: packet.protocol,
                identification: fragment.identification,
                first_at: now,
                octets: Vec::new(),
                ranges: Vec::new(),
                end: None,
                packets: 0,
                bytes: 0,
                hops: packet.hops,
            });
            self.pending.len() - 1
        });
        let pending = &mut self.pending[place];
        let before = pending.octets.capacity();
        let fits = pending.add(packet, fragment.offset, fragment.more);
        self.held = self.held + pending.octets.capacity() - before;
        if !fits {
            self.give_up(place, &mut outcome);
        } else if self.pending[place].is_whole() {
            let whole = self.remove(place);
            outcome.datagrams.push(whole);
        }
        while self.held > self.octets_max && !self.pending.is_empty() {
            self.give_up(0, &mut outcome);
        }
        outcome
    }

    /// Gives up one that is left, at the end.
    pub(crate) fn drain(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        if !self.pending.is_empty() {
            self.give_up(0, &mut outcome);
        }
        outcome
    }

    fn give_up(&mut self, place: usize, outcome: &mut Outcome) {
        outcome.dropped += 1;
        let begins = self.pending[place]
            .ranges
            .first()
            .is_some_and(|(start, _)| *start == 0);
        let mut datagram = self.remove(place);
        if begins {
            let end = datagram.length;
            datagram.octets.truncate(end);
            outcome.datagrams.push(datagram);
        }
    }

    fn remove(&mut self, place: usize) -> Datagram {
        // In order of arrival: the oldest is first.
        let pending = self.pending.remove(place);
        self.held -= pending.octets.capacity();
        let captured = pending.ranges.first().map_or(0, |(_, end)| *end as usize);
        Datagram {
            source: pending.source,
            destination: pending.destination,
            protocol: pending.protocol,
            hops: pending.hops,
            length: captured,
            packets: pending.packets,
            bytes: pending.bytes,
            octets: pending.octets,
        }
    }
}

impl Pending {
    /// Adds a piece; false: it cannot belong here.
    fn add(&mut self, packet: &Packet<'_>, offset: u32, more: bool) -> bool {
        self.packets += 1;
        self.bytes += packet.length as u64;
        if offset == 0 {
            // Only the first piece of an IPv6 datagram names the upper protocol behind all extension headers.
            self.protocol = packet.protocol;
            self.hops = packet.hops;
        }
        let piece = packet.payload;
        let end = offset as usize + piece.len();
        if end > DATAGRAM_MAX || self.ranges.len() >= PIECES_MAX {
            return false;
        }
        if !more && packet.payload.len() == packet.payload_length {
            self.end.get_or_insert(end as u32);
        }
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        // Write only where nothing is yet.
        let mut at = offset;
        for (start, until) in &self.ranges {
            if *until <= at {
                continue;
            }
            if *start >= end as u32 {
                break;
            }
            if at < *start {
                copy(&mut self.octets, piece, offset, at, *start);
            }
            at = *until;
        }
        if at < end as u32 {
            copy(&mut self.octets, piece, offset, at, end as u32);
        }
        self.ranges.push((offset, end as u32));
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|later, earlier| {
            let joined = later.0 <= earlier.1;
            if joined {
                earlier.1 = earlier.1.max(later.1);
            }
            joined
        });
        true
    }

    fn is_whole(&self) -> bool {
        matches!((self.ranges.as_slice(), self.end), ([(0, until)], Some(end)) if *until >= end)
    }
}

/// Copies what belongs at `from..until` out of a piece that begins at `offset`.
fn copy(octets: &mut [u8], piece: &[u8], offset: u32, from: u32, until: u32) {
    let source = &piece[(from - offset) as usize..(until - offset) as usize];
    octets[from as usize..until as usize].copy_from_slice(source);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::ip::Fragment;
    use super::*;

    fn piece(identification: u32, offset: u32, more: bool, payload: &[u8]) -> Packet<'_> {
        Packet {
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            destination: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: 17,
            hops: 64,
            length: payload.len() + 20,
            payload,
            payload_length: payload.len(),
            fragment: Some(Fragment {
                identification,
                offset,
                more,
            }),
        }
    }

    const AT: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn pieces_in_any_order_make_one_datagram() {
        let mut fragments = Fragments::new(8, 1 << 20);
        assert!(
            fragments
                .take(AT, &piece(1, 16, false, b"end"))
                .datagrams
                .is_empty()
        );
        assert!(
            fragments
                .take(AT, &piece(1, 8, true, b"middle!!"))
                .datagrams
                .is_empty()
        );
        let outcome = fragments.take(AT, &piece(1, 0, true, b"begin..."));
        assert_eq!(outcome.datagrams.len(), 1);
        let whole = &outcome.datagrams[0];
        assert_eq!(whole.octets, b"begin...middle!!end");
        assert_eq!((whole.packets, whole.bytes), (3, 79));
        assert_eq!(fragments.held, 0);
    }

    #[test]
    fn the_first_copy_wins_and_a_lost_end_gives_the_beginning() {
        let mut fragments = Fragments::new(1, 1 << 20);
        fragments.take(AT, &piece(1, 0, true, b"begin..."));
        fragments.take(AT, &piece(1, 0, true, b"XXXXXXXXYYYYYYYY"));
        let outcome = fragments.take(AT, &piece(2, 0, true, b"other..."));
        assert_eq!(outcome.dropped, 1);
        assert_eq!(outcome.datagrams[0].octets, b"begin...YYYYYYYY");
    }

    proptest! {
        #[test]
        fn any_pieces_stay_within_the_bounds(
            pieces in prop::collection::vec((0_u32..40, 0_u32..9000, any::<bool>(), 0_usize..2000), 1..300)
        ) {
            let mut fragments = Fragments::new(16, 100_000);
            let payload = vec![7_u8; 2000];
            for (identification, offset, more, length) in pieces {
                let offset = offset * 8;
                let outcome = fragments.take(AT, &piece(identification, offset, more, &payload[..length]));
                for datagram in outcome.datagrams {
                    prop_assert!(datagram.octets.len() <= DATAGRAM_MAX);
                }
                prop_assert!(fragments.pending.len() <= 16);
                prop_assert!(fragments.held <= 100_000);
                let held: usize = fragments.pending.iter().map(|p| p.octets.capacity()).sum();
                prop_assert_eq!(held, fragments.held);
            }
        }
    }
}
