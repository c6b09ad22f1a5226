//! Words for figures and levels, and the tables for the terminal.

use std::fmt::Write as _;

use crate::evaluate::{Assessment, Floor, Hold, Reading, Row};
use crate::measures::Measure;
use crate::steps::grouped;

/// A share in words: `96.4 %`; never rounded up to 100 % or down to 0 %.
pub(crate) fn percent(numerator: u64, denominator: u64) -> String {
    let share = crate::evaluate::share(numerator, denominator) * 100.0;
    if numerator == 0 || numerator == denominator {
        format!("{share:.0} %")
    } else if share > 99.9 {
        "> 99.9 %".to_owned()
    } else if share < 0.1 {
        "< 0.1 %".to_owned()
    } else {
        format!("{share:.1} %")
    }
}

/// A threshold: `95 %`.
pub(crate) fn threshold(share: f64) -> String {
    let percent = (share * 1000.0).round() / 10.0;
    format!("{percent} %")
}

/// `1,204 of 1,377` with thin spaces.
pub(crate) fn fraction(reading: &Reading) -> String {
    format!(
        "{} of {}",
        grouped(reading.numerator),
        grouped(reading.denominator)
    )
}

/// How old a figure is.
pub(crate) fn age(days: u64) -> String {
    match days {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        n => format!("{n} days old"),
    }
}

/// A level, or that it cannot be said.
pub(crate) fn level(row: &Row) -> &str {
    row.level
        .as_ref()
        .map_or("not evaluable", |l| l.name.as_str())
}

/// A pillar's floor.
pub(crate) fn floor(floor: &Floor) -> String {
    match &floor.level {
        None => "not evaluable".to_owned(),
        Some(level) if floor.certain => level.name.to_string(),
        Some(level) => format!("at most {}", level.name),
    }
}

/// What holds a row back, in one sentence.
pub(crate) fn hold(hold: &Hold) -> String {
    match hold {
        Hold::TooLow {
            measure,
            is,
            needed,
        } => {
            let counts = Measure::named(measure).map_or("", |m| m.counts);
            let share = is * 100.0;
            // A figure just below must not read like the one that is needed.
            let shown = (share * 10.0).floor() / 10.0;
            format!("{shown} % instead of {}: {counts}", threshold(*needed))
        }
        Hold::Unknown { needs, .. } => format!("needs {needs}"),
        Hold::NotVouched { statement } => format!("needs somebody who vouches: {statement}"),
    }
}

/// The pillars as a table of plain text, at most `width` columns wide.
pub fn text(assessment: &Assessment, width: usize) -> String {
    let width = width.clamp(60, 200);
    let mut out = String::new();
    for framework in &assessment.frameworks {
        let _ = writeln!(out, "{}", cut(&framework.name, width));
        let pillars: Vec<&Floor> = assessment
            .pillars
            .iter()
            .filter(|p| p.framework == framework.id)
            .collect();
        let first = pillars
            .iter()
            .map(|p| p.pillar.chars().count())
            .max()
            .unwrap_or(0)
            .min(34);
        let second = pillars
            .iter()
            .map(|p| floor(p).chars().count())
            .max()
            .unwrap_or(0);
        for p in pillars {
            let decided = match (&p.level, p.decided_by.len()) {
                (None, _) => String::new(),
                (_, n) if n > 4 => format!("{n} functions decide"),
                _ => format!("decided by {}", p.decided_by.join(", ")),
            };
            let line = format!(
                "  {:first$}  {:second$}  {} measured, {} attested, {} open  {decided}",
                cut(&p.pillar, first),
                floor(p),
                p.measured,
                p.attested,
                p.not_evaluable.len(),
            );
            let _ = writeln!(out, "{}", cut(line.trim_end(), width));
        }
        out.push('\n');
    }
    out
}

/// The next steps as plain text, at most `width` columns wide.
pub fn text_steps(assessment: &Assessment, width: usize) -> String {
    let width = width.clamp(60, 200);
    let mut out = String::new();
    for step in &assessment.steps {
        let _ = writeln!(out, "{:>2}. {}", step.rank, cut(&step.title, width - 4));
        for text in [
            format!("why: {}", step.why),
            format!("with: {}; {}", step.uses, step.known_by),
            format!("how: {}", step.how),
            format!(
                "moves {} {}: {}; risk {}, effort {}",
                step.rows.len(),
                if step.rows.len() == 1 { "row" } else { "rows" },
                listed(&step.rows, 4),
                tenth(step.risk_removed),
                step.effort
            ),
        ] {
            for line in wrap(&text, width - 4) {
                let _ = writeln!(out, "    {line}");
            }
        }
    }
    out
}

/// A sentence: a capital in front, a full stop behind.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", chars.as_str())
}

/// One place after the point.
pub(crate) fn tenth(value: f64) -> String {
    format!("{value:.1}")
}

/// The first few, and how many more.
pub(crate) fn listed(items: &[smol_str::SmolStr], most: usize) -> String {
    let shown: Vec<&str> = items
        .iter()
        .take(most)
        .map(smol_str::SmolStr::as_str)
        .collect();
    let more = items.len().saturating_sub(most);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// Cuts text to a width in characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Breaks text at blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        assert_eq!(percent(9_999, 10_000), "> 99.9 %");
        assert_eq!(percent(1, 100_000), "< 0.1 %");
        assert_eq!(percent(10, 10), "100 %");
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 3), "33.3 %");
        let hold = hold(&Hold::TooLow {
            measure: "signins.two_factor".into(),
            is: 0.949_99,
            needed: 0.95,
        });
        assert!(hold.starts_with("94.9 % instead of 95 %"), "{hold}");
    }

    #[test]
    fn text_wraps_and_cuts_by_characters() {
        assert_eq!(wrap("ä bb ccc", 4), ["ä bb", "ccc"]);
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
