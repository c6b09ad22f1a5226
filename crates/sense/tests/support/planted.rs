//! A patient, planted wherever the protocols of a hospital carry one.

use crate::traffic::{Said, client, server, tcp, udp};
use crate::{dicom, odd};

/// What is planted. Each is searched for in any case, and each alone.
pub(crate) const PLANTED: &[&str] = &[
    "zebrowski",
    "quintessa",
    "19610214",
    "1961-02-14",
    "mrn4471993",
    "acc7731994",
    "999-12-3456",
    "555-0142",
    "elderberry",
    "wolfgangsen",
    "nurseratched",
    "hunter2",
    "ward-note",
    "pat-9871",
    "2.25.7788990011",
    "diabetes",
    "jobforzeb",
    "cmVzdHJpY3RlZA",
    "zebra-topic",
];

/// Traffic of one protocol.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) packets: Vec<Vec<u8>>,
    /// Facts that must come out.
    pub(crate) expected: &'static [&'static str],
}

/// Traffic in which patients are planted wherever a protocol carries them, in TCP segments of at most so many octets.
pub(crate) fn cases(segment: usize) -> Vec<Case> {
    let stream = |name, port, said: &[Said], expected| Case {
        name,
        packets: tcp(50_000, port, said, segment),
        expected,
    };
    let datagrams = |name, port, said: &[Said], expected| Case {
        name,
        packets: udp(50_000, port, said),
        expected,
    };
    vec![
        stream(
            "hl7 v2",
            2575,
            &hl7(),
            &[
                "ADT^A01",
                "ORU^R01",
                "MINDRAY",
                "00A0370098006640",
                "Hospira Plum A+",
            ],
        ),
        stream(
            "dicom store, find, worklist, procedure step",
            104,
            &dicom_said(),
            &["C-STORE", "C-FIND", "N-CREATE", "Acme Medical", "MODALITY1"],
        ),
        stream(
            "fhir",
            8080,
            &fhir(),
            &[
                "FHIR read",
                "FHIR search",
                "FHIR create",
                "Epic Harbor",
                "Baxter",
            ],
        ),
        stream(
            "http",
            80,
            &http(),
            &["intranet.example", "Apache/2.4", "Clinic portal"],
        ),
        stream(
            "smb and ntlm",
            445,
            &smb(),
            &["WS-ICU-07", "HOSPITAL", "10.0.19041", "client 3.1.1"],
        ),
        stream("rdp", 3389, &rdp(), &["RDPCLIENT01"]),
        stream("mqtt", 1883, &mqtt(), &["pump-gateway-3"]),
        stream("ipp", 631, &ipp(), &["HP LaserJet 4250", "IPP print"]),
        stream("raw printing", 9100, &pjl(), &["pjl-id=LASERJET 4250"]),
        stream("ftp", 21, &ftp(), &["vsFTPd 3.0"]),
        stream("smtp", 25, &smtp(), &["mail.example ESMTP Postfix"]),
        stream("telnet", 23, &telnet(), &["BayStack"]),
        stream("rtsp", 554, &rtsp(), &["Camera/1.2"]),
        stream("ldap", 389, &ldap(), &["ldap"]),
        stream(
            "syslog",
            514,
            &[client(
                "<13>1 2026 host app - - ward-note Quintessa Zebrowski MRN4471993\n",
            )],
            &["syslog"],
        ),
        stream(
            "soap of an sdc device",
            53200,
            &sdc(),
            &["Draeger", "Evita"],
        ),
        datagrams("sip", 5060, &sip(), &["Cisco-CP8841"]),
        datagrams("ws-discovery", 3702, &ws_discovery(), &["sdc.ctxt.loc"]),
        datagrams("snmp", 161, &snmp(), &["Acme Infusion Station"]),
        datagrams(
            "syslog over udp",
            514,
            &[client("<13>Oct 11 host app: ward-note Zebrowski")],
            &["syslog"],
        ),
        datagrams(
            "names of people's own devices over multicast dns",
            5353,
            &odd::mdns(),
            &["_airplay._tcp", "model=J271AP", "\"iPad\"", "fn=TV"],
        ),
        datagrams(
            "names of people's own devices over dhcp",
            67,
            &odd::dhcp(),
            &["1,3,6,15,119,252", "\"iPhone\"", "iphone.ward.example"],
        ),
        datagrams(
            "names of people's own devices over netbios",
            137,
            &odd::netbios(),
            &["IPAD<00>"],
        ),
        stream(
            "names of people's own devices over upnp",
            80,
            &odd::upnp(),
            &["friendlyName=TV", "modelName=Screen 55"],
        ),
        stream(
            "hl7 v2 in odd places",
            2575,
            &odd::hl7(),
            &["LABGATE", "ORU^R01"],
        ),
        stream(
            "dicom in private attributes and sequences",
            104,
            &odd::dicom(),
            &["Acme Medical", "Scan 9000", "SN-0042"],
        ),
        stream(
            "http in addresses, forms and headers",
            8080,
            &odd::http(),
            &["FHIR search", "fhir.example"],
        ),
        datagrams("snmp trap", 162, &odd::trap(), &["snmp"]),
        datagrams("bacnet text message", 47_808, &odd::bacnet(), &["bacnet"]),
        datagrams(
            "tftp",
            69,
            &[client("\0\x01mrn4471993-zebrowski.cfg\0octet\0")],
            &["tftp"],
        ),
    ]
}

pub(crate) fn hl7() -> Vec<Said> {
    let adt = "\x0bMSH|^~\\&|REGADT|HARBOR|EMR|MAIN|20261122||ADT^A01^ADT_A01|MSG00001|P|2.5\r\
        EVN|A01|20261122|||NURSERATCHED\r\
        PID|1||MRN4471993^^^HARBOR^MR||ZEBROWSKI^QUINTESSA^ELDERBERRY||19610214|F|||1 Main^^Town||555-0142|||||ACC7731994|999-12-3456\r\
        NK1|1|WOLFGANGSEN^HANS|SPO||555-0142\r\
        PV1|1|I|ICU^7^A|||||||||||||||MRN4471993\r\
        OBX|1|TX|^note||WARD-NOTE ZEBROWSKI has diabetes||||||F\r\x1c\r";
    let oru = "\x0bMSH|^~\\&|MINDRAY_VS900^00A0370098006640^EUI-64|HARBOR|EMR|MAIN|20261122||ORU^R01^ORU_R01|2|P|2.6|||||||||IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO\r\
        PID|||MRN4471993||ZEBROWSKI^QUINTESSA||19610214\r\
        OBR|1|ACC7731994|ACC7731994|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||||||||||NURSERATCHED^A\r\
        OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||NURSERATCHED^X||00A0370098006640^^00A0370098006640^EUI-64\r\
        OBX|2|ST|184327^MDC_ECG_PATIENT_NAME^MDC|1.1.1.1|ZEBROWSKI QUINTESSA||||||R\r\
        OBX|3|ST|67880^MDC_ATTR_ID_MODEL^MDC|1.0.0.9|MINDRAY^VS900||||||R\r\
        OBX|4|TX|note|1|ELDERBERRY 1961-02-14||||||F|||||NURSERATCHED||Hospira Plum A+\r\
        PRT|1|UC||AUT|4471993^NURSERATCHED^ANN|||||(01)00844588003288(21)A7\r\x1c\r";
    let ack = "\x0bMSH|^~\\&|EMR|MAIN|REGADT|HARBOR|20261122||ACK^A01|9|P|2.5\rMSA|AA|MSG00001|MRN4471993 ZEBROWSKI accepted\r\
        ERR||PID^1^5|101|E|||ZEBROWSKI is unknown\r\x1c\r";
    // A message without its end, followed by another.
    let cut = "\x0bMSH|^~\\&|LAB|HARBOR|EMR|MAIN|2026||ORM^O01|3|P|2.3\rPID|1||MRN4471993||ZEBROWSKI^QUINTESSA\r";
    vec![
        client(adt),
        server(ack),
        client(oru),
        server(ack),
        client(cut),
        client(adt),
    ]
}

pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const WORKLIST: &str = "1.2.840.10008.5.1.4.31";
const STEP: &str = "1.2.840.10008.3.1.2.3.3";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn patient(explicit: bool) -> Vec<u8> {
    let put = |group, element, vr: &[u8; 2], value: &str| {
        if explicit {
            dicom::explicit(group, element, vr, value.as_bytes())
        } else {
            dicom::implicit(group, element, value.as_bytes())
        }
    };
    [
        put(0x10, 0x10, b"PN", "ZEBROWSKI^QUINTESSA"),
        put(0x10, 0x20, b"LO", "MRN4471993"),
        put(0x10, 0x30, b"DA", "19610214"),
        put(0x10, 0x1000, b"LO", "ELDERBERRY"),
        put(0x10, 0x4000, b"LT", "ward-note diabetes"),
    ]
    .concat()
}

fn image(syntax: &str) -> Vec<u8> {
    let explicit = syntax == EXPLICIT;
    let put = |group, element, vr: &[u8; 2], value: &str| {
        if explicit {
            dicom::explicit(group, element, vr, value.as_bytes())
        } else {
            dicom::implicit(group, element, value.as_bytes())
        }
    };
    let mut out = [
        put(8, 0x18, b"UI", "2.25.7788990011"),
        put(8, 0x50, b"SH", "ACC7731994"),
        put(8, 0x60, b"CS", "CT"),
        put(8, 0x70, b"LO", "Acme Medical"),
        put(8, 0x80, b"LO", "Elderberry Clinic"),
        put(8, 0x90, b"PN", "WOLFGANGSEN^HANS"),
        put(8, 0x1030, b"LO", "diabetes study"),
        put(8, 0x1070, b"PN", "NURSERATCHED"),
        put(8, 0x1090, b"LO", "Scan 9000"),
        patient(explicit),
        put(0x18, 0x1000, b"LO", "SN-0042"),
        put(0x18, 0x1030, b"LO", "ward-note protocol"),
        put(0x20, 0x4000, b"LT", "ZEBROWSKI moved"),
    ]
    .concat();
    out.extend(if explicit {
        [
            &[0xe0, 0x7f, 0x10, 0, b'O', b'W', 0, 0][..],
            &40_000_u32.to_le_bytes(),
        ]
        .concat()
    } else {
        [&[0xe0, 0x7f, 0x10, 0][..], &40_000_u32.to_le_bytes()].concat()
    });
    let pixels: Vec<u8> = b"zebrowski ".iter().copied().cycle().take(40_000).collect();
    out.extend(pixels);
    out
}

pub(crate) fn dicom_said() -> Vec<Said> {
    // User identity: a name and a passcode (PS3.7 annex D.3.3.7).
    let user = dicom::item(
        0x58,
        &[&[2, 0, 0, 12][..], b"NURSERATCHED", &[0, 7], b"hunter2"].concat(),
    );
    let contexts = [
        (CT, EXPLICIT),
        (FIND, IMPLICIT),
        (WORKLIST, IMPLICIT),
        (STEP, IMPLICIT),
    ];
    let both = |context, field, class, set: &[u8], status| {
        let command = dicom::command(field, class, "2.25.7788990011", !set.is_empty(), status);
        let mut out = dicom::data(context, true, &command, 4096);
        if !set.is_empty() {
            out.extend(dicom::data(context, false, set, 8192));
        }
        out
    };
    let identifier = [dicom::implicit(8, 0x52, b"STUDY"), patient(false)].concat();
    // What a worklist answers holds the patient and, in a sequence, the station that is to be used.
    let worklist = [
        dicom::implicit(8, 0x50, b"ACC7731994"),
        patient(false),
        dicom::implicit(0x40, 0x1003, b"zebrowski"),
    ]
    .concat();
    let step = [
        dicom::implicit(8, 0x60, b"CT"),
        patient(false),
        dicom::implicit(0x40, 0x0241, b"MODALITY1"),
        dicom::implicit(0x40, 0x0254, b"diabetes study"),
    ]
    .concat();
    vec![
        client(dicom::associate(
            "ARCHIVE",
            "MODALITY1",
            &contexts,
            None,
            &[user],
        )),
        server(dicom::associate(
            "ARCHIVE",
            "MODALITY1",
            &contexts,
            Some(0),
            &[],
        )),
        client(both(1, 0x0001, CT, &image(EXPLICIT), None)),
        server(both(1, 0x8001, CT, &[], Some(0))),
        client(both(3, 0x0020, FIND, &identifier, None)),
        server(both(3, 0x8020, FIND, &identifier, Some(0xff00))),
        client(both(5, 0x0020, WORKLIST, &identifier, None)),
        server(both(5, 0x8020, WORKLIST, &worklist, Some(0xff00))),
        client(both(7, 0x0140, STEP, &step, None)),
        server(both(7, 0x8140, STEP, &step, Some(0))),
        client(dicom::release(true)),
        server(dicom::release(false)),
    ]
}

fn with_length(head: &str, body: &str) -> String {
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn fhir() -> Vec<Said> {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n";
    let get = |path: &str| {
        client(format!(
            "GET {path} HTTP/1.1\r\nHost: fhir.example\r\nAccept: application/fhir+json\r\n\r\n"
        ))
    };
    let patient = r#"{"resourceType":"Patient","id":"PAT-9871","identifier":[{"value":"MRN4471993"}],"name":[{"family":"Zebrowski","given":["Quintessa"]}],"birthDate":"1961-02-14","manufacturer":"Zebrowski"}"#;
    let bundle = r#"{"resourceType":"Bundle","entry":[
        {"resource":{"resourceType":"Patient","name":[{"family":"Zebrowski"}],"serialNumber":"MRN4471993","modelNumber":"zebrowski"}},
        {"resource":{"resourceType":"Device","deviceName":[{"name":"Quintessa's pump","type":"user-friendly-name"},{"type":"patient-reported-name","name":"Zebrowski pump"},{"name":"Sigma","type":"model-name"}],
         "manufacturer":"Baxter","modelNumber":"Spectrum IQ","serialNumber":"BX-77","patient":{"reference":"Patient/PAT-9871","display":"Quintessa Zebrowski"},"note":[{"text":"ward-note diabetes"}],
         "owner":{"display":"Elderberry"},"property":[{"type":{"text":"zebrowski"}}]}},
        {"resource":{"resourceType":"Observation","subject":{"display":"Zebrowski"},"contained":[{"resourceType":"Patient","name":"Zebrowski"}],"valueString":"diabetes"}}]}"#;
    let capability = r#"{"resourceType":"CapabilityStatement","software":{"name":"Epic Harbor","version":"12.1"},"fhirVersion":"4.0.1","rest":[]}"#;
    let observation = r#"{"resourceType":"Observation","subject":{"reference":"Patient/PAT-9871","display":"Quintessa Zebrowski"}}"#;
    let xml = r#"<Patient xmlns="http://hl7.org/fhir"><id value="PAT-9871"/><name><family value="Zebrowski"/></name><software><name value="zebrowski"/></software></Patient>"#;
    vec![
        get("/fhir/metadata"),
        server(with_length(json, capability)),
        get("/fhir/Patient/PAT-9871"),
        server(with_length(json, patient)),
        get("/fhir/Patient?family=Zebrowski&birthdate=1961-02-14&identifier=MRN4471993"),
        server(with_length(json, bundle)),
        client(with_length(
            "POST /fhir/Observation HTTP/1.1\r\nHost: fhir.example\r\nContent-Type: application/fhir+json\r\n",
            observation,
        )),
        server(with_length(
            "HTTP/1.1 422 Bad\r\nContent-Type: application/fhir+json\r\n",
            r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"Zebrowski MRN4471993 exists"}]}"#,
        )),
        get("/fhir/Patient/PAT-9871/_history/2"),
        server(with_length(
            "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+xml\r\n",
            xml,
        )),
        get("/Device/PAT-9871"),
        server(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2f\r\n{\"resourceType\":\"Patient\",\"manufacturer\":\"Zebrowski\"}\r\n0\r\n\r\n",
        ),
    ]
}

fn http() -> Vec<Said> {
    let page = |title: &str| {
        with_length(
            "HTTP/1.1 200 OK\r\nServer: Apache/2.4\r\nContent-Type: text/html\r\n",
            &format!("<html><title>{title}</title>Zebrowski"),
        )
    };
    let get = |path: &str, more: &str| {
        client(format!(
            "GET {path} HTTP/1.1\r\nHost: intranet.example\r\nUser-Agent: Mozilla/5.0\r\n{more}\r\n"
        ))
    };
    vec![
        get("/", ""),
        server(page("Clinic portal")),
        get(
            "/chart/MRN4471993/zebrowski?dob=1961-02-14",
            "Referer: http://intranet.example/pat-9871/zebrowski\r\n",
        ),
        server(page("Chart of Quintessa Zebrowski 1961-02-14")),
        get("/", "Cookie: user=NURSERATCHED; mrn=MRN4471993\r\n"),
        server(page("Welcome back, Quintessa Zebrowski")),
        get(
            "/index.html",
            "Authorization: Basic TlVSU0VSQVRDSEVEOmh1bnRlcjI=\r\n",
        ),
        server(page("Zebrowski")),
        get("/studies/2.25.7788990011/series?PatientName=ZEBROWSKI", ""),
        server(
            "HTTP/1.1 302 Found\r\nLocation: /pat-9871/zebrowski\r\nSet-Cookie: mrn=MRN4471993\r\nContent-Length: 0\r\n\r\n",
        ),
        client(
            "POST /index.html HTTP/1.1\r\nHost: intranet.example\r\nContent-Type: text/xml\r\nContent-Length: 131\r\n\r\n<Envelope><Body><Patient><Manufacturer>Zebrowski</Manufacturer><ModelName>MRN4471993</ModelName><Types>Zebrowski</Types></Patient></",
        ),
    ]
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// NTLM AUTHENTICATE with domain, user and workstation.
fn ntlm_authenticate() -> Vec<u8> {
    let parts = [utf16("HOSPITAL"), utf16("NURSERATCHED"), utf16("WS-ICU-07")];
    let mut fields = Vec::new();
    let mut at = 72_u32;
    for part in &parts {
        let length = u16::try_from(part.len()).expect("short").to_le_bytes();
        fields.extend([length, length].concat());
        fields.extend(at.to_le_bytes());
        at += u32::try_from(part.len()).expect("short");
    }
    let mut out = b"NTLMSSP\0\x03\0\0\0".to_vec();
    out.extend([0; 16]);
    out.extend(fields);
    out.extend([0; 8]);
    out.extend(0x0200_0001_u32.to_le_bytes());
    out.extend([10, 0, 0x61, 0x4a, 0, 0, 0, 15]);
    parts.iter().for_each(|part| out.extend(part));
    out
}

fn netbios(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&length[..], message].concat()
}

fn smb() -> Vec<Said> {
    let head = |command: u8| {
        let mut out = b"\xfeSMB\x40\0".to_vec();
        out.extend([0; 6]);
        out.extend([command, 0]);
        out.extend([0; 50]);
        out
    };
    let mut negotiate = head(0);
    negotiate.extend([36, 0, 2, 0]);
    negotiate.extend([0; 32]);
    negotiate.extend([0x10, 2, 0x11, 3]);
    let mut setup = head(1);
    setup.extend([25, 0, 0, 1]);
    setup.extend(ntlm_authenticate());
    let mut tree = head(3);
    tree.extend(utf16("\\\\FILES\\zebrowski$"));
    // SMB 1 without extended security: account and domain stand before the native names.
    let mut old = b"\xffSMB\x73".to_vec();
    old.extend([0; 5]);
    old.extend([0, 0x80]);
    old.extend([0; 20]);
    old.push(13);
    old.extend([0; 26]);
    old.extend([0, 0, 0]);
    for text in ["NURSERATCHED", "HOSPITAL", "Windows 5.1", "LAN Manager 5.1"] {
        old.extend(utf16(text));
        old.extend([0, 0]);
    }
    vec![
        client(netbios(&negotiate)),
        client(netbios(&setup)),
        client(netbios(&old)),
        client(netbios(&tree)),
    ]
}

fn rdp() -> Vec<Said> {
    let cookie = b"Cookie: mstshash=NURSERATCHED\r\n";
    let tpkt = |body: &[u8]| {
        let length = u16::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[3, 0][..], &length, body].concat()
    };
    let count = u8::try_from(6 + cookie.len()).expect("short");
    let request = tpkt(&[&[count, 0xe0, 0, 0, 0, 0, 0][..], cookie].concat());
    let confirm = tpkt(&[6, 0xd0, 0, 0, 0x12, 0x34, 0]);
    let mut core = vec![4, 0, 8, 0];
    core.extend([0; 8]);
    core.extend([9, 4, 0, 0]);
    core.extend(2600_u32.to_le_bytes());
    let mut name = utf16("RDPCLIENT01");
    name.resize(32, 0);
    core.extend(name);
    core.extend([0; 76]);
    let mut block = vec![1, 0xc0];
    block.extend(u16::try_from(core.len() + 4).expect("short").to_le_bytes());
    block.extend(core);
    let mut initial = vec![2, 0xf0, 0x80, 0x7f, 0x65];
    initial.extend(b"....Duca");
    initial.extend([0x80, 0xd8]);
    initial.extend(block);
    // Later, the logon packet names domain, user and password.
    let logon = tpkt(
        &[
            &[2, 0xf0, 0x80][..],
            &utf16("NURSERATCHED"),
            &utf16("hunter2"),
        ]
        .concat(),
    );
    vec![
        client(request),
        server(confirm),
        client(tpkt(&initial)),
        client(logon),
    ]
}

fn mqtt() -> Vec<Said> {
    let string = |text: &str| {
        [
            &u16::try_from(text.len()).expect("short").to_be_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    };
    let mut connect = string("MQTT");
    connect.extend([4, 0xc6, 0, 60]);
    for text in [
        "pump-gateway-3",
        "will/zebra-topic/MRN4471993",
        "Zebrowski gone",
        "NURSERATCHED",
        "hunter2",
    ] {
        connect.extend(string(text));
    }
    let packet = |kind: u8, body: &[u8]| {
        [&[kind, u8::try_from(body.len()).expect("short")][..], body].concat()
    };
    let publish = [
        string("ward/zebra-topic/MRN4471993"),
        b"Quintessa Zebrowski 1961-02-14".to_vec(),
    ]
    .concat();
    vec![
        client(packet(0x10, &connect)),
        server(vec![0x20, 2, 0, 0]),
        client(packet(0x30, &publish)),
        server(packet(0x30, &publish)),
    ]
}

fn ipp() -> Vec<Said> {
    let attribute = |tag: u8, name: &str, value: &str| {
        let length = |text: &str| u16::try_from(text.len()).expect("short").to_be_bytes();
        [
            &[tag][..],
            &length(name),
            name.as_bytes(),
            &length(value),
            value.as_bytes(),
        ]
        .concat()
    };
    let request = [
        vec![2, 0, 0, 2, 0, 0, 0, 1, 1],
        attribute(0x47, "attributes-charset", "utf-8"),
        attribute(0x42, "requesting-user-name", "NURSERATCHED"),
        attribute(0x42, "job-name", "jobforzeb-MRN4471993"),
        vec![3],
        b"%PDF Zebrowski".to_vec(),
    ]
    .concat();
    let answer = [
        vec![2, 0, 0, 0, 0, 0, 0, 1, 1],
        attribute(0x41, "status-message", "Zebrowski printed"),
        vec![2],
        attribute(0x42, "job-originating-user-name", "NURSERATCHED"),
        attribute(0x42, "printer-make-and-model", "Zebrowski in the job group"),
        vec![4],
        attribute(0x41, "printer-make-and-model", "HP LaserJet 4250"),
        attribute(0x41, "printer-info", "ward-note near zebrowski"),
        vec![3],
    ]
    .concat();
    let head = |first: &str, length: usize| {
        format!("{first}\r\nContent-Type: application/ipp\r\nContent-Length: {length}\r\n\r\n")
    };
    vec![
        client(
            [
                head("POST /printers/zebrowski HTTP/1.1", request.len()).into_bytes(),
                request,
            ]
            .concat(),
        ),
        server([head("HTTP/1.1 200 OK", answer.len()).into_bytes(), answer].concat()),
    ]
}

fn pjl() -> Vec<Said> {
    vec![
        client(
            "\x1b%-12345X@PJL INFO ID\r\n@PJL SET USERNAME=\"NURSERATCHED\"\r\n@PJL JOB NAME=\"JOBFORZEB\"\r\n@PJL ENTER LANGUAGE=PCL\r\nZebrowski 19610214",
        ),
        server(
            "@PJL INFO ID\r\n\"LASERJET 4250\"\r\n\x0c@PJL INFO STATUS\r\nDISPLAY=\"Zebrowski\"\r\n\x0c",
        ),
    ]
}

fn ftp() -> Vec<Said> {
    vec![
        server("220 (vsFTPd 3.0)\r\n"),
        client("USER NURSERATCHED\r\n"),
        server("331 Password for NURSERATCHED\r\n"),
        client("PASS hunter2\r\nSTOR zebrowski-MRN4471993.pdf\r\n"),
    ]
}

fn smtp() -> Vec<Said> {
    vec![
        server("220 mail.example ESMTP Postfix\r\n"),
        client(
            "EHLO scanner\r\nMAIL FROM:<nurseratched@example>\r\nRCPT TO:<zebrowski@example>\r\nDATA\r\nSubject: MRN4471993\r\n",
        ),
        server("250 NURSERATCHED ok\r\n"),
    ]
}

fn telnet() -> Vec<Said> {
    vec![
        server(b"\xff\xfb\x01\xff\xfb\x03BayStack 450\r\nlogin: ".to_vec()),
        client("NURSERATCHED\r\n"),
        server("NURSERATCHED\r\nPassword: "),
        client("hunter2\r\n"),
        server("Welcome NURSERATCHED, Zebrowski waits\r\n"),
    ]
}

fn rtsp() -> Vec<Said> {
    vec![
        client(
            "DESCRIBE rtsp://10.1.1.20/room/zebrowski RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Viewer\r\n\r\n",
        ),
        server(
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: Camera/1.2\r\nContent-Length: 12\r\n\r\ns=Zebrowski\r\n",
        ),
    ]
}

fn ldap() -> Vec<Said> {
    let dn = b"cn=NURSERATCHED,dc=example";
    let mut bind = vec![2, 1, 3, 4, u8::try_from(dn.len()).expect("short")];
    bind.extend(dn);
    bind.extend([0x80, 7]);
    bind.extend(b"hunter2");
    let mut message = vec![2, 1, 1, 0x60, u8::try_from(bind.len()).expect("short")];
    message.extend(bind);
    let mut out = vec![0x30, u8::try_from(message.len()).expect("short")];
    out.extend(message);
    vec![client(out)]
}

fn sdc() -> Vec<Said> {
    let body = r#"<s12:Envelope xmlns:s12="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://www.w3.org/2005/08/addressing"><s12:Header><wsa:Action>http://standards.ieee.org/downloads/11073/11073-20701-2018/GetService/GetMdibResponse</wsa:Action></s12:Header><s12:Body>
        <GetMdibResponse><Mdib><MdDescription><Mds Handle="m"><MetaData><Udi><DeviceIdentifier>00844588003288</DeviceIdentifier><HumanReadableForm>zebrowski</HumanReadableForm></Udi><Manufacturer>Draeger</Manufacturer><ModelName>Evita</ModelName></MetaData>
        <SystemContext><PatientContext Handle="p"><Manufacturer>Zebrowski</Manufacturer></PatientContext></SystemContext><ProductionSpecification><ModelName>zebrowski</ModelName></ProductionSpecification></Mds></MdDescription>
        <MdState><State><CoreData><Givenname>Quintessa</Givenname><Familyname>Zebrowski</Familyname><DateOfBirth>1961-02-14</DateOfBirth><ModelName>MRN4471993</ModelName></CoreData></State></MdState></Mdib></GetMdibResponse></s12:Body></s12:Envelope>"#;
    let ask = "<s12:Envelope xmlns:s12=\"http://www.w3.org/2003/05/soap-envelope\"><s12:Header><Action>http://standards.ieee.org/downloads/11073/11073-20701-2018/SetService/SetContextState</Action></s12:Header><s12:Body><ProposedContextState><CoreData><Givenname>Quintessa</Givenname></CoreData></ProposedContextState></s12:Body></s12:Envelope>";
    let kind = "Content-Type: application/soap+xml; charset=utf-8\r\n";
    vec![
        client(with_length(
            &format!("POST /get/zebrowski HTTP/1.1\r\n{kind}"),
            ask,
        )),
        server(with_length(&format!("HTTP/1.1 200 OK\r\n{kind}"), body)),
    ]
}

fn ws_discovery() -> Vec<Said> {
    vec![client(
        r#"<?xml version="1.0"?><s12:Envelope xmlns:s12="http://www.w3.org/2003/05/soap-envelope" xmlns:wsd="http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"><s12:Body><wsd:Hello><wsd:Types>dpws:Device</wsd:Types><wsd:Scopes>sdc.ctxt.loc:/sdc.ctxt.loc.detail/HARBOR%2FICU?fac=HARBOR sdc.ctxt.pat:/hospital/MRN4471993?name=Zebrowski sdc.ctxt.opr:/x/NURSERATCHED sdc.ctxt.enc:/ACC7731994</wsd:Scopes></wsd:Hello></s12:Body></s12:Envelope>"#,
    )]
}

fn sip() -> Vec<Said> {
    vec![
        client(
            "INVITE sip:5550142@10.1.1.20 SIP/2.0\r\nFrom: \"Quintessa Zebrowski\" <sip:zebrowski@example>\r\nTo: <sip:NURSERATCHED@example>\r\nSubject: MRN4471993\r\nUser-Agent: Cisco-CP8841/12.5\r\n\r\n",
        ),
        server("SIP/2.0 200 OK\r\nContact: \"Zebrowski\" <sip:x>\r\n\r\n"),
    ]
}

fn snmp() -> Vec<Said> {
    let tlv = |tag: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).expect("short");
        if length < 0x80 {
            [&[tag, length][..], value].concat()
        } else {
            [&[tag, 0x81, length][..], value].concat()
        }
    };
    let binding = |last: u8, text: &[u8]| {
        tlv(
            0x30,
            &[tlv(6, &[0x2b, 6, 1, 2, 1, 1, last, 0]), tlv(4, text)].concat(),
        )
    };
    let bindings = [
        binding(1, b"Acme Infusion Station"),
        binding(4, b"NURSERATCHED 555-0142"),
        binding(6, b"room of zebrowski"),
    ]
    .concat();
    let pdu = [
        tlv(2, &[1]),
        tlv(2, &[0]),
        tlv(2, &[0]),
        tlv(0x30, &bindings),
    ]
    .concat();
    let message = [tlv(2, &[1]), tlv(4, b"hunter2"), tlv(0xa2, &pdu)].concat();
    vec![server(tlv(0x30, &message))]
}
