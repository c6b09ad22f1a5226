//! pcap and pcapng: any octets are framed the same however they are cut, and nothing is left behind.
//!
//! The first byte chooses the format, the second the size of the pieces.

use capture::packets::{Framer, RECORD_MAX};
use domain::Timestamp;
use sense::records::Format;

fn frame(format: Format, bytes: &[u8], piece: usize) -> (usize, usize) {
    let mut framer = Framer::new(format, Timestamp::from_millis(0)).expect("a capture format");
    let (mut packets, mut octets) = (0, 0);
    let mut held = Vec::new();
    let mut pieces = bytes.chunks(piece).peekable();
    loop {
        held.extend_from_slice(pieces.next().unwrap_or_default());
        let end = pieces.peek().is_none();
        let used = framer.take(
            &held,
            end,
            &mut |packet| {
                packets += 1;
                octets += packet.bytes.len();
                assert!(packet.length >= packet.bytes.len());
            },
            &mut |damage| assert!(damage.offset <= bytes.len() as u64),
        );
        held.drain(..used);
        assert!(held.len() <= RECORD_MAX + piece + 64);
        if end {
            assert!(held.is_empty());
            return (packets, octets);
        }
    }
}

/// The body of the target.
pub fn run(data: &[u8]) {
    let [choice, piece, bytes @ ..] = data else {
        return;
    };
    let format = if choice % 2 == 0 {
        Format::Pcap
    } else {
        Format::PcapNg
    };
    let whole = frame(format, bytes, bytes.len().max(1));
    let cut = frame(format, bytes, usize::from(*piece) + 1);
    assert!(whole.1 <= bytes.len() && cut.1 <= bytes.len());
    assert_eq!(whole, cut);
}
