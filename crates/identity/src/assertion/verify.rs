//! What an upstream does with an assertion. Used in tests, by the tour, and as the example for upstreams to follow.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ApplicationId, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::Claims;

/// How far two clocks may differ, in seconds.
const LEEWAY_SECS: i64 = 60;

/// Why an assertion does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAssertion {
    /// Not a compact JWS of ours.
    #[error("malformed assertion")]
    Malformed,
    /// Another algorithm than ES256, `none` included.
    #[error("assertion is not signed with ES256")]
    Algorithm,
    /// The key set has no such key.
    #[error("assertion names an unknown key")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("assertion has a bad signature")]
    Signature,
    /// Issued by somebody else.
    #[error("assertion of another issuer")]
    Issuer,
    /// Meant for another application.
    #[error("assertion for another application")]
    Audience,
    /// Not valid now.
    #[error("assertion is not valid at this time")]
    Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)] // no `jku`, `x5u`, `jwk` or `crit` has anything to say here
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Verifies an assertion with a key set as [`super::Signer::jwks`] gives it.
pub fn verify(
    token: &str,
    jwks: &Value,
    issuer: &str,
    audience: &ApplicationId,
    now: Timestamp,
) -> Result<Claims, BadAssertion> {
    let (signed, signature) = token.rsplit_once('.').ok_or(BadAssertion::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(BadAssertion::Malformed)?;
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| BadAssertion::Malformed)?;
    if header.alg != "ES256" {
        return Err(BadAssertion::Algorithm);
    }
    if header.typ != "JWT" {
        return Err(BadAssertion::Malformed);
    }
    let key = jwks["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| {
            key["kid"] == header.kid.as_str() && key["kty"] == "EC" && key["crv"] == "P-256"
        })
        .ok_or(BadAssertion::UnknownKey)?;
    let mut point = vec![4];
    for coordinate in ["x", "y"] {
        let text = key[coordinate].as_str().ok_or(BadAssertion::UnknownKey)?;
        point.extend(decode(text).map_err(|_| BadAssertion::UnknownKey)?);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| BadAssertion::Signature)?;
    let claims: Claims =
        serde_json::from_slice(&decode(payload)?).map_err(|_| BadAssertion::Malformed)?;
    if claims.iss != issuer {
        return Err(BadAssertion::Issuer);
    }
    if claims.aud != *audience {
        return Err(BadAssertion::Audience);
    }
    let now = now.as_secs();
    if now >= claims.exp.saturating_add(LEEWAY_SECS) || now < claims.iat.saturating_sub(LEEWAY_SECS)
    {
        return Err(BadAssertion::Time);
    }
    Ok(claims)
}

fn decode(text: &str) -> Result<Vec<u8>, BadAssertion> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| BadAssertion::Malformed)
}
