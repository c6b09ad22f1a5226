//! Cookies.

use http::header::{self, HeaderMap, HeaderValue};

use super::Ambiguous;

/// Cookies of a request.
const COOKIES_MAX: usize = 64;

/// Reads the `Cookie` field. A repeated name with the prefix `__Host-` or `__Secure-` is refused: one of the
/// two was planted.
pub(super) fn read(headers: &HeaderMap) -> Result<Vec<(String, String)>, Ambiguous> {
    let mut found: Vec<(String, String)> = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        for (name, value) in pairs(value.as_bytes()) {
            if found.len() >= COOKIES_MAX {
                return Err(Ambiguous::new(431, "too-many-cookies"));
            }
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
            else {
                continue;
            };
            if guarded(name) && found.iter().any(|(other, _)| other == name) {
                return Err(Ambiguous::new(400, "cookie-repeated"));
            }
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(found)
}

/// Removes the cookies that `ours` names, so that an application never sees the gateway's own. What is no
/// cookie, and the attributes of RFC 2965 (`$Version`), which make some servers read the rest by other rules, go too.
pub fn strip_cookies(headers: &mut HeaderMap, ours: impl Fn(&str) -> bool) {
    let mut kept: Vec<u8> = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        for (name, value) in pairs(value.as_bytes()) {
            let keep =
                std::str::from_utf8(name).is_ok_and(|name| !ours(name) && !name.starts_with('$'));
            if keep {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(name);
                kept.push(b'=');
                kept.extend_from_slice(value);
            }
        }
    }
    headers.remove(header::COOKIE);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&kept)
    {
        headers.insert(header::COOKIE, value);
    }
}

/// Names and values. Pairs without a name (`=x`, `x`) are passed over: browsers and servers disagree on them.
fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|b| *b == b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = memchr::memchr(b'=', pair)?;
        let name = pair[..at].trim_ascii_end();
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        (!name.is_empty() && name.iter().all(token))
            .then(|| (name, pair[at + 1..].trim_ascii_start()))
    })
}

fn guarded(name: &str) -> bool {
    ["__host-", "__secure-"].iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}
