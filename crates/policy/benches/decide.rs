//! What a decision costs as policies grow: our engine beside Cedar's authorizer, which walks them all.
//!
//! The workload is a hospital of departments, regenerated from a seed: for each department 32 permits (a role, a
//! resource type, some actions, membership of the department) and one forbid (sensitivity above clearance), and
//! five emergency permits for the house. Both sides get the same policies, the same 500 requests, inputs prepared
//! beforehand, and take turns. Every answer is compared.
//!
//! A last table times whole decisions of the hospital pack, with slice and record.
//!
//! `cargo bench -p asepsis-policy --bench decide [-- --format json]`
#![allow(clippy::print_stdout, reason = "a benchmark's report is its output")]

use std::fmt::Write;
use std::time::Instant;

use cedar_policy::{Authorizer, Decision, Entities, PolicySet, Request, Schema};
use domain::resource::FhirResource;
use domain::{
    Aal, Action, Authentication, CanonicalRequest, Context, Device, Grants, Person, Purpose,
    Resource, Subject, Target, Timestamp,
};
use policy::engine::{Engine, Entity, Query, Record, Symbol, Uid, Value};
use policy::{PolicyPack, Snapshot};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const REQUESTS: usize = 500;
const ROUNDS: usize = 5;
/// Decisions of ours in one measured span, so that the clock's own cost does not show.
const OURS_AT_ONCE: u32 = 100;

const ROLES: [(&str, i64); 9] = [
    ("attending", 4),
    ("resident", 3),
    ("nurse", 3),
    ("labTech", 2),
    ("pharmacist", 3),
    ("admin", 2),
    ("billing", 2),
    ("auditor", 4),
    ("researcher", 1),
];
const TYPES: [&str; 9] = [
    "PatientRecord",
    "LabResult",
    "Prescription",
    "Imaging",
    "CareNote",
    "Referral",
    "Schedule",
    "BillingRecord",
    "AuditLog",
];
const ACTIONS: [&str; 10] = [
    "read",
    "write",
    "create",
    "order",
    "prescribe",
    "approve",
    "bill",
    "audit",
    "delete",
    "override",
];
/// A resource type and the actions that a role may do to it.
type Rights = (&'static str, &'static [&'static str]);

const MATRIX: [(&str, &[Rights]); 9] = [
    (
        "attending",
        &[
            ("PatientRecord", &["read", "write", "create"]),
            ("LabResult", &["read", "order"]),
            ("Prescription", &["read", "write", "prescribe"]),
            ("Imaging", &["read", "order"]),
            ("CareNote", &["read", "write", "create"]),
            ("Referral", &["read", "write", "create"]),
        ],
    ),
    (
        "resident",
        &[
            ("PatientRecord", &["read", "write"]),
            ("LabResult", &["read"]),
            ("Prescription", &["read"]),
            ("Imaging", &["read", "order"]),
            ("CareNote", &["read", "write", "create"]),
            ("Referral", &["read", "create"]),
        ],
    ),
    (
        "nurse",
        &[
            ("PatientRecord", &["read", "write"]),
            ("LabResult", &["read"]),
            ("Prescription", &["read"]),
            ("CareNote", &["read", "write", "create"]),
            ("Schedule", &["read", "write"]),
        ],
    ),
    (
        "labTech",
        &[
            ("LabResult", &["read", "write", "create"]),
            ("Imaging", &["read", "write", "create"]),
        ],
    ),
    (
        "pharmacist",
        &[
            ("Prescription", &["read", "write", "approve"]),
            ("PatientRecord", &["read"]),
        ],
    ),
    (
        "admin",
        &[
            ("Schedule", &["read", "write", "create", "delete"]),
            ("BillingRecord", &["read", "write"]),
            ("AuditLog", &["read"]),
        ],
    ),
    (
        "billing",
        &[
            ("BillingRecord", &["read", "write", "create", "bill"]),
            ("PatientRecord", &["read"]),
        ],
    ),
    (
        "auditor",
        &[
            ("AuditLog", &["read", "write", "create", "audit"]),
            ("PatientRecord", &["read"]),
            ("BillingRecord", &["read"]),
        ],
    ),
    (
        "researcher",
        &[
            ("PatientRecord", &["read"]),
            ("LabResult", &["read"]),
            ("Imaging", &["read"]),
        ],
    ),
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn schema() -> String {
    let types = TYPES.join(", ");
    let actions = ACTIONS.map(|a| format!("{a:?}")).join(", ");
    format!(
        "entity Role; entity Department;
         entity Staff in [Role, Department] = {{ clearance: Long }};
         entity {types} in [Department] = {{ sensitivity: Long }};
         action {actions} appliesTo {{ principal: Staff, resource: [{types}], context: {{}} }};"
    )
}

/// The first `size` policies of the smallest hospital that has as many; the five for the house come first.
fn policies(size: usize) -> (usize, String) {
    let departments = size.saturating_sub(5).div_ceil(33).max(1);
    let mut all = Vec::new();
    for kind in &TYPES[..5] {
        all.push(format!(
            "permit (principal in Role::\"emergency\", action in [Action::\"read\", Action::\"write\", \
             Action::\"prescribe\", Action::\"override\"], resource is {kind});"
        ));
    }
    for d in 0..departments {
        for (role, rows) in MATRIX {
            for (kind, actions) in rows {
                let actions = actions
                    .iter()
                    .map(|a| format!("Action::{a:?}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                all.push(format!(
                    "permit (principal in Role::\"{role}\", action in [{actions}], \
                     resource is {kind} in Department::\"d{d}\") when {{ principal in Department::\"d{d}\" }};"
                ));
            }
        }
        all.push(format!(
            "forbid (principal, action, resource in Department::\"d{d}\") \
             when {{ resource.sensitivity > principal.clearance }};"
        ));
    }
    all.truncate(size);
    (departments, all.join("\n"))
}

struct Workload {
    set: PolicySet,
    engine: Engine,
    queries: Vec<Query>,
    prepared: Vec<(Request, Entities)>,
}

fn workload(size: usize, seed: u64) -> Workload {
    let (departments, text) = policies(size);
    let set: PolicySet = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let schema: Schema = schema().parse().expect("the schema is valid");
    let mut engine = Engine::compile(&set, &schema).expect("no templates");
    for name in [
        "Action",
        "Role",
        "Department",
        "Staff",
        "clearance",
        "sensitivity",
    ] {
        engine.intern(name);
    }
    let symbol = |name: &str| -> Symbol { engine.names().get(name).expect("interned") };
    let uid = |kind: &str, id: String| Uid {
        kind: symbol(kind),
        id: id.into(),
    };
    let mut dice = Dice(seed);
    // Staff: five a department, a role each, now and then a team of another department.
    let mut staff = Vec::new();
    for d in 0..departments {
        for _ in 0..5 {
            let role = dice.below(9);
            let mut member_of = vec![d];
            member_of.extend((0..departments).filter(|other| *other != d && dice.chance(5)));
            staff.push((role, d, member_of));
        }
    }
    let mut dice = Dice(seed + 1_000_000);
    let queries: Vec<Query> = (0..REQUESTS)
        .map(|_| {
            let who = dice.below(staff.len());
            let (role, home, member_of) = &staff[who];
            let action = match dice.below(18) {
                0..=6 => "read",
                7..=9 => "write",
                10 | 11 => "create",
                n => ACTIONS[n - 9],
            };
            let kind = match dice.below(13) {
                0..=2 => "PatientRecord",
                3 | 4 => "LabResult",
                5 | 6 => "CareNote",
                7 => "Prescription",
                8 => "Imaging",
                9 => "Schedule",
                10 => "BillingRecord",
                11 => "AuditLog",
                _ => "Referral",
            };
            let department = if dice.chance(80) {
                *home
            } else {
                dice.below(departments)
            };
            let sensitivity = if dice.chance(70) {
                1
            } else {
                1 + dice.below(4) as i64
            };
            let mut ancestors = vec![uid("Role", ROLES[*role].0.to_owned())];
            ancestors.extend(member_of.iter().map(|d| uid("Department", format!("d{d}"))));
            let one = |name: &str, value: i64| -> Record {
                [(symbol(name), Value::Long(value))].into_iter().collect()
            };
            Query {
                principal: Entity {
                    uid: uid("Staff", format!("s{who}")),
                    attributes: one("clearance", ROLES[*role].1),
                    ancestors,
                },
                action: uid("Action", action.to_owned()),
                resource: Entity {
                    uid: uid(kind, "r".to_owned()),
                    attributes: one("sensitivity", sensitivity),
                    ancestors: vec![uid("Department", format!("d{department}"))],
                },
                context: Record::default(),
            }
        })
        .collect();
    let prepared = queries.iter().map(|q| engine.to_cedar(q)).collect();
    Workload {
        set,
        engine,
        queries,
        prepared,
    }
}

#[derive(Clone, Copy)]
struct Times {
    p50: f64,
    p99: f64,
}

fn times(mut nanos: Vec<f64>) -> Times {
    nanos.sort_by(f64::total_cmp);
    let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part).round() as usize];
    Times {
        p50: at(0.50),
        p99: at(0.99),
    }
}

/// Ours and Cedar's, in turns.
fn compare(work: &Workload, rounds: usize) -> (Times, Times, usize) {
    let authorizer = Authorizer::new();
    let (mut ours, mut cedar, mut permits) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        for (query, (request, entities)) in work.queries.iter().zip(&work.prepared) {
            let start = Instant::now();
            let mut allowed = false;
            for _ in 0..OURS_AT_ONCE {
                allowed = std::hint::black_box(work.engine.evaluate(std::hint::black_box(query)))
                    .allows();
            }
            ours.push(start.elapsed().as_nanos() as f64 / f64::from(OURS_AT_ONCE));
            let start = Instant::now();
            let answer = authorizer.is_authorized(
                std::hint::black_box(request),
                &work.set,
                std::hint::black_box(entities),
            );
            cedar.push(start.elapsed().as_nanos() as f64);
            assert_eq!(
                allowed,
                answer.decision() == Decision::Allow,
                "the two disagree"
            );
            permits += usize::from(round == 0 && allowed);
        }
    }
    (times(ours), times(cedar), permits)
}

/// Whole decisions of the hospital pack: from the canonical request to the record.
fn whole() -> Vec<(&'static str, Times)> {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let mut world = Snapshot::new(PolicyPack::hospital());
    for (id, role) in [("nurse", "nurse"), ("doctor", "physician")] {
        world.set_person(Person {
            id: id.into(),
            name: Default::default(),
            kind: Default::default(),
            roles: vec![role.into()],
            units: vec!["ward-3".into()],
            active: true,
            patient: None,
            device: None,
        });
    }
    for n in 0..100_000 {
        world.set_device(Device {
            id: format!("device-{n}").into(),
            name: Default::default(),
            class: "workstation".into(),
            managed: true,
            shared: true,
            compliant: Some(true),
            unit: Some("ward-3".into()),
            ae_title: None,
        });
    }
    world.set_patient(
        "patient".into(),
        domain::relation::PatientFacts {
            unit: Some("ward-9".into()),
            care_team: vec!["doctor".into()],
            ..Default::default()
        },
    );
    world.set_feed(domain::relation::Feed {
        name: "care_team".into(),
        as_of: now,
        max_age_secs: 600,
    });
    let request = |person: &str| CanonicalRequest {
        subject: Subject {
            person: person.into(),
            session: None,
            device: Some("device-77777".into()),
            session_ends: Timestamp::FOREVER,
        },
        targets: vec![Target {
            action: Action::FhirRead,
            resource: Resource::FhirResource(Box::new(FhirResource {
                application: "fhir".into(),
                resource_type: "Observation".into(),
                id: Some("o-1".into()),
                patients: vec!["patient".into()],
                confidentiality: Default::default(),
                labels: Default::default(),
                authors: Vec::new(),
                device: None,
                unit: None,
                categories: Vec::new(),
                controlled: false,
                deidentified: false,
                change: None,
            })),
        }],
        context: Context {
            purpose: Purpose::Treat,
            authentication: Authentication {
                level: Aal::Aal1,
                phishing_resistant: false,
                at: now,
                last_active: now,
            },
            risk: 0,
            grants: Grants::default(),
            scopes: None,
            launch_patient: None,
            ticket: None,
        },
        message: None,
    };
    let time = |mut one: Box<dyn FnMut()>| {
        let mut nanos = Vec::new();
        for _ in 0..400 {
            let start = Instant::now();
            for _ in 0..50 {
                one();
            }
            nanos.push(start.elapsed().as_nanos() as f64 / 50.0);
        }
        times(nanos)
    };
    let of = |person: &'static str, record: bool| {
        let (world, request) = (world.clone(), request(person));
        time(Box::new(move || {
            let decision = policy::decide(&world, request.clone(), now);
            if record {
                std::hint::black_box(decision.ruling().record());
            }
            std::hint::black_box(decision.outcome());
        }))
    };
    let device = {
        let mut world = world.clone();
        let mut n = 0;
        time(Box::new(move || {
            n = (n + 7919) % 100_000;
            let mut next = world.clone();
            let id = domain::DeviceId::new(format!("device-{n}"));
            let changed = next.device(&id).map(|d| Device {
                shared: !d.shared,
                ..Device::clone(d)
            });
            changed.into_iter().for_each(|d| next.set_device(d));
            world = next;
        }))
    };
    vec![
        ("permit", of("doctor", false)),
        ("permit, with record", of("doctor", true)),
        ("break-glass", of("nurse", false)),
        ("one of 100,000 devices changed", device),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments
        .windows(2)
        .any(|w| w[0] == "--format" && w[1] == "json");
    let quick = arguments.iter().any(|a| a == "--quick");
    let seed = 42;
    println!("a decision on prepared inputs, {REQUESTS} requests, seed {seed}, nanoseconds");
    println!(
        "{:>9} {:>8} {:>12} {:>12} {:>14} {:>14} {:>10}",
        "policies", "permits", "ours p50", "ours p99", "cedar p50", "cedar p99", "ratio p50"
    );
    let (mut ratios, mut ours_json, mut cedar_json) = (String::new(), String::new(), String::new());
    for size in SIZES {
        let work = workload(size, seed);
        let rounds = if quick || size >= 10_000 { 1 } else { ROUNDS };
        let (ours, cedar, permits) = compare(&work, rounds);
        let ratio = cedar.p50 / ours.p50;
        println!(
            "{size:>9} {permits:>8} {:>12.0} {:>12.0} {:>14.0} {:>14.0} {ratio:>9.1}x",
            ours.p50, ours.p99, cedar.p50, cedar.p99
        );
        let comma = if size == SIZES[0] { "" } else { "," };
        let _ = write!(ratios, "{comma}\"{size}\":{ratio:.2}");
        let _ = write!(
            ours_json,
            "{comma}\"{size}\":{{\"p50\":{:.1},\"p99\":{:.1}}}",
            ours.p50, ours.p99
        );
        let _ = write!(
            cedar_json,
            "{comma}\"{size}\":{{\"p50\":{:.1},\"p99\":{:.1}}}",
            cedar.p50, cedar.p99
        );
    }
    println!(
        "\na whole decision of the hospital pack ({} policies), nanoseconds",
        PolicyPack::hospital().policy_count()
    );
    println!("{:<34} {:>10} {:>10}", "", "p50", "p99");
    let mut whole_json = String::new();
    for (at, (name, t)) in whole().into_iter().enumerate() {
        println!("{name:<34} {:>10.0} {:>10.0}", t.p50, t.p99);
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(
            whole_json,
            "{comma}\"{name}\":{{\"p50\":{:.1},\"p99\":{:.1}}}",
            t.p50, t.p99
        );
    }
    if json {
        println!(
            "{{\"ratios\":{{{ratios}}},\"ours_ns\":{{{ours_json}}},\"cedar_ns\":{{{cedar_json}}},\"whole_ns\":{{{whole_json}}}}}"
        );
    }
}
