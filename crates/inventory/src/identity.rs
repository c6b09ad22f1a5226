//! Which observation is about which device.
//!
//! What is observed is kept where it was seen: in a node for each MAC address, for each address under a MAC address,
//! for each address seen without one, and for each asset. Which nodes are one device is a *view*, a pure function of
//! what the nodes hold. So the order in which sources are read does not matter, a router is recognised late without
//! anything having to be moved, and no row of evidence is ever about two devices.

pub(crate) mod address;
pub(crate) mod key;
pub(crate) mod marks;
pub(crate) mod node;
pub(crate) mod strong;
pub(crate) mod view;

pub use key::DeviceKey;
pub use marks::{Join, JoinKey, Mark, Strength};
