//! The vocabulary that every other crate shares: identifiers, people, devices, resources, actions, labels, time, and
//! what is seen of a network (observations, flows, conversations, device profiles).
//!
//! Terms follow NIST SP 800-207 (subject, resource, session), HL7 (confidentiality, sensitivity, purpose of use)
//! and the FHIR R4 specification (interactions, compartments). Nothing here does I/O or reads a clock.

pub mod action;
pub mod application;
pub mod context;
pub mod conversation;
pub mod device_profile;
pub mod id;
pub mod label;
pub mod net;
pub mod observation;
pub mod relation;
pub mod request;
pub mod resource;
pub mod subject;
pub mod time;

pub use action::Action;
pub use application::{Criticality, EnforcementMode};
pub use context::{
    Aal, Authentication, BreakGlassGrant, Context, Eligibility, Grants, Outcome, Purpose,
    Requirement,
};
pub use conversation::{Conversation, Flow};
pub use device_profile::{DeviceProfile, EvidenceRow, RiskFact};
pub use id::{
    ApplicationId, DeviceId, GrantId, PatientId, PersonId, RecordId, Role, SessionId, UnitId,
};
pub use label::{Confidentiality, Sensitivity, SensitivitySet};
pub use net::{Mac, Party, Transport};
pub use observation::{About, EvidenceKind, Fact, Observation, Sink, Source, SourceId};
pub use request::{CanonicalRequest, Message, Target};
pub use resource::Resource;
pub use subject::{Device, Person, Subject};
pub use time::Timestamp;
