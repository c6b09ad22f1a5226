//! Where a request came from: cross-site requests change nothing.
//!
//! Two fences, each enough alone: the browser's own word (`Origin`, `Sec-Fetch-Site`) and a token in each form that
//! belongs to one session. Cookies are `SameSite=Lax` besides.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::ORIGIN;

use crate::reply::Refused;

/// Checks that a request that changes something was sent by a page of `own`.
///
/// Every browser sends `Origin` with such a request; a program has to, too.
pub(crate) fn same_origin(headers: &HeaderMap, own: &str) -> Result<(), Refused> {
    if let Some(site) = headers.get("sec-fetch-site")
        && site.as_bytes() != b"same-origin"
    {
        return Err(Refused::CrossSite);
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()) => Ok(()),
        _ => Err(Refused::CrossSite),
    }
}

/// Makes and checks the tokens of forms. The key lives as long as the program.
pub(crate) struct Tokens(hmac::Key);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// A new random key.
    ///
    /// # Panics
    /// If the system gives no random bytes; nothing secret could be made then.
    pub(crate) fn new() -> Self {
        let rng = aws_lc_rs::rand::SystemRandom::new();
        Self(hmac::Key::generate(hmac::HMAC_SHA256, &rng).expect("the system gives random bytes"))
    }

    /// The token for `whom` (a session, a browser transaction).
    pub(crate) fn make(&self, whom: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, whom.as_bytes()))
    }

    /// Checks a token in constant time.
    pub(crate) fn check(&self, whom: &str, token: Option<&str>) -> Result<(), Refused> {
        let bytes = token
            .and_then(|t| URL_SAFE_NO_PAD.decode(t).ok())
            .ok_or(Refused::StaleForm)?;
        hmac::verify(&self.0, whom.as_bytes(), &bytes).map_err(|_| Refused::StaleForm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut h = HeaderMap::new();
        for (name, value) in pairs {
            h.append(*name, HeaderValue::from_str(value).expect("ascii"));
        }
        h
    }

    #[test]
    fn only_a_page_of_this_origin_may_change_something() {
        let own = "https://access.example:8443";
        let check = |pairs: &[(&'static str, &str)]| same_origin(&headers(pairs), own).is_ok();
        assert!(check(&[("origin", own)]));
        assert!(check(&[("origin", own), ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[]), "a client that says nothing is refused");
        assert!(!check(&[("sec-fetch-site", "same-origin")]));
        assert!(!check(&[("origin", own), ("sec-fetch-site", "same-site")]));
        assert!(!check(&[("origin", own), ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("origin", "http://access.example:8443")]));
        assert!(!check(&[(
            "origin",
            "https://access.example:8443.evil.example"
        )]));
        assert!(!check(&[
            ("origin", own),
            ("origin", "https://evil.example")
        ]));
    }

    #[test]
    fn a_token_belongs_to_one_session_and_one_program() {
        let tokens = Tokens::new();
        let token = tokens.make("session-1");
        assert!(tokens.check("session-1", Some(&token)).is_ok());
        assert!(tokens.check("session-2", Some(&token)).is_err());
        assert!(tokens.check("session-1", Some("")).is_err());
        assert!(tokens.check("session-1", Some("!!!")).is_err());
        assert!(tokens.check("session-1", None).is_err());
        assert!(Tokens::new().check("session-1", Some(&token)).is_err());
    }
}
