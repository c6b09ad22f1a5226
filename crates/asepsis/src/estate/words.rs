//! Questions, previews and rules in the console's words.

use console::estate::{Preview, Question, Rule};
use inventory::inventory::LocalRule;
use inventory::queue::Reason;
use inventory::{Evidence, Inventory, taxonomy};

fn shown(evidence: &Evidence) -> String {
    format!("{}: {}", evidence.kind, evidence.value)
}

pub(super) fn question(question: inventory::queue::Question) -> Question {
    Question {
        id: question.id.to_string(),
        words: question.sentence,
        cause: match question.reason {
            Reason::Contradictory => "contradictory",
            Reason::Unknown => "unknown",
            Reason::New => "new",
        }
        .to_owned(),
        devices: question.devices,
        shared: question.shared.iter().map(shown).collect(),
        settle: question.settle.iter().map(ToString::to_string).collect(),
        suggestions: question
            .suggestions
            .iter()
            .map(|s| (s.kind.to_string(), s.why.to_string()))
            .collect(),
    }
}

pub(super) fn preview(preview: inventory::inventory::Preview) -> Preview {
    Preview {
        words: taxonomy::words(&preview.kind),
        kind: preview.kind.to_string(),
        devices: preview.devices,
        shared: preview.shared.iter().map(shown).collect(),
        also: preview.also,
    }
}

/// The rules in force, the newest first.
pub(super) fn rules(inventory: &Inventory) -> Vec<Rule> {
    inventory.rules().iter().rev().map(rule).collect()
}

pub(super) fn rule(rule: &LocalRule) -> Rule {
    let kind = taxonomy::words(&rule.kind);
    let who = match rule.devices.len() {
        1 => format!("1 device is {kind}"),
        n => format!("{n} devices are each {kind}"),
    };
    let others = if rule.pack.is_some() {
        ", and so is whatever shares their fingerprint"
    } else {
        ""
    };
    Rule {
        id: rule.id.to_string(),
        words: format!("{who}{others}"),
        by: rule.person.as_str().to_owned(),
        at: rule.at,
        devices: rule.devices.clone(),
        shared: rule.shared.iter().map(shown).collect(),
        pack: rule.pack.clone(),
    }
}
