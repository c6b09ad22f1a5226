//! The dissectors on messages made by hand, whole, in pieces, and changed at random.

use domain::net::Transport;
use proptest::prelude::*;

use super::hello::tests::{Made, client_hello};
use super::testing::{datagram, outbox, scene, stream};
use super::{
    DATAGRAMS, Findings, First, Memory, Progress, STREAMS, StreamProtocol, Streams, Verdict,
    bacnet, discovery, enip, http, known, lines, medical, modbus, mqtt, ntp, smb, snmp, soap, ssdp,
    ssh, tls,
};
use crate::findings::Notes;

fn check(
    protocol: &StreamProtocol,
    port: u16,
    to_server: &[u8],
    to_client: &[u8],
    expected: &[&str],
) -> Notes {
    let first = First {
        to_server,
        to_client,
        server_port: port,
        port_fits: protocol.ports.contains(&port),
    };
    assert_eq!(
        (protocol.recognise)(&first),
        Verdict::Yes,
        "{}",
        protocol.service
    );
    let (heard, notes) = stream(protocol, &scene(Transport::Tcp, port), to_server, to_client);
    assert_eq!(heard, expected, "{}", protocol.service);
    notes
}

fn check_datagram(
    protocol: &super::DatagramProtocol,
    port: u16,
    payload: &[u8],
    expected: &[&str],
) -> Notes {
    let (recognised, heard, notes) =
        datagram(protocol.dissect, &scene(Transport::Udp, port), payload);
    assert!(recognised, "{}", protocol.service);
    assert_eq!(heard, expected, "{}", protocol.service);
    notes
}

#[test]
fn http_says_agent_host_server_title_and_realm() {
    let notes = check(
        &http::PROTOCOL,
        8088,
        b"GET / HTTP/1.1\r\nHost: Printer-7.example:8088\r\nUser-Agent: Pump/1.0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 401 Who\r\nServer: Embedthis\r\nWWW-Authenticate: Basic realm=\"Alaris Gateway\"\r\nContent-Type: text/html\r\nContent-Length: 40\r\n\r\n<HTML><head><TITLE> Alaris </TITLE></html\
          HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Not an entrance</title>",
        &[
            "http.host printer-7.example",
            "http.user_agent Pump/1.0",
            "@2 http.server Embedthis",
            "@2 http.realm Alaris Gateway",
            "@2 http.title Alaris",
        ],
    );
    assert_eq!(notes.server_name.as_deref(), Some("printer-7.example"));
}

#[test]
fn upnp_describes_the_root_device_only() {
    let body = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><manufacturer>Axis &amp; Co</manufacturer>\
        <modelName>M30</modelName><deviceList><device><modelName>inner</modelName></device></deviceList></device></root>";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    check(
        &http::PROTOCOL,
        80,
        b"GET /d.xml HTTP/1.1\r\n\r\n",
        answer.as_bytes(),
        &[
            "@2 upnp.description manufacturer=Axis & Co",
            "@2 upnp.description modelName=M30",
        ],
    );
}

#[test]
fn fhir_says_interaction_software_and_devices() {
    let body = r#"{"resourceType":"CapabilityStatement","software":{"name":"HAPI","version":"7"},"fhirVersion":"4.0.1"}"#;
    let device = r#"{"resourceType":"Device","udiCarrier":[{"deviceIdentifier":"00844588003288","carrierHRF":"(01)00844588003288(21)A7"}],"manufacturer":"Acme","modelNumber":"X1"}"#;
    let json = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answers = json(body) + &json(device);
    let notes = check(
        &http::PROTOCOL,
        8080,
        b"GET /fhir/metadata HTTP/1.1\r\n\r\nGET /fhir/Device/77 HTTP/1.1\r\n\r\nPOST /fhir/Patient/_search HTTP/1.1\r\n\r\n",
        answers.as_bytes(),
        &[
            "fhir.role client",
            "@2 fhir.software name=HAPI",
            "@2 fhir.software version=7",
            "@2 fhir.software fhirVersion=4.0.1",
            "@2 fhir.role server",
            "@2 Udi(\"(01)00844588003288(21)A7\") fhir.device manufacturer=Acme",
            "@2 Udi(\"(01)00844588003288(21)A7\") fhir.device modelNumber=X1",
            "@2 Udi(\"(01)00844588003288(21)A7\") fhir.device udi=00844588003288",
        ],
    );
    assert_eq!(
        notes.meanings,
        ["FHIR capabilities", "FHIR read", "FHIR search"]
    );
    assert_eq!(notes.service, Some("fhir"));
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[kind, 3, 1][..], &length, body].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[kind, a, b, c][..], body].concat()
}

fn hello_message() -> Vec<u8> {
    handshake(
        1,
        &client_hello(&Made {
            version: 0x0303,
            ciphers: &[0x1301, 0xc02f],
            extensions: &[0, 0x2b, 0x0d],
            algorithms: &[0x0403],
            versions: &[0x0304, 0x0303],
            alpn: &[],
        }),
    )
}

fn server_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0x13, 0x01, 0, 0, 6, 0, 0x2b, 0, 2, 3, 4]);
    handshake(2, &body)
}

#[test]
fn a_client_hello_over_several_records_reads_as_one() {
    let message = hello_message();
    let whole = record(22, &message);
    let split: Vec<u8> = message
        .chunks(20)
        .flat_map(|part| record(22, part))
        .collect();
    let answer = record(22, &server_hello());
    for to_server in [whole, split] {
        let (heard, _) = stream(
            &tls::PROTOCOL,
            &scene(Transport::Tcp, 443),
            &to_server,
            &answer,
        );
        assert_eq!(
            heard,
            [
                "tls.ja4 t13d020300_c1929292aa6b_3953dc75acc4",
                "tls.server_name example.org",
                "@2 tls.server 1.3 1301",
            ]
        );
    }
}

#[test]
fn greetings_are_taken_from_whoever_gives_them() {
    check(
        &ssh::PROTOCOL,
        22,
        b"SSH-2.0-Client_1\r\n",
        b"SSH-2.0-dropbear_2019.78\r\n",
        &[
            "ssh.client SSH-2.0-Client_1",
            "@2 ssh.server SSH-2.0-dropbear_2019.78",
        ],
    );
    check(
        &lines::FTP,
        21,
        b"",
        b"220-Multi\r\n220 line\r\n",
        &["@2 ftp.banner Multi"],
    );
    check(
        &lines::SMTP,
        25,
        b"",
        b"220 mx ESMTP Exim 4\r\n",
        &["@2 smtp.banner mx ESMTP Exim 4"],
    );
    check(
        &lines::TELNET,
        23,
        b"",
        b"\xff\xfd\x18\xff\xfb\x01APC Network\r\nUser Name : ",
        &["@2 telnet.banner APC Network User Name :"],
    );
    check(
        &lines::JETDIRECT,
        9100,
        b"\x1b%-12345X@PJL INFO ID\r\n",
        b"@PJL INFO ID\r\n\"ZEBRA\"\r\n\x0c",
        &["@2 ipp.printer pjl-id=ZEBRA"],
    );
    let mqtt = b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05pump1";
    check(
        &mqtt::PROTOCOL,
        1883,
        mqtt,
        b"\x20\x02\0\0",
        &["mqtt.client_id pump1", "@2 mqtt.broker 3.1.1"],
    );
}

#[test]
fn modbus_identifies_the_server_and_units_behind_it() {
    let answer = |unit: u8| {
        let mut pdu = vec![unit, 43, 14, 1, 1, 0, 0, 2, 0, 4];
        pdu.extend(b"Acme");
        pdu.extend([5, 2]);
        pdu.extend(b"M1");
        let length = u8::try_from(pdu.len()).expect("short");
        [&[0, 1, 0, 0, 0, length][..], &pdu].concat()
    };
    let ask = [0, 1, 0, 0, 0, 5, 1, 43, 14, 1, 0];
    let notes = check(
        &modbus::PROTOCOL,
        502,
        &ask,
        &[answer(1), answer(7)].concat(),
        &[
            "modbus.role client",
            "@2 modbus.role server",
            "@2 modbus.device VendorName=Acme",
            "@2 modbus.device ModelName=M1",
            "@2 ModbusUnit(7) modbus.device VendorName=Acme",
            "@2 ModbusUnit(7) modbus.device ModelName=M1",
        ],
    );
    assert_eq!(notes.meanings, ["Modbus identify"]);
}

#[test]
fn smb_says_dialects() {
    let mut request = vec![0, 0, 0, 0];
    request.extend(b"\xfeSMB\x40\0");
    request.extend([0; 58]);
    request.extend([36, 0, 2, 0]);
    request.extend([0; 32]);
    request.extend([0x02, 2, 0x02, 3]);
    request[3] = u8::try_from(request.len() - 4).expect("short");
    let mut answer = vec![0, 0, 0, 0];
    answer.extend(b"\xfeSMB\x40\0");
    answer.extend([0; 58]);
    answer.extend([65, 0, 1, 0, 0x02, 3]);
    answer[3] = u8::try_from(answer.len() - 4).expect("short");
    check(
        &smb::PROTOCOL,
        445,
        &request,
        &answer,
        &["smb.dialect client 3.0.2", "@2 smb.dialect server 3.0.2"],
    );
}

fn list_identity() -> Vec<u8> {
    let mut item = vec![1, 0];
    item.extend([0; 16]);
    item.extend([1, 0, 14, 0, 54, 0, 20, 11, 0, 0, 0x78, 0x56, 0x34, 0x12, 7]);
    item.extend(b"1756-L7");
    item.push(3);
    let mut body = vec![1, 0, 0x0c, 0];
    body.extend(u16::try_from(item.len()).expect("short").to_le_bytes());
    body.extend(item);
    let mut out = vec![0x63, 0];
    out.extend(u16::try_from(body.len()).expect("short").to_le_bytes());
    out.extend([0; 20]);
    out.extend(body);
    out
}

#[test]
fn ethernet_ip_says_its_identity() {
    check_datagram(
        &enip::DATAGRAMS,
        44818,
        &list_identity(),
        &[
            "enip.identity vendor=1",
            "enip.identity device-type=14",
            "enip.identity product-code=54",
            "enip.identity revision=20.11",
            "enip.identity serial=12345678",
            "enip.identity product-name=1756-L7",
        ],
    );
}

#[test]
fn bacnet_says_instance_vendor_and_model_also_behind_a_router() {
    let i_am = [
        0x81, 0x0b, 0, 20, 1, 0, 0x10, 0, 0xc4, 0x02, 0, 0, 7, 0x22, 5, 0xc4, 0x91, 3, 0x21, 42,
    ];
    check_datagram(
        &bacnet::PROTOCOL,
        47808,
        &i_am,
        &["bacnet.instance 7", "bacnet.vendor id=42"],
    );
    // ReadProperty-ACK of model-name, from network 9.
    let mut ack = vec![
        0x81, 0x0a, 0, 0, 1, 8, 0, 9, 1, 5, 0x30, 1, 12, 0x0c, 0x02, 0, 0, 8, 0x19, 70, 0x3e, 0x75,
        5, 0,
    ];
    ack.extend(b"VMA1");
    ack.push(0x3f);
    ack[3] = u8::try_from(ack.len()).expect("short");
    check_datagram(
        &bacnet::PROTOCOL,
        47808,
        &ack,
        &[
            "bacnet.device role=router",
            "Bacnet(8) bacnet.device model-name=VMA1",
        ],
    );
}

#[test]
fn snmp_says_description_identifier_roles_and_engine() {
    let get = b"\x30\x1a\x02\x01\x01\x04\x06public\xa0\x0d\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x02\x30\x00";
    let notes = check_datagram(&snmp::PROTOCOL, 161, get, &["snmp.role manager"]);
    assert_eq!(notes.meanings, ["SNMP read"]);
    let answer = b"\x30\x30\x02\x01\x00\x04\x01p\xa2\x28\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x1d\x30\x1b\x06\x08\x2b\x06\x01\x02\x01\x01\x02\x00\x06\x0f\x2b\x06\x01\x04\x01\x8f\x65\x08\x03\x02\x0a\x81\x80\x80\x01";
    check_datagram(
        &snmp::PROTOCOL,
        161,
        answer,
        &[
            "snmp.role agent",
            "snmp.sys_object_id 1.3.6.1.4.1.2021.8.3.2.10.2097153",
        ],
    );
}

#[test]
fn discovery_says_what_devices_offer() {
    check_datagram(
        &ssdp::PROTOCOL,
        1900,
        b"NOTIFY * HTTP/1.1\r\nSERVER: Linux UPnP/1.0 Cam/2\r\nNT: urn:x:device:Cam:1\r\nLOCATION: http://10.0.0.1/\r\n\r\n",
        &["ssdp.server Linux UPnP/1.0 Cam/2", "ssdp.type urn:x:device:Cam:1"],
    );
    check_datagram(
        &soap::PROTOCOL,
        3702,
        br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:q="http://docs.oasis-open.org/ws-dd/ns/dpws/2009/01" xmlns:m="http://standards.ieee.org/downloads/11073/11073-20702-2016"><s:Body><Hello><a:EndpointReference><a:Address>urn:uuid:1</a:Address></a:EndpointReference><Types>q:Device m:MedicalDevice</Types></Hello></s:Body></s:Envelope>"#,
        &["wsd.endpoint urn:uuid:1", "wsd.type dpws:Device", "wsd.type mdpws:MedicalDevice"],
    );
    check_datagram(
        &soap::PROTOCOL,
        3702,
        br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><Probe><Types>x:Device</Types></Probe></s:Body></s:Envelope>"#,
        &["wsd.probe Device"],
    );
    let mut key = 171;
    let sysinfo: Vec<u8> =
        br#"{"system":{"get_sysinfo":{"model":"HS110(EU)","sw_ver":"1.0","alias":"of somebody"}}}"#
            .iter()
            .map(|octet| {
                key ^= octet;
                key
            })
            .collect();
    check_datagram(
        &discovery::TPLINK,
        9999,
        &sysinfo,
        &[
            "vendor.discovery tplink",
            "vendor.discovery tplink model=HS110(EU)",
            "vendor.discovery tplink firmware=1.0",
        ],
    );
    check_datagram(
        &discovery::UBIQUITI,
        10001,
        b"\x01\x00\x00\x0e\x0c\x00\x03U7P\x03\x00\x05v6.0.",
        &[
            "vendor.discovery ubiquiti",
            "vendor.discovery ubiquiti platform=U7P",
            "vendor.discovery ubiquiti firmware=v6.0.",
        ],
    );
    let mut server = [0_u8; 48];
    server[..2].copy_from_slice(&[0x24, 2]);
    check_datagram(&ntp::PROTOCOL, 123, &server, &["ntp.server stratum 2"]);
}

#[test]
fn monitors_say_that_they_are_monitors() {
    let mut indication = vec![0, 0, 1, 0, 0, 1, 0, 60];
    indication.extend([0; 20]);
    indication.extend([9, 0x28, 0, 20, 0, 8]);
    indication.extend(b"Philips\0");
    indication.extend([0, 8]);
    indication.extend(b"M8007A\0\0");
    check_datagram(
        &medical::INTELLIVUE,
        24005,
        &indication,
        &[
            "vendor.discovery philips-connect-indication",
            "vendor.discovery philips-connect-indication manufacturer=Philips",
            "vendor.discovery philips-connect-indication model=M8007A",
        ],
    );
    let broadcast = {
        let mut scene = scene(Transport::Udp, 7000);
        scene.server.addr = Some(std::net::Ipv4Addr::BROADCAST.into());
        scene
    };
    let (recognised, heard, _) = datagram(medical::RWHAT.dissect, &broadcast, &[7; 200]);
    assert!(recognised);
    assert_eq!(heard, ["vendor.discovery ge-rwhat"]);
    let (unicast, ..) = datagram(
        medical::RWHAT.dissect,
        &scene(Transport::Udp, 7000),
        &[7; 200],
    );
    assert!(!unicast, "others use the port too");
}

#[test]
fn protocols_are_known_by_their_first_octets() {
    let named = |octets: &[u8], port: u16| {
        STREAMS.iter().find_map(|protocol| {
            let first = First {
                to_server: octets,
                to_client: &[],
                server_port: port,
                port_fits: protocol.ports.contains(&port),
            };
            ((protocol.recognise)(&first) == Verdict::Yes).then_some(protocol.service)
        })
    };
    for (octets, port, expected) in [
        (&b"HELF\x20\0\0\0"[..], 4840, Some("opcua")),
        (b"\x05\x64\x05\xc0\x01\0\0\0\0\0", 20000, Some("dnp3")),
        (b"\x68\x04\x07\0\0\0", 2404, Some("iec104")),
        (b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc1\x02\x01\0\xc2\x02\x01\x02\xc0\x01\x0a\x03\0\0\x19\x02\xf0\x80\x32", 102, Some("s7")),
        (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", 3389, Some("rdp")),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", 5432, Some("postgresql")),
        (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0", 389, Some("ldap")),
        (b"GET / HTTP/1.1\r\n", 9999, Some("http")),
        (b"OPTIONS rtsp://a RTSP/1.0\r\n", 554, Some("rtsp")),
        (b"OPTIONS sip:a SIP/2.0\r\n", 5060, Some("sip")),
        (b"\x0bMSH|^~\\&|A", 9999, Some("hl7")),
        (b"nothing that anybody knows", 9999, None),
        (&[0xa5; 64], 9999, None),
    ] {
        assert_eq!(named(octets, port), expected, "{octets:?}");
    }
    let quic = {
        let mut initial = vec![0xc3, 0, 0, 0, 1, 8];
        initial.resize(1200, 0x55);
        initial
    };
    let scene = scene(Transport::Udp, 443);
    assert!((known::QUIC.recognise.expect("anywhere"))(&scene, &quic));
    assert!(!(known::QUIC.recognise.expect("anywhere"))(
        &scene,
        &[0x40; 1200]
    ));
}

/// Real beginnings, for the changes below to start from.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"GET /fhir/Patient/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n5\r\n<titl\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 64\r\n\r\n{\"resourceType\":\"Device\",\"udiCarrier\":[{\"carrierHRF\":\"(01)008445".to_vec(),
        b"POST /ipp HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: 30\r\n\r\n\x02\0\0\x0b\0\0\0\x01\x01\x47\0\x12attributes-charset\0\x05utf-8".to_vec(),
        record(22, &hello_message()),
        record(22, &server_hello()),
        b"SSH-2.0-x\r\n".to_vec(),
        list_identity(),
        b"\x0bMSH|^~\\&|A^00A0370098006640^EUI-64|B|C|D|||ORU^R01|1|P|2.6\rOBX|1||1^MDC_DEV_A_MDS^MDC|1.0|||||||||||||||00A0370098006640^^^EUI-64\r\x1c\r".to_vec(),
        b"\x01\0\0\0\0\x44\0\x01\0\0ARCHIVE         MODALITY        ".to_vec(),
        b"\0\0\0\x40\xffSMB\x73\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0dNTLMSSP\0\x03\0\0\0".to_vec(),
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0".to_vec(),
        b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05pump1".to_vec(),
        b"\0\x01\0\0\0\x05\x01\x2b\x0e\x01\0\0\x01\0\0\0\x0c\x01\x2b\x0e\x01\x01\0\0\x01\0\x04Acme".to_vec(),
        b"220 ftp\r\nUSER a\r\n".to_vec(),
        b"\x81\x0b\0\x14\x01\0\x10\0\xc4\x02\0\0\x07\x22\x05\xc4\x91\x03\x21\x2a".to_vec(),
        b"\x30\x1a\x02\x01\x01\x04\x06public\xa2\x0d\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x02\x30\x00".to_vec(),
        b"NOTIFY * HTTP/1.1\r\nNT: x\r\n\r\n".to_vec(),
        b"<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><Hello><Types>a:b</Types>".to_vec(),
        b"DIGI\0\x02\0\x10\x0d\x04Port\x08\x02v1".to_vec(),
        b"\x20\0\0\0DHIP\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0{\"params\":{\"deviceInfo\":{\"Vendor\":\"D\"}}}".to_vec(),
    ]
}

/// Gives streams in pieces to a dissector as the sensor would, until it is done.
fn run(protocol: &StreamProtocol, to_server: &[u8], to_client: &[u8], piece: usize, gap: bool) {
    let (mut out, mut notes) = (outbox(), Notes::default());
    let scene = scene(Transport::Tcp, protocol.ports.first().copied().unwrap_or(9));
    let mut memory = Memory::default();
    let (mut starts, mut ends) = ([0_usize; 2], [0_usize; 2]);
    let whole = [to_server, to_client];
    for round in 0.. {
        for side in 0..2 {
            ends[side] = (ends[side] + piece).min(whole[side].len());
        }
        let ended = ends[0] == whole[0].len() && ends[1] == whole[1].len();
        let held = |side: usize| {
            whole[side]
                .get(starts[side]..ends[side])
                .unwrap_or_default()
        };
        let streams = Streams {
            to_server: held(0),
            to_client: held(1),
            gap_to_server: gap && round % 3 == 1,
            gap_to_client: gap && round % 3 == 2,
            ended,
        };
        let mut findings = Findings {
            scene,
            out: &mut out,
            notes: &mut notes,
        };
        match (protocol.dissect)(&scene, &streams, &mut memory, &mut findings) {
            Progress::Done => return,
            Progress::Again {
                to_server,
                to_client,
            } => {
                assert!(
                    to_server <= streams.to_server.len() && to_client <= streams.to_client.len()
                );
                return;
            }
            Progress::More {
                to_server,
                to_client,
            } => {
                starts[0] =
                    starts[0].saturating_add(usize::try_from(to_server).unwrap_or(usize::MAX));
                starts[1] =
                    starts[1].saturating_add(usize::try_from(to_client).unwrap_or(usize::MAX));
            }
        }
        if ended {
            return;
        }
    }
}

fn everything(sent: &[u8], received: &[u8], piece: usize, gap: bool) {
    for protocol in STREAMS {
        for port_fits in [false, true] {
            let first = First {
                to_server: &sent[..sent.len().min(2048)],
                to_client: &received[..received.len().min(2048)],
                server_port: 9,
                port_fits,
            };
            let _ = (protocol.recognise)(&first);
        }
        run(protocol, sent, received, piece, gap);
    }
    for protocol in DATAGRAMS {
        let scene = scene(Transport::Udp, protocol.ports.first().copied().unwrap_or(9));
        for payload in [sent, received] {
            if let Some(recognise) = protocol.recognise {
                let _ = recognise(&scene, payload);
            }
            let _ = datagram(protocol.dissect, &scene, payload);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_dissector_minds_what_it_is_given(
        sent in prop::collection::vec(any::<u8>(), 0..300),
        received in prop::collection::vec(any::<u8>(), 0..300),
        piece in 1_usize..80,
        gap in any::<bool>(),
    ) {
        everything(&sent, &received, piece, gap);
    }

    #[test]
    fn no_dissector_minds_changed_messages(
        picks in (0_usize..64, 0_usize..64),
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 0..6),
        cut in 0_usize..300,
        piece in 1_usize..200,
        gap in any::<bool>(),
    ) {
        let seeds = seeds();
        let mut sent = seeds[picks.0 % seeds.len()].clone();
        let mut received = seeds[picks.1 % seeds.len()].clone();
        for (at, to) in changes {
            let length = sent.len();
            sent[at % length] = to;
            let length = received.len();
            received[(at / 2) % length] = to;
        }
        received.truncate(cut);
        everything(&sent, &received, piece, gap);
    }
}
