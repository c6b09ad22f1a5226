//! Each distinct text once. Texts are counted by reference and go with their last holder.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;

use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::slab::Slab;

/// The number of an interned text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(NonZeroU32);

impl Text {
    /// The text's number.
    pub(crate) const fn number(self) -> u32 {
        self.0.get() - 1
    }

    /// The text with this number, which is below `u32::MAX`.
    pub(crate) const fn raw(number: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(number))
    }
}

/// Texts of up to 23 octets lie in the entry itself.
#[derive(Debug)]
struct Entry {
    text: SmolStr,
    holders: u32,
}

/// Interned texts. Keys are hashed with a random seed (SipHash), since whoever is on the network chooses them.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    entries: Slab<Entry>,
    table: HashTable<u32>,
    seed: RandomState,
    octets: usize,
}

impl Interner {
    /// The number of `text`, with one more holder.
    pub(crate) fn hold(&mut self, text: &str) -> Text {
        if let Some(known) = self.find(text) {
            self.hold_again(known);
            return known;
        }
        self.octets += text.len();
        let number = self.entries.insert(Entry {
            text: text.into(),
            holders: 1,
        });
        let (entries, seed) = (&self.entries, &self.seed);
        let hash = |n: u32| seed.hash_one(entries.get(n).map_or("", |entry| &entry.text));
        self.table.insert_unique(hash(number), number, |&n| hash(n));
        Text::raw(number)
    }

    /// One holder more of a text that somebody holds.
    pub(crate) fn hold_again(&mut self, text: Text) {
        if let Some(entry) = self.entries.get_mut(text.number()) {
            entry.holders = entry.holders.saturating_add(1);
        }
    }

    /// The number of `text` if somebody holds it.
    pub(crate) fn find(&self, text: &str) -> Option<Text> {
        let hash = self.seed.hash_one(text);
        self.table
            .find(hash, |&number| {
                self.entries
                    .get(number)
                    .is_some_and(|entry| entry.text == text)
            })
            .map(|&number| Text::raw(number))
    }

    /// One holder less.
    pub(crate) fn release(&mut self, text: Text) {
        let Some(entry) = self.entries.get_mut(text.number()) else {
            return;
        };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders > 0 {
            return;
        }
        let hash = self.seed.hash_one(entry.text.as_str());
        if let Ok(found) = self
            .table
            .find_entry(hash, |&number| number == text.number())
        {
            found.remove();
        }
        if let Some(entry) = self.entries.remove(text.number()) {
            self.octets -= entry.text.len();
        }
    }

    /// The text of a number that somebody holds.
    pub(crate) fn get(&self, text: Text) -> &str {
        self.entries
            .get(text.number())
            .map_or("", |entry| &entry.text)
    }

    /// Number of distinct texts.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Octets of all texts with their table.
    pub(crate) fn octets_in_all(&self) -> usize {
        self.octets + self.entries.octets() + self.table.capacity() * 5
    }

    /// Octets of all texts.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_with_its_last_holder() {
        let mut texts = Interner::default();
        let one = texts.hold("MSFT 5.0");
        assert_eq!(texts.hold("MSFT 5.0"), one);
        let two = texts.hold("android-dhcp-13");
        assert_eq!((texts.len(), texts.octets()), (2, 23));
        texts.release(one);
        assert_eq!(texts.get(one), "MSFT 5.0");
        texts.release(one);
        assert_eq!(texts.find("MSFT 5.0"), None);
        assert_eq!((texts.len(), texts.octets()), (1, 15));
        assert_eq!(texts.hold("udhcp 1.30"), one, "the place is used again");
        assert_eq!(texts.get(two), "android-dhcp-13");
    }
}
