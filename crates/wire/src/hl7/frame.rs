//! MLLP: one message between a vertical tab and a file separator with carriage return.

use memchr::{memchr, memchr2};

use super::{Doubt, END, START};
use crate::{Malformed, Parsed};

/// One block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What is inside, without start and end.
    pub message: &'a [u8],
    /// How it ended.
    pub ending: Ending,
    /// Octets before the start that belong to no block.
    pub leading: usize,
}

impl std::fmt::Debug for Frame<'_> {
    /// Says how much there is; the octets are a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("octets", &self.message.len())
            .field("ending", &self.ending)
            .field("leading", &self.leading)
            .finish()
    }
}

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// File separator and carriage return.
    Proper,
    /// File separator, followed by something else.
    NoReturn,
    /// The next block's start: the sender leaves out the end.
    NextStart,
}

impl<'a> Frame<'a> {
    /// What another reader may understand differently, in the framing.
    pub fn doubt(&self) -> Option<Doubt> {
        if self.leading > 0 {
            return Some(Doubt::Leading);
        }
        match self.ending {
            Ending::Proper => None,
            Ending::NoReturn => Some(Doubt::MissingReturn),
            Ending::NextStart => Some(Doubt::MissingEnd),
        }
    }
}

/// Reads the block at the start of `bytes`, at most `longest` octets inside it.
///
/// Tolerated, and said in the frame: octets before the start, a missing carriage return, a missing end where the next
/// block's start follows a carriage return. Malformed: no start within the first `longest` octets, or no end within
/// `longest` octets after it.
pub fn frame(bytes: &[u8], longest: usize) -> Parsed<Frame<'_>> {
    let Some(leading) = memchr(START, bytes) else {
        return if bytes.len() > longest {
            Parsed::Malformed(Malformed::new("no start of a block", 0))
        } else {
            Parsed::Incomplete(1)
        };
    };
    let inside = &bytes[leading + 1..];
    let mut from = 0;
    while let Some(found) = inside
        .get(from..)
        .and_then(|rest| memchr2(START, END, rest))
        .map(|offset| from + offset)
    {
        if found > longest {
            break;
        }
        let message = &inside[..found];
        if inside[found] == START {
            if inside[..found]
                .last()
                .is_some_and(|b| matches!(b, b'\r' | b'\n'))
            {
                let frame = Frame {
                    message,
                    ending: Ending::NextStart,
                    leading,
                };
                return Parsed::Complete(frame, leading + 1 + found);
            }
            from = found + 1;
            continue;
        }
        let ending = match inside.get(found + 1) {
            Some(b'\r') => Ending::Proper,
            Some(_) => Ending::NoReturn,
            None => return Parsed::Incomplete(1),
        };
        let frame = Frame {
            message,
            ending,
            leading,
        };
        let end = found + 1 + usize::from(ending == Ending::Proper);
        return Parsed::Complete(frame, leading + 1 + end);
    }
    if inside.len() > longest {
        return Parsed::Malformed(Malformed::new("no end of a block", leading));
    }
    Parsed::Incomplete(1)
}
