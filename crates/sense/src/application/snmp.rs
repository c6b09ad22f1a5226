//! SNMP (RFC 1157, RFC 3416, RFC 3412): what an agent answers of its system group, who manages and who is managed, the
//! maker behind an SNMPv3 engine. The community is never looked at.

use super::DatagramProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::{Findings, Scene};
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::Printable;

pub(super) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "snmp",
    ports: &[161, 162],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: Some(recognise),
    dissect,
};

/// Variable bindings that are looked at in one message.
const BINDINGS_MAX: usize = 64;

pub(super) fn recognise(_scene: &Scene, payload: &[u8]) -> bool {
    let mut cursor = Cursor::new(payload);
    let Some((0x30, inside)) = element(&mut cursor) else {
        return false;
    };
    matches!(inside, [2, 1, 0 | 1, 4, ..] | [2, 1, 3, 0x30, ..])
}

/// A BER element: its tag and contents. Lengths in the long form have at most four octets.
fn element<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let tag = cursor.u8()?;
    let length = match cursor.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.be16()?),
        0x83 => usize::try_from(cursor.be24()?).ok()?,
        0x84 => usize::try_from(cursor.be32()?).ok()?,
        _ => return None,
    };
    Some((tag, cursor.take(length)?))
}

fn expect<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Option<&'a [u8]> {
    element(cursor)
        .filter(|(found, _)| *found == tag)
        .map(|(_, contents)| contents)
}

pub(super) fn dissect(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !recognise(scene, payload) {
        return false;
    }
    if message(scene, payload, findings).is_none() {
        findings.malformed(Parser::Snmp);
    }
    true
}

fn message(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> Option<()> {
    let mut cursor = Cursor::new(payload);
    let mut cursor = Cursor::new(expect(&mut cursor, 0x30)?);
    let version = expect(&mut cursor, 2)?;
    if version == [3] {
        return version_3(scene, &mut cursor, findings);
    }
    expect(&mut cursor, 4)?;
    let (kind, inside) = element(&mut cursor)?;
    pdu(scene, kind, inside, findings)
}

fn pdu(scene: &Scene, kind: u8, inside: &[u8], findings: &mut Findings<'_>) -> Option<()> {
    match kind {
        // Get, get next, get bulk; set.
        0xa0 | 0xa1 | 0xa5 => {
            findings.about_speaker(EvidenceKind::SnmpRole, "manager");
            findings.meaning("SNMP read");
            return Some(());
        }
        0xa3 => {
            findings.about_speaker(EvidenceKind::SnmpRole, "manager");
            findings.meaning("SNMP write");
            return Some(());
        }
        // Traps go from an agent to a manager.
        0xa4 | 0xa7 | 0xa6 => {
            findings.about_speaker(EvidenceKind::SnmpRole, "agent");
            findings.about(&scene.listener(), EvidenceKind::SnmpRole, "manager");
            findings.meaning("SNMP trap");
            if kind == 0xa4 {
                // Version 1: the trap's enterprise is the agent's sysObjectID (RFC 1215).
                let mut cursor = Cursor::new(inside);
                let enterprise = expect(&mut cursor, 6)?;
                object_id(enterprise, findings);
            }
            return Some(());
        }
        0xa2 => {}
        _ => return Some(()),
    }
    findings.about_speaker(EvidenceKind::SnmpRole, "agent");
    let mut cursor = Cursor::new(inside);
    for _ in 0..3 {
        expect(&mut cursor, 2)?;
    }
    let mut bindings = Cursor::new(expect(&mut cursor, 0x30)?);
    for _ in 0..BINDINGS_MAX {
        if bindings.is_empty() {
            break;
        }
        let mut binding = Cursor::new(expect(&mut bindings, 0x30)?);
        let name = expect(&mut binding, 6)?;
        let (kind, value) = element(&mut binding)?;
        variable(name, kind, value, findings);
    }
    Some(())
}

/// `1.3.6.1.2.1`, mib-2.
const MIB_2: &[u8] = &[0x2b, 6, 1, 2, 1];

fn variable(name: &[u8], kind: u8, value: &[u8], findings: &mut Findings<'_>) {
    let Some(below) = name.strip_prefix(MIB_2) else {
        return;
    };
    match (below, kind) {
        ([1, 1, 0], 4) => findings.about_speaker(EvidenceKind::SnmpSysDescr, value),
        ([1, 2, 0], 6) => object_id(value, findings),
        ([1, 5, 0], 4) => findings.about_speaker(EvidenceKind::SnmpSysName, value),
        // hrDeviceDescr.1 (RFC 2790): a printer's name for itself.
        ([25, 3, 2, 1, 3, 1], 4) => entity("description", value, findings),
        // entPhysicalTable (RFC 6933), first entity: the chassis.
        ([47, 1, 1, 1, 1, column, 1], 4) => {
            let name = match column {
                2 => "description",
                9 => "firmware",
                10 => "software",
                11 => "serial",
                12 => "manufacturer",
                13 => "model",
                _ => return,
            };
            entity(name, value, findings);
        }
        // prtGeneralSerialNumber (RFC 3805).
        ([43, 5, 1, 1, 17, 1], 4) => entity("serial", value, findings),
        _ => {}
    }
}

fn entity(name: &str, value: &[u8], findings: &mut Findings<'_>) {
    if !value.is_empty() {
        findings.about_speaker(
            EvidenceKind::SnmpEntity,
            format_args!("{name}={}", Printable(value)),
        );
    }
}

struct Dotted<'a>(&'a [u8]);

impl std::fmt::Display for Dotted<'_> {
    /// X.690 §8.19.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        let mut arc = 0_u64;
        for octet in self.0 {
            arc = arc << 7 | u64::from(octet & 0x7f);
            if octet & 0x80 != 0 {
                continue;
            }
            if first {
                let top = (arc / 40).min(2);
                write!(f, "{top}.{}", arc - top * 40)?;
                first = false;
            } else {
                write!(f, ".{arc}")?;
            }
            arc = 0;
        }
        Ok(())
    }
}

fn object_id(value: &[u8], findings: &mut Findings<'_>) {
    if value.len() <= 64 {
        findings.about_speaker(
            EvidenceKind::SnmpSysObjectId,
            format_args!("{}", Dotted(value)),
        );
    }
}

/// RFC 3412 §6: global data, security parameters, scoped PDU (seldom in the clear).
fn version_3(scene: &Scene, cursor: &mut Cursor<'_>, findings: &mut Findings<'_>) -> Option<()> {
    let mut global = Cursor::new(expect(cursor, 0x30)?);
    expect(&mut global, 2)?;
    expect(&mut global, 2)?;
    let flags = *expect(&mut global, 4)?.first()?;
    let mut security = Cursor::new(expect(cursor, 4)?);
    let mut security = Cursor::new(expect(&mut security, 0x30)?);
    let engine = expect(&mut security, 4)?;
    // The authoritative engine is the agent's: in its own answers.
    if !scene.to_server {
        findings.about_speaker(EvidenceKind::SnmpRole, "agent");
        // RFC 3411 §5: the enterprise number, top bit set.
        if let [a, b, c, d, ..] = engine
            && a & 0x80 != 0
        {
            let enterprise = u32::from_be_bytes([a & 0x7f, *b, *c, *d]);
            findings.about_speaker(EvidenceKind::SnmpEngine, format_args!("{enterprise}"));
        }
    } else {
        findings.about_speaker(EvidenceKind::SnmpRole, "manager");
    }
    if flags & 2 == 0
        && let Some(scoped) = expect(cursor, 0x30)
    {
        let mut scoped = Cursor::new(scoped);
        expect(&mut scoped, 4)?;
        expect(&mut scoped, 4)?;
        let (kind, inside) = element(&mut scoped)?;
        pdu(scene, kind, inside, findings)?;
    } else {
        findings.protection(Protection::Encrypted);
    }
    Some(())
}
