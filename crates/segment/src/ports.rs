//! Sets of services: ports of IP protocols, as sorted ranges.

use std::ops::RangeInclusive;

use domain::net::Transport;

use crate::service;

/// A set of (IP protocol, port) pairs: ranges, sorted, apart, and never touching within a protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortSet {
    ranges: Vec<(u8, u16, u16)>,
}

impl PortSet {
    /// Nothing.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Every port of every protocol.
    pub fn all() -> Self {
        Self {
            ranges: (0..=u8::MAX).map(|p| (p, 0, u16::MAX)).collect(),
        }
    }

    /// Every port of one protocol.
    pub fn of_protocol(protocol: u8) -> Self {
        Self {
            ranges: vec![(protocol, 0, u16::MAX)],
        }
    }

    /// A range of ports of every protocol.
    pub fn of_ports(ports: &RangeInclusive<u16>) -> Self {
        if ports.is_empty() {
            return Self::new();
        }
        Self {
            ranges: (0..=u8::MAX)
                .map(|p| (p, *ports.start(), *ports.end()))
                .collect(),
        }
    }

    /// Adds a range.
    pub fn insert(&mut self, transport: Transport, ports: &RangeInclusive<u16>) {
        if ports.is_empty() {
            return;
        }
        let protocol = service::protocol(transport);
        if let Some(&(p, low, high)) = self.ranges.last() {
            // The common case: in order.
            if (p, high) < (protocol, *ports.start())
                && (p != protocol || high + 1 < *ports.start())
            {
                self.ranges.push((protocol, *ports.start(), *ports.end()));
                return;
            }
            if p == protocol && low <= *ports.start() && *ports.end() <= high {
                return;
            }
        }
        self.ranges.push((protocol, *ports.start(), *ports.end()));
        self.tidy();
    }

    fn tidy(&mut self) {
        self.ranges.sort_unstable();
        let mut out: Vec<(u8, u16, u16)> = Vec::with_capacity(self.ranges.len());
        for &(protocol, low, high) in &self.ranges {
            match out.last_mut() {
                Some(last) if last.0 == protocol && low <= last.2.saturating_add(1) => {
                    last.2 = last.2.max(high);
                }
                Some(_) | None => out.push((protocol, low, high)),
            }
        }
        self.ranges = out;
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Its ranges: protocol, first and last port.
    pub fn ranges(&self) -> &[(u8, u16, u16)] {
        &self.ranges
    }

    /// Whether it holds a port.
    pub fn contains(&self, transport: Transport, port: u16) -> bool {
        self.holds(service::protocol(transport), port)
    }

    /// Whether it holds a port of a protocol.
    pub fn holds(&self, protocol: u8, port: u16) -> bool {
        let after = self
            .ranges
            .partition_point(|&(p, low, _)| (p, low) <= (protocol, port));
        after
            .checked_sub(1)
            .and_then(|place| self.ranges.get(place))
            .is_some_and(|&(p, _, high)| p == protocol && port <= high)
    }

    /// Both together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = Self {
            ranges: [self.ranges.as_slice(), other.ranges.as_slice()].concat(),
        };
        out.tidy();
        out
    }

    /// What is in the first and not in the second.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = Vec::with_capacity(self.ranges.len());
        let mut at = 0;
        for &(protocol, low, high) in &self.ranges {
            let mut low = u32::from(low);
            let end = u32::from(high);
            while other
                .ranges
                .get(at)
                .is_some_and(|&(p, _, h)| (p, u32::from(h)) < (protocol, low))
            {
                at += 1;
            }
            let mut look = at;
            while let Some(&(p, l, h)) = other.ranges.get(look) {
                if p != protocol || u32::from(l) > end {
                    break;
                }
                if u32::from(l) > low {
                    out.push((protocol, low as u16, l - 1));
                }
                low = low.max(u32::from(h) + 1);
                look += 1;
            }
            if low <= end {
                out.push((protocol, low as u16, high));
            }
        }
        Self { ranges: out }
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// Everything else.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self::all().minus(self)
    }
}

/// The ports that occur in data, for counting what a range permits: an any-port rule counts as every port in the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sorted.
    ports: Vec<(u8, u16)>,
}

impl Seen {
    /// From ports in any order, with repetitions.
    pub fn of(ports: impl Iterator<Item = (Transport, u16)>) -> Self {
        let all: std::collections::HashSet<(u8, u16)> =
            ports.map(|(t, p)| (service::protocol(t), p)).collect();
        let mut ports: Vec<_> = all.into_iter().collect();
        ports.sort_unstable();
        Self { ports }
    }

    /// How many of them lie in a range.
    pub fn within(&self, protocol: u8, low: u16, high: u16) -> u64 {
        let from = self.ports.partition_point(|p| *p < (protocol, low));
        let to = self.ports.partition_point(|p| *p <= (protocol, high));
        (to - from) as u64
    }

    /// How many of them a set holds.
    pub fn count(&self, set: &PortSet) -> u64 {
        set.ranges
            .iter()
            .map(|&(protocol, low, high)| self.within(protocol, low, high))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u8, u16, u16)]) -> PortSet {
        let mut set = PortSet::new();
        for &(protocol, low, high) in ranges {
            set.insert(service::transport(protocol), &(low..=high));
        }
        set
    }

    #[test]
    fn touching_ranges_become_one_and_edges_hold() {
        let both = set(&[
            (6, 0, 9),
            (6, 10, 20),
            (17, 65_535, 65_535),
            (6, 65_535, 65_535),
        ]);
        assert_eq!(
            both.ranges(),
            &[(6, 0, 20), (6, 65_535, 65_535), (17, 65_535, 65_535)]
        );
        assert!(both.holds(6, 0) && both.holds(17, 65_535) && !both.holds(17, 0));
        assert!(both.union(&both.complement()) == PortSet::all());
        assert!(both.and(&both.complement()).is_empty());
    }

    #[test]
    fn a_range_counts_every_port_of_the_data_in_it() {
        let seen = Seen::of(
            [
                (Transport::Tcp, 5),
                (Transport::Tcp, 7),
                (Transport::Udp, 7),
            ]
            .into_iter(),
        );
        assert_eq!(seen.count(&set(&[(6, 0, 65_535)])), 2);
        assert_eq!(seen.count(&PortSet::all()), 3);
    }

    fn ranges() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
        let edge = prop_oneof![0_u16..40, 65_500_u16..=65_535];
        proptest::collection::vec(
            (prop_oneof![Just(6_u8), Just(17)], edge, 0_u16..20)
                .prop_map(|(p, low, more)| (p, low, low.saturating_add(more))),
            0..8,
        )
    }

    proptest! {
        #[test]
        fn algebra_is_that_of_single_ports(a in ranges(), b in ranges()) {
            let (a, b) = (set(&a), set(&b));
            for protocol in [6, 17] {
                for port in (0..70).chain(65_490..=65_535) {
                    let (x, y) = (a.holds(protocol, port), b.holds(protocol, port));
                    prop_assert_eq!(a.union(&b).holds(protocol, port), x || y);
                    prop_assert_eq!(a.minus(&b).holds(protocol, port), x && !y);
                    prop_assert_eq!(a.and(&b).holds(protocol, port), x && y);
                    prop_assert_eq!(a.complement().holds(protocol, port), !x);
                }
            }
        }
    }
}
