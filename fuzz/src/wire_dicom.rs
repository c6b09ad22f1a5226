//! DICOM: PDUs, command sets, device attributes and streams. A stream says the same however it is cut.
//!
//! The first byte chooses the reader, the second the size of the pieces of a stream.

use wire::Parsed;
use wire::dicom::{Event, Pdu, Stream, TransferSyntax, command, device_attributes, pdu};

fn said(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut stream = Stream::new();
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        stream.feed(piece, &mut |event| {
            if let Event::Command { bytes, .. } | Event::DataSet { head: bytes, .. } = event {
                assert!(
                    bytes.len() <= wire::dicom::COMMAND_MAX.max(wire::dicom::DATA_SET_HEAD_MAX)
                );
            }
            out.push(format!("{event:?}"));
        });
        // Where a lost stream begins again depends on where a piece begins.
        if matches!(out.last(), Some(last) if last.starts_with("Lost")) {
            break;
        }
    }
    out
}

/// The body of the target.
pub fn run(data: &[u8]) {
    let [choice, piece, bytes @ ..] = data else {
        return;
    };
    match choice % 4 {
        0 => match pdu(bytes) {
            Parsed::Complete(value, length) => {
                assert!(length <= bytes.len());
                assert_eq!(
                    pdu(&bytes[..length]),
                    Parsed::Complete(value, length),
                    "what follows does not matter"
                );
                if let Pdu::AssociateRq(associate) | Pdu::AssociateAc(associate) = value {
                    let _ = (
                        associate.doubts(),
                        associate.roles().count(),
                        associate.extended_negotiations().count(),
                    );
                    assert!(
                        associate
                            .contexts()
                            .all(|context| context.transfer_syntaxes().count() <= bytes.len())
                    );
                }
            }
            Parsed::Incomplete(more) => assert!(more > 0),
            Parsed::Malformed(why) => assert!(!why.to_string().is_empty()),
        },
        1 => {
            if let Ok(command) = command(bytes) {
                assert!(command.doubts().count() <= 7);
                assert!(!format!("{command:?}").contains("InstanceUid(["));
            }
        }
        2 => {
            for syntax in [
                TransferSyntax::ImplicitLittle,
                TransferSyntax::ExplicitLittle,
                TransferSyntax::ExplicitBig,
            ] {
                let found = device_attributes(bytes, syntax);
                assert!(
                    found
                        .iter()
                        .all(|(_, value)| (1..=256).contains(&value.len()))
                );
            }
        }
        _ => assert_eq!(
            said(bytes, bytes.len().max(1)),
            said(bytes, usize::from(*piece) + 1)
        ),
    }
}
