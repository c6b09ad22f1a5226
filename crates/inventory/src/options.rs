//! What an operator can say about the network, and the bounds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use domain::UnitId;

/// A range of addresses under one prefix: `10.2.0.0/22`, `fd00:1::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    base: IpAddr,
    length: u8,
}

impl Network {
    /// The network of `length` leading bits that `address` lies in; a longer length counts as the longest there is.
    pub fn of(address: IpAddr, length: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(a) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self {
                    base: IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask)),
                    length,
                }
            }
            IpAddr::V6(a) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self {
                    base: IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask)),
                    length,
                }
            }
        }
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && Self::of(address, self.length) == *self
    }

    /// Number of leading bits.
    pub const fn length(&self) -> u8 {
        self.length
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

/// A text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network: write it like `10.2.0.0/22`")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    /// Reads `10.2.0.0/22`; an address alone is a network of one. Bits beyond the prefix are dropped.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.chars().take(64).collect());
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| wrong())?,
            None => longest,
        };
        if length > longest {
            return Err(wrong());
        }
        Ok(Self::of(address, length))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A network that the operator named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its addresses.
    pub network: Network,
    /// What people call it; absent: its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// The ward or department it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
}

/// What the inventory is told, and its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Public addresses that are the hospital's own. Whoever has another public address is a remote party, not a device.
    pub own_networks: Vec<Network>,
    /// Networks by name and ward; the longest prefix counts.
    pub segments: Vec<Segment>,
    /// Most nodes (a MAC address, or an address under a MAC address, or an asset); beyond it the least valuable go.
    /// A device takes two to four. The ledgers are bounded per node and kind.
    pub nodes_max: usize,
    /// Most octets of distinct evidence texts; beyond it the least valuable nodes go.
    pub text_octets_max: usize,
    /// Most conversations; beyond it the least valuable go.
    pub conversations_max: usize,
    /// Distinct ports of one service between two devices beyond which they are one row.
    pub ports_max: usize,
    /// How long after its first name a device may be renamed freely.
    pub settling: Duration,
    /// How long a better answer must last before it replaces a name that has settled.
    pub sustained: Duration,
    /// By how much a better answer must beat a settled name, in probability.
    pub margin: f32,
    /// How long a device counts as new in the queue.
    pub new_for: Duration,
    /// How far a device's last-seen time may run ahead of what [`crate::Inventory::changed_since`] told.
    pub last_seen_every: Duration,
    /// Answers kept ready; more are worked out again when asked for.
    pub answers_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            own_networks: Vec::new(),
            segments: Vec::new(),
            nodes_max: 200_000,
            text_octets_max: 64 << 20,
            conversations_max: 400_000,
            ports_max: 8,
            settling: Duration::from_secs(30 * 60),
            sustained: Duration::from_secs(60 * 60),
            margin: 0.1,
            new_for: Duration::from_secs(7 * 86_400),
            last_seen_every: Duration::from_secs(60),
            answers_max: 1_024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read_and_print_and_contain() {
        let network: Network = "10.2.3.4/22".parse().expect("valid");
        assert_eq!(network.to_string(), "10.2.0.0/22");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(network.contains(address("10.2.3.255")));
        assert!(network.contains(address("::ffff:10.2.0.1")));
        assert!(!network.contains(address("10.2.4.0")));
        assert!(!network.contains(address("::")));
        let all: Network = "::/0".parse().expect("valid");
        assert!(all.contains(address("fe80::1")));
        for wrong in ["10.2.0.0/33", "ten", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
