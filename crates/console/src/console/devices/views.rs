//! The devices' pages, drawn. What devices and strangers chose to say of themselves goes through [`look::told`].

pub(super) mod list;
pub(super) mod map;
pub(super) mod one;
pub(super) mod queue;

use domain::{DeviceId, DeviceProfile};
use maud::{Markup, html};

use crate::console::views::{Setting, frame};
use crate::estate::{Picture, RiskSummary};
use crate::form::with_query;
use crate::look;

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

/// The address of a page with one field.
fn address(path: &str, field: &str, value: &str) -> String {
    with_query(path, [(field, value)])
}

/// Where a device's page is.
fn link(id: &DeviceId) -> String {
    address("/devices/one", "id", id.as_str())
}

/// A device by its name, leading to its page; who is no device is only named.
fn named(picture: &Picture, id: &DeviceId) -> Markup {
    html! {
        @if picture.device(id).is_some() { a href=(link(id)) { (look::told(picture.name_of(id))) } }
        @else { (look::told(id.as_str())) }
    }
}

fn percent(confidence: f32) -> String {
    format!(
        "{:.0}\u{a0}%",
        f64::from(confidence.clamp(0.0, 1.0)) * 100.0
    )
}

/// `1 device`, `2 devices`.
fn counted(n: usize, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        look::number(n as u64),
        if n == 1 { one } else { many }
    )
}

/// What a device is taken for.
fn kind(device: &DeviceProfile) -> Markup {
    html! {
        @match (&device.kind, &device.category) {
            (Some(kind), _) => (look::told(&look::plain(kind))),
            (None, Some(category)) => span.quiet { "not known (" (look::told(&look::plain(category))) ")" },
            (None, None) => span.quiet { "not known" },
        }
        @if device.contradictory { " " span.tag.off { "contradictory" } }
    }
}

/// Known risks as tags.
fn risk(risk: Option<RiskSummary>) -> Markup {
    html! {
        @match risk {
            None => span.quiet { "being looked up" },
            Some(r) if r.known == 0 => span.quiet { "none known" },
            Some(r) => {
                span.tag.warn { (look::number(r.known.into())) " known" }
                @if r.exploited > 0 { " " span.tag.off { (look::number(r.exploited.into())) " exploited" } }
            }
        }
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

/// Something that was asked for cannot be done.
pub(super) fn refusal(setting: &Setting<'_>, why: &str) -> Markup {
    frame(
        setting,
        "That cannot be done",
        "devices",
        &[],
        &html! {
            div.card role="alert" {
                h1 { "That cannot be done" }
                p.wrap-anywhere { (look::told(why)) "." }
                p { "Nothing was changed." }
                div.buttons { a.button href="/devices/queue" { "Back to the queue" } }
            }
        },
    )
}
