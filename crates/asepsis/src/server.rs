//! Listening and stopping: what `up` and `demo` do with an assembly.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use gateway::Listener;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ServerConfig};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::failure::{Blame, Failure};

/// A runtime with `workers` threads; one a core if absent.
pub(crate) fn runtime(workers: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        if workers == 0 {
            return Err(Failure::input("--workers must be at least 1"));
        }
        builder.worker_threads(workers);
    }
    builder
        .enable_all()
        .thread_name("asepsis")
        .build()
        .running("starting the runtime")
}

/// Binds an address.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (hint: is another program listening there, or is the port below 1024?)")
    })
}

/// Suites that come first, whatever the client's order. Its own would mostly put SHA-384 first, whose key schedule costs
/// a sixth of a resumed handshake and makes nothing safer: AES-128 is as strong as the key exchange.
const PREFERRED: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Tickets that a connection hands out for resumption. The one that uses it gets the next.
const TICKETS: usize = 1;

/// A listener that speaks TLS with one certificate, and knows devices by theirs if authorities are given.
pub(crate) fn tls_listener(
    socket: TcpListener,
    certified: Arc<CertifiedKey>,
    client_ca: Option<Arc<rustls::RootCertStore>>,
) -> anyhow::Result<Listener> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| !PREFERRED.contains(&suite.suite()));
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()?,
        ),
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.send_tls13_tickets = TICKETS;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Listener {
        socket,
        tls: Some(Arc::new(config)),
    })
}

/// TLS for those who must show a certificate.
pub(crate) fn mutual_tls(
    certified: Arc<CertifiedKey>,
    client_ca: Arc<rustls::RootCertStore>,
) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(client_ca, Arc::clone(&provider)).build()?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Resolves when the process is asked to stop.
pub(crate) async fn asked_to_stop() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGTERM");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
