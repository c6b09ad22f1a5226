//! Where the time of a request goes: one request in sixty-four is measured, so that it can stay on.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

/// The stages of a request's road.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bringing the request into canonical form.
    Canonicalise,
    /// Finding the session.
    Session,
    /// Finding out what is asked for.
    Classify,
    /// The policy decision.
    Decide,
    /// Making the record and handing it to the log.
    Record,
    /// The upstream's answer and the record's durability, whichever is later.
    Upstream,
    /// Judging or filtering the response.
    Filter,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] = [
        Self::Canonicalise,
        Self::Session,
        Self::Classify,
        Self::Decide,
        Self::Record,
        Self::Upstream,
        Self::Filter,
    ];

    /// The stage's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canonicalise => "canonicalise",
            Self::Session => "session",
            Self::Classify => "classify",
            Self::Decide => "decide",
            Self::Record => "record",
            Self::Upstream => "upstream",
            Self::Filter => "filter",
        }
    }
}

/// What was measured of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageReport {
    /// The stage.
    pub stage: Stage,
    /// Requests measured.
    pub samples: u64,
    /// Mean duration in microseconds.
    pub mean_us: f64,
}

#[derive(Default)]
struct Sum {
    samples: AtomicU64,
    nanos: AtomicU64,
}

/// Sums over the measured requests.
#[derive(Default)]
pub(crate) struct Stages {
    sums: [Sum; Stage::ALL.len()],
}

const SAMPLE_EVERY: u32 = 64;

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

impl Stages {
    /// Begins a request; it is measured if its turn has come.
    pub(crate) fn start(&self) -> Lap<'_> {
        let measured = SEEN.with(|seen| {
            let n = seen.get().wrapping_add(1);
            seen.set(n);
            n.is_multiple_of(SAMPLE_EVERY)
        });
        Lap {
            stages: self,
            last: measured.then(Instant::now),
        }
    }

    pub(crate) fn report(&self) -> Vec<StageReport> {
        Stage::ALL
            .into_iter()
            .zip(&self.sums)
            .map(|(stage, sum)| {
                let samples = sum.samples.load(Ordering::Relaxed);
                let nanos = sum.nanos.load(Ordering::Relaxed);
                StageReport {
                    stage,
                    samples,
                    mean_us: nanos as f64 / 1000.0 / samples.max(1) as f64,
                }
            })
            .collect()
    }
}

/// One request's stopwatch.
pub(crate) struct Lap<'a> {
    stages: &'a Stages,
    last: Option<Instant>,
}

impl Lap<'_> {
    /// The stage that just ended.
    pub(crate) fn mark(&mut self, stage: Stage) {
        if let Some(last) = &mut self.last {
            let now = Instant::now();
            let nanos = u64::try_from(now.duration_since(*last).as_nanos()).unwrap_or(u64::MAX);
            *last = now;
            if let Some(sum) = self.stages.sums.get(stage as usize) {
                sum.samples.fetch_add(1, Ordering::Relaxed);
                sum.nanos.fetch_add(nanos, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_sixty_four_is_measured() {
        let stages = Stages::default();
        for _ in 0..640 {
            stages.start().mark(Stage::Decide);
        }
        let report = stages.report();
        let decide = report
            .iter()
            .find(|r| r.stage == Stage::Decide)
            .expect("every stage is reported");
        assert_eq!(decide.samples, 10);
    }
}
