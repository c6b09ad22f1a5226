//! The queue, what an answer would change, and a rule.

use domain::DeviceId;
use maud::{Markup, html};

use super::{address, counted, named, tabs};
use crate::console::views::{Setting, frame};
use crate::estate::{Picture, Preview, Question, Rule};
use crate::look;

/// Devices named before the rest has to be unfolded.
const MEMBERS_SHOWN: usize = 12;
/// Pieces of shared evidence shown before the rest has to be unfolded.
const SHARED_SHOWN: usize = 6;

/// What was done before this page.
pub(in crate::console::devices) enum Told<'a> {
    /// An answer became this rule.
    Answered(&'a Rule),
    /// An answer was taken back.
    Undone,
    /// No answer was chosen.
    Choose,
}

/// What the page is drawn from.
pub(in crate::console::devices) struct Queue<'a> {
    pub(in crate::console::devices) questions: &'a [Question],
    /// Which one is asked.
    pub(in crate::console::devices) at: usize,
    pub(in crate::console::devices) rules: &'a [Rule],
    pub(in crate::console::devices) kinds: &'a [(String, String)],
    pub(in crate::console::devices) picture: &'a Picture,
    pub(in crate::console::devices) told: Option<Told<'a>>,
}

/// The queue.
pub(in crate::console::devices) fn page(setting: &Setting<'_>, queue: &Queue<'_>) -> Markup {
    let devices: usize = queue.questions.iter().map(|q| q.devices.len()).sum();
    frame(
        setting,
        "Queue",
        "devices",
        &["forms.js"],
        &html! {
            div.page-head { div { h1 { "Queue" } p { "What nobody could name, in groups. One answer names a whole group, now and when the next of its kind comes." } } }
            (tabs("/devices/queue"))
            @match &queue.told {
                Some(Told::Answered(rule)) => div.band.permit role="status" {
                    p { strong { "Done: " } (look::told(&rule.words)) "." }
                    div.buttons { (take_back(setting, rule, "Take it back")) a href=(rule_address(rule)) { "Read the rule" } }
                },
                Some(Told::Choose) => div.band.step_up role="alert" { p { "Choose what they are first, or write it." } },
                Some(Told::Undone) => div.band role="status" { p { "The answer was taken back: its devices are again what their evidence says." } },
                None => {}
            }
            @match queue.questions.get(queue.at) {
                None => div.empty { p { "No question is open." } p { a href="/devices" { "All devices" } } },
                Some(question) => {
                    p.quiet {
                        "Question " (queue.at + 1) " of " (queue.questions.len()) ", about "
                        (look::number(question.devices.len() as u64)) " of the " (counted(devices, "device", "devices")) " in the queue."
                    }
                    (asked(queue, question))
                    @if queue.questions.len() > 1 { (others(queue)) }
                }
            }
            @if !queue.rules.is_empty() { (answers(setting, queue.rules)) }
        },
    )
}

fn question_address(question: &Question) -> String {
    address("/devices/queue", "question", &question.id)
}

fn rule_address(rule: &Rule) -> String {
    address("/devices/queue/rule", "id", &rule.id)
}

/// The question that is asked now. The first choice has the keyboard: arrow keys choose, Enter goes on.
fn asked(queue: &Queue<'_>, q: &Question) -> Markup {
    let words = |kind: &str| {
        let known = queue.kinds.iter().find(|(k, _)| k == kind);
        known.map_or_else(|| look::plain(kind), |(_, words)| words.clone())
    };
    let next = queue.questions.get(queue.at + 1);
    let each = if q.devices.len() == 1 {
        "It is"
    } else {
        "Each of them is"
    };
    // Where evidence contradicts itself nothing is chosen beforehand: a tired hand must not decide it.
    let is_clear = q.cause != "contradictory";
    html! {
        section.card aria-labelledby="question" {
            div.page-head {
                h2 #question.wrap-anywhere { (sentence(&q.words)) }
                ul.tags { li.tag.warn { (look::plain(&q.cause)) } li.tag { (counted(q.devices.len(), "device", "devices")) } }
            }
            (members(queue.picture, &q.devices))
            @if !q.shared.is_empty() {
                h3 { @if q.devices.len() == 1 { "What it shows" } @else { "What they have in common" } }
                (shared(&q.shared))
            }
            @if !q.settle.is_empty() {
                h3 { "What would settle it" }
                ul.bullets { @for line in &q.settle { li.wrap-anywhere { (sentence(line)) } } }
            }
            form method="get" action="/devices/queue/preview" {
                input type="hidden" name="question" value=(q.id);
                @if !q.suggestions.is_empty() {
                    fieldset {
                        legend { (each) }
                        @for (n, (kind, why)) in q.suggestions.iter().enumerate() {
                            label.choice {
                                input type="radio" name="kind" value=(kind) checked[n == 0 && is_clear] autofocus[n == 0];
                                span { strong { (look::told(&words(kind))) } " " span.quiet { (look::told(why)) } }
                            }
                        }
                    }
                }
                div.field.other {
                    label for="other" { @if q.suggestions.is_empty() { (each) } @else { "or something else" } }
                    input #other type="text" name="other" list="kinds" autocomplete="off" maxlength="80" required[q.suggestions.is_empty()] autofocus[q.suggestions.is_empty()];
                    span.hint { "A type of the list, or a word of your own such as bed_sensor." }
                    datalist #kinds { @for (kind, words) in queue.kinds { option value=(kind) { (words) } } }
                }
                div.buttons {
                    button.button type="submit" { "See what this changes" }
                    @if let Some(next) = next { a.button.second href=(question_address(next)) { "Not now" } }
                    @else if queue.at > 0 { a.button.second href="/devices/queue" { "Back to the first" } }
                }
            }
        }
    }
}

fn sentence(text: &str) -> Markup {
    html! { bdi { @for piece in text.split_inclusive(' ').take(120) { (look::harmless(piece)) } } }
}

/// Devices by name, the first few at once.
fn members(picture: &Picture, devices: &[DeviceId]) -> Markup {
    let (first, rest) = devices.split_at(devices.len().min(MEMBERS_SHOWN));
    html! {
        ul.tags { @for id in first { li.tag.wrap-anywhere { (named(picture, id)) } } }
        @if !rest.is_empty() {
            details {
                summary { "and " (look::number(rest.len() as u64)) " more" }
                ul.tags { @for id in rest { li.tag.wrap-anywhere { (named(picture, id)) } } }
            }
        }
    }
}

/// Shared evidence, the first few pieces at once.
fn shared(lines: &[String]) -> Markup {
    let (first, rest) = lines.split_at(lines.len().min(SHARED_SHOWN));
    let list = |lines: &[String]| html! { ul.bullets { @for line in lines { li.wrap-anywhere { code { (look::told(line)) } } } } };
    html! {
        (list(first))
        @if !rest.is_empty() { details { summary { "and " (rest.len()) " more" } (list(rest)) } }
    }
}

/// All questions, to choose from.
fn others(queue: &Queue<'_>) -> Markup {
    html! {
        section.card aria-label="All questions" {
            details {
                summary { "All " (queue.questions.len()) " questions" }
                ol.list.questions {
                    @for (n, q) in queue.questions.iter().enumerate() {
                        li {
                            a.wrap-anywhere href=(question_address(q)) aria-current=[(n == queue.at).then_some("true")] { (sentence(&q.words)) }
                            span.tag { (counted(q.devices.len(), "device", "devices")) }
                        }
                    }
                }
            }
        }
    }
}

fn take_back(setting: &Setting<'_>, rule: &Rule, words: &str) -> Markup {
    html! {
        form.inline method="post" action="/devices/queue/undo" {
            input type="hidden" name="token" value=(setting.token);
            input type="hidden" name="rule" value=(rule.id);
            button.button.second.short type="submit" aria-label={ (words) ": " (look::harmless(&rule.words)) } { (words) }
        }
    }
}

fn answers(setting: &Setting<'_>, rules: &[Rule]) -> Markup {
    html! {
        section.card aria-labelledby="rules" {
            h2 #rules { "Answers in force" }
            ul.list { @for r in rules {
                li {
                    span.wrap-anywhere { a href=(rule_address(r)) { (look::told(&r.words)) } " " span.quiet { (look::told(&r.by)) ", " (look::ago(r.at, setting.now)) } }
                    (take_back(setting, r, "Take back"))
                }
            } }
        }
    }
}

/// What an answer would change.
pub(in crate::console::devices) fn preview(
    setting: &Setting<'_>,
    question: &str,
    preview: &Preview,
    picture: &Picture,
) -> Markup {
    let n = preview.devices.len();
    frame(
        setting,
        "What this changes",
        "devices",
        &["forms.js"],
        &html! {
            div.page-head { div {
                p { a href=(address("/devices/queue", "question", question)) { "← Queue" } }
                h1.wrap-anywhere { (counted(n, "device", "devices")) " would be " @if n > 1 { "each " } (look::told(&preview.words)) }
                p { "Nothing is changed yet." }
            } }
            section.card aria-labelledby="now" {
                h2 #now { "Now" }
                (members(picture, &preview.devices))
            }
            section.card aria-labelledby="later" {
                h2 #later { "Later" }
                @if preview.shared.is_empty() {
                    p { "Nothing tells these devices from others for sure, so the answer holds for them alone." }
                } @else {
                    p { "Whatever shows this is taken for " (look::told(&preview.words)) " too, unless its other evidence speaks against it:" }
                    (shared(&preview.shared))
                }
                @if !preview.also.is_empty() {
                    p { (counted(preview.also.len(), "further device", "further devices")) " of no known type show some of it:" }
                    (members(picture, &preview.also))
                }
            }
            form method="post" action="/devices/queue/answer" {
                input type="hidden" name="token" value=(setting.token);
                input type="hidden" name="question" value=(question);
                input type="hidden" name="kind" value=(preview.kind);
                div.buttons {
                    button.button type="submit" autofocus { "Name " (counted(n, "device", "devices")) }
                    a.button.second href=(address("/devices/queue", "question", question)) { "Back" }
                }
                p.hint { "It can be taken back at any time." }
            }
        },
    )
}

/// A rule.
pub(in crate::console::devices) fn rule(
    setting: &Setting<'_>,
    rule: &Rule,
    picture: &Picture,
) -> Markup {
    frame(
        setting,
        "A rule of one's own",
        "devices",
        &["forms.js"],
        &html! {
            div.page-head { div {
                p { a href="/devices/queue" { "← Queue" } }
                h1.wrap-anywhere { (look::told(&rule.words)) }
                p { (look::told(&rule.by)) " answered, " (look::time(rule.at)) " (" code { (look::told(&rule.id)) } ")" }
            } }
            section.card aria-labelledby="members" {
                h2 #members { "Given for" }
                (members(picture, &rule.devices))
            }
            section.card aria-labelledby="pack" {
                h2 #pack { "The rule" }
                @match &rule.pack {
                    None => p { "It holds for these devices alone: nothing that they share tells them from others." },
                    Some(pack) => {
                        p { "A fingerprint pack, as " code { "asepsis discover --fingerprints" } " and " code { "asepsis fingerprint test" } " read it. It names neither a person nor a device, so it can be shared." }
                        (shared(&rule.shared))
                        pre tabindex="0" aria-label="The pack" { (visible(pack)) }
                    }
                }
                div.buttons {
                    @if rule.pack.is_some() { a.button.second href=(address("/devices/queue/rule/file", "id", &rule.id)) download { "Download" } }
                    (take_back(setting, rule, "Take it back"))
                }
            }
        },
    )
}

/// A text of several lines, as a page may show it: the file holds it as it is.
fn visible(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(look::harmless_line).collect();
    lines.join("\n")
}
