//! The pages of the console. They draw what they are given; what may be shown is decided before.

use domain::{EnforcementMode, Outcome, RecordId, Timestamp};
use maud::{Markup, html};

use crate::look::{self, Frame, Who, document};

/// The places of the console: area, address, words.
pub(crate) const AREAS: [(&str, &str, &str); 6] = [
    ("decisions", "/decisions", "Decisions"),
    ("applications", "/applications", "Applications"),
    ("devices", "/devices", "Devices"),
    ("people", "/people", "People"),
    ("sessions", "/sessions", "Sessions"),
    ("audit", "/audit", "Audit"),
];

/// What each page of the console is drawn with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// Name of the person who looks.
    pub(crate) name: &'a str,
    /// Origin of the static files.
    pub(crate) files: &'a str,
    /// Whether identifiers of patients are hidden from this person.
    pub(crate) redacted: bool,
    /// Token for forms.
    pub(crate) token: &'a str,
    /// Now.
    pub(crate) now: Timestamp,
}

/// Puts a page into its frame.
pub(crate) fn frame(
    setting: &Setting<'_>,
    title: &str,
    area: &str,
    scripts: &[&str],
    main: &Markup,
) -> Markup {
    let nav: Vec<(&str, &str, bool)> = AREAS
        .iter()
        .map(|(a, address, words)| (*address, *words, *a == area))
        .collect();
    document(
        &Frame {
            title,
            place: "console",
            home: Some("/decisions"),
            nav: &nav,
            who: Some(Who {
                name: setting.name,
                sign_out: "/.asepsis/sign-out",
                token: None,
            }),
            scripts,
            files: setting.files,
        },
        &html! {
            div.page {
                (main)
                @if setting.redacted && !setting.name.is_empty() {
                    p.quiet { "Your role sees no identifiers of patients; they are left out here." }
                }
            }
        },
    )
}

/// Says that something is hidden, in the words used everywhere.
fn hidden() -> Markup {
    html! { span.tag { "hidden from your role" } }
}

/// A row of the stream.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) record: RecordId,
    pub(crate) at: Timestamp,
    /// The decision's outcome; absent for other records.
    pub(crate) outcome: Option<Outcome>,
    /// What kind of record it is, in words and as a class, where it is no decision.
    pub(crate) kind: &'static str,
    pub(crate) kind_class: &'static str,
    /// How many records in a row say the same; this is the newest of them.
    pub(crate) times: usize,
    /// What a shadowed request would have been.
    pub(crate) shadowed: Option<Outcome>,
    pub(crate) person: String,
    pub(crate) application: String,
    pub(crate) action: String,
    pub(crate) sentence: String,
}

/// One row. The stream and the first page use the same words.
pub(crate) fn row(row: &Row) -> Markup {
    html! {
        li.seen id={ "r" (row.record) } data-outcome=(row.outcome.map_or("event", Outcome::as_str)) {
            a href={ "/decisions/" (row.record) } {
                span { @match row.outcome { Some(o) => (look::outcome(o)), None => (look::event(row.kind_class, row.kind)) } }
                @if !(row.person.is_empty() && row.application.is_empty() && row.action.is_empty()) {
                    span.seen-what {
                        @if !row.person.is_empty() { strong { (row.person) } }
                        @if !row.application.is_empty() { span { (row.application) } }
                        @if !row.action.is_empty() { span.mono.quiet { (row.action) } }
                        @if let Some(would) = row.shadowed { span.tag.warn { "shadow: would be " (look::outcome_words(would)) } }
                    }
                }
                span.seen-when { @if row.times > 1 { span.tag { (row.times) " times" } " " } (look::clock(row.at)) }
                span.seen-why { (row.sentence) }
                span.seen-record.number { "record " (row.record) }
            }
        }
    }
}

/// Rows of records that come in the order given, those in a row that say the same drawn as one: a page of an
/// application may ask for twenty files. `newest_first` tells which of them is the newest.
pub(crate) fn rows(rows: Vec<Row>, newest_first: bool) -> Vec<Row> {
    let mut folded: Vec<Row> = Vec::with_capacity(rows.len());
    for mut row in rows {
        match folded.last_mut() {
            Some(last) if last.says_the_same(&row) => {
                last.times += 1;
                if !newest_first {
                    row.times = last.times;
                    *last = row;
                }
            }
            Some(_) | None => folded.push(row),
        }
    }
    folded
}

impl Row {
    fn says_the_same(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.outcome, r.shadowed, r.kind);
        let words =
            |r: &Self| [&r.person, &r.application, &r.action, &r.sentence].map(|word| word.clone());
        key(self) == key(other) && words(self) == words(other)
    }
}

/// What can be chosen above the stream.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    pub(crate) outcome: String,
    pub(crate) application: String,
    pub(crate) unit: String,
    pub(crate) applications: Vec<String>,
    pub(crate) units: Vec<String>,
}

const OUTCOMES: [(&str, &str); 6] = [
    ("", "Everything"),
    ("permit", "Permitted"),
    ("step_up", "Step up"),
    ("break_glass", "Break glass"),
    ("deny", "Refused"),
    ("event", "Sign-ins and other events"),
];

/// The live stream.
pub(crate) fn decisions(
    setting: &Setting<'_>,
    filters: &Filters,
    rows: &[Row],
    stream: &str,
) -> Markup {
    let option = |value: &str, words: &str, chosen: &str| html! { option value=(value) selected[value == chosen] { (words) } };
    frame(
        setting,
        "Decisions",
        "decisions",
        &["live.js", "forms.js"],
        &html! {
            div.page-head {
                div { h1 { "Decisions" } p { "Each request as it is judged. Choose a row to see why." } }
                div.stream-bar {
                    span.pulse #pulse { "Not live: needs JavaScript" }
                    button.button.second.short #pause type="button" aria-pressed="false" hidden { "Pause" }
                }
            }
            form.filters method="get" action="/decisions" data-filters {
                div.field {
                    label for="outcome" { "Outcome" }
                    select #outcome name="outcome" { @for (v, w) in OUTCOMES { (option(v, w, &filters.outcome)) } }
                }
                div.field {
                    label for="application" { "Application" }
                    select #application name="application" {
                        (option("", "All but this console", &filters.application))
                        (option("*", "All", &filters.application))
                        @for a in &filters.applications { (option(a, a, &filters.application)) }
                    }
                }
                div.field {
                    label for="unit" { "Ward or unit" }
                    select #unit name="unit" {
                        (option("", "All", &filters.unit))
                        @for u in &filters.units { (option(u, u, &filters.unit)) }
                    }
                }
                button.button.second type="submit" { "Show" }
            }
            p.unseen #spoken role="status" aria-live="polite" {}
            p.unseen #stream-help { "Arrow keys move between rows, Enter opens one." }
            ol.stream #stream data-stream=(stream) aria-label="Decisions, newest first" aria-describedby="stream-help" {
                @for r in rows { (row(r)) }
            }
            div.empty #stream-empty hidden[!rows.is_empty()] { p { "Nothing yet. What happens from now on appears here." } }
        },
    )
}

/// Facts under a heading: name and value.
pub(crate) type Facts = Vec<(String, String)>;

/// Everything that the page of one record shows.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    pub(crate) record: u64,
    pub(crate) at: Option<Timestamp>,
    pub(crate) kind: &'static str,
    pub(crate) kind_class: &'static str,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) shadowed: Option<Outcome>,
    pub(crate) sentence: String,
    pub(crate) code: String,
    /// The why, sentence by sentence.
    pub(crate) why: Vec<String>,
    /// The permit that came nearest.
    pub(crate) nearest: Option<String>,
    /// What it lacked.
    pub(crate) missing: Vec<String>,
    pub(crate) who: Facts,
    pub(crate) what: Facts,
    pub(crate) how: Facts,
    pub(crate) policies: Vec<String>,
    pub(crate) obligations: Vec<String>,
    pub(crate) alarms: Vec<String>,
    /// The facts of the slice that the decision was made from.
    pub(crate) slice: Facts,
    /// Whether facts were left out because of the viewer's role.
    pub(crate) left_out: bool,
    /// What judging it again gave, and whether that is as it should be.
    pub(crate) replay: Option<(String, bool)>,
    /// Another record that this one is about.
    pub(crate) about: Option<u64>,
    /// Whether its payload was erased.
    pub(crate) pruned: bool,
}

fn facts(title: &str, id: &str, list: &Facts) -> Markup {
    html! {
        @if !list.is_empty() {
            section.card.plain aria-labelledby=(id) {
                h2 id=(id) { (title) }
                dl.facts { @for (name, value) in list { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn tags(title: &str, list: &[String]) -> Markup {
    html! {
        @if !list.is_empty() {
            h3 { (title) }
            ul.tags { @for t in list { li.tag { (t) } } }
        }
    }
}

/// The page of one record.
pub(crate) fn detail(setting: &Setting<'_>, d: &Detail) -> Markup {
    frame(
        setting,
        &format!("Record {}", d.record),
        "decisions",
        &[],
        &html! {
            div.page-head {
                div {
                    p { a href="/decisions" { "← Decisions" } }
                    h1 { "Record " span.number { (d.record) } }
                    @if let Some(at) = d.at { p { (look::time(at)) " UTC, " (look::ago(at, setting.now)) } }
                }
                @match d.outcome { Some(o) => (look::outcome(o)), None => (look::event(d.kind_class, d.kind)) }
            }
            section.card aria-labelledby="why" {
                h2 #why { "Why" }
                @if !d.sentence.is_empty() {
                    div class={ "band " (d.outcome.map_or("", Outcome::as_str)) } { p { strong { (d.sentence) } } p.quiet { code { (d.code) } } }
                }
                @if let Some(would) = d.shadowed {
                    div.band.break_glass { p { "Let through because the application is in shadow mode. Enforced, it would have been: " strong { (look::outcome_words(would)) } "." } }
                }
                @if !d.why.is_empty() { ul.bullets { @for line in &d.why { li { (line) } } } }
                @if !d.missing.is_empty() {
                    div {
                        h3 { "What was missing" }
                        @if let Some(nearest) = &d.nearest { p.quiet { "for the nearest rule, " code { (nearest) } } }
                    }
                    ul.bullets { @for line in &d.missing { li { (line) } } }
                }
                (tags("Policies that decided", &d.policies))
                (tags("Obligations", &d.obligations))
                @if !d.alarms.is_empty() { div.band.deny { p { "Alarms: " (d.alarms.join(", ")) } } }
                @if let Some((words, good)) = &d.replay {
                    div class={ "band " @if *good { "permit" } @else { "deny" } } { p { (words) } }
                }
                @if d.pruned { div.band { p { "The details of this record were erased. That it happened, and when, stays provable." } } }
            }
            div.cards {
                (facts("Who", "who", &d.who))
                (facts("What", "what", &d.what))
                (facts("How", "how", &d.how))
            }
            @if !d.slice.is_empty() {
                section.card.plain {
                    details {
                        summary { "Facts that the decision was made from" }
                        dl.facts { @for (name, value) in &d.slice { dt { (name) } dd { (value) } } }
                    }
                }
            }
            @if d.left_out { p { "Facts about patients are " (hidden()) } }
            div.buttons {
                a.button.second href={ "/audit/proof/" (d.record) } { "Proof that this record is in the log" }
                @if let Some(about) = d.about { a.button.second href={ "/decisions/" (about) } { "Record " (about) ", which this is about" } }
            }
        },
    )
}

/// An application on its page.
#[derive(Debug)]
pub(crate) struct ApplicationCard {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) mode: EnforcementMode,
    pub(crate) criticality: String,
    /// Whether its upstream answers: words and whether that is good; absent: nobody asked yet.
    pub(crate) health: Option<(String, bool)>,
    /// Decisions by outcome.
    pub(crate) counts: Vec<(Outcome, u64)>,
    /// By ward: would-be outcomes of shadowed requests, and people concerned.
    pub(crate) stopped: Vec<Stopped>,
}

/// Who would have been stopped in one unit.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) unit: String,
    pub(crate) people: u64,
    pub(crate) step_up: u64,
    pub(crate) break_glass: u64,
    pub(crate) deny: u64,
}

/// The applications.
pub(crate) fn applications(
    setting: &Setting<'_>,
    cards: &[ApplicationCard],
    counted_since: &str,
) -> Markup {
    frame(
        setting,
        "Applications",
        "applications",
        &[],
        &html! {
            div.page-head { div { h1 { "Applications" } p { "What stands behind the gateway, and what enforcing would mean. Counted " (counted_since) "." } } }
            @if cards.is_empty() { div.empty { p { "No application is configured." } } }
            @for card in cards {
                section.card aria-label=(card.name) {
                    div.page-head {
                        div { h2 { (card.name) } p.wrap-anywhere { (card.address) } }
                        ul.tags {
                            li class={ "tag " (if card.mode == EnforcementMode::Enforce { "on" } else { "warn" }) } {
                                @match card.mode { EnforcementMode::Enforce => "enforced", EnforcementMode::Shadow => "shadow" }
                            }
                            li.tag { (look::plain(&card.criticality)) }
                            @if let Some((words, good)) = &card.health { li class={ "tag " (if *good { "on" } else { "off" }) } { (words) } }
                        }
                    }
                    div.figures {
                        @for (outcome, n) in &card.counts {
                            div.figure { span.value { (look::number(*n)) } span.label { (look::outcome_words(*outcome)) } }
                        }
                    }
                    @if card.mode == EnforcementMode::Shadow || !card.stopped.is_empty() {
                        h3 { "Who would have been stopped" }
                        @if card.stopped.is_empty() { p.quiet { "Nobody so far." } } @else {
                            div.table-box {
                                table {
                                    caption.unseen { "Requests that " (card.name) " would not have permitted, by ward or unit of the person" }
                                    thead { tr { th scope="col" { "Ward or unit" } th.number scope="col" { "People" } th.number scope="col" { "Step up" } th.number scope="col" { "Break glass" } th.number scope="col" { "Refused" } } }
                                    tbody {
                                        @for s in &card.stopped {
                                            tr { th scope="row" { (s.unit) } td.number { (look::number(s.people)) } td.number { (look::number(s.step_up)) } td.number { (look::number(s.break_glass)) } td.number { (look::number(s.deny)) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// A person.
#[derive(Debug)]
pub(crate) struct PersonRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) roles: String,
    pub(crate) units: String,
    pub(crate) active: bool,
    pub(crate) passkeys: usize,
    pub(crate) sessions: usize,
}

/// The people.
pub(crate) fn people(
    setting: &Setting<'_>,
    rows: &[PersonRow],
    total: usize,
    query: &str,
) -> Markup {
    frame(
        setting,
        "People",
        "people",
        &[],
        &html! {
            div.page-head { div { h1 { "People" } p { "Who can be a subject, as the directory and the feeds describe them." } } }
            form.filters method="get" action="/people" role="search" {
                div.field { label for="q" { "Name, role or unit" } input #q type="text" name="q" value=(query) maxlength="80" autocomplete="off"; }
                button.button.second type="submit" { "Find" }
            }
            p.quiet role="status" { (look::number(rows.len() as u64)) " of " (look::number(total as u64)) @if rows.len() < total { " shown" } }
            div.table-box {
                table {
                    caption.unseen { "People" }
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Staff number" } th scope="col" { "Roles" } th scope="col" { "Units" } th scope="col" { "State" } th.number scope="col" { "Passkeys" } th.number scope="col" { "Sessions" } } }
                    tbody {
                        @for p in rows {
                            tr {
                                th scope="row" { (p.name) }
                                td.mono { (p.id) }
                                td { (p.roles) }
                                td { (p.units) }
                                td { @if p.active { span.tag.on { "active" } } @else { span.tag.off { "not active" } } }
                                td.number { (p.passkeys) }
                                td.number { (p.sessions) }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// A session.
#[derive(Debug)]
pub(crate) struct SessionRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) roles: String,
    pub(crate) device: String,
    pub(crate) strength: String,
    pub(crate) proved: Timestamp,
    pub(crate) last_active: Timestamp,
    pub(crate) ends: Timestamp,
    pub(crate) emergency: bool,
    pub(crate) applications: String,
    pub(crate) own: bool,
}

/// The sessions.
pub(crate) fn sessions(setting: &Setting<'_>, rows: &[SessionRow], told: Option<&str>) -> Markup {
    frame(
        setting,
        "Sessions",
        "sessions",
        &["forms.js"],
        &html! {
            div.page-head { div { h1 { "Sessions" } p { "Who is signed in now. Ending a session takes effect with the next request, and cuts open streams." } } }
            @if let Some(told) = told { div.band.permit role="status" { p { (told) } } }
            @if rows.is_empty() { div.empty { p { "Nobody is signed in." } } } @else {
                div.table-box {
                    table {
                        caption.unseen { "Sessions" }
                        thead { tr { th scope="col" { "Person" } th scope="col" { "Device" } th scope="col" { "Proof" } th scope="col" { "Last active" } th scope="col" { "Ends if not used" } th scope="col" { span.unseen { "End" } } } }
                        tbody {
                            @for s in rows {
                                tr {
                                    th scope="row" { (s.name) @if s.own { " " span.tag { "you" } } @if s.emergency { " " span.tag.warn { "emergency" } } br; span.quiet.small { (s.roles) } }
                                    td { (s.device) br; span.quiet.small { (s.applications) } }
                                    td { (s.strength) br; span.quiet.small { (look::ago(s.proved, setting.now)) } }
                                    td { (look::ago(s.last_active, setting.now)) }
                                    td { (look::time(s.ends)) }
                                    td {
                                        form.inline method="post" action="/sessions/end" {
                                            input type="hidden" name="token" value=(setting.token);
                                            input type="hidden" name="session" value=(s.id);
                                            button.button.grave.short type="submit" aria-label={ "End the session of " (s.name) " now" } { "End now" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// What is known of a verification of the log.
#[derive(Clone, Debug)]
pub(crate) enum Verification {
    /// None was asked for.
    None,
    /// One runs: records checked, records in all.
    Running(u64, u64),
    /// The log is sound: records, root, instant.
    Sound {
        size: u64,
        root: String,
        pruned: u64,
        at: Timestamp,
    },
    /// The log is not sound.
    Fault {
        place: String,
        what: String,
        at: Timestamp,
    },
}

/// The part of the audit page that follows a verification.
pub(crate) fn verification(setting: &Setting<'_>, state: &Verification) -> Markup {
    let button = |words: &str| {
        html! {
            form method="get" action="/audit/verify" {
                input type="hidden" name="token" value=(setting.token);
                div.buttons { button.button type="submit" { (words) } }
            }
        }
    };
    html! {
        @match state {
            Verification::None => { p { "Reads the whole log again and checks every byte, every hash and every signature." } (button("Verify the log")) }
            Verification::Running(done, all) => {
                p data-running { "Checking: " (look::number(*done)) " of " (look::number((*all).max(*done))) " records" }
                progress max=((*all).max(1)) value=(done) aria-label="Records checked" {}
                noscript { p { a href="/audit" { "Show how far it is" } } }
            }
            Verification::Sound { size, root, pruned, at } => {
                div.band.permit {
                    p { strong { "The log is sound." } " " (look::number(*size)) " records checked, nothing changed, dropped or reordered." }
                    p.quiet { "Root " code { (root) } @if *pruned > 0 { ", payloads erased: " (look::number(*pruned)) } ", " (look::ago(*at, setting.now)) }
                }
                (button("Verify again"))
            }
            Verification::Fault { place, what, at } => {
                div.band.deny role="alert" {
                    p { strong { "The log is not sound." } " " (what) }
                    p { "Place: " code { (place) } ", found " (look::ago(*at, setting.now)) }
                }
                (button("Verify again"))
            }
        }
    }
}

/// The audit page.
pub(crate) struct AuditPage<'a> {
    pub(crate) size: u64,
    pub(crate) origin: &'a str,
    pub(crate) checkpoint_size: u64,
    pub(crate) root: &'a str,
    /// Why the log takes no records, if it does not.
    pub(crate) failing: Option<&'a str>,
    pub(crate) verification: &'a Verification,
    pub(crate) told: Option<&'a str>,
}

/// The audit page.
pub(crate) fn audit(setting: &Setting<'_>, page: &AuditPage<'_>) -> Markup {
    frame(
        setting,
        "Audit",
        "audit",
        &["progress.js"],
        &html! {
            div.page-head { div { h1 { "Audit" } p { "Every decision is a leaf of a Merkle tree. Whoever keeps a checkpoint can later prove that nothing was changed or dropped." } } }
            @if let Some(told) = page.told { div.band.deny role="alert" { p { (told) } } }
            @if let Some(why) = page.failing { div.band.deny role="alert" { p { strong { "The log takes no records." } " " (why) } p { "Until it does, nothing is forwarded unrecorded." } } }
            section.card aria-labelledby="state" {
                h2 #state { "State" }
                div.figures {
                    div.figure { span.value { (look::number(page.size)) } span.label { "durable records" } }
                    div.figure { span.value { (look::number(page.checkpoint_size)) } span.label { "under the last checkpoint" } }
                }
                dl.facts { dt { "Log" } dd { (page.origin) } dt { "Root of the checkpoint" } dd { code { (page.root) } } }
                div.buttons { a.button.second href="/audit/checkpoint" download { "Download the checkpoint" } }
            }
            section.card aria-labelledby="verify" {
                h2 #verify { "Verify" }
                div #verification data-address="/audit/verification" aria-live="polite" { (verification(setting, page.verification)) }
            }
            section.card aria-labelledby="proof" {
                h2 #proof { "Proof of one record" }
                form.filters method="get" action="/audit/proof" {
                    div.field { label for="record" { "Record number" } input #record type="text" name="record" inputmode="numeric" pattern="[0-9]{1,19}" required; }
                    button.button.second type="submit" { "Show the proof" }
                }
            }
        },
    )
}

/// The proof of one record.
pub(crate) fn proof(setting: &Setting<'_>, record: RecordId, text: &str) -> Markup {
    frame(
        setting,
        &format!("Proof of record {record}"),
        "audit",
        &[],
        &html! {
            div.page-head { div {
                p { a href="/audit" { "← Audit" } }
                h1 { "Proof of record " span.number { (record) } }
                p { "With this text and the log's public key anybody can check, without access to anything here, that the record is in the log." }
            } }
            section.card {
                pre tabindex="0" aria-label="Proof" { (text) }
                div.buttons {
                    a.button.second href={ "/audit/proof/" (record) "/text" } download { "Download" }
                    a.button.second href={ "/decisions/" (record) } { "The record" }
                }
            }
        },
    )
}

/// A page of the console that says one thing.
pub(crate) fn notice(setting: &Setting<'_>, area: &str, title: &str, words: &str) -> Markup {
    frame(
        setting,
        title,
        area,
        &[],
        &html! { div.card { h1 { (title) } p { (words) } div.buttons { a.button href="/decisions" { "Go to the decisions" } } } },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(record: u64, person: &str) -> Row {
        Row {
            record: RecordId(record),
            at: Timestamp::from_millis(0),
            outcome: Some(Outcome::Permit),
            kind: "Decision",
            kind_class: "event",
            times: 1,
            shadowed: None,
            person: person.to_owned(),
            application: "chart".to_owned(),
            action: "web:get".to_owned(),
            sentence: "Open to staff.".to_owned(),
        }
    }

    #[test]
    fn records_in_a_row_that_say_the_same_are_one_row() {
        let seen = || {
            vec![
                row_of(5, "a"),
                row_of(4, "a"),
                row_of(3, "b"),
                row_of(2, "a"),
            ]
        };
        let folded = rows(seen(), true);
        let told: Vec<(u64, usize)> = folded.iter().map(|r| (r.record.0, r.times)).collect();
        assert_eq!(told, [(5, 2), (3, 1), (2, 1)]);
        let mut oldest_first = seen();
        oldest_first.reverse();
        let folded = rows(oldest_first, false);
        let told: Vec<(u64, usize)> = folded.iter().map(|r| (r.record.0, r.times)).collect();
        assert_eq!(told, [(2, 1), (3, 1), (5, 2)]);
        assert!(row(&folded[2]).into_string().contains("2 times"));
    }
}
