//! The sample hospital that `asepsis demo` guards.
//!
//! [`Hospital::generate`] invents people, devices, patients and their records from a seed. [`FhirServer`] serves
//! the records as FHIR R4, and beside them the chart page, at one address: [`serve`]. [`Network`] is the wire they
//! and a few hundred machines share. Everybody in it is made up.
//!
//! The hospital stands for a foreign system. It shares the vocabulary of `domain` with the product and no code, so
//! that a mistake in the gateway's reading of FHIR is not repeated here and thereby hidden.

pub mod chart;
pub mod fhir;
pub mod hospital;
pub mod network;
mod random;
mod serve;
pub mod year;

pub use fhir::{Clock, FhirServer, Options, Verifier};
pub use hospital::{Cast, Example, Hospital, SamplePatient, SampleResource, Unit, UnitKind};
pub use network::Network;
pub use serve::serve;
