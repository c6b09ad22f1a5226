//! Strict JSON as a flat list of nodes with byte spans.
//!
//! A judge must not read a document otherwise than the server behind it. So this reader takes RFC 8259 only, and
//! of that only what every reader understands alike: no duplicate keys (compared without case, as some servers
//! match them), no escapes in keys, no lone surrogates, no byte order mark. It keeps the place of every value, so
//! that a response can be cut instead of written anew, and it is bounded in depth, nodes and size. It makes one
//! pass, without recursion; strings are decoded only when asked for.

use std::borrow::Cow;
use std::ops::Range;

use super::Malformed;

/// Bytes that a document may have.
pub(crate) const BYTES_MAX: usize = 64 << 20;
/// Levels that a document may have.
pub(crate) const DEPTH_MAX: usize = 64;
/// Values and keys that a document may have.
const NODES_MAX: usize = 6 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// One value or key. The children of an array or object follow it; `next` is what follows after them.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    next: u32,
    kind: Kind,
    escaped: bool,
}

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    resource_types: Vec<u32>,
    labelled: Vec<u32>,
}

/// The key of what makes an object a resource.
const TYPE_KEY: &[u8] = b"\"resourceType\"";
/// How the url of an inline security label ends.
const LABEL_END: &[u8] = b"inline-sec-label\"";

/// A value of a document.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    at: u32,
}

fn bad(code: &'static str) -> Malformed {
    Malformed { status: 400, code }
}

impl<'a> Document<'a> {
    /// Parses a whole document.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > BYTES_MAX {
            return Err(Malformed {
                status: 413,
                code: "json-too-large",
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("json-not-utf-8"))?;
        let mut parser = Parser {
            bytes,
            at: 0,
            nodes: Vec::with_capacity((bytes.len() / 14).min(NODES_MAX) + 4),
            resource_types: Vec::new(),
            labelled: Vec::new(),
            open: Vec::with_capacity(16),
        };
        parser.document()?;
        parser.labelled.sort_unstable();
        parser.labelled.dedup();
        Ok(Self {
            text,
            nodes: parser.nodes,
            resource_types: parser.resource_types,
            labelled: parser.labelled,
        })
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> Value<'_> {
        Value {
            document: self,
            at: 0,
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Keys `resourceType`, in order.
    resource_types: Vec<u32>,
    /// Objects with a text that ends like the url of an inline label; sorted in the end.
    labelled: Vec<u32>,
    open: Vec<u32>,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Separator,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Malformed> {
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(bad("json-incomplete"));
            };
            expect = match (expect, byte) {
                (Expect::Key | Expect::KeyOrEnd, b'"') => {
                    self.key()?;
                    Expect::Value
                }
                (Expect::KeyOrEnd, b'}') | (Expect::ValueOrEnd, b']') => self.close()?,
                (Expect::Value | Expect::ValueOrEnd, _) => self.value(byte)?,
                (Expect::Separator, b',') => {
                    self.at += 1;
                    if self.in_object() {
                        Expect::Key
                    } else {
                        Expect::Value
                    }
                }
                (Expect::Separator, b'}') if self.in_object() => self.close()?,
                (Expect::Separator, b']') if !self.in_object() => self.close()?,
                (Expect::Key | Expect::KeyOrEnd | Expect::Separator, _) => {
                    return Err(bad("json-syntax"));
                }
            };
            if self.open.is_empty() {
                self.skip_space();
                return if self.at == self.bytes.len() {
                    Ok(())
                } else {
                    Err(bad("json-trailing"))
                };
            }
        }
    }

    fn in_object(&self) -> bool {
        self.open
            .last()
            .is_some_and(|&at| self.nodes[at as usize].kind == Kind::Object)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn push(&mut self, start: usize, kind: Kind, escaped: bool) -> Result<(), Malformed> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Malformed {
                status: 413,
                code: "json-too-many-values",
            });
        }
        // Positions fit: BYTES_MAX and NODES_MAX are far below 2^32.
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node {
            start: start as u32,
            end: self.at as u32,
            next,
            kind,
            escaped,
        });
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<Expect, Malformed> {
        let start = self.at;
        match byte {
            b'{' | b'[' => {
                if self.open.len() >= DEPTH_MAX {
                    return Err(bad("json-too-deep"));
                }
                self.at += 1;
                self.open.push(self.nodes.len() as u32);
                let kind = if byte == b'{' {
                    Kind::Object
                } else {
                    Kind::Array
                };
                self.push(start, kind, false)?;
                return Ok(if byte == b'{' {
                    Expect::KeyOrEnd
                } else {
                    Expect::ValueOrEnd
                });
            }
            b'"' => {
                let escaped = self.string()?;
                if self.bytes[start..self.at].ends_with(LABEL_END)
                    && let Some(object) = self.open.last()
                {
                    self.labelled.push(*object);
                }
                self.push(start, Kind::String, escaped)?;
            }
            b't' => self.literal(b"true", Kind::Bool)?,
            b'f' => self.literal(b"false", Kind::Bool)?,
            b'n' => self.literal(b"null", Kind::Null)?,
            b'-' | b'0'..=b'9' => {
                self.number()?;
                self.push(start, Kind::Number, false)?;
            }
            _ => return Err(bad("json-syntax")),
        }
        Ok(Expect::Separator)
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Result<(), Malformed> {
        let start = self.at;
        if !self.bytes[start..].starts_with(text) {
            return Err(bad("json-syntax"));
        }
        self.at += text.len();
        self.push(start, kind, false)
    }

    fn key(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        if self.string()? {
            return Err(bad("json-escaped-key"));
        }
        if self.bytes[start..self.at] == *TYPE_KEY {
            self.resource_types.push(self.nodes.len() as u32);
        }
        self.push(start, Kind::String, false)?;
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(bad("json-syntax"));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over a string; whether it holds an escape.
    fn string(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0x00..=0x1f) => return Err(bad("json-control-character")),
                Some(_) => self.at += 1,
                None => return Err(bad("json-incomplete")),
            }
        }
    }

    /// Passes over whole words of text that need no look: no quote, no backslash, no control character.
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        while let Some(word) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*word);
            let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
            let backslash = zero_byte(word ^ (ONES * u64::from(b'\\')));
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            let first = quote | backslash | control;
            if first != 0 {
                // False positives lie above a true one only, so the lowest is true.
                self.at += first.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = hex4(self.bytes, self.at + 2).ok_or(bad("json-escape"))?;
                self.at += 6;
                match unit {
                    0xd800..=0xdbff => {
                        let low = (self.bytes.get(self.at..self.at + 2) == Some(b"\\u"))
                            .then(|| hex4(self.bytes, self.at + 2))
                            .flatten();
                        if !matches!(low, Some(0xdc00..=0xdfff)) {
                            return Err(bad("json-surrogate"));
                        }
                        self.at += 6;
                        Ok(())
                    }
                    0xdc00..=0xdfff => Err(bad("json-surrogate")),
                    _ => Ok(()),
                }
            }
            _ => Err(bad("json-escape")),
        }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(bad("json-number")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start {
            Err(bad("json-number"))
        } else {
            Ok(())
        }
    }

    fn close(&mut self) -> Result<Expect, Malformed> {
        self.at += 1;
        let Some(at) = self.open.pop() else {
            return Err(bad("json-syntax"));
        };
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[at as usize];
        node.end = self.at as u32;
        node.next = next;
        if node.kind == Kind::Object {
            self.refuse_repeated_keys(at)?;
        }
        Ok(Expect::Separator)
    }

    fn refuse_repeated_keys(&self, object: u32) -> Result<(), Malformed> {
        const FEW: usize = 24;
        let end = self.nodes[object as usize].next;
        let text = |at: u32| {
            let node = self.nodes[at as usize];
            &self.bytes[node.start as usize + 1..node.end as usize - 1]
        };
        let mut seen: [&[u8]; FEW] = [&[]; FEW];
        let mut count = 0;
        let mut key = object + 1;
        while key < end {
            let name = text(key);
            if count < FEW {
                if seen[..count].iter().any(|s| s.eq_ignore_ascii_case(name)) {
                    return Err(bad("json-duplicate-key"));
                }
                seen[count] = name;
            }
            count += 1;
            key = self.nodes[key as usize + 1].next;
        }
        if count <= FEW {
            return Ok(());
        }
        // Many keys: sort, so that a hostile object costs no square.
        let mut names = Vec::with_capacity(count);
        key = object + 1;
        while key < end {
            names.push(text(key).to_ascii_lowercase());
            key = self.nodes[key as usize + 1].next;
        }
        names.sort_unstable();
        if names.windows(2).any(|w| w[0] == w[1]) {
            return Err(bad("json-duplicate-key"));
        }
        Ok(())
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0u32, |value, byte| {
        Some(value << 4 | char::from(*byte).to_digit(16)?)
    })
}

impl<'d> Value<'d> {
    fn node(self) -> Node {
        self.document.nodes[self.at as usize]
    }

    fn with(self, at: u32) -> Self {
        Self { at, ..self }
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    /// Where it stands in the document.
    pub(crate) fn span(self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// Its bytes as they stand in the document.
    pub(crate) fn raw(self) -> &'d str {
        &self.document.text[self.span()]
    }

    /// Its text, if it is a string.
    pub(crate) fn string(self) -> Option<Cow<'d, str>> {
        let node = self.node();
        if node.kind != Kind::String {
            return None;
        }
        let inner = &self.document.text[node.start as usize + 1..node.end as usize - 1];
        Some(if node.escaped {
            Cow::Owned(unescape(inner))
        } else {
            Cow::Borrowed(inner)
        })
    }

    /// The member `name`, if it is an object that has one.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.members()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The text of the string member `name`.
    pub(crate) fn text(self, name: &str) -> Option<Cow<'d, str>> {
        self.get(name)?.string()
    }

    /// Keys and values, if it is an object.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'d str, Self)> {
        let node = self.node();
        let end = if node.kind == Kind::Object {
            node.next
        } else {
            0
        };
        let mut key = self.at + 1;
        std::iter::from_fn(move || {
            if key >= end {
                return None;
            }
            let value = self.with(key + 1);
            let name = self.document.nodes[key as usize];
            key = value.node().next;
            Some((
                &self.document.text[name.start as usize + 1..name.end as usize - 1],
                value,
            ))
        })
    }

    /// Items, if it is an array; itself, if it is anything else. FHIR writes "0..*" as an array, and a reader
    /// that takes a single value for an array of one exists; judging both alike lets nothing hide there.
    pub(crate) fn items(self) -> impl Iterator<Item = Self> {
        let node = self.node();
        let (mut at, end) = if node.kind == Kind::Array {
            (self.at + 1, node.next)
        } else {
            (self.at, self.at + 1)
        };
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let value = self.with(at);
            at = value.node().next.min(end);
            // A single value that is itself a container ends the walk after it.
            if node.kind != Kind::Array {
                at = end;
            }
            Some(value)
        })
    }

    /// Whether two values mean the same. Each comparison costs a step; without steps left they count as different.
    pub(crate) fn same(self, other: Value<'_>, steps: &mut usize) -> bool {
        if self.raw() == other.raw() {
            return true;
        }
        if self.kind() != other.kind() || *steps == 0 {
            return false;
        }
        *steps -= 1;
        match self.kind() {
            Kind::Null | Kind::Bool | Kind::Number => false,
            Kind::String => self.string() == other.string(),
            Kind::Array => {
                let (mut ours, mut theirs) = (self.items(), other.items());
                loop {
                    match (ours.next(), theirs.next()) {
                        (None, None) => return true,
                        (Some(a), Some(b)) if a.same(b, steps) => {}
                        _ => return false,
                    }
                }
            }
            Kind::Object => {
                const MEMBERS_MAX: usize = 64;
                let count = self.members().take(MEMBERS_MAX + 1).count();
                count <= MEMBERS_MAX
                    && count == other.members().take(MEMBERS_MAX + 1).count()
                    && self
                        .members()
                        .all(|(key, a)| other.get(key).is_some_and(|b| a.same(b, steps)))
            }
        }
    }

    /// How many objects at or below this value have a member `resourceType`.
    pub(crate) fn typed_objects(self) -> usize {
        let keys = &self.document.resource_types;
        let end = self.node().next;
        keys.partition_point(|key| *key < end) - keys.partition_point(|key| *key < self.at)
    }

    /// Objects at or below this value in which a text ends like the url of an inline security label.
    pub(crate) fn labelled(self) -> impl Iterator<Item = Self> {
        let objects = &self.document.labelled;
        let end = self.node().next;
        let from = objects.partition_point(|at| *at < self.at);
        let to = objects.partition_point(|at| *at < end);
        objects[from..to].iter().map(move |at| self.with(*at))
    }
}

/// Decodes a string that the parser has passed.
fn unescape(inner: &str) -> String {
    let bytes = inner.as_bytes();
    let mut out = String::with_capacity(inner.len());
    let mut from = 0;
    while let Some(step) = memchr::memchr(b'\\', &bytes[from..]) {
        out.push_str(&inner[from..from + step]);
        let at = from + step;
        let (decoded, length) = match bytes.get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => {
                let high = hex4(bytes, at + 2).unwrap_or(0xfffd);
                if (0xd800..0xdc00).contains(&high) {
                    let low = hex4(bytes, at + 8).unwrap_or(0xdc00);
                    let code = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                    (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
                } else {
                    (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
                }
            }
            Some(other) => (char::from(*other), 2),
            None => break,
        };
        out.push(decoded);
        from = at + length;
    }
    out.push_str(&inner[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> &'static str {
        Document::parse(text.as_bytes())
            .map(|_| "ok")
            .unwrap_or_else(|e| e.code)
    }

    #[test]
    fn only_what_every_reader_understands_alike_is_taken() {
        for (text, expected) in [
            ("{}", "ok"),
            (
                " [1, -0.5e+3, true, null, \"a\\u00e9\\ud83d\\ude00\"] ",
                "ok",
            ),
            ("", "json-incomplete"),
            ("{\"a\":1,}", "json-syntax"),
            ("[1 2]", "json-syntax"),
            ("[1}", "json-syntax"),
            ("01", "json-trailing"),
            ("+1", "json-syntax"),
            ("1.", "json-number"),
            ("NaN", "json-syntax"),
            ("{\"a\":1} x", "json-trailing"),
            ("\u{feff}{}", "json-syntax"),
            ("\"\\ud800\"", "json-surrogate"),
            ("\"\\udc00\"", "json-surrogate"),
            ("\"\t\"", "json-control-character"),
            ("{\"id\":1,\"id\":2}", "json-duplicate-key"),
            ("{\"subject\":1,\"Subject\":2}", "json-duplicate-key"),
            ("{\"a\":{\"x\":{\"k\":1,\"k\":2}}}", "json-duplicate-key"),
            ("{\"\\u0069d\":1}", "json-escaped-key"),
            ("{'a':1}", "json-syntax"),
            ("{\"a\":1 /* */}", "json-syntax"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn depth_and_repeated_keys_among_many_are_found() {
        assert_eq!(code(&"[".repeat(65)), "json-too-deep");
        assert_eq!(code(&format!("{}{}", "[".repeat(64), "]".repeat(64))), "ok");
        let mut many: Vec<_> = (0..500).map(|i| format!("\"k{i}\":0")).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), "ok");
        many.push("\"K77\":0".to_owned());
        assert_eq!(
            code(&format!("{{{}}}", many.join(","))),
            "json-duplicate-key"
        );
    }

    #[test]
    fn values_know_their_text_and_place() {
        let text = r#"{"a":[{"b":"x\/y\u0041"},2],"c":{}}"#;
        let document = Document::parse(text.as_bytes()).expect("valid");
        let a = document.root().get("a").expect("has a");
        assert_eq!(a.raw(), r#"[{"b":"x\/y\u0041"},2]"#);
        let first = a.items().next().expect("an item");
        assert_eq!(first.text("b").as_deref(), Some("x/yA"));
        assert_eq!(a.items().count(), 2);
        assert_eq!(document.root().typed_objects(), 0);
        assert_eq!(document.root().items().count(), 1);
        assert_eq!(document.root().members().count(), 2);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(&bytes);
        }

        /// Whatever is taken, the common parser takes too, and reads the same strings.
        #[test]
        fn what_is_taken_reads_like_serde_json(text in "[\\[\\]{}:,\"a-c0-2\\\\u.eE+ -]{0,40}") {
            if let Ok(document) = Document::parse(text.as_bytes()) {
                let other: serde_json::Value = match serde_json::from_str(&text) {
                    Ok(value) => value,
                    // Numbers beyond f64 are the one thing it refuses.
                    Err(error) => { prop_assert!(error.to_string().contains("number out of range")); return Ok(()); }
                };
                prop_assert!(same(document.root(), &other));
            }
        }
    }

    fn same(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
        match theirs {
            serde_json::Value::Null => ours.kind() == Kind::Null,
            serde_json::Value::Bool(b) => ours.raw() == b.to_string(),
            serde_json::Value::Number(_) => ours.kind() == Kind::Number,
            serde_json::Value::String(s) => ours.string().as_deref() == Some(s),
            serde_json::Value::Array(items) => {
                ours.kind() == Kind::Array
                    && ours.items().count() == items.len()
                    && ours.items().zip(items).all(|(a, b)| same(a, b))
            }
            serde_json::Value::Object(map) => {
                ours.members().count() == map.len()
                    && map
                        .iter()
                        .all(|(k, v)| ours.get(k).is_some_and(|o| same(o, v)))
            }
        }
    }
}
