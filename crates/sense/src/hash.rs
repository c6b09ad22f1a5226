//! A keyed hash for tables that hostile traffic fills.
//!
//! Folded 128-bit multiplication in the manner of wyhash. It is not a cryptographic hash; its two secret words keep
//! a sender from choosing addresses that meet in one bucket without having seen our buckets.

use std::hash::{BuildHasher as _, RandomState};

/// Two secret words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    first: u64,
    second: u64,
}

impl Keyed {
    /// Words from the operating system, other ones in each process.
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self::from_words(state.hash_one(1_u8), state.hash_one(2_u8))
    }

    /// Given words, for tests that must repeat.
    pub(crate) const fn from_words(first: u64, second: u64) -> Self {
        Self {
            first,
            second: second | 1,
        }
    }

    /// Mixes one word into `state`.
    #[inline]
    pub(crate) fn mix(&self, state: u64, word: u64) -> u64 {
        fold(state ^ word ^ self.first, self.second)
    }

    /// Mixes two words into `state`.
    #[inline]
    pub(crate) fn mix2(&self, state: u64, a: u64, b: u64) -> u64 {
        fold(state ^ a ^ self.first, b ^ self.second).rotate_left(23) ^ state
    }

    /// Mixes octets, and how many they are, into `state`.
    #[inline]
    pub(crate) fn octets(&self, mut state: u64, octets: &[u8]) -> u64 {
        let mut chunks = octets.chunks_exact(16);
        for chunk in &mut chunks {
            state = self.mix2(state, word(&chunk[..8]), word(&chunk[8..]));
        }
        let rest = chunks.remainder();
        let mut last = [0_u8; 16];
        last[..rest.len()].copy_from_slice(rest);
        state = self.mix2(state, word(&last[..8]), word(&last[8..]));
        self.mix(state, octets.len() as u64)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn word(octets: &[u8]) -> u64 {
    let mut word = [0_u8; 8];
    word.copy_from_slice(octets);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_inputs_spread_over_buckets() {
        let keyed = Keyed::from_words(0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321);
        let mut buckets = [0_u32; 256];
        for number in 0..65_536_u32 {
            let hash = keyed.octets(0, &number.to_be_bytes());
            buckets[(hash >> 56) as usize] += 1;
        }
        // 256 expected in each; a fair hash stays within a few standard deviations (16).
        assert!(
            buckets.iter().all(|count| (150..=370).contains(count)),
            "{buckets:?}"
        );
    }

    #[test]
    fn other_keys_give_other_hashes() {
        let (a, b) = (Keyed::from_words(1, 2), Keyed::from_words(3, 4));
        assert_ne!(a.octets(0, b"same"), b.octets(0, b"same"));
        assert_ne!(a.octets(0, b"same"), a.octets(0, b"same\0"));
    }
}
