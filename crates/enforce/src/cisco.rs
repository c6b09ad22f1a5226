//! Cisco IOS and IOS XE: extended access lists and security-group access lists, as text to paste or push.
//!
//! Names end in the first digits of the policy's digest: a new list is made beside the one in use, the interface is
//! pointed to it, and the old one is removed, so that no interface is without a list in between.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use domain::net::Transport;
use segment::matrix::{GroupId, Matrix, Mode, Prefix};

use crate::access_list::{AccessList, Action, Entry, Gap, Packets, Prefixes, Version};
use crate::refusal::Refusal;
use crate::target::{Emitted, Target, Usage};

/// Extended access lists, one for each group and version of IP, for the interface that the group's devices are behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLists {
    /// Most entries of one list.
    pub entries_max: usize,
    /// Ternary memory entries of the switch for all lists.
    pub ternary_max: usize,
}

impl Default for AccessLists {
    /// What a small access switch has: 1,000 entries a list, 3,000 in ternary memory.
    fn default() -> Self {
        Self {
            entries_max: 1_000,
            ternary_max: 3_000,
        }
    }
}

impl Target for AccessLists {
    fn name(&self) -> &'static str {
        "Cisco IOS extended access lists"
    }

    fn emit(&self, matrix: &Matrix) -> Result<Emitted, Refusal> {
        let prefixes = Prefixes::of(matrix)?;
        let (mut text, mut gaps) = (header(matrix), Vec::new());
        let (mut longest, mut ternary) = (0, 0);
        for group in matrix.groups.iter().skip(1) {
            for version in [Version::V4, Version::V6] {
                if prefixes.group(group.id, version).is_empty() {
                    continue;
                }
                let list = AccessList::of(
                    matrix,
                    &prefixes,
                    group.id,
                    version,
                    false,
                    self.entries_max,
                )?;
                longest = longest.max(list.entries.len());
                ternary += list.ternary_entries();
                let _ = writeln!(text, "!\n! {}", plain(&group.name));
                let _ = match version {
                    Version::V4 => writeln!(
                        text,
                        "ip access-list extended {}",
                        list_name(matrix, group.id, version)
                    ),
                    Version::V6 => writeln!(
                        text,
                        "ipv6 access-list {}",
                        list_name(matrix, group.id, version)
                    ),
                };
                for entry in &list.entries {
                    let _ = writeln!(text, " {}", line(entry, version));
                }
                gaps.extend(list.gaps);
            }
        }
        gaps.push(Gap {
            place: "every list".to_owned(),
            what: "devices behind the same interface reach each other without passing it"
                .to_owned(),
        });
        gaps.sort();
        gaps.dedup();
        let budget = vec![
            Usage {
                what: "entries of the longest list",
                used: longest,
                most: self.entries_max,
            },
            Usage {
                what: "ternary memory entries of all lists",
                used: ternary,
                most: self.ternary_max,
            },
        ];
        for usage in &budget {
            usage.check(self.name())?;
        }
        Ok(Emitted {
            target: self.name(),
            text,
            budget,
            gaps,
        })
    }
}

/// Security-group access lists (TrustSec), one for each pair of groups that may speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroups {
    /// Tag of group 1; the others follow. Group 0 is TrustSec's `unknown`, 0.
    pub first_tag: u16,
    /// Entries of the switch for all lists.
    pub entries_max: usize,
}

impl Default for SecurityGroups {
    /// Tags from 100, and 4,000 entries.
    fn default() -> Self {
        Self {
            first_tag: 100,
            entries_max: 4_000,
        }
    }
}

impl SecurityGroups {
    /// The tag of a group.
    fn tag(&self, group: GroupId) -> u32 {
        match group {
            GroupId::UNKNOWN => 0,
            GroupId(number) => u32::from(self.first_tag) + u32::from(number) - 1,
        }
    }
}

impl Target for SecurityGroups {
    fn name(&self) -> &'static str {
        "Cisco security-group access lists"
    }

    fn emit(&self, matrix: &Matrix) -> Result<Emitted, Refusal> {
        matrix
            .check()
            .map_err(|error| Refusal::new("compile the policy", error.to_string()))?;
        let last = matrix.groups.last().map_or(0, |group| self.tag(group.id));
        // 0xffff and what lies above 65,519 are reserved.
        if last > 65_519 || self.first_tag < 2 {
            return Err(Refusal::new(
                format!("compile the policy for {}", self.name()),
                format!("tags from {} to {last} are not all free", self.first_tag),
            )
            .hint("tags from 2 to 65519 can be given"));
        }
        let (mut text, mut gaps, mut entries) = (header(matrix), Vec::new(), 0);
        for group in &matrix.groups {
            let _ = writeln!(text, "! tag {}: {}", self.tag(group.id), plain(&group.name));
        }
        let name = |id: GroupId| {
            matrix
                .groups
                .get(usize::from(id.0))
                .map_or("?", |g| &g.name)
        };
        for from in &matrix.groups {
            for to in &matrix.groups {
                let there = matrix.cell(from.id, to.id);
                let back = matrix.cell(to.id, from.id);
                if there.is_none() && back.is_none() {
                    continue;
                }
                let mode = there.map_or(matrix.default_mode, |cell| cell.mode);
                let back_mode = back.map_or(matrix.default_mode, |cell| cell.mode);
                for version in [Version::V4, Version::V6] {
                    let mut lines = Vec::new();
                    for service in there.iter().flat_map(|cell| &cell.services) {
                        lines.extend(tagged(service.transport, &service.ports, "dst", version));
                        if service.transport == Transport::Sctp {
                            gaps.push(gap(
                                name(from.id),
                                name(to.id),
                                &service.name,
                                "the list cannot tell SCTP's ports",
                            ));
                        }
                    }
                    for service in back.iter().flat_map(|cell| &cell.services) {
                        lines.extend(tagged(service.transport, &service.ports, "src", version));
                        if !matches!(service.transport, Transport::Tcp | Transport::Icmp) {
                            gaps.push(gap(name(to.id), name(from.id), &service.name, "the list cannot tell a reply from an opening that is sent from this port"));
                        }
                    }
                    if back_mode == Mode::Observe && mode == Mode::Enforce {
                        lines.push("permit tcp established".to_owned());
                        gaps.push(gap(
                            name(to.id),
                            name(from.id),
                            "everything observed",
                            "replies over other transports than TCP are dropped",
                        ));
                    }
                    let rest = match (mode, version) {
                        (Mode::Observe, Version::V4) => "permit ip log",
                        (Mode::Enforce, Version::V4) => "deny ip log",
                        (Mode::Observe, Version::V6) => "permit ipv6 log",
                        (Mode::Enforce, Version::V6) => "deny ipv6 log",
                    };
                    lines.push(rest.to_owned());
                    entries += lines.len();
                    let (keyword, short, word) = match version {
                        Version::V4 => ("ip", "4", ""),
                        Version::V6 => ("ipv6", "6", " ipv6"),
                    };
                    let (a, b) = (self.tag(from.id), self.tag(to.id));
                    let list = format!("ASEPSIS-{a}-{b}-{short}-{}", short_digest(matrix));
                    let _ = writeln!(text, "!\n{keyword} access-list role-based {list}");
                    for line in lines {
                        let _ = writeln!(text, " {line}");
                    }
                    let _ = writeln!(
                        text,
                        "cts role-based permissions from {a} to {b}{word} {list}"
                    );
                }
            }
        }
        let verb = match matrix.default_mode {
            Mode::Observe => "permit",
            Mode::Enforce => "deny",
        };
        let digest = short_digest(matrix);
        for (keyword, short, word) in [("ip", "4", ""), ("ipv6", "6", " ipv6")] {
            let _ = writeln!(
                text,
                "!\n{keyword} access-list role-based ASEPSIS-REST-{short}-{digest}\n {verb} {keyword} log\ncts role-based permissions default{word} ASEPSIS-REST-{short}-{digest}"
            );
            entries += 1;
        }
        gaps.sort();
        gaps.dedup();
        let budget = vec![Usage {
            what: "entries of all lists",
            used: entries,
            most: self.entries_max,
        }];
        for usage in &budget {
            usage.check(self.name())?;
        }
        Ok(Emitted {
            target: self.name(),
            text,
            budget,
            gaps,
        })
    }
}

fn gap(from: &str, to: &str, service: &str, what: &str) -> Gap {
    Gap {
        place: format!("{from} → {to}, {service}"),
        what: what.to_owned(),
    }
}

/// Entries of a security-group list for one service, without addresses.
fn tagged(
    transport: Transport,
    ports: &RangeInclusive<u16>,
    end: &str,
    version: Version,
) -> Vec<String> {
    let reply = end == "src";
    match transport {
        Transport::Tcp => {
            let flags = if reply { " established" } else { "" };
            vec![format!(
                "permit tcp{}{flags}",
                operator(ports, &format!(" {end}"))
            )]
        }
        Transport::Udp => vec![format!("permit udp{}", operator(ports, &format!(" {end}")))],
        Transport::Sctp => vec!["permit 132".to_owned()],
        Transport::Icmp if reply => {
            let (echo, answer) = match version {
                Version::V4 => (8, 0),
                Version::V6 => (128, 129),
            };
            let answers = ports.contains(&echo);
            answers
                .then(|| format!("permit icmp {answer}"))
                .into_iter()
                .collect()
        }
        Transport::Icmp if *ports.start() == 0 && *ports.end() >= 255 => {
            vec!["permit icmp".to_owned()]
        }
        Transport::Icmp => (*ports.start()..=*ports.end().min(&255))
            .map(|kind| format!("permit icmp {kind}"))
            .collect(),
        Transport::Other(number) => vec![format!("permit {number}")],
    }
}

/// ` eq 104`, ` range 104 105` or nothing for every port, behind a prefix.
fn operator(ports: &RangeInclusive<u16>, prefix: &str) -> String {
    match (*ports.start(), *ports.end()) {
        (0, u16::MAX) => String::new(),
        (one, same) if one == same => format!("{prefix} eq {one}"),
        (from, to) => format!("{prefix} range {from} {to}"),
    }
}

/// One line of an extended list.
pub(crate) fn line(entry: &Entry, version: Version) -> String {
    let action = match entry.action {
        Action::Permit => "permit",
        Action::Deny => "deny",
    };
    let all = match version {
        Version::V4 => "ip",
        Version::V6 => "ipv6",
    };
    let (protocol, source_ports, destination_ports, tail) = match &entry.packets {
        Packets::All => (all.to_owned(), String::new(), String::new(), String::new()),
        Packets::Protocol(1 | 58) => (
            "icmp".to_owned(),
            String::new(),
            String::new(),
            String::new(),
        ),
        Packets::Protocol(number) => (
            number.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ),
        Packets::To(transport, ports) => (
            transport.to_string(),
            String::new(),
            operator(ports, ""),
            String::new(),
        ),
        Packets::From(transport, ports) => (
            transport.to_string(),
            operator(ports, ""),
            String::new(),
            if *transport == Transport::Tcp {
                " established".to_owned()
            } else {
                String::new()
            },
        ),
        Packets::Established => (
            "tcp".to_owned(),
            String::new(),
            String::new(),
            " established".to_owned(),
        ),
        Packets::IcmpType(kind) => (
            "icmp".to_owned(),
            String::new(),
            String::new(),
            format!(" {kind}"),
        ),
    };
    let log = if entry.log { " log" } else { "" };
    format!(
        "{action} {protocol} {}{source_ports} {}{destination_ports}{tail}{log}",
        address(entry.source),
        address(entry.destination),
    )
}

/// `any`, `host 10.1.0.7`, `10.1.0.0 0.0.0.255`, `2001:db8::/64`.
fn address(prefix: Option<Prefix>) -> String {
    let Some(prefix) = prefix else {
        return "any".to_owned();
    };
    match (prefix.address(), prefix.length()) {
        (_, 0) => "any".to_owned(),
        (IpAddr::V4(address), 32) => format!("host {address}"),
        (IpAddr::V4(address), length) => {
            let wildcard = std::net::Ipv4Addr::from_bits(u32::MAX >> length);
            format!("{address} {wildcard}")
        }
        (IpAddr::V6(address), 128) => format!("host {address}"),
        (IpAddr::V6(_), _) => prefix.to_string(),
    }
}

fn short_digest(matrix: &Matrix) -> String {
    matrix.digest[..4]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Name of a group's list.
pub fn list_name(matrix: &Matrix, group: GroupId, version: Version) -> String {
    let version = match version {
        Version::V4 => 4,
        Version::V6 => 6,
    };
    format!("ASEPSIS-{}-{version}-{}", group.0, short_digest(matrix))
}

fn header(matrix: &Matrix) -> String {
    let digest: String = matrix.digest.iter().map(|o| format!("{o:02x}")).collect();
    format!("! policy {digest}\n")
}

/// A name that cannot end its line or begin a command.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || " ,.()/_-".contains(c) {
                c
            } else {
                '?'
            }
        })
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_name_cannot_become_a_command() {
        assert_eq!(
            plain("Pumps\nno ip access-list\r!"),
            "Pumps?no ip access-list??"
        );
    }

    #[test]
    fn addresses_are_written_as_ios_reads_them() {
        let text = |prefix: &str| address(Some(prefix.parse().expect("a prefix")));
        assert_eq!(text("10.1.0.0/16"), "10.1.0.0 0.0.255.255");
        assert_eq!(text("10.1.0.7/32"), "host 10.1.0.7");
        assert_eq!(text("0.0.0.0/0"), "any");
        assert_eq!(text("2001:db8::/32"), "2001:db8::/32");
        assert_eq!(text("2001:db8::7/128"), "host 2001:db8::7");
    }
}
