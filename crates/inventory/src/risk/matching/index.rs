//! Rows by the names of products, so that a device meets only rows that share a word with it.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::risk::names::{Likeness, likeness, product_words, tells, vendor_key, words};
use crate::risk::reader::FeedKind;
use crate::risk::row::{Affected, Name, Recall, Vulnerability};
use crate::risk::subject::Thing;

/// A product name that rows use.
#[derive(Debug)]
pub(super) struct Product<'a> {
    /// Key of its maker; empty: not stated.
    pub(super) vendor: SmolStr,
    /// Its words.
    pub(super) words: Vec<SmolStr>,
    rows: Vec<(&'a Vulnerability, FeedKind, &'a Affected)>,
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    products: Vec<Product<'a>>,
    by_name: BTreeMap<(SmolStr, SmolStr), usize>,
    /// By key of the maker and word: most makers share few words.
    by_word: BTreeMap<(SmolStr, SmolStr), Vec<usize>>,
    by_whole: BTreeMap<SmolStr, Vec<usize>>,
}

impl<'a> Index<'a> {
    pub(super) fn add(&mut self, row: &'a Vulnerability, kind: FeedKind) {
        for affected in &row.affects {
            let name = &affected.name;
            let key = (name.vendor.clone(), name.product.clone());
            let at = match self.by_name.get(&key) {
                Some(at) => *at,
                None => {
                    let words = product_words(&name.vendor, &name.product);
                    if words.is_empty() {
                        continue;
                    }
                    let at = self.products.len();
                    let vendor = vendor_key(&name.vendor);
                    for word in &words {
                        let list = self
                            .by_word
                            .entry((vendor.clone(), word.clone()))
                            .or_default();
                        if list.last() != Some(&at) {
                            list.push(at);
                        }
                    }
                    self.by_whole
                        .entry(words.concat().into())
                        .or_default()
                        .push(at);
                    self.by_name.insert(key, at);
                    self.products.push(Product {
                        vendor,
                        words,
                        rows: Vec::new(),
                    });
                    at
                }
            };
            self.products[at].rows.push((row, kind, affected));
        }
    }

    /// The products that `thing` is or may be.
    pub(super) fn named(&self, thing: &Thing) -> Vec<(&Product<'a>, Likeness)> {
        let whole: SmolStr = thing.words.concat().into();
        let mut candidates: Vec<usize> = self.by_whole.get(&whole).cloned().unwrap_or_default();
        // Without a maker on both sides only the whole name counts, and that is looked up above.
        for word in thing.words.iter().filter(|w| tells(w)) {
            let key = (thing.vendor.clone(), word.clone());
            candidates.extend(self.by_word.get(&key).into_iter().flatten());
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
            .into_iter()
            .filter_map(|at| {
                let product = &self.products[at];
                let known = !product.vendor.is_empty() && !thing.vendor.is_empty();
                if known && product.vendor != thing.vendor {
                    return None;
                }
                let likeness = likeness(&product.words, &thing.words);
                let enough = if known {
                    likeness > Likeness::Different
                } else {
                    // Without a maker on both sides only the same, telling name counts.
                    likeness == Likeness::Same && thing.words.iter().any(|w| tells(w))
                };
                enough.then_some((product, likeness))
            })
            .collect()
    }

    pub(super) fn rows_of<'s>(
        &self,
        product: &'s Product<'a>,
    ) -> impl Iterator<Item = (&'a Vulnerability, FeedKind, &'a Affected)> + 's {
        product.rows.iter().copied()
    }
}

/// A row's product as a thing.
pub(super) fn thing(name: &Name, version: Option<&str>) -> Thing {
    Thing {
        vendor: vendor_key(&name.vendor),
        words: product_words(&name.vendor, &name.product),
        shown: if name.vendor.is_empty()
            || name
                .product
                .to_lowercase()
                .starts_with(&name.vendor.to_lowercase())
        {
            name.product.clone()
        } else {
            format!("{} {}", name.vendor, name.product).into()
        },
        version: version.filter(|v| !v.is_empty()).map(SmolStr::from),
    }
}

/// A recall's names.
#[derive(Debug)]
pub(super) struct RecallNames {
    /// Key of the recalling firm.
    pub(super) firm: SmolStr,
    words: Vec<SmolStr>,
}

impl RecallNames {
    pub(super) fn of(recall: &Recall) -> Self {
        Self {
            firm: vendor_key(&recall.firm),
            words: words(&recall.product),
        }
    }

    /// Whether the description names a model: its words side by side, one of them telling.
    pub(super) fn describes(&self, model: &[SmolStr]) -> bool {
        !model.is_empty()
            && model.iter().any(|w| tells(w))
            && self.words.windows(model.len()).any(|w| w == model)
    }
}
