//! The flow table: bounded, with a wheel of seconds that says which flow is due.

use super::index::Index;
use super::{Flow, Key, NOWHERE};

/// Flows in one block of memory.
const BLOCK: usize = 1024;

/// Seconds round the wheel; a flow due later is looked at on the way.
const WHEEL: usize = 256;

/// In no bucket of the wheel.
pub(super) const NO_BUCKET: u16 = u16::MAX;

/// Candidates looked at when a flow has to give way.
const CANDIDATES: usize = 16;

/// Flows by key.
#[derive(Debug)]
pub(crate) struct Table {
    blocks: Vec<Vec<Flow>>,
    free: Vec<u32>,
    index: Index,
    wheel: Box<[u32; WHEEL]>,
    /// Second that the wheel stands at: all before it are done.
    second: i64,
    /// Rest of the bucket under way.
    under_way: u32,
    used: usize,
    limit: usize,
    hand: usize,
    /// Place in [`Table::drain`].
    drained: usize,
}

impl Table {
    /// A table for at most `limit` flows.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            index: Index::new(),
            wheel: Box::new([NOWHERE; WHEEL]),
            second: i64::MIN,
            under_way: NOWHERE,
            used: 0,
            limit: limit.clamp(1, (NOWHERE - 1) as usize),
            hand: 0,
            drained: 0,
        }
    }

    /// Number of flows.
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        self.index
            .find((hash >> 32) as u32, |place| self.flow(place).key == *key)
    }

    /// The flow at a place that [`Table::find`] or [`Table::insert`] gave.
    #[inline]
    pub(crate) fn flow(&self, place: u32) -> &Flow {
        &self.blocks[place as usize / BLOCK][place as usize % BLOCK]
    }

    /// The same, to change it.
    #[inline]
    pub(crate) fn flow_mut(&mut self, place: u32) -> &mut Flow {
        &mut self.blocks[place as usize / BLOCK][place as usize % BLOCK]
    }

    /// Adds an empty flow with this key, which must not be there. The caller makes room first.
    pub(crate) fn insert(&mut self, key: Key, hash: u64) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            let blocks = self.blocks.len();
            let block = self.blocks.last_mut().expect("a block was put there above");
            block.push(Flow::empty());
            u32::try_from((blocks - 1) * BLOCK + block.len() - 1).unwrap_or(NOWHERE)
        });
        let hash = (hash >> 32) as u32;
        let flow = self.flow_mut(place);
        flow.clear();
        flow.key = key;
        flow.hash = hash;
        self.index.insert(hash, place);
        self.used += 1;
        place
    }

    /// Makes the flow at `place` a new one with the same key.
    pub(crate) fn renew(&mut self, place: u32) {
        let flow = self.flow_mut(place);
        let key = flow.key;
        flow.clear();
        flow.key = key;
    }

    /// Takes a flow out. Its report and its stream are the caller's business.
    pub(crate) fn remove(&mut self, place: u32) {
        self.unlink(place);
        let hash = self.flow(place).hash;
        self.index.remove(hash, place);
        self.flow_mut(place).clear();
        // No key of a packet equals this one, so that a stale place is never found.
        self.flow_mut(place).key.protocol = u8::MAX;
        self.free.push(place);
        self.used -= 1;
    }

    /// A flow that may give way: of a few, the one that was answered least and is silent longest.
    pub(crate) fn victim(&mut self) -> Option<u32> {
        let places = self.places();
        let mut best: Option<(u32, (bool, i64))> = None;
        let mut seen = 0;
        for _ in 0..places {
            self.hand = (self.hand + 1) % places;
            let place = self.hand as u32;
            let flow = self.flow(place);
            if flow.bucket == NO_BUCKET {
                continue;
            }
            let rank = (flow.answered(), flow.last);
            if best.is_none_or(|(_, least)| rank < least) {
                best = Some((place, rank));
            }
            seen += 1;
            if seen >= CANDIDATES {
                break;
            }
        }
        best.map(|(place, _)| place)
    }

    /// Asks for the flow to be looked at after `due` (ms).
    pub(crate) fn schedule(&mut self, place: u32, due: i64) {
        self.unlink(place);
        if self.second == i64::MIN {
            self.second = due.div_euclid(1000) - 1;
        }
        let second =
            (due.div_euclid(1000) + 1).clamp(self.second + 1, self.second + WHEEL as i64 - 1);
        let bucket = second.rem_euclid(WHEEL as i64) as usize;
        let next = self.wheel[bucket];
        if next != NOWHERE {
            self.flow_mut(next).previous = place;
        }
        let flow = self.flow_mut(place);
        flow.next = next;
        flow.previous = NOWHERE;
        flow.bucket = bucket as u16;
        self.wheel[bucket] = place;
    }

    /// The next flow that is due at `now` (ms); `None`: no more. The flow is in no bucket then: the caller removes it or
    /// schedules it again.
    pub(crate) fn due(&mut self, now: i64) -> Option<u32> {
        let until = now.div_euclid(1000);
        loop {
            if self.under_way != NOWHERE {
                let place = self.under_way;
                let flow = self.flow_mut(place);
                let next = flow.next;
                flow.bucket = NO_BUCKET;
                flow.next = NOWHERE;
                flow.previous = NOWHERE;
                self.under_way = next;
                if next != NOWHERE {
                    self.flow_mut(next).previous = NOWHERE;
                }
                return Some(place);
            }
            if self.second == i64::MIN || self.second >= until {
                return None;
            }
            // Once round the wheel sees every flow, however far the clock jumped.
            self.second = (self.second + 1).max(until - WHEEL as i64);
            let bucket = self.second.rem_euclid(WHEEL as i64) as usize;
            self.under_way = std::mem::replace(&mut self.wheel[bucket], NOWHERE);
        }
    }

    /// Whether [`Table::due`] may have something at `now`.
    #[inline]
    pub(crate) const fn is_time(&self, now: i64) -> bool {
        self.second.saturating_mul(1000).saturating_add(1999) < now || self.under_way != NOWHERE
    }

    /// Sets the wheel back when time was set back.
    pub(crate) const fn turn_back(&mut self, now: i64) {
        self.second = now.div_euclid(1000);
    }

    /// The second that the wheel stands at.
    pub(crate) const fn second(&self) -> i64 {
        self.second
    }

    /// Some flow that is left, to end it.
    pub(crate) fn drain(&mut self) -> Option<u32> {
        while self.drained < self.places() {
            let place = self.drained as u32;
            self.drained += 1;
            if self.flow(place).key.protocol != u8::MAX {
                return Some(place);
            }
        }
        self.drained = 0;
        None
    }

    fn places(&self) -> usize {
        self.blocks.len().saturating_sub(1) * BLOCK + self.blocks.last().map_or(0, Vec::len)
    }

    fn unlink(&mut self, place: u32) {
        let flow = self.flow_mut(place);
        if flow.bucket == NO_BUCKET {
            return;
        }
        let (bucket, next, previous) = (flow.bucket, flow.next, flow.previous);
        flow.bucket = NO_BUCKET;
        flow.next = NOWHERE;
        flow.previous = NOWHERE;
        if next != NOWHERE {
            self.flow_mut(next).previous = previous;
        }
        if previous != NOWHERE {
            self.flow_mut(previous).next = next;
        } else if self.wheel[usize::from(bucket)] == place {
            self.wheel[usize::from(bucket)] = next;
        } else if self.under_way == place {
            self.under_way = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Keyed;

    fn key(number: u32) -> Key {
        let ip = |bits: u32| std::net::IpAddr::from(bits.to_be_bytes());
        Key::of(ip(number), ip(0x0a00_0001), (1000, 80), 6, None).0
    }

    #[test]
    fn a_flow_is_due_after_its_time_and_not_before() {
        let keyed = Keyed::from_words(1, 2);
        let mut table = Table::new(100);
        let start = 1_700_000_000_000;
        for (number, after) in [(1, 5_000), (2, 60_000), (3, 600_000)] {
            let place = table.insert(key(number), key(number).hash(&keyed));
            table.flow_mut(place).last = after;
            table.schedule(place, start + after);
        }
        let mut due_at = Vec::new();
        for second in 0..700 {
            let now = start + second * 1000;
            while let Some(place) = table.due(now) {
                let after = table.flow(place).last;
                if now < start + after {
                    table.schedule(place, start + after);
                } else {
                    due_at.push((after, second * 1000));
                    table.remove(place);
                }
            }
        }
        assert_eq!(due_at.len(), 3);
        for (wanted, got) in due_at {
            assert!((wanted..wanted + 3000).contains(&got), "{wanted} {got}");
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn any_order_of_changes_keeps_the_wheel_whole() {
        let keyed = Keyed::from_words(5, 6);
        let mut table = Table::new(1 << 20);
        let mut random = 1_u64;
        let mut places = Vec::new();
        let mut now = 0_i64;
        for step in 0..20_000_u32 {
            random = keyed.mix(random, u64::from(step));
            match random % 4 {
                0 | 1 => {
                    let place = table.insert(key(step), key(step).hash(&keyed));
                    table.schedule(place, now + (random >> 32) as i64 % 400_000);
                    places.push(step);
                }
                2 if !places.is_empty() => {
                    let number = places.swap_remove((random >> 8) as usize % places.len());
                    let place = table
                        .find(&key(number), key(number).hash(&keyed))
                        .expect("held");
                    table.remove(place);
                }
                _ => {
                    now += (random >> 40) as i64 % 3000;
                    while let Some(place) = table.due(now) {
                        if random.is_multiple_of(3) {
                            table.schedule(place, now + 5000);
                        } else {
                            let gone = table.flow(place).key;
                            places.retain(|number| key(*number) != gone);
                            table.remove(place);
                        }
                    }
                }
            }
            assert_eq!(table.len(), places.len());
        }
        while let Some(place) = table.drain() {
            table.remove(place);
        }
        assert_eq!(table.len(), 0);
        for number in places {
            assert_eq!(table.find(&key(number), key(number).hash(&keyed)), None);
        }
    }
}
