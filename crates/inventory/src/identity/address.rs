//! What an address is by its number alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::Mac;

use crate::options::Network;

/// What kind of party an address can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One host here: private, link-local, or of the operator's own networks.
    Inside,
    /// One host elsewhere.
    Outside,
    /// A group of hosts.
    Group,
    /// Nobody: unspecified, loopback, reserved.
    Nobody,
}

/// What `address` can be.
pub(crate) fn reach(address: IpAddr, own: &[Network]) -> Reach {
    match address {
        IpAddr::V4(a) if a.is_multicast() || a.is_broadcast() => Reach::Group,
        IpAddr::V6(a) if a.is_multicast() => Reach::Group,
        _ if address.is_unspecified() || address.is_loopback() => Reach::Nobody,
        // RFC 1122 3.2.1.3: "this network" may only be a source while a host learns its address; 240/4 is reserved.
        IpAddr::V4(a) if a.octets()[0] == 0 || a.octets()[0] >= 240 => Reach::Nobody,
        _ if is_private(address) || own.iter().any(|n| n.contains(address)) => Reach::Inside,
        _ => Reach::Outside,
    }
}

/// Private, shared (RFC 6598) or link-local in IPv4; unique local (RFC 4193) or link-local in IPv6.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            a.is_private() || a.is_link_local() || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(a) => a.is_unique_local() || a.is_unicast_link_local(),
    }
}

/// Whether routers forward packets from it.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// The MAC address that an IPv6 interface identifier was made of (RFC 4291 appendix A).
pub(crate) fn mac_in(address: Ipv6Addr) -> Option<Mac> {
    let octets = address.octets();
    mac_in_eui64(u64::from_be_bytes([
        octets[8] ^ 2,
        octets[9],
        octets[10],
        octets[11],
        octets[12],
        octets[13],
        octets[14],
        octets[15],
    ]))
}

/// The MAC address that an EUI-64 was made of.
pub(crate) fn mac_in_eui64(eui: u64) -> Option<Mac> {
    let [a, b, c, d, e, f, g, h] = eui.to_be_bytes();
    let mac = Mac([a, b, c, f, g, h]);
    (d == 0xff && e == 0xfe && mac.is_unicast() && !mac.is_local()).then_some(mac)
}

/// The protocol whose virtual router a MAC address belongs to, if any.
pub(crate) fn virtual_router(mac: Mac) -> Option<&'static str> {
    Some(match mac.0 {
        // RFC 9568 section 7.3.
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _] => "VRRP virtual router",
        // RFC 2281 section 5.5 for version 1; Cisco's documentation for version 2 and IPv6.
        [0x00, 0x00, 0x0c, 0x07, 0xac, _] => "HSRP virtual router",
        [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _] => "HSRP virtual router",
        [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _] => "HSRP virtual router",
        [0x00, 0x07, 0xb4, 0x00, _, _] => "GLBP virtual router",
        _ => return None,
    })
}

/// The hypervisor that gave out a MAC address, if any.
pub(crate) fn hypervisor(mac: Mac) -> Option<&'static str> {
    Some(match mac.0 {
        [0x00, 0x05, 0x69, ..]
        | [0x00, 0x0c, 0x29, ..]
        | [0x00, 0x1c, 0x14, ..]
        | [0x00, 0x50, 0x56, ..] => "VMware",
        [0x00, 0x15, 0x5d, ..] => "Hyper-V",
        [0x52, 0x54, 0x00, ..] => "QEMU/KVM",
        [0x08, 0x00, 0x27, ..] => "VirtualBox",
        [0x00, 0x16, 0x3e, ..] => "Xen",
        [0xbc, 0x24, 0x11, ..] => "Proxmox",
        [0x00, 0x1c, 0x42, ..] => "Parallels",
        [0x50, 0x6b, 0x8d, ..] => "Nutanix",
        _ => return None,
    })
}

/// The network an address is taken to lie in when nothing was learnt: 24 bits, 64 in IPv6.
pub(crate) fn usual_network(address: IpAddr) -> Network {
    Network::of(address, if address.is_ipv4() { 24 } else { 64 })
}

/// IPv4 in IPv6 as IPv4.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether it is the broadcast address of a network of 24 bits or of `known` ones.
pub(crate) fn is_directed_broadcast(address: Ipv4Addr, known: &[Network]) -> bool {
    known.iter().any(|network| {
        let length = u32::from(network.length());
        length <= 30
            && network.contains(IpAddr::V4(address))
            && address.to_bits() | u32::MAX.checked_shl(32 - length).unwrap_or(0) == u32::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_says_who_it_can_be() {
        let own = ["192.0.2.0/24".parse().expect("a network")];
        for (text, expected) in [
            ("10.1.2.3", Reach::Inside),
            ("100.64.0.9", Reach::Inside),
            ("169.254.3.4", Reach::Inside),
            ("192.0.2.7", Reach::Inside),
            ("fd12::1", Reach::Inside),
            ("fe80::1", Reach::Inside),
            ("8.8.8.8", Reach::Outside),
            ("2001:db8::1", Reach::Outside),
            ("224.0.0.251", Reach::Group),
            ("255.255.255.255", Reach::Group),
            ("ff02::fb", Reach::Group),
            ("0.0.0.0", Reach::Nobody),
            ("127.0.0.1", Reach::Nobody),
            ("::1", Reach::Nobody),
            ("250.0.0.1", Reach::Nobody),
        ] {
            assert_eq!(reach(addr(text), &own), expected, "{text}");
        }
    }

    #[test]
    fn the_mac_in_an_interface_identifier_is_found_and_no_other() {
        let found = mac_in("fe80::21a:2bff:fe3c:4d5e".parse().expect("an address"));
        assert_eq!(
            found.map(|m| m.to_string()).as_deref(),
            Some("00:1a:2b:3c:4d:5e")
        );
        assert_eq!(
            mac_in("fd00::1234:5678:9abc:def0".parse().expect("an address")),
            None
        );
        assert_eq!(
            mac_in_eui64(0x0009_5cff_fe12_3456),
            Some(Mac([0, 9, 0x5c, 0x12, 0x34, 0x56]))
        );
        assert_eq!(mac_in_eui64(0x0012_2118_3900_0001), None);
    }

    #[test]
    fn virtual_routers_and_machines_are_known_by_their_blocks() {
        let mac = |text: &str| text.parse::<Mac>().expect("a MAC");
        assert_eq!(
            virtual_router(mac("00:00:5e:00:01:0a")),
            Some("VRRP virtual router")
        );
        assert_eq!(
            virtual_router(mac("00:00:0c:07:ac:01")),
            Some("HSRP virtual router")
        );
        assert_eq!(
            virtual_router(mac("00:00:0c:9f:f0:01")),
            Some("HSRP virtual router")
        );
        assert_eq!(virtual_router(mac("00:00:0c:01:02:03")), None);
        assert_eq!(hypervisor(mac("52:54:00:12:34:56")), Some("QEMU/KVM"));
        assert_eq!(hypervisor(mac("00:1a:2b:3c:4d:5e")), None);
    }

    #[test]
    fn a_broadcast_address_is_known_by_its_network() {
        let known = ["10.2.0.0/22".parse().expect("a network")];
        let a = |text: &str| text.parse().expect("an address");
        assert!(is_directed_broadcast(a("10.2.3.255"), &known));
        assert!(!is_directed_broadcast(a("10.2.2.255"), &known));
    }
}
