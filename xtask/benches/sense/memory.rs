//! Memory of the sensor: with devices that fell silent, and under a flood.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use domain::observation::{Observation, Sink};
use domain::{Flow, SourceId, Timestamp};
use sense::{Limits, LinkType, Sensor};
use serde_json::json;

use crate::cost::resident;

/// Forgets what it is told: the memory is the sensor's alone.
struct Nothing;

impl Sink for Nothing {
    fn observe(&mut self, _: Observation) {}
    fn flow(&mut self, _: Flow) {}
}

const START_MS: i64 = 1_750_000_000_000;

/// A frame with a UDP datagram or TCP segment.
struct Frame(Vec<u8>);

impl Frame {
    fn new(source: u32, to: [u8; 6], kind: [u8; 2], body: &[u8]) -> Self {
        let [a, b, c, d] = source.to_be_bytes();
        let mut octets = to.to_vec();
        octets.extend_from_slice(&[2, 0, a, b, c, d]);
        octets.extend_from_slice(&kind);
        octets.extend_from_slice(body);
        Self(octets)
    }

    fn ip(source: u32, destination: [u8; 4], protocol: u8, body: &[u8]) -> Self {
        let length = (20 + body.len()) as u16;
        let [_, b, c, d] = source.to_be_bytes();
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, b, c, d,
        ];
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&destination);
        packet.extend_from_slice(body);
        Self::new(source, [2, 0, 0, 0, 0, 1], [8, 0], &packet)
    }

    fn udp(source: u32, destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Self {
        let mut body = ports.0.to_be_bytes().to_vec();
        body.extend_from_slice(&ports.1.to_be_bytes());
        body.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(payload);
        Self::ip(source, destination, 17, &body)
    }

    fn tcp(
        source: u32,
        destination: [u8; 4],
        ports: (u16, u16),
        flags: u8,
        payload: &[u8],
    ) -> Self {
        let mut body = ports.0.to_be_bytes().to_vec();
        body.extend_from_slice(&ports.1.to_be_bytes());
        body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        body.extend_from_slice(payload);
        Self::ip(source, destination, 6, &body)
    }
}

fn arp(device: u32) -> Frame {
    let [a, b, c, d] = device.to_be_bytes();
    let body = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, a, b, c, d, 10, b, c, d, 0, 0, 0, 0, 0, 0, 10, b, c, d,
    ];
    Frame::new(device, [0xff; 6], [8, 6], &body)
}

fn dhcp(device: u32) -> Frame {
    let [a, b, c, d] = device.to_be_bytes();
    let mut message = vec![1, 1, 6, 0, a, b, c, d];
    message.resize(28, 0);
    message.extend_from_slice(&[2, 0, a, b, c, d]);
    message.resize(236, 0);
    message.extend_from_slice(&[99, 130, 83, 99, 53, 1, 3, 60, 4]);
    message.extend_from_slice(b"Acme");
    message.extend_from_slice(&[55, 4, 1, 3, 6, 15, 12, 12]);
    message.extend_from_slice(format!("dev-{device:08x}").as_bytes());
    message.push(255);
    let mut frame = Frame::udp(device, [255; 4], (68, 67), &message);
    // Not yet with an address.
    frame.0[26..30].copy_from_slice(&[0; 4]);
    frame
}

fn dns(device: u32) -> Frame {
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6];
    query.extend_from_slice(b"update\x04acme\x07example\0\0\x01\0\x01");
    let port = 32_768 + (device % 20_000) as u16;
    Frame::udp(device, [10, 255, 0, 1], (port, 53), &query)
}

/// `devices` each say ARP, DHCP, DNS and a TCP request, then all fall silent for an hour.
pub(crate) fn idle(devices: u32) -> Result<()> {
    let mut sensor = Sensor::new(SourceId(0), Limits::default());
    let before = resident()?;
    let mut at = START_MS;
    for device in 1..=devices {
        let port = 40_000 + (device % 20_000) as u16;
        let server = [10, 255, 0, 2];
        for frame in [
            arp(device),
            dhcp(device),
            dns(device),
            Frame::tcp(device, server, (port, 80), 2, &[]),
            Frame::tcp(
                device,
                server,
                (port, 80),
                24,
                b"GET / HTTP/1.1\r\nUser-Agent: Acme/1\r\n\r\n",
            ),
        ] {
            let length = frame.0.len();
            sensor.packet(
                Timestamp::from_millis(at),
                LinkType::Ethernet,
                &frame.0,
                length,
                &mut Nothing,
            );
        }
        at += 2;
    }
    let busy = resident()?;
    sensor.tick(Timestamp::from_millis(at + 3_600_000), &mut Nothing);
    say(&sensor, before, busy)
}

/// `devices` spoofed MAC addresses, each with one packet of a random flow.
pub(crate) fn flood(devices: u32) -> Result<()> {
    let mut sensor = Sensor::new(SourceId(0), Limits::default());
    let before = resident()?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for device in 0..devices {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let [a, b, c, d, e, f, g, h] = random.to_be_bytes();
        let ports = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let destination = [e, f, g, h];
        let source = random as u32 ^ device;
        let frame = match device % 3 {
            0 => arp(source),
            1 => Frame::udp(source, destination, ports, &random.to_be_bytes()),
            _ => Frame::tcp(source, destination, ports, 24, &random.to_be_bytes()),
        };
        let length = frame.0.len();
        sensor.packet(
            Timestamp::from_millis(START_MS + i64::from(device / 1000)),
            LinkType::Ethernet,
            &frame.0,
            length,
            &mut Nothing,
        );
    }
    let busy = resident()?;
    say(&sensor, before, busy)
}

fn say(sensor: &Sensor, before: u64, busy: u64) -> Result<()> {
    let after = resident()?;
    let said = json!({
        "before": before,
        "busy": busy,
        "after": after,
        "flows": sensor.flows(),
        "counters": sensor.counters(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{said}").context("cannot print")
}
