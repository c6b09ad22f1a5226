//! What was said already: steady traffic makes no new observations.
//!
//! A fixed table of fingerprints (48 bits of a keyed hash) with the time they were said, eight to a bucket. When a
//! bucket is full the oldest gives way: something is then said twice, never lost. Two facts that share bucket and
//! fingerprint would hide one another: below 1 in 2^45 for each fact.

use domain::Timestamp;

/// Fingerprints in one bucket: one cache line.
const WAYS: usize = 8;

/// Milliseconds of one step of the clock in an entry: a minute, so that 16 bits last 45 days.
const STEP_MS: i64 = 60_000;

/// A bounded set of what was said within a while.
#[derive(Debug)]
pub(crate) struct Remembered {
    buckets: Vec<[u64; WAYS]>,
    mask: usize,
    steps: u16,
}

impl Remembered {
    /// A table for about `entries`, each kept for `while_ms`.
    pub(crate) fn new(entries: usize, while_ms: i64) -> Self {
        let buckets = (entries / WAYS).clamp(1, 1 << 27).next_power_of_two();
        Self {
            // Zeroed memory comes from the operating system page by page, as it is first written.
            buckets: vec![[0; WAYS]; buckets],
            mask: buckets - 1,
            steps: u16::try_from(while_ms / STEP_MS)
                .unwrap_or(u16::MAX / 2)
                .clamp(1, u16::MAX / 2),
        }
    }

    /// Octets that the table can come to hold.
    #[cfg(test)]
    pub(crate) const fn octets(&self) -> usize {
        self.buckets.len() * size_of::<[u64; WAYS]>()
    }

    /// Whether `hash` is new within the while; it is remembered from now on.
    #[inline]
    pub(crate) fn is_new(&mut self, hash: u64, at: Timestamp) -> bool {
        let now = at.as_millis().div_euclid(STEP_MS) as u16;
        // 0 marks an empty place.
        let tag = (hash >> 16).max(1);
        let Some(bucket) = self.buckets.get_mut(hash as usize & self.mask) else {
            return true;
        };
        let mut victim = 0;
        let mut victim_age = 0;
        for (place, entry) in bucket.iter_mut().enumerate() {
            let age = age(now, *entry as u16);
            if *entry >> 16 == tag {
                if age < self.steps {
                    return false;
                }
                *entry = tag << 16 | u64::from(now);
                return true;
            }
            let age = if *entry == 0 { u16::MAX } else { age };
            if age > victim_age {
                (victim, victim_age) = (place, age);
            }
        }
        bucket[victim] = tag << 16 | u64::from(now);
        true
    }
}

/// Steps from `then` to `now`, modulo 2^16; packets that arrive a little out of order count as age 0.
#[inline]
const fn age(now: u16, then: u16) -> u16 {
    let age = now.wrapping_sub(then);
    if age > u16::MAX - 1024 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    #[test]
    fn a_fact_is_new_once_in_a_while() {
        let mut remembered = Remembered::new(1024, 3_600_000);
        let at = Timestamp::from_millis(START);
        assert!(remembered.is_new(77, at));
        assert!(!remembered.is_new(77, at));
        assert!(!remembered.is_new(77, Timestamp::from_millis(START + 3_000_000)));
        assert!(!remembered.is_new(77, Timestamp::from_millis(START - 120_000)));
        assert!(remembered.is_new(77, Timestamp::from_millis(START + 3_720_000)));
        assert!(remembered.is_new(78 << 16 | 77, at));
    }

    #[test]
    fn a_flood_does_not_grow_it_and_the_recent_stays() {
        let mut remembered = Remembered::new(1024, 3_600_000);
        let before = remembered.octets();
        let keyed = crate::hash::Keyed::from_words(1, 2);
        for number in 0..100_000_u64 {
            remembered.is_new(keyed.mix(0, number), Timestamp::from_millis(START));
        }
        assert_eq!(remembered.octets(), before);
        let late = Timestamp::from_millis(START + 120_000);
        assert!(remembered.is_new(keyed.mix(0, 1 << 40), late));
        assert!(!remembered.is_new(keyed.mix(0, 1 << 40), late));
    }
}
