//! Patients in odd places: private attributes, free text beside devices, search strings, and the names that people's own
//! devices give themselves.

use crate::dicom;
use crate::traffic::{Said, client, server};

fn name(labels: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for label in labels {
        out.push(u8::try_from(label.len()).expect("short"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    [
        name,
        &kind.to_be_bytes(),
        &[0, 1, 0, 0, 0, 120],
        &length,
        data,
    ]
    .concat()
}

fn text(text: &str) -> Vec<u8> {
    [
        &[u8::try_from(text.len()).expect("short")][..],
        text.as_bytes(),
    ]
    .concat()
}

/// A patient's own tablet announces itself under its owner's name.
pub(crate) fn mdns() -> Vec<Said> {
    let service = name(&["_airplay", "_tcp", "local"]);
    let instance = name(&[
        "Quintessa Zebrowski\u{2019}s iPad",
        "_airplay",
        "_tcp",
        "local",
    ]);
    let host = name(&["Quintessa-Zebrowskis-iPad", "local"]);
    let address = record(&host, 1, &[10, 1, 1, 20]);
    let answers = [
        record(&service, 12, &instance),
        record(
            &instance,
            33,
            &[&[0, 0, 0, 0, 0x1b, 0x58], &host[..]].concat(),
        ),
        record(
            &instance,
            16,
            &[
                text("model=J271AP"),
                text("fn=Zebrowski's TV"),
                text("note=room of zebrowski"),
            ]
            .concat(),
        ),
        address.clone(),
    ]
    .concat();
    let answer = [&[0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0][..], &answers].concat();
    // Before it has the name, it asks whether another has, with the record it wants among the authorities.
    let ask = [&host[..], &[0, 255, 0, 1]].concat();
    let probe = [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &ask, &address].concat();
    vec![client(probe), server(answer)]
}

/// A visitor's telephone asks for an address.
pub(crate) fn dhcp() -> Vec<Said> {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend([0, 0x1a, 0x2b, 1, 2, 3]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 3]);
    let mut option = |code: u8, value: &[u8]| {
        message.extend([code, u8::try_from(value.len()).expect("short")]);
        message.extend(value);
    };
    option(12, b"Quintessas-iPhone");
    option(55, &[1, 3, 6, 15, 119, 252]);
    option(
        81,
        &[&[0, 0, 0][..], b"zebrowskis-iphone.ward.example"].concat(),
    );
    message.push(255);
    vec![client(message)]
}

/// A notebook registers its name.
pub(crate) fn netbios() -> Vec<Said> {
    let mut question = vec![32];
    for letter in b"ZEBROWSKIS-IPAD\0" {
        question.extend([b'A' + (letter >> 4), b'A' + (letter & 15)]);
    }
    question.extend([0, 0, 0x20, 0, 1]);
    let message = [
        &[0, 1, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1][..],
        &question,
        &[
            0xc0, 0x0c, 0, 0x20, 0, 1, 0, 0, 0, 60, 0, 6, 0, 0, 10, 1, 1, 10,
        ],
    ]
    .concat();
    vec![client(message)]
}

/// Free text in segments that also describe devices, and segments of a site's own.
pub(crate) fn hl7() -> Vec<Said> {
    vec![client(
        "\x0bMSH|^~\\&|LABGATE|HARBOR|EMR|MAIN|20261122||ORU^R01^ORU_R01|7|P|2.6\r\
        PID|||MRN4471993||ZEBROWSKI^QUINTESSA||19610214\r\
        NTE|1||WARD-NOTE ZEBROWSKI\r\
        ZPI|ZEBROWSKI^QUINTESSA|MRN4471993\r\
        OBR|1|ACC7731994||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||||||||ELDERBERRY\r\
        OBX|1|PN|184327^MDC_PATIENT_NAME^MDC||ZEBROWSKI^QUINTESSA||||||R|||19610214\r\
        OBX|2|ED|^report||^TEXT^PLAIN^A^ZEBROWSKI has diabetes||||||F\r\
        OBX|3|CX|^number||MRN4471993^^^HARBOR||||||F||||||||HARBOR^WOLFGANGSEN|555-0142\r\
        PRT|1|AD||PT^Patient|4471993^ZEBROWSKI^QUINTESSA|||WOLFGANGSEN^HARBOR\r\
        PRT|2|AD||AAP|NURSERATCHED^ANN||||||||||555-0142\r\x1c\r",
    )]
}

/// A data set with private attributes, and with sequences that repeat public ones about a person.
pub(crate) fn dicom() -> Vec<Said> {
    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    let put =
        |group, element, vr: &[u8; 2], value: &[u8]| dicom::explicit(group, element, vr, value);
    let sequence = |group: u16, element: u16, inside: &[u8]| {
        let length = |octets: &[u8]| u32::try_from(octets.len()).expect("short").to_le_bytes();
        let item = [&[0xfe, 0xff, 0, 0xe0][..], &length(inside), inside].concat();
        [
            &group.to_le_bytes()[..],
            &element.to_le_bytes(),
            b"SQ\0\0",
            &length(&item),
            &item,
        ]
        .concat()
    };
    let person = [
        put(8, 0x70, b"LO", b"ZEBROWSKI"),
        put(8, 0x1090, b"LO", b"MRN4471993"),
        put(0x10, 0x20, b"LO", b"MRN4471993"),
        put(0x18, 0x1000, b"LO", b"19610214"),
    ]
    .concat();
    let set = [
        put(8, 0x60, b"CS", b"CT"),
        put(8, 0x70, b"LO", b"Acme Medical"),
        put(8, 0x1090, b"LO", b"Scan 9000"),
        sequence(8, 0x1110, &person),
        put(9, 0x10, b"LO", b"ACME PRIVATE"),
        put(9, 0x1001, b"PN", b"ZEBROWSKI^QUINTESSA"),
        put(9, 0x1002, b"LT", b"MRN4471993 19610214 ward-note"),
        put(0x10, 0x10, b"PN", b"ZEBROWSKI^QUINTESSA"),
        sequence(0x10, 0x1002, &person),
        put(0x11, 0x10, b"LO", b"ACME PRIVATE"),
        put(0x11, 0x1070, b"LO", b"ZEBROWSKI"),
        put(0x18, 0x1000, b"LO", b"SN-0042"),
        put(0x29, 0x10, b"LO", b"ACME PRIVATE"),
        put(0x29, 0x1008, b"UN", b"PatientName=ZEBROWSKI"),
    ]
    .concat();
    let contexts = [(CT, "1.2.840.10008.1.2.1")];
    let command = dicom::command(1, CT, "2.25.7788990011", true, None);
    vec![
        client(dicom::associate(
            "ARCHIVE",
            "MODALITY1",
            &contexts,
            None,
            &[],
        )),
        server(dicom::associate(
            "ARCHIVE",
            "MODALITY1",
            &contexts,
            Some(0),
            &[],
        )),
        client(
            [
                dicom::data(1, true, &command, 4096),
                dicom::data(1, false, &set, 8192),
            ]
            .concat(),
        ),
    ]
}

/// Patients in addresses, forms and headers.
pub(crate) fn http() -> Vec<Said> {
    let post = |path: &str, kind: &str, body: &str| {
        client(format!(
            "POST {path} HTTP/1.1\r\nHost: fhir.example\r\nContent-Type: {kind}\r\nX-Patient: Zebrowski\r\nFrom: zebrowski@example\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let outcome = r#"{"resourceType":"OperationOutcome","text":{"div":"Zebrowski"}}"#;
    let answer = || {
        server(format!(
            "HTTP/1.1 200 Zebrowski\r\nContent-Type: application/fhir+json\r\nX-Patient-Name: Zebrowski\r\nContent-Length: {}\r\n\r\n{outcome}",
            outcome.len()
        ))
    };
    vec![
        post(
            "/fhir/Patient/_search?name=Quintessa",
            "application/x-www-form-urlencoded",
            "family=Zebrowski&birthdate=1961-02-14",
        ),
        answer(),
        post(
            "/fhir/Patient/$match",
            "application/fhir+json",
            r#"{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Patient","name":[{"family":"Zebrowski"}]}}]}"#,
        ),
        answer(),
        client(
            "GET http://fhir.example/pat-9871/zebrowski HTTP/1.1\r\nHost: fhir.example\r\nSOAPAction: \"zebrowski\"\r\n\r\n",
        ),
        answer(),
        client(
            "GET /fhir/Device?patient=Patient/PAT-9871&subject.name=Zebrowski HTTP/1.1\r\nHost: fhir.example\r\n\r\n",
        ),
        answer(),
    ]
}

/// A television describes itself, under its owner's name.
pub(crate) fn upnp() -> Vec<Said> {
    let body = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><deviceType>urn:schemas-upnp-org:device:MediaRenderer:1</deviceType><friendlyName>Quintessa Zebrowski's TV</friendlyName><manufacturer>Acme</manufacturer><modelName>Screen 55</modelName></device></root>";
    vec![
        client("GET /description.xml HTTP/1.1\r\nHost: 10.1.1.20\r\n\r\n"),
        server(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )),
    ]
}

/// An alarm that names a patient: SNMPv2-Trap and BACnet UnconfirmedTextMessage.
pub(crate) fn trap() -> Vec<Said> {
    let tlv = |tag: u8, value: &[u8]| {
        [&[tag, u8::try_from(value.len()).expect("short")][..], value].concat()
    };
    let binding = tlv(
        0x30,
        &[
            tlv(6, &[0x2b, 6, 1, 4, 1, 0xce, 0x0f, 1, 0]),
            tlv(4, b"ZEBROWSKI MRN4471993: pressure low"),
        ]
        .concat(),
    );
    let pdu = [
        tlv(2, &[1]),
        tlv(2, &[0]),
        tlv(2, &[0]),
        tlv(0x30, &binding),
    ]
    .concat();
    let message = [tlv(2, &[1]), tlv(4, b"public"), tlv(0xa7, &pdu)].concat();
    vec![client(tlv(0x30, &message))]
}

/// A message to an operator, ASHRAE 135 clause 16.6.
pub(crate) fn bacnet() -> Vec<Said> {
    let words = b"\0ZEBROWSKI in room 7";
    let mut apdu = vec![0x10, 5, 0x0c, 2, 0, 0, 42, 0x29, 0, 0x3d];
    apdu.push(u8::try_from(words.len()).expect("short"));
    apdu.extend(words);
    let length = u16::try_from(6 + apdu.len()).expect("short").to_be_bytes();
    vec![client(
        [&[0x81, 0x0b][..], &length, &[1, 0], &apdu].concat(),
    )]
}
