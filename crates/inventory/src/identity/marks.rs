//! What is particular about how a device was put together. Nothing here is a name: it says how far to trust one.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::key::DeviceKey;

/// Something particular about a device's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It forwards for others: addresses that it only carries are devices of their own.
    Router,
    /// A shared address of several routers: VRRP, HSRP or GLBP.
    VirtualRouter,
    /// It answers ARP for others.
    ProxyArp,
    /// Several hosts seem to speak from one address.
    Nat,
    /// Its MAC address is a local one that a hypervisor did not give out: probably randomised.
    RandomisedMac,
    /// Its MAC address was given out by a hypervisor.
    VirtualMachine,
    /// Other assets speak through its address.
    Gateway,
    /// Another MAC address claimed one of its addresses while it still used it.
    AddressConflict,
    /// Known only by its address: another device may hold that address later.
    AddressOnly,
    /// Only a register names it: it was never seen.
    NeverSeen,
}

/// By what two parts were taken for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKey {
    /// The MAC address inside an EUI-64 or an interface identifier.
    EmbeddedMac,
    /// DHCP unique identifier (RFC 8415 section 11).
    Duid,
    /// DHCP client identifier that is not merely the MAC address (RFC 2132 section 9.14).
    ClientId,
    /// Endpoint reference of WS-Discovery or SDC: a UUID of the system.
    Endpoint,
    /// Serial number.
    Serial,
    /// BACnet device instance, unique in its internetwork (ASHRAE 135 clause 12.11).
    BacnetInstance,
    /// UDI with a serial number in it.
    Udi,
    /// Host name.
    Name,
    /// A register gives this MAC address or address.
    Register,
}

/// How well a key tells one device from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// It may belong to two: names.
    Fair,
    /// Meant to be unique within one network.
    Good,
    /// Meant to be unique in the world.
    Strong,
}

impl JoinKey {
    /// How well it tells devices apart.
    pub const fn strength(self) -> Strength {
        match self {
            Self::EmbeddedMac | Self::Duid | Self::Endpoint | Self::Udi => Strength::Strong,
            Self::ClientId | Self::Serial | Self::BacnetInstance | Self::Register => Strength::Good,
            Self::Name => Strength::Fair,
        }
    }

    /// In the words of a reader.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmbeddedMac => "the MAC address inside its identifier",
            Self::Duid => "the same DHCPv6 identifier",
            Self::ClientId => "the same DHCP client identifier",
            Self::Endpoint => "the same endpoint reference",
            Self::Serial => "the same serial number",
            Self::BacnetInstance => "the same BACnet instance",
            Self::Udi => "the same UDI",
            Self::Name => "the same host name",
            Self::Register => "the register",
        }
    }
}

/// Two parts that were taken for one device, and by what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Join {
    /// One part.
    pub one: DeviceKey,
    /// The other.
    pub other: DeviceKey,
    /// By what.
    pub by: JoinKey,
    /// The value both have.
    pub value: SmolStr,
}
