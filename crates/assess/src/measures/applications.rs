//! Applications and mail.

use std::time::Duration;

use domain::{Criticality, EnforcementMode, Timestamp};

use super::{Counted, Measure, Missing, n, of};
use crate::facts::{Application, Facts};
use crate::tools::Tool;

const LIST: &str = "the list of the hospital's applications, brokered or not (`asepsis assess --applications applications.csv`)";

/// Which applications a share is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// All that the hospital has.
    All,
    /// Those behind the gateway.
    Brokered,
}

fn count(
    facts: &Facts,
    which: Of,
    among: impl Fn(&Application) -> bool,
    known: impl Fn(&Application) -> bool,
    good: impl Fn(&Application) -> bool,
) -> Result<Counted, Missing> {
    if which == Of::All && facts.applications_partly {
        return Err(Missing::NoData);
    }
    let mut worst: Vec<String> = Vec::new();
    let mut out = of(&facts.applications, |all| {
        let all: Vec<&Application> = all
            .iter()
            .filter(|a| (which == Of::All || a.brokered) && among(a))
            .collect();
        // Nobody knows of any: missing. Known of some: those of which it is not known are not good.
        if !all.is_empty() && !all.iter().any(|a| known(a)) {
            return Err(Missing::NoData);
        }
        let bad: Vec<&&Application> = all.iter().filter(|a| !(known(a) && good(a))).collect();
        worst = bad.iter().map(|a| a.name.to_string()).collect();
        Ok((n(all.len() - bad.len()), n(all.len())))
    })?;
    worst.sort();
    if !worst.is_empty() {
        let more = worst.len().saturating_sub(4);
        worst.truncate(4);
        out.notes.push(format!(
            "not: {}{}",
            worst.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ));
    }
    Ok(out)
}

fn within(at: Option<Timestamp>, days: u64, now: Timestamp) -> bool {
    at.is_some_and(|at| {
        at <= now.plus(Duration::from_secs(86_400))
            && now.since(at) <= Duration::from_secs(days * 86_400)
    })
}

fn clinical(a: &Application) -> bool {
    matches!(
        a.criticality,
        Criticality::LifeCritical | Criticality::Clinical
    )
}

pub(super) const BROKERED: Measure = Measure {
    name: "applications.brokered",
    counts: "applications that are reached through the gateway, of all applications of the hospital",
    needs: LIST,
    fresh_days: 90,
    tools: &[Tool::Asepsis, Tool::Cmms],
    read: |f| count(f, Of::All, |_| true, |_| true, |a| a.brokered),
};

pub(super) const ENFORCING: Measure = Measure {
    name: "applications.enforcing",
    counts: "applications for which refusals stop requests, of those behind the gateway",
    needs: "at least one application behind the gateway",
    fresh_days: 90,
    tools: &[Tool::Asepsis],
    read: |f| {
        count(
            f,
            Of::Brokered,
            |_| true,
            |a| a.mode.is_some(),
            |a| a.mode == Some(EnforcementMode::Enforce),
        )
    },
};

pub(super) const UPSTREAM_TLS: Measure = Measure {
    name: "applications.upstream_tls",
    counts: "applications that the gateway reaches over verified TLS, of those behind the gateway",
    needs: "at least one application behind the gateway",
    fresh_days: 90,
    tools: &[Tool::Asepsis],
    read: |f| {
        count(
            f,
            Of::Brokered,
            |_| true,
            |a| a.upstream_tls.is_some(),
            |a| a.upstream_tls == Some(true),
        )
    },
};

pub(super) const NOT_BYPASSED: Measure = Measure {
    name: "applications.not_bypassed",
    counts: "applications that nobody was seen reaching around the gateway, of those behind the gateway",
    needs: "conversations from a mirror port where the applications' servers are",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::Firewall],
    read: |f| {
        count(
            f,
            Of::Brokered,
            |_| true,
            |a| a.bypassed.is_some(),
            |a| a.bypassed == Some(false),
        )
    },
};

pub(super) const SINGLE_SIGN_ON: Measure = Measure {
    name: "applications.single_sign_on",
    counts: "applications that people sign in to through the one identity provider, of all applications",
    needs: "for each application, whether it has logons of its own",
    fresh_days: 180,
    tools: &[Tool::IdentityProvider, Tool::Asepsis],
    read: |f| {
        count(
            f,
            Of::All,
            |_| true,
            |a| a.single_sign_on.is_some(),
            |a| a.single_sign_on == Some(true),
        )
    },
};

pub(super) const LOGGED: Measure = Measure {
    name: "applications.logged",
    counts: "applications whose own log reaches the central log, of all applications",
    needs: "for each application, whether the log collector hears it",
    fresh_days: 90,
    tools: &[Tool::Siem],
    read: |f| {
        count(
            f,
            Of::All,
            |_| true,
            |a| a.logged.is_some(),
            |a| a.logged == Some(true),
        )
    },
};

pub(super) const TESTED: Measure = Measure {
    name: "applications.security_tested",
    counts: "applications whose security was tested within a year, of all applications",
    needs: "for each application, the date of its last security test",
    fresh_days: 180,
    tools: &[Tool::Scanner, Tool::People],
    read: |f| {
        let now = f.now;
        count(
            f,
            Of::All,
            |_| true,
            |a| a.security_tested.is_some(),
            |a| within(a.security_tested, 366, now),
        )
    },
};

pub(super) const PIPELINE: Measure = Measure {
    name: "applications.by_pipeline",
    counts: "applications whose changes arrive through a pipeline rather than by hand, of all applications",
    needs: "for each application, how changes reach it",
    fresh_days: 366,
    tools: &[Tool::People],
    read: |f| {
        count(
            f,
            Of::All,
            |_| true,
            |a| a.pipeline.is_some(),
            |a| a.pipeline == Some(true),
        )
    },
};

pub(super) const BACKED_UP: Measure = Measure {
    name: "applications.backed_up",
    counts: "applications with a backup of the last 48 hours, of all applications",
    needs: "the backup's report: for each application, the date of the newest good backup",
    fresh_days: 14,
    tools: &[Tool::Backup],
    read: |f| {
        let now = f.now;
        count(
            f,
            Of::All,
            |_| true,
            |a| a.backed_up.is_some(),
            |a| within(a.backed_up, 2, now),
        )
    },
};

pub(super) const RESTORED: Measure = Measure {
    name: "applications.restore_tested",
    counts: "applications whose restore was tried within a year, of all applications",
    needs: "for each application, the date on which a restore was last tried",
    fresh_days: 180,
    tools: &[Tool::Backup, Tool::People],
    read: |f| {
        let now = f.now;
        count(
            f,
            Of::All,
            |_| true,
            |a| a.restore_tested.is_some(),
            |a| within(a.restore_tested, 366, now),
        )
    },
};

pub(super) const EMERGENCY: Measure = Measure {
    name: "emergency.tested",
    counts: "clinical applications whose emergency access was tried within a year, of all clinical applications",
    needs: "for each clinical application, the date on which break-glass or its emergency procedure was last tried",
    fresh_days: 180,
    tools: &[Tool::Asepsis, Tool::People],
    read: |f| {
        let now = f.now;
        count(
            f,
            Of::All,
            clinical,
            |a| a.emergency_tested.is_some(),
            |a| within(a.emergency_tested, 366, now),
        )
    },
};

pub(super) const MAIL: Measure = Measure {
    name: "mail.protected",
    counts: "mail domains with SPF, DKIM and a DMARC policy of quarantine or reject, of all domains of the hospital",
    needs: "the SPF, DKIM and DMARC records of your mail domains",
    fresh_days: 180,
    tools: &[Tool::Dns],
    read: |f| of(&f.mail, |m| Ok((m.protected, m.domains))),
};
