//! Leaves: what the Merkle tree hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{RecordId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::tree::{Hash, sha256};
use crate::entry::{Entry, Kind, Stored, Unrecordable};

/// The longest leaf, in bytes.
pub const LEAF_BYTES_MAX: usize = 4096;
/// The longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Bytes of salt before a payload.
pub const SALT_BYTES: usize = 16;
/// The version of the leaf's members that this code writes.
const VERSION: u8 = 1;

/// How every leaf ends: `,"commitment":"` then 44 characters of base64, then `"}`.
const COMMITMENT_KEY: &[u8] = b",\"commitment\":\"";
const COMMITMENT_CHARS: usize = 44;

/// A leaf taken apart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The version of these members.
    pub v: u8,
    /// What sort of thing it is.
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// The facts that stay.
    pub header: Map<String, Value>,
    /// SHA-256(salt || payload), in base64.
    pub commitment: String,
}

/// The commitment to a payload that follows its salt in `salted`.
pub fn commitment_of_salted(salted: &[u8]) -> Hash {
    sha256(salted)
}

/// Appends the leaf of `entry` to `out`.
pub fn encode(entry: &Entry, commitment: &Hash, out: &mut Vec<u8>) -> Result<(), Unrecordable> {
    encode_with(
        entry.at,
        entry.kind,
        |out| write_object(&entry.header, out),
        commitment,
        out,
    )
}

/// Appends a leaf whose header, a whole object, `header` writes.
pub(crate) fn encode_with(
    at: Timestamp,
    kind: Kind,
    header: impl FnOnce(&mut Vec<u8>),
    commitment: &Hash,
    out: &mut Vec<u8>,
) -> Result<(), Unrecordable> {
    let start = out.len();
    let instant = at.text().ok_or(Unrecordable::InstantOutOfRange)?;
    out.extend_from_slice(b"{\"v\":1,\"kind\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"at\":\"");
    out.extend_from_slice(&instant);
    out.extend_from_slice(b"\",\"header\":");
    header(out);
    out.extend_from_slice(COMMITMENT_KEY);
    let mut text = [0; COMMITMENT_CHARS];
    // INVARIANT: 32 bytes are 44 characters of base64, so the slice always holds them.
    let written = STANDARD.encode_slice(commitment, &mut text).unwrap_or(0);
    out.extend_from_slice(&text[..written]);
    out.extend_from_slice(b"\"}");
    let leaf_bytes = out.len() - start;
    if leaf_bytes > LEAF_BYTES_MAX {
        return Err(Unrecordable::HeaderTooBig {
            leaf_bytes,
            max: LEAF_BYTES_MAX,
        });
    }
    Ok(())
}

/// Takes a leaf apart; the text says what is wrong with it otherwise.
pub fn decode(leaf: &[u8]) -> Result<Leaf, String> {
    let decoded: Leaf =
        serde_json::from_slice(leaf).map_err(|e| format!("the leaf does not read: {e}"))?;
    if decoded.v != VERSION {
        return Err(format!(
            "the leaf has version {}, this program reads version {VERSION}",
            decoded.v
        ));
    }
    Ok(decoded)
}

/// The record that a leaf and, unless it was pruned, its salted payload make.
pub fn stored(id: RecordId, leaf: &[u8], salted: Option<&[u8]>) -> Result<Stored, String> {
    let Leaf {
        kind, at, header, ..
    } = decode(leaf)?;
    let payload = salted.and_then(|s| s.get(SALT_BYTES..)).map(<[u8]>::to_vec);
    Ok(Stored {
        id,
        at,
        kind,
        header,
        payload,
    })
}

/// The commitment in a leaf, without reading the rest of it.
pub fn commitment(leaf: &[u8]) -> Option<Hash> {
    let text = leaf.strip_suffix(b"\"}")?;
    let (head, text) = text.split_at_checked(text.len().checked_sub(COMMITMENT_CHARS)?)?;
    if !head.ends_with(COMMITMENT_KEY) {
        return None;
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Writes the facts of a header, for [`Log::append_written`](crate::Log::append_written): in the order of their names,
/// each name once.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    out: &'a mut Vec<u8>,
    last: Option<&'static str>,
}

impl<'a> HeaderWriter<'a> {
    /// Writes a header with `facts` into `out`.
    pub(crate) fn write(facts: impl FnOnce(&mut HeaderWriter<'_>), out: &mut Vec<u8>) {
        out.push(b'{');
        facts(&mut HeaderWriter { out, last: None });
        out.push(b'}');
    }

    /// A text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        write_string(value, self.out);
    }

    /// A number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        write_value(&Value::from(value), self.out);
    }

    /// A list of texts.
    pub fn texts<'b>(&mut self, name: &'static str, values: impl Iterator<Item = &'b str>) {
        self.name(name);
        self.out.push(b'[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write_string(value, self.out);
        }
        self.out.push(b']');
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(
            self.last.is_none_or(|last| last < name),
            "`{name}` is out of order"
        );
        if self.last.replace(name).is_some() {
            self.out.push(b',');
        }
        write_string(name, self.out);
        self.out.push(b':');
    }
}

/// Writes an object with sorted keys and no spaces, whatever order the map keeps.
pub(crate) fn write_object(map: &Map<String, Value>, out: &mut Vec<u8>) {
    out.push(b'{');
    if map.keys().is_sorted() {
        write_members(map.iter(), out);
    } else {
        let mut members: Vec<_> = map.iter().collect();
        members.sort_unstable_by(|a, b| a.0.cmp(b.0));
        write_members(members.into_iter(), out);
    }
    out.push(b'}');
}

fn write_members<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, out: &mut Vec<u8>) {
    for (i, (key, value)) in members.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write_value(value, out);
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => write_object(map, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::String(text) => write_string(text, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // Writing to a vector cannot fail, and these values have no parts that could.
            let _ = serde_json::to_writer(out, value);
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a string to a vector cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(at_ms: i64, header: Value) -> Entry {
        let Value::Object(header) = header else {
            panic!("headers are objects")
        };
        Entry {
            at: Timestamp::from_millis(at_ms),
            kind: Kind::Decision,
            header,
            payload: Vec::new(),
        }
    }

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        encode(entry, &[7; 32], &mut out).expect("small");
        out
    }

    #[test]
    fn a_leaf_is_these_very_bytes() {
        let leaf = encoded(&entry(
            1_795_336_200_250,
            json!({"outcome": "permit", "application": "chart", "n": [1, 2.5, null, true], "quote": "a\"b\n"}),
        ));
        assert_eq!(
            String::from_utf8(leaf).expect("text"),
            "{\"v\":1,\"kind\":\"decision\",\"at\":\"2026-11-22T08:30:00.250Z\",\"header\":{\"application\":\"chart\",\"n\":[1,2.5,null,true],\"outcome\":\"permit\",\"quote\":\"a\\\"b\\n\"},\"commitment\":\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"}"
        );
    }

    #[test]
    fn a_written_header_is_the_same_as_a_built_one() {
        let built = json!({"a": "quote\"", "b": ["x", "y"], "c": 7, "d": []});
        let mut written = Vec::new();
        HeaderWriter::write(
            |header| {
                header.text("a", "quote\"");
                header.texts("b", ["x", "y"].into_iter());
                header.number("c", 7);
                header.texts("d", [].into_iter());
            },
            &mut written,
        );
        let Value::Object(built) = built else {
            panic!("an object")
        };
        let mut object = Vec::new();
        write_object(&built, &mut object);
        assert_eq!(String::from_utf8(written), String::from_utf8(object));
    }

    #[test]
    fn a_header_too_big_is_told() {
        let big = entry(0, json!({"text": "x".repeat(5000)}));
        let mut out = Vec::new();
        assert!(matches!(
            encode(&big, &[0; 32], &mut out),
            Err(Unrecordable::HeaderTooBig {
                leaf_bytes: 5000..,
                max: 4096
            })
        ));
        for ms in [-1, Timestamp::FOREVER.as_millis() + 1, i64::MIN, i64::MAX] {
            assert_eq!(
                encode(&entry(ms, json!({})), &[0; 32], &mut out),
                Err(Unrecordable::InstantOutOfRange)
            );
        }
    }

    #[test]
    fn other_versions_and_unknown_members_are_refused() {
        let leaf = String::from_utf8(encoded(&entry(0, json!({})))).expect("text");
        assert!(decode(leaf.as_bytes()).is_ok());
        assert!(decode(leaf.replace("\"v\":1", "\"v\":2").as_bytes()).is_err());
        assert!(decode(leaf.replace("\"v\":1", "\"v\":1,\"w\":1").as_bytes()).is_err());
        assert_eq!(commitment(leaf.as_bytes()), Some([7; 32]));
        assert_eq!(
            commitment(leaf.replace("commitment", "commitmant").as_bytes()),
            None
        );
        assert_eq!(commitment(b"\"}"), None);
    }

    proptest! {
        #[test]
        fn any_header_reads_back(text in ".{0,60}", key in ".{0,20}", n: i64, f: f64, ms in 0..=Timestamp::FOREVER.as_millis()) {
            let header = json!({key: text, "n": n, "f": f, "deep": {"b": [1], "a": {}}});
            let entry = entry(ms, header);
            let leaf = encoded(&entry);
            let read = decode(&leaf).expect("own bytes");
            // Numbers are compared by their text: 1e300 and its neighbours may round when read.
            prop_assert_eq!(read.header.get("n"), entry.header.get("n"));
            prop_assert_eq!(read.header.len(), entry.header.len());
            prop_assert_eq!(read.at, entry.at);
            prop_assert_eq!(commitment(&leaf), Some([7; 32]));
        }

        #[test]
        fn arbitrary_leaves_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = commitment(&bytes);
        }
    }
}
