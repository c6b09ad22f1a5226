//! The small files of a log folder: the marker, the history of checkpoints, and the names of the others.

use super::tile::{number_path, parse_number};
use super::tree::sha256;

/// The marker's file name.
pub const MARKER: &str = "format";
/// The verifier key's file name.
pub const VKEY: &str = "vkey";
/// The newest checkpoint's file name.
pub const CHECKPOINT: &str = "checkpoint";
/// The older checkpoints' file name.
pub const HISTORY: &str = "checkpoints";
/// The lock's file name.
pub const LOCK: &str = "lock";
/// The folder of write-ahead segments.
pub const WAL: &str = "wal";
/// How the name of a file ends that is being written and will be renamed.
pub const UNFINISHED: &str = ".new";
/// Older checkpoints that are kept.
pub const HISTORY_MAX: usize = 32;

const MARKER_WORD: &str = "asepsis-audit-log";
const VERSION: u32 = 1;
const HISTORY_WORD: &str = "asepsis-audit-checkpoints 1";

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A log of this version.
    Ours {
        /// The log's name.
        origin: String,
    },
    /// A log of a version that this program does not know.
    Newer {
        /// That version.
        version: u32,
    },
    /// Something else.
    Foreign,
}

/// The marker of a log: the line `asepsis-audit-log 1` and the line of its origin.
pub fn encode_marker(origin: &str) -> String {
    format!("{MARKER_WORD} {VERSION}\n{origin}\n")
}

/// Reads a marker.
pub fn parse_marker(bytes: &[u8]) -> Marker {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Marker::Foreign;
    };
    let Some((first, rest)) = text.split_once('\n') else {
        return Marker::Foreign;
    };
    let version = first
        .strip_prefix(MARKER_WORD)
        .and_then(|v| v.strip_prefix(' '));
    match version.and_then(|v| v.parse::<u32>().ok().filter(|n| n.to_string() == v)) {
        Some(VERSION) => match rest.strip_suffix('\n') {
            Some(origin) if super::note::is_name(origin) => Marker::Ours {
                origin: origin.to_owned(),
            },
            Some(_) | None => Marker::Foreign,
        },
        Some(version) if version > VERSION => Marker::Newer { version },
        Some(_) | None => Marker::Foreign,
    }
}

/// The path of a payload file within the folder.
pub fn payload_path(index: u64) -> String {
    format!("payload/{}", number_path(index))
}

/// Reads what [`payload_path`] wrote.
pub fn parse_payload_path(path: &str) -> Option<u64> {
    parse_number(path.strip_prefix("payload/")?)
}

/// The path of a write-ahead segment within the folder.
pub fn segment_path(sequence: u64) -> String {
    format!("{WAL}/{sequence:010}")
}

/// Reads the file name of a write-ahead segment.
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let sequence: u64 = name.parse().ok()?;
    (format!("{sequence:010}") == name).then_some(sequence)
}

/// The file of older checkpoints: a line with a SHA-256 of what follows, then each note after a line with its length.
pub fn encode_history(notes: &[String]) -> String {
    let mut body = String::new();
    for note in notes {
        body.push_str(&note.len().to_string());
        body.push('\n');
        body.push_str(note);
    }
    format!("{HISTORY_WORD} {}\n{body}", hex(&sha256(body.as_bytes())))
}

/// Reads what [`encode_history`] wrote; `None` if a byte of it is wrong.
pub fn parse_history(text: &str) -> Option<Vec<String>> {
    let (_, mut rest) = text.split_once('\n')?;
    let mut notes = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_once('\n')?;
        let (note, tail) = tail.split_at_checked(length.parse().ok()?)?;
        notes.push(note.to_owned());
        rest = tail;
        if notes.len() > HISTORY_MAX {
            return None;
        }
    }
    (encode_history(&notes) == text).then_some(notes)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markers_tell_ours_newer_and_foreign() {
        let ours = encode_marker("example.org/log");
        assert_eq!(
            parse_marker(ours.as_bytes()),
            Marker::Ours {
                origin: "example.org/log".into()
            }
        );
        assert_eq!(
            parse_marker(b"asepsis-audit-log 2\nwhatever"),
            Marker::Newer { version: 2 }
        );
        for foreign in [
            "",
            "asepsis-audit-log 01\na\n",
            "asepsis-audit-log 0\na\n",
            "asepsis-audit-log 1\na b\n",
            "hello\n",
        ] {
            assert_eq!(
                parse_marker(foreign.as_bytes()),
                Marker::Foreign,
                "{foreign}"
            );
        }
        for i in 0..ours.len() {
            let mut bytes = ours.clone().into_bytes();
            bytes[i] ^= 1;
            assert_ne!(parse_marker(&bytes), parse_marker(ours.as_bytes()));
        }
    }

    #[test]
    fn a_history_reads_back_and_no_bent_one_does() {
        for notes in [vec![], vec!["a\n\n— b\n".to_owned(), "ünï\n".to_owned()]] {
            let text = encode_history(&notes);
            assert_eq!(parse_history(&text), Some(notes));
            for i in 0..text.len() {
                for bit in 0..8 {
                    let mut bytes = text.clone().into_bytes();
                    bytes[i] ^= 1 << bit;
                    let bent = String::from_utf8(bytes)
                        .ok()
                        .and_then(|t| parse_history(&t));
                    assert_eq!(bent, None, "byte {i} bit {bit}");
                }
                assert_eq!(text.get(..i).and_then(parse_history), None);
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "(asepsis-audit-checkpoints 1 \n)?(?s).{0,80}") {
            let _ = parse_marker(&bytes);
            let _ = parse_history(&text);
            let _ = parse_payload_path(&text);
            let _ = parse_segment_name(&text);
        }
    }
}
