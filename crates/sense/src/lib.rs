//! From packets, flow records, log lines and exports to observations and flows.
//!
//! [`Sensor`] takes packets, `records` (beside it) takes lines and flow records; both speak into a
//! [`domain::observation::Sink`]. Everything here is total and bounded: hostile input is counted, never panics, and
//! never grows memory beyond [`Limits`]. No runtime, socket, file or clock: bytes and time are parameters.
//!
//! INVARIANT: facts about devices are taken by allow-list; nothing about a patient leaves a parser.

mod application;
mod counters;
mod cursor;
mod findings;
mod flow;
mod hash;
mod lane;
mod limits;
mod link;
mod network;
mod owner;
pub mod records;
mod remembered;
mod sensor;
mod text;
mod transport;

pub use counters::{Counters, Malformed, Parser};
pub use lane::lane;
pub use limits::Limits;
pub use link::LinkType;
pub use sensor::Sensor;
