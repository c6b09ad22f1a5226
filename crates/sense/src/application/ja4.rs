//! JA4, the fingerprint of a TLS client (FoxIO's technical details of JA4, BSD-3-Clause part; not JA4+).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::hello::ClientHello;

/// Over what the ClientHello came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// TLS over TCP: `t`.
    Tcp,
    /// DTLS: `d`.
    Dtls,
}

/// Reserved values that clients send at random (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
pub(super) const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Cipher suites and extensions beyond this number are not hashed: no client sends as many.
const LIST_MAX: usize = 1024;

/// The fingerprint: 36 characters.
pub(super) fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> String {
    let mut ciphers: Vec<u16> = hello
        .ciphers()
        .filter(|c| !is_grease(*c))
        .take(LIST_MAX)
        .collect();
    let mut extensions: Vec<u16> = hello
        .extensions()
        .map(|(kind, _)| kind)
        .filter(|kind| !is_grease(*kind))
        .take(LIST_MAX)
        .collect();
    let mut out = String::with_capacity(36);
    out.push(match carrier {
        Carrier::Tcp => 't',
        Carrier::Dtls => 'd',
    });
    out.push_str(version(hello));
    out.push(if hello.extension(0).is_some() {
        'd'
    } else {
        'i'
    });
    let _ = write!(
        out,
        "{:02}{:02}",
        ciphers.len().min(99),
        extensions.len().min(99)
    );
    let [first, last] = alpn(hello.first_alpn());
    out.push(first);
    out.push(last);
    ciphers.sort_unstable();
    out.push('_');
    out.push_str(&hash(&list(&ciphers)));
    // Server name and ALPN are in the first part already.
    extensions.retain(|kind| !matches!(kind, 0x0000 | 0x0010));
    extensions.sort_unstable();
    let mut text = list(&extensions);
    let algorithms: Vec<u16> = hello
        .signature_algorithms()
        .filter(|algorithm| !is_grease(*algorithm))
        .take(LIST_MAX)
        .collect();
    if !algorithms.is_empty() {
        text.push('_');
        text.push_str(&list(&algorithms));
    }
    out.push('_');
    out.push_str(&hash(&text));
    out
}

fn version(hello: &ClientHello<'_>) -> &'static str {
    // DTLS counts downwards: the highest version is the smallest number.
    let offered = hello.versions().filter(|version| !is_grease(*version));
    let version = if hello.version >> 8 == 0xfe {
        offered.min().unwrap_or(hello.version)
    } else {
        offered.max().unwrap_or(hello.version)
    };
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hexadecimal digits where one is no letter or digit.
fn alpn(first: &[u8]) -> [char; 2] {
    let (Some(&a), Some(&z)) = (first.first(), first.last()) else {
        return ['0', '0'];
    };
    if a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric() {
        return [char::from(a), char::from(z)];
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    [digit(a >> 4), digit(z & 0x0f)]
}

fn list(values: &[u16]) -> String {
    let mut out = String::with_capacity(values.len() * 5);
    for (index, value) in values.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{value:04x}");
    }
    out
}

/// The first 12 hexadecimal digits of SHA-256; of nothing, zeroes.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    let mut out = String::with_capacity(12);
    for octet in &digest[..6] {
        let _ = write!(out, "{octet:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::hello::tests::{Made, client_hello};

    fn check(made: &Made<'_>, expected: &str) {
        let body = client_hello(made);
        let hello = ClientHello::read(&body, false).expect("well-formed");
        assert_eq!(ja4(&hello, Carrier::Tcp), expected);
    }

    /// The example of the specification: a Chrome with GREASE everywhere.
    #[test]
    fn the_published_example_comes_out() {
        check(
            &Made {
                version: 0x0303,
                ciphers: &[
                    0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                    0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
                ],
                extensions: &[
                    0x0a0a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
                    0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x5a5a,
                ],
                algorithms: &[
                    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
                ],
                versions: &[0x1a1a, 0x0304, 0x0303],
                alpn: &[b"h2", b"http/1.1"],
            },
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
        );
    }

    #[test]
    fn a_hello_without_extensions_has_zeroes() {
        check(
            &Made {
                version: 0x0301,
                ciphers: &[],
                extensions: &[],
                algorithms: &[],
                versions: &[],
                alpn: &[],
            },
            "t10i000000_000000000000_000000000000",
        );
    }

    #[test]
    fn alpn_is_two_characters_whatever_it_is() {
        assert_eq!(alpn(b"http/1.1"), ['h', '1']);
        assert_eq!(alpn(b"h"), ['h', 'h']);
        assert_eq!(alpn(b""), ['0', '0']);
        assert_eq!(alpn(&[0xab]), ['a', 'b']);
        assert_eq!(alpn(&[0x30, 0xab]), ['3', 'b']);
    }
}
