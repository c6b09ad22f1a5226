//! Plain web applications: judged whole before they are forwarded, streamed both ways, upgraded where asked.

use std::sync::Arc;

use audit::Unavailable;
use clinical::http::strip_cookies;
use domain::Target;
use domain::request::{Body as MessageBody, Message};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use identity::Live;
use policy::Permit;

use super::obligation::oblige_of;
use super::{Trip, is_event_stream};
use crate::answer::{self, bare};
use crate::body::{Body, BoxError};
use crate::forward::{clean_response, is_own_cookie, request_of};
use crate::gateway::{Destination, Place};
use crate::guard::Phase;
use crate::record::Recorded;
use crate::response::{Ending, Released};
use crate::stages::Stage;
use crate::upgrade;
use crate::upstream::{Pool, UpstreamBody, UpstreamError};

impl Trip<'_> {
    /// The road of a plain web application or the console: judged whole before it is forwarded.
    pub(super) async fn page(
        &mut self,
        place: &Place,
        live: Live,
        target: Target,
    ) -> Response<Body> {
        let shared = self.shared;
        let mut headers = std::mem::take(&mut self.head.headers);
        strip_cookies(&mut headers, is_own_cookie);
        if let Some(protocol) = &self.head.upgrade {
            match HeaderValue::try_from(protocol.as_str()) {
                Ok(protocol) => headers.insert(header::UPGRADE, protocol),
                Err(_) => return bare(StatusCode::BAD_REQUEST),
            };
        }
        let body = match (&place.target, self.body.take()) {
            (Destination::Internal(_), Some(body)) => {
                let max = shared.limits.internal_request_max;
                match body.read_whole(max, &shared.budget).await {
                    Ok((bytes, _)) if bytes.is_empty() => MessageBody::Empty,
                    Ok((bytes, _)) => MessageBody::Whole(bytes),
                    Err(fault) => {
                        self.head.headers = headers;
                        return self.body_failed(&fault, place).await;
                    }
                }
            }
            (Destination::Http { .. }, Some(body)) => {
                let length = http_body::Body::size_hint(&body).exact();
                self.body = Some(body);
                MessageBody::Streamed(length)
            }
            (_, None) => MessageBody::Empty,
        };
        let message = Message {
            application: place.id.clone(),
            method: self.head.method.clone(),
            path: self.head.path.clone(),
            query: self.head.query.clone(),
            headers,
            body,
        };
        let question = self.question(&live, vec![target], message);
        self.lap.mark(Stage::Classify);
        let permit = match self.judge(question) {
            Ok(permit) => permit,
            Err(decision) => {
                self.lap.mark(Stage::Decide);
                return self.refuse(place, &live, &decision, None, None).await;
            }
        };
        self.lap.mark(Stage::Decide);
        match &place.target {
            Destination::Internal(endpoint) => {
                Box::pin(self.inside(place, live, permit, endpoint)).await
            }
            Destination::Http { pool, host } if self.head.upgrade.is_some() => {
                Box::pin(self.switch(place, live, permit, pool, host.as_ref())).await
            }
            Destination::Http { pool, host } => {
                self.through(place, live, permit, pool, host.as_ref()).await
            }
        }
    }

    /// Forwards a permitted request and releases the response once the record is durable.
    async fn through(
        &mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        pool: &Arc<Pool>,
        host: Option<&HeaderValue>,
    ) -> Response<Body> {
        let shared = self.shared;
        let mut streamed = self.body.take().map(Box::new);
        let own = match self.own(place, host, &live) {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let may_repeat = streamed.is_none()
            && matches!(
                self.head.method,
                Method::GET | Method::HEAD | Method::OPTIONS
            );
        let submitted = shared.recorder.submit(permit);
        self.lap.mark(Stage::Record);
        let forwarded = submitted
            .forward(async |forward| {
                pool.exchange(|| request_of(forward, &own, streamed.take()), may_repeat)
                    .await
            })
            .await;
        self.lap.mark(Stage::Upstream);
        let (recorded, response) = match forwarded {
            Err(error) => return self.cannot_record(&error),
            Ok((_, Err(error))) => return self.upstream_failed(place, &error),
            Ok((recorded, Ok(response))) => (recorded, response),
        };
        self.release(place, live, recorded, response).await
    }

    async fn release(
        &mut self,
        place: &Place,
        live: Live,
        recorded: Recorded,
        response: Response<UpstreamBody>,
    ) -> Response<Body> {
        let shared = self.shared;
        let (mut head, mut body) = response.into_parts();
        clean_response(&mut head.headers);
        oblige_of(recorded.permit().ruling()).apply(&mut head.headers);
        head.headers
            .insert(answer::RECORD, HeaderValue::from(recorded.id().0));
        let until = recorded.permit().valid_until().min(live.expires());
        let Some(active) = self.active.take() else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let events = is_event_stream(&head.headers);
        if events {
            body.without_idle_limit();
        }
        let released = Released::new(body, shared, &live, until, active);
        let released = if events {
            match self.event_stream(place, &live, &recorded, released).await {
                Ok(released) => released,
                Err(error) => return self.cannot_record(&error),
            }
        } else {
            released
        };
        self.lap.mark(Stage::Filter);
        Response::from_parts(head, released.boxed_unsync())
    }

    async fn event_stream<B>(
        &self,
        place: &Place,
        live: &Live,
        recorded: &Recorded,
        released: Released<B>,
    ) -> Result<Released<B>, Unavailable> {
        let ending = Ending::new(
            self.shared,
            live,
            place.id.as_str(),
            recorded.id(),
            "events",
        );
        ending.opened().await?;
        Ok(released.streaming(ending))
    }

    /// Opens an upgraded connection: recorded first, opened second, carried third.
    async fn switch(
        &mut self,
        place: &Place,
        live: Live,
        permit: Permit,
        pool: &Arc<Pool>,
        host: Option<&HeaderValue>,
    ) -> Response<Body> {
        let shared = self.shared;
        let Some(client) = self.client_upgrade.take() else {
            return self
                .malformed(StatusCode::BAD_REQUEST, "upgrade-not-possible", Some(place))
                .await;
        };
        let own = match self.own(place, host, &live) {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let forwarded = shared
            .recorder
            .submit(permit)
            .forward(async |forward| {
                let request = request_of(forward, &own, None)?;
                pool.upgrade(request).await
            })
            .await;
        let (recorded, mut response) = match forwarded {
            Err(error) => return self.cannot_record(&error),
            Ok((_, Err(error))) => return self.upstream_failed(place, &error),
            Ok((recorded, Ok(response))) => (recorded, response),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut head, body) = response.into_parts();
            clean_response(&mut head.headers);
            let until = recorded.permit().valid_until().min(live.expires());
            let Some(active) = self.active.take() else {
                return bare(StatusCode::INTERNAL_SERVER_ERROR);
            };
            let body = body
                .map_frame(|frame| frame)
                .map_err(|error| -> BoxError { error.into() });
            let released = Released::new(body, shared, &live, until, active);
            return Response::from_parts(head, released.boxed_unsync());
        }
        let switched = response
            .headers()
            .get(header::UPGRADE)
            .and_then(|p| p.to_str().ok())
            .map(str::to_owned);
        if switched.as_deref().map(str::to_ascii_lowercase) != self.head.upgrade {
            return self.upstream_failed(place, &UpstreamError::UnaskedUpgrade);
        }
        let ending = Ending::new(shared, &live, place.id.as_str(), recorded.id(), "upgrade");
        if let Err(error) = ending.opened().await {
            return self.cannot_record(&error);
        }
        let until = recorded.permit().valid_until().min(live.expires());
        let lease = shared.streams.open(&live, until, shared.clock.clone());
        let upstream = hyper::upgrade::on(&mut response);
        self.peer.watch.enter(Phase::Tunnel);
        upgrade::carry(
            self.peer.clone(),
            client,
            upstream,
            lease,
            ending,
            shared.limits.upstream_idle,
        );
        let mut headers = std::mem::take(response.headers_mut());
        clean_response(&mut headers);
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(Ok(protocol)) = self.head.upgrade.as_deref().map(HeaderValue::try_from) {
            headers.insert(header::UPGRADE, protocol);
        }
        let mut answer = Response::new(crate::body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        answer
    }
}
