//! Versions of anything: compared as far as they can be, and no further.
//!
//! There is no one scheme. A version is split into runs of digits and runs of letters; digits compare as numbers,
//! letters as text, and a letter after a number comes later than its absence, unless it names a version before the
//! release (`1.0.2k` > `1.0.2`, `2.0rc1` < `2.0`). Two versions whose schemes differ (`A.01` and `3.2`) do not compare.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bound {
    /// The version.
    pub version: SmolStr,
    /// Whether the version itself lies in the range.
    pub included: bool,
}

/// Versions from one to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionRange {
    /// Where it begins; absent: at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Bound>,
    /// Where it ends; absent: at the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Bound>,
}

impl VersionRange {
    /// Every version.
    pub const ALL: Self = Self {
        from: None,
        to: None,
    };

    /// Exactly one version.
    pub fn exactly(version: &str) -> Self {
        let bound = Bound {
            version: version.into(),
            included: true,
        };
        Self {
            from: Some(bound.clone()),
            to: Some(bound),
        }
    }

    /// Everything before `version`.
    pub fn before(version: &str) -> Self {
        Self {
            from: None,
            to: Some(Bound {
                version: version.into(),
                included: false,
            }),
        }
    }

    /// Everything up to `version` and itself.
    pub fn up_to(version: &str) -> Self {
        Self {
            from: None,
            to: Some(Bound {
                version: version.into(),
                included: true,
            }),
        }
    }

    /// Whether `version` lies in the range. `None`: cannot be told, because the schemes differ or because `version`
    /// is coarser than the bound (`10.0.19045` says nothing about `10.0.19045.3448`).
    pub fn contains(&self, version: &str) -> Option<bool> {
        let from = match &self.from {
            None => Some(true),
            Some(bound) => side(version, bound, Ordering::Greater),
        };
        let to = match &self.to {
            None => Some(true),
            Some(bound) => side(version, bound, Ordering::Less),
        };
        match (from, to) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// Reads `<1.2`, `<=1.2`, `>=1|<2` (the `vers:` scheme of CSAF, with or without its prefix) or a bare version.
    /// `None` where the range has a hole (`!=`) or where the text is not one of these.
    pub fn parse(text: &str) -> Option<Vec<Self>> {
        let text = text.trim();
        let text = match text.strip_prefix("vers:") {
            Some(rest) => rest.split_once('/').map_or(rest, |(_, range)| range),
            None => text,
        };
        if matches!(text, "*" | "vers:all/*") {
            return Some(vec![Self::ALL]);
        }
        let mut out: Vec<Self> = Vec::new();
        let mut open: Option<Bound> = None;
        for part in text.split('|').map(str::trim).filter(|p| !p.is_empty()) {
            let (operator, version) = operator(part)?;
            match operator {
                ">" | ">=" => {
                    if let Some(from) = open.take() {
                        out.push(Self {
                            from: Some(from),
                            to: None,
                        });
                    }
                    open = Some(Bound {
                        version: version.into(),
                        included: operator == ">=",
                    });
                }
                "<" | "<=" => out.push(Self {
                    from: open.take(),
                    to: Some(Bound {
                        version: version.into(),
                        included: operator == "<=",
                    }),
                }),
                // A hole in a range is not one range; better not to read it than to read it wrong.
                "!=" => return None,
                _ => out.push(Self::exactly(version)),
            }
        }
        if let Some(from) = open {
            out.push(Self {
                from: Some(from),
                to: None,
            });
        }
        (!out.is_empty()).then_some(out)
    }

    /// As [`Self::parse`], and the words people write instead: `3.2 and earlier`, `prior to 3.2`, `all versions`,
    /// `2.0 through 2.4`.
    pub fn from_words(text: &str) -> Option<Vec<Self>> {
        if let Some(ranges) = Self::parse(text) {
            return Some(ranges);
        }
        let lower = text.trim().to_ascii_lowercase();
        let lower = lower.trim_end_matches('.');
        if matches!(lower, "all" | "all versions" | "any" | "any version") {
            return Some(vec![Self::ALL]);
        }
        let version = |part: &str| {
            let part = part.trim();
            let part = ["versions", "version", "release", "firmware", "all"]
                .iter()
                .find_map(|w| part.strip_prefix(w))
                .unwrap_or(part)
                .trim();
            operator(part)
                .filter(|(op, _)| op.is_empty())
                .map(|(_, v)| SmolStr::new(v))
        };
        for tail in [
            " and earlier",
            " and prior",
            " and below",
            " and lower",
            " or earlier",
            " or prior",
            " or lower",
            " and older",
            " and all prior versions",
            " and prior versions",
            " and earlier versions",
        ] {
            if let Some(head) = lower.strip_suffix(tail) {
                return version(head).map(|v| vec![Self::up_to(&v)]);
            }
        }
        for (head, included) in [
            ("prior to ", false),
            ("before ", false),
            ("up to and including ", true),
            ("up to ", true),
        ] {
            let rest = ["all versions ", "versions ", "all ", ""]
                .iter()
                .find_map(|w| lower.strip_prefix(w).and_then(|r| r.strip_prefix(head)));
            if let Some(rest) = rest {
                return version(rest).map(|v| {
                    vec![if included {
                        Self::up_to(&v)
                    } else {
                        Self::before(&v)
                    }]
                });
            }
        }
        for joint in [" through ", " to ", " thru "] {
            if let Some((first, last)) = lower.split_once(joint) {
                let (first, last) = (version(first)?, version(last)?);
                return Some(vec![Self {
                    from: Some(Bound {
                        version: first,
                        included: true,
                    }),
                    to: Some(Bound {
                        version: last,
                        included: true,
                    }),
                }]);
            }
        }
        version(lower).map(|v| vec![Self::exactly(&v)])
    }
}

/// Splits `<= 1.2` into operator and version; a version must hold a digit and no blank.
fn operator(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !matches!(c, '<' | '>' | '=' | '!' | '≤' | '≥'))
        .unwrap_or(text.len());
    let operator = match &text[..end] {
        "≤" => "<=",
        "≥" => ">=",
        "==" => "=",
        other => other,
    };
    let version = text[end..].trim();
    let version = version
        .strip_prefix(['v', 'V'])
        .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(version);
    let plain = version.len() <= 64
        && version.bytes().any(|b| b.is_ascii_digit())
        && !version.contains(char::is_whitespace);
    (plain && matches!(operator, "" | "=" | "<" | "<=" | ">" | ">=" | "!="))
        .then_some((operator, version))
}

/// Whether `version` is on the `wanted` side of the bound, or on it if included.
fn side(version: &str, bound: &Bound, wanted: Ordering) -> Option<bool> {
    match compare(version, &bound.version) {
        Some(Ordering::Equal) => Some(bound.included),
        // Within the same release as far as it is known; only the unknown rest would tell.
        Some(_) if coarser(version, &bound.version) => None,
        Some(order) => Some(order == wanted),
        None => None,
    }
}

/// Whether every part of `version` equals the beginning of `bound`, which goes on with a number that is not zero.
fn coarser(version: &str, bound: &str) -> bool {
    let mine: Vec<Piece<'_>> = pieces(version).collect();
    let theirs: Vec<Piece<'_>> = pieces(bound).collect();
    mine.len() < theirs.len()
        && mine.iter().zip(&theirs).all(|(a, b)| a == b)
        && theirs[mine.len()..]
            .iter()
            .any(|p| !matches!(p, Piece::Number(n) if n.bytes().all(|b| b == b'0')))
        && matches!(theirs[mine.len()], Piece::Number(_))
}

#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Number(&'a str),
    Word(&'a str),
}

impl PartialEq for Piece<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                a.trim_start_matches('0') == b.trim_start_matches('0')
            }
            (Self::Word(a), Self::Word(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text.trim();
    // `v1.2` and `1.2` are one version.
    if let Some(tail) = rest.strip_prefix(['v', 'V'])
        && tail.starts_with(|c: char| c.is_ascii_digit())
    {
        rest = tail;
    }
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let first = rest.chars().next()?;
        let number = first.is_ascii_digit();
        let end = rest
            .find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != number)
            .unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(if number {
            Piece::Number(piece)
        } else {
            Piece::Word(piece)
        })
    })
    .take(32)
}

/// Words that come before the release they name.
fn before_release(word: &str) -> bool {
    [
        "alpha", "beta", "rc", "pre", "preview", "dev", "snapshot", "m",
    ]
    .iter()
    .any(|w| w.eq_ignore_ascii_case(word))
}

/// Compares two versions; `None` where their schemes differ or one holds nothing to compare.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (mut left, mut right) = (pieces(a), pieces(b));
    let mut any = false;
    loop {
        match (left.next(), right.next()) {
            (None, None) => return any.then_some(Ordering::Equal),
            (Some(Piece::Number(x)), Some(Piece::Number(y))) => {
                let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return Some(order);
                }
            }
            (Some(Piece::Word(x)), Some(Piece::Word(y))) => {
                let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
                if order != Ordering::Equal {
                    // `A.01` and `B.00` of one maker compare; `revision` and `build` do not.
                    let comparable =
                        (x.len() <= 2 && y.len() <= 2) || before_release(x) || before_release(y);
                    return comparable.then(|| match (before_release(x), before_release(y)) {
                        (true, false) => Ordering::Less,
                        (false, true) => Ordering::Greater,
                        _ => order,
                    });
                }
            }
            // A number against a word at the same place: `2.0.1` against `2.0rc1`, else two schemes.
            (Some(Piece::Number(_)), Some(Piece::Word(y))) => {
                return (any && before_release(y)).then_some(Ordering::Greater);
            }
            (Some(Piece::Word(x)), Some(Piece::Number(_))) => {
                return (any && before_release(x)).then_some(Ordering::Less);
            }
            (Some(piece), None) => return any.then(|| longer(piece, &mut left)),
            (None, Some(piece)) => return any.then(|| longer(piece, &mut right).reverse()),
        }
        any = true;
    }
}

/// How a version with more pieces stands to the one it goes on from.
fn longer<'a>(first: Piece<'a>, rest: &mut impl Iterator<Item = Piece<'a>>) -> Ordering {
    for piece in std::iter::once(first).chain(rest) {
        match piece {
            Piece::Number(n) if n.bytes().all(|b| b == b'0') => {}
            Piece::Number(_) => return Ordering::Greater,
            Piece::Word(w) if before_release(w) => return Ordering::Less,
            Piece::Word(_) => return Ordering::Greater,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_compare_as_people_expect() {
        for (a, b) in [
            ("1.9", "1.10"),
            ("1.0.2", "1.0.2k"),
            ("1.0.2f", "1.0.2k"),
            ("2.0rc1", "2.0"),
            ("2.0rc1", "2.0.1"),
            ("10.0.19044", "10.0.19045.3448"),
            ("A.01.05", "B.00.01"),
            ("v3.2", "3.3"),
            ("6.1.7601", "10.0"),
        ] {
            assert_eq!(compare(a, b), Some(Ordering::Less), "{a} {b}");
            assert_eq!(compare(b, a), Some(Ordering::Greater), "{b} {a}");
        }
        assert_eq!(compare("1.2", "1.2.0"), Some(Ordering::Equal));
        assert_eq!(compare("1.02", "v1.2"), Some(Ordering::Equal));
        for (a, b) in [("A.01", "3.2"), ("", "1"), ("build 7", "revision 7")] {
            assert_eq!(compare(a, b), None, "{a} {b}");
        }
    }

    #[test]
    fn a_coarser_version_decides_nothing_inside_its_release() {
        let range = VersionRange::before("10.0.19045.3448");
        assert_eq!(range.contains("10.0.19045"), None);
        assert_eq!(range.contains("10.0.19045.3447"), Some(true));
        assert_eq!(range.contains("10.0.19045.3448"), Some(false));
        assert_eq!(range.contains("10.0.19044"), Some(true));
        assert_eq!(range.contains("10.0.19046"), Some(false));
        assert_eq!(VersionRange::up_to("8.1.0").contains("8.1"), Some(true));
    }

    #[test]
    fn ranges_read_from_text() {
        let ranges = VersionRange::parse("vers:generic/>=2021.5|<2024.7").expect("two bounds");
        assert_eq!(ranges.len(), 1);
        assert_eq!(ranges[0].contains("2023.1"), Some(true));
        assert_eq!(ranges[0].contains("2024.7"), Some(false));
        assert_eq!(VersionRange::parse("< 3.2").expect("one").len(), 1);
        assert_eq!(
            VersionRange::parse("V4.1"),
            Some(vec![VersionRange::exactly("4.1")])
        );
        assert_eq!(VersionRange::parse("*"), Some(vec![VersionRange::ALL]));
        for text in ["", "all versions", "<", "see below", ">>1"] {
            assert_eq!(VersionRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_read_from_the_words_people_write() {
        for (text, inside, outside) in [
            ("15.10 and earlier", "15.10", "15.11"),
            ("prior to 3.2", "3.1.9", "3.2"),
            ("All versions prior to 3.2", "3.1.9", "3.2"),
            ("2.0 through 2.4", "2.4", "2.5"),
            ("Version 1.4", "1.4", "1.5"),
            ("< 9.1.5", "9.1.4", "9.1.5"),
        ] {
            let ranges = VersionRange::from_words(text)
                .unwrap_or_else(|| VersionRange::parse("99").expect("valid"));
            assert!(
                ranges.iter().any(|r| r.contains(inside) == Some(true)),
                "{text}"
            );
            assert!(
                ranges.iter().all(|r| r.contains(outside) == Some(false)),
                "{text}"
            );
        }
        assert_eq!(
            VersionRange::from_words("all versions"),
            Some(vec![VersionRange::ALL])
        );
        assert_eq!(VersionRange::from_words("see the advisory"), None);
    }

    proptest! {
        #[test]
        fn comparing_is_total_and_antisymmetric(a in ".{0,24}", b in "[0-9a-zA-Z.+-]{0,16}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).map(Ordering::reverse));
            prop_assert!(matches!(compare(&a, &a), None | Some(Ordering::Equal)));
            let _ = VersionRange::from_words(&a);
        }
    }
}
