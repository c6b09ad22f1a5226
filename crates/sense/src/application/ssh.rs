//! SSH identification strings (RFC 4253 §4.2).

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;
use memchr::memchr;

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "ssh",
    ports: &[22],
    protection: Protection::Encrypted,
    follows: false,
    recognise,
    dissect,
};

/// Longest identification (RFC 4253: 255 with its end).
const LINE_MAX: usize = 255;

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    let is = |octets: &[u8]| octets.starts_with(b"SSH-");
    let cut = |octets: &[u8]| octets.len() < 4 && b"SSH-".starts_with(octets);
    if is(first.to_client) || is(first.to_server) {
        Verdict::Yes
    } else if cut(first.to_client) && cut(first.to_server) {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

pub(super) fn dissect(
    _scene: &Scene,
    streams: &Streams<'_>,
    _memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let line = |octets: &[u8]| -> Option<usize> {
        match memchr(b'\n', &octets[..octets.len().min(LINE_MAX)]) {
            Some(end) => Some(end),
            None if octets.len() >= LINE_MAX || streams.ended => Some(octets.len().min(LINE_MAX)),
            None => None,
        }
    };
    let (client, server) = (line(streams.to_server), line(streams.to_client));
    if !streams.ended && (client.is_none() || server.is_none()) {
        return Progress::KEEP;
    }
    if let Some(end) = client
        && streams.to_server.starts_with(b"SSH-")
    {
        findings.about_client(EvidenceKind::SshClient, &streams.to_server[..end]);
    }
    if let Some(end) = server
        && streams.to_client.starts_with(b"SSH-")
    {
        findings.about_server(EvidenceKind::SshServer, &streams.to_client[..end]);
    }
    Progress::Done
}
