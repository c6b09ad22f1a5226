//! From conversations to segmentation: groups, rules, forecast, plan, and the matrix that targets are compiled from.
//!
//! ```text
//! inventory, flow files ──► World ──► Groups ──► propose ──► Plan (Cedar) ──► Matrix ──► targets
//!                             │                    │           │                │
//!                             └──► backtest ◄──────┘           ├──► Forecast     └──► check: Matrix = policy,
//!                                                              └──► simulate              target = Matrix
//! ```
//!
//! # Rules
//!
//! 1. Policy is Cedar; the matrix is its compiled form and never a second truth.
//! 2. A conversation that was seen stays permitted. What looks like a scan does not, but a life-critical device's does.
//! 3. Pairs of groups with a life-critical device, and a device of unknown or contradictory class is one, stay observed until
//!    a named person says yes.
//! 4. A device never seen is admitted by its class only, or to what everyone uses.
//! 5. Same world, same options: same plan, byte for byte. No clock, no file, no socket.

pub mod address;
pub mod allow;
pub mod backtest;
pub mod cedar;
pub mod check;
pub mod flows;
pub mod forecast;
pub mod groups;
pub mod matrix;
pub mod plan;
pub mod ports;
pub mod propose;
pub mod quarantine;
pub mod reach;
pub mod service;
pub mod simulate;
pub mod words;
pub mod world;
