//! RADIUS packets: what reads is written back as it was, and nobody's signature is believed.

use enforce::radius::{Attribute, Packet};

/// Reads any octets.
///
/// # Panics
/// When a packet says something else than its octets.
pub fn run(data: &[u8]) {
    let Ok(packet) = Packet::read(data) else {
        return;
    };
    let octets: usize = packet.attributes.iter().map(Attribute::octets).sum();
    assert_eq!(
        20 + octets,
        usize::from(u16::from_be_bytes([data[2], data[3]]))
    );
    let _ = packet
        .attributes
        .iter()
        .filter_map(Attribute::vendors)
        .count();
    if let Ok(raw) = packet.write_answer(b"secret", [7; 16]) {
        let read = Packet::read_answer(&raw, b"secret", [7; 16], true).expect("our own answer");
        // Ours begins with a signature of its own.
        assert_eq!(read.attributes[1..], packet.attributes[..]);
        assert!(Packet::read_answer(&raw, b"another", [7; 16], true).is_err());
    }
}
