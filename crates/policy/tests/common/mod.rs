//! Random hospitals and requests from a seed.
#![allow(dead_code, reason = "each test file uses its own part")]

use domain::relation::{Consent, ConsentEffect, Encounter, Feed, PatientFacts, VendorWindow};
use domain::resource::{
    Change, ConsoleArea, DicomNode, FhirEndpoint, FhirResource, Hl7Interface, NetworkService,
    WebPage,
};
use domain::subject::SubjectKind;
use domain::{
    Aal, Action, Authentication, CanonicalRequest, Confidentiality, Context, Criticality, Device,
    EnforcementMode, Grants, PatientId, Person, Purpose, Resource, Sensitivity, SensitivitySet,
    Subject, Target, Timestamp,
};
use policy::{ApplicationFacts, PolicyPack, Snapshot};
use smol_str::{SmolStr, format_smolstr};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    pub(crate) fn some<T>(&mut self, percent: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| make(self))
    }
}

pub(crate) const ROLES: &[&str] = &[
    "physician",
    "nurse",
    "pharmacist",
    "billing",
    "registrar",
    "privacy_officer",
    "it_administrator",
    "security",
    "researcher",
    "lab_interface",
];
pub(crate) const UNITS: &[&str] = &["ward-1", "ward-2", "programme-9", "cohort-7"];
pub(crate) const TYPES: &[&str] = &[
    "Patient",
    "Observation",
    "Condition",
    "MedicationRequest",
    "MedicationDispense",
    "Claim",
    "Binary",
    "CareTeam",
    "Consent",
    "DocumentReference",
    "AuditEvent",
    "Practitioner",
    "Subscription",
    "Nonsense",
    "*",
];
const PEOPLE: u64 = 6;
const PATIENTS: u64 = 5;
const DEVICES: u64 = 5;

fn person_id(dice: &mut Dice) -> SmolStr {
    format_smolstr!("person-{}", dice.below(PEOPLE))
}

fn patient_id(dice: &mut Dice) -> PatientId {
    PatientId::new(format_smolstr!("patient-{}", dice.below(PATIENTS)))
}

fn device_id(dice: &mut Dice) -> SmolStr {
    format_smolstr!("device-{}", dice.below(DEVICES))
}

fn instant(dice: &mut Dice) -> Timestamp {
    let spans = [
        0i64,
        1_000,
        60_000,
        299_000,
        301_000,
        600_000,
        901_000,
        7_200_000,
        86_400_000 * 30,
        86_400_000 * 31,
    ];
    let span = *dice.pick(&spans) + dice.below(3) as i64;
    let sign = if dice.chance(70) { -1 } else { 1 };
    Timestamp::from_millis(NOW.as_millis() + sign * span)
}

fn labels(dice: &mut Dice) -> SensitivitySet {
    if dice.chance(60) {
        return SensitivitySet::EMPTY;
    }
    (0..1 + dice.below(2))
        .map(|_| *dice.pick(Sensitivity::ALL))
        .collect()
}

fn patient(dice: &mut Dice) -> PatientFacts {
    PatientFacts {
        vip: dice.chance(15),
        employee: dice.chance(15),
        adolescent: dice.chance(20),
        unit: dice.some(60, |d| (*d.pick(UNITS)).into()),
        care_team: (0..dice.below(3))
            .map(|_| person_id(dice).as_str().into())
            .collect(),
        encounters: (0..dice.below(3))
            .map(|_| Encounter {
                person: person_id(dice).as_str().into(),
                ended: dice.some(70, instant),
            })
            .collect(),
        consents: (0..dice.below(3))
            .map(|_| Consent {
                effect: if dice.chance(60) {
                    ConsentEffect::Permit
                } else {
                    ConsentEffect::Deny
                },
                people: (0..dice.below(2))
                    .map(|_| person_id(dice).as_str().into())
                    .collect(),
                labels: labels(dice),
                ends: if dice.chance(50) {
                    Timestamp::FOREVER
                } else {
                    instant(dice)
                },
            })
            .collect(),
        proxies: (0..dice.below(2))
            .map(|_| person_id(dice).as_str().into())
            .collect(),
    }
}

pub(crate) fn hospital(dice: &mut Dice) -> Snapshot {
    let mut world = Snapshot::new(PolicyPack::hospital());
    for n in 0..PEOPLE {
        let kind = match dice.below(10) {
            0 => SubjectKind::Vendor,
            1 => SubjectKind::Proxy,
            2 => SubjectKind::Workload,
            _ => SubjectKind::Workforce,
        };
        world.set_person(Person {
            id: format!("person-{n}").into(),
            name: "Somebody".into(),
            kind,
            roles: (0..dice.below(3))
                .map(|_| (*dice.pick(ROLES)).into())
                .collect(),
            units: (0..dice.below(3))
                .map(|_| (*dice.pick(UNITS)).into())
                .collect(),
            active: dice.chance(92),
            patient: dice.some(20, patient_id),
            device: dice.some(30, |d| device_id(d).as_str().into()),
        });
    }
    for n in 0..DEVICES {
        world.set_device(Device {
            id: format!("device-{n}").into(),
            name: "Something".into(),
            class: (*dice.pick(&["workstation", "phone", "infusion_pump", "modality"])).into(),
            managed: dice.chance(70),
            shared: dice.chance(40),
            compliant: dice.some(80, |d| d.chance(70)),
            unit: dice.some(60, |d| (*d.pick(UNITS)).into()),
            ae_title: None,
        });
    }
    for n in 0..PATIENTS {
        let facts = patient(dice);
        world.set_patient(PatientId::new(format!("patient-{n}")), facts);
    }
    if dice.chance(40) {
        world.set_feed(Feed {
            name: (*dice.pick(&["care_team", "encounter", "directory"])).into(),
            as_of: instant(dice),
            max_age_secs: 600,
        });
    }
    let windows = (0..dice.below(3))
        .map(|_| VendorWindow {
            person: person_id(dice).as_str().into(),
            device: device_id(dice).as_str().into(),
            ticket: "T1".into(),
            approved_by: dice.some(80, |d| person_id(d).as_str().into()),
            starts: instant(dice),
            ends: instant(dice),
        })
        .collect();
    world.set_vendor_windows(windows);
    if dice.chance(60) {
        world.set_application(
            "fhir".into(),
            ApplicationFacts {
                mode: if dice.chance(50) {
                    EnforcementMode::Enforce
                } else {
                    EnforcementMode::Shadow
                },
                criticality: *dice.pick(&[
                    Criticality::LifeCritical,
                    Criticality::Clinical,
                    Criticality::Business,
                    Criticality::Administrative,
                ]),
            },
        );
    }
    world
}

pub(crate) fn fhir_resource(dice: &mut Dice) -> FhirResource {
    let mut patients: Vec<PatientId> = (0..[1, 1, 1, 1, 0, 2][dice.below(6) as usize])
        .map(|_| patient_id(dice))
        .collect();
    patients.sort();
    patients.dedup();
    FhirResource {
        application: "fhir".into(),
        resource_type: (*dice.pick(TYPES)).into(),
        id: dice.some(80, |d| format_smolstr!("{}", d.below(9))),
        patients,
        confidentiality: *dice.pick(&[
            Confidentiality::N,
            Confidentiality::N,
            Confidentiality::R,
            Confidentiality::V,
        ]),
        labels: labels(dice),
        authors: (0..dice.below(2))
            .map(|_| person_id(dice).as_str().into())
            .collect(),
        device: dice.some(20, |d| device_id(d).as_str().into()),
        unit: dice.some(40, |d| (*d.pick(UNITS)).into()),
        categories: Vec::new(),
        controlled: dice.chance(20),
        deidentified: dice.chance(20),
        change: dice.some(30, |d| Change {
            removes_labels: if d.chance(20) {
                labels(d)
            } else {
                SensitivitySet::EMPTY
            },
            lowers_confidentiality: d.chance(15),
            moves_patient: d.chance(15),
            benefits: (0..d.below(2))
                .map(|_| person_id(d).as_str().into())
                .collect(),
        }),
    }
}

pub(crate) fn target(dice: &mut Dice) -> Target {
    let fhir = [
        Action::FhirRead,
        Action::FhirRead,
        Action::FhirVread,
        Action::FhirHistory,
        Action::FhirSearch,
        Action::FhirCreate,
        Action::FhirUpdate,
        Action::FhirPatch,
        Action::FhirDelete,
        Action::FhirOperation,
        Action::FhirExport,
        Action::FhirCapabilities,
        Action::Unclassified,
    ];
    match dice.below(12) {
        0..=5 => Target {
            action: *dice.pick(&fhir),
            resource: Resource::FhirResource(Box::new(fhir_resource(dice))),
        },
        6..=8 => {
            let mut patients: Vec<PatientId> =
                (0..dice.below(2)).map(|_| patient_id(dice)).collect();
            patients.sort();
            Target {
                action: *dice.pick(&fhir),
                resource: Resource::FhirEndpoint(FhirEndpoint {
                    application: "fhir".into(),
                    resource_type: (*dice.pick(TYPES)).into(),
                    id: dice.some(50, |_| "1".into()),
                    patients,
                    operation: dice
                        .some(30, |d| (*d.pick(&["everything", "export", "merge"])).into()),
                    categories: Vec::new(),
                }),
            }
        }
        9 => Target {
            action: *dice.pick(&[
                Action::WebGet,
                Action::WebSubmit,
                Action::WebDelete,
                Action::WebConnect,
                Action::FhirRead,
            ]),
            resource: Resource::WebPage(WebPage {
                application: "intranet".into(),
                area: (*dice.pick(&["home", "admin", "*"])).into(),
                path: "/".into(),
                roles: (0..dice.below(3))
                    .map(|_| (*dice.pick(ROLES)).into())
                    .collect(),
            }),
        },
        10 => match dice.below(3) {
            0 => Target {
                action: *dice.pick(&[
                    Action::DicomStore,
                    Action::DicomFind,
                    Action::DicomMove,
                    Action::DicomGet,
                ]),
                resource: Resource::DicomNode(DicomNode {
                    ae_title: "PACS".into(),
                    destination: dice.some(50, |_| "WS".into()),
                    destination_listed: dice.chance(50),
                    wildcard: dice.chance(30),
                    patient: dice.some(60, patient_id),
                }),
            },
            1 => Target {
                action: Action::Hl7Send,
                resource: Resource::Hl7Interface(Hl7Interface {
                    name: "lab".into(),
                    message_code: (*dice.pick(&["ORU", "ADT"])).into(),
                    trigger: (*dice.pick(&["R01", "A01", "A40"])).into(),
                }),
            },
            _ => Target {
                action: Action::NetConnect,
                resource: Resource::NetworkService(NetworkService {
                    device: device_id(dice).as_str().into(),
                    protocol: "tcp".into(),
                    port: 22,
                }),
            },
        },
        _ => Target {
            action: *dice.pick(&[Action::ConsoleView, Action::ConsoleChange]),
            resource: Resource::Console(ConsoleArea {
                area: (*dice.pick(&["decisions", "sessions", "secrets"])).into(),
            }),
        },
    }
}

pub(crate) fn context(dice: &mut Dice, subject: &Subject) -> Context {
    let at = instant(dice);
    let grants = (0..dice.below(2))
        .map(|_| domain::BreakGlassGrant {
            id: "g".into(),
            person: if dice.chance(85) {
                subject.person.clone()
            } else {
                person_id(dice).as_str().into()
            },
            device: if dice.chance(70) {
                subject.device.clone()
            } else {
                None
            },
            patient: patient_id(dice),
            reason: if dice.chance(95) {
                "emergency".into()
            } else {
                " ".into()
            },
            issued: instant(dice),
            expires: instant(dice),
        })
        .collect::<Vec<_>>();
    let grants = match grants.into_iter().next() {
        Some(one) if dice.chance(30) => Grants::Presented(one),
        one => Grants::Held(one.into_iter().collect()),
    };
    Context {
        purpose: *dice.pick(&[
            Purpose::Treat,
            Purpose::Treat,
            Purpose::Etreat,
            Purpose::Hpaymt,
            Purpose::Hoperat,
            Purpose::Hresch,
            Purpose::Patrqt,
        ]),
        authentication: Authentication {
            level: *dice.pick(&[Aal::Aal1, Aal::Aal2, Aal::Aal3]),
            phishing_resistant: dice.chance(40),
            at,
            last_active: instant(dice).max(at),
        },
        risk: *dice.pick(&[0, 0, 0, 30, 69, 70, 100]),
        grants,
        scopes: dice.some(10, |d| {
            vec![(*d.pick(&["patient/*.cruds", "user/Observation.rs"])).into()]
        }),
        launch_patient: dice.some(30, patient_id),
        ticket: dice.some(50, |_| "T1".into()),
    }
}

pub(crate) fn request(dice: &mut Dice) -> CanonicalRequest {
    let subject = Subject {
        person: if dice.chance(97) {
            person_id(dice).as_str().into()
        } else {
            "nobody".into()
        },
        session: None,
        device: dice.some(80, |d| device_id(d).as_str().into()),
        session_ends: if dice.chance(90) {
            Timestamp::FOREVER
        } else {
            instant(dice)
        },
    };
    let context = context(dice, &subject);
    let targets = (0..if dice.chance(85) {
        1
    } else {
        2 + dice.below(2)
    })
        .map(|_| target(dice))
        .collect();
    CanonicalRequest {
        subject,
        targets,
        context,
        message: None,
    }
}
