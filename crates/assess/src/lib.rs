//! How far a hospital is on the way to zero trust, by what can be counted: framework criteria as data, measures as pure
//! functions over [`Facts`], and an [`Assessment`] whose every figure has a numerator, a denominator, a source and a date.
//!
//! ```text
//! packs/frameworks/*.toml ──► Criteria ─┐
//! store, log, configuration,            ├─► assess ──► Assessment ──► report::html, report::text, JSON (serde)
//! inventory, feeds ──► Facts ───────────┤
//! attestations.toml ──► Attestations ───┘
//! ```
//!
//! # Rules
//!
//! 1. A row is *measured* (all that decided it was counted), *attested* (somebody vouches for a part of it, with name,
//!    date and expiry) or *not evaluable* (with what is needed). Nothing unknown counts as good.
//! 2. An attestation never overrules a figure that was measured: it speaks only where nothing is measured.
//! 3. Every measure is a share of good among all, so that more is better; its denominator is never zero. Old figures
//!    count as missing.
//! 4. The weakest function decides a pillar. Nothing is averaged. Where a function is not evaluable, the pillar's floor is
//!    "at most" what the weakest evaluated function reaches.
//! 5. Better facts never lower a level (a property test).
//! 6. Same criteria, same facts: same assessment, byte for byte. No clock, no file, no socket.

pub mod attest;
pub mod criteria;
pub mod evaluate;
pub mod facts;
pub mod measures;
pub mod report;
pub mod steps;
pub mod tools;

pub use attest::{Attestation, AttestationProblem, Attestations, Figure};
pub use criteria::{Criteria, CriteriaError, Criterion, Framework, Level, Need};
pub use evaluate::{Assessment, Floor, FrameworkSummary, Hold, Next, Reading, Row, Status, assess};
pub use facts::{Facts, Sourced};
pub use measures::{Counted, MEASURES, Measure, Missing};
pub use steps::{NextStep, Step, StepKind};
pub use tools::{OwnedTool, Tool};
