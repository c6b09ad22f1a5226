//! Device facts of a message, by allow-list: MSH-3 (IHE PCD: name and EUI-64), OBX-18, PRT-10 and PRT-16 to -22,
//! OBX-3/-5 where OBX-3 is a device attribute of ISO/IEEE 11073-10101, SFT (software), EQU-1 (laboratory).
//!
//! Fields that hold a person (PRT-5, OBX-16, all of PID, NK1, PV1 …) are never addressed. OBX-5 is read only under the
//! codes listed in [`Attribute`]; a text that does not look like an identifier or a product is left out.

use super::{Field, Message, Segment};
use crate::trimmed;

/// What a device is known by or described with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// 64-bit extended unique identifier.
    Eui64(u64),
    /// Unique device identification as it stood, in the form of an issuing agency.
    Udi(&'a [u8]),
    /// Another identifier of the device in OBX-18, PRT-10 or EQU-1.
    Identifier(&'a [u8]),
    /// Type, as a reference identifier of ISO/IEEE 11073-10101: `MDC_DEV_PUMP_INFUS_MDS`.
    Type(&'a [u8]),
    /// Maker.
    Manufacturer(&'a [u8]),
    /// Model.
    Model(&'a [u8]),
    /// Serial number.
    Serial(&'a [u8]),
    /// Software or firmware version.
    Software(&'a [u8]),
}

/// One fact, and which device of the message it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFact<'a> {
    /// Facts of one segment, or of one medical device system (first number of OBX-4), have the same number. `None`: the
    /// sending application itself (MSH-3, SFT).
    pub device: Option<u32>,
    /// The fact.
    pub fact: Fact<'a>,
}

/// The device attributes that OBX-3 may name, with the codes of ISO/IEEE 11073-10101.
enum Attribute {
    Model,
    Manufacturer,
    ModelNumber,
    Serial,
    Software,
    SystemId,
    Udi,
}

impl Attribute {
    fn of(observation: Field<'_>) -> Option<Self> {
        let (code, name) = (observation.component(1), observation.component(2));
        Some(match (code, name) {
            (b"67880", _) | (_, b"MDC_ATTR_ID_MODEL") => Self::Model,
            (b"531970", _) | (_, b"MDC_ID_MODEL_MANUFACTURER") => Self::Manufacturer,
            (b"531969", _) | (_, b"MDC_ID_MODEL_NUMBER") => Self::ModelNumber,
            (b"531972", _) | (_, b"MDC_ID_PROD_SPEC_SERIAL") => Self::Serial,
            (b"531975" | b"531976", _) | (_, b"MDC_ID_PROD_SPEC_SW" | b"MDC_ID_PROD_SPEC_FW") => {
                Self::Software
            }
            (b"67972", _) | (_, b"MDC_ATTR_SYS_ID") => Self::SystemId,
            (_, b"MDC_ATTR_UDI" | b"MDC_UDI" | b"MDC_ID_UDI") => Self::Udi,
            _ => return None,
        })
    }
}

/// The EUI-64 that a text holds: 16 hexadecimal digits, bare or with separators.
pub fn eui64(text: &[u8]) -> Option<u64> {
    let (mut value, mut digits) = (0_u64, 0);
    for b in trimmed(text) {
        match b {
            b'-' | b':' | b' ' | b'.' => {}
            _ => {
                let digit = char::from(*b).to_digit(16)?;
                digits += 1;
                if digits > 16 {
                    return None;
                }
                value = (value << 4) | u64::from(digit);
            }
        }
    }
    (digits == 16 && value != 0 && value != u64::MAX).then_some(value)
}

/// A text that may be a product, a version or an identifier: printable, short, and not in the form of a person's name
/// (HL7's `^` and DICOM's do not occur in a component) or of a date of birth.
fn product(text: &[u8]) -> Option<&[u8]> {
    let text = trimmed(text);
    let fits =
        !text.is_empty() && text.len() <= 128 && text.iter().all(|b| *b >= b' ' && *b != 0x7f);
    (fits && text != b"\"\"").then_some(text)
}

/// Gives each allow-listed device fact of `message` to `on`.
pub fn devices<'a>(message: &Message<'a>, on: &mut impl FnMut(DeviceFact<'a>)) {
    for (number, segment) in (0_u32..).zip(message.segments()) {
        match segment.name() {
            b"MSH" => sender(segment.field(3), on),
            b"SFT" => software(&segment, on),
            b"OBX" => observation(&segment, number, on),
            b"PRT" => participation(&segment, number, on),
            b"EQU" => entity(segment.field(1), number, on),
            _ => {}
        }
    }
}

/// IHE PCD TF-2 B.1: MSH-3 is `name^EUI-64 text^EUI-64`.
fn sender<'a>(application: Field<'a>, on: &mut impl FnMut(DeviceFact<'a>)) {
    let id = application.component(2);
    if let Some(value) = eui64(id) {
        on(DeviceFact {
            device: None,
            fact: Fact::Eui64(value),
        });
    }
}

fn software<'a>(segment: &Segment<'a>, on: &mut impl FnMut(DeviceFact<'a>)) {
    let mut say = |value: &'a [u8], make: fn(&'a [u8]) -> Fact<'a>| {
        if let Some(value) = product(value) {
            on(DeviceFact {
                device: None,
                fact: make(value),
            });
        }
    };
    say(segment.field(1).component(1), Fact::Manufacturer);
    say(segment.field(3).component(1), Fact::Model);
    say(segment.field(2).component(1), Fact::Software);
}

/// The device an observation belongs to: the first number of its containment `1.0.0.0` in OBX-4, else its segment.
fn device_number(segment: &Segment<'_>, number: u32) -> u32 {
    let sub_id = segment.field(4);
    let text = sub_id.component(1);
    let mut parts = text.split(|b| *b == b'.');
    let first = parts.next().unwrap_or_default();
    let contained = parts.next().is_some() && (1..=9).contains(&first.len());
    if contained && first.iter().all(u8::is_ascii_digit) {
        let value = first
            .iter()
            .fold(0_u32, |n, b| n * 10 + u32::from(b - b'0'));
        return value | 0x8000_0000;
    }
    number
}

fn observation<'a>(segment: &Segment<'a>, number: u32, on: &mut impl FnMut(DeviceFact<'a>)) {
    let device = Some(device_number(segment, number));
    let name = segment.field(3);
    let kind = name.component(2);
    // Only the top of the containment (OBX-4 `1.0.0.0`) is the device itself.
    if kind.starts_with(b"MDC_DEV_")
        && kind.ends_with(b"_MDS")
        && kind
            .iter()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        && kind.len() <= 64
    {
        on(DeviceFact {
            device,
            fact: Fact::Type(kind),
        });
    }
    if let Some(attribute) = Attribute::of(name) {
        let value = segment.field(5);
        let mut say = |value: &'a [u8], make: fn(&'a [u8]) -> Fact<'a>| {
            if let Some(value) = product(value) {
                on(DeviceFact {
                    device,
                    fact: make(value),
                });
            }
        };
        match attribute {
            // 11073's SystemModel is a pair: manufacturer^model number.
            Attribute::Model if !value.component(2).is_empty() => {
                say(value.component(1), Fact::Manufacturer);
                say(value.component(2), Fact::Model);
            }
            Attribute::Model | Attribute::ModelNumber => say(value.component(1), Fact::Model),
            Attribute::Manufacturer => say(value.component(1), Fact::Manufacturer),
            Attribute::Serial => say(value.component(1), Fact::Serial),
            Attribute::Software => say(value.component(1), Fact::Software),
            Attribute::SystemId => match eui64(value.component(1)) {
                Some(id) => on(DeviceFact {
                    device,
                    fact: Fact::Eui64(id),
                }),
                None => say(value.component(1), Fact::Identifier),
            },
            Attribute::Udi => say(value.component(1), Fact::Udi),
        }
    }
    for instance in segment.field(18).repetitions().take(8) {
        identify(instance, device, on);
    }
}

fn participation<'a>(segment: &Segment<'a>, number: u32, on: &mut impl FnMut(DeviceFact<'a>)) {
    let device = Some(number);
    for instance in segment.field(10).repetitions().take(8) {
        identify(instance, device, on);
    }
    for instance in segment.field(16).repetitions().take(8) {
        if let Some(text) = product(instance.component(1)) {
            on(DeviceFact {
                device,
                fact: Fact::Udi(text),
            });
        }
    }
    if let Some(serial) = product(segment.field(20).component(1)) {
        on(DeviceFact {
            device,
            fact: Fact::Serial(serial),
        });
    }
    let kind = segment.field(22).component(2);
    if let Some(kind) = product(kind) {
        on(DeviceFact {
            device,
            fact: Fact::Type(kind),
        });
    }
}

fn entity<'a>(field: Field<'a>, number: u32, on: &mut impl FnMut(DeviceFact<'a>)) {
    for instance in field.repetitions().take(8) {
        identify(instance, Some(number), on);
    }
}

/// An entity identifier (EI): identifier, namespace, universal identifier, its type.
fn identify<'a>(instance: Field<'a>, device: Option<u32>, on: &mut impl FnMut(DeviceFact<'a>)) {
    let mut say = |fact| on(DeviceFact { device, fact });
    let (id, universal, kind) = (
        instance.component(1),
        instance.component(3),
        instance.component(4),
    );
    if kind.eq_ignore_ascii_case(b"EUI-64") || kind.eq_ignore_ascii_case(b"EUI64") {
        if let Some(value) = eui64(universal).or_else(|| eui64(id)) {
            say(Fact::Eui64(value));
        }
        // IHE PCD: what stands before it is the device's own name or serial, if it differs.
        if eui64(id).is_none()
            && let Some(id) = product(id)
        {
            say(Fact::Identifier(id));
        }
        return;
    }
    let Some(id) = product(id) else {
        return;
    };
    if crate::udi(id).is_some() {
        say(Fact::Udi(id));
    } else if let Some(value) = eui64(id) {
        say(Fact::Eui64(value));
    } else {
        say(Fact::Identifier(id));
    }
}
