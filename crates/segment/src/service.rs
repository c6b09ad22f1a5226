//! What ports are called, and which clinical service stops with them.
//!
//! Port numbers are those of the IANA "Service Name and Transport Protocol Port Number Registry"; DICOM's are of DICOM
//! PS3.8 section 9.1 and PS3.15, MLLP's of the HL7 v2 registration (2575).

use std::ops::RangeInclusive;

use smol_str::{SmolStr, format_smolstr};

use domain::net::Transport;

/// A service with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Transport; absent: TCP and UDP.
    transport: Option<Transport>,
    port: u16,
    /// What people call it.
    pub name: &'static str,
    /// The clinical service that stops with it.
    pub clinical: Option<&'static str>,
    /// Whether worms and ransomware have spread over it: remote execution, file shares, remote desktops.
    pub spreads: bool,
}

const fn tcp(port: u16, name: &'static str) -> Named {
    Named {
        transport: Some(Transport::Tcp),
        port,
        name,
        clinical: None,
        spreads: false,
    }
}

const fn clinical(port: u16, name: &'static str, service: &'static str) -> Named {
    Named {
        clinical: Some(service),
        ..tcp(port, name)
    }
}

const fn exploited(port: u16, name: &'static str) -> Named {
    Named {
        spreads: true,
        ..tcp(port, name)
    }
}

const fn udp(port: u16, name: &'static str) -> Named {
    Named {
        transport: Some(Transport::Udp),
        ..tcp(port, name)
    }
}

const fn both(port: u16, name: &'static str) -> Named {
    Named {
        transport: None,
        ..tcp(port, name)
    }
}

/// Every service with a name.
const SERVICES: &[Named] = &[
    clinical(104, "DICOM", "Imaging"),
    clinical(2761, "DICOM over ISCL", "Imaging"),
    clinical(2762, "DICOM over TLS", "Imaging"),
    clinical(11_112, "DICOM", "Imaging"),
    clinical(2575, "HL7 (MLLP)", "Results and orders"),
    clinical(6661, "HL7 (MLLP)", "Results and orders"),
    tcp(20, "FTP data"),
    tcp(21, "FTP"),
    exploited(22, "SSH"),
    exploited(23, "Telnet"),
    tcp(25, "SMTP"),
    both(53, "DNS"),
    udp(67, "DHCP"),
    udp(69, "TFTP"),
    tcp(80, "HTTP"),
    both(88, "Kerberos"),
    udp(123, "NTP"),
    exploited(135, "RPC endpoint mapper"),
    udp(137, "NetBIOS names"),
    udp(138, "NetBIOS datagrams"),
    exploited(139, "NetBIOS sessions"),
    udp(161, "SNMP"),
    udp(162, "SNMP traps"),
    both(389, "LDAP"),
    tcp(443, "HTTPS"),
    udp(443, "QUIC"),
    exploited(445, "File sharing (SMB)"),
    both(464, "Kerberos passwords"),
    udp(514, "Syslog"),
    tcp(515, "Printing (LPD)"),
    tcp(554, "RTSP"),
    tcp(631, "Printing (IPP)"),
    tcp(636, "LDAP over TLS"),
    udp(1812, "RADIUS"),
    udp(1813, "RADIUS accounting"),
    exploited(1433, "SQL Server"),
    tcp(1521, "Oracle database"),
    both(3268, "Global catalogue"),
    exploited(3389, "Remote desktop (RDP)"),
    tcp(3306, "MySQL"),
    tcp(5060, "SIP"),
    udp(5060, "SIP"),
    udp(5353, "mDNS"),
    tcp(5432, "PostgreSQL"),
    exploited(5900, "Remote screen (VNC)"),
    exploited(5985, "Remote management (WinRM)"),
    exploited(5986, "Remote management (WinRM over TLS)"),
    tcp(8080, "HTTP (8080)"),
    tcp(8443, "HTTPS (8443)"),
    tcp(8530, "Update service"),
    tcp(9100, "Printing (raw)"),
    udp(3702, "WS-Discovery"),
    udp(47_808, "BACnet"),
    tcp(502, "Modbus"),
    tcp(10_000, "Backup (NDMP)"),
];

/// The first port of the range that systems take ports from for a while (RFC 6335 section 6 says 49152; Linux starts at
/// 32768, and RPC was configured lower in places).
const EPHEMERAL_FIRST: u16 = 1_024;

/// The service of a transport and port, if it has a name.
pub fn named(transport: Transport, port: u16) -> Option<&'static Named> {
    SERVICES.iter().find(|service| {
        service.port == port
            && match service.transport {
                Some(own) => own == transport,
                None => matches!(transport, Transport::Tcp | Transport::Udp),
            }
    })
}

/// What people call ports of a transport.
pub fn name(transport: Transport, ports: &RangeInclusive<u16>) -> SmolStr {
    let (first, last) = (*ports.start(), *ports.end());
    if transport == Transport::Icmp {
        return SmolStr::new_static("ICMP");
    }
    if first == last {
        return named(transport, first).map_or_else(
            || format_smolstr!("{transport}/{first}"),
            |service| SmolStr::new_static(service.name),
        );
    }
    if first == 0 && last == u16::MAX {
        return format_smolstr!("any {transport} port");
    }
    format_smolstr!("{transport}/{first}-{last}")
}

/// The clinical service that stops with a port.
pub fn clinical_of(transport: Transport, port: u16) -> Option<&'static str> {
    named(transport, port).and_then(|service| service.clinical)
}

/// The clinical service that a conversation belongs to, by its port, else by the types of its ends; none: it is not known to
/// serve one.
pub fn clinical_service(
    client: Option<&str>,
    server: Option<&str>,
    transport: Transport,
    port: u16,
) -> &'static str {
    if let Some(service) = clinical_of(transport, port) {
        return service;
    }
    const BY_TYPE: &[(&str, &str)] = &[
        ("infusion", "Infusion"),
        ("monitor", "Patient monitoring"),
        ("ventilator", "Ventilation"),
        ("anaesth", "Anaesthesia"),
        ("dialysis", "Dialysis"),
        ("nurse_call", "Nurse call"),
        ("lab_", "Laboratory"),
        ("blood_gas", "Laboratory"),
        ("pharmacy", "Pharmacy"),
        ("scanner", "Imaging"),
        ("imaging", "Imaging"),
        ("pacs", "Imaging"),
        ("ultrasound", "Imaging"),
        ("xray", "Imaging"),
        ("ehr", "Clinical record"),
        ("integration", "Results and orders"),
        ("medical_gateway", "Patient monitoring"),
    ];
    [client, server]
        .into_iter()
        .flatten()
        .find_map(|kind| {
            BY_TYPE
                .iter()
                .find(|(part, _)| kind.contains(part))
                .map(|(_, service)| *service)
        })
        .unwrap_or("Everything else")
}

/// Whether malware has spread over it.
pub fn spreads(transport: Transport, port: u16) -> bool {
    named(transport, port).is_some_and(|service| service.spreads)
}

/// Whether malware has spread over a port of a range.
pub fn spreading(transport: Transport, ports: &RangeInclusive<u16>) -> bool {
    SERVICES
        .iter()
        .any(|s| s.spreads && s.transport.is_none_or(|t| t == transport) && ports.contains(&s.port))
}

/// Whether a port may be one that a program took for a while: high and without a name.
pub fn may_be_dynamic(transport: Transport, port: u16) -> bool {
    matches!(transport, Transport::Tcp | Transport::Udp)
        && port >= EPHEMERAL_FIRST
        && named(transport, port).is_none()
}

/// The IP protocol number of a transport (IANA "Assigned Internet Protocol Numbers"). ICMP stands for ICMPv6 too.
pub const fn protocol(transport: Transport) -> u8 {
    match transport {
        Transport::Icmp => 1,
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
        Transport::Other(number) => number,
    }
}

/// The transport of an IP protocol number.
pub const fn transport(protocol: u8) -> Transport {
    match protocol {
        1 | 58 => Transport::Icmp,
        6 => Transport::Tcp,
        17 => Transport::Udp,
        132 => Transport::Sctp,
        number => Transport::Other(number),
    }
}

/// Reads a transport as policies and flow files write it: `tcp`, `ip-47`, `47`.
pub fn read_transport(text: &str) -> Option<Transport> {
    match text.trim().to_ascii_lowercase().as_str() {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        "sctp" => Some(Transport::Sctp),
        "icmp" | "icmpv6" | "ipv6-icmp" => Some(Transport::Icmp),
        other => other
            .strip_prefix("ip-")
            .unwrap_or(other)
            .parse()
            .ok()
            .map(transport),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_called_what_people_call_them() {
        assert_eq!(name(Transport::Tcp, &(104..=104)), "DICOM");
        assert_eq!(name(Transport::Udp, &(443..=443)), "QUIC");
        assert_eq!(name(Transport::Tcp, &(8123..=8123)), "tcp/8123");
        assert_eq!(name(Transport::Tcp, &(49_152..=65_535)), "tcp/49152-65535");
        assert_eq!(clinical_of(Transport::Udp, 104), None);
        assert!(spreads(Transport::Tcp, 445) && !spreads(Transport::Tcp, 104));
    }

    #[test]
    fn every_protocol_number_reads_back() {
        for number in 0..=u8::MAX {
            let transport = transport(number);
            assert_eq!(
                read_transport(&transport.to_string()),
                Some(transport),
                "{number}"
            );
        }
        assert_eq!(read_transport("DICOM"), None);
    }
}
