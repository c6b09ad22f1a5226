//! What a quarantine is: a device cut off from everybody, but for its lifeline.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use domain::net::{Mac, Transport};
use domain::{DeviceId, Timestamp};

/// One conversation that a contained device keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lifeline {
    /// Whom it is held with.
    pub peer: IpAddr,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
    /// Whether the peer opens it; else the device does.
    pub peer_opens: bool,
}

/// A device cut off from everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// Which device.
    pub device: DeviceId,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its MAC addresses.
    pub macs: Vec<Mac>,
    /// What it keeps; empty: nothing.
    pub lifeline: Vec<Lifeline>,
    /// When it ends by itself; absent: never.
    pub until: Option<Timestamp>,
}
