//! FHIR dates as the range of instants that they cover.

use domain::Timestamp;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// From the first instant to the one after the last, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Range {
    /// Open at both ends.
    pub(crate) const ALWAYS: Self = Self {
        from: i64::MIN,
        to: i64::MAX,
    };

    /// Reads `2026`, `2026-11`, `2026-11-22` or an instant with or without seconds, fraction and zone. Without a
    /// zone it counts as UTC.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.is_ascii() || text.len() > 40 {
            return None;
        }
        let from = |text: &str| Timestamp::parse(text).map(Timestamp::as_millis);
        match text.len() {
            4 => {
                let next = text.parse::<u16>().ok()?.checked_add(1)?;
                let range = Self {
                    from: from(text)?,
                    to: from(&format!("{next:04}")).unwrap_or(i64::MAX),
                };
                Some(range)
            }
            7 => {
                let (year, month) = text.split_once('-')?;
                let (year, month): (u16, u16) = (year.parse().ok()?, month.parse().ok()?);
                let next = if month == 12 {
                    format!("{:04}-01", year.checked_add(1)?)
                } else {
                    format!("{year:04}-{:02}", month.checked_add(1)?)
                };
                Some(Self {
                    from: from(text)?,
                    to: from(&next).unwrap_or(i64::MAX),
                })
            }
            10 => {
                let from = from(text)?;
                Some(Self {
                    from,
                    to: from.saturating_add(DAY),
                })
            }
            _ => Self::parse_instant(text),
        }
    }

    fn parse_instant(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        if date.len() != 10 {
            return None;
        }
        // A `+` that was not percent-encoded arrives as a space.
        let time = time.replace(' ', "+");
        let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(zone_at);
        let zone = if zone.is_empty() { "Z" } else { zone };
        let (whole, precision) = match clock.len() {
            5 => (format!("{date}T{clock}:00{zone}"), MINUTE),
            8 => (format!("{date}T{clock}{zone}"), 1_000),
            10.. if clock.as_bytes()[8] == b'.' => (format!("{date}T{clock}{zone}"), 1),
            _ => return None,
        };
        let from = Timestamp::parse(&whole)?.as_millis();
        Some(Self {
            from,
            to: from.saturating_add(precision),
        })
    }
}

/// How a wanted range relates to the one a resource has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    StartsAfter,
    EndsBefore,
    Approximately,
}

impl Prefix {
    /// Splits `ge2026` into prefix and rest.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        let Some((prefix, rest)) = text.split_at_checked(2) else {
            return (Self::Eq, text);
        };
        let prefix = match prefix {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "lt" => Self::Lt,
            "gt" => Self::Gt,
            "le" => Self::Le,
            "ge" => Self::Ge,
            "sa" => Self::StartsAfter,
            "eb" => Self::EndsBefore,
            "ap" => Self::Approximately,
            _ => return (Self::Eq, text),
        };
        (prefix, rest)
    }

    /// Whether a resource with range `has` meets what is `wanted` (R4 search, section 3.1.1.4.9). `now` is what
    /// `ap` measures its tenth from.
    pub(crate) fn admits(self, wanted: Range, has: Range, now: i64) -> bool {
        let contains = wanted.from <= has.from && has.to <= wanted.to;
        match self {
            Self::Eq => contains,
            Self::Ne => !contains,
            Self::Lt => has.from < wanted.from,
            Self::Gt => has.to > wanted.to,
            Self::Le => has.from < wanted.from || contains,
            Self::Ge => has.to > wanted.to || contains,
            Self::StartsAfter => has.from >= wanted.to,
            Self::EndsBefore => has.to <= wanted.from,
            Self::Approximately => {
                let slack = (now - wanted.from).saturating_abs() / 10;
                has.from < wanted.to.saturating_add(slack)
                    && has.to > wanted.from.saturating_sub(slack)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::parse(text).expect(text)
    }

    #[test]
    fn precision_decides_the_length() {
        let hours = |text| {
            let range = range(text);
            (range.to - range.from) / 3_600_000
        };
        assert_eq!(hours("2026"), 365 * 24);
        assert_eq!(hours("2024-02"), 29 * 24);
        assert_eq!(hours("2026-12"), 31 * 24);
        assert_eq!(hours("2026-11-22"), 24);
        let minute = range("2026-11-22T08:30");
        assert_eq!(minute.to - minute.from, MINUTE);
        assert_eq!(minute.from, range("2026-11-22T08:30:00Z").from);
        assert_eq!(
            range("2026-11-22T08:30:00+01:00").from,
            range("2026-11-22T07:30:00.000Z").from
        );
        assert_eq!(
            range("2026-11-22T08:30:00 01:00"),
            range("2026-11-22T08:30:00+01:00")
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "20",
            "2026-13",
            "2026-11-31",
            "2026-11-22T",
            "2026-11-22T8:30",
            "2026-11-22T25:00",
            "yesterday",
            "2026-11-22T08:30:00.",
            "2026-11-22T08:30:00X",
            "99999999999",
            "+026",
            "2026-+1",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn prefixes_compare_ranges() {
        let day = range("2026-11-22");
        let noon = range("2026-11-22T12:00:00Z");
        let later = range("2026-11-23T12:00:00Z");
        let check = |prefix: &str, has, expected: bool| {
            let (prefix, rest) = Prefix::split(prefix);
            assert_eq!(rest, "");
            assert_eq!(prefix.admits(day, has, noon.from), expected, "{prefix:?}");
        };
        for (prefix, at_noon, next_day) in [
            ("eq", true, false),
            ("ne", false, true),
            ("lt", false, false),
            ("gt", false, true),
            ("le", true, false),
            ("ge", true, true),
            ("sa", false, true),
            ("eb", false, false),
        ] {
            check(prefix, noon, at_noon);
            check(prefix, later, next_day);
        }
        assert!(Prefix::Approximately.admits(noon, later, later.from + 100 * DAY));
        assert_eq!(Prefix::split("2026").0, Prefix::Eq);
        assert_eq!(Prefix::split("ge2026"), (Prefix::Ge, "2026"));
    }
}
