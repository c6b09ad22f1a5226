//! Modbus/TCP (Modbus Messaging on TCP/IP 1.0b, Modbus Application Protocol 1.1b3): device identification, units
//! behind a gateway, reads and writes.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::net::Party;
use domain::observation::{Asset, EvidenceKind};

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::cursor::Cursor;
use crate::text::Printable;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "modbus",
    ports: &[502],
    protection: Protection::Cleartext,
    follows: true,
    recognise,
    dissect,
};

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    // The header has little in it: only the port makes it sure enough.
    if !first.port_fits {
        return Verdict::No;
    }
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    match octets {
        [_, _, 0, 0, high, low, _, function, ..] => {
            let length = u16::from_be_bytes([*high, *low]);
            if (2..=260).contains(&length) && (1..=0x7f).contains(&(function & 0x7f)) {
                Verdict::Yes
            } else {
                Verdict::No
            }
        }
        [_, _, a, b, ..] if *a != 0 || *b != 0 => Verdict::No,
        _ if octets.len() < 8 => Verdict::Perhaps,
        _ => Verdict::No,
    }
}

pub(super) fn dissect(
    scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let [said, ..] = &mut memory.numbers;
    if *said == 0 {
        *said = 1;
        findings.about_client(EvidenceKind::ModbusRole, "client");
    }
    let mut direction = |octets: &[u8], gap: bool, from_client: bool| -> u64 {
        let mut cursor = Cursor::new(octets);
        if gap && !plausible(octets) {
            return octets.len() as u64;
        }
        let mut taken = 0;
        while let Some(&[_, _, 0, 0, high, low]) = cursor.rest().first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if !(2..=260).contains(&length) {
                return octets.len() as u64;
            }
            let mut unit = cursor;
            let Some(frame) = unit.skip(6).and_then(|()| unit.take(length)) else {
                return taken;
            };
            cursor = unit;
            taken += 6 + length as u64;
            one(frame, from_client, &scene.server, said, findings);
        }
        if cursor.len() >= 6 {
            octets.len() as u64
        } else {
            taken
        }
    };
    let to_server = direction(streams.to_server, streams.gap_to_server, true);
    let to_client = direction(streams.to_client, streams.gap_to_client, false);
    Progress::More {
        to_server,
        to_client,
    }
}

fn plausible(octets: &[u8]) -> bool {
    matches!(octets, [_, _, 0, 0, 0 | 1, ..])
}

fn one(
    frame: &[u8],
    from_client: bool,
    server: &Party,
    said: &mut u32,
    findings: &mut Findings<'_>,
) {
    let [unit, function, data @ ..] = frame else {
        return;
    };
    if from_client {
        findings.meaning(match function {
            1..=4 | 7 | 20 | 24 => "Modbus read",
            5 | 6 | 15 | 16 | 21 | 22 | 23 => "Modbus write",
            43 | 17 => "Modbus identify",
            8 => "Modbus diagnostics",
            _ => return,
        });
        return;
    }
    if *said == 1 {
        *said = 2;
        findings.about_server(EvidenceKind::ModbusRole, "server");
    }
    // 0 and 255 mean the server itself; 1 does by custom.
    let asset = (!matches!(unit, 0 | 1 | 0xff)).then_some(Asset::ModbusUnit(*unit));
    let mut say = |value: std::fmt::Arguments<'_>| match &asset {
        None => findings.about(server, EvidenceKind::ModbusDevice, value),
        Some(asset) => findings.asset_of(server, asset, EvidenceKind::ModbusDevice, value),
    };
    // MEI 14: code, conformity, more follows, next, number of objects.
    if let (43, [14, _, _, _, _, count, objects @ ..]) = (*function, data) {
        let mut cursor = Cursor::new(objects);
        for _ in 0..*count {
            let (Some(id), Some(length)) = (cursor.u8(), cursor.u8()) else {
                return;
            };
            let Some(value) = cursor.take(usize::from(length)) else {
                return;
            };
            let name = match id {
                0 => "VendorName",
                1 => "ProductCode",
                2 => "MajorMinorRevision",
                4 => "ProductName",
                5 => "ModelName",
                _ => continue,
            };
            say(format_args!("{name}={}", Printable(value)));
        }
    }
}
