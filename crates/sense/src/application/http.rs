//! HTTP/1 (RFC 9112): what clients and servers say of themselves, and what speaks through it (FHIR, DICOMweb, UPnP,
//! SOAP, IPP).
//!
//! Of a URL only its shape is looked at, never a path segment or a query that may name a patient. The title of a page
//! is taken only where a page cannot be about one: an entrance page, asked for without a query, a cookie or a
//! credential.

use super::StreamProtocol;
use domain::conversation::{Opening, Protection};
use domain::observation::EvidenceKind;
use memchr::memchr;

use super::head::{Found, Head, head, holds, line_names};
use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use super::{dicomweb, fhir, ipp, markup, ntlm, soap, upnp};
use crate::counters::Parser;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "http",
    ports: &[
        80, 8080, 8000, 8008, 8081, 8042, 631, 5000, 5357, 5985, 49152, 49153,
    ],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect,
};

const METHODS: [&[u8]; 24] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"UNSUBSCRIBE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"REPORT ",
    b"M-POST ",
    b"TRACE ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"SEARCH ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
];

/// Messages in both directions together that are looked at in one connection.
const MESSAGES_MAX: u32 = 128;

/// How much of a body is looked at.
const BODY_MAX: u64 = 24 << 10;

/// Passes over everything that is still to come.
const REST: u64 = 1 << 62;

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    if !first.to_server.is_empty() {
        if first.to_server.starts_with(b"HTTP/1.") {
            return Verdict::Reversed;
        }
        if METHODS
            .iter()
            .any(|method| first.to_server.starts_with(method))
        {
            return match line_names(first.to_server, b" HTTP/1.") {
                Some(true) => Verdict::Yes,
                Some(false) => Verdict::No,
                None => Verdict::Perhaps,
            };
        }
        let cut = METHODS
            .iter()
            .any(|method| method.starts_with(first.to_server));
        return if cut { Verdict::Perhaps } else { Verdict::No };
    }
    if first.to_client.starts_with(b"HTTP/1.") {
        Verdict::Yes
    } else if METHODS
        .iter()
        .any(|method| first.to_client.starts_with(method))
    {
        match line_names(first.to_client, b" HTTP/1.") {
            Some(true) => Verdict::Reversed,
            Some(false) => Verdict::No,
            None => Verdict::Perhaps,
        }
    } else {
        Verdict::No
    }
}

/// What a request asked for, as far as its answer is read in its light.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    head_only: bool,
    entrance: bool,
    device: Option<fhir::Asked>,
    tunnel: bool,
}

/// Bound: a few dozen octets.
#[derive(Debug, Default)]
struct State {
    asked: [Asked; 8],
    first: usize,
    count: usize,
    chunks: [bool; 2],
    /// Which answer is whose cannot be told any more.
    lost: bool,
    /// Nothing more can be read in this direction.
    over: [bool; 2],
    messages: u32,
}

impl State {
    fn push(&mut self, asked: Asked) {
        if self.count < self.asked.len() {
            self.asked[(self.first + self.count) % self.asked.len()] = asked;
            self.count += 1;
        } else {
            // Pipelined deeper than we follow.
            self.lost = true;
        }
    }

    /// What the next answer is to.
    fn next(&self) -> Asked {
        if self.count == 0 || self.lost {
            Asked::default()
        } else {
            self.asked[self.first]
        }
    }

    fn settled(&mut self) {
        if self.count > 0 {
            self.first = (self.first + 1) % self.asked.len();
            self.count -= 1;
        }
    }
}

pub(super) fn dissect(
    scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let state = memory.get::<State>();
    if streams.gap_to_server || streams.gap_to_client || scene.opening != Opening::Seen {
        state.lost = true;
    }
    let mut direction = |state: &mut State, octets: &[u8], to_server: bool| {
        let side = usize::from(to_server);
        let mut at = 0_u64;
        while !state.over[side] && state.messages <= MESSAGES_MAX {
            let Some(rest) = usize::try_from(at).ok().and_then(|at| octets.get(at..)) else {
                break;
            };
            if rest.is_empty() {
                break;
            }
            let step = if state.chunks[side] {
                chunk(rest)
            } else {
                message(scene, rest, to_server, streams.ended, state, findings)
            };
            match step {
                Step::More => break,
                Step::Take(octets) => at += octets,
                Step::Chunks(octets) => {
                    at += octets;
                    state.chunks[side] = true;
                }
                Step::LastChunk(octets) => {
                    at += octets;
                    state.chunks[side] = false;
                }
                Step::Over => {
                    state.over[side] = true;
                    at = REST;
                }
            }
        }
        at
    };
    let to_server = direction(state, streams.to_server, true);
    let to_client = direction(state, streams.to_client, false);
    if state.messages > MESSAGES_MAX || (state.over[0] && state.over[1]) || streams.ended {
        return Progress::Done;
    }
    Progress::More {
        to_server,
        to_client,
    }
}

enum Step {
    /// More octets are needed.
    More,
    /// So many octets are done with.
    Take(u64),
    /// So many are done with, and chunks follow.
    Chunks(u64),
    /// So many are done with, and that was the last chunk.
    LastChunk(u64),
    /// Nothing more can be read in this direction.
    Over,
}

/// The head of a chunk (RFC 9112 §7.1): its size, and over it.
fn chunk(octets: &[u8]) -> Step {
    let Some(end) = memchr(b'\n', &octets[..octets.len().min(64)]) else {
        return if octets.len() >= 64 {
            Step::Over
        } else {
            Step::More
        };
    };
    match chunk_size(&octets[..end]) {
        None => Step::Over,
        // The trailer: seldom more than an empty line.
        Some(0) => match octets.get(end + 1..end + 3) {
            None => Step::More,
            Some(b"\r\n") => Step::LastChunk(end as u64 + 3),
            Some(_) => Step::Over,
        },
        Some(size) => Step::Take(end as u64 + 1 + size + 2),
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|b| !b.is_ascii_hexdigit())
        .map_or(line, |end| &line[..end]);
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn message(
    scene: &Scene,
    octets: &[u8],
    to_server: bool,
    ended: bool,
    state: &mut State,
    findings: &mut Findings<'_>,
) -> Step {
    let (head, whole) = match head(octets) {
        Found::Whole(head) => (head, true),
        // The capture cut it: what came is worth reading.
        Found::Part(head) if ended => (head, false),
        Found::Part(_) => return Step::More,
        Found::No => {
            findings.malformed(Parser::Http);
            return Step::Over;
        }
    };
    let response = head.line.starts_with(b"HTTP/1.");
    let asks = !response && memchr::memmem::find(head.line, b" HTTP/1.").is_some();
    if response == to_server || (to_server && !asks) {
        // The middle of a body, or not HTTP any more.
        return Step::Over;
    }
    let status = if response { status(head.line) } else { None };
    // An interim answer (1xx) belongs to a request that is answered later.
    let settles = response && status.is_none_or(|code| code >= 200);
    let asked = if settles {
        state.next()
    } else {
        Asked::default()
    };
    let bodiless = match status {
        Some(code) => (100..200).contains(&code) || matches!(code, 204 | 304) || asked.head_only,
        None => false,
    };
    let chunked = head
        .field(b"transfer-encoding")
        .is_some_and(|value| holds(value, b"chunked"));
    let length = head
        .field(b"content-length")
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok())
        .filter(|length| *length < REST);
    let kind = BodyKind::of(&head, response, &asked);
    // Wait for as much of the body as will be looked at.
    let after = octets.get(head.length..).unwrap_or_default();
    let mut body: &[u8] = &[];
    if kind != BodyKind::Nothing && whole && !bodiless {
        let (start, wanted) = if chunked {
            match memchr(b'\n', &after[..after.len().min(64)]) {
                Some(end) => (end + 1, chunk_size(&after[..end]).unwrap_or(0)),
                None if ended => (0, 0),
                None => return Step::More,
            }
        } else {
            (0, length.unwrap_or(if response { BODY_MAX } else { 0 }))
        };
        let available = after.get(start..).unwrap_or_default();
        let wanted = usize::try_from(wanted.min(BODY_MAX)).unwrap_or(0);
        if available.len() < wanted && !ended && length.is_some() | chunked {
            return Step::More;
        }
        body = &available[..available.len().min(wanted)];
    }
    state.messages += 1;
    if settles {
        state.settled();
    }
    if response {
        answer(&head, status, &asked, kind, body, findings);
    } else {
        let asked = request(scene, &head, kind, body, findings);
        state.push(asked);
        if asked.tunnel {
            return Step::Over;
        }
    }
    if !whole || status == Some(101) {
        return Step::Over;
    }
    if bodiless {
        Step::Take(head.length as u64)
    } else if chunked {
        Step::Chunks(head.length as u64)
    } else if let Some(length) = length {
        Step::Take(head.length as u64 + length)
    } else if response {
        // The body goes on until the connection ends; it was looked at if it came with the head.
        Step::Over
    } else {
        Step::Take(head.length as u64)
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let digits = line.get(9..12)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What is worth looking at in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyKind {
    Nothing,
    Page,
    FhirJson,
    FhirXml,
    Markup,
    Ipp,
}

impl BodyKind {
    fn of(head: &Head<'_>, response: bool, asked: &Asked) -> Self {
        let Some(kind) = head.field(b"content-type") else {
            return Self::Nothing;
        };
        let encoded = head
            .field(b"content-encoding")
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
        if encoded {
            return Self::Nothing;
        }
        if kind.eq_ignore_ascii_case(b"application/ipp") {
            Self::Ipp
        } else if holds(kind, b"fhir+json") || (asked.device.is_some() && holds(kind, b"json")) {
            Self::FhirJson
        } else if holds(kind, b"fhir+xml") {
            Self::FhirXml
        } else if holds(kind, b"xml") && !holds(kind, b"html") {
            Self::Markup
        } else if response && asked.entrance && holds(kind, b"text/html") {
            Self::Page
        } else {
            Self::Nothing
        }
    }
}

/// Whether a target is a page where nobody's data can be: the root, or a page of one segment by a usual name.
fn is_entrance(target: &[u8]) -> bool {
    let Some(name) = target.strip_prefix(b"/") else {
        return false;
    };
    if name.is_empty() {
        return true;
    }
    let stem = name.split(|b| *b == b'.').next().unwrap_or_default();
    let suffix = name.get(stem.len()..).unwrap_or_default();
    const STEMS: [&[u8]; 10] = [
        b"index", b"login", b"main", b"home", b"default", b"start", b"welcome", b"top", b"signin",
        b"logon",
    ];
    const SUFFIXES: [&[u8]; 9] = [
        b"", b".html", b".htm", b".asp", b".aspx", b".php", b".cgi", b".jsp", b".shtml",
    ];
    STEMS.iter().any(|known| known.eq_ignore_ascii_case(stem))
        && SUFFIXES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(suffix))
}

fn request(
    _scene: &Scene,
    head: &Head<'_>,
    kind: BodyKind,
    body: &[u8],
    findings: &mut Findings<'_>,
) -> Asked {
    let [method, target, _] = head.words();
    let mut private = false;
    let mut fhir_media = false;
    let mut authorization = None;
    for (name, value) in head.fields() {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => host(value, findings),
            6 if name.eq_ignore_ascii_case(b"cookie") => private = true,
            6 if name.eq_ignore_ascii_case(b"accept") => fhir_media |= holds(value, b"fhir+"),
            10 if name.eq_ignore_ascii_case(b"user-agent") => {
                findings.about_client(EvidenceKind::HttpUserAgent, value);
            }
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                fhir_media |= holds(value, b"fhir+")
            }
            13 if name.eq_ignore_ascii_case(b"authorization") => authorization = Some(value),
            _ => {}
        }
    }
    if let Some(value) = authorization {
        private = true;
        credential(value, true, findings);
    }
    let mut asked = Asked {
        head_only: method == b"HEAD",
        entrance: !private && is_entrance(target),
        device: None,
        tunnel: method == b"CONNECT",
    };
    if let Some(interaction) = fhir::request(method, target, fhir_media, findings) {
        asked.device = interaction;
    } else {
        dicomweb::request(method, target, findings);
    }
    match kind {
        BodyKind::Ipp => ipp::message(body, true, findings),
        BodyKind::Markup => soap::message(body, true, findings),
        BodyKind::FhirJson => fhir::json(body, asked.device, true, findings),
        BodyKind::FhirXml | BodyKind::Page | BodyKind::Nothing => {}
    }
    asked
}

/// A `Host` that is a name.
fn host(value: &[u8], findings: &mut Findings<'_>) {
    let name = value.split(|b| *b == b':').next().unwrap_or_default();
    let sound = name.len() <= 253
        && name.iter().any(u8::is_ascii_alphabetic)
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if sound && let Ok(name) = std::str::from_utf8(name) {
        findings.server_name(name);
        findings.about_client(EvidenceKind::HttpHost, crate::text::Lower(name.as_bytes()));
    }
}

/// NTLM inside a credential or a challenge. Basic and Bearer are left alone.
fn credential(value: &[u8], from_client: bool, findings: &mut Findings<'_>) {
    for scheme in [&b"NTLM "[..], b"Negotiate "] {
        if value
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        {
            ntlm::look_base64(&value[scheme.len()..], from_client, findings);
        }
    }
}

fn answer(
    head: &Head<'_>,
    status: Option<u16>,
    asked: &Asked,
    kind: BodyKind,
    body: &[u8],
    findings: &mut Findings<'_>,
) {
    for (name, value) in head.fields() {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"server") => {
                findings.about_server(EvidenceKind::HttpServer, value);
            }
            16 if name.eq_ignore_ascii_case(b"www-authenticate") => {
                if let Some(realm) = realm(value) {
                    findings.about_server(EvidenceKind::HttpRealm, realm);
                }
                credential(value, false, findings);
            }
            _ => {}
        }
    }
    match kind {
        BodyKind::Nothing => {}
        BodyKind::Page => {
            if matches!(status, Some(200 | 401 | 403))
                && let Some(title) = markup::title(body)
            {
                findings.about_server(EvidenceKind::HttpTitle, title);
            }
        }
        BodyKind::Ipp => ipp::message(body, false, findings),
        BodyKind::FhirJson => fhir::json(body, asked.device, false, findings),
        BodyKind::FhirXml => fhir::xml(body, asked.device, false, findings),
        BodyKind::Markup => {
            if !upnp::description(body, findings) {
                soap::message(body, false, findings);
            }
        }
    }
}

/// The realm of a challenge (RFC 9110 §11.5).
fn realm(value: &[u8]) -> Option<&[u8]> {
    let at = value
        .windows(7)
        .position(|window| window.eq_ignore_ascii_case(b"realm=\""))?;
    let inside = &value[at + 7..];
    let end = memchr(b'"', inside)?;
    (end > 0 && end <= 128).then_some(&inside[..end])
}
