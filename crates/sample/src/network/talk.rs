//! Who talks to whom, how often, when.

use std::time::Duration;

use super::machine::Machine;
use super::{Hours, minutes};

/// A habit: some machines, the ones they turn to, and what they say.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// Indexes of those who begin.
    pub(super) clients: Vec<usize>,
    /// Indexes of those they turn to; each client keeps to one.
    pub(super) servers: Vec<usize>,
    pub(super) words: Words,
    pub(super) every: Duration,
    /// How far from regular, as a share of `every`.
    pub(super) jitter: f64,
    pub(super) hours: Hours,
}

/// What is said; `speech` knows how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// DNS query for a server of the hospital.
    Lookup,
    /// TLS to the clinical record.
    Record,
    /// SMB to a file server, with NTLM.
    Files,
    /// Kerberos to the domain controller.
    Ticket,
    /// NTP.
    Time,
    /// Pump report, HL7 PCD-01 in MLLP, naming the pump by EUI-64.
    PumpReport,
    /// Vital signs, HL7 ORU^R01 in MLLP.
    Vitals,
    /// Laboratory result, HL7 OUL^R22 in MLLP.
    Result,
    /// Admission, HL7 ADT^A01 in MLLP.
    Admission,
    /// DICOM C-STORE of a CT image.
    StoreCt,
    /// DICOM C-STORE of an MR image.
    StoreMr,
    /// DICOM C-STORE of an ultrasound image.
    StoreUs,
    /// DICOM C-STORE of a digital radiograph.
    StoreDx,
    /// DICOM modality worklist query.
    Worklist,
    /// DICOM query of the archive for studies.
    Studies,
    /// IPP print job.
    Print,
    /// Raw label print, port 9100.
    Label,
    /// SNMP question for the system group.
    Watch,
    /// BACnet ReadProperty.
    Building,
    /// RTSP DESCRIBE.
    Video,
    /// SIP REGISTER.
    Call,
    /// Proprietary bedside protocol over UDP, encrypted as it seems.
    Bedside,
    /// Unknown devices report to their own server over TCP.
    Unlisted,
    /// A machine that asks every neighbour for port 445.
    Probe,
    /// TLS to the world outside.
    Cloud,
}

pub(super) fn between(machines: &[Machine]) -> Vec<Talk> {
    let of = |kinds: &[&str]| -> Vec<usize> {
        (0..machines.len())
            .filter(|i| kinds.contains(&machines[*i].kind))
            .collect()
    };
    let named = |name: &str| -> Vec<usize> {
        (0..machines.len())
            .filter(|i| machines[*i].name == name)
            .collect()
    };
    let braun: Vec<usize> = (0..machines.len())
        .filter(|i| machines[*i].name.starts_with("space-"))
        .collect();
    let desks = of(&["workstation"]);
    let windows = of(&[
        "workstation",
        "ct_scanner",
        "mri_scanner",
        "ultrasound_system",
        "xray_system",
        "lab_analyser",
        "pharmacy_cabinet",
        "pacs",
        "worklist_server",
        "lab_system",
    ]);
    let talk = |clients, servers, words, every, jitter, hours| Talk {
        clients,
        servers,
        words,
        every,
        jitter,
        hours,
    };
    use Hours::{Always, Day, Night};
    vec![
        talk(
            windows.clone(),
            named("dc01"),
            Words::Lookup,
            minutes(90),
            0.8,
            Day,
        ),
        talk(
            windows.clone(),
            named("dc01"),
            Words::Ticket,
            minutes(480),
            0.5,
            Day,
        ),
        talk(
            windows,
            named("dc01"),
            Words::Time,
            minutes(720),
            0.1,
            Always,
        ),
        talk(
            desks.clone(),
            named("ehr-app1"),
            Words::Record,
            minutes(60),
            0.9,
            Day,
        ),
        talk(
            desks.clone(),
            named("files01"),
            Words::Files,
            minutes(240),
            0.9,
            Day,
        ),
        talk(
            desks.clone(),
            of(&["printer"]),
            Words::Print,
            minutes(360),
            0.9,
            Day,
        ),
        talk(
            desks.clone(),
            of(&["label_printer"]),
            Words::Label,
            minutes(480),
            0.9,
            Day,
        ),
        talk(
            desks,
            named("pacs01"),
            Words::Studies,
            minutes(720),
            0.9,
            Day,
        ),
        talk(
            braun,
            named("pump-gateway-1"),
            Words::PumpReport,
            minutes(120),
            0.05,
            Always,
        ),
        talk(
            named("pump-gateway-1"),
            named("engine01"),
            Words::PumpReport,
            minutes(30),
            0.2,
            Always,
        ),
        talk(
            of(&["patient_monitor"]),
            named("central01"),
            Words::Bedside,
            minutes(120),
            0.02,
            Always,
        ),
        talk(
            named("central01"),
            named("engine01"),
            Words::Vitals,
            minutes(20),
            0.1,
            Always,
        ),
        talk(
            of(&["ventilator"]),
            named("engine01"),
            Words::Vitals,
            minutes(60),
            0.05,
            Always,
        ),
        talk(
            of(&["lab_analyser"]),
            named("lis01"),
            Words::Result,
            minutes(45),
            0.9,
            Day,
        ),
        talk(
            named("lis01"),
            named("engine01"),
            Words::Result,
            minutes(45),
            0.9,
            Always,
        ),
        talk(
            named("ehr-app1"),
            named("engine01"),
            Words::Admission,
            minutes(50),
            0.9,
            Always,
        ),
        talk(
            named("engine01"),
            named("ris01"),
            Words::Admission,
            minutes(50),
            0.9,
            Always,
        ),
        talk(
            named("ct-1"),
            named("pacs01"),
            Words::StoreCt,
            minutes(70),
            0.9,
            Day,
        ),
        talk(
            named("mr-1"),
            named("pacs01"),
            Words::StoreMr,
            minutes(110),
            0.9,
            Day,
        ),
        talk(
            named("us-1"),
            named("pacs01"),
            Words::StoreUs,
            minutes(60),
            0.9,
            Day,
        ),
        talk(
            named("dr-1"),
            named("pacs01"),
            Words::StoreDx,
            minutes(50),
            0.9,
            Day,
        ),
        talk(
            of(&[
                "ct_scanner",
                "mri_scanner",
                "ultrasound_system",
                "xray_system",
            ]),
            named("ris01"),
            Words::Worklist,
            minutes(90),
            0.6,
            Day,
        ),
        talk(
            named("watch01"),
            of(&["printer", "switch", "building_controller"]),
            Words::Watch,
            minutes(240),
            0.05,
            Always,
        ),
        talk(
            named("watch01"),
            named("core-sw"),
            Words::Watch,
            minutes(60),
            0.05,
            Always,
        ),
        talk(
            named("bms01"),
            named("ahu-1"),
            Words::Building,
            minutes(60),
            0.02,
            Always,
        ),
        talk(
            named("bms01"),
            named("ahu-2"),
            Words::Building,
            minutes(60),
            0.02,
            Always,
        ),
        talk(
            named("files01"),
            of(&["camera"]),
            Words::Video,
            minutes(240),
            0.1,
            Always,
        ),
        talk(
            of(&["voip_phone"]),
            named("ehr-app1"),
            Words::Call,
            minutes(720),
            0.1,
            Always,
        ),
        talk(
            of(&["unlisted"]),
            named("engine01"),
            Words::Unlisted,
            minutes(180),
            0.05,
            Always,
        ),
        talk(
            named("raspberrypi"),
            of(&["infusion_pump", "workstation"]),
            Words::Probe,
            minutes(1440),
            0.3,
            Night,
        ),
        talk(
            of(&["tablet"]),
            named("core-sw"),
            Words::Cloud,
            minutes(300),
            0.9,
            Day,
        ),
    ]
}
