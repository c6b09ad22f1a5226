//! What a device is given by RADIUS: a VLAN, a filter by name, an access list.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use segment::matrix::{GroupId, Matrix};

use super::packet::{Attribute, HEADER, PACKET_MAX, SIGNATURE, ValueTooLong};
use crate::access_list::{AccessList, Gap, Prefixes, Version};
use crate::cisco;
use crate::refusal::Refusal;
use crate::target::{Emitted, Target, Usage};

/// Octets kept free for what servers add to an Access-Accept: User-Name, State, Class, EAP-Message, session keys.
pub const RESERVE: usize = 640;

/// Vendor number of Cisco, and number of its `Cisco-AVPair`.
const CISCO: (u32, u8) = (9, 1);
/// Tunnel type VLAN and medium IEEE 802 (RFC 3580 section 3.31).
const VLAN: [u8; 4] = [0, 0, 0, 13];
const IEEE_802: [u8; 4] = [0, 0, 0, 6];

/// What a device is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// VLAN, 1 to 4094.
    pub vlan: Option<u16>,
    /// Name of a filter that the switch has.
    pub filter: Option<String>,
    /// Lines of an access list for what the device sends, each with `ip` or `ipv6`.
    pub access_list: Vec<(Version, String)>,
}

impl Authorization {
    /// Its attributes.
    ///
    /// # Errors
    /// When a value is too long for an attribute.
    pub fn attributes(&self) -> Result<Vec<Attribute>, ValueTooLong> {
        let mut out = Vec::new();
        if let Some(vlan) = self.vlan {
            out.push(Attribute::new(64, VLAN)?);
            out.push(Attribute::new(65, IEEE_802)?);
            out.push(Attribute::new(81, vlan.to_string())?);
        }
        if let Some(filter) = &self.filter {
            out.push(Attribute::new(11, filter.as_str())?);
        }
        for pair in self.pairs() {
            out.push(Attribute::vendor(CISCO.0, CISCO.1, pair.as_bytes())?);
        }
        Ok(out)
    }

    /// `ip:inacl#10=permit …`, numbered in order.
    fn pairs(&self) -> Vec<String> {
        self.access_list
            .iter()
            .zip((1_usize..).map(|n| n * 10))
            .map(|((version, line), number)| match version {
                Version::V4 => format!("ip:inacl#{number}={line}"),
                Version::V6 => format!("ipv6:inacl#{number}={line}"),
            })
            .collect()
    }

    /// What of an Access-Accept it takes.
    ///
    /// # Errors
    /// When a value is too long for an attribute.
    pub fn usage(&self) -> Result<Usage, ValueTooLong> {
        let attributes: usize = self.attributes()?.iter().map(Attribute::octets).sum();
        Ok(Usage {
            what: "octets of the Access-Accept",
            used: HEADER + SIGNATURE + RESERVE + attributes,
            most: PACKET_MAX,
        })
    }
}

/// Entries for FreeRADIUS's `users` file: each device by its MAC address (MAC authentication bypass).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreeRadius {
    /// VLAN of each group; the others keep the port's.
    pub vlans: BTreeMap<GroupId, u16>,
    /// Whether devices are given access lists too.
    pub access_lists: bool,
}

impl FreeRadius {
    /// What the devices of a group are given, and how it differs from the policy.
    ///
    /// # Errors
    /// When it does not fit an Access-Accept.
    pub fn authorization(
        &self,
        matrix: &Matrix,
        prefixes: &Prefixes,
        group: GroupId,
    ) -> Result<(Authorization, Vec<Gap>), Refusal> {
        let mut authorization = Authorization {
            vlan: self.vlans.get(&group).copied(),
            ..Authorization::default()
        };
        let mut gaps = Vec::new();
        if self.access_lists {
            for version in [Version::V4, Version::V6] {
                // More than this fits no packet, whatever the lines are.
                let list = AccessList::of(matrix, prefixes, group, version, true, PACKET_MAX / 16)?;
                for mut entry in list.entries {
                    // Lists on ports do not report.
                    entry.log = false;
                    let line = cisco::line(&entry, version);
                    authorization.access_list.push((version, line));
                }
                gaps.extend(list.gaps);
            }
        }
        Ok((authorization, gaps))
    }
}

impl Target for FreeRadius {
    fn name(&self) -> &'static str {
        "FreeRADIUS users file"
    }

    fn emit(&self, matrix: &Matrix) -> Result<Emitted, Refusal> {
        let prefixes = Prefixes::of(matrix)?;
        let digest: String = matrix.digest.iter().map(|o| format!("{o:02x}")).collect();
        let (mut text, mut gaps) = (format!("# policy {digest}\n"), Vec::new());
        let mut largest = Usage {
            what: "octets of the longest Access-Accept",
            used: 0,
            most: PACKET_MAX,
        };
        for group in matrix.groups.iter().skip(1) {
            if group.macs.is_empty() {
                continue;
            }
            if let Some(vlan) = self
                .vlans
                .get(&group.id)
                .filter(|v| !(1..=4094).contains(*v))
            {
                return Err(Refusal::new(
                    format!("compile the policy for `{}`", group.name),
                    format!("`{vlan}` is no VLAN: they go from 1 to 4094"),
                ));
            }
            let (authorization, own) = self.authorization(matrix, &prefixes, group.id)?;
            let used = authorization.usage().map_err(|error| {
                Refusal::new(
                    format!("compile the policy for `{}`", group.name),
                    error.to_string(),
                )
            })?;
            used.check(&format!("the devices of `{}`", group.name))?;
            largest.used = largest.used.max(used.used);
            gaps.extend(own);
            let mut items = Vec::new();
            if let Some(vlan) = authorization.vlan {
                items.push("Tunnel-Type := VLAN".to_owned());
                items.push("Tunnel-Medium-Type := IEEE-802".to_owned());
                items.push(format!("Tunnel-Private-Group-Id := \"{vlan}\""));
            }
            // Lines are ours: letters, digits, blanks and `.:/#=`, nothing that ends a quotation.
            items.extend(
                authorization
                    .pairs()
                    .iter()
                    .map(|pair| format!("Cisco-AVPair += \"{pair}\"")),
            );
            for mac in &group.macs {
                let name: String = mac.0.iter().map(|octet| format!("{octet:02x}")).collect();
                let _ = writeln!(text, "{name} Cleartext-Password := \"{name}\"");
                let _ = writeln!(text, "\t{}", items.join(",\n\t"));
            }
        }
        gaps.sort();
        gaps.dedup();
        Ok(Emitted {
            target: self.name(),
            text,
            budget: vec![largest],
            gaps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_entries_are_refused_where_a_server_would_cut_them_short_in_silence() {
        let of = |count: usize| Authorization {
            access_list: (0..count)
                .map(|n| {
                    let line = format!("permit tcp any host 10.20.30.{n} eq 104");
                    (Version::V4, line)
                })
                .collect(),
            ..Authorization::default()
        };
        let used = of(90).usage().expect("short lines");
        let refusal = used.check("the devices of `Pumps`").expect_err("too many");
        assert!(refusal.to_string().contains("4096 fit"), "{refusal}");
        assert!(
            of(40)
                .usage()
                .expect("short lines")
                .check("the devices")
                .is_ok()
        );
    }

    #[test]
    fn a_vlan_is_three_attributes() {
        let authorization = Authorization {
            vlan: Some(120),
            ..Authorization::default()
        };
        let kinds: Vec<(u8, Vec<u8>)> = authorization
            .attributes()
            .expect("short")
            .iter()
            .map(|a| (a.kind(), a.value().to_vec()))
            .collect();
        assert_eq!(
            kinds,
            [
                (64, vec![0, 0, 0, 13]),
                (65, vec![0, 0, 0, 6]),
                (81, b"120".to_vec())
            ]
        );
    }
}
