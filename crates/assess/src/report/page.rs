//! The page: one file, no script, nothing fetched.

use maud::{DOCTYPE, Markup, PreEscaped, html as page};

use super::style::STYLE;
use super::words;
use crate::evaluate::{Assessment, Floor, FrameworkSummary, Reading, Row, Status};
use crate::measures::day;
use crate::steps::StepKind;

/// The report as one accessible HTML file: no script, no address that is fetched, light and dark, ready for printing.
pub fn html(assessment: &Assessment) -> String {
    let measured = count(assessment, |s| matches!(s, Status::Measured));
    let attested = count(assessment, |s| matches!(s, Status::Attested { .. }));
    let open = count(assessment, |s| matches!(s, Status::NotEvaluable { .. }));
    page! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                meta name="referrer" content="no-referrer";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "How far are we? " (assessment.hospital) " · Asepsis" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    p.meta { "Asepsis · zero trust assessment" }
                    h1 { "How far are we?" }
                    p { strong { (assessment.hospital) } ", on " (day(assessment.at)) ". What is counted over time reaches " (assessment.window_days) " days back." }
                    ul.sum {
                        li { b { (measured) } "rows measured" }
                        li { b { (attested) } "rows that somebody vouches for" }
                        li { b { (open) } "rows not evaluable yet" }
                        li { b { (assessment.steps.len()) } "steps worth taking now" }
                    }
                    nav aria-label="Contents" {
                        ul {
                            li { a href="#look" { "In one look" } }
                            @if !assessment.steps.is_empty() { li { a href="#steps" { "Next steps" } } }
                            li { a href="#tools" { "What you already have" } }
                            @for f in &assessment.frameworks { li { a href={ "#" (f.id) } { (f.short) } } }
                            li { a href="#reading" { "How to read this" } }
                        }
                    }
                }
                main #main tabindex="-1" {
                    (look(assessment))
                    (steps(assessment))
                    (tools(assessment))
                    @for f in &assessment.frameworks { (framework(assessment, f)) }
                    (problems(assessment))
                    (reading(assessment))
                }
            }
        }
    }
    .into_string()
}

fn count(assessment: &Assessment, is: fn(&Status) -> bool) -> usize {
    assessment.rows.iter().filter(|r| is(&r.status)).count()
}

fn look(assessment: &Assessment) -> Markup {
    page! {
        section aria-labelledby="look" {
            h2.first #look { "In one look" }
            p { "The weakest function decides a pillar; nothing is averaged. “At most” means that a function which is not evaluable yet may be lower." }
            @for f in &assessment.frameworks {
                h3 { (f.name) }
                div.scroll tabindex="0" role="region" aria-label={ "Pillars of " (f.name) } {
                    table.look {
                        caption { "Floor of each pillar, and how many of its rows are measured, vouched for, or open" }
                        thead { tr { th scope="col" { "Pillar" } th scope="col" { "Floor" } th scope="col" { "Decided by" } th scope="col" { "Rows" } } }
                        tbody {
                            @for p in assessment.pillars.iter().filter(|p| p.framework == f.id) {
                                tr {
                                    th scope="row" { (p.pillar) }
                                    td { (badge(p.level.as_ref().map(|l| l.rank), f.levels.len(), &words::floor(p))) }
                                    td { @if p.level.is_none() { "nothing is evaluable yet" } @else { (decided(p)) } }
                                    td { (p.measured) " measured, " (p.attested) " vouched for, " (p.not_evaluable.len()) " open" (mix(p)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn decided(floor: &Floor) -> String {
    words::listed(&floor.decided_by, 6)
}

/// Measured, vouched for and open rows as a bar; the words beside it say the same.
fn mix(floor: &Floor) -> Markup {
    let (a, b) = (u64::from(floor.measured), u64::from(floor.attested));
    let all = (a + b + u64::try_from(floor.not_evaluable.len()).unwrap_or(0)).max(1);
    let (a, b) = (a * 100 / all, b * 100 / all);
    page! {
        svg.mix viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.c width="100" height="8" rx="2" {}
            rect.b x=(a) width=(b) height="8" {}
            rect.a width=(a) height="8" {}
        }
    }
}

/// A level as filled dots, a word and a colour.
fn badge(rank: Option<u8>, levels: usize, text: &str) -> Markup {
    let last = levels.saturating_sub(1).max(1);
    // Colours go from worst to best however many levels there are.
    let tone = match rank {
        None => "rx",
        Some(0) => "r0",
        Some(r) if usize::from(r) >= last => "r3",
        Some(r) if usize::from(r) + 1 == last => "r2",
        Some(_) => "r1",
    };
    page! {
        span class={ "level " (tone) } {
            svg viewBox={ "0 0 " (1 + 13 * last.min(4)) " 14" } width={ (1 + 13 * last.min(4)) } height="14" aria-hidden="true" focusable="false" {
                @for n in 0..last.min(4) {
                    @if rank.is_some_and(|r| usize::from(r) > n) {
                        circle cx=(7 + 13 * n) cy="7" r="5" fill="currentColor" {}
                    } @else if rank.is_some() {
                        circle cx=(7 + 13 * n) cy="7" r="4.3" fill="none" stroke="currentColor" stroke-width="1.4" {}
                    } @else {
                        circle cx=(7 + 13 * n) cy="7" r="4.3" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 2" {}
                    }
                }
            }
            (text)
        }
    }
}

fn steps(assessment: &Assessment) -> Markup {
    page! {
        @if !assessment.steps.is_empty() {
            section aria-labelledby="steps" {
                h2 #steps { "Next steps" }
                p { "Ordered by how much risk each takes away for the work it is. Each uses something that is already there. Nothing that is done is listed." }
                ol.steps {
                    @for s in &assessment.steps {
                        li {
                            h3 { (s.title) }
                            p { (coded(&words::sentence(&s.how))) }
                            dl.facts {
                                dt { "Why" } dd { (s.why) }
                                dt { "With" } dd { (s.uses) span.soft { "; " (s.known_by) } }
                                dt { "Brings" } dd {
                                    @match s.kind { StepKind::Show => "figures that are missing", StepKind::Mend => "figures that are too low, up" }
                                    ": risk " (words::tenth(s.risk_removed)) ", effort " (s.effort) " of 5"
                                }
                                dt { "Moves" } dd { (s.rows.len()) @if s.rows.len() == 1 { " row" } @else { " rows" } (moved(assessment, &s.rows)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Rows by framework, each a link to where it stands.
fn moved(assessment: &Assessment, rows: &[smol_str::SmolStr]) -> Markup {
    page! {
        ul.plain {
            @for f in &assessment.frameworks {
                @let mine: Vec<&str> = rows.iter().filter_map(|r| r.strip_prefix(f.id.as_str())?.strip_prefix('/')).collect();
                @if !mine.is_empty() {
                    li {
                        (f.short) ": "
                        @for (n, id) in mine.iter().enumerate() {
                            @if n > 0 { ", " }
                            a href={ "#" (f.id) "-" (id) } { (id) }
                        }
                    }
                }
            }
        }
    }
}

/// Text with what stands between backticks as code.
fn coded(text: &str) -> Markup {
    page! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn tools(assessment: &Assessment) -> Markup {
    page! {
        section aria-labelledby="tools" {
            h2 #tools { "What you already have" }
            div.scroll tabindex="0" role="region" aria-label="Tools" {
                table {
                    caption { "Tools of the hospital that can serve, and how it is known that they are there" }
                    thead { tr { th scope="col" { "Tool" } th scope="col" { "Known by" } th scope="col" { "What it can show or do" } } }
                    tbody {
                        @for t in &assessment.tools {
                            tr { th scope="row" { (t.name) } td { (t.known_by) } td { (t.serves) } }
                        }
                    }
                }
            }
        }
    }
}

fn framework(assessment: &Assessment, f: &FrameworkSummary) -> Markup {
    page! {
        section aria-labelledby=(f.id) {
            h2 #(f.id) { (f.name) }
            p.meta { (f.note) " Published at " span { (f.source) } "." }
            @for p in assessment.pillars.iter().filter(|p| p.framework == f.id) {
                h3 { (p.pillar) ": " (words::floor(p)) }
                div.scroll tabindex="0" role="region" aria-label={ (p.pillar) ", " (f.name) } {
                    table.rows {
                        caption { "Rows of “" (p.pillar) "”: level, the figure that decides, and what the next level needs" }
                        thead { tr { th scope="col" { "Row" } th scope="col" { "Level" } th scope="col" { "Figures" } th scope="col" { "Next level" } } }
                        tbody {
                            @for r in assessment.rows.iter().filter(|r| r.framework == f.id && r.pillar == p.pillar) {
                                (row(r, f))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(r: &Row, f: &FrameworkSummary) -> Markup {
    page! {
        tr id={ (f.id) "-" (r.id) } {
            th scope="row" {
                span.id { (r.id) } (r.function)
                div.meta { (r.asks) }
            }
            td {
                (badge(r.level.as_ref().map(|l| l.rank), f.levels.len(), words::level(r)))
                @if !r.says.is_empty() { div.meta { (r.says) } }
                @match &r.status {
                    Status::Measured => div.tag { "measured" },
                    Status::Attested { owner, date, expires } => div.tag { "vouched for by " (owner) ", " (day(*date)) ", until " (day(*expires)) },
                    Status::NotEvaluable { .. } => {},
                }
            }
            td {
                @if r.readings.is_empty() { span.soft { "nothing counted" } }
                @for reading in ordered(r) { (figure(reading)) }
                @for note in &r.notes { p.note { (note) } }
            }
            td {
                @match &r.next {
                    None => span.soft { "the highest level is reached" },
                    Some(next) => {
                        strong { (next.level.name) } ": " (next.says)
                        ul.plain.meta { @for h in &next.held_by { li { (coded(&words::hold(h))) } } }
                    }
                }
            }
        }
    }
}

/// The figure that decides comes first.
fn ordered(r: &Row) -> Vec<&Reading> {
    let mut out: Vec<&Reading> = r.readings.iter().collect();
    out.sort_by_key(|x| Some(&x.measure) != r.measure.as_ref());
    out
}

fn figure(reading: &Reading) -> Markup {
    let percent = words::percent(reading.numerator, reading.denominator);
    let width = format!("{:.2}", reading.share() * 100.0);
    page! {
        div.figure {
            strong { (percent) } " " span.meta { (words::fraction(reading)) }
            svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={ (percent) ": " (reading.counts) } {
                rect.t width="100" height="6" rx="1" {}
                rect.v width=(width) height="6" rx="1" {}
            }
            div.meta { (reading.counts) }
            div.meta {
                (reading.source) ", " (day(reading.as_of)) " (" (words::age(reading.age_days)) ")"
                @if let Some(by) = &reading.attested_by { "; " (by) " vouches for the count" }
            }
            @for note in &reading.notes { div.meta { (note) } }
        }
    }
}

fn problems(assessment: &Assessment) -> Markup {
    page! {
        @if !assessment.problems.is_empty() {
            section aria-labelledby="problems" {
                h2 #problems { "Entries of attestations.toml that cannot be used" }
                div.scroll tabindex="0" role="region" aria-label="Problems" {
                    table {
                        caption { "Each costs only itself; the other entries are used" }
                        thead { tr { th scope="col" { "Line" } th scope="col" { "What is wrong" } th scope="col" { "Remedy" } } }
                        tbody {
                            @for p in &assessment.problems { tr { th scope="row" { (p.line) } td { (p.what) } td { (p.hint) } } }
                        }
                    }
                }
            }
        }
    }
}

fn reading(assessment: &Assessment) -> Markup {
    page! {
        section aria-labelledby="reading" {
            h2 #reading { "How to read this" }
            p { "A row is measured when everything that decided it was counted by Asepsis or taken from an export. It is vouched for when a part of it rests on a named person's word, with a date and an expiry; a word never overrules a count, and after its expiry it no longer counts. It is not evaluable when what would decide it is missing; the row then says what is needed. Nothing unknown counts as good." }
            p { "Every figure is a share of good among all, with its source and its age. A figure that is too old counts as missing." }
            p { "The words and thresholds are Asepsis's own reading of the frameworks; they make a level testable and are neither the frameworks' text nor legal advice." }
            @if !assessment.figures.is_empty() {
                h3 { "Every figure" }
                div.scroll tabindex="0" role="region" aria-label="Every figure" {
                    table {
                        caption { "All figures that could be counted, with source and date" }
                        thead { tr { th scope="col" { "Figure" } th scope="col" { "Share" } th scope="col" { "Counted" } th scope="col" { "Source and date" } } }
                        tbody {
                            @for x in &assessment.figures {
                                tr {
                                    th scope="row" { (x.measure) div.meta { (x.counts) } }
                                    td { (words::percent(x.numerator, x.denominator)) }
                                    td { (words::fraction(x)) }
                                    td { (x.source) ", " (day(x.as_of)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
