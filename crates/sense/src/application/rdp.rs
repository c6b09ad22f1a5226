//! RDP connection sequence (MS-RDPBCGR §1.3.1.1): which protection, and name and build of the client where they are in
//! the clear. The cookie and the routing token are never looked at: they hold a person's name.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;
use memchr::memmem;

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict, tls};
use crate::cursor::Cursor;
use crate::text::Utf16Le;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "rdp",
    ports: &[3389],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect,
};

/// TPKT with an X.224 connection request or confirm: its length, and offset of what follows the fixed part.
fn x224(octets: &[u8], code: u8) -> Option<usize> {
    match octets {
        [3, 0, high, low, _, found, _, _, _, _, _, ..] if found & 0xf0 == code => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            (11..=1024).contains(&length).then_some(length)
        }
        _ => None,
    }
}

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    let octets = first.to_server;
    if octets.is_empty() {
        return Verdict::No;
    }
    if octets.len() < 11 {
        let cut = octets[0] == 3 && octets.get(1).is_none_or(|b| *b == 0);
        return if cut { Verdict::Perhaps } else { Verdict::No };
    }
    let Some(length) = x224(octets, 0xe0) else {
        return Verdict::No;
    };
    // What tells it from the other users of TPKT (ISO-on-TCP): a cookie, a negotiation request, or its port.
    let variable = octets.get(11..octets.len().min(length)).unwrap_or_default();
    let negotiates =
        variable.len() >= 8 && variable[variable.len() - 8..].starts_with(&[1, 0, 8, 0]);
    let request = octets
        .get(11..19)
        .is_some_and(|r| r[0] == 1 && r[2] == 8 && r[3] == 0);
    if variable.starts_with(b"Cookie: ") || negotiates || request || first.port_fits {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

pub(super) fn dissect(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let keep = if streams.ended {
        Progress::Done
    } else {
        Progress::KEEP
    };
    let Some(request) = x224(streams.to_server, 0xe0) else {
        return Progress::Done;
    };
    if streams.to_client.len() < 11 {
        return keep;
    }
    let Some(confirm) = x224(streams.to_client, 0xd0) else {
        return Progress::Done;
    };
    let (Some(after_request), Some(after_confirm)) = (
        streams.to_server.get(request..),
        streams.to_client.get(confirm..),
    ) else {
        return keep;
    };
    // RDP_NEG_RSP: type 2, flags, length 8, selected protocol. Without one: standard RDP security.
    let selected = match streams.to_client.get(11..confirm) {
        Some([2, _, 8, 0, a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
        Some([3, ..]) => return Progress::Done,
        _ => 0,
    };
    if selected != 0 {
        findings.protection(Protection::Encrypted);
        let [_, _, client, server] = &mut memory.numbers;
        let done = tls::look(after_request, after_confirm, [client, server], findings);
        return if done { Progress::Done } else { keep };
    }
    // TPKT, X.224 data, MCS Connect-Initial with the settings behind "Duca" (T.124's client key).
    let Some(&[3, 0, high, low]) = after_request.first_chunk() else {
        return keep;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let Some(initial) = after_request.get(..length) else {
        return keep;
    };
    settings(initial, findings);
    Progress::Done
}

/// TS_UD_CS_CORE (MS-RDPBCGR §2.2.1.3.2).
fn settings(initial: &[u8], findings: &mut Findings<'_>) -> Option<()> {
    let at = memmem::find(initial, b"Duca")?;
    let mut cursor = Cursor::new(&initial[at + 4..]);
    // PER length: one octet, or two with the top bit set.
    if cursor.u8()? & 0x80 != 0 {
        cursor.skip(1)?;
    }
    for _ in 0..16 {
        let (kind, length) = (cursor.le16()?, usize::from(cursor.le16()?));
        let mut block = Cursor::new(cursor.take(length.checked_sub(4)?)?);
        if kind == 0xc001 {
            block.skip(4 + 2 + 2 + 2 + 2 + 4)?;
            let build = block.le32()?;
            let name = block.take(32)?;
            findings.about_client(EvidenceKind::RdpClientBuild, format_args!("{build}"));
            findings.about_client(EvidenceKind::RdpClientName, Utf16Le(name));
            return Some(());
        }
    }
    None
}
