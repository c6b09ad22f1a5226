//! The machines: what stands where, under which address.

use std::net::Ipv4Addr;

use domain::{Mac, UnitId};

use super::{GATEWAY_MAC, address};
use crate::random::Random;
use crate::{Hospital, UnitKind};

/// Segment of the servers.
pub(super) const SERVERS: u16 = 10;
/// The flat segment: everything on the wards.
pub(super) const CLINICAL: u16 = 20;
/// Segment of building management and cameras.
pub(super) const BUILDING: u16 = 30;

/// One machine on the sample hospital's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its host name or asset name.
    pub name: String,
    /// What it truly is, in the inventory's words; `unlisted` for what no pack knows.
    pub kind: &'static str,
    /// Its maker.
    pub vendor: &'static str,
    /// Its model.
    pub model: &'static str,
    /// Serial number.
    pub serial: String,
    /// MAC address.
    pub mac: Mac,
    /// IP address.
    pub addr: Ipv4Addr,
    /// Segment: the VLAN identifier.
    pub vlan: u16,
    /// Where it stands.
    pub unit: UnitId,
    /// Initial hop limit of its packets.
    pub(super) ttl: u8,
    /// How it asks for its address; absent: it has a fixed one.
    pub(super) dhcp: Option<Dhcp>,
}

/// How a machine asks for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dhcp {
    pub(super) vendor_class: &'static str,
    pub(super) parameters: &'static [u8],
    pub(super) says_name: bool,
}

/// A register as CSV, and how it differs from the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The file.
    pub csv: String,
    /// Rows whose machine does not exist.
    pub missing: usize,
    /// Machines without a row.
    pub ghosts: usize,
    /// Rows with the wrong place.
    pub misplaced: usize,
    /// Rows with the wrong type.
    pub mislabelled: usize,
    /// Rows that repeat another row's machine.
    pub duplicates: usize,
}

const WINDOWS: Dhcp = Dhcp {
    vendor_class: "MSFT 5.0",
    parameters: &[1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252],
    says_name: true,
};
const EMBEDDED_LINUX: Dhcp = Dhcp {
    vendor_class: "udhcp 1.24.2",
    parameters: &[1, 3, 6, 12, 15, 28, 42],
    says_name: true,
};
const SMALL_STACK: Dhcp = Dhcp {
    vendor_class: "",
    parameters: &[1, 3, 6],
    says_name: false,
};
const PRINTER: Dhcp = Dhcp {
    vendor_class: "Hewlett-Packard JetDirect",
    parameters: &[6, 3, 1, 15, 66, 67, 13, 44, 12, 81, 252],
    says_name: true,
};
const PHONE: Dhcp = Dhcp {
    vendor_class: "Cisco Systems, Inc. IP Phone CP-8841",
    parameters: &[1, 66, 6, 3, 15, 150, 35],
    says_name: true,
};
const TABLET: Dhcp = Dhcp {
    vendor_class: "",
    parameters: &[1, 121, 3, 6, 15, 108, 114, 119, 252],
    says_name: true,
};
const CAMERA: Dhcp = Dhcp {
    vendor_class: "AXIS,Network Camera,M3086-V,11.9.60",
    parameters: &[1, 3, 6, 12, 15, 28, 42, 43, 66, 67],
    says_name: true,
};

/// A row of the table: kind, maker, model, block of MAC addresses, segment, prefix of the name, hop limit, DHCP.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    [u8; 3],
    u16,
    &'static str,
    u8,
    Option<Dhcp>,
);

const WARD: &[(usize, Row)] = &[
    (
        6,
        (
            "infusion_pump",
            "B. Braun",
            "Infusomat Space",
            [0x00, 0x12, 0x21],
            CLINICAL,
            "space",
            64,
            Some(EMBEDDED_LINUX),
        ),
    ),
    (
        4,
        (
            "patient_monitor",
            "Philips",
            "IntelliVue MX450",
            [0x00, 0x09, 0x5c],
            CLINICAL,
            "mx",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        1,
        (
            "printer",
            "HP",
            "LaserJet M507",
            [0x9c, 0x7b, 0xef],
            CLINICAL,
            "prn",
            64,
            Some(PRINTER),
        ),
    ),
    (
        1,
        (
            "label_printer",
            "Zebra",
            "ZD421",
            [0x84, 0x24, 0x8d],
            CLINICAL,
            "zd",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        2,
        (
            "voip_phone",
            "Cisco",
            "IP Phone 8841",
            [0x08, 0x4f, 0xa9],
            CLINICAL,
            "sep",
            64,
            Some(PHONE),
        ),
    ),
    (
        1,
        (
            "nurse_call",
            "Ascom",
            "Telligence",
            [0xbc, 0x9d, 0xa5],
            CLINICAL,
            "call",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        1,
        (
            "tablet",
            "Apple",
            "iPad",
            [0x60, 0x8b, 0x0e],
            CLINICAL,
            "ipad",
            64,
            Some(TABLET),
        ),
    ),
];

const INTENSIVE: &[(usize, Row)] = &[
    (
        6,
        (
            "ventilator",
            "Dräger",
            "Evita V600",
            [0x00, 0x30, 0xe6],
            CLINICAL,
            "evita",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        6,
        (
            "patient_monitor",
            "Philips",
            "IntelliVue MX800",
            [0x00, 0x09, 0x5c],
            CLINICAL,
            "mx8",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        8,
        (
            "infusion_pump",
            "ICU Medical",
            "Plum A+",
            [0x00, 0x03, 0xb1],
            CLINICAL,
            "plum",
            64,
            Some(SMALL_STACK),
        ),
    ),
];

/// Name, unit and row of what there is one of.
const SINGLE: &[(&str, &str, Row)] = &[
    (
        "dc01",
        "it",
        (
            "domain_controller",
            "Microsoft",
            "Windows Server 2022",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "ehr-app1",
        "it",
        (
            "ehr_server",
            "VMware",
            "Linux server",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            64,
            None,
        ),
    ),
    (
        "pacs01",
        "it",
        (
            "pacs",
            "Dell",
            "PowerEdge R750",
            [0xc8, 0xf7, 0x50],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "ris01",
        "it",
        (
            "worklist_server",
            "VMware",
            "Windows server",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "lis01",
        "it",
        (
            "lab_system",
            "VMware",
            "Windows server",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "engine01",
        "it",
        (
            "integration_engine",
            "VMware",
            "Linux server",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            64,
            None,
        ),
    ),
    (
        "pump-gateway-1",
        "it",
        (
            "infusion_server",
            "B. Braun",
            "OnlineSuite",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "central01",
        "alder",
        (
            "central_monitor",
            "Philips",
            "PIC iX",
            [0x98, 0xe7, 0x43],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "files01",
        "it",
        (
            "storage",
            "Microsoft",
            "Windows Server 2016",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "bms01",
        "it",
        (
            "server",
            "Siemens",
            "Desigo CC",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            128,
            None,
        ),
    ),
    (
        "watch01",
        "it",
        (
            "server",
            "VMware",
            "Linux server",
            [0x00, 0x50, 0x56],
            SERVERS,
            "",
            64,
            None,
        ),
    ),
    (
        "core-sw",
        "it",
        (
            "switch",
            "Cisco",
            "C9500-24Y4C",
            [0xf4, 0xbd, 0x9e],
            SERVERS,
            "",
            255,
            None,
        ),
    ),
    (
        "ct-1",
        "rowan",
        (
            "ct_scanner",
            "Siemens Healthineers",
            "SOMATOM go.Top",
            [0x00, 0x18, 0x65],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "mr-1",
        "rowan",
        (
            "mri_scanner",
            "Siemens Healthineers",
            "MAGNETOM Altea",
            [0x20, 0xe7, 0x91],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "us-1",
        "clinic",
        (
            "ultrasound_system",
            "GE Healthcare",
            "LOGIQ E10",
            [0x44, 0x4b, 0x5d],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "dr-1",
        "birch",
        (
            "xray_system",
            "Philips",
            "DigitalDiagnost C90",
            [0x98, 0xe7, 0x43],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "cobas-1",
        "clinic",
        (
            "lab_analyser",
            "Roche",
            "cobas 6000",
            [0xb8, 0x78, 0x79],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "xn-1",
        "clinic",
        (
            "lab_analyser",
            "Sysmex",
            "XN-1000",
            [0x00, 0x06, 0x6b],
            CLINICAL,
            "",
            128,
            None,
        ),
    ),
    (
        "cabinet-1",
        "pharmacy",
        (
            "pharmacy_cabinet",
            "Omnicell",
            "XT",
            [0x6c, 0x2b, 0x59],
            CLINICAL,
            "",
            128,
            Some(WINDOWS),
        ),
    ),
    (
        "reader-12",
        "security",
        (
            "badge_reader",
            "HID",
            "Aero X1100",
            [0x00, 0x06, 0x8e],
            BUILDING,
            "",
            64,
            Some(SMALL_STACK),
        ),
    ),
    (
        "ahu-1",
        "it",
        (
            "building_controller",
            "Siemens",
            "PXC4",
            [0x38, 0x4b, 0x24],
            BUILDING,
            "",
            64,
            None,
        ),
    ),
    (
        "ahu-2",
        "it",
        (
            "building_controller",
            "Johnson Controls",
            "FEC2611",
            [0x00, 0x10, 0x8d],
            BUILDING,
            "",
            64,
            None,
        ),
    ),
    (
        "cam-1",
        "security",
        (
            "camera",
            "Axis",
            "M3086-V",
            [0xb8, 0xa4, 0x4f],
            BUILDING,
            "",
            64,
            Some(CAMERA),
        ),
    ),
    (
        "cam-2",
        "security",
        (
            "camera",
            "Axis",
            "M3086-V",
            [0xac, 0xcc, 0x8e],
            BUILDING,
            "",
            64,
            Some(CAMERA),
        ),
    ),
    (
        "raspberrypi",
        "research",
        (
            "computer",
            "Raspberry Pi",
            "4 Model B",
            [0xdc, 0xa6, 0x32],
            CLINICAL,
            "",
            64,
            Some(EMBEDDED_LINUX),
        ),
    ),
];

/// Forty of these were bought last month, and no pack knows them: the queue's example.
const UNLISTED: Row = (
    "unlisted",
    "Bedside Systems",
    "BX-4",
    [0x0c, 0x4b, 0x58],
    CLINICAL,
    "bx4",
    64,
    Some(Dhcp {
        vendor_class: "BX4/2.1",
        parameters: &[1, 3, 6, 42, 7],
        says_name: false,
    }),
);
const UNLISTED_COUNT: usize = 40;

pub(super) fn generate(hospital: &Hospital) -> Vec<Machine> {
    let mut random = Random::new(hospital.seed(), "machines");
    let mut machines = Vec::new();
    // The flat segment spans several hundred addresses; hosts are counted per segment.
    let mut hosts = [10_u16; 3];
    let mut add = |name: String, unit: &UnitId, row: &Row, random: &mut Random| {
        let (kind, vendor, model, block, vlan, _, ttl, dhcp) = *row;
        let host = &mut hosts[usize::from(vlan / 10 - 1)];
        *host += 1;
        let [a, b, c] = block;
        let tail = random.next().to_be_bytes();
        let mac = if name == "core-sw" {
            GATEWAY_MAC
        } else {
            Mac([a, b, c, tail[0], tail[1], tail[2]])
        };
        machines.push(Machine {
            serial: format!(
                "{}{:06}",
                &model[..1].to_ascii_uppercase(),
                random.below(1_000_000)
            ),
            name,
            kind,
            vendor,
            model,
            mac,
            addr: address(vlan, *host),
            vlan,
            unit: unit.clone(),
            ttl,
            dhcp,
        });
    };
    for (name, unit, row) in SINGLE {
        add((*name).to_owned(), &UnitId::new(*unit), row, &mut random);
    }
    let bedside = |unit: &crate::Unit| matches!(unit.kind, UnitKind::Ward);
    for unit in hospital.units() {
        if !bedside(unit) {
            continue;
        }
        let short: String = unit.id.as_str().chars().take(3).collect();
        let intensive = if unit.id.as_str() == "alder" {
            INTENSIVE
        } else {
            &[]
        };
        for (count, row) in WARD.iter().chain(intensive) {
            for n in 1..=*count {
                add(
                    format!("{}-{short}-{n:02}", row.5),
                    &unit.id,
                    row,
                    &mut random,
                );
            }
        }
    }
    let desk: Row = (
        "workstation",
        "Dell",
        "OptiPlex 7010",
        [0xc8, 0xf7, 0x50],
        CLINICAL,
        "ws",
        128,
        Some(WINDOWS),
    );
    for device in hospital.devices() {
        let Some(unit) = device
            .unit
            .as_ref()
            .filter(|_| device.class == "workstation")
        else {
            continue;
        };
        add(device.id.as_str().to_owned(), unit, &desk, &mut random);
    }
    let wards: Vec<UnitId> = hospital
        .units()
        .iter()
        .filter(|u| bedside(u))
        .map(|u| u.id.clone())
        .collect();
    for n in 0..UNLISTED_COUNT {
        if let Some(unit) = wards.get(n % wards.len().max(1)) {
            add(format!("bx4-{n:02}"), unit, &UNLISTED, &mut random);
        }
    }
    machines
}

/// A register in which some rows are stale, misplaced, mislabelled, repeated or absent.
pub(super) fn register(seed: u64, machines: &[Machine]) -> Register {
    let mut random = Random::new(seed, "register");
    let mut register = Register {
        csv: String::from(
            "Asset Tag,Serial Number,MAC Address,Hostname,Device Type,Manufacturer,Model,Department,Status\n",
        ),
        missing: 0,
        ghosts: 0,
        misplaced: 0,
        mislabelled: 0,
        duplicates: 0,
    };
    let mut tag = 1000;
    let mut row = |csv: &mut String, machine: &Machine, kind: &str, unit: &str| {
        tag += 1;
        csv.push_str(&format!(
            "A{tag},{},{},{},{},{},{},{},in service\n",
            machine.serial, machine.mac, machine.name, kind, machine.vendor, machine.model, unit
        ));
    };
    for machine in machines {
        // Nobody registered the newcomers yet, nor the machine that somebody brought along.
        let forgotten = machine.kind == "unlisted" || machine.vendor == "Raspberry Pi";
        let unit = machine.unit.as_str();
        match random.below(50) {
            _ if forgotten => register.ghosts += 1,
            0 => register.ghosts += 1,
            1 => {
                register.misplaced += 1;
                let other = if unit == "maple" { "birch" } else { "maple" };
                row(&mut register.csv, machine, machine.kind, other);
            }
            2 => {
                register.mislabelled += 1;
                let other = if machine.kind == "printer" {
                    "workstation"
                } else {
                    "printer"
                };
                row(&mut register.csv, machine, other, unit);
            }
            3 => {
                register.duplicates += 1;
                row(&mut register.csv, machine, machine.kind, unit);
                row(&mut register.csv, machine, machine.kind, unit);
            }
            _ => row(&mut register.csv, machine, machine.kind, unit),
        }
    }
    for n in 0..6_u8 {
        register.missing += 1;
        let gone = Machine {
            name: format!("retired-{n}"),
            kind: "infusion_pump",
            vendor: "B. Braun",
            model: "Infusomat fmS",
            serial: format!("R{n:06}"),
            mac: Mac([0x00, 0x12, 0x21, 0xee, 0xee, n]),
            addr: Ipv4Addr::UNSPECIFIED,
            vlan: CLINICAL,
            unit: UnitId::new("maple"),
            ttl: 64,
            dhcp: None,
        };
        row(&mut register.csv, &gone, gone.kind, "maple");
    }
    register
}
