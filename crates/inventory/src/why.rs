//! Why a device is taken for what it is: one sentence, and what stands beneath it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::{DeviceProfile, EvidenceKind, EvidenceRow};

use crate::identification::Identification;
use crate::identity::marks::{Mark, Strength};
use crate::inventory::Detail;
use crate::taxonomy;

/// Why a device is taken for what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// One sentence.
    pub sentence: String,
    /// The evidence that says something, the weightiest first.
    pub rows: Vec<EvidenceRow>,
    /// What contradicts it, each a sentence.
    pub contradicts: Vec<String>,
    /// How it was put together, each a sentence.
    pub identity: Vec<String>,
    /// What would settle it.
    pub settle: Vec<SmolStr>,
}

/// Why `profile` is what it is, as `identification` read its evidence.
pub fn why(profile: &DeviceProfile, identification: &Identification) -> Why {
    let mut rows: Vec<EvidenceRow> = profile
        .evidence
        .iter()
        .filter(|row| !row.says.is_empty())
        .cloned()
        .collect();
    rows.sort_by(|a, b| {
        b.weight
            .abs()
            .total_cmp(&a.weight.abs())
            .then_with(|| (a.kind, &a.value).cmp(&(b.kind, &b.value)))
    });
    let quote = |indexes: &[usize]| {
        let quoted: Vec<String> = indexes
            .iter()
            .filter_map(|index| profile.evidence.get(*index))
            .take(2)
            .map(phrase)
            .collect();
        if quoted.is_empty() {
            "its evidence".to_owned()
        } else {
            and(&quoted)
        }
    };
    let mut contradicts: Vec<String> = identification
        .contradictions
        .iter()
        .map(|c| {
            format!(
                "{}: {} says {}, but {} says {}",
                c.about,
                quote(&c.one_rows),
                words_about(&c.about, &c.one),
                quote(&c.other_rows),
                words_about(&c.about, &c.other),
            )
        })
        .collect();
    for row in rows.iter().filter(|row| row.weight < -1.0).take(3) {
        let listed = identification.contradictions.iter().any(|c| {
            c.other_rows
                .iter()
                .chain(&c.one_rows)
                .any(|i| profile.evidence.get(*i) == Some(row))
        });
        if !listed {
            contradicts.push(format!("{} speaks against it", phrase(row)));
        }
    }
    Why {
        sentence: sentence(profile, &rows),
        rows,
        contradicts,
        identity: Vec::new(),
        settle: identification.settle.clone(),
    }
}

impl Detail {
    /// Why the device is what it is, with how it was put together.
    pub fn why(&self) -> Why {
        let mut why = why(&self.profile, &self.identification);
        if let Some(confirmed) = &self.confirmed {
            let other = self
                .identification
                .kind
                .as_deref()
                .filter(|k| *k != confirmed.kind);
            why.sentence = format!(
                "{} because a person said so on {}",
                named(&self.profile),
                day(&confirmed.at.to_string()),
            );
            if let Some(other) = other {
                why.contradicts.insert(
                    0,
                    format!("the evidence alone says {}", taxonomy::words(other)),
                );
            }
        }
        if let Some(wants) = &self.wants {
            why.contradicts.insert(
                0,
                format!(
                    "the evidence now says {}; the name stays until that has lasted or a person says so",
                    taxonomy::words(wants)
                ),
            );
        }
        why.identity
            .extend(self.marks.iter().map(|mark| mark_words(*mark).to_owned()));
        for join in self.joins.iter().take(8) {
            let how = match join.by.strength() {
                Strength::Strong => "",
                Strength::Good => ", which is usually unique",
                Strength::Fair => ", which two devices could share",
            };
            why.identity.push(format!(
                "{} and {} are taken for one device by {} `{}`{how}",
                join.one.id().as_str(),
                join.other.id().as_str(),
                join.by.as_str(),
                join.value
            ));
        }
        if let Some(behind) = &self.profile.behind {
            why.identity
                .push(format!("it speaks through {}", behind.as_str()));
        }
        if !self.carries.is_empty() {
            why.identity
                .push(format!("{} assets speak through it", self.carries.len()));
        }
        why
    }
}

/// A device's name with what is known beside: `an infusion pump by B. Braun (Space)`.
fn named(profile: &DeviceProfile) -> String {
    let mut text = match (&profile.kind, &profile.category) {
        (Some(kind), _) => taxonomy::words(kind),
        (None, Some(category)) => taxonomy::category(category).map_or_else(
            || format!("“{category}”"),
            |c| format!("a {} of unknown type", c.words),
        ),
        (None, None) => "a device of unknown type".to_owned(),
    };
    if let Some(vendor) = &profile.vendor {
        text.push_str(&format!(" by {vendor}"));
    }
    if let Some(model) = &profile.model {
        text.push_str(&format!(" ({model})"));
    }
    text
}

fn sentence(profile: &DeviceProfile, rows: &[EvidenceRow]) -> String {
    let reasons: Vec<String> = rows
        .iter()
        .filter(|row| row.weight > 0.0)
        .take(3)
        .map(phrase)
        .collect();
    let name = named(profile);
    let sure = format!("{:.0} % sure", f64::from(profile.confidence) * 100.0);
    match (
        profile.kind.is_some() || profile.category.is_some(),
        reasons.is_empty(),
    ) {
        (true, false) => format!("{name} ({sure}) because of {}", and(&reasons)),
        (true, true) => format!("{name} ({sure})"),
        (false, _) if profile.evidence.is_empty() => {
            format!("{name}: nothing is known of it but that it is there")
        }
        (false, _) => format!(
            "{name}: of {} pieces of evidence {} say something, and that does not suffice to name it",
            profile.evidence.len(),
            rows.len()
        ),
    }
}

/// One piece of evidence as part of a sentence.
fn phrase(row: &EvidenceRow) -> String {
    let shown: String = row.value.chars().take(60).collect();
    let cut = if shown.len() < row.value.len() {
        "…"
    } else {
        ""
    };
    format!("{} `{shown}{cut}`", kind_words(row.kind))
}

fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn day(instant: &str) -> &str {
    instant.split('T').next().unwrap_or(instant)
}

fn words_about(about: &str, value: &str) -> String {
    if about == "type" {
        taxonomy::words(value)
    } else {
        value.to_owned()
    }
}

fn mark_words(mark: Mark) -> &'static str {
    match mark {
        Mark::Router => "it is a router: what it only forwards is not its own",
        Mark::VirtualRouter => "it is an address that several routers share",
        Mark::ProxyArp => "it answers ARP for others",
        Mark::Nat => "several hosts seem to speak from its address",
        Mark::RandomisedMac => "its MAC address is a local one, probably randomised",
        Mark::VirtualMachine => "its MAC address was given out by a hypervisor",
        Mark::Gateway => "it is a gateway: assets speak through its address",
        Mark::AddressConflict => {
            "another MAC address claimed one of its addresses at the same time"
        }
        Mark::AddressOnly => "only its address is known: another device may hold that later",
        Mark::NeverSeen => "only a register names it: it was never seen",
    }
}

/// A kind of evidence as part of a sentence.
fn kind_words(kind: EvidenceKind) -> String {
    let words = match kind {
        EvidenceKind::MacVendor => "the maker of its MAC address",
        EvidenceKind::DhcpVendorClass | EvidenceKind::Dhcp6VendorClass => "its DHCP vendor class",
        EvidenceKind::DhcpParameters | EvidenceKind::Dhcp6Parameters => {
            "the options it asks DHCP for"
        }
        EvidenceKind::DhcpHostname | EvidenceKind::DhcpFqdn => "the host name it gives DHCP",
        EvidenceKind::MdnsService => "the mDNS service it offers",
        EvidenceKind::MdnsTxt => "its mDNS description",
        EvidenceKind::SsdpServer | EvidenceKind::UpnpDescription => "its UPnP description",
        EvidenceKind::WsdType | EvidenceKind::WsdDescription => "its WS-Discovery description",
        EvidenceKind::SdcDevice => "its IEEE 11073 SDC description",
        EvidenceKind::SnmpSysDescr | EvidenceKind::SnmpSysObjectId => "its SNMP description",
        EvidenceKind::LldpDescription => "its LLDP description",
        EvidenceKind::HttpUserAgent => "the browser it names",
        EvidenceKind::HttpServer => "the web server it names",
        EvidenceKind::HttpTitle => "the title of its web page",
        EvidenceKind::DicomImplementationClass | EvidenceKind::DicomImplementationVersion => {
            "its DICOM implementation"
        }
        EvidenceKind::DicomSopClass => "the DICOM service it offers or uses",
        EvidenceKind::DicomOperation => "the DICOM operation it performs",
        EvidenceKind::DicomDevice => "what it says of itself in DICOM",
        EvidenceKind::DicomAeTitle => "its DICOM application entity title",
        EvidenceKind::Hl7Application => "the application it names in HL7",
        EvidenceKind::Hl7Message => "the HL7 message it sends",
        EvidenceKind::Hl7Device | EvidenceKind::Hl7Eui64 | EvidenceKind::Hl7Udi => {
            "the device it names in HL7"
        }
        EvidenceKind::BacnetVendor | EvidenceKind::BacnetDevice => "its BACnet description",
        EvidenceKind::ModbusDevice => "its Modbus identification",
        EvidenceKind::IppPrinter => "its printer description",
        EvidenceKind::Serves => "the port it serves",
        EvidenceKind::DnsQuery | EvidenceKind::TlsServerName => "the name it looks for",
        EvidenceKind::RegisterType
        | EvidenceKind::RegisterModel
        | EvidenceKind::RegisterVendor
        | EvidenceKind::RegisterName => "the register's",
        EvidenceKind::Confirmed => "a person's answer",
        other => return format!("its {other}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identification::Contradiction;
    use domain::{Criticality, DeviceId, Timestamp};

    fn profile() -> DeviceProfile {
        let row = |kind, value: &str, says: &str, weight| EvidenceRow {
            source: "sensor".into(),
            kind,
            value: value.into(),
            says: says.into(),
            weight,
            at: Timestamp::from_millis(0),
        };
        DeviceProfile {
            id: DeviceId::new("mac-1"),
            macs: Vec::new(),
            addresses: Vec::new(),
            names: Vec::new(),
            category: Some("medical".into()),
            kind: Some("infusion_pump".into()),
            vendor: Some("B. Braun".into()),
            model: None,
            os: None,
            confidence: 0.93,
            abstained: false,
            contradictory: false,
            criticality: Criticality::LifeCritical,
            evidence: vec![
                row(EvidenceKind::MacVendor, "B. Braun", "vendor=B. Braun", 3.0),
                row(
                    EvidenceKind::Hl7Application,
                    "PUMP_BBRAUN",
                    "type=infusion_pump",
                    6.0,
                ),
                row(EvidenceKind::HttpServer, "Boa", "", 0.0),
                row(
                    EvidenceKind::DhcpVendorClass,
                    "MSFT 5.0",
                    "os=Windows",
                    -2.0,
                ),
            ],
            first_seen: Timestamp::from_millis(0),
            last_seen: Timestamp::from_millis(0),
            unit: None,
            segment: None,
            behind: None,
            assets: Vec::new(),
            risks: Vec::new(),
        }
    }

    #[test]
    fn the_sentence_names_the_weightiest_evidence() {
        let why = why(&profile(), &Identification::default());
        assert_eq!(
            why.sentence,
            "an infusion pump by B. Braun (93 % sure) because of the application it names in HL7 `PUMP_BBRAUN` \
             and the maker of its MAC address `B. Braun`"
        );
        assert_eq!(why.rows.len(), 3, "what says nothing is left out");
        assert_eq!(
            why.contradicts,
            ["its DHCP vendor class `MSFT 5.0` speaks against it"]
        );
    }

    #[test]
    fn a_contradiction_quotes_both_sides() {
        let identification = Identification {
            contradictions: vec![Contradiction {
                about: "type".into(),
                one: "infusion_pump".into(),
                other: "workstation".into(),
                one_rows: vec![1],
                other_rows: vec![3],
            }],
            ..Identification::default()
        };
        let why = why(&profile(), &identification);
        assert_eq!(
            why.contradicts,
            [
                "type: the application it names in HL7 `PUMP_BBRAUN` says an infusion pump, \
              but its DHCP vendor class `MSFT 5.0` says a workstation"
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said_plainly() {
        let unknown = DeviceProfile {
            category: None,
            kind: None,
            vendor: None,
            ..profile()
        };
        let why = why(&unknown, &Identification::default());
        assert!(
            why.sentence
                .starts_with("a device of unknown type: of 4 pieces"),
            "{}",
            why.sentence
        );
    }
}
