//! The pages of devices: the list, one device with its reasons and conversations, the map, the queue.

mod list;
mod map;
mod views;

use std::sync::Arc;

use audit::{Entry, Kind};
use domain::{Conversation, DeviceId, DeviceProfile};
use serde_json::{Map, Value, json};

use super::{Request, Shared, page};
use crate::estate::{Estate, Reply};
use crate::reply::{self, Answer, Refused};

/// Conversations drawn on the page of one device.
const CONVERSATIONS_SHOWN_MAX: usize = 200;
/// Longest text in an answer, in characters.
const ANSWER_MAX: usize = 80;

pub(super) fn look(shared: &Shared, request: &Request, rest: &[&str]) -> Result<Answer, Refused> {
    let setting = request.setting();
    let Some(estate) = shared.parts.estate.as_deref() else {
        return Ok(page(views::nothing_seen(&setting)));
    };
    match rest {
        [] => {
            let devices = estate.devices();
            let wish = list::Wish::of(&request.fields);
            let found = list::find(&devices, &wish);
            Ok(page(views::list(
                &setting,
                &wish,
                &found,
                &estate.sensors(),
            )))
        }
        ["one"] => {
            let id = DeviceId::new(request.fields.get("id").ok_or(Refused::NotFound)?);
            let explained = estate.explain(&id).ok_or(Refused::NotFound)?;
            let devices = estate.devices();
            let name = |id: &DeviceId| name_of(&devices, id);
            let mut own: Vec<Conversation> = estate
                .conversations()
                .iter()
                .filter(|c| c.client == id || c.server == id)
                .cloned()
                .collect();
            let total = own.len();
            own.sort_by_key(|c| std::cmp::Reverse(c.last));
            own.truncate(CONVERSATIONS_SHOWN_MAX);
            Ok(page(views::one(&setting, &explained, &own, total, &name)))
        }
        ["map"] => {
            let drawn = map::draw(&estate.devices(), &estate.conversations());
            Ok(page(views::map(&setting, &drawn)))
        }
        ["queue"] => {
            let told = match request.fields.get("told") {
                Some("answered") => {
                    Some("The answer is in force, as a rule that you can take back below.")
                }
                Some("undone") => Some("The answer was taken back."),
                _ => None,
            };
            let devices = estate.devices();
            let name = |id: &DeviceId| name_of(&devices, id);
            Ok(page(views::queue(
                &setting,
                &estate.questions(),
                &estate.rules(),
                &estate.kinds(),
                &name,
                told,
            )))
        }
        _ => Err(Refused::NotFound),
    }
}

pub(super) async fn change(
    shared: &Arc<Shared>,
    request: &Request,
    rest: &[&str],
) -> Result<Answer, Refused> {
    let estate = shared.parts.estate.clone().ok_or(Refused::NotFound)?;
    match rest {
        ["queue", "answer"] => answer(shared, request, estate).await,
        ["queue", "undo"] => {
            let rule = request
                .fields
                .get("rule")
                .ok_or(Refused::Malformed)?
                .to_owned();
            record(
                shared,
                request,
                json!({ "code": "device-rule-undone", "rule": rule }),
            )
            .await?;
            match super::blocking(move || estate.undo(&rule)).await? {
                Ok(()) => Ok(reply::see_other("/devices/queue?told=undone")),
                Err(why) => Ok(refusal(request, &why)),
            }
        }
        _ => Err(Refused::NotFound),
    }
}

/// Takes an answer: recorded first, then in force.
async fn answer(
    shared: &Arc<Shared>,
    request: &Request,
    estate: Arc<dyn Estate>,
) -> Result<Answer, Refused> {
    let field = |name: &str| {
        let value = request
            .fields
            .get(name)
            .map(str::trim)
            .filter(|v| !v.is_empty());
        match value {
            Some(value) if value.chars().count() > ANSWER_MAX => Err(Refused::TooLarge),
            other => Ok(other.map(str::to_owned)),
        }
    };
    let reply = Reply {
        question: field("question")?.ok_or(Refused::Malformed)?,
        kind: field("kind")?.ok_or(Refused::Malformed)?,
        by: request.person.clone(),
        at: request.visit.now,
    };
    let header = json!({
        "code": "devices-named", "question": reply.question, "type": reply.kind
    });
    record(shared, request, header).await?;
    match super::blocking(move || estate.answer(reply)).await? {
        Ok(_) => Ok(reply::see_other("/devices/queue?told=answered")),
        Err(why) => Ok(refusal(request, &why)),
    }
}

fn refusal(request: &Request, why: &str) -> Answer {
    let page = super::views::notice(&request.setting(), "devices", "That cannot be done", why);
    reply::page(http::StatusCode::CONFLICT, page, &[])
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

/// What a device is called: its first name, else its model, else its address, else its identifier.
fn name_of(devices: &[DeviceProfile], id: &DeviceId) -> String {
    devices
        .binary_search_by(|d| d.id.cmp(id))
        .ok()
        .map_or_else(|| id.as_str().to_owned(), |at| called(&devices[at]))
}

fn called(device: &DeviceProfile) -> String {
    if let Some(name) = device.names.first() {
        return name.to_string();
    }
    if let Some(address) = device.addresses.first() {
        return address.to_string();
    }
    device
        .macs
        .first()
        .map_or_else(|| device.id.as_str().to_owned(), ToString::to_string)
}
