//! ClientHello and ServerHello (RFC 8446 §4.1, RFC 5246 §7.4.1, RFC 9147 §5.3).

use crate::cursor::Cursor;

/// A ClientHello; every part of it was checked to lie inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientHello<'a> {
    /// `legacy_version`.
    pub(super) version: u16,
    ciphers: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// From the body of a handshake message; DTLS has a cookie in it.
    pub(super) fn read(body: &'a [u8], dtls: bool) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let version = cursor.be16()?;
        cursor.skip(32)?;
        let session = usize::from(cursor.u8()?);
        cursor.skip(session)?;
        if dtls {
            let cookie = usize::from(cursor.u8()?);
            cursor.skip(cookie)?;
        }
        let length = usize::from(cursor.be16()?);
        let ciphers = cursor.take(length)?;
        let methods = usize::from(cursor.u8()?);
        cursor.skip(methods)?;
        let extensions = match cursor.be16() {
            Some(length) => cursor.take(usize::from(length))?,
            None => &[],
        };
        // The extensions must tile their block, so that a cut or invented one is not taken for a hello.
        let mut check = Cursor::new(extensions);
        while !check.is_empty() {
            check.skip(2)?;
            let length = usize::from(check.be16()?);
            check.skip(length)?;
        }
        Some(Self {
            version,
            ciphers,
            extensions,
        })
    }

    /// Cipher suites in order.
    pub(super) fn ciphers(&self) -> impl Iterator<Item = u16> + use<'a> {
        pairs(self.ciphers)
    }

    /// Extensions in order.
    pub(super) fn extensions(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        extensions(self.extensions)
    }

    pub(super) fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        self.extensions()
            .find(|(k, _)| *k == kind)
            .map(|(_, value)| value)
    }

    /// The server name (RFC 6066 §3).
    pub(super) fn server_name(&self) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(self.extension(0)?);
        cursor.be16()?;
        while let Some(kind) = cursor.u8() {
            let length = usize::from(cursor.be16()?);
            let name = cursor.take(length)?;
            if kind == 0 {
                return Some(name);
            }
        }
        None
    }

    /// The first protocol of ALPN (RFC 7301); empty without.
    pub(super) fn first_alpn(&self) -> &'a [u8] {
        let read = || {
            let mut cursor = Cursor::new(self.extension(0x10)?);
            cursor.be16()?;
            let length = usize::from(cursor.u8()?);
            cursor.take(length)
        };
        read().unwrap_or_default()
    }

    /// `supported_versions` (RFC 8446 §4.2.1); empty without.
    pub(super) fn versions(&self) -> impl Iterator<Item = u16> + use<'a> {
        pairs(
            self.extension(0x2b)
                .and_then(|value| value.get(1..))
                .unwrap_or_default(),
        )
    }

    /// `signature_algorithms` (RFC 8446 §4.2.3); empty without.
    pub(super) fn signature_algorithms(&self) -> impl Iterator<Item = u16> + use<'a> {
        pairs(
            self.extension(0x0d)
                .and_then(|value| value.get(2..))
                .unwrap_or_default(),
        )
    }
}

/// What a server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    /// The version, from `supported_versions` where it is there.
    pub(super) version: u16,
    /// The cipher suite.
    pub(super) cipher: u16,
}

impl ServerHello {
    /// From the body of a handshake message.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let legacy = cursor.be16()?;
        cursor.skip(32)?;
        let session = usize::from(cursor.u8()?);
        cursor.skip(session)?;
        let cipher = cursor.be16()?;
        cursor.skip(1)?;
        let block = match cursor.be16() {
            Some(length) => cursor.take_up_to(usize::from(length)),
            None => &[],
        };
        let version = extensions(block)
            .find(|(kind, _)| *kind == 0x2b)
            .and_then(|(_, value)| Cursor::new(value).be16());
        Some(Self {
            version: version.unwrap_or(legacy),
            cipher,
        })
    }

    /// The version's number for people.
    pub(super) const fn version_text(self) -> &'static str {
        match self.version {
            0x0304 => "1.3",
            0x0303 => "1.2",
            0x0302 => "1.1",
            0x0301 => "1.0",
            0x0300 => "ssl3",
            0xfeff => "dtls1.0",
            0xfefd => "dtls1.2",
            0xfefc => "dtls1.3",
            _ => "unknown",
        }
    }
}

fn pairs(octets: &[u8]) -> impl Iterator<Item = u16> + use<'_> {
    octets
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

fn extensions(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + use<'_> {
    let mut cursor = Cursor::new(octets);
    std::iter::from_fn(move || {
        let kind = cursor.be16()?;
        let length = usize::from(cursor.be16()?);
        Some((kind, cursor.take(length)?))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Parts of a ClientHello that a test wants.
    pub(crate) struct Made<'a> {
        pub(crate) version: u16,
        pub(crate) ciphers: &'a [u16],
        pub(crate) extensions: &'a [u16],
        pub(crate) algorithms: &'a [u16],
        pub(crate) versions: &'a [u16],
        pub(crate) alpn: &'a [&'a [u8]],
    }

    fn short(value: usize) -> [u8; 2] {
        u16::try_from(value).expect("short").to_be_bytes()
    }

    /// The body of a ClientHello.
    pub(crate) fn client_hello(made: &Made<'_>) -> Vec<u8> {
        let words = |values: &[u16]| {
            values
                .iter()
                .flat_map(|v| v.to_be_bytes())
                .collect::<Vec<_>>()
        };
        let mut out = made.version.to_be_bytes().to_vec();
        out.extend([7; 32]);
        out.push(0);
        let ciphers = words(made.ciphers);
        out.extend(short(ciphers.len()));
        out.extend(ciphers);
        out.extend([1, 0]);
        let mut block = Vec::new();
        for kind in made.extensions {
            let value = match kind {
                0x00 => [&[0, 14, 0, 0, 11][..], b"example.org"].concat(),
                0x0d => {
                    let values = words(made.algorithms);
                    [&short(values.len())[..], &values].concat()
                }
                0x10 => {
                    let names: Vec<u8> = made
                        .alpn
                        .iter()
                        .flat_map(|name| {
                            let length = u8::try_from(name.len()).expect("short");
                            [&[length][..], name].concat()
                        })
                        .collect();
                    [&short(names.len())[..], &names].concat()
                }
                0x2b => {
                    let values = words(made.versions);
                    [&[u8::try_from(values.len()).expect("short")][..], &values].concat()
                }
                _ => vec![],
            };
            block.extend(kind.to_be_bytes());
            block.extend(short(value.len()));
            block.extend(value);
        }
        if !block.is_empty() {
            out.extend(short(block.len()));
            out.extend(block);
        }
        out
    }

    #[test]
    fn a_server_name_is_found() {
        let body = client_hello(&Made {
            version: 0x0303,
            ciphers: &[0x1301],
            extensions: &[0],
            algorithms: &[],
            versions: &[],
            alpn: &[],
        });
        let hello = ClientHello::read(&body, false).expect("well-formed");
        assert_eq!(hello.server_name(), Some(&b"example.org"[..]));
        for cut in 35..body.len() {
            let cut = &body[..cut];
            // Never a name that is not whole.
            let name = ClientHello::read(cut, false).and_then(|hello| hello.server_name());
            assert_eq!(name, None, "{}", cut.len());
        }
    }
}
