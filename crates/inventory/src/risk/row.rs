//! The compact rows that feeds are read into, and that the store keeps.

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::version::VersionRange;

/// Longest title or sentence kept of a row, in octets.
pub(crate) const TEXT_MAX: usize = 240;
/// Longest name of a vendor, product or component, in octets.
pub(crate) const NAME_MAX: usize = 120;
/// Most products kept of one vulnerability.
pub(crate) const AFFECTED_MAX: usize = 512;
/// Most version ranges kept of one product in one vulnerability.
pub(crate) const RANGES_MAX: usize = 256;
/// Most components kept of one bill of materials.
pub(crate) const COMPONENTS_MAX: usize = 20_000;
/// Most serial numbers or device identifiers kept of one recall.
pub(crate) const CODES_MAX: usize = 5_000;

/// One row of a feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub enum Row {
    /// A vulnerability, and the products it is said to be in.
    Vulnerability(Vulnerability),
    /// A recall or correction of a medical device.
    Recall(Recall),
    /// A date after which a maker mends nothing.
    EndOfSupport(EndOfSupport),
    /// What a product is made of.
    Bill(Bill),
    /// What a maker discloses of a product's security.
    Disclosure(Disclosure),
}

/// What kind of thing a product name names; the first letter of a CPE.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Hardware (CPE `h`).
    Hardware,
    /// An operating system or firmware (CPE `o`).
    System,
    /// A program (CPE `a`).
    Program,
    /// Not stated.
    #[default]
    Unknown,
}

/// A product as a row names it, in the row's own spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    /// What kind of thing it is.
    #[serde(default)]
    pub part: Part,
    /// Who makes it; empty: not stated.
    #[serde(default)]
    pub vendor: SmolStr,
    /// What it is called.
    pub product: SmolStr,
}

/// A vulnerability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vulnerability {
    /// `CVE-…`, or the advisory's own identifier where it has none.
    pub id: SmolStr,
    /// Its title or the beginning of its description.
    #[serde(default)]
    pub title: SmolStr,
    /// Since when it is known to be exploited; absent: not known to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploited: Option<Timestamp>,
    /// CVSS base score, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<f32>,
    /// When it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
    /// What the maker or the list says to do, shortened.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub remedy: SmolStr,
    /// The products named.
    pub affects: Vec<Affected>,
    /// Whether more products or versions were named than are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A product in a vulnerability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Affected {
    /// The product.
    #[serde(flatten)]
    pub name: Name,
    /// Affected versions; a version in any of them is affected. Empty: see `versions_stated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<VersionRange>,
    /// Versions said *not* to be affected (fixed ones, or a maker's statement); they win over `ranges`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unaffected: Vec<VersionRange>,
    /// Whether the row says anything about versions: `false` with no ranges means "unknown which", `true` means "all".
    #[serde(default)]
    pub versions_stated: bool,
    /// What it has to run on or in for the vulnerability to exist (CPE configurations joined by AND); empty: anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Name>,
}

/// Which units a recall concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codes {
    /// Exactly the serial numbers and identifiers listed.
    Listed,
    /// All units.
    All,
    /// Ranges, lots or words that cannot be compared with a serial number.
    #[default]
    Open,
}

/// A recall.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Its number, such as `Z-0101-2026`.
    pub number: SmolStr,
    /// Who recalls.
    pub firm: SmolStr,
    /// The product, as described.
    pub product: SmolStr,
    /// Why, shortened.
    pub reason: SmolStr,
    /// Class, as `Class I`; empty: not stated.
    #[serde(default)]
    pub class: SmolStr,
    /// Whether it is over (terminated or completed).
    #[serde(default)]
    pub over: bool,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// Which units.
    pub codes: Codes,
    /// Serial numbers listed, upper case without punctuation, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<SmolStr>,
    /// UDI device identifiers (GTIN-14) listed, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_identifiers: Vec<SmolStr>,
}

/// A date after which a product gets no security fixes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndOfSupport {
    /// The product, as `Windows 7`.
    pub product: SmolStr,
    /// Other spellings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<SmolStr>,
    /// Versions as programs report them, each a prefix: `10.0.19045`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<SmolStr>,
    /// Last day of support.
    pub ends: Timestamp,
    /// Where the date is published.
    pub source: SmolStr,
    /// When the date does not hold, in words: a paid extension, another edition. Lowers the confidence.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub unless: SmolStr,
}

/// A bill of materials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// The product that it describes.
    #[serde(flatten)]
    pub name: Name,
    /// The product's version; empty: not stated.
    #[serde(default)]
    pub version: SmolStr,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Timestamp>,
    /// Its components.
    pub components: Vec<Component>,
    /// Vulnerabilities that its maker says do not matter in this product (VEX `not_affected`, `false_positive`, `resolved`), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_affected: Vec<SmolStr>,
}

/// A component of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its version; empty: not stated.
    #[serde(default)]
    pub version: SmolStr,
}

/// A maker's security disclosure (MDS2) for a product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disclosure {
    /// The product.
    #[serde(flatten)]
    pub name: Name,
    /// Software or hardware version that it speaks of; empty: not stated.
    #[serde(default)]
    pub version: SmolStr,
    /// When it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
    /// Answers by question (`MLDP-1`): `yes`, `no`, `n/a`, `see note`.
    pub answers: Vec<(SmolStr, SmolStr)>,
}

/// Cuts text to at most `max` octets at a character boundary, on one line, without control characters.
pub(crate) fn short(text: &str, max: usize) -> SmolStr {
    let mut out = String::with_capacity(text.len().min(max));
    let mut blank = true;
    for c in text.chars() {
        if c.is_whitespace() {
            if !blank && out.len() < max {
                out.push(' ');
            }
            blank = true;
        } else if !c.is_control() {
            if out.len() + c.len_utf8() > max {
                break;
            }
            out.push(c);
            blank = false;
        }
    }
    out.truncate(out.trim_end().len());
    SmolStr::new(out)
}

/// Moments as feeds write them: RFC 3339 with or without zone, `2026-11-22`, `20261122`, `11/22/2026`.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(t) = Timestamp::parse(text) {
        return Some(t);
    }
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if text.len() == 8 && digits(text) {
        return Timestamp::parse(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
    }
    let mut parts = text.split('/');
    if let (Some(month), Some(day), Some(year), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
        && year.len() == 4
        && [month, day, year]
            .iter()
            .all(|p| !p.is_empty() && digits(p))
        && month.len() <= 2
        && day.len() <= 2
    {
        return Timestamp::parse(&format!("{year}-{month:0>2}-{day:0>2}"));
    }
    // NVD writes local-looking instants without a zone; they are UTC.
    let (date, time) = text.split_once(['T', ' '])?;
    let time = time.trim_end_matches('Z');
    if time.contains(['+', '-']) {
        return Timestamp::parse(&format!("{date}T{time}"));
    }
    Timestamp::parse(&format!("{date}T{time}Z")).or_else(|| Timestamp::parse(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_in_every_form_feeds_use() {
        let day = Timestamp::parse("2026-11-22");
        for text in [
            "2026-11-22",
            "20261122",
            "11/22/2026",
            "2026-11-22T00:00:00.000",
            "2026-11-22 00:00:00",
        ] {
            assert_eq!(moment(text), day, "{text}");
        }
        assert_eq!(moment("2026-11-22T01:00:00+01:00"), day);
        for text in ["", "soon", "2026-13-40", "99999999", "1/2/3", "é/é/éééé"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn text_is_cut_at_a_character_and_stays_on_one_line() {
        assert_eq!(short("  a\n\tb \u{7}c ", 20), "a b c");
        assert_eq!(short("ééé", 5), "éé");
    }
}
