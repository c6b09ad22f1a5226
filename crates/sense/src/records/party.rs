//! Addresses out of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::net::Mac;

/// An IP address, with brackets, a zone (`fe80::1%eth0`) or a prefix length taken off; an IPv4 address mapped into
/// IPv6 becomes IPv4. Unspecified addresses are none.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"' | ',')
    });
    let text = text.split(['%', '/']).next().unwrap_or_default();
    let addr: IpAddr = text.parse().ok()?;
    let addr = addr.to_canonical();
    (!addr.is_unspecified()).then_some(addr)
}

/// A MAC address of one interface, written with separators.
pub(crate) fn mac(text: &str) -> Option<Mac> {
    let text = text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"' | ',')
    });
    if !matches!(text.len(), 11..=17)
        || !text.contains([':', '-', '.'])
        || !text
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'-' | b'.'))
    {
        return None;
    }
    let mac: Mac = if let Some((left, right)) = text
        .split_once('-')
        .filter(|(l, r)| l.len() == 6 && r.len() == 6)
    {
        // HPE: `001a2b-3c4d5e`.
        [left, right].concat().parse().ok()?
    } else if text.len() == 14 && text.as_bytes().get(4) == Some(&b'-') {
        // Huawei and H3C: `001a-2b3c-4d5e`.
        text.replace('-', ".").parse().ok()?
    } else {
        text.parse().ok()?
    };
    mac.is_unicast().then_some(mac)
}

/// A MAC address of one interface, with or without separators: for columns that hold nothing else.
pub(crate) fn mac_column(text: &str) -> Option<Mac> {
    let text = text.trim();
    mac(text).or_else(|| {
        (text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| text.parse().ok())
            .flatten()
            .filter(|mac: &Mac| mac.is_unicast())
    })
}

/// Whether an address can be a device's own: no group, no broadcast, not unspecified.
pub(crate) const fn is_host(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => is_host4(v4),
        IpAddr::V6(v6) => is_host6(v6),
    }
}

const fn is_host4(addr: Ipv4Addr) -> bool {
    !(addr.is_multicast()
        || addr.is_broadcast()
        || addr.is_unspecified()
        || addr.octets()[0] == 0
        || addr.octets()[0] >= 240)
}

const fn is_host6(addr: Ipv6Addr) -> bool {
    !(addr.is_multicast() || addr.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_tables_write_them() {
        let expected = Some(Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e]));
        for text in [
            "00:1a:2b:3c:4d:5e",
            "00-1A-2B-3C-4D-5E",
            "001a.2b3c.4d5e",
            "001a-2b3c-4d5e",
            "001a2b-3c4d5e",
            "0:1a:2b:3c:4d:5e",
        ] {
            assert_eq!(mac(text), expected, "{text}");
        }
        assert_eq!(mac("001a2b3c4d5e"), None, "a bare number might be anything");
        assert_eq!(mac_column("001A2B3C4D5E"), expected);
        for text in [
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "",
            "zz:zz:zz:zz:zz:zz",
        ] {
            assert_eq!(mac(text), None, "{text}");
        }
        assert_eq!(address("(10.0.0.1)"), "10.0.0.1".parse().ok());
        assert_eq!(address("fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(address("10.0.0.1/24"), "10.0.0.1".parse().ok());
        assert_eq!(address("0.0.0.0"), None);
        assert_eq!(address("1.2.3"), None);
    }
}
