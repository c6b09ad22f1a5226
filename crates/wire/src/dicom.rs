//! DICOM: the upper layer (PS3.8), command sets (PS3.7) and the few attributes of data sets that describe a device.
//!
//! [`pdu`] reads one protocol data unit from a buffer. [`Stream`] follows one direction of an association, keeps
//! command sets whole (at most [`COMMAND_MAX`] octets) and only the head of each data set, and skips the rest.
//! [`device_attributes`] takes the allow-listed device facts from a data set and nothing else.

mod associate;
mod command;
mod dataset;
mod pdu;
mod stream;

pub use associate::{
    Associate, ContextResult, PresentationContext, RoleSelection, SopClassItem, TransferSyntaxes,
};
pub use command::{Command, InstanceUid, Operation, command};
pub use dataset::{DeviceAttribute, DeviceAttributes, TransferSyntax, device_attributes};
pub use pdu::{Abort, Doubt, Pdu, PduKind, Pdv, PdvIter, Pdvs, Reject, pdu};
pub use stream::{COMMAND_MAX, CONTROL_MAX, DATA_SET_HEAD_MAX, Event, Stream};

/// Longest PDU that is not P-DATA-TF which [`pdu`] accepts: 1 MiB. An A-ASSOCIATE-RQ with 128 contexts of 38 transfer
/// syntaxes stays far below.
pub const ASSOCIATE_MAX: usize = 1 << 20;

/// Longest P-DATA-TF that [`pdu`] accepts: 16 MiB. Receivers announce their own, usually 16 KiB to 1 MiB.
pub const DATA_MAX: usize = 1 << 24;

/// The application context that every association uses (PS3.7 annex A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// Whether `text` is a UID as PS3.5 §9.1 has it: digits and dots, 1 to 64 octets, no empty component.
pub fn is_uid(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && text.split(|b| *b == b'.').all(|part| !part.is_empty())
}
