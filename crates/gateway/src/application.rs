//! What lies behind the gateway, and where requests for it go.

use std::sync::Arc;

use clinical::web::Rules;
use domain::{ApplicationId, Criticality};

use crate::endpoint::Endpoint;

/// An application behind the gateway.
///
/// Several may share a host under different paths (a chart page at `/`, its FHIR service at `/fhir`); they then share
/// the host's session cookie, and the one with the shortest path gives the host its name in ceremonies.
pub struct Application {
    /// Its identifier, which decisions and records name.
    pub id: ApplicationId,
    /// Its name for people to read.
    pub name: String,
    /// Public host name, in lower case, without port.
    pub host: String,
    /// Path below which it lies, on segment boundaries: `/` or such as `/fhir`.
    pub path: String,
    /// What stops if it stops.
    pub criticality: Criticality,
    /// How its requests are understood.
    pub kind: ApplicationKind,
    /// Where permitted requests go.
    pub upstream: Upstream,
}

/// How the requests of an application are understood.
pub enum ApplicationKind {
    /// A FHIR R4 service.
    Fhir {
        /// Path of the service base, such as `/fhir`.
        base: String,
    },
    /// A plain web application, judged by method and path.
    Web(Rules),
    /// The console: the first path segment names the area, `GET` looks and anything else changes.
    Console,
}

/// Where permitted requests go.
pub enum Upstream {
    /// To a server over HTTP/1.1.
    Http(HttpUpstream),
    /// To a part of this program.
    Internal(Arc<dyn Endpoint>),
}

/// A server that speaks HTTP/1.1.
#[derive(Clone)]
pub struct HttpUpstream {
    /// `host:port` to connect to.
    pub address: String,
    /// `Host` to send; absent: the public host that the client named.
    pub host: Option<String>,
    /// TLS, if the upstream speaks it. Its certificate is always verified.
    pub tls: Option<UpstreamTls>,
}

/// How to speak TLS to an upstream.
#[derive(Clone)]
pub struct UpstreamTls {
    /// Name that the certificate must bear.
    pub server_name: String,
    /// Roots, and the gateway's own certificate if the upstream asks for one.
    pub config: Arc<rustls::ClientConfig>,
}

impl HttpUpstream {
    /// A server reached in plain text, such as `127.0.0.1:8000`.
    pub fn plain(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            host: None,
            tls: None,
        }
    }
}

/// The sign-in origin. Its requests are not judged: it is where people become somebody who can be judged.
pub struct AccessOrigin {
    /// Its public host name, in lower case, without port.
    pub host: String,
    /// The pages themselves.
    pub endpoint: Arc<dyn Endpoint>,
}
