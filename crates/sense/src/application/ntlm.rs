//! NTLM messages wherever they are carried (MS-NLMP §2.2.1): computer, domain, version. Never the user.

use domain::observation::EvidenceKind;
use memchr::memmem;

use super::Findings;
use crate::text::Utf16Le;

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// Longest name that is taken, in octets of UTF-16.
const NAME_MAX: usize = 510;

/// Finds the NTLM messages in `octets`, sent by the client or by the server.
pub(super) fn look(octets: &[u8], from_client: bool, findings: &mut Findings<'_>) {
    for at in memmem::find_iter(octets, SIGNATURE).take(4) {
        message(&octets[at..], from_client, findings);
    }
}

/// The same for base64 text, as HTTP and SMTP carry it.
pub(super) fn look_base64(text: &[u8], from_client: bool, findings: &mut Findings<'_>) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    // "NTLMSSP" in base64; Negotiate may wrap it, and then it stands at another offset.
    let text = text.trim_ascii();
    let mut plain = [0_u8; 3072];
    let whole = text.len().min(4096) / 4 * 4;
    if let Ok(length) = STANDARD.decode_slice(&text[..whole], &mut plain) {
        look(&plain[..length], from_client, findings);
    }
}

fn le16(octets: &[u8], at: usize) -> Option<u16> {
    let raw = octets.get(at..at + 2)?;
    Some(u16::from_le_bytes([raw[0], raw[1]]))
}

fn le32(octets: &[u8], at: usize) -> Option<u32> {
    let raw = octets.get(at..at + 4)?;
    Some(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))
}

/// A field: length, room, offset from the start of the message.
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(le16(message, at)?);
    let offset = usize::try_from(le32(message, at + 4)?).ok()?;
    message.get(offset..offset.checked_add(length)?)
}

fn message(message: &[u8], from_client: bool, findings: &mut Findings<'_>) -> Option<()> {
    const UNICODE: u32 = 1;
    const VERSION: u32 = 0x0200_0000;
    let mut say = |kind, value: &[u8], unicode: bool| {
        if value.is_empty() || value.len() > NAME_MAX {
            return;
        }
        match (unicode, from_client) {
            (true, true) => findings.about_client(kind, Utf16Le(value)),
            (true, false) => findings.about_server(kind, Utf16Le(value)),
            (false, true) => findings.about_client(kind, value),
            (false, false) => findings.about_server(kind, value),
        }
    };
    match le32(message, 8)? {
        // NEGOTIATE: OEM names when the client says so.
        1 if from_client => {
            let flags = le32(message, 12)?;
            if flags & 0x1000 != 0 {
                say(EvidenceKind::NtlmDomain, field(message, 16)?, false);
            }
            if flags & 0x2000 != 0 {
                say(EvidenceKind::NtlmComputer, field(message, 24)?, false);
            }
            if flags & VERSION != 0 {
                version(message, 32, from_client, findings);
            }
        }
        // CHALLENGE: target information is a list of attribute and value pairs.
        2 if !from_client => {
            let flags = le32(message, 20)?;
            if flags & VERSION != 0 {
                version(message, 48, from_client, findings);
            }
            let mut pairs = field(message, 40)?;
            for _ in 0..16 {
                let (id, length) = (le16(pairs, 0)?, usize::from(le16(pairs, 2)?));
                let value = pairs.get(4..4 + length)?;
                let kind = match id {
                    1 | 3 => Some(EvidenceKind::NtlmComputer),
                    2 | 4 => Some(EvidenceKind::NtlmDomain),
                    0 => return Some(()),
                    _ => None,
                };
                if let Some(kind) = kind
                    && !value.is_empty()
                    && value.len() <= NAME_MAX
                {
                    findings.about_server(kind, Utf16Le(value));
                }
                pairs = &pairs[4 + length..];
            }
        }
        // AUTHENTICATE: domain at 28, user at 36 (left alone), workstation at 44.
        3 if from_client => {
            let unicode = le32(message, 60)? & UNICODE != 0;
            say(EvidenceKind::NtlmComputer, field(message, 44)?, unicode);
            say(EvidenceKind::NtlmDomain, field(message, 28)?, unicode);
            if le32(message, 60)? & VERSION != 0 {
                version(message, 64, from_client, findings);
            }
        }
        _ => {}
    }
    Some(())
}

fn version(message: &[u8], at: usize, from_client: bool, findings: &mut Findings<'_>) {
    let Some(&[major, minor, low, high, _, _, _, revision]) = message
        .get(at..at + 8)
        .and_then(|raw| <&[u8; 8]>::try_from(raw).ok())
    else {
        return;
    };
    // Zeroes: Samba and others that do not say; the revision is 15 since Windows Server 2003.
    if major == 0 || revision == 0 {
        return;
    }
    let build = u16::from_le_bytes([low, high]);
    let value = format_args!("{major}.{minor}.{build}");
    if from_client {
        findings.about_client(EvidenceKind::NtlmVersion, value);
    } else {
        findings.about_server(EvidenceKind::NtlmVersion, value);
    }
}
