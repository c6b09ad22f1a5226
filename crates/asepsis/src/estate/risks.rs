//! Known risks of devices, on a thread of its own: the lists are indexed once and asked as often as devices change.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use arc_swap::ArcSwap;
use console::estate::{FeedState, Risks as Shown};
use domain::{DeviceProfile, Timestamp};
use inventory::risk::{Document, Feed, FeedKind, Feeds, Matched, Matcher};
use smol_str::SmolStr;

/// How long somebody waits for an answer; while a list of hundreds of thousands of rows is read it may take longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something for the thread to do.
enum Job {
    /// Say what the lists say of these devices.
    Match {
        profiles: Vec<DeviceProfile>,
        now: Timestamp,
        answer: SyncSender<Vec<Matched>>,
    },
    /// Use these lists too.
    Add(Vec<Feed>),
}

/// A list without its rows.
#[derive(Clone, Debug)]
struct Listing {
    kind: FeedKind,
    name: SmolStr,
    as_of: Timestamp,
    rows: u64,
}

/// The thread that matches. It ends when this goes.
#[derive(Debug)]
pub(super) struct Risks {
    jobs: Sender<Job>,
    listings: Arc<ArcSwap<Vec<Listing>>>,
}

impl Risks {
    /// Starts the thread, which reads the lists first.
    pub(super) fn begin(load: impl FnOnce() -> Feeds + Send + 'static) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel();
        let listings: Arc<ArcSwap<Vec<Listing>>> = Arc::default();
        let told = Arc::clone(&listings);
        std::thread::Builder::new()
            .name("known-risks".to_owned())
            .spawn(move || work(load(), &todo, &told))?;
        Ok(Self { jobs, listings })
    }

    /// What the lists say of each of these devices; none while they are being read.
    pub(super) fn of(&self, profiles: Vec<DeviceProfile>, now: Timestamp) -> Option<Vec<Matched>> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job = Job::Match {
            profiles,
            now,
            answer,
        };
        self.jobs.send(job).ok()?;
        answered.recv_timeout(PATIENCE).ok()
    }

    /// Uses further lists; one of the same kind and name is replaced.
    pub(super) fn add(&self, feeds: Vec<Feed>) {
        // The thread ends only when this value does, or by a fault that was told when it happened.
        let _ = self.jobs.send(Job::Add(feeds));
    }

    /// The lists in use.
    pub(super) fn feeds(&self, now: Timestamp) -> Vec<FeedState> {
        let state = |listing: &Listing| {
            let days = now.since(listing.as_of).as_secs() / 86_400;
            FeedState {
                kind: listing.kind.as_str().to_owned(),
                words: listing.kind.words().to_owned(),
                name: listing.name.to_string(),
                as_of: listing.as_of,
                stale: listing
                    .kind
                    .stale_days()
                    .is_some_and(|most| days > u64::from(most)),
                rows: listing.rows,
            }
        };
        self.listings.load().iter().map(state).collect()
    }
}

fn work(mut feeds: Feeds, todo: &Receiver<Job>, listings: &ArcSwap<Vec<Listing>>) {
    loop {
        let listed = feeds.iter().map(|feed| Listing {
            kind: feed.import.kind,
            name: feed.import.name.clone(),
            as_of: feed.import.published.unwrap_or(feed.imported),
            rows: feed.import.counts.kept,
        });
        listings.store(Arc::new(listed.collect()));
        let Some(more) = serve(&feeds.matcher(), todo) else {
            return;
        };
        for feed in more {
            feeds.add(feed.import, feed.imported);
        }
    }
}

/// Answers until there are further lists, or nobody is left to ask.
fn serve(matcher: &Matcher<'_>, todo: &Receiver<Job>) -> Option<Vec<Feed>> {
    for job in todo {
        match job {
            Job::Add(feeds) => return Some(feeds),
            Job::Match {
                profiles,
                now,
                answer,
            } => {
                let matched = profiles.iter().map(|p| matcher.of(p, now)).collect();
                // Whoever asked may have lost patience.
                let _ = answer.send(matched);
            }
        }
    }
    None
}

/// What the lists say of a device, in the console's words.
pub(super) fn shown(matched: Matched) -> Shown {
    Shown {
        facts: matched.risks,
        more: matched.more,
        undecided: matched.undecided.rows,
        undecided_exploited: matched.undecided.exploited,
        example: matched.undecided.example.map(|e| e.to_string()),
        documents: matched.documents.iter().map(document).collect(),
    }
}

fn document(document: &Document) -> String {
    let version = match (document.version.as_str(), document.version_agrees) {
        ("", _) => String::new(),
        (version, Some(true)) => format!(" {version}, the version that runs here"),
        (version, Some(false)) => format!(" {version}, not the version that runs here"),
        (version, None) => format!(" {version}, which may not be the version that runs here"),
    };
    let answers = match document.answered_no {
        0 => String::new(),
        1 => "; one question answered with no".to_owned(),
        n => format!("; {n} questions answered with no"),
    };
    format!(
        "{} for {}{version}{answers} ({})",
        document.kind.words(),
        document.product,
        document.feed
    )
}

#[cfg(test)]
mod tests {
    use domain::{Criticality, DeviceId};

    use super::*;

    fn device(os: &str) -> DeviceProfile {
        DeviceProfile {
            id: DeviceId::from("mac-020000000001"),
            macs: Vec::new(),
            addresses: Vec::new(),
            names: Vec::new(),
            category: None,
            kind: None,
            vendor: None,
            model: None,
            os: Some(os.into()),
            confidence: 1.0,
            abstained: false,
            contradictory: false,
            criticality: Criticality::LifeCritical,
            evidence: Vec::new(),
            first_seen: Timestamp::from_millis(0),
            last_seen: Timestamp::from_millis(0),
            unit: None,
            segment: None,
            behind: None,
            assets: Vec::new(),
            risks: Vec::new(),
        }
    }

    #[test]
    fn a_list_that_comes_later_is_asked_from_then_on() {
        let now = Timestamp::parse("2026-11-22").expect("a day");
        let risks = Risks::begin(Feeds::new).expect("a thread");
        let old = || vec![device("Windows 7"), device("Windows 11")];
        let none = risks.of(old(), now).expect("no lists to read");
        assert!(none.iter().all(|m| m.risks.is_empty()));
        assert!(risks.feeds(now).is_empty());
        risks.add(Feeds::shipped().iter().cloned().collect());
        let found = risks.of(old(), now).expect("a small list");
        assert_eq!(found[0].risks[0].id, "end-of-support");
        assert!(found[1].risks.is_empty());
        let feeds = risks.feeds(now);
        assert_eq!(feeds.len(), 1);
        assert!(!feeds[0].stale);
        let later = Timestamp::parse("2028-11-22").expect("a day");
        assert!(risks.feeds(later)[0].stale);
    }
}
