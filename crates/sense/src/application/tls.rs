//! TLS over TCP and DTLS over UDP: JA4, server name, what the server chose, certificates while they are in the clear
//! (up to TLS 1.2).

use super::DatagramProtocol;
use super::StreamProtocol;
use domain::conversation::Protection;
use std::borrow::Cow;

use domain::observation::EvidenceKind;

use super::hello::{ClientHello, ServerHello};
use super::ja4::{Carrier, ja4};
use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict, certificate};
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::Lower;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "tls",
    ports: &[
        443, 8443, 636, 993, 995, 465, 990, 853, 2762, 5061, 5671, 8883, 5986, 3269, 802,
    ],
    protection: Protection::Encrypted,
    follows: false,
    recognise,
    dissect,
};

pub(super) static DTLS: DatagramProtocol = DatagramProtocol {
    service: "dtls",
    ports: &[443, 4433, 5684],
    protection: Protection::Encrypted,
    depth: 16,
    recognise: Some(recognise_dtls),
    dissect: dtls,
};

/// Longest run of handshake records that is put together in one direction.
const HANDSHAKE_MAX: usize = 32 << 10;

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    match (opens(first.to_server), opens(first.to_client)) {
        (Opens::Hello(1), _) | (_, Opens::Hello(2)) => Verdict::Yes,
        (Opens::Hello(2), _) | (_, Opens::Hello(1)) => Verdict::Reversed,
        (Opens::Record, _) | (_, Opens::Record) => Verdict::Yes,
        (Opens::Perhaps, _) => Verdict::Perhaps,
        (_, Opens::Perhaps) if first.to_server.is_empty() => Verdict::Perhaps,
        _ => Verdict::No,
    }
}

enum Opens {
    /// A handshake record with a message of this type.
    Hello(u8),
    /// Another whole record, as in the middle of a connection.
    Record,
    Perhaps,
    No,
}

fn opens(octets: &[u8]) -> Opens {
    match octets {
        [] => Opens::No,
        [22, 3, 0..=4, _, _, kind @ (1 | 2), 0, ..] => Opens::Hello(*kind),
        // Application data or an alert: only with a second record right behind it, or nothing, is this more than chance.
        [20 | 21 | 23, 3, 0..=4, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let fits = (1..=(1 << 14) + 2048).contains(&length);
            match octets.get(5 + length..) {
                Some([20..=23, 3, 0..=4, ..] | []) if fits => Opens::Record,
                None if fits && octets.len() < 2048 => Opens::Perhaps,
                None if fits => Opens::Record,
                _ => Opens::No,
            }
        }
        // SSL 2's ClientHello that offers SSL 3 or TLS.
        [0x80, _, 1, 3, 0..=3, ..] => Opens::Hello(1),
        [22]
        | [22, 3]
        | [22, 3, 0..=4]
        | [22, 3, 0..=4, _]
        | [22, 3, 0..=4, _, _]
        | [22, 3, 0..=4, _, _, 1 | 2] => Opens::Perhaps,
        [20 | 21 | 23]
        | [20 | 21 | 23, 3]
        | [20 | 21 | 23, 3, 0..=4]
        | [20 | 21 | 23, 3, 0..=4, _] => Opens::Perhaps,
        _ => Opens::No,
    }
}

pub(super) fn dissect(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [client, server, ..] = &mut memory.numbers;
    let done = look(
        streams.to_server,
        streams.to_client,
        [client, server],
        findings,
    );
    if done || streams.ended {
        Progress::Done
    } else {
        Progress::KEEP
    }
}

/// Nothing was read yet.
const NOTHING: u32 = 0;
/// The hello was read.
const HELLO: u32 = 1;
/// All that can be read was.
const DONE: u32 = 2;

/// Reads both directions from their first record on; says whether all that can be read was. `phases` are zero at
/// first, for the client and for the server.
pub(super) fn look(
    to_server: &[u8],
    to_client: &[u8],
    phases: [&mut u32; 2],
    findings: &mut Findings<'_>,
) -> bool {
    let [client, server] = phases;
    if *client != DONE {
        *client = direction(to_server, *client, true, findings);
    }
    if *server != DONE {
        *server = direction(to_client, *server, false, findings);
        // TLS 1.3: no certificate will come in the clear, from either side.
        if *server == DONE && *client == HELLO && !to_client.is_empty() && chose_13(to_client) {
            *client = DONE;
        }
    }
    *client == DONE && *server == DONE
}

fn chose_13(to_client: &[u8]) -> bool {
    let octets = handshake(to_client).0;
    octets.first() == Some(&2)
        && octets
            .get(4..)
            .and_then(ServerHello::read)
            .is_some_and(|hello| hello.version == 0x0304)
}

/// The handshake messages of the leading records, put together, and whether more of them may come.
fn handshake(octets: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut cursor = Cursor::new(octets);
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let before = cursor;
        let (Some(kind), Some(version), Some(length)) = (cursor.u8(), cursor.be16(), cursor.be16())
        else {
            return (joined, before.len() < 5);
        };
        if kind != 22 || version >> 8 != 3 || length == 0 {
            // ChangeCipherSpec, an alert, or what is not TLS: the rest is not in the clear.
            return (joined, false);
        }
        let part = cursor.take_up_to(usize::from(length));
        if joined.is_empty() {
            joined = Cow::Borrowed(part);
        } else {
            let room = HANDSHAKE_MAX.saturating_sub(joined.len());
            joined
                .to_mut()
                .extend_from_slice(&part[..part.len().min(room)]);
            if part.len() > room {
                return (joined, false);
            }
        }
        if part.len() < usize::from(length) {
            return (joined, true);
        }
    }
}

fn direction(octets: &[u8], phase: u32, from_client: bool, findings: &mut Findings<'_>) -> u32 {
    if octets.is_empty() {
        return phase;
    }
    if phase == NOTHING && octets[0] == 0x80 {
        // SSL 2's hello: recognised, not read.
        return DONE;
    }
    let (joined, more) = handshake(octets);
    let mut cursor = Cursor::new(&joined);
    let mut phase = phase;
    let said_hello = phase != NOTHING;
    while let (Some(kind), Some(length)) = (cursor.u8(), cursor.be24()) {
        let Some(body) = cursor.take(usize::try_from(length).unwrap_or(usize::MAX)) else {
            break;
        };
        match kind {
            1 if from_client && !said_hello => {
                match ClientHello::read(body, false) {
                    Some(hello) => client_hello(&hello, Carrier::Tcp, findings),
                    None => findings.malformed(Parser::Tls),
                }
                phase = HELLO;
            }
            2 if !from_client && !said_hello => {
                phase = HELLO;
                match ServerHello::read(body) {
                    Some(hello) => {
                        server_hello(hello, findings);
                        if hello.version == 0x0304 {
                            return DONE;
                        }
                    }
                    None => findings.malformed(Parser::Tls),
                }
            }
            11 => {
                let party = if from_client {
                    findings.scene.client
                } else {
                    findings.scene.server
                };
                // The list's length, then each certificate with its length: the first is its own.
                if let Some(der) = body.get(3..).and_then(|list| {
                    let mut list = Cursor::new(list);
                    let length = usize::try_from(list.be24()?).ok()?;
                    list.take(length)
                }) {
                    certificate::look(der, &party, findings);
                }
                return DONE;
            }
            _ => {}
        }
    }
    if more { phase } else { DONE }
}

fn client_hello(hello: &ClientHello<'_>, carrier: Carrier, findings: &mut Findings<'_>) {
    findings.about_client(EvidenceKind::TlsJa4, ja4(hello, carrier).as_str());
    if let Some(name) = hello.server_name() {
        findings.about_client(EvidenceKind::TlsServerName, Lower(name));
        if let Ok(name) = std::str::from_utf8(name) {
            findings.server_name(name);
        }
    }
}

fn server_hello(hello: ServerHello, findings: &mut Findings<'_>) {
    findings.about_server(
        EvidenceKind::TlsServer,
        format_args!("{} {:04x}", hello.version_text(), hello.cipher),
    );
}

/// Whether a datagram is a DTLS record (RFC 9147 §4, RFC 6347 §4.1).
pub(super) fn recognise_dtls(_scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [
            20..=23,
            0xfe,
            0xff | 0xfd | 0xfc,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            high,
            low,
            ..,
        ] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length > 0 && payload.len() >= 13 + length
        }
        _ => false,
    }
}

pub(super) fn dtls(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !recognise_dtls(scene, payload) {
        return false;
    }
    if payload[0] != 22 {
        return true;
    }
    // Record header 13, handshake header 12; only a message that is whole in its first fragment is read.
    let mut cursor = Cursor::new(&payload[13..]);
    let read = (|| {
        let kind = cursor.u8()?;
        let length = cursor.be24()?;
        cursor.be16()?;
        let (offset, fragment) = (cursor.be24()?, cursor.be24()?);
        (offset == 0 && fragment == length).then_some(())?;
        Some((kind, cursor.take(usize::try_from(length).ok()?)?))
    })();
    match read {
        Some((1, body)) => {
            if let Some(hello) = ClientHello::read(body, true) {
                client_hello(&hello, Carrier::Dtls, findings);
            }
        }
        Some((2, body)) => {
            if let Some(hello) = ServerHello::read(body) {
                server_hello(hello, findings);
            }
        }
        _ => {}
    }
    true
}
