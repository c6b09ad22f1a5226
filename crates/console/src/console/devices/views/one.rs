//! One device.

use domain::conversation::{Opening, Protection};
use domain::{Conversation, Criticality, DeviceProfile, EvidenceRow, RiskFact};
use maud::{Markup, html};

use super::super::risk::{advice, is_end, provenance};
use super::{counted, kind, named, percent};
use crate::console::views::{Setting, frame};
use crate::estate::{Explained, FeedState, Picture, Risks, called};
use crate::look;

/// Risks shown before the rest has to be unfolded.
const RISKS_SHOWN: usize = 12;

/// What the page is drawn from.
pub(in crate::console::devices) struct Device<'a> {
    pub(in crate::console::devices) explained: &'a Explained,
    /// The newest of its conversations.
    pub(in crate::console::devices) conversations: &'a [Conversation],
    /// How many there are.
    pub(in crate::console::devices) total: usize,
    pub(in crate::console::devices) feeds: &'a [FeedState],
    pub(in crate::console::devices) picture: &'a Picture,
}

/// One device.
pub(in crate::console::devices) fn page(setting: &Setting<'_>, device: &Device<'_>) -> Markup {
    let d = &device.explained.profile;
    frame(
        setting,
        "Device",
        "devices",
        &[],
        &html! {
            div.page-head {
                div { p { a href="/devices" { "← Devices" } } h1.wrap-anywhere { (look::told(&called(d))) } p { (kind(d)) } }
                ul.tags { li { (criticality(d)) } @if d.kind.is_some() || d.category.is_some() { li.tag { (percent(d.confidence)) " sure" } } }
            }
            (why(device.explained))
            (facts(setting, d, device.picture))
            (known_risks(device))
            (evidence(d))
            (conversations(setting, device))
        },
    )
}

fn criticality(device: &DeviceProfile) -> Markup {
    match device.criticality {
        Criticality::LifeCritical => html! { span.tag.off { "life critical" } },
        Criticality::Clinical => html! { span.tag.warn { "clinical" } },
        Criticality::Business => html! { span.tag { "business" } },
        Criticality::Administrative => html! { span.tag { "administrative" } },
    }
}

fn why(explained: &Explained) -> Markup {
    html! {
        section.card aria-labelledby="why" {
            h2 #why { "Why" }
            div.band { p.wrap-anywhere { strong { (sentence(&explained.sentence)) } } }
            @if !explained.contradicts.is_empty() {
                h3 { "What contradicts" }
                ul.bullets { @for line in &explained.contradicts { li.wrap-anywhere { (sentence(line)) } } }
            }
            @if !explained.settle.is_empty() {
                h3 { "What would settle it" }
                ul.bullets { @for line in &explained.settle { li.wrap-anywhere { (sentence(line)) } } }
            }
        }
    }
}

/// A sentence of ours with a stranger's words in it: long, yet bounded, and harmless piece by piece.
fn sentence(text: &str) -> Markup {
    html! {
        bdi { @for piece in text.split_inclusive(' ').take(200) { (look::harmless(piece)) } }
    }
}

fn facts(setting: &Setting<'_>, d: &DeviceProfile, picture: &Picture) -> Markup {
    let known = |text: Option<&str>| html! { @match text { Some(text) => (look::told(text)), None => "not known" } };
    let words = |text: Option<&str>| html! { @match text { Some(text) => (look::told(&look::plain(text))), None => "not known" } };
    let several = |list: Vec<Markup>| html! { @if list.is_empty() { "none" } @for (n, one) in list.iter().enumerate() { @if n > 0 { ", " } (one) } };
    let text = |s: String| html! { (s) };
    html! {
        div.cards {
            section.card.plain aria-labelledby="what" {
                h2 #what { "What" }
                dl.facts {
                    dt { "Type" } dd { (words(d.kind.as_deref())) }
                    dt { "Category" } dd { (words(d.category.as_deref())) }
                    dt { "Maker" } dd { (known(d.vendor.as_deref())) }
                    dt { "Model" } dd { (known(d.model.as_deref())) }
                    dt { "System" } dd { (known(d.os.as_deref())) }
                }
            }
            section.card.plain aria-labelledby="where" {
                h2 #where { "Where" }
                dl.facts {
                    dt { "Names" } dd { (several(d.names.iter().map(|n| look::told(n)).collect())) }
                    dt { "Addresses" } dd.mono { (several(d.addresses.iter().map(|a| text(a.to_string())).collect())) }
                    dt { "MAC" } dd.mono { (several(d.macs.iter().map(|m| text(m.to_string())).collect())) }
                    dt { "Place" } dd { (known(d.unit.as_ref().map(domain::UnitId::as_str))) }
                    dt { "Segment" } dd { (known(d.segment.as_deref())) }
                    @if let Some(behind) = &d.behind { dt { "Speaks through" } dd { (named(picture, behind)) } }
                    dt { "First seen" } dd { (look::time(d.first_seen)) }
                    dt { "Last seen" } dd { (look::time(d.last_seen)) ", " (look::ago(d.last_seen, setting.now)) }
                }
            }
        }
    }
}

fn known_risks(device: &Device<'_>) -> Markup {
    html! {
        section.card aria-labelledby="risks" {
            h2 #risks { "Known risks" }
            @match &device.explained.risks {
                Some(risks) => (found(risks, device.feeds)),
                None => p { "The lists are being read. Reload in a moment." },
            }
            (lists(device.feeds))
        }
    }
}

fn found(risks: &Risks, feeds: &[FeedState]) -> Markup {
    let shown = risks.facts.len().min(RISKS_SHOWN);
    let (first, rest) = risks.facts.split_at(shown);
    html! {
            @if risks.facts.is_empty() {
                p { "No list in use names this device." }
            }
            @if !first.is_empty() { ul.list { @for r in first { (risk(r, feeds)) } } }
            @if !rest.is_empty() {
                details {
                    summary { (counted(rest.len(), "more risk", "more risks")) }
                    ul.list { @for r in rest { (risk(r, feeds)) } }
                }
            }
            @if risks.more > 0 { p.quiet { "Further " (look::number(risks.more.into())) " are left out." } }
            @if risks.undecided > 0 {
                p.quiet {
                    (look::number(risks.undecided.into())) " more name something of it without saying, or without our knowing, for which version"
                    @if risks.undecided_exploited > 0 { "; " (look::number(risks.undecided_exploited.into())) " of them are exploited" }
                    @if let Some(example) = &risks.example { " (such as " (look::told(example)) ")" }
                    ". They are not counted: the exact version would settle them."
                }
            }
            @if !risks.documents.is_empty() {
                h3 { "Documents about its model" }
                ul.bullets { @for line in &risks.documents { li.wrap-anywhere { (look::told(line)) } } }
            }
    }
}

/// The lists in use.
fn lists(feeds: &[FeedState]) -> Markup {
    html! {
        details {
            summary { (counted(feeds.len(), "list", "lists")) " in use" }
            ul.bullets {
                @for feed in feeds {
                    li.wrap-anywhere {
                        (look::told(&feed.words)) ", " (look::told(&feed.name)) ": " (look::number(feed.rows)) " rows, of " (look::day(feed.as_of))
                        @if feed.stale { " " span.tag.warn { "out of date" } }
                    }
                }
            }
            p.quiet { code { "asepsis feed import FILE" } " brings in others: KEV, NVD, CSAF, recalls, bills of materials." }
        }
    }
}

fn risk(risk: &RiskFact, feeds: &[FeedState]) -> Markup {
    let from = provenance(risk, feeds);
    html! {
        li.risk {
            div.risk-head {
                strong { @if is_end(risk) { "Support has ended" } @else { (look::told(&risk.id)) } }
                @if risk.exploited { span.tag.off { "exploited" } }
                span.tag { (percent(risk.confidence)) " sure that it applies" }
            }
            p.wrap-anywhere { "Matched: " (sentence(&risk.says)) "." }
            p { strong { "To do: " } (advice(risk)) }
            p.quiet.small {
                "From " (look::told(&from.words.join(", ")))
                @if let Some(at) = from.as_of { ", as of " (look::day(at)) }
                @if from.stale { " " span.tag.warn { "out of date" } }
            }
        }
    }
}

/// The evidence, the weightiest first; what says nothing of what it is can be unfolded.
fn evidence(d: &DeviceProfile) -> Markup {
    let (mut telling, mut silent): (Vec<&EvidenceRow>, Vec<&EvidenceRow>) = d
        .evidence
        .iter()
        .partition(|e| !e.says.is_empty() || e.weight != 0.0);
    telling.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    if telling.is_empty() {
        std::mem::swap(&mut telling, &mut silent);
    }
    html! {
        section.card aria-labelledby="evidence" {
            h2 #evidence { "Evidence" }
            @if telling.is_empty() { p.quiet { "None." } } @else { (evidence_table("Evidence, the weightiest first", &telling)) }
            @if !silent.is_empty() {
                details {
                    summary { (counted(silent.len(), "piece", "pieces")) " that tell nothing of what it is" }
                    (evidence_table("Further evidence", &silent))
                }
            }
        }
    }
}

fn evidence_table(caption: &str, rows: &[&EvidenceRow]) -> Markup {
    html! {
        div.table-box {
            table {
                caption.unseen { (caption) }
                thead { tr { th scope="col" { "Kind" } th scope="col" { "Value" } th scope="col" { "Says" } th.number scope="col" { "Weight, bits" } th scope="col" { "Source" } } }
                tbody {
                    @for e in rows {
                        tr {
                            th scope="row" { code { (e.kind) } }
                            td.wrap-anywhere { (look::told(&e.value)) }
                            td { (look::told(&e.says)) }
                            td.number { @if e.weight == 0.0 { "0" } @else { (format!("{:+.1}", e.weight)) } }
                            td { (look::told(source(&e.source))) }
                        }
                    }
                }
            }
        }
    }
}

/// The name of a source without the folder that its file lay in.
fn source(name: &str) -> &str {
    name.rsplit(['/', '\\'])
        .next()
        .filter(|n| !n.is_empty())
        .unwrap_or(name)
}

fn conversations(setting: &Setting<'_>, device: &Device<'_>) -> Markup {
    let shown = device.conversations;
    html! {
        section.card aria-labelledby="talks" {
            h2 #talks { "Talks to" }
            @if shown.is_empty() { p.quiet { "Nobody, as far as was seen." } } @else {
                @if device.total > shown.len() { p.quiet { "The last " (shown.len()) " of " (look::number(device.total as u64)) "." } }
                div.table-box {
                    table {
                        caption.unseen { "Conversations" }
                        thead { tr { th scope="col" { "With" } th scope="col" { "Service" } th scope="col" { "What" } th scope="col" { "Readable" } th.number scope="col" { "Sent" } th.number scope="col" { "Received" } th.number scope="col" { "Times" } th scope="col" { "Last" } } }
                        tbody { @for c in shown { (conversation(setting, device, c)) } }
                    }
                }
            }
        }
    }
}

fn conversation(setting: &Setting<'_>, device: &Device<'_>, c: &Conversation) -> Markup {
    let opens = c.client == device.explained.profile.id;
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
            th scope="row" {
                span aria-hidden="true" { (if opens { "→ " } else { "← " }) }
                span.unseen { (if opens { "to " } else { "from " }) }
                (named(device.picture, other))
                @if c.opening == Opening::Guessed { " " span.quiet.small { "direction guessed" } }
            }
            td { @if let Some(s) = &c.service { (look::told(s)) " " } span.quiet.nowrap { (ports) } }
            td { (look::told(&c.meanings.join(", "))) }
            td { @match c.protection { Protection::Cleartext => span.tag.warn { "cleartext" }, Protection::Encrypted => span.tag.on { "encrypted" }, Protection::Unknown => span.quiet { "not known" } } }
            td.number.nowrap { (octets(sent.bytes)) }
            td.number.nowrap { (octets(received.bytes)) }
            td.number { (look::number(c.flows)) }
            td.nowrap { (look::ago(c.last, setting.now)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_without_its_folder() {
        assert_eq!(source("/home/somebody/exports/cmdb.csv"), "cmdb.csv");
        assert_eq!(source("C:\\exports\\leases.csv"), "leases.csv");
        assert_eq!(source("core-mirror"), "core-mirror");
        assert_eq!(source("eth0/"), "eth0/");
    }

    #[test]
    fn octets_read_well() {
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(1_500), "1.5 kB");
        assert_eq!(octets(2_000_000_000_000), "2.0 TB");
    }
}
