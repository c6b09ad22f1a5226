//! Plain words for what was missing.

use smol_str::SmolStr;

use super::judge::nearest;
use super::reason;
use crate::decision::Reason;
use crate::engine::expression::{Expression, Variable};
use crate::engine::{PolicyNumber, Query, Value, evaluate};
use crate::pack::PolicyPack;

/// Why nothing permitted a question that nothing forbade.
pub(super) fn of_silence(pack: &PolicyPack, query: &Query, selected: &[PolicyNumber]) -> Reason {
    let Some((policy, unmet)) = nearest(pack, query, selected) else {
        let engine = pack.engine();
        let somebody = engine
            .in_reach(query)
            .into_iter()
            .any(|p| !engine.policies()[p as usize].forbids && engine.admits_resource(query, p));
        return if somebody {
            reason("role-not-permitted", "Your role does not include this.")
        } else {
            reason(
                "nobody-permitted",
                "The hospital's rules open this to nobody.",
            )
        };
    };
    if let Some(reason) =
        of_what_is_asked(pack, query, policy, &unmet).or_else(|| of_only(pack, policy, &unmet))
    {
        return reason;
    }
    pack.notes(policy)
        .otherwise
        .clone()
        .unwrap_or_else(|| reason("not-permitted", "No rule of the hospital allows this."))
}

/// The reason if what is asked for is itself the obstacle, so that no relation of whoever asks would help.
fn of_what_is_asked(
    pack: &PolicyPack,
    query: &Query,
    policy: PolicyNumber,
    unmet: &[usize],
) -> Option<Reason> {
    let engine = pack.engine();
    let names = engine.names();
    let conditions = engine.policies()[policy as usize].conditions.as_ref()?;
    let mut read = Vec::new();
    for condition in unmet {
        evaluate::reads(&conditions[*condition], &mut read);
    }
    let reads = |variable: Variable, below: &str| {
        read.iter().any(|(v, path)| {
            *v == variable && path.first().is_some_and(|name| names.name(*name) == below)
        })
    };
    let has = |name: &str| {
        let name = names.get(name)?;
        query.resource.attributes.get(name)
    };
    if reads(Variable::Resource, "operation") && has("operation").is_some() {
        return Some(reason(
            "operation-not-open",
            "This operation is not one that your work needs.",
        ));
    }
    if reads(Variable::Context, "relation") && has("namesPatient") == Some(&Value::Bool(false)) {
        return Some(reason(
            "no-patient-named",
            "This names no patient, so that no part in a patient's care opens it.",
        ));
    }
    None
}

/// What the nearest of these permits lacked, if that is one condition that has a reason of its own.
pub(super) fn of_one_condition(
    pack: &PolicyPack,
    query: &Query,
    permits: &[PolicyNumber],
) -> Option<Reason> {
    let (policy, unmet) = nearest(pack, query, permits)?;
    of_only(pack, policy, &unmet)
}

/// One condition that is told better by itself than by the policy as a whole.
fn of_only(pack: &PolicyPack, policy: PolicyNumber, unmet: &[usize]) -> Option<Reason> {
    let [only] = unmet else { return None };
    let conditions = pack.engine().policies()[policy as usize]
        .conditions
        .as_ref()?;
    of_condition(pack, &conditions[*only])
}

/// The reason to give when this condition alone was not met.
fn of_condition(pack: &PolicyPack, condition: &Expression) -> Option<Reason> {
    // An alternative is told by the policy, which knows all its sides.
    if matches!(condition, Expression::Or(_)) {
        return None;
    }
    let names = pack.engine().names();
    let mut read = Vec::new();
    evaluate::reads(condition, &mut read);
    // `context.device.class` also reads `context.device`: what is meant is the longest.
    let longest = read.iter().map(|(_, path)| path.len()).max()?;
    read.into_iter().filter(|(v, p)| *v == Variable::Context && p.len() == longest).find_map(
        |(_, path)| {
            let path: Vec<&str> = path.iter().map(|s| names.name(*s)).collect();
            Some(match path.as_slice() {
                ["purpose"] => reason(
                    "purpose-does-not-fit",
                    "This session was opened for another purpose than this needs.",
                ),
                ["device"] | ["device", "managed"] => reason(
                    "device-not-managed",
                    "This needs a device that the hospital manages.",
                ),
                ["relation", "grantReauthenticated"] => reason(
                    "emergency-needs-fresh-sign-in",
                    "The emergency was declared without a fresh sign-in; please confirm that it is you.",
                ),
                _ => return None,
            })
        },
    )
}

/// A condition in plain words, for explanations.
pub(crate) fn phrase(pack: &PolicyPack, condition: &Expression) -> String {
    match condition {
        Expression::Not(inner) => format!("not: {}", phrase(pack, inner)),
        Expression::And(sides) => {
            format!(
                "{}, and {}",
                phrase(pack, &sides[0]),
                phrase(pack, &sides[1])
            )
        }
        Expression::Or(sides) => {
            format!(
                "{}, or {}",
                phrase(pack, &sides[0]),
                phrase(pack, &sides[1])
            )
        }
        Expression::Equal(sides) => {
            format!("{} is {}", noun(pack, &sides[0]), noun(pack, &sides[1]))
        }
        Expression::Less(sides) => {
            format!(
                "{} is below {}",
                noun(pack, &sides[0]),
                noun(pack, &sides[1])
            )
        }
        Expression::LessOrEqual(sides) => {
            format!(
                "{} is at most {}",
                noun(pack, &sides[0]),
                noun(pack, &sides[1])
            )
        }
        Expression::Contains(sides) => {
            format!(
                "{} is among {}",
                noun(pack, &sides[1]),
                noun(pack, &sides[0])
            )
        }
        Expression::In(sides) => {
            format!(
                "{} belongs to {}",
                noun(pack, &sides[0]),
                noun(pack, &sides[1])
            )
        }
        Expression::InAny(one, groups) => {
            let groups: Vec<String> = groups.iter().map(|g| noun(pack, g)).collect();
            format!("{} belongs to {}", noun(pack, one), groups.join(" or "))
        }
        Expression::Has(below, name) => {
            let name = words(pack.engine().names().name(*name));
            match below.path() {
                Some((_, path)) if path.is_empty() => format!("the {name} is known"),
                _ => format!("the {name} of {} is known", noun(pack, below)),
            }
        }
        Expression::Is(one, kind) => {
            format!(
                "{} is a {}",
                noun(pack, one),
                words(pack.engine().names().name(*kind))
            )
        }
        Expression::IsEmpty(one) => format!("{} is empty", noun(pack, one)),
        Expression::Like(one, _) => format!("{} matches a pattern", noun(pack, one)),
        Expression::If(parts) => format!(
            "if {} then {} else {}",
            phrase(pack, &parts[0]),
            phrase(pack, &parts[1]),
            phrase(pack, &parts[2])
        ),
        Expression::ContainsAll(sides) => {
            format!(
                "{} holds all of {}",
                noun(pack, &sides[0]),
                noun(pack, &sides[1])
            )
        }
        Expression::ContainsAny(sides) => {
            format!(
                "{} holds any of {}",
                noun(pack, &sides[0]),
                noun(pack, &sides[1])
            )
        }
        other => fact(pack, other),
    }
}

/// A truth of its own, such as `context.relation.treating`.
fn fact(pack: &PolicyPack, expression: &Expression) -> String {
    let Some((_, path)) = expression.path() else {
        return noun(pack, expression);
    };
    let names = pack.engine().names();
    let known = match path.last().map(|s| names.name(*s)) {
        Some("treating") => {
            "takes part in the patient's care (care team, recent encounter, or a workstation on the patient's unit)"
        }
        Some("careTeam") => "is on the patient's care team",
        Some("ward") => "works on a managed device in the patient's unit",
        Some("proxy") => "represents the patient",
        Some("self") => "is the patient",
        Some("author") => "wrote it",
        Some("ownDevice") => "speaks for the device it reports of",
        Some("grant") => "holds an emergency grant for the patient",
        Some("grantReauthenticated") => "proved presence when the emergency was declared",
        Some("objection") => "the patient objects",
        Some("vip") => "the patient is a person of public interest",
        Some("employee") => "the patient works here",
        Some("adolescent") => "the patient is an adolescent",
        Some("vendorWindow") => "has an approved service window for this device, under its ticket",
        Some("benefitsSelf") => "the change gives access to whoever makes it",
        Some("stale") => "a source of relations has not answered in time",
        Some("namesPatient") => "it says which patient it is about",
        Some("active") => "the employment is in force",
        Some("managed") => "the device is managed",
        Some("shared") => "the device is shared",
        Some("compliant") => "the device's last posture report was good",
        Some("phishingResistant") => "signed in with a passkey",
        Some("deidentified") => "it is de-identified",
        Some("controlled") => "it is a controlled medicine",
        Some("covers") => "the app's token covers it",
        _ => return noun(pack, expression),
    };
    known.to_owned()
}

fn noun(pack: &PolicyPack, expression: &Expression) -> String {
    let names = pack.engine().names();
    match expression {
        Expression::Constant(value) => constant(pack, value),
        Expression::Texts(texts) => texts
            .iter()
            .map(SmolStr::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        Expression::Variable(Variable::Principal) => "whoever asks".to_owned(),
        Expression::Variable(Variable::Action) => "the action".to_owned(),
        Expression::Variable(Variable::Resource) => "what is asked for".to_owned(),
        Expression::Variable(Variable::Context) => "the circumstances".to_owned(),
        Expression::Attribute(_, name) => match names.name(*name) {
            "ageSecs" => "seconds since the last proof of presence".to_owned(),
            "idleSecs" => "seconds since the session was last used".to_owned(),
            "staleHours" => "hours that a source of relations is overdue".to_owned(),
            "encounterDays" => "days since the last encounter".to_owned(),
            "level" => "authentication level".to_owned(),
            "purpose" => "the purpose of use".to_owned(),
            other => format!("the {}", words(other)),
        },
        other => phrase(pack, other),
    }
}

fn constant(pack: &PolicyPack, value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Long(n) => n.to_string(),
        Value::Text(t) => t.to_string(),
        Value::Entity(uid) => {
            format!(
                "{} `{}`",
                words(pack.engine().names().name(uid.kind)),
                uid.id
            )
        }
        Value::Set(all) => all
            .iter()
            .map(|v| constant(pack, v))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Record(_) => "a record".to_owned(),
    }
}

/// `confidentialityRank` as `confidentiality rank`.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
