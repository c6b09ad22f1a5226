//! MQTT 3.1, 3.1.1 and 5 (OASIS): client identifier and protocol version. Topics, payloads, user names are never
//! looked at.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::observation::EvidenceKind;

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::cursor::Cursor;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "mqtt",
    ports: &[1883],
    protection: Protection::Cleartext,
    follows: false,
    recognise,
    dissect,
};

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    if first.to_server.is_empty() {
        return Verdict::No;
    }
    if first.to_server[0] != 0x10 {
        return Verdict::No;
    }
    let mut cursor = Cursor::new(&first.to_server[1..]);
    match (remaining(&mut cursor), cursor.rest()) {
        (
            Some(_),
            [0, 4, b'M', b'Q', b'T', b'T', ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..],
        ) => Verdict::Yes,
        (_, rest)
            if first.to_server.len() < 13
                && b"\0\x04MQTT".starts_with(rest) | b"\0\x06MQIsdp".starts_with(rest) =>
        {
            Verdict::Perhaps
        }
        _ => Verdict::No,
    }
}

/// A variable length: seven bits in each of at most four octets.
fn remaining(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let octet = cursor.u8()?;
        value |= u32::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const fn version(level: u8) -> &'static str {
    match level {
        3 => "3.1",
        4 => "3.1.1",
        5 => "5",
        _ => "unknown",
    }
}

pub(super) fn dissect(
    _scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    if streams.to_server.first() != Some(&0x10) {
        return Progress::Done;
    }
    let [level, ..] = &mut memory.numbers;
    if *level == 0 {
        let mut cursor = Cursor::new(streams.to_server.get(1..).unwrap_or_default());
        match connect(&mut cursor) {
            Connect::Client { level: found, id } => {
                *level = u32::from(found) + 1;
                findings.about_client(EvidenceKind::MqttClientId, id);
            }
            Connect::More if !streams.ended && streams.to_server.len() < 2048 => {
                return Progress::KEEP;
            }
            Connect::More => return Progress::Done,
        }
    }
    // CONNACK: type 2, return code 0.
    match streams.to_client {
        [0x20, _, _, _, ..] => {
            let level = u8::try_from(*level - 1).unwrap_or(0);
            findings.about_server(EvidenceKind::MqttBroker, version(level));
            Progress::Done
        }
        [] if !streams.ended => Progress::KEEP,
        [0x20, ..] if !streams.ended && streams.to_client.len() < 4 => Progress::KEEP,
        _ => Progress::Done,
    }
}

enum Connect<'a> {
    Client { level: u8, id: &'a [u8] },
    More,
}

fn connect<'a>(cursor: &mut Cursor<'a>) -> Connect<'a> {
    let read = (|| {
        remaining(cursor)?;
        let name = usize::from(cursor.be16()?);
        cursor.skip(name)?;
        let level = cursor.u8()?;
        cursor.skip(3)?;
        if level == 5 {
            let properties = usize::try_from(remaining(cursor)?).ok()?;
            cursor.skip(properties)?;
        }
        let length = usize::from(cursor.be16()?);
        Some((level, cursor.take(length)?))
    })();
    read.map_or(Connect::More, |(level, id)| Connect::Client { level, id })
}
