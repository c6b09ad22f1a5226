//! BACnet/IP (ASHRAE 135 annex J, clauses 6, 20, 21): I-Am, properties of devices as read by others, devices behind
//! routers and broadcast management devices.

use super::DatagramProtocol;
use domain::conversation::Protection;
use domain::net::Party;
use domain::observation::{Asset, EvidenceKind};

use super::{Findings, Scene};
use crate::counters::Parser;
use crate::cursor::Cursor;
use crate::text::Printable;

pub(super) static PROTOCOL: DatagramProtocol = DatagramProtocol {
    service: "bacnet",
    ports: &[47808, 47809],
    protection: Protection::Cleartext,
    depth: u16::MAX,
    recognise: Some(recognise),
    dissect,
};

pub(super) fn recognise(_scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [0x81, function, high, low, ..] => {
            *function <= 0x0c && usize::from(u16::from_be_bytes([*high, *low])) == payload.len()
        }
        _ => false,
    }
}

pub(super) fn dissect(scene: &Scene, payload: &[u8], findings: &mut Findings<'_>) -> bool {
    let [0x81, function, _, _, rest @ ..] = payload else {
        return false;
    };
    let mut speaker = scene.speaker();
    let npdu = match function {
        // Original unicast and broadcast, distribute broadcast to network.
        0x09..=0x0b => rest,
        // Forwarded by a broadcast management device: whoever sent it stands in front.
        0x04 => {
            let Some((&[a, b, c, d, _, _], rest)) = rest.split_first_chunk() else {
                findings.malformed(Parser::Bacnet);
                return true;
            };
            findings.about(&speaker, EvidenceKind::BacnetDevice, "role=bbmd");
            speaker = Party {
                mac: None,
                addr: Some(std::net::Ipv4Addr::new(a, b, c, d).into()),
                vlan: speaker.vlan,
            };
            rest
        }
        0x01..=0x08 | 0x00 | 0x0c => return true,
        _ => return false,
    };
    if network(npdu, &speaker, findings).is_none() {
        findings.malformed(Parser::Bacnet);
    }
    true
}

/// The network layer (clause 6.2).
fn network(npdu: &[u8], speaker: &Party, findings: &mut Findings<'_>) -> Option<()> {
    let mut cursor = Cursor::new(npdu);
    let (version, control) = (cursor.u8()?, cursor.u8()?);
    if version != 1 {
        return None;
    }
    let (to_network, from_network) = (control & 0x20 != 0, control & 0x08 != 0);
    let address = |cursor: &mut Cursor<'_>| {
        cursor.skip(2)?;
        let length = usize::from(cursor.u8()?);
        cursor.skip(length)
    };
    if to_network {
        address(&mut cursor)?;
    }
    if from_network {
        address(&mut cursor)?;
    }
    if to_network {
        cursor.skip(1)?;
    }
    if control & 0x80 != 0 {
        // A message between routers.
        if matches!(cursor.u8()?, 0x01 | 0x05 | 0x07) {
            findings.about(speaker, EvidenceKind::BacnetDevice, "role=router");
        }
        return Some(());
    }
    if from_network {
        findings.about(speaker, EvidenceKind::BacnetDevice, "role=router");
    }
    application(&mut cursor, from_network, speaker, findings);
    Some(())
}

/// The application layer (clause 20.1). What is malformed in it is left alone: proprietary services abound.
fn application(
    cursor: &mut Cursor<'_>,
    routed: bool,
    speaker: &Party,
    findings: &mut Findings<'_>,
) -> Option<()> {
    let head = cursor.u8()?;
    match head >> 4 {
        // Confirmed request.
        0 => {
            cursor.skip(2)?;
            if head & 0x08 != 0 {
                cursor.skip(2)?;
            }
            findings.asks();
            findings.meaning(match cursor.u8()? {
                12 | 14 | 26 | 6 => "BACnet read",
                15 | 16 | 7 | 8 | 9 => "BACnet write",
                17 | 20 => "BACnet control",
                5 | 28 => "BACnet subscribe",
                _ => return Some(()),
            });
        }
        // Unconfirmed request.
        1 => match cursor.u8()? {
            0 => i_am(cursor, routed, speaker, findings)?,
            8 => findings.meaning("BACnet who-is"),
            2 | 3 => findings.meaning("BACnet notification"),
            6 | 9 => findings.meaning("BACnet time"),
            _ => {}
        },
        // Complex acknowledgement.
        3 => {
            cursor.skip(1)?;
            if head & 0x08 != 0 {
                // Only the first segment begins where an object does.
                let sequence = cursor.u8()?;
                cursor.skip(1)?;
                if sequence != 0 {
                    return Some(());
                }
            }
            match cursor.u8()? {
                12 => read_property(cursor, routed, speaker, findings)?,
                14 => read_property_multiple(cursor, routed, speaker, findings)?,
                _ => {}
            }
        }
        _ => {}
    }
    Some(())
}

/// One tag (clause 20.2.1): number, whether of context class, and its length or what it stands for.
#[derive(Clone, Copy)]
enum Tag<'a> {
    Application(u8, &'a [u8]),
    Context(u8, &'a [u8]),
    Opening(u8),
    Closing,
}

fn tag<'a>(cursor: &mut Cursor<'a>) -> Option<Tag<'a>> {
    let octet = cursor.u8()?;
    let number = match octet >> 4 {
        15 => cursor.u8()?,
        number => number,
    };
    let context = octet & 0x08 != 0;
    let length = match octet & 0x07 {
        6 if context => return Some(Tag::Opening(number)),
        7 if context => return Some(Tag::Closing),
        // A Boolean's value stands in the length.
        _ if !context && number == 1 => 0,
        5 => match cursor.u8()? {
            254 => usize::from(cursor.be16()?),
            255 => usize::try_from(cursor.be32()?).ok()?,
            length => usize::from(length),
        },
        length => usize::from(length),
    };
    let value = cursor.take(length)?;
    Some(if context {
        Tag::Context(number, value)
    } else {
        Tag::Application(number, value)
    })
}

fn unsigned(value: &[u8]) -> Option<u32> {
    (1..=4).contains(&value.len()).then(|| {
        value
            .iter()
            .fold(0, |sum, octet| sum << 8 | u32::from(*octet))
    })
}

/// An object identifier that names a device: its instance.
fn device_instance(value: &[u8]) -> Option<u32> {
    let number = unsigned(value).filter(|_| value.len() == 4)?;
    (number >> 22 == 8).then_some(number & 0x003f_ffff)
}

fn i_am(
    cursor: &mut Cursor<'_>,
    routed: bool,
    speaker: &Party,
    findings: &mut Findings<'_>,
) -> Option<()> {
    let Tag::Application(12, object) = tag(cursor)? else {
        return None;
    };
    let instance = device_instance(object)?;
    tag(cursor)?;
    tag(cursor)?;
    let Tag::Application(2, vendor) = tag(cursor)? else {
        return None;
    };
    let vendor = unsigned(vendor)?;
    say(
        routed,
        instance,
        speaker,
        findings,
        EvidenceKind::BacnetInstance,
        format_args!("{instance}"),
    );
    say(
        routed,
        instance,
        speaker,
        findings,
        EvidenceKind::BacnetVendor,
        format_args!("id={vendor}"),
    );
    findings.meaning("BACnet i-am");
    Some(())
}

fn say(
    routed: bool,
    instance: u32,
    speaker: &Party,
    findings: &mut Findings<'_>,
    kind: EvidenceKind,
    value: std::fmt::Arguments<'_>,
) {
    if routed {
        findings.asset_of(speaker, &Asset::Bacnet(instance), kind, value);
    } else {
        findings.about(speaker, kind, value);
    }
}

/// The properties of a device object that describe it (clause 21).
const fn property(number: u32) -> Option<&'static str> {
    Some(match number {
        12 => "application-software-version",
        44 => "firmware-revision",
        70 => "model-name",
        77 => "object-name",
        121 => "vendor-name",
        372 => "serial-number",
        _ => return None,
    })
}

/// A character string (clause 20.2.9): an octet for its encoding in front.
fn text(value: &[u8]) -> Option<String> {
    let (encoding, text) = value.split_first()?;
    match encoding {
        // UTF-8, and ISO 8859-1.
        0 | 5 => Some(Printable(text).to_string()),
        // UCS-2.
        4 => {
            let units = text
                .chunks_exact(2)
                .take(256)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(
                char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn value(
    number: u32,
    value: Tag<'_>,
    instance: u32,
    routed: bool,
    speaker: &Party,
    findings: &mut Findings<'_>,
) {
    match (property(number), value) {
        (Some("vendor-name"), Tag::Application(7, value)) => {
            if let Some(text) = text(value) {
                say(
                    routed,
                    instance,
                    speaker,
                    findings,
                    EvidenceKind::BacnetVendor,
                    format_args!("name={text}"),
                );
            }
        }
        (Some(name), Tag::Application(7, value)) => {
            if let Some(text) = text(value) {
                say(
                    routed,
                    instance,
                    speaker,
                    findings,
                    EvidenceKind::BacnetDevice,
                    format_args!("{name}={text}"),
                );
            }
        }
        (None, Tag::Application(2, value)) if number == 120 => {
            if let Some(vendor) = unsigned(value) {
                say(
                    routed,
                    instance,
                    speaker,
                    findings,
                    EvidenceKind::BacnetVendor,
                    format_args!("id={vendor}"),
                );
            }
        }
        _ => {}
    }
}

fn read_property(
    cursor: &mut Cursor<'_>,
    routed: bool,
    speaker: &Party,
    findings: &mut Findings<'_>,
) -> Option<()> {
    let Tag::Context(0, object) = tag(cursor)? else {
        return None;
    };
    let instance = device_instance(object)?;
    let Tag::Context(1, number) = tag(cursor)? else {
        return None;
    };
    let number = unsigned(number)?;
    loop {
        match tag(cursor)? {
            Tag::Opening(3) => break,
            Tag::Context(2, _) => {}
            _ => return None,
        }
    }
    let found = tag(cursor)?;
    value(number, found, instance, routed, speaker, findings);
    Some(())
}

/// Properties that are looked at in one acknowledgement.
const PROPERTIES_MAX: usize = 256;

fn read_property_multiple(
    cursor: &mut Cursor<'_>,
    routed: bool,
    speaker: &Party,
    findings: &mut Findings<'_>,
) -> Option<()> {
    let mut object = None;
    let mut number = 0;
    // How deep in lists of values: 1 inside the list of results, 2 and more inside a value.
    let mut depth = 0_u32;
    for _ in 0..PROPERTIES_MAX * 4 {
        match tag(cursor)? {
            Tag::Context(0, id) if depth == 0 => object = device_instance(id),
            Tag::Context(2, id) if depth == 1 => number = unsigned(id)?,
            Tag::Opening(_) => depth += 1,
            Tag::Closing => depth = depth.checked_sub(1)?,
            found @ Tag::Application(..) if depth == 2 => {
                if let Some(instance) = object {
                    value(number, found, instance, routed, speaker, findings);
                }
            }
            _ => {}
        }
    }
    Some(())
}
