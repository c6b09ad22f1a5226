//! The queue: one question at a time, what an answer would change, the answer, and the way back.

use std::sync::Arc;

use audit::{Entry, Kind};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::views;
use crate::console::{Request, Shared, blocking, page};
use crate::estate::{Estate, Reply, Rule};
use crate::form::with_query;
use crate::reply::{self, Answer, Refused};

/// Longest text in an answer, in characters.
const ANSWER_MAX: usize = 80;

pub(super) async fn look(
    request: &Request,
    estate: Arc<dyn Estate>,
    rest: &[&str],
) -> Result<Answer, Refused> {
    let setting = request.setting();
    match rest {
        [] => {
            let asked = Arc::clone(&estate);
            let (questions, rules) = blocking(move || (asked.questions(), asked.rules())).await?;
            let wanted = request.fields.get("question");
            let told = match (request.fields.get("told"), request.fields.get("rule")) {
                (Some("answered"), Some(id)) => rules
                    .iter()
                    .find(|r| r.id == id)
                    .map(views::queue::Told::Answered),
                (Some("undone"), _) => Some(views::queue::Told::Undone),
                (Some("choose"), _) => Some(views::queue::Told::Choose),
                _ => None,
            };
            Ok(page(views::queue::page(
                &setting,
                &views::queue::Queue {
                    at: wanted
                        .and_then(|id| questions.iter().position(|q| q.id == id))
                        .unwrap_or(0),
                    questions: &questions,
                    rules: &rules,
                    kinds: &estate.kinds(),
                    picture: &estate.picture(),
                    told,
                },
            )))
        }
        ["preview"] => {
            let question = text(request, "question")?.ok_or(Refused::Malformed)?;
            let Some(kind) = kind(request)? else {
                let fields = [("question", question.as_str()), ("told", "choose")];
                return Ok(reply::see_other(&with_query("/devices/queue", fields)));
            };
            let (asked, of) = (Arc::clone(&estate), question.clone());
            match blocking(move || asked.preview(&of, &kind)).await? {
                Ok(preview) => {
                    let picture = estate.picture();
                    Ok(page(views::queue::preview(
                        &setting, &question, &preview, &picture,
                    )))
                }
                Err(why) => Ok(refusal(request, &why)),
            }
        }
        ["rule"] => {
            let rule = rule(request, &estate).await?;
            Ok(page(views::queue::rule(&setting, &rule, &estate.picture())))
        }
        ["rule", "file"] => {
            let rule = rule(request, &estate).await?;
            let pack = rule.pack.ok_or(Refused::NotFound)?;
            // The name of a rule is ours, and yet nothing but what is safe in a header goes into one.
            let name: String = rule
                .id
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            Ok(reply::text(
                pack,
                "application/xml; charset=utf-8",
                Some(&format!("{name}.xml")),
            ))
        }
        _ => Err(Refused::NotFound),
    }
}

pub(in crate::console) async fn change(
    shared: &Arc<Shared>,
    request: &Request,
    rest: &[&str],
) -> Result<Answer, Refused> {
    let estate = shared.parts.estate.clone().ok_or(Refused::NotFound)?;
    match rest {
        ["queue", "answer"] => answer(shared, request, estate).await,
        ["queue", "undo"] => {
            let rule = text(request, "rule")?.ok_or(Refused::Malformed)?;
            let header = json!({ "code": "device-rule-undone", "rule": rule });
            record(shared, request, header).await?;
            match blocking(move || estate.undo(&rule)).await? {
                Ok(()) => Ok(reply::see_other("/devices/queue?told=undone")),
                Err(why) => Ok(refusal(request, &why)),
            }
        }
        ["queue", ..] => Err(Refused::Method("GET, HEAD")),
        _ => Err(Refused::NotFound),
    }
}

/// Takes an answer: recorded first, then in force. The next question follows.
async fn answer(
    shared: &Arc<Shared>,
    request: &Request,
    estate: Arc<dyn Estate>,
) -> Result<Answer, Refused> {
    let reply = Reply {
        question: text(request, "question")?.ok_or(Refused::Malformed)?,
        kind: kind(request)?.ok_or(Refused::Malformed)?,
        by: request.person.clone(),
        at: request.visit.now,
    };
    let header = json!({
        "code": "devices-named", "question": reply.question, "type": reply.kind
    });
    record(shared, request, header).await?;
    let done = blocking(move || {
        let questions = estate.questions();
        let next = questions
            .iter()
            .position(|q| q.id == reply.question)
            .and_then(|at| questions.get(at + 1))
            .map(|q| q.id.clone());
        estate.answer(reply).map(|rule| (rule, next))
    });
    match done.await? {
        Ok((rule, next)) => {
            let fields = [
                ("told", Some("answered")),
                ("rule", Some(rule.id.as_str())),
                ("question", next.as_deref()),
            ];
            let fields = fields.into_iter().filter_map(|(n, v)| Some((n, v?)));
            Ok(reply::see_other(&with_query("/devices/queue", fields)))
        }
        Err(why) => Ok(refusal(request, &why)),
    }
}

/// A field, trimmed; none if it is empty.
fn text(request: &Request, name: &str) -> Result<Option<String>, Refused> {
    let value = request.fields.get(name).map(str::trim);
    match value.filter(|v| !v.is_empty()) {
        Some(value) if value.chars().count() > ANSWER_MAX => Err(Refused::TooLarge),
        other => Ok(other.map(str::to_owned)),
    }
}

/// The type that was chosen, or that was written where nothing of the choice fits.
fn kind(request: &Request) -> Result<Option<String>, Refused> {
    match text(request, "other")? {
        Some(other) => Ok(Some(other)),
        None => text(request, "kind"),
    }
}

async fn rule(request: &Request, estate: &Arc<dyn Estate>) -> Result<Rule, Refused> {
    let id = text(request, "id")?.ok_or(Refused::NotFound)?;
    let asked = Arc::clone(estate);
    let rules = blocking(move || asked.rules()).await?;
    rules
        .into_iter()
        .find(|r| r.id == id)
        .ok_or(Refused::NotFound)
}

fn refusal(request: &Request, why: &str) -> Answer {
    let page = views::refusal(&request.setting(), why);
    reply::page(StatusCode::CONFLICT, page, &[])
}

async fn record(shared: &Shared, request: &Request, header: Value) -> Result<(), Refused> {
    let mut header = match header {
        Value::Object(header) => header,
        _ => Map::new(),
    };
    if let Some(session) = &request.session {
        header.insert("by_session".to_owned(), session.as_str().into());
    }
    shared
        .parts
        .log
        .append(Entry {
            at: request.visit.now,
            kind: Kind::Administration,
            header,
            payload: json!({ "by": request.person }).to_string().into_bytes(),
        })
        .await
        .map(drop)
        .map_err(|_| Refused::LogFailing)
}
