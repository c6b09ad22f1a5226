//! Parts of this program as applications: the console, and the sign-in origin.

use std::sync::Arc;

use clinical::http::Head;
use domain::request::{Body as MessageBody, Message};
use domain::resource::ConsoleArea;
use domain::{Action, Resource, Target};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use identity::{Audience, Live};
use policy::Permit;

use super::obligation::oblige_of;
use super::{Trip, is_event_stream};
use crate::answer::{self, bare};
use crate::body::{Body, BodyFault};
use crate::endpoint::{Endpoint, Visit};
use crate::gateway::Place;
use crate::response::{Ending, Released};
use crate::stages::Stage;

/// The session cookie of the access origin.
const ACCESS_COOKIE: &str = "__Host-asepsis-access";

impl Trip<'_> {
    /// Answers from inside the program: the permit is on record before the endpoint sees the request.
    pub(super) async fn inside(
        &mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        endpoint: &Arc<dyn Endpoint>,
    ) -> Response<Body> {
        let shared = self.shared;
        let submitted = shared.recorder.submit(permit);
        self.lap.mark(Stage::Record);
        let recorded = match submitted.durable().await {
            Ok(recorded) => recorded,
            Err(error) => return self.cannot_record(&error),
        };
        let until = recorded.permit().valid_until().min(live.expires());
        let Some(message) = recorded.permit().request().message.as_ref() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let request = match visiting(message) {
            Ok(request) => request,
            Err(_) => return bare(StatusCode::BAD_REQUEST),
        };
        let about = (recorded.id(), oblige_of(recorded.permit().ruling()));
        let visit = Visit {
            request,
            cookies: Vec::new(),
            session: Some(live.clone()),
            device: self.peer.device.clone(),
            peer: self.peer.address,
            secure: self.peer.secure,
            origin: self.origin.clone(),
            now: self.now,
            permit: Some(recorded),
        };
        let mut response = answer::numbered(endpoint.call(visit).await, about.0);
        self.lap.mark(Stage::Upstream);
        about.1.apply(response.headers_mut());
        let Some(active) = self.active.take() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let events = is_event_stream(response.headers());
        let (head, body) = response.into_parts();
        let released = Released::new(body, shared, &live, until, active);
        let released = if events {
            let ending = Ending::new(shared, &live, place.id.as_str(), about.0, "events");
            if let Err(error) = ending.opened().await {
                return self.cannot_record(&error);
            }
            released.streaming(ending)
        } else {
            released
        };
        Response::from_parts(head, released.boxed_unsync())
    }

    /// The sign-in origin: not judged, because here people become somebody who can be judged.
    pub(super) async fn access(mut self) -> Response<Body> {
        let shared = self.shared;
        let session = self.cookie(ACCESS_COOKIE).and_then(|cookie| {
            shared
                .sessions
                .resolve(cookie, &Audience::Access, self.now)
                .ok()
        });
        let body = match self.body.take() {
            None => MessageBody::Empty,
            Some(body) => {
                let max = shared.limits.internal_request_max;
                match body.read_whole(max, &shared.budget).await {
                    Ok((bytes, _)) => MessageBody::Whole(bytes),
                    Err(fault) => {
                        let (status, code) = match fault {
                            BodyFault::TooLarge(_) => {
                                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
                            }
                            BodyFault::Idle
                            | BodyFault::Crowded
                            | BodyFault::Framing(_)
                            | BodyFault::Broken(_)
                            | BodyFault::Upstream(_) => (StatusCode::BAD_REQUEST, "body-broke-off"),
                        };
                        return self.malformed(status, code, None).await;
                    }
                }
            }
        };
        let message = Message {
            application: domain::ApplicationId::from("access"),
            method: self.head.method.clone(),
            path: std::mem::take(&mut self.head.path),
            query: self.head.query.take(),
            headers: std::mem::take(&mut self.head.headers),
            body,
        };
        let Ok(request) = visiting(&message) else {
            return bare(StatusCode::BAD_REQUEST);
        };
        let visit = Visit {
            request,
            cookies: std::mem::take(&mut self.head.cookies),
            session,
            device: self.peer.device.clone(),
            peer: self.peer.address,
            secure: self.peer.secure,
            origin: self.origin.clone(),
            now: self.now,
            permit: None,
        };
        shared.access.endpoint.call(visit).await
    }
}

fn visiting(message: &Message) -> Result<Request<bytes::Bytes>, http::Error> {
    let uri = match &message.query {
        None => http::Uri::try_from(message.path.as_str())?,
        Some(query) => http::Uri::try_from(format!("{}?{query}", message.path))?,
    };
    let body = match &message.body {
        MessageBody::Whole(bytes) => bytes.clone(),
        MessageBody::Empty | MessageBody::Streamed(_) => bytes::Bytes::new(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = message.headers.clone();
    Ok(request)
}

/// What a request asks of the console: its first path segment names the area.
pub(super) fn console_target(place: &Place, head: &Head) -> Target {
    let below = head
        .path
        .strip_prefix(place.path.trim_end_matches('/'))
        .unwrap_or(&head.path);
    let area = below
        .split('/')
        .find(|segment| !segment.is_empty())
        .unwrap_or("decisions");
    let action = match head.method {
        Method::GET | Method::HEAD => Action::ConsoleView,
        _ => Action::ConsoleChange,
    };
    Target {
        action,
        resource: Resource::Console(ConsoleArea { area: area.into() }),
    }
}
