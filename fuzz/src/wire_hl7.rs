//! HL7 v2: blocks, messages, devices and streams. A stream says the same however it is cut.
//!
//! The first byte chooses the reader, the second the size of the pieces of a stream.

use wire::Parsed;
use wire::hl7::{Event, MESSAGE_HEAD_MAX, Message, Stream, devices, frame};

fn messages(bytes: &[u8], piece: usize) -> Vec<(Vec<u8>, bool)> {
    let mut stream = Stream::new();
    let mut out = Vec::new();
    let mut on = |event: Event<'_>| {
        if let Event::Message { bytes, whole } = event {
            assert!(bytes.len() <= MESSAGE_HEAD_MAX);
            out.push((bytes.to_vec(), whole));
        }
    };
    for piece in bytes.chunks(piece) {
        stream.feed(piece, &mut on);
    }
    stream.finish(&mut on);
    out
}

/// The body of the target.
pub fn run(data: &[u8]) {
    let [choice, piece, bytes @ ..] = data else {
        return;
    };
    match choice % 4 {
        0 => match frame(bytes, 4096) {
            Parsed::Complete(found, length) => {
                assert!(
                    length <= bytes.len() && found.message.len() <= 4096 && found.leading < length
                );
            }
            Parsed::Incomplete(more) => assert!(more > 0),
            Parsed::Malformed(why) => assert!(!why.to_string().is_empty()),
        },
        1 => {
            if let Ok(message) = Message::parse(bytes) {
                let _ = (message.header(), message.doubts());
                let mut count = 0;
                devices(&message, &mut |_| count += 1);
                assert!(count <= bytes.len());
            }
        }
        2 => {
            if let Some(found) = wire::udi(bytes) {
                let written = found.to_string();
                let again = wire::udi(written.as_bytes()).expect("what is written is read");
                assert_eq!((again.device, again.agency), (found.device, found.agency));
            }
        }
        // The start of a block is sought, so that only what follows it is the same however it is cut.
        _ => {
            let block = [&[wire::hl7::START][..], bytes].concat();
            let whole = messages(&block, block.len());
            assert_eq!(
                whole.first(),
                messages(&block, usize::from(*piece) + 1).first()
            );
        }
    }
}
