//! By what a device is known, and its identifier made of it.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use domain::observation::Asset;
use domain::{DeviceId, Mac};

/// By what a device is known. Its identifier is this as text, so that the same network gives the same identifiers
/// on every machine and after every restart.
///
/// A device with several is known by the one seen first; a MAC address or an asset comes before an address, which
/// only says where a device is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKey {
    /// Its MAC address.
    Mac(Mac),
    /// How it is named beyond addresses; a Modbus unit only means something at its gateway.
    Asset {
        /// The asset.
        asset: Asset,
        /// MAC address or address of the gateway that its number belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Gateway>,
    },
    /// Its address: beyond a router nothing better is seen.
    Address(IpAddr),
}

/// What a number that is not unique in the world belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    /// The gateway's address.
    Address(IpAddr),
    /// The gateway's MAC address, where no address is known.
    Mac(Mac),
}

impl DeviceKey {
    /// The identifier: `mac-001a2b3c4d5e`, `ip-10.2.3.4`, `eui-0012211839000001`, `serial-…`.
    pub fn id(&self) -> DeviceId {
        match self {
            Self::Mac(mac) => DeviceId::from(format!("mac-{:012x}", mac.bits())),
            Self::Address(address) => DeviceId::from(format!("ip-{address}")),
            Self::Asset { asset, at } => {
                let mut id = match asset {
                    Asset::Eui64(eui) => format!("eui-{eui:016x}"),
                    Asset::Udi(text) => format!("udi-{}", slug(text)),
                    Asset::Endpoint(text) => format!("endpoint-{}", slug(bare(text))),
                    Asset::Bacnet(instance) => format!("bacnet-{instance}"),
                    Asset::ModbusUnit(unit) => format!("modbus-{unit}"),
                    Asset::Serial(text) => format!("serial-{}", slug(text)),
                    Asset::Register(text) => format!("register-{}", slug(text)),
                };
                match at {
                    Some(Gateway::Address(address)) => {
                        let _ = write!(id, "-at-{address}");
                    }
                    Some(Gateway::Mac(mac)) => {
                        let _ = write!(id, "-at-{:012x}", mac.bits());
                    }
                    None => {}
                }
                DeviceId::from(id)
            }
        }
    }

    /// Whether a device stays known by it wherever it goes: an address is not.
    pub const fn is_lasting(&self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

/// An endpoint reference without what all of them begin with.
pub(crate) fn bare(endpoint: &str) -> &str {
    endpoint.strip_prefix("urn:uuid:").unwrap_or(endpoint)
}

/// `text` in characters that stand in a path unescaped. What had to be changed or cut gets a check sum of the whole,
/// so that two texts seldom meet.
fn slug(text: &str) -> String {
    const LONGEST: usize = 48;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= LONGEST && !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let _ = write!(out, "-{:08x}", checksum(text.as_bytes()) as u32);
    out
}

/// FNV-1a over 64 bits: the same on every machine. Not for keys that a stranger could choose to collide.
pub(crate) fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_says_by_what_a_device_is_known() {
        let asset = |asset| DeviceKey::Asset { asset, at: None };
        for (key, id) in [
            (
                DeviceKey::Mac("00:1a:2b:3c:4d:5e".parse().expect("a MAC")),
                "mac-001a2b3c4d5e",
            ),
            (
                DeviceKey::Address("10.2.3.4".parse().expect("an address")),
                "ip-10.2.3.4",
            ),
            (
                asset(Asset::Eui64(0x0012_2118_3900_0001)),
                "eui-0012211839000001",
            ),
            (asset(Asset::Serial("ACME-17".into())), "serial-ACME-17"),
            (
                asset(Asset::Endpoint("urn:uuid:0a1b".into())),
                "endpoint-0a1b",
            ),
            (
                DeviceKey::Asset {
                    asset: Asset::ModbusUnit(3),
                    at: Some(Gateway::Address("10.0.0.9".parse().expect("an address"))),
                },
                "modbus-3-at-10.0.0.9",
            ),
        ] {
            assert_eq!(key.id().as_str(), id);
        }
        let one = asset(Asset::Udi("(01)00812(21)A/B".into())).id();
        let two = asset(Asset::Udi("(01)00812(21)A B".into())).id();
        assert_ne!(
            one, two,
            "what differs only in strange characters stays apart"
        );
    }
}
