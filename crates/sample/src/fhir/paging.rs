//! The rest of a long answer, kept for a while under an opaque token.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use domain::Timestamp;
use smol_str::SmolStr;

use super::query::Shape;
use super::store::Key;

/// Answers kept at once.
const ANSWERS_MAX: usize = 256;
/// Entries kept over all answers.
const ENTRIES_MAX: usize = 300_000;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);

/// What remains of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    /// Matches, all of them, in order; a version where a history is read.
    pub(crate) keys: std::sync::Arc<[(Key, Option<u32>)]>,
    /// Where the next page begins.
    pub(crate) offset: usize,
    /// How pages are to look.
    pub(crate) shape: std::sync::Arc<Shape>,
}

/// Rests of answers, the oldest first. Bounded in number, size and time.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    rests: HashMap<SmolStr, (Timestamp, Rest)>,
    order: VecDeque<SmolStr>,
    entries: usize,
}

impl Pages {
    /// Keeps `rest` and returns its token, unless it is too large or no token can be made.
    pub(crate) fn keep(&mut self, rest: Rest, now: Timestamp) -> Option<SmolStr> {
        let size = rest.keys.len();
        if size > ENTRIES_MAX {
            return None;
        }
        while self.order.len() >= ANSWERS_MAX || self.entries + size > ENTRIES_MAX {
            let oldest = self.order.pop_front()?;
            self.forget(&oldest);
        }
        while let Some(oldest) = self.order.front().cloned() {
            let stale = self
                .rests
                .get(&oldest)
                .is_none_or(|(at, _)| now.since(*at) > KEPT);
            if !stale {
                break;
            }
            self.order.pop_front();
            self.forget(&oldest);
        }
        let mut random = [0_u8; 18];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        let token = SmolStr::from(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random));
        self.entries += size;
        self.order.push_back(token.clone());
        self.rests.insert(token.clone(), (now, rest));
        Some(token)
    }

    /// What a token stands for. It may be asked for again, as browsers do.
    pub(crate) fn get(&self, token: &str, now: Timestamp) -> Option<Rest> {
        let (at, rest) = self.rests.get(token)?;
        (now.since(*at) <= KEPT).then(|| rest.clone())
    }

    fn forget(&mut self, token: &str) {
        if let Some((_, rest)) = self.rests.remove(token) {
            self.entries -= rest.keys.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(entries: usize) -> Rest {
        Rest {
            keys: vec![(("Patient", SmolStr::from("1")), None); entries].into(),
            offset: 1,
            shape: std::sync::Arc::new(Shape::default()),
        }
    }

    #[test]
    fn tokens_are_bounded_and_expire() {
        let now = Timestamp::from_millis(0);
        let mut pages = Pages::default();
        let first = pages.keep(rest(10), now).expect("kept");
        assert_eq!(pages.get(&first, now).map(|r| r.offset), Some(1));
        assert!(pages.get("guess", now).is_none());
        for _ in 0..ANSWERS_MAX {
            pages.keep(rest(10), now).expect("kept");
        }
        assert!(pages.get(&first, now).is_none(), "the oldest made room");
        assert_eq!(pages.entries, ANSWERS_MAX * 10);
        let big = pages.keep(rest(ENTRIES_MAX), now).expect("kept alone");
        assert_eq!((pages.rests.len(), pages.order.len()), (1, 1));
        let later = now.plus(KEPT).plus(Duration::from_millis(1));
        assert!(pages.get(&big, later).is_none());
        pages.keep(rest(1), later).expect("kept");
        assert_eq!(pages.entries, 1, "what expired is forgotten");
        assert!(pages.keep(rest(ENTRIES_MAX + 1), later).is_none());
    }
}
