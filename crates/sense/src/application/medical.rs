//! Discovery protocols of patient monitors.
//!
//! GE Unity (CARESCAPE) network: every node broadcasts RWHAT packets about itself (GE ApexPro service manual, "Unity
//! Network Device Communication"; UDP 7000). Their layout is not published: the broadcast alone is taken as a sign.
//!
//! Philips IntelliVue: monitors broadcast Connect Indications on UDP 24005 (Data Export Interface Programming Guide);
//! data export is on UDP 24105.

use super::DatagramProtocol;
use domain::conversation::Protection;
use std::net::IpAddr;

use domain::observation::EvidenceKind;

use super::{Findings, Scene};
use crate::cursor::Cursor;
use crate::text::Printable;

pub(super) static RWHAT: DatagramProtocol = DatagramProtocol {
    service: "ge-rwhat",
    ports: &[7000],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: rwhat,
};

pub(super) static INTELLIVUE: DatagramProtocol = DatagramProtocol {
    service: "philips-intellivue",
    ports: &[24005],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: connect_indication,
};

pub(super) static INTELLIVUE_DATA: DatagramProtocol = DatagramProtocol {
    service: "philips-intellivue",
    ports: &[24105],
    protection: Protection::Cleartext,
    depth: 8,
    recognise: None,
    dissect: data_export,
};

fn is_broadcast(scene: &Scene) -> bool {
    match scene.server.addr {
        Some(IpAddr::V4(v4)) => v4.is_broadcast() || v4.octets()[3] == 255,
        _ => false,
    }
}

pub(super) fn rwhat(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    // AFS, media players and others use the port too, but do not broadcast binary data on it.
    if !scene.to_server || scene.server_port != 7000 || !is_broadcast(scene) || payload.len() < 32 {
        return false;
    }
    if payload
        .iter()
        .take(32)
        .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
    {
        return false;
    }
    findings.about_speaker(EvidenceKind::VendorDiscovery, "ge-rwhat");
    findings.meaning("monitor discovery");
    true
}

/// `NOM_ATTR_ID_MODEL`.
const ATTRIBUTE_MODEL: [u8; 2] = [0x09, 0x28];

pub(super) fn connect_indication(
    scene: &Scene,
    payload: &[u8],
    findings: &mut Findings<'_>,
) -> bool {
    // Nomenclature 0.1.0, then a remote operation invoke.
    if scene.server_port != 24005 || !payload.starts_with(&[0, 0, 1, 0, 0, 1]) {
        return false;
    }
    findings.about_speaker(EvidenceKind::VendorDiscovery, "philips-connect-indication");
    findings.meaning("monitor discovery");
    let within = &payload[..payload.len().min(1024)];
    for at in memchr::memmem::find_iter(within, &ATTRIBUTE_MODEL).take(4) {
        if let Some((maker, model)) = model(&within[at + 2..]) {
            let kind = EvidenceKind::VendorDiscovery;
            findings.about_speaker(
                kind,
                format_args!(
                    "philips-connect-indication manufacturer={}",
                    Printable(maker)
                ),
            );
            findings.about_speaker(
                kind,
                format_args!("philips-connect-indication model={}", Printable(model)),
            );
            break;
        }
    }
    true
}

/// `SystemModel`: two labels, each with its length, inside an attribute with its own.
fn model(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(octets);
    let length = usize::from(cursor.be16()?);
    let mut inside = cursor.sub(length)?;
    let mut label = || {
        let length = usize::from(inside.be16()?);
        let text = inside.take(length)?.trim_ascii_end();
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        let text = &text[..end];
        let sound =
            (1..=64).contains(&text.len()) && text.iter().all(|b| (b' '..=b'~').contains(b));
        sound.then_some(text)
    };
    Some((label()?, label()?))
}

/// Data export: associations and polls. Values are a patient's and are left alone.
pub(super) fn data_export(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if scene.server_port != 24105 {
        return false;
    }
    match payload {
        // Session protocol: connect, accept, refuse, finish, disconnect, abort; data export's protocol identifier.
        [0x0d | 0x0e | 0x0c | 0x09 | 0x0a | 0x19, ..] => {}
        [0xe1, 0, ..] => findings.meaning("monitor telemetry"),
        _ => return false,
    }
    findings.about_server(EvidenceKind::VendorDiscovery, "philips-data-export");
    true
}
