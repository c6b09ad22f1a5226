//! Octets from the network made into printable text of bounded length.

use std::fmt::{self, Write as _};

use domain::observation::VALUE_MAX;

use crate::owner;

/// A buffer that holds one value at a time: printable, at most [`VALUE_MAX`] octets of UTF-8. It allocates once.
#[derive(Debug)]
pub(crate) struct Text {
    held: String,
    cut: bool,
}

impl Text {
    /// An empty buffer with its whole capacity.
    pub(crate) fn new() -> Self {
        Self {
            held: String::with_capacity(VALUE_MAX + 4),
            cut: false,
        }
    }

    /// Takes `value` in place of what it held; says whether anything printable is in it.
    pub(crate) fn set(&mut self, value: impl Value) -> bool {
        self.held.clear();
        self.cut = false;
        value.write(self);
        while self.held.ends_with(' ') {
            self.held.pop();
        }
        !self.held.is_empty()
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.held
    }

    /// Takes the person out of a device's name ([`owner`]).
    pub(crate) fn forget_owner(&mut self) {
        for range in owner::part(&self.held) {
            if !range.is_empty() {
                self.held.replace_range(range, "");
            }
        }
    }

    /// Whether the value was longer than [`VALUE_MAX`].
    pub(crate) const fn was_cut(&self) -> bool {
        self.cut
    }

    /// Adds one character: control characters and other blanks become one space, none in front.
    fn push(&mut self, c: char) {
        let blank = c.is_control() || c.is_whitespace() || is_hidden(c);
        if blank && (self.held.is_empty() || self.held.ends_with(' ')) {
            return;
        }
        let c = if blank { ' ' } else { c };
        if self.cut || self.held.len() + c.len_utf8() > VALUE_MAX {
            self.cut = true;
            return;
        }
        self.held.push(c);
    }

    fn push_str(&mut self, text: &str) {
        // Nearly every value is plain ASCII without two blanks in a row: one pass to see it, one to copy.
        let plain = text.len() + self.held.len() <= VALUE_MAX
            && !self.cut
            && text.bytes().all(|b| b.is_ascii_graphic());
        if plain {
            self.held.push_str(text);
            return;
        }
        for c in text.chars() {
            if self.cut {
                return;
            }
            self.push(c);
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// Marks that change the direction or shape of the text around them without being seen themselves.
const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What can become the value of evidence.
///
/// Implemented for `&str`; for `&[u8]` (UTF-8, else ISO 8859-1, up to the first NUL); for [`fmt::Arguments`]
/// (`format_args!("model={x}")`, no allocation); for [`Utf16Le`], [`Hex`] and [`Lower`].
pub(crate) trait Value {
    /// Writes itself into the buffer.
    fn write(self, text: &mut Text);
}

impl Value for &str {
    fn write(self, text: &mut Text) {
        text.push_str(self);
    }
}

impl Value for &[u8] {
    fn write(self, text: &mut Text) {
        let end = memchr::memchr(0, self).unwrap_or(self.len());
        // Four octets a character at most, and one more so that a cut is noticed.
        let octets = &self[..end.min(VALUE_MAX * 4 + 4)];
        match std::str::from_utf8(octets) {
            Ok(utf8) => text.push_str(utf8),
            // A character that our own cut went through is no sign of another encoding.
            Err(error) if error.error_len().is_none() && octets.len() < end => {
                let (whole, _) = octets.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(whole).unwrap_or_default());
            }
            Err(_) => octets.iter().for_each(|b| text.push(char::from(*b))),
        }
    }
}

impl<const N: usize> Value for &[u8; N] {
    fn write(self, text: &mut Text) {
        self.as_slice().write(text);
    }
}

impl Value for fmt::Arguments<'_> {
    fn write(self, text: &mut Text) {
        // Writing into `Text` cannot fail; a `Display` that fails leaves what it wrote.
        let _ = text.write_fmt(self);
    }
}

/// UTF-16, least significant octet first, up to the first NUL; unpaired surrogates become U+FFFD.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for Microsoft's protocols")]
pub(crate) struct Utf16Le<'a>(pub(crate) &'a [u8]);

impl Value for Utf16Le<'_> {
    fn write(self, text: &mut Text) {
        write!(text, "{self}").unwrap_or_default();
    }
}

impl fmt::Display for Utf16Le<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self
            .0
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .take_while(|unit| *unit != 0)
            .take(VALUE_MAX + 1);
        for c in char::decode_utf16(units) {
            f.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER))?;
        }
        Ok(())
    }
}

/// Octets as `&[u8]` is read, for use inside `format_args!`: `format_args!("model={}", Printable(octets))`.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for the protocols that name their values")]
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let octets = &self.0[..end.min(VALUE_MAX * 4)];
        match std::str::from_utf8(octets) {
            Ok(utf8) => f.write_str(utf8),
            Err(_) => octets.iter().try_for_each(|b| f.write_char(char::from(*b))),
        }
    }
}

/// Octets as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(VALUE_MAX / 2 + 1)
            .try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Value for Hex<'_> {
    fn write(self, text: &mut Text) {
        let _ = write!(text, "{self}");
    }
}

/// Octets as `&[u8]` is read, with ASCII letters in lower case: names of hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lower<'a>(pub(crate) &'a [u8]);

impl Value for Lower<'_> {
    fn write(self, text: &mut Text) {
        let start = text.held.len();
        self.0.write(text);
        text.held[start..].make_ascii_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: impl Value, expected: &str) {
        let mut text = Text::new();
        text.set(value);
        assert_eq!(text.as_str(), expected);
    }

    #[test]
    fn values_are_printable_and_trimmed() {
        check(" a\r\nb\u{1b}[31m ", "a b [31m");
        check(b"pump\0rest".as_slice(), "pump");
        check(b"Stra\xdfe".as_slice(), "Straße");
        check("Straße".as_bytes(), "Straße");
        check("left\u{202e}right", "left right");
        check(Utf16Le(b"W\0S\x000\x001\0\0\0x\0"), "WS01");
        check(Hex(&[0, 0xab]), "00ab");
        check(Lower(b"WWW.Example.ORG"), "www.example.org");
        check(
            format_args!("model={}", Printable(b"Plum A+\0\0")),
            "model=Plum A+",
        );
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let mut text = Text::new();
        assert!(text.set("é".repeat(VALUE_MAX).as_str()));
        assert!(text.was_cut());
        assert_eq!(text.as_str().len(), VALUE_MAX);
        assert!(text.set(vec![b'a'; 1 << 20].as_slice()));
        assert_eq!(text.as_str().len(), VALUE_MAX);
        assert!(text.set("é".repeat(VALUE_MAX * 3).as_bytes()));
        assert!(text.as_str().chars().all(|c| c == 'é'));
        assert!(!text.set("\0\r\n "));
    }
}
