//! TLS certificates and authorities, read from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate chain with its private key.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// What rustls presents.
    pub(crate) certified: Arc<CertifiedKey>,
    /// DNS names that the leaf is good for.
    names: Vec<String>,
    /// Seconds since the epoch at which the leaf expires.
    expires: i64,
    path: PathBuf,
}

impl Chain {
    /// Reads a chain and its key; the key must belong to the leaf.
    pub(crate) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = certificates(certificate)?;
        let leaf = chain.first().context("unreachable: the chain has a leaf")?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .ok()
            .with_context(|| format!("`{}` is not an X.509 certificate", certificate.display()))?;
        let names = parsed
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|san| {
                san.value
                    .general_names
                    .iter()
                    .filter_map(|n| match n {
                        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                        _ => None,
                    })
                    .collect()
            })
            .unwrap_or_default();
        let expires = parsed.validity().not_after.timestamp();
        let pem = std::fs::read(key)
            .with_context(|| format!("cannot read the private key `{}`", key.display()))?;
        let key_der = PrivateKeyDer::from_pem_slice(&pem)
            .ok()
            .with_context(|| format!("`{}` holds no private key in PEM form", key.display()))?;
        let signing = aws_lc_rs::sign::any_supported_type(&key_der)
            .with_context(|| format!("the key `{}` is of no supported kind", key.display()))?;
        let certified = CertifiedKey::new(chain, signing);
        certified.keys_match().ok().with_context(|| {
            format!(
                "the key `{}` does not belong to the certificate `{}`",
                key.display(),
                certificate.display()
            )
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            names,
            expires,
            path: certificate.to_owned(),
        })
    }

    /// Whether the leaf is good for every one of `hosts`, now.
    pub(crate) fn covers(&self, hosts: &[&str]) -> anyhow::Result<()> {
        for host in hosts {
            let covered = self.names.iter().any(|name| {
                name == host
                    || name.strip_prefix("*.").is_some_and(|parent| {
                        host.split_once('.').is_some_and(|(_, rest)| rest == parent)
                    })
            });
            ensure!(
                covered,
                "the certificate `{}` is not for `{host}`; it names {} (hint: ask your authority for one that \
                 names every host, or a wildcard)",
                self.path.display(),
                if self.names.is_empty() {
                    "no host".to_owned()
                } else {
                    self.names.join(", ")
                }
            );
        }
        let now = crate::clock::now().as_secs();
        if self.expires <= now {
            bail!("the certificate `{}` has expired", self.path.display());
        }
        Ok(())
    }

    /// Days until the leaf expires.
    pub(crate) fn days_left(&self) -> i64 {
        (self.expires - crate::clock::now().as_secs()).div_euclid(86_400)
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path)
        .with_context(|| format!("cannot read the certificate `{}`", path.display()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|c| !c.is_empty());
    chain.with_context(|| format!("`{}` holds no certificate in PEM form", path.display()))
}

/// Reads a file of authorities' certificates.
pub(crate) fn authorities(path: &Path) -> anyhow::Result<Arc<rustls::RootCertStore>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| {
            format!(
                "`{}` holds a certificate that is no authority's",
                path.display()
            )
        })?;
    }
    Ok(Arc::new(roots))
}

/// The authorities that this machine trusts.
pub(crate) fn system_authorities() -> anyhow::Result<Arc<rustls::RootCertStore>> {
    authorities(Path::new("/etc/ssl/certs/ca-certificates.crt")).context(
        "an https:// upstream needs authorities to verify it with (hint: name them with `upstream_ca`, or install \
         the package ca-certificates)",
    )
}
