//! A-ASSOCIATE-RQ and -AC (PS3.8 §9.3.2, §9.3.3, annex D; PS3.7 annex D.3).

use super::{Doubt, is_uid};
use crate::{Malformed, be16, be32, trimmed};

/// What one side says when an association is opened.
///
/// All items were checked to lie inside it, so that the iterators never run out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Associate<'a> {
    /// Whether it is the request.
    pub request: bool,
    /// Bit field; bit 0 is the only one defined.
    pub protocol_version: u16,
    /// Called application entity title, without padding. In an acceptance: what the request said, not to be tested.
    pub called: &'a [u8],
    /// Calling application entity title, without padding.
    pub calling: &'a [u8],
    items: Items<'a>,
    user: Items<'a>,
}

/// Items of type, reserved octet, 16-bit length, value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Items<'a>(&'a [u8]);

impl std::fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Items({} octets)", self.0.len())
    }
}

impl<'a> Items<'a> {
    fn checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            let length =
                be16(bytes, at + 2).ok_or(Malformed::new("half an item of an association", at))?;
            at += 4 + usize::from(length);
            if at > bytes.len() {
                return Err(Malformed::new(
                    "item longer than its association",
                    bytes.len(),
                ));
            }
        }
        Ok(Self(bytes))
    }

    fn of(self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        self.filter(move |(k, _)| *k == kind)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = *self.0.first()?;
        let length = usize::from(be16(self.0, 2)?);
        let value = self.0.get(4..4 + length)?;
        self.0 = &self.0[4 + length..];
        Some((kind, value))
    }
}

/// One presentation context, proposed or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentationContext<'a> {
    /// Odd, 1 to 255.
    pub id: u8,
    /// The answer; absent in a request.
    pub result: Option<ContextResult>,
    items: Items<'a>,
}

/// Answer to one presentation context (PS3.8 table 9-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextResult {
    /// Accepted.
    Accepted,
    /// Rejected by the user, or with a value that the standard does not define.
    Rejected,
    /// No reason (provider rejection).
    NoReason,
    /// Abstract syntax not supported.
    AbstractSyntax,
    /// Transfer syntaxes not supported.
    TransferSyntaxes,
}

/// The transfer syntaxes of a presentation context in order of preference.
#[derive(Clone, Debug)]
pub struct TransferSyntaxes<'a>(Items<'a>);

impl<'a> Iterator for TransferSyntaxes<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0
            .find(|(kind, _)| *kind == 0x40)
            .map(|(_, uid)| trimmed(uid))
    }
}

impl<'a> PresentationContext<'a> {
    /// Abstract syntax: the SOP class proposed. Only requests carry it.
    pub fn abstract_syntax(&self) -> Option<&'a [u8]> {
        self.items.of(0x30).next().map(trimmed)
    }

    /// The transfer syntaxes proposed, or the one chosen.
    pub fn transfer_syntaxes(&self) -> TransferSyntaxes<'a> {
        TransferSyntaxes(self.items)
    }
}

/// SCU/SCP role selection (PS3.7 annex D.3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSelection<'a> {
    /// SOP class.
    pub sop_class: &'a [u8],
    /// Whether the requestor may be, or may now be, service class user.
    pub scu: bool,
    /// Whether the requestor may be, or may now be, service class provider.
    pub scp: bool,
}

/// SOP class extended or common extended negotiation (PS3.7 annex D.3.3.5, D.3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SopClassItem<'a> {
    /// SOP class.
    pub sop_class: &'a [u8],
    /// Whether it is the common extended negotiation.
    pub common: bool,
    /// What follows, in terms of the service class.
    pub information: &'a [u8],
}

impl<'a> Associate<'a> {
    pub(super) fn read(body: &'a [u8], request: bool) -> Result<Self, Malformed> {
        let short = Malformed::new("association shorter than its fixed part", body.len());
        let protocol_version = be16(body, 0).ok_or(short)?;
        let called = body.get(4..20).ok_or(short)?;
        let calling = body.get(20..36).ok_or(short)?;
        let items = body.get(68..).ok_or(short)?;
        let at = |m: Malformed| Malformed::new(m.what, m.at + 68);
        let items = Items::checked(items).map_err(at)?;
        for (kind, value) in items {
            match kind {
                0x20 | 0x21 => {
                    Items::checked(value.get(4..).ok_or(Malformed::new("half a context", 68))?)
                        .map_err(at)?;
                }
                0x50 => {
                    Items::checked(value).map_err(at)?;
                }
                _ => {}
            }
        }
        let user = Items(items.of(0x50).next().unwrap_or_default());
        Ok(Self {
            request,
            protocol_version,
            called: trimmed(called),
            calling: trimmed(calling),
            items,
            user,
        })
    }

    /// Application context name; [`super::APPLICATION_CONTEXT`] in all known use.
    pub fn application_context(&self) -> Option<&'a [u8]> {
        self.items.of(0x10).next().map(trimmed)
    }

    /// The presentation contexts in order.
    pub fn contexts(&self) -> impl Iterator<Item = PresentationContext<'a>> + use<'a> {
        let kind = if self.request { 0x20 } else { 0x21 };
        let answered = !self.request;
        self.items.of(kind).filter_map(move |value| {
            Some(PresentationContext {
                id: *value.first()?,
                result: answered.then(|| match value.get(2) {
                    Some(0) => ContextResult::Accepted,
                    Some(2) => ContextResult::NoReason,
                    Some(3) => ContextResult::AbstractSyntax,
                    Some(4) => ContextResult::TransferSyntaxes,
                    _ => ContextResult::Rejected,
                }),
                items: Items(value.get(4..)?),
            })
        })
    }

    /// Longest P-DATA-TF the sender takes, in octets of the PDU's body; 0: no limit.
    pub fn maximum_length(&self) -> Option<u32> {
        self.user.of(0x51).next().and_then(|value| be32(value, 0))
    }

    /// Implementation class UID: names the toolkit, seldom the maker of the device.
    pub fn implementation_class(&self) -> Option<&'a [u8]> {
        self.user.of(0x52).next().map(trimmed)
    }

    /// Implementation version name, at most 16 octets.
    pub fn implementation_version(&self) -> Option<&'a [u8]> {
        self.user.of(0x55).next().map(trimmed)
    }

    /// Asynchronous operations window: invoked and performed, 0 is unlimited.
    pub fn asynchronous_window(&self) -> Option<(u16, u16)> {
        let value = self.user.of(0x53).next()?;
        Some((be16(value, 0)?, be16(value, 2)?))
    }

    /// Role selections. Without one, the requestor is user only.
    pub fn roles(&self) -> impl Iterator<Item = RoleSelection<'a>> + use<'a> {
        self.user.of(0x54).filter_map(|value| {
            let length = usize::from(be16(value, 0)?);
            let end = 2 + length;
            Some(RoleSelection {
                sop_class: trimmed(value.get(2..end)?),
                scu: *value.get(end)? == 1,
                scp: *value.get(end + 1)? == 1,
            })
        })
    }

    /// Extended negotiations of SOP classes.
    pub fn extended_negotiations(&self) -> impl Iterator<Item = SopClassItem<'a>> + use<'a> {
        self.user
            .filter(|(kind, _)| matches!(kind, 0x56 | 0x57))
            .filter_map(|(kind, value)| {
                let end = 2 + usize::from(be16(value, 0)?);
                Some(SopClassItem {
                    sop_class: trimmed(value.get(2..end)?),
                    common: kind == 0x57,
                    information: value.get(end..)?,
                })
            })
    }

    /// Type of user identity negotiated (1 user name, 2 with passcode, 3 Kerberos, 4 SAML, 5 JWT; an acceptance
    /// answers without a type and gives 0). Its value is not exposed: it names a person.
    pub fn user_identity(&self) -> Option<u8> {
        let kind = if self.request { 0x58 } else { 0x59 };
        let value = self.user.of(kind).next()?;
        Some(if self.request { *value.first()? } else { 0 })
    }

    /// What another reader may understand differently, each once, in no particular order.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut doubt = |when: bool, what: Doubt| {
            if when && !doubts.contains(&what) {
                doubts.push(what);
            }
        };
        doubt(self.protocol_version & 1 == 0, Doubt::ProtocolVersion);
        for title in [self.called, self.calling] {
            let odd =
                title.is_empty() || title.iter().any(|b| *b < b' ' || *b == b'\\' || *b == 0x7f);
            doubt(odd, Doubt::ApplicationEntityTitle);
        }
        for kind in [0x10, 0x50] {
            doubt(self.items.of(kind).next().is_none(), Doubt::MissingItem);
            doubt(self.items.of(kind).nth(1).is_some(), Doubt::RepeatedItem);
        }
        for kind in [0x51, 0x52, 0x53, 0x55, 0x58, 0x59] {
            doubt(self.user.of(kind).nth(1).is_some(), Doubt::RepeatedItem);
        }
        let context = if self.request { 0x20 } else { 0x21 };
        for (kind, _) in self.items {
            doubt(
                !matches!(kind, 0x10 | 0x50) && kind != context,
                Doubt::UnknownItem,
            );
        }
        for (kind, _) in self.user {
            doubt(!matches!(kind, 0x51..=0x59), Doubt::UnknownItem);
        }
        doubt(
            self.application_context().is_some_and(|uid| !is_uid(uid))
                || self.implementation_class().is_some_and(|uid| !is_uid(uid)),
            Doubt::Uid,
        );
        let mut seen = [false; 256];
        for context in self.contexts() {
            let id = usize::from(context.id);
            doubt(context.id % 2 == 0 || seen[id], Doubt::ContextIdentifier);
            seen[id] = true;
            let accepted = matches!(context.result, None | Some(ContextResult::Accepted));
            doubt(
                (self.request && context.abstract_syntax().is_none())
                    || (accepted && context.transfer_syntaxes().next().is_none()),
                Doubt::MissingItem,
            );
            doubt(
                context.items.of(0x30).nth(1).is_some()
                    || (!self.request && context.transfer_syntaxes().nth(1).is_some()),
                Doubt::RepeatedItem,
            );
            doubt(
                context.abstract_syntax().is_some_and(|uid| !is_uid(uid))
                    || (accepted && context.transfer_syntaxes().any(|uid| !is_uid(uid))),
                Doubt::Uid,
            );
            for (kind, _) in context.items {
                doubt(!matches!(kind, 0x30 | 0x40), Doubt::UnknownItem);
            }
        }
        doubts
    }
}
