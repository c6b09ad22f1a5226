//! The map.

use maud::{Markup, html};

use super::super::map::{Drawn, Line, OUTSIDE};
use super::{address, counted, tabs};
use crate::console::views::{Setting, frame};
use crate::look;

/// Lines of the table before the rest has to be unfolded.
const LINES_SHOWN: usize = 15;
/// Types named in the card of a place.
const KINDS_SHOWN_MAX: usize = 8;

/// The map.
pub(in crate::console::devices) fn page(setting: &Setting<'_>, drawn: &Drawn) -> Markup {
    frame(
        setting,
        "Map",
        "devices",
        &[],
        &html! {
            div.page-head { div { h1 { "Map" } p { "Wards and segments, sized by their devices. A line is conversations between two of them; a dashed one is readable by anybody on the way." } } }
            (tabs("/devices/map"))
            section.card.map-card aria-label="Map" { (picture(drawn)) }
            @if !drawn.lines.is_empty() { (across(drawn)) }
            div.cards {
                @for p in drawn.places.iter().filter(|p| p.name != OUTSIDE) {
                    section.card.plain aria-label=(look::harmless(&p.name)) {
                        h2.wrap-anywhere {
                            @if p.is_unit { a href=(address("/devices", "unit", &p.name)) { (look::told(&p.name)) } } @else { (look::told(&p.name)) }
                        }
                        p.quiet { (counted(p.devices, "device", "devices")) @if p.unknown > 0 { ", " (look::number(p.unknown as u64)) " not known" } }
                        ul.tags {
                            @for (k, n) in p.kinds.iter().take(KINDS_SHOWN_MAX) { li.tag { (n) " " (look::harmless(&look::plain(k))) } }
                            @if p.kinds.len() > KINDS_SHOWN_MAX { li.quiet { "and " (p.kinds.len() - KINDS_SHOWN_MAX) " more types" } }
                        }
                    }
                }
            }
        },
    )
}

fn picture(drawn: &Drawn) -> Markup {
    let heaviest = drawn
        .lines
        .iter()
        .map(|l| l.conversations)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    html! {
        svg.map viewBox="0 0 1000 660" role="img" aria-label="Places and the conversations between them; the tables below say the same" {
            @for line in &drawn.lines {
                @let (a, b) = (&drawn.places[line.from], &drawn.places[line.to]);
                line.clear[line.cleartext > 0] x1=(format!("{:.0}", a.x)) y1=(format!("{:.0}", a.y)) x2=(format!("{:.0}", b.x)) y2=(format!("{:.0}", b.y))
                    stroke-width=(format!("{:.1}", 1.0 + 5.0 * (line.conversations as f64 / heaviest).sqrt())) {
                    title { (look::harmless(&a.name)) " to " (look::harmless(&b.name)) ": " (line.conversations) " conversations, " (line.cleartext) " readable" }
                }
            }
            @for p in &drawn.places {
                circle.unit[p.is_unit] cx=(format!("{:.0}", p.x)) cy=(format!("{:.0}", p.y)) r=(format!("{:.0}", p.radius)) {}
                text x=(format!("{:.0}", p.x)) y=(format!("{:.0}", p.y + 5.0)) { (if p.devices > 0 { p.devices.to_string() } else { String::new() }) }
                text.name x=(format!("{:.0}", p.x)) y=(format!("{:.0}", p.y + p.radius + 20.0)) { (short(&p.name)) }
            }
        }
    }
}

/// A name that fits beside a circle.
fn short(name: &str) -> String {
    let name = look::harmless(name);
    if name.chars().count() <= 24 {
        return name;
    }
    name.chars().take(23).chain(['…']).collect()
}

fn across(drawn: &Drawn) -> Markup {
    let (first, rest) = drawn.lines.split_at(drawn.lines.len().min(LINES_SHOWN));
    html! {
        section.card aria-labelledby="across" {
            h2 #across { "Across" }
            (table("Conversations between places, the most first", drawn, first))
            @if !rest.is_empty() {
                details {
                    summary { (counted(rest.len(), "further pair", "further pairs")) " of places" }
                    (table("Further conversations between places", drawn, rest))
                }
            }
        }
    }
}

fn table(caption: &str, drawn: &Drawn, lines: &[Line]) -> Markup {
    html! {
        div.table-box {
            table {
                caption.unseen { (caption) }
                thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.number scope="col" { "Conversations" } th.number scope="col" { "Readable" } th.spare scope="col" { "Services" } } }
                tbody { @for l in lines {
                    tr {
                        th scope="row" { (look::told(&drawn.places[l.from].name)) }
                        td { (look::told(&drawn.places[l.to].name)) }
                        td.number { (look::number(l.conversations as u64)) }
                        td.number { (look::number(l.cleartext as u64)) }
                        td.spare { (look::told(&l.services.join(", "))) }
                    }
                } }
            }
        }
    }
}
