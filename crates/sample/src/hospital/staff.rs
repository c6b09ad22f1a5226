//! Units, staff and the machines they use.

use domain::subject::SubjectKind;
use domain::{Device, Person, PersonId, UnitId};

use super::names::{Gender, Names};
use super::{Unit, UnitKind};

/// The clinic's unit id.
pub(super) const CLINIC: &str = "clinic";
/// The substance-use programme's unit id.
pub(super) const PROGRAMME: &str = "harbour";
/// The psychiatric ward's unit id.
pub(super) const PSYCHIATRY: &str = "linden";
/// The infusion-pump gateway: a device, and the workload that speaks for it.
pub(super) const PUMP_GATEWAY: &str = "pump-gateway-1";

const UNITS: &[(&str, &str, UnitKind)] = &[
    ("maple", "Maple Ward (medicine)", UnitKind::Ward),
    ("birch", "Birch Ward (surgery)", UnitKind::Ward),
    ("rowan", "Rowan Ward (cardiology)", UnitKind::Ward),
    ("alder", "Alder Unit (intensive care)", UnitKind::Ward),
    ("willow", "Willow Ward (paediatrics)", UnitKind::Ward),
    (PSYCHIATRY, "Linden Ward (psychiatry)", UnitKind::Ward),
    (CLINIC, "Outpatient Clinic", UnitKind::Clinic),
    (
        PROGRAMME,
        "Harbour Programme (substance use)",
        UnitKind::Programme,
    ),
    ("pharmacy", "Pharmacy", UnitKind::Office),
    ("billing", "Billing Office", UnitKind::Office),
    ("registration", "Registration", UnitKind::Office),
    ("privacy", "Privacy Office", UnitKind::Office),
    ("it", "Information Technology", UnitKind::Office),
    ("security", "Information Security", UnitKind::Office),
    ("research", "Research Office", UnitKind::Office),
];

/// Prefix of the id, role, unit, what the person is called.
const POSTS: &[(&str, &str, &str, &str)] = &[
    ("dr", "physician", "maple", "Internal medicine"),
    ("dr", "physician", "maple", "Internal medicine"),
    ("dr", "physician", "birch", "General surgery"),
    ("dr", "physician", "birch", "Orthopaedic surgery"),
    ("dr", "physician", "rowan", "Cardiology"),
    ("dr", "physician", "alder", "Critical care medicine"),
    ("dr", "physician", "willow", "Paediatrics"),
    ("dr", "physician", PSYCHIATRY, "Psychiatry"),
    ("dr", "physician", PSYCHIATRY, "Psychotherapy"),
    ("dr", "physician", CLINIC, "Family medicine"),
    ("dr", "physician", CLINIC, "Infectious disease"),
    ("dr", "physician", PROGRAMME, "Addiction medicine"),
    ("rn", "nurse", "maple", "Nursing"),
    ("rn", "nurse", "maple", "Nursing"),
    ("rn", "nurse", "birch", "Nursing"),
    ("rn", "nurse", "birch", "Nursing"),
    ("rn", "nurse", "rowan", "Nursing"),
    ("rn", "nurse", "rowan", "Nursing"),
    ("rn", "nurse", "alder", "Nursing"),
    ("rn", "nurse", "alder", "Nursing"),
    ("rn", "nurse", "willow", "Nursing"),
    ("rn", "nurse", "willow", "Nursing"),
    ("rn", "nurse", PSYCHIATRY, "Nursing"),
    ("rn", "nurse", PSYCHIATRY, "Nursing"),
    ("rn", "nurse", CLINIC, "Nursing"),
    ("rn", "nurse", PROGRAMME, "Nursing"),
    ("rx", "pharmacist", "pharmacy", "Pharmacy"),
    ("rx", "pharmacist", "pharmacy", "Pharmacy"),
    ("bill", "billing", "billing", "Billing"),
    ("bill", "billing", "billing", "Billing"),
    ("reg", "registrar", "registration", "Registration"),
    ("priv", "privacy_officer", "privacy", "Privacy"),
    ("it", "it_administrator", "it", "Information technology"),
    ("sec", "security", "security", "Information security"),
    ("res", "researcher", "research", "Research"),
];

/// One employee.
pub(super) struct Member {
    pub(super) person: Person,
    pub(super) given: &'static str,
    pub(super) family: String,
    pub(super) gender: Gender,
    pub(super) specialty: &'static str,
}

/// Everybody who is not only a patient.
pub(super) struct Staff {
    pub(super) members: Vec<Member>,
    /// Parents of young patients; `patient::generate` ties them to their children.
    pub(super) proxies: Vec<Member>,
    pub(super) vendor: Member,
    pub(super) gateway: Person,
}

impl Staff {
    /// Members with `role` in `unit`.
    pub(super) fn of<'a>(
        &'a self,
        role: &'static str,
        unit: &'a str,
    ) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |m| {
            m.person.roles.iter().any(|r| r.as_str() == role)
                && m.person.units.iter().any(|u| u.as_str() == unit)
        })
    }

    /// Members with `role`.
    pub(super) fn with_role(&self, role: &'static str) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |m| m.person.roles.iter().any(|r| r.as_str() == role))
    }

    /// The member with this id.
    pub(super) fn member(&self, id: &PersonId) -> Option<&Member> {
        self.members.iter().find(|m| m.person.id == *id)
    }

    /// Everybody as the directory knows them.
    pub(super) fn people(&self) -> Vec<Person> {
        self.members
            .iter()
            .chain(&self.proxies)
            .chain([&self.vendor])
            .map(|m| m.person.clone())
            .chain([self.gateway.clone()])
            .collect()
    }
}

/// The hospital's units.
pub(super) fn units() -> Vec<Unit> {
    UNITS
        .iter()
        .map(|(id, name, kind)| Unit {
            id: UnitId::new(*id),
            name,
            kind: *kind,
        })
        .collect()
}

/// Invents the staff.
pub(super) fn generate(names: &mut Names) -> Staff {
    let members = POSTS
        .iter()
        .map(|(prefix, role, unit, specialty)| {
            let mut member = somebody(names, prefix, role, SubjectKind::Workforce);
            member.person.units = vec![UnitId::new(*unit)];
            member.specialty = specialty;
            if *role == "physician" {
                member.person.name = format!("Dr {}", member.person.name).into();
            }
            member
        })
        .collect();
    Staff {
        members,
        proxies: (0..2)
            .map(|_| somebody(names, "parent", "proxy", SubjectKind::Proxy))
            .collect(),
        vendor: somebody(names, "vendor", "vendor", SubjectKind::Vendor),
        gateway: Person {
            id: PersonId::new("svc-pump-gateway"),
            name: "Infusion-pump gateway".into(),
            kind: SubjectKind::Workload,
            roles: vec!["device_gateway".into()],
            units: vec![UnitId::new("alder")],
            active: true,
            patient: None,
            device: Some(PUMP_GATEWAY.into()),
        },
    }
}

fn somebody(names: &mut Names, prefix: &str, role: &str, kind: SubjectKind) -> Member {
    let gender = names.gender();
    let given = names.given(gender);
    let family = names.family();
    Member {
        person: Person {
            id: PersonId::new(format!("{prefix}-{}", family.to_lowercase())),
            name: format!("{given} {family}").into(),
            kind,
            roles: vec![role.into()],
            units: Vec::new(),
            active: true,
            patient: None,
            device: None,
        },
        given,
        family,
        gender,
        specialty: "",
    }
}

/// The machines that people come with, and the pump gateway.
pub(super) fn devices() -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for (unit, name, kind) in UNITS {
        let seats = if *kind == UnitKind::Ward { 2 } else { 1 };
        for seat in 1..=seats {
            devices.push(Device {
                id: format!("ws-{unit}-{seat}").into(),
                name: format!("{name}, workstation {seat}").into(),
                class: "workstation".into(),
                managed: true,
                // An office desk has one user; a ward's is used by whoever stands there.
                shared: *kind != UnitKind::Office,
                compliant: Some(true),
                unit: Some(UnitId::new(*unit)),
                ae_title: None,
            });
        }
    }
    let mobile = |id: &str, name: &str, class: &str, managed, compliant| Device {
        id: id.into(),
        name: name.into(),
        class: class.into(),
        managed,
        shared: false,
        compliant,
        unit: None,
        ae_title: None,
    };
    devices.push(mobile(
        "laptop-managed",
        "Hospital laptop",
        "laptop",
        true,
        Some(true),
    ));
    devices.push(mobile(
        "laptop-unprotected",
        "Hospital laptop, endpoint protection off",
        "laptop",
        true,
        Some(false),
    ));
    devices.push(mobile(
        "phone-private",
        "Private phone",
        "phone",
        false,
        None,
    ));
    devices.push(mobile(
        "laptop-vendor",
        "Vendor's own laptop",
        "laptop",
        false,
        None,
    ));
    devices.push(Device {
        id: PUMP_GATEWAY.into(),
        name: "Infusion-pump gateway, Alder Unit".into(),
        class: "infusion_pump_gateway".into(),
        managed: true,
        shared: false,
        compliant: Some(true),
        unit: Some(UnitId::new("alder")),
        ae_title: None,
    });
    devices
}
