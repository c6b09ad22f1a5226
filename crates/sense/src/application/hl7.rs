//! HL7 v2 over MLLP: applications, message types, and the devices that messages name.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::net::Party;
use domain::observation::{Asset, EvidenceKind};
use smol_str::SmolStr;
use wire::hl7::{Event, Fact, Message, Stream, devices};

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::counters::Parser;
use crate::text::Printable;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "hl7",
    ports: &[2575, 6661],
    protection: Protection::Cleartext,
    follows: true,
    recognise,
    dissect,
};

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    let starts = Stream::looks_like_start;
    let cut = |octets: &[u8]| {
        matches!(
            octets,
            [0x0b] | [0x0b, b'M'] | [0x0b, b'M', b'S'] | [0x0b, b'M', b'S', b'H']
        )
    };
    if starts(first.to_server) {
        return if answers(first.to_server) {
            Verdict::Reversed
        } else {
            Verdict::Yes
        };
    }
    if first.to_server.is_empty() && starts(first.to_client) {
        return if answers(first.to_client) {
            Verdict::Yes
        } else {
            Verdict::Reversed
        };
    }
    if cut(first.to_server) || (first.to_server.is_empty() && cut(first.to_client)) {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

/// Whether the first message is an acknowledgement.
fn answers(octets: &[u8]) -> bool {
    let inside = octets.strip_prefix(&[wire::hl7::START]).unwrap_or(octets);
    let line = inside.split(|b| *b == b'\r').next().unwrap_or_default();
    Message::parse(line).is_ok_and(|message| message.header().is_acknowledgement())
}

/// Bound: the heads of two messages, 32 KiB each, while they come.
#[derive(Default)]
struct State {
    streams: [Stream; 2],
}

pub(super) fn dissect(
    scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let state = memory.get::<State>();
    let sides = [
        (
            streams.to_server,
            streams.gap_to_server,
            scene.client,
            scene.server,
        ),
        (
            streams.to_client,
            streams.gap_to_client,
            scene.server,
            scene.client,
        ),
    ];
    for (stream, (octets, gap, speaker, listener)) in state.streams.iter_mut().zip(sides) {
        if gap {
            stream.gap();
        }
        let mut on = |event: Event<'_>| {
            if let Event::Message { bytes, .. } = event {
                message(bytes, &speaker, &listener, findings);
            }
        };
        stream.feed(octets, &mut on);
        if streams.ended {
            stream.finish(&mut on);
        }
    }
    if streams.ended {
        return Progress::Done;
    }
    Progress::More {
        to_server: streams.to_server.len() as u64,
        to_client: streams.to_client.len() as u64,
    }
}

/// Names of applications and facilities as far as they are names: HL7's escapes and odd characters end them.
fn name(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    (!value.is_empty() && value.len() <= 64 && value != b"\"\"").then_some(value)
}

fn code(value: &[u8]) -> Option<&str> {
    let sound = (2..=3).contains(&value.len())
        && value
            .iter()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    sound.then(|| std::str::from_utf8(value).ok()).flatten()
}

fn message(bytes: &[u8], speaker: &Party, listener: &Party, findings: &mut Findings<'_>) {
    let Ok(message) = Message::parse(bytes) else {
        // A batch or file header (BHS, FHS) is no error.
        if !matches!(bytes.trim_ascii_start(), [b'B' | b'F', b'H', b'S', ..]) {
            findings.malformed(Parser::Hl7);
        }
        return;
    };
    let header = message.header();
    if let Some(application) = name(header.sending_application.component(1)) {
        findings.about(speaker, EvidenceKind::Hl7Application, application);
    }
    if let Some(facility) = name(header.sending_facility.component(1)) {
        findings.about(speaker, EvidenceKind::Hl7Facility, facility);
    }
    if !header.is_acknowledgement() {
        // How others address the listener; an acknowledgement only mirrors it.
        if let Some(application) = name(header.receiving_application.component(1)) {
            let application = Printable(application);
            match name(header.receiving_facility.component(1)) {
                Some(facility) => findings.about(
                    listener,
                    EvidenceKind::Hl7Receiver,
                    format_args!("{application}|{}", Printable(facility)),
                ),
                None => findings.about(
                    listener,
                    EvidenceKind::Hl7Receiver,
                    format_args!("{application}"),
                ),
            }
        }
    }
    kind(&header, speaker, findings);
    described(&message, speaker, findings);
}

fn kind(header: &wire::hl7::Header<'_>, speaker: &Party, findings: &mut Findings<'_>) {
    let Some(code) = code(header.code) else {
        return;
    };
    let trigger = self::code(header.trigger).unwrap_or_default();
    let version = header.version;
    let version_sound =
        version.len() <= 8 && version.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    let version = if version_sound {
        Printable(version)
    } else {
        Printable(b"")
    };
    let hat = if trigger.is_empty() { "" } else { "^" };
    findings.about(
        speaker,
        EvidenceKind::Hl7Message,
        format_args!("{code}{hat}{trigger} {version}"),
    );
    if !header.is_acknowledgement() {
        // Longer than any code and trigger together.
        let mut text = [0_u8; 8];
        let mut at = 0;
        for part in [code, hat, trigger] {
            text[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }
        findings.meaning(std::str::from_utf8(&text[..at]).unwrap_or_default());
    }
    match header.profile.component(1) {
        b"IHE_PCD_001" => findings.meaning("PCD-01"),
        b"IHE_PCD_003" | b"IHE_PCD_ORU_R40" | b"IHE_PCD_010" => findings.meaning("PCD-10"),
        _ => {}
    }
}

/// Facts of one message that are held at once.
const FACTS_MAX: usize = 96;

fn described(message: &Message<'_>, speaker: &Party, findings: &mut Findings<'_>) {
    let mut facts = Vec::new();
    devices(message, &mut |fact| {
        if facts.len() < FACTS_MAX {
            facts.push((fact.device, fact.fact));
        }
    });
    let own = facts
        .iter()
        .find_map(|(device, fact)| match (device, fact) {
            (None, Fact::Eui64(id)) => Some(*id),
            _ => None,
        });
    facts.sort_by_key(|(device, _)| *device);
    for group in facts.chunk_by(|(a, _), (b, _)| a == b) {
        let asset = group[0].0.and_then(|_| key(group));
        // What has the sender's own identifier is the sender.
        let is_sender = group[0].0.is_none()
            || asset
                .as_ref()
                .is_some_and(|asset| matches!(asset, Asset::Eui64(id) if Some(*id) == own));
        if !is_sender && asset.is_none() {
            continue;
        }
        let asset = asset.filter(|_| !is_sender);
        let mut say = |kind, value: std::fmt::Arguments<'_>| match &asset {
            Some(asset) => findings.asset_of(speaker, asset, kind, value),
            None => findings.about(speaker, kind, value),
        };
        for (_, fact) in group {
            match fact {
                Fact::Eui64(id) => say(EvidenceKind::Hl7Eui64, format_args!("{id:016X}")),
                Fact::Udi(text) => match wire::udi(text) {
                    Some(udi) => {
                        let device = wire::Udi {
                            serial: None,
                            ..udi
                        };
                        say(EvidenceKind::Hl7Udi, format_args!("{device}"));
                    }
                    None => say(EvidenceKind::Hl7Udi, format_args!("{}", Printable(text))),
                },
                Fact::Identifier(text) if is_product(text) => {
                    say(
                        EvidenceKind::Hl7Device,
                        format_args!("model={}", Printable(text)),
                    );
                }
                Fact::Identifier(text) => say(
                    EvidenceKind::Hl7Device,
                    format_args!("id={}", Printable(text)),
                ),
                Fact::Type(text) => say(
                    EvidenceKind::Hl7Device,
                    format_args!("type={}", Printable(text)),
                ),
                Fact::Manufacturer(text) => {
                    say(
                        EvidenceKind::Hl7Device,
                        format_args!("manufacturer={}", Printable(text)),
                    );
                }
                Fact::Model(text) => say(
                    EvidenceKind::Hl7Device,
                    format_args!("model={}", Printable(text)),
                ),
                Fact::Serial(text) => say(
                    EvidenceKind::Hl7Device,
                    format_args!("serial={}", Printable(text)),
                ),
                Fact::Software(text) => say(
                    EvidenceKind::Hl7Device,
                    format_args!("software={}", Printable(text)),
                ),
            }
        }
    }
}

/// Whether an identifier reads like a product: words, at least one of them of letters.
fn is_product(text: &[u8]) -> bool {
    text.contains(&b' ')
        && text
            .split(|b| *b == b' ')
            .any(|word| word.len() > 2 && word.iter().all(u8::is_ascii_alphabetic))
}

/// The best name that a device behind the speaker goes by.
fn key(group: &[(Option<u32>, Fact<'_>)]) -> Option<Asset> {
    let find =
        |pick: &dyn Fn(&Fact<'_>) -> Option<SmolStr>| group.iter().find_map(|(_, fact)| pick(fact));
    if let Some(id) = group.iter().find_map(|(_, fact)| match fact {
        Fact::Eui64(id) => Some(*id),
        _ => None,
    }) {
        return Some(Asset::Eui64(id));
    }
    let text = |bytes: &[u8]| SmolStr::new(Printable(bytes).to_string());
    if let Some(udi) = find(&|fact| match fact {
        Fact::Udi(bytes) => {
            Some(wire::udi(bytes).map_or_else(|| text(bytes), |udi| SmolStr::new(udi.to_string())))
        }
        _ => None,
    }) {
        return Some(Asset::Udi(udi));
    }
    let maker = find(&|fact| match fact {
        Fact::Manufacturer(bytes) => Some(text(bytes)),
        _ => None,
    });
    let model = find(&|fact| match fact {
        Fact::Model(bytes) => Some(text(bytes)),
        _ => None,
    });
    let serial = find(&|fact| match fact {
        Fact::Serial(bytes) => Some(text(bytes)),
        _ => None,
    });
    if let Some(serial) = serial
        && (maker.is_some() || model.is_some())
    {
        let (maker, model) = (maker.unwrap_or_default(), model.unwrap_or_default());
        return Some(Asset::Serial(SmolStr::new(
            format!("{maker} {model} {serial}").trim(),
        )));
    }
    find(&|fact| match fact {
        Fact::Identifier(bytes) => Some(text(bytes)),
        _ => None,
    })
    .map(Asset::Udi)
}
