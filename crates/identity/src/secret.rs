//! Random secrets and their hashes: what a cookie or link carries, and all that we keep of it.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// Length of a secret's text: 32 bytes in base64url without padding.
pub const SECRET_TEXT_LEN: usize = 43;

/// A random secret of 256 bits, written as base64url.
///
/// It is handed out once; what stays behind is its [`SecretHash`]. It prints as `Secret(…)` and is wiped from
/// memory when dropped.
pub struct Secret([u8; 32]);

impl Secret {
    /// Draws a new one from the operating system's generator.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// Reads the text that a client sent; `None` unless it is exactly what [`Secret::reveal`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        decode32(text).map(Self)
    }

    /// The text for a cookie or link: 43 characters of base64url. The only way to see the secret.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What may be kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a [`Secret`]: it recognises the secret and cannot be turned back into it.
///
/// Serialises as base64url text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Reads what [`SecretHash::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        decode32(text).map(Self)
    }

    /// The hash as 43 characters of base64url.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a base64url SHA-256"))
    }
}

/// Which browser a ceremony belongs to: the SHA-256 of its transaction cookie's text.
///
/// The hash may travel in a URL (`tx=`); only the browser that holds the cookie can show the text behind it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrowserHash([u8; 32]);

impl BrowserHash {
    /// Of the transaction cookie that a browser sent; `None` if it is not a [`Secret`]'s text.
    pub fn of_cookie(cookie: &str) -> Option<Self> {
        // Only text that we could have set ourselves counts: a cookie that an attacker shortened or stuffed does not.
        Secret::parse(cookie)?;
        Some(Self(sha256(cookie.as_bytes())))
    }

    /// Of a transaction cookie about to be set.
    pub fn of_secret(secret: &Secret) -> Self {
        Self(sha256(secret.reveal().as_bytes()))
    }

    /// Reads the `tx` parameter.
    pub fn parse(text: &str) -> Option<Self> {
        decode32(text).map(Self)
    }

    /// The text of the `tx` parameter.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Whether both are the same, in time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for BrowserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserHash(…)")
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

pub(crate) fn fill_random(bytes: &mut [u8]) {
    // Without randomness no secret is safe to hand out; there is nothing sensible to do instead.
    SystemRandom::new()
        .fill(bytes)
        .expect("the operating system gives random bytes");
}

/// A short random identifier for people and records: it names something and opens nothing.
pub(crate) fn random_handle(prefix: &str) -> String {
    let mut bytes = [0; 12];
    fill_random(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn decode32(text: &str) -> Option<[u8; 32]> {
    if text.len() != SECRET_TEXT_LEN {
        return None;
    }
    let mut out = [0; 32];
    // The engine refuses padding, foreign characters and spare bits, so that one secret has one text.
    match URL_SAFE_NO_PAD.decode_slice_unchecked(text, &mut out) {
        Ok(32) => Some(out),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_survive_their_text() {
        let (a, b) = (Secret::generate(), Secret::generate());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), SECRET_TEXT_LEN);
        let again = Secret::parse(&a.reveal()).expect("its own text");
        assert_eq!(again.hash(), a.hash());
        assert_ne!(a.hash(), b.hash());
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::generate();
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert_eq!(shown, "Secret(…) SecretHash(…)");
    }

    #[test]
    fn malformed_text_is_no_secret() {
        let good = Secret::generate().reveal();
        let mut spare_bits = good.clone();
        spare_bits.pop();
        spare_bits.push('B'); // its two low bits belong to no byte
        for text in [
            "",
            "A",
            &good[1..],
            &format!("{good}="),
            &format!("{good}A"),
            &good.replace(|c: char| c.is_ascii_digit(), "+"),
            &format!("{}é", &good[..41]),
            &format!("{} ", &good[..42]),
            &spare_bits,
        ] {
            if text == good {
                continue; // no digit to replace
            }
            assert!(Secret::parse(text).is_none(), "{text}");
            assert!(BrowserHash::of_cookie(text).is_none(), "{text}");
        }
    }

    #[test]
    fn browser_hash_is_that_of_the_cookies_text() {
        let cookie = Secret::generate();
        let hash = BrowserHash::of_cookie(&cookie.reveal()).expect("a cookie of ours");
        assert!(hash.matches(&BrowserHash::of_secret(&cookie)));
        let url = BrowserHash::parse(&hash.to_text()).expect("its own text");
        assert!(hash.matches(&url));
        assert!(!hash.matches(&BrowserHash::of_secret(&Secret::generate())));
    }
}
