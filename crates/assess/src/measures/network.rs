//! Devices, traffic, segments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::conversation::Protection;
use domain::observation::{EvidenceKind, SourceKind};
use domain::{Conversation, DeviceProfile, Timestamp};

use super::{Counted, Measure, Missing, both, counted, n, of};
use crate::facts::{Facts, Network, Sourced};
use crate::tools::Tool;

const SEE: &[Tool] = &[Tool::Dhcp, Tool::Switches, Tool::Firewall];
const DEVICES: &str =
    "the inventory: packets, leases, neighbour tables or Zeek logs given to `asepsis discover`";

fn network(facts: &Facts) -> Result<&Sourced<Network>, Missing> {
    facts.network.as_ref().ok_or(Missing::NoData)
}

fn devices(
    facts: &Facts,
    good: impl Fn(&DeviceProfile) -> bool,
    all: impl Fn(&DeviceProfile) -> bool,
) -> Result<Counted, Missing> {
    of(&facts.network, |net| {
        let of_all: Vec<&DeviceProfile> = net.devices.iter().filter(|d| all(d)).collect();
        Ok((
            n(of_all.iter().filter(|d| good(d)).count()),
            n(of_all.len()),
        ))
    })
}

/// Whether the inventory says with some certainty what it is.
fn identified(d: &DeviceProfile) -> bool {
    d.kind.is_some() && !d.abstained && !d.contradictory && d.confidence >= 0.5
}

fn medical(d: &DeviceProfile) -> bool {
    d.category.as_deref() == Some("medical")
}

/// Whether public lists can be compared with it at all.
fn comparable(d: &DeviceProfile) -> bool {
    d.model.is_some() || d.os.is_some()
}

/// Whether it has a flaw that attackers use, known for longer than a fortnight, with more certainty than not.
fn exploited_for_long(d: &DeviceProfile, now: Timestamp) -> bool {
    d.risks.iter().any(|r| {
        r.exploited
            && r.confidence >= 0.5
            && r.published
                .is_none_or(|since| now.since(since) >= Duration::from_secs(15 * 86_400))
    })
}

/// The date of the newest feed of one of these kinds that is not older than a month.
fn feed(facts: &Facts, kinds: &[&str]) -> Result<Timestamp, Missing> {
    facts
        .feeds
        .iter()
        .filter(|f| kinds.contains(&f.kind.as_str()))
        .map(|f| f.as_of)
        .max()
        .ok_or(Missing::NoData)
}

/// A count that is only as fresh as the feed behind it.
fn with_feed(
    facts: &Facts,
    kinds: &[&str],
    count: impl FnOnce() -> Result<Counted, Missing>,
) -> Result<Counted, Missing> {
    let made = feed(facts, kinds)?;
    let mut counted = count()?;
    counted.as_of = counted.as_of.min(made);
    counted.source = format!("{}, feeds {}", counted.source, kinds.join(", ")).into();
    Ok(counted)
}

pub(super) const IDENTIFIED: Measure = Measure {
    name: "devices.identified",
    counts: "devices on the network whose type is known with more certainty than not, of all devices seen",
    needs: DEVICES,
    fresh_days: 30,
    tools: SEE,
    read: |f| {
        let mut out = devices(f, identified, |_| true)?;
        let abstained = network(f)?
            .facts
            .devices
            .iter()
            .filter(|d| d.contradictory)
            .count();
        if abstained > 0 {
            out.notes
                .push(format!("{abstained} with contradictory evidence"));
        }
        Ok(out)
    },
};

pub(super) const PLACED: Measure = Measure {
    name: "devices.placed",
    counts: "devices whose ward, room or segment is known, of all devices seen",
    needs: "the inventory, with VLANs from a mirror port, or wards from the register",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::Cmms],
    read: |f| devices(f, |d| d.unit.is_some() || d.segment.is_some(), |_| true),
};

pub(super) const SOURCES_FRESH: Measure = Measure {
    name: "inventory.live",
    counts: "sources of the inventory that spoke within the last day, of all its sources",
    needs: DEVICES,
    fresh_days: 30,
    tools: SEE,
    read: |f| {
        of(&f.network, |net| {
            let fresh = net
                .sources
                .iter()
                .filter(|s| {
                    s.kind != SourceKind::Register
                        && f.now.since(s.last) <= Duration::from_secs(86_400)
                })
                .count();
            let all = net
                .sources
                .iter()
                .filter(|s| s.kind != SourceKind::Register)
                .count();
            Ok((n(fresh), n(all)))
        })
    },
};

pub(super) const SENSOR_COMPLETE: Measure = Measure {
    name: "sensor.complete",
    counts: "packets that the sensors took, of all that reached them",
    needs: "a live sensor on a mirror port: `[[sensor]]` in `asepsis.toml`",
    fresh_days: 30,
    tools: &[Tool::Switches],
    read: |f| {
        of(&f.network, |net| {
            let taken = net
                .sources
                .iter()
                .fold(0_u64, |a, s| a.saturating_add(s.packets));
            let lost = net
                .sources
                .iter()
                .fold(0_u64, |a, s| a.saturating_add(s.lost));
            Ok((taken, taken.saturating_add(lost)))
        })
    },
};

pub(super) const SUBNETS_COVERED: Measure = Measure {
    name: "subnets.covered",
    counts: "subnets whose devices some source shows, of all subnets of the hospital",
    needs: "the list of your subnets: DHCP scopes or the routers' routes",
    fresh_days: 90,
    tools: &[Tool::Dhcp, Tool::Switches],
    read: |f| {
        let mut out = of(&f.subnets, |s| {
            Ok((n(s.iter().filter(|s| s.covered).count()), n(s.len())))
        })?;
        if let Some(section) = &f.subnets {
            let dark: Vec<&str> = section
                .facts
                .iter()
                .filter(|s| !s.covered)
                .map(|s| s.name.as_str())
                .take(3)
                .collect();
            if !dark.is_empty() {
                out.notes.push(format!("not covered: {}", dark.join(", ")));
            }
        }
        Ok(out)
    },
};

pub(super) const REGISTER_SEEN: Measure = Measure {
    name: "register.seen",
    counts: "rows of the register that were seen on the network, of those that should be",
    needs: "the register's export, compared: `asepsis discover --against register.csv`",
    fresh_days: 90,
    tools: &[Tool::Cmms],
    read: |f| of(&f.register, |r| Ok((r.rows_seen, r.rows))),
};

pub(super) const REGISTER_LISTED: Measure = Measure {
    name: "register.listed",
    counts: "devices on the network that are in the register, of those that belong into it",
    needs: "the register's export, compared: `asepsis discover --against register.csv`",
    fresh_days: 90,
    tools: &[Tool::Cmms],
    read: |f| of(&f.register, |r| Ok((r.devices_listed, r.devices))),
};

pub(super) const REGISTER_RIGHT: Measure = Measure {
    name: "register.right",
    counts: "rows of the register whose type, maker and model agree with what was seen, of the rows seen",
    needs: "the register's export, compared: `asepsis discover --against register.csv`",
    fresh_days: 90,
    tools: &[Tool::Cmms],
    read: |f| of(&f.register, |r| Ok((r.rows_right, r.rows_seen))),
};

pub(super) const SUPPORTED: Measure = Measure {
    name: "devices.supported",
    counts: "devices whose operating system still gets security fixes, of those whose system is known",
    needs: "the inventory with operating systems, and the table of end-of-support dates that ships",
    fresh_days: 90,
    tools: &[Tool::Switches, Tool::PublicLists],
    read: |f| {
        feed(f, &["end-of-support"])?;
        devices(
            f,
            |d| {
                !d.risks
                    .iter()
                    .any(|r| r.id == "end-of-support" && r.confidence >= 0.5)
            },
            |d| d.os.is_some(),
        )
    },
};

pub(super) const NOT_EXPLOITED: Measure = Measure {
    name: "devices.not_exploited",
    counts: "devices without a flaw that attackers are known to use for more than 15 days, of those whose model or system is known",
    needs: "the list of known exploited vulnerabilities and NVD's records: `asepsis feed import kev.json nvd.json`",
    fresh_days: 30,
    tools: &[Tool::PublicLists, Tool::Scanner],
    read: |f| {
        with_feed(f, &["kev"], || {
            devices(f, |d| !exploited_for_long(d, f.now), comparable)
        })
    },
};

pub(super) const EXPOSED_NOT_EXPLOITED: Measure = Measure {
    name: "devices.exposed_not_exploited",
    counts: "devices that talk beyond their segment and have no long-known exploited flaw, of those that talk beyond it and whose model or system is known",
    needs: "the list of known exploited vulnerabilities, and conversations from a mirror port or flow records",
    fresh_days: 30,
    tools: &[Tool::PublicLists, Tool::Switches, Tool::Firewall],
    read: |f| {
        with_feed(f, &["kev"], || {
            let net = network(f)?;
            let exposed = exposed(&net.facts);
            devices(
                f,
                |d| !exploited_for_long(d, f.now),
                |d| comparable(d) && exposed.contains(d.id.as_str()),
            )
        })
    },
};

/// Devices that talk with the outside or with another segment.
fn exposed(net: &Network) -> BTreeSet<&str> {
    let segment: BTreeMap<&str, &str> = net
        .devices
        .iter()
        .filter_map(|d| d.segment.as_deref().map(|s| (d.id.as_str(), s)))
        .collect();
    let mut out = BTreeSet::new();
    for c in &net.conversations {
        let (client, server) = (c.client.as_str(), c.server.as_str());
        if outside(c) || segment.get(client) != segment.get(server) {
            out.insert(client);
            out.insert(server);
        }
    }
    out
}

fn outside(c: &Conversation) -> bool {
    let server = c.server.as_str();
    server == "internet" || server.starts_with("internet:")
}

pub(super) const NOT_RECALLED: Measure = Measure {
    name: "devices.not_recalled",
    counts: "medical devices that no open recall names, of the medical devices whose model is known",
    needs: "FDA's list of device recalls: `asepsis feed import recalls.json`",
    fresh_days: 60,
    tools: &[Tool::PublicLists, Tool::Cmms],
    read: |f| {
        with_feed(f, &["recalls"], || {
            devices(
                f,
                |d| {
                    !d.risks
                        .iter()
                        .any(|r| r.feed.split(", ").any(|x| x == "recalls") && r.confidence >= 0.5)
                },
                |d| medical(d) && d.model.is_some(),
            )
        })
    },
};

pub(super) const WITH_BILL: Measure = Measure {
    name: "devices.with_bill",
    counts: "medical devices for whose model there is a bill of materials, of the medical devices whose model is known",
    needs: "makers' bills of materials (CycloneDX or SPDX): `asepsis feed import sbom.json`",
    fresh_days: 180,
    tools: &[Tool::PublicLists],
    read: |f| of(&f.documents, |d| Ok((d.with_bill, d.medical))),
};

pub(super) const WITH_DISCLOSURE: Measure = Measure {
    name: "devices.with_disclosure",
    counts: "medical devices for whose model there is a security disclosure (MDS2), of the medical devices whose model is known",
    needs: "makers' MDS2 forms, saved as CSV: `asepsis feed import mds2.csv`",
    fresh_days: 180,
    tools: &[Tool::PublicLists],
    read: |f| of(&f.documents, |d| Ok((d.with_disclosure, d.medical))),
};

pub(super) const EDR: Measure = Measure {
    name: "endpoints.protected",
    counts: "computers with endpoint protection that reported within a week, of those that could run it",
    needs: "the export of endpoint protection, compared with the inventory",
    fresh_days: 30,
    tools: &[Tool::Edr],
    read: |f| of(&f.endpoints, |e| Ok((e.reporting, e.capable))),
};

pub(super) const DISKS: Measure = Measure {
    name: "endpoints.disk_encrypted",
    counts: "computers with an encrypted disk, of those that endpoint protection could run on",
    needs: "the export of endpoint protection or client management, with the state of disk encryption",
    fresh_days: 60,
    tools: &[Tool::Edr, Tool::Mdm],
    read: |f| of(&f.endpoints, |e| both(e.disk_encrypted, Some(e.capable))),
};

pub(super) const BASELINE: Measure = Measure {
    name: "endpoints.on_baseline",
    counts: "computers whose configuration agrees with the baseline, of those that endpoint protection could run on",
    needs: "the export of client management, with compliance with the baseline",
    fresh_days: 60,
    tools: &[Tool::Mdm, Tool::Edr],
    read: |f| of(&f.endpoints, |e| both(e.on_baseline, Some(e.capable))),
};

pub(super) const FIXES: Measure = Measure {
    name: "fixes.in_time",
    counts: "serious findings that were mended in time (critical in 15 days, high in 30), of those that were due",
    needs: "the vulnerability scanner's export, with the dates of finding and mending",
    fresh_days: 60,
    tools: &[Tool::Scanner],
    read: |f| of(&f.fixes, |x| Ok((x.in_time, x.due))),
};

fn bytes(c: &Conversation) -> u64 {
    c.sent.bytes.saturating_add(c.received.bytes)
}

/// Bytes that were encrypted, of those for which that is known, among conversations that `counts` takes.
fn encrypted(facts: &Facts, counts: impl Fn(&Conversation) -> bool) -> Result<Counted, Missing> {
    let net = network(facts)?;
    let (mut good, mut all) = (0_u64, 0_u64);
    let mut clear: BTreeMap<&str, u64> = BTreeMap::new();
    for c in net.facts.conversations.iter().filter(|c| counts(c)) {
        match c.protection {
            Protection::Encrypted => {
                good = good.saturating_add(bytes(c));
                all = all.saturating_add(bytes(c));
            }
            Protection::Cleartext => {
                all = all.saturating_add(bytes(c));
                let sum = clear
                    .entry(c.service.as_deref().unwrap_or("other"))
                    .or_default();
                *sum = sum.saturating_add(bytes(c));
            }
            Protection::Unknown => {}
        }
    }
    let mut out = counted(good, all, &net.source, net.as_of)?;
    let mut clear: Vec<(&str, u64)> = clear.into_iter().filter(|(_, b)| *b > 0).collect();
    clear.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    out.notes = clear
        .iter()
        .take(4)
        .map(|(service, b)| format!("{service} in the clear: {}", size(*b)))
        .collect();
    Ok(out)
}

/// Octets in words.
fn size(bytes: u64) -> String {
    let mut value = bytes;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if value < 10_000 {
            return format!("{value} {unit}");
        }
        value /= 1000;
    }
    format!("{value} TB")
}

pub(super) const ENCRYPTED: Measure = Measure {
    name: "traffic.encrypted",
    counts: "bytes of internal traffic that were encrypted, of those for which that is known",
    needs: "conversations from a mirror port or a capture",
    fresh_days: 30,
    tools: &[Tool::Switches],
    read: |f| encrypted(f, |c| !outside(c)),
};

/// Protocols that carry patients' data, passwords or orders, and the ports of their encrypted forms.
fn clinical(c: &Conversation) -> bool {
    matches!(
        c.service.as_deref(),
        Some(
            "hl7"
                | "dicom"
                | "fhir"
                | "http"
                | "ldap"
                | "astm"
                | "poct1a"
                | "telnet"
                | "ftp"
                | "smtp"
                | "ipp"
        )
    ) || (c.protection == Protection::Encrypted
        && matches!(c.port, 443 | 636 | 2575 | 2762 | 3269 | 8443 | 11_112))
}

pub(super) const CLINICAL_ENCRYPTED: Measure = Measure {
    name: "traffic.clinical_encrypted",
    counts: "bytes of HL7, DICOM, FHIR, web, directory and similar traffic that were encrypted, of all such bytes",
    needs: "conversations from a mirror port or a capture",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::IntegrationEngine, Tool::Pacs],
    read: |f| encrypted(f, |c| !outside(c) && clinical(c)),
};

pub(super) const UNDERSTOOD: Measure = Measure {
    name: "conversations.understood",
    counts: "conversations whose protocol was recognised, of all conversations",
    needs: "conversations from a mirror port or a capture (flow records show no content)",
    fresh_days: 30,
    tools: &[Tool::Switches],
    read: |f| {
        of(&f.network, |net| {
            Ok((
                n(net
                    .conversations
                    .iter()
                    .filter(|c| c.service.is_some())
                    .count()),
                n(net.conversations.len()),
            ))
        })
    },
};

pub(super) const NO_LEGACY: Measure = Measure {
    name: "devices.no_legacy_protocol",
    counts: "devices that offer neither Telnet, FTP, rlogin, TFTP nor SMB 1, of all devices seen",
    needs: "conversations from a mirror port or a capture",
    fresh_days: 30,
    tools: &[Tool::Switches],
    read: |f| {
        let net = network(f)?;
        if net.facts.conversations.is_empty() {
            return Err(Missing::NoData);
        }
        let offers: BTreeSet<&str> = net
            .facts
            .conversations
            .iter()
            .filter(|c| {
                matches!(
                    c.service.as_deref(),
                    Some("telnet" | "ftp" | "rlogin" | "tftp")
                )
            })
            .map(|c| c.server.as_str())
            .collect();
        devices(
            f,
            |d| {
                !offers.contains(d.id.as_str())
                    && !d.evidence.iter().any(|e| {
                        e.kind == EvidenceKind::SmbDialect && e.value.starts_with("server 1")
                    })
            },
            |_| true,
        )
    },
};

pub(super) const MEDICAL_APART: Measure = Measure {
    name: "segments.medical_apart",
    counts: "medical devices whose segment holds nothing but medical devices, of the medical devices whose segment is known",
    needs: "the inventory with segments: VLANs from a mirror port, or subnets from leases",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::Dhcp],
    read: |f| {
        let net = network(f)?;
        // A device of unknown type beside medical ones is not known to be harmless.
        let mixed: BTreeSet<&str> = net
            .facts
            .devices
            .iter()
            .filter(|d| !medical(d) && d.category.as_deref() != Some("network"))
            .filter_map(|d| d.segment.as_deref())
            .collect();
        devices(
            f,
            |d| d.segment.as_deref().is_some_and(|s| !mixed.contains(s)),
            |d| medical(d) && d.segment.is_some(),
        )
    },
};

pub(super) const MEDICAL_OFFLINE: Measure = Measure {
    name: "devices.medical_offline",
    counts: "medical devices that talk to nothing on the internet, of the medical devices seen talking",
    needs: "conversations from a mirror port or flow records",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::Firewall],
    read: |f| {
        let net = network(f)?;
        let talking: BTreeSet<&str> = net
            .facts
            .conversations
            .iter()
            .flat_map(|c| [c.client.as_str(), c.server.as_str()])
            .collect();
        let out: BTreeSet<&str> = net
            .facts
            .conversations
            .iter()
            .filter(|c| outside(c))
            .map(|c| c.client.as_str())
            .collect();
        devices(
            f,
            |d| !out.contains(d.id.as_str()),
            |d| medical(d) && talking.contains(d.id.as_str()),
        )
    },
};

pub(super) const TIGHT: Measure = Measure {
    name: "segments.tight",
    counts: "pairs of devices that do talk, of the pairs that could",
    needs: "network rules of firewalls and switches, or at least segments and conversations from a mirror port",
    fresh_days: 30,
    tools: &[Tool::Switches, Tool::Firewall],
    read: |f| {
        if f.reach.is_some() {
            return of(&f.reach, |r| Ok((r.used, r.reachable)));
        }
        // Without rules: whoever shares a segment can talk. Routers may let more happen, so the true share is at most this.
        let net = network(f)?;
        if net.facts.conversations.is_empty() {
            return Err(Missing::NoData);
        }
        let mut members: BTreeMap<&str, u64> = BTreeMap::new();
        let mut segment: BTreeMap<&str, &str> = BTreeMap::new();
        for d in &net.facts.devices {
            if let Some(s) = d.segment.as_deref() {
                *members.entry(s).or_default() += 1;
                segment.insert(d.id.as_str(), s);
            }
        }
        if members.is_empty() {
            return Err(Missing::NoData);
        }
        let inside = members.values().fold(0_u64, |a, m| {
            a.saturating_add(m.saturating_mul(m.saturating_sub(1)))
        });
        let used: BTreeSet<(&str, &str)> = net
            .facts
            .conversations
            .iter()
            .filter(|c| !outside(c))
            .map(|c| (c.client.as_str(), c.server.as_str()))
            .filter(|(a, b)| a != b && segment.contains_key(a) && segment.contains_key(b))
            .collect();
        let across = used
            .iter()
            .filter(|(a, b)| segment.get(a) != segment.get(b))
            .count();
        let mut out = counted(
            n(used.len()),
            inside.saturating_add(n(across)),
            &net.source,
            net.as_of,
        )?;
        out.notes
            .push("counted from shared segments; routers may let more pairs talk".to_owned());
        Ok(out)
    },
};
