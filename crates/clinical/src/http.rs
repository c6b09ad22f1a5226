//! The canonical form of an HTTP request: one form, and what is ambiguous is refused.
//!
//! What is judged is what is forwarded, so nothing may mean one thing here and another to a server behind. The
//! HTTP library has read the framing; what it leaves open is closed here. The rules, in short:
//!
//! - *path*: one leading slash, no empty segment (but a trailing slash stays), no `.` or `..`. Encoded slash,
//!   backslash, NUL and control bytes, double encoding, bytes that are no UTF-8, look-alikes of `/ \ .`, and
//!   parameters (`;`, which servers cut off at different moments) are refused. Needless encoding is undone,
//!   the rest is in upper case.
//! - *query*: kept as received; refused if it is not ASCII or its percent-encoding is invalid.
//! - *host*: exactly one, agreeing with an absolute target and the TLS name; lower case; no trailing dot.
//! - *framing*: one `Content-Length` of digits, or `Transfer-Encoding: chunked` in HTTP/1.1, never both.
//! - *headers*: no repetition of those that have one value; hop-by-hop ones removed; every alias of
//!   [`RESERVED`] names removed; a `Connection` that names a header of weight is refused.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};

pub mod cookie;
pub mod host;
pub mod path;

pub use cookie::strip_cookies;

/// A request as the HTTP library read it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Method.
    pub method: &'a Method,
    /// Request target.
    pub uri: &'a Uri,
    /// Protocol version.
    pub version: Version,
    /// Header fields.
    pub headers: &'a HeaderMap,
    /// Name that the client gave in the TLS handshake.
    pub sni: Option<&'a str>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// A request in canonical form, without its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// Host in lower case, without port.
    pub host: String,
    /// Port, if the client named one.
    pub port: Option<u16>,
    /// Method.
    pub method: Method,
    /// Canonical path.
    pub path: String,
    /// Query as received, checked, without `?`; an empty one is absent.
    pub query: Option<String>,
    /// End-to-end header fields; no framing, `Host`, forwarding headers, nor any alias of [`RESERVED`] ones.
    pub headers: HeaderMap,
    /// Cookies in the order received.
    pub cookies: Vec<(String, String)>,
    /// Protocol that the client asks to switch to: `websocket`, or nothing.
    pub upgrade: Option<String>,
    /// Stated length of the body.
    pub content_length: Option<u64>,
    /// Whether a body may follow. Over HTTP/2 the end of the stream says the rest.
    pub has_body: bool,
}

/// Why a request has no single meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ambiguous request: {code}")]
pub struct Ambiguous {
    /// HTTP status to answer with.
    pub status: u16,
    /// Stable code, kebab-case.
    pub code: &'static str,
    /// Whether framing is in doubt, so that the connection must be closed.
    pub close: bool,
}

impl Ambiguous {
    const fn new(status: u16, code: &'static str) -> Self {
        Self {
            status,
            code,
            close: false,
        }
    }

    const fn framing(code: &'static str) -> Self {
        Self {
            status: 400,
            code,
            close: true,
        }
    }
}

/// Header names that only the gateway writes; `*` at the end stands for any rest. Every alias of them (case,
/// `_` for `-`) is removed from what clients send.
pub const RESERVED: &[&str] = &[
    "x-asepsis-*",
    "asepsis-*",
    "forwarded",
    "via",
    "x-forwarded-*",
    "x-forwarded",
    "x-real-*",
    "x-original-*",
    "x-originating-*",
    "x-rewrite-*",
    "x-http-method*",
    "x-method-override",
    "x-host",
    "x-remote-*",
    "remote-*",
    "x-auth-request-*",
    "x-authenticated-*",
    "x-authentik-*",
    "x-pomerium-*",
    "x-goog-authenticated-*",
    "x-identity*",
    "x-user",
    "x-user-id",
    "x-username",
    "x-webauth-*",
    "x-ssl-*",
    "ssl-client-*",
    "x-client-cert*",
    "client-cert*",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-envoy-*",
    "x-accel-*",
    "x-sendfile*",
    "x-proxy-*",
    "proxy",
    "early-data",
];

/// Header fields that have one value; a second one is refused, since servers differ in which they take.
const SINGLE: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "origin",
    "range",
    "referer",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
    "user-agent",
    "if-none-exist",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
];

/// Hop-by-hop header fields, and those that the gateway writes anew from what was judged.
const REMOVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
];

/// Header fields that decide something; `Connection` may not name them, and with `_` for `-` they are removed.
const WEIGHTY: &[&str] = &[
    "accept",
    "accept-encoding",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "origin",
    "range",
    "referer",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "if-none-exist",
    "prefer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "x-csrf-token",
    "x-xsrf-token",
];

/// Header fields of a request.
const HEADERS_MAX: usize = 100;
/// Bytes of all header names and values.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a query.
const QUERY_MAX: usize = 16 << 10;

/// Brings a request into canonical form, or says why it has none.
pub fn canonicalize(received: &Received<'_>) -> Result<Head, Ambiguous> {
    method(received)?;
    sizes(received.headers)?;
    names_and_values(received)?;
    let (host, port) = host::of(received)?;
    let path = path::canonical(target_path(received.uri)?)?;
    let query = query(received.uri)?;
    let (content_length, has_body) = framing(received)?;
    let named = connection(received)?;
    let upgrade = upgrade(received, &named, has_body)?;
    let headers = end_to_end(received.headers, &named)?;
    let cookies = cookie::read(&headers)?;
    Ok(Head {
        host,
        port,
        method: received.method.clone(),
        path,
        query,
        headers,
        cookies,
        upgrade,
        content_length,
        has_body,
    })
}

fn method(received: &Received<'_>) -> Result<(), Ambiguous> {
    match received.version {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => {}
        _ => {
            return Err(Ambiguous {
                status: 505,
                code: "http-version",
                close: true,
            });
        }
    }
    match *received.method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => Ok(()),
        // What follows a CONNECT would be read as a tunnel by one side and as requests by the other.
        Method::CONNECT => Err(Ambiguous {
            status: 405,
            code: "method-connect",
            close: true,
        }),
        Method::TRACE => Err(Ambiguous::new(405, "method-trace")),
        _ => Err(Ambiguous::new(501, "method-unknown")),
    }
}

fn sizes(headers: &HeaderMap) -> Result<(), Ambiguous> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Ambiguous {
            status: 431,
            code: "headers-too-large",
            close: true,
        });
    }
    Ok(())
}

fn names_and_values(received: &Received<'_>) -> Result<(), Ambiguous> {
    for (name, value) in received.headers {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !name.as_str().bytes().all(plain) {
            return Err(Ambiguous::new(400, "header-name"));
        }
        let bytes = value.as_bytes();
        // HTTP/1 trims; a line that was folded, or an HTTP/2 field that would be trimmed later, is left.
        if bytes
            .iter()
            .any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f)
        {
            return Err(Ambiguous::framing("header-control-character"));
        }
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        if blank(bytes.first()) || blank(bytes.last()) {
            return Err(Ambiguous::framing("header-blank-around-value"));
        }
    }
    // Only a field that comes twice makes more values than names.
    let repeated = received.headers.len() > received.headers.keys_len();
    for name in SINGLE.iter().filter(|_| repeated) {
        if received.headers.get_all(*name).iter().nth(1).is_some() {
            let framing = matches!(*name, "content-length" | "transfer-encoding" | "host");
            return Err(Ambiguous {
                status: 400,
                code: "header-repeated",
                close: framing,
            });
        }
    }
    if repeated
        && received.version != Version::HTTP_2
        && received
            .headers
            .get_all(header::COOKIE)
            .iter()
            .nth(1)
            .is_some()
    {
        return Err(Ambiguous::new(400, "header-repeated"));
    }
    match received.headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Ambiguous {
            status: 417,
            code: "expectation",
            close: true,
        }),
        _ => Ok(()),
    }
}

fn target_path(uri: &Uri) -> Result<&str, Ambiguous> {
    match uri.path_and_query() {
        Some(target) if target.as_str() != "*" => Ok(uri.path()),
        _ => Err(Ambiguous::new(400, "request-target")),
    }
}

fn query(uri: &Uri) -> Result<Option<String>, Ambiguous> {
    let Some(query) = uri.query().filter(|q| !q.is_empty()) else {
        return Ok(None);
    };
    check_query(query)?;
    Ok(Some(query.to_owned()))
}

/// Checks a query: bounded, visible ASCII, valid percent-encoding, no NUL.
pub(crate) fn check_query(query: &str) -> Result<(), Ambiguous> {
    if query.len() > QUERY_MAX {
        return Err(Ambiguous::new(414, "query-too-long"));
    }
    let bytes = query.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' => match path::decode(bytes, at) {
                None => return Err(Ambiguous::new(400, "query-encoding")),
                Some(0) => return Err(Ambiguous::new(400, "query-nul")),
                Some(_) => {}
            },
            0x21..=0x7e if *byte != b'#' => {}
            _ => return Err(Ambiguous::new(400, "query-character")),
        }
    }
    Ok(())
}

/// How long the body is, and whether there may be one.
fn framing(received: &Received<'_>) -> Result<(Option<u64>, bool), Ambiguous> {
    let headers = received.headers;
    let length = match headers.get(header::CONTENT_LENGTH) {
        None => None,
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let length = digits.then(|| text.parse::<u64>().ok()).flatten();
            Some(length.ok_or(Ambiguous::framing("content-length"))?)
        }
    };
    let chunked = match headers.get(header::TRANSFER_ENCODING) {
        None => false,
        Some(_) if length.is_some() => {
            return Err(Ambiguous::framing("length-and-transfer-encoding"));
        }
        Some(_) if received.version != Version::HTTP_11 => {
            return Err(Ambiguous::framing("transfer-encoding-version"));
        }
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        Some(_) => return Err(Ambiguous::framing("transfer-encoding")),
    };
    let writes = matches!(
        *received.method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    let unstated = received.version == Version::HTTP_2 && length.is_none() && writes;
    let has_body = chunked || length.is_some_and(|l| l > 0) || unstated;
    if has_body && !writes {
        return Err(Ambiguous::framing("body-on-safe-method"));
    }
    Ok((length, has_body))
}

/// Header fields that `Connection` names, in lower case.
fn connection(received: &Received<'_>) -> Result<Vec<String>, Ambiguous> {
    let mut named = Vec::new();
    for value in received.headers.get_all(header::CONNECTION) {
        if received.version == Version::HTTP_2 {
            return Err(Ambiguous::new(400, "connection-in-http2"));
        }
        let text = value
            .to_str()
            .map_err(|_| Ambiguous::framing("connection"))?;
        for token in text
            .split(',')
            .map(|t| t.trim_matches([' ', '\t']))
            .filter(|t| !t.is_empty())
        {
            let token = token.to_ascii_lowercase();
            if !token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            {
                return Err(Ambiguous::framing("connection"));
            }
            let weighty = WEIGHTY.contains(&token.as_str()) || weighty_alias(&token);
            if reserved(&token) || weighty || token == "transfer-encoding" {
                return Err(Ambiguous::framing("connection-names-header"));
            }
            named.push(token);
        }
    }
    Ok(named)
}

/// The protocol that the client asks to switch to, if it is one that is supported.
fn upgrade(
    received: &Received<'_>,
    named: &[String],
    has_body: bool,
) -> Result<Option<String>, Ambiguous> {
    let mut asked = received.headers.get_all(header::UPGRADE).iter();
    let Some(value) = asked.next() else {
        return Ok(None);
    };
    if received.version == Version::HTTP_2 {
        return Err(Ambiguous::new(400, "upgrade-in-http2"));
    }
    // What follows would be read as the new protocol by one side and as the next request by the other.
    if has_body {
        return Err(Ambiguous::framing("upgrade-with-body"));
    }
    if asked.next().is_some() {
        return Err(Ambiguous::framing("header-repeated"));
    }
    let websocket = value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let meant = received.version == Version::HTTP_11
        && *received.method == Method::GET
        && named.iter().any(|n| n == "upgrade");
    // Any other protocol (`h2c`) is ignored, as a server may: the request goes on as it is.
    Ok((websocket && meant).then(|| "websocket".to_owned()))
}

fn end_to_end(received: &HeaderMap, named: &[String]) -> Result<HeaderMap, Ambiguous> {
    let mut headers = HeaderMap::with_capacity(received.len());
    let mut cookies: Option<HeaderValue> = None;
    for (name, value) in received {
        let text = name.as_str();
        let dropped = REMOVED.contains(&text)
            || named.iter().any(|n| n == text)
            || reserved(text)
            || weighty_alias(text);
        if dropped {
            continue;
        }
        if name == header::COOKIE {
            // HTTP/2 may split the field (RFC 9113, 8.2.3); it is one.
            cookies = match cookies {
                Some(before) if !before.is_empty() => {
                    let joined = [before.as_bytes(), b"; ", value.as_bytes()].concat();
                    let joined = HeaderValue::from_bytes(&joined);
                    Some(joined.map_err(|_| Ambiguous::new(400, "cookie"))?)
                }
                Some(_) | None => Some(value.clone()),
            };
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    if let Some(cookies) = cookies.filter(|c| !c.is_empty()) {
        headers.insert(header::COOKIE, cookies);
    }
    Ok(headers)
}

/// Whether a header name, in lower case, is one of [`RESERVED`] or an alias of one.
fn reserved(name: &str) -> bool {
    // None of them begins with a sign, so that none has an alias that begins with another letter.
    let first = name.as_bytes().first().map(u8::to_ascii_lowercase);
    RESERVED
        .iter()
        .filter(|reserved| reserved.as_bytes().first().copied() == first)
        .any(|reserved| match reserved.strip_suffix('*') {
            Some(prefix) => {
                name.len() >= prefix.len() && alike(&name.as_bytes()[..prefix.len()], prefix)
            }
            None => alike(name.as_bytes(), reserved),
        })
}

/// Whether a header name is one of the weighty or hop-by-hop ones, written with `_`.
fn weighty_alias(name: &str) -> bool {
    name.contains('_')
        && WEIGHTY
            .iter()
            .chain(REMOVED)
            .any(|known| alike(name.as_bytes(), known))
}

fn alike(name: &[u8], canonical: &str) -> bool {
    name.len() == canonical.len()
        && name.iter().zip(canonical.bytes()).all(|(a, b)| {
            (if *a == b'_' {
                b'-'
            } else {
                a.to_ascii_lowercase()
            }) == b
        })
}

#[cfg(test)]
mod tests;
