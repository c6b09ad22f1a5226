use super::super::{Context, Counts, Joins, Reader, recognise};
use super::*;
use domain::conversation::{Flow, Opening, Protection};
use domain::net::Transport;
use domain::observation::{Collected, Fact, SourceId};

struct Read {
    said: Vec<String>,
    flows: Vec<Flow>,
    problems: Vec<Problem>,
    counts: Counts,
    joins: Joins,
}

fn read_with(name: &str, text: &str, joins: Joins) -> Read {
    let format = recognise(text.as_bytes(), name);
    let context = Context {
        source: SourceId(0),
        at: Timestamp::from_millis(0),
    };
    let mut reader = Reader::new(format, name, context, None)
        .unwrap_or_else(|| panic!("{format:?} is not read"))
        .with_joins(joins);
    let mut sink = Collected::default();
    let (head, rest) = text.as_bytes().split_at(text.len().min(64));
    reader.push(head, &mut sink);
    for piece in rest.chunks(11) {
        reader.push(piece, &mut sink);
    }
    reader.finish(&mut sink);
    let said = sink
        .observations
        .iter()
        .map(|o| {
            let mac = o
                .about
                .party
                .mac
                .map_or_else(String::new, |mac| format!("{mac}/"));
            let addr = o
                .about
                .party
                .addr
                .map_or_else(String::new, |addr| addr.to_string());
            let asset = o
                .about
                .asset
                .as_ref()
                .map_or_else(String::new, |asset| format!(" {asset:?}"));
            match &o.fact {
                Fact::Evidence { kind, value } => format!("{mac}{addr}{asset} {kind}={value}"),
                Fact::Address { until, .. } => format!(
                    "{mac}{addr} until {}",
                    until.map_or_else(|| "-".to_owned(), |until| until.to_string())
                ),
                Fact::Seen => format!("{mac}{addr} seen"),
                Fact::Released => format!("{mac}{addr} released"),
            }
        })
        .collect();
    Read {
        said,
        flows: sink.flows,
        problems: reader.take_problems(),
        counts: reader.counts(),
        joins: reader.take_joins().unwrap_or_default(),
    }
}

fn read(name: &str, text: &str) -> Read {
    read_with(name, text, Joins::default())
}

/// A log in Zeek's own form.
fn tsv(path: &str, fields: &str, rows: &[&str]) -> String {
    let mut text = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{path}\n#open\t2026-11-22-08-30-05\n#fields\t{}\n#types\tignored\n",
        fields.replace(' ', "\t")
    );
    for row in rows {
        text.push_str(&row.replace(' ', "\t").replace('_', " "));
        text.push('\n');
    }
    text.push_str("#close\t2026-11-22-09-00-00\n");
    text
}

const ENDS: &str = "1795336205.250000 C1 10.0.0.5 50000 10.0.0.9 443";

#[test]
fn connections_become_flows() {
    let text = tsv(
        "conn",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents orig_l2_addr resp_l2_addr",
        &[
            &format!(
                "{ENDS} tcp ssl,http 1.5 100 200 SF T T 0 ShADad 5 400 6 700 - 00:1a:2b:3c:4d:5e 00:1a:2b:3c:4d:5f"
            ),
            "1795336206.0 C2 10.0.0.5 8 10.0.0.9 0 icmp - - - - OTH T T 0 - 1 84 0 0 (empty) - -",
        ],
    );
    let read = read("anything", &text);
    assert_eq!(read.problems, []);
    assert_eq!(read.flows.len(), 2);
    let flow = &read.flows[0];
    assert_eq!(flow.first, Timestamp::from_millis(1_795_336_205_250));
    assert_eq!(flow.last, Timestamp::from_millis(1_795_336_206_750));
    assert_eq!(
        flow.client.mac.map(|mac| mac.to_string()).as_deref(),
        Some("00:1a:2b:3c:4d:5e")
    );
    assert_eq!(
        (flow.port, flow.client_port, flow.transport),
        (443, 50_000, Transport::Tcp)
    );
    assert_eq!(
        (flow.service.as_deref(), flow.protection, flow.opening),
        (Some("tls"), Protection::Encrypted, Opening::Told)
    );
    assert_eq!(
        (flow.sent.packets, flow.sent.bytes, flow.received.bytes),
        (5, 400, 700)
    );
    let ping = &read.flows[1];
    assert_eq!(
        (ping.transport, ping.port, ping.opening),
        (Transport::Icmp, 8, Opening::Guessed)
    );
    assert_eq!(
        read.said,
        [
            "00:1a:2b:3c:4d:5e/10.0.0.5 seen",
            "00:1a:2b:3c:4d:5f/10.0.0.9 seen",
            "10.0.0.5 seen"
        ]
    );
}

#[test]
fn both_forms_of_a_log_say_the_same() {
    let fields = "ts uids client_addr server_addr mac host_name client_fqdn domain requested_addr assigned_addr lease_time client_message server_message msg_types duration client_software";
    let text = tsv(
        "dhcp",
        fields,
        &[
            "1795336205.25 C1,C2 10.0.0.5 10.0.0.1 00:1a:2b:3c:4d:5e pump1 - example.org - 10.0.0.5 3600.0 - - DISCOVER,OFFER,REQUEST,ACK 0.01 Vendor\\x20X",
        ],
    );
    let json = r#"{"ts":1795336205.25,"uids":["C1","C2"],"client_addr":"10.0.0.5","server_addr":"10.0.0.1","mac":"00:1a:2b:3c:4d:5e","host_name":"pump1","assigned_addr":"10.0.0.5","lease_time":3600.0,"msg_types":["DISCOVER","OFFER","REQUEST","ACK"],"client_software":"Vendor X"}
"#;
    let iso = json.replace("1795336205.25", "\"2026-11-22T08:30:05.250000Z\"");
    let expected = [
        "00:1a:2b:3c:4d:5e/10.0.0.5 until 2026-11-22T09:30:05.250Z",
        "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.hostname=pump1",
        "00:1a:2b:3c:4d:5e/10.0.0.5 dhcp.vendor_class=Vendor X",
        "10.0.0.1 dhcp.server=v4",
    ];
    for text in [text.as_str(), json, &iso] {
        let read = read("dhcp.log", text);
        assert_eq!(read.problems, []);
        assert_eq!(read.said, expected, "{text}");
    }
}

#[test]
fn json_without_a_path_is_known_by_its_fields() {
    let read = read(
        "export.ndjson",
        "{\"ts\":1795336205.0,\"uid\":\"C1\",\"id\":{\"orig_h\":\"10.0.0.5\",\"orig_p\":5,\"resp_h\":\"10.0.0.9\",\"resp_p\":104},\"proto\":\"tcp\",\"conn_state\":\"SF\",\"local_orig\":true,\"orig_ip_bytes\":7}\n",
    );
    assert_eq!(read.flows.len(), 1);
    assert_eq!(read.flows[0].port, 104);
    assert_eq!(read.flows[0].sent.bytes, 7);
}

#[test]
fn a_certificate_is_joined_to_its_host_in_either_order() {
    let ssl = tsv("ssl", "ts uid id.orig_h id.orig_p id.resp_h id.resp_p version cipher server_name established cert_chain_fps", &[&format!("{ENDS} TLSv12 TLS-ECDHE Pacs.Example.org T aa11,bb22")])
        .replace("TLS-ECDHE", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    let x509 = tsv(
        "x509",
        "ts fingerprint certificate.version certificate.subject certificate.issuer",
        &["1795336205.0 aa11 3 CN=pacs,O=Example CN=ca"],
    );
    let subject = [
        "10.0.0.9 tls.subject=CN=pacs,O=Example",
        "10.0.0.9 tls.issuer=CN=ca",
    ]
    .map(str::to_owned);
    let first = read("ssl.log", &ssl);
    assert!(
        first
            .said
            .contains(&"10.0.0.5 tls.server_name=pacs.example.org".to_owned()),
        "{:?}",
        first.said
    );
    assert!(
        first
            .said
            .contains(&"10.0.0.9 tls.server=1.2 c02f".to_owned())
    );
    assert_eq!(read_with("x509.log", &x509, first.joins).said, subject);
    let first = read("x509.log", &x509);
    assert!(first.said.is_empty());
    let second = read_with("ssl.log", &ssl, first.joins);
    assert!(
        subject.iter().all(|line| second.said.contains(line)),
        "{:?}",
        second.said
    );
}

#[test]
fn each_log_says_what_it_knows_of_devices() {
    let check = |path: &str, fields: &str, row: &str, expected: &[&str]| {
        let read = read(
            "a.log",
            &tsv(
                path,
                &format!("ts uid id.orig_h id.orig_p id.resp_h id.resp_p {fields}"),
                &[&format!("{ENDS} {row}")],
            ),
        );
        assert_eq!(read.problems, [], "{path}");
        let said: Vec<&str> = read
            .said
            .iter()
            .map(String::as_str)
            .filter(|line| !line.ends_with("seen"))
            .collect();
        assert_eq!(said, expected, "{path}");
    };
    check(
        "dns",
        "query qtype_name rcode_name AA RA",
        "Update.Example.ORG A NOERROR F T",
        &[
            "10.0.0.5 dns.query=update.example.org",
            "10.0.0.9 dns.server=recursive",
        ],
    );
    check(
        "http",
        "method host uri user_agent username",
        "GET Ehr.example.org:8080 /r4/fhir/Patient/77 Mozilla/5.0 jane",
        &[
            "10.0.0.5 http.user_agent=Mozilla/5.0",
            "10.0.0.5 http.host=ehr.example.org",
            "10.0.0.5 fhir.role=client",
            "10.0.0.9 fhir.role=server",
        ],
    );
    check(
        "ssh",
        "version client server",
        "2 SSH-2.0-PuTTY SSH-2.0-dropbear",
        &[
            "10.0.0.5 ssh.client=SSH-2.0-PuTTY",
            "10.0.0.9 ssh.server=SSH-2.0-dropbear",
        ],
    );
    check(
        "ntlm",
        "username hostname domainname server_nb_computer_name",
        "jane WS01 HOSPITAL PACS01",
        &[
            "10.0.0.5 ntlm.computer=WS01",
            "10.0.0.5 ntlm.domain=HOSPITAL",
            "10.0.0.9 ntlm.computer=PACS01",
        ],
    );
    check(
        "kerberos",
        "request_type client service",
        "AS WS01$/EXAMPLE.ORG krbtgt",
        &[
            "10.0.0.5 ntlm.computer=WS01",
            "10.0.0.5 ntlm.domain=EXAMPLE.ORG",
        ],
    );
    check(
        "kerberos",
        "request_type client service",
        "AS jane/EXAMPLE.ORG krbtgt",
        &[],
    );
    check(
        "snmp",
        "version community display_string",
        "2c secret Linux-printer",
        &[
            "10.0.0.9 snmp.sys_descr=Linux-printer",
            "10.0.0.9 snmp.role=agent",
            "10.0.0.5 snmp.role=manager",
        ],
    );
    check(
        "rdp",
        "cookie client_build client_name",
        "jane RDP-10.4 WS01",
        &[
            "10.0.0.5 rdp.client_name=WS01",
            "10.0.0.5 rdp.client_build=RDP-10.4",
        ],
    );
    check(
        "modbus",
        "func",
        "READ",
        &["10.0.0.5 modbus.role=client", "10.0.0.9 modbus.role=server"],
    );
    check(
        "mqtt_connect",
        "proto_version client_id",
        "3.1.1 bed-12",
        &[
            "10.0.0.5 mqtt.client_id=bed-12",
            "10.0.0.9 mqtt.broker=3.1.1",
        ],
    );
    check(
        "bacnet_discovery",
        "is_orig source_h source_p destination_h destination_p pdu_service object_type instance_number vendor",
        "T 10.0.0.5 47808 10.0.0.255 47808 i-am device 108 Acuity",
        &[
            "10.0.0.5 Bacnet(108) bacnet.instance=108",
            "10.0.0.5 Bacnet(108) bacnet.vendor=Acuity",
        ],
    );
    check(
        "bacnet_property",
        "pdu_service object_type instance_number property array_index value",
        "read-property-ack device 501 model-name - HIY-054",
        &[
            "10.0.0.9 Bacnet(501) bacnet.instance=501",
            "10.0.0.9 Bacnet(501) bacnet.device=model-name=HIY-054",
        ],
    );
    let known = read(
        "known_services.log",
        &tsv(
            "known_services",
            "ts host port_num port_proto service",
            &["1795336205.0 10.0.0.9 104 tcp DICOM"],
        ),
    );
    assert_eq!(
        known.said,
        ["10.0.0.9 seen", "10.0.0.9 service.serves=tcp/104"]
    );
    let software = read(
        "software.log",
        &tsv(
            "software",
            "ts host host_p software_type name version.major version.minor unparsed_version",
            &["1795336205.0 10.0.0.9 80 HTTP::SERVER nginx 1 18 nginx/1.18.0"],
        ),
    );
    assert_eq!(
        software.said,
        ["10.0.0.9 http.server=nginx/1.18.0", "10.0.0.9 seen"]
    );
}

#[test]
fn a_person_never_enters() {
    let logs = [
        tsv("http", "ts uid id.orig_h id.orig_p id.resp_h id.resp_p method host uri referrer user_agent username password", &[&format!("{ENDS} GET h /Patient?name=Doe&mrn=12345 http://h/Doe Mozilla Doe 12345")]),
        tsv("smtp", "ts uid id.orig_h id.orig_p id.resp_h id.resp_p mailfrom rcptto subject", &[&format!("{ENDS} Doe@h Doe@h 12345")]),
        tsv("files", "ts fuid filename", &["1795336205.0 F1 Doe-12345.pdf"]),
        tsv("hl7_segments", "ts uid pid", &["1795336205.0 C1 Doe^12345"]),
        tsv("ntlm", "ts uid id.orig_h id.orig_p id.resp_h id.resp_p username hostname", &[&format!("{ENDS} Doe WS-x")]),
        "{\"ts\":\"Doe 12345\",\"uid\":\"C\",\"id.orig_h\":\"10.0.0.5\",\"id.resp_h\":\"10.0.0.9\",\"conn_state\":\"SF\"}\n".to_owned(),
    ];
    for text in logs {
        let read = read("x.log", &text);
        let all = format!("{:?}{:?}{:?}", read.said, read.flows, read.problems);
        assert!(!all.contains("Doe") && !all.contains("12345"), "{all}");
    }
}

#[test]
fn unknown_logs_and_fields_are_counted_and_passed_over() {
    let unknown = read(
        "a.log",
        &tsv(
            "spicy_thing",
            "ts uid",
            &["1795336205.0 C1", "1795336206.0 C2"],
        ),
    );
    assert_eq!((unknown.counts.unknown, unknown.counts.damaged), (2, 0));
    let fields = read(
        "a.log",
        &tsv(
            "known_hosts",
            "ts new_field host another",
            &["1795336205.0 x 10.0.0.5 y"],
        ),
    );
    assert_eq!(fields.said, ["10.0.0.5 seen"]);
}

#[test]
fn damage_is_named_by_line_and_the_rest_is_read() {
    let mut text = tsv(
        "known_hosts",
        "ts host",
        &[
            "1795336205.0 10.0.0.5",
            "1795336205.0",
            "yesterday 10.0.0.6",
            "1795336205.0 nobody",
            "1795336205.0 10.0.0.7",
        ],
    );
    text.push_str("1795336205.0\t10.0");
    let read = read("a.log", &text);
    assert_eq!(read.said, ["10.0.0.5 seen", "10.0.0.7 seen"]);
    let lines: Vec<_> = read.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(10), Some(11), Some(12), Some(15)]);
    let headless = Reader::new(
        super::super::Format::ZeekTsv,
        "a",
        Context {
            source: SourceId(0),
            at: Timestamp::from_millis(0),
        },
        None,
    );
    let mut headless = headless.expect("a format of records");
    headless.push(b"1795336205.0\t10.0.0.5\n", &mut Collected::default());
    assert!(headless.take_problems()[0].what.contains("#fields"));
}

#[test]
fn a_files_name_shows_its_path() {
    assert_eq!(
        path_of_name("/logs/conn.10:00:00-11:00:00.log.gz"),
        Some("conn")
    );
    assert_eq!(path_of_name("known_hosts.log"), Some("known_hosts"));
    assert_eq!(path_of_name("dns_20261122.json"), Some("dns"));
    assert_eq!(path_of_name("conn"), None);
    assert_eq!(path_of_name("patients.json"), None);
}

proptest::proptest! {
    #[test]
    fn any_octets_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), json: bool) {
        let head = if json { "{\"ts\":1,\"uid\":".to_owned() } else { tsv("conn", "ts id.orig_h id.resp_h conn_state", &[]) };
        let mut text = head.into_bytes();
        text.extend_from_slice(&bytes);
        let context = Context { source: SourceId(0), at: Timestamp::from_millis(0) };
        for format in [super::super::Format::ZeekTsv, super::super::Format::ZeekJson] {
            let mut reader = Reader::new(format, "conn.log", context, None).expect("a format of records");
            reader.push(&text, &mut Collected::default());
            reader.finish(&mut Collected::default());
        }
    }
}
