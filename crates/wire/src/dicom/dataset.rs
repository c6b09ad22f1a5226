//! Data sets (PS3.5 §7): only the attributes that describe the device which made them, by allow-list.
//!
//! Everything else is walked over by its length and never looked at: the tags on the list are compared before a value
//! is touched.

use crate::trimmed;

/// How a data set is encoded (PS3.5 annex A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferSyntax {
    /// Implicit VR Little Endian, `1.2.840.10008.1.2`.
    ImplicitLittle,
    /// Explicit VR Little Endian, and everything encapsulated, whose attributes are encoded so.
    ExplicitLittle,
    /// Explicit VR Big Endian, `1.2.840.10008.1.2.2` (retired).
    ExplicitBig,
    /// Deflated or otherwise not readable in place.
    Opaque,
}

impl TransferSyntax {
    /// The encoding that a transfer syntax UID names. Unknown ones are private or new: encapsulated ones are
    /// explicit little endian, others cannot be known, so that they are opaque.
    pub fn from_uid(uid: &[u8]) -> Self {
        match uid {
            b"1.2.840.10008.1.2" => Self::ImplicitLittle,
            b"1.2.840.10008.1.2.1" | b"1.2.840.10008.1.2.5" => Self::ExplicitLittle,
            b"1.2.840.10008.1.2.2" => Self::ExplicitBig,
            b"1.2.840.10008.1.2.1.98" => Self::ExplicitLittle,
            _ if uid.starts_with(b"1.2.840.10008.1.2.4.") => Self::ExplicitLittle,
            _ => Self::Opaque,
        }
    }
}

/// A fact about the device that made a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum DeviceAttribute {
    /// (0008,0055).
    StationAeTitle,
    /// (0008,0060).
    Modality,
    /// (0008,0070).
    Manufacturer,
    /// (0008,1010).
    StationName,
    /// (0008,1090).
    ManufacturerModelName,
    /// (0018,1000).
    DeviceSerialNumber,
    /// (0018,1009), also inside the UDI Sequence (0018,100A).
    UniqueDeviceIdentifier,
    /// (0018,1020).
    SoftwareVersions,
    /// (0040,0241), in a performed procedure step.
    PerformedStationAeTitle,
    /// (0040,0242), in a performed procedure step.
    PerformedStationName,
}

impl DeviceAttribute {
    /// Every attribute, in the order of their tags.
    pub const ALL: [Self; 10] = [
        Self::StationAeTitle,
        Self::Modality,
        Self::Manufacturer,
        Self::StationName,
        Self::ManufacturerModelName,
        Self::DeviceSerialNumber,
        Self::UniqueDeviceIdentifier,
        Self::SoftwareVersions,
        Self::PerformedStationAeTitle,
        Self::PerformedStationName,
    ];

    /// The keyword of PS3.6.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::StationAeTitle => "StationAETitle",
            Self::Modality => "Modality",
            Self::Manufacturer => "Manufacturer",
            Self::StationName => "StationName",
            Self::ManufacturerModelName => "ManufacturerModelName",
            Self::DeviceSerialNumber => "DeviceSerialNumber",
            Self::UniqueDeviceIdentifier => "UniqueDeviceIdentifier",
            Self::SoftwareVersions => "SoftwareVersions",
            Self::PerformedStationAeTitle => "PerformedStationAETitle",
            Self::PerformedStationName => "PerformedStationName",
        }
    }

    const fn from_tag(tag: u32) -> Option<Self> {
        Some(match tag {
            0x0008_0055 => Self::StationAeTitle,
            0x0008_0060 => Self::Modality,
            0x0008_0070 => Self::Manufacturer,
            0x0008_1010 => Self::StationName,
            0x0008_1090 => Self::ManufacturerModelName,
            0x0018_1000 => Self::DeviceSerialNumber,
            0x0018_1009 => Self::UniqueDeviceIdentifier,
            0x0018_1020 => Self::SoftwareVersions,
            0x0040_0241 => Self::PerformedStationAeTitle,
            0x0040_0242 => Self::PerformedStationName,
            _ => return None,
        })
    }

    /// Longest value that its representation allows (PS3.5 table 6.2-1): AE, CS and SH 16, LO 64; a UDI (UT) is
    /// bounded here, at 256.
    const fn longest(self) -> usize {
        match self {
            Self::StationAeTitle
            | Self::Modality
            | Self::StationName
            | Self::PerformedStationAeTitle
            | Self::PerformedStationName => 16,
            Self::Manufacturer | Self::ManufacturerModelName | Self::DeviceSerialNumber => 64,
            Self::SoftwareVersions | Self::UniqueDeviceIdentifier => 256,
        }
    }
}

/// The device facts of one data set; each value without padding, not empty, as it stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAttributes<'a>([Option<&'a [u8]>; 10]);

impl<'a> DeviceAttributes<'a> {
    /// One fact.
    pub fn get(&self, attribute: DeviceAttribute) -> Option<&'a [u8]> {
        self.0[attribute as usize]
    }

    /// All facts that were there.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceAttribute, &'a [u8])> + use<'_, 'a> {
        DeviceAttribute::ALL
            .into_iter()
            .filter_map(|attribute| Some((attribute, self.get(attribute)?)))
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn put(&mut self, attribute: DeviceAttribute, value: &'a [u8]) {
        let value = trimmed(value);
        let slot = &mut self.0[attribute as usize];
        if slot.is_none() && !value.is_empty() && value.len() <= attribute.longest() {
            *slot = Some(value);
        }
    }
}

/// Undefined length (PS3.5 §7.1.1).
const UNDEFINED: u32 = 0xffff_ffff;
/// Nothing of interest is nested deeper.
const DEPTH_MAX: usize = 16;
/// (0018,100A) UDI Sequence.
const UDI_SEQUENCE: u32 = 0x0018_100a;
const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;

/// Takes the device facts from a data set or from the head of one.
///
/// Reads on until the octets end, make no sense or lie beyond group 0040. Facts inside sequences are not the device's
/// own (they may speak of a referenced or source image) and are left alone, except in the UDI Sequence.
pub fn device_attributes(data_set: &[u8], syntax: TransferSyntax) -> DeviceAttributes<'_> {
    let mut found = DeviceAttributes::default();
    if syntax == TransferSyntax::Opaque {
        return found;
    }
    let reader = Reader {
        bytes: data_set,
        syntax,
    };
    // Open sequences and items of undefined length around `at`; `udi` is the depth at which the UDI Sequence opened.
    let (mut at, mut depth, mut udi) = (0, 0_usize, None);
    while let Some(element) = reader.element(at) {
        match element.tag {
            ITEM if element.length == UNDEFINED => {
                depth += 1;
                at = element.value;
            }
            // Items of defined length are walked into in the UDI Sequence only.
            ITEM if udi.is_some() => at = element.value,
            ITEM_END | SEQUENCE_END => {
                depth = depth.saturating_sub(1);
                if udi.is_some_and(|opened| depth <= opened) {
                    udi = None;
                }
                at = element.value;
            }
            tag if element.length == UNDEFINED => {
                if tag == UDI_SEQUENCE {
                    udi = Some(depth);
                }
                depth += 1;
                at = element.value;
            }
            UDI_SEQUENCE => {
                // A defined length: its items lie in a slice of their own.
                let Some(inside) = reader.value(&element) else {
                    break;
                };
                read_udi(inside, syntax, &mut found);
                at = element.value + inside.len();
            }
            tag => {
                let own = depth == 0 || (udi.is_some() && tag == 0x0018_1009);
                if depth == 0 && tag > 0x0040_0254 {
                    break;
                }
                let Some(value) = reader.value(&element) else {
                    break;
                };
                if own && let Some(attribute) = DeviceAttribute::from_tag(tag) {
                    found.put(attribute, value);
                }
                at = element.value + value.len();
            }
        }
        if depth > DEPTH_MAX {
            break;
        }
    }
    found
}

/// The first identifier in the items of a UDI Sequence.
fn read_udi<'a>(bytes: &'a [u8], syntax: TransferSyntax, found: &mut DeviceAttributes<'a>) {
    let reader = Reader { bytes, syntax };
    let mut at = 0;
    while let Some(element) = reader.element(at) {
        if matches!(element.tag, ITEM | ITEM_END | SEQUENCE_END) {
            at = element.value;
            continue;
        }
        let Some(value) = reader.value(&element) else {
            return;
        };
        if element.tag == 0x0018_1009 {
            found.put(DeviceAttribute::UniqueDeviceIdentifier, value);
        }
        at = element.value + value.len();
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    syntax: TransferSyntax,
}

struct Element {
    tag: u32,
    length: u32,
    /// Offset of the value.
    value: usize,
}

impl<'a> Reader<'a> {
    fn element(&self, at: usize) -> Option<Element> {
        let head = <&[u8; 8]>::try_from(self.bytes.get(at..at.checked_add(8)?)?).ok()?;
        let [g0, g1, e0, e1, a, b, c, d] = *head;
        let big = self.syntax == TransferSyntax::ExplicitBig;
        let short = |x: [u8; 2]| {
            if big {
                u16::from_be_bytes(x)
            } else {
                u16::from_le_bytes(x)
            }
        };
        let long = |x: [u8; 4]| {
            if big {
                u32::from_be_bytes(x)
            } else {
                u32::from_le_bytes(x)
            }
        };
        let tag = (u32::from(short([g0, g1])) << 16) | u32::from(short([e0, e1]));
        // Items and delimiters have no representation in any encoding (PS3.5 §7.5).
        if self.syntax == TransferSyntax::ImplicitLittle || tag >> 16 == 0xfffe {
            return Some(Element {
                tag,
                length: long([a, b, c, d]),
                value: at + 8,
            });
        }
        if !a.is_ascii_uppercase() || !b.is_ascii_uppercase() {
            return None;
        }
        let long_form = matches!(
            &[a, b],
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        );
        if long_form {
            let raw = <[u8; 4]>::try_from(self.bytes.get(at + 8..at + 12)?).ok()?;
            return Some(Element {
                tag,
                length: long(raw),
                value: at + 12,
            });
        }
        Some(Element {
            tag,
            length: u32::from(short([c, d])),
            value: at + 8,
        })
    }

    fn value(&self, element: &Element) -> Option<&'a [u8]> {
        let length = usize::try_from(element.length).ok()?;
        self.bytes
            .get(element.value..element.value.checked_add(length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explicit(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(tag.0.to_le_bytes());
        out.extend(tag.1.to_le_bytes());
        out.extend(vr);
        if matches!(vr, b"SQ" | b"UT" | b"OB" | b"UN") {
            out.extend([0, 0]);
            out.extend(u32::try_from(value.len()).expect("short").to_le_bytes());
        } else {
            out.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
        }
        out.extend(value);
        out
    }

    fn implicit(tag: (u16, u16), value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(tag.0.to_le_bytes());
        out.extend(tag.1.to_le_bytes());
        out.extend(u32::try_from(value.len()).expect("short").to_le_bytes());
        out.extend(value);
        out
    }

    #[test]
    fn device_facts_are_taken_and_the_patient_is_not() {
        let mut set = explicit((8, 0x60), b"CS", b"CT");
        set.extend(explicit((8, 0x70), b"LO", b"Acme Medical "));
        set.extend(explicit((8, 0x1090), b"LO", b"Scan 9000"));
        set.extend(explicit((0x10, 0x10), b"PN", b"DOE^JANE"));
        set.extend(explicit((0x18, 0x1000), b"LO", b"SN-77"));
        let found = device_attributes(&set, TransferSyntax::ExplicitLittle);
        assert_eq!(
            found.get(DeviceAttribute::Manufacturer),
            Some(&b"Acme Medical"[..])
        );
        assert_eq!(
            found.get(DeviceAttribute::DeviceSerialNumber),
            Some(&b"SN-77"[..])
        );
        assert_eq!(found.iter().count(), 4);
    }

    #[test]
    fn facts_inside_sequences_are_not_the_devices_own() {
        let inner = implicit((8, 0x60), b"MR");
        for undefined in [false, true] {
            let mut set = Vec::new();
            if undefined {
                set.extend([8, 0, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff]);
                set.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
                set.extend(&inner);
                set.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0]);
                set.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
            } else {
                let mut item = vec![0xfe, 0xff, 0x00, 0xe0, 10, 0, 0, 0];
                item.extend(&inner);
                set.extend(implicit((8, 0x1140), &item));
            }
            set.extend(implicit((0x18, 0x1020), b"V1.2"));
            let found = device_attributes(&set, TransferSyntax::ImplicitLittle);
            assert_eq!(found.get(DeviceAttribute::Modality), None, "{undefined}");
            assert_eq!(
                found.get(DeviceAttribute::SoftwareVersions),
                Some(&b"V1.2"[..])
            );
        }
    }

    #[test]
    fn a_udi_is_found_in_its_sequence() {
        let mut item = vec![0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff];
        item.extend(explicit((0x18, 0x1009), b"UT", b"(01)00844588003288(21)A7"));
        item.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0]);
        let mut set = explicit((8, 0x60), b"CS", b"CT");
        set.extend(explicit((0x18, 0x100a), b"SQ", &item));
        set.extend(explicit((0x18, 0x1020), b"LO", b"V2"));
        let found = device_attributes(&set, TransferSyntax::ExplicitLittle);
        assert_eq!(
            found.get(DeviceAttribute::UniqueDeviceIdentifier),
            Some(&b"(01)00844588003288(21)A7"[..])
        );
        assert_eq!(
            found.get(DeviceAttribute::SoftwareVersions),
            Some(&b"V2"[..])
        );
    }

    #[test]
    fn a_value_longer_than_its_representation_is_left_out() {
        let set = explicit((8, 0x60), b"CS", b"THIS IS NOT A MODALITY BUT TEXT");
        assert!(device_attributes(&set, TransferSyntax::ExplicitLittle).is_empty());
        assert!(device_attributes(&set, TransferSyntax::Opaque).is_empty());
    }
}
