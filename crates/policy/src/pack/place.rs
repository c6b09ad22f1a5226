//! Where in a pack an error lies.

use std::str::FromStr;

use cedar_policy::{Policy, PolicySet};
use miette::Diagnostic;

use super::PackError;

/// The policies of a file, in its order.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Policy>, PackError> {
    let set = PolicySet::from_str(text).map_err(|e| {
        // The first of the errors; the others often follow from it.
        match e.iter().next() {
            Some(first) => of(first, file, text, "correct the policy's syntax"),
            None => of(&e, file, text, "correct the policy's syntax"),
        }
    })?;
    if let Some(template) = set.templates().next() {
        let line = line_with(text, "?principal").min(line_with(text, "?resource"));
        return Err(PackError {
            file: file.to_owned(),
            line,
            message: format!("`{}` is a template", template.id()),
            remedy: "write a policy for each entity, or use a group".to_owned(),
        });
    }
    let mut policies = set.policies().cloned().collect::<Vec<_>>();
    policies.sort_by_key(offset_of);
    Ok(policies)
}

/// The line on which a policy of this text begins.
pub(super) fn line_of(policy: &Policy, text: &str) -> usize {
    line_at(text, offset_of(policy))
}

fn offset_of(policy: &Policy) -> usize {
    policy.as_ref().loc().map_or(0, |loc| loc.span.offset())
}

/// An error of Cedar's, with its place.
pub(super) fn of<E: Diagnostic>(error: &E, file: &str, text: &str, remedy: &str) -> PackError {
    of_with_line(error, file, text, 1, remedy)
}

/// An error of Cedar's, with its place, or the given line if it names none.
pub(super) fn of_with_line<E: Diagnostic>(
    error: &E,
    file: &str,
    text: &str,
    line: usize,
    remedy: &str,
) -> PackError {
    let at = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| line_at(text, label.offset()));
    let help = error.help().map(|h| h.to_string());
    PackError {
        file: file.to_owned(),
        line: at.unwrap_or(line),
        message: chain(error),
        remedy: help.unwrap_or_else(|| remedy.to_owned()),
    }
}

/// An error's message with those of its causes.
pub(super) fn chain<E: std::error::Error>(error: &E) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = e.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = e.source();
    }
    message
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// The first line that holds `word`; the first of all if none does.
pub(super) fn line_with(text: &str, word: &str) -> usize {
    if word.is_empty() {
        return 1;
    }
    text.lines()
        .position(|l| l.contains(word))
        .map_or(1, |at| at + 1)
}
