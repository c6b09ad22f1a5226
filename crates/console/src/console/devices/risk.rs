//! Known risks in words: what to do about one, and which list says so.

use domain::{RiskFact, Timestamp};

use crate::estate::FeedState;

/// Below this confidence a risk is a reason to look, not to act.
const DOUBTFUL: f32 = 0.5;

/// What to do about a risk, in one or two sentences. No list of the kinds that are read says more than this for sure.
pub(super) fn advice(risk: &RiskFact) -> String {
    let from = |feed: &str| risk.feed.split(", ").any(|f| f == feed);
    let act = if is_end(risk) {
        "No fixes will come: plan its replacement, and until then let it reach only what it needs."
    } else if from("recalls") {
        "Compare the serial and lot numbers with the notice; clinical engineering decides whether it may stay in use."
    } else if risk.exploited {
        "Attackers use this now: get the maker's fix in, and until then let only what it needs reach it."
    } else if from("csaf") {
        "The maker's advisory names the version that mends it: plan it with clinical engineering."
    } else {
        "Ask the maker which version mends it; until it is in, let only what it needs reach it."
    };
    if risk.confidence < DOUBTFUL {
        format!("Look at model and version on the device first. {act}")
    } else {
        act.to_owned()
    }
}

/// Whether the risk is that its system gets no more fixes.
pub(super) fn is_end(risk: &RiskFact) -> bool {
    risk.id == "end-of-support"
}

/// Where a risk is from: the lists, of when the oldest is, and whether one is out of date.
pub(super) fn provenance(risk: &RiskFact, feeds: &[FeedState]) -> Provenance {
    let mut found = Provenance {
        words: Vec::new(),
        as_of: None,
        stale: false,
    };
    for kind in risk.feed.split(", ") {
        let of_kind = || feeds.iter().filter(|f| f.kind == kind);
        match of_kind().next() {
            Some(feed) => found.words.push(feed.words.clone()),
            None => found.words.push(kind.to_owned()),
        }
        for feed in of_kind() {
            found.as_of = Some(found.as_of.map_or(feed.as_of, |at| at.min(feed.as_of)));
            found.stale |= feed.stale;
        }
    }
    found
}

/// See [`provenance`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provenance {
    pub(super) words: Vec<String>,
    pub(super) as_of: Option<Timestamp>,
    pub(super) stale: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(id: &str, feed: &str, exploited: bool, confidence: f32) -> RiskFact {
        RiskFact {
            id: id.into(),
            feed: feed.into(),
            says: "a sentence".into(),
            exploited,
            confidence,
            published: None,
        }
    }

    #[test]
    fn advice_follows_what_the_risk_is() {
        for (risk, word) in [
            (
                risk("end-of-support", "end-of-support", false, 0.9),
                "replacement",
            ),
            (risk("Z-1", "recalls", false, 0.9), "serial"),
            (risk("CVE-1", "kev, nvd", true, 0.9), "Attackers"),
            (risk("CVE-1", "csaf", false, 0.9), "advisory"),
            (risk("CVE-1", "nvd", false, 0.9), "Ask the maker"),
        ] {
            let told = advice(&risk);
            assert!(told.contains(word), "{told}");
            assert!(!told.starts_with("Look at"), "{told}");
        }
        assert!(advice(&risk("CVE-1", "nvd", true, 0.4)).starts_with("Look at"));
    }

    #[test]
    fn several_lists_are_as_fresh_as_the_oldest() {
        let feed = |kind: &str, at: i64, stale: bool| FeedState {
            kind: kind.to_owned(),
            words: kind.to_uppercase(),
            name: "file".to_owned(),
            as_of: Timestamp::from_millis(at),
            stale,
            rows: 1,
        };
        let feeds = [
            feed("kev", 5, false),
            feed("nvd", 3, true),
            feed("csaf", 1, true),
        ];
        let found = provenance(&risk("CVE-1", "kev, nvd", true, 0.9), &feeds);
        assert_eq!(found.words, ["KEV", "NVD"]);
        assert_eq!(found.as_of, Some(Timestamp::from_millis(3)));
        assert!(found.stale);
        let fresh = provenance(&risk("CVE-1", "kev", true, 0.9), &feeds);
        assert!(!fresh.stale);
    }
}
