//! From a key's hash to a place in the flow table: open addressing, one cache line for nearly every look.

/// Places by hash. An entry holds the hash's upper half and the place plus one; 0 is free.
#[derive(Debug)]
pub(super) struct Index {
    entries: Vec<u64>,
    mask: usize,
    used: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        const START: usize = 1024;
        Self {
            entries: vec![0; START],
            mask: START - 1,
            used: 0,
        }
    }

    /// The first place with this hash that `fits`.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize & self.mask;
        loop {
            let entry = *self.entries.get(at)?;
            if entry == 0 {
                return None;
            }
            if (entry >> 32) as u32 == hash {
                let place = entry as u32 - 1;
                if fits(place) {
                    return Some(place);
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds a place, which must not be there yet.
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        // At most three quarters full, so that a free entry ends every search.
        if (self.used + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.put(u64::from(hash) << 32 | u64::from(place + 1));
        self.used += 1;
    }

    /// Takes a place away.
    pub(super) fn remove(&mut self, hash: u32, place: u32) {
        let wanted = u64::from(hash) << 32 | u64::from(place + 1);
        let mut at = hash as usize & self.mask;
        while self.entries[at] != wanted {
            if self.entries[at] == 0 {
                return;
            }
            at = (at + 1) & self.mask;
        }
        self.used -= 1;
        // Move back whatever stood behind and may stand here, so that no gap cuts a run of entries.
        let mut hole = at;
        loop {
            at = (at + 1) & self.mask;
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            let home = (entry >> 32) as usize & self.mask;
            let from_home = at.wrapping_sub(home) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = 0;
    }

    fn grow(&mut self) {
        let size = self.entries.len() * 2;
        let old = std::mem::replace(&mut self.entries, vec![0; size]);
        self.mask = size - 1;
        for entry in old.into_iter().filter(|entry| *entry != 0) {
            self.put(entry);
        }
    }

    #[inline]
    fn put(&mut self, entry: u64) {
        let mut at = (entry >> 32) as usize & self.mask;
        while self.entries[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.entries[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_index_answers_as_a_map_does(steps in prop::collection::vec((any::<bool>(), 0_u32..64), 1..600)) {
            let mut index = Index::new();
            let mut model = HashMap::new();
            // Hashes crowd at the end of the table, so that runs wrap round.
            let hash = |place: u32| 1020 + place % 5;
            for (add, place) in steps {
                if add && !model.contains_key(&place) {
                    index.insert(hash(place), place);
                    model.insert(place, ());
                } else if !add {
                    index.remove(hash(place), place);
                    model.remove(&place);
                }
                for place in 0..64 {
                    let found = index.find(hash(place), |found| found == place);
                    prop_assert_eq!(found.is_some(), model.contains_key(&place));
                }
            }
        }
    }

    #[test]
    fn it_grows_and_keeps_all() {
        let mut index = Index::new();
        for place in 0..10_000_u32 {
            index.insert(place.wrapping_mul(2_654_435_761), place);
        }
        for place in 0..10_000_u32 {
            let hash = place.wrapping_mul(2_654_435_761);
            assert_eq!(index.find(hash, |found| found == place), Some(place));
        }
    }
}
