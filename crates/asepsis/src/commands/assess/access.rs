//! What the access road tells: the log, the store, the configuration.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ::assess::facts::{Application, Decisions, Grants, Log, Policy, Sessions, SignIns};
use ::assess::{Facts, Sourced};
use audit::{Kind, Reader, Stored};
use domain::{EnforcementMode, Timestamp};
use policy::DecisionRecord;
use serde_json::Value;

use crate::config::{ApplicationConfig, Config};
use crate::failure::{Blame, Failure};

pub(super) fn fill(facts: &mut Facts, config: Option<&Config>, data: &Path) -> Result<(), Failure> {
    if let Some(config) = config {
        configuration(facts, config);
    }
    store_facts(facts, data)?;
    let folder = data.join("audit");
    if folder.is_dir() {
        log_facts(facts, &folder)?;
    }
    Ok(())
}

fn sourced<T>(source: &str, as_of: Timestamp, facts: T) -> Option<Sourced<T>> {
    Some(Sourced {
        source: source.into(),
        as_of,
        facts,
    })
}

fn configuration(facts: &mut Facts, config: &Config) {
    let now = facts.now;
    facts.sessions = sourced(
        "configuration",
        now,
        Sessions {
            idle_secs: config.idle.as_secs(),
            absolute_secs: config.absolute.as_secs(),
        },
    );
    let applications = config
        .applications
        .iter()
        .map(|a| Application {
            name: a.id.as_str().into(),
            criticality: a.criticality,
            brokered: true,
            mode: Some(a.mode),
            upstream_tls: Some(a.upstream.tls.is_some()),
            bypassed: None,
            single_sign_on: None,
            logged: None,
            security_tested: None,
            backed_up: None,
            restore_tested: None,
            emergency_tested: None,
            pipeline: None,
        })
        .collect();
    // What else the hospital has is not in the configuration: it is no share of all.
    facts.applications_partly = true;
    facts.applications = sourced("configuration", now, applications);
    facts.tools.clone_from(&config.assess.tools);
    // Rules that stop nothing yet are not in force.
    let in_force = |a: &ApplicationConfig| a.mode == EnforcementMode::Enforce;
    if config.applications.iter().any(in_force) {
        let rules = config.pack.policy_count() as u64;
        facts.policy = sourced(
            "policy pack",
            now,
            Policy {
                rules,
                as_code: rules,
                owned: 0,
                scenarios: 0,
                scenarios_passing: 0,
            },
        );
    }
}

/// People and rights, as the store has them.
fn store_facts(facts: &mut Facts, data: &Path) -> Result<(), Failure> {
    let path = crate::assembly::store_path(data);
    if !path.exists() {
        return Ok(());
    }
    let world = store::read(&path).input("reading the store")?;
    let active: Vec<_> = world.people.iter().filter(|p| p.active).collect();
    if active.is_empty() {
        return Ok(());
    }
    // Accounts are not counted here: who is in the store is not who can sign in to the hospital's other systems, and
    // whether a logon is shared nobody can see from it.
    let as_of = world
        .feeds
        .iter()
        .map(|f| f.as_of)
        .max()
        .unwrap_or(facts.now);
    let memberships: usize = active.iter().map(|p| p.roles.len()).sum();
    let windows = world.vendor_windows.len();
    facts.grants = sourced(
        "store of people",
        as_of,
        Grants {
            total: (memberships + windows) as u64,
            with_end: windows as u64,
            ..Grants::default()
        },
    );
    Ok(())
}

/// What the log says of the window.
fn log_facts(facts: &mut Facts, folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    let reader = Reader::open(folder).input(format!("cannot open the log `{shown}`"))?;
    let since = facts
        .now
        .minus(Duration::from_secs(u64::from(facts.window_days) * 86_400));
    let mut counted = Counted::default();
    for stored in reader.records(0..reader.len()) {
        counted.add(&stored.input(format!("reading `{shown}`"))?, since);
    }
    let Some(newest) = counted.newest else {
        return Ok(());
    };
    if counted.sign_ins.total > 0 {
        facts.sign_ins = sourced("audit log", newest, counted.sign_ins);
    }
    if counted.decisions.total > 0 {
        facts.decisions = sourced("audit log", newest, counted.decisions);
    }
    let verified = audit::verify(folder, None, &mut |_, _| {}).is_ok();
    let day = |at: Timestamp| at.as_secs().div_euclid(86_400);
    let begun = counted.oldest.map_or(newest, |at| at.max(since));
    let days = (day(facts.now) - day(begun) + 1).unsigned_abs();
    facts.log = sourced(
        "audit log",
        newest,
        Log {
            verified_at: verified.then_some(facts.now),
            checkpoint_outside_at: None,
            days_whole: days.saturating_sub(counted.gap_days.len() as u64),
            days,
            kept_days: counted
                .oldest
                .map_or(0, |at| facts.now.since(at).as_secs() / 86_400),
            ..Log::default()
        },
    );
    Ok(())
}

#[derive(Default)]
struct Counted {
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    sign_ins: SignIns,
    decisions: Decisions,
    gap_days: BTreeSet<i64>,
}

impl Counted {
    fn add(&mut self, stored: &Stored, since: Timestamp) {
        self.oldest.get_or_insert(stored.at);
        self.newest = self.newest.max(Some(stored.at));
        if stored.at < since {
            return;
        }
        match stored.kind {
            Kind::SignIn => self.sign_in(stored),
            Kind::Decision => self.decision(stored),
            Kind::BreakGlass => self.decisions.break_glass += 1,
            Kind::Gap => {
                self.gap_days.insert(stored.at.as_secs().div_euclid(86_400));
            }
            _ => {}
        }
    }

    fn sign_in(&mut self, stored: &Stored) {
        self.sign_ins.total += 1;
        let resistant = stored
            .header
            .get("phishing_resistant")
            .and_then(Value::as_bool)
            == Some(true)
            || stored.header.get("method").and_then(Value::as_str) == Some("passkey");
        self.sign_ins.phishing_resistant += u64::from(resistant);
    }

    fn decision(&mut self, stored: &Stored) {
        let decisions = &mut self.decisions;
        decisions.total += 1;
        decisions.enforced += u64::from(!stored.header.contains_key("shadowed"));
        let record = stored
            .payload
            .as_deref()
            .and_then(|payload| serde_json::from_slice::<DecisionRecord>(payload).ok());
        let Some(record) = record else {
            return;
        };
        decisions.replayable += 1;
        decisions.with_device += u64::from(record.subject.device.is_some());
    }
}
