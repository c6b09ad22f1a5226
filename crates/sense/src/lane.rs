//! Which of several sensors takes a packet.

use crate::link::{self, Carries, LinkType};
use crate::network::ip;

/// The sensor, of `lanes`, that takes this packet: all packets between two addresses go to one, in both directions,
/// fragments too. Whatever is not IP goes to the first. The same packet has the same lane in every process.
///
/// A sender can fill one lane: this spreads work, it does not bound it.
#[inline]
pub fn lane(link: LinkType, bytes: &[u8], lanes: usize) -> usize {
    if lanes <= 1 {
        return 0;
    }
    let Ok(frame) = link::frame(link, bytes) else {
        return 0;
    };
    if frame.carries != Carries::Ip {
        return 0;
    }
    let Ok(packet) = ip::read(frame.payload, frame.payload.len()) else {
        return 0;
    };
    let bits = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => u64::from(v4.to_bits()),
        std::net::IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ v6.to_bits() as u64,
    };
    // Both directions: the sum knows no order. The multiplier spreads neighbouring addresses.
    let mixed = bits(packet.source)
        .wrapping_add(bits(packet.destination))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(mixed) * lanes as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source: u8, destination: u8) -> Vec<u8> {
        let mut octets = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0];
        octets.extend_from_slice(&[10, 0, 0, source, 10, 0, 1, destination]);
        octets
    }

    #[test]
    fn both_directions_take_one_lane_and_addresses_spread() {
        let mut counts = [0; 4];
        for host in 0..=255 {
            let there = lane(LinkType::RawIp, &packet(host, 9), 4);
            let mut back = packet(host, 9);
            back[12..20].rotate_left(4);
            assert_eq!(there, lane(LinkType::RawIp, &back, 4));
            counts[there] += 1;
        }
        assert!(counts.iter().all(|count| *count > 32), "{counts:?}");
        assert_eq!(lane(LinkType::Ethernet, &[1, 2, 3], 4), 0);
    }
}
