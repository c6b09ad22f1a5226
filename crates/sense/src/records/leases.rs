//! DHCP servers' leases: who held which address, until when, under which name.

pub(crate) mod dnsmasq;
pub(crate) mod isc;
pub(crate) mod kea;
pub(crate) mod windows;

use std::net::IpAddr;

use domain::Timestamp;
use domain::net::{Mac, Party};
use domain::observation::{AddressSource, EvidenceKind};

use super::emit::Emit;
use crate::text::Hex;

/// One lease, whoever wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The leased address.
    pub(crate) addr: Option<IpAddr>,
    /// Hardware address of the client.
    pub(crate) mac: Option<Mac>,
    /// When it began or was last renewed; absent: as the file.
    pub(crate) from: Option<Timestamp>,
    /// When it ends; absent: never, or not said.
    pub(crate) until: Option<Timestamp>,
    /// Whether the client gave it back or lost it.
    pub(crate) ended: bool,
    /// Name that the client gave.
    pub(crate) hostname: String,
    /// Vendor class that the client gave.
    pub(crate) vendor_class: String,
    /// Client identifier (option 61) as it was sent.
    pub(crate) client_id: Vec<u8>,
    /// DUID of a DHCPv6 client.
    pub(crate) duid: Vec<u8>,
}

impl Lease {
    /// Tells it; says whether there was anything to tell.
    pub(crate) fn tell(&self, emit: &mut Emit<'_>) -> bool {
        let (mac, addr) = (self.mac.or_else(|| mac_of_duid(&self.duid)), self.addr);
        if mac.is_none() && addr.is_none() {
            return false;
        }
        let at = self.from.unwrap_or_else(|| emit.at());
        let party = Party {
            mac,
            addr,
            vlan: None,
        };
        if addr.is_some() && mac.is_some() {
            emit.address(at, party, AddressSource::Lease, self.until);
        } else {
            emit.seen(at, party);
        }
        if is_name(&self.hostname) {
            emit.evidence(
                at,
                party,
                EvidenceKind::DhcpHostname,
                self.hostname.as_str(),
            );
        }
        emit.evidence(
            at,
            party,
            EvidenceKind::DhcpVendorClass,
            self.vendor_class.as_str(),
        );
        if !self.client_id.is_empty() {
            emit.evidence(at, party, EvidenceKind::DhcpClientId, Hex(&self.client_id));
        }
        if !self.duid.is_empty() {
            emit.evidence(at, party, EvidenceKind::Dhcp6Duid, Hex(&self.duid));
        }
        if self.ended && addr.is_some() {
            emit.released(self.until.unwrap_or(at).max(at), party);
        }
        true
    }
}

/// Whether a server wrote a name rather than a sign that there is none.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text != "*" && text != "?" && text.len() <= 255
}

/// The link-layer address inside a DUID (RFC 8415, 11.2 and 11.4): types LLT and LL over Ethernet.
fn mac_of_duid(duid: &[u8]) -> Option<Mac> {
    let octets = match duid {
        [0, 1, 0, 1, _, _, _, _, rest @ ..] | [0, 3, 0, 1, rest @ ..] => rest,
        _ => return None,
    };
    let mac = Mac(octets.try_into().ok()?);
    mac.is_unicast().then_some(mac)
}

/// Octets written as hexadecimal digits, with or without separators; at most 255 (RFC 2132, one option).
pub(crate) fn octets(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in text.trim().split([':', '-']) {
        if part.is_empty() || (part.len() > 2 && part.len() % 2 == 1) || part.len() > 510 {
            return None;
        }
        if part.len() == 1 {
            out.push(u8::from_str_radix(part, 16).ok()?);
            continue;
        }
        for pair in part.as_bytes().chunks(2) {
            let digits = std::str::from_utf8(pair).ok()?;
            if !pair.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            out.push(u8::from_str_radix(digits, 16).ok()?);
        }
        if out.len() > 255 {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Context, Format, Reader, recognise};
    use super::*;
    use domain::observation::{Collected, Fact, SourceId};

    /// Reads `text` and writes what was said, one line each.
    pub(crate) fn said(text: &str, expected: Format) -> (Vec<String>, Vec<super::super::Problem>) {
        let format = recognise(text.as_bytes(), "leases");
        assert_eq!(format, expected);
        let context = Context {
            source: SourceId(0),
            at: Timestamp::parse("2026-01-01").expect("a date"),
        };
        let mut reader = Reader::new(format, "leases", context, None).expect("a format of records");
        let mut sink = Collected::default();
        // In pieces, as files come.
        let (head, rest) = text.as_bytes().split_at(text.len().min(40));
        reader.push(head, &mut sink);
        for piece in rest.chunks(7) {
            reader.push(piece, &mut sink);
        }
        reader.finish(&mut sink);
        let lines = sink
            .observations
            .into_iter()
            .map(|o| {
                let who = format!(
                    "{}/{}",
                    o.about
                        .party
                        .mac
                        .map_or_else(String::new, |mac| mac.to_string()),
                    o.about
                        .party
                        .addr
                        .map_or_else(String::new, |addr| addr.to_string())
                );
                let at = o.at;
                match o.fact {
                    Fact::Seen => format!("{at} {who} seen"),
                    Fact::Address { until, .. } => format!(
                        "{at} {who} until {}",
                        until.map_or_else(|| "-".to_owned(), |until| until.to_string())
                    ),
                    Fact::Released => format!("{at} {who} released"),
                    Fact::Evidence { kind, value } => format!("{who} {kind}={value}"),
                }
            })
            .collect();
        (lines, reader.take_problems())
    }

    #[test]
    fn a_mac_is_taken_out_of_a_duid() {
        assert_eq!(
            mac_of_duid(&[0, 3, 0, 1, 0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e]),
            Some(Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e]))
        );
        assert_eq!(mac_of_duid(&[0, 2, 0, 0, 0, 9, 1]), None);
        assert_eq!(octets("01:00:1a"), Some(vec![1, 0, 0x1a]));
        assert_eq!(octets("01001a"), Some(vec![1, 0, 0x1a]));
        assert_eq!(octets("0:1a:2"), Some(vec![0, 0x1a, 2]));
        assert_eq!(octets("xyz"), None);
    }
}
