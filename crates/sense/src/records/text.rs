//! Text files as they come: UTF-8 with or without its mark, UTF-16 of either order, Windows-1252, any end of line.
//!
//! [`Decoder`] makes UTF-8 of UTF-16; what is not UTF-16 passes as it is, because 8-bit encodings are told apart line
//! by line: a line that is no UTF-8 is read as Windows-1252 ([`utf8`]), which every octet has a meaning in.

use std::borrow::Cow;

use super::LINE_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Bytes,
    Utf16 { little: bool },
}

/// From the octets of a file to octets of UTF-8 or another superset of ASCII.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    encoding: Option<Encoding>,
    /// Octets that wait for the next piece: half a unit, or half a pair of surrogates.
    held: Vec<u8>,
}

impl Decoder {
    /// The next piece. The first one has to be long enough to show the encoding: 16 octets, if the file has them.
    pub(crate) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let (encoding, mark) = match self.encoding {
            Some(encoding) => (encoding, 0),
            None => {
                let (encoding, mark) = judge(bytes);
                self.encoding = Some(encoding);
                (encoding, mark)
            }
        };
        let bytes = bytes.get(mark..).unwrap_or_default();
        match encoding {
            Encoding::Bytes => Cow::Borrowed(bytes),
            Encoding::Utf16 { little } => Cow::Owned(self.utf16(bytes, little)),
        }
    }

    fn utf16(&mut self, bytes: &[u8], little: bool) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut units: Vec<u16> = all
            .chunks_exact(2)
            .map(|pair| match little {
                true => u16::from_le_bytes([pair[0], pair[1]]),
                false => u16::from_be_bytes([pair[0], pair[1]]),
            })
            .collect();
        let mut rest = all.len() - all.len() % 2;
        // A high surrogate at the end waits for its partner.
        if units
            .last()
            .is_some_and(|unit| (0xd800..0xdc00).contains(unit))
        {
            units.pop();
            rest -= 2;
        }
        self.held = all.split_off(rest);
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into_bytes()
    }
}

/// The encoding that the beginning shows, and how many octets its mark takes.
fn judge(bytes: &[u8]) -> (Encoding, usize) {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Bytes, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16 { little: true }, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16 { little: false }, 2),
        _ => {
            // Without a mark, ASCII in UTF-16 has a zero in every other octet.
            let sample = bytes.get(..bytes.len().min(512)).unwrap_or_default();
            let zeros = |first: usize| {
                let octets = sample.iter().skip(first).step_by(2);
                let (all, zero) = octets.fold((0, 0), |(all, zero), b| {
                    (all + 1, zero + usize::from(*b == 0))
                });
                all >= 4 && zero * 10 >= all * 9
            };
            match (zeros(0), zeros(1)) {
                (false, true) => (Encoding::Utf16 { little: true }, 0),
                (true, false) => (Encoding::Utf16 { little: false }, 0),
                _ => (Encoding::Bytes, 0),
            }
        }
    }
}

/// A line or a field as text: UTF-8, else Windows-1252.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|b| windows_1252(*b)).collect()),
    }
}

/// Windows-1252 as browsers read it (WHATWG Encoding, index windows-1252): 0x80 to 0x9f differ from ISO 8859-1.
const fn windows_1252(octet: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match octet {
        0x80..=0x9f => HIGH[(octet - 0x80) as usize],
        _ => octet as char,
    }
}

/// One line, without its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its octets.
    pub(crate) text: &'a [u8],
    /// Whether it was longer than [`LINE_MAX`]; its text is then absent.
    pub(crate) cut: bool,
}

/// Cuts pieces into lines; ends are LF, CR LF, or CR before LF is ever seen.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    skipping: bool,
    number: u64,
}

impl Lines {
    /// Takes the next piece and gives its whole lines away.
    pub(crate) fn push(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.skipping || self.held.len() + line.len() > LINE_MAX {
                self.held.clear();
                self.skipping = false;
                self.give(&[], true, take);
            } else if self.held.is_empty() {
                self.give(line, false, take);
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(line);
                self.give(&held, false, take);
                held.clear();
                self.held = held;
            }
        }
        if self.skipping {
            return;
        }
        if self.held.len() + bytes.len() > LINE_MAX {
            self.held = Vec::new();
            self.skipping = true;
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The last line, when it has no end.
    pub(crate) fn finish(&mut self, take: &mut dyn FnMut(Line<'_>)) {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.skipping) {
            self.give(&[], true, take);
        } else if !held.is_empty() {
            self.give(&held, false, take);
        }
    }

    fn give(&mut self, text: &[u8], cut: bool, take: &mut dyn FnMut(Line<'_>)) {
        self.number += 1;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        take(Line {
            number: self.number,
            text,
            cut,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut decoder, mut lines, mut out) = (Decoder::default(), Lines::default(), Vec::new());
        for piece in pieces {
            let decoded = decoder.decode(piece);
            lines.push(&decoded, &mut |line| out.push(utf8(line.text).into_owned()));
        }
        lines.finish(&mut |line| out.push(utf8(line.text).into_owned()));
        out
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| {
                if little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            })
            .collect()
    }

    #[test]
    fn every_encoding_gives_the_same_lines() {
        let text = "Gerät,Wert\r\nPumpe,€5\r\nletzte";
        let expected = ["Gerät,Wert", "Pumpe,€5", "letzte"];
        let marked = |mark: &[u8], body: Vec<u8>| [mark, &body].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(&[0xef, 0xbb, 0xbf], text.as_bytes().to_vec()),
            marked(&[0xff, 0xfe], utf16(text, true)),
            marked(&[0xfe, 0xff], utf16(text, false)),
            utf16(&text.replace('€', "e"), true),
            b"Ger\xe4t,Wert\r\nPumpe,\x805\r\nletzte".to_vec(),
        ] {
            let found = lines(&[&bytes]);
            assert_eq!(found.len(), 3);
            assert_eq!(found[0], expected[0]);
            assert_eq!(found[2], expected[2]);
            // Cut anywhere after what the encoding shows in, the lines are the same.
            for cut in 16..bytes.len() {
                let (a, b) = bytes.split_at(cut);
                assert_eq!(lines(&[a, b]), found, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_skipped_and_the_next_is_read() {
        let mut bytes = vec![b'x'; LINE_MAX + 1];
        bytes.extend_from_slice(b"\nnext\n");
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in bytes.chunks(70_000) {
            lines.push(piece, &mut |line| {
                out.push((line.number, line.cut, line.text.to_vec()))
            });
            assert!(lines.held.capacity() <= 2 * LINE_MAX);
        }
        assert_eq!(out, [(1, true, vec![]), (2, false, b"next".to_vec())]);
    }
}
