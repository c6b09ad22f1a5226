//! Whom a request is addressed to.

use http::Version;
use http::header;

use super::{Ambiguous, Received};

/// Host in lower case and port, if all places that name them agree.
pub(super) fn of(received: &Received<'_>) -> Result<(String, Option<u16>), Ambiguous> {
    if let Some(scheme) = received.uri.scheme_str() {
        let expected = if received.secure { "https" } else { "http" };
        if scheme != expected {
            return Err(Ambiguous::new(400, "scheme-mismatch"));
        }
    }
    let header = match received.headers.get(header::HOST) {
        Some(value) => {
            let text = value.to_str().map_err(|_| Ambiguous::new(400, "host"))?;
            Some(parse(text)?)
        }
        None => None,
    };
    let target = match received.uri.authority() {
        Some(authority) => Some(parse(authority.as_str())?),
        None => None,
    };
    let (host, port) = match (header, target) {
        (Some(header), Some(target)) if header != target => {
            return Err(Ambiguous::new(400, "host-mismatch"));
        }
        // RFC 9112, 3.2: a request without Host, or with an absolute target that replaces it, is not one.
        (None, _) if received.version != Version::HTTP_2 => {
            return Err(Ambiguous::framing("host-missing"));
        }
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => return Err(Ambiguous::new(400, "host-missing")),
    };
    if let (true, Some(sni)) = (received.secure, received.sni)
        && !sni.eq_ignore_ascii_case(&host)
    {
        return Err(Ambiguous::new(421, "tls-name-mismatch"));
    }
    Ok((host, port))
}

/// Reads `host` or `host:port`; no user part, no trailing dot, no name that is not plain ASCII.
fn parse(text: &str) -> Result<(String, Option<u16>), Ambiguous> {
    let bad = Ambiguous::new(400, "host");
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(bad)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| bad)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(bad),
            };
            (format!("[{}]", address.to_ascii_lowercase()), port)
        }
        None => {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            let label = |l: &str| {
                (1..=63).contains(&l.len())
                    && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !l.starts_with('-')
                    && !l.ends_with('-')
            };
            if name.len() > 253 || !name.split('.').all(label) {
                return Err(bad);
            }
            (name.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        None => None,
        Some(port) => {
            let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
            let number = digits
                .then(|| port.parse::<u16>().ok())
                .flatten()
                .filter(|p| *p > 0);
            Some(number.ok_or(bad)?)
        }
    };
    Ok((name, port))
}
