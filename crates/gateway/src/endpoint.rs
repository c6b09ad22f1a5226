//! Parts of this program that answer requests themselves.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use domain::{DeviceId, Timestamp};
use identity::Live;

use crate::body::Body;
use crate::record::Recorded;

/// Something in this program that answers requests: the console, the sign-in pages.
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request.
    fn call(&self, visit: Visit) -> Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;
}

/// A request that has come as far as an [`Endpoint`].
pub struct Visit {
    /// The canonical request with its whole body. The URI holds path and query only.
    pub request: http::Request<Bytes>,
    /// The request's cookies, in the order received.
    pub cookies: Vec<(String, String)>,
    /// Proof that it was permitted and that this is on record; absent on the sign-in origin, which is not judged.
    pub permit: Option<Recorded>,
    /// The session, if a valid one came with the request.
    pub session: Option<Live>,
    /// The device that the client's certificate names, if it showed a verified one.
    pub device: Option<DeviceId>,
    /// Where the connection came from.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Scheme, host and port that the client addressed.
    pub origin: Origin,
    /// The instant of the request.
    pub now: Timestamp,
}

/// Scheme, host and port as the client addressed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether the scheme is `https`.
    pub secure: bool,
    /// Host in lower case.
    pub host: String,
    /// Port, unless it is the scheme's own.
    pub port: Option<u16>,
}

impl Origin {
    /// The origin of another host of ours on the same scheme and port.
    #[must_use]
    pub fn sibling(&self, host: &str) -> Self {
        Self {
            secure: self.secure,
            host: host.to_owned(),
            port: self.port,
        }
    }

    /// The origin as a browser sends it in an `Origin` header, such as `https://chart.example:8443`.
    pub fn as_url(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}
