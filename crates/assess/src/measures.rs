//! What can be counted: named pure functions over [`Facts`], each a share of good among all.
//!
//! A measure yields a numerator and a denominator with source and date, or says what is missing. More is always better,
//! the denominator is never zero, and a figure that is too old, dated in the future or impossible counts as missing.

mod access;
mod applications;
mod network;
mod record;

use std::time::Duration;

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::facts::{Facts, Sourced};
use crate::tools::Tool;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The good ones.
    pub numerator: u64,
    /// All.
    pub denominator: u64,
    /// Where it comes from.
    pub source: SmolStr,
    /// When it was true.
    pub as_of: Timestamp,
    /// What stands out, for the report: at most a few short words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why something was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The facts hold nothing to count; the measure's `needs` says what would.
    NoData,
    /// There is data, but nothing of the kind that is counted.
    NothingToCount,
    /// The numbers contradict each other.
    Impossible,
}

/// A measure.
#[derive(Clone, Copy)]
pub struct Measure {
    /// Its stable name in criteria.
    pub name: &'static str,
    /// What is counted, of what: completes "how many …".
    pub counts: &'static str,
    /// What has to be supplied where it is missing.
    pub needs: &'static str,
    /// After how many days a figure counts as missing.
    pub fresh_days: u32,
    /// Tools that can supply it.
    pub tools: &'static [Tool],
    read: fn(&Facts) -> Result<Counted, Missing>,
}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Measure").field(&self.name).finish()
    }
}

impl Measure {
    /// The measure of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MEASURES.iter().find(|m| m.name == name)
    }

    /// Counts. The error says in words what is needed.
    ///
    /// # Errors
    /// Where there is nothing to count, or the figure is too old, dated in the future or impossible.
    pub fn count(&self, facts: &Facts) -> Result<Counted, String> {
        let counted = (self.read)(facts).map_err(|missing| match missing {
            Missing::NoData => self.needs.to_owned(),
            Missing::NothingToCount => {
                format!("{} (what is known holds nothing of the kind)", self.needs)
            }
            Missing::Impossible => format!(
                "{} (the figures supplied contradict each other)",
                self.needs
            ),
        })?;
        self.check(&counted, facts.now)?;
        Ok(counted)
    }

    /// Whether a figure may count at `now`.
    pub(crate) fn check(&self, counted: &Counted, now: Timestamp) -> Result<(), String> {
        if counted.denominator == 0 || counted.numerator > counted.denominator {
            return Err(format!(
                "{} (the figures supplied contradict each other)",
                self.needs
            ));
        }
        if counted.as_of > now.plus(Duration::from_secs(86_400)) {
            return Err(format!(
                "a date that is not in the future: {} says {}",
                counted.source,
                day(counted.as_of)
            ));
        }
        if days_between(counted.as_of, now) > u64::from(self.fresh_days) {
            return Err(format!(
                "a newer figure: {} is from {}, and after {} days it no longer counts",
                counted.source,
                day(counted.as_of),
                self.fresh_days
            ));
        }
        Ok(())
    }
}

/// The day of an instant, as `2026-11-22`.
pub fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Whole days from `earlier` to `later`; zero if it lies ahead.
pub fn days_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.since(earlier).as_secs() / 86_400
}

/// Every measure, by name.
pub const MEASURES: &[Measure] = &[
    // Devices and network.
    network::IDENTIFIED,
    network::PLACED,
    network::SOURCES_FRESH,
    network::SENSOR_COMPLETE,
    network::SUBNETS_COVERED,
    network::REGISTER_SEEN,
    network::REGISTER_LISTED,
    network::REGISTER_RIGHT,
    network::SUPPORTED,
    network::NOT_EXPLOITED,
    network::EXPOSED_NOT_EXPLOITED,
    network::NOT_RECALLED,
    network::WITH_BILL,
    network::WITH_DISCLOSURE,
    network::EDR,
    network::DISKS,
    network::BASELINE,
    network::FIXES,
    network::ENCRYPTED,
    network::CLINICAL_ENCRYPTED,
    network::UNDERSTOOD,
    network::NO_LEGACY,
    network::MEDICAL_APART,
    network::MEDICAL_OFFLINE,
    network::TIGHT,
    // People and access.
    access::MFA,
    access::PHISHING_RESISTANT,
    access::STEP_UP,
    access::ONE_PERSON,
    access::IN_PROVIDER,
    access::ADMINISTRATORS,
    access::LEAVERS_HOUR,
    access::LEAVERS_DAY,
    access::IDLE,
    access::ABSOLUTE,
    access::DEVICE_KNOWN,
    access::POSTURE,
    access::RISK,
    access::REPLAYABLE,
    access::ENFORCED,
    access::BREAK_GLASS,
    access::GRANTS_END,
    access::GRANTS_USED,
    access::GRANTS_REVIEWED,
    access::VENDORS,
    // Applications.
    applications::BROKERED,
    applications::ENFORCING,
    applications::UPSTREAM_TLS,
    applications::NOT_BYPASSED,
    applications::SINGLE_SIGN_ON,
    applications::LOGGED,
    applications::TESTED,
    applications::PIPELINE,
    applications::BACKED_UP,
    applications::RESTORED,
    applications::EMERGENCY,
    applications::MAIL,
    // Record, policy, response.
    record::VERIFIED,
    record::CHECKPOINT,
    record::WHOLE,
    record::KEPT,
    record::SOURCES,
    record::REVIEWED,
    record::AS_CODE,
    record::OWNED,
    record::SCENARIOS,
    record::REVOCATION,
    record::ISOLATION,
    record::TRAINING,
];

/// Reads a section and counts in it.
fn of<T>(
    section: &Option<Sourced<T>>,
    count: impl FnOnce(&T) -> Result<(u64, u64), Missing>,
) -> Result<Counted, Missing> {
    let section = section.as_ref().ok_or(Missing::NoData)?;
    let (numerator, denominator) = count(&section.facts)?;
    counted(numerator, denominator, &section.source, section.as_of)
}

fn counted(
    numerator: u64,
    denominator: u64,
    source: &str,
    as_of: Timestamp,
) -> Result<Counted, Missing> {
    if denominator == 0 {
        return Err(Missing::NothingToCount);
    }
    if numerator > denominator {
        return Err(Missing::Impossible);
    }
    Ok(Counted {
        numerator,
        denominator,
        source: source.into(),
        as_of,
        notes: Vec::new(),
    })
}

/// A count as `u64`.
fn n(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Both parts, if both are known.
fn both(part: Option<u64>, all: Option<u64>) -> Result<(u64, u64), Missing> {
    match (part, all) {
        (Some(part), Some(all)) => Ok((part, all)),
        _ => Err(Missing::NoData),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_one_name_and_says_what_it_needs() {
        let mut names: Vec<&str> = MEASURES.iter().map(|m| m.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        for m in MEASURES {
            assert!(
                !m.needs.is_empty()
                    && !m.counts.is_empty()
                    && !m.tools.is_empty()
                    && m.fresh_days > 0,
                "{m:?}"
            );
            assert!(!m.needs.ends_with('.') && !m.counts.ends_with('.'), "{m:?}");
        }
    }

    #[test]
    fn without_facts_nothing_is_counted() {
        let facts = Facts::new("Nowhere", Timestamp::from_millis(1_800_000_000_000));
        for m in MEASURES {
            assert!(m.count(&facts).is_err(), "{m:?}");
        }
    }
}
