//! Each measure, on the made hospital, and what makes it worse.

mod common;

use std::collections::BTreeSet;

use assess::facts::*;
use assess::{Facts, MEASURES, Measure};
use common::{at, facts, now, sourced};
use domain::conversation::Protection;

fn count(name: &str, facts: &Facts) -> Result<(u64, u64), String> {
    let measure = Measure::named(name).unwrap_or_else(|| panic!("no measure {name}"));
    measure.count(facts).map(|c| (c.numerator, c.denominator))
}

type Worsen = fn(&mut Facts);

/// Name, expected numerator and denominator, and a change for the worse.
const CASES: &[(&str, u64, u64, Worsen)] = &[
    ("devices.identified", 5, 6, |f| {
        net(f).devices[0].contradictory = true
    }),
    ("devices.placed", 5, 6, |f| net(f).devices[0].segment = None),
    ("inventory.live", 1, 2, |f| {
        net(f).sources[0].last = at("2026-11-01")
    }),
    ("sensor.complete", 990_000, 1_000_000, |f| {
        net(f).sources[0].lost = 20_000
    }),
    ("subnets.covered", 2, 3, |f| {
        f.subnets.as_mut().expect("made").facts[0].covered = false
    }),
    ("register.seen", 84, 100, |f| {
        f.register.as_mut().expect("made").facts.rows_seen = 83
    }),
    ("register.listed", 82, 110, |f| {
        f.register.as_mut().expect("made").facts.devices_listed = 81
    }),
    ("register.right", 70, 84, |f| {
        f.register.as_mut().expect("made").facts.rows_right = 69
    }),
    ("devices.supported", 1, 2, |f| {
        let old = net(f).devices[1].risks[0].clone();
        net(f).devices[3].risks.push(old);
    }),
    ("devices.not_exploited", 4, 5, |f| {
        let bad = net(f).devices[0].risks[0].clone();
        net(f).devices[2].risks.push(bad);
    }),
    ("devices.exposed_not_exploited", 4, 4, |f| {
        let bad = net(f).devices[0].risks[0].clone();
        net(f).devices[1].risks.push(bad);
    }),
    ("devices.not_recalled", 2, 3, |f| {
        let bad = net(f).devices[1].risks[1].clone();
        net(f).devices[0].risks.push(bad);
    }),
    ("devices.with_bill", 1, 3, |f| {
        f.documents.as_mut().expect("made").facts.with_bill = 0
    }),
    ("devices.with_disclosure", 2, 3, |f| {
        f.documents.as_mut().expect("made").facts.with_disclosure = 1
    }),
    ("endpoints.protected", 356, 400, |f| {
        f.endpoints.as_mut().expect("made").facts.reporting = 1
    }),
    ("endpoints.disk_encrypted", 300, 400, |f| {
        f.endpoints.as_mut().expect("made").facts.disk_encrypted = Some(1)
    }),
    ("fixes.in_time", 31, 50, |f| {
        f.fixes.as_mut().expect("made").facts.in_time = 30
    }),
    ("traffic.encrypted", 2_000_000, 10_001_000, |f| {
        net(f).conversations[2].protection = Protection::Cleartext
    }),
    ("traffic.clinical_encrypted", 2_000_000, 10_001_000, |f| {
        net(f).conversations[3].sent.bytes *= 2
    }),
    ("conversations.understood", 5, 6, |f| {
        net(f).conversations[1].service = None
    }),
    ("devices.no_legacy_protocol", 5, 6, |f| {
        net(f).conversations[1].service = Some("ftp".into())
    }),
    ("segments.medical_apart", 2, 3, |f| {
        net(f).devices[5].segment = Some("vlan 20".into())
    }),
    ("devices.medical_offline", 2, 3, |f| {
        net(f).conversations[0].server = "internet".into()
    }),
    ("segments.tight", 5, 10, |f| {
        f.reach = Some(sourced(
            "rules",
            "2026-11-22",
            Reach {
                reachable: 1_000,
                used: 4,
            },
        ));
    }),
    ("signins.two_factor", 6_700, 10_000, |f| {
        f.sign_ins.as_mut().expect("made").facts.second_factor = 0
    }),
    ("signins.phishing_resistant", 2_700, 10_000, |f| {
        f.sign_ins.as_mut().expect("made").facts.phishing_resistant = 1
    }),
    ("signins.proved_again", 90, 100, |f| {
        f.sign_ins.as_mut().expect("made").facts.stepped_up = Some(Part { of: 1, all: 100 })
    }),
    ("accounts.one_person", 1_930, 2_000, |f| {
        f.accounts.as_mut().expect("made").facts.one_person = 1
    }),
    ("accounts.in_provider", 1_500, 2_000, |f| {
        f.accounts.as_mut().expect("made").facts.in_provider = Some(1)
    }),
    ("accounts.administrators_separate", 14, 20, |f| {
        f.accounts
            .as_mut()
            .expect("made")
            .facts
            .administrators_separate = Some(1)
    }),
    ("leavers.within_hour", 3, 12, |f| {
        f.accounts.as_mut().expect("made").facts.leavers_within_hour = Some(1)
    }),
    ("leavers.within_day", 10, 12, |f| {
        f.accounts.as_mut().expect("made").facts.leavers_within_day = Some(1)
    }),
    ("sessions.bounded", 1, 1, |f| {
        f.sessions.as_mut().expect("made").facts.absolute_secs = 43_201
    }),
    ("decisions.device_known", 31_000, 50_000, |f| {
        f.decisions.as_mut().expect("made").facts.with_device = 1
    }),
    ("decisions.risk_fresh", 20_000, 50_000, |f| {
        f.decisions.as_mut().expect("made").facts.with_risk = 1
    }),
    ("decisions.replayable", 50_000, 50_000, |f| {
        f.decisions.as_mut().expect("made").facts.replayable = 1
    }),
    ("decisions.enforced", 40_000, 50_000, |f| {
        f.decisions.as_mut().expect("made").facts.enforced = 1
    }),
    ("break_glass.reviewed", 9, 12, |f| {
        f.decisions
            .as_mut()
            .expect("made")
            .facts
            .break_glass_reviewed = 8
    }),
    ("grants.with_end", 500, 900, |f| {
        f.grants.as_mut().expect("made").facts.with_end = 1
    }),
    ("grants.used", 400, 900, |f| {
        f.grants.as_mut().expect("made").facts.used = Some(1)
    }),
    ("vendors.in_window", 21, 30, |f| {
        f.grants
            .as_mut()
            .expect("made")
            .facts
            .vendor_sessions_in_window = Some(1)
    }),
    ("applications.brokered", 2, 3, |f| {
        apps(f)[0].brokered = false
    }),
    ("applications.enforcing", 1, 2, |f| {
        apps(f)[0].mode = Some(domain::EnforcementMode::Shadow)
    }),
    ("applications.upstream_tls", 1, 2, |f| {
        apps(f)[0].upstream_tls = Some(false)
    }),
    ("applications.not_bypassed", 1, 2, |f| {
        apps(f)[0].bypassed = Some(true)
    }),
    ("applications.single_sign_on", 1, 3, |f| {
        apps(f)[0].single_sign_on = Some(false)
    }),
    ("applications.logged", 1, 3, |f| {
        apps(f)[0].logged = Some(false)
    }),
    ("applications.security_tested", 1, 3, |f| {
        apps(f)[0].security_tested = Some(at("2025-01-01"))
    }),
    ("applications.by_pipeline", 1, 3, |f| {
        apps(f)[0].pipeline = Some(false)
    }),
    ("applications.backed_up", 1, 3, |f| {
        apps(f)[0].backed_up = Some(at("2026-11-18"))
    }),
    ("applications.restore_tested", 1, 3, |f| {
        apps(f)[0].restore_tested = Some(at("2020-01-01"))
    }),
    ("emergency.tested", 1, 2, |f| {
        apps(f)[0].emergency_tested = Some(at("2020-01-01"))
    }),
    ("mail.protected", 2, 3, |f| {
        f.mail.as_mut().expect("made").facts.protected = 1
    }),
    ("log.verified", 1, 1, |f| {
        f.log.as_mut().expect("made").facts.verified_at = Some(at("2026-11-14"))
    }),
    ("log.whole", 29, 30, |f| {
        f.log.as_mut().expect("made").facts.days_whole = 28
    }),
    ("log.sources", 22, 40, |f| {
        f.log.as_mut().expect("made").facts.sources_reporting = Some(21)
    }),
    ("activity.reviewed", 8, 13, |f| {
        f.log.as_mut().expect("made").facts.weeks_reviewed = Some(7)
    }),
    ("policy.as_code", 44, 80, |f| {
        f.policy.as_mut().expect("made").facts.as_code = 43
    }),
    ("policy.owned", 12, 80, |f| {
        f.policy.as_mut().expect("made").facts.owned = 11
    }),
    ("policy.scenarios", 96, 96, |f| {
        f.policy.as_mut().expect("made").facts.scenarios_passing = 95
    }),
    ("revocation.fast", 5, 5, |f| {
        f.response.as_mut().expect("made").facts.revocations_fast = 4
    }),
    ("isolation.fast", 1, 2, |f| {
        f.response.as_mut().expect("made").facts.isolations_fast = Some(0)
    }),
];

/// Those that are at their worst in the made hospital, with a change for the better.
const WORST: &[(&str, u64, u64, Worsen)] = &[
    ("decisions.posture_verified", 0, 50_000, |f| {
        f.decisions.as_mut().expect("made").facts.with_posture = 1
    }),
    ("sessions.idle_short", 0, 1, |f| {
        f.sessions.as_mut().expect("made").facts.idle_secs = 900
    }),
    ("log.checkpoint_outside", 0, 1, |f| {
        f.log.as_mut().expect("made").facts.checkpoint_outside_at = Some(now())
    }),
    ("log.kept_six_years", 0, 1, |f| {
        f.log.as_mut().expect("made").facts.kept_days = 2_191
    }),
];

/// Those that the made hospital cannot count.
const ABSENT: &[&str] = &["grants.reviewed", "endpoints.on_baseline", "training.done"];

fn net(f: &mut Facts) -> &mut Network {
    &mut f.network.as_mut().expect("made").facts
}

fn apps(f: &mut Facts) -> &mut Vec<Application> {
    &mut f.applications.as_mut().expect("made").facts
}

fn share((n, d): (u64, u64)) -> f64 {
    n as f64 / d as f64
}

#[test]
fn each_measure_counts_what_it_says() {
    for (name, n, d, _) in CASES.iter().chain(WORST) {
        assert_eq!(count(name, &facts()), Ok((*n, *d)), "{name}");
    }
    for name in ABSENT {
        assert!(count(name, &facts()).is_err(), "{name}");
    }
    let tested: BTreeSet<&str> = CASES
        .iter()
        .chain(WORST)
        .map(|c| c.0)
        .chain(ABSENT.iter().copied())
        .collect();
    let all: BTreeSet<&str> = MEASURES.iter().map(|m| m.name).collect();
    assert_eq!(tested, all);
}

#[test]
fn each_measure_falls_when_things_get_worse_and_rises_when_they_get_better() {
    for (name, n, d, worsen) in CASES {
        let mut worse = facts();
        worsen(&mut worse);
        let after = count(name, &worse).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(share(after) < share((*n, *d)), "{name}: {after:?}");
    }
    for (name, n, d, better) in WORST {
        let mut f = facts();
        better(&mut f);
        let after = count(name, &f).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(share(after) > share((*n, *d)), "{name}: {after:?}");
    }
    let mut f = facts();
    f.grants.as_mut().expect("made").facts.reviewed = Some(450);
    f.endpoints.as_mut().expect("made").facts.on_baseline = Some(390);
    assert_eq!(count("grants.reviewed", &f), Ok((450, 900)));
    assert_eq!(count("endpoints.on_baseline", &f), Ok((390, 400)));
}

#[test]
fn old_future_and_impossible_figures_count_as_missing_and_say_so() {
    let with = |as_of: &str| {
        let mut f = facts();
        f.sign_ins.as_mut().expect("made").as_of = at(as_of);
        count("signins.two_factor", &f)
    };
    assert!(with("2026-10-24").is_ok());
    assert!(with("2026-10-20").expect_err("old").contains("30 days"));
    assert!(with("2026-12-01").expect_err("ahead").contains("future"));
    let mut f = facts();
    f.register.as_mut().expect("made").facts.rows_seen = 101;
    assert!(
        count("register.seen", &f)
            .expect_err("impossible")
            .contains("contradict")
    );
    f.register.as_mut().expect("made").facts.rows = 0;
    assert!(
        count("register.seen", &f)
            .expect_err("nothing")
            .contains("nothing of the kind")
    );
}

#[test]
fn an_exploited_flaw_counts_only_with_a_fresh_list_after_a_fortnight_and_with_some_certainty() {
    let base = (4, 5);
    let change = |change: fn(&mut Facts)| {
        let mut f = facts();
        change(&mut f);
        count("devices.not_exploited", &f)
    };
    assert_eq!(change(|_| ()), Ok(base));
    assert_eq!(
        change(|f| net(f).devices[0].risks[0].published = Some(at("2026-11-15"))),
        Ok((5, 5))
    );
    assert_eq!(
        change(|f| net(f).devices[0].risks[0].confidence = 0.4),
        Ok((5, 5))
    );
    assert_eq!(
        change(|f| net(f).devices[0].risks[0].exploited = false),
        Ok((5, 5))
    );
    assert!(change(|f| f.feeds.clear()).is_err());
    assert!(
        change(|f| f.feeds[0].as_of = at("2026-09-01"))
            .expect_err("old list")
            .contains("newer figure")
    );
}

#[test]
fn the_rules_decide_over_the_proxy_for_reachable_pairs() {
    let mut f = facts();
    f.reach = Some(sourced(
        "rules",
        "2026-11-22",
        Reach {
            reachable: 90_000,
            used: 450,
        },
    ));
    assert_eq!(count("segments.tight", &f), Ok((450, 90_000)));
    f.reach = None;
    net(&mut f).conversations.clear();
    assert!(count("segments.tight", &f).is_err());
}
