//! Messages that begin with a line and header fields: HTTP, SSDP, RTSP, SIP (RFC 9112 §2, RFC 7826 §5, RFC 3261 §7).

use memchr::{memchr, memmem};

/// Longest head that is read; a longer one is not one of ours.
pub(super) const HEAD_MAX: usize = 16 << 10;

/// The first line and the header fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// The first line without its end.
    pub(super) line: &'a [u8],
    fields: &'a [u8],
    /// Octets up to and with the empty line.
    pub(super) length: usize,
}

/// What was found where a head should be.
pub(super) enum Found<'a> {
    /// All of it.
    Whole(Head<'a>),
    /// The beginning of one, as much as came.
    Part(Head<'a>),
    /// Too long.
    No,
}

/// The head at the front of `octets`.
pub(super) fn head(octets: &[u8]) -> Found<'_> {
    let within = &octets[..octets.len().min(HEAD_MAX)];
    let end = memmem::find(within, b"\r\n\r\n")
        .map(|at| (at, at + 4))
        .or_else(|| memmem::find(within, b"\n\n").map(|at| (at, at + 2)));
    let (inside, length) = end.map_or((within, 0), |(at, length)| (&within[..at], length));
    let line_end = memchr(b'\n', inside).unwrap_or(inside.len());
    let head = Head {
        line: inside[..line_end].trim_ascii_end(),
        fields: inside.get(line_end + 1..).unwrap_or_default(),
        length,
    };
    if end.is_some() {
        Found::Whole(head)
    } else if octets.len() < HEAD_MAX {
        Found::Part(head)
    } else {
        Found::No
    }
}

impl<'a> Head<'a> {
    /// Names and values in order; what is not `name: value` is left out.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.fields.split(|b| *b == b'\n').filter_map(|line| {
            let colon = memchr(b':', line)?;
            Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
        })
    }

    /// The first value of a field, by its name in any case; empty ones do not count.
    pub(super) fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.fields()
            .find(|(n, value)| n.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// The words of the first line.
    pub(super) fn words(&self) -> [&'a [u8]; 3] {
        let mut words = self.line.splitn(3, |b| *b == b' ');
        std::array::from_fn(|_| words.next().unwrap_or_default())
    }
}

/// Whether `haystack` holds `needle` (in lower case) in any case.
pub(super) fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether the first line of `octets` ends with the protocol's version, as far as it came: `None` while the line is
/// not whole.
pub(super) fn line_names(octets: &[u8], version: &[u8]) -> Option<bool> {
    let within = &octets[..octets.len().min(2048)];
    match memchr(b'\n', within) {
        Some(end) => Some(memmem::find(&within[..end], version).is_some()),
        None if within.len() == 2048 => Some(memmem::find(within, version).is_some()),
        None => None,
    }
}
