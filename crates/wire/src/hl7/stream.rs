//! One direction of an MLLP connection, fed segment by segment.
//!
//! Memory: the head of the message that is under way, at most [`MESSAGE_HEAD_MAX`] octets.

use memchr::{memchr, memchr2};

use super::{Doubt, END, START};

/// How much of each message is kept. Device fields stand in the first observations; the rest is counted over.
pub const MESSAGE_HEAD_MAX: usize = 1 << 15;

/// What a stream found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, or its first [`MESSAGE_HEAD_MAX`] octets.
    Message {
        /// Its octets. They are a patient's: take device facts and drop them.
        bytes: &'a [u8],
        /// Whether that is all of it.
        whole: bool,
    },
    /// Two readers may understand the framing differently.
    Doubtful(Doubt),
}

impl std::fmt::Debug for Event<'_> {
    /// Says how much there is; the octets are a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { bytes, whole } => f
                .debug_struct("Message")
                .field("octets", &bytes.len())
                .field("whole", whole)
                .finish(),
            Self::Doubtful(doubt) => write!(f, "Doubtful({doubt:?})"),
        }
    }
}

/// One direction of an MLLP connection.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    inside: bool,
    /// The last octet ended a block, so that a carriage return is due.
    ended: bool,
    cut: bool,
    last: u8,
    buffer: Buffer,
}

#[derive(Clone, Default)]
struct Buffer(Vec<u8>);

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Stream {
    /// A stream outside of any block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `bytes` look like the start of a block that holds a message. Cheap: a recogniser.
    pub fn looks_like_start(bytes: &[u8]) -> bool {
        let inside = bytes.strip_prefix(&[START]).unwrap_or(bytes);
        let header = |name: &[u8]| {
            inside.starts_with(name)
                && inside
                    .get(3)
                    .is_some_and(|b| b.is_ascii_graphic() && !b.is_ascii_alphanumeric())
        };
        header(b"MSH") || header(b"BHS") || header(b"FHS")
    }

    /// Gives out what is held of a message, when no octet will follow.
    pub fn finish(&mut self, on: &mut impl FnMut(Event<'_>)) {
        if self.inside && !self.buffer.0.is_empty() {
            on(Event::Doubtful(Doubt::MissingEnd));
            self.cut = true;
            self.give(on);
        }
        self.gap();
    }

    /// Goes over octets that were lost on the way: the message under way is given up.
    pub fn gap(&mut self) {
        self.inside = false;
        self.ended = false;
        self.cut = false;
        self.buffer = Buffer::default();
    }

    /// Takes the next octets of the direction and reports what they complete.
    pub fn feed(&mut self, mut bytes: &[u8], on: &mut impl FnMut(Event<'_>)) {
        while !bytes.is_empty() {
            if self.ended {
                self.ended = false;
                if let [b'\r', rest @ ..] = bytes {
                    bytes = rest;
                    continue;
                }
                on(Event::Doubtful(Doubt::MissingReturn));
            }
            if !self.inside {
                if bytes[0] != START && Self::looks_like_start(bytes) {
                    on(Event::Doubtful(Doubt::MissingStart));
                    self.open();
                    continue;
                }
                let Some(start) = memchr(START, bytes) else {
                    if bytes.iter().any(|b| !b.is_ascii_whitespace() && *b != 0) {
                        on(Event::Doubtful(Doubt::Leading));
                    }
                    return;
                };
                bytes = &bytes[start + 1..];
                self.open();
                continue;
            }
            let Some(found) = memchr2(START, END, bytes) else {
                self.keep(bytes);
                return;
            };
            self.keep(&bytes[..found]);
            let octet = bytes[found];
            bytes = &bytes[found + 1..];
            if octet == END {
                self.give(on);
                self.inside = false;
                self.ended = true;
            } else if matches!(self.last, b'\r' | b'\n') {
                on(Event::Doubtful(Doubt::MissingEnd));
                self.give(on);
                self.last = START;
            } else {
                on(Event::Doubtful(Doubt::NestedStart));
                self.keep(&[octet]);
            }
        }
    }

    fn open(&mut self) {
        self.inside = true;
        self.cut = false;
        self.last = START;
        self.buffer.0.clear();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else {
            return;
        };
        self.last = last;
        let room = MESSAGE_HEAD_MAX - self.buffer.0.len();
        self.cut |= bytes.len() > room;
        self.buffer
            .0
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn give(&mut self, on: &mut impl FnMut(Event<'_>)) {
        on(Event::Message {
            bytes: &self.buffer.0,
            whole: !self.cut,
        });
        self.cut = false;
        // Most messages are short: memory that a long one took goes back.
        if self.buffer.0.capacity() > 4096 {
            self.buffer = Buffer::default();
        } else {
            self.buffer.0.clear();
        }
    }
}
