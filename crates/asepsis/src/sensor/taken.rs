//! How far the spools of sensors on other hosts were taken, and how far of that is in the inventory's file.
//!
//! A batch counts once. It is taken into memory first, and into the file with everything else that changed; the place it
//! had in its spool goes into the file in the same transaction. A sensor forgets a batch only when it is in the file. So a
//! centre that was killed asks for exactly what its file does not have.

use std::collections::BTreeMap;

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Spools remembered for one sensor; the one that was not heard of for longest is forgotten first.
const SPOOLS_MAX: usize = 16;

/// The place of a spool's last batch that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    number: u64,
    at: Timestamp,
}

/// Places by sensor and spool, written as `SENSOR SPOOL`.
pub(crate) type Places = BTreeMap<String, Place>;

/// What was taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    now: Places,
    kept: Places,
    changed: bool,
}

impl Taken {
    /// What the file knows.
    pub(crate) fn restore(places: Places) -> Self {
        Self {
            now: places.clone(),
            kept: places,
            changed: false,
        }
    }

    /// Whether this batch was not taken yet; from now on it is.
    pub(crate) fn advance(
        &mut self,
        sensor: &str,
        spool: &str,
        number: u64,
        at: Timestamp,
    ) -> bool {
        let key = key(sensor, spool);
        if self.now.get(&key).is_some_and(|last| last.number >= number) {
            return false;
        }
        self.now.insert(key, Place { number, at });
        self.changed = true;
        let prefix = format!("{sensor} ");
        let of_sensor = || self.now.iter().filter(|(k, _)| k.starts_with(&prefix));
        if of_sensor().count() > SPOOLS_MAX {
            let oldest = of_sensor().min_by_key(|(_, place)| place.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.now.remove(&oldest);
            }
        }
        true
    }

    /// Every place, if one changed since this was last asked.
    pub(crate) fn changed(&mut self) -> Option<Places> {
        std::mem::take(&mut self.changed).then(|| self.now.clone())
    }

    /// These are in the file.
    pub(crate) fn keep(&mut self, places: Places) {
        self.kept = places;
    }

    /// The number of the last batch of a spool that is in the file; 0: none.
    pub(crate) fn kept(&self, sensor: &str, spool: &str) -> u64 {
        self.kept
            .get(&key(sensor, spool))
            .map_or(0, |place| place.number)
    }
}

fn key(sensor: &str, spool: &str) -> String {
    format!("{sensor} {spool}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn a_batch_is_new_once_and_kept_when_the_file_has_it() {
        let mut taken = Taken::default();
        assert!(taken.advance("east", "a", 1, at(0)));
        assert!(!taken.advance("east", "a", 1, at(1)));
        assert!(taken.advance("east", "b", 1, at(1)), "another spool");
        assert!(taken.advance("west", "a", 1, at(1)), "another sensor");
        assert!(
            taken.advance("east", "a", 7, at(2)),
            "the spool was full between"
        );
        assert_eq!(taken.kept("east", "a"), 0);
        let places = taken.changed().expect("changed");
        assert_eq!(taken.changed(), None);
        assert!(taken.advance("east", "a", 8, at(3)));
        taken.keep(places.clone());
        assert_eq!((taken.kept("east", "a"), taken.kept("west", "a")), (7, 1));
        let mut again = Taken::restore(places);
        assert!(!again.advance("east", "a", 7, at(4)), "it is in the file");
        assert!(again.advance("east", "a", 8, at(4)), "it is not");
    }

    #[test]
    fn a_sensor_with_many_spools_costs_others_nothing() {
        let mut taken = Taken::default();
        taken.advance("west", "a", 5, at(0));
        for n in 0..100 {
            taken.advance("east", &format!("spool{n}"), 1, at(n + 1));
        }
        assert_eq!(taken.now.len(), SPOOLS_MAX + 1);
        assert!(!taken.advance("west", "a", 5, at(200)));
        assert!(!taken.advance("east", "spool99", 1, at(200)));
    }
}
