//! Headers of TCP and UDP.

/// Flags of a TCP header.
pub(crate) mod tcp_flag {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const ACK: u8 = 16;
}

/// A TCP header and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Captured options.
    pub(crate) options: &'a [u8],
    /// Captured payload.
    pub(crate) payload: &'a [u8],
    /// Payload on the wire.
    pub(crate) length: usize,
}

/// Reads a TCP header from a payload of IP that had `length` octets on the wire.
#[inline]
pub(crate) fn tcp(octets: &[u8], length: usize) -> Option<Tcp<'_>> {
    let header = octets.first_chunk::<20>()?;
    let &[
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = header;
    let header_length = usize::from(offset >> 4) * 4;
    if header_length < 20 || header_length > length {
        return None;
    }
    let captured = header_length.min(octets.len());
    Some(Tcp {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        sequence: u32::from_be_bytes([q0, q1, q2, q3]),
        acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
        flags,
        window: u16::from_be_bytes([w0, w1]),
        options: &octets[20..captured],
        payload: &octets[captured..],
        length: length - header_length,
    })
}

/// A UDP header and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Udp<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Captured payload.
    pub(crate) payload: &'a [u8],
}

/// Reads a UDP header.
#[inline]
pub(crate) fn udp(octets: &[u8]) -> Option<Udp<'_>> {
    let (&[s0, s1, d0, d1, l0, l1, _, _], payload) = octets.split_first_chunk::<8>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // 0: a jumbogram or segmentation offload; less than the header: malformed.
    let payload = match length {
        0 => payload,
        1..8 => return None,
        _ => &payload[..payload.len().min(length - 8)],
    };
    Some(Udp {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_length_cuts_padding_and_a_short_one_is_malformed() {
        let mut octets = vec![0, 53, 4, 0, 0, 10, 0, 0, 1, 2, 3, 4];
        assert_eq!(udp(&octets).map(|udp| udp.payload), Some([1, 2].as_slice()));
        octets[5] = 7;
        assert_eq!(udp(&octets), None);
        assert_eq!(udp(&octets[..7]), None);
    }

    #[test]
    fn a_tcp_header_within_the_capture_is_enough() {
        let mut octets = vec![0; 24];
        octets[12] = 0x80;
        let tcp = tcp(&octets, 100).expect("a header");
        assert_eq!(
            (tcp.options.len(), tcp.payload.len(), tcp.length),
            (4, 0, 68)
        );
        assert_eq!(super::tcp(&octets, 30), None);
        octets[12] = 0x40;
        assert_eq!(super::tcp(&octets, 100), None);
    }
}
