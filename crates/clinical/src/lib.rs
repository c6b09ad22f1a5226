//! Clinical and web grammar: from the bytes of a request to the actions and resources it asks for.
//!
//! Three subjects, each pure, total and bounded:
//!
//! - [`http`]: one canonical form for an HTTP request; what is ambiguous is refused.
//! - [`web`]: path rules of plain web applications.
//! - [`fhir`]: FHIR R4: which interactions a request asks for, whose data a resource holds, what of a response
//!   may pass.
//!
//! Nothing here reads a socket, a file or a clock, decides anything, or panics on what a peer sends.
#![cfg_attr(test, allow(clippy::print_stderr))]

pub mod fhir;
pub mod http;
pub mod web;
