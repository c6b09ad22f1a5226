//! Just enough of pcap and pcapng for tests and benchmarks; what the program reads with is the crate `capture`.

use std::path::{Path, PathBuf};

/// One packet of a capture.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Microseconds since the Unix epoch.
    pub at_us: i64,
    /// libpcap's link-layer header type.
    pub link: u32,
    /// Octets on the wire.
    pub length: usize,
    /// Octets captured.
    pub octets: Vec<u8>,
}

/// Where the shared test data is, if it is there.
pub fn data_folder() -> Option<PathBuf> {
    let named = std::env::var_os("ASEPSIS_DATA").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    named
        .into_iter()
        .chain([usual, beside])
        .find(|folder| folder.is_dir())
}

/// All captures below `folder`, in the order of their names.
pub fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            found.extend(captures(&path));
        } else if matches!(ending, Some("pcap" | "pcapng" | "cap")) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The packets of a capture up to the first damage.
pub fn read(octets: &[u8]) -> Vec<Packet> {
    match octets.first_chunk::<4>() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => blocks(octets),
        Some([0xd4, 0xc3, 0xb2, 0xa1]) => records(octets, Order::Little, 1),
        Some([0xa1, 0xb2, 0xc3, 0xd4]) => records(octets, Order::Big, 1),
        Some([0x4d, 0x3c, 0xb2, 0xa1]) => records(octets, Order::Little, 1000),
        Some([0xa1, 0xb2, 0x3c, 0x4d]) => records(octets, Order::Big, 1000),
        _ => Vec::new(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let four = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        })
    }

    fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let two = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(two),
            Self::Big => u16::from_be_bytes(two),
        })
    }
}

fn records(octets: &[u8], order: Order, fraction: i64) -> Vec<Packet> {
    let mut packets = Vec::new();
    let link = order.u32(octets, 20).unwrap_or(0) & 0x0fff_ffff;
    let mut at = 24;
    let mut next = || {
        let seconds = order.u32(octets, at)?;
        let part = order.u32(octets, at + 4)?;
        let captured = order.u32(octets, at + 8)? as usize;
        let length = order.u32(octets, at + 12)? as usize;
        let body = octets.get(at + 16..)?.get(..captured)?;
        at += 16 + captured;
        Some(Packet {
            at_us: i64::from(seconds) * 1_000_000 + i64::from(part) / fraction,
            link,
            length: length.max(captured),
            octets: body.to_vec(),
        })
    };
    while let Some(packet) = next() {
        packets.push(packet);
    }
    packets
}

fn blocks(octets: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut interfaces: Vec<(u32, u64)> = Vec::new();
    let mut order = Order::Little;
    let mut at = 0;
    let mut next = |packets: &mut Vec<Packet>| {
        if octets.get(at..at + 4)? == [0x0a, 0x0d, 0x0d, 0x0a] {
            order = match octets.get(at + 8..at + 12)? {
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                _ => Order::Big,
            };
            interfaces.clear();
        }
        let kind = order.u32(octets, at)?;
        let length = order.u32(octets, at + 4)? as usize;
        let body = octets.get(at + 8..(at + length).checked_sub(4)?)?;
        at += length.max(12).next_multiple_of(4);
        match kind {
            1 => interfaces.push((
                u32::from(order.u16(body, 0)?),
                per_second(order, body).unwrap_or(1_000_000),
            )),
            6 => {
                let (link, rate) = *interfaces.get(order.u32(body, 0)? as usize)?;
                let ticks = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
                let captured = order.u32(body, 12)? as usize;
                let length = order.u32(body, 16)? as usize;
                packets.push(Packet {
                    at_us: i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(rate))
                        .unwrap_or(0),
                    link,
                    length: length.max(captured),
                    octets: body.get(20..20 + captured)?.to_vec(),
                });
            }
            3 => {
                let (link, _) = *interfaces.first()?;
                let length = order.u32(body, 0)? as usize;
                let captured = length.min(body.len() - 4);
                packets.push(Packet {
                    at_us: packets.last().map_or(0, |packet| packet.at_us),
                    link,
                    length,
                    octets: body.get(4..4 + captured)?.to_vec(),
                });
            }
            _ => {}
        }
        Some(())
    };
    while next(&mut packets).is_some() {}
    packets
}

/// Ticks of an interface's clock in a second (option `if_tsresol`).
fn per_second(order: Order, body: &[u8]) -> Option<u64> {
    let mut at = 8;
    loop {
        let (code, length) = (order.u16(body, at)?, usize::from(order.u16(body, at + 2)?));
        match code {
            0 => return None,
            9 => {
                let resolution = *body.get(at + 4)?;
                let exponent = u32::from(resolution & 0x7f);
                return if resolution & 0x80 == 0 {
                    10_u64.checked_pow(exponent)
                } else {
                    1_u64.checked_shl(exponent)
                };
            }
            _ => at += 4 + length.next_multiple_of(4),
        }
    }
}
