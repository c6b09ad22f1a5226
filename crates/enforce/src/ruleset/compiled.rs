//! A matrix as flat maps, for targets that look things up: addresses to groups, ports to classes, triples to permission.
//!
//! Pure: no kernel here. Intervals are disjoint; nothing depends on an order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use smol_str::SmolStr;

use domain::net::Transport;
use segment::matrix::{GroupId, Matrix, Mode, Outcome, Probe};

use crate::refusal::Refusal;

/// Most permitted triples of (client group, server group, class of service).
pub const CELLS_MAX: usize = 1_000_000;
/// Most address intervals of a version.
pub const ADDRESSES_MAX: usize = 1_000_000;
/// Most intervals of ports.
pub const SERVICES_MAX: usize = 16_384;
/// Most clinical services that are counted apart.
pub const CLINICAL_MAX: usize = 256;

/// Addresses from one to another, both included, and the group they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First address as a number.
    pub from: u128,
    /// Last address.
    pub to: u128,
    /// Its group.
    pub group: GroupId,
}

/// Ports of a transport that all cells treat alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// Number of the transport (IANA "Assigned Internet Protocol Numbers").
    pub protocol: u8,
    /// First port; for ICMP type and code as one number.
    pub from: u16,
    /// Last port.
    pub to: u16,
    /// Class: services that every cell permits together or not at all. 0 is what no cell names.
    pub class: u32,
}

/// A matrix as flat maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// IPv4 addresses; the rest is in [`GroupId::UNKNOWN`].
    pub addresses4: Vec<Span>,
    /// IPv6 addresses.
    pub addresses6: Vec<Span>,
    /// Ports; the rest is class 0.
    pub services: Vec<Ports>,
    /// Permitted: client's group, server's group, class; sorted, each once.
    pub cells: Vec<(u16, u16, u32)>,
    /// Pairs whose mode is not the default.
    pub modes: BTreeMap<(u16, u16), Mode>,
    /// Mode of the other pairs.
    pub default_mode: Mode,
    /// Clinical services in the order of their numbers; 0 is whatever has none.
    pub clinical: Vec<SmolStr>,
    /// Clinical service of a server's group and class.
    pub clinical_of_server: BTreeMap<(u16, u32), u32>,
    /// Clinical service of a class, whoever serves it.
    pub clinical_of_class: BTreeMap<u32, u32>,
    /// Digest of the matrix.
    pub digest: [u8; 32],
}

/// What drops without a clinical service are counted as.
pub const UNNAMED: &str = "other";

impl Compiled {
    /// Compiles a matrix.
    ///
    /// # Errors
    /// When the matrix contradicts itself or exceeds a bound.
    pub fn of(matrix: &Matrix) -> Result<Self, Refusal> {
        matrix
            .check()
            .map_err(|error| Refusal::new("compile the policy", error.to_string()))?;
        let (addresses4, addresses6) = addresses(matrix);
        let (services, classes) = services(matrix);
        let mut cells = Vec::new();
        let mut modes = BTreeMap::new();
        let mut clinical = vec![SmolStr::new_static(UNNAMED)];
        let (mut clinical_of_server, mut clinical_of_class) = (BTreeMap::new(), BTreeMap::new());
        for cell in &matrix.cells {
            if cell.mode != matrix.default_mode {
                modes.insert((cell.from.0, cell.to.0), cell.mode);
            }
            for service in &cell.services {
                let number = service.clinical.as_ref().map(|name| {
                    let place = clinical.iter().position(|known| known == name);
                    place.unwrap_or_else(|| {
                        clinical.push(name.clone());
                        clinical.len() - 1
                    }) as u32
                });
                for range in ranges(
                    service.transport,
                    *service.ports.start(),
                    *service.ports.end(),
                ) {
                    for &class in classes.get(&range).into_iter().flatten() {
                        cells.push((cell.from.0, cell.to.0, class));
                        if let Some(number) = number {
                            clinical_of_server
                                .entry((cell.to.0, class))
                                .or_insert(number);
                            clinical_of_class.entry(class).or_insert(number);
                        }
                    }
                }
                if cells.len() > CELLS_MAX {
                    return Err(over("permitted services between groups", CELLS_MAX)
                        .hint("merge groups, or name services with fewer port ranges"));
                }
            }
        }
        cells.sort_unstable();
        cells.dedup();
        for (what, count, most) in [
            ("IPv4 address ranges", addresses4.len(), ADDRESSES_MAX),
            ("IPv6 address ranges", addresses6.len(), ADDRESSES_MAX),
            ("port ranges", services.len(), SERVICES_MAX),
            ("clinical services", clinical.len(), CLINICAL_MAX),
        ] {
            if count > most {
                return Err(over(what, most).hint("merge some"));
            }
        }
        Ok(Self {
            addresses4,
            addresses6,
            services,
            cells,
            modes,
            default_mode: matrix.default_mode,
            clinical,
            clinical_of_server,
            clinical_of_class,
            digest: matrix.digest,
        })
    }

    /// The group of an address.
    pub fn group_of(&self, address: IpAddr) -> GroupId {
        let (spans, number) = match address {
            IpAddr::V4(a) => (&self.addresses4, u128::from(a.to_bits())),
            IpAddr::V6(a) => (&self.addresses6, a.to_bits()),
        };
        let after = spans.partition_point(|span| span.from <= number);
        after
            .checked_sub(1)
            .and_then(|place| spans.get(place))
            .filter(|span| span.to >= number)
            .map_or(GroupId::UNKNOWN, |span| span.group)
    }

    /// The class of a protocol and port.
    pub fn class_of(&self, protocol: u8, port: u16) -> u32 {
        let after = self
            .services
            .partition_point(|s| (s.protocol, s.from) <= (protocol, port));
        after
            .checked_sub(1)
            .and_then(|place| self.services.get(place))
            .filter(|s| s.protocol == protocol && s.to >= port)
            .map_or(0, |s| s.class)
    }

    /// What becomes of a conversation, by the maps alone: what the kernel will do.
    pub fn judges(&self, probe: &Probe) -> Outcome {
        let (from, to) = (self.group_of(probe.client).0, self.group_of(probe.server).0);
        let port = match probe.transport {
            Transport::Icmp => probe.port.min(255) << 8,
            _ => probe.port,
        };
        let protocol = match (probe.transport, probe.client) {
            (Transport::Icmp, IpAddr::V6(_)) => 58,
            (transport, _) => protocols(transport)[0],
        };
        if self
            .cells
            .binary_search(&(from, to, self.class_of(protocol, port)))
            .is_ok()
        {
            return Outcome::Permit;
        }
        match self.modes.get(&(from, to)).unwrap_or(&self.default_mode) {
            Mode::Enforce => Outcome::Drop,
            Mode::Observe => Outcome::WouldDrop,
        }
    }
}

fn over(what: &str, most: usize) -> Refusal {
    Refusal::new(
        "compile the policy for nftables",
        format!("it has more than {most} {what}"),
    )
}

/// Numbers of a transport; ICMP has one for each version of IP.
fn protocols(transport: Transport) -> [u8; 2] {
    match transport {
        Transport::Tcp => [6, 6],
        Transport::Udp => [17, 17],
        Transport::Sctp => [132, 132],
        Transport::Icmp => [1, 58],
        Transport::Other(number) => [number, number],
    }
}

/// A service's ranges: protocol, first, last.
fn ranges(transport: Transport, from: u16, to: u16) -> impl Iterator<Item = (u8, u16, u16)> {
    let (from, to) = match transport {
        // Connection tracking keeps type and code where others have the port.
        Transport::Icmp => (from.min(255) << 8, (to.min(255) << 8) | 0xff),
        Transport::Tcp | Transport::Udp | Transport::Sctp | Transport::Other(_) => (from, to),
    };
    let [one, other] = protocols(transport);
    std::iter::once(one)
        .chain((other != one).then_some(other))
        .map(move |protocol| (protocol, from, to))
}

/// Classes of each range that some cell names.
type Classes = BTreeMap<(u8, u16, u16), BTreeSet<u32>>;

/// Cuts the ranges of all services into disjoint pieces; pieces in the same ranges are one class.
fn services(matrix: &Matrix) -> (Vec<Ports>, Classes) {
    let mut named: BTreeSet<(u8, u16, u16)> = BTreeSet::new();
    for service in matrix.cells.iter().flat_map(|cell| &cell.services) {
        named.extend(ranges(
            service.transport,
            *service.ports.start(),
            *service.ports.end(),
        ));
    }
    // Where pieces begin: at the beginning of a range and after its end.
    let mut cuts: BTreeSet<(u8, u32)> = BTreeSet::new();
    for &(protocol, from, to) in &named {
        cuts.insert((protocol, u32::from(from)));
        cuts.insert((protocol, u32::from(to) + 1));
    }
    let cuts: Vec<(u8, u32)> = cuts.into_iter().collect();
    // The ranges around each piece, numbered in order.
    let mut around: Vec<Vec<u32>> = vec![Vec::new(); cuts.len()];
    for (number, &(protocol, from, to)) in (0_u32..).zip(&named) {
        let first = cuts.partition_point(|cut| *cut < (protocol, u32::from(from)));
        let after = cuts.partition_point(|cut| *cut < (protocol, u32::from(to) + 1));
        for piece in &mut around[first..after] {
            piece.push(number);
        }
    }
    let named: Vec<(u8, u16, u16)> = named.into_iter().collect();
    let (mut numbers, mut classes) = (BTreeMap::<Vec<u32>, u32>::new(), Classes::new());
    let mut out = Vec::new();
    for (place, ranges) in around.into_iter().enumerate() {
        if ranges.is_empty() {
            continue;
        }
        let (protocol, from) = cuts[place];
        // A piece inside a range is never the last cut of its protocol.
        let Some(&(_, next)) = cuts.get(place + 1) else {
            continue;
        };
        let new = numbers.len() as u32 + 1;
        let class = *numbers.entry(ranges.clone()).or_insert(new);
        for number in ranges {
            classes
                .entry(named[number as usize])
                .or_default()
                .insert(class);
        }
        out.push(Ports {
            protocol,
            from: from as u16,
            to: (next - 1) as u16,
            class,
        });
    }
    (out, classes)
}

/// Lays nested prefixes and addresses flat: the innermost wins.
fn addresses(matrix: &Matrix) -> (Vec<Span>, Vec<Span>) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    let mut add = |first: IpAddr, last: IpAddr, depth: u8, group: GroupId| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => four.push((
            u128::from(first.to_bits()),
            u128::from(last.to_bits()),
            depth,
            group,
        )),
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            six.push((first.to_bits(), last.to_bits(), depth, group));
        }
        _ => {}
    };
    for group in &matrix.groups {
        for prefix in &group.prefixes {
            add(prefix.address(), prefix.last(), prefix.length(), group.id);
        }
        for address in &group.addresses {
            // An address that a group lists counts more than a prefix of full length.
            add(*address, *address, u8::MAX, group.id);
        }
    }
    (flat(four), flat(six))
}

fn flat(mut nested: Vec<(u128, u128, u8, GroupId)>) -> Vec<Span> {
    nested.sort_unstable_by_key(|&(from, _, depth, _)| (from, depth));
    let mut out: Vec<Span> = Vec::with_capacity(nested.len());
    let mut emit = |from: u128, to: u128, group: GroupId| {
        if from > to || group == GroupId::UNKNOWN {
            return;
        }
        match out.last_mut() {
            Some(last) if last.group == group && last.to.checked_add(1) == Some(from) => {
                last.to = to;
            }
            _ => out.push(Span { from, to, group }),
        }
    };
    let mut open: Vec<(u128, GroupId)> = Vec::new();
    // The first address not yet emitted; absent after the last there is.
    let mut next = Some(0_u128);
    for (from, to, _, group) in nested {
        while let Some(&(end, inner)) = open.last()
            && end < from
        {
            if let Some(start) = next {
                emit(start, end, inner);
            }
            next = end.checked_add(1);
            open.pop();
        }
        if let (Some(&(_, outer)), Some(start)) = (open.last(), next)
            && start < from
        {
            emit(start, from - 1, outer);
        }
        next = Some(from);
        open.push((to, group));
    }
    while let Some((end, group)) = open.pop() {
        if let Some(start) = next.filter(|start| *start <= end) {
            emit(start, end, group);
            next = end.checked_add(1);
        }
    }
    out
}

#[cfg(test)]
mod tests;
