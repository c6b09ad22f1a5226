//! The plain sentences.

use std::fmt::Write as _;

use domain::Timestamp;
use smol_str::SmolStr;

use crate::risk::row::{Name, Recall, Vulnerability, short};

/// The day of an instant.
pub(super) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

pub(super) fn vulnerability(says: &str, row: &Vulnerability, since: Option<Timestamp>) -> SmolStr {
    let mut out = says.to_owned();
    if let Some(since) = since {
        let _ = write!(
            out,
            "; attackers are known to use this since {} at the latest",
            day(since)
        );
    }
    if !row.title.is_empty() {
        let _ = write!(out, ": {}", row.title);
    }
    if row.cut {
        out.push_str(" (the list names more products than are kept)");
    }
    short(&out, 480)
}

pub(super) fn component(name: &Name, version: &str) -> SmolStr {
    format!("{} {version}", name.product.replace('_', " ")).into()
}

pub(super) fn recall(recall: &Recall, how: &str) -> SmolStr {
    let mut out = String::from("a recall");
    if !recall.class.is_empty() {
        let _ = write!(out, " ({})", recall.class);
    }
    if !recall.firm.is_empty() {
        let _ = write!(out, " by {}", recall.firm);
    }
    let _ = write!(out, " {how}");
    if recall.over {
        out.push_str(" (the recall is over; check that this unit was corrected)");
    }
    if !recall.reason.is_empty() {
        let _ = write!(out, ": {}", recall.reason);
    }
    short(&out, 480)
}
