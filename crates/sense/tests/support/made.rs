//! Packets of protocols that the shared captures lack, made by hand after their standards.

use crate::packets::Packet;

const DEVICE: [u8; 6] = [2, 0, 0, 0, 0, 7];

fn frame(destination: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&destination[..], &DEVICE, &kind.to_be_bytes(), body].concat()
}

fn ipv4(protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = (20 + body.len()) as u16;
    let [high, low] = length.to_be_bytes();
    let head = [
        0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 7, 10, 0, 0, 9,
    ];
    frame([2, 0, 0, 0, 0, 9], 0x0800, &[&head[..], body].concat())
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [
        &ports.0.to_be_bytes()[..],
        &ports.1.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat()
}

fn tcp(ports: (u16, u16), sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    [
        &ports.0.to_be_bytes()[..],
        &ports.1.to_be_bytes(),
        &sequence.to_be_bytes(),
        &[0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        payload,
    ]
    .concat()
}

/// LLDP: type in seven bits, length in nine.
fn lldp() -> Vec<u8> {
    let value = |kind: u16, value: &[u8]| {
        [&(kind << 9 | value.len() as u16).to_be_bytes()[..], value].concat()
    };
    let body = [
        value(1, &[4, 2, 0, 0, 0, 0, 7]),
        value(2, &[5, b'1']),
        value(3, &[0, 120]),
        value(5, b"monitor-12"),
        value(6, b"Bedside monitor, software 4.1"),
        value(0, &[]),
    ]
    .concat();
    frame([1, 0x80, 0xc2, 0, 0, 0x0e], 0x88cc, &body)
}

fn cdp() -> Vec<u8> {
    let value = |kind: u16, value: &[u8]| {
        let length = value.len() as u16 + 4;
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    };
    let body = [
        vec![0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180, 0, 0],
        value(1, b"ward-switch"),
        value(5, b"Switch software 12.2(58)"),
        value(6, b"model WS-1"),
    ]
    .concat();
    frame([1, 0, 0x0c, 0xcc, 0xcc, 0xcc], body.len() as u16, &body)
}

/// One element of BER with a short length.
fn ber(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, value.len() as u8][..], value].concat()
}

/// GetResponse with sysDescr.0.
fn snmp() -> Vec<u8> {
    let binding = [
        ber(6, &[0x2b, 6, 1, 2, 1, 1, 1, 0]),
        ber(4, b"Acme analyser, firmware 2.0"),
    ]
    .concat();
    let bindings = ber(0x30, &ber(0x30, &binding));
    let response = [ber(2, &[1]), ber(2, &[0]), ber(2, &[0]), bindings].concat();
    let message = [ber(2, &[1]), ber(4, b"public"), ber(0xa2, &response)].concat();
    ipv4(17, &udp((161, 40_000), &ber(0x30, &message)))
}

/// SYN, then CONNECT of MQTT 3.1.1.
fn mqtt() -> [Vec<u8>; 2] {
    let body = [&[0, 4][..], b"MQTT", &[4, 2, 0, 60, 0, 8], b"pump-123"].concat();
    let connect = [&[0x10, body.len() as u8][..], &body].concat();
    let ports = (40_001, 1883);
    [
        ipv4(6, &tcp(ports, 0, 2, &[])),
        ipv4(6, &tcp(ports, 1, 0x18, &connect)),
    ]
}

/// SOLICIT with the client's name (RFC 4704).
fn dhcp6() -> Vec<u8> {
    let option = |code: u16, value: &[u8]| {
        let length = value.len() as u16;
        [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    };
    let message = [
        vec![1, 0, 0, 1],
        option(1, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 7]),
        option(39, b"\x00\x05cart7\x04ward\x00"),
    ]
    .concat();
    let body = udp((546, 547), &message);
    let mut packet = vec![0x60, 0, 0, 0, 0, body.len() as u8, 17, 1];
    packet.extend_from_slice(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2]);
    packet.extend_from_slice(&body);
    frame([0x33, 0x33, 0, 1, 0, 2], 0x86dd, &packet)
}

/// All of them, a second apart.
pub(crate) fn packets() -> Vec<Packet> {
    let [syn, connect] = mqtt();
    [lldp(), cdp(), snmp(), syn, connect, dhcp6()]
        .into_iter()
        .zip(1_750_000_000..)
        .map(|(octets, second)| Packet {
            at_us: second * 1_000_000,
            link: 1,
            length: octets.len(),
            octets,
        })
        .collect()
}
