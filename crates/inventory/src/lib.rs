//! From observations to devices: evidence ledger, identity, class with confidence, conversations.
//!
//! Bytes of captures never come here: `sense` made [`domain::Observation`]s and [`domain::Flow`]s of them, and the
//! [`Inventory`] takes those as a [`domain::Sink`].
//!
//! | module | what it does |
//! |---|---|
//! | [`evidence`], [`identification`] | the seam between ledger and knowledge |
//! | `ledger` | compact, bounded evidence per device; values interned |
//! | [`identity`] | which observation is about which device |
//! | `conversations` | who talks to whom |
//! | [`inventory`] | the whole, as one [`domain::Sink`] |
//! | [`queue`], [`why`], [`reconcile`] | what people read of it, and what they answer |
//! | [`fingerprint`], [`classify`], [`registry`], [`taxonomy`], [`learn`] | the knowledge: what evidence says |
//! | [`risk`] | known risks, joined offline |

pub mod classify;
mod conversations;
pub mod evidence;
pub mod fingerprint;
mod hysteresis;
pub mod identification;
pub mod identity;
pub mod inventory;
pub mod learn;
mod ledger;
pub mod options;
pub mod queue;
pub mod reconcile;
pub mod registry;
pub mod risk;
mod slab;
pub mod sources;
pub mod taxonomy;
pub mod why;

pub use classify::Knowledge;
pub use conversations::{BROADCAST, INTERNET, MANY};
pub use evidence::Evidence;
pub use fingerprint::Pack;
pub use identification::{Contradiction, Identification, Identify};
pub use inventory::{Changes, Detail, Inventory, LocalRule};
pub use options::{Network, Options, Segment};
pub use sources::Sources;
