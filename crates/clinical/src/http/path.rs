//! The canonical path.

use super::Ambiguous;

/// Bytes of a path.
const PATH_MAX: usize = 8 << 10;

/// Characters that some systems fold into `/`, `\` or `.`.
const LOOKALIKES: &[char] = &[
    '\u{2024}', '\u{2044}', '\u{2215}', '\u{2216}', '\u{29f8}', '\u{29f9}', '\u{fe52}', '\u{fe68}',
    '\u{ff0e}', '\u{ff0f}', '\u{ff1b}', '\u{ff3c}',
];

/// Brings a path into canonical form; one that is canonical comes back as it is.
pub fn canonical(path: &str) -> Result<String, Ambiguous> {
    let bad = |code| Err(Ambiguous::new(400, code));
    if path.len() > PATH_MAX {
        return Err(Ambiguous::new(414, "path-too-long"));
    }
    let Some(rest) = path.strip_prefix('/') else {
        return bad("request-target");
    };
    if is_plain(rest) {
        return Ok(path.to_owned());
    }
    rewritten(path, rest)
}

/// Whether the path behind the first slash is canonical at first sight, as most are.
fn is_plain(rest: &str) -> bool {
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let empty = segment.is_empty() && segments.peek().is_some();
        if empty || segment == "." || segment == ".." {
            return false;
        }
        if !segment.bytes().all(|byte| is_literal(byte, false)) {
            return false;
        }
    }
    true
}

fn rewritten(path: &str, rest: &str) -> Result<String, Ambiguous> {
    let bad = |code| Err(Ambiguous::new(400, code));
    let mut out = String::with_capacity(path.len());
    let mut segments = rest.split('/').peekable();
    let mut decoded = Vec::new();
    while let Some(segment) = segments.next() {
        out.push('/');
        if segment.is_empty() && segments.peek().is_some() {
            return bad("path-empty-segment");
        }
        decoded.clear();
        let bytes = segment.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (byte, encoded) = match bytes[at] {
                b'%' => match decode(bytes, at) {
                    Some(byte) => {
                        at += 3;
                        (byte, true)
                    }
                    None => return bad("path-encoding"),
                },
                byte => {
                    at += 1;
                    (byte, false)
                }
            };
            match byte {
                b'/' => return bad("path-encoded-slash"),
                b'\\' => return bad("path-backslash"),
                0 => return bad("path-nul"),
                0x01..=0x1f | 0x7f => return bad("path-control-character"),
                b';' => return bad("path-parameter"),
                b'#' | b'?' | b' ' | 0x80.. if !encoded => return bad("path-character"),
                _ => {}
            }
            decoded.push(byte);
            write(&mut out, byte, encoded);
        }
        let twice = |w: &[u8]| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit();
        if decoded.windows(3).any(twice) {
            return bad("path-double-encoding");
        }
        // Overlong forms (`%c0%ae`) and other bytes that are no text are read differently by each server.
        let Ok(text) = std::str::from_utf8(&decoded) else {
            return bad("path-not-utf-8");
        };
        if text == "." || text == ".." {
            return bad("path-dot-segment");
        }
        if text.contains(LOOKALIKES) {
            return bad("path-lookalike");
        }
    }
    Ok(out)
}

/// The byte that the triplet at `at` stands for.
pub(crate) fn decode(bytes: &[u8], at: usize) -> Option<u8> {
    if bytes.get(at) != Some(&b'%') {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let high = digit(*bytes.get(at + 1)?)?;
    let low = digit(*bytes.get(at + 2)?)?;
    u8::try_from(high << 4 | low).ok()
}

/// Whether a byte of a segment stands for itself: `pchar` of RFC 3986 without `;`. An encoded `+` stays encoded, for
/// those who read `+` as a blank.
fn is_literal(byte: u8, encoded: bool) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b','
                | b'='
                | b':'
                | b'@'
        )
        || (byte == b'+' && !encoded)
}

fn write(out: &mut String, byte: u8, encoded: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_literal(byte, encoded) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_plain_at_first_sight_is_not_rewritten(rest in "([a-z.%;+ ]{0,3}/){0,3}[a-z.%;+é]{0,3}") {
            let path = format!("/{rest}");
            if is_plain(&rest) {
                prop_assert_eq!(rewritten(&path, &rest), Ok(path.clone()));
            }
        }
    }
}
