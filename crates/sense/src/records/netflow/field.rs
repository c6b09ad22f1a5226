//! Values of a record, by IANA's information elements; others are passed over.

use std::net::{IpAddr, Ipv6Addr};

use domain::Timestamp;
use domain::net::Mac;

use super::Clock;
use super::template::Template;

/// The enterprise number that marks elements of the reverse direction (RFC 5103, 6.1).
const REVERSE: u32 = 29_305;

/// What is read of a flow record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) source_mac: Option<Mac>,
    pub(crate) destination_mac: Option<Mac>,
    pub(crate) vlan: Option<u16>,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: Option<u8>,
    pub(crate) icmp_type: Option<u8>,
    pub(crate) packets: Option<u64>,
    pub(crate) octets: Option<u64>,
    pub(crate) reverse_packets: Option<u64>,
    pub(crate) reverse_octets: Option<u64>,
    /// Whether the exporter itself says that the source opened the flow.
    pub(crate) opened_by_source: bool,
    /// Whether the exporter itself says that the destination opened the flow.
    pub(crate) opened_by_destination: bool,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    /// Packets that one observed packet stands for.
    pub(crate) sampling: Option<u64>,
}

/// Reads one record; answers it with its octets. Absent when it ends too early.
pub(crate) fn read(
    template: &Template,
    bytes: &[u8],
    clock: Option<Clock>,
) -> Option<(Record, usize)> {
    let mut record = Record::default();
    let mut at = 0_usize;
    // Uptimes can only be turned into instants once the whole record is read: the start may come last.
    let (mut first_up, mut last_up, mut started) = (None, None, None);
    let (mut interval, mut space) = (None, None);
    for spec in &template.fields {
        let mut length = usize::from(spec.length);
        if spec.length == u16::MAX {
            length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 255 {
                length = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
                at += 2;
            }
        }
        let value = bytes.get(at..at.checked_add(length)?)?;
        at += length;
        if spec.enterprise == REVERSE {
            match spec.element {
                1 | 85 => record.reverse_octets = number(value),
                2 | 86 => record.reverse_packets = number(value),
                _ => {}
            }
            record.opened_by_source = true;
            continue;
        }
        if spec.enterprise != 0 {
            continue;
        }
        match spec.element {
            1 => record.octets = number(value),
            2 => record.packets = number(value),
            // Totals serve where there are no deltas.
            85 => record.octets = record.octets.or_else(|| number(value)),
            86 => record.packets = record.packets.or_else(|| number(value)),
            4 => record.protocol = value.last().copied(),
            7 | 180 | 182 => record.source_port = short(value).unwrap_or(record.source_port),
            11 | 181 | 183 => {
                record.destination_port = short(value).unwrap_or(record.destination_port)
            }
            8 | 27 => record.source = address(value).or(record.source),
            12 | 28 => record.destination = address(value).or(record.destination),
            56 => record.source_mac = mac(value),
            80 => record.destination_mac = mac(value),
            58 | 243 => {
                record.vlan = short(value)
                    .map(|id| id & 0xfff)
                    .filter(|id| (1..=4094).contains(id))
                    .or(record.vlan)
            }
            32 | 139 => record.icmp_type = short(value).map(|both| (both >> 8) as u8),
            176 | 178 => record.icmp_type = value.last().copied(),
            22 => first_up = number(value).and_then(|ms| u32::try_from(ms).ok()),
            21 => last_up = number(value).and_then(|ms| u32::try_from(ms).ok()),
            160 => started = number(value).and_then(|ms| i64::try_from(ms).ok()),
            150 => record.first = number(value).and_then(seconds),
            151 => record.last = number(value).and_then(seconds),
            152 => record.first = number(value).and_then(millis),
            153 => record.last = number(value).and_then(millis),
            154 | 156 => record.first = ntp(value),
            155 | 157 => record.last = ntp(value),
            158 => {
                record.first = clock
                    .zip(number(value))
                    .map(|(clock, micros)| before(clock, micros))
            }
            159 => {
                record.last = clock
                    .zip(number(value))
                    .map(|(clock, micros)| before(clock, micros))
            }
            // Counters of initiator and responder make one record of both directions.
            231 => {
                record.octets = number(value);
                record.opened_by_source = true;
            }
            232 => record.reverse_octets = number(value),
            298 => {
                record.packets = number(value);
                record.opened_by_source = true;
            }
            299 => record.reverse_packets = number(value),
            // biflowDirection: 1 initiator, 2 reverse initiator.
            239 => match value.last() {
                Some(1) => record.opened_by_source = true,
                Some(2) => (record.opened_by_source, record.opened_by_destination) = (false, true),
                _ => {}
            },
            34 | 50 => {
                record.sampling = number(value)
                    .filter(|interval| *interval > 0)
                    .or(record.sampling)
            }
            305 => interval = number(value),
            306 => space = number(value),
            _ => {}
        }
    }
    if let Some(clock) = clock {
        let clock = started.map_or(clock, |start| clock.started(start));
        record.first = first_up.map(|up| clock.at(up)).or(record.first);
        record.last = last_up.map(|up| clock.at(up)).or(record.last);
    }
    if let Some(interval) = interval.filter(|interval| *interval > 0) {
        // `interval` packets are taken, then `space` are not (RFC 5477, 8.2).
        record.sampling = Some(interval.saturating_add(space.unwrap_or(0)) / interval);
    }
    if record.reverse_packets.is_some() && !record.opened_by_destination {
        record.opened_by_source = true;
    }
    Some((record, at))
}

/// An unsigned number of 1 to 8 octets; exporters shorten them at will (RFC 7011, 6.2).
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 8 {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |number, octet| number << 8 | u64::from(*octet)),
    )
}

fn short(value: &[u8]) -> Option<u16> {
    number(value).and_then(|number| u16::try_from(number).ok())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let addr = match value.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).to_canonical(),
        _ => return None,
    };
    (!addr.is_unspecified()).then_some(addr)
}

fn mac(value: &[u8]) -> Option<Mac> {
    let mac = Mac(value.try_into().ok()?);
    mac.is_unicast().then_some(mac)
}

fn seconds(secs: u64) -> Option<Timestamp> {
    millis(secs.checked_mul(1000)?)
}

fn millis(ms: u64) -> Option<Timestamp> {
    i64::try_from(ms)
        .ok()
        .map(Timestamp::from_millis)
        .filter(|at| *at <= Timestamp::FOREVER)
}

/// Seconds since 1900 and their fraction (RFC 7011, 6.1.9).
fn ntp(value: &[u8]) -> Option<Timestamp> {
    let whole = number(value.get(..4)?)?;
    let fraction = number(value.get(4..8)?)?;
    let ms = (whole.checked_sub(2_208_988_800)?).checked_mul(1000)? + ((fraction * 1000) >> 32);
    millis(ms)
}

/// So many microseconds before the export.
fn before(clock: Clock, micros: u64) -> Timestamp {
    let ms = i64::try_from(micros / 1000).unwrap_or(i64::MAX);
    Timestamp::from_millis(clock.exported_ms.saturating_sub(ms))
}
