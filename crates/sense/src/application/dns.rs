//! DNS (RFC 1035), multicast DNS with service discovery (RFC 6762, 6763), link-local name resolution (RFC 4795).

mod multicast;
pub(crate) mod name;

use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use self::name::Name;
use super::{
    DatagramProtocol, Findings, First, Memory, Progress, Scene, StreamProtocol, Streams, Verdict,
};
use crate::counters::Parser;
use crate::cursor::Cursor;

/// Questions, and records of all sections together, of one message that are read.
const QUESTIONS_MAX: u16 = 16;
const RECORDS_MAX: usize = 128;

/// Messages of one TCP stream that are read.
const MESSAGES_MAX: u32 = 64;

pub(crate) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "dns",
    ports: &[53],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: Some(looks_like_dns),
    dissect: unicast,
};

pub(crate) static OVER_TCP: StreamProtocol = StreamProtocol {
    service: "dns",
    ports: &[53],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect: stream,
};

pub(crate) static MULTICAST: DatagramProtocol = DatagramProtocol {
    service: "mdns",
    ports: &[5353],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: multicast::dissect,
};

pub(crate) static LINK_LOCAL: DatagramProtocol = DatagramProtocol {
    service: "llmnr",
    ports: &[5355],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: None,
    dissect: link_local,
};

/// Types of records (IANA).
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const ANY: u16 = 255;
}

/// A message's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) questions: u16,
    /// Answers, authorities, additional records.
    pub(crate) records: [u16; 3],
}

impl Header {
    pub(crate) const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(crate) const fn operation(&self) -> u16 {
        self.flags >> 11 & 15
    }
}

/// A message that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    whole: &'a [u8],
    cursor: Cursor<'a>,
    pub(crate) header: Header,
}

/// A resource record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) data: &'a [u8],
    /// Where the data begin in the message.
    at: usize,
}

impl<'a> Message<'a> {
    pub(crate) fn read(octets: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(octets);
        cursor.skip(2)?;
        let header = Header {
            flags: cursor.be16()?,
            questions: cursor.be16()?,
            records: [cursor.be16()?, cursor.be16()?, cursor.be16()?],
        };
        Some(Self {
            whole: octets,
            cursor,
            header,
        })
    }

    fn offset(&self) -> usize {
        self.whole.len() - self.cursor.len()
    }

    fn name(&mut self) -> Option<Name> {
        let (name, end) = Name::read(self.whole, self.offset())?;
        self.cursor = Cursor::new(self.whole.get(end..)?);
        Some(name)
    }

    /// The next question: name, type, class.
    pub(crate) fn question(&mut self) -> Option<(Name, u16, u16)> {
        Some((self.name()?, self.cursor.be16()?, self.cursor.be16()?))
    }

    /// The next record.
    pub(crate) fn record(&mut self) -> Option<Record<'a>> {
        let name = self.name()?;
        let (kind, class) = (self.cursor.be16()?, self.cursor.be16()?);
        self.cursor.skip(4)?;
        let length = usize::from(self.cursor.be16()?);
        let at = self.offset();
        let data = self.cursor.take(length)?;
        Some(Record {
            name,
            kind,
            class,
            data,
            at,
        })
    }

    /// A name within a record's data.
    pub(crate) fn name_in(&self, record: &Record<'_>, offset: usize) -> Option<Name> {
        Name::read(self.whole, record.at.checked_add(offset)?).map(|(name, _)| name)
    }

    /// Number of records that are read.
    pub(crate) fn records(&self) -> usize {
        let all: usize = self.header.records.iter().map(|n| usize::from(*n)).sum();
        all.min(RECORDS_MAX)
    }
}

/// Whether a payload on any port is a query or the answer to one: one question in printable letters, sound counts, and
/// in a query nothing behind the question but what EDNS adds (RFC 6891).
fn looks_like_dns(_scene: &Scene, payload: &[u8]) -> bool {
    let Some(mut message) = Message::read(payload) else {
        return false;
    };
    let header = message.header;
    let [answers, authorities, additional] = header.records;
    let sound = header.operation() == 0
        && header.questions == 1
        && header.flags & 0x0040 == 0
        && (header.is_response() || (answers == 0 && authorities == 0))
        && answers <= 64
        && authorities <= 64
        && additional <= 64;
    if !sound {
        return false;
    }
    let Some((name, kind, class)) = message.question() else {
        return false;
    };
    let usual = matches!(kind, 1..=65 | 255 | 257) && matches!(class, 1 | 3);
    let printable = |label: &[u8]| label.iter().all(u8::is_ascii_graphic);
    let whole = header.is_response() || message.cursor.is_empty() || additional > 0;
    usual && whole && !name.is_root() && name.labels().all(printable)
}

fn unicast(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(mut message) = Message::read(payload) else {
        return false;
    };
    let header = message.header;
    // Query, inverse query, status, notify, update.
    if !matches!(header.operation(), 0..=2 | 4 | 5) || header.questions > 256 {
        return false;
    }
    let mut asked_version = false;
    for _ in 0..header.questions.min(QUESTIONS_MAX) {
        let Some((name, _, class)) = message.question() else {
            findings.malformed(Parser::Dns);
            return true;
        };
        asked_version |= class == 3 && name.is(&[b"version", b"bind"]);
        if header.operation() == 0 && class != 3 && !name.is_reverse() && !name.is_root() {
            findings.about_client(EvidenceKind::DnsQuery, format_args!("{}", name.lower()));
        }
    }
    // Only answers that were found say something about the server.
    if header.is_response() && header.operation() == 0 && header.flags & 15 <= 3 {
        let role = if header.flags & 0x0080 != 0 {
            Some("recursive")
        } else if header.flags & 0x0400 != 0 {
            Some("authoritative")
        } else {
            None
        };
        if let Some(role) = role {
            findings.about_server(EvidenceKind::DnsServer, role);
        }
        if asked_version && header.questions <= QUESTIONS_MAX {
            version(&mut message, findings);
        }
    }
    true
}

/// The answer to `version.bind` in class CHAOS.
fn version(message: &mut Message<'_>, findings: &mut Findings<'_>) {
    for _ in 0..message.records() {
        let Some(record) = message.record() else {
            findings.malformed(Parser::Dns);
            return;
        };
        if record.kind == kind::TXT && record.class == 3 {
            let text = texts(record.data).next().unwrap_or_default();
            findings.about_server(EvidenceKind::DnsVersionBind, text);
        }
    }
}

/// The texts of a TXT record (RFC 1035 section 3.3.14).
pub(crate) fn texts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor::new(data);
    std::iter::from_fn(move || {
        let length = usize::from(cursor.u8()?);
        cursor.take(length)
    })
}

/// Over TCP each message has its length in front (RFC 1035 section 4.2.2).
fn recognise(first: &First<'_>) -> Verdict {
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    if !first.port_fits {
        return Verdict::No;
    }
    match octets {
        [] => Verdict::Perhaps,
        octets if octets.len() < 14 => Verdict::Perhaps,
        [_, _, _, _, flags, _, 0, 0..=1, ..] if (flags >> 3 & 15) <= 5 => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn stream(
    scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let mut taken = [0_u64; 2];
    for (direction, octets) in [streams.to_server, streams.to_client]
        .into_iter()
        .enumerate()
    {
        let mut cursor = Cursor::new(octets);
        while let Some(length) = cursor.be16() {
            let Some(message) = cursor.take(usize::from(length)) else {
                break;
            };
            unicast(scene, message, findings);
            taken[direction] = (octets.len() - cursor.len()) as u64;
            memory.numbers[0] += 1;
        }
    }
    if memory.numbers[0] >= MESSAGES_MAX {
        return Progress::Done;
    }
    Progress::More {
        to_server: taken[0],
        to_client: taken[1],
    }
}

fn link_local(_scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let Some(mut message) = Message::read(payload) else {
        return false;
    };
    let header = message.header;
    if header.operation() != 0 || header.questions > 1 {
        return false;
    }
    for _ in 0..header.questions {
        let Some((name, kind, _)) = message.question() else {
            findings.malformed(Parser::Dns);
            return true;
        };
        // A host asks for any record of its own name to see that nobody else has it (RFC 4795 section 4.1).
        if !header.is_response() && kind == kind::ANY {
            findings.about_speaker(EvidenceKind::LlmnrName, format_args!("{name}"));
        }
    }
    if header.is_response() {
        for _ in 0..header.records[0].min(8) {
            let Some(record) = message.record() else {
                findings.malformed(Parser::Dns);
                return true;
            };
            if matches!(record.kind, kind::A | kind::AAAA) {
                findings.about_speaker(EvidenceKind::LlmnrName, format_args!("{}", record.name));
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use domain::net::Transport;

    use super::*;
    use crate::application::testing::{self, datagram, scene};

    fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
        let mut octets = vec![0, 1];
        octets.extend_from_slice(&flags.to_be_bytes());
        counts
            .iter()
            .for_each(|count| octets.extend_from_slice(&count.to_be_bytes()));
        octets
    }

    fn query() -> Vec<u8> {
        let mut octets = header(0x0100, [1, 0, 0, 0]);
        octets.extend_from_slice(b"\x04PACS\x07Example\x00\x00\x01\x00\x01");
        octets
    }

    #[test]
    fn a_query_is_the_clients_and_an_answer_shows_the_server() {
        let (recognised, heard, _) = datagram(unicast, &scene(Transport::Udp, 53), &query());
        assert!(recognised);
        assert_eq!(heard, ["dns.query pacs.example"]);
        let mut answer = query();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        let mut scene = scene(Transport::Udp, 53);
        scene.to_server = false;
        let (_, heard, _) = datagram(unicast, &scene, &answer);
        assert_eq!(heard, ["dns.query pacs.example", "@2 dns.server recursive"]);
    }

    #[test]
    fn the_version_of_a_server_is_read() {
        let mut octets = header(0x8400, [1, 1, 0, 0]);
        octets.extend_from_slice(b"\x07version\x04bind\x00\x00\x10\x00\x03");
        octets.extend_from_slice(b"\xc0\x0c\x00\x10\x00\x03\x00\x00\x00\x00\x00\x06\x059.18.");
        let (_, heard, _) = datagram(unicast, &scene(Transport::Udp, 53), &octets);
        assert_eq!(
            heard,
            ["@2 dns.server authoritative", "@2 dns.version_bind 9.18."]
        );
    }

    #[test]
    fn messages_over_tcp_have_their_length_in_front() {
        let one = query();
        let framed = [&(one.len() as u16).to_be_bytes()[..], &one].concat();
        let two = [framed.clone(), framed].concat();
        let (heard, _) = testing::stream(&OVER_TCP, &scene(Transport::Tcp, 53), &two, &[]);
        assert_eq!(heard, ["dns.query pacs.example"]);
    }

    #[test]
    fn a_host_defends_its_own_name() {
        let mut octets = header(0x8000, [1, 1, 0, 0]);
        octets.extend_from_slice(b"\x04WS07\x00\x00\x01\x00\x01");
        octets
            .extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x00\x00\x01");
        let (_, heard, _) = datagram(link_local, &scene(Transport::Udp, 5355), &octets);
        assert_eq!(heard, ["llmnr.name WS07"]);
    }
}
