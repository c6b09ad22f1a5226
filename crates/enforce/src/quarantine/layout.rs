//! Tables, sets and rules of the kill switch.
//!
//! ```text
//! inet   prerouting, output (priority -350)      bridge prerouting (priority -350)
//!   MAC of the sender   in macs      -> from_mac      the same, and the MAC of the receiver -> to_mac
//!   sender's address    in devices4  -> from4         …
//!   receiver's address  in devices4  -> to4
//! from4: lifeline? back : drop      to4: the same with the ends exchanged
//! ```
//!
//! Priority -350 lies after the kernel puts fragments together (-400) and before connection tracking (-200): live
//! connections get no exception, and a contained device makes no entries. `opens` and `answers` hold lifelines with the
//! device first, so that the lifeline of one device never opens the containment of its peer.

use crate::netlink::message::Batch;
use crate::nft::expression::{Comparison, Expression, Header, Meta, Register, Verdict};
use crate::nft::object::{Element, Family, Hook, Kind, Lifetime, Set, Table, key};

use Expression as E;

/// Most contained addresses (and as many MAC addresses).
pub(super) const DEVICES_MAX: u32 = 65_536;
/// Most lifeline conversations.
const LIFELINES_MAX: u32 = 262_144;
/// After defragmentation, before everything else that judges.
const PRIORITY: i32 = -350;

const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// The tables, one for each family.
pub(super) fn table(family: Family) -> Table {
    Table {
        family,
        name: "asepsis_quarantine".into(),
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::V4 => Kind::Ipv4,
            Self::V6 => Kind::Ipv6,
        }
    }

    /// Offsets of source and destination, and length of an address.
    const fn place(self) -> (u32, u32, u32) {
        match self {
            Self::V4 => (12, 16, 4),
            Self::V6 => (8, 24, 16),
        }
    }

    /// Goes on only for this version.
    fn only(self, family: Family) -> Vec<E> {
        let (meta, value) = match (family, self) {
            (Family::Inet, Self::V4) => (Meta::NfProto, vec![2]),
            (Family::Inet, Self::V6) => (Meta::NfProto, vec![10]),
            (Family::Bridge, Self::V4) => (Meta::Protocol, vec![0x08, 0x00]),
            (Family::Bridge, Self::V6) => (Meta::Protocol, vec![0x86, 0xdd]),
        };
        vec![
            E::Meta(meta, Register(0)),
            E::Compare(Register(0), Comparison::Equal, value),
        ]
    }
}

/// Which end of a packet the contained device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Sender,
    Receiver,
}

/// Everything but the contained devices themselves, over whatever version of it is there.
pub(super) fn install(batch: &mut Batch, family: Family) {
    let table = table(family);
    batch.table(&table, Lifetime::Lasting);
    for set in sets() {
        batch.set(&table, &set);
    }
    let upkeep: Vec<Element> = [(68_u16, 67_u16), (67, 68), (546, 547), (547, 546)]
        .iter()
        .map(|(from, to)| Element::of(key(&[&[UDP], &from.to_be_bytes(), &to.to_be_bytes()])))
        .collect();
    batch.elements(&table, "upkeep", &upkeep);
    // Router and neighbour solicitation and advertisement (RFC 4861 section 4).
    let neighbours: Vec<Element> = (133..=136)
        .map(|kind: u8| Element::of(vec![kind]))
        .collect();
    batch.elements(&table, "neighbours", &neighbours);
    for chain in ["from4", "to4", "from6", "to6", "from_mac", "to_mac"] {
        batch.chain(&table, chain);
        batch.flush_chain(&table, chain);
    }
    for version in Version::BOTH {
        contained(batch, &table, version, End::Sender);
        contained(batch, &table, version, End::Receiver);
    }
    contained_mac(batch, &table, End::Sender);
    contained_mac(batch, &table, End::Receiver);
    let hooks: &[(&str, Hook)] = match family {
        Family::Inet => &[("prerouting", Hook::Prerouting), ("output", Hook::Output)],
        Family::Bridge => &[("prerouting", Hook::Prerouting)],
    };
    for (chain, hook) in hooks {
        batch.base_chain(&table, chain, *hook, PRIORITY);
        batch.flush_chain(&table, chain);
        guard(batch, &table, chain, *hook);
    }
}

fn sets() -> Vec<Set> {
    let mut out = Vec::new();
    let timed = |mut set: Set, size: u32| {
        set.timeouts = true;
        set.size = Some(size);
        set
    };
    for version in Version::BOTH {
        let (digit, address) = (version.digit(), version.kind());
        let mut devices = timed(Set::new(format!("devices{digit}"), &[address]), DEVICES_MAX);
        devices.counted = true;
        out.push(devices);
        out.push(timed(
            Set::new(format!("kept{digit}"), &[address]),
            DEVICES_MAX,
        ));
        out.push(timed(
            Set::new(format!("peers{digit}"), &[address, address]),
            LIFELINES_MAX,
        ));
        for name in ["opens", "answers"] {
            out.push(timed(
                Set::new(
                    format!("{name}{digit}"),
                    &[address, address, Kind::Protocol, Kind::Service],
                ),
                LIFELINES_MAX,
            ));
        }
    }
    let mut macs = timed(Set::new("macs", &[Kind::Ether]), DEVICES_MAX);
    macs.counted = true;
    out.push(macs);
    out.push(timed(Set::new("kept_macs", &[Kind::Ether]), DEVICES_MAX));
    out.push(Set::new(
        "upkeep",
        &[Kind::Protocol, Kind::Service, Kind::Service],
    ));
    out.push(Set::new("neighbours", &[Kind::Icmp6]));
    out
}

fn load(header: Header, offset: u32, length: u32, to: u32) -> E {
    E::Payload {
        header,
        offset,
        length,
        to: Register(to),
    }
}

fn within(set: impl Into<smol_str::SmolStr>, key: u32) -> E {
    E::Contained {
        set: set.into(),
        key: Register(key),
        inverted: false,
    }
}

fn only_if_equal(value: Vec<u8>, register: u32) -> E {
    E::Compare(Register(register), Comparison::Equal, value)
}

/// The rules of a base chain: who is contained goes to the chain of its end.
fn guard(batch: &mut Batch, table: &Table, chain: &str, hook: Hook) {
    let family = table.family;
    if hook == Hook::Prerouting {
        // On a bridge a frame names its receiver; on a router the receiver is the router.
        let ends: &[_] = match family {
            Family::Inet => &[("from_mac", 6)],
            Family::Bridge => &[("from_mac", 6), ("to_mac", 0)],
        };
        for (to, offset) in ends {
            let mut steps = Vec::new();
            if family == Family::Inet {
                // Only Ethernet (`ARPHRD_ETHER`) has such a header.
                steps.push(E::Meta(Meta::InterfaceKind, Register(0)));
                steps.push(only_if_equal(1_u16.to_ne_bytes().to_vec(), 0));
            }
            steps.push(load(Header::Link, *offset, 6, 0));
            steps.push(within("macs", 0));
            steps.push(E::Verdict(Verdict::Jump((*to).into())));
            batch.rule(table, chain, "contained interface", &steps);
        }
    }
    for version in Version::BOTH {
        let digit = version.digit();
        let (source, destination, length) = version.place();
        for (end, offset) in [("from", source), ("to", destination)] {
            let mut steps = version.only(family);
            steps.push(load(Header::Network, offset, length, 0));
            steps.push(within(format!("devices{digit}"), 0));
            steps.push(E::Verdict(Verdict::Jump(format!("{end}{digit}").into())));
            batch.rule(table, chain, "contained address", &steps);
        }
    }
}

/// What a contained device may still say or hear; everything else ends here.
fn contained(batch: &mut Batch, table: &Table, version: Version, end: End) {
    let digit = version.digit();
    let (source, destination, length) = version.place();
    let (chain, device, peer) = match end {
        End::Sender => (format!("from{digit}"), source, destination),
        End::Receiver => (format!("to{digit}"), destination, source),
    };
    let words = length / 4;
    // In front of transport and port: the device, then its peer.
    let ends = || {
        vec![
            load(Header::Network, device, length, 0),
            load(Header::Network, peer, length, words),
        ]
    };
    // Who opened has the server's port at the other end.
    let (opens, answers) = match end {
        End::Sender => (2, 0),
        End::Receiver => (0, 2),
    };
    for (name, offset) in [("opens", opens), ("answers", answers)] {
        let mut steps = ends();
        steps.push(E::Meta(Meta::L4Proto, Register(2 * words)));
        steps.push(load(Header::Transport, offset, 2, 2 * words + 1));
        steps.push(within(format!("{name}{digit}"), 0));
        steps.push(E::Verdict(Verdict::Return));
        batch.rule(table, &chain, "lifeline", &steps);
    }
    // Later fragments have no ports. They come here only where nothing puts fragments together.
    let mut steps = match version {
        Version::V4 => vec![
            load(Header::Network, 6, 2, 0),
            E::Bitwise {
                register: Register(0),
                mask: vec![0x1f, 0xff],
                xor: vec![0, 0],
            },
        ],
        Version::V6 => vec![
            E::Extension {
                kind: 44,
                offset: 2,
                length: 2,
                to: Register(0),
            },
            E::Bitwise {
                register: Register(0),
                mask: vec![0xff, 0xf8],
                xor: vec![0, 0],
            },
        ],
    };
    steps.push(E::Compare(Register(0), Comparison::NotEqual, vec![0, 0]));
    steps.extend(ends());
    steps.push(within(format!("peers{digit}"), 0));
    steps.push(E::Verdict(Verdict::Return));
    batch.rule(table, &chain, "later fragment of a lifeline", &steps);
    // Without its address a device loses its lifeline too.
    let mut kept = vec![
        load(Header::Network, device, length, 0),
        within(format!("kept{digit}"), 0),
    ];
    if version == Version::V6 {
        let mut steps = kept.clone();
        steps.extend(neighbour());
        batch.rule(table, &chain, "neighbour discovery", &steps);
    }
    kept.extend(upkeep());
    batch.rule(table, &chain, "address upkeep", &kept);
    batch.rule(
        table,
        &chain,
        "everything else",
        &[E::Count, E::Verdict(Verdict::Drop)],
    );
}

/// The same for a device known by its MAC address, whatever address it takes.
fn contained_mac(batch: &mut Batch, table: &Table, end: End) {
    let (chain, own, prefix) = match end {
        End::Sender => ("from_mac", 6, "from"),
        End::Receiver => ("to_mac", 0, "to"),
    };
    let kept = || vec![load(Header::Link, own, 6, 0), within("kept_macs", 0)];
    if table.family == Family::Bridge {
        let mut steps = kept();
        steps.push(E::Meta(Meta::Protocol, Register(0)));
        steps.push(only_if_equal(vec![0x08, 0x06], 0));
        steps.push(E::Verdict(Verdict::Return));
        batch.rule(table, chain, "address resolution", &steps);
    }
    let mut steps = kept();
    steps.extend(neighbour());
    batch.rule(table, chain, "neighbour discovery", &steps);
    let mut steps = kept();
    steps.extend(upkeep());
    batch.rule(table, chain, "address upkeep", &steps);
    for version in Version::BOTH {
        let mut steps = version.only(table.family);
        let to = format!("{prefix}{}", version.digit());
        steps.push(E::Verdict(Verdict::Goto(to.into())));
        batch.rule(table, chain, "lifeline by address", &steps);
    }
    batch.rule(
        table,
        chain,
        "everything else",
        &[E::Count, E::Verdict(Verdict::Drop)],
    );
}

/// Neighbour discovery goes back.
fn neighbour() -> Vec<E> {
    vec![
        E::Meta(Meta::L4Proto, Register(0)),
        only_if_equal(vec![ICMP6], 0),
        load(Header::Transport, 0, 1, 0),
        within("neighbours", 0),
        E::Verdict(Verdict::Return),
    ]
}

/// DHCP goes back: protocol, source port, destination port.
fn upkeep() -> Vec<E> {
    vec![
        E::Meta(Meta::L4Proto, Register(0)),
        load(Header::Transport, 0, 2, 1),
        load(Header::Transport, 2, 2, 2),
        within("upkeep", 0),
        E::Verdict(Verdict::Return),
    ]
}
