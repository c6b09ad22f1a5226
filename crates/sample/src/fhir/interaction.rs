//! Which interaction a request is, and the parts of HTTP around it.

use bytes::Bytes;
use domain::Timestamp;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use serde_json::Value;
use smol_str::SmolStr;

use super::fault::Fault;
use super::parameters::{self, Type};
use super::query;

/// A FHIR interaction with its address.
#[derive(Clone, Debug)]
pub(crate) enum Interaction {
    Capabilities,
    Read {
        kept: &'static Type,
        id: SmolStr,
    },
    Vread {
        kept: &'static Type,
        id: SmolStr,
        version: SmolStr,
    },
    History {
        kept: Option<&'static Type>,
        id: Option<SmolStr>,
    },
    Search {
        kept: Option<&'static Type>,
        compartment: Option<SmolStr>,
    },
    /// The next page of an answer.
    Page {
        token: String,
    },
    Create {
        kept: &'static Type,
    },
    Update {
        kept: &'static Type,
        id: SmolStr,
    },
    Patch {
        kept: &'static Type,
        id: SmolStr,
    },
    Delete {
        kept: &'static Type,
        id: SmolStr,
    },
    Bundle,
}

impl Interaction {
    /// Reads method, path below the base, and query.
    pub(crate) fn parse(method: &Method, path: &str, query: &str) -> Result<Self, Fault> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&str> = if path.is_empty() {
            Vec::new()
        } else {
            path.split('/').collect()
        };
        if segments.iter().any(|s| s.starts_with('$')) {
            return Err(Fault::new(
                StatusCode::NOT_FOUND,
                "not-supported",
                "this server offers no operations",
            ));
        }
        let get = *method == Method::GET;
        let post = *method == Method::POST;
        let kept = |name: &str| parameters::type_named(name).ok_or_else(Fault::unknown_type);
        let only = |allowed: bool, allow: &'static str, this: Self| {
            if allowed {
                Ok(this)
            } else {
                Err(Fault::method(allow))
            }
        };
        match segments.as_slice() {
            [] if post => Ok(Self::Bundle),
            [] => {
                let page = query::pairs(query)?
                    .into_iter()
                    .find(|(name, _)| name == "_page");
                let this = match page {
                    Some((_, token)) => Self::Page { token },
                    None => Self::Search {
                        kept: None,
                        compartment: None,
                    },
                };
                only(get, "GET, HEAD, POST", this)
            }
            ["metadata"] => only(get, "GET, HEAD", Self::Capabilities),
            ["_history"] => only(
                get,
                "GET, HEAD",
                Self::History {
                    kept: None,
                    id: None,
                },
            ),
            ["_search"] => only(
                post,
                "POST",
                Self::Search {
                    kept: None,
                    compartment: None,
                },
            ),
            [name] => {
                let kept = kept(name)?;
                if get {
                    Ok(Self::Search {
                        kept: Some(kept),
                        compartment: None,
                    })
                } else {
                    // Conditional update, patch and delete would be addressed here.
                    only(post, "GET, HEAD, POST", Self::Create { kept })
                }
            }
            [name, "_search"] => {
                let kept = Some(kept(name)?);
                only(
                    post,
                    "POST",
                    Self::Search {
                        kept,
                        compartment: None,
                    },
                )
            }
            [name, "_history"] => {
                let kept = Some(kept(name)?);
                only(get, "GET, HEAD", Self::History { kept, id: None })
            }
            [name, id] => {
                let kept = kept(name)?;
                let id = logical_id(id)?;
                match *method {
                    Method::GET => Ok(Self::Read { kept, id }),
                    Method::PUT => Ok(Self::Update { kept, id }),
                    Method::PATCH => Ok(Self::Patch { kept, id }),
                    Method::DELETE => Ok(Self::Delete { kept, id }),
                    _ => Err(Fault::method("GET, HEAD, PUT, PATCH, DELETE")),
                }
            }
            [name, id, "_history"] => {
                let (kept, id) = (Some(kept(name)?), Some(logical_id(id)?));
                only(get, "GET, HEAD", Self::History { kept, id })
            }
            ["Patient", id, "*"] => {
                let compartment = Some(logical_id(id)?);
                only(
                    get,
                    "GET, HEAD",
                    Self::Search {
                        kept: None,
                        compartment,
                    },
                )
            }
            ["Patient", id, name] => {
                let this = Self::Search {
                    kept: Some(kept(name)?),
                    compartment: Some(logical_id(id)?),
                };
                only(get, "GET, HEAD", this)
            }
            ["Patient", id, name, "_search"] => {
                let this = Self::Search {
                    kept: if *name == "*" {
                        None
                    } else {
                        Some(kept(name)?)
                    },
                    compartment: Some(logical_id(id)?),
                };
                only(post, "POST", this)
            }
            [name, id, "_history", version] => {
                let this = Self::Vread {
                    kept: kept(name)?,
                    id: logical_id(id)?,
                    version: (*version).into(),
                };
                only(get, "GET, HEAD", this)
            }
            _ => Err(Fault::not_found()),
        }
    }

    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Capabilities
            | Self::Read { .. }
            | Self::Vread { .. }
            | Self::History { .. }
            | Self::Search { .. }
            | Self::Page { .. } => true,
            Self::Create { .. }
            | Self::Update { .. }
            | Self::Patch { .. }
            | Self::Delete { .. }
            | Self::Bundle => false,
        }
    }
}

/// FHIR ids are 1 to 64 letters, digits, `-` and `.`.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

fn logical_id(text: &str) -> Result<SmolStr, Fault> {
    is_id(text)
        .then(|| SmolStr::from(text))
        .ok_or_else(Fault::not_found)
}

/// A request of HTTP or an entry of a bundle, in one form.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// The body of `POST …/_search`.
    pub(crate) form: Option<&'a str>,
    pub(crate) resource: Option<Value>,
    pub(crate) patch: Option<Value>,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
    pub(crate) if_none_exist: Option<&'a str>,
    pub(crate) prefer: Prefer,
    /// The id that a transaction has promised to a new resource.
    pub(crate) preset_id: Option<SmolStr>,
}

/// What the client wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    Representation,
    Minimal,
    Outcome,
}

/// The `Prefer` header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefer {
    pub(crate) wanted: Option<Return>,
    /// Unknown search parameters are passed over.
    pub(crate) lenient: bool,
}

impl Prefer {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut prefer = Self {
            wanted: None,
            lenient: false,
        };
        for value in headers.get_all("prefer") {
            for part in value.to_str().unwrap_or("").split([',', ';']) {
                match part.trim() {
                    "return=minimal" => prefer.wanted = Some(Return::Minimal),
                    "return=representation" => prefer.wanted = Some(Return::Representation),
                    "return=OperationOutcome" => prefer.wanted = Some(Return::Outcome),
                    "handling=lenient" => prefer.lenient = true,
                    "handling=strict" => prefer.lenient = false,
                    _ => {}
                }
            }
        }
        prefer
    }
}

/// An answer before it is HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) version: Option<u32>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) location: Option<String>,
    pub(crate) allow: Option<&'static str>,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            version: None,
            modified: None,
            location: None,
            allow: None,
        }
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        Self {
            allow: fault.allow,
            ..Self::new(fault.status, fault.body())
        }
    }
}

/// Refuses whoever wants something else than JSON.
pub(crate) fn acceptable(headers: &HeaderMap, query: &str) -> Result<(), Fault> {
    let is_json = |text: &str| {
        let essence = text.split(';').next().unwrap_or("").trim();
        matches!(
            essence,
            "json"
                | "application/json"
                | "application/fhir+json"
                | "application/fhir json"
                | "*/*"
                | "application/*"
        )
    };
    let format = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format");
    let accepted = match format {
        Some((_, format)) => is_json(&format),
        None => {
            let mut accept = headers.get_all(header::ACCEPT).iter().peekable();
            accept.peek().is_none()
                || accept.any(|v| v.to_str().is_ok_and(|v| v.split(',').any(is_json)))
        }
    };
    if accepted {
        Ok(())
    } else {
        Err(Fault::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-supported",
            "this server speaks JSON only",
        ))
    }
}

/// Parses the body as what the interaction takes.
pub(crate) fn take_body<'a>(
    call: &mut Call<'a>,
    interaction: &Interaction,
    headers: &HeaderMap,
    body: &'a Bytes,
) -> Result<(), Fault> {
    let sent = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .map(|v| {
            v.split(';')
                .next()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase()
        });
    let sent = sent.as_deref();
    let unsupported = |text: &str| {
        Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-supported",
            text,
        ))
    };
    match interaction {
        Interaction::Search { .. } if call.method == Method::POST => {
            if !matches!(sent, None | Some("application/x-www-form-urlencoded")) {
                return unsupported(
                    "a posted search is a form: `application/x-www-form-urlencoded`",
                );
            }
            let form =
                std::str::from_utf8(body).map_err(|_| Fault::invalid("the form is not UTF-8"))?;
            call.form = Some(form);
        }
        Interaction::Create { .. } | Interaction::Update { .. } | Interaction::Bundle => {
            if !matches!(sent, Some("application/fhir+json" | "application/json")) {
                return unsupported("the body is to be `application/fhir+json`");
            }
            call.resource = Some(json(body)?);
        }
        Interaction::Patch { .. } => {
            if sent != Some("application/json-patch+json") {
                return unsupported("patches are to be `application/json-patch+json`");
            }
            call.patch = Some(json(body)?);
        }
        Interaction::Capabilities
        | Interaction::Read { .. }
        | Interaction::Vread { .. }
        | Interaction::History { .. }
        | Interaction::Search { .. }
        | Interaction::Page { .. }
        | Interaction::Delete { .. } => {}
    }
    Ok(())
}

fn json(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        Fault::new(
            StatusCode::BAD_REQUEST,
            "structure",
            format!(
                "the body is not JSON, line `{}` column `{}`",
                error.line(),
                error.column()
            ),
        )
    })
}

/// What stands before `/Type/id` in links: absolute if a proxy in front says where it is reached, else relative to
/// the host, which is right wherever that is.
pub(crate) fn prefix(headers: &HeaderMap, base: &str) -> String {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next().and_then(|v| v.to_str().ok()), all.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    };
    let plain = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
    };
    match (
        one("x-forwarded-proto"),
        one("x-forwarded-host").filter(plain),
    ) {
        (Some(scheme @ ("http" | "https")), Some(host)) => format!("{scheme}://{host}{base}"),
        _ => base.to_owned(),
    }
}

/// An instant as HTTP writes it: `Sun, 22 Nov 2026 08:30:00 GMT`.
pub(crate) fn http_date(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    // `2026-11-22T08:30:00.000Z`; the first of January 1970 was a Thursday.
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("");
    let weekday = at.as_secs().div_euclid(86_400).rem_euclid(7);
    let weekday = usize::try_from(weekday).map_or("", |d| DAYS[d]);
    let month = part(5..7)
        .parse::<usize>()
        .ok()
        .and_then(|m| MONTHS.get(m.wrapping_sub(1)))
        .unwrap_or(&"");
    format!(
        "{weekday}, {} {month} {} {} GMT",
        part(8..10),
        part(0..4),
        part(11..19)
    )
}

/// Whether a list of entity tags names this version.
pub(crate) fn names_version(tags: &str, version: u32) -> bool {
    tags.split(',').any(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let bare = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        tag == "*" || bare.is_some_and(|t| t == version.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_for_http() {
        let at = Timestamp::parse("2026-11-22T08:30:05.999Z").expect("valid");
        assert_eq!(http_date(at), "Sun, 22 Nov 2026 08:30:05 GMT");
    }

    #[test]
    fn entity_tags_are_compared_as_weak() {
        assert!(
            names_version("W/\"3\"", 3)
                && names_version("\"2\", \"3\"", 3)
                && names_version("*", 9)
        );
        assert!(!names_version("W/\"33\"", 3) && !names_version("3", 3) && !names_version("", 3));
    }

    #[test]
    fn links_are_absolute_only_behind_a_proxy_that_says_where() {
        let mut headers = HeaderMap::new();
        assert_eq!(prefix(&headers, "/fhir"), "/fhir");
        headers.insert("x-forwarded-proto", "https".parse().expect("valid"));
        headers.insert(
            "x-forwarded-host",
            "chart.example:8443".parse().expect("valid"),
        );
        assert_eq!(prefix(&headers, "/fhir"), "https://chart.example:8443/fhir");
        headers.append("x-forwarded-host", "evil.example".parse().expect("valid"));
        assert_eq!(prefix(&headers, "/fhir"), "/fhir");
    }
}
