//! The pages of devices: the list, one device with its reasons and conversations, the map, the queue.

mod list;
mod map;
mod queue;
mod risk;
mod stream;
mod views;

use std::sync::Arc;

use domain::{Conversation, DeviceId, Timestamp};
use gateway::Body;
use http::Response;
use parking_lot::Mutex;

use super::{Request, Shared, page};
use crate::estate::Estate;
use crate::reply::{Answer, Refused};

pub(super) use queue::change;

/// Conversations drawn on the page of one device.
const CONVERSATIONS_SHOWN_MAX: usize = 200;
/// For how long a map is drawn once, in milliseconds: it goes through every conversation.
const MAP_FOR_MS: i64 = 5_000;

/// The map as it was drawn last, and when.
#[derive(Debug, Default)]
pub(super) struct Map(Mutex<Option<(Timestamp, Arc<map::Drawn>)>>);

pub(super) async fn look(
    shared: &Arc<Shared>,
    request: &Request,
    rest: &[&str],
) -> Result<Answer, Refused> {
    let setting = request.setting();
    let Some(estate) = shared.parts.estate.clone() else {
        return Ok(page(views::nothing_seen(&setting)));
    };
    match rest {
        [] => {
            let picture = estate.picture();
            let wish = list::Wish::of(&request.fields);
            let found = list::find(&picture, &wish);
            let seen = views::list::Seen {
                picture: &picture,
                sensors: &estate.sensors(),
            };
            Ok(page(views::list::page(&setting, &wish, &found, &seen)))
        }
        ["one"] => one(request, estate).await,
        ["map"] => {
            let drawn = drawn(shared, estate, request.visit.now).await?;
            Ok(page(views::map::page(&setting, &drawn)))
        }
        ["queue", rest @ ..] => queue::look(request, estate, rest).await,
        _ => Err(Refused::NotFound),
    }
}

/// The figures above the list, live.
pub(super) fn stream(shared: &Arc<Shared>, request: &Request) -> Result<Response<Body>, Refused> {
    stream::open(shared, request)
}

async fn one(request: &Request, estate: Arc<dyn Estate>) -> Result<Answer, Refused> {
    let id = DeviceId::new(request.fields.get("id").ok_or(Refused::NotFound)?);
    let asked = Arc::clone(&estate);
    let explained = super::blocking(move || asked.explain(&id)).await?;
    let mut explained = explained.ok_or(Refused::NotFound)?;
    let mut own: Vec<Conversation> = std::mem::take(&mut explained.conversations);
    let total = own.len();
    own.sort_by_key(|c| std::cmp::Reverse(c.last));
    own.truncate(CONVERSATIONS_SHOWN_MAX);
    Ok(page(views::one::page(
        &request.setting(),
        &views::one::Device {
            explained: &explained,
            conversations: &own,
            total,
            feeds: &estate.feeds(),
            picture: &estate.picture(),
        },
    )))
}

async fn drawn(
    shared: &Arc<Shared>,
    estate: Arc<dyn Estate>,
    now: Timestamp,
) -> Result<Arc<map::Drawn>, Refused> {
    if let Some((at, drawn)) = &*shared.map.0.lock()
        && now.as_millis().abs_diff(at.as_millis()) < MAP_FOR_MS.unsigned_abs()
    {
        return Ok(Arc::clone(drawn));
    }
    let fresh =
        super::blocking(move || Arc::new(map::draw(&estate.picture(), &estate.conversations())))
            .await?;
    *shared.map.0.lock() = Some((now, Arc::clone(&fresh)));
    Ok(fresh)
}
