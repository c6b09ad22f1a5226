//! ARP for Ethernet and IPv4 (RFC 826).

use std::net::Ipv4Addr;

use domain::net::Mac;

use crate::cursor::Cursor;

/// What the sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    /// The sender's MAC address.
    pub(crate) mac: Mac,
    /// The address it claims; absent in a probe (RFC 5227).
    pub(crate) address: Option<Ipv4Addr>,
}

/// Reads an ARP packet; `None`: malformed or for other kinds of address.
pub(crate) fn read(octets: &[u8]) -> Option<Arp> {
    let mut cursor = Cursor::new(octets);
    let header = (
        cursor.be16()?,
        cursor.be16()?,
        cursor.u8()?,
        cursor.u8()?,
        cursor.be16()?,
    );
    // Ethernet or IEEE 802, IPv4, request or reply.
    if !matches!(header, (1 | 6, 0x0800, 6, 4, 1 | 2)) {
        return None;
    }
    let mac = Mac(cursor.array()?);
    let address = Ipv4Addr::from(cursor.array::<4>()?);
    cursor.skip(10)?;
    let usable = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    Some(Arp {
        mac,
        address: usable.then_some(address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_claims_no_address() {
        let mut octets = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0];
        octets.extend_from_slice(&[0; 6]);
        octets.extend_from_slice(&[10, 0, 0, 5]);
        let arp = read(&octets).expect("an ARP packet");
        assert_eq!((arp.mac, arp.address), (Mac([2, 0, 0, 0, 0, 7]), None));
        octets[14..18].copy_from_slice(&[10, 0, 0, 5]);
        let arp = read(&octets).expect("an ARP packet");
        assert_eq!(arp.address, Some(Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(read(&octets[..20]), None);
    }
}
