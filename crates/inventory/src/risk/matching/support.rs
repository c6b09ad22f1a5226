//! Systems that get no more fixes.

use domain::{RiskFact, Timestamp};
use smol_str::SmolStr;

use super::sentence::day;
use crate::risk::names::words;
use crate::risk::row::EndOfSupport;
use crate::risk::subject::Subject;

/// The table, by words.
#[derive(Debug, Default)]
pub(super) struct Ends<'a> {
    rows: Vec<(&'a EndOfSupport, &'a str, Vec<Vec<SmolStr>>)>,
}

impl<'a> Ends<'a> {
    pub(super) fn add(&mut self, row: &'a EndOfSupport, feed: &'a str) {
        let names = std::iter::once(&row.product)
            .chain(&row.also)
            .map(|n| words(n))
            .filter(|n| !n.is_empty())
            .collect();
        self.rows.push((row, feed, names));
    }

    /// Whether the device's system gets no more fixes at `now`.
    pub(super) fn of(&self, subject: &Subject, now: Timestamp) -> Option<RiskFact> {
        let mut named = false;
        let mut best: Option<(usize, &EndOfSupport, f32, &SmolStr)> = None;
        for system in &subject.systems {
            let device = words(&system.shown);
            for (row, _, names) in &self.rows {
                let Some(length) = names
                    .iter()
                    .filter(|n| begins(n, &device))
                    .map(Vec::len)
                    .max()
                else {
                    continue;
                };
                named = true;
                let mut confidence = if row.unless.is_empty() { 0.9 } else { 0.7 };
                // The device's own words name the exception.
                let own = words(&row.product);
                if words(&row.unless)
                    .iter()
                    .any(|w| w.len() >= 4 && device.contains(w) && !own.contains(w))
                {
                    confidence = 0.3;
                }
                // The longest name is the most exact; of two equally long the later date speaks.
                let better = best.is_none_or(|(l, b, _, _)| (length, row.ends) > (l, b.ends));
                if better {
                    best = Some((length, row, confidence, &system.shown));
                }
            }
        }
        if let Some((_, row, confidence, shown)) = best {
            return (row.ends < now).then(|| fact(row, shown, confidence));
        }
        if named {
            return None;
        }
        // Only a build: it may belong to several editions, and the one that lasts longest decides.
        let last = subject
            .builds
            .iter()
            .flat_map(|build| {
                self.rows
                    .iter()
                    .filter(move |(row, _, _)| row.builds.iter().any(|b| same_build(b, build)))
                    .map(move |(row, _, _)| (*row, build))
            })
            .max_by_key(|(row, _)| row.ends)?;
        let (row, build) = last;
        let shown: SmolStr = format!("Windows build {build}").into();
        (row.ends < now).then(|| fact(row, &shown, 0.8))
    }
}

fn same_build(row: &str, device: &str) -> bool {
    device
        .strip_prefix(row)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a table's name stands in a device's: words in order, passing over words but never over a number, so that
/// `Debian 7` is not found in `Debian 11.7`.
fn begins(name: &[SmolStr], device: &[SmolStr]) -> bool {
    let numeric = |w: &SmolStr| w.bytes().all(|b| b.is_ascii_digit());
    let mut rest = device.iter();
    for wanted in name {
        loop {
            match rest.next() {
                None => return false,
                Some(word) if word == wanted => break,
                Some(word) if numeric(word) => return false,
                Some(_) => {}
            }
        }
    }
    true
}

fn fact(row: &EndOfSupport, shown: &str, confidence: f32) -> RiskFact {
    let unless = if row.unless.is_empty() {
        String::new()
    } else {
        format!(", unless {}", row.unless)
    };
    RiskFact {
        id: SmolStr::new_static("end-of-support"),
        feed: SmolStr::new_static("end-of-support"),
        says: format!(
            "{shown} has had no security fixes since {}{unless} ({})",
            day(row.ends),
            row.source
        )
        .into(),
        exploited: false,
        confidence,
        published: Some(row.ends),
    }
}
