//! One direction of a TCP stream, put in order (RFC 9293 section 3.4), bounded.
//!
//! The first copy of an octet wins: what was taken or is waiting is never replaced, whatever comes later. A receiver
//! may decide otherwise; octets that come twice with different content are counted.

/// Segments that wait for an earlier one.
const WAITING_MAX: usize = 16;

/// Octets that wait for earlier ones.
const WAITING_OCTETS_MAX: usize = 16 << 10;

/// What taking a segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// New octets are in order.
    pub(crate) news: bool,
    /// Octets are missing for good.
    pub(crate) gap: bool,
    /// Octets that came before with other content.
    pub(crate) differing: u32,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// Sequence number of the octet after the last one in order.
    next: u32,
    /// Octets in order from `next - held.len()`.
    held: Vec<u8>,
    /// Octets still to be passed over before anything is held.
    pass: u64,
    /// Segments that wait: sequence number, start and length in `waiting_octets`; in order, without overlap.
    waiting: Vec<(u32, u32, u32)>,
    waiting_octets: Vec<u8>,
    /// Nothing is held any more.
    closed: bool,
    /// A loss that the dissector was not told of yet.
    gap: bool,
}

impl Half {
    /// Starts at sequence number `next`.
    pub(crate) fn start(&mut self, next: u32, gap: bool) {
        self.held.clear();
        self.waiting.clear();
        self.waiting_octets.clear();
        self.next = next;
        self.pass = 0;
        self.closed = false;
        self.gap = gap;
    }

    /// Gives back memory beyond what a pooled stream may keep.
    pub(crate) fn shrink(&mut self, octets: usize) {
        self.held.clear();
        self.waiting.clear();
        self.waiting_octets.clear();
        self.held.shrink_to(octets);
        self.waiting_octets.shrink_to(octets);
    }

    /// Octets in order that are held.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether octets are missing in front of what is held.
    pub(crate) const fn gap(&self) -> bool {
        self.gap
    }

    /// The dissector was told of the gap.
    pub(crate) const fn gap_told(&mut self) {
        self.gap = false;
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes no more octets.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.waiting_octets.clear();
    }

    /// Memory held, in octets.
    pub(crate) fn octets(&self) -> usize {
        self.held.capacity() + self.waiting_octets.capacity()
    }

    /// Takes one segment of `length` octets on the wire of which `octets` were captured.
    pub(crate) fn take(&mut self, sequence: u32, octets: &[u8], length: usize) -> Taken {
        let mut taken = Taken::default();
        if self.closed || length == 0 {
            return taken;
        }
        if self.waiting.is_empty() && sequence == self.next {
            // Nearly every segment.
            self.append(octets);
            taken.news = true;
        } else {
            self.place(sequence, octets, &mut taken);
        }
        if octets.len() < length {
            // Cut by the capture: what follows the cut will not come.
            let end = sequence.wrapping_add(u32::try_from(length).unwrap_or(u32::MAX));
            if before(self.next, end) {
                self.lose_until(end);
                taken.gap = true;
                taken.news |= self.drain();
            }
        }
        if self.waiting.len() > WAITING_MAX || self.waiting_octets.len() > WAITING_OCTETS_MAX {
            taken.gap |= self.lose_first();
            taken.news = true;
        }
        taken
    }

    /// The other side acknowledged all octets before `acknowledged`: those we wait for were lost on the way to us.
    pub(crate) fn acknowledged(&mut self, acknowledged: u32) -> bool {
        match self.waiting.first() {
            Some((first, ..)) if !self.closed && !before(acknowledged, *first) => self.lose_first(),
            _ => false,
        }
    }

    /// The stream ends: what waits is taken as it is.
    pub(crate) fn end(&mut self) -> bool {
        !self.waiting.is_empty() && !self.closed && self.lose_first()
    }

    /// The dissector needs the first `count` octets no more; more than are held: those to come are passed over.
    pub(crate) fn release(&mut self, count: u64) {
        let held = self.held.len() as u64;
        if count >= held {
            self.held.clear();
            self.pass = count - held;
        } else {
            self.held.drain(..count as usize);
        }
    }

    /// More is held than may be: forgets it, as if it had been lost.
    pub(crate) fn lose_held(&mut self) {
        self.held.clear();
        self.gap = true;
    }

    fn append(&mut self, octets: &[u8]) {
        self.next = self
            .next
            .wrapping_add(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        let passed = usize::try_from(self.pass)
            .unwrap_or(usize::MAX)
            .min(octets.len());
        self.pass -= passed as u64;
        self.held.extend_from_slice(&octets[passed..]);
    }

    /// A segment out of order.
    fn place(&mut self, sequence: u32, octets: &[u8], taken: &mut Taken) {
        let (mut sequence, mut octets) = (sequence, octets);
        if before(sequence, self.next) {
            let known = self.next.wrapping_sub(sequence) as usize;
            let (old, new) = octets.split_at(known.min(octets.len()));
            taken.differing += self.compare(known, old);
            if new.is_empty() {
                return;
            }
            (sequence, octets) = (self.next, new);
        } else if sequence.wrapping_sub(self.next) > 1 << 24 {
            // Far outside any window: not of this stream.
            return;
        }
        // Fill what is not there yet between the waiting segments.
        let mut at = 0;
        while !octets.is_empty() {
            while let Some((start, from, length)) = self.waiting.get(at).copied() {
                let end = start.wrapping_add(length);
                if before(sequence, start) {
                    break;
                }
                if before(sequence, end) {
                    let covered = (end.wrapping_sub(sequence) as usize).min(octets.len());
                    let offset = from as usize + sequence.wrapping_sub(start) as usize;
                    taken.differing +=
                        differing(&self.waiting_octets[offset..], &octets[..covered]);
                    octets = &octets[covered..];
                    sequence = sequence.wrapping_add(covered as u32);
                }
                at += 1;
                if octets.is_empty() {
                    break;
                }
            }
            if octets.is_empty() {
                break;
            }
            let room = self.waiting.get(at).map_or(octets.len(), |(start, ..)| {
                (start.wrapping_sub(sequence) as usize).min(octets.len())
            });
            let (piece, rest) = octets.split_at(room);
            let from = self.waiting_octets.len() as u32;
            self.waiting_octets.extend_from_slice(piece);
            self.waiting
                .insert(at, (sequence, from, piece.len() as u32));
            octets = rest;
            sequence = sequence.wrapping_add(piece.len() as u32);
        }
        taken.news |= self.drain();
    }

    /// Moves waiting segments that are in order now.
    fn drain(&mut self) -> bool {
        let mut moved = 0;
        while let Some((start, from, length)) = self.waiting.get(moved).copied() {
            if before(self.next, start) {
                break;
            }
            moved += 1;
            // After a loss was given up a segment may lie partly before `next`.
            let known = self.next.wrapping_sub(start).min(length);
            let piece = (from + known) as usize..(from + length) as usize;
            self.next = self.next.wrapping_add(length - known);
            let piece = &self.waiting_octets[piece];
            let passed = usize::try_from(self.pass)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            self.pass -= passed as u64;
            self.held.extend_from_slice(&piece[passed..]);
        }
        self.waiting.drain(..moved);
        if self.waiting.is_empty() {
            self.waiting_octets.clear();
        }
        moved > 0
    }

    fn lose_first(&mut self) -> bool {
        let Some((start, ..)) = self.waiting.first().copied() else {
            return false;
        };
        let lost = before(self.next, start);
        if lost {
            self.lose_until(start);
        }
        self.drain();
        lost
    }

    /// Octets up to `sequence` will not come.
    fn lose_until(&mut self, sequence: u32) {
        let lost = u64::from(sequence.wrapping_sub(self.next));
        self.next = sequence;
        if self.pass >= lost {
            // They would have been passed over.
            self.pass -= lost;
            return;
        }
        self.pass = 0;
        self.gap = true;
        self.held.clear();
    }

    /// Compares octets that lie `known` octets before `next` with those held.
    fn compare(&self, known: usize, octets: &[u8]) -> u32 {
        let start = self.held.len().checked_sub(known);
        match start {
            Some(start) => differing(&self.held[start..], octets),
            None => {
                let unknown = (known - self.held.len()).min(octets.len());
                differing(&self.held, &octets[unknown..])
            }
        }
    }
}

/// Whether `a` comes before `b` (modulo 2^32).
#[inline]
pub(crate) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn differing(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a != b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn half(next: u32) -> Half {
        let mut half = Half::default();
        half.start(next, false);
        half
    }

    #[test]
    fn segments_out_of_order_are_put_in_order() {
        let mut half = half(u32::MAX - 2);
        assert!(!half.take(1, b"defg", 4).news);
        assert!(half.take(u32::MAX - 2, b"abcd", 4).news);
        assert_eq!(half.held(), b"abcddefg");
        let mut half = self::half(u32::MAX - 2);
        assert!(!half.take(1, b"efg", 3).news);
        assert!(half.take(u32::MAX - 2, b"abcd", 4).news);
        assert_eq!(half.held(), b"abcdefg");
    }

    #[test]
    fn the_first_copy_of_an_octet_wins() {
        let mut half = half(0);
        half.take(0, b"abc", 3);
        let taken = half.take(1, b"XXde", 4);
        assert_eq!(half.held(), b"abcde");
        assert_eq!(taken.differing, 2);
        half.take(7, b"hi", 2);
        half.take(5, b"fgYYk", 5);
        assert_eq!(
            half.held(),
            b"abcdefghi".iter().chain(b"k").copied().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_loss_that_the_other_side_does_not_miss_is_given_up() {
        let mut half = half(0);
        half.take(0, b"abc", 3);
        half.take(10, b"xyz", 3);
        assert!(!half.acknowledged(3));
        assert!(half.acknowledged(13));
        assert!(half.gap());
        assert_eq!(half.held(), b"xyz");
    }

    #[test]
    fn octets_that_are_not_needed_are_passed_over() {
        let mut half = half(0);
        half.take(0, b"abc", 3);
        half.release(5);
        half.take(3, b"defg", 4);
        assert_eq!(half.held(), b"fg");
        half.release(1);
        assert_eq!(half.held(), b"g");
        half.release(101);
        half.take(7, &[1; 50], 50);
        half.take(107, b"end", 3);
        half.take(57, &[2; 20], 20);
        assert!(half.acknowledged(110));
        assert!(!half.gap(), "what was lost would have been passed over");
        assert_eq!(half.held(), b"end");
    }

    #[test]
    fn a_cut_segment_is_a_gap() {
        let mut half = half(0);
        let taken = half.take(0, b"abc", 10);
        assert!(taken.gap);
        half.take(10, b"next", 4);
        assert_eq!(half.held(), b"next");
    }

    proptest! {
        #[test]
        fn any_order_with_overlaps_gives_the_same_stream(
            start in any::<u32>(),
            stream in prop::collection::vec(any::<u8>(), 1..600),
            cuts in prop::collection::vec((0_usize..600, 1_usize..120), 0..14),
            seed in any::<u64>(),
        ) {
            // Pieces that cover the stream, and others that overlap them, in any order.
            let mut pieces: Vec<(usize, usize)> = (0..stream.len()).step_by(60).map(|at| (at, 60)).collect();
            pieces.extend(cuts);
            let keyed = crate::hash::Keyed::from_words(seed, 7);
            pieces.sort_by_key(|(at, length)| keyed.mix(*at as u64, *length as u64));
            let mut half = half(start);
            for (at, length) in pieces {
                let at = at.min(stream.len());
                let octets = &stream[at..(at + length).min(stream.len())];
                let taken = half.take(start.wrapping_add(at as u32), octets, octets.len());
                prop_assert_eq!(taken.differing, 0);
                if taken.gap {
                    // More pieces waited than are kept: nothing to compare then.
                    return Ok(());
                }
            }
            prop_assert_eq!(half.held(), stream.as_slice());
        }

        #[test]
        fn memory_stays_bounded(
            steps in prop::collection::vec((any::<u32>(), 0_usize..3000, 0_usize..200, any::<u8>()), 1..200),
        ) {
            let mut half = half(0);
            for (sequence, length, more, what) in steps {
                let sequence = if what & 1 == 0 { sequence % 100_000 } else { sequence };
                half.take(sequence, &vec![what; length], length + if what & 2 == 0 { 0 } else { more });
                if what & 4 != 0 {
                    half.acknowledged(sequence);
                }
                if what & 8 != 0 || half.held().len() > 16_384 {
                    half.release(half.held().len() as u64 + u64::from(what));
                }
                prop_assert!(half.octets() <= 200_000, "{}", half.octets());
            }
        }
    }
}
