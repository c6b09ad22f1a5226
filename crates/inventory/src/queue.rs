//! Questions for people: what is unknown, contradictory or new, grouped by what it shares, so that one answer names forty pumps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use domain::{DeviceId, EvidenceKind};

use crate::evidence::Evidence;
use crate::identity::key::checksum;
use crate::identity::marks::Mark;
use crate::inventory::Inventory;
use crate::taxonomy;

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The evidence contradicts itself.
    Contradictory,
    /// The type is not known.
    Unknown,
    /// It was not there before.
    New,
}

/// An answer that is likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The type.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// Why it is likely, in a few words.
    pub why: SmolStr,
    /// How likely, 0 to 1, for ordering.
    pub confidence: f32,
}

/// One question about one or many devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its name: the same devices with the same evidence give the same one.
    pub id: SmolStr,
    /// Why it is asked.
    pub reason: Reason,
    /// In one sentence.
    pub sentence: String,
    /// The devices, at most [`DEVICES_MAX`].
    pub devices: Vec<DeviceId>,
    /// What all of them share.
    pub shared: Vec<Evidence>,
    /// Likely answers, the likeliest first.
    pub suggestions: Vec<Suggestion>,
    /// What would settle it.
    pub settle: Vec<SmolStr>,
    /// How much harm a wrong guess could do: larger is more. It orders the queue, then the number of devices does.
    pub risk: u32,
}

/// Most devices of one question; more are asked about when these are answered.
pub const DEVICES_MAX: usize = 1_000;

/// How certain a rule on this kind of evidence alone can be; `None`: it tells no types apart. What belongs to one device
/// (a name, an address, a serial number) is no rule either.
pub(crate) fn certainty(kind: EvidenceKind) -> Option<&'static str> {
    Some(match kind {
        EvidenceKind::SnmpSysDescr
        | EvidenceKind::SnmpSysObjectId
        | EvidenceKind::DhcpVendorClass
        | EvidenceKind::Dhcp6VendorClass
        | EvidenceKind::UpnpDescription
        | EvidenceKind::WsdDescription
        | EvidenceKind::SdcDevice
        | EvidenceKind::DicomDevice
        | EvidenceKind::DicomImplementationVersion
        | EvidenceKind::Hl7Application
        | EvidenceKind::Hl7Device
        | EvidenceKind::BacnetDevice
        | EvidenceKind::ModbusDevice
        | EvidenceKind::IppPrinter
        | EvidenceKind::MdnsTxt
        | EvidenceKind::VendorDiscovery
        | EvidenceKind::CdpPlatform
        | EvidenceKind::LldpDescription
        | EvidenceKind::RegisterType
        | EvidenceKind::RegisterModel
        | EvidenceKind::HttpTitle
        | EvidenceKind::HttpRealm => "0.9",
        EvidenceKind::DhcpParameters
        | EvidenceKind::DhcpOptions
        | EvidenceKind::SsdpServer
        | EvidenceKind::SsdpType
        | EvidenceKind::WsdType
        | EvidenceKind::DicomImplementationClass
        | EvidenceKind::HttpServer
        | EvidenceKind::HttpUserAgent
        | EvidenceKind::MdnsService
        | EvidenceKind::SshServer
        | EvidenceKind::TelnetBanner
        | EvidenceKind::FtpBanner
        | EvidenceKind::TlsJa4 => "0.6",
        _ => return None,
    })
}

/// Pairs such as `serial=…` that differ from device to device.
fn is_of_one_device(evidence: &Evidence) -> bool {
    let value = evidence.value.to_ascii_lowercase();
    [
        "serial",
        "udn=",
        "uuid",
        "name=",
        "location=",
        "udi=",
        "friendly",
    ]
    .iter()
    .any(|start| value.starts_with(start))
        && !value.starts_with("namespace")
}

/// Whether evidence of this kind puts devices into one group.
fn is_telling(evidence: &Evidence) -> bool {
    (certainty(evidence.kind).is_some() && !is_of_one_device(evidence))
        || matches!(
            evidence.kind,
            EvidenceKind::MacVendor | EvidenceKind::Serves
        )
}

/// Whether evidence of this kind says that a device takes part in care.
fn is_clinical(kind: EvidenceKind) -> bool {
    let text = kind.as_str();
    ["dicom.", "hl7.", "sdc.", "fhir."]
        .iter()
        .any(|start| text.starts_with(start))
        || kind == EvidenceKind::VendorDiscovery
}

/// By what devices are grouped: the best identity that is there, with the maker of the MAC address; else the ports it
/// serves.
fn signature(evidence: &[Evidence]) -> Vec<&Evidence> {
    const BEST: [EvidenceKind; 16] = [
        EvidenceKind::SnmpSysObjectId,
        EvidenceKind::SdcDevice,
        EvidenceKind::DicomImplementationVersion,
        EvidenceKind::Hl7Application,
        EvidenceKind::BacnetDevice,
        EvidenceKind::IppPrinter,
        EvidenceKind::UpnpDescription,
        EvidenceKind::VendorDiscovery,
        EvidenceKind::SsdpServer,
        EvidenceKind::HttpTitle,
        EvidenceKind::RegisterModel,
        EvidenceKind::RegisterType,
        EvidenceKind::DhcpVendorClass,
        EvidenceKind::DhcpParameters,
        EvidenceKind::MdnsService,
        EvidenceKind::HttpServer,
    ];
    let of = |kind: EvidenceKind| {
        evidence
            .iter()
            .filter(move |e| e.kind == kind && !is_of_one_device(e))
    };
    let mut signature: Vec<&Evidence> = of(EvidenceKind::MacVendor).collect();
    match BEST.iter().find(|kind| of(**kind).next().is_some()) {
        Some(kind) => signature.extend(of(*kind)),
        None => signature.extend(of(EvidenceKind::Serves)),
    }
    signature
}

/// A group being put together.
struct Grouped {
    reason: Reason,
    devices: Vec<DeviceId>,
    shared: Option<BTreeSet<Evidence>>,
    suggested: BTreeMap<SmolStr, (u32, SmolStr)>,
    settle: BTreeMap<SmolStr, u32>,
    risk: u32,
}

/// Every open question, the most pressing first.
pub(crate) fn questions(inventory: &Inventory) -> Vec<Question> {
    let surveyed = inventory.survey();
    let mut groups: BTreeMap<(Reason, String), Grouped> = BTreeMap::new();
    // What named devices have: by evidence, how many of which type.
    let mut named: BTreeMap<&Evidence, BTreeMap<SmolStr, u32>> = BTreeMap::new();
    for device in &surveyed {
        if let (Some(kind), false) = (&device.kind, device.contradictory) {
            for evidence in device.evidence.iter().filter(|e| is_telling(e)) {
                *named
                    .entry(evidence)
                    .or_default()
                    .entry(kind.clone())
                    .or_default() += 1;
            }
        }
    }
    for device in &surveyed {
        if device.confirmed || device.marks.contains(&Mark::NeverSeen) {
            continue;
        }
        let reason = match (&device.kind, device.contradictory) {
            (_, true) => Reason::Contradictory,
            (None, false) => Reason::Unknown,
            (Some(_), false) if device.is_new => Reason::New,
            (Some(_), false) => continue,
        };
        let mut key = String::new();
        for part in signature(&device.evidence) {
            key.push_str(&format!("{}={}\n", part.kind, part.value));
        }
        if key.is_empty() {
            // Nothing to group by: one question for all of which nothing is known.
            key.push('-');
        }
        if reason != Reason::Unknown {
            for one in device.disputed.iter().chain(&device.kind) {
                key.push_str(one);
                key.push('\n');
            }
        }
        let group = groups.entry((reason, key)).or_insert_with(|| Grouped {
            reason,
            devices: Vec::new(),
            shared: None,
            suggested: BTreeMap::new(),
            settle: BTreeMap::new(),
            risk: 0,
        });
        if group.devices.len() >= DEVICES_MAX {
            continue;
        }
        group.devices.push(device.id.clone());
        let telling: BTreeSet<Evidence> = device
            .evidence
            .iter()
            .filter(|e| is_telling(e))
            .cloned()
            .collect();
        group.shared = Some(match group.shared.take() {
            Some(shared) => shared.intersection(&telling).cloned().collect(),
            None => telling,
        });
        for kind in device.disputed.iter().chain(&device.kind) {
            let says = format_smolstr!("its evidence says so");
            group.suggested.entry(kind.clone()).or_insert((0, says)).0 += 2;
        }
        for what in &device.settle {
            *group.settle.entry(what.clone()).or_default() += 1;
        }
        group.risk = group.risk.max(risk(device, reason));
    }
    let mut questions: Vec<Question> = groups
        .into_iter()
        .map(|((_, key), group)| question(&key, group, &named))
        .collect();
    questions
        .sort_by(|a, b| (b.risk, b.devices.len(), &a.id).cmp(&(a.risk, a.devices.len(), &b.id)));
    questions
}

fn risk(device: &Surveyed, reason: Reason) -> u32 {
    let clinical = device.category.as_deref() == Some("medical")
        || device.evidence.iter().any(|e| is_clinical(e.kind));
    u32::from(reason == Reason::Contradictory) * 4
        + u32::from(reason == Reason::Unknown) * 2
        + u32::from(clinical) * 4
        + u32::from(device.talks_outside) * 3
        + u32::from(device.is_new)
        + u32::from(device.marks.contains(&Mark::AddressConflict)) * 2
}

fn question(
    key: &str,
    group: Grouped,
    named: &BTreeMap<&Evidence, BTreeMap<SmolStr, u32>>,
) -> Question {
    let shared: Vec<Evidence> = group.shared.unwrap_or_default().into_iter().collect();
    let mut suggested = group.suggested;
    for evidence in &shared {
        let Some(kinds) = named.get(evidence) else {
            continue;
        };
        for (kind, count) in kinds {
            let says = format_smolstr!("{count} devices with the same {} are", evidence.kind);
            let entry = suggested.entry(kind.clone()).or_insert((0, says));
            entry.0 = entry.0.saturating_add((*count).min(100));
        }
    }
    let total: u32 = suggested.values().map(|(votes, _)| votes).sum();
    let mut suggestions: Vec<Suggestion> = suggested
        .into_iter()
        .map(|(kind, (votes, why))| Suggestion {
            kind,
            why,
            confidence: votes as f32 / total.max(1) as f32,
        })
        .collect();
    suggestions.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(a.kind.cmp(&b.kind))
    });
    suggestions.truncate(5);
    let mut settle: Vec<(SmolStr, u32)> = group.settle.into_iter().collect();
    settle.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let settle = settle.into_iter().take(5).map(|(what, _)| what).collect();
    let text = format!("{:?}\n{key}", group.reason);
    let sentence = sentence(group.reason, group.devices.len(), &shared, &suggestions);
    Question {
        id: format_smolstr!("q-{:016x}", checksum(text.as_bytes())),
        reason: group.reason,
        sentence,
        devices: group.devices,
        shared,
        suggestions,
        settle,
        risk: group.risk,
    }
}

fn sentence(
    reason: Reason,
    count: usize,
    shared: &[Evidence],
    suggestions: &[Suggestion],
) -> String {
    let who = match count {
        1 => "one device".to_owned(),
        n => format!("{n} devices"),
    };
    let of = shared
        .iter()
        .find(|e| e.kind == EvidenceKind::MacVendor)
        .map(|e| format!(" by {}", e.value))
        .unwrap_or_default();
    let with = shared
        .iter()
        .find(|e| certainty(e.kind).is_some())
        .map(|e| format!(" with {} `{}`", e.kind, e.value))
        .unwrap_or_default();
    let words = |s: &Suggestion| taxonomy::words(&s.kind);
    match (reason, suggestions) {
        (Reason::Contradictory, [a, b, ..]) => {
            format!("{who}{of}{with}: {} or {}?", words(a), words(b))
        }
        (Reason::Contradictory, _) => format!("{who}{of}{with}: the evidence contradicts itself"),
        (Reason::Unknown, [a, ..]) => {
            format!("{who}{of}{with} not known: {}?", words(a))
        }
        (Reason::Unknown, []) => format!("{who}{of}{with} not known"),
        (Reason::New, [a, ..]) => format!("{who}{of}{with} new: {}, is that right?", words(a)),
        (Reason::New, []) => format!("{who}{of}{with} new"),
    }
}

/// A device as the queue looks at it.
pub(crate) struct Surveyed {
    pub(crate) id: DeviceId,
    pub(crate) kind: Option<SmolStr>,
    pub(crate) category: Option<SmolStr>,
    pub(crate) contradictory: bool,
    pub(crate) confirmed: bool,
    pub(crate) is_new: bool,
    pub(crate) talks_outside: bool,
    pub(crate) marks: Vec<Mark>,
    pub(crate) evidence: Vec<Evidence>,
    /// Types that the evidence is divided between.
    pub(crate) disputed: Vec<SmolStr>,
    pub(crate) settle: Vec<SmolStr>,
}
