//! People, accounts, sessions, decisions, grants.

use super::{Measure, Missing, both, of};
use crate::tools::Tool;

const SIGN_INS: &str =
    "sign-ins: those of Asepsis's own sign-in page, or the identity provider's log";
const DECISIONS: &str =
    "decisions: at least one application behind the gateway, in shadow or enforcing";
const ACCOUNTS: &str = "the directory's export of accounts";
const GATE: &[Tool] = &[Tool::Asepsis];

pub(super) const MFA: Measure = Measure {
    name: "signins.two_factor",
    counts: "sign-ins with a second factor of any kind, of all sign-ins",
    needs: SIGN_INS,
    fresh_days: 30,
    tools: &[Tool::IdentityProvider, Tool::Asepsis],
    read: |f| {
        of(&f.sign_ins, |s| {
            Ok((
                s.second_factor.saturating_add(s.phishing_resistant),
                s.total,
            ))
        })
    },
};

pub(super) const PHISHING_RESISTANT: Measure = Measure {
    name: "signins.phishing_resistant",
    counts: "sign-ins with a passkey, smart card or certificate, of all sign-ins",
    needs: SIGN_INS,
    fresh_days: 30,
    tools: &[Tool::IdentityProvider, Tool::Asepsis],
    read: |f| of(&f.sign_ins, |s| Ok((s.phishing_resistant, s.total))),
};

pub(super) const STEP_UP: Measure = Measure {
    name: "signins.proved_again",
    counts: "delicate requests before which the person proved presence again, of those for which policy asks it",
    needs: "decisions with step-up: policies that ask for fresh presence, and an application that enforces",
    fresh_days: 30,
    tools: GATE,
    read: |f| {
        of(&f.sign_ins, |s| {
            let part = s.stepped_up.ok_or(Missing::NoData)?;
            Ok((part.of, part.all))
        })
    },
};

pub(super) const ONE_PERSON: Measure = Measure {
    name: "accounts.one_person",
    counts: "accounts used by one person only, of all accounts that can sign in",
    needs: "the directory's export of accounts, beside sign-ins that show one account in many places at once",
    fresh_days: 90,
    tools: &[Tool::Directory, Tool::IdentityProvider],
    read: |f| of(&f.accounts, |a| Ok((a.one_person, a.total))),
};

pub(super) const IN_PROVIDER: Measure = Measure {
    name: "accounts.in_provider",
    counts: "accounts held by the one identity provider, of all accounts that can sign in anywhere",
    needs: "the accounts of applications with logons of their own, beside the directory's export",
    fresh_days: 90,
    tools: &[Tool::Directory, Tool::IdentityProvider],
    read: |f| of(&f.accounts, |a| both(a.in_provider, Some(a.total))),
};

pub(super) const ADMINISTRATORS: Measure = Measure {
    name: "accounts.administrators_separate",
    counts: "administrators with an account of their own for it, of all people with administrative rights",
    needs: ACCOUNTS,
    fresh_days: 90,
    tools: &[Tool::Directory],
    read: |f| {
        of(&f.accounts, |a| {
            both(a.administrators_separate, a.administrators)
        })
    },
};

pub(super) const LEAVERS_HOUR: Measure = Measure {
    name: "leavers.within_hour",
    counts: "leavers whose access ended within an hour, of all who left",
    needs: "the list of leavers with dates, beside the directory's export",
    fresh_days: 90,
    tools: &[Tool::HumanResources, Tool::Directory],
    read: |f| of(&f.accounts, |a| both(a.leavers_within_hour, a.leavers)),
};

pub(super) const LEAVERS_DAY: Measure = Measure {
    name: "leavers.within_day",
    counts: "leavers whose access ended within a day, of all who left",
    needs: "the list of leavers with dates, beside the directory's export",
    fresh_days: 90,
    tools: &[Tool::HumanResources, Tool::Directory],
    read: |f| of(&f.accounts, |a| both(a.leavers_within_day, a.leavers)),
};

pub(super) const IDLE: Measure = Measure {
    name: "sessions.idle_short",
    counts: "session settings that end an unused session within 15 minutes, of the settings in force",
    needs: "the session limits in `asepsis.toml`",
    fresh_days: 30,
    tools: GATE,
    read: |f| of(&f.sessions, |s| Ok((u64::from(s.idle_secs <= 900), 1))),
};

pub(super) const ABSOLUTE: Measure = Measure {
    name: "sessions.bounded",
    counts: "session settings that end every session within 12 hours, of the settings in force",
    needs: "the session limits in `asepsis.toml`",
    fresh_days: 30,
    tools: GATE,
    read: |f| {
        of(&f.sessions, |s| {
            Ok((u64::from(s.absolute_secs <= 12 * 3600), 1))
        })
    },
};

pub(super) const DEVICE_KNOWN: Measure = Measure {
    name: "decisions.device_known",
    counts: "decisions made knowing the device that asked, of all decisions",
    needs: DECISIONS,
    fresh_days: 30,
    tools: GATE,
    read: |f| of(&f.decisions, |d| Ok((d.with_device, d.total))),
};

pub(super) const POSTURE: Measure = Measure {
    name: "decisions.posture_verified",
    counts: "decisions made on a verified state of the device, of all decisions",
    needs: "decisions with device posture: device certificates, and a source of their state (client management, endpoint protection)",
    fresh_days: 30,
    tools: &[Tool::Mdm, Tool::Edr],
    read: |f| of(&f.decisions, |d| Ok((d.with_posture, d.total))),
};

pub(super) const RISK: Measure = Measure {
    name: "decisions.risk_fresh",
    counts: "decisions that carried a risk signal younger than an hour, of all decisions",
    needs: DECISIONS,
    fresh_days: 30,
    tools: GATE,
    read: |f| of(&f.decisions, |d| Ok((d.with_risk, d.total))),
};

pub(super) const REPLAYABLE: Measure = Measure {
    name: "decisions.replayable",
    counts: "decisions recorded with all inputs and the policy's hash, of all decisions",
    needs: DECISIONS,
    fresh_days: 30,
    tools: GATE,
    read: |f| of(&f.decisions, |d| Ok((d.replayable, d.total))),
};

pub(super) const ENFORCED: Measure = Measure {
    name: "decisions.enforced",
    counts: "decisions that were enforced rather than only recorded, of all decisions",
    needs: DECISIONS,
    fresh_days: 30,
    tools: GATE,
    read: |f| of(&f.decisions, |d| Ok((d.enforced, d.total))),
};

pub(super) const BREAK_GLASS: Measure = Measure {
    name: "break_glass.reviewed",
    counts: "break-glass openings that somebody reviewed, of all of them",
    needs: "break-glass openings in the audit log, and their review in the console",
    fresh_days: 30,
    tools: GATE,
    read: |f| {
        of(&f.decisions, |d| {
            Ok((d.break_glass_reviewed, d.break_glass))
        })
    },
};

pub(super) const GRANTS_END: Measure = Measure {
    name: "grants.with_end",
    counts: "rights that end by themselves, of all rights that somebody holds",
    needs: "the rights in force: roles, delegations and vendor windows in Asepsis or the directory",
    fresh_days: 60,
    tools: &[Tool::Asepsis, Tool::Directory],
    read: |f| of(&f.grants, |g| Ok((g.with_end, g.total))),
};

pub(super) const GRANTS_USED: Measure = Measure {
    name: "grants.used",
    counts: "rights that were used within 90 days, of all rights that somebody holds",
    needs: "the rights in force, and 90 days of decisions",
    fresh_days: 60,
    tools: &[Tool::Asepsis, Tool::Directory],
    read: |f| of(&f.grants, |g| both(g.used, Some(g.total))),
};

pub(super) const GRANTS_REVIEWED: Measure = Measure {
    name: "grants.reviewed",
    counts: "rights that somebody reviewed within 180 days, of all rights that somebody holds",
    needs: "the rights in force, with the date of their last review",
    fresh_days: 60,
    tools: &[Tool::Asepsis, Tool::Directory],
    read: |f| of(&f.grants, |g| both(g.reviewed, Some(g.total))),
};

pub(super) const VENDORS: Measure = Measure {
    name: "vendors.in_window",
    counts: "vendor sessions by a named person inside an agreed window, of all vendor sessions",
    needs: "vendor sessions: remote maintenance through the gateway, or the log of the present way in",
    fresh_days: 60,
    tools: &[Tool::Asepsis, Tool::Firewall],
    read: |f| {
        of(&f.grants, |g| {
            both(g.vendor_sessions_in_window, g.vendor_sessions)
        })
    },
};
