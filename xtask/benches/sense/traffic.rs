//! One capture out of many: each is repeated with other addresses, and all of them run at the same time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::packets::{self, Packet};

/// The copies begin within this time, in microseconds.
const WINDOW_US: i64 = 600_000_000;

/// Longest silence that is kept, in microseconds.
const SILENCE_US: i64 = 10_000_000;

/// When the merged capture begins.
const START_US: i64 = 1_750_000_000_000_000;

/// What the merged capture is made of.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    pub(crate) captures: usize,
    pub(crate) copies: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// Packets by protocol.
    pub(crate) protocols: BTreeMap<&'static str, u64>,
}

/// The packets of every capture below these folders, each capture by itself. One link type for all readers.
pub(crate) fn read(folders: &[PathBuf]) -> Result<Vec<Vec<Packet>>> {
    let mut captures = Vec::new();
    for path in folders.iter().flat_map(|folder| packets::captures(folder)) {
        let octets =
            std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut packets = packets::read(&octets);
        packets.retain(|packet| packet.link == 1 && packet.length <= 65_535);
        if !packets.is_empty() {
            captures.push(packets);
        }
    }
    ensure!(
        !captures.is_empty(),
        "no captures of Ethernet below {folders:?}"
    );
    Ok(captures)
}

/// Merges captures into `file`, about `wanted` packets.
pub(crate) fn merge(captures: &[Vec<Packet>], wanted: usize, file: &Path) -> Result<Mix> {
    let each: usize = captures.iter().map(Vec::len).sum();
    ensure!(each > 0, "no packets to merge");
    // A copy's addresses differ from another's in one octet.
    let copies =
        u32::try_from(wanted.div_ceil(each).min(256)).context("too many packets wanted")?;
    let mut order: Vec<(i64, u32, u32, u32)> = Vec::with_capacity(each * copies as usize);
    for copy in 0..copies {
        for (number, capture) in captures.iter().enumerate() {
            // Any spread will do that is the same each time.
            let spread = (number as i64 * 7_919 + i64::from(copy) * 104_729) % 10_007;
            let mut at = START_US + spread * WINDOW_US / 10_007;
            let mut before = capture[0].at_us;
            for (place, packet) in capture.iter().enumerate() {
                at += (packet.at_us - before).clamp(0, SILENCE_US);
                before = packet.at_us;
                order.push((at, copy, number as u32, place as u32));
            }
        }
    }
    order.sort_unstable();
    let mut mix = Mix {
        captures: captures.len(),
        copies,
        packets: 0,
        bytes: 0,
        seconds: 0.0,
        protocols: BTreeMap::new(),
    };
    let output =
        File::create(file).with_context(|| format!("cannot write `{}`", file.display()))?;
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend_from_slice(&262_144_u32.to_le_bytes());
    header.extend_from_slice(&1_u32.to_le_bytes());
    output.write_all(&header)?;
    for (at, copy, number, place) in &order {
        let packet = &captures[*number as usize][*place as usize];
        let mut octets = packet.octets.clone();
        readdress(&mut octets, *copy as u8);
        write(&mut output, *at, packet, &octets)?;
        mix.packets += 1;
        mix.bytes += packet.length as u64;
        *mix.protocols.entry(protocol(&octets)).or_default() += 1;
    }
    output.flush()?;
    if let (Some(first), Some(last)) = (order.first(), order.last()) {
        mix.seconds = (last.0 - first.0) as f64 / 1e6;
    }
    Ok(mix)
}

fn write(output: &mut impl std::io::Write, at: i64, packet: &Packet, octets: &[u8]) -> Result<()> {
    let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
    for word in [
        seconds as u32,
        micros as u32,
        octets.len() as u32,
        packet.length as u32,
    ] {
        output.write_all(&word.to_le_bytes())?;
    }
    output.write_all(octets)?;
    Ok(())
}

/// Where the network packet begins, and its Ethertype.
fn network(octets: &[u8]) -> Option<(usize, u16)> {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]);
        match kind {
            0x8100 | 0x88a8 => at += 4,
            kind => return Some((at + 2, kind)),
        }
    }
}

/// Gives the parties of a frame other addresses, which are the same for the same copy; checksums of IPv4 stay right.
fn readdress(octets: &mut [u8], copy: u8) {
    if copy == 0 || octets.len() < 14 {
        return;
    }
    for at in [0, 6] {
        move_mac(&mut octets[at..at + 6], copy);
    }
    match network(octets) {
        Some((at, 0x0806)) if octets.len() >= at + 28 => {
            move_mac(&mut octets[at + 8..at + 14], copy);
            move_v4(&mut octets[at + 14..at + 18], copy);
            move_v4(&mut octets[at + 24..at + 28], copy);
        }
        Some((at, 0x0800)) if octets.len() >= at + 20 => {
            let packet = &mut octets[at..];
            let header = usize::from(packet[0] & 15) * 4;
            let before = sum(&packet[12..20]);
            move_v4(&mut packet[12..16], copy);
            move_v4(&mut packet[16..20], copy);
            let after = sum(&packet[12..20]);
            if header >= 20 && header <= packet.len() {
                let first = packet[6] & 0x1f == 0 && packet[7] == 0;
                let protocol = packet[9];
                mend(&mut packet[10..12], before, after);
                let payload = &mut packet[header..];
                let place = match protocol {
                    6 => 16,
                    17 => 6,
                    _ => usize::MAX,
                };
                if first && place < payload.len().saturating_sub(1) {
                    mend(&mut payload[place..place + 2], before, after);
                }
                move_dhcp(payload, protocol, copy);
            }
        }
        Some((at, 0x86dd)) if octets.len() >= at + 40 => {
            for start in [at + 8, at + 24] {
                let address = &mut octets[start..start + 16];
                if address[0] != 0xff && address[..8] != [0; 8] {
                    address[7] ^= copy;
                }
            }
        }
        _ => {}
    }
}

fn move_mac(mac: &mut [u8], copy: u8) {
    if mac[0] & 1 == 0 && mac != [0; 6] {
        mac[4] ^= copy;
    }
}

fn move_v4(address: &mut [u8], copy: u8) {
    if !matches!(address[0], 0 | 127 | 224..=255) {
        address[2] ^= copy;
    }
}

/// The client's hardware address in DHCP.
fn move_dhcp(payload: &mut [u8], protocol: u8, copy: u8) {
    if protocol == 17
        && payload.len() > 8 + 44
        && matches!(u16::from_be_bytes([payload[2], payload[3]]), 67 | 68)
    {
        move_mac(&mut payload[36..42], copy);
    }
}

/// The sum of 16-bit words.
fn sum(octets: &[u8]) -> u32 {
    octets
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum()
}

/// Mends an internet checksum when the sum of what it covers changed (RFC 1624). 0 of UDP means none.
fn mend(place: &mut [u8], before: u32, after: u32) {
    let old = u32::from(place[0]) << 8 | u32::from(place[1]);
    if old == 0 || before == after {
        return;
    }
    let fold = |mut sum: u32| {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    };
    let new = !fold((!old & 0xffff) + (!fold(before) & 0xffff) + fold(after)) & 0xffff;
    place.copy_from_slice(&(new as u16).to_be_bytes());
}

fn protocol(octets: &[u8]) -> &'static str {
    let name = |number: u8| match number {
        6 => "tcp",
        17 => "udp",
        1 | 58 => "icmp",
        _ => "other ip",
    };
    match network(octets) {
        Some((at, 0x0800)) => octets.get(at + 9).map_or("cut", |number| name(*number)),
        Some((at, 0x86dd)) => octets.get(at + 6).map_or("cut", |number| name(*number)),
        Some((_, 0x0806)) => "arp",
        _ => "not ip",
    }
}
