//! Messages, segments, fields, components (HL7 v2.9 chapter 2, §2.5, §2.13.9).

use memchr::memchr2;

use super::Doubt;
use crate::Malformed;

/// The separators that a message declares in MSH-1 and MSH-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Separators {
    pub field: u8,
    pub component: u8,
    pub repetition: u8,
    pub escape: Option<u8>,
    pub subcomponent: Option<u8>,
}

/// A message, not split yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    separators: Separators,
}

impl std::fmt::Debug for Message<'_> {
    /// Says how much there is; the octets are a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} octets)", self.bytes.len())
    }
}

/// One segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    bytes: &'a [u8],
    separators: Separators,
}

impl std::fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({} octets)", self.bytes.len())
    }
}

/// One field or one of its repetitions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    bytes: &'a [u8],
    separators: Separators,
}

impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field({} octets)", self.bytes.len())
    }
}

/// What MSH says of the message and its way. None of it is about a patient when used as the standard has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// MSH-3.
    pub sending_application: Field<'a>,
    /// MSH-4.
    pub sending_facility: Field<'a>,
    /// MSH-5.
    pub receiving_application: Field<'a>,
    /// MSH-6.
    pub receiving_facility: Field<'a>,
    /// MSH-9.1, such as `ORU`.
    pub code: &'a [u8],
    /// MSH-9.2, such as `R01`; empty in an `ACK` of old.
    pub trigger: &'a [u8],
    /// MSH-9.3, such as `ORU_R01`; often empty.
    pub structure: &'a [u8],
    /// MSH-11.1: `P` production, `T` training, `D` debugging.
    pub processing: &'a [u8],
    /// MSH-12.1, such as `2.6`.
    pub version: &'a [u8],
    /// MSH-18, first repetition.
    pub character_set: &'a [u8],
    /// MSH-21, first repetition: the profile, such as `IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO`.
    pub profile: Field<'a>,
}

impl Header<'_> {
    /// Whether the message answers another: `ACK`, or a code that only answers have.
    pub fn is_acknowledgement(&self) -> bool {
        matches!(
            self.code,
            b"ACK" | b"MCF" | b"ORR" | b"RSP" | b"ADR" | b"ORF" | b"RRA" | b"RAR"
        )
    }
}

impl<'a> Message<'a> {
    /// A message from the inside of a block.
    ///
    /// # Errors
    ///
    /// When it does not start with MSH and usable separators.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        // Some senders put a byte order mark or line ends in front.
        let mut start = bytes;
        while let [b'\r' | b'\n' | b' ', rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] = start {
            start = rest;
        }
        let skipped = bytes.len() - start.len();
        let Some(rest) = start.strip_prefix(b"MSH") else {
            return Err(Malformed::new("message without MSH", skipped));
        };
        let Some((&field, rest)) = rest.split_first() else {
            return Err(Malformed::new("MSH without separators", skipped));
        };
        let usable = |b: u8| {
            !b.is_ascii_alphanumeric()
                && !matches!(b, b'\r' | b'\n' | 0 | super::START | super::END)
        };
        if !usable(field) {
            return Err(Malformed::new("unusable field separator", skipped + 3));
        }
        let mut encoding = rest
            .iter()
            .copied()
            .take(5)
            .take_while(|b| *b != field && usable(*b));
        let (Some(component), repetition) = (encoding.next(), encoding.next()) else {
            return Err(Malformed::new("unusable encoding characters", skipped + 4));
        };
        let separators = Separators {
            field,
            component,
            repetition: repetition.unwrap_or(b'~'),
            escape: encoding.next(),
            subcomponent: encoding.next(),
        };
        Ok(Self {
            bytes: start,
            separators,
        })
    }

    /// Its separators.
    pub fn separators(&self) -> Separators {
        self.separators
    }

    /// Its segments in order, empty lines left out. Line feeds end segments too.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let separators = self.separators;
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                let bytes = &rest[..end];
                rest = rest.get(end + 1..).unwrap_or_default();
                if !bytes.is_empty() {
                    return Some(Segment { bytes, separators });
                }
            }
            None
        })
    }

    /// What MSH says.
    pub fn header(&self) -> Header<'a> {
        let nothing = Segment {
            bytes: &[],
            separators: self.separators,
        };
        let msh = self.segments().next().unwrap_or(nothing);
        let kind = msh.field(9).first();
        Header {
            sending_application: msh.field(3).first(),
            sending_facility: msh.field(4).first(),
            receiving_application: msh.field(5).first(),
            receiving_facility: msh.field(6).first(),
            code: kind.component(1),
            trigger: kind.component(2),
            structure: kind.component(3),
            processing: msh.field(11).first().component(1),
            version: msh.field(12).first().component(1),
            character_set: msh.field(18).first().component(1),
            profile: msh.field(21).first(),
        }
    }

    /// What another reader may understand differently, each once.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut doubt = |when: bool, what: Doubt| {
            if when && !doubts.contains(&what) {
                doubts.push(what);
            }
        };
        let s = self.separators;
        let all = [
            Some(s.field),
            Some(s.component),
            Some(s.repetition),
            s.escape,
            s.subcomponent,
        ];
        let told = || all.iter().flatten();
        doubt(
            told()
                .enumerate()
                .any(|(i, a)| told().skip(i + 1).any(|b| a == b)),
            Doubt::Separators,
        );
        doubt(
            memchr::memchr(b'\n', self.bytes).is_some(),
            Doubt::LineFeeds,
        );
        doubt(memchr::memchr(0, self.bytes).is_some(), Doubt::ZeroOctets);
        doubt(
            memchr::memchr(super::START, self.bytes).is_some(),
            Doubt::NestedStart,
        );
        for (index, segment) in self.segments().enumerate() {
            let name = segment.name();
            doubt(index > 0 && name == b"MSH", Doubt::SecondHeader);
            let sound = matches!(name, [a, b, c]
                if a.is_ascii_uppercase() && b.is_ascii_alphanumeric() && c.is_ascii_alphanumeric());
            doubt(!sound, Doubt::SegmentName);
        }
        doubts
    }
}

impl<'a> Segment<'a> {
    /// Its name: the octets before the first field separator.
    pub fn name(&self) -> &'a [u8] {
        split(self.bytes, self.separators.field)
            .next()
            .unwrap_or_default()
    }

    /// Field `number`, counted from 1 as the standard does: MSH-1 is the separator itself. Absent is empty.
    pub fn field(&self, number: usize) -> Field<'a> {
        let index = if self.name() == b"MSH" {
            match number {
                1 => return self.make(self.bytes.get(3..4).unwrap_or_default()),
                _ => number.saturating_sub(1),
            }
        } else {
            number
        };
        let bytes = split(self.bytes, self.separators.field)
            .nth(index)
            .unwrap_or_default();
        self.make(bytes)
    }

    fn make(&self, bytes: &'a [u8]) -> Field<'a> {
        Field {
            bytes,
            separators: self.separators,
        }
    }
}

impl<'a> Field<'a> {
    /// Whether it is absent or empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its octets, separators and escapes included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its repetitions.
    pub fn repetitions(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let separators = self.separators;
        split(self.bytes, separators.repetition).map(move |bytes| Field { bytes, separators })
    }

    /// Its first repetition.
    pub fn first(&self) -> Field<'a> {
        let bytes = split(self.bytes, self.separators.repetition)
            .next()
            .unwrap_or_default();
        Field {
            bytes,
            separators: self.separators,
        }
    }

    /// Component `number` of its first repetition, counted from 1; absent is empty.
    pub fn component(&self, number: usize) -> &'a [u8] {
        split(self.first().bytes, self.separators.component)
            .nth(number.saturating_sub(1))
            .unwrap_or_default()
    }

    /// Subcomponent `sub` of component `number`, both counted from 1; absent is empty.
    pub fn subcomponent(&self, number: usize, sub: usize) -> &'a [u8] {
        let component = self.component(number);
        let Some(separator) = self.separators.subcomponent else {
            return if sub == 1 { component } else { &[] };
        };
        split(component, separator)
            .nth(sub.saturating_sub(1))
            .unwrap_or_default()
    }
}

fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |b| *b == separator)
}
