//! A bounded table whose entries live for one fixed time and can be taken once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use domain::Timestamp;

/// Entries that all live equally long. When it is full the oldest makes room.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    lifetime: Duration,
    max: usize,
    entries: HashMap<K, Entry<V>>,
    /// Keys in the order of insertion, those included that were taken or replaced since (their number differs).
    order: VecDeque<(K, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    expires: Timestamp,
    number: u64,
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self {
            lifetime,
            max: max.max(1),
            entries: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    /// Puts an entry in place of any older one with this key.
    pub(crate) fn insert(&mut self, key: K, value: V, now: Timestamp) {
        self.entries.remove(&key);
        self.sweep(now);
        while self.entries.len() >= self.max {
            let Some((oldest, number)) = self.order.pop_front() else {
                break;
            };
            self.remove_if(&oldest, number);
        }
        if self.order.len() >= self.max.saturating_mul(2) {
            let entries = &self.entries;
            self.order
                .retain(|(key, number)| entries.get(key).is_some_and(|e| e.number == *number));
        }
        let number = self.next;
        self.next += 1;
        self.order.push_back((key.clone(), number));
        let expires = now.plus(self.lifetime);
        self.entries.insert(
            key,
            Entry {
                value,
                expires,
                number,
            },
        );
    }

    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Result<&V, Gone> {
        match self.entries.get(key) {
            None => Err(Gone::Absent),
            Some(entry) if now >= entry.expires => Err(Gone::Expired),
            Some(entry) => Ok(&entry.value),
        }
    }

    /// Removes an entry and returns it, unless its time is over.
    pub(crate) fn take(&mut self, key: &K, now: Timestamp) -> Result<V, Gone> {
        match self.entries.remove(key) {
            None => Err(Gone::Absent),
            Some(entry) if now >= entry.expires => Err(Gone::Expired),
            Some(entry) => Ok(entry.value),
        }
    }

    /// Removes entries whose time is over.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        while let Some((key, number)) = self.order.front() {
            match self.entries.get(key) {
                Some(e) if e.number == *number && now < e.expires => return,
                Some(_) | None => {}
            }
            let Some((key, number)) = self.order.pop_front() else {
                return;
            };
            self.remove_if(&key, number);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove_if(&mut self, key: &K, number: u64) {
        if self.entries.get(key).is_some_and(|e| e.number == number) {
            self.entries.remove(key);
        }
    }
}

/// Why there is no such entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Never there, taken already, or pushed out.
    Absent,
    /// Its time is over.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn an_entry_is_taken_once_and_dies_in_time() {
        let mut table = Expiring::new(Duration::from_secs(60), 8);
        table.insert("a", 1, at(0));
        table.insert("b", 2, at(0));
        assert_eq!(table.get(&"a", at(59)), Ok(&1));
        assert_eq!(table.take(&"a", at(59)), Ok(1));
        assert_eq!(table.take(&"a", at(59)), Err(Gone::Absent));
        assert_eq!(table.get(&"b", at(60)), Err(Gone::Expired));
        assert_eq!(table.take(&"b", at(60)), Err(Gone::Expired));
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut table = Expiring::new(Duration::from_secs(60), 8);
        for n in 0..1000 {
            table.insert(n, n, at(n / 100));
            if n % 2 == 0 {
                let _ = table.take(&n, at(n / 100));
            }
            assert!(
                table.len() <= 8 && table.order.len() <= 17,
                "{}",
                table.order.len()
            );
        }
        assert_eq!(table.get(&999, at(10)), Ok(&999), "the newest stays");
        table.sweep(at(70));
        assert_eq!((table.len(), table.order.len()), (0, 0));
    }

    #[test]
    fn a_replaced_entry_lives_its_own_time() {
        let mut table = Expiring::new(Duration::from_secs(60), 8);
        table.insert("a", 1, at(0));
        table.insert("a", 2, at(50));
        table.sweep(at(70));
        assert_eq!(table.get(&"a", at(70)), Ok(&2));
    }
}
