//! The targets of the sensor, one for each parser: an input is pieces as [`pieces`] reads them.

use sense::{LinkType, lane};

use super::sensor::{Subject, datagrams, frames, pieces, streams};

/// The name of a corpus, and the body of its target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: &[Target] = &[
    ("sense_bacnet", bacnet),
    ("sense_cdp", cdp),
    ("sense_datagram", datagram),
    ("sense_dhcp", dhcp),
    ("sense_dhcp6", dhcp6),
    ("sense_dicom", dicom),
    ("sense_discovery", discovery),
    ("sense_dns", dns),
    ("sense_hl7", hl7),
    ("sense_http", http),
    ("sense_known", known),
    ("sense_lines", lines),
    ("sense_lldp", lldp),
    ("sense_llmnr", llmnr),
    ("sense_mdns", mdns),
    ("sense_modbus", modbus),
    ("sense_mqtt", mqtt),
    ("sense_netbios", netbios),
    ("sense_netbios_datagram", netbios_datagram),
    ("sense_packets", packets),
    ("sense_profinet", profinet),
    ("sense_rdp", rdp),
    ("sense_smb", smb),
    ("sense_snmp", snmp),
    ("sense_ssdp", ssdp),
    ("sense_stream", stream),
    ("sense_tls", tls),
    ("sense_voice_tunnels", voice_tunnels),
    ("sense_wsd", wsd),
];

const DATAGRAM_PORTS: [u16; 32] = [
    53, 67, 69, 88, 111, 123, 137, 138, 161, 162, 389, 500, 514, 546, 547, 1812, 1900, 2152, 3702,
    4789, 5060, 5246, 5247, 5353, 5355, 5683, 6081, 7000, 10001, 24105, 47808, 50_000,
];

const DISCOVERY_PORTS: [u16; 20] = [
    9999, 6666, 10001, 5678, 20560, 62976, 23272, 49999, 37020, 37810, 30718, 2362, 8611, 3289,
    17500, 3671, 54321, 24005, 24105, 44818,
];

const KNOWN_PORTS: [u16; 26] = [
    44818, 88, 389, 514, 2049, 5900, 4840, 102, 20000, 2404, 135, 515, 5432, 1433, 3306, 1521,
    1494, 2000, 179, 5672, 5222, 6379, 27017, 6000, 3260, 548,
];

const LINES_PORTS: [u16; 9] = [22, 21, 25, 23, 110, 143, 554, 5060, 9100];

const STREAM_PORTS: [u16; 32] = [
    21, 23, 25, 53, 80, 88, 102, 104, 110, 135, 139, 143, 389, 443, 445, 502, 554, 631, 1080, 1883,
    2404, 2575, 3306, 3389, 4840, 5060, 5432, 5900, 9100, 11112, 44818, 50_000,
];

const VOICE_PORTS: [u16; 20] = [
    5060, 443, 3478, 51820, 500, 4500, 123, 1812, 69, 5683, 427, 623, 319, 2427, 2055, 6343, 1194,
    1701, 4172, 1985,
];

/// Link types as capture files number them.
const LINKS: [u32; 16] = [
    1, 0, 9, 12, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 276,
];

/// The port that the first octet chooses, and what follows it.
fn port<'a>(ports: &[u16], data: &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (choice, rest) = data.split_first()?;
    Some((ports[usize::from(*choice) % ports.len()], rest))
}

/// BACnet/IP: datagrams in both directions.
pub fn bacnet(data: &[u8]) {
    datagrams(47808, data);
}

/// CDP frames.
pub fn cdp(data: &[u8]) {
    let head = [5, 0, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0];
    frames([1, 0, 0x0c, 0xcc, 0xcc, 0xcc], &head, data);
}

/// Every protocol over UDP: the first octet chooses the port, and what does not fit there is recognised by content.
pub fn datagram(data: &[u8]) {
    if let Some((port, rest)) = port(&DATAGRAM_PORTS, data) {
        datagrams(port, rest);
    }
}

/// DHCPv4: datagrams in both directions.
pub fn dhcp(data: &[u8]) {
    datagrams(67, data);
}

/// DHCPv6: datagrams in both directions.
pub fn dhcp6(data: &[u8]) {
    datagrams(547, data);
}

/// DICOM: a stream in both directions.
pub fn dicom(data: &[u8]) {
    streams(11112, data);
}

/// Discovery protocols of vendors and of patient monitors: the first octet chooses the port.
pub fn discovery(data: &[u8]) {
    if let Some((port, rest)) = port(&DISCOVERY_PORTS, data) {
        datagrams(port, rest);
    }
}

/// DNS: datagrams in both directions.
pub fn dns(data: &[u8]) {
    datagrams(53, data);
}

/// HL7 v2 over MLLP: a stream in both directions.
pub fn hl7(data: &[u8]) {
    streams(2575, data);
}

/// HTTP/1 and what speaks through it (FHIR, DICOMweb, IPP, UPnP, SOAP): a stream in both directions.
pub fn http(data: &[u8]) {
    streams(80, data);
}

/// Protocols over TCP that are only recognised, and EtherNet/IP: the first octet chooses the port.
pub fn known(data: &[u8]) {
    if let Some((port, rest)) = port(&KNOWN_PORTS, data) {
        streams(port, rest);
    }
}

/// SSH, FTP, SMTP, Telnet, POP3, IMAP, RTSP, SIP, raw printing: the first octet chooses the port.
pub fn lines(data: &[u8]) {
    if let Some((port, rest)) = port(&LINES_PORTS, data) {
        streams(port, rest);
    }
}

/// LLDP frames.
pub fn lldp(data: &[u8]) {
    frames([1, 0x80, 0xc2, 0, 0, 0x0e], &[0x88, 0xcc], data);
}

/// Link-local multicast name resolution: datagrams in both directions.
pub fn llmnr(data: &[u8]) {
    datagrams(5355, data);
}

/// Multicast DNS: datagrams in both directions.
pub fn mdns(data: &[u8]) {
    datagrams(5353, data);
}

/// Modbus/TCP: a stream in both directions.
pub fn modbus(data: &[u8]) {
    streams(502, data);
}

/// MQTT: a stream in both directions.
pub fn mqtt(data: &[u8]) {
    streams(1883, data);
}

/// NetBIOS name service: datagrams in both directions.
pub fn netbios(data: &[u8]) {
    datagrams(137, data);
}

/// NetBIOS datagram service: datagrams in both directions.
pub fn netbios_datagram(data: &[u8]) {
    datagrams(138, data);
}

/// The whole sensor: frames of any link type, at times that jump.
///
/// The first octet chooses the link type; of each piece the first octet says how many seconds pass, 255 meaning to the
/// end of time, and the direction of the piece whether forwards or backwards.
pub fn packets(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let link = LinkType::from_number(LINKS[usize::from(*choice) % LINKS.len()]);
    let mut subject = Subject::default();
    for (back, piece) in pieces(rest) {
        let [seconds, frame @ ..] = piece else {
            continue;
        };
        let after = match (seconds, back) {
            (255, true) => i64::MIN,
            (255, false) => i64::MAX,
            (_, true) => i64::from(*seconds) * -1000,
            (_, false) => i64::from(*seconds) * 1000,
        };
        assert!(lane(link, frame, 3) < 3);
        subject.packet(link, frame, after);
    }
    subject.finish();
}

/// PROFINET discovery: frames.
pub fn profinet(data: &[u8]) {
    frames([1, 0x0e, 0xcf, 0, 0, 0], &[0x88, 0x92], data);
}

/// RDP: a stream in both directions.
pub fn rdp(data: &[u8]) {
    streams(3389, data);
}

/// SMB and NTLM: a stream in both directions.
pub fn smb(data: &[u8]) {
    streams(445, data);
}

/// SNMP: datagrams in both directions.
pub fn snmp(data: &[u8]) {
    datagrams(161, data);
}

/// SSDP: datagrams in both directions.
pub fn ssdp(data: &[u8]) {
    datagrams(1900, data);
}

/// Every protocol over TCP: the first octet chooses the port, and what does not fit there is recognised by content.
///
/// The second octet: whether the opening is seen, whether segments come out of order, whether some come twice.
pub fn stream(data: &[u8]) {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let [choice, how, rest @ ..] = data else {
        return;
    };
    let port = STREAM_PORTS[usize::from(*choice) % STREAM_PORTS.len()];
    let mut subject = Subject::default();
    if how & 1 != 0 {
        subject.segment(port, u32::MAX, SYN, &[], false);
        subject.segment(port, u32::MAX, SYN | ACK, &[], true);
    }
    let mut next = [0_u32; 2];
    let mut held = None;
    for (back, piece) in pieces(rest) {
        let sequence = &mut next[usize::from(back)];
        let segment = (*sequence, piece, back);
        *sequence = sequence.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
        let mut give = |(sequence, piece, back): (u32, &[u8], bool)| {
            subject.segment(port, sequence, ACK, piece, back);
        };
        match (how & 2 != 0, held.take()) {
            (true, None) => held = Some(segment),
            (_, before) => {
                give(segment);
                if let Some(before) = before {
                    give(before);
                }
                if how & 4 != 0 {
                    give(segment);
                }
            }
        }
    }
    subject.finish();
}

/// TLS: a stream in both directions.
pub fn tls(data: &[u8]) {
    streams(443, data);
}

/// SIP, DTLS, QUIC, STUN, WireGuard, IKE, NTP, RADIUS and others over UDP that are recognised: the first octet chooses the port.
pub fn voice_tunnels(data: &[u8]) {
    if let Some((port, rest)) = port(&VOICE_PORTS, data) {
        datagrams(port, rest);
    }
}

/// WS-Discovery and SDC: datagrams in both directions.
pub fn wsd(data: &[u8]) {
    datagrams(3702, data);
}
