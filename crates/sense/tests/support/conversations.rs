//! Conversations as tshark shows them and as the sensor reports them: addresses, VLAN, ports, packets and protocol.

use std::collections::{BTreeMap, BTreeSet};

use domain::Flow;
use domain::net::{Party, Transport};

use crate::oracle::{Agreement, Row};

/// Both ends in order, each with its port, and the VLAN.
type Key = (String, String, &'static str, u16);

/// What was counted of a conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    packets: u64,
    services: BTreeSet<String>,
}

/// Names of protocols: tshark's, ours.
const SERVICES: &[(&str, &str)] = &[
    ("bacnet", "bacnet"),
    ("dhcp", "dhcp"),
    ("dhcpv6", "dhcpv6"),
    ("dicom", "dicom"),
    ("dns", "dns"),
    ("hl7", "hl7"),
    ("http", "http"),
    ("llmnr", "llmnr"),
    ("mbtcp", "modbus"),
    ("mdns", "mdns"),
    ("mqtt", "mqtt"),
    ("nbns", "nbns"),
    ("ntp", "ntp"),
    ("rdp", "rdp"),
    ("rtsp", "rtsp"),
    ("sip", "sip"),
    ("smb", "smb"),
    ("smb2", "smb"),
    ("snmp", "snmp"),
    ("ssdp", "ssdp"),
    ("ssh", "ssh"),
    ("tls", "tls"),
];

/// Protocols that carry others under their own name, which is then the more exact one.
const WITHIN: &[(&str, &[&str])] = &[
    (
        "http",
        &[
            "fhir",
            "ipp",
            "upnp",
            "sdc",
            "wsd",
            "dicomweb",
            "websocket",
            "soap",
            "rtsp",
            "proxy",
            "ssdp",
        ],
    ),
    (
        "tls",
        &[
            "rdp",
            "smtp",
            "imap",
            "pop3",
            "ftp",
            "http",
            "proxy",
            "ldap",
            "postgresql",
            "xmpp",
            "mqtt",
            "socks",
        ],
    ),
    ("dns", &["mdns", "llmnr", "nbns"]),
    ("ssdp", &["upnp"]),
];

fn key(one: (&str, u16), other: (&str, u16), transport: &'static str, vlan: u16) -> Key {
    let mut ends = [one, other].map(|(address, port)| format!("{address} {port}"));
    ends.sort();
    let [low, high] = ends;
    (low, high, transport, vlan)
}

/// Conversations of TCP and UDP as tshark shows them. Packets within packets are left out with everything between the
/// outer addresses, and so are the fragmented: what counts as one packet is then a matter of taste.
pub(crate) fn shown(rows: &[Row]) -> BTreeMap<Key, Counted> {
    let mut found: BTreeMap<Key, Counted> = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    for row in rows {
        let (mut from, mut to) = (row.all("ip.src"), row.all("ip.dst"));
        from.extend(row.all("ipv6.src"));
        to.extend(row.all("ipv6.dst"));
        let (Some(source), Some(destination)) = (from.first(), to.first()) else {
            continue;
        };
        let mut pair = [(*source).to_owned(), (*destination).to_owned()];
        pair.sort();
        let fragment = row
            .all("ip.flags.mf")
            .iter()
            .any(|flag| matches!(*flag, "1" | "True"))
            || row
                .all("ip.frag_offset")
                .iter()
                .any(|offset| *offset != "0")
            || row.has("ipv6.fraghdr");
        if from.len() > 1 || fragment {
            left_out.insert(pair);
            continue;
        }
        let ports = |prefix: &str| {
            let port = |end: &str| match row.all(&format!("{prefix}.{end}port")).as_slice() {
                [port] => port.parse::<u16>().ok(),
                _ => None,
            };
            Some((port("src")?, port("dst")?))
        };
        let (transport, (source_port, destination_port)) = match (ports("tcp"), ports("udp")) {
            (Some(ports), None) => ("tcp", ports),
            (None, Some(ports)) => ("udp", ports),
            _ => continue,
        };
        let vlan = row.all("vlan.id").first().and_then(|id| id.parse().ok());
        let key = key(
            (source, source_port),
            (destination, destination_port),
            transport,
            vlan.unwrap_or(0),
        );
        let counted = found.entry(key).or_default();
        counted.packets += 1;
        for (name, own) in SERVICES {
            if row.has(name) && !by_port(row, name) {
                counted.services.insert((*own).to_owned());
            }
        }
    }
    found.retain(|(low, high, ..), _| {
        let mut pair = [low, high].map(|end| end.split(' ').next().unwrap_or_default().to_owned());
        pair.sort();
        !left_out.contains(&pair)
    });
    found
}

/// Conversations of TCP and UDP as the sensor reports them.
pub(crate) fn reported(flows: &[Flow]) -> BTreeMap<Key, Counted> {
    let mut found: BTreeMap<Key, Counted> = BTreeMap::new();
    for flow in flows {
        let transport = match flow.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            _ => continue,
        };
        // Whoever has no address yet sends from none.
        let address = |party: Party| {
            party
                .addr
                .map_or_else(|| "0.0.0.0".to_owned(), |addr| addr.to_string())
        };
        let (client, server) = (address(flow.client), address(flow.server));
        let key = key(
            (&client, flow.client_port),
            (&server, flow.port),
            transport,
            flow.client.vlan.or(flow.server.vlan).unwrap_or(0),
        );
        let counted = found.entry(key).or_default();
        counted.packets += flow.sent.packets + flow.received.packets;
        counted
            .services
            .extend(flow.service.iter().map(ToString::to_string));
    }
    found
}

/// Whether tshark names a protocol for the port alone, over octets that it could not read as such: it then shows nothing of
/// a record, a request or an answer. What runs inside QUIC and DTLS is theirs.
fn by_port(row: &Row, name: &str) -> bool {
    match name {
        "tls" => !row.has("tcp") || row.all("tls.record.content_type").is_empty(),
        "http" => {
            row.all("http.request.method").is_empty() && row.all("http.response.code").is_empty()
        }
        "dns" | "mdns" | "llmnr" => row.all("dns.flags.response").is_empty(),
        "sip" => row.all("sip.CSeq").is_empty(),
        _ => false,
    }
}

/// Whether every conversation is reported with as many packets, and under the protocol's name.
pub(crate) fn agree(
    shown: &BTreeMap<Key, Counted>,
    reported: &BTreeMap<Key, Counted>,
) -> [Agreement; 2] {
    let [mut packets, mut services] = [Agreement::default(), Agreement::default()];
    for (key, theirs) in shown {
        let ours = reported.get(key).cloned().unwrap_or_default();
        if ours.packets == theirs.packets {
            packets.found += 1;
        } else {
            packets.missed.insert(format!(
                "{key:?}: {} packets, ours {}",
                theirs.packets, ours.packets
            ));
        }
        for service in &theirs.services {
            let within = WITHIN
                .iter()
                .filter(|(name, _)| name == service)
                .flat_map(|(_, inner)| *inner);
            let known = ours.services.contains(service)
                || theirs
                    .services
                    .iter()
                    .any(|other| other != service && ours.services.contains(other))
                || within
                    .into_iter()
                    .any(|inner| ours.services.contains(*inner));
            if known {
                services.found += 1;
            } else {
                services
                    .missed
                    .insert(format!("{key:?}: {service}, ours {:?}", ours.services));
            }
        }
    }
    [packets, services]
}
