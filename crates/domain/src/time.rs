//! Instants, as a parameter: cores never read a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in UTC with millisecond resolution, counted from the Unix epoch.
///
/// Serialises as RFC 3339 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that can be written as text: "never ends". It is the calendar library's last whole hour.
    pub const FOREVER: Self = Self(253_402_207_200_000);

    /// The instant `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved later by `duration`, at most [`Timestamp::FOREVER`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms).min(Self::FOREVER.0))
    }

    /// This instant moved earlier by `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 text, or a FHIR date (`2026`, `2026-11`, `2026-11-22`) as its first instant in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let whole = match text.len() {
            4 => format!("{text}-01-01T00:00:00Z"),
            7 => format!("{text}-01T00:00:00Z"),
            10 => format!("{text}T00:00:00Z"),
            _ => text.to_owned(),
        };
        whole
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|t| Self(t.as_millisecond()))
    }
}

impl Timestamp {
    /// Its RFC 3339 text with milliseconds, in ASCII, if it lies within the years 1970 to 9999.
    ///
    /// Made without the calendar library, which takes longer for the ten instants of a record than all else in it does.
    /// The tests hold the two together.
    pub fn text(self) -> Option<[u8; 24]> {
        let ms = u64::try_from(self.0)
            .ok()
            .filter(|_| self <= Self::FOREVER)?;
        let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
        // Days are counted from 0000-03-01, so that a leap day ends its year and its 400-year era.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (seconds, ms) = (ms_of_day / 1000, ms_of_day % 1000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |place: usize, digits: usize, mut value: u64| {
            for i in (place..place + digits).rev() {
                // Below ten, and so a byte.
                text[i] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, seconds / 3600);
        put(14, 2, seconds / 60 % 60);
        put(17, 2, seconds % 60);
        put(20, 3, ms);
        Some(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text()
            && let Ok(text) = str::from_utf8(text)
        {
            return f.write_str(text);
        }
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text().as_ref().map(|text| str::from_utf8(text)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            Some(Err(_)) | None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 instant")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_milliseconds_agree() {
        let t = Timestamp::parse("2026-11-22T08:30:00.250Z").expect("valid");
        assert_eq!(t.to_string(), "2026-11-22T08:30:00.250Z");
        assert_eq!(Timestamp::from_millis(t.as_millis()), t);
        assert_eq!(
            Timestamp::parse("2026-11"),
            Timestamp::parse("2026-11-01T00:00:00Z")
        );
        assert_eq!(Timestamp::parse("noon"), None);
        assert_eq!(Timestamp::FOREVER.to_string(), "9999-12-30T22:00:00.000Z");
    }

    #[test]
    fn the_text_is_what_the_calendar_library_writes() {
        let day = 86_400_000;
        // Every day of 800 years, at another time of each; then the ends of what has a text.
        let days = (0..292_000).map(|n| n * day + n * 7_919 % day);
        let ends = [0, 1, day - 1, Timestamp::FOREVER.as_millis()];
        for ms in days.chain(ends) {
            let text = Timestamp(ms).text().expect("in range");
            let theirs = jiff::Timestamp::from_millisecond(ms).expect("in range");
            assert_eq!(text.as_slice(), format!("{theirs:.3}").as_bytes());
        }
        for ms in [-1, Timestamp::FOREVER.as_millis() + 1, i64::MIN, i64::MAX] {
            assert!(Timestamp(ms).text().is_none());
        }
    }
}
