//! How often somebody may try: a token bucket per key, in a table that cannot grow.

use std::collections::HashMap;
use std::hash::Hash;

use domain::Timestamp;
use parking_lot::Mutex;

/// Token buckets by key, at most `keys_max` of them.
///
/// When the table is full of unspent buckets, new keys share one common bucket: under an attack from many
/// addresses strangers wait for each other, and memory stays bounded.
#[derive(Debug)]
pub(crate) struct Throttle<K> {
    burst: u32,
    refill_ms: i64,
    keys_max: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    buckets: HashMap<K, Bucket>,
    common: Bucket,
}

/// Spent tokens return one every `refill_ms`: `full_at` is when all of them are back.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: i64,
}

impl<K: Hash + Eq> Throttle<K> {
    /// Allows `burst` tries at once and one more every `refill_ms` milliseconds, for each key.
    pub(crate) fn new(burst: u32, refill_ms: u32, keys_max: usize) -> Self {
        Self {
            burst,
            refill_ms: i64::from(refill_ms.max(1)),
            keys_max,
            state: Mutex::new(State {
                buckets: HashMap::new(),
                common: Bucket { full_at: i64::MIN },
            }),
        }
    }

    /// Takes one try of `key`; or says how many seconds to wait.
    pub(crate) fn take(&self, key: K, now: Timestamp) -> Result<(), u64> {
        let now = now.as_millis();
        let mut state = self.state.lock();
        if state.buckets.len() >= self.keys_max && !state.buckets.contains_key(&key) {
            state.buckets.retain(|_, b| b.full_at > now);
        }
        let full = state.buckets.len() >= self.keys_max;
        let bucket = if full && !state.buckets.contains_key(&key) {
            &mut state.common
        } else {
            state
                .buckets
                .entry(key)
                .or_insert(Bucket { full_at: i64::MIN })
        };
        let reach = now.saturating_add(self.refill_ms.saturating_mul(i64::from(self.burst)));
        // A clock that was set back must not leave a bucket empty for as long as it was ahead.
        let full_at = bucket.full_at.clamp(now, reach);
        let after = full_at.saturating_add(self.refill_ms);
        if after > reach {
            let wait_ms = u64::try_from(after - reach).unwrap_or(0);
            return Err(wait_ms.div_ceil(1000).max(1));
        }
        bucket.full_at = after;
        Ok(())
    }

    /// Buckets held now.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.state.lock().buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_at_a_time() {
        let t = Throttle::new(3, 1000, 10);
        for _ in 0..3 {
            assert_eq!(t.take("a", at(0)), Ok(()));
        }
        assert_eq!(t.take("a", at(0)), Err(1));
        assert_eq!(t.take("b", at(0)), Ok(()));
        assert_eq!(t.take("a", at(999)), Err(1));
        assert_eq!(t.take("a", at(1000)), Ok(()));
        assert_eq!(t.take("a", at(1000)), Err(1));
        for _ in 0..3 {
            assert_eq!(t.take("a", at(10_000)), Ok(()));
        }
    }

    #[test]
    fn many_keys_never_grow_the_table_and_share_what_is_left() {
        let t = Throttle::new(2, 60_000, 100);
        let passed = (0..10_000).filter(|i| t.take(*i, at(0)).is_ok()).count();
        assert_eq!(t.len(), 100);
        assert_eq!(
            passed, 102,
            "one hundred keys and the burst of the common bucket"
        );
        assert_eq!(
            t.take(5, at(0)),
            Ok(()),
            "a key in the table keeps its own bucket"
        );
        // Once the table has rested, strangers have buckets of their own again.
        assert_eq!(t.take(77_777, at(10_000_000)), Ok(()));
        assert_eq!(t.len(), 1);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_lock_anybody_out_for_long() {
        let t = Throttle::new(2, 1000, 10);
        assert!(t.take("a", at(100_000)).is_ok());
        let wait = t.take("a", at(0)).expect_err("the bucket lies ahead");
        assert_eq!(wait, 1);
    }
}
