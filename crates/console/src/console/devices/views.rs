//! The devices' pages, drawn.

use domain::conversation::{Opening, Protection};
use domain::{Conversation, Criticality, DeviceId, DeviceProfile};
use maud::{Markup, html};

use super::called;
use super::list::{Found, NO_CATEGORY, ORDERS, STATES, Wish};
use super::map::Drawn;
use crate::console::views::{Setting, frame};
use crate::estate::{Explained, Question, Rule, SensorState};
use crate::look;

/// Device links in a question before the rest is counted.
const MEMBERS_SHOWN_MAX: usize = 12;

/// The pages below "Devices".
fn tabs(current: &str) -> Markup {
    html! {
        nav.tabs aria-label="Devices" {
            ul {
                @for (address, words) in [("/devices", "List"), ("/devices/map", "Map"), ("/devices/queue", "Queue")] {
                    li { a href=(address) aria-current=[(address == current).then_some("page")] { (words) } }
                }
            }
        }
    }
}

fn link(id: &DeviceId) -> String {
    let mut address = form_urlencoded::Serializer::new(String::from("/devices/one?"));
    address.append_pair("id", id.as_str());
    address.finish()
}

fn percent(confidence: f32) -> String {
    format!("{:.0} %", f64::from(confidence.clamp(0.0, 1.0)) * 100.0)
}

fn criticality(device: &DeviceProfile) -> Markup {
    match device.criticality {
        Criticality::LifeCritical => html! { span.tag.off { "life critical" } },
        Criticality::Clinical => html! { span.tag.warn { "clinical" } },
        Criticality::Business => html! { span.tag { "business" } },
        Criticality::Administrative => html! { span.tag { "administrative" } },
    }
}

fn kind(device: &DeviceProfile) -> Markup {
    html! {
        @match (&device.kind, &device.category) {
            (Some(kind), _) => (look::plain(kind)),
            (None, Some(category)) => span.quiet { "not known (" (look::plain(category)) ")" },
            (None, None) => span.quiet { "not known" },
        }
        @if device.contradictory { " " span.tag.off { "contradictory" } }
        @if !device.risks.is_empty() { " " span.tag.warn { (device.risks.len()) " known risks" } }
    }
}

/// Nobody looks at the network yet.
pub(super) fn nothing_seen(setting: &Setting<'_>) -> Markup {
    frame(
        setting,
        "Devices",
        "devices",
        &[],
        &html! {
            div.page-head { div { h1 { "Devices" } p { "Every device on the network, what it is, and why." } } }
            div.empty {
                p { "Nothing is seen yet." }
                p { "Add a " code { "[[sensor]]" } " to the configuration, or run " code { "asepsis discover --data DIR" } " over captures, leases and exports that you already have." }
            }
        },
    )
}

/// The list.
pub(super) fn list(
    setting: &Setting<'_>,
    wish: &Wish,
    found: &Found<'_>,
    sensors: &[SensorState],
) -> Markup {
    let option = |value: &str, words: &str, chosen: &str| html! { option value=(value) selected[value == chosen] { (words) } };
    let figure = |n: usize, words: &str| html! { div.figure { span.value { (look::number(n as u64)) } span.label { (words) } } };
    frame(
        setting,
        "Devices",
        "devices",
        &["forms.js"],
        &html! {
            div.page-head { div { h1 { "Devices" } p { "Every device that was seen or told of, what it is, and how sure that is." } } }
            (tabs("/devices"))
            div.figures {
                (figure(found.all, "devices"))
                (figure(found.unknown, "not known"))
                (figure(found.contradictory, "contradictory"))
                (figure(found.at_risk, "with known risks"))
                @for sensor in sensors {
                    div.figure {
                        span.value { (look::number(sensor.packets)) }
                        span.label { "packets, " (sensor.name) " " span class={ "tag " (if sensor.good { "on" } else { "off" }) } { (sensor.words) } @if sensor.lost > 0 { " " span.tag.off { (look::number(sensor.lost)) " lost" } } }
                    }
                }
            }
            form.filters method="get" action="/devices" role="search" data-filters {
                div.field { label for="q" { "Find" } input #q type="text" name="q" value=(wish.query) maxlength="80" autocomplete="off" placeholder="name, address, maker, type"; }
                div.field {
                    label for="category" { "Category" }
                    select #category name="category" {
                        (option("", "All", &wish.category))
                        @for (c, n) in &found.categories { (option(c, &format!("{} ({n})", if c == NO_CATEGORY { "not known".to_owned() } else { look::plain(c) }), &wish.category)) }
                    }
                }
                div.field {
                    label for="unit" { "Place" }
                    select #unit name="unit" { (option("", "All", &wish.unit)) @for u in &found.units { (option(u, u, &wish.unit)) } }
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
            p.quiet role="status" { (look::number(found.matching as u64)) " of " (look::number(found.all as u64)) }
            @if found.rows.is_empty() { div.empty { p { "No device matches." } } } @else {
                div.table-box {
                    table {
                        caption.unseen { "Devices" }
                        thead { tr { th scope="col" { "Device" } th scope="col" { "What it is" } th scope="col" { "Maker and model" } th.number scope="col" { "Sure" } th scope="col" { "Address" } th scope="col" { "Place" } th scope="col" { "Last seen" } } }
                        tbody {
                            @for d in &found.rows {
                                tr {
                                    th scope="row" { a href=(link(&d.id)) { (called(d)) } }
                                    td { (kind(d)) }
                                    td { (d.vendor.as_deref().unwrap_or_default()) " " span.quiet { (d.model.as_deref().unwrap_or_default()) } }
                                    td.number { (percent(d.confidence)) }
                                    td.mono { @if let Some(a) = d.addresses.first() { (a) } @else if let Some(m) = d.macs.first() { (m) } }
                                    td { @if let Some(u) = &d.unit { (u) } @else if let Some(s) = &d.segment { span.quiet { (s) } } }
                                    td { (look::ago(d.last_seen, setting.now)) }
                                }
                            }
                        }
                    }
                }
            }
            @if found.pages > 1 {
                nav.pager aria-label="Pages of the list" {
                    @let now = wish.page.min(found.pages);
                    @if now > 1 { a.button.second.short href=(wish.address(now - 1)) { "← Earlier" } }
                    span { "Page " (now) " of " (found.pages) }
                    @if now < found.pages { a.button.second.short href=(wish.address(now + 1)) { "Later →" } }
                }
            }
        },
    )
}

/// One device.
pub(super) fn one(
    setting: &Setting<'_>,
    explained: &Explained,
    conversations: &[Conversation],
    total: usize,
    name: &dyn Fn(&DeviceId) -> String,
) -> Markup {
    let d = &explained.profile;
    let joined = |list: Vec<String>| {
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        }
    };
    frame(
        setting,
        "Device",
        "devices",
        &[],
        &html! {
            div.page-head {
                div { p { a href="/devices" { "← Devices" } } h1 { (called(d)) } p { (kind(d)) } }
                ul.tags { li { (criticality(d)) } li.tag { (percent(d.confidence)) " sure" } }
            }
            section.card aria-labelledby="why" {
                h2 #why { "Why" }
                div.band { p { strong { (explained.sentence) } } }
                @if !explained.contradicts.is_empty() {
                    h3 { "What contradicts" }
                    ul.bullets { @for line in &explained.contradicts { li { (line) } } }
                }
                @if !explained.settle.is_empty() {
                    h3 { "What would settle it" }
                    ul.bullets { @for line in &explained.settle { li { (line) } } }
                }
            }
            div.cards {
                section.card.plain aria-labelledby="what" {
                    h2 #what { "What" }
                    dl.facts {
                        dt { "Type" } dd { (d.kind.as_deref().map_or_else(|| "not known".to_owned(), look::plain)) }
                        dt { "Category" } dd { (d.category.as_deref().map_or_else(|| "not known".to_owned(), look::plain)) }
                        dt { "Maker" } dd { (d.vendor.as_deref().unwrap_or("not known")) }
                        dt { "Model" } dd { (d.model.as_deref().unwrap_or("not known")) }
                        dt { "System" } dd { (d.os.as_deref().unwrap_or("not known")) }
                    }
                }
                section.card.plain aria-labelledby="where" {
                    h2 #where { "Where" }
                    dl.facts {
                        dt { "Names" } dd { (joined(d.names.iter().map(ToString::to_string).collect())) }
                        dt { "Addresses" } dd.mono { (joined(d.addresses.iter().map(ToString::to_string).collect())) }
                        dt { "MAC" } dd.mono { (joined(d.macs.iter().map(ToString::to_string).collect())) }
                        dt { "Place" } dd { (d.unit.as_ref().map_or("not known", domain::UnitId::as_str)) }
                        dt { "Segment" } dd { (d.segment.as_deref().unwrap_or("not known")) }
                        @if let Some(behind) = &d.behind { dt { "Speaks through" } dd { a href=(link(behind)) { (name(behind)) } } }
                        dt { "First seen" } dd { (look::time(d.first_seen)) }
                        dt { "Last seen" } dd { (look::time(d.last_seen)) ", " (look::ago(d.last_seen, setting.now)) }
                    }
                }
            }
            @if !d.risks.is_empty() {
                section.card aria-labelledby="risks" {
                    h2 #risks { "Known risks" }
                    ul.bullets { @for r in &d.risks { li { strong { (r.id) } @if r.exploited { " " span.tag.off { "exploited" } } " " (r.says) " " span.quiet { (r.feed) ", " (percent(r.confidence)) " sure" } } } }
                }
            }
            section.card aria-labelledby="evidence" {
                h2 #evidence { "Evidence" }
                div.table-box {
                    table {
                        caption.unseen { "Evidence, the weightiest first" }
                        thead { tr { th scope="col" { "Kind" } th scope="col" { "Value" } th scope="col" { "Says" } th.number scope="col" { "Weight, bits" } th scope="col" { "Source" } } }
                        tbody {
                            @for e in &d.evidence {
                                tr { th scope="row" { code { (e.kind) } } td.wrap-anywhere { (e.value) } td { (e.says) } td.number { (format!("{:+.1}", e.weight)) } td { (e.source) } }
                            }
                        }
                    }
                }
            }
            section.card aria-labelledby="talks" {
                h2 #talks { "Talks to" }
                @if conversations.is_empty() { p.quiet { "Nobody, as far as was seen." } } @else {
                    @if total > conversations.len() { p.quiet { "The last " (conversations.len()) " of " (look::number(total as u64)) "." } }
                    div.table-box {
                        table {
                            caption.unseen { "Conversations" }
                            thead { tr { th scope="col" { "With" } th scope="col" { "Service" } th scope="col" { "What" } th scope="col" { "Readable" } th.number scope="col" { "Sent" } th.number scope="col" { "Received" } th.number scope="col" { "Times" } th scope="col" { "Last" } } }
                            tbody { @for c in conversations { (conversation(setting, d, c, name)) } }
                        }
                    }
                }
            }
        },
    )
}

fn conversation(
    setting: &Setting<'_>,
    device: &DeviceProfile,
    c: &Conversation,
    name: &dyn Fn(&DeviceId) -> String,
) -> Markup {
    let opens = c.client == device.id;
    let other = if opens { &c.server } else { &c.client };
    let (sent, received) = if opens {
        (c.sent, c.received)
    } else {
        (c.received, c.sent)
    };
    let ports = match (c.port, c.ports) {
        (0, n) => format!("{} on {n} ports", c.transport),
        (port, _) => format!("{}/{port}", c.transport),
    };
    html! {
        tr {
            th scope="row" { @if opens { "→ " } @else { "← " } a href=(link(other)) { (name(other)) } @if c.opening == Opening::Guessed { " " span.quiet.small { "direction guessed" } } }
            td { @if let Some(s) = &c.service { (s) " " } span.quiet { (ports) } }
            td { (c.meanings.join(", ")) }
            td { @match c.protection { Protection::Cleartext => span.tag.warn { "cleartext" }, Protection::Encrypted => span.tag.on { "encrypted" }, Protection::Unknown => span.quiet { "not known" } } }
            td.number { (octets(sent.bytes)) }
            td.number { (octets(received.bytes)) }
            td.number { (look::number(c.flows)) }
            td { (look::ago(c.last, setting.now)) }
        }
    }
}

/// Octets for people, in powers of 1,000.
fn octets(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{n} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// The map.
pub(super) fn map(setting: &Setting<'_>, drawn: &Drawn) -> Markup {
    let heaviest = drawn
        .lines
        .iter()
        .map(|l| l.conversations)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    frame(
        setting,
        "Map",
        "devices",
        &[],
        &html! {
            div.page-head { div { h1 { "Map" } p { "Wards and segments, sized by their devices. A line is conversations between two of them; a dashed one is readable by anybody on the way." } } }
            (tabs("/devices/map"))
            section.card aria-label="Map" {
                svg.map viewBox="0 0 1000 660" role="img" aria-label="Places and the conversations between them; the table below says the same" {
                    @for line in &drawn.lines {
                        @let (a, b) = (&drawn.places[line.from], &drawn.places[line.to]);
                        line.clear[line.cleartext > 0] x1=(format!("{:.0}", a.x)) y1=(format!("{:.0}", a.y)) x2=(format!("{:.0}", b.x)) y2=(format!("{:.0}", b.y))
                            stroke-width=(format!("{:.1}", 1.0 + 5.0 * (line.conversations as f64 / heaviest).sqrt())) {
                            title { (a.name) " to " (b.name) ": " (line.conversations) " conversations, " (line.cleartext) " readable" }
                        }
                    }
                    @for p in &drawn.places {
                        circle.unit[p.is_unit] cx=(format!("{:.0}", p.x)) cy=(format!("{:.0}", p.y)) r=(format!("{:.0}", p.radius)) {}
                        text x=(format!("{:.0}", p.x)) y=(format!("{:.0}", p.y + 5.0)) { (if p.devices > 0 { p.devices.to_string() } else { String::new() }) }
                        text.name x=(format!("{:.0}", p.x)) y=(format!("{:.0}", p.y + p.radius + 20.0)) { (p.name) }
                    }
                }
            }
            div.cards {
                @for p in drawn.places.iter().filter(|p| p.devices > 0) {
                    section.card.plain aria-label=(p.name) {
                        h2 { (p.name) }
                        p.quiet { (look::number(p.devices as u64)) " devices" @if p.unknown > 0 { ", " (p.unknown) " not known" } }
                        ul.tags { @for (k, n) in &p.kinds { li.tag { (n) " " (look::plain(k)) } } }
                    }
                }
            }
            @if !drawn.lines.is_empty() {
                section.card aria-labelledby="across" {
                    h2 #across { "Across" }
                    div.table-box {
                        table {
                            caption.unseen { "Conversations between places, the most first" }
                            thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.number scope="col" { "Conversations" } th.number scope="col" { "Readable" } th scope="col" { "Services" } } }
                            tbody { @for l in &drawn.lines {
                                tr { th scope="row" { (drawn.places[l.from].name) } td { (drawn.places[l.to].name) } td.number { (look::number(l.conversations as u64)) } td.number { (look::number(l.cleartext as u64)) } td { (l.services.join(", ")) } }
                            } }
                        }
                    }
                }
            }
        },
    )
}

/// The queue.
pub(super) fn queue(
    setting: &Setting<'_>,
    questions: &[Question],
    rules: &[Rule],
    kinds: &[(String, String)],
    name: &dyn Fn(&DeviceId) -> String,
    told: Option<&str>,
) -> Markup {
    let devices: usize = questions.iter().map(|q| q.devices.len()).sum();
    frame(
        setting,
        "Queue",
        "devices",
        &["forms.js"],
        &html! {
            div.page-head { div { h1 { "Queue" } p { "What nobody could name, in groups. One answer names a whole group, now and when the next of its kind comes." } } }
            (tabs("/devices/queue"))
            @if let Some(told) = told { div.band.permit role="status" { p { (told) } } }
            @if questions.is_empty() { div.empty { p { "No question is open." } } } @else {
                p.quiet { (questions.len()) " questions about " (look::number(devices as u64)) " devices." }
            }
            datalist #kinds { @for (kind, words) in kinds { option value=(kind) { (words) } } }
            @for q in questions {
                section.card aria-label=(q.words) {
                    div.page-head { div { h2 { (q.words) } } ul.tags { li.tag.warn { (look::plain(&q.cause)) } li.tag { (q.devices.len()) " devices" } } }
                    @if !q.shared.is_empty() { h3 { "What they have in common" } ul.bullets { @for line in &q.shared { li.wrap-anywhere { (line) } } } }
                    @if !q.settle.is_empty() { h3 { "What would settle it" } ul.bullets { @for line in &q.settle { li { (line) } } } }
                    ul.tags {
                        @for id in q.devices.iter().take(MEMBERS_SHOWN_MAX) { li.tag { a href=(link(id)) { (name(id)) } } }
                        @if q.devices.len() > MEMBERS_SHOWN_MAX { li.quiet { "and " (q.devices.len() - MEMBERS_SHOWN_MAX) " more" } }
                    }
                    form.filters method="post" action="/devices/queue/answer" {
                        input type="hidden" name="token" value=(setting.token);
                        input type="hidden" name="question" value=(q.id);
                        div.field {
                            label for={ "kind-" (q.id) } { "They are" }
                            input id={ "kind-" (q.id) } type="text" name="kind" list="kinds" required autocomplete="off" maxlength="80"
                                value=(q.suggestions.first().map_or("", |(kind, _)| kind.as_str()));
                            @if q.suggestions.len() > 1 { span.hint { "or " (q.suggestions.iter().skip(1).map(|(k, _)| k.as_str()).collect::<Vec<_>>().join(", ")) } }
                        }
                        button.button type="submit" { "Answer for all " (q.devices.len()) }
                    }
                }
            }
            @if !rules.is_empty() {
                section.card aria-labelledby="rules" {
                    h2 #rules { "Answers in force" }
                    ul.list { @for r in rules {
                        li {
                            span { (r.words) " " span.quiet { (r.by) ", " (look::ago(r.at, setting.now)) } }
                            form.inline method="post" action="/devices/queue/undo" {
                                input type="hidden" name="token" value=(setting.token);
                                input type="hidden" name="rule" value=(r.id);
                                button.button.second.short type="submit" aria-label={ "Take back: " (r.words) } { "Take back" }
                            }
                        }
                    } }
                }
            }
        },
    )
}
