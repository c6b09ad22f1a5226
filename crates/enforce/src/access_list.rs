//! A policy as ordered entries without connection state, for switches: what leaves the devices of one group.
//!
//! A stateless filter cannot tell a reply from an opening. TCP replies are told by their flags (`established`), so that a
//! device can at most send stray segments; replies over UDP and ICMP are let through by the *server's* port alone, which is
//! wider than the policy, and every such entry is listed as a [`Gap`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use serde::Serialize;

use domain::net::Transport;
use segment::matrix::{GroupId, Matrix, Mode, Prefix, Service};

use crate::refusal::Refusal;
use crate::ruleset::compiled::{Compiled, Span};

/// Whose entries: IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Action {
    /// Let through.
    Permit,
    /// Drop.
    Deny,
}

/// Which packets of a transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Packets {
    /// Every IP packet.
    All,
    /// All of a protocol without ports, by its number.
    Protocol(u8),
    /// To the server's ports.
    To(Transport, RangeInclusive<u16>),
    /// From the server's ports; of TCP only what does not open a connection.
    From(Transport, RangeInclusive<u16>),
    /// TCP that does not open a connection.
    Established,
    /// An ICMP message by its type.
    IcmpType(u8),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Entry {
    /// What it does.
    pub action: Action,
    /// Which packets.
    pub packets: Packets,
    /// From where; absent: from anywhere.
    pub source: Option<Prefix>,
    /// To where; absent: to anywhere.
    pub destination: Option<Prefix>,
    /// Whether the switch reports what it matches.
    pub log: bool,
}

/// Something that a target says otherwise than the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// Where: `Infusion pumps → Pump servers, udp/161`.
    pub place: String,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Entries for what leaves a group's devices, and what they say otherwise than the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessList {
    /// The group.
    pub group: GroupId,
    /// Version of IP.
    pub version: Version,
    /// Entries; the first that matches counts, and the last matches everything.
    pub entries: Vec<Entry>,
    /// What differs from the policy.
    pub gaps: Vec<Gap>,
}

/// Prefixes of every group, disjoint, made from a matrix once for all lists.
#[derive(Clone, Debug)]
pub struct Prefixes {
    four: Vec<Vec<Prefix>>,
    six: Vec<Vec<Prefix>>,
}

/// Most prefixes of one version; beyond it no switch would take a list anyway.
const PREFIXES_MAX: usize = 200_000;

impl Prefixes {
    /// Lays the groups' addresses flat. Whoever is in no group has the rest of all addresses.
    ///
    /// # Errors
    /// When the matrix contradicts itself or has too many prefixes.
    pub fn of(matrix: &Matrix) -> Result<Self, Refusal> {
        let compiled = Compiled::of(matrix)?;
        let count = matrix.groups.len();
        Ok(Self {
            four: by_group(&compiled.addresses4, Version::V4, count)?,
            six: by_group(&compiled.addresses6, Version::V6, count)?,
        })
    }

    /// The prefixes of a group.
    pub fn group(&self, group: GroupId, version: Version) -> &[Prefix] {
        let all = match version {
            Version::V4 => &self.four,
            Version::V6 => &self.six,
        };
        all.get(usize::from(group.0)).map_or(&[], Vec::as_slice)
    }
}

impl AccessList {
    /// The entries for what leaves the devices of `group`, from each of `sources`: the group's own prefixes for a list on a
    /// network, or nothing for a list on the port of a single device (its address may change).
    ///
    /// # Errors
    /// When there would be more than `entries_max` entries: nothing is emitted rather than a part.
    pub fn of(
        matrix: &Matrix,
        prefixes: &Prefixes,
        group: GroupId,
        version: Version,
        anywhere: bool,
        entries_max: usize,
    ) -> Result<Self, Refusal> {
        let mut list = Self {
            group,
            version,
            entries: Vec::new(),
            gaps: Vec::new(),
        };
        let own: Vec<Option<Prefix>> = if anywhere {
            vec![None]
        } else {
            let prefixes = prefixes.group(group, version);
            prefixes.iter().copied().map(Some).collect()
        };
        let name = |id: GroupId| {
            let group = matrix.groups.get(usize::from(id.0));
            group.map_or("?", |g| g.name.as_str())
        };
        let add = |list: &mut Self, action, packets: Packets, to: Option<GroupId>, log| {
            let peers: Vec<Option<Prefix>> = match to {
                None => vec![None],
                Some(id) => prefixes
                    .group(id, version)
                    .iter()
                    .copied()
                    .map(Some)
                    .collect(),
            };
            for source in &own {
                for destination in &peers {
                    let entry = Entry {
                        action,
                        packets: packets.clone(),
                        source: *source,
                        destination: *destination,
                        log,
                    };
                    list.entries.push(entry);
                }
                if list.entries.len() > entries_max {
                    return Err(Refusal::new(
                        format!("compile the access list of `{}`", name(group)),
                        format!("it needs more than {entries_max} entries"),
                    )
                    .hint("give the groups contiguous addresses, merge groups, or enforce this one on a gateway"));
                }
            }
            Ok(())
        };
        if version == Version::V6 {
            // Neighbour and router discovery (RFC 4861), without which nothing is reached.
            for kind in 133..=136 {
                add(
                    &mut list,
                    Action::Permit,
                    Packets::IcmpType(kind),
                    None,
                    false,
                )?;
            }
        }
        for packets in upkeep(version) {
            add(&mut list, Action::Permit, packets, None, false)?;
        }
        // What the group may open.
        for cell in matrix.cells.iter().filter(|c| c.from == group) {
            for service in &cell.services {
                for packets in opening(service, version, name(cell.to), &mut list.gaps) {
                    add(&mut list, Action::Permit, packets, Some(cell.to), false)?;
                }
            }
        }
        // Its replies to what others may open to it.
        for cell in matrix.cells.iter().filter(|c| c.to == group) {
            let place = |service: &Service| {
                format!("{} → {}, {}", name(cell.from), name(group), service.name)
            };
            for service in &cell.services {
                for (packets, wider) in replies(service, version) {
                    if let Some(what) = wider {
                        list.gaps.push(Gap {
                            place: place(service),
                            what,
                        });
                    }
                    add(&mut list, Action::Permit, packets, Some(cell.from), false)?;
                }
            }
        }
        // What is only observed is let through and reported.
        let pairs: Vec<GroupId> = matrix.groups.iter().map(|g| g.id).collect();
        let mode = |from, to| {
            matrix
                .cell(from, to)
                .map_or(matrix.default_mode, |c| c.mode)
        };
        for &other in &pairs {
            if mode(other, group) == Mode::Observe && mode(group, other) == Mode::Enforce {
                add(
                    &mut list,
                    Action::Permit,
                    Packets::Established,
                    Some(other),
                    true,
                )?;
                list.gaps.push(Gap {
                    place: format!("{} → {}", name(other), name(group)),
                    what: "observed, but replies over other transports than TCP are dropped by the list of the answering side".to_owned(),
                });
            }
        }
        for &other in &pairs {
            match (mode(group, other), matrix.default_mode) {
                (Mode::Observe, Mode::Enforce) => {
                    add(&mut list, Action::Permit, Packets::All, Some(other), true)?;
                }
                (Mode::Enforce, Mode::Observe) => {
                    add(&mut list, Action::Deny, Packets::All, Some(other), true)?;
                }
                (Mode::Observe, Mode::Observe) | (Mode::Enforce, Mode::Enforce) => {}
            }
        }
        let last = match matrix.default_mode {
            Mode::Observe => Action::Permit,
            Mode::Enforce => Action::Deny,
        };
        list.entries.push(Entry {
            action: last,
            packets: Packets::All,
            source: None,
            destination: None,
            log: true,
        });
        list.gaps.sort();
        list.gaps.dedup();
        Ok(list)
    }

    /// Entries of a ternary memory that the list takes: a range of ports takes one for each aligned block in it.
    pub fn ternary_entries(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| match &entry.packets {
                Packets::To(_, ports) | Packets::From(_, ports) => blocks(ports),
                // The flags ACK and RST, each its own.
                Packets::Established => 2,
                Packets::All | Packets::Protocol(_) | Packets::IcmpType(_) => 1,
            })
            .sum()
    }
}

/// Aligned blocks that make a range of ports.
pub fn blocks(ports: &RangeInclusive<u16>) -> usize {
    let (mut next, end) = (u32::from(*ports.start()), u32::from(*ports.end()));
    let mut count = 0;
    while next <= end {
        let aligned = if next == 0 { 16 } else { next.trailing_zeros() };
        let mut size = 1_u32 << aligned.min(16);
        while next + size - 1 > end {
            size /= 2;
        }
        next += size;
        count += 1;
    }
    count
}

/// DHCP, without which a device has no address.
fn upkeep(version: Version) -> Vec<Packets> {
    let port = match version {
        Version::V4 => 67,
        Version::V6 => 547,
    };
    vec![Packets::To(Transport::Udp, port..=port)]
}

fn all_ports(ports: &RangeInclusive<u16>) -> bool {
    *ports.start() == 0 && *ports.end() == u16::MAX
}

fn opening(service: &Service, version: Version, to: &str, gaps: &mut Vec<Gap>) -> Vec<Packets> {
    match service.transport {
        Transport::Tcp | Transport::Udp => {
            vec![Packets::To(service.transport, service.ports.clone())]
        }
        Transport::Sctp => {
            if !all_ports(&service.ports) {
                gaps.push(Gap {
                    place: format!("to {to}, {}", service.name),
                    what: "the list cannot tell SCTP's ports: all of SCTP is let through"
                        .to_owned(),
                });
            }
            vec![Packets::Protocol(132)]
        }
        Transport::Icmp if *service.ports.end() >= 255 && *service.ports.start() == 0 => {
            vec![Packets::Protocol(icmp(version))]
        }
        Transport::Icmp => (*service.ports.start()..=*service.ports.end())
            .filter_map(|kind| u8::try_from(kind).ok())
            .map(Packets::IcmpType)
            .collect(),
        Transport::Other(number) => vec![Packets::Protocol(number)],
    }
}

const fn icmp(version: Version) -> u8 {
    match version {
        Version::V4 => 1,
        Version::V6 => 58,
    }
}

/// Entries for replies, each with what it lets through beyond the policy.
fn replies(service: &Service, version: Version) -> Vec<(Packets, Option<String>)> {
    let ports = &service.ports;
    match service.transport {
        Transport::Tcp => vec![(Packets::From(Transport::Tcp, ports.clone()), None)],
        Transport::Udp => vec![(
            Packets::From(Transport::Udp, ports.clone()),
            Some(
                "the list cannot tell a reply over UDP from an opening that is sent from this port"
                    .to_owned(),
            ),
        )],
        Transport::Sctp => vec![(
            Packets::Protocol(132),
            Some("the list cannot tell a reply over SCTP from an opening".to_owned()),
        )],
        Transport::Icmp => {
            let reply = match version {
                Version::V4 => (8, 0),
                Version::V6 => (128, 129),
            };
            let mut out = Vec::new();
            if ports.contains(&reply.0) {
                out.push((Packets::IcmpType(reply.1), None));
            }
            out
        }
        Transport::Other(number) => vec![(
            Packets::Protocol(number),
            Some(format!(
                "the list cannot tell a reply over IP protocol {number} from an opening"
            )),
        )],
    }
}

/// Disjoint prefixes of each group.
fn by_group(spans: &[Span], version: Version, groups: usize) -> Result<Vec<Vec<Prefix>>, Refusal> {
    let last = match version {
        Version::V4 => u128::from(u32::MAX),
        Version::V6 => u128::MAX,
    };
    let mut out: Vec<Vec<Prefix>> = vec![Vec::new(); groups.max(1)];
    let mut count = 0;
    let mut put = |group: GroupId, from: u128, to: u128| {
        let Some(own) = out.get_mut(usize::from(group.0)) else {
            return Ok(());
        };
        let before = own.len();
        split(from, to, version, own);
        count += own.len() - before;
        if count > PREFIXES_MAX {
            return Err(Refusal::new(
                "compile the access lists",
                format!("the groups have more than {PREFIXES_MAX} prefixes"),
            )
            .hint("give the groups contiguous addresses"));
        }
        Ok(())
    };
    let mut next = Some(0);
    for span in spans {
        if let Some(start) = next.filter(|start| *start < span.from) {
            put(GroupId::UNKNOWN, start, span.from - 1)?;
        }
        put(span.group, span.from, span.to)?;
        next = span.to.checked_add(1).filter(|next| *next <= last);
    }
    if let Some(start) = next {
        put(GroupId::UNKNOWN, start, last)?;
    }
    Ok(out)
}

/// The fewest prefixes that make a range of addresses.
fn split(from: u128, to: u128, version: Version, out: &mut Vec<Prefix>) {
    let bits = match version {
        Version::V4 => 32,
        Version::V6 => 128,
    };
    let mut next = Some(from);
    while let Some(start) = next.filter(|start| *start <= to) {
        let mut free = start.trailing_zeros().min(bits);
        let end = |free: u32| match 1_u128.checked_shl(free) {
            Some(size) => start.checked_add(size - 1),
            None => Some(u128::MAX),
        };
        while end(free).is_none_or(|end| end > to) {
            free -= 1;
        }
        let address = match version {
            Version::V4 => IpAddr::V4(Ipv4Addr::from_bits(start as u32)),
            Version::V6 => IpAddr::V6(Ipv6Addr::from_bits(start)),
        };
        out.extend(Prefix::new(address, (bits - free) as u8));
        next = end(free).and_then(|end| end.checked_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_takes_one_block_for_each_aligned_piece() {
        for (ports, count) in [
            (80..=80, 1),
            (0..=65_535, 1),
            (1024..=65_535, 6),
            (1..=65_534, 30),
            (50..=51, 1),
            (51..=52, 2),
        ] {
            assert_eq!(blocks(&ports), count, "{ports:?}");
        }
    }

    #[test]
    fn a_range_of_addresses_becomes_the_prefixes_that_make_it() {
        let text = |from: u128, to: u128, version| {
            let mut out = Vec::new();
            split(from, to, version, &mut out);
            out.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text(0, u128::from(u32::MAX), Version::V4), ["0.0.0.0/0"]);
        assert_eq!(text(0, u128::MAX, Version::V6), ["::/0"]);
        assert_eq!(
            text(0x0a00_0001, 0x0a00_0006, Version::V4),
            ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]
        );
        assert_eq!(
            text(0xffff_fffe, 0xffff_ffff, Version::V4),
            ["255.255.255.254/31"]
        );
    }
}
