//! Simple Service Discovery Protocol (UPnP Device Architecture 2.0 §1).

use super::DatagramProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::head::{Found, head};
use super::{Findings, Scene};
use crate::counters::Parser;

pub(super) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "ssdp",
    ports: &[1900],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: Some(recognise),
    dissect,
};

pub(super) fn recognise(_scene: &Scene, payload: &[u8]) -> bool {
    payload.starts_with(b"M-SEARCH * HTTP/1.")
        || payload.starts_with(b"NOTIFY * HTTP/1.")
        || (payload.starts_with(b"HTTP/1.1 200 OK")
            && super::head::holds(&payload[..payload.len().min(512)], b"\nst:"))
}

pub(super) fn dissect(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let search = payload.starts_with(b"M-SEARCH ");
    let announces = payload.starts_with(b"NOTIFY ") || payload.starts_with(b"HTTP/1.");
    if !search && !announces {
        return false;
    }
    let (Found::Whole(head) | Found::Part(head)) = head(payload) else {
        findings.malformed(Parser::Ssdp);
        return true;
    };
    let _ = scene;
    for (name, value) in head.fields() {
        let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
        if search {
            if is(b"st") && !value.starts_with(b"uuid:") {
                findings.about_speaker(EvidenceKind::SsdpSearch, value);
            } else if is(b"user-agent") || is(b"x-av-client-info") {
                findings.about_speaker(EvidenceKind::SsdpUserAgent, value);
            }
            continue;
        }
        if is(b"server") {
            findings.about_speaker(EvidenceKind::SsdpServer, value);
        } else if is(b"st") || is(b"nt") {
            if !value.starts_with(b"uuid:") {
                findings.about_speaker(EvidenceKind::SsdpType, value);
            }
        } else if is(b"x-user-agent") || is(b"x-av-server-info") || is(b"x-modelname") {
            findings.about_speaker(EvidenceKind::SsdpUserAgent, value);
        } else if is(b"hue-bridgeid") {
            findings.about_speaker(EvidenceKind::VendorDiscovery, "hue-bridge");
        }
    }
    true
}
