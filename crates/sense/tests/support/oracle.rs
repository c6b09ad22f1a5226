//! What tshark shows and what the sensor says, made comparable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use domain::observation::{AddressSource, Collected, EvidenceKind, Fact};
use domain::{Flow, SourceId, Timestamp};
use sense::{Limits, LinkType, Sensor};

use crate::packets::Packet;

/// Fields that are asked of tshark; all values of a packet.
const COLUMNS: &[&str] = &[
    "frame.protocols",
    "dhcp.type",
    "dhcp.option.hostname",
    "dhcp.option.vendor_class_id",
    "dhcp.option.request_list_item",
    "dns.qry.name",
    "dns.resp.name",
    "dns.resp.type",
    "dns.flags.response",
    "tls.handshake.extensions_server_name",
    "http.user_agent",
    "http.server",
    "http.host",
    "ntlmssp.auth.hostname",
    "ntlmssp.auth.domain",
    "ntlmssp.challenge.target_info.nb_computer_name",
    "smb.native_os",
    "smb.native_lanman",
    "dicom.assoc.ae.calling",
    "dicom.assoc.ae.called",
    "hl7.message.type",
    "hl7.field",
    "snmp.name",
    "snmp.value.octets",
    "ssh.protocol",
    "bacapp.unconfirmed_service",
    "bacapp.instance_number",
    "bacapp.vendor_identifier",
    "lldp.tlv.system.name",
    "lldp.tlv.system.desc",
    "cdp.deviceid",
    "cdp.platform",
    "cdp.software_version",
    "nbns.name",
    "mqtt.clientid",
    "dicom.pdu.type",
    "dhcpv6.client_domain",
    "arp.src.hw_mac",
    "arp.src.proto_ipv4",
    "ip.src",
    "ip.dst",
    "ip.flags.mf",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "vlan.id",
    "ntp.flags.mode",
    "ntp.stratum",
    "modbus.object_str_value",
    "rdp.client.name",
    "tls.record.content_type",
    "http.request.method",
    "http.response.code",
    "sip.CSeq",
];

/// Fields that not every version of tshark knows: JA4 came with 4.2.
const PERHAPS: &[&str] = &["tls.handshake.ja4"];

/// Fields that this tshark knows.
fn columns() -> &'static [&'static str] {
    static KNOWN: OnceLock<Vec<&'static str>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let listed = Command::new("tshark").args(["-G", "fields"]).output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        let known = |name: &&str| listed.contains(&format!("\t{name}\t"));
        let perhaps = PERHAPS.iter().copied().filter(known);
        COLUMNS.iter().copied().chain(perhaps).collect()
    })
}

/// One packet as tshark shows it.
pub(crate) struct Row(Vec<String>);

impl Row {
    /// All packets of a capture.
    pub(crate) fn read(file: &Path) -> Vec<Self> {
        let mut command = Command::new("tshark");
        command.args([
            "-n",
            "-T",
            "fields",
            "-E",
            "separator=/t",
            "-E",
            "occurrence=a",
        ]);
        command.args(["-E", "aggregator=\u{7f}", "-d", "tcp.port==6661,hl7"]);
        for column in columns() {
            command.args(["-e", column]);
        }
        let output = command.arg("-r").arg(file).output().expect("tshark");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| Self(line.split('\t').map(str::to_owned).collect()))
            .collect()
    }

    /// All values of a column.
    pub(crate) fn all(&self, column: &str) -> Vec<&str> {
        let at = columns().iter().position(|name| *name == column);
        let value = at.and_then(|at| self.0.get(at)).map_or("", String::as_str);
        value
            .split('\u{7f}')
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Whether the packet carries this protocol.
    pub(crate) fn has(&self, protocol: &str) -> bool {
        self.all("frame.protocols")
            .first()
            .is_some_and(|all| all.split(':').any(|name| name == protocol))
    }
}

/// A field that is compared.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// What the sensor may call it.
    kinds: &'static [EvidenceKind],
    /// What tshark shows of it in one packet.
    shown: fn(&Row) -> Vec<String>,
    /// Share that has been reached.
    pub(crate) floor: f64,
}

fn owned(values: Vec<&str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

fn when(condition: bool, values: Vec<&str>) -> Vec<String> {
    if condition { owned(values) } else { Vec::new() }
}

fn asks_dhcp(row: &Row) -> bool {
    row.all("dhcp.type") == ["1"]
}

/// A service type within a name of multicast DNS.
fn service(name: &str) -> Option<String> {
    let labels: Vec<&str> = name.strip_suffix(".local")?.split('.').collect();
    let [.., service, transport @ ("_tcp" | "_udp")] = labels.as_slice() else {
        return None;
    };
    service
        .starts_with('_')
        .then(|| format!("{service}.{transport}"))
}

/// Names of records of these types that a packet answers with.
fn answered(row: &Row, types: &[&str]) -> Vec<String> {
    if !row.has("mdns")
        || !row
            .all("dns.flags.response")
            .iter()
            .any(|flag| matches!(*flag, "1" | "True"))
    {
        return Vec::new();
    }
    let names = row.all("dns.resp.name");
    let kinds = row.all("dns.resp.type");
    if names.len() != kinds.len() {
        return Vec::new();
    }
    names
        .into_iter()
        .zip(kinds)
        .filter(|(_, kind)| types.contains(kind))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// A field of the first segment of an HL7 message: `hl7.field` counts the segment's name as the first.
fn msh(row: &Row, place: usize) -> Vec<String> {
    let fields = row.all("hl7.field");
    match fields.get(place) {
        Some(value) if fields.first() == Some(&"MSH") => vec![(*value).to_owned()],
        _ => Vec::new(),
    }
}

use EvidenceKind as Kind;

/// What is compared.
pub(crate) const FIELDS: &[Field] = &[
    Field {
        name: "dhcp hostname",
        kinds: &[Kind::DhcpHostname],
        shown: |row| when(row.has("dhcp"), row.all("dhcp.option.hostname")),
        floor: 1.0,
    },
    Field {
        name: "dhcp vendor class",
        kinds: &[Kind::DhcpVendorClass],
        shown: |row| when(asks_dhcp(row), row.all("dhcp.option.vendor_class_id")),
        floor: 1.0,
    },
    Field {
        name: "dhcp request list",
        kinds: &[Kind::DhcpParameters],
        shown: |row| {
            let list = row.all("dhcp.option.request_list_item");
            if asks_dhcp(row) && !list.is_empty() {
                vec![list.join(",")]
            } else {
                Vec::new()
            }
        },
        floor: 1.0,
    },
    Field {
        name: "dns query name",
        kinds: &[Kind::DnsQuery],
        shown: |row| {
            let names = when(row.has("dns"), row.all("dns.qry.name"));
            names
                .into_iter()
                .filter(|name| !name.ends_with(".arpa") && !name.starts_with('<'))
                .collect()
        },
        floor: 1.0,
    },
    Field {
        name: "mdns query service",
        kinds: &[Kind::MdnsQuery],
        shown: |row| {
            let asks = row.has("mdns")
                && row
                    .all("dns.flags.response")
                    .iter()
                    .all(|flag| matches!(*flag, "0" | "False"));
            let names = when(asks, row.all("dns.qry.name"));
            names.iter().filter_map(|name| service(name)).collect()
        },
        floor: 1.0,
    },
    Field {
        name: "mdns service",
        kinds: &[Kind::MdnsService],
        shown: |row| {
            let names = answered(row, &["12", "33", "16"]);
            let names = names.iter().filter(|name| !name.starts_with("_services."));
            names.filter_map(|name| service(name)).collect()
        },
        floor: 1.0,
    },
    Field {
        name: "mdns host name",
        kinds: &[Kind::MdnsName],
        shown: |row| {
            let names = answered(row, &["1", "28"]);
            let hosts = names.iter().filter_map(|name| name.strip_suffix(".local"));
            hosts
                .filter(|host| !host.contains('.'))
                .map(str::to_owned)
                .collect()
        },
        floor: 1.0,
    },
    Field {
        name: "tls server name",
        kinds: &[Kind::TlsServerName],
        shown: |row| {
            let readable = row.has("tls") && !row.has("quic");
            let mut names = row.all("tls.handshake.extensions_server_name");
            // An address is no name.
            names.retain(|name| name.parse::<std::net::IpAddr>().is_err());
            when(readable, names)
        },
        floor: 0.97,
    },
    Field {
        name: "http user agent",
        kinds: &[Kind::HttpUserAgent, Kind::FhirRole],
        shown: |row| {
            when(
                row.has("http") && row.has("tcp"),
                row.all("http.user_agent"),
            )
        },
        floor: 0.98,
    },
    Field {
        name: "http server",
        kinds: &[Kind::HttpServer],
        shown: |row| when(row.has("http") && row.has("tcp"), row.all("http.server")),
        floor: 0.98,
    },
    Field {
        name: "http host",
        kinds: &[Kind::HttpHost],
        shown: |row| {
            let hosts = when(row.has("http") && row.has("tcp"), row.all("http.host"));
            let names = hosts
                .iter()
                .map(|host| host.split(':').next().unwrap_or_default());
            // An address is no name.
            let names = names.filter(|name| name.parse::<std::net::Ipv4Addr>().is_err());
            names.map(str::to_owned).collect()
        },
        floor: 0.98,
    },
    Field {
        name: "ssdp server",
        kinds: &[Kind::SsdpServer],
        shown: |row| when(row.has("ssdp"), row.all("http.server")),
        floor: 1.0,
    },
    Field {
        name: "ntlm host name",
        kinds: &[Kind::NtlmComputer],
        shown: |row| {
            let mut names = row.all("ntlmssp.auth.hostname");
            names.extend(row.all("ntlmssp.challenge.target_info.nb_computer_name"));
            names.retain(|name| *name != "NULL");
            owned(names)
        },
        floor: 1.0,
    },
    Field {
        name: "ntlm domain",
        kinds: &[Kind::NtlmDomain],
        shown: |row| {
            let mut names = row.all("ntlmssp.auth.domain");
            names.retain(|name| *name != "NULL");
            owned(names)
        },
        floor: 1.0,
    },
    Field {
        name: "smb native os",
        kinds: &[Kind::SmbNativeOs],
        shown: |row| owned(row.all("smb.native_os")),
        floor: 1.0,
    },
    Field {
        name: "smb native lan manager",
        kinds: &[Kind::SmbNativeLm],
        shown: |row| owned(row.all("smb.native_lanman")),
        floor: 0.75,
    },
    Field {
        name: "dicom ae title",
        kinds: &[Kind::DicomAeTitle],
        shown: |row| {
            let mut titles = row.all("dicom.assoc.ae.calling");
            // A title that was asked for and not answered is nobody's.
            if row.all("dicom.pdu.type").contains(&"2") {
                titles.extend(row.all("dicom.assoc.ae.called"));
            }
            owned(titles)
        },
        floor: 1.0,
    },
    Field {
        name: "hl7 application",
        kinds: &[Kind::Hl7Application],
        shown: |row| msh(row, 2),
        floor: 1.0,
    },
    Field {
        name: "hl7 facility",
        kinds: &[Kind::Hl7Facility],
        shown: |row| msh(row, 3),
        floor: 1.0,
    },
    Field {
        name: "snmp system description",
        kinds: &[Kind::SnmpSysDescr],
        shown: |row| {
            let names = row.all("snmp.name");
            let values = row.all("snmp.value.octets");
            // Which value belongs to which name shows only when all values are octets.
            let pairs = names.iter().zip(&values);
            let described = pairs
                .filter(|(name, _)| names.len() == values.len() && **name == "1.3.6.1.2.1.1.1.0");
            described.filter_map(|(_, hex)| text_of(hex)).collect()
        },
        floor: 1.0,
    },
    Field {
        name: "ssh banner",
        kinds: &[Kind::SshClient, Kind::SshServer],
        shown: |row| owned(row.all("ssh.protocol")),
        floor: 1.0,
    },
    Field {
        name: "bacnet instance",
        kinds: &[Kind::BacnetInstance],
        shown: |row| {
            let announces = row.all("bacapp.unconfirmed_service") == ["0"];
            when(announces, row.all("bacapp.instance_number"))
        },
        floor: 1.0,
    },
    Field {
        name: "bacnet vendor",
        kinds: &[Kind::BacnetVendor],
        shown: |row| {
            let announces = row.all("bacapp.unconfirmed_service") == ["0"];
            when(announces, row.all("bacapp.vendor_identifier"))
        },
        floor: 1.0,
    },
    Field {
        name: "lldp system",
        kinds: &[Kind::LldpName, Kind::LldpDescription],
        shown: |row| {
            let mut values = row.all("lldp.tlv.system.name");
            values.extend(row.all("lldp.tlv.system.desc"));
            owned(values)
        },
        floor: 1.0,
    },
    Field {
        name: "cdp device",
        kinds: &[Kind::CdpName, Kind::CdpPlatform, Kind::CdpVersion],
        shown: |row| {
            let mut values = row.all("cdp.deviceid");
            values.extend(row.all("cdp.platform"));
            values.extend(row.all("cdp.software_version"));
            owned(values)
        },
        floor: 1.0,
    },
    Field {
        name: "ntp stratum",
        kinds: &[Kind::NtpServer],
        shown: |row| {
            let answers = row.all("ntp.flags.mode") == ["4"];
            let strata = when(answers, row.all("ntp.stratum"));
            let told = strata.iter().filter(|stratum| *stratum != "0");
            told.map(|stratum| format!("stratum {stratum}")).collect()
        },
        floor: 1.0,
    },
    Field {
        name: "llmnr name",
        kinds: &[Kind::LlmnrName],
        shown: |row| {
            let flags = row.all("dns.flags.response");
            let answers = flags.iter().any(|flag| matches!(*flag, "1" | "True"));
            let names = when(row.has("llmnr") && answers, row.all("dns.resp.name"));
            names
                .into_iter()
                .filter(|name| !name.ends_with(".arpa"))
                .collect()
        },
        floor: 1.0,
    },
    Field {
        name: "modbus identification",
        kinds: &[Kind::ModbusDevice],
        shown: |row| owned(row.all("modbus.object_str_value")),
        floor: 1.0,
    },
    Field {
        name: "rdp client name",
        kinds: &[Kind::RdpClientName],
        shown: |row| owned(row.all("rdp.client.name")),
        floor: 1.0,
    },
    Field {
        name: "tls ja4",
        kinds: &[Kind::TlsJa4],
        shown: |row| when(row.has("tcp"), row.all("tls.handshake.ja4")),
        floor: 0.97,
    },
    Field {
        name: "dhcpv6 name",
        kinds: &[Kind::Dhcp6Fqdn],
        shown: |row| owned(row.all("dhcpv6.client_domain")),
        floor: 1.0,
    },
    Field {
        name: "mqtt client",
        kinds: &[Kind::MqttClientId],
        shown: |row| owned(row.all("mqtt.clientid")),
        floor: 1.0,
    },
];

fn text_of(hex: &str) -> Option<String> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octets: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    Some(String::from_utf8_lossy(&octets?).into_owned())
}

/// Writes packets made by [`made`](super::made) as a classic capture.
pub(crate) fn write(packets: &[Packet], file: &Path) {
    let mut octets = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
    ];
    for packet in packets {
        for word in [
            packet.at_us / 1_000_000,
            packet.at_us % 1_000_000,
            packet.octets.len() as i64,
            packet.length as i64,
        ] {
            octets.extend_from_slice(&(word as u32).to_le_bytes());
        }
        octets.extend_from_slice(&packet.octets);
    }
    std::fs::write(file, octets).expect("a capture");
}

/// What the sensor says of a capture.
pub(crate) struct Heard {
    /// Values by their kind, in a form that can be compared.
    pub(crate) evidence: BTreeMap<EvidenceKind, BTreeSet<String>>,
    /// Hardware and protocol addresses from ARP.
    arp: BTreeSet<String>,
    pub(crate) flows: Vec<Flow>,
}

/// All that the sensor says of a capture.
pub(crate) fn hear(packets: &[Packet]) -> Heard {
    let mut sensor = Sensor::new(SourceId(0), Limits::default());
    let mut collected = Collected::default();
    for packet in packets {
        sensor.packet(
            Timestamp::from_millis(packet.at_us / 1000),
            LinkType::from_number(packet.link),
            &packet.octets,
            packet.length,
            &mut collected,
        );
    }
    sensor.finish(&mut collected);
    let mut heard = Heard {
        evidence: BTreeMap::new(),
        arp: BTreeSet::new(),
        flows: collected.flows,
    };
    for observation in collected.observations {
        let party = observation.about.party;
        match observation.fact {
            Fact::Evidence { kind, value } => {
                heard
                    .evidence
                    .entry(kind)
                    .or_default()
                    .insert(plain(&value));
            }
            Fact::Address {
                how: AddressSource::Arp,
                ..
            } => {
                if let (Some(mac), Some(addr)) = (party.mac, party.addr) {
                    heard.arp.insert(format!("{mac} {addr}"));
                }
            }
            _ => {}
        }
    }
    heard
}

/// Who claims an address over ARP.
pub(crate) fn agree_on_arp(rows: &[Row], heard: &Heard) -> Agreement {
    let mut agreement = Agreement::default();
    let mut shown = BTreeSet::new();
    for row in rows {
        if let ([mac], [addr]) = (
            row.all("arp.src.hw_mac").as_slice(),
            row.all("arp.src.proto_ipv4").as_slice(),
        ) {
            // A question without an address of one's own claims nothing.
            let group = u8::from_str_radix(&mac[..2], 16).is_ok_and(|first| first & 1 != 0);
            if *addr != "0.0.0.0" && *mac != "00:00:00:00:00:00" && !group {
                shown.insert(format!("{mac} {addr}"));
            }
        }
    }
    for value in shown {
        if heard.arp.contains(&value) {
            agreement.found += 1;
        } else {
            agreement.missed.insert(value);
        }
    }
    agreement
}

/// Letters and digits only: both write what cannot be printed in ways of their own.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\\' {
            // tshark's escapes: `\n`, `\x1b`, `\004`, `\"`.
            let skip = match rest.as_bytes().first() {
                Some(b'x' | b'0'..=b'9') => 3,
                _ => 1,
            };
            rest = rest.get(skip..).unwrap_or_default();
        } else if c.is_ascii_alphanumeric() {
            plain.push(c.to_ascii_lowercase());
        }
    }
    plain
}

/// How far both agree.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    pub(crate) found: usize,
    pub(crate) missed: BTreeSet<String>,
}

impl Agreement {
    pub(crate) fn ratio(&self) -> f64 {
        let all = self.found + self.missed.len();
        if all == 0 {
            1.0
        } else {
            self.found as f64 / all as f64
        }
    }
}

/// Compares one field of one capture.
pub(crate) fn agree(
    field: &Field,
    rows: &[Row],
    heard: &BTreeMap<EvidenceKind, BTreeSet<String>>,
) -> Agreement {
    let shown: BTreeSet<String> = rows.iter().flat_map(field.shown).collect();
    let mut agreement = Agreement::default();
    for value in shown {
        let wanted = plain(&value);
        let found = field.kinds.iter().any(|kind| {
            heard.get(kind).is_some_and(|values| {
                // Ours may have been cut, or may add a name to a number.
                values.contains(&wanted)
                    || values
                        .iter()
                        .any(|own| own.len() >= 400 && wanted.starts_with(own.as_str()))
                    || (*kind == EvidenceKind::ModbusDevice
                        && values.iter().any(|own| own.ends_with(&wanted)))
                    || (*kind == EvidenceKind::BacnetVendor
                        && values.contains(&format!("id{wanted}")))
            })
        });
        if found || wanted.is_empty() {
            agreement.found += 1;
        } else {
            agreement.missed.insert(value);
        }
    }
    agreement
}
