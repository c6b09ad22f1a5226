//! Signed identity assertions: what an upstream is told of who asks.
//!
//! A compact JWS with ES256. Header: `alg`, `typ` (`JWT`), `kid` (the key's RFC 7638 thumbprint). Claims: `iss` the access
//! origin, `aud` the application, `sub` the person, `sid` the session, `iat` and `exp` in seconds, `jti`, `roles`,
//! `acr` (`aal1`, `aal2`, `aal3`), `amr` (RFC 8176: a passkey is `swk` or `hwk`, with `user` and `mfa`), `auth_time`.
//! Upstreams verify it with the key set at `/.well-known/asepsis/jwks.json` of the access origin.

mod cache;
mod verify;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Aal, ApplicationId, PersonId, Role, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::Live;
use crate::secret::{random_handle, sha256};

pub use verify::{BadAssertion, verify};

/// How long an assertion is valid.
pub const ASSERTION_LIFETIME: Duration = Duration::from_secs(300);

/// How long one is handed out again before a new one is signed.
pub const ASSERTION_REUSE: Duration = Duration::from_secs(60);

/// Makes assertions with one private key.
pub struct Signer {
    key: EcdsaKeyPair,
    issuer: String,
    kid: String,
    /// The encoded header, which is the same for every assertion.
    header: String,
    cache: cache::Cache,
}

/// The claims of an assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The access origin.
    pub iss: String,
    /// The application.
    pub aud: ApplicationId,
    /// The person.
    pub sub: PersonId,
    /// The session.
    pub sid: SessionId,
    /// When it was made, in seconds.
    pub iat: i64,
    /// From when on it is void, in seconds.
    pub exp: i64,
    /// Its own number.
    pub jti: String,
    /// Roles held.
    pub roles: Vec<Role>,
    /// Assurance level: `aal1`, `aal2` or `aal3`.
    pub acr: String,
    /// Methods (RFC 8176).
    pub amr: Vec<String>,
    /// When the person last proved presence, in seconds.
    pub auth_time: i64,
}

/// A private key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("not a PKCS#8 private key for ECDSA on P-256")]
pub struct BadKey;

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A new private key as PKCS#8, to be kept where only the program reads it.
    pub fn generate_pkcs8() -> Zeroizing<Vec<u8>> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("the operating system gives random bytes");
        Zeroizing::new(document.as_ref().to_vec())
    }

    /// A signer with this key; `issuer` is the access origin's public URL.
    pub fn from_pkcs8(pkcs8: &[u8], issuer: impl Into<String>) -> Result<Self, BadKey> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| BadKey)?;
        let (x, y) = coordinates(&key)?;
        // RFC 7638: members in lexical order, no white space.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(sha256(thumbprint.as_bytes()));
        let header = json!({ "alg": "ES256", "kid": kid, "typ": "JWT" });
        Ok(Self {
            key,
            issuer: issuer.into(),
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            kid,
            cache: cache::Cache::new(),
        })
    }

    /// The key's identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The issuer named in every assertion.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let (x, y) = coordinates(&self.key).unwrap_or_default();
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y,
        }] })
    }

    /// The assertion of who asks, for one application. The same text for up to [`ASSERTION_REUSE`], as long as session,
    /// authentication and roles stay the same: a signature costs far more than the rest of a request.
    pub fn assertion(
        &self,
        live: &Live,
        audience: &ApplicationId,
        roles: &[Role],
        now: Timestamp,
    ) -> Arc<str> {
        let authentication = live.authentication();
        let about = cache::About {
            person: live.person().clone(),
            level: authentication.level,
            phishing_resistant: authentication.phishing_resistant,
            at: authentication.at,
            epoch: live.epoch(),
            roles: roles.to_vec(),
        };
        self.cache
            .get_or_make(live.id(), audience, about, now, |about| {
                self.sign(&Claims {
                    iss: self.issuer.clone(),
                    aud: audience.clone(),
                    sub: about.person.clone(),
                    sid: live.id().clone(),
                    iat: now.as_secs(),
                    exp: now.plus(ASSERTION_LIFETIME).min(live.expires()).as_secs(),
                    jti: random_handle(""),
                    roles: about.roles.clone(),
                    acr: acr(about.level).to_owned(),
                    amr: amr(about.level, about.phishing_resistant),
                    auth_time: about.at.as_secs(),
                })
                .into()
            })
    }

    /// Signs claims, whatever they say.
    pub fn sign(&self, claims: &Claims) -> String {
        let payload = serde_json::to_vec(claims).expect("claims are text, numbers and lists");
        let mut token = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 96);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self
            .key
            .sign(&SystemRandom::new(), token.as_bytes())
            .expect("a key that was read signs");
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// Forgets the assertions of a session that has ended.
    pub fn forget(&self, session: &SessionId) {
        self.cache.forget(session);
    }
}

fn acr(level: Aal) -> &'static str {
    match level {
        Aal::Aal1 => "aal1",
        Aal::Aal2 => "aal2",
        Aal::Aal3 => "aal3",
    }
}

fn amr(level: Aal, phishing_resistant: bool) -> Vec<String> {
    let methods: &[&str] = match (level, phishing_resistant) {
        (Aal::Aal1, _) => &[],
        (Aal::Aal2, true) => &["swk", "user", "mfa"],
        (Aal::Aal3, true) => &["hwk", "user", "mfa"],
        (Aal::Aal2 | Aal::Aal3, false) => &["mfa"],
    };
    methods.iter().map(|&m| m.to_owned()).collect()
}

/// The public point's coordinates in base64url.
fn coordinates(key: &EcdsaKeyPair) -> Result<(String, String), BadKey> {
    // Uncompressed: 0x04, then x and y of 32 bytes each.
    match key.public_key().as_ref() {
        [4, point @ ..] if point.len() == 64 => Ok((
            URL_SAFE_NO_PAD.encode(&point[..32]),
            URL_SAFE_NO_PAD.encode(&point[32..]),
        )),
        _ => Err(BadKey),
    }
}

#[cfg(test)]
mod tests;
