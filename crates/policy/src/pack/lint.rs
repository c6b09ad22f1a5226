//! What Cedar's validator cannot know: annotations, the direction of risk, and facts that change with time.

use cedar_policy::{Effect, Policy};
use smol_str::SmolStr;

use super::Notes;
use crate::ceremony::GRANT_SECS_MAX;
use crate::decision::{Obligation, Reason};
use crate::engine::expression::{Expression, Variable};
use crate::engine::{Engine, Symbol, Value, evaluate};
use crate::facts::Vocabulary;

/// How a policy depends on the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clockwork {
    /// Ages of authentication, in seconds, at which a condition changes: each the first of the new state.
    pub(crate) age_secs: Vec<i64>,
    /// Idle times, in seconds, at which a condition changes.
    pub(crate) idle_secs: Vec<i64>,
    /// Days since an encounter at which a condition changes.
    pub(crate) encounter_days: Vec<i64>,
    /// Hours of staleness at which a condition changes.
    pub(crate) stale_hours: Vec<i64>,
    /// It reads relations: grants, consents, encounters, vendor windows.
    pub(crate) relations: bool,
    /// It reads the age of sources.
    pub(crate) feeds: bool,
}

type Problem = (String, &'static str);

/// Reads a policy's annotations.
pub(super) fn notes(policy: &Policy) -> Result<(SmolStr, Notes), Problem> {
    let id = policy.annotation("id").unwrap_or_default();
    if id.is_empty() {
        return Err((
            "a policy has no @id".to_owned(),
            "add @id(\"what-it-says-in-kebab-case\")",
        ));
    }
    if !is_kebab(id) {
        return Err((
            format!("the @id `{id}` is not in kebab-case"),
            "use lower-case letters, digits and single hyphens",
        ));
    }
    let permits = policy.effect() == Effect::Permit;
    let mut notes = Notes::default();
    for (key, value) in policy.annotations() {
        match key {
            "id" => {}
            "reason" => {
                if value.trim().is_empty() {
                    return Err((
                        format!("the @reason of `{id}` is empty"),
                        "say in one sentence why",
                    ));
                }
                notes.reason = Some(value.into());
            }
            "obligation" => {
                for name in value.split(',').map(str::trim) {
                    if !is_snake(name) {
                        return Err((
                            format!("the obligation `{name}` of `{id}` is not a name"),
                            "write @obligation(\"one_name,another_name\")",
                        ));
                    }
                    notes.obligations.push(Obligation { name: name.into() });
                }
            }
            "otherwise" if permits => {
                let (code, sentence) = value.split_once(": ").unwrap_or_default();
                if !is_kebab(code) || sentence.trim().is_empty() {
                    return Err((
                        format!("the @otherwise of `{id}` has no code or no sentence"),
                        "write @otherwise(\"some-code: One sentence.\")",
                    ));
                }
                notes.otherwise = Some(Reason {
                    code: code.into(),
                    sentence: sentence.trim().into(),
                });
            }
            "grant_secs" if permits => match value.parse() {
                Ok(secs) if (60..=GRANT_SECS_MAX).contains(&secs) => notes.grant_secs = secs,
                _ => {
                    return Err((
                        format!("the @grant_secs `{value}` of `{id}` is no possible duration"),
                        "give 60 to 14400 seconds",
                    ));
                }
            },
            other => {
                return Err((
                    format!("policy `{id}` has an annotation `@{other}` that means nothing here"),
                    "known are @id, @reason, @obligation, and on permits @otherwise and @grant_secs",
                ));
            }
        }
    }
    if permits && notes.reason.is_none() {
        return Err((
            format!("the permit `{id}` has no @reason"),
            "add @reason(\"One sentence that a nurse understands.\")",
        ));
    }
    Ok((id.into(), notes))
}

fn is_kebab(text: &str) -> bool {
    !text.is_empty()
        && text.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

fn is_snake(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Checks how policies use risk and time, and notes when their answers can change.
pub(super) fn facts(
    engine: &Engine,
    vocabulary: &Vocabulary,
    sources: &[Policy],
    notes: &mut [Notes],
) -> Result<(), (usize, String, &'static str)> {
    let clocks = vocabulary.clocks();
    for (at, policy) in engine.policies().iter().enumerate() {
        let id = &policy.id;
        let Some(conditions) = &policy.conditions else {
            // Only Cedar evaluates it. What it reads is not known to us, so it may not read what changes.
            let json = sources[at]
                .to_json()
                .map(|j| j.to_string())
                .unwrap_or_default();
            let timed = [
                "\"risk\"",
                "\"ageSecs\"",
                "\"idleSecs\"",
                "\"staleHours\"",
                "\"encounterDays\"",
            ];
            if timed.iter().any(|name| json.contains(name)) {
                return Err((
                    at,
                    format!(
                        "policy `{id}` mixes risk or time with computed sets, tags or functions"
                    ),
                    "split it in two",
                ));
            }
            notes[at].clockwork.relations = true;
            notes[at].clockwork.feeds = true;
            continue;
        };
        let clockwork = &mut notes[at].clockwork;
        for condition in conditions {
            if !risk_narrows(condition, policy.forbids, clocks.risk) {
                return Err((
                    at,
                    format!("policy `{id}` lets a higher risk permit more"),
                    "compare `context.risk` with a number: `>` or `>=` in a forbid, `<` or `<=` in a permit",
                ));
            }
            let mut problem = false;
            condition.walk(&mut |part| problem = problem || !is_plain(part, vocabulary));
            if problem {
                return Err((
                    at,
                    format!(
                        "policy `{id}` uses an age or a whole record other than by comparing it"
                    ),
                    "compare `ageSecs`, `idleSecs`, `encounterDays` and `staleHours` directly with a number, \
                     and records field by field",
                ));
            }
            condition.walk(&mut |part| {
                let Some((name, changes)) = timed(part) else {
                    return;
                };
                let list = if name == clocks.age {
                    &mut clockwork.age_secs
                } else if name == clocks.idle {
                    &mut clockwork.idle_secs
                } else if name == clocks.encounter_days {
                    &mut clockwork.encounter_days
                } else if name == clocks.stale_hours {
                    &mut clockwork.stale_hours
                } else {
                    return;
                };
                list.extend(changes);
            });
            let mut read = Vec::new();
            evaluate::reads(condition, &mut read);
            for (variable, path) in read {
                if variable == Variable::Context {
                    clockwork.relations |= path.first() == Some(&clocks.relation);
                    clockwork.feeds |= path.first() == Some(&clocks.feeds);
                }
            }
        }
    }
    Ok(())
}

fn is_risk(expression: &Expression, risk: Symbol) -> bool {
    expression
        .path()
        .is_some_and(|(v, p)| v == Variable::Context && p == [risk])
}

fn mentions_risk(expression: &Expression, risk: Symbol) -> bool {
    let mut found = false;
    expression.walk(&mut |part| found = found || is_risk(part, risk));
    found
}

/// Whether the condition, which must hold for the policy to apply, can only become true (`rising`) or only false
/// as the risk rises.
fn risk_narrows(condition: &Expression, rising: bool, risk: Symbol) -> bool {
    if !mentions_risk(condition, risk) {
        return true;
    }
    match condition {
        Expression::And(sides) | Expression::Or(sides) => {
            sides.iter().all(|s| risk_narrows(s, rising, risk))
        }
        Expression::Not(inner) => risk_narrows(inner, !rising, risk),
        Expression::Less(sides) | Expression::LessOrEqual(sides) => {
            let (low, high) = (&sides[0], &sides[1]);
            if rising {
                is_risk(high, risk) && !mentions_risk(low, risk)
            } else {
                is_risk(low, risk) && !mentions_risk(high, risk)
            }
        }
        _ => false,
    }
}

/// A comparison of a named number with a constant: the name, and the values at which the comparison changes, each
/// the first of the new state.
fn timed(part: &Expression) -> Option<(Symbol, Vec<i64>)> {
    let (Expression::Less(sides) | Expression::LessOrEqual(sides) | Expression::Equal(sides)) =
        part
    else {
        return None;
    };
    let name = |e: &Expression| e.path().and_then(|(_, path)| path.last().copied());
    let number = |e: &Expression| match e {
        Expression::Constant(Value::Long(n)) => Some(*n),
        _ => None,
    };
    let [left, right] = &**sides;
    let (name, number, named_first) = match (name(left), number(right), name(right), number(left)) {
        (Some(name), Some(number), _, _) => (name, number, true),
        (_, _, Some(name), Some(number)) => (name, number, false),
        _ => return None,
    };
    let next = number.saturating_add(1);
    let changes = match part {
        // `x < n` ends when x reaches n; `n <= x` begins there.
        Expression::Less(_) if named_first => vec![number],
        Expression::LessOrEqual(_) if !named_first => vec![number],
        Expression::Equal(_) => vec![number, next],
        _ => vec![next],
    };
    Some((name, changes))
}

/// Whether every operand that changes with time stands in a comparison with a constant, and no whole record is
/// compared, which would read what it does not name.
fn is_plain(part: &Expression, vocabulary: &Vocabulary) -> bool {
    let operand = |e: &Expression| match e.path() {
        Some((Variable::Context, path)) => match path.last() {
            None => false,
            Some(last) => {
                let whole_record = path.len() == 1 && vocabulary.is_record(*last);
                !vocabulary.is_timed(*last) && !whole_record
            }
        },
        Some(_) | None => true,
    };
    match part {
        Expression::Less(sides) | Expression::LessOrEqual(sides) | Expression::Equal(sides) => {
            timed(part).is_some() || sides.iter().all(operand)
        }
        Expression::Arithmetic(_, sides)
        | Expression::Contains(sides)
        | Expression::ContainsAll(sides)
        | Expression::ContainsAny(sides)
        | Expression::In(sides) => sides.iter().all(operand),
        Expression::Negate(e) => operand(e),
        Expression::If(parts) => parts[1..].iter().all(operand),
        Expression::Constant(_)
        | Expression::Texts(_)
        | Expression::Variable(_)
        | Expression::Attribute(..)
        | Expression::Has(..)
        | Expression::Not(_)
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::InAny(..)
        | Expression::IsEmpty(_)
        | Expression::Is(..)
        | Expression::Like(..) => true,
    }
}
