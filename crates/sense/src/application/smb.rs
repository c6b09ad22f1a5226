//! SMB 1, 2 and 3 over TCP and the NetBIOS session service (MS-SMB, MS-SMB2, RFC 1002 §4.3): dialect, operating
//! system, host facts of NTLM. Names of users, shares and files are never looked at.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict, ntlm};
use crate::counters::Parser;
use crate::text::Utf16Le;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "smb",
    ports: &[445, 139],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect,
};

/// Messages in both directions that are looked at: negotiation and session setup are the first ones.
const MESSAGES_MAX: u32 = 16;

/// How much of one message is looked at.
const LOOK_MAX: usize = 8 << 10;

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    let is = |octets: &[u8]| match octets {
        [0, 0, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..] => Some(true),
        // NetBIOS session request: two encoded names of 32 letters.
        [0x81, 0, 0, 0x44, 0x20, ..] => Some(true),
        [0x82, 0, 0, 0] | [0x83, 0, 0, 1, ..] if first.port_fits => Some(true),
        [] => None,
        [0, 0, ..] if octets.len() < 8 => None,
        [0] | [0x81] | [0x81, 0] | [0x81, 0, 0] | [0x81, 0, 0, 0x44] => None,
        _ => Some(false),
    };
    match (is(first.to_server), is(first.to_client)) {
        (Some(true), _) | (None, Some(true)) => Verdict::Yes,
        (Some(false), _) | (_, Some(false)) => Verdict::No,
        (None, None) => Verdict::Perhaps,
    }
}

pub(super) fn dissect(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [messages, ..] = &mut memory.numbers;
    let mut direction = |octets: &[u8], from_client: bool| -> Option<u64> {
        let mut at = 0_usize;
        while let Some(&[kind, high, mid, low]) =
            octets.get(at..).and_then(|rest| rest.first_chunk())
        {
            let length =
                usize::try_from(u32::from_be_bytes([0, high, mid, low])).unwrap_or(usize::MAX);
            let rest = &octets[at + 4..];
            if rest.len() < length.min(LOOK_MAX) && !streams.ended {
                break;
            }
            let body = &rest[..rest.len().min(length)];
            match kind {
                0 if !message(body, from_client, findings) => return None,
                0x81 if from_client => session_request(body, findings),
                _ => {}
            }
            *messages += 1;
            at = at.saturating_add(4 + length);
        }
        Some(at as u64)
    };
    let (Some(to_server), Some(to_client)) = (
        direction(streams.to_server, true),
        direction(streams.to_client, false),
    ) else {
        return Progress::Done;
    };
    if *messages > MESSAGES_MAX || streams.ended {
        return Progress::Done;
    }
    Progress::More {
        to_server,
        to_client,
    }
}

/// The calling name of a NetBIOS session request: letters `A` to `P`, one for each half octet.
fn session_request(body: &[u8], findings: &mut Findings<'_>) {
    let Some(encoded) = body.get(35..67).filter(|_| body.get(34) == Some(&0x20)) else {
        return;
    };
    let mut name = [0_u8; 16];
    for (octet, pair) in name.iter_mut().zip(encoded.chunks_exact(2)) {
        let half = |b: u8| b.checked_sub(b'A').filter(|half| *half < 16);
        let (Some(high), Some(low)) = (half(pair[0]), half(pair[1])) else {
            return;
        };
        *octet = high << 4 | low;
    }
    let text = name[..15].trim_ascii_end();
    if !text.is_empty() && text.iter().all(u8::is_ascii_graphic) {
        findings.about_client(
            EvidenceKind::NbnsName,
            format_args!("{}<{:02x}>", crate::text::Printable(text), name[15]),
        );
    }
}

fn le16(octets: &[u8], at: usize) -> Option<u16> {
    let raw = octets.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([raw[0], raw[1]]))
}

/// Looks at one message; false when nothing more can be read in this connection.
fn message(body: &[u8], from_client: bool, findings: &mut Findings<'_>) -> bool {
    match body {
        [0xff, b'S', b'M', b'B', command, ..] => {
            match command {
                0x72 => {
                    negotiate_1(body, from_client, findings);
                }
                0x73 => {
                    let look = &body[..body.len().min(LOOK_MAX)];
                    ntlm::look(look, from_client, findings);
                    session_setup_1(body, from_client, findings);
                }
                _ => {}
            }
            true
        }
        [0xfe, b'S', b'M', b'B', ..] => {
            match le16(body, 12) {
                Some(0) => {
                    negotiate_2(body, from_client, findings);
                }
                Some(1) => ntlm::look(&body[..body.len().min(LOOK_MAX)], from_client, findings),
                _ => {}
            }
            true
        }
        // SMB 3's transform header: encrypted from here on. Compressed ones are left alone too.
        [0xfd, b'S', b'M', b'B', ..] => {
            findings.protection(Protection::Encrypted);
            false
        }
        [0xfc, b'S', b'M', b'B', ..] => true,
        _ => {
            findings.malformed(Parser::Smb);
            false
        }
    }
}

const fn dialect(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0202 => "2.0.2",
        0x0210 => "2.1",
        0x0300 => "3.0",
        0x0302 => "3.0.2",
        0x0311 => "3.1.1",
        _ => return None,
    })
}

/// SMB2 NEGOTIATE (MS-SMB2 §2.2.3, §2.2.4).
fn negotiate_2(body: &[u8], from_client: bool, findings: &mut Findings<'_>) -> Option<()> {
    if from_client {
        let count = usize::from(le16(body, 64 + 2)?).min(16);
        let best = (0..count)
            .filter_map(|index| le16(body, 64 + 36 + index * 2))
            .filter(|number| dialect(*number).is_some())
            .max()?;
        findings.about_client(
            EvidenceKind::SmbDialect,
            format_args!("client {}", dialect(best)?),
        );
    } else {
        let chosen = dialect(le16(body, 64 + 4)?)?;
        findings.about_server(EvidenceKind::SmbDialect, format_args!("server {chosen}"));
    }
    Some(())
}

/// SMB1 NEGOTIATE (MS-CIFS §2.2.4.52): the client lists dialects, the server's answer names an index.
fn negotiate_1(body: &[u8], from_client: bool, findings: &mut Findings<'_>) -> Option<()> {
    let words = usize::from(*body.get(32)?);
    if !from_client {
        // 17 words: NT LM 0.12. Fewer: older. A server that answers so speaks SMB 1.
        if words >= 13 {
            findings.about_server(EvidenceKind::SmbDialect, "server 1");
        }
        return Some(());
    }
    let list = body.get(33 + words * 2 + 2..)?;
    let mut best = "client 1";
    for name in list.split(|b| *b == 0).take(32) {
        match name.strip_prefix(&[2]).unwrap_or(name) {
            b"SMB 2.???" => best = "client 2.???",
            b"SMB 2.002" if best == "client 1" => best = "client 2.0.2",
            _ => {}
        }
    }
    findings.about_client(EvidenceKind::SmbDialect, best);
    Some(())
}

/// SMB1 SESSION_SETUP_ANDX (MS-CIFS §2.2.4.53, MS-SMB §2.2.4.6): the native names at its end. In a request without
/// extended security they follow the account's name and domain, which are passed over.
fn session_setup_1(body: &[u8], from_client: bool, findings: &mut Findings<'_>) -> Option<()> {
    let unicode = le16(body, 10)? & 0x8000 != 0;
    let words = usize::from(*body.get(32)?);
    let word = |index: usize| le16(body, 33 + index * 2);
    let data = 33 + words * 2 + 2;
    let (skip_octets, skip_strings) = match (from_client, words) {
        // Lengths of the two passwords, or of the security blob.
        (true, 13) => (usize::from(word(7)?) + usize::from(word(8)?), 2),
        (true, 12) => (usize::from(word(7)?), 0),
        (false, 4) => (usize::from(word(3)?), 0),
        (false, 3) => (0, 0),
        _ => return None,
    };
    let mut at = data + skip_octets;
    // Strings of two-octet characters are aligned to the message's start.
    if unicode && at % 2 == 1 {
        at += 1;
    }
    let mut strings = Strings {
        rest: body.get(at..)?,
        unicode,
    };
    for _ in 0..skip_strings {
        strings.next()?;
    }
    for kind in [EvidenceKind::SmbNativeOs, EvidenceKind::SmbNativeLm] {
        let value = strings.next()?;
        match (unicode, from_client) {
            (true, true) => findings.about_client(kind, Utf16Le(value)),
            (true, false) => findings.about_server(kind, Utf16Le(value)),
            (false, true) => findings.about_client(kind, value),
            (false, false) => findings.about_server(kind, value),
        }
    }
    Some(())
}

struct Strings<'a> {
    rest: &'a [u8],
    unicode: bool,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (end, after) = if self.unicode {
            let end = self.rest.chunks_exact(2).position(|pair| pair == [0, 0])? * 2;
            (end, end + 2)
        } else {
            let end = memchr::memchr(0, self.rest)?;
            (end, end + 1)
        };
        let (value, rest) = (&self.rest[..end], &self.rest[after..]);
        self.rest = rest;
        Some(value)
    }
}
