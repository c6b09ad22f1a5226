//! The newest records, for the console: a bounded ring that the log feeds, and counts since the program began.
//!
//! The log's thread only copies a record into the ring; readers look at it later, at their own pace. A reader that is
//! slower than the ring misses records and is told how many; nobody ever waits for a reader.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use arc_swap::ArcSwap;
use audit::{Kind, Reader, Stored};
use domain::{Outcome, PersonId};
use parking_lot::Mutex;
use policy::Snapshot;
use tokio::sync::watch;

use crate::reading;

/// Records kept.
const SEEN_MAX: usize = 2_000;
/// A larger payload is not kept here; the page of the record reads it from the log.
const PAYLOAD_KEPT_MAX: usize = 16 * 1024;
/// Applications, units and people counted; more than that counts as `other`.
const APPLICATIONS_MAX: usize = 1_000;
const UNITS_MAX: usize = 1_000;
const PEOPLE_MAX: usize = 10_000;

/// The newest records. Clones share it.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    world: Arc<ArcSwap<Snapshot>>,
    state: Mutex<State>,
    /// How many records came in all.
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    ring: VecDeque<Arc<Stored>>,
    /// Records that ever came: the cursor after the newest.
    cursor: u64,
    tally: Tally,
}

/// What was counted, by application.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Counts by application id.
    pub applications: BTreeMap<String, Counts>,
}

/// What was counted for one application.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Decisions by outcome, in the order of [`Outcome`]; a shadowed one counts as permitted.
    pub outcomes: [u64; 4],
    /// Requests let through in shadow mode, by ward or unit of the person.
    pub stopped: BTreeMap<String, Stopped>,
}

/// Requests that would have been stopped in one unit.
#[derive(Clone, Debug, Default)]
pub struct Stopped {
    /// By what they would have been, in the order of [`Outcome`].
    pub outcomes: [u64; 4],
    people: HashSet<PersonId>,
}

impl Stopped {
    /// People concerned.
    pub fn people(&self) -> u64 {
        self.people.len() as u64
    }
}

impl Tally {
    /// Counts one record. `units` tells in which units a person works.
    pub fn note(&mut self, stored: &Stored, units: impl FnOnce(&PersonId) -> Vec<String>) {
        if stored.kind != Kind::Decision {
            return;
        }
        let Some(outcome) = reading::outcome(stored) else {
            return;
        };
        let application = reading::header_text(stored, "application").unwrap_or("console");
        let name = bounded(&self.applications, application, APPLICATIONS_MAX);
        let counts = self.applications.entry(name).or_default();
        counts.outcomes[index(outcome)] += 1;
        let Some(would) = reading::shadowed(stored) else {
            return;
        };
        let person = reading::person(stored);
        let mut names = person.as_ref().map(units).unwrap_or_default();
        if names.is_empty() {
            names.push("no unit".to_owned());
        }
        for unit in names {
            let name = bounded(&counts.stopped, &unit, UNITS_MAX);
            let stopped = counts.stopped.entry(name).or_default();
            stopped.outcomes[index(would)] += 1;
            if let Some(person) = &person
                && stopped.people.len() < PEOPLE_MAX
            {
                stopped.people.insert(person.clone());
            }
        }
    }
}

fn bounded<T>(map: &BTreeMap<String, T>, name: &str, most: usize) -> String {
    if map.len() < most || map.contains_key(name) {
        name.to_owned()
    } else {
        "other".to_owned()
    }
}

pub(crate) fn index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Permit => 0,
        Outcome::StepUp => 1,
        Outcome::BreakGlass => 2,
        Outcome::Deny => 3,
    }
}

/// Records that a reader had not seen.
pub(crate) struct Batch {
    /// Oldest first.
    pub(crate) seen: Vec<Arc<Stored>>,
    /// Where to go on.
    pub(crate) cursor: u64,
    /// Records that were gone from the ring before they could be looked at.
    pub(crate) missed: u64,
}

impl Live {
    /// An empty ring. `world` tells who works where.
    pub fn new(world: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                world,
                state: Mutex::default(),
                count: watch::Sender::new(0),
            }),
        }
    }

    /// Takes a record that has become durable. Cheap enough for the log's own thread.
    pub fn feed(&self, stored: &Stored) {
        let mut kept = Stored {
            payload: None,
            header: stored.header.clone(),
            ..*stored
        };
        if let Some(payload) = &stored.payload
            && payload.len() <= PAYLOAD_KEPT_MAX
        {
            kept.payload = Some(payload.clone());
        }
        let kept = Arc::new(kept);
        let world = self.shared.world.load();
        let count = {
            let mut state = self.shared.state.lock();
            // A record that was recalled from the folder may come again from the log.
            if state.ring.back().is_some_and(|last| last.id >= kept.id) {
                return;
            }
            state.tally.note(stored, |person| {
                world
                    .person(person)
                    .map(|p| p.units.iter().map(|u| u.as_str().to_owned()).collect())
                    .unwrap_or_default()
            });
            if state.ring.len() == SEEN_MAX {
                state.ring.pop_front();
            }
            state.ring.push_back(kept);
            state.cursor += 1;
            state.cursor
        };
        self.shared.count.send_replace(count);
    }

    /// Takes over the newest records of a log folder, to be called before the log feeds new ones.
    pub fn recall(&self, reader: &Reader) {
        let end = reader.len();
        let begin = end.saturating_sub(SEEN_MAX as u64);
        for stored in reader.records(begin..end).flatten() {
            self.feed(&stored);
        }
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.shared.state.lock().tally.clone()
    }

    /// The newest records for which `keep` holds, newest first, and where a stream goes on.
    pub(crate) fn newest(
        &self,
        most: usize,
        keep: impl Fn(&Stored) -> bool,
    ) -> (Vec<Arc<Stored>>, u64) {
        let (ring, cursor) = {
            let state = self.shared.state.lock();
            (state.ring.clone(), state.cursor)
        };
        let seen = ring.into_iter().rev().filter(|s| keep(s)).take(most);
        (seen.collect(), cursor)
    }

    /// One record, if it is still in the ring with its payload.
    pub(crate) fn get(&self, record: u64) -> Option<Arc<Stored>> {
        let state = self.shared.state.lock();
        let at = state.ring.binary_search_by_key(&record, |s| s.id.0).ok()?;
        state.ring.get(at).filter(|s| s.payload.is_some()).cloned()
    }

    /// What came after `cursor`.
    pub(crate) fn since(&self, cursor: u64) -> Batch {
        let state = self.shared.state.lock();
        let held = state.ring.len() as u64;
        let news = state.cursor.saturating_sub(cursor);
        let take = news.min(held);
        // Both fit: the ring holds at most `SEEN_MAX`.
        let skip = usize::try_from(held - take).unwrap_or(usize::MAX);
        Batch {
            seen: state.ring.iter().skip(skip).cloned().collect(),
            cursor: state.cursor,
            missed: news - take,
        }
    }

    /// Tells when more has come.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.shared.count.subscribe()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use domain::{Person, RecordId, Timestamp};
    use policy::PolicyPack;
    use serde_json::{Map, Value, json};

    use super::*;

    fn live() -> Live {
        let mut world = Snapshot::new(PolicyPack::hospital());
        let person: Person = serde_json::from_value(json!({
            "id": "s-1", "units": ["ward-3"], "roles": ["nurse"]
        }))
        .expect("a person");
        world.set_person(person);
        Live::new(Arc::new(ArcSwap::from_pointee(world)))
    }

    fn decision(id: u64, header: Value, payload: Vec<u8>) -> Stored {
        let Value::Object(header) = header else {
            unreachable!("tests give objects")
        };
        Stored {
            id: RecordId(id),
            at: Timestamp::from_millis(0),
            kind: Kind::Decision,
            header: header as Map<String, Value>,
            payload: Some(payload),
        }
    }

    #[test]
    fn the_ring_is_bounded_and_a_slow_reader_learns_what_it_missed() {
        let live = live();
        let total = SEEN_MAX as u64 + 500;
        for id in 0..total {
            live.feed(&decision(id, json!({ "outcome": "permit" }), Vec::new()));
        }
        let batch = live.since(100);
        assert_eq!(batch.seen.len(), SEEN_MAX);
        assert_eq!(batch.missed, 400);
        assert_eq!(batch.cursor, total);
        assert_eq!(live.since(batch.cursor).seen.len(), 0);
        assert_eq!(live.since(total - 3).seen.len(), 3);
        assert!(live.get(0).is_none(), "it left the ring");
        assert_eq!(live.get(total - 1).expect("newest").id.0, total - 1);
        let (newest, _) = live.newest(2, |_| true);
        assert_eq!(newest[0].id.0, total - 1);
        // A cursor from before a restart lies ahead of everything.
        assert_eq!(live.since(u64::MAX).seen.len(), 0);
    }

    #[test]
    fn a_record_that_comes_twice_counts_once_and_a_big_payload_is_not_kept() {
        let live = live();
        let big = decision(
            7,
            json!({ "outcome": "deny", "application": "fhir" }),
            vec![b' '; PAYLOAD_KEPT_MAX + 1],
        );
        live.feed(&big);
        live.feed(&big);
        assert_eq!(live.tally().applications["fhir"].outcomes, [0, 0, 0, 1]);
        assert!(live.get(7).is_none());
        assert_eq!(live.since(0).seen.len(), 1);
    }

    #[test]
    fn who_would_have_been_stopped_is_counted_by_ward() {
        let live = live();
        let shadowed = json!({ "outcome": "permit", "application": "chart", "shadowed": "deny" });
        let by = |who: &str| {
            json!({ "subject": { "person": who } })
                .to_string()
                .into_bytes()
        };
        live.feed(&decision(1, shadowed.clone(), by("s-1")));
        live.feed(&decision(2, shadowed.clone(), by("s-1")));
        live.feed(&decision(3, shadowed, by("unknown")));
        let counts = &live.tally().applications["chart"];
        assert_eq!(counts.outcomes, [3, 0, 0, 0]);
        assert_eq!(counts.stopped["ward-3"].outcomes, [0, 0, 0, 2]);
        assert_eq!(counts.stopped["ward-3"].people(), 1);
        assert_eq!(counts.stopped["no unit"].people(), 1);
    }
}
