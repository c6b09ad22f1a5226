//! NTP (RFC 5905): who serves time, and from how near the source.

use super::DatagramProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::{Findings, Scene};

pub(super) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "ntp",
    ports: &[123],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect,
};

pub(super) fn dissect(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(&first) = payload.first() else {
        return false;
    };
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !(1..=4).contains(&version) || !(1..=7).contains(&mode) {
        return false;
    }
    // Modes 6 and 7 are for control and shorter.
    if mode < 6 && payload.len() < 48 {
        return false;
    }
    match mode {
        4 if payload[1] > 0 => {
            findings.about_speaker(
                EvidenceKind::NtpServer,
                format_args!("stratum {}", payload[1]),
            );
        }
        5 => findings.about_speaker(
            EvidenceKind::NtpServer,
            format_args!("stratum {}", payload[1]),
        ),
        _ => {}
    }
    true
}
