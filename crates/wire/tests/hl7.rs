//! HL7 v2 from bytes: framing, odd separators, devices, streams cut into any pieces, and anything at all.

use proptest::prelude::*;
use wire::Parsed;
use wire::hl7::{Doubt, Ending, Event, Fact, Message, Stream, devices, frame};

const ORU: &str = "MSH|^~\\&|MINDRAY_VS900^00A0370098006640^EUI-64|WARD|EMR|MAIN|2026||ORU^R01^ORU_R01|1|P|2.6|||||||||IHE_PCD_001^IHE PCD^1.3^ISO\r\
    SFT|Mindray|2.1|eGateway|77\r\
    PID|||4711||DOE^JANE\r\
    OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||00A0370098006640^^00A0370098006640^EUI-64\r\
    OBX|2|ST|67880^MDC_ATTR_ID_MODEL^MDC|1.0.0.9|MINDRAY^VS900||||||R\r\
    OBX|3|ST|note^note^L|2|DOE^JANE||||||R\r\
    PRT|1|UC||AUT|77^NURSE^ANN|||||||||||(01)00844588003288(21)A7||||A7\r";

fn framed(message: &str) -> Vec<u8> {
    [b"\x0b", message.as_bytes(), b"\x1c\r"].concat()
}

fn facts(message: &str) -> Vec<String> {
    let message = Message::parse(message.as_bytes()).expect("a message");
    let mut out = Vec::new();
    devices(&message, &mut |found| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fact = match found.fact {
            Fact::Eui64(id) => format!("eui {id:016X}"),
            Fact::Udi(bytes) => format!("udi {}", text(bytes)),
            Fact::Identifier(bytes) => format!("id {}", text(bytes)),
            Fact::Type(bytes) => format!("type {}", text(bytes)),
            Fact::Manufacturer(bytes) => format!("maker {}", text(bytes)),
            Fact::Model(bytes) => format!("model {}", text(bytes)),
            Fact::Serial(bytes) => format!("serial {}", text(bytes)),
            Fact::Software(bytes) => format!("software {}", text(bytes)),
        };
        out.push(fact);
    });
    out
}

#[test]
fn a_header_reads_by_the_numbers_of_the_standard() {
    let message = Message::parse(ORU.as_bytes()).expect("a message");
    let header = message.header();
    assert_eq!(header.sending_application.component(1), b"MINDRAY_VS900");
    assert_eq!(header.sending_facility.bytes(), b"WARD");
    assert_eq!(header.receiving_application.bytes(), b"EMR");
    assert_eq!(
        (header.code, header.trigger, header.structure),
        (&b"ORU"[..], &b"R01"[..], &b"ORU_R01"[..])
    );
    assert_eq!(
        (header.processing, header.version),
        (&b"P"[..], &b"2.6"[..])
    );
    assert_eq!(header.profile.component(1), b"IHE_PCD_001");
    assert!(!header.is_acknowledgement());
    assert_eq!(message.doubts(), []);
}

#[test]
fn device_facts_are_taken_and_people_are_not() {
    assert_eq!(
        facts(ORU),
        [
            "eui 00A0370098006640",
            "maker Mindray",
            "model eGateway",
            "software 2.1",
            "type MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS",
            "eui 00A0370098006640",
            "maker MINDRAY",
            "model VS900",
            "udi (01)00844588003288(21)A7",
            "serial A7",
        ]
    );
}

#[test]
fn odd_separators_are_used_as_declared() {
    let odd = "MSH#*!/$#LAB*X#F$G#R#S#2026##ORU*R01#1#P#2.3\rOBX#1#ST#a*b#1#x!y";
    let message = Message::parse(odd.as_bytes()).expect("a message");
    let header = message.header();
    assert_eq!(header.sending_application.component(2), b"X");
    assert_eq!(header.sending_facility.subcomponent(1, 2), b"G");
    assert_eq!(header.code, b"ORU");
    let obx = message.segments().nth(1).expect("two segments");
    assert_eq!(obx.field(5).repetitions().count(), 2);
    // Only a field separator and a component separator.
    let short = Message::parse(b"MSH|^|A|B|C|D|||ACK|1|P|2.1").expect("a message");
    assert_eq!(short.header().sending_application.bytes(), b"A");
    for bad in [&b""[..], b"MSH", b"MSHX^~\\&", b"PID|1", b"MSH||x"] {
        assert!(Message::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn framing_is_tolerant_and_says_so() {
    let check = |bytes: &[u8], ending, leading, consumed| {
        let (found, length) = frame(bytes, 4096).complete().expect("a block");
        assert_eq!(
            (found.ending, found.leading, length),
            (ending, leading, consumed),
            "{bytes:?}"
        );
    };
    check(b"\x0bMSH|\r\x1c\r", Ending::Proper, 0, 8);
    check(b"\r\n\x0bMSH|\r\x1c\r", Ending::Proper, 2, 10);
    check(b"\x0bMSH|\r\x1c\x0bM", Ending::NoReturn, 0, 7);
    check(b"\x0bMSH|\r\x0bMSH|", Ending::NextStart, 0, 6);
    assert_eq!(frame(b"\x0bMSH|\r", 4096), Parsed::Incomplete(1));
    assert_eq!(frame(b"\x0bMSH|\r\x1c", 4096), Parsed::Incomplete(1));
    assert!(matches!(frame(&[b'x'; 100], 50), Parsed::Malformed(_)));
    assert!(matches!(
        frame(&[&b"\x0b"[..], &[b'x'; 100]].concat(), 50),
        Parsed::Malformed(_)
    ));
}

fn said(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut stream = Stream::new();
    let mut out = Vec::new();
    let mut on = |event: Event<'_>| {
        out.push(match event {
            Event::Message { bytes, whole } => format!("{} {whole}", bytes.len()),
            Event::Doubtful(doubt) => format!("{doubt:?}"),
        });
    };
    for piece in bytes.chunks(piece) {
        stream.feed(piece, &mut on);
    }
    stream.finish(&mut on);
    out
}

#[test]
fn a_stream_gives_each_message_and_the_head_of_a_long_one() {
    let long = format!(
        "MSH|^~\\&|A|B|C|D|||MDM^T02|1|P|2.5\rOBX|1|ED|||{}\r",
        "x".repeat(100_000)
    );
    let bytes = [
        framed("MSH|^~\\&|A\r"),
        framed(&long),
        framed("MSH|^~\\&|B\r"),
    ]
    .concat();
    assert_eq!(said(&bytes, 1000), ["11 true", "32768 false", "11 true"]);
    let cut = [&b"\x0bMSH|^~\\&|A\r"[..], &framed("MSH|^~\\&|B\r")].concat();
    assert_eq!(said(&cut, 7), ["MissingEnd", "11 true", "11 true"]);
    assert_eq!(
        said(b"MSH|^~\\&|A\rPID|1\r", 64),
        ["MissingStart", "MissingEnd", "17 false"]
    );
}

#[test]
fn doubts_name_what_readers_may_disagree_about() {
    let check = |text: &str, doubt| {
        let message = Message::parse(text.as_bytes()).expect("a message");
        assert!(
            message.doubts().contains(&doubt),
            "{doubt:?} in {:?}",
            message.doubts()
        );
    };
    check("MSH|^^\\&|A\r", Doubt::Separators);
    check("MSH|^~\\&|A\nPID|1\n", Doubt::LineFeeds);
    check("MSH|^~\\&|A\rMSH|^~\\&|B\r", Doubt::SecondHeader);
    check("MSH|^~\\&|A\rpid|1\r", Doubt::SegmentName);
    check("MSH|^~\\&|A\0\r", Doubt::ZeroOctets);
    check("MSH|^~\\&|A\x0b\r", Doubt::NestedStart);
}

proptest! {
    #[test]
    fn a_stream_says_the_same_in_any_pieces(piece in 1_usize..200) {
        let bytes = [framed(ORU), framed("MSH|^~\\&|B\r"), b"\x0bMSH|^~\\&|C\r".to_vec(), framed(ORU)].concat();
        prop_assert_eq!(said(&bytes, piece), said(&bytes, usize::MAX));
    }

    #[test]
    fn any_octets_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..40) {
        let _ = frame(&bytes, 200);
        said(&bytes, piece);
        let message = [b"MSH|^~\\&|", bytes.as_slice()].concat();
        if let Ok(message) = Message::parse(&message) {
            let _ = (message.doubts(), message.header());
            devices(&message, &mut |_| {});
        }
        let _ = wire::udi(&bytes);
    }

    #[test]
    fn changed_octets_never_panic(changes in prop::collection::vec((0_usize..800, any::<u8>()), 1..12)) {
        let mut bytes = framed(ORU);
        for (at, to) in changes {
            let at = at % bytes.len();
            bytes[at] = to;
        }
        said(&bytes, 33);
        if let Ok(message) = Message::parse(bytes.get(1..).unwrap_or_default()) {
            devices(&message, &mut |_| {});
        }
    }
}
