//! The grammar of DICOM's upper layer and of HL7 v2 over MLLP, once, for the gateway and the sensor.
//!
//! Sans-IO and total: bytes go in, values that borrow from them come out; no input panics, and what is kept between
//! calls has a stated bound. Two ways in, for each protocol:
//!
//! - **whole values** from a buffer ([`dicom::pdu`], [`hl7::frame`]): [`Parsed`] says what was consumed or how much is
//!   missing, so that a gateway can read, judge and write again exactly what it judged;
//! - **streams** ([`dicom::Stream`], [`hl7::Stream`]) that are fed segment by segment and keep only the bounded part
//!   that describes devices and operations, for a sensor that must never hold an image or a report.
//!
//! What one parser may read in one way and another in a second way is reported as a doubt ([`dicom::Doubt`],
//! [`hl7::Doubt`]); whoever forwards refuses, whoever observes goes on.
//!
//! INVARIANT: errors and doubts name places and kinds, never contents. Values that name a patient's object redact
//! themselves in `Debug`.

pub mod dicom;
pub mod hl7;
mod udi;

pub use udi::{Agency, Udi, udi};

/// What a parser made of the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A whole value, and how many octets it took.
    Complete(T, usize),
    /// The start of a value: at least so many octets more are needed to go on.
    Incomplete(usize),
    /// Not this grammar.
    Malformed(Malformed),
}

impl<T> Parsed<T> {
    /// The value and its length, if it is whole.
    pub fn complete(self) -> Option<(T, usize)> {
        match self {
            Self::Complete(value, consumed) => Some((value, consumed)),
            Self::Incomplete(_) | Self::Malformed(_) => None,
        }
    }
}

/// Why bytes are not what they claim to be: a fixed sentence and an offset, never the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at octet {at}")]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Offset from the start of the value that was being read.
    pub at: usize,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str, at: usize) -> Self {
        Self { what, at }
    }
}

/// Big-endian 16 bits at `at`.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let raw = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([raw[0], raw[1]]))
}

/// Big-endian 32 bits at `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]))
}

/// Without the spaces and zero octets that pad values at either end.
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [0 | b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., 0 | b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
