//! Protocols that are recognised and named, and of which nothing more is read.
//!
//! Each recogniser decides on the first octets; what could as well be something else asks for the port too.

use domain::conversation::Protection;

use super::lines::nothing;
use super::{DatagramProtocol, Findings, First, Scene, StreamProtocol, Verdict};

const fn stream(
    service: &'static str,
    ports: &'static [u16],
    recognise: fn(&First<'_>) -> Verdict,
) -> StreamProtocol {
    StreamProtocol {
        service,
        ports,
        protection: Protection::Cleartext,
        follows: false,
        recognise,
        dissect: nothing,
    }
}

const fn datagram(
    service: &'static str,
    ports: &'static [u16],
    anywhere: bool,
    is: fn(&Scene, &[u8]) -> bool,
    dissect: fn(&Scene, &[u8], &mut Findings<'_>) -> bool,
) -> DatagramProtocol {
    DatagramProtocol {
        service,
        ports,
        protection: Protection::Cleartext,
        depth: 2,
        recognise: if anywhere { Some(is) } else { None },
        dissect,
    }
}

/// `dissect` for a recogniser of datagrams.
macro_rules! only {
    ($is:expr) => {
        |scene: &Scene, payload: &[u8], _: &mut Findings<'_>| $is(scene, payload)
    };
}

pub(super) static KERBEROS: StreamProtocol = stream("kerberos", &[88], |first| {
    // A length of four octets, then an application tag (RFC 4120 §7.2.2).
    match first.to_server {
        [0, _, _, _, tag, ..] if first.port_fits && is_kerberos_tag(*tag) => Verdict::Yes,
        [0, ..] | [] if first.port_fits && first.to_server.len() < 5 => Verdict::Perhaps,
        _ => Verdict::No,
    }
});

const fn is_kerberos_tag(tag: u8) -> bool {
    matches!(tag, 0x6a | 0x6b | 0x6c | 0x6d | 0x6e | 0x6f | 0x7e)
}

pub(super) static KERBEROS_DATAGRAM: DatagramProtocol =
    datagram("kerberos", &[88], false, is_kerberos, only!(is_kerberos));

fn is_kerberos(_scene: &Scene, payload: &[u8]) -> bool {
    payload.first().is_some_and(|tag| is_kerberos_tag(*tag)) && payload.len() > 20
}

/// A BER sequence around a message number and an operation (RFC 4511 §4.1.1).
fn is_ldap(octets: &[u8]) -> Verdict {
    let inside = match octets {
        [0x30, 0..=0x7f, rest @ ..]
        | [0x30, 0x81, _, rest @ ..]
        | [0x30, 0x82, _, _, rest @ ..]
        | [0x30, 0x84, _, _, _, _, rest @ ..] => rest,
        [0x30, ..] if octets.len() < 6 => return Verdict::Perhaps,
        _ => return Verdict::No,
    };
    match inside {
        [2, 1, _, tag, ..]
        | [2, 2, _, _, tag, ..]
        | [2, 3, _, _, _, tag, ..]
        | [2, 4, _, _, _, _, tag, ..]
            if matches!(tag, 0x60..=0x79 | 0x42 | 0x4a | 0x50) =>
        {
            Verdict::Yes
        }
        _ if inside.len() < 4 => Verdict::Perhaps,
        _ => Verdict::No,
    }
}

pub(super) static LDAP: StreamProtocol = stream("ldap", &[389, 3268], |first| {
    match (is_ldap(first.to_server), is_ldap(first.to_client)) {
        (Verdict::Yes, _) | (_, Verdict::Yes) => Verdict::Yes,
        (Verdict::Perhaps, _) | (_, Verdict::Perhaps) => Verdict::Perhaps,
        _ => Verdict::No,
    }
});

pub(super) static CLDAP: DatagramProtocol = datagram(
    "cldap",
    &[389],
    false,
    |_: &Scene, payload: &[u8]| is_ldap(payload) == Verdict::Yes,
    |_: &Scene, payload: &[u8], _: &mut Findings<'_>| is_ldap(payload) == Verdict::Yes,
);

/// `<priority>` of one to three digits (RFC 5424 §6.2.1, RFC 3164 §4.1.1).
fn is_syslog(octets: &[u8]) -> bool {
    match octets {
        [b'<', a, b'>', ..] => a.is_ascii_digit(),
        [b'<', a, b, b'>', ..] => a.is_ascii_digit() && b.is_ascii_digit(),
        [b'<', a, b, c, b'>', ..] => [a, b, c].iter().all(|digit| digit.is_ascii_digit()),
        _ => false,
    }
}

pub(super) static SYSLOG: StreamProtocol = stream("syslog", &[514, 601], |first| {
    // Octet counting puts a number in front (RFC 6587).
    let octets = first.to_server;
    let digits = octets
        .iter()
        .take(6)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let rest = match octets.get(digits) {
        Some(b' ') if digits > 0 => &octets[digits + 1..],
        _ if digits == 0 => octets,
        None if digits < 6 => return Verdict::Perhaps,
        _ => return Verdict::No,
    };
    if is_syslog(rest) {
        Verdict::Yes
    } else if rest.len() < 5 && (rest.is_empty() && digits > 0 || rest.first() == Some(&b'<')) {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
});

pub(super) static SYSLOG_DATAGRAM: DatagramProtocol = datagram(
    "syslog",
    &[514],
    true,
    |_: &Scene, payload: &[u8]| is_syslog(payload),
    |_: &Scene, payload: &[u8], _: &mut Findings<'_>| is_syslog(payload),
);

pub(super) static RADIUS: DatagramProtocol = datagram(
    "radius",
    &[1812, 1813, 1645, 1646, 3799],
    false,
    is_radius,
    only!(is_radius),
);

/// RFC 2865 §3.
fn is_radius(_scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [1..=5 | 11..=13 | 40..=45, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            (20..=payload.len()).contains(&length)
        }
        _ => false,
    }
}

pub(super) static TFTP: DatagramProtocol = datagram("tftp", &[69], false, is_tftp, only!(is_tftp));

/// A read or write request: a name and a mode (RFC 1350 §5). Names of files are not taken.
fn is_tftp(_scene: &Scene, payload: &[u8]) -> bool {
    let Some((&[0, 1 | 2], rest)) = payload.split_first_chunk() else {
        return matches!(payload, [0, 3..=6, _, _, ..]);
    };
    let mut parts = rest.split(|b| *b == 0);
    let name = parts.next().unwrap_or_default();
    let mode = parts.next().unwrap_or_default();
    !name.is_empty()
        && [&b"octet"[..], b"netascii", b"mail"]
            .iter()
            .any(|known| mode.eq_ignore_ascii_case(known))
}

/// ONC RPC (RFC 5531) for NFS, mount and port mapping: a call with version 2 and one of these programs.
fn rpc_program(call: &[u8]) -> bool {
    matches!(call, [_, _, _, _, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, program, ..] if matches!(program, 0xa0 | 0xa3 | 0xa5 | 0xb5 | 0xb8))
}

pub(super) static NFS: StreamProtocol = stream("nfs", &[2049, 111], |first| {
    let octets = first.to_server;
    if octets.len() < 20 && !octets.is_empty() && octets[0] & 0x80 != 0 && first.port_fits {
        return Verdict::Perhaps;
    }
    if octets.first().is_some_and(|b| b & 0x80 != 0)
        && rpc_program(octets.get(4..).unwrap_or_default())
    {
        Verdict::Yes
    } else {
        Verdict::No
    }
});

pub(super) static NFS_DATAGRAM: DatagramProtocol = datagram(
    "nfs",
    &[2049, 111],
    false,
    |_: &Scene, payload: &[u8]| rpc_program(payload),
    |_: &Scene, payload: &[u8], _: &mut Findings<'_>| {
        rpc_program(payload) || matches!(payload, [_, _, _, _, 0, 0, 0, 1, 0, 0, 0, 0 | 1, ..])
    },
);

/// A prefix that either side starts with.
fn starts(octets: &[u8], prefix: &[u8]) -> Verdict {
    if octets.starts_with(prefix) {
        Verdict::Yes
    } else if !octets.is_empty() && octets.len() < prefix.len() && prefix.starts_with(octets) {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
}

pub(super) static VNC: StreamProtocol = stream("vnc", &[5900, 5901, 5800], |first| {
    starts(first.to_client, b"RFB 00")
});

pub(super) static OPC_UA: StreamProtocol =
    stream("opcua", &[4840], |first| match first.to_server {
        // Hello, reverse hello, open secure channel (OPC UA part 6, §7.1.2).
        [b'H', b'E', b'L', b'F', ..]
        | [b'R', b'H', b'E', b'F', ..]
        | [b'O', b'P', b'N', b'F' | b'C', ..] => Verdict::Yes,
        octets => match starts(octets, b"HELF") {
            Verdict::Perhaps => Verdict::Perhaps,
            _ => Verdict::No,
        },
    });

/// Siemens S7 and other users of ISO transport over TCP (RFC 1006).
pub(super) static S7: StreamProtocol = stream("s7", &[102], |first| {
    let octets = first.to_server;
    let Some((&[3, 0, high, low, _, kind], _)) = octets.split_first_chunk() else {
        return if first.port_fits && octets.len() < 6 && matches!(octets, [] | [3] | [3, 0, ..]) {
            Verdict::Perhaps
        } else {
            Verdict::No
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match kind {
        0xe0 if first.port_fits => match octets.get(length..length + 8) {
            Some([3, 0, _, _, 2, 0xf0, _, 0x32 | 0x72]) => Verdict::Yes,
            Some(_) => Verdict::No,
            None => Verdict::Perhaps,
        },
        0xf0 if matches!(octets.get(7), Some(0x32 | 0x72)) => Verdict::Yes,
        _ => Verdict::No,
    }
});

pub(super) static DNP3: StreamProtocol = stream("dnp3", &[20000], |first| {
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    match octets {
        [0x05, 0x64, length, ..] if *length >= 5 && octets.len() >= 10 => Verdict::Yes,
        [0x05] | [0x05, 0x64, ..] if octets.len() < 10 => Verdict::Perhaps,
        _ => Verdict::No,
    }
});

pub(super) static IEC_104: StreamProtocol = stream("iec104", &[2404], |first| {
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    match octets {
        // Start and stop, test: a frame of six octets whose kind is U; or a numbered one on its port.
        [
            0x68,
            4,
            0x07 | 0x0b | 0x13 | 0x23 | 0x43 | 0x83,
            0,
            0,
            0,
            ..,
        ] => Verdict::Yes,
        [0x68, 4..=253, _, _, _, _, ..] if first.port_fits => Verdict::Yes,
        [0x68, ..] if octets.len() < 6 => Verdict::Perhaps,
        _ => Verdict::No,
    }
});

pub(super) static DCE_RPC: StreamProtocol =
    stream("dcerpc", &[135], |first| match first.to_server {
        // Version 5.0 or 5.1, bind or alter context, first fragment.
        [5, 0 | 1, 11 | 14, flags, 0x10 | 0, ..] if flags & 1 != 0 => Verdict::Yes,
        [5, 0 | 1, ..] if first.to_server.len() < 5 => Verdict::Perhaps,
        _ => Verdict::No,
    });

pub(super) static LPD: StreamProtocol = stream("lpd", &[515], |first| match first.to_server {
    // A command of one octet and the name of a queue (RFC 1179 §5).
    [1..=5, rest @ ..] if first.port_fits && rest.last() == Some(&b'\n') => Verdict::Yes,
    [1..=5, ..] if first.port_fits && first.to_server.len() < 128 => Verdict::Perhaps,
    _ => Verdict::No,
});

pub(super) static POSTGRESQL: StreamProtocol =
    stream("postgresql", &[5432], |first| match first.to_server {
        // SSLRequest, GSSENCRequest, or a start-up message of version 3.0.
        [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f | 0x30, ..]
        | [0, 0, _, _, 0, 3, 0, 0, b'a'..=b'z', ..] => Verdict::Yes,
        [0, 0, ..] if first.port_fits && first.to_server.len() < 9 => Verdict::Perhaps,
        _ => Verdict::No,
    });

pub(super) static SQL_SERVER: StreamProtocol = stream("tds", &[1433], |first| {
    match first.to_server {
        // Pre-login or login: type, last packet, length, process, number, window 0.
        [0x12 | 0x10, 1, high, low, 0, 0, _, 0, ..]
            if usize::from(u16::from_be_bytes([*high, *low])) <= first.to_server.len() =>
        {
            Verdict::Yes
        }
        // In the middle of a session: batches and calls.
        [1 | 3 | 0x0e, 1 | 9, _, _, _, _, _, 0, ..] if first.port_fits => Verdict::Yes,
        [0x12 | 0x10, 1, ..] if first.to_server.len() < 8 || first.port_fits => Verdict::Perhaps,
        [0x12 | 0x10] => Verdict::Perhaps,
        _ => Verdict::No,
    }
});

pub(super) static MYSQL: StreamProtocol = stream("mysql", &[3306], |first| match first.to_client {
    // Length, packet 0, protocol 10, the version in text.
    [_, _, 0, 0, 10, digit, ..]
        if digit.is_ascii_digit() && first.to_server.is_empty() | first.port_fits =>
    {
        Verdict::Yes
    }
    [] if first.to_server.is_empty() => Verdict::Perhaps,
    [_, _, 0, 0] | [_, _, 0] | [_, _] | [_] if first.port_fits => Verdict::Perhaps,
    _ => Verdict::No,
});

pub(super) static ORACLE: StreamProtocol =
    stream("oracle", &[1521], |first| match first.to_server {
        // A TNS connect packet.
        [_, _, 0, 0, 1, 0, ..] if memchr::memmem::find(first.to_server, b"(CONNECT").is_some() => {
            Verdict::Yes
        }
        [_, _, 0, 0, 1, 0, ..] if first.port_fits => Verdict::Yes,
        _ => Verdict::No,
    });

pub(super) static AJP: StreamProtocol = stream("ajp", &[8009], |first| match first.to_server {
    [0x12, 0x34, _, _, 2, ..] if first.port_fits => Verdict::Yes,
    _ => Verdict::No,
});

/// Traversal utilities for NAT (RFC 8489 §5).
fn is_stun(payload: &[u8]) -> bool {
    match payload {
        [0 | 1, _, high, low, 0x21, 0x12, 0xa4, 0x42, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length % 4 == 0 && payload.len() == 20 + length
        }
        _ => false,
    }
}

pub(super) static STUN: DatagramProtocol = datagram(
    "stun",
    &[3478, 3479, 19302],
    true,
    |_: &Scene, payload: &[u8]| is_stun(payload),
    |_: &Scene, payload: &[u8], _: &mut Findings<'_>| is_stun(payload),
);

pub(super) static STUN_STREAM: StreamProtocol = stream("stun", &[3478], |first| {
    if first.to_server.len() >= 20
        && is_stun(
            &first.to_server[..first
                .to_server
                .len()
                .min(20 + usize::from(first.to_server[3]))],
        )
    {
        Verdict::Yes
    } else {
        Verdict::No
    }
});

const fn encrypted(protocol: DatagramProtocol) -> DatagramProtocol {
    DatagramProtocol {
        protection: Protection::Encrypted,
        ..protocol
    }
}

pub(super) static WIREGUARD: DatagramProtocol = encrypted(datagram(
    "wireguard",
    &[51820],
    true,
    is_wireguard,
    only!(is_wireguard),
));

/// The three handshake messages have fixed lengths; data is a multiple of 16 (WireGuard whitepaper §5.4).
fn is_wireguard(scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [1, 0, 0, 0, ..] => payload.len() == 148,
        [2, 0, 0, 0, ..] => payload.len() == 92,
        [3, 0, 0, 0, ..] => payload.len() == 64,
        [4, 0, 0, 0, ..] => {
            payload.len() >= 32
                && payload.len().is_multiple_of(16)
                && (scene.server_port == 51820 || scene.client_port == 51820)
        }
        _ => false,
    }
}

pub(super) static IPSEC: DatagramProtocol = encrypted(datagram(
    "ipsec",
    &[500, 4500],
    false,
    is_ipsec,
    only!(is_ipsec),
));

/// IKE (RFC 7296 §3.1, RFC 2408 §3.1); on port 4500 ESP, keep-alives, or IKE behind four zeroes (RFC 3948).
fn is_ipsec(scene: &Scene, payload: &[u8]) -> bool {
    let ike = |octets: &[u8]| {
        octets.len() >= 28
            && matches!(octets[17], 0x10 | 0x20)
            && u32::from_be_bytes([octets[24], octets[25], octets[26], octets[27]]) as usize
                == octets.len()
    };
    if scene.server_port == 4500 || scene.client_port == 4500 {
        return payload == [0xff]
            || payload.starts_with(&[0; 4]) && ike(&payload[4..])
            || payload.len() > 8;
    }
    ike(payload)
}

pub(super) static QUIC: DatagramProtocol = encrypted(datagram(
    "quic",
    &[443, 784, 853, 8853],
    true,
    is_quic,
    only!(is_quic),
));

/// A long header with a version that is in use (RFC 9000 §17.2, RFC 9369, RFC 8999), long enough to be an Initial.
fn is_quic(_scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [first, a, b, c, d, length, ..] if first & 0x80 != 0 => {
            let version = u32::from_be_bytes([*a, *b, *c, *d]);
            let known = matches!(version, 1 | 0x6b33_43cf | 0xff00_0016..=0xff00_0022)
                || (version & 0x0f0f_0f0f == 0x0a0a_0a0a)
                || matches!(&[*a, *b], b"Q0" | b"T0");
            known && (*length <= 20 || matches!(a, b'Q' | b'T')) && payload.len() >= 64
        }
        // gQUIC before version 46: a version in the public header.
        [flags, _, _, _, _, _, _, _, _, b'Q', b'0', digit, _, ..] => {
            flags & 0x09 == 0x09 && digit.is_ascii_digit()
        }
        _ => false,
    }
}

pub(super) static COAP: DatagramProtocol =
    datagram("coap", &[5683], false, is_coap, only!(is_coap));

/// Version 1, a token of at most eight octets, a code of a known class (RFC 7252 §3).
fn is_coap(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [first, code, _, _, ..] if first >> 6 == 1 && first & 0x0f <= 8 && matches!(code >> 5, 0 | 2 | 4 | 5 | 7))
}

pub(super) static SLP: DatagramProtocol = datagram("slp", &[427], false, is_slp, only!(is_slp));

/// Service Location Protocol version 2 (RFC 2608 §8): its length fits.
fn is_slp(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [1 | 2, 1..=11, ..]) && payload.len() >= 12
}

/// Citrix ICA: thin clients (independent computing architecture, initial magic).
pub(super) static ICA: StreamProtocol = stream("ica", &[1494, 2598], |first| {
    let magic = [&b"\x7f\x7fICA\0"[..], b"\x1aCGP/01"];
    let is = |octets: &[u8]| magic.iter().any(|magic| octets.starts_with(magic));
    if is(first.to_server) || is(first.to_client) {
        Verdict::Yes
    } else {
        Verdict::No
    }
});

/// Cisco's skinny client control: telephones. Length, version, message, all least significant octet first.
pub(super) static SKINNY: StreamProtocol = stream("skinny", &[2000], |first| {
    let octets = if first.to_server.is_empty() {
        first.to_client
    } else {
        first.to_server
    };
    match octets {
        [length, 0 | 1, 0, 0, 0..=0x20, 0, 0, 0, _, 0..=3, 0, 0, ..]
            if first.port_fits && *length >= 4 =>
        {
            Verdict::Yes
        }
        _ => Verdict::No,
    }
});

pub(super) static BGP: StreamProtocol = stream("bgp", &[179], |first| {
    let marker = |octets: &[u8]| octets.starts_with(&[0xff; 16]);
    if marker(first.to_server) || marker(first.to_client) {
        Verdict::Yes
    } else {
        Verdict::No
    }
});

pub(super) static AMQP: StreamProtocol =
    stream("amqp", &[5672], |first| starts(first.to_server, b"AMQP"));

pub(super) static XMPP: StreamProtocol = stream("xmpp", &[5222, 5269], |first| {
    let within = &first.to_server[..first.to_server.len().min(256)];
    if within.starts_with(b"<") && memchr::memmem::find(within, b"<stream:stream").is_some() {
        Verdict::Yes
    } else if first.port_fits && within.starts_with(b"<?xml") && within.len() < 64 {
        Verdict::Perhaps
    } else {
        Verdict::No
    }
});

pub(super) static REDIS: StreamProtocol = stream("redis", &[6379], |first| match first.to_server {
    [b'*', digit, b'\r', b'\n', b'$', ..] if digit.is_ascii_digit() => Verdict::Yes,
    _ => Verdict::No,
});

/// Wire protocol of MongoDB: length, request, zero, and an operation code.
pub(super) static MONGODB: StreamProtocol = stream("mongodb", &[27017], |first| {
    let Some(head) = first.to_server.first_chunk::<16>() else {
        return Verdict::No;
    };
    let code = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    if head[8..12] == [0; 4] && matches!(code, 2004 | 2010 | 2012 | 2013) {
        Verdict::Yes
    } else {
        Verdict::No
    }
});

pub(super) static X11: StreamProtocol =
    stream("x11", &[6000, 6001], |first| match first.to_server {
        [b'l', _, 11, 0, 0, 0, ..] | [b'B', _, 0, 11, 0, 0, ..] => Verdict::Yes,
        _ => Verdict::No,
    });

pub(super) static ISCSI: StreamProtocol = stream("iscsi", &[3260], |first| match first.to_server {
    // A login request with its immediate bit (RFC 7143 §11.12).
    [0x43, _, ..] if first.port_fits && first.to_server.len() >= 48 => Verdict::Yes,
    _ => Verdict::No,
});

pub(super) static APPLE_FILING: StreamProtocol =
    stream("afp", &[548], |first| match first.to_server {
        [0, 1..=8, _, _, 0, 0, 0, 0, ..] if first.port_fits && first.to_server.len() >= 16 => {
            Verdict::Yes
        }
        _ => Verdict::No,
    });

/// Remote management of servers (IPMI 2.0 section 13, ASF 2.0): a version, a sequence number, a class.
pub(super) static IPMI: DatagramProtocol =
    datagram("ipmi", &[623, 664], false, is_rmcp, only!(is_rmcp));

fn is_rmcp(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [6, 0, _, 6 | 7 | 0x86 | 0x87, ..])
}

pub(super) static PTP: DatagramProtocol =
    datagram("ptp", &[319, 320], false, is_ptp, only!(is_ptp));

/// IEEE 1588: version 1 or 2 in the second octet.
fn is_ptp(_scene: &Scene, payload: &[u8]) -> bool {
    payload.len() >= 34 && (payload[1] & 0x0f == 2 || payload.starts_with(&[0, 1]))
}

pub(super) static RTCP: DatagramProtocol = datagram("rtcp", &[], true, is_rtcp, only!(is_rtcp));

/// A sender or receiver report whose length fits (RFC 3550 section 6.4).
fn is_rtcp(_scene: &Scene, payload: &[u8]) -> bool {
    match payload {
        [0x80..=0x9f, 200..=201, high, low, ..] => {
            let length = (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4;
            length >= 8 && length <= payload.len()
        }
        _ => false,
    }
}

pub(super) static RTP: DatagramProtocol = datagram("rtp", &[], true, is_rtp, only!(is_rtp));

/// Speech of telephones (RFC 3551): a static payload type with the length that 10, 20 or 30 ms of it have.
fn is_rtp(_scene: &Scene, payload: &[u8]) -> bool {
    let Some((&[0x80, kind], _)) = payload.split_first_chunk() else {
        return false;
    };
    match kind & 0x7f {
        0 | 8 | 9 => matches!(payload.len(), 92 | 172 | 252),
        18 => matches!(payload.len(), 22 | 32 | 42),
        _ => false,
    }
}

pub(super) static MGCP: DatagramProtocol =
    datagram("mgcp", &[2427, 2727], false, is_mgcp, only!(is_mgcp));

fn is_mgcp(_scene: &Scene, payload: &[u8]) -> bool {
    payload.get(..512.min(payload.len())).is_some_and(|head| {
        memchr::memmem::find(head, b" MGCP 1.0").is_some()
            || head.iter().take(3).all(u8::is_ascii_digit)
    })
}

pub(super) static NETFLOW: DatagramProtocol = datagram(
    "netflow",
    &[2055, 9995, 9996, 4739],
    false,
    is_netflow,
    only!(is_netflow),
);

fn is_netflow(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [0, 1 | 5 | 7 | 9 | 10, _, _, ..]) && payload.len() >= 16
}

pub(super) static SFLOW: DatagramProtocol =
    datagram("sflow", &[6343], false, is_sflow, only!(is_sflow));

fn is_sflow(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [0, 0, 0, 2 | 4 | 5, 0, 0, 0, 1 | 2, ..])
}

pub(super) static OPENVPN: DatagramProtocol = encrypted(datagram(
    "openvpn",
    &[1194],
    false,
    is_openvpn,
    only!(is_openvpn),
));

/// Operation codes with key 0 of a hard reset, control or data packet.
fn is_openvpn(_scene: &Scene, payload: &[u8]) -> bool {
    payload
        .first()
        .is_some_and(|code| (1..=10).contains(&(code >> 3)))
        && payload.len() >= 14
}

pub(super) static L2TP: DatagramProtocol =
    datagram("l2tp", &[1701], false, is_l2tp, only!(is_l2tp));

fn is_l2tp(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [_, 2 | 3, ..]) && payload.len() >= 6
}

/// Teradici's PC over IP: zero clients. It has no signature beyond its port.
pub(super) static PCOIP: DatagramProtocol =
    encrypted(datagram("pcoip", &[4172], false, is_long, only!(is_long)));

fn is_long(_scene: &Scene, payload: &[u8]) -> bool {
    payload.len() >= 16
}

pub(super) static HSRP: DatagramProtocol =
    datagram("hsrp", &[1985, 2029], false, is_hsrp, only!(is_hsrp));

/// Version 1 has twenty octets (RFC 2281 section 5); version 2 begins with a type and its length.
fn is_hsrp(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [0, 0..=3, ..]) && payload.len() >= 20 || matches!(payload, [1, 40, 2, ..])
}

pub(super) static WAKE: DatagramProtocol = datagram(
    "wake-on-lan",
    &[7, 9, 40000],
    false,
    is_wake,
    only!(is_wake),
);

fn is_wake(_scene: &Scene, payload: &[u8]) -> bool {
    payload.len() >= 102 && payload.starts_with(&[0xff; 6]) && payload[6..12] == payload[12..18]
}

pub(super) static NAT_PMP: DatagramProtocol = datagram(
    "nat-pmp",
    &[5350, 5351],
    false,
    is_nat_pmp,
    only!(is_nat_pmp),
);

fn is_nat_pmp(_scene: &Scene, payload: &[u8]) -> bool {
    matches!(payload, [0 | 2, 0..=2 | 0x80..=0x82, ..])
}
