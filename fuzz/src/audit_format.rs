//! The bytes of the audit log: every reader is total, and what it accepts is written back the same.
//!
//! The first byte chooses the reader.

use audit::format::leaf;
use audit::format::note::{Checkpoint, VerifierKey};
use audit::format::tile::{Tile, decode_entries, decode_hashes, encode_hashes, parse_number};
use audit::format::wal::{self, BatchHead, Found, SegmentStart};

/// The body of the target.
pub fn run(data: &[u8]) {
    let [reader, bytes @ ..] = data else { return };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match reader % 8 {
        0 => {
            if let Some(tile) = Tile::parse(text) {
                assert_eq!(tile.path(), text, "one tile has one name");
            }
            let _ = parse_number(text);
        }
        1 => {
            for width in [1, 2, 255, 256] {
                if let Some(entries) = decode_entries(bytes, width) {
                    assert_eq!(entries.len(), usize::from(width));
                }
            }
        }
        2 => {
            for width in [1, 2, 256] {
                if let Some(hashes) = decode_hashes(bytes, width) {
                    assert_eq!(encode_hashes(&hashes), bytes);
                }
            }
        }
        3 => {
            if let SegmentStart::Used(head) = wal::parse_segment_start(bytes) {
                assert!(bytes.starts_with(&head.encode()), "one head has one form");
            }
        }
        4 => {
            let _ = BatchHead::parse(bytes);
            let mut previous = [0; 32];
            if let Some(given) = bytes.last_chunk() {
                previous = *given;
            }
            for offset in (0..bytes.len()).step_by(64).take(8) {
                if let Found::Batch(batch) = wal::find_batch(bytes, offset, 0, &previous) {
                    assert!(
                        batch
                            .frames()
                            .all(|frame| frame.leaf().len() <= bytes.len())
                    );
                }
            }
        }
        5 => {
            if leaf::decode(bytes).is_ok() {
                let _ = leaf::commitment(bytes).expect("a leaf commits to its payload");
            }
        }
        6 => {
            let _ = Checkpoint::parse(text);
        }
        _ => {
            if let Ok(key) = VerifierKey::parse(text) {
                let _ = key.open_checkpoint(text);
            }
        }
    }
}
