//! The sign-in origin, the console, and the pages that people see when a request does not go through.
//!
//! Three things for the assembly: [`Access`] (the sign-in origin) and [`Console`] answer requests as
//! [`gateway::Endpoint`]s, [`Notices`] draws the gateway's pages. [`Live`] stands between the audit log and the
//! console: feed it with what the log's subscription says.
//!
//! Pages are drawn on the server with `maud`, which does all escaping; scripts and the style sheet are static files,
//! and the content security policy allows nothing else. No page loads anything from elsewhere.

mod access;
mod assets;
mod console;
pub mod estate;
mod form;
mod guard;
mod live;
mod look;
mod pages;
mod reading;
mod reply;
mod throttle;

pub use access::{Access, AccessOptions, AccessParts, Entrance, SampleSignIn};
pub use console::{Console, ConsoleParts, Health, HealthCheck, ShownApplication};
pub use live::{Counts, Live, Stopped, Tally};
pub use pages::Notices;
