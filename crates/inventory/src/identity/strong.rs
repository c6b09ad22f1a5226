//! Keys that stay with a device when its addresses change, and how far they can be believed.

use domain::EvidenceKind;
use domain::observation::Asset;

use super::key::bare;
use super::marks::JoinKey;

/// Whether a row of this kind can hold a key.
pub(crate) const fn may_hold_key(kind: EvidenceKind) -> bool {
    matches!(
        kind,
        EvidenceKind::Dhcp6Duid
            | EvidenceKind::DhcpClientId
            | EvidenceKind::WsdEndpoint
            | EvidenceKind::LldpInventory
            | EvidenceKind::DicomDevice
            | EvidenceKind::UpnpDescription
            | EvidenceKind::SdcDevice
            | EvidenceKind::WsdDescription
            | EvidenceKind::BacnetDevice
            | EvidenceKind::BacnetInstance
            | EvidenceKind::RegisterSerial
            | EvidenceKind::RegisterUdi
    ) || is_host_name(kind)
        || matches!(kind, EvidenceKind::RegisterName)
}

/// The key in a row of evidence, in the form in which it is compared.
pub(crate) fn key_of(kind: EvidenceKind, value: &str) -> Option<(JoinKey, String)> {
    match kind {
        EvidenceKind::Dhcp6Duid => (value.len() >= 12).then(|| (JoinKey::Duid, lower(value))),
        EvidenceKind::DhcpClientId => {
            // Hardware type 1 and six octets say no more than the MAC address does (RFC 2132 section 9.14).
            let only_mac = value.len() == 14 && value.starts_with("01");
            (!only_mac && value.len() >= 12).then(|| (JoinKey::ClientId, lower(value)))
        }
        EvidenceKind::WsdEndpoint => {
            let text = bare(value);
            (text.len() >= 16).then(|| (JoinKey::Endpoint, lower(text)))
        }
        EvidenceKind::BacnetInstance => bacnet(value.trim().parse().ok()?),
        EvidenceKind::RegisterSerial => serial(value),
        EvidenceKind::RegisterUdi => udi(value),
        EvidenceKind::LldpInventory
        | EvidenceKind::DicomDevice
        | EvidenceKind::UpnpDescription
        | EvidenceKind::SdcDevice
        | EvidenceKind::WsdDescription
        | EvidenceKind::BacnetDevice => serial(serial_field(value)?),
        kind if is_host_name(kind) || kind == EvidenceKind::RegisterName => {
            let name = host_name(kind, value);
            is_telling_name(name).then(|| (JoinKey::Name, lower(name)))
        }
        _ => None,
    }
}

/// The key in an asset's own name.
pub(crate) fn key_of_asset(asset: &Asset) -> Option<(JoinKey, String)> {
    match asset {
        Asset::Endpoint(text) => key_of(EvidenceKind::WsdEndpoint, text),
        Asset::Bacnet(instance) => bacnet(*instance),
        Asset::Udi(text) => udi(text),
        Asset::Eui64(_) | Asset::ModbusUnit(_) | Asset::Serial(_) | Asset::Register(_) => None,
    }
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// The serial number in a pair such as `serial=…`, `serialNumber=…`, `DeviceSerialNumber=…`.
pub(crate) fn serial_field(value: &str) -> Option<&str> {
    let (name, value) = value.split_once('=')?;
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    matches!(
        name.as_str(),
        "serial" | "serialnumber" | "deviceserial" | "deviceserialnumber"
    )
    .then_some(value)
}

/// A serial number in the form in which it is compared: letters and digits, in capitals.
pub(crate) fn plain_serial(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// Whether a serial number in its plain form can be one: long enough, with digits, and not what makers leave in
/// place of one.
pub(crate) fn is_telling_serial(plain: &str) -> bool {
    let first = plain.chars().next();
    let counting = "0123456789012345678901234567890".contains(plain)
        || "1234567890123456789012345678901".contains(plain);
    plain.len() >= 5
        && plain.chars().any(|c| c.is_ascii_digit())
        && !plain.chars().all(|c| Some(c) == first)
        && !counting
}

fn serial(text: &str) -> Option<(JoinKey, String)> {
    let plain = plain_serial(text);
    is_telling_serial(&plain).then_some((JoinKey::Serial, plain))
}

fn bacnet(instance: u32) -> Option<(JoinKey, String)> {
    // ASHRAE 135 clause 12.1.1: 22 bits, all of them set means "none".
    (instance < 0x3f_ffff).then(|| (JoinKey::BacnetInstance, instance.to_string()))
}

/// A UDI names one device only with a serial number in it: application identifier 21 (GS1 General Specifications 3.5).
fn udi(text: &str) -> Option<(JoinKey, String)> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    text.contains("(21)")
        .then(|| (JoinKey::Udi, text.to_ascii_uppercase()))
}

/// Whether evidence of this kind is what a device calls itself on the network.
pub(crate) const fn is_host_name(kind: EvidenceKind) -> bool {
    matches!(
        kind,
        EvidenceKind::DhcpHostname
            | EvidenceKind::DhcpFqdn
            | EvidenceKind::Dhcp6Fqdn
            | EvidenceKind::MdnsName
            | EvidenceKind::LlmnrName
            | EvidenceKind::NbnsName
            | EvidenceKind::NtlmComputer
            | EvidenceKind::RdpClientName
            | EvidenceKind::LldpName
            | EvidenceKind::CdpName
            | EvidenceKind::SnmpSysName
    )
}

/// The host name without its domain or suffix.
pub(crate) fn host_name(kind: EvidenceKind, value: &str) -> &str {
    let value = value.trim();
    match kind {
        EvidenceKind::NbnsName => value.split('<').next().unwrap_or(value).trim_end(),
        EvidenceKind::RegisterName => value,
        _ if value.contains(' ') => value,
        _ => value.split('.').next().unwrap_or(value),
    }
}

/// Whether a name is likely to be one device's: long, with a number in it, and not one that devices come with.
pub(crate) fn is_telling_name(name: &str) -> bool {
    const COMMON: [&str; 12] = [
        "localhost",
        "raspberrypi",
        "android",
        "iphone",
        "ipad",
        "macbook",
        "openwrt",
        "espressif",
        "unknown",
        "printer",
        "desktop",
        "laptop",
    ];
    let low = name.to_ascii_lowercase();
    let digits = name.chars().filter(char::is_ascii_digit).count();
    name.len() >= 6
        && name.len() <= 64
        && (digits >= 2 || name.len() >= 12)
        && !COMMON
            .iter()
            .any(|common| low.strip_prefix(common).is_some_and(|rest| rest.len() < 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_in_one_form() {
        for (kind, value, expected) in [
            (EvidenceKind::RegisterSerial, "sn 00-1742", Some("SN001742")),
            (
                EvidenceKind::LldpInventory,
                "serial=FCW2145L0AB",
                Some("FCW2145L0AB"),
            ),
            (EvidenceKind::LldpInventory, "model=FCW2145L0AB", None),
            (
                EvidenceKind::DicomDevice,
                "DeviceSerialNumber=40123",
                Some("40123"),
            ),
            (
                EvidenceKind::WsdEndpoint,
                "urn:uuid:0A1B2C3D-0000-1000-8000",
                Some("0a1b2c3d-0000-1000-8000"),
            ),
            (EvidenceKind::DhcpClientId, "01001a2b3c4d5e", None),
            (
                EvidenceKind::DhcpClientId,
                "ff3c4d5e0000010001",
                Some("ff3c4d5e0000010001"),
            ),
            (EvidenceKind::BacnetInstance, "4194303", None),
            (EvidenceKind::NbnsName, "WS-ICU-07<20>", Some("ws-icu-07")),
            (
                EvidenceKind::DhcpFqdn,
                "ws-icu-07.hospital.example",
                Some("ws-icu-07"),
            ),
            (EvidenceKind::RegisterUdi, "(01)00812345678901", None),
            (EvidenceKind::HttpServer, "Apache 2.4", None),
        ] {
            let found = key_of(kind, value).map(|(_, text)| text);
            assert_eq!(found.as_deref(), expected, "{kind} {value}");
        }
    }

    #[test]
    fn what_makers_leave_in_place_of_a_serial_is_no_key() {
        for text in [
            "000000",
            "123456789",
            "0123456789",
            "N/A",
            "none",
            "XXXXXXX",
            "1234",
        ] {
            assert!(!is_telling_serial(&plain_serial(text)), "{text}");
        }
        assert!(is_telling_serial("8123X7"));
    }

    #[test]
    fn names_that_devices_come_with_are_no_key() {
        for name in [
            "iPhone",
            "localhost",
            "android-1",
            "raspberrypi",
            "PUMP",
            "printer2",
        ] {
            assert!(!is_telling_name(name), "{name}");
        }
        for name in [
            "DESKTOP-7K2J9QF",
            "android-3f2a91bc",
            "ws-icu-07",
            "Annes-Thinkpad",
        ] {
            assert!(is_telling_name(name), "{name}");
        }
    }
}
