//! What all pages share: the frame, the mark, outcomes, times.

use domain::{Outcome, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets;

/// The frame around a page.
#[derive(Debug, Default)]
pub(crate) struct Frame<'a> {
    /// Title; never holds anything about a patient.
    pub(crate) title: &'a str,
    /// Which place this is, shown beside the name: `console`, `sign-in` …
    pub(crate) place: &'a str,
    /// Where the name leads.
    pub(crate) home: Option<&'a str>,
    /// Entries of the navigation: address, words, whether it is this page.
    pub(crate) nav: &'a [(&'a str, &'a str, bool)],
    /// Who is signed in, and the form that signs out.
    pub(crate) who: Option<Who<'a>>,
    /// Scripts by name.
    pub(crate) scripts: &'a [&'a str],
    /// Origin that serves the static files, where it is not the page's own.
    pub(crate) files: &'a str,
}

/// Who is signed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// The person's name.
    pub(crate) name: &'a str,
    /// Where the sign-out form goes.
    pub(crate) sign_out: &'a str,
    /// Token of that form, where one is needed.
    pub(crate) token: Option<&'a str>,
}

/// The whole document.
pub(crate) fn document(frame: &Frame<'_>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (frame.title) " · Asepsis" }
                link rel="stylesheet" href={ (frame.files) (assets::address("asepsis.css")) };
                link rel="icon" type="image/svg+xml" href={ (frame.files) (assets::address("mark.svg")) };
                @for script in frame.scripts {
                    script src={ (frame.files) (assets::address(script)) } defer {}
                }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.head {
                    div.head-row {
                        @if let Some(home) = frame.home {
                            a.brand href=(home) { (mark()) span { "Asepsis" } span.brand-place { (frame.place) } }
                        } @else {
                            span.brand { (mark()) span { "Asepsis" } span.brand-place { (frame.place) } }
                        }
                        @if !frame.nav.is_empty() {
                            nav.nav aria-label="Pages" {
                                ul {
                                    @for (address, words, current) in frame.nav {
                                        li { a href=(address) aria-current=[current.then_some("page")] { (words) } }
                                    }
                                }
                            }
                        }
                        @if let Some(who) = &frame.who {
                            div.who {
                                span.who-name { (who.name) }
                                form.inline method="post" action=(who.sign_out) {
                                    @if let Some(token) = who.token { input type="hidden" name="token" value=(token); }
                                    button.button.second.short type="submit" { "Sign out" }
                                }
                            }
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
                footer.foot { p { "Every request is examined, each time, and care never stops for it." } }
            }
        }
    }
}

/// The mark: an A whose bar is the edge of the sterile field.
pub(crate) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 32 32" aria-hidden="true" focusable="false" {
            rect width="32" height="32" rx="9" fill="currentColor" opacity="0.14" {}
            path d="M9 23 16 8l7 15" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round" {}
            path d="M6.5 18h19" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" opacity="0.55" {}
        }
    }
}

/// What an outcome is called on a page.
pub(crate) fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Permit => "Permitted",
        Outcome::StepUp => "Step up",
        Outcome::BreakGlass => "Break glass",
        Outcome::Deny => "Refused",
    }
}

/// An outcome as a badge: shape, word and colour.
pub(crate) fn outcome(outcome: Outcome) -> Markup {
    let shape = match outcome {
        Outcome::Permit => "M3.5 8.5 6.8 12l6-7.5",
        Outcome::StepUp => "M8 13V4M4 7.5 8 3.5l4 4",
        Outcome::BreakGlass => "M8 3v6M8 12.2v.3M8 1 15 14H1z",
        Outcome::Deny => "M2 8a6 6 0 1 0 12 0A6 6 0 1 0 2 8M4.8 8h6.4",
    };
    badge(outcome.as_str(), shape, outcome_words(outcome))
}

/// A badge for records that are not decisions; `class` is an outcome's name where one colour fits, or `event`.
pub(crate) fn event(class: &str, words: &str) -> Markup {
    badge(
        class,
        "M8 4.5v4l2.5 1.8M2 8a6 6 0 1 0 12 0A6 6 0 1 0 2 8",
        words,
    )
}

fn badge(class: &str, shape: &str, words: &str) -> Markup {
    html! {
        span class={ "outcome " (class) } {
            svg viewBox="0 0 16 16" aria-hidden="true" focusable="false" {
                path d=(shape) fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" {}
            }
            (words)
        }
    }
}

/// An instant, exact for machines and short for people (UTC).
pub(crate) fn time(at: Timestamp) -> Markup {
    let exact = at.to_string();
    let (day, clock) = exact.split_once('T').unwrap_or((exact.as_str(), ""));
    let clock = clock.get(..8).unwrap_or(clock);
    html! { time datetime=(exact) title=(exact) { (day) " " (clock) } }
}

/// The clock part alone.
pub(crate) fn clock(at: Timestamp) -> Markup {
    let exact = at.to_string();
    let short = exact
        .split_once('T')
        .and_then(|(_, c)| c.get(..8))
        .unwrap_or("");
    html! { time datetime=(exact) title=(exact) { (short) } }
}

/// The day alone (UTC).
pub(crate) fn day(at: Timestamp) -> Markup {
    let exact = at.to_string();
    let short = exact.split('T').next().unwrap_or_default().to_owned();
    html! { time datetime=(exact) title=(exact) { (short) } }
}

/// How long ago, in words.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let secs = now.since(at).as_secs();
    match secs {
        0..=4 => "now".to_owned(),
        5..=119 => format!("{secs} s ago"),
        120..=7199 => format!("{} min ago", secs / 60),
        7200..=172_799 => format!("{} h ago", secs / 3600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

/// Digits in groups of three.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A reason code or another machine word in words: `it_administrator` becomes `IT administrator`.
pub(crate) fn plain(word: &str) -> String {
    let words: Vec<&str> = word
        .split(['_', '-', ' '])
        .filter(|w| !w.is_empty())
        .map(|w| if w == "it" { "IT" } else { w })
        .collect();
    words.join(" ")
}

/// Longest text from the network that a page shows, in characters.
pub(crate) const TOLD_MAX: usize = 160;

/// Text that a device or another stranger chose, as a page may show it: what is not visible or turns the direction of
/// writing is replaced, and what is too long is cut.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown: String = text.chars().take(TOLD_MAX).map(visible).collect();
    if text.chars().nth(TOLD_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The same for a line that is shown whole, whatever its length.
pub(crate) fn harmless_line(line: &str) -> String {
    line.chars().map(visible).collect()
}

fn visible(c: char) -> char {
    if is_hidden(c) { '\u{fffd}' } else { c }
}

/// The same, kept apart from the direction of the words around it.
pub(crate) fn told(text: &str) -> Markup {
    html! { bdi { (harmless(text)) } }
}

/// Whether a character shows nothing of itself: controls, line ends, marks of direction, spaces of no width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text that maud already escaped, for joining fragments.
pub(crate) fn joined(parts: impl IntoIterator<Item = Markup>) -> Markup {
    PreEscaped(parts.into_iter().map(|m| m.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_nothing_is_inline() {
        let frame = Frame {
            title: "<b>",
            place: "console",
            who: Some(Who {
                name: "<script>alert(1)</script>",
                sign_out: "/sign-out",
                token: None,
            }),
            scripts: &["live.js"],
            ..Frame::default()
        };
        let page = document(&frame, &html! { p { "x" } }).into_string();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;alert"));
        assert!(!page.contains(" style="), "{page}");
        assert!(!page.contains("<style"));
        assert!(!page.contains(" onclick"));
    }

    #[test]
    fn what_a_device_calls_itself_cannot_hide_or_turn_the_page() {
        let hostile = "pump\u{202e}gnp.exe\u{200b}\0\n<script>alert(1)</script>";
        let page = told(hostile).into_string();
        assert!(page.starts_with("<bdi>") && page.ends_with("</bdi>"));
        assert!(
            !page.contains(['\u{202e}', '\u{200b}', '\0', '\n']),
            "{page:?}"
        );
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert_eq!(harmless("Müller’s 心電図"), "Müller’s 心電図");
        let long = harmless(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), TOLD_MAX + 1);
        assert!(long.ends_with('…'));
        assert_eq!(harmless(&"x".repeat(TOLD_MAX)).chars().count(), TOLD_MAX);
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(plain("it_administrator"), "IT administrator");
        assert_eq!(plain("not-on-care-team"), "not on care team");
        assert_eq!(number(7), "7");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        let now = Timestamp::from_millis(10_000_000);
        assert_eq!(ago(now, now), "now");
        assert_eq!(ago(Timestamp::from_millis(0), now), "2 h ago");
    }
}
