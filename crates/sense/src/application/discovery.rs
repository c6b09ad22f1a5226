//! Vendors' own discovery protocols over UDP: makers, models and firmware that devices tell everybody around them.
//!
//! Values are `name` for the protocol and `name key=value` for what it says. Names that people give to their things
//! (TP-Link's `alias`, Wi-Fi names) are left out.

use domain::observation::EvidenceKind;
use memchr::memmem;

use super::markup::{Node, walk};
use super::{DatagramProtocol, Findings, Scene, json};
use crate::cursor::Cursor;
use crate::text::Printable;

fn say(findings: &mut Findings<'_>, protocol: &'static str) {
    findings.service(protocol);
    findings.about_speaker(EvidenceKind::VendorDiscovery, protocol);
}

fn tell(findings: &mut Findings<'_>, protocol: &'static str, key: &str, value: &[u8]) {
    let value = value.trim_ascii();
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    let value = &value[..end];
    if !value.is_empty() && value.len() <= 128 && value.iter().all(|b| (b' '..=b'~').contains(b)) {
        findings.about_speaker(
            EvidenceKind::VendorDiscovery,
            format_args!("{protocol} {key}={}", Printable(value)),
        );
    }
}

/// The row of a discovery protocol.
const fn row(
    service: &'static str,
    ports: &'static [u16],
    recognise: Option<fn(&Scene, &[u8]) -> bool>,
    dissect: fn(&Scene, &[u8], &mut Findings<'_>) -> bool,
) -> DatagramProtocol {
    DatagramProtocol {
        service,
        ports,
        protection: domain::conversation::Protection::Cleartext,
        depth: 64,
        recognise,
        dissect,
    }
}

pub(super) static TPLINK: DatagramProtocol = row("tplink", &[9999], None, tplink);
pub(super) static TUYA: DatagramProtocol = row("tuya", &[6666, 6667], None, tuya);
pub(super) static UBIQUITI: DatagramProtocol = row("ubiquiti", &[10001], None, ubiquiti);
pub(super) static MIKROTIK: DatagramProtocol = row("mikrotik", &[5678], None, mikrotik);
pub(super) static EDIMAX: DatagramProtocol = row("edimax", &[20560], Some(is_edimax), edimax);
pub(super) static DLINK: DatagramProtocol = row("dlink", &[62976], None, dlink);
pub(super) static EQ3: DatagramProtocol = row("eq3-max", &[23272], None, eq3);
pub(super) static HI_FLYING: DatagramProtocol = row(
    "hi-flying",
    &[49999, 48899],
    Some(is_smart_config),
    smart_config,
);
pub(super) static HIKVISION: DatagramProtocol = row("hikvision", &[37020], None, hikvision);
pub(super) static DAHUA: DatagramProtocol = row("dahua", &[37810], None, dahua);
pub(super) static LANTRONIX: DatagramProtocol = row("lantronix", &[30718], None, lantronix);
pub(super) static DIGI: DatagramProtocol = row("digi-addp", &[2362], Some(is_digi), digi);
pub(super) static CANON: DatagramProtocol = row("canon-bjnp", &[8610, 8611, 8612], None, canon);
pub(super) static EPSON: DatagramProtocol = row("epson-enpc", &[3289], None, epson);
pub(super) static DROPBOX: DatagramProtocol = row("dropbox", &[17500], None, dropbox);
pub(super) static KNX: DatagramProtocol = row("knx", &[3671], None, knx);
pub(super) static XIAOMI: DatagramProtocol = row("xiaomi-miio", &[54321], None, xiaomi);

/// TP-Link's smart home protocol: JSON, each octet combined with the one before it, starting with 171.
fn tplink(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if payload.first() != Some(&(b'{' ^ 171)) {
        return false;
    }
    let mut plain = [0_u8; 2048];
    let mut key = 171;
    let length = payload.len().min(plain.len());
    for (to, from) in plain.iter_mut().zip(payload) {
        *to = from ^ key;
        key = *from;
    }
    let plain = &plain[..length];
    if !plain.starts_with(b"{\"") {
        return false;
    }
    say(findings, "tplink");
    json::walk(plain, |path, value| {
        if let [b"system", b"get_sysinfo", key] = path
            && let Some(name) = match *key {
                b"model" => Some("model"),
                b"dev_name" => Some("name"),
                b"sw_ver" => Some("firmware"),
                b"hw_ver" => Some("hardware"),
                b"type" | b"mic_type" => Some("type"),
                _ => None,
            }
        {
            tell(findings, "tplink", name, value);
        }
        true
    });
    true
}

/// Tuya: a frame with 0x55aa around JSON (3.1) or around something encrypted (3.3 and later).
fn tuya(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let (Some(0x55aa), true) = (Cursor::new(payload).be32(), payload.len() >= 28) else {
        return payload.starts_with(&[0, 0, 0x66, 0x99]) && {
            say(findings, "tuya");
            true
        };
    };
    say(findings, "tuya");
    if let Some(start) = memchr::memchr(b'{', &payload[16..payload.len().min(32)]) {
        json::walk(&payload[16 + start..], |path, value| {
            match path {
                [b"version"] => tell(findings, "tuya", "version", value),
                [b"productKey"] => tell(findings, "tuya", "product", value),
                _ => {}
            }
            true
        });
    }
    true
}

/// Ubiquiti: version, command, length, then type, length, value.
fn ubiquiti(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let &[version @ (1 | 2), command, high, low, ref rest @ ..] = payload else {
        return false;
    };
    if usize::from(u16::from_be_bytes([high, low])) != rest.len() {
        return false;
    }
    if rest.is_empty() {
        // A question.
        return command == 0;
    }
    say(findings, "ubiquiti");
    let mut cursor = Cursor::new(rest);
    for _ in 0..64 {
        let (Some(kind), Some(length)) = (cursor.u8(), cursor.be16()) else {
            break;
        };
        let Some(value) = cursor.take(usize::from(length)) else {
            break;
        };
        match (version, kind) {
            (_, 0x03) => tell(findings, "ubiquiti", "firmware", value),
            (_, 0x0b) => tell(findings, "ubiquiti", "name", value),
            (_, 0x0c) => tell(findings, "ubiquiti", "platform", value),
            (_, 0x14 | 0x15) => tell(findings, "ubiquiti", "model", value),
            (2, 0x16) => tell(findings, "ubiquiti", "version", value),
            _ => {}
        }
    }
    true
}

/// MikroTik neighbour discovery: sequence, then type, length, value.
fn mikrotik(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let mut cursor = Cursor::new(payload);
    if payload.len() < 4 || cursor.be32().is_none() {
        return false;
    }
    if cursor.is_empty() {
        return payload == [0; 4];
    }
    let mut first = true;
    while let (Some(kind), Some(length)) = (cursor.be16(), cursor.be16()) {
        let Some(value) = cursor.take(usize::from(length)) else {
            return !first;
        };
        // The MAC address comes first.
        if first && (kind != 1 || length != 6) {
            return false;
        }
        if first {
            say(findings, "mikrotik");
        }
        first = false;
        match kind {
            5 => tell(findings, "mikrotik", "name", value),
            7 => tell(findings, "mikrotik", "version", value),
            8 => tell(findings, "mikrotik", "platform", value),
            12 => tell(findings, "mikrotik", "board", value),
            _ => {}
        }
    }
    !first
}

/// Edimax: an announcement with MAC, maker and model in fixed places, or its search.
fn is_edimax(_scene: &Scene, payload: &[u8]) -> bool {
    payload.get(6..13) == Some(b"EDIMAX\0") || is_param(payload)
}

/// `<param><code value="`, in the clear, or with the bits of each octet moved around as its cameras do.
fn is_param(payload: &[u8]) -> bool {
    payload.starts_with(b"<param><code value=\"")
}

fn edimax(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !is_edimax(scene, payload) {
        return false;
    }
    say(findings, "edimax");
    if !is_param(payload) {
        // Found in announcements of smart plugs: maker at 6, model at 22, firmware at 36, name at 44.
        let text = |at: usize, longest: usize| {
            let rest = payload.get(at..).unwrap_or_default();
            let rest = &rest[..rest.len().min(longest)];
            &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())]
        };
        tell(findings, "edimax", "model", text(22, 14));
        tell(findings, "edimax", "firmware", text(36, 8));
    }
    true
}

/// D-Link cameras' own discovery on UDP 62976.
fn dlink(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    match payload {
        [0xfd, 0xfd, _, 0, 0xd1 | 0xa1, 0, ..] => {
            // The search, sent by whoever configures.
            findings.service("dlink");
            true
        }
        [0xff, 0xff, _, 0, 0xa0 | 0xa1, 0, ..] if payload.len() > 24 => {
            say(findings, "dlink");
            // Texts among binary fields: the kind of device, its firmware, its name, which is the model until somebody
            // changes it.
            for (index, text) in payload[22..]
                .split(|b| !(b' '..=b'~').contains(b))
                .filter(|text| text.len() >= 4)
                .take(8)
                .enumerate()
            {
                let is_version = text.iter().all(|b| b.is_ascii_digit() || *b == b'.');
                let is_model = matches!(text, [b'D', a, b, b'-', ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase());
                match index {
                    0 => tell(findings, "dlink", "kind", text),
                    _ if is_version => tell(findings, "dlink", "firmware", text),
                    _ if is_model => tell(findings, "dlink", "model", text),
                    _ => {}
                }
            }
            true
        }
        _ => false,
    }
}

/// eQ-3 MAX! cube.
fn eq3(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !payload.starts_with(b"eQ3Max") {
        return false;
    }
    // Its answer repeats its serial number; a search has asterisks there.
    if payload
        .get(8..18)
        .is_some_and(|serial| serial.iter().all(u8::is_ascii_alphanumeric))
    {
        say(findings, "eq3-max");
    }
    true
}

fn is_smart_config(_scene: &Scene, payload: &[u8]) -> bool {
    payload.starts_with(b"smart_config ")
}

/// High-Flying's Wi-Fi modules (HF-LPB) announce themselves after being configured.
fn smart_config(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    is_smart_config(scene, payload) && {
        say(findings, "hi-flying");
        true
    }
}

/// Hikvision's SADP: XML.
fn hikvision(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !super::markup::is_markup(payload)
        || memmem::find(&payload[..payload.len().min(256)], b"Probe").is_none()
    {
        return false;
    }
    findings.service("hikvision");
    let mut element = None;
    walk(payload, |node| {
        match node {
            Node::Open(name, _) => {
                element = match name {
                    "DeviceDescription" => Some("model"),
                    "SoftwareVersion" => Some("firmware"),
                    "DeviceType" => Some("type"),
                    "DeviceSN" => Some("serial"),
                    _ => None,
                };
                if name == "ProbeMatch" {
                    say(findings, "hikvision");
                }
            }
            Node::Text(text) => {
                if let Some(key) = element {
                    tell(findings, "hikvision", key, text.as_bytes());
                }
            }
            Node::Close => element = None,
        }
        true
    });
    true
}

/// Dahua's DHIP: a head of 32 octets, then JSON.
fn dahua(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if payload.get(..8) != Some(b"\x20\0\0\0DHIP") {
        return false;
    }
    findings.service("dahua");
    let mut answers = false;
    json::walk(payload.get(32..).unwrap_or_default(), |path, value| {
        if let [.., b"deviceInfo", key] = path
            && let Some(name) = match *key {
                b"DeviceType" => Some("model"),
                b"DeviceClass" => Some("type"),
                b"Version" => Some("firmware"),
                b"Vendor" => Some("vendor"),
                _ => None,
            }
        {
            answers = true;
            tell(findings, "dahua", name, value);
        }
        true
    });
    if answers {
        say(findings, "dahua");
    }
    true
}

/// Lantronix device servers: a question 0xf6 and its answer 0xf7. They put serial medical devices on the network.
fn lantronix(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    match payload {
        [0, 0, 0, 0xf6] => true,
        [0, 0, 0, 0xf7, rest @ ..] if rest.len() >= 26 => {
            say(findings, "lantronix");
            // Version words, then the type of device: two or three characters.
            tell(findings, "lantronix", "type", &rest[4..7]);
            true
        }
        _ => false,
    }
}

fn is_digi(_scene: &Scene, payload: &[u8]) -> bool {
    // "DIGI", or what customers of Digi put there; the type of message and its length follow.
    (payload.starts_with(b"DIGI") || payload.starts_with(b"DVKT") || payload.starts_with(b"DGDP"))
        && payload.len() >= 8
}

/// Digi's ADDP: they put serial medical devices on the network.
fn digi(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !is_digi(scene, payload) {
        return false;
    }
    findings.service("digi-addp");
    // Type 2 is the answer to a discovery: fields of type, length, value.
    if payload.get(4..6) != Some(&[0, 2]) {
        return true;
    }
    say(findings, "digi-addp");
    let mut cursor = Cursor::new(&payload[8..]);
    for _ in 0..32 {
        let (Some(kind), Some(length)) = (cursor.u8(), cursor.u8()) else {
            break;
        };
        let Some(value) = cursor.take(usize::from(length)) else {
            break;
        };
        match kind {
            0x08 => tell(findings, "digi-addp", "firmware", value),
            0x0d => tell(findings, "digi-addp", "model", value),
            _ => {}
        }
    }
    true
}

/// Canon's BJNP and its siblings for other services.
fn canon(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let named = [&b"BJNP"[..], b"BJNB", b"MFNP"]
        .iter()
        .any(|magic| payload.starts_with(magic));
    if !named || payload.len() < 16 {
        return false;
    }
    findings.service("canon-bjnp");
    // The top bit of the type marks an answer; command 0x30 asks for the IEEE 1284 identifier.
    if payload[4] & 0x80 != 0 {
        say(findings, "canon-bjnp");
        if payload[5] == 0x30
            && let Some(text) = payload.get(18..)
        {
            device_id(text, "canon-bjnp", findings);
        }
    }
    true
}

/// `MFG:…;MDL:…;` of an IEEE 1284 device identifier.
fn device_id(text: &[u8], protocol: &'static str, findings: &mut Findings<'_>) {
    for part in text.split(|b| *b == b';').take(32) {
        let Some((key, value)) = part
            .iter()
            .position(|b| *b == b':')
            .map(|at| (&part[..at], &part[at + 1..]))
        else {
            continue;
        };
        match key.trim_ascii() {
            b"MFG" | b"MANUFACTURER" => tell(findings, protocol, "manufacturer", value),
            b"MDL" | b"MODEL" => tell(findings, protocol, "model", value),
            _ => {}
        }
    }
}

/// Epson's ENPC.
fn epson(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    match payload {
        [b'E', b'P', b'S', b'O', b'N', kind, ..] => {
            findings.service("epson-enpc");
            // Lower case: an answer.
            if kind.is_ascii_lowercase() {
                say(findings, "epson-enpc");
            }
            true
        }
        _ => false,
    }
}

/// Dropbox's LAN synchronisation: a computer with its client on it. What it says of accounts is left alone.
fn dropbox(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let is = payload.starts_with(b"{\"")
        && memmem::find(&payload[..payload.len().min(256)], b"\"host_int\"").is_some();
    if is {
        say(findings, "dropbox");
    }
    is
}

/// KNXnet/IP: description and search responses carry the device's name in a block of 54 octets.
fn knx(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let &[6, 0x10, a, b, high, low, ref rest @ ..] = payload else {
        return false;
    };
    if usize::from(u16::from_be_bytes([high, low])) != payload.len() {
        return false;
    }
    findings.service("knx");
    let blocks = match (a, b) {
        (2, 2) => rest.get(8..),
        (2, 4) => Some(rest),
        _ => None,
    };
    if let Some([54, 1, block @ ..]) = blocks
        && let Some(name) = block.get(22..52)
    {
        say(findings, "knx");
        tell(findings, "knx", "name", name);
    }
    true
}

/// Xiaomi's miIO: a head with a fixed start, 32 octets long for the greeting.
fn xiaomi(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let is = matches!(payload, [0x21, 0x31, high, low, ..]
        if usize::from(u16::from_be_bytes([*high, *low])) == payload.len());
    if is {
        findings.service("xiaomi-miio");
        findings.about_server(EvidenceKind::VendorDiscovery, "xiaomi-miio");
    }
    is
}
