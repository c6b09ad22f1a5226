//! The order that may not be wrong: permitted, recorded, forwarded, released.
//!
//! [`Recorder::submit`] takes the [`Permit`] and hands its record to the log. What comes back, [`Submitted`], can do
//! one thing: [`Submitted::forward`]. It runs the work that reaches the upstream, which needs a [`Forward`] that only
//! this module makes, and returns the work's result together with a [`Recorded`] once the record is durable. If every
//! action is safe the work runs while the disk is busy; otherwise it begins after the record is durable. Either way
//! nobody holds a byte of an answer before the record is on disk.

use std::sync::atomic::{AtomicU64, Ordering};

use audit::{Entry, HeaderWriter, Kind, Log, Pending, Unavailable};
use domain::{CanonicalRequest, RecordId, SessionId, Timestamp};
use policy::{Decision, Permit, Ruling};
use serde_json::{Map, Value};

/// A permit whose record is on its way to the disk.
#[must_use = "a permit that is not forwarded does nothing"]
pub(crate) struct Submitted {
    permit: Permit,
    pending: Pending,
}

/// A permit whose record is durable.
#[derive(Debug)]
pub struct Recorded {
    permit: Permit,
    id: RecordId,
}

impl Recorded {
    /// The place of the record in the log.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The permit.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

/// The right to send one permitted request to its upstream. Only [`Submitted::forward`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Forward<'a> {
    permit: &'a Permit,
}

impl<'a> Forward<'a> {
    /// The request as it was judged: the only source of what is sent.
    pub(crate) fn request(&self) -> &'a CanonicalRequest {
        self.permit.request()
    }
}

impl Submitted {
    /// Sends the permitted request with `work`, and returns its result once the record is durable.
    ///
    /// Safe actions overlap; anything else waits for the record first. If the log takes no record the work does not
    /// begin; if the record fails later, the work's result is dropped.
    pub(crate) async fn forward<T>(
        self,
        work: impl AsyncFnOnce(Forward<'_>) -> T,
    ) -> Result<(Recorded, T), Unavailable> {
        let Self { permit, pending } = self;
        let upgrade = permit
            .request()
            .message
            .as_ref()
            .is_some_and(|m| m.headers.contains_key(http::header::UPGRADE));
        let safe = !upgrade && permit.request().targets.iter().all(|t| t.action.is_safe());
        if !safe {
            let id = pending.await?;
            let done = work(Forward { permit: &permit }).await;
            return Ok((Recorded { permit, id }, done));
        }
        if let Some(unavailable) = pending.fault() {
            return Err(unavailable);
        }
        // The record is asked for last: by then it is durable more often than not, and a request that waits for nothing
        // needs no waking.
        let done = work(Forward { permit: &permit }).await;
        let id = pending.await?;
        Ok((Recorded { permit, id }, done))
    }

    /// Waits for the record, for what is answered by this program itself.
    pub(crate) async fn durable(self) -> Result<Recorded, Unavailable> {
        let id = self.pending.await?;
        Ok(Recorded {
            permit: self.permit,
            id,
        })
    }
}

/// Writes the gateway's records.
pub(crate) struct Recorder {
    log: Log,
    singly: Throttle,
}

impl Recorder {
    pub(crate) fn new(log: Log, refusals_per_sec: u32) -> Self {
        Self {
            log,
            singly: Throttle::new(refusals_per_sec),
        }
    }

    /// Hands the record of a permit to the log.
    pub(crate) fn submit(&self, permit: Permit) -> Submitted {
        let pending = self.decision(permit.ruling(), None);
        Submitted { permit, pending }
    }

    /// Records a decision that is no permit. Only then may it be answered.
    pub(crate) async fn refused(
        &self,
        decision: &Decision,
        about: Option<RecordId>,
    ) -> Result<RecordId, Unavailable> {
        self.decision(decision.ruling(), about).await
    }

    fn decision(&self, ruling: &Ruling, about: Option<RecordId>) -> Pending {
        self.log.append_written(
            ruling.at(),
            Kind::Decision,
            |header| write_header(ruling, about, header),
            |out| ruling.write_record(out),
        )
    }

    /// Records anything else.
    pub(crate) fn append(
        &self,
        at: Timestamp,
        kind: Kind,
        header: Map<String, Value>,
        payload: Vec<u8>,
    ) -> Pending {
        self.log.append(Entry {
            at,
            kind,
            header,
            payload,
        })
    }

    /// Records a request that was refused before anybody was known to ask. Beyond a bounded rate they are only counted,
    /// so that a flood fills neither the disk nor the queue: `Ok(None)`.
    pub(crate) async fn turned_away(
        &self,
        at: Timestamp,
        kind: Kind,
        header: impl FnOnce() -> Map<String, Value>,
    ) -> Result<Option<RecordId>, Unavailable> {
        let verdict = self.singly.admit(at);
        if let Some(missed) = verdict.missed {
            self.summarise(at, missed);
        }
        if !verdict.admitted {
            return Ok(None);
        }
        let id = self.append(at, kind, header(), Vec::new()).await?;
        Ok(Some(id))
    }

    /// Records how many refusals were counted instead of recorded, once the second they fell in is over.
    pub(crate) fn flush(&self, now: Timestamp) {
        if let Some(missed) = self.singly.settle(now) {
            self.summarise(now, missed);
        }
    }

    fn summarise(&self, at: Timestamp, missed: u64) {
        let mut header = Map::new();
        header.insert("code".to_owned(), "refusals-counted".into());
        header.insert("count".to_owned(), missed.into());
        let pending = self.append(at, Kind::Gap, header, Vec::new());
        // Nothing waits for a summary; if the log fails, its own state says so.
        drop(pending);
    }
}

/// Writes the header of one decision's record: facts without patient data, in the order of their names.
fn write_header(ruling: &Ruling, about: Option<RecordId>, header: &mut HeaderWriter<'_>) {
    let request = ruling.request();
    if let Some(about) = about {
        header.number("about", about.0);
    }
    let one = match request.targets.as_slice() {
        [] => Some(""),
        [first, rest @ ..] => rest
            .iter()
            .all(|t| t.action == first.action)
            .then_some(first.action.as_str()),
    };
    match one {
        Some(action) => header.text("action", action),
        None => {
            // A bundle may hold hundreds of entries; the payload has them all.
            let mut actions: Vec<&str> =
                request.targets.iter().map(|t| t.action.as_str()).collect();
            actions.sort_unstable();
            actions.dedup();
            header.text("action", &actions.join(" "));
        }
    }
    if !ruling.alarms().is_empty() {
        header.texts("alarms", ruling.alarms().iter().map(|a| a.as_str()));
    }
    let application = request
        .message
        .as_ref()
        .map(|m| &m.application)
        .or_else(|| {
            request
                .targets
                .iter()
                .find_map(|t| t.resource.application())
        });
    if let Some(application) = application {
        header.text("application", application.as_str());
    }
    header.text("code", ruling.reason().code.as_str());
    header.number("epoch", ruling.data_epoch());
    if !ruling.obligations().is_empty() {
        let names = ruling.obligations().iter().map(|o| o.name.as_str());
        header.texts("obligations", names);
    }
    header.text("outcome", ruling.outcome().as_str());
    header.text("policy", ruling.policy_hash());
    if let Some(session) = &request.subject.session {
        header.text("session", session.as_str());
    }
    if let Some(shadowed) = ruling.shadowed() {
        header.text("shadowed", shadowed.as_str());
    }
    if one.is_none_or(str::is_empty) {
        header.number("targets", request.targets.len() as u64);
    }
}

/// The header of a record about a session's stream.
pub(crate) fn stream_header(
    session: Option<&SessionId>,
    application: &str,
    decision: RecordId,
    what: &'static str,
) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("application".to_owned(), application.into());
    header.insert("decision".to_owned(), decision.0.into());
    header.insert("stream".to_owned(), what.into());
    if let Some(session) = session {
        header.insert("session".to_owned(), session.as_str().into());
    }
    header
}

/// Admits so many events each second and counts the rest.
struct Throttle {
    per_sec: u64,
    /// Second (upper 40 bits) and events seen in it (lower 24 bits).
    window: AtomicU64,
}

struct Admission {
    admitted: bool,
    /// Events of an earlier second that were only counted.
    missed: Option<u64>,
}

const COUNT_BITS: u32 = 24;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

impl Throttle {
    fn new(per_sec: u32) -> Self {
        Self {
            per_sec: u64::from(per_sec).min(COUNT_MAX / 2),
            window: AtomicU64::new(0),
        }
    }

    fn admit(&self, at: Timestamp) -> Admission {
        let second = second_of(at);
        let mut admitted = false;
        let before = self
            .window
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |window| {
                let (then, count) = (window >> COUNT_BITS, window & COUNT_MAX);
                // A clock that steps back keeps its window rather than opening a fresh one.
                let (then, count) = if second > then {
                    (second, 0)
                } else {
                    (then, count)
                };
                admitted = count < self.per_sec;
                Some((then << COUNT_BITS) | (count + 1).min(COUNT_MAX))
            })
            .unwrap_or_else(|same| same);
        let missed = (second > before >> COUNT_BITS)
            .then(|| (before & COUNT_MAX).saturating_sub(self.per_sec))
            .filter(|missed| *missed > 0);
        Admission { admitted, missed }
    }

    fn settle(&self, now: Timestamp) -> Option<u64> {
        let second = second_of(now);
        let before = self
            .window
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |window| {
                (second > window >> COUNT_BITS && window & COUNT_MAX > self.per_sec)
                    .then_some(second << COUNT_BITS)
            })
            .ok()?;
        Some((before & COUNT_MAX) - self.per_sec)
    }
}

fn second_of(at: Timestamp) -> u64 {
    u64::try_from(at.as_secs()).unwrap_or(0) & ((1 << (64 - COUNT_BITS)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_recorded_up_to_its_bound_and_then_counted() {
        let throttle = Throttle::new(3);
        let at = Timestamp::from_millis(1_000_000);
        let admitted = (0..10).filter(|_| throttle.admit(at).admitted).count();
        assert_eq!(admitted, 3);
        assert_eq!(throttle.settle(at), None, "the second is not over");
        let next = throttle.admit(Timestamp::from_millis(1_001_000));
        assert!(next.admitted);
        assert_eq!(next.missed, Some(7));
        assert_eq!(throttle.settle(Timestamp::from_millis(1_002_000)), None);
        (0..5).for_each(|_| {
            let _ = throttle.admit(Timestamp::from_millis(1_003_000));
        });
        assert_eq!(throttle.settle(Timestamp::from_millis(1_004_000)), Some(2));
        assert_eq!(throttle.settle(Timestamp::from_millis(1_005_000)), None);
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_new_window() {
        let throttle = Throttle::new(1);
        assert!(throttle.admit(Timestamp::from_millis(5_000)).admitted);
        assert!(!throttle.admit(Timestamp::from_millis(4_000)).admitted);
    }
}
