//! The floor: the parts that the gateway is built from and nothing else. hyper, rustls and a pool of upstream connections on
//! one thread; no session, no decision, no record, no limit.
//!
//! Whatever asepsis uses beyond this is its own work; whatever this uses beyond nginx is the price of the parts.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

/// Upstream connections that nobody uses at the moment.
type Pool = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

/// Serves on `port` of the loopback address, in front of `upstream`, until the process is ended.
pub(crate) fn serve(port: u16, upstream: u16, chain: &Path, key: &Path) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(chain, key)?));
    let pool = Pool::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on port {port}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            stream
                .set_nodelay(true)
                .context("cannot set up a connection")?;
            let (acceptor, pool) = (acceptor.clone(), pool.clone());
            tokio::task::spawn_local(async move {
                // A connection that breaks is the client's affair; the load generator counts it.
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(|request| {
                    let pool = pool.clone();
                    async move {
                        let answer = exchange(&pool, upstream, request).await;
                        Ok::<_, Infallible>(answer.unwrap_or_else(|_| bad_gateway()))
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn exchange(pool: &Pool, upstream: u16, mut request: Request<Incoming>) -> Result<Answer> {
    request.headers_mut().remove(header::CONNECTION);
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_static("upstream"));
    let idle = pool.borrow_mut().pop();
    let mut sender = match idle {
        Some(sender) => sender,
        None => connect(upstream).await?,
    };
    let response = sender.send_request(request).await?;
    let pool = pool.clone();
    tokio::task::spawn_local(async move {
        if sender.ready().await.is_ok() {
            pool.borrow_mut().push(sender);
        }
    });
    Ok(response.map(Either::Left))
}

async fn connect(upstream: u16) -> Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream))
        .await
        .context("cannot reach the upstream")?;
    stream.set_nodelay(true)?;
    let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(driver);
    Ok(sender)
}

fn bad_gateway() -> Answer {
    let mut answer = Response::new(Either::Right(Empty::new()));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

/// TLS as the gateway sets it up: AES-128 first, one ticket.
fn tls(chain: &Path, key: &Path) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(chain)
        .context("cannot read the certificate")?
        .collect::<Result<Vec<_>, _>>()
        .context("cannot read the certificate")?;
    let key = PrivateKeyDer::from_pem_file(key).context("cannot read the key")?;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate does not fit its key")?;
    config.ignore_client_order = true;
    config.send_tls13_tickets = 1;
    Ok(config)
}
