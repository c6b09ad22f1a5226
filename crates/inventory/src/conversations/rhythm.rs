//! The times at which flows opened, and whether they have a rhythm.

/// Openings that are kept: the newest.
const KEPT: usize = 24;
/// Fewest openings that make a rhythm.
const FEWEST: usize = 7;

/// The newest openings in seconds since the epoch, in order. Which ones are kept does not depend on the order in which
/// they were reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rhythm(Vec<u32>);

impl Rhythm {
    pub(crate) fn insert(&mut self, secs: u32) {
        let place = self.0.partition_point(|kept| *kept <= secs);
        if self.0.len() < KEPT {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(if self.0.is_empty() { 2 } else { 6 });
            }
            self.0.insert(place, secs);
        } else if place > 0 {
            self.0.remove(0);
            self.0.insert(place - 1, secs);
        }
    }

    pub(crate) fn openings(&self) -> &[u32] {
        &self.0
    }

    /// Typical seconds between openings, when at least three in four gaps lie within a fifth of the middle one.
    pub(crate) fn period(&self) -> Option<u32> {
        if self.0.len() < FEWEST {
            return None;
        }
        let mut gaps: Vec<u32> = self.0.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        let middle = gaps[gaps.len() / 2];
        let slack = (middle / 5).max(1);
        let near = gaps.iter().filter(|gap| gap.abs_diff(middle) <= slack);
        (middle >= 2 && near.count() * 4 >= gaps.len() * 3).then_some(middle)
    }

    pub(crate) fn octets(&self) -> usize {
        self.0.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(openings: impl Iterator<Item = u32>) -> Rhythm {
        let mut rhythm = Rhythm::default();
        openings.for_each(|secs| rhythm.insert(secs));
        rhythm
    }

    #[test]
    fn a_rhythm_is_found_in_any_order_and_through_a_gap() {
        let regular = rhythm((0..40).map(|n| n * 60 + n % 3));
        assert!(regular.period().is_some_and(|p| p.abs_diff(60) <= 2));
        assert_eq!(regular, rhythm((0..40).rev().map(|n| n * 60 + n % 3)));
        let with_gap = rhythm((0..20).filter(|n| *n != 9).map(|n| n * 300));
        assert_eq!(with_gap.period(), Some(300));
    }

    #[test]
    fn what_comes_now_and_then_has_no_rhythm() {
        assert_eq!(
            rhythm([1, 50, 60, 900, 1000, 4000, 4001, 9000].into_iter()).period(),
            None
        );
        assert_eq!(rhythm([60, 120, 180].into_iter()).period(), None, "too few");
    }
}
