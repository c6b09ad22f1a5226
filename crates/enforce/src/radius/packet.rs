//! A RADIUS packet (RFC 2865 section 3): code, identifier, length, 16 octets of authenticator, attributes.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// Longest packet (RFC 2865 section 3).
pub const PACKET_MAX: usize = 4096;
/// Octets before the attributes.
pub const HEADER: usize = 20;
/// Octets of a Message-Authenticator attribute.
pub const SIGNATURE: usize = 18;
/// Longest value of an attribute.
pub const VALUE_MAX: usize = 253;

/// Number of Message-Authenticator (RFC 3579 section 3.2).
pub const MESSAGE_AUTHENTICATOR: u8 = 80;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the RFC's name")]
pub enum Code {
    AccessRequest,
    AccessAccept,
    AccessReject,
    AccessChallenge,
    DisconnectRequest,
    DisconnectAck,
    DisconnectNak,
    CoaRequest,
    CoaAck,
    CoaNak,
    Other(u8),
}

impl Code {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::AccessRequest => 1,
            Self::AccessAccept => 2,
            Self::AccessReject => 3,
            Self::AccessChallenge => 11,
            Self::DisconnectRequest => 40,
            Self::DisconnectAck => 41,
            Self::DisconnectNak => 42,
            Self::CoaRequest => 43,
            Self::CoaAck => 44,
            Self::CoaNak => 45,
            Self::Other(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            1 => Self::AccessRequest,
            2 => Self::AccessAccept,
            3 => Self::AccessReject,
            11 => Self::AccessChallenge,
            40 => Self::DisconnectRequest,
            41 => Self::DisconnectAck,
            42 => Self::DisconnectNak,
            43 => Self::CoaRequest,
            44 => Self::CoaAck,
            45 => Self::CoaNak,
            other => Self::Other(other),
        }
    }
}

/// An attribute: its number and value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    kind: u8,
    value: Vec<u8>,
}

impl std::fmt::Debug for Attribute {
    /// Without the value: it may be a password or a name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attribute({}, {} octets)", self.kind, self.value.len())
    }
}

/// A value is longer than an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of {0} octets does not fit a RADIUS attribute, which takes 253")]
pub struct ValueTooLong(pub usize);

impl Attribute {
    /// An attribute.
    ///
    /// # Errors
    /// When the value is longer than 253 octets.
    pub fn new(kind: u8, value: impl Into<Vec<u8>>) -> Result<Self, ValueTooLong> {
        let value = value.into();
        if value.len() > VALUE_MAX {
            return Err(ValueTooLong(value.len()));
        }
        Ok(Self { kind, value })
    }

    /// A vendor's attribute (RFC 2865 section 5.26) with one sub-attribute.
    ///
    /// # Errors
    /// When the value is longer than 247 octets.
    pub fn vendor(vendor: u32, kind: u8, value: &[u8]) -> Result<Self, ValueTooLong> {
        let length = u8::try_from(value.len() + 2).map_err(|_| ValueTooLong(value.len()))?;
        let mut out = vendor.to_be_bytes().to_vec();
        out.extend_from_slice(&[kind, length]);
        out.extend_from_slice(value);
        Self::new(26, out)
    }

    /// Its number.
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// A vendor's sub-attribute: vendor, number, value. `None` when it is no vendor's or malformed.
    pub fn vendors(&self) -> Option<(u32, u8, &[u8])> {
        if self.kind != 26 {
            return None;
        }
        let (vendor, rest) = self.value.split_first_chunk::<4>()?;
        let [kind, length, value @ ..] = rest else {
            return None;
        };
        let value = value.get(..usize::from(*length).checked_sub(2)?)?;
        Some((u32::from_be_bytes(*vendor), *kind, value))
    }

    /// Octets it takes in a packet.
    pub fn octets(&self) -> usize {
        self.value.len() + 2
    }
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub code: Code,
    /// Which request an answer is to.
    pub identifier: u8,
    /// 16 octets that sign it, or that are random in an Access-Request.
    pub authenticator: [u8; 16],
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
}

/// Why octets are no packet, or a packet is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than a header, or than it says.
    #[error("the packet is cut short")]
    Short,
    /// A length that cannot be.
    #[error("the packet's length field is out of bounds")]
    Length,
    /// An attribute that does not fit.
    #[error("an attribute's length is out of bounds")]
    Attribute,
    /// Longer than 4,096 octets.
    #[error("the packet would have {0} octets; RADIUS has at most 4,096")]
    TooLong(usize),
    /// Signed with another secret, or for another request.
    #[error("the packet's authenticator is wrong: check the shared secret")]
    Authenticator,
    /// Without Message-Authenticator.
    #[error("the packet has no Message-Authenticator")]
    Unsigned,
}

impl Packet {
    /// Reads octets. What follows the length that the packet says is padding (RFC 2865 section 3).
    ///
    /// # Errors
    /// When they are no packet.
    pub fn read(raw: &[u8]) -> Result<Self, PacketError> {
        let header: &[u8; HEADER] = raw.first_chunk().ok_or(PacketError::Short)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(HEADER..=PACKET_MAX).contains(&length) {
            return Err(PacketError::Length);
        }
        let mut rest = raw.get(HEADER..length).ok_or(PacketError::Short)?;
        let mut attributes = Vec::new();
        while let [kind, length, tail @ ..] = rest {
            let end = usize::from(*length)
                .checked_sub(2)
                .ok_or(PacketError::Attribute)?;
            let value = tail.get(..end).ok_or(PacketError::Attribute)?;
            attributes.push(Attribute {
                kind: *kind,
                value: value.to_vec(),
            });
            rest = &tail[end..];
        }
        if !rest.is_empty() {
            return Err(PacketError::Attribute);
        }
        let mut authenticator = [0; 16];
        authenticator.copy_from_slice(&header[4..]);
        Ok(Self {
            code: Code::of(header[0]),
            identifier: header[1],
            authenticator,
            attributes,
        })
    }

    /// The values of an attribute.
    pub fn values(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |a| a.kind == kind)
            .map(|a| a.value.as_slice())
    }

    /// Octets that it takes when signed.
    pub fn octets(&self) -> usize {
        HEADER + SIGNATURE + self.attributes.iter().map(Attribute::octets).sum::<usize>()
    }

    /// The octets of an Access-Request: its authenticator, which has to be random, stays; Message-Authenticator comes first.
    ///
    /// # Errors
    /// When it is too long.
    pub fn write_access_request(&self, secret: &[u8]) -> Result<Vec<u8>, PacketError> {
        let mut out = self.unsigned(self.authenticator)?;
        sign(&mut out, secret);
        Ok(out)
    }

    /// The octets of a CoA- or Disconnect-Request (RFC 5176 section 2.3).
    ///
    /// # Errors
    /// When it is too long.
    pub fn write_change_request(&self, secret: &[u8]) -> Result<Vec<u8>, PacketError> {
        let mut out = self.unsigned([0; 16])?;
        sign(&mut out, secret);
        authenticate(&mut out, secret);
        Ok(out)
    }

    /// The octets of an answer to a request with this authenticator.
    ///
    /// # Errors
    /// When it is too long.
    pub fn write_answer(&self, secret: &[u8], request: [u8; 16]) -> Result<Vec<u8>, PacketError> {
        let mut out = self.unsigned(request)?;
        sign(&mut out, secret);
        authenticate(&mut out, secret);
        Ok(out)
    }

    /// Reads an answer and believes it only if it is signed for this request.
    ///
    /// # Errors
    /// When it is no packet, or its authenticator or Message-Authenticator is wrong, or when it has no
    /// Message-Authenticator though one is required.
    pub fn read_answer(
        raw: &[u8],
        secret: &[u8],
        request: [u8; 16],
        signed: bool,
    ) -> Result<Self, PacketError> {
        let packet = Self::read(raw)?;
        let length = usize::from(u16::from_be_bytes([raw[2], raw[3]]));
        let mut copy = raw[..length].to_vec();
        copy[4..HEADER].copy_from_slice(&request);
        let digest = Md5::new()
            .chain_update(&copy)
            .chain_update(secret)
            .finalize();
        if digest[..] != packet.authenticator[..] {
            return Err(PacketError::Authenticator);
        }
        match place_of_signature(&copy) {
            Some(place) => {
                let given: Vec<u8> = copy[place..place + 16].to_vec();
                copy[place..place + 16].fill(0);
                keyed(&copy, secret)
                    .verify_slice(&given)
                    .map_err(|_| PacketError::Authenticator)?;
            }
            None if signed => return Err(PacketError::Unsigned),
            None => {}
        }
        Ok(packet)
    }

    /// The octets with an empty Message-Authenticator in front of the attributes.
    fn unsigned(&self, authenticator: [u8; 16]) -> Result<Vec<u8>, PacketError> {
        let length = self.octets();
        if length > PACKET_MAX {
            return Err(PacketError::TooLong(length));
        }
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&[self.code.number(), self.identifier]);
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&authenticator);
        out.extend_from_slice(&[MESSAGE_AUTHENTICATOR, 18]);
        out.extend_from_slice(&[0; 16]);
        for attribute in &self.attributes {
            let length = u8::try_from(attribute.octets()).unwrap_or(u8::MAX);
            out.extend_from_slice(&[attribute.kind, length]);
            out.extend_from_slice(&attribute.value);
        }
        Ok(out)
    }
}

fn keyed(packet: &[u8], secret: &[u8]) -> Hmac<Md5> {
    let mut mac =
        <Hmac<Md5> as KeyInit>::new_from_slice(secret).expect("HMAC takes a key of every length");
    mac.update(packet);
    mac
}

/// Fills in the Message-Authenticator, which stands first.
fn sign(packet: &mut [u8], secret: &[u8]) {
    let mac = keyed(packet, secret).finalize().into_bytes();
    packet[HEADER + 2..HEADER + SIGNATURE].copy_from_slice(&mac);
}

/// Fills in the authenticator: MD5 of the packet, with what the field held, and the secret.
fn authenticate(packet: &mut [u8], secret: &[u8]) {
    let digest = Md5::new()
        .chain_update(&*packet)
        .chain_update(secret)
        .finalize();
    packet[4..HEADER].copy_from_slice(&digest);
}

/// Offset of the value of Message-Authenticator.
fn place_of_signature(packet: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    while let Some(&[kind, length]) = packet.get(at..at + 2) {
        if kind == MESSAGE_AUTHENTICATOR && usize::from(length) == SIGNATURE {
            return Some(at + 2);
        }
        at += usize::from(length).max(2);
    }
    None
}

/// Hides a password for User-Password (RFC 2865 section 5.2); of at most 128 octets, the rest is refused.
///
/// # Errors
/// When it is longer.
pub fn hide_password(
    password: &[u8],
    secret: &[u8],
    authenticator: [u8; 16],
) -> Result<Vec<u8>, ValueTooLong> {
    if password.len() > 128 {
        return Err(ValueTooLong(password.len()));
    }
    let mut out = password.to_vec();
    out.resize(out.len().max(1).next_multiple_of(16), 0);
    let mut before = authenticator.to_vec();
    for block in out.chunks_mut(16) {
        let pad = Md5::new()
            .chain_update(secret)
            .chain_update(&before)
            .finalize();
        for (octet, pad) in block.iter_mut().zip(pad) {
            *octet ^= pad;
        }
        before = block.to_vec();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_as_in_the_rfcs_own_example() {
        // RFC 2865 section 7.1: user nemo, password arctangent, secret xyzzy5461.
        let authenticator = [
            0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4,
            0x22, 0x7a,
        ];
        let hidden = hide_password(b"arctangent", b"xyzzy5461", authenticator).expect("short");
        assert_eq!(
            hidden,
            [
                0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a,
                0x0a, 0xee
            ]
        );
    }

    fn packet(code: Code) -> Packet {
        Packet {
            code,
            identifier: 7,
            authenticator: [9; 16],
            attributes: vec![
                Attribute::new(1, *b"021122334455").expect("short"),
                Attribute::vendor(9, 1, b"ip:inacl#10=permit ip any any").expect("short"),
            ],
        }
    }

    #[test]
    fn an_answer_is_believed_only_with_its_request_and_secret() {
        let raw = packet(Code::AccessAccept)
            .write_answer(b"secret", [3; 16])
            .expect("short");
        let read = Packet::read_answer(&raw, b"secret", [3; 16], true).expect("signed");
        assert_eq!(read.code, Code::AccessAccept);
        assert_eq!(
            read.attributes[2].vendors(),
            Some((9, 1, &b"ip:inacl#10=permit ip any any"[..]))
        );
        for (secret, request) in [(&b"other"[..], [3; 16]), (b"secret", [4; 16])] {
            assert_eq!(
                Packet::read_answer(&raw, secret, request, true),
                Err(PacketError::Authenticator)
            );
        }
        for place in [0, 1, 25, raw.len() - 1] {
            let mut changed = raw.clone();
            changed[place] ^= 1;
            assert_eq!(
                Packet::read_answer(&changed, b"secret", [3; 16], true),
                Err(PacketError::Authenticator),
                "octet {place}"
            );
        }
    }

    #[test]
    fn an_answer_without_message_authenticator_is_refused_where_one_is_required() {
        let mut raw = vec![2, 7, 0, 20];
        raw.extend_from_slice(&[3; 16]);
        authenticate(&mut raw, b"secret");
        assert!(Packet::read_answer(&raw, b"secret", [3; 16], false).is_ok());
        assert_eq!(
            Packet::read_answer(&raw, b"secret", [3; 16], true),
            Err(PacketError::Unsigned)
        );
    }

    #[test]
    fn a_packet_that_would_be_too_long_is_not_written() {
        let mut long = packet(Code::AccessAccept);
        while long.octets() <= PACKET_MAX {
            long.attributes
                .push(Attribute::new(25, vec![0; 200]).expect("short"));
        }
        assert_eq!(
            long.write_answer(b"secret", [0; 16]),
            Err(PacketError::TooLong(long.octets()))
        );
        assert!(Attribute::new(1, vec![0; 254]).is_err());
        assert!(Attribute::vendor(9, 1, &[0; 248]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_octets_read_without_a_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
            let _ = Packet::read(&raw).map(|p| p.attributes.iter().filter_map(Attribute::vendors).count());
            let _ = Packet::read_answer(&raw, b"s", [0; 16], true);
        }

        #[test]
        fn what_is_written_reads_back(values in proptest::collection::vec((1_u8..80, proptest::collection::vec(proptest::num::u8::ANY, 0..60)), 0..20)) {
            let attributes: Vec<Attribute> = values
                .into_iter()
                .map(|(kind, value)| Attribute::new(kind, value).expect("short"))
                .collect();
            let packet = Packet { code: Code::CoaRequest, identifier: 1, authenticator: [0; 16], attributes };
            let raw = packet.write_change_request(b"secret").expect("short");
            let read = Packet::read(&raw).expect("a packet");
            proptest::prop_assert_eq!(&read.attributes[1..], &packet.attributes[..]);
            proptest::prop_assert_eq!(raw.len(), packet.octets());
        }
    }
}
