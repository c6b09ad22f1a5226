//! The access gateway: the policy enforcement point for HTTP.
//!
//! A request comes in over TLS, is brought into one canonical form, assigned to an application and a session, judged,
//! recorded, and only then forwarded, from what was judged and nothing else; what comes back is released once the record
//! is durable. The order is kept by types: a [`policy::Permit`] can only be submitted to the record, only what was
//! submitted can be forwarded, and what was forwarded can be seen only together with a [`Recorded`].
//!
//! If the audit log takes no record, nothing is forwarded, whatever the application's criticality: in this version the
//! log decides alone (`audit` refuses only when its queue is full or its disk fails).

mod answer;
mod application;
mod body;
mod ceremony;
mod endpoint;
mod fhir;
mod forward;
mod gateway;
mod guard;
mod limits;
mod listener;
mod pages;
mod record;
mod response;
mod road;
mod stages;
mod streams;
mod upgrade;
mod upstream;

pub use application::{
    AccessOrigin, Application, ApplicationKind, HttpUpstream, Upstream, UpstreamTls,
};
pub use body::{Body, BoxError, empty, full};
pub use endpoint::{Endpoint, Origin, Visit};
pub use forward::{ASSERTION, NOTICE};
pub use gateway::{ClientCertificate, Clock, DeviceResolver, Gateway, Parts, PartsError};
pub use limits::Limits;
pub use listener::Listener;
pub use pages::{Notice, NoticeKind, Page, Pages, PlainPages};
pub use record::Recorded;
pub use stages::{Stage, StageReport};
