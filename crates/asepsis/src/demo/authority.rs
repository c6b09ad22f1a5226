//! The demo's own certificate authority: good for `*.asepsis.localhost` and nothing else.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

/// The domain of the demo's hosts.
pub(crate) const DOMAIN: &str = "asepsis.localhost";

/// A server certificate and the authority that signed it, made anew at each start.
#[derive(Debug)]
pub(crate) struct Authority {
    /// What the server presents.
    pub(crate) server: Arc<CertifiedKey>,
    /// What a client of the demo trusts.
    pub(crate) roots: Arc<RootCertStore>,
    pem: String,
}

impl Authority {
    /// Makes an authority and a certificate for `*.asepsis.localhost`. The authority's key is dropped at once.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let now = crate::clock::now().as_secs();
        let from = time_at(now - 3600)?;
        let until = time_at(now + 30 * 86_400)?;

        let mut ca = CertificateParams::default();
        ca.distinguished_name = named("Asepsis demo authority (this machine only)");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        (ca.not_before, ca.not_after) = (from, until);
        let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issuer = CertifiedIssuer::self_signed(ca, ca_key)?;

        let mut leaf = CertificateParams::new(vec![format!("*.{DOMAIN}"), DOMAIN.to_owned()])?;
        leaf.distinguished_name = named("Asepsis demo");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        (leaf.not_before, leaf.not_after) = (from, until);
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = leaf.signed_by(&leaf_key, &issuer)?;

        let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let signing = aws_lc_rs::sign::any_supported_type(&key)?;
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone())?;
        Ok(Self {
            server: Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing)),
            roots: Arc::new(roots),
            pem: issuer.pem(),
        })
    }

    /// Writes the authority's certificate for browsers and scripts that shall trust it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, &self.pem)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

fn named(common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn time_at(secs: i64) -> anyhow::Result<time::OffsetDateTime> {
    Ok(time::OffsetDateTime::from_unix_timestamp(secs)?)
}
