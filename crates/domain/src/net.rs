//! Addresses and transports as a sensor sees them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit MAC address (IEEE 802, EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group rather than one interface (I/G bit).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it was assigned locally rather than by the IEEE (U/L bit): virtual machines and randomised addresses.
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// Whether it can name one interface: neither a group nor all zeroes.
    pub fn is_unicast(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }

    /// Its 48 bits as a number, most significant octet first.
    pub const fn bits(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address: write it like `00:1a:2b:3c:4d:5e`")]
pub struct NotAMac;

impl FromStr for Mac {
    type Err = NotAMac;

    /// Reads `00:1a:2b:3c:4d:5e`, with `-` in place of `:`, Cisco's `001a.2b3c.4d5e`, bare digits, and octets with a
    /// missing leading zero where a separator stands between them.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let text = text.trim();
        let mut octets = [0_u8; 6];
        if text.contains([':', '-']) {
            let mut parts = text.split([':', '-']);
            for octet in &mut octets {
                let part = parts.next().ok_or(NotAMac)?;
                if !matches!(part.len(), 1 | 2) {
                    return Err(NotAMac);
                }
                *octet = u8::from_str_radix(part, 16).map_err(|_| NotAMac)?;
            }
            return if parts.next().is_none() {
                Ok(Self(octets))
            } else {
                Err(NotAMac)
            };
        }
        let mut digits = text.chars().filter(|c| *c != '.');
        for octet in &mut octets {
            let mut digit = || digits.next().and_then(|c| c.to_digit(16));
            let (high, low) = (digit().ok_or(NotAMac)?, digit().ok_or(NotAMac)?);
            *octet = u8::try_from(high * 16 + low).map_err(|_| NotAMac)?;
        }
        if digits.next().is_some() || text.len() > 14 {
            return Err(NotAMac);
        }
        Ok(Self(octets))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What carries a conversation above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// SCTP (RFC 9260).
    Sctp,
    /// ICMP or ICMPv6; the port is the message type.
    Icmp,
    /// Another IP protocol, by its number (IANA "Assigned Internet Protocol Numbers").
    Other(u8),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Other(number) => write!(f, "ip-{number}"),
        }
    }
}

/// One end of a flow, or whom an observation is about, in terms of the network: what the frame showed of it.
///
/// Beyond a router `mac` is the router's: whoever joins observations to devices has to notice.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Party {
    /// The MAC address on the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addr: Option<IpAddr>,
    /// The outermost 802.1Q VLAN identifier, 1 to 4094.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_reads_in_every_common_notation() {
        let mac = Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e]);
        for text in [
            "00:1a:2b:3c:4d:5e",
            "00-1A-2B-3C-4D-5E",
            "001a.2b3c.4d5e",
            "001A2B3C4D5E",
            "0:1a:2b:3c:4d:5e",
        ] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        for text in [
            "",
            "00:1a:2b:3c:4d",
            "00:1a:2b:3c:4d:5e:6f",
            "001a2b3c4d5",
            "zz:1a:2b:3c:4d:5e",
            "001:a:2b:3c:4d:5e",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NotAMac), "{text}");
        }
        assert_eq!(mac.bits(), 0x001a_2b3c_4d5e);
    }
}
