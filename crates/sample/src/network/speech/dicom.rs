//! DICOM: associations, images stored, worklists and studies asked for, with invented patients in it.

use super::Scene;
use crate::network::machine::Machine;

fn padded(text: &str) -> [u8; 16] {
    let mut out = [b' '; 16];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0];
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
    out
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0];
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

/// Implementation class UID and version name of a machine's DICOM software.
fn implementation(machine: &Machine) -> (&'static str, &'static str) {
    match machine.vendor {
        "Siemens Healthineers" => ("1.3.12.2.1107.5.99.3", "SIEMENS_SWFVA"),
        "GE Healthcare" => ("1.2.840.113619.6.408", "LOGIQE10"),
        "Philips" => ("1.3.46.670589.30.1.6.1", "PHILIPS DXR"),
        _ => ("1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367"),
    }
}

/// A-ASSOCIATE-RQ or -AC (PS3.8, 9.3.2 and 9.3.3) for one abstract syntax.
fn associate(scene: &Scene<'_>, abstract_syntax: &str, accept: bool) -> Vec<u8> {
    let ae = |m: &Machine| m.name.to_ascii_uppercase().replace('-', "");
    let speaker = if accept { scene.to } else { scene.from };
    let (class, version) = implementation(speaker);
    let mut body = vec![0, 1, 0, 0];
    body.extend(padded(&ae(scene.to)));
    body.extend(padded(&ae(scene.from)));
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    let transfer = item(0x40, b"1.2.840.10008.1.2");
    let mut context = vec![1, 0, 0, 0];
    if !accept {
        context.extend(item(0x30, abstract_syntax.as_bytes()));
    }
    context.extend(transfer);
    body.extend(item(if accept { 0x21 } else { 0x20 }, &context));
    let mut user = item(0x51, &[0, 0, 0x40, 0]);
    user.extend(item(0x52, class.as_bytes()));
    user.extend(item(0x55, version.as_bytes()));
    body.extend(item(0x50, &user));
    pdu(if accept { 2 } else { 1 }, &body)
}

fn element(group: u16, number: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if group == 0 { 0 } else { b' ' });
    }
    let mut out = group.to_le_bytes().to_vec();
    out.extend(number.to_le_bytes());
    out.extend((value.len() as u32).to_le_bytes());
    out.extend(value);
    out
}

/// P-DATA-TF with a command set (PS3.7, 9.3 and E.1), Implicit VR Little Endian.
fn command(sop_class: &str, field: u16, data_follows: bool, status: Option<u16>) -> Vec<u8> {
    let mut set = element(0, 2, sop_class.as_bytes());
    set.extend(element(0, 0x100, &field.to_le_bytes()));
    let id = if status.is_some() { 0x120 } else { 0x110 };
    set.extend(element(0, id, &1_u16.to_le_bytes()));
    set.extend(element(
        0,
        0x800,
        &(if data_follows { 1_u16 } else { 0x101 }).to_le_bytes(),
    ));
    if let Some(status) = status {
        set.extend(element(0, 0x900, &status.to_le_bytes()));
    } else if field == 1 {
        set.extend(element(0, 0x1000, b"1.2.3.4.5"));
    }
    let mut whole = element(0, 0, &(set.len() as u32).to_le_bytes());
    whole.extend(set);
    data_values(3, &whole)
}

fn data_values(control: u8, fragment: &[u8]) -> Vec<u8> {
    let mut value = ((fragment.len() + 2) as u32).to_be_bytes().to_vec();
    value.extend([1, control]);
    value.extend(fragment);
    pdu(4, &value)
}

pub(super) fn store(scene: &Scene<'_>, sop_class: &str, modality: &str) -> Vec<(bool, Vec<u8>)> {
    let name = scene.patient.replace(' ', "^");
    let mut data = element(8, 0x16, sop_class.as_bytes());
    data.extend(element(8, 0x60, modality.as_bytes()));
    data.extend(element(8, 0x70, scene.from.vendor.as_bytes()));
    data.extend(element(8, 0x1010, scene.from.name.as_bytes()));
    data.extend(element(8, 0x1090, scene.from.model.as_bytes()));
    data.extend(element(0x10, 0x10, name.as_bytes()));
    data.extend(element(0x10, 0x20, b"MRN00412"));
    data.extend(element(0x10, 0x30, b"19610412"));
    data.extend(element(0x18, 0x1000, scene.from.serial.as_bytes()));
    data.extend(element(0x7fe0, 0x10, &[0x2a; 4000]));
    vec![
        (true, associate(scene, sop_class, false)),
        (false, associate(scene, sop_class, true)),
        (
            true,
            [command(sop_class, 1, true, None), data_values(2, &data)].concat(),
        ),
        (false, command(sop_class, 0x8001, false, Some(0))),
        (true, pdu(5, &[0; 4])),
        (false, pdu(6, &[0; 4])),
    ]
}

/// A C-FIND (PS3.7, 9.1.2) under this SOP class, with one answer.
pub(super) fn find(scene: &Scene<'_>, class: &str) -> Vec<(bool, Vec<u8>)> {
    let query = element(8, 0x50, b"");
    let mut answer = element(8, 0x50, b"A20261122");
    answer.extend(element(
        0x10,
        0x10,
        scene.patient.replace(' ', "^").as_bytes(),
    ));
    vec![
        (true, associate(scene, class, false)),
        (false, associate(scene, class, true)),
        (
            true,
            [command(class, 0x20, true, None), data_values(2, &query)].concat(),
        ),
        (
            false,
            [
                command(class, 0x8020, true, Some(0xff00)),
                data_values(2, &answer),
            ]
            .concat(),
        ),
        (false, command(class, 0x8020, false, Some(0))),
        (true, pdu(5, &[0; 4])),
        (false, pdu(6, &[0; 4])),
    ]
}
