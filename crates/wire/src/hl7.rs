//! HL7 v2: the Minimal Lower Layer Protocol, the grammar of messages, and what they say of devices.
//!
//! [`frame`] reads one MLLP block from a buffer; [`Stream`] follows one direction of a connection and keeps only the
//! head of each message. [`Message`] splits on demand and allocates nothing. [`devices`] takes the allow-listed device
//! facts; nothing else of a message is looked at.

mod device;
mod frame;
mod message;
mod stream;

pub use device::{DeviceFact, Fact, devices, eui64};
pub use frame::{Ending, Frame, frame};
pub use message::{Field, Header, Message, Segment, Separators};
pub use stream::{Event, MESSAGE_HEAD_MAX, Stream};

/// Start of an MLLP block (MLLP Release 1, §2).
pub const START: u8 = 0x0b;
/// End of an MLLP block, before a carriage return.
pub const END: u8 = 0x1c;

/// What two readers of a message may understand differently. Whoever forwards refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// Octets before the start of a block.
    Leading,
    /// A message without the start of a block.
    MissingStart,
    /// A block that ends without its end octets, because the next one starts.
    MissingEnd,
    /// An end octet that no carriage return follows.
    MissingReturn,
    /// Start octets inside a block.
    NestedStart,
    /// Segments that end with line feeds, or with carriage return and line feed.
    LineFeeds,
    /// A second MSH segment in one block.
    SecondHeader,
    /// Two separators that are the same, or one that is a letter or a digit.
    Separators,
    /// Zero octets: another character set than it says, or padding.
    ZeroOctets,
    /// A segment name that is not a letter and two letters or digits.
    SegmentName,
}
