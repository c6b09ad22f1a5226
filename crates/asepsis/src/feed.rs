//! Relations polled from a FHIR server: who treats whom, and where patients lie.
//!
//! Each poll reads every page of `Patient`, `Encounter` and `CareTeam`. Only a poll that read all of them moves the
//! feeds' age forward; a server that answers in part leaves the last full answer in place, getting older.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::relation::Feed;
use domain::{ApplicationId, PersonId, SessionId, Timestamp};
use http::header::{ACCEPT, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use identity::assertion::{ASSERTION_LIFETIME, Claims, Signer};
use identity::relations::fhir::{Covers, Options, Reader, Update};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::config::{RelationsFeed, Upstream};
use crate::world::World;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_secs(120);
const PAGE_BYTES_MAX: usize = 32 << 20;
const PAGES_MAX: usize = 10_000;
const PAGE_SIZE: usize = 500;

/// The feeds that one poll renews.
pub(crate) const NAMES: [&str; 2] = ["care_team", "encounter"];

/// Audience of the feed's own assertions.
pub(crate) const AUDIENCE: &str = "asepsis-relations";

/// Polls for ever. A failed poll is logged and tried again; the feeds' age tells policy.
pub(crate) async fn keep_polling(feed: RelationsFeed, world: World, signer: Arc<Signer>) {
    loop {
        match tokio::time::timeout(POLL_TIMEOUT, poll(&feed, &world, &signer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "relations were not renewed")
            }
            Err(_) => tracing::warn!("relations were not renewed: the server took too long"),
        }
        tokio::time::sleep(feed.every).await;
    }
}

/// An assertion that the feed itself asks, for servers that answer nobody without one.
fn credential(signer: &Signer) -> String {
    let now = clock::now();
    signer.sign(&Claims {
        iss: signer.issuer().to_owned(),
        aud: ApplicationId::new(AUDIENCE),
        sub: PersonId::new("asepsis-relations-feed"),
        sid: SessionId::new("feed"),
        iat: now.as_secs(),
        exp: now.plus(ASSERTION_LIFETIME).as_secs(),
        jti: format!("feed-{}", now.as_millis()),
        roles: Vec::new(),
        acr: "aal1".to_owned(),
        amr: Vec::new(),
        auth_time: now.as_secs(),
    })
}

/// Polls once and publishes what was read.
pub(crate) async fn poll(
    feed: &RelationsFeed,
    world: &World,
    signer: &Signer,
) -> anyhow::Result<()> {
    let as_of = clock::now();
    let mut source = Source::connect(&feed.base, credential(signer)).await?;
    let covers = Covers {
        care_teams: true,
        encounters: true,
        patients: true,
    };
    let mut relations = Reader::new(Options {
        covers,
        staff_system: None,
        now: as_of,
    });
    for resource_type in ["Patient", "Encounter", "CareTeam"] {
        let mut next = Some(format!(
            "{}/{resource_type}?_count={PAGE_SIZE}",
            feed.base.path
        ));
        for _ in 0..PAGES_MAX {
            let Some(path) = next.take() else { break };
            let page = source
                .get(&path)
                .await
                .with_context(|| format!("reading {resource_type}"))?;
            let page = relations
                .add(&page)
                .with_context(|| format!("understanding {resource_type}"))?;
            next = page
                .next
                .map(|link| path_of(&link, &feed.base))
                .transpose()?;
        }
        ensure!(
            next.is_none(),
            "{resource_type} has more than {PAGES_MAX} pages"
        );
    }
    publish(&relations.finish(), feed, as_of, world);
    Ok(())
}

fn publish(update: &Update, feed: &RelationsFeed, as_of: Timestamp, world: &World) {
    if update.skipped > 0 || update.unresolved > 0 {
        tracing::info!(
            skipped = update.skipped,
            unresolved = update.unresolved,
            "some relations could not be understood"
        );
    }
    world.update(|snapshot| {
        let changed = update.changes(snapshot.patients().map(|(id, facts)| (id, &**facts)));
        for (patient, facts) in changed {
            snapshot.set_patient(patient, facts);
        }
        for name in NAMES {
            snapshot.set_feed(Feed {
                name: name.into(),
                as_of,
                max_age_secs: feed.max_age.as_secs(),
            });
        }
    });
}

/// A page link must lead back to the same server.
fn path_of(link: &str, base: &Upstream) -> anyhow::Result<String> {
    if link.starts_with('/') {
        return Ok(link.to_owned());
    }
    let uri: http::Uri = link.parse().context("a page link that is no address")?;
    match uri.host() {
        None => Ok(format!("{}/{link}", base.path)),
        Some(_) => Ok(uri.path_and_query().map_or("/", |p| p.as_str()).to_owned()),
    }
}

struct Source {
    host: String,
    credential: String,
    sender: SendRequest<Empty<Bytes>>,
}

impl Source {
    async fn connect(upstream: &Upstream, credential: String) -> anyhow::Result<Self> {
        let place = format!("{}:{}", upstream.host, upstream.port);
        let stream = tokio::time::timeout(
            CONNECT_TIMEOUT,
            TcpStream::connect((upstream.host.as_str(), upstream.port)),
        )
        .await
        .with_context(|| format!("`{place}` does not answer"))?
        .with_context(|| format!("cannot reach `{place}`"))?;
        let sender = match &upstream.tls {
            None => handshake(stream).await?,
            Some(roots) => {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(Arc::clone(roots))
                    .with_no_client_auth();
                let name = ServerName::try_from(upstream.host.clone())?;
                let tls = TlsConnector::from(Arc::new(config))
                    .connect(name, stream)
                    .await
                    .with_context(|| format!("TLS with `{place}`"))?;
                handshake(tls).await?
            }
        };
        Ok(Self {
            host: place,
            credential,
            sender,
        })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::get(path)
            .header(HOST, &self.host)
            .header(ACCEPT, "application/fhir+json")
            .header(gateway::ASSERTION, &self.credential)
            .body(Empty::new())?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            bail!("`{}` answered {}", self.host, response.status());
        }
        let body = Limited::new(response.into_body(), PAGE_BYTES_MAX)
            .collect()
            .await;
        Ok(body
            .map_err(|e| anyhow::anyhow!("reading an answer: {e}"))?
            .to_bytes())
    }
}

async fn handshake<S>(stream: S) -> anyhow::Result<SendRequest<Empty<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "relations connection ended");
        }
    });
    Ok(sender)
}
