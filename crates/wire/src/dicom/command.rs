//! Command sets (PS3.7 §6.3, §9.3, §10.3, annex E): Implicit VR Little Endian, group 0000.

use std::fmt;

use super::{Doubt, is_uid};
use crate::{Malformed, trimmed};

/// A DIMSE operation or notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Operation {
    CStore,
    CGet,
    CFind,
    CMove,
    CEcho,
    CCancel,
    NEventReport,
    NGet,
    NSet,
    NAction,
    NCreate,
    NDelete,
}

impl Operation {
    /// As the standard writes it: `C-STORE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CStore => "C-STORE",
            Self::CGet => "C-GET",
            Self::CFind => "C-FIND",
            Self::CMove => "C-MOVE",
            Self::CEcho => "C-ECHO",
            Self::CCancel => "C-CANCEL",
            Self::NEventReport => "N-EVENT-REPORT",
            Self::NGet => "N-GET",
            Self::NSet => "N-SET",
            Self::NAction => "N-ACTION",
            Self::NCreate => "N-CREATE",
            Self::NDelete => "N-DELETE",
        }
    }

    /// The operation of a command field (0000,0100), whose top bit says "response".
    pub const fn from_command_field(field: u16) -> Option<Self> {
        Some(match field & 0x7fff {
            0x0001 => Self::CStore,
            0x0010 => Self::CGet,
            0x0020 => Self::CFind,
            0x0021 => Self::CMove,
            0x0030 => Self::CEcho,
            0x0fff => Self::CCancel,
            0x0100 => Self::NEventReport,
            0x0110 => Self::NGet,
            0x0120 => Self::NSet,
            0x0130 => Self::NAction,
            0x0140 => Self::NCreate,
            0x0150 => Self::NDelete,
            _ => return None,
        })
    }

    /// Whether a service class *provider* invokes it (a notification).
    pub const fn is_notification(self) -> bool {
        matches!(self, Self::NEventReport)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// UID of one object: it leads to a patient, so that it shows itself to code only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InstanceUid<'a>(&'a [u8]);

impl<'a> InstanceUid<'a> {
    /// Its octets, without padding. Not for logs, errors or device records.
    pub const fn expose(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for InstanceUid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceUid(…)")
    }
}

/// A command set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// What is done.
    pub operation: Operation,
    /// Whether it answers.
    pub response: bool,
    /// Affected SOP class UID (0000,0002).
    pub affected_class: Option<&'a [u8]>,
    /// Requested SOP class UID (0000,0003).
    pub requested_class: Option<&'a [u8]>,
    /// Affected SOP instance UID (0000,1000).
    pub affected_instance: Option<InstanceUid<'a>>,
    /// Requested SOP instance UID (0000,1001).
    pub requested_instance: Option<InstanceUid<'a>>,
    /// Message ID (0000,0110), or the one responded to or cancelled (0000,0120).
    pub message_id: Option<u16>,
    /// Priority (0000,0700): 0 medium, 1 high, 2 low.
    pub priority: Option<u16>,
    /// Whether a data set follows (0000,0800).
    pub has_data_set: bool,
    /// Status (0000,0900) of a response.
    pub status: Option<u16>,
    /// Move destination (0000,0600): an application entity title.
    pub move_destination: Option<&'a [u8]>,
    /// Move originator (0000,1030): set by an archive that stores because of somebody's C-MOVE.
    pub move_originator: Option<&'a [u8]>,
    /// Event type (0000,1002) or action type (0000,1008).
    pub type_id: Option<u16>,
    /// Sub-operations remaining, completed, failed, with a warning (0000,1020 … 1023).
    pub suboperations: [Option<u16>; 4],
    doubts: u16,
}

impl Command<'_> {
    /// The SOP class it is about, affected or requested.
    pub fn sop_class(&self) -> Option<&[u8]> {
        self.affected_class.or(self.requested_class)
    }

    /// What another reader may understand differently.
    pub fn doubts(&self) -> impl Iterator<Item = Doubt> + use<> {
        let bits = self.doubts;
        DOUBTS
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| bits & (1 << bit) != 0)
            .map(|(_, doubt)| doubt)
    }
}

const DOUBTS: [Doubt; 7] = [
    Doubt::ElementOrder,
    Doubt::RepeatedElement,
    Doubt::GroupLength,
    Doubt::ForeignElement,
    Doubt::ValueLength,
    Doubt::Uid,
    Doubt::MissingItem,
];

fn flag(doubt: Doubt) -> u16 {
    DOUBTS
        .iter()
        .position(|d| *d == doubt)
        .map_or(0, |bit| 1 << bit)
}

/// Reads a whole command set: the joined fragments of its PDVs.
///
/// # Errors
///
/// When elements do not tile it, or the command field is missing or unknown.
pub fn command(bytes: &[u8]) -> Result<Command<'_>, Malformed> {
    let mut found = Command {
        operation: Operation::CEcho,
        response: false,
        affected_class: None,
        requested_class: None,
        affected_instance: None,
        requested_instance: None,
        message_id: None,
        priority: None,
        has_data_set: false,
        status: None,
        move_destination: None,
        move_originator: None,
        type_id: None,
        suboperations: [None; 4],
        doubts: 0,
    };
    let (mut operation, mut data_set_type) = (None, None);
    let (mut at, mut before) = (0, None);
    while at < bytes.len() {
        let Some(&[g0, g1, e0, e1, l0, l1, l2, l3]) = bytes
            .get(at..at + 8)
            .and_then(|head| <&[u8; 8]>::try_from(head).ok())
        else {
            return Err(Malformed::new("half an element of a command set", at));
        };
        let (group, element) = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let start = at + 8;
        let value = start
            .checked_add(length)
            .and_then(|end| bytes.get(start..end))
            .ok_or(Malformed::new("element longer than its command set", at))?;
        at = start + length;
        let tag = (group, element);
        if let Some(before) = before {
            if tag == before {
                found.doubts |= flag(Doubt::RepeatedElement);
            } else if tag < before {
                found.doubts |= flag(Doubt::ElementOrder);
            }
        }
        before = Some(tag);
        if group != 0 {
            found.doubts |= flag(Doubt::ForeignElement);
            continue;
        }
        let mut short = || match value {
            [low, high] => Some(u16::from_le_bytes([*low, *high])),
            _ => {
                found.doubts |= flag(Doubt::ValueLength);
                None
            }
        };
        match element {
            0x0000 => {
                let told = <[u8; 4]>::try_from(value).ok().map(u32::from_le_bytes);
                if told.and_then(|told| usize::try_from(told).ok()) != Some(bytes.len() - at) {
                    found.doubts |= flag(Doubt::GroupLength);
                }
            }
            0x0100 => operation = short(),
            0x0800 => data_set_type = short(),
            0x0110 | 0x0120 => found.message_id = short(),
            0x0700 => found.priority = short(),
            0x0900 => found.status = short(),
            0x1002 | 0x1008 => found.type_id = short(),
            0x1020..=0x1023 => {
                let count = short();
                found.suboperations[usize::from(element - 0x1020)] = count;
            }
            0x0002 | 0x0003 => {
                let uid = trimmed(value);
                if !is_uid(uid) {
                    found.doubts |= flag(Doubt::Uid);
                }
                if element == 2 {
                    found.affected_class = Some(uid);
                } else {
                    found.requested_class = Some(uid);
                }
            }
            0x1000 => found.affected_instance = Some(InstanceUid(trimmed(value))),
            0x1001 => found.requested_instance = Some(InstanceUid(trimmed(value))),
            0x0600 => found.move_destination = Some(trimmed(value)),
            0x1030 => found.move_originator = Some(trimmed(value)),
            _ => {}
        }
    }
    let field = operation.ok_or(Malformed::new("command set without a command field", at))?;
    found.operation =
        Operation::from_command_field(field).ok_or(Malformed::new("unknown command field", at))?;
    found.response = field & 0x8000 != 0;
    if data_set_type.is_none() {
        found.doubts |= flag(Doubt::MissingItem);
    }
    found.has_data_set = data_set_type.is_some_and(|kind| kind != 0x0101);
    Ok(found)
}
