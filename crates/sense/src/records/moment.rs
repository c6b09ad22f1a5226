//! Instants as logs and exports write them.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds since the epoch with or without decimals, as Zeek writes them: `1721895600.123456`.
pub(crate) fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let secs: i64 = whole.parse().ok()?;
    // The year 9999; beyond that no calendar writes it.
    if !(-62_135_596_800..=253_402_207_200).contains(&secs) {
        return None;
    }
    let mut ms = 0;
    for place in 0..3 {
        let digit = decimals.as_bytes().get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        ms = ms * 10 + i64::from(digit - b'0');
    }
    Some(Timestamp::from_millis(secs * 1000 + ms))
}

/// An instant from its parts in UTC; absent when the calendar has none.
pub(crate) fn civil(
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
) -> Option<Timestamp> {
    if !(1..=9998).contains(&year) {
        return None;
    }
    // Sixty is a leap second; it becomes the one before.
    let second = if second == 60 { 59 } else { second };
    Timestamp::parse(&format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// In which order dates are written with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dates {
    /// `2026-11-22`.
    YearFirst,
    /// `22.11.2026`, `22/11/2026`.
    DayFirst,
    /// `11/22/2026`.
    MonthFirst,
}

/// A date and time as Windows or a register writes it in its country's way, or RFC 3339, or seconds since the epoch.
///
/// Without a zone it is taken as UTC. `order` says what `03/04/2026` means; where only one reading makes a date, that
/// one is taken.
pub(crate) fn local(text: &str, order: Option<Dates>) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if text.len() >= 19
        && let Some(at) = Timestamp::parse(text)
    {
        return Some(at);
    }
    if matches!(text.len(), 9..=17)
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.bytes().filter(|b| *b == b'.').count() <= 1
    {
        // Thirteen digits are milliseconds.
        if text.len() == 13 && !text.contains('.') {
            return text.parse().ok().map(Timestamp::from_millis);
        }
        if let Some(at) = epoch(text) {
            return Some(at);
        }
    }
    let mut numbers = [0_u32; 6];
    let mut found = 0;
    let mut widths = [0_usize; 6];
    for part in text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
    {
        if found == 6 {
            break; // Fractions of a second, or the zone's offset.
        }
        if part.len() > 4 {
            return None;
        }
        numbers[found] = part.parse().ok()?;
        widths[found] = part.len();
        found += 1;
    }
    if found < 3 {
        return None;
    }
    let [a, b, c, mut hour, minute, second] = numbers;
    let lower = text.to_ascii_lowercase();
    let after_noon = lower.contains("pm") || lower.contains("p.m");
    let before_noon = lower.contains("am") || lower.contains("a.m");
    if after_noon && hour < 12 {
        hour += 12;
    }
    if before_noon && hour == 12 {
        hour = 0;
    }
    let date = |year: u32, month: u32, day: u32| {
        let year = if year < 100 { year + 2000 } else { year };
        civil(i64::from(year), month, day, hour, minute, second)
    };
    if widths[0] == 4 {
        return date(a, b, c);
    }
    let order = order.unwrap_or(if text.contains('.') {
        Dates::DayFirst
    } else {
        Dates::MonthFirst
    });
    match order {
        Dates::DayFirst => date(c, b, a).or_else(|| date(c, a, b)),
        Dates::MonthFirst => date(c, a, b).or_else(|| date(c, b, a)),
        Dates::YearFirst => date(a, b, c),
    }
}

/// The order that a column's dates are written in, as far as one value shows it: a number above 12 is no month.
pub(crate) fn order_shown(text: &str) -> Option<Dates> {
    let mut parts = text.trim().split(|c: char| !c.is_ascii_digit());
    let (first, second) = (parts.next()?, parts.next()?);
    if first.len() == 4 {
        return Some(Dates::YearFirst);
    }
    let (first, second): (u32, u32) = (first.parse().ok()?, second.parse().ok()?);
    match (first > 12, second > 12) {
        (true, false) => Some(Dates::DayFirst),
        (false, true) => Some(Dates::MonthFirst),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_in_every_common_notation() {
        let at = Timestamp::parse("2026-11-22T08:30:05Z");
        assert!(at.is_some());
        for text in [
            "2026-11-22T08:30:05Z",
            "2026-11-22 08:30:05",
            "2026/11/22 08:30:05",
            "11/22/2026 8:30:05 AM",
            "22.11.2026 08:30:05",
            "22/11/2026 08:30:05",
            "22-11-2026 08:30:05",
        ] {
            assert_eq!(local(text, None), at, "{text}");
        }
        assert_eq!(
            local("11/22/2026 12:00:00 AM", None),
            Timestamp::parse("2026-11-22")
        );
        assert_eq!(
            local("11/22/2026 8:30 PM", None),
            Timestamp::parse("2026-11-22T20:30:00Z")
        );
        assert_eq!(
            local("03/04/2026", Some(Dates::DayFirst)),
            Timestamp::parse("2026-04-03")
        );
        assert_eq!(local("03/04/2026", None), Timestamp::parse("2026-03-04"));
        assert_eq!(
            local("1795336205", None),
            Timestamp::parse("2026-11-22T08:30:05Z")
        );
        assert_eq!(
            local("1795336205000", None),
            Timestamp::parse("2026-11-22T08:30:05Z")
        );
        assert_eq!(
            epoch("1795336205.25"),
            Timestamp::parse("2026-11-22T08:30:05.250Z")
        );
        for text in [
            "",
            "never",
            "99/99/2026",
            "10.0.0.5",
            "1.2",
            "99999999999999999",
        ] {
            assert_eq!(local(text, None), None, "{text}");
        }
        assert_eq!(epoch("1e5"), None);
        assert_eq!(order_shown("22/11/2026 10:00"), Some(Dates::DayFirst));
        assert_eq!(order_shown("11/22/2026"), Some(Dates::MonthFirst));
        assert_eq!(order_shown("03/04/2026"), None);
    }
}
