//! Where a browser goes back to after a ceremony: always a place on the same host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest return path kept; a longer one leads to `/`.
pub const RETURN_PATH_LEN_MAX: usize = 4096;

/// A path with query on the application's own host. It cannot name another host, whatever a browser makes of it.
///
/// One slash in front; in the path no `//`, no `.` or `..` segment and no encoded form of either; nowhere `\`, `#`,
/// white space, control characters or anything outside ASCII; not below `/.asepsis`, which is ours.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnPath(String);

impl ReturnPath {
    /// Checks what a client or a request named as the place to return to.
    pub fn parse(text: &str) -> Result<Self, UnsafeReturn> {
        check(text).map(|()| Self(text.to_owned()))
    }

    /// The same, but `/` for what is not safe to return to.
    pub fn or_root(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self::root())
    }

    /// The application's front page.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Path and query, beginning with one slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Path and query.
    pub fn into_string(self) -> String {
        self.0
    }
}

// A path may name a patient (`/fhir/Patient/17`), so that it never prints itself into a log.
impl fmt::Debug for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReturnPath(…)")
    }
}

impl TryFrom<String> for ReturnPath {
    type Error = UnsafeReturn;

    fn try_from(text: String) -> Result<Self, UnsafeReturn> {
        Self::parse(&text)
    }
}

impl From<ReturnPath> for String {
    fn from(path: ReturnPath) -> Self {
        path.0
    }
}

/// Why a text is no place to return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeReturn {
    /// It does not begin with exactly one slash, so that it may name a scheme or another host.
    #[error("return path does not begin with exactly one `/`")]
    NotRelative,
    /// A character or an encoding that browsers and servers read in different ways.
    #[error("return path holds a character that is not allowed there")]
    Character,
    /// An empty, `.` or `..` segment.
    #[error("return path holds an empty, `.` or `..` segment")]
    Segment,
    /// Below `/.asepsis`.
    #[error("return path lies below `/.asepsis`")]
    Reserved,
    /// Longer than [`RETURN_PATH_LEN_MAX`].
    #[error("return path is longer than {RETURN_PATH_LEN_MAX} bytes")]
    TooLong,
}

fn check(text: &str) -> Result<(), UnsafeReturn> {
    if text.len() > RETURN_PATH_LEN_MAX {
        return Err(UnsafeReturn::TooLong);
    }
    if !text.starts_with('/') || text.starts_with("//") || text.starts_with("/\\") {
        return Err(UnsafeReturn::NotRelative);
    }
    // Browsers drop tabs and line breaks before they parse, and read `\` as `/`: neither may occur anywhere.
    if text
        .bytes()
        .any(|b| !b.is_ascii_graphic() || matches!(b, b'\\' | b'#'))
    {
        return Err(UnsafeReturn::Character);
    }
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let lower = path.to_ascii_lowercase();
    if encoded_control_or_separator(&lower) {
        return Err(UnsafeReturn::Character);
    }
    let plain = lower.replace("%2e", ".");
    let mut segments = plain[1..].split('/').peekable();
    let first = segments.peek().copied().unwrap_or_default();
    if first == ".asepsis" {
        return Err(UnsafeReturn::Reserved);
    }
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
            return Err(UnsafeReturn::Segment);
        }
    }
    Ok(())
}

/// Whether a path in lower case holds `%2f`, `%5c`, a control character, or a `%` that encodes nothing.
fn encoded_control_or_separator(path: &str) -> bool {
    let bytes = path.as_bytes();
    let hex = |b: &u8| char::from(*b).to_digit(16);
    bytes.iter().enumerate().any(|(i, b)| {
        *b == b'%'
            && match (
                bytes.get(i + 1).and_then(hex),
                bytes.get(i + 2).and_then(hex),
            ) {
                (Some(high), Some(low)) => {
                    matches!(high * 16 + low, 0..=0x1f | 0x7f | 0x2f | 0x5c | 0x25)
                }
                _ => true,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_the_same_host_are_kept() {
        for text in [
            "/",
            "/chart",
            "/chart/",
            "/fhir/Patient/17?_include=a&url=http%3A%2F%2Fx//y",
            "/a%20b/c",
            "/@evil.example",
            "/.well-known/x",
            "/x?next=//evil.example",
        ] {
            assert_eq!(
                ReturnPath::parse(text).map(ReturnPath::into_string),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn open_redirects_are_refused() {
        for text in [
            "",
            "chart",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "user@evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/x\r\nLocation: https://evil.example",
            " /x",
            "/x y",
            "/a//evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/../b",
            "/%2e%2e/b",
            "/%2E/b",
            "/%2f/evil.example",
            "/%5Cevil.example",
            "/%5c%5cevil.example",
            "/%09/evil.example",
            "/%252f/evil.example",
            "/%zz",
            "/x%",
            "/x#y",
            "/\u{2215}evil.example",
            "/\u{ff0f}evil.example",
            "/.asepsis/callback?code=x",
            "/.ASEPSIS/sign-out",
            "/%2easepsis/sign-out",
        ] {
            assert!(ReturnPath::parse(text).is_err(), "{text:?}");
            assert_eq!(ReturnPath::or_root(text).as_str(), "/");
        }
        assert_eq!(
            ReturnPath::parse(&format!("/{}", "a".repeat(RETURN_PATH_LEN_MAX))),
            Err(UnsafeReturn::TooLong)
        );
    }

    #[test]
    fn debug_shows_no_path() {
        assert_eq!(
            format!("{:?}", ReturnPath::or_root("/Patient/17")),
            "ReturnPath(…)"
        );
    }
}
