//! Protocol data units (PS3.8 §9.3).

use super::associate::Associate;
use super::{ASSOCIATE_MAX, DATA_MAX};
use crate::{Malformed, Parsed, be32};

/// One protocol data unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pdu<'a> {
    /// A-ASSOCIATE-RQ: the opener proposes.
    AssociateRq(Associate<'a>),
    /// A-ASSOCIATE-AC: the other side accepts, context by context.
    AssociateAc(Associate<'a>),
    /// A-ASSOCIATE-RJ.
    AssociateRj(Reject),
    /// P-DATA-TF: presentation data values.
    Data(Pdvs<'a>),
    /// A-RELEASE-RQ.
    ReleaseRq,
    /// A-RELEASE-RP.
    ReleaseRp,
    /// A-ABORT.
    Abort(Abort),
}

/// The type octet of a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PduKind {
    AssociateRq,
    AssociateAc,
    AssociateRj,
    Data,
    ReleaseRq,
    ReleaseRp,
    Abort,
}

impl PduKind {
    /// The kind that a type octet names.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::AssociateRq,
            2 => Self::AssociateAc,
            3 => Self::AssociateRj,
            4 => Self::Data,
            5 => Self::ReleaseRq,
            6 => Self::ReleaseRp,
            7 => Self::Abort,
            _ => return None,
        })
    }

    /// Shortest and longest body.
    pub(super) const fn body(self) -> (usize, usize) {
        match self {
            Self::AssociateRq | Self::AssociateAc => (68, ASSOCIATE_MAX),
            Self::AssociateRj | Self::ReleaseRq | Self::ReleaseRp | Self::Abort => (4, 4),
            Self::Data => (6, DATA_MAX),
        }
    }
}

/// A-ASSOCIATE-RJ (PS3.8 §9.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// 1: permanent, 2: transient.
    pub result: u8,
    /// 1: service user, 2: provider (ACSE), 3: provider (presentation).
    pub source: u8,
    /// Reason, in terms of the source.
    pub reason: u8,
}

impl Reject {
    /// Whether the called or calling application entity title was not known.
    pub const fn is_unknown_title(self) -> bool {
        self.source == 1 && matches!(self.reason, 3 | 7)
    }
}

/// A-ABORT (PS3.8 §9.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// 0: service user, 2: provider.
    pub source: u8,
    /// Reason, when the provider aborts.
    pub reason: u8,
}

/// What two readers of a PDU or command set may understand differently. Whoever forwards refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// Octets after the last whole item.
    TrailingOctets,
    /// An item that must be there once is missing.
    MissingItem,
    /// An item that must be there once is there again.
    RepeatedItem,
    /// An item type that PS3.7 and PS3.8 do not define.
    UnknownItem,
    /// A presentation context identifier that is even or was used before.
    ContextIdentifier,
    /// A UID with other characters than digits and dots, or too long.
    Uid,
    /// An application entity title that is empty or holds control characters or `\`.
    ApplicationEntityTitle,
    /// A protocol version without bit 0.
    ProtocolVersion,
    /// Elements of a command set that are not in ascending order.
    ElementOrder,
    /// An element of a command set that is there twice.
    RepeatedElement,
    /// A group length that differs from the octets that follow.
    GroupLength,
    /// An element outside group 0000 in a command set.
    ForeignElement,
    /// A value whose length its representation does not allow.
    ValueLength,
}

/// Reads the PDU at the start of `bytes`.
///
/// A-ASSOCIATE longer than [`ASSOCIATE_MAX`] and P-DATA-TF longer than [`DATA_MAX`] are malformed.
pub fn pdu(bytes: &[u8]) -> Parsed<Pdu<'_>> {
    let Some(&octet) = bytes.first() else {
        return Parsed::Incomplete(6);
    };
    let Some(kind) = PduKind::from_octet(octet) else {
        return Parsed::Malformed(Malformed::new("unknown PDU type", 0));
    };
    let Some(length) = be32(bytes, 2) else {
        return Parsed::Incomplete(6 - bytes.len());
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (least, most) = kind.body();
    if length < least || length > most {
        return Parsed::Malformed(Malformed::new("impossible PDU length", 2));
    }
    let Some(body) = bytes.get(6..6 + length) else {
        return Parsed::Incomplete(6 + length - bytes.len());
    };
    let value = match kind {
        PduKind::AssociateRq => Associate::read(body, true).map(Pdu::AssociateRq),
        PduKind::AssociateAc => Associate::read(body, false).map(Pdu::AssociateAc),
        PduKind::AssociateRj => Ok(Pdu::AssociateRj(Reject {
            result: body[1],
            source: body[2],
            reason: body[3],
        })),
        PduKind::Data => Pdvs::read(body).map(Pdu::Data),
        PduKind::ReleaseRq => Ok(Pdu::ReleaseRq),
        PduKind::ReleaseRp => Ok(Pdu::ReleaseRp),
        PduKind::Abort => Ok(Pdu::Abort(Abort {
            source: body[2],
            reason: body[3],
        })),
    };
    match value {
        Ok(value) => Parsed::Complete(value, 6 + length),
        Err(Malformed { what, at }) => Parsed::Malformed(Malformed::new(what, at + 6)),
    }
}

/// The presentation data values of a P-DATA-TF, checked to tile it exactly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pdvs<'a>(&'a [u8]);

impl std::fmt::Debug for Pdvs<'_> {
    /// Says how much there is; the octets may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pdvs({} octets)", self.0.len())
    }
}

/// One presentation data value (PS3.8 §9.3.5.1 and annex E.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pdv<'a> {
    /// Presentation context identifier.
    pub context: u8,
    /// Whether it is a fragment of a command set, else of a data set.
    pub command: bool,
    /// Whether it is the last fragment.
    pub last: bool,
    /// The fragment.
    pub fragment: &'a [u8],
}

impl std::fmt::Debug for Pdv<'_> {
    /// Says how much there is; the octets may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pdv")
            .field("context", &self.context)
            .field("command", &self.command)
            .field("last", &self.last)
            .field("octets", &self.fragment.len())
            .finish()
    }
}

impl<'a> Pdvs<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        while at < body.len() {
            let length = be32(body, at)
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length >= 2)
                .ok_or(Malformed::new("impossible PDV length", at))?;
            at = (at + 4)
                .checked_add(length)
                .filter(|end| *end <= body.len())
                .ok_or(Malformed::new("PDV longer than its PDU", at))?;
        }
        Ok(Self(body))
    }
}

impl<'a> IntoIterator for Pdvs<'a> {
    type Item = Pdv<'a>;
    type IntoIter = PdvIter<'a>;

    fn into_iter(self) -> PdvIter<'a> {
        PdvIter(self.0)
    }
}

/// The values of a P-DATA-TF in order.
#[derive(Clone, Debug)]
pub struct PdvIter<'a>(&'a [u8]);

impl<'a> Iterator for PdvIter<'a> {
    type Item = Pdv<'a>;

    fn next(&mut self) -> Option<Pdv<'a>> {
        let length = usize::try_from(be32(self.0, 0)?).ok()?;
        let value = self.0.get(4..4_usize.checked_add(length)?)?;
        self.0 = &self.0[4 + length..];
        let (&context, rest) = value.split_first()?;
        let (&control, fragment) = rest.split_first()?;
        Some(Pdv {
            context,
            command: control & 1 != 0,
            last: control & 2 != 0,
            fragment,
        })
    }
}
