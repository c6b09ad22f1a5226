//! DICOM from bytes: associations, commands, streams cut into any pieces, and anything at all.

#[path = "support/dicom.rs"]
mod made;

use proptest::prelude::*;
use wire::Parsed;
use wire::dicom::{
    ContextResult, DeviceAttribute, Doubt, Event, Operation, Pdu, Stream, TransferSyntax, command,
    device_attributes, pdu,
};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";

fn request() -> Vec<u8> {
    let role = made::item(0x54, &[&[0, 25][..], CT.as_bytes(), &[0, 1]].concat());
    made::associate(
        "ARCHIVE",
        "CT1",
        &[(CT, EXPLICIT), (CT, IMPLICIT)],
        None,
        &[role],
    )
}

fn store() -> Vec<u8> {
    let set = [
        made::explicit(8, 0x60, b"CS", b"CT"),
        made::explicit(0x18, 0x1000, b"LO", b"SN-1"),
        made::explicit(0x20, 0x4000, b"LT", &[b'x'; 60_000]),
    ]
    .concat();
    let command = made::command(1, CT, "1.2.3", true, None);
    [
        made::data(1, true, &command, 50),
        made::data(1, false, &set, 16_000),
    ]
    .concat()
}

fn associate(bytes: &[u8]) -> wire::dicom::Associate<'_> {
    match pdu(bytes).complete() {
        Some((Pdu::AssociateRq(associate) | Pdu::AssociateAc(associate), length)) => {
            assert_eq!(length, bytes.len());
            associate
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_reads_with_all_it_proposes() {
    let bytes = request();
    let associate = associate(&bytes);
    assert_eq!(
        (associate.called, associate.calling),
        (&b"ARCHIVE"[..], &b"CT1"[..])
    );
    assert_eq!(associate.implementation_class(), Some(&b"1.2.3.4.5.6"[..]));
    assert_eq!(
        associate.implementation_version(),
        Some(&b"ASEPSIS_TEST"[..])
    );
    assert_eq!(associate.maximum_length(), Some(0x4000));
    let contexts: Vec<_> = associate
        .contexts()
        .map(|context| {
            (
                context.id,
                context.abstract_syntax(),
                context.transfer_syntaxes().count(),
                context.result,
            )
        })
        .collect();
    assert_eq!(
        contexts,
        [
            (1, Some(CT.as_bytes()), 1, None),
            (3, Some(CT.as_bytes()), 1, None)
        ]
    );
    let role = associate.roles().next().expect("one role");
    assert_eq!(
        (role.sop_class, role.scu, role.scp),
        (CT.as_bytes(), false, true)
    );
    assert_eq!(associate.user_identity(), None);
    assert_eq!(associate.doubts(), []);
}

#[test]
fn an_acceptance_says_which_contexts_are_refused() {
    let bytes = made::associate("ARCHIVE", "CT1", &[(CT, EXPLICIT)], Some(3), &[]);
    let associate = associate(&bytes);
    let context = associate.contexts().next().expect("one context");
    assert_eq!(context.result, Some(ContextResult::AbstractSyntax));
}

#[test]
fn what_two_readers_may_read_differently_is_a_doubt() {
    let twice = made::associate(
        "A\u{1}",
        "",
        &[("1.2.x", EXPLICIT)],
        None,
        &[made::item(0x52, b"1.2"), made::item(0x70, b"?")],
    );
    let associate = associate(&twice);
    let doubts = associate.doubts();
    for doubt in [
        Doubt::ApplicationEntityTitle,
        Doubt::Uid,
        Doubt::RepeatedItem,
        Doubt::UnknownItem,
    ] {
        assert!(doubts.contains(&doubt), "{doubt:?} in {doubts:?}");
    }
    let mut bytes = made::command(1, CT, "1.2.3", true, None);
    bytes.extend(made::implicit(0, 0x0100, &[0x20, 0]));
    let command = command(&bytes).expect("well-formed");
    let doubts: Vec<_> = command.doubts().collect();
    assert_eq!(doubts, [Doubt::ElementOrder, Doubt::GroupLength]);
}

#[test]
fn a_command_says_operation_class_and_whether_a_data_set_follows() {
    let bytes = made::command(0x8001, CT, "1.2.3", false, Some(0xa700));
    let command = command(&bytes).expect("well-formed");
    assert_eq!(command.operation, Operation::CStore);
    assert!(command.response && !command.has_data_set);
    assert_eq!(command.sop_class(), Some(CT.as_bytes()));
    assert_eq!(command.status, Some(0xa700));
    assert_eq!(
        command.affected_instance.map(|uid| uid.expose()),
        Some(&b"1.2.3"[..])
    );
    assert_eq!(command.doubts().count(), 0);
    assert!(wire::dicom::command(&bytes[..bytes.len() - 1]).is_err());
    assert!(
        !format!("{command:?}").contains("1.2.3\""),
        "instances redact themselves"
    );
}

#[test]
fn incomplete_and_impossible_pdus_are_told_apart() {
    let bytes = request();
    for cut in 0..bytes.len() {
        match pdu(&bytes[..cut]) {
            Parsed::Incomplete(more) => assert!(more > 0 && cut + more <= bytes.len(), "{cut}"),
            other => panic!("{cut}: {other:?}"),
        }
    }
    for bad in [
        &[9, 0, 0, 0, 0, 4][..],
        &[1, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[4, 0, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(matches!(pdu(bad), Parsed::Malformed(_)), "{bad:?}");
    }
}

/// What a stream says, as text; the pieces have these lengths in turn.
fn said(bytes: &[u8], pieces: &[usize]) -> Vec<String> {
    let mut stream = Stream::new();
    let mut out = Vec::new();
    let mut rest = bytes;
    for length in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).max(1).min(rest.len()));
        stream.feed(piece, &mut |event| {
            out.push(match event {
                Event::Request(associate) => format!("request {}", associate.contexts().count()),
                Event::Command { context, bytes } => {
                    format!(
                        "command {context} {:?}",
                        command(bytes).map(|command| command.operation)
                    )
                }
                Event::DataSet {
                    context,
                    head,
                    whole,
                } => {
                    let found = device_attributes(head, TransferSyntax::ExplicitLittle);
                    let serial = found
                        .get(DeviceAttribute::DeviceSerialNumber)
                        .map(<[u8]>::to_vec);
                    format!("data set {context} {} {whole} {serial:?}", head.len())
                }
                Event::Accept(_) => "accept".to_owned(),
                Event::Ends(pdu) => format!("{pdu:?}"),
                Event::Skipped => "skipped".to_owned(),
                Event::Doubtful(doubt) => format!("{doubt:?}"),
                Event::Lost(why) => why.to_string(),
            });
        });
        rest = after;
    }
    out
}

fn conversation() -> Vec<u8> {
    [request(), store(), store(), made::release(true)].concat()
}

#[test]
fn a_stream_gives_commands_and_the_heads_of_data_sets() {
    let expected = [
        "request 2",
        "command 1 Ok(CStore)",
        "data set 1 16384 false Some([83, 78, 45, 49])",
        "command 1 Ok(CStore)",
        "data set 1 16384 false Some([83, 78, 45, 49])",
        "ReleaseRq",
    ];
    assert_eq!(said(&conversation(), &[usize::MAX]), expected);
}

#[test]
fn a_stream_finds_the_next_pdu_after_a_loss() {
    let mut stream = Stream::new();
    let mut events = 0;
    stream.feed(&store()[..100], &mut |_| {});
    stream.lose();
    stream.feed(b"the middle of an image", &mut |_| events += 1);
    assert_eq!(events, 0);
    stream.feed(&store(), &mut |_| events += 1);
    assert_eq!(events, 2);
}

#[test]
fn what_is_passed_over_need_not_be_fed() {
    let bytes = conversation();
    let mut stream = Stream::new();
    let (mut at, mut fed, mut events) = (0, 0, 0);
    while at < bytes.len() {
        let end = (at + 512).min(bytes.len());
        stream.feed(&bytes[at..end], &mut |_| events += 1);
        fed += end - at;
        at = end;
        let idle = usize::try_from(stream.idle())
            .expect("short")
            .min(bytes.len() - at);
        stream.gap(idle as u64);
        at += idle;
    }
    assert_eq!(events, 6);
    assert!(fed < bytes.len() / 2, "{fed} of {}", bytes.len());
}

proptest! {
    #[test]
    fn a_stream_says_the_same_in_any_pieces(pieces in prop::collection::vec(1_usize..3000, 1..20)) {
        let bytes = conversation();
        prop_assert_eq!(said(&bytes, &pieces), said(&bytes, &[usize::MAX]));
    }

    #[test]
    fn any_octets_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 1_u8..8, cut in 1_usize..50) {
        let _ = command(&bytes);
        for syntax in [TransferSyntax::ImplicitLittle, TransferSyntax::ExplicitLittle, TransferSyntax::ExplicitBig] {
            let _ = device_attributes(&bytes, syntax);
        }
        let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
        let framed = [&[kind, 0][..], &length, &bytes].concat();
        if let Some((Pdu::AssociateRq(associate) | Pdu::AssociateAc(associate), _)) = pdu(&framed).complete() {
            let _ = (associate.doubts(), associate.roles().count(), associate.extended_negotiations().count());
        }
        said(&framed, &[cut]);
        said(&bytes, &[cut]);
    }

    #[test]
    fn a_changed_octet_never_panics(at in 0_usize..70_000, to in any::<u8>(), cut in 1_usize..5000) {
        let mut bytes = conversation();
        let at = at % bytes.len();
        bytes[at] = to;
        said(&bytes, &[cut]);
        if let Some((Pdu::AssociateRq(associate), _)) = pdu(&bytes).complete() {
            let _ = associate.doubts();
            associate.contexts().for_each(|context| assert!(context.transfer_syntaxes().count() < 1 << 20));
        }
    }
}
