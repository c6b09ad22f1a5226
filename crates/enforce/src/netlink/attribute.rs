//! Netlink attributes: a 4-octet header (length with header, type; host byte order), the value, padding to 4 octets.
//!
//! Writing never fails in the middle: a value beyond the 16-bit length is remembered and reported when the message ends.

/// Largest value of one attribute, in octets: its length field has 16 bits and counts the header.
pub const VALUE_MAX: usize = u16::MAX as usize - 4;

/// Flag of an attribute that holds attributes (`NLA_F_NESTED`).
const NESTED: u16 = 1 << 15;
/// The bits of the type field that are not flags (`NLA_TYPE_MASK`).
const TYPE: u16 = 0x3fff;

/// Attributes in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
    overlong: bool,
}

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An attribute with these octets.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = self.length(value.len());
        self.header(kind, length);
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// One octet.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// 32 bits, most significant octet first, as nfnetlink has them.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// 64 bits, most significant octet first.
    pub fn u64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A text with the zero octet at its end.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let length = self.length(value.len() + 1);
        self.header(kind, length);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
        self
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        inside(self);
        let length = self.length(self.bytes.len() - start - 4);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Octets so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a value did not fit its length field.
    pub(super) fn overlong(&self) -> bool {
        self.overlong
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn append(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
    }

    pub(super) fn set(&mut self, at: usize, raw: &[u8]) {
        self.bytes[at..at + raw.len()].copy_from_slice(raw);
    }

    fn length(&mut self, value: usize) -> u16 {
        u16::try_from(value + 4).unwrap_or_else(|_| {
            self.overlong = true;
            u16::MAX
        })
    }

    fn header(&mut self, kind: u16, length: u16) {
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }

    pub(super) fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Attributes that the kernel wrote. Ends at the first octets that are no attribute; it never panics.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this type.
    pub fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes inside the first of this type.
    pub fn inside(self, kind: u16) -> Option<Self> {
        self.find(kind).map(Attributes)
    }

    /// 32 bits, most significant octet first.
    pub fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// 64 bits, most significant octet first.
    pub fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A text up to its zero octet.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let raw = self.find(kind)?;
        let end = raw.iter().position(|b| *b == 0).unwrap_or(raw.len());
        std::str::from_utf8(&raw[..end]).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, kind) = (self.0.get(..2)?, self.0.get(2..4)?);
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let kind = u16::from_ne_bytes([kind[0], kind[1]]) & TYPE;
        let Some(value) = self.0.get(4..length) else {
            self.0 = &[];
            return None;
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back() {
        let mut writer = Writer::new();
        writer.u32(1, 7).text(2, "guard").nest(3, |inside| {
            inside.u8(1, 9).u64(2, 10);
        });
        let all = Attributes(writer.as_slice());
        assert_eq!(all.u32(1), Some(7));
        assert_eq!(all.text(2), Some("guard"));
        let inside = all.inside(3).expect("a nest");
        assert_eq!(inside.find(1), Some(&[9_u8][..]));
        assert_eq!(inside.u64(2), Some(10));
        assert_eq!(writer.len() % 4, 0);
        assert!(!writer.overlong());
    }

    #[test]
    fn a_value_beyond_the_length_field_is_reported_and_not_truncated_in_silence() {
        let mut writer = Writer::new();
        writer.nest(1, |inside| {
            inside.bytes(1, &vec![0; 40_000]).bytes(2, &vec![0; 40_000]);
        });
        assert!(writer.overlong());
    }

    proptest::proptest! {
        #[test]
        fn any_octets_read_without_a_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let steps = Attributes(&raw).count();
            proptest::prop_assert!(steps <= 16);
        }
    }
}
