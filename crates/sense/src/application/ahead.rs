//! What stands in front of another protocol: STARTTLS (RFC 3207, 2595), the PROXY protocol of load balancers, SOCKS
//! (RFC 1928).

use domain::conversation::Protection;
use memchr::memmem;

use super::{Findings, First, Memory, Progress, Scene, StreamProtocol, Streams, Verdict};

/// Octets of each direction in which the beginning of TLS is looked for.
const CLEAR_MAX: usize = 4 << 10;

/// A line's end, then a TLS handshake record.
const TLS_BEGINS: &[u8] = b"\r\n\x16\x03";

/// First octets of version 2 of the PROXY protocol.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

pub(super) static PROXY: StreamProtocol = StreamProtocol {
    service: "proxy",
    ports: &[],
    protection: Protection::Unknown,
    follows: false,
    recognise: recognise_proxy,
    dissect: proxy,
};

pub(super) static SOCKS: StreamProtocol = StreamProtocol {
    service: "socks",
    ports: &[1080],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_socks,
    dissect: socks,
};

/// After a protocol's own facts are found: TLS, when the client asks for it within the first kilobytes.
pub(super) fn then_tls(progress: Progress, streams: &Streams<'_>) -> Progress {
    if progress != Progress::Done || streams.ended {
        return progress;
    }
    let begins = |octets: &[u8]| memmem::find(octets, TLS_BEGINS).map(|at| at + 2);
    match begins(streams.to_server) {
        Some(to_server) => Progress::Again {
            to_server,
            to_client: begins(streams.to_client).unwrap_or(streams.to_client.len()),
        },
        None if streams.to_server.len().max(streams.to_client.len()) < CLEAR_MAX => Progress::KEEP,
        None => Progress::Done,
    }
}

fn recognise_proxy(first: &First<'_>) -> Verdict {
    let octets = first.to_server;
    let is = |start: &[u8]| octets.starts_with(start);
    if is(b"PROXY TCP") || is(b"PROXY UNKNOWN") || is(SIGNATURE) {
        Verdict::Yes
    } else if !octets.is_empty() && (b"PROXY ".starts_with(octets) || SIGNATURE.starts_with(octets))
    {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

fn proxy(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    _findings: &mut Findings<'_>,
) -> Progress {
    let octets = streams.to_server;
    let length = if octets.starts_with(SIGNATURE) {
        // Version and command, family, length of the addresses.
        let announced = octets
            .get(14..16)
            .map(|two| u16::from_be_bytes([two[0], two[1]]));
        announced.map(|length| 16 + usize::from(length))
    } else {
        // At most 107 octets.
        memmem::find(&octets[..octets.len().min(107)], b"\r\n").map(|at| at + 2)
    };
    match length {
        Some(length) if length <= octets.len() => Progress::Again {
            to_server: length,
            to_client: 0,
        },
        _ if octets.len() > CLEAR_MAX || streams.ended => Progress::Done,
        _ => Progress::KEEP,
    }
}

/// Version 5, methods, and the server's choice among them; or version 4 with a request.
fn recognise_socks(first: &First<'_>) -> Verdict {
    let (sent, received) = (first.to_server, first.to_client);
    match sent {
        [5, count @ 1..=8, methods @ ..] if methods.len() >= usize::from(*count) => {
            match received {
                [] if methods.len() == usize::from(*count) => Verdict::Perhaps,
                [5, 0 | 2, ..] => Verdict::Yes,
                _ => Verdict::No,
            }
        }
        [4, 1, _, _, _, _, _, _, ..] if first.port_fits => Verdict::Yes,
        [5] | [5, ..] if sent.len() < 4 => Verdict::Perhaps,
        [4, ..] if first.port_fits && sent.len() < 8 => Verdict::Perhaps,
        _ => Verdict::No,
    }
}

/// Where the client's own words begin behind a request of version 5 at `at`.
fn request(octets: &[u8], at: usize) -> Option<usize> {
    let length = match *octets.get(at..at + 5)? {
        [5, 1, 0, 1, _] | [5, 0, 0, 1, _] => 10,
        [5, 1, 0, 4, _] | [5, 0, 0, 4, _] => 22,
        [5, 1, 0, 3, name] | [5, 0, 0, 3, name] => 7 + usize::from(name),
        _ => return None,
    };
    (octets.len() >= at + length).then_some(at + length)
}

fn socks(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    _findings: &mut Findings<'_>,
) -> Progress {
    let (sent, received) = (streams.to_server, streams.to_client);
    let behind = match sent {
        [5, count, ..] => {
            let asked = 2 + usize::from(*count);
            match received.get(1) {
                // No password.
                Some(0) => request(sent, asked).zip(request(received, 2)),
                // A password: what it is, is none of our business.
                Some(_) => return Progress::Done,
                None => None,
            }
        }
        [4, 1, _, _, address @ ..] => {
            // A name of the user, and of the host when the address says so (version 4a), each with NUL behind it.
            let mut ends = memchr::memchr_iter(0, sent.get(8..).unwrap_or_default());
            let named = matches!(address, [0, 0, 0, last, ..] if *last != 0);
            let end = if named { ends.nth(1) } else { ends.next() };
            end.map(|end| 8 + end + 1)
                .zip((received.len() >= 8).then_some(8))
        }
        _ => return Progress::Done,
    };
    match behind {
        // The server may speak first: the client's octets, or the server's, show what it is.
        Some((to_server, to_client)) => Progress::Again {
            to_server,
            to_client,
        },
        None if sent.len().max(received.len()) < 1024 && !streams.ended => Progress::KEEP,
        None => Progress::Done,
    }
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{outbox, scene};
    use crate::findings::Notes;

    fn progress(protocol: &StreamProtocol, to_server: &[u8], to_client: &[u8]) -> Progress {
        let first = First {
            to_server,
            to_client,
            server_port: 1080,
            port_fits: true,
        };
        assert_eq!((protocol.recognise)(&first), Verdict::Yes);
        let scene = scene(Transport::Tcp, 1080);
        let (mut out, mut notes) = (outbox(), Notes::default());
        let mut findings = Findings {
            scene,
            out: &mut out,
            notes: &mut notes,
        };
        let streams = Streams {
            to_server,
            to_client,
            ..Streams::default()
        };
        (protocol.dissect)(&scene, &streams, &mut Memory::default(), &mut findings)
    }

    #[test]
    fn a_preface_is_passed_over() {
        let again = |to_server, to_client| Progress::Again {
            to_server,
            to_client,
        };
        let line = b"PROXY TCP4 10.0.0.1 10.0.0.2 5 443\r\n\x16\x03\x01";
        assert_eq!(progress(&PROXY, line, &[]), again(36, 0));
        let binary = [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &[0; 12], b"GET"].concat();
        assert_eq!(progress(&PROXY, &binary, &[]), again(28, 0));
        assert_eq!(progress(&PROXY, &binary[..20], &[]), Progress::KEEP);
        let asks = b"\x05\x01\x00\x05\x01\x00\x03\x04pacs\x00\x50GET /";
        let grants = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";
        assert_eq!(progress(&SOCKS, asks, grants), again(14, 12));
        assert_eq!(
            progress(&SOCKS, b"\x05\x01\x02", b"\x05\x02"),
            Progress::Done
        );
        assert_eq!(
            progress(&SOCKS, b"\x04\x01\x00\x50\x0a\x00\x00\x01\x00GET", &[0; 8]),
            again(9, 8)
        );
    }

    #[test]
    fn tls_after_starttls_is_found() {
        let streams = Streams {
            to_server: b"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01",
            to_client: b"220 a\r\n220 go\r\n",
            ..Streams::default()
        };
        assert_eq!(
            then_tls(Progress::Done, &streams),
            Progress::Again {
                to_server: 18,
                to_client: 15
            }
        );
        let streams = Streams {
            to_server: b"EHLO a\r\n",
            ..Streams::default()
        };
        assert_eq!(then_tls(Progress::Done, &streams), Progress::KEEP);
    }
}
