//! The list.

use maud::{Markup, html};

use super::super::list::{Found, ORDERS, QUERY_MAX, STATES, Wish};
use super::{kind, link, percent, risk, tabs};
use crate::console::views::{Setting, frame};
use crate::estate::{Listed, NO_CATEGORY, Picture, SensorState};
use crate::look;

/// Columns: words, the order that the heading leads to, further classes.
const COLUMNS: [(&str, Option<&str>, &str); 8] = [
    ("Device", Some(""), ""),
    ("What it is", Some("type"), ""),
    ("Maker and model", Some("vendor"), "rare"),
    ("Sure", Some("confidence"), "number"),
    ("Known risks", None, ""),
    ("Address", Some("address"), "rare"),
    ("Place", Some("unit"), "spare"),
    ("Last seen", Some("last"), "rare"),
];

/// What is shown beside what was found.
pub(in crate::console::devices) struct Seen<'a> {
    pub(in crate::console::devices) picture: &'a Picture,
    pub(in crate::console::devices) sensors: &'a [SensorState],
}

/// The list.
pub(in crate::console::devices) fn page(
    setting: &Setting<'_>,
    wish: &Wish,
    found: &Found<'_>,
    seen: &Seen<'_>,
) -> Markup {
    let option = |value: &str, words: &str, chosen: &str| html! { option value=(value) selected[value == chosen] { (words) } };
    frame(
        setting,
        "Devices",
        "devices",
        &["forms.js", "devices.js"],
        &html! {
            div.page-head { div { h1 { "Devices" } p { "Every device that was seen or told of, what it is, and how sure that is." } } }
            (tabs("/devices"))
            (figures(setting, seen))
            p #news .news role="status" { }
            form #find .filters method="get" action="/devices" role="search" data-filters {
                div.field.broad { label for="q" { "Find" } input #q type="text" name="q" value=(wish.query) maxlength=(QUERY_MAX) autocomplete="off" spellcheck="false" placeholder="name, address, maker, type"; }
                div.field {
                    label for="category" { "Category" }
                    select #category name="category" {
                        (option("", "All", &wish.category))
                        @for (c, n) in seen.picture.categories() { (option(c, &format!("{} ({n})", if c == NO_CATEGORY { "not known".to_owned() } else { look::harmless(&look::plain(c)) }), &wish.category)) }
                    }
                }
                div.field {
                    label for="unit" { "Place" }
                    select #unit name="unit" { (option("", "All", &wish.unit)) @for u in seen.picture.units() { (option(u, &look::harmless(u), &wish.unit)) } }
                }
                div.field {
                    label for="state" { "State" }
                    select #state name="state" { @for (v, w) in STATES { (option(v, w, &wish.state)) } }
                }
                div.field {
                    label for="sort" { "Order" }
                    select #sort name="sort" { @for (v, w) in ORDERS { (option(v, w, &wish.sort)) } }
                }
                button.button.second type="submit" { "Show" }
            }
            div #found { (rows(setting, wish, found, seen.picture)) }
        },
    )
}

/// Figures; a script keeps them fresh.
fn figures(setting: &Setting<'_>, seen: &Seen<'_>) -> Markup {
    let totals = seen.picture.totals();
    let figure = |name: &str, n: usize, words: &str, to: Option<&str>| {
        let value = html! { span.value data-figure=(name) { (look::number(n as u64)) } };
        let label = html! { span.label { (words) } };
        html! {
            @match to {
                Some(state) => a.figure href=(Wish::in_state(state).address()) { (value) (label) },
                None => div.figure { (value) (label) },
            }
        }
    };
    html! {
        div.figures #figures data-stream={ "/devices/stream?since=" (setting.now.as_millis()) } {
            (figure("all", totals.all, "devices", None))
            (figure("unknown", totals.unknown, "not known", Some("unknown")))
            (figure("contradictory", totals.contradictory, "contradictory", Some("contradictory")))
            (figure("at_risk", totals.at_risk, "at risk", Some("at_risk")))
            (figure("exploited", totals.exploited, "of them exploited", Some("exploited")))
            @for sensor in seen.sensors {
                div.figure data-sensor=(sensor.name) {
                    span.value { (look::number(sensor.packets)) }
                    span.label {
                        "packets, " (look::told(&sensor.name)) " "
                        span class={ "tag " (if sensor.good { "on" } else { "off" }) } { (look::harmless(&sensor.words)) }
                        @if sensor.lost > 0 { " " span.tag.off { (look::number(sensor.lost)) " lost" } }
                    }
                }
            }
        }
    }
}

/// What was found: count, table, pages.
fn rows(setting: &Setting<'_>, wish: &Wish, found: &Found<'_>, picture: &Picture) -> Markup {
    let totals = picture.totals();
    html! {
        p.quiet role="status" {
            (look::number(found.matching as u64)) " of " (look::number(totals.all as u64))
            @if totals.not_looked_up > 0 { "; known risks of " (look::number(totals.not_looked_up as u64)) " are being looked up" }
        }
        @if found.rows.is_empty() { div.empty { p { "No device matches." } p { a href="/devices" { "Show all" } } } } @else {
            div.table-box {
                table #devices {
                    caption.unseen { "Devices" }
                    thead { tr { @for (words, to, class) in COLUMNS { (heading(wish, words, to, class)) } } }
                    tbody { @for device in &found.rows { (row(setting, device)) } }
                }
            }
        }
        @if found.pages > 1 {
            nav.pager aria-label="Pages of the list" {
                @if found.page > 1 { a.button.second.short href=(wish.on_page(found.page - 1).address()) rel="prev" { "← Before" } }
                span { "Page " (look::number(found.page as u64)) " of " (look::number(found.pages as u64)) }
                @if found.page < found.pages { a.button.second.short href=(wish.on_page(found.page + 1).address()) rel="next" { "After →" } }
            }
        }
    }
}

fn heading(wish: &Wish, words: &str, to: Option<&str>, class: &str) -> Markup {
    let Some(to) = to else {
        return html! { th scope="col" class=(class) { (words) } };
    };
    let is_by = wish.sort == to;
    // Times go from the newest on.
    let direction = if to == "last" {
        "descending"
    } else {
        "ascending"
    };
    html! {
        th scope="col" class=(class) aria-sort=[is_by.then_some(direction)] {
            a.order href=(wish.sorted_by(to).address()) { (words) }
        }
    }
}

fn row(setting: &Setting<'_>, device: &Listed) -> Markup {
    let d = &device.profile;
    let or_none = |text: &Option<smol_str::SmolStr>| html! { @if let Some(text) = text { (look::told(text)) } };
    html! {
        tr {
            th scope="row" { a href=(link(&d.id)) { (look::told(device.name())) } }
            td { (kind(d)) }
            td.rare { (or_none(&d.vendor)) " " span.quiet { (or_none(&d.model)) } }
            td.number { @if d.kind.is_some() || d.category.is_some() { (percent(d.confidence)) } @else { span.quiet { "–" } } }
            td { (risk(device.risk)) }
            td.rare.mono.nowrap { @if let Some(a) = d.addresses.first() { (a) } @else if let Some(m) = d.macs.first() { (m) } }
            td.spare { @if let Some(u) = &d.unit { (look::told(u.as_str())) } @else if let Some(s) = &d.segment { span.quiet { (look::told(s)) } } }
            td.rare.nowrap { (look::ago(d.last_seen, setting.now)) }
        }
    }
}
