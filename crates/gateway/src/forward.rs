//! From a permit to an upstream request, and from an upstream's response to the client's.

use domain::request::Body as MessageBody;
use http::header::{self, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use crate::body::{ClientBody, Outgoing};
use crate::record::Forward;

/// The header that carries the gateway's signed statement of who asks.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-asepsis-assertion");
/// The header that carries a notice that must accompany disclosed data.
pub const NOTICE: HeaderName = HeaderName::from_static("x-asepsis-notice");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");

/// What the gateway itself adds to a request.
pub(crate) struct Own {
    pub(crate) host: HeaderValue,
    pub(crate) assertion: HeaderValue,
    /// Where the request came from, if the upstream is to be told.
    pub(crate) came_from: Option<CameFrom>,
}

/// The values of `X-Forwarded-*`.
pub(crate) struct CameFrom {
    /// The client's address.
    pub(crate) address: HeaderValue,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    /// Host and port as the client named them.
    pub(crate) authority: HeaderValue,
}

impl Own {
    fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(header::HOST, self.host.clone());
        headers.insert(ASSERTION, self.assertion.clone());
        if let Some(from) = &self.came_from {
            headers.insert(X_FORWARDED_FOR, from.address.clone());
            let scheme = if from.secure { "https" } else { "http" };
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
            headers.insert(X_FORWARDED_HOST, from.authority.clone());
        }
    }
}

/// Why a canonical request could not be written for the upstream; it is answered as the gateway's own fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unforwardable {
    #[error("the permit holds no message")]
    NoMessage,
    #[error("the canonical address is not writable")]
    Address(#[from] http::Error),
}

/// Builds the upstream request of a permit: the judged message, the gateway's own headers, and nothing else.
///
/// `streamed` is the client's body, for a message whose body passes through as it comes.
pub(crate) fn request_of(
    forward: Forward<'_>,
    own: &Own,
    streamed: Option<Box<ClientBody>>,
) -> Result<Request<Outgoing>, Unforwardable> {
    let message = forward
        .request()
        .message
        .as_ref()
        .ok_or(Unforwardable::NoMessage)?;
    let body = match (&message.body, streamed) {
        (MessageBody::Empty, _) | (MessageBody::Streamed(_), None) => Outgoing::Empty,
        (MessageBody::Whole(bytes), _) => Outgoing::Whole(Some(bytes.clone())),
        (MessageBody::Streamed(_), Some(body)) => Outgoing::Streamed(body),
    };
    let mut request = Request::new(body);
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = address(&message.path, message.query.as_deref())?;
    *request.headers_mut() = message.headers.clone();
    own.add_to(request.headers_mut());
    if message.headers.contains_key(header::UPGRADE) {
        request
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    Ok(request)
}

/// Builds the read of what is stored that a permitted write needs to be judged on: same place, `GET`, no body. `query`
/// are the criteria of a conditional create.
pub(crate) fn stored_version_of(
    forward: Forward<'_>,
    path: &str,
    query: Option<&str>,
    own: &Own,
) -> Result<Request<Outgoing>, Unforwardable> {
    let message = forward
        .request()
        .message
        .as_ref()
        .ok_or(Unforwardable::NoMessage)?;
    let mut request = Request::new(Outgoing::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = address(path, query)?;
    let headers = request.headers_mut();
    for name in [header::AUTHORIZATION, header::USER_AGENT] {
        if let Some(value) = message.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/fhir+json"),
    );
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    own.add_to(headers);
    Ok(request)
}

fn address(path: &str, query: Option<&str>) -> Result<Uri, http::Error> {
    let path_and_query = match query {
        None => PathAndQuery::try_from(path)?,
        Some(query) => {
            let mut text = String::with_capacity(path.len() + 1 + query.len());
            text.push_str(path);
            text.push('?');
            text.push_str(query);
            PathAndQuery::try_from(text)?
        }
    };
    Uri::builder().path_and_query(path_and_query).build()
}

/// Whether a cookie of this name is the gateway's own.
pub(crate) fn is_own_cookie(name: &str) -> bool {
    // Browsers compare the prefix without regard to case; so does this, to leave no look-alike.
    name.as_bytes()
        .get(..OWN_COOKIES.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OWN_COOKIES.as_bytes()))
}

/// How every cookie of the gateway begins.
const OWN_COOKIES: &str = "__Host-asepsis";

/// What a response's head says about its connection only, and what only the gateway may say.
static STAY_BEHIND: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // An alternative service would lead around the gateway.
    ALT_SVC,
];

/// Takes from an upstream's response head what concerns its connection only, and what only the gateway may say.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    let mut gone: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for token in value.to_str().unwrap_or("").split(',') {
            let token = token.trim();
            if !token.is_empty()
                && !token.eq_ignore_ascii_case("keep-alive")
                && !token.eq_ignore_ascii_case("close")
                && let Ok(name) = HeaderName::try_from(token)
            {
                gone.push(name);
            }
        }
    }
    // Most responses hold one of these or none: looked for where they are, not each by its name.
    let stays_behind =
        |name: &&HeaderName| STAY_BEHIND.contains(name) || name.as_str().starts_with("x-asepsis-");
    gone.extend(headers.keys().filter(stays_behind).cloned());
    for name in gone {
        headers.remove(name);
    }
    let sets_ours = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        let name = bytes
            .split(|b| matches!(b, b'=' | b';'))
            .next()
            .unwrap_or(bytes);
        is_own_cookie(String::from_utf8_lossy(name).trim())
    };
    if headers.get_all(header::SET_COOKIE).iter().any(sets_ours) {
        let kept: Vec<HeaderValue> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter(|v| !sets_ours(v))
            .cloned()
            .collect();
        headers.remove(header::SET_COOKIE);
        for value in kept {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_sets_no_cookie_of_ours() {
        let mut headers = HeaderMap::new();
        for cookie in [
            "__Host-asepsis=evil; Path=/; Secure",
            "__host-ASEPSIS-tx=evil",
            "  __Host-asepsis-access =evil",
            "__Host-asepsis",
            "theirs=1; Path=/",
            "x__Host-asepsis=1",
        ] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        clean_response(&mut headers);
        let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(left, ["theirs=1; Path=/", "x__Host-asepsis=1"]);
    }

    #[test]
    fn connection_headers_and_ours_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "Keep-Alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("x-asepsis-notice", "forged"),
            ("alt-svc", "h3=\":443\""),
            ("content-type", "text/plain"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        clean_response(&mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
    }
}
