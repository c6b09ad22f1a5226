//! How many services each party was said to serve and to use: bounded, so that a scan makes no list of all ports.

/// Parties in one bucket.
const WAYS: usize = 4;

/// Buckets: 64 Ki parties, 512 KiB.
const BUCKETS: usize = 1 << 14;

/// Counts of parties: 32 bits of a hash, the hour, two counts. A party that has no entry any more begins at zero.
#[derive(Debug)]
pub(super) struct Services {
    buckets: Vec<[u64; WAYS]>,
    max: u8,
}

/// Which of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Serves,
    Uses,
}

impl Services {
    pub(super) fn new(max: u8) -> Self {
        Self {
            buckets: vec![[0; WAYS]; BUCKETS],
            max,
        }
    }

    /// Counts one more for a party; false: it has its share for this hour.
    pub(super) fn count(&mut self, party: u64, role: Role, hour: i64) -> bool {
        let hour = hour as u16;
        let tag = (party >> 32).max(1);
        let bucket = &mut self.buckets[party as usize % BUCKETS];
        let place = bucket.iter().position(|entry| entry >> 32 == tag);
        let place = place.unwrap_or_else(|| {
            // The first empty or oldest.
            let age = |entry: u64| match entry {
                0 => u16::MAX,
                entry => hour.wrapping_sub((entry >> 16) as u16),
            };
            let oldest = (0..WAYS)
                .max_by_key(|place| age(bucket[*place]))
                .unwrap_or(0);
            bucket[oldest] = tag << 32 | u64::from(hour) << 16;
            oldest
        });
        let entry = &mut bucket[place];
        if (*entry >> 16) as u16 != hour {
            *entry = tag << 32 | u64::from(hour) << 16;
        }
        let shift = match role {
            Role::Serves => 0,
            Role::Uses => 8,
        };
        let used = (*entry >> shift) as u8;
        if used >= self.max.min(u8::MAX - 1) {
            return false;
        }
        *entry += 1 << shift;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_has_its_share_in_each_hour_and_role() {
        let mut services = Services::new(3);
        let party = 0xabcd_1234_5678_9abc;
        for _ in 0..3 {
            assert!(services.count(party, Role::Serves, 5));
        }
        assert!(!services.count(party, Role::Serves, 5));
        assert!(services.count(party, Role::Uses, 5));
        assert!(services.count(party ^ 1 << 40, Role::Serves, 5));
        assert!(services.count(party, Role::Serves, 6));
    }
}
