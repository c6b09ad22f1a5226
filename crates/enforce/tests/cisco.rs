//! Emitted access lists, read by a parser of their own and compared with the policy by set algebra.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use domain::Criticality;
use domain::net::Transport;
use enforce::Refusal;
use enforce::cisco::{AccessLists, SecurityGroups};
use enforce::target::Target as _;
use proptest::prelude::*;
use segment::check::{Addresses, Rule, Ruleset, compare};
use segment::matrix::{Cell, Group, GroupId, Matrix, Mode, Outcome, Service};

/// A line of an extended list, as IOS understands it.
#[derive(Debug)]
struct Line {
    permit: bool,
    protocol: Option<u8>,
    source: (IpAddr, IpAddr),
    source_ports: Option<RangeInclusive<u16>>,
    destination: (IpAddr, IpAddr),
    ports: RangeInclusive<u16>,
    established: bool,
    log: bool,
}

/// Whether a list is IPv6, its group's number in its name, its lines.
type List = (bool, u16, Vec<Line>);

fn parse(text: &str) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('!')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ip", "access-list", "extended", name] | ["ipv6", "access-list", name] => {
                let group = name
                    .split('-')
                    .nth(1)
                    .expect("a number")
                    .parse()
                    .expect("a number");
                lists.push((words[0] == "ipv6", group, Vec::new()));
            }
            _ => {
                let (six, _, lines) = lists.last_mut().expect("a list before its lines");
                lines.push(entry(&words, *six));
            }
        }
    }
    lists
}

fn entry(words: &[&str], six: bool) -> Line {
    let mut rest = words.iter().copied().peekable();
    let permit = match rest.next() {
        Some("permit") => true,
        Some("deny") => false,
        other => panic!("no action: {other:?} in {words:?}"),
    };
    let protocol = match rest.next().expect("a protocol") {
        "ip" | "ipv6" => None,
        "tcp" => Some(6),
        "udp" => Some(17),
        // The checker counts both versions' ICMP as one.
        "icmp" => Some(1),
        number => Some(number.parse().expect("a protocol's number")),
    };
    let source = address(&mut rest, six);
    let source_ports = ports(&mut rest);
    let destination = address(&mut rest, six);
    let mut named = ports(&mut rest);
    if protocol == Some(1)
        && let Some(kind) = rest.peek().and_then(|word| word.parse::<u16>().ok())
    {
        rest.next();
        named = Some(kind..=kind);
    }
    let (mut established, mut log) = (false, false);
    for word in rest {
        match word {
            "established" => established = true,
            "log" => log = true,
            other => panic!("unknown word {other} in {words:?}"),
        }
    }
    Line {
        permit,
        protocol,
        source,
        source_ports,
        destination,
        ports: named.unwrap_or(0..=u16::MAX),
        established,
        log,
    }
}

fn address<'w>(
    rest: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
    six: bool,
) -> (IpAddr, IpAddr) {
    let word = rest.next().expect("an address");
    match (word, six) {
        ("any", false) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
        ("any", true) => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::from_bits(u128::MAX).into(),
        ),
        ("host", _) => {
            let host: IpAddr = rest.next().expect("a host").parse().expect("an address");
            (host, host)
        }
        (prefix, true) => {
            let (first, length) = prefix.split_once('/').expect("a prefix");
            let first: Ipv6Addr = first.parse().expect("an address");
            let host = u128::MAX >> length.parse::<u32>().expect("a length");
            assert_eq!(first.to_bits() & host, 0, "{prefix}");
            (
                first.into(),
                Ipv6Addr::from_bits(first.to_bits() | host).into(),
            )
        }
        (first, false) => {
            let first: Ipv4Addr = first.parse().expect("an address");
            let wildcard: Ipv4Addr = rest
                .next()
                .expect("a wildcard")
                .parse()
                .expect("a wildcard");
            assert_eq!(
                first.to_bits() & wildcard.to_bits(),
                0,
                "{first} {wildcard}"
            );
            let last = first.to_bits() | wildcard.to_bits();
            (first.into(), Ipv4Addr::from_bits(last).into())
        }
    }
}

fn ports<'w>(
    rest: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
) -> Option<RangeInclusive<u16>> {
    let number = |rest: &mut dyn Iterator<Item = &'w str>| {
        rest.next().expect("a port").parse::<u16>().expect("a port")
    };
    match rest.peek() {
        Some(&"eq") => {
            rest.next();
            let port = number(rest);
            Some(port..=port)
        }
        Some(&"range") => {
            rest.next();
            let from = number(rest);
            Some(from..=number(rest))
        }
        _ => None,
    }
}

/// Addresses of a group, from a plain walk over the lists' own source addresses.
fn sources(lists: &[List]) -> Vec<(u16, Addresses)> {
    lists
        .iter()
        .map(|(_, group, lines)| {
            let mut ranges: Vec<(IpAddr, IpAddr)> = lines
                .iter()
                .map(|line| line.source)
                .filter(|(first, last)| !everything(*first, *last))
                .collect();
            ranges.sort_unstable();
            ranges.dedup();
            (*group, Addresses::Ranges(ranges))
        })
        .collect()
}

fn everything(first: IpAddr, last: IpAddr) -> bool {
    match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() == 0 && b.to_bits() == u32::MAX,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() == 0 && b.to_bits() == u128::MAX,
        _ => false,
    }
}

/// What the lists say about conversations that are *opened* (from a port that is nobody's service).
fn read_back(lists: &[List]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for ((_, _, lines), (_, own)) in lists.iter().zip(sources(lists)) {
        for line in lines {
            if line.established || line.source_ports.is_some() {
                continue;
            }
            let from = if everything(line.source.0, line.source.1) {
                own.clone()
            } else {
                Addresses::Ranges(vec![line.source])
            };
            rules.push(Rule {
                from,
                to: Addresses::Ranges(vec![line.destination]),
                protocol: line.protocol,
                ports: line.ports.clone(),
                outcome: match (line.permit, line.log) {
                    (true, false) => Outcome::Permit,
                    (true, true) => Outcome::WouldDrop,
                    (false, _) => Outcome::Drop,
                },
            });
        }
    }
    rules
}

/// What no list judges, and what every list lets through on purpose.
fn agreed(lists: &[List]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for ((six, _, _), (_, own)) in lists.iter().zip(sources(lists)) {
        let any = if *six {
            (
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::from_bits(u128::MAX).into(),
            )
        } else {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into())
        };
        let mut permit = |protocol, ports| {
            rules.push(Rule {
                from: own.clone(),
                to: Addresses::Ranges(vec![any]),
                protocol: Some(protocol),
                ports,
                outcome: Outcome::Permit,
            });
        };
        if *six {
            permit(1, 133..=136);
            permit(17, 547..=547);
            // Answers to echo requests are told by their type, not by their opener.
            permit(1, 129..=129);
        } else {
            permit(17, 67..=67);
            permit(1, 0..=0);
        }
    }
    rules
}

/// Conversations on which the emitted text and the policy differ.
fn differences(matrix: &Matrix) -> Result<Vec<String>, Refusal> {
    let lists = AccessLists {
        entries_max: 20_000,
        ternary_max: 1_000_000,
    };
    let emitted = lists.emit(matrix)?;
    let lists = parse(&emitted.text);
    let owned: Vec<(IpAddr, IpAddr)> = sources(&lists)
        .into_iter()
        .flat_map(|(_, addresses)| match addresses {
            Addresses::Ranges(ranges) => ranges,
            Addresses::Any => Vec::new(),
        })
        .collect();
    let with = |rules: Vec<Rule>, otherwise| {
        let mut all = agreed(&lists);
        all.extend(rules);
        Ruleset {
            rules: all,
            otherwise,
        }
    };
    let policy = matrix.ruleset();
    let text = with(read_back(&lists), Outcome::Permit);
    let policy = with(policy.rules, policy.otherwise);
    // Conversations of those in no group pass no list, and those between versions of IP are none.
    Ok(compare(&text, &policy)
        .into_iter()
        .filter(|difference| {
            let client = difference.probe.client;
            owned.iter().any(|(first, last)| {
                first.is_ipv4() == client.is_ipv4() && (*first..=*last).contains(&client)
            })
        })
        .filter(|difference| difference.probe.client.is_ipv4() == difference.probe.server.is_ipv4())
        .map(|difference| difference.to_string())
        .collect())
}

fn group(id: u16, prefixes: &[&str], addresses: &[&str]) -> Group {
    Group {
        id: GroupId(id),
        name: format!("Group {id}"),
        entity: format!("group-{id}").into(),
        criticality: Criticality::Clinical,
        prefixes: prefixes
            .iter()
            .map(|p| p.parse().expect("a prefix"))
            .collect(),
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        macs: Vec::new(),
    }
}

fn service(transport: Transport, from: u16, to: u16) -> Service {
    Service {
        transport,
        ports: from..=to,
        name: format!("{transport}/{from}").into(),
        clinical: None,
    }
}

fn hospital(default_mode: Mode) -> Matrix {
    let cell = |from, to, services, mode| Cell {
        from: GroupId(from),
        to: GroupId(to),
        services,
        mode,
    };
    Matrix {
        groups: vec![
            group(0, &[], &[]),
            group(1, &["10.1.0.0/24", "fd01::/64"], &[]),
            group(2, &["10.2.0.0/23"], &["10.1.0.200", "fd01::200"]),
            group(3, &["10.0.0.0/8"], &["192.0.2.1"]),
        ],
        cells: vec![
            cell(0, 2, vec![service(Transport::Tcp, 443, 443)], Mode::Observe),
            cell(
                1,
                2,
                vec![
                    service(Transport::Tcp, 104, 104),
                    service(Transport::Tcp, 11_112, 11_120),
                    service(Transport::Udp, 161, 162),
                    service(Transport::Icmp, 8, 8),
                ],
                Mode::Enforce,
            ),
            cell(
                2,
                3,
                vec![service(Transport::Tcp, 0, u16::MAX)],
                Mode::Observe,
            ),
            cell(
                3,
                1,
                vec![service(Transport::Other(47), 0, u16::MAX)],
                Mode::Enforce,
            ),
        ],
        default_mode,
        digest: [0xab; 32],
    }
}

#[test]
fn the_text_says_what_the_policy_says_about_every_conversation() {
    for mode in [Mode::Enforce, Mode::Observe] {
        assert_eq!(differences(&hospital(mode)), Ok(Vec::new()), "{mode:?}");
    }
}

#[test]
fn a_line_that_is_missing_or_wrong_is_found() {
    let matrix = hospital(Mode::Enforce);
    let mut other = matrix.clone();
    other.cells[1].services.remove(1);
    // The text of one policy against another.
    let lists = AccessLists::default();
    let one = parse(&lists.emit(&matrix).expect("fits").text);
    let two = parse(&lists.emit(&other).expect("fits").text);
    let ruleset = |lists: &[List]| Ruleset {
        rules: read_back(lists),
        otherwise: Outcome::Permit,
    };
    let found = compare(&ruleset(&one), &ruleset(&two));
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|d| (11_112..=11_120).contains(&d.probe.port)),
        "{found:?}"
    );
}

#[test]
fn what_a_stateless_list_cannot_say_is_listed() {
    let emitted = AccessLists::default()
        .emit(&hospital(Mode::Enforce))
        .expect("fits");
    let gaps: Vec<String> = emitted.gaps.iter().map(ToString::to_string).collect();
    assert!(
        gaps.iter()
            .any(|gap| gap.contains("Group 1 → Group 2, udp/161")),
        "{gaps:?}"
    );
    assert!(
        gaps.iter()
            .any(|gap| gap.contains("behind the same interface")),
        "{gaps:?}"
    );
    assert!(!gaps.iter().any(|gap| gap.contains("tcp/104")), "{gaps:?}");
}

#[test]
fn a_list_beyond_the_switchs_memory_is_refused_with_both_numbers() {
    let lists = AccessLists {
        entries_max: 1_000,
        ternary_max: 20,
    };
    let refusal = lists.emit(&hospital(Mode::Enforce)).expect_err("too many");
    assert!(refusal.to_string().contains("20 fit"), "{refusal}");
    let lists = AccessLists {
        entries_max: 5,
        ternary_max: 1_000,
    };
    let refusal = lists.emit(&hospital(Mode::Enforce)).expect_err("too many");
    assert!(
        refusal.to_string().contains("more than 5 entries"),
        "{refusal}"
    );
}

#[test]
fn security_groups_say_each_pair_and_deny_the_rest() {
    let emitted = SecurityGroups::default()
        .emit(&hospital(Mode::Enforce))
        .expect("fits");
    for piece in [
        "ip access-list role-based ASEPSIS-100-101-4-abababab\n permit tcp dst eq 104\n permit tcp dst range 11112 11120\n permit udp dst range 161 162\n permit icmp 8\n deny ip log\ncts role-based permissions from 100 to 101 ASEPSIS-100-101-4-abababab\n",
        "ip access-list role-based ASEPSIS-101-100-4-abababab\n permit tcp src eq 104 established\n",
        "cts role-based permissions from 0 to 101 ASEPSIS-0-101-4-abababab\n",
        "cts role-based permissions default ASEPSIS-REST-4-abababab\n",
    ] {
        assert!(
            emitted.text.contains(piece),
            "{piece} is not in\n{}",
            emitted.text
        );
    }
}

fn any_matrix() -> impl Strategy<Value = Matrix> {
    let services = proptest::collection::vec((0_usize..3, 20_u16..60, 0_u16..9), 0..4);
    let cells =
        proptest::collection::btree_map((0_u16..4, 0_u16..4), (services, any::<bool>()), 0..10);
    (cells, any::<bool>()).prop_map(|(cells, observe)| {
        let mode = |observe| {
            if observe {
                Mode::Observe
            } else {
                Mode::Enforce
            }
        };
        let mut matrix = hospital(mode(observe));
        matrix.cells = cells
            .into_iter()
            .map(|((from, to), (described, observe))| {
                let mut services: Vec<Service> = Vec::new();
                let mut described: Vec<(Transport, u16, u16)> = described
                    .into_iter()
                    .map(|(t, from, more)| {
                        let transport = [Transport::Tcp, Transport::Udp, Transport::Icmp][t];
                        (transport, from, from + more)
                    })
                    .collect();
                described.sort_unstable();
                for (transport, from, to) in described {
                    let apart = services
                        .last()
                        .is_none_or(|last| (last.transport, *last.ports.end()) < (transport, from));
                    if apart {
                        services.push(service(transport, from, to));
                    }
                }
                Cell {
                    from: GroupId(from),
                    to: GroupId(to),
                    services,
                    mode: mode(observe),
                }
            })
            .collect();
        matrix
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_policy_reads_back_as_itself(matrix in any_matrix()) {
        prop_assume!(matrix.check().is_ok());
        // What does not fit is refused, not emitted in part.
        let differences = differences(&matrix);
        prop_assume!(differences.is_ok());
        prop_assert_eq!(differences, Ok(Vec::new()));
    }
}
