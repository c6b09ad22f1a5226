//! Conditional creates: what their criteria find is judged first, and only what the subject may see counts.
//!
//! Whether something was found shows in the answer, so that a conditional create is a search. What the subject may not see
//! is as if it were not there: a resource is then created although a hidden one fits, as a search would not have shown
//! that one either.

use bytes::Bytes;
use clinical::fhir::{self as grammar, Disclosed, ResponseShape};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answered, Errand, Jury, Verdicts, answer, is_json};
use crate::body::Body;
use crate::record::Recorded;

/// Asked for of what the criteria find; more than that is not worth telling apart.
const FOUND_MAX: &str = "_count=50";

/// What the criteria of a conditional create found.
pub(super) enum Found {
    /// Nothing at all: the upstream is asked to create unless that changes meanwhile.
    Nothing,
    /// Only what the subject may not see: it is created.
    Hidden,
    /// One that the subject may see.
    One(Box<Match>),
    /// More than one, or more than can be told.
    Several,
}

/// The one resource that the subject may see.
pub(super) struct Match {
    resource: Bytes,
    disclosed: Disclosed,
    verdicts: Verdicts,
}

/// The query of the search for what fits `criteria`.
pub(super) fn query_for(criteria: &str) -> String {
    format!("{criteria}&{FOUND_MAX}")
}

impl Errand<'_, '_> {
    /// Judges what the criteria found. `None`: it could not be judged.
    pub(super) fn found(&self, looked: &Recorded, answered: &Answered) -> Option<Found> {
        #[derive(Deserialize)]
        struct Bundle<'a> {
            #[serde(borrow, default)]
            entry: Vec<Entry<'a>>,
            #[serde(default)]
            link: Vec<Link>,
        }
        #[derive(Deserialize)]
        struct Entry<'a> {
            #[serde(borrow)]
            resource: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Link {
            relation: String,
        }
        let packed = answered.headers.contains_key(header::CONTENT_ENCODING);
        if answered.status != StatusCode::OK || packed || !is_json(&answered.headers) {
            return None;
        }
        let snapshot = self.trip.shared.world.load_full();
        let mut jury = Jury::new(self, &snapshot, looked.permit());
        let judged = grammar::judge_response(
            &self.place.id,
            &ResponseShape::Set,
            &answered.body,
            &mut |resource| jury.judge(resource),
        )
        .ok()?;
        let verdicts = jury.into_verdicts();
        let bundle: Bundle<'_> = serde_json::from_slice(&judged.body).ok()?;
        if bundle.link.iter().any(|link| link.relation == "next") {
            return Some(Found::Several);
        }
        let mut resources = bundle.entry.iter().filter_map(|entry| entry.resource);
        Some(match (resources.next(), resources.next()) {
            (None, _) if judged.withheld.is_empty() => Found::Nothing,
            (None, _) => Found::Hidden,
            (Some(_), Some(_)) => Found::Several,
            (Some(resource), None) => Found::One(Box::new(Match {
                resource: Bytes::copy_from_slice(resource.get().as_bytes()),
                disclosed: judged.released.into_iter().next()?,
                verdicts,
            })),
        })
    }

    /// Answers with the one that exists already; nothing was created.
    pub(super) async fn exists(&self, looked: &Recorded, found: Match) -> Response<Body> {
        let Match {
            resource,
            disclosed,
            verdicts,
        } = found;
        let released = std::slice::from_ref(&disclosed);
        if let Err(error) = self.disclose(looked, released, &[], &verdicts).await {
            return self.trip.cannot_record(&error);
        }
        let mut headers = HeaderMap::new();
        let base = self.trip.head.path.as_str();
        let place = match (&disclosed.id, &disclosed.version) {
            (Some(id), Some(version)) => Some(format!("{base}/{id}/_history/{version}")),
            (Some(id), None) => Some(format!("{base}/{id}")),
            (None, _) => None,
        };
        if let Some(place) = place.and_then(|place| HeaderValue::try_from(place).ok()) {
            headers.insert(header::LOCATION, place);
        }
        let tag = disclosed
            .version
            .and_then(|version| HeaderValue::try_from(format!("W/\"{version}\"")).ok());
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag);
        }
        let body = if verdicts.obliged.no_download {
            answer::without_attachments(&resource)
        } else {
            Some(resource)
        };
        let response = answer::written(
            StatusCode::OK,
            &headers,
            body.unwrap_or_default(),
            verdicts.obliged,
        );
        crate::answer::numbered(response, looked.id())
    }
}
