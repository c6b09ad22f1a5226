//! What kinds of devices there are in a synthetic hospital, and who is in the habit of talking to whom.

use domain::Transport::{self, Tcp, Udp};

/// A kind of device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) id: &'static str,
    /// What tells servers of one kind apart.
    pub(super) role: &'static str,
    /// Share of all devices; 0 if their number is fixed.
    pub(super) per_mille: f64,
    /// How many, if that does not depend on the size of the hospital.
    pub(super) fixed: usize,
    /// One for each ward.
    pub(super) per_ward: bool,
    /// Its department; empty: the wards.
    pub(super) unit: &'static str,
    pub(super) segment: &'static str,
    pub(super) outside: bool,
}

const fn many(id: &'static str, per_mille: f64, unit: &'static str, segment: &'static str) -> Kind {
    Kind {
        id,
        role: "",
        per_mille,
        fixed: 0,
        per_ward: false,
        unit,
        segment,
        outside: false,
    }
}

const fn fixed(id: &'static str, role: &'static str, fixed: usize) -> Kind {
    Kind {
        fixed,
        role,
        ..many(id, 0.0, "Data centre", "servers")
    }
}

const fn outside(role: &'static str, count: usize) -> Kind {
    Kind {
        outside: true,
        ..fixed("outside", role, count)
    }
}

pub(super) const KINDS: &[Kind] = &[
    many("infusion_pump", 150.0, "", "clinical"),
    many("patient_monitor", 100.0, "", "clinical"),
    Kind {
        per_ward: true,
        ..many("central_monitor", 0.0, "", "clinical")
    },
    many("ventilator", 15.0, "", "clinical"),
    many("hospital_bed", 20.0, "", "clinical"),
    many("nurse_call", 12.0, "", "clinical"),
    many("glucose_meter", 20.0, "", "clinical"),
    many("blood_gas_analyser", 4.0, "", "clinical"),
    many("pharmacy_cabinet", 8.0, "", "clinical"),
    many("workstation", 300.0, "", "clients"),
    many("thin_client", 40.0, "", "clients"),
    many("mobile_computer", 30.0, "", "clients"),
    many("laptop", 50.0, "Administration", "clients"),
    many("printer", 40.0, "", "clients"),
    many("label_printer", 10.0, "", "clients"),
    many("voip_phone", 80.0, "", "voice"),
    many("ct_scanner", 1.0, "Radiology", "imaging"),
    many("mri_scanner", 1.0, "Radiology", "imaging"),
    many("xray_system", 4.0, "Radiology", "imaging"),
    many("ultrasound_system", 10.0, "Radiology", "imaging"),
    many("imaging_workstation", 8.0, "Radiology", "imaging"),
    many("lab_analyser", 10.0, "Laboratory", "laboratory"),
    many("camera", 30.0, "Facilities", "building"),
    many("badge_reader", 30.0, "Facilities", "building"),
    many("building_controller", 10.0, "Facilities", "building"),
    many("access_point", 20.0, "Network", "network"),
    many("switch", 15.0, "Network", "network"),
    fixed("pacs", "", 2),
    fixed("worklist_server", "", 1),
    fixed("integration_engine", "", 2),
    fixed("ehr_server", "", 4),
    fixed("infusion_server", "", 2),
    fixed("lab_system", "", 1),
    fixed("medical_gateway", "", 4),
    fixed("domain_controller", "", 4),
    fixed("dns_server", "", 2),
    fixed("print_server", "", 2),
    fixed("database_server", "", 3),
    fixed("voip_gateway", "", 2),
    fixed("video_recorder", "", 3),
    fixed("wireless_controller", "", 2),
    fixed("storage", "", 2),
    fixed("server", "files", 4),
    fixed("server", "backup", 2),
    fixed("server", "updates", 1),
    fixed("server", "watch", 1),
    fixed("server", "access", 1),
    fixed("server", "building", 1),
    fixed("server", "downtime", 1),
    fixed("workstation", "physics", 2),
    outside("internet", 1),
    outside("vendor", 6),
];

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum To {
    /// Every one of the kind.
    All,
    /// Each with a chance, in percent.
    Any(f64),
    /// Every one of the same ward.
    Ward,
    /// Some of the same ward, always the same.
    WardSome(usize),
    /// Some, always the same.
    Some(usize),
    /// The first of a cluster; the second while it has failed over.
    First,
    /// One, always the same.
    Own,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rhythm {
    /// Every day.
    Daily,
    /// In so many percent of weeks.
    Weekly(f64),
    /// Every so many weeks, each device in its own.
    Every(u32),
    /// Every so many weeks, all in the same: the period and its week.
    Together(u32, u32),
}

/// Which ports of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ports {
    One(u16),
    /// From a range, kept by the server for so many weeks: first, how many, weeks.
    Until(u16, u16, u32),
    /// From a range, another each time: first, how many, at most so many a week.
    Moving(u16, u16, u8),
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    pub(super) from: &'static str,
    pub(super) role: &'static str,
    pub(super) to: &'static str,
    pub(super) to_role: &'static str,
    pub(super) whom: To,
    pub(super) transport: Transport,
    pub(super) ports: Ports,
    pub(super) rhythm: Rhythm,
    /// Percentage of the kind that has the habit.
    pub(super) share: f64,
}

const fn habit(
    from: &'static str,
    to: &'static str,
    whom: To,
    transport: Transport,
    port: u16,
) -> Habit {
    Habit {
        from,
        role: "",
        to,
        to_role: "",
        whom,
        transport,
        ports: Ports::One(port),
        rhythm: Rhythm::Daily,
        share: 100.0,
    }
}

impl Habit {
    const fn at(self, rhythm: Rhythm) -> Self {
        Self { rhythm, ..self }
    }

    const fn ports(self, ports: Ports) -> Self {
        Self { ports, ..self }
    }

    const fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    const fn role(self, role: &'static str) -> Self {
        Self { role, ..self }
    }

    const fn to(self, to_role: &'static str) -> Self {
        Self { to_role, ..self }
    }
}

/// Names and time for a kind of device.
macro_rules! basics {
    ($($kind:literal),* $(,)?) => {
        [$(
            habit($kind, "dns_server", To::All, Udp, 53),
            habit($kind, "dns_server", To::All, Udp, 123),
        )*]
    };
}

/// What members of the domain do.
macro_rules! joined {
    ($($kind:literal),* $(,)?) => {
        [$(
            habit($kind, "domain_controller", To::Any(60.0), Tcp, 88),
            habit($kind, "domain_controller", To::Any(60.0), Tcp, 389),
            habit($kind, "domain_controller", To::Any(60.0), Tcp, 445),
            habit($kind, "domain_controller", To::Any(40.0), Tcp, 135),
            habit($kind, "domain_controller", To::Any(40.0), Tcp, 0).ports(Ports::Until(49_664, 64, 12)),
            habit($kind, "server", To::All, Tcp, 8530).to("updates").at(Rhythm::Every(4)),
        )*]
    };
}

const BASICS: &[Habit] = &basics![
    "infusion_pump",
    "patient_monitor",
    "central_monitor",
    "ventilator",
    "hospital_bed",
    "nurse_call",
    "glucose_meter",
    "blood_gas_analyser",
    "pharmacy_cabinet",
    "workstation",
    "thin_client",
    "mobile_computer",
    "laptop",
    "printer",
    "label_printer",
    "voip_phone",
    "ct_scanner",
    "mri_scanner",
    "xray_system",
    "ultrasound_system",
    "imaging_workstation",
    "lab_analyser",
    "camera",
    "badge_reader",
    "building_controller",
    "access_point",
    "switch",
    "pacs",
    "integration_engine",
    "ehr_server",
    "infusion_server",
    "lab_system",
    "medical_gateway",
    "print_server",
    "database_server",
    "server",
];

const JOINED: &[Habit] = &joined![
    "workstation",
    "laptop",
    "thin_client",
    "imaging_workstation",
    "pharmacy_cabinet",
    "central_monitor",
    "print_server",
    "ehr_server",
    "database_server",
    "server",
];

const CARE: &[Habit] = &[
    // Infusion.
    habit("infusion_pump", "infusion_server", To::First, Tcp, 9292),
    habit("infusion_server", "infusion_pump", To::All, Tcp, 4900).at(Rhythm::Together(4, 2)),
    habit(
        "infusion_server",
        "integration_engine",
        To::First,
        Tcp,
        2575,
    ),
    // Monitoring.
    habit("patient_monitor", "central_monitor", To::Ward, Udp, 24_005),
    habit("patient_monitor", "central_monitor", To::Ward, Tcp, 24_105),
    habit("ventilator", "medical_gateway", To::Own, Tcp, 3200),
    habit("central_monitor", "medical_gateway", To::All, Tcp, 3200),
    habit(
        "medical_gateway",
        "integration_engine",
        To::First,
        Tcp,
        2575,
    ),
    habit("hospital_bed", "medical_gateway", To::Own, Tcp, 3201),
    habit("nurse_call", "voip_gateway", To::First, Tcp, 5060),
    habit("nurse_call", "nurse_call", To::WardSome(2), Tcp, 7001),
    // Laboratory.
    habit("lab_analyser", "lab_system", To::All, Tcp, 6661),
    habit("blood_gas_analyser", "lab_system", To::All, Tcp, 6661),
    habit("glucose_meter", "lab_system", To::All, Tcp, 443).at(Rhythm::Weekly(90.0)),
    habit("lab_system", "integration_engine", To::First, Tcp, 2575),
    habit("lab_system", "storage", To::Own, Tcp, 21),
    habit("lab_system", "storage", To::Own, Tcp, 0).ports(Ports::Moving(50_000, 256, 30)),
    habit("lab_analyser", "outside", To::Own, Tcp, 443)
        .to("vendor")
        .at(Rhythm::Weekly(30.0)),
    // Imaging.
    habit("ct_scanner", "pacs", To::First, Tcp, 104),
    habit("mri_scanner", "pacs", To::First, Tcp, 104),
    habit("xray_system", "pacs", To::First, Tcp, 104),
    habit("ultrasound_system", "pacs", To::First, Tcp, 104).at(Rhythm::Weekly(85.0)),
    habit("ct_scanner", "worklist_server", To::All, Tcp, 104),
    habit("mri_scanner", "worklist_server", To::All, Tcp, 104),
    habit("xray_system", "worklist_server", To::All, Tcp, 104),
    habit("ultrasound_system", "worklist_server", To::All, Tcp, 104).at(Rhythm::Weekly(85.0)),
    habit("imaging_workstation", "pacs", To::All, Tcp, 11_112),
    habit("pacs", "imaging_workstation", To::Any(70.0), Tcp, 104),
    habit("pacs", "pacs", To::All, Tcp, 11_112).at(Rhythm::Together(4, 1)),
    habit(
        "worklist_server",
        "integration_engine",
        To::First,
        Tcp,
        2575,
    ),
    habit("ct_scanner", "outside", To::Own, Tcp, 443)
        .to("vendor")
        .at(Rhythm::Weekly(60.0)),
    habit("mri_scanner", "outside", To::Own, Tcp, 443)
        .to("vendor")
        .at(Rhythm::Weekly(60.0)),
    habit("outside", "ct_scanner", To::Some(2), Tcp, 3389)
        .role("vendor")
        .at(Rhythm::Weekly(15.0)),
    habit("outside", "mri_scanner", To::Some(1), Tcp, 22)
        .role("vendor")
        .at(Rhythm::Weekly(8.0)),
    // Monthly calibration.
    habit("workstation", "ct_scanner", To::All, Tcp, 104)
        .role("physics")
        .at(Rhythm::Together(4, 3)),
    habit("workstation", "xray_system", To::All, Tcp, 104)
        .role("physics")
        .at(Rhythm::Together(4, 0)),
    habit("workstation", "mri_scanner", To::All, Tcp, 104)
        .role("physics")
        .at(Rhythm::Together(13, 5)),
    // Results, orders, record.
    habit("integration_engine", "ehr_server", To::All, Tcp, 443),
    habit("integration_engine", "lab_system", To::All, Tcp, 2575),
    habit("integration_engine", "worklist_server", To::All, Tcp, 2575),
    habit("ehr_server", "integration_engine", To::First, Tcp, 2575),
    habit("ehr_server", "database_server", To::All, Tcp, 1521),
    habit("pharmacy_cabinet", "ehr_server", To::All, Tcp, 443),
    habit("workstation", "ehr_server", To::Any(80.0), Tcp, 443),
    habit("thin_client", "ehr_server", To::Any(80.0), Tcp, 443),
    habit("mobile_computer", "ehr_server", To::Any(70.0), Tcp, 443),
    habit("workstation", "pacs", To::First, Tcp, 443).share(60.0),
];

const OFFICE: &[Habit] = &[
    habit("workstation", "printer", To::WardSome(3), Tcp, 9100),
    habit("workstation", "label_printer", To::WardSome(1), Tcp, 9100).share(40.0),
    habit("workstation", "print_server", To::All, Tcp, 445),
    habit("print_server", "printer", To::All, Tcp, 9100),
    habit("workstation", "server", To::Some(2), Tcp, 445).to("files"),
    habit("laptop", "server", To::Some(3), Tcp, 445).to("files"),
    habit("workstation", "outside", To::All, Tcp, 443).to("internet"),
    habit("workstation", "outside", To::All, Tcp, 80)
        .to("internet")
        .at(Rhythm::Weekly(60.0)),
    habit("laptop", "outside", To::All, Tcp, 443).to("internet"),
    habit("laptop", "outside", To::All, Udp, 443).to("internet"),
    habit("laptop", "database_server", To::Own, Tcp, 1433).share(15.0),
    habit("voip_phone", "voip_gateway", To::All, Udp, 5060),
    habit("voip_phone", "voip_gateway", To::First, Udp, 0).ports(Ports::Moving(16_384, 48, 6)),
    habit("workstation", "laptop", To::Some(1), Tcp, 3389)
        .share(2.0)
        .at(Rhythm::Weekly(15.0)),
    // Downtime drill: a workstation of each ward prints from the downtime server.
    habit("workstation", "server", To::All, Tcp, 8443)
        .to("downtime")
        .share(12.0)
        .at(Rhythm::Together(13, 7)),
];

const BUILDING: &[Habit] = &[
    habit("camera", "video_recorder", To::Own, Tcp, 8554),
    habit("badge_reader", "server", To::All, Tcp, 4050).to("access"),
    habit("building_controller", "server", To::All, Udp, 47_808).to("building"),
    habit("server", "building_controller", To::All, Udp, 47_808).role("building"),
    habit("access_point", "wireless_controller", To::All, Udp, 5246),
    habit("access_point", "wireless_controller", To::All, Udp, 5247),
    habit("switch", "server", To::All, Udp, 514).to("watch"),
    habit("server", "switch", To::All, Udp, 161).role("watch"),
    habit("server", "access_point", To::All, Udp, 161).role("watch"),
    habit("server", "printer", To::All, Udp, 161).role("watch"),
    habit("server", "pacs", To::All, Tcp, 10_000)
        .role("backup")
        .at(Rhythm::Every(1)),
    habit("server", "ehr_server", To::All, Tcp, 10_000).role("backup"),
    habit("server", "database_server", To::All, Tcp, 10_000).role("backup"),
    habit("server", "lab_system", To::All, Tcp, 10_000).role("backup"),
    habit("server", "storage", To::All, Tcp, 0)
        .role("backup")
        .ports(Ports::Moving(52_000, 128, 40)),
    // Recovery drill: once in half a year, from the storage back.
    habit("storage", "database_server", To::All, Tcp, 1521).at(Rhythm::Together(26, 11)),
    habit("database_server", "storage", To::Own, Tcp, 445).at(Rhythm::Every(13)),
    habit("domain_controller", "domain_controller", To::All, Tcp, 389),
    habit("domain_controller", "domain_controller", To::All, Tcp, 0)
        .ports(Ports::Until(49_664, 64, 12)),
    habit("outside", "server", To::All, Tcp, 443)
        .role("vendor")
        .to("access")
        .at(Rhythm::Weekly(10.0)),
];

const fn all<const N: usize>() -> [Habit; N] {
    let mut out = [BASICS[0]; N];
    let parts: [&[Habit]; 5] = [BASICS, JOINED, CARE, OFFICE, BUILDING];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut n = 0;
        while n < parts[part].len() {
            out[at] = parts[part][n];
            at += 1;
            n += 1;
        }
        part += 1;
    }
    out
}

const COUNT: usize = BASICS.len() + JOINED.len() + CARE.len() + OFFICE.len() + BUILDING.len();

/// Every habit.
pub(super) const HABITS: &[Habit] = &all::<COUNT>();
