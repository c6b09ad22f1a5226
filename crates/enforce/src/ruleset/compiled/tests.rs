use super::*;
use domain::Criticality;
use proptest::prelude::*;
use segment::matrix::{Cell, Group, Service};

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
        name: "service".into(),
        clinical: None,
    }
}

#[test]
fn the_innermost_prefix_wins_and_its_surroundings_stay() {
    let matrix = Matrix {
        groups: vec![
            group(0, &[], &[]),
            group(1, &["10.0.0.0/8", "::/0"], &[]),
            group(2, &["10.1.0.0/16"], &["10.2.0.9", "2001:db8::9"]),
        ],
        cells: Vec::new(),
        default_mode: Mode::Enforce,
        digest: [0; 32],
    };
    let compiled = Compiled::of(&matrix).expect("a matrix");
    for (address, group) in [
        ("9.255.255.255", 0),
        ("10.0.0.0", 1),
        ("10.1.0.0", 2),
        ("10.1.255.255", 2),
        ("10.2.0.8", 1),
        ("10.2.0.9", 2),
        ("10.2.0.10", 1),
        ("10.255.255.255", 1),
        ("11.0.0.0", 0),
        ("::", 1),
        ("2001:db8::9", 2),
        ("2001:db8::a", 1),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(compiled.group_of(address), GroupId(group), "{address}");
    }
}

#[test]
fn a_port_inside_a_range_is_permitted_by_both_and_its_neighbours_by_one() {
    let cell = |from, services| Cell {
        from: GroupId(from),
        to: GroupId(0),
        services,
        mode: Mode::Enforce,
    };
    let matrix = Matrix {
        groups: vec![group(0, &[], &[]), group(1, &["10.1.0.0/16"], &[])],
        cells: vec![
            cell(0, vec![service(Transport::Tcp, 50, 50)]),
            cell(1, vec![service(Transport::Tcp, 1, 100)]),
        ],
        default_mode: Mode::Enforce,
        digest: [0; 32],
    };
    let compiled = Compiled::of(&matrix).expect("a matrix");
    // Around, inside, around: two classes, three pieces.
    assert_eq!(compiled.services.len(), 3);
    assert_eq!(compiled.class_of(6, 1), compiled.class_of(6, 100));
    assert_ne!(compiled.class_of(6, 50), compiled.class_of(6, 51));
    assert_eq!(compiled.class_of(6, 101), 0);
    assert_eq!(compiled.class_of(17, 50), 0);
}

fn any_service() -> impl Strategy<Value = Service> {
    let transport = prop_oneof![
        Just(Transport::Tcp),
        Just(Transport::Udp),
        Just(Transport::Icmp),
        Just(Transport::Other(47)),
    ];
    (transport, 0_u16..40, 0_u16..12).prop_map(|(t, from, more)| service(t, from, from + more))
}

fn any_matrix() -> impl Strategy<Value = Matrix> {
    let groups = proptest::collection::vec(
        (
            proptest::collection::btree_set((0_u8..4, 20_u8..=32), 0..3),
            proptest::collection::btree_set(0_u8..64, 0..3),
        ),
        1..5,
    );
    let cells = proptest::collection::btree_map(
        (0_u16..6, 0_u16..6),
        (
            proptest::collection::vec(any_service(), 0..4),
            any::<bool>(),
        ),
        0..12,
    );
    (groups, cells, any::<bool>()).prop_map(|(described, cells, enforce)| {
        let mut groups = vec![group(0, &[], &[])];
        let (mut prefixes, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (own_prefixes, own_addresses) in described {
            let mut next = group(groups.len() as u16, &[], &[]);
            for (third, length) in own_prefixes {
                let prefix: segment::matrix::Prefix = format!("10.0.{third}.32/{length}")
                    .parse()
                    .expect("a prefix");
                if prefixes.insert(prefix) {
                    next.prefixes.push(prefix);
                }
            }
            for last in own_addresses {
                let address: IpAddr = format!("10.0.1.{last}").parse().expect("an address");
                if addresses.insert(address) {
                    next.addresses.push(address);
                }
            }
            groups.push(next);
        }
        let mode = |enforce| {
            if enforce {
                Mode::Enforce
            } else {
                Mode::Observe
            }
        };
        let count = groups.len() as u16;
        let mut out = Vec::new();
        for ((from, to), (mut services, enforce)) in cells {
            if from >= count || to >= count {
                continue;
            }
            services.sort_by_key(|s| (s.transport, *s.ports.start()));
            let mut apart: Vec<Service> = Vec::new();
            for service in services {
                let clear = apart.last().is_none_or(|last| {
                    (last.transport, *last.ports.end())
                        < (service.transport, *service.ports.start())
                });
                if clear {
                    apart.push(service);
                }
            }
            out.push(Cell {
                from: GroupId(from),
                to: GroupId(to),
                services: apart,
                mode: mode(enforce),
            });
        }
        Matrix {
            groups,
            cells: out,
            default_mode: mode(enforce),
            digest: [0; 32],
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_maps_judge_as_the_matrix_does(
        matrix in any_matrix(),
        probes in proptest::collection::vec(((0_u8..5, 0_u8..70), (0_u8..5, 0_u8..70), 0_usize..5, 0_u16..56), 12),
    ) {
        prop_assume!(matrix.check().is_ok());
        let compiled = Compiled::of(&matrix).expect("within bounds");
        for ((a, b), (c, d), transport, port) in probes {
            let transport = [
                Transport::Tcp,
                Transport::Udp,
                Transport::Icmp,
                Transport::Other(47),
                Transport::Sctp,
            ][transport];
            let probe = Probe {
                client: IpAddr::from([10, 0, a, b]),
                server: IpAddr::from([10, 0, c, d]),
                transport,
                port,
            };
            prop_assert_eq!(compiled.judges(&probe), matrix.judges(&probe).outcome, "{:?}", probe);
        }
    }
}
