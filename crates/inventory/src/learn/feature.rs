//! What is learnt of a value of evidence: the part that devices of one type share.
//!
//! Addresses, serial numbers and other long numbers are left out of a value, so that what is learnt of one unit holds
//! for the next one.

use std::collections::BTreeSet;

use domain::EvidenceKind;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::evidence::Evidence;

/// Most octets of a feature's value.
const VALUE_MAX: usize = 160;

/// Most features taken of one device.
pub(super) const FEATURES_MAX: usize = 512;

/// A kind of evidence with the lasting part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Feature {
    /// Kind of evidence.
    pub kind: EvidenceKind,
    /// The lasting part of a value; `~` in front: only its stem.
    pub value: SmolStr,
}

/// What part a kind of evidence plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A name that people or factories give to one unit: it helps where it recurs, and its absence says nothing.
    Name,
    /// What a device does.
    Conduct,
    /// What somebody says of it, or what stands for one unit only: not learnt.
    Told,
}

/// What part a kind plays.
pub(super) fn part(kind: EvidenceKind) -> Part {
    use EvidenceKind as E;
    match kind {
        E::DhcpHostname
        | E::DhcpFqdn
        | E::Dhcp6Fqdn
        | E::MdnsName
        | E::MdnsInstance
        | E::LlmnrName
        | E::NbnsName
        | E::LldpName
        | E::CdpName
        | E::SnmpSysName
        | E::NtlmComputer
        | E::RdpClientName
        | E::DicomAeTitle
        | E::MqttClientId => Part::Name,
        // A block of addresses is its maker's alone: devices of all kinds are in it.
        E::MacVendor
        | E::DhcpClientId
        | E::DhcpSubnet
        | E::Dhcp6Duid
        | E::WsdEndpoint
        | E::Hl7Eui64
        | E::Hl7Facility
        | E::NtlmDomain
        | E::BacnetInstance
        | E::RegisterId
        | E::RegisterName
        | E::RegisterType
        | E::RegisterVendor
        | E::RegisterModel
        | E::RegisterSerial
        | E::RegisterOs
        | E::RegisterPlace
        | E::RegisterUdi
        | E::RegisterState
        | E::Confirmed
        | E::ScanOs
        | E::ScanService => Part::Told,
        _ => Part::Conduct,
    }
}

/// What stands for a value that was never seen before, in trials.
pub(super) const NEW: &str = "\u{1}new";

/// Whether a kind of evidence comes from the system below the device's own work, which an update replaces.
pub(super) fn of_system(kind: EvidenceKind) -> bool {
    use EvidenceKind as E;
    matches!(
        kind,
        E::DhcpParameters
            | E::DhcpOptions
            | E::DhcpVendorClass
            | E::TcpSyn
            | E::TcpSynAck
            | E::TlsJa4
            | E::TlsServer
            | E::SshServer
            | E::HttpServer
            | E::SsdpServer
    )
}

/// Kinds that say the same thing in several ways; their weight together is bounded.
pub(crate) fn group(kind: EvidenceKind) -> &'static str {
    let text = kind.as_str();
    let head = text.split('.').next().unwrap_or(text);
    match head {
        "dhcp6" => "dhcp",
        "upnp" => "ssdp",
        "llmnr" | "nbns" => "names",
        "ntlm" | "smb" | "rdp" => "windows",
        "lldp" | "cdp" => "link",
        "fhir" => "fhir",
        "scan" | "register" => "told",
        _ => head,
    }
}

/// The features of a device's evidence, sorted, each once.
pub(super) fn features(evidence: &[Evidence]) -> BTreeSet<Feature> {
    let mut out = BTreeSet::new();
    let mut sorted: Vec<&Evidence> = evidence.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    for one in sorted {
        if out.len() >= FEATURES_MAX {
            break;
        }
        of_one(one, &mut out);
    }
    out
}

/// The features of one piece of evidence.
pub(super) fn of_one(evidence: &Evidence, out: &mut BTreeSet<Feature>) {
    use EvidenceKind as E;
    let kind = evidence.kind;
    if part(kind) == Part::Told {
        return;
    }
    let value = evidence.value.trim();
    let mut add = |value: String| {
        if !value.is_empty() && value != "~" {
            out.insert(Feature {
                kind,
                value: cut(&value).into(),
            });
        }
    };
    match kind {
        E::DnsQuery | E::HttpHost | E::TlsServerName => {
            let name = value.split(':').next().unwrap_or(value).to_lowercase();
            if name.parse::<std::net::IpAddr>().is_ok() || name.ends_with(".arpa") {
                return;
            }
            let plain = numberless(&name);
            if let Some(domain) = registered_domain(&plain) {
                add(format!("~{domain}"));
            }
            add(plain);
        }
        E::Serves | E::Uses => {
            let port = value.rsplit('/').next().and_then(|p| p.parse::<u16>().ok());
            // Ports above are handed out by the system, one for each connection (RFC 6335 section 6).
            if port.is_none_or(|port| port < 32_768) {
                add(value.to_owned());
            }
        }
        E::SsdpType if value.starts_with("uuid:") => {}
        E::MdnsTxt => {
            let (key, text) = value.split_once('=').unwrap_or((value, ""));
            let key = key.to_lowercase();
            if MODEL_KEYS.contains(&key.as_str()) {
                add(format!("{key}={}", text.to_lowercase()));
            } else if !UNIT_KEYS.contains(&key.as_str()) {
                add(format!("{key}={}", lasting(text, LONG)));
            }
        }
        // Numbers and their order are what these are about.
        E::DhcpParameters
        | E::DhcpOptions
        | E::Dhcp6Parameters
        | E::TcpSyn
        | E::TcpSynAck
        | E::MulticastGroup
        | E::TlsJa4
        | E::TlsServer
        | E::SnmpSysObjectId
        | E::DicomImplementationClass
        | E::DicomSopClass
        | E::BacnetVendor => {
            if kind == E::MulticastGroup && value.to_lowercase().starts_with("ff02::1:ff") {
                // The solicited-node group of its own address (RFC 4291 section 2.7.1).
                return;
            }
            add(value.to_owned());
        }
        E::DhcpVendorClass
        | E::Dhcp6VendorClass
        | E::HttpUserAgent
        | E::HttpServer
        | E::SsdpServer
        | E::SsdpUserAgent
        | E::SshServer
        | E::SshClient
        | E::RtspServer
        | E::RtspUserAgent
        | E::SipUserAgent
        | E::DicomImplementationVersion => {
            add(format!("~{}", stem(value)));
            add(lasting(value, LONG));
        }
        E::UpnpDescription
        | E::WsdDescription
        | E::SdcDevice
        | E::DicomDevice
        | E::LldpInventory
        | E::FhirDevice
        | E::BacnetDevice
        | E::ModbusDevice
        | E::IppPrinter
        | E::Hl7Device => {
            let key = value.split('=').next().unwrap_or(value).to_lowercase();
            let unit = [
                "serial",
                "udi",
                "uuid",
                "udn",
                "objectname",
                "stationname",
                "friendlyname",
                "stationaetitle",
            ];
            if !unit
                .iter()
                .any(|word| key.replace(['-', '_'], "").contains(word))
            {
                add(value.to_lowercase());
            }
        }
        _ if part(kind) == Part::Name => add(lasting(value, SHORT)),
        _ => add(lasting(value, LONG)),
    }
}

/// Fewest digits that stand for one unit: in a name, which often ends in half an address.
const SHORT: usize = 4;
/// Elsewhere, where model numbers and versions are written.
const LONG: usize = 6;

/// Keys of mDNS TXT pairs that name a model.
const MODEL_KEYS: &[&str] = &[
    "model_number",
    "md",
    "model",
    "ty",
    "product",
    "am",
    "usb_mdl",
    "usb_mfg",
    "manufacturer",
    "modelname",
];

/// Keys of mDNS TXT pairs that name one unit.
const UNIT_KEYS: &[&str] = &[
    "mac",
    "id",
    "deviceid",
    "serial",
    "serialnumber",
    "sn",
    "uuid",
    "pk",
    "psi",
    "pi",
    "gid",
    "hgid",
    "wlan0_ssid",
    "ssid",
    "fn",
    "cd",
    "rpba",
    "rpad",
    "rphn",
];

/// A value in lower case without what stands for one unit: addresses in pairs, and runs of at least `digits`
/// hexadecimal digits with a decimal one among them.
pub(super) fn lasting(value: &str, digits: usize) -> String {
    let chars: Vec<char> = value.to_lowercase().chars().collect();
    let mut out = String::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        if let Some(length) = address(&chars[at..]) {
            out.push('#');
            at += length;
            continue;
        }
        let run = chars[at..]
            .iter()
            .take_while(|c| c.is_ascii_hexdigit())
            .count();
        if run == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let run = &chars[at..at + run];
        if run.len() >= digits && run.iter().any(char::is_ascii_digit) {
            out.push('#');
        } else {
            out.extend(run);
        }
        at += run.len();
    }
    out
}

/// Length of an address in pairs (`00:1a:2b:3c:4d:5e`, with `-` too, six pairs or eight) at the start of a text.
fn address(chars: &[char]) -> Option<usize> {
    let mut length = 0;
    let mut pairs = 0;
    loop {
        let pair = chars.get(length..length + 2)?;
        if !pair.iter().all(char::is_ascii_hexdigit) {
            return None;
        }
        length += 2;
        pairs += 1;
        match chars.get(length) {
            Some(':' | '-') if pairs < 8 => length += 1,
            Some(c) if c.is_ascii_hexdigit() => return None,
            _ => return matches!(pairs, 6 | 8).then_some(length),
        }
    }
}

/// Digits of a host name as one sign each run: `3.pool.ntp.org`, `srv07`.
fn numberless(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for label in name.trim_end_matches('.').split('.') {
        if !out.is_empty() {
            out.push('.');
        }
        let hexadecimal = label.len() >= 8 && label.chars().all(|c| c.is_ascii_hexdigit());
        if hexadecimal {
            out.push('#');
            continue;
        }
        let mut digits = false;
        for c in label.chars() {
            if c.is_ascii_digit() {
                if !digits {
                    out.push('#');
                }
                digits = true;
            } else {
                out.push(c);
                digits = false;
            }
        }
    }
    out
}

/// The last two labels of a name, three where the second-last is one for all (`co.uk`).
fn registered_domain(name: &str) -> Option<String> {
    const SECOND: &[&str] = &[
        "co", "com", "org", "net", "gov", "ac", "edu", "or", "ne", "go",
    ];
    let labels: Vec<&str> = name.split('.').collect();
    let take = match labels.as_slice() {
        [] | [_] => return None,
        [.., second, _] if SECOND.contains(second) && labels.len() > 2 => 3,
        _ => 2,
    };
    (labels.len() > take).then(|| labels[labels.len() - take..].join("."))
}

/// The first word of a value.
pub(super) fn stem(value: &str) -> String {
    value
        .trim()
        .chars()
        .take_while(|c| !(c.is_whitespace() || matches!(c, '/' | '(' | ',') || c.is_ascii_digit()))
        .flat_map(char::to_lowercase)
        .collect()
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// The slot that a feature fills, where one type of device always fills it the same way: two features in one slot mean
/// two models.
pub(super) fn slot(feature: &Feature) -> Option<(EvidenceKind, SmolStr)> {
    use EvidenceKind as E;
    let value = feature.value.as_str();
    let key = || value.split_once('=').map(|(key, _)| key.to_lowercase());
    let keyed = |keys: &[&str]| {
        key()
            .filter(|key| keys.contains(&key.as_str()))
            .map(|key| (feature.kind, SmolStr::from(key)))
    };
    match feature.kind {
        E::MdnsTxt => keyed(MODEL_KEYS),
        E::UpnpDescription | E::WsdDescription | E::SdcDevice => {
            keyed(&["manufacturer", "modelname", "modelnumber", "devicetype"])
        }
        E::DicomDevice => keyed(&[
            "manufacturer",
            "modelname",
            "manufacturermodelname",
            "modality",
        ]),
        E::LldpInventory => keyed(&["manufacturer", "model"]),
        E::FhirDevice => keyed(&["manufacturer", "modelnumber"]),
        E::BacnetDevice => keyed(&["model-name", "vendor-name"]),
        E::ModbusDevice => keyed(&["vendorname", "productcode", "modelname"]),
        E::IppPrinter => keyed(&["printer-make-and-model"]),
        E::Hl7Device => keyed(&["model", "manufacturer"]),
        E::CdpPlatform | E::SnmpSysObjectId | E::BacnetVendor => {
            Some((feature.kind, SmolStr::default()))
        }
        // A maker's own device type; those of the UPnP forum itself are shared by all.
        E::SsdpType => {
            let (_, device) = value.split_once(":device:")?;
            let common = [
                "basic:",
                "rootdevice",
                "mediarenderer:",
                "mediaserver:",
                "internetgatewaydevice:",
                "wandevice:",
                "wanconnectiondevice:",
                "wfadevice:",
            ];
            (!common.iter().any(|name| device.starts_with(name)))
                .then(|| (feature.kind, SmolStr::default()))
        }
        E::DhcpVendorClass => {
            let word = value.strip_prefix('~')?;
            let common = [
                "udhcp",
                "udhcpc",
                "dhcpcd",
                "dhcpcd-",
                "msft",
                "android-dhcp-",
                "dhclient",
                "busybox",
            ];
            (!word.is_empty() && !common.contains(&word))
                .then(|| (feature.kind, SmolStr::default()))
        }
        _ => None,
    }
}

/// Probability that any device at all shows a feature, before anything is learnt.
pub(super) fn common(feature: &Feature) -> f64 {
    use EvidenceKind as E;
    let value = feature.value.as_str();
    let everyday = match feature.kind {
        E::Uses => matches!(
            value,
            "tcp/80"
                | "tcp/443"
                | "udp/53"
                | "udp/123"
                | "udp/67"
                | "udp/443"
                | "udp/1900"
                | "udp/5353"
                | "udp/137"
                | "udp/5355"
                | "tcp/445"
                | "tcp/8080"
        ),
        E::Serves => matches!(
            value,
            "tcp/80" | "tcp/443" | "tcp/22" | "tcp/8080" | "udp/68" | "udp/137" | "udp/5353"
        ),
        E::MulticastGroup => matches!(
            value,
            "224.0.0.1"
                | "224.0.0.2"
                | "224.0.0.22"
                | "224.0.0.251"
                | "224.0.0.252"
                | "239.255.255.250"
                | "ff02::1"
                | "ff02::2"
                | "ff02::16"
                | "ff02::fb"
                | "ff02::c"
        ),
        E::SsdpSearch => matches!(value, "upnp:rootdevice" | "ssdp:all"),
        E::SsdpType => matches!(value, "upnp:rootdevice"),
        E::MdnsService | E::MdnsQuery => {
            value.starts_with("_http._tcp") || value.starts_with("_services._dns-sd")
        }
        E::DnsQuery | E::HttpHost | E::TlsServerName => [
            "ntp.org",
            "google.com",
            "googleapis.com",
            "gstatic.com",
            "amazonaws.com",
            "cloudfront.net",
            "akamai.net",
            "apple.com",
            "microsoft.com",
            "windows.com",
            "windowsupdate.com",
            "time.windows.com",
        ]
        .iter()
        .any(|domain| value.ends_with(domain)),
        E::DhcpVendorClass => matches!(value, "~udhcp" | "~dhcpcd" | "~msft" | "~android-dhcp-"),
        _ => false,
    };
    if everyday { 0.3 } else { 0.02 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: EvidenceKind, value: &str, expected: &[&str]) {
        let found = features(&[Evidence::new(kind, value)]);
        let found: Vec<_> = found.iter().map(|feature| feature.value.as_str()).collect();
        assert_eq!(found, expected, "{kind} {value}");
    }

    #[test]
    fn what_stands_for_one_unit_is_left_out() {
        use EvidenceKind as E;
        check(E::DhcpHostname, "ESP_06D902", &["esp_#"]);
        check(E::DhcpHostname, "DCH-S160", &["dch-s160"]);
        check(E::MdnsName, "DCS-935L-B0C554255B0E", &["dcs-935l-#"]);
        check(E::MdnsName, "cam 00:1a:2b:3c:4d:5e x", &["cam # x"]);
        check(E::MdnsTxt, "md=BSB002", &["md=bsb002"]);
        check(E::MdnsTxt, "mac=90:8D:78:DD:0D:60", &[]);
        check(E::DicomDevice, "DeviceSerialNumber=12", &[]);
        check(
            E::DnsQuery,
            "3.openwrt.pool.NTP.org",
            &["#.openwrt.pool.ntp.org", "~ntp.org"],
        );
        check(E::DnsQuery, "a.b.co.uk", &["a.b.co.uk", "~b.co.uk"]);
        check(E::Uses, "udp/51234", &[]);
        check(E::Uses, "udp/123", &["udp/123"]);
        check(
            E::DhcpVendorClass,
            "udhcp 1.21.1--LSDK-10.2",
            &["udhcp 1.21.1--lsdk-10.2", "~udhcp"],
        );
        check(E::SsdpType, "uuid:Socket-1_0-221517K110005B", &[]);
        check(E::DhcpParameters, "1,3,6,15", &["1,3,6,15"]);
        check(E::DhcpClientId, "010203040506", &[]);
        check(E::DhcpSubnet, "10.2.0.0/22", &[]);
        check(E::MacVendor, "Pumps Inc", &[]);
        check(E::MulticastGroup, "ff02::1:ff12:3456", &[]);
    }

    #[test]
    fn two_models_fill_one_slot() {
        let slots = |kind, value| {
            features(&[Evidence::new(kind, value)])
                .iter()
                .filter_map(slot)
                .count()
        };
        use EvidenceKind as E;
        assert_eq!(slots(E::MdnsTxt, "model_number=DCH-S160"), 1);
        assert_eq!(slots(E::SsdpType, "urn:Belkin:device:insight:1"), 1);
        assert_eq!(slots(E::SsdpType, "urn:schemas-upnp-org:device:Basic:1"), 0);
        assert_eq!(slots(E::DhcpVendorClass, "udhcp 1.12"), 0);
        assert_eq!(slots(E::DhcpVendorClass, "Withings00"), 1);
    }
}
