//! Internet Printing Protocol (RFC 8010, RFC 8011) inside HTTP: what a printer says of itself. Names of users and jobs
//! are never looked at.

use domain::observation::EvidenceKind;

use super::Findings;
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::Printable;

const ATTRIBUTES: [&str; 6] = [
    "printer-make-and-model",
    "printer-device-id",
    "printer-firmware-name",
    "printer-firmware-string-version",
    "printer-uuid",
    "printer-dns-sd-name",
];

/// Attributes that are looked at in one message.
const ATTRIBUTES_MAX: usize = 2048;

pub(super) fn message(body: &[u8], from_client: bool, findings: &mut Findings<'_>) {
    let mut cursor = Cursor::new(body);
    let (Some(version), Some(code), Some(_)) =
        (cursor.u8(), cursor.be16_after_minor(), cursor.be32())
    else {
        return;
    };
    if !matches!(version, 1 | 2) {
        findings.malformed(Parser::Ipp);
        return;
    }
    findings.service("ipp");
    if from_client {
        findings.meaning(match code {
            0x0002 | 0x0005 | 0x0006 => "IPP print",
            0x0008 | 0x000c | 0x000d | 0x000e => "IPP job control",
            0x000a | 0x000b | 0x0009 | 0x4002 => "IPP query",
            _ => return,
        });
        return;
    }
    // Group delimiters are below 0x10; 0x03 ends the attributes.
    let mut in_printer = false;
    for _ in 0..ATTRIBUTES_MAX {
        let Some(tag) = cursor.u8() else {
            return;
        };
        if tag < 0x10 {
            if tag == 3 {
                return;
            }
            in_printer = tag == 4;
            continue;
        }
        let Some((name, value)) = attribute(&mut cursor) else {
            return;
        };
        if in_printer && let Some(known) = ATTRIBUTES.iter().find(|known| known.as_bytes() == name)
        {
            findings.about_server(
                EvidenceKind::IppPrinter,
                format_args!("{known}={}", Printable(value)),
            );
        }
    }
}

fn attribute<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let length = usize::from(cursor.be16()?);
    let name = cursor.take(length)?;
    let length = usize::from(cursor.be16()?);
    Some((name, cursor.take(length)?))
}

impl Cursor<'_> {
    /// The operation or status after the minor version.
    fn be16_after_minor(&mut self) -> Option<u16> {
        self.u8()?;
        self.be16()
    }
}
