//! Reads numbers and runs of octets from the front of a slice; never panics, never allocates.

/// What is left to read. Every method answers `None` when too few octets are left, and then takes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

#[allow(
    dead_code,
    reason = "one reader for every protocol; not each width is needed in each of them"
)]
impl<'a> Cursor<'a> {
    /// Starts at the front of `octets`.
    #[inline]
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// What was not read yet.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number of octets left.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` octets.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(front)
    }

    /// The next `count` octets or what is left of them.
    #[inline]
    pub(crate) fn take_up_to(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        front
    }

    /// A cursor over the next `count` octets.
    #[inline]
    pub(crate) fn sub(&mut self, count: usize) -> Option<Self> {
        self.take(count).map(Self::new)
    }

    /// The next `N` octets as an array.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*front)
    }

    /// Passes over `count` octets.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// One octet.
    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// Two octets, most significant first.
    #[inline]
    pub(crate) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three octets, most significant first.
    #[inline]
    pub(crate) fn be24(&mut self) -> Option<u32> {
        self.array::<3>()
            .map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Four octets, most significant first.
    #[inline]
    pub(crate) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets, most significant first.
    #[inline]
    pub(crate) fn be64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Two octets, least significant first.
    #[inline]
    pub(crate) fn le16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four octets, least significant first.
    #[inline]
    pub(crate) fn le32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight octets, least significant first.
    #[inline]
    pub(crate) fn le64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_runs_out_takes_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.be32(), None);
        assert_eq!(cursor.be16(), Some(0x0102));
        assert_eq!(cursor.take(2), None);
        assert_eq!(cursor.take_up_to(2), [3]);
        assert!(cursor.is_empty());
    }
}
