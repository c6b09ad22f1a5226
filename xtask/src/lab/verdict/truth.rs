//! The lab as it is.

/// What Asepsis must say of a host.
pub(super) struct Expected {
    /// The host's name in the lab.
    pub(super) host: &'static str,
    /// What it is, in words.
    pub(super) truth: &'static str,
    /// Types that are right.
    pub(super) kinds: &'static [&'static str],
    /// Whether "not known" is right too: what the host sends is too little for a person.
    pub(super) may_abstain: bool,
    /// Kinds of evidence with a piece of the value that must have been seen.
    pub(super) evidence: &'static [(&'static str, &'static str)],
}

/// A conversation that takes place, in the clear like all of them.
pub(super) struct Talk {
    pub(super) from: &'static str,
    /// A host, or a group of hosts as Asepsis names them.
    pub(super) to: &'static str,
    /// As in `tcp/104`.
    pub(super) port: &'static str,
    pub(super) service: &'static str,
    /// Meanings that must be named, beside others.
    pub(super) meanings: &'static [&'static str],
}

pub(super) const EXPECTED: &[Expected] = &[
    Expected {
        host: "ct",
        truth: "a CT scanner",
        kinds: &["ct_scanner"],
        may_abstain: false,
        evidence: &[
            ("dicom.ae_title", "CTLAB1"),
            ("dicom.device", "SOMATOM go.Top"),
            ("dicom.operation", "C-STORE"),
        ],
    },
    Expected {
        host: "pacs",
        truth: "an image archive",
        kinds: &["pacs"],
        may_abstain: false,
        evidence: &[("dicom.ae_title", "PACSLAB"), ("service.serves", "tcp/104")],
    },
    Expected {
        host: "pump",
        truth: "an infusion pump",
        kinds: &["infusion_pump"],
        may_abstain: false,
        evidence: &[("hl7.application", "PAT_DEVICE_BBRAUN")],
    },
    Expected {
        host: "engine",
        truth: "an interface engine",
        kinds: &["integration_engine"],
        may_abstain: false,
        evidence: &[("service.serves", "tcp/2575")],
    },
    Expected {
        host: "infra",
        truth: "a DHCP and DNS server",
        kinds: &["server", "dns_server"],
        may_abstain: false,
        evidence: &[],
    },
    Expected {
        host: "ws",
        truth: "a Linux workstation",
        kinds: &["workstation", "computer"],
        may_abstain: false,
        evidence: &[
            ("http.user_agent", "HeadlessChrome"),
            ("dhcp.parameters", "1,28,2"),
        ],
    },
    Expected {
        host: "tab",
        truth: "a tablet",
        kinds: &["tablet"],
        may_abstain: false,
        evidence: &[
            ("dhcp.hostname", "ward-tablet"),
            ("dhcp.vendor_class", "udhcp"),
        ],
    },
    Expected {
        host: "prn",
        truth: "a printer",
        kinds: &["printer"],
        may_abstain: false,
        evidence: &[
            ("mdns.service", "_ipp._tcp"),
            ("ipp.printer", "LaserJet M507"),
        ],
    },
    Expected {
        host: "sw",
        truth: "a switch",
        kinds: &["switch"],
        may_abstain: false,
        evidence: &[("snmp.sys_descr", "Cisco IOS Software")],
    },
    Expected {
        host: "broker",
        truth: "an MQTT broker on a virtual machine",
        kinds: &["server"],
        may_abstain: true,
        evidence: &[("service.serves", "tcp/1883")],
    },
    Expected {
        host: "sensor",
        truth: "a Raspberry Pi with a thermometer",
        kinds: &["environment_sensor", "computer"],
        may_abstain: true,
        evidence: &[("mqtt.client_id", "sensor-4711")],
    },
    Expected {
        host: "ahu",
        truth: "an air handler's controller",
        kinds: &["building_controller"],
        may_abstain: false,
        evidence: &[("bacnet.device", "PXC4")],
    },
    Expected {
        host: "bms",
        truth: "the building's management station",
        kinds: &["building_controller", "server"],
        may_abstain: true,
        evidence: &[],
    },
    Expected {
        host: "monitor",
        truth: "a patient monitor",
        kinds: &["patient_monitor", "medical_device"],
        may_abstain: false,
        evidence: &[("wsd.type", "MedicalDevice")],
    },
    Expected {
        host: "central",
        truth: "an SDC consumer on a virtual machine",
        kinds: &["central_monitor", "server"],
        may_abstain: true,
        evidence: &[],
    },
    Expected {
        host: "intruder",
        truth: "a stranger that scans",
        kinds: &[],
        may_abstain: true,
        evidence: &[],
    },
];

pub(super) const TALKS: &[Talk] = &[
    Talk {
        from: "ct",
        to: "pacs",
        port: "tcp/104",
        service: "dicom",
        meanings: &["C-ECHO", "C-STORE"],
    },
    Talk {
        from: "pump",
        to: "engine",
        port: "tcp/2575",
        service: "hl7",
        meanings: &["ORU^R01"],
    },
    Talk {
        from: "ws",
        to: "infra",
        port: "udp/53",
        service: "dns",
        meanings: &[],
    },
    Talk {
        from: "ws",
        to: "pacs",
        port: "tcp/8042",
        service: "http",
        meanings: &[],
    },
    Talk {
        from: "ws",
        to: "prn",
        port: "tcp/631",
        service: "ipp",
        meanings: &[],
    },
    Talk {
        from: "ws",
        to: "broadcast",
        port: "udp/67",
        service: "dhcp",
        meanings: &[],
    },
    Talk {
        from: "tab",
        to: "broadcast",
        port: "udp/67",
        service: "dhcp",
        meanings: &[],
    },
    Talk {
        from: "infra",
        to: "sw",
        port: "udp/161",
        service: "snmp",
        meanings: &["SNMP read"],
    },
    Talk {
        from: "sensor",
        to: "broker",
        port: "tcp/1883",
        service: "mqtt",
        meanings: &[],
    },
    Talk {
        from: "bms",
        to: "broadcast",
        port: "udp/47808",
        service: "bacnet",
        meanings: &["BACnet who-is"],
    },
    Talk {
        from: "bms",
        to: "ahu",
        port: "udp/47808",
        service: "bacnet",
        meanings: &["BACnet read"],
    },
    Talk {
        from: "monitor",
        to: "multicast:239.255.255.250",
        port: "udp/3702",
        service: "wsd",
        meanings: &[],
    },
    Talk {
        from: "central",
        to: "multicast:239.255.255.250",
        port: "udp/3702",
        service: "wsd",
        meanings: &[],
    },
    Talk {
        from: "prn",
        to: "multicast:224.0.0.251",
        port: "udp/5353",
        service: "mdns",
        meanings: &[],
    },
];

/// Whom the intruder tries, and at which TCP ports.
pub(super) const INTRUDER: (&[&str], &[u64]) =
    (&["ct", "pacs", "pump", "engine"], &[22, 80, 104, 445, 631]);

/// What must be nowhere in the answer: the lab's one patient.
pub(super) const PATIENT: &[&str] = &["Labrador", "Ludmilla", "MRN55501", "19550417"];
