//! Who we are to an authenticator.

use std::time::Duration;

use webauthn_rs::WebauthnBuilder;
use webauthn_rs::prelude::{Url, Webauthn, WebauthnError};

/// The relying party: what passkeys are bound to, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The domain that passkeys are bound to, such as `hospital.example`. Changing it orphans every passkey.
    pub id: String,
    /// Name that authenticators show.
    pub name: String,
    /// The exact origins on which ceremonies take place, such as `https://access.hospital.example`.
    pub origins: Vec<String>,
}

/// Why this is no relying party.
#[derive(Debug, thiserror::Error)]
pub enum RelyingPartyError {
    /// The id is not a domain name.
    #[error(
        "relying party id `{0}` is not a domain name in lower case (hint: write `hospital.example`, without scheme and port)"
    )]
    Id(String),
    /// There is no origin.
    #[error("relying party `{0}` has no origin")]
    NoOrigin(String),
    /// An origin cannot be used.
    #[error("origin `{origin}` cannot be used with relying party id `{id}`: {why}")]
    Origin {
        /// The origin.
        origin: String,
        /// The relying party id.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The library refused.
    #[error("relying party cannot be used: {0}")]
    Library(#[from] WebauthnError),
}

impl RelyingParty {
    /// The library's handler and our origins as browsers write them.
    pub(super) fn resolve(
        &self,
        timeout: Duration,
    ) -> Result<(Webauthn, Vec<String>), RelyingPartyError> {
        if !is_domain(&self.id) {
            return Err(RelyingPartyError::Id(self.id.clone()));
        }
        let urls = self
            .origins
            .iter()
            .map(|origin| self.origin(origin))
            .collect::<Result<Vec<Url>, _>>()?;
        let first = urls
            .first()
            .ok_or_else(|| RelyingPartyError::NoOrigin(self.id.clone()))?;
        let mut builder = WebauthnBuilder::new(&self.id, first)?
            .rp_name(&self.name)
            .allow_subdomains(false)
            .allow_any_port(false)
            .timeout(timeout);
        for url in &urls[1..] {
            builder = builder.append_allowed_origin(url);
        }
        let texts = urls
            .iter()
            .map(|url| url.origin().ascii_serialization())
            .collect();
        Ok((builder.build()?, texts))
    }

    fn origin(&self, origin: &str) -> Result<Url, RelyingPartyError> {
        let refuse = |why| RelyingPartyError::Origin {
            origin: origin.to_owned(),
            id: self.id.clone(),
            why,
        };
        let url = Url::parse(origin).map_err(|_| refuse("it is not a URL"))?;
        let host = url
            .domain()
            .ok_or_else(|| refuse("its host is not a domain name"))?;
        if host != self.id && !host.ends_with(&format!(".{}", self.id)) {
            return Err(refuse("its host does not lie below the relying party id"));
        }
        let local = host == "localhost" || host.ends_with(".localhost");
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(refuse(
                "browsers allow passkeys on `https` only, and on `http` below `localhost`",
            ));
        }
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(refuse(
                "an origin has a scheme, a host and a port, nothing else",
            ));
        }
        Ok(url)
    }
}

fn is_domain(id: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    id.len() <= 253
        && id.split('.').all(label)
        && !id
            .split('.')
            .next_back()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Passkeys;

    fn party(id: &str, origins: &[&str]) -> Result<Passkeys, RelyingPartyError> {
        Passkeys::new(&RelyingParty {
            id: id.to_owned(),
            name: "Asepsis".to_owned(),
            origins: origins.iter().map(|&o| o.to_owned()).collect(),
        })
    }

    #[test]
    fn the_demo_and_a_hospital_are_relying_parties() {
        let demo = [
            "http://access.asepsis.localhost:8080",
            "https://access.asepsis.localhost:8443",
        ];
        assert!(party("asepsis.localhost", &demo).is_ok());
        assert!(party("hospital.example", &["https://access.hospital.example"]).is_ok());
        assert!(party("hospital.example", &["https://hospital.example"]).is_ok());
    }

    #[test]
    fn foreign_and_unsafe_origins_are_refused() {
        for (id, origin) in [
            ("hospital.example", "https://evilhospital.example"),
            ("hospital.example", "https://hospital.example.evil.example"),
            ("hospital.example", "http://access.hospital.example"),
            ("hospital.example", "https://access.hospital.example/path"),
            ("hospital.example", "https://user@access.hospital.example"),
            ("hospital.example", "access.hospital.example"),
            ("127.0.0.1", "https://127.0.0.1"),
            ("Hospital.example", "https://hospital.example"),
            ("https://hospital.example", "https://hospital.example"),
            ("hospital.example:443", "https://hospital.example"),
            ("", "https://hospital.example"),
        ] {
            assert!(party(id, &[origin]).is_err(), "{id} {origin}");
        }
        assert!(matches!(
            party("hospital.example", &[]),
            Err(RelyingPartyError::NoOrigin(_))
        ));
        let second = [
            "https://access.hospital.example",
            "https://evilhospital.example",
        ];
        assert!(party("hospital.example", &second).is_err());
    }
}
