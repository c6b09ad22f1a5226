//! The one policy on what the hospital owns.
//!
//! A shell: it takes a compiled matrix or a containment and makes the kernel's packet filter, a RADIUS server's answers
//! or a switch's access lists say the same. It holds no rule of its own, proves that what it emits fits the target before
//! it emits it, reads back what it wrote, and leaves things as they were when a target refuses.

pub mod access_list;
pub mod cisco;
pub mod netlink;
pub mod nft;
pub mod quarantine;
pub mod radius;
pub mod refusal;
pub mod ruleset;
pub mod target;

pub use refusal::Refusal;
// What callers hand over.
pub use segment::quarantine::{Containment, Lifeline};
