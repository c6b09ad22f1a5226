//! What the machines say, octet by octet.

mod dicom;
mod hl7;

use std::net::Ipv4Addr;

use domain::{Mac, Timestamp};

use super::frame::{Packets, Party};
use super::machine::{Dhcp, Machine};
use super::talk::Words;
use super::{GATEWAY_MAC, Network, route};
use crate::random::Random;

/// An occasion to speak.
pub(super) struct Scene<'a> {
    pub(super) at: Timestamp,
    pub(super) from: &'a Machine,
    pub(super) to: &'a Machine,
    pub(super) client_port: u16,
    /// Name of the patient that clinical words are about.
    pub(super) patient: &'a str,
    pub(super) network: &'a Network,
}

/// Who answers DHCP and DNS.
const DIRECTORY: &str = "dc01";
/// The hospital's domain.
const DOMAIN: &str = "sample-hospital.example";

pub(super) fn say(words: Words, scene: &Scene<'_>, random: &mut Random, packets: &mut Packets) {
    let (client, server) = route(scene.from, scene.to);
    let mut tcp = |port: u16, said: &[(bool, Vec<u8>)]| {
        packets.tcp(scene.at, (&client, scene.client_port, &server, port), said);
    };
    match words {
        Words::Lookup => {
            let id = random.next() as u16;
            let name = format!(
                "{}.{DOMAIN}",
                random.pick(&["ehr", "files01", "pacs01", "_ldap._tcp.dc._msdcs"])
            );
            let ends = (&client, scene.client_port, &server, 53);
            packets.ask(
                scene.at,
                ends,
                &dns_query(id, &name),
                &dns_answer(id, &name, scene.to.addr),
            );
        }
        Words::Record => tcp(443, &tls("ehr.sample-hospital.example", random)),
        Words::Cloud => {
            let mut outside = server;
            outside.addr = Ipv4Addr::new(203, 0, 113, 40);
            outside.mac = GATEWAY_MAC;
            let ends = (&client, scene.client_port, &outside, 443);
            packets.tcp(scene.at, ends, &tls("gateway.example.com", random));
        }
        Words::Files => tcp(445, &smb(scene)),
        Words::Ticket => tcp(
            88,
            &[
                (true, kerberos_request()),
                (false, vec![0, 0, 0, 2, 0x6b, 0x00]),
            ],
        ),
        Words::Time => {
            let ends = (&client, 123, &server, 123);
            packets.ask(scene.at, ends, &ntp(3, 0), &ntp(4, 3));
        }
        Words::PumpReport => tcp(3601, &hl7::mllp(&hl7::pump_report(scene))),
        Words::Vitals => tcp(2575, &hl7::mllp(&hl7::vitals(scene, random))),
        Words::Result => tcp(2576, &hl7::mllp(&hl7::result(scene, random))),
        Words::Admission => tcp(2575, &hl7::mllp(&hl7::admission(scene))),
        Words::StoreCt => tcp(104, &dicom::store(scene, "1.2.840.10008.5.1.4.1.1.2", "CT")),
        Words::StoreMr => tcp(104, &dicom::store(scene, "1.2.840.10008.5.1.4.1.1.4", "MR")),
        Words::StoreUs => tcp(
            104,
            &dicom::store(scene, "1.2.840.10008.5.1.4.1.1.6.1", "US"),
        ),
        Words::StoreDx => tcp(
            104,
            &dicom::store(scene, "1.2.840.10008.5.1.4.1.1.1.1", "DX"),
        ),
        Words::Worklist => tcp(104, &dicom::find(scene, "1.2.840.10008.5.1.4.31")),
        Words::Studies => tcp(104, &dicom::find(scene, "1.2.840.10008.5.1.4.1.2.2.1")),
        Words::Print => tcp(631, &ipp(scene)),
        Words::Label => tcp(
            9100,
            &[(true, b"^XA^FO50,50^A0N,40^FDSPECIMEN^FS^XZ".to_vec())],
        ),
        Words::Watch => {
            let ends = (&client, scene.client_port, &server, 161);
            packets.ask(
                scene.at,
                ends,
                &snmp(None, scene.to),
                &snmp(Some(()), scene.to),
            );
        }
        Words::Building => {
            let ends = (&client, 47_808, &server, 47_808);
            packets.ask(scene.at, ends, &bacnet_read(), &bacnet_answer(scene.to));
        }
        Words::Video => {
            let question = format!(
                "DESCRIBE rtsp://{}/axis-media/media.amp RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: VMS/5.2\r\n\r\n",
                scene.to.addr
            );
            let answer = b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nServer: GStreamer RTSP server\r\nWWW-Authenticate: Digest realm=\"AXIS_ACCC8E\"\r\n\r\n".to_vec();
            tcp(554, &[(true, question.into_bytes()), (false, answer)]);
        }
        Words::Call => {
            let register = format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP {}\r\nUser-Agent: Cisco-CP8841/14.2.1\r\nContent-Length: 0\r\n\r\n",
                scene.from.addr
            );
            tcp(
                5060,
                &[
                    (true, register.into_bytes()),
                    (
                        false,
                        b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
                    ),
                ],
            );
        }
        Words::Bedside => {
            let body: Vec<u8> = (0..120).map(|_| random.next() as u8).collect();
            let ends = (&client, 24_105, &server, 24_105);
            packets.ask(scene.at, ends, &body, &body[..40]);
        }
        Words::Unlisted => {
            let hello = format!("BX4 2.1 {}\n", scene.from.serial);
            tcp(
                7740,
                &[(true, hello.into_bytes()), (false, b"OK\n".to_vec())],
            );
        }
        Words::Probe => probe(scene, packets),
    }
}

/// A machine makes itself known: address, names, announcements.
pub(super) fn presence(machine: &Machine, network: &Network, at: Timestamp, packets: &mut Packets) {
    let me = Party {
        mac: machine.mac,
        next_hop: GATEWAY_MAC,
        addr: machine.addr,
        vlan: machine.vlan,
        ttl: machine.ttl,
    };
    if let (Some(dhcp), Some(server)) = (machine.dhcp, network.machine(DIRECTORY)) {
        lease(machine, dhcp, server, &me, at, packets);
    }
    let gateway = super::address(machine.vlan, 1);
    packets.arp(at, &me, gateway);
    let everybody = |last: u8| {
        (
            Mac([1, 0, 0x5e, 0, 0, last]),
            Ipv4Addr::new(224, 0, 0, last),
        )
    };
    match machine.kind {
        "printer" => {
            let announcement = mdns(
                "_ipp._tcp.local",
                &machine.name,
                &[
                    "ty=HP LaserJet M507",
                    "usb_MFG=HP",
                    "usb_MDL=HP LaserJet M507",
                    "product=(HP LaserJet M507)",
                ],
            );
            let mut local = me;
            local.ttl = 255;
            packets.udp(at, &local, 5353, everybody(251), 5353, &announcement);
        }
        "tablet" => {
            let announcement = mdns("_device-info._tcp.local", &machine.name, &["model=J271AP"]);
            let mut local = me;
            local.ttl = 255;
            packets.udp(at, &local, 5353, everybody(251), 5353, &announcement);
        }
        "camera" => {
            let announcement = mdns(
                "_axis-video._tcp.local",
                &format!("AXIS M3086-V - {}", hex(&machine.mac.0)),
                &["macaddress=B8A44F000000"],
            );
            packets.udp(at, &me, 5353, everybody(251), 5353, &announcement);
        }
        "workstation" => {
            let subnet = (Mac::BROADCAST, super::address(machine.vlan, 0x07ff));
            packets.udp(at, &me, 137, subnet, 137, &nbns(&machine.name, 0x20));
        }
        "switch" => {
            packets.llc(
                at,
                machine.mac,
                Mac([1, 0, 0x0c, 0xcc, 0xcc, 0xcc]),
                &cdp(machine),
            );
            packets.ethernet(
                at,
                machine.mac,
                Mac([1, 0x80, 0xc2, 0, 0, 0x0e]),
                machine.vlan,
                0x88cc,
                &lldp(machine),
            );
        }
        "voip_phone" => {
            packets.ethernet(
                at,
                machine.mac,
                Mac([1, 0x80, 0xc2, 0, 0, 0x0e]),
                machine.vlan,
                0x88cc,
                &lldp(machine),
            );
        }
        "building_controller" => {
            let subnet = (Mac::BROADCAST, super::address(machine.vlan, 0xff));
            packets.udp(at, &me, 47_808, subnet, 47_808, &bacnet_i_am(machine));
        }
        _ => {}
    }
}

fn lease(
    machine: &Machine,
    dhcp: Dhcp,
    server: &Machine,
    me: &Party,
    at: Timestamp,
    packets: &mut Packets,
) {
    let id = (at.as_millis() as u32) ^ u32::from(machine.mac.0[5]) << 24;
    let nobody = Party {
        addr: Ipv4Addr::UNSPECIFIED,
        ..*me
    };
    let broadcast = (Mac::BROADCAST, Ipv4Addr::BROADCAST);
    let name = dhcp.says_name.then_some(machine.name.as_str());
    for kind in [1, 3] {
        let mut options = vec![53, 1, kind, 61, 7, 1];
        options.extend(machine.mac.0);
        if kind == 3 {
            options.extend([50, 4]);
            options.extend(machine.addr.octets());
        }
        if let Some(name) = name {
            options.extend([12, name.len() as u8]);
            options.extend(name.as_bytes());
        }
        if !dhcp.vendor_class.is_empty() {
            options.extend([60, dhcp.vendor_class.len() as u8]);
            options.extend(dhcp.vendor_class.as_bytes());
        }
        options.extend([55, dhcp.parameters.len() as u8]);
        options.extend(dhcp.parameters);
        options.push(255);
        let ask = bootp(1, id, Ipv4Addr::UNSPECIFIED, machine.mac, &options);
        packets.udp(at, &nobody, 68, broadcast, 67, &ask);
        let mut options = vec![53, 1, kind * 3 / 2 + 1, 54, 4];
        options.extend(server.addr.octets());
        options.extend([51, 4, 0, 0, 0xa8, 0xc0, 1, 4, 255, 255, 252, 0, 3, 4]);
        options.extend(super::address(machine.vlan, 1).octets());
        options.push(255);
        let answer = bootp(2, id, machine.addr, machine.mac, &options);
        let relay = Party {
            mac: GATEWAY_MAC,
            addr: server.addr,
            vlan: machine.vlan,
            ..*me
        };
        packets.udp(at, &relay, 67, broadcast, 68, &answer);
    }
}

fn bootp(op: u8, id: u32, yours: Ipv4Addr, mac: Mac, options: &[u8]) -> Vec<u8> {
    let mut message = vec![op, 1, 6, 0];
    message.extend(id.to_be_bytes());
    message.extend([0; 8]);
    message.extend(yours.octets());
    message.extend([0; 8]);
    message.extend(mac.0);
    message.extend([0; 10 + 64 + 128]);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    message.extend(options);
    message
}

fn labels(name: &str, out: &mut Vec<u8>) {
    for label in name.split('.') {
        out.push(label.len().min(63) as u8);
        out.extend(label.bytes().take(63));
    }
    out.push(0);
}

fn dns_query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    labels(name, &mut message);
    message.extend([0, 1, 0, 1]);
    message
}

fn dns_answer(id: u16, name: &str, addr: Ipv4Addr) -> Vec<u8> {
    let mut message = dns_query(id, name);
    message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
    message.extend(addr.octets());
    message
}

/// An mDNS answer that offers a service under an instance name, with TXT pairs.
fn mdns(service: &str, instance: &str, pairs: &[&str]) -> Vec<u8> {
    let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    let mut full = vec![instance.len().min(63) as u8];
    full.extend(instance.bytes().take(63));
    labels(service, &mut full);
    labels(service, &mut message);
    message.extend([0, 12, 0, 1, 0, 0, 0x11, 0x94]);
    message.extend((full.len() as u16).to_be_bytes());
    message.extend(&full);
    message.extend(&full);
    message.extend([0, 16, 0x80, 1, 0, 0, 0x11, 0x94]);
    let text: Vec<u8> = pairs
        .iter()
        .flat_map(|p| std::iter::once(p.len() as u8).chain(p.bytes()))
        .collect();
    message.extend((text.len() as u16).to_be_bytes());
    message.extend(text);
    message
}

/// A NetBIOS name registration (RFC 1002, 4.2.2).
fn nbns(name: &str, suffix: u8) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1, 32];
    let padded = name
        .bytes()
        .map(|b| b.to_ascii_uppercase())
        .chain(std::iter::repeat(b' '))
        .take(15)
        .chain([suffix]);
    for byte in padded {
        message.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
    }
    message.extend([
        0, 0, 0x20, 0, 1, 0xc0, 0x0c, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6, 0, 0, 10, 20, 20, 9,
    ]);
    message
}

/// A TLS 1.3 opening as a current browser makes it, the server's answer, and something encrypted.
fn tls(server_name: &str, random: &mut Random) -> Vec<(bool, Vec<u8>)> {
    let mut nonce = [0_u8; 32];
    nonce.iter_mut().for_each(|b| *b = random.next() as u8);
    let mut hello = vec![3, 3];
    hello.extend(nonce);
    hello.push(0);
    hello.extend([0, 6, 0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b, 1, 0]);
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((body.len() as u16).to_be_bytes());
        extensions.extend(body);
    };
    let name = server_name.as_bytes();
    let mut sni = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    sni.push(0);
    sni.extend((name.len() as u16).to_be_bytes());
    sni.extend(name);
    extension(0, &sni);
    extension(10, &[0, 4, 0, 0x1d, 0, 0x17]);
    extension(13, &[0, 4, 4, 3, 8, 4]);
    extension(
        16,
        &[
            0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1',
        ],
    );
    extension(43, &[4, 3, 4, 3, 3]);
    let mut share = vec![0, 36, 0, 0x1d, 0, 32];
    share.extend(nonce);
    extension(51, &share);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut answer = vec![3, 3];
    answer.extend(nonce);
    answer.extend([0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    let sealed: Vec<u8> = (0..300).map(|_| random.next() as u8).collect();
    vec![
        (true, record(22, &handshake(1, &hello))),
        (false, record(22, &handshake(2, &answer))),
        (false, record(23, &sealed)),
        (true, record(23, &sealed[..100])),
        (false, record(23, &sealed)),
    ]
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (body.len() as u32).to_be_bytes();
    let mut message = vec![kind, a, b, c];
    message.extend(body);
    message
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 3, 3];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    message
}

/// SMB 2 negotiation, and NTLM naming the workstation.
fn smb(scene: &Scene<'_>) -> Vec<(bool, Vec<u8>)> {
    let header = |command: u16, answer: bool| {
        let mut h = vec![0xfe, b'S', b'M', b'B', 64, 0, 0, 0, 0, 0, 0, 0];
        h.extend(command.to_le_bytes());
        h.extend([1, 0]);
        h.extend([u8::from(answer), 0, 0, 0]);
        h.extend([0; 44]);
        h
    };
    let framed = |message: Vec<u8>| {
        let mut out = (message.len() as u32).to_be_bytes().to_vec();
        out.extend(message);
        out
    };
    let mut negotiate = header(0, false);
    negotiate.extend([36, 0, 3, 0, 1, 0, 0, 0, 0x7f, 0, 0, 0]);
    negotiate.extend([7; 16]);
    negotiate.extend([0; 8]);
    negotiate.extend([0x10, 2, 0, 3, 2, 3]);
    let mut chosen = header(0, true);
    chosen.extend([65, 0, 1, 0, 2, 3, 0, 0]);
    chosen.extend([0; 56]);
    let name: Vec<u8> = scene
        .from
        .name
        .to_ascii_uppercase()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut ntlm = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let field = |length: usize, at: usize, out: &mut Vec<u8>| {
        out.extend((length as u16).to_le_bytes());
        out.extend((length as u16).to_le_bytes());
        out.extend((at as u32).to_le_bytes());
    };
    let base = 72;
    field(0, base, &mut ntlm); // LM response
    field(0, base, &mut ntlm); // NT response
    field(0, base, &mut ntlm); // domain
    field(0, base, &mut ntlm); // user: nobody's name is said here
    field(name.len(), base, &mut ntlm);
    field(0, base, &mut ntlm); // session key
    ntlm.extend([0x15, 0x82, 0x88, 0xe2]);
    ntlm.extend([10, 0, 0x65, 0x4a, 0, 0, 0, 15]); // Windows 10.0 build 19045, NTLM revision 15
    ntlm.extend(name);
    let mut setup = header(1, false);
    setup.extend([25, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 88, 0]);
    setup.extend((ntlm.len() as u16).to_le_bytes());
    setup.extend([0; 8]);
    setup.extend(ntlm);
    vec![
        (true, framed(negotiate)),
        (false, framed(chosen)),
        (true, framed(setup)),
    ]
}

fn kerberos_request() -> Vec<u8> {
    let mut request = vec![0, 0, 0, 14];
    request.extend([0x6a, 12, 0x30, 10, 0xa1, 3, 2, 1, 5, 0xa2, 3, 2, 1, 10]);
    request
}

fn ntp(mode: u8, stratum: u8) -> Vec<u8> {
    let mut message = vec![4 << 3 | mode, stratum, 6, 0xec];
    message.extend([0; 44]);
    message
}

/// Get-Printer-Attributes (RFC 8011, 4.2.5) over HTTP.
fn ipp(scene: &Scene<'_>) -> Vec<(bool, Vec<u8>)> {
    let attribute = |tag: u8, name: &str, value: &str| {
        let mut out = vec![tag];
        out.extend((name.len() as u16).to_be_bytes());
        out.extend(name.bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value.bytes());
        out
    };
    let common = [
        attribute(0x47, "attributes-charset", "utf-8"),
        attribute(0x48, "attributes-natural-language", "en"),
    ]
    .concat();
    let mut question = vec![2, 0, 0, 0x0b, 0, 0, 0, 1, 1];
    question.extend(&common);
    question.push(3);
    let mut answer = vec![2, 0, 0, 0, 0, 0, 0, 1, 1];
    answer.extend(&common);
    answer.push(4);
    answer.extend(attribute(
        0x41,
        "printer-make-and-model",
        &format!("{} {}", scene.to.vendor, scene.to.model),
    ));
    answer.push(3);
    let mut request = format!(
        "POST /ipp/print HTTP/1.1\r\nHost: {}:631\r\nUser-Agent: Windows-IPP/10.0\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
        scene.to.addr,
        question.len()
    )
    .into_bytes();
    request.extend(question);
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nServer: HP HTTP Server; HP LaserJet M507\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    )
    .into_bytes();
    response.extend(answer);
    vec![(true, request), (false, response)]
}

/// sysDescr.0 and sysObjectID.0 (RFC 3418) of a machine.
fn system_group(machine: &Machine) -> (String, &'static [u8]) {
    match machine.vendor {
        "Cisco" => (
            "Cisco IOS Software [Cupertino], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 17.9.4a, RELEASE SOFTWARE (fc3)".to_owned(),
            &[0x2b, 6, 1, 4, 1, 9, 1, 0x93, 0x20],
        ),
        "HP" => (
            "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153,EEPROM JSI24090012,CIDATE 08/01/2022".to_owned(),
            &[0x2b, 6, 1, 4, 1, 11, 2, 3, 9, 1],
        ),
        vendor => (format!("{vendor} {}", machine.model), &[0x2b, 6, 1, 4, 1, 0x81, 0x1c, 1]),
    }
}

fn ber(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match body.len() {
        n @ 0..=127 => out.push(n as u8),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(body);
    out
}

/// SNMPv2c GetRequest or Response (RFC 3416) for sysDescr.0 and sysObjectID.0.
fn snmp(answer: Option<()>, machine: &Machine) -> Vec<u8> {
    let (descr, object) = system_group(machine);
    let value = |tag: u8, bytes: &[u8]| match answer {
        Some(()) => ber(tag, bytes),
        None => ber(5, &[]),
    };
    let binding = |last: u8, value: Vec<u8>| {
        let mut body = ber(6, &[0x2b, 6, 1, 2, 1, 1, last, 0]);
        body.extend(value);
        ber(0x30, &body)
    };
    let bindings = [
        binding(1, value(4, descr.as_bytes())),
        binding(2, value(6, object)),
    ]
    .concat();
    let mut pdu = ber(2, &[1]);
    pdu.extend(ber(2, &[0]));
    pdu.extend(ber(2, &[0]));
    pdu.extend(ber(0x30, &bindings));
    let mut message = ber(2, &[1]);
    message.extend(ber(4, b"public"));
    message.extend(ber(if answer.is_some() { 0xa2 } else { 0xa0 }, &pdu));
    ber(0x30, &message)
}

/// BACnet/IP ReadProperty of the device's model name (ASHRAE 135, 15.5).
fn bacnet_read() -> Vec<u8> {
    vec![
        0x81, 0x0a, 0, 17, 1, 4, 0, 5, 1, 0x0c, 0x0c, 0x02, 0, 0, 1, 0x19, 70,
    ]
}

fn bacnet_answer(machine: &Machine) -> Vec<u8> {
    let mut apdu = vec![0x30, 1, 0x0c, 0x0c, 0x02, 0, 0, 1, 0x19, 70, 0x3e, 0x75];
    apdu.push((machine.model.len() + 1) as u8);
    apdu.push(0);
    apdu.extend(machine.model.bytes());
    apdu.push(0x3f);
    bvlc(0x0a, &apdu)
}

fn bacnet_i_am(machine: &Machine) -> Vec<u8> {
    // Vendor identifiers as ASHRAE assigns them: 5 Johnson Controls, 7 Siemens Building Technologies.
    let vendor = if machine.vendor == "Siemens" { 7 } else { 5 };
    let apdu = [
        0x10, 0, 0xc4, 0x02, 0, 0, 1, 0x22, 1, 0xe0, 0x91, 3, 0x21, vendor,
    ];
    bvlc(0x0b, &apdu)
}

fn bvlc(function: u8, apdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81, function];
    out.extend(((apdu.len() + 6) as u16).to_be_bytes());
    out.extend([1, 0]);
    out.extend(apdu);
    out
}

fn lldp(machine: &Machine) -> Vec<u8> {
    let tlv = |kind: u8, body: &[u8]| {
        let head = u16::from(kind) << 9 | body.len() as u16;
        let mut out = head.to_be_bytes().to_vec();
        out.extend(body);
        out
    };
    let mut chassis = vec![4];
    chassis.extend(machine.mac.0);
    let (described, capabilities) = match machine.kind {
        "switch" => (system_group(machine).0, [0, 0x14, 0, 0x14]),
        _ => (
            format!("{} {}, V1, sip88xx.14-2-1", machine.vendor, machine.model),
            [0, 0x24, 0, 0x24],
        ),
    };
    [
        tlv(1, &chassis),
        tlv(2, b"\x05Te1/0/1"),
        tlv(3, &[0, 120]),
        tlv(5, machine.name.as_bytes()),
        tlv(6, described.as_bytes()),
        tlv(7, &capabilities),
        tlv(0, &[]),
    ]
    .concat()
}

fn cdp(machine: &Machine) -> Vec<u8> {
    let tlv = |kind: u16, body: &[u8]| {
        let mut out = kind.to_be_bytes().to_vec();
        out.extend(((body.len() + 4) as u16).to_be_bytes());
        out.extend(body);
        out
    };
    let mut message = vec![0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180, 0, 0];
    message.extend(tlv(1, machine.name.as_bytes()));
    message.extend(tlv(4, &[0, 0, 0, 0x29]));
    message.extend(tlv(5, system_group(machine).0.as_bytes()));
    message.extend(tlv(6, format!("cisco {}", machine.model).as_bytes()));
    message
}

/// Somebody's little computer knocks at its neighbours' doors.
fn probe(scene: &Scene<'_>, packets: &mut Packets) {
    let neighbours = scene
        .network
        .machines()
        .iter()
        .filter(|m| m.vlan == scene.from.vlan && m.name != scene.from.name);
    for (n, neighbour) in (0_u16..).zip(neighbours) {
        let (client, server) = route(scene.from, neighbour);
        let at = Timestamp::from_millis(scene.at.as_millis() + i64::from(n) * 40);
        packets.refused(
            at,
            (
                &client,
                scene.client_port.wrapping_add(n) | 0x8000,
                &server,
                445,
            ),
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
