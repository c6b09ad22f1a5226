//! Answers that the gateway gives itself: pages for people, `application/problem+json` for programs.

use domain::{ApplicationId, Outcome, RecordId};
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::body::{Body, empty, full};
use crate::pages::{Notice, NoticeKind, Pages};

/// One answer, before it is drawn.
pub(crate) struct Answer<'a> {
    pub(crate) kind: NoticeKind,
    pub(crate) status: StatusCode,
    pub(crate) code: &'a str,
    pub(crate) sentence: &'a str,
    pub(crate) application: Option<(&'a ApplicationId, &'a str)>,
    pub(crate) record: Option<RecordId>,
    pub(crate) continue_url: Option<String>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(
        kind: NoticeKind,
        status: StatusCode,
        code: &'a str,
        sentence: &'a str,
    ) -> Self {
        Self {
            kind,
            status,
            code,
            sentence,
            application: None,
            record: None,
            continue_url: None,
        }
    }

    /// Draws it: a page if a browser asks for one, a problem document otherwise.
    pub(crate) fn draw(self, page: Option<&dyn Pages>, access_url: &str) -> Response<Body> {
        let mut response = match page {
            Some(pages) => {
                let page = pages.draw(&Notice {
                    kind: self.kind,
                    status: self.status.as_u16(),
                    application: self.application.map(|(id, _)| id),
                    application_name: self.application.map(|(_, name)| name),
                    code: self.code,
                    sentence: self.sentence,
                    record: self.record,
                    continue_url: self.continue_url.as_deref(),
                    access_url,
                });
                let mut response = Response::new(full(page.html));
                let headers = response.headers_mut();
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("text/html; charset=utf-8"),
                );
                if let Ok(policy) = HeaderValue::try_from(page.policy) {
                    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
                }
                response
            }
            None => {
                let mut response = Response::new(full(self.problem()));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/problem+json"),
                );
                response
            }
        };
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        harden(headers);
        if let Some(record) = self.record {
            headers.insert(RECORD, HeaderValue::from(record.0));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Session realm=\"asepsis\""),
            );
        }
        response
    }

    fn problem(&self) -> Vec<u8> {
        let mut problem = Map::new();
        problem.insert(
            "type".to_owned(),
            format!("urn:asepsis:{}", self.code).into(),
        );
        let title = self.status.canonical_reason().unwrap_or("Refused");
        problem.insert("title".to_owned(), title.into());
        problem.insert("status".to_owned(), self.status.as_u16().into());
        problem.insert("detail".to_owned(), self.sentence.into());
        problem.insert("reason".to_owned(), self.sentence.into());
        problem.insert("code".to_owned(), self.code.into());
        if let NoticeKind::Decision(outcome) = self.kind {
            problem.insert("outcome".to_owned(), outcome.as_str().into());
        }
        if let Some(record) = self.record {
            problem.insert("record".to_owned(), record.0.into());
        }
        if let Some(url) = &self.continue_url {
            problem.insert("continue".to_owned(), url.as_str().into());
        }
        // A map of plain values cannot fail to serialise.
        serde_json::to_vec(&Value::Object(problem)).unwrap_or_default()
    }
}

/// Headers of every answer of our own: never stored, never framed, never sniffed.
fn harden(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}

/// The status that goes with an outcome other than a permit.
pub(crate) fn status_of(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::StepUp => StatusCode::UNAUTHORIZED,
        Outcome::BreakGlass | Outcome::Deny | Outcome::Permit => StatusCode::FORBIDDEN,
    }
}

/// Names the record of a decision on its response, for whoever wants to look it up later.
pub(crate) const RECORD: HeaderName = HeaderName::from_static("x-asepsis-record");

/// Puts the number of the record on a response that does not name one yet.
pub(crate) fn numbered(mut response: Response<Body>, record: RecordId) -> Response<Body> {
    response
        .headers_mut()
        .entry(RECORD)
        .or_insert_with(|| HeaderValue::from(record.0));
    response
}

/// A redirect after which the browser asks with `GET`.
pub(crate) fn see_other(location: &str) -> Response<Body> {
    let mut response = Response::new(empty());
    match HeaderValue::try_from(location) {
        Ok(location) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
        }
        // Locations are built from checked parts; one that is not a header value would be our own fault.
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    harden(response.headers_mut());
    response
}

/// An answer without content.
pub(crate) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    harden(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::PlainPages;

    #[test]
    fn a_problem_says_what_a_program_needs() {
        let answer = Answer {
            record: Some(RecordId(12)),
            continue_url: Some("https://access.example/ceremony/h".to_owned()),
            ..Answer::new(
                NoticeKind::Decision(Outcome::StepUp),
                StatusCode::UNAUTHORIZED,
                "fresh-authentication-needed",
                "Please confirm that it is you.",
            )
        };
        let problem: Value = serde_json::from_slice(&answer.problem()).expect("JSON");
        for (key, value) in [
            ("status", Value::from(401)),
            ("outcome", "step_up".into()),
            ("code", "fresh-authentication-needed".into()),
            ("record", 12.into()),
            ("continue", "https://access.example/ceremony/h".into()),
            ("reason", "Please confirm that it is you.".into()),
        ] {
            assert_eq!(problem.get(key), Some(&value), "{key}");
        }
    }

    #[test]
    fn answers_are_never_stored() {
        for pages in [None, Some(&PlainPages as &dyn Pages)] {
            let answer = Answer::new(NoticeKind::BadRequest, StatusCode::BAD_REQUEST, "x", "No.");
            let response = answer.draw(pages, "https://access.example");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
    }
}
