//! A made hospital: enough of everything that each measure has something to count, and nothing is perfect.
#![allow(dead_code, reason = "each test file uses a part of it")]

use assess::facts::*;
use assess::{Facts, Sourced, Tool};
use domain::conversation::{Opening, Protection, Volume};
use domain::net::Transport;
use domain::observation::{EvidenceKind, SourceKind};
use domain::{
    Conversation, Criticality, DeviceId, DeviceProfile, EnforcementMode, EvidenceRow, RiskFact,
    Timestamp,
};

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a date of the test")
}

pub(crate) fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

pub(crate) fn sourced<T>(source: &str, as_of: &str, facts: T) -> Sourced<T> {
    Sourced {
        source: source.into(),
        as_of: at(as_of),
        facts,
    }
}

pub(crate) fn device(
    id: &str,
    category: Option<&str>,
    kind: Option<&str>,
    segment: Option<&str>,
) -> DeviceProfile {
    DeviceProfile {
        id: DeviceId::new(id),
        macs: Vec::new(),
        addresses: Vec::new(),
        names: Vec::new(),
        category: category.map(Into::into),
        kind: kind.map(Into::into),
        vendor: kind.map(|_| "Acme".into()),
        model: kind.map(|k| format!("{k} 100").into()),
        os: None,
        confidence: if kind.is_some() { 0.9 } else { 0.2 },
        abstained: kind.is_none(),
        contradictory: false,
        criticality: Criticality::Clinical,
        evidence: Vec::new(),
        first_seen: at("2026-11-01"),
        last_seen: now(),
        unit: None,
        segment: segment.map(Into::into),
        behind: None,
        assets: Vec::new(),
        risks: Vec::new(),
    }
}

pub(crate) fn risk(id: &str, feed: &str, exploited: bool, since: &str) -> RiskFact {
    RiskFact {
        id: id.into(),
        feed: feed.into(),
        says: "a made risk".into(),
        exploited,
        confidence: 0.8,
        published: Some(at(since)),
    }
}

pub(crate) fn talk(
    client: &str,
    server: &str,
    service: Option<&str>,
    port: u16,
    protection: Protection,
    bytes: u64,
) -> Conversation {
    Conversation {
        client: DeviceId::new(client),
        server: DeviceId::new(server),
        transport: Transport::Tcp,
        port,
        ports: 1,
        service: service.map(Into::into),
        meanings: Vec::new(),
        opening: Opening::Seen,
        protection,
        server_names: Vec::new(),
        first: at("2026-11-10"),
        last: now(),
        flows: 3,
        sent: Volume { packets: 1, bytes },
        received: Volume::default(),
        hours: [0; 3],
        days: 2,
        period_secs: None,
    }
}

pub(crate) fn network() -> Network {
    let mut pump = device(
        "pump-1",
        Some("medical"),
        Some("infusion_pump"),
        Some("vlan 20"),
    );
    pump.risks
        .push(risk("CVE-2020-1", "kev, nvd", true, "2026-01-10"));
    let mut ct = device("ct-1", Some("medical"), Some("ct"), Some("vlan 30"));
    ct.os = Some("Windows 7".into());
    ct.risks.push(risk(
        "end-of-support",
        "end-of-support",
        false,
        "2020-01-14",
    ));
    ct.risks
        .push(risk("Z-1-2026", "recalls", false, "2026-05-01"));
    let monitor = device(
        "monitor-1",
        Some("medical"),
        Some("patient_monitor"),
        Some("vlan 20"),
    );
    let mut desk = device(
        "desk-1",
        Some("computer"),
        Some("workstation"),
        Some("vlan 30"),
    );
    desk.os = Some("Windows 11 24H2".into());
    desk.unit = Some("ward-3".into());
    desk.evidence.push(EvidenceRow {
        source: "mirror-1".into(),
        kind: EvidenceKind::TlsServerName,
        value: "ts01-b.cloudsink.net".into(),
        says: "".into(),
        weight: 0.0,
        at: now(),
    });
    let switch = device("switch-1", Some("network"), Some("switch"), Some("vlan 20"));
    let stranger = device("stranger-1", None, None, None);
    Network {
        devices: vec![pump, ct, monitor, desk, switch, stranger],
        conversations: vec![
            talk("pump-1", "switch-1", None, 4000, Protection::Unknown, 500),
            talk(
                "ct-1",
                "desk-1",
                Some("dicom"),
                104,
                Protection::Cleartext,
                6_000_000,
            ),
            talk(
                "desk-1",
                "ct-1",
                Some("tls"),
                2762,
                Protection::Encrypted,
                2_000_000,
            ),
            talk(
                "monitor-1",
                "desk-1",
                Some("hl7"),
                2575,
                Protection::Cleartext,
                2_000_000,
            ),
            talk(
                "desk-1",
                "switch-1",
                Some("telnet"),
                23,
                Protection::Cleartext,
                1_000,
            ),
            talk(
                "ct-1",
                "internet",
                Some("tls"),
                443,
                Protection::Encrypted,
                50_000,
            ),
        ],
        sources: vec![
            SourceFact {
                id: domain::SourceId(0),
                name: "mirror-1".into(),
                kind: SourceKind::Packets,
                last: now(),
                packets: 990_000,
                lost: 10_000,
            },
            SourceFact {
                id: domain::SourceId(1),
                name: "leases of dhcp-a".into(),
                kind: SourceKind::Leases,
                last: at("2026-11-15"),
                packets: 0,
                lost: 0,
            },
        ],
    }
}

pub(crate) fn applications() -> Vec<Application> {
    let plain = |name: &str, criticality| Application {
        name: name.into(),
        criticality,
        brokered: false,
        mode: None,
        upstream_tls: None,
        bypassed: None,
        single_sign_on: Some(false),
        logged: Some(false),
        security_tested: None,
        backed_up: None,
        restore_tested: None,
        emergency_tested: None,
        pipeline: Some(false),
    };
    vec![
        Application {
            brokered: true,
            mode: Some(EnforcementMode::Enforce),
            upstream_tls: Some(true),
            bypassed: Some(false),
            single_sign_on: Some(true),
            logged: Some(true),
            security_tested: Some(at("2026-06-01")),
            backed_up: Some(at("2026-11-22")),
            restore_tested: Some(at("2026-03-01")),
            emergency_tested: Some(at("2026-09-01")),
            pipeline: Some(true),
            ..plain("chart", Criticality::Clinical)
        },
        Application {
            brokered: true,
            mode: Some(EnforcementMode::Shadow),
            upstream_tls: Some(false),
            bypassed: Some(true),
            security_tested: Some(at("2024-06-01")),
            backed_up: Some(at("2026-11-01")),
            ..plain("laboratory", Criticality::Clinical)
        },
        plain("billing", Criticality::Business),
    ]
}

/// The hospital.
pub(crate) fn facts() -> Facts {
    let mut f = Facts::new("St. Example", now());
    f.tools.insert(Tool::Pacs);
    f.tools.insert(Tool::Firewall);
    f.network = Some(sourced("mirror-1 and leases", "2026-11-22", network()));
    f.register = Some(sourced(
        "cmms-export.csv",
        "2026-11-01",
        Register {
            rows: 100,
            rows_seen: 84,
            devices: 110,
            devices_listed: 82,
            rows_right: 70,
        },
    ));
    f.subnets = Some(sourced(
        "DHCP scopes",
        "2026-11-20",
        vec![
            Subnet {
                name: "10.0.20.0/24".into(),
                covered: true,
            },
            Subnet {
                name: "10.0.30.0/24".into(),
                covered: true,
            },
            Subnet {
                name: "10.0.40.0/24".into(),
                covered: false,
            },
        ],
    ));
    f.feeds = vec![
        FeedFact {
            kind: "kev".into(),
            name: "kev.json".into(),
            as_of: at("2026-11-20"),
        },
        FeedFact {
            kind: "recalls".into(),
            name: "recalls.json".into(),
            as_of: at("2026-11-01"),
        },
        FeedFact {
            kind: "end-of-support".into(),
            name: "shipped".into(),
            as_of: at("2026-11-22"),
        },
    ];
    f.documents = Some(sourced(
        "feeds",
        "2026-11-20",
        Documents {
            medical: 3,
            with_bill: 1,
            with_disclosure: 2,
        },
    ));
    f.endpoints = Some(sourced(
        "edr.csv",
        "2026-11-18",
        Endpoints {
            capable: 400,
            reporting: 356,
            disk_encrypted: Some(300),
            on_baseline: None,
        },
    ));
    f.fixes = Some(sourced(
        "scanner.csv",
        "2026-11-10",
        Fixes {
            due: 50,
            in_time: 31,
        },
    ));
    f.sign_ins = Some(sourced(
        "audit log",
        "2026-11-22",
        SignIns {
            total: 10_000,
            second_factor: 4_000,
            phishing_resistant: 2_700,
            stepped_up: Some(Part { of: 90, all: 100 }),
        },
    ));
    f.accounts = Some(sourced(
        "directory.csv",
        "2026-11-15",
        Accounts {
            total: 2_000,
            one_person: 1_930,
            in_provider: Some(1_500),
            administrators: Some(20),
            administrators_separate: Some(14),
            leavers: Some(12),
            leavers_within_hour: Some(3),
            leavers_within_day: Some(10),
        },
    ));
    f.sessions = Some(sourced(
        "asepsis.toml",
        "2026-11-22",
        Sessions {
            idle_secs: 1_800,
            absolute_secs: 43_200,
        },
    ));
    f.decisions = Some(sourced(
        "audit log",
        "2026-11-22",
        Decisions {
            total: 50_000,
            with_device: 31_000,
            with_posture: 0,
            with_risk: 20_000,
            replayable: 50_000,
            enforced: 40_000,
            break_glass: 12,
            break_glass_reviewed: 9,
        },
    ));
    f.grants = Some(sourced(
        "console",
        "2026-11-22",
        Grants {
            total: 900,
            with_end: 500,
            used: Some(400),
            reviewed: None,
            vendor_sessions: Some(30),
            vendor_sessions_in_window: Some(21),
        },
    ));
    f.applications = Some(sourced(
        "asepsis.toml and register",
        "2026-11-22",
        applications(),
    ));
    f.log = Some(sourced(
        "audit log",
        "2026-11-22",
        Log {
            verified_at: Some(at("2026-11-21")),
            checkpoint_outside_at: None,
            days_whole: 29,
            days: 30,
            kept_days: 90,
            sources_known: Some(40),
            sources_reporting: Some(22),
            weeks_reviewed: Some(8),
        },
    ));
    f.policy = Some(sourced(
        "policy pack",
        "2026-11-22",
        Policy {
            rules: 80,
            as_code: 44,
            owned: 12,
            scenarios: 96,
            scenarios_passing: 96,
        },
    ));
    f.response = Some(sourced(
        "audit log",
        "2026-11-22",
        Response {
            revocations: 5,
            revocations_fast: 5,
            isolations: Some(2),
            isolations_fast: Some(1),
        },
    ));
    f.mail = Some(sourced(
        "DNS",
        "2026-10-22",
        Mail {
            domains: 3,
            protected: 2,
        },
    ));
    f
}

pub(crate) const ATTESTATIONS: &str = r#"
[[attestation]]
row = "hipaa-security-rule/164.308(a)(2)"
level = "Met"
statement = "The security officer is appointed in writing."
owner = "A. Example, chief executive"
date = "2026-10-01"
expires = "2027-09-30"
evidence = "letter of 2026-10-01"

[[attestation]]
row = "cisa-ztmm-2/DV7"
level = "Initial"
statement = "Purchasing follows procedure 12."
owner = "B. Example, purchasing"
date = "2025-10-01"
expires = "2026-09-30"

[[attestation]]
row = "cisa-ztmm-2/ID1"
level = "Optimal"
statement = "We are sure."
owner = "C. Example"
date = "2026-10-01"
expires = "2027-09-30"

[[figure]]
measure = "training.done"
numerator = 812
denominator = 900
source = "training records, export of 2026-10-01"
owner = "D. Example, head of training"
date = "2026-10-01"
expires = "2027-03-31"
"#;
