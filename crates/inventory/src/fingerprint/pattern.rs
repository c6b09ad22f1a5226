//! Patterns: from a fingerprint's text to a compiled expression, and to the letters it cannot match without.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::COMPILED_BYTES_MAX;

/// Fewest octets of a piece of text worth searching for.
const PIECE_MIN: usize = 3;

/// Most alternatives of which one must occur.
const PIECES_MAX: usize = 32;

/// Deepest nesting of a pattern.
const NESTING_MAX: u32 = 64;

/// What recog's `flags` ask for. `^` and `$` stand at lines in any case, as in Ruby, recog's own engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// Letters match in either case.
    pub(super) ignore_case: bool,
    /// `.` matches the end of a line too (Ruby's multi-line mode).
    pub(super) dot_newline: bool,
}

impl Flags {
    /// Reads `REG_ICASE,REG_DOT_NEWLINE`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut flags = Self::default();
        for flag in text.split(['|', ',']).map(str::trim) {
            match flag {
                "" => {}
                "REG_ICASE" => flags.ignore_case = true,
                "REG_DOT_NEWLINE" | "REG_MULTILINE" | "REG_LINE_ANY_CRLF" => {
                    flags.dot_newline = true;
                }
                other => {
                    return Err(format!(
                        "unknown flag `{other}`: use `REG_ICASE`, `REG_DOT_NEWLINE` or `REG_MULTILINE`"
                    ));
                }
            }
        }
        Ok(flags)
    }
}

/// What a class or `.` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// One octet, as in a banner that is no text.
    Octet,
    /// One character, as in text beyond ASCII.
    Character,
}

/// Compiles a pattern.
pub(super) fn compile(pattern: &str, flags: Flags, by: By) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .multi_line(true)
        .case_insensitive(flags.ignore_case)
        .dot_matches_new_line(flags.dot_newline)
        .unicode(by == By::Character)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|why| why.to_string())
}

/// Pieces of text, in lower case, of which at least one occurs in whatever the pattern matches; `None`: none known.
pub(super) fn pieces(pattern: &str, flags: Flags) -> Option<Vec<Vec<u8>>> {
    let parse = |unicode: bool| {
        ParserBuilder::new()
            .multi_line(true)
            .case_insensitive(flags.ignore_case)
            .dot_matches_new_line(flags.dot_newline)
            .unicode(unicode)
            .utf8(false)
            .nest_limit(NESTING_MAX)
            .build()
            .parse(pattern)
            .ok()
    };
    let hir = parse(false).or_else(|| parse(true))?;
    needed(&hir).filter(|pieces| good(pieces))
}

fn good(pieces: &[Vec<u8>]) -> bool {
    !pieces.is_empty()
        && pieces.len() <= PIECES_MAX
        && pieces.iter().all(|piece| piece.len() >= PIECE_MIN)
}

/// Longer pieces are better, then fewer of them.
fn worth(pieces: &[Vec<u8>]) -> (usize, std::cmp::Reverse<usize>) {
    (
        pieces.iter().map(Vec::len).min().unwrap_or(0),
        std::cmp::Reverse(pieces.len()),
    )
}

fn needed(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => {
            let mut run = Vec::new();
            extend(hir, &mut run).then(|| vec![run])
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<Vec<u8>>> = None;
            let mut offer = |pieces: Vec<Vec<u8>>| {
                if best.as_ref().is_none_or(|old| worth(&pieces) > worth(old)) {
                    best = Some(pieces);
                }
            };
            let mut run = Vec::new();
            for part in parts {
                if extend(part, &mut run) {
                    continue;
                }
                if !run.is_empty() {
                    offer(vec![std::mem::take(&mut run)]);
                }
                if let Some(pieces) = needed(part) {
                    offer(pieces);
                }
            }
            if !run.is_empty() {
                offer(vec![run]);
            }
            best
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(needed(branch)?);
                if all.len() > PIECES_MAX {
                    return None;
                }
            }
            all.sort_unstable();
            all.dedup();
            Some(all)
        }
    }
}

/// Adds what one part always is, if it always is the same text up to case.
fn extend(hir: &Hir, run: &mut Vec<u8>) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => {
            run.extend(literal.0.iter().map(u8::to_ascii_lowercase));
            true
        }
        HirKind::Class(class) => match letter(class) {
            Some(octet) => {
                run.push(octet);
                true
            }
            None => false,
        },
        HirKind::Capture(capture) => extend(&capture.sub, run),
        _ => false,
    }
}

/// The ASCII letter whose two cases are all of a class.
fn letter(class: &Class) -> Option<u8> {
    let of = |ranges: &[(u32, u32)]| match ranges {
        [(a, b), (c, d)] if a == b && c == d => {
            let (upper, lower) = (u8::try_from(*a).ok()?, u8::try_from(*c).ok()?);
            (upper.is_ascii_uppercase() && upper.to_ascii_lowercase() == lower).then_some(lower)
        }
        _ => None,
    };
    match class {
        Class::Bytes(class) => of(&class
            .ranges()
            .iter()
            .take(3)
            .map(|r| (u32::from(r.start()), u32::from(r.end())))
            .collect::<Vec<_>>()),
        Class::Unicode(class) => of(&class
            .ranges()
            .iter()
            .take(3)
            .map(|r| (u32::from(r.start()), u32::from(r.end())))
            .collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, flags: &str, expected: Option<&[&str]>) {
        let found = pieces(pattern, Flags::parse(flags).expect("known flags"));
        let found = found.map(|pieces| {
            pieces
                .iter()
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(
            found.as_deref(),
            expected
                .map(|pieces| pieces.iter().map(|&p| p.to_owned()).collect::<Vec<_>>())
                .as_deref(),
            "{pattern}"
        );
    }

    #[test]
    fn a_pattern_tells_what_it_cannot_match_without() {
        check(r"^Apache/(\d+)", "", Some(&["apache/"]));
        check("^apache", "REG_ICASE", Some(&["apache"]));
        check("(?i)^ABC[0-9]+defgh$", "", Some(&["defgh"]));
        check("foobar|bazqux", "", Some(&["bazqux", "foobar"]));
        check("foo(?:bar)?", "", Some(&["foo"]));
        check("foobar|b", "", None);
        check(r"^\d+$", "", None);
        check("(?:printer)+", "", Some(&["printer"]));
    }

    #[test]
    fn a_pattern_that_would_take_too_much_room_is_refused() {
        assert!(compile(r"(?:\w{1000}){1000}", Flags::default(), By::Octet).is_err());
        assert!(compile("(", Flags::default(), By::Octet).is_err());
        let deep = "(".repeat(500) + &")".repeat(500);
        assert!(compile(&deep, Flags::default(), By::Octet).is_err());
        assert!(pieces(&deep, Flags::default()).is_none());
    }

    #[test]
    fn lines_begin_and_end_as_in_ruby() {
        let regex = compile("^two$", Flags::default(), By::Octet).expect("a pattern");
        assert!(regex.is_match(b"one\ntwo\nthree"));
    }
}
