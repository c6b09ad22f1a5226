//! Answers, with the headers that every one of them carries.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use maud::Markup;

/// An answer whose body is whole.
pub(crate) type Answer = Response<Bytes>;

/// Why a request was not served, beyond what policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It did not come from a page of ours.
    CrossSite,
    /// The form was not made for this session, or is too old.
    StaleForm,
    /// It cannot be read.
    Malformed,
    /// It is larger than such a form can be.
    TooLarge,
    /// There is nothing at this address.
    NotFound,
    /// The address does not take this method; it takes the one named.
    Method(&'static str),
    /// Too many tries; try again after so many seconds.
    TooOften(u64),
    /// The log cannot take a record, so nothing is done.
    LogFailing,
    /// A part that is needed does not answer.
    Unavailable,
}

impl Refused {
    /// HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::CrossSite | Self::StaleForm => StatusCode::FORBIDDEN,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::LogFailing | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is called, and what happened in a plain sentence.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::CrossSite => (
                "Not from here",
                "This request did not come from a page of this site, so nothing was done. A program must send an `Origin` header with the address of this site.",
            ),
            Self::StaleForm => (
                "This page was too old",
                "Your session changed after the page was opened, so nothing was done. Go back, reload and try again.",
            ),
            Self::Malformed => (
                "Not understood",
                "The request could not be read, so nothing was done.",
            ),
            Self::TooLarge => (
                "Too large",
                "The request holds more than such a form can hold, so nothing was done.",
            ),
            Self::NotFound => ("Nothing here", "There is no page at this address."),
            Self::Method(_) => (
                "Not possible here",
                "This address does not take such a request.",
            ),
            Self::TooOften(_) => (
                "Too many tries",
                "There were too many tries in a short time. Wait a little and try again.",
            ),
            Self::LogFailing => (
                "The record cannot be written",
                "Nothing may happen unrecorded, and the audit log takes no records now, so nothing was done. Tell the security team.",
            ),
            Self::Unavailable => (
                "Not available",
                "A part of the system does not answer. Try again in a moment.",
            ),
        }
    }
}

/// The content security policy of our pages. `form_targets` are other origins of ours to which a form may lead,
/// also by redirection.
pub(crate) fn content_security_policy(form_targets: &[String]) -> String {
    let mut policy = String::from(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    );
    for target in form_targets {
        // Anything else than a plain origin could end the directive and begin another.
        if is_plain(target) {
            policy.push(' ');
            policy.push_str(target);
        }
    }
    policy
}

/// Whether a text holds nothing but what an origin is written with.
fn is_plain(origin: &str) -> bool {
    origin
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b":/.-[]".contains(&b))
}

/// A page.
pub(crate) fn page(status: StatusCode, body: Markup, form_targets: &[String]) -> Answer {
    let mut answer = Response::new(Bytes::from(body.into_string()));
    *answer.status_mut() = status;
    fixed(&mut answer, CONTENT_TYPE, "text/html; charset=utf-8");
    sealed(answer, form_targets)
}

/// JSON for a script of ours.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Bytes::from(value.to_string()));
    *answer.status_mut() = status;
    fixed(&mut answer, CONTENT_TYPE, "application/json");
    sealed(answer, &[])
}

/// JSON that tells a script why nothing was done.
pub(crate) fn json_refused(refused: Refused) -> Answer {
    let (_, words) = refused.words();
    with_hints(
        json(refused.status(), &serde_json::json!({ "error": words })),
        refused,
    )
}

/// Text for people or programs, offered as a file when `file_name` is given.
pub(crate) fn text(body: String, content_type: &'static str, file_name: Option<&str>) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    fixed(&mut answer, CONTENT_TYPE, content_type);
    if let Some(name) = file_name
        && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
    {
        answer
            .headers_mut()
            .insert(http::header::CONTENT_DISPOSITION, value);
    }
    sealed(answer, &[])
}

/// `303 See Other`. An address that cannot be a header is our own fault, answered as unavailable.
pub(crate) fn see_other(address: &str) -> Answer {
    let mut answer = Response::new(Bytes::new());
    match HeaderValue::from_str(address) {
        Ok(location) => {
            *answer.status_mut() = StatusCode::SEE_OTHER;
            answer.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    sealed(answer, &[])
}

/// Adds what a refusal says in headers.
pub(crate) fn with_hints(mut answer: Answer, refused: Refused) -> Answer {
    match refused {
        Refused::Method(allowed) => fixed(&mut answer, ALLOW, allowed),
        Refused::TooOften(secs) => {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        Refused::CrossSite
        | Refused::StaleForm
        | Refused::Malformed
        | Refused::TooLarge
        | Refused::NotFound
        | Refused::LogFailing
        | Refused::Unavailable => {}
    }
    answer
}

/// A cookie of this host that scripts cannot read. `None` deletes it.
pub(crate) fn set_cookie(answer: &mut Answer, name: &str, value: Option<&str>) {
    let text = match value {
        Some(v) => format!("{name}={v}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        None => format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        answer.headers_mut().append(SET_COOKIE, value);
    }
}

fn fixed(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// The headers of everything that is made for one person.
pub(crate) fn sealed(mut answer: Answer, form_targets: &[String]) -> Answer {
    seal(answer.headers_mut(), form_targets);
    answer
}

/// Makes an answer one of the console: its style and scripts come from the sign-in origin, whose folder of static
/// files is the only place named.
pub(crate) fn seal_console(headers: &mut http::HeaderMap, files: &str) {
    seal(headers, &[files.to_owned()]);
    if !is_plain(files) {
        return;
    }
    let folder = format!("{files}{}", crate::assets::PREFIX);
    let policy = content_security_policy(&[files.to_owned()])
        .replace("script-src 'self'", &format!("script-src {folder}"))
        .replace("style-src 'self'", &format!("style-src {folder}"))
        .replace("img-src 'self'", &format!("img-src {folder}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// Likewise, for an answer with another kind of body.
pub(crate) fn seal(headers: &mut http::HeaderMap, form_targets: &[String]) {
    let policy = content_security_policy(form_targets);
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
    );
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` browsers would send `Origin: null` with forms, and our own check would refuse them.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_target_cannot_widen_the_policy() {
        let policy = content_security_policy(&[
            "https://chart.example".to_owned(),
            "https://x; script-src *".to_owned(),
        ]);
        assert!(
            policy.ends_with("form-action 'self' https://chart.example"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn a_redirect_cannot_split_the_head() {
        let answer = see_other("/a\r\nset-cookie: x=1");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().get(SET_COOKIE).is_none());
    }
}
