//! The figures above the list, live: numbers change, rows do not move.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use gateway::Body;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::console::stream::{ENDED, SILENCE, STILL_HERE, Seat, respond};
use crate::console::{Request, Shared};
use crate::estate::Estate;
use crate::look;
use crate::reply::Refused;

/// The shortest time between two events.
const BEAT: Duration = Duration::from_secs(1);

/// Opens a stream. It ends with the session, with the permit's time, and when the browser goes away.
pub(super) fn open(shared: &Arc<Shared>, request: &Request) -> Result<Response<Body>, Refused> {
    let estate = shared.parts.estate.clone().ok_or(Refused::NotFound)?;
    let since = request.fields.get("since").and_then(|t| t.parse().ok());
    let since = since.map_or(request.visit.now, Timestamp::from_millis);
    let seat = Seat::take(shared, request)?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(tell(seat, estate, since, sender));
    Ok(respond(receiver))
}

async fn tell(seat: Seat, estate: Arc<dyn Estate>, since: Timestamp, sender: mpsc::Sender<Bytes>) {
    let mut news = estate.watch();
    if sender
        .send(Bytes::from_static(b"retry: 3000\n\n"))
        .await
        .is_err()
    {
        return;
    }
    let mut said = Value::Null;
    loop {
        if seat.over() {
            let _ = sender.send(Bytes::from_static(ENDED)).await;
            return;
        }
        news.mark_unchanged();
        let figures = figures(&*estate, since);
        if figures != said {
            // JSON holds no line break, which would end the event's data.
            let event = format!("event: figures\ndata: {figures}\n\n");
            said = figures;
            if sender.send(Bytes::from(event)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
        tokio::select! {
            () = sender.closed() => return,
            changed = news.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(SILENCE) => {
                if sender.send(Bytes::from_static(STILL_HERE)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What the page shows above the list, as text ready to be put there.
fn figures(estate: &dyn Estate, since: Timestamp) -> Value {
    let picture = estate.picture();
    let totals = picture.totals();
    let number = |n: usize| look::number(n as u64);
    let sensors: Vec<Value> = estate
        .sensors()
        .iter()
        .map(|s| {
            json!({
                "name": s.name, "packets": look::number(s.packets), "words": look::harmless(&s.words),
                "good": s.good,
            })
        })
        .collect();
    json!({
        "all": number(totals.all),
        "unknown": number(totals.unknown),
        "contradictory": number(totals.contradictory),
        "at_risk": number(totals.at_risk),
        "exploited": number(totals.exploited),
        "appeared": picture.appeared_after(since),
        "sensors": sensors,
    })
}
