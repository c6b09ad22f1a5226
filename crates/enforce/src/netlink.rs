//! Netlink: attributes, messages, batches (bytes only), and the socket around them.

pub mod attribute;
pub mod message;
mod options;
pub(crate) mod socket;
