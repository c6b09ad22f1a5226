//! Cuts a JSON document of any length into its members and the elements of its outermost arrays, without holding it.
//!
//! It knows strings, brackets and nothing else: each piece goes to a real parser, so that one bad element costs one
//! element. Memory is one piece, at most [`super::ITEM_MAX`].

use super::reader::ITEM_MAX;

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// The outermost member it belongs to; empty: an element of an outermost array.
    pub(crate) key: &'a str,
    /// Whether it is an element of an array rather than a member's whole value.
    pub(crate) element: bool,
    /// Its text.
    pub(crate) raw: &'a [u8],
    /// Line of its first byte, from 1.
    pub(crate) line: u64,
    /// Offset of its first byte.
    pub(crate) offset: u64,
}

/// What the cutter tells its user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A piece.
    Piece(Piece<'a>),
    /// An outermost object or array is complete.
    End,
    /// Something is wrong here; whether the rest can still be read.
    Damage {
        /// What.
        what: &'static str,
        /// Line.
        line: u64,
        /// Offset.
        offset: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before an outermost value.
    Outside,
    /// In the outermost object, before a key or its end.
    BeforeKey,
    /// In a key.
    Key { escaped: bool },
    /// After a key, before its colon.
    BeforeColon,
    /// After a colon, before the value.
    BeforeValue,
    /// In an array that is cut, before an element or its end.
    BeforeElement,
    /// In a value that is kept whole.
    Value {
        depth: u32,
        string: bool,
        escaped: bool,
        element: bool,
        scalar: bool,
    },
    /// The structure is lost; the rest is passed over.
    Lost,
}

/// The cutter.
#[derive(Debug)]
pub(crate) struct Cutter {
    state: State,
    key: Vec<u8>,
    raw: Vec<u8>,
    too_long: bool,
    in_object: bool,
    line: u64,
    offset: u64,
    start: (u64, u64),
}

impl Cutter {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Outside,
            key: Vec::new(),
            raw: Vec::new(),
            too_long: false,
            in_object: false,
            line: 1,
            offset: 0,
            start: (1, 0),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Event<'_>)) {
        let mut at = 0;
        while at < bytes.len() {
            // The long runs inside values are copied in one go.
            if let State::Value {
                depth,
                string,
                escaped,
                element,
                scalar,
            } = self.state
            {
                let (used, state, done) = run(&bytes[at..], depth, string, escaped, scalar);
                let chunk = &bytes[at..at + used];
                self.take(chunk);
                at += used;
                self.state = State::Value {
                    depth: state.0,
                    string: state.1,
                    escaped: state.2,
                    element,
                    scalar,
                };
                if done {
                    self.close(element, tell);
                }
                continue;
            }
            let byte = bytes[at];
            self.step(byte, tell);
            at += 1;
        }
    }

    /// Ends the input.
    pub(crate) fn finish(&mut self, tell: &mut dyn FnMut(Event<'_>)) {
        match self.state {
            State::Outside | State::Lost => {}
            _ => tell(Event::Damage {
                what: "the file ends in the middle of a value",
                line: self.line,
                offset: self.offset,
            }),
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        self.line += u64::try_from(chunk.iter().filter(|b| **b == b'\n').count()).unwrap_or(0);
        self.offset += u64::try_from(chunk.len()).unwrap_or(0);
        if self.raw.len() + chunk.len() > ITEM_MAX {
            self.too_long = true;
            self.raw = Vec::new();
        }
        if !self.too_long {
            self.raw.extend_from_slice(chunk);
        }
    }

    fn close(&mut self, element: bool, tell: &mut dyn FnMut(Event<'_>)) {
        let (line, offset) = self.start;
        if self.too_long {
            tell(Event::Damage {
                what: "one value is longer than is read",
                line,
                offset,
            });
        } else {
            let key = std::str::from_utf8(&self.key).unwrap_or("");
            tell(Event::Piece(Piece {
                key: if self.in_object { key } else { "" },
                element,
                raw: &self.raw,
                line,
                offset,
            }));
        }
        self.raw.clear();
        self.raw.shrink_to(1 << 20);
        self.too_long = false;
        self.state = if element {
            State::BeforeElement
        } else {
            State::BeforeKey
        };
    }

    fn open(&mut self, byte: u8, element: bool) {
        self.start = (self.line, self.offset);
        let (depth, string, scalar) = match byte {
            b'{' | b'[' => (1, false, false),
            b'"' => (0, true, false),
            _ => (0, false, true),
        };
        self.state = State::Value {
            depth,
            string,
            escaped: false,
            element,
            scalar,
        };
        self.raw.push(byte);
    }

    fn lose(&mut self, what: &'static str, tell: &mut dyn FnMut(Event<'_>)) {
        tell(Event::Damage {
            what,
            line: self.line,
            offset: self.offset,
        });
        self.state = State::Lost;
    }

    fn step(&mut self, byte: u8, tell: &mut dyn FnMut(Event<'_>)) {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Lost => {}
            State::Outside => match byte {
                b'{' => {
                    self.in_object = true;
                    self.state = State::BeforeKey;
                }
                b'[' => {
                    self.in_object = false;
                    self.key.clear();
                    self.state = State::BeforeElement;
                }
                // Byte order mark, record separators of JSON text sequences (RFC 7464).
                0xef | 0xbb | 0xbf | 0x1e => {}
                _ if blank => {}
                _ => self.lose("neither an object nor an array begins here", tell),
            },
            State::BeforeKey => match byte {
                b'"' => {
                    self.key.clear();
                    self.state = State::Key { escaped: false };
                }
                b'}' => {
                    self.state = State::Outside;
                    tell(Event::End);
                }
                b',' => {}
                _ if blank => {}
                _ => self.lose("a member's name is missing", tell),
            },
            State::Key { escaped } => match byte {
                b'"' if !escaped => self.state = State::BeforeColon,
                _ => {
                    if self.key.len() < 256 {
                        self.key.push(byte);
                    }
                    self.state = State::Key {
                        escaped: byte == b'\\' && !escaped,
                    };
                }
            },
            State::BeforeColon => match byte {
                b':' => self.state = State::BeforeValue,
                _ if blank => {}
                _ => self.lose("a colon is missing", tell),
            },
            State::BeforeValue => match byte {
                b'[' => self.state = State::BeforeElement,
                b'}' | b']' | b',' | b':' => self.lose("a value is missing", tell),
                _ if blank => {}
                _ => self.open(byte, false),
            },
            State::BeforeElement => match byte {
                b']' if self.in_object => self.state = State::BeforeKey,
                b']' => {
                    self.state = State::Outside;
                    tell(Event::End);
                }
                b',' => {}
                b'}' | b':' => self.lose("a bracket does not fit", tell),
                _ if blank => {}
                _ => self.open(byte, true),
            },
            State::Value { .. } => {}
        }
        self.offset += 1;
        if byte == b'\n' {
            self.line += 1;
        }
    }
}

/// Runs through a value: bytes used, state afterwards, whether it is complete.
fn run(
    bytes: &[u8],
    mut depth: u32,
    mut string: bool,
    mut escaped: bool,
    scalar: bool,
) -> (usize, (u32, bool, bool), bool) {
    for (n, byte) in bytes.iter().enumerate() {
        if scalar {
            // A number or literal ends before what follows it.
            if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                return (n, (0, false, false), true);
            }
            continue;
        }
        if string {
            if escaped {
                escaped = false;
            } else if *byte == b'\\' {
                escaped = true;
            } else if *byte == b'"' {
                string = false;
                if depth == 0 {
                    return (n + 1, (0, false, false), true);
                }
            }
            continue;
        }
        match byte {
            b'"' => string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return (n + 1, (0, false, false), true);
                }
            }
            _ => {}
        }
    }
    (bytes.len(), (depth, string, escaped), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &[u8], step: usize) -> Vec<String> {
        let mut cutter = Cutter::new();
        let mut out = Vec::new();
        let mut tell = |event: Event<'_>| {
            out.push(match event {
                Event::Piece(p) => format!(
                    "{}{} {} @{}",
                    p.key,
                    if p.element { "[]" } else { "" },
                    String::from_utf8_lossy(p.raw),
                    p.line
                ),
                Event::End => "end".to_owned(),
                Event::Damage { what, line, .. } => format!("damage {what} @{line}"),
            });
        };
        for chunk in text.chunks(step.max(1)) {
            cutter.push(chunk, &mut tell);
        }
        cutter.finish(&mut tell);
        out
    }

    #[test]
    fn members_and_elements_come_out_whatever_the_chunks() {
        let text = b"\xef\xbb\xbf{\"a\": 1,\n\"rows\":[{\"x\":\"]}\\\"\"},\n [2,3], \"s\"],\"m\":{\"k\":[]},\"z\":null}\n[7]";
        let whole = cut(text, 1000);
        assert_eq!(
            whole,
            [
                "a 1 @1",
                "rows[] {\"x\":\"]}\\\"\"} @2",
                "rows[] [2,3] @3",
                "rows[] \"s\" @3",
                "m {\"k\":[]} @3",
                "z null @3",
                "end",
                "[] 7 @4",
                "end"
            ]
        );
        for step in 1..9 {
            assert_eq!(cut(text, step), whole, "chunks of {step}");
        }
    }

    #[test]
    fn damage_is_named_with_its_line_and_what_came_before_stays() {
        let broken = cut(b"{\"rows\":[{\"a\":1},\n{\"b\":", 7);
        assert_eq!(broken[0], "rows[] {\"a\":1} @1");
        assert_eq!(
            broken[1],
            "damage the file ends in the middle of a value @2"
        );
        assert_eq!(cut(b"{a:1}", 9), ["damage a member's name is missing @1"]);
        assert_eq!(cut(b"hello", 9).len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_give_the_same_and_never_panic(text in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b','), Just(b':'), Just(b'\\'), any::<u8>()], 0..200), step in 1_usize..20) {
            prop_assert_eq!(cut(&text, 10_000), cut(&text, step));
        }
    }
}
