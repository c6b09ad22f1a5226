//! Protocols that greet or speak in lines of text: FTP, SMTP, POP3, IMAP, Telnet, RTSP, SIP, HP's printer job language.
//! Only the greeting, the product's name and its version are taken.

use super::DatagramProtocol;
use super::StreamProtocol;
use domain::conversation::{Opening, Protection};
use domain::observation::EvidenceKind;
use memchr::{memchr, memmem};

use super::head::{Found, head, line_names};
use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::text::Printable;

pub(super) static FTP: StreamProtocol = StreamProtocol {
    service: "ftp",
    ports: &[21],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_ftp,
    dissect: ftp,
};

pub(super) static SMTP: StreamProtocol = StreamProtocol {
    service: "smtp",
    ports: &[25, 587],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_smtp,
    dissect: smtp,
};

pub(super) static TELNET: StreamProtocol = StreamProtocol {
    service: "telnet",
    ports: &[23],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_telnet,
    dissect: telnet,
};

pub(super) static POP3: StreamProtocol = StreamProtocol {
    service: "pop3",
    ports: &[110],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_pop3,
    dissect: mailbox,
};

pub(super) static IMAP: StreamProtocol = StreamProtocol {
    service: "imap",
    ports: &[143],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_imap,
    dissect: mailbox,
};

pub(super) static RTSP: StreamProtocol = StreamProtocol {
    service: "rtsp",
    ports: &[554, 8554],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_rtsp,
    dissect: rtsp,
};

pub(super) static SIP: StreamProtocol = StreamProtocol {
    service: "sip",
    ports: &[5060],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_sip,
    dissect: sip,
};

pub(super) static JETDIRECT: StreamProtocol = StreamProtocol {
    service: "jetdirect",
    ports: &[9100, 9101, 9102],
    protection: Protection::Cleartext,
    follows: false,
    recognise: recognise_jetdirect,
    dissect: jetdirect,
};

pub(super) static SIP_DATAGRAMS: DatagramProtocol = DatagramProtocol {
    service: "sip",
    ports: &[5060],
    protection: Protection::Cleartext,
    depth: 32,
    recognise: Some(recognise_sip_datagram),
    dissect: sip_datagram,
};

/// Longest greeting that is taken.
const LINE_MAX: usize = 512;

/// The first line, when it is whole or no more will come.
fn first_line(octets: &[u8], ended: bool) -> Option<&[u8]> {
    let within = &octets[..octets.len().min(LINE_MAX)];
    match memchr(b'\n', within) {
        Some(end) => Some(within[..end].trim_ascii()),
        None if ended || within.len() == LINE_MAX => Some(within.trim_ascii()),
        None => None,
    }
}

fn greeting(
    streams: &Streams<'_>,
    kind: EvidenceKind,
    prefix: &[u8],
    findings: &mut Findings<'_>,
) -> Progress {
    match first_line(streams.to_client, streams.ended) {
        None => Progress::KEEP,
        Some(line) => {
            if let Some(text) = line.strip_prefix(prefix) {
                let text = text.trim_ascii_start();
                let text = text.strip_prefix(b"-").unwrap_or(text);
                findings.about_server(kind, text);
            }
            Progress::Done
        }
    }
}

/// Both greet with 220: the port, what the client says, or the greeting's own words tell them apart.
fn is_220(
    first: &First<'_>,
    other_words: &[&[u8]],
    own_words: &[&[u8]],
    commands: &[&[u8]],
) -> Verdict {
    if !first.to_client.starts_with(b"220") {
        return if b"220".starts_with(first.to_client) && first.to_server.is_empty() {
            Verdict::Perhaps
        } else {
            Verdict::No
        };
    }
    let said = |words: &[&[u8]]| {
        let line = &first.to_client[..first.to_client.len().min(256)];
        words.iter().any(|word| super::head::holds(line, word))
    };
    let asks = commands.iter().any(|command| {
        first
            .to_server
            .get(..command.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(command))
    });
    if asks || said(own_words) {
        Verdict::Yes
    } else if said(other_words) {
        Verdict::No
    } else if first.port_fits {
        Verdict::Yes
    } else if first.to_server.is_empty() {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

pub(super) fn recognise_ftp(first: &First<'_>) -> Verdict {
    is_220(
        first,
        &[b"smtp"],
        &[b"ftp"],
        &[b"USER ", b"AUTH TLS", b"FEAT"],
    )
}

pub(super) fn ftp(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    greeting(streams, EvidenceKind::FtpBanner, b"220", findings)
}

pub(super) fn recognise_smtp(first: &First<'_>) -> Verdict {
    is_220(first, &[b"ftp"], &[b"smtp"], &[b"EHLO", b"HELO"])
}

pub(super) fn smtp(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    super::ahead::then_tls(
        greeting(streams, EvidenceKind::SmtpBanner, b"220", findings),
        streams,
    )
}

/// Telnet: a command of option negotiation (RFC 854) in either direction, or its port.
pub(super) fn recognise_telnet(first: &First<'_>) -> Verdict {
    let negotiates =
        |octets: &[u8]| matches!(octets, [0xff, 0xfb..=0xfe, option, ..] if *option < 0x40);
    let cut = |octets: &[u8]| matches!(octets, [0xff] | [0xff, 0xfb..=0xfe]);
    if negotiates(first.to_client) || negotiates(first.to_server) {
        return Verdict::Yes;
    }
    if cut(first.to_client) || cut(first.to_server) {
        return Verdict::Perhaps;
    }
    let text = |b: &u8| b.is_ascii() && (*b >= b' ' || b.is_ascii_whitespace() || *b == 0x1b);
    if first.port_fits && !first.to_client.is_empty() && first.to_client.iter().take(64).all(text) {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

/// The greeting before the client types anything: once a prompt is there, or text was typed, it is over. What comes in
/// the middle of a session is somebody's work.
fn telnet(
    scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let begins = scene.opening == Opening::Seen && !streams.gap_to_client && !streams.gap_to_server;
    if !begins {
        return Progress::Done;
    }
    let mut typed = [0_u8; 16];
    if plain(streams.to_server, &mut typed) > 0 && streams.to_client.is_empty() {
        return Progress::Done;
    }
    let mut text = [0_u8; 256];
    let length = plain(streams.to_client, &mut text);
    let text = &text[..length];
    let prompt = text
        .iter()
        .rposition(|b| !b.is_ascii_whitespace())
        .is_some_and(|at| matches!(text[at], b':' | b'>' | b'#' | b'$'));
    if !prompt && length < 256 && !streams.ended && plain(streams.to_server, &mut typed) == 0 {
        return Progress::KEEP;
    }
    findings.about_server(EvidenceKind::TelnetBanner, text.trim_ascii());
    Progress::Done
}

/// Copies what is left without Telnet's commands (RFC 854, RFC 855); gives its length.
fn plain(octets: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut length) = (0, 0);
    while let Some(&octet) = octets.get(at) {
        if length == out.len() {
            break;
        }
        match (octet, octets.get(at + 1)) {
            (0xff, Some(0xfb..=0xfe)) => at += 3,
            (0xff, Some(0xfa)) => {
                let end = memmem::find(&octets[at..], &[0xff, 0xf0]);
                at = end.map_or(octets.len(), |end| at + end + 2);
            }
            (0xff, _) => at += 2,
            (0, _) => at += 1,
            _ => {
                out[length] = octet;
                length += 1;
                at += 1;
            }
        }
    }
    length
}

/// POP3, IMAP, and what else greets with a word of its own.
pub(super) fn recognise_pop3(first: &First<'_>) -> Verdict {
    let asks = [&b"CAPA"[..], b"USER ", b"AUTH", b"STLS", b"APOP "]
        .iter()
        .any(|command| first.to_server.starts_with(command));
    if first.to_client.starts_with(b"+OK") && (first.port_fits || asks) {
        Verdict::Yes
    } else if b"+OK".starts_with(first.to_client) && first.to_server.is_empty() {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

pub(super) fn recognise_imap(first: &First<'_>) -> Verdict {
    let greets = first.to_client.starts_with(b"* OK") || first.to_client.starts_with(b"* PREAUTH");
    if greets {
        Verdict::Yes
    } else if first.to_client.len() < 4
        && b"* OK".starts_with(first.to_client)
        && first.to_server.is_empty()
    {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

/// For mail readers' protocols: nothing of them, and what is said in the clear before TLS begins is passed over.
pub(super) fn mailbox(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    _findings: &mut Findings<'_>,
) -> Progress {
    super::ahead::then_tls(Progress::Done, streams)
}

/// For protocols that are recognised and no more.
pub(super) fn nothing(
    _scene: &Scene,
    _streams: &Streams<'_>,
    _memory: &mut Memory,
    _findings: &mut Findings<'_>,
) -> Progress {
    Progress::Done
}

/// Whether a stream speaks lines that end with `version`, or answers that begin with it.
fn speaks(first: &First<'_>, version: &[u8], answer: &[u8]) -> Verdict {
    let letter = |octets: &[u8]| octets.first().is_some_and(u8::is_ascii_uppercase);
    if first.to_server.starts_with(answer) {
        return Verdict::Reversed;
    }
    if letter(first.to_server) {
        return match line_names(first.to_server, version) {
            Some(true) => Verdict::Yes,
            Some(false) => Verdict::No,
            None if first
                .to_server
                .iter()
                .all(|b| (b' '..=b'~').contains(b) || *b == b'\r') =>
            {
                Verdict::Perhaps
            }
            None => Verdict::No,
        };
    }
    if first.to_server.is_empty() && first.to_client.starts_with(answer) {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

pub(super) fn recognise_rtsp(first: &First<'_>) -> Verdict {
    speaks(first, b" RTSP/1.", b"RTSP/1.")
}

pub(super) fn rtsp(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [client, server, ..] = &mut memory.numbers;
    for (octets, from_client, done) in [
        (streams.to_server, true, client),
        (streams.to_client, false, server),
    ] {
        if *done != 0 || octets.is_empty() {
            continue;
        }
        let head = match head(octets) {
            Found::Whole(head) => head,
            Found::Part(head) if streams.ended => head,
            Found::Part(_) => continue,
            Found::No => {
                *done = 1;
                continue;
            }
        };
        *done = 1;
        if memmem::find(head.line, b"RTSP/1.").is_none() {
            continue;
        }
        if from_client {
            if let Some(agent) = head.field(b"user-agent") {
                findings.about_client(EvidenceKind::RtspUserAgent, agent);
            }
        } else {
            if let Some(server) = head.field(b"server") {
                findings.about_server(EvidenceKind::RtspServer, server);
            }
            if let Some(challenge) = head.field(b"www-authenticate")
                && let Some(at) = memmem::find(challenge, b"realm=\"")
                && let Some(end) = memchr(b'"', &challenge[at + 7..])
                && end <= 128
            {
                findings.about_server(EvidenceKind::HttpRealm, &challenge[at + 7..at + 7 + end]);
            }
        }
    }
    if memory.numbers[0] != 0 && memory.numbers[1] != 0 || streams.ended {
        Progress::Done
    } else {
        Progress::KEEP
    }
}

pub(super) fn recognise_sip(first: &First<'_>) -> Verdict {
    speaks(first, b" SIP/2.0", b"SIP/2.0 ")
}

pub(super) fn sip(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [client, server, ..] = &mut memory.numbers;
    for (octets, from_client, done) in [
        (streams.to_server, true, client),
        (streams.to_client, false, server),
    ] {
        if *done == 0
            && let Found::Whole(head) = head(octets)
            && memmem::find(head.line, b"SIP/2.0").is_some()
        {
            *done = 1;
            sip_agent(&head, from_client, findings);
        }
    }
    if memory.numbers[0] != 0 && memory.numbers[1] != 0 || streams.ended {
        Progress::Done
    } else {
        Progress::KEEP
    }
}

fn sip_agent(head: &super::head::Head<'_>, from_client: bool, findings: &mut Findings<'_>) {
    for name in [&b"user-agent"[..], b"server"] {
        if let Some(agent) = head.field(name) {
            if from_client {
                findings.about_client(EvidenceKind::SipUserAgent, agent);
            } else {
                findings.about_server(EvidenceKind::SipUserAgent, agent);
            }
        }
    }
}

pub(super) fn recognise_sip_datagram(_scene: &Scene, payload: &[u8]) -> bool {
    payload.starts_with(b"SIP/2.0 ")
        || (payload.first().is_some_and(u8::is_ascii_uppercase)
            && line_names(payload, b" SIP/2.0") == Some(true))
}

pub(super) fn sip_datagram(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    if !recognise_sip_datagram(scene, payload) {
        // Keep-alive of RFC 5626: empty lines.
        return payload.iter().all(|b| matches!(b, b'\r' | b'\n' | 0));
    }
    if let Found::Whole(head) | Found::Part(head) = head(payload) {
        sip_agent(&head, scene.to_server, findings);
    }
    true
}

/// HP's raw printing port: printer job language, PostScript, PCL, PDF.
pub(super) fn recognise_jetdirect(first: &First<'_>) -> Verdict {
    let octets = first.to_server;
    if octets.starts_with(b"\x1b%-12345X") || octets.starts_with(b"@PJL") {
        return Verdict::Yes;
    }
    if octets.len() < 9 && !octets.is_empty() && b"\x1b%-12345X".starts_with(octets) {
        return Verdict::Perhaps;
    }
    let prints = octets.starts_with(b"%!PS")
        || octets.starts_with(b"\x1bE")
        || octets.starts_with(b"%PDF")
        || octets.starts_with(b"^XA");
    if first.port_fits && prints {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

/// The answer to `@PJL INFO ID` and to `INFO CONFIG` (PJL Technical Reference §7). Names of jobs and users, which PJL
/// carries too, are never looked at.
pub(super) fn jetdirect(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [looked, ..] = &mut memory.numbers;
    if *looked == 0 && !streams.to_server.is_empty() {
        *looked = 1;
        findings.meaning("print");
    }
    let answer = &streams.to_client[..streams.to_client.len().min(4096)];
    if let Some(at) = memmem::find(answer, b"@PJL INFO ID") {
        let mut lines = answer[at..].split(|b| *b == b'\n');
        lines.next();
        if let (Some(line), true) = (lines.next(), lines.next().is_some()) {
            let name = line.trim_ascii();
            let name = name.strip_prefix(b"\"").unwrap_or(name);
            let name = name.strip_suffix(b"\"").unwrap_or(name);
            if !name.is_empty() {
                findings.about_server(
                    EvidenceKind::IppPrinter,
                    format_args!("pjl-id={}", Printable(name)),
                );
                return Progress::Done;
            }
        }
    }
    if streams.to_client.len() > 4096 || streams.ended {
        Progress::Done
    } else {
        // The print job itself is of no interest.
        Progress::More {
            to_server: streams.to_server.len() as u64,
            to_client: 0,
        }
    }
}
