//! The record, the policies, the response.

use std::time::Duration;

use domain::Timestamp;

use super::{Measure, Missing, both, of};
use crate::tools::Tool;

const LOG: &str = "the audit log of Asepsis";
const OWN: &[Tool] = &[Tool::Asepsis];

fn recent(at: Option<Timestamp>, days: u64, now: Timestamp) -> u64 {
    u64::from(at.is_some_and(|at| now.since(at) <= Duration::from_secs(days * 86_400)))
}

pub(super) const VERIFIED: Measure = Measure {
    name: "log.verified",
    counts: "audit logs whose proofs were verified without a fault within a week, of the audit logs kept",
    needs: LOG,
    fresh_days: 30,
    tools: OWN,
    read: |f| {
        let now = f.now;
        of(&f.log, |l| Ok((recent(l.verified_at, 7, now), 1)))
    },
};

pub(super) const CHECKPOINT: Measure = Measure {
    name: "log.checkpoint_outside",
    counts: "audit logs a checkpoint of which left the machine within a day, of the audit logs kept",
    needs: LOG,
    fresh_days: 30,
    tools: &[Tool::Asepsis, Tool::Siem],
    read: |f| {
        let now = f.now;
        of(&f.log, |l| Ok((recent(l.checkpoint_outside_at, 1, now), 1)))
    },
};

pub(super) const WHOLE: Measure = Measure {
    name: "log.whole",
    counts: "days without a gap in the audit log, of the days it was kept in the window",
    needs: LOG,
    fresh_days: 30,
    tools: OWN,
    read: |f| of(&f.log, |l| Ok((l.days_whole, l.days))),
};

pub(super) const KEPT: Measure = Measure {
    name: "log.kept_six_years",
    counts: "audit logs kept for at least six years, of the audit logs kept",
    needs: LOG,
    fresh_days: 30,
    tools: OWN,
    read: |f| of(&f.log, |l| Ok((u64::from(l.kept_days >= 2_191), 1))),
};

pub(super) const SOURCES: Measure = Measure {
    name: "log.sources",
    counts: "sources of logs that were heard within a day, of the sources that should report",
    needs: "the log collector's list of sources, with when each was last heard",
    fresh_days: 14,
    tools: &[Tool::Siem],
    read: |f| of(&f.log, |l| both(l.sources_reporting, l.sources_known)),
};

pub(super) const REVIEWED: Measure = Measure {
    name: "activity.reviewed",
    counts: "weeks in which somebody reviewed activity, of the last 13",
    needs: "reviews of activity recorded in the console",
    fresh_days: 30,
    tools: OWN,
    read: |f| {
        of(&f.log, |l| {
            let weeks = l.weeks_reviewed.ok_or(Missing::NoData)?;
            Ok((weeks, 13))
        })
    },
};

pub(super) const AS_CODE: Measure = Measure {
    name: "policy.as_code",
    counts: "rules kept as text under version control, of the rules in force that are known",
    needs: "the policy pack in force, and an export of firewall rules",
    fresh_days: 90,
    tools: &[Tool::Asepsis, Tool::Firewall],
    read: |f| of(&f.policy, |p| Ok((p.as_code, p.rules))),
};

pub(super) const OWNED: Measure = Measure {
    name: "policy.owned",
    counts: "rules with an owner and a date of review, of the rules in force that are known",
    needs: "the policy pack in force, and an export of firewall rules with owner and date",
    fresh_days: 90,
    tools: &[Tool::Asepsis, Tool::Firewall],
    read: |f| of(&f.policy, |p| Ok((p.owned, p.rules))),
};

pub(super) const SCENARIOS: Measure = Measure {
    name: "policy.scenarios",
    counts: "scenarios of what must be allowed and refused that pass, of all scenarios",
    needs: "the policy pack in force, with its scenario table",
    fresh_days: 90,
    tools: OWN,
    read: |f| of(&f.policy, |p| Ok((p.scenarios_passing, p.scenarios))),
};

pub(super) const REVOCATION: Measure = Measure {
    name: "revocation.fast",
    counts: "revocations in effect everywhere within a second, of all revocations",
    needs: "revocations in the audit log: sign-outs by an administrator, revoked badges, signals",
    fresh_days: 90,
    tools: OWN,
    read: |f| of(&f.response, |r| Ok((r.revocations_fast, r.revocations))),
};

pub(super) const ISOLATION: Measure = Measure {
    name: "isolation.fast",
    counts: "devices isolated within 15 minutes of the alarm, drills included, of all isolations",
    needs: "isolations and drills, with the time of alarm and of effect",
    fresh_days: 180,
    tools: &[Tool::Nac, Tool::Edr, Tool::Switches],
    read: |f| of(&f.response, |r| both(r.isolations_fast, r.isolations)),
};

pub(super) const TRAINING: Measure = Measure {
    name: "training.done",
    counts: "people with security training within a year, of all staff",
    needs: "the training records' export, entered as a figure in `attestations.toml`",
    fresh_days: 180,
    tools: &[Tool::Learning],
    // Nothing in Asepsis counts it: it comes as a figure that somebody vouches for.
    read: |_| Err(Missing::NoData),
};
