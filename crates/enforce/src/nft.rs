//! nftables over netlink, written and read by us: no process is started, and no library in C is linked.

pub mod dump;
pub mod expression;
pub mod kernel;
pub mod object;
