//! The newest records, for the console: a bounded ring that the log feeds, and counts since the program began.
//!
//! The log's thread glances at a record to count it and copies it into the ring; it is read whole when somebody looks at
//! it. A reader that is slower than the ring misses records and is told how many; nobody ever waits for a reader.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use audit::{Fresh, Kind, Reader, Stored};
use domain::{Outcome, PersonId, RecordId};
use parking_lot::Mutex;
use policy::Snapshot;
use serde::Deserialize;
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
    ring: VecDeque<Arc<Seen>>,
    /// Records that ever came: the cursor after the newest.
    cursor: u64,
    tally: Tally,
}

/// A record in the ring, read when somebody first looks at it.
struct Seen {
    id: RecordId,
    /// Leaf, then payload; empty if it came read.
    bytes: Box<[u8]>,
    leaf_len: usize,
    read: OnceLock<Option<Arc<Stored>>>,
}

impl Seen {
    fn fresh(fresh: &Fresh<'_>) -> Self {
        let payload = if fresh.payload.len() <= PAYLOAD_KEPT_MAX {
            fresh.payload
        } else {
            &[]
        };
        Self {
            id: fresh.id,
            bytes: [fresh.leaf, payload].concat().into_boxed_slice(),
            leaf_len: fresh.leaf.len(),
            read: OnceLock::new(),
        }
    }

    fn read(stored: &Stored) -> Self {
        let kept = Stored {
            payload: stored
                .payload
                .as_ref()
                .filter(|p| p.len() <= PAYLOAD_KEPT_MAX)
                .cloned(),
            header: stored.header.clone(),
            ..*stored
        };
        Self {
            id: stored.id,
            bytes: Box::default(),
            leaf_len: 0,
            read: OnceLock::from(Some(Arc::new(kept))),
        }
    }

    fn stored(&self) -> Option<Arc<Stored>> {
        let read = || {
            let (leaf, payload) = self.bytes.split_at_checked(self.leaf_len)?;
            let fresh = Fresh {
                id: self.id,
                leaf,
                payload,
            };
            let mut stored = fresh.stored()?;
            // Records that are looked at have one; an empty one was too large to be kept.
            stored.payload.take_if(|p| p.is_empty());
            Some(Arc::new(stored))
        };
        self.read.get_or_init(read).clone()
    }
}

/// What is counted of a record: the few members of its leaf that this takes.
#[derive(Deserialize)]
struct Glance<'a> {
    kind: Kind,
    #[serde(borrow)]
    header: GlanceHeader<'a>,
}

#[derive(Deserialize)]
struct GlanceHeader<'a> {
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default, borrow)]
    application: Option<Cow<'a, str>>,
    #[serde(default)]
    shadowed: Option<Outcome>,
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
    /// Counts one decision. `person` tells whose it was, `units` in which units a person works.
    fn note(
        &mut self,
        header: &GlanceHeader<'_>,
        person: impl FnOnce() -> Option<PersonId>,
        units: impl FnOnce(&PersonId) -> Vec<String>,
    ) {
        let Some(outcome) = header.outcome else {
            return;
        };
        let application = header.application.as_deref().unwrap_or("console");
        let counts = match self.applications.get_mut(application) {
            Some(counts) => counts,
            None => {
                let name = bounded(&self.applications, application, APPLICATIONS_MAX);
                self.applications.entry(name).or_default()
            }
        };
        counts.outcomes[index(outcome)] += 1;
        let Some(would) = header.shadowed else {
            return;
        };
        let person = person();
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
    pub fn feed(&self, fresh: &Fresh<'_>) {
        let glance: Option<Glance<'_>> = serde_json::from_slice(fresh.leaf).ok();
        let decision = glance.filter(|glance| glance.kind == Kind::Decision);
        self.enter(
            Seen::fresh(fresh),
            decision.map(|glance| glance.header),
            || fresh.stored().as_ref().and_then(reading::person),
        );
    }

    /// Takes over the newest records of a log folder, to be called before the log feeds new ones.
    pub fn recall(&self, reader: &Reader) {
        let end = reader.len();
        let begin = end.saturating_sub(SEEN_MAX as u64);
        for stored in reader.records(begin..end).flatten() {
            self.take_over(&stored);
        }
    }

    fn take_over(&self, stored: &Stored) {
        let decision = (stored.kind == Kind::Decision).then(|| GlanceHeader {
            outcome: reading::outcome(stored),
            application: reading::header_text(stored, "application").map(Cow::Borrowed),
            shadowed: reading::shadowed(stored),
        });
        self.enter(Seen::read(stored), decision, || reading::person(stored));
    }

    fn enter(
        &self,
        seen: Seen,
        decision: Option<GlanceHeader<'_>>,
        person: impl FnOnce() -> Option<PersonId>,
    ) {
        let world = self.shared.world.load();
        let count = {
            let mut state = self.shared.state.lock();
            // A record that was recalled from the folder may come again from the log.
            if state.ring.back().is_some_and(|last| last.id >= seen.id) {
                return;
            }
            if let Some(header) = decision {
                state.tally.note(&header, person, |person| {
                    world
                        .person(person)
                        .map(|p| p.units.iter().map(|u| u.as_str().to_owned()).collect())
                        .unwrap_or_default()
                });
            }
            if state.ring.len() == SEEN_MAX {
                state.ring.pop_front();
            }
            state.ring.push_back(Arc::new(seen));
            state.cursor += 1;
            state.cursor
        };
        self.shared.count.send_replace(count);
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
        let seen = ring.iter().rev().filter_map(|seen| seen.stored());
        (seen.filter(|s| keep(s)).take(most).collect(), cursor)
    }

    /// One record, if it is still in the ring with its payload.
    pub(crate) fn get(&self, record: u64) -> Option<Arc<Stored>> {
        let seen = {
            let state = self.shared.state.lock();
            let at = state.ring.binary_search_by_key(&record, |s| s.id.0).ok()?;
            state.ring.get(at).cloned()?
        };
        seen.stored().filter(|s| s.payload.is_some())
    }

    /// What came after `cursor`.
    pub(crate) fn since(&self, cursor: u64) -> Batch {
        let state = self.shared.state.lock();
        let held = state.ring.len() as u64;
        let news = state.cursor.saturating_sub(cursor);
        let take = news.min(held);
        // Both fit: the ring holds at most `SEEN_MAX`.
        let skip = usize::try_from(held - take).unwrap_or(usize::MAX);
        let cursor = state.cursor;
        let seen: Vec<Arc<Seen>> = state.ring.iter().skip(skip).cloned().collect();
        drop(state);
        Batch {
            seen: seen.iter().filter_map(|seen| seen.stored()).collect(),
            cursor,
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
            live.take_over(&decision(id, json!({ "outcome": "permit" }), Vec::new()));
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
        live.take_over(&big);
        live.take_over(&big);
        assert_eq!(live.tally().applications["fhir"].outcomes, [0, 0, 0, 1]);
        assert!(live.get(7).is_none());
        assert_eq!(live.since(0).seen.len(), 1);
    }

    #[test]
    fn a_fresh_record_is_counted_at_a_glance_and_read_when_it_is_looked_at() {
        let live = live();
        let leaf = json!({
            "v": 1, "kind": "decision", "at": "2026-11-22T08:30:00.250Z",
            "header": { "application": "chart", "outcome": "permit", "shadowed": "deny", "epoch": 7 },
            "commitment": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        })
        .to_string();
        let payload = json!({ "subject": { "person": "s-1" } }).to_string();
        for (id, payload) in [(1, payload), (2, " ".repeat(PAYLOAD_KEPT_MAX + 1))] {
            live.feed(&Fresh {
                id: RecordId(id),
                leaf: leaf.as_bytes(),
                payload: payload.as_bytes(),
            });
        }
        let counts = &live.tally().applications["chart"];
        assert_eq!(counts.outcomes, [2, 0, 0, 0]);
        assert_eq!(counts.stopped["ward-3"].people(), 1);
        let read = live.get(1).expect("kept");
        assert_eq!(reading::person(&read), Some(PersonId::from("s-1")));
        assert!(live.get(2).is_none(), "too large to be kept");
        assert_eq!(live.since(0).seen.len(), 2);
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
        live.take_over(&decision(1, shadowed.clone(), by("s-1")));
        live.take_over(&decision(2, shadowed.clone(), by("s-1")));
        live.take_over(&decision(3, shadowed, by("unknown")));
        let counts = &live.tally().applications["chart"];
        assert_eq!(counts.outcomes, [3, 0, 0, 0]);
        assert_eq!(counts.stopped["ward-3"].outcomes, [0, 0, 0, 2]);
        assert_eq!(counts.stopped["ward-3"].people(), 1);
        assert_eq!(counts.stopped["no unit"].people(), 1);
    }
}
