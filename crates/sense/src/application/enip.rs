//! EtherNet/IP encapsulation (CIP volume 2, chapter 2): the identity that a device answers to ListIdentity.

use super::DatagramProtocol;
use super::StreamProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::cursor::Cursor;
use crate::text::Printable;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "enip",
    ports: &[44818],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect,
};

pub(super) static DATAGRAMS: DatagramProtocol = DatagramProtocol {
    service: "enip",
    ports: &[44818],
    protection: Protection::Cleartext,
    depth: 8,
    recognise: None,
    dissect: datagram,
};

/// The fixed part: command, length, session, status, context, options.
const HEAD: usize = 24;

fn command(octets: &[u8]) -> Option<(u16, usize)> {
    let head = octets.first_chunk::<HEAD>()?;
    let command = u16::from_le_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
    // NOP, List…, RegisterSession, UnRegisterSession, SendRRData, SendUnitData; options are zero.
    let known = matches!(
        command,
        0x00 | 0x04 | 0x63 | 0x64 | 0x65 | 0x66 | 0x6f | 0x70
    );
    (known && head[20..] == [0; 4]).then_some((command, length))
}

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    if octets.len() < HEAD {
        return if first.port_fits {
            Verdict::Perhaps
        } else {
            Verdict::No
        };
    }
    match command(octets) {
        Some((0x65, 4)) => Verdict::Yes,
        Some(_) if first.port_fits => Verdict::Yes,
        _ => Verdict::No,
    }
}

pub(super) fn dissect(
    scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let mut at = 0;
    while let Some((command, length)) = streams.to_client.get(at..).and_then(command) {
        let Some(body) = streams.to_client.get(at + HEAD..at + HEAD + length) else {
            break;
        };
        if command == 0x63 {
            identity(body, scene.server, findings);
            return Progress::Done;
        }
        at += HEAD + length;
    }
    if streams.ended || streams.to_client.len() > 4096 {
        Progress::Done
    } else {
        Progress::KEEP
    }
}

pub(super) fn datagram(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some((command, length)) = command(payload) else {
        return false;
    };
    if command == 0x63 && length > 0 {
        identity(&payload[HEAD..], scene.speaker(), findings);
    }
    true
}

/// Items, of which type 0x0c is the identity object (CIP volume 1, §5A-2).
fn identity(body: &[u8], party: domain::net::Party, findings: &mut Findings<'_>) -> Option<()> {
    let mut cursor = Cursor::new(body);
    let count = cursor.le16()?;
    for _ in 0..count.min(8) {
        let (kind, length) = (cursor.le16()?, usize::from(cursor.le16()?));
        let mut item = cursor.sub(length)?;
        if kind != 0x0c {
            continue;
        }
        // Protocol version, socket address.
        item.skip(2 + 16)?;
        let (vendor, device, product) = (item.le16()?, item.le16()?, item.le16()?);
        let (major, minor) = (item.u8()?, item.u8()?);
        item.skip(2)?;
        let serial = item.le32()?;
        let length = usize::from(item.u8()?);
        let name = item.take_up_to(length);
        let kind = EvidenceKind::EnipIdentity;
        findings.about(&party, kind, format_args!("vendor={vendor}"));
        findings.about(&party, kind, format_args!("device-type={device}"));
        findings.about(&party, kind, format_args!("product-code={product}"));
        findings.about(&party, kind, format_args!("revision={major}.{minor}"));
        findings.about(&party, kind, format_args!("serial={serial:08x}"));
        if !name.is_empty() {
            findings.about(
                &party,
                kind,
                format_args!("product-name={}", Printable(name)),
            );
        }
    }
    Some(())
}
