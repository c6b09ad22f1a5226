//! SOAP of devices: WS-Discovery 1.1, DPWS 1.1 meta data, IEEE 11073-20702 and -10207 (SDC).
//!
//! From an SDC device only the meta data of its medical device system is taken (maker, model, UDI). Contexts (patient,
//! location detail of a bed, operator), states and every other element are walked over.

use super::DatagramProtocol;
use domain::conversation::Protection;
use domain::net::Party;
use domain::observation::EvidenceKind;

use super::markup::{Node, each_attribute, is_markup, walk};
use super::{Findings, Scene};
use crate::counters::Parser;

pub(super) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "wsd",
    ports: &[3702],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: Some(recognise),
    dissect: datagram,
};

/// Over UDP (WS-Discovery, SOAP-over-UDP).
pub(super) fn datagram(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !recognise(scene, payload) {
        return false;
    }
    let from_client = scene.to_server;
    if !envelope(payload, from_client, findings) {
        findings.malformed(Parser::Wsd);
    }
    true
}

pub(super) fn recognise(_scene: &Scene, payload: &[u8]) -> bool {
    is_markup(payload)
        && memchr::memmem::find(&payload[..payload.len().min(1024)], b"/soap-envelope").is_some()
}

/// Over HTTP.
pub(super) fn message(body: &[u8], from_client: bool, findings: &mut Findings<'_>) {
    if is_markup(body) {
        envelope(body, from_client, findings);
    }
}

/// Where in an envelope the walk is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Action,
    /// Inside Hello, a ProbeMatch or a ResolveMatch: the speaker offers.
    Offers,
    /// Inside Probe: the speaker searches.
    Searches,
    /// DPWS ThisModel or ThisDevice.
    Model,
    /// Mds of an SDC description.
    Mds,
    /// MetaData of an Mds.
    MetaData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    Nothing,
    Action,
    Types,
    Scopes,
    Address,
    Description(&'static str),
    Device(&'static str),
}

const MODEL: [&str; 6] = [
    "Manufacturer",
    "ModelName",
    "ModelNumber",
    "FriendlyName",
    "FirmwareVersion",
    "SerialNumber",
];

const META_DATA: [&str; 5] = [
    "Manufacturer",
    "ModelName",
    "ModelNumber",
    "SerialNumber",
    "DeviceIdentifier",
];

/// Nesting that is followed.
const DEPTH: usize = 32;

fn envelope(document: &[u8], from_client: bool, findings: &mut Findings<'_>) -> bool {
    let mut places = [Place::Elsewhere; DEPTH + 1];
    let mut depth = 0_usize;
    let mut take = Take::Nothing;
    let mut is_envelope = false;
    let mut endpoint = false;
    let mut prefixes: Vec<(String, &'static str)> = Vec::new();
    let speaker = if from_client {
        findings.scene.client
    } else {
        findings.scene.server
    };
    walk(document, |node| {
        match node {
            Node::Open(name, attributes) => {
                if depth == 0 {
                    is_envelope = name == "Envelope";
                    if !is_envelope {
                        return false;
                    }
                }
                namespaces(attributes, &mut prefixes);
                let before = places[depth];
                let (place, taken) = step(before, name, endpoint);
                endpoint = name == "EndpointReference" && place == Place::Offers;
                take = taken;
                if depth == DEPTH {
                    return false;
                }
                depth += 1;
                places[depth] = place;
            }
            Node::Text(text) => {
                say(take, places[depth], text, &prefixes, &speaker, findings);
            }
            Node::Close => {
                depth = depth.saturating_sub(1);
                take = Take::Nothing;
            }
        }
        true
    });
    is_envelope
}

fn step(before: Place, name: &str, endpoint: bool) -> (Place, Take) {
    let known = |list: &'static [&'static str]| list.iter().copied().find(|known| *known == name);
    match (before, name) {
        (Place::Elsewhere, "Action") => (Place::Action, Take::Action),
        (Place::Elsewhere, "Hello" | "ProbeMatch" | "ResolveMatch") => {
            (Place::Offers, Take::Nothing)
        }
        (Place::Elsewhere, "Probe") => (Place::Searches, Take::Nothing),
        (Place::Elsewhere, "ThisModel" | "ThisDevice") => (Place::Model, Take::Nothing),
        (Place::Elsewhere, "Mds") => (Place::Mds, Take::Nothing),
        (Place::Mds, "MetaData") => (Place::MetaData, Take::Nothing),
        // Parts of the device have meta data of their own; states and contexts are no part of it.
        (Place::Mds, _) => (Place::Action, Take::Nothing),
        (Place::MetaData, "Udi") => (Place::MetaData, Take::Nothing),
        (Place::MetaData, _) => match known(&META_DATA) {
            Some("DeviceIdentifier") => (Place::MetaData, Take::Device("Udi")),
            Some(name) => (Place::MetaData, Take::Device(name)),
            None => (Place::Action, Take::Nothing),
        },
        (Place::Model, _) => (
            Place::Model,
            known(&MODEL).map_or(Take::Nothing, Take::Description),
        ),
        (Place::Offers | Place::Searches, "Types") => (before, Take::Types),
        (Place::Offers, "Scopes") => (before, Take::Scopes),
        (Place::Offers, "Address") if endpoint => (before, Take::Address),
        (before, _) => (before, Take::Nothing),
    }
}

fn namespaces(attributes: &str, prefixes: &mut Vec<(String, &'static str)>) {
    each_attribute(attributes, |name, value| {
        if let Some(prefix) = name.strip_prefix("xmlns:")
            && prefixes.len() < 32
            && prefix.len() <= 32
            && let Some(canonical) = canonical(value)
        {
            prefixes.push((prefix.to_owned(), canonical));
        }
    });
}

/// The prefix that we write for a namespace, so that the same type always reads the same.
fn canonical(namespace: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 9] = [
        ("devprof", "dpws"),
        ("ns/dpws", "dpws"),
        ("11073-20702", "mdpws"),
        ("devices/print", "print"),
        ("wdp/print", "print"),
        ("wdp/scan", "scan"),
        ("wdp/pub", "pub"),
        ("windows/pub", "pub"),
        ("onvif.org", "onvif"),
    ];
    KNOWN
        .into_iter()
        .find(|(part, _)| namespace.contains(part))
        .map(|(_, prefix)| prefix)
}

fn say(
    take: Take,
    place: Place,
    text: &str,
    prefixes: &[(String, &'static str)],
    speaker: &Party,
    findings: &mut Findings<'_>,
) {
    match take {
        Take::Nothing => {}
        Take::Action => action(text, findings),
        Take::Types => {
            for name in text.split_ascii_whitespace().take(16) {
                let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                let kind = if place == Place::Offers {
                    EvidenceKind::WsdType
                } else {
                    EvidenceKind::WsdProbe
                };
                match prefixes.iter().rev().find(|(known, _)| known == prefix) {
                    Some((_, canonical)) => {
                        findings.about(speaker, kind, format_args!("{canonical}:{local}"))
                    }
                    None => findings.about(speaker, kind, local),
                }
            }
        }
        Take::Scopes => {
            for scope in text
                .split_ascii_whitespace()
                .take(32)
                .filter(|scope| is_device_scope(scope))
            {
                findings.about(speaker, EvidenceKind::WsdScope, scope);
            }
        }
        Take::Address => findings.about(speaker, EvidenceKind::WsdEndpoint, text),
        Take::Description(name) => {
            findings.about(
                speaker,
                EvidenceKind::WsdDescription,
                format_args!("{name}={text}"),
            );
        }
        Take::Device(name) => {
            findings.service("sdc");
            findings.about(
                speaker,
                EvidenceKind::SdcDevice,
                format_args!("{name}={text}"),
            );
        }
    }
}

/// Scopes that say what a device is or where it stands. IEEE 11073-20701 also has scopes for patients, operators,
/// workflows and encounters: whatever is not on this list is left out.
fn is_device_scope(scope: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "sdc.mds.pkp:",
        "sdc.cdc.type:",
        "sdc.ctxt.loc:",
        "onvif://www.onvif.org/type/",
        "onvif://www.onvif.org/hardware/",
        "onvif://www.onvif.org/name/",
        "onvif://www.onvif.org/Profile/",
    ];
    PREFIXES.iter().any(|prefix| {
        scope
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// What an action means, for SDC's services (IEEE 11073-20701 §6 and its action URIs).
fn action(uri: &str, findings: &mut Findings<'_>) {
    if !uri.contains("11073") && !uri.contains("draft6") {
        return;
    }
    let name = uri.rsplit('/').next().unwrap_or_default();
    findings.service("sdc");
    findings.meaning(match name {
        "GetMdib" | "GetMdDescription" | "GetMdState" | "GetContextStates" => "SDC get",
        "SetValue" | "SetString" | "Activate" | "SetAlertState" | "SetMetricState"
        | "SetComponentState" | "SetContextState" => "SDC set",
        "EpisodicMetricReport"
        | "PeriodicMetricReport"
        | "WaveformStream"
        | "ObservedValueStream" => "SDC telemetry",
        "EpisodicAlertReport" | "PeriodicAlertReport" => "SDC alert",
        "EpisodicContextReport" | "PeriodicContextReport" => "SDC context",
        _ => return,
    });
}
