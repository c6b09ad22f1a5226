//! What holds for any hospital.

mod common;

use assess::facts::*;
use assess::{Attestations, Criteria, Facts, Status, assess};
use common::{ATTESTATIONS, facts, now, sourced};
use proptest::prelude::*;

/// Shares of good among all, one for each thing that can be counted, in a fixed order.
const SHARES: usize = 30;

/// A hospital with the given shares in percent.
fn hospital(shares: &[u64; SHARES], present: u32) -> Facts {
    let mut f = Facts::new("Any", now());
    let has = |bit: u32| present & (1 << bit) != 0;
    let s = |n: usize| shares[n].min(100);
    let day = "2026-11-22";
    if has(0) {
        let (second, strong) = (s(0), s(1));
        f.sign_ins = Some(sourced(
            "log",
            day,
            SignIns {
                total: 200,
                second_factor: second,
                phishing_resistant: strong,
                stepped_up: Some(Part { of: s(2), all: 100 }),
            },
        ));
    }
    if has(1) {
        f.accounts = Some(sourced(
            "directory",
            day,
            Accounts {
                total: 100,
                one_person: s(3),
                in_provider: Some(s(4)),
                administrators: Some(100),
                administrators_separate: Some(s(5)),
                leavers: Some(100),
                leavers_within_hour: Some(s(6)),
                leavers_within_day: Some(s(7)),
            },
        ));
    }
    if has(2) {
        f.sessions = Some(sourced(
            "configuration",
            day,
            Sessions {
                idle_secs: 3_600 - 30 * s(8),
                absolute_secs: 86_400 - 500 * s(8),
            },
        ));
    }
    if has(3) {
        f.decisions = Some(sourced(
            "log",
            day,
            Decisions {
                total: 100,
                with_device: s(9),
                with_posture: s(10),
                with_risk: s(11),
                replayable: s(12),
                enforced: s(13),
                break_glass: 100,
                break_glass_reviewed: s(14),
            },
        ));
    }
    if has(4) {
        f.grants = Some(sourced(
            "console",
            day,
            Grants {
                total: 100,
                with_end: s(15),
                used: Some(s(16)),
                reviewed: Some(s(17)),
                vendor_sessions: Some(100),
                vendor_sessions_in_window: Some(s(18)),
            },
        ));
    }
    if has(5) {
        f.register = Some(sourced(
            "register",
            day,
            Register {
                rows: 100,
                rows_seen: 100,
                devices: 100,
                devices_listed: s(19),
                rows_right: s(20),
            },
        ));
    }
    if has(6) {
        f.endpoints = Some(sourced(
            "edr",
            day,
            Endpoints {
                capable: 100,
                reporting: s(21),
                disk_encrypted: Some(s(22)),
                on_baseline: Some(s(23)),
            },
        ));
    }
    if has(7) {
        f.log = Some(sourced(
            "log",
            day,
            Log {
                verified_at: (s(24) > 50).then(now),
                checkpoint_outside_at: (s(24) > 80).then(now),
                days_whole: s(24),
                days: 100,
                kept_days: 50 * s(24),
                sources_known: Some(100),
                sources_reporting: Some(s(25)),
                weeks_reviewed: Some(s(25) * 13 / 100),
            },
        ));
    }
    if has(8) {
        f.policy = Some(sourced(
            "pack",
            day,
            Policy {
                rules: 100,
                as_code: s(26),
                owned: s(27),
                scenarios: 100,
                scenarios_passing: s(28),
            },
        ));
    }
    if has(9) {
        let covered = usize::try_from(s(29)).expect("small");
        f.subnets = Some(sourced(
            "scopes",
            day,
            (0..100)
                .map(|n| Subnet {
                    name: format!("net {n}").into(),
                    covered: n < covered,
                })
                .collect(),
        ));
    }
    if has(10) {
        let mut made = facts();
        f.network = made.network.take();
        f.applications = made.applications.take();
        f.feeds = made.feeds;
    }
    f
}

fn ranks(f: &Facts, attestations: &Attestations) -> Vec<u8> {
    assess(&Criteria::shipped(), f, attestations)
        .rows
        .iter()
        .map(|r| r.level.as_ref().map_or(0, |l| l.rank))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn better_facts_never_lower_a_level(low in any::<[u8; SHARES]>(), gain in any::<[u8; SHARES]>(), present in any::<u32>(), vouched in any::<bool>()) {
        let mut before = [0_u64; SHARES];
        let mut after = [0_u64; SHARES];
        for n in 0..SHARES {
            before[n] = u64::from(low[n]) % 101;
            // Often the gain is small, sometimes it is all that is lacking.
            after[n] = (before[n] + u64::from(gain[n]) % 60).min(100);
        }
        let criteria = Criteria::shipped();
        let attestations = if vouched { Attestations::parse(ATTESTATIONS, &criteria) } else { Attestations::default() };
        let (a, b) = (ranks(&hospital(&before, present), &attestations), ranks(&hospital(&after, present), &attestations));
        for (n, (a, b)) in a.iter().zip(&b).enumerate() {
            prop_assert!(b >= a, "row {n}: {a} fell to {b}");
        }
    }

    #[test]
    fn what_is_missing_is_never_counted_as_good(shares in any::<[u8; SHARES]>(), present in any::<u32>(), gone in 0_u32..11) {
        let shares = shares.map(|s| u64::from(s) % 101);
        let with = hospital(&shares, present | (1 << gone));
        let without = hospital(&shares, present & !(1 << gone));
        let (a, b) = (ranks(&with, &Attestations::default()), ranks(&without, &Attestations::default()));
        for (n, (a, b)) in a.iter().zip(&b).enumerate() {
            prop_assert!(b <= a, "row {n}: {a} rose to {b} when a section was taken away");
        }
    }

    #[test]
    fn no_denominator_is_zero_and_nothing_depends_on_chance(shares in any::<[u8; SHARES]>(), present in any::<u32>()) {
        let shares = shares.map(|s| u64::from(s) % 101);
        let f = hospital(&shares, present);
        let criteria = Criteria::shipped();
        let a = assess(&criteria, &f, &Attestations::default());
        for r in &a.rows {
            prop_assert!(r.denominator != Some(0));
            prop_assert_eq!(r.measure.is_some(), r.denominator.is_some());
            prop_assert_eq!(r.level.is_none(), matches!(r.status, Status::NotEvaluable { .. }));
            for reading in &r.readings {
                prop_assert!(reading.denominator > 0 && reading.numerator <= reading.denominator && !reading.source.is_empty());
            }
        }
        prop_assert!(a.steps.len() <= 10);
        prop_assert_eq!(&assess(&criteria, &f, &Attestations::default()), &a);
        prop_assert_eq!(assess::report::html(&a), assess::report::html(&a));
    }

    #[test]
    fn any_text_as_attestations_gives_problems_not_panics(text in ".{0,200}") {
        let criteria = Criteria::shipped();
        let _ = Attestations::parse(&text, &criteria);
        let _ = Attestations::parse(&format!("[[attestation]]\nrow = \"{text}\""), &criteria);
    }
}
