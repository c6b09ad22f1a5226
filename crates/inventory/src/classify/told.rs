//! Evidence that says in words what a device is: data sets, descriptions, registers, people.

use domain::EvidenceKind;
use smol_str::SmolStr;

use crate::evidence::Evidence;
use crate::fingerprint::Claim;
use crate::registry::maker;
use crate::taxonomy;

/// Certainty of a person's own answer.
const CONFIRMED: f32 = 0.999;
/// Certainty of a register's type: registers are often out of date.
const REGISTER: f32 = 0.85;
/// Certainty of what a device says of itself in so many words.
const DESCRIBED: f32 = 0.9;
/// Certainty of the maker of an address block that no pack knows: it may have made no more than the interface.
const BLOCK: f32 = 0.6;

/// What evidence says by its own words.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    use EvidenceKind as E;
    let value = evidence.value.trim();
    if value.is_empty() {
        return Vec::new();
    }
    let said = |certainty: f32| Claim {
        certainty,
        category_certainty: certainty,
        verified: true,
        ..Claim::default()
    };
    let claim = match evidence.kind {
        E::Confirmed => Claim {
            kind: Some(kind_of(value).unwrap_or_else(|| value.into())),
            ..said(CONFIRMED)
        },
        E::RegisterType => Claim {
            kind: kind_of(value),
            ..said(REGISTER)
        },
        E::RegisterVendor => Claim {
            vendor: Some(maker(value)),
            ..said(DESCRIBED)
        },
        E::RegisterModel => Claim {
            model: Some(value.into()),
            ..said(DESCRIBED)
        },
        E::RegisterOs => Claim {
            os: Some(value.into()),
            ..said(DESCRIBED)
        },
        E::CdpPlatform => Claim {
            model: Some(value.trim_start_matches("cisco ").into()),
            ..said(DESCRIBED)
        },
        E::MdnsTxt
        | E::UpnpDescription
        | E::WsdDescription
        | E::SdcDevice
        | E::DicomDevice
        | E::LldpInventory
        | E::FhirDevice
        | E::BacnetDevice
        | E::ModbusDevice
        | E::IppPrinter
        | E::Hl7Device => match described(evidence.kind, value) {
            Some((Said::Vendor, text)) => Claim {
                vendor: Some(maker(text)),
                ..said(DESCRIBED)
            },
            Some((Said::Model, text)) => Claim {
                model: Some(text.into()),
                ..said(DESCRIBED)
            },
            None => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    if claim.is_empty() {
        Vec::new()
    } else {
        vec![claim]
    }
}

/// The claim of an address block whose owner no pack knows.
pub(super) fn unknown_maker(organisation: &str) -> Claim {
    Claim {
        vendor: Some(maker(organisation)),
        certainty: BLOCK,
        category_certainty: BLOCK,
        verified: true,
        ..Claim::default()
    }
}

/// Whether a party passes on what several devices say: then what its messages tell of their device is not about itself.
pub(super) fn relays<'e>(evidence: impl Iterator<Item = &'e Evidence>) -> bool {
    evidence
        .filter(|e| e.kind == EvidenceKind::Hl7Eui64)
        .count()
        > 1
}

/// Whether evidence tells of the device that a message comes from, which need not be whoever sends it on.
pub(super) const fn is_about_a_sender(kind: EvidenceKind) -> bool {
    matches!(
        kind,
        EvidenceKind::Hl7Application
            | EvidenceKind::Hl7Device
            | EvidenceKind::Hl7Eui64
            | EvidenceKind::Hl7Udi
    )
}

/// A 64-bit identifier in hexadecimal, with or without signs between.
pub(super) fn eui64(text: &str) -> Option<u64> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-' | '.'))
        .collect();
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(&digits, 16).ok()
}

fn kind_of(text: &str) -> Option<SmolStr> {
    taxonomy::from_text(text).map(|kind| SmolStr::new_static(kind.id))
}

enum Said {
    Vendor,
    Model,
}

fn described(kind: EvidenceKind, value: &str) -> Option<(Said, &str)> {
    let (key, text) = value.split_once('=')?;
    let text = text.trim();
    if text.is_empty() || text.len() > 80 {
        return None;
    }
    let key: String = key
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    match key.as_str() {
        "manufacturer" | "vendorname" | "usbmfg" | "vendor" => Some((Said::Vendor, text)),
        "modelname"
        | "manufacturermodelname"
        | "model"
        | "printermakeandmodel"
        | "modelnumber"
        | "productcode"
        | "usbmdl"
        | "product"
        | "md" => Some((Said::Model, text.trim_matches(['(', ')']))),
        "ty" if kind == EvidenceKind::MdnsTxt => Some((Said::Model, text)),
        _ => None,
    }
}
